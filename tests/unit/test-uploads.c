/* SPDX-License-Identifier: MIT */
#include "mail/uploads.h"

#include "small-disk.h"
#include "uploads-fixture.h"

/* --- what is sent --- */

static void
test_a_written_file_becomes_a_message(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, &error);
	g_autofree char *listing = NULL;
	MessageView message;
	MailboxView view;
	gint done = 0;
	g_autoptr(Body) body = NULL;

	settle(fixture, fixture->inbox);
	g_assert_true(upload_write(upload, &MESSAGE[10], strlen(MESSAGE) - 10, 10, &error));
	g_assert_true(upload_write(upload, MESSAGE, 10, 0, &error));
	g_assert_true(upload_set_flags(upload, "\\Seen work \\Flagged", &error));
	g_assert_true(upload_complete(upload, &error));
	upload_close(upload);
	/* As cp -a and tar do, some after the close. */
	upload_set_time(upload, 1234567890);
	upload_wait(upload, on_idle, &done);
	FAKE_WAIT(g_atomic_int_get(&done) == 1);
	assert_body(fixture, "INBOX", 1, MESSAGE);
	listing = fake_server_listing(fixture->server, "INBOX");
	g_assert_cmpstr(listing, ==, "1 5 work\n");
	g_assert_true(mailbox_find(fixture->inbox, "x.eml", &message));
	g_assert_cmpuint(message.size, ==, strlen(MESSAGE));
	g_assert_cmpint(message.date, ==, 1234567890);
	g_assert_true(is_over(upload));
	/* It is read without asking the server, and the open file goes on. */
	mailbox_view(fixture->inbox, &view);
	body = mailbox_open_cached(fixture->inbox, view.messages, 1);
	g_assert_nonnull(body);
	g_assert_cmpuint(fake_server_asked(fixture->server, "INBOX", 1), ==, 0);
	g_assert_cmpuint(uploads_count(fixture->uploads, fixture->inbox), ==, 0);
	g_assert_cmpstr(fixture->gone->str, ==, "x.eml ");
	/* Times and flags set later change nothing, and are no error. */
	upload_set_time(upload, 5);
	upload_unref(upload);
	resume_from(fixture, image_of(fixture));
	g_assert_cmpuint(uploads_status(fixture->uploads).queued, ==, 0);
}

static void
test_line_feeds_become_line_ends_of_mail(Fixture *fixture, gconstpointer data)
{
	Upload *upload = put(fixture, fixture->inbox, "lf.eml", "Subject: x\nTo: y\r\n\nbody\n");
	UploadView view;
	char text[100] = "";

	upload_view(upload, &view);
	g_assert_cmpuint(view.size, ==, strlen("Subject: x\r\nTo: y\r\n\r\nbody\r\n"));
	g_assert_cmpint(pread(upload_fd(upload), text, sizeof text, 0), ==, (gssize)view.size);
	g_assert_cmpstr(text, ==, "Subject: x\r\nTo: y\r\n\r\nbody\r\n");
	wait_idle(fixture);
	assert_body(fixture, "INBOX", 1, "Subject: x\r\nTo: y\r\n\r\nbody\r\n");
	upload_unref(upload);
}

static void
test_a_message_that_a_server_held_without_a_header_goes_back(Fixture *fixture, gconstpointer data)
{
	static const char text[] = "\r\nNo header at all.\r\n";

	upload_unref(put(fixture, fixture->inbox, "bare.eml", text));
	wait_idle(fixture);
	assert_body(fixture, "INBOX", 1, text);
}

static void
test_what_is_no_message_is_refused_with_a_reason(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"", "empty"},
		{"GIF89a not a mail\r\n", "header field"},
		{"\nSubject: late\n\n", "header field"},
		{"From alice Sat Nov 21\nSubject: x\n\ny\n", "mbox"},
		{"Subject: x\r\n\r\nbare\rreturn\r\n", "carriage return"},
		{"Subject: x\r\n\r\nlast\r", "carriage return"},
		{": no name\r\n\r\n", "header field"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *name = g_strdup_printf("%u.x.eml", i);
		Upload *upload =
			uploads_create(fixture->uploads, fixture->inbox, name, 0600, &error);

		g_assert_no_error(error);
		g_assert_false(write_file(upload, cases[i].text, &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
		g_assert_nonnull(strstr(error->message, cases[i].why));
		upload_close(upload);
		g_assert_cmpint(state_of(upload), ==, i == 0 ? SPOOL_OPEN : SPOOL_REFUSED);
		upload_unref(upload);
	}
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 0);
	g_assert_cmpuint(uploads_status(fixture->uploads).refused, ==, 6);
}

static void
test_nul_and_an_endless_header_are_refused(Fixture *fixture, gconstpointer data)
{
	g_autofree char *text = g_malloc(1100 * 1024);

	for (guint i = 0; i < 2; i++) {
		g_autoptr(GError) error = NULL;
		Upload *upload = uploads_create(fixture->uploads, fixture->inbox,
						i ? "a.eml" : "b.eml", 0600, &error);

		memset(text, 'x', 1100 * 1024);
		memcpy(text, i ? "A: b\r\n\r\n\0\r\n" : "A: ", i ? 11 : 3);
		g_assert_true(upload_write(upload, text, 1100 * 1024, 0, &error));
		g_assert_false(upload_complete(upload, &error));
		g_assert_nonnull(strstr(error->message, i ? "NUL" : "1 MiB"));
		upload_close(upload);
		upload_unref(upload);
	}
}

static void
test_a_refused_file_is_sent_when_it_is_written_anew(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload = uploads_create(fixture->uploads, fixture->inbox, "x.eml", 0600, &error);

	g_assert_false(write_file(upload, "no mail", &error));
	g_clear_error(&error);
	upload_close(upload);
	g_assert_true(upload_open_write(upload, &error));
	g_assert_true(upload_truncate(upload, 0, &error));
	g_assert_true(write_file(upload, MESSAGE, &error));
	upload_close(upload);
	wait_idle(fixture);
	assert_body(fixture, "INBOX", 1, MESSAGE);
	upload_unref(upload);
}

static void
test_names_that_stay_local_are_told_from_others(void)
{
	static const char *const local[] = {
		".x.eml", ".x.eml.V3Cdpu", "#x#",	 "x.eml~", "x.swp",	"x.eml.tmp",
		"x.PART", "a.bak",	   "a.eml.lock", "4913",   "sedAb12Cd", "Thumbs.db"};
	static const char *const sent[] = {"x.eml", "x",	  "sed.eml",
					   "49131", "sedentary1", "a.tmp.eml"};

	for (guint i = 0; i < G_N_ELEMENTS(local); i++)
		g_assert_true(uploads_name_is_local(local[i]));
	for (guint i = 0; i < G_N_ELEMENTS(sent); i++)
		g_assert_false(uploads_name_is_local(sent[i]));
}

static void
test_a_temporary_name_is_sent_only_once_it_is_renamed(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload = put(fixture, fixture->inbox, ".x.eml.V3Cdpu", MESSAGE);
	Upload *junk = put(fixture, fixture->inbox, "photo.tmp", "no mail at all");
	Upload *other;

	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 0);
	g_assert_true(upload_rename(upload, fixture->archive, "x.eml", &error));
	g_assert_false(upload_rename(junk, fixture->inbox, "photo.jpg", &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	other = uploads_find(fixture->uploads, fixture->inbox, "photo.tmp");
	g_assert_true(other == junk);
	wait_idle(fixture);
	assert_body(fixture, "Archive", 1, MESSAGE);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 0);
	upload_unref(other);
	upload_unref(junk);
	upload_unref(upload);
	/* It is kept over a restart, since it is not empty. */
	leave(fixture);
	enter(fixture);
	g_assert_cmpuint(uploads_count(fixture->uploads, fixture->inbox), ==, 1);
}

static void
test_a_rename_replaces_what_has_the_name(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *old;
	Upload *fresh;

	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	old = put(fixture, fixture->inbox, "x.eml", ANONYMOUS);
	fresh = put(fixture, fixture->inbox, ".x.tmp", MESSAGE);
	g_assert_true(upload_rename(fresh, fixture->inbox, "x.eml", &error));
	g_assert_no_error(error);
	g_assert_true(is_over(old));
	g_assert_cmpuint(uploads_count(fixture->uploads, fixture->inbox), ==, 1);
	upload_unref(old);
	upload_unref(fresh);
	FAKE_SET(fixture->server, login_code, -1);
	resume_from(fixture, image_of(fixture));
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	assert_body(fixture, "INBOX", 1, MESSAGE);
}

static void
test_many_files_go_in_few_requests(Fixture *fixture, gconstpointer data)
{
	/* While the first of them are on their way the others come. */
	FAKE_SET(fixture->server, mute, TRUE);
	for (guint i = 0; i < 500; i++) {
		g_autofree char *name = g_strdup_printf("%u.mail.eml", i);
		g_autofree char *text =
			g_strdup_printf("Message-ID: <%u@many>\r\n\r\nText %u\r\n", i, i);

		upload_unref(put(fixture, fixture->inbox, name, text));
	}
	FAKE_SET(fixture->server, mute, FALSE);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 500);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_APPEND], <=, 6);
	g_assert_cmpuint(uploads_status(fixture->uploads).uploaded, ==, 500);
	settle(fixture, fixture->inbox);
	g_assert_true(is_listed(fixture->inbox, "499.mail.eml"));
}

/* --- refusals and lost lines --- */

static void
test_a_refusal_leaves_the_file_with_the_reason(Fixture *fixture, gconstpointer data)
{
	static const int codes[] = {MAILFS_ERROR_QUOTA, MAILFS_ERROR_TOO_BIG, MAILFS_ERROR_DENIED,
				    MAILFS_ERROR_NOT_FOUND, MAILFS_ERROR_INVALID};

	for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
		g_autofree char *name = g_strdup_printf("%u.x.eml", i);
		g_autofree char *status = NULL;
		Upload *upload;

		FAKE_SET(fixture->server, change_code, codes[i]);
		upload = put(fixture, fixture->inbox, name, ANONYMOUS);
		wait_idle(fixture);
		g_assert_cmpint(state_of(upload), ==, SPOOL_REFUSED);
		status = upload_status(upload);
		g_assert_true(g_str_has_prefix(status, "refused: refused as it was told to"));
		g_assert_cmpuint(on_server(fixture, "INBOX"), ==, i);
		/* touch tries again. */
		FAKE_SET(fixture->server, change_code, -1);
		upload_set_time(upload, 1700000001 + i);
		FAKE_WAIT(is_over(upload));
		g_assert_cmpuint(on_server(fixture, "INBOX"), ==, i + 1);
		upload_unref(upload);
	}
}

static void
test_a_refusal_is_remembered(Fixture *fixture, gconstpointer data)
{
	Upload *upload;

	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_TOO_BIG);
	upload_unref(put(fixture, fixture->inbox, "x.eml", MESSAGE));
	wait_idle(fixture);
	leave(fixture);
	FAKE_SET(fixture->server, change_code, -1);
	enter(fixture);
	upload = uploads_find(fixture->uploads, fixture->inbox, "x.eml");
	g_assert_cmpint(state_of(upload), ==, SPOOL_REFUSED);
	upload_unref(upload);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 0);
}

static void
on_refused(gpointer user, const GError *error)
{
	*(int *)user = error != NULL ? error->code : -1;
}

/* @data: over a restart. */
static void
test_why_it_was_refused_is_told_to_who_asks_later(Fixture *fixture, gconstpointer data)
{
	static const int codes[] = {MAILFS_ERROR_QUOTA, MAILFS_ERROR_TOO_BIG,
				    MAILFS_ERROR_READ_ONLY, MAILFS_ERROR_DENIED};

	for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
		g_autofree char *name = g_strdup_printf("%u.x.eml", i);
		Upload *upload;
		int code = -1;

		FAKE_SET(fixture->server, change_code, codes[i]);
		upload = put(fixture, fixture->inbox, name, MESSAGE);
		wait_idle(fixture);
		if (data != NULL) {
			upload_unref(upload);
			leave(fixture);
			enter(fixture);
			upload = uploads_find(fixture->uploads, fixture->inbox, name);
		}
		upload_wait(upload, on_refused, &code);
		g_assert_cmpint(code, ==, codes[i]);
		g_assert_true(upload_remove(upload, NULL));
		upload_unref(upload);
	}
}

static guint
appends(Fixture *fixture)
{
	return fake_server_counts(fixture->server).requests[REQUEST_APPEND];
}

/* Who is over quota does not send all of it again and again. */
static void
test_files_wait_for_room_and_one_of_them_tries(Fixture *fixture, gconstpointer data)
{
	g_autofree char *status = NULL;
	Upload *upload = NULL;
	guint tried;

	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_QUOTA);
	for (guint i = 0; i < 50; i++) {
		g_autofree char *name = g_strdup_printf("%u.x.eml", i);
		g_autofree char *text = g_strdup_printf("Message-ID: <%u@x>\r\n\r\nx\r\n", i);

		upload_unref(upload);
		upload = put(fixture, fixture->inbox, name, text);
	}
	wait_idle(fixture);
	status = upload_status(upload);
	g_assert_nonnull(strstr(status, "refused: refused as it was told to; tried again at "));
	tried = appends(fixture);
	/* The first pause is one of five seconds. */
	FAKE_WAIT(appends(fixture) == tried + 1);
	wait_idle(fixture);
	FAKE_SET(fixture->server, change_code, -1);
	upload_set_time(upload, 1700000001);
	FAKE_WAIT(on_server(fixture, "INBOX") == 50);
	/* In whatever batches, which the moment decides: not one by one. */
	g_assert_cmpuint(appends(fixture), <, tried + 25);
	upload_unref(upload);
}

static void
test_what_is_written_offline_follows_when_the_line_is_back(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GPtrArray) lines = NULL;
	Upload *upload;

	settle(fixture, fixture->inbox);
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	g_usleep(500 * G_TIME_SPAN_MILLISECOND);
	g_assert_cmpint(state_of(upload), !=, SPOOL_REFUSED);
	lines = uploads_lines(fixture->uploads);
	g_assert_cmpuint(lines->len, ==, 1);
	g_assert_true(g_str_has_prefix(lines->pdata[0], "INBOX/x.eml  "));
	FAKE_SET(fixture->server, login_code, -1);
	pool_retry(account_pool(fixture->account));
	for (guint i = 0; i < 1000 && !is_over(upload); i++) {
		uploads_retry(fixture->uploads);
		g_usleep(10 * G_TIME_SPAN_MILLISECOND);
	}
	g_assert_true(is_over(upload));
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	upload_unref(upload);
}

static void
test_a_lost_line_neither_loses_nor_doubles(Fixture *fixture, gconstpointer data)
{
	static const char *const texts[] = {MESSAGE, ANONYMOUS};

	for (guint i = 0; i < 4; i++) {
		g_autofree char *name = g_strdup_printf("%u.x.eml", i);
		Upload *upload;

		FAKE_SET(fixture->server, lose, i / 2 ? FAKE_LOSE_AFTER : FAKE_LOSE_BEFORE);
		upload = put(fixture, fixture->inbox, name, texts[i % 2]);
		FAKE_WAIT(state_of(upload) == SPOOL_STARTED);
		wait_idle(fixture);
		g_assert_true(is_over(upload));
		g_assert_cmpuint(on_server(fixture, "INBOX"), ==, i + 1);
		g_assert_true(is_listed(fixture->inbox, name));
		upload_unref(upload);
	}
}

/* As cp and rsync do it again after they were told of a failure. @data: under another name first.
 */
static void
test_the_same_file_written_again_arrives_once(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload;
	Upload *other;

	FAKE_SET(fixture->server, lose, FAKE_LOSE_AFTER);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	FAKE_WAIT(on_server(fixture, "INBOX") == 1);
	do {
		g_clear_error(&error);
		g_usleep(1000);
	} while (!upload_open_write(upload, &error));
	if (data == NULL) {
		g_assert_true(upload_truncate(upload, 0, &error));
		g_assert_true(write_file(upload, MESSAGE, &error));
	} else {
		other = put(fixture, fixture->inbox, ".x.eml.tmp", MESSAGE);
		g_assert_true(upload_rename(other, fixture->inbox, "x.eml", &error));
		upload_unref(other);
	}
	upload_close(upload);
	upload_unref(upload);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	g_assert_true(is_listed(fixture->inbox, "x.eml"));
}

/* @data: whether the server has done it before the power fails. */
static void
test_a_power_failure_during_the_append(Fixture *fixture, gconstpointer data)
{
	gboolean done = GPOINTER_TO_INT(data);
	char *image;
	Upload *upload;

	settle(fixture, fixture->inbox);
	FAKE_SET(fixture->server, lose, done ? FAKE_LOSE_AFTER : FAKE_LOSE_BEFORE);
	/* What the old life does after the power has failed must not count. */
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	for (guint i = 0; i < 20; i++) {
		g_autofree char *name = g_strdup_printf("%u.x.eml", i);
		g_autofree char *text = g_strdup_printf(i % 2 ? "Message-ID: <%u@x>\r\n\r\n\r\n"
							      : "Subject: %u\r\n\r\n\r\n",
							i + 10);

		upload = put(fixture, fixture->inbox, name, text);
		upload_unref(upload);
	}
	FAKE_WAIT(fake_server_counts(fixture->server).lines == 0);
	g_assert_cmpint(on_server(fixture, "INBOX") > 0, ==, done);
	image = image_of(fixture);
	FAKE_SET(fixture->server, login_code, -1);
	resume_from(fixture, image);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 20);
	settle(fixture, fixture->inbox);
	g_assert_true(is_listed(fixture->inbox, "0.x.eml"));
	g_assert_true(is_listed(fixture->inbox, "19.x.eml"));
}

static void
test_a_power_failure_before_the_append_loses_nothing(Fixture *fixture, gconstpointer data)
{
	char *image;
	Upload *upload;

	FAKE_SET(fixture->server, mute, TRUE);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	image = image_of(fixture);
	upload_unref(upload);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	FAKE_SET(fixture->server, mute, FALSE);
	resume_from(fixture, image);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_NOTHING);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	assert_body(fixture, "INBOX", 1, MESSAGE);
}

static void
test_what_was_being_written_is_not_sent_after_a_crash(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload;
	char *image;

	FAKE_SET(fixture->server, mute, TRUE);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	g_assert_true(upload_open_write(upload, &error));
	g_assert_true(upload_write(upload, "More", 4, strlen(MESSAGE), &error));
	image = image_of(fixture);
	upload_close(upload);
	upload_unref(upload);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	FAKE_SET(fixture->server, mute, FALSE);
	resume_from(fixture, image);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_NOTHING);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 0);
	upload = uploads_find(fixture->uploads, fixture->inbox, "x.eml");
	g_assert_cmpint(state_of(upload), ==, SPOOL_REFUSED);
	/* It is whole, says touch. */
	upload_set_time(upload, 1700000000);
	FAKE_WAIT(is_over(upload));
	assert_body(fixture, "INBOX", 1, MESSAGE "More");
	upload_unref(upload);
}

static void
test_a_file_that_cannot_be_opened_for_once_is_kept(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = NULL;
	g_autofree char *aside = NULL;
	Upload *upload = put(fixture, fixture->inbox, "x.tmp", MESSAGE);
	UploadView view;

	upload_view(upload, &view);
	path = g_strdup_printf("%s/spool/%u", fixture->state, view.id);
	aside = g_strconcat(path, ".aside", NULL);
	upload_unref(upload);
	leave(fixture);
	g_assert_cmpint(rename(path, aside), ==, 0);
	g_assert_cmpint(symlink("elsewhere", path), ==, 0);
	enter(fixture);
	leave(fixture);
	g_assert_cmpint(rename(aside, path), ==, 0);
	enter(fixture);
	upload = uploads_find(fixture->uploads, fixture->inbox, "x.tmp");
	g_assert_nonnull(upload);
	upload_view(upload, &view);
	g_assert_cmpuint(view.size, ==, strlen(MESSAGE));
	upload_unref(upload);
}

static void
test_bytes_that_the_disk_has_changed_are_not_sent(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = NULL;
	g_autofree char *name = NULL;
	char *image;
	Upload *upload;
	UploadView view;

	FAKE_SET(fixture->server, mute, TRUE);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	upload_view(upload, &view);
	upload_unref(upload);
	image = image_of(fixture);
	name = g_strdup_printf("%u", view.id);
	path = g_build_filename(image, "spool", name, NULL);
	g_assert_true(g_file_set_contents(path,
					  "Message-ID: <1@tesT>\r\nSubject: one\r\nFrom: "
					  "a@example.org\r\n\r\nThe text.\r\n",
					  -1, NULL));
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	FAKE_SET(fixture->server, mute, FALSE);
	resume_from(fixture, image);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_NOTHING);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 0);
	g_assert_cmpuint(uploads_status(fixture->uploads).refused, ==, 1);
}

/* @data: whether the server tells the UIDs. */
static void
test_files_of_the_same_bytes_all_arrive(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, no_copyuid, GPOINTER_TO_INT(data));
	settle(fixture, fixture->inbox);
	for (guint i = 0; i < 5; i++) {
		g_autofree char *name = g_strdup_printf("%u.x.eml", i);

		upload_unref(put(fixture, fixture->inbox, name, MESSAGE));
	}
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 5);
	settle(fixture, fixture->inbox);
	for (guint i = 0; i < 5; i++) {
		g_autofree char *name = g_strdup_printf("%u.x.eml", i);

		g_assert_true(is_listed(fixture->inbox, name));
	}
}

/* --- what others do to it meanwhile --- */

static void
test_what_is_on_its_way_is_left_alone(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload;

	settle(fixture, fixture->inbox);
	FAKE_SET(fixture->server, mute, TRUE);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	FAKE_WAIT(state_of(upload) == SPOOL_STARTED);
	g_assert_false(upload_open_write(upload, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
	g_clear_error(&error);
	g_assert_false(upload_remove(upload, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
	g_clear_error(&error);
	g_assert_false(upload_rename(upload, fixture->archive, "x.eml", &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
	g_clear_error(&error);
	/* A name is only a name. */
	g_assert_true(upload_rename(upload, fixture->inbox, "y.eml", &error));
	FAKE_SET(fixture->server, mute, FALSE);
	wait_idle(fixture);
	g_assert_true(is_listed(fixture->inbox, "y.eml"));
	upload_unref(upload);
}

/* It would be there again, as a message, once the line is back. */
static void
test_what_may_be_there_is_not_removed_before_that_is_known(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *status = NULL;
	Upload *upload;

	settle(fixture, fixture->inbox);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_AFTER);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	do {
		g_usleep(1000);
		g_free(status);
		status = upload_status(upload);
	} while (!g_str_has_prefix(status, "retry"));
	g_assert_false(upload_remove(upload, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
	g_clear_error(&error);
	wait_idle(fixture);
	g_assert_true(is_listed(fixture->inbox, "x.eml"));
	g_assert_false(upload_remove(upload, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND);
	upload_unref(upload);
}

static void
test_a_removed_file_is_not_sent_and_stays_readable(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	char text[16] = "";

	g_assert_true(upload_remove(upload, &error));
	g_assert_cmpint(pread(upload_fd(upload), text, 10, 0), ==, 10);
	g_assert_cmpstr(text, ==, "Message-ID");
	g_assert_null(uploads_find(fixture->uploads, fixture->inbox, "x.eml"));
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 0);
	upload_unref(upload);
}

static void
on_stopped(gpointer user, const GError *error)
{
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
	g_atomic_int_inc((gint *)user);
}

static void
test_who_waits_is_told_when_mailfs_ends(Fixture *fixture, gconstpointer data)
{
	gint times = 0;
	Upload *upload;

	FAKE_SET(fixture->server, mute, TRUE);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	upload_wait(upload, on_stopped, &times);
	uploads_wait(fixture->uploads, fixture->inbox, on_stopped, &times);
	g_assert_cmpint(g_atomic_int_get(&times), ==, 0);
	upload_unref(upload);
	leave(fixture);
	g_assert_cmpint(times, ==, 2);
	FAKE_SET(fixture->server, mute, FALSE);
	enter(fixture);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
}

static void
test_a_full_disk_refuses_the_write_and_keeps_the_queue(Fixture *fixture, gconstpointer data)
{
	g_autofree char *disk = small_disk_new(fixture->cache, "size=1m");
	g_autoptr(GError) error = NULL;
	g_autofree char *piece = g_malloc0(65536);
	char *own = fixture->state;
	Upload *upload;
	guint64 at = 0;

	if (disk == NULL)
		return;
	leave(fixture);
	fixture->state = disk;
	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_LIMIT);
	enter(fixture);
	upload_unref(put(fixture, fixture->inbox, "safe.eml", MESSAGE));
	upload = uploads_create(fixture->uploads, fixture->inbox, "big.eml", 0600, &error);
	while (upload_write(upload, piece, 65536, at, &error) && at < 4 * 1024 * 1024)
		at += 65536;
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
	g_clear_error(&error);
	g_assert_true(upload_remove(upload, &error));
	upload_close(upload);
	upload_unref(upload);
	FAKE_SET(fixture->server, change_code, -1);
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	leave(fixture);
	fixture->state = own;
	small_disk_free(g_steal_pointer(&disk));
	enter(fixture);
}

#define TEST(path, name, with)                                                                     \
	g_test_add("/uploads/" path, Fixture, GINT_TO_POINTER(with), setup, test_##name, teardown)

static void
add_failures(void)
{
	TEST("a-refusal-leaves-the-file-with-the-reason", a_refusal_leaves_the_file_with_the_reason,
	     0);
	TEST("a-refusal-is-remembered", a_refusal_is_remembered, 0);
	TEST("why-it-was-refused-is-told-to-who-asks-later",
	     why_it_was_refused_is_told_to_who_asks_later, 0);
	TEST("why-it-was-refused-is-told-after-a-restart",
	     why_it_was_refused_is_told_to_who_asks_later, 1);
	TEST("files-wait-for-room-and-one-of-them-tries", files_wait_for_room_and_one_of_them_tries,
	     0);
	TEST("what-is-written-offline-follows-when-the-line-is-back",
	     what_is_written_offline_follows_when_the_line_is_back, 0);
	TEST("a-lost-line-neither-loses-nor-doubles", a_lost_line_neither_loses_nor_doubles, 0);
	TEST("a-power-failure-during-an-append-that-is-done-doubles-nothing",
	     a_power_failure_during_the_append, 1);
	TEST("a-power-failure-during-an-append-that-is-not-done-loses-nothing",
	     a_power_failure_during_the_append, 0);
	TEST("the-same-file-written-again-arrives-once", the_same_file_written_again_arrives_once,
	     0);
	TEST("the-same-file-put-in-its-place-arrives-once",
	     the_same_file_written_again_arrives_once, 1);
	TEST("a-power-failure-before-the-append-loses-nothing",
	     a_power_failure_before_the_append_loses_nothing, 0);
	TEST("what-was-being-written-is-not-sent-after-a-crash",
	     what_was_being_written_is_not_sent_after_a_crash, 0);
	TEST("a-file-that-cannot-be-opened-for-once-is-kept",
	     a_file_that_cannot_be_opened_for_once_is_kept, 0);
	TEST("bytes-that-the-disk-has-changed-are-not-sent",
	     bytes_that_the_disk_has_changed_are_not_sent, 0);
	TEST("a-full-disk-refuses-the-write-and-keeps-the-queue",
	     a_full_disk_refuses_the_write_and_keeps_the_queue, 0);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("a-written-file-becomes-a-message", a_written_file_becomes_a_message, 0);
	TEST("line-feeds-become-line-ends-of-mail", line_feeds_become_line_ends_of_mail, 0);
	TEST("a-message-that-a-server-held-without-a-header-goes-back",
	     a_message_that_a_server_held_without_a_header_goes_back, 0);
	TEST("what-is-no-message-is-refused-with-a-reason",
	     what_is_no_message_is_refused_with_a_reason, 0);
	TEST("nul-and-an-endless-header-are-refused", nul_and_an_endless_header_are_refused, 0);
	TEST("a-refused-file-is-sent-when-it-is-written-anew",
	     a_refused_file_is_sent_when_it_is_written_anew, 0);
	g_test_add_func("/uploads/names-that-stay-local-are-told-from-others",
			test_names_that_stay_local_are_told_from_others);
	TEST("a-temporary-name-is-sent-only-once-it-is-renamed",
	     a_temporary_name_is_sent_only_once_it_is_renamed, 0);
	TEST("a-rename-replaces-what-has-the-name", a_rename_replaces_what_has_the_name, 0);
	TEST("many-files-go-in-few-requests", many_files_go_in_few_requests, 0);
	add_failures();
	TEST("files-of-the-same-bytes-all-arrive", files_of_the_same_bytes_all_arrive, 0);
	TEST("files-of-the-same-bytes-all-arrive-without-uids", files_of_the_same_bytes_all_arrive,
	     1);
	TEST("what-is-on-its-way-is-left-alone", what_is_on_its_way_is_left_alone, 0);
	TEST("what-may-be-there-is-not-removed-before-that-is-known",
	     what_may_be_there_is_not_removed_before_that_is_known, 0);
	TEST("a-removed-file-is-not-sent-and-stays-readable",
	     a_removed_file_is_not_sent_and_stays_readable, 0);
	TEST("who-waits-is-told-when-mailfs-ends", who_waits_is_told_when_mailfs_ends, 0);
	return g_test_run();
}
