/* SPDX-License-Identifier: MIT */
/* What the server tells of mailboxes that are not selected: STATUS and LIST responses, asked for or
 * sent by themselves under NOTIFY (RFC 5465). They are gathered while bytes are there to be read
 * and told once, so that a server that says the same a thousand times is heard once. */
#include "proto/imap-private.h"

#define MAX_STATUSES 1024 /* gathered at most before they are told */

void
imap_notify_begin(ImapBackend *self)
{
	/* Without IDLE nothing would ask for the expunges that "delayed" holds back. */
	const char *selected = imap_backend_can(self, "IDLE") ? "selected-delayed" : "selected";
	g_autofree char *arguments =
		g_strdup_printf("SET (%s (MessageNew MessageExpunge FlagChange))"
				" (personal (MessageNew MessageExpunge FlagChange MailboxName))",
				selected);
	ImapCommand *command;

	self->base.notify = BACKEND_NOTIFY_REFUSED;
	command = imap_command_new(self, "NOTIFY");
	imap_writer_raw(command->writer, arguments);
	command->is_notify = TRUE;
	if (imap_backend_submit(self, command, NULL))
		self->base.notify = BACKEND_NOTIFY_ASKED;
}

void
imap_notify_completed(ImapBackend *self, const ImapResponse *tagged)
{
	if (self->base.notify == BACKEND_NOTIFY_ASKED)
		self->base.notify = tagged->status == IMAP_STATUS_OK ? BACKEND_NOTIFY_ON
								     : BACKEND_NOTIFY_REFUSED;
	imap_backend_note_push(self);
}

void
imap_notify_end(ImapBackend *self)
{
	if (self->base.notify != BACKEND_NOTIFY_ON && self->base.notify != BACKEND_NOTIFY_ASKED)
		return;
	g_debug("imap %s: the server gives up NOTIFY", self->config->host);
	self->base.notify = BACKEND_NOTIFY_REFUSED;
	imap_backend_note_push(self);
	/* What was not told before it gave up. */
	self->folders_changed = self->changed = TRUE;
}

/* Hearing
 * ---------------------------------------------------------------------------------------------------------
 */

static void
take_item(MailboxStatus *status, const ImapToken *name, const ImapToken *value)
{
	guint64 number;

	if (value->type != IMAP_TOKEN_ATOM ||
	    !imap_parse_number(value->text, value->size, G_MAXINT64, &number))
		return;
	if (imap_token_is_atom(name, "HIGHESTMODSEQ"))
		status->highestmodseq = number;
	else if (number > G_MAXUINT32)
		return;
	else if (imap_token_is_atom(name, "UIDVALIDITY"))
		status->uidvalidity = (guint32)number;
	else if (imap_token_is_atom(name, "UIDNEXT"))
		status->uidnext = (guint32)number;
	else if (imap_token_is_atom(name, "MESSAGES"))
		status->messages = (gint64)number;
	else if (imap_token_is_atom(name, "UNSEEN"))
		status->unseen = (gint64)number;
}

static MailboxStatus *
status_of(ImapBackend *self, const char *name)
{
	MailboxStatus *status;

	if (g_hash_table_size(self->statuses) >= MAX_STATUSES)
		imap_notify_tell(self);
	status = g_hash_table_lookup(self->statuses, name);
	if (status == NULL) {
		status = g_new0(MailboxStatus, 1);
		status->messages = status->unseen = -1;
		g_hash_table_insert(self->statuses, g_strdup(name), status);
	}
	return status;
}

void
imap_notify_take_selected(ImapBackend *self)
{
	MailboxStatus *status = status_of(self, self->base.selected);

	status->uidvalidity = self->mailbox.uidvalidity;
	status->uidnext = self->mailbox.uidnext;
	status->highestmodseq = self->mailbox.highestmodseq;
	status->messages = self->mailbox.count;
}

void
imap_notify_take_status(ImapBackend *self, const ImapResponse *response)
{
	const ImapToken *tokens = response->tokens;
	g_autofree char *name = NULL;
	MailboxStatus *status;

	if (!imap_token_is_atom(&tokens[0], "STATUS") || response->n_tokens < 4 ||
	    !imap_token_is_text(&tokens[1]) || tokens[2].type != IMAP_TOKEN_OPEN)
		return;
	name = imap_mailbox_name(&tokens[1], '\0');
	status = status_of(self, name);
	for (guint i = 3; i + 1 < response->n_tokens && tokens[i].type == IMAP_TOKEN_ATOM; i += 2)
		take_item(status, &tokens[i], &tokens[i + 1]);
}

void
imap_notify_take_folder(ImapBackend *self, const ImapResponse *response)
{
	const ImapToken *tokens = response->tokens;
	g_autofree char *name = NULL;
	guint i = 1;

	if (self->base.notify != BACKEND_NOTIFY_ON ||
	    !(imap_token_is_atom(&tokens[0], "LIST") || imap_token_is_atom(&tokens[0], "LSUB")))
		return;
	self->folders_changed = TRUE;
	while (i < response->n_tokens && tokens[i].type != IMAP_TOKEN_CLOSE)
		i++;
	/* Behind the attributes: separator, name. */
	if (i + 2 >= response->n_tokens || !imap_token_is_text(&tokens[i + 2]))
		return;
	name = imap_mailbox_name(&tokens[i + 2], '\0');
	/* Deleted, or made anew, under this line. */
	if (g_strcmp0(name, self->base.selected) == 0)
		imap_backend_doubt_selection(self);
}

void
imap_notify_tell(ImapBackend *self)
{
	GHashTableIter iter;
	gpointer name, status;

	g_hash_table_iter_init(&iter, self->statuses);
	while (g_hash_table_iter_next(&iter, &name, &status)) {
		if (self->news->status != NULL)
			self->news->status(self->user, name, status);
		g_hash_table_iter_remove(&iter);
	}
	if (self->folders_changed && self->news->folders != NULL)
		self->news->folders(self->user);
	self->folders_changed = FALSE;
}

/* Asking
 * ----------------------------------------------------------------------------------------------------------
 */

static gboolean
submit_status(ImapBackend *self, ImapTask *task, const char *mailbox)
{
	ImapCommand *command = imap_command_new(self, "STATUS");

	command->task = task;
	imap_writer_mailbox(command->writer, mailbox);
	imap_writer_raw(command->writer,
			self->condstore ? "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)"
					: "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)");
	return imap_backend_submit(self, command, NULL);
}

void
imap_notify_ask(ImapBackend *self, const char *mailbox)
{
	submit_status(self, NULL, mailbox);
}

/* LIST tasks count what STATUS tells as theirs, and this one needs nothing of it for itself. */
static gboolean
status_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	return imap_token_is_atom(&response->tokens[0], "STATUS");
}

/* One that is refused is a mailbox that has gone, most likely: the next LIST tells. What was heard
 * is told before the request ends. */
static void
status_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command,
		 const ImapResponse *tagged)
{
	imap_notify_tell(self);
}

static const ImapTaskOps status_ops = {.data = status_data, .completed = status_completed};

void
imap_task_start_status(ImapBackend *self, Request *request)
{
	ImapTask *task = imap_task_new(self, request, &status_ops, NULL);

	/* A name that cannot be written was the server's own: done without. STATUS of a selected
	 * mailbox tells what this line sees of it (RFC 3501 6.3.10), which is the old one where it
	 * was deleted and made anew: a sync that selects it anew tells more. */
	for (guint i = 0; request->mailboxes[i] != NULL; i++) {
		if (g_strcmp0(request->mailboxes[i], self->base.selected) == 0 &&
		    !self->base.doubtful)
			imap_backend_doubt_selection(self);
		else
			submit_status(self, task, request->mailboxes[i]);
	}
	imap_backend_tell_news(self);
	imap_task_settle(self, task);
}
