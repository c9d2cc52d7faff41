/* SPDX-License-Identifier: MIT */
/* Copiers: which processes are cp, and whether they copy within the mount, where the server does it
 * and no body is needed: what such a process opens need not be fetched before it is read. What cp
 * is about to do is not known when it opens its first file; from then on it does the same with all.
 * Thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Copiers Copiers;

Copiers *copiers_new(void);
void copiers_free(Copiers *copiers); /* NULL is fine */

/* @thread opens a message. TRUE: its process may be about to copy it. Reads /proc. */
gboolean copiers_may_copy(Copiers *copiers, guint32 thread);
/* What became of such an open: it was copied (or read). */
void copiers_note(Copiers *copiers, guint32 thread, gboolean copied);

G_END_DECLS
