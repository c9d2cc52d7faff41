/* SPDX-License-Identifier: MIT */
/* Bodies: fetched messages on disk. The small ones are many to a file (packs.h); one above
 * PACKS_BODY_MAX is a file of its own, bodies/<generation>/<serial>/<uid>, written to a temporary
 * name (O_EXCL, 0600) in a folder beside those and renamed when whole, so that a name always means
 * a whole body. A checksum (CRC-32, kept by the caller in the index) is checked the first time a
 * file is opened in a mount, and each time a small one is: bit rot, truncation or a swapped file is
 * noticed, the body removed, and the caller told to fetch again. Least recently used go first when
 * the total passes the bound; one that is open stays readable. A kill of the process may cost the
 * small ones of the last second. Thread-safe; blocks on local disk only. */
#pragma once

#include "store/body.h"

G_BEGIN_DECLS

typedef struct Bodies Bodies;
typedef struct BodyWriter BodyWriter;

/* @directory: as for index_open; ours is @directory/bodies. Whatever else lies in there (other
 * generations' folders, left-over temporary files) is deleted on the evictor's thread. @max_bytes
 * 0: no bound. Errors: G_FILE_ERROR. */
Bodies *bodies_open(const char *directory, const char *generation, guint64 max_bytes,
		    GError **error);
void bodies_close(Bodies *bodies); /* NULL is fine */
/* From now on each body is a file of its own, to which others may link. Before any is written. */
void bodies_pack_no_more(Bodies *bodies);

/**
 * bodies_get: the cached body (transfer full), or NULL when it is not (or no longer) here.
 * @size, @crc: what it must be. A file already proved in this mount, unchanged since (inode, size,
 * mtime), is not read again.
 */
Body *bodies_get(Bodies *bodies, guint32 serial, guint32 uid, guint64 size, guint32 crc);
/* It outlasts a power failure. FALSE: it may not. */
gboolean bodies_secure(Bodies *bodies, const Body *body);
gboolean bodies_has(Bodies *bodies, guint32 serial, guint32 uid); /* cheap, unproved */
void bodies_remove(Bodies *bodies, guint32 serial, guint32 uid);
/* The message is (also, @keep) at another address now, and so is its body, if it is here. */
void bodies_move(Bodies *bodies, guint32 serial, guint32 uid, guint32 new_serial, guint32 new_uid,
		 gboolean keep);
void bodies_remove_serial(Bodies *bodies, guint32 serial); /* a UIDVALIDITY is over */

/* Writing. The serial is known at once, the UID only when the server's response is complete.
 * Errors: G_FILE_ERROR; on a full disk the oldest bodies make room first. Two writers of one UID:
 * the last commit stays, both get a good body. */
BodyWriter *body_writer_new(Bodies *bodies, guint32 serial, GError **error);
gboolean body_writer_write(BodyWriter *writer, const void *data, gsize len, GError **error);
/* A read descriptor of what is written so far and of what will be, owned by the caller; it stays
 * good when the writer ends. -1: see errno. */
int body_writer_reader(BodyWriter *writer);
/* Puts the body in its place; ends the writer, also when it fails. (transfer full), or NULL. The
 * body counts as proved. */
Body *body_writer_commit(BodyWriter *writer, guint32 uid, guint64 *size_out, guint32 *crc_out,
			 GError **error);
/* The same for a body that nobody waits for. */
gboolean body_writer_keep(BodyWriter *writer, guint32 uid, guint64 *size_out, guint32 *crc_out,
			  GError **error);
void
body_writer_abort(BodyWriter *writer); /* removes what was written, ends the writer; NULL is fine */

guint64 bodies_total(Bodies *bodies);	/* bytes of disk, in whole 4 KiB blocks */
guint64 bodies_damaged(Bodies *bodies); /* found damaged and removed since the start */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bodies, bodies_close)

G_END_DECLS
