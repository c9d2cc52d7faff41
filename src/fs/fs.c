/* SPDX-License-Identifier: MIT */
/* How a request lives. A handler (a libfuse thread) describes it as a Call and tries to answer. Where the tree says "later", the call becomes a Pending:
 * it is registered with the mailbox or the body it waits for and the libfuse thread is free again. Whoever comes first claims the pending and alone
 * replies: the news it waited for (a session's thread), or the clock thread, when its patience is over or the kernel sent an INTERRUPT.
 *
 * Calls into the kernel that change its name cache (inval_entry, delete) may wait for a directory that a pending request holds. So they have a thread of their own, the notifier, which holds
 * no lock, and for which nothing waits. Only inval_inode(…, -1, 0) is allowed elsewhere. */
#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/util.h"
#include "fs/fs-errno.h"

#define MAX_THREADS	 16
#define MAX_READ	 (1024 * 1024)
#define GRACE_US	 (1 * G_USEC_PER_SEC) /* for news of what is known already */
#define FOREVER		 G_MAXINT64	      /* the account's timeout ends it */
#define PARALLEL_DIROPS	 (1u << 18)	      /* FUSE_INIT reply flag, see fs_writev() */

typedef struct Call Call;

/* Answers the request, or returns the mailbox that it has to wait for. */
typedef Mailbox *(*CallAnswer)(Fs *fs, const Call *call);

struct Call {
	const char *operation;
	CallAnswer answer;
	fuse_req_t req;
	fuse_ino_t ino;
	const char *name;
	size_t size;
	off_t offset;
	gboolean patient;
	gboolean plus;
	struct fuse_file_info fi;
};

typedef struct {
	gint refs;
	gint claimed;
	Fs *fs;
	Call call;
	char *name; /* owned copy for call.name */
	gint64 give_up;
	gboolean interrupted; /* under fs->lock */
} Pending;

typedef enum { NOTICE_DELETE, NOTICE_ENTRY } NoticeKind;

typedef struct {
	NoticeKind kind;
	fuse_ino_t parent, child;
	char *name;
} Notice;

/* What is open: a body, or a page made when it was opened. */
typedef struct {
	int fd;
	char *text;
	gsize len;
} Handle;

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
	GThread *clock, *notifier;
	GAsyncQueue *notices; /* of Notice; one with NULL name ends the thread */

	GMutex lock; /* guards all below */
	GCond wake_clock;
	GHashTable *pendings; /* set of Pending: a reference each */
	gboolean closing;
	gboolean looping; /* fs_run() is in libfuse's loop, in thread `runner` */
	GCond loop_ended;
	pthread_t runner;
	GHashTable *versions; /* directory ino → the version the kernel last opened */
};

/* --- replies ------------------------------------------------------------------------------------------------ */

/* Every failed request leaves through here: mapped once, logged once. */
static void
fail(Fs *fs, fuse_req_t req, const char *operation, const GError *error)
{
	int err = fs_errno_from_error(error);

	if (err != ENOENT && err != EINTR && err != ESTALE)
		fs->failed(fs->user, operation, error);
	fuse_reply_err(req, err);
}

static void
reply_entry(Fs *fs, fuse_req_t req, const struct stat *st, double timeout)
{
	struct fuse_entry_param entry = {
		.ino = st->st_ino,
		.generation = 1,
		.attr = *st,
		.attr_timeout = fs->attr_time,
		.entry_timeout = timeout,
	};

	fuse_reply_entry(req, &entry);
}

/* --- pendings ----------------------------------------------------------------------------------------------- */

static Pending *
pending_ref(Pending *pending)
{
	g_atomic_int_inc(&pending->refs);
	return pending;
}

static void
pending_unref(Pending *pending)
{
	if (!g_atomic_int_dec_and_test(&pending->refs))
		return;
	g_free(pending->name);
	g_free(pending);
}

/* libfuse calls this with its own lock held: note it, the clock does the rest. */
static void
on_interrupt(fuse_req_t req, void *data)
{
	Pending *pending = data;

	g_mutex_lock(&pending->fs->lock);
	pending->interrupted = TRUE;
	g_cond_signal(&pending->fs->wake_clock);
	g_mutex_unlock(&pending->fs->lock);
}

/* TRUE: the caller, and nobody else, replies to the request now. */
static gboolean
pending_claim(Pending *pending)
{
	Fs *fs = pending->fs;
	gboolean listed;

	if (!g_atomic_int_compare_and_exchange(&pending->claimed, 0, 1))
		return FALSE;
	fuse_req_interrupt_func(pending->call.req, NULL, NULL);
	g_mutex_lock(&fs->lock);
	listed = g_hash_table_remove(fs->pendings, pending);
	g_mutex_unlock(&fs->lock);
	if (listed)
		pending_unref(pending);
	return TRUE;
}

/* Puts the call aside. The caller gets a reference for whoever will wake it. */
static Pending *
pending_new(Fs *fs, const Call *call, gint64 give_up)
{
	Pending *pending = g_new0(Pending, 1);

	pending->refs = 2;
	pending->fs = fs;
	pending->call = *call;
	pending->call.name = pending->name = g_strdup(call->name);
	pending->give_up = give_up;
	g_mutex_lock(&fs->lock);
	g_hash_table_add(fs->pendings, pending);
	if (give_up != FOREVER)
		g_cond_signal(&fs->wake_clock);
	g_mutex_unlock(&fs->lock);
	fuse_req_interrupt_func(call->req, on_interrupt, pending);
	return pending;
}

static void call_run(Fs *fs, const Call *call, gint64 give_up);

static void
on_wake(gpointer user)
{
	Pending *pending = user;

	if (pending_claim(pending))
		call_run(pending->fs, &pending->call, pending->give_up);
	pending_unref(pending);
}

/* Answers, or waits and will be run again. */
static void
call_run(Fs *fs, const Call *call, gint64 give_up)
{
	Mailbox *wait_for = call->answer(fs, call);
	Pending *pending;

	if (wait_for == NULL)
		return;
	pending = pending_new(fs, call, give_up);
	if (!mailbox_wait(wait_for, on_wake, pending))
		on_wake(pending);
}

/* --- the clock ---------------------------------------------------------------------------------------------- */

static void
clock_turn(Fs *fs, GPtrArray *due, gint64 *next)
{
	gint64 now = g_get_monotonic_time();
	GHashTableIter iter;
	gpointer key;

	*next = now + 60 * G_USEC_PER_SEC;
	g_hash_table_iter_init(&iter, fs->pendings);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		Pending *pending = key;

		if (pending->interrupted || pending->give_up <= now)
			g_ptr_array_add(due, pending_ref(pending));
		else if (pending->give_up < *next)
			*next = pending->give_up;
	}
}

static void
clock_serve(Pending *pending)
{
	if (pending_claim(pending)) {
		if (pending->interrupted) {
			fuse_reply_err(pending->call.req, EINTR);
		} else {
			pending->call.patient = FALSE;
			call_run(pending->fs, &pending->call, FOREVER);
		}
	}
	pending_unref(pending);
}

static gpointer
clock_run(gpointer data)
{
	Fs *fs = data;
	g_autoptr(GPtrArray) due = g_ptr_array_new();

	g_mutex_lock(&fs->lock);
	while (!fs->closing) {
		gint64 next;

		clock_turn(fs, due, &next);
		if (due->len == 0) {
			g_cond_wait_until(&fs->wake_clock, &fs->lock, next);
			continue;
		}
		g_mutex_unlock(&fs->lock);
		for (guint i = 0; i < due->len; i++)
			clock_serve(due->pdata[i]);
		g_ptr_array_set_size(due, 0);
		g_mutex_lock(&fs->lock);
	}
	g_mutex_unlock(&fs->lock);
	return NULL;
}

/* --- names and attributes ----------------------------------------------------------------------------------- */

/* Common end of every answer from the tree: NULL when @answer was an error and is replied. */
static Mailbox *
settle(Fs *fs, const Call *call, TreeAnswer *answer)
{
	if (answer->result == TREE_LATER)
		return answer->wait_for;
	fail(fs, call->req, call->operation, answer->error);
	g_clear_error(&answer->error);
	return NULL;
}

static Mailbox *
answer_lookup(Fs *fs, const Call *call)
{
	struct stat st;
	gboolean alias;
	TreeAnswer answer = tree_lookup(fs->tree, call->ino, call->name, call->patient, &st, &alias);

	if (answer.result != TREE_OK)
		return settle(fs, call, &answer);
	reply_entry(fs, call->req, &st, alias ? 0 : fs->attr_time);
	return NULL;
}

static void
fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	Fs *fs = fuse_req_userdata(req);
	Call call = {.operation = "lookup", .answer = answer_lookup, .req = req, .ino = parent, .name = name, .patient = TRUE};

	call_run(fs, &call, g_get_monotonic_time() + GRACE_US * 60);
}

static void
fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	struct stat st;
	TreeAnswer answer = tree_stat(fs->tree, ino, &st);
	Node node;

	if (answer.result != TREE_OK) {
		fail(fs, req, "getattr", answer.error);
		g_clear_error(&answer.error);
		return;
	}
	fuse_reply_attr(req, &st, node_from_ino(ino, &node) && node.kind == NODE_CONTROL ? 0 : fs->attr_time);
}

static void
fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
	Fs *fs = fuse_req_userdata(req);
	g_autofree char *target = NULL;
	TreeAnswer answer = tree_readlink(fs->tree, ino, &target);

	if (answer.result != TREE_OK) {
		fail(fs, req, "readlink", answer.error);
		g_clear_error(&answer.error);
		return;
	}
	fuse_reply_readlink(req, target);
}

/* --- directories -------------------------------------------------------------------------------------------- */

static Mailbox *
answer_opendir(Fs *fs, const Call *call)
{
	struct fuse_file_info fi = call->fi;
	guint64 version;
	TreeAnswer answer = tree_open_directory(fs->tree, call->ino, call->patient, &version);
	gpointer seen;

	if (answer.result != TREE_OK)
		return settle(fs, call, &answer);
	g_mutex_lock(&fs->lock);
	seen = g_hash_table_lookup(fs->versions, &call->ino);
	/* The kernel's copy of the listing is good for as long as nothing changed. */
	fi.cache_readdir = TRUE;
	fi.keep_cache = seen != NULL && *(guint64 *) seen == version;
	if (!fi.keep_cache)
		g_hash_table_replace(fs->versions, g_memdup2(&call->ino, sizeof call->ino), g_memdup2(&version, sizeof version));
	g_mutex_unlock(&fs->lock);
	fuse_reply_open(call->req, &fi);
	return NULL;
}

static void
fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	Call call = {.operation = "opendir", .answer = answer_opendir, .req = req, .ino = ino, .patient = TRUE, .fi = *fi};

	call_run(fs, &call, g_get_monotonic_time() + GRACE_US);
}

typedef struct {
	Fs *fs;
	fuse_req_t req;
	char *buffer;
	size_t size, used;
	gboolean plus;
} Filling;

static gboolean
fill_entry(gpointer user, const char *name, const struct stat *st, guint64 cookie)
{
	Filling *filling = user;
	size_t left = filling->size - filling->used, need;

	if (filling->plus) {
		gboolean dot = name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
		struct fuse_entry_param entry = {
			.ino = dot ? 0 : st->st_ino,
			.generation = 1,
			.attr = *st,
			.attr_timeout = filling->fs->attr_time,
			.entry_timeout = filling->fs->attr_time,
		};

		need = fuse_add_direntry_plus(filling->req, filling->buffer + filling->used, left, name, &entry, cookie);
	} else {
		need = fuse_add_direntry(filling->req, filling->buffer + filling->used, left, name, st, cookie);
	}
	if (need > left)
		return FALSE;
	filling->used += need;
	return TRUE;
}

static Mailbox *
answer_readdir(Fs *fs, const Call *call)
{
	g_autofree char *buffer = g_malloc(call->size);
	Filling filling = {fs, call->req, buffer, call->size, 0, call->plus};
	TreeAnswer answer = tree_list(fs->tree, call->ino, call->offset, call->patient, fill_entry, &filling);

	/* What is there goes out; what it still waits for is asked for by the next call. */
	if (answer.result == TREE_OK || filling.used > 0) {
		g_clear_error(&answer.error);
		fuse_reply_buf(call->req, buffer, filling.used);
		return NULL;
	}
	return settle(fs, call, &answer);
}

static void
readdir_common(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, gboolean plus)
{
	Fs *fs = fuse_req_userdata(req);
	Call call = {
		.operation = "readdir",
		.answer = answer_readdir,
		.req = req,
		.ino = ino,
		.size = size,
		.offset = offset,
		.patient = TRUE,
		.plus = plus,
	};

	call_run(fs, &call, FOREVER);
}

static void
fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	readdir_common(req, ino, size, offset, FALSE);
}

static void
fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	readdir_common(req, ino, size, offset, TRUE);
}

static void
fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
}

/* --- files -------------------------------------------------------------------------------------------------- */

static void
handle_free(Handle *handle)
{
	util_close_fd(&handle->fd);
	g_free(handle->text);
	g_free(handle);
}

static Handle *
handle_of(const struct fuse_file_info *fi)
{
	return (Handle *) (uintptr_t) fi->fh;
}

/* A reply that finds the caller gone must not leave the handle behind. */
static void
reply_open(fuse_req_t req, struct fuse_file_info *fi, Handle *handle)
{
	fi->fh = (uintptr_t) handle;
	if (fuse_reply_open(req, fi) == -ENOENT)
		handle_free(handle);
}

static void
on_body(gpointer user, int fd, guint64 size, const GError *error)
{
	Pending *pending = user;
	Fs *fs = pending->fs;
	struct fuse_file_info fi = pending->call.fi;
	MessageView message = {0};
	Mailbox *mailbox;
	Node node;

	if (!pending_claim(pending)) {
		util_close_fd(&fd);
	} else if (fd < 0) {
		fail(fs, pending->call.req, "open", error);
	} else {
		Handle *handle = g_new0(Handle, 1);

		handle->fd = fd;
		/* st_size is what read() returns: where the kernel may hold another number, it forgets it before open() returns. */
		mailbox = tree_mailbox_of_message(fs->tree, pending->call.ino, &node);
		if (mailbox == NULL || !mailbox_get(mailbox, node.serial, node.uid, &message) || message.resized)
			fuse_lowlevel_notify_inval_inode(fs->session, pending->call.ino, -1, 0);
		fi.keep_cache = TRUE;
		fi.noflush = TRUE;
		reply_open(pending->call.req, &fi, handle);
	}
	pending_unref(pending);
}

static void
open_page(Fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Handle *handle = g_new0(Handle, 1);

	handle->fd = -1;
	handle->text = tree_page(fs->tree, ino);
	if (handle->text == NULL) {
		handle_free(handle);
		fuse_reply_err(req, ENOENT);
		return;
	}
	handle->len = strlen(handle->text);
	fi->direct_io = TRUE;
	reply_open(req, fi, handle);
}

static void
fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	Call call = {.operation = "open", .req = req, .ino = ino, .fi = *fi};
	Mailbox *mailbox;
	Node node;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0) {
		fuse_reply_err(req, EROFS);
		return;
	}
	mailbox = tree_mailbox_of_message(fs->tree, ino, &node);
	if (mailbox != NULL)
		mailbox_open(mailbox, node.serial, node.uid, fuse_req_ctx(req)->pid, on_body, pending_new(fs, &call, FOREVER));
	else if (node.kind == NODE_CONTROL)
		open_page(fs, req, ino, fi);
	else
		fuse_reply_err(req, ESTALE);
}

static void
fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const Handle *handle = handle_of(fi);
	g_autofree char *buffer = NULL;
	ssize_t n;

	if (handle->fd < 0) {
		gsize from = MIN((gsize) offset, handle->len);

		fuse_reply_buf(req, handle->text + from, MIN(size, handle->len - from));
		return;
	}
	size = MIN(size, MAX_READ);
	buffer = g_malloc(size);
	n = pread(handle->fd, buffer, size, offset);
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, buffer, n);
}

static void
fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	handle_free(handle_of(fi));
	fuse_reply_err(req, 0);
}

static void
fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	Fs *fs = fuse_req_userdata(req);
	struct statvfs st;

	tree_statvfs(fs->tree, &st);
	fuse_reply_statfs(req, &st);
}

/* --- extended attributes ------------------------------------------------------------------------------------ */

static void
reply_xattr(fuse_req_t req, const char *value, size_t len, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, len);
	else if (len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value, len);
}

static void
on_header(gpointer user, const char *header, gsize len, const GError *error)
{
	Pending *pending = user;
	g_autofree char *value = NULL;

	if (pending_claim(pending)) {
		if (error != NULL) {
			fail(pending->fs, pending->call.req, "getxattr", error);
		} else {
			value = tree_xattr_from_header(pending->fs->tree, pending->call.name, header, len);
			if (value == NULL)
				fuse_reply_err(pending->call.req, ENODATA);
			else
				reply_xattr(pending->call.req, value, strlen(value), pending->call.size);
		}
	}
	pending_unref(pending);
}

static void
fs_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	Fs *fs = fuse_req_userdata(req);
	Call call = {.operation = "getxattr", .req = req, .ino = ino, .name = name, .size = size};
	g_autofree char *value = NULL;
	Mailbox *mailbox;
	Node node;

	/* Not ENODATA: ls and cp ask for ACLs and labels of every file until they hear that there are none. */
	if (!g_str_has_prefix(name, "user.")) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	switch (tree_xattr(fs->tree, ino, name, &value)) {
	case TREE_XATTR_VALUE:
		reply_xattr(req, value, strlen(value), size);
		break;
	case TREE_XATTR_NONE:
		fuse_reply_err(req, ENODATA);
		break;
	case TREE_XATTR_NEEDS_HEADER:
		mailbox = tree_mailbox_of_message(fs->tree, ino, &node);
		if (mailbox == NULL)
			fuse_reply_err(req, ESTALE);
		else
			mailbox_header(mailbox, node.serial, node.uid, on_header, pending_new(fs, &call, FOREVER));
		break;
	}
}

static void
fs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	Fs *fs = fuse_req_userdata(req);
	const char *const *names = tree_xattr_names();
	g_autoptr(GString) list = g_string_new(NULL);
	Node node;

	if (tree_mailbox_of_message(fs->tree, ino, &node) != NULL)
		for (guint i = 0; names[i] != NULL; i++)
			g_string_append_len(list, names[i], strlen(names[i]) + 1);
	reply_xattr(req, list->str, list->len, size);
}

/* --- what cannot be done ------------------------------------------------------------------------------------ */

static void
fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	fuse_reply_err(req, EROFS);
}

static void
fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	fuse_reply_err(req, EROFS);
}

static void
fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	fuse_reply_err(req, EROFS);
}

static void
fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EROFS);
}

static void
fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EROFS);
}

static void
fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name, unsigned int flags)
{
	fuse_reply_err(req, EROFS);
}

static void
fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	fuse_reply_err(req, EROFS);
}

static void
fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	fuse_reply_err(req, EROFS);
}

static void
fs_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	fuse_reply_err(req, g_str_has_prefix(name, "user.") ? EROFS : EOPNOTSUPP);
}

static void
fs_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	fuse_reply_err(req, g_str_has_prefix(name, "user.") ? EROFS : EOPNOTSUPP);
}

/* --- the notifier ------------------------------------------------------------------------------------------- */

static void
notice_free(gpointer data)
{
	Notice *notice = data;

	g_free(notice->name);
	g_free(notice);
}

static gpointer
notifier_run(gpointer data)
{
	Fs *fs = data;

	for (;;) {
		Notice *notice = g_async_queue_pop(fs->notices);
		gboolean end = notice->name == NULL;

		/* -ENOENT: the kernel does not know the name, which is just as well. */
		if (!end && notice->kind == NOTICE_DELETE)
			fuse_lowlevel_notify_delete(fs->session, notice->parent, notice->child, notice->name, strlen(notice->name));
		else if (!end)
			fuse_lowlevel_notify_inval_entry(fs->session, notice->parent, notice->name, strlen(notice->name));
		notice_free(notice);
		if (end)
			return NULL;
	}
}

static void
notice(Fs *fs, NoticeKind kind, fuse_ino_t parent, fuse_ino_t child, const char *name)
{
	Notice *notice = g_new0(Notice, 1);

	*notice = (Notice){kind, parent, child, g_strdup(name)};
	g_async_queue_push(fs->notices, notice);
}

static void
forget_attributes(Fs *fs, fuse_ino_t ino)
{
	if (fs->mounted)
		fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
}

void
fs_listing_changed(Fs *fs, Mailbox *mailbox)
{
	forget_attributes(fs, node_ino_of_directory(mailbox_directory(mailbox)));
}

void
fs_message_gone(Fs *fs, Mailbox *mailbox, guint32 serial, guint32 uid, const char *name)
{
	if (fs->mounted)
		notice(fs, NOTICE_DELETE, node_ino_of_directory(mailbox_directory(mailbox)), node_ino_of_message(serial, uid), name);
}

void
fs_message_changed(Fs *fs, guint32 serial, guint32 uid)
{
	forget_attributes(fs, node_ino_of_message(serial, uid));
}

void
fs_directory_void(Fs *fs, Mailbox *mailbox)
{
	if (fs->mounted)
		notice(fs, NOTICE_ENTRY, node_ino_of_directory(mailbox_parent(mailbox)), 0, mailbox_file_name(mailbox));
}

void
fs_folders_changed(Fs *fs)
{
	forget_attributes(fs, NODE_ROOT_INO);
}

guint
fs_waiting(Fs *fs)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);

	return g_hash_table_size(fs->pendings);
}

/* --- life --------------------------------------------------------------------------------------------------- */

static void
fs_init(void *userdata, struct fuse_conn_info *connection)
{
	static const unsigned unwanted = FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ |
					 FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE;
	static const unsigned wanted = FUSE_CAP_READDIRPLUS | FUSE_CAP_ASYNC_READ | FUSE_CAP_AUTO_INVAL_DATA |
				       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS;

	connection->want &= ~unwanted;
	connection->want |= wanted & connection->capable;
	connection->max_background = 64;
	connection->time_gran = 1;
}

/* libfuse before 3.17 never passes FUSE_PARALLEL_DIROPS on to the kernel, which then lets one waiting LOOKUP hold up its whole directory. The first reply
 * of a session is the one to INIT: its flags are the fourth 32-bit word. */
static ssize_t
fs_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	Fs *fs = userdata;

	if (count > 1 && iov[1].iov_len >= 40 && g_atomic_int_compare_and_exchange(&fs->init_seen, 0, 1)) {
		guint32 *words = iov[1].iov_base;

		words[3] |= PARALLEL_DIROPS;
	}
	return writev(fd, iov, count);
}

static ssize_t
fs_device_read(int fd, void *buffer, size_t len, void *userdata)
{
	return read(fd, buffer, len);
}

static const struct fuse_lowlevel_ops operations = {
	.init = fs_init,
	.lookup = fs_lookup,
	.getattr = fs_getattr,
	.setattr = fs_setattr,
	.readlink = fs_readlink,
	.mknod = fs_mknod,
	.mkdir = fs_mkdir,
	.unlink = fs_unlink,
	.rmdir = fs_unlink,
	.symlink = fs_symlink,
	.rename = fs_rename,
	.link = fs_link,
	.open = fs_open,
	.read = fs_read,
	.release = fs_release,
	.opendir = fs_opendir,
	.readdir = fs_readdir,
	.readdirplus = fs_readdirplus,
	.releasedir = fs_releasedir,
	.statfs = fs_statfs,
	.setxattr = fs_setxattr,
	.getxattr = fs_getxattr,
	.listxattr = fs_listxattr,
	.removexattr = fs_removexattr,
	.create = fs_create,
};

static struct fuse_session *
session_new(Fs *fs, const FsConfig *config)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	g_autoptr(GString) options = g_string_new("subtype=mailfs,default_permissions,nosuid,nodev,noexec,fsname=");
	struct fuse_session *session;

	for (const char *p = config->source; *p != '\0'; p++) {
		if (*p == ',' || *p == '\\')
			g_string_append_c(options, '\\');
		g_string_append_c(options, *p);
	}
	if (config->allow_other)
		g_string_append(options, ",allow_other");
	for (guint i = 0; config->fuse_options != NULL && i < config->fuse_options->len; i++)
		g_string_append_printf(options, ",%s", (const char *) config->fuse_options->pdata[i]);
	fuse_opt_add_arg(&args, "mailfs");
	fuse_opt_add_arg(&args, "-o");
	fuse_opt_add_arg(&args, options->str);
	session = fuse_session_new(&args, &operations, sizeof operations, fs);
	fuse_opt_free_args(&args);
	return session;
}

Fs *
fs_new(const FsConfig *config, GError **error)
{
	Fs *fs = g_new0(Fs, 1);

	fs->tree = config->tree;
	fs->account = config->account;
	fs->mountpoint = g_strdup(config->mountpoint);
	fs->attr_time = config->attr_time;
	fs->failed = config->failed;
	fs->user = config->user;
	g_mutex_init(&fs->lock);
	g_cond_init(&fs->wake_clock);
	g_cond_init(&fs->loop_ended);
	fs->pendings = g_hash_table_new(NULL, NULL);
	fs->versions = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	fs->notices = g_async_queue_new_full(notice_free);
	fs->session = session_new(fs, config);
	if (fs->session == NULL) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE, "libfuse does not accept these mount options (see above)");
		fs_free(fs);
		return NULL;
	}
	return fs;
}

gboolean
fs_mount(Fs *fs, GError **error)
{
	static const struct fuse_custom_io io = {.writev = fs_writev, .read = fs_device_read};

	if (fuse_session_mount(fs->session, fs->mountpoint) != 0) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_MOUNTPOINT,
			    "cannot mount on %s (the lines above say why; is /dev/fuse there and fuse3 installed?)", fs->mountpoint);
		return FALSE;
	}
	if (fuse_version() < 317)
		fuse_session_custom_io(fs->session, &io, fuse_session_fd(fs->session));
	fs->clock = g_thread_new("clock", clock_run, fs);
	fs->notifier = g_thread_new("notifier", notifier_run, fs);
	fs->mounted = TRUE;
	return TRUE;
}

static void
on_nudge(int number)
{
}

static void
set_looping(Fs *fs, gboolean looping)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);

	fs->looping = looping;
	fs->runner = pthread_self();
	g_cond_broadcast(&fs->loop_ended);
}

gboolean
fs_run(Fs *fs)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct sigaction nudge = {.sa_handler = on_nudge};
	int result;

	sigaction(SIGUSR2, &nudge, NULL);
	fuse_loop_cfg_set_max_threads(config, MAX_THREADS);
	fuse_loop_cfg_set_idle_threads(config, G_MAXUINT);
	set_looping(fs, TRUE);
	result = fuse_session_loop_mt(fs->session, config);
	set_looping(fs, FALSE);
	fuse_loop_cfg_destroy(config);
	return result == 0 || g_atomic_int_get(&fs->stopping);
}

/* The loop's main thread sleeps on a semaphore and looks at the session's end only when a signal interrupts that; one that comes just before it falls
 * asleep is lost, hence the repetition. */
static void
end_loop(Fs *fs)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);

	while (fs->looping) {
		pthread_kill(fs->runner, SIGUSR2);
		g_cond_wait_until(&fs->loop_ended, &fs->lock, g_get_monotonic_time() + 20 * G_TIME_SPAN_MILLISECOND);
	}
}

void
fs_stop(Fs *fs)
{
	char *argv[] = {(char *) "fusermount3", (char *) "-u", (char *) "-z", (char *) "-q", (char *) "--", fs->mountpoint, NULL};

	if (!g_atomic_int_compare_and_exchange(&fs->stopping, 0, 1))
		return;
	fuse_session_exit(fs->session);
	if (umount2(fs->mountpoint, MNT_DETACH) != 0)
		g_spawn_sync("/", argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	end_loop(fs);
}

void
fs_free(Fs *fs)
{
	if (fs == NULL)
		return;
	if (fs->mounted) {
		Notice *end = g_new0(Notice, 1);

		g_mutex_lock(&fs->lock);
		fs->closing = TRUE;
		g_cond_signal(&fs->wake_clock);
		g_mutex_unlock(&fs->lock);
		g_async_queue_push(fs->notices, end);
		g_thread_join(fs->clock);
		g_thread_join(fs->notifier);
		fuse_session_unmount(fs->session);
	}
	if (fs->session != NULL)
		fuse_session_destroy(fs->session);
	g_async_queue_unref(fs->notices);
	g_hash_table_unref(fs->pendings);
	g_hash_table_unref(fs->versions);
	g_mutex_clear(&fs->lock);
	g_cond_clear(&fs->wake_clock);
	g_cond_clear(&fs->loop_ended);
	g_free(fs->mountpoint);
	g_free(fs);
}
