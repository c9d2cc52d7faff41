/* SPDX-License-Identifier: MIT */
/* Directories that no server has. */
#include <string.h>

#include "base/util.h"
#include "mail/account-private.h"

void
account_note_local(Account *account, const IndexMailbox *row)
{
	g_hash_table_replace(account->local_serials, g_strdup(row->name),
			     serial_key(row->directory));
}

gboolean
account_is_hidden(Account *account, const char *top)
{
	for (guint i = 0; i < account->local->len; i++)
		if (strcmp(mailbox_file_name(account->local->pdata[i]), top) == 0)
			return TRUE;
	return FALSE;
}

void
account_tell_hidden(Account *account, const char *path)
{
	g_autofree char *shown = util_printable(path, -1, 300);
	g_autofree char *line = NULL;
	gboolean told;

	g_rw_lock_writer_lock(&account->lock);
	told = account->told_hidden;
	account->told_hidden = TRUE;
	g_rw_lock_writer_unlock(&account->lock);
	if (told)
		return;
	line = g_strdup_printf("%s: the server has a mailbox of this name, which is hidden: here "
			       "the name stands for what is to be sent (outbox=NAME calls that "
			       "otherwise)",
			       shown);
	account->news->log(account->user, line);
}

/* Takes @mailbox and all below it out of the tree. Under the lock. */
static void
hide(Account *account, Mailbox *mailbox)
{
	GPtrArray *children = account_children_of(account, mailbox_directory(mailbox));

	while (children != NULL && children->len > 0)
		hide(account, children->pdata[children->len - 1]);
	account_tree_remove(account, mailbox);
}

/* As the index knows it, or new. Under the lock. FALSE: there are no numbers left. */
static gboolean
number(Account *account, IndexMailbox *row)
{
	row->directory = GPOINTER_TO_UINT(g_hash_table_lookup(account->local_serials, row->name));
	if (row->directory != 0)
		return TRUE;
	row->directory = index_new_serial(account->index);
	if (row->directory == 0)
		return FALSE;
	index_put_mailbox(account->index, row);
	return TRUE;
}

Mailbox *
account_add_local(Account *account, Mailbox *parent, const char *raw_name, const char *file_name)
{
	guint32 above = parent != NULL ? mailbox_directory(parent) : ACCOUNT_ROOT_DIRECTORY;
	Mailbox *there;
	IndexMailbox row = {
		.name = raw_name,
		.prefix = "",
		.attributes = MAILBOX_LOCAL,
		.changed = g_get_real_time() / G_USEC_PER_SEC,
	};
	Mailbox *mailbox = NULL;

	g_rw_lock_writer_lock(&account->lock);
	there = account_child_by_name(account, above, file_name);
	if (number(account, &row)) {
		if (there != NULL)
			hide(account, there);
		mailbox = account_tree_add(account, &row, above, file_name);
		if (parent == NULL)
			g_ptr_array_add(account->local, mailbox);
	}
	g_rw_lock_writer_unlock(&account->lock);
	if (mailbox != NULL && there != NULL)
		account_tell_hidden(account, file_name);
	return mailbox;
}
