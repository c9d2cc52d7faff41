/* SPDX-License-Identifier: MIT */
/* An SmtpLine is one logged-in submission session (RFC 5321, RFC 6409): finished messages go in,
 * what the server said of each comes out. It belongs to one thread at a time; its calls block, with
 * a deadline for every wait, and are ended by a GCancellable.
 *
 * What a message must never be is sent twice without anybody knowing. So at any moment at most one
 * message of a line is beyond the point of no return (its end was written, no answer was read), and
 * before() tells when that point comes. The next message's envelope travels right behind that end
 * (RFC 2920): one round trip a message. */
#pragma once

#include "proto/backend.h"

G_BEGIN_DECLS

typedef struct SmtpLine SmtpLine;

/* What the server offers, after login. */
typedef struct {
	guint64 size;	  /* octets of the largest message (RFC 1870); 0: not told */
	guint recipients; /* of one message at most (RFC 9422); 0: not told */
	gboolean eight_bit, smtputf8, pipelining, dsn, chunking, enhanced_codes;
} SmtpLimits;

/* When something was said. */
typedef enum {
	SMTP_STAGE_CONNECT, /* greeting, EHLO, STARTTLS */
	SMTP_STAGE_LOGIN,   /* AUTH */
	SMTP_STAGE_MAIL,    /* the sender; the whole session where `code` is 530, 534 or 535 */
	SMTP_STAGE_RCPT,    /* one recipient */
	SMTP_STAGE_DATA,    /* the content was announced */
	SMTP_STAGE_END,	    /* the content was taken, or not */
} SmtpStage;

/* A reply. Strings are valid UTF-8 or not, and hold whatever the server sent but NUL: escape them
 * before they are shown. */
typedef struct SmtpReply SmtpReply;
struct SmtpReply {
	SmtpStage stage;
	int code;	 /* 200..599 */
	char *enhanced;	 /* "5.1.1" (RFC 3463), of the class of `code`; NULL: none */
	char *text;	 /* all lines without code and `enhanced`, joined by LF; "" when empty */
	char *recipient; /* STAGE_RCPT: whom it is about; else NULL */
	SmtpReply *next; /* another recipient refused as well; NULL: none */
};

void smtp_reply_free(SmtpReply *reply); /* with its next ones; NULL is fine */

/**
 * smtp_line_open: connects, secures (TLS or STARTTLS; plain text as BackendConfig allows it), logs
 * in by the strongest mechanism offered (`user` NULL: without). Blocks, at most timeout_ms a step.
 * @config: borrowed until the line is freed; read_only and compress do not matter
 * @refusal_out: (optional) (nullable): set when it failed by the server's word; its text is empty
 * when it was said before TLS, where anybody may have said it
 *
 * Errors: those of tls-stream.h; LOGIN (refused: not to be repeated as it is; also: no mechanism
 * fits), TOKEN (a fresh token was refused as well), LIMIT (4xx: try later), DENIED (greeted with
 * 5xx: this server wants nothing from us), PROTOCOL, TIMEOUT, INVALID (user name),
 * G_IO_ERROR_CANCELLED; those of the Secret.
 */
SmtpLine *smtp_line_open(const BackendConfig *config, GCancellable *cancel, SmtpReply **refusal_out,
			 GError **error);

const SmtpLimits *smtp_line_limits(const SmtpLine *line);
const char *smtp_line_mechanism(const SmtpLine *line); /* "PLAIN"; NULL: without. Static */
const char *smtp_line_describe(const SmtpLine *line);  /* as tls_stream_describe() */
TlsStream *smtp_line_stream(SmtpLine *line);	       /* borrowed */

/* FALSE: this line is of no use any more; free it and open another. A look at what the server has
 * said meanwhile (421) without waiting. */
gboolean smtp_line_is_alive(SmtpLine *line);

/* One message; all of it is borrowed from next() until its verdict(). The bytes are final: CRLF
 * line ends, the last one too, no NUL, no Bcc. Dots are stuffed here, and whether 8BITMIME is
 * needed is seen here. */
typedef struct {
	const char *sender;	       /* "local@domain", without "<>"; "": bounces go nowhere */
	const char *const *recipients; /* NULL-terminated, likewise; at least one */
	int fd;			       /* read with pread() from 0 to size */
	guint64 size;		       /* octets, at least one */
	gboolean smtputf8;	       /* the header has UTF-8 (RFC 6531); an address that has
					  needs no word */
	const char *notify;	       /* RFC 3461: "NEVER", or of SUCCESS,FAILURE,DELAY some;
					  NULL: as is usual. Dropped where DSN is not offered; so
					  are the next two */
	const char *return_what;       /* "FULL", "HDRS"; NULL */
	const char *envelope_id;       /* 1..100 printable ASCII characters; NULL */
	gpointer user;
} SmtpMessage;

typedef enum {
	SMTP_SENT,	 /* 2xx at the end: the server has it */
	SMTP_REFUSED,	 /* 5xx: permanently, by what `reply` says. Nothing was sent to anybody */
	SMTP_LATER,	 /* 4xx: not now. Nothing was sent to anybody */
	SMTP_UNKNOWN,	 /* the line was lost between its end and the answer: it may be delivered */
	SMTP_UNTOUCHED,	 /* not sent: the line was lost before its end, or it was taken back */
	SMTP_UNSENDABLE, /* not sent, and never will be, as it is, by this server: `why` says
			    INVALID (address; NUL, bare CR or LF, no last CRLF, shorter than its
			    size), TOO_BIG (SIZE, RCPTMAX), UNSUPPORTED (8BITMIME, SMTPUTF8), or a
			    G_FILE_ERROR of reading it */
} SmtpVerdict;

/* All of them are called within smtp_line_submit(), on its thread, and may block (they hold up the
 * line). */
typedef struct {
	/* The next message, or NULL: no more. Called as soon as its envelope can be sent: mostly
	 * before the one before it has its verdict. */
	const SmtpMessage *(*next)(gpointer user);

	/* All of @message but its end has been written: once this returns TRUE, the server may
	 * deliver it. To be made durable here. FALSE: it is taken back (UNTOUCHED), which costs the
	 * line (smtp_line_is_alive()). Also asked only while the line is known to be good. */
	gboolean (*before)(gpointer user, const SmtpMessage *message);

	/* What became of it: called once for each message that next() gave; at once for those that
	 * are unsendable, in the order of next() for the rest.
	 * @reply: (nullable): the server's word: always for REFUSED and LATER (where several
	 *   recipients were refused, the first that decides; a 5xx decides over a 4xx), and SENT
	 * @why: (nullable): for the other three; NULL with UNTOUCHED: taken back
	 * FALSE: begin nothing more; the one whose envelope is under way is taken back. */
	gboolean (*verdict)(gpointer user, const SmtpMessage *message, SmtpVerdict verdict,
			    const SmtpReply *reply, const GError *why);
} SmtpEvents;

/**
 * smtp_line_submit: sends what next() gives. All recipients or none: when one is refused, nothing
 * of that message is sent.
 * @cancel: ends it: a message before its end is dropped with the line (UNTOUCHED); for the answer
 * to one behind it, timeout_ms more are waited
 *
 * Waits: ten times timeout_ms for an answer to the envelope, twenty times for that to the end (with
 * the usual 30 s these are RFC 5321 4.5.3.2's), timeout_ms without a byte acknowledged while the
 * content is sent.
 *
 * Errors, all of which end the line; the verdicts have been given: OFFLINE, TIMEOUT, LIMIT (421),
 * PROTOCOL, G_IO_ERROR_CANCELLED.
 *
 * Returns: TRUE when next() has said that there is no more, or verdict() or before() FALSE, or
 * this line had to be given up for the sake of a message that must not be sent: look at
 * smtp_line_is_alive() before the next use
 */
gboolean smtp_line_submit(SmtpLine *line, const SmtpEvents *events, gpointer user,
			  GCancellable *cancel, GError **error);

/* QUIT; waits at most @timeout_ms for the goodbye, then frees. 0: without a word. NULL is fine. */
void smtp_line_close(SmtpLine *line, guint timeout_ms);
void smtp_line_free(SmtpLine *line); /* hangs up; never blocks; NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmtpReply, smtp_reply_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmtpLine, smtp_line_free)

G_END_DECLS
