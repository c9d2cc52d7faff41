/* SPDX-License-Identifier: MIT */
/* What the files of the IMAP line share; nobody else includes it. imap.c is the engine: commands in
 * flight, whose answers they are, time. imap-login.c brings a line up. A Request under way is an
 * ImapTask: imap-list.c, imap-sync.c, imap-fetch.c and imap-search.c are those that read;
 * imap-change.c, imap-append.c and imap-folders.c those that change. */
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

/* A message that travels as a literal, straight from where it lies. */
typedef struct {
	guint piece;   /* it follows this one */
	int fd;	       /* borrowed; -1: see bytes */
	GBytes *bytes; /* borrowed */
	guint64 size, done;
} ImapBody;

struct ImapCommand {
	char tag[16];
	const char *verb;   /* for texts; static */
	ImapTask *task;	    /* NULL for those of the line itself */
	guint step;	    /* the task's own name for it */
	ImapWriter *writer; /* until it is submitted */
	GPtrArray *pieces;  /* of GBytes, to be sent one by one: see imap_writer_finish() */
	guint sent;	    /* pieces */
	GArray *bodies;	    /* of ImapBody, or NULL */
	guint bodies_sent;
	GPtrArray *keep; /* what the bodies are borrowed from */
	gboolean is_examine, is_idle, is_notify, is_prime;
	gboolean is_rest;   /* answered already: only to be written to its end */
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
	/* The line is lost, and @why will be its error. TRUE: what was asked for is done all the
	 * same. May fail it with another error, which then counts. May be NULL. */
	gboolean (*lost)(ImapBackend *self, ImapTask *task, const GError *why);
	void (*free)(ImapTask *task); /* its own part */
	/* LIST, LSUB or STATUS responses are its answers: one such task at a time. */
	gboolean lists;
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
	GError *broken;		 /* a literal cannot be sent to its end: the line must go */
	guint64 upload_left;	 /* octets not acknowledged when that was last looked at */
	ImapIdle idle;
	gint64 idle_since, quiet_since, waiting_since, last_byte; /* monotonic µs */
	gboolean no_idle;					  /* refused once */
	gint64 probed_at, probe_until; /* monotonic µs; probe_until 0: no probe under way */

	/* Login */
	gboolean greeted, preauth, secured, logged_in, leaving;
	gboolean capabilities_told; /* since the last look */
	gboolean literal_plus, condstore, qresync, icloud;
	gboolean no_move, no_multiappend; /* offered, but not meant */
	GPtrArray *namespaces;		  /* of ImapNamespace; NULL: not told */

	/* The selected mailbox, as EXAMINE and what came after tell it. */
	MailboxState mailbox;
	guint64 claimed_modseq;	   /* the highest that the end of a command spoke of since then */
	ImapCommand *examine;	   /* in flight */
	gint64 examined_at;	   /* monotonic µs: when the selected mailbox was asked for */
	gboolean uidvalidity_told; /* by the EXAMINE in flight */
	gboolean writable;	   /* SELECTed, and not read-only */
	gboolean primed;	   /* the server was asked for a body of it, or for a part of one */
	char *permanent_flags;	   /* "\Seen work \*"; NULL: not told, so all are */
	char *changes;		   /* the mailbox that this line has SELECTed last */
	guint expunges;		   /* EXPUNGE responses since the last command was complete */
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

ImapTask *imap_task_new(ImapBackend *self, Request *request, const ImapTaskOps *ops, gpointer own);
/* Keeps the first error; takes ownership. */
void imap_task_fail(ImapTask *task, GError *error);
/* To be called at the end of a start: a task that could not submit anything ends at once. */
void imap_task_settle(ImapBackend *self, ImapTask *task);

/* Queues EXAMINE of the task's mailbox, unless it is selected and numbered as the task wants it.
 * SELECT instead for a request that changes, and where this line has changed something before.
 * @parameters: "(CONDSTORE)" or NULL. */
gboolean imap_backend_examine(ImapBackend *self, ImapTask *task, guint step, const char *parameters,
			      GError **error);
gboolean imap_backend_is_selected(const ImapBackend *self, const Request *request);

/* Are changes in the selected mailbox told without being asked for? */
gboolean imap_backend_pushes(const ImapBackend *self);
/* Whether the line can push has changed, perhaps. */
void imap_backend_note_push(ImapBackend *self);

/* Leaves the selected mailbox for another, which makes the server forget it; nothing may be under
 * way for it. */
gboolean imap_backend_examine_inbox(ImapBackend *self, ImapTask *task, guint step, GError **error);
void imap_backend_unselect(ImapBackend *self); /* in our books alone */
/* The selected mailbox may be another one by now: its next sync, which is called for, selects it
 * anew. */
void imap_backend_doubt_selection(ImapBackend *self);
/* News that came during a sync is told after it: the listener would think that the sync has it. */
void imap_backend_tell_news(ImapBackend *self);

/* imap-idle.c: time
 * ----------------------------------------------------------------------------------------------------
 */

gint64 imap_backend_tick(Backend *base, gint64 now, GError **error);
/* Is this what tick() has asked for, and nobody waits for? */
gboolean imap_backend_is_priming(const ImapBackend *self, const ImapResponse *response);

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

/* imap-command.c
 * --------------------------------------------------------------------------------------------------
 */

/* A command with the next tag; arguments go to its writer. @verb is static. */
ImapCommand *imap_command_new(ImapBackend *self, const char *verb);
void imap_command_free(ImapCommand *command);
/* The next argument is a message, an element of @messages, which is kept. @waits: for "+". */
void imap_command_body(ImapCommand *command, const AppendMessage *message, GPtrArray *messages,
		       gboolean waits);
/* Takes ownership; sends as soon as the line allows. Errors: MAILFS_ERROR_INVALID (an argument
 * cannot be sent; nothing was). */
gboolean imap_backend_submit(ImapBackend *self, ImapCommand *command, GError **error);
/* The usual cases: "VERB arguments" and "VERB mailbox arguments" for a task; arguments may be NULL.
 */
gboolean imap_task_submit(ImapBackend *self, ImapTask *task, guint step, const char *verb,
			  const char *arguments, GError **error);
gboolean imap_task_submit_mailbox(ImapBackend *self, ImapTask *task, guint step, const char *verb,
				  const char *mailbox, const char *arguments, GError **error);
/* Writes what the queue has room for. */
void imap_backend_write(ImapBackend *self);
/* Before each wait: fills the line from the body that is on its way. FALSE: it takes no more now,
 * or there is none. TRUE: not to wait. */
gboolean imap_backend_pump(ImapBackend *self);
/* The command in flight that a tagged response ends, out of the queue. NULL: there is none.
 * (transfer full) */
ImapCommand *imap_backend_take_command(ImapBackend *self, const char *tag);
/* FALSE: something of it has not left us, so the server cannot have carried it out. */
gboolean imap_command_was_sent(const ImapBackend *self, const ImapCommand *command);
void imap_backend_clear_commands(ImapBackend *self);
/* Has the server acknowledged bytes since the last look? Then it is slow and not dead. */
gboolean imap_backend_uploads(ImapBackend *self);

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
/* "COPYUID 38505 304,319:320 3956:3958", "APPENDUID 38505 3955": the @index-th set (0, 1), or NULL
 * unless it is there and strictly ascending. (transfer full) */
UidSet *imap_code_uids(const char *code, guint index);
/* Its first number, if that can be a UIDVALIDITY; else 0. */
guint32 imap_code_uidvalidity(const char *code);

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

/* Answers to LIST and LSUB, for those who ask for a few mailboxes. */
typedef struct ImapListing ImapListing;
ImapListing *imap_listing_new(void);
void imap_listing_free(ImapListing *listing); /* NULL is fine */
/* FALSE: it is neither LIST, LSUB nor STATUS. */
gboolean imap_listing_take(ImapListing *listing, const ImapResponse *response);
typedef gboolean (*ImapListingFilter)(gpointer user, const MailboxInfo *info);
/* Calls @each for every mailbox that was told, in the server's order, until it says FALSE. */
void imap_listing_each(const ImapBackend *self, const ImapListing *listing, ImapListingFilter each,
		       gpointer user);
/* The names that LSUB told. (transfer container) */
GList *imap_listing_subscribed(const ImapListing *listing);
void imap_listing_subscribe(ImapListing *listing, const char *name);
/* RETURN (…) with what the server knows; NULL: it has no LIST-EXTENDED. (transfer full) */
char *imap_listing_options(const ImapBackend *self);
/* Is a task under way whose answers are LIST, LSUB or STATUS responses? */
gboolean imap_backend_is_listing(const ImapBackend *self);

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

/* imap-change.c: STORE, COPY, MOVE, EXPUNGE
 * ---------------------------------------------------------------------------------------------------
 */

void imap_task_start_change(ImapBackend *self, Request *request);
gboolean imap_change_can_start(const ImapBackend *self, const Request *request);
/* Any such task under way? */
gboolean imap_backend_is_changing(const ImapBackend *self);
/* READ-ONLY, PERMANENTFLAGS and untagged COPYUID. @opening: of the mailbox that is being selected.
 */
void imap_change_take_code(ImapBackend *self, const char *code, gboolean opening);

/* imap-change-check.c
 * ---------------------------------------------------------------------------------------------------
 */

/* What makes a request that changes impossible, before anything is sent: a read-only mount, text
 * that cannot be sent. */
gboolean imap_change_check(const ImapBackend *self, const Request *request, GError **error);
/* The same, when its mailbox is selected: this may not be changed, or cannot keep a flag. */
gboolean imap_change_check_selected(const ImapBackend *self, const Request *request,
				    GError **error);
gboolean imap_change_can_mark(const ImapBackend *self, GError **error); /* \Deleted */
gboolean imap_change_moves(const ImapBackend *self); /* MOVE is offered, and meant */

/* imap-append.c
 * ---------------------------------------------------------------------------------------------------
 */

void imap_task_start_append(ImapBackend *self, Request *request);
gboolean imap_append_can_start(const ImapBackend *self, const Request *request);

/* imap-folders.c: CREATE, DELETE, RENAME
 * ---------------------------------------------------------------------------------------------------
 */

void imap_task_start_folders(ImapBackend *self, Request *request);
gboolean imap_folders_can_start(const ImapBackend *self, const Request *request);

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

/* "(\Seen work)"; NULL when there are none. (transfer full) */
char *imap_flags_format(guint32 flags, const char *keywords);

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
