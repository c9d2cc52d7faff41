/* SPDX-License-Identifier: MIT */
/* Account: a mail account as a tree of mailboxes, with the parts that serve it (pool, index,
 * bodies, scan). Built by main, asked by fs/. Thread-safe; only account_new() and account_start()
 * block. */
#pragma once

#include "mail/mailbox.h"

G_BEGIN_DECLS

typedef struct Account Account;

#define ACCOUNT_ROOT_DIRECTORY 1u /* the serial of the top directory, which is no mailbox */

typedef struct {
	BackendNew backend_new;
	const BackendConfig *backend; /* borrowed, outlives the account */
	const char *identity;	      /* who and where: a cache of another identity is dropped */
	guint connections;
	gint64 dir_time_us;
	const char *cache_dir; /* exists, 0700, locked by the caller */
	guint64 cache_size;    /* 0: no bound */
	gboolean names_uid;
	const char *const *folders; /* globs on paths ("Lists/" "*"); NULL: all */
	gboolean subscribed;	    /* only subscribed ones */
	gboolean maildrop;    /* POP3: one mailbox, whose numbers the index gives (numbers.h) */
	const char *keep_dir; /* of the archive (archive.h), with `maildrop`; NULL: none */
} AccountConfig;

/* What the account tells upwards, on whatever thread found out. Must not block. */
typedef struct {
	MailboxNews mailbox;
	void (*folders)(gpointer user);			      /* mailboxes came or went */
	void (*folder_gone)(gpointer user, Mailbox *mailbox); /* it is no longer found by name */
	void (*log)(gpointer user, const char *text);	      /* a line for the user, printable */
	void (*online)(gpointer user);	/* or NULL: the server can be reached (again) */
	void (*offline)(gpointer user); /* or NULL: it cannot be, for the moment or for longer */
} AccountNews;

Account *account_new(const AccountConfig *config, const AccountNews *news, gpointer user,
		     GError **error);

/**
 * account_start: logs in and lists the mailboxes.
 * @offline_out: TRUE: the server cannot be reached, but the index knows the mailboxes: usable from
 * the cache; *reason_out says why
 */
gboolean account_start(Account *account, GCancellable *cancel, gboolean *offline_out,
		       char **reason_out, GError **error);
void account_stop(Account *account); /* logs out, ends all threads: no more news after it */
void account_free(Account *account); /* after account_stop(). NULL is fine */

/* LIST again when the last answer is older than dir-time. Does not wait. */
void account_refresh_folders(Account *account);
guint64 account_folders_version(Account *account); /* rises when mailboxes come or go */
gint64 account_changed(Account *account);	 /* wall clock, seconds: when that last happened */
gint64 account_dir_time(const Account *account); /* µs */
gboolean account_is_maildrop(const Account *account);

/* By serial of the directory, or of the messages (of this UIDVALIDITY). NULL when there is none
 * (any more). */
Mailbox *account_mailbox(Account *account, guint32 directory);
Mailbox *account_mailbox_of(Account *account, guint32 messages);
Mailbox *account_child(Account *account, guint32 directory, const char *file_name);
guint account_n_children(Account *account, guint32 directory);
/* The children in the order of their serials, from @first on. (transfer container) of borrowed
 * Mailbox */
GPtrArray *account_children(Account *account, guint32 directory, guint32 first);
GPtrArray *account_mailboxes(Account *account);		/* those of the server. Likewise */
char *account_path(Account *account, Mailbox *mailbox); /* "INBOX/Projects". (transfer full) */
Mailbox *account_mailbox_named(Account *account, const char *raw_name);

#define ACCOUNT_LOCAL_PREFIX "\001"

/**
 * account_add_local: a directory that no server has (MAILBOX_LOCAL): always listed, without
 * messages; its files are Uploads. It keeps its serial as long as the index lives. A mailbox of the
 * server's that has the same place is hidden, with all below it, and the log says so. Before
 * anybody looks at the tree.
 * @parent: (nullable): another such one; NULL: the top
 * @raw_name: what no server calls a mailbox, since it begins with ACCOUNT_LOCAL_PREFIX: the key of
 * account_mailbox_named()
 *
 * Returns: NULL when the index has no numbers left
 */
Mailbox *account_add_local(Account *account, Mailbox *parent, const char *raw_name,
			   const char *file_name);

/* --- what we changed ourselves: the tree says so before the next LIST --- */

/* From before the server is asked for such a change until its answer was heard and applied: what a
 * LIST says meanwhile is void, for nobody knows whether it was asked before or after. */
void account_begin_change(Account *account);
void account_end_change(Account *account);

/* The raw name of what is to be called @file_name in @parent (NULL: the top). INVALID: no such name
 * can be; UNSUPPORTED: there can be no mailbox in there. (transfer full) */
char *account_raw_name(Account *account, Mailbox *parent, const char *file_name, GError **error);
/* Is there now. NULL when the numbers are used up. */
Mailbox *account_put_mailbox(Account *account, const MailboxInfo *info);
void account_drop_mailbox(Account *account, Mailbox *mailbox); /* is no more */
/* Lies elsewhere now, with all below it; caches and serials stay. */
void account_move_mailbox(Account *account, Mailbox *mailbox, const char *raw_name, Mailbox *parent,
			  const char *file_name);

typedef struct {
	gboolean known;
	guint64 used, limit; /* octets */
} AccountQuota;
AccountQuota account_quota(Account *account); /* from memory; asks anew now and then */

gboolean account_is_online(Account *account); /* a line is up, or can be had at once */

/* For status pages. */
Pool *account_pool(Account *account);
Bodies *account_bodies(Account *account);
Scan *account_scan(Account *account);
Index *account_index(Account *account);
Numbers *account_numbers(Account *account); /* NULL: the server has UIDs */
Archive *account_archive(Account *account); /* NULL: nothing is kept */
gint64
account_listed_at(Account *account); /* wall clock, seconds: of the last LIST answer, 0 never */

G_END_DECLS
