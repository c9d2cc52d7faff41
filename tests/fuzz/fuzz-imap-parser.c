/* SPDX-License-Identifier: MIT */
/* Any bytes as a server's answers. Beyond "does not crash": the same is said however the input is
 * cut. The cuts are a hash of the input, so that a kept input is a plain transcript and a fuzzer
 * can still choose them. */
#include <string.h>

#include <gio/gio.h>

#include "../imap-trace.h"
#include "proto/imap-parser.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

/* What the users of a response do with its tokens. */
static gboolean
use_response(gpointer user, const ImapResponse *response, GError **error)
{
	guint depth = 0;

	for (guint i = 0; i < response->n_tokens; i++) {
		const ImapToken *token = &response->tokens[i];
		guint64 number = 0;
		gint64 seconds = 0;
		guint next = imap_response_skip(response, i);

		if (next <= i || next > response->n_tokens)
			g_error("skipping token %u of %u led to %u", i, response->n_tokens, next);
		if (token->type == IMAP_TOKEN_OPEN)
			depth++;
		if (token->type == IMAP_TOKEN_CLOSE && depth-- == 0)
			g_error("unequal parentheses came through");
		if (depth > 64)
			g_error("too many levels came through");
		if (token->type == IMAP_TOKEN_STREAMED)
			continue;
		if (imap_parse_number(token->text, token->size, G_MAXUINT32, &number) &&
		    number > G_MAXUINT32)
			g_error("a number beyond its bound");
		if (imap_parse_date(token->text, token->size, &seconds) &&
		    (seconds < G_GINT64_CONSTANT(-2209075200) ||
		     seconds > G_GINT64_CONSTANT(253402387200)))
			g_error("a date outside its years");
	}
	if (depth != 0)
		g_error("an open list came through");
	return TRUE;
}

static ImapLiteralPlace
place_literal(gpointer user, const ImapResponse *so_far, guint64 size)
{
	return size % 2 == 0 ? IMAP_LITERAL_MEMORY : IMAP_LITERAL_STREAM;
}

static gboolean
take_literal(gpointer user, const guint8 *data, gsize len, GError **error)
{
	if (len == 0 || len > 64 * 1024)
		g_error("a step of %" G_GSIZE_FORMAT " bytes", len);
	return TRUE;
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
	static const ImapParserEvents events = {use_response, place_literal, take_literal};
	g_autoptr(ImapParser) parser = imap_parser_new(&events, NULL);
	g_autofree char *whole = imap_trace(data, size, size, 1);
	g_autofree char *pieces = NULL;
	guint32 hash = 5381;

	for (gsize i = 0; i < size; i++)
		hash = hash * 33 + data[i];
	pieces = imap_trace(data, size, hash % (size + 1), 1 + (hash >> 16) % 61);
	if (strcmp(whole, pieces) != 0)
		g_error("whole:\n%s\nin pieces:\n%s", whole, pieces);
	imap_parser_feed(parser, data, size, NULL);
	return 0;
}
