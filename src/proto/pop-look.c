/* SPDX-License-Identifier: MIT */
/* Looking at messages: TOP brings the header alone. Where it is refused all of the message has to
 * come; a server that knows no TOP at all is asked for it once. */
#include "proto/pop-private.h"

#include <string.h>

#define HEADER_COST 4096

void
pop_look_init(PopLook *look)
{
	look->entries = g_array_new(FALSE, FALSE, sizeof(guint));
	look->again = g_array_new(FALSE, FALSE, sizeof(guint));
	look->header = pop_header_new();
}

void
pop_look_clear(PopLook *look)
{
	if (look->entries == NULL)
		return;
	g_array_unref(g_steal_pointer(&look->entries));
	g_array_unref(g_steal_pointer(&look->again));
	pop_header_free(look->header);
}

void
pop_look_add(PopLook *look, guint entry)
{
	g_array_append_val(look->entries, entry);
}

static gboolean
is_whole(const PopCommand *command)
{
	return strcmp(command->verb, "RETR") == 0;
}

static gboolean
look_at_whole(PopBackend *self, PopTask *task, PopLook *look)
{
	PopCommand *command;
	guint entry;

	if (look->next_again == look->again->len)
		return FALSE;
	entry = g_array_index(look->again, guint, look->next_again++);
	command = pop_task_send(self, task, POP_STEP_LOOK, POP_FOLLOWS_MESSAGE, "RETR", "RETR %u",
				pop_drop_number(self, entry));
	command->entry = entry;
	command->cost = pop_drop_message(self, entry)->size;
	return TRUE;
}

gboolean
pop_look_next(PopBackend *self, PopTask *task, PopLook *look)
{
	PopCommand *command;
	guint entry;

	if (look->next == look->entries->len)
		return look_at_whole(self, task, look);
	if (self->no_top) {
		g_array_append_vals(look->again, &g_array_index(look->entries, guint, look->next),
				    look->entries->len - look->next);
		look->next = look->entries->len;
		return look_at_whole(self, task, look);
	}
	entry = g_array_index(look->entries, guint, look->next++);
	command = pop_task_send(self, task, POP_STEP_LOOK, POP_FOLLOWS_MESSAGE, "TOP", "TOP %u 0",
				pop_drop_number(self, entry));
	command->entry = entry;
	command->cost = HEADER_COST;
	return TRUE;
}

gboolean
pop_look_is_over(const PopLook *look)
{
	return look->next == look->entries->len && look->next_again == look->again->len;
}

void
pop_look_reply(PopBackend *self, PopTask *task, PopLook *look, PopCommand *command,
	       const PopReply *reply)
{
	pop_header_reset(look->header);
	look->told = FALSE;
	if (reply->status == POP_REPLY_OK) {
		self->top_worked = self->top_worked || !is_whole(command);
	} else if (is_whole(command)) {
		look->refused(self, task, command->entry, reply);
	} else {
		self->no_top = !self->top_worked && !pop_backend_can(self, "TOP");
		g_array_append_val(look->again, command->entry);
	}
}

static void
tell_header(PopBackend *self, PopTask *task, PopLook *look, const PopCommand *command)
{
	if (look->told)
		return;
	look->told = TRUE;
	look->header_came(self, task, command->entry, is_whole(command));
}

void
pop_look_data(PopBackend *self, PopTask *task, PopLook *look, const PopCommand *command,
	      const guint8 *data, gsize len)
{
	gsize taken = pop_header_feed(look->header, data, len);

	if (!pop_header_is_complete(look->header))
		return;
	tell_header(self, task, look, command);
	if (is_whole(command) && look->body != NULL && taken < len)
		look->body(self, task, data + taken, len - taken);
}

void
pop_look_end(PopBackend *self, PopTask *task, PopLook *look, const PopCommand *command)
{
	tell_header(self, task, look, command);
	if (is_whole(command) && look->body_end != NULL)
		look->body_end(self, task, command->entry);
}
