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

#define MAILBOX_CAME_MAX 16

/* Bodies that came and were not told of as wanted yet. */
typedef struct {
	guint32 serial;
	guint n;
	guint32 uids[MAILBOX_CAME_MAX];
} MailboxCame;

struct Mailbox {
	const MailboxHouse *house;
	/* Where it lies changes with a RENAME; readers take no lock, old texts stay as long as the
	 * mailbox. */
	char *raw_name, *file_name; /* atomic */
	guint parent;		    /* atomic */
	char *prefix;
	guint32 directory;
	char separator;

	GMutex load_lock;    /* held over local disk only */
	gint used, promised; /* atomic; monotonic seconds: looked at, to be kept right until */

	GRWLock lock; /* guards all below */
	Messages *messages;
	guint32 serial; /* of the messages; 0: none yet */
	MailboxState state;
	guint attributes;
	gboolean loaded, listed, syncing, again, tried;
	gboolean gone;	    /* it has left the tree */
	gboolean recounted; /* asked about again, for the server's count was another */
	gint64 untold; /* messages that the server counts, and that a look at all has not shown */
	gint64 synced_at, sync_began; /* monotonic; 0 never */
	gboolean stale;		      /* the server has told of a change since */
	gboolean overtaken; /* we changed it under the SYNC that is under way: one more is to follow
			     */
	gint64 own_at;	    /* monotonic: of our last change; 0 never */
	gint64 due_at;	    /* monotonic: a refresh that was put off; 0: none */
	guint64 told_modseq;   /* highestmodseq as a STATUS told it last; 0: never */
	guint64 n_synced;      /* how often */
	guint32 told_validity; /* the server has told of another UIDVALIDITY; 0: it has not */
	gint64 known_at;       /* monotonic: the listing was right then; 0 never in this mount */
	gint64 asked_at;       /* monotonic: its numbers were asked for; 0 never */
	gboolean unsure;       /* a line was lost since: its numbers are to be asked for at once */
	gint64 failed_at;      /* monotonic: of the last refresh that failed; 0 never */
	gint64 unseen;	       /* as told last; -1: never */
	guint64 version;
	guint64 appended; /* as in MailboxView */
	gint64 changed;
	guint64 marks;
	gint64 marked;
	GArray *former;	 /* of MailboxFormer, the oldest first */
	GArray *waiters; /* of Waiter */
	GError *error;
	IndexBatch *exact; /* bodies fetched of `serial` that the index was not told of yet; NULL:
			      none */
	guint n_exact;
	MailboxCame came;

	/* What we changed ourselves; UIDs of `serial`. */
	GPtrArray *texts; /* all raw and file names it ever had, owned */
	UidSet *hidden;	  /* of messages that are here and not shown */
	UidSet *deleted;  /* of `hidden`: as long as they carry \Deleted */
	UidSet *ahead;	  /* adopted, at or above state.uidnext: state.count leaves them out */
	UidSet *missed;	  /* of `ahead`: the last SYNC, asked after them, did not tell of them */
	UidSet *dropped;  /* while the SYNC under way may still tell of them */
	UidSet *renamed;  /* by a program, since they were listed */
	gboolean named;	  /* it was given a name that nothing but the index knows, in this mount */
	UidSet *arrived;  /* all that `changed` is for: what the SYNC told of, perhaps our own */
	gint64 before;	  /* what `changed` was before them */
	UidSet *flagged;  /* while the SYNC under way may tell of their flags as they were before */
	GHashTable *names_to_come; /* "uidvalidity/uid" → file name without ".eml" */
	GQueue expected;	   /* of MailboxExpected */
};

/* A message that will come under an unknown UID. */
typedef struct {
	char *message_id, *name;
	guint64 size;
	gint64 until; /* monotonic */
} MailboxExpected;

/* mailbox_set_place() without the index. Under the lock, or before there are threads. */
void mailbox_put_place(Mailbox *mailbox, const char *raw_name, const char *file_name,
		       guint32 parent);
void mailbox_changes_init(Mailbox *mailbox);
void mailbox_changes_clear(Mailbox *mailbox);
/* UIDVALIDITY has changed. Under the lock. */
void mailbox_changes_reset(Mailbox *mailbox);
/* @uid has left the listing. Under the lock. */
void mailbox_changes_forget(Mailbox *mailbox, guint32 uid);
/* The SYNC told of a change of the directory, or of one new message. The first listing is none: a
 * copy made while it came in has the directory's time right. Under the lock. */
void mailbox_note_change(Mailbox *mailbox);
void mailbox_note_arrival(Mailbox *mailbox, guint32 uid);
/* It is here, and not hidden. Under the lock. */
const MessageEntry *mailbox_shown(const Mailbox *mailbox, guint32 uid);
/* Puts a message into the listing and @batch, under the name @chosen for it (NULL: none), else the
 * one that was given in advance, else @name (all without ".eml"). FALSE: it was there. Under the
 * lock. */
gboolean mailbox_add_message(Mailbox *mailbox, IndexBatch *batch, IndexMessage *row,
			     const char *chosen, const char *name);

/* Tells the index what it is to keep of this mailbox, unless that is gone: another one may have its
 * name by now. Under the lock. */
void mailbox_store(const Mailbox *mailbox);

/* --- mailbox-keep.c: POP3, keep=yes. Not under the lock. --- */

/* A body came: remembers when, and keeps it. */
void mailbox_keep_body(Mailbox *mailbox, guint32 serial, guint32 uid, guint64 size, guint32 crc);
/* (transfer full), or NULL. */
Body *mailbox_kept_body(Mailbox *mailbox, const MessageEntry *entry);
gboolean mailbox_is_kept(Mailbox *mailbox, guint32 uid);
UidSet *mailbox_kept(Mailbox *mailbox); /* (transfer full) */
void mailbox_keep_no_more(Mailbox *mailbox, guint32 uid);
/* Sizes and checksums that the index was not told of before a crash. Under load_lock. */
void mailbox_load_kept(Mailbox *mailbox, Messages *messages);
/* Lists those that are kept and not listed, once the serial is known. TRUE: there were some. */
gboolean mailbox_list_kept(Mailbox *mailbox);

/* Loads what the index has, the first time. Blocks on local disk. */
void mailbox_load(Mailbox *mailbox);

/* The flags of a message are about to change from @flags. Under the lock. */
void mailbox_note_former(Mailbox *mailbox, guint32 uid, guint32 flags);

/* We have changed something: what the server tells of it meanwhile is mostly that. Under the lock.
 */
void mailbox_note_own(Mailbox *mailbox);
/* When news of the server are to be asked about: not after each of a run of our own changes, but
 * a few times a second. 0: at once. Under the lock. */
gint64 mailbox_pace(const Mailbox *mailbox);
/* Asks for news then. With no lock held. */
void mailbox_refresh_soon(Mailbox *mailbox);

/* The listing is another one from now on. Under the lock; then to be told with no lock held. */
void mailbox_touch(Mailbox *mailbox);
void mailbox_tell_listing(Mailbox *mailbox);

/* What the index keeps: whose \Deleted it is, too. Under the lock. */
guint32 mailbox_stored_flags(const Mailbox *mailbox, guint32 uid, guint32 flags);
/* Rows of a sync that has ended may be older than our own changes of flags meanwhile: those once
 * more. Under the lock. */
void mailbox_store_flagged(Mailbox *mailbox);
/* What it kept, made the flags of the message. TRUE: \Deleted is ours. */
gboolean mailbox_take_stored_flags(guint32 *flags);

/* Calls those who wait, and forgets them. With no lock held. */
void mailbox_wake(Mailbox *mailbox);

G_END_DECLS
