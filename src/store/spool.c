/* SPDX-License-Identifier: MIT */
/* What is promised is on disk in this order: the file's bytes, its name in the folder, the row. So
 * a row never speaks of bytes that are not there. Once an fsync has failed nobody knows what the
 * disk holds (a second fsync would say OK over lost pages): from then on nothing is promised. */
#include "store/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "store/index-db.h"
#include "store/spool-db.h"

#define RESERVED     1024
#define LAST_ID	     0x7fffffffu
#define RECOVERED_IN "INBOX"
/* Numbers that a lost table may have used beyond those of the files that are left. */
#define LOST_IDS 65536

typedef char SpoolPlace[24]; /* "17", "17.new" */

struct Spool {
	char *path;
	UtilFd folder;

	GMutex lock; /* guards all below */
	SpoolDb *db;
	guint32 next, end;
	GHashTable *fresh; /* ids whose name in the folder is not on disk yet */
	GHashTable *lost;  /* ids whose bytes did not find room on the disk, as fsync told */
	gboolean broken;
	gboolean copy; /* see spool_is_copy() */
};

static void
set_error(GError **error, const Spool *spool, int err, const char *what)
{
	gboolean full = err == ENOSPC || err == EDQUOT;

	g_set_error(error, G_FILE_ERROR, full ? G_FILE_ERROR_NOSPC : g_file_error_from_errno(err),
		    "spool %s: %s: %s%s", spool->path, what, g_strerror(err),
		    full ? "; free some space" : "");
}

/* Under the lock. */
static gboolean
set_db_error(GError **error, Spool *spool, int rc)
{
	int err = spool_db_errno(spool->db);

	if (rc == SQLITE_OK)
		return TRUE;
	if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
		spool->broken = TRUE;
	if ((rc & 0xff) == SQLITE_FULL || err == ENOSPC || err == EDQUOT)
		err = ENOSPC;
	else if (err == 0)
		err = EIO;
	set_error(error, spool, err, sqlite3_errstr(rc));
	return FALSE;
}

/* Under the lock. */
static gboolean
is_sound(const Spool *spool, GError **error)
{
	if (!spool->broken)
		return TRUE;
	set_error(error, spool, EIO, "the disk has failed to keep what it was given");
	return FALSE;
}

gboolean
spool_has_failed(Spool *spool)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&spool->lock);

	return spool->broken;
}

static void
place_of(guint32 id, gboolean rewritten, SpoolPlace out)
{
	g_snprintf(out, sizeof(SpoolPlace), "%u%s", id, rewritten ? ".new" : "");
}

/* --- opening --- */

/* Ours, or 0. */
static guint32
parse_place(const char *name, gboolean *rewritten_out)
{
	char *end = NULL;
	guint64 id = g_ascii_isdigit(name[0]) ? g_ascii_strtoull(name, &end, 10) : 0;

	*rewritten_out = end != NULL && strcmp(end, ".new") == 0;
	return id > 0 && id <= LAST_ID && (*end == '\0' || *rewritten_out) ? (guint32)id : 0;
}

typedef struct {
	GHashTable *ids;
	GArray *damaged; /* of guint32 */
} Known;

static void
note_known(gpointer user, const SpoolEntry *entry)
{
	Known *known = user;

	g_hash_table_add(known->ids, GUINT_TO_POINTER(entry->id));
	if (entry->mailbox == NULL)
		g_array_append_val(known->damaged, entry->id);
}

static SpoolEntry
recovered_entry(Spool *spool, guint32 id, char *name, gsize size)
{
	struct stat status = {0};
	SpoolPlace place;

	place_of(id, FALSE, place);
	if (fstatat(spool->folder, place, &status, AT_SYMLINK_NOFOLLOW) != 0)
		g_debug("spool %s: %s: %s", spool->path, place, g_strerror(errno));
	g_snprintf(name, size, "recovered-%u.eml", id);
	return (SpoolEntry){.id = id,
			    .state = SPOOL_REFUSED,
			    .mailbox = RECOVERED_IN,
			    .name = name,
			    .mode = 0600,
			    .mtime = status.st_mtim.tv_sec,
			    .size = (guint64)status.st_size,
			    .keywords = "",
			    .message_id = "",
			    .source_mailbox = "",
			    .moves_to = "",
			    .doubt_id = "",
			    .reason = "where it belongs was lost with a damaged table: look at it, "
				      "and move it there"};
}

static gboolean
list_recovered(Spool *spool, guint32 id, GError **error)
{
	char name[40];
	SpoolEntry entry = recovered_entry(spool, id, name, sizeof name);

	return set_db_error(error, spool, spool_db_change(spool->db, &entry, 1, NULL, 0));
}

/* Files without an entry: left over, or, after a damaged table, all that is left of one. */
static gboolean
sweep(Spool *spool, gboolean rescue, GError **error)
{
	g_autofree char *path = g_build_filename(spool->path, "spool", NULL);
	g_autoptr(GDir) folder = g_dir_open(path, 0, error);
	g_autoptr(GHashTable) ids = g_hash_table_new(NULL, NULL);
	g_autoptr(GArray) damaged = g_array_new(FALSE, FALSE, sizeof(guint32));
	Known known = {ids, damaged};
	const char *name;

	if (folder == NULL ||
	    !set_db_error(error, spool, spool_db_each(spool->db, note_known, &known)))
		return FALSE;
	while ((name = g_dir_read_name(folder)) != NULL) {
		gboolean rewritten;
		guint32 id = parse_place(name, &rewritten);

		spool->next = MAX(spool->next, id + 1);
		if (id == 0 || (!rewritten && g_hash_table_contains(ids, GUINT_TO_POINTER(id))))
			continue;
		if (rescue && !rewritten) {
			if (!list_recovered(spool, id, error))
				return FALSE;
		} else if (unlinkat(spool->folder, name, 0) != 0) {
			g_debug("spool %s: %s: %s", spool->path, name, g_strerror(errno));
		}
	}
	for (guint i = 0; i < damaged->len; i++)
		if (!list_recovered(spool, g_array_index(damaged, guint32, i), error))
			return FALSE;
	return TRUE;
}

static void
put_aside(const char *path)
{
	static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
	gint64 now = g_get_real_time() / G_USEC_PER_SEC;

	for (guint i = 0; i < G_N_ELEMENTS(tails); i++) {
		g_autofree char *from = g_strconcat(path, tails[i], NULL);
		g_autofree char *to =
			g_strdup_printf("%s.damaged-%" G_GINT64_FORMAT "%s", path, now, tails[i]);

		if (g_rename(from, to) != 0 && errno != ENOENT)
			g_debug("%s: %s", from, g_strerror(errno));
	}
}

static char *
table_path(const Spool *spool)
{
	return g_build_filename(spool->path, "spool.db", NULL);
}

static gboolean
open_table(Spool *spool, gboolean *rescue_out, GError **error)
{
	g_autofree char *path = table_path(spool);
	int err;
	int rc = spool_db_open(path, &spool->db, &err);

	*rescue_out = rc != SQLITE_OK && index_db_is_damage(rc);
	if (*rescue_out) {
		put_aside(path);
		rc = spool_db_open(path, &spool->db, &err);
	}
	if (rc == SQLITE_OK)
		rc = spool_db_is_copy(spool->db, path, &spool->copy);
	if (rc == SQLITE_OK)
		return TRUE;
	set_error(error, spool, err != 0 ? err : EIO, sqlite3_errstr(rc));
	return FALSE;
}

/* Table and folder may be new. */
static gboolean
sync_directory(Spool *spool, GError **error)
{
	g_auto(UtilFd) fd = open(spool->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && fsync(fd) == 0)
		return TRUE;
	set_error(error, spool, errno, "fsync");
	return FALSE;
}

Spool *
spool_open(const char *directory, GError **error)
{
	g_autoptr(Spool) spool = g_new0(Spool, 1);
	g_autofree char *path = g_build_filename(directory, "spool", NULL);
	gboolean rescue;

	g_mutex_init(&spool->lock);
	spool->path = g_strdup(directory);
	spool->fresh = g_hash_table_new(NULL, NULL);
	spool->lost = g_hash_table_new(NULL, NULL);
	spool->folder = -1;
	if (g_mkdir(path, 0700) != 0 && errno != EEXIST) {
		set_error(error, spool, errno, path);
		return NULL;
	}
	spool->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (spool->folder < 0) {
		set_error(error, spool, errno, path);
		return NULL;
	}
	if (!open_table(spool, &rescue, error))
		return NULL;
	spool->next = spool->end = MAX(spool_db_end(spool->db), 1);
	if (!sweep(spool, rescue, error) || !sync_directory(spool, error))
		return NULL;
	if (rescue)
		spool->next = MIN(spool->next, LAST_ID - LOST_IDS) + LOST_IDS;
	spool->end = MIN(spool->end, spool->next);
	return g_steal_pointer(&spool);
}

void
spool_close(Spool *spool)
{
	if (spool == NULL)
		return;
	spool_db_close(spool->db);
	util_close_fd(&spool->folder);
	g_hash_table_unref(spool->fresh);
	g_hash_table_unref(spool->lost);
	g_free(spool->path);
	g_mutex_clear(&spool->lock);
	g_free(spool);
}

gboolean
spool_is_copy(Spool *spool)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&spool->lock);

	return spool->copy;
}

gboolean
spool_own(Spool *spool, GError **error)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&spool->lock);
	g_autofree char *path = table_path(spool);

	if (spool->copy && !set_db_error(error, spool, spool_db_note_file(spool->db, path)))
		return FALSE;
	spool->copy = FALSE;
	return TRUE;
}

gboolean
spool_each(Spool *spool, SpoolEach each, gpointer user, GError **error)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&spool->lock);

	return set_db_error(error, spool, spool_db_each(spool->db, each, user));
}

/* --- files --- */

static guint32
new_id(Spool *spool, GError **error)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&spool->lock);

	if (!is_sound(spool, error))
		return 0;
	if (spool->next >= spool->end) {
		guint32 end = MIN(spool->next, LAST_ID - RESERVED) + RESERVED;

		if (spool->next >= LAST_ID) {
			set_error(error, spool, ENOSPC, "all its numbers are used up");
			return 0;
		}
		if (!set_db_error(error, spool, spool_db_reserve(spool->db, end)))
			return 0;
		spool->end = end;
	}
	g_hash_table_add(spool->fresh, GUINT_TO_POINTER(spool->next));
	return spool->next++;
}

static int
create_file(Spool *spool, const char *place, int how, GError **error)
{
	g_auto(UtilFd) fd =
		openat(spool->folder, place, O_RDWR | O_CREAT | how | O_CLOEXEC | O_NOFOLLOW, 0600);

	/* The umask may have taken bits of ours. */
	if (fd < 0 || fchmod(fd, 0600) != 0) {
		set_error(error, spool, errno, place);
		return -1;
	}
	return util_steal_fd(&fd);
}

guint32
spool_add(Spool *spool, int *fd_out, GError **error)
{
	guint32 id = new_id(spool, error);
	SpoolPlace place;

	place_of(id, FALSE, place);
	*fd_out = id != 0 ? create_file(spool, place, O_EXCL, error) : -1;
	return *fd_out >= 0 ? id : 0;
}

int
spool_file(Spool *spool, guint32 id, GError **error)
{
	SpoolPlace place;
	int fd;

	place_of(id, FALSE, place);
	fd = openat(spool->folder, place, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		set_error(error, spool, errno, place);
	return fd;
}

int
spool_rewrite(Spool *spool, guint32 id, GError **error)
{
	SpoolPlace place;

	place_of(id, TRUE, place);
	return create_file(spool, place, O_TRUNC, error);
}

/* The kernel tells of a failed write-back once: who does not stop here would promise lost bytes. A
 * disk that was full has lost those of this file alone. */
static gboolean
sync_fd(Spool *spool, guint32 id, int fd, GError **error)
{
	g_autoptr(GMutexLocker) locker = NULL;
	int err;

	if (fsync(fd) == 0)
		return TRUE;
	err = errno;
	locker = g_mutex_locker_new(&spool->lock);
	if (err == ENOSPC || err == EDQUOT)
		g_hash_table_add(spool->lost, GUINT_TO_POINTER(id));
	else
		spool->broken = TRUE;
	set_error(error, spool, err, "fsync");
	return FALSE;
}

gboolean
spool_rewritten(Spool *spool, guint32 id, int fd, GError **error)
{
	SpoolPlace from;
	SpoolPlace to;

	place_of(id, TRUE, from);
	place_of(id, FALSE, to);
	if (!sync_fd(spool, id, fd, error))
		return FALSE;
	if (renameat(spool->folder, from, spool->folder, to) != 0) {
		set_error(error, spool, errno, to);
		return FALSE;
	}
	if (!sync_fd(spool, id, spool->folder, error))
		return FALSE;
	g_mutex_lock(&spool->lock);
	g_hash_table_remove(spool->lost, GUINT_TO_POINTER(id));
	g_hash_table_remove(spool->fresh, GUINT_TO_POINTER(id));
	g_mutex_unlock(&spool->lock);
	return TRUE;
}

/* --- entries --- */

gboolean
spool_sync(Spool *spool, guint32 id, int fd, GError **error)
{
	gboolean fresh;
	gboolean lost;

	g_mutex_lock(&spool->lock);
	fresh = g_hash_table_contains(spool->fresh, GUINT_TO_POINTER(id));
	lost = g_hash_table_contains(spool->lost, GUINT_TO_POINTER(id));
	g_mutex_unlock(&spool->lock);
	if (lost) {
		set_error(error, spool, EIO, "bytes of this file were lost when the disk was full");
		return FALSE;
	}
	if (!sync_fd(spool, id, fd, error) || (fresh && !sync_fd(spool, id, spool->folder, error)))
		return FALSE;
	g_mutex_lock(&spool->lock);
	g_hash_table_remove(spool->fresh, GUINT_TO_POINTER(id));
	g_mutex_unlock(&spool->lock);
	return TRUE;
}

/* Under the lock. */
static void
drop_file(Spool *spool, guint32 id)
{
	SpoolPlace place;

	place_of(id, FALSE, place);
	g_hash_table_remove(spool->fresh, GUINT_TO_POINTER(id));
	g_hash_table_remove(spool->lost, GUINT_TO_POINTER(id));
	if (unlinkat(spool->folder, place, 0) != 0 && errno != ENOENT)
		g_debug("spool %s: %s: %s", spool->path, place, g_strerror(errno));
}

gboolean
spool_change(Spool *spool, const SpoolEntry *entries, guint n, const guint32 *removed,
	     guint n_removed, GError **error)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&spool->lock);

	if (!is_sound(spool, error) ||
	    !set_db_error(error, spool, spool_db_change(spool->db, entries, n, removed, n_removed)))
		return FALSE;
	for (guint i = 0; i < n_removed; i++)
		drop_file(spool, removed[i]);
	return TRUE;
}

gboolean
spool_put(Spool *spool, const SpoolEntry *entries, guint n, GError **error)
{
	return spool_change(spool, entries, n, NULL, 0, error);
}

gboolean
spool_remove(Spool *spool, const guint32 *ids, guint n, GError **error)
{
	return spool_change(spool, NULL, 0, ids, n, error);
}
