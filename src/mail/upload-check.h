/* SPDX-License-Identifier: MIT */
/* What a program wrote, as a message: is it one, and does the server take it as it is? Works on
 * descriptors from their beginning, in pieces, and leaves their position alone. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
	guint64 size;
	guint32 crc;	  /* CRC-32 of all of it */
	gboolean bare_lf; /* some lines end in LF alone: upload_check_convert() */
} UploadChecked;

/* Errors: INVALID (empty; does not begin with a header field; a line of an mbox before it; NUL; a
 * CR without LF; a header block beyond 1 MiB), with a text that says which; G_FILE_ERROR. */
gboolean upload_check(int fd, UploadChecked *out, GError **error);

/* Writes to @out (empty) what is in @in, each line ended by CRLF. Errors: G_FILE_ERROR. */
gboolean upload_check_convert(int in, int out, UploadChecked *checked_out, GError **error);

/* The header block, its empty line included, at most 256 KiB of it. (transfer full) */
char *upload_check_header(int fd, gsize *len_out, GError **error);

/* The DATE, FROM, SUBJECT and MESSAGE-ID fields of a header block as the server would answer
 * BODY[HEADER.FIELDS (…)]: in their order, whole lines, and the empty line. (transfer full) */
char *upload_check_fields(const char *header, gsize len, gsize *len_out);

gboolean upload_check_write(int fd, const void *data, gsize len, guint64 offset, GError **error);

G_END_DECLS
