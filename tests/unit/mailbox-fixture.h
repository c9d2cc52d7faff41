/* SPDX-License-Identifier: MIT */
/* One mailbox on a fake server, in a house that can be left and entered again as mounts do. */
#pragma once

#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fake-backend.h"
#include "mail/mailbox.h"
#include "quiet-news.h"

typedef struct {
	FakeServer *server;
	char *directory;
	gboolean names_uid;

	Index *index;
	Bodies *bodies;
	Pool *pool;
	Scan *scan;
	MailboxHouse house;
	Mailbox *mailbox;

	GMutex lock; /* guards all below */
	GString *gone, *changed, *renumbered, *wanted;
	guint listings;
	guint32 to_mark; /* marked by us as soon as news of it come */
} Fixture;

static inline void
on_listing(gpointer user, Mailbox *mailbox)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	fixture->listings++;
}

static inline void
on_gone(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid, const char *name)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->gone, "%u:%u:%s ", serial, uid, name);
}

static inline void
on_changed(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid)
{
	Fixture *fixture = user;
	gboolean mark;

	g_mutex_lock(&fixture->lock);
	g_string_append_printf(fixture->changed, "%u ", uid);
	mark = uid == fixture->to_mark;
	if (mark)
		fixture->to_mark = 0;
	g_mutex_unlock(&fixture->lock);
	if (mark) {
		g_autoptr(UidSet) uids = uidset_new();

		uidset_add(uids, uid, uid);
		mailbox_mark(mailbox, serial, uids);
	}
}

static inline void
on_renumbered(gpointer user, Mailbox *mailbox, guint32 old_serial, guint32 new_serial)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->renumbered, "%u>%u ", old_serial, new_serial);
}

static inline void
on_wanted(gpointer user, Mailbox *mailbox, guint32 serial, const guint32 *uids, guint n)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	for (guint i = 0; i < n; i++)
		g_string_append_printf(fixture->wanted, "%u ", uids[i]);
}

static const MailboxNews news = {.listing = on_listing,
				 .gone = on_gone,
				 .changed = on_changed,
				 .renumbered = on_renumbered,
				 .wanted = on_wanted};
static const PoolNews pool_news;

static inline void
on_fetched(gpointer user, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	Fixture *fixture = user;

	mailbox_fetched(fixture->mailbox, serial, uid, size, crc);
}

static inline gboolean
on_row(gpointer user, const IndexMailbox *row)
{
	Fixture *fixture = user;

	if (strcmp(row->name, "INBOX") != 0)
		return TRUE;
	fixture->mailbox = mailbox_new(&fixture->house, row, "INBOX", 1);
	return FALSE;
}

static inline void
enter(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	gboolean rebuilt;

	fixture->index = index_open(fixture->directory, &rebuilt, &error);
	g_assert_no_error(error);
	g_assert_false(rebuilt);
	fixture->bodies =
		bodies_open(fixture->directory, index_generation(fixture->index), 0, &error);
	g_assert_no_error(error);
	fixture->pool = pool_new(fake_backend_new, fake_server_config(fixture->server), 2,
				 &pool_news, NULL);
	fixture->scan = scan_new(fixture->pool, fixture->bodies, on_fetched, fixture);
	fixture->house = (MailboxHouse){
		.pool = fixture->pool,
		.index = fixture->index,
		.bodies = fixture->bodies,
		.scan = fixture->scan,
		.names_uid = fixture->names_uid,
		.news = &news,
		.user = fixture,
	};
	index_each_mailbox(fixture->index, on_row, fixture, &error);
	g_assert_no_error(error);
	if (fixture->mailbox == NULL) {
		IndexMailbox row = {.name = "INBOX",
				    .directory = index_new_serial(fixture->index),
				    .separator = '/',
				    .prefix = ""};

		index_put_mailbox(fixture->index, &row);
		fixture->mailbox = mailbox_new(&fixture->house, &row, "INBOX", 1);
	}
	/* Its failure is the test's business. */
	pool_start(fixture->pool, NULL, NULL);
}

static inline void
leave(Fixture *fixture)
{
	pool_free(fixture->pool);
	g_clear_pointer(&fixture->mailbox, mailbox_free);
	scan_free(fixture->scan);
	bodies_close(fixture->bodies);
	index_close(fixture->index);
}

static inline void
setup(Fixture *fixture, gconstpointer data)
{
	g_mutex_init(&fixture->lock);
	fixture->gone = g_string_new(NULL);
	fixture->changed = g_string_new(NULL);
	fixture->renumbered = g_string_new(NULL);
	fixture->wanted = g_string_new(NULL);
	fixture->names_uid = g_strcmp0(data, "uid") == 0;
	fixture->server = fake_server_new();
	fake_server_mailbox(fixture->server, "INBOX");
	fixture->directory = fake_directory();
	enter(fixture);
}

static inline void
teardown(Fixture *fixture, gconstpointer data)
{
	leave(fixture);
	fake_server_free(fixture->server);
	fake_directory_remove(fixture->directory);
	g_string_free(fixture->gone, TRUE);
	g_string_free(fixture->changed, TRUE);
	g_string_free(fixture->renumbered, TRUE);
	g_string_free(fixture->wanted, TRUE);
	g_mutex_clear(&fixture->lock);
}

/* --- looking --- */

static inline MailboxView
view_of(Fixture *fixture)
{
	MailboxView view;

	mailbox_view(fixture->mailbox, &view);
	return view;
}

static inline void
settle(Fixture *fixture)
{
	FAKE_WAIT(!view_of(fixture).syncing);
}

static inline void
refresh(Fixture *fixture)
{
	mailbox_refresh(fixture->mailbox, 0);
	settle(fixture);
}

static inline gboolean
note_uid(gpointer user, const MessageView *message, const char *file_name)
{
	g_array_append_val(user, message->uid);
	return TRUE;
}

/* As fake_server_listing() says it. */
static inline char *
listing_of(Fixture *fixture)
{
	g_autoptr(GArray) uids = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autoptr(GString) text = g_string_new(NULL);
	guint32 serial = view_of(fixture).messages;

	mailbox_each(fixture->mailbox, 1, note_uid, uids);
	for (guint i = 0; i < uids->len; i++) {
		guint32 uid = g_array_index(uids, guint32, i);
		g_autofree char *flags = mailbox_flags_text(fixture->mailbox, uid);
		const char *keywords = flags;
		MessageView message;

		while (*keywords == '\\')
			keywords +=
				strcspn(keywords, " ") + (strchr(keywords, ' ') != NULL ? 1 : 0);
		g_assert_true(mailbox_get(fixture->mailbox, serial, uid, &message));
		g_string_append_printf(text, "%u %x %s\n", uid, message.flags, keywords);
	}
	return g_strdup(text->str);
}

static inline gboolean
check_name(gpointer user, const MessageView *message, const char *file_name)
{
	g_assert_true(g_hash_table_add(user, g_strdup(file_name)));
	return TRUE;
}

static inline void
assert_mirrors(Fixture *fixture)
{
	g_autofree char *ours = listing_of(fixture);
	g_autofree char *theirs = fake_server_listing(fixture->server, "INBOX");
	g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	g_assert_cmpstr(ours, ==, theirs);
	g_assert_true(view_of(fixture).listed);
	mailbox_each(fixture->mailbox, 1, check_name, names);
	g_assert_cmpuint(g_hash_table_size(names), ==, view_of(fixture).count);
}

static inline FakeCounts
counts_of(Fixture *fixture)
{
	return fake_server_counts(fixture->server);
}

/* The news of what was fetched ahead come a little after the body can be had. */
static inline gboolean
has_changed(Fixture *fixture, const char *uids)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	return strcmp(fixture->changed->str, uids) == 0;
}

/* --- reading --- */

typedef struct {
	gint times; /* atomic */
	int code;   /* -1: it came */
	char *text;
} Reader;

static inline void
on_body(gpointer user, Body *taken, const GError *error)
{
	Reader *reader = user;
	g_autoptr(Body) body = taken;

	reader->code = error != NULL ? error->code : -1;
	if (error == NULL) {
		guint64 size = body_size(body);

		reader->text = g_malloc0(size + 2);
		g_assert_cmpint(body_read(body, reader->text, size + 1, 0), ==, (gssize)size);
	}
	g_atomic_int_inc(&reader->times);
}

/* The text, or NULL with *code_out. */
static inline char *
read_message(Fixture *fixture, guint32 serial, guint32 uid, int *code_out)
{
	Reader reader = {0};

	mailbox_open(fixture->mailbox, serial, uid, 4711, on_body, &reader);
	FAKE_WAIT(g_atomic_int_get(&reader.times) > 0);
	g_assert_cmpint(reader.times, ==, 1);
	*code_out = reader.code;
	return reader.text;
}

static inline void
assert_reads(Fixture *fixture, guint32 uid)
{
	g_autoptr(GBytes) body = fake_server_body(fixture->server, "INBOX", uid);
	int code;
	g_autofree char *text = read_message(fixture, view_of(fixture).messages, uid, &code);

	g_assert_cmpint(code, ==, -1);
	g_assert_cmpuint(strlen(text), ==, g_bytes_get_size(body));
	g_assert_cmpint(memcmp(text, g_bytes_get_data(body, NULL), strlen(text)), ==, 0);
}

static inline void
assert_reads_all(Fixture *fixture)
{
	g_autoptr(GArray) uids = g_array_new(FALSE, FALSE, sizeof(guint32));

	mailbox_each(fixture->mailbox, 1, note_uid, uids);
	for (guint i = 0; i < uids->len; i++)
		assert_reads(fixture, g_array_index(uids, guint32, i));
}
