/* SPDX-License-Identifier: MIT */
/* Any bytes as a POP3 server's replies, and as a header. Beyond "does not crash": the same is said
 * however the input is cut, where the cuts are a hash of the input. */
#include <string.h>

#include <gio/gio.h>

#include "../pop-trace.h"
#include "proto/pop-header.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static PopHeader *
header_of(const guint8 *data, gsize size, gsize step)
{
	PopHeader *header = pop_header_new();

	for (gsize at = 0; at < size; at += step)
		pop_header_feed(header, data + at, MIN(step, size - at));
	return header;
}

static void
look_at_header(const guint8 *data, gsize size, gsize step)
{
	g_autoptr(PopHeader) whole = header_of(data, size, MAX(size, 1));
	g_autoptr(PopHeader) pieces = header_of(data, size, step);
	g_autofree char *fields = NULL;
	PopIdentity one, other;
	gsize len, text_len;

	pop_header_identity(whole, &one);
	pop_header_identity(pieces, &other);
	if (!pop_identity_equal(&one, &other))
		g_error("the pieces of a header are another message's");
	pop_header_text(whole, &text_len);
	fields = pop_header_fields(whole, &len);
	if (len > text_len + 2 || text_len > size)
		g_error("%" G_GSIZE_FORMAT " bytes of %" G_GSIZE_FORMAT, len, text_len);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
	g_autofree char *whole = pop_trace(data, size, size, 1);
	g_autofree char *pieces = NULL;
	guint32 hash = 5381;

	for (gsize i = 0; i < size; i++)
		hash = hash * 33 + data[i];
	pieces = pop_trace(data, size, hash % (size + 1), 1 + (hash >> 16) % 61);
	if (strcmp(whole, pieces) != 0)
		g_error("whole:\n%s\nin pieces:\n%s", whole, pieces);
	look_at_header(data, size, 1 + (hash >> 8) % 61);
	return 0;
}
