/* SPDX-License-Identifier: MIT */
/* Which line watches what. The keeper takes a turn whenever a line came, went or was given another
 * mailbox, and now and then. One line is asked to NOTIFY; where that works nothing else is left to
 * do. Otherwise each mailbox that matters wants a line that has it selected: one at rest that has
 * nothing that matters, else a new one while there may be more, else the one at rest with what
 * matters least. What gets none is asked for by STATUS. */
#include "proto/pool-private.h"

#include <string.h>
#include <time.h>

#define TURN_US	   (G_USEC_PER_SEC / 10) /* between two turns at least */
#define REST_US	   (1 * G_USEC_PER_SEC)	 /* a line that rests so long may be given to watching */
#define SLEPT_US   (2 * G_USEC_PER_SEC)	 /* of sleep: the lines may be dead */
#define SETTLED_US (5 * G_USEC_PER_SEC)
#define LOOK_AGAIN_US                                                                              \
	(3 * G_USEC_PER_SEC / 2) /* whether what was given out has come to something */
#define WORTHLESS G_MAXUINT

void
pool_watch_clear(gpointer watch)
{
	g_free(((PoolWatch *)watch)->name);
}

static gboolean
is_up(const SessionView *view)
{
	return view->up && !view->dead;
}

/* WORTHLESS: nobody cares. */
static guint
rank_of(const Pool *pool, const char *mailbox)
{
	for (guint i = 0; mailbox != NULL && i < pool->watched->len; i++)
		if (strcmp(g_array_index(pool->watched, PoolWatch, i).name, mailbox) == 0)
			return i;
	return WORTHLESS;
}

guint
pool_watch_value(const Pool *pool, const SessionView *view)
{
	guint rank = rank_of(pool, view->selected);

	return rank == WORTHLESS ? 0 : G_MAXUINT - rank;
}

/* --- who tells what --- */

static const SessionView *
notifier(const Pool *pool)
{
	for (guint i = 0; i < pool->sessions->len; i++) {
		const SessionView *view = session_view(pool->sessions->pdata[i]);

		if (is_up(view) && (view->notify_wanted || view->notify == BACKEND_NOTIFY_ASKED ||
				    view->notify == BACKEND_NOTIFY_ON))
			return view;
	}
	return NULL;
}

static gint64
told_since(const Pool *pool, const char *mailbox, gboolean personal, gboolean *settled_out)
{
	const SessionView *notifying = personal ? notifier(pool) : NULL;

	if (notifying != NULL && notifying->notify != BACKEND_NOTIFY_ON)
		notifying = NULL;
	*settled_out = notifying != NULL;

	for (guint i = 0; i < pool->sessions->len; i++) {
		const SessionView *view = session_view(pool->sessions->pdata[i]);

		if (is_up(view) && view->told && g_strcmp0(view->selected, mailbox) == 0) {
			*settled_out =
				*settled_out || g_get_monotonic_time() - view->told_at > SETTLED_US;
			return 1;
		}
	}
	return notifying != NULL ? notifying->notify_since : 0;
}

gint64
pool_told_since(Pool *pool, const char *mailbox, gboolean personal, gboolean *settled_out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);
	gboolean settled;
	gint64 since = told_since(pool, mailbox, personal, &settled);

	if (settled_out != NULL)
		*settled_out = settled;
	return since;
}

gboolean
pool_watch_keeps(const Pool *pool, const SessionView *view)
{
	const SessionView *notifying = notifier(pool);
	guint rank = rank_of(pool, view->selected);

	if (view == notifying)
		return TRUE;
	if (rank == WORTHLESS || !view->tells)
		return FALSE;
	return notifying == NULL || !g_array_index(pool->watched, PoolWatch, rank).personal;
}

/* --- the line's side --- */

void
pool_watch_soon(Pool *pool)
{
	if (pool->news->watch == NULL)
		return;
	pool->watch_at = 0;
	g_cond_signal(&pool->changed);
}

void
pool_look(Pool *pool)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);

	pool_watch_soon(pool);
}

/* The next line, from *@next on, that has @mailbox selected; NULL. Under the lock. */
static Session *
next_selected(const Pool *pool, const char *mailbox, guint *next)
{
	while (*next < pool->sessions->len) {
		Session *session = pool->sessions->pdata[(*next)++];

		if (g_strcmp0(session_view(session)->selected, mailbox) == 0)
			return session;
	}
	return NULL;
}

void
pool_doubt(Pool *pool, const char *mailbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);
	Session *session;
	guint next = 0;

	while ((session = next_selected(pool, mailbox, &next)) != NULL) {
		session_view(session)->doubtful = TRUE;
		session_view(session)->told = FALSE;
		session_wake(session);
	}
}

void
pool_prime(Pool *pool, const char *mailbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);
	Session *session;
	guint next = 0;

	while ((session = next_selected(pool, mailbox, &next)) != NULL) {
		session_view(session)->prime = TRUE;
		session_wake(session);
	}
}

void
pool_watch_exchange(Pool *pool, SessionView *view, Backend *backend)
{
	if (view->doubtful) {
		backend->doubtful = TRUE;
		backend->told = view->doubtful = FALSE;
	}
	if (view->prime) {
		backend->prime = TRUE;
		view->prime = FALSE;
	}
	if (view->notify_wanted && backend->notify == BACKEND_NOTIFY_OFF)
		backend->notify = BACKEND_NOTIFY_WANTED;
	if (backend->notify != BACKEND_NOTIFY_OFF && backend->notify != BACKEND_NOTIFY_WANTED)
		view->notify_wanted = FALSE;
	if (view->probe != pool->probe) {
		view->probe = pool->probe;
		backend->probe = TRUE;
	}
	if (view->told == backend->told && view->tells == backend->tells &&
	    view->notify == backend->notify)
		return;
	if (view->notify != backend->notify) {
		view->notify_since =
			backend->notify == BACKEND_NOTIFY_ON ? g_get_monotonic_time() : 0;
		pool->no_notify = pool->no_notify || backend->notify == BACKEND_NOTIFY_REFUSED;
	}
	view->notify = backend->notify;
	if (backend->told && !view->told)
		view->told_at = g_get_monotonic_time();
	view->told = backend->told;
	view->tells = backend->tells;
	pool_watch_soon(pool);
}

/* --- the keeper's side --- */

/* What it plans in one turn. */
typedef struct {
	GPtrArray *take_up, *unwatched, *unproved; /* of names, owned */
	GHashTable *taken;			   /* views of lines that were given something */
	gboolean waits; /* for a line that nobody needs to come to rest */
	gint64 now, next;
} Plan;

static void
choose_notifier(Pool *pool)
{
	/* Nothing is to be told of before somebody has looked at something; and that one does not
	 * wait for a server that looks at all its mailboxes first. */
	if (pool->no_notify || pool->watched->len == 0 || notifier(pool) != NULL)
		return;
	for (guint i = 0; i < pool->sessions->len; i++) {
		SessionView *view = session_view(pool->sessions->pdata[i]);

		if (!is_up(view) || view->notify == BACKEND_NOTIFY_REFUSED)
			continue;
		view->notify_wanted = TRUE;
		session_wake(pool->sessions->pdata[i]);
		return;
	}
}

/* A line at rest for the mailbox of @rank, the one that is missed least; NULL: none. */
static SessionView *
find_line(const Pool *pool, guint rank, Plan *plan)
{
	SessionView *best = NULL;

	for (guint i = 0; i < pool->sessions->len; i++) {
		SessionView *view = session_view(pool->sessions->pdata[i]);
		guint other = rank_of(pool, view->selected);

		if (!is_up(view) || !view->tells || view->under_way > 0 ||
		    g_hash_table_contains(plan->taken, view) ||
		    (other != WORTHLESS && other < rank))
			continue;
		/* A new line has nothing to rest from. */
		if (other != rank && view->selected != NULL &&
		    plan->now < view->idle_since + REST_US) {
			plan->next = MIN(plan->next, view->idle_since + REST_US);
			plan->waits = plan->waits || other == WORTHLESS;
			continue;
		}
		if (best == NULL || other == rank ||
		    pool_watch_value(pool, view) < pool_watch_value(pool, best))
			best = view;
		if (other == rank)
			break;
	}
	return best;
}

static gboolean
has_line(const Pool *pool, const char *mailbox)
{
	for (guint i = 0; i < pool->sessions->len; i++) {
		const SessionView *view = session_view(pool->sessions->pdata[i]);

		if (is_up(view) && view->tells && g_strcmp0(view->selected, mailbox) == 0)
			return TRUE;
	}
	return FALSE;
}

/* Not while a login is under way, that line will do first; nor where the server has refused one: it
 * is tried again only for those who wait. */
static gboolean
may_open_line(const Pool *pool)
{
	guint up = 0, tell = 0;

	for (guint i = 0; i < pool->sessions->len; i++) {
		const SessionView *view = session_view(pool->sessions->pdata[i]);

		up += is_up(view);
		tell += is_up(view) && view->tells;
	}
	return tell > 0 && pool_count_alive(pool) == up && up < pool->limit && !pool->spare_refused;
}

static void
plan_line(Pool *pool, guint rank, Plan *plan)
{
	const PoolWatch *watch = &g_array_index(pool->watched, PoolWatch, rank);
	SessionView *line = find_line(pool, rank, plan);
	gboolean may_open = !plan->waits && may_open_line(pool);

	if (line != NULL && may_open && rank_of(pool, line->selected) != WORTHLESS &&
	    rank_of(pool, line->selected) != rank)
		line = NULL;
	if (line != NULL) {
		g_hash_table_add(plan->taken, line);
		g_ptr_array_add(plan->take_up, g_strdup(watch->name));
		return;
	}
	/* Work is going on in it, after which it is seen to; or a line is on its way. */
	if (has_line(pool, watch->name))
		return;
	pool->watch_line = pool->watch_line || may_open;
	g_ptr_array_add(plan->unwatched, g_strdup(watch->name));
}

static void
make_plan(Pool *pool, Plan *plan)
{
	const SessionView *notifying;

	choose_notifier(pool);
	notifying = notifier(pool);
	pool->watch_line = FALSE;
	for (guint i = 0; i < pool->watched->len; i++) {
		const PoolWatch *watch = &g_array_index(pool->watched, PoolWatch, i);
		gboolean settled;
		gint64 since = told_since(pool, watch->name, watch->personal, &settled);

		if (since != 0 && watch->known_at >= since)
			continue;
		if (since != 0)
			g_ptr_array_add(watch->numbered ? plan->unproved : plan->take_up,
					g_strdup(watch->name));
		else if (notifying == NULL || !watch->personal)
			plan_line(pool, i, plan);
	}
}

gboolean
pool_watch_due(const Pool *pool, gint64 now, gint64 *next)
{
	gint64 at = MAX(pool->watch_at, pool->watch_done + TURN_US);

	/* A line that watches would lock the maildrop. */
	if (pool->news->watch == NULL || pool->health != POOL_ONLINE || pool_lingers(pool))
		return FALSE;
	if (now >= at)
		return TRUE;
	*next = MIN(*next, at);
	return FALSE;
}

static const char *const *
names_of(GPtrArray *names)
{
	g_ptr_array_add(names, NULL);
	return (const char *const *)names->pdata;
}

void
pool_watch_turn(Pool *pool)
{
	GArray *watched = g_array_new(FALSE, FALSE, sizeof(PoolWatch));
	g_autoptr(GPtrArray) take_up = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) unwatched = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) unproved = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GHashTable) taken = g_hash_table_new(NULL, NULL);
	Plan plan = {
		.take_up = take_up, .unwatched = unwatched, .unproved = unproved, .taken = taken};

	g_array_set_clear_func(watched, pool_watch_clear);
	g_mutex_lock(&pool->lock);
	pool->watch_at = G_MAXINT64;
	g_mutex_unlock(&pool->lock);
	plan.next = pool->news->watch(pool->user, watched);
	g_mutex_lock(&pool->lock);
	g_array_unref(pool->watched);
	pool->watched = watched;
	plan.now = pool->watch_done = g_get_monotonic_time();
	make_plan(pool, &plan);
	if (take_up->len > 0)
		plan.next = MIN(plan.next, plan.now + LOOK_AGAIN_US);
	pool->watch_at = MIN(pool->watch_at, plan.next);
	g_mutex_unlock(&pool->lock);
	for (guint i = 0; i < take_up->len; i++)
		pool->news->take_up(pool->user, take_up->pdata[i]);
	if (unwatched->len > 0)
		pool->news->unwatched(pool->user, names_of(unwatched));
	if (unproved->len > 0)
		pool->news->unproved(pool->user, names_of(unproved));
}

/* --- sleep --- */

/* The clock that goes on while the machine sleeps, less the one that does not. */
static gint64
slept_us(const Pool *pool)
{
	struct timespec boot, monotonic;

	if (pool->config->slept != NULL)
		return pool->config->slept(pool->config->slept_user);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	return (boot.tv_sec - monotonic.tv_sec) * G_USEC_PER_SEC +
	       (boot.tv_nsec - monotonic.tv_nsec) / 1000;
}

void
pool_watch_sleep(Pool *pool)
{
	gint64 slept = slept_us(pool);

	if (slept - pool->slept > SLEPT_US) {
		g_debug("slept for %" G_GINT64_FORMAT " s: are the lines alive?",
			(slept - pool->slept) / G_USEC_PER_SEC);
		pool->probe++;
		pool->retry_asked = pool->retry_asked || pool->health == POOL_OFFLINE;
		for (guint i = 0; i < pool->sessions->len; i++)
			if (is_up(session_view(pool->sessions->pdata[i])))
				session_wake(pool->sessions->pdata[i]);
	}
	pool->slept = slept;
}
