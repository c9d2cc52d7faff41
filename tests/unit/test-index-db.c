/* SPDX-License-Identifier: MIT */
/* Damaged files, full disks, permissions: what the index makes of a file that is not as it left it.
 */
#include "store/index.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "index-fixture.h"
#include "small-disk.h"

/* A sound, closed index of 300 messages in two mailboxes; what it lists is returned. */
static char *
make_sound(Fixture *fixture, char **generation_out)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	g_autofree char *boxes = NULL;
	g_autofree char *first = NULL;
	g_autofree char *second = NULL;

	fill(index, 3, 1, 200);
	put(index, 2, 3, "INBOX", 201);
	fill(index, 5, 1, 100);
	put(index, 4, 5, "Sent", 101);
	boxes = mailboxes(index);
	first = listing(index, 3);
	second = listing(index, 5);
	*generation_out = g_strdup(index_generation(index));
	return g_strconcat(boxes, first, second, NULL);
}

static void
write_file(Fixture *fixture, const char *data, gsize len)
{
	g_assert_true(g_file_set_contents(fixture->path, data, (gssize)len, NULL));
}

/* After any damage: either a new, empty index of a new generation that works, or every value is
 * what was stored. */
static gboolean
assert_sound_or_rebuilt(Fixture *fixture, const char *expected, const char *generation)
{
	g_autoptr(GError) error = NULL;
	gboolean rebuilt = FALSE;
	g_autoptr(Index) index = index_open(fixture->directory, &rebuilt, &error);
	g_autofree char *boxes = NULL;
	g_autofree char *first = NULL;
	g_autofree char *second = NULL;
	g_autofree char *all = NULL;

	g_assert_no_error(error);
	if (rebuilt) {
		g_assert_cmpstr(index_generation(index), !=, generation);
		boxes = mailboxes(index);
		g_assert_cmpstr(boxes, ==, "");
		fill(index, 3, 1, 1);
		first = listing(index, 3);
		g_assert_cmpuint(lines(first), ==, 5);
		g_assert_cmpuint(index_errors(index), ==, 0);
		return TRUE;
	}
	boxes = mailboxes(index);
	first = listing(index, 3);
	second = listing(index, 5);
	all = g_strconcat(boxes, first, second, NULL);
	g_assert_cmpstr(all, ==, expected);
	return FALSE;
}

static void
test_a_flipped_bit_gives_the_stored_values_or_a_new_index(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);
	g_autofree char *sound = NULL;
	gsize len;
	guint rebuilt = 0;

	g_assert_true(g_file_get_contents(fixture->path, &sound, &len, NULL));
	for (int i = 0; i < 200; i++) {
		g_autofree char *damaged = g_memdup2(sound, len);
		gsize at = (gsize)g_test_rand_int_range(0, (gint32)len);

		if (i < 100) /* the first ones into the file's header and schema */
			at = (gsize)i;
		damaged[at] ^= (char)(1 << g_test_rand_int_range(0, 8));
		write_file(fixture, damaged, len);
		rebuilt += assert_sound_or_rebuilt(fixture, expected, generation);
	}
	g_assert_cmpuint(rebuilt, >, 60);
}

static void
test_a_truncated_index_is_rebuilt(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);
	g_autofree char *sound = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(fixture->path, &sound, &len, NULL));
	for (gsize i = 0; i < 20; i++) {
		write_file(fixture, sound, i * len / 20 + i);
		g_assert_true(assert_sound_or_rebuilt(fixture, expected, generation));
	}
}

static void
test_zeroed_pages_are_noticed(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);
	g_autofree char *sound = NULL;
	gsize len;
	guint rebuilt = 0;

	g_assert_true(g_file_get_contents(fixture->path, &sound, &len, NULL));
	for (gsize at = 0; at + 4096 <= len; at += 4096) {
		g_autofree char *damaged = g_memdup2(sound, len);

		memset(damaged + at, 0, 4096);
		write_file(fixture, damaged, len);
		rebuilt += assert_sound_or_rebuilt(fixture, expected, generation);
	}
	g_assert_cmpuint(rebuilt, >=, len / 4096 / 2);
}

static void
test_a_deleted_index_is_new_and_not_called_rebuilt(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);

	g_assert_cmpint(g_unlink(fixture->path), ==, 0);
	g_assert_false(assert_sound_or_rebuilt(fixture, "", generation));
}

static void
test_foreign_files_are_moved_aside(Fixture *fixture, gconstpointer data)
{
	static const char *const foreign[] = {"hello", "SQLite format 3",
					      "[account]\nuser=alice\n"};
	g_autofree char *aside = g_strconcat(fixture->path, ".damaged", NULL);

	write_file(fixture, "", 0);
	g_assert_true(assert_sound_or_rebuilt(fixture, "", "none"));
	for (guint i = 0; i < G_N_ELEMENTS(foreign); i++) {
		g_autofree char *kept = NULL;

		write_file(fixture, foreign[i], strlen(foreign[i]));
		g_assert_true(assert_sound_or_rebuilt(fixture, "", "none"));
		g_assert_true(g_file_get_contents(aside, &kept, NULL, NULL));
		g_assert_cmpstr(kept, ==, foreign[i]);
	}
	g_unlink(fixture->path);
	g_assert_cmpint(symlink("/etc/passwd", fixture->path), ==, 0);
	g_assert_true(assert_sound_or_rebuilt(fixture, "", "none"));
}

static void
test_damage_found_later_ends_the_use_of_the_file(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	struct stat status;

	{
		g_autoptr(Index) index = open_index(fixture, FALSE);
		g_auto(UtilFd) fd = open(fixture->path, O_RDWR | O_CLOEXEC);
		g_autoptr(GString) rows = g_string_new(NULL);
		char page[8192];

		memset(page, 0xff, sizeof page);
		g_assert_cmpint(fstat(fd, &status), ==, 0);
		for (off_t at = sizeof page; at < status.st_size; at += (off_t)sizeof page)
			g_assert_cmpint(pwrite(fd, page, sizeof page, at), ==, sizeof page);
		g_assert_false(index_each_message(index, 3, describe, &(Described){index, 3, rows},
						  &error));
		g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_IO);
		g_clear_error(&error);
		/* The mount goes on: nothing crashes or waits, writes are counted as lost, serials
		 * still rise. */
		fill(index, 9, 1, 5);
		index_flush(index);
		g_assert_cmpuint(index_errors(index), >, 0);
		text = index_last_error(index);
		g_assert_nonnull(strstr(text, "index.db"));
		g_assert_cmpuint(index_new_serial(index), ==, 6);
		g_assert_cmpuint(index_new_serial(index), ==, 7);
	}
	g_assert_true(assert_sound_or_rebuilt(fixture, expected, generation));
}

/* ---- full disk ---- */

static void
test_a_file_that_cannot_grow_loses_writes_and_nothing_else(Fixture *fixture, gconstpointer data)
{
	g_autofree char *boxes = NULL;
	g_autofree char *text = NULL;
	struct rlimit old;
	struct rlimit tight;

	signal(SIGXFSZ, SIG_IGN);
	g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &old), ==, 0);
	tight = old;
	tight.rlim_cur = 200 * 1024;
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);
		guint64 errors;

		fill(index, 3, 1, 50);
		put(index, 2, 3, "INBOX", 51);
		index_flush(index);
		g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &tight), ==, 0);
		fill(index, 3, 51, 2000);
		index_flush(index);
		errors = index_errors(index);
		g_assert_cmpuint(errors, ==, 1);
		g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);
		/* Room again: later writes are stored, and the state does not claim what was lost.
		 */
		fill(index, 3, 2001, 2010);
		put(index, 2, 3, "INBOX", 2011);
		text = listing(index, 3);
		g_assert_cmpuint(lines(text), ==, 60 * 5);
		g_assert_cmpuint(index_errors(index), ==, errors);
		boxes = mailboxes(index);
		g_assert_cmpstr(boxes, ==, "2 3 7 1 0 2010 1795243092 / 404 INBOX INBOX.\n");
	}
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		g_clear_pointer(&text, g_free);
		text = listing(index, 3);
		g_assert_cmpuint(lines(text), ==, 60 * 5);
	}
}

static void
test_a_full_disk_loses_writes_and_nothing_else(Fixture *fixture, gconstpointer data)
{
	Fixture small = {.directory = small_disk_new(fixture->directory, "size=2m")};
	g_autofree char *filler = NULL;
	g_autofree char *text = NULL;
	g_autofree char *generation = NULL;
	g_autoptr(GError) error = NULL;
	guint32 serial;

	if (small.directory == NULL)
		return;
	small.path = g_build_filename(small.directory, "index.db", NULL);
	{
		g_autoptr(Index) index = open_index(&small, FALSE);

		generation = g_strdup(index_generation(index));
		fill(index, 3, 1, 50);
		put(index, 2, 3, "INBOX", 51);
		serial = index_new_serial(index);
		index_flush(index);
		filler = small_disk_fill(small.directory, 16384);
		fill(index, 3, 51, 5000);
		index_flush(index);
		g_assert_cmpuint(index_errors(index), ==, 1);
		text = index_last_error(index);
		g_assert_nonnull(strstr(text, "full"));
		for (guint32 i = 1; i < 100; i++) /* past the reserved block */
			g_assert_cmpuint(index_new_serial(index), ==, serial + i);
		g_assert_cmpint(g_unlink(filler), ==, 0);
		fill(index, 3, 51, 60);
		g_clear_pointer(&text, g_free);
		text = listing(index, 3);
		g_assert_cmpuint(lines(text), ==, 60 * 5);
	}
	g_free(small_disk_fill(small.directory, 0));
	g_assert_null(index_open(small.directory, NULL,
				 &error)); /* and not: damaged, let us rebuild it */
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
	g_assert_cmpint(g_unlink(filler), ==, 0);
	{
		g_autoptr(Index) index = open_index(&small, FALSE);

		g_assert_cmpstr(index_generation(index), ==, generation);
		g_assert_cmpuint(index_new_serial(index), ==, serial + 100);
		g_clear_pointer(&text, g_free);
		text = listing(index, 3);
		g_assert_cmpuint(lines(text), ==, 60 * 5);
	}
	g_free(small.path);
	small_disk_free(small.directory);
}

static void
test_the_file_is_0600_whatever_the_umask(Fixture *fixture, gconstpointer data)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	static const mode_t masks[] = {0, 0277};

	for (guint m = 0; m < G_N_ELEMENTS(masks); m++) {
		mode_t old = umask(masks[m]);
		g_autoptr(Index) index = open_index(fixture, FALSE);

		umask(old);
		fill(index, 3, 1, 1);
		index_flush(index);
		for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
			g_autofree char *path = g_strconcat(fixture->path, suffixes[i], NULL);
			struct stat status;

			g_assert_cmpint(stat(path, &status), ==, 0);
			g_assert_cmpuint(status.st_mode & 0777, ==, 0600);
		}
		g_clear_pointer(&index, index_close);
		g_unlink(fixture->path);
	}
}

static void
test_a_directory_that_cannot_be_is_an_error(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *below_a_file = NULL;

	write_file(fixture, "x", 1);
	below_a_file = g_build_filename(fixture->path, "cache", NULL);
	g_assert_null(index_open(below_a_file, NULL, &error));
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("a-flipped-bit-gives-the-stored-values-or-a-new-index",
	    test_a_flipped_bit_gives_the_stored_values_or_a_new_index);
	ADD("a-truncated-index-is-rebuilt", test_a_truncated_index_is_rebuilt);
	ADD("zeroed-pages-are-noticed", test_zeroed_pages_are_noticed);
	ADD("a-deleted-index-is-new-and-not-called-rebuilt",
	    test_a_deleted_index_is_new_and_not_called_rebuilt);
	ADD("foreign-files-are-moved-aside", test_foreign_files_are_moved_aside);
	ADD("damage-found-later-ends-the-use-of-the-file",
	    test_damage_found_later_ends_the_use_of_the_file);
	ADD("a-file-that-cannot-grow-loses-writes-and-nothing-else",
	    test_a_file_that_cannot_grow_loses_writes_and_nothing_else);
	ADD("a-full-disk-loses-writes-and-nothing-else",
	    test_a_full_disk_loses_writes_and_nothing_else);
	ADD("the-file-is-0600-whatever-the-umask", test_the_file_is_0600_whatever_the_umask);
	ADD("a-directory-that-cannot-be-is-an-error", test_a_directory_that_cannot_be_is_an_error);
	return g_test_run();
}
