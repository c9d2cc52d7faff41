/* SPDX-License-Identifier: MIT */
/* The end of a file: it is a message now, or was removed, or another has taken its place. */
#include "mail/uploads-private.h"

#define REMEMBERED 4096

gboolean
upload_is_listed(const Upload *upload)
{
	return g_hash_table_lookup(upload->uploads->by_id, upload_key(upload->id)) == upload;
}

/* Under the lock. */
static void
remember(const Upload *upload)
{
	Uploads *uploads = upload->uploads;
	gboolean sent = upload->settled && upload->sent_uid != 0;
	Became *became;

	if (upload->folder->mailbox == NULL || (!sent && upload->replaces_uid == 0) ||
	    g_hash_table_contains(uploads->became, upload_key(upload->id)))
		return;
	became = g_new0(Became, 1);
	*became = (Became){upload->folder->mailbox,
			   sent ? upload->sent_validity : upload->replaces_validity,
			   sent ? upload->sent_uid : upload->replaces_uid};
	g_hash_table_replace(uploads->became, upload_key(upload->id), became);
	g_queue_push_tail(&uploads->became_ids, upload_key(upload->id));
	if (uploads->became_ids.length > REMEMBERED)
		g_hash_table_remove(uploads->became, g_queue_pop_head(&uploads->became_ids));
}

void
upload_mark_removed(Upload *upload)
{
	remember(upload);
	upload_mark_over(upload);
}

gboolean
uploads_became(Uploads *uploads, guint32 id, Mailbox **mailbox_out, guint32 *serial_out,
	       guint32 *uid_out)
{
	const Became *found;
	Became became = {0};
	MailboxView view;

	g_mutex_lock(&uploads->lock);
	found = g_hash_table_lookup(uploads->became, upload_key(id));
	if (found != NULL)
		became = *found;
	g_mutex_unlock(&uploads->lock);
	if (became.mailbox == NULL)
		return FALSE;
	mailbox_view(became.mailbox, &view);
	*mailbox_out = became.mailbox;
	*serial_out = view.messages;
	*uid_out = became.uid;
	return view.uidvalidity == became.validity;
}

static void
forget(Upload *upload, gboolean replaced, const GError *reason)
{
	Uploads *uploads = upload->uploads;
	g_autofree char *name = NULL;
	Mailbox *mailbox;
	gboolean listed;

	g_mutex_lock(&uploads->lock);
	listed = upload_is_listed(upload);
	if (listed && !replaced)
		remember(upload);
	/* From here on its name leads to the message. */
	if (listed)
		upload_detach(upload);
	upload_mark_over(upload);
	name = g_strdup(upload->name);
	mailbox = upload->folder->mailbox;
	g_mutex_unlock(&uploads->lock);
	if (!listed)
		return;
	if (mailbox != NULL)
		uploads->news->gone(uploads->user, mailbox, upload->id, name);
	upload_tell_waiters(upload, reason);
	upload_unref(upload);
}

/* The row is the last that knows the name, but for the index. */
static void
settle_names(const GPtrArray *list)
{
	for (guint i = 0; i < list->len; i++) {
		Mailbox *mailbox = upload_mailbox(list->pdata[i]);

		if (mailbox != NULL)
			mailbox_settle_names(mailbox);
	}
}

gboolean
uploads_end(Uploads *uploads, GPtrArray *list, const GError *reason, GError **error)
{
	gboolean removed;

	g_mutex_lock(&uploads->lock);
	/* A message is still shown as the file until its row is gone: nobody can change it any
	 * more, and whoever asks for it finds the one or the other. */
	for (guint i = 0; i < list->len; i++) {
		Upload *upload = list->pdata[i];

		if (!upload->settled)
			upload_mark_removed(upload);
		else if (upload->refs > 1)
			upload_open(upload);
	}
	g_mutex_unlock(&uploads->lock);
	settle_names(list);
	removed = uploads_save_and_drop(uploads, NULL, 0, list, error);
	for (guint i = 0; i < list->len; i++)
		forget(list->pdata[i], FALSE, reason);
	uploads_tell_idle(uploads);
	return removed;
}

gboolean
upload_end_removed(Upload *upload, GError **error)
{
	g_autoptr(GPtrArray) removed = g_ptr_array_new_with_free_func((GDestroyNotify)upload_unref);
	g_autoptr(GError) gone =
		g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND, "the file was removed");

	g_ptr_array_add(removed, upload_ref(upload));
	return uploads_end(upload->uploads, removed, gone, error);
}

void
uploads_end_replaced(Uploads *uploads, Upload *upload)
{
	forget(upload, TRUE, NULL);
	uploads_tell_idle(uploads);
}
