/* SPDX-License-Identifier: MIT */
/* The inside of Uploads, for uploads.c (life, tables, looking), upload-rows.c (what the spool
 * knows), upload-folders.c (mailboxes), upload-write.c, upload-name.c and upload-flags.c (what
 * programs do to a file), upload-queue.c (what is sent when, and what becomes of it) and
 * upload-send.c (how).
 *
 * Locks, in this order: an Upload's `disk` (one change of its file at a time), `rows` (what the
 * spool is told of it, in order), `lock` (all memory). Only the last one is never held over the
 * disk. */
#pragma once

#include "mail/upload-check.h"
#include "mail/uploads.h"

G_BEGIN_DECLS

#define UPLOAD_PAUSE_US                                                                            \
	(300 * G_TIME_SPAN_MILLISECOND) /* a time may still be set after the close */

/* A server may still be at work on what came just before the line was lost. */
#define UPLOAD_SETTLE_US (2 * G_TIME_SPAN_SECOND)

typedef struct Batch Batch;

/* What becomes of files in the directories that no server has (MAILBOX_LOCAL): outbox.c. They are
 * written and renamed as all others, and never uploaded from there. */
typedef struct {
	/* All of it is written: may it be in @target, under a name that does not stay local? With
	 * `disk`. @checked_out, @message_id_out ((transfer full), not NULL): as upload_check(). */
	gboolean (*prove)(gpointer user, Upload *upload, Mailbox *target, int fd,
			  UploadChecked *checked_out, char **message_id_out, GError **error);
	/* It may: sets its state there. Under the lock. */
	void (*enqueue)(gpointer user, Upload *upload, Mailbox *target);
	/* It may not, and nobody was told when it was closed. With `disk`. */
	void (*refused)(gpointer user, Upload *upload, const GError *error);
	/* It has left @from, where it was called @name, for another directory. With `disk`. */
	void (*left)(gpointer user, Mailbox *from, const char *name);
	char *(*status)(gpointer user, const Upload *upload); /* (transfer full). Under the lock */
	/* Something was done to one of them: look. @touched: its time was set. Under the lock. */
	void (*stir)(gpointer user, Upload *upload, gboolean touched);
	void (*hurry)(gpointer user, gboolean leave); /* see uploads_flush() */
} UploadsOutlet;

/* The files of one mailbox. */
typedef struct {
	Mailbox *mailbox;    /* NULL: it is not there */
	char *raw;	     /* as the spool knows the mailbox */
	GHashTable *by_name; /* name → Upload */
	GTree *by_id;	     /* id → Upload, owned reference */
	GTree *agenda;	     /* set of Upload by `send_at` */
	Batch *batch;	     /* under way; NULL none */
	gboolean shut;	     /* its mailbox is being removed: nothing is put there */
	gboolean held;	     /* it is being renamed: nothing is sent there; */
	char *moves_to;	     /* raw: its new name, perhaps; NULL none */
	gboolean local;	     /* on no server: see UploadsOutlet */
	gboolean listed;     /* its numbering was asked for, since nothing was known of it */
	GHashTable *claimed; /* UIDs that files of ours have become; */
	guint32 claimed_validity;
} Folder;

struct Upload {
	Uploads *uploads;
	guint32 id;
	GMutex disk;

	/* Guarded by the lock of Uploads. */
	guint refs, writers;
	int fd; /* -1: not open */
	Folder *folder;
	char *name;
	SpoolState state;
	gboolean stored;    /* the spool has a row of it */
	gboolean unsaved;   /* the row is older than this */
	gboolean dirty;	    /* not known to be a message as it is */
	gboolean proved;    /* size and crc were seen to be right since the start */
	gboolean again;	    /* refused, and to be looked at once more */
	gboolean hurry;	    /* somebody waits */
	gboolean at_once;   /* not to be held in the outbox: who wrote it waits */
	gboolean untouched; /* goes with its last writer */
	gboolean over;	    /* out of the tables */
	gboolean accepted;  /* the server has said OK, but not under which UID */
	gboolean settled;  /* it is a message, listed in a moment: nothing of it changes any more */
	gboolean own_time; /* a copy: `mtime` is not the message's */
	gboolean under_way;
	gboolean doubt; /* the server may have what it was before it was written anew: */
	guint64 doubt_size;
	guint32 doubt_crc, doubt_uid; /* UID: it has, and an older one is to go first */
	gint64 doubt_time;
	char *doubt_id;
	guint32 mode, crc, flags, tries;
	guint32 code; /* REFUSED: MailfsError, 0 INVALID */
	gint64 mtime, retry_at, since;
	guint64 size, ticket;
	guint line; /* see Uploads: when it was taken up last */
	char *keywords, *message_id, *reason;
	guint32 replaces_validity, replaces_uid;
	guint32 before_validity, before_uidnext;
	char *source_raw; /* NULL: its bytes are its own */
	guint32 source_validity, source_uid;
	gint64 ready_at;		 /* monotonic; does not count for who is in a hurry */
	gint64 not_before;		 /* monotonic; counts for all */
	gint64 send_at, look_at;	 /* monotonic; places in the agendas; 0: none */
	guint32 sent_validity, sent_uid; /* what it is on the server; 0: not known */
	guint edits, edits_done;	 /* of its flags; stored: all but those of its message */
	gboolean has_flags;		 /* those of its message are known: */
	guint32 flags_there;
	char *keywords_there;
	GArray *waiters; /* of Waiter */
};

/* The message that is meant where a file is still asked for that is no more. */
typedef struct {
	Mailbox *mailbox;
	guint32 validity, uid;
} Became;

/* What was found out about the bytes of a file that is whole. */
typedef struct {
	gboolean whole;
	Mailbox *target; /* where it is to be */
	UploadChecked checked;
	char *message_id; /* NULL: it is a copy of a message, and has no bytes of its own */
} UploadProof;

static inline void
upload_proof_clear(UploadProof *proof)
{
	g_free(proof->message_id);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(UploadProof, upload_proof_clear)

typedef struct {
	Mailbox *mailbox; /* uploads_wait(): NULL all */
	UploadDone done;
	gpointer user;
} Waiter;

struct Uploads {
	Account *account;
	Spool *spool;
	gboolean read_only;
	const UploadsNews *news;
	gpointer user;
	const UploadsOutlet *outlet; /* NULL: local directories take nothing */
	gpointer outlet_user;
	GThread *worker; /* NULL: nothing is sent. Changes only in new and stop, under the lock */

	GMutex rows;

	GMutex lock; /* guards all below, and what is said above */
	GCond wake;
	gboolean stop;
	gboolean stirred, urgent; /* the worker has something to look at: soon, at once */
	GPtrArray *folders;	  /* of Folder, owned */
	GHashTable *by_id;	  /* id → Upload */
	GTree *agenda;		  /* set of Upload by `look_at` */
	gint64 offline_until;	  /* monotonic: nothing is tried before; 0: everything is */
	guint offline_tries;
	guint line;		     /* rises when a line is back */
	char *moved_from, *moved_to; /* raw: a mailbox that is being renamed; NULL: none */
	char moved_separator;
	UploadDone moved_done; /* to be told when nothing is under way there; NULL nobody */
	gpointer moved_user;
	gint64 placed_at; /* monotonic: all in the agendas */
	gboolean full;	  /* the account is over quota, as far as is known */
	guint full_tries;
	GQueue finished;    /* of Batch */
	GArray *waiters;    /* of Waiter */
	GHashTable *became; /* id → Became, the last few thousand, and in which order: */
	GQueue became_ids;
	guint64 uploaded;
	guint64 folders_version;
};

static inline gpointer
upload_key(guint32 id)
{
	return GUINT_TO_POINTER(id);
}

/* --- under the lock --- */

static inline void
upload_stir_outlet(Upload *upload, gboolean touched)
{
	const Uploads *uploads = upload->uploads;

	if (upload->folder->local && uploads->outlet != NULL)
		uploads->outlet->stir(uploads->outlet_user, upload, touched);
}

Folder *upload_folder_new(Uploads *uploads, Mailbox *mailbox, const char *raw);
void upload_folder_free(gpointer folder);
Folder *uploads_find_folder(Uploads *uploads, Mailbox *mailbox); /* NULL: it has none */
Folder *uploads_folder(Uploads *uploads, Mailbox *mailbox);	 /* found or made */
/* The same by its raw name; what is put there waits until there is such a mailbox. */
Folder *uploads_folder_called(Uploads *uploads, const char *raw);
/* After mailboxes have come or gone, or have another name than the rows say. @renamed: takes the
 * folder's uploads, whose rows are to be written anew. */
void uploads_bind(Uploads *uploads, Folder *folder, GPtrArray *renamed);
gboolean uploads_has_mailbox(Uploads *uploads, Mailbox *mailbox); /* it is still one */
/* May a file be put there? NOT_FOUND. */
gboolean uploads_may_enter(Uploads *uploads, const Folder *folder, GError **error);
gboolean uploads_is_held(const Uploads *uploads, const char *raw); /* is it being renamed? */
char *uploads_free_name(const Folder *folder, const char *name, guint32 id);
void upload_attach(Upload *upload, Folder *folder, const char *name);
void
upload_detach(Upload *upload); /* out of its folder's tables; their reference is the caller's */
Upload *upload_new(Uploads *uploads, guint32 id); /* with one reference */
void uploads_stir(Uploads *uploads, gboolean urgent);
/* What says when it is to be sent or looked at has changed: the worker hears of it. Saving it does
 * the same. */
void upload_stir(Upload *upload, gboolean urgent);
void upload_place(Upload *upload); /* the same, when the worker need not hear */
void upload_leave_agenda(Upload *upload);
void uploads_place_all(Uploads *uploads);
GTree *upload_agenda_new(gboolean of_folder);
gboolean upload_is_busy(const Upload *upload);	  /* on its way, or to be */
gboolean upload_is_awaited(const Upload *upload); /* under the lock: upload_wait() waits */
gboolean upload_is_orphan(const Upload *upload);  /* its mailbox is not there */
/* One that is to become a copy of that message, and is not yet. NULL: none */
Upload *uploads_find_copying(Uploads *uploads, const char *raw, guint32 validity, guint32 uid);
gboolean upload_lies_in(const Upload *upload, Mailbox *mailbox);
gboolean upload_is_listed(const Upload *upload); /* names may still lead to it */
/* On its way now, or there already, and what is left to do is to find it or to remove what it
 * replaces: other bytes would never be sent. */
gboolean upload_is_sent(const Upload *upload);
void upload_set_reason(Upload *upload, const char *reason);
void upload_set_refused(Upload *upload, const GError *error);
gboolean upload_waits_for_room(const Upload *upload); /* refused, and tried again by itself */
/* Those are tried again in @seconds, 0: now. */
void uploads_hold_full(Uploads *uploads, gint64 seconds);
int upload_open(Upload *upload);       /* its descriptor, opened when need be; -1 */
void upload_mark_over(Upload *upload); /* nobody begins anything with it any more */
/* The same, and its inode number leads from here on to what it was to replace. */
void upload_mark_removed(Upload *upload);
void upload_take_proof(Upload *upload, UploadProof *proof); /* it is to be sent as it is */
void upload_undo_proof(Upload *upload, const UploadProof *proof);

/* --- upload-doubt.c, under the lock --- */

/* Nobody knows whether the server has @former (which may be @upload as it was), whose place @upload
 * takes; of that mailbox. */
void upload_note_doubt(Upload *upload, const Upload *former);
void upload_inherit_doubt(Upload *upload, const Upload *former); /* the same, if it is so */
void upload_look_if_in_doubt(Upload *upload);			 /* it is complete */
gboolean upload_must_ask(const Upload *upload); /* the mailbox is to be listed before it is sent */
void upload_found_former(Upload *upload, guint32 validity, guint32 uid); /* UID 0: not there */
/* What it, or the former one, replaces is gone. FALSE: it is still to be sent itself. */
gboolean upload_end_older(Upload *upload);

/* --- flags, under the lock --- */

/* The message on the server has these. */
void upload_note_flags(Upload *upload, guint32 flags, const char *keywords);
/* Does the message on the server need other flags than it got with its bytes? */
gboolean upload_wants_flags(const Upload *upload);
gboolean upload_is_flagged_like(const Upload *upload, const Upload *other);
void upload_flags_to_store(const Upload *upload, RequestFlags *add, RequestFlags *remove);

/* --- without it --- */

void upload_note_source_flags(Upload *upload); /* it has just been copied */
void upload_note_listed_flags(Upload *upload, Mailbox *mailbox, guint32 uid);
void upload_put_flags(Upload *upload, Mailbox *mailbox); /* into the listing */
gboolean upload_has_source(Upload *upload); /* is what it is to be a copy of still listed? */
/* A copy becomes a file of its own, with the message's bytes when @all. Under `disk`. */
gboolean upload_take_bytes(Upload *upload, gboolean all, GError **error);

gboolean upload_fail(GError **error, MailfsError code, const char *text); /* FALSE */
/* FALSE with UNSUPPORTED: no message can be put into it. */
gboolean upload_can_lie_in(Mailbox *mailbox, GError **error);
gboolean uploads_load(Uploads *uploads, GError **error);
/* INVALID: a name that would be another message's. */
gboolean upload_may_be_called(Mailbox *mailbox, const char *name, GError **error);
/* Are the bytes what they should be in @target, and on disk? Under `disk`. FALSE: they are not, and
 * the file is refused with that reason, if it is there already. Nothing is proved of what stays
 * local under @name, or is queued already. */
gboolean upload_prove(Upload *upload, Mailbox *target, const char *name, UploadProof *out,
		      GError **error);

/* Tells the spool how these are now: one commit. */
gboolean uploads_save(Uploads *uploads, Upload *const *list, guint n, GError **error);
/* The same, and @dropped (of Upload, over) are no more in the spool. */
gboolean uploads_save_and_drop(Uploads *uploads, Upload *const *list, guint n,
			       const GPtrArray *dropped, GError **error);
/* On the server, or removed: out of tables and spool, waiters told @reason. FALSE: the spool still
 * has them, and will have them after a restart. */
gboolean uploads_end(Uploads *uploads, GPtrArray *list, const GError *reason, GError **error);
gboolean upload_end_removed(Upload *upload, GError **error); /* nobody wants it any more */
void uploads_end_replaced(Uploads *uploads, Upload *upload); /* the same; the spool knows it */
void upload_tell_waiters(Upload *upload, const GError *error);
void upload_tell_if_ended(Upload *upload);   /* who waits for what is not on its way any more */
void uploads_tell_idle(Uploads *uploads);    /* those who wait for an empty queue */
void uploads_tell_held(Uploads *uploads);    /* who waits to rename a mailbox */
void uploads_tell_stopped(Uploads *uploads); /* all who wait */
void uploads_log(Uploads *uploads, Upload *upload, const char *what);
void uploads_tell_changed(Upload *upload);
Mailbox *uploads_mailbox_named(Uploads *uploads, const char *raw);
guint64 uploads_limit(Uploads *uploads); /* octets a message, 0 not known */

/* --- sending: by the worker alone --- */

typedef enum {
	BATCH_LIST,    /* nothing is known of the mailbox's numbering: ask */
	BATCH_LOOK,    /* are they there already? */
	BATCH_APPEND,  /* send them */
	BATCH_COPY,    /* have them copied */
	BATCH_EXPUNGE, /* they are there: what they replace goes */
	BATCH_FLAGS,   /* they are there: their flags are set */
	BATCH_FETCH,   /* a copy, which is to be a file of its own: its bytes are fetched */
} BatchKind;

typedef struct {
	gboolean told;
	guint32 validity, uid;
	GError *error;
	guint edits; /* FLAGS: those that are sent: */
	guint32 flags;
	char *keywords; /* owned */
} Outcome;

/* What became of a STORE, under the lock. */
void upload_flags_are_stored(Upload *upload, const Outcome *outcome);
void upload_flags_are_in_doubt(Upload *upload, const Outcome *outcome);
void upload_give_up_flags(Upload *upload, guint edits); /* they stay as they are on the server */

struct Batch {
	Uploads *uploads;
	Folder *folder;
	Mailbox *mailbox;
	BatchKind kind;
	GPtrArray *list;       /* of Upload, references */
	Outcome *outcomes;     /* one each */
	GHashTable *by_source; /* COPY: UID → index + 1 */
	UidSet *marked;	       /* EXPUNGE */
	guint32 serial;	       /* EXPUNGE: of the mailbox's messages */
	Body *body;	       /* FETCH */
	guint line;	       /* see Uploads: when it was begun */
	GError *error;
};

Batch *batch_new(Uploads *uploads, Folder *folder, BatchKind kind);
void batch_free(Batch *batch);
void batch_start(Batch *batch);	 /* comes back through `finished` */
void batch_finish(Batch *batch); /* frees it */
void batch_push(Batch *batch);	 /* any thread: it is done */
void batch_match(Batch *batch);	 /* LOOK: finds them in the listing */
void batch_start_fetch(Batch *batch);
gboolean batch_fill(Batch *batch, GError **error); /* FETCH: they are here */

/* The message is on the server as upload->sent_uid: listed under its name, with its body. */
void upload_adopt(Upload *upload);

gpointer uploads_work(gpointer uploads); /* the worker's thread */
void uploads_drain(Uploads *uploads);	 /* what has come in since the worker ended */

G_END_DECLS
