/* SPDX-License-Identifier: MIT */
/* Writes down what an ImapParser says, one line a response, so that two runs can be compared: the
 * parser's test and its fuzz target share it. Literals after BODY[] are streamed, those after
 * RFC822 refused, others kept. */
#pragma once

#include <string.h>

#include <gio/gio.h>

#include "proto/imap-parser.h"

typedef struct {
	GString *text;
	gsize longest_step; /* of a streamed literal */
	guint responses;
	guint stop_after; /* responses; 0: never */
} ImapTrace;

static void
imap_trace_bytes(GString *text, const char *bytes, gsize len)
{
	for (gsize i = 0; i < len; i++) {
		if (g_ascii_isprint(bytes[i]))
			g_string_append_c(text, bytes[i]);
		else
			g_string_append_printf(text, "\\x%02x", (guchar)bytes[i]);
	}
}

static void
imap_trace_token(GString *text, const ImapToken *token)
{
	switch (token->type) {
	case IMAP_TOKEN_ATOM:
	case IMAP_TOKEN_OPEN:
	case IMAP_TOKEN_CLOSE:
		imap_trace_bytes(text, token->text, token->size);
		break;
	case IMAP_TOKEN_QUOTED:
		g_string_append_c(text, '"');
		imap_trace_bytes(text, token->text, token->size);
		g_string_append_c(text, '"');
		break;
	case IMAP_TOKEN_LITERAL:
		g_string_append_printf(text, "<%" G_GUINT64_FORMAT ":", token->size);
		imap_trace_bytes(text, token->text, token->size);
		g_string_append_c(text, '>');
		break;
	case IMAP_TOKEN_STREAMED:
		g_string_append_printf(text, "<%" G_GUINT64_FORMAT " streamed>", token->size);
		break;
	}
	/* What a user may do with any token's text. */
	g_assert(token->text[token->type == IMAP_TOKEN_STREAMED ? 0 : token->size] == '\0');
}

static gboolean
imap_trace_response(gpointer user, const ImapResponse *response, GError **error)
{
	static const char *const words[] = {"", "OK", "NO", "BAD", "BYE", "PREAUTH", "go on"};
	ImapTrace *trace = user;

	imap_trace_bytes(trace->text, response->tag, strlen(response->tag));
	if (response->status != IMAP_STATUS_NONE) {
		g_string_append_printf(trace->text, " %s", words[response->status]);
		if (response->code != NULL) {
			g_string_append(trace->text, " [");
			imap_trace_bytes(trace->text, response->code, strlen(response->code));
			g_string_append_c(trace->text, ']');
		}
		g_string_append(trace->text, " '");
		imap_trace_bytes(trace->text, response->text, strlen(response->text));
		g_string_append_c(trace->text, '\'');
		g_assert_cmpuint(response->n_tokens, ==, 0);
	}
	for (guint i = 0; i < response->n_tokens; i++) {
		g_string_append_c(trace->text, ' ');
		imap_trace_token(trace->text, &response->tokens[i]);
	}
	g_string_append_c(trace->text, '\n');
	trace->responses++;
	if (trace->stop_after != trace->responses)
		return TRUE;
	g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "enough");
	return FALSE;
}

static ImapLiteralPlace
imap_trace_literal(gpointer user, const ImapResponse *so_far, guint64 size)
{
	ImapTrace *trace = user;
	const ImapToken *last = so_far->n_tokens > 0 ? &so_far->tokens[so_far->n_tokens - 1] : NULL;

	if (last == NULL)
		return IMAP_LITERAL_MEMORY;
	if (imap_token_is_atom(last, "RFC822"))
		return IMAP_LITERAL_REFUSE;
	if (!imap_token_is_atom(last, "BODY[]"))
		return IMAP_LITERAL_MEMORY;
	g_string_append_printf(trace->text, "%" G_GUINT64_FORMAT " bytes: ", size);
	return IMAP_LITERAL_STREAM;
}

static gboolean
imap_trace_literal_data(gpointer user, const guint8 *data, gsize len, GError **error)
{
	ImapTrace *trace = user;

	imap_trace_bytes(trace->text, (const char *)data, len);
	trace->longest_step = MAX(trace->longest_step, len);
	g_assert_cmpuint(len, >, 0);
	return TRUE;
}

static const ImapParserEvents imap_trace_events = {
	.response = imap_trace_response,
	.literal = imap_trace_literal,
	.literal_data = imap_trace_literal_data,
};

/* What a parser says to @data when it comes in pieces that end at @cut, then every @step bytes.
 * (transfer full) */
static char *
imap_trace(const void *data, gsize len, gsize cut, gsize step)
{
	ImapTrace trace = {.text = g_string_new(NULL)};
	g_autoptr(ImapParser) parser = imap_parser_new(&imap_trace_events, &trace);
	g_autoptr(GError) error = NULL;
	gsize end = MIN(cut, len);

	for (gsize at = 0; at < len && error == NULL; at = end, end = MIN(end + step, len))
		imap_parser_feed(parser, (const guint8 *)data + at, end - at, &error);
	if (error != NULL)
		g_string_append(trace.text, "error\n");
	else if (!imap_parser_is_between_responses(parser))
		g_string_append(trace.text, "unfinished\n");
	if (imap_parser_dropped(parser) > 0)
		g_string_append_printf(trace.text, "dropped %" G_GUINT64_FORMAT "\n",
				       imap_parser_dropped(parser));
	return g_string_free(trace.text, FALSE);
}
