/* SPDX-License-Identifier: MIT */
/* A Mailbox is one directory of the tree: its messages in memory (loaded from the index when first
 * needed, then brought up to date by SYNC requests) and its bodies by way of Scan. Thread-safe.
 * Nothing here waits for the network: what is not known yet is asked for, and those who want it are
 * called back. Mailboxes live as long as their account. */
#pragma once

#include "mail/messages.h"
#include "proto/pool.h"
#include "store/archive.h"
#include "store/index.h"
#include "store/numbers.h"
#include "store/scan.h"

G_BEGIN_DECLS

#define MAILBOX_NAME_MAX 255 /* bytes of a message's file name */

typedef struct Mailbox Mailbox;

/* What a mailbox tells upwards, on whatever thread found out, with no lock held. Must not block. */
typedef struct {
	void (*listing)(gpointer user, Mailbox *mailbox); /* messages came or went */
	void (*gone)(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid,
		     const char *name);
	void (*changed)(gpointer user, Mailbox *mailbox, guint32 serial,
			guint32 uid); /* flags or size */
	/* A reader will open these soon; their bodies are in the disk cache. */
	void (*wanted)(gpointer user, Mailbox *mailbox, guint32 serial, const guint32 *uids,
		       guint n);
	void (*renumbered)(gpointer user, Mailbox *mailbox, guint32 old_serial,
			   guint32 new_serial); /* UIDVALIDITY; old 0: first seen */
} MailboxNews;

/* The parts every mailbox of an account shares: borrowed, outlive it. */
typedef struct {
	Pool *pool;
	Index *index;
	Bodies *bodies;
	Scan *scan;
	Numbers *numbers;   /* NULL: the server has UIDs */
	Archive *archive;   /* of bodies that stay when the server has them no more; or NULL */
	gboolean names_uid; /* names=uid: no headers, no names */
	const MailboxNews *news;
	gpointer user;
} MailboxHouse;

/* @row: as the index keeps it (copied); its `messages` serial is 0 for one never opened.
 * @file_name: unique among its siblings. */
Mailbox *mailbox_new(const MailboxHouse *house, const IndexMailbox *row, const char *file_name,
		     guint32 parent);
void mailbox_free(Mailbox *mailbox);

const char *mailbox_raw_name(const Mailbox *mailbox);  /* as the server spells it */
const char *mailbox_file_name(const Mailbox *mailbox); /* one path component */
guint32 mailbox_directory(const Mailbox *mailbox);     /* serial of the directory */
guint32 mailbox_parent(const Mailbox *mailbox);	       /* serial of the directory above */
char mailbox_separator(const Mailbox *mailbox);
const char *mailbox_prefix(const Mailbox *mailbox); /* of its namespace, as MailboxInfo */
guint mailbox_attributes(Mailbox *mailbox);	    /* MailboxAttributes */
void mailbox_set_attributes(Mailbox *mailbox, guint attributes);
/* It lies elsewhere now: the server has renamed it, or a mailbox above it. */
void mailbox_set_place(Mailbox *mailbox, const char *raw_name, const char *file_name,
		       guint32 parent);
/* It leaves the tree, and the index for good: nothing is asked about it any more. */
void mailbox_set_gone(Mailbox *mailbox);

/* --- the listing --- */

/**
 * mailbox_refresh: makes sure that what the index has is loaded (blocks on local disk, the first
 * time), and asks the server for news when the last answer is older than @max_age_us. A refresh
 * that is under way is joined.
 */
void mailbox_refresh(Mailbox *mailbox, gint64 max_age_us);

/* --- news without asking: mailbox-watch.c --- */

/* How old a listing may be without asking for a newer one, µs: @dir_time_us, but 1 when the server
 * has told of a change, and longer while it tells of every change. The mailbox is in use from now
 * on: see mailbox_watch(). */
gint64 mailbox_max_age(Mailbox *mailbox, gint64 dir_time_us);
void mailbox_use(Mailbox *mailbox); /* it is in use from now on */

#define MAILBOX_PROMISE_S 3600

/* TRUE: every change of the mailbox is told by the server and will be, so what is known of it may
 * be kept for MAILBOX_PROMISE_S seconds by somebody who hears of changes; for so long it stays in
 * use. */
gboolean mailbox_promise(Mailbox *mailbox);

/* Should its changes be told? It was looked at within the last ten minutes (INBOX: ever), or a
 * promise is outstanding. *@out: to be freed by the owner of the array; *@used_out: monotonic
 * seconds of the last use. */
gboolean mailbox_watch(Mailbox *mailbox, PoolWatch *out, gint *used_out, gboolean *promised_out);

void mailbox_told(Mailbox *mailbox); /* the server has told of a change */
/* The server tells its numbers: where they are others than known, the listing is out of date. */
void mailbox_take_status(Mailbox *mailbox, const MailboxStatus *status);
/* A line is free for it: asks for news, unless that is under way or has failed a moment ago. */
void mailbox_take_up(Mailbox *mailbox);
/* Is it time (@every_us) to ask for its numbers again? @prove: a newer listing does not count.
 * Notes that they were. */
gboolean mailbox_ask_status(Mailbox *mailbox, gint64 every_us, gboolean prove);
/* The line is back: what was tried or asked before counts no more. */
void mailbox_line_is_back(Mailbox *mailbox);
/* A refresh that was put off is begun when it is time. Returns that time (monotonic), 0: there is
 * none. To be called now and then, and after pool_look(). */
gint64 mailbox_catch_up(Mailbox *mailbox);

typedef struct {
	gboolean listed;  /* complete at least once, by the server now or by the index */
	gboolean syncing; /* more may come: see mailbox_wait() */
	gboolean late; /* syncing for so long (1 s) that nobody should wait for it who has a listing
			*/
	guint64 version;  /* rises with every change of the listing */
	guint64 appended; /* how many of those were one message after all others */
	gint64 changed;	  /* wall clock, seconds: of the newest change */
	guint64 marks;	  /* rises with every change of flags */
	gint64 marked;	  /* wall clock, seconds: of the newest one, 0 none since the start */
	guint32 uidvalidity;
	guint32 messages; /* serial of the messages, 0 before the first answer */
	guint count;
} MailboxView;
void mailbox_view(Mailbox *mailbox, MailboxView *out);
GError *mailbox_error(Mailbox *mailbox); /* why the last refresh failed; NULL. (transfer full) */

/* Calls back once, on some thread, soon after the next change or end of a refresh; at once (FALSE
 * is returned, no call) when nothing is under way. The callee looks again and may wait again. */
typedef void (*MailboxWake)(gpointer user);
gboolean mailbox_wait(Mailbox *mailbox, MailboxWake wake, gpointer user);

/* One message by value. */
typedef struct {
	guint32 serial, uid;
	guint64 size; /* never 0: 4096 when nobody knows */
	gint64 date;
	guint32 flags;
	gboolean has_keywords;
	gboolean resized; /* another size may have been shown before */
} MessageView;
gboolean mailbox_get(Mailbox *mailbox, guint32 serial, guint32 uid, MessageView *out);
gboolean mailbox_find(Mailbox *mailbox, const char *file_name,
		      MessageView *out);	   /* listed name or <uid>.eml */
guint mailbox_rank(Mailbox *mailbox, guint32 uid); /* messages with lower UIDs */
/* TRUE once for each message in this mount. */
gboolean mailbox_first_open(Mailbox *mailbox, guint32 serial, guint32 uid);
/* The whole body was given to the kernel. */
void mailbox_set_stored(Mailbox *mailbox, guint32 serial, guint32 uid);
char *mailbox_flags_text(Mailbox *mailbox,
			 guint32 uid); /* "\Seen work". NULL: no such message. (transfer full) */
/* TRUE: its flags were these until another client changed them, not longer than @max_age_us ago.
 * The newest few hundred changes are known. */
gboolean mailbox_had_flags(Mailbox *mailbox, guint32 uid, guint32 flags, gint64 max_age_us);
char *mailbox_name_of(Mailbox *mailbox,
		      guint32 uid); /* listed file name. NULL: no such message. (transfer full) */

/* The messages from @first on in UID order, until @func says FALSE. @func must not call into the
 * mailbox. */
typedef gboolean (*MailboxEach)(gpointer user, const MessageView *message, const char *file_name);
void mailbox_each(Mailbox *mailbox, guint32 first, MailboxEach func, gpointer user);

/* --- bodies --- */

/* The body, from the cache at once (before this returns) or from the server. @reader: the process,
 * for recognising scans. */
void mailbox_open(Mailbox *mailbox, guint32 serial, guint32 uid, guint32 reader, ScanDone done,
		  gpointer user);
/* The same for a reader that can take what is here while the rest still comes, unless it reads
 * message after message. The listed size is
 * the exact one before @opened is called. */
void mailbox_open_growing(Mailbox *mailbox, guint32 serial, guint32 uid, guint32 reader,
			  ScanOpened opened, gpointer user);

/* @reader lists it: opens of its messages are to be expected. */
void mailbox_note_listed(Mailbox *mailbox, guint32 reader);

/* TRUE: the kernel was given the whole body (mailbox_set_stored()), and it is still the right one.
 */
gboolean mailbox_open_stored(Mailbox *mailbox, guint32 serial, guint32 uid, guint32 reader);
/* The body as mailbox_open() gives it, but from the disk cache or not at all: NULL. (transfer
 * full) */
Body *mailbox_open_cached(Mailbox *mailbox, guint32 serial, guint32 uid);

/* The whole header block: from the cached body, else from the server. @header is borrowed for the
 * call. */
typedef void (*MailboxHeader)(gpointer user, const char *header, gsize len, const GError *error);
void mailbox_header(Mailbox *mailbox, guint32 serial, guint32 uid, MailboxHeader done,
		    gpointer user);
/* The stored DATE FROM SUBJECT MESSAGE-ID fields, or NULL. Blocks on local disk. (transfer full) */
GBytes *mailbox_stored_header(Mailbox *mailbox, guint32 serial, guint32 uid);

/* --- what we changed ourselves (mailbox-changes.c) --- */

/* The message that an APPEND, COPY or MOVE of ours has made: listed at once, without waiting for a
 * sync. @uidvalidity: of the new UID; when it is not the one that is known, or the mailbox was
 * never listed, only the name is remembered for when the listing comes. @size: exact. @crc: of the
 * body.
 * @header: the fields of names v1, as MessageInfo. @name: its file name ("x.eml"), or NULL: by
 * names v1. A message that has the given name gives it up and becomes x~2.eml. Blocks on local
 * disk. Returns FALSE when it is not listed yet. */
gboolean mailbox_adopt(Mailbox *mailbox, guint32 uidvalidity, const MessageInfo *info,
		       gboolean has_crc, guint32 crc, const char *name);
/* The next message with this Message-ID (raw) and size that a listing brings gets this name: for
 * servers that do not tell the UID. Remembered for an hour, a few thousand at most. */
void mailbox_expect(Mailbox *mailbox, const char *message_id, guint64 size, const char *name);
/* The time of the directory, wall clock, seconds, until the next change of the listing: as somebody
 * has set it. */
void mailbox_set_changed(Mailbox *mailbox, gint64 time);
/* Gone by our own hand: out of the listing and the index, told as news like any other. */
void mailbox_drop(Mailbox *mailbox, guint32 serial, const UidSet *uids);
/* Hidden while a removal that was answered for is not confirmed; shown again when it failed. */
void mailbox_hide(Mailbox *mailbox, guint32 serial, guint32 uid, gboolean hidden);
/* How far the server had told at some moment. */
typedef struct {
	guint64 modseq, n_synced;
} MailboxMoment;
MailboxMoment mailbox_moment(Mailbox *mailbox);
/* As a STORE of ours has left them. Not counted as another client's change. @asked: from before it
 * was sent; what the server has told since, perhaps of a later change by somebody else, is asked
 * for once more. NULL: nothing can be lost by that. */
void mailbox_put_flags(Mailbox *mailbox, guint32 serial, const UidSet *uids, guint32 add,
		       const char *add_keywords, guint32 remove, const char *remove_keywords,
		       const MailboxMoment *asked);
/* Its body is on disk, every byte proved, and outlasts a power failure. Blocks on local disk. */
gboolean mailbox_secure_body(Mailbox *mailbox, guint32 serial, guint32 uid);
/* TRUE: the archive has it, and the server no more, as far as it was asked in this mount. */
gboolean mailbox_is_only_kept(Mailbox *mailbox, guint32 uid);
/* These carry \Deleted by our hand and could not be removed: hidden as long as they carry it, in
 * this mount and, by the index, in the next. */
void mailbox_mark(Mailbox *mailbox, guint32 serial, const UidSet *uids);
UidSet *mailbox_marked(Mailbox *mailbox, guint32 serial); /* those of them. (transfer full) */
/* Another file name, kept in the index. INVALID (not a .eml name, or another message's <uid>.eml),
 * EXISTS, NOT_FOUND. */
gboolean mailbox_set_name(Mailbox *mailbox, guint32 serial, guint32 uid, const char *name,
			  GError **error);
/* As above, but whoever has that name gives it up: returns its UID, 0: nobody had it. */
guint32 mailbox_take_name(Mailbox *mailbox, guint32 serial, guint32 uid, const char *name);
/* Names that programs have given are in the index before anything that remembers them otherwise is
 * forgotten, and before anybody is told: whom SIGKILL ends a moment later has kept them. Blocks on
 * local disk only. */
void mailbox_settle_names(Mailbox *mailbox);
gboolean mailbox_name_is_valid(const char *name, guint32 uid); /* for that message. Pure */

gboolean mailbox_has(Mailbox *mailbox, guint32 serial, guint32 uid); /* hidden or not */

/* All that is known of a message, for its copy in another mailbox. */
typedef struct {
	MessageInfo info; /* its texts are owned by this */
	gboolean exact, has_crc;
	guint32 crc;
	char *name;	  /* file name */
	char *message_id; /* raw, trimmed; "" none, or not asked for */
} MessageCopy;

/* Hidden or not. NULL: there is no such message. Blocks on local disk. (transfer full) */
MessageCopy *mailbox_copy_of(Mailbox *mailbox, guint32 serial, guint32 uid);
void message_copy_free(MessageCopy *copy); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MessageCopy, message_copy_free)
/* mailbox_adopt() of such a copy, which is @uid there. @asked: from before the server was asked to
 * make it, NULL: nobody else can have removed it since. */
gboolean mailbox_adopt_copy(Mailbox *mailbox, guint32 uidvalidity, guint32 uid,
			    const MessageCopy *copy, const char *name, const MailboxMoment *asked);

/* The newest message with that Message-ID, of at least that UID, of that size when there is one;
 * @message_id "": one with none, and of that size. 0: none is known. Blocks on local disk. */
guint32 mailbox_find_like(Mailbox *mailbox, guint32 serial, const char *message_id, guint64 size,
			  guint32 first);
/* The lowest UID that a message can get which comes from now on. 0: never listed. */
guint32 mailbox_next_uid(Mailbox *mailbox, guint32 *uidvalidity_out);

/* --- searching --- */

/* What the server finds, by UIDs of @serial; @uids is borrowed, NULL with @error. Called once, on a
 * session's thread or before mailbox_search() returns. @terms (owned by the callee): see request.h.
 * The mailbox must be listed. */
typedef void (*MailboxFound)(gpointer user, guint32 serial, const UidSet *uids,
			     const GError *error);
void mailbox_search(Mailbox *mailbox, GPtrArray *terms, MailboxFound done, gpointer user);

/* Scan's news: a body was fetched whole. */
void mailbox_fetched(Mailbox *mailbox, guint32 serial, guint32 uid, guint64 size, guint32 crc);
/* After mailbox_fetched() for a body that was fetched for readers: told of as wanted in bunches,
 * unless it is opened before that. @uid 0: no more comes for now. */
void mailbox_read_ahead(Mailbox *mailbox, guint32 serial, guint32 uid);

G_END_DECLS
