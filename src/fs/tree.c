/* SPDX-License-Identifier: MIT */
#include "fs/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fs/view-control.h"
#include "fs/view-maildir.h"
#include "fs/view-parts.h"
#include "fs/view-search.h"
#include "fs/view-special.h"
#include "fs/view-text.h"
#include "fs/view.h"
#include "mail/mime.h"

/* Cookies: "." and "..", then sub-mailboxes by serial, then messages by UID. */
#define COOKIE_DOT		 1u
#define COOKIE_DOTDOT		 2u
#define COOKIE_DIRECTORY(serial) (2u + (guint64)(serial))
#define COOKIE_MESSAGES		 (1ull << 32)

struct Tree {
	Account *account;
	char *authserv_id;
	ViewHouse house;
	GPtrArray *views; /* of View */
};

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
	tree->authserv_id = g_strdup(config->authserv_id);
	tree->house = (ViewHouse){
		.account = config->account,
		.uid = config->uid,
		.gid = config->gid,
		.directory_mode = S_IFDIR | (0777 & ~config->umask),
		.file_mode = S_IFREG | ((config->read_only ? 0444 : 0666) & ~config->umask),
		.started = time(NULL),
	};
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
	g_free(tree->authserv_id);
	g_free(tree);
}

/* The view a node belongs to, NULL for mailboxes and messages. */
static View *
view_of(const Tree *tree, const Node *node)
{
	for (guint i = 0; i < tree->views->len; i++) {
		View *view = tree->views->pdata[i];

		if (view->ops->kind == node->kind)
			return view;
	}
	return NULL;
}

static View *
view_by_name(const Tree *tree, const char *name)
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

static void
stat_message(const Tree *tree, const MessageView *message, struct stat *out)
{
	view_stat_file(&tree->house, node_ino_of_message(message->serial, message->uid),
		       message->size, message->date, out);
}

/* @mailbox NULL: the root. */
static void
stat_directory(const Tree *tree, Mailbox *mailbox, struct stat *out)
{
	guint32 serial = mailbox != NULL ? mailbox_directory(mailbox) : NODE_ROOT_SERIAL;
	MailboxView view = {.changed = account_changed(tree->account)};

	if (mailbox != NULL)
		mailbox_view(mailbox, &view);
	view_stat_directory(&tree->house, node_ino_of_directory(serial), view.changed,
			    account_n_children(tree->account, serial), out);
	out->st_mode = tree->house.directory_mode;
}

TreeAnswer
tree_stat(Tree *tree, guint64 ino, struct stat *out)
{
	MessageView message;
	Mailbox *mailbox;
	View *view;
	Node node;

	if (!node_from_ino(ino, &node))
		return view_error(MAILFS_ERROR_STALE, "no such inode");
	view = view_of(tree, &node);
	if (view != NULL)
		return view->ops->stat(view, &node, out);
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
	if (!mailbox_get(mailbox, node.serial, node.uid, &message))
		return view_error(MAILFS_ERROR_STALE, "the message is no more");
	stat_message(tree, &message, out);
	return answer_ok;
}

/* --- names
 * ---------------------------------------------------------------------------------------------- */

static TreeAnswer
lookup_message(Tree *tree, Mailbox *mailbox, const char *name, gboolean patient, struct stat *out,
	       gboolean *alias_out)
{
	MessageView message;
	MailboxView view;

	/* Only what can be a message is worth asking the server for. */
	if (!g_str_has_suffix(name, ".eml"))
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such mailbox or message");
	mailbox_refresh(mailbox, mailbox_max_age(mailbox, account_dir_time(tree->account)));
	mailbox_view(mailbox, &view);
	if (mailbox_find(mailbox, name, &message)) {
		g_autofree char *listed = mailbox_name_of(mailbox, message.uid);

		*alias_out = g_strcmp0(listed, name) != 0;
		stat_message(tree, &message, out);
		return answer_ok;
	}
	if (view.syncing && patient && (!view.listed || !view.late))
		return view_later(mailbox);
	if (!view.listed)
		return view_unlisted(mailbox);
	return view_error(MAILFS_ERROR_NOT_FOUND, "no such message");
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
	view = view_of(tree, &node);
	if (view != NULL)
		return view->ops->lookup(view, &node, name, patient, out, alias_out);
	view = node.serial == NODE_ROOT_SERIAL ? view_by_name(tree, name) : NULL;
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
	view = view_of(tree, &node);
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
	answer = view_open(&tree->house, mailbox, patient, &known);
	*version_out += known.version;
	return answer;
}

typedef struct {
	Tree *tree;
	TreeEntry entry;
	gpointer user;
	guint n;
} Listing;

static gboolean
list_message(gpointer user, const MessageView *message, const char *file_name)
{
	Listing *listing = user;
	struct stat st;

	stat_message(listing->tree, message, &st);
	if (!listing->entry(listing->user, file_name, &st, COOKIE_MESSAGES + message->uid))
		return FALSE;
	listing->n++;
	return TRUE;
}

static TreeAnswer
list_mailbox(Tree *tree, guint32 serial, guint64 cookie, gboolean patient, Listing *listing)
{
	Mailbox *mailbox = account_mailbox(tree->account, serial);
	MailboxView view = {.listed = TRUE};

	if (cookie < COOKIE_MESSAGES) {
		g_autoptr(GPtrArray) children =
			account_children(tree->account, serial,
					 cookie > COOKIE_DOTDOT ? cookie - COOKIE_DOTDOT + 1 : 0);

		for (guint i = 0; i < children->len; i++) {
			struct stat st;

			stat_directory(tree, children->pdata[i], &st);
			if (!listing->entry(
				    listing->user, mailbox_file_name(children->pdata[i]), &st,
				    COOKIE_DIRECTORY(mailbox_directory(children->pdata[i]))))
				return answer_ok;
			listing->n++;
		}
	}
	if (mailbox == NULL || (mailbox_attributes(mailbox) & MAILBOX_NOSELECT))
		return answer_ok;
	/* Looked at before the messages: what arrives in between is found by the next call. */
	mailbox_view(mailbox, &view);
	mailbox_each(mailbox, cookie > COOKIE_MESSAGES ? cookie - COOKIE_MESSAGES + 1 : 1,
		     list_message, listing);
	if (listing->n > 0 || view.listed)
		return answer_ok;
	if (view.syncing && patient)
		return view_later(mailbox);
	return view_unlisted(mailbox);
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
	view = view_of(tree, &node);
	if (view != NULL)
		return view->ops->list(view, &node, MAX(cookie, COOKIE_DOTDOT), patient, entry,
				       user);
	return list_mailbox(tree, node.serial, cookie, patient, &listing);
}

TreeAnswer
tree_readlink(Tree *tree, guint64 ino, char **target_out)
{
	Node node;
	View *view = node_from_ino(ino, &node) ? view_of(tree, &node) : NULL;

	if (view == NULL || view->ops->readlink == NULL)
		return view_error(MAILFS_ERROR_INVALID, "this is no link");
	return view->ops->readlink(view, &node, target_out);
}

TreeAnswer
tree_content(Tree *tree, guint64 ino, guint32 reader, gboolean patient, TreeContent *out)
{
	Node node;
	View *view = node_from_ino(ino, &node) ? view_of(tree, &node) : NULL;

	*out = (TreeContent){.fd = -1};
	if (view == NULL || view->ops->content == NULL)
		return view_error(MAILFS_ERROR_STALE, "no such file");
	return view->ops->content(view, &node, reader, patient, out);
}

void
tree_content_clear(TreeContent *content)
{
	g_clear_pointer(&content->bytes, g_bytes_unref);
	util_close_fd(&content->fd);
}

/* --- extended attributes
 * ---------------------------------------------------------------------------------- */

#define XATTR_FLAGS	  "user.mailfs.flags"
#define XATTR_UID	  "user.mailfs.uid"
#define XATTR_UIDVALIDITY "user.mailfs.uidvalidity"
#define XATTR_SUBJECT	  "user.mail.subject"
#define XATTR_FROM	  "user.mail.from"
#define XATTR_TO	  "user.mail.to"
#define XATTR_DATE	  "user.mail.date"
#define XATTR_MESSAGE_ID  "user.mail.message-id"
#define XATTR_AUTH	  "user.mail.auth"

static gboolean
is_xattr(const char *name)
{
	static const char *const names[] = {
		XATTR_FLAGS, XATTR_UID,	 XATTR_UIDVALIDITY, XATTR_SUBJECT, XATTR_FROM,
		XATTR_TO,    XATTR_DATE, XATTR_MESSAGE_ID,  XATTR_AUTH,	   NULL};

	return g_strv_contains(names, name);
}

const char *
tree_xattr_listed(Tree *tree, guint64 ino)
{
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(tree, ino, &node);
	MessageView message;

	if (mailbox == NULL || !mailbox_get(mailbox, node.serial, node.uid, &message))
		return NULL;
	return message.flags != 0 || message.has_keywords ? XATTR_FLAGS : NULL;
}

char *
tree_xattr_from_header(Tree *tree, const char *name, const char *header, gsize len)
{
	g_autofree char *value = NULL;

	if (strcmp(name, XATTR_AUTH) == 0)
		return tree->authserv_id != NULL ? mime_auth_results(header, len, tree->authserv_id)
						 : NULL;
	value = mime_header_field(header, len, name + strlen("user.mail."));
	if (value == NULL)
		return NULL;
	if (strcmp(name, XATTR_FROM) == 0 || strcmp(name, XATTR_TO) == 0)
		return mime_decode_addresses(value, strlen(value));
	if (strcmp(name, XATTR_DATE) == 0)
		return mime_decode_date(value, strlen(value));
	return mime_decode_header(value, strlen(value));
}

TreeXattr
tree_xattr(Tree *tree, guint64 ino, const char *name, char **value_out)
{
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(tree, ino, &node);
	MailboxView view;

	*value_out = NULL;
	if (mailbox == NULL || !is_xattr(name))
		return TREE_XATTR_NONE;
	if (strcmp(name, XATTR_FLAGS) == 0) {
		*value_out = mailbox_flags_text(mailbox, node.uid);
	} else if (strcmp(name, XATTR_UID) == 0) {
		*value_out = g_strdup_printf("%u", node.uid);
	} else if (strcmp(name, XATTR_UIDVALIDITY) == 0) {
		mailbox_view(mailbox, &view);
		*value_out = g_strdup_printf("%u", view.uidvalidity);
	} else if (strcmp(name, XATTR_AUTH) == 0 && tree->authserv_id == NULL) {
		return TREE_XATTR_NONE;
	} else if (strcmp(name, XATTR_TO) != 0 && strcmp(name, XATTR_AUTH) != 0) {
		g_autoptr(GBytes) stored = mailbox_stored_header(mailbox, node.serial, node.uid);

		if (stored == NULL)
			return TREE_XATTR_NEEDS_HEADER;
		*value_out = tree_xattr_from_header(tree, name, g_bytes_get_data(stored, NULL),
						    g_bytes_get_size(stored));
	} else {
		return TREE_XATTR_NEEDS_HEADER;
	}
	return *value_out != NULL ? TREE_XATTR_VALUE : TREE_XATTR_NONE;
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
