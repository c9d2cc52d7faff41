/* SPDX-License-Identifier: MIT */
/* What we changed ourselves in the tree of mailboxes. A LIST that was asked before such a change
 * and answered after it is void. */
#include <string.h>

#include "mail/account-private.h"
#include "mail/name.h"

Mailbox *
account_mailbox_named(Account *account, const char *raw_name)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);

	return g_hash_table_lookup(account->by_raw, raw_name);
}

/* What a new name at the top begins with, and what separates levels. Under the lock. */
static void
learn_namespace(const Account *account, const char **prefix_out, char *separator_out)
{
	*prefix_out = "";
	*separator_out = '\0';
	for (guint i = 0; i < account->all->len; i++) {
		Mailbox *mailbox = account->all->pdata[i];

		if (*separator_out == '\0')
			*separator_out = mailbox_separator(mailbox);
		if (*mailbox_prefix(mailbox) == '\0')
			continue;
		*prefix_out = mailbox_prefix(mailbox);
		*separator_out = mailbox_separator(mailbox);
		return;
	}
}

static char *
refuse_name(GError **error, MailfsError code, const char *text)
{
	g_set_error_literal(error, MAILFS_ERROR, (int)code, text);
	return NULL;
}

char *
account_raw_name(Account *account, Mailbox *parent, const char *file_name, GError **error)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);
	g_autofree char *component = name_to_mutf7(file_name, error);
	g_autofree char *raw = NULL;
	const char *prefix;
	char separator;

	if (component == NULL)
		return NULL;
	learn_namespace(account, &prefix, &separator);
	if (separator != '\0' && strchr(component, separator) != NULL)
		return refuse_name(error, MAILFS_ERROR_INVALID,
				   "the server separates levels of mailboxes by a character of "
				   "this name");
	if (parent == NULL)
		return g_strconcat(prefix, component, NULL);
	if (mailbox_separator(parent) == '\0' ||
	    (mailbox_attributes(parent) & MAILBOX_NOINFERIORS) != 0)
		return refuse_name(error, MAILFS_ERROR_UNSUPPORTED,
				   "the server allows no mailbox inside this one");
	raw = g_strdup_printf("%s%c%s", mailbox_raw_name(parent), mailbox_separator(parent),
			      component);
	/* Below INBOX of such a server everything else begins: it would show at the top. */
	if (*prefix != '\0' && *mailbox_prefix(parent) == '\0' && g_str_has_prefix(raw, prefix))
		return refuse_name(error, MAILFS_ERROR_UNSUPPORTED,
				   "on this server nothing can lie below INBOX: make it at the "
				   "top");
	return g_steal_pointer(&raw);
}

void
account_begin_change(Account *account)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&account->lock);

	account->own++;
	account->changing++;
}

void
account_end_change(Account *account)
{
	g_rw_lock_writer_lock(&account->lock);
	account->changing--;
	g_rw_lock_writer_unlock(&account->lock);
	/* What was put off meanwhile. */
	pool_look(account->pool);
}

/* Under the lock. */
static void
note_own_change(Account *account)
{
	account->own++;
	account->version++;
	account->changed = g_get_real_time() / G_USEC_PER_SEC;
	account_put_root(account);
}

Mailbox *
account_put_mailbox(Account *account, const MailboxInfo *info)
{
	IndexMailbox row = {
		.name = info->name,
		.separator = info->separator,
		.attributes = info->attributes,
		.prefix = info->prefix != NULL ? info->prefix : "",
	};
	Mailbox *mailbox;

	g_rw_lock_writer_lock(&account->lock);
	mailbox = account_ensure(account, &row, NULL);
	note_own_change(account);
	g_rw_lock_writer_unlock(&account->lock);
	account->news->folders(account->user);
	return mailbox;
}

void
account_drop_mailbox(Account *account, Mailbox *mailbox)
{
	gboolean there;
	MailboxView view;

	g_rw_lock_writer_lock(&account->lock);
	there = g_hash_table_lookup(account->by_directory,
				    serial_key(mailbox_directory(mailbox))) == mailbox;
	if (there) {
		account_tree_remove(account, mailbox);
		note_own_change(account);
	}
	g_rw_lock_writer_unlock(&account->lock);
	if (!there)
		return;
	mailbox_view(mailbox, &view);
	bodies_remove_serial(account->bodies, view.messages);
	account->news->folder_gone(account->user, mailbox);
	account->news->folders(account->user);
}

void
account_move_mailbox(Account *account, Mailbox *mailbox, const char *raw_name, Mailbox *parent,
		     const char *file_name)
{
	g_autofree char *above =
		g_strdup_printf("%s%c", mailbox_raw_name(mailbox), mailbox_separator(mailbox));
	g_autoptr(GPtrArray) below = g_ptr_array_new();

	g_rw_lock_writer_lock(&account->lock);
	for (guint i = 0; mailbox_separator(mailbox) != '\0' && i < account->all->len; i++) {
		Mailbox *one = account->all->pdata[i];

		if (g_str_has_prefix(mailbox_raw_name(one), above) &&
		    g_hash_table_lookup(account->by_raw, mailbox_raw_name(one)) == one)
			g_ptr_array_add(below, one);
	}
	account_tree_move(account, mailbox,
			  parent != NULL ? mailbox_directory(parent) : ACCOUNT_ROOT_DIRECTORY,
			  raw_name, file_name);
	for (guint i = 0; i < below->len; i++) {
		Mailbox *one = below->pdata[i];
		g_autofree char *now =
			g_strdup_printf("%s%c%s", raw_name, mailbox_separator(mailbox),
					mailbox_raw_name(one) + strlen(above));

		account_tree_move(account, one, mailbox_parent(one), now, mailbox_file_name(one));
	}
	note_own_change(account);
	g_rw_lock_writer_unlock(&account->lock);
	account->news->folders(account->user);
}
