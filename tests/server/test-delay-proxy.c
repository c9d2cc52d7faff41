/* SPDX-License-Identifier: MIT */
/* tests/tools/delay-proxy between a client and an echo here. DELAY_PROXY names the program. */
#include <errno.h>
#include <gio/gio.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 6
#define BYTES	(1500 * 1000)

typedef struct {
	int listener;
	guint port; /* of the proxy */
	GSubprocess *proxy;
	GDataInputStream *said;
	GThread *echo;
} Line;

static int
listen_loopback(guint *port_out)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_assert_cmpint(bind(fd, (struct sockaddr *)&address, len), ==, 0);
	g_assert_cmpint(listen(fd, 64), ==, 0);
	g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &len), ==, 0);
	*port_out = ntohs(address.sin_port);
	return fd;
}

static gboolean
send_all(int fd, const guint8 *data, gsize len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return FALSE;
		data += n;
		len -= (gsize)n;
	}
	return TRUE;
}

static gpointer
echo_one(gpointer data)
{
	int fd = GPOINTER_TO_INT(data);
	g_autofree guint8 *buffer = g_malloc(65536);
	ssize_t n;

	while ((n = recv(fd, buffer, 65536, 0)) > 0 && send_all(fd, buffer, (gsize)n))
		;
	close(fd);
	return NULL;
}

static gpointer
echo_run(gpointer data)
{
	int listener = GPOINTER_TO_INT(data);
	g_autoptr(GPtrArray) threads = g_ptr_array_new();
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		g_ptr_array_add(threads, g_thread_new("echo", echo_one, GINT_TO_POINTER(fd)));
	for (guint i = 0; i < threads->len; i++)
		g_thread_join(threads->pdata[i]);
	return NULL;
}

/* @options: ends with NULL */
static void
line_open(Line *line, const char *const *options)
{
	g_autoptr(GStrvBuilder) words = g_strv_builder_new();
	g_autoptr(GError) error = NULL;
	g_autofree char *answer = NULL;
	g_autofree char *target = NULL;
	g_auto(GStrv) argv = NULL;
	guint port;

	line->listener = listen_loopback(&port);
	line->echo = g_thread_new("echoes", echo_run, GINT_TO_POINTER(line->listener));
	target = g_strdup_printf("%u", port);
	g_strv_builder_add_many(words, g_getenv("DELAY_PROXY"), "0", "127.0.0.1", target, NULL);
	g_strv_builder_addv(words, (const char **)options);
	argv = g_strv_builder_end(words);
	line->proxy = g_subprocess_newv((const char *const *)argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE,
					&error);
	g_assert_no_error(error);
	line->said = g_data_input_stream_new(g_subprocess_get_stdout_pipe(line->proxy));
	answer = g_data_input_stream_read_line(line->said, NULL, NULL, &error);
	g_assert_no_error(error);
	line->port = (guint)g_ascii_strtoull(answer, NULL, 10);
	g_assert_cmpuint(line->port, >, 0);
}

/* Returns the counters it printed last. (transfer full) */
static char *
line_close(Line *line)
{
	g_autoptr(GError) error = NULL;
	char *counters;

	g_subprocess_send_signal(line->proxy, SIGTERM);
	counters = g_data_input_stream_read_line(line->said, NULL, NULL, &error);
	g_assert_no_error(error);
	g_subprocess_wait_check(line->proxy, NULL, &error);
	g_assert_no_error(error);
	shutdown(line->listener, SHUT_RDWR);
	g_thread_join(line->echo);
	close(line->listener);
	g_object_unref(line->said);
	g_object_unref(line->proxy);
	return counters;
}

static int
line_connect(const Line *line)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((guint16)line->port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {20, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	return fd;
}

static gsize
receive_all(int fd, guint8 *data, gsize len)
{
	gsize got = 0;
	ssize_t n;

	while (got < len && (n = recv(fd, data + got, len - got, 0)) > 0)
		got += (gsize)n;
	return got;
}

static guint8 *
noise(gsize len, guint32 seed)
{
	guint8 *data = g_malloc(len);
	GRand *rand = g_rand_new_with_seed(seed);

	for (gsize i = 0; i < len; i++)
		data[i] = (guint8)g_rand_int(rand);
	g_rand_free(rand);
	return data;
}

/* --- bytes --- */

typedef struct {
	int fd;
	guint8 *data;
} Sender;

static gpointer
send_and_close(gpointer data)
{
	Sender *sender = data;

	g_assert_true(send_all(sender->fd, sender->data, BYTES));
	/* Half closed: the echo is still to come. */
	shutdown(sender->fd, SHUT_WR);
	return NULL;
}

static void
test_bytes_are_exact(gconstpointer options)
{
	Sender senders[CLIENTS];
	GThread *threads[CLIENTS];
	g_autofree guint8 *echoed = g_malloc(BYTES + 1);
	g_autofree char *counters = NULL;
	Line line;

	line_open(&line, options);
	for (guint i = 0; i < CLIENTS; i++) {
		senders[i] = (Sender){line_connect(&line), noise(BYTES, i)};
		threads[i] = g_thread_new("sender", send_and_close, &senders[i]);
	}
	for (guint i = 0; i < CLIENTS; i++) {
		/* One more than there is: the end comes too. */
		gsize got = receive_all(senders[i].fd, echoed, BYTES + 1);

		g_assert_cmpmem(echoed, got, senders[i].data, BYTES);
		g_thread_join(threads[i]);
		close(senders[i].fd);
		g_free(senders[i].data);
	}
	counters = line_close(&line);
	g_assert_nonnull(strstr(counters, "connections=6 up=9000000 down=9000000 "));
}

/* --- time --- */

static void
test_every_piece_is_as_late_as_it_was_told(void)
{
	static const char *const options[] = {"--delay", "30", NULL};
	g_autofree char *counters = NULL;
	guint8 byte = 7;
	gint64 before;
	gint64 took;
	Line line;
	int fd;

	line_open(&line, options);
	before = g_get_monotonic_time();
	fd = line_connect(&line);
	for (guint i = 0; i < 3; i++) {
		g_assert_true(send_all(fd, &byte, 1));
		g_assert_cmpuint(receive_all(fd, &byte, 1), ==, 1);
		took = g_get_monotonic_time() - before;
		/* The first waits for the connection: three delays to the target, one back. */
		g_assert_cmpint(took, >=, i == 0 ? 120 * 1000 : 60 * 1000);
		g_assert_cmpint(took, <, 2 * G_USEC_PER_SEC);
		before = g_get_monotonic_time();
	}
	close(fd);
	counters = line_close(&line);
	g_assert_nonnull(strstr(counters, "up=3 down=3 turns=2"));
}

static void
test_pieces_on_the_line_do_not_wait_for_each_other(void)
{
	static const char *const options[] = {"--delay", "50", NULL};
	g_autofree char *counters = NULL;
	gint64 before;
	guint8 byte = 1;
	guint8 back[20];
	Line line;
	int fd;

	line_open(&line, options);
	fd = line_connect(&line);
	g_assert_true(send_all(fd, &byte, 1));
	g_assert_cmpuint(receive_all(fd, back, 1), ==, 1);
	before = g_get_monotonic_time();
	for (byte = 0; byte < 20; byte++) {
		g_assert_true(send_all(fd, &byte, 1));
		g_usleep(2000);
	}
	g_assert_cmpuint(receive_all(fd, back, sizeof back), ==, sizeof back);
	/* One after the other it would have been two seconds. */
	g_assert_cmpint(g_get_monotonic_time() - before, <, G_USEC_PER_SEC);
	for (guint8 i = 0; i < 20; i++)
		g_assert_cmpuint(back[i], ==, i);
	close(fd);
	counters = line_close(&line);
}

static void
test_the_rate_is_shared(void)
{
	static const char *const options[] = {"--rate", "4000000", NULL};
	g_autofree guint8 *data = noise(400 * 1000, 1);
	g_autofree char *counters = NULL;
	gint64 before;
	gint64 took;
	Line line;
	int fds[2];

	line_open(&line, options);
	for (guint i = 0; i < 2; i++)
		fds[i] = line_connect(&line);
	before = g_get_monotonic_time();
	for (guint i = 0; i < 2; i++)
		g_assert_true(send_all(fds[i], data, 400 * 1000));
	for (guint i = 0; i < 2; i++)
		g_assert_cmpuint(receive_all(fds[i], data, 400 * 1000), ==, 400 * 1000);
	took = g_get_monotonic_time() - before;
	g_assert_cmpint(took, >=, 200 * 1000);
	g_assert_cmpint(took, <, 3 * G_USEC_PER_SEC);
	for (guint i = 0; i < 2; i++)
		close(fds[i]);
	counters = line_close(&line);
}

/* --- faults --- */

/* Sends 100,000 bytes and tells how many came back, and how it ended. */
static gsize
echo_until_fault(const char *option, int *error_out)
{
	const char *const options[] = {option, "54321", "--delay", "1", NULL};
	g_autofree guint8 *data = noise(100 * 1000, 3);
	g_autofree guint8 *echoed = g_malloc(100 * 1000);
	g_autofree char *counters = NULL;
	gsize got;
	Line line;
	int fd;

	line_open(&line, options);
	fd = line_connect(&line);
	g_assert_true(send_all(fd, data, 100 * 1000));
	/* What was read is what was sent, up to the fault. */
	got = receive_all(fd, echoed, 54321);
	g_assert_cmpmem(echoed, got, data, got);
	errno = 0;
	if (recv(fd, echoed, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
		struct pollfd until = {fd, POLLIN, 0};

		if (poll(&until, 1, 300) == 1) {
			errno = 0;
			g_assert_cmpint(recv(fd, echoed, 1, 0), <=, 0);
		}
	}
	*error_out = errno;
	close(fd);
	counters = line_close(&line);
	return got;
}

static void
test_cut_is_an_end_at_that_byte(void)
{
	int error;

	g_assert_cmpuint(echo_until_fault("--cut-after", &error), ==, 54321);
	g_assert_cmpint(error, ==, 0);
}

static void
test_reset_is_a_reset(void)
{
	int error;

	/* What had arrived and was not read yet is lost with it. */
	g_assert_cmpuint(echo_until_fault("--reset-after", &error), <=, 54321);
	g_assert_cmpint(error, ==, ECONNRESET);
}

static void
test_stall_is_silence(void)
{
	int error;

	g_assert_cmpuint(echo_until_fault("--stall-after", &error), ==, 54321);
	g_assert_cmpint(error, ==, EAGAIN);
}

static void
test_signals_stall_and_resume(void)
{
	static const char *const options[] = {NULL};
	g_autofree guint8 *data = noise(BYTES, 5);
	g_autofree guint8 *echoed = g_malloc(BYTES);
	g_autofree char *counters = NULL;
	struct pollfd until = {0};
	GThread *thread;
	Sender sender;
	Line line;

	line_open(&line, options);
	sender = (Sender){line_connect(&line), data};
	g_assert_true(send_all(sender.fd, data, 1));
	g_assert_cmpuint(receive_all(sender.fd, echoed, 1), ==, 1);
	g_subprocess_send_signal(line.proxy, SIGUSR1);
	g_usleep(50 * 1000);
	thread = g_thread_new("sender", send_and_close, &sender);
	until = (struct pollfd){sender.fd, POLLIN, 0};
	g_assert_cmpint(poll(&until, 1, 200), ==, 0);
	g_subprocess_send_signal(line.proxy, SIGUSR2);
	g_assert_cmpuint(receive_all(sender.fd, echoed, BYTES), ==, BYTES);
	g_assert_cmpmem(echoed, BYTES, data, BYTES);
	g_thread_join(thread);
	close(sender.fd);
	counters = line_close(&line);
}

static void
test_a_refused_target_is_a_reset(void)
{
	static const char *const options[] = {"--delay", "5", NULL};
	g_autofree char *counters = NULL;
	guint8 byte;
	Line line;
	int fd;

	line_open(&line, options);
	shutdown(line.listener, SHUT_RDWR);
	fd = line_connect(&line);
	g_assert_cmpint(recv(fd, &byte, 1, 0), ==, -1);
	g_assert_cmpint(errno, ==, ECONNRESET);
	close(fd);
	counters = line_close(&line);
}

int
main(int argc, char **argv)
{
	static const char *const plain[] = {NULL};
	static const char *const slow[] = {"--delay", "7", "--rate", "40000000", NULL};

	g_test_init(&argc, &argv, NULL);
	if (g_getenv("DELAY_PROXY") == NULL) {
		g_print("1..0 # SKIP DELAY_PROXY does not name the program\n");
		return 0;
	}
	g_test_add_data_func("/delay-proxy/bytes-are-exact", plain, test_bytes_are_exact);
	g_test_add_data_func("/delay-proxy/bytes-are-exact-on-a-long-narrow-line", slow,
			     test_bytes_are_exact);
	g_test_add_func("/delay-proxy/every-piece-is-as-late-as-it-was-told",
			test_every_piece_is_as_late_as_it_was_told);
	g_test_add_func("/delay-proxy/pieces-on-the-line-do-not-wait-for-each-other",
			test_pieces_on_the_line_do_not_wait_for_each_other);
	g_test_add_func("/delay-proxy/the-rate-is-shared", test_the_rate_is_shared);
	g_test_add_func("/delay-proxy/cut-is-an-end-at-that-byte", test_cut_is_an_end_at_that_byte);
	g_test_add_func("/delay-proxy/reset-is-a-reset", test_reset_is_a_reset);
	g_test_add_func("/delay-proxy/stall-is-silence", test_stall_is_silence);
	g_test_add_func("/delay-proxy/signals-stall-and-resume", test_signals_stall_and_resume);
	g_test_add_func("/delay-proxy/a-refused-target-is-a-reset",
			test_a_refused_target_is_a_reset);
	return g_test_run();
}
