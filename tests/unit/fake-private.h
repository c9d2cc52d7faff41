/* SPDX-License-Identifier: MIT */
/* What fake-server.c (the mailboxes and what is answered of them) and fake-backend.c (the lines)
 * share. */
#pragma once

#include "fake-backend.h"

G_BEGIN_DECLS

typedef struct FakeBackend FakeBackend;

typedef struct {
	guint32 uid, flags;
	guint64 claimed, modseq;
	gint64 date;
	char *keywords;
	GBytes *body, *fields;
	FakeBody spoil;
	guint spoil_times;
} FakeMessage;

typedef struct {
	char *name, *prefix;
	char separator;
	guint attributes;
	MailboxState state;  /* count is that of messages */
	GPtrArray *messages; /* of FakeMessage, by UID */
	GArray *expunged;    /* of Expunged */
	GHashTable *asked;   /* UID → times */
} FakeMailbox;

typedef struct {
	guint32 uid;
	guint64 modseq;
} Expunged;

struct FakeServer {
	BackendConfig config;
	int listening;
	GMutex login_lock; /* one connect() and its accept() at a time */

	GMutex lock; /* guards all below */
	FakeKnobs knobs;
	FakeCounts counts;
	GPtrArray *mailboxes; /* of FakeMailbox */
	GPtrArray *lines;     /* of FakeBackend: logged in */
	guint made;	      /* messages ever */
	guint made_mailboxes; /* ever */
	const char *alert;
};

typedef enum {
	EVENT_SELECTED,
	EVENT_MESSAGE,
	EVENT_FLAGS,
	EVENT_VANISHED,
	EVENT_PRESENT,
	EVENT_BATCH,
	EVENT_BODY_OPEN,
	EVENT_BODY_DATA,
	EVENT_BODY_DONE,
	EVENT_BODY_SHORT,
	EVENT_PROBED,
	EVENT_CUT,
	EVENT_HEADER,
	EVENT_QUOTA,
	EVENT_MAILBOX,
	EVENT_STORED,
	EVENT_COPIED,
	EVENT_MARKED,
	EVENT_APPENDED,
} EventKind;

typedef struct {
	EventKind kind;
	MessageInfo info; /* its pointers are NULL: see text and bytes */
	char *text;	  /* keywords, name of a mailbox */
	GBytes *bytes;	  /* header, piece of a body */
	UidSet *uids, *others;
	guint32 uidvalidity;
	guint index;
	guint64 used, limit;
	MailboxInfo mailbox;
	char *prefix;
} Event;

typedef struct {
	GQueue events; /* of Event */
	MailboxState state;
	GError *error;
} Answer;

struct FakeBackend {
	Backend base; /* `selected` is written under the server's lock */
	FakeServer *server;
	const BackendNews *news;
	gpointer user;
	GQueue requests; /* of Request; the first is being answered */
	Answer *answer;
	gint64 progress_at, next_at;
	gboolean body_open, body_wanted;

	/* Guarded by the server's lock. */
	int peer_fd; /* -1 before login */
	gboolean changed, alerted, folders;
	GPtrArray *noticed; /* of names: their numbers are to be told */
};

/* Under the server's lock. */
void fake_status(FakeServer *server, const char *mailbox, MailboxStatus *out);
Answer *fake_answer_new(FakeServer *server, const Request *request);
void fake_answer_free(Answer *answer); /* NULL is fine */
void fake_event_free(gpointer event);
Event *fake_push(Answer *answer, EventKind kind);
void fake_push_mailbox(Answer *answer, const FakeMailbox *mailbox);
FakeMailbox *fake_find_mailbox(FakeServer *server, const char *name);
FakeMessage *fake_find_message(const FakeMailbox *mailbox, guint32 uid);
FakeMailbox *fake_make_mailbox(FakeServer *server, const char *name, char separator,
			       guint attributes, const char *prefix);
GBytes *fake_header_fields(const char *raw);
guint32 fake_put_message(FakeMailbox *mailbox, FakeMessage *message); /* takes it */
void fake_message_free(gpointer message);
void fake_take_message(FakeMailbox *mailbox, FakeMessage *message); /* expunged */
/* fake-changes.c. @mailbox may be NULL. */
void fake_answer_change(Answer *answer, FakeServer *server, FakeMailbox *mailbox,
			const Request *request);

G_END_DECLS
