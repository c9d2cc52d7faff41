/* SPDX-License-Identifier: MIT */
/* Warmer: while a program reads a mailbox from the disk cache, a thread of its own proves the
 * bodies that come next and puts them into the kernel's page cache, beside the threads that serve
 * the program. Whatever it does not get to is done when the message is opened. */
#pragma once

#include "mail/mailbox.h"

G_BEGIN_DECLS

typedef struct Warmer Warmer;

/* FALSE: somebody else has been at this message before: the reader is about to overtake. */
typedef gboolean (*WarmerStore)(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid);

Warmer *warmer_new(WarmerStore store, gpointer user);
void warmer_free(Warmer *warmer); /* what is queued is dropped. NULL is fine */

/* Never blocks. What passes 4,096 messages in all is dropped. */
void warmer_push(Warmer *warmer, Mailbox *mailbox, guint32 serial, const guint32 *uids, guint n);

G_END_DECLS
