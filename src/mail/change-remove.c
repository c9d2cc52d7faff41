/* SPDX-License-Identifier: MIT */
/* rm: where to, and how many. */
#include "mail/change-private.h"

/* Servers without SPECIAL-USE; names as they are in English everywhere. */
static const char *const trash_names[] = {"Trash", "Deleted Items", "Deleted Messages", "Deleted",
					  NULL};
static const char *const junk_names[] = {"Junk",       "Spam",	    "Junk E-mail",
					 "Junk Email", "Bulk Mail", NULL};

static gboolean
is_called(Mailbox *mailbox, const char *const *names)
{
	for (guint i = 0; names[i] != NULL; i++)
		if (g_ascii_strcasecmp(mailbox_file_name(mailbox), names[i]) == 0)
			return TRUE;
	return FALSE;
}

/* At the top, or right below INBOX, where some servers keep all others. */
static gboolean
is_near_top(Account *account, Mailbox *mailbox)
{
	Mailbox *parent = account_mailbox(account, mailbox_parent(mailbox));

	return parent == NULL || (mailbox_parent(parent) == ACCOUNT_ROOT_DIRECTORY &&
				  g_ascii_strcasecmp(mailbox_file_name(parent), "INBOX") == 0);
}

/* The mailbox of that use, by attribute, else by name. */
static Mailbox *
find_special(Account *account, guint use, const char *const *names)
{
	g_autoptr(GPtrArray) mailboxes = account_mailboxes(account);
	Mailbox *found = NULL;

	for (guint i = 0; i < mailboxes->len; i++) {
		Mailbox *mailbox = mailboxes->pdata[i];
		guint attributes = mailbox_attributes(mailbox);

		if (attributes & MAILBOX_NOSELECT)
			continue;
		if (attributes & use)
			return mailbox;
		if (found == NULL && is_called(mailbox, names) && is_near_top(account, mailbox))
			found = mailbox;
	}
	return found;
}

static gboolean
lies_in(Account *account, Mailbox *mailbox, const Mailbox *above)
{
	for (; mailbox != NULL && above != NULL;
	     mailbox = account_mailbox(account, mailbox_parent(mailbox)))
		if (mailbox == above)
			return TRUE;
	return FALSE;
}

/* --- the guard
 * ---------------------------------------------------------------------------------------- */

/* FALSE: one more would be too many. */
static gboolean
count_removal(Changes *changes)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);
	gint64 now = g_get_monotonic_time(), second = now / G_USEC_PER_SEC;
	guint slot = (guint)(second % GUARD_SECONDS), sum = 0;

	for (guint i = 0; i < GUARD_SECONDS; i++)
		if (changes->removals[i].second > second - GUARD_SECONDS)
			sum += changes->removals[i].n;
	if (changes->config.limit != 0 && sum >= changes->config.limit &&
	    now >= changes->allowed_until)
		return FALSE;
	if (changes->removals[slot].second != second)
		changes->removals[slot].n = 0;
	changes->removals[slot].second = second;
	changes->removals[slot].n++;
	return TRUE;
}

void
changes_allow(Changes *changes, gint64 time_us)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);

	changes->allowed_until = g_get_monotonic_time() + time_us;
}

/* --- removing
 * ----------------------------------------------------------------------------------------- */

/* By the policy, not submitted yet. NULL with an error. */
static Change *
removal_of(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid, GError **error)
{
	Account *account = changes->account;
	Mailbox *trash, *junk;
	Change *change;

	if (changes->config.policy == DELETE_EXPUNGE)
		return change_new(changes, DO_EXPUNGE, mailbox, serial, uid, NULL, NULL, error);
	if (changes->config.policy == DELETE_MARK) {
		change = change_new(changes, DO_STORE, mailbox, serial, uid, NULL, NULL, error);
		if (change == NULL)
			return NULL;
		change->uids = uidset_new();
		uidset_add(change->uids, uid, uid);
		change->add.flags = MESSAGE_DELETED;
		return change;
	}
	trash = find_special(account, MAILBOX_TRASH, trash_names);
	junk = find_special(account, MAILBOX_JUNK, junk_names);
	if (lies_in(account, mailbox, trash) || lies_in(account, mailbox, junk))
		return change_new(changes, DO_EXPUNGE, mailbox, serial, uid, NULL, NULL, error);
	if (trash != NULL)
		return change_new(changes, DO_MOVE, mailbox, serial, uid, trash, NULL, error);
	g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED,
			    "there is no Trash to move it to: set delete=expunge or make a Trash "
			    "mailbox");
	return NULL;
}

/* A removal that is answered for before a session was opened needs some hope of one. */
static gboolean
may_mark(Changes *changes, GError **error)
{
	if (!account_is_maildrop(changes->account) || account_is_online(changes->account))
		return TRUE;
	g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
			    "offline: messages are removed while the server can be reached");
	return FALSE;
}

void
changes_remove(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid, ChangeDone done,
	       gpointer user)
{
	g_autoptr(GError) error = NULL;
	Change *change = NULL;
	gboolean only_here = mailbox_is_only_kept(mailbox, uid);

	if (changes_may(changes, &error) && (only_here || may_mark(changes, &error)))
		change = removal_of(changes, mailbox, serial, uid, &error);
	if (change != NULL && !count_removal(changes)) {
		g_clear_pointer(&change, change_free);
		error = g_error_new(MAILFS_ERROR, MAILFS_ERROR_FORBIDDEN,
				    "more than %u messages removed within a minute: stopped; "
				    "`mailfs allow-delete MOUNTPOINT` lifts this for ten minutes",
				    changes->config.limit);
	}
	if (change != NULL && only_here) {
		g_autoptr(UidSet) uids = uidset_new();

		uidset_add(uids, uid, uid);
		mailbox_drop(mailbox, serial, uids);
		g_clear_pointer(&change, change_free);
	}
	if (change == NULL) {
		done(user, error);
		return;
	}
	change->done = done;
	change->user = user;
	change_submit(changes, change, change->kind != DO_STORE);
}

void
change_remove_victim(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid)
{
	g_autoptr(GError) error = NULL;
	Change *change = removal_of(changes, mailbox, serial, uid, &error);

	if (change == NULL) {
		g_autofree char *path = account_path(changes->account, mailbox);

		changes_log(changes, "%s: a message that was replaced stays: %s", path,
			    error->message);
		return;
	}
	change->early = change->kind != DO_STORE;
	change_submit(changes, change, FALSE);
}
