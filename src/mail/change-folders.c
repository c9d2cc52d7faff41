/* SPDX-License-Identifier: MIT */
/* mkdir, rmdir and mv of mailboxes. */
#include <string.h>

#include "mail/account-private.h"
#include "mail/change-private.h"

#define SPECIAL                                                                                    \
	(MAILBOX_ALL | MAILBOX_ARCHIVE | MAILBOX_DRAFTS | MAILBOX_FLAGGED | MAILBOX_JUNK |         \
	 MAILBOX_SENT | MAILBOX_TRASH)

/* One of the three under way. */
typedef struct {
	Changes *changes;
	RequestKind kind;
	Mailbox *mailbox; /* CREATE: the parent, may be NULL */
	Mailbox *parent;
	char *raw, *file_name; /* what it is to be called; NULL with DELETE */
	gboolean told;
	ChangeDone done;
	gpointer user;
} Folder;

static void
folder_finish(Folder *folder, const GError *error)
{
	folder->done(folder->user, error);
	g_free(folder->raw);
	g_free(folder->file_name);
	g_free(folder);
}

static void
refuse(ChangeDone done, gpointer user, MailfsError code, const char *text)
{
	g_autoptr(GError) error = g_error_new_literal(MAILFS_ERROR, (int)code, text);

	done(user, error);
}

/* What desktops and tools drop everywhere, and what would be invisible. */
static gboolean
is_litter(const char *name)
{
	static const char *const names[] = {"Thumbs.db", "desktop.ini", "lost+found",
					    "$RECYCLE.BIN", "System Volume Information"};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		if (g_ascii_strcasecmp(name, names[i]) == 0)
			return TRUE;
	return *name == '.';
}

static gboolean
check_name(Changes *changes, Mailbox *parent, const char *name, GError **error)
{
	guint32 directory = parent != NULL ? mailbox_directory(parent) : ACCOUNT_ROOT_DIRECTORY;

	if (!changes_may(changes, error))
		return FALSE;
	if (is_litter(name)) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_FORBIDDEN,
				    "no mailbox is made of that name: it would be hidden, or is "
				    "some program's litter");
		return FALSE;
	}
	if (account_child(changes->account, directory, name) != NULL ||
	    (parent == NULL && g_ascii_strcasecmp(name, "INBOX") == 0)) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_EXISTS,
				    "a mailbox of that name is there already");
		return FALSE;
	}
	return TRUE;
}

/* --- hearing
 * ------------------------------------------------------------------------------------------ */

static void
on_mailbox(gpointer user, const MailboxInfo *info)
{
	Folder *folder = user;

	if (folder->kind != REQUEST_CREATE || strcmp(info->name, folder->raw) != 0)
		return;
	account_put_mailbox(folder->changes->account, info);
	folder->told = TRUE;
}

/* The server has made it, and does not list it: it is there all the same. */
static void
put_untold(Folder *folder)
{
	g_autoptr(GPtrArray) all = account_mailboxes(folder->changes->account);
	const Mailbox *like = folder->mailbox;
	MailboxInfo info = {.name = folder->raw, .prefix = "", .attributes = MAILBOX_SUBSCRIBED};

	for (guint i = 0; like == NULL && i < all->len; i++)
		if (*mailbox_prefix(all->pdata[i]) != '\0')
			like = all->pdata[i];
	if (like == NULL && all->len > 0)
		like = all->pdata[0];
	if (like != NULL) {
		info.separator = mailbox_separator(like);
		info.prefix = mailbox_prefix(like);
	}
	account_put_mailbox(folder->changes->account, &info);
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Folder *folder = user;
	Account *account = folder->changes->account;

	if (error == NULL && folder->kind == REQUEST_CREATE && !folder->told)
		put_untold(folder);
	else if (error == NULL && folder->kind == REQUEST_DELETE)
		account_drop_mailbox(account, folder->mailbox);
	else if (error == NULL && folder->kind == REQUEST_RENAME)
		account_move_mailbox(account, folder->mailbox, folder->raw, folder->parent,
				     folder->file_name);
	account_end_change(account);
	/* Whichever it is, the server's list says so. */
	if (g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME))
		account_list(account, 0);
	folder_finish(folder, error);
}

static const RequestEvents folder_events = {.mailbox = on_mailbox, .done = on_done};

/* --- asking
 * ------------------------------------------------------------------------------------------- */

static void
folder_send(Folder *folder)
{
	const char *name =
		folder->kind == REQUEST_CREATE ? folder->raw : mailbox_raw_name(folder->mailbox);
	Request *request = request_new(folder->kind, name, &folder_events, folder);

	if (folder->kind == REQUEST_RENAME)
		request->target = g_strdup(folder->raw);
	/* Other lines leave it, while the server is asked what is in it. */
	if (folder->kind != REQUEST_CREATE)
		pool_doubt(folder->changes->pool, name);
	account_begin_change(folder->changes->account);
	pool_submit(folder->changes->pool, request);
}

/* What was to be done to its messages is done. What failed there is told by the log; the server
 * will say whether the mailbox is empty. */
static void
on_quiet(gpointer user)
{
	folder_send(user);
}

static void
folder_send_when_quiet(Folder *folder, Mailbox *mailbox)
{
	if (!changes_await(folder->changes, mailbox, on_quiet, folder))
		folder_send(folder);
}

static Folder *
folder_new(Changes *changes, RequestKind kind, Mailbox *mailbox, ChangeDone done, gpointer user)
{
	Folder *folder = g_new0(Folder, 1);

	folder->changes = changes;
	folder->kind = kind;
	folder->mailbox = mailbox;
	folder->done = done;
	folder->user = user;
	return folder;
}

void
changes_mkdir(Changes *changes, Mailbox *parent, const char *name, ChangeDone done, gpointer user)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *raw = NULL;
	Folder *folder;

	if (changes_can(changes, "other mailboxes", &error) &&
	    check_name(changes, parent, name, &error))
		raw = account_raw_name(changes->account, parent, name, &error);
	if (raw == NULL) {
		done(user, error);
		return;
	}
	folder = folder_new(changes, REQUEST_CREATE, parent, done, user);
	folder->raw = g_steal_pointer(&raw);
	folder_send(folder);
}

static gboolean
is_inbox(const Mailbox *mailbox)
{
	return g_ascii_strcasecmp(mailbox_raw_name(mailbox), "INBOX") == 0;
}

void
changes_rmdir(Changes *changes, Mailbox *mailbox, guint local, ChangeDone done, gpointer user)
{
	g_autoptr(GError) error = NULL;
	MailboxView view;

	if (!changes_may(changes, &error)) {
		done(user, error);
		return;
	}
	mailbox_view(mailbox, &view);
	if (is_inbox(mailbox) || (mailbox_attributes(mailbox) & SPECIAL) != 0)
		refuse(done, user, MAILFS_ERROR_FORBIDDEN,
		       "INBOX and mailboxes with a special use are not removed");
	else if (local > 0 || view.count > 0 ||
		 account_n_children(changes->account, mailbox_directory(mailbox)) > 0)
		refuse(done, user, MAILFS_ERROR_NOT_EMPTY,
		       "the mailbox holds messages or mailboxes");
	else
		folder_send_when_quiet(folder_new(changes, REQUEST_DELETE, mailbox, done, user),
				       mailbox);
}

static gboolean
lies_in(Account *account, Mailbox *mailbox, const Mailbox *above)
{
	for (; mailbox != NULL; mailbox = account_mailbox(account, mailbox_parent(mailbox)))
		if (mailbox == above)
			return TRUE;
	return FALSE;
}

void
changes_rename_mailbox(Changes *changes, Mailbox *mailbox, Mailbox *parent, const char *name,
		       ChangeDone done, gpointer user)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *raw = NULL;
	Folder *folder;

	if (is_inbox(mailbox)) {
		refuse(done, user, MAILFS_ERROR_FORBIDDEN, "INBOX cannot be renamed");
		return;
	}
	if (parent != NULL && lies_in(changes->account, parent, mailbox)) {
		refuse(done, user, MAILFS_ERROR_INVALID, "a mailbox cannot lie in itself");
		return;
	}
	if (check_name(changes, parent, name, &error))
		raw = account_raw_name(changes->account, parent, name, &error);
	if (raw == NULL) {
		done(user, error);
		return;
	}
	folder = folder_new(changes, REQUEST_RENAME, mailbox, done, user);
	folder->parent = parent;
	folder->raw = g_steal_pointer(&raw);
	folder->file_name = g_strdup(name);
	/* Those below it go along. */
	folder_send_when_quiet(folder, NULL);
}
