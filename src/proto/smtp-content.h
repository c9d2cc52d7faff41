/* SPDX-License-Identifier: MIT */
/* What goes into a transaction: addresses and parameters fit for MAIL and RCPT, and the bytes of a
 * message as DATA and BDAT want them. Nothing passes that a lenient server could take for the end
 * of a message, or for a command. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* "local@domain" or "local", without "<>": RFC 5321 4.1.2, RFC 6531 3.3; dots may stand anywhere in
 * the local part, as they do with some providers. At most 64 octets before the @, 255 behind it.
 * @wide_out: it is not ASCII, and needs SMTPUTF8. Errors: MAILFS_ERROR_INVALID. */
gboolean smtp_address_check(const char *address, gboolean *wide_out, GError **error);

/* RFC 3461, as SmtpMessage wants them: "NEVER", or of SUCCESS,FAILURE,DELAY some; "FULL" or "HDRS";
 * 1..100 printable characters without a blank. */
gboolean smtp_is_notify(const char *text);
gboolean smtp_is_return(const char *text);
gboolean smtp_is_envelope_id(const char *text);

/* Reads a message piece by piece. Each piece is checked as it is read: every CR has its LF and
 * every LF its CR, no NUL, the last line has its end, no byte is missing. */
typedef struct {
	int fd;
	guint64 size, offset;
	guint8 last;	    /* byte of the piece before; LF at the beginning */
	gboolean eight_bit; /* something above 127 has come by */
	guint8 *kept;	    /* all of a small one: what was checked is what is sent */
} SmtpContent;

void smtp_content_init(SmtpContent *content, int fd, guint64 size);
void smtp_content_clear(SmtpContent *content);

/* Reads all of it, then goes back to the beginning. Errors: MAILFS_ERROR_INVALID, G_FILE_ERROR. */
gboolean smtp_content_check(SmtpContent *content, GError **error);

enum { SMTP_CONTENT_PIECE = 64 * 1024 };

/* The next piece, at most SMTP_CONTENT_PIECE bytes, into @buffer of that size or where it is kept.
 * @data_out: (transfer none). Returns: its length, 0 at the end, -1: as smtp_content_check(). */
gssize smtp_content_read(SmtpContent *content, guint8 *buffer, const guint8 **data_out,
			 GError **error);

typedef void (*SmtpSink)(gpointer user, const void *data, gsize len);

/* Gives @data to @sink with a dot before each that begins a line (RFC 5321 4.5.2). @last: the byte
 * before it; LF at the beginning. */
void smtp_stuff_dots(const guint8 *data, gsize len, guint8 last, SmtpSink sink, gpointer user);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SmtpContent, smtp_content_clear)

G_END_DECLS
