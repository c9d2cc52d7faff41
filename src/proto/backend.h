/* SPDX-License-Identifier: MIT */
/* A Backend is one logged-in line to a mail server: imap.c and pop.c are the kinds, tests bring a
 * third. Everything above this header is protocol-blind. A Backend belongs to its session's thread
 * (session.c), which calls the slots from a poll() loop; none but login() blocks. Any number of
 * requests may be under way at once. */
#pragma once

#include <gio/gio.h>

#include "net/wire.h"
#include "proto/request.h"

G_BEGIN_DECLS

typedef struct Backend Backend;
typedef struct PopNumbers PopNumbers; /* pop.h */

typedef enum {
	TLS_IMPLICIT, /* from the first byte: imaps, pop3s */
	TLS_STARTTLS, /* upgraded before anything else: imap, pop3 */
	TLS_NONE,     /* plain text: only for loopback, or insecure-plaintext */
} TlsMode;

typedef enum {
	AUTH_AUTO, /* the strongest that is offered */
	AUTH_PLAIN,
	AUTH_LOGIN,
	AUTH_CRAM_MD5,
	AUTH_SCRAM_SHA_256,
	AUTH_GSSAPI,
	AUTH_XOAUTH2,
	AUTH_OAUTHBEARER,
} AuthMechanism;

/* Where the password or token comes from. Thread-safe. Called during each login, so that a rotated
 * token is found; may run a command (blocks, killed after the timeout). The result is owned by the
 * caller, who wipes it (util_free_secret). */
typedef struct {
	/* @again: the last one was refused: get a new one (tokens only) */
	char *(*get)(gpointer user, gboolean again, GCancellable *cancel, GError **error);
	gpointer user;
} Secret;

/* Everything a line needs to be set up. Shared by all sessions of an account, constant, outlives
 * them. */
typedef struct {
	char *host;
	guint16 port;
	TlsMode tls;
	TlsContext *tls_context; /* NULL with TLS_NONE */
	gboolean insecure_plaintext;
	char *user;
	AuthMechanism auth;
	gboolean auth_token; /* the secret is an OAuth token: token-command was given */
	Secret secret;
	guint timeout_ms;
	gboolean read_only; /* EXAMINE, never SELECT */
	gboolean compress;  /* use COMPRESS=DEFLATE when offered and the line is no loopback */
	/* How long this machine has slept since it was started, µs; NULL: as the kernel tells.
	 * Thread-safe. */
	gint64 (*slept)(gpointer user);
	gpointer slept_user;
	const PopNumbers *numbers; /* POP3 only, borrowed */
	/* 0: lines are kept. Else a line of which nothing was asked for so long is given back to
	 * the server, and the account counts as online without one. */
	guint linger_ms;
} BackendConfig;

/* What a line tells without being asked. Called on the session's thread; must not block. */
typedef struct {
	/* Something happened in the selected mailbox (EXISTS, EXPUNGE, VANISHED, flags): a SYNC is
	 * worth while. */
	void (*changed)(gpointer user, const char *mailbox);
	void (*alert)(gpointer user,
		      const char *text); /* [ALERT], raw server text: escape before showing */
	/* The numbers of a mailbox: answers to a STATUS request, and what NOTIFY tells. */
	void (*status)(gpointer user, const char *mailbox, const MailboxStatus *status);
	/* Mailboxes came, went or changed their names: a LIST is worth while. */
	void (*folders)(gpointer user);
} BackendNews;

/* Telling of changes in mailboxes that are not selected (RFC 5465). */
typedef enum {
	BACKEND_NOTIFY_OFF,
	BACKEND_NOTIFY_WANTED, /* set by the pool: the next tick() asks for it */
	BACKEND_NOTIFY_ASKED,
	BACKEND_NOTIFY_ON,	/* changes in all personal mailboxes are told */
	BACKEND_NOTIFY_REFUSED, /* not offered, refused, or given up by the server */
} BackendNotify;

typedef struct {
	const char *name; /* "imap", for log lines */
	gboolean parts;	  /* takes REQUEST_PART */

	/* Connects, secures, logs in. Blocks up to timeout_ms a step; @cancel ends it at once.
	 * Errors: those of tls-stream.h; LOGIN (refused: not to be repeated), TOKEN, LIMIT (too
	 * many connections, throttled, [UNAVAILABLE]: try later), PROTOCOL, TIMEOUT. */
	gboolean (*login)(Backend *self, GCancellable *cancel, GError **error);

	/* Takes a request (ownership too) and writes its first commands. Never fails at once:
	 * request_finish() tells. When it needs another mailbox than the selected one, can_start()
	 * said that nothing is under way. */
	void (*start)(Backend *self, Request *request);
	/* May this request be given to this line now? (Its mailbox is selected or nothing is under
	 * way; window not full.) */
	gboolean (*can_start)(const Backend *self, const Request *request);
	/* It never can, but a new line could: this one is to be replaced as soon as nothing is
	 * under way. NULL: there is no such request. */
	gboolean (*needs_new)(const Backend *self, const Request *request);

	/* Bytes may have come: read what is there, parse, answer. FALSE: the line is lost or
	 * broken; free it. */
	gboolean (*receive)(Backend *self, GError **error);

	/* Time passes: enter IDLE when nothing is under way, renew it, ask for NOTIFY, probe,
	 * notice a dead line (TIMEOUT). Returns the monotonic µs at which to be called again at the
	 * latest, -1 for a lost line. */
	gint64 (*tick)(Backend *self, gint64 now, GError **error);

	/* LOGOUT or QUIT, politely: sends, waits at most @timeout_ms. */
	void (*logout)(Backend *self, guint timeout_ms);

	/* Fails what is under way with @error (given with the lost line) and frees. */
	void (*free)(Backend *self, const GError *error);
} BackendOps;

struct Backend {
	const BackendOps *ops;	 /* the first fields of every kind */
	Wire *wire;		 /* NULL before login() */
	guint under_way;	 /* requests started and not finished */
	char *selected;		 /* mailbox, NULL when none */
	GPtrArray *capabilities; /* words, after login */
	const char *mechanism;	 /* what login() tried last: "PLAIN"; static, NULL when nothing */
	/* Push is at work on `selected`: whoever asked for the last SYNC knows all of it, and what
	 * changes from then on is told as news without being asked for. */
	gboolean told;
	gboolean tells; /* it can push, when it has a mailbox selected */
	BackendNotify notify;
	/* Another mailbox may have the name of the selected one by now: it is to be selected anew
	 * before anything is done by that name, or left where there is nothing to do. Set by its
	 * owner; cleared by the backend. */
	gboolean doubtful;
	/* Bodies of the selected mailbox may be asked for soon: where the server has to look for
	 * them first, it is made to when the line rests. Set by the owner; cleared with the
	 * selection. */
	gboolean prime;
	/* The machine has slept: the next tick() asks the server for a sign of life and gives it a
	 * short time only. Cleared by tick(). */
	gboolean probe;
	/* The line has done what it can: as soon as nothing is under way it is to be closed, which
	 * is no failure. Set by the backend, and by its owner. */
	gboolean leave;
	guint login_delay_s; /* the server wants so long between two logins; 0: it does not say */
};

/* How every line begins: connects, and with TLS_IMPLICIT secures. Plain text is refused where it
 * would leave this machine, unless the user has said insecure_plaintext. Blocks, at most timeout_ms
 * a step. Errors: those of tls-stream.h. NULL with an error. (transfer full) */
Wire *backend_open_wire(const BackendConfig *config, GCancellable *cancel, GError **error);

G_END_DECLS
