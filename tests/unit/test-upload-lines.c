/* SPDX-License-Identifier: MIT */
/* Files whose line is lost while they are on their way. */
#include "uploads-fixture.h"

static gboolean
has_status(Upload *upload, const char *prefix)
{
	g_autofree char *status = upload_status(upload);

	return g_str_has_prefix(status, prefix);
}

/* The line of one upload is lost when another one is up already. */
static void
test_what_was_under_way_when_the_line_came_back_does_not_wait(Fixture *fixture, gconstpointer data)
{
	Upload *upload;

	settle(fixture, fixture->inbox);
	FAKE_SET(fixture->server, mute, TRUE);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	FAKE_WAIT(state_of(upload) == SPOOL_STARTED);
	uploads_retry(fixture->uploads);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(has_status(upload, "retry"));
	g_assert_true(has_status(upload, "retry soon ("));
	FAKE_WAIT(is_over(upload));
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	upload_unref(upload);
}

/* --- written anew while nobody knows whether the server has it --- */

enum {
	DONE = 1,     /* the server has it */
	RENAMED = 2,  /* another file takes its place */
	KILLED = 4,   /* mailfs ends before the new one is sent */
	REPLACES = 8, /* it was to take the place of a message */
	AGAIN = 16,   /* the line is lost once more while the new one is sent */
	UNSAID = 32,  /* the server does not tell UIDs */
	OTHER = 64,   /* the new one has another Message-ID and size */
	ALL = 127,
};

#define OTHER_TEXT                                                                                 \
	"Message-ID: <1@test>\r\nSubject: one\r\nFrom: a@example.org\r\n\r\nNew text.\r\n"
#define OTHER_ID "Message-ID: <2@test>\r\nSubject: two\r\nFrom: a@example.org\r\n\r\nMore text.\r\n"

/* A file of which nobody knows whether it is there; nothing more goes out. */
static Upload *
put_in_doubt(Fixture *fixture, int how)
{
	FakeKnobs *knobs = fake_server_lock(fixture->server);
	Upload *upload;

	knobs->mute = TRUE;
	fake_server_unlock(fixture->server);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	if (how & REPLACES) {
		MailboxView view;

		mailbox_view(fixture->inbox, &view);
		upload_replaces(upload, view.messages, 1);
	}
	FAKE_WAIT(state_of(upload) == SPOOL_STARTED);
	knobs = fake_server_lock(fixture->server);
	knobs->lose = how & DONE ? FAKE_LOSE_AFTER : FAKE_LOSE_BEFORE;
	knobs->login_code = MAILFS_ERROR_OFFLINE;
	knobs->mute = FALSE;
	fake_server_unlock(fixture->server);
	FAKE_WAIT(has_status(upload, "retry"));
	return upload;
}

static void
write_anew(Fixture *fixture, Upload *upload, int how, const char *text)
{
	g_autoptr(GError) error = NULL;
	Upload *other;

	if (how & RENAMED) {
		other = put(fixture, fixture->inbox, ".x.tmp", text);
		g_assert_true(upload_rename(other, fixture->inbox, "x.eml", &error));
		upload_unref(other);
		return;
	}
	g_assert_true(upload_open_write(upload, &error));
	g_assert_true(upload_truncate(upload, 0, &error));
	g_assert_true(write_file(upload, text, &error));
	upload_close(upload);
}

/* The only message of INBOX. */
static void
assert_only(Fixture *fixture, const char *text)
{
	g_autofree char *listing = fake_server_listing(fixture->server, "INBOX");
	guint32 uid = (guint32)g_ascii_strtoull(listing, NULL, 10);
	MessageView message;

	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	assert_body(fixture, "INBOX", uid, text);
	settle(fixture, fixture->inbox);
	g_assert_true(mailbox_find(fixture->inbox, "x.eml", &message));
	g_assert_cmpuint(message.uid, ==, uid);
}

/* @data: how. */
static void
test_what_is_written_anew_in_doubt_is_there_alone(Fixture *fixture, gconstpointer data)
{
	int how = GPOINTER_TO_INT(data);
	const char *text = how & OTHER ? OTHER_ID : OTHER_TEXT;
	Upload *upload;

	if (how & REPLACES)
		fake_server_add_raw(fixture->server, "INBOX", ANONYMOUS, 1600000000);
	FAKE_SET(fixture->server, no_copyuid, (how & UNSAID) != 0);
	settle(fixture, fixture->inbox);
	upload = put_in_doubt(fixture, how);
	write_anew(fixture, upload, how, text);
	upload_unref(upload);
	if (how & KILLED) {
		char *image = image_of(fixture);

		leave(fixture);
		FAKE_SET(fixture->server, login_code, -1);
		if (how & AGAIN)
			FAKE_SET(fixture->server, lose, FAKE_LOSE_AFTER);
		begin_from(fixture, image);
	}
	FAKE_SET(fixture->server, login_code, -1);
	if (how & AGAIN)
		FAKE_SET(fixture->server, lose, FAKE_LOSE_AFTER);
	pool_retry(account_pool(fixture->account));
	wait_idle(fixture);
	assert_only(fixture, text);
}

#define TEST(path, name, with)                                                                     \
	g_test_add("/upload-lines/" path, Fixture, GINT_TO_POINTER(with), setup, test_##name,      \
		   teardown)

/* --- in the way of one another --- */

static gboolean
is_syncing(Mailbox *mailbox)
{
	MailboxView view;

	mailbox_view(mailbox, &view);
	return view.syncing;
}

/* Somebody who wants to call it y.eml in Archive, as fs does it. */
typedef struct {
	Fixture *fixture;
	Upload *upload;
	gint tries, ended; /* atomic */
} Renaming;

static void
try_to_rename(gpointer user, const GError *reason)
{
	Renaming *renaming = user;
	Fixture *fixture = renaming->fixture;
	g_autoptr(GError) error = NULL;

	g_atomic_int_inc(&renaming->tries);
	if (!upload_rename(renaming->upload, fixture->archive, "y.eml", &error) &&
	    g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_BUSY) &&
	    upload_wait_turn(renaming->upload, fixture->archive, "y.eml", try_to_rename, renaming))
		return;
	g_atomic_int_inc(&renaming->ended);
}

/* Who waits for it hears of the refusal before it can be touched, and asks again at that moment. */
static void
test_a_refused_file_is_renamed_by_who_waited_for_it(Fixture *fixture, gconstpointer data)
{
	FakeKnobs *knobs;
	Renaming renaming = {.fixture = fixture};

	settle(fixture, fixture->inbox);
	FAKE_SET(fixture->server, mute, TRUE);
	renaming.upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	FAKE_WAIT(state_of(renaming.upload) == SPOOL_STARTED);
	try_to_rename(&renaming, NULL);
	g_assert_cmpint(g_atomic_int_get(&renaming.ended), ==, 0);
	knobs = fake_server_lock(fixture->server);
	knobs->change_code = MAILFS_ERROR_DENIED;
	knobs->mute = FALSE;
	fake_server_unlock(fixture->server);
	FAKE_WAIT(g_atomic_int_get(&renaming.ended) == 1);
	g_assert_cmpint(g_atomic_int_get(&renaming.tries), <=, 3);
	g_assert_true(upload_mailbox(renaming.upload) == fixture->archive);
	upload_unref(renaming.upload);
}

/* The name is one that is on its way, at whatever step. */
static void
test_a_name_that_is_on_its_way_is_waited_for(Fixture *fixture, gconstpointer data)
{
	Renaming renaming = {.fixture = fixture};
	Upload *there;

	/* Nothing is known of Archive: the first that is to go there makes it be listed. */
	FAKE_SET(fixture->server, mute, TRUE);
	there = put(fixture, fixture->archive, "y.eml", ANONYMOUS);
	FAKE_WAIT(is_syncing(fixture->archive));
	renaming.upload = put(fixture, fixture->inbox, ".x.tmp", MESSAGE);
	try_to_rename(&renaming, NULL);
	g_assert_cmpint(g_atomic_int_get(&renaming.ended), ==, 0);
	g_assert_cmpint(g_atomic_int_get(&renaming.tries), ==, 1);
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(g_atomic_int_get(&renaming.ended) == 1);
	g_assert_cmpint(g_atomic_int_get(&renaming.tries), ==, 2);
	upload_unref(there);
	upload_unref(renaming.upload);
	wait_idle(fixture);
}

/* Nothing happens as long as it is open: who waited would ask again at once, for ever. */
static void
test_nobody_waits_for_what_a_writer_holds_back(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Renaming renaming = {.fixture = fixture};

	settle(fixture, fixture->inbox);
	renaming.upload = put_in_doubt(fixture, 0);
	g_assert_true(upload_open_write(renaming.upload, &error));
	try_to_rename(&renaming, NULL);
	g_assert_cmpint(g_atomic_int_get(&renaming.tries), ==, 1);
	g_assert_cmpint(g_atomic_int_get(&renaming.ended), ==, 1);
	upload_close(renaming.upload);
	try_to_rename(&renaming, NULL);
	g_assert_cmpint(g_atomic_int_get(&renaming.ended), ==, 1);
	FAKE_SET(fixture->server, login_code, -1);
	pool_retry(account_pool(fixture->account));
	wait_idle(fixture);
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	/* It is a message now. */
	FAKE_WAIT(g_atomic_int_get(&renaming.ended) == 2);
	g_assert_cmpint(g_atomic_int_get(&renaming.tries), ==, 3);
	upload_unref(renaming.upload);
}

/* Some of all the ways; with "-m thorough" all. */
static void
add_written_anew(void)
{
	static const int some[] = {
		0,
		DONE,
		DONE | OTHER | RENAMED,
		DONE | REPLACES | KILLED | AGAIN,
		DONE | AGAIN | UNSAID,
	};

	for (int i = 0; i <= (g_test_thorough() ? ALL : (int)G_N_ELEMENTS(some) - 1); i++) {
		int how = g_test_thorough() ? i : some[i];
		g_autofree char *path = g_strdup_printf(
			"/upload-lines/what-is-written-anew-in-doubt-is-there-alone/%s%s%s%s%s%s%s",
			how & OTHER ? "other" : "alike", how & DONE ? "-done" : "-not-done",
			how & RENAMED ? "-renamed" : "", how & KILLED ? "-killed" : "",
			how & REPLACES ? "-replaces" : "", how & AGAIN ? "-again" : "",
			how & UNSAID ? "-unsaid" : "");

		g_test_add(path, Fixture, GINT_TO_POINTER(how), setup,
			   test_what_is_written_anew_in_doubt_is_there_alone, teardown);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("what-was-under-way-when-the-line-came-back-does-not-wait",
	     what_was_under_way_when_the_line_came_back_does_not_wait, 0);
	add_written_anew();
	TEST("a-refused-file-is-renamed-by-who-waited-for-it",
	     a_refused_file_is_renamed_by_who_waited_for_it, 0);
	TEST("a-name-that-is-on-its-way-is-waited-for", a_name_that_is_on_its_way_is_waited_for, 0);
	TEST("nobody-waits-for-what-a-writer-holds-back", nobody_waits_for_what_a_writer_holds_back,
	     0);
	return g_test_run();
}
