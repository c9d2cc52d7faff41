/* SPDX-License-Identifier: MIT */
#include "store/index-store.h"

#include <sqlite3.h>
#include <string.h>

#include "store/index-db.h"

#define HEADER_MAX (16 * 1024)

enum {
	GET_MAILBOX,
	PUT_MAILBOX,
	DELETE_MAILBOX,
	GET_MESSAGE,
	PUT_MESSAGE,
	DELETE_MESSAGE,
	DELETE_MESSAGES,
	NEXT_ORPHAN,
	PUT_NUMBER,
	DELETE_NUMBERS,
	NUMBER_FETCHED,
	N_WRITES,
};

static const char *const write_sql[N_WRITES] = {
	[GET_MAILBOX] = "SELECT messages FROM mailboxes WHERE directory = ?1",
	[PUT_MAILBOX] = "INSERT OR REPLACE INTO mailboxes (" INDEX_MAILBOX_COLUMNS
			") VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
	[DELETE_MAILBOX] = "DELETE FROM mailboxes WHERE directory = ?1",
	[GET_MESSAGE] = "SELECT " INDEX_MESSAGE_COLUMNS " FROM messages WHERE id = ?1",
	[PUT_MESSAGE] =
		"INSERT OR REPLACE INTO messages (" INDEX_MESSAGE_COLUMNS ") VALUES (?,?,?)",
	[DELETE_MESSAGE] = "DELETE FROM messages WHERE id = ?1",
	[DELETE_MESSAGES] = "DELETE FROM messages WHERE id BETWEEN ?1 AND ?2",
	[NEXT_ORPHAN] =
		/* from serial to serial, not from row to row */
	"WITH RECURSIVE stored (serial) AS (SELECT min(id) >> 32 FROM messages UNION ALL"
	" SELECT (SELECT min(id) >> 32 FROM messages WHERE id >= (stored.serial + 1) << 32)"
	" FROM stored WHERE serial IS NOT NULL)"
	" SELECT serial FROM stored WHERE serial > 0 AND serial NOT IN (SELECT messages FROM "
	"mailboxes WHERE "
	"messages IS NOT NULL) LIMIT 1",
	[PUT_NUMBER] = "INSERT INTO numbers (" INDEX_NUMBER_COLUMNS ") VALUES (?1,?2,?3,NULL)"
		       " ON CONFLICT (uid) DO UPDATE SET sum = ?2, data = ?3",
	[DELETE_NUMBERS] = "DELETE FROM numbers WHERE uid BETWEEN ?1 AND ?2",
	[NUMBER_FETCHED] = "UPDATE numbers SET fetched = ?2 WHERE uid = ?1 AND fetched IS NULL",
};

typedef enum {
	OP_ADD,
	OP_FLAGS,
	OP_EXACT,
	OP_REMOVE,
	OP_FETCHED,
} OpKind;

/* Strings are offsets into the batch's text, which moves while it grows. */
typedef struct {
	OpKind kind;
	guint32 uid;
	guint32 flags;
	guint32 crc;
	guint64 size;
	gint64 date;
	gsize name, keywords, header;
	gsize header_len;
	gboolean has_header, size_exact, has_crc;
} Op;

struct IndexBatch {
	guint32 messages;
	GArray *ops;
	GByteArray *text;
};

struct IndexStore {
	sqlite3 *db; /* borrowed */
	sqlite3_stmt *statements[N_WRITES];
	GString *scratch;  /* values of the row being changed */
	GHashTable *holed; /* message serials that lost a write */
};

/* ---- batches ---- */

void
index_batch_free(IndexBatch *batch)
{
	g_array_unref(batch->ops);
	g_byte_array_unref(batch->text);
	g_free(batch);
}

guint32
index_batch_messages(const IndexBatch *batch)
{
	return batch->messages;
}

guint
index_batch_length(const IndexBatch *batch)
{
	return batch->ops->len;
}

IndexBatch *
index_batch_new(guint32 messages)
{
	IndexBatch *batch = g_new0(IndexBatch, 1);

	batch->messages = messages;
	batch->ops = g_array_new(FALSE, FALSE, sizeof(Op));
	batch->text = g_byte_array_new();
	return batch;
}

static gsize
batch_keep(IndexBatch *batch, const char *data, gsize len)
{
	gsize offset = batch->text->len;

	g_byte_array_append(batch->text, (const guint8 *)data, (guint)len);
	g_byte_array_append(batch->text, (const guint8 *)"", 1);
	return offset;
}

static gsize
batch_keep_text(IndexBatch *batch, const char *text)
{
	return text == NULL ? batch_keep(batch, "", 0) : batch_keep(batch, text, strlen(text));
}

/* Whole lines as far as they fit. */
static gsize
header_length(const char *header, gsize len)
{
	const char *end;

	if (len <= HEADER_MAX)
		return len;
	end = memrchr(header, '\n', HEADER_MAX);
	return end != NULL ? (gsize)(end + 1 - header) : HEADER_MAX;
}

void
index_batch_add(IndexBatch *batch, const IndexMessage *message)
{
	Op op = {
		.kind = OP_ADD,
		.uid = message->info.uid,
		.flags = message->info.flags,
		.size = message->info.size,
		.date = message->info.date,
		.size_exact = message->size_exact != FALSE,
		.has_crc = message->has_crc != FALSE,
		.crc = message->has_crc ? message->crc : 0,
	};

	op.name = batch_keep_text(batch, message->name);
	op.keywords = batch_keep_text(batch, message->info.keywords);
	if (message->info.header != NULL && message->info.header_len > 0) {
		op.has_header = TRUE;
		op.header_len = header_length(message->info.header, message->info.header_len);
		op.header = batch_keep(batch, message->info.header, op.header_len);
	}
	g_array_append_val(batch->ops, op);
}

void
index_batch_flags(IndexBatch *batch, guint32 uid, guint32 flags, const char *keywords)
{
	Op op = {.kind = OP_FLAGS,
		 .uid = uid,
		 .flags = flags,
		 .keywords = batch_keep_text(batch, keywords)};

	g_array_append_val(batch->ops, op);
}

void
index_batch_exact(IndexBatch *batch, guint32 uid, guint64 size, guint32 crc)
{
	Op op = {.kind = OP_EXACT,
		 .uid = uid,
		 .size = size,
		 .crc = crc,
		 .size_exact = TRUE,
		 .has_crc = TRUE};

	g_array_append_val(batch->ops, op);
}

void
index_batch_fetched(IndexBatch *batch, guint32 uid, gint64 when)
{
	Op op = {.kind = OP_FETCHED, .uid = uid, .date = when};

	g_array_append_val(batch->ops, op);
}

void
index_batch_remove(IndexBatch *batch, guint32 uid)
{
	Op op = {.kind = OP_REMOVE, .uid = uid};

	g_array_append_val(batch->ops, op);
}

/* ---- writing ---- */

int
index_store_new(sqlite3 *db, IndexStore **store_out)
{
	IndexStore *store = g_new0(IndexStore, 1);

	store->db = db;
	store->scratch = g_string_new(NULL);
	store->holed = g_hash_table_new(NULL, NULL);
	*store_out = store;
	return index_db_prepare(db, write_sql, store->statements, N_WRITES);
}

void
index_store_free(IndexStore *store)
{
	if (store == NULL)
		return;
	for (guint i = 0; i < N_WRITES; i++)
		sqlite3_finalize(store->statements[i]);
	g_string_free(store->scratch, TRUE);
	g_hash_table_unref(store->holed);
	g_free(store);
}

void
index_store_lost(IndexStore *store, guint32 messages)
{
	g_hash_table_add(store->holed, GUINT_TO_POINTER(messages));
}

static const char *
keep(GString *scratch, gsize *used, const void *data, gsize len)
{
	char *place = scratch->str + *used;

	if (len > 0)
		memcpy(place, data, len);
	place[len] = '\0';
	*used += len + 1;
	return place;
}

/* A stored row to be changed: values in store->scratch, good until the next call. */
static int
load_message(IndexStore *store, guint32 serial, guint32 uid, IndexMessage *out, gboolean *found_out)
{
	sqlite3_stmt *get = store->statements[GET_MESSAGE];
	guint32 found_serial;
	gsize used = 0;
	int rc;

	sqlite3_bind_int64(get, 1, INDEX_MESSAGE_ID(serial, uid));
	rc = sqlite3_step(get);
	*found_out = rc == SQLITE_ROW;
	if (*found_out && !index_db_read_message(get, &found_serial, out))
		rc = SQLITE_CORRUPT;
	if (rc == SQLITE_ROW) {
		g_string_set_size(store->scratch, strlen(out->name) + strlen(out->info.keywords) +
							  out->info.header_len + 3);
		out->name = keep(store->scratch, &used, out->name, strlen(out->name));
		out->info.keywords =
			keep(store->scratch, &used, out->info.keywords, strlen(out->info.keywords));
		if (out->info.header != NULL)
			out->info.header =
				keep(store->scratch, &used, out->info.header, out->info.header_len);
	}
	sqlite3_reset(get);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
store_op(IndexStore *store, guint32 serial, const Op *op, const char *text)
{
	sqlite3_stmt *put = store->statements[PUT_MESSAGE];
	sqlite3_stmt *delete = store->statements[DELETE_MESSAGE];
	IndexMessage message = {0};
	gboolean found = FALSE;
	int rc = SQLITE_OK;

	if (op->kind == OP_REMOVE) {
		sqlite3_bind_int64(delete, 1, INDEX_MESSAGE_ID(serial, op->uid));
		return index_db_run(delete);
	}
	if (op->kind == OP_FETCHED) {
		sqlite3_bind_int64(store->statements[NUMBER_FETCHED], 1, op->uid);
		sqlite3_bind_int64(store->statements[NUMBER_FETCHED], 2, op->date);
		return index_db_run(store->statements[NUMBER_FETCHED]);
	}
	if (op->kind != OP_ADD || !op->has_header)
		rc = load_message(store, serial, op->uid, &message, &found);
	if (rc != SQLITE_OK || (op->kind != OP_ADD && !found))
		return rc;
	if (op->has_header) {
		message.info.header = text + op->header;
		message.info.header_len = op->header_len;
	}
	if (op->kind == OP_ADD) {
		message.info.uid = op->uid;
		message.info.date = op->date;
		message.name = text + op->name;
	}
	if (op->kind == OP_ADD || op->kind == OP_FLAGS) {
		message.info.flags = op->flags;
		message.info.keywords = text + op->keywords;
	}
	if (op->kind == OP_ADD || op->kind == OP_EXACT) {
		message.info.size = op->size;
		message.size_exact = op->size_exact;
		message.has_crc = op->has_crc;
		message.crc = op->crc;
	}
	return index_db_write_message(put, serial, &message);
}

int
index_store_batch(IndexStore *store, const IndexBatch *batch)
{
	int rc = SQLITE_OK;

	for (guint i = 0; i < batch->ops->len && rc == SQLITE_OK; i++)
		rc = store_op(store, batch->messages, &g_array_index(batch->ops, Op, i),
			      (const char *)batch->text->data);
	return rc;
}

static int
delete_messages(IndexStore *store, guint32 serial)
{
	index_db_bind_range(store->statements[DELETE_MESSAGES], serial);
	return index_db_run(store->statements[DELETE_MESSAGES]);
}

/* Deletes the messages of this directory's row when they are not @kept. */
static int
delete_former_messages(IndexStore *store, guint32 directory, guint32 kept)
{
	sqlite3_stmt *get = store->statements[GET_MAILBOX];
	guint32 former = 0;
	int rc;

	sqlite3_bind_int64(get, 1, directory);
	rc = sqlite3_step(get);
	if (rc == SQLITE_ROW)
		former = (guint32)sqlite3_column_int64(get, 0);
	sqlite3_reset(get);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return rc;
	return former != 0 && former != kept ? delete_messages(store, former) : SQLITE_OK;
}

int
index_store_put_mailbox(IndexStore *store, const IndexMailbox *mailbox)
{
	IndexMailbox row = *mailbox;
	int rc = delete_former_messages(store, mailbox->directory, mailbox->messages);

	if (g_hash_table_contains(store->holed, GUINT_TO_POINTER(mailbox->messages))) {
		row.state.uidnext = 1;
		row.state.highestmodseq = 0;
	}
	if (rc == SQLITE_OK)
		rc = index_db_write_mailbox(store->statements[PUT_MAILBOX], &row);
	return rc;
}

int
index_store_delete_mailbox(IndexStore *store, guint32 directory)
{
	int rc = delete_former_messages(store, directory, 0);

	sqlite3_bind_int64(store->statements[DELETE_MAILBOX], 1, directory);
	return rc == SQLITE_OK ? index_db_run(store->statements[DELETE_MAILBOX]) : rc;
}

int
index_store_delete_orphans(IndexStore *store)
{
	sqlite3_stmt *next = store->statements[NEXT_ORPHAN];
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && (rc = sqlite3_step(next)) == SQLITE_ROW) {
		guint32 serial = (guint32)sqlite3_column_int64(next, 0);

		sqlite3_reset(next);
		rc = delete_messages(store, serial);
	}
	sqlite3_reset(next);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- numbers ---- */

int
index_store_put_number(IndexStore *store, const IndexNumber *number)
{
	return index_db_write_number(store->statements[PUT_NUMBER], number);
}

int
index_store_delete_numbers(IndexStore *store, const UidSet *uids)
{
	sqlite3_stmt *delete = store->statements[DELETE_NUMBERS];
	int rc = SQLITE_OK;

	for (guint i = 0; i < uidset_n_ranges(uids) && rc == SQLITE_OK; i++) {
		guint32 first, last;

		uidset_range(uids, i, &first, &last);
		sqlite3_bind_int64(delete, 1, first);
		sqlite3_bind_int64(delete, 2, last);
		rc = index_db_run(delete);
	}
	return rc;
}
