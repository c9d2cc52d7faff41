/* SPDX-License-Identifier: MIT */
/* A Wire is the byte line of one session: a TlsStream with an input window, an output queue,
 * DEFLATE when both sides want it, and counters. It knows nothing of protocols. One thread at a
 * time. */
#pragma once

#include "net/tls-stream.h"

G_BEGIN_DECLS

typedef struct Wire Wire;

typedef struct {
	guint64 bytes_in, bytes_out; /* inside TLS, before inflating, after deflating */
	guint64 round_trips;	     /* times the line turned from writing to reading */
} WireCounters;

Wire *wire_new(TlsStream *stream); /* takes ownership of @stream */
void wire_free(Wire *wire);	   /* NULL is fine */

/* Queues bytes for sending, without bound and without I/O. wire_flush() tries to send what is
 * queued; what is sent is wiped from the queue. */
void wire_send(Wire *wire, const void *data, gsize len);
gsize wire_unsent(const Wire *wire); /* bytes still queued */
/* Those, and what the kernel has taken and the other side has not acknowledged yet. */
gsize wire_unacknowledged(const Wire *wire);

/* The kernel likes to put off its acknowledgements, by 40 ms, and many a server does not send the
 * last of an answer before the first of it was acknowledged. Where nothing is sent meanwhile that
 * could carry one: now. */
void wire_acknowledge(Wire *wire);

/* Non-blocking; FALSE only when wire_fill() has met the end of the line (MAILFS_ERROR_OFFLINE). A
 * line lost while sending is reported by wire_fill(), after what the server said before it hung up
 * (a BYE, mostly). */
gboolean wire_flush(Wire *wire, GError **error);

/**
 * wire_fill: reads what the socket has, into a window of 256 KiB that keeps what was not consumed.
 * Non-blocking.
 *
 * Returns: bytes added (after inflating); 0 when nothing is there or the window is full; -1 when
 * the line is lost or the peer closed (MAILFS_ERROR_OFFLINE), or the compressed stream is broken
 * (MAILFS_ERROR_PROTOCOL). A close is reported only after all bytes before it were handed out.
 */
gssize wire_fill(Wire *wire, GError **error);
const guint8 *wire_peek(const Wire *wire,
			gsize *len_out); /* the window; good until the next call */
void wire_consume(Wire *wire, gsize len);

/**
 * wire_wait: flushes, then sleeps until bytes can be read, queued bytes could be sent, @wake_fd (or
 * -1) is readable, or the monotonic time @deadline_us (-1: none) has come. Returns at once when
 * bytes are already waiting inside TLS or the inflater. While the window is full nothing is read,
 * so arriving bytes end no wait. It does not read @wake_fd.
 *
 * Returns: FALSE when the line is lost. Reaching the deadline is TRUE: the caller looks at the
 * clock.
 */
gboolean wire_wait(Wire *wire, int wake_fd, gint64 deadline_us, GError **error);

/**
 * wire_start_tls: the handshake of STARTTLS and STLS. Bytes that came before it are an attack (RFC
 * 3501 6.2.1; "NO STARTTLS"): any in the window, or readable without TLS, fail with
 * MAILFS_ERROR_TLS. Otherwise as tls_stream_handshake(). Nothing may be queued.
 */
gboolean wire_start_tls(Wire *wire, TlsContext *context, const char *host, guint16 port,
			guint timeout_ms, GCancellable *cancel, GError **error);

/* RFC 4978: raw DEFLATE in both directions from the next byte on (bytes already in the window are
 * compressed ones). */
gboolean wire_start_deflate(Wire *wire, GError **error);

TlsStream *wire_stream(Wire *wire); /* borrowed */
WireCounters wire_counters(const Wire *wire);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Wire, wire_free)

G_END_DECLS
