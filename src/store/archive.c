/* SPDX-License-Identifier: MIT */
/* A link shares the cache's file: the cache replaces files and never writes into them, so what it
 * does later does not reach this name. */
#include "store/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "store/body-proofs.h"
#include "store/checksum.h"

#define PIECE	    (128 * 1024)
#define HEADER_MAX  (256 * 1024)
#define ENTRY_BYTES 32 /* "<uid>-<crc>", with its NUL */

struct Archive {
	char *path; /* of the generation's folder */
	UtilFd lock_fd, root, folder;
	BodyProofs *proofs;

	GMutex lock;	   /* guards all below */
	GHashTable *files; /* UID → checksum */
	char *last_error;
};

static void
set_error(GError **error, int err, const char *path)
{
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(err), "archive %s: %s; %s", path,
		    g_strerror(err),
		    err == ENOSPC || err == EDQUOT ? "free some space"
						   : "check its permissions and owner");
}

static void
entry_name(char name[ENTRY_BYTES], guint32 uid, guint32 crc)
{
	g_snprintf(name, ENTRY_BYTES, "%u-%08x", uid, crc);
}

static gboolean
parse_entry(const char *name, guint32 *uid_out, guint32 *crc_out)
{
	g_auto(GStrv) parts = g_strsplit(name, "-", 3);
	char again[ENTRY_BYTES];
	guint64 uid, crc;

	if (g_strv_length(parts) != 2 ||
	    !g_ascii_string_to_unsigned(parts[0], 10, 1, G_MAXUINT32, &uid, NULL) ||
	    !g_ascii_string_to_unsigned(parts[1], 16, 0, G_MAXUINT32, &crc, NULL))
		return FALSE;
	*uid_out = (guint32)uid;
	*crc_out = (guint32)crc;
	entry_name(again, *uid_out, *crc_out);
	return strcmp(again, name) == 0;
}

static gboolean
find(Archive *archive, guint32 uid, guint32 *crc_out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&archive->lock);
	gpointer crc;

	if (!g_hash_table_lookup_extended(archive->files, GUINT_TO_POINTER(uid), NULL, &crc))
		return FALSE;
	*crc_out = GPOINTER_TO_UINT(crc);
	return TRUE;
}

gboolean
archive_get_crc(Archive *archive, guint32 uid, guint32 *crc_out)
{
	return find(archive, uid, crc_out);
}

gboolean
archive_has(Archive *archive, guint32 uid)
{
	guint32 crc;

	return find(archive, uid, &crc);
}

static void
note(Archive *archive, guint32 uid, guint32 crc)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&archive->lock);

	g_hash_table_insert(archive->files, GUINT_TO_POINTER(uid), GUINT_TO_POINTER(crc));
}

static gint
by_uid(gconstpointer a, gconstpointer b)
{
	guint32 left = *(const guint32 *)a, right = *(const guint32 *)b;

	return left < right ? -1 : left > right;
}

UidSet *
archive_uids(Archive *archive)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&archive->lock);
	g_autoptr(GArray) sorted = g_array_new(FALSE, FALSE, sizeof(guint32));
	GHashTableIter iter;
	UidSet *uids = uidset_new();
	gpointer uid;

	g_hash_table_iter_init(&iter, archive->files);
	while (g_hash_table_iter_next(&iter, &uid, NULL)) {
		guint32 number = GPOINTER_TO_UINT(uid);

		g_array_append_val(sorted, number);
	}
	g_array_sort(sorted, by_uid);
	for (guint i = 0; i < sorted->len; i++) {
		guint32 number = g_array_index(sorted, guint32, i);

		uidset_add(uids, number, number);
	}
	return uids;
}

/* --- reading
 * ------------------------------------------------------------------------------------------ */

static gboolean
is_whole(int fd, guint32 crc)
{
	g_autofree guint8 *buffer = g_malloc(PIECE);
	guint32 sum = 0;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buffer, PIECE, at)) > 0 || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		sum = checksum(sum, buffer, (gsize)n);
		at += n;
	}
	return n == 0 && sum == crc;
}

/* Damaged: kept aside for whoever can make use of it, and forgotten. */
static void
put_aside(Archive *archive, guint32 uid, guint32 crc)
{
	g_autofree char *aside = g_strdup_printf(".damaged-%u-%08x", uid, crc);
	char name[ENTRY_BYTES];

	entry_name(name, uid, crc);
	g_debug("archive %s/%s: damaged", archive->path, name);
	if (renameat(archive->folder, name, archive->folder, aside) != 0)
		g_debug("archive %s: %s", archive->path, g_strerror(errno));
	g_mutex_lock(&archive->lock);
	g_hash_table_remove(archive->files, GUINT_TO_POINTER(uid));
	g_mutex_unlock(&archive->lock);
}

/* @read: all of it is read, whatever is known. */
static Body *
open_entry(Archive *archive, guint32 uid, gboolean read)
{
	g_auto(UtilFd) fd = -1;
	char name[ENTRY_BYTES];
	struct stat status;
	guint32 crc;

	if (!find(archive, uid, &crc))
		return NULL;
	entry_name(name, uid, crc);
	fd = openat(archive->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &status) != 0)
		return NULL;
	if (read || !body_proofs_has(archive->proofs, uid, &status, crc)) {
		if (!S_ISREG(status.st_mode) || !is_whole(fd, crc)) {
			put_aside(archive, uid, crc);
			return NULL;
		}
		body_proofs_add(archive->proofs, uid, &status, crc);
	}
	return body_new_file(util_steal_fd(&fd), (guint64)status.st_size);
}

Body *
archive_get(Archive *archive, guint32 uid)
{
	return open_entry(archive, uid, FALSE);
}

gboolean
archive_secure(Archive *archive, guint32 uid, GError **error)
{
	g_autoptr(Body) body = open_entry(archive, uid, TRUE);

	if (body == NULL) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
			    "archive %s: the body of message %u is not there, or damaged",
			    archive->path, uid);
		return FALSE;
	}
	if (body_sync(body) && fsync(archive->folder) == 0 && fsync(archive->root) == 0)
		return TRUE;
	set_error(error, errno, archive->path);
	return FALSE;
}

/* --- writing
 * ------------------------------------------------------------------------------------------ */

static gboolean
link_into(Archive *archive, const char *name, int from)
{
	char source[32];

	g_snprintf(source, sizeof source, "/proc/self/fd/%d", from);
	return from >= 0 && linkat(AT_FDCWD, source, archive->folder, name, AT_SYMLINK_FOLLOW) == 0;
}

/* 0, or why not. */
static int
copy_into(Archive *archive, const char *name, const Body *from)
{
	g_autofree char *part = g_strconcat(".part-", name, NULL);
	g_autofree guint8 *buffer = g_malloc(PIECE);
	g_auto(UtilFd) fd = -1;
	off_t at = 0;
	gssize n;
	int err = 0;

	fd = openat(archive->folder, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0)
		return errno;
	while (err == 0 && (n = body_read(from, buffer, PIECE, (guint64)at)) != 0) {
		ssize_t written = n > 0 ? pwrite(fd, buffer, (gsize)n, at) : -1;

		if (written > 0)
			at += written;
		else if (errno != EINTR)
			err = errno;
	}
	if (err == 0 && renameat(archive->folder, part, archive->folder, name) != 0)
		err = errno;
	if (err != 0)
		unlinkat(archive->folder, part, 0);
	return err;
}

static void
note_error(Archive *archive, int err, GError **error_out)
{
	g_autoptr(GError) error = NULL;

	set_error(&error, err, archive->path);
	g_mutex_lock(&archive->lock);
	g_free(archive->last_error);
	archive->last_error = g_strdup(error->message);
	g_mutex_unlock(&archive->lock);
	g_propagate_error(error_out, g_steal_pointer(&error));
}

char *
archive_last_error(Archive *archive)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&archive->lock);

	return g_strdup(archive->last_error);
}

gboolean
archive_put(Archive *archive, guint32 uid, const Body *body, guint32 crc, GError **error)
{
	char name[ENTRY_BYTES];
	guint32 there;
	int err;

	if (find(archive, uid, &there) && there == crc)
		return TRUE;
	entry_name(name, uid, crc);
	err = link_into(archive, name, body_file(body)) ? 0 : copy_into(archive, name, body);
	if (err != 0) {
		note_error(archive, err, error);
		return FALSE;
	}
	archive_remove(archive, uid);
	note(archive, uid, crc);
	return TRUE;
}

void
archive_remove(Archive *archive, guint32 uid)
{
	char name[ENTRY_BYTES];
	guint32 crc;

	if (!find(archive, uid, &crc))
		return;
	entry_name(name, uid, crc);
	unlinkat(archive->folder, name, 0);
	g_mutex_lock(&archive->lock);
	g_hash_table_remove(archive->files, GUINT_TO_POINTER(uid));
	g_mutex_unlock(&archive->lock);
}

/* --- what another index has left
 * ---------------------------------------------------------------------- */

static gboolean
adopt_file(Archive *archive, int folder, const char *name, ArchiveAdopt func, gpointer user)
{
	g_auto(UtilFd) fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	g_autofree char *header = g_malloc(HEADER_MAX);
	char renamed[ENTRY_BYTES];
	guint32 uid, crc;
	ssize_t n;

	if (fd < 0 || !parse_entry(name, &uid, &crc))
		return FALSE;
	n = pread(fd, header, HEADER_MAX, 0);
	uid = n >= 0 ? func(user, header, (gsize)n) : 0;
	if (uid == 0)
		return FALSE;
	entry_name(renamed, uid, crc);
	if (renameat(folder, name, archive->folder, renamed) != 0)
		return FALSE;
	note(archive, uid, crc);
	return TRUE;
}

/* In the order of their former numbers, which is that of their coming. */
static gint
by_number(gconstpointer a, gconstpointer b)
{
	guint32 left = 0, right = 0, crc;

	parse_entry(*(const char *const *)a, &left, &crc);
	parse_entry(*(const char *const *)b, &right, &crc);
	return left < right ? -1 : left > right;
}

static guint
adopt_folder(Archive *archive, const char *name, ArchiveAdopt func, gpointer user)
{
	g_autofree char *parent = g_path_get_dirname(archive->path);
	g_autofree char *path = g_build_filename(parent, name, NULL);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_auto(UtilFd) folder =
		openat(archive->root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const char *entry;
	guint n = 0;

	if (dir == NULL || folder < 0)
		return 0;
	while ((entry = g_dir_read_name(dir)) != NULL)
		g_ptr_array_add(names, g_strdup(entry));
	g_ptr_array_sort(names, by_number);
	for (guint i = 0; i < names->len; i++)
		n += adopt_file(archive, folder, names->pdata[i], func, user);
	unlinkat(archive->root, name, AT_REMOVEDIR);
	return n;
}

guint
archive_adopt(Archive *archive, ArchiveAdopt func, gpointer user)
{
	g_autofree char *ours = g_path_get_basename(archive->path);
	g_autofree char *parent = g_path_get_dirname(archive->path);
	g_autoptr(GDir) dir = g_dir_open(parent, 0, NULL);
	const char *name;
	guint n = 0;

	while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
		if (strcmp(name, ours) != 0 && strcmp(name, "lock") != 0)
			n += adopt_folder(archive, name, func, user);
	return n;
}

/* --- life
 * --------------------------------------------------------------------------------------------- */

static void
load(Archive *archive)
{
	g_autoptr(GDir) dir = g_dir_open(archive->path, 0, NULL);
	const char *name;
	guint32 uid, crc;

	while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
		if (parse_entry(name, &uid, &crc))
			g_hash_table_insert(archive->files, GUINT_TO_POINTER(uid),
					    GUINT_TO_POINTER(crc));
		else if (g_str_has_prefix(name, ".part-"))
			unlinkat(archive->folder, name, 0);
	}
}

static gboolean
open_folders(Archive *archive, const char *directory, const char *generation, GError **error)
{
	if (g_mkdir_with_parents(archive->path, 0700) == 0) {
		archive->root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		archive->folder = openat(archive->root, generation,
					 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		archive->lock_fd = openat(archive->root, "lock",
					  O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	if (archive->folder < 0 || archive->lock_fd < 0) {
		set_error(error, errno, archive->path);
		return FALSE;
	}
	if (flock(archive->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY,
			    "another mount keeps its messages in %s: one of them only can have "
			    "keep=yes",
			    directory);
		return FALSE;
	}
	return TRUE;
}

Archive *
archive_open(const char *directory, const char *generation, GError **error)
{
	Archive *archive = g_new0(Archive, 1);

	archive->path = g_build_filename(directory, generation, NULL);
	archive->lock_fd = archive->root = archive->folder = -1;
	archive->proofs = body_proofs_new();
	archive->files = g_hash_table_new(NULL, NULL);
	g_mutex_init(&archive->lock);
	if (!open_folders(archive, directory, generation, error)) {
		archive_close(archive);
		return NULL;
	}
	load(archive);
	return archive;
}

void
archive_close(Archive *archive)
{
	if (archive == NULL)
		return;
	util_close_fd(&archive->lock_fd);
	util_close_fd(&archive->folder);
	util_close_fd(&archive->root);
	body_proofs_free(archive->proofs);
	g_hash_table_unref(archive->files);
	g_mutex_clear(&archive->lock);
	g_free(archive->last_error);
	g_free(archive->path);
	g_free(archive);
}
