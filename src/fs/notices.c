/* SPDX-License-Identifier: MIT */
#include "fs/notices.h"

typedef struct {
	guint64 parent, child;
	char *name; /* NULL: the end */
} Notice;

struct Notices {
	NoticesTell tell;
	gpointer user;
	GThread *thread;
	GAsyncQueue *queue; /* of Notice */
};

static void
notice_free(gpointer data)
{
	Notice *notice = data;

	g_free(notice->name);
	g_free(notice);
}

static gpointer
notices_run(gpointer data)
{
	Notices *notices = data;
	gboolean more = TRUE;

	while (more) {
		Notice *notice = g_async_queue_pop(notices->queue);

		more = notice->name != NULL;
		if (more)
			notices->tell(notices->user, notice->parent, notice->child, notice->name);
		notice_free(notice);
	}
	return NULL;
}

Notices *
notices_new(NoticesTell tell, gpointer user)
{
	Notices *notices = g_new0(Notices, 1);

	notices->tell = tell;
	notices->user = user;
	notices->queue = g_async_queue_new_full(notice_free);
	notices->thread = g_thread_new("notices", notices_run, notices);
	return notices;
}

void
notices_push(Notices *notices, guint64 parent, guint64 child, const char *name)
{
	Notice *notice = g_new0(Notice, 1);

	*notice = (Notice){parent, child, g_strdup(name)};
	g_async_queue_push(notices->queue, notice);
}

void
notices_free(Notices *notices)
{
	if (notices == NULL)
		return;
	g_async_queue_push_front(notices->queue, g_new0(Notice, 1));
	g_thread_join(notices->thread);
	g_async_queue_unref(notices->queue);
	g_free(notices);
}
