/* SPDX-License-Identifier: MIT */
#include "fs/view-maildir.h"

#include <limits.h>
#include <string.h>

#define COOKIE_PART(part)	 (VIEW_FIRST_COOKIE - 1 + (part))
#define COOKIE_DIRECTORY(serial) (16u + (guint64)(serial))
#define COOKIE_MESSAGES		 (1ull << 32)

#define FORMER_AGE_US (60 * G_USEC_PER_SEC)
#define SUFFIX	      ".eml"
#define INFO	      ":2,"
#define TMP_PREFIX    ".tmp-" /* a name that stays local (uploads.h) */

static const TreeAnswer answer_ok = {.result = TREE_OK};

/* In the order in which the letters stand in a name. */
static const struct {
	char letter;
	guint flag;
} letters[] = {
	{'D', MESSAGE_DRAFT}, {'F', MESSAGE_FLAGGED}, {'R', MESSAGE_ANSWERED},
	{'S', MESSAGE_SEEN},  {'T', MESSAGE_DELETED},
};

#define LETTER_FLAGS TREE_NAME_FLAGS

static const char *const part_names[] = {NULL, "cur", "new", "tmp"};

/* --- names
 * ------------------------------------------------------------------------------------------ */

/* @file_name: as listed in the mailbox. */
static void
format_name(const char *file_name, guint flags, char *out, gsize size)
{
	gsize len = strlen(file_name) - strlen(SUFFIX);
	char info[G_N_ELEMENTS(letters) + 1] = "";
	gsize n = 0;

	for (guint i = 0; i < G_N_ELEMENTS(letters); i++)
		if (flags & letters[i].flag)
			info[n++] = letters[i].letter;
	g_snprintf(out, size, "%.*s%s%s", (int)len, file_name, n > 0 ? INFO : "", info);
}

static guint
part_of(guint flags)
{
	return flags & LETTER_FLAGS ? VIEW_MAILDIR_CUR : VIEW_MAILDIR_NEW;
}

static guint
flags_of_letters(const char *info)
{
	guint flags = 0;

	for (guint i = 0; i < G_N_ELEMENTS(letters); i++)
		if (strchr(info, letters[i].letter) != NULL)
			flags |= letters[i].flag;
	return flags;
}

char *
view_maildir_file_name(guint part, const char *name, guint32 *flags_out)
{
	const char *info = strstr(name, INFO);

	*flags_out = 0;
	if (part == VIEW_MAILDIR_TMP)
		return g_strconcat(TMP_PREFIX, name, NULL);
	if (info == NULL)
		return g_strconcat(name, SUFFIX, NULL);
	*flags_out = flags_of_letters(info + strlen(INFO));
	return g_strdup_printf("%.*s" SUFFIX, (int)(info - name), name);
}

/* The flags that a name in @part tells, and the name its message is listed under. (transfer full)
 * NULL: no message is ever called so. */
static char *
parse_name(guint part, const char *name, guint *flags_out)
{
	const char *info = strstr(name, INFO);
	gsize len = info != NULL ? (gsize)(info - name) : strlen(name);
	g_autofree char *file_name = g_strdup_printf("%.*s" SUFFIX, (int)len, name);
	char canonical[NAME_MAX + 1];

	*flags_out = info != NULL ? flags_of_letters(info + strlen(INFO)) : 0;
	format_name(file_name, *flags_out, canonical, sizeof canonical);
	if (part_of(*flags_out) != part || strcmp(canonical, name) != 0)
		return NULL;
	return g_steal_pointer(&file_name);
}

/* A sub-mailbox lies beside cur, new and tmp: one that is called so is spelt as only an escaped
 * name can be (a real % is %25). (transfer full) */
static char *
directory_name(Mailbox *mailbox)
{
	const char *name = mailbox_file_name(mailbox);

	for (guint part = VIEW_MAILDIR_CUR; part <= VIEW_MAILDIR_TMP; part++)
		if (mailbox_parent(mailbox) != NODE_ROOT_SERIAL &&
		    strcmp(name, part_names[part]) == 0)
			return g_strdup_printf("%%%02X%s", (guchar)name[0], name + 1);
	return g_strdup(name);
}

gboolean
view_maildir_is_part(const char *name)
{
	for (guint part = VIEW_MAILDIR_CUR; part <= VIEW_MAILDIR_TMP; part++)
		if (strcmp(name, part_names[part]) == 0)
			return TRUE;
	return FALSE;
}

Mailbox *
view_maildir_child(Account *account, guint32 serial, const char *name)
{
	g_autoptr(GPtrArray) children =
		account_children(account, serial != 0 ? serial : NODE_ROOT_SERIAL, 0);

	for (guint i = 0; i < children->len; i++) {
		g_autofree char *child = directory_name(children->pdata[i]);

		if (strcmp(name, child) == 0)
			return children->pdata[i];
	}
	return NULL;
}

/* --- attributes
 * ------------------------------------------------------------------------------------- */

static gboolean
has_parts(Mailbox *mailbox)
{
	return mailbox != NULL && (mailbox_attributes(mailbox) & MAILBOX_NOSELECT) == 0;
}

static guint32
serial_of(const Node *node)
{
	return node->serial != 0 ? node->serial : NODE_ROOT_SERIAL;
}

/* The time of cur and new is all that programs look at to learn that something has changed, so no
 * change may leave it as it was: the clock's second is refined by the number of changes. What
 * changed in an earlier mount is not known, hence not older than this one. */
static void
stat_part(View *view, Mailbox *mailbox, guint part, struct stat *out)
{
	MailboxView known;
	gint64 time;

	mailbox_view(mailbox, &known);
	time = MAX(MAX(known.changed, known.marked), view->house->started);
	view_stat_directory(view->house, view_maildir_ino(mailbox_directory(mailbox), part),
			    part == VIEW_MAILDIR_TMP ? view->house->started : time, 0, out);
	if (view->house->uploads != NULL)
		out->st_mode = view->house->directory_mode;
	if (part != VIEW_MAILDIR_TMP)
		out->st_mtim.tv_nsec = out->st_ctim.tv_nsec =
			(known.version + known.marks) % G_USEC_PER_SEC * 1000;
}

/* For some programs their time is the only thing they ever ask for again. */
static void
ask_part(View *view, Mailbox *mailbox, guint part, struct stat *out)
{
	if (part != VIEW_MAILDIR_TMP)
		mailbox_refresh(mailbox,
				mailbox_max_age(mailbox, account_dir_time(view->house->account)));
	stat_part(view, mailbox, part, out);
}

/* @mailbox NULL: the top. */
static void
stat_mailbox(View *view, Mailbox *mailbox, struct stat *out)
{
	Account *account = view->house->account;
	guint32 serial = mailbox != NULL ? mailbox_directory(mailbox) : 0;
	guint children = account_n_children(account, mailbox != NULL ? serial : NODE_ROOT_SERIAL) +
			 (has_parts(mailbox) ? VIEW_MAILDIR_TMP : 0);

	view_stat_directory(view->house, view_maildir_ino(serial, VIEW_MAILDIR_MAILBOX),
			    account_changed(account), children, out);
	if (view->house->uploads != NULL)
		out->st_mode = view->house->directory_mode;
}

static TreeAnswer
maildir_stat(View *view, const Node *node, struct stat *out)
{
	Mailbox *mailbox = account_mailbox(view->house->account, node->serial);

	if (node->serial != 0 && mailbox == NULL)
		return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	if (node->part == VIEW_MAILDIR_MAILBOX) {
		stat_mailbox(view, mailbox, out);
		return answer_ok;
	}
	if (node->part > VIEW_MAILDIR_TMP || !has_parts(mailbox))
		return view_error(MAILFS_ERROR_STALE, "no such directory");
	ask_part(view, mailbox, node->part, out);
	return answer_ok;
}

static void
stat_message(View *view, const MessageView *message, struct stat *out)
{
	view_stat_file(view->house, node_ino_of_message(message->serial, message->uid),
		       message->size, message->date, out);
}

/* --- finding
 * ---------------------------------------------------------------------------------------- */

static TreeAnswer
lookup_in_mailbox(View *view, guint32 serial, const char *name, struct stat *out)
{
	Account *account = view->house->account;
	Mailbox *mailbox = account_mailbox(account, serial);
	Mailbox *child;

	for (guint part = VIEW_MAILDIR_CUR; has_parts(mailbox) && part <= VIEW_MAILDIR_TMP; part++)
		if (strcmp(name, part_names[part]) == 0) {
			ask_part(view, mailbox, part, out);
			return answer_ok;
		}
	child = view_maildir_child(account, serial, name);
	if (child == NULL)
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such mailbox");
	stat_mailbox(view, child, out);
	return answer_ok;
}

/* A file that was delivered and is not on the server yet. Its name need not be as a message's
 * is spelt: it is what its writer has called it. */
static gboolean
find_upload(View *view, Mailbox *mailbox, guint part, const char *name, struct stat *out)
{
	guint32 flags;
	g_autofree char *file_name = view_maildir_file_name(part, name, &flags);
	Upload *upload;
	UploadView known;

	if (view->house->uploads == NULL)
		return FALSE;
	upload = uploads_find(view->house->uploads, mailbox, file_name);
	if (upload == NULL)
		return FALSE;
	upload_view(upload, &known);
	view_stat_file(view->house, node_ino_of_upload(known.id), known.size, known.mtime, out);
	out->st_mode = S_IFREG | (known.mode & 0777);
	upload_unref(upload);
	return TRUE;
}

/* TRUE: @file_name is a message's listed name, and @flags are its flags, or (*@alias_out) were. */
static gboolean
find_message(Mailbox *mailbox, const char *file_name, guint flags, MessageView *out,
	     gboolean *alias_out)
{
	g_autofree char *listed = NULL;

	if (!mailbox_find(mailbox, file_name, out))
		return FALSE;
	listed = mailbox_name_of(mailbox, out->uid);
	if (g_strcmp0(listed, file_name) != 0)
		return FALSE; /* by its number */
	*alias_out = (out->flags & LETTER_FLAGS) != flags;
	return !*alias_out || mailbox_had_flags(mailbox, out->uid, flags, FORMER_AGE_US);
}

static TreeAnswer
lookup_message(View *view, Mailbox *mailbox, guint part, const char *name, gboolean patient,
	       struct stat *out, gboolean *alias_out)
{
	g_autofree char *file_name = NULL;
	MessageView message;
	MailboxView known;
	guint flags;

	file_name = parse_name(part, name, &flags);
	if (file_name == NULL)
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such message");
	mailbox_refresh(mailbox, mailbox_max_age(mailbox, account_dir_time(view->house->account)));
	mailbox_view(mailbox, &known);
	if (find_message(mailbox, file_name, flags, &message, alias_out)) {
		stat_message(view, &message, out);
		return answer_ok;
	}
	if (known.syncing && patient && (!known.listed || !known.late))
		return view_later(mailbox);
	if (!known.listed)
		return view_unlisted(mailbox);
	return view_error(MAILFS_ERROR_NOT_FOUND, "no such message");
}

static TreeAnswer
maildir_lookup(View *view, const Node *directory, const char *name, gboolean patient,
	       struct stat *out, gboolean *alias_out)
{
	Mailbox *mailbox;

	if (directory->part == VIEW_MAILDIR_MAILBOX)
		return lookup_in_mailbox(view, serial_of(directory), name, out);
	mailbox = account_mailbox(view->house->account, directory->serial);
	if (!has_parts(mailbox))
		return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	if (find_upload(view, mailbox, directory->part, name, out))
		return answer_ok;
	if (directory->part == VIEW_MAILDIR_TMP)
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such file");
	return lookup_message(view, mailbox, directory->part, name, patient, out, alias_out);
}

/* --- listing
 * ---------------------------------------------------------------------------------------- */

static TreeAnswer
maildir_open(View *view, const Node *directory, gboolean patient, guint64 *version_out)
{
	Account *account = view->house->account;
	MailboxView known;
	TreeAnswer answer;
	Mailbox *mailbox;

	account_refresh_folders(account);
	*version_out = account_folders_version(account);
	if (directory->part == VIEW_MAILDIR_MAILBOX || directory->part == VIEW_MAILDIR_TMP)
		return answer_ok;
	mailbox = account_mailbox(account, directory->serial);
	if (mailbox == NULL)
		return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	answer = view_open(view->house, mailbox, patient, &known);
	*version_out += known.version + known.marks;
	return answer;
}

static TreeAnswer
list_mailbox(View *view, guint32 serial, guint64 cookie, TreeEntry entry, gpointer user)
{
	Account *account = view->house->account;
	Mailbox *mailbox = account_mailbox(account, serial);
	g_autoptr(GPtrArray) children = NULL;
	struct stat st;

	for (guint part = VIEW_MAILDIR_CUR; has_parts(mailbox) && part <= VIEW_MAILDIR_TMP;
	     part++) {
		if (cookie >= COOKIE_PART(part))
			continue;
		stat_part(view, mailbox, part, &st);
		if (!entry(user, part_names[part], &st, COOKIE_PART(part)))
			return answer_ok;
	}
	children = account_children(
		account, serial,
		cookie > COOKIE_DIRECTORY(0) ? (guint32)(cookie - COOKIE_DIRECTORY(0) + 1) : 0);
	for (guint i = 0; i < children->len; i++) {
		Mailbox *child = children->pdata[i];
		g_autofree char *name = directory_name(child);

		stat_mailbox(view, child, &st);
		if (!entry(user, name, &st, COOKIE_DIRECTORY(mailbox_directory(child))))
			break;
	}
	return answer_ok;
}

typedef struct {
	View *view;
	guint part;
	TreeEntry entry;
	gpointer user;
} Listing;

static gboolean
list_message(gpointer user, const MessageView *message, const char *file_name)
{
	Listing *listing = user;
	char name[NAME_MAX + 1];
	struct stat st;

	if (part_of(message->flags) != listing->part)
		return TRUE;
	format_name(file_name, message->flags, name, sizeof name);
	stat_message(listing->view, message, &st);
	return listing->entry(listing->user, name, &st, COOKIE_MESSAGES + message->uid);
}

static TreeAnswer
maildir_list(View *view, const Node *directory, guint64 cookie, gboolean patient, TreeEntry entry,
	     gpointer user)
{
	Listing listing = {view, directory->part, entry, user};
	MailboxView known;
	Mailbox *mailbox;

	if (directory->part == VIEW_MAILDIR_MAILBOX)
		return list_mailbox(view, serial_of(directory), cookie, entry, user);
	if (directory->part == VIEW_MAILDIR_TMP)
		return answer_ok;
	mailbox = account_mailbox(view->house->account, directory->serial);
	if (!has_parts(mailbox))
		return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	/* What is new is known only when all is here: a program that finds half of its messages
	 * gone forgets what it knew of them. */
	mailbox_view(mailbox, &known);
	if (!known.listed)
		return known.syncing && patient ? view_later(mailbox) : view_unlisted(mailbox);
	mailbox_each(mailbox,
		     cookie > COOKIE_MESSAGES ? (guint32)(cookie - COOKIE_MESSAGES + 1) : 1,
		     list_message, &listing);
	return answer_ok;
}

static void
maildir_free(View *view)
{
	g_free(view);
}

static const ViewOps maildir_ops = {
	.name = ".maildir",
	.kind = NODE_MAILDIR,
	.lookup = maildir_lookup,
	.stat = maildir_stat,
	.open = maildir_open,
	.list = maildir_list,
	.free = maildir_free,
};

View *
view_maildir_new(const ViewHouse *house)
{
	View *view = g_new0(View, 1);

	*view = (View){&maildir_ops, house};
	return view;
}
