/* SPDX-License-Identifier: MIT */
/* How a request lives. A handler (a libfuse thread) describes it as a Call and tries to answer.
 * Where the tree says "later", the call is put aside (patience.h), registered with the mailbox or
 * the body it waits for, and the libfuse thread is free again. Whoever claims it first replies: the
 * news it waited for, on a session's thread, or the clock, when its patience is over or the kernel
 * sent an INTERRUPT.
 *
 * Calls into the kernel that change its name cache go by notices.h; only inval_inode(…, -1, 0) is
 * allowed anywhere. */
#include "fs/fs-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fs/fs-errno.h"

#define STORE_MAX (128 * 1024) /* bodies up to here are in the page cache when open() returns */
#define MAX_READ  (1024 * 1024)
#define GRACE_US  (1 * G_USEC_PER_SEC) /* for news of what is known already */

typedef struct Call Call;

/* Answers the request: TRUE. Or FALSE: *later says what it has to wait for. */
typedef gboolean (*CallAnswer)(Fs *fs, const Call *call, TreeAnswer *later);

struct Call {
	const char *operation;
	CallAnswer answer;
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
	Call call;
	char *name; /* owned copy for call.name */
} Pending;

/* What is open: a body, or bytes made by a view. */
typedef struct {
	int fd;
	GBytes *bytes; /* NULL: see fd */
	fuse_ino_t ino;
	struct stat st; /* when it was opened: what fstat() tells when the message is gone */
} Handle;

/* --- replies
 * ------------------------------------------------------------------------------------------------
 */

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

/* --- calls that wait ------------------------------------------------------------------- */

static void
pending_free(gpointer data)
{
	Pending *pending = data;

	g_free(pending->name);
	g_free(pending);
}

/* libfuse calls this with its own lock held: the clock does the rest. */
static void
on_interrupt(fuse_req_t req, void *data)
{
	wait_interrupt(data);
}

/* The call, when the caller is the one who replies to it; else NULL. */
static Pending *
pending_claim(Wait *wait)
{
	Pending *pending = wait_data(wait);

	if (!wait_claim(wait))
		return NULL;
	fuse_req_interrupt_func(pending->call.req, NULL, NULL);
	return pending;
}

/* Puts the call aside. The caller hands the result to whoever will bring the news. */
static Wait *
pending_new(Fs *fs, const Call *call, gint64 give_up)
{
	Pending *pending = g_new0(Pending, 1);
	Wait *wait;

	pending->fs = fs;
	pending->call = *call;
	pending->call.name = pending->name = g_strdup(call->name);
	wait = patience_add(fs->patience, give_up, pending, pending_free);
	fuse_req_interrupt_func(call->req, on_interrupt, wait);
	return wait;
}

static void call_run(Fs *fs, const Call *call, gint64 give_up);

static void
on_wake(gpointer user)
{
	Wait *wait = user;
	Pending *pending = pending_claim(wait);

	if (pending != NULL)
		call_run(pending->fs, &pending->call, wait_give_up(wait));
	wait_unref(wait);
}

/* Answers, or waits and will be run again. */
static void
call_run(Fs *fs, const Call *call, gint64 give_up)
{
	TreeAnswer later;
	Wait *wait;

	if (call->answer(fs, call, &later))
		return;
	wait = pending_new(fs, call, give_up);
	if (!later.wait(later.wait_for, on_wake, wait))
		on_wake(wait);
}

/* The clock has claimed it. */
void
fs_over(gpointer data, gboolean interrupted)
{
	Pending *pending = data;

	fuse_req_interrupt_func(pending->call.req, NULL, NULL);
	if (interrupted) {
		fuse_reply_err(pending->call.req, EINTR);
		return;
	}
	pending->call.patient = FALSE;
	call_run(pending->fs, &pending->call, PATIENCE_FOREVER);
}

/* --- names and attributes
 * ----------------------------------------------------------------------------------- */

/* Common end of every answer from the tree that is not TREE_OK: an error is replied. */
static gboolean
settle(Fs *fs, const Call *call, TreeAnswer *answer, TreeAnswer *later)
{
	if (answer->result == TREE_LATER) {
		*later = *answer;
		return FALSE;
	}
	fail(fs, call->req, call->operation, answer->error);
	g_clear_error(&answer->error);
	return TRUE;
}

static gboolean
answer_lookup(Fs *fs, const Call *call, TreeAnswer *later)
{
	struct stat st;
	gboolean alias;
	TreeAnswer answer =
		tree_lookup(fs->tree, call->ino, call->name, call->patient, &st, &alias);

	if (answer.result != TREE_OK)
		return settle(fs, call, &answer, later);
	reply_entry(fs, call->req, &st, alias ? 0 : fs->attr_time);
	return TRUE;
}

static void
fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	Fs *fs = fuse_req_userdata(req);
	Call call = {.operation = "lookup",
		     .answer = answer_lookup,
		     .req = req,
		     .ino = parent,
		     .name = name,
		     .patient = TRUE};

	call_run(fs, &call, g_get_monotonic_time() + GRACE_US * 60);
}

static gboolean stat_of_open(Fs *fs, fuse_ino_t ino, struct stat *out);

static void
fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	struct stat st;
	TreeAnswer answer = tree_stat(fs->tree, ino, &st);
	Node node;

	if (answer.result != TREE_OK && !stat_of_open(fs, ino, &st)) {
		fail(fs, req, "getattr", answer.error);
		g_clear_error(&answer.error);
		return;
	}
	g_clear_error(&answer.error);
	fuse_reply_attr(req, &st,
			node_from_ino(ino, &node) && node.kind == NODE_CONTROL ? 0 : fs->attr_time);
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

/* --- directories
 * -------------------------------------------------------------------------------------------- */

static gboolean
answer_opendir(Fs *fs, const Call *call, TreeAnswer *later)
{
	struct fuse_file_info fi = call->fi;
	guint64 version;
	TreeAnswer answer = tree_open_directory(fs->tree, call->ino, call->patient, &version);
	gpointer seen;

	if (answer.result != TREE_OK)
		return settle(fs, call, &answer, later);
	g_mutex_lock(&fs->lock);
	seen = g_hash_table_lookup(fs->versions, &call->ino);
	/* The kernel's copy of the listing is good for as long as nothing changed. */
	fi.cache_readdir = TRUE;
	fi.keep_cache = seen != NULL && *(guint64 *)seen == version;
	if (!fi.keep_cache)
		g_hash_table_replace(fs->versions, g_memdup2(&call->ino, sizeof call->ino),
				     g_memdup2(&version, sizeof version));
	g_mutex_unlock(&fs->lock);
	fuse_reply_open(call->req, &fi);
	return TRUE;
}

static void
fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	Call call = {.operation = "opendir",
		     .answer = answer_opendir,
		     .req = req,
		     .ino = ino,
		     .patient = TRUE,
		     .fi = *fi};

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
		gboolean dot =
			name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
		struct fuse_entry_param entry = {
			.ino = dot ? 0 : st->st_ino,
			.generation = 1,
			.attr = *st,
			.attr_timeout = filling->fs->attr_time,
			.entry_timeout = filling->fs->attr_time,
		};

		need = fuse_add_direntry_plus(filling->req, filling->buffer + filling->used, left,
					      name, &entry, cookie);
	} else {
		need = fuse_add_direntry(filling->req, filling->buffer + filling->used, left, name,
					 st, cookie);
	}
	if (need > left)
		return FALSE;
	filling->used += need;
	return TRUE;
}

static gboolean
answer_readdir(Fs *fs, const Call *call, TreeAnswer *later)
{
	g_autofree char *buffer = g_malloc(call->size);
	Filling filling = {fs, call->req, buffer, call->size, 0, call->plus};
	TreeAnswer answer =
		tree_list(fs->tree, call->ino, call->offset, call->patient, fill_entry, &filling);

	/* What is there goes out; what it still waits for is asked for by the next call. */
	if (answer.result == TREE_OK || filling.used > 0) {
		g_clear_error(&answer.error);
		fuse_reply_buf(call->req, buffer, filling.used);
		return TRUE;
	}
	return settle(fs, call, &answer, later);
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

	call_run(fs, &call, PATIENCE_FOREVER);
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

/* --- files
 * --------------------------------------------------------------------------------------------------
 */

/* @fd, @bytes: owned by the handle. */
static Handle *
handle_new(Fs *fs, fuse_ino_t ino, int fd, GBytes *bytes)
{
	Handle *handle = g_new0(Handle, 1);
	TreeAnswer answer = tree_stat(fs->tree, ino, &handle->st);

	g_clear_error(&answer.error);
	handle->ino = ino;
	handle->fd = fd;
	handle->bytes = bytes;
	g_mutex_lock(&fs->lock);
	g_hash_table_add(fs->handles, handle);
	g_mutex_unlock(&fs->lock);
	return handle;
}

void
fs_handle_free(gpointer data)
{
	Handle *handle = data;

	util_close_fd(&handle->fd);
	g_clear_pointer(&handle->bytes, g_bytes_unref);
	g_free(handle);
}

static void
handle_close(Fs *fs, Handle *handle)
{
	g_mutex_lock(&fs->lock);
	g_hash_table_steal(fs->handles, handle);
	g_mutex_unlock(&fs->lock);
	fs_handle_free(handle);
}

/* The attributes of a file that is open though its message is gone. */
static gboolean
stat_of_open(Fs *fs, fuse_ino_t ino, struct stat *out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, fs->handles);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		const Handle *handle = key;

		if (handle->ino == ino && handle->st.st_ino == ino) {
			*out = handle->st;
			return TRUE;
		}
	}
	return FALSE;
}

static Handle *
handle_of(const struct fuse_file_info *fi)
{
	return (Handle *)(uintptr_t)fi->fh;
}

/* A reply that finds the caller gone must not leave the handle behind. */
static void
reply_open(Fs *fs, fuse_req_t req, struct fuse_file_info *fi, Handle *handle)
{
	fi->fh = (uintptr_t)handle;
	if (fuse_reply_open(req, fi) == -ENOENT)
		handle_close(fs, handle);
}

/* Puts a small body into the page cache before open() returns: the READ that would follow costs the
 * reader more than all of open(). */
static void
store_body(Fs *fs, fuse_ino_t ino, int fd, gsize size)
{
	g_autofree char *body = g_malloc(size);
	struct fuse_bufvec buffers = FUSE_BUFVEC_INIT(size);

	if (pread(fd, body, size, 0) != (ssize_t)size)
		return;
	buffers.buf[0].mem = body;
	fuse_lowlevel_notify_store(fs->session, ino, 0, &buffers, 0);
}

/* TRUE: nobody has opened this message in this mount, and whoever does now waits for end_storing().
 * So no page of it can be locked by a READ that waits for a thread of ours, and storing it cannot
 * block. */
static gboolean
begin_storing(Fs *fs, fuse_ino_t ino, Mailbox *mailbox, const Node *node)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);

	if (mailbox_first_open(mailbox, node->serial, node->uid)) {
		g_hash_table_add(fs->storing, g_memdup2(&ino, sizeof ino));
		return TRUE;
	}
	while (g_hash_table_contains(fs->storing, &ino))
		g_cond_wait(&fs->stored, &fs->lock);
	return FALSE;
}

static void
end_storing(Fs *fs, fuse_ino_t ino)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);

	g_hash_table_remove(fs->storing, &ino);
	g_cond_broadcast(&fs->stored);
}

/* What the kernel has to be told of a message before its open() returns. */
static void
prepare_kernel(Fs *fs, fuse_ino_t ino, int fd, gsize size)
{
	MessageView message;
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(fs->tree, ino, &node);

	/* st_size is what read() returns: where the kernel may hold another number, it forgets it.
	 */
	if (mailbox == NULL || !mailbox_get(mailbox, node.serial, node.uid, &message) ||
	    message.resized) {
		fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
	} else if (size > 0 && size <= STORE_MAX && begin_storing(fs, ino, mailbox, &node)) {
		store_body(fs, ino, fd, size);
		end_storing(fs, ino);
	}
}

static void
on_body(gpointer user, int fd, guint64 size, const GError *error)
{
	Wait *wait = user;
	Pending *pending = pending_claim(wait);

	if (pending == NULL) {
		util_close_fd(&fd);
	} else if (fd < 0) {
		fail(pending->fs, pending->call.req, "open", error);
	} else {
		Fs *fs = pending->fs;
		struct fuse_file_info fi = pending->call.fi;

		prepare_kernel(fs, pending->call.ino, fd, size);
		fi.keep_cache = TRUE;
		fi.noflush = TRUE;
		reply_open(fs, pending->call.req, &fi, handle_new(fs, pending->call.ino, fd, NULL));
	}
	wait_unref(wait);
}

/* A file that is no message. */
static gboolean
answer_open(Fs *fs, const Call *call, TreeAnswer *later)
{
	struct fuse_file_info fi = call->fi;
	TreeContent content;
	TreeAnswer answer =
		tree_content(fs->tree, call->ino, call->reader, call->patient, &content);

	if (answer.result != TREE_OK)
		return settle(fs, call, &answer, later);
	fi.direct_io = content.fresh;
	fi.keep_cache = !content.fresh;
	fi.noflush = TRUE;
	if (!content.fresh)
		fuse_lowlevel_notify_inval_inode(fs->session, call->ino, -1, 0);
	reply_open(fs, call->req, &fi, handle_new(fs, call->ino, content.fd, content.bytes));
	return TRUE;
}

static void
fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	Call call = {
		.operation = "open",
		.answer = answer_open,
		.req = req,
		.ino = ino,
		.patient = TRUE,
		.reader = fuse_req_ctx(req)->pid,
		.fi = *fi,
	};
	Mailbox *mailbox;
	Node node;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0) {
		fuse_reply_err(req, EROFS);
		return;
	}
	mailbox = tree_mailbox_of_message(fs->tree, ino, &node);
	if (mailbox != NULL)
		mailbox_open(mailbox, node.serial, node.uid, call.reader, on_body,
			     pending_new(fs, &call, PATIENCE_FOREVER));
	else if (node.kind == NODE_MESSAGE)
		fuse_reply_err(req, ESTALE);
	else
		call_run(fs, &call, PATIENCE_FOREVER);
}

static void
fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const Handle *handle = handle_of(fi);
	g_autofree char *buffer = NULL;
	ssize_t n;

	if (handle->bytes != NULL) {
		/* The reader may have it, and be gone, before the write that gives it returns. */
		g_autoptr(GBytes) bytes = g_bytes_ref(handle->bytes);
		gsize len;
		const char *data = g_bytes_get_data(bytes, &len);
		gsize from = MIN((gsize)offset, len);

		fuse_reply_buf(req, data + from, MIN(size, len - from));
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
	handle_close(fuse_req_userdata(req), handle_of(fi));
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

/* --- extended attributes
 * ------------------------------------------------------------------------------------ */

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
	Wait *wait = user;
	Pending *pending = pending_claim(wait);

	if (pending != NULL && error != NULL) {
		fail(pending->fs, pending->call.req, "getxattr", error);
	} else if (pending != NULL) {
		g_autofree char *value =
			tree_xattr_from_header(pending->fs->tree, pending->call.name, header, len);

		if (value == NULL)
			fuse_reply_err(pending->call.req, ENODATA);
		else
			reply_xattr(pending->call.req, value, strlen(value), pending->call.size);
	}
	wait_unref(wait);
}

static void
fs_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	Fs *fs = fuse_req_userdata(req);
	Call call = {.operation = "getxattr", .req = req, .ino = ino, .name = name, .size = size};
	g_autofree char *value = NULL;
	Mailbox *mailbox;
	Node node;

	/* Not ENODATA: ls and cp ask for ACLs and labels of every file until they hear that there
	 * are none. */
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
			mailbox_header(mailbox, node.serial, node.uid, on_header,
				       pending_new(fs, &call, PATIENCE_FOREVER));
		break;
	}
}

static void
fs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	Fs *fs = fuse_req_userdata(req);
	const char *name = tree_xattr_listed(fs->tree, ino);

	reply_xattr(req, name, name != NULL ? strlen(name) + 1 : 0, size);
}

/* A change never gets here: the mount is read-only (fs-mount.c), the kernel answers EROFS. */
const struct fuse_lowlevel_ops fs_operations = {
	.init = fs_init,
	.lookup = fs_lookup,
	.getattr = fs_getattr,
	.readlink = fs_readlink,
	.open = fs_open,
	.read = fs_read,
	.release = fs_release,
	.opendir = fs_opendir,
	.readdir = fs_readdir,
	.readdirplus = fs_readdirplus,
	.releasedir = fs_releasedir,
	.statfs = fs_statfs,
	.getxattr = fs_getxattr,
	.listxattr = fs_listxattr,
};
