/* SPDX-License-Identifier: MIT */
#include "mail/outbox-ledger.h"

#include <signal.h>
#include <sys/resource.h>

#include "fake-backend.h"

#define LINE 24

typedef struct {
	char *directory;
	Ledger *ledger;
} Fixture;

static void
open_it(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;

	ledger_close(fixture->ledger);
	fixture->ledger = ledger_open(fixture->directory, &error);
	g_assert_no_error(error);
}

static void
setup(Fixture *fixture, gconstpointer data)
{
	fixture->directory = fake_directory();
	open_it(fixture);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	ledger_close(fixture->ledger);
	fake_directory_remove(fixture->directory);
}

static void
test_the_last_word_counts_also_in_the_next_life(Fixture *fixture, gconstpointer data)
{
	ledger_note(fixture->ledger, 1, LEDGER_BEGUN);
	ledger_note(fixture->ledger, 2, LEDGER_BEGUN);
	ledger_note(fixture->ledger, 3, LEDGER_BEGUN);
	ledger_note(fixture->ledger, 2, LEDGER_SENT);
	ledger_note(fixture->ledger, 3, LEDGER_BACK);
	open_it(fixture);
	g_assert_cmpint(ledger_word(fixture->ledger, 1), ==, LEDGER_BEGUN);
	g_assert_cmpint(ledger_word(fixture->ledger, 2), ==, LEDGER_SENT);
	g_assert_cmpint(ledger_word(fixture->ledger, 3), ==, LEDGER_BACK);
	g_assert_cmpint(ledger_word(fixture->ledger, 4), ==, LEDGER_NOTHING);
	g_assert_cmpint(ledger_word(fixture->ledger, 0), ==, LEDGER_NOTHING);
	g_assert_cmpuint(ledger_sent(fixture->ledger, 60, 1, NULL), ==, 1);
}

/* No file of this process can grow beyond that. */
static void
set_room(rlim_t octets)
{
	struct rlimit limit;

	g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
	limit.rlim_cur = octets;
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

static void
test_a_line_that_has_no_room_costs_no_other(Fixture *fixture, gconstpointer data)
{
	ledger_note(fixture->ledger, 1, LEDGER_SENT);
	set_room(LINE + 10);
	ledger_note(fixture->ledger, 2, LEDGER_SENT);
	set_room(RLIM_INFINITY);
	ledger_note(fixture->ledger, 3, LEDGER_SENT);
	open_it(fixture);
	g_assert_cmpint(ledger_word(fixture->ledger, 1), ==, LEDGER_SENT);
	g_assert_cmpint(ledger_word(fixture->ledger, 2), ==, LEDGER_NOTHING);
	g_assert_cmpint(ledger_word(fixture->ledger, 3), ==, LEDGER_SENT);
}

static void
test_what_a_crash_has_cut_short_or_damaged_is_passed_over(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "sent", NULL);
	g_autofree char *bytes = NULL;
	gsize len;

	for (guint64 ticket = 1; ticket <= 4; ticket++)
		ledger_note(fixture->ledger, ticket, LEDGER_SENT);
	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	g_assert_cmpuint(len, ==, 4 * LINE);
	bytes[LINE + 3] ^= 1;
	g_assert_true(g_file_set_contents(path, bytes, (gssize)len - 5, NULL));
	open_it(fixture);
	ledger_note(fixture->ledger, 5, LEDGER_SENT);
	open_it(fixture);
	g_assert_cmpint(ledger_word(fixture->ledger, 1), ==, LEDGER_SENT);
	g_assert_cmpint(ledger_word(fixture->ledger, 2), ==, LEDGER_NOTHING);
	g_assert_cmpint(ledger_word(fixture->ledger, 3), ==, LEDGER_SENT);
	g_assert_cmpint(ledger_word(fixture->ledger, 4), ==, LEDGER_NOTHING);
	g_assert_cmpint(ledger_word(fixture->ledger, 5), ==, LEDGER_SENT);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	signal(SIGXFSZ, SIG_IGN);
#define TEST(name, function)                                                                       \
	g_test_add("/outbox-ledger/" name, Fixture, NULL, setup, test_##function, teardown)
	TEST("the-last-word-counts-also-in-the-next-life",
	     the_last_word_counts_also_in_the_next_life);
	TEST("a-line-that-has-no-room-costs-no-other", a_line_that_has_no_room_costs_no_other);
	TEST("what-a-crash-has-cut-short-or-damaged-is-passed-over",
	     what_a_crash_has_cut_short_or_damaged_is_passed_over);
	return g_test_run();
}
