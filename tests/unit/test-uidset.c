/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/uidset.h"

static char *
format_all(const UidSet *set)
{
	guint next = 0;
	char *text = uidset_format(set, &next, G_MAXSIZE);

	g_assert_cmpuint(next, ==, uidset_n_ranges(set));
	return text;
}

static void
assert_formats(const UidSet *set, const char *expected)
{
	g_autofree char *text = format_all(set);

	g_assert_cmpstr(text, ==, expected);
}

static UidSet *
parse(const char *text)
{
	return uidset_parse(text, strlen(text), 1000);
}

static void
test_neighbours_become_one_range(void)
{
	g_autoptr(UidSet) set = uidset_new();

	uidset_add(set, 5, 5);
	uidset_add(set, 7, 7);
	assert_formats(set, "5,7");
	uidset_add(set, 6, 6);
	assert_formats(set, "5:7");
	uidset_add(set, 4, 1);
	assert_formats(set, "1:7");
	uidset_add(set, 9, 20);
	uidset_add(set, 30, 40);
	uidset_add(set, 12, 35);
	assert_formats(set, "1:7,9:40");
	g_assert_cmpuint(uidset_count(set), ==, 39);
}

static void
test_zero_is_no_uid(void)
{
	g_autoptr(UidSet) set = uidset_new();

	uidset_add(set, 0, 0);
	uidset_remove(set, 0, 0);
	g_assert_true(uidset_is_empty(set));
	uidset_add(set, 0, 3);
	assert_formats(set, "1:3");
	g_assert_false(uidset_contains(set, 0));
	uidset_remove(set, 1, 0);
	assert_formats(set, "2:3");
}

static void
test_largest_uid_does_not_wrap(void)
{
	g_autoptr(UidSet) set = uidset_new();

	uidset_add(set, G_MAXUINT32, G_MAXUINT32);
	uidset_add(set, 1, 1);
	uidset_add(set, 1, 2);
	assert_formats(set, "1:2,4294967295");
	uidset_add(set, G_MAXUINT32 - 1, G_MAXUINT32 - 1);
	uidset_add(set, 5, G_MAXUINT32);
	assert_formats(set, "1:2,5:4294967295");
	uidset_remove(set, 10, G_MAXUINT32);
	assert_formats(set, "1:2,5:9");
	uidset_add(set, 1, G_MAXUINT32);
	g_assert_cmpuint(uidset_count(set), ==, G_MAXUINT32);
	uidset_remove(set, G_MAXUINT32, G_MAXUINT32);
	g_assert_false(uidset_contains(set, G_MAXUINT32));
	g_assert_true(uidset_contains(set, G_MAXUINT32 - 1));
	uidset_remove(set, 1, G_MAXUINT32);
	g_assert_true(uidset_is_empty(set));
}

enum { MODEL = 96 };

static void
assert_equals_model(const UidSet *set, const gboolean *model)
{
	guint64 count = 0;
	guint ranges = 0;

	for (guint32 uid = 1; uid < MODEL; uid++) {
		g_assert_cmpint(uidset_contains(set, uid), ==, model[uid]);
		count += model[uid] ? 1 : 0;
		ranges += model[uid] && !model[uid - 1] ? 1 : 0;
	}
	g_assert_cmpuint(uidset_count(set), ==, count);
	g_assert_cmpuint(uidset_n_ranges(set), ==, ranges);
	g_assert_cmpint(uidset_is_empty(set), ==, count == 0);
	for (guint i = 0; i < ranges; i++) {
		guint32 first;
		guint32 last;

		uidset_range(set, i, &first, &last);
		g_assert_true(!model[first - 1] && model[first] && model[last]);
		g_assert_true(last + 1 == MODEL || !model[last + 1]);
	}
}

static void
test_random_changes_agree_with_a_bitmap(void)
{
	for (int round = 0; round < 300; round++) {
		g_autoptr(UidSet) set = uidset_new();
		gboolean model[MODEL] = {FALSE};

		for (int step = 0; step < 60; step++) {
			guint32 a = (guint32)g_test_rand_int_range(0, MODEL);
			guint32 length = (guint32)g_test_rand_int_range(0, 12);
			guint32 b = MIN(a + length, MODEL - 1);
			gboolean add = g_test_rand_int_range(0, 5) < 3;

			for (guint32 uid = MAX(a, 1); uid <= b; uid++)
				model[uid] = add;
			if (add)
				uidset_add(set, step % 2 == 0 ? a : b, step % 2 == 0 ? b : a);
			else
				uidset_remove(set, a, b);
			assert_equals_model(set, model);
		}
	}
}

static void
test_copy_is_independent(void)
{
	g_autoptr(UidSet) set = parse("1:3");
	g_autoptr(UidSet) copy = uidset_copy(set);

	uidset_add(copy, 9, 9);
	assert_formats(set, "1:3");
	assert_formats(copy, "1:3,9");
}

static void
test_what_the_grammar_allows_is_parsed(void)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"1", "1"},
		{"4294967295", "4294967295"},
		{"1:4294967295", "1:4294967295"},
		{"007", "7"},
		{"9:3", "3:9"},
		{"1,2,3", "1:3"},
		{"5,1:3,5,2", "1:3,5"},
		{"20:10,1,15:30", "1,10:30"},
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(UidSet) set = parse(cases[i].in);

		g_assert_nonnull(set);
		assert_formats(set, cases[i].out);
	}
}

static void
test_anything_else_is_refused(void)
{
	static const char *const cases[] = {
		"",
		"0",
		"0:5",
		"1:0",
		"4294967296",
		"1:4294967303",
		"99999999999999999999",
		"*",
		"1:*",
		"1,",
		",1",
		"1,,2",
		"1:",
		":1",
		"1:2:3",
		" 1",
		"1 ",
		"1, 2",
		"-1",
		"+1",
		"1a",
		"0x10",
		"18446744073709551617",
	};
	static const char with_nul[] = "1,2\0,3";

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(UidSet) set = parse(cases[i]);

		if (set != NULL)
			g_test_message("accepted: '%s'", cases[i]);
		g_assert_null(set);
	}
	g_assert_null(uidset_parse(with_nul, sizeof with_nul - 1, 1000));
}

static void
test_only_len_bytes_are_read(void)
{
	g_autoptr(UidSet) set = uidset_parse("12:345", 4, 10);

	g_assert_nonnull(set);
	assert_formats(set, "3:12");
}

static void
test_ranges_are_bounded(void)
{
	g_autoptr(UidSet) at_limit = uidset_parse("1,3,5", 5, 3);

	g_assert_nonnull(at_limit);
	g_assert_null(uidset_parse("1,3,5", 5, 2));
	g_assert_null(uidset_parse("1,1,1", 5, 2));
}

static void
test_hostile_order_is_not_quadratic(void)
{
	enum { N = 400000 };
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(UidSet) set = NULL;
	gint64 start;

	for (guint i = N; i > 0; i--)
		g_string_append_printf(text, "%s%u", i == N ? "" : ",", 2 * i);
	start = g_get_monotonic_time();
	set = uidset_parse(text->str, text->len, N);
	g_assert_nonnull(set);
	g_assert_cmpuint(uidset_n_ranges(set), ==, N);
	g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
}

static void
test_format_stops_in_time_and_goes_on(void)
{
	g_autoptr(UidSet) set = parse("1:3,7,9:12,100:200");
	g_autofree char *first = NULL;
	g_autofree char *second = NULL;
	g_autofree char *third = NULL;
	g_autofree char *end = NULL;
	guint next = 0;

	first = uidset_format(set, &next, 5);
	g_assert_cmpstr(first, ==, "1:3,7");
	g_assert_cmpuint(next, ==, 2);
	second = uidset_format(set, &next, 1); /* at least one, whatever the bound */
	g_assert_cmpstr(second, ==, "9:12");
	third = uidset_format(set, &next, 8000);
	g_assert_cmpstr(third, ==, "100:200");
	g_assert_cmpuint(next, ==, uidset_n_ranges(set));
	end = uidset_format(set, &next, 8000);
	g_assert_cmpstr(end, ==, "");
}

static void
test_pieces_of_a_large_set_make_it_whole_again(void)
{
	g_autoptr(UidSet) set = uidset_new();
	g_autoptr(UidSet) sum = uidset_new();
	guint next = 0;
	g_autofree char *before = NULL;

	for (guint32 uid = 1; uid < 60000; uid += 3)
		uidset_add(set, uid, uid + uid % 2);
	while (next < uidset_n_ranges(set)) {
		g_autofree char *text = uidset_format(set, &next, 8000);
		g_autoptr(UidSet) piece = NULL;

		g_assert_cmpuint(strlen(text), <=, 8000);
		piece = parse(text);
		if (piece == NULL)
			piece = uidset_parse(text, strlen(text), 8000);
		g_assert_nonnull(piece);
		for (guint i = 0; i < uidset_n_ranges(piece); i++) {
			guint32 a;
			guint32 b;

			uidset_range(piece, i, &a, &b);
			uidset_add(sum, a, b);
		}
	}
	before = format_all(set);
	assert_formats(sum, before);
}

static void
assert_set(const UidSet *set, const char *expected)
{
	guint next = 0;
	g_autofree char *text = uidset_format(set, &next, 1000);

	g_assert_cmpstr(text, ==, expected);
}

static void
test_sets_are_joined_cut_and_compared(void)
{
	g_autoptr(UidSet) set = uidset_parse("1:3,7,9:12,4294967290:4294967295", 32, 10);
	g_autoptr(UidSet) other = uidset_parse("2,5:10,4294967295", 17, 10);
	g_autoptr(UidSet) common = uidset_intersect(set, other);
	g_autoptr(UidSet) none = uidset_new();

	assert_set(common, "2,7,9:10,4294967295");
	g_assert_true(uidset_is_within(common, set));
	g_assert_true(uidset_is_within(common, other));
	g_assert_true(uidset_is_within(none, none));
	g_assert_false(uidset_is_within(other, set));
	g_assert_false(uidset_is_within(set, none));
	uidset_remove_all(set, other);
	assert_set(set, "1,3,11:12,4294967290:4294967294");
	uidset_remove_all(set, none);
	uidset_add_all(set, common);
	assert_set(set, "1:3,7,9:12,4294967290:4294967295");
	uidset_remove_all(set, set);
	g_assert_true(uidset_is_empty(set));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/uidset/neighbours-become-one-range", test_neighbours_become_one_range);
	g_test_add_func("/uidset/zero-is-no-uid", test_zero_is_no_uid);
	g_test_add_func("/uidset/largest-uid-does-not-wrap", test_largest_uid_does_not_wrap);
	g_test_add_func("/uidset/random-changes-agree-with-a-bitmap",
			test_random_changes_agree_with_a_bitmap);
	g_test_add_func("/uidset/copy-is-independent", test_copy_is_independent);
	g_test_add_func("/uidset/what-the-grammar-allows-is-parsed",
			test_what_the_grammar_allows_is_parsed);
	g_test_add_func("/uidset/anything-else-is-refused", test_anything_else_is_refused);
	g_test_add_func("/uidset/only-len-bytes-are-read", test_only_len_bytes_are_read);
	g_test_add_func("/uidset/ranges-are-bounded", test_ranges_are_bounded);
	g_test_add_func("/uidset/hostile-order-is-not-quadratic",
			test_hostile_order_is_not_quadratic);
	g_test_add_func("/uidset/format-stops-in-time-and-goes-on",
			test_format_stops_in_time_and_goes_on);
	g_test_add_func("/uidset/pieces-of-a-large-set-make-it-whole-again",
			test_pieces_of_a_large_set_make_it_whole_again);
	g_test_add_func("/uidset/sets-are-joined-cut-and-compared",
			test_sets_are_joined_cut_and_compared);
	return g_test_run();
}
