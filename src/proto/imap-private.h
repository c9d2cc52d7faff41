/* SPDX-License-Identifier: MIT */
/* What the files of the IMAP line share; nobody else includes it. imap.c is the engine: commands in
 * flight, whose answers they are, time. imap-login.c brings a line up. A Request under way is an
 * ImapTask: imap-list.c, imap-sync.c and imap-fetch.c are the kinds. */
#pragma once

#include "base/error.h"
#include "proto/imap-parser.h"
#include "proto/imap-writer.h"
#include "proto/imap.h"

G_BEGIN_DECLS

typedef struct ImapBackend ImapBackend;
typedef struct ImapCommand ImapCommand;
typedef struct ImapTask ImapTask;

typedef struct {
	char *prefix; /* raw, with its separator at the end; "" for most personal ones */
	gboolean personal;
} ImapNamespace;

/* IDLE is over only when its tagged OK has come; until "+" nothing may be sent. */
typedef enum {
	IMAP_IDLE_OFF,
	IMAP_IDLE_ASKED,
	IMAP_IDLE_ON,
	IMAP_IDLE_ENDING,
} ImapIdle;

/* Where a streamed literal goes. */
typedef enum {
	IMAP_SINK_NOWHERE,
	IMAP_SINK_BODY,
	IMAP_SINK_HEADER,
} ImapSink;

/* What came back for a command run by imap_backend_run(). */
typedef struct {
	gboolean done;
	ImapStatus status;
	char *code, *text;
} ImapAnswer;

struct ImapCommand {
	char tag[16];
	const char *verb;   /* for texts; static */
	ImapTask *task;	    /* NULL for those of the line itself */
	guint step;	    /* the task's own name for it */
	ImapWriter *writer; /* until it is submitted */
	GPtrArray *pieces;  /* of GBytes, to be sent one by one: see imap_writer_finish() */
	guint sent;	    /* pieces */
	gboolean is_examine, is_idle, is_notify;
	ImapAnswer *answer; /* borrowed; filled at completion */
	/* "+" while this command is the oldest one in flight (AUTHENTICATE). */
	gboolean (*more)(ImapBackend *self, gpointer user, const char *challenge, GError **error);
	gpointer more_user;
};

/* The kinds of task. All are called on the way through the parser. */
typedef struct {
	/* An untagged data response. TRUE: it is this task's. */
	gboolean (*data)(ImapBackend *self, ImapTask *task, const ImapResponse *response);
	/* One of its commands is complete; @tagged is OK, NO or BAD. The task ends when this
	 * returns with no command in flight. */
	void (*completed)(ImapBackend *self, ImapTask *task, const ImapCommand *command,
			  const ImapResponse *tagged);
	void (*dry)(ImapTask *task); /* nothing more to read just now; may be NULL */
	const MailboxState *(*state)(ImapTask *task); /* what done() reports; NULL: nothing */
	void (*free)(ImapTask *task);		      /* its own part */
} ImapTaskOps;

struct ImapTask {
	const ImapTaskOps *ops;
	Request *request;
	guint commands; /* in flight */
	GError *error;	/* the first one */
	gpointer own;
};

struct ImapBackend {
	Backend base;
	const BackendConfig *config;
	const BackendNews *news;
	gpointer user;

	ImapParser *parser;
	GQueue commands; /* ImapCommand, in the order of submission, not yet complete */
	GQueue unsent;	 /* borrowed from commands: not, or not wholly, written */
	GQueue tasks;	 /* ImapTask, in the order of start */
	guint next_tag;
	gboolean wants_continue; /* a piece with a literal header was written */
	ImapIdle idle;
	gint64 idle_since, quiet_since, waiting_since, last_byte; /* monotonic µs */
	gboolean no_idle;					  /* refused once */
	gint64 probed_at, probe_until; /* monotonic µs; probe_until 0: no probe under way */

	/* Login */
	gboolean greeted, preauth, secured, logged_in, leaving;
	gboolean capabilities_told; /* since the last look */
	gboolean literal_plus, condstore, qresync, icloud;
	GPtrArray *namespaces; /* of ImapNamespace; NULL: not told */

	/* The selected mailbox, as EXAMINE and what came after tell it. */
	MailboxState mailbox;
	ImapCommand *examine;	   /* in flight */
	gint64 examined_at;	   /* monotonic µs: when the selected mailbox was asked for */
	gboolean uidvalidity_told; /* by the EXAMINE in flight */
	char *previous;		   /* selected before the EXAMINE in flight */
	gboolean changed, previous_changed;
	gint64 doubted_at; /* monotonic µs; 0 never */

	/* Heard since news was told last. */
	GHashTable *statuses; /* mailbox → MailboxStatus, owned */
	gboolean folders_changed;

	/* The response that is being streamed. */
	ImapSink sink;	    /* of the literal that is coming in */
	ImapTask *body;	    /* who was told body_open() and not yet body_done() */
	guint32 body_uid;   /* 0: not told yet */
	GError *body_error; /* the requester does not want it (any more) */
	GByteArray *header; /* a long header block, cut */
	GString *keywords;  /* scratch */
};

/* imap.c
 * ----------------------------------------------------------------------------------------------------------
 */

gboolean imap_backend_can(const ImapBackend *self, const char *capability);
void imap_backend_clear_capabilities(ImapBackend *self);
void imap_backend_new_parser(ImapBackend *self);

/* A command with the next tag; arguments go to its writer. @verb is static. */
ImapCommand *imap_command_new(ImapBackend *self, const char *verb);
void imap_command_free(ImapCommand *command);
/* Takes ownership; sends as soon as the line allows. Errors: MAILFS_ERROR_INVALID (an argument
 * cannot be sent; nothing was). */
gboolean imap_backend_submit(ImapBackend *self, ImapCommand *command, GError **error);
/* The usual case: "VERB arguments" for a task. */
gboolean imap_task_submit(ImapBackend *self, ImapTask *task, guint step, const char *verb,
			  const char *arguments, GError **error);

ImapTask *imap_task_new(ImapBackend *self, Request *request, const ImapTaskOps *ops, gpointer own);
/* Keeps the first error; takes ownership. */
void imap_task_fail(ImapTask *task, GError *error);
/* To be called at the end of a start: a task that could not submit anything ends at once. */
void imap_task_settle(ImapBackend *self, ImapTask *task);

/* Queues EXAMINE of the task's mailbox, unless it is selected and numbered as the task wants it.
 * @parameters: "(CONDSTORE)" or NULL. */
gboolean imap_backend_examine(ImapBackend *self, ImapTask *task, guint step, const char *parameters,
			      GError **error);
gboolean imap_backend_is_selected(const ImapBackend *self, const Request *request);

/* Are changes in the selected mailbox told without being asked for? */
gboolean imap_backend_pushes(const ImapBackend *self);
/* Whether the line can push has changed, perhaps. */
void imap_backend_note_push(ImapBackend *self);

/* imap-idle.c: time
 * ----------------------------------------------------------------------------------------------------
 */

gint64 imap_backend_tick(Backend *base, gint64 now, GError **error);

/* imap-notify.c: NOTIFY (RFC 5465) and STATUS
 * ----------------------------------------------------------------------------------------------------
 */

void imap_notify_begin(ImapBackend *self);
void imap_notify_completed(ImapBackend *self, const ImapResponse *tagged);
void imap_notify_end(ImapBackend *self); /* the server has given up */
/* Asks for the numbers of a mailbox; the answer is news. */
void imap_notify_ask(ImapBackend *self, const char *mailbox);
/* Look at an untagged response, and keep what it says for imap_notify_tell(). */
void imap_notify_take_status(ImapBackend *self, const ImapResponse *response);
/* The numbers of the mailbox that was just selected. */
void imap_notify_take_selected(ImapBackend *self);
void imap_notify_take_folder(ImapBackend *self, const ImapResponse *response);
void imap_notify_tell(ImapBackend *self);
void imap_task_start_status(ImapBackend *self, Request *request);

/* imap-refusal.c
 * --------------------------------------------------------------------------------------------------
 */

/* NO, BAD or BYE as an error: the code when the response has a known one or a known text, else
 * @otherwise. @shown: the server's text may be shown (never before TLS). (transfer full) */
GError *imap_refusal(const ImapBackend *self, const ImapResponse *response, const char *verb,
		     MailfsError otherwise, gboolean shown);
/* "UIDNEXT 7" asked for "UIDNEXT": FALSE unless the number is in 0..@max. */
gboolean imap_code_number(const char *code, const char *name, guint64 max, guint64 *out);
gboolean imap_code_is(const char *code, const char *name);

/* imap-login.c
 * ----------------------------------------------------------------------------------------------------
 */

gboolean imap_backend_login(Backend *base, GCancellable *cancel, GError **error);
void imap_backend_logout(Backend *base, guint timeout_ms);
void imap_backend_take_capabilities(ImapBackend *self, const char *words); /* space-separated */
void imap_answer_clear(ImapAnswer *answer);

/* imap-list.c: LIST and QUOTA
 * ------------------------------------------------------------------------------------- */

void imap_task_start_list(ImapBackend *self, Request *request);
void imap_task_start_quota(ImapBackend *self, Request *request);
void imap_backend_take_namespaces(ImapBackend *self, const ImapResponse *response);
void imap_namespace_free(gpointer data);
/* A token that can name a mailbox, and its name as LIST tells it: without a separator at the end,
 * INBOX in capitals. (transfer full) */
gboolean imap_token_is_text(const ImapToken *token);
char *imap_mailbox_name(const ImapToken *token, char separator);

/* imap-sync.c
 * -----------------------------------------------------------------------------------------------------
 */

void imap_task_start_sync(ImapBackend *self, Request *request);
gboolean imap_task_is_sync(const ImapTask *task);
/* EXISTS, EXPUNGE or VANISHED while a sync is under way. TRUE: it will be accounted for. */
gboolean imap_task_sync_counts(ImapBackend *self, ImapTask *task, gint64 change);

/* imap-search.c
 * ---------------------------------------------------------------------------------------------------
 */

void imap_task_start_search(ImapBackend *self, Request *request);
/* What it is told could be meant for another UID SEARCH as well. */
gboolean imap_backend_is_searching(const ImapBackend *self);

/* imap-fetch.c: FETCH, PART and HEADERS, and what a FETCH response says
 * ------------------------------------------------- */

/* BODY[]<origin> */
typedef struct {
	guint64 origin;
	const ImapToken *token;
} ImapPart;

typedef struct {
	guint32 uid; /* 0: not told */
	guint32 flags;
	gboolean has_flags, has_size, has_date;
	guint64 size, modseq; /* modseq 0: not told */
	gint64 date;
	const ImapToken *body; /* of BODY[]; NULL: not there */
	ImapPart parts[2];
	guint n_parts;		 /* more than two are left out */
	const ImapToken *header; /* of BODY[HEADER] */
	const ImapToken *fields; /* of BODY[HEADER.FIELDS (…)] */
} ImapItems;

/* FALSE: no FETCH response, or one that names an impossible UID. @keywords (nullable) is emptied
 * and filled. */
gboolean imap_items_parse(const ImapResponse *response, ImapItems *out, GString *keywords);

void imap_task_start_fetch(ImapBackend *self, Request *request);
void imap_task_start_part(ImapBackend *self, Request *request);
void imap_task_start_headers(ImapBackend *self, Request *request);
ImapLiteralPlace imap_backend_literal(gpointer user, const ImapResponse *so_far, guint64 size);
gboolean imap_backend_literal_data(gpointer user, const guint8 *data, gsize len, GError **error);
/* The text of a header item: long ones were streamed and cut, NIL is "". Borrowed until the next
 * literal. */
const char *imap_backend_header_text(ImapBackend *self, const ImapToken *token, gsize *len_out);
/* A streamed body whose response did not come, came broken or belongs to nobody. @why may be NULL.
 */
void imap_backend_drop_body(ImapBackend *self, const GError *why);

G_END_DECLS
