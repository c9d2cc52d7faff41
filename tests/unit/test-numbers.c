/* SPDX-License-Identifier: MIT */
#include "store/numbers.h"

#include <sqlite3.h>

#include "index-fixture.h"

typedef struct {
	Fixture files;
	Index *index;
	Numbers *numbers;
	UidSet *taken; /* in this session */
} House;

static void
begin_session(House *house)
{
	const PopNumbers *line = numbers_for_line(house->numbers);
	guint32 validity, next;
	g_autoptr(GError) error = NULL;

	g_assert_true(line->open(line->user, &validity, &next, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(validity, ==, numbers_uidvalidity(house->numbers));
	g_assert_cmpuint(validity, !=, 0);
}

static void
enter(House *house)
{
	house->index = open_index(&house->files, FALSE);
	house->numbers = numbers_new(house->index);
	house->taken = uidset_new();
	begin_session(house);
}

static void
leave(House *house)
{
	uidset_free(house->taken);
	numbers_free(house->numbers);
	index_close(house->index);
}

static void
next_session(House *house)
{
	uidset_remove(house->taken, 1, G_MAXUINT32);
	begin_session(house);
}

static void
set_up(House *house, gconstpointer data)
{
	setup(&house->files, NULL);
	enter(house);
}

static void
tear_down(House *house, gconstpointer data)
{
	leave(house);
	teardown(&house->files, NULL);
}

static PopIdentity
identity_of(guint8 who)
{
	PopIdentity identity;

	memset(identity.bytes, who, sizeof identity.bytes);
	return identity;
}

static PopMessage
look_up(House *house, const char *key)
{
	const PopNumbers *line = numbers_for_line(house->numbers);
	PopMessage message = {.key = key};
	g_autoptr(GError) error = NULL;

	g_assert_true(line->look_up(line->user, &message, 1, &error));
	g_assert_no_error(error);
	return message;
}

static guint32
give(House *house, const char *key, guint64 size, guint8 who)
{
	const PopNumbers *line = numbers_for_line(house->numbers);
	PopMessage message = {.key = key, .size = size};
	PopIdentity identity = identity_of(who);
	g_autoptr(GError) error = NULL;
	guint32 uid = line->give(line->user, &message, &identity, house->taken, &error);

	g_assert_no_error(error);
	g_assert_false(uidset_contains(house->taken, uid));
	uidset_add(house->taken, uid, uid);
	return uid;
}

static void
settle(House *house, const char *present)
{
	const PopNumbers *line = numbers_for_line(house->numbers);
	g_autoptr(UidSet) uids = uidset_parse(present, strlen(present), 10);

	line->settle(line->user, uids);
}

static void
test_what_was_given_is_found_again(House *house, gconstpointer data)
{
	guint32 validity = numbers_uidvalidity(house->numbers);
	PopIdentity identity = identity_of(7);
	PopMessage found;

	g_assert_cmpuint(look_up(house, "uidl-1").uid, ==, 0);
	g_assert_cmpuint(give(house, "uidl-1", 1000, 7), ==, 1);
	g_assert_cmpuint(give(house, "uidl-2", 2000, 8), ==, 2);
	for (guint round = 0; round < 2; round++) {
		found = look_up(house, "uidl-1");
		g_assert_cmpuint(found.uid, ==, 1);
		g_assert_cmpuint(found.known_size, ==, 1000);
		g_assert_cmpmem(&found.identity, sizeof identity, &identity, sizeof identity);
		g_assert_cmpuint(look_up(house, "uidl-2").uid, ==, 2);
		leave(house);
		enter(house);
		g_assert_cmpuint(numbers_uidvalidity(house->numbers), ==, validity);
	}
}

static void
test_a_message_that_is_named_anew_keeps_its_number(House *house, gconstpointer data)
{
	give(house, "a", 10, 1);
	give(house, "b", 20, 2);
	next_session(house);
	/* The names have changed places. */
	g_assert_cmpuint(give(house, "b", 10, 1), ==, 1);
	g_assert_cmpuint(give(house, "a", 20, 2), ==, 2);
	leave(house);
	enter(house);
	g_assert_cmpuint(look_up(house, "b").uid, ==, 1);
	g_assert_cmpuint(look_up(house, "a").uid, ==, 2);
}

static void
test_of_messages_that_are_alike_each_has_its_number(House *house, gconstpointer data)
{
	g_assert_cmpuint(give(house, "a", 10, 1), ==, 1);
	g_assert_cmpuint(give(house, "b", 10, 1), ==, 2);
	g_assert_cmpuint(give(house, "c", 10, 1), ==, 3);
	next_session(house);
	g_assert_cmpuint(give(house, "x", 10, 1), ==, 1);
	g_assert_cmpuint(give(house, "y", 10, 1), ==, 2);
	settle(house, "1:2");
	next_session(house);
	leave(house);
	enter(house);
	g_assert_cmpuint(give(house, "p", 10, 1), ==, 1);
	g_assert_cmpuint(give(house, "q", 10, 1), ==, 2);
	/* The third one is another message: the number of the one that went is not its. */
	g_assert_cmpuint(give(house, "r", 10, 1), ==, 4);
}

/* As many as nobody could go through again for each of them. */
static void
test_fifty_thousand_that_are_alike_keep_their_numbers(House *house, gconstpointer data)
{
	const guint n = 50000;

	for (guint round = 0; round < 2; round++) {
		for (guint32 i = 1; i <= n; i++) {
			g_autofree char *key = g_strdup_printf("%u of round %u", i, round);

			g_assert_cmpuint(give(house, key, 1, 1), ==, i);
		}
		next_session(house);
		leave(house);
		enter(house);
	}
	settle(house, "1:10,49991:50000");
	/* Those that are left. */
	for (guint32 i = 1; i <= 20; i++) {
		g_autofree char *key = g_strdup_printf("again %u", i);

		g_assert_cmpuint(give(house, key, 1, 1), ==, i <= 10 ? i : n - 20 + i);
	}
}

static void
test_a_number_is_not_given_again(House *house, gconstpointer data)
{
	for (guint8 who = 1; who <= 5; who++) {
		g_autofree char *key = g_strdup_printf("key %u", who);

		give(house, key, 1, who);
	}
	settle(house, "1:2");
	g_assert_cmpuint(look_up(house, "key 5").uid, ==, 0);
	leave(house);
	enter(house);
	g_assert_cmpuint(look_up(house, "key 5").uid, ==, 0);
	g_assert_cmpuint(look_up(house, "key 2").uid, ==, 2);
	g_assert_cmpuint(give(house, "key 5", 1, 5), ==, 6);
}

static void
copy_file(const char *from, const char *to)
{
	g_autofree char *data = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(from, &data, &len, NULL));
	g_assert_true(g_file_set_contents(to, data, (gssize)len, NULL));
}

/* What is in the file, but not what was written since: the newest rows are lost with the power. */
static void
test_a_number_whose_row_was_lost_is_not_given_again(House *house, gconstpointer data)
{
	static const char *const suffixes[] = {"", "-wal"};
	guint32 lost;

	g_assert_cmpuint(give(house, "a", 1, 1), ==, 1);
	index_flush(house->index);
	for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *from = g_strconcat(house->files.path, suffixes[i], NULL);
		g_autofree char *to = g_strconcat(from, ".then", NULL);

		copy_file(from, to);
	}
	lost = give(house, "b", 1, 2);
	leave(house);
	for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *to = g_strconcat(house->files.path, suffixes[i], NULL);
		g_autofree char *from = g_strconcat(to, ".then", NULL);

		g_assert_cmpint(g_rename(from, to), ==, 0);
	}
	enter(house);
	g_assert_cmpuint(look_up(house, "a").uid, ==, 1);
	g_assert_cmpuint(look_up(house, "b").uid, ==, 0);
	g_assert_cmpuint(give(house, "c", 1, 3), >, lost);
}

static void
test_what_is_kept_outlasts_the_maildrop(House *house, gconstpointer data)
{
	UidSet *kept = uidset_new();

	give(house, "a", 1, 1);
	give(house, "b", 1, 2);
	uidset_add(kept, 2, 2);
	numbers_keep(house->numbers, kept);
	settle(house, "1");
	g_assert_true(numbers_is_absent(house->numbers, 2));
	g_assert_false(numbers_is_absent(house->numbers, 1));
	next_session(house);
	/* It comes back, under another name. */
	g_assert_cmpuint(give(house, "c", 1, 2), ==, 2);
	settle(house, "1:2");
	g_assert_false(numbers_is_absent(house->numbers, 2));
	numbers_keep_one(house->numbers, 2, FALSE);
	settle(house, "1");
	g_assert_cmpuint(look_up(house, "c").uid, ==, 0);
}

static void
test_it_is_known_since_when_a_body_is_here(House *house, gconstpointer data)
{
	IndexBatch *batch;
	g_autoptr(UidSet) early = NULL;
	g_autoptr(UidSet) late = NULL;
	g_autoptr(UidSet) again = NULL;

	give(house, "a", 1, 1);
	give(house, "b", 1, 2);
	give(house, "c", 1, 3);
	settle(house, "1:2");
	index_flush(house->index);
	batch = index_batch_new(99);
	index_batch_fetched(batch, 1, 1000);
	/* The first time counts. */
	index_batch_fetched(batch, 1, 5000);
	index_submit(house->index, batch);
	numbers_fetched(house->numbers, 1, 1000);
	numbers_fetched(house->numbers, 1, 5000);
	numbers_fetched(house->numbers, 2, 3000);
	early = numbers_fetched_before(house->numbers, 1000);
	late = numbers_fetched_before(house->numbers, 1001);
	g_assert_true(uidset_is_empty(early));
	g_assert_cmpuint(uidset_count(late), ==, 1);
	g_assert_true(uidset_contains(late, 1));
	leave(house);
	enter(house);
	/* Nobody has looked yet whether the server has it. */
	settle(house, "1:2");
	again = numbers_fetched_before(house->numbers, G_MAXINT64);
	g_assert_cmpuint(uidset_count(again), ==, 1);
	g_assert_true(uidset_contains(again, 1));
}

static void
test_another_index_has_another_uidvalidity(House *house, gconstpointer data)
{
	guint32 validity = numbers_uidvalidity(house->numbers);

	give(house, "a", 1, 1);
	leave(house);
	index_remove(house->files.directory);
	enter(house);
	g_assert_cmpuint(numbers_uidvalidity(house->numbers), !=, validity);
	g_assert_cmpuint(look_up(house, "a").uid, ==, 0);
}

static void
test_a_flipped_bit_is_noticed(House *house, gconstpointer data)
{
	sqlite3 *db = NULL;

	give(house, "a", 1, 1);
	leave(house);
	g_assert_cmpint(sqlite3_open(house->files.path, &db), ==, SQLITE_OK);
	g_assert_cmpint(sqlite3_exec(db, "UPDATE numbers SET uid = 2", NULL, NULL, NULL), ==,
			SQLITE_OK);
	sqlite3_close(db);
	house->index = open_index(&house->files, TRUE);
	index_close(house->index);
	enter(house);
	g_assert_cmpuint(look_up(house, "a").uid, ==, 0);
}

#define TEST(name) g_test_add("/numbers/" #name, House, NULL, set_up, test_##name, tear_down)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST(what_was_given_is_found_again);
	TEST(a_message_that_is_named_anew_keeps_its_number);
	TEST(of_messages_that_are_alike_each_has_its_number);
	TEST(fifty_thousand_that_are_alike_keep_their_numbers);
	TEST(a_number_is_not_given_again);
	TEST(a_number_whose_row_was_lost_is_not_given_again);
	TEST(what_is_kept_outlasts_the_maildrop);
	TEST(it_is_known_since_when_a_body_is_here);
	TEST(another_index_has_another_uidvalidity);
	TEST(a_flipped_bit_is_noticed);
	return g_test_run();
}
