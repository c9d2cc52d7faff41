/* SPDX-License-Identifier: MIT */
/* What the files of the POP3 line share; nobody else includes it. pop.c is the engine: commands in
 * flight, whose answers they are, time. pop-login.c brings a line up and takes it down. A Request
 * under way is a PopTask: pop-sync.c, pop-fetch.c, pop-delete.c. pop-drop.c is the line's own task:
 * which messages there are, and which UIDs they have. pop-look.c is what several of them do:
 * looking at headers.
 *
 * A server answers in the order of the commands, so whose an answer is needs no tag. Where
 * PIPELINING is offered several are in flight, as many as their answers are likely to take 4 MiB.
 */
#pragma once

#include "base/error.h"
#include "proto/pop-header.h"
#include "proto/pop-parser.h"
#include "proto/pop.h"

G_BEGIN_DECLS

#define POP_MESSAGE_MAX ((guint64)256 * 1024 * 1024)

typedef struct PopBackend PopBackend;
typedef struct PopTask PopTask;

/* What came back for a command that was run by pop_backend_run(). */
typedef struct {
	gboolean done;
	PopStatus status;
	char *code, *text;
	GPtrArray *lines; /* where some were expected: set by the caller, of char * */
} PopAnswer;

typedef struct {
	const char *verb;   /* for texts; static */
	PopTask *task;	    /* NULL: see answer */
	guint step;	    /* the task's own name for it */
	guint entry;	    /* of the maildrop: which message it is about */
	PopFollows follows; /* behind "+OK" */
	guint64 cost;	    /* octets that are likely to come */
	guint64 came;	    /* octets of the message */
	gboolean refused;
	PopAnswer *answer; /* borrowed */
} PopCommand;

typedef struct {
	/* Sends its next command, if there is one that may be sent now: TRUE. */
	gboolean (*next)(PopBackend *self, PopTask *task);
	/* The first line of an answer; "+OK" where more follows is not the last of it. */
	void (*reply)(PopBackend *self, PopTask *task, PopCommand *command, const PopReply *reply);
	void (*line)(PopBackend *self, PopTask *task, PopCommand *command, const char *text);
	void (*data)(PopBackend *self, PopTask *task, PopCommand *command, const guint8 *data,
		     gsize len);
	/* The answer is whole; not called after -ERR. */
	void (*end)(PopBackend *self, PopTask *task, PopCommand *command);
	/* Asked when no command is in flight: is it over? */
	gboolean (*is_over)(PopBackend *self, PopTask *task);
	const MailboxState *(*state)(PopTask *task); /* what done() reports; NULL: nothing */
	/* The line is lost, and @why will be its error, unless it fails the task with another one
	 * first. May be NULL. */
	void (*lost)(PopBackend *self, PopTask *task, const GError *why);
	void (*free)(PopTask *task); /* its own part */
	gboolean goes_on;	     /* is over when it says so, whatever has failed */
} PopTaskOps;

struct PopTask {
	const PopTaskOps *ops;
	Request *request; /* NULL: the line's own */
	guint commands;	  /* in flight */
	GError *error;	  /* the first one; it sends no more then, see goes_on */
	gpointer own;
};

/* Looking at messages, one after the other: TOP, where that is refused RETR. */
typedef struct {
	GArray *entries, *again; /* of guint: to be asked for by TOP, by RETR */
	guint next, next_again;
	PopHeader *header; /* that is coming in */
	gboolean told;	   /* of the message that is coming in, the header is complete */
	/* @whole: all of it comes, and body() takes it after this. */
	void (*header_came)(PopBackend *self, PopTask *task, guint entry, gboolean whole);
	void (*body)(PopBackend *self, PopTask *task, const guint8 *data, gsize len); /* or NULL */
	void (*body_end)(PopBackend *self, PopTask *task, guint entry);		      /* or NULL */
	void (*refused)(PopBackend *self, PopTask *task, guint entry, const PopReply *reply);
} PopLook;

typedef enum {
	POP_DROP_UNKNOWN,
	POP_DROP_LISTING,  /* UIDL, LIST */
	POP_DROP_CHECKING, /* are those that are known the same as before? */
	POP_DROP_MAPPED,   /* those that are known have their UIDs */
	POP_DROP_NAMING,   /* looking at the others; and at what a listing wants to show */
	POP_DROP_KNOWN,	   /* all have one, but those that cannot be looked at */
	POP_DROP_FAILED,
} PopDropStage;

/* The maildrop as this session has it. Entries are in the order of the numbers. */
typedef struct {
	PopDropStage stage;
	GArray *messages; /* of PopMessage */
	GArray *numbers;  /* of guint32: the session's, of each */
	GString *keys;
	gboolean named; /* by UIDL; else by the session's numbers */
	guint32 uidvalidity, uidnext;
	GHashTable *by_uid; /* UID → entry + 1 */
	UidSet *taken;	    /* the UIDs in it */
	gint64 listed_at;   /* monotonic µs */
	GError *error;	    /* POP_DROP_FAILED: why */

	/* While it is looked at. */
	GArray *told; /* of PopTold, by number: what UIDL and LIST say */
	gboolean asked_uidl, asked_list, no_uidl, no_list;
	PopLook look;
	gboolean strange;    /* one is not what it was: none of the names can be relied on */
	gboolean skipped;    /* one could not be looked at */
	guint32 skipped_uid; /* the lowest known one of those; 0: none */
	PopTask *listener;   /* the SYNC that the headers are for */
} PopDrop;

struct PopBackend {
	Backend base;
	const BackendConfig *config;
	const BackendNews *news;
	gpointer user;

	PopParser *parser;
	GQueue commands; /* PopCommand: sent, not answered to the end, in that order */
	guint64 cost;	 /* of those */
	GQueue tasks;	 /* PopTask, in the order of start */
	PopTask *drop_task;
	PopDrop drop;
	gboolean top_worked, no_top;
	gboolean changed; /* the listing is not what it was thought to be */

	/* Login */
	char *timestamp; /* of the greeting, for APOP; NULL: none */
	gboolean greeted, secured, logged_in, capabilities_known;
	gboolean pipelining, keeps_nothing; /* EXPIRE 0: what was read is deleted at QUIT */
	PopAnswer *greeting;

	gboolean deleting;			      /* this line is for deleting */
	gboolean quit_sent, gone;		      /* the server has hung up */
	gint64 last_byte, waiting_since, quiet_since; /* monotonic µs */
	gint64 probe_until;			      /* monotonic µs; 0: no probe under way */
};

/* pop.c */

gboolean pop_backend_can(const PopBackend *self, const char *capability); /* first word, any case */
void pop_backend_new_parser(PopBackend *self);
/* Sends @format and CRLF. What stands in it holds neither CR nor LF. */
PopCommand *pop_backend_send(PopBackend *self, const char *verb, const char *format, ...)
	G_GNUC_PRINTF(3, 4);
/* Sends what may be sent, ends what is over. */
void pop_backend_pump(PopBackend *self);

PopTask *pop_task_new(PopBackend *self, Request *request, const PopTaskOps *ops, gpointer own);
void pop_task_fail(PopTask *task, GError *error); /* takes it */
PopCommand *pop_task_send(PopBackend *self, PopTask *task, guint step, PopFollows follows,
			  const char *verb, const char *format, ...) G_GNUC_PRINTF(6, 7);

/* What a refusal means to the user. @otherwise: where neither code nor words tell. */
GError *pop_refusal(const PopBackend *self, const PopReply *reply, const char *verb,
		    MailfsError otherwise, gboolean shown);

/* pop-login.c */

gboolean pop_backend_login(Backend *base, GCancellable *cancel, GError **error);
void pop_backend_logout(Backend *base, guint timeout_ms);

/* pop-look.c. For a command whose step is POP_STEP_LOOK. */

#define POP_STEP_LOOK G_MAXUINT

void pop_look_init(PopLook *look);
void pop_look_clear(PopLook *look);
void pop_look_add(PopLook *look, guint entry);
gboolean pop_look_next(PopBackend *self, PopTask *task, PopLook *look);
gboolean pop_look_is_over(const PopLook *look); /* all was asked for */
void pop_look_reply(PopBackend *self, PopTask *task, PopLook *look, PopCommand *command,
		    const PopReply *reply);
void pop_look_data(PopBackend *self, PopTask *task, PopLook *look, const PopCommand *command,
		   const guint8 *data, gsize len);
void pop_look_end(PopBackend *self, PopTask *task, PopLook *look, const PopCommand *command);

/* pop-drop.c */

void pop_drop_init(PopDrop *drop);
void pop_drop_clear(PopDrop *drop);
/* Is all known that the task needs to know of the maildrop? FALSE: not yet, and it is seen to; or
 * the task has failed (the maildrop cannot be had, its UIDVALIDITY is another). */
gboolean pop_drop_is_ready(PopBackend *self, PopTask *task);
/* Looks at all that have no UID or one from @from on, and tells @listener (or NULL). */
void pop_drop_name(PopBackend *self, PopTask *listener, guint32 from);
gboolean pop_drop_find(const PopBackend *self, guint32 uid, guint *entry_out);
const PopMessage *pop_drop_message(const PopBackend *self, guint entry);
guint32 pop_drop_number(const PopBackend *self, guint entry);
const char *pop_drop_uidl(const PopBackend *self, guint entry); /* or NULL */

/* pop-sync.c */

void pop_task_start_list(PopBackend *self, Request *request);
void pop_task_start_sync(PopBackend *self, Request *request);
/* The task that was given to pop_drop_name(): a header that it wants has come; all have. */
void pop_sync_header(PopBackend *self, PopTask *task, guint entry, gboolean whole);
void pop_sync_body(PopBackend *self, PopTask *task, const guint8 *data, gsize len);
void pop_sync_body_end(PopBackend *self, PopTask *task, guint entry);
void pop_sync_named(PopBackend *self, PopTask *task);
void pop_sync_dry(PopTask *task); /* nothing more to read just now */
gboolean pop_task_is_sync(const PopTask *task);

/* pop-fetch.c */

void pop_task_start_fetch(PopBackend *self, Request *request);
void pop_task_start_headers(PopBackend *self, Request *request);

/* pop-delete.c */

void pop_task_start_delete(PopBackend *self, Request *request);

G_END_DECLS
