/* SPDX-License-Identifier: MIT */
/* Deleting, by a line that does nothing else. Each message is looked at first: a name that means
 * another message than it did would be the end of that one. Then DELE, for all of them, then QUIT:
 * until the server has said +OK to that nothing is deleted (RFC 1939 6). */
#include "proto/pop-private.h"

enum { STEP_DELE, STEP_QUIT };

typedef struct {
	PopLook look;
	gboolean ready;
	GArray *doomed;	 /* of guint: entries that are what they should be */
	guint next;	 /* of them to be sent */
	gboolean begun;	 /* a DELE was sent */
	UidSet *gone;	 /* not in the maildrop */
	UidSet *deleted; /* +OK to DELE */
	gboolean quit_asked, quit_done;
} Delete;

static void
look_at(PopBackend *self, PopTask *task)
{
	const UidSet *uids = task->request->uids;
	g_autoptr(UidSet) there = uidset_intersect(self->drop.taken, uids);
	Delete *delete = task->own;

	uidset_add_all(delete->gone, uids);
	uidset_remove_all(delete->gone, there);
	for (guint i = 0; i < uidset_n_ranges(there); i++) {
		guint32 first, last;
		guint entry;

		uidset_range(there, i, &first, &last);
		for (guint64 uid = first; uid <= last; uid++)
			if (pop_drop_find(self, (guint32)uid, &entry))
				pop_look_add(&delete->look, entry);
	}
}

static gboolean
send_quit(PopBackend *self, PopTask *task)
{
	Delete *delete = task->own;

	if (delete->quit_asked || task->commands > 0)
		return FALSE;
	delete->quit_asked = self->quit_sent = TRUE;
	pop_task_send(self, task, STEP_QUIT, POP_FOLLOWS_NOTHING, "QUIT", "QUIT");
	return TRUE;
}

/* QUIT where the server deletes by it what was read: had all of a message to be read to see that it
 * is not the one, it would go too. Without a word nothing does. */
static gboolean
would_cost_others(const PopBackend *self, const PopTask *task)
{
	const Delete *delete = task->own;

	return self->keeps_nothing && !delete->begun &&
	       (task->error != NULL || delete->doomed->len == 0);
}

static gboolean
delete_next(PopBackend *self, PopTask *task)
{
	Delete *delete = task->own;
	PopCommand *command;
	guint entry;

	if (!delete->ready) {
		if (task->error != NULL)
			return FALSE;
		delete->ready = pop_drop_is_ready(self, task);
		if (!delete->ready)
			return FALSE;
		look_at(self, task);
	}
	if (pop_look_next(self, task, &delete->look))
		return TRUE;
	if (!delete->begun && task->commands > 0)
		return FALSE;
	if (would_cost_others(self, task)) {
		delete->quit_done = self->base.leave = self->gone = TRUE;
		return FALSE;
	}
	if (delete->next == delete->doomed->len)
		return send_quit(self, task);
	delete->begun = TRUE;
	entry = g_array_index(delete->doomed, guint, delete->next++);
	command = pop_task_send(self, task, STEP_DELE, POP_FOLLOWS_NOTHING, "DELE", "DELE %u",
				pop_drop_number(self, entry));
	command->entry = entry;
	return TRUE;
}

static void
seen(PopBackend *self, PopTask *task, guint entry, gboolean whole)
{
	const PopNumbers *numbers = self->config->numbers;
	const PopMessage *message = pop_drop_message(self, entry);
	Delete *delete = task->own;
	PopIdentity identity;

	pop_header_identity(delete->look.header, &identity);
	if (pop_identity_equal(&identity, &message->identity)) {
		g_array_append_val(delete->doomed, entry);
		return;
	}
	numbers->resize(numbers->user, message->uid, G_MAXINT64);
	if (task->error == NULL)
		task->error = g_error_new(MAILFS_ERROR, MAILFS_ERROR_STALE,
					  "%s has given the name of the message to another one: it "
					  "is not deleted",
					  self->config->host);
}

static void
not_seen(PopBackend *self, PopTask *task, guint entry, const PopReply *reply)
{
	if (task->error == NULL)
		task->error = pop_refusal(self, reply, "a look at the message to be deleted",
					  MAILFS_ERROR_DENIED, TRUE);
}

static void
delete_reply(PopBackend *self, PopTask *task, PopCommand *command, const PopReply *reply)
{
	Delete *delete = task->own;

	if (command->step == POP_STEP_LOOK) {
		pop_look_reply(self, task, &delete->look, command, reply);
	} else if (reply->status == POP_REPLY_OK && command->step == STEP_DELE) {
		guint32 uid = pop_drop_message(self, command->entry)->uid;

		uidset_add(delete->deleted, uid, uid);
	} else if (reply->status != POP_REPLY_OK && command->step == STEP_DELE) {
		if (task->error == NULL)
			task->error = pop_refusal(self, reply, "to delete the message",
						  MAILFS_ERROR_DENIED, TRUE);
	} else if (command->step == STEP_QUIT) {
		delete->quit_done = TRUE;
		self->base.leave = self->gone = TRUE;
		/* Some are, and some are not. */
		if (reply->status != POP_REPLY_OK && delete->begun) {
			g_clear_error(&task->error);
			task->error = pop_refusal(self, reply, "to finish deleting",
						  MAILFS_ERROR_UNKNOWN_OUTCOME, TRUE);
			task->error->code = MAILFS_ERROR_UNKNOWN_OUTCOME;
			uidset_remove(delete->deleted, 1, G_MAXUINT32);
		}
	}
}

static void
delete_data(PopBackend *self, PopTask *task, PopCommand *command, const guint8 *data, gsize len)
{
	pop_look_data(self, task, &((Delete *)task->own)->look, command, data, len);
}

static void
delete_end(PopBackend *self, PopTask *task, PopCommand *command)
{
	if (command->step == POP_STEP_LOOK)
		pop_look_end(self, task, &((Delete *)task->own)->look, command);
}

static gboolean
delete_is_over(PopBackend *self, PopTask *task)
{
	Delete *delete = task->own;

	/* The maildrop could not even be listed. */
	if (!delete->ready && task->error != NULL)
		return TRUE;
	if (!delete->quit_done)
		return FALSE;
	uidset_add_all(delete->gone, delete->deleted);
	if (!uidset_is_empty(delete->gone))
		task->request->events->vanished(task->request->user, delete->gone);
	return TRUE;
}

/* RFC 1939 says that nothing is deleted then; not all servers have read it. */
static void
delete_lost(PopBackend *self, PopTask *task, const GError *why)
{
	Delete *delete = task->own;

	if (!delete->begun)
		return;
	g_clear_error(&task->error);
	task->error = g_error_new(MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME,
				  "the line was lost before %s confirmed the deletion, which most "
				  "likely was not done: %s",
				  self->config->host, why->message);
}

static void
delete_free(PopTask *task)
{
	Delete *delete = task->own;

	pop_look_clear(&delete->look);
	g_array_unref(delete->doomed);
	uidset_free(delete->gone);
	uidset_free(delete->deleted);
	g_free(delete);
}

static const PopTaskOps delete_ops = {
	.next = delete_next,
	.reply = delete_reply,
	.data = delete_data,
	.end = delete_end,
	.is_over = delete_is_over,
	.lost = delete_lost,
	.free = delete_free,
	.goes_on = TRUE,
};

void
pop_task_start_delete(PopBackend *self, Request *request)
{
	Delete *delete = g_new0(Delete, 1);

	self->deleting = TRUE;
	pop_look_init(&delete->look);
	delete->look.header_came = seen;
	delete->look.refused = not_seen;
	delete->doomed = g_array_new(FALSE, FALSE, sizeof(guint));
	delete->gone = uidset_new();
	delete->deleted = uidset_new();
	pop_task_new(self, request, &delete_ops, delete);
}
