/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

enum { PATIENCE_S = 20, PIECE = 16 * 1024 };

struct Peer {
	PeerScript script;
	gpointer user;
	int listener;
	int stop_fd; /* readable once the peer is to end */
	guint16 port;
	GThread *thread;
	GMutex lock; /* guards what follows */
	GCond changed;
	PeerPki *pki;	  /* NULL: not wanted yet */
	GPtrArray *lines; /* PeerLine */
	GString *transcript;
	gsize received;
	guint gone; /* peer_go() not used up yet */
	gboolean stopping;
	gboolean disappointed;
};

struct PeerLine {
	Peer *peer;
	GThread *thread;
	guint number;
	int fd;
	gboolean alive;
	gboolean ended; /* the client has hung up */
	SSL *ssl;
	GByteArray *in; /* read, not consumed */
	char *tag;
	gsize chunk;
	gboolean deflating;
	z_stream inflate, deflate;
};

/* --- what is remembered --- */

static void note(PeerLine *line, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
note(PeerLine *line, const char *format, ...)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&line->peer->lock);
	va_list arguments;

	g_string_append_printf(line->peer->transcript, "%u ", line->number);
	va_start(arguments, format);
	g_string_append_vprintf(line->peer->transcript, format, arguments);
	va_end(arguments);
	g_string_append_c(line->peer->transcript, '\n');
}

static void
hang_up(PeerLine *line)
{
	line->alive = FALSE;
	if (line->fd >= 0)
		close(line->fd);
	line->fd = -1;
}

static void disappoint(PeerLine *line, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
disappoint(PeerLine *line, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_printerr("# peer, connection %u: %s\n", line->number, text);
	g_mutex_lock(&line->peer->lock);
	line->peer->disappointed = TRUE;
	g_mutex_unlock(&line->peer->lock);
	hang_up(line);
}

/* Made when it is first wanted: its keys take longer than most tests. */
static PeerPki *
get_pki(Peer *peer)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&peer->lock);

	if (peer->pki == NULL)
		peer->pki = peer_pki_new();
	return peer->pki;
}

/* --- bytes --- */

/* Waits until the socket can be read, or written. FALSE: not within our patience, or the peer is to
 * end. */
static gboolean
wait_for(PeerLine *line, short events)
{
	struct pollfd fds[2] = {{.fd = line->fd, .events = events},
				{.fd = line->peer->stop_fd, .events = POLLIN}};

	return poll(fds, 2, PATIENCE_S * 1000) > 0 && fds[0].revents != 0;
}

static gssize
raw_read(PeerLine *line, guint8 *buffer, gsize len)
{
	for (;;) {
		gssize n;

		ERR_clear_error();
		n = line->ssl != NULL ? SSL_read(line->ssl, buffer, (int)len)
				      : recv(line->fd, buffer, len, 0);

		if (n > 0)
			return n;
		if (line->ssl != NULL ? SSL_get_error(line->ssl, (int)n) != SSL_ERROR_WANT_READ
				      : n == 0 || errno != EAGAIN)
			return 0;
		if (!wait_for(line, POLLIN))
			return -1;
	}
}

static void
raw_write(PeerLine *line, const guint8 *data, gsize len)
{
	while (len > 0 && line->alive) {
		gsize piece = line->chunk > 0 ? MIN(line->chunk, len) : MIN(len, G_MAXINT);
		gssize n;

		ERR_clear_error();
		n = line->ssl != NULL ? SSL_write(line->ssl, data, (int)piece)
				      : send(line->fd, data, piece, MSG_NOSIGNAL);

		if (n > 0) {
			data += n;
			len -= (gsize)n;
		} else if (line->ssl != NULL
				   ? SSL_get_error(line->ssl, (int)n) != SSL_ERROR_WANT_WRITE
				   : errno != EAGAIN) {
			return; /* the client went away: the next expectation tells */
		} else if (!wait_for(line, POLLOUT)) {
			disappoint(line, "the client does not read");
		}
	}
}

static void
inflate_into(PeerLine *line, guint8 *data, gsize len)
{
	guint8 piece[PIECE];

	line->inflate.next_in = data;
	line->inflate.avail_in = (uInt)len;
	do {
		line->inflate.next_out = piece;
		line->inflate.avail_out = sizeof piece;
		if (inflate(&line->inflate, Z_SYNC_FLUSH) < 0 && line->inflate.avail_in > 0) {
			disappoint(line, "the client's DEFLATE stream is broken");
			return;
		}
		g_byte_array_append(line->in, piece,
				    (guint)(sizeof piece - line->inflate.avail_out));
	} while (line->inflate.avail_out == 0);
}

/* Reads some more into line->in. FALSE: nothing more comes. */
static gboolean
pull(PeerLine *line)
{
	guint before = line->in->len;
	guint8 piece[PIECE];
	gssize n;

	if (!line->alive || line->ended)
		return FALSE;
	n = raw_read(line, piece, sizeof piece);
	if (n <= 0) {
		line->ended = n == 0;
		if (line->ended)
			note(line, "[closed]");
		return FALSE;
	}
	if (line->deflating)
		inflate_into(line, piece, (gsize)n);
	else
		g_byte_array_append(line->in, piece, (guint)n);
	g_mutex_lock(&line->peer->lock);
	line->peer->received += line->in->len - before;
	g_mutex_unlock(&line->peer->lock);
	return TRUE;
}

/* Takes @len bytes of what was read, into the transcript line by line. */
static void
take(PeerLine *line, gsize len)
{
	g_autofree char *text = len > 0 ? g_strndup((const char *)line->in->data, len) : NULL;
	g_auto(GStrv) rows = text != NULL ? g_strsplit(text, "\r\n", -1) : NULL;

	if (rows == NULL)
		return;
	for (gsize i = 0; rows[i] != NULL; i++)
		if (*rows[i] != '\0')
			note(line, "%s", rows[i]);
	g_byte_array_remove_range(line->in, 0, (guint)len);
}

/* --- for scripts --- */

guint
peer_line_number(const PeerLine *line)
{
	return line->number;
}

gboolean
peer_line_alive(const PeerLine *line)
{
	return line->alive;
}

Peer *
peer_line_peer(PeerLine *line)
{
	return line->peer;
}

const char *
peer_tag(const PeerLine *line)
{
	return line->tag;
}

void
peer_remember_tag(PeerLine *line, const char *command)
{
	g_free(line->tag);
	line->tag = g_strndup(command, strcspn(command, " "));
}

char *
peer_read_line(PeerLine *line)
{
	for (;;) {
		const guint8 *end =
			line->in->len > 0 ? memmem(line->in->data, line->in->len, "\r\n", 2) : NULL;

		if (end != NULL) {
			gsize len = (gsize)(end - line->in->data);
			char *text = g_strndup((const char *)line->in->data, len);

			take(line, len + 2);
			return text;
		}
		if (!pull(line))
			return NULL;
	}
}

GBytes *
peer_read_bytes(PeerLine *line, gsize len)
{
	GBytes *bytes;

	while (line->in->len < len && pull(line))
		;
	len = MIN(len, line->in->len);
	bytes = g_bytes_new(line->in->data, len);
	take(line, len);
	return bytes;
}

GBytes *
peer_read_some(PeerLine *line)
{
	if (line->in->len == 0 && !pull(line))
		return g_bytes_new(NULL, 0);
	return peer_read_bytes(line, line->in->len);
}

void
peer_expect(PeerLine *line, const char *pattern)
{
	g_autofree char *text = NULL;
	const char *rest;

	if (!line->alive)
		return;
	text = peer_read_line(line);
	if (text == NULL) {
		disappoint(line, "expected '%s', but the client %s", pattern,
			   line->ended ? "hung up" : "was silent");
		return;
	}
	rest = text;
	if (g_str_has_prefix(pattern, "TAG ")) {
		peer_remember_tag(line, text);
		rest += strlen(line->tag);
		pattern += 3;
	}
	if (!g_pattern_match_simple(pattern, rest))
		disappoint(line, "expected '%s', got '%s'", pattern, text);
}

void
peer_expect_bytes(PeerLine *line, const void *data, gsize len)
{
	g_autoptr(GBytes) wanted = g_bytes_new(data, len);
	g_autoptr(GBytes) got = NULL;

	if (!line->alive)
		return;
	got = peer_read_bytes(line, len);
	if (!g_bytes_equal(wanted, got))
		disappoint(line, "expected %zu other bytes than the %zu that came", len,
			   g_bytes_get_size(got));
}

void
peer_expect_close(PeerLine *line)
{
	if (!line->alive)
		return;
	while (line->in->len == 0 && pull(line))
		;
	if (line->in->len > 0)
		disappoint(line, "expected the end, got '%.*s'", (int)MIN(line->in->len, 200),
			   (const char *)line->in->data);
	else if (!line->ended)
		disappoint(line, "the client did not hang up");
}

void
peer_send_bytes(PeerLine *line, const void *data, gsize len)
{
	z_stream *z = &line->deflate;

	if (!line->alive || len == 0)
		return;
	if (!line->deflating) {
		raw_write(line, data, len);
		return;
	}
	z->next_in = (Bytef *)data;
	z->avail_in = (uInt)len;
	do {
		guint8 piece[PIECE];

		z->next_out = piece;
		z->avail_out = sizeof piece;
		deflate(z, Z_SYNC_FLUSH);
		raw_write(line, piece, sizeof piece - z->avail_out);
	} while (z->avail_out == 0);
}

void
peer_send(PeerLine *line, const char *format, ...)
{
	g_autofree char *text = NULL;
	g_autofree char *whole = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	if (g_str_has_prefix(text, "TAG ") && line->tag != NULL)
		whole = g_strconcat(line->tag, text + 3, "\r\n", NULL);
	else
		whole = g_strconcat(text, "\r\n", NULL);
	peer_send_bytes(line, whole, strlen(whole));
}

void
peer_set_chunk(PeerLine *line, gsize len)
{
	line->chunk = len;
}

static void
note_tls(PeerLine *line)
{
	const char *sni = SSL_get_servername(line->ssl, TLSEXT_NAMETYPE_host_name);

	note(line, "[%s, %s%s%s]", SSL_get_version(line->ssl), sni != NULL ? "SNI " : "no SNI",
	     sni != NULL ? sni : "", SSL_session_reused(line->ssl) ? ", resumed" : "");
}

gboolean
peer_start_tls(PeerLine *line, PeerCert cert)
{
	if (!line->alive)
		return FALSE;
	if (line->in->len > 0) {
		disappoint(line, "the client sent more before TLS: '%.*s'",
			   (int)MIN(line->in->len, 200), (const char *)line->in->data);
		return FALSE;
	}
	line->ssl = SSL_new(peer_pki_context(get_pki(line->peer), cert));
	SSL_set_fd(line->ssl, line->fd);
	SSL_set_mode(line->ssl,
		     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	for (;;) {
		int result;

		ERR_clear_error();
		result = SSL_accept(line->ssl);
		if (result == 1)
			break;
		if (SSL_get_error(line->ssl, result) != SSL_ERROR_WANT_READ ||
		    !wait_for(line, POLLIN)) {
			note(line, "[TLS refused]");
			hang_up(line);
			return FALSE;
		}
	}
	note_tls(line);
	return TRUE;
}

void
peer_start_deflate(PeerLine *line)
{
	g_autoptr(GByteArray) early = NULL;

	if (!line->alive)
		return;
	inflateInit2(&line->inflate, -MAX_WBITS);
	deflateInit2(&line->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8,
		     Z_DEFAULT_STRATEGY);
	line->deflating = TRUE;
	early = line->in;
	line->in = g_byte_array_new();
	if (early->len > 0)
		inflate_into(line, early->data, early->len);
}

void
peer_stop_deflate(PeerLine *line)
{
	if (!line->deflating)
		return;
	line->deflating = FALSE;
	inflateEnd(&line->inflate);
	deflateEnd(&line->deflate);
}

void
peer_pause(PeerLine *line)
{
	Peer *peer = line->peer;
	gint64 deadline = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&peer->lock);

	while (line->alive && peer->gone == 0 && !peer->stopping)
		if (!g_cond_wait_until(&peer->changed, &peer->lock, deadline))
			return;
	if (peer->gone > 0)
		peer->gone--;
}

void
peer_stall(PeerLine *line)
{
	struct pollfd stop = {.fd = line->peer->stop_fd, .events = POLLIN};

	if (line->alive)
		poll(&stop, 1, PATIENCE_S * 1000);
}

void
peer_close(PeerLine *line)
{
	if (line->alive && line->ssl != NULL && SSL_is_init_finished(line->ssl))
		SSL_shutdown(line->ssl);
	hang_up(line);
}

void
peer_cut(PeerLine *line)
{
	hang_up(line);
}

void
peer_reset(PeerLine *line)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (line->alive)
		setsockopt(line->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	hang_up(line);
}

/* --- the server --- */

static gpointer
run_line(gpointer user)
{
	PeerLine *line = user;
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE); /* OpenSSL's own BIO uses write() */
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	line->peer->script(line, line->peer->user);
	peer_close(line);
	take(line, line->in->len);
	return NULL;
}

static void
line_free(gpointer user)
{
	PeerLine *line = user;

	g_thread_join(line->thread);
	SSL_free(line->ssl);
	peer_stop_deflate(line);
	g_byte_array_unref(line->in);
	g_free(line->tag);
	g_free(line);
}

static gpointer
run_peer(gpointer user)
{
	Peer *peer = user;
	struct pollfd fds[2] = {{.fd = peer->listener, .events = POLLIN},
				{.fd = peer->stop_fd, .events = POLLIN}};

	for (;;) {
		int on = 1;
		PeerLine *line;
		int fd;

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents != 0)
			return NULL;
		fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			return NULL; /* peer_close_port() */
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		line = g_new0(PeerLine, 1);
		line->peer = peer;
		line->fd = fd;
		line->alive = TRUE;
		line->in = g_byte_array_new();
		g_mutex_lock(&peer->lock);
		g_ptr_array_add(peer->lines, line);
		line->number = peer->lines->len;
		line->thread = g_thread_new("peer-line", run_line, line);
		g_mutex_unlock(&peer->lock);
	}
}

Peer *
peer_new_on(const char *address, guint16 port, PeerScript script, gpointer user)
{
	gboolean six = strchr(address, ':') != NULL;
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} at = {0};
	socklen_t len = sizeof at;
	Peer *peer;
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.any.sa_family = six ? AF_INET6 : AF_INET;
	if (six)
		at.six.sin6_port = htons(port);
	else
		at.four.sin_port = htons(port);
	inet_pton(at.any.sa_family, address,
		  six ? (void *)&at.six.sin6_addr : (void *)&at.four.sin_addr);
	if (fd < 0 || bind(fd, &at.any, six ? sizeof at.six : sizeof at.four) != 0 ||
	    listen(fd, 64) != 0) {
		close(fd);
		return NULL;
	}
	getsockname(fd, &at.any, &len);
	peer = g_new0(Peer, 1);
	peer->script = script;
	peer->user = user;
	peer->listener = fd;
	peer->stop_fd = eventfd(0, EFD_CLOEXEC);
	peer->port = ntohs(six ? at.six.sin6_port : at.four.sin_port);
	g_mutex_init(&peer->lock);
	g_cond_init(&peer->changed);
	peer->lines = g_ptr_array_new_with_free_func(line_free);
	peer->transcript = g_string_new(NULL);
	peer->thread = g_thread_new("peer", run_peer, peer);
	return peer;
}

Peer *
peer_new(PeerScript script, gpointer user)
{
	Peer *peer = peer_new_on("127.0.0.1", 0, script, user);

	g_assert_nonnull(peer);
	return peer;
}

void
peer_free(Peer *peer)
{
	guint64 one = 1;

	if (peer == NULL)
		return;
	g_mutex_lock(&peer->lock);
	peer->stopping = TRUE;
	g_cond_broadcast(&peer->changed);
	g_mutex_unlock(&peer->lock);
	g_assert_cmpint(write(peer->stop_fd, &one, sizeof one), ==, sizeof one);
	g_thread_join(peer->thread);
	g_ptr_array_unref(peer->lines);
	if (peer->disappointed) {
		g_printerr("# what the clients sent:\n%s", peer->transcript->str);
		g_test_fail();
	}
	close(peer->listener);
	close(peer->stop_fd);
	if (peer->pki != NULL)
		peer_pki_free(peer->pki);
	g_string_free(peer->transcript, TRUE);
	g_cond_clear(&peer->changed);
	g_mutex_clear(&peer->lock);
	g_free(peer);
}

guint16
peer_port(const Peer *peer)
{
	return peer->port;
}

const char *
peer_ca_file(Peer *peer)
{
	return peer_pki_ca_file(get_pki(peer));
}

char *
peer_fingerprint(Peer *peer, PeerCert cert)
{
	return peer_pki_fingerprint(get_pki(peer), cert);
}

guint
peer_connections(Peer *peer)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&peer->lock);

	return peer->lines->len;
}

gsize
peer_received(Peer *peer)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&peer->lock);

	return peer->received;
}

char *
peer_transcript(Peer *peer)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&peer->lock);

	return g_strdup(peer->transcript->str);
}

void
peer_go(Peer *peer)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&peer->lock);

	peer->gone++;
	g_cond_signal(&peer->changed);
}

void
peer_close_port(Peer *peer)
{
	shutdown(peer->listener, SHUT_RDWR);
}
