/* SPDX-License-Identifier: MIT */
/* Names for those who want to change what they stand for, and what a directory shows beside the
 * mailboxes and messages of the account. */
#include <string.h>

#include "fs/tree-private.h"
#include "fs/view-maildir.h"

#define SENT_AGE_US (30 * G_USEC_PER_SEC)
#define SENT_MAX    4096
#define LINKS_MAX   1024

typedef struct {
	guint64 directory;
	char *name, *target;
} TreeLink;

typedef struct {
	guint32 directory; /* serial */
	char *name;
	gint64 when; /* monotonic */
} TreeSent;

static const TreeAnswer answer_ok = {.result = TREE_OK};

static void
link_free(gpointer data)
{
	TreeLink *link = data;

	g_free(link->name);
	g_free(link->target);
	g_free(link);
}

static void
sent_free(gpointer data)
{
	TreeSent *sent = data;

	g_free(sent->name);
	g_free(sent);
}

void
tree_names_init(Tree *tree)
{
	g_mutex_init(&tree->lock);
	tree->touched = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	tree->links = g_hash_table_new_full(NULL, NULL, NULL, link_free);
	g_queue_init(&tree->sent);
}

void
tree_names_clear(Tree *tree)
{
	g_hash_table_unref(tree->touched);
	g_hash_table_unref(tree->links);
	g_queue_clear_full(&tree->sent, sent_free);
	g_mutex_clear(&tree->lock);
}

/* --- what a directory shows --- */

TreeTouch
tree_touch_of(Tree *tree, Mailbox *mailbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
	const TreeTouch *touch =
		g_hash_table_lookup(tree->touched, GUINT_TO_POINTER(mailbox_directory(mailbox)));

	return touch != NULL ? *touch : (TreeTouch){0};
}

/* Under the lock. */
static TreeTouch *
touch_of(Tree *tree, Mailbox *mailbox)
{
	gpointer key = GUINT_TO_POINTER(mailbox_directory(mailbox));
	TreeTouch *touch = g_hash_table_lookup(tree->touched, key);

	if (touch == NULL) {
		touch = g_new0(TreeTouch, 1);
		touch->pinned = G_MININT64;
		g_hash_table_insert(tree->touched, key, touch);
	}
	return touch;
}

void
tree_touch(Tree *tree, Mailbox *mailbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
	TreeTouch *touch = touch_of(tree, mailbox);

	touch->version++;
	touch->time = g_get_real_time() / G_USEC_PER_SEC;
	touch->when = g_get_monotonic_time();
	touch->pinned = G_MININT64;
}

void
tree_set_time(Tree *tree, Mailbox *mailbox, gint64 time)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
	TreeTouch *touch = touch_of(tree, mailbox);

	touch->time = 0;
	touch->pinned = time;
	mailbox_set_changed(mailbox, time);
}

void
tree_note_sent(Tree *tree, Mailbox *mailbox, const char *name)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
	gint64 now = g_get_monotonic_time();
	TreeSent *sent = g_new0(TreeSent, 1);
	TreeTouch *touch = touch_of(tree, mailbox);

	touch->version++;
	touch->when = now;
	/* A sync may have been faster to tell of it. */
	if (touch->pinned != G_MININT64)
		mailbox_set_changed(mailbox, touch->pinned);

	*sent = (TreeSent){mailbox_directory(mailbox), g_strdup(name), now};
	g_queue_push_tail(&tree->sent, sent);
	while (tree->sent.length > SENT_MAX ||
	       ((TreeSent *)tree->sent.head->data)->when < now - SENT_AGE_US)
		sent_free(g_queue_pop_head(&tree->sent));
}

gboolean
tree_is_new(Tree *tree, guint64 ino)
{
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(tree, ino, &node);
	g_autofree char *name = mailbox != NULL ? mailbox_name_of(mailbox, node.uid) : NULL;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
	gint64 oldest = g_get_monotonic_time() - SENT_AGE_US;

	for (const GList *l = tree->sent.tail; name != NULL && l != NULL; l = l->prev) {
		const TreeSent *sent = l->data;

		if (sent->when < oldest)
			return FALSE;
		if (sent->directory == mailbox_directory(mailbox) && strcmp(sent->name, name) == 0)
			return TRUE;
	}
	return FALSE;
}

/* --- uploads --- */

Upload *
tree_upload(Tree *tree, guint64 ino)
{
	Node node;
	Upload *upload;
	UploadView view;

	if (tree->uploads == NULL || !node_from_ino(ino, &node) || node.kind != NODE_UPLOAD ||
	    node.part != 0)
		return NULL;
	upload = uploads_get(tree->uploads, node.uid);
	if (upload == NULL)
		return NULL;
	upload_view(upload, &view);
	if (!view.over)
		return upload;
	upload_unref(upload);
	return NULL;
}

guint64
tree_current(Tree *tree, guint64 ino)
{
	g_autoptr(Upload) upload = tree_upload(tree, ino);
	Mailbox *mailbox;
	guint32 serial;
	guint32 uid;
	Node node;

	if (upload != NULL || tree->uploads == NULL || !node_from_ino(ino, &node) ||
	    node.kind != NODE_UPLOAD || node.part != 0 ||
	    !uploads_became(tree->uploads, node.uid, &mailbox, &serial, &uid))
		return ino;
	return node_ino_of_message(serial, uid);
}

void
tree_stat_upload(Tree *tree, Upload *upload, struct stat *out)
{
	UploadView view;

	upload_view(upload, &view);
	view_stat_file(&tree->house, node_ino_of_upload(view.id), view.size, view.mtime, out);
	out->st_mode = S_IFREG | (view.mode & 0777);
}

/* --- editors' locks --- */

static void
stat_link(Tree *tree, guint32 number, const TreeLink *link, struct stat *out)
{
	guint64 ino = node_to_ino((Node){.kind = NODE_UPLOAD, .part = 1, .uid = number});

	view_stat_link(&tree->house, ino, strlen(link->target), out);
}

/* Under the lock. NULL: there is none. */
static TreeLink *
find_link(Tree *tree, guint64 directory, const char *name, guint32 *number_out)
{
	GHashTableIter iter;
	gpointer key, value;

	g_hash_table_iter_init(&iter, tree->links);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		TreeLink *link = value;

		*number_out = GPOINTER_TO_UINT(key);
		if (link->directory == directory && strcmp(link->name, name) == 0)
			return link;
	}
	return NULL;
}

gboolean
tree_find_link(Tree *tree, guint64 directory, const char *name, guint32 number, char **target_out,
	       struct stat *out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
	const TreeLink *link;

	if (name != NULL)
		link = find_link(tree, directory, name, &number);
	else
		link = g_hash_table_lookup(tree->links, GUINT_TO_POINTER(number));
	if (link == NULL)
		return FALSE;
	stat_link(tree, number, link, out);
	if (target_out != NULL)
		*target_out = g_strdup(link->target);
	return TRUE;
}

gboolean
tree_add_link(Tree *tree, guint64 directory, const char *name, const char *target, struct stat *out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
	guint32 number;
	TreeLink *link;

	if (!g_str_has_prefix(name, ".#") || g_hash_table_size(tree->links) >= LINKS_MAX ||
	    find_link(tree, directory, name, &number) != NULL)
		return FALSE;
	link = g_new0(TreeLink, 1);
	*link = (TreeLink){directory, g_strdup(name), g_strdup(target)};
	number = ++tree->next_link;
	g_hash_table_replace(tree->links, GUINT_TO_POINTER(number), link);
	stat_link(tree, number, link, out);
	return TRUE;
}

gboolean
tree_remove_link(Tree *tree, guint64 directory, const char *name)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
	guint32 number;

	return find_link(tree, directory, name, &number) != NULL &&
	       g_hash_table_remove(tree->links, GUINT_TO_POINTER(number));
}

TreeAnswer
tree_source(Tree *tree, Upload *upload, gboolean patient, Mailbox **mailbox_out,
	    guint32 *serial_out, guint32 *uid_out)
{
	MessageView message;
	TreeAnswer answer;

	if (!upload_source(upload, mailbox_out, serial_out, uid_out) || *mailbox_out == NULL)
		return view_error(MAILFS_ERROR_NOT_FOUND, "the bytes of the file are gone");
	if (mailbox_get(*mailbox_out, *serial_out, *uid_out, &message))
		return answer_ok;
	answer = view_refresh(&tree->house, *mailbox_out, patient);
	if (answer.result == TREE_OK)
		upload_source(upload, mailbox_out, serial_out, uid_out);
	return answer;
}

/* --- names --- */

Mailbox *
tree_mailbox_of_directory(Tree *tree, guint64 ino)
{
	Node node;

	if (!node_from_ino(ino, &node) || (node.kind != NODE_MAILBOX && node.kind != NODE_MAILDIR))
		return NULL;
	return account_mailbox(tree->account, node.serial);
}

/* The file or message that is called so in a mailbox, once the rest has been looked through. */
static TreeAnswer
resolve_file(Tree *tree, gboolean patient, TreeName *out)
{
	Mailbox *mailbox = out->directory;
	TreeAnswer answer;

	if (tree->uploads != NULL)
		out->upload = uploads_find(tree->uploads, mailbox, out->file_name);
	if (out->upload != NULL) {
		out->kind = TREE_NAME_UPLOAD;
		return answer_ok;
	}
	if (mailbox_attributes(mailbox) & MAILBOX_NOSELECT)
		return answer_ok;
	answer = tree_find_message(tree, mailbox, out->file_name, patient, &out->message);
	if (answer.result == TREE_OK)
		out->kind = TREE_NAME_MESSAGE;
	else if (answer.result == TREE_ERROR &&
		 g_error_matches(answer.error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND)) {
		g_clear_error(&answer.error);
		return answer_ok;
	}
	return answer;
}

static TreeAnswer
resolve_in_maildir(Tree *tree, const Node *node, const char *name, gboolean patient, TreeName *out)
{
	out->directory = account_mailbox(tree->account, node->serial);
	if (node->part == VIEW_MAILDIR_MAILBOX) {
		out->mailbox = view_maildir_child(tree->account, node->serial, name);
		if (out->mailbox != NULL)
			out->kind = TREE_NAME_MAILBOX;
		else if (view_maildir_is_part(name) && node->serial != 0)
			out->kind = TREE_NAME_FIXED;
		return answer_ok;
	}
	if (out->directory == NULL)
		return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	g_free(out->file_name);
	out->file_name = view_maildir_file_name(node->part, name, &out->flags);
	out->has_flags = node->part != VIEW_MAILDIR_TMP;
	return resolve_file(tree, patient, out);
}

TreeAnswer
tree_resolve(Tree *tree, guint64 directory, const char *name, gboolean patient, TreeName *out)
{
	struct stat st;
	Node node;

	*out = (TreeName){.kind = TREE_NAME_NOTHING, .file_name = g_strdup(name)};
	if (!node_from_ino(directory, &node))
		return view_error(MAILFS_ERROR_STALE, "no such directory");
	if (node.kind == NODE_MAILDIR)
		return resolve_in_maildir(tree, &node, name, patient, out);
	if (node.kind != NODE_MAILBOX ||
	    (node.serial == NODE_ROOT_SERIAL && tree_view_by_name(tree, name) != NULL)) {
		out->kind = TREE_NAME_FIXED;
		return answer_ok;
	}
	out->directory = account_mailbox(tree->account, node.serial);
	if (out->directory == NULL && node.serial != NODE_ROOT_SERIAL)
		return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	out->mailbox = account_child(tree->account, node.serial, name);
	if (out->mailbox != NULL) {
		out->kind = TREE_NAME_MAILBOX;
		return answer_ok;
	}
	if (tree_find_link(tree, directory, name, 0, NULL, &st)) {
		out->kind = TREE_NAME_LINK;
		return answer_ok;
	}
	return out->directory != NULL ? resolve_file(tree, patient, out) : answer_ok;
}

void
tree_name_clear(TreeName *name)
{
	g_clear_pointer(&name->upload, upload_unref);
	g_clear_pointer(&name->file_name, g_free);
}
