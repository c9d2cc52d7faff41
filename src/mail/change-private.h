/* SPDX-License-Identifier: MIT */
/* The inside of Changes: change.c (life, lanes, waiting), change-flight.c (a request and what
 * becomes of its changes), change-coming.c (on their way), change-look.c (those of which nobody
 * knows), change-moves.c, change-remove.c, change-flags.c, change-folders.c. */
#pragma once

#include "base/error.h"
#include "mail/change-journal.h"
#include "mail/change.h"

G_BEGIN_DECLS

#define GUARD_SECONDS 60

typedef enum { DO_MOVE, DO_COPY, DO_EXPUNGE, DO_STORE } ChangeKind;

/* One thing that somebody wants done; owned by its lane, flight, look or the list of stuck ones. */
typedef struct {
	ChangeKind kind;
	Mailbox *mailbox, *target; /* target: MOVE, COPY */
	guint32 uidvalidity, serial, uid;
	UidSet *uids;	   /* STORE */
	MessageCopy *copy; /* as it was; NULL: not needed */
	char *name;	   /* wanted in the target; NULL: by names v1 */
	guint32 victim;	   /* UID in the target that gives way to it; 0: none */
	guint32 victim_serial;
	guint32 target_validity, target_next; /* of the target when it was asked; 0: not known */
	MailboxMoment target_asked;	      /* when it was sent */
	RequestFlags add, remove;	      /* STORE */
	guint64 record;			      /* in the journal; 0: none */
	guint tries;
	char *coming_as; /* under which name it is looked for in the target; NULL: it is not */
	gboolean early;	 /* answered for: hidden, and to be brought to an end whatever comes */
	gboolean doubt;	 /* it may be done: to be looked for first */
	gboolean lost;	 /* the line was lost while it was being done */
	gboolean sought; /* done, answered for, and to be found when the line is back */

	/* What a flight has learnt. */
	gboolean copied;
	guint32 copied_validity, copied_uid; /* 0: the server does not say */

	ChangeDone done; /* NULL: nobody asks */
	gpointer user;
} Change;

/* Changes of one kind from one mailbox to another: one request at a time. */
typedef struct {
	char *key;
	GQueue waiting; /* of Change */
	gboolean flying;
	gint64 run_at; /* monotonic: of the last success or early answer; 0: no run */
} Lane;

typedef struct {
	Mailbox *mailbox; /* NULL: all */
	ChangeDone done;  /* or: */
	void (*wake)(gpointer user);
	gpointer user;
} ChangeWaiter;

struct Changes {
	Account *account;
	Pool *pool;
	ChangesConfig config;
	ChangeJournal *journal;
	GThread *thread; /* tries again what is stuck */

	GMutex lock; /* guards all below; never held while anything else is called */
	GCond wake;
	gboolean stopped, hurry;
	GHashTable *lanes;   /* key → Lane */
	GHashTable *all;     /* every Change that is not over */
	GHashTable *coming;  /* target → those on their way into it: change-coming.c */
	GQueue stuck;	     /* of Change: early ones that wait for a line */
	GPtrArray *unplaced; /* of ChangeRecord: their mailboxes are not known yet */
	GHashTable *errors;  /* Mailbox → GError: of early ones, first since the last wait */
	GError *error;	     /* the first of them all */
	GArray *waiters;     /* of ChangeWaiter */
	guint early;
	guint given_up; /* of those */
	struct {
		gint64 second;
		guint n;
	} removals[GUARD_SECONDS];
	gint64 allowed_until; /* monotonic */
};

void change_free(Change *change); /* NULL is fine */
/* A change of one message as it is now. NULL with NOT_FOUND. Blocks on local disk. */
Change *change_new(Changes *changes, ChangeKind kind, Mailbox *mailbox, guint32 serial, guint32 uid,
		   Mailbox *target, const char *name, GError **error);
/* May anything be changed at all? */
gboolean changes_may(Changes *changes, GError **error);

/* FALSE with UNSUPPORTED: @what cannot be done to a POP3 maildrop. */
gboolean changes_can(Changes *changes, const char *what, GError **error);
/* Puts it into its lane; takes it. @run: it may be answered for early. */
void change_submit(Changes *changes, Change *change, gboolean run);
/* It is over, well or with @error: tells, and frees. */
void change_finish(Changes *changes, Change *change, const GError *error);
/* Nothing can be done until the line is back; only for early ones. */
void change_get_stuck(Changes *changes, Change *change);
/* It is done, but the line went before anybody could see as which message: answered for, and looked
 * for when the line is back. Until then its name is on its way into the target. */
void change_get_sought(Changes *changes, Change *change);
/* Nobody knows whether it is done, which @error says to who waits for it. It is brought to its end
 * all the same: half of it may be done. */
void change_go_on_alone(Changes *changes, Change *change, const GError *error);
/* Calls those whose wait is over. */
void changes_check_waiters(Changes *changes);
void changes_log(Changes *changes, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* One that was answered for is to be found in its target, while it is on its way. Under the lock.
 */
GHashTable *changes_coming_new(void);
void change_is_coming(Changes *changes, Change *change);
void change_has_come(Changes *changes, Change *change); /* or goes elsewhere */

/* Sends these, all of one lane; takes the array. */
void change_fly(Changes *changes, Lane *lane, GPtrArray *batch);
void lane_landed(Changes *changes, Lane *lane, gboolean well);
/* Finds out what has become of these, all of one lane or one by one; takes the array. */
void change_look(Changes *changes, GPtrArray *doubtful);
/* It is in the target as @uid: named, listed, its body with it, whoever had the name removed. */
void change_arrived(Changes *changes, Change *change, guint32 uidvalidity, guint32 uid);
/* For good or to the trash; hidden at once, nobody is told. */
void change_remove_victim(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid);
/* The line's fault, not the server's word. */
gboolean change_error_is_of_line(const GError *error);

G_END_DECLS
