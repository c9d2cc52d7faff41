/* SPDX-License-Identifier: MIT */
#include "fs/tree.h"

#include <stdlib.h>
#include <string.h>

#include "mail/mime.h"

#define CONTROL_NAME ".mailfs"
#define SPECIAL_NAME ".special"

/* Cookies: "." and "..", then sub-mailboxes by serial, then messages by UID. */
#define COOKIE_DOT		 1u
#define COOKIE_DOTDOT		 2u
#define COOKIE_DIRECTORY(serial) (2u + (guint64)(serial))
#define COOKIE_MESSAGES		 (1ull << 32)

struct Tree {
	Account *account;
	const TreePage *pages;
	gpointer page_user;
	char *authserv_id;
	uid_t uid;
	gid_t gid;
	mode_t directory_mode, file_mode;
	time_t started;
};

static const struct {
	const char *name;
	guint attribute;
} specials[] = {
	{"all", MAILBOX_ALL},	{"archive", MAILBOX_ARCHIVE}, {"drafts", MAILBOX_DRAFTS},
	{"junk", MAILBOX_JUNK}, {"sent", MAILBOX_SENT},	      {"trash", MAILBOX_TRASH},
};

static const TreeAnswer answer_ok = {.result = TREE_OK};

Tree *
tree_new(const TreeConfig *config)
{
	Tree *tree = g_new0(Tree, 1);

	tree->account = config->account;
	tree->pages = config->pages;
	tree->page_user = config->page_user;
	tree->authserv_id = g_strdup(config->authserv_id);
	tree->uid = config->uid;
	tree->gid = config->gid;
	tree->directory_mode = S_IFDIR | (0777 & ~config->umask);
	tree->file_mode = S_IFREG | ((config->read_only ? 0444 : 0666) & ~config->umask);
	tree->started = time(NULL);
	return tree;
}

void
tree_free(Tree *tree)
{
	if (tree == NULL)
		return;
	g_free(tree->authserv_id);
	g_free(tree);
}

static TreeAnswer answer_error(MailfsError code, const char *format, ...) G_GNUC_PRINTF(2, 3);

static TreeAnswer
answer_error(MailfsError code, const char *format, ...)
{
	TreeAnswer answer = {.result = TREE_ERROR};
	va_list args;

	va_start(args, format);
	answer.error = g_error_new_valist(MAILFS_ERROR, code, format, args);
	va_end(args);
	return answer;
}

static TreeAnswer
answer_later(Mailbox *mailbox)
{
	return (TreeAnswer){.result = TREE_LATER, .wait_for = mailbox};
}

/* --- attributes
 * ----------------------------------------------------------------------------------------- */

static void
stat_common(const Tree *tree, guint64 ino, mode_t mode, gint64 time, struct stat *out)
{
	memset(out, 0, sizeof *out);
	out->st_ino = ino;
	out->st_mode = mode;
	out->st_nlink = 1;
	out->st_uid = tree->uid;
	out->st_gid = tree->gid;
	out->st_blksize = 4096;
	out->st_mtim.tv_sec = out->st_ctim.tv_sec = out->st_atim.tv_sec = time;
}

static void
stat_size(struct stat *out, guint64 size)
{
	out->st_size = size;
	out->st_blocks = (size + 511) / 512;
}

static void
stat_message(const Tree *tree, const MessageView *message, struct stat *out)
{
	stat_common(tree, node_ino_of_message(message->serial, message->uid), tree->file_mode,
		    message->date, out);
	stat_size(out, message->size);
}

/* @mailbox NULL: the root. */
static void
stat_directory(const Tree *tree, Mailbox *mailbox, struct stat *out)
{
	guint32 serial = mailbox != NULL ? mailbox_directory(mailbox) : NODE_ROOT_SERIAL;
	MailboxView view = {.changed = account_changed(tree->account)};

	if (mailbox != NULL)
		mailbox_view(mailbox, &view);
	stat_common(tree, node_ino_of_directory(serial), tree->directory_mode, view.changed, out);
	out->st_nlink = 2 + account_n_children(tree->account, serial);
}

static guint
n_pages(const Tree *tree)
{
	guint n = 0;

	while (tree->pages[n].name != NULL)
		n++;
	return n;
}

static void
stat_control(const Tree *tree, guint part, struct stat *out)
{
	guint64 ino = node_to_ino((Node){.kind = NODE_CONTROL, .part = part});

	if (part == 0) {
		stat_common(tree, ino, tree->directory_mode & ~(mode_t)0222, tree->started, out);
		out->st_nlink = 2;
		return;
	}
	stat_common(tree, ino, S_IFREG | (tree->file_mode & 0444), time(NULL), out);
	{
		g_autofree char *text = tree->pages[part - 1].render(tree->page_user);

		stat_size(out, strlen(text));
	}
}

/* The mailbox with this special use; INBOX-near ones first when several claim it. */
static Mailbox *
find_special(const Tree *tree, guint attribute)
{
	g_autoptr(GPtrArray) mailboxes = account_mailboxes(tree->account);

	for (guint i = 0; i < mailboxes->len; i++)
		if (mailbox_attributes(mailboxes->pdata[i]) & attribute)
			return mailboxes->pdata[i];
	return NULL;
}

static gboolean
stat_special(const Tree *tree, guint part, struct stat *out)
{
	guint64 ino = node_to_ino((Node){.kind = NODE_SPECIAL, .part = part});
	Mailbox *mailbox;

	if (part == 0) {
		stat_common(tree, ino, tree->directory_mode & ~(mode_t)0222, tree->started, out);
		out->st_nlink = 2;
		return TRUE;
	}
	mailbox = part <= G_N_ELEMENTS(specials) ? find_special(tree, specials[part - 1].attribute)
						 : NULL;
	if (mailbox == NULL)
		return FALSE;
	stat_common(tree, ino, S_IFLNK | 0777, tree->started, out);
	{
		g_autofree char *path = account_path(tree->account, mailbox);

		stat_size(out, strlen(path) + strlen("../"));
	}
	return TRUE;
}

TreeAnswer
tree_stat(Tree *tree, guint64 ino, struct stat *out)
{
	MessageView message;
	Mailbox *mailbox;
	Node node;

	if (!node_from_ino(ino, &node))
		return answer_error(MAILFS_ERROR_STALE, "no such inode");
	switch (node.kind) {
	case NODE_MAILBOX:
		mailbox = account_mailbox(tree->account, node.serial);
		if (mailbox == NULL && node.serial != NODE_ROOT_SERIAL)
			return answer_error(MAILFS_ERROR_STALE, "the mailbox is no more");
		stat_directory(tree, mailbox, out);
		return answer_ok;
	case NODE_MESSAGE:
		mailbox = account_mailbox_of(tree->account, node.serial);
		if (mailbox == NULL)
			return answer_error(MAILFS_ERROR_STALE, "UIDVALIDITY has changed");
		if (!mailbox_get(mailbox, node.serial, node.uid, &message))
			return answer_error(MAILFS_ERROR_STALE, "the message is no more");
		stat_message(tree, &message, out);
		return answer_ok;
	case NODE_CONTROL:
		if (node.part > n_pages(tree))
			return answer_error(MAILFS_ERROR_NOT_FOUND, "no such page");
		stat_control(tree, node.part, out);
		return answer_ok;
	case NODE_SPECIAL:
		if (!stat_special(tree, node.part, out))
			return answer_error(MAILFS_ERROR_NOT_FOUND,
					    "no mailbox has this special use");
		return answer_ok;
	}
	return answer_error(MAILFS_ERROR_STALE, "no such inode");
}

/* --- names
 * ---------------------------------------------------------------------------------------------- */

static TreeAnswer
lookup_control(Tree *tree, const char *name, struct stat *out)
{
	for (guint i = 0; i < n_pages(tree); i++)
		if (strcmp(tree->pages[i].name, name) == 0) {
			stat_control(tree, i + 1, out);
			return answer_ok;
		}
	return answer_error(MAILFS_ERROR_NOT_FOUND, "no such page");
}

static TreeAnswer
lookup_special(Tree *tree, const char *name, struct stat *out)
{
	for (guint i = 0; i < G_N_ELEMENTS(specials); i++)
		if (strcmp(specials[i].name, name) == 0 && stat_special(tree, i + 1, out))
			return answer_ok;
	return answer_error(MAILFS_ERROR_NOT_FOUND, "no mailbox has this special use");
}

/* Why a mailbox that was never listed cannot be looked at. */
static TreeAnswer
answer_unlisted(Mailbox *mailbox)
{
	TreeAnswer answer = {.result = TREE_ERROR, .error = mailbox_error(mailbox)};

	if (answer.error == NULL)
		answer.error = g_error_new(MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
					   "%s: the server has not listed it yet",
					   mailbox_file_name(mailbox));
	return answer;
}

static TreeAnswer
lookup_message(Tree *tree, Mailbox *mailbox, const char *name, gboolean patient, struct stat *out,
	       gboolean *alias_out)
{
	MessageView message;
	MailboxView view;

	/* Only what can be a message is worth asking the server for. */
	if (!g_str_has_suffix(name, ".eml"))
		return answer_error(MAILFS_ERROR_NOT_FOUND, "no such mailbox or message");
	mailbox_refresh(mailbox, account_dir_time(tree->account));
	mailbox_view(mailbox, &view);
	if (mailbox_find(mailbox, name, &message)) {
		g_autofree char *listed = mailbox_name_of(mailbox, message.uid);

		*alias_out = g_strcmp0(listed, name) != 0;
		stat_message(tree, &message, out);
		return answer_ok;
	}
	if (view.syncing && patient && (!view.listed || !view.late))
		return answer_later(mailbox);
	if (!view.listed)
		return answer_unlisted(mailbox);
	return answer_error(MAILFS_ERROR_NOT_FOUND, "no such message");
}

TreeAnswer
tree_lookup(Tree *tree, guint64 directory, const char *name, gboolean patient, struct stat *out,
	    gboolean *alias_out)
{
	Mailbox *mailbox, *child;
	Node node;

	*alias_out = FALSE;
	if (!node_from_ino(directory, &node))
		return answer_error(MAILFS_ERROR_STALE, "no such directory");
	if (node.kind == NODE_CONTROL)
		return lookup_control(tree, name, out);
	if (node.kind == NODE_SPECIAL)
		return lookup_special(tree, name, out);
	if (node.serial == NODE_ROOT_SERIAL && strcmp(name, CONTROL_NAME) == 0)
		return tree_stat(tree, node_to_ino((Node){.kind = NODE_CONTROL}), out);
	if (node.serial == NODE_ROOT_SERIAL && strcmp(name, SPECIAL_NAME) == 0)
		return tree_stat(tree, node_to_ino((Node){.kind = NODE_SPECIAL}), out);
	child = account_child(tree->account, node.serial, name);
	if (child != NULL) {
		stat_directory(tree, child, out);
		return answer_ok;
	}
	mailbox = account_mailbox(tree->account, node.serial);
	if (mailbox == NULL || (mailbox_attributes(mailbox) & MAILBOX_NOSELECT))
		return answer_error(MAILFS_ERROR_NOT_FOUND, "no such mailbox");
	return lookup_message(tree, mailbox, name, patient, out, alias_out);
}

/* --- directories
 * ---------------------------------------------------------------------------------------- */

TreeAnswer
tree_open_directory(Tree *tree, guint64 directory, gboolean patient, guint64 *version_out)
{
	Mailbox *mailbox;
	MailboxView view;
	Node node;

	*version_out = 0;
	if (!node_from_ino(directory, &node))
		return answer_error(MAILFS_ERROR_STALE, "no such directory");
	if (node.kind != NODE_MAILBOX)
		return answer_ok;
	account_refresh_folders(tree->account);
	*version_out = account_folders_version(tree->account);
	if (node.serial == NODE_ROOT_SERIAL)
		return answer_ok;
	mailbox = account_mailbox(tree->account, node.serial);
	if (mailbox == NULL)
		return answer_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	mailbox_refresh(mailbox, account_dir_time(tree->account));
	mailbox_view(mailbox, &view);
	*version_out += view.version;
	if (view.syncing && view.listed && !view.late && patient)
		return answer_later(mailbox);
	if (!view.listed && !view.syncing)
		return answer_unlisted(mailbox);
	return answer_ok;
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
		return answer_later(mailbox);
	return answer_unlisted(mailbox);
}

static TreeAnswer
list_fixed(Tree *tree, const Node *node, guint64 cookie, Listing *listing)
{
	guint n = node->kind == NODE_CONTROL ? n_pages(tree) : G_N_ELEMENTS(specials);

	for (guint part = cookie > COOKIE_DOTDOT ? cookie - COOKIE_DOTDOT + 1 : 1; part <= n;
	     part++) {
		const char *name = node->kind == NODE_CONTROL ? tree->pages[part - 1].name
							      : specials[part - 1].name;
		struct stat st;

		if (node->kind == NODE_CONTROL)
			stat_control(tree, part, &st);
		else if (!stat_special(tree, part, &st))
			continue;
		if (!listing->entry(listing->user, name, &st, COOKIE_DIRECTORY(part)))
			break;
	}
	return answer_ok;
}

TreeAnswer
tree_list(Tree *tree, guint64 directory, guint64 cookie, gboolean patient, TreeEntry entry,
	  gpointer user)
{
	Listing listing = {.tree = tree, .entry = entry, .user = user};
	struct stat st;
	TreeAnswer answer;
	Node node;

	if (!node_from_ino(directory, &node))
		return answer_error(MAILFS_ERROR_STALE, "no such directory");
	answer = tree_stat(tree, directory, &st);
	if (answer.result != TREE_OK)
		return answer;
	if (cookie < COOKIE_DOT && entry(user, ".", &st, COOKIE_DOT))
		listing.n++;
	if (cookie < COOKIE_DOTDOT && entry(user, "..", &st, COOKIE_DOTDOT))
		listing.n++;
	if (node.kind != NODE_MAILBOX)
		return list_fixed(tree, &node, cookie, &listing);
	return list_mailbox(tree, node.serial, cookie, patient, &listing);
}

TreeAnswer
tree_readlink(Tree *tree, guint64 ino, char **target_out)
{
	g_autofree char *path = NULL;
	Mailbox *mailbox = NULL;
	Node node;

	if (node_from_ino(ino, &node) && node.kind == NODE_SPECIAL && node.part >= 1 &&
	    node.part <= G_N_ELEMENTS(specials))
		mailbox = find_special(tree, specials[node.part - 1].attribute);
	if (mailbox == NULL)
		return answer_error(MAILFS_ERROR_NOT_FOUND, "no mailbox has this special use");
	path = account_path(tree->account, mailbox);
	*target_out = g_strconcat("../", path, NULL);
	return answer_ok;
}

char *
tree_page(Tree *tree, guint64 ino)
{
	Node node;

	if (!node_from_ino(ino, &node) || node.kind != NODE_CONTROL || node.part == 0 ||
	    node.part > n_pages(tree))
		return NULL;
	return tree->pages[node.part - 1].render(tree->page_user);
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
