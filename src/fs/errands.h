/* SPDX-License-Identifier: MIT */
/* Errands: work on the local disk (fsync) that would hold up the threads that serve the kernel.
 * What has the same key is done in the order in which it came, by one thread; there are a few.
 * Thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Errands Errands;
typedef void (*Errand)(gpointer data);

Errands *errands_new(void);
void errands_push(Errands *errands, guint key, Errand run, gpointer data);
void errands_drain(Errands *errands); /* waits until all that is there is done */
void errands_free(Errands *errands);  /* does all that is left first. NULL is fine */

G_END_DECLS
