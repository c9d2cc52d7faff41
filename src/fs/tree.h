/* SPDX-License-Identifier: MIT */
/* Tree: what the user sees, in FUSE-free words: which node a name is, its attributes, what a
 * directory holds, extended attributes. It looks things up in the account and never waits: where an
 * answer needs the network it names the mailbox to wait for (mailbox_wait()) and is asked again.
 * Thread-safe. */
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/node.h"
#include "mail/account.h"

G_BEGIN_DECLS

typedef struct Tree Tree;

/* The files of .mailfs/, by part number from 1 on. Text is made when asked for. */
typedef struct {
	const char *name;
	char *(*render)(gpointer user); /* (transfer full) UTF-8 */
} TreePage;

typedef struct {
	Account *account;      /* borrowed, outlives the tree */
	const TreePage *pages; /* borrowed, ends with a NULL name */
	gpointer page_user;
	const char *authserv_id; /* borrowed or NULL: whose Authentication-Results are believed */
	uid_t uid;
	gid_t gid;
	mode_t umask;
	gboolean read_only;
} TreeConfig;

typedef enum {
	TREE_OK,
	TREE_LATER, /* see TreeAnswer.wait_for */
	TREE_ERROR,
} TreeResult;

/* Calls @wake once, soon after something has changed; FALSE, without a call, when there is nothing
 * to wait for. */
typedef gboolean (*TreeWait)(gpointer wait_for, MailboxWake wake, gpointer user);

/* Wherever a function takes `patient`: FALSE answers from what is known now, TREE_LATER is then
 * never returned. After TREE_LATER the caller waits by answer.wait (answer.wait_for, …) and asks
 * again. */
typedef struct {
	TreeResult result;
	TreeWait wait;
	gpointer wait_for;
	GError *error; /* owned by the caller: g_clear_error() */
} TreeAnswer;

Tree *tree_new(const TreeConfig *config);
void tree_free(Tree *tree); /* NULL is fine */

/* @name in @directory. *@alias_out: the name is found but is not the listed one (<uid>.eml): not to
 * be cached. NOT_FOUND error: no such name. */
TreeAnswer tree_lookup(Tree *tree, guint64 directory, const char *name, gboolean patient,
		       struct stat *out, gboolean *alias_out);
TreeAnswer tree_stat(Tree *tree, guint64 ino, struct stat *out);

/* Called when a directory is opened: asks for news. *@version_out changes when the listing did. */
TreeAnswer tree_open_directory(Tree *tree, guint64 directory, gboolean patient,
			       guint64 *version_out);

/**
 * tree_list: what comes after @cookie (0: the beginning) in @directory: sub-mailboxes, then
 * messages in UID order. Cookies are keys, not positions: they stay right when messages come and
 * go. While the first listing still arrives, TREE_LATER says that there may be more.
 */
typedef gboolean (*TreeEntry)(gpointer user, const char *name, const struct stat *st,
			      guint64 cookie);
TreeAnswer tree_list(Tree *tree, guint64 directory, guint64 cookie, gboolean patient,
		     TreeEntry entry, gpointer user);

/* Target of a link. (transfer full) */
TreeAnswer tree_readlink(Tree *tree, guint64 ino, char **target_out);

/* The content of a file that is no message: bytes, or (@bytes NULL) a descriptor. Owned by the
 * caller: tree_content_clear(). */
typedef struct {
	GBytes *bytes;
	int fd;
	guint64 size;
	gboolean fresh; /* made for this call and another time for the next: not to be cached */
} TreeContent;
TreeAnswer tree_content(Tree *tree, guint64 ino, guint32 reader, gboolean patient,
			TreeContent *out);
void tree_content_clear(TreeContent *content);

/* Extended attributes of a message. The value is UTF-8 without NUL. */
typedef enum {
	TREE_XATTR_NONE,	 /* no such name here */
	TREE_XATTR_VALUE,	 /* *value_out is set */
	TREE_XATTR_NEEDS_HEADER, /* give tree_xattr_from_header() the whole header
				    (mailbox_header()) */
} TreeXattr;
/* What listxattr() tells of a message: user.mailfs.flags when it has any, and nothing else. All the
 * others are answered by name only: they are made from the message, and cp -a or rsync -X would
 * copy each of them, at a price several times that of the message. */
const char *tree_xattr_listed(Tree *tree, guint64 ino); /* NULL: nothing */
TreeXattr tree_xattr(Tree *tree, guint64 ino, const char *name, char **value_out);
char *tree_xattr_from_header(Tree *tree, const char *name, const char *header,
			     gsize len); /* NULL: it has none */

Mailbox *tree_mailbox_of_message(Tree *tree, guint64 ino,
				 Node *node_out); /* NULL: no message (any more) */
void tree_statvfs(Tree *tree, struct statvfs *out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tree, tree_free)

G_END_DECLS
