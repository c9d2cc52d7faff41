/* SPDX-License-Identifier: MIT */
/* Workers: the threads that take requests from the kernel and run their handlers, one at a time.
 * Where one thread of a program asks again and again (cp, grep, tar), both follow it (follow.h) and
 * the other threads of the process keep off its CPU (apart.h). Which of the two serves:
 *
 * The quick thread has the policy SCHED_IDLE: the scheduler takes the CPU it runs on for a free
 * one, so that its client is woken there and not on another CPU. Where that CPU is wanted by others
 * too, such a thread gets nowhere. The steady thread has the usual policy and serves while that is
 * so.
 *
 * A third thread watches them while requests come, and says whose turn it is. */
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

/* --- whose turn it is. A pure state machine, no I/O. */

typedef enum { SHIFT_QUICK, SHIFT_STEADY } ShiftWho;

typedef struct {
	ShiftWho who;
	gint64 until; /* of the steady one's term; us, monotonic */
	gint64 term;  /* its length, us */
	gint64 ended; /* when its last term was over */
	gint64 pause; /* till when it need not come for `lost_ns` alone */
} Shift;

/* Of the one whose turn it is, since the last look. */
typedef struct {
	gint64 now;	   /* us, monotonic */
	gboolean progress; /* it took or answered a request */
	gboolean in_handler;
	gboolean wanted; /* a request waits to be taken */
	guint64 lost_ns; /* it could have run, and others did */
	gboolean moved;	 /* its client ran here and there: CPUs are free */
} ShiftLook;

#define SHIFT_LOOK_US 5000 /* between two looks */

/* A look while requests come. The one that serves from now on. */
ShiftWho shift_look(Shift *shift, const ShiftLook *look);

G_END_DECLS
