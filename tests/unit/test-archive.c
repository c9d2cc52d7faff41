/* SPDX-License-Identifier: MIT */
#include "store/archive.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "fake-backend.h"
#include "store/checksum.h"

typedef struct {
	char *directory;
	Archive *archive;
} House;

static void
enter(House *house, const char *generation)
{
	g_autoptr(GError) error = NULL;

	house->archive = archive_open(house->directory, generation, &error);
	g_assert_no_error(error);
}

static void
set_up(House *house, gconstpointer data)
{
	house->directory = fake_directory();
	enter(house, "aaaa");
}

static void
tear_down(House *house, gconstpointer data)
{
	archive_close(house->archive);
	fake_directory_remove(house->directory);
}

/* A file as the cache has it; or had it, so that no link can be made. */
static Body *
body_of(House *house, const char *text, gboolean removed, guint32 *crc_out)
{
	g_autofree char *path = g_build_filename(house->directory, "body-XXXXXX", NULL);
	int fd = g_mkstemp(path);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, text, strlen(text)), ==, (gssize)strlen(text));
	if (removed)
		unlink(path);
	*crc_out = checksum(0, text, strlen(text));
	return body_new_file(fd, strlen(text));
}

static void
put(House *house, guint32 uid, const char *text)
{
	g_autoptr(GError) error = NULL;
	guint32 crc;
	g_autoptr(Body) body = body_of(house, text, uid % 2 == 0, &crc);

	g_assert_true(archive_put(house->archive, uid, body, crc, &error));
	g_assert_no_error(error);
}

/* NULL: it is not here. (transfer full) */
static char *
get(House *house, guint32 uid)
{
	g_autoptr(Body) body = archive_get(house->archive, uid);
	guint64 size;
	char *text;

	if (body == NULL)
		return NULL;
	size = body_size(body);
	text = g_malloc0(size + 1);
	g_assert_cmpint(body_read(body, text, size + 1, 0), ==, (gssize)size);
	return text;
}

static void
assert_has(House *house, guint32 uid, const char *text)
{
	g_autofree char *found = get(house, uid);

	g_assert_cmpstr(found, ==, text);
}

/* The one file of that number. (transfer full) */
static char *
path_of(House *house, const char *generation, const char *name)
{
	return g_build_filename(house->directory, generation, name, NULL);
}

static void
test_what_is_put_is_there_after_a_remount(House *house, gconstpointer data)
{
	g_autoptr(UidSet) uids = NULL;

	put(house, 7, "Subject: a\r\n\r\nseven");
	put(house, 3, "");
	assert_has(house, 7, "Subject: a\r\n\r\nseven");
	archive_close(house->archive);
	enter(house, "aaaa");
	assert_has(house, 7, "Subject: a\r\n\r\nseven");
	assert_has(house, 3, "");
	assert_has(house, 4, NULL);
	uids = archive_uids(house->archive);
	g_assert_cmpuint(uidset_count(uids), ==, 2);
	g_assert_true(archive_secure(house->archive, 7, NULL));
	archive_remove(house->archive, 7);
	g_assert_false(archive_secure(house->archive, 7, NULL));
	assert_has(house, 7, NULL);
	archive_close(house->archive);
	enter(house, "aaaa");
	assert_has(house, 7, NULL);
}

static void
test_another_body_takes_the_place_of_the_first(House *house, gconstpointer data)
{
	put(house, 1, "one");
	put(house, 1, "one");
	assert_has(house, 1, "one");
	put(house, 1, "two");
	assert_has(house, 1, "two");
	archive_close(house->archive);
	enter(house, "aaaa");
	assert_has(house, 1, "two");
}

static void
test_damage_is_noticed_and_put_aside(House *house, gconstpointer data)
{
	g_autofree char *name = g_strdup_printf("5-%08x", checksum(0, "five", 4));
	g_autofree char *path = path_of(house, "aaaa", name);

	put(house, 5, "five");
	archive_close(house->archive);
	g_assert_true(g_file_set_contents(path, "fiVe", 4, NULL));
	enter(house, "aaaa");
	g_assert_true(archive_has(house->archive, 5));
	g_assert_false(archive_secure(house->archive, 5, NULL));
	g_assert_false(archive_has(house->archive, 5));
	assert_has(house, 5, NULL);
}

/* Also of a file that was proved in this mount already. */
static void
test_what_is_secured_is_read_again(House *house, gconstpointer data)
{
	g_autofree char *name = g_strdup_printf("5-%08x", checksum(0, "five", 4));
	g_autofree char *path = path_of(house, "aaaa", name);
	struct stat before;
	g_auto(UtilFd) fd = -1;

	put(house, 5, "five");
	assert_has(house, 5, "five");
	g_assert_true(archive_secure(house->archive, 5, NULL));
	g_assert_cmpint(stat(path, &before), ==, 0);
	fd = open(path, O_WRONLY);
	g_assert_cmpint(pwrite(fd, "F", 1, 0), ==, 1);
	g_assert_false(archive_secure(house->archive, 5, NULL));
}

static guint32
number(gpointer user, const char *header, gsize len)
{
	GString *seen = user;

	g_string_append_printf(seen, "%.*s;", (int)len, header);
	return strncmp(header, "stays", MIN(len, 5)) == 0 ? 0 : 100 + (guint32)seen->len;
}

static void
test_what_another_index_has_left_is_taken_over(House *house, gconstpointer data)
{
	g_autoptr(GString) seen = g_string_new(NULL);
	g_autoptr(UidSet) uids = NULL;

	put(house, 10, "ten");
	put(house, 9, "nine");
	put(house, 11, "stays");
	archive_close(house->archive);
	enter(house, "bbbb");
	g_assert_false(archive_has(house->archive, 9));
	g_assert_cmpuint(archive_adopt(house->archive, number, seen), ==, 2);
	/* In the order in which they had come. */
	g_assert_cmpstr(seen->str, ==, "nine;ten;stays;");
	assert_has(house, 105, "nine");
	assert_has(house, 109, "ten");
	uids = archive_uids(house->archive);
	g_assert_cmpuint(uidset_count(uids), ==, 2);
	archive_close(house->archive);
	enter(house, "aaaa");
	assert_has(house, 11, "stays");
}

/* A folder that took the place of ours cannot take the body. */
static void
test_what_cannot_be_kept_is_told(House *house, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	g_autofree char *name = g_strdup_printf("2-%08x", checksum(0, "two", 3));
	g_autofree char *path = path_of(house, "aaaa", name);
	g_autofree char *inside = g_build_filename(path, "x", NULL);
	guint32 crc;
	g_autoptr(Body) body = body_of(house, "two", TRUE, &crc);

	g_assert_null(archive_last_error(house->archive));
	g_assert_cmpint(g_mkdir_with_parents(inside, 0700), ==, 0);
	g_assert_false(archive_put(house->archive, 2, body, crc, &error));
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_ISDIR);
	text = archive_last_error(house->archive);
	g_assert_cmpstr(text, ==, error->message);
	g_assert_false(archive_has(house->archive, 2));
}

static void
test_only_one_mount_has_it(House *house, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(archive_open(house->directory, "aaaa", &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
}

#define TEST(name) g_test_add("/archive/" #name, House, NULL, set_up, test_##name, tear_down)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST(what_is_put_is_there_after_a_remount);
	TEST(another_body_takes_the_place_of_the_first);
	TEST(damage_is_noticed_and_put_aside);
	TEST(what_is_secured_is_read_again);
	TEST(what_another_index_has_left_is_taken_over);
	TEST(what_cannot_be_kept_is_told);
	TEST(only_one_mount_has_it);
	return g_test_run();
}
