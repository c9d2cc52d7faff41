/* SPDX-License-Identifier: MIT */
/* Commands on their way out. They are written one behind the other, in pieces where a literal has
 * to wait for the server's "+", and never faster than the line takes them: the body of a message is
 * read from its file as the queue empties. The size announced is the size sent. When a file turns
 * out to be shorter, the line is broken off, which is the only way to leave nothing of it behind.
 */
#include "proto/imap-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_FULL   (256 * 1024) /* bytes that wait in the wire */
#define STEP	     (64 * 1024)  /* of a body, in memory at a time */
#define PUMPS_A_TURN 16

ImapCommand *
imap_command_new(ImapBackend *self, const char *verb)
{
	ImapCommand *command = g_new0(ImapCommand, 1);

	g_snprintf(command->tag, sizeof command->tag, "m%u", ++self->next_tag);
	command->verb = verb;
	command->writer = imap_writer_new(command->tag, verb, self->literal_plus);
	return command;
}

void
imap_command_free(ImapCommand *command)
{
	if (command == NULL)
		return;
	imap_writer_free(command->writer);
	if (command->pieces != NULL)
		g_ptr_array_unref(command->pieces);
	if (command->bodies != NULL)
		g_array_unref(command->bodies);
	if (command->keep != NULL)
		g_ptr_array_unref(command->keep);
	g_free(command);
}

void
imap_command_body(ImapCommand *command, const AppendMessage *message, GPtrArray *messages,
		  gboolean waits)
{
	ImapBody body = {.fd = message->fd, .bytes = message->bytes, .size = message->size};

	body.piece = imap_writer_literal(command->writer, message->size, waits);
	if (command->bodies == NULL) {
		command->bodies = g_array_new(FALSE, FALSE, sizeof(ImapBody));
		command->keep = g_ptr_array_ref(messages);
	}
	g_array_append_val(command->bodies, body);
}

/* The body that comes next, behind the pieces sent so far. */
static ImapBody *
next_body(const ImapCommand *command)
{
	ImapBody *body;

	if (command->bodies == NULL || command->bodies_sent == command->bodies->len)
		return NULL;
	body = &g_array_index(command->bodies, ImapBody, command->bodies_sent);
	return body->piece + 1 == command->sent ? body : NULL;
}

/* "{5}" is answered by "+" before more may be sent, "{5+}" is not. */
static gboolean
waits_behind(const ImapCommand *command, guint piece)
{
	gsize len;
	const char *data = g_bytes_get_data(g_ptr_array_index(command->pieces, piece), &len);

	return piece + 1 < command->pieces->len && (len < 4 || data[len - 4] != '+');
}

static gboolean
break_off(ImapBackend *self, const char *why)
{
	if (self->broken == NULL)
		g_set_error(&self->broken, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
			    "the message that was being sent to %s could not be read: %s",
			    self->config->host, why);
	return FALSE;
}

static gboolean
send_from_file(ImapBackend *self, const ImapBody *body, gsize want)
{
	g_autofree char *buffer = g_malloc(want);
	gsize got = 0;

	while (got < want) {
		ssize_t n = pread(body->fd, buffer + got, want - got, (off_t)(body->done + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return break_off(self, n < 0 ? g_strerror(errno) : "it has become shorter");
		got += (gsize)n;
	}
	wire_send(self->base.wire, buffer, got);
	return TRUE;
}

/* FALSE: it has to go on later, or not at all (self->broken). */
static gboolean
write_body(ImapBackend *self, ImapCommand *command, ImapBody *body)
{
	while (body->done < body->size) {
		gsize want = (gsize)MIN(body->size - body->done, STEP);

		if (wire_unsent(self->base.wire) >= QUEUE_FULL)
			return FALSE;
		if (body->fd < 0)
			wire_send(self->base.wire,
				  (const char *)g_bytes_get_data(body->bytes, NULL) + body->done,
				  want);
		else if (!send_from_file(self, body, want))
			return FALSE;
		body->done += want;
		/* The line takes our bytes, so it lives. */
		self->waiting_since = g_get_monotonic_time();
		self->upload_left = G_MAXUINT64;
	}
	command->bodies_sent++;
	return TRUE;
}

static void
write_piece(ImapBackend *self, ImapCommand *command)
{
	guint piece = command->sent++;
	gsize len;
	gconstpointer data = g_bytes_get_data(g_ptr_array_index(command->pieces, piece), &len);

	wire_send(self->base.wire, data, len);
	self->wants_continue = waits_behind(command, piece);
}

/* Writes what may be written: nothing behind a literal that waits for its "+", nothing into IDLE.
 */
void
imap_backend_write(ImapBackend *self)
{
	ImapCommand *command;

	while (!self->wants_continue && self->broken == NULL &&
	       (command = g_queue_peek_head(&self->unsent)) != NULL) {
		ImapBody *body;

		if (self->idle == IMAP_IDLE_ASKED)
			return;
		if (self->idle == IMAP_IDLE_ON) {
			wire_send(self->base.wire, "DONE\r\n", 6);
			self->idle = IMAP_IDLE_ENDING;
		}
		body = next_body(command);
		if (body != NULL) {
			if (!write_body(self, command, body))
				return;
			continue;
		}
		write_piece(self, command);
		if (command->sent < command->pieces->len)
			continue;
		g_queue_pop_head(&self->unsent);
		g_ptr_array_set_size(command->pieces, 0); /* there may be a password inside */
		if (command->is_idle)
			self->idle = IMAP_IDLE_ASKED;
		if (command->is_rest)
			imap_command_free(command);
	}
}

gboolean
imap_backend_pump(ImapBackend *self)
{
	for (guint i = 0; i < PUMPS_A_TURN; i++) {
		imap_backend_write(self);
		if (self->wants_continue || self->broken != NULL || self->idle == IMAP_IDLE_ASKED ||
		    g_queue_is_empty(&self->unsent))
			return FALSE;
		/* Full, or it would not be behind: whoever waits is woken when it has emptied. */
		if (!wire_flush(self->base.wire, NULL) || wire_unsent(self->base.wire) > 0)
			return FALSE;
	}
	return TRUE;
}

gboolean
imap_backend_submit(ImapBackend *self, ImapCommand *command, GError **error)
{
	command->pieces = imap_writer_finish(command->writer, error);
	g_clear_pointer(&command->writer, imap_writer_free);
	if (command->pieces == NULL) {
		imap_command_free(command);
		return FALSE;
	}
	g_debug("imap %s: %s %s", self->config->host, command->tag, command->verb);
	if (command->task != NULL)
		command->task->commands++;
	if (g_queue_is_empty(&self->commands) || self->idle == IMAP_IDLE_ON)
		self->waiting_since = g_get_monotonic_time();
	g_queue_push_tail(&self->commands, command);
	g_queue_push_tail(&self->unsent, command);
	imap_backend_write(self);
	return TRUE;
}

gboolean
imap_task_submit(ImapBackend *self, ImapTask *task, guint step, const char *verb,
		 const char *arguments, GError **error)
{
	ImapCommand *command = imap_command_new(self, verb);

	command->task = task;
	command->step = step;
	if (arguments != NULL)
		imap_writer_raw(command->writer, arguments);
	return imap_backend_submit(self, command, error);
}

gboolean
imap_task_submit_mailbox(ImapBackend *self, ImapTask *task, guint step, const char *verb,
			 const char *mailbox, const char *arguments, GError **error)
{
	ImapCommand *command = imap_command_new(self, verb);

	command->task = task;
	command->step = step;
	imap_writer_mailbox(command->writer, mailbox);
	if (arguments != NULL)
		imap_writer_raw(command->writer, arguments);
	return imap_backend_submit(self, command, error);
}

/* Answered in the middle of a literal that nobody waited for: the server reads on to its end, so
 * what is left of the command has to be sent all the same. */
static ImapCommand *
rest_of(ImapCommand *command)
{
	ImapCommand *rest = g_new0(ImapCommand, 1);

	rest->verb = command->verb;
	rest->is_rest = TRUE;
	rest->pieces = g_steal_pointer(&command->pieces);
	rest->bodies = g_steal_pointer(&command->bodies);
	rest->keep = g_steal_pointer(&command->keep);
	rest->sent = command->sent;
	rest->bodies_sent = command->bodies_sent;
	return rest;
}

ImapCommand *
imap_backend_take_command(ImapBackend *self, const char *tag)
{
	for (GList *link = self->commands.head; link != NULL; link = link->next) {
		ImapCommand *command = link->data;
		GList *waiting;

		if (strcmp(command->tag, tag) != 0)
			continue;
		if (command->sent == 0)
			return NULL; /* answered before it was asked */
		waiting = g_queue_find(&self->unsent, command);
		if (waiting != NULL && self->wants_continue) {
			g_queue_delete_link(&self->unsent, waiting);
			self->wants_continue = FALSE;
		} else if (waiting != NULL)
			waiting->data = rest_of(command);
		g_queue_delete_link(&self->commands, link);
		return command;
	}
	return NULL;
}

gboolean
imap_command_was_sent(const ImapBackend *self, const ImapCommand *command)
{
	return g_queue_find((GQueue *)&self->unsent, command) == NULL;
}

void
imap_backend_clear_commands(ImapBackend *self)
{
	ImapCommand *command;

	while ((command = g_queue_pop_head(&self->unsent)) != NULL)
		if (command->is_rest)
			imap_command_free(command);
	g_queue_clear_full(&self->commands, (GDestroyNotify)imap_command_free);
}

gboolean
imap_backend_uploads(ImapBackend *self)
{
	guint64 left = wire_unacknowledged(self->base.wire);
	gboolean moves = left < self->upload_left;

	self->upload_left = left;
	return moves;
}
