/* SPDX-License-Identifier: MIT */
/* Uploads that have to do with messages that are there already: what they replace, what they copy.
 */
#include "uploads-fixture.h"

static void
on_body(gpointer user, Body *body, const GError *error)
{
	g_assert_no_error(error);
	body_unref(body);
}

static gboolean
is_here(Fixture *fixture, guint32 serial, guint32 uid)
{
	g_autoptr(Body) body = mailbox_open_cached(fixture->inbox, serial, uid);

	return body != NULL;
}

static void
test_the_replaced_message_goes_once_the_new_one_is_there(Fixture *fixture, gconstpointer data)
{
	guint32 uid = fake_server_add(fixture->server, "INBOX", "old", "draft");
	g_autofree char *name = NULL;
	g_autofree char *listing = NULL;
	MailboxView view;
	Upload *upload;

	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	name = mailbox_name_of(fixture->inbox, uid);
	upload = uploads_create(fixture->uploads, fixture->inbox, name, 0600, NULL);
	upload_replaces(upload, view.messages, uid);
	g_assert_true(write_file(upload, MESSAGE, NULL));
	upload_close(upload);
	wait_idle(fixture);
	listing = fake_server_listing(fixture->server, "INBOX");
	g_assert_cmpstr(listing, ==, "2 0 \n");
	g_assert_true(is_listed(fixture->inbox, name));
	upload_unref(upload);
}

static void
test_a_power_failure_between_new_and_old_is_repaired(Fixture *fixture, gconstpointer data)
{
	guint32 uid = fake_server_add(fixture->server, "INBOX", "old", "draft");
	MailboxView view;
	Upload *upload;
	char *image;

	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	upload = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, NULL);
	upload_replaces(upload, view.messages, uid);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_AFTER);
	g_assert_true(write_file(upload, MESSAGE, NULL));
	upload_close(upload);
	FAKE_WAIT(on_server(fixture, "INBOX") == 2);
	image = image_of(fixture);
	upload_unref(upload);
	resume_from(fixture, image);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	assert_body(fixture, "INBOX", 2, MESSAGE);
}

/* As editors save that write a new file and put it in place of the old one. */
static void
test_what_a_replaced_file_replaces_goes_too(Fixture *fixture, gconstpointer data)
{
	guint32 uid = fake_server_add(fixture->server, "INBOX", "old", "draft");
	g_autoptr(GError) error = NULL;
	g_autofree char *listing = NULL;
	MailboxView view;
	Upload *first;
	Upload *second;

	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	first = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, NULL);
	upload_replaces(first, view.messages, uid);
	g_assert_true(write_file(first, ANONYMOUS, NULL));
	second = put(fixture, fixture->inbox, ".x.eml.tmp", MESSAGE);
	g_assert_true(upload_rename(second, fixture->inbox, "x.eml", &error));
	g_assert_no_error(error);
	upload_close(first);
	wait_idle(fixture);
	listing = fake_server_listing(fixture->server, "INBOX");
	g_assert_cmpstr(listing, ==, "2 0 \n");
	assert_body(fixture, "INBOX", 2, MESSAGE);
	upload_unref(first);
	upload_unref(second);
}

/* Its own message is there already: what is written now would never be sent. */
static void
test_nobody_writes_while_the_replaced_one_is_still_to_go(Fixture *fixture, gconstpointer data)
{
	guint32 uid = fake_server_add(fixture->server, "INBOX", "old", "draft");
	g_autoptr(GError) error = NULL;
	g_autofree char *status = NULL;
	g_autofree char *listing = NULL;
	MailboxView view;
	Upload *upload;

	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	upload = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, NULL);
	upload_replaces(upload, view.messages, uid);
	g_assert_true(write_file(upload, MESSAGE, NULL));
	/* Time to have the line lost once the message is there, and before that is told. */
	FAKE_SET(fixture->server, delay_us, 300 * G_TIME_SPAN_MILLISECOND);
	upload_close(upload);
	FAKE_WAIT(on_server(fixture, "INBOX") == 2);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	FAKE_SET(fixture->server, delay_us, 0);
	do {
		g_usleep(1000);
		g_free(status);
		status = upload_status(upload);
	} while (!g_str_has_prefix(status, "retry"));
	g_assert_false(upload_open_write(upload, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
	g_clear_error(&error);
	g_assert_false(upload_write(upload, "X", 1, 0, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
	g_clear_error(&error);
	g_assert_false(upload_remove(upload, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
	wait_idle(fixture);
	g_assert_true(is_over(upload));
	listing = fake_server_listing(fixture->server, "INBOX");
	g_assert_cmpstr(listing, ==, "2 0 \n");
	assert_body(fixture, "INBOX", 2, MESSAGE);
	upload_unref(upload);
}

static void
test_what_cannot_be_removed_is_hidden(Fixture *fixture, gconstpointer data)
{
	guint32 uid = fake_server_add(fixture->server, "INBOX", "old", "draft");
	MailboxView view;
	MessageView message;
	Upload *upload;

	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	FAKE_SET(fixture->server, no_uidplus, TRUE);
	upload = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, NULL);
	upload_replaces(upload, view.messages, uid);
	g_assert_true(write_file(upload, MESSAGE, NULL));
	upload_close(upload);
	wait_idle(fixture);
	g_assert_true(is_over(upload));
	g_assert_false(mailbox_get(fixture->inbox, view.messages, uid, &message));
	g_assert_true(is_listed(fixture->inbox, "x.eml"));
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 2);
	upload_unref(upload);
}

static void
test_the_old_one_stays_when_the_server_has_renumbered(Fixture *fixture, gconstpointer data)
{
	guint32 uid = fake_server_add(fixture->server, "INBOX", "old", "draft");
	MailboxView view;
	Upload *upload;

	fake_server_add(fixture->server, "INBOX", "another", "of the others");
	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	upload = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, NULL);
	upload_replaces(upload, view.messages, uid);
	fake_server_renumber(fixture->server, "INBOX");
	g_assert_true(write_file(upload, MESSAGE, NULL));
	upload_close(upload);
	wait_idle(fixture);
	g_assert_true(is_over(upload));
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 3);
	g_assert_nonnull(strstr(fixture->log->str, "what it replaces stays"));
	upload_unref(upload);
}

/* The same Message-ID and the same size, as after a letter was put right. */
static void
test_an_old_version_is_not_taken_for_the_new_one(Fixture *fixture, gconstpointer data)
{
	static const char newer[] =
		"Message-ID: <1@test>\r\nSubject: one\r\nFrom: a@example.org\r\n\r\nThe test.\r\n";
	guint32 uid = fake_server_add_raw(fixture->server, "INBOX", MESSAGE, 1500000000);
	MailboxView view;
	Upload *upload;

	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	upload = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, NULL);
	upload_replaces(upload, view.messages, uid);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	g_assert_true(write_file(upload, newer, NULL));
	upload_close(upload);
	FAKE_WAIT(state_of(upload) == SPOOL_STARTED);
	fake_server_renumber(fixture->server, "INBOX");
	wait_idle(fixture);
	g_assert_true(is_over(upload));
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 2);
	assert_body(fixture, "INBOX", 2, newer);
	upload_unref(upload);
}

/* The server says that the message it had before is the new one. */
static void
test_a_message_never_gives_way_to_itself(Fixture *fixture, gconstpointer data)
{
	guint32 uid = fake_server_add(fixture->server, "INBOX", "old", "draft");
	g_autofree char *listing = NULL;
	MailboxView view;
	Upload *upload;

	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	FAKE_SET(fixture->server, merged_uid, uid);
	upload = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, NULL);
	upload_replaces(upload, view.messages, uid);
	g_assert_true(write_file(upload, MESSAGE, NULL));
	upload_close(upload);
	wait_idle(fixture);
	g_assert_cmpint(state_of(upload), ==, SPOOL_REFUSED);
	listing = fake_server_listing(fixture->server, "INBOX");
	g_assert_cmpstr(listing, ==, "1 0 \n");
	g_assert_nonnull(strstr(fixture->log->str, "had before"));
	g_assert_false(is_here(fixture, view.messages, uid));
	upload_unref(upload);
}

static void
test_a_copy_that_is_written_to_is_a_file_of_its_own(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *expected = NULL;
	g_autoptr(GBytes) body = NULL;
	UploadView now;
	MailboxView view;
	Upload *upload;

	fake_server_fill(fixture->server, "INBOX", 1);
	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	upload = uploads_create(fixture->uploads, fixture->archive, "x.eml", 0600, &error);
	g_assert_true(upload_copy_of(upload, fixture->inbox, view.messages, 1, &error));
	upload_view(upload, &now);
	/* Its bytes are on the server alone. */
	g_assert_false(upload_write(upload, "more\r\n", 6, now.size, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED);
	g_clear_error(&error);
	mailbox_open(fixture->inbox, view.messages, 1, 1, on_body, NULL);
	FAKE_WAIT(is_here(fixture, view.messages, 1));
	g_assert_true(upload_write(upload, "more\r\n", 6, now.size, &error));
	g_assert_true(upload_complete(upload, &error));
	upload_close(upload);
	wait_idle(fixture);
	body = fake_server_body(fixture->server, "INBOX", 1);
	expected = g_strdup_printf("%.*smore\r\n", (int)g_bytes_get_size(body),
				   (const char *)g_bytes_get_data(body, NULL));
	assert_body(fixture, "Archive", 1, expected);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_COPY], ==, 0);
	upload_unref(upload);
}

/* @data: whether the server keeps the new UIDs to itself. */
static void
test_copies_are_made_by_the_server(Fixture *fixture, gconstpointer data)
{
	GPtrArray *list = g_ptr_array_new();
	MailboxView view;

	fake_server_fill(fixture->server, "INBOX", 50);
	settle(fixture, fixture->inbox);
	settle(fixture, fixture->archive);
	mailbox_view(fixture->inbox, &view);
	FAKE_SET(fixture->server, no_copyuid, GPOINTER_TO_INT(data));
	/* While the first of them is made the others come. */
	FAKE_SET(fixture->server, mute, TRUE);
	for (guint uid = 1; uid <= 50; uid++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *name = mailbox_name_of(fixture->inbox, uid);
		Upload *upload =
			uploads_create(fixture->uploads, fixture->archive, name, 0600, &error);
		UploadView now;

		g_assert_true(upload_copy_of(upload, fixture->inbox, view.messages, uid, &error));
		upload_view(upload, &now);
		g_assert_true(now.copied);
		g_assert_true(upload_truncate(upload, now.size, &error));
		g_assert_true(upload_complete(upload, &error));
		upload_close(upload);
		g_ptr_array_add(list, upload);
	}
	FAKE_SET(fixture->server, mute, FALSE);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "Archive"), ==, 50);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_APPEND], ==, 0);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_COPY], <=, 4);
	g_assert_cmpuint(fake_server_counts(fixture->server).bodies, ==, 0);
	for (guint i = 0; i < 50; i++) {
		g_autofree char *name = upload_name(list->pdata[i]);

		g_assert_true(is_listed(fixture->archive, name));
		upload_unref(list->pdata[i]);
	}
	g_ptr_array_unref(list);
}

static void
test_a_copy_of_what_is_gone_is_refused(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload;
	MailboxView view;

	fake_server_fill(fixture->server, "INBOX", 1);
	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	upload = uploads_create(fixture->uploads, fixture->archive, "x.eml", 0600, &error);
	g_assert_true(upload_copy_of(upload, fixture->inbox, view.messages, 1, &error));
	fake_server_expunge(fixture->server, "INBOX", 1, 1);
	g_assert_true(upload_complete(upload, &error));
	upload_close(upload);
	wait_idle(fixture);
	g_assert_cmpint(state_of(upload), ==, SPOOL_REFUSED);
	g_assert_cmpuint(on_server(fixture, "Archive"), ==, 0);
	upload_unref(upload);
}

/* --- what COPY does not give --- */

/* A copy in Archive of message 1 of INBOX, still open; a reference. */
static Upload *
copy_first(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	MailboxView view;
	Upload *upload = uploads_create(fixture->uploads, fixture->archive, "x.eml", 0600, &error);

	mailbox_view(fixture->inbox, &view);
	g_assert_true(upload_copy_of(upload, fixture->inbox, view.messages, 1, &error));
	return upload;
}

static void
close_copy(Upload *upload)
{
	g_assert_true(upload_complete(upload, NULL));
	upload_close(upload);
	upload_unref(upload);
}

static void
assert_archived(Fixture *fixture, const char *expected)
{
	g_autofree char *listing = NULL;

	wait_idle(fixture);
	listing = fake_server_listing(fixture->server, "Archive");
	g_assert_cmpstr(listing, ==, expected);
}

/* @data: whether the server keeps the new UIDs to itself. */
static void
test_a_copy_has_the_flags_that_were_set_on_it(Fixture *fixture, gconstpointer data)
{
	g_autofree char *text = NULL;
	MessageView message;
	Upload *upload;

	fake_server_fill(fixture->server, "INBOX", 1);
	fake_server_flag(fixture->server, "INBOX", 1, MESSAGE_SEEN, "old both");
	settle(fixture, fixture->inbox);
	settle(fixture, fixture->archive);
	FAKE_SET(fixture->server, no_copyuid, GPOINTER_TO_INT(data));
	upload = copy_first(fixture);
	text = upload_flags_text(upload);
	g_assert_cmpstr(text, ==, "\\Seen old both");
	g_assert_true(upload_set_flags(upload, "\\Flagged both new", NULL));
	close_copy(upload);
	assert_archived(fixture, "1 4 both new\n");
	g_assert_true(mailbox_find(fixture->archive, "x.eml", &message));
	g_free(text);
	text = mailbox_flags_text(fixture->archive, 1);
	g_assert_cmpstr(text, ==, "\\Flagged both new");
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_STORE], ==, 1);
}

static void
test_a_copy_like_its_original_needs_no_store(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 1);
	fake_server_flag(fixture->server, "INBOX", 1, MESSAGE_SEEN | MESSAGE_FLAGGED, "old");
	settle(fixture, fixture->inbox);
	close_copy(copy_first(fixture));
	assert_archived(fixture, "1 5 old\n");
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_STORE], ==, 0);
}

/* @data: which of the two requests is done without our knowing. */
static void
test_flags_of_a_copy_are_set_after_a_crash(Fixture *fixture, gconstpointer data)
{
	RequestKind kind = GPOINTER_TO_INT(data) ? REQUEST_STORE : REQUEST_COPY;
	Upload *upload;
	char *image;

	fake_server_fill(fixture->server, "INBOX", 1);
	settle(fixture, fixture->inbox);
	settle(fixture, fixture->archive);
	FAKE_SET(fixture->server, delay_us, 100 * G_TIME_SPAN_MILLISECOND);
	upload = copy_first(fixture);
	g_assert_true(upload_set_flags(upload, "\\Flagged new", NULL));
	close_copy(upload);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[kind] == 1);
	image = image_of(fixture);
	/* What the old life does now does not count. */
	leave(fixture);
	fake_server_flag(fixture->server, "Archive", 1, MESSAGE_SEEN, "");
	FAKE_SET(fixture->server, delay_us, 0);
	begin_from(fixture, image);
	assert_archived(fixture, "1 4 new\n");
}

static void
test_a_copy_knows_its_source_after_a_start(Fixture *fixture, gconstpointer data)
{
	MessageView message;
	Mailbox *mailbox;
	guint32 serial, uid;
	Upload *upload;

	fake_server_fill(fixture->server, "INBOX", 1);
	settle(fixture, fixture->inbox);
	FAKE_SET(fixture->server, mute, TRUE);
	close_copy(copy_first(fixture));
	leave(fixture);
	FAKE_SET(fixture->server, mute, FALSE);
	/* Time to look at it before it is a message. */
	FAKE_SET(fixture->server, delay_us, 200 * G_TIME_SPAN_MILLISECOND);
	enter(fixture);
	upload = uploads_find(fixture->uploads, fixture->archive, "x.eml");
	g_assert_nonnull(upload);
	g_assert_true(upload_source(upload, &mailbox, &serial, &uid));
	g_assert_true(mailbox == fixture->inbox);
	g_assert_true(mailbox_get(mailbox, serial, uid, &message));
	upload_unref(upload);
	FAKE_SET(fixture->server, delay_us, 0);
	wait_idle(fixture);
	g_assert_true(is_listed(fixture->archive, "x.eml"));
}

/* @data: whether the server keeps the new UIDs to itself. */
static void
test_no_copy_is_born_deleted(Fixture *fixture, gconstpointer data)
{
	Upload *upload;

	fake_server_fill(fixture->server, "INBOX", 1);
	settle(fixture, fixture->inbox);
	settle(fixture, fixture->archive);
	FAKE_SET(fixture->server, no_copyuid, GPOINTER_TO_INT(data));
	upload = copy_first(fixture);
	fake_server_flag(fixture->server, "INBOX", 1, MESSAGE_SEEN | MESSAGE_DELETED, "");
	settle(fixture, fixture->inbox);
	close_copy(upload);
	assert_archived(fixture, "1 1 \n");
}

static void
test_flags_set_while_it_is_sent_are_stored(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	MessageView message;
	Upload *upload;

	settle(fixture, fixture->archive);
	FAKE_SET(fixture->server, delay_us, 100 * G_TIME_SPAN_MILLISECOND);
	upload = put(fixture, fixture->archive, "x.eml", MESSAGE);
	FAKE_WAIT(on_server(fixture, "Archive") == 1);
	g_assert_true(upload_set_flags(upload, "\\Answered late", &error));
	g_assert_no_error(error);
	upload_unref(upload);
	FAKE_SET(fixture->server, delay_us, 0);
	assert_archived(fixture, "1 2 late\n");
	g_assert_true(mailbox_find(fixture->archive, "x.eml", &message));
	text = mailbox_flags_text(fixture->archive, message.uid);
	g_assert_cmpstr(text, ==, "\\Answered late");
}

static void
test_a_copy_with_a_time_of_its_own_is_sent(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GBytes) body = NULL;
	g_autofree char *text = NULL;
	MessageView message;
	MailboxView view;
	Upload *upload;

	fake_server_fill(fixture->server, "INBOX", 1);
	settle(fixture, fixture->inbox);
	settle(fixture, fixture->archive);
	upload = copy_first(fixture);
	mailbox_view(fixture->inbox, &view);
	g_assert_true(mailbox_get(fixture->inbox, view.messages, 1, &message));
	upload_set_time(upload, message.date);
	upload_set_time(upload, 1234567890);
	close_copy(upload);
	wait_idle(fixture);
	g_assert_true(mailbox_find(fixture->archive, "x.eml", &message));
	g_assert_cmpint(message.date, ==, 1234567890);
	body = fake_server_body(fixture->server, "INBOX", 1);
	text = g_strndup(g_bytes_get_data(body, NULL), g_bytes_get_size(body));
	assert_body(fixture, "Archive", 1, text);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_COPY], ==, 0);
}

/* As when a draft is edited right after it was copied. */
static void
test_what_is_replaced_stays_until_its_copy_is_made(Fixture *fixture, gconstpointer data)
{
	g_autofree char *expected = NULL;
	g_autoptr(GBytes) body = NULL;
	MailboxView view;
	Upload *copy;
	Upload *fresh;

	fake_server_fill(fixture->server, "INBOX", 1);
	settle(fixture, fixture->inbox);
	settle(fixture, fixture->archive);
	mailbox_view(fixture->inbox, &view);
	body = fake_server_body(fixture->server, "INBOX", 1);
	expected = g_strndup(g_bytes_get_data(body, NULL), g_bytes_get_size(body));
	/* Tried, and to be tried again in five seconds. */
	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_LIMIT);
	copy = copy_first(fixture);
	g_assert_true(upload_complete(copy, NULL));
	upload_close(copy);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_COPY] == 1);
	FAKE_SET(fixture->server, change_code, -1);
	fresh = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, NULL);
	upload_replaces(fresh, view.messages, 1);
	g_assert_true(write_file(fresh, MESSAGE, NULL));
	upload_close(fresh);
	FAKE_WAIT(on_server(fixture, "INBOX") == 2);
	FAKE_WAIT(is_over(copy));
	FAKE_WAIT(is_over(fresh));
	assert_body(fixture, "Archive", 1, expected);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	upload_unref(copy);
	upload_unref(fresh);
}

/* --- who still has its number --- */

static void
test_the_number_of_a_file_leads_to_its_message(Fixture *fixture, gconstpointer data)
{
	Upload *upload;
	UploadView file;
	MailboxView view;
	Mailbox *mailbox = NULL;
	guint32 serial = 0;
	guint32 uid = 0;

	fake_server_fill(fixture->server, "INBOX", 2);
	settle(fixture, fixture->inbox);
	mailbox_view(fixture->inbox, &view);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	upload_view(upload, &file);
	g_assert_false(uploads_became(fixture->uploads, file.id, &mailbox, &serial, &uid));
	wait_idle(fixture);
	g_assert_true(uploads_became(fixture->uploads, file.id, &mailbox, &serial, &uid));
	g_assert_true(mailbox == fixture->inbox);
	g_assert_cmpuint(serial, ==, view.messages);
	g_assert_cmpuint(uid, ==, 3);
	upload_unref(upload);
	/* One that was to replace a message, and does not. */
	upload = uploads_create(fixture->uploads, fixture->inbox, "y.eml", 0600, NULL);
	upload_replaces(upload, view.messages, 2);
	upload_view(upload, &file);
	g_assert_true(upload_remove(upload, NULL));
	upload_close(upload);
	upload_unref(upload);
	g_assert_true(uploads_became(fixture->uploads, file.id, &mailbox, &serial, &uid));
	g_assert_cmpuint(uid, ==, 2);
	fake_server_renumber(fixture->server, "INBOX");
	settle(fixture, fixture->inbox);
	g_assert_false(uploads_became(fixture->uploads, file.id, &mailbox, &serial, &uid));
}

#define TEST(path, name, with)                                                                     \
	g_test_add("/upload-copies/" path, Fixture, GINT_TO_POINTER(with), setup, test_##name,     \
		   teardown)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("the-replaced-message-goes-once-the-new-one-is-there",
	     the_replaced_message_goes_once_the_new_one_is_there, FAKE_LOSE_NOTHING);
	TEST("a-power-failure-between-new-and-old-is-repaired",
	     a_power_failure_between_new_and_old_is_repaired, 0);
	TEST("what-a-replaced-file-replaces-goes-too", what_a_replaced_file_replaces_goes_too, 0);
	TEST("nobody-writes-while-the-replaced-one-is-still-to-go",
	     nobody_writes_while_the_replaced_one_is_still_to_go, 0);
	TEST("what-cannot-be-removed-is-hidden", what_cannot_be_removed_is_hidden, 0);
	TEST("the-old-one-stays-when-the-server-has-renumbered",
	     the_old_one_stays_when_the_server_has_renumbered, 0);
	TEST("an-old-version-is-not-taken-for-the-new-one",
	     an_old_version_is_not_taken_for_the_new_one, 0);
	TEST("a-message-never-gives-way-to-itself", a_message_never_gives_way_to_itself, 0);
	TEST("a-copy-that-is-written-to-is-a-file-of-its-own",
	     a_copy_that_is_written_to_is_a_file_of_its_own, 0);
	TEST("copies-are-made-by-the-server", copies_are_made_by_the_server, 0);
	TEST("copies-without-told-uids-are-found", copies_are_made_by_the_server, 1);
	TEST("a-copy-of-what-is-gone-is-refused", a_copy_of_what_is_gone_is_refused, 0);
	TEST("a-copy-has-the-flags-that-were-set-on-it", a_copy_has_the_flags_that_were_set_on_it,
	     0);
	TEST("a-copy-without-told-uid-has-the-flags-that-were-set-on-it",
	     a_copy_has_the_flags_that_were_set_on_it, 1);
	TEST("a-copy-like-its-original-needs-no-store", a_copy_like_its_original_needs_no_store, 0);
	TEST("flags-of-a-copy-are-set-after-a-crash", flags_of_a_copy_are_set_after_a_crash, 0);
	TEST("flags-of-a-copy-are-set-after-a-crash-while-they-are-stored",
	     flags_of_a_copy_are_set_after_a_crash, 1);
	TEST("a-copy-knows-its-source-after-a-start", a_copy_knows_its_source_after_a_start, 0);
	TEST("no-copy-is-born-deleted", no_copy_is_born_deleted, 0);
	TEST("no-copy-without-told-uid-is-born-deleted", no_copy_is_born_deleted, 1);
	TEST("flags-set-while-it-is-sent-are-stored", flags_set_while_it_is_sent_are_stored, 0);
	TEST("a-copy-with-a-time-of-its-own-is-sent", a_copy_with_a_time_of_its_own_is_sent, 0);
	TEST("what-is-replaced-stays-until-its-copy-is-made",
	     what_is_replaced_stays_until_its_copy_is_made, 0);
	TEST("the-number-of-a-file-leads-to-its-message", the_number_of_a_file_leads_to_its_message,
	     0);
	return g_test_run();
}
