/* SPDX-License-Identifier: MIT */
/* One thread decides what is sent when, and does what costs disk: rows that say STARTED before the
 * first byte goes out, bodies into the cache, rows away at the end. The sessions' threads only put
 * down what the server has said, and wake it. A mailbox has one batch at a time; what comes in
 * meanwhile makes the next one. */
#include "mail/uploads-private.h"

#include <string.h>

#define BATCH_MESSAGES 200
#define BATCH_BYTES    (16 * 1024 * 1024)
#define BATCH_NUMBERS  1000			      /* of those whose bytes do not travel */
#define TURN_US	       (50 * G_TIME_SPAN_MILLISECOND) /* thousands of closes, one look */
#define EARLY_US       (100 * G_TIME_SPAN_MILLISECOND)
#define ABSENT_US      (2 * G_TIME_SPAN_SECOND)	       /* between two looks for a mailbox */
#define COPYING_US     (200 * G_TIME_SPAN_MILLISECOND) /* between two looks at a copy */
#define PROBE_S	       10
#define LONG_WAIT_US   (60 * G_TIME_SPAN_SECOND)
#define LOOK_MOST      (4 * BATCH_NUMBERS)

void
batch_push(Batch *batch)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&batch->uploads->lock);

	g_queue_push_tail(&batch->uploads->finished, batch);
	uploads_stir(batch->uploads, TRUE);
}

Batch *
batch_new(Uploads *uploads, Folder *folder, BatchKind kind)
{
	Batch *batch = g_new0(Batch, 1);

	batch->uploads = uploads;
	batch->folder = folder;
	batch->mailbox = folder->mailbox;
	batch->kind = kind;
	batch->line = uploads->line;
	batch->list = g_ptr_array_new_with_free_func((GDestroyNotify)upload_unref);
	return batch;
}

void
batch_free(Batch *batch)
{
	for (guint i = 0; batch->outcomes != NULL && i < batch->list->len; i++) {
		g_clear_error(&batch->outcomes[i].error);
		g_free(batch->outcomes[i].keywords);
	}
	g_free(batch->outcomes);
	body_unref(batch->body);
	g_clear_pointer(&batch->by_source, g_hash_table_unref);
	uidset_free(batch->marked);
	g_clear_error(&batch->error);
	g_ptr_array_unref(batch->list);
	g_free(batch);
}

/* --- choosing, under the lock --- */

/* It goes with others that are ready, and need not wait for all of its pause. */
static gboolean
may_go_along(const Upload *upload, gint64 now)
{
	return upload->send_at == upload->ready_at && upload->send_at - EARLY_US <= now;
}

static BatchKind
kind_of(const Folder *folder, const Upload *upload)
{
	MailboxView view;

	if (upload->sent_uid != 0)
		return upload_wants_flags(upload) ? BATCH_FLAGS : BATCH_EXPUNGE;
	if (upload_must_ask(upload) && upload->doubt_uid != 0)
		return BATCH_EXPUNGE;
	if (upload->state == SPOOL_STARTED || upload_must_ask(upload))
		return BATCH_LOOK;
	mailbox_view(folder->mailbox, &view);
	if (view.uidvalidity == 0 && !folder->listed)
		return BATCH_LIST;
	if (upload->source_raw == NULL)
		return BATCH_APPEND;
	return upload->own_time ? BATCH_FETCH : BATCH_COPY;
}

static gboolean
fits(const Batch *batch, const Upload *upload, guint64 bytes)
{
	const Upload *first;

	if (batch->list->len == 0)
		return TRUE;
	first = batch->list->pdata[0];
	switch (batch->kind) {
	case BATCH_APPEND:
		return batch->list->len < BATCH_MESSAGES && bytes + upload->size <= BATCH_BYTES;
	case BATCH_COPY:
		return batch->list->len < BATCH_NUMBERS &&
		       strcmp(first->source_raw, upload->source_raw) == 0 &&
		       first->source_validity == upload->source_validity &&
		       !g_hash_table_contains(batch->by_source, upload_key(upload->source_uid));
	case BATCH_EXPUNGE:
		return batch->list->len < BATCH_NUMBERS &&
		       first->replaces_validity == upload->replaces_validity;
	case BATCH_FLAGS:
		return batch->list->len < BATCH_NUMBERS && upload_is_flagged_like(upload, first);
	case BATCH_LIST:
	case BATCH_LOOK:
		return batch->list->len < BATCH_NUMBERS;
	case BATCH_FETCH:
		break;
	}
	return FALSE;
}

/* Under way from now on. */
static void
take(Batch *batch, Upload *upload)
{
	if (batch->by_source == NULL)
		batch->by_source = g_hash_table_new(NULL, NULL);
	upload->refs++;
	upload->under_way = TRUE;
	upload->line = batch->line;
	upload_place(upload);
	g_ptr_array_add(batch->list, upload);
	if (batch->kind == BATCH_COPY)
		g_hash_table_insert(batch->by_source, upload_key(upload->source_uid),
				    GUINT_TO_POINTER(batch->list->len));
}

/* The message that it replaces is still to be copied somewhere. */
static gboolean
is_needed(Uploads *uploads, const Folder *folder, const Upload *upload)
{
	return uploads_find_copying(uploads, mailbox_raw_name(folder->mailbox),
				    upload->replaces_validity, upload->replaces_uid) != NULL;
}

/* What is due, in its order, as far as it goes together. */
static Batch *
pick(Uploads *uploads, Folder *folder, gint64 now, gint64 *next)
{
	GTreeNode *node = g_tree_node_first(folder->agenda);
	Batch *batch = NULL;
	guint64 bytes = 0;

	if (node != NULL && ((Upload *)g_tree_node_key(node))->send_at > now) {
		*next = MIN(*next, ((Upload *)g_tree_node_key(node))->send_at);
		return NULL;
	}
	for (guint looked = 0; node != NULL && looked < LOOK_MOST; looked++) {
		Upload *upload = g_tree_node_key(node);
		BatchKind kind = kind_of(folder, upload);

		if (upload->send_at > now && !may_go_along(upload, now))
			break;
		node = g_tree_node_next(node);
		if (upload->source_raw != NULL && uploads_is_held(uploads, upload->source_raw))
			continue;
		if (kind == BATCH_EXPUNGE && is_needed(uploads, folder, upload)) {
			upload->not_before = now + COPYING_US;
			*next = MIN(*next, upload->not_before);
			upload_place(upload);
			continue;
		}
		if (batch == NULL)
			batch = batch_new(uploads, folder, kind);
		if (kind != batch->kind || !fits(batch, upload, bytes))
			continue;
		bytes += upload->size;
		take(batch, upload);
		if (batch->list->len == (kind == BATCH_APPEND ? BATCH_MESSAGES : BATCH_NUMBERS))
			break;
	}
	if (batch != NULL)
		batch->outcomes = g_new0(Outcome, batch->list->len);
	folder->batch = batch;
	return batch;
}

/* Chooses for each mailbox without a batch. */
static GPtrArray *
pick_all(Uploads *uploads, gint64 now, gint64 *next, GPtrArray *renamed)
{
	GPtrArray *batches = g_ptr_array_new();
	guint64 version = account_folders_version(uploads->account);
	gboolean offline = uploads->offline_until > now;

	if (offline)
		*next = MIN(*next, uploads->offline_until);
	for (guint i = 0; i < uploads->folders->len; i++) {
		Folder *folder = uploads->folders->pdata[i];
		Batch *batch = NULL;

		if (version != uploads->folders_version || folder->mailbox == NULL)
			uploads_bind(uploads, folder, renamed);
		if (folder->mailbox == NULL && !folder->local && g_tree_nnodes(folder->by_id) > 0)
			*next = MIN(*next, now + ABSENT_US);
		if (folder->mailbox != NULL && folder->batch == NULL && !folder->held && !offline)
			batch = pick(uploads, folder, now, next);
		if (batch != NULL)
			g_ptr_array_add(batches, batch);
	}
	uploads->folders_version = version;
	return batches;
}

/* What is to be looked at once more, and rows that are older than what is known. */
static void
collect(Uploads *uploads, gint64 now, gint64 *next, GPtrArray *again, GPtrArray *unsaved)
{
	guint full = 0;

	for (GTreeNode *node = g_tree_node_first(uploads->agenda); node != NULL;
	     node = g_tree_node_next(node)) {
		Upload *upload = g_tree_node_key(node);

		if (upload->look_at > now) {
			*next = MIN(*next, upload->look_at);
			break;
		}
		if (!upload->again && !upload->unsaved && full++ > 0 && uploads->full)
			continue;
		upload->refs++;
		g_ptr_array_add(upload->again || !upload->unsaved ? again : unsaved, upload);
	}
	/* One tries whether there is room, and tells the others. */
	if (full > 1 && uploads->full) {
		uploads_hold_full(uploads, PROBE_S);
		*next = MIN(*next, now + PROBE_S * G_USEC_PER_SEC);
	}
}

static void
complete_again(GPtrArray *list)
{
	for (guint i = 0; i < list->len; i++) {
		Upload *upload = list->pdata[i];
		g_autoptr(GError) error = NULL;

		g_mutex_lock(&upload->uploads->lock);
		upload->again = FALSE;
		upload_place(upload);
		g_mutex_unlock(&upload->uploads->lock);
		if (!upload_complete(upload, &error))
			g_debug("upload %u: %s", upload->id, error->message);
	}
}

static void
save_all(Uploads *uploads, GPtrArray *list)
{
	g_autoptr(GError) error = NULL;

	if (list->len > 0 && !uploads_save(uploads, (Upload **)list->pdata, list->len, &error)) {
		g_debug("uploads: %s", error->message);
		/* Not at once again. */
		g_mutex_lock(&uploads->lock);
		for (guint i = 0; i < list->len; i++) {
			Upload *upload = list->pdata[i];

			upload->ready_at = g_get_monotonic_time() + LONG_WAIT_US;
			upload_place(upload);
		}
		g_mutex_unlock(&uploads->lock);
	}
}

static void
free_list(GPtrArray *list)
{
	for (guint i = 0; i < list->len; i++)
		upload_unref(list->pdata[i]);
	g_ptr_array_unref(list);
}

/* One look at everything, under the lock, which it gives up meanwhile. */
static gint64
turn(Uploads *uploads)
{
	gint64 now = g_get_monotonic_time();
	gint64 next = now + LONG_WAIT_US;
	GPtrArray *again = g_ptr_array_new();
	GPtrArray *unsaved = g_ptr_array_new();
	g_autoptr(GPtrArray) batches = NULL;
	guint64 version = uploads->folders_version;

	uploads->stirred = uploads->urgent = FALSE;
	/* Some of the times are of a clock that may have been set. */
	if (now - uploads->placed_at > LONG_WAIT_US) {
		uploads->placed_at = now;
		uploads_place_all(uploads);
	}
	collect(uploads, now, &next, again, unsaved);
	batches = pick_all(uploads, now, &next, unsaved);
	version ^= uploads->folders_version;
	g_mutex_unlock(&uploads->lock);
	/* Perhaps a mailbox is no more that somebody waits for. */
	if (version != 0)
		uploads_tell_idle(uploads);
	for (guint i = 0; i < batches->len; i++)
		batch_start(batches->pdata[i]);
	complete_again(again);
	save_all(uploads, unsaved);
	free_list(again);
	free_list(unsaved);
	g_mutex_lock(&uploads->lock);
	return next;
}

/* Under the lock, which it gives up meanwhile. */
static void
finish_all(Uploads *uploads)
{
	Batch *batch;

	while ((batch = g_queue_pop_head(&uploads->finished)) != NULL) {
		g_mutex_unlock(&uploads->lock);
		batch_finish(batch);
		g_mutex_lock(&uploads->lock);
	}
}

gpointer
uploads_work(gpointer data)
{
	Uploads *uploads = data;

	g_mutex_lock(&uploads->lock);
	while (!uploads->stop) {
		gint64 next;
		gint64 soon;

		finish_all(uploads);
		next = turn(uploads);
		soon = g_get_monotonic_time() + TURN_US;
		while (!uploads->stop && !uploads->urgent &&
		       g_get_monotonic_time() < (uploads->stirred ? MIN(soon, next) : next))
			g_cond_wait_until(&uploads->wake, &uploads->lock,
					  uploads->stirred ? MIN(soon, next) : next);
	}
	g_mutex_unlock(&uploads->lock);
	return NULL;
}

void
uploads_drain(Uploads *uploads)
{
	g_mutex_lock(&uploads->lock);
	finish_all(uploads);
	g_mutex_unlock(&uploads->lock);
}

/* --- waiting --- */

void
upload_tell_waiters(Upload *upload, const GError *error)
{
	g_autoptr(GArray) waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));

	g_mutex_lock(&upload->uploads->lock);
	if (upload->waiters->len > 0) {
		GArray *empty = g_steal_pointer(&waiters);

		waiters = upload->waiters;
		upload->waiters = empty;
	}
	g_mutex_unlock(&upload->uploads->lock);
	for (guint i = 0; i < waiters->len; i++) {
		const Waiter *waiter = &g_array_index(waiters, Waiter, i);

		waiter->done(waiter->user, error);
	}
}

gboolean
upload_is_awaited(const Upload *upload)
{
	gboolean busy = upload_is_busy(upload);

	return upload->uploads->worker != NULL && !(busy && upload_is_orphan(upload)) &&
	       ((busy &&
		 (upload->writers == 0 || upload->under_way || upload->source_raw != NULL)) ||
		(upload->over && upload_is_listed(upload)));
}

/* Why nobody waits for it. NULL: all is well. Under the lock. */
static GError *
refusal_of(const Upload *upload)
{
	if (upload_is_busy(upload) && upload_is_orphan(upload))
		return g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
					   "its mailbox is not there; the file is kept");
	if (upload->over || upload->state != SPOOL_REFUSED)
		return NULL;
	return g_error_new_literal(MAILFS_ERROR,
				   upload->code != 0 ? (gint)upload->code : MAILFS_ERROR_INVALID,
				   upload->reason);
}

/* FALSE: it is not on its way. Under the lock. */
static gboolean
add_waiter(Upload *upload, UploadDone done, gpointer user)
{
	Waiter waiter = {NULL, done, user};

	if (!upload_is_awaited(upload))
		return FALSE;
	g_array_append_val(upload->waiters, waiter);
	upload->hurry = TRUE;
	upload_stir(upload, TRUE);
	return TRUE;
}

void
upload_wait(Upload *upload, UploadDone done, gpointer user)
{
	Uploads *uploads = upload->uploads;
	g_autoptr(GError) refused = NULL;
	gboolean waits;

	g_mutex_lock(&uploads->lock);
	waits = add_waiter(upload, done, user);
	if (!waits)
		refused = refusal_of(upload);
	g_mutex_unlock(&uploads->lock);
	if (!waits)
		done(user, refused);
}

gboolean
upload_wait_turn(Upload *upload, Mailbox *mailbox, const char *name, UploadDone done, gpointer user)
{
	Uploads *uploads = upload->uploads;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);
	Folder *folder = mailbox != NULL ? uploads_find_folder(uploads, mailbox) : NULL;
	Upload *there = folder != NULL ? g_hash_table_lookup(folder->by_name, name) : NULL;

	return add_waiter(upload, done, user) || (there != NULL && add_waiter(there, done, user));
}

void
upload_tell_if_ended(Upload *upload)
{
	g_autoptr(GError) refused = NULL;
	gboolean ended;

	g_mutex_lock(&upload->uploads->lock);
	ended = upload->waiters->len > 0 && !upload_is_awaited(upload);
	if (ended)
		refused = refusal_of(upload);
	g_mutex_unlock(&upload->uploads->lock);
	if (ended)
		upload_tell_waiters(upload, refused);
}

/* Under the lock. */
static gboolean
is_idle(Uploads *uploads, Mailbox *mailbox, gboolean hurry)
{
	GHashTableIter iter;
	gpointer value;
	gboolean idle = TRUE;

	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		Upload *upload = value;

		if (!upload_is_busy(upload) || upload->folder->local)
			continue;
		/* What has no mailbox to go to would be waited for in vain. */
		if (upload_is_orphan(upload) ||
		    (mailbox != NULL && !upload_lies_in(upload, mailbox)))
			continue;
		idle = FALSE;
		upload->hurry = upload->hurry || hurry;
		upload_place(upload);
	}
	return idle;
}

void
uploads_tell_idle(Uploads *uploads)
{
	g_autoptr(GArray) ready = g_array_new(FALSE, FALSE, sizeof(Waiter));

	g_mutex_lock(&uploads->lock);
	for (guint i = uploads->waiters->len; i > 0; i--) {
		Waiter waiter = g_array_index(uploads->waiters, Waiter, i - 1);

		if (!is_idle(uploads, waiter.mailbox, FALSE))
			continue;
		g_array_append_val(ready, waiter);
		g_array_remove_index(uploads->waiters, i - 1);
	}
	g_mutex_unlock(&uploads->lock);
	for (guint i = 0; i < ready->len; i++) {
		const Waiter *waiter = &g_array_index(ready, Waiter, i);

		waiter->done(waiter->user, NULL);
	}
}

void
uploads_wait(Uploads *uploads, Mailbox *mailbox, UploadDone done, gpointer user)
{
	Waiter waiter = {mailbox, done, user};
	gboolean idle;

	g_mutex_lock(&uploads->lock);
	idle = uploads->worker == NULL || is_idle(uploads, mailbox, TRUE);
	if (!idle)
		g_array_append_val(uploads->waiters, waiter);
	uploads_stir(uploads, FALSE);
	g_mutex_unlock(&uploads->lock);
	if (idle)
		done(user, NULL);
}

void
uploads_retry(Uploads *uploads)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		Upload *upload = value;

		if (!upload->folder->local && !upload_waits_for_room(upload))
			upload->retry_at = 0;
	}
	uploads->offline_until = uploads->offline_tries = 0;
	uploads->line++;
	uploads_place_all(uploads);
	uploads_stir(uploads, FALSE);
}

void
uploads_flush(Uploads *uploads, gboolean leave)
{
	if (uploads->outlet != NULL)
		uploads->outlet->hurry(uploads->outlet_user, leave);
}

/* Under the lock: takes the waiters of all. */
static GArray *
steal_waiters(Uploads *uploads)
{
	GArray *all = g_array_new(FALSE, FALSE, sizeof(Waiter));
	GHashTableIter iter;
	gpointer value;

	g_array_append_vals(all, uploads->waiters->data, uploads->waiters->len);
	g_array_set_size(uploads->waiters, 0);
	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		GArray *own = ((Upload *)value)->waiters;

		g_array_append_vals(all, own->data, own->len);
		g_array_set_size(own, 0);
	}
	return all;
}

void
uploads_tell_stopped(Uploads *uploads)
{
	g_autoptr(GError) error =
		g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
				    "mailfs is shutting down; the file is kept, and follows");
	g_autoptr(GArray) waiters = NULL;
	Waiter renamer;

	g_mutex_lock(&uploads->lock);
	waiters = steal_waiters(uploads);
	renamer = (Waiter){NULL, uploads->moved_done, uploads->moved_user};
	uploads->moved_done = NULL;
	if (renamer.done != NULL)
		g_array_append_val(waiters, renamer);
	g_mutex_unlock(&uploads->lock);
	for (guint i = 0; i < waiters->len; i++) {
		const Waiter *waiter = &g_array_index(waiters, Waiter, i);

		waiter->done(waiter->user, error);
	}
}
