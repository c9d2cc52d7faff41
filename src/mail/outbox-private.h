/* SPDX-License-Identifier: MIT */
/* The inside of an Outbox, for outbox.c (life, when what goes, what is told), outbox-send.c (one
 * session of the line), outbox-sent.c (the Sent mailbox), outbox-fail.c (failed/), outbox-wait.c
 * (those who wait) and outbox-limit.c (how large a message may be).
 *
 * All of it is guarded by the lock of Uploads, but for what the sending thread alone has. An upload
 * that is taken for sending is under_way: nobody writes, moves or removes it then. */
#pragma once

#include "base/util.h"
#include "mail/compose.h"
#include "mail/outbox-ledger.h"
#include "mail/outbox.h"
#include "mail/uploads-private.h"
#include "mail/verdict.h"

G_BEGIN_DECLS

/* One message on the line. */
typedef struct {
	Upload *upload; /* a reference, under_way */
	Composed *composed;
	UtilFd fd;	  /* of the bytes for the wire */
	SmtpMessage smtp; /* of all that */
	gboolean begun;	  /* DOT is on disk */
} Letter;

typedef struct {
	guint32 id;
	OutboxDone done;
	gpointer user;
} OutboxWaiter;

struct Outbox {
	Account *account;
	Uploads *uploads;
	Mailbox *directory, *failed;
	const BackendConfig *smtp;
	char *address, *scratch_dir;
	guint hold, rate, limit;
	GStrv send_to; /* lower case; NULL: anybody */
	OutboxSave save;
	const OutboxLine *ops;
	gpointer line_user;
	Ledger *ledger;
	GThread *thread;
	GCancellable *cancel; /* of the line */

	/* Guarded by the lock of Uploads: */
	GCond wake;
	GCond turned; /* the thread has looked at all */
	gboolean stop;
	gboolean leave;	      /* nothing is begun */
	gboolean stirred;     /* look again */
	gint64 pause_until;   /* wall clock, seconds: the whole outbox waits; 0: it does not */
	char *pause_reason;   /* why; also with `shut` */
	guint pauses;	      /* in a row */
	gboolean offline;     /* it waits for the network alone */
	gboolean shut;	      /* the login was refused: until the user says otherwise */
	gboolean probing;     /* one at a time, until one is taken */
	gint64 gap_us;	      /* between two messages, as the server has taught; 0: none */
	gint64 last_at;	      /* monotonic: when the last one was begun */
	guint in_a_row;	      /* taken since it was taught so */
	guint64 size_limit;   /* octets, as the server said last; 0: not known */
	char *line_text;      /* whose the open line is; NULL */
	guint64 sent;	      /* since the start */
	GArray *waiters;      /* of OutboxWaiter */
	GHashTable *suspects; /* id → 1: from an old copy, 2: old; to be looked for in Sent */

	/* The sending thread's alone: */
	gpointer line;
	gint64 line_used; /* monotonic */
	GQueue taken;	  /* of Upload, references: SENDING, to go next */
	gboolean told_no_sent;
	gboolean limit_noted; /* on disk, in this life */
	guint64 next_size;    /* octets of the letter that was given last */
	guint in_flight;      /* letters given to the line, without a verdict */
	guint in_session;     /* messages that this session has brought to an end well */
	guint laters;	      /* 4xx in a row */
	gboolean progress;    /* this session has brought something to an end */
	gboolean stop_batch;  /* begin nothing more in this session */
	GPtrArray *unsaved;   /* of Upload, references: rows to be written with the next commit */
	GPtrArray *dropped;   /* the same: sent, and no copy is to be filed */
};

#define OUTBOX_WALL() (g_get_real_time() / G_USEC_PER_SEC)

static inline Upload *
outbox_ref(Upload *upload) /* under the lock */
{
	upload->refs++;
	return upload;
}

/* --- outbox.c --- */

/* µs until it may be taken; 0: now; -1: not by itself. Under the lock. */
gint64 outbox_wait_of(Outbox *outbox, const Upload *upload);
/* When the next message may be begun: 0 now, else wall clock, seconds. *@why_out: static text or
 * NULL. Under the lock. */
gint64 outbox_free_at(Outbox *outbox, const char **why_out);
/* The whole outbox waits: for the next of 1, 5, 15, 60 minutes, or @seconds. Not under the lock. */
void outbox_pause(Outbox *outbox, gint64 seconds, const char *reason);
/* Adds one file of the Outbox to the numbers of @out. @free_at: of outbox_free_at(). Under the
 * lock. */
void outbox_count(Outbox *outbox, const Upload *upload, gint64 free_at, OutboxStatus *out);
/* Of what is taken for sending: it stays in the Outbox, for another try. Under the lock. */
void outbox_give_back(Outbox *outbox, Upload *upload);
/* "mailfs.1f2e@example.org" for the Message-ID of a file without one: the same for all its tries.
 * (transfer full) */
char *outbox_unique(guint64 ticket);

/* --- outbox-send.c: not under the lock --- */

gboolean outbox_take(Outbox *outbox); /* FALSE: nothing is to be sent now */
void outbox_run(Outbox *outbox);      /* sends what is taken, and more */
void outbox_close_line(Outbox *outbox);
void outbox_commit(Outbox *outbox); /* `unsaved` and `dropped`: one commit */
gboolean outbox_allows(Outbox *outbox, const Composed *composed, GError **error); /* send-to */
Composed *outbox_read(Outbox *outbox, int fd, guint64 ticket, GError **error);

/* --- outbox-wait.c: not under the lock --- */

/* Those who wait for that file. 0: for any. */
void outbox_tell(Outbox *outbox, guint32 id, OutboxOutcome outcome, int code, const char *enhanced,
		 const char *text);
/* Those whose file was taken away, or stays because the whole outbox waits. */
void outbox_tell_in_vain(Outbox *outbox);

/* --- outbox-limit.c: not under the lock --- */

void outbox_recall_limit(Outbox *outbox);	      /* as an earlier life has noted it */
void outbox_note_limit(Outbox *outbox, guint64 size); /* the server has told it */

/* --- outbox-fail.c: not under the lock --- */

/* To failed/, with the page that says why: one commit. Who waits for it is told. */
void outbox_fail(Outbox *outbox, Upload *upload, const Verdict *verdict);
/* The same for what is wrong with the file itself. @composed: (nullable) */
void outbox_fail_error(Outbox *outbox, Upload *upload, const Composed *composed,
		       const GError *error);
void outbox_drop_page(Outbox *outbox, const char *name); /* of failed/@name */

/* --- outbox-sent.c: not under the lock --- */

/* A server has it: it, or a copy of it, becomes a file of Sent; or it ends. @look: the copy may be
 * there already. The rows are written by the next outbox_commit(). @composed: (nullable) */
void outbox_file(Outbox *outbox, Upload *upload, const Composed *composed, gboolean look);
/* Copies that were made before anybody knew of the server's mailboxes go where they belong. The
 * rows are written by the next outbox_commit(). */
void outbox_file_waiting(Outbox *outbox);
/* A server has it, and no copy is to be filed. Its row goes with the next outbox_commit(). */
void outbox_end(Outbox *outbox, Upload *upload);
/* Files of which nobody knows whether they were sent: is there one to look for now? *@next: is
 * lowered. Under the lock. */
gboolean outbox_has_doubts(Outbox *outbox, gint64 *next);
void outbox_look_up(Outbox *outbox);

G_END_DECLS
