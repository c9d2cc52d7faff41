/* SPDX-License-Identifier: MIT */
/* Changes: what a user does to messages and mailboxes that are on the server. Each becomes a
 * request of its kind (request.h); what arrives while a request of the same kind, source and target
 * is under way goes together in the next one, so that many become one command and a single one is
 * never held up. When the server has said OK the listing says so too, before the caller is told:
 * the message is gone from its directory, and is in the other one under the name it should have
 * there.
 *
 * Runs of moves and removals: a program that moves or removes one message after the other would
 * wait a round trip for each. Once the server has said OK to one of a run (same source, same
 * target, seconds apart), the next ones are answered before they are sent, up to 1,000 of them, and
 * the listing shows them as done. They are written to a journal first, so that they are done even
 * when mailfs is killed; when the server refuses one later the message is back in its place and the
 * log says why. fsync() of the directory, and umount, wait for them.
 *
 * POP3: a removal is always answered for early while the line is up, for the session that deletes
 * comes after it. When its line is lost before the server has said that it has deleted, the message
 * is shown again. All other changes on the server are UNSUPPORTED.
 *
 * Thread-safe. Nothing here waits for the network; `done` comes once, on any thread, also before
 * the function returns. Errors as in request.h; STALE, NOT_FOUND when the message is no more;
 * READ_ONLY at once for an account that is mounted so; OFFLINE at once when the line is known to be
 * down. */
#pragma once

#include "mail/account.h"

G_BEGIN_DECLS

typedef struct Changes Changes;
typedef void (*ChangeDone)(gpointer user, const GError *error);

typedef enum {
	DELETE_TRASH,	/* MOVE to the mailbox with \Trash; inside Trash and Junk: expunged */
	DELETE_EXPUNGE, /* \Deleted and UID EXPUNGE */
	DELETE_MARK,	/* \Deleted, and stays listed */
} DeletePolicy;

typedef struct {
	gboolean read_only;
	DeletePolicy policy;
	guint limit;				      /* removals a minute; 0: no guard */
	const char *state_dir;			      /* for the journal: exists, 0700 */
	void (*log)(gpointer user, const char *text); /* a line for the user, printable */
	gpointer user;
} ChangesConfig;

Changes *changes_new(Account *account, const ChangesConfig *config, GError **error);
/* Tries no more: what is not confirmed stays in the journal. Before account_stop(). */
void changes_stop(Changes *changes);
void changes_free(Changes *changes);  /* after account_stop(). NULL is fine */
void changes_retry(Changes *changes); /* the line is back: do not wait for the next try */

/* @name: the file name that the copy shall have in @target, kept as long as the index knows it;
 * NULL: the one it has by names v1. One that is there under that name is replaced once the new one
 * is safe (its removal follows the policy). */
void changes_move(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid, Mailbox *target,
		  const char *name, ChangeDone done, gpointer user);
void changes_copy(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid, Mailbox *target,
		  const char *name, ChangeDone done, gpointer user);
/* Another name within its mailbox: in the index only. Blocks on local disk. */
gboolean changes_rename(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid,
			const char *name, GError **error);

/* rm, by the policy. FORBIDDEN: too many in a minute (the guard; the text names `mailfs
 * allow-delete`).
 */
void changes_remove(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid,
		    ChangeDone done, gpointer user);
/* The guard is lifted for so long. */
void changes_allow(Changes *changes, gint64 time_us);

/* Only what differs is sent: "\Seen work" as mailbox_flags_text() spells it, for one or many
 * messages (one STORE for each set of differences). Takes @uids. */
void changes_set_flags(Changes *changes, Mailbox *mailbox, guint32 serial, UidSet *uids,
		       const char *text, ChangeDone done, gpointer user);
/* Adds and removes, for many: mailfs flag +\Seen -work FILE… Takes @uids. */
void changes_edit_flags(Changes *changes, Mailbox *mailbox, guint32 serial, UidSet *uids,
			guint32 add, const char *add_keywords, guint32 remove,
			const char *remove_keywords, ChangeDone done, gpointer user);
/* "+\Seen", "+seen", "-work", several separated by spaces, into the arguments above (keywords owned
 * by the caller). INVALID. */
gboolean changes_parse_flags(const char *text, guint32 *add, char **add_keywords, guint32 *remove,
			     char **remove_keywords, GError **error);

/* --- mailboxes --- */

/* @parent NULL: the top. @name: a file name, unescaped here as design §2 escapes it. EXISTS;
 * FORBIDDEN for names that are litter (.Trash-1000, .DS_Store, …) or hidden. */
void changes_mkdir(Changes *changes, Mailbox *parent, const char *name, ChangeDone done,
		   gpointer user);
/* FORBIDDEN for INBOX and special-use mailboxes; NOT_EMPTY (also: files not uploaded yet, given by
 * the caller as @local). */
void changes_rmdir(Changes *changes, Mailbox *mailbox, guint local, ChangeDone done, gpointer user);
void changes_rename_mailbox(Changes *changes, Mailbox *mailbox, Mailbox *parent, const char *name,
			    ChangeDone done, gpointer user);

/* Calls back when nothing of @mailbox (NULL: of the account) is on its way any more; with the first
 * error since the last such call, or OFFLINE when something waits for the line to come back. What
 * was answered for is on disk when this returns. */
void changes_wait(Changes *changes, Mailbox *mailbox, ChangeDone done, gpointer user);

/* TRUE: a message that was answered for early is on its way into @target, under @name (NULL: under
 * any) and is not listed there yet: whoever looks for it waits. */
gboolean changes_coming(Changes *changes, Mailbox *target, const char *name);
/* The message itself, as it is, or was, in the mailbox it comes from: what stat() may tell of it
 * without waiting. */
gboolean changes_find_coming(Changes *changes, Mailbox *target, const char *name, MessageView *out);
/* TRUE: this message of @mailbox is on its way to another one, or there, and nobody knows yet under
 * which UID. @out (nullable): as it is, or was. */
gboolean changes_leaving(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid,
			 MessageView *out);
/* FALSE: nothing of @mailbox is on its way, or all of it waits for the line to come back. */
gboolean changes_busy(Changes *changes, Mailbox *mailbox);
/* Calls back once, on some thread, when nothing of @mailbox is on its way any more, or the line is
 * lost; FALSE (no call) when that is so now. Errors stay for changes_wait(). */
gboolean changes_await(Changes *changes, Mailbox *mailbox, void (*wake)(gpointer user),
		       gpointer user);

typedef struct {
	guint on_the_way;     /* messages answered for and not yet confirmed */
	guint given_up;	      /* and refused, or no more to be found, since the start */
	guint removals;	      /* in the last minute */
	gint64 allowed_until; /* wall clock, seconds; 0: the guard is up */
} ChangesStatus;
ChangesStatus changes_status(Changes *changes);

G_END_DECLS
