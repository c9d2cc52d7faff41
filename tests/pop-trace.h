/* SPDX-License-Identifier: MIT */
/* Writes down what a PopParser says, so that two runs can be compared: the parser's test and its
 * fuzz target share it. Behind "+OK l…" lines are expected, behind "+OK m…" a message. */
#pragma once

#include <string.h>

#include <gio/gio.h>

#include "proto/pop-parser.h"

typedef struct {
	GString *text;
	gsize longest; /* piece of a message */
} PopTrace;

/* "/" for CR, "|" for LF. */
static void
pop_trace_bytes(GString *text, const char *bytes, gsize len)
{
	for (gsize i = 0; i < len; i++) {
		if (g_ascii_isprint(bytes[i]))
			g_string_append_c(text, bytes[i]);
		else if (bytes[i] == '\r' || bytes[i] == '\n')
			g_string_append_c(text, bytes[i] == '\r' ? '/' : '|');
		else
			g_string_append_printf(text, "\\x%02x", (guchar)bytes[i]);
	}
}

static gboolean
pop_trace_reply(gpointer user, const PopReply *reply, PopFollows *follows_out, GError **error)
{
	static const char *const words[] = {"OK", "ERR", "go on"};
	PopTrace *trace = user;

	g_string_append(trace->text, words[reply->status]);
	if (reply->code != NULL) {
		g_string_append(trace->text, " [");
		pop_trace_bytes(trace->text, reply->code, strlen(reply->code));
		g_string_append_c(trace->text, ']');
	}
	g_string_append(trace->text, " '");
	pop_trace_bytes(trace->text, reply->text, strlen(reply->text));
	g_string_append(trace->text, "'\n");
	if (reply->status == POP_REPLY_OK && *reply->text == 'l')
		*follows_out = POP_FOLLOWS_LINES;
	else if (reply->status == POP_REPLY_OK && *reply->text == 'm')
		*follows_out = POP_FOLLOWS_MESSAGE;
	return TRUE;
}

static gboolean
pop_trace_line(gpointer user, const char *text, GError **error)
{
	PopTrace *trace = user;

	g_string_append(trace->text, "line '");
	pop_trace_bytes(trace->text, text, strlen(text));
	g_string_append(trace->text, "'\n");
	return TRUE;
}

static gboolean
pop_trace_data(gpointer user, const guint8 *data, gsize len, GError **error)
{
	PopTrace *trace = user;

	g_assert_cmpuint(len, >, 0);
	trace->longest = MAX(trace->longest, len);
	pop_trace_bytes(trace->text, (const char *)data, len);
	return TRUE;
}

static gboolean
pop_trace_end(gpointer user, GError **error)
{
	PopTrace *trace = user;

	g_string_append(trace->text, " end\n");
	return TRUE;
}

static const PopParserEvents pop_trace_events = {
	.reply = pop_trace_reply,
	.line = pop_trace_line,
	.data = pop_trace_data,
	.end = pop_trace_end,
};

/* What a parser says to @data when it comes in pieces that end at @cut, then every @step bytes.
 * (transfer full) */
static char *
pop_trace(const void *data, gsize len, gsize cut, gsize step)
{
	PopTrace trace = {.text = g_string_new(NULL)};
	g_autoptr(PopParser) parser = pop_parser_new(&pop_trace_events, &trace);
	g_autoptr(GError) error = NULL;
	gsize end = MIN(cut, len);

	for (gsize at = 0; at < len && error == NULL; at = end, end = MIN(end + step, len))
		pop_parser_feed(parser, (const guint8 *)data + at, end - at, &error);
	if (error != NULL)
		g_string_append(trace.text, "error\n");
	g_assert_cmpuint(trace.longest, <=, 64 * 1024);
	return g_string_free(trace.text, FALSE);
}
