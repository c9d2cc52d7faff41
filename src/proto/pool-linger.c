/* SPDX-License-Identifier: MIT */
/* Lines that are open only while there is work: a POP3 server locks the maildrop for as long as one
 * is, and shows each of them the maildrop as it was at its login. So the pool is ONLINE without a
 * line, a line that has shown what it can gives way to a new one, and a server that says "in use"
 * or "too soon" is asked again while somebody waits. */
#include "proto/pool-private.h"

#define BUSY_FIRST_US (G_USEC_PER_SEC / 2)
#define BUSY_LAST_US  (4 * G_USEC_PER_SEC)
#define BUSY_GAP_US   (15 * G_USEC_PER_SEC) /* after this much silence it is another time */

gboolean
pool_lingers(const Pool *pool)
{
	return pool->config->linger_ms > 0;
}

static gboolean
is_outgrown(const GQueue *queue, const Backend *backend)
{
	for (GList *link = queue->head; link != NULL; link = link->next)
		if (backend->ops->needs_new(backend, link->data))
			return TRUE;
	return FALSE;
}

gboolean
pool_linger_ends(const Pool *pool, Backend *backend)
{
	if (!pool_lingers(pool) || backend->ops->needs_new == NULL)
		return FALSE;
	backend->leave = backend->leave || is_outgrown(&pool->now, backend) ||
			 is_outgrown(&pool->soon, backend);
	return backend->leave;
}

Request *
pool_linger_take(Pool *pool, const Backend *backend)
{
	if (!pool_lingers(pool))
		return NULL;
	for (GList *link = pool->now.head; link != NULL; link = link->next) {
		Request *request = link->data;

		if (!request_kind_changes(request->kind) ||
		    !backend->ops->can_start(backend, request))
			continue;
		g_queue_delete_link(&pool->now, link);
		return request;
	}
	return NULL;
}

gboolean
pool_linger_rests(const Pool *pool)
{
	return pool_lingers(pool) && pool->health == POOL_ONLINE && !pool->retry_asked &&
	       pool->now.length + pool->soon.length == 0;
}

gint64
pool_linger_retry_at(const Pool *pool)
{
	return MAX(pool->retry_at, pool->not_before);
}

gboolean
pool_linger_waits(Pool *pool, const GError *error, gint64 now)
{
	gint64 wait;

	if (!pool_lingers(pool) || (!g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_BUSY) &&
				    !g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT)))
		return FALSE;
	if (pool->busy_since == 0 || now - pool->busy_at > BUSY_GAP_US) {
		pool->busy_since = now;
		pool->busy_times = 0;
	}
	pool->busy_at = now;
	if (now - pool->busy_since >= pool->config->timeout_ms * G_TIME_SPAN_MILLISECOND)
		return FALSE;
	wait = MIN(BUSY_FIRST_US << MIN(pool->busy_times, 8), BUSY_LAST_US);
	pool->busy_times++;
	pool->retry_at = now + wait;
	g_clear_error(&pool->error);
	pool->error = g_error_copy(error);
	return TRUE;
}

void
pool_linger_logged_in(Pool *pool, const Backend *backend)
{
	if (!pool_lingers(pool))
		return;
	pool->busy_since = 0;
	pool->not_before = g_get_monotonic_time() + backend->login_delay_s * G_TIME_SPAN_SECOND;
}

gboolean
pool_linger_is_new(Pool *pool, const char *alert)
{
	if (!pool_lingers(pool))
		return TRUE;
	if (g_strcmp0(pool->alert, alert) == 0)
		return FALSE;
	g_free(pool->alert);
	pool->alert = g_strdup(alert);
	return TRUE;
}

GError *
pool_linger_refuses(const Pool *pool, gint64 deadline)
{
	if (!pool_lingers(pool) || pool->health != POOL_ONLINE || pool->not_before <= deadline ||
	    pool_count_alive(pool) > 0)
		return NULL;
	return g_error_new(
		MAILFS_ERROR, MAILFS_ERROR_LIMIT,
		"%s wants to be left alone between two logins, for another %" G_GINT64_FORMAT
		" s: try again then",
		pool->config->host,
		(pool->not_before - g_get_monotonic_time()) / G_USEC_PER_SEC + 1);
}
