/* SPDX-License-Identifier: MIT */
/* A scripted mail server on loopback, for tests. A script is plain C and runs once for each
 * connection, in a thread of its own, while the test runs the client:
 *
 *	static void
 *	one_login(PeerLine *line, gpointer user)
 *	{
 *		peer_start_tls(line, PEER_GOOD);         // here: implicit TLS; further down:
 *STARTTLS peer_send(line, "* OK ready");           // printf; CRLF is added peer_expect(line, "TAG
 *CAPABILITY");     // TAG: any tag, remembered; * and ?: wildcards peer_send(line, "* CAPABILITY
 *IMAP4rev1"); peer_send(line, "TAG OK done");          // TAG: the one remembered last
 *		peer_expect(line, "TAG LOGIN *");
 *		peer_send_bytes(line, "* BYE", 5);       // exactly these bytes
 *		peer_reset(line);                        // at the end of the script: peer_close()
 *	}
 *
 *	g_autoptr(Peer) peer = peer_new(one_login, NULL);
 *	g_autoptr(TlsContext) tls = tls_context_new(peer_ca_file(peer), NULL, NULL);
 *	… connect to "localhost", peer_port(peer) …
 *	g_assert_cmpuint(peer_received(peer), ==, 0);
 *
 * An expectation that is not met is printed, ends the line, makes the rest of the script do
 * nothing, and fails the test in peer_free(): declare the Peer before the client, so that it is
 * freed after it. No wait lasts over 20 s. A script must not call g_assert: it does not run in the
 * test's thread. */
#pragma once

#include <glib.h>

#include "peer-cert.h"

G_BEGIN_DECLS

typedef struct Peer Peer;
typedef struct PeerLine PeerLine;
typedef void (*PeerScript)(PeerLine *line, gpointer user);

Peer *peer_new(PeerScript script, gpointer user); /* listens on 127.0.0.1 */

/* Elsewhere: "::1", "127.0.0.2"; @port 0: any free one. NULL: not possible here. */
Peer *peer_new_on(const char *address, guint16 port, PeerScript script, gpointer user);

/* Ends all waiting, joins the scripts, fails the test if one was disappointed. NULL is fine. */
void peer_free(Peer *peer);

guint16 peer_port(const Peer *peer);
const char *peer_ca_file(Peer *peer); /* for tls-ca; it signed all but _UNKNOWN_CA, _SELF_SIGNED */
char *peer_fingerprint(Peer *peer, PeerCert cert); /* "sha256:…" (transfer full) */

guint peer_connections(Peer *peer); /* accepted so far */
gsize
peer_received(Peer *peer); /* application bytes read from all clients; TLS's own not counted */

/* What the scripts read from the clients, a line each: "1 a1 NOOP"; and what befell the lines:
 * "1 [TLSv1.3, SNI localhost, resumed]", "1 [TLS refused]", "1 [closed]". (transfer full) */
char *peer_transcript(Peer *peer);

void peer_go(Peer *peer);	  /* lets one peer_pause() go on, this or the next one */
void peer_close_port(Peer *peer); /* new connections are refused; the lines live on */

/* --- for scripts --- */

guint peer_line_number(const PeerLine *line); /* 1 for the first connection */
gboolean peer_line_alive(const PeerLine *line);
Peer *peer_line_peer(PeerLine *line);

void peer_expect(PeerLine *line, const char *pattern);
void peer_expect_bytes(PeerLine *line, const void *data, gsize len);
void peer_expect_close(PeerLine *line); /* the client hangs up without another byte */

/* Without CRLF; NULL when no more comes, which disappoints nobody. (transfer full) */
char *peer_read_line(PeerLine *line);
GBytes *peer_read_bytes(PeerLine *line, gsize len);	     /* fewer at the end. (transfer full) */
GBytes *peer_read_some(PeerLine *line);			     /* none at the end. (transfer full) */
const char *peer_tag(const PeerLine *line);		     /* good until the next peer_expect() */
void peer_remember_tag(PeerLine *line, const char *command); /* of a peer_read_line() */

void peer_send(PeerLine *line, const char *format, ...) G_GNUC_PRINTF(2, 3);
void peer_send_bytes(PeerLine *line, const void *data, gsize len);
void peer_set_chunk(PeerLine *line, gsize len); /* at most so many bytes a segment; 0: any */

/* FALSE: the client refused, which disappoints nobody; the line is over. */
gboolean peer_start_tls(PeerLine *line, PeerCert cert);
void peer_start_deflate(PeerLine *line); /* RFC 4978, from the next byte on */
void peer_stop_deflate(PeerLine *line);	 /* no client expects that */

void peer_pause(PeerLine *line); /* until peer_go() */
void peer_stall(PeerLine *line); /* says and reads nothing until peer_free() */
void peer_close(PeerLine *line); /* politely */
void peer_cut(PeerLine *line);	 /* without a word of TLS */
void peer_reset(PeerLine *line); /* RST */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Peer, peer_free)

G_END_DECLS
