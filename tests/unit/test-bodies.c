/* SPDX-License-Identifier: MIT */
#include "store/bodies.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "body-files.h"
#include "small-disk.h"
#include "store/checksum.h"

#define BODY 8192

typedef struct {
	char *directory;
	gboolean packs; /* small bodies go there */
} Fixture;

typedef struct {
	guint64 size;
	guint32 crc;
} Known; /* what the index would keep */

static void
setup(Fixture *fixture, gconstpointer data)
{
	fixture->packs = GPOINTER_TO_INT(data);
	fixture->directory = g_dir_make_tmp("mailfs-bodies-XXXXXX", NULL);
	g_assert_nonnull(fixture->directory);
}

static void
delete_tree(const char *path)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *inside = g_build_filename(path, name, NULL);

		if (g_file_test(inside, G_FILE_TEST_IS_DIR) &&
		    !g_file_test(inside, G_FILE_TEST_IS_SYMLINK))
			delete_tree(inside);
		else
			g_assert_cmpint(g_unlink(inside), ==, 0);
	}
	/* The evictor removes empty folders too. */
	g_assert_true(g_rmdir(path) == 0 || errno == ENOENT);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	delete_tree(fixture->directory);
	g_free(fixture->directory);
}

static Bodies *
open_bodies(Fixture *fixture, const char *generation, guint64 max_bytes)
{
	g_autoptr(GError) error = NULL;
	Bodies *bodies = bodies_open(fixture->directory, generation, max_bytes, &error);

	g_assert_no_error(error);
	if (!fixture->packs)
		bodies_pack_no_more(bodies);
	return bodies;
}

static char *
path_of(Fixture *fixture, const char *below)
{
	return g_build_filename(fixture->directory, "bodies", "g1", below, NULL);
}

/* @len bytes that follow from the UID. */
static char *
body_of(guint32 uid, gsize len)
{
	char *body = g_malloc(len + 1);
	guint32 state = uid * 2654435761U + 1;

	for (gsize i = 0; i < len; i++) {
		state = state * 1664525 + 1013904223;
		body[i] = (char)(state >> 24);
	}
	body[len] = '\0';
	return body;
}

static Known
store(Bodies *bodies, guint32 serial, guint32 uid, gsize len)
{
	g_autofree char *body = body_of(uid, len);
	g_autoptr(GError) error = NULL;
	BodyWriter *writer = body_writer_new(bodies, serial, &error);
	Known known = {0, 0};
	gsize half = len / 2;
	g_autoptr(Body) committed = NULL;

	g_assert_no_error(error);
	g_assert_true(body_writer_write(writer, body, half, &error));
	g_assert_true(body_writer_write(writer, body + half, len - half, &error));
	committed = body_writer_commit(writer, uid, &known.size, &known.crc, &error);
	g_assert_no_error(error);
	g_assert_nonnull(committed);
	g_assert_cmpuint(body_size(committed), ==, len);
	g_assert_cmpuint(known.size, ==, len);
	return known;
}

static void
assert_reads(const Body *body, guint32 uid, gsize len)
{
	g_autofree char *expected = body_of(uid, len);
	g_autofree char *found = g_malloc(len + 1);

	g_assert_nonnull(body);
	g_assert_cmpint(body_read(body, found, len + 1, 0), ==, len);
	g_assert_cmpmem(found, len, expected, len);
}

static Body *
get(Bodies *bodies, guint32 serial, guint32 uid, Known known)
{
	return bodies_get(bodies, serial, uid, known.size, known.crc);
}

static void
assert_cached(Bodies *bodies, guint32 serial, guint32 uid, Known known)
{
	g_autoptr(Body) body = get(bodies, serial, uid, known);

	assert_reads(body, uid, known.size);
}

static void
assert_gone(Bodies *bodies, guint32 serial, guint32 uid, Known known)
{
	g_assert_null(get(bodies, serial, uid, known));
	g_assert_false(bodies_has(bodies, serial, uid));
}

/* The evictor works beside us: give it ten seconds. */
static void
wait_for_total(Bodies *bodies, guint64 low, guint64 high)
{
	for (int i = 0; i < 10000 && (bodies_total(bodies) < low || bodies_total(bodies) > high);
	     i++)
		g_usleep(1000);
	g_assert_cmpuint(bodies_total(bodies), >=, low);
	g_assert_cmpuint(bodies_total(bodies), <=, high);
}

static void
wait_until_missing(const char *path)
{
	struct stat status;

	for (int i = 0; i < 10000 && lstat(path, &status) == 0; i++)
		g_usleep(1000);
	g_assert_cmpint(lstat(path, &status), ==, -1);
}

/* A line of the packs' journal. */
typedef struct {
	guint64 address;
	guint32 place[4];
	guint32 used;
	guint32 check;
} Line;

static void
set_age_in_packs(Fixture *fixture, const char *below, guint32 used)
{
	g_autofree char *path = path_of(fixture, "packs/journal");
	guint32 serial = (guint32)strtoul(below, NULL, 10);
	guint32 uid = (guint32)strtoul(strchr(below, '/') + 1, NULL, 10);
	g_auto(UtilFd) fd = open(path, O_RDWR | O_CLOEXEC);
	Line line;

	for (off_t at = 0; pread(fd, &line, sizeof line, at) == sizeof line; at += sizeof line) {
		if (line.address != ((guint64)serial << 32 | uid))
			continue;
		line.used = used;
		line.check = checksum(0, &line, offsetof(Line, check));
		g_assert_cmpint(pwrite(fd, &line, sizeof line, at), ==, sizeof line);
		return;
	}
	g_assert_not_reached();
}

static void
set_age(Fixture *fixture, const char *below, time_t seconds_ago)
{
	g_autofree char *path = path_of(fixture, below);
	struct timespec times[2] = {{.tv_sec = time(NULL) - seconds_ago},
				    {.tv_sec = time(NULL) - seconds_ago}};

	if (fixture->packs) {
		set_age_in_packs(fixture, below, (guint32)times[0].tv_sec);
		return;
	}
	g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
}

/* ---- writing and reading ---- */

static void
test_what_was_written_is_read_now_and_in_the_next_mount(Fixture *fixture, gconstpointer data)
{
	static const gsize lengths[] = {0, 1, 4096, 100000, 3000000};
	Known known[G_N_ELEMENTS(lengths)];

	for (int mount = 0; mount < 2; mount++) {
		g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);

		for (guint32 i = 0; i < G_N_ELEMENTS(lengths); i++) {
			if (mount == 0)
				known[i] = store(bodies, 3, i + 1, lengths[i]);
			assert_cached(bodies, 3, i + 1, known[i]);
			assert_cached(bodies, 3, i + 1, known[i]);
		}
		g_assert_cmpuint(bodies_damaged(bodies), ==, 0);
	}
	g_assert_cmphex(known[0].crc, ==, 0);
}

static void
test_checksum_is_the_crc_32_of_everybody(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	BodyWriter *writer = body_writer_new(bodies, 3, NULL);
	guint64 size;
	guint32 crc;
	g_autoptr(Body) body = NULL;

	g_assert_true(body_writer_write(writer, "12345", 5, NULL));
	g_assert_true(body_writer_write(writer, "6789", 4, NULL));
	body = body_writer_commit(writer, G_MAXUINT32, &size, &crc, NULL);
	g_assert_cmphex(crc, ==, 0xcbf43926);
	g_assert_cmpuint(size, ==, 9);
	g_assert_true(bodies_has(bodies, 3, G_MAXUINT32));
}

static void
test_a_committed_body_can_be_read_and_not_written(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	BodyWriter *writer = body_writer_new(bodies, 3, NULL);
	guint64 size;
	guint32 crc;
	g_autoptr(Body) body = NULL;
	char text[8] = "";

	g_assert_true(body_writer_write(writer, "hello", 5, NULL));
	body = body_writer_commit(writer, 1, &size, &crc, NULL);
	g_assert_cmpint(body_read(body, text, sizeof text, 0), ==, 5);
	g_assert_cmpstr(text, ==, "hello");
	g_assert_cmpint(write(body_file(body), "x", 1), ==, -1);
	g_assert_cmpint(fcntl(body_file(body), F_GETFD) & FD_CLOEXEC, !=, 0);
}

static void
test_nothing_has_a_name_before_commit_or_after_abort(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	BodyWriter *writer = body_writer_new(bodies, 3, NULL);

	g_assert_true(body_writer_write(writer, "half", 4, NULL));
	g_assert_false(bodies_has(bodies, 3, 1));
	g_assert_cmpuint(body_files_left(fixture->directory, "g1"), ==, fixture->packs ? 0 : 1);
	body_writer_abort(writer);
	body_writer_abort(NULL);
	g_assert_cmpuint(body_files_left(fixture->directory, "g1"), ==, 0);
	g_assert_cmpuint(bodies_total(bodies), ==, 0);
}

static void
test_a_body_is_found_only_under_its_own_address(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	Known known = store(bodies, 3, 7, BODY);

	assert_gone(bodies, 3, 8, known);
	assert_gone(bodies, 4, 7, known);
	bodies_remove(bodies, 3, 7);
	bodies_remove(bodies, 3, 7);
	assert_gone(bodies, 3, 7, known);
	wait_for_total(bodies, 0, 0);
}

static void
test_modes_are_private_whatever_the_umask(Fixture *fixture, gconstpointer data)
{
	static const mode_t masks[] = {0, 0277};

	for (guint i = 0; i < G_N_ELEMENTS(masks); i++) {
		mode_t old = umask(masks[i]);
		g_autofree char *generation = g_strdup_printf("m%u", i);
		g_autoptr(Bodies) bodies = open_bodies(fixture, generation, 0);
		g_autofree char *base = g_build_filename(fixture->directory, "bodies", NULL);
		g_autofree char *folder = g_build_filename(base, generation, NULL);
		g_autofree char *serial = g_build_filename(folder, "3", NULL);
		g_autofree char *file = g_build_filename(serial, "1", NULL);
		const char *folders[] = {base, folder, serial};
		struct stat status;

		store(bodies, 3, 1, 10);
		umask(old);
		for (guint j = 0; j < G_N_ELEMENTS(folders); j++) {
			g_assert_cmpint(stat(folders[j], &status), ==, 0);
			g_assert_cmpuint(status.st_mode & 0777, ==, 0700);
		}
		g_assert_cmpint(stat(file, &status), ==, 0);
		g_assert_cmpuint(status.st_mode & 0777, ==, 0600);
	}
}

/* ---- damage ---- */

/* The damage is done between two mounts. The second must hand out nothing. Returns how often it
 * spoke of damage. */
static guint
damage_and_get(Fixture *fixture, void (*damage)(const char *path, guint step), guint steps)
{
	guint damaged = 0;
	g_autofree char *path = path_of(fixture, "3/7");

	for (guint step = 0; step < steps; step++) {
		Known known;

		{
			g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);

			known = store(bodies, 3, 7, 20000);
		}
		damage(path, step);
		{
			g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);

			assert_gone(bodies, 3, 7, known);
			damaged += bodies_damaged(bodies);
			known = store(bodies, 3, 7, 20000); /* fetched again */
			assert_cached(bodies, 3, 7, known);
		}
	}
	return damaged;
}

static void
flip(const char *path, guint step)
{
	g_auto(UtilFd) fd = open(path, O_RDWR | O_CLOEXEC);
	off_t at = g_test_rand_int_range(0, 20000);
	char byte;

	g_assert_cmpint(pread(fd, &byte, 1, at), ==, 1);
	byte ^= (char)(1 << step % 8);
	g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
}

static void
test_no_flipped_bit_is_handed_out(Fixture *fixture, gconstpointer data)
{
	g_assert_cmpuint(damage_and_get(fixture, flip, 200), ==, 200);
}

static void
cut(const char *path, guint step)
{
	g_assert_cmpint(truncate(path, step * 1000), ==, 0);
}

static void
test_no_truncated_body_is_handed_out(Fixture *fixture, gconstpointer data)
{
	g_assert_cmpuint(damage_and_get(fixture, cut, 20), ==, 20);
}

static void
zero(const char *path, guint step)
{
	g_auto(UtilFd) fd = open(path, O_RDWR | O_CLOEXEC);
	char page[4096] = {0};

	g_assert_cmpint(pwrite(fd, page, sizeof page, (off_t)(step * sizeof page)), ==,
			sizeof page);
}

static void
test_no_zeroed_page_is_handed_out(Fixture *fixture, gconstpointer data)
{
	g_assert_cmpuint(damage_and_get(fixture, zero, 4), ==, 4);
}

static void
replace_by_link(const char *path, guint step)
{
	g_assert_cmpint(g_unlink(path), ==, 0);
	g_assert_cmpint(symlink("/etc/passwd", path), ==, 0);
}

static void
test_no_link_is_followed(Fixture *fixture, gconstpointer data)
{
	struct stat before;
	struct stat after;

	g_assert_cmpint(stat("/etc/passwd", &before), ==, 0);
	damage_and_get(fixture, replace_by_link, 1); /* it or the evictor removes the link */
	g_assert_cmpint(stat("/etc/passwd", &after), ==, 0);
	g_assert_cmpint(before.st_ctim.tv_sec, ==, after.st_ctim.tv_sec);
	g_assert_cmpint(before.st_size, ==, after.st_size);
}

static void
test_swapped_bodies_are_noticed_even_when_proved(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	Known one = store(bodies, 3, 1, BODY);
	Known two = store(bodies, 3, 2, BODY);
	g_autofree char *first = path_of(fixture, "3/1");
	g_autofree char *second = path_of(fixture, "3/2");
	g_autofree char *third = path_of(fixture, "3/3");

	assert_cached(bodies, 3, 1, one);
	g_assert_cmpint(g_rename(first, third), ==, 0);
	g_assert_cmpint(g_rename(second, first), ==, 0);
	g_assert_cmpint(g_rename(third, second), ==, 0);
	assert_gone(bodies, 3, 1, one);
	assert_gone(bodies, 3, 2, two);
	g_assert_cmpuint(bodies_damaged(bodies), ==, 2);
}

static void
test_a_deleted_body_is_just_not_there(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	Known known = store(bodies, 3, 1, BODY);
	g_autofree char *path = path_of(fixture, "3/1");

	g_assert_cmpint(g_unlink(path), ==, 0);
	assert_gone(bodies, 3, 1, known);
	g_assert_cmpuint(bodies_damaged(bodies), ==, 0);
}

static void
test_a_cache_deleted_while_in_use_begins_anew(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	Known known = store(bodies, 3, 1, BODY);
	g_autofree char *base = g_build_filename(fixture->directory, "bodies", NULL);

	delete_tree(base);
	if (!fixture->packs) /* those stay open */
		assert_gone(bodies, 3, 1, known);
	known = store(bodies, 3, 1, BODY);
	assert_cached(bodies, 3, 1, known);
	wait_for_total(bodies, BODY, BODY);
}

/* ---- what is over goes ---- */

static void
test_other_generations_are_deleted(Fixture *fixture, gconstpointer data)
{
	g_autofree char *old = path_of(fixture, NULL);
	g_autofree char *outside = g_build_filename(fixture->directory, "outside", NULL);
	g_autofree char *inside_link = path_of(fixture, "link");
	Known known;

	{
		g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);

		for (guint32 uid = 1; uid <= 20; uid++)
			known = store(bodies, 3, uid, BODY);
	}
	g_assert_true(g_file_set_contents(outside, "mine", -1, NULL));
	g_assert_cmpint(symlink(fixture->directory, inside_link), ==, 0);
	{
		g_autoptr(Bodies) bodies = open_bodies(fixture, "g2", 0);

		wait_until_missing(old);
		assert_gone(bodies, 3, 20, known);
		g_assert_cmpuint(bodies_total(bodies), ==, 0);
	}
	g_assert_true(g_file_test(outside, G_FILE_TEST_EXISTS));
}

static void
test_what_a_crash_left_is_removed_and_the_rest_is_counted(Fixture *fixture, gconstpointer data)
{
	g_autofree char *left[] = {path_of(fixture, "3/.0123456789abcdef-1"),
				   path_of(fixture, "3/007"),
				   path_of(fixture, "junk"),
				   path_of(fixture, "9"),
				   path_of(fixture, ".coming-0123456789abcdef"),
				   NULL};
	g_autofree char *half = g_build_filename(left[4], "1", NULL);
	Known known;

	{
		g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);

		known = store(bodies, 3, 1, BODY);
		store(bodies, 4, 1, 100);
	}
	for (int i = 0; i < 3; i++)
		g_assert_true(g_file_set_contents(left[i], "half a body", -1, NULL));
	for (int i = 3; i < 5; i++)
		g_assert_cmpint(g_mkdir(left[i], 0700), ==, 0);
	g_assert_true(g_file_set_contents(half, "half a body", -1, NULL));
	{
		g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);

		for (int i = 0; i < 5; i++)
			wait_until_missing(left[i]);
		wait_for_total(bodies, BODY + 4096, BODY + 4096);
		assert_cached(bodies, 3, 1, known);
	}
	for (int i = 0; i < 5; i++)
		g_free(g_steal_pointer(&left[i]));
}

static void
test_a_serial_that_is_over_goes_whole_and_alone(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	Known over = store(bodies, 3, 1, BODY);
	Known kept = store(bodies, 4, 1, BODY);
	g_autoptr(Body) body = get(bodies, 3, 1, over);

	for (guint32 uid = 2; uid < 50; uid++)
		store(bodies, 3, uid, BODY);
	bodies_remove_serial(bodies, 3);
	bodies_remove_serial(bodies, 99);
	assert_gone(bodies, 3, 1, over);
	assert_reads(body, 1, BODY);
	g_clear_pointer(&body, body_unref);
	wait_for_total(bodies, BODY, BODY);
	assert_cached(bodies, 4, 1, kept);
}

static void
test_eviction_takes_the_oldest_down_to_nine_tenths(Fixture *fixture, gconstpointer data)
{
	guint64 bound = (guint64)20 * BODY;
	Known known[22];

	{
		g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);

		for (guint32 uid = 1; uid <= 20; uid++)
			known[uid] = store(bodies, uid % 2 + 3, uid, BODY);
	}
	for (guint32 uid = 1; uid <= 20; uid++) {
		g_autofree char *below = g_strdup_printf("%u/%u", uid % 2 + 3, uid);

		set_age(fixture, below, 100000 - (time_t)uid * 1000); /* 1 is the oldest */
	}
	{
		g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", bound);

		wait_for_total(bodies, bound, bound);
		assert_cached(bodies, 4, 1, known[1]); /* used: now the youngest */
		known[21] = store(bodies, 3, 21, BODY);
		wait_for_total(bodies, bound / 10 * 9, bound / 10 * 9);
		for (guint32 uid = 2; uid <= 4; uid++)
			assert_gone(bodies, uid % 2 + 3, uid, known[uid]);
		for (guint32 uid = 5; uid <= 20; uid++)
			assert_cached(bodies, uid % 2 + 3, uid, known[uid]);
		assert_cached(bodies, 4, 1, known[1]);
		assert_cached(bodies, 3, 21, known[21]);
		g_assert_cmpuint(bodies_damaged(bodies), ==, 0);
	}
}

static void
test_a_cache_over_a_smaller_bound_shrinks_at_the_start(Fixture *fixture, gconstpointer data)
{
	{
		g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);

		for (guint32 uid = 1; uid <= 50; uid++)
			store(bodies, 3, uid, BODY);
	}
	{
		g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 10 * BODY);

		wait_for_total(bodies, 9 * BODY, 9 * BODY);
	}
}

static void
test_an_open_body_survives_eviction(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 10 * BODY);
	Known known = store(bodies, 3, 1, BODY);
	g_autoptr(Body) body = get(bodies, 3, 1, known);
	g_autofree char *path = path_of(fixture, "3/1");

	set_age(fixture, "3/1", 9999);
	for (guint32 uid = 2; uid <= 12; uid++)
		store(bodies, 3, uid, BODY);
	wait_until_missing(path);
	assert_gone(bodies, 3, 1, known);
	assert_reads(body, 1, BODY);
}

static void
test_reading_marks_as_used_at_most_once_an_hour(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	Known known = store(bodies, 3, 1, BODY);
	g_autofree char *path = path_of(fixture, "3/1");
	struct stat status;
	time_t then;

	set_age(fixture, "3/1", 3000);
	g_assert_cmpint(stat(path, &status), ==, 0);
	then = status.st_mtim.tv_sec;
	assert_cached(bodies, 3, 1, known);
	g_assert_cmpint(stat(path, &status), ==, 0);
	g_assert_cmpint(status.st_mtim.tv_sec, ==, then);
	set_age(fixture, "3/1", 4000);
	assert_cached(bodies, 3, 1, known);
	g_assert_cmpint(stat(path, &status), ==, 0);
	g_assert_cmpint(time(NULL) - status.st_mtim.tv_sec, <, 100);
	assert_cached(bodies, 3, 1, known);
}

/* ---- full disk; many at once ---- */

/* A file that may not grow stands for a disk that fails otherwise than by being full. */
static void
test_a_failed_write_is_an_error_and_leaves_nothing(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	g_autoptr(GError) error = NULL;
	g_autofree char *body = body_of(1, 100000);
	BodyWriter *writer = body_writer_new(bodies, 3, NULL);
	struct rlimit old;
	struct rlimit tight;

	signal(SIGXFSZ, SIG_IGN);
	g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &old), ==, 0);
	tight = old;
	tight.rlim_cur = 50000;
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &tight), ==, 0);
	g_assert_false(body_writer_write(writer, body, 100000, &error));
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);
	g_assert_true(error->domain == G_FILE_ERROR);
	body_writer_abort(writer);
	g_assert_cmpuint(bodies_total(bodies), ==, 0);
	store(bodies, 3, 1, 100000);
}

static void
test_a_full_disk_costs_the_oldest_bodies_not_the_reader(Fixture *fixture, gconstpointer data)
{
	char *disk = small_disk_new(fixture->directory, "size=8m");
	g_autofree char *oldest = NULL;
	g_autofree char *huge = body_of(1, 9 * 1024 * 1024);
	g_autoptr(Bodies) bodies = NULL;
	g_autoptr(GError) error = NULL;
	BodyWriter *writer;
	Known known;

	if (disk == NULL)
		return;
	oldest = g_build_filename(disk, "bodies", "g1", "3", "1", NULL);
	bodies = bodies_open(disk, "g1", 0, &error);
	for (guint32 uid = 1; uid <= 1000; uid++) {
		known = store(bodies, 3, uid, 65536);
		assert_cached(bodies, 3, uid, known);
	}
	g_assert_false(g_file_test(oldest, G_FILE_TEST_EXISTS));
	g_assert_cmpuint(bodies_total(bodies), >, 5 * 1024 * 1024);
	writer = body_writer_new(bodies, 3, &error);
	g_assert_no_error(error);
	g_assert_false(body_writer_write(writer, huge, 9 * 1024 * 1024, &error));
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
	body_writer_abort(writer);
	known = store(bodies, 3, 1, 65536);
	assert_cached(bodies, 3, 1, known);
	g_clear_pointer(&bodies, bodies_close);
	small_disk_free(disk);
}

static gpointer
write_same(gpointer user)
{
	for (guint32 i = 0; i < 200; i++) {
		Known known = store(user, 3, i % 5 + 1, BODY);

		assert_cached(user, 3, i % 5 + 1, known);
	}
	return NULL;
}

static void
test_writers_of_one_uid_leave_one_whole_body(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", 0);
	GThread *threads[4];

	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("writer", write_same, bodies);
	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	wait_for_total(bodies, 5 * BODY, 5 * BODY);
	g_assert_cmpuint(bodies_damaged(bodies), ==, 0);
}

static gpointer
write_many(gpointer user)
{
	for (guint32 uid = 1; uid <= 1000; uid++)
		store(user, g_random_int_range(2, 6), uid, BODY);
	return NULL;
}

static void
test_the_bound_holds_under_many_writers(Fixture *fixture, gconstpointer data)
{
	guint64 bound = (guint64)100 * BODY;
	g_autoptr(Bodies) bodies = open_bodies(fixture, "g1", bound);
	GThread *threads[4];
	guint64 total;

	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("writer", write_many, bodies);
	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	wait_for_total(bodies, bound / 2, bound);
	total = bodies_total(bodies);
	g_clear_pointer(&bodies, bodies_close);
	bodies = open_bodies(fixture, "g1", 0);
	wait_for_total(bodies, total, total); /* the account was right */
}

#define ADD(name, function) g_test_add("/bodies/" name, Fixture, NULL, setup, function, teardown)
/* As files, and in packs. */
#define ADD_BOTH(name, function)                                                                   \
	ADD(name, function);                                                                       \
	g_test_add("/bodies/packed/" name, Fixture, GINT_TO_POINTER(TRUE), setup, function,        \
		   teardown)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD_BOTH("what-was-written-is-read-now-and-in-the-next-mount",
		 test_what_was_written_is_read_now_and_in_the_next_mount);
	ADD("checksum-is-the-crc-32-of-everybody", test_checksum_is_the_crc_32_of_everybody);
	ADD_BOTH("a-committed-body-can-be-read-and-not-written",
		 test_a_committed_body_can_be_read_and_not_written);
	ADD_BOTH("nothing-has-a-name-before-commit-or-after-abort",
		 test_nothing_has_a_name_before_commit_or_after_abort);
	ADD_BOTH("a-body-is-found-only-under-its-own-address",
		 test_a_body_is_found_only_under_its_own_address);
	ADD("modes-are-private-whatever-the-umask", test_modes_are_private_whatever_the_umask);
	ADD("no-flipped-bit-is-handed-out", test_no_flipped_bit_is_handed_out);
	ADD("no-truncated-body-is-handed-out", test_no_truncated_body_is_handed_out);
	ADD("no-zeroed-page-is-handed-out", test_no_zeroed_page_is_handed_out);
	ADD("no-link-is-followed", test_no_link_is_followed);
	ADD("swapped-bodies-are-noticed-even-when-proved",
	    test_swapped_bodies_are_noticed_even_when_proved);
	ADD("a-deleted-body-is-just-not-there", test_a_deleted_body_is_just_not_there);
	ADD_BOTH("a-cache-deleted-while-in-use-begins-anew",
		 test_a_cache_deleted_while_in_use_begins_anew);
	ADD("other-generations-are-deleted", test_other_generations_are_deleted);
	ADD("what-a-crash-left-is-removed-and-the-rest-is-counted",
	    test_what_a_crash_left_is_removed_and_the_rest_is_counted);
	ADD_BOTH("a-serial-that-is-over-goes-whole-and-alone",
		 test_a_serial_that_is_over_goes_whole_and_alone);
	ADD_BOTH("eviction-takes-the-oldest-down-to-nine-tenths",
		 test_eviction_takes_the_oldest_down_to_nine_tenths);
	ADD_BOTH("a-cache-over-a-smaller-bound-shrinks-at-the-start",
		 test_a_cache_over_a_smaller_bound_shrinks_at_the_start);
	ADD("an-open-body-survives-eviction", test_an_open_body_survives_eviction);
	ADD("reading-marks-as-used-at-most-once-an-hour",
	    test_reading_marks_as_used_at_most_once_an_hour);
	ADD("a-failed-write-is-an-error-and-leaves-nothing",
	    test_a_failed_write_is_an_error_and_leaves_nothing);
	ADD_BOTH("a-full-disk-costs-the-oldest-bodies-not-the-reader",
		 test_a_full_disk_costs_the_oldest_bodies_not_the_reader);
	ADD_BOTH("writers-of-one-uid-leave-one-whole-body",
		 test_writers_of_one_uid_leave_one_whole_body);
	ADD_BOTH("the-bound-holds-under-many-writers", test_the_bound_holds_under_many_writers);
	return g_test_run();
}
