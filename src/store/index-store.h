/* SPDX-License-Identifier: MIT */
/* IndexStore: what each write does to the rows of the index; used by index.c's writer thread alone,
 * within its transactions. Return codes are SQLite's.
 *
 * Lost writes are kept honest here. A mailbox's state says "every UID below uidnext is known". When
 * a write to its messages was lost that is no longer so, and its later states are stored as
 * "nothing known": the next mount lists anew. */
#pragma once

#include "store/index.h"

G_BEGIN_DECLS

typedef struct sqlite3 sqlite3;

typedef struct IndexStore IndexStore;

/* Borrows @db. *@store_out is set, for index_store_free, on failure too. */
int index_store_new(sqlite3 *db, IndexStore **store_out);
void index_store_free(IndexStore *store); /* NULL is fine */

int index_store_batch(IndexStore *store, const IndexBatch *batch);
int index_store_put_mailbox(IndexStore *store, const IndexMailbox *mailbox);
int index_store_delete_mailbox(IndexStore *store, guint32 directory);

int index_store_put_number(IndexStore *store, const IndexNumber *number);
int index_store_delete_numbers(IndexStore *store, const UidSet *uids);

/* Messages that no mailbox claims: a crash came between a batch and its mailbox's row. */
int index_store_delete_orphans(IndexStore *store);

void index_store_lost(IndexStore *store, guint32 messages); /* a write to this serial was dropped */

void index_batch_free(IndexBatch *batch);
guint32 index_batch_messages(const IndexBatch *batch);
guint index_batch_length(const IndexBatch *batch);

G_END_DECLS
