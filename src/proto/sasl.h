/* SPDX-License-Identifier: MIT */
/* The client side of a SASL exchange (RFC 4422). Challenge mechanisms are Cyrus libsasl2's,
 * one-line mechanisms (PLAIN, LOGIN, XOAUTH2, OAUTHBEARER) our own. Used by IMAP, POP3 and SMTP. An
 * exchange belongs to one thread. */
#pragma once

#include "proto/backend.h"

G_BEGIN_DECLS

typedef struct SaslExchange SaslExchange;

/**
 * sasl_exchange_new:
 * @service: "imap", "pop", "smtp"
 * @offered: (element-type utf8): mechanism names the server offers, in any case
 * @auth: what the user asked for; AUTH_AUTO picks the strongest of the offered ones that can work:
 * with a token OAUTHBEARER then XOAUTH2, with a password SCRAM-SHA-256, CRAM-MD5 (only without TLS:
 * under TLS PLAIN lets the server keep salted passwords), PLAIN, LOGIN; GSSAPI only when asked for
 * @secret: (nullable): password or token; copied, wiped on free. NULL only for GSSAPI
 * @secure: the line is inside TLS
 *
 * Errors: MAILFS_ERROR_LOGIN when nothing fits (the text lists what the server offers), INVALID
 * when the user name or token holds a control character.
 */
SaslExchange *sasl_exchange_new(const char *service, const char *host, guint16 port,
				GPtrArray *offered, AuthMechanism auth, gboolean is_token,
				const char *user, const char *secret, gboolean secure,
				GError **error);
void sasl_exchange_free(SaslExchange *exchange); /* NULL is fine */
const char *sasl_exchange_mechanism(const SaslExchange *exchange);

/* The answer to a challenge, both base64 (RFC 4648). @challenge NULL: the initial response; NULL
 * with no error when the mechanism has none. Wipe with util_free_secret(). Errors:
 * MAILFS_ERROR_PROTOCOL (no base64, one challenge too many), LOGIN (libsasl2 refuses: the server
 * did not prove itself, no Kerberos ticket). */
char *sasl_exchange_step(SaslExchange *exchange, const char *challenge, GError **error);

/* After the server's OK: did the server prove itself where the mechanism asks for it (SCRAM)?
 * Errors: MAILFS_ERROR_LOGIN. */
gboolean sasl_exchange_finish(SaslExchange *exchange, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SaslExchange, sasl_exchange_free)

G_END_DECLS
