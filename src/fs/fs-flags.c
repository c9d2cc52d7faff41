/* SPDX-License-Identifier: MIT */
/* Flags of messages and of files, and copies that the server makes. */
#include "fs/fs-private.h"

#include <errno.h>
#include <string.h>

#define XATTR_FLAGS "user.mailfs.flags"

gboolean
fs_await_copy(Fs *fs, const FsCall *call, Mailbox *mailbox, guint32 serial, guint32 uid,
	      TreeAnswer *later)
{
	g_autoptr(Upload) upload =
		call->patient ? uploads_copying(fs->uploads, mailbox, serial, uid) : NULL;
	UploadView view;

	if (upload == NULL)
		return FALSE;
	upload_view(upload, &view);
	if (!view.awaited)
		return FALSE;
	fs_wait_for_upload(g_steal_pointer(&upload), later);
	return TRUE;
}

static gboolean
answer_set_flags(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	g_autoptr(Upload) upload = tree_upload(fs->tree, call->ino);
	g_autoptr(GError) error = NULL;
	guint64 ino = tree_current(fs->tree, call->ino);
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(fs->tree, ino, &node);
	TreeAnswer moved;
	UidSet *uids;

	if (upload != NULL && upload_set_flags(upload, call->name, &error)) {
		fuse_reply_err(call->req, 0);
		return TRUE;
	}
	if (upload != NULL && call->patient &&
	    g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_BUSY))
		return fs_wait_or_answer(fs, call, g_steal_pointer(&upload), later);
	/* Since it was looked up. */
	if (upload != NULL && g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND))
		return answer_set_flags(fs, call, later);
	if (upload != NULL) {
		fs_fail(fs, call->req, call->operation, error);
		return TRUE;
	}
	if (mailbox == NULL) {
		gboolean former = node.kind == NODE_MESSAGE || node.kind == NODE_UPLOAD;

		fuse_reply_err(call->req, former ? ESTALE : EOPNOTSUPP);
		return TRUE;
	}
	/* Found by its name in the mailbox that it is on its way to, it is still the one in the
	 * other. */
	moved = tree_moved(fs->tree, ino, call->patient);
	if (moved.result != TREE_OK)
		return fs_settle(fs, call, &moved, later);
	/* The copy has the flags of when it was asked for. */
	if (fs_await_copy(fs, call, mailbox, node.serial, node.uid, later))
		return FALSE;
	uids = uidset_new();
	uidset_add(uids, node.uid, node.uid);
	changes_set_flags(fs->changes, mailbox, node.serial, uids, call->name, fs_on_change,
			  fs_put_aside(fs, call, PATIENCE_FOREVER));
	return TRUE;
}

static void
set_flags(Fs *fs, fuse_req_t req, fuse_ino_t ino, const char *text)
{
	FsCall call = {
		.operation = "setxattr",
		.answer = answer_set_flags,
		.req = req,
		.ino = ino,
		.name = text,
		.patient = TRUE,
	};

	fs_call_run(fs, &call, g_get_monotonic_time() + fs->wait_us);
}

/* What cannot be set: ours, which are made from the message, and others', which nobody keeps. */
static int
errno_of_xattr(const char *name)
{
	if (g_str_has_prefix(name, "user.mailfs.") || g_str_has_prefix(name, "user.mail."))
		return EPERM;
	return EOPNOTSUPP;
}

void
fs_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
	    int flags)
{
	Fs *fs = fuse_req_userdata(req);
	g_autofree char *text = g_strndup(value, size);

	if (strcmp(name, XATTR_FLAGS) != 0)
		fuse_reply_err(req, errno_of_xattr(name));
	else if (fs->changes == NULL)
		fuse_reply_err(req, EROFS);
	else if (strlen(text) != size)
		fuse_reply_err(req, EINVAL);
	else
		set_flags(fs, req, ino, text);
}

void
fs_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	Fs *fs = fuse_req_userdata(req);

	if (strcmp(name, XATTR_FLAGS) != 0)
		fuse_reply_err(req, errno_of_xattr(name));
	else if (fs->changes == NULL)
		fuse_reply_err(req, EROFS);
	else
		set_flags(fs, req, ino, "");
}

/* --- copying on the server --- */

/* A whole message into an empty file. For anything else the kernel reads and writes. */
void
fs_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t offset, struct fuse_file_info *fi,
		   fuse_ino_t target, off_t target_offset, struct fuse_file_info *target_fi,
		   size_t len, int flags)
{
	Fs *fs = fuse_req_userdata(req);
	FsHandle *handle = fs_handle_of(target_fi);
	g_autoptr(GError) error = NULL;
	MessageView message;
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(fs->tree, ino, &node);

	if (mailbox == NULL || handle->upload == NULL || !handle->writes || offset != 0 ||
	    target_offset != 0 || !mailbox_get(mailbox, node.serial, node.uid, &message) ||
	    len < message.size ||
	    !upload_copy_of(handle->upload, mailbox, node.serial, node.uid, &error)) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	fs_note_written(handle);
	copiers_note(fs->copiers, fuse_req_ctx(req)->pid, TRUE);
	fuse_reply_write(req, message.size);
}
