/* SPDX-License-Identifier: MIT */
/* One thread writes, in the order of its queue; readers have connections of their own. What a sound
 * file is: index-db.c.
 *
 * Damage found while running moves the file aside as index.db.corrupt at once: nothing more is
 * written, what is known lives on in memory, and the next index_open starts anew. */
#include "store/index.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sqlite3.h>

#include "store/index-db.h"
#include "store/index-store.h"

#define SERIAL_BLOCK 64	  /* one synchronous commit for so many serials, */
#define NUMBER_BLOCK 1024 /* or numbers */
#define BURST_OPS                                                                                  \
	20000 /* a transaction ends after so many operations even when more are queued             \
	       */
#define IDLE_READERS 4
#define ANY_MAILBOX  0 /* key of `pending` for mailboxes and numbers; no serial is 0 */

enum {
	EACH_MAILBOX,
	EACH_MESSAGE,
	ONE_MESSAGE,
	EACH_NUMBER,
	N_READS,
};

static const char *const read_sql[N_READS] = {
	[EACH_MAILBOX] = "SELECT " INDEX_MAILBOX_COLUMNS " FROM mailboxes ORDER BY directory",
	[EACH_MESSAGE] = "SELECT " INDEX_LISTING_COLUMNS
			 " FROM messages WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
	[ONE_MESSAGE] = "SELECT " INDEX_MESSAGE_COLUMNS " FROM messages WHERE id = ?1",
	[EACH_NUMBER] = "SELECT " INDEX_NUMBER_COLUMNS " FROM numbers ORDER BY uid",
};

typedef struct {
	sqlite3 *db;
	sqlite3_stmt *statements[N_READS];
} Reader;

typedef struct {
	guint32 next;
	guint32 end; /* those below are reserved on disk */
} Counter;

struct Index {
	char *path;
	char *generation;
	GThread *thread;
	GAsyncQueue *queue; /* of Job */
	int corrupt;	    /* atomic */

	/* The writer thread's (index_open's before it starts, index_close's after it ended). */
	sqlite3 *db;
	IndexStore *store;
	GArray *burst; /* guint32: `pending` keys of the jobs in the open transaction */
	guint burst_ops;

	GMutex lock;	     /* guards all below */
	GCond done;	     /* a waiter's flag was set */
	GHashTable *pending; /* key -> jobs queued or in the open transaction */
	GPtrArray *readers;  /* idle ones */
	guint64 errors;
	char *last_error;

	GMutex counter_lock; /* guards both below; taken before `lock` */
	Counter serials, numbers;
};

typedef enum {
	JOB_BATCH,
	JOB_PUT_MAILBOX,
	JOB_DELETE_MAILBOX,
	JOB_DELETE_ORPHANS,
	JOB_PUT_NUMBER,
	JOB_DELETE_NUMBERS,
	JOB_FLUSH,
	JOB_RESERVE,
	JOB_STOP,
} JobKind;

typedef struct {
	JobKind kind;
	IndexBatch *batch;    /* JOB_BATCH, owned */
	IndexMailbox mailbox; /* JOB_PUT_MAILBOX: strings owned. JOB_DELETE_MAILBOX: directory */
	const char *counter;  /* JOB_RESERVE: as index_db_reserve(), static */
	guint32 end;	      /* JOB_RESERVE */
	IndexNumber *number;  /* JOB_PUT_NUMBER, owned */
	UidSet *uids;	      /* JOB_DELETE_NUMBERS, owned */
	gboolean *done;	      /* the waiter's, guarded by lock; NULL: nobody waits */
	gboolean *ok;
} Job;

static void
job_free(Job *job)
{
	if (job->batch != NULL)
		index_batch_free(job->batch);
	g_free((char *)job->mailbox.name);
	g_free((char *)job->mailbox.prefix);
	g_free(job->number);
	uidset_free(job->uids);
	g_free(job);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_free)

/* Counts failed writes; damage ends the use of this file. */
static void
note_failure(Index *index, sqlite3 *db, int rc, const char *what, guint writes)
{
	const char *why = sqlite3_errcode(db) == rc ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
	g_autofree char *text = g_strdup_printf("index %s: cannot %s: %s", index->path, what, why);

	g_debug("%s", text);
	if (index_db_is_damage(rc) &&
	    g_atomic_int_compare_and_exchange(&index->corrupt, FALSE, TRUE)) {
		g_autofree char *aside = g_strconcat(index->path, ".corrupt", NULL);

		if (g_rename(index->path, aside) != 0)
			g_debug("index %s: cannot be moved aside: %s", index->path,
				g_strerror(errno));
	}
	g_mutex_lock(&index->lock);
	index->errors += writes;
	g_free(index->last_error);
	index->last_error = g_steal_pointer(&text);
	g_mutex_unlock(&index->lock);
}

/* ---- the writer thread ---- */

static guint32
job_key(const Job *job)
{
	return job->kind == JOB_BATCH ? index_batch_messages(job->batch) : ANY_MAILBOX;
}

/* Commits what the burst has stored, or drops all of it after a failure. */
static void
end_burst(Index *index, int rc)
{
	if (index->burst->len == 0)
		return;
	if (rc == SQLITE_OK)
		rc = index_db_exec(index->db, "COMMIT");
	if (rc != SQLITE_OK) {
		note_failure(index, index->db, rc, "store", index->burst->len);
		if (!sqlite3_get_autocommit(index->db))
			index_db_exec(index->db, "ROLLBACK");
	}
	g_mutex_lock(&index->lock);
	for (guint i = 0; i < index->burst->len; i++) {
		gpointer key = GUINT_TO_POINTER(g_array_index(index->burst, guint32, i));
		guint queued = GPOINTER_TO_UINT(g_hash_table_lookup(index->pending, key));

		if (queued > 1)
			g_hash_table_insert(index->pending, key, GUINT_TO_POINTER(queued - 1));
		else
			g_hash_table_remove(index->pending, key);
		if (rc != SQLITE_OK && key != GUINT_TO_POINTER(ANY_MAILBOX))
			index_store_lost(index->store, GPOINTER_TO_UINT(key));
	}
	g_mutex_unlock(&index->lock);
	g_array_set_size(index->burst, 0);
	index->burst_ops = 0;
}

static void
store_job(Index *index, Job *job)
{
	guint32 key = job_key(job);
	int rc = g_atomic_int_get(&index->corrupt) ? SQLITE_CORRUPT : SQLITE_OK;

	if (rc == SQLITE_OK && index->burst->len == 0)
		rc = index_db_exec(index->db, "BEGIN IMMEDIATE");
	g_array_append_val(index->burst, key);
	index->burst_ops++;
	if (rc == SQLITE_OK && job->kind == JOB_BATCH) {
		index->burst_ops += index_batch_length(job->batch);
		rc = index_store_batch(index->store, job->batch);
	} else if (rc == SQLITE_OK && job->kind == JOB_PUT_MAILBOX) {
		rc = index_store_put_mailbox(index->store, &job->mailbox);
	} else if (rc == SQLITE_OK && job->kind == JOB_DELETE_MAILBOX) {
		rc = index_store_delete_mailbox(index->store, job->mailbox.directory);
	} else if (rc == SQLITE_OK && job->kind == JOB_PUT_NUMBER) {
		rc = index_store_put_number(index->store, job->number);
	} else if (rc == SQLITE_OK && job->kind == JOB_DELETE_NUMBERS) {
		rc = index_store_delete_numbers(index->store, job->uids);
	} else if (rc == SQLITE_OK) {
		rc = index_store_delete_orphans(index->store);
	}
	if (rc != SQLITE_OK || index->burst_ops >= BURST_OPS)
		end_burst(index, rc);
}

/* Jobs that somebody may wait for. */
static void
answer_job(Index *index, Job *job)
{
	int rc = SQLITE_OK;

	end_burst(index, SQLITE_OK);
	if (job->kind == JOB_RESERVE && g_atomic_int_get(&index->corrupt))
		rc = SQLITE_CORRUPT;
	else if (job->kind == JOB_RESERVE)
		rc = index_db_reserve(index->db, job->counter, job->end);
	if (rc != SQLITE_OK)
		note_failure(index, index->db, rc, "reserve serials", 1);
	g_mutex_lock(&index->lock);
	if (job->ok != NULL)
		*job->ok = rc == SQLITE_OK;
	if (job->done != NULL)
		*job->done = TRUE;
	g_cond_broadcast(&index->done);
	g_mutex_unlock(&index->lock);
}

static gpointer
writer_main(gpointer user)
{
	Index *index = user;
	gboolean stop = FALSE;

	while (!stop) {
		g_autoptr(Job) job = g_async_queue_try_pop(index->queue);

		if (job == NULL) {
			end_burst(index, SQLITE_OK);
			job = g_async_queue_pop(index->queue);
		}
		stop = job->kind == JOB_STOP;
		if (job->kind == JOB_FLUSH || job->kind == JOB_RESERVE || stop)
			answer_job(index, job);
		else
			store_job(index, job);
	}
	return NULL;
}

/* ---- asking the writer ---- */

static void
queue_job(Index *index, Job *job)
{
	gpointer key = GUINT_TO_POINTER(job_key(job));

	g_mutex_lock(&index->lock);
	g_hash_table_insert(
		index->pending, key,
		GUINT_TO_POINTER(GPOINTER_TO_UINT(g_hash_table_lookup(index->pending, key)) + 1));
	g_async_queue_push(index->queue, job);
	g_mutex_unlock(&index->lock);
}

/* Serials do not wait for what is queued. */
static gboolean
ask_writer(Index *index, const Job *question)
{
	gboolean done = FALSE;
	gboolean ok = FALSE;
	Job *job = g_memdup2(question, sizeof *question);

	job->done = &done;
	job->ok = &ok;
	if (job->kind == JOB_RESERVE)
		g_async_queue_push_front(index->queue, job);
	else
		g_async_queue_push(index->queue, job);
	g_mutex_lock(&index->lock);
	while (!done)
		g_cond_wait(&index->done, &index->lock);
	g_mutex_unlock(&index->lock);
	return ok;
}

void
index_flush(Index *index)
{
	ask_writer(index, &(Job){.kind = JOB_FLUSH});
}

static void
flush_key(Index *index, guint32 key)
{
	gboolean queued;

	g_mutex_lock(&index->lock);
	queued = g_hash_table_contains(index->pending, GUINT_TO_POINTER(key));
	g_mutex_unlock(&index->lock);
	if (queued)
		index_flush(index);
}

void
index_settle(Index *index, guint32 messages)
{
	flush_key(index, messages);
}

/* On a full disk the serial is handed out all the same: the next open starts after every serial
 * that rows use, and a body is never believed without its row's checksum. */
static guint32
count_on(Index *index, Counter *counter, const char *name, guint32 block, guint32 limit)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&index->counter_lock);
	guint32 end = limit - counter->next < block ? limit : counter->next + block;

	if (counter->next >= limit)
		return 0;
	if (counter->next >= counter->end &&
	    ask_writer(index, &(Job){.kind = JOB_RESERVE, .counter = name, .end = end}))
		counter->end = end;
	return counter->next++;
}

guint32
index_new_serial(Index *index)
{
	return count_on(index, &index->serials, "next_serial", SERIAL_BLOCK, INDEX_END_SERIAL);
}

guint32
index_new_number(Index *index)
{
	return count_on(index, &index->numbers, "next_number", NUMBER_BLOCK, G_MAXUINT32);
}

guint32
index_next_number(Index *index)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&index->counter_lock);

	return index->numbers.next;
}

void
index_put_mailbox(Index *index, const IndexMailbox *mailbox)
{
	Job *job = g_new0(Job, 1);

	job->kind = JOB_PUT_MAILBOX;
	job->mailbox = *mailbox;
	job->mailbox.name = g_strdup(mailbox->name);
	job->mailbox.prefix = g_strdup(mailbox->prefix != NULL ? mailbox->prefix : "");
	queue_job(index, job);
}

void
index_delete_mailbox(Index *index, guint32 directory)
{
	Job *job = g_new0(Job, 1);

	job->kind = JOB_DELETE_MAILBOX;
	job->mailbox.directory = directory;
	queue_job(index, job);
}

void
index_submit(Index *index, IndexBatch *batch)
{
	Job *job;

	if (index_batch_length(batch) == 0 || index_batch_messages(batch) == 0) {
		index_batch_free(batch);
		return;
	}
	job = g_new0(Job, 1);
	job->kind = JOB_BATCH;
	job->batch = batch;
	queue_job(index, job);
}

void
index_put_number(Index *index, const IndexNumber *number)
{
	Job *job = g_new0(Job, 1);

	job->kind = JOB_PUT_NUMBER;
	job->number = g_memdup2(number, sizeof *number);
	queue_job(index, job);
}

void
index_delete_numbers(Index *index, const UidSet *uids)
{
	Job *job = g_new0(Job, 1);

	job->kind = JOB_DELETE_NUMBERS;
	job->uids = uidset_copy(uids);
	queue_job(index, job);
}

/* ---- readers ---- */

static void
reader_free(Reader *reader)
{
	for (guint i = 0; i < N_READS; i++)
		sqlite3_finalize(reader->statements[i]);
	sqlite3_close(reader->db);
	g_free(reader);
}

static void
reader_failed(Index *index, Reader *reader, int rc, GError **error)
{
	if (g_atomic_int_get(&index->corrupt))
		rc = SQLITE_CORRUPT; /* a file moved aside under us fails in other words */
	index_db_set_error(error, index->path, reader->db, rc);
	if (index_db_is_damage(rc))
		note_failure(index, reader->db, rc, "read", 0);
	reader_free(reader);
}

/* One of the idle ones or a new one; give it back by reader_done or reader_failed. */
static Reader *
reader_get(Index *index, GError **error)
{
	Reader *reader = NULL;
	int rc;

	if (g_atomic_int_get(&index->corrupt)) {
		index_db_set_error(error, index->path, NULL, SQLITE_CORRUPT);
		return NULL;
	}
	g_mutex_lock(&index->lock);
	if (index->readers->len > 0)
		reader = g_ptr_array_steal_index_fast(index->readers, index->readers->len - 1);
	g_mutex_unlock(&index->lock);
	if (reader != NULL)
		return reader;
	reader = g_new0(Reader, 1);
	rc = index_db_connect(index->path, &reader->db);
	if (rc == SQLITE_OK)
		rc = index_db_prepare(reader->db, read_sql, reader->statements, N_READS);
	if (rc == SQLITE_OK)
		return reader;
	reader_failed(index, reader, rc, error);
	return NULL;
}

static void
reader_done(Index *index, Reader *reader)
{
	g_mutex_lock(&index->lock);
	if (index->readers->len < IDLE_READERS)
		g_ptr_array_add(index->readers, g_steal_pointer(&reader));
	g_mutex_unlock(&index->lock);
	if (reader != NULL)
		reader_free(reader);
}

gboolean
index_each_mailbox(Index *index, IndexMailboxFunc func, gpointer user, GError **error)
{
	Reader *reader;
	sqlite3_stmt *rows;
	IndexMailbox mailbox;
	gboolean more = TRUE;
	int rc;

	flush_key(index, ANY_MAILBOX);
	reader = reader_get(index, error);
	if (reader == NULL)
		return FALSE;
	rows = reader->statements[EACH_MAILBOX];
	while (more && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
		if (!index_db_read_mailbox(rows, &mailbox)) {
			rc = SQLITE_CORRUPT;
			break;
		}
		more = func(user, &mailbox);
	}
	sqlite3_reset(rows);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		reader_failed(index, reader, rc, error);
		return FALSE;
	}
	reader_done(index, reader);
	return TRUE;
}

gboolean
index_each_message(Index *index, guint32 messages, IndexMessageFunc func, gpointer user,
		   GError **error)
{
	Reader *reader;
	sqlite3_stmt *rows;
	IndexMessage message;
	guint32 serial;
	int rc;

	flush_key(index, messages);
	reader = reader_get(index, error);
	if (reader == NULL)
		return FALSE;
	rows = reader->statements[EACH_MESSAGE];
	index_db_bind_range(rows, messages);
	while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
		if (!index_db_read_message(rows, &serial, &message)) {
			rc = SQLITE_CORRUPT;
			break;
		}
		func(user, &message);
	}
	sqlite3_reset(rows);
	if (rc != SQLITE_DONE) {
		reader_failed(index, reader, rc, error);
		return FALSE;
	}
	reader_done(index, reader);
	return TRUE;
}

GBytes *
index_get_header(Index *index, guint32 messages, guint32 uid)
{
	g_autoptr(GError) error = NULL;
	GBytes *header = NULL;
	Reader *reader;
	sqlite3_stmt *row;
	IndexMessage message;
	guint32 serial;
	int rc;

	flush_key(index, messages);
	reader = reader_get(index, &error);
	if (reader == NULL)
		return NULL;
	row = reader->statements[ONE_MESSAGE];
	sqlite3_bind_int64(row, 1, INDEX_MESSAGE_ID(messages, uid));
	rc = sqlite3_step(row);
	if (rc == SQLITE_ROW && !index_db_read_message(row, &serial, &message))
		rc = SQLITE_CORRUPT;
	if (rc == SQLITE_ROW && message.info.header_len > 0)
		header = g_bytes_new(message.info.header, message.info.header_len);
	sqlite3_reset(row);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		reader_done(index, reader);
	else
		reader_failed(index, reader, rc, &error);
	return header;
}

gboolean
index_each_number(Index *index, IndexNumberFunc func, gpointer user, GError **error)
{
	Reader *reader;
	sqlite3_stmt *rows;
	IndexNumber number;
	int rc;

	flush_key(index, ANY_MAILBOX);
	reader = reader_get(index, error);
	if (reader == NULL)
		return FALSE;
	rows = reader->statements[EACH_NUMBER];
	while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
		if (!index_db_read_number(rows, &number)) {
			rc = SQLITE_CORRUPT;
			break;
		}
		func(user, &number);
	}
	sqlite3_reset(rows);
	if (rc != SQLITE_DONE) {
		reader_failed(index, reader, rc, error);
		return FALSE;
	}
	reader_done(index, reader);
	return TRUE;
}

/* ---- life ---- */

guint64
index_errors(Index *index)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&index->lock);

	return index->errors;
}

char *
index_last_error(Index *index)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&index->lock);

	return g_strdup(index->last_error);
}

const char *
index_generation(const Index *index)
{
	return index->generation;
}

static void
detach(Index *index)
{
	g_clear_pointer(&index->store, index_store_free);
	g_clear_pointer(&index->db, sqlite3_close);
	g_clear_pointer(&index->generation, g_free);
}

static void
index_free(Index *index)
{
	g_ptr_array_foreach(index->readers, (GFunc)(void (*)(void))reader_free, NULL);
	detach(index);
	g_ptr_array_unref(index->readers);
	g_async_queue_unref(index->queue);
	g_array_unref(index->burst);
	g_hash_table_unref(index->pending);
	g_mutex_clear(&index->lock);
	g_cond_clear(&index->done);
	g_mutex_clear(&index->counter_lock);
	g_free(index->last_error);
	g_free(index->path);
	g_free(index);
}

static Index *
index_alloc(const char *directory)
{
	Index *index = g_new0(Index, 1);

	index->path = g_build_filename(directory, "index.db", NULL);
	index->queue = g_async_queue_new_full((GDestroyNotify)job_free);
	index->burst = g_array_new(FALSE, FALSE, sizeof(guint32));
	index->pending = g_hash_table_new(NULL, NULL);
	index->readers = g_ptr_array_new();
	g_mutex_init(&index->lock);
	g_cond_init(&index->done);
	g_mutex_init(&index->counter_lock);
	return index;
}

/* Checks and prepares an open connection. */
static int
attach(Index *index, gboolean walk)
{
	int rc = index_db_check(index->db, walk);

	if (rc == SQLITE_OK)
		rc = index_db_generation(index->db, &index->generation);
	if (rc == SQLITE_OK)
		rc = index_db_next_serial(index->db, &index->serials.next);
	if (rc == SQLITE_OK)
		rc = index_db_next_number(index->db, &index->numbers.next);
	if (rc == SQLITE_OK)
		rc = index_store_new(index->db, &index->store);
	index->serials.end = index->serials.next;
	index->numbers.end = index->numbers.next;
	return rc;
}

/* One generation of damaged files is kept, for whoever wants to know. FALSE: there is nothing of
 * that name, or it stays. */
static gboolean
move_aside(Index *index, const char *suffix)
{
	g_autofree char *from = g_strconcat(index->path, suffix, NULL);
	g_autofree char *to = g_strconcat(index->path, ".damaged", NULL);

	return g_rename(from, to) == 0;
}

static int
create(Index *index)
{
	g_autofree char *wal = g_strconcat(index->path, "-wal", NULL);
	g_autofree char *shm = g_strconcat(index->path, "-shm", NULL);
	int rc;

	g_unlink(wal); /* left by the file that was moved aside */
	g_unlink(shm);
	rc = index_db_create(index->path, &index->db);
	return rc == SQLITE_OK ? attach(index, FALSE) : rc;
}

Index *
index_open(const char *directory, gboolean *rebuilt_out, GError **error)
{
	Index *index = index_alloc(directory);
	gboolean rebuilt = FALSE;
	gboolean clean;
	int rc = SQLITE_CANTOPEN;

	if (g_mkdir_with_parents(directory, 0700) == 0) {
		rebuilt = move_aside(index, ".corrupt");
		clean = index_db_take_clean(index->path);
		rc = index_db_connect(index->path, &index->db);
		if (rc == SQLITE_OK)
			rc = attach(index, !clean);
		if (index_db_is_damage(rc) || (rc & 0xff) == SQLITE_CANTOPEN ||
		    (rc & 0xff) == SQLITE_READONLY) {
			detach(index);
			if (move_aside(index, "")) {
				g_debug("index %s: moved aside: %s", index->path,
					sqlite3_errstr(rc));
				rebuilt = TRUE;
			}
			rc = create(index);
		}
	}
	if (rc != SQLITE_OK) {
		index_db_set_error(error, index->path, index->db, rc);
		index_free(index);
		return NULL;
	}
	if (rebuilt_out != NULL)
		*rebuilt_out = rebuilt;
	index->thread = g_thread_new("index", writer_main, index);
	queue_job(index, g_memdup2(&(Job){.kind = JOB_DELETE_ORPHANS}, sizeof(Job)));
	return index;
}

void
index_remove(const char *directory)
{
	static const char *const names[] = {"index.db", "index.db-wal", "index.db-shm",
					    "index.db.clean", "index.db.corrupt"};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_build_filename(directory, names[i], NULL);

		g_unlink(path);
	}
}

/* What was not handed out of the last block is free again. */
static void
give_back(Index *index, const Counter *counter, const char *name)
{
	if (counter->next != counter->end)
		index_db_reserve(index->db, name, counter->next);
}

void
index_close(Index *index)
{
	gboolean corrupt;
	g_autofree char *path = NULL;

	if (index == NULL)
		return;
	ask_writer(index, &(Job){.kind = JOB_STOP});
	g_thread_join(index->thread);
	corrupt = g_atomic_int_get(&index->corrupt);
	if (!corrupt) {
		give_back(index, &index->serials, "next_serial");
		give_back(index, &index->numbers, "next_number");
	}
	path = g_strdup(index->path);
	index_free(index);
	if (!corrupt)
		index_db_leave_clean(path);
}
