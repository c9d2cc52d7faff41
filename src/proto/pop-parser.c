/* SPDX-License-Identifier: MIT */
#include "proto/pop-parser.h"

#include <string.h>

#include "base/error.h"

enum {
	REPLY_LINE_MAX = 8 * 1024,
	MESSAGE_PIECE = 64 * 1024,
};

/* Where in a message the next byte stands. */
typedef enum {
	PLACE_START, /* of a line */
	PLACE_TEXT,
	PLACE_CR,     /* behind a CR, which is told already */
	PLACE_DOT,    /* behind a dot at the start of a line, which is not */
	PLACE_DOT_CR, /* behind that and a CR, which are not */
} Place;

struct PopParser {
	const PopParserEvents *events;
	gpointer user;
	GString *line; /* what is not complete yet; without NULs */
	gsize line_octets;
	PopFollows follows; /* behind the line that came last */
	gboolean lf_only;   /* so that line ended */
	Place place;
	gboolean dead;
};

PopParser *
pop_parser_new(const PopParserEvents *events, gpointer user)
{
	PopParser *parser = g_new0(PopParser, 1);

	parser->events = events;
	parser->user = user;
	parser->line = g_string_new(NULL);
	return parser;
}

void
pop_parser_free(PopParser *parser)
{
	if (parser == NULL)
		return;
	g_string_free(parser->line, TRUE);
	g_free(parser);
}

static gboolean
protocol_error(GError **error, const char *what)
{
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL, "the server sent %s", what);
	return FALSE;
}

/* Lines
 * -----------------------------------------------------------------------------------------------------------
 */

/* "[IN-USE] Do you have another client?": cuts @text up. */
static const char *
take_code(char **text)
{
	char *end = **text == '[' ? strchr(*text, ']') : NULL;
	const char *code;

	if (end == NULL)
		return NULL;
	code = *text + 1;
	*end = '\0';
	*text = end + 1 + strspn(end + 1, " \t");
	return *code != '\0' ? code : NULL;
}

static gboolean
tell_reply(PopParser *parser, GError **error)
{
	char *line = parser->line->str;
	PopReply reply = {0};
	char *text;

	if (g_ascii_strncasecmp(line, "+OK", 3) == 0) {
		text = line + 3;
	} else if (g_ascii_strncasecmp(line, "-ERR", 4) == 0) {
		reply.status = POP_REPLY_ERR;
		text = line + 4;
	} else if (*line == '+' && (line[1] == ' ' || line[1] == '\0')) {
		reply.status = POP_REPLY_CHALLENGE;
		text = line + 1;
	} else {
		return protocol_error(error, "what is no POP3 reply");
	}
	text += strspn(text, " \t");
	if (reply.status != POP_REPLY_CHALLENGE)
		reply.code = take_code(&text);
	reply.text = text;
	parser->follows = POP_FOLLOWS_NOTHING;
	parser->place = PLACE_START;
	return parser->events->reply(parser->user, &reply, &parser->follows, error);
}

static gboolean
tell_line(PopParser *parser, GError **error)
{
	const char *line = parser->line->str;

	if (strcmp(line, ".") == 0) {
		parser->follows = POP_FOLLOWS_NOTHING;
		return parser->events->end(parser->user, error);
	}
	return parser->events->line(parser->user, *line == '.' ? line + 1 : line, error);
}

/* Up to and with the next LF. Returns the octets taken, -1 with an error. */
static gssize
feed_line(PopParser *parser, const guint8 *data, gsize len, GError **error)
{
	const guint8 *lf = memchr(data, '\n', len);
	gsize taken = lf != NULL ? (gsize)(lf - data) + 1 : len;
	gsize last;
	gboolean ok;

	parser->line_octets += taken;
	if (parser->line_octets > REPLY_LINE_MAX) {
		protocol_error(error, "a line of more than 8 KiB");
		return -1;
	}
	for (gsize i = 0; i < taken; i++)
		if (data[i] != '\0')
			g_string_append_c(parser->line, (char)data[i]);
	if (lf == NULL)
		return (gssize)taken;
	g_string_truncate(parser->line, parser->line->len - 1);
	last = parser->line->len;
	if (parser->follows == POP_FOLLOWS_NOTHING)
		parser->lf_only = last == 0 || parser->line->str[last - 1] != '\r';
	while (last > 0 && parser->line->str[last - 1] == '\r')
		last--;
	g_string_truncate(parser->line, last);
	ok = parser->follows == POP_FOLLOWS_NOTHING ? tell_reply(parser, error)
						    : tell_line(parser, error);
	g_string_truncate(parser->line, 0);
	parser->line_octets = 0;
	return ok ? (gssize)taken : -1;
}

/* Messages
 * --------------------------------------------------------------------------------------------------------
 */

static gboolean
tell_data(PopParser *parser, const guint8 *data, gsize len, GError **error)
{
	while (len > 0) {
		gsize piece = MIN(len, MESSAGE_PIECE);

		if (!parser->events->data(parser->user, data, piece, error))
			return FALSE;
		data += piece;
		len -= piece;
	}
	return TRUE;
}

/* Does a line begin behind this LF? @before: behind the octet before @data, a CR was told. */
static gboolean
ends_line(const PopParser *parser, const guint8 *data, const guint8 *lf, gboolean before)
{
	return parser->lf_only || (lf > data ? lf[-1] == '\r' : before);
}

static Place
place_behind(const PopParser *parser, const guint8 *data, gsize len, gboolean before)
{
	const guint8 *last = data + len - 1;

	if (*last == '\r')
		return PLACE_CR;
	return *last == '\n' && ends_line(parser, data, last, before) ? PLACE_START : PLACE_TEXT;
}

/* The number of octets up to where a line begins with a dot, or all of them. Moves parser->place.
 */
static gsize
skip_text(PopParser *parser, const guint8 *data, gsize len)
{
	gboolean before = parser->place == PLACE_CR;
	gsize i = 1;

	while (i < len) {
		const guint8 *dot = memchr(data + i, '.', len - i);

		if (dot == NULL)
			break;
		i = (gsize)(dot - data);
		if (dot[-1] == '\n' && ends_line(parser, data, dot - 1, before)) {
			parser->place = PLACE_START;
			return i;
		}
		i++;
	}
	parser->place = place_behind(parser, data, len, before);
	return len;
}

/* @c stands behind a dot at the start of a line: is the message over? */
static gboolean
is_last(PopParser *parser, guint8 c)
{
	if (parser->place == PLACE_DOT)
		return c == '\n' && parser->lf_only;
	return c == '\n';
}

/* Returns the octets taken, -1 with an error. */
static gssize
feed_message(PopParser *parser, const guint8 *data, gsize len, GError **error)
{
	gsize text = 0; /* octets from @data on to be told */

	while (text < len) {
		switch (parser->place) {
		case PLACE_START:
			if (data[text] != '.') {
				parser->place = PLACE_TEXT;
				break;
			}
			parser->place = PLACE_DOT;
			return tell_data(parser, data, text, error) ? (gssize)text + 1 : -1;
		case PLACE_DOT:
		case PLACE_DOT_CR:
			/* Nothing is told yet: text is 0. */
			if (is_last(parser, *data)) {
				parser->follows = POP_FOLLOWS_NOTHING;
				return parser->events->end(parser->user, error) ? 1 : -1;
			}
			if (parser->place == PLACE_DOT && *data == '\r') {
				parser->place = PLACE_DOT_CR;
				return 1;
			}
			if (parser->place == PLACE_DOT_CR &&
			    !tell_data(parser, (const guint8 *)"\r", 1, error))
				return -1;
			parser->place = parser->place == PLACE_DOT_CR ? PLACE_CR : PLACE_TEXT;
			break;
		case PLACE_TEXT:
		case PLACE_CR:
			text += skip_text(parser, data + text, len - text);
			break;
		}
	}
	return tell_data(parser, data, text, error) ? (gssize)text : -1;
}

gboolean
pop_parser_feed(PopParser *parser, const guint8 *data, gsize len, GError **error)
{
	if (parser->dead)
		return protocol_error(error, "more after what was not understood");
	while (len > 0) {
		gssize taken = parser->follows == POP_FOLLOWS_MESSAGE
				       ? feed_message(parser, data, len, error)
				       : feed_line(parser, data, len, error);

		if (taken < 0) {
			parser->dead = TRUE;
			return FALSE;
		}
		data += taken;
		len -= (gsize)taken;
	}
	return TRUE;
}
