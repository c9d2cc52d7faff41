/* SPDX-License-Identifier: MIT */
/* Texts that a person has read and found right: files in golden/. */
#pragma once

#include <glib.h>

/* Is @text what golden/@name holds? With GOLDEN=write in the environment it is written there
 * instead, to be looked at with git diff. */
static inline void
golden_check(const char *name, const char *text, gsize len)
{
	g_autofree char *path = g_test_build_filename(G_TEST_DIST, "golden", name, NULL);
	g_autofree char *golden = NULL;
	g_autoptr(GError) error = NULL;
	gsize golden_len = 0;

	if (g_strcmp0(g_getenv("GOLDEN"), "write") == 0)
		g_file_set_contents(path, text, (gssize)len, &error);
	g_assert_no_error(error);
	g_file_get_contents(path, &golden, &golden_len, &error);
	g_assert_no_error(error);
	if (golden_len != len || memcmp(golden, text, len) != 0)
		g_test_message("golden/%s should be:\n%s", name, text);
	g_assert_cmpmem(text, len, golden, golden_len);
}
