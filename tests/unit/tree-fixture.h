/* SPDX-License-Identifier: MIT */
/* A tree on an account on a fake server, and what its tests ask it. Waits as fs.c does. */
#pragma once

#include <string.h>

#include "base/util.h"
#include "fake-backend.h"
#include "fs/tree.h"
#include "quiet-news.h"

typedef struct {
	FakeServer *server;
	char *directory;
	AccountConfig config;
	Account *account;
	Tree *tree;
} Fixture;

static const AccountNews news = {
	.mailbox = QUIET_MAILBOX_NEWS,
	.folders = quiet_folders,
	.folder_gone = quiet_mailbox,
	.log = quiet_log,
};

static inline char *
render_status(gpointer user)
{
	return g_strdup("all is well\n");
}

static inline char *
render_log(gpointer user)
{
	return g_strdup("");
}

static const TreePage pages[] = {{"status", render_status}, {"log", render_log}, {NULL, NULL}};

static inline void
enter(Fixture *fixture, gboolean read_only)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;
	gboolean offline;
	TreeConfig config = {
		.pages = pages,
		.authserv_id = "mx.example.org",
		.uid = 1234,
		.gid = 567,
		.umask = 077,
		.read_only = read_only,
	};

	fixture->account = account_new(&fixture->config, &news, fixture, &error);
	g_assert_no_error(error);
	account_start(fixture->account, NULL, &offline, &reason, &error);
	g_assert_no_error(error);
	config.account = fixture->account;
	fixture->tree = tree_new(&config);
}

static inline void
leave(Fixture *fixture)
{
	account_stop(fixture->account);
	g_clear_pointer(&fixture->tree, tree_free);
	account_free(fixture->account);
}

static inline void
setup(Fixture *fixture, gconstpointer data)
{
	fixture->server = fake_server_new();
	fixture->directory = fake_directory();
	fake_server_mailbox(fixture->server, "INBOX");
	fake_server_mailbox(fixture->server, "INBOX/Projects");
	fake_server_mailbox(fixture->server, "Lists/a");
	fake_server_mailbox_full(fixture->server, "Sent", '/', MAILBOX_SENT, "");
	fake_server_mailbox_full(fixture->server, "Bin/Old", '/', MAILBOX_TRASH, "");
	fixture->config = (AccountConfig){
		.backend_new = fake_backend_new,
		.backend = fake_server_config(fixture->server),
		.identity = "alice at fake",
		.connections = 2,
		.dir_time_us = 3600 * (gint64)G_USEC_PER_SEC,
		.cache_dir = fixture->directory,
	};
	enter(fixture, g_strcmp0(data, "ro") == 0);
}

static inline void
teardown(Fixture *fixture, gconstpointer data)
{
	leave(fixture);
	fake_server_free(fixture->server);
	fake_directory_remove(fixture->directory);
}

/* --- asking, and waiting as fs.c does --- */

static inline void
on_wake(gpointer user)
{
	g_atomic_int_inc((gint *)user);
}

static inline void
wait_for(const TreeAnswer *answer)
{
	gint wakes = 0;

	g_assert_cmpint(answer->result, ==, TREE_LATER);
	if (answer->wait(answer->wait_for, on_wake, &wakes))
		FAKE_WAIT(g_atomic_int_get(&wakes) == 1);
}

static inline TreeAnswer
look_up(Fixture *fixture, guint64 directory, const char *name, struct stat *out)
{
	gboolean alias;
	TreeAnswer answer = tree_lookup(fixture->tree, directory, name, TRUE, out, &alias);

	while (answer.result == TREE_LATER) {
		wait_for(&answer);
		answer = tree_lookup(fixture->tree, directory, name, TRUE, out, &alias);
	}
	return answer;
}

static inline void
assert_error(TreeAnswer answer, MailfsError code)
{
	g_assert_cmpint(answer.result, ==, TREE_ERROR);
	g_assert_error(answer.error, MAILFS_ERROR, (int)code);
	g_clear_error(&answer.error);
}

static inline guint64
ino_of(Fixture *fixture, const char *path)
{
	g_auto(GStrv) names = g_strsplit(path, "/", -1);
	struct stat st = {.st_ino = NODE_ROOT_INO};

	for (guint i = 0; names[i] != NULL; i++) {
		TreeAnswer answer = look_up(fixture, st.st_ino, names[i], &st);

		g_assert_no_error(answer.error);
		g_assert_cmpint(answer.result, ==, TREE_OK);
	}
	return st.st_ino;
}

static inline Mailbox *
mailbox_of(Fixture *fixture, const char *path)
{
	Node node;

	g_assert_true(node_from_ino(ino_of(fixture, path), &node));
	return account_mailbox(fixture->account, node.serial);
}

/* Brings a mailbox up to date, however young its listing is. */
static inline void
refresh(Fixture *fixture, const char *path)
{
	Mailbox *mailbox = mailbox_of(fixture, path);
	MailboxView view;

	mailbox_refresh(mailbox, 0);
	FAKE_WAIT((mailbox_view(mailbox, &view), !view.syncing));
	g_assert_true(view.listed);
}

static inline guint64
message_ino(Fixture *fixture, const char *path, guint32 uid)
{
	MailboxView view;

	refresh(fixture, path);
	mailbox_view(mailbox_of(fixture, path), &view);
	return node_ino_of_message(view.messages, uid);
}

/* One call of readdir: takes @room entries. */
typedef struct {
	guint room;
	guint64 cookie;
	GPtrArray *names;
	GArray *inos; /* of guint64 */
} Page;

static inline gboolean
take_entry(gpointer user, const char *name, const struct stat *st, guint64 cookie)
{
	Page *page = user;
	guint64 ino = st->st_ino;

	if (page->room == 0)
		return FALSE;
	g_assert_cmpuint(cookie, >, page->cookie);
	page->room--;
	page->cookie = cookie;
	g_ptr_array_add(page->names, g_strdup(name));
	g_array_append_val(page->inos, ino);
	return TRUE;
}

static inline void
page_init(Page *page)
{
	*page = (Page){
		.names = g_ptr_array_new_with_free_func(g_free),
		.inos = g_array_new(FALSE, FALSE, sizeof(guint64)),
	};
}

static inline void
page_clear(Page *page)
{
	g_ptr_array_unref(page->names);
	g_array_unref(page->inos);
}

/* The next entries. FALSE: the end. */
static inline gboolean
list_some(Fixture *fixture, guint64 directory, Page *page, guint room)
{
	TreeAnswer answer;

	page->room = room;
	for (;;) {
		answer = tree_list(fixture->tree, directory, page->cookie, TRUE, take_entry, page);
		if (answer.result != TREE_LATER)
			break;
		g_assert_cmpuint(page->room, ==, room);
		wait_for(&answer);
	}
	g_assert_no_error(answer.error);
	return page->room < room;
}

/* All names of a directory, joined by blanks; at most @at_once a call. */
static inline char *
list_all(Fixture *fixture, guint64 directory, guint at_once)
{
	g_autofree char *text = NULL;
	Page page;

	page_init(&page);
	while (list_some(fixture, directory, &page, at_once))
		continue;
	g_ptr_array_add(page.names, NULL);
	text = g_strjoinv(" ", (char **)page.names->pdata);
	page_clear(&page);
	return g_steal_pointer(&text);
}
