/* SPDX-License-Identifier: MIT */
#include "control-wait.h"

#include <glib.h>

static void
test_numbers_are_found_by_their_key(void)
{
	static const char json[] =
		"{\n  \"pid\": 17,\n  \"uploads_waiting\": 3,\n  \"last\": 5\n}\n";

	g_assert_cmpint(control_wait_number(json, "pid"), ==, 17);
	g_assert_cmpint(control_wait_number(json, "uploads_waiting"), ==, 3);
	g_assert_cmpint(control_wait_number(json, "last"), ==, 5);
	g_assert_cmpint(control_wait_number(json, "uploads"), ==, 0);
	g_assert_cmpint(control_wait_number("", "pid"), ==, 0);
}

typedef struct {
	guint asked;
	guint until;
	const char *connection;
	guint failed;
	guint stuck;
} Mount;

static char *
answer(gpointer user)
{
	Mount *mount = user;

	if (++mount->asked > mount->until)
		return NULL;
	return g_strdup_printf("{\"connection\": \"%s\",\n\"spool_failed\": %u,\n"
			       "\"uploads_without_mailbox\": %u,\n\"uploads_waiting\": "
			       "%u,\n\"changes_on_the_way\": %u}",
			       mount->connection, mount->failed, mount->stuck,
			       mount->until - mount->asked > 1 ? 2u : 0u,
			       mount->until - mount->asked == 1 ? 1u : 0u);
}

static void
test_it_ends_when_nothing_is_left(void)
{
	Mount mount = {.until = 4, .connection = "online"};

	control_wait_for_writes(answer, &mount);
	g_assert_cmpuint(mount.asked, ==, 4);
}

/* @data: a Mount. */
static void
test_it_does_not_wait_in_vain(gconstpointer data)
{
	Mount mount = *(const Mount *)data;

	if (g_test_subprocess()) {
		control_wait_for_writes(answer, &mount);
		g_assert_cmpuint(mount.asked, ==, 1);
		return;
	}
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_passed();
	g_test_trap_assert_stderr("*2 changes are not on the server yet*");
}

int
main(int argc, char **argv)
{
	static const Mount away = {.until = 4, .connection = "offline"};
	static const Mount broken = {.until = 4, .connection = "online", .failed = 1};
	static const Mount stuck = {.until = 4, .connection = "online", .stuck = 2};

	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/control-wait/" name, function)
	ADD("numbers-are-found-by-their-key", test_numbers_are_found_by_their_key);
	ADD("it-ends-when-nothing-is-left", test_it_ends_when_nothing_is_left);
	g_test_add_data_func("/control-wait/it-does-not-wait-for-a-server-that-is-away", &away,
			     test_it_does_not_wait_in_vain);
	g_test_add_data_func("/control-wait/it-does-not-wait-for-a-disk-that-has-failed", &broken,
			     test_it_does_not_wait_in_vain);
	g_test_add_data_func("/control-wait/it-does-not-wait-for-a-mailbox-that-is-not-there",
			     &stuck, test_it_does_not_wait_in_vain);
	return g_test_run();
}
