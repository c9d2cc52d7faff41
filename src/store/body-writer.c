/* SPDX-License-Identifier: MIT */
/* A body that comes in: held in memory while it is small, for the packs, then a temporary file,
 * renamed when whole. That comes in a folder of its own: in one that holds few names a file is made
 * with half the effort of that in a folder of thousands. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/bodies-private.h"

#define HELD_FIRST (16 * 1024) /* octets to hold at first: more than most messages have */

struct BodyWriter {
	Bodies *bodies;
	GByteArray *held; /* all of it so far; NULL: it is in the file */
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
	g_clear_pointer(&writer->held, g_byte_array_unref);
	util_close_fd(&writer->fd);
	g_free(writer);
}

void
body_writer_abort(BodyWriter *writer)
{
	if (writer == NULL)
		return;
	if (writer->fd >= 0)
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
			err = bodies_make_directory(bodies->generation, bodies->coming);
		}
		if (fd < 0 && err != 0 &&
		    (!bodies_is_full(err) || room_made || !(room_made = make_room(bodies))))
			break;
	}
	errno = err;
	return fd;
}

static gboolean
open_file(BodyWriter *writer, GError **error)
{
	Bodies *bodies = writer->bodies;
	struct stat status;
	guint64 number;

	g_mutex_lock(&bodies->lock);
	number = ++bodies->names;
	g_mutex_unlock(&bodies->lock);
	g_snprintf(writer->name, sizeof writer->name, "%s/%" G_GUINT64_FORMAT, bodies->coming,
		   number);
	writer->fd = open_temporary(bodies, writer->name);
	if (writer->fd < 0) {
		bodies_set_error(error, errno, bodies->path);
		return FALSE;
	}
	/* The umask may have taken bits of ours. */
	if (fstat(writer->fd, &status) == 0 && (status.st_mode & 0777) != 0600 &&
	    fchmod(writer->fd, 0600) != 0)
		g_debug("cache %s/%s: %s", bodies->path, writer->name, g_strerror(errno));
	return TRUE;
}

BodyWriter *
body_writer_new(Bodies *bodies, guint32 serial, GError **error)
{
	BodyWriter *writer = g_new0(BodyWriter, 1);

	writer->bodies = bodies;
	writer->serial = serial;
	writer->fd = -1;
	if (!bodies->unpacked) {
		writer->held = g_byte_array_sized_new(HELD_FIRST);
	} else if (!open_file(writer, error)) {
		writer_free(writer);
		return NULL;
	}
	return writer;
}

static gboolean
write_to_file(BodyWriter *writer, const void *data, gsize len, GError **error)
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
	return TRUE;
}

/* It is a file from now on. */
static gboolean
spill(BodyWriter *writer, GError **error)
{
	g_autoptr(GByteArray) held = g_steal_pointer(&writer->held);

	return held == NULL ||
	       (open_file(writer, error) && write_to_file(writer, held->data, held->len, error));
}

gboolean
body_writer_write(BodyWriter *writer, const void *data, gsize len, GError **error)
{
	if (writer->held != NULL && writer->held->len + len > PACKS_BODY_MAX &&
	    !spill(writer, error))
		return FALSE;
	if (writer->held != NULL)
		g_byte_array_append(writer->held, data, (guint)len);
	else if (!write_to_file(writer, data, len, error))
		return FALSE;
	writer->crc = checksum(writer->crc, data, len);
	writer->size += len;
	return TRUE;
}

int
body_writer_reader(BodyWriter *writer)
{
	g_autoptr(GError) error = NULL;

	if (!spill(writer, &error))
		return -1;
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

/* 0 or an errno. */
static int
put_file(BodyWriter *writer, guint64 address)
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
	if (err != 0)
		return err;
	packs_remove(bodies->packs, address);
	/* Renaming has changed its ctime. */
	if (fstat(writer->fd, &status) == 0)
		body_proofs_add(bodies->proofs, address, &status, writer->crc);
	return 0;
}

static int
put_held(BodyWriter *writer, guint64 address, Body **body_out)
{
	return packs_put(writer->bodies->packs, address, writer->held->data, writer->held->len,
			 writer->crc, body_out);
}

/* FALSE: it has to become a file. */
static gboolean
pack(BodyWriter *writer, guint64 address, Body **body_out)
{
	Bodies *bodies = writer->bodies;
	int err = put_held(writer, address, body_out);

	if (bodies_is_full(err) && make_room(bodies)) {
		err = put_held(writer, address, body_out);
	} else if (err == ENOENT) {
		bodies_restore_folders(bodies);
		err = put_held(writer, address, body_out);
	}
	if (err != 0)
		return FALSE;
	bodies_note_packed(bodies);
	return TRUE;
}

static gboolean
put(BodyWriter *writer, guint64 address, Body **body_out, GError **error)
{
	g_auto(UtilFd) fd = -1;
	int err;

	if (writer->held != NULL && pack(writer, address, body_out))
		return TRUE;
	if (!spill(writer, error))
		return FALSE;
	/* The writer's own descriptor is not handed out: what is in its place is not written to any
	 * more. */
	if (body_out != NULL && (fd = body_writer_reader(writer)) < 0)
		err = errno;
	else
		err = put_file(writer, address);
	if (err != 0) {
		bodies_set_error(error, err, writer->bodies->path);
		return FALSE;
	}
	if (body_out != NULL)
		*body_out = body_new_file(util_steal_fd(&fd), writer->size);
	return TRUE;
}

static gboolean
end(BodyWriter *writer, guint32 uid, guint64 *size_out, guint32 *crc_out, Body **body_out,
    GError **error)
{
	if (!put(writer, bodies_address(writer->serial, uid), body_out, error)) {
		body_writer_abort(writer);
		return FALSE;
	}
	*size_out = writer->size;
	*crc_out = writer->crc;
	writer_free(writer);
	return TRUE;
}

gboolean
body_writer_keep(BodyWriter *writer, guint32 uid, guint64 *size_out, guint32 *crc_out,
		 GError **error)
{
	return end(writer, uid, size_out, crc_out, NULL, error);
}

Body *
body_writer_commit(BodyWriter *writer, guint32 uid, guint64 *size_out, guint32 *crc_out,
		   GError **error)
{
	Body *body = NULL;

	return end(writer, uid, size_out, crc_out, &body, error) ? body : NULL;
}
