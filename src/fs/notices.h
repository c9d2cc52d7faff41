/* SPDX-License-Identifier: MIT */
/* Notices: what the kernel must forget about names. Telling it may wait for a directory that a
 * request put aside holds, so one thread does only that; it holds no lock, and nothing waits for
 * it. Thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Notices Notices;

/* On the notices' thread. @child 0: @name means something else now, or nothing; else the inode
 * @child is gone. */
typedef void (*NoticesTell)(gpointer user, guint64 parent, guint64 child, const char *name);

Notices *notices_new(NoticesTell tell, gpointer user);
void notices_push(Notices *notices, guint64 parent, guint64 child, const char *name);
void notices_free(Notices *notices); /* drops what is left, joins the thread: after the mount has
					ended. NULL is fine */

G_END_DECLS
