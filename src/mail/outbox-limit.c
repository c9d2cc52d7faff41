/* SPDX-License-Identifier: MIT */
/* How large a message the server takes is told by its session alone; it is remembered, so that
 * close() can refuse a file before there has been one. A server that takes more now is believed
 * when it says so, or when it was not asked for long. */
#include "mail/outbox-private.h"

#include <glib/gstdio.h>
#include <string.h>

#define LASTS_S (7 * 86400)

/* Lost with the cache, which does no harm. (transfer full) */
static char *
path_of(const Outbox *outbox)
{
	return g_build_filename(outbox->scratch_dir, "size-limit", NULL);
}

/* (transfer full) */
static char *
server_of(const Outbox *outbox)
{
	if (outbox->smtp == NULL)
		return g_strdup("");
	return g_strdup_printf("%s:%u", outbox->smtp->host, outbox->smtp->port);
}

void
outbox_recall_limit(Outbox *outbox)
{
	g_autofree char *path = path_of(outbox);
	g_autofree char *server = server_of(outbox);
	g_autofree char *text = NULL;
	g_auto(GStrv) words = NULL;
	GStatBuf status;

	if (g_stat(path, &status) != 0 || status.st_mtime < OUTBOX_WALL() - LASTS_S ||
	    !g_file_get_contents(path, &text, NULL, NULL))
		return;
	words = g_strsplit(text, " ", 2);
	if (g_strv_length(words) == 2 && strcmp(words[0], server) == 0)
		outbox->size_limit = g_ascii_strtoull(words[1], NULL, 10);
}

void
outbox_note_limit(Outbox *outbox, guint64 size)
{
	g_autofree char *path = path_of(outbox);
	g_autofree char *server = server_of(outbox);
	g_autofree char *text = g_strdup_printf("%s %" G_GUINT64_FORMAT "\n", server, size);
	g_autoptr(GError) error = NULL;
	gboolean same;

	g_mutex_lock(&outbox->uploads->lock);
	same = outbox->size_limit == size;
	outbox->size_limit = size;
	g_mutex_unlock(&outbox->uploads->lock);
	if (same && outbox->limit_noted)
		return;
	outbox->limit_noted = TRUE;
	if (!g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
		g_debug("outbox: %s", error->message);
}
