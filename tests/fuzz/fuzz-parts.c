/* SPDX-License-Identifier: MIT */
/* A message to its parts, and all that can be made of each. */
#include <string.h>

#include "mail/mime-decode.h"
#include "mail/name.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static gboolean
keep(gpointer user, const char *data, gsize len)
{
	g_assert_cmpuint(len, >, 0);
	g_string_append_len(user, data, (gssize)len);
	return TRUE;
}

static void
check_text(const GString *text)
{
	g_assert_true(g_utf8_validate_len(text->str, text->len, NULL));
	g_assert_null(memchr(text->str, '\0', text->len));
	g_assert_null(memchr(text->str, '\r', text->len));
	g_assert_null(memchr(text->str, '\x1b', text->len));
}

static void
check_name(const char *file_name)
{
	g_autofree char *name = name_for_file(file_name);

	g_assert_true(g_utf8_validate(file_name, -1, NULL));
	g_assert_true(g_utf8_validate(name, -1, NULL));
	g_assert_cmpuint(strlen(name), <=, NAME_MAX_FILE);
	g_assert_null(strchr(name, '/'));
	g_assert_true(name[0] != '.' && name[0] != '-');
}

static void
check_part(const char *message, gsize size, const MimePart *part)
{
	g_autoptr(GString) bytes = g_string_new(NULL);
	g_autoptr(GString) text = g_string_new(NULL);

	g_assert_true(part->offset <= size && part->len <= size - part->offset);
	g_assert_true(mime_decode_bytes(message, part, keep, bytes));
	g_assert_cmpuint(bytes->len, <=, part->len);
	g_assert_true(mime_decode_text(message, part, keep, text));
	check_text(text);
	g_string_truncate(text, 0);
	g_assert_true(mime_decode_stripped(message, part, keep, text));
	check_text(text);
	if (part->file_name != NULL)
		check_name(part->file_name);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
	const char *message = size > 0 ? (const char *)data : "";
	g_autoptr(GPtrArray) parts = mime_parts(message, size);

	for (guint i = 0; i < parts->len; i++)
		check_part(message, size, parts->pdata[i]);
	return 0;
}
