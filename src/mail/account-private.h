/* SPDX-License-Identifier: MIT */
/* The inside of an Account, for account.c (life, news, looking) and account-folders.c (the tree of
 * mailboxes and LIST). */
#pragma once

#include "mail/account.h"

G_BEGIN_DECLS

struct Account {
	const AccountNews *news;
	gpointer user;
	Pool *pool;
	Index *index;
	Bodies *bodies;
	Scan *scan;
	Numbers *numbers;      /* NULL: the server has UIDs */
	Archive *archive;      /* NULL: nothing is kept */
	BackendConfig backend; /* as given, with the numbers */
	PoolNews pool_news;
	MailboxHouse house;
	gint64 dir_time_us;
	GStrv folders;
	gboolean subscribed;
	char *identity;

	GRWLock lock;		  /* guards all below */
	GPtrArray *all;		  /* of Mailbox, owned: also those that are gone */
	GHashTable *by_directory; /* serial → Mailbox: in the tree */
	GHashTable *by_messages;  /* serial → Mailbox */
	GHashTable *by_raw;	  /* raw server name → Mailbox: in the tree */
	guint64 version;	  /* of the tree */
	gint64 changed;		  /* wall clock, seconds: of the tree */
	GHashTable
		*children; /* parent's directory serial → GPtrArray of Mailbox, by rising serial */
	guint64 own;	   /* changes of the tree by our own hand */
	guint changing;	   /* of those: under way */
	GHashTable *local_serials; /* raw name → serial: as the index has them */
	GPtrArray *local;	   /* of Mailbox: those of account_add_local() at the top */
	gboolean told_hidden;
	gboolean listing;
	gboolean list_wanted; /* the server has told of a change among the mailboxes */
	gint64 listed_at;     /* monotonic; 0 never */
	gint64 listed_clock;
	GError *list_error;
	GCond listed; /* with list_lock: account_start() waits here */
	GMutex list_lock;
	AccountQuota quota;
	gint64 quota_at;
	gboolean quota_asked;
};

static inline gpointer
serial_key(guint32 serial)
{
	return GUINT_TO_POINTER(serial);
}

/* Under the lock, from here on. */
GPtrArray *account_children_of(Account *account, guint32 directory); /* of Mailbox; NULL: none */
Mailbox *account_child_by_name(Account *account, guint32 directory, const char *file_name);
/* Stores the account's own row: what the tree's root is to the index. */
void account_put_root(Account *account);
/* Finds or makes the mailbox and the directories above it, adding each to @seen (nullable). @row:
 * as stored, or with serial 0 for one just listed. NULL when the numbers are used up. */
Mailbox *account_ensure(Account *account, const IndexMailbox *row, GHashTable *seen);
gboolean account_load(Account *account, GError **error);      /* what the index knows */
void account_tree_remove(Account *account, Mailbox *mailbox); /* and from the index */
/* A mailbox under its unique file name. */
Mailbox *account_tree_add(Account *account, const IndexMailbox *row, guint32 parent,
			  const char *component);
/* Under another parent, keeping the order of serials. */
void account_tree_move(Account *account, Mailbox *mailbox, guint32 parent, const char *raw_name,
		       const char *file_name);

/* account-local.c: is this path (or one above it) taken by a directory of ours? */
gboolean account_is_hidden(Account *account, const char *top);
/* A row of the index that is one of ours: kept for account_add_local(). */
void account_note_local(Account *account, const IndexMailbox *row);
void account_tell_hidden(Account *account, const char *path); /* once. Not under the lock */

/* account-watch.c: what a pool tells of mailboxes. Not under the lock. */
void account_watch_news(PoolNews *news);
void account_line_is_back(Account *account);

/* Not under the lock: LIST when the last answer is older than @max_age_us, but not before our own
 * changes of the tree are over. */
void account_list(Account *account, gint64 max_age_us);

G_END_DECLS
