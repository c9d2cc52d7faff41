/* SPDX-License-Identifier: MIT */
/* Spool: files that programs have written and no server has yet. State, not cache: a
 * table (spool.db, SQLite, every commit on disk before it returns) and one file each (spool/<id>,
 * 0600). What the table says holds after SIGKILL and after a power failure: an entry is never seen
 * half, a file without an entry is left over from a creation that did not happen and is removed at
 * the next start. Uploads (mail/uploads.h) decide what the states mean. Thread-safe; blocks on
 * local disk only. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Spool Spool;

typedef enum {
	SPOOL_OPEN,    /* being written, or under a name that stays local: nobody uploads it */
	SPOOL_QUEUED,  /* complete: to be uploaded */
	SPOOL_STARTED, /* an upload of it may have reached the server: to be searched for first */
	SPOOL_REFUSED, /* the server will not have it: `reason` says why */
	SPOOL_SENDING, /* to be sent to people: a try of it has begun, and no server has it */
	SPOOL_DOT,     /* the end of it may have been sent: a server may have delivered it */
	SPOOL_KEPT,    /* stays where it is: what could not be sent, and the page that says why */
} SpoolState;

/* What its message shall have that it does not get by itself. */
typedef enum {
	SPOOL_WISH_FLAGS = 1 << 0, /* flags and keywords are still to be set */
	SPOOL_WISH_TIME = 1 << 1,  /* a copy whose time is another than the message's */
} SpoolWishes;

/* Strings are borrowed where an entry is passed in or told, never NULL ("" is none). */
typedef struct {
	guint32 id; /* 1..2^31-1: rises, is never used twice, also after a crash */
	SpoolState state;
	const char *mailbox; /* raw server name */
	const char *name;    /* of the file, one component */
	guint32 mode;	     /* permission bits as the program set them */
	gint64 mtime;	     /* seconds since 1970 UTC: becomes INTERNALDATE */
	guint64 size;	     /* octets, of what is complete */
	guint32 crc;	     /* checksum() of it, once it is complete */
	guint32 flags;	     /* MessageFlags */
	const char *keywords;
	const char *message_id;	   /* raw header value, trimmed */
	guint32 replaces_validity; /* UIDVALIDITY and UID of the message that goes once this one is
				    */
	guint32 replaces_uid;	   /* there; 0: none */
	guint32 before_validity;   /* STARTED: how the mailbox was numbered before, so that older */
	guint32 before_uidnext;	   /* messages are not taken for this one; 0: not known */
	const char *source_mailbox; /* its bytes are those of this message, which is to be */
	guint32 source_validity;    /* copied on the server; the file is empty. "": of its own */
	guint32 source_uid;
	const char *reason; /* for people */
	guint32 tries;
	gint64 retry_at;      /* wall clock, seconds; 0: at once */
	guint32 wishes;	      /* SpoolWishes */
	guint32 code;	      /* REFUSED: a MailfsError; 0: INVALID */
	const char *moves_to; /* raw name that the mailbox was about to get, and has, should there
				 be none of its own name any more; "": none */
	guint64 ticket; /* of what is sent to people: another for each time it was queued; 0: none
			 */
	gint64 since;	/* wall clock, seconds: when that was; 0 */
	guint64 doubt_size;   /* the server may have this file as it was before it was written anew:
			       */
	gint64 doubt_time;    /* with this size, time and Message-ID, numbered as `before_*` say. */
	const char *doubt_id; /* Size 0: it has not */
} SpoolEntry;

/* @directory: exists, 0700, held by one process (the caller's lock). A damaged table is put aside
 * as spool.db.damaged-<time>, its files are listed anew as SPOOL_REFUSED in INBOX with a reason, as
 * is the file of a damaged row: nothing that was written is thrown away. Errors: G_FILE_ERROR. */
Spool *spool_open(const char *directory, GError **error);
void spool_close(Spool *spool); /* NULL is fine */

/* TRUE: the table is not in the file it was made in, but in a copy of that: what it says may be old
 * news. Until spool_own(), which makes this file the one. */
gboolean spool_is_copy(Spool *spool);
gboolean spool_own(Spool *spool, GError **error);

/* By id. @each must not call into the spool. An entry's file may be missing or shorter than it
 * says: spool_file() and fstat() tell. */
typedef void (*SpoolEach)(gpointer user, const SpoolEntry *entry);
gboolean spool_each(Spool *spool, SpoolEach each, gpointer user, GError **error);

/* The number of a new entry and its empty file. *@fd_out: read and write, owned by the caller. 0
 * with an error (ENOSPC, EIO, EDQUOT as G_FILE_ERROR). Nothing is durable before spool_put(). */
guint32 spool_add(Spool *spool, int *fd_out, GError **error);
int spool_file(Spool *spool, guint32 id, GError **error); /* another descriptor of it, or -1 */

/* Makes the file's bytes durable (and its name in the folder): before the entry that speaks of
 * them. After a failed fsync the spool refuses to promise anything any more (EIO); after one that
 * found the disk full, anything of this file. */
gboolean spool_sync(Spool *spool, guint32 id, int fd, GError **error);
/* Makes these entries durable, new ones and such with other values: all of them or none, for the
 * price of one. */
gboolean spool_put(Spool *spool, const SpoolEntry *entries, guint n, GError **error);
/* The entries, then the files; numbers that are not there are passed over. */
gboolean spool_remove(Spool *spool, const guint32 *ids, guint n, GError **error);
/* Both at once: what takes the place of another, and that one. */
gboolean spool_change(Spool *spool, const SpoolEntry *entries, guint n, const guint32 *removed,
		      guint n_removed, GError **error);

/* TRUE: an fsync has failed, and it promises nothing any more. What it holds is as it was, and
 * waits for the next start. */
gboolean spool_has_failed(Spool *spool);

/* Other contents: an empty file beside that of @id (read and write, owned by the caller; -1 with an
 * error), which takes its place, durably, with spool_rewritten() and is void otherwise. */
int spool_rewrite(Spool *spool, guint32 id, GError **error);
gboolean spool_rewritten(Spool *spool, guint32 id, int fd, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Spool, spool_close)

G_END_DECLS
