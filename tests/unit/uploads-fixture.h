/* SPDX-License-Identifier: MIT */
/* An account on a fake server, with a spool; lives that end and begin again. */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fake-backend.h"
#include "mail/uploads.h"
#include "quiet-news.h"

typedef struct Fixture Fixture;

/* What a test adds to each life. */
typedef struct {
	void (*made)(Fixture *fixture);	 /* there is an account */
	void (*begun)(Fixture *fixture); /* and uploads */
	void (*ends)(Fixture *fixture);	 /* both end after this */
	void (*ended)(Fixture *fixture); /* they are stopped, not freed */
} Life;

struct Fixture {
	const Life *life; /* NULL: nothing */
	FakeServer *server;
	char *cache, *state;
	Account *account;
	Spool *spool;
	Uploads *uploads;
	Mailbox *inbox, *archive;

	GMutex lock; /* guards all below */
	GString *log, *gone;
};

static inline void
on_folders(gpointer user)
{
	Fixture *fixture = user;

	if (fixture->uploads != NULL)
		uploads_look(fixture->uploads);
}

static inline void
on_log(gpointer user, const char *text)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->log, "%s\n", text);
}

static inline void
on_upload_changed(gpointer user, Mailbox *mailbox, guint32 id)
{
}

static inline void
on_upload_gone(gpointer user, Mailbox *mailbox, guint32 id, const char *name)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->gone, "%s ", name);
}

static const AccountNews account_news = {
	.mailbox = QUIET_MAILBOX_NEWS,
	.folders = on_folders,
	.folder_gone = quiet_mailbox,
	.log = on_log,
};

static const UploadsNews uploads_news = {
	.changed = on_upload_changed, .gone = on_upload_gone, .log = on_log};

static inline void
settle(Fixture *fixture, Mailbox *mailbox)
{
	MailboxView view;

	mailbox_refresh(mailbox, 0);
	do {
		g_usleep(1000);
		mailbox_view(mailbox, &view);
	} while (view.syncing);
}

static inline void
enter(Fixture *fixture)
{
	AccountConfig config = {
		.backend_new = fake_backend_new,
		.backend = fake_server_config(fixture->server),
		.identity = "alice at fake",
		.connections = 1,
		.dir_time_us = G_TIME_SPAN_HOUR,
		.cache_dir = fixture->cache,
	};
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;
	gboolean offline;

	fixture->account = account_new(&config, &account_news, fixture, &error);
	g_assert_no_error(error);
	if (fixture->life != NULL)
		fixture->life->made(fixture);
	fixture->spool = spool_open(fixture->state, &error);
	g_assert_no_error(error);
	/* The queue comes first: what it holds is there before anybody can ask. */
	fixture->uploads = uploads_new(fixture->account, fixture->spool, FALSE, &uploads_news,
				       fixture, &error);
	g_assert_no_error(error);
	g_assert_true(account_start(fixture->account, NULL, &offline, &reason, &error));
	if (fixture->life != NULL)
		fixture->life->begun(fixture);
	fixture->inbox = account_child(fixture->account, ACCOUNT_ROOT_DIRECTORY, "INBOX");
	fixture->archive = account_child(fixture->account, ACCOUNT_ROOT_DIRECTORY, "Archive");
	g_assert_nonnull(fixture->inbox);
}

static inline void
leave(Fixture *fixture)
{
	if (fixture->life != NULL)
		fixture->life->ends(fixture);
	uploads_stop(fixture->uploads);
	account_stop(fixture->account);
	if (fixture->life != NULL)
		fixture->life->ended(fixture);
	g_clear_pointer(&fixture->uploads, uploads_free);
	g_clear_pointer(&fixture->account, account_free);
	g_clear_pointer(&fixture->spool, spool_close);
}

static inline void
setup(Fixture *fixture, gconstpointer data)
{
	g_mutex_init(&fixture->lock);
	fixture->log = g_string_new(NULL);
	fixture->gone = g_string_new(NULL);
	fixture->server = fake_server_new();
	fake_server_mailbox(fixture->server, "INBOX");
	fake_server_mailbox(fixture->server, "Archive");
	fixture->cache = fake_directory();
	fixture->state = fake_directory();
	enter(fixture);
}

static inline void
teardown(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, stall, FALSE);
	leave(fixture);
	fake_server_free(fixture->server);
	fake_directory_remove(fixture->cache);
	fake_directory_remove(fixture->state);
	g_string_free(fixture->log, TRUE);
	g_string_free(fixture->gone, TRUE);
	g_mutex_clear(&fixture->lock);
}

/* What a power failure at this moment would leave of the spool; the cache is lost. */
static inline char *
image_of(Fixture *fixture)
{
	return fake_directory_copy(fixture->state);
}

/* A life begins with that image. Takes it. */
static inline void
begin_from(Fixture *fixture, char *image)
{
	fake_directory_remove(fixture->state);
	fake_directory_remove(fixture->cache);
	fixture->state = image;
	fixture->cache = fake_directory();
	enter(fixture);
}

/* This life ends; the next one begins with that image. Takes it. */
static inline void
resume_from(Fixture *fixture, char *image)
{
	leave(fixture);
	begin_from(fixture, image);
}

/* --- writing --- */

#define MESSAGE	  "Message-ID: <1@test>\r\nSubject: one\r\nFrom: a@example.org\r\n\r\nThe text.\r\n"
#define ANONYMOUS "Subject: without an id\r\n\r\nThe text.\r\n"

/* As cp does it. */
static inline gboolean
write_file(Upload *upload, const char *text, GError **error)
{
	return upload_write(upload, text, strlen(text), 0, error) && upload_complete(upload, error);
}

/* A file that is whole; a reference. */
static inline Upload *
put(Fixture *fixture, Mailbox *mailbox, const char *name, const char *text)
{
	g_autoptr(GError) error = NULL;
	Upload *upload = uploads_create(fixture->uploads, mailbox, name, 0640, &error);

	g_assert_no_error(error);
	write_file(upload, text, &error);
	g_assert_no_error(error);
	upload_set_time(upload, 1700000000);
	upload_close(upload);
	return upload;
}

static inline SpoolState
state_of(Upload *upload)
{
	UploadView view;

	upload_view(upload, &view);
	return view.state;
}

static inline gboolean
is_over(Upload *upload)
{
	UploadView view;

	upload_view(upload, &view);
	return view.over;
}

static inline guint
on_server(Fixture *fixture, const char *mailbox)
{
	return fake_server_count(fixture->server, mailbox);
}

static inline void
assert_body(Fixture *fixture, const char *mailbox, guint32 uid, const char *expected)
{
	g_autoptr(GBytes) body = fake_server_body(fixture->server, mailbox, uid);

	g_assert_cmpmem(g_bytes_get_data(body, NULL), g_bytes_get_size(body), expected,
			strlen(expected));
}

static inline gboolean
is_listed(Mailbox *mailbox, const char *name)
{
	MessageView message;

	return mailbox_find(mailbox, name, &message);
}

static inline void
on_idle(gpointer user, const GError *error)
{
	g_assert_no_error(error);
	g_atomic_int_inc((gint *)user);
}

static inline void
wait_idle(Fixture *fixture)
{
	gint times = 0;

	uploads_retry(fixture->uploads);
	uploads_wait(fixture->uploads, NULL, on_idle, &times);
	FAKE_WAIT(g_atomic_int_get(&times) > 0);
}
