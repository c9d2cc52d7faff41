/* SPDX-License-Identifier: MIT */
/* What a program wrote, as a message: is it one, and does the server take it as it is? Works on
 * descriptors from their beginning, in pieces, and leaves their position alone. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
	guint64 size;
	guint32 crc;	   /* CRC-32 of all of it */
	gboolean bare_lf;  /* some lines end in LF alone: upload_check_convert() */
	gboolean is_ended; /* the last line has an end */
	guint64 header;	   /* octets of the header block, its empty line included if there is one */
	gboolean eight_bit;	/* octets above 127 in what follows it */
	guint64 longest;	/* octets of the longest line, without its end … */
	guint64 longest_number; /* … and which it is, from 1 */
} UploadChecked;

/* Length of the name of the header field that @text begins with (RFC 5322 3.6.8); 0: it begins with
 * none. */
gsize upload_check_field_name(const char *text, gsize len);

/* Errors: INVALID (empty; does not begin with a header field; a line of an mbox before it; NUL; a
 * CR without LF; a header block beyond 1 MiB), with a text that says which; G_FILE_ERROR. */
gboolean upload_check(int fd, UploadChecked *out, GError **error);

/* Writes to @out (empty) what is in @in, each line ended by CRLF. Errors: G_FILE_ERROR. Of
 * *@checked_out, size and crc are told. */
gboolean upload_check_convert(int in, int out, UploadChecked *checked_out, GError **error);
/* The same from octet @from of @in on, behind what *@checked says is in @out already. */
gboolean upload_check_convert_rest(int in, guint64 from, int out, UploadChecked *checked,
				   GError **error);

/* The header block, its empty line included, at most 256 KiB of it. (transfer full) */
char *upload_check_header(int fd, gsize *len_out, GError **error);

/* The DATE, FROM, SUBJECT and MESSAGE-ID fields of a header block as the server would answer
 * BODY[HEADER.FIELDS (…)]: in their order, whole lines, and the empty line. (transfer full) */
char *upload_check_fields(const char *header, gsize len, gsize *len_out);

/* Up to @size octets from @offset on; less only at the end of the file. -1 with an error. */
gssize upload_check_read(int fd, void *data, gsize size, guint64 offset, GError **error);
gboolean upload_check_write(int fd, const void *data, gsize len, guint64 offset, GError **error);

G_END_DECLS
