/* SPDX-License-Identifier: MIT */
/* Mailbox names, both ways: the input as what a server says, and as what a user types. */
#include <string.h>

#include "mail/name.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static void
check_shown(const char *shown)
{
	g_assert_true(g_utf8_validate(shown, -1, NULL));
	g_assert_true(strlen(shown) >= 1 && strlen(shown) <= 255 && *shown != '.');
	for (const char *p = shown; *p != '\0'; p = g_utf8_next_char(p))
		g_assert_true(*p != '/' && !g_unichar_iscntrl(g_utf8_get_char(p)));
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
	const char *input = size > 0 ? (const char *)data : "";
	g_autofree char *typed = g_strndup(input, size);
	g_autofree char *made = name_to_mutf7(typed, NULL);
	g_autofree char *shown = name_from_mutf7(input, size);
	g_autofree char *back = name_to_mutf7(shown, NULL);

	check_shown(shown);
	if (back != NULL) {
		g_assert_cmpuint(strlen(back), ==, size);
		g_assert_true(memcmp(back, input, size) == 0);
	}
	if (made != NULL) {
		g_autofree char *again = name_from_mutf7(made, strlen(made));

		g_assert_cmpstr(again, ==, typed);
	}
	return 0;
}
