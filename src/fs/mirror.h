/* SPDX-License-Identifier: MIT */
/* The tree of mailboxes once more, within a view: its directories are (kind of the view, serial of
 * the mailbox's directory; the top: serial 0), each message is one node (kind, serial, uid) under
 * its name with another ending. */
#pragma once

#include "fs/view.h"

G_BEGIN_DECLS

typedef struct {
	const char *suffix; /* instead of ".eml" */
	void (*stat_message)(View *view, const MessageView *message, struct stat *out);
} Mirror;

/* As the slots of ViewOps. @directory: one whose UID is 0. */
TreeAnswer mirror_lookup(View *view, const Mirror *mirror, const Node *directory, const char *name,
			 gboolean patient, struct stat *out, gboolean *alias_out);
TreeAnswer mirror_open(View *view, const Node *directory, gboolean patient, guint64 *version_out);
TreeAnswer mirror_list(View *view, const Mirror *mirror, const Node *directory, guint64 cookie,
		       gboolean patient, TreeEntry entry, gpointer user);
TreeAnswer mirror_stat_directory(View *view, const Node *directory, struct stat *out);

/* The message of a node, whatever its part. */
TreeAnswer mirror_message(View *view, const Node *node, MessageView *out);

G_END_DECLS
