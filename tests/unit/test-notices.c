/* SPDX-License-Identifier: MIT */
#include "fs/notices.h"

typedef struct {
	GMutex lock;
	GCond changed;
	GString *told;
} Fixture;

static void
tell(gpointer user, guint64 parent, guint64 child, const char *name)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->told, "%s%d/%d/%s", fixture->told->len > 0 ? " " : "",
			       (int)parent, (int)child, name);
	g_cond_broadcast(&fixture->changed);
}

static Notices *
set_up(Fixture *fixture)
{
	fixture->told = g_string_new(NULL);
	g_mutex_init(&fixture->lock);
	g_cond_init(&fixture->changed);
	return notices_new(tell, fixture);
}

static void
tear_down(Fixture *fixture, Notices *notices)
{
	notices_free(notices);
	g_string_free(fixture->told, TRUE);
	g_mutex_clear(&fixture->lock);
	g_cond_clear(&fixture->changed);
}

/* A last one, that nobody holds back; and what was told until then. */
static void
assert_told(Fixture *fixture, Notices *notices, const char *expected)
{
	g_autoptr(GMutexLocker) locker = NULL;
	g_autofree char *all =
		g_strconcat(expected, *expected != '\0' ? " " : "", "99/0/end", NULL);

	notices_push(notices, 99, 0, "end");
	locker = g_mutex_locker_new(&fixture->lock);
	while (!g_str_has_suffix(fixture->told->str, "99/0/end"))
		g_cond_wait(&fixture->changed, &fixture->lock);
	g_assert_cmpstr(fixture->told->str, ==, all);
	g_string_truncate(fixture->told, 0);
}

static void
test_order(void)
{
	Fixture fixture;
	Notices *notices = set_up(&fixture);

	notices_push(notices, 1, 0, "a");
	notices_push(notices, 2, 7, "b");
	notices_push(notices, 1, 0, "c");
	assert_told(&fixture, notices, "1/0/a 2/7/b 1/0/c");
	tear_down(&fixture, notices);
}

static void
test_held(void)
{
	Fixture fixture;
	Notices *notices = set_up(&fixture);

	notices_hold(notices, 1);
	notices_hold(notices, 1);
	notices_push(notices, 1, 0, "a");
	notices_push(notices, 2, 0, "b");
	notices_push(notices, 1, 5, "c");
	assert_told(&fixture, notices, "2/0/b");
	notices_let_go(notices, 1);
	assert_told(&fixture, notices, "");
	notices_let_go(notices, 1);
	assert_told(&fixture, notices, "1/0/a 1/5/c");
	tear_down(&fixture, notices);
}

static void
test_held_child(void)
{
	Fixture fixture;
	Notices *notices = set_up(&fixture);

	notices_hold(notices, 5);
	notices_push(notices, 1, 5, "a");
	notices_push(notices, 1, 6, "b");
	assert_told(&fixture, notices, "1/6/b");
	notices_let_go(notices, 5);
	assert_told(&fixture, notices, "1/5/a");
	tear_down(&fixture, notices);
}

static void
test_held_by_two(void)
{
	Fixture fixture;
	Notices *notices = set_up(&fixture);

	notices_hold(notices, 1);
	notices_hold(notices, 5);
	notices_push(notices, 1, 5, "a");
	notices_let_go(notices, 1);
	assert_told(&fixture, notices, "");
	notices_let_go(notices, 5);
	assert_told(&fixture, notices, "1/5/a");
	tear_down(&fixture, notices);
}

static void
test_end(void)
{
	Fixture fixture;
	Notices *notices = set_up(&fixture);

	notices_hold(notices, 1);
	notices_push(notices, 1, 0, "a");
	assert_told(&fixture, notices, "");
	tear_down(&fixture, notices);
}

int
main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/notices/are told in their order", test_order);
	g_test_add_func(
		"/notices/of a directory in which somebody waits are told when the last has "
		"his answer",
		test_held);
	g_test_add_func("/notices/of a file on which somebody waits are kept back too",
			test_held_child);
	g_test_add_func("/notices/wait for both, the directory and the file", test_held_by_two);
	g_test_add_func("/notices/that are kept back at the end are dropped", test_end);
	return g_test_run();
}
