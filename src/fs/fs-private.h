/* SPDX-License-Identifier: MIT */
/* The inside of an Fs, and the one place that names libfuse: for fs.c (requests), fs-files.c
 * (open files), fs-write.c (files being written), fs-replace.c (drafts that are), fs-change.c
 * (names), fs-folders.c (mailboxes), fs-flags.c (flags, copies) and fs-mount.c (life, and telling
 * the kernel). */
#pragma once

#include <fuse_lowlevel.h>

#include "fs/backing.h"
#include "fs/copiers.h"
#include "fs/errands.h"
#include "fs/fs.h"
#include "fs/listings.h"
#include "fs/notices.h"
#include "fs/patience.h"
#include "fs/warmer.h"
#include "fs/workers.h"

G_BEGIN_DECLS

struct Fs {
	Tree *tree;
	Account *account;
	Uploads *uploads; /* NULL: nothing can be written */
	Changes *changes; /* NULL: nothing can be changed */
	char *mountpoint;
	double attr_time;
	uid_t uid;
	gid_t gid;
	gint64 wait_us; /* for the server, where a program asked to wait */
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
	Listings *listings;
	Workers *workers;
	Warmer *warmer;
	Errands *errands;
	Copiers *copiers;

	GMutex lock;	     /* guards all below */
	GHashTable *storing; /* set of inode numbers whose body is being put into the page cache */
	GCond stored;
	GHashTable *handles; /* set of FsHandle; the kernel does not close what is open when the
				mount ends */
	GHashTable *halves;  /* set of ids of uploads whose writer was killed: its place is free */
	GHashTable *shown;   /* id of an upload → inode number of the draft it replaces */
	GHashTable *drafts;  /* id of an upload that is to replace a draft → FsDraft, until it is
				opened */
};

/* What is open: a body, one that is still coming in, bytes made by a view, or an upload. */
typedef struct {
	Body *body;	  /* atomic; NULL: the kernel has it, nobody needed it here yet */
	Growth *growth;	  /* or NULL */
	GBytes *bytes;	  /* or NULL */
	gboolean entered; /* into fs->backing */
	int backing;	  /* what that gave */
	Upload *upload;	  /* or NULL */
	fuse_ino_t ino;
	struct stat st; /* when it was opened: what fstat() tells when the message is gone */
	gboolean lazy;	/* opened by a process that may copy it on the server */
	gboolean writes;
	gboolean command; /* .mailfs/control */
	gboolean killed;  /* its process, before all was written perhaps */
	guint32 opener;	  /* process */
	gint dirty;	  /* atomic: bits, see fs-write.c */
} FsHandle;

typedef struct FsCall FsCall;

/* Answers the request: TRUE. Or FALSE: *later says what it has to wait for. */
typedef gboolean (*FsAnswer)(Fs *fs, const FsCall *call, TreeAnswer *later);

struct FsCall {
	const char *operation;
	FsAnswer answer;
	fuse_req_t req;
	fuse_ino_t ino;
	const char *name;
	fuse_ino_t target; /* rename: the other directory, and the name there */
	const char *target_name;
	guint flags; /* of rename() */
	mode_t mode;
	gboolean datasync;
	void (*finish)(Fs *fs, const FsCall *call); /* replies, when a change was made */
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
	char *name, *target_name; /* owned copies for those of the call */
	gint holds;		  /* atomic: it keeps notices about its inodes back */
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

/* Something this call waited for has come: tries again. A MailboxWake; @wait: from fs_put_aside().
 */
void fs_wake(gpointer wait);
void fs_reply_entry(Fs *fs, fuse_req_t req, const struct stat *st, gboolean alias);
/* How long the kernel may keep the attributes and the name of @ino: long where it will be told of
 * every change. */
double fs_keep_time(Fs *fs, fuse_ino_t ino);

/* --- open files --- */

/* @body, @growth, @bytes, @upload: owned by the handle. */
FsHandle *fs_handle_new(Fs *fs, fuse_ino_t ino, Body *body, Growth *growth, GBytes *bytes,
			Upload *upload);
void fs_handle_close(Fs *fs, FsHandle *handle);
static inline FsHandle *
fs_handle_of(const struct fuse_file_info *fi)
{
	return (FsHandle *)(uintptr_t)fi->fh;
}
/* A reply that finds the caller gone does not leave the handle behind. */
void fs_reply_open(Fs *fs, fuse_req_t req, struct fuse_file_info *fi, FsHandle *handle);

void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_count(Fs *fs, FsRequest request);
/* The attributes of a file that is open though its message is gone. */
gboolean fs_stat_of_open(Fs *fs, fuse_ino_t ino, struct stat *out);

void fs_reply_body(fuse_req_t req, const Body *body, size_t size, off_t offset);
/* The same of a file that may still grow. */
void fs_reply_file(fuse_req_t req, int fd, size_t size, off_t offset);
/* For a handle whose body nobody needed until now: fetches it, then reads. A ScanDone. */
void fs_on_late_body(gpointer wait, Body *body, const GError *error);

/* --- writing --- */

void fs_note_written(FsHandle *handle); /* its close() will have something to do */
guint32 fs_process_of(guint32 thread);	/* the process of a thread, by /proc */
gboolean fs_read_upload(Fs *fs, const FsCall *call, TreeAnswer *later); /* an FsAnswer */
gboolean fs_open_upload(Fs *fs, const FsCall *call, TreeAnswer *later); /* an FsAnswer */
void fs_close_upload(Fs *fs, FsHandle *handle);				/* takes it */
/* To be asked again when this upload's way to the server has ended. Takes @upload. */
gboolean fs_wait_for_upload(Upload *upload, TreeAnswer *later);
/* The same, after BUSY. When it is not on its way any more the call is answered now, once more and
 * for good: it would not wait at all, but run again and again. */
gboolean fs_wait_or_answer(Fs *fs, const FsCall *call, Upload *upload, TreeAnswer *later);
/* TRUE: a copy of this message is still to be made by the server, and *later waits for that. */
gboolean fs_await_copy(Fs *fs, const FsCall *call, Mailbox *mailbox, guint32 serial, guint32 uid,
		       TreeAnswer *later);
void fs_set_attributes(fuse_req_t req, fuse_ino_t ino, struct stat *attributes, int which,
		       struct fuse_file_info *fi);
void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void fs_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	      struct fuse_file_info *fi);
void fs_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* open() for writing of a message: refused, or for a draft made an open of what replaces it. */
void fs_open_message_for_writing(Fs *fs, const FsCall *call);
/* TRUE: @upload was made for this open(), which is its first writer by now. */
gboolean fs_take_draft(Fs *fs, guint32 id);
void fs_drafts_free(gpointer draft);
/* The inode number that programs see in @st: a draft keeps its own while it is replaced, for
 * editors look whether the file they write is the one they have read. The kernel's is another
 * matter. */
void fs_show_ino(Fs *fs, struct stat *st);
void fs_forget_shown(Fs *fs, guint32 id);

/* --- changing --- */

/* A ChangeDone: answers the call, or ends it by its `finish`. @user: from fs_put_aside(). */
void fs_on_change(gpointer user, const GError *error);
/* TRUE: it is answered. */
static inline gboolean
fs_reply_errno(const FsCall *call, int err)
{
	fuse_reply_err(call->req, err);
	return TRUE;
}
/* A directory that no server has. NULL: the top, no */
static inline gboolean
fs_is_local(Mailbox *mailbox)
{
	return mailbox != NULL && (mailbox_attributes(mailbox) & MAILBOX_LOCAL) != 0;
}
/* A call that names something in a directory. */
void fs_run_named(fuse_req_t req, const char *operation, FsAnswer answer,
		  void (*finish)(Fs *fs, const FsCall *call), fuse_ino_t parent, const char *name);
/* Of a mailbox; TRUE: it is, or will be, answered. */
gboolean fs_rename_mailbox(Fs *fs, const FsCall *call, const TreeName *from, const TreeName *to);

void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t target,
	       const char *target_name, unsigned flags);
void fs_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags);
void fs_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void fs_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t offset, struct fuse_file_info *fi,
			fuse_ino_t target, off_t target_offset, struct fuse_file_info *target_fi,
			size_t len, int flags);

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
