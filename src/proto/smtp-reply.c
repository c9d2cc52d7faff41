/* SPDX-License-Identifier: MIT */
#include "proto/smtp-reply.h"

#include <string.h>

#include "base/error.h"
#include "base/util.h"

enum {
	MAX_BYTES = 64 * 1024,
	MAX_LINES = 1000,
	SHOWN_TEXT = 100,
};

struct SmtpParser {
	GString *line; /* what came of the current one */
	GString *text; /* of the lines before it */
	gsize bytes;   /* of the whole reply */
	guint lines;
	int code; /* 0: the first line is still to come */
	char *enhanced;
};

void
smtp_reply_free(SmtpReply *reply)
{
	while (reply != NULL) {
		SmtpReply *next = reply->next;

		g_free(reply->enhanced);
		g_free(reply->text);
		g_free(reply->recipient);
		g_free(reply);
		reply = next;
	}
}

SmtpParser *
smtp_parser_new(void)
{
	SmtpParser *parser = g_new0(SmtpParser, 1);

	parser->line = g_string_new(NULL);
	parser->text = g_string_new(NULL);
	return parser;
}

void
smtp_parser_free(SmtpParser *parser)
{
	if (parser == NULL)
		return;
	g_string_free(parser->line, TRUE);
	g_string_free(parser->text, TRUE);
	g_free(parser->enhanced);
	g_free(parser);
}

/* "5.1.1" at the beginning of @text, of the class of @code, and the end or a blank behind it: its
 * length. 0: there is none. */
static gsize
enhanced_length(const char *text, int code)
{
	const char *p = text;

	if (code / 100 == 3 || *p != '0' + code / 100)
		return 0;
	p++;
	for (guint part = 0; part < 2; part++) {
		gsize digits;

		if (*p != '.')
			return 0;
		digits = strspn(p + 1, "0123456789");
		if (digits < 1 || digits > 3)
			return 0;
		p += 1 + digits;
	}
	return *p == '\0' || *p == ' ' ? (gsize)(p - text) : 0;
}

static gboolean
nonsense(const SmtpParser *parser, const char *what, GError **error)
{
	g_autofree char *shown =
		util_printable(parser->line->str, (gssize)parser->line->len, SHOWN_TEXT);

	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL, "the server's answer %s: \"%s\"",
		    what, shown);
	return FALSE;
}

static SmtpReply *
take_reply(SmtpParser *parser)
{
	SmtpReply *reply = g_new0(SmtpReply, 1);

	reply->code = parser->code;
	reply->enhanced = g_steal_pointer(&parser->enhanced);
	reply->text = g_strndup(parser->text->str, parser->text->len);
	g_string_truncate(parser->text, 0);
	parser->code = 0;
	parser->lines = 0;
	parser->bytes = 0;
	return reply;
}

/* The code in front of every line of the text is shown once: what differs from the first is kept.
 */
static void
add_text(SmtpParser *parser, const char *text)
{
	gsize len = enhanced_length(text, parser->code);

	if (parser->lines == 0 && len > 0)
		parser->enhanced = g_strndup(text, len);
	if (len > 0 && parser->enhanced != NULL && strlen(parser->enhanced) == len &&
	    strncmp(text, parser->enhanced, len) == 0)
		text += text[len] == ' ' ? len + 1 : len;
	if (parser->lines > 0)
		g_string_append_c(parser->text, '\n');
	g_string_append(parser->text, text);
	parser->lines++;
}

static gboolean
end_line(SmtpParser *parser, SmtpReply **reply_out, GError **error)
{
	const char *line = parser->line->str;
	char mark;
	int code = 0;

	while (parser->line->len > 0 && line[parser->line->len - 1] == '\r')
		g_string_truncate(parser->line, parser->line->len - 1);
	for (guint i = 0; i < 3; i++) {
		if (!g_ascii_isdigit(line[i]))
			return nonsense(parser, "is no SMTP", error);
		code = 10 * code + (line[i] - '0');
	}
	mark = line[3];
	if (code < 200 || code > 599 || (mark != '\0' && mark != ' ' && mark != '-'))
		return nonsense(parser, "is no SMTP", error);
	if (parser->code != 0 && parser->code != code)
		return nonsense(parser, "has two codes", error);
	if (parser->lines == MAX_LINES)
		return nonsense(parser, "has too many lines", error);
	parser->code = code;
	add_text(parser, mark == '\0' ? "" : line + 4);
	g_string_truncate(parser->line, 0);
	if (mark != '-')
		*reply_out = take_reply(parser);
	return TRUE;
}

static void
append_without_nul(GString *line, const guint8 *data, gsize len)
{
	while (len > 0) {
		const guint8 *nul = memchr(data, '\0', len);
		gsize run = nul != NULL ? (gsize)(nul - data) : len;

		g_string_append_len(line, (const char *)data, (gssize)run);
		run += nul != NULL ? 1 : 0;
		data += run;
		len -= run;
	}
}

gssize
smtp_parser_feed(SmtpParser *parser, const guint8 *data, gsize len, SmtpReply **reply_out,
		 GError **error)
{
	gsize taken = 0;

	*reply_out = NULL;
	while (taken < len && *reply_out == NULL) {
		const guint8 *end = memchr(data + taken, '\n', len - taken);
		gsize run = end != NULL ? (gsize)(end - data) - taken : len - taken;
		gsize room = MAX_BYTES - parser->bytes;

		append_without_nul(parser->line, data + taken, MIN(run, room));
		if (run >= room) {
			nonsense(parser, "does not end", error);
			return -1;
		}
		parser->bytes += run + (end != NULL ? 1 : 0);
		taken += run + (end != NULL ? 1 : 0);
		if (end != NULL && !end_line(parser, reply_out, error))
			return -1;
	}
	return (gssize)taken;
}
