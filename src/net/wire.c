/* SPDX-License-Identifier: MIT */
/* Input: the stream -> (raw -> inflate ->) window. Output: (fresh -> deflate ->) out -> the stream.
 *
 * The window is a 256 KiB view that slides through a buffer of twice that size. It is moved back to
 * the start only when it has slid past the middle, so that a byte is moved at most once, however
 * small the pieces consumed. */
#include "net/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <zlib.h>

#include "base/error.h"
#include "base/util.h"

enum {
	WINDOW = 256 * 1024, /* large: what a file is given at once, it keeps in large pages */
	BUFFER = 2 * WINDOW,
	QUEUE_KEPT = 256 * 1024, /* a queue that grew beyond is given back when empty */
};

typedef struct {
	GByteArray *bytes;
	gsize start; /* what lies before it is sent */
} Queue;

/* RFC 4978, both directions. */
typedef struct {
	z_stream inflate, deflate;
	guint8 raw[WINDOW]; /* came in, not inflated yet */
	gsize raw_start, raw_end;
	gboolean more_inside; /* the inflater may hold output without further input */
	GByteArray *fresh;    /* to be deflated by the next flush */
} Deflater;

struct Wire {
	TlsStream *stream;
	guint8 *buffer;
	gsize start, end; /* the window */
	Queue out;
	Deflater *deflater; /* NULL: the bytes travel as they are */
	GError *lost;	    /* why nothing more can be read */
	GError *unsent;	    /* why nothing more can be sent */
	gboolean turned;    /* something was sent since the last read */
	WireCounters counters;
};

static void
deflater_free(Deflater *deflater)
{
	if (deflater == NULL)
		return;
	inflateEnd(&deflater->inflate);
	deflateEnd(&deflater->deflate);
	g_byte_array_unref(deflater->fresh);
	g_free(deflater);
}

Wire *
wire_new(TlsStream *stream)
{
	Wire *wire = g_new0(Wire, 1);

	wire->stream = stream;
	wire->buffer = g_malloc(BUFFER);
	wire->out.bytes = g_byte_array_new();
	return wire;
}

void
wire_free(Wire *wire)
{
	if (wire == NULL)
		return;
	deflater_free(wire->deflater);
	tls_stream_free(wire->stream);
	g_byte_array_unref(wire->out.bytes);
	g_clear_error(&wire->lost);
	g_clear_error(&wire->unsent);
	g_free(wire->buffer);
	g_free(wire);
}

static gboolean
report(const GError *kept, GError **error)
{
	if (error != NULL)
		*error = g_error_copy(kept);
	return FALSE;
}

/* --- sending --- */

static gsize
queue_length(const Queue *queue)
{
	return queue->bytes->len - queue->start;
}

/* Passwords pass through here: what is sent is wiped. */
static void
queue_sent(Queue *queue, gsize n)
{
	util_wipe(queue->bytes->data + queue->start, n);
	queue->start += n;
	if (queue_length(queue) == 0) {
		if (queue->bytes->len > QUEUE_KEPT) {
			g_byte_array_unref(queue->bytes);
			queue->bytes = g_byte_array_new();
		}
		g_byte_array_set_size(queue->bytes, 0);
		queue->start = 0;
	} else if (queue->start > QUEUE_KEPT && queue->start > queue->bytes->len / 2) {
		g_byte_array_remove_range(queue->bytes, 0, (guint)queue->start);
		queue->start = 0;
	}
}

void
wire_send(Wire *wire, const void *data, gsize len)
{
	if (wire->unsent != NULL || wire->lost != NULL)
		return;
	g_byte_array_append(wire->deflater != NULL ? wire->deflater->fresh : wire->out.bytes, data,
			    (guint)len);
}

gsize
wire_unsent(const Wire *wire)
{
	return queue_length(&wire->out) + (wire->deflater != NULL ? wire->deflater->fresh->len : 0);
}

gsize
wire_unacknowledged(const Wire *wire)
{
	int in_kernel = 0;

	if (ioctl(tls_stream_fd(wire->stream), TIOCOUTQ, &in_kernel) < 0)
		in_kernel = 0;
	return wire_unsent(wire) + (gsize)MAX(in_kernel, 0);
}

void
wire_acknowledge(Wire *wire)
{
	int one = 1;

	if (setsockopt(tls_stream_fd(wire->stream), IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one) <
	    0)
		g_debug("TCP_QUICKACK: %s", g_strerror(errno));
}

static void
deflate_fresh(Wire *wire)
{
	Deflater *deflater = wire->deflater;
	z_stream *z = &deflater->deflate;

	z->next_in = deflater->fresh->data;
	z->avail_in = deflater->fresh->len;
	do {
		guint8 piece[16 * 1024];

		z->next_out = piece;
		z->avail_out = sizeof piece;
		deflate(z, Z_SYNC_FLUSH);
		g_byte_array_append(wire->out.bytes, piece, (guint)(sizeof piece - z->avail_out));
	} while (z->avail_out == 0);
	util_wipe(deflater->fresh->data, deflater->fresh->len);
	g_byte_array_set_size(deflater->fresh, 0);
}

gboolean
wire_flush(Wire *wire, GError **error)
{
	if (wire->lost != NULL)
		return report(wire->lost, error);
	if (wire->deflater != NULL && wire->deflater->fresh->len > 0)
		deflate_fresh(wire);
	while (wire->unsent == NULL && queue_length(&wire->out) > 0) {
		g_autoptr(GError) failure = NULL;
		gssize n = tls_stream_write(wire->stream, wire->out.bytes->data + wire->out.start,
					    queue_length(&wire->out), &failure);

		if (n > 0) {
			queue_sent(&wire->out, (gsize)n);
			wire->counters.bytes_out += (guint64)n;
			wire->turned = TRUE;
			continue;
		}
		if (g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
			break;
		/* What the server said before it hung up, a BYE mostly, is still to be read:
		 * wire_fill() tells. */
		wire->unsent = g_steal_pointer(&failure);
		queue_sent(&wire->out, queue_length(&wire->out));
	}
	return TRUE;
}

/* --- receiving --- */

static gsize
window_length(const Wire *wire)
{
	return wire->end - wire->start;
}

/* Room for new bytes after the window, as much as the window may still grow. */
static gsize
make_room(Wire *wire)
{
	if (wire->start > BUFFER - WINDOW) {
		memmove(wire->buffer, wire->buffer + wire->start, window_length(wire));
		wire->end -= wire->start;
		wire->start = 0;
	}
	return WINDOW - window_length(wire);
}

/* Reads once. 0: nothing there, or wire->lost is set. */
static gsize
read_once(Wire *wire, guint8 *to, gsize room)
{
	g_autoptr(GError) failure = NULL;
	gssize n = tls_stream_read(wire->stream, to, room, &failure);

	if (n > 0) {
		wire->counters.bytes_in += (guint64)n;
		wire->counters.round_trips += wire->turned ? 1 : 0;
		wire->turned = FALSE;
		return (gsize)n;
	}
	if (n == 0)
		g_set_error_literal(&wire->lost, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
				    "the server closed the connection");
	else if (!g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
		wire->lost = g_steal_pointer(&failure);
	else if (wire->unsent != NULL)
		wire->lost = g_steal_pointer(&wire->unsent);
	return 0;
}

/* Reads until @room is full or nothing more is there. A short read tells that without another call.
 */
static gsize
read_all(Wire *wire, guint8 *to, gsize room)
{
	gsize done = 0;

	while (done < room) {
		gsize n = read_once(wire, to + done, room - done);

		done += n;
		if (n == 0 || (done < room && !tls_stream_has_pending(wire->stream)))
			break;
	}
	return done;
}

/* Inflates what there is into @room; a broken stream becomes wire->lost. */
static gsize
inflate_some(Wire *wire, guint8 *to, gsize room)
{
	Deflater *deflater = wire->deflater;
	z_stream *z = &deflater->inflate;
	int result;

	z->next_in = deflater->raw + deflater->raw_start;
	z->avail_in = (uInt)(deflater->raw_end - deflater->raw_start);
	z->next_out = to;
	z->avail_out = (uInt)room;
	result = inflate(z, Z_SYNC_FLUSH);
	deflater->raw_start = deflater->raw_end - z->avail_in;
	deflater->more_inside = z->avail_out == 0;
	if (result != Z_OK && result != Z_BUF_ERROR) {
		g_clear_error(&wire->lost);
		g_set_error(&wire->lost, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
			    "the compressed stream %s%s%s",
			    result == Z_STREAM_END ? "ended" : "is broken",
			    z->msg != NULL ? ": " : "", z->msg != NULL ? z->msg : "");
		deflater->raw_start = deflater->raw_end;
		deflater->more_inside = FALSE;
	}
	return room - z->avail_out;
}

static gboolean
has_raw(const Wire *wire)
{
	const Deflater *deflater = wire->deflater;

	return deflater != NULL &&
	       (deflater->more_inside || deflater->raw_start < deflater->raw_end);
}

static gsize
read_inflated(Wire *wire, guint8 *to, gsize room)
{
	Deflater *deflater = wire->deflater;
	gsize done = 0;

	while (done < room) {
		if (!has_raw(wire)) {
			if (wire->lost != NULL)
				break;
			deflater->raw_start = 0;
			deflater->raw_end = read_all(wire, deflater->raw, sizeof deflater->raw);
			if (deflater->raw_end == 0)
				break;
		}
		done += inflate_some(wire, to + done, room - done);
	}
	return done;
}

gssize
wire_fill(Wire *wire, GError **error)
{
	gsize room = make_room(wire);
	gsize added = 0;

	if (room == 0)
		return 0;
	if (wire->deflater != NULL)
		added = read_inflated(wire, wire->buffer + wire->end, room);
	else if (wire->lost == NULL)
		added = read_all(wire, wire->buffer + wire->end, room);
	wire->end += added;
	if (added == 0 && wire->lost != NULL) {
		report(wire->lost, error);
		return -1;
	}
	return (gssize)added;
}

const guint8 *
wire_peek(const Wire *wire, gsize *len_out)
{
	*len_out = window_length(wire);
	return wire->buffer + wire->start;
}

void
wire_consume(Wire *wire, gsize len)
{
	g_return_if_fail(len <= window_length(wire));

	wire->start += len;
	if (wire->start == wire->end)
		wire->start = wire->end = 0;
}

/* --- waiting --- */

static int
ms_until(gint64 deadline_us)
{
	gint64 left;

	if (deadline_us < 0)
		return -1;
	left = deadline_us - g_get_monotonic_time();
	return left <= 0 ? 0 : (int)MIN((left + 999) / 1000, G_MAXINT);
}

gboolean
wire_wait(Wire *wire, int wake_fd, gint64 deadline_us, GError **error)
{
	struct pollfd fds[2] = {{.fd = tls_stream_fd(wire->stream)},
				{.fd = wake_fd, .events = POLLIN}};
	gboolean full = window_length(wire) == WINDOW;
	gboolean alive = wire_flush(wire, NULL);

	if (!full && has_raw(wire))
		return TRUE;
	if (!alive)
		return report(wire->lost, error);
	if (!full && (wire->unsent != NULL || tls_stream_has_pending(wire->stream)))
		return TRUE;
	fds[0].events = tls_stream_poll_events(wire->stream, wire_unsent(wire) > 0);
	if (full) {
		/* Nobody makes room: only sending is of interest, and a hang-up must not wake us
		 * again and again. */
		fds[0].events = POLLOUT;
		if (wire_unsent(wire) == 0)
			fds[0].fd = -1;
	}
	while (poll(fds, G_N_ELEMENTS(fds), ms_until(deadline_us)) < 0 && errno == EINTR)
		;
	if (wire_unsent(wire) > 0 && fds[0].revents != 0)
		return wire_flush(wire, error);
	return TRUE;
}

/* --- changes of the line --- */

gboolean
wire_start_tls(Wire *wire, TlsContext *context, const char *host, guint16 port, guint timeout_ms,
	       GCancellable *cancel, GError **error)
{
	g_return_val_if_fail(wire->deflater == NULL && wire_unsent(wire) == 0, FALSE);

	if (window_length(wire) == 0 && wire->lost == NULL)
		wire->end += read_once(wire, wire->buffer, WINDOW);
	if (window_length(wire) > 0) {
		g_set_error(
			error, MAILFS_ERROR, MAILFS_ERROR_TLS,
			"%s port %u sent text between its consent to TLS and TLS itself: somebody "
			"on the way "
			"may be forging answers; use TLS from the first byte (imaps, pop3s, smtps)",
			host, port);
		return FALSE;
	}
	if (wire->lost != NULL)
		return report(wire->lost, error);
	return tls_stream_handshake(wire->stream, context, host, port, timeout_ms, cancel, error);
}

gboolean
wire_start_deflate(Wire *wire, GError **error)
{
	Deflater *deflater;

	g_return_val_if_fail(wire->deflater == NULL, FALSE);

	deflater = g_new0(Deflater, 1);
	deflater->fresh = g_byte_array_new();
	if (inflateInit2(&deflater->inflate, -MAX_WBITS) != Z_OK ||
	    deflateInit2(&deflater->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		deflater_free(deflater);
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED,
				    "zlib cannot be set up");
		return FALSE;
	}
	deflater->raw_end = window_length(wire);
	memcpy(deflater->raw, wire->buffer + wire->start, deflater->raw_end);
	wire->start = wire->end = 0;
	wire->deflater = deflater;
	return TRUE;
}

TlsStream *
wire_stream(Wire *wire)
{
	return wire->stream;
}

WireCounters
wire_counters(const Wire *wire)
{
	return wire->counters;
}
