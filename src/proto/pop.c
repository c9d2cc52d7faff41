/* SPDX-License-Identifier: MIT */
#include "proto/pop-private.h"

#include <stdarg.h>
#include <string.h>

#include "base/util.h"

#define IN_FLIGHT	256		  /* commands */
#define COST_IN_FLIGHT	(4 * 1024 * 1024) /* octets that are likely to come for them */
#define WINDOW		64		  /* requests */
#define READS_A_RECEIVE 16
#define PROBE_TIME	(5 * G_TIME_SPAN_SECOND)
/* A listing is what the maildrop was like at the login. It is asked for anew where that is longer
 * ago than this; not in the midst of reading, but now and then all the same. */
#define LISTING_KEPT	  (1 * G_TIME_SPAN_SECOND)
#define LISTING_KEPT_BUSY (60 * G_TIME_SPAN_SECOND)
/* Where logins are rationed a line is worth more. */
#define LINGER_DELAYED (30 * G_TIME_SPAN_SECOND)

gboolean
pop_backend_can(const PopBackend *self, const char *capability)
{
	gsize len = strlen(capability);

	for (guint i = 0; i < self->base.capabilities->len; i++) {
		const char *line = self->base.capabilities->pdata[i];

		if (g_ascii_strncasecmp(line, capability, len) == 0 &&
		    (line[len] == '\0' || line[len] == ' '))
			return TRUE;
	}
	return FALSE;
}

static gboolean
protocol_error(GError **error, const PopBackend *self, const char *what)
{
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL, "%s %s", self->config->host, what);
	return FALSE;
}

/* Commands
 * --------------------------------------------------------------------------------------------------------
 */

static PopCommand *send_line(PopBackend *self, const char *verb, const char *format,
			     va_list arguments) G_GNUC_PRINTF(3, 0);

static PopCommand *
send_line(PopBackend *self, const char *verb, const char *format, va_list arguments)
{
	PopCommand *command = g_new0(PopCommand, 1);
	g_autoptr(UtilSecret) line = g_strdup_vprintf(format, arguments);

	command->verb = verb;
	if (g_queue_is_empty(&self->commands))
		self->waiting_since = g_get_monotonic_time();
	g_queue_push_tail(&self->commands, command);
	wire_send(self->base.wire, line, strlen(line));
	wire_send(self->base.wire, "\r\n", 2);
	return command;
}

PopCommand *
pop_backend_send(PopBackend *self, const char *verb, const char *format, ...)
{
	PopCommand *command;
	va_list arguments;

	va_start(arguments, format);
	command = send_line(self, verb, format, arguments);
	va_end(arguments);
	return command;
}

PopCommand *
pop_task_send(PopBackend *self, PopTask *task, guint step, PopFollows follows, const char *verb,
	      const char *format, ...)
{
	PopCommand *command;
	va_list arguments;

	va_start(arguments, format);
	command = send_line(self, verb, format, arguments);
	va_end(arguments);
	command->task = task;
	command->step = step;
	command->follows = follows;
	task->commands++;
	return command;
}

static gboolean
has_room(const PopBackend *self)
{
	guint n = g_queue_get_length((GQueue *)&self->commands);

	if (self->gone)
		return FALSE;
	return n == 0 || (self->pipelining && n < IN_FLIGHT && self->cost < COST_IN_FLIGHT);
}

/* Tasks
 * -----------------------------------------------------------------------------------------------------------
 */

PopTask *
pop_task_new(PopBackend *self, Request *request, const PopTaskOps *ops, gpointer own)
{
	PopTask *task = g_new0(PopTask, 1);

	task->ops = ops;
	task->request = request;
	task->own = own;
	if (request != NULL) {
		g_queue_push_tail(&self->tasks, task);
		self->base.under_way++;
	}
	return task;
}

void
pop_task_fail(PopTask *task, GError *error)
{
	if (task->error == NULL)
		task->error = error;
	else
		g_error_free(error);
}

static void
end_task(PopBackend *self, PopTask *task)
{
	const MailboxState *state = NULL;

	if (task->ops->state != NULL && task->error == NULL)
		state = task->ops->state(task);
	g_queue_remove(&self->tasks, task);
	self->base.under_way--;
	self->quiet_since = g_get_monotonic_time();
	request_finish(task->request, state, task->error);
	if (task->ops->free != NULL)
		task->ops->free(task);
	g_clear_error(&task->error);
	g_free(task);
}

static void
settle_tasks(PopBackend *self)
{
	GList *link = self->tasks.head;

	if (self->drop_task != NULL && self->drop_task->commands == 0)
		self->drop_task->ops->is_over(self, self->drop_task);
	while (link != NULL) {
		PopTask *task = link->data;

		link = link->next;
		if (task->commands == 0 && (task->ops->is_over(self, task) ||
					    (task->error != NULL && !task->ops->goes_on)))
			end_task(self, task);
	}
}

static gboolean
sends(PopBackend *self, PopTask *task)
{
	if (task->error != NULL && !task->ops->goes_on)
		return FALSE;
	if (!task->ops->next(self, task))
		return FALSE;
	self->cost += ((PopCommand *)g_queue_peek_tail(&self->commands))->cost;
	return TRUE;
}

/* One command: of a task that somebody waits for, else of the maildrop's, else of any. */
static gboolean
send_one(PopBackend *self)
{
	for (guint soon = 0; soon < 2; soon++) {
		for (GList *link = self->tasks.head; link != NULL; link = link->next) {
			PopTask *task = link->data;

			if ((task->request->urgency == REQUEST_SOON) == (soon == 1) &&
			    sends(self, task))
				return TRUE;
		}
		if (soon == 0 && self->drop_task != NULL && sends(self, self->drop_task))
			return TRUE;
	}
	return FALSE;
}

void
pop_backend_pump(PopBackend *self)
{
	PopDropStage stage;

	do {
		stage = self->drop.stage;
		while (has_room(self) && send_one(self))
			continue;
		settle_tasks(self);
	} while (stage != self->drop.stage);
}

/* Answers
 * ---------------------------------------------------------------------------------------------------------
 */

static void
command_free(gpointer command)
{
	g_free(command);
}

/* The answer to the oldest command is whole. */
static void
finish_command(PopBackend *self)
{
	PopCommand *command = g_queue_pop_head(&self->commands);
	PopTask *task = command->task;

	self->cost -= command->cost;
	self->waiting_since = g_get_monotonic_time();
	if (command->answer != NULL)
		command->answer->done = TRUE;
	if (task != NULL) {
		task->commands--;
		if (!command->refused)
			task->ops->end(self, task, command);
	}
	command_free(command);
}

static void
fill_answer(PopAnswer *answer, const PopReply *reply)
{
	answer->status = reply->status;
	g_free(answer->code);
	g_free(answer->text);
	answer->code = g_strdup(reply->code);
	answer->text = g_strdup(reply->text);
}

static gboolean
greeting_came(PopBackend *self, const PopReply *reply, GError **error)
{
	if (reply->status == POP_REPLY_CHALLENGE || self->greeting == NULL)
		return protocol_error(error, self, "does not greet as a POP3 server does");
	self->greeted = TRUE;
	fill_answer(self->greeting, reply);
	self->greeting->done = TRUE;
	return TRUE;
}

static gboolean
reply_came(gpointer user, const PopReply *reply, PopFollows *follows_out, GError **error)
{
	PopBackend *self = user;
	PopCommand *command = g_queue_peek_head(&self->commands);

	if (!self->greeted)
		return greeting_came(self, reply, error);
	if (command == NULL)
		return protocol_error(error, self, "answers a command that was not sent");
	if (reply->status == POP_REPLY_CHALLENGE && command->answer == NULL)
		return protocol_error(error, self, "asks for more than was meant to be sent");
	command->refused = reply->status != POP_REPLY_OK;
	if (command->answer != NULL)
		fill_answer(command->answer, reply);
	if (command->task != NULL)
		command->task->ops->reply(self, command->task, command, reply);
	if (reply->status == POP_REPLY_CHALLENGE)
		command->answer->done = TRUE;
	else if (!command->refused && command->follows != POP_FOLLOWS_NOTHING)
		*follows_out = command->follows;
	else
		finish_command(self);
	return TRUE;
}

static gboolean
line_came(gpointer user, const char *text, GError **error)
{
	PopBackend *self = user;
	PopCommand *command = g_queue_peek_head(&self->commands);

	if (command->task != NULL)
		command->task->ops->line(self, command->task, command, text);
	else if (command->answer != NULL && command->answer->lines != NULL &&
		 command->answer->lines->len < 1000)
		g_ptr_array_add(command->answer->lines, g_strdup(text));
	return TRUE;
}

static gboolean
data_came(gpointer user, const guint8 *data, gsize len, GError **error)
{
	PopBackend *self = user;
	PopCommand *command = g_queue_peek_head(&self->commands);

	command->came += len;
	if (command->came > POP_MESSAGE_MAX) {
		/* What it asked for cannot be had; the others can, by another line. */
		pop_task_fail(command->task, g_error_new(MAILFS_ERROR, MAILFS_ERROR_TOO_BIG,
							 "the message has more than %u MiB",
							 (guint)(POP_MESSAGE_MAX >> 20)));
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
			    "the line to %s was given up: a message had no end",
			    self->config->host);
		return FALSE;
	}
	command->task->ops->data(self, command->task, command, data, len);
	return TRUE;
}

static gboolean
end_came(gpointer user, GError **error)
{
	finish_command(user);
	return TRUE;
}

static const PopParserEvents parser_events = {
	.reply = reply_came,
	.line = line_came,
	.data = data_came,
	.end = end_came,
};

void
pop_backend_new_parser(PopBackend *self)
{
	pop_parser_free(self->parser);
	self->parser = pop_parser_new(&parser_events, self);
}

/* The slots
 * -------------------------------------------------------------------------------------------------------
 */

static gboolean
is_fresh(const PopBackend *self)
{
	return self->drop.stage == POP_DROP_UNKNOWN && self->base.under_way == 0 && !self->deleting;
}

/* Does it ask for anything that only the server can tell? */
static gboolean
is_about_messages(const Request *request)
{
	return request->kind == REQUEST_SYNC || request->kind == REQUEST_FETCH ||
	       request->kind == REQUEST_HEADERS || request->kind == REQUEST_EXPUNGE;
}

static gboolean
backend_needs_new(const Backend *base, const Request *request)
{
	const PopBackend *self = (const PopBackend *)base;
	gint64 age = g_get_monotonic_time() - self->drop.listed_at;

	if (!is_about_messages(request))
		return FALSE;
	if (request->kind == REQUEST_EXPUNGE)
		return !is_fresh(self);
	if (self->deleting || self->drop.stage == POP_DROP_FAILED)
		return TRUE;
	return request->kind == REQUEST_SYNC && self->drop.stage != POP_DROP_UNKNOWN &&
	       base->login_delay_s == 0 &&
	       age > (base->under_way > 0 ? LISTING_KEPT_BUSY : LISTING_KEPT);
}

static gboolean
backend_can_start(const Backend *base, const Request *request)
{
	const PopBackend *self = (const PopBackend *)base;

	if (base->leave || self->gone)
		return FALSE;
	if (!is_about_messages(request))
		return TRUE;
	if (backend_needs_new(base, request) || base->under_way >= WINDOW)
		return FALSE;
	for (const GList *link = self->tasks.head; link != NULL; link = link->next)
		if (request->kind == REQUEST_SYNC && pop_task_is_sync(link->data))
			return FALSE;
	return TRUE;
}

/* What can be answered without the server. */
static GError *
refuse(const PopBackend *self, const Request *request)
{
	if (request->kind == REQUEST_QUOTA || request->kind == REQUEST_STATUS)
		return NULL;
	if (!is_about_messages(request))
		return g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED,
					   "POP3 has one mailbox, and no flags: use IMAP for that, "
					   "where the provider has it");
	if (request->kind == REQUEST_EXPUNGE && self->config->read_only)
		return g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_READ_ONLY,
					   "the account is read-only");
	if (g_ascii_strcasecmp(request->mailbox, POP_MAILBOX) != 0)
		return g_error_new(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
				   "POP3 has no mailbox but "
				   "INBOX");
	return NULL;
}

static void
backend_start(Backend *base, Request *request)
{
	PopBackend *self = (PopBackend *)base;
	g_autoptr(GError) refusal = NULL;

	if (request->kind == REQUEST_LIST) {
		pop_task_start_list(self, request);
		return;
	}
	refusal = refuse(self, request);
	if (refusal != NULL || !is_about_messages(request))
		request_finish(request, NULL, refusal);
	else if (request->kind == REQUEST_SYNC)
		pop_task_start_sync(self, request);
	else if (request->uids == NULL || uidset_is_empty(request->uids))
		request_finish(request, NULL, NULL);
	else if (request->kind == REQUEST_FETCH)
		pop_task_start_fetch(self, request);
	else if (request->kind == REQUEST_HEADERS)
		pop_task_start_headers(self, request);
	else
		pop_task_start_delete(self, request);
	pop_backend_pump(self);
}

static gboolean
fed(PopBackend *self, GError **error)
{
	const guint8 *data;
	gsize len;

	data = wire_peek(self->base.wire, &len);
	if (!pop_parser_feed(self->parser, data, len, error))
		return FALSE;
	wire_consume(self->base.wire, len);
	pop_backend_pump(self);
	return TRUE;
}

static gboolean
backend_receive(Backend *base, GError **error)
{
	PopBackend *self = (PopBackend *)base;
	gboolean dry = FALSE;

	for (guint i = 0; i < READS_A_RECEIVE && !dry && !self->gone; i++) {
		g_autoptr(GError) lost = NULL;
		gssize n = wire_fill(base->wire, &lost);
		gsize len;

		/* A server that hangs up when there is nothing to do is in its right. */
		if (n < 0 && base->under_way == 0) {
			self->gone = base->leave = TRUE;
			return TRUE;
		}
		if (n < 0) {
			g_propagate_error(error, g_steal_pointer(&lost));
			return FALSE;
		}
		if (n > 0)
			self->last_byte = g_get_monotonic_time();
		/* Its next command carries the acknowledgement, but that waits for the answer. */
		if (n > 0 && !self->pipelining)
			wire_acknowledge(base->wire);
		wire_peek(base->wire, &len);
		dry = len == 0;
		if (!dry && !fed(self, error))
			return FALSE;
	}
	if (dry && self->drop.listener != NULL)
		pop_sync_dry(self->drop.listener);
	if (self->changed) {
		self->changed = FALSE;
		self->news->changed(self->user, POP_MAILBOX);
	}
	return TRUE;
}

static gint64
linger_of(const PopBackend *self)
{
	gint64 linger = self->config->linger_ms > 0 ? self->config->linger_ms : POP_LINGER_MS;

	linger *= G_TIME_SPAN_MILLISECOND;
	return self->base.login_delay_s > 0 ? MAX(linger, LINGER_DELAYED) : linger;
}

/* Commands are in flight: until when an answer must have come. */
static gint64
answer_due(PopBackend *self)
{
	gint64 due = MAX(self->last_byte, self->waiting_since) +
		     self->config->timeout_ms * G_TIME_SPAN_MILLISECOND;

	if (self->last_byte > self->probe_until - PROBE_TIME)
		self->probe_until = 0;
	return self->probe_until != 0 ? MIN(due, self->probe_until) : due;
}

static gint64
backend_tick(Backend *base, gint64 now, GError **error)
{
	PopBackend *self = (PopBackend *)base;
	gint64 due;

	/* The machine has slept: a line at rest is not worth a question. */
	if (base->probe && base->under_way == 0)
		base->leave = self->gone = TRUE;
	else if (base->probe)
		self->probe_until = now + PROBE_TIME;
	base->probe = FALSE;
	pop_backend_pump(self);
	if (!g_queue_is_empty(&self->commands)) {
		due = answer_due(self);
		if (now < due)
			return due;
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
			    "%s has not answered for %u seconds", self->config->host,
			    (self->config->timeout_ms + 999) / 1000);
		return -1;
	}
	if (base->under_way > 0) {
		protocol_error(error, self, "has answered all, and there is work left");
		return -1;
	}
	due = self->quiet_since + linger_of(self);
	base->leave = base->leave || now >= due;
	return base->leave ? now : due;
}

static void
backend_free(Backend *base, const GError *error)
{
	PopBackend *self = (PopBackend *)base;
	g_autoptr(GError) lost = g_error_new(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
					     "the line to %s was lost", self->config->host);
	PopTask *task;

	if (error == NULL)
		error = lost;
	while ((task = g_queue_peek_head(&self->tasks)) != NULL) {
		if (task->ops->lost != NULL)
			task->ops->lost(self, task, error);
		pop_task_fail(task, g_error_copy(error));
		end_task(self, task);
	}
	g_queue_clear_full(&self->commands, command_free);
	if (self->drop_task != NULL)
		g_clear_error(&self->drop_task->error);
	g_free(self->drop_task);
	pop_drop_clear(&self->drop);
	pop_parser_free(self->parser);
	wire_free(base->wire);
	g_free(base->selected);
	g_free(self->timestamp);
	g_ptr_array_unref(base->capabilities);
	g_free(self);
}

static const BackendOps backend_ops = {
	.name = "pop3",
	.login = pop_backend_login,
	.start = backend_start,
	.can_start = backend_can_start,
	.needs_new = backend_needs_new,
	.receive = backend_receive,
	.tick = backend_tick,
	.logout = pop_backend_logout,
	.free = backend_free,
};

Backend *
pop_backend_new(const BackendConfig *config, const BackendNews *news, gpointer user)
{
	PopBackend *self = g_new0(PopBackend, 1);

	self->base.ops = &backend_ops;
	self->base.capabilities = g_ptr_array_new_with_free_func(g_free);
	self->base.notify = BACKEND_NOTIFY_REFUSED;
	self->config = config;
	self->news = news;
	self->user = user;
	g_queue_init(&self->commands);
	g_queue_init(&self->tasks);
	pop_drop_init(&self->drop);
	pop_backend_new_parser(self);
	return &self->base;
}
