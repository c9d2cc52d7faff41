/* SPDX-License-Identifier: MIT */
/* What the spool is told of each file, and what it says when mailfs starts again. */
#include "mail/uploads-private.h"

#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

/* Borrows; under the lock. */
static SpoolEntry
entry_of(const Upload *upload, GStringChunk *text)
{
	const char *raw = upload->folder->mailbox != NULL
				  ? mailbox_raw_name(upload->folder->mailbox)
				  : upload->folder->raw;

	return (SpoolEntry){
		.id = upload->id,
		.state = upload->state,
		.mailbox = g_string_chunk_insert_const(text, raw),
		.name = g_string_chunk_insert(text, upload->name),
		.mode = upload->mode,
		.mtime = upload->mtime,
		.size = upload->size,
		.crc = upload->crc,
		.flags = upload->flags,
		.keywords = g_string_chunk_insert_const(text, upload->keywords),
		.message_id = g_string_chunk_insert(text, upload->message_id),
		.replaces_validity = upload->replaces_validity,
		.replaces_uid = upload->replaces_uid,
		.before_validity = upload->before_validity,
		.before_uidnext = upload->before_uidnext,
		.source_mailbox = g_string_chunk_insert_const(
			text, upload->source_raw != NULL ? upload->source_raw : ""),
		.source_validity = upload->source_validity,
		.source_uid = upload->source_uid,
		.reason = g_string_chunk_insert_const(text, upload->reason),
		.tries = upload->tries,
		.retry_at = upload->retry_at,
		.wishes = (upload->edits != upload->edits_done ? SPOOL_WISH_FLAGS : 0) |
			  (upload->own_time ? SPOOL_WISH_TIME : 0),
		.code = upload->state == SPOOL_REFUSED ? upload->code : 0,
		.moves_to = upload->folder->moves_to != NULL
				    ? g_string_chunk_insert_const(text, upload->folder->moves_to)
				    : "",
		.ticket = upload->ticket,
		.since = upload->since,
		.doubt_size = upload->doubt ? upload->doubt_size : 0,
		.doubt_time = upload->doubt ? upload->doubt_time : 0,
		.doubt_id =
			upload->doubt ? g_string_chunk_insert_const(text, upload->doubt_id) : "",
	};
}

gboolean
uploads_save(Uploads *uploads, Upload *const *list, guint n, GError **error)
{
	return uploads_save_and_drop(uploads, list, n, NULL, error);
}

gboolean
uploads_save_and_drop(Uploads *uploads, Upload *const *list, guint n, const GPtrArray *dropped,
		      GError **error)
{
	g_autoptr(GMutexLocker) rows = g_mutex_locker_new(&uploads->rows);
	g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(SpoolEntry));
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
	GStringChunk *text = g_string_chunk_new(4096);
	gboolean saved;

	g_mutex_lock(&uploads->lock);
	for (guint i = 0; i < n; i++) {
		SpoolEntry entry;

		if (list[i]->over || list[i]->settled)
			continue;
		entry = entry_of(list[i], text);
		g_array_append_val(entries, entry);
		list[i]->unsaved = FALSE;
	}
	for (guint i = 0; dropped != NULL && i < dropped->len; i++)
		g_array_append_val(ids, ((Upload *)dropped->pdata[i])->id);
	g_mutex_unlock(&uploads->lock);
	saved = entries->len + ids->len == 0 ||
		spool_change(uploads->spool, (gpointer)entries->data, entries->len,
			     (gpointer)ids->data, ids->len, error);
	g_string_chunk_free(text);
	g_mutex_lock(&uploads->lock);
	for (guint i = 0; i < n; i++) {
		list[i]->stored = list[i]->stored || saved;
		list[i]->unsaved = list[i]->unsaved || !saved;
		upload_place(list[i]);
	}
	g_mutex_unlock(&uploads->lock);
	return saved;
}

/* In a directory of its own name each: what a crash between two steps of a replacing rename has
 * left gets another name. */
char *
uploads_free_name(const Folder *folder, const char *name, guint32 id)
{
	gboolean eml = g_str_has_suffix(name, ".eml");

	if (!g_hash_table_contains(folder->by_name, name))
		return g_strdup(name);
	return g_strdup_printf("%.*s~%u%s", (int)strlen(name) - (eml ? 4 : 0), name, id,
			       eml ? ".eml" : "");
}

/* What the file says against what its entry says. */
static void
judge(Upload *upload, guint64 file_size, gboolean missing)
{
	upload->dirty = upload->state == SPOOL_OPEN || upload->state == SPOOL_REFUSED;
	if (upload->source_raw != NULL && upload->state != SPOOL_OPEN)
		return;
	/* Their bytes may have become those that are sent; both are whole. */
	if (upload->state == SPOOL_SENDING || upload->state == SPOOL_DOT ||
	    upload->state == SPOOL_KEPT) {
		upload->size = file_size;
		return;
	}
	/* It was written to. */
	if (file_size > 0)
		g_clear_pointer(&upload->source_raw, g_free);
	if (upload->state == SPOOL_OPEN) {
		upload->size = file_size;
		if (uploads_name_is_local(upload->name))
			return;
		upload->state = SPOOL_REFUSED;
		upload_set_reason(upload, "mailfs ended while it was being written; `touch` it "
					  "when it is whole");
	} else if (missing || file_size != upload->size) {
		upload->state = SPOOL_REFUSED;
		upload->size = file_size;
		upload->dirty = TRUE;
		upload_set_reason(upload, "the file is not as it was written: the disk has lost "
					  "some of it");
	}
}

typedef struct {
	Uploads *uploads;
	GArray *empty; /* of guint32: nothing is left of them */
} Loading;

static void
load_entry(gpointer user, const SpoolEntry *entry)
{
	Loading *loading = user;
	Uploads *uploads = loading->uploads;
	Upload *upload = upload_new(uploads, entry->id);
	Folder *folder = uploads_folder_called(uploads, entry->mailbox);
	g_autofree char *name = NULL;

	if (folder->moves_to == NULL && *entry->moves_to != '\0')
		folder->moves_to = g_strdup(entry->moves_to);
	upload->state = entry->state;
	upload->mode = entry->mode;
	upload->mtime = entry->mtime;
	upload->size = entry->size;
	upload->crc = entry->crc;
	upload->flags = entry->flags;
	upload->tries = entry->tries;
	upload->code = entry->code;
	upload->retry_at = upload->code == MAILFS_ERROR_QUOTA ? entry->retry_at : 0;
	upload->ticket = entry->ticket;
	upload->since = entry->since;
	upload->replaces_validity = entry->replaces_validity;
	upload->replaces_uid = entry->replaces_uid;
	upload->before_validity = entry->before_validity;
	upload->before_uidnext = entry->before_uidnext;
	upload->source_validity = entry->source_validity;
	upload->source_uid = entry->source_uid;
	upload->source_raw =
		*entry->source_mailbox != '\0' ? g_strdup(entry->source_mailbox) : NULL;
	upload->edits = (entry->wishes & SPOOL_WISH_FLAGS) != 0;
	upload->own_time = (entry->wishes & SPOOL_WISH_TIME) != 0;
	upload->stored = TRUE;
	upload->doubt = entry->doubt_size != 0;
	upload->doubt_size = entry->doubt_size;
	upload->doubt_time = entry->doubt_time;
	upload->doubt_id = g_strdup(entry->doubt_id);
	/* The server may be at what a life before has sent just now. */
	if (entry->state == SPOOL_STARTED || entry->doubt_size != 0)
		upload->not_before = g_get_monotonic_time() + UPLOAD_SETTLE_US;
	g_free(upload->keywords);
	upload->keywords = g_strdup(entry->keywords);
	g_free(upload->message_id);
	upload->message_id = g_strdup(entry->message_id);
	upload_set_reason(upload, entry->reason);
	name = uploads_free_name(folder, entry->name, entry->id);
	upload_attach(upload, folder, name);
}

/* The spool must not be called from spool_each(). */
static void
look_at_files(Uploads *uploads, GArray *empty)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		Upload *upload = value;
		g_autoptr(GError) error = NULL;
		g_auto(UtilFd) fd = spool_file(uploads->spool, upload->id, &error);
		struct stat status = {0};
		gboolean missing = fd < 0 || fstat(fd, &status) != 0;
		/* What only cannot be opened just now is not empty. */
		gboolean nothing =
			missing ? g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT)
				: status.st_size == 0;

		if (upload->state == SPOOL_OPEN && nothing)
			g_array_append_val(empty, upload->id);
		else
			judge(upload, (guint64)status.st_size, missing);
	}
}

gboolean
uploads_load(Uploads *uploads, GError **error)
{
	g_autoptr(GArray) empty = g_array_new(FALSE, FALSE, sizeof(guint32));
	Loading loading = {uploads, empty};

	if (!spool_each(uploads->spool, load_entry, &loading, error))
		return FALSE;
	look_at_files(uploads, empty);
	for (guint i = 0; i < empty->len; i++) {
		Upload *upload = g_hash_table_lookup(uploads->by_id,
						     upload_key(g_array_index(empty, guint32, i)));

		upload_detach(upload);
		upload->over = TRUE;
		upload_unref(upload);
	}
	return empty->len == 0 || uploads->read_only ||
	       spool_remove(uploads->spool, (gpointer)empty->data, empty->len, error);
}
