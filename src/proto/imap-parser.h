/* SPDX-License-Identifier: MIT */
/* ImapParser: bytes in, whole server responses out (RFC 3501 9, RFC 9051 9). It delimits and
 * unquotes and understands nothing else. It is incremental: any cut of the input gives the same
 * responses. Bounds: 1 MiB a response outside streamed literals, 64 levels of parentheses, 256 KiB
 * a step of a streamed literal. Nothing is ever allocated from an announced size. Not thread-safe.
 *
 * A response that cannot be understood inside an intact frame is dropped (counted in
 * imap_parser_dropped()): unequal or too deep parentheses, a quoted string that holds CR or does
 * not end on its line, NUL outside a literal, a tagged line that completes nothing, an empty line.
 * Its remaining literals are skipped without an event, but one may have been streamed before the
 * fault was seen: bytes of literal_data count only when the response event comes. A broken frame
 * (bad literal header, over-long response) is an error and the end of the line. LF alone ends a
 * line too.
 *
 * A response's event comes while its last LF is fed: who must stop right behind a response
 * (STARTTLS, COMPRESS) feeds up to an LF at a time. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ImapParser ImapParser;

typedef enum {
	IMAP_TOKEN_ATOM,    /* anything unquoted: NIL, numbers, \Flags, BODY[HEADER.FIELDS (A B)]<0>
			       whole */
	IMAP_TOKEN_QUOTED,  /* unescaped */
	IMAP_TOKEN_LITERAL, /* in memory */
	IMAP_TOKEN_STREAMED, /* went through the literal callbacks: only size is set */
	IMAP_TOKEN_OPEN,     /* ( */
	IMAP_TOKEN_CLOSE,    /* ) */
} ImapTokenType;

typedef struct {
	ImapTokenType type;
	const char *text; /* NUL-terminated; NULs inside literals are kept: see size */
	guint64 size;	  /* bytes of text, or of the streamed literal */
} ImapToken;

typedef enum {
	IMAP_STATUS_NONE, /* a data response: see tokens */
	IMAP_STATUS_OK,
	IMAP_STATUS_NO,
	IMAP_STATUS_BAD,
	IMAP_STATUS_BYE,
	IMAP_STATUS_PREAUTH,
	IMAP_STATUS_CONTINUE, /* "+" */
} ImapStatus;

/* Borrowed, good for the duration of the callback. */
typedef struct {
	const char *tag;   /* "*", "+" or the command's tag */
	ImapStatus status; /* not NONE: code and text are set, tokens is empty */
	const char *code;  /* between the brackets: "UIDNEXT 7", "HIGHESTMODSEQ 3"; NULL when there
			      is none */
	const char *text;  /* human text (or the base64 of a "+"), "" when none; may hold any byte
			      but NUL */
	const ImapToken *tokens; /* after the tag: {ATOM "3"} {ATOM "FETCH"} {OPEN} … */
	guint n_tokens;
} ImapResponse;

typedef enum {
	IMAP_LITERAL_MEMORY, /* keep it, within the 1 MiB of the response */
	IMAP_LITERAL_STREAM, /* hand it to literal_data in pieces */
	IMAP_LITERAL_REFUSE, /* too big for its purpose: parser error */
} ImapLiteralPlace;

typedef struct {
	/* A whole response. FALSE stops the parser: imap_parser_feed() returns with that error. */
	gboolean (*response)(gpointer user, const ImapResponse *response, GError **error);
	/* A literal of @size bytes comes next; @so_far holds the tokens before it, the last
	 * one naming it ("BODY[]"). */
	ImapLiteralPlace (*literal)(gpointer user, const ImapResponse *so_far, guint64 size);
	/* The next piece of a streamed literal, at most 256 KiB. FALSE stops the parser. */
	gboolean (*literal_data)(gpointer user, const guint8 *data, gsize len, GError **error);
} ImapParserEvents;

ImapParser *imap_parser_new(const ImapParserEvents *events, gpointer user);
void imap_parser_free(ImapParser *parser); /* NULL is fine */

/* Takes all of @data. Errors: MAILFS_ERROR_PROTOCOL, or what a callback said; the parser is then
 * dead. */
gboolean imap_parser_feed(ImapParser *parser, const guint8 *data, gsize len, GError **error);
gboolean imap_parser_is_between_responses(const ImapParser *parser); /* nothing half-read */
guint64 imap_parser_dropped(const ImapParser *parser);

/* Strict decimal, 1*DIGIT, <= @max: never wraps, no sign, no exponent. FALSE leaves *out alone. */
gboolean imap_parse_number(const char *text, gsize len, guint64 max, guint64 *out);
/* "17-Jul-1996 02:44:25 -0700" (RFC 3501 date-time, leading space for the day allowed) to seconds
 * since 1970 UTC. */
gboolean imap_parse_date(const char *text, gsize len, gint64 *out);
/* ATOM NIL (case-insensitive), the unquoted one only. */
gboolean imap_token_is_nil(const ImapToken *token);
/* Case-insensitive equality of an ATOM. */
gboolean imap_token_is_atom(const ImapToken *token, const char *word);

/* Walking tokens: the index just after the item at @i (a whole parenthesised list counts as one);
 * n_tokens at the end. */
guint imap_response_skip(const ImapResponse *response, guint i);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapParser, imap_parser_free)

G_END_DECLS
