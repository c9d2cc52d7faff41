/* SPDX-License-Identifier: MIT */
/* Tree: what the user sees, in FUSE-free words: which node a name is, its attributes, what a
 * directory holds, extended attributes. It looks things up in the account and never waits: where an
 * answer needs the network it names the mailbox to wait for (mailbox_wait()) and is asked again.
 * Thread-safe. */
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/listings.h"
#include "fs/node.h"
#include "mail/account.h"
#include "mail/change.h"
#include "mail/uploads.h"

G_BEGIN_DECLS

typedef struct Tree Tree;

/* The files of .mailfs/, by part number from 1 on. Text is made when asked for. */
typedef struct {
	const char *name;
	/* (transfer full) UTF-8; NULL: the file that takes commands (command.h) */
	char *(*render)(gpointer user);
} TreePage;

typedef struct {
	Account *account;      /* borrowed, outlives the tree */
	Uploads *uploads;      /* the same; NULL: nothing can be written */
	Changes *changes;      /* the same; NULL: nothing can be changed */
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

/* What is known of a directory, asking nobody, by who has read as far as @cookie. Only of a
 * mailbox's is its shape known, and not behind its messages: who is there meets no new one. */
ListingView tree_listing(Tree *tree, guint64 directory, guint64 cookie);

/**
 * tree_list: what comes after @cookie (0: the beginning) in @directory: sub-mailboxes, then
 * messages in UID order, then files that are not on the server yet. Cookies are keys, not
 * positions: they stay right when messages come and go. While the first listing still arrives,
 * TREE_LATER says that there may be more.
 */
typedef gboolean (*TreeEntry)(gpointer user, const char *name, const struct stat *st,
			      guint64 cookie);
TreeAnswer tree_list(Tree *tree, guint64 directory, guint64 cookie, gboolean patient,
		     TreeEntry entry, gpointer user);

/* Target of a link. (transfer full) */
TreeAnswer tree_readlink(Tree *tree, guint64 ino, char **target_out);

/* The content of a file that is no message: bytes, or (@bytes NULL) a file. Owned by the caller:
 * tree_content_clear(). */
typedef struct {
	GBytes *bytes;
	Body *body;
	guint64 size;
	gboolean fresh; /* made for this call and another time for the next: not to be cached */
} TreeContent;
TreeAnswer tree_content(Tree *tree, guint64 ino, guint32 reader, gboolean patient,
			TreeContent *out);
void tree_content_clear(TreeContent *content);

/* Extended attributes of a message. The value is UTF-8 without NUL. */
typedef enum {
	TREE_XATTR_NONE,	 /* no such name here */
	TREE_XATTR_GONE,	 /* the message is: that is not to have no flags */
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

/* --- what can be changed --- */

typedef enum {
	TREE_NAME_NOTHING, /* free */
	TREE_NAME_MAILBOX,
	TREE_NAME_MESSAGE,
	TREE_NAME_UPLOAD,
	TREE_NAME_LINK,	 /* an editor's lock */
	TREE_NAME_FIXED, /* belongs to a view: nobody can change it, or make it */
} TreeNameKind;

/* What a name is, for those who want to change that. */
typedef struct {
	TreeNameKind kind;
	Mailbox *directory;  /* the name is in; NULL: the top */
	Mailbox *mailbox;    /* MAILBOX */
	MessageView message; /* MESSAGE */
	Upload *upload;	     /* UPLOAD, owned */
	char *file_name;     /* what it is called in its mailbox, owned */
	gboolean has_flags;  /* a name of .maildir's cur or new, which tells: */
	guint32 flags;	     /* the MessageFlags of TREE_NAME_FLAGS that it should have */
} TreeName;

#define TREE_NAME_FLAGS                                                                            \
	(MESSAGE_DRAFT | MESSAGE_FLAGGED | MESSAGE_ANSWERED | MESSAGE_SEEN | MESSAGE_DELETED)

/* As tree_lookup(), but a name that is free is no error. *@out: tree_name_clear(). */
TreeAnswer tree_resolve(Tree *tree, guint64 directory, const char *name, gboolean patient,
			TreeName *out);
void tree_name_clear(TreeName *name);

Upload *tree_upload(Tree *tree, guint64 ino); /* NULL: none (any more). (transfer full) */
/* The kernel may still have the number of a file that is a message by now: that of the message. Any
 * other number as it is. */
guint64 tree_current(Tree *tree, guint64 ino);
void tree_stat_upload(Tree *tree, Upload *upload, struct stat *out);
/* The message that @upload is to become a copy of, once its mailbox is listed. NOT_FOUND when it is
 * no copy. */
TreeAnswer tree_source(Tree *tree, Upload *upload, gboolean patient, Mailbox **mailbox_out,
		       guint32 *serial_out, guint32 *uid_out);

/* The directory of @mailbox shows other files now: its time and version say so. */
void tree_touch(Tree *tree, Mailbox *mailbox);
/* Its time is this from now on; what was written into it before and is still on its way to the
 * server does not change that. Not before 1970. */
void tree_set_time(Tree *tree, Mailbox *mailbox, gint64 time);
/* A file of that name went to the server a moment ago: who wrote it may still be setting its mode.
 * Another version of the directory. */
void tree_note_sent(Tree *tree, Mailbox *mailbox, const char *name);
gboolean tree_is_new(Tree *tree, guint64 ino);

/* Editors' locks: links named ".#…", in memory only. FALSE: no such name, or there already. */
gboolean tree_add_link(Tree *tree, guint64 directory, const char *name, const char *target,
		       struct stat *out);
gboolean tree_remove_link(Tree *tree, guint64 directory, const char *name);

Mailbox *tree_mailbox_of_directory(Tree *tree, guint64 ino); /* NULL: the top, or none */
/* Of a message that is, or was, here: OK as long as it is listed. One that is on its way to another
 * mailbox is waited for; then STALE: whoever looks for it by name finds it there. */
TreeAnswer tree_moved(Tree *tree, guint64 ino, gboolean patient);
/* Messages are on their way into this directory: opening it waits for them. */
gboolean tree_is_coming(Tree *tree, guint64 directory);

Mailbox *tree_mailbox_of_message(Tree *tree, guint64 ino,
				 Node *node_out); /* NULL: no message (any more) */
void tree_statvfs(Tree *tree, struct statvfs *out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tree, tree_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TreeName, tree_name_clear)

G_END_DECLS
