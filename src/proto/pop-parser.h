/* SPDX-License-Identifier: MIT */
/* PopParser: bytes in, a server's replies out (RFC 1939 3, RFC 2449 3 and 8). A reply is a line
 * that begins with "+OK", "-ERR" or "+", and where the client expects it so, either lines or a
 * message behind it, with a lone dot at their end. It is incremental: any cut of the input gives
 * the same events. Bounds: 8 KiB a line, but for those of messages, which have none; messages are
 * handed on in pieces. Nothing is ever allocated from an announced size. Not thread-safe.
 *
 * A message is told byte for byte: without its stuffed dots, with its last line end. Only a dot
 * behind CRLF counts, or the sender of a mail could end it for us, and begin another; in a reply
 * whose first line ends in LF alone, a dot behind LF does. A server that ends lines so in messages
 * only is not understood.
 *
 * A reply's event comes while its last LF is fed: who must stop right behind it (STLS) feeds up to
 * an LF at a time. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct PopParser PopParser;

typedef enum {
	POP_REPLY_OK,
	POP_REPLY_ERR,
	POP_REPLY_CHALLENGE, /* "+ ": text is base64 */
} PopStatus;

/* Borrowed, good for the duration of the callback. */
typedef struct {
	PopStatus status;
	const char *code; /* between the brackets: "IN-USE", "SYS/TEMP"; NULL when there is none */
	const char *text; /* what follows, "" when nothing; may hold any byte but NUL and LF */
} PopReply;

typedef enum {
	POP_FOLLOWS_NOTHING,
	POP_FOLLOWS_LINES,
	POP_FOLLOWS_MESSAGE,
} PopFollows;

typedef struct {
	/* The first line of a reply. *@follows_out: what comes behind it, nothing unless set. FALSE
	 * stops the parser: pop_parser_feed() returns with that error; so with the others. */
	gboolean (*reply)(gpointer user, const PopReply *reply, PopFollows *follows_out,
			  GError **error);
	/* One of the lines, unstuffed, without its end; NUL-terminated, and holds no NUL. */
	gboolean (*line)(gpointer user, const char *text, GError **error);
	/* The next piece of the message, at most 64 KiB. */
	gboolean (*data)(gpointer user, const guint8 *data, gsize len, GError **error);
	/* The lone dot: the lines or the message are complete. */
	gboolean (*end)(gpointer user, GError **error);
} PopParserEvents;

PopParser *pop_parser_new(const PopParserEvents *events, gpointer user);
void pop_parser_free(PopParser *parser); /* NULL is fine */

/* Takes all of @data. Errors: MAILFS_ERROR_PROTOCOL (no reply, a line beyond its bound), or what a
 * callback said; the parser is then dead. */
gboolean pop_parser_feed(PopParser *parser, const guint8 *data, gsize len, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PopParser, pop_parser_free)

G_END_DECLS
