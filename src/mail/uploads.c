/* SPDX-License-Identifier: MIT */
/* The tables: which files there are, and what is told of them. */
#include "mail/uploads-private.h"

#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

/* --- names --- */

static gboolean
is_sed_name(const char *name)
{
	if (strlen(name) != 9 || !g_str_has_prefix(name, "sed"))
		return FALSE;
	for (const char *p = name + 3; *p != '\0'; p++)
		if (!g_ascii_isalnum(*p))
			return FALSE;
	return TRUE;
}

gboolean
uploads_name_is_local(const char *name)
{
	static const char *const tails[] = {"~", ".swp", ".swx", ".tmp", ".part", ".bak", ".lock"};
	static const char *const litter[] = {"4913", "Thumbs.db", "desktop.ini"};
	gsize len = strlen(name);

	if (name[0] == '.' || name[0] == '#' || is_sed_name(name))
		return TRUE;
	for (guint i = 0; i < G_N_ELEMENTS(tails); i++)
		if (len >= strlen(tails[i]) &&
		    g_ascii_strcasecmp(name + len - strlen(tails[i]), tails[i]) == 0)
			return TRUE;
	for (guint i = 0; i < G_N_ELEMENTS(litter); i++)
		if (g_ascii_strcasecmp(name, litter[i]) == 0)
			return TRUE;
	return FALSE;
}

/* --- an upload --- */

Upload *
upload_new(Uploads *uploads, guint32 id)
{
	Upload *upload = g_new0(Upload, 1);

	upload->uploads = uploads;
	upload->id = id;
	upload->refs = 1;
	upload->fd = -1;
	upload->mode = 0600;
	upload->mtime = g_get_real_time() / G_USEC_PER_SEC;
	upload->keywords = g_strdup("");
	upload->message_id = g_strdup("");
	upload->reason = g_strdup("");
	upload->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	g_mutex_init(&upload->disk);
	return upload;
}

Upload *
upload_ref(Upload *upload)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	upload->refs++;
	return upload;
}

void
upload_unref(Upload *upload)
{
	Uploads *uploads;
	g_auto(UtilFd) fd = -1;
	gboolean last;

	if (upload == NULL)
		return;
	uploads = upload->uploads;
	g_mutex_lock(&uploads->lock);
	last = --upload->refs == 0;
	/* Thousands may wait: only those that somebody looks at have a descriptor. */
	if (last || (upload->refs == 1 && !upload->over))
		fd = util_steal_fd(&upload->fd);
	g_mutex_unlock(&uploads->lock);
	if (!last)
		return;
	g_array_unref(upload->waiters);
	g_free(upload->name);
	g_free(upload->keywords);
	g_free(upload->message_id);
	g_free(upload->reason);
	g_free(upload->source_raw);
	g_free(upload->keywords_there);
	g_free(upload->doubt_id);
	g_mutex_clear(&upload->disk);
	g_free(upload);
}

void
upload_set_reason(Upload *upload, const char *reason)
{
	g_free(upload->reason);
	upload->reason = g_strdup(reason);
}

void
upload_set_refused(Upload *upload, const GError *error)
{
	upload->state = SPOOL_REFUSED;
	upload->code = error->domain == MAILFS_ERROR ? (guint32)error->code : 0;
	upload_set_reason(upload, error->message);
}

gboolean
upload_is_busy(const Upload *upload)
{
	gboolean wanted =
		!upload->folder->local &&
		(upload->state == SPOOL_QUEUED || upload->state == SPOOL_STARTED || upload->again);

	return !upload->over && (upload->under_way || upload->state == SPOOL_DOT ||
				 (wanted && !uploads_name_is_local(upload->name)));
}

gboolean
upload_is_orphan(const Upload *upload)
{
	const Folder *folder = upload->folder;

	return !folder->local &&
	       (folder->mailbox == NULL ||
		!uploads_has_mailbox(upload->uploads, folder->mailbox)) &&
	       uploads_mailbox_named(upload->uploads, folder->raw) == NULL &&
	       (folder->moves_to == NULL ||
		uploads_mailbox_named(upload->uploads, folder->moves_to) == NULL);
}

gboolean
upload_lies_in(const Upload *upload, Mailbox *mailbox)
{
	const Folder *folder = upload->folder;

	return folder->mailbox == mailbox ||
	       (folder->mailbox == NULL && strcmp(folder->raw, mailbox_raw_name(mailbox)) == 0);
}

gboolean
upload_is_sent(const Upload *upload)
{
	return upload->under_way || upload->accepted || upload->sent_uid != 0 ||
	       upload->state == SPOOL_DOT;
}

int
upload_open(Upload *upload)
{
	if (upload->fd < 0 && !upload->over && upload->source_raw == NULL)
		upload->fd = spool_file(upload->uploads->spool, upload->id, NULL);
	return upload->fd;
}

void
upload_mark_over(Upload *upload)
{
	/* Who looks at it can go on reading. */
	if (upload->refs > 1)
		upload_open(upload);
	upload->over = TRUE;
	upload_place(upload);
}

int
upload_fd(Upload *upload)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	return upload->source_raw == NULL ? upload_open(upload) : -1;
}

void
upload_view(Upload *upload, UploadView *out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	*out = (UploadView){
		.id = upload->id,
		.size = upload->size,
		.mtime = upload->mtime,
		.mode = upload->mode,
		.state = upload->state,
		.copied = upload->source_raw != NULL,
		.over = upload->over,
		.settled = upload->settled,
		.replaces = upload->replaces_uid != 0,
		.awaited = upload_is_awaited(upload),
	};
}

char *
upload_name(Upload *upload)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	return g_strdup(upload->name);
}

Mailbox *
upload_mailbox(Upload *upload)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	return upload->folder != NULL ? upload->folder->mailbox : NULL;
}

/* Under the lock. */
static gboolean
is_unsent(const Upload *upload)
{
	return upload->folder->local && upload->uploads->outlet == NULL &&
	       !uploads_name_is_local(upload->name) &&
	       (upload->state == SPOOL_QUEUED || upload->state == SPOOL_SENDING ||
		upload->state == SPOOL_DOT);
}

/* Under the lock. */
static char *
status_text(const Upload *upload)
{
	g_autofree char *reason = util_printable(upload->reason, -1, 500);
	g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(upload->retry_at);
	g_autofree char *clock = when != NULL ? g_date_time_format(when, "%H:%M:%S") : NULL;
	const char *at = clock != NULL && upload->retry_at != 0 ? clock : "soon";

	if (upload->folder->local && upload->uploads->outlet != NULL)
		return upload->uploads->outlet->status(upload->uploads->outlet_user, upload);
	if (upload->state == SPOOL_OPEN)
		return g_strdup(uploads_name_is_local(upload->name) ? "local" : "being written");
	if (upload->state == SPOOL_REFUSED && upload_waits_for_room(upload))
		return g_strdup_printf("refused: %s; tried again at %s", reason, at);
	if (upload->state == SPOOL_REFUSED)
		return g_strdup_printf("refused: %s", reason);
	if (upload->state == SPOOL_STARTED && upload->under_way)
		return g_strdup("on its way");
	if (is_unsent(upload))
		return g_strdup("waits for a mount with an Outbox");
	if (upload_is_orphan(upload))
		return g_strdup("waits for its mailbox, which is not there");
	if (*reason == '\0')
		return g_strdup("queued");
	return g_strdup_printf("retry %s (%s)", at, reason);
}

char *
upload_status(Upload *upload)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);

	return upload->over ? g_strdup("over") : status_text(upload);
}

/* --- the tables --- */

void
upload_attach(Upload *upload, Folder *folder, const char *name)
{
	char *copy = g_strdup(name);

	g_free(upload->name);
	upload->name = copy;
	upload->folder = folder;
	g_hash_table_insert(folder->by_name, upload->name, upload);
	g_tree_insert(folder->by_id, upload_key(upload->id), upload);
	g_hash_table_insert(upload->uploads->by_id, upload_key(upload->id), upload);
	upload_place(upload);
}

void
upload_detach(Upload *upload)
{
	Folder *folder = upload->folder;

	upload_leave_agenda(upload);
	if (g_hash_table_lookup(folder->by_name, upload->name) == upload)
		g_hash_table_remove(folder->by_name, upload->name);
	g_tree_remove(folder->by_id, upload_key(upload->id));
	g_hash_table_remove(upload->uploads->by_id, upload_key(upload->id));
}

Upload *
uploads_find(Uploads *uploads, Mailbox *mailbox, const char *name)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);
	Folder *folder = uploads_find_folder(uploads, mailbox);
	Upload *upload = folder != NULL ? g_hash_table_lookup(folder->by_name, name) : NULL;

	if (upload != NULL)
		upload->refs++;
	return upload;
}

Upload *
uploads_get(Uploads *uploads, guint32 id)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);
	Upload *upload = g_hash_table_lookup(uploads->by_id, upload_key(id));

	if (upload != NULL)
		upload->refs++;
	return upload;
}

GPtrArray *
uploads_of(Uploads *uploads, Mailbox *mailbox, guint32 first)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);
	GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)upload_unref);
	Folder *folder = uploads_find_folder(uploads, mailbox);
	GTreeNode *node =
		folder != NULL ? g_tree_lower_bound(folder->by_id, upload_key(first)) : NULL;

	for (; node != NULL; node = g_tree_node_next(node)) {
		Upload *upload = g_tree_node_value(node);

		upload->refs++;
		g_ptr_array_add(list, upload);
	}
	return list;
}

guint
uploads_count(Uploads *uploads, Mailbox *mailbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);
	Folder *folder = uploads_find_folder(uploads, mailbox);

	return folder != NULL ? (guint)g_tree_nnodes(folder->by_id) : 0;
}

/* --- life --- */

Uploads *
uploads_new(Account *account, Spool *spool, gboolean read_only, const UploadsNews *news,
	    gpointer user, GError **error)
{
	Uploads *uploads = g_new0(Uploads, 1);

	uploads->account = account;
	uploads->spool = spool;
	uploads->read_only = read_only;
	uploads->news = news;
	uploads->user = user;
	g_mutex_init(&uploads->rows);
	g_mutex_init(&uploads->lock);
	g_cond_init(&uploads->wake);
	uploads->folders = g_ptr_array_new_with_free_func(upload_folder_free);
	uploads->by_id = g_hash_table_new(NULL, NULL);
	uploads->agenda = upload_agenda_new(FALSE);
	uploads->became = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	g_queue_init(&uploads->became_ids);
	uploads->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	uploads->folders_version = G_MAXUINT64;
	if (!uploads_load(uploads, error)) {
		uploads_free(uploads);
		return NULL;
	}
	g_mutex_lock(&uploads->lock);
	if (!read_only)
		uploads->worker = g_thread_new("uploads", uploads_work, uploads);
	g_mutex_unlock(&uploads->lock);
	return uploads;
}

void
uploads_stir(Uploads *uploads, gboolean urgent)
{
	uploads->stirred = TRUE;
	uploads->urgent = uploads->urgent || urgent;
	g_cond_signal(&uploads->wake);
}

/* What nobody has made durable yet though it may be wanted: times, and files that stay local. */
static void
save_rest(Uploads *uploads)
{
	g_autoptr(GPtrArray) list = g_ptr_array_new();
	g_autoptr(GError) error = NULL;
	GHashTableIter iter;
	gpointer value;

	g_mutex_lock(&uploads->lock);
	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		Upload *upload = value;

		if ((upload->unsaved && upload->stored) || (!upload->stored && upload->size > 0))
			g_ptr_array_add(list, upload);
	}
	g_mutex_unlock(&uploads->lock);
	if (list->len > 0 && !uploads_save(uploads, (Upload **)list->pdata, list->len, &error))
		g_debug("uploads: %s", error->message);
}

void
uploads_stop(Uploads *uploads)
{
	if (uploads->worker == NULL)
		return;
	g_mutex_lock(&uploads->lock);
	uploads->stop = TRUE;
	g_cond_signal(&uploads->wake);
	g_mutex_unlock(&uploads->lock);
	g_thread_join(uploads->worker);
	g_mutex_lock(&uploads->lock);
	uploads->worker = NULL;
	g_mutex_unlock(&uploads->lock);
	save_rest(uploads);
	uploads_tell_stopped(uploads);
}

void
uploads_free(Uploads *uploads)
{
	GHashTableIter iter;
	gpointer value;

	if (uploads == NULL)
		return;
	uploads_stop(uploads);
	uploads_drain(uploads);
	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		upload_leave_agenda(value);
		((Upload *)value)->over = TRUE;
		upload_unref(value);
	}
	g_hash_table_unref(uploads->by_id);
	g_hash_table_unref(uploads->became);
	g_tree_unref(uploads->agenda);
	g_queue_clear(&uploads->became_ids);
	g_ptr_array_unref(uploads->folders);
	g_free(uploads->moved_from);
	g_free(uploads->moved_to);
	g_array_unref(uploads->waiters);
	g_mutex_clear(&uploads->rows);
	g_mutex_clear(&uploads->lock);
	g_cond_clear(&uploads->wake);
	g_free(uploads);
}

/* --- telling --- */

Mailbox *
uploads_mailbox_named(Uploads *uploads, const char *raw)
{
	return account_mailbox_named(uploads->account, raw);
}

static char *
path_of(Uploads *uploads, Mailbox *mailbox, const char *raw, const char *name)
{
	gboolean local = g_str_has_prefix(raw, ACCOUNT_LOCAL_PREFIX);
	const char *shown = raw + (local ? strlen(ACCOUNT_LOCAL_PREFIX) : 0);
	g_autofree char *folder = mailbox != NULL ? account_path(uploads->account, mailbox)
						  : g_strdup_printf("(%s)", shown);
	g_autofree char *path = g_build_filename(folder, name, NULL);

	return util_printable(path, -1, 600);
}

void
uploads_log(Uploads *uploads, Upload *upload, const char *what)
{
	g_autofree char *name = NULL;
	g_autofree char *raw = NULL;
	g_autofree char *path = NULL;
	g_autofree char *line = NULL;
	Mailbox *mailbox;

	g_mutex_lock(&uploads->lock);
	name = g_strdup(upload->name);
	raw = g_strdup(upload->folder->raw);
	mailbox = upload->folder->mailbox;
	g_mutex_unlock(&uploads->lock);
	path = path_of(uploads, mailbox, raw, name);
	line = g_strdup_printf("%s: %s", path, what);
	uploads->news->log(uploads->user, line);
}

void
uploads_tell_changed(Upload *upload)
{
	Uploads *uploads = upload->uploads;
	Mailbox *mailbox = upload_mailbox(upload);

	if (mailbox != NULL)
		uploads->news->changed(uploads->user, mailbox, upload->id);
}

UploadsStatus
uploads_status(Uploads *uploads)
{
	gboolean failed = spool_has_failed(uploads->spool);
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);
	UploadsStatus status = {.uploaded = uploads->uploaded, .failed = failed};
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, uploads->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const Upload *upload = value;

		status.unsent += is_unsent(upload);
		if (upload->folder->local)
			continue;
		status.open += upload->state == SPOOL_OPEN;
		status.queued += upload->state == SPOOL_QUEUED;
		status.started += upload->state == SPOOL_STARTED;
		status.refused += upload->state == SPOOL_REFUSED;
		if (upload->state != SPOOL_QUEUED && upload->state != SPOOL_STARTED)
			continue;
		status.bytes += upload->size;
		status.orphans += upload_is_orphan(upload);
	}
	return status;
}

GPtrArray *
uploads_lines(Uploads *uploads)
{
	GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));

	g_mutex_lock(&uploads->lock);
	for (guint i = 0; i < uploads->folders->len; i++) {
		Folder *folder = uploads->folders->pdata[i];

		for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
		     node = g_tree_node_next(node)) {
			const Upload *upload = g_tree_node_value(node);

			/* A page beside a message says nothing of itself. */
			if (upload->state != SPOOL_KEPT || *upload->reason != '\0')
				g_array_append_val(ids, upload->id);
		}
	}
	g_mutex_unlock(&uploads->lock);
	for (guint i = 0; i < ids->len; i++) {
		Upload *upload = uploads_get(uploads, g_array_index(ids, guint32, i));
		g_autofree char *name = NULL;
		g_autofree char *raw = NULL;
		g_autofree char *path = NULL;
		g_autofree char *status = NULL;
		g_autofree char *size = NULL;
		Mailbox *mailbox;

		if (upload == NULL)
			continue;
		g_mutex_lock(&uploads->lock);
		name = g_strdup(upload->name);
		raw = g_strdup(upload->folder->raw);
		mailbox = upload->folder->mailbox;
		status = status_text(upload);
		size = util_format_size(upload->size);
		g_mutex_unlock(&uploads->lock);
		path = path_of(uploads, mailbox, raw, name);
		g_ptr_array_add(lines, g_strdup_printf("%s  %s, %s", path, status, size));
		upload_unref(upload);
	}
	return lines;
}

/* --- the server's limit --- */

guint64
uploads_limit(Uploads *uploads)
{
	Pool *pool = account_pool(uploads->account);
	PoolStatus status;
	const char *at;
	guint64 limit = 0;

	if (pool == NULL)
		return 0;
	pool_get_status(pool, &status);
	at = status.capabilities != NULL ? strstr(status.capabilities, "APPENDLIMIT=") : NULL;
	if (at != NULL)
		limit = g_ascii_strtoull(at + strlen("APPENDLIMIT="), NULL, 10);
	pool_status_clear(&status);
	return limit;
}
