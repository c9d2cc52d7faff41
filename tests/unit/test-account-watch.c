/* SPDX-License-Identifier: MIT */
#include "mail/account.h"

#include <string.h>

#include "fake-backend.h"
#include "quiet-news.h"

#define DIR_TIME_US (60 * G_USEC_PER_SEC)

typedef struct {
	FakeServer *server;
	char *directory;
	Account *account;
} Fixture;

static const AccountNews news = {
	.mailbox = QUIET_MAILBOX_NEWS,
	.folders = quiet_folders,
	.folder_gone = quiet_mailbox,
	.log = quiet_log,
};

static void
start(Fixture *fixture, guint connections, gint64 dir_time_us)
{
	AccountConfig config = {
		.backend_new = fake_backend_new,
		.backend = fake_server_config(fixture->server),
		.identity = "alice at fake",
		.connections = connections,
		.dir_time_us = dir_time_us,
		.cache_dir = fixture->directory,
	};
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;
	gboolean offline;

	fixture->account = account_new(&config, &news, fixture, &error);
	g_assert_no_error(error);
	g_assert_true(account_start(fixture->account, NULL, &offline, &reason, &error));
}

static void
setup(Fixture *fixture, gconstpointer data)
{
	static const char *const names[] = {"INBOX", "Sent", "Never"};

	fixture->server = fake_server_new();
	fixture->directory = fake_directory();
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		fake_server_mailbox_full(fixture->server, names[i], '/', MAILBOX_PERSONAL, "");
		fake_server_fill(fixture->server, names[i], 5);
	}
	FAKE_SET(fixture->server, notify, TRUE);
	FAKE_SET(fixture->server, qresync, TRUE);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	account_stop(fixture->account);
	account_free(fixture->account);
	fake_server_free(fixture->server);
	fake_directory_remove(fixture->directory);
}

static Mailbox *
mailbox_of(Fixture *fixture, const char *name)
{
	return account_child(fixture->account, ACCOUNT_ROOT_DIRECTORY, name);
}

static guint
count_of(Fixture *fixture, const char *name)
{
	MailboxView view;

	mailbox_view(mailbox_of(fixture, name), &view);
	return view.count;
}

static guint
syncs_of(Fixture *fixture)
{
	return fake_server_counts(fixture->server).requests[REQUEST_SYNC];
}

/* As opening the directory does. */
static void
look(Fixture *fixture, const char *name)
{
	Mailbox *mailbox = mailbox_of(fixture, name);
	MailboxView view;

	mailbox_refresh(mailbox, mailbox_max_age(mailbox, DIR_TIME_US));
	FAKE_WAIT((mailbox_view(mailbox, &view), view.listed && !view.syncing));
}

static void
test_what_is_told_of_is_kept_right_by_itself(Fixture *fixture, gconstpointer data)
{
	start(fixture, 2, DIR_TIME_US);
	look(fixture, "INBOX");
	look(fixture, "Sent");
	FAKE_WAIT(mailbox_promise(mailbox_of(fixture, "INBOX")) &&
		  mailbox_promise(mailbox_of(fixture, "Sent")));
	fake_server_add(fixture->server, "INBOX", "fresh", "text");
	fake_server_notify(fixture->server, "INBOX");
	FAKE_WAIT(count_of(fixture, "INBOX") == 6);
	fake_server_expunge(fixture->server, "Sent", 1, 2);
	fake_server_notify(fixture->server, "Sent");
	FAKE_WAIT(count_of(fixture, "Sent") == 3);
	FAKE_WAIT(mailbox_promise(mailbox_of(fixture, "INBOX")) &&
		  mailbox_promise(mailbox_of(fixture, "Sent")));
}

static void
test_what_is_told_of_by_its_name_in_utf8_is_heard(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *raw, *utf8;
	} names[] = {{"Gr&APYA3w-e/x&-y", "Größe/x&y"}, {"a&--b", "a&-b"}};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		fake_server_mailbox_full(fixture->server, names[i].raw, 0, MAILBOX_PERSONAL, "");
	start(fixture, 1, DIR_TIME_US);
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		Mailbox *mailbox = account_mailbox_named(fixture->account, names[i].raw);
		MailboxView view;

		mailbox_refresh(mailbox, mailbox_max_age(mailbox, DIR_TIME_US));
		look(fixture, "INBOX"); /* the line has it selected */
		FAKE_WAIT(mailbox_promise(mailbox));
		FAKE_SET(fixture->server, told_name, names[i].utf8);
		fake_server_add(fixture->server, names[i].raw, "fresh", "text");
		fake_server_notify(fixture->server, names[i].raw);
		FAKE_WAIT((mailbox_view(mailbox, &view), view.count == 1));
		FAKE_SET(fixture->server, told_name, NULL);
	}
}

/* What is under way is over. */
static guint
settled_syncs(Fixture *fixture)
{
	guint before, now = syncs_of(fixture);

	do {
		before = now;
		g_usleep(300 * 1000);
		now = syncs_of(fixture);
	} while (now != before);
	return now;
}

static void
test_numbers_that_are_known_ask_for_nothing(Fixture *fixture, gconstpointer data)
{
	guint syncs;

	start(fixture, 1, DIR_TIME_US);
	look(fixture, "INBOX");
	look(fixture, "Sent"); /* INBOX is selected no more */
	FAKE_WAIT(mailbox_promise(mailbox_of(fixture, "INBOX")) &&
		  mailbox_promise(mailbox_of(fixture, "Sent")));
	syncs = settled_syncs(fixture);
	for (guint i = 0; i < 50; i++)
		fake_server_notify(fixture->server, "INBOX");
	g_usleep(100 * 1000);
	g_assert_cmpuint(syncs_of(fixture), ==, syncs);
	g_assert_true(mailbox_promise(mailbox_of(fixture, "INBOX")));
}

static void
test_what_nobody_has_looked_at_is_not_listed(Fixture *fixture, gconstpointer data)
{
	guint syncs;

	start(fixture, 2, DIR_TIME_US);
	look(fixture, "INBOX");
	FAKE_WAIT(mailbox_promise(mailbox_of(fixture, "INBOX")));
	syncs = syncs_of(fixture);
	fake_server_add(fixture->server, "Never", "fresh", "text");
	fake_server_notify(fixture->server, "Never");
	g_usleep(100 * 1000);
	g_assert_cmpuint(syncs_of(fixture), ==, syncs);
	g_assert_false(mailbox_promise(mailbox_of(fixture, "Never")));
	look(fixture, "Never");
	g_assert_cmpuint(count_of(fixture, "Never"), ==, 6);
}

static void
test_what_is_told_of_is_not_asked_for_each_dir_time(Fixture *fixture, gconstpointer data)
{
	Mailbox *mailbox;
	guint syncs;

	start(fixture, 2, 0);
	mailbox = mailbox_of(fixture, "INBOX");
	g_assert_cmpint(mailbox_max_age(mailbox, 7), ==, 7);
	look(fixture, "INBOX");
	FAKE_WAIT(mailbox_promise(mailbox));
	g_assert_cmpint(mailbox_max_age(mailbox, 7), >, 60 * G_USEC_PER_SEC);
	syncs = syncs_of(fixture);
	for (guint i = 0; i < 20; i++)
		look(fixture, "INBOX");
	g_assert_cmpuint(syncs_of(fixture), ==, syncs);
	/* Without a line nothing is told. */
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	FAKE_WAIT(mailbox_max_age(mailbox, 7) == 7);
	g_assert_false(mailbox_promise(mailbox));
}

static void
test_what_was_missed_while_the_line_was_down_comes_by_itself(Fixture *fixture, gconstpointer data)
{
	g_autofree char *flags = NULL;

	start(fixture, 2, DIR_TIME_US);
	look(fixture, "INBOX");
	look(fixture, "Sent");
	FAKE_WAIT(mailbox_promise(mailbox_of(fixture, "INBOX")) &&
		  mailbox_promise(mailbox_of(fixture, "Sent")));
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	FAKE_WAIT(!mailbox_promise(mailbox_of(fixture, "INBOX")));
	fake_server_add(fixture->server, "INBOX", "fresh", "text");
	fake_server_flag(fixture->server, "Sent", 3, MESSAGE_FLAGGED, "");
	FAKE_SET(fixture->server, login_code, -1);
	FAKE_WAIT(count_of(fixture, "INBOX") == 6);
	FAKE_WAIT(mailbox_promise(mailbox_of(fixture, "Sent")));
	flags = mailbox_flags_text(mailbox_of(fixture, "Sent"), 3);
	g_assert_cmpstr(flags, ==, "\\Flagged");
}

static void
test_folders_that_come_are_listed_but_not_without_end(Fixture *fixture, gconstpointer data)
{
	guint lists;

	start(fixture, 2, DIR_TIME_US);
	look(fixture, "INBOX");
	FAKE_WAIT(mailbox_promise(mailbox_of(fixture, "INBOX")));
	lists = fake_server_counts(fixture->server).requests[REQUEST_LIST];
	fake_server_mailbox(fixture->server, "Fresh");
	for (guint i = 0; i < 100; i++) {
		fake_server_folders(fixture->server);
		g_usleep(1000);
	}
	FAKE_WAIT(mailbox_of(fixture, "Fresh") != NULL);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_LIST], <, lists + 10);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(sentence, function)                                                                   \
	g_test_add("/account-watch/" sentence, Fixture, NULL, setup, function, teardown)
	TEST("what-is-told-of-is-kept-right-by-itself",
	     test_what_is_told_of_is_kept_right_by_itself);
	TEST("what-is-told-of-by-its-name-in-utf8-is-heard",
	     test_what_is_told_of_by_its_name_in_utf8_is_heard);
	TEST("numbers-that-are-known-ask-for-nothing", test_numbers_that_are_known_ask_for_nothing);
	TEST("what-nobody-has-looked-at-is-not-listed",
	     test_what_nobody_has_looked_at_is_not_listed);
	TEST("what-is-told-of-is-not-asked-for-each-dir-time",
	     test_what_is_told_of_is_not_asked_for_each_dir_time);
	TEST("what-was-missed-while-the-line-was-down-comes-by-itself",
	     test_what_was_missed_while_the_line_was_down_comes_by_itself);
	TEST("folders-that-come-are-listed-but-not-without-end",
	     test_folders_that_come_are_listed_but_not_without_end);
	return g_test_run();
}
