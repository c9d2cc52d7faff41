/* SPDX-License-Identifier: MIT */
/* The mailboxes that files wait in. Mailboxes come and go, and get other names; files know theirs
 * by its name. */
#include "mail/uploads-private.h"

#include <string.h>

static int
compare_ids(gconstpointer a, gconstpointer b, gpointer user)
{
	guint32 left = GPOINTER_TO_UINT(a);
	guint32 right = GPOINTER_TO_UINT(b);

	return left < right ? -1 : left > right;
}

/* What the mailbox called @raw will be called; NULL: as it is. (transfer full) */
static char *
new_name_of(const Uploads *uploads, const char *raw)
{
	gsize len = uploads->moved_from != NULL ? strlen(uploads->moved_from) : 0;

	if (len == 0 || strncmp(raw, uploads->moved_from, len) != 0 ||
	    (raw[len] != '\0' && raw[len] != uploads->moved_separator))
		return NULL;
	return g_strconcat(uploads->moved_to, raw + len, NULL);
}

/* When its mailbox is about to have another name: nothing is sent there meanwhile. */
static void
hold(const Uploads *uploads, Folder *folder)
{
	char *name = new_name_of(
		uploads, folder->mailbox != NULL ? mailbox_raw_name(folder->mailbox) : folder->raw);

	if (name == NULL)
		return;
	folder->held = TRUE;
	g_free(folder->moves_to);
	folder->moves_to = name;
}

/* A mount without an Outbox has no such directory, and what waits in it is for no server either. */
static gboolean
is_local(Mailbox *mailbox, const char *raw)
{
	return mailbox != NULL ? (mailbox_attributes(mailbox) & MAILBOX_LOCAL) != 0
			       : g_str_has_prefix(raw, ACCOUNT_LOCAL_PREFIX);
}

Folder *
upload_folder_new(Uploads *uploads, Mailbox *mailbox, const char *raw)
{
	Folder *folder = g_new0(Folder, 1);

	folder->mailbox = mailbox;
	folder->raw = g_strdup(raw);
	folder->local = is_local(mailbox, raw);
	folder->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	folder->by_id = g_tree_new_full(compare_ids, NULL, NULL, NULL);
	folder->agenda = upload_agenda_new(TRUE);
	folder->claimed = g_hash_table_new(NULL, NULL);
	hold(uploads, folder);
	g_ptr_array_add(uploads->folders, folder);
	return folder;
}

void
upload_folder_free(gpointer data)
{
	Folder *folder = data;

	g_hash_table_unref(folder->by_name);
	g_hash_table_unref(folder->claimed);
	g_tree_unref(folder->by_id);
	g_tree_unref(folder->agenda);
	g_free(folder->raw);
	g_free(folder->moves_to);
	g_free(folder);
}

/* What the server calls their mailbox, or called it. */
static const char *
name_of(const Folder *folder)
{
	return folder->mailbox != NULL ? mailbox_raw_name(folder->mailbox) : folder->raw;
}

static void
note_name(Folder *folder)
{
	char *name = g_strdup(name_of(folder));

	g_free(folder->raw);
	folder->raw = name;
}

gboolean
uploads_has_mailbox(Uploads *uploads, Mailbox *mailbox)
{
	return uploads_mailbox_named(uploads, mailbox_raw_name(mailbox)) == mailbox;
}

/* What could not go to a mailbox that was not there can go to this one. */
static void
bind(Folder *folder, Mailbox *mailbox)
{
	folder->mailbox = mailbox;
	folder->listed = FALSE;
	g_hash_table_remove_all(folder->claimed);
	for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
	     node = g_tree_node_next(node)) {
		Upload *upload = g_tree_node_value(node);

		if (upload->state == SPOOL_REFUSED && upload->code == MAILFS_ERROR_NOT_FOUND)
			upload->again = TRUE;
		upload->retry_at = 0;
		upload_stir(upload, FALSE);
	}
}

Folder *
uploads_find_folder(Uploads *uploads, Mailbox *mailbox)
{
	for (guint i = 0; i < uploads->folders->len; i++) {
		Folder *folder = uploads->folders->pdata[i];

		if (folder->mailbox == mailbox)
			return folder;
	}
	/* What waits for a mailbox of that name: it was loaded before the server had told of this
	 * one, or the one that it was written to is no more. */
	for (guint i = 0; i < uploads->folders->len; i++) {
		Folder *folder = uploads->folders->pdata[i];

		if (strcmp(name_of(folder), mailbox_raw_name(mailbox)) != 0 ||
		    (folder->mailbox != NULL && uploads_has_mailbox(uploads, folder->mailbox)))
			continue;
		bind(folder, mailbox);
		return folder;
	}
	return NULL;
}

Folder *
uploads_folder(Uploads *uploads, Mailbox *mailbox)
{
	Folder *folder = uploads_find_folder(uploads, mailbox);

	return folder != NULL ? folder
			      : upload_folder_new(uploads, mailbox, mailbox_raw_name(mailbox));
}

Folder *
uploads_folder_called(Uploads *uploads, const char *raw)
{
	for (guint i = 0; i < uploads->folders->len; i++)
		if (strcmp(name_of(uploads->folders->pdata[i]), raw) == 0)
			return uploads->folders->pdata[i];
	return upload_folder_new(uploads, uploads_mailbox_named(uploads, raw), raw);
}

/* Those of @from lie in @to from now on. */
static void
merge(Folder *from, Folder *to)
{
	GTreeNode *node;

	while ((node = g_tree_node_first(from->by_id)) != NULL) {
		Upload *upload = g_tree_node_value(node);
		g_autofree char *name = uploads_free_name(to, upload->name, upload->id);

		upload_detach(upload);
		upload_attach(upload, to, name);
		upload->unsaved = TRUE;
		upload_place(upload);
	}
}

static Folder *
folder_with(Uploads *uploads, const Mailbox *mailbox)
{
	for (guint i = 0; mailbox != NULL && i < uploads->folders->len; i++)
		if (((Folder *)uploads->folders->pdata[i])->mailbox == mailbox)
			return uploads->folders->pdata[i];
	return NULL;
}

/* A mailbox that is no more, or was not there: the one of that name, if there is any. */
static void
find_mailbox(Uploads *uploads, Folder *folder)
{
	Mailbox *mailbox = uploads_mailbox_named(uploads, name_of(folder));
	Folder *other;

	if (mailbox == NULL && folder->moves_to != NULL)
		mailbox = uploads_mailbox_named(uploads, folder->moves_to);
	other = folder_with(uploads, mailbox);
	if (mailbox != NULL && other == NULL) {
		bind(folder, mailbox);
	} else if (other != NULL && folder->batch == NULL) {
		merge(folder, other);
		bind(other, mailbox);
	}
	if (folder->mailbox == mailbox)
		return;
	/* It is known by its name until there is one. */
	note_name(folder);
	folder->mailbox = NULL;
}

void
uploads_bind(Uploads *uploads, Folder *folder, GPtrArray *renamed)
{
	if (folder->mailbox == NULL || !uploads_has_mailbox(uploads, folder->mailbox))
		find_mailbox(uploads, folder);
	if (strcmp(name_of(folder), folder->raw) == 0)
		return;
	note_name(folder);
	for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
	     node = g_tree_node_next(node)) {
		Upload *upload = g_tree_node_value(node);

		upload->refs++;
		g_ptr_array_add(renamed, upload);
	}
}

void
uploads_look(Uploads *uploads)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);

	uploads_stir(uploads, FALSE);
}

/* --- one that is removed --- */

gboolean
uploads_shut(Uploads *uploads, Mailbox *mailbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);
	Folder *folder = uploads_folder(uploads, mailbox);

	folder->shut = g_tree_nnodes(folder->by_id) == 0;
	return folder->shut;
}

void
uploads_reopen(Uploads *uploads, Mailbox *mailbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);

	uploads_folder(uploads, mailbox)->shut = FALSE;
}

gboolean
uploads_may_enter(Uploads *uploads, const Folder *folder, GError **error)
{
	if (!folder->shut && (folder->local || (folder->mailbox != NULL &&
						uploads_has_mailbox(uploads, folder->mailbox))))
		return TRUE;
	return upload_fail(error, MAILFS_ERROR_NOT_FOUND, "the mailbox is no more");
}

/* --- one that gets another name, with all below it --- */

gboolean
uploads_is_held(const Uploads *uploads, const char *raw)
{
	g_autofree char *name = new_name_of(uploads, raw);

	return name != NULL;
}

static gboolean
copies_held(const Uploads *uploads, const Upload *upload)
{
	return upload->source_raw != NULL && uploads_is_held(uploads, upload->source_raw);
}

/* Something that concerns it is under way. */
static gboolean
is_at_work(const Uploads *uploads)
{
	for (guint i = 0; i < uploads->folders->len; i++) {
		const Folder *folder = uploads->folders->pdata[i];
		const Batch *batch = folder->batch;

		if (batch != NULL &&
		    (folder->held ||
		     (batch->list->len > 0 && copies_held(uploads, batch->list->pdata[0]))))
			return TRUE;
	}
	return FALSE;
}

void
uploads_tell_held(Uploads *uploads)
{
	UploadDone done = NULL;
	gpointer user = NULL;

	g_mutex_lock(&uploads->lock);
	if (uploads->moved_done != NULL && !is_at_work(uploads)) {
		done = uploads->moved_done;
		user = uploads->moved_user;
		uploads->moved_done = NULL;
	}
	g_mutex_unlock(&uploads->lock);
	if (done != NULL)
		done(user, NULL);
}

/* Those whose rows name the mailbox, or one below it. Under the lock. (transfer full) */
static GPtrArray *
concerned(Uploads *uploads)
{
	GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)upload_unref);
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		Upload *upload = value;

		if (upload->over || !upload->stored ||
		    (!upload->folder->held && !copies_held(uploads, upload)))
			continue;
		upload->refs++;
		g_ptr_array_add(list, upload);
	}
	return list;
}

gboolean
uploads_move(Uploads *uploads, Mailbox *mailbox, const char *raw_name, UploadDone done,
	     gpointer user, GError **error)
{
	g_autoptr(GPtrArray) list = NULL;

	g_mutex_lock(&uploads->lock);
	if (uploads->moved_from != NULL) {
		g_mutex_unlock(&uploads->lock);
		return upload_fail(error, MAILFS_ERROR_BUSY,
				   "another mailbox is being renamed at this moment");
	}
	uploads->moved_from = g_strdup(mailbox_raw_name(mailbox));
	uploads->moved_to = g_strdup(raw_name);
	uploads->moved_separator = mailbox_separator(mailbox);
	for (guint i = 0; i < uploads->folders->len; i++)
		hold(uploads, uploads->folders->pdata[i]);
	list = concerned(uploads);
	g_mutex_unlock(&uploads->lock);
	if (list->len > 0 && !uploads_save(uploads, (Upload **)list->pdata, list->len, error)) {
		uploads_moved(uploads, FALSE, FALSE);
		return FALSE;
	}
	g_mutex_lock(&uploads->lock);
	uploads->moved_done = done;
	uploads->moved_user = user;
	g_mutex_unlock(&uploads->lock);
	uploads_tell_held(uploads);
	return TRUE;
}

/* Under the lock. */
static void
move_sources(const Uploads *uploads, const GPtrArray *list)
{
	for (guint i = 0; i < list->len; i++) {
		Upload *upload = list->pdata[i];
		char *name = upload->source_raw != NULL ? new_name_of(uploads, upload->source_raw)
							: NULL;

		if (name == NULL)
			continue;
		g_free(upload->source_raw);
		upload->source_raw = name;
	}
}

void
uploads_moved(Uploads *uploads, gboolean done, gboolean known)
{
	g_autoptr(GPtrArray) list = NULL;
	g_autoptr(GError) error = NULL;

	g_mutex_lock(&uploads->lock);
	list = concerned(uploads);
	if (done)
		move_sources(uploads, list);
	for (guint i = 0; i < uploads->folders->len; i++) {
		Folder *folder = uploads->folders->pdata[i];

		if (!folder->held)
			continue;
		folder->held = FALSE;
		if (known)
			g_clear_pointer(&folder->moves_to, g_free);
		note_name(folder);
	}
	g_clear_pointer(&uploads->moved_from, g_free);
	g_clear_pointer(&uploads->moved_to, g_free);
	uploads_stir(uploads, TRUE);
	g_mutex_unlock(&uploads->lock);
	/* Should that fail: the rows have both names. */
	if (list->len > 0 && !uploads_save(uploads, (Upload **)list->pdata, list->len, &error))
		g_debug("uploads: %s", error->message);
}
