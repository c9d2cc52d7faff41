/* SPDX-License-Identifier: MIT */
/* Numbers: the lasting UIDs of a POP3 maildrop, in memory and in the index. What the line to the
 * server wants of them is PopNumbers (proto/pop.h). About 200 bytes a message. Thread-safe; blocks
 * on local disk only. */
#pragma once

#include "proto/pop.h"
#include "store/index.h"

G_BEGIN_DECLS

typedef struct Numbers Numbers;

/* @index: borrowed, outlives it. Nothing is loaded before the first use. */
Numbers *numbers_new(Index *index);
void numbers_free(Numbers *numbers); /* NULL is fine */
const PopNumbers *numbers_for_line(const Numbers *numbers);

/* Good for as long as the index file is the same: what names a message by a number of another one
 * names nothing. Never 0. */
guint32 numbers_uidvalidity(const Numbers *numbers);

/* A message that the server does not have any more is forgotten once a session has looked through
 * the maildrop, but for these. @uids is taken. */
void numbers_keep(Numbers *numbers, UidSet *uids);
void numbers_keep_one(Numbers *numbers, guint32 uid, gboolean keep);
/* A number for a message that is here and that no server has, as far as anybody knows; 0: none is
 * left. */
guint32 numbers_give_kept(Numbers *numbers, const PopIdentity *identity);

/* The server has it no more, as was seen in this mount. */
gboolean numbers_is_absent(Numbers *numbers, guint32 uid);
/* The server has just deleted these. */
void numbers_set_absent(Numbers *numbers, const UidSet *uids);
/* @uid's body is here, whole, since @when (wall clock, seconds) at the latest. The index is told
 * by an index_batch_fetched(). */
void numbers_fetched(Numbers *numbers, guint32 uid, gint64 when);
/* Those on the server whose body came before @when. (transfer full) */
UidSet *numbers_fetched_before(Numbers *numbers, gint64 when);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Numbers, numbers_free)

G_END_DECLS
