/* SPDX-License-Identifier: MIT */
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
#include "fs/apart.h"
#include "fs/follow.h"
#include "fs/fs-private.h"

#define LOST_MAX_NS    (SHIFT_LOOK_US * 1000 / 16)
#define PAUSE_US       (20 * G_TIME_SPAN_MILLISECOND)
#define TERM_FIRST_US  (100 * G_TIME_SPAN_MILLISECOND)
#define TERM_LAST_US   (3 * G_TIME_SPAN_SECOND)
#define NUDGE_EVERY_US (20 * G_TIME_SPAN_MILLISECOND)

enum { SERVERS = SHIFT_STEADY + 1, WATCHER = SERVERS, THREADS };

typedef struct {
	Workers *workers;
	ShiftWho who;
	Follower follower;
	gint turn;    /* atomic; odd while it is in a request */
	UtilFd times; /* its /proc/<thread>/schedstat; -1: there is none */
} Server;

struct Workers {
	struct fuse_session *session;
	cpu_set_t allowed; /* where we may run */
	gboolean may_follow;
	Apart *apart; /* the watcher's */

	Server servers[SERVERS];
	gint serving; /* atomic: whose turn it is */
	gint failed;  /* atomic */

	GMutex lock; /* guards all below */
	GCond changed;
	gboolean running, over;
	guint ready; /* servers */
	struct {
		gboolean here;
		pthread_t thread;
	} threads[THREADS];
};

/* --- whose turn it is -------------------------------------------------------------------- */

static void
begin_term(Shift *shift, gint64 now)
{
	/* Longer each time it has to step in soon again. */
	shift->term = shift->ended != 0 && now - shift->ended <= 4 * shift->term
			      ? MIN(shift->term * 2, TERM_LAST_US)
			      : TERM_FIRST_US;
	shift->until = now + shift->term;
	shift->who = SHIFT_STEADY;
}

ShiftWho
shift_look(Shift *shift, const ShiftLook *look)
{
	gboolean stuck = !look->progress && look->in_handler;
	gboolean held_up = !look->progress && look->wanted;

	if (shift->who == SHIFT_QUICK) {
		if (stuck || held_up || (look->lost_ns > LOST_MAX_NS && look->now >= shift->pause))
			begin_term(shift, look->now);
	} else if (stuck || look->moved || look->now >= shift->until) {
		shift->ended = look->now;
		shift->who = SHIFT_QUICK;
		shift->pause = look->moved ? look->now + PAUSE_US : 0;
	}
	return shift->who;
}

/* --- coming and going --------------------------------------------------------------------- */

static void
enter(Workers *workers, guint who)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&workers->lock);

	workers->threads[who].here = TRUE;
	workers->threads[who].thread = pthread_self();
	if (who < SERVERS)
		apart_add_crew(workers->apart, gettid());
	workers->ready += who < SERVERS;
	g_cond_broadcast(&workers->changed);
}

/* Out of the device, if it is waiting there. Under the lock. */
static void
nudge(Workers *workers, guint who)
{
	if (workers->threads[who].here)
		pthread_kill(workers->threads[who].thread, SIGUSR2);
}

static void
nudge_all(Workers *workers)
{
	for (guint who = 0; who < THREADS; who++)
		nudge(workers, who);
}

/* The first one that goes takes all others with it. */
static void
leave(Workers *workers, guint who)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&workers->lock);

	workers->threads[who].here = FALSE;
	workers->over = TRUE;
	g_cond_broadcast(&workers->changed);
	nudge_all(workers);
}

static gboolean
is_over(Workers *workers)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&workers->lock);

	return workers->over;
}

/* --- serving ------------------------------------------------------------------------------ */

/* The scheduler takes a CPU on which nothing but such a thread runs for a free one: the client is
 * woken where it was, and at once. */
static void
give_way(void)
{
	static const struct sched_param none = {0};

	sched_setscheduler(0, SCHED_IDLE, &none);
}

/* FALSE: all is over. */
static gboolean
wait_for_turn(Server *server)
{
	Workers *workers = server->workers;
	gboolean over;

	if (g_atomic_int_get(&workers->serving) == (gint)server->who)
		return TRUE;
	follower_stay(&server->follower, &workers->allowed);
	g_mutex_lock(&workers->lock);
	while (g_atomic_int_get(&workers->serving) != (gint)server->who && !workers->over)
		g_cond_wait(&workers->changed, &workers->lock);
	over = workers->over;
	g_mutex_unlock(&workers->lock);
	return !over;
}

/* FALSE: the session is over. An empty buffer: nothing came. */
static gboolean
receive(Workers *workers, struct fuse_buf *buffer)
{
	int n = fuse_session_receive_buf(workers->session, buffer);

	if (fuse_session_exited(workers->session) || n == 0)
		return FALSE;
	if (n > 0 || n == -EINTR || n == -EAGAIN) {
		buffer->size = n > 0 ? (size_t)n : 0;
		return TRUE;
	}
	if (n != -ENODEV)
		g_atomic_int_set(&workers->failed, 1);
	return FALSE;
}

static guint32
client_of(const struct fuse_buf *buffer)
{
	const struct fuse_in_header *header = buffer->mem;

	return (buffer->flags & FUSE_BUF_IS_FD) == 0 && buffer->size >= sizeof *header ? header->pid
										       : 0;
}

static void
handle(Server *server, struct fuse_buf *buffer)
{
	Workers *workers = server->workers;

	g_atomic_int_inc(&server->turn);
	if (workers->may_follow)
		follower_note(&server->follower, client_of(buffer), &workers->allowed);
	fuse_session_process_buf(workers->session, buffer);
	g_atomic_int_inc(&server->turn);
}

static gpointer
server_run(gpointer data)
{
	Server *server = data;
	struct fuse_buf buffer = {0};

	server->times = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	if (server->who == SHIFT_QUICK)
		give_way();
	enter(server->workers, server->who);
	while (wait_for_turn(server) && receive(server->workers, &buffer))
		if (buffer.size > 0)
			handle(server, &buffer);
	leave(server->workers, server->who);
	free(buffer.mem);
	return NULL;
}

/* --- watching ----------------------------------------------------------------------------- */

typedef struct {
	gint turn, moves;
	gboolean timed;
	guint64 waited;	    /* ns that the server could have run and did not */
	guint64 client_ran; /* ns */
} Marks;

/* Of /proc/<thread>/schedstat, proc(5); ns. */
static gboolean
read_times(int fd, guint64 *ran, guint64 *waited)
{
	char line[128];
	ssize_t n = fd >= 0 ? pread(fd, line, sizeof line - 1, 0) : -1;

	if (n <= 0)
		return FALSE;
	line[n] = '\0';
	return sscanf(line, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, ran, waited) == 2;
}

/* -1: nobody is followed, or it is not for us to see. */
static int
open_client(const Server *server)
{
	gint client = g_atomic_int_get(&server->follower.beside);
	char path[40];

	if (client == 0)
		return -1;
	g_snprintf(path, sizeof path, "/proc/%d/schedstat", client);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static gboolean
is_wanted(const Workers *workers, int timeout_ms)
{
	struct pollfd device = {.fd = fuse_session_fd(workers->session), .events = POLLIN};

	return poll(&device, 1, timeout_ms) > 0;
}

static Marks
marks_of(Server *server, int client)
{
	Marks marks = {.turn = g_atomic_int_get(&server->turn),
		       .moves = g_atomic_int_get(&server->follower.moves)};
	guint64 ran, waited;

	if (client >= 0 && read_times(client, &marks.client_ran, &waited) &&
	    read_times(server->times, &ran, &marks.waited))
		marks.timed = TRUE;
	return marks;
}

static ShiftLook
look_of(Workers *workers, const Marks *before, const Marks *after)
{
	guint64 waited = after->waited - before->waited;
	guint64 client_ran = after->client_ran - before->client_ran;
	ShiftLook look = {.now = g_get_monotonic_time(),
			  .progress = after->turn != before->turn,
			  .in_handler = after->turn % 2 != 0,
			  .moved = after->moves != before->moves};

	look.wanted = !look.progress && is_wanted(workers, 0);
	if (before->timed && after->timed && waited > client_ran)
		look.lost_ns = waited - client_ran;
	return look;
}

static void
let_serve(Workers *workers, ShiftWho who)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&workers->lock);

	g_atomic_int_set(&workers->serving, who);
	g_cond_broadcast(&workers->changed);
	nudge(workers, who == SHIFT_QUICK ? SHIFT_STEADY : SHIFT_QUICK);
}

static void
watch(Workers *workers, Shift *shift)
{
	Server *server = &workers->servers[shift->who];
	g_auto(UtilFd) client = open_client(server);
	Marks before = marks_of(server, client), after;
	ShiftWho who = shift->who;
	ShiftLook look;

	g_usleep(SHIFT_LOOK_US);
	after = marks_of(server, client);
	look = look_of(workers, &before, &after);
	if (!look.progress && !look.in_handler && !look.wanted) {
		apart_keep_off(workers->apart, APART_NOWHERE);
		is_wanted(workers, -1);
		return;
	}
	if (shift_look(shift, &look) != who)
		let_serve(workers, shift->who);
	else
		apart_keep_off(workers->apart, g_atomic_int_get(&server->follower.cpu));
}

static gpointer
watcher_run(gpointer data)
{
	Workers *workers = data;
	Shift shift = {0};

	enter(workers, WATCHER);
	g_mutex_lock(&workers->lock);
	while (workers->ready < SERVERS && !workers->over)
		g_cond_wait(&workers->changed, &workers->lock);
	g_mutex_unlock(&workers->lock);
	while (!is_over(workers))
		watch(workers, &shift);
	leave(workers, WATCHER);
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
	workers->apart = apart_new();
	for (guint i = 0; i < SERVERS; i++)
		workers->servers[i] = (Server){
			.workers = workers, .who = i, .follower = FOLLOWER_INIT, .times = -1};
	return workers;
}

void
workers_free(Workers *workers)
{
	if (workers == NULL)
		return;
	for (guint i = 0; i < SERVERS; i++) {
		follower_clear(&workers->servers[i].follower);
		util_close_fd(&workers->servers[i].times);
	}
	apart_free(workers->apart);
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
	static const char *const names[] = {[SHIFT_QUICK] = "quick", [SHIFT_STEADY] = "steady"};
	struct sigaction nudge = {.sa_handler = on_nudge};
	GThread *threads[THREADS];

	sigaction(SIGUSR2, &nudge, NULL);
	set_running(workers, TRUE);
	for (guint i = 0; i < SERVERS; i++)
		threads[i] = g_thread_new(names[i], server_run, &workers->servers[i]);
	threads[WATCHER] = g_thread_new("watcher", watcher_run, workers);
	for (guint i = 0; i < THREADS; i++)
		g_thread_join(threads[i]);
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
		nudge_all(workers);
		g_cond_wait_until(&workers->changed, &workers->lock,
				  g_get_monotonic_time() + NUDGE_EVERY_US);
	}
}
