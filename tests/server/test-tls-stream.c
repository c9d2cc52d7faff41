/* SPDX-License-Identifier: MIT */
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/error.h"
#include "net/tls-stream.h"
#include "peer.h"

enum { PATIENCE_MS = 5000 };

/* --- scripts --- */

typedef struct {
	PeerCert cert;
} Server;

/* One command and one answer inside TLS, if it comes to that. */
static void
serve_tls(PeerLine *line, gpointer user)
{
	const Server *server = user;

	if (!peer_start_tls(line, server->cert))
		return;
	peer_expect(line, "TAG NOOP");
	peer_send(line, "TAG OK");
	peer_expect_close(line);
}

static void
silence(PeerLine *line, gpointer user)
{
	peer_stall(line);
}

/* --- the client's side --- */

static TlsStream *
connect_to(Peer *peer)
{
	g_autoptr(GError) error = NULL;
	TlsStream *stream =
		tls_stream_connect("127.0.0.1", peer_port(peer), PATIENCE_MS, NULL, &error);

	g_assert_no_error(error);
	g_assert_nonnull(stream);
	return stream;
}

static gssize
read_waiting(TlsStream *stream, void *buffer, gsize len, GError **error)
{
	for (;;) {
		g_autoptr(GError) failure = NULL;
		gssize n = tls_stream_read(stream, buffer, len, &failure);
		struct pollfd fd = {.fd = tls_stream_fd(stream)};

		if (n >= 0)
			return n;
		if (!g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
			g_propagate_error(error, g_steal_pointer(&failure));
			return -1;
		}
		fd.events = tls_stream_poll_events(stream, FALSE);
		g_assert_cmpint(poll(&fd, 1, PATIENCE_MS), ==, 1);
	}
}

static void
exchange(TlsStream *stream)
{
	g_autoptr(GError) error = NULL;
	char answer[16] = "";

	g_assert_cmpint(tls_stream_write(stream, "a1 NOOP\r\n", 9, &error), ==, 9);
	g_assert_no_error(error);
	g_assert_cmpint(read_waiting(stream, answer, sizeof answer, &error), ==, 7);
	g_assert_no_error(error);
	g_assert_cmpstr(answer, ==, "a1 OK\r\n");
}

static gboolean
handshake(TlsStream *stream, Peer *peer, TlsContext *context, const char *host, GError **error)
{
	return tls_stream_handshake(stream, context, host, peer_port(peer), PATIENCE_MS, NULL,
				    error);
}

static TlsContext *
context_trusting(Peer *peer)
{
	g_autoptr(GError) error = NULL;
	TlsContext *context = tls_context_new(peer_ca_file(peer), NULL, &error);

	g_assert_no_error(error);
	return context;
}

/* Connects, talks, and says how the stream describes itself. (transfer full) */
static char *
talk(Peer *peer, TlsContext *context, const char *host)
{
	g_autoptr(TlsStream) stream = connect_to(peer);
	g_autoptr(GError) error = NULL;

	handshake(stream, peer, context, host, &error);
	g_assert_no_error(error);
	g_assert_true(tls_stream_is_secure(stream));
	exchange(stream);
	return g_strdup(tls_stream_describe(stream));
}

/* --- tests: certificates --- */

static void
test_a_good_certificate_passes(void)
{
	const char *const hosts[] = {"localhost", "LocalHost", "localhost.", "a.mail.localhost",
				     "127.0.0.1", "::1",       "[::1]"};
	Server server = {PEER_GOOD};
	g_autoptr(Peer) peer = peer_new(serve_tls, &server);

	for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
		g_autoptr(TlsContext) context = context_trusting(peer);
		g_autofree char *description = talk(peer, context, hosts[i]);
		g_autofree char *expected =
			g_strdup_printf("127.0.0.1:%u, TLSv1.3", peer_port(peer));

		g_assert_cmpstr(description, ==, expected);
	}
}

static void
test_the_server_is_told_the_name_but_no_address(void)
{
	Server server = {PEER_GOOD};
	g_autoptr(Peer) peer = peer_new(serve_tls, &server);
	g_autoptr(TlsContext) context = context_trusting(peer);
	g_autofree char *by_name = talk(peer, context, "a.mail.localhost.");
	g_autofree char *by_address = talk(peer, context, "127.0.0.1");
	g_autofree char *transcript = peer_transcript(peer);

	g_assert_true(g_str_has_suffix(by_name, "TLSv1.3"));
	g_assert_true(g_str_has_suffix(by_address, "TLSv1.3"));
	g_assert_nonnull(strstr(transcript, "1 [TLSv1.3, SNI a.mail.localhost]\n"));
	g_assert_nonnull(strstr(transcript, "2 [TLSv1.3, no SNI]\n"));
}

static void
assert_refused(PeerCert cert, const char *host, gboolean trust, const char *text)
{
	Server server = {cert};
	g_autoptr(Peer) peer = peer_new(serve_tls, &server);
	g_autoptr(TlsContext) context =
		trust ? context_trusting(peer) : tls_context_new(NULL, NULL, NULL);
	g_autoptr(TlsStream) stream = connect_to(peer);
	g_autofree char *pin = peer_fingerprint(peer, cert);
	g_autofree char *transcript = NULL;
	g_autoptr(GError) error = NULL;

	g_assert_false(handshake(stream, peer, context, host, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS);
	g_test_message("%s", error->message);
	if (strstr(error->message, text) == NULL)
		g_error("'%s' does not say '%s'", error->message, text);
	if (cert < PEER_N_CERTS) {
		g_assert_nonnull(strstr(error->message, pin));
		g_assert_nonnull(strstr(error->message, "tls-fingerprint="));
	}
	g_assert_false(tls_stream_is_secure(stream));
	g_clear_pointer(&stream, tls_stream_free);
	for (int i = 0; i < 200 && transcript == NULL; i++) {
		transcript = peer_transcript(peer);
		if (*transcript == '\0')
			g_clear_pointer(&transcript, g_free);
		g_usleep(10000);
	}
	g_assert_cmpstr(transcript, ==, "1 [TLS refused]\n");
	g_assert_cmpuint(peer_received(peer), ==, 0);
}

static void
test_bad_certificates_get_no_byte_and_a_helpful_text(void)
{
	assert_refused(PEER_WRONG_NAME, "localhost", TRUE,
		       "is for other.example, not for localhost. Use the name");
	assert_refused(PEER_CN_ONLY, "localhost", TRUE,
		       "names no host (no subjectAltName). The server needs a new one");
	assert_refused(PEER_OTHER_IP, "127.0.0.1", TRUE, "is for 192.0.2.1, not for 127.0.0.1");
	assert_refused(PEER_DEEP_WILDCARD, "a.b.mail.localhost", TRUE,
		       "is for *.mail.localhost, not for a.b.mail.localhost");
	assert_refused(PEER_EXPIRED, "localhost", TRUE, "has expired (good until 2");
	assert_refused(PEER_FUTURE, "localhost", TRUE, "is not valid yet (good from 2");
	assert_refused(PEER_SELF_SIGNED, "localhost", TRUE, "tls-ca=FILE");
	assert_refused(PEER_UNKNOWN_CA, "localhost", TRUE,
		       "is issued by /CN=Somebody Else's CA, which is not trusted here");
	assert_refused(PEER_GOOD, "localhost", FALSE,
		       "is issued by /CN=Test CA, which is not trusted here");
	assert_refused(PEER_GOOD, "localhost.evil.example", TRUE, "not for localhost.evil.example");
	assert_refused(PEER_GOOD, "mail.localhost", TRUE, "not for mail.localhost");
	assert_refused(PEER_GOOD, "127.0.0.2", TRUE, "not for 127.0.0.2");
}

static void
test_wildcard_of_the_deep_case_is_no_empty_test(void)
{
	Server server = {PEER_DEEP_WILDCARD};
	g_autoptr(Peer) peer = peer_new(serve_tls, &server);
	g_autoptr(TlsContext) context = context_trusting(peer);
	g_autofree char *description = talk(peer, context, "b.mail.localhost");

	g_assert_nonnull(description);
}

static void
test_tls_1_1_is_refused(void)
{
	assert_refused(PEER_GOOD | PEER_TLS_1_1, "localhost", TRUE, "knows no TLS 1.2 or newer");
}

static void
test_a_pin_replaces_chain_and_name(void)
{
	const PeerCert certs[] = {PEER_GOOD, PEER_WRONG_NAME, PEER_SELF_SIGNED, PEER_UNKNOWN_CA,
				  PEER_EXPIRED};

	for (gsize i = 0; i < G_N_ELEMENTS(certs); i++) {
		Server server = {certs[i]};
		g_autoptr(Peer) peer = peer_new(serve_tls, &server);
		g_autofree char *pin = peer_fingerprint(peer, certs[i]);
		g_autoptr(TlsContext) context = tls_context_new(NULL, pin, NULL);
		g_autofree char *first = talk(peer, context, "no.such.name");
		g_autofree char *second = talk(peer, context, "no.such.name");

		g_assert_false(g_str_has_suffix(first, "resumed"));
		g_assert_true(g_str_has_suffix(second, "resumed"));
	}
}

static void
test_a_pin_may_be_written_with_colons_and_capitals(void)
{
	Server server = {PEER_SELF_SIGNED};
	g_autoptr(Peer) peer = peer_new(serve_tls, &server);
	g_autofree char *pin = peer_fingerprint(peer, PEER_SELF_SIGNED);
	g_autoptr(GString) spelled = g_string_new("SHA256:");
	g_autoptr(TlsContext) context = NULL;
	g_autofree char *description = NULL;

	for (const char *p = pin + strlen("sha256:"); *p != '\0'; p += 2)
		g_string_append_printf(spelled, "%s%c%c", p == pin + 7 ? "" : ":",
				       g_ascii_toupper(p[0]), g_ascii_toupper(p[1]));
	context = tls_context_new(NULL, spelled->str, NULL);
	g_assert_nonnull(context);
	description = talk(peer, context, "localhost");
}

static void
test_another_certificate_than_the_pinned_one_is_refused_however_good(void)
{
	Server server = {PEER_GOOD};
	g_autoptr(Peer) peer = peer_new(serve_tls, &server);
	g_autofree char *pin = peer_fingerprint(peer, PEER_SELF_SIGNED);
	g_autofree char *shown = peer_fingerprint(peer, PEER_GOOD);
	g_autoptr(TlsContext) context = tls_context_new(peer_ca_file(peer), pin, NULL);
	g_autoptr(TlsStream) stream = connect_to(peer);
	g_autoptr(GError) error = NULL;

	g_assert_false(handshake(stream, peer, context, "localhost", &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS);
	g_assert_nonnull(strstr(error->message, "is not the one that tls-fingerprint pins"));
	g_assert_nonnull(strstr(error->message, shown));
	g_assert_cmpuint(peer_received(peer), ==, 0);
}

static void
test_bad_settings_are_config_errors(void)
{
	static const char *const pins[] = {
		"",
		"sha256:",
		"sha1:0011223344556677889900112233445566778899",
		"0011223344556677889900112233445566778899001122334455667788990011",
		"sha256:001122334455667788990011223344556677889900112233445566778899001",
		"sha256:00112233445566778899001122334455667788990011223344556677889900112",
		"sha256:0:011223344556677889900112233445566778899001122334455667788990011",
		"sha256:00112233445566778899001122334455667788990011223344556677889900zz",
	};
	g_autoptr(GError) no_file = NULL;
	g_autoptr(GError) no_certificate = NULL;
	g_autofree char *path = NULL;

	for (gsize i = 0; i < G_N_ELEMENTS(pins); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(tls_context_new(NULL, pins[i], &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
	}
	g_assert_null(tls_context_new("/nonexistent/ca.pem", NULL, &no_file));
	g_assert_error(no_file, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
	g_assert_nonnull(strstr(no_file->message, "/nonexistent/ca.pem: No such file"));
	g_close(g_file_open_tmp("mailfs-test-XXXXXX", &path, NULL), NULL);
	g_assert_null(tls_context_new(path, NULL, &no_certificate));
	g_assert_error(no_certificate, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
	g_unlink(path);
}

/* --- tests: resumption --- */

static void
assert_resumes(PeerCert cert)
{
	Server server = {cert};
	g_autoptr(Peer) peer = peer_new(serve_tls, &server);
	g_autoptr(TlsContext) context = context_trusting(peer);
	g_autoptr(TlsContext) other_account = context_trusting(peer);
	g_autofree char *transcript = NULL;

	for (int i = 0; i < 4; i++) {
		g_autofree char *description = talk(peer, context, "localhost");

		g_assert_cmpint(g_str_has_suffix(description, ", resumed"), ==, i > 0);
	}
	for (int i = 0; i < 2; i++) {
		const char *host = i == 0 ? "a.mail.localhost" : "localhost";
		g_autofree char *description = talk(peer, i == 0 ? context : other_account, host);

		g_assert_false(g_str_has_suffix(description, "resumed"));
	}
	transcript = peer_transcript(peer);
	g_assert_nonnull(strstr(transcript, ", resumed]\n"));
}

static void
test_the_next_connection_to_the_same_host_resumes(void)
{
	assert_resumes(PEER_GOOD);
	assert_resumes(PEER_GOOD | PEER_TLS_1_2);
}

static void
drop_line(PeerLine *line, gpointer user)
{
	peer_start_tls(line, PEER_GOOD);
	peer_expect(line, "TAG NOOP");
	peer_send(line, "TAG OK");
	peer_pause(line);
	peer_reset(line);
}

static void
test_a_line_that_ended_badly_leaves_its_session(void)
{
	g_autoptr(Peer) peer = peer_new(drop_line, NULL);
	g_autoptr(TlsContext) context = context_trusting(peer);

	for (int i = 0; i < 2; i++) {
		g_autoptr(TlsStream) stream = connect_to(peer);
		g_autoptr(GError) error = NULL;
		char byte;

		g_assert_true(handshake(stream, peer, context, "localhost", &error));
		g_assert_cmpint(g_str_has_suffix(tls_stream_describe(stream), ", resumed"), ==,
				i > 0);
		exchange(stream);
		peer_go(peer);
		g_assert_cmpint(read_waiting(stream, &byte, 1, &error), ==, -1);
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
	}
}

/* --- tests: servers that do not speak TLS, or not at all --- */

static void
greet_in_the_clear(PeerLine *line, gpointer user)
{
	peer_send(line, "* OK IMAP4rev1 ready, and no TLS on this port");
	peer_stall(line);
}

static void
test_a_server_without_tls_on_this_port_is_told_as_such(void)
{
	g_autoptr(Peer) peer = peer_new(greet_in_the_clear, NULL);
	g_autoptr(TlsContext) context = context_trusting(peer);
	g_autoptr(TlsStream) stream = connect_to(peer);
	g_autoptr(GError) error = NULL;

	g_assert_false(handshake(stream, peer, context, "localhost", &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS);
	g_assert_nonnull(strstr(error->message, "does not speak TLS here"));
}

static void
hang_up_at_once(PeerLine *line, gpointer user)
{
	peer_pause(line); /* not before the client is connected */
	if (peer_line_number(line) == 2)
		peer_reset(line);
}

static void
test_a_hang_up_during_the_handshake_is_offline(void)
{
	g_autoptr(Peer) peer = peer_new(hang_up_at_once, NULL);
	g_autoptr(TlsContext) context = context_trusting(peer);

	for (int i = 0; i < 2; i++) {
		g_autoptr(TlsStream) stream = connect_to(peer);
		g_autoptr(GError) error = NULL;

		peer_go(peer);
		g_assert_false(handshake(stream, peer, context, "localhost", &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
	}
}

static void
test_a_stalled_handshake_times_out_in_time(void)
{
	g_autoptr(Peer) peer = peer_new(silence, NULL);
	g_autoptr(TlsContext) context = context_trusting(peer);
	g_autoptr(TlsStream) stream = connect_to(peer);
	g_autoptr(GError) error = NULL;
	gint64 start = g_get_monotonic_time();
	gint64 took;

	g_assert_false(tls_stream_handshake(stream, context, "localhost", 1, 300, NULL, &error));
	took = g_get_monotonic_time() - start;
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT);
	g_assert_cmpint(took, >=, 300 * 1000);
	g_assert_cmpint(took, <, 1500 * 1000);
}

/* Returns when it cancelled, in microseconds. */
static gpointer
cancel_soon(gpointer cancel)
{
	gint64 now;

	g_usleep(100 * 1000);
	now = g_get_monotonic_time();
	g_cancellable_cancel(cancel);
	return GSIZE_TO_POINTER(now);
}

static void
test_cancel_ends_a_stalled_handshake_within_100_ms(void)
{
	g_autoptr(Peer) peer = peer_new(silence, NULL);
	g_autoptr(TlsContext) context = context_trusting(peer);
	g_autoptr(TlsStream) stream = connect_to(peer);
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	g_autoptr(GError) error = NULL;
	GThread *thread = g_thread_new("cancel", cancel_soon, cancel);
	gint64 ended;

	g_assert_false(
		tls_stream_handshake(stream, context, "localhost", 1, 20000, cancel, &error));
	ended = g_get_monotonic_time();
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	g_assert_cmpint(ended - (gint64)GPOINTER_TO_SIZE(g_thread_join(thread)), <, 100 * 1000);
}

/* --- tests: the stream --- */

static void
close_variously(PeerLine *line, gpointer user)
{
	guint number = peer_line_number(line);

	if (number > 2)
		peer_start_tls(line, PEER_GOOD);
	peer_expect(line, "TAG NOOP");
	peer_send(line, "TAG OK");
	if (number % 2 == 0)
		peer_cut(line); /* no close_notify */
}

static void
test_every_kind_of_close_reads_as_0_after_the_bytes(void)
{
	g_autoptr(Peer) peer = peer_new(close_variously, NULL);
	g_autoptr(TlsContext) context = context_trusting(peer);

	for (int i = 1; i <= 4; i++) {
		g_autoptr(TlsStream) stream = connect_to(peer);
		g_autoptr(GError) error = NULL;
		char byte;

		g_assert_true(i <= 2 || handshake(stream, peer, context, "localhost", &error));
		exchange(stream);
		g_assert_cmpint(read_waiting(stream, &byte, 1, &error), ==, 0);
		g_assert_no_error(error);
		g_assert_cmpint(tls_stream_read(stream, &byte, 1, &error), ==, 0);
	}
}

static void
reset_variously(PeerLine *line, gpointer user)
{
	if (peer_line_number(line) == 2)
		peer_start_tls(line, PEER_GOOD);
	peer_pause(line);
	peer_reset(line);
}

static void
test_writing_to_a_dead_line_is_an_error_and_no_sigpipe(void)
{
	g_autoptr(Peer) peer = peer_new(reset_variously, NULL);
	g_autoptr(TlsContext) context = context_trusting(peer);

	signal(SIGPIPE, SIG_DFL);
	for (int i = 1; i <= 2; i++) {
		g_autoptr(TlsStream) stream = connect_to(peer);
		g_autoptr(GError) error = NULL;
		gssize n = 1;

		if (i == 2)
			g_assert_true(handshake(stream, peer, context, "localhost", &error));
		peer_go(peer);
		for (int j = 0; j < 100 && n > 0; j++) {
			g_usleep(10000);
			g_clear_error(&error);
			n = tls_stream_write(stream, "a1 NOOP\r\n", 9, &error);
		}
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
		g_clear_error(&error);
		g_assert_cmpint(tls_stream_write(stream, "x", 1, &error), ==,
				-1); /* now EPIPE for sure */
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
	}
}

static void
two_records(PeerLine *line, gpointer user)
{
	peer_start_tls(line, PEER_GOOD);
	peer_send_bytes(line, "12345678", 8);
	peer_send_bytes(line, "90", 2);
	peer_expect_close(line);
}

static void
test_pending_tells_what_poll_cannot_see(void)
{
	g_autoptr(Peer) peer = peer_new(two_records, NULL);
	g_autoptr(TlsContext) context = context_trusting(peer);
	g_autoptr(TlsStream) stream = connect_to(peer);
	g_autoptr(GError) error = NULL;
	char buffer[16];

	g_assert_false(tls_stream_has_pending(stream));
	g_assert_true(handshake(stream, peer, context, "localhost", &error));
	g_usleep(50000);
	g_assert_cmpint(read_waiting(stream, buffer, 1, &error), ==, 1);
	g_assert_true(tls_stream_has_pending(stream));
	for (int have = 1; have < 10;)
		have += (int)read_waiting(stream, buffer, sizeof buffer, &error);
	g_assert_cmpint(tls_stream_read(stream, buffer, 1, &error), ==, -1);
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
	g_assert_false(tls_stream_has_pending(stream));
	g_assert_cmpint(tls_stream_poll_events(stream, FALSE), ==, POLLIN);
	g_assert_cmpint(tls_stream_poll_events(stream, TRUE), ==, POLLIN | POLLOUT);
}

static void
tls_and_silence(PeerLine *line, gpointer user)
{
	peer_start_tls(line, PEER_GOOD);
	peer_stall(line);
}

static void
test_freeing_a_stuffed_line_does_not_block(void)
{
	g_autoptr(Peer) peer = peer_new(tls_and_silence, NULL);
	g_autoptr(TlsContext) context = context_trusting(peer);
	g_autoptr(TlsStream) stream = connect_to(peer);
	g_autoptr(GError) error = NULL;
	static const char block[16 * 1024];
	gint64 start;

	g_assert_true(handshake(stream, peer, context, "localhost", &error));
	while (tls_stream_write(stream, block, sizeof block, &error) > 0)
		;
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
	start = g_get_monotonic_time();
	g_clear_pointer(&stream, tls_stream_free);
	g_assert_cmpint(g_get_monotonic_time() - start, <, 100 * 1000);
}

static void
test_a_stream_in_the_clear_says_so(void)
{
	g_autoptr(Peer) peer = peer_new(silence, NULL);
	g_autoptr(TlsStream) stream = connect_to(peer);
	g_autofree char *expected = g_strdup_printf("127.0.0.1:%u, in the clear", peer_port(peer));

	g_assert_false(tls_stream_is_secure(stream));
	g_assert_true(tls_stream_is_loopback(stream));
	g_assert_cmpstr(tls_stream_describe(stream), ==, expected);
}

/* Lines of one account connect at the same time and share the context: TSan's and ASan's to judge.
 */
static gpointer
talk_often(gpointer user)
{
	gpointer *pair = user;

	for (int i = 0; i < 10; i++)
		g_free(talk(pair[0], pair[1], "localhost"));
	return NULL;
}

static void
test_many_threads_share_one_context(void)
{
	Server server = {PEER_GOOD};
	g_autoptr(Peer) peer = peer_new(serve_tls, &server);
	g_autoptr(TlsContext) context = context_trusting(peer);
	gpointer pair[2] = {peer, context};
	GThread *threads[4];

	for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("talk", talk_often, pair);
	for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	g_assert_cmpuint(peer_connections(peer), ==, 40);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(sentence, function) g_test_add_func("/tls-stream/" sentence, function)
	ADD("a-good-certificate-passes", test_a_good_certificate_passes);
	ADD("the-server-is-told-the-name-but-no-address",
	    test_the_server_is_told_the_name_but_no_address);
	ADD("bad-certificates-get-no-byte-and-a-helpful-text",
	    test_bad_certificates_get_no_byte_and_a_helpful_text);
	ADD("wildcard-of-the-deep-case-is-no-empty-test",
	    test_wildcard_of_the_deep_case_is_no_empty_test);
	ADD("tls-1.1-is-refused", test_tls_1_1_is_refused);
	ADD("a-pin-replaces-chain-and-name", test_a_pin_replaces_chain_and_name);
	ADD("a-pin-may-be-written-with-colons-and-capitals",
	    test_a_pin_may_be_written_with_colons_and_capitals);
	ADD("another-certificate-than-the-pinned-one-is-refused-however-good",
	    test_another_certificate_than_the_pinned_one_is_refused_however_good);
	ADD("bad-settings-are-config-errors", test_bad_settings_are_config_errors);
	ADD("the-next-connection-to-the-same-host-resumes",
	    test_the_next_connection_to_the_same_host_resumes);
	ADD("a-line-that-ended-badly-leaves-its-session",
	    test_a_line_that_ended_badly_leaves_its_session);
	ADD("a-server-without-tls-on-this-port-is-told-as-such",
	    test_a_server_without_tls_on_this_port_is_told_as_such);
	ADD("a-hang-up-during-the-handshake-is-offline",
	    test_a_hang_up_during_the_handshake_is_offline);
	ADD("a-stalled-handshake-times-out-in-time", test_a_stalled_handshake_times_out_in_time);
	ADD("cancel-ends-a-stalled-handshake-within-100-ms",
	    test_cancel_ends_a_stalled_handshake_within_100_ms);
	ADD("every-kind-of-close-reads-as-0-after-the-bytes",
	    test_every_kind_of_close_reads_as_0_after_the_bytes);
	ADD("writing-to-a-dead-line-is-an-error-and-no-sigpipe",
	    test_writing_to_a_dead_line_is_an_error_and_no_sigpipe);
	ADD("pending-tells-what-poll-cannot-see", test_pending_tells_what_poll_cannot_see);
	ADD("freeing-a-stuffed-line-does-not-block", test_freeing_a_stuffed_line_does_not_block);
	ADD("a-stream-in-the-clear-says-so", test_a_stream_in_the_clear_says_so);
	ADD("many-threads-share-one-context", test_many_threads_share_one_context);
#undef ADD
	return g_test_run();
}
