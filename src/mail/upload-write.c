/* SPDX-License-Identifier: MIT */
/* What programs do to a file that the server does not have yet. Each step leaves the spool so that
 * a crash right after it sends nothing half: bytes change only while the row says OPEN, and the row
 * says QUEUED only when the bytes are on disk. */
#include "mail/uploads-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "mail/name.h"
#include "mail/upload-check.h"

#define LIMIT_STEP (1024 * 1024) /* octets between two looks at the server's limit */

gboolean
upload_fail(GError **error, MailfsError code, const char *text)
{
	g_set_error_literal(error, MAILFS_ERROR, code, text);
	return FALSE;
}

static const char no_smtp[] =
	"nothing can be sent: the account has no smtp= (its submission server)";

static gboolean
is_local(Mailbox *mailbox)
{
	return mailbox != NULL && (mailbox_attributes(mailbox) & MAILBOX_LOCAL) != 0;
}

gboolean
upload_can_lie_in(Mailbox *mailbox, GError **error)
{
	guint attributes = mailbox_attributes(mailbox);

	if (attributes & MAILBOX_MAILDROP)
		return upload_fail(error, MAILFS_ERROR_UNSUPPORTED,
				   "nothing can be put into a POP3 maildrop: only mail that is "
				   "delivered comes there");
	if (attributes & MAILBOX_NOSELECT)
		return upload_fail(error, MAILFS_ERROR_UNSUPPORTED,
				   "this mailbox can hold no messages");
	return TRUE;
}

/* --- making one --- */

static gboolean
is_taken(const Folder *folder, const char *name, GError **error)
{
	return g_hash_table_contains(folder->by_name, name) &&
	       !upload_fail(error, MAILFS_ERROR_EXISTS,
			    "a file of that name is on its way already");
}

Upload *
uploads_create(Uploads *uploads, Mailbox *mailbox, const char *name, guint32 mode, GError **error)
{
	Upload *upload;
	g_auto(UtilFd) fd = -1;
	guint32 id;
	Folder *folder;

	if (uploads->read_only && !upload_fail(error, MAILFS_ERROR_READ_ONLY, "mounted read-only"))
		return NULL;
	if (!upload_can_lie_in(mailbox, error))
		return NULL;
	if (is_local(mailbox) && uploads->outlet == NULL &&
	    !upload_fail(error, MAILFS_ERROR_UNSUPPORTED, no_smtp))
		return NULL;
	id = upload_may_be_called(mailbox, name, error) ? spool_add(uploads->spool, &fd, error) : 0;
	if (id == 0)
		return NULL;
	g_mutex_lock(&uploads->lock);
	folder = uploads_folder(uploads, mailbox);
	if (!uploads_may_enter(uploads, folder, error) || is_taken(folder, name, error)) {
		g_mutex_unlock(&uploads->lock);
		spool_remove(uploads->spool, &id, 1, NULL);
		return NULL;
	}
	upload = upload_new(uploads, id);
	upload->refs = 2;
	upload->writers = 1;
	upload->fd = util_steal_fd(&fd);
	upload->mode = mode;
	upload->state = SPOOL_OPEN;
	upload_attach(upload, folder, name);
	g_mutex_unlock(&uploads->lock);
	return upload;
}

gboolean
upload_open_write(Upload *upload, GError **error)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	if (upload->over)
		return upload_fail(error, MAILFS_ERROR_NOT_FOUND, "the file is no more");
	if (upload_is_sent(upload))
		return upload_fail(error, MAILFS_ERROR_BUSY, "it is on its way to the server");
	upload->writers++;
	upload_place(upload);
	return TRUE;
}

/* --- its bytes --- */

/* From here on its bytes may change. Under `disk`. *@fd_out: borrowed. */
static gboolean
begin_change(Upload *upload, gboolean keeps_bytes, int *fd_out, GError **error)
{
	Uploads *uploads = upload->uploads;
	gboolean was_open;
	gboolean stored;

	g_mutex_lock(&uploads->lock);
	if (upload->over || upload_is_sent(upload)) {
		gboolean over = upload->over;

		g_mutex_unlock(&uploads->lock);
		return over ? upload_fail(error, MAILFS_ERROR_NOT_FOUND, "the file is no more")
			    : upload_fail(error, MAILFS_ERROR_BUSY,
					  "it is on its way to the server");
	}
	was_open = upload->state == SPOOL_OPEN;
	stored = upload->stored;
	if (upload->state == SPOOL_STARTED)
		upload_note_doubt(upload, upload);
	upload->state = SPOOL_OPEN;
	upload->again = upload->untouched = FALSE;
	upload->dirty = TRUE;
	upload->code = 0;
	upload_set_reason(upload, "");
	upload_place(upload);
	g_mutex_unlock(&uploads->lock);
	if ((!was_open && stored && !uploads_save(uploads, &upload, 1, error)) ||
	    !upload_take_bytes(upload, keeps_bytes, error))
		return FALSE;
	*fd_out = upload_fd(upload);
	if (*fd_out >= 0)
		return TRUE;
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "spool: %s",
		    g_strerror(errno));
	return FALSE;
}

static gboolean
is_within_limit(Upload *upload, guint64 size, GError **error)
{
	Mailbox *mailbox = upload_mailbox(upload);
	guint64 limit = mailbox == NULL || is_local(mailbox) ? 0 : uploads_limit(upload->uploads);
	g_autofree char *text = util_format_size(limit);

	if (limit == 0 || size <= limit)
		return TRUE;
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TOO_BIG,
		    "the server takes messages of %s at most", text);
	return FALSE;
}

static void
set_size(Upload *upload, guint64 size)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	upload->size = size;
	upload->mtime = g_get_real_time() / G_USEC_PER_SEC;
	upload->unsaved = TRUE;
}

gboolean
upload_write(Upload *upload, const void *data, gsize len, guint64 offset, GError **error)
{
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);
	guint64 end = offset + len;
	int fd;

	if (end / LIMIT_STEP != offset / LIMIT_STEP && !is_within_limit(upload, end, error))
		return FALSE;
	if (!begin_change(upload, TRUE, &fd, error) ||
	    !upload_check_write(fd, data, len, offset, error))
		return FALSE;
	set_size(upload, MAX(upload->size, end));
	return TRUE;
}

gboolean
upload_truncate(Upload *upload, guint64 size, GError **error)
{
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);
	int fd;

	/* What cp does after it has copied. */
	if (size == upload->size)
		return TRUE;
	if (!is_within_limit(upload, size, error) || !begin_change(upload, size > 0, &fd, error))
		return FALSE;
	if (ftruncate(fd, (off_t)size) != 0) {
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "spool: %s",
			    g_strerror(errno));
		return FALSE;
	}
	set_size(upload, size);
	return TRUE;
}

/* --- what is said of it --- */

void
upload_set_time(Upload *upload, gint64 mtime)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	if (upload->over || upload->settled)
		return;
	upload->own_time =
		upload->own_time || (upload->source_raw != NULL && mtime != upload->mtime);
	upload->mtime = mtime;
	upload->unsaved = TRUE;
	upload->again = upload->state == SPOOL_REFUSED;
	upload_stir_outlet(upload, TRUE);
	upload_stir(upload, FALSE);
}

void
upload_set_mode(Upload *upload, guint32 mode)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	upload->mode = mode;
	upload->unsaved = TRUE;
	upload_stir(upload, FALSE);
}

/* --- the end of writing --- */

static gboolean
convert(Upload *upload, int fd, UploadChecked *checked, GError **error)
{
	Spool *spool = upload->uploads->spool;
	g_auto(UtilFd) fresh = spool_rewrite(spool, upload->id, error);

	if (fresh < 0 || !upload_check_convert(fd, fresh, checked, error) ||
	    !spool_rewritten(spool, upload->id, fresh, error))
		return FALSE;
	/* The number stays: readers have borrowed it. */
	if (dup3(fresh, fd, O_CLOEXEC) >= 0)
		return TRUE;
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "spool: %s",
		    g_strerror(errno));
	return FALSE;
}

/* Its bytes are a message, and on disk. */
static gboolean
prove(Upload *upload, UploadChecked *checked, char **message_id_out, GError **error)
{
	NameHeaders headers;
	g_autofree char *header = NULL;
	gsize len;
	int fd = upload_fd(upload);

	if (fd < 0)
		return upload_fail(error, MAILFS_ERROR_NOT_FOUND, "its file is gone");
	if (!upload_check(fd, checked, error))
		return FALSE;
	if (checked->bare_lf ? !convert(upload, fd, checked, error)
			     : !spool_sync(upload->uploads->spool, upload->id, fd, error))
		return FALSE;
	if (!is_within_limit(upload, checked->size, error))
		return FALSE;
	header = upload_check_header(fd, &len, error);
	if (header == NULL)
		return FALSE;
	name_headers_parse(header, len, &headers);
	*message_id_out = g_strdup(headers.message_id != NULL ? headers.message_id : "");
	name_headers_clear(&headers);
	return TRUE;
}

/* It is for a directory that no server has. */
static gboolean
prove_local(Upload *upload, UploadProof *out, GError **error)
{
	Uploads *uploads = upload->uploads;
	int fd;

	if (uploads->outlet == NULL)
		return upload_fail(error, MAILFS_ERROR_UNSUPPORTED, no_smtp);
	if (!upload_take_bytes(upload, TRUE, error))
		return FALSE;
	fd = upload_fd(upload);
	if (fd < 0)
		return upload_fail(error, MAILFS_ERROR_NOT_FOUND, "its file is gone");
	return uploads->outlet->prove(uploads->outlet_user, upload, out->target, fd, &out->checked,
				      &out->message_id, error) &&
	       spool_sync(uploads->spool, upload->id, fd, error);
}

/* A time may still be set after the close. A copy does not wait for that: its message may go from
 * the server meanwhile, and is nowhere then. Under the lock. */
static void
set_ready(Upload *upload)
{
	upload->ready_at =
		g_get_monotonic_time() + (upload->source_raw == NULL ? UPLOAD_PAUSE_US : 0);
}

/* Under the lock: to be sent as it is. */
static void
enqueue(Upload *upload, Mailbox *target)
{
	Uploads *uploads = upload->uploads;

	upload->hurry = FALSE;
	if (is_local(target)) {
		upload->dirty = upload->again = upload->doubt = FALSE;
		uploads->outlet->enqueue(uploads->outlet_user, upload, target);
		return;
	}
	upload->state = SPOOL_QUEUED;
	upload->ticket = 0;
	upload->since = 0;
	upload_look_if_in_doubt(upload);
	upload->dirty = upload->again = FALSE;
	upload->tries = 0;
	upload->retry_at = 0;
	set_ready(upload);
	upload_set_reason(upload, "");
	upload_stir(upload, upload->source_raw != NULL);
}

static void
refuse(Upload *upload, const GError *error)
{
	Uploads *uploads = upload->uploads;

	g_mutex_lock(&uploads->lock);
	/* An empty one was perhaps only made, and will be written. */
	upload->again = FALSE;
	if (upload->size > 0) {
		upload_set_refused(upload, error);
		upload->retry_at = 0;
	}
	upload_place(upload);
	g_mutex_unlock(&uploads->lock);
	if (upload->size > 0 && !uploads_save(uploads, &upload, 1, NULL))
		g_debug("uploads: a reason was not saved");
	uploads_tell_changed(upload);
	upload_tell_waiters(upload, error);
	uploads_tell_idle(uploads);
}

/* Nothing is to be done for it to be in @target. Under the lock. */
static gboolean
is_settled(const Upload *upload, Mailbox *target)
{
	gboolean same =
		upload->folder->mailbox == target || (!upload->folder->local && !is_local(target));

	return upload->over || upload->under_way ||
	       (same && !upload->dirty &&
		(upload->state == SPOOL_QUEUED || upload->state == SPOOL_STARTED));
}

gboolean
upload_prove(Upload *upload, Mailbox *target, const char *name, UploadProof *out, GError **error)
{
	Uploads *uploads = upload->uploads;
	g_autoptr(GError) problem = NULL;
	gboolean copied;
	gboolean settled;
	gboolean proved;

	*out = (UploadProof){.target = target};
	g_mutex_lock(&uploads->lock);
	copied = upload->source_raw != NULL;
	settled = is_settled(upload, target);
	g_mutex_unlock(&uploads->lock);
	if (settled || uploads_name_is_local(name))
		return TRUE;
	if (is_local(target))
		proved = prove_local(upload, out, &problem);
	else
		proved = copied || prove(upload, &out->checked, &out->message_id, &problem);
	if (!proved) {
		/* What may not be elsewhere stays as it is where it is. */
		if (upload_mailbox(upload) == target)
			refuse(upload, problem);
		g_propagate_error(error, g_steal_pointer(&problem));
		return FALSE;
	}
	out->whole = TRUE;
	return TRUE;
}

void
upload_take_proof(Upload *upload, UploadProof *proof)
{
	if (!proof->whole)
		return;
	if (proof->message_id != NULL) {
		upload->size = proof->checked.size;
		upload->crc = proof->checked.crc;
		g_free(upload->message_id);
		upload->message_id = g_steal_pointer(&proof->message_id);
		upload->proved = TRUE;
	}
	enqueue(upload, proof->target);
}

void
upload_undo_proof(Upload *upload, const UploadProof *proof)
{
	if (!proof->whole || (upload->state != SPOOL_QUEUED && upload->state != SPOOL_KEPT) ||
	    upload->under_way)
		return;
	upload->state = SPOOL_OPEN;
	upload->dirty = TRUE;
	upload_place(upload);
}

/* Under `disk`. */
static gboolean
complete(Upload *upload, Mailbox *mailbox, const char *name, GError **error)
{
	Uploads *uploads = upload->uploads;
	g_auto(UploadProof) proof = {0};

	if (!upload_prove(upload, mailbox, name, &proof, error))
		return FALSE;
	if (!proof.whole)
		return !uploads_name_is_local(name) || upload->size == 0 ||
		       uploads_save(uploads, &upload, 1, error);
	g_mutex_lock(&uploads->lock);
	upload_take_proof(upload, &proof);
	g_mutex_unlock(&uploads->lock);
	if (uploads_save(uploads, &upload, 1, error)) {
		uploads_tell_changed(upload);
		return TRUE;
	}
	g_mutex_lock(&uploads->lock);
	upload_undo_proof(upload, &proof);
	g_mutex_unlock(&uploads->lock);
	return FALSE;
}

gboolean
upload_complete(Upload *upload, GError **error)
{
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);
	g_autofree char *name = upload_name(upload);

	return complete(upload, upload_mailbox(upload), name, error);
}

gboolean
upload_sync(Upload *upload, GError **error)
{
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);
	Uploads *uploads = upload->uploads;
	int fd = upload_fd(upload);
	gboolean saved;

	g_mutex_lock(&uploads->lock);
	saved = upload->over || (upload->stored && !upload->unsaved && !upload->dirty);
	g_mutex_unlock(&uploads->lock);
	return saved || ((fd < 0 || spool_sync(uploads->spool, upload->id, fd, error)) &&
			 uploads_save(uploads, &upload, 1, error));
}

void
upload_set_untouched(Upload *upload)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	upload->untouched = TRUE;
}

void
upload_close(Upload *upload)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);
	Uploads *uploads = upload->uploads;
	g_autofree char *name = NULL;
	Mailbox *mailbox;
	gboolean unfinished;
	gboolean local;
	gboolean untouched;

	g_mutex_lock(&uploads->lock);
	upload->writers--;
	name = g_strdup(upload->name);
	/* In the same moment in which nobody writes to it any more nobody can begin to. */
	untouched = upload->writers == 0 && upload->untouched && !upload->over;
	if (untouched)
		upload_mark_removed(upload);
	unfinished = upload->writers == 0 && !upload->over && upload->dirty &&
		     upload->state == SPOOL_OPEN && upload->size > 0;
	if (upload->writers == 0 && upload->state == SPOOL_QUEUED)
		set_ready(upload);
	mailbox = upload->folder->mailbox;
	local = upload->folder->local && uploads->outlet != NULL;
	upload_stir_outlet(upload, FALSE);
	upload_stir(upload, FALSE);
	g_mutex_unlock(&uploads->lock);
	if (untouched && !upload_end_removed(upload, &error))
		g_debug("upload %u: %s", upload->id, error->message);
	if (!unfinished || complete(upload, mailbox, name, &error))
		return;
	uploads_log(uploads, upload, error->message);
	if (local)
		uploads->outlet->refused(uploads->outlet_user, upload, error);
}
