/* SPDX-License-Identifier: MIT */
/* WAL with synchronous=FULL: one fsync a commit, and a torn end of the log is a commit that did not
 * happen. SQLite does not notice a flipped bit inside a value, which could send a message into
 * another mailbox: each row carries a sum over all its values. */
#include "store/spool-db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "store/checksum.h"
#include "store/index-db.h"

#define APPLICATION_ID 0x6d61696f
#define FORMAT	       3 /* 1: without the last eight columns; 2: without the last three */
#define VALUE_MAX      (1024 * 1024)

enum { PUT, REMOVE, NOTE, EACH, N_STATEMENTS };

static const char *const statements[N_STATEMENTS] = {
	[PUT] = ("INSERT OR REPLACE INTO entries VALUES "
		 "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?"
		 "22,?23,?24,?25,?26,?27,?28,?29,?30)"),
	[REMOVE] = "DELETE FROM entries WHERE id = ?1",
	[NOTE] = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
	[EACH] = "SELECT * FROM entries ORDER BY id",
};

struct SpoolDb {
	sqlite3 *db;
	sqlite3_stmt *statements[N_STATEMENTS];
	guint32 end;
};

static gint64
row_sum(const SpoolEntry *entry)
{
	g_autofree char *text = g_strdup_printf(
		"%u %d %u %" G_GINT64_FORMAT " %" G_GUINT64_FORMAT
		" %u %u %u %u %u %u %u %u %u %" G_GINT64_FORMAT "\n%s\n%s\n%s\n%s\n%s\n%s",
		entry->id, (int)entry->state, entry->mode, entry->mtime, entry->size, entry->crc,
		entry->flags, entry->replaces_validity, entry->replaces_uid, entry->before_validity,
		entry->before_uidnext, entry->source_validity, entry->source_uid, entry->tries,
		entry->retry_at, entry->mailbox, entry->name, entry->keywords, entry->message_id,
		entry->source_mailbox, entry->reason);
	gint64 sum = checksum(0, text, strlen(text));

	/* A row of a format before has the same sum. */
	if (entry->wishes != 0 || entry->code != 0 || *entry->moves_to != '\0' ||
	    entry->ticket != 0 || entry->since != 0) {
		g_free(text);
		text = g_strdup_printf("%u %u %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %s",
				       entry->wishes, entry->code, entry->ticket, entry->since,
				       entry->moves_to);
		sum = checksum((guint32)sum, text, strlen(text));
	}
	if (entry->doubt_size != 0) {
		g_free(text);
		text = g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %s",
				       entry->doubt_size, entry->doubt_time, entry->doubt_id);
		sum = checksum((guint32)sum, text, strlen(text));
	}
	return sum;
}

static const char *
text_of(sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);

	return text != NULL ? text : "";
}

static guint32
number_of(sqlite3_stmt *row, int column)
{
	return (guint32)sqlite3_column_int64(row, column);
}

static gboolean
read_row(sqlite3_stmt *row, SpoolEntry *out)
{
	*out = (SpoolEntry){
		.id = number_of(row, 0),
		.state = (SpoolState)number_of(row, 2),
		.mode = number_of(row, 3),
		.mtime = sqlite3_column_int64(row, 4),
		.size = (guint64)sqlite3_column_int64(row, 5),
		.crc = number_of(row, 6),
		.flags = number_of(row, 7),
		.replaces_validity = number_of(row, 8),
		.replaces_uid = number_of(row, 9),
		.before_validity = number_of(row, 10),
		.before_uidnext = number_of(row, 11),
		.source_validity = number_of(row, 12),
		.source_uid = number_of(row, 13),
		.tries = number_of(row, 14),
		.retry_at = sqlite3_column_int64(row, 15),
		.mailbox = text_of(row, 16),
		.name = text_of(row, 17),
		.keywords = text_of(row, 18),
		.message_id = text_of(row, 19),
		.source_mailbox = text_of(row, 20),
		.reason = text_of(row, 21),
		.wishes = number_of(row, 22),
		.code = number_of(row, 23),
		.moves_to = text_of(row, 24),
		.ticket = (guint64)sqlite3_column_int64(row, 25),
		.since = sqlite3_column_int64(row, 26),
		.doubt_size = (guint64)sqlite3_column_int64(row, 27),
		.doubt_time = sqlite3_column_int64(row, 28),
		.doubt_id = text_of(row, 29),
	};
	return out->state <= SPOOL_KEPT && sqlite3_column_int64(row, 1) == row_sum(out);
}

static int
write_row(sqlite3_stmt *put, const SpoolEntry *entry)
{
	const gint64 numbers[] = {
		entry->id,
		row_sum(entry),
		entry->state,
		entry->mode,
		entry->mtime,
		(gint64)entry->size,
		entry->crc,
		entry->flags,
		entry->replaces_validity,
		entry->replaces_uid,
		entry->before_validity,
		entry->before_uidnext,
		entry->source_validity,
		entry->source_uid,
		entry->tries,
		entry->retry_at,
	};
	const char *const texts[] = {entry->mailbox,	entry->name,	       entry->keywords,
				     entry->message_id, entry->source_mailbox, entry->reason};
	const gint64 added[] = {entry->wishes, entry->code};
	const gint64 last[] = {(gint64)entry->ticket, entry->since, (gint64)entry->doubt_size,
			       entry->doubt_time};
	int column = 0;
	int rc = SQLITE_OK;

	/* A failed bind would store a wrong value. */
	for (guint i = 0; i < G_N_ELEMENTS(numbers) && rc == SQLITE_OK; i++)
		rc = sqlite3_bind_int64(put, ++column, numbers[i]);
	for (guint i = 0; i < G_N_ELEMENTS(texts) && rc == SQLITE_OK; i++)
		rc = sqlite3_bind_text(put, ++column, texts[i], -1, SQLITE_STATIC);
	for (guint i = 0; i < G_N_ELEMENTS(added) && rc == SQLITE_OK; i++)
		rc = sqlite3_bind_int64(put, ++column, added[i]);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(put, ++column, entry->moves_to, -1, SQLITE_STATIC);
	for (guint i = 0; i < G_N_ELEMENTS(last) && rc == SQLITE_OK; i++)
		rc = sqlite3_bind_int64(put, ++column, last[i]);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(put, ++column, entry->doubt_id, -1, SQLITE_STATIC);
	return rc == SQLITE_OK ? index_db_run(put) : rc;
}

static int
finish(SpoolDb *db, int rc)
{
	if (rc == SQLITE_OK)
		rc = index_db_exec(db->db, "COMMIT");
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db->db))
		index_db_exec(db->db, "ROLLBACK");
	return rc;
}

int
spool_db_change(SpoolDb *db, const SpoolEntry *entries, guint n, const guint32 *removed,
		guint n_removed)
{
	int rc = index_db_exec(db->db, "BEGIN IMMEDIATE");

	for (guint i = 0; i < n && rc == SQLITE_OK; i++)
		rc = write_row(db->statements[PUT], &entries[i]);
	for (guint i = 0; i < n_removed && rc == SQLITE_OK; i++) {
		sqlite3_bind_int64(db->statements[REMOVE], 1, removed[i]);
		rc = index_db_run(db->statements[REMOVE]);
	}
	return finish(db, rc);
}

static int
note(SpoolDb *db, const char *name, gint64 value)
{
	int rc = sqlite3_bind_text(db->statements[NOTE], 1, name, -1, SQLITE_STATIC);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(db->statements[NOTE], 2, value);
	return rc == SQLITE_OK ? index_db_run(db->statements[NOTE]) : rc;
}

int
spool_db_reserve(SpoolDb *db, guint32 end)
{
	return note(db, "end", end);
}

guint32
spool_db_end(const SpoolDb *db)
{
	return db->end;
}

int
spool_db_each(SpoolDb *db, SpoolEach each, gpointer user)
{
	sqlite3_stmt *row = db->statements[EACH];
	SpoolEntry entry;
	int rc;

	while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
		if (!read_row(row, &entry))
			entry = (SpoolEntry){.id = entry.id};
		each(user, &entry);
	}
	sqlite3_reset(row);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
spool_db_errno(SpoolDb *db)
{
	return sqlite3_system_errno(db->db);
}

/* The first column of the first row as a number; -1 when there is none. */
static gint64
query(sqlite3 *db, const char *sql, int *rc)
{
	sqlite3_stmt *statement = NULL;
	gint64 value = -1;

	if (*rc == SQLITE_OK)
		*rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	if (*rc != SQLITE_OK)
		return -1;
	*rc = sqlite3_step(statement);
	if (*rc == SQLITE_ROW)
		value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	*rc = *rc == SQLITE_ROW || *rc == SQLITE_DONE ? SQLITE_OK : *rc;
	return value;
}

/* --- the file itself --- */

typedef struct {
	gint64 inode, born; /* µs; 0: the file system does not tell */
} FileMark;

static gboolean
mark_of(const char *path, FileMark *out)
{
	struct statx status;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &status) != 0)
		return FALSE;
	*out = (FileMark){.inode = (gint64)status.stx_ino};
	if ((status.stx_mask & STATX_BTIME) != 0)
		out->born =
			status.stx_btime.tv_sec * G_USEC_PER_SEC + status.stx_btime.tv_nsec / 1000;
	return TRUE;
}

int
spool_db_note_file(SpoolDb *db, const char *path)
{
	FileMark mark;
	int rc = mark_of(path, &mark) ? index_db_exec(db->db, "BEGIN IMMEDIATE") : SQLITE_CANTOPEN;

	if (rc == SQLITE_OK)
		rc = note(db, "inode", mark.inode);
	if (rc == SQLITE_OK)
		rc = note(db, "born", mark.born);
	return finish(db, rc);
}

int
spool_db_is_copy(SpoolDb *db, const char *path, gboolean *copy_out)
{
	int rc = SQLITE_OK;
	gint64 inode = query(db->db, "SELECT value FROM meta WHERE name = 'inode'", &rc);
	gint64 born = query(db->db, "SELECT value FROM meta WHERE name = 'born'", &rc);
	FileMark mark;

	*copy_out = FALSE;
	if (rc != SQLITE_OK)
		return rc;
	if (inode < 0)
		return spool_db_note_file(db, path);
	if (!mark_of(path, &mark))
		return SQLITE_CANTOPEN;
	*copy_out = mark.inode != inode || mark.born != born;
	return SQLITE_OK;
}

static int
make_tables(sqlite3 *db)
{
	g_autofree char *sql = g_strdup_printf(
		"BEGIN IMMEDIATE;"
		"CREATE TABLE entries (id INTEGER PRIMARY KEY, sum INTEGER, state INTEGER,"
		" mode INTEGER, mtime INTEGER, size INTEGER, crc INTEGER, flags INTEGER,"
		" replaces_validity INTEGER, replaces_uid INTEGER, before_validity INTEGER,"
		" before_uidnext INTEGER, source_validity INTEGER, source_uid INTEGER,"
		" tries INTEGER, retry_at INTEGER, mailbox TEXT, name TEXT, keywords TEXT,"
		" message_id TEXT, source_mailbox TEXT, reason TEXT, wishes INTEGER,"
		" code INTEGER, moves_to TEXT, ticket INTEGER, since INTEGER,"
		" doubt_size INTEGER, doubt_time INTEGER, doubt_id TEXT);"
		"CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
		"PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
		APPLICATION_ID, FORMAT);

	return index_db_exec(db, sql);
}

static int
bring_up_to_date(sqlite3 *db, gint64 format)
{
	static const char second[] = "ALTER TABLE entries ADD COLUMN wishes INTEGER;"
				     "ALTER TABLE entries ADD COLUMN code INTEGER;"
				     "ALTER TABLE entries ADD COLUMN moves_to TEXT;"
				     "ALTER TABLE entries ADD COLUMN ticket INTEGER;"
				     "ALTER TABLE entries ADD COLUMN since INTEGER;";
	static const char third[] = "ALTER TABLE entries ADD COLUMN doubt_size INTEGER;"
				    "ALTER TABLE entries ADD COLUMN doubt_time INTEGER;"
				    "ALTER TABLE entries ADD COLUMN doubt_id TEXT;";
	g_autofree char *sql =
		g_strdup_printf("BEGIN IMMEDIATE; %s %s PRAGMA user_version=%d; COMMIT",
				format < 2 ? second : "", third, FORMAT);
	int rc = index_db_exec(db, sql);

	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
		index_db_exec(db, "ROLLBACK");
	return rc;
}

static int
check_tables(SpoolDb *db)
{
	int rc = SQLITE_OK;
	g_autofree char *answer = NULL;
	sqlite3_stmt *check = NULL;
	gint64 id = query(db->db, "PRAGMA application_id", &rc);
	gint64 format = query(db->db, "PRAGMA user_version", &rc);

	if (rc == SQLITE_OK && id == 0 && format == 0 &&
	    query(db->db, "SELECT count(*) FROM sqlite_schema", &rc) == 0)
		rc = make_tables(db->db);
	else if (rc == SQLITE_OK && (id != APPLICATION_ID || format < 1 || format > FORMAT))
		rc = SQLITE_NOTADB;
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db->db, "PRAGMA integrity_check(1)", -1, &check, NULL);
	if (rc == SQLITE_OK && sqlite3_step(check) == SQLITE_ROW)
		answer = g_strdup(text_of(check, 0));
	sqlite3_finalize(check);
	if (rc == SQLITE_OK && g_strcmp0(answer, "ok") != 0)
		rc = SQLITE_CORRUPT;
	if (rc == SQLITE_OK && format > 0 && format < FORMAT)
		rc = bring_up_to_date(db->db, format);
	return rc;
}

int
spool_db_open(const char *path, SpoolDb **db_out, int *err_out)
{
	SpoolDb *db = g_new0(SpoolDb, 1);
	/* 0600 whatever the umask; the log beside it gets the same. */
	g_auto(UtilFd) fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int rc = fd >= 0 && fchmod(fd, 0600) == 0 ? SQLITE_OK : SQLITE_CANTOPEN;

	*err_out = rc == SQLITE_OK ? 0 : errno;
	util_close_fd(&fd);
	if (rc == SQLITE_OK)
		rc = sqlite3_open_v2(path, &db->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				     NULL);
	if (rc == SQLITE_OK) {
		sqlite3_extended_result_codes(db->db, 1);
		sqlite3_limit(db->db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
		sqlite3_db_config(db->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(db->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		sqlite3_db_config(db->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
		sqlite3_db_config(db->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
		rc = index_db_exec(db->db,
				   "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cell_size_check=ON;"
				   "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
				   "PRAGMA temp_store=MEMORY");
	}
	if (rc == SQLITE_OK)
		rc = check_tables(db);
	if (rc == SQLITE_OK)
		rc = index_db_prepare(db->db, statements, db->statements, N_STATEMENTS);
	if (rc == SQLITE_OK)
		db->end = (guint32)MAX(
			query(db->db, "SELECT value FROM meta WHERE name = 'end'", &rc), 0);
	if (rc == SQLITE_OK) {
		*db_out = db;
		return rc;
	}
	/* A statement that does not compile is a table of another shape. */
	if ((rc & 0xff) == SQLITE_ERROR)
		rc = SQLITE_NOTADB;
	if (*err_out == 0 && db->db != NULL)
		*err_out = sqlite3_system_errno(db->db);
	spool_db_close(db);
	return rc;
}

void
spool_db_close(SpoolDb *db)
{
	if (db == NULL)
		return;
	for (guint i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->db);
	g_free(db);
}
