/* SPDX-License-Identifier: MIT */
/* A View is a hidden directory at the top of the tree that shows the same messages in another way
 * (.text, .parts, .maildir, .search). It is found by name only. Views are kept by the tree; every
 * slot obeys the rules of tree.h (never waits, TREE_LATER, cookies are keys) and may be called by
 * any thread. */
#pragma once

#include "fs/tree.h"

G_BEGIN_DECLS

typedef struct View View;

/* What every view shares: borrowed, outlives it. */
typedef struct {
	Account *account;
	Uploads *uploads; /* NULL: nothing can be written */
	uid_t uid;
	gid_t gid;
	mode_t directory_mode, file_mode; /* with S_IFDIR, S_IFREG */
	time_t started;
} ViewHouse;

/* Cookies 1 and 2 are "." and "..", which the tree lists; a view's own are above. */
#define VIEW_FIRST_COOKIE 3u

typedef struct {
	const char *name; /* ".text" */
	NodeKind kind;	  /* of all its nodes; its top is the one with part, serial and UID 0 */

	/* @name in @directory. *@alias_out: see tree_lookup(). */
	TreeAnswer (*lookup)(View *self, const Node *directory, const char *name, gboolean patient,
			     struct stat *out, gboolean *alias_out);
	TreeAnswer (*stat)(View *self, const Node *node, struct stat *out);
	/* Called when a directory is opened: asks for news, as tree_open_directory(). NULL: the
	 * kernel's copy of a listing is good for as long as the directory's time is the same. */
	TreeAnswer (*open)(View *self, const Node *directory, gboolean patient,
			   guint64 *version_out);
	/* What comes after @cookie, without "." and "..". */
	TreeAnswer (*list)(View *self, const Node *directory, guint64 cookie, gboolean patient,
			   TreeEntry entry, gpointer user);
	/* The content of a file; NULL when the view has no files of its own. From then on stat()
	 * tells exactly its size. @reader: the process. */
	TreeAnswer (*content)(View *self, const Node *node, guint32 reader, gboolean patient,
			      TreeContent *out);
	/* (transfer full); NULL when the view has no links. */
	TreeAnswer (*readlink)(View *self, const Node *node, char **target_out);
	void (*free)(View *self);
} ViewOps;

struct View {
	const ViewOps *ops; /* the first fields of every kind */
	const ViewHouse *house;
};

/* Filling a struct stat. @time: seconds since 1970. */
void view_stat_file(const ViewHouse *house, guint64 ino, guint64 size, gint64 time,
		    struct stat *out);
void view_stat_directory(const ViewHouse *house, guint64 ino, gint64 time, guint children,
			 struct stat *out); /* read-only */
void view_stat_link(const ViewHouse *house, guint64 ino, guint64 length, struct stat *out);

TreeAnswer view_error(MailfsError code, const char *format, ...) G_GNUC_PRINTF(2, 3);
TreeAnswer view_unlisted(Mailbox *mailbox); /* why one that was never listed cannot be looked at */
TreeAnswer view_later(Mailbox *mailbox);    /* waits for the mailbox's listing */

/* What opening a directory with the messages of @mailbox asks for and waits for; its listing may
 * still be coming in. *@view_out: what is known after that. */
TreeAnswer view_open(const ViewHouse *house, Mailbox *mailbox, gboolean patient,
		     MailboxView *view_out);

/* Brings a mailbox's listing up to date as opening its directory does. TREE_OK: it can be looked
 * at. */
TreeAnswer view_refresh(const ViewHouse *house, Mailbox *mailbox, gboolean patient);

G_END_DECLS
