/* SPDX-License-Identifier: MIT */
#include "fs/follow.h"

static void
note(Follow *follow, guint32 client, guint n, guint *clients, guint *releases)
{
	for (guint i = 0; i < n; i++) {
		FollowAdvice advice = follow_note(follow, client);

		*clients += advice == FOLLOW_CLIENT;
		*releases += advice == FOLLOW_RELEASE;
	}
}

static void
test_alone(void)
{
	Follow follow = {0};
	guint clients = 0, releases = 0;

	note(&follow, 7, FOLLOW_EVERY - 1, &clients, &releases);
	g_assert_cmpuint(clients, ==, 0);
	note(&follow, 7, 1, &clients, &releases);
	g_assert_cmpuint(clients, ==, 1);
	g_assert_cmpuint(follow.client, ==, 7);
	note(&follow, 7, 10 * FOLLOW_EVERY, &clients, &releases);
	g_assert_cmpuint(clients, ==, 11);
	g_assert_cmpuint(releases, ==, 0);
}

static void
test_several(void)
{
	Follow follow = {0};
	guint clients = 0, releases = 0;

	for (guint i = 0; i < 4 * FOLLOW_EVERY; i++)
		note(&follow, 7 + i % 2, 1, &clients, &releases);
	g_assert_cmpuint(clients, ==, 0);
	g_assert_cmpuint(releases, ==, 4);
}

static void
test_kernel(void)
{
	Follow follow = {0};
	guint clients = 0, releases = 0;

	for (guint i = 0; i < FOLLOW_EVERY; i++) {
		note(&follow, 0, 3, &clients, &releases);
		note(&follow, 9, 1, &clients, &releases);
	}
	g_assert_cmpuint(clients, ==, 1);
	g_assert_cmpuint(releases, ==, 0);
}

static void
test_stat(void)
{
	static const char before[] = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 "
				     "23 24 25 26 27 28 29 30 31 32 33 34 35 ";
	static const struct {
		const char *name, *after;
		int cpu;
	} cases[] = {
		{"42 (grep)", "5 0 0", 5},
		{"42 (a) R 1 2)", "0 0", 0},
		{"42 (a b c)", "63\n", 63},
		{"42 (grep)", "x", FOLLOW_NOBODY},
		{"42 (grep)", "", FOLLOW_NOBODY},
		{"42 (grep)", "5x", FOLLOW_NOBODY},
		{"42 grep", "5 0", FOLLOW_NOBODY},
		{"42 (grep)", "-1 0", FOLLOW_NOBODY},
		{"42 (grep)", "99999 0", FOLLOW_NOBODY},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *line = g_strconcat(cases[i].name, before, cases[i].after, NULL);

		g_assert_cmpint(follow_parse_cpu(line), ==, cases[i].cpu);
	}
	g_assert_cmpint(follow_parse_cpu("42 (grep) S 1 2"), ==, FOLLOW_NOBODY);
	g_assert_cmpint(follow_parse_cpu(""), ==, FOLLOW_NOBODY);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/follow/a client that is alone is followed", test_alone);
	g_test_add_func("/follow/of several clients none is followed", test_several);
	g_test_add_func("/follow/what the kernel itself asks changes nothing", test_kernel);
	g_test_add_func("/follow/the CPU is read whatever the program is called", test_stat);
	return g_test_run();
}
