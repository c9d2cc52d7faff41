/* SPDX-License-Identifier: MIT */
/* What the tests of the index share: a directory of their own, and messages whose every value
 * follows from their UID. */
#pragma once

#include <glib/gstdio.h>
#include <string.h>

#include "store/index.h"

typedef struct {
	char *directory;
	char *path;
} Fixture;

static inline void
setup(Fixture *fixture, gconstpointer data)
{
	fixture->directory = g_dir_make_tmp("mailfs-index-XXXXXX", NULL);
	g_assert_nonnull(fixture->directory);
	fixture->path = g_build_filename(fixture->directory, "index.db", NULL);
}

static inline void
teardown(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GDir) dir = g_dir_open(fixture->directory, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *path = g_build_filename(fixture->directory, name, NULL);

		g_assert_cmpint(g_remove(path), ==, 0);
	}
	g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
	g_free(fixture->directory);
	g_free(fixture->path);
}

static inline Index *
open_index(Fixture *fixture, gboolean expect_rebuilt)
{
	g_autoptr(GError) error = NULL;
	gboolean rebuilt = !expect_rebuilt;
	Index *index = index_open(fixture->directory, &rebuilt, &error);

	g_assert_no_error(error);
	g_assert_nonnull(index);
	g_assert_cmpint(rebuilt, ==, expect_rebuilt);
	return index;
}

/* A message whose every value follows from its UID. */
static inline void
add(IndexBatch *batch, guint32 uid)
{
	g_autofree char *name = g_strdup_printf("20261121-063812_Invoice-%u.k7f3q2ab", uid);
	g_autofree char *header =
		g_strdup_printf("Subject: Invoice %u\r\nFrom: a@example.org\r\nMessage-ID: "
				"<%0160u@example.org>\r\nDate: Sat, 21 Nov 2026\r\n",
				uid, uid);
	IndexMessage message = {
		.info = {.uid = uid,
			 .flags = uid % 3 == 0 ? MESSAGE_SEEN : 0,
			 .size = 1000 + uid,
			 .date = 1795243092 + (gint64)uid,
			 .keywords = uid % 5 == 0 ? "work $Label1" : "",
			 .header = header,
			 .header_len = strlen(header)},
		.name = name,
		.size_exact = uid % 2 == 0,
		.has_crc = uid % 2 == 0,
		.crc = uid * 2654435761U,
	};

	index_batch_add(batch, &message);
}

static inline void
put(Index *index, guint32 directory, guint32 messages, const char *name, guint32 uidnext)
{
	IndexMailbox mailbox = {
		.name = name,
		.directory = directory,
		.messages = messages,
		.state = {.uidvalidity = 7,
			  .uidnext = uidnext,
			  .highestmodseq = G_MAXINT64,
			  .count = uidnext - 1},
		.changed = 1795243092,
		.separator = '/',
		.attributes = MAILBOX_SUBSCRIBED | MAILBOX_PERSONAL,
		.prefix = "INBOX.",
	};

	index_put_mailbox(index, &mailbox);
}

static inline void
fill(Index *index, guint32 serial, guint32 first, guint32 last)
{
	IndexBatch *batch = index_batch_new(serial);

	for (guint32 uid = first; uid <= last; uid++)
		add(batch, uid);
	index_submit(index, batch);
}

typedef struct {
	Index *index;
	guint32 serial;
	GString *text;
} Described;

/* What a listing yields, and the header, as text: one line a message. */
static inline void
describe(gpointer user, const IndexMessage *message)
{
	Described *described = user;
	g_autoptr(GBytes) header =
		index_get_header(described->index, described->serial, message->info.uid);

	g_string_append_printf(
		described->text,
		"%u %x %" G_GUINT64_FORMAT " %d %d %x %" G_GINT64_FORMAT " %s [%s] %.*s\n",
		message->info.uid, message->info.flags, message->info.size, message->size_exact,
		message->has_crc, message->crc, message->info.date, message->name,
		message->info.keywords, header != NULL ? (int)g_bytes_get_size(header) : 0,
		header != NULL ? (const char *)g_bytes_get_data(header, NULL) : "");
}

static inline gboolean
describe_mailbox(gpointer user, const IndexMailbox *mailbox)
{
	g_string_append_printf(
		user, "%u %u %u %u %" G_GUINT64_FORMAT " %u %" G_GINT64_FORMAT " %c %x %s %s\n",
		mailbox->directory, mailbox->messages, mailbox->state.uidvalidity,
		mailbox->state.uidnext, mailbox->state.highestmodseq, mailbox->state.count,
		mailbox->changed, mailbox->separator, mailbox->attributes, mailbox->name,
		mailbox->prefix);
	return TRUE;
}

static inline char *
listing(Index *index, guint32 serial)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	index_each_message(index, serial, describe, &(Described){index, serial, text}, &error);
	g_assert_no_error(error);
	return g_string_free(g_steal_pointer(&text), FALSE);
}

static inline char *
mailboxes(Index *index)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	index_each_mailbox(index, describe_mailbox, text, &error);
	g_assert_no_error(error);
	return g_string_free(g_steal_pointer(&text), FALSE);
}

static inline guint
lines(const char *text)
{
	guint n = 0;

	for (; (text = strchr(text, '\n')) != NULL; text++)
		n++;
	return n;
}

#define ADD(name, function) g_test_add("/index/" name, Fixture, NULL, setup, function, teardown)
