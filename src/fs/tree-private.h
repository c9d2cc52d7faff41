/* SPDX-License-Identifier: MIT */
/* The inside of a Tree: for tree.c (names, attributes, listings), tree-names.c (what can be
 * changed) and tree-xattr.c. */
#pragma once

#include "fs/tree.h"
#include "fs/view.h"

G_BEGIN_DECLS

/* Cookies: "." and "..", then sub-mailboxes by serial, then messages by UID, then uploads by id. */
#define COOKIE_DOT		 1u
#define COOKIE_DOTDOT		 2u
#define COOKIE_DIRECTORY(serial) (2u + (guint64)(serial))
#define COOKIE_MESSAGES		 (1ull << 32)
#define COOKIE_UPLOADS		 (2ull << 32)

/* Of a directory: what its mailbox's own version and time do not tell. */
typedef struct {
	guint64 version;
	gint64 time;
	gint64 when;   /* the same by the monotonic clock */
	gint64 pinned; /* somebody has set it to this since; G_MININT64: nobody */
} TreeTouch;

struct Tree {
	Account *account;
	Uploads *uploads; /* or NULL */
	Changes *changes; /* or NULL */
	char *authserv_id;
	ViewHouse house;
	GPtrArray *views; /* of View */

	GMutex lock;	     /* guards all below */
	GHashTable *touched; /* serial of a directory → TreeTouch */
	GHashTable *links;   /* number → TreeLink */
	guint32 next_link;
	GQueue sent; /* of TreeSent, oldest first */
};

View *tree_view_of(const Tree *tree, const Node *node); /* NULL: a mailbox or a message */
View *tree_view_by_name(const Tree *tree, const char *name);
void tree_stat_message(const Tree *tree, const MessageView *message, struct stat *out);

/* The message that a mailbox lists as @name. NOT_FOUND. */
TreeAnswer tree_find_message(Tree *tree, Mailbox *mailbox, const char *name, gboolean patient,
			     MessageView *out);

TreeTouch tree_touch_of(Tree *tree, Mailbox *mailbox);
/* FALSE: there is no such link. @name NULL: of that number. */
gboolean tree_find_link(Tree *tree, guint64 directory, const char *name, guint32 number,
			char **target_out, struct stat *out);
void tree_names_init(Tree *tree);
void tree_names_clear(Tree *tree);

G_END_DECLS
