/* SPDX-License-Identifier: MIT */
/* Index: the account's mailboxes and messages on disk (SQLite, WAL), so that the next mount starts
 * where this one ended. Writes go to a thread of its own, in order, one transaction a burst, and
 * never make the caller wait; a crash loses the newest ones, which only costs a refetch. The index
 * is a cache: a corrupt, foreign or newer-format one is noticed on open, moved aside and started
 * anew, together with the bodies that its checksums vouch for (a new generation). Damage found
 * while it is in use makes reads fail and drops writes from then on; the next open starts anew.
 * After a write of messages was lost, their mailbox's state is stored as "nothing known" (uidnext
 * 1, highestmodseq 0), so that the next mount lists anew. Thread-safe. */
#pragma once

#include "base/message.h"
#include "base/uidset.h"

G_BEGIN_DECLS

typedef struct Index Index;

/* What the index knows of one mailbox. */
typedef struct {
	const char *name;  /* raw server name */
	guint32 directory; /* serial of the directory: lasting, unique in the account, >= 2, < 2^20;
			    * or 1, the account itself, whose name says which account it is */
	guint32 messages;  /* serial of this UIDVALIDITY's messages: from the same counter, 0: none
			      yet */
	MailboxState state;
	gint64 changed; /* wall clock, seconds: of the newest change of its listing */
	char separator;
	guint attributes; /* MailboxAttributes */
	const char *prefix;
} IndexMailbox;

/* One stored message. Pointers are borrowed, good for the duration of the callback. */
typedef struct {
	MessageInfo info;    /* size: the exact one when size_exact. header: to be stored with it */
	const char *name;    /* file name without ".eml", "" with names=uid */
	gboolean size_exact; /* info.size was counted, not claimed */
	gboolean has_crc;    /* crc is that of the body last fetched */
	guint32 crc;
} IndexMessage;

/**
 * index_open: opens or creates @directory/index.db (mode 0600), @directory (0700) too. Blocks on
 * local disk only; after a crash it proves every row, 0.1 s for 100,000 messages.
 * @rebuilt_out: TRUE when something was there that could not be used
 *
 * Errors: G_FILE_ERROR (no space, no permission, ...).
 */
Index *index_open(const char *directory, gboolean *rebuilt_out, GError **error);
/* Deletes what index_open() made, so that the next one starts anew. */
void index_remove(const char *directory);
void index_close(Index *index); /* writes what is queued, then closes; NULL is fine */
const char *
index_generation(const Index *index); /* random word of this index file; names the bodies' folder */

/* Blocks on local disk only: mailboxes in the order of their directory serials. FALSE from the
 * callback stops. */
typedef gboolean (*IndexMailboxFunc)(gpointer user, const IndexMailbox *mailbox);
gboolean index_each_mailbox(Index *index, IndexMailboxFunc func, gpointer user, GError **error);

/* The next free serial (rising, never reused within this index). Blocks on local disk only: it is
 * durable before it is handed out, unless the disk is full. 0 when all 2^20 are used up. */
guint32 index_new_serial(Index *index);

/* Queues storing this row (by directory serial) and returns. A changed `messages` serial deletes
 * the old one's rows. */
void index_put_mailbox(Index *index, const IndexMailbox *mailbox);
void index_delete_mailbox(Index *index, guint32 directory);

/* Messages of one serial, in UID order, without their headers. FALSE: forget what the callback got,
 * list anew. The callback may use the index. Blocks on local disk only; runs beside the writer (its
 * own read connection), but sees every write queued before the call. 100,000 rows within 0.1 s. */
typedef void (*IndexMessageFunc)(gpointer user, const IndexMessage *message);
gboolean index_each_message(Index *index, guint32 messages, IndexMessageFunc func, gpointer user,
			    GError **error);

/* The stored header fields of one message (DATE FROM SUBJECT MESSAGE-ID), NULL when there are none.
 * Blocks on local disk only. (transfer full) */
GBytes *index_get_header(Index *index, guint32 messages, guint32 uid);

/* Queued writes; what they are given is copied. Adding a UID again replaces its row, but a header
 * that is NULL keeps the stored one. Headers are cut at the last whole line within 16 KiB. Changes
 * of unknown UIDs are dropped. */
typedef struct IndexBatch IndexBatch;
IndexBatch *index_batch_new(guint32 messages);
void index_batch_add(IndexBatch *batch, const IndexMessage *message);
void index_batch_flags(IndexBatch *batch, guint32 uid, guint32 flags, const char *keywords);
void index_batch_exact(IndexBatch *batch, guint32 uid, guint64 size,
		       guint32 crc); /* a body was fetched whole */
void index_batch_remove(IndexBatch *batch, guint32 uid);
/* The body of a number (below) came at @when, unless it had come before. */
void index_batch_fetched(IndexBatch *batch, guint32 uid, gint64 when);
void index_submit(Index *index, IndexBatch *batch); /* takes ownership; empty ones are dropped */

/* --- lasting numbers, for a server that knows its messages by names: numbers.h --- */

#define INDEX_KEY_BYTES	     16
#define INDEX_IDENTITY_BYTES 32

typedef struct {
	guint32 uid;
	guint8 key[INDEX_KEY_BYTES]; /* digest of the server's name for it; all 0: it has none */
	guint8 identity[INDEX_IDENTITY_BYTES]; /* digests of what it is by itself */
	guint64 size;			       /* as the server tells */
	gint64 fetched; /* wall clock, seconds: its body came; 0: it did not */
} IndexNumber;

typedef void (*IndexNumberFunc)(gpointer user, const IndexNumber *number);
/* In rising order. Blocks on local disk only. */
gboolean index_each_number(Index *index, IndexNumberFunc func, gpointer user, GError **error);
/* The next free number, as index_new_serial(); 0 when all 2^32 are used up. */
guint32 index_new_number(Index *index);
guint32 index_next_number(Index *index); /* the one that it would give */
/* Queued. One of the same uid is replaced, but for `fetched`. */
void index_put_number(Index *index, const IndexNumber *number);
void index_delete_numbers(Index *index, const UidSet *uids); /* queued */

void index_flush(Index *index); /* blocks until everything queued before is in the database */
/* As above, of messages of one serial. */
void index_settle(Index *index, guint32 messages);
guint64 index_errors(Index *index);   /* writes that failed (disk full, ...): the data lives on in
					 memory; last text: */
char *index_last_error(Index *index); /* NULL when none. (transfer full) */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Index, index_close)

G_END_DECLS
