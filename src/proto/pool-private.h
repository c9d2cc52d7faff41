/* SPDX-License-Identifier: MIT */
/* The inside of a Pool, for pool.c (requests, sessions, the keeper), pool-watch.c (which line
 * watches what) and pool-linger.c (lines that are open only while there is work). */
#pragma once

#include "proto/pool.h"
#include "proto/session.h"

G_BEGIN_DECLS

struct Pool {
	BackendNew backend_new;
	const BackendConfig *config;
	const PoolNews *news;
	gpointer user;
	BackendNews backend_news;
	GThread *keeper;

	GMutex lock; /* guards all below */
	GCond changed;
	GQueue now, soon;    /* of Request: not yet on a session */
	GPtrArray *sessions; /* of Session: alive, or dead and not yet joined */
	guint connections;   /* as configured */
	guint limit;	     /* as the server allows at the moment */
	gint64 limit_until;
	guint next_number;
	PoolHealth health;
	gboolean closing, retry_asked;
	guint failures;		    /* connection attempts in a row that failed */
	gint64 failed_at, retry_at; /* monotonic µs */
	gint64 up_at;		    /* monotonic µs: of the newest login */
	guint short_lines;	    /* lines in a row that did not last */
	gint64 keeper_wakes;	    /* monotonic µs: at the latest */
	GError *error;		    /* last failure, NULL while all is well */
	WireCounters past;	    /* of sessions that have ended */
	char *capabilities, *line;
	gboolean parts; /* of the newest line */

	/* pool-linger.c */
	gint64 busy_since, busy_at; /* monotonic µs: the server says "later"; 0: it does not */
	guint busy_times;
	char *alert;	   /* the last one: each line tells it again */
	gint64 not_before; /* monotonic µs: the server wants no login until then */

	/* pool-watch.c */
	GArray *watched;	/* of PoolWatch: as told last */
	gint64 watch_at;	/* monotonic µs: when it is to be asked for again */
	gint64 watch_done;	/* monotonic µs: when that was last done */
	gboolean watch_line;	/* one more line would watch what none watches */
	gboolean spare_refused; /* the server would not have one more line */
	gboolean no_notify;	/* refused since the newest login */
	gint64 slept;		/* µs, of the machine: when it was last looked at */
	guint probe;		/* number of the newest probe */
};

/* pool.c. Under the lock. */
guint pool_count_alive(const Pool *pool); /* sessions that have not ended, logged in or not */

/* pool-linger.c. Under the lock. */

gboolean pool_lingers(const Pool *pool);
/* This line takes no more: what waits needs a new one. */
gboolean pool_linger_ends(const Pool *pool, Backend *backend);
/* A change that can start on this line, which comes before all reads: they would use it up. NULL:
 * none, or the pool keeps its lines. (transfer full) */
Request *pool_linger_take(Pool *pool, const Backend *backend);
/* There is nothing to open a line for. */
gboolean pool_linger_rests(const Pool *pool);
gint64 pool_linger_retry_at(const Pool *pool); /* when the next login is due */
/* A login failed with @error: is it worth while to go on asking? Then retry_at is set. */
gboolean pool_linger_waits(Pool *pool, const GError *error, gint64 now);
void pool_linger_logged_in(Pool *pool, const Backend *backend);
/* Takes note of what the server says; FALSE: it has said so before. */
gboolean pool_linger_is_new(Pool *pool, const char *alert);
/* Why nothing can come of a request that has to be on its way by @deadline; NULL: it can. (transfer
 * full) */
GError *pool_linger_refuses(const Pool *pool, gint64 deadline);

/* pool-watch.c. Under the lock, but for pool_watch_turn(). */

void pool_watch_clear(gpointer watch);
/* How much a line that is at rest is worth where it is: the lower the better to take it away. */
guint pool_watch_value(const Pool *pool, const SessionView *view);
/* Something has happened that may ask for other lines to watch. */
void pool_watch_soon(Pool *pool);
/* Is it time for a turn? Moves *next to when it is. */
gboolean pool_watch_due(const Pool *pool, gint64 now, gint64 *next);
/* Asks what matters, gives lines at rest their work, asks the account for what no line tells. On
 * the keeper's thread, without the lock. */
void pool_watch_turn(Pool *pool);
/* On the session's thread: what it tells its owner, and is told by it. */
void pool_watch_exchange(Pool *pool, SessionView *view, Backend *backend);
/* Is this line worth keeping though it has no work? */
gboolean pool_watch_keeps(const Pool *pool, const SessionView *view);
/* Has the machine slept since the last look? Then every line is asked for a sign of life. */
void pool_watch_sleep(Pool *pool);

G_END_DECLS
