/* SPDX-License-Identifier: MIT */
/* Those who wait: for what becomes of one file, or for all that can be sent now. */
#include "mail/outbox-private.h"

/* --- waiting for a verdict --- */

void
outbox_tell(Outbox *outbox, guint32 id, OutboxOutcome outcome, int code, const char *enhanced,
	    const char *text)
{
	g_autoptr(GArray) told = g_array_new(FALSE, FALSE, sizeof(OutboxWaiter));

	g_mutex_lock(&outbox->uploads->lock);
	for (guint i = outbox->waiters->len; i > 0; i--) {
		OutboxWaiter waiter = g_array_index(outbox->waiters, OutboxWaiter, i - 1);

		if (id != 0 && waiter.id != id)
			continue;
		g_array_append_val(told, waiter);
		g_array_remove_index(outbox->waiters, i - 1);
	}
	g_mutex_unlock(&outbox->uploads->lock);
	for (guint i = 0; i < told->len; i++) {
		const OutboxWaiter *waiter = &g_array_index(told, OutboxWaiter, i);

		waiter->done(waiter->user, outcome, code, enhanced, text);
	}
}

/* The file with that id is in the Outbox, and a try of it will come. Under the lock. */
static Upload *
find_coming(Outbox *outbox, guint32 id)
{
	Upload *upload = g_hash_table_lookup(outbox->uploads->by_id, upload_key(id));

	return upload != NULL && !upload->over && upload->folder->mailbox == outbox->directory &&
			       (upload->state == SPOOL_QUEUED || upload->state == SPOOL_SENDING ||
				upload->state == SPOOL_DOT)
		       ? upload
		       : NULL;
}

void
outbox_wait(Outbox *outbox, guint32 id, OutboxDone done, gpointer user)
{
	OutboxWaiter waiter = {id, done, user};
	Upload *upload;

	g_mutex_lock(&outbox->uploads->lock);
	upload = outbox->stop ? NULL : find_coming(outbox, id);
	if (upload != NULL) {
		upload->hurry = outbox->stirred = TRUE;
		g_array_append_val(outbox->waiters, waiter);
		g_cond_signal(&outbox->wake);
	}
	g_mutex_unlock(&outbox->uploads->lock);
	if (upload == NULL)
		done(user, OUTBOX_GONE, 0, NULL, NULL);
}

/* What a waiter is to be told though nothing was tried. FALSE: a try of it will come. Under the
 * lock.
 */
static gboolean
has_nothing_to_wait_for(Outbox *outbox, guint32 id, OutboxOutcome *outcome_out)
{
	const Upload *upload = find_coming(outbox, id);

	*outcome_out = upload == NULL ? OUTBOX_GONE : OUTBOX_LATER;
	return upload == NULL || (upload->state == SPOOL_QUEUED && !upload->under_way &&
				  outbox_free_at(outbox, NULL) != 0);
}

void
outbox_tell_in_vain(Outbox *outbox)
{
	g_autoptr(GArray) told = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autoptr(GArray) outcomes = g_array_new(FALSE, FALSE, sizeof(OutboxOutcome));
	g_autofree char *reason = NULL;
	const char *why;

	g_mutex_lock(&outbox->uploads->lock);
	for (guint i = 0; i < outbox->waiters->len; i++) {
		guint32 id = g_array_index(outbox->waiters, OutboxWaiter, i).id;
		OutboxOutcome outcome;

		if (!has_nothing_to_wait_for(outbox, id, &outcome))
			continue;
		g_array_append_val(told, id);
		g_array_append_val(outcomes, outcome);
	}
	outbox_free_at(outbox, &why);
	reason = g_strdup(why != NULL ? why : outbox->pause_reason);
	g_mutex_unlock(&outbox->uploads->lock);
	for (guint i = 0; i < told->len; i++)
		outbox_tell(outbox, g_array_index(told, guint32, i),
			    g_array_index(outcomes, OutboxOutcome, i), 0, NULL, reason);
}

/* --- waiting for all --- */

/* Under the lock. */
static gboolean
is_leaving(Outbox *outbox)
{
	Folder *folder = uploads_folder(outbox->uploads, outbox->directory);
	gint64 free_at = outbox_free_at(outbox, NULL);
	OutboxStatus status = {0};

	for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
	     node = g_tree_node_next(node))
		outbox_count(outbox, g_tree_node_value(node), free_at, &status);
	return status.held + status.due + (outbox->leave ? 0 : status.doubtful) > 0;
}

static void
on_cancelled(GCancellable *cancel, gpointer user)
{
	Outbox *outbox = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&outbox->uploads->lock);

	g_cond_broadcast(&outbox->turned);
}

gboolean
outbox_settle(Outbox *outbox, gint64 end, GCancellable *cancel)
{
	gboolean in_time = TRUE;
	gboolean leaving;
	gulong handler = 0;

	outbox_hurry(outbox);
	if (cancel != NULL)
		handler = g_cancellable_connect(cancel, G_CALLBACK(on_cancelled), outbox, NULL);
	g_mutex_lock(&outbox->uploads->lock);
	while ((leaving = is_leaving(outbox)) && in_time && !g_cancellable_is_cancelled(cancel))
		in_time = g_cond_wait_until(&outbox->turned, &outbox->uploads->lock, end);
	g_mutex_unlock(&outbox->uploads->lock);
	g_cancellable_disconnect(cancel, handler);
	return !leaving;
}
