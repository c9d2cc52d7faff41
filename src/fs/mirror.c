/* SPDX-License-Identifier: MIT */
#include "fs/mirror.h"

#include <string.h>

#define SUFFIX			 ".eml"
#define COOKIE_DIRECTORY(serial) (VIEW_FIRST_COOKIE + (guint64)(serial))
#define COOKIE_MESSAGES		 (1ull << 32)

static const TreeAnswer answer_ok = {.result = TREE_OK};

static guint32
serial_of(const Node *directory)
{
	return directory->serial != 0 ? directory->serial : NODE_ROOT_SERIAL;
}

/* @mailbox NULL: the top. */
static void
stat_mailbox(View *view, Mailbox *mailbox, struct stat *out)
{
	Account *account = view->house->account;
	Node node = {.kind = view->ops->kind};
	MailboxView known = {.changed = account_changed(account)};

	if (mailbox != NULL) {
		node.serial = mailbox_directory(mailbox);
		mailbox_view(mailbox, &known);
	}
	view_stat_directory(view->house, node_to_ino(node), known.changed,
			    account_n_children(account, serial_of(&node)), out);
}

TreeAnswer
mirror_stat_directory(View *view, const Node *directory, struct stat *out)
{
	Mailbox *mailbox = account_mailbox(view->house->account, directory->serial);

	if (mailbox == NULL && directory->serial != 0)
		return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	stat_mailbox(view, mailbox, out);
	return answer_ok;
}

TreeAnswer
mirror_message(View *view, const Node *node, MessageView *out)
{
	Mailbox *mailbox = account_mailbox_of(view->house->account, node->serial);

	if (mailbox == NULL)
		return view_error(MAILFS_ERROR_STALE, "UIDVALIDITY has changed");
	if (!mailbox_get(mailbox, node->serial, node->uid, out))
		return view_error(MAILFS_ERROR_STALE, "the message is no more");
	return answer_ok;
}

/* The mailbox of a directory when it can hold messages, else NULL. */
static Mailbox *
selectable(View *view, const Node *directory)
{
	Mailbox *mailbox = account_mailbox(view->house->account, directory->serial);

	return mailbox != NULL && (mailbox_attributes(mailbox) & MAILBOX_NOSELECT) == 0 ? mailbox
											: NULL;
}

TreeAnswer
mirror_lookup(View *view, const Mirror *mirror, const Node *directory, const char *name,
	      gboolean patient, struct stat *out, gboolean *alias_out)
{
	Mailbox *child = account_child(view->house->account, serial_of(directory), name);
	Mailbox *mailbox = selectable(view, directory);
	g_autofree char *file_name = NULL;
	g_autofree char *listed = NULL;
	MessageView message;
	TreeAnswer answer;

	if (child != NULL) {
		stat_mailbox(view, child, out);
		return answer_ok;
	}
	if (mailbox == NULL || !g_str_has_suffix(name, mirror->suffix))
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such mailbox or message");
	file_name =
		g_strdup_printf("%.*s" SUFFIX, (int)(strlen(name) - strlen(mirror->suffix)), name);
	answer = view_refresh(view->house, mailbox, patient);
	if (!mailbox_find(mailbox, file_name, &message))
		return answer.result == TREE_OK
			       ? view_error(MAILFS_ERROR_NOT_FOUND, "no such message")
			       : answer;
	g_clear_error(&answer.error);
	listed = mailbox_name_of(mailbox, message.uid);
	*alias_out = g_strcmp0(listed, file_name) != 0;
	mirror->stat_message(view, &message, out);
	return answer_ok;
}

TreeAnswer
mirror_open(View *view, const Node *directory, gboolean patient, guint64 *version_out)
{
	Mailbox *mailbox = selectable(view, directory);
	MailboxView known = {0};
	TreeAnswer answer = answer_ok;

	account_refresh_folders(view->house->account);
	if (mailbox != NULL)
		answer = view_open(view->house, mailbox, patient, &known);
	*version_out = account_folders_version(view->house->account) + known.version;
	return answer;
}

typedef struct {
	View *view;
	const Mirror *mirror;
	TreeEntry entry;
	gpointer user;
	guint n;
} Listing;

static gboolean
list_message(gpointer user, const MessageView *message, const char *file_name)
{
	Listing *listing = user;
	gsize len = strlen(file_name) - strlen(SUFFIX);
	char name[320];
	struct stat st;

	g_snprintf(name, sizeof name, "%.*s%s", (int)len, file_name, listing->mirror->suffix);
	listing->mirror->stat_message(listing->view, message, &st);
	if (!listing->entry(listing->user, name, &st, COOKIE_MESSAGES + message->uid))
		return FALSE;
	listing->n++;
	return TRUE;
}

/* FALSE: the caller's room is used up. */
static gboolean
list_children(View *view, const Node *directory, guint64 cookie, Listing *listing)
{
	g_autoptr(GPtrArray) children = account_children(
		view->house->account, serial_of(directory),
		cookie >= VIEW_FIRST_COOKIE ? (guint32)(cookie - VIEW_FIRST_COOKIE + 1) : 0);

	for (guint i = 0; i < children->len; i++) {
		struct stat st;

		stat_mailbox(view, children->pdata[i], &st);
		if (!listing->entry(listing->user, mailbox_file_name(children->pdata[i]), &st,
				    COOKIE_DIRECTORY(mailbox_directory(children->pdata[i]))))
			return FALSE;
		listing->n++;
	}
	return TRUE;
}

TreeAnswer
mirror_list(View *view, const Mirror *mirror, const Node *directory, guint64 cookie,
	    gboolean patient, TreeEntry entry, gpointer user)
{
	Mailbox *mailbox = selectable(view, directory);
	Listing listing = {view, mirror, entry, user, 0};
	MailboxView known;

	if (cookie < COOKIE_MESSAGES && !list_children(view, directory, cookie, &listing))
		return answer_ok;
	if (mailbox == NULL)
		return answer_ok;
	/* Looked at before the messages: what arrives in between is found by the next call. */
	mailbox_view(mailbox, &known);
	mailbox_each(mailbox,
		     cookie > COOKIE_MESSAGES ? (guint32)(cookie - COOKIE_MESSAGES) + 1 : 1,
		     list_message, &listing);
	if (listing.n > 0 || known.listed)
		return answer_ok;
	if (known.syncing && patient)
		return view_later(mailbox);
	return view_unlisted(mailbox);
}
