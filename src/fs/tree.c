/* SPDX-License-Identifier: MIT */
#include "fs/tree-private.h"

#include <stdlib.h>
#include <string.h>

#include "fs/view-control.h"
#include "fs/view-maildir.h"
#include "fs/view-parts.h"
#include "fs/view-search.h"
#include "fs/view-special.h"
#include "fs/view-text.h"

#define CHANGING_US (3 * G_USEC_PER_SEC)

static const TreeAnswer answer_ok = {.result = TREE_OK};

static void
view_free(gpointer data)
{
	View *view = data;

	view->ops->free(view);
}

Tree *
tree_new(const TreeConfig *config)
{
	Tree *tree = g_new0(Tree, 1);

	tree->account = config->account;
	tree->uploads = config->uploads;
	tree->changes = config->changes;
	tree->authserv_id = g_strdup(config->authserv_id);
	tree->house = (ViewHouse){
		.account = config->account,
		.uploads = config->uploads,
		.uid = config->uid,
		.gid = config->gid,
		.directory_mode = S_IFDIR | (0777 & ~config->umask),
		.file_mode = S_IFREG | ((config->read_only ? 0444 : 0666) & ~config->umask),
		.started = time(NULL),
	};
	tree_names_init(tree);
	tree->views = g_ptr_array_new_with_free_func(view_free);
	g_ptr_array_add(tree->views,
			view_control_new(&tree->house, config->pages, config->page_user));
	g_ptr_array_add(tree->views, view_special_new(&tree->house));
	g_ptr_array_add(tree->views, view_text_new(&tree->house));
	g_ptr_array_add(tree->views, view_parts_new(&tree->house));
	g_ptr_array_add(tree->views, view_maildir_new(&tree->house));
	g_ptr_array_add(tree->views, view_search_new(&tree->house));
	return tree;
}

void
tree_free(Tree *tree)
{
	if (tree == NULL)
		return;
	g_ptr_array_unref(tree->views);
	tree_names_clear(tree);
	g_free(tree->authserv_id);
	g_free(tree);
}

/* The view a node belongs to, NULL for mailboxes and messages. */
View *
tree_view_of(const Tree *tree, const Node *node)
{
	for (guint i = 0; i < tree->views->len; i++) {
		View *view = tree->views->pdata[i];

		if (view->ops->kind == node->kind)
			return view;
	}
	return NULL;
}

View *
tree_view_by_name(const Tree *tree, const char *name)
{
	for (guint i = 0; i < tree->views->len; i++) {
		View *view = tree->views->pdata[i];

		if (strcmp(view->ops->name, name) == 0)
			return view;
	}
	return NULL;
}

/* --- attributes
 * ----------------------------------------------------------------------------------------- */

void
tree_stat_message(const Tree *tree, const MessageView *message, struct stat *out)
{
	view_stat_file(&tree->house, node_ino_of_message(message->serial, message->uid),
		       message->size, message->date, out);
}

/* @mailbox NULL: the root. */
static void
stat_directory(Tree *tree, Mailbox *mailbox, struct stat *out)
{
	guint32 serial = mailbox != NULL ? mailbox_directory(mailbox) : NODE_ROOT_SERIAL;
	MailboxView view = {.changed = account_changed(tree->account)};

	if (mailbox != NULL) {
		mailbox_view(mailbox, &view);
		view.changed = MAX(view.changed, tree_touch_of(tree, mailbox).time);
	}
	view_stat_directory(&tree->house, node_ino_of_directory(serial), view.changed,
			    account_n_children(tree->account, serial), out);
	out->st_mode = tree->house.directory_mode;
}

static TreeAnswer
stat_of_upload(Tree *tree, const Node *node, struct stat *out)
{
	Upload *upload;

	if (node->part != 0)
		return tree_find_link(tree, 0, NULL, node->uid, NULL, out)
			       ? answer_ok
			       : view_error(MAILFS_ERROR_STALE, "the link is no more");
	upload = tree_upload(tree, node_to_ino(*node));
	if (upload == NULL)
		return view_error(MAILFS_ERROR_STALE, "the file is no more");
	tree_stat_upload(tree, upload, out);
	upload_unref(upload);
	return answer_ok;
}

TreeAnswer
tree_stat(Tree *tree, guint64 ino, struct stat *out)
{
	MessageView message;
	Mailbox *mailbox;
	View *view;
	Node node;

	if (!node_from_ino(tree_current(tree, ino), &node))
		return view_error(MAILFS_ERROR_STALE, "no such inode");
	view = tree_view_of(tree, &node);
	if (view != NULL)
		return view->ops->stat(view, &node, out);
	if (node.kind == NODE_UPLOAD)
		return stat_of_upload(tree, &node, out);
	if (node.kind == NODE_MAILBOX) {
		mailbox = account_mailbox(tree->account, node.serial);
		if (mailbox == NULL && node.serial != NODE_ROOT_SERIAL)
			return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
		stat_directory(tree, mailbox, out);
		return answer_ok;
	}
	mailbox = account_mailbox_of(tree->account, node.serial);
	if (mailbox == NULL)
		return view_error(MAILFS_ERROR_STALE, "UIDVALIDITY has changed");
	/* On its way to another mailbox it still has this number. */
	if (!mailbox_get(mailbox, node.serial, node.uid, &message) &&
	    (tree->changes == NULL ||
	     !changes_leaving(tree->changes, mailbox, node.serial, node.uid, &message)))
		return view_error(MAILFS_ERROR_STALE, "the message is no more");
	tree_stat_message(tree, &message, out);
	return answer_ok;
}

/* --- names
 * ---------------------------------------------------------------------------------------------- */

/* A message that was moved here and is not listed yet. */
typedef struct {
	Changes *changes;
	Mailbox *mailbox;
} Coming;

static gboolean
wait_for_coming(gpointer wait_for, MailboxWake wake, gpointer user)
{
	g_autofree Coming *coming = wait_for;

	return changes_await(coming->changes, coming->mailbox, wake, user);
}

/* Is there anything to wait for? What waits for the line itself, or stays hidden where it cannot be
 * removed, brings no news. */
static gboolean
is_awaited(const Tree *tree, Mailbox *mailbox, gboolean patient)
{
	return patient && tree->changes != NULL && changes_busy(tree->changes, mailbox);
}

static TreeAnswer
later_coming(Tree *tree, Mailbox *mailbox)
{
	Coming *coming = g_new0(Coming, 1);

	*coming = (Coming){tree->changes, mailbox};
	return (TreeAnswer){.result = TREE_LATER, .wait = wait_for_coming, .wait_for = coming};
}

/* It is on its way, and cannot be waited for: the line is lost, or it takes too long. */
static TreeAnswer
out_of_reach(Tree *tree, Mailbox *mailbox)
{
	if (changes_busy(tree->changes, mailbox))
		return view_error(MAILFS_ERROR_TIMEOUT,
				  "the server has not yet said where it is now");
	return view_error(
		MAILFS_ERROR_OFFLINE,
		"it was moved just before the line was lost: where it is now is seen when "
		"the line is back");
}

/* A program is changing this mailbox through the mount. The server tells of each change, and what
 * it tells is asked for: who makes one change after the other does not wait for that. */
static gboolean
is_being_changed(Tree *tree, Mailbox *mailbox)
{
	gint64 when = tree_touch_of(tree, mailbox).when;

	return when != 0 && g_get_monotonic_time() - when < CHANGING_US;
}

TreeAnswer
tree_moved(Tree *tree, guint64 ino, gboolean patient)
{
	Mailbox *mailbox;
	MessageView message;
	gboolean leaving;
	Node node;

	mailbox = tree_mailbox_of_message(tree, ino, &node);
	if (mailbox == NULL || mailbox_get(mailbox, node.serial, node.uid, &message))
		return answer_ok;
	leaving = tree->changes != NULL &&
		  changes_leaving(tree->changes, mailbox, node.serial, node.uid, NULL);
	if ((leaving || mailbox_has(mailbox, node.serial, node.uid)) &&
	    is_awaited(tree, mailbox, patient))
		return later_coming(tree, mailbox);
	if (leaving)
		return out_of_reach(tree, mailbox);
	return view_error(MAILFS_ERROR_STALE, "the message has moved");
}

gboolean
tree_is_coming(Tree *tree, guint64 directory)
{
	Mailbox *mailbox;
	Node node;

	if (tree->changes == NULL || !node_from_ino(directory, &node) || node.kind != NODE_MAILBOX)
		return FALSE;
	mailbox = account_mailbox(tree->account, node.serial);
	return mailbox != NULL && changes_coming(tree->changes, mailbox, NULL);
}

TreeAnswer
tree_find_message(Tree *tree, Mailbox *mailbox, const char *name, gboolean patient,
		  MessageView *out)
{
	MailboxView view;

	/* Only what can be a message is worth asking the server for. */
	if (!g_str_has_suffix(name, ".eml"))
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such mailbox or message");
	mailbox_refresh(mailbox, mailbox_max_age(mailbox, account_dir_time(tree->account)));
	mailbox_view(mailbox, &view);
	if (mailbox_find(mailbox, name, out))
		return answer_ok;
	if (tree->changes != NULL && changes_coming(tree->changes, mailbox, name))
		return is_awaited(tree, mailbox, patient) ? later_coming(tree, mailbox)
							  : out_of_reach(tree, mailbox);
	if (view.syncing && patient &&
	    (!view.listed || (!view.late && !is_being_changed(tree, mailbox))))
		return view_later(mailbox);
	if (!view.listed)
		return view_unlisted(mailbox);
	return view_error(MAILFS_ERROR_NOT_FOUND, "no such message");
}

/* It has another inode number there until the server has said under which UID it is in its new
 * place. */
static gboolean
lookup_coming(Tree *tree, Mailbox *mailbox, const char *name, struct stat *out)
{
	MessageView message;

	if (tree->changes == NULL || !changes_coming(tree->changes, mailbox, name) ||
	    mailbox_find(mailbox, name, &message) ||
	    !changes_find_coming(tree->changes, mailbox, name, &message))
		return FALSE;
	tree_stat_message(tree, &message, out);
	return TRUE;
}

static TreeAnswer
lookup_message(Tree *tree, Mailbox *mailbox, const char *name, gboolean patient, struct stat *out,
	       gboolean *alias_out)
{
	MessageView message;
	g_autofree char *listed = NULL;
	TreeAnswer answer;

	if (lookup_coming(tree, mailbox, name, out)) {
		*alias_out = TRUE;
		return answer_ok;
	}
	answer = tree_find_message(tree, mailbox, name, patient, &message);
	if (answer.result != TREE_OK)
		return answer;
	listed = mailbox_name_of(mailbox, message.uid);
	*alias_out = g_strcmp0(listed, name) != 0;
	tree_stat_message(tree, &message, out);
	return answer_ok;
}

static gboolean
lookup_upload(Tree *tree, guint64 directory, Mailbox *mailbox, const char *name, struct stat *out)
{
	Upload *upload = tree->uploads != NULL && mailbox != NULL
				 ? uploads_find(tree->uploads, mailbox, name)
				 : NULL;

	if (upload == NULL)
		return tree_find_link(tree, directory, name, 0, NULL, out);
	tree_stat_upload(tree, upload, out);
	upload_unref(upload);
	return TRUE;
}

TreeAnswer
tree_lookup(Tree *tree, guint64 directory, const char *name, gboolean patient, struct stat *out,
	    gboolean *alias_out)
{
	Mailbox *mailbox, *child;
	View *view;
	Node node;

	*alias_out = FALSE;
	if (!node_from_ino(directory, &node))
		return view_error(MAILFS_ERROR_STALE, "no such directory");
	view = tree_view_of(tree, &node);
	if (view != NULL)
		return view->ops->lookup(view, &node, name, patient, out, alias_out);
	view = node.serial == NODE_ROOT_SERIAL ? tree_view_by_name(tree, name) : NULL;
	if (view != NULL) {
		Node top = {.kind = view->ops->kind};

		return view->ops->stat(view, &top, out);
	}
	child = account_child(tree->account, node.serial, name);
	if (child != NULL) {
		stat_directory(tree, child, out);
		return answer_ok;
	}
	mailbox = account_mailbox(tree->account, node.serial);
	if (lookup_upload(tree, directory, mailbox, name, out))
		return answer_ok;
	if (mailbox == NULL || (mailbox_attributes(mailbox) & MAILBOX_NOSELECT))
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such mailbox");
	return lookup_message(tree, mailbox, name, patient, out, alias_out);
}

/* --- directories
 * ---------------------------------------------------------------------------------------- */

TreeAnswer
tree_open_directory(Tree *tree, guint64 directory, gboolean patient, guint64 *version_out)
{
	MailboxView known;
	TreeAnswer answer;
	Mailbox *mailbox;
	View *view;
	Node node;

	*version_out = 0;
	if (!node_from_ino(directory, &node))
		return view_error(MAILFS_ERROR_STALE, "no such directory");
	view = tree_view_of(tree, &node);
	if (view != NULL && view->ops->open != NULL)
		return view->ops->open(view, &node, patient, version_out);
	if (node.kind != NODE_MAILBOX)
		return answer_ok;
	account_refresh_folders(tree->account);
	*version_out = account_folders_version(tree->account);
	if (node.serial == NODE_ROOT_SERIAL)
		return answer_ok;
	mailbox = account_mailbox(tree->account, node.serial);
	if (mailbox == NULL)
		return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	if (is_awaited(tree, mailbox, patient) && changes_coming(tree->changes, mailbox, NULL))
		return later_coming(tree, mailbox);
	answer = view_open(&tree->house, mailbox, patient, &known);
	*version_out += known.version + tree_touch_of(tree, mailbox).version;
	return answer;
}

ListingView
tree_listing(Tree *tree, guint64 directory, guint64 cookie)
{
	Mailbox *mailbox = NULL;
	ListingView listing = {0};
	MailboxView known;
	Node node;

	if (node_from_ino(directory, &node) && node.kind == NODE_MAILBOX &&
	    node.serial != NODE_ROOT_SERIAL && cookie < COOKIE_UPLOADS)
		mailbox = account_mailbox(tree->account, node.serial);
	if (mailbox == NULL)
		return listing;
	mailbox_view(mailbox, &known);
	listing.version = account_folders_version(tree->account) + known.version +
			  tree_touch_of(tree, mailbox).version;
	listing.shape = listing.version - known.appended;
	listing.grows = TRUE;
	listing.count = known.count;
	if (cookie > COOKIE_MESSAGES)
		listing.rank = mailbox_rank(mailbox, (guint32)(cookie - COOKIE_MESSAGES));
	return listing;
}

typedef struct {
	Tree *tree;
	TreeEntry entry;
	gpointer user;
	guint n;
	gboolean full;
	GPtrArray *uploads;  /* of the mailbox */
	GHashTable *covered; /* their names: messages of that name are about to be replaced */
} Listing;

static gboolean
add_entry(Listing *listing, const char *name, const struct stat *st, guint64 cookie)
{
	listing->full = !listing->entry(listing->user, name, st, cookie);
	listing->n += !listing->full;
	return !listing->full;
}

static gboolean
list_message(gpointer user, const MessageView *message, const char *file_name)
{
	Listing *listing = user;
	struct stat st;

	if (listing->covered != NULL && g_hash_table_contains(listing->covered, file_name))
		return TRUE;
	tree_stat_message(listing->tree, message, &st);
	return add_entry(listing, file_name, &st, COOKIE_MESSAGES + message->uid);
}

static void
list_children(Tree *tree, guint32 serial, guint64 cookie, Listing *listing)
{
	g_autoptr(GPtrArray) children = account_children(
		tree->account, serial, cookie > COOKIE_DOTDOT ? cookie - COOKIE_DOTDOT + 1 : 0);

	for (guint i = 0; i < children->len; i++) {
		Mailbox *child = children->pdata[i];
		struct stat st;

		stat_directory(tree, child, &st);
		if (!add_entry(listing, mailbox_file_name(child), &st,
			       COOKIE_DIRECTORY(mailbox_directory(child))))
			return;
	}
}

static void
list_uploads(Tree *tree, guint64 cookie, Listing *listing)
{
	for (guint i = 0; listing->uploads != NULL && i < listing->uploads->len; i++) {
		Upload *upload = listing->uploads->pdata[i];
		g_autofree char *name = upload_name(upload);
		UploadView view;
		struct stat st;

		upload_view(upload, &view);
		if (COOKIE_UPLOADS + view.id <= cookie)
			continue;
		tree_stat_upload(tree, upload, &st);
		if (!add_entry(listing, name, &st, COOKIE_UPLOADS + view.id))
			return;
	}
}

static void
take_uploads(Tree *tree, Mailbox *mailbox, Listing *listing)
{
	if (tree->uploads == NULL || uploads_count(tree->uploads, mailbox) == 0)
		return;
	listing->uploads = uploads_of(tree->uploads, mailbox, 0);
	listing->covered = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	for (guint i = 0; i < listing->uploads->len; i++)
		g_hash_table_add(listing->covered, upload_name(listing->uploads->pdata[i]));
}

static TreeAnswer
list_messages(Tree *tree, Mailbox *mailbox, guint64 cookie, gboolean patient, Listing *listing)
{
	MailboxView view;

	/* Looked at before the messages: what arrives in between is found by the next call. */
	mailbox_view(mailbox, &view);
	if (cookie < COOKIE_UPLOADS)
		mailbox_each(mailbox, cookie > COOKIE_MESSAGES ? cookie - COOKIE_MESSAGES + 1 : 1,
			     list_message, listing);
	/* After the last of the messages only. */
	if (view.listed && !listing->full)
		list_uploads(tree, cookie, listing);
	if (listing->n > 0 || view.listed)
		return answer_ok;
	if (view.syncing && patient)
		return view_later(mailbox);
	return view_unlisted(mailbox);
}

static TreeAnswer
list_mailbox(Tree *tree, guint32 serial, guint64 cookie, gboolean patient, Listing *listing)
{
	Mailbox *mailbox = account_mailbox(tree->account, serial);
	TreeAnswer answer;

	if (cookie < COOKIE_MESSAGES)
		list_children(tree, serial, cookie, listing);
	if (listing->full || mailbox == NULL || (mailbox_attributes(mailbox) & MAILBOX_NOSELECT))
		return answer_ok;
	take_uploads(tree, mailbox, listing);
	answer = list_messages(tree, mailbox, cookie, patient, listing);
	g_clear_pointer(&listing->uploads, g_ptr_array_unref);
	g_clear_pointer(&listing->covered, g_hash_table_unref);
	return answer;
}

TreeAnswer
tree_list(Tree *tree, guint64 directory, guint64 cookie, gboolean patient, TreeEntry entry,
	  gpointer user)
{
	Listing listing = {.tree = tree, .entry = entry, .user = user};
	struct stat st;
	TreeAnswer answer;
	View *view;
	Node node;

	if (!node_from_ino(directory, &node))
		return view_error(MAILFS_ERROR_STALE, "no such directory");
	answer = tree_stat(tree, directory, &st);
	if (answer.result != TREE_OK)
		return answer;
	if (cookie < COOKIE_DOT && entry(user, ".", &st, COOKIE_DOT))
		listing.n++;
	if (cookie < COOKIE_DOTDOT && entry(user, "..", &st, COOKIE_DOTDOT))
		listing.n++;
	view = tree_view_of(tree, &node);
	if (view != NULL)
		return view->ops->list(view, &node, MAX(cookie, COOKIE_DOTDOT), patient, entry,
				       user);
	return list_mailbox(tree, node.serial, cookie, patient, &listing);
}

TreeAnswer
tree_readlink(Tree *tree, guint64 ino, char **target_out)
{
	Node node;
	View *view = node_from_ino(ino, &node) ? tree_view_of(tree, &node) : NULL;
	struct stat st;

	if (node.kind == NODE_UPLOAD && node.part != 0 &&
	    tree_find_link(tree, 0, NULL, node.uid, target_out, &st))
		return answer_ok;
	if (view == NULL || view->ops->readlink == NULL)
		return view_error(MAILFS_ERROR_INVALID, "this is no link");
	return view->ops->readlink(view, &node, target_out);
}

TreeAnswer
tree_content(Tree *tree, guint64 ino, guint32 reader, gboolean patient, TreeContent *out)
{
	Node node;
	View *view = node_from_ino(ino, &node) ? tree_view_of(tree, &node) : NULL;

	*out = (TreeContent){0};
	if (view == NULL || view->ops->content == NULL)
		return view_error(MAILFS_ERROR_STALE, "no such file");
	return view->ops->content(view, &node, reader, patient, out);
}

void
tree_content_clear(TreeContent *content)
{
	g_clear_pointer(&content->bytes, g_bytes_unref);
	g_clear_pointer(&content->body, body_unref);
}

Mailbox *
tree_mailbox_of_message(Tree *tree, guint64 ino, Node *node_out)
{
	if (!node_from_ino(ino, node_out) || node_out->kind != NODE_MESSAGE)
		return NULL;
	return account_mailbox_of(tree->account, node_out->serial);
}

void
tree_statvfs(Tree *tree, struct statvfs *out)
{
	AccountQuota quota = account_quota(tree->account);

	memset(out, 0, sizeof *out);
	out->f_bsize = out->f_frsize = 4096;
	out->f_namemax = 255;
	if (!quota.known)
		return; /* as other network filesystems without a quota say: nothing is known,
			   nothing is full */
	out->f_blocks = quota.limit / 4096;
	out->f_bfree = out->f_bavail =
		quota.limit > quota.used ? (quota.limit - quota.used) / 4096 : 0;
}
