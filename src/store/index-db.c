/* SPDX-License-Identifier: MIT */
/* A message is one blob of values, its header another: a listing of a million reads two columns a
 * row, and the rowid makes each new message the last one of its table, which SQLite adds without a
 * search.
 *
 * How damage is noticed. SQLite sees torn pages, not a flipped bit inside a value; so every row
 * carries a sum over all its values, proved on each read. Pages that lost rows without a trace are
 * what only a walk over the whole file finds: index.db.clean, written after a clean close, holds
 * the file's inode, size and mtime; when it is missing or does not fit (crash, restored backup,
 * anything that wrote to the file), the next open walks. */
#include "store/index-db.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

#define APPLICATION_ID	  0x6d61696c /* "mail" */
#define FORMAT		  4
#define GENERATION_LENGTH 16
#define VALUE_MAX                                                                                  \
	(16 * 1024 * 1024) /* no value of ours comes near; bounds what a damaged record asks for   \
			    */

/* In the order of their names; sqlite_schema must hold exactly these texts. */
static const char *const schema[] = {
	"CREATE TABLE mailboxes (directory INTEGER PRIMARY KEY, sum INTEGER NOT NULL, messages "
	"INTEGER, uidvalidity INTEGER,"
	" uidnext INTEGER, highestmodseq INTEGER, count INTEGER, separator INTEGER, attributes "
	"INTEGER, name TEXT, prefix TEXT, changed INTEGER)",
	"CREATE TABLE messages (id INTEGER PRIMARY KEY, data BLOB NOT NULL, header BLOB)",
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
	("CREATE TABLE numbers (uid INTEGER PRIMARY KEY, sum INTEGER NOT NULL, data BLOB NOT NULL, "
	 "fetched INTEGER)"),
};

gboolean
index_db_is_damage(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
	case SQLITE_FULL:
	case SQLITE_NOMEM:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_INTERRUPT:
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return FALSE;
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_READ || rc == SQLITE_IOERR_SHORT_READ ||
		       rc == SQLITE_IOERR_CORRUPTFS;
	default:
		return TRUE;
	}
}

void
index_db_set_error(GError **error, const char *path, sqlite3 *db, int rc)
{
	int err = index_db_is_damage(rc) ? 0 : db != NULL ? sqlite3_system_errno(db) : errno;
	GFileError code = G_FILE_ERROR_IO;
	const char *advice = "see the system's log for disk errors";

	if ((rc & 0xff) == SQLITE_FULL || err == ENOSPC || err == EDQUOT) {
		code = G_FILE_ERROR_NOSPC;
		advice = "free some space or choose another cache-dir";
	} else if (index_db_is_damage(rc)) {
		advice = "it is rebuilt at the next mount";
	} else if (err != 0) {
		code = g_file_error_from_errno(err);
		advice = "check its permissions and owner";
	}
	g_set_error(error, G_FILE_ERROR, code, "index %s: %s%s%s; %s", path, sqlite3_errstr(rc),
		    err != 0 ? ": " : "", err != 0 ? g_strerror(err) : "", advice);
}

static guint64
mix(guint64 sum, guint64 value)
{
	sum = (sum ^ value) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
	return sum ^ (sum >> 29);
}

static guint64
mix_bytes(guint64 sum, const void *data, gsize len)
{
	const guint8 *p = data;
	guint64 word;

	sum = mix(sum, len);
	for (; len >= sizeof word; p += sizeof word, len -= sizeof word) {
		memcpy(&word, p, sizeof word);
		sum = mix(sum, GUINT64_FROM_LE(word));
	}
	if (len > 0) {
		word = 0;
		memcpy(&word, p, len);
		sum = mix(sum, GUINT64_FROM_LE(word));
	}
	return sum;
}

/* 32 bits: one damaged row in four thousand million passes. */
static gint64
mix_end(guint64 sum)
{
	return (gint64)((sum ^ (sum >> 32)) & G_MAXUINT32);
}

/* The column `data`: this, then the name and the keywords, each with its NUL. In the byte order of
 * the machine; on another one no sum fits. */
typedef struct {
	guint32 sum;	    /* of all that follows, and of the id */
	guint32 header_sum; /* 0: there is no header */
	guint32 header_len, crc;
	guint64 flags : 32, size_exact : 1, has_crc : 1, unused : 30;
	guint64 size;
	gint64 date;
} Stored;

static guint32
bytes_sum(gint64 id, const void *data, gsize len)
{
	return (guint32)mix_end(mix_bytes(mix(FORMAT, (guint64)id), data, len));
}

static gint64
mailbox_sum(const IndexMailbox *mailbox)
{
	guint64 sum = mix(FORMAT, (guint64)mailbox->directory << 32 | mailbox->messages);

	sum = mix(sum, (guint64)mailbox->state.uidvalidity << 32 | mailbox->state.uidnext);
	sum = mix(sum, mailbox->state.highestmodseq);
	sum = mix(sum, (guint64)mailbox->state.count << 32 | mailbox->attributes);
	sum = mix(sum, (guint8)mailbox->separator);
	sum = mix(sum, (guint64)mailbox->changed);
	sum = mix_bytes(sum, mailbox->name, strlen(mailbox->name));
	return mix_end(mix_bytes(sum, mailbox->prefix, strlen(mailbox->prefix)));
}

/* Defaults are stored as NULL: a byte each. A failed bind would store a wrong value: *rc keeps it.
 */
static void
bind_number(sqlite3_stmt *statement, int column, gint64 value, int *rc)
{
	int bound = value == 0 ? sqlite3_bind_null(statement, column)
			       : sqlite3_bind_int64(statement, column, value);

	if (bound != SQLITE_OK)
		*rc = bound;
}

static void
bind_text(sqlite3_stmt *statement, int column, const char *value, int *rc)
{
	int bound = *value == '\0' ? sqlite3_bind_null(statement, column)
				   : sqlite3_bind_text(statement, column, value, -1, SQLITE_STATIC);

	if (bound != SQLITE_OK)
		*rc = bound;
}

static const char *
column_text(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text != NULL ? text : "";
}

int
index_db_run(sqlite3_stmt *statement)
{
	int rc = sqlite3_step(statement);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* Name and keywords out of @len bytes of text. */
static gboolean
read_texts(const char *text, gsize len, IndexMessage *out)
{
	gsize name_len = strnlen(text, len);
	gsize keywords_len = name_len < len ? strnlen(text + name_len + 1, len - name_len - 1) : 0;

	out->name = text;
	out->info.keywords = text + name_len + 1;
	return name_len + 1 + keywords_len + 1 == len && memchr(text, '/', name_len) == NULL;
}

static gboolean
read_header(sqlite3_stmt *row, gint64 id, const Stored *stored, IndexMessage *out)
{
	const void *header = sqlite3_column_blob(row, 2);
	gsize len = (gsize)sqlite3_column_bytes(row, 2);

	out->info.header = header;
	out->info.header_len = len;
	if (len != stored->header_len)
		return FALSE;
	return len == 0 || bytes_sum(id, header, len) == stored->header_sum;
}

gboolean
index_db_read_message(sqlite3_stmt *row, guint32 *serial_out, IndexMessage *out)
{
	gint64 id = sqlite3_column_int64(row, 0);
	const guint8 *data = sqlite3_column_blob(row, 1);
	gsize len = (gsize)sqlite3_column_bytes(row, 1);
	Stored stored;

	*serial_out = (guint32)(id >> 32);
	*out = (IndexMessage){0};
	if (data == NULL || len < sizeof stored + 2)
		return FALSE;
	memcpy(&stored, data, sizeof stored);
	out->info.uid = (guint32)(id & G_MAXUINT32);
	out->info.flags = stored.flags;
	out->info.size = stored.size;
	out->info.date = stored.date;
	out->size_exact = stored.size_exact;
	out->has_crc = stored.has_crc;
	out->crc = stored.crc;
	return out->info.uid != 0 &&
	       bytes_sum(id, data + sizeof stored.sum, len - sizeof stored.sum) == stored.sum &&
	       read_texts((const char *)data + sizeof stored, len - sizeof stored, out) &&
	       (sqlite3_column_count(row) < 3 || read_header(row, id, &stored, out));
}

void
index_db_bind_range(sqlite3_stmt *statement, guint32 serial)
{
	sqlite3_bind_int64(statement, 1, INDEX_MESSAGE_ID(serial, 0));
	sqlite3_bind_int64(statement, 2, INDEX_MESSAGE_ID(serial, G_MAXUINT32));
}

int
index_db_write_message(sqlite3_stmt *put, guint32 serial, const IndexMessage *message)
{
	gint64 id = INDEX_MESSAGE_ID(serial, message->info.uid);
	gsize name_size = strlen(message->name) + 1;
	gsize keywords_size = strlen(message->info.keywords) + 1;
	gsize header_len = message->info.header_len;
	gsize len = sizeof(Stored) + name_size + keywords_size;
	g_autofree guint8 *data = g_malloc(len);
	Stored stored = {
		.header_sum = header_len > 0 ? bytes_sum(id, message->info.header, header_len) : 0,
		.header_len = (guint32)header_len,
		.crc = message->has_crc ? message->crc : 0,
		.flags = message->info.flags,
		.size_exact = message->size_exact != FALSE,
		.has_crc = message->has_crc != FALSE,
		.size = message->info.size,
		.date = message->info.date,
	};
	int rc;

	memcpy(data, &stored, sizeof stored);
	memcpy(data + sizeof stored, message->name, name_size);
	memcpy(data + sizeof stored + name_size, message->info.keywords, keywords_size);
	stored.sum = bytes_sum(id, data + sizeof stored.sum, len - sizeof stored.sum);
	memcpy(data, &stored.sum, sizeof stored.sum);
	rc = sqlite3_bind_int64(put, 1, id);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob(put, 2, data, (int)len, SQLITE_STATIC);
	if (rc == SQLITE_OK && header_len > 0)
		rc = sqlite3_bind_blob(put, 3, message->info.header, (int)header_len,
				       SQLITE_STATIC);
	/* Unbinds @data in any case. */
	if (rc == SQLITE_OK)
		return index_db_run(put);
	sqlite3_clear_bindings(put);
	return rc;
}

gboolean
index_db_read_mailbox(sqlite3_stmt *row, IndexMailbox *out)
{
	*out = (IndexMailbox){
		.directory = (guint32)sqlite3_column_int64(row, 0),
		.messages = (guint32)sqlite3_column_int64(row, 2),
		.state.uidvalidity = (guint32)sqlite3_column_int64(row, 3),
		.state.uidnext = (guint32)sqlite3_column_int64(row, 4),
		.state.highestmodseq = (guint64)sqlite3_column_int64(row, 5),
		.state.count = (guint32)sqlite3_column_int64(row, 6),
		.separator = (char)sqlite3_column_int64(row, 7),
		.attributes = (guint)sqlite3_column_int64(row, 8),
		.name = column_text(row, 9),
		.prefix = column_text(row, 10),
		.changed = sqlite3_column_int64(row, 11),
	};
	return out->directory >= INDEX_ROOT_SERIAL && out->directory < INDEX_END_SERIAL &&
	       out->messages < INDEX_END_SERIAL && sqlite3_column_int64(row, 1) == mailbox_sum(out);
}

int
index_db_write_mailbox(sqlite3_stmt *put, const IndexMailbox *mailbox)
{
	int rc = SQLITE_OK;

	bind_number(put, 1, mailbox->directory, &rc);
	sqlite3_bind_int64(put, 2, mailbox_sum(mailbox));
	bind_number(put, 3, mailbox->messages, &rc);
	bind_number(put, 4, mailbox->state.uidvalidity, &rc);
	bind_number(put, 5, mailbox->state.uidnext, &rc);
	bind_number(put, 6, (gint64)mailbox->state.highestmodseq, &rc);
	bind_number(put, 7, mailbox->state.count, &rc);
	bind_number(put, 8, mailbox->separator, &rc);
	bind_number(put, 9, mailbox->attributes, &rc);
	bind_text(put, 10, mailbox->name, &rc);
	bind_text(put, 11, mailbox->prefix, &rc);
	bind_number(put, 12, mailbox->changed, &rc);
	return rc == SQLITE_OK ? index_db_run(put) : rc;
}

/* The column `data` of a number. */
typedef struct {
	guint8 key[INDEX_KEY_BYTES];
	guint8 identity[INDEX_IDENTITY_BYTES];
	guint64 size;
} StoredNumber;

gboolean
index_db_read_number(sqlite3_stmt *row, IndexNumber *out)
{
	gint64 uid = sqlite3_column_int64(row, 0);
	const void *data = sqlite3_column_blob(row, 2);
	StoredNumber stored;

	*out = (IndexNumber){.uid = (guint32)uid, .fetched = sqlite3_column_int64(row, 3)};
	if (data == NULL || sqlite3_column_bytes(row, 2) != sizeof stored || uid < 1 ||
	    uid > G_MAXUINT32 ||
	    sqlite3_column_int64(row, 1) != bytes_sum(uid, data, sizeof stored))
		return FALSE;
	memcpy(&stored, data, sizeof stored);
	memcpy(out->key, stored.key, sizeof stored.key);
	memcpy(out->identity, stored.identity, sizeof stored.identity);
	out->size = stored.size;
	return TRUE;
}

int
index_db_write_number(sqlite3_stmt *put, const IndexNumber *number)
{
	StoredNumber stored = {.size = number->size};
	int rc = SQLITE_OK;

	memcpy(stored.key, number->key, sizeof stored.key);
	memcpy(stored.identity, number->identity, sizeof stored.identity);
	bind_number(put, 1, number->uid, &rc);
	sqlite3_bind_int64(put, 2, bytes_sum(number->uid, &stored, sizeof stored));
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob(put, 3, &stored, sizeof stored, SQLITE_STATIC);
	/* Unbinds @stored in any case. */
	if (rc == SQLITE_OK)
		return index_db_run(put);
	sqlite3_clear_bindings(put);
	return rc;
}

/* ---- the file ---- */

int
index_db_exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int
index_db_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **statements, guint n)
{
	for (guint i = 0; i < n; i++) {
		int rc = sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
					    &statements[i], NULL);

		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

/* The first column of the first row; *@text_out is NULL when there is none. (transfer full) */
static int
query_text(sqlite3 *db, const char *sql, char **text_out)
{
	sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	*text_out = NULL;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW)
		*text_out = g_strdup((const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
index_db_connect(const char *path, sqlite3 **db_out)
{
	struct stat status;
	int rc;

	*db_out = NULL;
	if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode))
		return SQLITE_CANTOPEN;
	rc = sqlite3_open_v2(path, db_out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_extended_result_codes(*db_out, 1);
	sqlite3_busy_timeout(*db_out, 5000);
	sqlite3_limit(*db_out, SQLITE_LIMIT_LENGTH, VALUE_MAX);
	/* The file may be anybody's until index_db_check has seen it. */
	sqlite3_db_config(*db_out, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(*db_out, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(*db_out, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(*db_out, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	/* page_size matters only while the file is empty. */
	return index_db_exec(
		*db_out,
		"PRAGMA page_size=8192; PRAGMA cell_size_check=ON; PRAGMA journal_mode=WAL;"
		"PRAGMA synchronous=NORMAL; PRAGMA cache_size=-4096; PRAGMA temp_store=MEMORY;"
		"PRAGMA journal_size_limit=16777216");
}

int
index_db_create(const char *path, sqlite3 **db_out)
{
	g_auto(UtilFd) fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	g_autoptr(GString) sql = g_string_new("BEGIN IMMEDIATE;");
	guint64 generation;
	int rc;

	*db_out = NULL;
	if (fd < 0 ||
	    fchmod(fd, 0600) != 0) /* 0600 whatever the umask; -wal and -shm get the same */
		return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : SQLITE_CANTOPEN;
	rc = index_db_connect(path, db_out);
	if (rc != SQLITE_OK)
		return rc;
	if (getrandom(&generation, sizeof generation, 0) != sizeof generation)
		generation = (guint64)g_get_real_time();
	for (guint i = 0; i < G_N_ELEMENTS(schema); i++)
		g_string_append_printf(sql, "%s;", schema[i]);
	g_string_append_printf(sql,
			       "PRAGMA application_id=%d; PRAGMA user_version=%d;"
			       "INSERT INTO meta VALUES ('generation', '%016" G_GINT64_MODIFIER
			       "x'), ('next_serial', %d), ('next_number', 1); COMMIT",
			       APPLICATION_ID, FORMAT, generation, INDEX_FIRST_SERIAL);
	return index_db_exec(*db_out, sql->str);
}

static int
check_format(sqlite3 *db)
{
	g_autofree char *our_format = g_strdup_printf("%d %d UTF-8 wal", APPLICATION_ID, FORMAT);
	g_autofree char *our_schema =
		g_strjoin(";", schema[0], schema[1], schema[2], schema[3], NULL);
	g_autofree char *format = NULL;
	g_autofree char *found = NULL;
	int rc;

	G_STATIC_ASSERT(G_N_ELEMENTS(schema) == 4);
	rc = query_text(
		db,
		"SELECT (SELECT * FROM pragma_application_id) || ' ' || (SELECT * FROM "
		"pragma_user_version) || ' ' ||"
		" (SELECT * FROM pragma_encoding) || ' ' || (SELECT * FROM pragma_journal_mode)",
		&format);
	if (rc == SQLITE_OK)
		rc = query_text(db,
				"SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema "
				"ORDER BY name)",
				&found);
	if (rc == SQLITE_OK &&
	    (g_strcmp0(format, our_format) != 0 || g_strcmp0(found, our_schema) != 0))
		rc = SQLITE_NOTADB;
	return rc;
}

static gboolean
is_mailbox(sqlite3_stmt *row)
{
	IndexMailbox mailbox;

	return index_db_read_mailbox(row, &mailbox);
}

static gboolean
is_message(sqlite3_stmt *row)
{
	IndexMessage message;
	guint32 serial;

	return index_db_read_message(row, &serial, &message);
}

static gboolean
is_number(sqlite3_stmt *row)
{
	IndexNumber number;

	return index_db_read_number(row, &number);
}

/* Proves every row of one table. */
static int
walk_rows(sqlite3 *db, const char *sql, gboolean (*is_sound)(sqlite3_stmt *row))
{
	sqlite3_stmt *rows = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &rows, NULL);

	while (rc == SQLITE_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW)
		rc = is_sound(rows) ? SQLITE_OK : SQLITE_CORRUPT;
	sqlite3_finalize(rows);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
index_db_check(sqlite3 *db, gboolean walk)
{
	g_autofree char *verdict = NULL;
	int rc = check_format(db);

	if (rc != SQLITE_OK || !walk)
		return rc;
	rc = query_text(db, "PRAGMA quick_check(1)", &verdict);
	if (rc == SQLITE_OK && g_strcmp0(verdict, "ok") != 0)
		rc = SQLITE_CORRUPT;
	if (rc == SQLITE_OK)
		rc = walk_rows(db, "SELECT " INDEX_MAILBOX_COLUMNS " FROM mailboxes", is_mailbox);
	if (rc == SQLITE_OK)
		rc = walk_rows(db, "SELECT " INDEX_NUMBER_COLUMNS " FROM numbers", is_number);
	return rc == SQLITE_OK
		       ? walk_rows(db, "SELECT " INDEX_MESSAGE_COLUMNS " FROM messages", is_message)
		       : rc;
}

int
index_db_generation(sqlite3 *db, char **generation_out)
{
	g_autofree char *text = NULL;
	int rc = query_text(db, "SELECT value FROM meta WHERE name = 'generation'", &text);

	*generation_out = NULL;
	if (rc != SQLITE_OK)
		return rc;
	if (text == NULL || strlen(text) != GENERATION_LENGTH ||
	    strspn(text, "0123456789abcdef") != GENERATION_LENGTH)
		return SQLITE_CORRUPT;
	*generation_out = g_steal_pointer(&text);
	return SQLITE_OK;
}

/* What the rows use counts too: serials given out while the disk was full are not in meta. */
int
index_db_next_serial(sqlite3 *db, guint32 *next_out)
{
	g_autofree char *text = NULL;
	guint64 next;
	int rc = query_text(db,
			    "SELECT max((SELECT value FROM meta WHERE name = 'next_serial'),"
			    " (SELECT ifnull(max(directory), 0) + 1 FROM mailboxes),"
			    " (SELECT ifnull(max(messages), 0) + 1 FROM mailboxes),"
			    " (SELECT ifnull(max(id) >> 32, 0) + 1 FROM messages))",
			    &text);

	if (rc != SQLITE_OK)
		return rc;
	if (text == NULL || !g_ascii_string_to_unsigned(text, 10, INDEX_FIRST_SERIAL,
							INDEX_END_SERIAL, &next, NULL))
		return SQLITE_CORRUPT;
	*next_out = (guint32)next;
	return SQLITE_OK;
}

int
index_db_next_number(sqlite3 *db, guint32 *next_out)
{
	g_autofree char *text = NULL;
	guint64 next;
	int rc = query_text(db,
			    "SELECT max((SELECT value FROM meta WHERE name = 'next_number'),"
			    " (SELECT ifnull(max(uid), 0) + 1 FROM numbers))",
			    &text);

	if (rc != SQLITE_OK)
		return rc;
	if (text == NULL || !g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT32, &next, NULL))
		return SQLITE_CORRUPT;
	*next_out = (guint32)next;
	return SQLITE_OK;
}

/* In WAL mode only FULL syncs at each commit; the level cannot be changed inside a transaction. */
int
index_db_reserve(sqlite3 *db, const char *counter, guint32 end)
{
	g_autofree char *sql =
		g_strdup_printf("UPDATE meta SET value = %u WHERE name = '%s'", end, counter);
	int rc = index_db_exec(db, "PRAGMA synchronous=FULL");

	if (rc == SQLITE_OK)
		rc = index_db_exec(db, sql);
	index_db_exec(db, "PRAGMA synchronous=NORMAL");
	return rc;
}

/* What the note says of a file: any write changes it. NULL: there is none. (transfer full) */
static char *
describe_file(const char *path)
{
	struct stat status;

	if (lstat(path, &status) != 0)
		return NULL;
	return g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT
			       ".%09ld",
			       (guint64)status.st_ino, (gint64)status.st_size,
			       (gint64)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

gboolean
index_db_take_clean(const char *path)
{
	g_autofree char *note = g_strconcat(path, ".clean", NULL);
	g_autofree char *wal = g_strconcat(path, "-wal", NULL);
	g_autofree char *now = describe_file(path);
	g_autofree char *then = NULL;
	gboolean fits = g_file_get_contents(note, &then, NULL, NULL) && g_strcmp0(now, then) == 0 &&
			access(wal, F_OK) != 0;

	g_unlink(note);
	return fits;
}

void
index_db_leave_clean(const char *path)
{
	g_autofree char *note = g_strconcat(path, ".clean", NULL);
	g_autofree char *now = describe_file(path);
	g_auto(UtilFd) fd = -1;

	g_unlink(note);
	if (now == NULL)
		return;
	fd = open(note, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* A note cut short by a full disk fits nothing. */
	if (fd >= 0 && write(fd, now, strlen(now)) < 0)
		g_debug("%s: %s", note, g_strerror(errno));
}
