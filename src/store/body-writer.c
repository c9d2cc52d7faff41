/* SPDX-License-Identifier: MIT */
/* A body that comes in: a temporary file, renamed when whole. It comes in a folder of its own: in
 * one that holds few names a file is made with half the effort of that in a folder of thousands. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/bodies-private.h"

struct BodyWriter {
	Bodies *bodies;
	UtilFd fd;
	guint32 serial;
	char name[64]; /* "<folder>/<n>" */
	guint64 size;
	guint32 crc;
};

/* On a full disk: has the evictor make room and waits for it. FALSE when there was nothing to
 * evict. */
static gboolean
make_room(Bodies *bodies)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&bodies->lock);
	guint64 ticket = ++bodies->asked;

	g_cond_signal(&bodies->wake);
	while (bodies->answered < ticket && !g_atomic_int_get(&bodies->stop))
		g_cond_wait(&bodies->swept, &bodies->lock);
	return bodies->freed > 0;
}

static void
writer_free(BodyWriter *writer)
{
	util_close_fd(&writer->fd);
	g_free(writer);
}

void
body_writer_abort(BodyWriter *writer)
{
	if (writer == NULL)
		return;
	unlinkat(writer->bodies->generation, writer->name, 0);
	writer_free(writer);
}

/* Somebody may delete the cache while we run. */
static int
open_temporary(Bodies *bodies, const char *name)
{
	gboolean room_made = FALSE;
	int fd = -1;
	int err = ENOENT;

	for (int attempt = 0; fd < 0 && attempt < 8; attempt++) {
		fd = openat(bodies->generation, name,
			    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		err = errno;
		if (fd < 0 && err == ENOENT) {
			bodies_restore_folders(bodies);
			bodies_make_directory(bodies->generation, bodies->coming);
		} else if (fd < 0 && (!bodies_is_full(err) || room_made ||
				      !(room_made = make_room(bodies)))) {
			break;
		}
	}
	errno = err;
	return fd;
}

BodyWriter *
body_writer_new(Bodies *bodies, guint32 serial, GError **error)
{
	BodyWriter *writer = g_new0(BodyWriter, 1);
	struct stat status;
	guint64 number;

	g_mutex_lock(&bodies->lock);
	number = ++bodies->names;
	g_mutex_unlock(&bodies->lock);
	writer->bodies = bodies;
	writer->serial = serial;
	g_snprintf(writer->name, sizeof writer->name, "%s/%" G_GUINT64_FORMAT, bodies->coming,
		   number);
	writer->fd = open_temporary(bodies, writer->name);
	if (writer->fd < 0) {
		bodies_set_error(error, errno, bodies->path);
		writer_free(writer);
		return NULL;
	}
	/* The umask may have taken bits of ours. */
	if (fstat(writer->fd, &status) == 0 && (status.st_mode & 0777) != 0600 &&
	    fchmod(writer->fd, 0600) != 0)
		g_debug("cache %s/%s: %s", bodies->path, writer->name, g_strerror(errno));
	return writer;
}

gboolean
body_writer_write(BodyWriter *writer, const void *data, gsize len, GError **error)
{
	const guint8 *p = data;
	gsize left = len;
	gboolean room_made = FALSE;

	while (left > 0) {
		ssize_t n = write(writer->fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && bodies_is_full(errno) && !room_made) {
			int err = errno;

			room_made = make_room(writer->bodies);
			if (room_made)
				continue;
			errno = err;
		}
		if (n < 0) {
			bodies_set_error(error, errno, writer->bodies->path);
			return FALSE;
		}
		p += n;
		left -= (gsize)n;
	}
	writer->crc = checksum(writer->crc, data, len);
	writer->size += len;
	return TRUE;
}

int
body_writer_reader(const BodyWriter *writer)
{
	return openat(writer->bodies->generation, writer->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* The evictor removes empty folders: one may go between making it and using it. */
static gboolean
rename_to(Bodies *bodies, const char *name, guint64 address, const char *place, guint flags)
{
	char folder[16];

	for (int attempt = 0; attempt < 8; attempt++) {
		if (renameat2(bodies->generation, name, bodies->generation, place, flags) == 0)
			return TRUE;
		if (errno != ENOENT)
			break;
		g_snprintf(folder, sizeof folder, "%u", (guint)(address >> 32));
		bodies_make_directory(bodies->generation, folder);
	}
	return FALSE;
}

/* 0, or why not. */
static int
move_into_place(Bodies *bodies, const char *name, guint64 address, const struct stat *status)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&bodies->lock);
	struct stat former;
	guint64 before = 0;
	BodyPlace place;

	bodies_place(place, address);
	/* Nearly always nothing is there: one look at the folder less. */
	if (!rename_to(bodies, name, address, place, RENAME_NOREPLACE)) {
		if (fstatat(bodies->generation, place, &former, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(former.st_mode))
			before = bodies_disk_bytes(&former);
		if (!rename_to(bodies, name, address, place, 0))
			return errno;
	}
	bodies_account(bodies, address, before, bodies_disk_bytes(status));
	return 0;
}

/* Ends the writer when it fails. */
static gboolean
put_in_place(BodyWriter *writer, guint64 address, GError **error)
{
	Bodies *bodies = writer->bodies;
	struct stat status;
	int err = 0;

	if (fstat(writer->fd, &status) != 0)
		err = errno;
	else if ((guint64)status.st_size != writer->size)
		err = EIO;
	else
		err = move_into_place(bodies, writer->name, address, &status);
	if (bodies_is_full(err) && make_room(bodies))
		err = move_into_place(bodies, writer->name, address, &status);
	/* Renaming has changed its ctime. */
	if (err == 0 && fstat(writer->fd, &status) == 0)
		body_proofs_add(bodies->proofs, address, &status, writer->crc);
	if (err == 0)
		return TRUE;
	bodies_set_error(error, err, bodies->path);
	body_writer_abort(writer);
	return FALSE;
}

gboolean
body_writer_keep(BodyWriter *writer, guint32 uid, guint64 *size_out, guint32 *crc_out,
		 GError **error)
{
	if (!put_in_place(writer, bodies_address(writer->serial, uid), error))
		return FALSE;
	*size_out = writer->size;
	*crc_out = writer->crc;
	writer_free(writer);
	return TRUE;
}

/* The writer's own descriptor is not handed out: what is in its place is not written to any more.
 */
Body *
body_writer_commit(BodyWriter *writer, guint32 uid, guint64 *size_out, guint32 *crc_out,
		   GError **error)
{
	g_auto(UtilFd) fd = body_writer_reader(writer);

	if (fd < 0) {
		bodies_set_error(error, errno, writer->bodies->path);
		body_writer_abort(writer);
		return NULL;
	}
	if (!body_writer_keep(writer, uid, size_out, crc_out, error))
		return NULL;
	return body_new_file(util_steal_fd(&fd), *size_out);
}
