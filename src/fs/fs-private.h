/* SPDX-License-Identifier: MIT */
/* The inside of an Fs, and the one place that names libfuse: for fs.c (requests) and fs-mount.c
 * (life, and telling the kernel). */
#pragma once

#include <fuse_lowlevel.h>
#include <pthread.h>

#include "fs/fs.h"
#include "fs/notices.h"
#include "fs/patience.h"

G_BEGIN_DECLS

struct Fs {
	Tree *tree;
	Account *account;
	char *mountpoint;
	double attr_time;
	void (*failed)(gpointer user, const char *operation, const GError *error);
	gpointer user;
	struct fuse_session *session;
	gboolean mounted;
	gint init_seen; /* atomic */
	gint stopping;	/* atomic */
	Patience *patience;
	Notices *notices;

	GMutex lock;	  /* guards all below */
	gboolean looping; /* fs_run() is in libfuse's loop, in thread `runner` */
	GCond loop_ended;
	pthread_t runner;
	GHashTable *versions; /* directory ino → the version the kernel last opened */
	GHashTable *storing;  /* set of inode numbers whose body is being put into the page cache */
	GCond stored;
	GHashTable *handles; /* set of what is open, see fs.c; the kernel does not close what is
				open when the mount ends */
};

extern const struct fuse_lowlevel_ops fs_operations;

void fs_init(void *userdata, struct fuse_conn_info *connection);
void fs_tell(gpointer user, guint64 parent, guint64 child, const char *name); /* a NoticesTell */
void fs_over(gpointer data, gboolean interrupted);			      /* a PatienceOver */
void fs_handle_free(gpointer handle);

G_END_DECLS
