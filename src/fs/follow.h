/* SPDX-License-Identifier: MIT */
/* Follower: keeps a thread on the CPU of the one that it serves. What costs most in a request is to
 * wake a sleeping CPU, once for the handler and once for its client. One thread's, but for what is
 * said to be read by others. */
#pragma once

#include <glib.h>
#include <sched.h>

#include "base/util.h"

G_BEGIN_DECLS

/* --- whom to follow: a pure state machine, no I/O */

#define FOLLOW_NOBODY (-1)
#define FOLLOW_EVERY  16 /* requests: the scheduler may move a client at any time */

typedef struct {
	guint32 client; /* thread */
	guint streak;	/* of its requests, nobody else's between */
	guint since;	/* requests since the last advice */
} Follow;

typedef enum {
	FOLLOW_STAY,
	FOLLOW_CLIENT,	/* look where `client` runs, and go there */
	FOLLOW_RELEASE, /* several clients at once: run anywhere */
} FollowAdvice;

/* A request of thread @client came; 0: of the kernel itself. */
FollowAdvice follow_note(Follow *follow, guint32 client);

/* The CPU that a line of /proc/<thread>/stat tells, or FOLLOW_NOBODY. */
int follow_parse_cpu(const char *stat);

/* --- a thread that does */

typedef struct {
	Follow state;
	gint cpu;	/* atomic: where it is bound to, or FOLLOW_NOBODY; for any thread to read */
	gint beside;	/* atomic: the client there, or 0; for any thread to read */
	gint moves;	/* atomic: how often its client was elsewhere; for any thread to read */
	guint32 thread; /* whose file is open */
	UtilFd stat;
} Follower;

#define FOLLOWER_INIT                                                                              \
	{                                                                                          \
		.cpu = FOLLOW_NOBODY, .stat = -1                                                   \
	}

/* A request of thread @client came to the calling thread, which may run on @allowed. Once in a
 * while it looks at /proc and binds the calling thread. */
void follower_note(Follower *follower, guint32 client, const cpu_set_t *allowed);
/* The calling thread may run anywhere again. */
void follower_stay(Follower *follower, const cpu_set_t *allowed);
void follower_clear(Follower *follower);

G_END_DECLS
