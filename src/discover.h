/* SPDX-License-Identifier: MIT */
/* Discover: which server has the mail of an address. SRV records for IMAP (RFC 6186, RFC 8314),
 * then a short list of big providers, then SRV records for POP3, then the names people give their
 * IMAP servers. All questions are asked at once. */
#pragma once

#include <gio/gio.h>

#include "proto/backend.h"

G_BEGIN_DECLS

typedef struct {
	char *host;
	guint16 port;
	TlsMode tls;	  /* never TLS_NONE */
	gboolean pop;	  /* it speaks POP3, and no IMAP server is known */
	gboolean foreign; /* DNS named a host outside the address's domain: RFC 6186 6 wants the
			     user asked */
} Discovered;

/**
 * discover_server:
 * @address: "alice@example.org"
 *
 * Blocks, at most @timeout_ms.
 * Errors: MAILFS_ERROR_USAGE (no address), HOST_UNKNOWN (the text lists what was tried), TIMEOUT.
 */
gboolean discover_server(const char *address, guint timeout_ms, GCancellable *cancel,
			 Discovered *out, GError **error);
void discovered_clear(Discovered *discovered);

/* What DNS has said of a domain: lists of GSrvTarget, NULL: none. */
typedef struct {
	GList *imaps, *imap, *pop3s, *pop3;
} DiscoverRecords;

/* The pure part, for tests. @names: the conventional names, in order of preference, that DNS knows.
 * FALSE: nothing. */
gboolean discover_choose(const char *domain, const DiscoverRecords *records, const GStrv names,
			 Discovered *out);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Discovered, discovered_clear)

G_END_DECLS
