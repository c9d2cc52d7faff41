/* SPDX-License-Identifier: MIT */
/* Names and folders: what is on the server is changed by mail/change.h, which answers when
 * the server has, and what is not there yet by mail/uploads.h, which answers when the disk has. */
#include "fs/fs-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "mail/name.h"

#ifndef RENAME_NOREPLACE
#	define RENAME_NOREPLACE (1 << 0)
#endif

/* --- replies --- */

/* A name, or a message, that cannot be: EPERM, for by EINVAL programs understand that a directory
 * was to be moved into itself. */
static void
fail_change(Fs *fs, const FsCall *call, const GError *error)
{
	if (!g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_INVALID) ||
	    (strcmp(call->operation, "rename") != 0 && strcmp(call->operation, "mkdir") != 0)) {
		fs_fail(fs, call->req, call->operation, error);
		return;
	}
	fs->failed(fs->user, call->operation, error);
	fuse_reply_err(call->req, EPERM);
}

void
fs_on_change(gpointer user, const GError *error)
{
	Wait *wait = user;
	FsPending *pending = fs_claim(wait);

	if (pending != NULL && error != NULL)
		fail_change(pending->fs, &pending->call, error);
	else if (pending != NULL && pending->call.finish != NULL)
		pending->call.finish(pending->fs, &pending->call);
	else if (pending != NULL)
		fuse_reply_err(pending->call.req, 0);
	wait_unref(wait);
}

/* --- files of uploads, by errands --- */

typedef struct {
	Wait *wait;
	Upload *upload;
	Mailbox *mailbox;  /* rename: to here; NULL: remove */
	char *name;	   /* rename: under this name */
	char *flags;	   /* rename: with these, or NULL */
	gboolean replaces; /* rename: this message goes */
	guint32 serial, uid;
} UploadTask;

static gboolean
upload_task_rename(UploadTask *task, GError **error)
{
	if (task->flags != NULL && !upload_set_flags(task->upload, task->flags, error))
		return FALSE;
	return upload_rename_over(task->upload, task->mailbox, task->name, task->serial,
				  task->replaces ? task->uid : 0, error);
}

static void
on_way_ended(gpointer user, const GError *error)
{
	fs_wake(user);
}

/* Soon it is a message, or it is one since just now, and can be treated as one: the call comes
 * again then. FALSE: the error is the answer, for nothing would change. */
static gboolean
is_to_be_found_anew(const UploadTask *task, const GError *error)
{
	UploadView view;

	if (g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_BUSY))
		return upload_wait_turn(task->upload, task->mailbox, task->name, on_way_ended,
					task->wait);
	upload_view(task->upload, &view);
	if (!view.over || !g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND))
		return FALSE;
	upload_wait(task->upload, on_way_ended, task->wait);
	return TRUE;
}

/* FALSE: the call waits. */
static gboolean
run_upload_task(UploadTask *task, gboolean patient, GError **error)
{
	/* What was in the way may just have ended. */
	for (guint i = 0; i < 2; i++) {
		g_clear_error(error);
		if (task->mailbox != NULL ? upload_task_rename(task, error)
					  : upload_remove(task->upload, error))
			return TRUE;
		if (patient && is_to_be_found_anew(task, *error))
			return FALSE;
	}
	return TRUE;
}

static void
upload_errand(gpointer data)
{
	UploadTask *task = data;
	const FsPending *pending = wait_data(task->wait);
	g_autoptr(GError) error = NULL;

	if (run_upload_task(task, pending->call.patient, &error))
		fs_on_change(task->wait, error);
	upload_unref(task->upload);
	g_free(task->name);
	g_free(task->flags);
	g_free(task);
}

/* @task: copied; its strings and its upload are taken. */
static void
push_upload_task(Fs *fs, const FsCall *call, const UploadTask *task)
{
	UploadTask *copy = g_memdup2(task, sizeof *task);
	UploadView view;

	upload_view(copy->upload, &view);
	copy->wait = fs_put_aside(fs, call, g_get_monotonic_time() + fs->wait_us);
	errands_push(fs->errands, view.id, upload_errand, copy);
}

/* A copy of it is still to be made by the server: it stays where it is until then. */
static gboolean
is_being_copied(Fs *fs, const FsCall *call, const TreeName *name, TreeAnswer *later)
{
	return name->kind == TREE_NAME_MESSAGE &&
	       fs_await_copy(fs, call, name->directory, name->message.serial, name->message.uid,
			     later);
}

/* The server may have it already. */
static gboolean
is_started(const FsCall *call, TreeName *name, TreeAnswer *later)
{
	UploadView view;

	if (!call->patient || name->kind != TREE_NAME_UPLOAD)
		return FALSE;
	upload_view(name->upload, &view);
	if (view.state != SPOOL_STARTED || !view.awaited)
		return FALSE;
	fs_wait_for_upload(g_steal_pointer(&name->upload), later);
	return TRUE;
}

/* What it replaces is still there, and would come back if it went: it becomes a message first. */
static gboolean
is_replacing(const FsCall *call, TreeName *name, TreeAnswer *later)
{
	UploadView view;

	if (!call->patient || name->kind != TREE_NAME_UPLOAD)
		return FALSE;
	upload_view(name->upload, &view);
	if (!view.replaces || !view.awaited ||
	    (view.state != SPOOL_QUEUED && view.state != SPOOL_STARTED))
		return FALSE;
	fs_wait_for_upload(g_steal_pointer(&name->upload), later);
	return TRUE;
}

/* --- unlink, rmdir, mkdir --- */

static void
finish_unlink(Fs *fs, const FsCall *call)
{
	Mailbox *mailbox = tree_mailbox_of_directory(fs->tree, call->ino);

	if (mailbox != NULL)
		tree_touch(fs->tree, mailbox);
	fuse_reply_err(call->req, 0);
}

static gboolean
answer_unlink(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	g_auto(TreeName) name = {0};
	TreeAnswer answer = tree_resolve(fs->tree, call->ino, call->name, call->patient, &name);

	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	if (is_being_copied(fs, call, &name, later) || is_replacing(call, &name, later))
		return FALSE;
	switch (name.kind) {
	case TREE_NAME_NOTHING:
		return fs_reply_errno(call, ENOENT);
	case TREE_NAME_MAILBOX:
		return fs_reply_errno(call, EISDIR);
	case TREE_NAME_FIXED:
		return fs_reply_errno(call, EPERM);
	case TREE_NAME_LINK:
		return fs_reply_errno(
			call, tree_remove_link(fs->tree, call->ino, call->name) ? 0 : ENOENT);
	case TREE_NAME_UPLOAD:
		push_upload_task(fs, call, &(UploadTask){.upload = g_steal_pointer(&name.upload)});
		return TRUE;
	case TREE_NAME_MESSAGE:
		changes_remove(fs->changes, name.directory, name.message.serial, name.message.uid,
			       fs_on_change, fs_put_aside(fs, call, PATIENCE_FOREVER));
		return TRUE;
	}
	return fs_reply_errno(call, EIO);
}

/* A call that names something in a directory. */
void
fs_run_named(fuse_req_t req, const char *operation, FsAnswer answer,
	     void (*finish)(Fs *fs, const FsCall *call), fuse_ino_t parent, const char *name)
{
	Fs *fs = fuse_req_userdata(req);
	FsCall call = {
		.operation = operation,
		.answer = answer,
		.finish = finish,
		.req = req,
		.ino = parent,
		.name = name,
		.patient = TRUE,
	};

	if (fs->changes == NULL || fs->uploads == NULL)
		fuse_reply_err(req, EROFS);
	else
		fs_call_run(fs, &call, g_get_monotonic_time() + fs->wait_us);
}

void
fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fs_run_named(req, "unlink", answer_unlink, finish_unlink, parent, name);
}

static void
finish_mkdir(Fs *fs, const FsCall *call)
{
	struct stat st;
	gboolean alias;
	TreeAnswer answer = tree_lookup(fs->tree, call->ino, call->name, FALSE, &st, &alias);

	if (answer.result == TREE_OK)
		fs_reply_entry(fs, call->req, &st, FALSE);
	else
		fs_fail(fs, call->req, call->operation, answer.error);
	g_clear_error(&answer.error);
}

static gboolean
answer_mkdir(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	g_auto(TreeName) name = {0};
	TreeAnswer answer = tree_resolve(fs->tree, call->ino, call->name, call->patient, &name);
	Node node;

	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	if (name.kind != TREE_NAME_NOTHING)
		return fs_reply_errno(call, EEXIST);
	if (fs_is_local(name.directory) ||
	    (node_from_ino(call->ino, &node) && node.kind == NODE_MAILDIR && node.part != 0))
		return fs_reply_errno(call, EPERM);
	changes_mkdir(fs->changes, name.directory, call->name, fs_on_change,
		      fs_put_aside(fs, call, PATIENCE_FOREVER));
	return TRUE;
}

void
fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	fs_run_named(req, "mkdir", answer_mkdir, finish_mkdir, parent, name);
}

/* --- links --- */

void
fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	Fs *fs = fuse_req_userdata(req);
	struct stat st;

	if (tree_mailbox_of_directory(fs->tree, parent) != NULL &&
	    tree_add_link(fs->tree, parent, name, target, &st))
		fs_reply_entry(fs, req, &st, FALSE);
	else
		fuse_reply_err(req, EPERM);
}

/* A message lies in one mailbox. Deliveries that link and unlink go on with a rename when they hear
 * this. */
void
fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EPERM);
}

/* --- rename --- */

/* The kernel now has the old inode under the new name, where another one is. It waits for the
 * rename to be over before it listens. */
static void
finish_rename(Fs *fs, const FsCall *call)
{
	Mailbox *from = tree_mailbox_of_directory(fs->tree, call->ino);
	Mailbox *to = tree_mailbox_of_directory(fs->tree, call->target);

	if (from != NULL)
		tree_touch(fs->tree, from);
	if (to != NULL && to != from)
		tree_touch(fs->tree, to);
	fuse_reply_err(call->req, 0);
	notices_push(fs->notices, call->target, 0, call->target_name);
}

static char *
flags_text(guint32 flags)
{
	static const struct {
		guint32 flag;
		const char *word;
	} words[] = {
		{MESSAGE_SEEN, "\\Seen "},	 {MESSAGE_ANSWERED, "\\Answered "},
		{MESSAGE_FLAGGED, "\\Flagged "}, {MESSAGE_DELETED, "\\Deleted "},
		{MESSAGE_DRAFT, "\\Draft "},
	};
	g_autoptr(GString) text = g_string_new(NULL);

	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		if (flags & words[i].flag)
			g_string_append(text, words[i].word);
	return g_strdup(g_strchomp(text->str));
}

static void
rename_upload(Fs *fs, const FsCall *call, TreeName *from, const TreeName *to)
{
	UploadTask task = {
		.upload = g_steal_pointer(&from->upload),
		.mailbox = to->directory,
		.name = g_strdup(to->file_name),
		.flags = to->has_flags ? flags_text(to->flags) : NULL,
		.replaces = to->kind == TREE_NAME_MESSAGE,
		.serial = to->message.serial,
		.uid = to->message.uid,
	};

	push_upload_task(fs, call, &task);
}

/* Of a message that stays in its mailbox. FALSE: nothing of them is different. */
static gboolean
set_flags_of_name(Fs *fs, const FsCall *call, const TreeName *from, const TreeName *to)
{
	guint32 now = from->message.flags & TREE_NAME_FLAGS;
	UidSet *uids;

	if (!to->has_flags || now == to->flags)
		return FALSE;
	uids = uidset_new();
	uidset_add(uids, from->message.uid, from->message.uid);
	changes_edit_flags(fs->changes, from->directory, from->message.serial, uids,
			   to->flags & ~now, "", now & ~to->flags, "", fs_on_change,
			   fs_put_aside(fs, call, PATIENCE_FOREVER));
	return TRUE;
}

static void
rename_within(Fs *fs, const FsCall *call, const TreeName *from, const TreeName *to)
{
	g_autoptr(GError) error = NULL;

	if (strcmp(from->file_name, to->file_name) != 0 &&
	    !changes_rename(fs->changes, from->directory, from->message.serial, from->message.uid,
			    to->file_name, &error))
		fail_change(fs, call, error);
	else if (!set_flags_of_name(fs, call, from, to))
		finish_rename(fs, call);
}

/* The message that had the name has gone. */
static void
finish_removed(Fs *fs, const FsCall *call)
{
	g_auto(TreeName) from = {0};
	g_auto(TreeName) to = {0};
	FsCall again = *call;
	TreeAnswer answer = tree_resolve(fs->tree, call->ino, call->name, FALSE, &from);
	TreeAnswer second = tree_resolve(fs->tree, call->target, call->target_name, FALSE, &to);

	again.finish = finish_rename;
	if (answer.result == TREE_OK && second.result == TREE_OK && from.kind == TREE_NAME_MESSAGE)
		rename_within(fs, &again, &from, &to);
	else
		fuse_reply_err(call->req, ESTALE);
	g_clear_error(&answer.error);
	g_clear_error(&second.error);
}

/* A message takes the place of a file, which waits for that. */
typedef struct {
	Wait *wait;
	Upload *upload;
	GError *error;
} Replacing;

static void
replaced_errand(gpointer data)
{
	Replacing *replacing = data;
	g_autoptr(GError) error = replacing->error;
	g_autoptr(GError) problem = NULL;

	if (error == NULL && !upload_remove(replacing->upload, &problem))
		g_debug("what was replaced stays: %s", problem->message);
	upload_close(replacing->upload);
	fs_on_change(replacing->wait, error);
	upload_unref(replacing->upload);
	g_free(replacing);
}

static void
on_replacing(gpointer user, const GError *error)
{
	Replacing *replacing = user;
	const FsPending *pending = wait_data(replacing->wait);
	UploadView view;

	replacing->error = error != NULL ? g_error_copy(error) : NULL;
	upload_view(replacing->upload, &view);
	errands_push(pending->fs->errands, view.id, replaced_errand, replacing);
}

/* It has the name by now, which may tell its flags, too. */
static void
finish_over_file(Fs *fs, const FsCall *call)
{
	g_auto(TreeName) name = {0};
	FsCall again = *call;
	TreeAnswer answer = tree_resolve(fs->tree, call->target, call->target_name, FALSE, &name);

	again.finish = finish_rename;
	g_clear_error(&answer.error);
	if (name.kind != TREE_NAME_MESSAGE || !set_flags_of_name(fs, &again, &name, &name))
		finish_rename(fs, call);
}

static void
send_message(Fs *fs, const FsCall *call, const TreeName *from, const TreeName *to, ChangeDone done,
	     gpointer user)
{
	changes_move(fs->changes, from->directory, from->message.serial, from->message.uid,
		     to->directory, g_str_has_suffix(to->file_name, ".eml") ? to->file_name : NULL,
		     done, user);
}

/* The file cannot be sent meanwhile, and goes when the message is in its place. */
static gboolean
rename_message_over_file(Fs *fs, const FsCall *call, const TreeName *from, TreeName *to,
			 TreeAnswer *later)
{
	gboolean within = from->directory == to->directory;
	g_autoptr(GError) error = NULL;
	FsCall first = *call;
	Replacing *replacing;

	if (!upload_open_write(to->upload, &error)) {
		if (call->patient && g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_BUSY))
			return fs_wait_or_answer(fs, call, g_steal_pointer(&to->upload), later);
		fail_change(fs, call, error);
		return TRUE;
	}
	first.finish = within ? finish_over_file : call->finish;
	replacing = g_new0(Replacing, 1);
	replacing->wait = fs_put_aside(fs, &first, PATIENCE_FOREVER);
	replacing->upload = g_steal_pointer(&to->upload);
	if (within) {
		changes_rename(fs->changes, from->directory, from->message.serial,
			       from->message.uid, to->file_name, &error);
		on_replacing(replacing, error);
	} else {
		send_message(fs, call, from, to, on_replacing, replacing);
	}
	return TRUE;
}

static gboolean
rename_message(Fs *fs, const FsCall *call, const TreeName *from, TreeName *to, TreeAnswer *later)
{
	gboolean within = from->directory == to->directory;
	gboolean same =
		within && to->kind == TREE_NAME_MESSAGE && to->message.uid == from->message.uid;

	/* What would not be uploaded cannot be the name of what is there. */
	if (uploads_name_is_local(to->file_name))
		return fs_reply_errno(call, EPERM);
	if (to->kind == TREE_NAME_UPLOAD)
		return rename_message_over_file(fs, call, from, to, later);
	if (!within) {
		send_message(fs, call, from, to, fs_on_change,
			     fs_put_aside(fs, call, PATIENCE_FOREVER));
	} else if (to->kind == TREE_NAME_MESSAGE && !same) {
		FsCall first = *call;

		first.finish = finish_removed;
		changes_remove(fs->changes, to->directory, to->message.serial, to->message.uid,
			       fs_on_change, fs_put_aside(fs, &first, PATIENCE_FOREVER));
	} else {
		rename_within(fs, call, from, to);
	}
	return TRUE;
}

static gboolean
rename_link(Fs *fs, const FsCall *call)
{
	g_autofree char *target = NULL;
	struct stat st;
	TreeAnswer answer;
	gboolean alias, done = FALSE;

	answer = tree_lookup(fs->tree, call->ino, call->name, FALSE, &st, &alias);
	if (answer.result == TREE_OK) {
		answer = tree_readlink(fs->tree, st.st_ino, &target);
		done = answer.result == TREE_OK &&
		       tree_add_link(fs->tree, call->target, call->target_name, target, &st) &&
		       tree_remove_link(fs->tree, call->ino, call->name);
	}
	g_clear_error(&answer.error);
	if (!done)
		return fs_reply_errno(call, EPERM);
	finish_rename(fs, call);
	return TRUE;
}

/* "12.eml" is the message with that number, now or one day. Who moves it as it is called does not
 * mean its name. TRUE: it is answered. */
static gboolean
is_number_of_another(Fs *fs, const FsCall *call, const TreeName *from, const TreeName *to)
{
	g_autoptr(GError) error = NULL;

	if (name_parse_uid(to->file_name) == 0 || fs_is_local(to->directory) ||
	    (from->kind == TREE_NAME_MESSAGE && strcmp(from->file_name, to->file_name) == 0))
		return FALSE;
	error = g_error_new(MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "%s is the name of the message with that number: use another name",
			    to->file_name);
	fs_fail(fs, call->req, call->operation, error);
	return TRUE;
}

static gboolean
rename_resolved(Fs *fs, const FsCall *call, TreeName *from, TreeName *to, TreeAnswer *later)
{
	if (from->kind == TREE_NAME_NOTHING)
		return fs_reply_errno(call, ENOENT);
	if (from->kind == TREE_NAME_FIXED || to->kind == TREE_NAME_FIXED)
		return fs_reply_errno(call, EXDEV);
	if ((call->flags & RENAME_NOREPLACE) != 0 && to->kind != TREE_NAME_NOTHING)
		return fs_reply_errno(call, EEXIST);
	if (from->kind == TREE_NAME_MAILBOX &&
	    (fs_is_local(from->mailbox) || fs_is_local(to->directory)))
		return fs_reply_errno(call, EPERM);
	if (from->kind == TREE_NAME_MAILBOX)
		return fs_rename_mailbox(fs, call, from, to);
	if (is_number_of_another(fs, call, from, to))
		return TRUE;
	if (to->kind == TREE_NAME_MAILBOX)
		return fs_reply_errno(call, EISDIR);
	if (from->kind == TREE_NAME_LINK)
		return rename_link(fs, call);
	/* Sending is no move: mv copies, and takes the message away when its copy is safe. */
	if (from->kind == TREE_NAME_MESSAGE && fs_is_local(to->directory))
		return fs_reply_errno(call, EXDEV);
	if (to->directory == NULL || to->kind == TREE_NAME_LINK)
		return fs_reply_errno(call, EPERM);
	if (is_being_copied(fs, call, from, later) || is_being_copied(fs, call, to, later) ||
	    is_replacing(call, from, later) || is_replacing(call, to, later) ||
	    is_started(call, to, later))
		return FALSE;
	if (from->kind == TREE_NAME_MESSAGE)
		return rename_message(fs, call, from, to, later);
	rename_upload(fs, call, from, to);
	return TRUE;
}

static gboolean
answer_rename(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	g_auto(TreeName) from = {0};
	g_auto(TreeName) to = {0};
	TreeAnswer answer = tree_resolve(fs->tree, call->ino, call->name, call->patient, &from);

	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	answer = tree_resolve(fs->tree, call->target, call->target_name, call->patient, &to);
	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	return rename_resolved(fs, call, &from, &to, later);
}

void
fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t target,
	  const char *target_name, unsigned flags)
{
	Fs *fs = fuse_req_userdata(req);
	FsCall call = {
		.operation = "rename",
		.answer = answer_rename,
		.finish = finish_rename,
		.req = req,
		.ino = parent,
		.name = name,
		.target = target,
		.target_name = target_name,
		.flags = flags,
		.patient = TRUE,
	};

	if (fs->changes == NULL || fs->uploads == NULL)
		fuse_reply_err(req, EROFS);
	else if ((flags & ~(unsigned)RENAME_NOREPLACE) != 0)
		fuse_reply_err(req, EINVAL);
	else
		fs_call_run(fs, &call, g_get_monotonic_time() + fs->wait_us);
}
