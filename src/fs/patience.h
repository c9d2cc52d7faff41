/* SPDX-License-Identifier: MIT */
/* Patience: requests that were put aside, and the one clock thread that ends what waits too long or
 * was interrupted. For each Wait there is exactly one who claims it, and only that one acts on it:
 * the news it waited for, or the clock. Thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Patience Patience;
typedef struct Wait Wait;

#define PATIENCE_FOREVER G_MAXINT64

/* On the clock thread, which has claimed the wait. */
typedef void (*PatienceOver)(gpointer data, gboolean interrupted);

Patience *patience_new(PatienceOver over);
void patience_free(Patience *patience); /* joins the clock; NULL is fine */
guint patience_count(Patience *patience);

/**
 * patience_add: @give_up: monotonic µs at which the clock claims it, or PATIENCE_FOREVER
 * @data: owned by the wait, freed with @destroy when the last one lets go
 *
 * Returns: a reference for whoever brings the news; it ends with wait_unref()
 */
Wait *patience_add(Patience *patience, gint64 give_up, gpointer data, GDestroyNotify destroy);

gboolean wait_claim(Wait *wait); /* TRUE once, for one caller */
void
wait_interrupt(Wait *wait); /* the clock claims it at once. Takes one lock, calls nothing back */
gpointer wait_data(const Wait *wait);
gint64 wait_give_up(const Wait *wait);
void wait_unref(Wait *wait);

G_END_DECLS
