/* SPDX-License-Identifier: MIT */
/* Discover: which IMAP server serves an address. SRV records (RFC 6186, RFC 8314), then a short
 * list of big providers, then the names people give their servers. All questions are asked at once.
 */
#pragma once

#include <gio/gio.h>

#include "proto/backend.h"

G_BEGIN_DECLS

typedef struct {
	char *host;
	guint16 port;
	TlsMode tls;	  /* never TLS_NONE */
	gboolean foreign; /* DNS named a host outside the address's domain: RFC 6186 6 wants the
			     user asked */
} Discovered;

/**
 * discover_imap:
 * @address: "alice@example.org"
 *
 * Blocks, at most @timeout_ms.
 * Errors: MAILFS_ERROR_USAGE (no address), HOST_UNKNOWN (the text lists what was tried), TIMEOUT.
 */
gboolean discover_imap(const char *address, guint timeout_ms, GCancellable *cancel, Discovered *out,
		       GError **error);
void discovered_clear(Discovered *discovered);

/* The pure part, for tests. @imaps, @imap: GSrvTarget lists, NULL: none. @names: the conventional
 * names, in order of preference, that DNS knows. FALSE: nothing. */
gboolean discover_choose(const char *domain, GList *imaps, GList *imap, const GStrv names,
			 Discovered *out);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Discovered, discovered_clear)

G_END_DECLS
