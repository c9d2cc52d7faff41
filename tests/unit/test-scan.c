/* SPDX-License-Identifier: MIT */
#include "store/scan.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "fake-backend.h"
#include "small-disk.h"

#define SERIAL	 7
#define MESSAGES 1200

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
	g_auto(UtilFd) fd = bodies_get(fixture->bodies, serial, uid, size, crc);

	g_assert_cmpint(fd, >=, 0);
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
	int code; /* -1: the body came, and was the right one */
	ino_t inode;
} Reader;

static gboolean
is_the_body(Fixture *fixture, guint32 uid, int fd, guint64 size)
{
	g_autoptr(GBytes) body = fake_server_body(fixture->server, "INBOX", uid);
	g_autofree char *bytes = g_malloc(size + 1);

	return size == g_bytes_get_size(body) && pread(fd, bytes, size + 1, 0) == (gssize)size &&
	       memcmp(bytes, g_bytes_get_data(body, NULL), size) == 0;
}

static void
on_done(gpointer user, int fd_owned, guint64 size, const GError *error)
{
	Reader *reader = user;
	g_auto(UtilFd) fd = fd_owned;

	g_assert_cmpint(fd >= 0, ==, error == NULL);
	reader->code = -1;
	if (error != NULL) {
		reader->domain = error->domain;
		reader->code = error->code;
	} else {
		struct stat status;
		gboolean known = FALSE;

		g_assert_true(is_the_body(reader->fixture, reader->uid, fd, size));
		g_assert_cmpint(fstat(fd, &status), ==, 0);
		reader->inode = status.st_ino;
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
ahead(Fixture *fixture, guint32 first, guint32 last)
{
	g_autoptr(GArray) uids = g_array_new(FALSE, FALSE, sizeof(guint32));

	for (guint32 uid = first; uid <= last; uid++)
		g_array_append_val(uids, uid);
	scan_ahead(fixture->scan, &fixture->place, (guint32 *)(void *)uids->data, uids->len);
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
		g_assert_cmpuint(readers[i].inode, ==, readers[0].inode);
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
test_a_line_lost_twice_in_a_body_is_offline(Fixture *fixture, gconstpointer data)
{
	fake_server_spoil(fixture->server, "INBOX", 3, FAKE_CUT, 100);
	g_assert_cmpint(read_one(fixture, 3), ==, MAILFS_ERROR_OFFLINE);
	g_assert_cmpuint(asked(fixture, 3), ==, 2);
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

/* The disk is full in the middle of a body; or takes no more files at all. */
static void
test_a_disk_that_takes_nothing_is_told_as_such(Fixture *fixture, gconstpointer data)
{
	static const char *const options[] = {"size=32k", "size=1m,nr_inodes=4"};

	for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
		char *disk = small_disk_new(fixture->directory, options[i]);
		g_autofree char *filler = NULL;
		Reader reader;

		if (disk == NULL)
			return;
		teardown_scan(fixture);
		setup_scan(fixture, disk, 1);
		if (i == 0)
			filler = small_disk_fill(disk, 0);
		get(fixture, &reader, 3 + i);
		wait_for(&reader);
		g_assert_cmpuint(reader.domain, ==, G_FILE_ERROR);
		g_assert_cmpint(reader.code, ==, G_FILE_ERROR_NOSPC);
		g_assert_cmpuint(asked(fixture, 3 + i), ==, 1);
		teardown_scan(fixture);
		small_disk_free(disk);
		setup_scan(fixture, fixture->directory, 1);
	}
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
	g_assert_cmpuint(scan_room(fixture->scan), ==, 512);
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

	fake_server_fill(fixture->server, "INBOX", 780);
	FAKE_SET(fixture->server, mute, TRUE);
	g_assert_cmpuint(scan_room(fixture->scan), ==, 512);
	ahead(fixture, 1, 800);
	g_assert_cmpuint(scan_status(fixture->scan).on_the_way, ==, 512);
	g_assert_cmpuint(scan_room(fixture->scan), ==, 0);
	/* Who waits is let in, and a message that somebody waits for makes room. */
	get(fixture, &reader, 5);
	g_assert_cmpuint(scan_room(fixture->scan), ==, 1);
	FAKE_SET(fixture->server, mute, FALSE);
	wait_for(&reader);
	wait_idle(fixture);
	g_assert_cmpuint(scan_room(fixture->scan), ==, 512);
	g_assert_cmpuint(scan_status(fixture->scan).fetched, ==, 512);
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
	g_assert_cmpuint(scan_room(fixture->scan), ==, 512);
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
	g_assert_cmpuint(scan_room(fixture->scan), ==, 512);
}

/* --- advice
 * --------------------------------------------------------------------------------------------------------
 */

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
	g_assert_cmpuint(course.most, <=, 256);
	g_assert_cmpuint(course.most, >=, 128);
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
test_the_window_grows_and_is_filled_up_when_half_is_used(void)
{
	Course course;
	guint out = 0, grown = 0;

	begin(&course, MESSAGES);
	for (guint rank = 0; rank < 1000; rank++) {
		ScanAdvice advice = open_rank(&course, 1, SERIAL, rank);

		out += advice.count;
		if (rank > 1) {
			g_assert_cmpuint(out, >=, rank);
			g_assert_cmpuint(out - rank, <=, 257);
		}
		if (rank > 20 && rank < 900)
			g_assert_cmpuint(out + 1 - rank, >=, 100);
		grown += advice.count > 0;
	}
	g_assert_cmpuint(grown, <, 20);
	end(&course);
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
	TEST("a-line-lost-twice-in-a-body-is-offline", 1,
	     test_a_line_lost_twice_in_a_body_is_offline);
	TEST("a-damaged-body-is-never-delivered", 1, test_a_damaged_body_is_never_delivered);
	TEST("another-numbering-is-stale-at-once", 1, test_another_numbering_is_stale_at_once);
	TEST("a-stalled-server-is-a-timeout-and-not-tried-again", 1,
	     test_a_stalled_server_is_a_timeout_and_not_tried_again);
	TEST("a-disk-that-takes-nothing-is-told-as-such", 1,
	     test_a_disk_that_takes_nothing_is_told_as_such);
	TEST("every-reader-hears-when-the-pool-ends", 2,
	     test_every_reader_hears_when_the_pool_ends);
	TEST("what-is-ahead-comes-in-one-request-and-once", 1,
	     test_what_is_ahead_comes_in_one_request_and_once);
	TEST("what-somebody-waits-for-overtakes-what-is-queued", 1,
	     test_what_somebody_waits_for_overtakes_what_is_queued);
	TEST("there-is-a-bound-to-what-is-ahead", 1, test_there_is_a_bound_to_what_is_ahead);
	TEST("what-nobody-waits-for-is-dropped-with-the-line", 1,
	     test_what_nobody_waits_for_is_dropped_with_the_line);
	TEST("what-was-withheld-ahead-is-asked-for-again", 1,
	     test_what_was_withheld_ahead_is_asked_for_again);
	TEST("a-rough-day-mixes-up-nothing", 3, test_a_rough_day_mixes_up_nothing);
#undef TEST
#define TEST(sentence, function) g_test_add_func("/scan/advice/" sentence, function)
	TEST("one-open-is-no-scan-and-the-second-in-order-is",
	     test_one_open_is_no_scan_and_the_second_in_order_is);
	TEST("opening-the-same-again-is-no-scan", test_opening_the_same_again_is_no_scan);
	TEST("a-forward-scan-is-asked-for-once-and-in-time",
	     test_a_forward_scan_is_asked_for_once_and_in_time);
	TEST("a-backward-scan-is-asked-for-once-and-in-time",
	     test_a_backward_scan_is_asked_for_once_and_in_time);
	TEST("the-window-grows-and-is-filled-up-when-half-is-used",
	     test_the_window_grows_and_is_filled_up_when_half_is_used);
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
