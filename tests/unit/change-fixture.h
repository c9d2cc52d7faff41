/* SPDX-License-Identifier: MIT */
/* An account on a fake server, with what changes it; can be left and entered again, also in the way
 * SIGKILL leaves it. */
#pragma once

#include <string.h>

#include "base/util.h"
#include "fake-backend.h"
#include "mail/change.h"
#include "quiet-news.h"

typedef struct {
	FakeServer *server;
	char *cache, *state;
	AccountConfig account_config;
	ChangesConfig config;
	Account *account;
	Changes *changes;

	GMutex lock; /* guards all below */
	GString *log;
} Fixture;

static inline void
on_log(gpointer user, const char *text)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->log, "%s\n", text);
}

/* For tests: there is no Trash. */
static const char without_trash[] = "no trash";

static const AccountNews account_news = {
	.mailbox = QUIET_MAILBOX_NEWS,
	.folders = quiet_folders,
	.folder_gone = quiet_mailbox,
	.log = on_log,
};

static inline void
enter(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;
	gboolean offline;

	fixture->account = account_new(&fixture->account_config, &account_news, fixture, &error);
	g_assert_no_error(error);
	fixture->changes = changes_new(fixture->account, &fixture->config, &error);
	g_assert_no_error(error);
	g_assert_true(account_start(fixture->account, NULL, &offline, &reason, &error));
	g_assert_no_error(error);
}

static inline void
leave(Fixture *fixture)
{
	changes_stop(fixture->changes);
	account_stop(fixture->account);
	changes_free(fixture->changes);
	account_free(fixture->account);
}

/* As a killed process leaves it: the server is gone before anything can be brought to an end. */
static inline void
leave_killed(Fixture *fixture)
{
	changes_stop(fixture->changes);
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	account_stop(fixture->account);
	changes_free(fixture->changes);
	account_free(fixture->account);
	FAKE_SET(fixture->server, login_code, -1);
}

static inline void
set_up(Fixture *fixture, gconstpointer data)
{
	g_mutex_init(&fixture->lock);
	fixture->log = g_string_new(NULL);
	fixture->server = fake_server_new();
	fake_server_mailbox(fixture->server, "INBOX");
	fake_server_mailbox(fixture->server, "Archive");
	if (data != without_trash)
		fake_server_mailbox_full(fixture->server, "Bin", '/', MAILBOX_TRASH, "");
	fixture->cache = fake_directory();
	fixture->state = fake_directory();
	fixture->account_config = (AccountConfig){
		.backend_new = fake_backend_new,
		.backend = fake_server_config(fixture->server),
		.identity = "me@fake",
		.connections = 2,
		.dir_time_us = 600 * (gint64)G_USEC_PER_SEC,
		.cache_dir = fixture->cache,
	};
	fixture->config = (ChangesConfig){
		.limit = 1000, .state_dir = fixture->state, .log = on_log, .user = fixture};
}

static inline void
tear_down(Fixture *fixture, gconstpointer data)
{
	leave(fixture);
	fake_server_free(fixture->server);
	fake_directory_remove(fixture->cache);
	fake_directory_remove(fixture->state);
	g_string_free(fixture->log, TRUE);
	g_mutex_clear(&fixture->lock);
}

/* --- looking --- */

static inline Mailbox *
mailbox_called(Fixture *fixture, const char *name)
{
	Mailbox *mailbox = account_mailbox_named(fixture->account, name);

	g_assert_nonnull(mailbox);
	return mailbox;
}

static inline gboolean
is_syncing(Mailbox *mailbox)
{
	MailboxView view;

	mailbox_view(mailbox, &view);
	return view.syncing;
}

static inline Mailbox *
listed(Fixture *fixture, const char *name)
{
	Mailbox *mailbox = mailbox_called(fixture, name);

	mailbox_refresh(mailbox, 0);
	FAKE_WAIT(!is_syncing(mailbox));
	return mailbox;
}

/* A life in which INBOX, with @n messages, is listed. */
static inline Mailbox *
begin(Fixture *fixture, guint n)
{
	fake_server_fill(fixture->server, "INBOX", n);
	enter(fixture);
	return listed(fixture, "INBOX");
}

static inline gboolean
note_line(gpointer user, const MessageView *message, const char *file_name)
{
	g_string_append_printf(user, "%u:%s ", message->uid, file_name);
	return TRUE;
}

/* "1:name.eml 2:…" as it is now, without asking. (transfer full) */
static inline char *
names_in(Fixture *fixture, const char *name)
{
	GString *text = g_string_new(NULL);

	mailbox_each(mailbox_called(fixture, name), 1, note_line, text);
	return g_string_free(text, FALSE);
}

static inline guint
count_in(Fixture *fixture, const char *name)
{
	MailboxView view;

	mailbox_view(mailbox_called(fixture, name), &view);
	return view.count;
}

static inline guint
count_on_server(Fixture *fixture, const char *name)
{
	return fake_server_count(fixture->server, name);
}

static inline gboolean
note_message(gpointer user, const MessageView *message, const char *file_name)
{
	*(MessageView *)user = *message;
	return FALSE;
}

static inline MessageView
first_in(Fixture *fixture, const char *name)
{
	MessageView view = {0};

	mailbox_each(mailbox_called(fixture, name), 1, note_message, &view);
	g_assert_cmpuint(view.uid, !=, 0);
	return view;
}

/* --- waiting --- */

typedef struct {
	gint times; /* atomic */
	int code;   /* -1: well */
	char *text;
} Outcome;

static inline void
on_outcome(gpointer user, const GError *error)
{
	Outcome *outcome = user;

	g_free(outcome->text);
	outcome->text = error != NULL ? g_strdup(error->message) : NULL;
	outcome->code = error != NULL ? error->code : -1;
	g_atomic_int_inc(&outcome->times);
}

static inline int
code_of(Outcome *outcome)
{
	FAKE_WAIT(g_atomic_int_get(&outcome->times) > 0);
	g_assert_cmpint(outcome->times, ==, 1);
	g_clear_pointer(&outcome->text, g_free);
	return outcome->code;
}

static inline int
move(Fixture *fixture, const char *from, guint32 uid, const char *to, const char *name)
{
	Outcome outcome = {0};

	changes_move(fixture->changes, mailbox_called(fixture, from),
		     first_in(fixture, from).serial, uid, mailbox_called(fixture, to), name,
		     on_outcome, &outcome);
	return code_of(&outcome);
}

static inline int
rm(Fixture *fixture, const char *from, guint32 uid)
{
	Outcome outcome = {0};

	changes_remove(fixture->changes, mailbox_called(fixture, from),
		       first_in(fixture, from).serial, uid, on_outcome, &outcome);
	return code_of(&outcome);
}

static inline int
wait_for_all(Fixture *fixture)
{
	Outcome outcome = {0};

	changes_wait(fixture->changes, NULL, on_outcome, &outcome);
	return code_of(&outcome);
}

/* When all is done, what is shown is what the server has, also after a new listing. */
static inline void
assert_true_to_server(Fixture *fixture, const char *name)
{
	g_autofree char *before = NULL;
	g_autofree char *after = NULL;

	wait_for_all(fixture);
	before = names_in(fixture, name);
	listed(fixture, name);
	after = names_in(fixture, name);
	g_assert_cmpstr(before, ==, after);
	g_assert_cmpuint(count_in(fixture, name), ==, count_on_server(fixture, name));
}

static inline gboolean
log_has(Fixture *fixture, const char *text)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	return strstr(fixture->log->str, text) != NULL;
}
