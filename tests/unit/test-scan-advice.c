/* SPDX-License-Identifier: MIT */
/* Readers in listing order: what scan_note_open() advises. No server is needed. */
#include "store/scan.h"

#include <stdlib.h>

#define SERIAL	 7
#define MESSAGES 12000
#define WINDOW	 4096			       /* at most this far ahead */
#define LEAST	 256			       /* this far, even where a body comes at once */
#define LONG	 G_GINT64_CONSTANT(1000000000) /* us: longer than any pause of this machine */

typedef struct {
	Scan *scan;
	guint n;
	guint8 asked[MESSAGES]; /* how often each rank was advised */
	guint hits, opens;	/* opened after it had been advised */
	guint most;		/* in one advice */
} Course;

static ScanAdvice
open_rank(Course *course, guint32 reader, guint32 serial, guint rank)
{
	ScanAdvice advice = scan_note_open(course->scan, reader, serial, rank, course->n);

	course->opens++;
	course->hits += course->asked[rank] > 0;
	course->most = MAX(course->most, advice.count);
	for (guint i = 0; i < advice.count; i++) {
		guint wanted = advice.backward ? advice.from - i : advice.from + i;

		g_assert_cmpuint(wanted, <, course->n);
		course->asked[wanted]++;
	}
	return advice;
}

static void
assert_each_once(const Course *course, guint from, guint to)
{
	for (guint rank = 0; rank < course->n; rank++)
		if (rank >= from && rank <= to)
			g_assert_cmpuint(course->asked[rank], ==, 1);
		else
			g_assert_cmpuint(course->asked[rank], ==, 0);
}

static void
begin(Course *course, guint n)
{
	*course = (Course){.scan = scan_new(NULL, NULL, NULL, NULL), .n = n};
	scan_note_latency(course->scan, LONG);
}

static void
end(Course *course)
{
	scan_free(course->scan);
}

static void
test_one_open_is_no_scan_and_the_second_in_order_is(void)
{
	Course course;
	ScanAdvice advice;

	begin(&course, 100);
	g_assert_cmpuint(open_rank(&course, 1, SERIAL, 10).count, ==, 0);
	advice = open_rank(&course, 1, SERIAL, 11);
	g_assert_cmpuint(advice.from, ==, 12);
	g_assert_cmpuint(advice.count, ==, 8);
	g_assert_false(advice.backward);
	end(&course);
}

static void
test_who_has_listed_and_opens_the_first_reads_them_all(void)
{
	Course course;
	ScanAdvice advice;

	begin(&course, 100);
	scan_note_listed(course.scan, 1, SERIAL);
	g_assert_cmpuint(open_rank(&course, 2, SERIAL, 0).count, ==, 0);
	advice = open_rank(&course, 1, SERIAL, 0);
	g_assert_cmpuint(advice.from, ==, 1);
	g_assert_cmpuint(advice.count, ==, 8);
	g_assert_false(advice.in_order);
	advice = open_rank(&course, 1, SERIAL, 1);
	g_assert_cmpuint(advice.from, ==, 9);
	g_assert_true(advice.in_order);
	/* A listing tells of the next open alone. */
	g_assert_cmpuint(open_rank(&course, 1, SERIAL, 50).count, ==, 0);
	g_assert_cmpuint(open_rank(&course, 1, SERIAL, 0).count, ==, 0);
	scan_note_listed(course.scan, 1, SERIAL);
	g_assert_cmpuint(open_rank(&course, 1, SERIAL, 20).count, ==, 0);
	g_assert_cmpuint(open_rank(&course, 1, SERIAL, 0).count, ==, 0);
	end(&course);
}

static void
test_opening_the_same_again_is_no_scan(void)
{
	Course course;

	begin(&course, 100);
	for (guint i = 0; i < 20; i++)
		g_assert_cmpuint(open_rank(&course, 1, SERIAL, 10).count, ==, 0);
	end(&course);
}

static void
test_a_forward_scan_is_asked_for_once_and_in_time(void)
{
	Course course;

	begin(&course, MESSAGES);
	for (guint rank = 0; rank < MESSAGES; rank++)
		open_rank(&course, 1, SERIAL, rank);
	assert_each_once(&course, 2, MESSAGES - 1);
	g_assert_cmpuint(course.hits, ==, MESSAGES - 2);
	g_assert_cmpuint(course.most, <=, WINDOW);
	g_assert_cmpuint(course.most, >=, WINDOW / 4);
	end(&course);
}

static void
test_a_backward_scan_is_asked_for_once_and_in_time(void)
{
	Course course;

	begin(&course, MESSAGES);
	for (guint rank = MESSAGES; rank > 0; rank--)
		open_rank(&course, 1, SERIAL, rank - 1);
	assert_each_once(&course, 0, MESSAGES - 3);
	g_assert_cmpuint(course.hits, ==, MESSAGES - 2);
	end(&course);
}

static void
test_the_window_grows_and_is_filled_up_when_a_quarter_is_used(void)
{
	Course course;
	guint end_of_asked = 0, advices = 0;

	begin(&course, MESSAGES);
	for (guint rank = 0; rank < 10000; rank++) {
		ScanAdvice advice = open_rank(&course, 1, SERIAL, rank);
		guint unread;

		if (advice.count > 0) {
			g_assert_cmpuint(advice.from, ==, advices > 0 ? end_of_asked : 2);
			end_of_asked = advice.from + advice.count;
			advices++;
		}
		if (rank == 0)
			continue;
		unread = end_of_asked - rank - 1;
		g_assert_cmpuint(unread, <=, WINDOW);
		if (rank > 10)
			g_assert_cmpuint(unread, >=, 30);
		if (rank > 2000 && rank < 7000)
			g_assert_cmpuint(unread, >=, WINDOW / 4 * 3 - 1);
	}
	g_assert_cmpuint(end_of_asked, ==, MESSAGES);
	g_assert_cmpuint(advices, <, 30);
	end(&course);
}

static void
test_where_a_body_comes_at_once_the_window_stays_small(void)
{
	Course course;
	guint end_of_asked = 0;

	begin(&course, MESSAGES);
	scan_note_latency(course.scan, 0);
	for (guint rank = 0; rank < MESSAGES; rank++) {
		ScanAdvice advice = open_rank(&course, 1, SERIAL, rank);

		if (advice.count > 0)
			end_of_asked = advice.from + advice.count;
		g_assert_cmpuint(end_of_asked, <=, rank + 1 + LEAST);
		if (rank > LEAST && rank < MESSAGES - LEAST)
			g_assert_cmpuint(end_of_asked, >=, rank + LEAST / 2);
	}
	end(&course);
}

static void
test_what_was_not_taken_is_advised_again(void)
{
	for (guint backward = 0; backward < 2; backward++) {
		Course course;
		ScanAdvice advice, next;
		guint first = backward ? 500 : 100;
		int step = backward ? -1 : 1;

		begin(&course, MESSAGES);
		open_rank(&course, 1, SERIAL, first);
		advice = scan_note_open(course.scan, 1, SERIAL, first + step, MESSAGES);
		g_assert_cmpint(advice.backward, ==, backward);
		g_assert_cmpuint(advice.from, ==, first + 2 * step);
		scan_note_taken(course.scan, 1, SERIAL, &advice, 3);
		next = scan_note_open(course.scan, 1, SERIAL, first + 2 * step, MESSAGES);
		g_assert_cmpuint(next.from, ==, advice.from + 3 * step);
		g_assert_cmpuint(next.count, >, 3);
		scan_note_taken(course.scan, 1, SERIAL, &next, next.count);
		g_assert_cmpuint(
			scan_note_open(course.scan, 1, SERIAL, first + 3 * step, MESSAGES).from, !=,
			next.from);
		end(&course);
	}
}

static void
test_jumps_are_no_scan(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);
	Course course;
	guint before = 0;

	begin(&course, MESSAGES);
	for (guint i = 0; i < 500; i++) {
		guint rank = g_rand_int_range(rand, 0, MESSAGES);

		if (i > 0 && ABS((int)rank - (int)before) <= 16)
			continue;
		g_assert_cmpuint(open_rank(&course, 1, SERIAL, rank).count, ==, 0);
		before = rank;
	}
	end(&course);
}

static void
test_after_a_jump_a_new_run_begins(void)
{
	Course course;

	begin(&course, MESSAGES);
	for (guint rank = 0; rank < 10; rank++)
		open_rank(&course, 1, SERIAL, rank);
	g_assert_cmpuint(open_rank(&course, 1, SERIAL, 600).count, ==, 0);
	g_assert_cmpuint(open_rank(&course, 1, SERIAL, 601).from, ==, 602);
	g_assert_cmpuint(open_rank(&course, 1, SERIAL, 300).count, ==, 0);
	{
		ScanAdvice advice = open_rank(&course, 1, SERIAL, 299);

		g_assert_true(advice.backward);
		g_assert_cmpuint(advice.from, ==, 298);
		g_assert_cmpuint(advice.count, ==, 8);
	}
	end(&course);
}

typedef struct {
	guint rank;
	double key;
} Place;

static gint
by_key(gconstpointer a, gconstpointer b)
{
	const Place *left = a, *right = b;

	return left->key < right->key ? -1 : left->key > right->key;
}

/* ripgrep's threads: each message is opened at most @blur places from its own. */
static void
open_blurred(Course *course, guint32 seed, gboolean backward, double blur)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
	Place places[MESSAGES];

	for (guint rank = 0; rank < MESSAGES; rank++) {
		places[rank].rank = backward ? MESSAGES - 1 - rank : rank;
		places[rank].key = rank + g_rand_double_range(rand, 0, blur);
	}
	qsort(places, MESSAGES, sizeof(Place), by_key);
	for (guint i = 0; i < MESSAGES; i++)
		open_rank(course, 1, SERIAL, places[i].rank);
}

static void
test_threads_that_overtake_each_other_are_one_scan(void)
{
	for (guint32 seed = 0; seed < 20; seed++) {
		Course course;

		begin(&course, MESSAGES);
		open_blurred(&course, seed, seed % 2 == 1, 8);
		for (guint rank = 0; rank < MESSAGES; rank++)
			g_assert_cmpuint(course.asked[rank], <=, 1);
		g_assert_cmpuint(course.hits, >, MESSAGES * 95 / 100);
		end(&course);
	}
}

static void
test_readers_and_mailboxes_do_not_disturb_each_other(void)
{
	Course courses[4];
	Scan *scan;

	begin(&courses[0], MESSAGES);
	scan = courses[0].scan;
	for (guint i = 1; i < 4; i++)
		courses[i] = (Course){.scan = scan, .n = MESSAGES};
	for (guint i = 0; i < 1000; i++) {
		open_rank(&courses[0], 1, SERIAL, i);
		open_rank(&courses[1], 2, SERIAL, i / 2);
		open_rank(&courses[2], 1, SERIAL + 1, MESSAGES - 1 - i);
		open_rank(&courses[3], 3, SERIAL, i * 100 % MESSAGES);
	}
	g_assert_cmpuint(courses[0].hits, ==, 998);
	g_assert_cmpuint(courses[1].hits, ==, 996);
	g_assert_cmpuint(courses[2].hits, ==, 998);
	g_assert_cmpuint(courses[3].hits, ==, 0);
	scan_free(scan);
}

static void
test_nothing_beyond_either_end_is_wanted(void)
{
	for (guint n = 1; n < 40; n++) {
		Course course;

		begin(&course, n);
		for (guint rank = 0; rank < n; rank++)
			open_rank(&course, 1, SERIAL, rank);
		for (guint rank = n; rank > 0; rank--)
			open_rank(&course, 2, SERIAL, rank - 1);
		open_rank(&course, 3, SERIAL, n - 1);
		end(&course);
	}
}

static void
test_any_order_at_all_keeps_within_the_mailbox(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(11);
	Course course;
	guint rank = 0;

	begin(&course, 300);
	for (guint i = 0; i < 20000; i++) {
		int step = g_rand_int_range(rand, -20, 21);

		rank = CLAMP((int)rank + step, 0, 299);
		if (i % 50 == 0)
			course.n = g_rand_int_range(rand, 200, 301);
		rank = MIN(rank, course.n - 1);
		open_rank(&course, i / 500 % 3, SERIAL + i / 3000, rank);
	}
	end(&course);
}

static void
test_more_readers_than_are_remembered_are_survived(void)
{
	Course course;
	guint advised = 0;

	begin(&course, MESSAGES);
	for (guint round = 0; round < 3; round++)
		for (guint32 reader = 1; reader <= 200; reader++)
			open_rank(&course, reader, SERIAL, round);
	for (guint rank = 0; rank < 10; rank++)
		advised += open_rank(&course, 1000, SERIAL, rank).count;
	g_assert_cmpuint(advised, >, 8);
	end(&course);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(sentence, function) g_test_add_func("/scan-advice/" sentence, function)
	TEST("one-open-is-no-scan-and-the-second-in-order-is",
	     test_one_open_is_no_scan_and_the_second_in_order_is);
	TEST("who-has-listed-and-opens-the-first-reads-them-all",
	     test_who_has_listed_and_opens_the_first_reads_them_all);
	TEST("opening-the-same-again-is-no-scan", test_opening_the_same_again_is_no_scan);
	TEST("a-forward-scan-is-asked-for-once-and-in-time",
	     test_a_forward_scan_is_asked_for_once_and_in_time);
	TEST("a-backward-scan-is-asked-for-once-and-in-time",
	     test_a_backward_scan_is_asked_for_once_and_in_time);
	TEST("the-window-grows-and-is-filled-up-when-a-quarter-is-used",
	     test_the_window_grows_and_is_filled_up_when_a_quarter_is_used);
	TEST("where-a-body-comes-at-once-the-window-stays-small",
	     test_where_a_body_comes_at_once_the_window_stays_small);
	TEST("what-was-not-taken-is-advised-again", test_what_was_not_taken_is_advised_again);
	TEST("jumps-are-no-scan", test_jumps_are_no_scan);
	TEST("after-a-jump-a-new-run-begins", test_after_a_jump_a_new_run_begins);
	TEST("threads-that-overtake-each-other-are-one-scan",
	     test_threads_that_overtake_each_other_are_one_scan);
	TEST("readers-and-mailboxes-do-not-disturb-each-other",
	     test_readers_and_mailboxes_do_not_disturb_each_other);
	TEST("nothing-beyond-either-end-is-wanted", test_nothing_beyond_either_end_is_wanted);
	TEST("any-order-at-all-keeps-within-the-mailbox",
	     test_any_order_at_all_keeps_within_the_mailbox);
	TEST("more-readers-than-are-remembered-are-survived",
	     test_more_readers_than_are_remembered_are_survived);
	return g_test_run();
}
