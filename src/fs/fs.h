/* SPDX-License-Identifier: MIT */
/* Fs: the door to the kernel, the only room that knows libfuse. Requests are answered from the tree
 * at once or put aside until what they wait for has come, the patience of the request is over, or
 * the caller is interrupted; no thread of the kernel's ever waits for the network. */
#pragma once

#include "fs/tree.h"

G_BEGIN_DECLS

typedef struct Fs Fs;

typedef struct {
	Tree *tree; /* borrowed, outlives the Fs; the same for the next three */
	Account *account;
	Uploads *uploads; /* NULL (with changes): mounted read-only, for the kernel too */
	Changes *changes;
	const char *mountpoint;
	const char *source;	 /* shown in the mount table */
	GPtrArray *fuse_options; /* of char *: for libfuse as they are */
	gboolean allow_other;
	guint attr_time; /* seconds the kernel may keep names and attributes without asking, of
			    what no server tells the changes of */
	guint wait_time; /* seconds that fsync() waits for the server */
	uid_t uid;	 /* owner of all files */
	gid_t gid;
	/* A request failed for a reason worth a line in the log (not ENOENT and the like). Any
	 * thread. */
	void (*failed)(gpointer user, const char *operation, const GError *error);
	gpointer user;
} FsConfig;

/* Errors: MAILFS_ERROR_USAGE (an option libfuse does not know). */
Fs *fs_new(const FsConfig *config, GError **error);

/* Mounts. Errors: MAILFS_ERROR_MOUNTPOINT. */
gboolean fs_mount(Fs *fs, GError **error);

/* Serves until the file system is unmounted (by anybody) or fs_stop() is called. Blocks. FALSE: it
 * ended for another reason. */
gboolean fs_run(Fs *fs);

void fs_stop(Fs *fs); /* detaches the mount and ends fs_run(). Any thread, also before fs_run() */
/* After fs_run(), before uploads_stop(): what programs had open is closed, and what they wrote is
 * as complete as it will ever be. Disk. */
void fs_finish(Fs *fs);
void fs_free(Fs *fs); /* after fs_run(), and after the account was stopped. NULL is fine */

/* News from below: any thread, never blocks. */
void fs_listing_changed(Fs *fs, Mailbox *mailbox);
void fs_message_gone(Fs *fs, Mailbox *mailbox, guint32 serial, guint32 uid, const char *name);
void fs_message_changed(Fs *fs, guint32 serial, guint32 uid);
void
fs_directory_void(Fs *fs,
		  Mailbox *mailbox); /* all names below it mean something else now, or nothing */
void fs_folders_changed(Fs *fs);
/* As UploadsNews. */
void fs_upload_changed(Fs *fs, Mailbox *mailbox, guint32 id);
void fs_upload_gone(Fs *fs, Mailbox *mailbox, guint32 id, const char *name);
void fs_messages_wanted(Fs *fs, Mailbox *mailbox, guint32 serial, const guint32 *uids, guint n);

guint fs_waiting(Fs *fs); /* requests put aside at the moment */

/* The door in words: "libfuse 3.14.0". (transfer full) */
char *fs_describe(Fs *fs);

/* Requests of the kernel so far. */
typedef enum {
	FS_LOOKUP,
	FS_GETATTR,
	FS_OPENDIR,
	FS_READDIR,
	FS_OPEN,
	FS_READ,
	FS_GETXATTR,
	FS_N_REQUESTS,
} FsRequest;

const char *fs_request_name(FsRequest request); /* "lookup" */
guint64 fs_requests(Fs *fs, FsRequest request);

G_END_DECLS
