/* SPDX-License-Identifier: MIT */
/* From a host's name to a connected socket. */
#pragma once

#include <gio/gio.h>
#include <poll.h>

G_BEGIN_DECLS

/**
 * dial: resolves @host and tries its addresses until one answers (RFC 8305): in the resolver's
 * order, each 250 ms after the one before, or as soon as that one has failed. Blocks, at most
 * @timeout_ms; @cancel ends the wait at once.
 * @address_out: (out) (transfer full): the address that answered
 *
 * Errors: MAILFS_ERROR_HOST_UNKNOWN, OFFLINE (the text names the last address and its errno),
 * TIMEOUT; G_IO_ERROR_CANCELLED.
 *
 * Returns: (transfer full): a descriptor: non-blocking, close-on-exec, with keep-alive, a bound on
 * what is not acknowledged (two minutes) and NODELAY; or -1
 */
int dial(const char *host, guint16 port, guint timeout_ms, GCancellable *cancel,
	 GInetSocketAddress **address_out, GError **error);

/* The first half of it: @host's addresses, in the order in which dial() tries them; at least one.
 * Errors: as those of dial(). (transfer full) (element-type GSocketAddress) */
GPtrArray *dial_addresses(const char *host, guint16 port, guint timeout_ms, GCancellable *cancel,
			  GError **error);

/* "[::1]" and "example.org." as "::1" and "example.org"; names beyond ASCII as DNS spells them.
 * NULL: this can be no host. (transfer full) */
char *dial_plain_host(const char *host);

/* poll() until @deadline_us (monotonic) over @n entries, the last of which is filled with @cancel's
 * descriptor here. May return early with nothing ready. FALSE: cancelled. */
gboolean dial_poll(struct pollfd *fds, nfds_t n, gint64 deadline_us, GCancellable *cancel,
		   GError **error);

G_END_DECLS
