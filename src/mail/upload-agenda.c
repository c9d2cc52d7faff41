/* SPDX-License-Identifier: MIT */
/* When the worker is to look at what: files in the order of their times, so that a look costs what
 * there is to be done and not what waits. Two orders, since a file may be due in both: in its
 * mailbox, to be sent; and over all, to be completed once more or to have its row written. All of
 * it under the lock. */
#include "mail/uploads-private.h"

#define AT_ONCE 1 /* µs, monotonic: long ago; 0 is never */

static int
compare_send(gconstpointer a, gconstpointer b, gpointer user)
{
	const Upload *left = a;
	const Upload *right = b;

	if (left->send_at != right->send_at)
		return left->send_at < right->send_at ? -1 : 1;
	return left->id < right->id ? -1 : left->id > right->id;
}

static int
compare_look(gconstpointer a, gconstpointer b, gpointer user)
{
	const Upload *left = a;
	const Upload *right = b;

	if (left->look_at != right->look_at)
		return left->look_at < right->look_at ? -1 : 1;
	return left->id < right->id ? -1 : left->id > right->id;
}

GTree *
upload_agenda_new(gboolean of_folder)
{
	return g_tree_new_full(of_folder ? compare_send : compare_look, NULL, NULL, NULL);
}

/* In monotonic time. */
static gint64
retry_time_of(const Upload *upload)
{
	return g_get_monotonic_time() + upload->retry_at * G_USEC_PER_SEC - g_get_real_time();
}

gboolean
upload_waits_for_room(const Upload *upload)
{
	return upload->state == SPOOL_REFUSED && upload->code == MAILFS_ERROR_QUOTA &&
	       upload->retry_at != 0;
}

static gint64
send_time_of(const Upload *upload)
{
	gint64 at = upload->hurry ? 0 : upload->ready_at;

	if (upload->over || upload->settled || upload->under_way || upload->writers > 0 ||
	    upload->folder->local || uploads_name_is_local(upload->name) ||
	    (upload->state != SPOOL_QUEUED && upload->state != SPOOL_STARTED))
		return 0;
	if (upload->retry_at != 0)
		at = MAX(at, retry_time_of(upload));
	return MAX(MAX(at, upload->not_before), AT_ONCE);
}

static gint64
look_time_of(const Upload *upload)
{
	if (upload->over || upload->settled)
		return 0;
	if (upload->again && upload->writers == 0 && !upload->under_way)
		return AT_ONCE;
	if (upload->unsaved && upload->stored && upload->state != SPOOL_OPEN)
		return MAX(upload->ready_at, AT_ONCE);
	if (upload_waits_for_room(upload) && upload->writers == 0 && !upload->folder->local)
		return MAX(retry_time_of(upload), AT_ONCE);
	return 0;
}

void
upload_leave_agenda(Upload *upload)
{
	if (upload->send_at != 0)
		g_tree_remove(upload->folder->agenda, upload);
	if (upload->look_at != 0)
		g_tree_remove(upload->uploads->agenda, upload);
	upload->send_at = upload->look_at = 0;
}

void
upload_place(Upload *upload)
{
	gint64 send_at = upload_is_listed(upload) ? send_time_of(upload) : 0;
	gint64 look_at = upload_is_listed(upload) ? look_time_of(upload) : 0;

	if (send_at == upload->send_at && look_at == upload->look_at)
		return;
	upload_leave_agenda(upload);
	upload->send_at = send_at;
	upload->look_at = look_at;
	if (send_at != 0)
		g_tree_insert(upload->folder->agenda, upload, upload);
	if (look_at != 0)
		g_tree_insert(upload->uploads->agenda, upload, upload);
}

void
upload_stir(Upload *upload, gboolean urgent)
{
	upload_place(upload);
	uploads_stir(upload->uploads, urgent);
}

void
uploads_place_all(Uploads *uploads)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		upload_place(value);
}

void
uploads_hold_full(Uploads *uploads, gint64 seconds)
{
	gint64 now = g_get_real_time() / G_USEC_PER_SEC;
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		Upload *upload = value;

		if (!upload_waits_for_room(upload))
			continue;
		upload->retry_at = now + seconds;
		upload_place(upload);
	}
}
