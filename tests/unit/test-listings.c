/* SPDX-License-Identifier: MIT */
#include "fs/listings.h"

enum { INO = 7, OTHER = 8 };

static gboolean
open_as(Listings *listings, guint64 version, guint64 shape)
{
	return listings_open(listings, INO, &(ListingView){version, shape != 0, shape, 0, 0});
}

static void
test_what_was_opened_is_kept_until_it_changes(void)
{
	g_autoptr(Listings) listings = listings_new();

	g_assert_false(open_as(listings, 0, 0));
	g_assert_true(open_as(listings, 0, 0));
	g_assert_false(open_as(listings, 1, 0));
	g_assert_true(open_as(listings, 1, 0));
	g_assert_false(open_as(listings, 0, 0));
	g_assert_false(listings_open(listings, OTHER, &(ListingView){.version = 0}));
}

static void
test_what_grew_is_kept_by_who_read_all_of_it(void)
{
	g_autoptr(Listings) listings = listings_new();

	g_assert_false(open_as(listings, 10, 3));
	listings_end(listings, INO, 10, &(ListingView){17, TRUE, 3, 7, 7});
	g_assert_false(open_as(listings, 18, 3));
	listings_end(listings, INO, 18, &(ListingView){20, TRUE, 3, 7, 7});
	g_assert_true(open_as(listings, 20, 3));
}

static void
test_what_changed_otherwise_is_not(void)
{
	g_autoptr(Listings) listings = listings_new();

	g_assert_false(open_as(listings, 10, 3));
	listings_end(listings, INO, 10, &(ListingView){17, TRUE, 4, 7, 7});
	g_assert_false(open_as(listings, 17, 4));
	/* Somebody else has begun anew. */
	g_assert_false(open_as(listings, 18, 4));
	listings_end(listings, INO, 17, &(ListingView){19, TRUE, 4, 7, 7});
	g_assert_false(open_as(listings, 19, 4));
	listings_end(listings, INO, 19, &(ListingView){20, FALSE, 4, 7, 7});
	g_assert_false(open_as(listings, 20, 0));
	listings_end(listings, INO, 20, &(ListingView){21, TRUE, 0, 7, 7});
	g_assert_false(open_as(listings, 21, 4));
	listings_end(listings, OTHER, 21, &(ListingView){22, TRUE, 4, 7, 7});
}

static ListingsWanted
wanted_at(Listings *listings, guint rank)
{
	return listings_wanted(listings, INO, &(ListingView){1, TRUE, 1, rank, 1000000});
}

static void
test_inodes_come_with_the_first_and_then_for_who_asks(void)
{
	const ListingView small = {1, TRUE, 1, LISTINGS_FIRST - 1, LISTINGS_FIRST};
	g_autoptr(Listings) listings = listings_new();
	guint last = LISTINGS_FIRST + 140 + LISTINGS_CREDIT - 1;

	g_assert_false(open_as(listings, 1, 1));
	listings_looked(listings, OTHER);
	g_assert_cmpint(listings_wanted(listings, INO, &small), ==, LISTINGS_ALL);
	g_assert_cmpint(wanted_at(listings, 0), ==, LISTINGS_PROBE);
	g_assert_cmpint(wanted_at(listings, LISTINGS_FIRST - 1), ==, LISTINGS_PROBE);
	g_assert_cmpint(wanted_at(listings, LISTINGS_FIRST), ==, LISTINGS_NAMES);
	listings_looked(listings, INO);
	g_assert_cmpint(wanted_at(listings, LISTINGS_FIRST + 140), ==, LISTINGS_PROBE);
	g_assert_cmpint(wanted_at(listings, last), ==, LISTINGS_PROBE);
	g_assert_cmpint(wanted_at(listings, last + 1), ==, LISTINGS_NAMES);
	listings_looked(listings, INO);
	g_assert_cmpint(wanted_at(listings, last + 1), ==, LISTINGS_PROBE);
	/* The next reader begins with nothing known, and who asks among the first gets more. */
	g_assert_true(open_as(listings, 1, 1));
	g_assert_cmpint(wanted_at(listings, last + 1), ==, LISTINGS_NAMES);
	g_assert_true(open_as(listings, 1, 1));
	listings_looked(listings, INO);
	g_assert_cmpint(wanted_at(listings, 500), ==, LISTINGS_PROBE);
	g_assert_cmpint(wanted_at(listings, LISTINGS_FIRST), ==, LISTINGS_PROBE);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/listings/what-was-opened-is-kept-until-it-changes",
			test_what_was_opened_is_kept_until_it_changes);
	g_test_add_func("/listings/what-grew-is-kept-by-who-read-all-of-it",
			test_what_grew_is_kept_by_who_read_all_of_it);
	g_test_add_func("/listings/what-changed-otherwise-is-not",
			test_what_changed_otherwise_is_not);
	g_test_add_func("/listings/inodes-come-with-the-first-and-then-for-who-asks",
			test_inodes_come_with_the_first_and_then_for_who_asks);
	return g_test_run();
}
