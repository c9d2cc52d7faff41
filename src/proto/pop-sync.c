/* SPDX-License-Identifier: MIT */
/* The listing: the one mailbox, and what is in it. The headers come by way of pop-drop.c, which
 * needs them for its own end. */
#include "proto/pop-private.h"

#define BATCH 512

typedef struct {
	guint32 from; /* what is below is known to who asks */
	gboolean begun, finished;
	guint since_batch;
	guint32 body; /* of this message the body comes; 0: of none, or nobody wants it */
	GError *body_error;
	MailboxState state;
} Sync;

void
pop_task_start_list(PopBackend *self, Request *request)
{
	MailboxInfo info = {.name = POP_MAILBOX,
			    .attributes = MAILBOX_PERSONAL | MAILBOX_NOINFERIORS,
			    .prefix = "",
			    .messages = G_MAXUINT32};

	request->events->mailbox(request->user, &info);
	request_finish(request, NULL, NULL);
}

static gboolean
sync_next(PopBackend *self, PopTask *task)
{
	const MailboxState *known = &task->request->known;
	PopDrop *drop = &self->drop;
	Sync *sync = task->own;

	if (sync->begun || !pop_drop_is_ready(self, task))
		return FALSE;
	sync->begun = TRUE;
	sync->from = known->uidvalidity == drop->uidvalidity ? MAX(known->uidnext, 1) : 1;
	sync->state = (MailboxState){.uidvalidity = drop->uidvalidity,
				     .uidnext = drop->uidnext,
				     .count = drop->messages->len};
	task->request->events->selected(task->request->user, &sync->state);
	pop_drop_name(self, task, sync->from);
	return FALSE;
}

static void
tell_batch(PopTask *task)
{
	Sync *sync = task->own;

	sync->since_batch = 0;
	if (task->request->events->batch != NULL)
		task->request->events->batch(task->request->user);
}

static void
open_body(PopBackend *self, PopTask *task, guint32 uid, guint64 announced)
{
	const RequestEvents *events = task->request->events;
	Sync *sync = task->own;
	const char *header;
	gsize len;

	if (events->body_open == NULL)
		return;
	sync->body = uid;
	g_clear_error(&sync->body_error);
	if (!events->body_open(task->request->user, announced, &sync->body_error) &&
	    sync->body_error == NULL)
		sync->body_error =
			g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "not wanted");
	header = pop_header_text(self->drop.look.header, &len);
	for (gsize at = 0; at < len; at += 64 * 1024)
		pop_sync_body(self, task, (const guint8 *)header + at, MIN(len - at, 64 * 1024));
}

void
pop_sync_header(PopBackend *self, PopTask *task, guint entry, gboolean whole)
{
	const PopMessage *message = pop_drop_message(self, entry);
	Sync *sync = task->own;
	g_autofree char *header = NULL;
	MessageInfo info = {.uid = message->uid,
			    .size = message->size,
			    .date = G_MININT64,
			    .keywords = "",
			    .uidl = pop_drop_uidl(self, entry)};

	if (message->uid < sync->from)
		return;
	header = pop_header_fields(self->drop.look.header, &info.header_len);
	info.header = header;
	task->request->events->message(task->request->user, &info);
	if (whole)
		open_body(self, task, message->uid, message->size);
	if (++sync->since_batch >= BATCH)
		tell_batch(task);
}

void
pop_sync_body(PopBackend *self, PopTask *task, const guint8 *data, gsize len)
{
	Sync *sync = task->own;

	if (sync->body == 0 || sync->body_error != NULL)
		return;
	if (!task->request->events->body_data(task->request->user, data, len, &sync->body_error) &&
	    sync->body_error == NULL)
		sync->body_error =
			g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "not wanted");
}

static void
close_body(PopTask *task, const GError *why)
{
	Sync *sync = task->own;
	guint32 uid = sync->body;

	if (uid == 0)
		return;
	sync->body = 0;
	task->request->events->body_done(task->request->user, uid,
					 sync->body_error != NULL ? sync->body_error : why);
}

void
pop_sync_body_end(PopBackend *self, PopTask *task, guint entry)
{
	close_body(task, NULL);
}

void
pop_sync_dry(PopTask *task)
{
	if (((Sync *)task->own)->since_batch > 0)
		tell_batch(task);
}

/* Those that are left of what is known. Where messages that could not be looked at may be among
 * them under other names, nobody knows. */
static void
tell_present(PopBackend *self, PopTask *task)
{
	const PopDrop *drop = &self->drop;
	Sync *sync = task->own;
	g_autoptr(UidSet) present = NULL;

	if (sync->from <= 1 || (drop->skipped && (drop->strange || !drop->named)))
		return;
	present = uidset_copy(drop->taken);
	uidset_remove(present, sync->from, G_MAXUINT32);
	task->request->events->present(task->request->user, present);
}

void
pop_sync_named(PopBackend *self, PopTask *task)
{
	const PopDrop *drop = &self->drop;
	Sync *sync = task->own;

	sync->finished = TRUE;
	tell_present(self, task);
	sync->state.count = (guint32)uidset_count(drop->taken);
	sync->state.uidnext = drop->uidnext;
	/* It is asked for again next time. */
	if (drop->skipped_uid >= sync->from && drop->skipped_uid != 0)
		sync->state.uidnext = drop->skipped_uid;
}

static gboolean
sync_is_over(PopBackend *self, PopTask *task)
{
	Sync *sync = task->own;

	if (self->drop.stage == POP_DROP_FAILED && !sync->finished)
		pop_task_fail(task, g_error_copy(self->drop.error));
	return sync->finished || task->error != NULL;
}

static const MailboxState *
sync_state(PopTask *task)
{
	return &((Sync *)task->own)->state;
}

static void
sync_lost(PopBackend *self, PopTask *task, const GError *why)
{
	close_body(task, why);
}

static void
sync_free(PopTask *task)
{
	Sync *sync = task->own;

	g_clear_error(&sync->body_error);
	g_free(sync);
}

static const PopTaskOps sync_ops = {
	.next = sync_next,
	.is_over = sync_is_over,
	.state = sync_state,
	.lost = sync_lost,
	.free = sync_free,
};

gboolean
pop_task_is_sync(const PopTask *task)
{
	return task->ops == &sync_ops;
}

void
pop_task_start_sync(PopBackend *self, Request *request)
{
	pop_task_new(self, request, &sync_ops, g_new0(Sync, 1));
}
