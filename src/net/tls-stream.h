/* SPDX-License-Identifier: MIT */
/* A TlsStream is one TCP connection, in the clear or inside TLS: the only room that knows OpenSSL.
 * Belongs to one thread at a time. The TlsContext is shared by all lines of an account and
 * thread-safe. RFC 8314 (implicit TLS), RFC 7817 and 6125 (server identity), TLS 1.2 at least. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct TlsContext TlsContext;
typedef struct TlsStream TlsStream;

/**
 * tls_context_new:
 * @ca_file: (nullable): PEM file of trust anchors (roots or not), in addition to the system's
 * @fingerprint: (nullable): "sha256:HEX" (colons between bytes allowed) of the leaf certificate; it
 *   then replaces chain and name check
 *
 * Keeps the newest TLS session of each host:port for resumption by the next connections.
 * Errors: MAILFS_ERROR_CONFIG (unreadable CA file, malformed fingerprint), MAILFS_ERROR_TLS.
 */
TlsContext *tls_context_new(const char *ca_file, const char *fingerprint, GError **error);
void tls_context_free(TlsContext *context); /* after all its streams; NULL is fine */

/**
 * tls_stream_connect: resolves @host and tries its addresses (IPv6 and IPv4) until one answers, as
 * dial() in net/dial.h does. Blocks, at most @timeout_ms; @cancel ends the wait at once. TCP
 * keep-alive and NODELAY are on, the descriptor is close-on-exec and non-blocking.
 * Errors: MAILFS_ERROR_HOST_UNKNOWN, OFFLINE (the text names the last address and its errno),
 * TIMEOUT; G_IO_ERROR_CANCELLED.
 */
TlsStream *tls_stream_connect(const char *host, guint16 port, guint timeout_ms,
			      GCancellable *cancel, GError **error);

/**
 * tls_stream_handshake: starts TLS on a connected stream, now (implicit) or after STARTTLS/STLS.
 * Sends SNI (unless @host is an address), verifies chain and name (or the fingerprint). Blocks, at
 * most @timeout_ms. After a failure the stream is good for nothing but tls_stream_free().
 * Errors: MAILFS_ERROR_TLS (the text says what is wrong with the certificate, gives its SHA-256
 * fingerprint, and names tls-ca / tls-fingerprint as the remedy where they are one), TIMEOUT,
 * OFFLINE; G_IO_ERROR_CANCELLED.
 */
gboolean tls_stream_handshake(TlsStream *stream, TlsContext *context, const char *host,
			      guint16 port, guint timeout_ms, GCancellable *cancel, GError **error);

/* Non-blocking. Read: > 0 bytes; 0 the peer closed (a TLS close without close_notify counts as
 * closed too); -1 with G_IO_ERROR_WOULD_BLOCK or MAILFS_ERROR_OFFLINE. Write: likewise, never 0;
 * SIGPIPE is never raised. */
gssize tls_stream_read(TlsStream *stream, void *buffer, gsize len, GError **error);
gssize tls_stream_write(TlsStream *stream, const void *buffer, gsize len, GError **error);

int tls_stream_fd(const TlsStream *stream); /* borrowed, for poll() */

/* The poll() events to wait for: what TLS itself waits for, and POLLOUT when the caller has bytes
 * to write. */
short tls_stream_poll_events(const TlsStream *stream, gboolean want_write);
gboolean tls_stream_has_pending(const TlsStream *stream); /* bytes that poll() cannot see */

gboolean tls_stream_is_secure(const TlsStream *stream);
gboolean tls_stream_is_loopback(const TlsStream *stream); /* the peer's address is 127/8 or ::1 */

/* "192.0.2.1:993, TLSv1.3, resumed"; "[::1]:143, in the clear" */
const char *tls_stream_describe(const TlsStream *stream);

/* The certificate of the peer, in printable words. */
typedef struct {
	char *subject; /* the hosts it is for; else its subject */
	char *issuer;
	gint64 expires;	   /* seconds since 1970 UTC; 0: unreadable */
	char *fingerprint; /* as tls-fingerprint takes it: "sha256:HEX" */
} TlsCertificate;
/* FALSE in the clear. */
gboolean tls_stream_get_certificate(const TlsStream *stream, TlsCertificate *out);
void tls_certificate_clear(TlsCertificate *certificate);

void tls_stream_free(TlsStream *stream); /* close_notify, close; never blocks; NULL is fine */

#define TLS_SHA256_BYTES 32

/* SHA-256 of @data. Not about TLS, but OpenSSL's uses the processor's own instructions and takes
 * half the time of GLib's, and OpenSSL lives here. */
void tls_sha256(const void *data, gsize len, guint8 digest_out[TLS_SHA256_BYTES]);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TlsContext, tls_context_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TlsStream, tls_stream_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TlsCertificate, tls_certificate_clear)

G_END_DECLS
