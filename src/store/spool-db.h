/* SPDX-License-Identifier: MIT */
/* SpoolDb: the table of the spool, used by spool.c alone. Every commit is on disk before it
 * returns. Return codes are SQLite's. Not thread-safe. */
#pragma once

#include "store/spool.h"

G_BEGIN_DECLS

typedef struct SpoolDb SpoolDb;

/* Opens or makes the file at @path. SQLITE_CORRUPT, SQLITE_NOTADB: it is not one of ours, or
 * damaged. *@err_out: the system's errno, 0 none. */
int spool_db_open(const char *path, SpoolDb **db_out, int *err_out);
void spool_db_close(SpoolDb *db); /* NULL is fine */

/* In one transaction. */
int spool_db_change(SpoolDb *db, const SpoolEntry *entries, guint n, const guint32 *removed,
		    guint n_removed);
int spool_db_reserve(SpoolDb *db, guint32 end); /* numbers below @end are used up */
guint32 spool_db_end(const SpoolDb *db);	/* as reserved before */

/* By id. A damaged row is told with its id alone, all else zero or NULL. */
int spool_db_each(SpoolDb *db, SpoolEach each, gpointer user);

/* Does the file at @path, opened as this table, have another inode or time of birth than the one
 * that was noted last? One that was never noted is noted now. */
int spool_db_is_copy(SpoolDb *db, const char *path, gboolean *copy_out);
int spool_db_note_file(SpoolDb *db, const char *path);

int spool_db_errno(SpoolDb *db); /* of the last failure, 0 none */

G_END_DECLS
