/* SPDX-License-Identifier: MIT */
#include "fs/errands.h"

#define THREADS 4

typedef struct {
	Errand run; /* NULL: the end */
	gpointer data;
} Job;

struct Errands {
	GAsyncQueue *queues[THREADS];
	GThread *threads[THREADS];
};

static gpointer
errands_run(gpointer data)
{
	GAsyncQueue *queue = data;
	gboolean more = TRUE;

	while (more) {
		g_autofree Job *job = g_async_queue_pop(queue);

		more = job->run != NULL;
		if (more)
			job->run(job->data);
	}
	return NULL;
}

Errands *
errands_new(void)
{
	Errands *errands = g_new0(Errands, 1);

	for (guint i = 0; i < THREADS; i++) {
		errands->queues[i] = g_async_queue_new_full(g_free);
		errands->threads[i] = g_thread_new("errands", errands_run, errands->queues[i]);
	}
	return errands;
}

void
errands_push(Errands *errands, guint key, Errand run, gpointer data)
{
	Job *job = g_new0(Job, 1);

	*job = (Job){run, data};
	g_async_queue_push(errands->queues[key % THREADS], job);
}

typedef struct {
	GMutex lock;
	GCond passed;
	guint left;
} Barrier;

static void
pass_barrier(gpointer data)
{
	Barrier *barrier = data;

	g_mutex_lock(&barrier->lock);
	barrier->left--;
	g_cond_signal(&barrier->passed);
	g_mutex_unlock(&barrier->lock);
}

void
errands_drain(Errands *errands)
{
	Barrier barrier = {.left = THREADS};

	g_mutex_init(&barrier.lock);
	g_cond_init(&barrier.passed);
	for (guint i = 0; i < THREADS; i++)
		errands_push(errands, i, pass_barrier, &barrier);
	g_mutex_lock(&barrier.lock);
	while (barrier.left > 0)
		g_cond_wait(&barrier.passed, &barrier.lock);
	g_mutex_unlock(&barrier.lock);
	g_cond_clear(&barrier.passed);
	g_mutex_clear(&barrier.lock);
}

void
errands_free(Errands *errands)
{
	if (errands == NULL)
		return;
	for (guint i = 0; i < THREADS; i++) {
		g_async_queue_push(errands->queues[i], g_new0(Job, 1));
		g_thread_join(errands->threads[i]);
		g_async_queue_unref(errands->queues[i]);
	}
	g_free(errands);
}
