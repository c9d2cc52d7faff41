/* SPDX-License-Identifier: MIT */
#include "fs/warmer.h"

#define QUEUE_MAX 4096
#define OVERTAKEN 4 /* messages to leave to a reader who is just as fast */

typedef struct {
	Mailbox *mailbox; /* NULL: the end */
	guint32 serial;
	guint n;
	guint32 uids[];
} Batch;

struct Warmer {
	WarmerStore store;
	gpointer user;
	GThread *thread;
	GAsyncQueue *queue; /* of Batch */
	gint queued;	    /* atomic: messages */
	gint over;	    /* atomic */
};

static Batch *
batch_new(Mailbox *mailbox, guint32 serial, const guint32 *uids, guint n)
{
	Batch *batch = g_malloc(sizeof *batch + n * sizeof *uids);

	batch->mailbox = mailbox;
	batch->serial = serial;
	batch->n = n;
	for (guint i = 0; i < n; i++)
		batch->uids[i] = uids[i];
	return batch;
}

static gpointer
warmer_run(gpointer data)
{
	Warmer *warmer = data;
	gboolean more = TRUE;

	while (more) {
		g_autofree Batch *batch = g_async_queue_pop(warmer->queue);

		more = batch->mailbox != NULL;
		for (guint i = 0; i < batch->n && !g_atomic_int_get(&warmer->over); i++)
			if (!warmer->store(warmer->user, batch->mailbox, batch->serial,
					   batch->uids[i]))
				i += OVERTAKEN;
		g_atomic_int_add(&warmer->queued, -(gint)batch->n);
	}
	return NULL;
}

Warmer *
warmer_new(WarmerStore store, gpointer user)
{
	Warmer *warmer = g_new0(Warmer, 1);

	warmer->store = store;
	warmer->user = user;
	warmer->queue = g_async_queue_new_full(g_free);
	warmer->thread = g_thread_new("warmer", warmer_run, warmer);
	return warmer;
}

void
warmer_push(Warmer *warmer, Mailbox *mailbox, guint32 serial, const guint32 *uids, guint n)
{
	gint before = g_atomic_int_add(&warmer->queued, (gint)n);
	guint room = before < QUEUE_MAX ? QUEUE_MAX - (guint)before : 0;

	if (n > room)
		g_atomic_int_add(&warmer->queued, -(gint)(n - room));
	if (room > 0 && n > 0)
		g_async_queue_push(warmer->queue, batch_new(mailbox, serial, uids, MIN(n, room)));
}

void
warmer_free(Warmer *warmer)
{
	if (warmer == NULL)
		return;
	g_atomic_int_set(&warmer->over, 1);
	g_async_queue_push(warmer->queue, batch_new(NULL, 0, NULL, 0));
	g_thread_join(warmer->thread);
	g_async_queue_unref(warmer->queue);
	g_free(warmer);
}
