/* SPDX-License-Identifier: MIT */
/* Certificates made when the test runs: a CA, and a good or a bad one for each way to go wrong. */
#pragma once

#include <glib.h>
#include <openssl/ssl.h>

G_BEGIN_DECLS

typedef struct PeerPki PeerPki;

typedef enum {
	PEER_GOOD,	    /* localhost, *.mail.localhost, 127.0.0.1, ::1 */
	PEER_WRONG_NAME,    /* other.example */
	PEER_CN_ONLY,	    /* CN=localhost, no subjectAltName */
	PEER_OTHER_IP,	    /* 192.0.2.1 only */
	PEER_DEEP_WILDCARD, /* *.mail.localhost only: nothing for a.b.mail.localhost */
	PEER_EXPIRED,
	PEER_FUTURE,
	PEER_SELF_SIGNED,
	PEER_UNKNOWN_CA,
	PEER_N_CERTS,
	PEER_TLS_1_1 = 1 << 8, /* or'ed: the only version the server speaks */
	PEER_TLS_1_2 = 1 << 9,
} PeerCert;

PeerPki *peer_pki_new(void);
void peer_pki_free(PeerPki *pki); /* removes its file */
const char *peer_pki_ca_file(const PeerPki *pki);
char *peer_pki_fingerprint(PeerPki *pki, PeerCert cert); /* "sha256:…" (transfer full) */

/* What a server of that certificate uses; the same one each time, so that sessions can be resumed.
 * Thread-safe. Borrowed. */
SSL_CTX *peer_pki_context(PeerPki *pki, PeerCert cert);

G_END_DECLS
