/* SPDX-License-Identifier: MIT */
/* A header block to a message's name and its decoded fields. */
#include <string.h>

#include "mail/mime.h"
#include "mail/name.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static void
check_text(char *text)
{
	g_assert_true(g_utf8_validate(text, -1, NULL));
	for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p))
		g_assert_false(g_unichar_iscntrl(g_utf8_get_char(p)));
	g_free(text);
}

static void
check_fields(const char *header, gsize size)
{
	g_autofree char *from = mime_header_field(header, size, "From");
	g_autofree char *date = mime_header_field(header, size, "Date");

	g_assert_true(mime_header_length(header, size) <= size);
	check_text(mime_decode_header(header, size));
	check_text(mime_decode_addresses(header, size));
	check_text(mime_decode_date(header, size));
	if (from != NULL)
		check_text(mime_decode_addresses(from, strlen(from)));
	if (date != NULL)
		check_text(mime_decode_date(date, strlen(date)));
	g_free(mime_auth_results(header, size, "mx.example.org"));
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
	const char *header = size > 0 ? (const char *)data : "";
	NameHeaders headers;
	g_autofree char *name = NULL;

	name_headers_parse(header, size, &headers);
	name = name_for_message((gint64)size * 86399, (guint32)size, &headers);
	name_headers_clear(&headers);
	g_assert_true(strlen(name) <= NAME_MAX_MESSAGE && strchr(name, '/') == NULL);
	check_text(g_steal_pointer(&name));
	check_fields(header, size);
	return 0;
}
