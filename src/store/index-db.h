/* SPDX-License-Identifier: MIT */
/* IndexDb: the file format of the index, used by index.c alone: how a connection is opened, what a
 * sound file looks like, how rows become values and back. Return codes are SQLite's. A connection
 * belongs to one thread at a time. */
#pragma once

#include "store/index.h"

G_BEGIN_DECLS

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;

#define INDEX_ROOT_SERIAL  1
#define INDEX_FIRST_SERIAL 2
#define INDEX_END_SERIAL   (1U << 20)

#define INDEX_MAILBOX_COLUMNS                                                                      \
	"directory, sum, messages, uidvalidity, uidnext, highestmodseq, count, separator, "        \
	"attributes, name, prefix, changed"
/* The header is a column of its own, the last: a listing does without it. */
#define INDEX_LISTING_COLUMNS "id, data"
#define INDEX_MESSAGE_COLUMNS INDEX_LISTING_COLUMNS ", header"

/* The rowid of a message: those of one serial lie together, in the order of their UIDs. */
#define INDEX_MESSAGE_ID(serial, uid) ((gint64)((guint64)(serial) << 32 | (uid)))

/* A connection to the file at @path, which must exist. On failure *@db_out may still be set, for
 * its error text: close it. */
int index_db_connect(const char *path, sqlite3 **db_out);

/* A new, empty file (mode 0600) at @path, where none must be, and a connection to it. */
int index_db_create(const char *path, sqlite3 **db_out);

/* SQLITE_OK when the connection's file has our format, exactly. @walk: every page and row is proved
 * too, which takes time in proportion to the file. */
int index_db_check(sqlite3 *db, gboolean walk);

/* The word that names this file; SQLITE_CORRUPT when it could not be a folder's name. (transfer
 * full) */
int index_db_generation(sqlite3 *db, char **generation_out);

#define INDEX_NUMBER_COLUMNS "uid, sum, data, fetched"

/* Rows of INDEX_NUMBER_COLUMNS, as those below. The time is not part of the sum. */
gboolean index_db_read_number(sqlite3_stmt *row, IndexNumber *out);
int index_db_write_number(sqlite3_stmt *put, const IndexNumber *number);
/* The lowest number that is neither reserved nor in use. */
int index_db_next_number(sqlite3 *db, guint32 *next_out);

/* The lowest serial that is neither reserved nor in use. */
int index_db_next_serial(sqlite3 *db, guint32 *next_out);

/* Reserves all below @end of @counter, "next_serial" or "next_number". Durable when it returns and
 * no transaction was open. */
int index_db_reserve(sqlite3 *db, const char *counter, guint32 end);

/* TRUE when the file is to blame and not the disk's fullness, memory or permissions. */
gboolean index_db_is_damage(int rc);
void index_db_set_error(GError **error, const char *path, sqlite3 *db, int rc);

int index_db_exec(sqlite3 *db, const char *sql);
int index_db_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **statements, guint n);
int index_db_run(
	sqlite3_stmt *statement); /* a statement that yields nothing; reset and unbound after */

/* Binds the first and the last rowid that messages of @serial can have as ?1 and ?2. */
void index_db_bind_range(sqlite3_stmt *statement, guint32 serial);

/* Rows of INDEX_*_COLUMNS. What was read borrows from the statement until it is stepped or reset;
 * FALSE: damaged. */
gboolean index_db_read_message(sqlite3_stmt *row, guint32 *serial_out, IndexMessage *out);
gboolean index_db_read_mailbox(sqlite3_stmt *row, IndexMailbox *out);
int index_db_write_message(sqlite3_stmt *put, guint32 serial, const IndexMessage *message);
int index_db_write_mailbox(sqlite3_stmt *put, const IndexMailbox *mailbox);

/* The note beside the file that says: closed cleanly, and this is how it looked. Taking it removes
 * it; TRUE when it fits. */
gboolean index_db_take_clean(const char *path);
void index_db_leave_clean(const char *path);

G_END_DECLS
