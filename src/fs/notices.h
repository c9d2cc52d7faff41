/* SPDX-License-Identifier: MIT */
/* Notices: what the kernel must forget about names. It waits with that for the directory's lock,
 * which whoever works in the directory holds until we have answered him; and a thread that waits
 * there outlives even SIGKILL, with all that the process has open. So what is to be told of an
 * inode on whose answer somebody waits is kept back until he has it, and one thread does only the
 * telling; it holds no lock, and nothing waits for it. Thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Notices Notices;

/* On the notices' thread. @child 0: @name means something else now, or nothing; else the inode
 * @child is gone. */
typedef void (*NoticesTell)(gpointer user, guint64 parent, guint64 child, const char *name);

Notices *notices_new(NoticesTell tell, gpointer user);
void notices_push(Notices *notices, guint64 parent, guint64 child, const char *name);
/* Somebody waits for an answer about @ino, perhaps with its lock: nothing is told of it, neither as
 * parent nor as child, until as many have let go as hold. */
void notices_hold(Notices *notices, guint64 ino);
void notices_let_go(Notices *notices, guint64 ino);
void notices_free(Notices *notices); /* drops what is left, joins the thread: after the mount has
					ended. NULL is fine */

G_END_DECLS
