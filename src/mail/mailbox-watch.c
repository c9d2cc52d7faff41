/* SPDX-License-Identifier: MIT */
/* What a mailbox knows of being told: whether the server tells of every change, since when what is
 * known is right, and who counts on it. A promise given to the kernel outlives the reason for it
 * (the line may be lost the next moment): so a promised mailbox stays watched until the promise has
 * run out, and is asked for as soon as there is a line again. */
#include "mail/mailbox-private.h"

#include <string.h>

#define USED_S	     600
#define TRUST_US     (300 * G_USEC_PER_SEC) /* servers that push only some changes are asked then */
#define TRY_AGAIN_US (30 * G_USEC_PER_SEC)
#define PACE_US	     (3 * G_USEC_PER_SEC / 10) /* between looks at what our own changes bring */

static gint
now_s(void)
{
	return (gint)(g_get_monotonic_time() / G_USEC_PER_SEC);
}

static gboolean
in_use(Mailbox *mailbox, gint now)
{
	gint used = g_atomic_int_get(&mailbox->used);

	if (g_atomic_int_get(&mailbox->promised) > now)
		return TRUE;
	/* To ask about a maildrop is to lock it: not when nobody looks. */
	return used != 0 &&
	       (now - used < USED_S || (mailbox->house->numbers == NULL &&
					strcmp(mailbox_raw_name(mailbox), "INBOX") == 0));
}

void
mailbox_use(Mailbox *mailbox)
{
	gint now = now_s();
	gboolean known = in_use(mailbox, now);

	g_atomic_int_set(&mailbox->used, now);
	if (!known && (mailbox_attributes(mailbox) & MAILBOX_LOCAL) == 0)
		pool_look(mailbox->house->pool);
}

/* Under the lock. */
static gboolean
is_told(const Mailbox *mailbox, gboolean *settled_out)
{
	gboolean personal = (mailbox->attributes & MAILBOX_PERSONAL) != 0;
	gint64 since;

	if (mailbox->stale || mailbox->again || mailbox->known_at == 0)
		return FALSE;
	since = pool_told_since(mailbox->house->pool, mailbox_raw_name(mailbox), personal,
				settled_out);
	return since != 0 && mailbox->known_at >= since;
}

gint64
mailbox_max_age(Mailbox *mailbox, gint64 dir_time_us)
{
	g_autoptr(GRWLockReaderLocker) locker = NULL;

	mailbox_use(mailbox);
	locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	/* Not 0: what is under way is joined. */
	if (mailbox->stale)
		return mailbox_pace(mailbox) != 0 ? PACE_US : 1;
	return is_told(mailbox, NULL) ? MAX(dir_time_us, TRUST_US) : dir_time_us;
}

gboolean
mailbox_promise(Mailbox *mailbox)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	gboolean settled;

	if (!mailbox->listed || !is_told(mailbox, &settled) || !settled)
		return FALSE;
	g_atomic_int_set(&mailbox->promised, now_s() + MAILBOX_PROMISE_S + 1);
	return TRUE;
}

gboolean
mailbox_watch(Mailbox *mailbox, PoolWatch *out, gint *used_out, gboolean *promised_out)
{
	g_autoptr(GRWLockReaderLocker) locker = NULL;

	if (!in_use(mailbox, now_s()))
		return FALSE;
	locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	/* Nobody has seen anything of it yet that could be wrong. */
	if (mailbox->synced_at == 0 || (mailbox->attributes & MAILBOX_NOSELECT))
		return FALSE;
	*used_out = g_atomic_int_get(&mailbox->used);
	*promised_out = g_atomic_int_get(&mailbox->promised) > now_s();
	*out = (PoolWatch){
		.name = g_strdup(mailbox_raw_name(mailbox)),
		.personal = (mailbox->attributes & MAILBOX_PERSONAL) != 0,
		.numbered = mailbox->state.highestmodseq != 0,
		.known_at = mailbox->known_at,
	};
	return TRUE;
}

/* --- our own changes
 * ---------------------------------------------------------------------------------- */

void
mailbox_note_own(Mailbox *mailbox)
{
	mailbox->own_at = g_get_monotonic_time();
	mailbox->overtaken = mailbox->syncing || mailbox->overtaken;
}

gint64
mailbox_pace(const Mailbox *mailbox)
{
	if (mailbox->own_at == 0 || g_get_monotonic_time() - mailbox->own_at > PACE_US)
		return 0;
	return mailbox->sync_began + PACE_US;
}

void
mailbox_refresh_soon(Mailbox *mailbox)
{
	gboolean now;

	g_rw_lock_writer_lock(&mailbox->lock);
	mailbox->due_at = mailbox_pace(mailbox);
	now = mailbox->due_at <= g_get_monotonic_time();
	if (!now)
		mailbox->overtaken = mailbox->syncing || mailbox->overtaken;
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (now)
		mailbox_refresh(mailbox, 0);
	else
		pool_look(mailbox->house->pool);
}

gint64
mailbox_catch_up(Mailbox *mailbox)
{
	gint64 due;

	g_rw_lock_reader_lock(&mailbox->lock);
	due = mailbox->due_at;
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (due == 0 || due > g_get_monotonic_time())
		return due;
	mailbox_refresh(mailbox, 0);
	return 0;
}

/* --- hearing
 * ------------------------------------------------------------------------------------------ */

void
mailbox_told(Mailbox *mailbox)
{
	gboolean wanted;

	g_rw_lock_writer_lock(&mailbox->lock);
	mailbox->stale = TRUE;
	/* One that nobody has looked at can wait until somebody does. */
	wanted = mailbox->synced_at != 0 || mailbox->syncing;
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (wanted)
		mailbox_refresh_soon(mailbox);
}

/* Is this what is known? Under the lock. */
static gboolean
is_known(const Mailbox *mailbox, const MailboxStatus *status)
{
	const MailboxState *state = &mailbox->state;

	return (status->uidvalidity == 0 || status->uidvalidity == state->uidvalidity) &&
	       (status->uidnext == 0 || status->uidnext == state->uidnext) &&
	       (status->messages < 0 || status->messages == state->count) &&
	       (status->highestmodseq == 0 || status->highestmodseq == state->highestmodseq) &&
	       (status->unseen < 0 || mailbox->unseen < 0 || status->unseen == mailbox->unseen ||
		status->highestmodseq != 0);
}

void
mailbox_take_status(Mailbox *mailbox, const MailboxStatus *status)
{
	gboolean known, seen;

	g_rw_lock_writer_lock(&mailbox->lock);
	known = is_known(mailbox, status);
	seen = mailbox->synced_at != 0 || mailbox->syncing;
	if (status->unseen >= 0)
		mailbox->unseen = status->unseen;
	if (seen && !known) {
		mailbox->stale = TRUE;
		if (status->uidvalidity != mailbox->state.uidvalidity)
			mailbox->told_validity = status->uidvalidity;
		/* What is under way may have been answered before. */
		mailbox->overtaken = mailbox->overtaken || mailbox->syncing;
	}
	if (status->highestmodseq != 0 && status->uidvalidity == mailbox->state.uidvalidity)
		mailbox->told_modseq = status->highestmodseq;
	/* Only the modification sequence shows changed flags. */
	if (seen && known && status->highestmodseq != 0 && status->uidnext != 0 &&
	    !mailbox->stale && !mailbox->syncing)
		mailbox->known_at = g_get_monotonic_time();
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (seen && !known && in_use(mailbox, now_s()))
		mailbox_refresh_soon(mailbox);
}

/* --- asking
 * ------------------------------------------------------------------------------------------- */

void
mailbox_take_up(Mailbox *mailbox)
{
	gint64 now = g_get_monotonic_time();
	gboolean start;

	g_rw_lock_reader_lock(&mailbox->lock);
	start = !mailbox->syncing &&
		(mailbox->failed_at == 0 || now - mailbox->failed_at > TRY_AGAIN_US) &&
		now - mailbox->synced_at > G_USEC_PER_SEC;
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (start)
		mailbox_refresh(mailbox, 0);
}

gboolean
mailbox_ask_status(Mailbox *mailbox, gint64 every_us, gboolean prove)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);
	gint64 now = g_get_monotonic_time();
	gint64 last = prove ? mailbox->asked_at : MAX(mailbox->asked_at, mailbox->known_at);

	if (mailbox->syncing || (!mailbox->unsure && last != 0 && last + every_us > now))
		return FALSE;
	mailbox->asked_at = now;
	mailbox->unsure = FALSE;
	return TRUE;
}

void
mailbox_line_is_back(Mailbox *mailbox)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);

	mailbox->failed_at = 0;
	mailbox->unsure = TRUE;
}
