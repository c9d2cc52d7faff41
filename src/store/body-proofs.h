/* SPDX-License-Identifier: MIT */
/* BodyProofs: which files were read and found whole in this mount. A fixed table of 64-bit
 * fingerprints over everything that a changed file would have changed (inode, size, mtime, ctime).
 * It forgets when a bucket is full, which costs one more reading of that file. Thread-safe. */
#pragma once

#include <glib.h>
#include <sys/stat.h>

G_BEGIN_DECLS

typedef struct BodyProofs BodyProofs;

BodyProofs *body_proofs_new(void);
void body_proofs_free(BodyProofs *proofs); /* NULL is fine */

/* @address: serial and UID of the body. */
gboolean body_proofs_has(BodyProofs *proofs, guint64 address, const struct stat *status,
			 guint32 crc);
void body_proofs_add(BodyProofs *proofs, guint64 address, const struct stat *status, guint32 crc);

G_END_DECLS
