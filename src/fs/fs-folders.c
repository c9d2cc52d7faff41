/* SPDX-License-Identifier: MIT */
/* Mailboxes that go, or get another name, and the files in them that the server does not have yet:
 * nothing is put into one that is being removed, and what waits in one that is renamed goes along.
 * A file is not lost, nor sent to a mailbox of the old name, when the power fails in between. */
#include "fs/fs-private.h"

#include <errno.h>

/* --- rmdir --- */

typedef struct {
	Uploads *uploads;
	Mailbox *mailbox;
	gboolean shut;
	Wait *wait;
} Going;

static void
on_gone(gpointer user, const GError *error)
{
	g_autofree Going *going = user;

	if (going->shut)
		uploads_reopen(going->uploads, going->mailbox);
	fs_on_change(going->wait, error);
}

static gboolean
is_in_maildir(fuse_ino_t directory)
{
	Node node;

	return node_from_ino(directory, &node) && node.kind == NODE_MAILDIR;
}

static gboolean
answer_rmdir(Fs *fs, const FsCall *call, TreeAnswer *later)
{
	g_auto(TreeName) name = {0};
	TreeAnswer answer = tree_resolve(fs->tree, call->ino, call->name, call->patient, &name);
	Going *going;

	if (answer.result != TREE_OK)
		return fs_settle(fs, call, &answer, later);
	if (name.kind == TREE_NAME_NOTHING)
		return fs_reply_errno(call, ENOENT);
	/* A Maildir holds cur, new and tmp, which cannot be removed. */
	if (name.kind == TREE_NAME_FIXED || is_in_maildir(call->ino))
		return fs_reply_errno(call, EPERM);
	if (name.kind != TREE_NAME_MAILBOX)
		return fs_reply_errno(call, ENOTDIR);
	if (fs_is_local(name.mailbox))
		return fs_reply_errno(call, EPERM);
	going = g_new0(Going, 1);
	*going =
		(Going){fs->uploads, name.mailbox, FALSE, fs_put_aside(fs, call, PATIENCE_FOREVER)};
	going->shut = uploads_shut(fs->uploads, name.mailbox);
	changes_rmdir(fs->changes, name.mailbox, !going->shut, on_gone, going);
	return TRUE;
}

void
fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fs_run_named(req, "rmdir", answer_rmdir, NULL, parent, name);
}

/* --- rename --- */

typedef struct {
	Fs *fs;
	Wait *wait;
	Mailbox *mailbox, *parent;
	char *raw, *name;
	GError *error; /* of the server */
} Moving;

static void
moving_end(Moving *moving, const GError *error)
{
	fs_on_change(moving->wait, error);
	g_clear_error(&moving->error);
	g_free(moving->raw);
	g_free(moving->name);
	g_free(moving);
}

static void
moved_errand(gpointer data)
{
	Moving *moving = data;
	gboolean known =
		!g_error_matches(moving->error, MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME);

	uploads_moved(moving->fs->uploads, moving->error == NULL, known);
	moving_end(moving, moving->error);
}

static void
on_moved(gpointer user, const GError *error)
{
	Moving *moving = user;

	moving->error = error != NULL ? g_error_copy(error) : NULL;
	errands_push(moving->fs->errands, 0, moved_errand, moving);
}

/* Nothing of it is under way, and the spool knows. */
static void
on_quiet(gpointer user, const GError *error)
{
	Moving *moving = user;

	if (error != NULL) {
		uploads_moved(moving->fs->uploads, FALSE, TRUE);
		moving_end(moving, error);
		return;
	}
	changes_rename_mailbox(moving->fs->changes, moving->mailbox, moving->parent, moving->name,
			       on_moved, moving);
}

static void
move_errand(gpointer data)
{
	Moving *moving = data;
	g_autoptr(GError) error = NULL;

	if (!uploads_move(moving->fs->uploads, moving->mailbox, moving->raw, on_quiet, moving,
			  &error))
		moving_end(moving, error);
}

gboolean
fs_rename_mailbox(Fs *fs, const FsCall *call, const TreeName *from, const TreeName *to)
{
	g_autoptr(GError) error = NULL;
	Moving *moving;
	char *raw;

	if (to->kind != TREE_NAME_NOTHING)
		return fs_reply_errno(call, to->kind == TREE_NAME_MAILBOX ? EEXIST : ENOTDIR);
	raw = account_raw_name(fs->account, to->directory, call->target_name, &error);
	moving = g_new0(Moving, 1);
	moving->fs = fs;
	moving->wait = fs_put_aside(fs, call, PATIENCE_FOREVER);
	moving->mailbox = from->mailbox;
	moving->parent = to->directory;
	moving->raw = raw;
	moving->name = g_strdup(call->target_name);
	if (raw == NULL)
		moving_end(moving, error);
	else
		errands_push(fs->errands, 0, move_errand, moving);
	return TRUE;
}
