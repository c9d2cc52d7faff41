/* SPDX-License-Identifier: MIT */
/* A submission line driven by a test, and a small mail server for it to talk to. (Dialogs that are
 * written out line by line are imap_peer_dialog()'s.) */
#pragma once

#include "peer.h"
#include "proto/smtp.h"

G_BEGIN_DECLS

/* One that is answered otherwise: @command is a pattern for the whole command line, "." the end of
 * DATA, "EHLO" and so on; "connect" the greeting. @reply may be of several lines, with CRLF between
 * them; "!cut", "!reset", "!stall": that instead, and "… !cut": behind it. */
typedef struct {
	const char *command, *reply;
} SmtpAnswer;

/* What it does, set before it is given to a Peer. It keeps to RFC 5321 as far as the answers let
 * it, and wants no login but the one of its EHLO. */
typedef struct {
	const char *offers;	   /* "PIPELINING,SIZE 1000"; NULL: nothing */
	const SmtpAnswer *answers; /* until one without a command; NULL: none */
	gboolean lenient;	   /* lines may end with LF alone */

	/* On its first line the connection ends at the @cut_after-th byte behind the login (0:
	 * never); late: when all that this byte completes is done, but for the answer. */
	gsize cut_after;
	gboolean late, reset;

	GMutex lock; /* guards what follows */
	GCond changed;
	GString *heard;	       /* all bytes of all lines */
	gsize taken;	       /* bytes behind the login */
	gboolean cut;	       /* that has happened */
	GPtrArray *deliveries; /* of char *, "from>to,to:content" */
	GArray *ends; /* of gsize: `taken` at the start of the last line of each delivery */
} SmtpSink;

void smtp_sink_init(SmtpSink *sink);
void smtp_sink_clear(SmtpSink *sink);
void smtp_sink_serve(PeerLine *line, gpointer sink);	    /* a PeerScript */
guint smtp_sink_count(SmtpSink *sink, const char *content); /* deliveries of it; NULL: all */
gboolean smtp_sink_heard(SmtpSink *sink, const char *text);
/* Until it has taken @bytes, or cut the line. */
void smtp_sink_wait(SmtpSink *sink, gsize bytes);

typedef struct SmtpClient SmtpClient;

struct SmtpClient {
	BackendConfig config;
	TlsContext *tls;
	const char *password; /* what the secret is, but for the second time it is "fresh" */
	guint asked;	      /* for the secret */
	SmtpLine *line;
	SmtpReply *refusal;
	GPtrArray *messages; /* of SmtpMessage; `user` is the name */
	guint next;
	GCancellable *cancel;
	const char *halt_at;   /* verdict() says so for this one */
	const char *take_back; /* before() says so for this one */
	void (*hook)(SmtpClient *client, const SmtpMessage *message); /* in before(); NULL: none */
	gpointer user;
	GString *log; /* "before a", "sent a END 250 2.0.0 text", "untouched a OFFLINE" */
};

SmtpClient *smtp_client_new(Peer *peer, TlsMode tls);
/* One whose line is open, to a peer that serves @sink, which is set up here. (transfer full) */
SmtpClient *smtp_client_at_sink(SmtpSink *sink, const char *offers, const SmtpAnswer *answers,
				Peer **peer_out);
void smtp_client_free(SmtpClient *client); /* NULL is fine */
/* From "me@here.example". @recipients: with blanks between them. The content ends with its NUL; for
 * another one, write to the fd. */
SmtpMessage *smtp_client_add(SmtpClient *client, const char *name, const char *recipients,
			     const char *content);
gboolean smtp_client_open(SmtpClient *client, GError **error);
void smtp_client_must_open(SmtpClient *client);
gboolean smtp_client_submit(SmtpClient *client, GError **error);
void smtp_client_assert_log(SmtpClient *client, const char *expected); /* and empties it */

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SmtpSink, smtp_sink_clear)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmtpClient, smtp_client_free)

G_END_DECLS
