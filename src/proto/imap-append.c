/* SPDX-License-Identifier: MIT */
/* APPEND of many messages to one mailbox. With LITERAL+ (RFC 7888) the commands travel one behind
 * the other, many messages a command with MULTIAPPEND (RFC 3502), which spares the server a commit
 * for each. A MULTIAPPEND stores all of its messages or none, so when it is refused they are sent
 * again one by one, and the one that is to blame is found. Without LITERAL+ each literal waits for
 * its "+", but nothing else does.
 *
 * What has left us wholly and was not answered when the line is lost may have been stored; what has
 * not, cannot. */
#include "proto/imap-private.h"

#include <string.h>
#include <sys/stat.h>

#define MAX_COMMANDS   32 /* in flight */
#define MAX_IN_FLIGHT  (16 * 1024 * 1024)
#define BATCH_MESSAGES 64 /* a MULTIAPPEND */
#define BATCH_BYTES    (4 * 1024 * 1024)
#define LITERAL_MINUS  4096 /* RFC 7888: longer ones wait for "+" */
#define STEP_STATUS    G_MAXUINT

/* The messages of one command; its step is the batch's index. */
typedef struct {
	GArray *indices; /* of guint, into the request's messages */
	guint64 bytes;
	gboolean answered;
} Batch;

typedef struct {
	GPtrArray *batches;
	GArray *again;	   /* of guint: to be sent alone */
	guint next;	   /* the first message that was in no batch yet */
	guint in_flight;   /* commands */
	guint64 bytes;	   /* in flight */
	guint64 limit;	   /* octets a message may have here */
	guint64 unwaiting; /* octets of a literal that need not wait for "+" */
} Append;

static void
batch_free(gpointer data)
{
	Batch *batch = data;

	g_array_unref(batch->indices);
	g_free(batch);
}

static const AppendMessage *
message_at(const ImapTask *task, guint index)
{
	return g_ptr_array_index(task->request->messages, index);
}

static void
tell_failed(ImapTask *task, guint index, const GError *error)
{
	task->request->events->appended(task->request->user, index, 0, 0, error);
}

/* What cannot succeed is not begun
 * ------------------------------------------------------------------------------------ */

/* "APPENDLIMIT=35651584" (RFC 7889); without a number each mailbox has its own. */
static guint64
common_limit(const ImapBackend *self)
{
	static const char prefix[] = "APPENDLIMIT=";
	guint64 limit = G_MAXUINT32;

	for (guint i = 0; i < self->base.capabilities->len; i++) {
		const char *word = g_ptr_array_index(self->base.capabilities, i);

		if (g_str_has_prefix(word, prefix))
			imap_parse_number(word + strlen(prefix), strlen(word) - strlen(prefix),
					  G_MAXUINT32, &limit);
	}
	return limit;
}

static gboolean
has_own_limit(const ImapBackend *self)
{
	return imap_backend_can(self, "APPENDLIMIT");
}

static GError *
why_not(const ImapBackend *self, const Append *append, const AppendMessage *message)
{
	struct stat info;
	guint64 there = message->bytes != NULL ? g_bytes_get_size(message->bytes) : 0;

	if (message->size == 0)
		return g_error_new(MAILFS_ERROR, MAILFS_ERROR_INVALID, "an empty file is no mail");
	if (message->size > append->limit)
		return g_error_new(MAILFS_ERROR, MAILFS_ERROR_TOO_BIG,
				   "%s takes messages of at most %" G_GUINT64_FORMAT
				   " octets, this one has %" G_GUINT64_FORMAT,
				   self->config->host, append->limit, message->size);
	if (message->fd >= 0)
		there = fstat(message->fd, &info) == 0 ? (guint64)info.st_size : 0;
	if (there < message->size)
		return g_error_new(MAILFS_ERROR, MAILFS_ERROR_INVALID,
				   "the message has become shorter since it was measured");
	return NULL;
}

/* Asking
 * ----------------------------------------------------------------------------------------------------------
 */

static void
write_message(ImapCommand *command, const Append *append, const AppendMessage *message,
	      GPtrArray *messages)
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	g_autofree char *flags = imap_flags_format(message->flags.flags, message->flags.keywords);
	g_autoptr(GDateTime) date =
		message->date != G_MININT64 ? g_date_time_new_from_unix_utc(message->date) : NULL;

	if (flags != NULL)
		imap_writer_raw(command->writer, flags);
	if (date != NULL) {
		g_autofree char *text = g_strdup_printf(
			"\"%02d-%s-%04d %02d:%02d:%02d +0000\"", g_date_time_get_day_of_month(date),
			months[g_date_time_get_month(date) - 1], g_date_time_get_year(date),
			g_date_time_get_hour(date), g_date_time_get_minute(date),
			g_date_time_get_second(date));

		imap_writer_raw(command->writer, text);
	}
	imap_command_body(command, message, messages, message->size > append->unwaiting);
}

static void
submit(ImapBackend *self, ImapTask *task, Batch *batch)
{
	Append *append = task->own;
	ImapCommand *command = imap_command_new(self, "APPEND");
	g_autoptr(GError) error = NULL;

	command->task = task;
	command->step = append->batches->len;
	imap_writer_mailbox(command->writer, task->request->mailbox);
	for (guint i = 0; i < batch->indices->len; i++)
		write_message(command, append,
			      message_at(task, g_array_index(batch->indices, guint, i)),
			      task->request->messages);
	g_ptr_array_add(append->batches, batch);
	append->in_flight++;
	append->bytes += batch->bytes;
	if (!imap_backend_submit(self, command, &error)) {
		batch->answered = TRUE;
		imap_task_fail(task, g_steal_pointer(&error));
	}
}

static void
add(Batch *batch, const AppendMessage *message, guint index)
{
	g_array_append_val(batch->indices, index);
	batch->bytes += message->size;
}

static gboolean
fits(const Append *append, const Batch *batch, const AppendMessage *message)
{
	return batch->indices->len < BATCH_MESSAGES && message->size <= append->unwaiting &&
	       batch->bytes + message->size <= BATCH_BYTES;
}

/* The messages of the next command; NULL: there are none left. */
static Batch *
next_batch(ImapBackend *self, ImapTask *task)
{
	Append *append = task->own;
	const GPtrArray *messages = task->request->messages;
	gboolean many = imap_backend_can(self, "MULTIAPPEND") && !self->no_multiappend;
	Batch *batch = g_new0(Batch, 1);

	batch->indices = g_array_new(FALSE, FALSE, sizeof(guint));
	if (append->again->len > 0) {
		guint index = g_array_index(append->again, guint, 0);

		g_array_remove_index(append->again, 0);
		add(batch, message_at(task, index), index);
		return batch;
	}
	for (; append->next < messages->len; append->next++) {
		const AppendMessage *message = message_at(task, append->next);
		g_autoptr(GError) error = why_not(self, append, message);

		if (error != NULL) {
			tell_failed(task, append->next, error);
			continue;
		}
		if (batch->indices->len > 0 && (!many || !fits(append, batch, message)))
			return batch;
		add(batch, message, append->next);
		many = many && message->size <= append->unwaiting;
	}
	if (batch->indices->len > 0)
		return batch;
	batch_free(batch);
	return NULL;
}

static void
refill(ImapBackend *self, ImapTask *task)
{
	const Append *append = task->own;

	while (task->error == NULL && append->in_flight < MAX_COMMANDS &&
	       (append->in_flight == 0 || append->bytes < MAX_IN_FLIGHT)) {
		Batch *batch = next_batch(self, task);

		if (batch == NULL)
			return;
		submit(self, task, batch);
	}
}

/* Hearing
 * ---------------------------------------------------------------------------------------------------------
 */

/* STATUS mailbox (APPENDLIMIT 35651584); NIL: there is none. */
static gboolean
append_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	Append *append = task->own;
	guint64 number;

	if (!imap_token_is_atom(&response->tokens[0], "STATUS"))
		return FALSE;
	for (guint i = 3; i + 1 < response->n_tokens; i += 2)
		if (imap_token_is_atom(&response->tokens[i], "APPENDLIMIT") &&
		    imap_parse_number(response->tokens[i + 1].text, response->tokens[i + 1].size,
				      G_MAXUINT64, &number))
			append->limit = MIN(append->limit, number);
	return TRUE;
}

static void
tell_stored(ImapTask *task, const Batch *batch, const char *code)
{
	gboolean has_code = imap_code_is(code, "APPENDUID");
	guint32 uidvalidity = has_code ? imap_code_uidvalidity(code) : 0;
	g_autoptr(UidSet) uids = uidvalidity != 0 ? imap_code_uids(code, 0) : NULL;
	guint range = 0;
	guint32 uid = 0;
	guint32 last = 0;

	if (uids != NULL && uidset_count(uids) != batch->indices->len)
		g_clear_pointer(&uids, uidset_free);
	for (guint i = 0; i < batch->indices->len; i++) {
		if (uids != NULL && uid == last)
			uidset_range(uids, range++, &uid, &last);
		else if (uids != NULL)
			uid++;
		task->request->events->appended(task->request->user,
						g_array_index(batch->indices, guint, i),
						uids != NULL ? uidvalidity : 0, uid, NULL);
	}
}

static void
refused(ImapBackend *self, ImapTask *task, const Batch *batch, const ImapResponse *tagged)
{
	Append *append = task->own;
	g_autoptr(GError) error = imap_refusal(
		self, tagged, "APPEND",
		tagged->status == IMAP_STATUS_NO ? MAILFS_ERROR_DENIED : MAILFS_ERROR_PROTOCOL,
		TRUE);

	if (imap_code_is(tagged->code, "LIMIT"))
		error->code = MAILFS_ERROR_TOO_BIG;
	/* No mailbox, no message. */
	if (g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND)) {
		imap_task_fail(task, g_steal_pointer(&error));
		return;
	}
	if (batch->indices->len == 1) {
		tell_failed(task, g_array_index(batch->indices, guint, 0), error);
		return;
	}
	if (tagged->status == IMAP_STATUS_BAD)
		self->no_multiappend = TRUE;
	g_array_append_vals(append->again, batch->indices->data, batch->indices->len);
}

static void
append_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command,
		 const ImapResponse *tagged)
{
	Append *append = task->own;

	if (command->step != STEP_STATUS) {
		Batch *batch = g_ptr_array_index(append->batches, command->step);

		batch->answered = TRUE;
		append->in_flight--;
		append->bytes -= batch->bytes;
		if (tagged->status == IMAP_STATUS_OK)
			tell_stored(task, batch, tagged->code);
		else
			refused(self, task, batch, tagged);
	}
	refill(self, task);
}

/* The message in the middle of which the line was broken off: see imap-command.c. */
static void
tell_broken(const ImapBackend *self, ImapTask *task, const ImapCommand *command, const Batch *batch)
{
	g_autoptr(GError) error = NULL;

	if (self->broken == NULL || g_queue_peek_head((GQueue *)&self->unsent) != command ||
	    command->bodies_sent >= batch->indices->len)
		return;
	error = g_error_new_literal(G_FILE_ERROR, G_FILE_ERROR_IO, self->broken->message);
	tell_failed(task, g_array_index(batch->indices, guint, command->bodies_sent), error);
}

static const ImapCommand *
command_of(const ImapBackend *self, const ImapTask *task, guint step)
{
	for (GList *link = self->commands.head; link != NULL; link = link->next) {
		const ImapCommand *command = link->data;

		if (command->task == task && command->step == step)
			return command;
	}
	return NULL;
}

static gboolean
append_lost(ImapBackend *self, ImapTask *task, const GError *why)
{
	const Append *append = task->own;
	g_autoptr(GError) unknown = g_error_new(
		MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME,
		"the line to %s was lost while it was storing the message, which may or may not "
		"be done (%s)",
		self->config->host, why->message);

	for (guint i = 0; i < append->batches->len; i++) {
		const Batch *batch = g_ptr_array_index(append->batches, i);
		const ImapCommand *command = command_of(self, task, i);

		if (batch->answered)
			continue;
		if (command != NULL && !imap_command_was_sent(self, command)) {
			tell_broken(self, task, command, batch);
			continue;
		}
		for (guint k = 0; k < batch->indices->len; k++)
			tell_failed(task, g_array_index(batch->indices, guint, k), unknown);
	}
	return FALSE;
}

static void
append_free(ImapTask *task)
{
	Append *append = task->own;

	g_ptr_array_unref(append->batches);
	g_array_unref(append->again);
	g_free(append);
}

/* With a question for the mailbox's own limit, and without. */
static const ImapTaskOps asking_ops = {
	.data = append_data,
	.completed = append_completed,
	.lost = append_lost,
	.free = append_free,
	.lists = TRUE,
};

static gboolean
no_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	return FALSE;
}

static const ImapTaskOps append_ops = {
	.data = no_data,
	.completed = append_completed,
	.lost = append_lost,
	.free = append_free,
};

gboolean
imap_append_can_start(const ImapBackend *self, const Request *request)
{
	return !has_own_limit(self) || !imap_backend_is_listing(self);
}

static guint64
unwaiting_literals(const ImapBackend *self)
{
	if (!self->literal_plus)
		return 0;
	return imap_backend_can(self, "LITERAL-") && !imap_backend_can(self, "LITERAL+")
		       ? LITERAL_MINUS
		       : G_MAXUINT64;
}

void
imap_task_start_append(ImapBackend *self, Request *request)
{
	Append *append = g_new0(Append, 1);
	gboolean asks = has_own_limit(self);
	ImapTask *task = imap_task_new(self, request, asks ? &asking_ops : &append_ops, append);
	g_autoptr(GError) error = NULL;

	append->batches = g_ptr_array_new_with_free_func(batch_free);
	append->again = g_array_new(FALSE, FALSE, sizeof(guint));
	append->limit = common_limit(self);
	append->unwaiting = unwaiting_literals(self);
	if (imap_change_check(self, request, &error) && request->messages != NULL) {
		if (!asks)
			refill(self, task);
		else
			imap_task_submit_mailbox(self, task, STEP_STATUS, "STATUS",
						 request->mailbox, "(APPENDLIMIT)", &error);
	}
	if (error != NULL)
		imap_task_fail(task, g_steal_pointer(&error));
	imap_task_settle(self, task);
}
