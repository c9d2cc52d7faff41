/* SPDX-License-Identifier: MIT */
/* How a request lives. A handler (a libfuse thread) describes it as a FsCall and tries to answer.
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

#define GRACE_US (1 * G_USEC_PER_SEC) /* for news of what is known already */

/* --- replies
 * ------------------------------------------------------------------------------------------------
 */

void
fs_fail(Fs *fs, fuse_req_t req, const char *operation, const GError *error)
{
	int err = fs_errno_from_error(error);

	if (err != ENOENT && err != EINTR && err != ESTALE && err != EEXIST && err != ENOTEMPTY)
		fs->failed(fs->user, operation, error);
	fuse_reply_err(req, err);
}

/* How long the kernel may keep the attributes and the name of @ino: long where it will be told of
 * every change. */
double
fs_keep_time(Fs *fs, fuse_ino_t ino)
{
	Mailbox *mailbox = NULL;
	Node node;

	if (!node_from_ino(ino, &node))
		return 0;
	if (node.kind == NODE_MAILBOX)
		mailbox = account_mailbox(fs->account, node.serial);
	else if (node.kind == NODE_MESSAGE)
		mailbox = account_mailbox_of(fs->account, node.serial);
	return mailbox != NULL && mailbox_promise(mailbox) ? MAX(MAILBOX_PROMISE_S, fs->attr_time)
							   : fs->attr_time;
}

void
fs_reply_entry(Fs *fs, fuse_req_t req, const struct stat *st, gboolean alias)
{
	double keep = fs_keep_time(fs, st->st_ino);
	struct fuse_entry_param entry = {
		.ino = st->st_ino,
		.generation = 1,
		.attr = *st,
		.attr_timeout = keep,
		.entry_timeout = alias ? 0 : keep,
	};

	fs_show_ino(fs, &entry.attr);
	fuse_reply_entry(req, &entry);
}

/* --- calls that wait ------------------------------------------------------------------- */

/* The kernel may be told again of what it waited for with this call: it is answered. */
static void
let_go(FsPending *pending)
{
	if (!g_atomic_int_compare_and_exchange(&pending->holds, 1, 0))
		return;
	notices_let_go(pending->fs->notices, pending->call.ino);
	notices_let_go(pending->fs->notices, pending->call.target);
}

static void
pending_free(gpointer data)
{
	FsPending *pending = data;

	let_go(pending);
	g_free(pending->name);
	g_free(pending->target_name);
	g_free(pending);
}

/* libfuse calls this with its own lock held: the clock does the rest. */
static void
on_interrupt(fuse_req_t req, void *data)
{
	wait_interrupt(data);
}

FsPending *
fs_claim(Wait *wait)
{
	FsPending *pending = wait_data(wait);

	if (!wait_claim(wait))
		return NULL;
	fuse_req_interrupt_func(pending->call.req, NULL, NULL);
	return pending;
}

Wait *
fs_put_aside(Fs *fs, const FsCall *call, gint64 give_up)
{
	FsPending *pending = g_new0(FsPending, 1);
	Wait *wait;

	pending->fs = fs;
	pending->call = *call;
	pending->call.name = pending->name = g_strdup(call->name);
	pending->call.target_name = pending->target_name = g_strdup(call->target_name);
	pending->holds = 1;
	notices_hold(fs->notices, call->ino);
	notices_hold(fs->notices, call->target);
	wait = patience_add(fs->patience, give_up, pending, pending_free);
	fuse_req_interrupt_func(call->req, on_interrupt, wait);
	return wait;
}

void
fs_wake(gpointer user)
{
	Wait *wait = user;
	FsPending *pending = fs_claim(wait);

	if (pending != NULL)
		fs_call_run(pending->fs, &pending->call, wait_give_up(wait));
	wait_unref(wait);
}

void
fs_call_run(Fs *fs, const FsCall *call, gint64 give_up)
{
	TreeAnswer later;
	Wait *wait;

	if (call->answer(fs, call, &later))
		return;
	wait = fs_put_aside(fs, call, give_up);
	if (!later.wait(later.wait_for, fs_wake, wait))
		fs_wake(wait);
}

/* The clock has claimed it. */
void
fs_over(gpointer data, gboolean interrupted)
{
	FsPending *pending = data;

	fuse_req_interrupt_func(pending->call.req, NULL, NULL);
	pending->call.patient = FALSE;
	if (interrupted)
		fuse_reply_err(pending->call.req, EINTR);
	else
		fs_call_run(pending->fs, &pending->call, PATIENCE_FOREVER);
	/* Whoever was to bring the news may keep it long after. */
	let_go(pending);
}

/* --- names and attributes
 * ----------------------------------------------------------------------------------- */

gboolean
fs_settle(Fs *fs, const FsCall *call, TreeAnswer *answer, TreeAnswer *later)
{
	if (answer->result == TREE_LATER) {
		*later = *answer;
		return FALSE;
	}
	fs_fail(fs, call->req, call->operation, answer->error);
	g_clear_error(&answer->error);
	return TRUE;
}

static gboolean
answer_lookup(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	struct stat st;
	gboolean alias;
	TreeAnswer answer =
		tree_lookup(fs->tree, call->ino, call->name, call->patient, &st, &alias);

	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	fs_reply_entry(fs, call->req, &st, alias);
	return TRUE;
}

static void
fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	Fs *fs = fuse_req_userdata(req);
	FsCall call = {.operation = "lookup",
		       .answer = answer_lookup,
		       .req = req,
		       .ino = parent,
		       .name = name,
		       .patient = TRUE};

	fs_count(fs, FS_LOOKUP);
	listings_looked(fs->listings, parent);
	fs_call_run(fs, &call, g_get_monotonic_time() + GRACE_US * 60);
}

static void
fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	struct stat st;
	TreeAnswer answer = tree_stat(fs->tree, ino, &st);
	Node node;

	fs_count(fs, FS_GETATTR);
	if (answer.result != TREE_OK && !fs_stat_of_open(fs, ino, &st)) {
		fs_fail(fs, req, "getattr", answer.error);
		g_clear_error(&answer.error);
		return;
	}
	g_clear_error(&answer.error);
	fs_show_ino(fs, &st);
	fuse_reply_attr(
		req, &st,
		node_from_ino(ino, &node) && node.kind == NODE_CONTROL ? 0 : fs_keep_time(fs, ino));
}

static void
fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
	Fs *fs = fuse_req_userdata(req);
	g_autofree char *target = NULL;
	TreeAnswer answer = tree_readlink(fs->tree, ino, &target);

	if (answer.result != TREE_OK) {
		fs_fail(fs, req, "readlink", answer.error);
		g_clear_error(&answer.error);
		return;
	}
	fuse_reply_readlink(req, target);
}

/* --- directories
 * -------------------------------------------------------------------------------------------- */

static void
note_listing(Fs *fs, const FsCall *call)
{
	Mailbox *mailbox = NULL;
	Node node;

	if (node_from_ino(call->ino, &node) && node.kind == NODE_MAILBOX &&
	    node.serial != NODE_ROOT_SERIAL)
		mailbox = account_mailbox(fs->account, node.serial);
	if (mailbox != NULL)
		mailbox_note_listed(mailbox, call->reader);
}

static gboolean
answer_opendir(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	struct fuse_file_info fi = call->fi;
	guint64 version;
	TreeAnswer answer = tree_open_directory(fs->tree, call->ino, call->patient, &version);
	ListingView now;

	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	note_listing(fs, call);
	fi.cache_readdir = TRUE;
	now = tree_listing(fs->tree, call->ino, 0);
	now.version = version;
	fi.keep_cache = listings_open(fs->listings, call->ino, &now);
	fi.fh = version;
	fuse_reply_open(call->req, &fi);
	return TRUE;
}

static void
fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	Fs *fs = fuse_req_userdata(req);
	FsCall call = {.operation = "opendir",
		       .answer = answer_opendir,
		       .req = req,
		       .ino = ino,
		       .patient = TRUE,
		       .reader = fuse_req_ctx(req)->pid,
		       .fi = *fi};

	fs_count(fs, FS_OPENDIR);
	fs_call_run(fs, &call,
		    g_get_monotonic_time() +
			    (tree_is_coming(fs->tree, ino) ? fs->wait_us : GRACE_US));
}

typedef struct {
	Fs *fs;
	fuse_req_t req;
	char *buffer;
	size_t size, used;
	gboolean plus;
	ListingsWanted wanted;
	double keep; /* of the messages, which are all of one mailbox; below 0: not asked yet */
} Filling;

static gboolean
fill_entry(gpointer user, const char *name, const struct stat *st, guint64 cookie)
{
	Filling *filling = user;
	size_t left = filling->size - filling->used, need;

	if (filling->plus) {
		gboolean dot =
			name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
		gboolean bare = filling->wanted == LISTINGS_NAMES ||
				(filling->wanted == LISTINGS_PROBE && filling->used == 0);
		double keep = S_ISDIR(st->st_mode) ? fs_keep_time(filling->fs, st->st_ino)
						   : filling->keep;
		struct fuse_entry_param entry = {
			.ino = dot || bare ? 0 : st->st_ino,
			.generation = 1,
			.attr = *st,
		};

		if (keep < 0)
			keep = filling->keep = fs_keep_time(filling->fs, st->st_ino);
		entry.attr_timeout = entry.entry_timeout = keep;
		fs_show_ino(filling->fs, &entry.attr);
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
answer_readdir(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	g_autofree char *buffer = g_malloc(call->size);
	ListingView now = tree_listing(fs->tree, call->ino, call->offset);
	Filling filling = {.fs = fs,
			   .req = call->req,
			   .buffer = buffer,
			   .size = call->size,
			   .plus = call->plus,
			   .wanted = listings_wanted(fs->listings, call->ino, &now),
			   .keep = -1};
	TreeAnswer answer =
		tree_list(fs->tree, call->ino, call->offset, call->patient, fill_entry, &filling);

	/* What is there goes out; what it still waits for is asked for by the next call. */
	if (answer.result == TREE_OK || filling.used > 0) {
		g_clear_error(&answer.error);
		/* A mailbox that was opened before anything was known of it is known by now. */
		if (filling.used == 0) {
			note_listing(fs, call);
			listings_end(fs->listings, call->ino, call->fi.fh, &now);
		}
		fuse_reply_buf(call->req, buffer, filling.used);
		return TRUE;
	}
	return fs_settle(fs, call, &answer, later);
}

static void
readdir_common(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	       const struct fuse_file_info *fi, gboolean plus)
{
	Fs *fs = fuse_req_userdata(req);
	FsCall call = {
		.operation = "readdir",
		.answer = answer_readdir,
		.req = req,
		.ino = ino,
		.size = size,
		.offset = offset,
		.fi = *fi,
		.patient = TRUE,
		.reader = fuse_req_ctx(req)->pid,
		.plus = plus,
	};

	fs_count(fs, FS_READDIR);
	fs_call_run(fs, &call, PATIENCE_FOREVER);
}

static void
fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	readdir_common(req, ino, size, offset, fi, FALSE);
}

static void
fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	readdir_common(req, ino, size, offset, fi, TRUE);
}

static void
fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
}

/* --- the filesystem
 * ----------------------------------------------------------------------------------------- */

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
	FsPending *pending = fs_claim(wait);

	if (pending != NULL && error != NULL) {
		fs_fail(pending->fs, pending->call.req, "getxattr", error);
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
	FsCall call = {.operation = "getxattr", .req = req, .ino = ino, .name = name, .size = size};
	g_autofree char *value = NULL;
	Mailbox *mailbox;
	Node node;

	fs_count(fs, FS_GETXATTR);
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
	case TREE_XATTR_GONE:
		fuse_reply_err(req, ESTALE);
		break;
	case TREE_XATTR_NEEDS_HEADER:
		mailbox = tree_mailbox_of_message(fs->tree, ino, &node);
		if (mailbox == NULL)
			fuse_reply_err(req, ESTALE);
		else
			mailbox_header(mailbox, node.serial, node.uid, on_header,
				       fs_put_aside(fs, &call, PATIENCE_FOREVER));
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

/* On a read-only mount (fs-mount.c) the kernel lets no change get here. Not here at all: locks and
 * access(), which the kernel then does itself, and fallocate(), which programs can do without. */
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
	.create = fs_create,
	.mknod = fs_mknod,
	.write = fs_write,
	.flush = fs_flush,
	.fsync = fs_fsync,
	.fsyncdir = fs_fsyncdir,
	.setattr = fs_set_attributes,
	.mkdir = fs_mkdir,
	.rmdir = fs_rmdir,
	.unlink = fs_unlink,
	.symlink = fs_symlink,
	.link = fs_link,
	.rename = fs_rename,
	.setxattr = fs_setxattr,
	.removexattr = fs_removexattr,
	.copy_file_range = fs_copy_file_range,
};
