/* SPDX-License-Identifier: MIT */
#include "fs/workers.h"

#define MS G_TIME_SPAN_MILLISECOND

/* A look at one that gets on, @ms after the beginning. */
static ShiftLook
at(gint64 ms)
{
	return (ShiftLook){.now = G_TIME_SPAN_HOUR + ms * MS, .progress = TRUE};
}

static void
assert_next(Shift *shift, ShiftLook look, ShiftWho expected)
{
	g_assert_cmpint(shift_look(shift, &look), ==, expected);
	g_assert_cmpint(shift->who, ==, expected);
}

/* How long the steady one serves from @from on, looked at each 5 ms. */
static gint64
term_from(Shift *shift, gint64 from)
{
	gint64 ms = from;

	g_assert_cmpint(shift->who, ==, SHIFT_STEADY);
	for (ShiftLook look = at(ms); shift_look(shift, &look) == SHIFT_STEADY; look = at(ms))
		ms += 5;
	return ms - from;
}

static void
test_the_quick_one_serves_while_it_gets_on(void)
{
	Shift shift = {0};

	for (gint64 ms = 0; ms < 10000; ms += 5)
		assert_next(&shift, at(ms), SHIFT_QUICK);
}

static void
test_the_steady_one_comes_where_requests_wait(void)
{
	ShiftLook held_up = at(0), stuck = at(0), robbed = at(0), crowded = at(0);

	held_up.progress = stuck.progress = FALSE;
	held_up.wanted = TRUE;
	stuck.in_handler = TRUE;
	robbed.lost_ns = 1000000;
	crowded.lost_ns = 100000;
	assert_next(&(Shift){0}, held_up, SHIFT_STEADY);
	assert_next(&(Shift){0}, stuck, SHIFT_STEADY);
	assert_next(&(Shift){0}, robbed, SHIFT_STEADY);
	assert_next(&(Shift){0}, crowded, SHIFT_QUICK);
}

static void
test_terms_grow_where_it_has_to_come_again_soon(void)
{
	Shift shift = {0};
	ShiftLook look = at(0);
	gint64 ms = 0, term = 0, before;

	for (guint i = 0; i < 10; i++) {
		look = at(ms);
		look.lost_ns = 1000000;
		assert_next(&shift, look, SHIFT_STEADY);
		before = term;
		term = term_from(&shift, ms);
		g_assert_cmpint(term, ==, i == 0 ? 100 : MIN(2 * before, 3000));
		ms += term + 5;
	}
	ms += 20000;
	look = at(ms);
	look.lost_ns = 1000000;
	assert_next(&shift, look, SHIFT_STEADY);
	g_assert_cmpint(term_from(&shift, ms), ==, 100);
}

/* Where the client runs here and there, the quick one is better; but not to and fro for ever. */
static void
test_a_client_that_moves_about_is_the_quick_ones(void)
{
	Shift shift = {0};
	ShiftLook robbed = at(0), moved = at(5);

	robbed.lost_ns = 1000000;
	moved.moved = TRUE;
	assert_next(&shift, robbed, SHIFT_STEADY);
	assert_next(&shift, moved, SHIFT_QUICK);
	robbed.now = at(10).now;
	assert_next(&shift, robbed, SHIFT_QUICK);
	robbed.now = at(30).now;
	assert_next(&shift, robbed, SHIFT_STEADY);
}

static void
test_one_that_is_stuck_is_relieved_whichever_it_is(void)
{
	Shift shift = {0};
	ShiftLook stuck = at(0);

	stuck.progress = FALSE;
	stuck.in_handler = TRUE;
	assert_next(&shift, stuck, SHIFT_STEADY);
	stuck.now = at(5).now;
	assert_next(&shift, stuck, SHIFT_QUICK);
}

#define TEST(name) g_test_add_func("/workers/" #name, test_##name)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST(the_quick_one_serves_while_it_gets_on);
	TEST(the_steady_one_comes_where_requests_wait);
	TEST(terms_grow_where_it_has_to_come_again_soon);
	TEST(a_client_that_moves_about_is_the_quick_ones);
	TEST(one_that_is_stuck_is_relieved_whichever_it_is);
	return g_test_run();
}
