/* SPDX-License-Identifier: MIT */
/* The engine of the IMAP line. Commands are written as soon as they are known and answered whenever
 * the server likes. A server works through them in order, so the oldest command in flight is the
 * one it is busy with: what it says unasked is judged by that. Data that somebody waits for goes to
 * the tasks in the order of their start; the rest is news. */
#include "proto/imap.h"

#include <string.h>

#include "base/error.h"
#include "base/util.h"
#include "proto/imap-private.h"

#define WINDOW		   16 /* requests under way */
#define RENEW_SELECTION_US (3 * G_USEC_PER_SEC)
#define DOUBT_AGAIN_US	   (60 * G_USEC_PER_SEC)
#define READS_A_RECEIVE	   4 /* of 256 KiB: then the session's other work has its turn */

gboolean
imap_backend_can(const ImapBackend *self, const char *capability)
{
	for (guint i = 0; i < self->base.capabilities->len; i++)
		if (strcmp(g_ptr_array_index(self->base.capabilities, i), capability) == 0)
			return TRUE;
	return FALSE;
}

void
imap_backend_clear_capabilities(ImapBackend *self)
{
	g_ptr_array_set_size(self->base.capabilities, 0);
	self->literal_plus = FALSE;
	self->capabilities_told = FALSE;
}

/* Tasks
 * -----------------------------------------------------------------------------------------------------------
 */

ImapTask *
imap_task_new(ImapBackend *self, Request *request, const ImapTaskOps *ops, gpointer own)
{
	ImapTask *task = g_new0(ImapTask, 1);

	task->ops = ops;
	task->request = request;
	task->own = own;
	g_queue_push_tail(&self->tasks, task);
	self->base.under_way++;
	return task;
}

void
imap_task_fail(ImapTask *task, GError *error)
{
	if (task->error == NULL)
		task->error = error;
	else
		g_error_free(error);
}

static void
end_task(ImapBackend *self, ImapTask *task)
{
	Request *request = g_steal_pointer(&task->request);
	const MailboxState *state = NULL;

	if (self->body == task)
		imap_backend_drop_body(self, task->error);
	g_queue_remove(&self->tasks, task);
	self->base.under_way--;
	if (task->error == NULL && task->ops->state != NULL)
		state = task->ops->state(task);
	if (task->error == NULL && imap_task_is_sync(task))
		self->base.told = imap_backend_pushes(self);
	request_finish(request, state, task->error);
	if (task->ops->free != NULL)
		task->ops->free(task);
	g_clear_error(&task->error);
	g_free(task);
}

void
imap_task_settle(ImapBackend *self, ImapTask *task)
{
	if (task->commands == 0)
		end_task(self, task);
}

static ImapTask *
sync_task(const ImapBackend *self)
{
	for (GList *link = self->tasks.head; link != NULL; link = link->next)
		if (imap_task_is_sync(link->data))
			return link->data;
	return NULL;
}

/* Selecting
 * -------------------------------------------------------------------------------------------------------
 */

/* Copying out of a mailbox does not change it. */
static gboolean
writes(const Request *request)
{
	return request_kind_changes(request->kind) && request->kind != REQUEST_COPY;
}

gboolean
imap_backend_is_selected(const ImapBackend *self, const Request *request)
{
	guint32 wanted =
		request->kind == REQUEST_SYNC ? request->known.uidvalidity : request->uidvalidity;

	if (g_strcmp0(self->base.selected, request->mailbox) != 0 || self->base.doubtful)
		return FALSE;
	if (writes(request) && !self->writable)
		return FALSE;
	/* Another numbering than the line's: a new EXAMINE tells who is right. */
	return self->examine != NULL || wanted == self->mailbox.uidvalidity ||
	       (request->kind == REQUEST_SYNC && wanted == 0);
}

void
imap_backend_unselect(ImapBackend *self)
{
	g_clear_pointer(&self->base.selected, g_free);
	self->base.told = FALSE;
	self->writable = FALSE;
}

static gboolean
open_mailbox(ImapBackend *self, ImapTask *task, guint step, const char *mailbox, gboolean writable,
	     const char *parameters, GError **error)
{
	ImapCommand *command = imap_command_new(self, writable ? "SELECT" : "EXAMINE");

	command->task = task;
	command->step = step;
	command->is_examine = TRUE;
	imap_writer_mailbox(command->writer, mailbox);
	if (parameters != NULL)
		imap_writer_raw(command->writer, parameters);
	if (!imap_backend_submit(self, command, error))
		return FALSE;
	g_free(self->previous);
	self->previous = g_steal_pointer(&self->base.selected);
	self->previous_changed = self->changed;
	self->changed = FALSE;
	self->base.selected = g_strdup(mailbox);
	self->base.doubtful = FALSE;
	self->writable = writable;
	self->primed = self->base.prime = FALSE;
	g_clear_pointer(&self->permanent_flags, g_free);
	self->base.told = FALSE;
	self->mailbox = (MailboxState){0};
	self->claimed_modseq = 0;
	self->uidvalidity_told = FALSE;
	self->examine = command;
	self->examined_at = g_get_monotonic_time();
	return TRUE;
}

gboolean
imap_backend_examine(ImapBackend *self, ImapTask *task, guint step, const char *parameters,
		     GError **error)
{
	const Request *request = task->request;

	if (imap_backend_is_selected(self, request))
		return TRUE;
	if (writes(request) && g_strcmp0(self->changes, request->mailbox) != 0) {
		g_free(self->changes);
		self->changes = g_strdup(request->mailbox);
	}
	/* What was changed once will be again: a sync in between must not cost another SELECT. */
	return open_mailbox(self, task, step, request->mailbox,
			    !self->config->read_only &&
				    g_strcmp0(self->changes, request->mailbox) == 0,
			    parameters, error);
}

gboolean
imap_backend_examine_inbox(ImapBackend *self, ImapTask *task, guint step, GError **error)
{
	return open_mailbox(self, task, step, "INBOX", FALSE, NULL, error);
}

/* A mailbox that was deleted and made anew under a line that has it selected goes on being shown
 * as it was, by servers that keep its files open. So a sync selects it anew now and then: a quick
 * one with QRESYNC, and no dearer than the sweep without. */
static void
renew_selection(ImapBackend *self)
{
	if (self->tasks.length == 0 && self->examine == NULL &&
	    g_get_monotonic_time() - self->examined_at > RENEW_SELECTION_US)
		imap_backend_unselect(self);
}

void
imap_backend_doubt_selection(ImapBackend *self)
{
	if (self->base.selected == NULL || self->examine != NULL)
		return;
	self->examined_at = G_MININT64 / 2;
	self->changed = TRUE;
}

/* An untagged NO about an open mailbox: Dovecot says so, and nothing more, when that was deleted
 * under us. */
static void
take_untagged_no(ImapBackend *self)
{
	gint64 now = g_get_monotonic_time();

	if (self->doubted_at != 0 && now - self->doubted_at < DOUBT_AGAIN_US)
		return;
	self->doubted_at = now;
	imap_backend_doubt_selection(self);
}

static void
tell_previous(ImapBackend *self)
{
	if (self->previous_changed && self->previous != NULL)
		self->news->changed(self->user, self->previous);
	self->previous_changed = FALSE;
}

/* Every task in flight is for the mailbox of this EXAMINE: none was started while others were under
 * way. */
static void
examine_completed(ImapBackend *self, const ImapResponse *tagged)
{
	g_autoptr(GError) refusal = NULL;

	self->examine = NULL;
	tell_previous(self);
	/* What happened in it while it was left has been told to nobody. */
	if (self->previous != NULL && self->base.notify == BACKEND_NOTIFY_ON)
		imap_notify_ask(self, self->previous);
	g_clear_pointer(&self->previous, g_free);
	if (tagged->status != IMAP_STATUS_OK) {
		MailfsError otherwise = tagged->status == IMAP_STATUS_NO ? MAILFS_ERROR_DENIED
									 : MAILFS_ERROR_PROTOCOL;

		refusal = imap_refusal(self, tagged, "EXAMINE", otherwise, TRUE);
		imap_backend_unselect(self);
	} else if (sync_task(self) == NULL)
		imap_notify_take_selected(self);
	for (GList *link = self->tasks.head; link != NULL; link = link->next) {
		ImapTask *task = link->data;
		const Request *request = task->request;

		if (!request_kind_selects(request->kind))
			continue;
		if (refusal != NULL)
			imap_task_fail(task, g_error_copy(refusal));
		else if (request->kind != REQUEST_SYNC &&
			 request->uidvalidity != self->mailbox.uidvalidity)
			imap_task_fail(
				task,
				g_error_new(
					MAILFS_ERROR, MAILFS_ERROR_STALE,
					"the server has numbered this mailbox anew (UIDVALIDITY "
					"%u, was %u)",
					self->mailbox.uidvalidity, request->uidvalidity));
	}
}

/* Responses
 * -------------------------------------------------------------------------------------------------------
 */

static gboolean
protocol_error(GError **error, const ImapBackend *self, const char *what)
{
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL, "%s %s", self->config->host, what);
	return FALSE;
}

/* What the server says unasked is about the mailbox before, as long as it has not begun with
 * EXAMINE. */
static gboolean
is_about_previous(ImapBackend *self)
{
	return self->examine != NULL && g_queue_peek_head(&self->commands) != self->examine;
}

static gboolean
may_show(const ImapBackend *self)
{
	return self->secured || self->config->tls == TLS_NONE;
}

/* The codes by which EXAMINE describes a mailbox; a change of UIDVALIDITY at any other time ends
 * the line. */
static gboolean
take_mailbox_code(ImapBackend *self, const char *code, GError **error)
{
	gboolean opening =
		self->examine != NULL && g_queue_peek_head(&self->commands) == self->examine;
	guint64 number;

	imap_change_take_code(self, code, opening);
	if (imap_code_number(code, "UIDVALIDITY", G_MAXUINT32, &number)) {
		if (opening) {
			self->mailbox.uidvalidity = (guint32)number;
			self->uidvalidity_told = TRUE;
		} else if (self->base.selected != NULL && self->examine == NULL &&
			   number != self->mailbox.uidvalidity)
			return protocol_error(error, self, "numbered an open mailbox anew");
	} else if (opening && imap_code_number(code, "UIDNEXT", G_MAXUINT32, &number))
		self->mailbox.uidnext = (guint32)number;
	else if (opening && imap_code_number(code, "HIGHESTMODSEQ", G_MAXINT64, &number))
		self->mailbox.highestmodseq = number;
	else if (opening && imap_code_is(code, "NOMODSEQ"))
		self->mailbox.highestmodseq = 0;
	return TRUE;
}

static gboolean
untagged_status(ImapBackend *self, const ImapResponse *response, GError **error)
{
	if (response->status == IMAP_STATUS_BYE) {
		if (self->leaving)
			return TRUE;
		g_propagate_error(error, imap_refusal(self, response, "(BYE)", MAILFS_ERROR_OFFLINE,
						      may_show(self)));
		return FALSE;
	}
	if (!self->greeted) {
		self->greeted = TRUE;
		self->preauth = response->status == IMAP_STATUS_PREAUTH;
		if (response->status != IMAP_STATUS_OK && !self->preauth)
			return protocol_error(error, self, "does not greet as an IMAP server does");
	}
	if (imap_code_is(response->code, "ALERT") && may_show(self))
		self->news->alert(self->user, response->text);
	if (imap_code_is(response->code, "CAPABILITY") && !self->logged_in)
		imap_backend_take_capabilities(self, response->code + strlen("CAPABILITY"));
	if (imap_code_is(response->code, "NOTIFICATIONOVERFLOW"))
		imap_notify_end(self);
	if (response->status == IMAP_STATUS_NO && response->code == NULL)
		take_untagged_no(self);
	return response->code == NULL || take_mailbox_code(self, response->code, error);
}

static void
take_capability_response(ImapBackend *self, const ImapResponse *response)
{
	g_autoptr(GString) words = g_string_new(NULL);

	for (guint i = 1; i < response->n_tokens; i++)
		if (response->tokens[i].type == IMAP_TOKEN_ATOM)
			g_string_append_printf(words, "%s ", response->tokens[i].text);
	imap_backend_take_capabilities(self, words->str);
}

/* Answers to the commands of a login; at any other time they are of no interest. */
static void
take_login_data(ImapBackend *self, const ImapResponse *response)
{
	const ImapToken *word = &response->tokens[0];

	if (imap_token_is_atom(word, "CAPABILITY"))
		take_capability_response(self, response);
	else if (imap_token_is_atom(word, "NAMESPACE"))
		imap_backend_take_namespaces(self, response);
	for (guint i = 1; i < response->n_tokens; i++) {
		const ImapToken *token = &response->tokens[i];

		if (imap_token_is_atom(word, "ENABLED") && imap_token_is_atom(token, "QRESYNC"))
			self->qresync = TRUE;
		else if (imap_token_is_atom(word, "ID") && token->type != IMAP_TOKEN_STREAMED &&
			 g_ascii_strcasecmp(token->text, "iCloud") == 0)
			self->icloud = TRUE;
	}
}

/* EXISTS and EXPUNGE: the count moves by @change. */
static void
count_moved(ImapBackend *self, gint64 change)
{
	ImapTask *sync = sync_task(self);
	gint64 count = (gint64)self->mailbox.count + change;

	self->mailbox.count = (guint32)CLAMP(count, 0, G_MAXUINT32);
	if (self->examine != NULL || change == 0)
		return;
	if (sync == NULL || !imap_task_sync_counts(self, sync, change))
		self->changed = TRUE;
}

/* TRUE: it was one of "n EXISTS", "n EXPUNGE", "n RECENT". */
static gboolean
take_count(ImapBackend *self, const ImapResponse *response)
{
	const ImapToken *word = &response->tokens[1];
	guint64 number;

	if (response->n_tokens < 2 || response->tokens[0].type != IMAP_TOKEN_ATOM ||
	    !imap_parse_number(response->tokens[0].text, response->tokens[0].size, G_MAXUINT32,
			       &number))
		return FALSE;
	if (imap_token_is_atom(word, "EXISTS"))
		count_moved(self, (gint64)number - (gint64)self->mailbox.count);
	else if (imap_token_is_atom(word, "EXPUNGE")) {
		/* During EXAMINE it can only be a late word about the mailbox before. */
		count_moved(self, self->examine != NULL ? 0 : -1);
		self->expunges++;
	} else
		return imap_token_is_atom(word, "RECENT");
	return TRUE;
}

static void
count_vanished(ImapBackend *self, const ImapResponse *response)
{
	const ImapToken *last = &response->tokens[response->n_tokens - 1];
	g_autoptr(UidSet) uids = NULL;

	if (response->n_tokens != 2 || last->type != IMAP_TOKEN_ATOM)
		return; /* (EARLIER): not in the count any more */
	uids = uidset_parse(last->text, last->size, 500000);
	if (uids != NULL)
		count_moved(self, -(gint64)MIN(uidset_count(uids), self->mailbox.count));
}

static gboolean
untagged_data(ImapBackend *self, const ImapResponse *response)
{
	gboolean vanished;
	gboolean about_mailbox;

	if (response->n_tokens == 0)
		return TRUE;
	if (!self->logged_in) {
		take_login_data(self, response);
		return TRUE;
	}
	vanished = imap_token_is_atom(&response->tokens[0], "VANISHED");
	about_mailbox = vanished || (response->tokens[0].type == IMAP_TOKEN_ATOM &&
				     g_ascii_isdigit(response->tokens[0].text[0]));
	if (about_mailbox && is_about_previous(self)) {
		self->previous_changed = TRUE;
		return TRUE;
	}
	if (take_count(self, response))
		return TRUE;
	if (vanished && self->examine == NULL)
		count_vanished(self, response);
	imap_notify_take_status(self, response);
	for (GList *link = self->tasks.head; link != NULL; link = link->next) {
		ImapTask *task = link->data;

		if (task->ops->data(self, task, response))
			return TRUE;
	}
	if (about_mailbox && self->base.selected != NULL && self->examine == NULL &&
	    !imap_backend_is_priming(self, response))
		self->changed = TRUE;
	imap_notify_take_folder(self, response);
	return TRUE;
}

static gboolean
continuation(ImapBackend *self, const ImapResponse *response, GError **error)
{
	ImapCommand *head = g_queue_peek_head(&self->commands);

	if (self->idle == IMAP_IDLE_ASKED) {
		self->idle = IMAP_IDLE_ON;
		self->idle_since = g_get_monotonic_time();
		imap_backend_write(self);
	} else if (self->wants_continue) {
		self->wants_continue = FALSE;
		imap_backend_write(self);
	} else if (head != NULL && head->more != NULL)
		return head->more(self, head->more_user, response->text, error);
	return TRUE;
}

static void
task_command_completed(ImapBackend *self, const ImapCommand *command, const ImapResponse *tagged)
{
	ImapTask *task = command->task;

	task->commands--;
	task->ops->completed(self, task, command, tagged);
	imap_task_settle(self, task);
}

static gboolean
tagged(ImapBackend *self, const ImapResponse *response, GError **error)
{
	ImapCommand *command = imap_backend_take_command(self, response->tag);

	if (command == NULL)
		return protocol_error(error, self, "answers a command that was not sent");
	if (response->status != IMAP_STATUS_OK && response->status != IMAP_STATUS_NO &&
	    response->status != IMAP_STATUS_BAD) {
		/* Out of the queue, but its task still counts it: the line is lost, which ends the
		 * task. */
		imap_command_free(command);
		return protocol_error(error, self, "ends a command with neither OK, NO nor BAD");
	}
	if (imap_code_is(response->code, "CAPABILITY") && !self->logged_in)
		imap_backend_take_capabilities(self, response->code + strlen("CAPABILITY"));
	if (imap_code_is(response->code, "ALERT") && may_show(self))
		self->news->alert(self->user, response->text);
	if (command->is_idle) {
		self->idle = IMAP_IDLE_OFF;
		self->no_idle = response->status != IMAP_STATUS_OK;
		imap_backend_note_push(self);
	}
	if (command->is_prime)
		self->base.under_way--;
	if (command->is_notify)
		imap_notify_completed(self, response);
	if (command == self->examine) {
		if (response->status == IMAP_STATUS_OK && response->code != NULL)
			imap_change_take_code(self, response->code, TRUE);
		examine_completed(self, response);
	}
	if (command->answer != NULL) {
		command->answer->done = TRUE;
		command->answer->status = response->status;
		command->answer->code = g_strdup(response->code);
		command->answer->text = g_strdup(response->text);
	}
	if (command->task != NULL)
		task_command_completed(self, command, response);
	imap_command_free(command);
	self->expunges = 0;
	self->quiet_since = self->waiting_since = g_get_monotonic_time();
	imap_backend_write(self);
	return TRUE;
}

static gboolean
response_came(gpointer user, const ImapResponse *response, GError **error)
{
	ImapBackend *self = user;
	gboolean streamed = FALSE;

	for (guint i = 0; i < response->n_tokens; i++)
		streamed = streamed || response->tokens[i].type == IMAP_TOKEN_STREAMED;
	/* Its own response was not understood, or it would have come before this one. */
	if (self->body != NULL && !streamed)
		imap_backend_drop_body(self, NULL);
	if (!self->greeted &&
	    (response->status == IMAP_STATUS_NONE || strcmp(response->tag, "*") != 0))
		return protocol_error(error, self, "does not greet as an IMAP server does");
	if (response->status == IMAP_STATUS_CONTINUE)
		return continuation(self, response, error);
	if (strcmp(response->tag, "*") != 0)
		return tagged(self, response, error);
	if (response->status != IMAP_STATUS_NONE)
		return untagged_status(self, response, error);
	return untagged_data(self, response);
}

static const ImapParserEvents parser_events = {
	.response = response_came,
	.literal = imap_backend_literal,
	.literal_data = imap_backend_literal_data,
};

void
imap_backend_new_parser(ImapBackend *self)
{
	imap_parser_free(self->parser);
	self->parser = imap_parser_new(&parser_events, self);
}

/* The slots
 * -------------------------------------------------------------------------------------------------------
 */

static gboolean
backend_can_start(const Backend *base, const Request *request)
{
	const ImapBackend *self = (const ImapBackend *)base;

	if (base->under_way >= WINDOW)
		return FALSE;
	if (request->kind == REQUEST_QUOTA || request->kind == REQUEST_STATUS)
		return TRUE;
	if (request->kind == REQUEST_LIST)
		return !imap_backend_is_listing(self);
	if (request->kind == REQUEST_APPEND)
		return imap_append_can_start(self, request);
	if (request_kind_changes(request->kind) && !request_kind_selects(request->kind))
		return imap_folders_can_start(self, request);
	if (!imap_backend_is_selected(self, request))
		return base->under_way == 0;
	if (request_kind_changes(request->kind))
		return imap_change_can_start(self, request);
	/* Two syncs or searches at once could not tell whose answers are whose, and a sync must
	 * know the numbering it starts from. */
	return (request->kind != REQUEST_SYNC && request->kind != REQUEST_SEARCH) ||
	       (sync_task(self) == NULL && !imap_backend_is_searching(self) &&
		!imap_backend_is_changing(self) && self->examine == NULL);
}

static void
backend_start(Backend *base, Request *request)
{
	ImapBackend *self = (ImapBackend *)base;

	switch (request->kind) {
	case REQUEST_LIST:
		imap_task_start_list(self, request);
		break;
	case REQUEST_STATUS:
		imap_task_start_status(self, request);
		break;
	case REQUEST_QUOTA:
		imap_task_start_quota(self, request);
		break;
	case REQUEST_SYNC:
		renew_selection(self);
		imap_task_start_sync(self, request);
		break;
	case REQUEST_FETCH:
		imap_task_start_fetch(self, request);
		break;
	case REQUEST_PART:
		imap_task_start_part(self, request);
		break;
	case REQUEST_HEADERS:
		imap_task_start_headers(self, request);
		break;
	case REQUEST_SEARCH:
		imap_task_start_search(self, request);
		break;
	case REQUEST_CREATE:
	case REQUEST_DELETE:
	case REQUEST_RENAME:
		imap_task_start_folders(self, request);
		break;
	case REQUEST_STORE:
	case REQUEST_COPY:
	case REQUEST_MOVE:
	case REQUEST_EXPUNGE:
		imap_task_start_change(self, request);
		break;
	case REQUEST_APPEND:
		imap_task_start_append(self, request);
		break;
	}
}

void
imap_backend_tell_news(ImapBackend *self)
{
	tell_previous(self);
	imap_notify_tell(self);
	if (!self->changed || sync_task(self) != NULL)
		return;
	self->changed = FALSE;
	if (self->base.selected != NULL)
		self->news->changed(self->user, self->base.selected);
}

static gboolean
backend_receive(Backend *base, GError **error)
{
	ImapBackend *self = (ImapBackend *)base;
	gboolean dry = FALSE;

	for (guint i = 0; i < READS_A_RECEIVE && !dry; i++) {
		gssize n = wire_fill(base->wire, error);
		const guint8 *data;
		gsize len;

		if (n < 0)
			return FALSE;
		if (n > 0)
			self->last_byte = g_get_monotonic_time();
		data = wire_peek(base->wire, &len);
		dry = len == 0;
		if (!dry && !imap_parser_feed(self->parser, data, len, error))
			return FALSE;
		wire_consume(base->wire, len);
	}
	if (dry)
		for (GList *link = self->tasks.head; link != NULL; link = link->next) {
			ImapTask *task = link->data;

			if (task->ops->dry != NULL)
				task->ops->dry(task);
		}
	imap_backend_tell_news(self);
	return TRUE;
}

static void
backend_free(Backend *base, const GError *error)
{
	ImapBackend *self = (ImapBackend *)base;
	g_autoptr(GError) lost = g_error_new(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
					     "the line to %s was lost", self->config->host);
	ImapTask *task;

	if (error == NULL)
		error = lost;
	imap_backend_drop_body(self, error);
	while ((task = g_queue_peek_head(&self->tasks)) != NULL) {
		if (task->ops->lost == NULL || !task->ops->lost(self, task, error))
			imap_task_fail(task, g_error_copy(error));
		end_task(self, task);
	}
	imap_backend_clear_commands(self);
	imap_parser_free(self->parser);
	wire_free(base->wire);
	g_free(base->selected);
	g_free(self->previous);
	g_free(self->changes);
	g_free(self->permanent_flags);
	g_clear_error(&self->broken);
	g_ptr_array_unref(base->capabilities);
	if (self->namespaces != NULL)
		g_ptr_array_unref(self->namespaces);
	g_hash_table_unref(self->statuses);
	g_string_free(self->keywords, TRUE);
	g_byte_array_unref(self->header);
	g_clear_error(&self->body_error);
	g_free(self);
}

static const BackendOps backend_ops = {
	.name = "imap",
	.parts = TRUE,
	.login = imap_backend_login,
	.start = backend_start,
	.can_start = backend_can_start,
	.receive = backend_receive,
	.tick = imap_backend_tick,
	.logout = imap_backend_logout,
	.free = backend_free,
};

Backend *
imap_backend_new(const BackendConfig *config, const BackendNews *news, gpointer user)
{
	ImapBackend *self = g_new0(ImapBackend, 1);

	self->base.ops = &backend_ops;
	self->base.capabilities = g_ptr_array_new_with_free_func(g_free);
	self->config = config;
	self->news = news;
	self->user = user;
	self->statuses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	self->keywords = g_string_new(NULL);
	self->header = g_byte_array_new();
	g_queue_init(&self->commands);
	g_queue_init(&self->unsent);
	g_queue_init(&self->tasks);
	imap_backend_new_parser(self);
	return &self->base;
}
