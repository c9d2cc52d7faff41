/* SPDX-License-Identifier: MIT */
#include "fs/patience.h"

struct Wait {
	gint refs;    /* atomic */
	gint claimed; /* atomic */
	Patience *patience;
	gint64 give_up;
	gpointer data;
	GDestroyNotify destroy;
	gboolean interrupted; /* under the patience's lock */
};

struct Patience {
	PatienceOver over;
	GThread *clock;

	GMutex lock; /* guards all below */
	GCond wake;
	GHashTable *waits; /* set of Wait: a reference each */
	gboolean closing;
};

void
wait_unref(Wait *wait)
{
	if (!g_atomic_int_dec_and_test(&wait->refs))
		return;
	wait->destroy(wait->data);
	g_free(wait);
}

gpointer
wait_data(const Wait *wait)
{
	return wait->data;
}

gint64
wait_give_up(const Wait *wait)
{
	return wait->give_up;
}

gboolean
wait_claim(Wait *wait)
{
	gboolean listed;

	if (!g_atomic_int_compare_and_exchange(&wait->claimed, 0, 1))
		return FALSE;
	g_mutex_lock(&wait->patience->lock);
	listed = g_hash_table_remove(wait->patience->waits, wait);
	g_mutex_unlock(&wait->patience->lock);
	if (listed)
		wait_unref(wait);
	return TRUE;
}

void
wait_interrupt(Wait *wait)
{
	g_mutex_lock(&wait->patience->lock);
	wait->interrupted = TRUE;
	g_cond_signal(&wait->patience->wake);
	g_mutex_unlock(&wait->patience->lock);
}

Wait *
patience_add(Patience *patience, gint64 give_up, gpointer data, GDestroyNotify destroy)
{
	Wait *wait = g_new0(Wait, 1);

	wait->refs = 2;
	wait->patience = patience;
	wait->give_up = give_up;
	wait->data = data;
	wait->destroy = destroy;
	g_mutex_lock(&patience->lock);
	g_hash_table_add(patience->waits, wait);
	if (give_up != PATIENCE_FOREVER)
		g_cond_signal(&patience->wake);
	g_mutex_unlock(&patience->lock);
	return wait;
}

/* Under the lock. References to what is over go to @due. */
static gint64
collect_due(Patience *patience, GPtrArray *due)
{
	gint64 now = g_get_monotonic_time();
	gint64 next = now + 60 * G_USEC_PER_SEC;
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, patience->waits);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		Wait *wait = key;

		if (wait->interrupted || wait->give_up <= now) {
			g_atomic_int_inc(&wait->refs);
			g_ptr_array_add(due, wait);
		} else if (wait->give_up < next) {
			next = wait->give_up;
		}
	}
	return next;
}

static gpointer
clock_run(gpointer data)
{
	Patience *patience = data;
	g_autoptr(GPtrArray) due = g_ptr_array_new();

	g_mutex_lock(&patience->lock);
	while (!patience->closing) {
		gint64 next = collect_due(patience, due);

		if (due->len == 0) {
			g_cond_wait_until(&patience->wake, &patience->lock, next);
			continue;
		}
		g_mutex_unlock(&patience->lock);
		for (guint i = 0; i < due->len; i++) {
			Wait *wait = due->pdata[i];

			if (wait_claim(wait))
				patience->over(wait->data, wait->interrupted);
			wait_unref(wait);
		}
		g_ptr_array_set_size(due, 0);
		g_mutex_lock(&patience->lock);
	}
	g_mutex_unlock(&patience->lock);
	return NULL;
}

Patience *
patience_new(PatienceOver over)
{
	Patience *patience = g_new0(Patience, 1);

	patience->over = over;
	g_mutex_init(&patience->lock);
	g_cond_init(&patience->wake);
	patience->waits = g_hash_table_new(NULL, NULL);
	patience->clock = g_thread_new("clock", clock_run, patience);
	return patience;
}

void
patience_free(Patience *patience)
{
	if (patience == NULL)
		return;
	g_mutex_lock(&patience->lock);
	patience->closing = TRUE;
	g_cond_signal(&patience->wake);
	g_mutex_unlock(&patience->lock);
	g_thread_join(patience->clock);
	g_hash_table_unref(patience->waits);
	g_mutex_clear(&patience->lock);
	g_cond_clear(&patience->wake);
	g_free(patience);
}

guint
patience_count(Patience *patience)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&patience->lock);

	return g_hash_table_size(patience->waits);
}
