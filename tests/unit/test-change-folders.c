/* SPDX-License-Identifier: MIT */
/* mkdir, rmdir and mv of mailboxes. */
#include "mail/change.h"

#include "change-fixture.h"

static int
make(Fixture *fixture, const char *parent, const char *name)
{
	Outcome outcome = {0};

	changes_mkdir(fixture->changes, parent != NULL ? mailbox_called(fixture, parent) : NULL,
		      name, on_outcome, &outcome);
	return code_of(&outcome);
}

static int
remove_mailbox(Fixture *fixture, const char *name, guint local)
{
	Outcome outcome = {0};

	changes_rmdir(fixture->changes, mailbox_called(fixture, name), local, on_outcome, &outcome);
	return code_of(&outcome);
}

static int
rename_mailbox(Fixture *fixture, const char *from, const char *parent, const char *name)
{
	Outcome outcome = {0};

	changes_rename_mailbox(fixture->changes, mailbox_called(fixture, from),
			       parent != NULL ? mailbox_called(fixture, parent) : NULL, name,
			       on_outcome, &outcome);
	return code_of(&outcome);
}

static void
test_a_new_mailbox_is_there_at_once_under_its_raw_name(Fixture *fixture, gconstpointer data)
{
	Mailbox *made;

	enter(fixture);
	g_assert_cmpint(make(fixture, "Archive",
			     "B\xc3\xbc"
			     "cher"),
			==, -1);
	made = mailbox_called(fixture, "Archive/B&APw-cher");
	g_assert_cmpstr(mailbox_file_name(made), ==,
			"B\xc3\xbc"
			"cher");
	g_assert_true(account_child(fixture->account,
				    mailbox_directory(mailbox_called(fixture, "Archive")),
				    "B\xc3\xbc"
				    "cher") == made);
	g_assert_true((mailbox_attributes(made) & MAILBOX_SUBSCRIBED) != 0);
	g_assert_cmpint(make(fixture, NULL, "100%25"), ==, -1);
	mailbox_called(fixture, "100%");
	g_assert_cmpint(make(fixture, NULL, "Archive"), ==, MAILFS_ERROR_EXISTS);
	g_assert_cmpint(make(fixture, NULL, "inbox"), ==, MAILFS_ERROR_EXISTS);
	g_assert_cmpint(make(fixture, NULL, "a%2Fb"), ==, MAILFS_ERROR_INVALID);
	g_assert_cmpint(make(fixture, NULL, "100%"), ==, MAILFS_ERROR_INVALID);
}

static void
test_litter_is_refused_without_a_word_to_the_server(Fixture *fixture, gconstpointer data)
{
	static const char *const names[] = {".Trash-1000", ".DS_Store",	 "._x",
					    ".directory",  "Thumbs.db",	 "desktop.ini",
					    ".git",	   "lost+found", ".hidden"};

	enter(fixture);
	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		g_assert_cmpint(make(fixture, NULL, names[i]), ==, MAILFS_ERROR_FORBIDDEN);
	g_assert_cmpint(rename_mailbox(fixture, "Archive", NULL, ".x"), ==, MAILFS_ERROR_FORBIDDEN);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_CREATE], ==, 0);
}

static void
test_names_lie_in_the_personal_namespace(Fixture *fixture, gconstpointer data)
{
	fake_server_remove_mailbox(fixture->server, "Archive");
	fake_server_remove_mailbox(fixture->server, "INBOX");
	fake_server_mailbox_full(fixture->server, "INBOX", '.', 0, "");
	fake_server_mailbox_full(fixture->server, "INBOX.Sent", '.', MAILBOX_PERSONAL, "INBOX.");
	enter(fixture);
	g_assert_cmpint(make(fixture, NULL, "New"), ==, -1);
	mailbox_called(fixture, "INBOX.New");
	g_assert_cmpint(make(fixture, NULL, "v1.0"), ==, MAILFS_ERROR_INVALID);
	g_assert_cmpint(make(fixture, "INBOX", "Sub"), ==, MAILFS_ERROR_UNSUPPORTED);
}

static void
test_only_what_is_empty_and_common_is_removed(Fixture *fixture, gconstpointer data)
{
	fake_server_mailbox(fixture->server, "Archive/2026");
	fake_server_fill(fixture->server, "Archive/2026", 1);
	enter(fixture);
	g_assert_cmpint(remove_mailbox(fixture, "INBOX", 0), ==, MAILFS_ERROR_FORBIDDEN);
	g_assert_cmpint(remove_mailbox(fixture, "Bin", 0), ==, MAILFS_ERROR_FORBIDDEN);
	g_assert_cmpint(remove_mailbox(fixture, "Archive", 0), ==, MAILFS_ERROR_NOT_EMPTY);
	/* Never listed here: the server says that there is something in it. */
	g_assert_cmpint(remove_mailbox(fixture, "Archive/2026", 0), ==, MAILFS_ERROR_NOT_EMPTY);
	fake_server_expunge(fixture->server, "Archive/2026", 1, 1);
	g_assert_cmpint(remove_mailbox(fixture, "Archive/2026", 1), ==, MAILFS_ERROR_NOT_EMPTY);
	g_assert_cmpint(remove_mailbox(fixture, "Archive/2026", 0), ==, -1);
	g_assert_null(account_mailbox_named(fixture->account, "Archive/2026"));
	g_assert_cmpint(remove_mailbox(fixture, "Archive", 0), ==, -1);
}

static void
test_a_mailbox_that_is_being_emptied_is_removed_after_that(Fixture *fixture, gconstpointer data)
{
	Outcome outcome = {0};

	fake_server_fill(fixture->server, "Archive", 30);
	enter(fixture);
	listed(fixture, "Archive");
	FAKE_SET(fixture->server, delay_us, 2000);
	for (guint uid = 1; uid <= 30; uid++)
		g_assert_cmpint(rm(fixture, "Archive", uid), ==, -1);
	g_assert_cmpuint(count_in(fixture, "Archive"), ==, 0);
	changes_rmdir(fixture->changes, mailbox_called(fixture, "Archive"), 0, on_outcome,
		      &outcome);
	g_assert_cmpint(code_of(&outcome), ==, -1);
	FAKE_SET(fixture->server, delay_us, 0);
	g_assert_null(account_mailbox_named(fixture->account, "Archive"));
	g_assert_cmpuint(count_on_server(fixture, "Bin"), ==, 30);
}

static void
test_a_renamed_mailbox_keeps_its_cache_and_those_below_it(Fixture *fixture, gconstpointer data)
{
	Mailbox *mailbox, *below;
	MailboxView view;
	FakeCounts counts;
	guint32 serial;
	g_autofree char *path = NULL;

	fake_server_mailbox(fixture->server, "Archive/2026");
	fake_server_fill(fixture->server, "Archive/2026", 5);
	enter(fixture);
	mailbox = mailbox_called(fixture, "Archive");
	below = listed(fixture, "Archive/2026");
	serial = first_in(fixture, "Archive/2026").serial;
	counts = fake_server_counts(fixture->server);
	g_assert_cmpint(rename_mailbox(fixture, "Archive", "INBOX", "Old"), ==, -1);
	g_assert_true(mailbox_called(fixture, "INBOX/Old") == mailbox);
	g_assert_true(listed(fixture, "INBOX/Old/2026") == below);
	path = account_path(fixture->account, below);
	g_assert_cmpstr(path, ==, "INBOX/Old/2026");
	mailbox_view(below, &view);
	g_assert_cmpuint(view.messages, ==, serial);
	g_assert_cmpuint(view.count, ==, 5);
	g_assert_cmpuint(fake_server_counts(fixture->server).messages, ==, counts.messages);
	leave(fixture);
	enter(fixture);
	g_assert_null(account_mailbox_named(fixture->account, "Archive"));
	listed(fixture, "INBOX/Old/2026");
	g_assert_cmpuint(fake_server_counts(fixture->server).messages, ==, counts.messages);
	g_assert_cmpint(rename_mailbox(fixture, "INBOX", NULL, "X"), ==, MAILFS_ERROR_FORBIDDEN);
	g_assert_cmpint(rename_mailbox(fixture, "INBOX/Old", "INBOX/Old/2026", "X"), ==,
			MAILFS_ERROR_INVALID);
}

static void
test_a_listing_asked_before_a_rename_does_not_undo_it(Fixture *fixture, gconstpointer data)
{
	Mailbox *mailbox;

	fixture->account_config.dir_time_us = 0;
	enter(fixture);
	mailbox = mailbox_called(fixture, "Archive");
	FAKE_SET(fixture->server, delay_us, 20000);
	account_refresh_folders(fixture->account);
	g_assert_cmpint(rename_mailbox(fixture, "Archive", NULL, "Old"), ==, -1);
	FAKE_SET(fixture->server, delay_us, 0);
	account_refresh_folders(fixture->account);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_LIST] >= 3);
	g_assert_true(mailbox_called(fixture, "Old") == mailbox);
	g_assert_null(account_mailbox_named(fixture->account, "Archive"));
}

/* Its only message was given a name. */
static Mailbox *
enter_with_a_given_name(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	Mailbox *mailbox;

	fake_server_fill(fixture->server, "Archive", 1);
	enter(fixture);
	mailbox = listed(fixture, "Archive");
	mailbox_set_name(mailbox, first_in(fixture, "Archive").serial, 1, "given.eml", &error);
	g_assert_no_error(error);
	return mailbox;
}

/* And is called so, now and in the next mount. */
static void
assert_given_name(Fixture *fixture, const char *name)
{
	for (guint i = 0; i < 2; i++) {
		g_autofree char *names = NULL;

		listed(fixture, name);
		names = names_in(fixture, name);
		g_assert_cmpstr(names, ==, "1:given.eml ");
		leave(fixture);
		enter(fixture);
	}
}

/* The server renames at once, and says so later. */
static void
begin_rename(Fixture *fixture, Outcome *outcome)
{
	FAKE_SET(fixture->server, hold_folders, TRUE);
	changes_rename_mailbox(fixture->changes, mailbox_called(fixture, "Archive"), NULL, "Old",
			       on_outcome, outcome);
	FAKE_WAIT(fake_server_has(fixture->server, "Old"));
}

static void
end_rename(Fixture *fixture, Outcome *outcome)
{
	FAKE_SET(fixture->server, hold_folders, FALSE);
	g_assert_cmpint(code_of(outcome), ==, -1);
}

static void
test_a_listing_answered_during_a_rename_does_not_undo_it(Fixture *fixture, gconstpointer data)
{
	Outcome outcome = {0};
	Mailbox *mailbox;

	fixture->account_config.dir_time_us = 0;
	mailbox = enter_with_a_given_name(fixture);
	begin_rename(fixture, &outcome);
	account_refresh_folders(fixture->account);
	/* The other line does this after a LIST. */
	listed(fixture, "INBOX");
	end_rename(fixture, &outcome);
	g_assert_true(mailbox_called(fixture, "Old") == mailbox);
	assert_given_name(fixture, "Old");
}

static void
test_a_listing_put_off_by_a_change_comes_after_it(Fixture *fixture, gconstpointer data)
{
	Outcome outcome = {0};

	fixture->account_config.dir_time_us = 0;
	enter_with_a_given_name(fixture);
	begin_rename(fixture, &outcome);
	fake_server_mailbox(fixture->server, "New");
	account_refresh_folders(fixture->account);
	end_rename(fixture, &outcome);
	FAKE_WAIT(account_mailbox_named(fixture->account, "New") != NULL);
}

static void
test_a_sync_asked_under_a_former_name_is_asked_again(Fixture *fixture, gconstpointer data)
{
	Outcome outcome = {0};
	Mailbox *mailbox;

	fixture->account_config.connections = 1;
	mailbox = enter_with_a_given_name(fixture);
	begin_rename(fixture, &outcome);
	mailbox_refresh(mailbox, 0);
	fake_server_mailbox(fixture->server, "Archive");
	fake_server_fill(fixture->server, "Archive", 3);
	end_rename(fixture, &outcome);
	FAKE_WAIT(!is_syncing(mailbox));
	assert_given_name(fixture, "Old");
}

static void
test_what_is_gone_does_not_pass_for_what_is_made_anew(Fixture *fixture, gconstpointer data)
{
	Mailbox *gone, *anew;
	guint32 directory;

	enter(fixture);
	gone = listed(fixture, "Archive");
	g_assert_cmpint(remove_mailbox(fixture, "Archive", 0), ==, -1);
	g_assert_cmpint(make(fixture, NULL, "Archive"), ==, -1);
	anew = listed(fixture, "Archive");
	directory = mailbox_directory(anew);
	/* Somebody has it open, and touches it. */
	mailbox_set_changed(gone, 4711);
	mailbox_refresh(gone, 0);
	FAKE_WAIT(!is_syncing(gone));
	leave(fixture);
	enter(fixture);
	g_assert_cmpuint(mailbox_directory(mailbox_called(fixture, "Archive")), ==, directory);
}

#define ADD(path, func) g_test_add("/change-folders/" path, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("a-new-mailbox-is-there-at-once-under-its-raw-name",
	    test_a_new_mailbox_is_there_at_once_under_its_raw_name);
	ADD("litter-is-refused-without-a-word-to-the-server",
	    test_litter_is_refused_without_a_word_to_the_server);
	ADD("names-lie-in-the-personal-namespace", test_names_lie_in_the_personal_namespace);
	ADD("only-what-is-empty-and-common-is-removed",
	    test_only_what_is_empty_and_common_is_removed);
	ADD("a-mailbox-that-is-being-emptied-is-removed-after-that",
	    test_a_mailbox_that_is_being_emptied_is_removed_after_that);
	ADD("a-renamed-mailbox-keeps-its-cache-and-those-below-it",
	    test_a_renamed_mailbox_keeps_its_cache_and_those_below_it);
	ADD("a-listing-asked-before-a-rename-does-not-undo-it",
	    test_a_listing_asked_before_a_rename_does_not_undo_it);
	ADD("a-listing-answered-during-a-rename-does-not-undo-it",
	    test_a_listing_answered_during_a_rename_does_not_undo_it);
	ADD("a-listing-put-off-by-a-change-comes-after-it",
	    test_a_listing_put_off_by_a_change_comes_after_it);
	ADD("a-sync-asked-under-a-former-name-is-asked-again",
	    test_a_sync_asked_under_a_former_name_is_asked_again);
	ADD("what-is-gone-does-not-pass-for-what-is-made-anew",
	    test_what_is_gone_does_not_pass_for_what_is_made_anew);
	return g_test_run();
}
