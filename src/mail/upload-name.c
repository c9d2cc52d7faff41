/* SPDX-License-Identifier: MIT */
/* Names of files that wait, and what takes the place of what. */
#include "mail/uploads-private.h"

#include "mail/name.h"

gboolean
upload_may_be_called(Mailbox *mailbox, const char *name, GError **error)
{
	if (name_parse_uid(name) == 0 || (mailbox_attributes(mailbox) & MAILBOX_LOCAL) != 0)
		return TRUE;
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
		    "%s is the name of the message with that number: give the file another name",
		    name);
	return FALSE;
}

/* 0: they are not those messages any more. */
static guint32
validity_of(Mailbox *mailbox, guint32 serial)
{
	MailboxView view;

	mailbox_view(mailbox, &view);
	return view.messages == serial ? view.uidvalidity : 0;
}

void
upload_replaces(Upload *upload, guint32 serial, guint32 uid)
{
	Mailbox *mailbox = upload_mailbox(upload);
	guint32 validity = mailbox != NULL ? validity_of(mailbox, serial) : 0;

	if (mailbox == NULL)
		return;
	g_mutex_lock(&upload->uploads->lock);
	upload->replaces_validity = validity;
	upload->replaces_uid = validity != 0 ? uid : 0;
	upload->unsaved = TRUE;
	g_mutex_unlock(&upload->uploads->lock);
}

/* Under the lock. */
static gboolean
may_move(Upload *upload, const Folder *folder, const char *name, GError **error)
{
	const Upload *there = g_hash_table_lookup(folder->by_name, name);
	gboolean sent =
		upload_is_sent(upload) || upload->state == SPOOL_STARTED || upload_must_ask(upload);

	if (upload->over)
		return upload_fail(error, MAILFS_ERROR_NOT_FOUND, "the file is no more");
	if (sent && (folder != upload->folder || uploads_name_is_local(name)))
		return upload_fail(error, MAILFS_ERROR_BUSY, "it is on its way to the server");
	if (!uploads_may_enter(upload->uploads, folder, error))
		return FALSE;
	if (there != NULL && there != upload && upload_is_sent(there))
		return upload_fail(error, MAILFS_ERROR_BUSY,
				   "the file of that name is on its way to the server");
	return TRUE;
}

/* Under the lock. */
static void
move(Upload *upload, Folder *folder, const char *name)
{
	upload_detach(upload);
	if (folder != upload->folder) {
		upload->replaces_uid = upload->replaces_validity = 0;
		upload->doubt = FALSE;
	}
	upload_attach(upload, folder, name);
	if (uploads_name_is_local(name) && upload->state != SPOOL_OPEN) {
		upload->state = SPOOL_OPEN;
		upload->dirty = TRUE;
	}
	upload->unsaved = TRUE;
	upload_stir(upload, FALSE);
}

/* What was to give way to @former gives way to what takes its place. Under the lock. */
static void
inherit(Upload *upload, const Upload *former)
{
	if (upload->replaces_uid == 0) {
		upload->replaces_validity = former->replaces_validity;
		upload->replaces_uid = former->replaces_uid;
	}
	upload_inherit_doubt(upload, former);
	upload_look_if_in_doubt(upload);
}

/* A rename under way. */
typedef struct {
	Upload *upload;
	Folder *folder;
	const char *name;
	guint32 validity, uid; /* of the message that goes; UID 0: none */
	UploadProof *proof;
	Upload *there; /* had the name; NULL: nobody. A reference */
	gboolean stored;

	/* As it was before. */
	Folder *from;
	char *former;
	Upload before; /* of its values only */
} Move;

/* Under the lock. */
static void
move_in_memory(Move *way)
{
	Upload *upload = way->upload;

	way->from = upload->folder;
	way->former = g_strdup(upload->name);
	way->before = *upload;
	way->there = g_hash_table_lookup(way->folder->by_name, way->name);
	if (way->there == upload)
		way->there = NULL;
	if (way->there != NULL) {
		way->there->refs++;
		upload_mark_over(way->there);
		g_hash_table_remove(way->folder->by_name, way->name);
	}
	upload_take_proof(upload, way->proof);
	move(upload, way->folder, way->name);
	if (way->there != NULL)
		inherit(upload, way->there);
	upload_place(upload);
	if (way->uid != 0) {
		upload->replaces_validity = way->validity;
		upload->replaces_uid = way->uid;
	}
	/* What is being written, and was never made durable, needs no row for its name. */
	way->stored =
		upload->stored || way->there != NULL || (upload->writers == 0 && upload->size > 0);
}

/* Under the lock. */
static void
move_back(Move *way)
{
	Upload *upload = way->upload;

	move(upload, way->from, way->former);
	upload_undo_proof(upload, way->proof);
	upload->replaces_validity = way->before.replaces_validity;
	upload->replaces_uid = way->before.replaces_uid;
	upload->doubt = way->before.doubt;
	upload_place(upload);
	if (way->there == NULL)
		return;
	way->there->over = FALSE;
	g_hash_table_insert(way->folder->by_name, way->there->name, way->there);
	upload_place(way->there);
}

/* One commit for both: it is there under the name, and what had the name is not. */
static gboolean
move_and_save(Move *way, Mailbox *mailbox, GError **error)
{
	Uploads *uploads = way->upload->uploads;
	g_autoptr(GPtrArray) removed = g_ptr_array_new();
	gboolean possible;

	g_mutex_lock(&uploads->lock);
	way->folder = uploads_folder(uploads, mailbox);
	possible = may_move(way->upload, way->folder, way->name, error);
	if (possible)
		move_in_memory(way);
	g_mutex_unlock(&uploads->lock);
	if (!possible)
		return FALSE;
	if (way->there != NULL)
		g_ptr_array_add(removed, way->there);
	if (!way->stored || uploads_save_and_drop(uploads, &way->upload, 1, removed, error))
		return TRUE;
	g_mutex_lock(&uploads->lock);
	move_back(way);
	g_mutex_unlock(&uploads->lock);
	return FALSE;
}

/* What is not whole takes the place of another: its bytes are on disk before those go. */
static gboolean
prepare(Upload *upload, Mailbox *mailbox, const char *name, UploadProof *proof, GError **error)
{
	Uploads *uploads = upload->uploads;
	Folder *folder;
	const Upload *there;
	gboolean possible;
	gboolean replaces;
	gboolean ended;
	int fd;

	g_mutex_lock(&uploads->lock);
	folder = uploads_folder(uploads, mailbox);
	possible = may_move(upload, folder, name, error);
	there = g_hash_table_lookup(folder->by_name, name);
	replaces = there != NULL && there != upload;
	ended = upload->writers == 0 && upload->size > 0;
	g_mutex_unlock(&uploads->lock);
	if (!possible || (ended && !upload_prove(upload, mailbox, name, proof, error)))
		return FALSE;
	fd = replaces && !proof->whole ? upload_fd(upload) : -1;
	return fd < 0 || spool_sync(uploads->spool, upload->id, fd, error);
}

gboolean
upload_rename_over(Upload *upload, Mailbox *mailbox, const char *name, guint32 serial, guint32 uid,
		   GError **error)
{
	Uploads *uploads = upload->uploads;
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);
	g_auto(UploadProof) proof = {0};
	Move way = {.upload = upload, .name = name, .proof = &proof};
	gboolean moved;

	if (!upload_can_lie_in(mailbox, error) || !upload_may_be_called(mailbox, name, error) ||
	    !prepare(upload, mailbox, name, &proof, error))
		return FALSE;
	if (uid != 0)
		way.validity = validity_of(mailbox, serial);
	way.uid = way.validity != 0 ? uid : 0;
	moved = move_and_save(&way, mailbox, error);
	if (moved && way.from->local && way.from != way.folder && uploads->outlet != NULL)
		uploads->outlet->left(uploads->outlet_user, way.from->mailbox, way.former);
	g_free(way.former);
	if (moved && proof.whole)
		uploads_tell_changed(upload);
	if (moved && way.there != NULL)
		uploads_end_replaced(uploads, way.there);
	upload_unref(way.there);
	return moved;
}

gboolean
upload_rename(Upload *upload, Mailbox *mailbox, const char *name, GError **error)
{
	return upload_rename_over(upload, mailbox, name, 0, 0, error);
}

gboolean
upload_remove(Upload *upload, GError **error)
{
	Uploads *uploads = upload->uploads;
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);

	g_mutex_lock(&uploads->lock);
	/* One that may be there already would come back as a message. */
	if (upload->over || upload_is_sent(upload) || upload->state == SPOOL_STARTED ||
	    upload_must_ask(upload)) {
		gboolean over = upload->over;

		g_mutex_unlock(&uploads->lock);
		return over ? upload_fail(error, MAILFS_ERROR_NOT_FOUND, "the file is no more")
			    : upload_fail(error, MAILFS_ERROR_BUSY,
					  "it is on its way to the server");
	}
	upload_mark_over(upload);
	g_mutex_unlock(&uploads->lock);
	return upload_end_removed(upload, error);
}
