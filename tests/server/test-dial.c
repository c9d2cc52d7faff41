/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "net/dial.h"
#include "peer.h"

/* --- a name server of ours: "silent…" gets no answer, "none…" no address, anything else what the
 * test says --- */

#define TEST_TYPE_RESOLVER (test_resolver_get_type())
G_DECLARE_FINAL_TYPE(TestResolver, test_resolver, TEST, RESOLVER, GResolver)

struct _TestResolver {
	GResolver parent;
	const char *const *addresses;
};

G_DEFINE_FINAL_TYPE(TestResolver, test_resolver, G_TYPE_RESOLVER)

static void
lookup_silent(GCancellable *cancel, gpointer task)
{
	g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_CANCELLED, "cancelled");
	g_object_unref(task);
}

static void
test_resolver_lookup(GResolver *resolver, const char *host, GCancellable *cancel,
		     GAsyncReadyCallback done, gpointer user)
{
	GTask *task = g_task_new(resolver, cancel, done, user);
	GList *found = NULL;

	if (g_str_has_prefix(host, "silent")) {
		g_cancellable_connect(cancel, G_CALLBACK(lookup_silent), task, NULL);
		return;
	}
	for (gsize i = 0; TEST_RESOLVER(resolver)->addresses[i] != NULL; i++)
		found = g_list_append(found, g_inet_address_new_from_string(
						     TEST_RESOLVER(resolver)->addresses[i]));
	if (g_str_has_prefix(host, "none")) {
		g_list_free_full(g_steal_pointer(&found), g_object_unref);
		g_task_return_new_error(task, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND,
					"no such host");
	} else if (found == NULL) {
		g_task_return_new_error(task, G_RESOLVER_ERROR, G_RESOLVER_ERROR_TEMPORARY_FAILURE,
					"SERVFAIL");
	} else {
		g_task_return_pointer(task, found, NULL);
	}
	g_object_unref(task);
}

static GList *
test_resolver_finish(GResolver *resolver, GAsyncResult *result, GError **error)
{
	return g_task_propagate_pointer(G_TASK(result), error);
}

static void
test_resolver_class_init(TestResolverClass *class)
{
	GResolverClass *resolver = G_RESOLVER_CLASS(class);

	resolver->lookup_by_name_async = test_resolver_lookup;
	resolver->lookup_by_name_finish = test_resolver_finish;
}

static void
test_resolver_init(TestResolver *resolver)
{
}

static void
answer_with(const char *const *addresses)
{
	g_autoptr(GResolver) resolver = g_object_new(TEST_TYPE_RESOLVER, NULL);

	TEST_RESOLVER(resolver)->addresses = addresses;
	g_resolver_set_default(resolver);
}

/* --- a port that never answers: its queue is full, and Linux drops what comes then --- */

enum { FILLERS = 4 };

typedef struct {
	int listener;
	int fillers[FILLERS];
	guint16 port;
} BlackHole;

static void
black_hole_open(BlackHole *hole)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;

	hole->listener = socket(AF_INET, SOCK_STREAM, 0);
	g_assert_cmpint(bind(hole->listener, (struct sockaddr *)&at, sizeof at), ==, 0);
	g_assert_cmpint(listen(hole->listener, 0), ==, 0);
	getsockname(hole->listener, (struct sockaddr *)&at, &len);
	hole->port = ntohs(at.sin_port);
	for (int i = 0; i < FILLERS; i++) {
		hole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(hole->fillers[i], (struct sockaddr *)&at, sizeof at);
	}
	g_usleep(20000);
}

static void
black_hole_close(BlackHole *hole)
{
	for (int i = 0; i < FILLERS; i++)
		close(hole->fillers[i]);
	close(hole->listener);
}

static void
say_hello(PeerLine *line, gpointer user)
{
	peer_send(line, "hello");
	peer_expect_close(line);
}

static void
silence(PeerLine *line, gpointer user)
{
	peer_stall(line);
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

/* --- tests --- */

static void
test_a_numeric_address_needs_no_name_server(void)
{
	g_autoptr(Peer) peer = peer_new(say_hello, NULL);
	g_autoptr(GInetSocketAddress) address = NULL;
	g_autoptr(GError) error = NULL;
	g_auto(UtilFd) fd = -1;
	int value = 0;
	socklen_t len = sizeof value;

	answer_with((const char *const[]){NULL});
	fd = dial("127.0.0.1", peer_port(peer), 5000, NULL, &address, &error);
	g_assert_no_error(error);
	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
	g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
	g_assert_cmpint(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), ==, 0);
	g_assert_cmpint(value, !=, 0);
	value = 0;
	g_assert_cmpint(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len), ==, 0);
	g_assert_cmpint(value, !=, 0);
	g_assert_cmpuint(g_inet_socket_address_get_port(address), ==, peer_port(peer));
}

static void
test_an_ipv6_address_may_stand_in_brackets(void)
{
	g_autoptr(Peer) peer = peer_new_on("::1", 0, say_hello, NULL);
	const char *const spellings[] = {"::1", "[::1]", "0:0::1"};

	if (peer == NULL) {
		g_test_skip("no IPv6 on this machine's loopback");
		return;
	}
	for (gsize i = 0; i < G_N_ELEMENTS(spellings); i++) {
		g_autoptr(GInetSocketAddress) address = NULL;
		g_autoptr(GError) error = NULL;
		g_auto(UtilFd) fd =
			dial(spellings[i], peer_port(peer), 5000, NULL, &address, &error);

		g_assert_no_error(error);
		g_assert_cmpint(fd, >=, 0);
	}
}

static void
test_localhost_is_tried_by_ipv6_and_ipv4(void)
{
	const char *const hosts[] = {"localhost", "localhost.", "LOCALHOST"};
	g_autoptr(Peer) peer = peer_new(say_hello, NULL); /* 127.0.0.1 only */

	for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
		g_autoptr(GInetSocketAddress) address = NULL;
		g_autoptr(GError) error = NULL;
		g_auto(UtilFd) fd = dial(hosts[i], peer_port(peer), 5000, NULL, &address, &error);

		g_assert_no_error(error);
		g_assert_cmpint(fd, >=, 0);
	}
}

static void
test_a_refused_port_is_offline_and_names_the_address(void)
{
	g_autoptr(Peer) peer = peer_new(silence, NULL);
	g_autoptr(GInetSocketAddress) address = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree char *expected = NULL;

	peer_close_port(peer);
	g_usleep(20000);
	g_assert_cmpint(dial("127.0.0.1", peer_port(peer), 5000, NULL, &address, &error), ==, -1);
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
	expected = g_strdup_printf(
		"cannot connect to 127.0.0.1 port %u: 127.0.0.1:%u: Connection refused",
		peer_port(peer), peer_port(peer));
	g_assert_cmpstr(error->message, ==, expected);
	g_assert_null(address);
}

static void
test_an_unknown_host_is_told_apart_from_a_failing_name_server(void)
{
	const char *const hosts[] = {"none.example", "fails.example"};
	const int codes[] = {MAILFS_ERROR_HOST_UNKNOWN, MAILFS_ERROR_OFFLINE};

	answer_with((const char *const[]){NULL});
	for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
		g_autoptr(GInetSocketAddress) address = NULL;
		g_autoptr(GError) error = NULL;

		g_assert_cmpint(dial(hosts[i], 993, 5000, NULL, &address, &error), ==, -1);
		g_assert_error(error, MAILFS_ERROR, codes[i]);
		g_assert_nonnull(strstr(error->message, hosts[i]));
	}
}

static void
test_what_can_be_no_host_is_unknown(void)
{
	const char *const hosts[] = {"", ".", "none\xff.example"};

	answer_with((const char *const[]){NULL});
	for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
		g_autoptr(GInetSocketAddress) address = NULL;
		g_autoptr(GError) error = NULL;

		g_assert_cmpint(dial(hosts[i], 993, 5000, NULL, &address, &error), ==, -1);
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_HOST_UNKNOWN);
	}
}

static void
test_the_next_address_is_tried_before_the_first_one_timed_out(void)
{
	g_autoptr(GInetSocketAddress) address = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(Peer) peer = NULL;
	g_auto(UtilFd) fd = -1;
	gint64 start;
	BlackHole hole;

	/* 127.0.0.2 takes connections at the hole's port, 127.0.0.1 does not answer there. */
	black_hole_open(&hole);
	peer = peer_new_on("127.0.0.2", hole.port, say_hello, NULL);
	answer_with((const char *const[]){"127.0.0.1", "127.0.0.2", NULL});
	start = g_get_monotonic_time();
	fd = dial("two.example", hole.port, 20000, NULL, &address, &error);
	g_assert_no_error(error);
	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(g_get_monotonic_time() - start, <, 2 * G_USEC_PER_SEC);
	black_hole_close(&hole);
}

static void
test_a_silent_port_times_out_in_time(void)
{
	g_autoptr(GInetSocketAddress) address = NULL;
	g_autoptr(GError) error = NULL;
	gint64 start;
	gint64 took;
	BlackHole hole;

	black_hole_open(&hole);
	start = g_get_monotonic_time();
	g_assert_cmpint(dial("127.0.0.1", hole.port, 300, NULL, &address, &error), ==, -1);
	took = g_get_monotonic_time() - start;
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT);
	g_assert_cmpint(took, >=, 300 * 1000);
	g_assert_cmpint(took, <, 1500 * 1000);
	black_hole_close(&hole);
}

static void
test_a_silent_name_server_times_out_in_time(void)
{
	g_autoptr(GInetSocketAddress) address = NULL;
	g_autoptr(GError) error = NULL;
	gint64 start = g_get_monotonic_time();

	answer_with((const char *const[]){NULL});
	g_assert_cmpint(dial("silent.example", 993, 300, NULL, &address, &error), ==, -1);
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT);
	g_assert_cmpint(g_get_monotonic_time() - start, <, 1500 * 1000);
}

static void
assert_cancel_ends(const char *host, guint16 port)
{
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	g_autoptr(GInetSocketAddress) address = NULL;
	g_autoptr(GError) error = NULL;
	GThread *thread = g_thread_new("cancel", cancel_soon, cancel);
	gint64 ended;

	g_assert_cmpint(dial(host, port, 20000, cancel, &address, &error), ==, -1);
	ended = g_get_monotonic_time();
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	g_assert_cmpint(ended - (gint64)GPOINTER_TO_SIZE(g_thread_join(thread)), <, 100 * 1000);
}

static void
test_cancel_ends_the_wait_within_100_ms(void)
{
	BlackHole hole;

	answer_with((const char *const[]){NULL});
	assert_cancel_ends("silent.example", 993);
	black_hole_open(&hole);
	assert_cancel_ends("127.0.0.1", hole.port);
	black_hole_close(&hole);
}

static void
test_a_cancelled_cancellable_connects_nowhere(void)
{
	g_autoptr(Peer) peer = peer_new(silence, NULL);
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	g_autoptr(GInetSocketAddress) address = NULL;
	g_autoptr(GError) error = NULL;

	g_cancellable_cancel(cancel);
	g_assert_cmpint(dial("127.0.0.1", peer_port(peer), 5000, cancel, &address, &error), ==, -1);
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	g_assert_cmpuint(peer_connections(peer), ==, 0);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(sentence, function) g_test_add_func("/dial/" sentence, function)
	ADD("a-numeric-address-needs-no-name-server", test_a_numeric_address_needs_no_name_server);
	ADD("an-ipv6-address-may-stand-in-brackets", test_an_ipv6_address_may_stand_in_brackets);
	ADD("localhost-is-tried-by-ipv6-and-ipv4", test_localhost_is_tried_by_ipv6_and_ipv4);
	ADD("a-refused-port-is-offline-and-names-the-address",
	    test_a_refused_port_is_offline_and_names_the_address);
	ADD("an-unknown-host-is-told-apart-from-a-failing-name-server",
	    test_an_unknown_host_is_told_apart_from_a_failing_name_server);
	ADD("what-can-be-no-host-is-unknown", test_what_can_be_no_host_is_unknown);
	ADD("the-next-address-is-tried-before-the-first-one-timed-out",
	    test_the_next_address_is_tried_before_the_first_one_timed_out);
	ADD("a-silent-port-times-out-in-time", test_a_silent_port_times_out_in_time);
	ADD("a-silent-name-server-times-out-in-time", test_a_silent_name_server_times_out_in_time);
	ADD("cancel-ends-the-wait-within-100-ms", test_cancel_ends_the_wait_within_100_ms);
	ADD("a-cancelled-cancellable-connects-nowhere",
	    test_a_cancelled_cancellable_connects_nowhere);
#undef ADD
	return g_test_run();
}
