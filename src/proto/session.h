/* SPDX-License-Identifier: MIT */
/* A Session is one Backend and the thread that runs it: log in, then poll() over the socket and a
 * wake-up descriptor, taking requests from its owner (pool.c) whenever the line can carry one more.
 */
#pragma once

#include "proto/backend.h"

G_BEGIN_DECLS

typedef struct Session Session;

/* All on the session's thread; none may block on the network. */
typedef struct {
	Backend *(*create)(gpointer owner, Session *session);
	void (*logged_in)(gpointer owner, Session *session, Backend *backend);
	/* The next request this line should carry now, or NULL. (transfer full) */
	Request *(*take)(gpointer owner, Session *session, Backend *backend);
	/* The thread is about to end: login failed or the line was lost (@error), or it was told to
	 * stop or has done what it can (NULL). Requests that were under way have been failed.
	 * @was_up: the login had succeeded. */
	void (*ended)(gpointer owner, Session *session, gboolean was_up, const GError *error);
} SessionOwner;

/* Starts the thread. @owner outlives the session. */
Session *session_new(const SessionOwner *callbacks, gpointer owner, guint number);
void session_wake(Session *session); /* look for work; any thread */
void session_stop(Session *session); /* log out politely and end; any thread, returns at once */
void
session_join(Session *session); /* waits for the thread's end and frees; not from its own thread */

/* Kept for the owner, who guards them with its own lock: what the line was doing when it last took
 * work. */
typedef struct {
	gboolean up;
	gboolean dead; /* ended() was called: to be joined */
	guint under_way;
	char *selected;
	gint64 idle_since; /* monotonic µs; 0 while busy */
	WireCounters counters;
	gboolean told, tells;	/* of the backend */
	gint64 told_at;		/* monotonic µs: when it became told */
	BackendNotify notify;	/* of the backend */
	gint64 notify_since;	/* monotonic µs: when it went on */
	gboolean notify_wanted; /* the backend is to be told so */
	guint probe;		/* the last one the backend was told of */
	gboolean doubtful;	/* the backend is to be told so */
	gboolean prime;		/* likewise */
} SessionView;
SessionView *session_view(Session *session);
guint session_number(const Session *session);

G_END_DECLS
