/* SPDX-License-Identifier: MIT */
#include "store/scan.h"

#include <string.h>

#include "fake-backend.h"
#include "small-disk.h"

#define SERIAL 7
#define LARGE  200 /* messages: more than may wait in memory to be written */

typedef struct {
	FakeServer *server;
	char *directory;
	Bodies *bodies;
	Pool *pool;
	Scan *scan;
	ScanPlace place;

	GMutex lock;	 /* guards all below */
	GArray *fetched; /* of UIDs, in the order they came */
} Fixture;

static const PoolNews news;

static void
on_fetched(gpointer user, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);
	g_autoptr(Body) body = NULL;

	if (uid == 0)
		return;
	body = bodies_get(fixture->bodies, serial, uid, size, crc);
	g_assert_nonnull(body);
	g_array_append_val(fixture->fetched, uid);
}

static void
setup_scan(Fixture *fixture, const char *directory, guint connections)
{
	g_autoptr(GError) error = NULL;

	fixture->bodies = bodies_open(directory, "gen", 0, &error);
	g_assert_no_error(error);
	fixture->pool = pool_new(fake_backend_new, fake_server_config(fixture->server), connections,
				 &news, fixture);
	fixture->scan = scan_new(fixture->pool, fixture->bodies, on_fetched, fixture);
	g_assert_true(pool_start(fixture->pool, NULL, NULL));
}

static void
teardown_scan(Fixture *fixture)
{
	pool_free(fixture->pool);
	scan_free(fixture->scan);
	bodies_close(fixture->bodies);
}

static void
setup(Fixture *fixture, gconstpointer connections)
{
	g_mutex_init(&fixture->lock);
	fixture->fetched = g_array_new(FALSE, FALSE, sizeof(guint32));
	fixture->server = fake_server_new();
	fake_server_mailbox(fixture->server, "INBOX");
	fake_server_fill(fixture->server, "INBOX", 20);
	fixture->directory = fake_directory();
	fixture->place = (ScanPlace){.mailbox = "INBOX", .uidvalidity = 1000, .serial = SERIAL};
	setup_scan(fixture, fixture->directory, GPOINTER_TO_UINT(connections));
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	teardown_scan(fixture);
	fake_server_free(fixture->server);
	fake_directory_remove(fixture->directory);
	g_array_unref(fixture->fetched);
	g_mutex_clear(&fixture->lock);
}

/* --- one who waits for a body --- */

typedef struct {
	Fixture *fixture;
	guint32 uid;
	gint times; /* atomic */
	GQuark domain;
	int code;	/* -1: the body came, and was the right one */
	gpointer which; /* body: to be compared alone */
} Reader;

static gboolean
is_the_body(Fixture *fixture, guint32 uid, const Body *body)
{
	g_autoptr(GBytes) expected = fake_server_body(fixture->server, "INBOX", uid);
	guint64 size = body_size(body);
	g_autofree char *bytes = g_malloc(size + 1);

	return size == g_bytes_get_size(expected) &&
	       body_read(body, bytes, size + 1, 0) == (gssize)size &&
	       memcmp(bytes, g_bytes_get_data(expected, NULL), size) == 0;
}

static void
on_done(gpointer user, Body *taken, const GError *error)
{
	Reader *reader = user;
	g_autoptr(Body) body = taken;

	g_assert_cmpint(body != NULL, ==, error == NULL);
	reader->code = -1;
	if (error != NULL) {
		reader->domain = error->domain;
		reader->code = error->code;
	} else {
		gboolean known = FALSE;

		g_assert_true(is_the_body(reader->fixture, reader->uid, body));
		reader->which = body;
		g_mutex_lock(&reader->fixture->lock);
		for (guint i = 0; i < reader->fixture->fetched->len; i++)
			known = known ||
				g_array_index(reader->fixture->fetched, guint32, i) == reader->uid;
		g_mutex_unlock(&reader->fixture->lock);
		g_assert_true(known);
	}
	g_atomic_int_inc(&reader->times);
}

static void
get(Fixture *fixture, Reader *reader, guint32 uid)
{
	*reader = (Reader){.fixture = fixture, .uid = uid};
	scan_get(fixture->scan, &fixture->place, uid, on_done, reader);
}

static void
wait_for(Reader *reader)
{
	FAKE_WAIT(g_atomic_int_get(&reader->times) > 0);
	g_assert_cmpint(reader->times, ==, 1);
}

static int
read_one(Fixture *fixture, guint32 uid)
{
	Reader reader;

	get(fixture, &reader, uid);
	wait_for(&reader);
	return reader.code;
}

static guint
requests_of(Fixture *fixture)
{
	return fake_server_counts(fixture->server).requests[REQUEST_FETCH];
}

static guint
asked(Fixture *fixture, guint32 uid)
{
	return fake_server_asked(fixture->server, "INBOX", uid);
}

static void
wait_idle(Fixture *fixture)
{
	FAKE_WAIT(scan_status(fixture->scan).on_the_way == 0);
}

static void
ahead_of_size(Fixture *fixture, guint32 first, guint32 last, guint64 size)
{
	g_autoptr(GArray) wishes = g_array_new(FALSE, FALSE, sizeof(ScanWish));

	for (guint32 uid = first; uid <= last; uid++) {
		ScanWish wish = {uid, size};

		g_array_append_val(wishes, wish);
	}
	scan_ahead(fixture->scan, &fixture->place, &g_array_index(wishes, ScanWish, 0), wishes->len,
		   FALSE);
}

static void
ahead(Fixture *fixture, guint32 first, guint32 last)
{
	ahead_of_size(fixture, first, last, 100);
}

/* --- single bodies --- */

static void
test_a_body_comes_whole_and_is_told_of_first(Fixture *fixture, gconstpointer data)
{
	for (guint32 uid = 1; uid <= 20; uid++)
		g_assert_cmpint(read_one(fixture, uid), ==, -1);
	g_assert_cmpuint(scan_status(fixture->scan).fetched, ==, 20);
	g_assert_cmpuint(scan_status(fixture->scan).on_the_way, ==, 0);
	for (guint32 uid = 1; uid <= 20; uid++)
		g_assert_true(bodies_has(fixture->bodies, SERIAL, uid));
}

static void
test_readers_of_one_message_share_one_fetch(Fixture *fixture, gconstpointer data)
{
	Reader readers[30];

	FAKE_SET(fixture->server, mute, TRUE);
	for (guint i = 0; i < G_N_ELEMENTS(readers); i++)
		get(fixture, &readers[i], 5);
	g_assert_cmpuint(scan_status(fixture->scan).on_the_way, ==, 1);
	FAKE_SET(fixture->server, mute, FALSE);
	for (guint i = 0; i < G_N_ELEMENTS(readers); i++) {
		wait_for(&readers[i]);
		g_assert_cmpint(readers[i].code, ==, -1);
		g_assert_true(readers[i].which == readers[0].which);
	}
	g_assert_cmpuint(asked(fixture, 5), ==, 1);
}

static void
test_a_withheld_message_is_not_found_after_one_more_try(Fixture *fixture, gconstpointer data)
{
	fake_server_spoil(fixture->server, "INBOX", 3, FAKE_WITHHELD, 100);
	g_assert_cmpint(read_one(fixture, 3), ==, MAILFS_ERROR_NOT_FOUND);
	g_assert_cmpuint(asked(fixture, 3), ==, 2);
	g_assert_cmpint(read_one(fixture, 99), ==, MAILFS_ERROR_NOT_FOUND);
	g_assert_false(bodies_has(fixture->bodies, SERIAL, 3));
}

static void
test_a_message_withheld_once_comes_with_the_second_try(Fixture *fixture, gconstpointer data)
{
	fake_server_spoil(fixture->server, "INBOX", 3, FAKE_WITHHELD, 1);
	g_assert_cmpint(read_one(fixture, 3), ==, -1);
	g_assert_cmpuint(asked(fixture, 3), ==, 2);
}

static void
test_a_line_lost_in_a_body_is_made_good(Fixture *fixture, gconstpointer data)
{
	fake_server_spoil(fixture->server, "INBOX", 3, FAKE_CUT, 1);
	g_assert_cmpint(read_one(fixture, 3), ==, -1);
	g_assert_cmpuint(asked(fixture, 3), ==, 2);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 2);
}

static void
test_a_line_lost_each_time_in_a_body_is_offline(Fixture *fixture, gconstpointer data)
{
	fake_server_spoil(fixture->server, "INBOX", 3, FAKE_CUT, 100);
	g_assert_cmpint(read_one(fixture, 3), ==, MAILFS_ERROR_OFFLINE);
	g_assert_cmpuint(asked(fixture, 3), ==, 4);
	g_assert_false(bodies_has(fixture->bodies, SERIAL, 3));
	/* The others are as good as before. */
	g_assert_cmpint(read_one(fixture, 4), ==, -1);
}

static void
test_a_damaged_body_is_never_delivered(Fixture *fixture, gconstpointer data)
{
	fake_server_spoil(fixture->server, "INBOX", 3, FAKE_SHORT, 1);
	g_assert_cmpint(read_one(fixture, 3), ==, -1);
	g_assert_cmpuint(asked(fixture, 3), ==, 2);

	fake_server_spoil(fixture->server, "INBOX", 4, FAKE_SHORT, 100);
	g_assert_cmpint(read_one(fixture, 4), ==, MAILFS_ERROR_PROTOCOL);
	g_assert_cmpuint(asked(fixture, 4), ==, 2);
	g_assert_false(bodies_has(fixture->bodies, SERIAL, 4));
}

static void
test_another_numbering_is_stale_at_once(Fixture *fixture, gconstpointer data)
{
	fake_server_renumber(fixture->server, "INBOX");
	g_assert_cmpint(read_one(fixture, 3), ==, MAILFS_ERROR_STALE);
	g_assert_cmpuint(requests_of(fixture), ==, 1);
}

static void
test_a_stalled_server_is_a_timeout_and_not_tried_again(Fixture *fixture, gconstpointer data)
{
	Reader reader;
	gint64 began = g_get_monotonic_time();

	FAKE_SET(fixture->server, stall, TRUE);
	get(fixture, &reader, 3);
	wait_for(&reader);
	g_assert_cmpint(reader.code, ==, MAILFS_ERROR_TIMEOUT);
	g_assert_cmpint(g_get_monotonic_time() - began, <, 3 * G_USEC_PER_SEC);
	g_assert_cmpuint(requests_of(fixture), ==, 1);
}

/* It takes no file at all. */
static void
test_a_disk_that_takes_nothing_is_told_as_such(Fixture *fixture, gconstpointer data)
{
	char *disk = small_disk_new(fixture->directory, "size=1m,nr_inodes=4");
	Reader reader;

	if (disk == NULL)
		return;
	teardown_scan(fixture);
	setup_scan(fixture, disk, 1);
	get(fixture, &reader, 4);
	wait_for(&reader);
	g_assert_cmpuint(reader.domain, ==, G_FILE_ERROR);
	g_assert_cmpint(reader.code, ==, G_FILE_ERROR_NOSPC);
	g_assert_cmpuint(asked(fixture, 4), ==, 1);
	teardown_scan(fixture);
	small_disk_free(disk);
	setup_scan(fixture, fixture->directory, 1);
}

/* Small bodies wait in memory to be written, and those that wait make room for each other. */
static void
test_on_a_full_disk_small_messages_can_still_be_read(Fixture *fixture, gconstpointer data)
{
	char *disk = small_disk_new(fixture->directory, "size=64k");
	g_autofree char *filler = NULL;

	if (disk == NULL)
		return;
	fake_server_fill(fixture->server, "INBOX", LARGE);
	teardown_scan(fixture);
	setup_scan(fixture, disk, 1);
	filler = small_disk_fill(disk, 0);
	for (guint uid = 1; uid <= LARGE; uid++) {
		g_assert_cmpint(read_one(fixture, uid), ==, -1);
		g_assert_cmpuint(asked(fixture, uid), ==, 1);
	}
	teardown_scan(fixture);
	small_disk_free(disk);
	setup_scan(fixture, fixture->directory, 1);
}

static void
test_every_reader_hears_when_the_pool_ends(Fixture *fixture, gconstpointer data)
{
	Reader readers[20];

	FAKE_SET(fixture->server, mute, TRUE);
	for (guint i = 0; i < G_N_ELEMENTS(readers); i++)
		get(fixture, &readers[i], i + 1);
	ahead(fixture, 1, 20);
	g_clear_pointer(&fixture->pool, pool_free);
	for (guint i = 0; i < G_N_ELEMENTS(readers); i++) {
		g_assert_cmpint(readers[i].times, ==, 1);
		g_assert_cmpint(readers[i].code, ==, MAILFS_ERROR_OFFLINE);
	}
	g_assert_cmpuint(scan_status(fixture->scan).on_the_way, ==, 0);
}

/* --- ahead of the reader --- */

static void
test_what_is_ahead_comes_in_one_request_and_once(Fixture *fixture, gconstpointer data)
{
	Reader readers[5];

	FAKE_SET(fixture->server, mute, TRUE);
	ahead(fixture, 1, 10);
	ahead(fixture, 5, 15);
	g_assert_cmpuint(scan_status(fixture->scan).on_the_way, ==, 15);
	for (guint i = 0; i < G_N_ELEMENTS(readers); i++)
		get(fixture, &readers[i], 4 + i);
	FAKE_SET(fixture->server, mute, FALSE);
	for (guint i = 0; i < G_N_ELEMENTS(readers); i++) {
		wait_for(&readers[i]);
		g_assert_cmpint(readers[i].code, ==, -1);
	}
	wait_idle(fixture);
	g_assert_cmpuint(requests_of(fixture), ==, 2);
	for (guint32 uid = 1; uid <= 15; uid++)
		g_assert_cmpuint(asked(fixture, uid), ==, 1);
	g_assert_cmpuint(scan_status(fixture->scan).fetched, ==, 15);
	g_assert_cmpuint(scan_room(fixture->scan), ==, SCAN_AHEAD_MAX);
}

static void
test_what_somebody_waits_for_overtakes_what_is_queued(Fixture *fixture, gconstpointer data)
{
	Reader first, urgent;

	FAKE_SET(fixture->server, window, 1);
	FAKE_SET(fixture->server, mute, TRUE);
	get(fixture, &first, 20);
	FAKE_WAIT(requests_of(fixture) == 1);
	ahead(fixture, 1, 3);
	ahead(fixture, 4, 6);
	get(fixture, &urgent, 5);
	FAKE_SET(fixture->server, mute, FALSE);
	wait_for(&urgent);
	wait_for(&first);
	wait_idle(fixture);
	g_mutex_lock(&fixture->lock);
	g_assert_cmpuint(fixture->fetched->len, ==, 7);
	g_assert_cmpuint(g_array_index(fixture->fetched, guint32, 1), ==, 4);
	g_assert_cmpuint(g_array_index(fixture->fetched, guint32, 2), ==, 5);
	g_assert_cmpuint(g_array_index(fixture->fetched, guint32, 4), ==, 1);
	g_mutex_unlock(&fixture->lock);
	g_assert_cmpuint(asked(fixture, 5), ==, 1);
}

static void
test_there_is_a_bound_to_what_is_ahead(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	fake_server_fill(fixture->server, "INBOX", SCAN_AHEAD_MAX + 100);
	FAKE_SET(fixture->server, mute, TRUE);
	g_assert_cmpuint(scan_room(fixture->scan), ==, SCAN_AHEAD_MAX);
	ahead(fixture, 1, SCAN_AHEAD_MAX + 200);
	g_assert_cmpuint(scan_status(fixture->scan).on_the_way, ==, SCAN_AHEAD_MAX);
	g_assert_cmpuint(scan_room(fixture->scan), ==, 0);
	/* Who waits is let in, and a message that somebody waits for makes room. */
	get(fixture, &reader, 5);
	g_assert_cmpuint(scan_room(fixture->scan), ==, 1);
	FAKE_SET(fixture->server, mute, FALSE);
	wait_for(&reader);
	wait_idle(fixture);
	g_assert_cmpuint(scan_room(fixture->scan), ==, SCAN_AHEAD_MAX);
	g_assert_cmpuint(scan_status(fixture->scan).fetched, ==, SCAN_AHEAD_MAX);
}

/* More would be asked for one by one, as they come. */
static void
test_while_enough_is_on_the_way_nothing_is_advised(Fixture *fixture, gconstpointer data)
{
	ScanAdvice advice;

	FAKE_SET(fixture->server, mute, TRUE);
	ahead_of_size(fixture, 1, 15, SCAN_AHEAD_BYTES / 16);
	scan_note_open(fixture->scan, 1, SERIAL, 20, 100);
	advice = scan_note_open(fixture->scan, 1, SERIAL, 21, 100);
	g_assert_true(advice.in_order);
	g_assert_cmpuint(advice.count, ==, 0);
	FAKE_SET(fixture->server, mute, FALSE);
	wait_idle(fixture);
	advice = scan_note_open(fixture->scan, 1, SERIAL, 22, 100);
	g_assert_cmpuint(advice.from, ==, 23);
	g_assert_cmpuint(advice.count, >=, 8);
}

static void
test_what_nobody_waits_for_is_dropped_with_the_line(Fixture *fixture, gconstpointer data)
{
	Reader reader;

	FAKE_SET(fixture->server, mute, TRUE);
	ahead(fixture, 1, 10);
	get(fixture, &reader, 4);
	FAKE_WAIT(requests_of(fixture) == 1);
	FAKE_SET(fixture->server, mute, FALSE);
	fake_server_drop_lines(fixture->server);
	wait_for(&reader);
	g_assert_cmpint(reader.code, ==, -1);
	wait_idle(fixture);
	g_assert_cmpuint(scan_room(fixture->scan), ==, SCAN_AHEAD_MAX);
	g_assert_cmpint(read_one(fixture, 5), ==, -1);
}

static void
test_what_was_withheld_ahead_is_asked_for_again(Fixture *fixture, gconstpointer data)
{
	fake_server_spoil(fixture->server, "INBOX", 4, FAKE_WITHHELD, 1);
	fake_server_spoil(fixture->server, "INBOX", 6, FAKE_SHORT, 1);
	ahead(fixture, 1, 10);
	wait_idle(fixture);
	g_assert_cmpuint(scan_status(fixture->scan).fetched, ==, 8);
	g_assert_false(bodies_has(fixture->bodies, SERIAL, 4));
	g_assert_cmpint(read_one(fixture, 4), ==, -1);
	g_assert_cmpint(read_one(fixture, 6), ==, -1);
}

/* Readers, aheads and cut lines at random: each reader is served once and rightly, whatever
 * happens. */
static void
test_a_rough_day_mixes_up_nothing(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);
	g_autofree Reader *readers = g_new0(Reader, 600);
	guint came = 0;

	for (guint i = 0; i < 600; i++) {
		guint32 uid = g_rand_int_range(rand, 1, 21);

		if (i % 7 == 0)
			ahead(fixture, uid, uid + 4);
		if (i % 100 == 50)
			FAKE_SET(fixture->server, drop_after, g_rand_int_range(rand, 0, 30));
		get(fixture, &readers[i], uid);
		if (i % 20 == 0)
			g_usleep(5000);
	}
	for (guint i = 0; i < 600; i++) {
		wait_for(&readers[i]);
		came += readers[i].code == -1;
	}
	wait_idle(fixture);
	g_assert_cmpuint(came, >, 300);
	g_assert_cmpuint(scan_room(fixture->scan), ==, SCAN_AHEAD_MAX);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(sentence, connections, function)                                                      \
	g_test_add("/scan/" sentence, Fixture, GUINT_TO_POINTER(connections), setup, function,     \
		   teardown)
	TEST("a-body-comes-whole-and-is-told-of-first", 1,
	     test_a_body_comes_whole_and_is_told_of_first);
	TEST("readers-of-one-message-share-one-fetch", 2,
	     test_readers_of_one_message_share_one_fetch);
	TEST("a-withheld-message-is-not-found-after-one-more-try", 1,
	     test_a_withheld_message_is_not_found_after_one_more_try);
	TEST("a-message-withheld-once-comes-with-the-second-try", 1,
	     test_a_message_withheld_once_comes_with_the_second_try);
	TEST("a-line-lost-in-a-body-is-made-good", 1, test_a_line_lost_in_a_body_is_made_good);
	TEST("a-line-lost-each-time-in-a-body-is-offline", 1,
	     test_a_line_lost_each_time_in_a_body_is_offline);
	TEST("a-damaged-body-is-never-delivered", 1, test_a_damaged_body_is_never_delivered);
	TEST("another-numbering-is-stale-at-once", 1, test_another_numbering_is_stale_at_once);
	TEST("a-stalled-server-is-a-timeout-and-not-tried-again", 1,
	     test_a_stalled_server_is_a_timeout_and_not_tried_again);
	TEST("a-disk-that-takes-nothing-is-told-as-such", 1,
	     test_a_disk_that_takes_nothing_is_told_as_such);
	TEST("on-a-full-disk-small-messages-can-still-be-read", 1,
	     test_on_a_full_disk_small_messages_can_still_be_read);
	TEST("every-reader-hears-when-the-pool-ends", 2,
	     test_every_reader_hears_when_the_pool_ends);
	TEST("what-is-ahead-comes-in-one-request-and-once", 1,
	     test_what_is_ahead_comes_in_one_request_and_once);
	TEST("what-somebody-waits-for-overtakes-what-is-queued", 1,
	     test_what_somebody_waits_for_overtakes_what_is_queued);
	TEST("there-is-a-bound-to-what-is-ahead", 1, test_there_is_a_bound_to_what_is_ahead);
	TEST("while-enough-is-on-the-way-nothing-is-advised", 1,
	     test_while_enough_is_on_the_way_nothing_is_advised);
	TEST("what-nobody-waits-for-is-dropped-with-the-line", 1,
	     test_what_nobody_waits_for_is_dropped_with_the_line);
	TEST("what-was-withheld-ahead-is-asked-for-again", 1,
	     test_what_was_withheld_ahead_is_asked_for_again);
	TEST("a-rough-day-mixes-up-nothing", 3, test_a_rough_day_mixes_up_nothing);
	return g_test_run();
}
