/* SPDX-License-Identifier: MIT */
/* Bodies and header blocks of messages that have a UID. A body goes to its requester while it comes
 * in; at its end its header tells whether it is the message that the listing means. */
#include "proto/pop-private.h"

enum { STEP_RETR };

typedef struct {
	GArray *entries; /* of guint; NULL: not known yet */
	guint next;
	PopHeader *header; /* of the body that is coming in */
	gboolean open;
	guint32 uid; /* of that body */
	GError *body_error;
	PopLook look; /* HEADERS */
} Fetch;

/* FETCH
 * ----------------------------------------------------------------------------------------------------------
 */

/* Those that are asked for and there. */
static GArray *
find_entries(PopBackend *self, const UidSet *uids)
{
	GArray *entries = g_array_new(FALSE, FALSE, sizeof(guint));
	g_autoptr(UidSet) there = uidset_intersect(self->drop.taken, uids);

	for (guint i = 0; i < uidset_n_ranges(there); i++) {
		guint32 first, last;
		guint entry;

		uidset_range(there, i, &first, &last);
		for (guint64 uid = first; uid <= last; uid++)
			if (pop_drop_find(self, (guint32)uid, &entry))
				g_array_append_val(entries, entry);
	}
	return entries;
}

static gboolean
is_ready(PopBackend *self, PopTask *task)
{
	Fetch *fetch = task->own;

	if (fetch->entries != NULL)
		return TRUE;
	if (!pop_drop_is_ready(self, task))
		return FALSE;
	fetch->entries = find_entries(self, task->request->uids);
	return TRUE;
}

static void
refuse_body(PopTask *task, guint32 uid, const GError *why)
{
	task->request->events->body_done(task->request->user, uid, why);
}

static gboolean
fetch_next(PopBackend *self, PopTask *task)
{
	Fetch *fetch = task->own;

	if (!is_ready(self, task))
		return FALSE;
	while (fetch->next < fetch->entries->len) {
		guint entry = g_array_index(fetch->entries, guint, fetch->next++);
		const PopMessage *message = pop_drop_message(self, entry);
		PopCommand *command;

		if (message->size > POP_MESSAGE_MAX) {
			g_autoptr(GError) error = g_error_new(MAILFS_ERROR, MAILFS_ERROR_TOO_BIG,
							      "the message has more than %u MiB",
							      (guint)(POP_MESSAGE_MAX >> 20));

			refuse_body(task, message->uid, error);
			continue;
		}
		command = pop_task_send(self, task, STEP_RETR, POP_FOLLOWS_MESSAGE, "RETR",
					"RETR %u", pop_drop_number(self, entry));
		command->entry = entry;
		command->cost = message->size;
		return TRUE;
	}
	return FALSE;
}

static gboolean
fetch_is_over(PopBackend *self, PopTask *task)
{
	Fetch *fetch = task->own;

	return fetch->entries != NULL && fetch->next == fetch->entries->len;
}

static void
not_wanted(Fetch *fetch)
{
	if (fetch->body_error == NULL)
		fetch->body_error =
			g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "not wanted");
}

static void
fetch_reply(PopBackend *self, PopTask *task, PopCommand *command, const PopReply *reply)
{
	const PopMessage *message = pop_drop_message(self, command->entry);
	Fetch *fetch = task->own;

	if (reply->status != POP_REPLY_OK) {
		g_autoptr(GError) error =
			pop_refusal(self, reply, "the message", MAILFS_ERROR_PROTOCOL, TRUE);

		refuse_body(task, message->uid, error);
		return;
	}
	fetch->open = TRUE;
	fetch->uid = message->uid;
	pop_header_reset(fetch->header);
	g_clear_error(&fetch->body_error);
	if (!task->request->events->body_open(task->request->user, message->size,
					      &fetch->body_error))
		not_wanted(fetch);
}

static void
fetch_data(PopBackend *self, PopTask *task, PopCommand *command, const guint8 *data, gsize len)
{
	Fetch *fetch = task->own;

	pop_header_feed(fetch->header, data, len);
	if (fetch->body_error == NULL &&
	    !task->request->events->body_data(task->request->user, data, len, &fetch->body_error))
		not_wanted(fetch);
}

static void
close_body(PopTask *task, const GError *why)
{
	Fetch *fetch = task->own;

	if (!fetch->open)
		return;
	fetch->open = FALSE;
	task->request->events->body_done(task->request->user, fetch->uid,
					 fetch->body_error != NULL ? fetch->body_error : why);
}

/* Is it the one that has this UID? If it is not, the names have changed their meaning: by another
 * size for it the next session is made to look at it. */
static gboolean
is_the_one(PopBackend *self, const PopHeader *header, const PopMessage *message)
{
	const PopNumbers *numbers = self->config->numbers;

	if (pop_header_agrees(header, &message->identity))
		return TRUE;
	numbers->resize(numbers->user, message->uid, G_MAXINT64);
	self->changed = TRUE;
	return FALSE;
}

static void
fetch_end(PopBackend *self, PopTask *task, PopCommand *command)
{
	const PopMessage *message = pop_drop_message(self, command->entry);
	Fetch *fetch = task->own;
	g_autoptr(GError) other = NULL;

	if (fetch->body_error == NULL && !is_the_one(self, fetch->header, message))
		other = g_error_new(MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
				    "%s sent another message than the one that was asked for",
				    self->config->host);
	close_body(task, other);
}

static void
fetch_lost(PopBackend *self, PopTask *task, const GError *why)
{
	close_body(task, why);
}

static void
fetch_free(PopTask *task)
{
	Fetch *fetch = task->own;

	if (fetch->entries != NULL)
		g_array_unref(fetch->entries);
	pop_header_free(fetch->header);
	pop_look_clear(&fetch->look);
	g_clear_error(&fetch->body_error);
	g_free(fetch);
}

static const PopTaskOps fetch_ops = {
	.next = fetch_next,
	.reply = fetch_reply,
	.data = fetch_data,
	.end = fetch_end,
	.is_over = fetch_is_over,
	.lost = fetch_lost,
	.free = fetch_free,
};

/* HEADERS
 * --------------------------------------------------------------------------------------------------------
 */

static gboolean
headers_next(PopBackend *self, PopTask *task)
{
	Fetch *fetch = task->own;
	gboolean known = fetch->entries != NULL;

	if (!is_ready(self, task))
		return FALSE;
	for (guint i = 0; !known && i < fetch->entries->len; i++)
		pop_look_add(&fetch->look, g_array_index(fetch->entries, guint, i));
	return pop_look_next(self, task, &fetch->look);
}

static gboolean
headers_is_over(PopBackend *self, PopTask *task)
{
	Fetch *fetch = task->own;

	return fetch->entries != NULL && pop_look_is_over(&fetch->look);
}

static void
tell_header(PopBackend *self, PopTask *task, guint entry, gboolean whole)
{
	const PopMessage *message = pop_drop_message(self, entry);
	Fetch *fetch = task->own;
	const char *text;
	gsize len;

	if (!is_the_one(self, fetch->look.header, message))
		return;
	text = pop_header_text(fetch->look.header, &len);
	task->request->events->header(task->request->user, message->uid, text, len);
}

static void
header_refused(PopBackend *self, PopTask *task, guint entry, const PopReply *reply)
{
	g_debug("pop %s: no header of message %u", self->config->host,
		pop_drop_number(self, entry));
}

static void
headers_reply(PopBackend *self, PopTask *task, PopCommand *command, const PopReply *reply)
{
	pop_look_reply(self, task, &((Fetch *)task->own)->look, command, reply);
}

static void
headers_data(PopBackend *self, PopTask *task, PopCommand *command, const guint8 *data, gsize len)
{
	pop_look_data(self, task, &((Fetch *)task->own)->look, command, data, len);
}

static void
headers_end(PopBackend *self, PopTask *task, PopCommand *command)
{
	pop_look_end(self, task, &((Fetch *)task->own)->look, command);
}

static const PopTaskOps headers_ops = {
	.next = headers_next,
	.reply = headers_reply,
	.data = headers_data,
	.end = headers_end,
	.is_over = headers_is_over,
	.free = fetch_free,
};

static void
start(PopBackend *self, Request *request, const PopTaskOps *ops)
{
	Fetch *fetch = g_new0(Fetch, 1);

	fetch->header = pop_header_new();
	pop_look_init(&fetch->look);
	fetch->look.header_came = tell_header;
	fetch->look.refused = header_refused;
	pop_task_new(self, request, ops, fetch);
}

void
pop_task_start_fetch(PopBackend *self, Request *request)
{
	start(self, request, &fetch_ops);
}

void
pop_task_start_headers(PopBackend *self, Request *request)
{
	start(self, request, &headers_ops);
}
