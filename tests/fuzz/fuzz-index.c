/* SPDX-License-Identifier: MIT */
/* Any bytes as the index file. It opens, as what it is or rebuilt; whatever it yields can be used;
 * and after that it is sound: what is written now is there at the next open. */
#include <string.h>

#include <gio/gio.h>
#include <glib/gstdio.h>

#include "store/index.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static void
use_message(gpointer user, const IndexMessage *message)
{
	guint64 *sum = user;

	*sum += message->info.uid + strlen(message->name) + strlen(message->info.keywords);
	for (gsize i = 0; i < message->info.header_len; i++)
		*sum += (guint8)message->info.header[i];
	if (message->info.uid == 0 || strchr(message->name, '/') != NULL)
		g_error("a damaged row came through");
}

static gboolean
use_mailbox(gpointer user, const IndexMailbox *mailbox)
{
	g_array_append_val((GArray *)user, mailbox->messages);
	if (mailbox->directory == 0 || mailbox->directory >= 1 << 20 || mailbox->name == NULL ||
	    mailbox->prefix == NULL)
		g_error("a damaged mailbox came through");
	return TRUE;
}

static void
use_number(gpointer user, const IndexNumber *number)
{
	guint64 *sum = user;

	*sum += number->size + number->key[0] + number->identity[0];
	if (number->uid == 0)
		g_error("a damaged number came through");
}

static Index *
open_index(const char *directory, gboolean *rebuilt_out)
{
	g_autoptr(GError) error = NULL;
	Index *index = index_open(directory, rebuilt_out, &error);

	if (index == NULL)
		g_error("%s", error->message);
	return index;
}

/* TRUE when all could be read. */
static gboolean
read_all(Index *index)
{
	g_autoptr(GArray) serials = g_array_new(FALSE, FALSE, sizeof(guint32));
	gboolean sound = index_each_mailbox(index, use_mailbox, serials, NULL);
	guint64 sum = 0;

	sound &= index_each_number(index, use_number, &sum, NULL);
	for (guint i = 0; i < serials->len && i < 100; i++) {
		g_autoptr(GBytes) header =
			index_get_header(index, g_array_index(serials, guint32, i), 1);

		sound &= index_each_message(index, g_array_index(serials, guint32, i), use_message,
					    &sum, NULL);
	}
	return sound;
}

static guint32
write_one(Index *index)
{
	guint32 serial = index_new_serial(index);
	IndexBatch *batch = index_batch_new(serial);
	IndexMessage message = {
		.info = {.uid = 7, .keywords = "", .header = "a: b\r\n", .header_len = 6},
		.name = "n"};
	IndexMailbox mailbox = {
		.name = "INBOX", .prefix = "", .directory = serial, .messages = serial};

	if (serial == 0)
		g_error("no serial");
	index_batch_add(batch, &message);
	index_submit(index, batch);
	index_put_mailbox(index, &mailbox);
	index_put_number(index, &(IndexNumber){.uid = index_new_number(index)});
	index_flush(index);
	return serial;
}

static void
delete_directory(const char *directory)
{
	g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *path = g_build_filename(directory, name, NULL);

		g_unlink(path);
	}
	g_rmdir(directory);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
	g_autofree char *directory = g_dir_make_tmp("mailfs-fuzz-index-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "index.db", NULL);
	g_autoptr(GBytes) header = NULL;
	g_autoptr(Index) index = NULL;
	gboolean rebuilt = FALSE;
	guint32 serial = 0;

	if (!g_file_set_contents_full(path, (const char *)data, (gssize)size,
				      G_FILE_SET_CONTENTS_NONE, 0600, NULL))
		g_error("%s cannot be written", path);
	/* Damage that only reading or writing finds ends in a rebuild at the next open, once. */
	for (int pass = 0; pass < 2; pass++) {
		index = open_index(directory, &rebuilt);
		if (rebuilt && pass == 1 && serial != 0)
			g_error("rebuilt though nothing was wrong");
		serial = read_all(index) && index_errors(index) == 0 ? write_one(index) : 0;
		if (index_errors(index) != 0)
			serial = 0;
		g_clear_pointer(&index, index_close);
	}
	if (serial == 0)
		g_error("not sound after a rebuild");
	index = open_index(directory, &rebuilt);
	header = index_get_header(index, serial, 7);
	if (rebuilt || header == NULL || g_bytes_get_size(header) != 6)
		g_error("what was written is not there");
	g_clear_pointer(&index, index_close);
	delete_directory(directory);
	return 0;
}
