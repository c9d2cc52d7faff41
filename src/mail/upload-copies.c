/* SPDX-License-Identifier: MIT */
/* Files that are to become copies of messages, which the server makes: no byte travels. What the
 * copy shall have and COPY does not give it comes after: its flags by a STORE; another time than
 * the message has cannot be had so, and makes it a file of its own. */
#include "mail/uploads-private.h"

#include <string.h>

#include "mail/mailbox-private.h"

#define PIECE (1024 * 1024)

gboolean
upload_copy_of(Upload *upload, Mailbox *mailbox, guint32 serial, guint32 uid, GError **error)
{
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);
	g_autoptr(GMutexLocker) locker = NULL;
	g_autoptr(MessageCopy) copy = NULL;
	MessageView message;
	MailboxView view;

	mailbox_view(mailbox, &view);
	if (view.messages != serial)
		return upload_fail(error, MAILFS_ERROR_STALE,
				   "the server has renumbered its messages");
	if (mailbox_get(mailbox, serial, uid, &message))
		copy = mailbox_copy_of(mailbox, serial, uid);
	if (copy == NULL)
		return upload_fail(error, MAILFS_ERROR_NOT_FOUND, "no such message");
	locker = g_mutex_locker_new(&upload->uploads->lock);
	if (upload->over || upload_is_sent(upload) || upload->size > 0 || upload->folder->local)
		return upload_fail(error, MAILFS_ERROR_UNSUPPORTED,
				   "only an empty file can be a copy");
	g_free(upload->message_id);
	upload->message_id = g_strdup(copy->message_id);
	g_free(upload->source_raw);
	upload->source_raw = g_strdup(mailbox_raw_name(mailbox));
	upload->source_validity = view.uidvalidity;
	upload->source_uid = uid;
	upload->size = message.size;
	upload->mtime = message.date;
	/* Who copies a message wants one that stays. */
	upload->flags = message.flags & ~(guint32)(MESSAGE_DELETED | MESSAGE_RECENT);
	g_free(upload->keywords);
	upload->keywords = g_strdup(copy->info.keywords);
	upload->dirty = TRUE;
	return TRUE;
}

gboolean
upload_source(Upload *upload, Mailbox **mailbox_out, guint32 *serial_out, guint32 *uid_out)
{
	g_autofree char *raw = NULL;
	guint32 validity;
	MailboxView view = {0};

	g_mutex_lock(&upload->uploads->lock);
	raw = g_strdup(upload->source_raw);
	validity = upload->source_validity;
	*uid_out = upload->source_uid;
	g_mutex_unlock(&upload->uploads->lock);
	if (raw == NULL)
		return FALSE;
	*mailbox_out = uploads_mailbox_named(upload->uploads, raw);
	if (*mailbox_out != NULL) {
		/* After a start nobody need have looked at it yet. */
		mailbox_load(*mailbox_out);
		mailbox_view(*mailbox_out, &view);
	}
	*serial_out = view.uidvalidity == validity ? view.messages : 0;
	return TRUE;
}

/* Is the message that it is to become a copy of still listed? */
gboolean
upload_has_source(Upload *upload)
{
	Mailbox *mailbox;
	MessageView message;
	guint32 serial, uid;

	return upload_source(upload, &mailbox, &serial, &uid) && mailbox != NULL &&
	       mailbox_get(mailbox, serial, uid, &message);
}

Upload *
uploads_find_copying(Uploads *uploads, const char *raw, guint32 validity, guint32 uid)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		Upload *upload = value;

		if (upload->source_raw != NULL && upload->source_uid == uid &&
		    upload->source_validity == validity && upload_is_busy(upload) &&
		    strcmp(upload->source_raw, raw) == 0)
			return upload;
	}
	return NULL;
}

Upload *
uploads_copying(Uploads *uploads, Mailbox *mailbox, guint32 serial, guint32 uid)
{
	g_autoptr(GMutexLocker) locker = NULL;
	Upload *upload;
	MailboxView view;

	mailbox_view(mailbox, &view);
	if (view.messages != serial)
		return NULL;
	locker = g_mutex_locker_new(&uploads->lock);
	upload = uploads_find_copying(uploads, mailbox_raw_name(mailbox), view.uidvalidity, uid);
	if (upload != NULL)
		upload->refs++;
	return upload;
}

/* --- a file of its own after all --- */

/* @from NULL: it is to be empty. Under `disk`. */
static gboolean
fill(Upload *upload, const Body *from, GError **error)
{
	Uploads *uploads = upload->uploads;
	guint64 size = from != NULL ? body_size(from) : 0;
	g_autofree char *piece = g_malloc(PIECE);
	int fd;

	g_mutex_lock(&uploads->lock);
	g_clear_pointer(&upload->source_raw, g_free);
	upload->source_uid = upload->source_validity = 0;
	upload->own_time = FALSE;
	upload->size = 0;
	upload->dirty = TRUE;
	fd = upload_open(upload);
	g_mutex_unlock(&uploads->lock);
	for (guint64 at = 0; at < size;) {
		gssize n = body_read(from, piece, PIECE, at);

		if (n <= 0)
			return upload_fail(error, MAILFS_ERROR_NOT_FOUND, "its bytes are gone");
		if (!upload_check_write(fd, piece, (gsize)n, at, error))
			return FALSE;
		at += (guint64)n;
	}
	g_mutex_lock(&uploads->lock);
	upload->size = size;
	g_mutex_unlock(&uploads->lock);
	return TRUE;
}

gboolean
upload_take_bytes(Upload *upload, gboolean all, GError **error)
{
	g_autoptr(Body) from = NULL;
	Mailbox *mailbox;
	guint32 serial;
	guint32 uid;

	if (!upload_source(upload, &mailbox, &serial, &uid))
		return TRUE;
	if (all && mailbox != NULL)
		from = mailbox_open_cached(mailbox, serial, uid);
	if (all && from == NULL)
		return upload_fail(
			error, MAILFS_ERROR_UNSUPPORTED,
			"it is a copy of a message that is not here: read that one first");
	return fill(upload, from, error);
}

/* On any thread. */
static void
on_bytes(gpointer user, Body *body, const GError *error)
{
	Batch *batch = user;

	batch->body = body;
	batch->error = body == NULL && error != NULL ? g_error_copy(error) : NULL;
	batch_push(batch);
}

void
batch_start_fetch(Batch *batch)
{
	Mailbox *mailbox;
	guint32 serial;
	guint32 uid;

	if (account_pool(batch->uploads->account) == NULL ||
	    !upload_source(batch->list->pdata[0], &mailbox, &serial, &uid) || mailbox == NULL) {
		batch->error = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
						   "the message it is a copy of cannot be read");
		batch_push(batch);
		return;
	}
	mailbox_open(mailbox, serial, uid, 0, on_bytes, batch);
}

gboolean
batch_fill(Batch *batch, GError **error)
{
	Upload *upload = batch->list->pdata[0];
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);
	g_autoptr(GMutexLocker) locker = NULL;

	if (batch->error != NULL) {
		g_propagate_error(error, g_error_copy(batch->error));
		return FALSE;
	}
	if (!fill(upload, batch->body, error))
		return FALSE;
	/* The worker completes it, as if it had been written. */
	locker = g_mutex_locker_new(&upload->uploads->lock);
	upload->state = SPOOL_OPEN;
	upload->again = TRUE;
	upload_place(upload);
	return TRUE;
}
