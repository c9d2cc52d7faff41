/* SPDX-License-Identifier: MIT */
/* A change of which nobody knows whether it is done (the line was lost on the way, mailfs was
 * killed), or as which UID a copy is there: both mailboxes are listed anew, and what is seen then
 * decides. Nothing is sent again before that. */
#include <string.h>

#include "mail/change-private.h"

#define TRIES_MOST 3

typedef struct {
	Changes *changes;
	GPtrArray *doubtful; /* of Change, all of one source and target */
	Mailbox *mailbox, *target;
} Look;

static void look_step(gpointer user);

/* Serial of the messages that the change speaks of, 0: they are numbered anew. */
static guint32
serial_now(const Change *change)
{
	MailboxView view;

	mailbox_view(change->mailbox, &view);
	return view.uidvalidity == change->uidvalidity ? view.messages : 0;
}

/* The copy that this change has made, 0: there is none. */
static guint32
find_copy(const Change *change, MailboxView *view_out)
{
	guint32 first = 0;

	mailbox_view(change->target, view_out);
	if (view_out->uidvalidity == change->target_validity)
		first = change->target_next;
	return mailbox_find_like(change->target, view_out->messages, change->copy->message_id,
				 change->copy->info.size, first);
}

static void
fail(Changes *changes, Change *change, MailfsError code, const char *text)
{
	g_autoptr(GError) error = g_error_new_literal(MAILFS_ERROR, (int)code, text);

	change_finish(changes, change, error);
}

static void
fail_renumbered(Changes *changes, Change *change)
{
	fail(changes, change, MAILFS_ERROR_STALE,
	     "the server has renumbered the mailbox meanwhile");
}

static void
do_again(Changes *changes, Change *change)
{
	MessageCopy *copy;

	if (change->tries >= TRIES_MOST) {
		fail(changes, change, MAILFS_ERROR_UNKNOWN_OUTCOME,
		     "the line is lost each time this is tried");
		return;
	}
	copy = mailbox_copy_of(change->mailbox, change->serial, change->uid);
	if (copy != NULL) {
		g_mutex_lock(&changes->lock);
		message_copy_free(change->copy);
		change->copy = copy;
		g_mutex_unlock(&changes->lock);
	}
	if (change->target != NULL)
		change->target_next = mailbox_next_uid(change->target, &change->target_validity);
	change->tries++;
	change->doubt = FALSE;
	change_submit(changes, change, FALSE);
}

/* It is copied, and is still where it was: the other half is to be done. */
static void
do_other_half(Changes *changes, Change *change)
{
	mailbox_settle_names(change->target);
	g_mutex_lock(&changes->lock);
	change_has_come(changes, change);
	change->kind = DO_EXPUNGE;
	change->target = NULL;
	g_mutex_unlock(&changes->lock);
	do_again(changes, change);
}

/* Is @uid of the target beyond doubt a copy of it, so that the message itself may go? What looks
 * alike is not enough: rather two than none. */
static gboolean
is_surely_copy(const Change *change, const MailboxView *view, guint32 uid)
{
	g_autoptr(MessageCopy) ours = mailbox_copy_of(change->mailbox, change->serial, change->uid);
	g_autoptr(MessageCopy) theirs = mailbox_copy_of(change->target, view->messages, uid);

	return ours != NULL && theirs != NULL && *ours->message_id != '\0' &&
	       change->target_next != 0 && uid >= change->target_next &&
	       view->uidvalidity == change->target_validity &&
	       strcmp(ours->message_id, theirs->message_id) == 0 &&
	       ours->info.size == theirs->info.size && ours->info.date == theirs->info.date;
}

/* A list's copy of a letter has the same Message-ID, and other bytes: it is not what a COPY has
 * made, and has no use for what is known of the bytes. */
static gboolean
is_like(Change *change, const MailboxView *view, guint32 uid)
{
	g_autoptr(MessageCopy) theirs = mailbox_copy_of(change->target, view->messages, uid);
	gboolean like = theirs != NULL && theirs->info.size == change->copy->info.size &&
			strcmp(theirs->message_id, change->copy->message_id) == 0;
	gboolean dated = like && theirs->info.date == change->copy->info.date;

	if (!dated)
		change->copy->has_crc = change->copy->exact = FALSE;
	return like && (dated || *theirs->message_id != '\0');
}

static void
decide_removal(Changes *changes, Change *change, gboolean there)
{
	if (there && change->lost && account_is_maildrop(changes->account))
		fail(changes, change, MAILFS_ERROR_UNKNOWN_OUTCOME,
		     "the line was lost before the server had said that it has deleted it");
	else if (there)
		do_again(changes, change);
	else
		change_finish(changes, change, NULL);
}

static void
decide(Changes *changes, Change *change)
{
	guint32 serial = serial_now(change);
	gboolean there, sure = change->copied, moving = change->kind == DO_MOVE && change->doubt;
	MailboxView view;
	guint32 copy;

	if (serial != 0)
		change->serial = serial;
	there = serial != 0 && mailbox_has(change->mailbox, serial, change->uid);
	if (change->kind == DO_EXPUNGE && serial != 0) {
		decide_removal(changes, change, there);
		return;
	}
	if (change->kind == DO_EXPUNGE) {
		fail_renumbered(changes, change);
		return;
	}
	copy = find_copy(change, &view);
	if (copy != 0 && there && moving && !sure)
		copy = is_surely_copy(change, &view, copy) ? copy : 0;
	if (copy != 0 && !is_like(change, &view, copy) && change->kind == DO_COPY && !sure)
		copy = 0;
	if (copy != 0)
		change_arrived(changes, change, view.uidvalidity, copy);
	else if (sure && change->name != NULL && !change->sought)
		mailbox_expect(change->target, change->copy->message_id, change->copy->info.size,
			       change->name);
	if (copy == 0 && sure && !(there && moving))
		changes_log(changes, "the server has copied %s, but does not list the copy yet",
			    change->copy->name);
	/* An OK alone is no copy: a server says it, too, when it has found nothing to copy. */
	if (copy != 0 && there && moving)
		do_other_half(changes, change);
	else if (there && moving)
		do_again(changes, change);
	else if (copy != 0 || sure)
		change_finish(changes, change, NULL);
	else if (there)
		do_again(changes, change);
	else if (serial == 0)
		fail_renumbered(changes, change);
	else
		fail(changes, change, MAILFS_ERROR_NOT_FOUND,
		     "it is in neither mailbox: somebody else was faster");
}

/* The mailboxes could not be listed. What was answered for waits for better times. */
static void
give_up_for_now(Changes *changes, Change *change, const GError *error)
{
	g_autoptr(GError) unknown = NULL;

	if (change->copied && !change->doubt && change_error_is_of_line(error)) {
		change_get_sought(changes, change);
	} else if (change->copied && !change->doubt) {
		if (change->name != NULL && !change->sought)
			mailbox_expect(change->target, change->copy->message_id,
				       change->copy->info.size, change->name);
		change_finish(changes, change, NULL);
	} else if (change->early && change_error_is_of_line(error)) {
		change_get_stuck(changes, change);
	} else if (change->early) {
		change_finish(changes, change, error);
	} else {
		unknown = g_error_new(MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME,
				      "the line was lost: it may or may not be done (%s)",
				      error->message);
		if (change->record != 0 && change_error_is_of_line(error))
			change_go_on_alone(changes, change, unknown);
		else
			change_finish(changes, change, unknown);
	}
}

static void
look_end(Look *look)
{
	g_autoptr(GError) error = mailbox_error(look->mailbox);

	if (error == NULL && look->target != NULL)
		error = mailbox_error(look->target);
	for (guint i = 0; i < look->doubtful->len; i++) {
		if (error == NULL)
			decide(look->changes, look->doubtful->pdata[i]);
		else
			give_up_for_now(look->changes, look->doubtful->pdata[i], error);
	}
	g_ptr_array_unref(look->doubtful);
	g_free(look);
}

static gboolean
waits_for(Look *look, Mailbox *mailbox)
{
	MailboxView view;

	if (mailbox == NULL)
		return FALSE;
	mailbox_view(mailbox, &view);
	return view.syncing && mailbox_wait(mailbox, look_step, look);
}

static void
look_step(gpointer user)
{
	Look *look = user;

	if (!waits_for(look, look->mailbox) && !waits_for(look, look->target))
		look_end(look);
}

static void
look_at(Changes *changes, GPtrArray *doubtful)
{
	Look *look = g_new0(Look, 1);
	const Change *first = doubtful->pdata[0];

	*look = (Look){.changes = changes,
		       .doubtful = doubtful,
		       .mailbox = first->mailbox,
		       .target = first->target};
	mailbox_refresh(look->mailbox, 0);
	if (look->target != NULL)
		mailbox_refresh(look->target, 0);
	look_step(look);
}

void
change_look(Changes *changes, GPtrArray *doubtful)
{
	while (doubtful->len > 0) {
		GPtrArray *group = g_ptr_array_new();
		const Change *first = doubtful->pdata[0];

		for (guint i = 0; i < doubtful->len;) {
			Change *change = doubtful->pdata[i];

			if (change->mailbox != first->mailbox || change->target != first->target) {
				i++;
				continue;
			}
			g_ptr_array_add(group, change);
			g_ptr_array_remove_index(doubtful, i);
		}
		look_at(changes, group);
	}
	g_ptr_array_unref(doubtful);
}
