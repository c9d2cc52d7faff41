/* SPDX-License-Identifier: MIT */
/* The listing, brought up to date by SYNC requests. `Sync` belongs to the thread of the session
 * that serves the request. */
#include "mail/mailbox-private.h"

#include <string.h>

#include "mail/name.h"

/* \Recent says something of the session that asked, not of the message. */
#define LASTING_FLAGS (~(guint32)MESSAGE_RECENT)

/* A message on its way from the server's answer into the listing; offsets into Sync.text. */
typedef struct {
	MessageInfo info;
	gsize name, keywords, header;
} Arrived;

/* One SYNC under way: its session's thread only. */
typedef struct {
	Mailbox *mailbox;
	const char *name; /* the mailbox's when this was asked: its own */
	GArray *arrived;  /* of Arrived */
	GString *text;
	IndexBatch *batch;  /* flags and removals not yet handed to the index */
	guint32 below;	    /* request's known.uidnext */
	guint64 since;	    /* and known.highestmodseq */
	UidSet *ahead;	    /* the mailbox's, when this was asked */
	UidSet *delivered;  /* told of as new */
	gboolean assumed;   /* `known` is what the index says of a listing not loaded yet */
	gboolean unfounded; /* the listing that was loaded is not the one that was assumed */
	gboolean changed;   /* since the last publish */
	gboolean holes;	    /* the server has messages below `below` that the listing lacks */
	BodyWriter *writer; /* of a body that comes along */
} Sync;

static const RequestEvents sync_events;

static void
sync_free(Sync *sync)
{
	g_array_unref(sync->arrived);
	uidset_free(sync->ahead);
	uidset_free(sync->delivered);
	g_string_free(sync->text, TRUE);
	body_writer_abort(sync->writer);
	g_free(sync);
}

/* What a SYNC may take for granted. A listing that was cut short holds more (or fewer) messages
 * than `state` says: then the UIDs that are here count as known and the server is asked which of
 * them are left, and for all above. Under the lock. */
static MailboxState
known_now(const Mailbox *mailbox)
{
	guint count = messages_count(mailbox->messages) - (guint)uidset_count(mailbox->ahead);
	MailboxState known = mailbox->state;

	if (count == known.count)
		return known;
	count = messages_count(mailbox->messages);
	known.uidnext = count > 0 ? messages_at(mailbox->messages, count - 1)->uid + 1 : 1;
	known.highestmodseq = 0;
	known.count = count;
	return known;
}

/* It was renamed or removed since this was asked: another one may have the name by now. */
static gboolean
is_misdirected(const Sync *sync)
{
	Mailbox *mailbox = sync->mailbox;
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return mailbox->gone || mailbox_raw_name(mailbox) != sync->name;
}

/* Whether what the server tells is about the listing that is here. The server is asked while the
 * index is still being loaded; its answer waits for that, on local disk. Where rows were lost the
 * answer is thrown away, and asked for again. */
static gboolean
is_founded(Sync *sync)
{
	Mailbox *mailbox = sync->mailbox;

	sync->unfounded = sync->unfounded || is_misdirected(sync);
	if (sync->assumed) {
		sync->assumed = FALSE;
		mailbox_load(mailbox);
		g_rw_lock_reader_lock(&mailbox->lock);
		sync->unfounded =
			sync->unfounded ||
			messages_count(mailbox->messages) - (guint)uidset_count(mailbox->ahead) !=
				mailbox->state.count;
		g_rw_lock_reader_unlock(&mailbox->lock);
	}
	return !sync->unfounded;
}

/* `syncing` was set by the caller, under the lock. */
static void
sync_submit(Mailbox *mailbox, const MailboxState *known, gboolean assumed)
{
	Sync *sync = g_new0(Sync, 1);
	const char *name = mailbox_raw_name(mailbox);
	Request *request = request_new(REQUEST_SYNC, name, &sync_events, sync);
	MailboxState anew = {.uidnext = 1};
	guint64 told_modseq;

	/* A line that has the mailbox selected may go on showing one that is no more: to ask with
	 * another numbering makes it select anew. */
	g_rw_lock_writer_lock(&mailbox->lock);
	anew.uidvalidity = mailbox->told_validity;
	mailbox->told_validity = 0;
	told_modseq = mailbox->told_modseq;
	sync->ahead = uidset_copy(mailbox->ahead);
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (anew.uidvalidity != 0)
		known = &anew;
	sync->mailbox = mailbox;
	sync->name = name;
	sync->delivered = uidset_new();
	sync->arrived = g_array_new(FALSE, FALSE, sizeof(Arrived));
	sync->text = g_string_new(NULL);
	sync->below = known->uidnext;
	sync->since = known->highestmodseq;
	sync->assumed = assumed;
	request->known = *known;
	request->told_modseq = told_modseq;
	request->want_header = !mailbox->house->names_uid;
	pool_submit(mailbox->house->pool, request);
}

/* A listing that was complete when it was stored can be asked about before it is loaded. */
static gboolean
is_worth_assuming(Mailbox *mailbox)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return !mailbox->loaded && mailbox->state.count > 0 && mailbox->state.uidnext > 1;
}

void
mailbox_refresh(Mailbox *mailbox, gint64 max_age_us)
{
	gint64 now = g_get_monotonic_time();
	MailboxState known;
	gboolean start = FALSE, loaded;

	if (mailbox_attributes(mailbox) & (MAILBOX_NOSELECT | MAILBOX_LOCAL))
		return;
	if (!is_worth_assuming(mailbox))
		mailbox_load(mailbox);
	g_rw_lock_writer_lock(&mailbox->lock);
	loaded = mailbox->loaded;
	if (mailbox->syncing) {
		/* What is under way may have been answered before the news that brought us here. */
		mailbox->again = mailbox->again || max_age_us == 0;
	} else if (!mailbox->gone &&
		   (mailbox->synced_at == 0 || now - mailbox->synced_at >= max_age_us)) {
		start = mailbox->syncing = TRUE;
		mailbox->sync_began = now;
		mailbox->tried = FALSE;
		uidset_remove(mailbox->dropped, 1, G_MAXUINT32);
		uidset_remove(mailbox->flagged, 1, G_MAXUINT32);
		mailbox->overtaken = FALSE;
		mailbox->due_at = 0;
		known = loaded ? known_now(mailbox) : mailbox->state;
	}
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (start)
		sync_submit(mailbox, &known, !loaded);
	if (!loaded)
		mailbox_load(mailbox);
}

static void
flush_batch(Sync *sync)
{
	if (sync->batch != NULL)
		index_submit(sync->mailbox->house->index, g_steal_pointer(&sync->batch));
}

static IndexBatch *
batch_of(Sync *sync)
{
	if (sync->batch == NULL)
		sync->batch = index_batch_new(sync->mailbox->serial);
	return sync->batch;
}

/* Moves what arrived into the listing and lets everybody see it. */
static void
publish(Sync *sync)
{
	Mailbox *mailbox = sync->mailbox;
	gboolean added = FALSE;

	if (sync->arrived->len > 0) {
		IndexBatch *batch = batch_of(sync);
		g_autoptr(GArray) marked = g_array_new(FALSE, FALSE, sizeof(guint32));

		g_rw_lock_writer_lock(&mailbox->lock);
		for (guint i = 0; i < sync->arrived->len; i++) {
			Arrived *arrived = &g_array_index(sync->arrived, Arrived, i);
			IndexMessage row = {.info = arrived->info};

			row.info.keywords = sync->text->str + arrived->keywords;
			if (row.info.header != NULL)
				row.info.header = sync->text->str + arrived->header;
			if (uidset_contains(mailbox->dropped, row.info.uid))
				continue;
			if (mailbox_add_message(mailbox, batch, &row, NULL,
						sync->text->str + arrived->name)) {
				mailbox_note_arrival(mailbox, row.info.uid);
				added = TRUE;
			} else if (!uidset_contains(mailbox->flagged, row.info.uid) &&
				   messages_set_flags(mailbox->messages, row.info.uid,
						      row.info.flags, row.info.keywords)) {
				index_batch_flags(
					batch, row.info.uid,
					mailbox_stored_flags(mailbox, row.info.uid, row.info.flags),
					row.info.keywords);
				g_array_append_val(marked, row.info.uid);
			}
		}
		mailbox->marks += marked->len > 0;
		g_rw_lock_writer_unlock(&mailbox->lock);
		for (guint i = 0; i < marked->len; i++)
			mailbox->house->news->changed(mailbox->house->user, mailbox,
						      mailbox->serial,
						      g_array_index(marked, guint32, i));
		g_array_set_size(sync->arrived, 0);
		g_string_set_size(sync->text, 0);
	}
	flush_batch(sync);
	if (!sync->changed && !added)
		return;
	if (sync->changed) {
		g_rw_lock_writer_lock(&mailbox->lock);
		mailbox_note_change(mailbox);
		g_rw_lock_writer_unlock(&mailbox->lock);
	}
	sync->changed = FALSE;
	mailbox->house->news->listing(mailbox->house->user, mailbox);
	mailbox_wake(mailbox);
}

static void
on_selected(gpointer user, const MailboxState *now)
{
	Sync *sync = user;
	Mailbox *mailbox = sync->mailbox;
	guint32 old_serial, serial;

	if (!is_founded(sync))
		return;
	old_serial = mailbox->serial;
	if (old_serial != 0 && mailbox->state.uidvalidity == now->uidvalidity)
		return;
	serial = index_new_serial(mailbox->house->index);
	g_rw_lock_writer_lock(&mailbox->lock);
	mailbox->appended += messages_count(mailbox->messages) == 0;
	if (mailbox->exact != NULL)
		index_submit(mailbox->house->index, g_steal_pointer(&mailbox->exact));
	mailbox->n_exact = 0;
	messages_free(mailbox->messages);
	mailbox->messages = messages_new();
	if (!mailbox->house->names_uid)
		messages_reserve(mailbox->messages, now->count);
	g_array_set_size(mailbox->former, 0);
	mailbox_changes_reset(mailbox);
	mailbox->told_modseq = 0;
	mailbox->untold = 0;
	mailbox->serial = serial;
	mailbox->state = (MailboxState){.uidvalidity = now->uidvalidity, .uidnext = 1};
	mailbox->listed = FALSE;
	mailbox->version++;
	if (old_serial != 0)
		mailbox->changed = g_get_real_time() / G_USEC_PER_SEC;
	mailbox_store(mailbox);
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (old_serial != 0)
		bodies_remove_serial(mailbox->house->bodies, old_serial);
	mailbox->house->news->renumbered(mailbox->house->user, mailbox, old_serial, serial);
	/* Before those that are still to come, whose numbers are higher: who reads the directory
	 * meanwhile goes on from there. */
	mailbox_list_kept(mailbox);
}

static gsize
keep_text(Sync *sync, const char *text, gsize len)
{
	gsize at = sync->text->len;

	g_string_append_len(sync->text, text, len);
	g_string_append_c(sync->text, '\0');
	return at;
}

static void
on_message(gpointer user, const MessageInfo *info)
{
	Sync *sync = user;
	Arrived arrived = {.info = *info};

	if (!is_founded(sync))
		return;
	uidset_add(sync->delivered, info->uid, info->uid);
	arrived.info.flags &= LASTING_FLAGS;
	arrived.info.uidl = NULL;
	if (info->date == G_MININT64)
		arrived.info.date = name_date_of_header(info->header != NULL ? info->header : "",
							info->header_len);
	arrived.keywords = keep_text(sync, info->keywords, strlen(info->keywords));
	if (sync->mailbox->house->names_uid) {
		arrived.name = keep_text(sync, "", 0);
	} else {
		NameHeaders headers;
		g_autofree char *name = NULL;

		name_headers_parse(info->header != NULL ? info->header : "", info->header_len,
				   &headers);
		name = info->uidl != NULL
			       ? name_for_uidl(arrived.info.date, info->uidl, &headers)
			       : name_for_message(arrived.info.date, info->uid, &headers);
		name_headers_clear(&headers);
		arrived.name = keep_text(sync, name, strlen(name));
	}
	if (info->header != NULL)
		arrived.header = keep_text(sync, info->header, info->header_len);
	g_array_append_val(sync->arrived, arrived);
}

static void
on_flags(gpointer user, guint32 uid, guint32 flags, const char *keywords)
{
	Sync *sync = user;
	Mailbox *mailbox = sync->mailbox;
	const MessageEntry *entry;
	guint32 before, stored;
	gboolean changed;

	if (!is_founded(sync))
		return;
	flags &= LASTING_FLAGS;
	/* Perhaps of a message that was told of just before. */
	if (sync->arrived->len > 0)
		publish(sync);
	g_rw_lock_writer_lock(&mailbox->lock);
	entry = messages_get(mailbox->messages, uid);
	/* From before our own change, or of somebody's after it: it is asked for once more. */
	if (uidset_contains(mailbox->flagged, uid))
		entry = NULL;
	before = entry != NULL ? entry->flags : flags;
	changed = entry != NULL && messages_set_flags(mailbox->messages, uid, flags, keywords);
	/* Somebody has saved it after all. */
	if (entry != NULL && !(flags & MESSAGE_DELETED) && uidset_contains(mailbox->deleted, uid)) {
		uidset_remove(mailbox->deleted, uid, uid);
		uidset_remove(mailbox->hidden, uid, uid);
		sync->changed = TRUE;
	}
	if (before != flags) {
		mailbox_note_former(mailbox, uid, before);
		mailbox->marks++;
		mailbox->marked = g_get_real_time() / G_USEC_PER_SEC;
	}
	stored = mailbox_stored_flags(mailbox, uid, flags);
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (!changed)
		return;
	index_batch_flags(batch_of(sync), uid, stored, keywords);
	mailbox->house->news->changed(mailbox->house->user, mailbox, mailbox->serial, uid);
}

typedef struct {
	GArray *uids;
	GPtrArray *names;
} Removed;

static void
note_removed(gpointer user, guint32 uid, const char *name)
{
	Removed *removed = user;

	g_array_append_val(removed->uids, uid);
	g_ptr_array_add(removed->names, *name != '\0' ? g_strconcat(name, ".eml", NULL)
						      : g_strdup_printf("%u.eml", uid));
}

/* Tells index, cache and upstairs what has just left the listing. */
static void
tell_removed(Sync *sync, const Removed *removed)
{
	Mailbox *mailbox = sync->mailbox;

	for (guint i = 0; i < removed->uids->len; i++) {
		guint32 uid = g_array_index(removed->uids, guint32, i);

		index_batch_remove(batch_of(sync), uid);
		bodies_remove(mailbox->house->bodies, mailbox->serial, uid);
		mailbox->house->news->gone(mailbox->house->user, mailbox, mailbox->serial, uid,
					   removed->names->pdata[i]);
		sync->changed = TRUE;
	}
}

/* How many of @uids are here, below @below. Under the lock. */
static guint
count_here(const Mailbox *mailbox, const UidSet *uids, guint32 below)
{
	guint n = 0;

	for (guint i = 0; i < uidset_n_ranges(uids); i++) {
		guint32 first, last;

		uidset_range(uids, i, &first, &last);
		if (first < below)
			n += messages_rank(mailbox->messages, MIN(last, below - 1) + 1) -
			     messages_rank(mailbox->messages, first);
	}
	return n;
}

/* What the archive has stays, whatever becomes of it on the server. */
static void
remove_messages(Sync *sync, const UidSet *told, gboolean are_present)
{
	Mailbox *mailbox = sync->mailbox;
	g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	Removed removed = {gone, names};
	g_autoptr(UidSet) dropped = NULL;
	g_autoptr(UidSet) kept = mailbox_kept(mailbox);
	g_autoptr(UidSet) uids = uidset_copy(told);

	if (!is_founded(sync))
		return;
	publish(sync);
	if (are_present)
		uidset_add_all(uids, kept);
	else
		uidset_remove_all(uids, kept);
	uidset_remove_all(kept, told);
	g_rw_lock_writer_lock(&mailbox->lock);
	if (are_present) {
		messages_keep(mailbox->messages, uids, sync->below, note_removed, &removed);
		/* What we have removed since it was asked may still be in the answer. */
		dropped = uidset_intersect(mailbox->dropped, told);
		sync->holes = messages_rank(mailbox->messages, sync->below) -
				      count_here(mailbox, kept, sync->below) <
			      uidset_count(told) - uidset_count(dropped);
	} else {
		messages_remove(mailbox->messages, uids, note_removed, &removed);
	}
	for (guint i = 0; i < gone->len; i++)
		mailbox_changes_forget(mailbox, g_array_index(gone, guint32, i));
	g_rw_lock_writer_unlock(&mailbox->lock);
	tell_removed(sync, &removed);
}

static void
on_vanished(gpointer user, const UidSet *uids)
{
	remove_messages(user, uids, FALSE);
}

static void
on_present(gpointer user, const UidSet *uids)
{
	remove_messages(user, uids, TRUE);
}

/* --- bodies that come along, where a server has no other way to show a header
 * ------------------------- */

static gboolean
on_body_open(gpointer user, guint64 announced, GError **error)
{
	Sync *sync = user;

	if (!is_founded(sync) || sync->mailbox->serial == 0)
		return FALSE;
	body_writer_abort(sync->writer);
	sync->writer = body_writer_new(sync->mailbox->house->bodies, sync->mailbox->serial, error);
	return sync->writer != NULL;
}

static gboolean
on_body_data(gpointer user, const guint8 *data, gsize len, GError **error)
{
	Sync *sync = user;

	return sync->writer != NULL && body_writer_write(sync->writer, data, len, error);
}

static void
on_body_done(gpointer user, guint32 uid, const GError *error)
{
	Sync *sync = user;
	guint64 size;
	guint32 crc;

	if (error != NULL || uid == 0) {
		g_clear_pointer(&sync->writer, body_writer_abort);
		return;
	}
	/* Its message is to be there before its size is told. */
	publish(sync);
	if (sync->writer != NULL &&
	    body_writer_keep(g_steal_pointer(&sync->writer), uid, &size, &crc, NULL))
		mailbox_fetched(sync->mailbox, sync->mailbox->serial, uid, size, crc);
}

static void
on_batch(gpointer user)
{
	publish(user);
}

/* What was told of as new; and of what is older than was asked for, who is still there. */
static void
remove_heard(const Sync *sync, UidSet *uids)
{
	uidset_remove_all(uids, sync->delivered);
	if (sync->below > 1)
		uidset_remove(uids, 1, sync->below - 1);
}

/* We have made a message, and somebody has removed it before this line of the server's looked: no
 * VANISHED tells of what it never knew. But it was there before we asked, and was not told of as
 * new, where younger ones were, or twice. */
static void
remove_unheard(Sync *sync, const MailboxState *state)
{
	g_autoptr(UidSet) lost = uidset_copy(sync->ahead);
	g_autoptr(UidSet) once = NULL;

	remove_heard(sync, lost);
	g_rw_lock_reader_lock(&sync->mailbox->lock);
	once = uidset_copy(lost);
	uidset_remove_all(once, sync->mailbox->missed);
	g_rw_lock_reader_unlock(&sync->mailbox->lock);
	if (state->uidnext > 1)
		uidset_remove(once, 1, state->uidnext - 1);
	uidset_remove_all(lost, once);
	if (!uidset_is_empty(lost))
		remove_messages(sync, lost, FALSE);
	publish(sync);
}

/* Those of which nothing was heard: all from the first of them on is asked for once more. Under the
 * lock. */
static void
settle_ahead(Sync *sync)
{
	Mailbox *mailbox = sync->mailbox;
	g_autoptr(UidSet) open = uidset_copy(mailbox->ahead);
	guint32 first, last;

	remove_heard(sync, open);
	uidset_free(mailbox->missed);
	mailbox->missed = uidset_intersect(open, sync->ahead);
	if (!uidset_is_empty(open)) {
		uidset_range(open, 0, &first, &last);
		mailbox->state.uidnext = MIN(mailbox->state.uidnext, first);
	}
	mailbox->overtaken = mailbox->overtaken || !uidset_is_empty(mailbox->missed);
	if (mailbox->state.uidnext > 1)
		uidset_remove(mailbox->ahead, 1, mailbox->state.uidnext - 1);
	for (guint rank = messages_rank(mailbox->messages, mailbox->state.uidnext);
	     rank < messages_count(mailbox->messages); rank++) {
		guint32 uid = messages_at(mailbox->messages, rank)->uid;

		uidset_add(mailbox->ahead, uid, uid);
	}
}

/* The listing does not hold as many as the server says. What came and went between two looks of a
 * line is told of to nobody on it, though another line has listed it: so all is asked for, but not
 * again for what a look at all has left. TRUE: known_now() sees that the count is wrong. Under the
 * lock. */
static gboolean
is_miscounted(Mailbox *mailbox, const MailboxState *state)
{
	gint64 untold = (gint64)state->count - mailbox->state.count;
	gboolean odd = untold != mailbox->untold && !mailbox->overtaken &&
		       mailbox->house->numbers == NULL && !mailbox->recounted;

	if (mailbox->recounted && !mailbox->overtaken)
		mailbox->untold = untold;
	mailbox->recounted = odd;
	if (odd)
		mailbox->state.count = state->count;
	return odd;
}

/* It has come to its end. TRUE: one more is to follow at once. Under the lock. */
static gboolean
take_state(Sync *sync, const MailboxState *state)
{
	Mailbox *mailbox = sync->mailbox;
	gboolean odd;

	mailbox->state = *state;
	mailbox->n_synced++;
	/* What was told of these was not taken. */
	if (!uidset_is_empty(mailbox->flagged))
		mailbox->state.highestmodseq = MIN(state->highestmodseq, sync->since);
	settle_ahead(sync);
	mailbox->state.count =
		messages_count(mailbox->messages) - (guint)uidset_count(mailbox->ahead);
	odd = is_miscounted(mailbox, state);
	mailbox->listed = TRUE;
	mailbox->synced_at = g_get_monotonic_time();
	mailbox->known_at = mailbox->sync_began;
	mailbox->stale = mailbox->again || mailbox->overtaken || odd;
	mailbox->failed_at = 0;
	mailbox_store(mailbox);
	mailbox->due_at = mailbox->overtaken ? mailbox_pace(mailbox) : 0;
	return odd || mailbox->again ||
	       (mailbox->overtaken && mailbox->due_at <= mailbox->synced_at);
}

/* As above, of one that failed. Under the lock. */
static gboolean
take_failure(Mailbox *mailbox, const GError *error)
{
	gboolean first = !mailbox->tried;

	mailbox->error = g_error_copy(error);
	mailbox->failed_at = g_get_monotonic_time();
	mailbox->tried = TRUE;
	/* A line that was closed under us, as servers do after a long rest, deserves a second try.
	 */
	return first && g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Sync *sync = user;
	Mailbox *mailbox = sync->mailbox;
	MailboxState known;
	gboolean start = FALSE, put_off, misdirected;

	(void)is_founded(sync);
	misdirected = is_misdirected(sync);
	publish(sync);
	if (error == NULL && !sync->unfounded)
		remove_unheard(sync, state);
	mailbox_fetched(mailbox, 0, 0, 0, 0);
	if (error == NULL && mailbox_list_kept(mailbox))
		mailbox->house->news->listing(mailbox->house->user, mailbox);
	g_rw_lock_writer_lock(&mailbox->lock);
	if (!mailbox->gone)
		g_clear_error(&mailbox->error);
	if (misdirected || (error == NULL && (sync->holes || sync->unfounded)))
		start = !mailbox->gone;
	else if (error == NULL)
		start = take_state(sync, state);
	else
		start = take_failure(mailbox, error);
	mailbox->again = FALSE;
	mailbox->syncing = start;
	mailbox_store_flagged(mailbox);
	uidset_remove(mailbox->dropped, 1, G_MAXUINT32);
	uidset_remove(mailbox->flagged, 1, G_MAXUINT32);
	if (start) {
		mailbox->sync_began = g_get_monotonic_time();
		mailbox->overtaken = FALSE;
		mailbox->due_at = 0;
	}
	put_off = mailbox->due_at != 0;
	known = known_now(mailbox);
	/* What is missing below uidnext can only be had by listing everything; what is here stays.
	 */
	if (sync->holes)
		known = (MailboxState){.uidvalidity = mailbox->state.uidvalidity, .uidnext = 1};
	g_rw_lock_writer_unlock(&mailbox->lock);
	sync_free(sync);
	if (start)
		sync_submit(mailbox, &known, FALSE);
	else if (put_off)
		pool_look(mailbox->house->pool);
	if (!start || error == NULL)
		mailbox_wake(mailbox);
}

static const RequestEvents sync_events = {
	.selected = on_selected,
	.message = on_message,
	.flags = on_flags,
	.vanished = on_vanished,
	.present = on_present,
	.batch = on_batch,
	.body_open = on_body_open,
	.body_data = on_body_data,
	.body_done = on_body_done,
	.done = on_done,
};
