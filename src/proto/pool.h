/* SPDX-License-Identifier: MIT */
/* A Pool is the account's sessions (session.c: a Backend and its thread) and the requests that wait
 * for one. Work goes to the session that has the mailbox selected, else to an idle one, else a new
 * session is opened, up to `connections`, fewer when the server says so. A lost line is opened
 * again with back-off; while the line is known to be down requests fail at once; a refused login is
 * not repeated until pool_retry(). Lines at rest watch the mailboxes that matter: one of them by
 * NOTIFY for all (RFC 5465), where the server has it; else each by IDLE on one, which is kept
 * while other lines are free for the work.
 *
 * With BackendConfig.linger_ms (POP3) there is one session at most, and none while there is no
 * work: the pool is ONLINE all the same, and opens one when it has something to do. A server that
 * says BUSY or LIMIT is asked again until `timeout` has passed; then the pool is OFFLINE, with that
 * error. Thread-safe. */
#pragma once

#include "proto/backend.h"

G_BEGIN_DECLS

typedef struct Pool Pool;

typedef enum {
	POOL_STARTING, /* first login under way: requests wait */
	POOL_ONLINE,
	POOL_OFFLINE, /* no line; the next try is at a known time */
	POOL_REFUSED, /* login refused: waits for pool_retry() */
	POOL_CLOSED,
} PoolHealth;

typedef struct {
	PoolHealth health;
	guint sessions, busy,
		waiting; /* sessions logged in, sessions with work, requests not yet on a session */
	guint limit;	 /* sessions at most, as configured or as the server taught */
	gboolean notify; /* a line tells of all personal mailboxes */
	guint watching;	 /* lines that tell of the one they have selected */
	gint64 retry_at; /* OFFLINE: wall clock seconds of the next try */
	WireCounters counters; /* of all sessions since the start */
	char *error;	    /* last connection error, NULL when none; raw: escape before showing */
	char *capabilities; /* of the newest login, NULL before */
	char *line;	    /* tls_stream_describe() of the newest line, NULL before */
} PoolStatus;

/* News, on a session's thread, which must not be held up. */
typedef struct {
	void (*changed)(gpointer user, const char *mailbox);
	void (*alert)(gpointer user, const char *text);
	void (*health)(gpointer user, PoolHealth health, const GError *error); /* on each change */
	void (*status)(gpointer user, const char *mailbox, const MailboxStatus *status);
	void (*folders)(gpointer user); /* as BackendNews */

	/* The next four come on the pool's own thread. */

	/* Fills @out with PoolWatch, the most important first. Returns the monotonic µs at which to
	 * be asked again at the latest. */
	gint64 (*watch)(gpointer user, GArray *out);
	/* A line is free to watch this mailbox: the SYNC that it begins with is wanted. */
	void (*take_up)(gpointer user, const char *mailbox);
	/* No line tells of these: a STATUS is worth while now and then. NULL-terminated. */
	void (*unwatched)(gpointer user, const char *const *mailboxes);
	/* A line tells of these from now on: a STATUS shows whether what is known of them was right
	 * until then. NULL-terminated. */
	void (*unproved)(gpointer user, const char *const *mailboxes);
} PoolNews;

/* A mailbox whose changes matter. */
typedef struct {
	char *name;	   /* raw server name, owned */
	gboolean personal; /* NOTIFY tells of it */
	gboolean numbered; /* a STATUS shows every change (HIGHESTMODSEQ) */
	gint64 known_at;   /* monotonic µs: what is known of it was right then; 0: never */
} PoolWatch;

typedef Backend *(*BackendNew)(const BackendConfig *config, const BackendNews *news, gpointer user);

/* @config and @news are borrowed and outlive the pool. */
Pool *pool_new(BackendNew backend_new, const BackendConfig *config, guint connections,
	       const PoolNews *news, gpointer user);

/* Opens the first session and waits for its login. Blocks. On failure the pool may be used all the
 * same (offline mount) or closed. */
gboolean pool_start(Pool *pool, GCancellable *cancel, GError **error);

/* Takes ownership. Never blocks. A request that finds no session within the timeout fails with
 * MAILFS_ERROR_TIMEOUT. A request is given to one session once, whatever becomes of it: a change is
 * never sent twice. Changes are always REQUEST_NOW. */
void pool_submit(Pool *pool, Request *request);

/* Somebody waits for what a REQUEST_SOON fetch of this UID will bring: if it is still queued, it
 * comes first. */
void pool_promote(Pool *pool, const char *mailbox, guint32 uid);
/* The newest line takes REQUEST_PART. FALSE before the first login. */
gboolean pool_parts(Pool *pool);
/* No line has what is called @mailbox selected any more, as far as one can say: it was renamed or
 * removed, and another one may come to its name. */
void pool_doubt(Pool *pool, const char *mailbox);
/* Somebody looks at the listing of @mailbox: its bodies may be wanted next. The line that has it
 * selected sees to it that the server has found them by then. */
void pool_prime(Pool *pool, const char *mailbox);
/* What is to be watched has changed: `watch` is asked soon. */
void pool_look(Pool *pool);
/* Since when the server tells of every change in @mailbox, monotonic µs; 1: whoever made the last
 * SYNC of it knows all; 0: it does not. @personal: see PoolWatch. *@settled_out (nullable): it will
 * go on, as far as one can see: a program that runs through all mailboxes gives each a line for a
 * moment only. */
gint64 pool_told_since(Pool *pool, const char *mailbox, gboolean personal, gboolean *settled_out);
void pool_retry(Pool *pool); /* try now: the network is back, the user has a new password */
void pool_get_status(Pool *pool, PoolStatus *out);
void pool_status_clear(PoolStatus *status);

/* Fails all that waits and is under way (MAILFS_ERROR_OFFLINE), logs out (at most 2 s), joins the
 * threads. No more news; what is submitted after it fails at once. */
void pool_stop(Pool *pool);
/* Stops it first. NULL is fine. */
void pool_free(Pool *pool);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pool, pool_free)

G_END_DECLS
