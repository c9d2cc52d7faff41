/* SPDX-License-Identifier: MIT */
/* Verdict: what became of a message that was to be sent, in words for a person: the page beside a
 * file in Outbox/failed (NAME.why), and the line in user.mailfs.status. Pure functions; what the
 * server said is foreign text and is shown escaped. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Why a message is where it is. */
typedef enum {
	VERDICT_REPLY,	    /* the server refused it for good: code, enhanced, text */
	VERDICT_MAYBE_SENT, /* the line was lost after the last octet: it may have been delivered */
	VERDICT_GAVE_UP, /* for two days it was "later": code … of the last answer, or detail */
	VERDICT_NO_RECIPIENT, /* nobody is named in To, Cc, Bcc */
	VERDICT_INVALID,      /* no message, or not one that can be sent: detail */
	VERDICT_TOO_BIG,      /* size is beyond the server's limit */
	VERDICT_NO_8BITMIME,  /* 8-bit text, and the server does not take it */
	VERDICT_NO_SMTPUTF8,  /* a non-ASCII address or header, and the server does not take it */
	VERDICT_NOT_ALLOWED,  /* recipient is not among those of `send-to` */
	VERDICT_UNSENDABLE,   /* the rest: detail */
} VerdictKind;

/* Strings are borrowed; NULL where unknown. */
typedef struct {
	VerdictKind kind;
	int code;		/* 550; 0: no reply */
	const char *enhanced;	/* "5.1.1" (RFC 3463), or NULL; then it is looked for in text */
	const char *text;	/* the reply's lines without code, joined by LF */
	const char *recipient;	/* whom the reply is about; NULL: the message as a whole */
	const char *sender;	/* of the envelope */
	const char *server;	/* "smtp.example.org" */
	const char *detail;	/* a GError's text, for the kinds that say so */
	const char *message_id; /* with its < > */
	guint64 size, limit;	/* TOO_BIG: octets */
	gint64 when;		/* seconds since 1970 UTC */
} Verdict;

/* The page: UTF-8, LF, lines of at most 78 columns where words allow it. What happened, who refused
 * it, what to do; then the reply. (transfer full) */
char *verdict_page(const Verdict *verdict);

/* One line without line end: "failed: 550 5.1.1 no such address: bob@example.org". (transfer full)
 */
char *verdict_line(const Verdict *verdict);

/* The line of a message that is tried again: "retry 12:05 (451 4.7.1 try later)", with the date in
 * front when that is not today; times are local. @code 0: only @text. (transfer full) */
char *verdict_retry_line(gint64 retry_at, gint64 now, int code, const char *enhanced,
			 const char *text);

/* What a code asks of the sender beyond this one message. */
typedef enum {
	VERDICT_STOPS_NOTHING,
	VERDICT_STOPS_BATCH,   /* 5.7.x policy: the next ones would fare the same */
	VERDICT_STOPS_ACCOUNT, /* 530, 534, 535: nothing goes out before the login is right */
} VerdictStops;
/* @of_recipient: it was the answer to a recipient. Servers refuse a sender there too, so the words
 * decide. */
VerdictStops verdict_stops(int code, const char *enhanced, const char *text, gboolean of_recipient);

/* "5.1.1" at the beginning of a reply's text; NULL when there is none of @code's class. (transfer
 * full) */
char *verdict_enhanced(int code, const char *text);

/* The sysexits code for a reply, for `mailfs send --wait`: EX_NOUSER, EX_TEMPFAIL, EX_UNAVAILABLE,
 * EX_NOPERM, EX_DATAERR … */
int verdict_exit_code(int code, const char *enhanced);

G_END_DECLS
