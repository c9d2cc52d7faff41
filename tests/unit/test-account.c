/* SPDX-License-Identifier: MIT */
#include "mail/account.h"

#include <string.h>

#include "base/util.h"
#include "fake-backend.h"
#include "quiet-news.h"

typedef struct {
	FakeServer *server;
	char *directory;
	AccountConfig config;
	Account *account;

	GMutex lock; /* guards all below */
	GString *log, *gone;
	guint folders, listings;
} Fixture;

static void
on_listing(gpointer user, Mailbox *mailbox)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	fixture->listings++;
}

static void
on_renumbered(gpointer user, Mailbox *mailbox, guint32 old_serial, guint32 new_serial)
{
	Fixture *fixture = user;

	/* Upstairs may look at once. */
	g_assert_true(account_mailbox_of(fixture->account, new_serial) == mailbox);
	g_assert_null(old_serial != 0 ? account_mailbox_of(fixture->account, old_serial) : NULL);
}

static void
on_folders(gpointer user)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	fixture->folders++;
}

static void
on_folder_gone(gpointer user, Mailbox *mailbox)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->gone, "%s ", mailbox_file_name(mailbox));
}

static void
on_log(gpointer user, const char *text)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->log, "%s\n", text);
}

static const AccountNews news = {
	.mailbox = {.listing = on_listing,
		    .gone = quiet_gone,
		    .changed = quiet_changed,
		    .wanted = quiet_wanted,
		    .renumbered = on_renumbered},
	.folders = on_folders,
	.folder_gone = on_folder_gone,
	.log = on_log,
};

static void
make(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;

	fixture->account = account_new(&fixture->config, &news, fixture, &error);
	g_assert_no_error(error);
}

/* Expects an account that can be used. Returns whether it is offline. */
static gboolean
start(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;
	gboolean offline;

	if (fixture->account == NULL)
		make(fixture);
	g_assert_true(account_start(fixture->account, NULL, &offline, &reason, &error));
	g_assert_no_error(error);
	g_assert_cmpint(reason != NULL, ==, offline);
	return offline;
}

static void
stop(Fixture *fixture)
{
	if (fixture->account == NULL)
		return;
	account_stop(fixture->account);
	g_clear_pointer(&fixture->account, account_free);
}

static void
restart(Fixture *fixture)
{
	stop(fixture);
	start(fixture);
}

static void
setup(Fixture *fixture, gconstpointer data)
{
	g_mutex_init(&fixture->lock);
	fixture->log = g_string_new(NULL);
	fixture->gone = g_string_new(NULL);
	fixture->server = fake_server_new();
	fixture->directory = fake_directory();
	fixture->config = (AccountConfig){
		.backend_new = fake_backend_new,
		.backend = fake_server_config(fixture->server),
		.identity = "alice at fake",
		.connections = 2,
		.dir_time_us = 0,
		.cache_dir = fixture->directory,
	};
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	stop(fixture);
	fake_server_free(fixture->server);
	fake_directory_remove(fixture->directory);
	g_string_free(fixture->log, TRUE);
	g_string_free(fixture->gone, TRUE);
	g_mutex_clear(&fixture->lock);
}

static gboolean
log_has(Fixture *fixture, const char *text)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	return strstr(fixture->log->str, text) != NULL;
}

static void
describe(Account *account, guint32 directory, GString *text)
{
	g_autoptr(GPtrArray) children = account_children(account, directory, 0);
	guint32 before = 0;

	g_assert_cmpuint(account_n_children(account, directory), ==, children->len);
	for (guint i = 0; i < children->len; i++) {
		Mailbox *mailbox = children->pdata[i];
		g_autofree char *path = account_path(account, mailbox);

		g_assert_cmpuint(mailbox_directory(mailbox), >, before);
		before = mailbox_directory(mailbox);
		g_assert_true(account_mailbox(account, before) == mailbox);
		g_assert_true(account_child(account, directory, mailbox_file_name(mailbox)) ==
			      mailbox);
		g_assert_cmpuint(mailbox_parent(mailbox), ==, directory);
		g_string_append_printf(text, "%s%s ", path,
				       mailbox_attributes(mailbox) & MAILBOX_NOSELECT ? "*" : "");
		describe(account, before, text);
	}
}

/* "INBOX INBOX/Sub Lists* Lists/a ", a star for what holds no messages. */
static char *
tree_of(Fixture *fixture)
{
	GString *text = g_string_new(NULL);

	describe(fixture->account, ACCOUNT_ROOT_DIRECTORY, text);
	return g_string_free(text, FALSE);
}

static void
assert_tree(Fixture *fixture, const char *expected)
{
	g_autofree char *tree = tree_of(fixture);

	g_assert_cmpstr(tree, ==, expected);
}

static Mailbox *
by_path(Fixture *fixture, const char *path)
{
	g_auto(GStrv) names = g_strsplit(path, "/", -1);
	Mailbox *mailbox = NULL;

	for (guint i = 0; names[i] != NULL; i++) {
		mailbox = account_child(fixture->account,
					mailbox != NULL ? mailbox_directory(mailbox)
							: ACCOUNT_ROOT_DIRECTORY,
					names[i]);
		if (mailbox == NULL)
			return NULL;
	}
	return mailbox;
}

static void
list_again(Fixture *fixture)
{
	guint before = fake_server_counts(fixture->server).requests[REQUEST_LIST];
	gint64 listed;

	account_refresh_folders(fixture->account);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_LIST] > before);
	/* A second one can only start when the first is over. */
	listed = g_get_monotonic_time();
	while (fake_server_counts(fixture->server).requests[REQUEST_LIST] == before + 1) {
		account_refresh_folders(fixture->account);
		g_usleep(500);
		g_assert_cmpint(g_get_monotonic_time() - listed, <, 5 * G_USEC_PER_SEC);
	}
}

static void
server_has(Fixture *fixture, ...)
{
	va_list names;
	const char *name;

	va_start(names, fixture);
	while ((name = va_arg(names, const char *)) != NULL)
		fake_server_mailbox(fixture->server, name);
	va_end(names);
}

/* --- the tree of folders --- */

static void
test_the_folders_of_the_server_become_a_tree(Fixture *fixture, gconstpointer data)
{
	server_has(fixture, "Sent", "INBOX", "Lists/b/c", "INBOX/Projects", "Lists/a", NULL);
	g_assert_false(start(fixture));
	assert_tree(fixture, "INBOX INBOX/Projects Lists* Lists/a Lists/b* Lists/b/c Sent ");
	g_assert_cmpuint(fixture->folders, ==, 1);
	g_assert_cmpint(account_listed_at(fixture->account), >=,
			g_get_real_time() / G_USEC_PER_SEC - 5);
	{
		g_autoptr(GPtrArray) all = account_mailboxes(fixture->account);

		g_assert_cmpuint(all->len, ==, 7);
	}
	g_assert_null(account_mailbox(fixture->account, 999));
	g_assert_null(account_mailbox_of(fixture->account, 999));
	g_assert_null(account_child(fixture->account, ACCOUNT_ROOT_DIRECTORY, "sent"));
}

static void
test_the_prefix_of_the_personal_namespace_is_not_shown(Fixture *fixture, gconstpointer data)
{
	fake_server_mailbox_full(fixture->server, "INBOX", '.', 0, "");
	fake_server_mailbox_full(fixture->server, "INBOX.Sent", '.', MAILBOX_SENT, "INBOX.");
	fake_server_mailbox_full(fixture->server, "INBOX.Sent.2026", '.', 0, "INBOX.");
	fake_server_mailbox_full(fixture->server, "shared.team", '.', 0, "");
	start(fixture);
	assert_tree(fixture, "INBOX Sent Sent/2026 shared* shared/team ");
	g_assert_cmpstr(mailbox_raw_name(by_path(fixture, "Sent/2026")), ==, "INBOX.Sent.2026");
	g_assert_cmpuint(mailbox_attributes(by_path(fixture, "Sent")), ==, MAILBOX_SENT);
}

/* Never hidden, never two for one name. */
static void
test_a_folder_that_is_called_inbox_too_is_not_lost(Fixture *fixture, gconstpointer data)
{
	fake_server_mailbox_full(fixture->server, "INBOX", '.', 0, "");
	fake_server_mailbox_full(fixture->server, "INBOX.INBOX", '.', 0, "INBOX.");
	fake_server_mailbox_full(fixture->server, "INBOX.inbox.x", '.', 0, "INBOX.");
	start(fixture);
	assert_tree(fixture, "INBOX INBOX~2 inbox* inbox/x ");
	g_assert_cmpstr(mailbox_raw_name(by_path(fixture, "INBOX")), ==, "INBOX");
	g_assert_cmpstr(mailbox_raw_name(by_path(fixture, "INBOX~2")), ==, "INBOX.INBOX");
	restart(fixture);
	assert_tree(fixture, "INBOX INBOX~2 inbox* inbox/x ");
}

/* What was moved below it was there first. */
static void
test_a_mailbox_is_known_again_whatever_was_moved_into_it(Fixture *fixture, gconstpointer data)
{
	Mailbox *top;
	guint32 serial;

	server_has(fixture, "INBOX", "Old", "Top", NULL);
	start(fixture);
	top = by_path(fixture, "Top");
	serial = mailbox_directory(top);
	account_move_mailbox(fixture->account, by_path(fixture, "Old"), "Top/Old", top, "Old");
	fake_server_remove_mailbox(fixture->server, "Old");
	fake_server_mailbox(fixture->server, "Top/Old");
	restart(fixture);
	assert_tree(fixture, "INBOX Top Top/Old ");
	g_assert_cmpuint(mailbox_directory(by_path(fixture, "Top")), ==, serial);
}

static void
test_the_inbox_is_inbox_however_it_is_spelled(Fixture *fixture, gconstpointer data)
{
	server_has(fixture, "Inbox", "inbox/Projects", "INBOX/More", NULL);
	start(fixture);
	assert_tree(fixture, "INBOX INBOX/More INBOX/Projects ");
	g_assert_cmpuint(account_n_children(fixture->account, ACCOUNT_ROOT_DIRECTORY), ==, 1);
}

static void
test_any_separator_is_a_level_and_none_is_none(Fixture *fixture, gconstpointer data)
{
	fake_server_mailbox_full(fixture->server, "a.b/c", '.', 0, "");
	fake_server_mailbox_full(fixture->server, "d\\e", '\\', 0, "");
	fake_server_mailbox_full(fixture->server, "f/g", 0, 0, "");
	fake_server_mailbox_full(fixture->server, "&U,BTFw-/.hidden", '/', 0, "");
	start(fixture);
	assert_tree(fixture, "台北* 台北/%2Ehidden a* a/b%2Fc d* d/e f%2Fg ");
}

static void
test_a_parent_without_messages_may_get_some(Fixture *fixture, gconstpointer data)
{
	guint32 serial;

	fake_server_mailbox_full(fixture->server, "Lists", '/', MAILBOX_NOSELECT, "");
	server_has(fixture, "Lists/a", "Other/b", NULL);
	start(fixture);
	assert_tree(fixture, "Lists* Lists/a Other* Other/b ");
	serial = mailbox_directory(by_path(fixture, "Other"));
	fake_server_remove_mailbox(fixture->server, "Lists");
	server_has(fixture, "Lists", "Other", NULL);
	list_again(fixture);
	assert_tree(fixture, "Lists Lists/a Other Other/b ");
	g_assert_cmpuint(mailbox_directory(by_path(fixture, "Other")), ==, serial);
}

static void
test_two_that_would_have_one_name_are_numbered_and_stay_so(Fixture *fixture, gconstpointer data)
{
	fake_server_mailbox_full(fixture->server, "INBOX", '.', 0, "");
	fake_server_mailbox_full(fixture->server, "Sent", '.', 0, "");
	fake_server_mailbox_full(fixture->server, "INBOX.Sent", '.', 0, "INBOX.");
	fake_server_mailbox_full(fixture->server, "Sent.old", '.', 0, "");
	start(fixture);
	for (guint round = 0; round < 3; round++) {
		assert_tree(fixture, "INBOX Sent Sent~2 Sent~2/old ");
		g_assert_cmpstr(mailbox_raw_name(by_path(fixture, "Sent")), ==, "INBOX.Sent");
		g_assert_cmpstr(mailbox_raw_name(by_path(fixture, "Sent~2/old")), ==, "Sent.old");
		if (round == 0)
			list_again(fixture);
		else
			restart(fixture);
	}
}

static void
test_globs_choose_what_is_shown(Fixture *fixture, gconstpointer data)
{
	static const char *const globs[] = {"INBOX", "Lists/*", "台*", NULL};

	fixture->config.folders = globs;
	server_has(fixture, "INBOX", "INBOX/Sub", "Lists", "Lists/a", "Lists/b/c", "Sent",
		   "&U,BTFw-", NULL);
	start(fixture);
	assert_tree(fixture, "台北 INBOX Lists* Lists/a Lists/b* Lists/b/c ");
	fixture->config.folders = NULL;
	restart(fixture);
	assert_tree(fixture, "台北 INBOX INBOX/Sub Lists Lists/a Lists/b* Lists/b/c Sent ");
}

static void
test_only_subscribed_ones_are_shown_when_so_asked(Fixture *fixture, gconstpointer data)
{
	fixture->config.subscribed = TRUE;
	server_has(fixture, "INBOX", "Sent", "Lists", NULL);
	fake_server_mailbox_full(fixture->server, "Lists/a", '/', MAILBOX_SUBSCRIBED, "");
	fake_server_mailbox_full(fixture->server, "Archive", '/', MAILBOX_SUBSCRIBED, "");
	start(fixture);
	assert_tree(fixture, "Archive INBOX Lists* Lists/a ");
}

/* --- coming and going --- */

static void
test_folders_come_and_go(Fixture *fixture, gconstpointer data)
{
	Mailbox *gone, *back;
	guint64 version;
	guint32 serial;

	server_has(fixture, "INBOX", "Lists/a", "Sent", NULL);
	start(fixture);
	version = account_folders_version(fixture->account);
	gone = by_path(fixture, "Lists/a");
	serial = mailbox_directory(gone);
	list_again(fixture);
	g_assert_cmpuint(account_folders_version(fixture->account), ==, version);
	g_assert_cmpuint(fixture->folders, ==, 1);

	fake_server_remove_mailbox(fixture->server, "Lists/a");
	server_has(fixture, "New", NULL);
	list_again(fixture);
	assert_tree(fixture, "INBOX Sent New ");
	g_assert_cmpuint(account_folders_version(fixture->account), >, version);
	g_assert_cmpuint(fixture->folders, ==, 2);
	g_assert_cmpstr(fixture->gone->str, ==, "Lists a ");
	g_assert_null(account_mailbox(fixture->account, serial));
	/* The kernel may still hold it. */
	g_assert_cmpstr(mailbox_file_name(gone), ==, "a");

	fake_server_mailbox(fixture->server, "Lists/a");
	list_again(fixture);
	assert_tree(fixture, "INBOX Sent New Lists* Lists/a ");
	back = by_path(fixture, "Lists/a");
	g_assert_cmpuint(mailbox_directory(back), !=, serial);
	restart(fixture);
	assert_tree(fixture, "INBOX Sent New Lists* Lists/a ");
}

static void
test_the_bodies_of_a_folder_go_with_it(Fixture *fixture, gconstpointer data)
{
	Mailbox *mailbox;
	MailboxView view;
	guint32 serial;

	server_has(fixture, "INBOX", "Sent", NULL);
	fake_server_fill(fixture->server, "Sent", 2);
	start(fixture);
	mailbox = by_path(fixture, "Sent");
	mailbox_refresh(mailbox, 0);
	FAKE_WAIT((mailbox_view(mailbox, &view), view.listed));
	serial = view.messages;
	scan_ahead(account_scan(fixture->account), &(ScanPlace){"Sent", 1001, serial},
		   (ScanWish[]){{1, 100}, {2, 100}}, 2, FALSE);
	FAKE_WAIT(bodies_has(account_bodies(fixture->account), serial, 2));
	fake_server_remove_mailbox(fixture->server, "Sent");
	list_again(fixture);
	g_assert_false(bodies_has(account_bodies(fixture->account), serial, 1));
	g_assert_false(bodies_has(account_bodies(fixture->account), serial, 2));
}

static void
test_a_list_of_nothing_is_not_believed(Fixture *fixture, gconstpointer data)
{
	server_has(fixture, "INBOX", "Sent", NULL);
	start(fixture);
	fake_server_remove_mailbox(fixture->server, "INBOX");
	fake_server_remove_mailbox(fixture->server, "Sent");
	list_again(fixture);
	assert_tree(fixture, "INBOX Sent ");
}

static void
test_a_list_is_asked_for_once_in_a_while(Fixture *fixture, gconstpointer data)
{
	fixture->config.dir_time_us = 60 * G_USEC_PER_SEC;
	server_has(fixture, "INBOX", NULL);
	start(fixture);
	for (guint i = 0; i < 20; i++)
		account_refresh_folders(fixture->account);
	g_usleep(20000);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_LIST], ==, 1);
	g_assert_cmpint(account_dir_time(fixture->account), ==, 60 * G_USEC_PER_SEC);
}

/* --- with and without a server --- */

static void
test_the_next_mount_knows_the_tree_without_a_server(Fixture *fixture, gconstpointer data)
{
	g_autofree char *before = NULL;
	guint32 serial;

	server_has(fixture, "INBOX", "Lists/b/c", "Lists/a", "&U,BTFw-", NULL);
	fake_server_mailbox_full(fixture->server, "Sent", '/', MAILBOX_SENT, "");
	start(fixture);
	before = tree_of(fixture);
	serial = mailbox_directory(by_path(fixture, "Lists/b/c"));
	stop(fixture);
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	g_assert_true(start(fixture));
	assert_tree(fixture, before);
	g_assert_cmpuint(mailbox_directory(by_path(fixture, "Lists/b/c")), ==, serial);
	g_assert_cmpuint(mailbox_attributes(by_path(fixture, "Sent")), ==, MAILBOX_SENT);
	FAKE_WAIT(log_has(fixture, "offline: "));

	/* The line comes back by itself; then the folders are asked for again. */
	fake_server_mailbox(fixture->server, "New");
	FAKE_SET(fixture->server, login_code, -1);
	FAKE_WAIT((account_refresh_folders(fixture->account), by_path(fixture, "New") != NULL));
	FAKE_WAIT(log_has(fixture, "connected"));
}

static void
test_without_a_server_and_without_an_index_there_is_nothing(Fixture *fixture, gconstpointer data)
{
	static const int codes[] = {MAILFS_ERROR_OFFLINE,      MAILFS_ERROR_TIMEOUT,
				    MAILFS_ERROR_HOST_UNKNOWN, MAILFS_ERROR_LIMIT,
				    MAILFS_ERROR_TLS,	       MAILFS_ERROR_PROTOCOL};

	for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *reason = NULL;
		gboolean offline;

		FAKE_SET(fixture->server, login_code, codes[i]);
		make(fixture);
		g_assert_false(account_start(fixture->account, NULL, &offline, &reason, &error));
		g_assert_error(error, MAILFS_ERROR, codes[i]);
		stop(fixture);
	}
}

static void
test_a_refused_login_is_never_an_offline_mount(Fixture *fixture, gconstpointer data)
{
	static const int codes[] = {MAILFS_ERROR_LOGIN, MAILFS_ERROR_TLS, MAILFS_ERROR_CONFIG};

	server_has(fixture, "INBOX", NULL);
	start(fixture);
	stop(fixture);
	for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *reason = NULL;
		gboolean offline;

		FAKE_SET(fixture->server, login_code, codes[i]);
		make(fixture);
		g_assert_false(account_start(fixture->account, NULL, &offline, &reason, &error));
		g_assert_error(error, MAILFS_ERROR, codes[i]);
		stop(fixture);
	}
}

static void
test_a_start_can_be_cancelled(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;
	gboolean offline;

	server_has(fixture, "INBOX", NULL);
	FAKE_SET(fixture->server, mute, TRUE); /* the login succeeds, the LIST does not come */
	g_cancellable_cancel(cancel);
	make(fixture);
	g_assert_false(account_start(fixture->account, cancel, &offline, &reason, &error));
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_the_cache_of_another_account_is_not_used(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;
	gboolean offline;

	server_has(fixture, "INBOX", "Secret", NULL);
	start(fixture);
	stop(fixture);
	fixture->config.identity = "mallory at fake";
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	make(fixture);
	assert_tree(fixture, "");
	g_assert_true(log_has(fixture, "another account"));
	g_assert_false(account_start(fixture->account, NULL, &offline, &reason, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
}

/* --- news --- */

static MailboxView
view_of(Mailbox *mailbox)
{
	MailboxView view;

	mailbox_view(mailbox, &view);
	return view;
}

static void
test_new_mail_shows_by_itself(Fixture *fixture, gconstpointer data)
{
	Mailbox *inbox;

	server_has(fixture, "INBOX", NULL);
	fake_server_fill(fixture->server, "INBOX", 3);
	start(fixture);
	inbox = by_path(fixture, "INBOX");
	mailbox_refresh(inbox, 0);
	FAKE_WAIT(view_of(inbox).listed);
	g_assert_cmpuint(view_of(inbox).count, ==, 3);
	fake_server_fill(fixture->server, "INBOX", 1);
	fake_server_notify(fixture->server, "INBOX");
	FAKE_WAIT(view_of(inbox).count == 4);
}

static void
test_a_renumbered_mailbox_is_found_by_its_new_serial_alone(Fixture *fixture, gconstpointer data)
{
	Mailbox *mailbox;
	guint32 before, after;

	server_has(fixture, "INBOX", "Lists/a", NULL);
	fake_server_fill(fixture->server, "Lists/a", 3);
	start(fixture);
	mailbox = by_path(fixture, "Lists/a");
	mailbox_refresh(mailbox, 0);
	FAKE_WAIT(view_of(mailbox).listed);
	before = view_of(mailbox).messages;
	g_assert_true(account_mailbox_of(fixture->account, before) == mailbox);
	fake_server_renumber(fixture->server, "Lists/a");
	mailbox_refresh(mailbox, 0);
	FAKE_WAIT(view_of(mailbox).listed && view_of(mailbox).messages != before);
	after = view_of(mailbox).messages;
	g_assert_null(account_mailbox_of(fixture->account, before));
	g_assert_true(account_mailbox_of(fixture->account, after) == mailbox);
	g_assert_true(log_has(fixture, "Lists/a: UIDVALIDITY changed"));
	restart(fixture);
	g_assert_true(account_mailbox_of(fixture->account, after) == by_path(fixture, "Lists/a"));
}

static void
test_an_alert_of_the_server_is_logged_printably(Fixture *fixture, gconstpointer data)
{
	server_has(fixture, "INBOX", NULL);
	start(fixture);
	fake_server_alert(fixture->server, "down at \x1b[31mnoon");
	FAKE_WAIT(log_has(fixture, "the server says: down at "));
	g_assert_false(log_has(fixture, "\x1b"));
}

static void
test_the_quota_is_known_from_memory(Fixture *fixture, gconstpointer data)
{
	AccountQuota quota;

	server_has(fixture, "INBOX", NULL);
	FAKE_SET(fixture->server, quota_used, 300);
	FAKE_SET(fixture->server, quota_limit, 1000);
	start(fixture);
	FAKE_WAIT(account_quota(fixture->account).known);
	quota = account_quota(fixture->account);
	g_assert_cmpuint(quota.used, ==, 300);
	g_assert_cmpuint(quota.limit, ==, 1000);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_QUOTA], ==, 1);
}

static void
test_bodies_fetched_are_remembered_by_the_mailbox(Fixture *fixture, gconstpointer data)
{
	Mailbox *inbox;
	MessageView message;
	guint32 serial;

	server_has(fixture, "INBOX", NULL);
	fake_server_fill(fixture->server, "INBOX", 2);
	fake_server_claim_size(fixture->server, "INBOX", 2, 77777);
	start(fixture);
	inbox = by_path(fixture, "INBOX");
	mailbox_refresh(inbox, 0);
	FAKE_WAIT(view_of(inbox).listed);
	serial = view_of(inbox).messages;
	scan_ahead(account_scan(fixture->account), &(ScanPlace){"INBOX", 1000, serial},
		   (ScanWish[]){{2, 100}}, 1, FALSE);
	FAKE_WAIT(mailbox_get(inbox, serial, 2, &message) && message.resized);
	g_assert_cmpuint(message.size, <, 1000);
}

static void
test_a_directory_of_ours_stays_and_hides_what_the_server_has(Fixture *fixture, gconstpointer data)
{
	Mailbox *outbox;
	MailboxView view;
	guint32 serial;

	server_has(fixture, "INBOX", "Outbox", "Outbox/old", NULL);
	start(fixture);
	assert_tree(fixture, "INBOX Outbox Outbox/old ");
	stop(fixture);
	/* Two lives: the second one has its number from the index. */
	for (guint i = 0; i < 2; i++) {
		make(fixture);
		outbox = account_add_local(fixture->account, NULL, "\001outbox", "Outbox");
		g_assert_nonnull(
			account_add_local(fixture->account, outbox, "\001outbox/failed", "failed"));
		if (i > 0)
			g_assert_cmpuint(mailbox_directory(outbox), ==, serial);
		serial = mailbox_directory(outbox);
		start(fixture);
		assert_tree(fixture, "INBOX Outbox Outbox/failed ");
		g_assert_true(log_has(fixture, "Outbox: the server has a mailbox of this name"));
		g_assert_true(account_mailbox_named(fixture->account, "\001outbox") == outbox);
		mailbox_refresh(outbox, 0);
		mailbox_view(outbox, &view);
		g_assert_true(view.listed && !view.syncing && view.count == 0);
		list_again(fixture);
		assert_tree(fixture, "INBOX Outbox Outbox/failed ");
		if (i == 0)
			stop(fixture);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(sentence, function)                                                                   \
	g_test_add("/account/" sentence, Fixture, NULL, setup, function, teardown)
	TEST("the-folders-of-the-server-become-a-tree",
	     test_the_folders_of_the_server_become_a_tree);
	TEST("the-prefix-of-the-personal-namespace-is-not-shown",
	     test_the_prefix_of_the_personal_namespace_is_not_shown);
	TEST("a-folder-that-is-called-inbox-too-is-not-lost",
	     test_a_folder_that_is_called_inbox_too_is_not_lost);
	TEST("a-mailbox-is-known-again-whatever-was-moved-into-it",
	     test_a_mailbox_is_known_again_whatever_was_moved_into_it);
	TEST("the-inbox-is-inbox-however-it-is-spelled",
	     test_the_inbox_is_inbox_however_it_is_spelled);
	TEST("any-separator-is-a-level-and-none-is-none",
	     test_any_separator_is_a_level_and_none_is_none);
	TEST("a-parent-without-messages-may-get-some", test_a_parent_without_messages_may_get_some);
	TEST("two-that-would-have-one-name-are-numbered-and-stay-so",
	     test_two_that_would_have_one_name_are_numbered_and_stay_so);
	TEST("globs-choose-what-is-shown", test_globs_choose_what_is_shown);
	TEST("only-subscribed-ones-are-shown-when-so-asked",
	     test_only_subscribed_ones_are_shown_when_so_asked);
	TEST("folders-come-and-go", test_folders_come_and_go);
	TEST("the-bodies-of-a-folder-go-with-it", test_the_bodies_of_a_folder_go_with_it);
	TEST("a-list-of-nothing-is-not-believed", test_a_list_of_nothing_is_not_believed);
	TEST("a-list-is-asked-for-once-in-a-while", test_a_list_is_asked_for_once_in_a_while);
	TEST("the-next-mount-knows-the-tree-without-a-server",
	     test_the_next_mount_knows_the_tree_without_a_server);
	TEST("without-a-server-and-without-an-index-there-is-nothing",
	     test_without_a_server_and_without_an_index_there_is_nothing);
	TEST("a-refused-login-is-never-an-offline-mount",
	     test_a_refused_login_is_never_an_offline_mount);
	TEST("a-start-can-be-cancelled", test_a_start_can_be_cancelled);
	TEST("the-cache-of-another-account-is-not-used",
	     test_the_cache_of_another_account_is_not_used);
	TEST("new-mail-shows-by-itself", test_new_mail_shows_by_itself);
	TEST("a-renumbered-mailbox-is-found-by-its-new-serial-alone",
	     test_a_renumbered_mailbox_is_found_by_its_new_serial_alone);
	TEST("an-alert-of-the-server-is-logged-printably",
	     test_an_alert_of_the_server_is_logged_printably);
	TEST("the-quota-is-known-from-memory", test_the_quota_is_known_from_memory);
	TEST("bodies-fetched-are-remembered-by-the-mailbox",
	     test_bodies_fetched_are_remembered_by_the_mailbox);
	TEST("a-directory-of-ours-stays-and-hides-what-the-server-has",
	     test_a_directory_of_ours_stays_and_hides_what_the_server_has);
	return g_test_run();
}
