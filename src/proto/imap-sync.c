/* SPDX-License-Identifier: MIT */
/* Bringing a listing up to date. Three questions, asked in as few round trips as the server allows:
 *
 *   what is new      UID FETCH from uidnext on, always, in the same write as EXAMINE (or NOOP, when
 * the mailbox is selected); what changed     QRESYNC tells with EXAMINE; else CHANGEDSINCE; else
 * the flags of all known messages; what is gone     QRESYNC and CHANGEDSINCE VANISHED tell; a sweep
 * of flags shows; else the count tells whether anything is, and only then UID SEARCH is asked.
 *
 * "n:*" always brings the last message too. When nothing is new that is the dearest part of it all:
 * to tell its RFC822.SIZE Dovecot reads the list of all files of a Maildir, 0.25 s for 100,000. So
 * behind EXAMINE the range has an end, and is asked for without one only when UIDNEXT lies beyond.
 *
 * The count is a check in every case: what the caller holds after this sync must be what the server
 * has. */
#include "proto/imap-private.h"

#include <string.h>

#define BATCH	      512
#define MAX_RANGES    500000 /* more do not fit into a response */
#define SEARCH_WIDTH  100000 /* UIDs a plain SEARCH: its answer has to fit into one response */
#define SEARCH_PIECES 64
#define MAX_ROUNDS    3
#define NEW_SPAN                                                                                   \
	65536 /* UIDs asked for behind EXAMINE: what a server that counts through them can bear */

enum { STEP_FIRST, STEP_NEW, STEP_CHANGED, STEP_SWEEP, STEP_SEARCH };

typedef struct {
	MailboxState known; /* nothing but the new UIDVALIDITY after a void */
	MailboxState state; /* to be remembered from now on */
	gboolean resync;    /* the mailbox was selected already */
	gboolean qresync;   /* EXAMINE was asked to tell the changes */
	gboolean told;	    /* selected() was called */
	gboolean refetch; /* void: what was asked for behind EXAMINE is not what is wanted; until it
			     is answered */
	gboolean restart; /* the server did not understand the parameters of EXAMINE */
	gboolean swept;	  /* present holds what a sweep showed */
	gboolean searching, search_answered;
	gboolean suspect;     /* something was expunged that only a search can name */
	gboolean vanishes;    /* VANISHED tells what is gone */
	guint fetches_of_new; /* in flight */
	guint32 highest;      /* UID delivered */
	guint32 asked;	      /* up to this UID new ones were asked for; G_MAXUINT32: to "*" */
	guint64 modseq;	      /* the highest that was told */
	guint64 claimed;      /* the line's claimed_modseq when this began */
	guint64 dropped;      /* by the parser, before the sweep */
	gboolean arrived;     /* messages, after the new ones were asked for */
	gboolean refused;     /* a range with an end, by a server that wants "*" */
	guint rounds;	      /* that asked for such */
	guint since_batch;
	UidSet *delivered; /* by message(), and not vanished since */
	UidSet *gone, *present;
} Sync;

static const ImapTaskOps sync_ops;

gboolean
imap_task_is_sync(const ImapTask *task)
{
	return task->ops == &sync_ops;
}

/* Asking
 * ----------------------------------------------------------------------------------------------------------
 */

static gboolean
ask(ImapBackend *self, ImapTask *task, guint step, const char *verb, const char *arguments)
{
	g_autoptr(GError) error = NULL;

	if (imap_task_submit(self, task, step, verb, arguments, &error))
		return TRUE;
	imap_task_fail(task, g_steal_pointer(&error));
	return FALSE;
}

static void
ask_new(ImapBackend *self, ImapTask *task)
{
	Sync *sync = task->own;
	guint32 first = sync->highest < G_MAXUINT32 ? MAX(sync->known.uidnext, sync->highest + 1)
						    : sync->highest;
	gboolean ends =
		sync->asked == 0 && !sync->resync && first > 1 && first < G_MAXUINT32 - NEW_SPAN;
	g_autofree char *last = ends ? g_strdup_printf("%u", first + NEW_SPAN - 1) : g_strdup("*");
	g_autofree char *arguments =
		g_strdup_printf("%u:%s (UID FLAGS INTERNALDATE RFC822.SIZE%s)", first, last,
				task->request->want_header
					? " BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT MESSAGE-ID)]"
					: "");

	sync->asked = ends ? first + NEW_SPAN - 1 : G_MAXUINT32;
	if (ask(self, task, STEP_NEW, "UID FETCH", arguments))
		sync->fetches_of_new++;
}

static void
ask_sweep(ImapBackend *self, ImapTask *task, guint32 first)
{
	Sync *sync = task->own;
	g_autofree char *arguments =
		g_strdup_printf("%u:%u (UID FLAGS)", first, sync->known.uidnext - 1);

	sync->swept = TRUE;
	sync->dropped = imap_parser_dropped(self->parser);
	ask(self, task, STEP_SWEEP, "UID FETCH", arguments);
}

/* What became of the messages that are known. */
static void
ask_changes(ImapBackend *self, ImapTask *task)
{
	Sync *sync = task->own;
	guint64 since = sync->known.highestmodseq;
	guint64 now = self->mailbox.highestmodseq;
	g_autofree char *arguments = NULL;

	if (sync->known.uidnext <= 1 || sync->known.count == 0)
		return;
	/* A server that counts backwards was restored from a backup: its numbers say nothing about
	 * what we know. */
	if (!self->condstore || since == 0 || now == 0 || (!sync->resync && now < since)) {
		ask_sweep(self, task, 1);
		return;
	}
	if (!sync->resync && now == since)
		return;
	sync->vanishes = self->qresync;
	arguments =
		g_strdup_printf("1:%u (UID FLAGS) (CHANGEDSINCE %" G_GUINT64_FORMAT "%s)",
				sync->known.uidnext - 1, since, self->qresync ? " VANISHED" : "");
	ask(self, task, STEP_CHANGED, "UID FETCH", arguments);
}

/* Something has come since the questions were asked. What this account has made over another line
 * is known, and yet it was not here when the known ones were asked about: what has become of it is
 * asked for now, or nobody ever would. A sweep has shown how far it went. */
static void
ask_again(ImapBackend *self, ImapTask *task)
{
	Sync *sync = task->own;
	guint n = uidset_n_ranges(sync->present);
	guint32 first, last = 0;

	if (n > 0)
		uidset_range(sync->present, n - 1, &first, &last);
	if (sync->resync && !sync->swept)
		ask_changes(self, task);
	else if (sync->resync && last + 1 < sync->known.uidnext)
		ask_sweep(self, task, last + 1);
	ask_new(self, task);
}

static void
ask_search(ImapBackend *self, ImapTask *task)
{
	Sync *sync = task->own;
	guint32 last = MAX(sync->known.uidnext - 1, sync->highest);
	gboolean extended = imap_backend_can(self, "ESEARCH");
	guint32 width = extended ? last : MAX(SEARCH_WIDTH, last / SEARCH_PIECES + 1);

	sync->searching = TRUE;
	uidset_free(sync->present);
	sync->present = uidset_new();
	for (guint64 first = 1; first <= last; first += width) {
		g_autofree char *arguments = g_strdup_printf(
			"%sUID %" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT,
			extended ? "RETURN (ALL) " : "", first, MIN(first + width - 1, last));

		if (!ask(self, task, STEP_SEARCH, "UID SEARCH", arguments))
			return;
	}
}

static void
begin_examine(ImapBackend *self, ImapTask *task)
{
	Sync *sync = task->own;
	const MailboxState *known = &sync->known;
	g_autofree char *parameters = NULL;
	g_autoptr(GError) error = NULL;

	sync->qresync = self->qresync && known->uidvalidity != 0 && known->highestmodseq != 0;
	if (sync->qresync && known->uidnext > 1)
		parameters = g_strdup_printf("(QRESYNC (%u %" G_GUINT64_FORMAT " 1:%u))",
					     known->uidvalidity, known->highestmodseq,
					     known->uidnext - 1);
	else if (self->condstore)
		parameters = g_strdup("(CONDSTORE)");
	if (!imap_backend_examine(self, task, STEP_FIRST, parameters, &error)) {
		imap_task_fail(task, g_steal_pointer(&error));
		return;
	}
	ask_new(self, task);
}

/* Selected already: NOOP makes the server look. Dovecot puts that off until it has answered what
 * stands behind it, so what it finds is asked for in a further round; when nothing has come, one
 * round trip was enough. */
static void
begin_resync(ImapBackend *self, ImapTask *task)
{
	if (!ask(self, task, STEP_FIRST, "NOOP", NULL))
		return;
	ask_changes(self, task);
	ask_new(self, task);
}

/* Hearing
 * ---------------------------------------------------------------------------------------------------------
 */

/* As soon as the numbering is known and before anything else is told. */
static void
tell_selected(ImapBackend *self, ImapTask *task)
{
	Sync *sync = task->own;

	if (sync->told)
		return;
	sync->told = TRUE;
	if (sync->known.uidvalidity != self->mailbox.uidvalidity) {
		sync->refetch = sync->known.uidnext > 1;
		sync->known =
			(MailboxState){.uidvalidity = self->mailbox.uidvalidity, .uidnext = 1};
	}
	task->request->events->selected(task->request->user, &self->mailbox);
}

static void
tell_batch(ImapTask *task)
{
	Sync *sync = task->own;

	if (sync->since_batch == 0)
		return;
	sync->since_batch = 0;
	if (task->request->events->batch != NULL)
		task->request->events->batch(task->request->user);
}

static void
count_batch(ImapTask *task)
{
	Sync *sync = task->own;

	if (++sync->since_batch >= BATCH)
		tell_batch(task);
}

static void
tell_message(ImapBackend *self, ImapTask *task, const ImapItems *items)
{
	Sync *sync = task->own;
	MessageInfo info = {
		.uid = items->uid,
		.flags = items->flags,
		.size = items->size,
		.date = items->date,
		.keywords = self->keywords->str,
	};

	if (task->request->want_header)
		info.header = imap_backend_header_text(self, items->fields, &info.header_len);
	uidset_add(sync->delivered, items->uid, items->uid);
	sync->highest = MAX(sync->highest, items->uid);
	task->request->events->message(task->request->user, &info);
	count_batch(task);
}

static void
tell_flags(ImapBackend *self, ImapTask *task, const ImapItems *items)
{
	task->request->events->flags(task->request->user, items->uid, items->flags,
				     self->keywords->str);
	count_batch(task);
}

static void
take_fetch(ImapBackend *self, ImapTask *task, const ImapItems *items)
{
	Sync *sync = task->own;
	/* What was asked for as new, not a change of flags told by the way. */
	gboolean whole = items->has_size || items->has_date || items->fields != NULL;

	if (items->uid < sync->known.uidnext) {
		/* By the end of the last command all changes up to it have been told: a server that
		 * must hold a VANISHED back may do so only for commands without UID, which are
		 * never used here. */
		sync->modseq = MAX(sync->modseq, items->modseq);
		if (sync->swept && !sync->searching)
			uidset_add(sync->present, items->uid, items->uid);
		/* "n:*" always brings the last message, new or not. */
		if (!whole && items->has_flags)
			tell_flags(self, task, items);
		return;
	}
	if (uidset_contains(sync->delivered, items->uid)) {
		if (!whole && items->has_flags)
			tell_flags(self, task, items);
	} else if (whole && !sync->refetch)
		tell_message(self, task, items);
	else if (sync->fetches_of_new == 0)
		self->changed = TRUE;
}

static void
take_vanished(ImapTask *task, const ImapResponse *response)
{
	Sync *sync = task->own;
	const ImapToken *last = &response->tokens[response->n_tokens - 1];
	g_autoptr(UidSet) uids = NULL;

	if (last->type == IMAP_TOKEN_ATOM)
		uids = uidset_parse(last->text, last->size, MAX_RANGES);
	if (uids == NULL) {
		sync->suspect = TRUE;
		return;
	}
	for (guint i = 0; i < uidset_n_ranges(uids); i++) {
		guint32 first;
		guint32 end;

		uidset_range(uids, i, &first, &end);
		uidset_add(sync->gone, first, end);
		uidset_remove(sync->delivered, first, end);
		uidset_remove(sync->present, first, end);
	}
	task->request->events->vanished(task->request->user, uids);
}

/* SEARCH 1 2 3 (MODSEQ 7), or ESEARCH (TAG "m3") UID ALL 1:3. */
static void
take_search(Sync *sync, const ImapResponse *response)
{
	gboolean extended = imap_token_is_atom(&response->tokens[0], "ESEARCH");

	sync->search_answered = TRUE;
	for (guint i = 1; i < response->n_tokens; i = imap_response_skip(response, i)) {
		const ImapToken *token = &response->tokens[i];
		g_autoptr(UidSet) uids = NULL;

		if (token->type != IMAP_TOKEN_ATOM ||
		    (extended && !imap_token_is_atom(token - 1, "ALL")))
			continue;
		uids = uidset_parse(token->text, token->size, MAX_RANGES);
		for (guint k = 0; uids != NULL && k < uidset_n_ranges(uids); k++) {
			guint32 first;
			guint32 last;

			uidset_range(uids, k, &first, &last);
			uidset_add(sync->present, first, last);
		}
	}
}

static gboolean
sync_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	Sync *sync = task->own;
	const ImapToken *word = &response->tokens[0];
	ImapItems items;

	if (imap_token_is_atom(word, "SEARCH") || imap_token_is_atom(word, "ESEARCH")) {
		if (sync->searching)
			take_search(sync, response);
		return TRUE;
	}
	if (!imap_token_is_atom(word, "VANISHED") &&
	    (!imap_items_parse(response, &items, self->keywords) || items.uid == 0 ||
	     items.body != NULL || items.header != NULL || items.n_parts > 0))
		return FALSE;
	/* Of which numbering, before the numbering is told? */
	if (self->examine != NULL && !self->uidvalidity_told) {
		sync->qresync = FALSE;
		return TRUE;
	}
	tell_selected(self, task);
	if (imap_token_is_atom(word, "VANISHED"))
		take_vanished(task, response);
	else
		take_fetch(self, task, &items);
	return TRUE;
}

gboolean
imap_task_sync_counts(ImapBackend *self, ImapTask *task, gint64 change)
{
	Sync *sync = task->own;

	if (change > 0)
		sync->arrived = TRUE;
	else if (!self->qresync)
		sync->suspect = TRUE;
	return change > 0 || self->qresync || !sync->searching;
}

/* Concluding
 * ------------------------------------------------------------------------------------------------------
 */

static guint64
count_below(const UidSet *set, guint32 end)
{
	g_autoptr(UidSet) below = uidset_copy(set);

	uidset_remove(below, end, G_MAXUINT32);
	return uidset_count(below);
}

/* Does what the caller will hold differ from what the server has? */
static gboolean
needs_search(const ImapBackend *self, const Sync *sync)
{
	gint64 known = sync->known.count;
	gint64 rest = (gint64)self->mailbox.count - (gint64)uidset_count(sync->delivered);

	if (self->mailbox.count == 0)
		return FALSE;
	if (sync->suspect)
		return TRUE;
	if (sync->known.uidnext <= 1)
		return FALSE;
	/* This line had not seen all of it yet when it was swept. */
	if (sync->swept)
		return (gint64)uidset_count(sync->present) != rest;
	/* VANISHED may name UIDs that were never known, but it must name enough. */
	if (sync->vanishes)
		return rest > known ||
		       rest + (gint64)count_below(sync->gone, sync->known.uidnext) < known;
	return rest != known;
}

/* A set of the known UIDs that are there; takes what is not there out of the delivered ones. */
static void
tell_present(ImapTask *task)
{
	Sync *sync = task->own;
	g_autoptr(UidSet) lost = uidset_copy(sync->delivered);

	for (guint i = 0; sync->searching && i < uidset_n_ranges(sync->present); i++) {
		guint32 first;
		guint32 last;

		uidset_range(sync->present, i, &first, &last);
		uidset_remove(lost, first, last);
	}
	if (sync->searching && !uidset_is_empty(lost)) {
		for (guint i = 0; i < uidset_n_ranges(lost); i++) {
			guint32 first;
			guint32 last;

			uidset_range(lost, i, &first, &last);
			uidset_remove(sync->delivered, first, last);
		}
		task->request->events->vanished(task->request->user, lost);
	}
	uidset_remove(sync->present, sync->known.uidnext, G_MAXUINT32);
	if (sync->known.uidnext > 1)
		task->request->events->present(task->request->user, sync->present);
	sync->known.count = (guint32)uidset_count(sync->present);
}

/* May there be new ones that were not asked for? */
static gboolean
needs_rest(const Sync *sync, const MailboxState *now)
{
	return sync->asked < G_MAXUINT32 && now->count > 0 &&
	       (sync->refused || now->uidnext == 0 || now->uidnext - 1 > sync->asked);
}

static void
conclude(ImapBackend *self, ImapTask *task)
{
	Sync *sync = task->own;
	const MailboxState *now = &self->mailbox;
	guint32 uidnext = MAX(sync->known.uidnext, now->uidnext);

	if ((sync->arrived || needs_rest(sync, now)) && !sync->searching &&
	    sync->rounds++ < MAX_ROUNDS) {
		sync->arrived = FALSE;
		ask_again(self, task);
		return;
	}
	if (sync->arrived)
		self->changed = TRUE;
	if (!sync->searching && needs_search(self, sync)) {
		ask_search(self, task);
		return;
	}
	if (now->count == 0) {
		uidset_remove(sync->present, 1, G_MAXUINT32);
		sync->searching = sync->swept = TRUE;
		tell_present(task);
	} else if (sync->searching ? sync->search_answered && !uidset_is_empty(sync->present)
				   : sync->swept)
		/* An empty answer contradicts the count: nothing is thrown away for that. */
		tell_present(task);
	tell_batch(task);
	if (sync->highest >= uidnext)
		uidnext = sync->highest < G_MAXUINT32 ? sync->highest + 1 : G_MAXUINT32;
	sync->state.uidvalidity = now->uidvalidity;
	sync->state.uidnext = uidnext;
	sync->state.highestmodseq = now->highestmodseq;
	/* What CHANGEDSINCE has told, and the count's base, hold on a line that has seen EXAMINE
	 * long ago too. */
	if (sync->resync && now->highestmodseq != 0)
		sync->state.highestmodseq = MAX(MAX(now->highestmodseq, sync->claimed),
						MAX(sync->known.highestmodseq, sync->modseq));
	/* Still not asked about. */
	if (sync->resync && sync->arrived)
		sync->state.highestmodseq = sync->known.highestmodseq;
	sync->state.count = sync->known.count + (guint32)uidset_count(sync->delivered);
	if (sync->vanishes && !sync->searching)
		sync->state.count = now->count;
}

static void
first_completed(ImapBackend *self, ImapTask *task, const ImapResponse *tagged)
{
	Sync *sync = task->own;

	if (!sync->resync && tagged->status != IMAP_STATUS_OK) {
		/* Parameters that were offered but not meant: once more without. */
		sync->restart =
			tagged->status == IMAP_STATUS_BAD && (self->condstore || self->qresync);
		return;
	}
	tell_selected(self, task);
	if (sync->resync || self->mailbox.count == 0)
		return;
	sync->vanishes = sync->qresync && sync->known.uidnext > 1 &&
			 self->mailbox.highestmodseq >= sync->known.highestmodseq;
	if (sync->refetch)
		ask_new(self, task);
	else if (!sync->vanishes)
		ask_changes(self, task);
}

static void
restart(ImapBackend *self, ImapTask *task)
{
	Sync *sync = task->own;

	sync->restart = FALSE;
	sync->asked = 0;
	self->condstore = self->qresync = FALSE;
	g_clear_error(&task->error);
	begin_examine(self, task);
}

static void
new_completed(ImapBackend *self, ImapTask *task, const ImapResponse *tagged)
{
	Sync *sync = task->own;

	/* From here on it is the second one's answers: told in order, from the first message on. */
	sync->refetch = FALSE;
	/* "n:*" of an empty mailbox is a mistake to some servers; and after a void only the second
	 * one counts. */
	if (--sync->fetches_of_new > 0 || tagged->status == IMAP_STATUS_OK ||
	    self->mailbox.count == 0)
		return;
	if (sync->asked < G_MAXUINT32)
		sync->refused = TRUE;
	else
		imap_task_fail(
			task, imap_refusal(self, tagged, "UID FETCH", MAILFS_ERROR_PROTOCOL, TRUE));
}

static void
sync_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command,
	       const ImapResponse *tagged)
{
	Sync *sync = task->own;
	gboolean ok = tagged->status == IMAP_STATUS_OK;
	guint64 modseq;

	/* RFC 7162 3.2.5: all up to there has been told. But Dovecot may say so of a change that
	 * came when it had looked already: so this counts from the next sync on. */
	if (ok && imap_code_number(tagged->code, "HIGHESTMODSEQ", G_MAXINT64, &modseq))
		self->claimed_modseq = MAX(self->claimed_modseq, modseq);
	switch (command->step) {
	case STEP_FIRST:
		first_completed(self, task, tagged);
		break;
	case STEP_NEW:
		new_completed(self, task, tagged);
		break;
	case STEP_CHANGED:
		if (!ok && task->error == NULL) {
			sync->vanishes = FALSE;
			ask_sweep(self, task, 1);
		}
		break;
	case STEP_SWEEP:
		if (!ok)
			imap_task_fail(task, imap_refusal(self, tagged, "UID FETCH",
							  MAILFS_ERROR_PROTOCOL, TRUE));
		/* A response that was not understood makes a message look gone. */
		else if (imap_parser_dropped(self->parser) != sync->dropped)
			sync->suspect = TRUE;
		break;
	default: /* STEP_SEARCH */
		if (!ok)
			imap_task_fail(task, imap_refusal(self, tagged, "UID SEARCH",
							  MAILFS_ERROR_PROTOCOL, TRUE));
		break;
	}
	if (task->commands > 0)
		return;
	if (sync->restart)
		restart(self, task);
	else if (task->error == NULL)
		conclude(self, task);
}

static const MailboxState *
sync_state(ImapTask *task)
{
	return &((Sync *)task->own)->state;
}

static void
sync_free(ImapTask *task)
{
	Sync *sync = task->own;

	uidset_free(sync->delivered);
	uidset_free(sync->gone);
	uidset_free(sync->present);
	g_free(sync);
}

static const ImapTaskOps sync_ops = {
	.data = sync_data,
	.completed = sync_completed,
	.dry = tell_batch,
	.state = sync_state,
	.free = sync_free,
};

void
imap_task_start_sync(ImapBackend *self, Request *request)
{
	Sync *sync = g_new0(Sync, 1);
	ImapTask *task;

	sync->resync = imap_backend_is_selected(self, request);
	sync->claimed = MAX(self->claimed_modseq, request->told_modseq);
	if (request->known.uidvalidity != 0)
		sync->known = request->known;
	sync->known.uidnext = MAX(sync->known.uidnext, 1);
	sync->delivered = uidset_new();
	sync->gone = uidset_new();
	sync->present = uidset_new();
	task = imap_task_new(self, request, &sync_ops, sync);
	if (sync->resync)
		begin_resync(self, task);
	else
		begin_examine(self, task);
	imap_task_settle(self, task);
}
