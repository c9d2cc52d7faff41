/* SPDX-License-Identifier: MIT */
/* Workers: the threads that take requests from the kernel and run their handlers. What costs most
 * in a request is to wake a sleeping CPU, once for the handler and once for its client. Hence:
 *
 * The quick thread follows its client: where one thread of a program asks again and again (cp,
 * grep, tar), it runs on that thread's CPU, with the policy SCHED_IDLE, so that the client is woken
 * there and not on another CPU. On a machine with more important things to do such a thread gets
 * nowhere: the steady thread takes its place for a while, with the usual policy, as soon as a
 * request waits for some milliseconds, for a CPU or, in a handler, for the disk. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

struct fuse_session;
typedef struct Workers Workers;

Workers *workers_new(struct fuse_session *session);
void workers_free(Workers *workers); /* not while it runs; NULL is fine */

/* Until the filesystem is unmounted, or workers_stop(). Blocks. FALSE: the device failed. */
gboolean workers_run(Workers *workers);

/* From any thread, after fuse_session_exit(): returns when workers_run() is about to. */
void workers_stop(Workers *workers);

/* --- following a client. A pure state machine, no I/O. */

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

G_END_DECLS
