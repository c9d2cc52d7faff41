/* SPDX-License-Identifier: MIT */
/* Messages do not change. A draft that a program opens for writing is replaced: a new file with the
 * same name and, unless it is truncated, the same bytes hides it, and takes its place once it is on
 * the server. The kernel has opened the message's inode and must open the file's instead: ESTALE
 * makes it look the name up again, and open what it finds. */
#include "fs/fs-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define COPY_PIECE (256 * 1024)
#define OPEN_US	   (10 * G_USEC_PER_SEC) /* the second open() comes at once, or never */

/* A file that was made for an open() that has not come back yet. */
typedef struct {
	Upload *upload;
	gint64 since;
} FsDraft;

void
fs_drafts_free(gpointer data)
{
	FsDraft *draft = data;

	upload_unref(draft->upload);
	g_free(draft);
}

gboolean
fs_take_draft(Fs *fs, guint32 id)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);

	return g_hash_table_remove(fs->drafts, GUINT_TO_POINTER(id));
}

/* Those whose program is gone: the drafts are shown again. */
static void
drop_forgotten(Fs *fs)
{
	g_autoptr(GPtrArray) forgotten = g_ptr_array_new_with_free_func(fs_drafts_free);
	gint64 now = g_get_monotonic_time();
	GHashTableIter iter;
	gpointer value;

	g_mutex_lock(&fs->lock);
	g_hash_table_iter_init(&iter, fs->drafts);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		if (((FsDraft *)value)->since + OPEN_US > now)
			continue;
		g_ptr_array_add(forgotten, value);
		g_hash_table_iter_steal(&iter);
	}
	g_mutex_unlock(&fs->lock);
	for (guint i = 0; i < forgotten->len; i++) {
		FsDraft *draft = forgotten->pdata[i];

		if (!upload_remove(draft->upload, NULL))
			g_debug("a forgotten draft is on its way");
		upload_close(draft->upload);
	}
}

void
fs_show_ino(Fs *fs, struct stat *st)
{
	const guint64 *shown;
	Node node;

	if (!node_from_ino(st->st_ino, &node) || node.kind != NODE_UPLOAD || node.part != 0)
		return;
	g_mutex_lock(&fs->lock);
	shown = g_hash_table_lookup(fs->shown, GUINT_TO_POINTER(node.uid));
	if (shown != NULL)
		st->st_ino = *shown;
	g_mutex_unlock(&fs->lock);
}

void
fs_forget_shown(Fs *fs, guint32 id)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fs->lock);

	g_hash_table_remove(fs->shown, GUINT_TO_POINTER(id));
}

static gboolean
copy_bytes(const Body *body, Upload *upload, GError **error)
{
	g_autofree char *piece = g_malloc(COPY_PIECE);
	guint64 offset = 0;
	gssize n;

	while ((n = body_read(body, piece, COPY_PIECE, offset)) > 0) {
		if (!upload_write(upload, piece, (gsize)n, offset, error))
			return FALSE;
		offset += (guint64)n;
	}
	if (n < 0)
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s",
			    g_strerror(errno));
	return n == 0;
}

/* @body NULL: truncated. FALSE with an error. */
static gboolean
make_successor(Fs *fs, Mailbox *mailbox, const Node *node, const Body *body, GError **error)
{
	g_autofree char *name = mailbox_name_of(mailbox, node->uid);
	g_autofree char *flags = mailbox_flags_text(mailbox, node->uid);
	FsDraft *draft;
	Upload *upload;
	UploadView view;
	guint64 shown;

	if (name == NULL) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND, "the draft is no more");
		return FALSE;
	}
	upload = uploads_create(fs->uploads, mailbox, name, 0600, error);
	if (upload == NULL)
		return FALSE;
	upload_replaces(upload, node->serial, node->uid);
	if ((body != NULL && !copy_bytes(body, upload, error)) ||
	    (flags != NULL && !upload_set_flags(upload, flags, error))) {
		if (!upload_remove(upload, NULL))
			g_debug("a file that could not be filled stays");
		upload_close(upload);
		upload_unref(upload);
		return FALSE;
	}
	/* The draft stays what it is unless somebody writes. */
	if (body != NULL)
		upload_set_untouched(upload);
	shown = node_to_ino(*node);
	draft = g_new0(FsDraft, 1);
	*draft = (FsDraft){upload, g_get_monotonic_time()};
	upload_view(upload, &view);
	g_mutex_lock(&fs->lock);
	g_hash_table_replace(fs->drafts, GUINT_TO_POINTER(view.id), draft);
	g_hash_table_replace(fs->shown, GUINT_TO_POINTER(view.id), g_memdup2(&shown, sizeof shown));
	g_mutex_unlock(&fs->lock);
	tree_touch(fs->tree, mailbox);
	return TRUE;
}

static void
reply_successor(Fs *fs, const FsCall *call, const Body *body)
{
	g_autoptr(GError) error = NULL;
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(fs->tree, call->ino, &node);

	/* There already: another program was first, and this one opens that file. */
	if (mailbox == NULL || make_successor(fs, mailbox, &node, body, &error) ||
	    g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_EXISTS))
		fuse_reply_err(call->req, ESTALE);
	else
		fs_fail(fs, call->req, "open", error);
}

static void
on_body(gpointer user, Body *taken, const GError *error)
{
	Wait *wait = user;
	FsPending *pending = fs_claim(wait);
	g_autoptr(Body) body = taken;

	if (pending != NULL && error != NULL)
		fs_fail(pending->fs, pending->call.req, "open", error);
	else if (pending != NULL)
		reply_successor(pending->fs, &pending->call, body);
	wait_unref(wait);
}

static gboolean
holds_drafts(Mailbox *mailbox)
{
	return (mailbox_attributes(mailbox) & MAILBOX_DRAFTS) != 0 ||
	       g_ascii_strcasecmp(mailbox_file_name(mailbox), "Drafts") == 0;
}

/* .mailfs/control */
static void
open_command(Fs *fs, const FsCall *call)
{
	struct fuse_file_info fi = call->fi;
	FsHandle *handle = fs_handle_new(fs, call->ino, NULL, NULL, NULL, NULL);

	handle->command = TRUE;
	fi.direct_io = TRUE;
	fi.noflush = TRUE;
	fs_reply_open(fs, call->req, &fi, handle);
}

void
fs_open_message_for_writing(Fs *fs, const FsCall *call)
{
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(fs->tree, call->ino, &node);
	struct stat st;
	TreeAnswer answer;

	if (node.kind == NODE_CONTROL) {
		answer = tree_stat(fs->tree, call->ino, &st);
		if (answer.result == TREE_OK && (st.st_mode & S_IWUSR) != 0 && fs->changes != NULL)
			open_command(fs, call);
		else
			fuse_reply_err(call->req, EPERM);
		g_clear_error(&answer.error);
		return;
	}
	if (mailbox == NULL || fs->uploads == NULL || !holds_drafts(mailbox)) {
		fuse_reply_err(call->req,
			       node.kind == NODE_MESSAGE && mailbox == NULL ? ESTALE : EPERM);
		return;
	}
	drop_forgotten(fs);
	if ((call->fi.flags & O_TRUNC) != 0)
		reply_successor(fs, call, NULL);
	else
		mailbox_open(mailbox, node.serial, node.uid, call->reader, on_body,
			     fs_put_aside(fs, call, PATIENCE_FOREVER));
}
