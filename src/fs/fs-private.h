/* SPDX-License-Identifier: MIT */
/* The inside of an Fs, and the one place that names libfuse: for fs.c (requests), fs-files.c
 * (open files) and fs-mount.c (life, and telling the kernel). */
#pragma once

#include <fuse_lowlevel.h>

#include "fs/backing.h"
#include "fs/fs.h"
#include "fs/notices.h"
#include "fs/patience.h"
#include "fs/warmer.h"
#include "fs/workers.h"

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
	gint may_grow;	/* atomic: bodies may be open while they come in, see fs_device_read() */
	gint stopping;	/* atomic */
	gboolean passthrough_offered; /* by INIT, where libfuse does not look */
	gboolean passthrough; /* since INIT: the kernel may read files of the cache by itself */
	Backing *backing;
	guint64 requests[FS_N_REQUESTS]; /* atomic */
	Patience *patience;
	Notices *notices;
	Workers *workers;
	Warmer *warmer;

	GMutex lock;	      /* guards all below */
	GHashTable *versions; /* directory ino → the version the kernel last opened */
	GHashTable *storing;  /* set of inode numbers whose body is being put into the page cache */
	GCond stored;
	GHashTable *handles; /* set of what is open, see fs.c; the kernel does not close what is
				open when the mount ends */
};

typedef struct FsCall FsCall;

/* Answers the request: TRUE. Or FALSE: *later says what it has to wait for. */
typedef gboolean (*FsAnswer)(Fs *fs, const FsCall *call, TreeAnswer *later);

struct FsCall {
	const char *operation;
	FsAnswer answer;
	fuse_req_t req;
	fuse_ino_t ino;
	const char *name;
	size_t size;
	off_t offset;
	guint32 reader; /* the process */
	gboolean patient;
	gboolean plus;
	struct fuse_file_info fi;
};

/* A call put aside: the data of a Wait. */
typedef struct {
	Fs *fs;
	FsCall call;
	char *name; /* owned copy for call.name */
} FsPending;

/* Answers the request, or puts it aside until what it waits for has come, and tries again. */
void fs_call_run(Fs *fs, const FsCall *call, gint64 give_up);

/* Puts the call aside. The caller hands the result to whoever will bring the news; that one claims
 * it. */
Wait *fs_put_aside(Fs *fs, const FsCall *call, gint64 give_up);

/* The call, when the caller is the one who replies to it; else NULL. */
FsPending *fs_claim(Wait *wait);

/* Common end of every answer from the tree that is not TREE_OK: an error is replied. */
gboolean fs_settle(Fs *fs, const FsCall *call, TreeAnswer *answer, TreeAnswer *later);

/* Every failed request leaves through here: mapped once, logged once. */
void fs_fail(Fs *fs, fuse_req_t req, const char *operation, const GError *error);

void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_count(Fs *fs, FsRequest request);
/* The attributes of a file that is open though its message is gone. */
gboolean fs_stat_of_open(Fs *fs, fuse_ino_t ino, struct stat *out);

extern const struct fuse_lowlevel_ops fs_operations;

/* Where the kernel offers passthrough: from INIT on. */
void fs_passthrough_begin(Fs *fs);
gboolean fs_passthrough_is_offered(const void *request, size_t len); /* by a message to us? */
void fs_passthrough_accept(guint32 *words);			     /* in the reply to it */
/* Answers an open with a registration of fs->backing. */
int fs_passthrough_reply(fuse_req_t req, gpointer handle, int number);

void fs_init(void *userdata, struct fuse_conn_info *connection);
void fs_tell(gpointer user, guint64 parent, guint64 child, const char *name);	/* a NoticesTell */
gboolean fs_warm(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid); /* a WarmerStore */
void fs_over(gpointer data, gboolean interrupted);				/* a PatienceOver */
void fs_handle_free(gpointer handle);

G_END_DECLS
