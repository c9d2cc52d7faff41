/* SPDX-License-Identifier: MIT */
/* Files that programs write. When a file is finished nobody says: close() reaches us as one FLUSH
 * for each descriptor that goes, also of a shell's and a child's copies, and before the first byte
 * is written; RELEASE, after the last, can tell nobody of an error. What was tried on shells,
 * editors and copiers is right every time: the FLUSH of the process that opened the file, when
 * /proc shows no other descriptor of that process on it, is the last one. There the file is
 * complete, and what is wrong with it is the error of close(). Where this never happens RELEASE
 * completes it. But what a process leaves behind that was killed is not complete: it stays a file
 * until it is written anew.
 *
 * What waits for the disk is done by errands, in the order of the requests. */
#include "fs/fs-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fs/command.h"

#define INCOMPLETE 1 /* bits of FsHandle.dirty */
#define VOLATILE   2

/* --- who closes what --- */

guint32
fs_process_of(guint32 thread)
{
	g_autofree char *path = g_strdup_printf("/proc/%u/status", thread);
	g_autofree char *text = NULL;
	const char *line;

	if (thread == 0 || !g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	line = strstr(text, "\nTgid:");
	return line != NULL ? (guint32)g_ascii_strtoull(line + strlen("\nTgid:\t"), NULL, 10) : 0;
}

/* One text of /proc/<process>/fdinfo. */
static gboolean
is_writer_of(const char *info, fuse_ino_t ino)
{
	const char *flags = strstr(info, "flags:\t"), *number = strstr(info, "\nino:\t");

	return flags != NULL && number != NULL &&
	       (g_ascii_strtoull(flags + strlen("flags:\t"), NULL, 8) & O_ACCMODE) != O_RDONLY &&
	       g_ascii_strtoull(number + strlen("\nino:\t"), NULL, 10) == ino;
}

/* Nothing here asks the mount. FALSE also where /proc does not tell. */
static gboolean
has_no_other(guint32 process, fuse_ino_t ino)
{
	g_autofree char *path = g_strdup_printf("/proc/%u/fdinfo", process);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *file = g_build_filename(path, name, NULL);
		g_autofree char *info = NULL;

		if (!g_file_get_contents(file, &info, NULL, NULL))
			continue;
		if (strstr(info, "\nino:\t") == NULL || is_writer_of(info, ino))
			return FALSE;
	}
	return dir != NULL;
}

static gboolean
is_last_close(const FsHandle *handle, guint32 thread)
{
	guint32 process = fs_process_of(thread);

	return process != 0 && process == handle->opener && has_no_other(process, handle->ino);
}

/* Killed by a signal, and at this moment closing what it had open. */
static gboolean
is_being_killed(guint32 thread)
{
	enum { FLAGS = 6, EXIT_CODE = 49, PF_EXITING = 4 }; /* proc(5), from the state on */
	g_autofree char *path = g_strdup_printf("/proc/%u/stat", thread);
	g_autofree char *text = NULL;
	g_auto(GStrv) words = NULL;
	const char *state;

	if (!g_file_get_contents(path, &text, NULL, NULL) || (state = strrchr(text, ')')) == NULL ||
	    state[1] == '\0')
		return FALSE;
	words = g_strsplit(state + 2, " ", -1);
	return g_strv_length(words) > EXIT_CODE &&
	       (g_ascii_strtoull(words[FLAGS], NULL, 10) & PF_EXITING) != 0 &&
	       (g_ascii_strtoull(words[EXIT_CODE], NULL, 10) & 0x7f) != 0;
}

/* --- errands for a call that was put aside --- */

typedef struct {
	Wait *wait;
	Upload *upload;
	FsHandle *handle; /* or NULL: good as long as the request is not answered */
} Task;

static void
push_task(Fs *fs, const FsCall *call, gint64 give_up, Upload *upload, FsHandle *handle, Errand run)
{
	Task *task = g_new0(Task, 1);
	UploadView view;

	upload_view(upload, &view);
	*task = (Task){fs_put_aside(fs, call, give_up), upload_ref(upload), handle};
	errands_push(fs->errands, view.id, run, task);
}

static void
settle(Wait *wait, const GError *error)
{
	FsPending *pending = fs_claim(wait);

	if (pending != NULL && error != NULL)
		fs_fail(pending->fs, pending->call.req, pending->call.operation, error);
	else if (pending != NULL)
		fuse_reply_err(pending->call.req, 0);
	wait_unref(wait);
}

static void
task_free(Task *task)
{
	upload_unref(task->upload);
	g_free(task);
}

/* --- opening and making --- */

/* The owner of a TreeAnswer that waits for an upload. */
typedef struct {
	MailboxWake wake;
	gpointer user;
} Waker;

static void
on_upload_over(gpointer user, const GError *error)
{
	g_autofree Waker *waker = user;

	waker->wake(waker->user);
}

static gboolean
wait_for_upload(gpointer wait_for, MailboxWake wake, gpointer user)
{
	Waker *waker = g_new0(Waker, 1);

	*waker = (Waker){wake, user};
	upload_wait(wait_for, on_upload_over, waker);
	upload_unref(wait_for);
	return TRUE;
}

gboolean
fs_wait_for_upload(Upload *upload, TreeAnswer *later)
{
	*later = (TreeAnswer){.result = TREE_LATER, .wait = wait_for_upload, .wait_for = upload};
	return FALSE;
}

gboolean
fs_wait_or_answer(Fs *fs, const FsCall *call, Upload *upload, TreeAnswer *later)
{
	FsCall now = *call;
	UploadView view;

	upload_view(upload, &view);
	if (view.awaited)
		return fs_wait_for_upload(upload, later);
	upload_unref(upload);
	now.patient = FALSE;
	return now.answer(fs, &now, later);
}

/* @upload: taken; a writer of it when the call writes. */
static FsHandle *
handle_of_upload(Fs *fs, const FsCall *call, Upload *upload)
{
	gboolean writes = (call->fi.flags & O_ACCMODE) != O_RDONLY;
	UploadView view;
	FsHandle *handle;

	upload_view(upload, &view);
	handle = fs_handle_new(fs, node_ino_of_upload(view.id), NULL, NULL, NULL, upload);
	handle->writes = writes;
	handle->opener = writes ? fs_process_of(call->reader) : 0;
	return handle;
}

/* TRUE: nobody writes it any more, and the caller is its writer. */
static gboolean
take_half(Fs *fs, guint32 id)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);

	return g_hash_table_remove(fs->halves, GUINT_TO_POINTER(id));
}

/* It is on the server by now, or was removed: ESTALE makes the kernel look its name up again, which
 * leads to what is there. Once only: what is opened for writing and has to be made is made now. */
static gboolean
open_former(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	FsCall message = *call;
	Node node;
	Upload *upload =
		node_from_ino(call->ino, &node) ? uploads_get(fs->uploads, node.uid) : NULL;

	/* Its name still leads to it, for a moment. */
	if (upload != NULL && call->patient)
		return fs_wait_for_upload(upload, later);
	upload_unref(upload);
	message.ino = tree_current(fs->tree, call->ino);
	if ((call->fi.flags & O_ACCMODE) == O_RDONLY || message.ino == call->ino)
		fuse_reply_err(call->req, ESTALE);
	else
		fs_open_message_for_writing(fs, &message);
	return TRUE;
}

gboolean
fs_open_upload(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	struct fuse_file_info fi = call->fi;
	gboolean writes = (fi.flags & O_ACCMODE) != O_RDONLY;
	Upload *upload = tree_upload(fs->tree, call->ino);
	g_autoptr(GError) error = NULL;
	FsHandle *handle;
	UploadView view;

	if (upload == NULL)
		return open_former(fs, call, later);
	upload_view(upload, &view);
	if (view.settled && call->patient)
		return fs_wait_for_upload(upload, later);
	if (writes && !fs_take_draft(fs, view.id) && !take_half(fs, view.id) &&
	    !upload_open_write(upload, &error)) {
		if (call->patient && g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_BUSY))
			return fs_wait_or_answer(fs, call, upload, later);
		upload_unref(upload);
		if (g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND))
			return open_former(fs, call, later);
		fs_fail(fs, call->req, "open", error);
		return TRUE;
	}
	handle = handle_of_upload(fs, call, upload);
	if (writes && (fi.flags & O_TRUNC) != 0) {
		if (!upload_truncate(upload, 0, &error)) {
			fs_fail(fs, call->req, "open", error);
			fs_close_upload(fs, handle);
			return TRUE;
		}
		fs_note_written(handle);
	}
	fi.noflush = !writes;
	fi.direct_io = view.copied;
	fs_reply_open(fs, call->req, &fi, handle);
	return TRUE;
}

static void
reply_created(Fs *fs, const FsCall *call, Upload *upload)
{
	struct fuse_file_info fi = call->fi;
	struct fuse_entry_param entry = {
		.generation = 1,
		.attr_timeout = fs->attr_time,
		.entry_timeout = fs->attr_time,
	};
	FsHandle *handle = handle_of_upload(fs, call, upload);

	/* O_CREAT without writing leaves a file that others may go on with. */
	if (!handle->writes)
		upload_close(upload);
	tree_stat_upload(fs->tree, upload, &entry.attr);
	entry.ino = entry.attr.st_ino;
	fi.fh = (uintptr_t)handle;
	fi.noflush = !handle->writes;
	if (fuse_reply_create(call->req, &entry, &fi) != -ENOENT)
		return;
	if (handle->writes)
		fs_close_upload(fs, handle);
	else
		fs_handle_close(fs, handle);
}

/* For create() and mknod(). */
static gboolean
answer_create(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	g_auto(TreeName) name = {0};
	TreeAnswer answer = tree_resolve(fs->tree, call->ino, call->name, call->patient, &name);
	g_autoptr(GError) error = NULL;
	struct stat st;
	Upload *upload;

	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	/* vim makes a file of this name to see whether it may replace files. It may not: then it
	 * writes into them, which a draft can take. */
	if (name.kind == TREE_NAME_FIXED || name.directory == NULL || fs->uploads == NULL ||
	    strcmp(call->name, "4913") == 0) {
		fuse_reply_err(call->req, EPERM);
		return TRUE;
	}
	if (name.kind != TREE_NAME_NOTHING) {
		fuse_reply_err(call->req, (call->fi.flags & O_EXCL) != 0 ? EEXIST : ESTALE);
		return TRUE;
	}
	upload = uploads_create(fs->uploads, name.directory, name.file_name, call->mode & 07777,
				&error);
	if (upload == NULL) {
		fs_fail(fs, call->req, call->operation, error);
		return TRUE;
	}
	tree_touch(fs->tree, name.directory);
	if (call->finish == NULL) {
		reply_created(fs, call, upload);
		return TRUE;
	}
	upload_close(upload);
	tree_stat_upload(fs->tree, upload, &st);
	fs_reply_entry(fs, call->req, &st, FALSE);
	upload_unref(upload);
	return TRUE;
}

void
fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	  struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsCall call = {
		.operation = "create",
		.answer = answer_create,
		.req = req,
		.ino = parent,
		.name = name,
		.mode = mode,
		.patient = TRUE,
		.reader = fuse_req_ctx(req)->pid,
		.fi = *fi,
	};

	fs_call_run(fs, &call, g_get_monotonic_time() + fs->wait_us);
}

static void
finish_mknod(Fs *fs, const FsCall *call)
{
	fuse_reply_err(call->req, 0);
}

void
fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	Fs *fs = fuse_req_userdata(req);
	FsCall call = {
		.operation = "mknod",
		.answer = answer_create,
		.finish = finish_mknod,
		.req = req,
		.ino = parent,
		.name = name,
		.mode = mode,
		.patient = TRUE,
		.fi = {.flags = O_EXCL},
	};

	if (!S_ISREG(mode))
		fuse_reply_err(req, EPERM);
	else
		fs_call_run(fs, &call, g_get_monotonic_time() + fs->wait_us);
}

/* --- reading and writing --- */

gboolean
fs_read_upload(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	FsHandle *handle = fs_handle_of(&call->fi);
	Body *body = g_atomic_pointer_get(&handle->body);
	int fd = upload_fd(handle->upload);
	Mailbox *mailbox;
	guint32 serial, uid;
	TreeAnswer answer;

	if (fd < 0 && body != NULL) {
		fs_reply_body(call->req, body, call->size, call->offset);
		return TRUE;
	}
	if (fd >= 0) {
		fs_reply_file(call->req, fd, call->size, call->offset);
		return TRUE;
	}
	answer = tree_source(fs->tree, handle->upload, call->patient, &mailbox, &serial, &uid);
	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	mailbox_open(mailbox, serial, uid, call->reader, fs_on_late_body,
		     fs_put_aside(fs, call, PATIENCE_FOREVER));
	return TRUE;
}

static void
on_command(gpointer data, const GError *error)
{
	Wait *wait = data;
	FsPending *pending = fs_claim(wait);

	if (pending != NULL && error != NULL)
		fs_fail(pending->fs, pending->call.req, "command", error);
	else if (pending != NULL)
		fuse_reply_write(pending->call.req, pending->call.size);
	wait_unref(wait);
}

static void
run_command(Fs *fs, fuse_req_t req, const char *data, size_t size)
{
	FsCall call = {.operation = "command", .req = req, .size = size};
	g_autofree char *text = g_strndup(data, size);

	command_run(fs->tree, fs->changes, fs->uploads, text, on_command,
		    fs_put_aside(fs, &call, PATIENCE_FOREVER));
}

void
fs_note_written(FsHandle *handle)
{
	g_atomic_int_or((guint *)&handle->dirty, INCOMPLETE | VOLATILE);
}

void
fs_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	 struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsHandle *handle = fs_handle_of(fi);
	g_autoptr(GError) error = NULL;

	if (handle->command) {
		run_command(fs, req, data, size);
	} else if (handle->upload == NULL || !handle->writes) {
		fuse_reply_err(req, EBADF);
	} else if (!upload_write(handle->upload, data, size, (guint64)offset, &error)) {
		fs_fail(fs, req, "write", error);
	} else {
		fs_note_written(handle);
		fuse_reply_write(req, size);
	}
}

/* --- attributes --- */

static gboolean
truncate_upload(Upload *upload, FsHandle *handle, guint64 size, GError **error)
{
	gboolean done;

	if (handle != NULL) {
		fs_note_written(handle);
		return upload_truncate(upload, size, error);
	}
	if (!upload_open_write(upload, error))
		return FALSE;
	done = upload_truncate(upload, size, error);
	upload_close(upload);
	return done;
}

static gboolean
change_upload(Upload *upload, FsHandle *handle, const struct stat *wanted, int which,
	      GError **error)
{
	if ((which & FUSE_SET_ATTR_SIZE) != 0 &&
	    !truncate_upload(upload, handle, (guint64)wanted->st_size, error))
		return FALSE;
	if ((which & FUSE_SET_ATTR_MODE) != 0)
		upload_set_mode(upload, wanted->st_mode & 07777);
	if ((which & FUSE_SET_ATTR_MTIME_NOW) != 0)
		upload_set_time(upload, g_get_real_time() / G_USEC_PER_SEC);
	else if ((which & FUSE_SET_ATTR_MTIME) != 0)
		upload_set_time(upload, wanted->st_mtim.tv_sec);
	return TRUE;
}

/* May a message or a directory be asked for this? Nothing of it is done but the time of a mailbox:
 * others come from the server. What copiers and archivers do after they have written is not
 * refused: the times, the mode of a directory, and of a file that went to the server under their
 * hands. */
static gboolean
may_ask(Fs *fs, const struct stat *now, const struct stat *wanted, int which)
{
	if ((which & FUSE_SET_ATTR_SIZE) != 0)
		return FALSE;
	return (which & FUSE_SET_ATTR_MODE) == 0 || S_ISDIR(now->st_mode) ||
	       (now->st_mode & 07777) == (wanted->st_mode & 07777) ||
	       tree_is_new(fs->tree, now->st_ino);
}

/* A copier sets it when it has written what is in there, and looks at it the next time. */
static void
set_directory_time(Fs *fs, const struct stat *now, const struct stat *wanted, int which)
{
	Mailbox *mailbox =
		S_ISDIR(now->st_mode) ? tree_mailbox_of_directory(fs->tree, now->st_ino) : NULL;

	if (mailbox == NULL || (which & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) == 0)
		return;
	tree_set_time(fs->tree, mailbox,
		      (which & FUSE_SET_ATTR_MTIME_NOW) != 0 ? g_get_real_time() / G_USEC_PER_SEC
							     : MAX(wanted->st_mtim.tv_sec, 0));
}

static gboolean
keeps_owner(const Fs *fs, const struct stat *wanted, int which)
{
	return ((which & FUSE_SET_ATTR_UID) == 0 || wanted->st_uid == fs->uid) &&
	       ((which & FUSE_SET_ATTR_GID) == 0 || wanted->st_gid == fs->gid);
}

void
fs_set_attributes(fuse_req_t req, fuse_ino_t ino, struct stat *attributes, int which,
		  struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsHandle *handle = fi != NULL ? fs_handle_of(fi) : NULL;
	Upload *upload = handle != NULL && handle->upload != NULL ? upload_ref(handle->upload)
								  : tree_upload(fs->tree, ino);
	g_autoptr(GError) error = NULL;
	struct stat st;
	TreeAnswer answer = tree_stat(fs->tree, ino, &st);

	if (upload != NULL)
		tree_stat_upload(fs->tree, upload, &st);
	if (answer.result != TREE_OK && upload == NULL &&
	    ((which & FUSE_SET_ATTR_SIZE) != 0 || !fs_stat_of_open(fs, ino, &st)))
		fs_fail(fs, req, "setattr", answer.error);
	else if (!keeps_owner(fs, attributes, which) ||
		 (upload == NULL && !may_ask(fs, &st, attributes, which)))
		fuse_reply_err(req, EPERM);
	else if (upload != NULL && !change_upload(upload, handle, attributes, which, &error))
		fs_fail(fs, req, "setattr", error);
	else {
		if (upload != NULL) {
			tree_stat_upload(fs->tree, upload, &st);
		} else if (answer.result == TREE_OK) {
			set_directory_time(fs, &st, attributes, which);
			answer = tree_stat(fs->tree, ino, &st);
		}
		fuse_reply_attr(req, &st, FALSE);
	}
	g_clear_error(&answer.error);
	upload_unref(upload);
}

/* --- closing --- */

static void
complete_errand(gpointer data)
{
	Task *task = data;
	g_autoptr(GError) error = NULL;

	g_atomic_int_set(&task->handle->dirty, 0);
	if (!upload_complete(task->upload, &error))
		g_debug("close: %s", error->message);
	settle(task->wait, error);
	task_free(task);
}

static void
sync_errand(gpointer data)
{
	Task *task = data;
	g_autoptr(GError) error = NULL;

	g_atomic_int_and((guint *)&task->handle->dirty, ~(guint)VOLATILE);
	upload_sync(task->upload, &error);
	settle(task->wait, error);
	task_free(task);
}

void
fs_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsHandle *handle = fs_handle_of(fi);
	FsCall call = {.operation = "close", .req = req, .ino = ino, .fi = *fi};
	gint dirty = handle->upload != NULL ? g_atomic_int_get(&handle->dirty) : 0;
	UploadView view;

	if (dirty == 0) {
		fuse_reply_err(req, 0);
		return;
	}
	upload_view(handle->upload, &view);
	if (is_being_killed(fuse_req_ctx(req)->pid) &&
	    fs_process_of(fuse_req_ctx(req)->pid) == handle->opener)
		handle->killed = TRUE;
	/* What is empty is not finished, whoever closes it. */
	if (!handle->killed && (dirty & INCOMPLETE) != 0 && view.size > 0 &&
	    is_last_close(handle, fuse_req_ctx(req)->pid))
		push_task(fs, &call, PATIENCE_FOREVER, handle->upload, handle, complete_errand);
	else if ((dirty & VOLATILE) != 0 && view.size > 0)
		push_task(fs, &call, PATIENCE_FOREVER, handle->upload, handle, sync_errand);
	else
		fuse_reply_err(req, 0);
}

typedef struct {
	Fs *fs;
	FsHandle *handle;
} Closing;

static void
close_errand(gpointer data)
{
	g_autofree Closing *closing = data;
	FsHandle *handle = closing->handle;

	if (handle->killed && (handle->dirty & INCOMPLETE) != 0) {
		UploadView view;

		upload_view(handle->upload, &view);
		g_mutex_lock(&closing->fs->lock);
		g_hash_table_add(closing->fs->halves, GUINT_TO_POINTER(view.id));
		g_mutex_unlock(&closing->fs->lock);
	} else {
		upload_close(handle->upload);
	}
	fs_handle_free(handle);
}

void
fs_close_upload(Fs *fs, FsHandle *handle)
{
	Closing *closing = g_new0(Closing, 1);
	UploadView view;

	g_mutex_lock(&fs->lock);
	g_hash_table_steal(fs->handles, handle);
	g_mutex_unlock(&fs->lock);
	*closing = (Closing){fs, handle};
	upload_view(handle->upload, &view);
	errands_push(fs->errands, view.id, close_errand, closing);
}

/* --- waiting for the server --- */

static gboolean
answer_too_late(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	fuse_reply_err(call->req, ETIMEDOUT);
	return TRUE;
}

static void
on_settled(gpointer user, const GError *error)
{
	settle(user, error);
}

static void
fsync_errand(gpointer data)
{
	Task *task = data;
	g_autoptr(GError) error = NULL;

	if (upload_sync(task->upload, &error))
		upload_wait(task->upload, on_settled, task->wait);
	else
		settle(task->wait, error);
	task_free(task);
}

void
fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsHandle *handle = fs_handle_of(fi);
	FsCall call = {.operation = "fsync", .answer = answer_too_late, .req = req, .ino = ino};

	if (handle->upload == NULL)
		fuse_reply_err(req, 0); /* it is on the server */
	else
		push_task(fs, &call, g_get_monotonic_time() + fs->wait_us, handle->upload, handle,
			  fsync_errand);
}

typedef struct {
	Changes *changes;
	Mailbox *mailbox;
	Wait *wait;
} WholeDirectory;

static void
on_uploaded(gpointer user, const GError *error)
{
	g_autofree WholeDirectory *whole = user;

	if (error != NULL)
		settle(whole->wait, error);
	else
		changes_wait(whole->changes, whole->mailbox, on_settled, whole->wait);
}

void
fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsCall call = {.operation = "fsync", .answer = answer_too_late, .req = req, .ino = ino};
	WholeDirectory *whole;

	if (fs->uploads == NULL || fs->changes == NULL) {
		fuse_reply_err(req, 0);
		return;
	}
	whole = g_new0(WholeDirectory, 1);
	*whole = (WholeDirectory){fs->changes, tree_mailbox_of_directory(fs->tree, ino),
				  fs_put_aside(fs, &call, g_get_monotonic_time() + fs->wait_us)};
	uploads_wait(fs->uploads, whole->mailbox, on_uploaded, whole);
}
