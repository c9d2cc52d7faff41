/* SPDX-License-Identifier: MIT */
/* Outbox: the directory of an account in which a file written is a message sent, once. Its files,
 * and those of Outbox/failed, are Uploads (uploads.h) of two mailboxes that no server has
 * (account_add_local()): they are written, renamed and removed as everywhere; what becomes of a
 * complete one is decided here.
 *
 * A complete file is checked (upload_complete() fails with NO_RECIPIENT, INVALID, TOO_BIG, DENIED)
 * and held; then it is sent over a submission line, with all that are ready, by one thread. Each
 * step is on disk before it is taken:
 *
 *   QUEUED → SENDING (before MAIL) → DOT (before the end of the content) → gone, or, where a copy
 *   is to be filed, a file of the Sent mailbox that is uploaded like any other: one commit. The
 *   copy's failure never sends anything again.
 *
 * Until DOT a message was certainly not sent: the line is lost, mailfs is killed, the server says
 * 4xx: it is tried again. After DOT without an answer it may have been: only if the Sent mailbox
 * holds its Message-ID is it taken for sent; else it goes to failed/, and only a user brings it
 * back. Refused for good: failed/NAME and failed/NAME.why, one commit.
 *
 * What an old copy of the state directory holds may have been sent since. Each queued file has a
 * number of its own (SpoolEntry.ticket); the ledger, a file in the cache directory, that is,
 * outside of what a backup of the state brings back, has a line for each that was begun and how it
 * ended. What the ledger has as sent is dropped; as begun, is treated like DOT. Where the ledger is
 * lost as well: a table whose file is not the one it was made as (another inode, another time of
 * birth) is a copy; its files are looked for in Sent by Message-ID, and what is not found goes to
 * failed/. The one thing that nobody notices is a whole file system, cache and all, that was set
 * back.
 *
 * Thread-safe. Functions marked "disk" block on local disk; none waits for the network. */
#pragma once

#include "mail/uploads.h"
#include "proto/smtp.h"

G_BEGIN_DECLS

typedef struct Outbox Outbox;

typedef enum {
	OUTBOX_SAVE_AUTO, /* not where the provider does it: known ones, else Sent is looked at */
	OUTBOX_SAVE_YES,
	OUTBOX_SAVE_NO,
} OutboxSave;

/* The submission line: smtp.h, or what a test puts in its place. @user: OutboxConfig.line_user. */
typedef struct {
	gpointer (*open)(gpointer user, GCancellable *cancel, SmtpReply **refusal_out,
			 GError **error);
	const SmtpLimits *(*limits)(gpointer line);
	gboolean (*is_alive)(gpointer line);
	gboolean (*submit)(gpointer line, const SmtpEvents *events, gpointer user,
			   GCancellable *cancel, GError **error);
	void (*close)(gpointer line, guint timeout_ms);
} OutboxLine;

/* All is borrowed; @smtp outlives the Outbox, the rest is copied. */
typedef struct {
	const BackendConfig *smtp;
	const char *address;	    /* the account's own: sender, added From */
	guint hold;		    /* seconds between the last close and sending */
	guint rate;		    /* messages an hour; 0: as many as the server takes */
	guint limit;		    /* messages a day; 0: any number */
	const char *const *send_to; /* globs on addresses, any case; NULL: anybody */
	OutboxSave save;
	const char *ledger_dir; /* the cache directory: exists, 0700 */
	const OutboxLine *line; /* NULL: smtp.h */
	gpointer line_user;
} OutboxConfig;

/* The directory @name at the top of the account, and "failed" in it. Before uploads_new(). Without
 * an Outbox it takes no file (UNSUPPORTED). FALSE: the index has no numbers left. */
gboolean outbox_add_directories(Account *account, const char *name);
Mailbox *outbox_directory(Account *account); /* NULL: was not added */
Mailbox *outbox_failed_directory(Account *account);

/* Takes up what @uploads holds. Disk. Errors: G_FILE_ERROR (the ledger). */
Outbox *outbox_new(Account *account, Uploads *uploads, const OutboxConfig *config, GError **error);
/* Ends the line (a message before its end is not sent; for the answer to one behind it the timeout
 * is waited) and the thread. Before uploads_stop(). */
void outbox_stop(Outbox *outbox);
void outbox_free(Outbox *outbox); /* before uploads_free(). NULL is fine */

/* The user wants it: nothing waits for its next try, nor for a login that was refused. */
void outbox_retry(Outbox *outbox);
/* The network is back: what could not be reached is tried again. What the server has asked to wait
 * for waits on. */
void outbox_online(Outbox *outbox);
/* What is queued now is not held any longer. */
void outbox_hurry(Outbox *outbox);
/* umount: hurries, and waits until nothing can be sent now and nothing is in doubt, for @cancel
 * (nullable), or @end (monotonic, µs). FALSE: it was not waited for all. */
gboolean outbox_settle(Outbox *outbox, gint64 end, GCancellable *cancel);

/* What became of a try. */
typedef enum {
	OUTBOX_SENT,
	OUTBOX_FAILED, /* it is in failed/ */
	OUTBOX_LATER,  /* it stays, and is tried again */
	OUTBOX_GONE,   /* removed, moved away, written anew; or mailfs ends */
} OutboxOutcome;

/* @code, @enhanced, @text: of the server's reply (0 and NULL: there was none; @text may still say
 * why); borrowed. On any thread. */
typedef void (*OutboxDone)(gpointer user, OutboxOutcome outcome, int code, const char *enhanced,
			   const char *text);
/* Calls back once, after the next try of the complete file @id, which is not held any longer. At
 * once when there is no such file in the Outbox, and without a try (LATER) when the whole outbox
 * waits: a limit, a login that was refused, a server that is left alone for a while. */
void outbox_wait(Outbox *outbox, guint32 id, OutboxDone done, gpointer user);

typedef struct {
	guint held;	/* complete, and waiting for their time */
	guint due;	/* to be sent now: the line is on it */
	guint later;	/* to be tried again, or held up by a limit, a rate, a refused login */
	guint doubtful; /* nobody knows yet whether they were delivered */
	guint failed;	/* in failed/ */
	guint64 sent;	/* since the start */
	gint64 next_at; /* wall clock, seconds: of the next try; 0: none is planned */
	char *reason;	/* why the whole outbox waits; NULL: it does not */
	char *line;	/* the server's name, while a line to it is open; NULL */
} OutboxStatus;
void outbox_get_status(Outbox *outbox, OutboxStatus *out);
void outbox_status_clear(OutboxStatus *status);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(OutboxStatus, outbox_status_clear)

G_END_DECLS
