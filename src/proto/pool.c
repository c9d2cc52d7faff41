/* SPDX-License-Identifier: MIT */
/* Who does what: callers put requests into two queues (somebody waits; a scan will want it).
 * Sessions pull: each time a line can carry more it asks pool_take(), which prefers the mailbox
 * that the line has selected. The keeper thread owns time: it opens sessions, joins dead ones,
 * backs off, and fails requests that waited too long. One lock guards all of it and is never held
 * over the network nor over a callback. */
#include "proto/pool.h"

#include <string.h>

#include "proto/pool-private.h"

#define RETRY_FIRST_US (1 * G_USEC_PER_SEC)
#define RETRY_LAST_US  (60 * G_USEC_PER_SEC)
#define RETRY_USED_US                                                                              \
	(5 *                                                                                       \
	 G_USEC_PER_SEC) /* somebody wants the line: do not let him wait for the whole back-off */
#define LASTING_US    (5 * G_USEC_PER_SEC) /* a line that lived so long was a good one */
#define SHORT_WAIT_US (G_USEC_PER_SEC / 8)
#define SHORT_LINES   5			    /* waited for with 0, 1/8, 3/8, 7/8, 15/8 s between */
#define LIMIT_US      (60 * G_USEC_PER_SEC) /* the server said "too many": how long that is believed */
#define SPARE_IDLE_US                                                                              \
	(120 * G_USEC_PER_SEC) /* a second, third … session without work is closed after this */
#define WAKE_US	       (10 * G_USEC_PER_SEC)
#define WAKE_ONLINE_US (3 * G_USEC_PER_SEC) /* so soon a sleep of the machine is noticed */
#define BUSY_SELECTED  4 /* a line with so much under way is no better than an idle one */

static gpointer keeper_run(gpointer data);

static GError *
down_error(Pool *pool)
{
	if (pool->error != NULL)
		return g_error_copy(pool->error);
	return g_error_new(MAILFS_ERROR, MAILFS_ERROR_OFFLINE, "not connected to %s",
			   pool->config->host);
}

/* Fails every request of @requests with @error, outside the lock. */
static void
fail_all(GQueue *requests, const GError *error)
{
	Request *request;

	while ((request = g_queue_pop_head(requests)) != NULL)
		request_finish(request, NULL, error);
}

static void
steal_waiting(Pool *pool, GQueue *out)
{
	Request *request;

	while ((request = g_queue_pop_head(&pool->now)) != NULL)
		g_queue_push_tail(out, request);
	while ((request = g_queue_pop_head(&pool->soon)) != NULL)
		g_queue_push_tail(out, request);
}

static guint
count_up(const Pool *pool)
{
	guint up = 0;

	for (guint i = 0; i < pool->sessions->len; i++) {
		SessionView *view = session_view(pool->sessions->pdata[i]);

		up += view->up && !view->dead;
	}
	return up;
}

guint
pool_count_alive(const Pool *pool)
{
	guint alive = 0;

	for (guint i = 0; i < pool->sessions->len; i++)
		alive += !session_view(pool->sessions->pdata[i])->dead;
	return alive;
}

/* The session that should look at @request first, or NULL when a new one would serve it sooner. */
static Session *
find_session(const Pool *pool, const Request *request)
{
	Session *idle = NULL, *same = NULL;

	for (guint i = 0; i < pool->sessions->len; i++) {
		Session *session = pool->sessions->pdata[i];
		SessionView *view = session_view(session);

		if (!view->up || view->dead)
			continue;
		if (g_strcmp0(view->selected, request->mailbox) == 0) {
			if (view->under_way == 0)
				return session;
			if (same == NULL || view->under_way < session_view(same)->under_way)
				same = session;
		}
		if (view->under_way == 0 &&
		    (idle == NULL ||
		     pool_watch_value(pool, view) < pool_watch_value(pool, session_view(idle))))
			idle = session;
	}
	if (request->urgency == REQUEST_SOON && same != NULL)
		return same;
	if (idle != NULL)
		return idle;
	return same != NULL && session_view(same)->under_way < BUSY_SELECTED ? same : NULL;
}

/* Some of what waits would be served sooner by one line more. */
static gboolean
wants_line(const Pool *pool)
{
	const GQueue *queues[] = {&pool->now, &pool->soon};

	for (guint i = 0; i < G_N_ELEMENTS(queues); i++)
		for (const GList *link = queues[i]->head; link != NULL; link = link->next)
			if (find_session(pool, link->data) == NULL)
				return TRUE;
	return FALSE;
}

static void
wake_for(Pool *pool, const Request *request)
{
	Session *session = find_session(pool, request);

	if (session != NULL)
		session_wake(session);
	else
		g_cond_signal(&pool->changed);
}

void
pool_submit(Pool *pool, Request *request)
{
	g_autoptr(GError) error = NULL;
	gint64 deadline =
		g_get_monotonic_time() + pool->config->timeout_ms * G_TIME_SPAN_MILLISECOND;

	g_mutex_lock(&pool->lock);
	if (pool->health == POOL_OFFLINE || pool->health == POOL_REFUSED ||
	    pool->health == POOL_CLOSED) {
		error = down_error(pool);
		if (pool->health == POOL_OFFLINE &&
		    g_get_monotonic_time() - pool->failed_at > RETRY_USED_US) {
			pool->retry_asked = TRUE;
			g_cond_signal(&pool->changed);
		}
	} else if ((error = pool_linger_refuses(pool, deadline)) == NULL) {
		request->deadline = deadline;
		if (request_kind_changes(request->kind))
			request->urgency = REQUEST_NOW;
		g_queue_push_tail(request->urgency == REQUEST_NOW ? &pool->now : &pool->soon,
				  request);
		wake_for(pool, request);
		if (request->deadline < pool->keeper_wakes)
			g_cond_signal(&pool->changed);
	}
	g_mutex_unlock(&pool->lock);
	if (error != NULL)
		request_finish(request, NULL, error);
}

void
pool_promote(Pool *pool, const char *mailbox, guint32 uid)
{
	g_mutex_lock(&pool->lock);
	for (GList *link = pool->soon.head; link != NULL; link = link->next) {
		Request *request = link->data;

		if (g_strcmp0(request->mailbox, mailbox) != 0 ||
		    !uidset_contains(request->uids, uid))
			continue;
		g_queue_unlink(&pool->soon, link);
		g_queue_push_tail_link(&pool->now, link);
		request->urgency = REQUEST_NOW;
		wake_for(pool, request);
		break;
	}
	g_mutex_unlock(&pool->lock);
}

/* Another line that is at rest serves this better: it has the mailbox selected, or nothing that
 * matters. */
static gboolean
is_for_another(Pool *pool, Session *session, const Request *request)
{
	Session *best = request->mailbox != NULL ? find_session(pool, request) : NULL;

	if (best == NULL || best == session || session_view(best)->under_way > 0)
		return FALSE;
	session_wake(best);
	return TRUE;
}

static Request *
take_from(Pool *pool, GQueue *queue, Session *session, Backend *backend, gboolean same_mailbox)
{
	for (GList *link = queue->head; link != NULL; link = link->next) {
		Request *request = link->data;

		if (same_mailbox && g_strcmp0(request->mailbox, backend->selected) != 0)
			continue;
		if (!backend->ops->can_start(backend, request))
			continue;
		if (!same_mailbox && is_for_another(pool, session, request))
			continue;
		g_queue_delete_link(queue, link);
		return request;
	}
	return NULL;
}

static void
note_view(Session *session, Backend *backend, gboolean took)
{
	SessionView *view = session_view(session);

	view->under_way = backend->under_way + (took ? 1 : 0);
	view->counters = wire_counters(backend->wire);
	if (view->under_way > 0)
		view->idle_since = 0;
	else if (view->idle_since == 0)
		view->idle_since = g_get_monotonic_time();
}

static void
note_selected(Session *session, const char *selected)
{
	SessionView *view = session_view(session);

	if (g_strcmp0(view->selected, selected) == 0)
		return;
	g_free(view->selected);
	view->selected = g_strdup(selected);
}

/* A change that needs its mailbox selected, or selected in another way, takes a moment with nothing
 * under way. Unless it is given that, the reads of a scan, one behind the other, would keep it
 * waiting for ever. */
static gboolean
runs_dry_for_change(const Pool *pool, const Backend *backend)
{
	for (GList *link = pool->now.head; link != NULL; link = link->next) {
		const Request *request = link->data;

		if (request_kind_changes(request->kind) && backend->under_way > 0 &&
		    !backend->ops->can_start(backend, request))
			return TRUE;
	}
	return FALSE;
}

static Request *
take_best(Pool *pool, Session *session, Backend *backend)
{
	Request *request;

	if (pool_linger_ends(pool, backend) || runs_dry_for_change(pool, backend))
		return NULL;
	request = pool_linger_take(pool, backend);
	if (request == NULL)
		request = take_from(pool, &pool->now, session, backend, TRUE);
	if (request == NULL)
		request = take_from(pool, &pool->now, session, backend, FALSE);
	if (request == NULL)
		request = take_from(pool, &pool->soon, session, backend, TRUE);
	if (request == NULL)
		request = take_from(pool, &pool->soon, session, backend, FALSE);
	return request;
}

static Request *
pool_take(gpointer owner, Session *session, Backend *backend)
{
	Pool *pool = owner;
	Request *request = NULL;

	g_mutex_lock(&pool->lock);
	note_selected(session, backend->selected);
	pool_watch_exchange(pool, session_view(session), backend);
	/* A session that was told to stop would take the request with it. */
	if (session_view(session)->up)
		request = take_best(pool, session, backend);
	note_view(session, backend, request != NULL);
	if (request != NULL && request_kind_selects(request->kind))
		note_selected(session, request->mailbox);
	if (pool_count_alive(pool) < pool->limit && wants_line(pool))
		g_cond_signal(&pool->changed);
	g_mutex_unlock(&pool->lock);
	return request;
}

static void
wake_all(Pool *pool)
{
	if (pool->now.length + pool->soon.length == 0)
		return;
	for (guint i = 0; i < pool->sessions->len; i++)
		session_wake(pool->sessions->pdata[i]);
}

static Backend *
pool_create(gpointer owner, Session *session)
{
	Pool *pool = owner;

	return pool->backend_new(pool->config, &pool->backend_news, pool);
}

/* Sets health under the lock; the caller tells the news outside it when this returns TRUE. */
static gboolean
set_health(Pool *pool, PoolHealth health)
{
	gboolean changed = pool->health != health;

	if (pool->health == POOL_CLOSED)
		return FALSE;
	pool->health = health;
	g_cond_broadcast(&pool->changed);
	return changed;
}

static void
pool_logged_in(gpointer owner, Session *session, Backend *backend)
{
	Pool *pool = owner;
	gboolean tell;

	g_mutex_lock(&pool->lock);
	session_view(session)->up = TRUE;
	session_view(session)->probe = pool->probe;
	session_view(session)->idle_since = pool->up_at = g_get_monotonic_time();
	pool->parts = backend->ops->parts;
	pool_linger_logged_in(pool, backend);
	g_clear_error(&pool->error);
	g_free(pool->line);
	pool->line = g_strdup(tls_stream_describe(wire_stream(backend->wire)));
	g_free(pool->capabilities);
	pool->capabilities = NULL;
	if (backend->capabilities != NULL) {
		g_autoptr(GString) words = g_string_new(NULL);

		for (guint i = 0; i < backend->capabilities->len; i++)
			g_string_append_printf(words, "%s%s", i > 0 ? " " : "",
					       (char *)backend->capabilities->pdata[i]);
		pool->capabilities = g_strdup(words->str);
	}
	pool->no_notify = pool->no_notify && pool->health == POOL_ONLINE;
	pool_watch_soon(pool);
	tell = set_health(pool, POOL_ONLINE);
	g_mutex_unlock(&pool->lock);
	if (tell && pool->news->health != NULL)
		pool->news->health(pool->user, POOL_ONLINE, NULL);
}

static gboolean
is_refusal(const GError *error)
{
	return g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN) ||
	       g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
}

/* A login failed for good, or the last line went: what now? Under the lock. */
static gboolean
note_failure(Pool *pool, gboolean was_up, const GError *error, GQueue *failed)
{
	gint64 now = g_get_monotonic_time();
	gint64 wait;

	if (count_up(pool) > 0) {
		/* The others go on; only the number of lines is in question. */
		if (!was_up) {
			pool->spare_refused = TRUE;
			pool->limit = MAX(1, pool_count_alive(pool));
			pool->limit_until = is_refusal(error) ? G_MAXINT64 : now + LIMIT_US;
		}
		return FALSE;
	}
	/* Lost after it worked: those who wait may go on waiting. A server that takes every login
	 * and hangs up is soon no better than one that takes none. */
	if (was_up && now - pool->up_at >= LASTING_US)
		pool->failures = pool->short_lines = 0;
	if (was_up && pool->short_lines < SHORT_LINES) {
		pool->retry_at = now + (SHORT_WAIT_US << pool->short_lines) - SHORT_WAIT_US;
		pool->short_lines++;
		return !pool_lingers(pool) && set_health(pool, POOL_STARTING);
	}
	if (!was_up && pool_linger_waits(pool, error, now))
		return FALSE;
	g_clear_error(&pool->error);
	pool->error = g_error_copy(error);
	pool->failed_at = now;
	if (pool_count_alive(pool) > 0)
		return FALSE;
	steal_waiting(pool, failed);
	if (is_refusal(error))
		return set_health(pool, POOL_REFUSED);
	wait = RETRY_FIRST_US << MIN(pool->failures, 6);
	pool->failures++;
	if (g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT))
		wait = RETRY_LAST_US;
	pool->retry_at = now + MIN(wait, RETRY_LAST_US);
	return set_health(pool, POOL_OFFLINE);
}

static void
pool_ended(gpointer owner, Session *session, gboolean was_up, const GError *error)
{
	Pool *pool = owner;
	GQueue failed = G_QUEUE_INIT;
	SessionView *view = session_view(session);
	gboolean tell = FALSE;
	PoolHealth health;

	g_mutex_lock(&pool->lock);
	view->dead = TRUE;
	view->up = FALSE;
	pool->past.bytes_in += view->counters.bytes_in;
	pool->past.bytes_out += view->counters.bytes_out;
	pool->past.round_trips += view->counters.round_trips;
	memset(&view->counters, 0, sizeof view->counters);
	if (error != NULL)
		tell = note_failure(pool, was_up, error, &failed);
	health = pool->health;
	/* What it was woken for, the others have to do. */
	wake_all(pool);
	pool_watch_soon(pool);
	g_cond_broadcast(&pool->changed);
	g_mutex_unlock(&pool->lock);
	if (tell && pool->news->health != NULL)
		pool->news->health(pool->user, health, error);
	fail_all(&failed, error);
}

static void
on_changed(gpointer user, const char *mailbox)
{
	Pool *pool = user;

	if (pool->news->changed != NULL)
		pool->news->changed(pool->user, mailbox);
}

static void
on_alert(gpointer user, const char *text)
{
	Pool *pool = user;
	gboolean is_new;

	g_mutex_lock(&pool->lock);
	is_new = pool_linger_is_new(pool, text);
	g_mutex_unlock(&pool->lock);
	if (is_new && pool->news->alert != NULL)
		pool->news->alert(pool->user, text);
}

static void
on_status(gpointer user, const char *mailbox, const MailboxStatus *status)
{
	Pool *pool = user;

	if (pool->news->status != NULL)
		pool->news->status(pool->user, mailbox, status);
}

static void
on_folders(gpointer user)
{
	Pool *pool = user;

	if (pool->news->folders != NULL)
		pool->news->folders(pool->user);
}

Pool *
pool_new(BackendNew backend_new, const BackendConfig *config, guint connections,
	 const PoolNews *news, gpointer user)
{
	Pool *pool = g_new0(Pool, 1);

	pool->backend_new = backend_new;
	pool->config = config;
	pool->news = news;
	pool->user = user;
	pool->backend_news = (BackendNews){.changed = on_changed,
					   .alert = on_alert,
					   .status = on_status,
					   .folders = on_folders};
	pool->connections = pool->limit = pool_lingers(pool) ? 1 : MAX(1, connections);
	pool->sessions = g_ptr_array_new();
	pool->watched = g_array_new(FALSE, FALSE, sizeof(PoolWatch));
	g_array_set_clear_func(pool->watched, pool_watch_clear);
	pool_watch_sleep(pool);
	pool->health = POOL_STARTING;
	g_mutex_init(&pool->lock);
	g_cond_init(&pool->changed);
	pool->keeper = g_thread_new("pool", keeper_run, pool);
	return pool;
}

/* --- the keeper
 * ------------------------------------------------------------------------------------- */

static void
take_expired(GQueue *queue, gint64 now, GQueue *expired, gint64 *next)
{
	GList *link = queue->head;

	while (link != NULL) {
		GList *after = link->next;
		Request *request = link->data;

		if (request->deadline <= now) {
			g_queue_delete_link(queue, link);
			g_queue_push_tail(expired, request);
		} else {
			*next = MIN(*next, request->deadline);
		}
		link = after;
	}
}

static const SessionOwner pool_owner = {
	.create = pool_create,
	.logged_in = pool_logged_in,
	.take = pool_take,
	.ended = pool_ended,
};

/* Should one more session be opened now? Moves *next to when the question comes up again. Under the
 * lock. */
static gboolean
wants_session(Pool *pool, gint64 now, gint64 *next)
{
	guint alive = pool_count_alive(pool), up = count_up(pool);

	if (pool->limit < pool->connections && now >= pool->limit_until)
		pool->limit = pool->connections;
	if (pool->health == POOL_REFUSED || pool->health == POOL_CLOSED) {
		if (!pool->retry_asked || pool->health == POOL_CLOSED)
			return FALSE;
	} else if (pool_linger_rests(pool)) {
		return FALSE;
	} else if ((pool->health != POOL_ONLINE || (pool_lingers(pool) && alive == 0)) &&
		   !pool->retry_asked && now < pool_linger_retry_at(pool)) {
		*next = MIN(*next, pool_linger_retry_at(pool));
		return FALSE;
	}
	if (alive == 0) {
		pool->retry_asked = FALSE;
		return TRUE;
	}
	pool->retry_asked = FALSE;
	/* One at a time: a second login starts when the first has told how it went. */
	if (alive > up || alive >= pool->limit)
		return FALSE;
	return wants_line(pool) || (pool->watch_line && pool->health == POOL_ONLINE);
}

/* A spare line without work is given back to the server; the first one stays, and those that watch.
 * Under the lock. */
static void
stop_spare(Pool *pool, gint64 now, gint64 *next)
{
	gboolean first = TRUE;

	for (guint i = 0; i < pool->sessions->len; i++) {
		Session *session = pool->sessions->pdata[i];
		SessionView *view = session_view(session);

		if (!view->up || view->dead)
			continue;
		if (first) {
			first = FALSE;
			continue;
		}
		if (view->idle_since == 0 || pool_watch_keeps(pool, view))
			continue;
		if (now - view->idle_since >= SPARE_IDLE_US) {
			view->up = FALSE;
			session_stop(session);
		} else {
			*next = MIN(*next, view->idle_since + SPARE_IDLE_US);
		}
	}
}

static void
steal_dead(Pool *pool, GPtrArray *dead)
{
	for (guint i = pool->sessions->len; i > 0; i--)
		if (session_view(pool->sessions->pdata[i - 1])->dead)
			g_ptr_array_add(dead, g_ptr_array_remove_index(pool->sessions, i - 1));
}

static void
join_all(GPtrArray *dead)
{
	for (guint i = 0; i < dead->len; i++)
		session_join(dead->pdata[i]);
	g_ptr_array_set_size(dead, 0);
}

static GError *
expired_error(const Pool *pool)
{
	if (pool_lingers(pool) && pool->error != NULL)
		return g_error_copy(pool->error);
	return g_error_new(MAILFS_ERROR, MAILFS_ERROR_TIMEOUT, "%s did not answer within %u s",
			   pool->config->host, pool->config->timeout_ms / 1000);
}

static gpointer
keeper_run(gpointer data)
{
	Pool *pool = data;
	g_autoptr(GPtrArray) dead = g_ptr_array_new();
	gboolean started = FALSE;

	g_mutex_lock(&pool->lock);
	while (!pool->closing) {
		GQueue expired = G_QUEUE_INIT;
		gint64 now = g_get_monotonic_time();
		gint64 next = now + (pool->health == POOL_ONLINE ? WAKE_ONLINE_US : WAKE_US);

		take_expired(&pool->now, now, &expired, &next);
		take_expired(&pool->soon, now, &expired, &next);
		steal_dead(pool, dead);
		pool_watch_sleep(pool);
		started = started || pool->retry_asked || pool->now.length > 0;
		if (started && wants_session(pool, now, &next)) {
			pool->watch_line = FALSE;
			g_ptr_array_add(pool->sessions,
					session_new(&pool_owner, pool, pool->next_number++));
		}
		stop_spare(pool, now, &next);
		if (expired.length > 0 || dead->len > 0) {
			g_autoptr(GError) error = expired_error(pool);

			g_mutex_unlock(&pool->lock);
			fail_all(&expired, error);
			join_all(dead);
			g_mutex_lock(&pool->lock);
			continue;
		}
		if (pool_watch_due(pool, now, &next)) {
			g_mutex_unlock(&pool->lock);
			pool_watch_turn(pool);
			g_mutex_lock(&pool->lock);
			continue;
		}
		pool->keeper_wakes = next;
		g_cond_wait_until(&pool->changed, &pool->lock, next);
	}
	g_mutex_unlock(&pool->lock);
	return NULL;
}

gboolean
pool_start(Pool *pool, GCancellable *cancel, GError **error)
{
	gboolean up;

	g_mutex_lock(&pool->lock);
	pool->retry_asked = TRUE;
	g_cond_broadcast(&pool->changed);
	/* Each step of a login is bounded by the timeout; cancel is looked at between. */
	while (pool->health == POOL_STARTING && !g_cancellable_is_cancelled(cancel))
		g_cond_wait_until(&pool->changed, &pool->lock,
				  g_get_monotonic_time() + 100 * G_TIME_SPAN_MILLISECOND);
	up = pool->health == POOL_ONLINE;
	if (!up && !g_cancellable_set_error_if_cancelled(cancel, error))
		g_propagate_error(error, down_error(pool));
	g_mutex_unlock(&pool->lock);
	return up;
}

gboolean
pool_parts(Pool *pool)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);

	return pool->parts;
}

void
pool_retry(Pool *pool)
{
	g_mutex_lock(&pool->lock);
	pool->retry_asked = TRUE;
	pool->limit = pool->connections;
	pool->spare_refused = FALSE;
	g_cond_broadcast(&pool->changed);
	g_mutex_unlock(&pool->lock);
}

void
pool_get_status(Pool *pool, PoolStatus *out)
{
	gint64 ahead;

	g_mutex_lock(&pool->lock);
	*out = (PoolStatus){
		.health = pool->health,
		.waiting = pool->now.length + pool->soon.length,
		.limit = pool->limit,
		.counters = pool->past,
		.error = pool->error != NULL ? g_strdup(pool->error->message) : NULL,
		.capabilities = g_strdup(pool->capabilities),
		.line = g_strdup(pool->line),
	};
	for (guint i = 0; i < pool->sessions->len; i++) {
		SessionView *view = session_view(pool->sessions->pdata[i]);

		out->sessions += view->up && !view->dead;
		out->notify = out->notify ||
			      (view->up && !view->dead && view->notify == BACKEND_NOTIFY_ON);
		out->watching += view->up && !view->dead && view->told;
		out->busy += view->up && !view->dead && view->under_way > 0;
		out->counters.bytes_in += view->counters.bytes_in;
		out->counters.bytes_out += view->counters.bytes_out;
		out->counters.round_trips += view->counters.round_trips;
	}
	ahead = pool->retry_at - g_get_monotonic_time();
	out->retry_at = g_get_real_time() / G_USEC_PER_SEC + MAX(ahead, 0) / G_USEC_PER_SEC;
	g_mutex_unlock(&pool->lock);
}

void
pool_status_clear(PoolStatus *status)
{
	g_clear_pointer(&status->error, g_free);
	g_clear_pointer(&status->capabilities, g_free);
	g_clear_pointer(&status->line, g_free);
}

void
pool_stop(Pool *pool)
{
	g_autoptr(GError) error =
		g_error_new(MAILFS_ERROR, MAILFS_ERROR_OFFLINE, "mailfs is shutting down");
	GQueue waiting = G_QUEUE_INIT;

	if (pool->keeper == NULL)
		return;
	g_mutex_lock(&pool->lock);
	pool->closing = TRUE;
	pool->health = POOL_CLOSED;
	steal_waiting(pool, &waiting);
	for (guint i = 0; i < pool->sessions->len; i++)
		session_stop(pool->sessions->pdata[i]);
	g_cond_broadcast(&pool->changed);
	g_mutex_unlock(&pool->lock);

	fail_all(&waiting, error);
	g_thread_join(g_steal_pointer(&pool->keeper));
	join_all(pool->sessions);
}

void
pool_free(Pool *pool)
{
	if (pool == NULL)
		return;
	pool_stop(pool);
	g_ptr_array_unref(pool->sessions);
	g_array_unref(pool->watched);
	g_clear_error(&pool->error);
	g_free(pool->capabilities);
	g_free(pool->line);
	g_free(pool->alert);
	g_mutex_clear(&pool->lock);
	g_cond_clear(&pool->changed);
	g_free(pool);
}
