/* SPDX-License-Identifier: MIT */
/* Names of files that wait: what takes the place of what, and what may not be. */
#include "uploads-fixture.h"

/* --- one in the place of another --- */

/* What SQLite's log (sqlite.org/fileformat2.html#walformat) holds: each commit is there whole after
 * a crash, or not at all. */
static guint
commits_in(const Fixture *fixture)
{
	g_autofree char *path = g_build_filename(fixture->state, "spool.db-wal", NULL);
	g_autofree char *log = NULL;
	guint32 page = 0;
	guint count = 0;
	gsize len;

	g_assert_true(g_file_get_contents(path, &log, &len, NULL));
	g_assert_cmpuint(len, >, 32);
	memcpy(&page, log + 8, sizeof page);
	page = GUINT32_FROM_BE(page);
	for (const char *frame = log + 32; frame + 24 + page <= log + len; frame += 24 + page)
		count += memcmp(frame + 8, log + 16, 8) == 0 && memcmp(frame + 4, "\0\0\0", 4) != 0;
	return count;
}

/* @data: the one that comes is still being written. */
static void
test_one_commit_puts_a_file_in_the_place_of_another(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *old;
	Upload *fresh;
	guint before;

	FAKE_SET(fixture->server, mute, TRUE);
	old = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	fresh = put(fixture, fixture->inbox, ".x.tmp", ANONYMOUS);
	if (data != NULL)
		g_assert_true(upload_open_write(fresh, &error));
	/* Nobody else has anything to say to the spool. */
	g_assert_true(upload_open_write(old, &error));
	g_assert_true(upload_sync(old, &error));
	g_assert_true(upload_sync(fresh, &error));
	before = commits_in(fixture);
	g_assert_true(upload_rename(fresh, fixture->inbox, "x.eml", &error));
	g_assert_cmpuint(commits_in(fixture), ==, before + 1);
	g_assert_true(is_over(old));
	if (data != NULL)
		upload_close(fresh);
	upload_close(old);
	upload_unref(old);
	upload_unref(fresh);
	FAKE_SET(fixture->server, mute, FALSE);
	wait_idle(fixture);
	assert_body(fixture, "INBOX", 1, ANONYMOUS);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
}

/* What a rename that did not happen would have replaced stays. */
static void
test_a_rename_that_fails_replaces_nothing_later(Fixture *fixture, gconstpointer data)
{
	guint32 uid = fake_server_add(fixture->server, "INBOX", "old", "draft");
	g_autoptr(GError) error = NULL;
	Upload *upload;
	MailboxView view;

	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	upload = put(fixture, fixture->inbox, "y.tmp", "no mail");
	g_assert_false(
		upload_rename_over(upload, fixture->inbox, "x.eml", view.messages, uid, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_clear_error(&error);
	g_assert_true(upload_open_write(upload, &error));
	g_assert_true(upload_truncate(upload, 0, &error));
	g_assert_true(write_file(upload, MESSAGE, &error));
	upload_close(upload);
	g_assert_true(upload_rename(upload, fixture->inbox, "z.eml", &error));
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 2);
	upload_unref(upload);
}

/* @data: the file comes from another mailbox. */
static void
test_what_a_rename_replaces_is_known_after_a_crash(Fixture *fixture, gconstpointer data)
{
	Mailbox *from = data != NULL ? fixture->archive : fixture->inbox;
	guint32 uid = fake_server_add(fixture->server, "INBOX", "old", "draft");
	g_autoptr(GError) error = NULL;
	g_autofree char *listing = NULL;
	Upload *upload;
	MailboxView view;
	char *image;

	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_LIMIT);
	upload = put(fixture, from, "y.tmp", MESSAGE);
	g_assert_true(
		upload_rename_over(upload, fixture->inbox, "x.eml", view.messages, uid, &error));
	image = image_of(fixture);
	upload_unref(upload);
	resume_from(fixture, image);
	FAKE_SET(fixture->server, change_code, -1);
	wait_idle(fixture);
	listing = fake_server_listing(fixture->server, "INBOX");
	g_assert_cmpstr(listing, ==, "2 0 \n");
}

/* --- names that are others' --- */

static void
test_no_file_takes_the_number_of_a_message_as_its_name(Fixture *fixture, gconstpointer data)
{
	static const char *const others[] = {"0.eml", "12", "12.txt", "99999999999.eml"};
	g_autoptr(GError) error = NULL;
	Upload *upload;

	g_assert_null(uploads_create(fixture->uploads, fixture->inbox, "12.eml", 0600, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_clear_error(&error);
	upload = put(fixture, fixture->inbox, "12.eml.tmp", MESSAGE);
	g_assert_false(upload_rename(upload, fixture->inbox, "12.eml", &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_clear_error(&error);
	for (guint i = 0; i < G_N_ELEMENTS(others); i++)
		g_assert_true(upload_rename(upload, fixture->inbox, others[i], &error));
	upload_unref(upload);
}

#define TEST(path, name, with)                                                                     \
	g_test_add("/upload-names/" path, Fixture, GINT_TO_POINTER(with), setup, test_##name,      \
		   teardown)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("one-commit-puts-a-file-in-the-place-of-another",
	     one_commit_puts_a_file_in_the_place_of_another, 0);
	TEST("one-commit-puts-what-is-being-written-in-the-place-of-another",
	     one_commit_puts_a_file_in_the_place_of_another, 1);
	TEST("a-rename-that-fails-replaces-nothing-later",
	     a_rename_that_fails_replaces_nothing_later, 0);
	TEST("what-a-rename-replaces-is-known-after-a-crash",
	     what_a_rename_replaces_is_known_after_a_crash, 0);
	TEST("what-a-rename-from-elsewhere-replaces-is-known-after-a-crash",
	     what_a_rename_replaces_is_known_after_a_crash, 1);
	TEST("no-file-takes-the-number-of-a-message-as-its-name",
	     no_file_takes_the_number_of_a_message_as_its_name, 0);
	return g_test_run();
}
