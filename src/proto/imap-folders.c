/* SPDX-License-Identifier: MIT */
/* CREATE, DELETE and RENAME of mailboxes. Subscriptions go with them as well as they can: what a
 * server says to SUBSCRIBE and UNSUBSCRIBE changes nothing, and neither does a line that is lost
 * behind the OK that counts.
 *
 * DELETE takes all messages along. So the server is asked, just before, whether there are any. One
 * that is delivered between its answer and DELETE is lost: IMAP has no "delete if empty". */
#include "proto/imap-private.h"

#include <string.h>

#define MAX_SUBSCRIPTIONS 1000 /* that move with a renamed mailbox */

enum {
	STEP_UNSELECT,
	STEP_LOOK, /* LIST of the name, or LSUB of all below */
	STEP_CONTENTS,
	STEP_MAIN,
	STEP_LIST,
	STEP_SUBSCRIPTION,
};

typedef struct {
	ImapListing *listing;
	gboolean done; /* the server said OK to what was asked for */
	/* What the listing says of `mailbox` or, after RENAME, of `target`. */
	const Request *request;
	gboolean found, has_children;
	char separator;
	guint attributes;
	guint32 messages;
} Folders;

static const char *
new_name(const Request *request)
{
	return request->kind == REQUEST_RENAME ? request->target : request->mailbox;
}

static gboolean
lies_below(const char *name, const char *parent, char separator)
{
	gsize len = strlen(parent);

	return separator != '\0' && strncmp(name, parent, len) == 0 && name[len] == separator;
}

/* Asking
 * ----------------------------------------------------------------------------------------------------------
 */

static void
ask(ImapBackend *self, ImapTask *task, guint step, const char *verb, const char *mailbox,
    const char *arguments)
{
	g_autoptr(GError) error = NULL;

	if (!imap_task_submit_mailbox(self, task, step, verb, mailbox, arguments, &error))
		imap_task_fail(task, g_steal_pointer(&error));
}

/* LIST or LSUB "" pattern. */
static void
ask_list(ImapBackend *self, ImapTask *task, guint step, const char *verb, const char *pattern,
	 const char *options)
{
	ImapCommand *command = imap_command_new(self, verb);
	g_autoptr(GError) error = NULL;

	command->task = task;
	command->step = step;
	imap_writer_raw(command->writer, "\"\"");
	imap_writer_mailbox(command->writer, pattern);
	if (options != NULL)
		imap_writer_raw(command->writer, options);
	if (!imap_backend_submit(self, command, &error))
		imap_task_fail(task, g_steal_pointer(&error));
}

static void
ask_subscription(ImapBackend *self, ImapTask *task, const char *verb, const char *mailbox)
{
	/* A name that cannot be sent cannot be subscribed to. */
	imap_task_submit_mailbox(self, task, STEP_SUBSCRIPTION, verb, mailbox, NULL, NULL);
}

static void
ask_main(ImapBackend *self, ImapTask *task)
{
	const Request *request = task->request;
	ImapCommand *command;
	g_autoptr(GError) error = NULL;

	if (request->kind != REQUEST_RENAME) {
		ask(self, task, STEP_MAIN, request->kind == REQUEST_CREATE ? "CREATE" : "DELETE",
		    request->mailbox, NULL);
		return;
	}
	command = imap_command_new(self, "RENAME");
	command->task = task;
	command->step = STEP_MAIN;
	imap_writer_mailbox(command->writer, request->mailbox);
	imap_writer_mailbox(command->writer, request->target);
	if (!imap_backend_submit(self, command, &error))
		imap_task_fail(task, g_steal_pointer(&error));
}

static void
look(ImapBackend *self, ImapTask *task)
{
	const Request *request = task->request;
	g_autofree char *all = g_strconcat(request->mailbox, "*", NULL);

	if (request->kind == REQUEST_DELETE)
		ask_list(self, task, STEP_LOOK, "LIST", request->mailbox, NULL);
	else if (request->kind == REQUEST_RENAME)
		ask_list(self, task, STEP_LOOK, "LSUB", all, NULL);
	else
		ask_main(self, task);
}

/* May this line's selected mailbox be, or lie below, the one that is to go? */
static gboolean
concerns_selected(const ImapBackend *self, const Request *request)
{
	return request->kind != REQUEST_CREATE && self->base.selected != NULL &&
	       g_str_has_prefix(self->base.selected, request->mailbox);
}

/* Never CLOSE, which expunges. */
static void
leave_selected(ImapBackend *self, ImapTask *task)
{
	g_autoptr(GError) error = NULL;
	gboolean ok;

	if (imap_backend_can(self, "UNSELECT")) {
		ok = imap_task_submit(self, task, STEP_UNSELECT, "UNSELECT", NULL, &error);
		imap_backend_unselect(self);
	} else
		ok = imap_backend_examine_inbox(self, task, STEP_UNSELECT, &error);
	if (!ok)
		imap_task_fail(task, g_steal_pointer(&error));
}

/* Hearing
 * ---------------------------------------------------------------------------------------------------------
 */

static gboolean
folders_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	Folders *folders = task->own;

	return imap_listing_take(folders->listing, response);
}

static gboolean
find_own(gpointer user, const MailboxInfo *info)
{
	Folders *folders = user;

	if (strcmp(info->name, new_name(folders->request)) != 0)
		return TRUE;
	folders->found = TRUE;
	folders->separator = info->separator;
	folders->attributes = info->attributes;
	folders->messages = info->messages;
	return FALSE;
}

static gboolean
find_child(gpointer user, const MailboxInfo *info)
{
	Folders *folders = user;

	folders->has_children =
		lies_below(info->name, new_name(folders->request), folders->separator);
	return !folders->has_children;
}

static void
study(const ImapBackend *self, Folders *folders)
{
	imap_listing_each(self, folders->listing, find_own, folders);
	imap_listing_each(self, folders->listing, find_child, folders);
}

static gboolean
tell_mailbox(gpointer user, const MailboxInfo *info)
{
	const ImapTask *task = user;
	const Folders *folders = task->own;
	const char *name = new_name(task->request);

	if (strcmp(info->name, name) == 0 || (task->request->kind == REQUEST_RENAME &&
					      lies_below(info->name, name, folders->separator)))
		task->request->events->mailbox(task->request->user, info);
	return TRUE;
}

/* DELETE: what is in it? */
static void
ask_contents(ImapBackend *self, ImapTask *task)
{
	Folders *folders = task->own;
	const char *mailbox = task->request->mailbox;
	g_autofree char *below = NULL;

	study(self, folders);
	if (!folders->found) {
		imap_task_fail(task, g_error_new(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
						 "%s has no such mailbox", self->config->host));
		return;
	}
	below = g_strdup_printf("%s%c%%", mailbox, folders->separator);
	if (folders->separator != '\0')
		ask_list(self, task, STEP_CONTENTS, "LIST", below, NULL);
	if (!(folders->attributes & MAILBOX_NOSELECT))
		ask(self, task, STEP_CONTENTS, "STATUS", mailbox, "(MESSAGES)");
}

static void
delete_if_empty(ImapBackend *self, ImapTask *task)
{
	Folders *folders = task->own;
	const char *host = self->config->host;

	study(self, folders);
	if (folders->has_children)
		imap_task_fail(task, g_error_new(MAILFS_ERROR, MAILFS_ERROR_NOT_EMPTY,
						 "the mailbox holds other mailboxes"));
	else if (folders->attributes & MAILBOX_NOSELECT || folders->messages == 0)
		ask_main(self, task);
	else if (folders->messages == G_MAXUINT32)
		imap_task_fail(task,
			       g_error_new(MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
					   "%s does not say whether the mailbox is empty", host));
	else
		imap_task_fail(task,
			       g_error_new(MAILFS_ERROR, MAILFS_ERROR_NOT_EMPTY,
					   "the mailbox holds %u messages", folders->messages));
}

/* CREATE, RENAME: it is there now. DELETE: it is no more. */
static void
main_done(ImapBackend *self, ImapTask *task)
{
	const Request *request = task->request;
	Folders *folders = task->own;
	g_autofree char *options = imap_listing_options(self);
	g_autofree char *all = NULL;

	folders->done = TRUE;
	if (request->kind == REQUEST_DELETE) {
		ask_subscription(self, task, "UNSUBSCRIBE", request->mailbox);
		return;
	}
	if (request->kind == REQUEST_CREATE) {
		ask_subscription(self, task, "SUBSCRIBE", request->mailbox);
		imap_listing_subscribe(folders->listing, request->mailbox);
	}
	all = g_strconcat(new_name(request), request->kind == REQUEST_RENAME ? "*" : "", NULL);
	ask_list(self, task, STEP_LIST, "LIST", all, options);
}

static void
move_subscriptions(ImapBackend *self, ImapTask *task)
{
	const Request *request = task->request;
	Folders *folders = task->own;
	g_autoptr(GList) names = imap_listing_subscribed(folders->listing);
	guint n = 0;

	study(self, folders);
	for (GList *link = names; link != NULL && n < MAX_SUBSCRIPTIONS; link = link->next) {
		const char *old = link->data;
		g_autofree char *now = NULL;

		if (strcmp(old, request->mailbox) != 0 &&
		    !lies_below(old, request->mailbox, folders->separator))
			continue;
		now = g_strconcat(request->target, old + strlen(request->mailbox), NULL);
		ask_subscription(self, task, "SUBSCRIBE", now);
		ask_subscription(self, task, "UNSUBSCRIBE", old);
		imap_listing_subscribe(folders->listing, now);
		n++;
	}
}

static void
folders_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command,
		  const ImapResponse *tagged)
{
	Folders *folders = task->own;
	RequestKind kind = task->request->kind;
	gboolean ok = tagged->status == IMAP_STATUS_OK;
	MailfsError otherwise =
		tagged->status == IMAP_STATUS_NO ? MAILFS_ERROR_DENIED : MAILFS_ERROR_PROTOCOL;

	if (!ok && (command->step == STEP_CONTENTS || command->step == STEP_MAIN ||
		    (command->step == STEP_LOOK && kind == REQUEST_DELETE)))
		imap_task_fail(task, imap_refusal(self, tagged, command->verb, otherwise, TRUE));
	if (task->error != NULL)
		return;
	if (command->step == STEP_UNSELECT)
		look(self, task);
	else if (command->step == STEP_LOOK && kind == REQUEST_DELETE)
		ask_contents(self, task);
	else if (command->step == STEP_LOOK)
		ask_main(self, task);
	else if (command->step == STEP_MAIN)
		main_done(self, task);
	else if (command->step == STEP_LIST && kind == REQUEST_RENAME)
		move_subscriptions(self, task);
	if (task->commands > 0 || task->error != NULL)
		return;
	if (command->step == STEP_CONTENTS || command->step == STEP_LOOK)
		delete_if_empty(self, task);
	else if (folders->done && kind != REQUEST_DELETE) {
		study(self, folders);
		imap_listing_each(self, folders->listing, tell_mailbox, task);
	}
}

static gboolean
folders_lost(ImapBackend *self, ImapTask *task, const GError *why)
{
	const Folders *folders = task->own;
	guint harmful = task->commands;

	if (folders->done)
		return TRUE;
	for (GList *link = self->commands.head; link != NULL; link = link->next) {
		const ImapCommand *command = link->data;

		if (command->task == task &&
		    (command->step != STEP_MAIN || !imap_command_was_sent(self, command)))
			harmful--;
	}
	if (harmful > 0)
		imap_task_fail(task, g_error_new(MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME,
						 "the line to %s was lost while it was changing "
						 "mailboxes, which may or may not be done (%s)",
						 self->config->host, why->message));
	return FALSE;
}

static void
folders_free(ImapTask *task)
{
	Folders *folders = task->own;

	imap_listing_free(folders->listing);
	g_free(folders);
}

static const ImapTaskOps folders_ops = {
	.data = folders_data,
	.completed = folders_completed,
	.lost = folders_lost,
	.free = folders_free,
	.lists = TRUE,
};

gboolean
imap_folders_can_start(const ImapBackend *self, const Request *request)
{
	if (imap_backend_is_listing(self))
		return FALSE;
	return self->base.under_way == 0 || !concerns_selected(self, request);
}

static gboolean
check(const ImapBackend *self, const Request *request, GError **error)
{
	if (!imap_change_check(self, request, error))
		return FALSE;
	if (request->kind == REQUEST_CREATE || g_ascii_strcasecmp(request->mailbox, "INBOX") != 0)
		return TRUE;
	g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_FORBIDDEN,
			    "INBOX can be neither deleted nor renamed");
	return FALSE;
}

void
imap_task_start_folders(ImapBackend *self, Request *request)
{
	Folders *folders = g_new0(Folders, 1);
	ImapTask *task = imap_task_new(self, request, &folders_ops, folders);
	g_autoptr(GError) error = NULL;

	folders->listing = imap_listing_new();
	folders->request = request;
	folders->messages = G_MAXUINT32;
	if (!check(self, request, &error))
		imap_task_fail(task, g_steal_pointer(&error));
	else if (concerns_selected(self, request))
		leave_selected(self, task);
	else
		look(self, task);
	imap_task_settle(self, task);
}
