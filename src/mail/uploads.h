/* SPDX-License-Identifier: MIT */
/* Uploads: the files of an account that the server does not have yet, and their way there. An
 * Upload is a file in the directory of a mailbox: being written, or under a name that stays local
 * (design: names that begin with "." or "#", end in "~ .swp .swx .tmp .part .bak .lock", or look
 * like an editor's or a desktop's litter), or complete and waiting to be APPENDed. Its bytes are in
 * the spool; it can be read, written, renamed and removed there like any file.
 *
 * Life: OPEN → (complete, a sendable name, no writer) QUEUED → STARTED → the server's OK: the
 * message is in the mailbox's listing under the file's name, the upload is over. A refusal leaves
 * the file, with the reason. A lost line leaves it STARTED: it is searched for (Message-ID, then
 * size) before it is sent again. What arrives together is sent together (one APPEND request per
 * mailbox at a time, many messages each). Offline: waits, and follows when the line is back.
 *
 * Thread-safe. Nothing here waits for the network; functions marked "disk" block on local disk. */
#pragma once

#include "mail/account.h"
#include "store/spool.h"

G_BEGIN_DECLS

typedef struct Uploads Uploads;
/* Thread-safe reference count; its file stays readable until the last reference goes. All are to be
 * given back before uploads_free(). */
typedef struct Upload Upload;

typedef struct {
	guint32 id; /* as in the spool: makes the inode number */
	guint64 size;
	gint64 mtime;
	guint32 mode;
	SpoolState state;
	gboolean copied;   /* its bytes are those of a message on the server: see upload_source() */
	gboolean over;	   /* the message is in the mailbox, or the file was removed */
	gboolean settled;  /* the message is there, and takes its place in a moment */
	gboolean replaces; /* a message goes once this one is on the server */
	gboolean awaited;  /* on its way: upload_wait() waits. Not so without its mailbox */
} UploadView;

/* What becomes of uploads, on any thread, with no lock held. Must not block. */
typedef struct {
	void (*changed)(gpointer user, Mailbox *mailbox, guint32 id); /* size, state */
	/* The name means something else now: a message, or nothing. */
	void (*gone)(gpointer user, Mailbox *mailbox, guint32 id, const char *name);
	void (*log)(gpointer user, const char *text); /* a line for the user, printable */
} UploadsNews;

/* @spool: borrowed; what it holds is taken up. What belongs to a mailbox that is not there (any
 * more) waits, and is in status, until there is one of that name. @read_only: nothing can be added.
 * Disk. */
Uploads *uploads_new(Account *account, Spool *spool, gboolean read_only, const UploadsNews *news,
		     gpointer user, GError **error);
/* No new request; who waits is told OFFLINE. Before account_stop(). Disk. */
void uploads_stop(Uploads *uploads);
/* After account_stop(), which ends what is under way, and before account_free(). Disk. NULL is fine
 */
void uploads_free(Uploads *uploads);

gboolean uploads_name_is_local(const char *name); /* never sent under this name. Pure */

/* Those of a directory, by name. (transfer full) or NULL. */
Upload *uploads_find(Uploads *uploads, Mailbox *mailbox, const char *name);
Upload *uploads_get(Uploads *uploads, guint32 id);
/* By id from @first on. (transfer full) of Upload */
GPtrArray *uploads_of(Uploads *uploads, Mailbox *mailbox, guint32 first);
/* One that is to become a copy of this message and is not yet: the message must stay where it is
 * until then. (transfer full) or NULL. */
Upload *uploads_copying(Uploads *uploads, Mailbox *mailbox, guint32 serial, guint32 uid);
guint uploads_count(Uploads *uploads, Mailbox *mailbox);
/* The message that a file is by now, whose number somebody still has; or, of a file that was to
 * replace a message and was removed, that message. The last few thousand are remembered. FALSE:
 * none; a file of that number may be there. */
gboolean uploads_became(Uploads *uploads, guint32 id, Mailbox **mailbox_out, guint32 *serial_out,
			guint32 *uid_out);

Upload *upload_ref(Upload *upload);
void upload_unref(Upload *upload);
void upload_view(Upload *upload, UploadView *out);
char *upload_name(Upload *upload);	 /* (transfer full) */
Mailbox *upload_mailbox(Upload *upload); /* NULL: it is not there any more */
char *
upload_status(Upload *upload); /* for user.mailfs.status: "queued", "refused: …". (transfer full) */

typedef void (*UploadDone)(gpointer user, const GError *error);

/* --- writing --- */

/* A new, empty file, open for writing once (see upload_close()). Disk. Errors: EXISTS, READ_ONLY,
 * INVALID (a name that is a message's: "12.eml"), UNSUPPORTED (a \Noselect mailbox),
 * G_FILE_ERROR. */
Upload *uploads_create(Uploads *uploads, Mailbox *mailbox, const char *name, guint32 mode,
		       GError **error);
/* One more writer of a file that is not on its way. BUSY when it is. */
gboolean upload_open_write(Upload *upload, GError **error);
/* Borrowed, good as long as the reference: pread(). -1 when it cannot be opened (too many open
 * files), and for copies of messages. Opens the file the first time: disk. */
int upload_fd(Upload *upload);
/* Disk. Errors: G_FILE_ERROR; TOO_BIG (the server's APPENDLIMIT, when it is known); NOT_FOUND when
 * it is over; UNSUPPORTED: it is a copy of a message whose body is not here. */
gboolean upload_write(Upload *upload, const void *data, gsize len, guint64 offset, GError **error);
gboolean upload_truncate(Upload *upload, guint64 size, GError **error);
/* Kept with the next thing that is made durable, within a second at most. A refused file is tried
 * again. Once the message is on the server nothing happens. */
void upload_set_time(Upload *upload, gint64 mtime);
void upload_set_mode(Upload *upload, guint32 mode);
/* user.mailfs.flags, as mailbox_flags_text() spells them. Set on the message when it is on its way
 * to the server already. INVALID: no flag or atom; BUSY: it becomes a message at this moment, see
 * upload_wait(); NOT_FOUND: it is over. */
gboolean upload_set_flags(Upload *upload, const char *text, GError **error);
char *upload_flags_text(Upload *upload); /* (transfer full) */

/* The file is to become a copy of a message that is on the server, which a UID COPY makes: no byte
 * of it travels; flags and date are the message's. Only for an empty upload (else UNSUPPORTED);
 * STALE, NOT_FOUND when there is no such message. A later write makes it a file of its own again,
 * with the message's bytes, when they are in the disk cache. Disk. */
gboolean upload_copy_of(Upload *upload, Mailbox *mailbox, guint32 serial, guint32 uid,
			GError **error);
/* The message it is a copy of, for reading; FALSE: its bytes are its own. */
gboolean upload_source(Upload *upload, Mailbox **mailbox_out, guint32 *serial_out,
		       guint32 *uid_out);

/**
 * upload_complete: what is written is all, as far as anybody knows (the last close of the program
 * that opened it): checked, made durable, and queued under a sendable name. Disk. Later writes undo
 * that.
 *
 * Errors: INVALID (no message: does not begin with a header; NUL; *why* in the text), TOO_BIG,
 * G_FILE_ERROR. The file stays in all cases.
 */
gboolean upload_complete(Upload *upload, GError **error);
/* Makes the bytes durable, whatever they are: fsync() of a file that is still written. Disk. */
gboolean upload_sync(Upload *upload, GError **error);
/* Made for somebody who may write to it, and may not: if nobody does, its last upload_close()
 * removes it. */
void upload_set_untouched(Upload *upload);
/* One writer less. After the last one a file that was written and not completed is, as above; a
 * refusal is then seen in its status. Disk. */
void upload_close(Upload *upload);

/* Another name, perhaps in another mailbox; a file of that name is replaced: after a crash there is
 * the one or the other. A sendable name completes it, as above, unless it is open for writing. On
 * its way to the server it may have another name in its mailbox, which the message will get;
 * another mailbox is BUSY. Errors: those of upload_complete() and uploads_create(), BUSY; the file
 * keeps its name then. Disk. */
gboolean upload_rename(Upload *upload, Mailbox *mailbox, const char *name, GError **error);
/* The same, and it takes the place of this message of @mailbox, as by upload_replaces(); @uid 0:
 * of none. */
gboolean upload_rename_over(Upload *upload, Mailbox *mailbox, const char *name, guint32 serial,
			    guint32 uid, GError **error);
/* Takes it back. BUSY: it is on its way to the server at this moment, or nobody knows whether it is
 * there already (upload_wait()). Disk. */
gboolean upload_remove(Upload *upload, GError **error);

/* The message of the same mailbox that this one takes the place of: removed for good once this one
 * is on the server. Forgotten when the file goes to another mailbox. */
void upload_replaces(Upload *upload, guint32 serial, guint32 uid);

/* --- mailboxes that go, or get another name --- */

/* No file is put into @mailbox any more until uploads_reopen(). FALSE: there are some already. */
gboolean uploads_shut(Uploads *uploads, Mailbox *mailbox);
void uploads_reopen(Uploads *uploads, Mailbox *mailbox);

/* Before the server is asked to call @mailbox @raw_name: nothing that has to do with it, or with
 * what lies below it, is sent until uploads_moved(), and after a crash its files are in the one or
 * the other. Calls back when nothing of it is under way any more. FALSE, and no call: BUSY (one
 * after the other), G_FILE_ERROR. Disk. */
gboolean uploads_move(Uploads *uploads, Mailbox *mailbox, const char *raw_name, UploadDone done,
		      gpointer user, GError **error);
/* @done: it has that name now, and Mailbox says so; !@known: nobody knows whether the server has
 * done it. Disk. */
void uploads_moved(Uploads *uploads, gboolean done, gboolean known);
void uploads_look(Uploads *uploads); /* mailboxes have come or gone */

/* --- waiting --- */

/* Calls back once: when the server has it (error NULL), or has refused it, or when it is over and
 * no name leads to it any more. At once for what is not on its way: a file that stays local, or is
 * open for writing. */
void upload_wait(Upload *upload, UploadDone done, gpointer user);
/* After BUSY from upload_rename() to there (@mailbox NULL: from upload_remove()): calls back once
 * when what is in the way, it or the file of that name, has come to an end as above. FALSE, and no
 * call: nothing that ends by itself is. */
gboolean upload_wait_turn(Upload *upload, Mailbox *mailbox, const char *name, UploadDone done,
			  gpointer user);
/* When nothing of @mailbox (NULL: of the account) is on its way any more. */
void uploads_wait(Uploads *uploads, Mailbox *mailbox, UploadDone done, gpointer user);

/* What is in directories that no server has is not counted, see outbox_get_status(), but for
 * @unsent. */
typedef struct {
	guint open, queued, started, refused;
	guint orphans;	  /* of queued and started: their mailbox is not there */
	guint unsent;	  /* to be sent by an Outbox, which this mount does not have */
	guint64 bytes;	  /* of queued and started */
	guint64 uploaded; /* messages since the start */
	gboolean failed;  /* the disk has: what waits goes on after the next start */
} UploadsStatus;
UploadsStatus uploads_status(Uploads *uploads);
/* One line each, printable, for status pages: "INBOX/x.eml  queued, 4 kB". (transfer full) */
GPtrArray *uploads_lines(Uploads *uploads);
/* umount: what is held back on purpose (outbox.h) goes at once; @leave: nothing of it goes any
 * more. */
void uploads_flush(Uploads *uploads, gboolean leave);
void uploads_retry(Uploads *uploads); /* the line is back: do not wait for retry_at */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Upload, upload_unref)

G_END_DECLS
