/* SPDX-License-Identifier: MIT */
/* The steady thread sleeps until a request comes; then it looks every few milliseconds whether the
 * quick one gets on. Where it does not, the steady one serves for a term, longer each time it has
 * to step in soon again. */
#include "fs/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fs/fs-private.h"

#define HELD_UP_US     (5 * G_TIME_SPAN_MILLISECOND)
#define TERM_FIRST_US  (100 * G_TIME_SPAN_MILLISECOND)
#define TERM_LAST_US   (3 * G_TIME_SPAN_SECOND)
#define CPU_FIELD      39 /* of /proc/<thread>/stat, proc(5) */
#define NUDGE_EVERY_US (20 * G_TIME_SPAN_MILLISECOND)

struct Workers {
	struct fuse_session *session;
	cpu_set_t allowed; /* where we may run */
	gboolean may_follow;

	gint turn;     /* atomic: of the quick thread; odd while it is in a request */
	gint relieved; /* atomic: the quick thread keeps out of the way */
	gint failed;   /* atomic */

	GMutex lock; /* guards all below */
	GCond changed;
	gboolean running, over;
	struct {
		gboolean here;
		pthread_t thread;
	} crew[2];
};

enum { QUICK, STEADY };

/* --- following -------------------------------------------------------------------------- */

FollowAdvice
follow_note(Follow *follow, guint32 client)
{
	if (client == 0)
		return FOLLOW_STAY;
	if (client != follow->client)
		follow->streak = 0;
	follow->client = client;
	follow->streak++;
	if (++follow->since < FOLLOW_EVERY)
		return FOLLOW_STAY;
	follow->since = 0;
	return follow->streak >= FOLLOW_EVERY ? FOLLOW_CLIENT : FOLLOW_RELEASE;
}

int
follow_parse_cpu(const char *stat)
{
	/* The name of the program, in parentheses, may hold anything. */
	const char *field = strrchr(stat, ')');
	char *end;
	long cpu;

	for (guint i = 2; field != NULL && i < CPU_FIELD; i++) {
		field = strchr(field, ' ');
		field = field != NULL ? field + 1 : NULL;
	}
	if (field == NULL || !g_ascii_isdigit(*field))
		return FOLLOW_NOBODY;
	cpu = strtol(field, &end, 10);
	return (*end == ' ' || *end == '\n') && cpu < CPU_SETSIZE ? (int)cpu : FOLLOW_NOBODY;
}

/* One of the crew at its client's side. */
typedef struct {
	Follow state;
	int cpu;	/* where it is bound to, or FOLLOW_NOBODY */
	guint32 thread; /* whose file is open */
	UtilFd stat;
} Follower;

#define FOLLOWER_INIT                                                                              \
	{                                                                                          \
		.cpu = FOLLOW_NOBODY, .stat = -1                                                   \
	}

static int
cpu_of(Follower *follower, guint32 thread)
{
	char path[32], stat[1024];
	ssize_t n;

	if (thread != follower->thread) {
		g_snprintf(path, sizeof path, "/proc/%u/stat", thread);
		util_close_fd(&follower->stat);
		follower->stat = open(path, O_RDONLY | O_CLOEXEC);
		follower->thread = thread;
	}
	n = follower->stat >= 0 ? pread(follower->stat, stat, sizeof stat - 1, 0) : -1;
	if (n <= 0) {
		follower->thread = 0;
		return FOLLOW_NOBODY;
	}
	stat[n] = '\0';
	return follow_parse_cpu(stat);
}

static void
follow_client(const Workers *workers, Follower *follower, guint32 client)
{
	int now = cpu_of(follower, client);
	cpu_set_t set;

	if (now == follower->cpu || now < 0 || !CPU_ISSET(now, &workers->allowed))
		return;
	CPU_ZERO(&set);
	CPU_SET(now, &set);
	if (sched_setaffinity(0, sizeof set, &set) == 0)
		follower->cpu = now;
}

static void
stay_behind(const Workers *workers, Follower *follower)
{
	if (follower->cpu != FOLLOW_NOBODY)
		sched_setaffinity(0, sizeof workers->allowed, &workers->allowed);
	follower->cpu = FOLLOW_NOBODY;
}

static void
follow(const Workers *workers, Follower *follower, guint32 client)
{
	switch (follow_note(&follower->state, client)) {
	case FOLLOW_CLIENT:
		follow_client(workers, follower, client);
		break;
	case FOLLOW_RELEASE:
		stay_behind(workers, follower);
		break;
	case FOLLOW_STAY:
		break;
	}
}

/* --- taking requests ---------------------------------------------------------------------- */

static guint32
client_of(const struct fuse_buf *buffer)
{
	const struct fuse_in_header *header = buffer->mem;

	return (buffer->flags & FUSE_BUF_IS_FD) == 0 && buffer->size >= sizeof *header ? header->pid
										       : 0;
}

/* FALSE: the session is over. An empty buffer: nothing came. */
static gboolean
receive(Workers *workers, struct fuse_buf *buffer)
{
	int n = fuse_session_receive_buf(workers->session, buffer);

	if (fuse_session_exited(workers->session) || n == 0)
		return FALSE;
	if (n > 0 || n == -EINTR || n == -EAGAIN) {
		buffer->size = n > 0 ? buffer->size : 0;
		return TRUE;
	}
	if (n != -ENODEV)
		g_atomic_int_set(&workers->failed, 1);
	return FALSE;
}

static void
handle(Workers *workers, Follower *follower, struct fuse_buf *buffer)
{
	if (workers->may_follow)
		follow(workers, follower, client_of(buffer));
	fuse_session_process_buf(workers->session, buffer);
}

static void
set_here(Workers *workers, guint who, gboolean here)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&workers->lock);

	workers->crew[who].here = here;
	workers->crew[who].thread = pthread_self();
}

/* Out of the device, if it is waiting there. Under the lock. */
static void
nudge(Workers *workers, guint who)
{
	if (workers->crew[who].here)
		pthread_kill(workers->crew[who].thread, SIGUSR2);
}

/* --- the quick one ----------------------------------------------------------------------- */

/* The scheduler takes a CPU on which nothing but such a thread runs for a free one: the client is
 * woken where it was, and at once. */
static void
give_way(void)
{
	static const struct sched_param none = {0};

	sched_setscheduler(0, SCHED_IDLE, &none);
}

static void
wait_for_turn(Workers *workers)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&workers->lock);

	while (g_atomic_int_get(&workers->relieved) && !workers->over)
		g_cond_wait(&workers->changed, &workers->lock);
}

static gpointer
quick_run(gpointer data)
{
	Workers *workers = data;
	struct fuse_buf buffer = {0};
	Follower follower = FOLLOWER_INIT;

	set_here(workers, QUICK, TRUE);
	give_way();
	while (receive(workers, &buffer)) {
		if (buffer.size > 0) {
			g_atomic_int_inc(&workers->turn);
			handle(workers, &follower, &buffer);
			g_atomic_int_inc(&workers->turn);
		}
		if (g_atomic_int_get(&workers->relieved))
			wait_for_turn(workers);
	}
	util_close_fd(&follower.stat);
	free(buffer.mem);
	set_here(workers, QUICK, FALSE);
	return NULL;
}

/* --- the steady one ---------------------------------------------------------------------- */

static gboolean
is_waiting(const Workers *workers, int timeout_ms)
{
	struct pollfd device = {.fd = fuse_session_fd(workers->session), .events = POLLIN};

	return poll(&device, 1, timeout_ms) > 0;
}

static void
relieve(Workers *workers, gboolean relieved)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&workers->lock);

	g_atomic_int_set(&workers->relieved, relieved);
	if (relieved)
		nudge(workers, QUICK);
	else
		g_cond_broadcast(&workers->changed);
}

/* It follows its client too: all CPUs are busy, so nothing is gained by another one, and each
 * request saves two wakings across. Until the term is over. FALSE: the session is over. */
static gboolean
serve_until(Workers *workers, Follower *follower, gint64 until, struct fuse_buf *buffer)
{
	gboolean more = TRUE;

	relieve(workers, TRUE);
	while (more && g_get_monotonic_time() < until) {
		more = receive(workers, buffer);
		if (more && buffer->size > 0)
			handle(workers, follower, buffer);
	}
	stay_behind(workers, follower);
	relieve(workers, FALSE);
	return more;
}

static gpointer
steady_run(gpointer data)
{
	Workers *workers = data;
	Follower follower = FOLLOWER_INIT;
	struct fuse_buf buffer = {0};
	gint64 term = TERM_FIRST_US, ended = 0;
	gboolean more = TRUE;

	set_here(workers, STEADY, TRUE);
	while (more && !fuse_session_exited(workers->session)) {
		gint turn = g_atomic_int_get(&workers->turn);

		g_usleep(HELD_UP_US);
		if (g_atomic_int_get(&workers->turn) != turn)
			continue;
		if (turn % 2 == 0 && !is_waiting(workers, 0)) {
			is_waiting(workers, -1);
			continue;
		}
		if (g_get_monotonic_time() - ended > 4 * term)
			term = TERM_FIRST_US;
		more = serve_until(workers, &follower, g_get_monotonic_time() + term, &buffer);
		ended = g_get_monotonic_time();
		term = MIN(term * 2, TERM_LAST_US);
	}
	util_close_fd(&follower.stat);
	free(buffer.mem);
	set_here(workers, STEADY, FALSE);
	return NULL;
}

/* --- life ------------------------------------------------------------------------------- */

static void
on_nudge(int number)
{
}

Workers *
workers_new(struct fuse_session *session)
{
	Workers *workers = g_new0(Workers, 1);

	workers->session = session;
	g_mutex_init(&workers->lock);
	g_cond_init(&workers->changed);
	workers->may_follow = sched_getaffinity(0, sizeof workers->allowed, &workers->allowed) == 0;
	return workers;
}

void
workers_free(Workers *workers)
{
	if (workers == NULL)
		return;
	g_cond_clear(&workers->changed);
	g_mutex_clear(&workers->lock);
	g_free(workers);
}

static void
set_running(Workers *workers, gboolean running)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&workers->lock);

	workers->running = running;
	g_cond_broadcast(&workers->changed);
}

gboolean
workers_run(Workers *workers)
{
	struct sigaction nudge = {.sa_handler = on_nudge};
	GThread *steady, *quick;

	sigaction(SIGUSR2, &nudge, NULL);
	set_running(workers, TRUE);
	steady = g_thread_new("steady", steady_run, workers);
	quick = g_thread_new("quick", quick_run, workers);
	g_thread_join(steady);
	g_thread_join(quick);
	set_running(workers, FALSE);
	return g_atomic_int_get(&workers->failed) == 0;
}

/* A thread that waits for the device looks at the session's end only when a signal interrupts that;
 * one that comes just before it falls asleep is lost, hence the repetition. */
void
workers_stop(Workers *workers)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&workers->lock);

	workers->over = TRUE;
	g_cond_broadcast(&workers->changed);
	while (workers->running) {
		nudge(workers, QUICK);
		nudge(workers, STEADY);
		g_cond_wait_until(&workers->changed, &workers->lock,
				  g_get_monotonic_time() + NUDGE_EVERY_US);
	}
}
