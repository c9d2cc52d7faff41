/* SPDX-License-Identifier: MIT */
#include "fs/notices.h"

typedef struct {
	guint64 parent, child;
	char *name;
} Notice;

/* An inode on whose answer somebody waits. */
typedef struct {
	guint64 ino; /* the key */
	guint holders;
	GQueue kept; /* of Notice */
} Held;

struct Notices {
	NoticesTell tell;
	gpointer user;
	GThread *thread;

	GMutex lock; /* guards all below */
	GCond wake;
	GQueue ready; /* of Notice */
	GHashTable *held;
	gboolean closing;
};

static void
notice_free(gpointer data)
{
	Notice *notice = data;

	g_free(notice->name);
	g_free(notice);
}

static void
held_free(gpointer data)
{
	Held *held = data;

	g_queue_clear_full(&held->kept, notice_free);
	g_free(held);
}

/* Under the lock. */
static Held *
holder_of(Notices *notices, const Notice *notice)
{
	Held *held = g_hash_table_lookup(notices->held, &notice->parent);

	/* 0 is the ino of none. */
	if (held == NULL && notice->child != 0)
		held = g_hash_table_lookup(notices->held, &notice->child);
	return held;
}

/* The next that may be told; NULL: it is over. */
static Notice *
take_next(Notices *notices)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&notices->lock);

	while (!notices->closing) {
		Notice *notice = g_queue_pop_head(&notices->ready);
		Held *held = notice != NULL ? holder_of(notices, notice) : NULL;

		if (held != NULL)
			g_queue_push_tail(&held->kept, notice);
		else if (notice != NULL)
			return notice;
		else
			g_cond_wait(&notices->wake, &notices->lock);
	}
	return NULL;
}

static gpointer
notices_run(gpointer data)
{
	Notices *notices = data;
	Notice *notice;

	while ((notice = take_next(notices)) != NULL) {
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
	g_mutex_init(&notices->lock);
	g_cond_init(&notices->wake);
	g_queue_init(&notices->ready);
	notices->held = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, held_free);
	notices->thread = g_thread_new("notices", notices_run, notices);
	return notices;
}

void
notices_push(Notices *notices, guint64 parent, guint64 child, const char *name)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&notices->lock);
	Notice *notice = g_new0(Notice, 1);

	*notice = (Notice){parent, child, g_strdup(name)};
	g_queue_push_tail(&notices->ready, notice);
	g_cond_signal(&notices->wake);
}

void
notices_hold(Notices *notices, guint64 ino)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&notices->lock);
	Held *held = g_hash_table_lookup(notices->held, &ino);

	if (held == NULL) {
		held = g_new0(Held, 1);
		held->ino = ino;
		g_queue_init(&held->kept);
		g_hash_table_insert(notices->held, &held->ino, held);
	}
	held->holders++;
}

void
notices_let_go(Notices *notices, guint64 ino)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&notices->lock);
	Held *held = g_hash_table_lookup(notices->held, &ino);
	Notice *notice;

	if (--held->holders > 0)
		return;
	if (!g_queue_is_empty(&held->kept))
		g_cond_signal(&notices->wake);
	while ((notice = g_queue_pop_head(&held->kept)) != NULL)
		g_queue_push_tail(&notices->ready, notice);
	g_hash_table_remove(notices->held, &ino);
}

void
notices_free(Notices *notices)
{
	if (notices == NULL)
		return;
	g_mutex_lock(&notices->lock);
	notices->closing = TRUE;
	g_cond_signal(&notices->wake);
	g_mutex_unlock(&notices->lock);
	g_thread_join(notices->thread);
	g_queue_clear_full(&notices->ready, notice_free);
	g_hash_table_unref(notices->held);
	g_cond_clear(&notices->wake);
	g_mutex_clear(&notices->lock);
	g_free(notices);
}
