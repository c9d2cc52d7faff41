/* SPDX-License-Identifier: MIT */
/* A POP3 server for the scripted peer: a maildrop in memory, and knobs for all that such servers
 * do. And what a client needs besides a line: numbers, in memory too. */
#pragma once

#include "imap-client.h"
#include "proto/pop.h"

G_BEGIN_DECLS

typedef struct {
	/* Set before a session, read by it. */
	gboolean no_capa, no_pipelining, no_uidl, no_top, no_list, keeps_nothing;
	guint64 size_off;      /* LIST tells so much more */
	const char *same_uidl; /* of all messages */
	gboolean numbers_as_uidl;
	guint renamed;	      /* counts: the UIDLs are other ones */
	gboolean locks;	      /* one session at a time; the next is refused */
	guint login_delay;    /* seconds, as CAPA tells */
	const char *refuse;   /* a command: "RETR 2" … */
	const char *refusal;  /* … is answered with this */
	gsize cut_after;      /* octets sent by a session; 0: never */
	const char *cut_at;   /* a command: not answered, the line is cut; QUIT does nothing */
	gboolean quit_anyway; /* it does what it should, but says nothing */

	GMutex lock;	     /* guards what follows */
	GPtrArray *messages; /* of what pop_maildrop_add() was given */
	guint next_name;
	guint tops, retrs, sessions;
	guint open;	   /* sessions that have the maildrop */
	guint busy_logins; /* so many logins are refused: another has it */
	gboolean ahead;	   /* a command came before the one in front of it was answered */
} PopMaildrop;

PopMaildrop *pop_maildrop_new(void);
void pop_maildrop_free(PopMaildrop *drop); /* after the peer */
/* With LF or CRLF line ends; told with CRLF. */
void pop_maildrop_add(PopMaildrop *drop, const char *message);
void pop_maildrop_fill(PopMaildrop *drop, guint n); /* "Subject: message 1" … */
void pop_maildrop_remove(PopMaildrop *drop, guint index);
/* Each is called what the other one was. */
void pop_maildrop_swap_names(PopMaildrop *drop, guint a, guint b);
guint pop_maildrop_open(PopMaildrop *drop); /* sessions just now */
/* "one two": the words behind "Subject: ". (transfer full) */
char *pop_maildrop_subjects(PopMaildrop *drop);

void pop_maildrop_serve(PeerLine *line, gpointer drop); /* a PeerScript */

/* Numbers from 1 on, in memory. */
typedef struct {
	PopNumbers numbers;
	GArray *known;
	guint32 uidvalidity, uidnext;
	guint given, settled;
} PopMemory;

PopMemory *pop_memory_new(void);
void pop_memory_free(PopMemory *memory);

/* A client of it, not logged in. */
ImapClient *pop_client_new(Peer *peer, TlsMode tls, PopMemory *memory);
/* Logs in anew, after leaving politely. */
void pop_client_again(ImapClient *client);
void pop_client_leave(ImapClient *client);
/* A SYNC by one who knows what the last one told (@client->state). */
void pop_client_sync(ImapClient *client);
void pop_client_fetch(ImapClient *client, const char *uids);
void pop_client_expunge(ImapClient *client, const char *uids);

/* One maildrop, who remembers it, and who reads it. */
typedef struct {
	PopMaildrop *drop;
	PopMemory *memory;
	Peer *peer;
	ImapClient *client;
} PopFixture;

void pop_fixture_begin(PopFixture *f, gconstpointer data);
void pop_fixture_end(PopFixture *f, gconstpointer data);
/* Logs in anew; this session is cut after so many octets of the server's. FALSE: before it had
 * logged in. */
gboolean pop_fixture_again_cut(PopFixture *f, gsize octets);
/* The log, without what is the same in all messages, is emptied. */
void pop_fixture_assert_log(PopFixture *f, const char *expected);

#define POP_TEST(suite, name)                                                                      \
	g_test_add("/" suite "/" #name, PopFixture, NULL, pop_fixture_begin, test_##name,          \
		   pop_fixture_end)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PopMaildrop, pop_maildrop_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PopMemory, pop_memory_free)

G_END_DECLS
