/* SPDX-License-Identifier: MIT */
#include "store/spool.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "fake-backend.h"
#include "small-disk.h"

typedef struct {
	char *directory;
	Spool *spool;
} Fixture;

static void
enter(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;

	fixture->spool = spool_open(fixture->directory, &error);
	g_assert_no_error(error);
}

static void
leave(Fixture *fixture)
{
	g_clear_pointer(&fixture->spool, spool_close);
}

static void
setup(Fixture *fixture, gconstpointer data)
{
	fixture->directory = fake_directory();
	enter(fixture);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	leave(fixture);
	fake_directory_remove(fixture->directory);
}

static SpoolEntry
entry_of(guint32 id, SpoolState state, const char *name)
{
	return (SpoolEntry){.id = id,
			    .state = state,
			    .mailbox = "INBOX/caf\xc3\xa9",
			    .name = name,
			    .mode = 0640,
			    .mtime = -5,
			    .size = 7,
			    .crc = 0xdeadbeef,
			    .flags = MESSAGE_SEEN,
			    .keywords = "work todo",
			    .message_id = "<1@x>",
			    .replaces_validity = 4000000000u,
			    .replaces_uid = 4294967295u,
			    .before_validity = 3,
			    .before_uidnext = 4,
			    .source_mailbox = "Sent",
			    .source_validity = 5,
			    .source_uid = 6,
			    .reason = "because",
			    .tries = 2,
			    .retry_at = 1795243092,
			    .wishes = SPOOL_WISH_TIME,
			    .code = 15,
			    .moves_to = "INBOX/th\xc3\xa9",
			    .ticket = G_MAXUINT64 - 1,
			    .since = 1795243091,
			    .doubt_size = 8,
			    .doubt_time = -6,
			    .doubt_id = "<0@x>"};
}

/* A file of this text, synced, and its row. */
static guint32
put(Fixture *fixture, const char *name, const char *text)
{
	g_autoptr(GError) error = NULL;
	g_auto(UtilFd) fd = -1;
	guint32 id = spool_add(fixture->spool, &fd, &error);
	SpoolEntry entry = entry_of(id, SPOOL_QUEUED, name);

	g_assert_no_error(error);
	g_assert_cmpint(write(fd, text, strlen(text)), ==, (gssize)strlen(text));
	g_assert_true(spool_sync(fixture->spool, id, fd, &error));
	g_assert_true(spool_put(fixture->spool, &entry, 1, &error));
	return id;
}

static void
note_name(gpointer user, const SpoolEntry *entry)
{
	g_string_append_printf(user, "%u:%d:%s ", entry->id, (int)entry->state, entry->name);
}

static char *
names_of(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	GString *names = g_string_new(NULL);

	g_assert_true(spool_each(fixture->spool, note_name, names, &error));
	return g_string_free(names, FALSE);
}

static void
assert_text(Fixture *fixture, guint32 id, const char *expected)
{
	g_autoptr(GError) error = NULL;
	g_auto(UtilFd) fd = spool_file(fixture->spool, id, &error);
	char text[64] = "";

	g_assert_no_error(error);
	g_assert_cmpint(pread(fd, text, sizeof text - 1, 0), ==, (gssize)strlen(expected));
	g_assert_cmpstr(text, ==, expected);
}

static void
check_all(gpointer user, const SpoolEntry *entry)
{
	SpoolEntry expected = entry_of(entry->id, SPOOL_QUEUED, "a.eml");

	g_assert_cmpint(entry->state, ==, expected.state);
	g_assert_cmpstr(entry->mailbox, ==, expected.mailbox);
	g_assert_cmpstr(entry->name, ==, expected.name);
	g_assert_cmpuint(entry->mode, ==, expected.mode);
	g_assert_cmpint(entry->mtime, ==, expected.mtime);
	g_assert_cmpuint(entry->size, ==, expected.size);
	g_assert_cmpuint(entry->crc, ==, expected.crc);
	g_assert_cmpuint(entry->flags, ==, expected.flags);
	g_assert_cmpstr(entry->keywords, ==, expected.keywords);
	g_assert_cmpstr(entry->message_id, ==, expected.message_id);
	g_assert_cmpuint(entry->replaces_validity, ==, expected.replaces_validity);
	g_assert_cmpuint(entry->replaces_uid, ==, expected.replaces_uid);
	g_assert_cmpuint(entry->before_validity, ==, expected.before_validity);
	g_assert_cmpuint(entry->before_uidnext, ==, expected.before_uidnext);
	g_assert_cmpstr(entry->source_mailbox, ==, expected.source_mailbox);
	g_assert_cmpuint(entry->source_validity, ==, expected.source_validity);
	g_assert_cmpuint(entry->source_uid, ==, expected.source_uid);
	g_assert_cmpstr(entry->reason, ==, expected.reason);
	g_assert_cmpuint(entry->tries, ==, expected.tries);
	g_assert_cmpint(entry->retry_at, ==, expected.retry_at);
	g_assert_cmpuint(entry->wishes, ==, expected.wishes);
	g_assert_cmpuint(entry->code, ==, expected.code);
	g_assert_cmpstr(entry->moves_to, ==, expected.moves_to);
	g_assert_cmpuint(entry->ticket, ==, expected.ticket);
	g_assert_cmpint(entry->since, ==, expected.since);
	g_assert_cmpuint(entry->doubt_size, ==, expected.doubt_size);
	g_assert_cmpint(entry->doubt_time, ==, expected.doubt_time);
	g_assert_cmpstr(entry->doubt_id, ==, expected.doubt_id);
	++*(guint *)user;
}

static void
test_an_entry_comes_back_as_it_was_put(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	guint32 id = put(fixture, "a.eml", "Subject");
	guint count = 0;

	leave(fixture);
	enter(fixture);
	g_assert_true(spool_each(fixture->spool, check_all, &count, &error));
	g_assert_cmpuint(count, ==, 1);
	assert_text(fixture, id, "Subject");
}

static void
test_what_was_never_put_is_gone_at_the_next_start(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_auto(UtilFd) fd = -1;
	guint32 id = spool_add(fixture->spool, &fd, &error);
	g_autofree char *names = NULL;
	g_auto(UtilFd) again = -1;

	g_assert_cmpuint(id, >, 0);
	leave(fixture);
	enter(fixture);
	names = names_of(fixture);
	g_assert_cmpstr(names, ==, "");
	again = spool_file(fixture->spool, id, &error);
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
}

static void
test_numbers_rise_and_are_never_used_twice(Fixture *fixture, gconstpointer data)
{
	guint32 last = 0;

	for (guint i = 0; i < 3; i++) {
		guint32 id = put(fixture, "a.eml", "x");

		g_assert_cmpuint(id, >, last);
		last = id;
		g_assert_true(spool_remove(fixture->spool, &id, 1, NULL));
		leave(fixture);
		enter(fixture);
	}
}

static void
test_other_values_replace_and_removal_takes_row_and_file(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	guint32 ids[] = {put(fixture, "a.eml", "1"), put(fixture, "b.eml", "2"),
			 put(fixture, "c.eml", "3"), 999999};
	SpoolEntry started[] = {entry_of(ids[0], SPOOL_STARTED, "a2.eml"),
				entry_of(ids[1], SPOOL_STARTED, "b.eml")};
	g_autofree char *expected =
		g_strdup_printf("%u:2:a2.eml %u:2:b.eml %u:1:c.eml ", ids[0], ids[1], ids[2]);
	g_autofree char *names = NULL;
	g_autofree char *left = NULL;

	g_assert_true(spool_put(fixture->spool, started, 2, &error));
	names = names_of(fixture);
	g_assert_cmpstr(names, ==, expected);
	g_assert_true(spool_remove(fixture->spool, ids, 4, &error));
	leave(fixture);
	enter(fixture);
	left = names_of(fixture);
	g_assert_cmpstr(left, ==, "");
	g_assert_cmpint(spool_file(fixture->spool, ids[0], NULL), ==, -1);
}

/* A table of an older format, @data: without the columns that came later. */
static void
test_a_table_of_an_older_version_is_read(Fixture *fixture, gconstpointer data)
{
	static const char second[] = "ALTER TABLE entries DROP COLUMN doubt_size;"
				     "ALTER TABLE entries DROP COLUMN doubt_time;"
				     "ALTER TABLE entries DROP COLUMN doubt_id;"
				     "PRAGMA user_version=2";
	static const char first[] = "ALTER TABLE entries DROP COLUMN wishes;"
				    "ALTER TABLE entries DROP COLUMN code;"
				    "ALTER TABLE entries DROP COLUMN moves_to;"
				    "ALTER TABLE entries DROP COLUMN ticket;"
				    "ALTER TABLE entries DROP COLUMN since;"
				    "PRAGMA user_version=1";
	gboolean oldest = GPOINTER_TO_INT(data) == 1;
	guint32 id = put(fixture, "a.eml", "text");
	SpoolEntry entry = entry_of(id, SPOOL_QUEUED, "a.eml");
	g_autofree char *expected = g_strdup_printf("%u:1:a.eml ", id);
	g_autofree char *path = g_build_filename(fixture->directory, "spool.db", NULL);
	g_autofree char *names = NULL;
	sqlite3 *db;

	entry.doubt_size = 0;
	if (oldest) {
		entry.wishes = 0;
		entry.code = 0;
		entry.moves_to = "";
		entry.ticket = 0;
		entry.since = 0;
	}
	g_assert_true(spool_put(fixture->spool, &entry, 1, NULL));
	leave(fixture);
	g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
	g_assert_cmpint(sqlite3_exec(db, second, NULL, NULL, NULL), ==, SQLITE_OK);
	if (oldest)
		g_assert_cmpint(sqlite3_exec(db, first, NULL, NULL, NULL), ==, SQLITE_OK);
	sqlite3_close(db);
	enter(fixture);
	names = names_of(fixture);
	g_assert_cmpstr(names, ==, expected);
	assert_text(fixture, id, "text");
}

static void
test_one_takes_the_place_of_another_at_once(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	guint32 old = put(fixture, "a.eml", "old");
	guint32 fresh = put(fixture, "a.tmp", "new");
	SpoolEntry entry = entry_of(fresh, SPOOL_QUEUED, "a.eml");
	g_autofree char *expected = g_strdup_printf("%u:1:a.eml ", fresh);
	g_autofree char *names = NULL;

	g_assert_true(spool_change(fixture->spool, &entry, 1, &old, 1, &error));
	leave(fixture);
	enter(fixture);
	names = names_of(fixture);
	g_assert_cmpstr(names, ==, expected);
	assert_text(fixture, fresh, "new");
}

static void
test_other_contents_take_the_place_whole_or_not_at_all(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	guint32 id = put(fixture, "a.eml", "old");

	for (guint whole = 0; whole < 2; whole++) {
		g_auto(UtilFd) fd = spool_rewrite(fixture->spool, id, &error);

		g_assert_no_error(error);
		g_assert_cmpint(write(fd, "new", 3), ==, 3);
		if (whole)
			g_assert_true(spool_rewritten(fixture->spool, id, fd, &error));
		leave(fixture);
		enter(fixture);
		assert_text(fixture, id, whole ? "new" : "old");
	}
}

/* What is on disk at this moment, as after a power failure: SQLite's log was never folded in. */
static void
test_a_copy_taken_at_any_moment_holds_what_was_put(Fixture *fixture, gconstpointer data)
{
	Fixture image = {.directory = fake_directory()};
	guint32 id = put(fixture, "a.eml", "text");
	g_autofree char *command = NULL;
	g_autofree char *names = NULL;
	g_autofree char *expected = g_strdup_printf("%u:1:a.eml ", id);

	command = g_strdup_printf("cp -a '%s/.' '%s'", fixture->directory, image.directory);
	g_assert_cmpint(system(command), ==, 0);
	enter(&image);
	names = names_of(&image);
	g_assert_cmpstr(names, ==, expected);
	assert_text(&image, id, "text");
	leave(&image);
	fake_directory_remove(image.directory);
}

static void
test_a_killed_process_leaves_what_was_put(Fixture *fixture, gconstpointer data)
{
	g_autofree char *names = NULL;
	pid_t child;
	int status;

	leave(fixture);
	child = fork();
	if (child == 0) {
		enter(fixture);
		put(fixture, "a.eml", "text");
		kill(getpid(), SIGKILL);
	}
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	g_assert_true(WIFSIGNALED(status));
	enter(fixture);
	names = names_of(fixture);
	g_assert_nonnull(strstr(names, ":1:a.eml "));
}

static void
damage(const Fixture *fixture, const char *old, const char *fresh)
{
	g_autofree char *path = g_build_filename(fixture->directory, "spool.db", NULL);
	g_autofree char *bytes = NULL;
	gsize len;
	char *at;

	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	at = old != NULL ? memmem(bytes, len, old, strlen(old)) : bytes;
	g_assert_nonnull(at);
	memcpy(at, fresh, strlen(fresh));
	g_assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
}

static void
test_a_damaged_table_is_put_aside_and_its_files_are_kept(Fixture *fixture, gconstpointer data)
{
	guint32 id = put(fixture, "a.eml", "text");
	g_autofree char *expected = g_strdup_printf("%u:3:recovered-%u.eml ", id, id);
	g_autofree char *names = NULL;
	g_autofree char *next = NULL;
	g_autoptr(GDir) folder = NULL;
	const char *name;
	guint aside = 0;

	leave(fixture);
	damage(fixture, NULL, "no such format at all, surely");
	enter(fixture);
	names = names_of(fixture);
	g_assert_cmpstr(names, ==, expected);
	assert_text(fixture, id, "text");
	folder = g_dir_open(fixture->directory, 0, NULL);
	while ((name = g_dir_read_name(folder)) != NULL)
		aside += g_str_has_prefix(name, "spool.db.damaged-");
	g_assert_cmpuint(aside, ==, 1);
	g_assert_cmpuint(put(fixture, "b.eml", "x"), >, id + 1024);
	leave(fixture);
	enter(fixture);
	next = names_of(fixture);
	g_assert_true(g_str_has_prefix(next, expected));
}

static void
test_a_flipped_bit_in_a_row_does_not_send_mail_elsewhere(Fixture *fixture, gconstpointer data)
{
	guint32 id = put(fixture, "a.eml", "text");
	g_autofree char *expected = g_strdup_printf("%u:3:recovered-%u.eml ", id, id);
	g_autofree char *names = NULL;

	leave(fixture);
	damage(fixture, "INBOX/caf", "INBOX/cag");
	enter(fixture);
	names = names_of(fixture);
	g_assert_cmpstr(names, ==, expected);
	assert_text(fixture, id, "text");
}

static void
test_a_full_disk_is_told_and_nothing_of_the_entry_changes(Fixture *fixture, gconstpointer data)
{
	g_autofree char *disk = small_disk_new(fixture->directory, "size=512k");
	g_autoptr(GError) error = NULL;
	g_autoptr(GString) reason = g_string_new(NULL);
	Fixture small = {.directory = disk};
	g_autofree char *filler = NULL;
	g_autofree char *names = NULL;
	g_autofree char *expected = NULL;
	SpoolEntry entry;
	guint32 id;
	guint rounds = 0;

	if (disk == NULL)
		return;
	enter(&small);
	id = put(&small, "a.eml", "text");
	filler = small_disk_fill(disk, 0);
	entry = entry_of(id, SPOOL_REFUSED, "a.eml");
	while (reason->len < 100000)
		g_string_append(reason, "a reason as long as the room on this disk; ");
	entry.reason = reason->str;
	while (spool_put(small.spool, &entry, 1, &error) && rounds++ < 100)
		continue;
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
	g_clear_error(&error);
	g_assert_cmpint(g_unlink(filler), ==, 0);
	/* It goes on when there is room again. */
	entry = entry_of(id, SPOOL_STARTED, "a.eml");
	g_assert_true(spool_put(small.spool, &entry, 1, &error));
	g_assert_no_error(error);
	expected = g_strdup_printf("%u:2:a.eml ", id);
	leave(&small);
	enter(&small);
	names = names_of(&small);
	g_assert_cmpstr(names, ==, expected);
	leave(&small);
	small_disk_free(g_steal_pointer(&disk));
}

/* A pipe cannot be synced: as good as a disk that fails. */
static void
test_after_a_failed_sync_nothing_is_promised_any_more(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	guint32 id = put(fixture, "a.eml", "text");
	SpoolEntry entry = entry_of(id, SPOOL_STARTED, "b.eml");
	g_autofree char *expected = g_strdup_printf("%u:1:a.eml ", id);
	g_autofree char *names = NULL;
	g_auto(UtilFd) fd = -1;
	int ends[2];

	g_assert_cmpint(pipe(ends), ==, 0);
	g_assert_false(spool_sync(fixture->spool, id, ends[1], &error));
	close(ends[0]);
	close(ends[1]);
	g_clear_error(&error);
	g_assert_false(spool_put(fixture->spool, &entry, 1, &error));
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_IO);
	g_clear_error(&error);
	g_assert_false(spool_remove(fixture->spool, &id, 1, &error));
	g_clear_error(&error);
	g_assert_cmpuint(spool_add(fixture->spool, &fd, &error), ==, 0);
	assert_text(fixture, id, "text");
	leave(fixture);
	enter(fixture);
	names = names_of(fixture);
	g_assert_cmpstr(names, ==, expected);
}

/* What a backup brings back is another file; a crash, a new life and a rename leave the same. */
static void
test_a_table_that_was_brought_back_is_known_for_a_copy(Fixture *fixture, gconstpointer data)
{
	g_autofree char *aside = g_strconcat(fixture->directory, ".aside", NULL);
	g_autofree char *command =
		g_strdup_printf("cp -a '%s' '%s' && rm -r '%s' && mv '%s' '%s'", fixture->directory,
				aside, fixture->directory, aside, fixture->directory);
	g_autoptr(GError) error = NULL;

	put(fixture, "a.eml", "text");
	g_assert_false(spool_is_copy(fixture->spool));
	leave(fixture);
	enter(fixture);
	g_assert_false(spool_is_copy(fixture->spool));
	leave(fixture);
	g_assert_cmpint(system(command), ==, 0);
	/* Until its owner has said what becomes of what it holds. */
	for (guint i = 0; i < 2; i++) {
		enter(fixture);
		g_assert_true(spool_is_copy(fixture->spool));
		if (i == 0)
			leave(fixture);
	}
	g_assert_true(spool_own(fixture->spool, &error));
	leave(fixture);
	enter(fixture);
	g_assert_false(spool_is_copy(fixture->spool));
}

#define TEST(path, name) g_test_add("/spool/" path, Fixture, NULL, setup, test_##name, teardown)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("an-entry-comes-back-as-it-was-put", an_entry_comes_back_as_it_was_put);
	TEST("what-was-never-put-is-gone-at-the-next-start",
	     what_was_never_put_is_gone_at_the_next_start);
	TEST("numbers-rise-and-are-never-used-twice", numbers_rise_and_are_never_used_twice);
	TEST("other-values-replace-and-removal-takes-row-and-file",
	     other_values_replace_and_removal_takes_row_and_file);
	TEST("one-takes-the-place-of-another-at-once", one_takes_the_place_of_another_at_once);
	g_test_add("/spool/a-table-of-the-first-version-is-read", Fixture, GINT_TO_POINTER(1),
		   setup, test_a_table_of_an_older_version_is_read, teardown);
	g_test_add("/spool/a-table-of-the-second-version-is-read", Fixture, GINT_TO_POINTER(2),
		   setup, test_a_table_of_an_older_version_is_read, teardown);
	TEST("other-contents-take-the-place-whole-or-not-at-all",
	     other_contents_take_the_place_whole_or_not_at_all);
	TEST("a-copy-taken-at-any-moment-holds-what-was-put",
	     a_copy_taken_at_any_moment_holds_what_was_put);
	TEST("a-killed-process-leaves-what-was-put", a_killed_process_leaves_what_was_put);
	TEST("a-damaged-table-is-put-aside-and-its-files-are-kept",
	     a_damaged_table_is_put_aside_and_its_files_are_kept);
	TEST("a-flipped-bit-in-a-row-does-not-send-mail-elsewhere",
	     a_flipped_bit_in_a_row_does_not_send_mail_elsewhere);
	TEST("a-full-disk-is-told-and-nothing-of-the-entry-changes",
	     a_full_disk_is_told_and_nothing_of_the_entry_changes);
	TEST("after-a-failed-sync-nothing-is-promised-any-more",
	     after_a_failed_sync_nothing_is_promised_any_more);
	TEST("a-table-that-was-brought-back-is-known-for-a-copy",
	     a_table_that_was_brought_back_is_known_for_a_copy);
	return g_test_run();
}
