/* SPDX-License-Identifier: MIT */
/* Apart: a program that reads message after message, and the thread that serves it, take turns on
 * one CPU and are the longest way through a copy. What goes on beside it (fetching ahead, the page
 * cache, the index) does not belong on that CPU, where each slice of it holds both up; the
 * scheduler, to which all are alike, puts it there. Not thread-safe: one thread's. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Apart Apart;

#define APART_NOWHERE (-1)
#define APART_CREW    2 /* threads */

Apart *apart_new(void);
void apart_free(Apart *apart);
/* One of those that serve: never moved. @thread: as of gettid(). */
void apart_add_crew(Apart *apart, gint thread);

/* All threads of this process but the crew keep off @cpu from now on, as do those they start;
 * APART_NOWHERE: they run where the calling thread could run before. Nothing happens where it is so
 * already, or is the only CPU there is. Looks at /proc. */
void apart_keep_off(Apart *apart, int cpu);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Apart, apart_free)

G_END_DECLS
