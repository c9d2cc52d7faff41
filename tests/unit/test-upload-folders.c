/* SPDX-License-Identifier: MIT */
/* Files that wait, and what becomes of their mailbox meanwhile. */
#include "uploads-fixture.h"

static const MailboxInfo archive_info = {
	.name = "Archive", .separator = '/', .attributes = MAILBOX_SUBSCRIBED, .prefix = ""};

/* Nothing is taken by the server until release(). */
static void
hold_back(Fixture *fixture)
{
	settle(fixture, fixture->inbox);
	settle(fixture, fixture->archive);
	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_LIMIT);
}

static void
release(Fixture *fixture)
{
	FAKE_SET(fixture->server, change_code, -1);
	wait_idle(fixture);
}

static void
drop_archive(Fixture *fixture)
{
	fake_server_remove_mailbox(fixture->server, "Archive");
	account_drop_mailbox(fixture->account, fixture->archive);
}

static void
make_archive(Fixture *fixture)
{
	fake_server_mailbox(fixture->server, "Archive");
	fixture->archive = account_put_mailbox(fixture->account, &archive_info);
}

static void
test_files_go_to_a_mailbox_that_is_made_anew(Fixture *fixture, gconstpointer data)
{
	Mailbox *former = fixture->archive;
	Upload *upload;
	Upload *found;

	hold_back(fixture);
	upload = put(fixture, fixture->archive, "x.eml", MESSAGE);
	drop_archive(fixture);
	make_archive(fixture);
	g_assert_true(fixture->archive != former);
	found = uploads_find(fixture->uploads, fixture->archive, "x.eml");
	g_assert_true(found == upload);
	g_assert_true(upload_mailbox(upload) == fixture->archive);
	release(fixture);
	assert_body(fixture, "Archive", 1, MESSAGE);
	settle(fixture, fixture->archive);
	g_assert_true(is_listed(fixture->archive, "x.eml"));
	upload_unref(found);
	upload_unref(upload);
}

static void
on_told(gpointer user, const GError *error)
{
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND);
	g_atomic_int_inc((gint *)user);
}

/* Nobody has looked at the new mailbox. */
static void
test_files_wait_for_a_mailbox_that_is_not_there(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *status = NULL;
	g_autoptr(GPtrArray) lines = NULL;
	gint told = 0;
	Upload *upload;

	hold_back(fixture);
	upload = put(fixture, fixture->archive, "x.eml", MESSAGE);
	drop_archive(fixture);
	FAKE_SET(fixture->server, change_code, -1);
	/* It is waited for neither by umount nor by fsync. */
	wait_idle(fixture);
	upload_wait(upload, on_told, &told);
	g_assert_cmpint(told, ==, 1);
	g_assert_cmpuint(uploads_status(fixture->uploads).orphans, ==, 1);
	status = upload_status(upload);
	g_assert_cmpstr(status, ==, "waits for its mailbox, which is not there");
	g_assert_null(uploads_create(fixture->uploads, fixture->archive, "y.eml", 0600, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND);
	FAKE_WAIT(upload_mailbox(upload) == NULL);
	lines = uploads_lines(fixture->uploads);
	g_assert_true(g_str_has_prefix(lines->pdata[0], "(Archive)/x.eml  waits for its mailbox"));
	make_archive(fixture);
	g_assert_cmpuint(uploads_status(fixture->uploads).orphans, ==, 0);
	FAKE_WAIT(is_over(upload));
	g_assert_cmpuint(on_server(fixture, "Archive"), ==, 1);
	upload_unref(upload);
}

/* The server said so before the listing of mailboxes did. */
static void
test_what_had_no_mailbox_to_go_to_follows(Fixture *fixture, gconstpointer data)
{
	Upload *upload;

	settle(fixture, fixture->archive);
	fake_server_remove_mailbox(fixture->server, "Archive");
	upload = put(fixture, fixture->archive, "x.eml", MESSAGE);
	FAKE_WAIT(state_of(upload) == SPOOL_REFUSED);
	account_drop_mailbox(fixture->account, fixture->archive);
	make_archive(fixture);
	FAKE_WAIT(is_over(upload));
	g_assert_cmpuint(on_server(fixture, "Archive"), ==, 1);
	upload_unref(upload);
}

static void
test_two_that_come_to_lie_in_one_mailbox_both_arrive(Fixture *fixture, gconstpointer data)
{
	MailboxInfo other = archive_info;
	Mailbox *mailbox;

	fake_server_mailbox(fixture->server, "Other");
	other.name = "Other";
	mailbox = account_put_mailbox(fixture->account, &other);
	settle(fixture, mailbox);
	hold_back(fixture);
	upload_unref(put(fixture, fixture->archive, "x.eml", MESSAGE));
	upload_unref(put(fixture, mailbox, "x.eml", ANONYMOUS));
	drop_archive(fixture);
	fake_server_remove_mailbox(fixture->server, "Other");
	fake_server_mailbox(fixture->server, "Archive");
	account_move_mailbox(fixture->account, mailbox, "Archive", NULL, "Archive");
	FAKE_WAIT(uploads_count(fixture->uploads, mailbox) == 2);
	release(fixture);
	g_assert_cmpuint(on_server(fixture, "Archive"), ==, 2);
	settle(fixture, mailbox);
	g_assert_true(is_listed(mailbox, "x.eml"));
}

static void
test_nothing_is_put_into_what_is_being_removed(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload = put(fixture, fixture->inbox, "x.tmp", MESSAGE);

	g_assert_false(uploads_shut(fixture->uploads, fixture->inbox));
	g_assert_true(uploads_shut(fixture->uploads, fixture->archive));
	g_assert_false(upload_rename(upload, fixture->archive, "x.eml", &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_null(uploads_create(fixture->uploads, fixture->archive, "y.eml", 0600, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	uploads_reopen(fixture->uploads, fixture->archive);
	g_assert_true(upload_rename(upload, fixture->archive, "x.eml", &error));
	upload_unref(upload);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "Archive"), ==, 1);
}

/* --- renames --- */

static void
on_quiet(gpointer user, const GError *error)
{
	g_assert_no_error(error);
	g_atomic_int_set((gint *)user, 1);
}

static void
begin_move(Fixture *fixture, gint *quiet)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(
		uploads_move(fixture->uploads, fixture->archive, "Old", on_quiet, quiet, &error));
	g_assert_no_error(error);
}

static void
rename_on_server(Fixture *fixture)
{
	fake_server_remove_mailbox(fixture->server, "Archive");
	fake_server_mailbox(fixture->server, "Old");
}

/* What is on its way is waited for; what is not goes along. */
static void
test_files_go_along_with_a_mailbox_that_is_renamed(Fixture *fixture, gconstpointer data)
{
	gint quiet = 0;
	Upload *upload;
	char *image;

	settle(fixture, fixture->inbox);
	settle(fixture, fixture->archive);
	FAKE_SET(fixture->server, delay_us, 100 * G_TIME_SPAN_MILLISECOND);
	upload = put(fixture, fixture->archive, "first.eml", ANONYMOUS);
	FAKE_WAIT(on_server(fixture, "Archive") == 1);
	begin_move(fixture, &quiet);
	upload_unref(put(fixture, fixture->archive, "x.eml", MESSAGE));
	FAKE_WAIT(g_atomic_int_get(&quiet) == 1);
	g_assert_true(is_over(upload));
	upload_unref(upload);
	rename_on_server(fixture);
	account_move_mailbox(fixture->account, fixture->archive, "Old", NULL, "Old");
	uploads_moved(fixture->uploads, TRUE, TRUE);
	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_LIMIT);
	FAKE_SET(fixture->server, delay_us, 0);
	image = image_of(fixture);
	resume_from(fixture, image);
	release(fixture);
	assert_body(fixture, "Old", 1, MESSAGE);
	g_assert_cmpuint(on_server(fixture, "Old"), ==, 1);
}

/* @data: whether the server has done it before the power fails. */
static void
test_a_power_failure_during_a_rename_loses_nothing(Fixture *fixture, gconstpointer data)
{
	const char *name = data != NULL ? "Old" : "Archive";
	g_autoptr(GError) error = NULL;
	MailboxView view;
	Upload *copy;
	gint quiet = 0;
	char *image;

	fake_server_fill(fixture->server, "INBOX", 1);
	hold_back(fixture);
	upload_unref(put(fixture, fixture->archive, "x.eml", MESSAGE));
	upload_unref(put(fixture, fixture->archive, ".x.swp", "local"));
	mailbox_view(fixture->inbox, &view);
	copy = uploads_create(fixture->uploads, fixture->archive, "copy.eml", 0600, &error);
	g_assert_true(upload_copy_of(copy, fixture->inbox, view.messages, 1, &error));
	g_assert_true(upload_complete(copy, &error));
	upload_close(copy);
	upload_unref(copy);
	begin_move(fixture, &quiet);
	FAKE_WAIT(g_atomic_int_get(&quiet) == 1);
	if (data != NULL)
		rename_on_server(fixture);
	image = image_of(fixture);
	resume_from(fixture, image);
	release(fixture);
	g_assert_cmpuint(on_server(fixture, name), ==, 2);
	fixture->archive = account_child(fixture->account, ACCOUNT_ROOT_DIRECTORY, name);
	g_assert_cmpuint(uploads_count(fixture->uploads, fixture->archive), ==, 1);
}

static void
test_a_rename_that_is_refused_leaves_files_where_they_are(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	gint quiet = 0;

	hold_back(fixture);
	upload_unref(put(fixture, fixture->archive, "x.eml", MESSAGE));
	begin_move(fixture, &quiet);
	FAKE_WAIT(g_atomic_int_get(&quiet) == 1);
	g_assert_false(
		uploads_move(fixture->uploads, fixture->inbox, "Too", on_quiet, &quiet, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
	uploads_moved(fixture->uploads, FALSE, TRUE);
	release(fixture);
	g_assert_cmpuint(on_server(fixture, "Archive"), ==, 1);
}

#define TEST(path, name, with)                                                                     \
	g_test_add("/upload-folders/" path, Fixture, GINT_TO_POINTER(with), setup, test_##name,    \
		   teardown)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("files-go-to-a-mailbox-that-is-made-anew", files_go_to_a_mailbox_that_is_made_anew, 0);
	TEST("files-wait-for-a-mailbox-that-is-not-there",
	     files_wait_for_a_mailbox_that_is_not_there, 0);
	TEST("what-had-no-mailbox-to-go-to-follows", what_had_no_mailbox_to_go_to_follows, 0);
	TEST("two-that-come-to-lie-in-one-mailbox-both-arrive",
	     two_that_come_to_lie_in_one_mailbox_both_arrive, 0);
	TEST("nothing-is-put-into-what-is-being-removed", nothing_is_put_into_what_is_being_removed,
	     0);
	TEST("files-go-along-with-a-mailbox-that-is-renamed",
	     files_go_along_with_a_mailbox_that_is_renamed, 0);
	TEST("a-power-failure-before-a-rename-loses-nothing",
	     a_power_failure_during_a_rename_loses_nothing, 0);
	TEST("a-power-failure-after-a-rename-loses-nothing",
	     a_power_failure_during_a_rename_loses_nothing, 1);
	TEST("a-rename-that-is-refused-leaves-files-where-they-are",
	     a_rename_that_is_refused_leaves_files_where_they_are, 0);
	return g_test_run();
}
