/* SPDX-License-Identifier: MIT */
/* The inside of an SmtpLine, for smtp*.c alone. */
#pragma once

#include "base/error.h"
#include "proto/smtp-reply.h"
#include "proto/smtp.h"

G_BEGIN_DECLS

struct SmtpLine {
	const BackendConfig *config;
	Wire *wire;
	SmtpParser *parser;
	SmtpLimits limits;
	GPtrArray *mechanisms; /* of char *, that AUTH offers */
	gboolean starttls;     /* offered; so is the next */
	gboolean takes_size;   /* MAIL with SIZE= */
	gboolean secured;
	const char *mechanism;
	gboolean open_transaction; /* RSET must come before the next MAIL */
	gboolean over;		   /* nothing more may be sent */

	/* Of the call that is under way. */
	GCancellable *cancel;
	int cancel_fd;
	gint64 grace_us; /* cancelled: the answer that is waited for may still take so long */
};

/* Between these two, waits end when @cancel does. */
void smtp_line_begin(SmtpLine *line, GCancellable *cancel);
void smtp_line_end(SmtpLine *line);

/* Queues a line; its arguments were checked. */
void smtp_line_send(SmtpLine *line, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The next reply. Waits as long as bytes of ours are acknowledged, and @timeout_ms more. (transfer
 * full) Errors: OFFLINE, TIMEOUT, PROTOCOL, TLS, G_IO_ERROR_CANCELLED. */
SmtpReply *smtp_line_receive(SmtpLine *line, guint timeout_ms, GError **error);

/* Sends what is queued until at most @left bytes are. FALSE also when the server says something
 * meanwhile (no error then): nobody has asked it. */
gboolean smtp_line_drain(SmtpLine *line, gsize left, guint timeout_ms, GError **error);

/* Has the server said anything that was not asked for, or hung up? Without waiting. FALSE:
 * @error is LIMIT (421), PROTOCOL, OFFLINE; @reply_out (transfer full) what it said, if that is a
 * reply. */
gboolean smtp_line_is_quiet(SmtpLine *line, SmtpReply **reply_out, GError **error);

/* EHLO, and what it tells. (transfer full): the reply, whatever it is; NULL: error */
SmtpReply *smtp_line_ehlo(SmtpLine *line, GError **error);

/* "smtp.example.org refused @what: 550 5.1.1 text"; the text only where it can be trusted to be the
 * server's. */
void smtp_line_set_refusal(const SmtpLine *line, const SmtpReply *reply, MailfsError code,
			   const char *what, GError **error);

G_END_DECLS
