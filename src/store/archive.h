/* SPDX-License-Identifier: MIT */
/* Archive: the bodies that are to outlast the messages on the server, as files of the account's
 * state: `directory`/<generation>/<uid>-<crc>, which nothing evicts. Each file tells by itself
 * whether it is whole and which message it is, so that it outlasts the index as well. One process
 * at a time. Thread-safe; blocks on local disk only. Errors: G_FILE_ERROR. */
#pragma once

#include <glib.h>

#include "base/uidset.h"
#include "store/body.h"

G_BEGIN_DECLS

typedef struct Archive Archive;

/* @generation: of the index whose numbers the names are. BUSY: another process has it. */
Archive *archive_open(const char *directory, const char *generation, GError **error);
void archive_close(Archive *archive); /* NULL is fine */

/* What another index has left: @func gives each file a number of this one, by its header block (at
 * most 256 KiB of it); 0: it stays where it is. Returns how many were taken over. */
typedef guint32 (*ArchiveAdopt)(gpointer user, const char *header, gsize len);
guint archive_adopt(Archive *archive, ArchiveAdopt func, gpointer user);

UidSet *archive_uids(Archive *archive); /* (transfer full) */
gboolean archive_has(Archive *archive, guint32 uid);
gboolean archive_get_crc(Archive *archive, guint32 uid, guint32 *crc_out);

/* Keeps the body: by a link where that can be, else by a copy. One that is there under this number
 * stays, unless its checksum is another. */
gboolean archive_put(Archive *archive, guint32 uid, const Body *body, guint32 crc, GError **error);
char *archive_last_error(Archive *archive); /* why one could not be kept; NULL. (transfer full) */
/* NULL when it is not here or is damaged, which is found out the first time in a mount. (transfer
 * full) */
Body *archive_get(Archive *archive, guint32 uid);
/* Reads all of it and makes it durable. FALSE: it is not here, is damaged, or cannot be. */
gboolean archive_secure(Archive *archive, guint32 uid, GError **error);
void archive_remove(Archive *archive, guint32 uid);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Archive, archive_close)

G_END_DECLS
