/* SPDX-License-Identifier: MIT */
/* Open files: handles, and how their bytes get to the reader. */
#include "fs/fs-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define STORE_MAX (128 * 1024) /* bodies up to here are in the page cache when open() returns */
#define MAX_READ  (1024 * 1024)

FsHandle *
fs_handle_new(Fs *fs, fuse_ino_t ino, Body *body, Growth *growth, GBytes *bytes, Upload *upload)
{
	FsHandle *handle = g_new0(FsHandle, 1);
	TreeAnswer answer = tree_stat(fs->tree, ino, &handle->st);

	g_clear_error(&answer.error);
	handle->ino = ino;
	handle->body = body;
	handle->growth = growth;
	handle->bytes = bytes;
	handle->upload = upload;
	g_mutex_lock(&fs->lock);
	g_hash_table_add(fs->handles, handle);
	g_mutex_unlock(&fs->lock);
	return handle;
}

void
fs_handle_free(gpointer data)
{
	FsHandle *handle = data;

	g_clear_pointer(&handle->body, body_unref);
	g_clear_pointer(&handle->growth, growth_leave);
	g_clear_pointer(&handle->bytes, g_bytes_unref);
	g_clear_pointer(&handle->upload, upload_unref);
	g_free(handle);
}

void
fs_handle_close(Fs *fs, FsHandle *handle)
{
	if (handle->entered)
		backing_leave(fs->backing, handle->ino);
	g_mutex_lock(&fs->lock);
	g_hash_table_steal(fs->handles, handle);
	g_mutex_unlock(&fs->lock);
	fs_handle_free(handle);
}

gboolean
fs_stat_of_open(Fs *fs, fuse_ino_t ino, struct stat *out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, fs->handles);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		const FsHandle *handle = key;

		if (handle->ino == ino && handle->st.st_ino == ino) {
			*out = handle->st;
			if (handle->upload != NULL)
				tree_stat_upload(fs->tree, handle->upload, out);
			return TRUE;
		}
	}
	return FALSE;
}

void
fs_reply_open(Fs *fs, fuse_req_t req, struct fuse_file_info *fi, FsHandle *handle)
{
	fi->fh = (uintptr_t)handle;
	if ((handle->backing > 0 ? fs_passthrough_reply(req, handle, handle->backing)
				 : fuse_reply_open(req, fi)) != -ENOENT)
		return;
	if (handle->upload != NULL && handle->writes)
		fs_close_upload(fs, handle);
	else
		fs_handle_close(fs, handle);
}

static gboolean
is_storable(const Body *body)
{
	return body_size(body) > 0 && body_size(body) <= STORE_MAX;
}

/* Puts a small body into the page cache before open() returns: the READ that would follow costs the
 * reader more than all of open(). */
static void
store_body(Fs *fs, Mailbox *mailbox, const Node *node, const Body *body)
{
	gsize size = body_size(body);
	g_autofree char *octets = g_malloc(size);
	struct fuse_bufvec buffers = FUSE_BUFVEC_INIT(size);

	if (body_read(body, octets, size, 0) != (gssize)size)
		return;
	buffers.buf[0].mem = octets;
	if (fuse_lowlevel_notify_store(fs->session, node_ino_of_message(node->serial, node->uid), 0,
				       &buffers, 0) == 0)
		mailbox_set_stored(mailbox, node->serial, node->uid);
}

/* No request waits for the warmer's thread, so a page that is locked by a READ may hold it up. */
gboolean
fs_warm(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid)
{
	Fs *fs = user;
	Node node = {.kind = NODE_MESSAGE, .serial = serial, .uid = uid};
	g_autoptr(Body) body = NULL;
	MessageView message;

	if (!mailbox_get(mailbox, serial, uid, &message) || message.resized ||
	    message.size > STORE_MAX)
		return TRUE;
	if (!mailbox_first_open(mailbox, serial, uid))
		return FALSE;
	body = mailbox_open_cached(mailbox, serial, uid);
	if (body != NULL && is_storable(body))
		store_body(fs, mailbox, &node, body);
	return TRUE;
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

/* What the kernel has to be told of a message before its open() returns. @body NULL: it is still
 * coming in. */
static void
prepare_kernel(Fs *fs, fuse_ino_t ino, const Body *body)
{
	MessageView message;
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(fs->tree, ino, &node);

	/* st_size is what read() returns: where the kernel may hold another number, it forgets it.
	 */
	if (mailbox == NULL || !mailbox_get(mailbox, node.serial, node.uid, &message) ||
	    message.resized) {
		fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
	} else if (body != NULL && is_storable(body) && begin_storing(fs, ino, mailbox, &node)) {
		store_body(fs, mailbox, &node, body);
		end_storing(fs, ino);
	}
}

/* A body that is still coming in is read past the page cache: there a reader would wait for a page,
 * and no signal could end that. */
static void
reply_open_message(Fs *fs, const FsCall *call, Body *body, Growth *growth, gsize size)
{
	struct fuse_file_info fi = call->fi;
	FsHandle *handle = fs_handle_new(fs, call->ino, body, growth, NULL, NULL);

	fi.direct_io = growth != NULL;
	fi.keep_cache = TRUE;
	fi.noflush = TRUE;
	/* Also what is still coming in, for a map of that is the page cache's. */
	if (size > STORE_MAX && fs->passthrough) {
		handle->entered = TRUE;
		handle->backing =
			backing_enter(fs->backing, call->ino, body != NULL ? body_file(body) : -1);
	}
	fs_reply_open(fs, call->req, &fi, handle);
}

/* The body is fetched by the first read, past the page cache: there the reader could not be
 * interrupted. */
static void
reply_open_lazy(Fs *fs, const FsCall *call)
{
	struct fuse_file_info fi = call->fi;
	FsHandle *handle = fs_handle_new(fs, call->ino, NULL, NULL, NULL, NULL);

	handle->lazy = TRUE;
	fi.direct_io = TRUE;
	fi.keep_cache = TRUE;
	fi.noflush = TRUE;
	fs_reply_open(fs, call->req, &fi, handle);
}

static void
on_opened(gpointer user, Body *body, Growth *growth, guint64 size, const GError *error)
{
	Wait *wait = user;
	FsPending *pending = fs_claim(wait);

	if (pending == NULL) {
		body_unref(body);
		if (growth != NULL)
			growth_leave(growth);
	} else if (error != NULL) {
		fs_fail(pending->fs, pending->call.req, "open", error);
	} else {
		prepare_kernel(pending->fs, pending->call.ino, body);
		reply_open_message(pending->fs, &pending->call, body, growth, size);
	}
	wait_unref(wait);
}

static void
on_body(gpointer user, Body *body, const GError *error)
{
	on_opened(user, body, NULL, body != NULL ? body_size(body) : 0, error);
}

/* A file that is no message. */
static gboolean
answer_open(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	struct fuse_file_info fi = call->fi;
	TreeContent content;
	TreeAnswer answer =
		tree_content(fs->tree, call->ino, call->reader, call->patient, &content);

	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	fi.direct_io = content.fresh;
	fi.keep_cache = !content.fresh;
	fi.noflush = TRUE;
	if (!content.fresh)
		fuse_lowlevel_notify_inval_inode(fs->session, call->ino, -1, 0);
	fs_reply_open(fs, call->req, &fi,
		      fs_handle_new(fs, call->ino, content.body, NULL, content.bytes, NULL));
	return TRUE;
}

/* ESTALE makes the kernel look the name up again and open what it finds. */
static gboolean
answer_moved(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	TreeAnswer answer = tree_moved(fs->tree, call->ino, call->patient);

	if (answer.result == TREE_OK)
		answer = (TreeAnswer){.result = TREE_ERROR,
				      .error = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_STALE,
								   "it was not moved after all")};
	return fs_settle(fs, call, &answer, later);
}

static gboolean
has_moved(Fs *fs, fuse_ino_t ino)
{
	TreeAnswer answer = tree_moved(fs->tree, ino, FALSE);
	gboolean moved = answer.result != TREE_OK;

	g_clear_error(&answer.error);
	return moved;
}

void
fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsCall call = {
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

	fs_count(fs, FS_OPEN);
	mailbox = tree_mailbox_of_message(fs->tree, ino, &node);
	if (node.kind == NODE_UPLOAD) {
		call.answer = fs_open_upload;
		fs_call_run(fs, &call, g_get_monotonic_time() + fs->wait_us);
	} else if (mailbox != NULL && has_moved(fs, ino)) {
		call.answer = answer_moved;
		fs_call_run(fs, &call, g_get_monotonic_time() + fs->wait_us);
	} else if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0) {
		fs_open_message_for_writing(fs, &call);
	} else if (mailbox != NULL &&
		   mailbox_open_stored(mailbox, node.serial, node.uid, call.reader)) {
		reply_open_message(fs, &call, NULL, NULL, 0);
	} else if (mailbox != NULL && fs->uploads != NULL &&
		   copiers_may_copy(fs->copiers, call.reader)) {
		reply_open_lazy(fs, &call);
	} else if (mailbox != NULL && g_atomic_int_get(&fs->may_grow)) {
		mailbox_open_growing(mailbox, node.serial, node.uid, call.reader, on_opened,
				     fs_put_aside(fs, &call, PATIENCE_FOREVER));
	} else if (mailbox != NULL) {
		mailbox_open(mailbox, node.serial, node.uid, call.reader, on_body,
			     fs_put_aside(fs, &call, PATIENCE_FOREVER));
	} else if (node.kind == NODE_MESSAGE) {
		fuse_reply_err(req, ESTALE);
	} else {
		fs_call_run(fs, &call, PATIENCE_FOREVER);
	}
}

static void
reply_bytes(fuse_req_t req, GBytes *bytes, size_t size, off_t offset)
{
	/* The reader may have it, and be gone, before the write that gives it returns. */
	g_autoptr(GBytes) held = g_bytes_ref(bytes);
	gsize len;
	const char *data = g_bytes_get_data(held, &len);
	gsize from = MIN((gsize)offset, len);

	fuse_reply_buf(req, data + from, MIN(size, len - from));
}

/* @n: octets read, < 0: see errno. */
static void
reply_read(fuse_req_t req, const char *buffer, gssize n)
{
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, buffer, (size_t)n);
}

void
fs_reply_body(fuse_req_t req, const Body *body, size_t size, off_t offset)
{
	gsize len = MIN(size, MAX_READ);
	g_autofree char *buffer = g_malloc(len);

	reply_read(req, buffer, body_read(body, buffer, len, (guint64)offset));
}

void
fs_reply_file(fuse_req_t req, int fd, size_t size, off_t offset)
{
	gsize len = MIN(size, MAX_READ);
	g_autofree char *buffer = g_malloc(len);

	reply_read(req, buffer, pread(fd, buffer, len, offset));
}

/* The body of a handle that was opened without one. */
void
fs_on_late_body(gpointer user, Body *body, const GError *error)
{
	Wait *wait = user;
	FsPending *pending = fs_claim(wait);
	g_autoptr(Body) late = body;

	if (pending != NULL && body == NULL) {
		fs_fail(pending->fs, pending->call.req, "read", error);
	} else if (pending != NULL) {
		const FsCall *call = &pending->call;
		FsHandle *handle = fs_handle_of(&call->fi);

		/* The handle is there as long as one of its reads is not answered. */
		if (g_atomic_pointer_compare_and_exchange(&handle->body, NULL, body))
			late = NULL;
		fs_reply_body(call->req, g_atomic_pointer_get(&handle->body), call->size,
			      call->offset);
	}
	wait_unref(wait);
}

static void
on_octets(gpointer user, const GError *error)
{
	Wait *wait = user;
	FsPending *pending = fs_claim(wait);

	if (pending != NULL && error != NULL)
		fs_fail(pending->fs, pending->call.req, "read", error);
	else if (pending != NULL)
		fs_reply_file(pending->call.req, growth_fd(fs_handle_of(&pending->call.fi)->growth),
			      pending->call.size, pending->call.offset);
	wait_unref(wait);
}

/* Never fewer octets than asked for, before the end: a short read means the end to a mapping. */
static void
read_growth(Fs *fs, const FsCall *call, Growth *growth)
{
	guint64 offset = (guint64)call->offset;
	guint64 end = offset + MIN(call->size, MAX_READ);

	if (offset >= growth_size(growth))
		fuse_reply_buf(call->req, NULL, 0);
	else if (growth_has(growth, offset, end))
		fs_reply_file(call->req, growth_fd(growth), call->size, call->offset);
	else
		growth_want(growth, offset, end, on_octets,
			    fs_put_aside(fs, call, PATIENCE_FOREVER));
}

void
fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsHandle *handle = fs_handle_of(fi);
	Body *body = g_atomic_pointer_get(&handle->body);
	FsCall call = {.operation = "read",
		       .req = req,
		       .ino = ino,
		       .size = size,
		       .offset = offset,
		       .reader = fuse_req_ctx(req)->pid,
		       .fi = *fi};
	Mailbox *mailbox;
	Node node;

	fs_count(fs, FS_READ);
	if (handle->upload != NULL) {
		call.answer = fs_read_upload;
		call.patient = TRUE;
		fs_call_run(fs, &call, g_get_monotonic_time() + fs->wait_us);
	} else if (handle->bytes != NULL) {
		reply_bytes(req, handle->bytes, size, offset);
	} else if (handle->growth != NULL) {
		read_growth(fs, &call, handle->growth);
	} else if (body != NULL) {
		fs_reply_body(req, body, size, offset);
	} else {
		if (handle->lazy)
			copiers_note(fs->copiers, call.reader, FALSE);
		mailbox = tree_mailbox_of_message(fs->tree, ino, &node);
		if (mailbox == NULL)
			fuse_reply_err(req, ESTALE);
		else
			mailbox_open(mailbox, node.serial, node.uid, call.reader, fs_on_late_body,
				     fs_put_aside(fs, &call, PATIENCE_FOREVER));
	}
}

void
fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsHandle *handle = fs_handle_of(fi);

	if (handle->upload != NULL && handle->writes)
		fs_close_upload(fs, handle);
	else
		fs_handle_close(fs, handle);
	fuse_reply_err(req, 0);
}
