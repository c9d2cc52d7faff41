/* SPDX-License-Identifier: MIT */
/* Big bodies that are read while they come in, through Scan, as mailboxes do. */
#include "store/growth.h"

#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "body-files.h"
#include "fake-backend.h"
#include "store/scan.h"

#define SERIAL 7
#define KIB    1024
#define MIB    (1024 * KIB)
#define SIZE   (9 * MIB + 12345)

typedef struct {
	FakeServer *server;
	char *directory;
	Bodies *bodies;
	Pool *pool;
	Scan *scan;
	ScanPlace place;
	GBytes *body;
	gint fetched; /* atomic */
} Fixture;

static const PoolNews news;

static void
on_fetched(gpointer user, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	Fixture *fixture = user;
	g_autoptr(Body) body = NULL;

	if (uid == 0)
		return;
	body = bodies_get(fixture->bodies, serial, uid, size, crc);
	g_assert_nonnull(body);
	g_assert_cmpuint(size, ==, g_bytes_get_size(fixture->body));
	g_atomic_int_inc(&fixture->fetched);
}

static char *
big_message(void)
{
	GString *raw = g_string_sized_new(SIZE);

	g_string_append(raw, "Subject: big\r\n\r\n");
	for (guint i = 0; raw->len < SIZE; i++)
		g_string_append_printf(raw, "line %u\r\n", i);
	g_string_truncate(raw, SIZE);
	return g_string_free(raw, FALSE);
}

static void
setup(Fixture *fixture, gconstpointer data)
{
	g_autofree char *raw = big_message();

	fixture->server = fake_server_new();
	fake_server_mailbox(fixture->server, "INBOX");
	g_assert_cmpuint(fake_server_add_raw(fixture->server, "INBOX", raw, 0), ==, 1);
	fixture->body = fake_server_body(fixture->server, "INBOX", 1);
	g_assert_cmpuint(g_bytes_get_size(fixture->body), ==, SIZE);
	fixture->directory = fake_directory();
	fixture->place = (ScanPlace){.mailbox = "INBOX", .uidvalidity = 1000, .serial = SERIAL};
	fixture->bodies = bodies_open(fixture->directory, "gen", 0, NULL);
	g_assert_nonnull(fixture->bodies);
	fixture->pool =
		pool_new(fake_backend_new, fake_server_config(fixture->server), 2, &news, fixture);
	fixture->scan = scan_new(fixture->pool, fixture->bodies, on_fetched, fixture);
	pool_retry(fixture->pool);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_ONLINE);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	pool_free(fixture->pool);
	scan_free(fixture->scan);
	bodies_close(fixture->bodies);
	fake_server_free(fixture->server);
	fake_directory_remove(fixture->directory);
	g_bytes_unref(fixture->body);
}

/* --- readers --- */

typedef struct {
	gint told; /* atomic: times */
	int code;  /* -1: no error */
	Body *body;
	guint64 size;
	Growth *growth;
} Reader;

static void
on_opened(gpointer user, Body *body, Growth *growth, guint64 size, const GError *error)
{
	Reader *reader = user;

	g_assert_true((body != NULL) + (growth != NULL) + (error != NULL) == 1);
	reader->code = error != NULL ? error->code : -1;
	reader->body = body;
	reader->growth = growth;
	reader->size = size;
	g_atomic_int_inc(&reader->told);
}

static void
begin_open(Fixture *fixture, Reader *reader, guint64 announced)
{
	*reader = (Reader){0};
	scan_open(fixture->scan, &fixture->place, 1, announced, on_opened, reader);
}

static void
end_open(Reader *reader)
{
	FAKE_WAIT(g_atomic_int_get(&reader->told) > 0);
	g_assert_cmpint(reader->told, ==, 1);
}

/* It must grow, and have the right size. */
static void
open_growing(Fixture *fixture, Reader *reader, guint64 announced)
{
	begin_open(fixture, reader, announced);
	end_open(reader);
	g_assert_cmpint(reader->code, ==, -1);
	g_assert_nonnull(reader->growth);
	g_assert_cmpuint(reader->size, ==, SIZE);
	g_assert_cmpuint(growth_size(reader->growth), ==, SIZE);
}

static void
close_reader(Reader *reader)
{
	g_clear_pointer(&reader->growth, growth_leave);
	g_clear_pointer(&reader->body, body_unref);
}

typedef struct {
	gint told; /* atomic */
	int code;
} Ready;

static void
on_ready(gpointer user, const GError *error)
{
	Ready *ready = user;

	ready->code = error != NULL ? error->code : -1;
	g_atomic_int_inc(&ready->told);
}

/* -1 when these octets came and are right; else the error's code. */
static int
read_octets(Fixture *fixture, const Reader *reader, guint64 offset, guint64 len)
{
	const char *whole = g_bytes_get_data(fixture->body, NULL);
	g_autofree char *octets = g_malloc(len);
	Ready ready = {0};

	if (!growth_has(reader->growth, offset, offset + len)) {
		growth_want(reader->growth, offset, offset + len, on_ready, &ready);
		FAKE_WAIT(g_atomic_int_get(&ready.told) > 0);
		if (ready.code != -1)
			return ready.code;
	}
	len = MIN(len, SIZE - offset);
	g_assert_cmpint(pread(growth_fd(reader->growth), octets, len, (off_t)offset), ==,
			(gssize)len);
	g_assert_true(memcmp(octets, whole + offset, len) == 0);
	return -1;
}

/* The first error of reading all from @offset on, or -1. */
static int
read_on(Fixture *fixture, const Reader *reader, guint64 offset)
{
	int code = -1;

	for (; offset < SIZE && code == -1; offset += 128 * KIB)
		code = read_octets(fixture, reader, offset, 128 * KIB);
	return code;
}

static guint64
octets_sent(Fixture *fixture)
{
	return fake_server_counts(fixture->server).octets;
}

static guint
parts_asked(Fixture *fixture)
{
	return fake_server_counts(fixture->server).requests[REQUEST_PART];
}

/* --- tests --- */

static void
test_the_head_costs_the_first_part(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	open_growing(fixture, &reader, SIZE);
	g_assert_cmpint(read_octets(fixture, &reader, 0, 4096), ==, -1);
	close_reader(&reader);
	g_assert_cmpuint(octets_sent(fixture), ==, 256 * KIB);
	g_assert_cmpuint(parts_asked(fixture), ==, 1);
	g_assert_false(bodies_has(fixture->bodies, SERIAL, 1));
	g_assert_cmpuint(body_files_left(fixture->directory, "gen"), ==, 0);
}

static void
test_read_to_its_end_it_is_cached_and_came_once(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	open_growing(fixture, &reader, SIZE);
	g_assert_cmpint(read_on(fixture, &reader, 0), ==, -1);
	/* Before the reader has heard of the end. */
	g_assert_cmpint(g_atomic_int_get(&fixture->fetched), ==, 1);
	g_assert_cmpuint(octets_sent(fixture), ==, SIZE);
	/* 256 K, 512 K, 1 M, 2 M, 4 M, the rest. */
	g_assert_cmpuint(parts_asked(fixture), <=, 6);
	g_assert_cmpuint(scan_status(fixture->scan).fetched, ==, 1);
	close_reader(&reader);
	g_assert_cmpuint(body_files_left(fixture->directory, "gen"), ==, 1);
}

static void
test_a_read_far_ahead_asks_for_all_up_to_there(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	open_growing(fixture, &reader, SIZE);
	g_assert_cmpint(read_octets(fixture, &reader, 5 * MIB, 100), ==, -1);
	g_assert_cmpuint(parts_asked(fixture), ==, 2);
	g_assert_cmpuint(octets_sent(fixture), ==, 5 * MIB + 100);
	g_assert_cmpint(read_octets(fixture, &reader, SIZE - 10, 10), ==, -1);
	g_assert_cmpuint(octets_sent(fixture), ==, SIZE);
	g_assert_cmpint(read_octets(fixture, &reader, SIZE - 10, 4096), ==, -1);
	close_reader(&reader);
}

static void
test_a_size_that_is_a_lie_costs_the_whole(Fixture *fixture, gconstpointer data)
{
	static const guint64 lies[] = {SIZE - 1, SIZE + 1, SIZE / 2, SIZE * 3, GROWTH_MAX};

	for (guint i = 0; i < G_N_ELEMENTS(lies); i++) {
		Reader reader;

		open_growing(fixture, &reader, lies[i]);
		g_assert_cmpint(read_on(fixture, &reader, 0), ==, -1);
		g_assert_cmpuint(parts_asked(fixture), ==, 2 * (i + 1));
		g_assert_cmpint(g_atomic_int_get(&fixture->fetched), ==, (int)i + 1);
		close_reader(&reader);
		bodies_remove(fixture->bodies, SERIAL, 1);
	}
}

static void
test_a_server_without_parts_sends_the_whole(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	fake_server_spoil(fixture->server, "INBOX", 1, FAKE_NO_PARTS, 1);
	open_growing(fixture, &reader, SIZE);
	g_assert_cmpint(read_on(fixture, &reader, 0), ==, -1);
	g_assert_cmpuint(octets_sent(fixture), ==, SIZE);
	close_reader(&reader);
}

static void
test_octets_are_not_shown_before_it_is_told_whose_they_are(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	fake_server_spoil(fixture->server, "INBOX", 1, FAKE_LATE_UID, 100);
	open_growing(fixture, &reader, SIZE);
	/* All of it is here. */
	g_assert_cmpint(g_atomic_int_get(&fixture->fetched), ==, 1);
	g_assert_true(growth_has(reader.growth, 0, SIZE));
	g_assert_cmpint(read_on(fixture, &reader, 0), ==, -1);
	close_reader(&reader);
}

static void
test_a_line_cut_in_a_part_is_made_good_from_there(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	open_growing(fixture, &reader, SIZE);
	fake_server_spoil(fixture->server, "INBOX", 1, FAKE_CUT, 1);
	g_assert_cmpint(read_on(fixture, &reader, 0), ==, -1);
	g_assert_cmpuint(octets_sent(fixture), ==, SIZE);
	g_assert_cmpint(g_atomic_int_get(&fixture->fetched), ==, 1);
	close_reader(&reader);
}

static void
test_a_line_that_is_cut_for_ever_fails_what_is_beyond(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	open_growing(fixture, &reader, SIZE);
	fake_server_spoil(fixture->server, "INBOX", 1, FAKE_CUT, 1000);
	g_assert_cmpint(read_on(fixture, &reader, 0), ==, MAILFS_ERROR_OFFLINE);
	g_assert_cmpint(read_octets(fixture, &reader, 0, 256 * KIB), ==, -1);
	close_reader(&reader);
	g_assert_cmpuint(body_files_left(fixture->directory, "gen"), ==, 0);
	/* The next one begins anew. */
	fake_server_spoil(fixture->server, "INBOX", 1, FAKE_CUT, 0);
	pool_retry(fixture->pool);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_ONLINE);
	open_growing(fixture, &reader, SIZE);
	g_assert_cmpint(read_on(fixture, &reader, 0), ==, -1);
	close_reader(&reader);
}

static void
test_a_line_cut_in_the_whole_is_made_good_and_skips_what_is_here(Fixture *fixture,
								 gconstpointer data)
{
	Reader reader;

	/* The size lies; the first part comes, then half of the whole, then all of it. */
	fake_server_lock(fixture->server)->drop_after = 8;
	fake_server_unlock(fixture->server);
	open_growing(fixture, &reader, SIZE + 1);
	g_assert_cmpint(read_on(fixture, &reader, 0), ==, -1);
	g_assert_cmpuint(parts_asked(fixture), ==, 3);
	g_assert_cmpuint(octets_sent(fixture), <, 2 * SIZE);
	g_assert_cmpint(g_atomic_int_get(&fixture->fetched), ==, 1);
	close_reader(&reader);
}

static void
test_a_part_that_breaks_after_it_was_shown_fails(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	open_growing(fixture, &reader, SIZE);
	fake_server_spoil(fixture->server, "INBOX", 1, FAKE_SHORT, 1);
	g_assert_cmpint(read_on(fixture, &reader, 0), ==, MAILFS_ERROR_PROTOCOL);
	g_assert_false(bodies_has(fixture->bodies, SERIAL, 1));
	close_reader(&reader);
}

static void
test_a_message_gone_meanwhile_is_readable_up_to_there(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	open_growing(fixture, &reader, SIZE);
	fake_server_expunge(fixture->server, "INBOX", 1, 1);
	g_assert_cmpint(read_octets(fixture, &reader, 300 * KIB, 100), ==, MAILFS_ERROR_STALE);
	g_assert_cmpint(read_octets(fixture, &reader, 0, 256 * KIB), ==, -1);
	close_reader(&reader);
	begin_open(fixture, &reader, SIZE);
	end_open(&reader);
	g_assert_cmpint(reader.code, ==, MAILFS_ERROR_NOT_FOUND);
}

static void
test_two_readers_share_what_comes(Fixture *fixture, gconstpointer data)
{
	Reader readers[2];

	FAKE_SET(fixture->server, mute, TRUE);
	begin_open(fixture, &readers[0], SIZE);
	begin_open(fixture, &readers[1], SIZE);
	FAKE_SET(fixture->server, mute, FALSE);
	end_open(&readers[0]);
	end_open(&readers[1]);
	g_assert_true(readers[0].growth == readers[1].growth);
	g_assert_cmpint(read_octets(fixture, &readers[0], 0, MIB), ==, -1);
	close_reader(&readers[0]);
	g_assert_cmpint(read_on(fixture, &readers[1], 0), ==, -1);
	close_reader(&readers[1]);
	g_assert_cmpuint(octets_sent(fixture), ==, SIZE);
}

static void
on_whole(gpointer user, Body *body, const GError *error)
{
	on_opened(user, body, NULL, body != NULL ? body_size(body) : 0, error);
}

static void
test_who_wants_the_whole_joins_and_hurries_it(Fixture *fixture, gconstpointer data)
{
	Reader reader, whole = {0};
	ScanWish wish = {1, SIZE};

	open_growing(fixture, &reader, SIZE);
	g_assert_cmpuint(scan_ahead(fixture->scan, &fixture->place, &wish, 1, FALSE), ==, 1);
	scan_get(fixture->scan, &fixture->place, 1, on_whole, &whole);
	close_reader(&reader);
	end_open(&whole);
	g_assert_cmpint(whole.code, ==, -1);
	g_assert_cmpuint(whole.size, ==, SIZE);
	g_assert_cmpuint(octets_sent(fixture), ==, SIZE);
	g_assert_cmpuint(parts_asked(fixture), ==, 2);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_FETCH], ==, 0);
	close_reader(&whole);
}

static void
test_what_is_small_or_on_the_way_already_does_not_grow(Fixture *fixture, gconstpointer data)
{
	Reader reader;
	ScanWish wish = {1, SIZE};

	begin_open(fixture, &reader, GROWTH_MIN);
	end_open(&reader);
	g_assert_nonnull(reader.body);
	close_reader(&reader);
	scan_ahead(fixture->scan, &fixture->place, &wish, 1, FALSE);
	begin_open(fixture, &reader, SIZE);
	end_open(&reader);
	g_assert_nonnull(reader.body);
	close_reader(&reader);
	g_assert_cmpuint(parts_asked(fixture), ==, 0);
}

static void
test_a_whole_that_was_left_still_comes_into_the_cache(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	fake_server_spoil(fixture->server, "INBOX", 1, FAKE_NO_PARTS, 1);
	FAKE_SET(fixture->server, delay_us, 20000);
	open_growing(fixture, &reader, SIZE);
	close_reader(&reader);
	FAKE_WAIT(g_atomic_int_get(&fixture->fetched) == 1);
	g_assert_cmpuint(body_files_left(fixture->directory, "gen"), ==, 1);
}

static void
test_a_stalled_server_is_a_timeout_to_who_waits(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	open_growing(fixture, &reader, SIZE);
	FAKE_SET(fixture->server, stall, TRUE);
	g_assert_cmpint(read_on(fixture, &reader, 0), ==, MAILFS_ERROR_TIMEOUT);
	g_assert_cmpint(read_octets(fixture, &reader, 0, 256 * KIB), ==, -1);
	close_reader(&reader);
}

static void
test_every_reader_hears_when_the_pool_ends(Fixture *fixture, gconstpointer data)
{
	Ready ready = {0};
	Reader reader, opening;

	open_growing(fixture, &reader, SIZE);
	FAKE_SET(fixture->server, mute, TRUE);
	growth_want(reader.growth, 0, MIB, on_ready, &ready);
	begin_open(fixture, &opening, SIZE);
	end_open(&opening);
	g_clear_pointer(&fixture->pool, pool_free);
	g_assert_cmpint(ready.told, ==, 1);
	g_assert_cmpint(ready.code, ==, MAILFS_ERROR_OFFLINE);
	close_reader(&opening);
	close_reader(&reader);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(sentence, function)                                                                   \
	g_test_add("/growth/" sentence, Fixture, NULL, setup, function, teardown)
	TEST("the-head-costs-the-first-part", test_the_head_costs_the_first_part);
	TEST("read-to-its-end-it-is-cached-and-came-once",
	     test_read_to_its_end_it_is_cached_and_came_once);
	TEST("a-read-far-ahead-asks-for-all-up-to-there",
	     test_a_read_far_ahead_asks_for_all_up_to_there);
	TEST("a-size-that-is-a-lie-costs-the-whole", test_a_size_that_is_a_lie_costs_the_whole);
	TEST("a-server-without-parts-sends-the-whole", test_a_server_without_parts_sends_the_whole);
	TEST("octets-are-not-shown-before-it-is-told-whose-they-are",
	     test_octets_are_not_shown_before_it_is_told_whose_they_are);
	TEST("a-line-cut-in-a-part-is-made-good-from-there",
	     test_a_line_cut_in_a_part_is_made_good_from_there);
	TEST("a-line-that-is-cut-for-ever-fails-what-is-beyond",
	     test_a_line_that_is_cut_for_ever_fails_what_is_beyond);
	TEST("a-line-cut-in-the-whole-is-made-good-and-skips-what-is-here",
	     test_a_line_cut_in_the_whole_is_made_good_and_skips_what_is_here);
	TEST("a-part-that-breaks-after-it-was-shown-fails",
	     test_a_part_that_breaks_after_it_was_shown_fails);
	TEST("a-message-gone-meanwhile-is-readable-up-to-there",
	     test_a_message_gone_meanwhile_is_readable_up_to_there);
	TEST("two-readers-share-what-comes", test_two_readers_share_what_comes);
	TEST("who-wants-the-whole-joins-and-hurries-it",
	     test_who_wants_the_whole_joins_and_hurries_it);
	TEST("what-is-small-or-on-the-way-already-does-not-grow",
	     test_what_is_small_or_on_the_way_already_does_not_grow);
	TEST("a-whole-that-was-left-still-comes-into-the-cache",
	     test_a_whole_that_was_left_still_comes_into_the_cache);
	TEST("a-stalled-server-is-a-timeout-to-who-waits",
	     test_a_stalled_server_is_a_timeout_to_who_waits);
	TEST("every-reader-hears-when-the-pool-ends", test_every_reader_hears_when_the_pool_ends);
	return g_test_run();
}
