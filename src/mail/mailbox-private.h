/* SPDX-License-Identifier: MIT */
/* The inside of a Mailbox, for mailbox.c (life, loading, looking), mailbox-sync.c (the listing from
 * the server) and mailbox-bodies.c. */
#pragma once

#include "mail/mailbox.h"

G_BEGIN_DECLS

/* What the flags of a message were until `when`. */
typedef struct {
	guint32 uid, flags;
	gint64 when; /* monotonic */
} MailboxFormer;

struct Mailbox {
	const MailboxHouse *house;
	char *raw_name, *file_name, *prefix;
	guint32 directory, parent;
	char separator;

	GMutex load_lock;    /* held over local disk only */
	gint used, promised; /* atomic; monotonic seconds: looked at, to be kept right until */

	GRWLock lock; /* guards all below */
	Messages *messages;
	guint32 serial; /* of the messages; 0: none yet */
	MailboxState state;
	guint attributes;
	gboolean loaded, listed, syncing, again, tried;
	gint64 synced_at, sync_began; /* monotonic; 0 never */
	gboolean stale;		      /* the server has told of a change since */
	guint32 told_validity; /* the server has told of another UIDVALIDITY; 0: it has not */
	gint64 known_at;       /* monotonic: the listing was right then; 0 never in this mount */
	gint64 asked_at;       /* monotonic: its numbers were asked for; 0 never */
	gboolean unsure;       /* a line was lost since: its numbers are to be asked for at once */
	gint64 failed_at;      /* monotonic: of the last refresh that failed; 0 never */
	gint64 unseen;	       /* as told last; -1: never */
	guint64 version;
	gint64 changed;
	guint64 marks;
	gint64 marked;
	GArray *former;	 /* of MailboxFormer, the oldest first */
	GArray *waiters; /* of Waiter */
	GError *error;
	IndexBatch *exact; /* bodies fetched of `serial` that the index was not told of yet; NULL:
			      none */
	guint n_exact;
};

/* What the index keeps of this mailbox; borrows its strings. Under the lock. */
IndexMailbox mailbox_row(const Mailbox *mailbox);

/* Loads what the index has, the first time. Blocks on local disk. */
void mailbox_load(Mailbox *mailbox);

/* The flags of a message are about to change from @flags. Under the lock. */
void mailbox_note_former(Mailbox *mailbox, guint32 uid, guint32 flags);

/* Calls those who wait, and forgets them. With no lock held. */
void mailbox_wake(Mailbox *mailbox);

G_END_DECLS
