/* SPDX-License-Identifier: MIT */
/* An IMAP backend driven by a test, and a scripted peer whose script is a list of lines:
 *
 *	"<a UID FETCH 1:* *"   a command must come; its tag is called a from now on; * and ? are
 *wildcards
 *	"=DONE"                a line without a tag must come
 *	">* 3 EXISTS"          sent; CRLF is added
 *	">a OK done"           sent with the tag that was called a
 *	"!tls" "!self-signed" "!deflate" "!pause" "!stall" "!close" "!cut" "!end"    see peer.h;
 *"!end": the client hangs up
 *
 * What the backend tells is written down, a line an event. */
#pragma once

#include "peer.h"
#include "proto/imap.h"

G_BEGIN_DECLS

typedef struct {
	BackendConfig config;
	Backend *backend;
	Backend *(*backend_new)(const BackendConfig *config, const BackendNews *news,
				gpointer user);
	TlsContext *tls;
	const char *password; /* what the secret is, but for the second time it is "fresh" */
	guint asked;	      /* for the secret */
	GString *log;	      /* events of requests */
	GString *news;	      /* "changed INBOX", "alert TEXT" */
	gboolean hears_all;   /* and "status INBOX …", "folders" */
	gboolean finished;
	GError *error;	    /* of the last request */
	MailboxState state; /* of the last request that told one */
	gboolean unwanted;  /* body_open() refuses */
} ImapClient;

typedef const char *const Dialog[];

/* A PeerScript; @user is a NULL-terminated list of lines. */
void imap_peer_dialog(PeerLine *line, gpointer user);

/* The usual beginning of a dialog with TLS_NONE and AUTH_AUTO; what is offered after login is the
 * macro's text. */
#define IMAP_PEER_LOGIN(offered)                                                                   \
	">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+] ready",                          \
		"<a AUTHENTICATE PLAIN AHUAc2VjcmV0",                                              \
		">a OK [CAPABILITY IMAP4rev1 LITERAL+" offered "] in"

/* What a change of INBOX begins with after that login. */
#define IMAP_PEER_SELECTED                                                                         \
	"=m2 SELECT \"INBOX\"", ">* 9 EXISTS", ">* OK [UIDVALIDITY 7]", ">m2 OK [READ-WRITE] in"

ImapClient *imap_client_new(Peer *peer, TlsMode tls);
/* The same for another protocol, whose dialogs have lines with "=" where IMAP's have "<". */
ImapClient *imap_client_new_of(Peer *peer, TlsMode tls,
			       Backend *(*backend_new)(const BackendConfig *config,
						       const BackendNews *news, gpointer user));
/* A new backend in place of the one it has, or had. */
void imap_client_renew(ImapClient *client);
void imap_client_free(ImapClient *client); /* NULL is fine */
gboolean imap_client_login(ImapClient *client, GError **error);
void imap_client_must_login(ImapClient *client);

/* Its events are written to the log. (transfer full) */
Request *imap_client_request(ImapClient *client, RequestKind kind, const char *mailbox);
Request *imap_client_fetch(ImapClient *client, const char *mailbox, guint32 uidvalidity,
			   const char *uids);
/* One that changes, for an account that may; with UIDVALIDITY 7. (transfer full) */
Request *imap_client_change(ImapClient *client, RequestKind kind, const char *mailbox,
			    const char *uids, const char *target);
/* Takes the request; waits until it is done, or the line is lost, which ends it too. */
void imap_client_run(ImapClient *client, Request *request);
void imap_client_start(ImapClient *client, Request *request);
/* Until nothing is under way; FALSE: the line is lost, the backend freed. */
gboolean imap_client_finish(ImapClient *client, GError **error);
/* Reads for a while, or until @until has become TRUE. */
gboolean imap_client_pump(ImapClient *client, guint ms, const gboolean *until, GError **error);
/* Until there is news. */
void imap_client_wait_news(ImapClient *client);
void imap_client_assert_log(ImapClient *client, const char *expected); /* and empties it */
/* @kind of @uids against @dialog; its log must be @expected. */
void imap_assert_change(Dialog dialog, RequestKind kind, const char *uids, const char *target,
			const char *expected);

/* A peer and a client that has logged in to it, in plain text. */
typedef struct {
	Peer *peer;
	ImapClient *client;
} ImapLine;

ImapLine imap_line_new(PeerScript script, gconstpointer user);
void imap_line_end(ImapLine *line);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapClient, imap_client_free)

G_END_DECLS
