/* SPDX-License-Identifier: MIT */
/* One request for many changes, and what becomes of each: done, refused, or not known (then
 * change-look.c finds out). What the events tell holds also when the request fails after them. */
#include <string.h>

#include "mail/change-private.h"

#define TRIES_MOST 3

typedef struct {
	Changes *changes;
	Lane *lane;
	ChangeKind kind;
	Mailbox *mailbox, *target;
	guint32 serial;
	GPtrArray *batch;   /* of Change */
	GHashTable *by_uid; /* UID → Change; not for STORE */
	RequestFlags add, remove;
	MailboxMoment asked;
	UidSet *gone, *marked, *stored;
} Flight;

/* --- hearing
 * ------------------------------------------------------------------------------------------ */

static Change *
change_of(const Flight *flight, guint32 uid)
{
	return g_hash_table_lookup(flight->by_uid, GUINT_TO_POINTER(uid));
}

static void
on_copied(gpointer user, const UidSet *source, guint32 uidvalidity, const UidSet *target)
{
	Flight *flight = user;
	guint range = 0;
	guint32 next = 0, end = 0;
	guint32 first, last;

	for (guint i = 0; i < uidset_n_ranges(source); i++) {
		uidset_range(source, i, &first, &last);
		for (guint64 uid = first; uid <= last; uid++) {
			Change *change = change_of(flight, (guint32)uid);

			if (target != NULL && next >= end && range < uidset_n_ranges(target)) {
				guint32 high;

				uidset_range(target, range++, &next, &high);
				end = high;
			} else if (target != NULL) {
				next++;
			}
			if (change == NULL)
				continue;
			change->copied = TRUE;
			change->copied_validity = target != NULL ? uidvalidity : 0;
			change->copied_uid = target != NULL ? next : 0;
		}
	}
}

static void
on_vanished(gpointer user, const UidSet *uids)
{
	Flight *flight = user;

	uidset_add_all(flight->gone, uids);
}

static void
on_marked(gpointer user, const UidSet *uids)
{
	Flight *flight = user;

	uidset_add_all(flight->marked, uids);
}

static void
on_stored(gpointer user, const UidSet *uids)
{
	Flight *flight = user;

	uidset_add_all(flight->stored, uids);
}

/* --- what becomes of each
 * ----------------------------------------------------------------------------- */

void
change_arrived(Changes *changes, Change *change, guint32 uidvalidity, guint32 uid)
{
	gboolean moved = change->kind == DO_MOVE;
	MailboxView view;
	MessageView victim;

	mailbox_view(change->target, &view);
	if (view.messages != 0 && view.uidvalidity == uidvalidity && change->copy->has_crc)
		bodies_move(account_bodies(changes->account), change->serial, change->uid,
			    view.messages, uid, !moved);
	if (!mailbox_adopt_copy(change->target, uidvalidity, uid, change->copy, change->name,
				&change->target_asked))
		return;
	if (change->victim == 0 || change->victim == uid ||
	    !mailbox_get(change->target, change->victim_serial, change->victim, &victim))
		return;
	change_remove_victim(changes, change->target, change->victim_serial, change->victim);
	change->victim = 0;
}

static gboolean
is_gone(const Flight *flight, const Change *change)
{
	return uidset_contains(flight->gone, change->uid) ||
	       uidset_contains(flight->marked, change->uid);
}

/* What is not told: looked for, when it can have happened; else the request's error. */
static void
conclude_untold(Flight *flight, Change *change, const GError *error, GPtrArray *doubtful)
{
	g_autoptr(GError) absent = NULL;
	/* The line went between COPY and the rest of a move: sent anew it would be there twice. */
	gboolean half = change->kind == DO_MOVE && change->copied && error != NULL &&
			change_error_is_of_line(error);

	if (error == NULL && change->kind != DO_EXPUNGE && !change->copied) {
		/* The server has not found it. */
		absent = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
					     "the message is no longer in the mailbox");
		mailbox_refresh(flight->mailbox, 0);
		change_finish(flight->changes, change, absent);
	} else if (error == NULL || half ||
		   g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME)) {
		change->doubt = TRUE;
		change->lost = error != NULL;
		g_ptr_array_add(doubtful, change);
	} else if (change->early && change_error_is_of_line(error)) {
		change_get_stuck(flight->changes, change);
	} else {
		change_finish(flight->changes, change, error);
	}
}

static void
conclude(Flight *flight, Change *change, const GError *error, GPtrArray *doubtful)
{
	gboolean well = change->kind == DO_EXPUNGE ? is_gone(flight, change)
			: change->kind == DO_COPY  ? change->copied
						   : change->copied && is_gone(flight, change);

	if (well && change->kind != DO_EXPUNGE && change->copied_uid == 0)
		g_ptr_array_add(doubtful, change); /* done, but as which? */
	else if (well)
		change_finish(flight->changes, change, NULL);
	else
		conclude_untold(flight, change, error, doubtful);
}

static void
conclude_store(Flight *flight, Change *change, const GError *error)
{
	g_autoptr(UidSet) stored = uidset_intersect(flight->stored, change->uids);
	g_autoptr(GError) absent = NULL;
	gboolean again = error != NULL && change->tries < TRIES_MOST &&
			 g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME);

	if (again) {
		/* Setting a flag twice does no harm. */
		change->tries++;
		change_submit(flight->changes, change, FALSE);
		return;
	}
	if (error == NULL && uidset_is_empty(stored))
		absent = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
					     "the message is no longer in the mailbox");
	change_finish(flight->changes, change, error != NULL ? error : absent);
}

/* The listing says so before anybody is told. */
static void
show(Flight *flight)
{
	Mailbox *mailbox = flight->mailbox;

	for (guint i = 0; i < flight->batch->len; i++) {
		Change *change = flight->batch->pdata[i];

		if (change->copied && change->copied_uid != 0)
			change_arrived(flight->changes, change, change->copied_validity,
				       change->copied_uid);
	}
	if (!uidset_is_empty(flight->stored))
		mailbox_put_flags(mailbox, flight->serial, flight->stored, flight->add.flags,
				  flight->add.keywords, flight->remove.flags,
				  flight->remove.keywords, &flight->asked);
	if (!uidset_is_empty(flight->marked))
		mailbox_mark(mailbox, flight->serial, flight->marked);
	if (!uidset_is_empty(flight->gone))
		mailbox_drop(mailbox, flight->serial, flight->gone);
}

static void
flight_free(Flight *flight)
{
	g_ptr_array_unref(flight->batch);
	g_hash_table_unref(flight->by_uid);
	g_free(flight->add.keywords);
	g_free(flight->remove.keywords);
	uidset_free(flight->gone);
	uidset_free(flight->marked);
	uidset_free(flight->stored);
	g_free(flight);
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Flight *flight = user;
	GPtrArray *doubtful = g_ptr_array_new();

	uidset_remove_all(flight->marked, flight->gone);
	show(flight);
	for (guint i = 0; i < flight->batch->len; i++) {
		Change *change = flight->batch->pdata[i];

		if (flight->kind == DO_STORE)
			conclude_store(flight, change, error);
		else
			conclude(flight, change, error, doubtful);
	}
	lane_landed(flight->changes, flight->lane, error == NULL);
	change_look(flight->changes, doubtful);
	flight_free(flight);
}

static const RequestEvents flight_events = {
	.copied = on_copied,
	.vanished = on_vanished,
	.marked = on_marked,
	.stored = on_stored,
	.done = on_done,
};

/* --- sending
 * ------------------------------------------------------------------------------------------ */

static Request *
request_for(Flight *flight, const Change *first)
{
	static const RequestKind kinds[] = {[DO_MOVE] = REQUEST_MOVE,
					    [DO_COPY] = REQUEST_COPY,
					    [DO_EXPUNGE] = REQUEST_EXPUNGE,
					    [DO_STORE] = REQUEST_STORE};
	Request *request = request_new(kinds[first->kind], mailbox_raw_name(first->mailbox),
				       &flight_events, flight);

	request->uidvalidity = first->uidvalidity;
	if (first->target != NULL)
		request->target = g_strdup(mailbox_raw_name(first->target));
	if (first->kind == DO_STORE) {
		request->add = (RequestFlags){flight->add.flags, g_strdup(flight->add.keywords)};
		request->remove =
			(RequestFlags){flight->remove.flags, g_strdup(flight->remove.keywords)};
	}
	/* What could not be removed before may be now, together with these. */
	request->uids = uidset_new();
	if (first->kind == DO_EXPUNGE)
		request->marked = mailbox_marked(first->mailbox, first->serial);
	for (guint i = 0; i < flight->batch->len; i++) {
		Change *change = flight->batch->pdata[i];

		if (change->kind == DO_STORE)
			uidset_add_all(request->uids, change->uids);
		else
			uidset_add(request->uids, change->uid, change->uid);
	}
	if (request->marked != NULL) {
		uidset_remove_all(request->marked, request->uids);
		uidset_add_all(request->uids, request->marked);
	}
	return request;
}

static gint
by_uid(gconstpointer a, gconstpointer b)
{
	const Change *left = *(Change *const *)a, *right = *(Change *const *)b;

	return left->uid < right->uid ? -1 : left->uid > right->uid;
}

void
change_fly(Changes *changes, Lane *lane, GPtrArray *batch)
{
	Flight *flight = g_new0(Flight, 1);
	const Change *first = batch->pdata[0];

	g_ptr_array_sort(batch, by_uid); /* copies are numbered in this order */
	first = batch->pdata[0];
	*flight = (Flight){
		.changes = changes,
		.lane = lane,
		.kind = first->kind,
		.mailbox = first->mailbox,
		.target = first->target,
		.serial = first->serial,
		.batch = batch,
		.by_uid = g_hash_table_new(NULL, NULL),
		.add = {first->add.flags, g_strdup(first->add.keywords)},
		.remove = {first->remove.flags, g_strdup(first->remove.keywords)},
		.asked = mailbox_moment(first->mailbox),
		.gone = uidset_new(),
		.marked = uidset_new(),
		.stored = uidset_new(),
	};
	for (guint i = 0; i < batch->len; i++) {
		Change *change = batch->pdata[i];

		change->copied = FALSE;
		if (change->target != NULL) {
			/* What has come there while this one waited is no copy of it. */
			change->target_next =
				mailbox_next_uid(change->target, &change->target_validity);
			change->target_asked = mailbox_moment(change->target);
		}
		g_hash_table_insert(flight->by_uid, GUINT_TO_POINTER(change->uid), change);
	}
	pool_submit(changes->pool, request_for(flight, first));
}
