/* SPDX-License-Identifier: MIT */
/* Spool: files that programs have written and the server does not have yet. State, not cache: a
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
} SpoolState;

/* Strings are borrowed where an entry is passed in or told, never NULL ("" is none). */
typedef struct {
	guint32 id; /* 1..2^31-1: rises, is never used twice, also after a crash */
	SpoolState state;
	const char *mailbox; /* raw server name */
	const char *name;    /* of the file, one component */
	guint32 mode;	     /* permission bits as the program set them */
	gint64 mtime;	     /* seconds since 1970 UTC: becomes INTERNALDATE */
	guint64 size;	     /* octets, of what is complete */
	guint32 crc;	     /* CRC-32 of it, once it is complete */
	guint32 flags;	     /* MessageFlags */
	const char *keywords;
	const char *message_id;	   /* raw header value, trimmed */
	guint32 replaces_validity; /* UIDVALIDITY and UID of the message that goes once this one is
				    */
	guint32 replaces_uid;	   /* there; 0: none */
	const char *reason;	   /* for people */
	guint32 tries;
	gint64 retry_at; /* wall clock, seconds; 0: at once */
} SpoolEntry;

/* @directory: exists, 0700, held by one process (the caller's lock). A damaged table is put aside
 * as spool.db.damaged-<time>, its files are listed anew as SPOOL_REFUSED with a reason: nothing
 * that was written is thrown away. Errors: G_FILE_ERROR. */
Spool *spool_open(const char *directory, GError **error);
void spool_close(Spool *spool); /* NULL is fine */

typedef void (*SpoolEach)(gpointer user, const SpoolEntry *entry);
gboolean spool_each(Spool *spool, SpoolEach each, gpointer user, GError **error); /* by id */

/* A new entry and its empty file; entry->id is ignored. *@fd_out: read and write, owned by the
 * caller. Returns its id, 0 with an error (ENOSPC, EIO, EDQUOT as G_FILE_ERROR). Not yet durable:
 * spool_put() is. */
guint32 spool_add(Spool *spool, const SpoolEntry *entry, int *fd_out, GError **error);
int spool_file(Spool *spool, guint32 id, GError **error); /* another descriptor of it */

/* Makes the file's bytes, and then this entry, durable. When it fails nothing of the entry has
 * changed; after a failed fsync the spool refuses to promise anything any more (EIO). @fd -1: only
 * the entry. */
gboolean spool_put(Spool *spool, const SpoolEntry *entry, int fd, GError **error);
gboolean spool_remove(Spool *spool, guint32 id, GError **error); /* entry, then file */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Spool, spool_close)

G_END_DECLS
