/* SPDX-License-Identifier: MIT */
/* A line with a length and a width, between a client and a server on loopback:
 *
 *     delay-proxy LISTEN_PORT TARGET_HOST TARGET_PORT [--delay MS] [--rate BYTES/S]
 *                 [--cut-after N | --reset-after N | --stall-after N]
 *
 * LISTEN_PORT 0 takes a free one; the port is the first line printed. Every piece of bytes leaves
 * @delay after it came, in each direction, and never overtakes another; @rate is that of the line,
 * which all connections share, in each direction. A new connection reaches the target after three
 * delays, as a TCP handshake would. What is on the line is bounded only by memory that a line holds
 * too (HELD_MAX): then the sender is made to wait.
 *
 * Faults: of each connection, after N bytes from server to client, both ends are closed (cut: FIN,
 * reset: RST), or nothing flows any more (stall). SIGUSR1 stalls all connections, SIGUSR2 lets all
 * flow again. SIGHUP, and the end by SIGTERM, print a line of counters: connections, bytes up and
 * down, and turns, which is how often a client spoke after it had heard something: round trips. */
#include <errno.h>
#include <glib.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE	 (128 * 1024)
#define HELD_MAX (64 * 1024 * 1024) /* bytes of one direction of one connection */
#define EVENTS	 64
#define SECOND	 G_GINT64_CONSTANT(1000000000)

enum { CLIENT, SERVER, SIDES }; /* also directions: CLIENT is from the client to the server */

typedef enum { FAULT_NONE, FAULT_CUT, FAULT_RESET, FAULT_STALL } Fault;

typedef struct Link Link;

/* What epoll gives back. */
typedef struct {
	Link *link;
	guint side;
} End;

/* A piece of bytes on the line; none: the sender has closed its half. */
typedef struct {
	Link *link;
	guint from;
	gint64 due;
	gsize len, sent;
	guint8 data[];
} Chunk;

/* One connection: two sockets. */
struct Link {
	gint refs;
	int fd[SIDES];
	End end[SIDES];
	guint32 interest[SIDES];
	GQueue ready[SIDES];	  /* of Chunk: arrived, for the other side to take */
	guint64 held[SIDES];	  /* bytes read and not written yet */
	gboolean finished[SIDES]; /* the side has closed its half: read */
	gboolean told[SIDES];	  /* the other side was told so */
	gboolean connecting;	  /* the server's side */
	gboolean dead;		  /* closed: what is still on the line falls off */
	gboolean over;		  /* cut: what the client still says is thrown away */
	gboolean stalled, spent;  /* the fault was done */
	gboolean heard;		  /* the client, since it last spoke */
	guint64 delivered;	  /* bytes to the client */
};

typedef struct {
	int epoll, listener, signals;
	struct sockaddr_storage target;
	socklen_t target_len;
	gint64 delay, rate; /* ns, bytes a second (0: any) */
	Fault fault;
	guint64 after;
	gboolean stalled, stop;
	GQueue flight[SIDES];	 /* of Chunk, by due time */
	GQueue opening;		 /* of Chunk without bytes, by due time: to be connected */
	gint64 line_free[SIDES]; /* when the last piece has passed the narrow part */
	GHashTable *links;
	guint64 n_links, n_turns, n_bytes[SIDES];
	guint8 buffer[PIECE];
} Proxy;

static gint64
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

static Link *
link_ref(Link *link)
{
	link->refs++;
	return link;
}

static void
link_unref(Link *link)
{
	if (--link->refs == 0)
		g_free(link);
}

static void
chunk_free(gpointer data)
{
	Chunk *chunk = data;

	link_unref(chunk->link);
	g_free(chunk);
}

static Chunk *
chunk_new(Link *link, guint from, const guint8 *data, gsize len)
{
	Chunk *chunk = g_malloc(sizeof(Chunk) + len);

	*chunk = (Chunk){.link = link_ref(link), .from = from, .len = len};
	if (len > 0)
		memcpy(chunk->data, data, len);
	return chunk;
}

static void
close_side(Link *link, guint side, gboolean reset)
{
	struct linger now = {1, 0};

	if (link->fd[side] < 0)
		return;
	if (reset)
		setsockopt(link->fd[side], SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(link->fd[side]);
	link->fd[side] = -1;
}

/* Events of it that were already collected find it dead. */
static void
link_close(Proxy *proxy, Link *link, gboolean reset)
{
	if (link->dead)
		return;
	link->dead = TRUE;
	for (guint side = 0; side < SIDES; side++) {
		close_side(link, side, reset);
		g_queue_clear_full(&link->ready[side], chunk_free);
	}
	g_hash_table_remove(proxy->links, link);
	link_unref(link); /* that of the table: all callers hold one or look no more */
}

static gboolean
is_stalled(const Proxy *proxy, const Link *link)
{
	return proxy->stalled || link->stalled;
}

/* What is worth hearing of, at both ends. */
static void
link_watch(Proxy *proxy, Link *link)
{
	for (guint side = 0; side < SIDES && !link->dead; side++) {
		gboolean reads = !link->finished[side] && link->held[side] < HELD_MAX &&
				 (link->over || !is_stalled(proxy, link));
		gboolean writes =
			(link->connecting && side == SERVER) ||
			(!g_queue_is_empty(&link->ready[!side]) && !is_stalled(proxy, link));
		struct epoll_event event = {
			.events = (reads ? (guint32)EPOLLIN : 0) | (writes ? (guint32)EPOLLOUT : 0),
			.data.ptr = &link->end[side],
		};

		if (link->fd[side] < 0 || event.events == link->interest[side])
			continue;
		link->interest[side] = event.events;
		/* One that has hung up was taken out: see on_event(). */
		if (epoll_ctl(proxy->epoll, EPOLL_CTL_MOD, link->fd[side], &event) < 0 &&
		    errno == ENOENT && event.events != 0)
			epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, link->fd[side], &event);
	}
}

/* The FIN must not become an RST because of unread bytes: the client's side lives on until the
 * client has closed its own. */
static void
link_cut(Proxy *proxy, Link *link)
{
	link->over = TRUE;
	if (link->finished[CLIENT]) {
		link_close(proxy, link, FALSE);
		return;
	}
	close_side(link, SERVER, FALSE);
	shutdown(link->fd[CLIENT], SHUT_WR);
	for (guint side = 0; side < SIDES; side++)
		g_queue_clear_full(&link->ready[side], chunk_free);
}

static void
link_fault(Proxy *proxy, Link *link)
{
	link->spent = TRUE;
	if (proxy->fault == FAULT_STALL)
		link->stalled = TRUE;
	else if (proxy->fault == FAULT_CUT)
		link_cut(proxy, link);
	else
		link_close(proxy, link, TRUE);
}

/* How much of it may go now. */
static gsize
allowance(const Proxy *proxy, const Link *link, guint from, gsize len)
{
	if (proxy->fault == FAULT_NONE || link->spent || from != SERVER)
		return len;
	return (gsize)MIN(len, proxy->after - link->delivered);
}

/* FALSE: it waits for the taker, or the link is closed. */
static gboolean
write_head(Proxy *proxy, Link *link, guint from)
{
	Chunk *chunk = g_queue_peek_head(&link->ready[from]);
	gsize len = allowance(proxy, link, from, chunk->len - chunk->sent);
	ssize_t n = send(link->fd[!from], chunk->data + chunk->sent, len, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return FALSE;
	if (n < 0) {
		link_close(proxy, link, TRUE);
		return FALSE;
	}
	chunk->sent += (gsize)n;
	link->held[from] -= (guint64)n;
	if (chunk->sent == chunk->len)
		chunk_free(g_queue_pop_head(&link->ready[from]));
	if (from == CLIENT)
		return TRUE;
	link->heard = TRUE;
	link->delivered += (guint64)n;
	if (proxy->fault != FAULT_NONE && !link->spent && link->delivered >= proxy->after)
		link_fault(proxy, link);
	return TRUE;
}

/* Gives what has arrived to the other side. */
static void
link_flush(Proxy *proxy, Link *link, guint from)
{
	GQueue *ready = &link->ready[from];

	while (!link->dead && !link->over && !link->connecting && link->fd[!from] >= 0 &&
	       !is_stalled(proxy, link) && !g_queue_is_empty(ready)) {
		if (((Chunk *)g_queue_peek_head(ready))->len == 0) {
			shutdown(link->fd[!from], SHUT_WR);
			link->told[from] = TRUE;
			chunk_free(g_queue_pop_head(ready));
		} else if (!write_head(proxy, link, from)) {
			break;
		}
	}
	if (!link->dead && link->told[CLIENT] && link->told[SERVER])
		link_close(proxy, link, FALSE);
}

/* Puts a piece on the line. */
static void
send_off(Proxy *proxy, Chunk *chunk)
{
	gint64 *line_free = &proxy->line_free[chunk->from];
	gint64 start = MAX(now_ns(), *line_free);

	if (proxy->rate > 0)
		start += (gint64)((double)chunk->len * 1e9 / (double)proxy->rate);
	*line_free = start;
	chunk->due = start + proxy->delay;
	g_queue_push_tail(&proxy->flight[chunk->from], chunk);
}

static void
link_read(Proxy *proxy, Link *link, guint side)
{
	/* Small pieces on a narrow line: each leaves only when it has passed whole. */
	gsize room = proxy->rate > 0 ? (gsize)CLAMP(proxy->rate / 1000, 512, PIECE) : PIECE;
	ssize_t n = recv(link->fd[side], proxy->buffer, room, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 || (n == 0 && link->over)) {
		link_close(proxy, link, n < 0);
		return;
	}
	if (link->over)
		return;
	if (n == 0)
		link->finished[side] = TRUE;
	if (side == CLIENT && link->heard && n > 0) {
		proxy->n_turns++;
		link->heard = FALSE;
	}
	link->held[side] += (guint64)n;
	proxy->n_bytes[side] += (guint64)n;
	send_off(proxy, chunk_new(link, side, proxy->buffer, (gsize)n));
}

/* What is due arrives: connections at the target, pieces at the far end. */
static void
link_connect(Proxy *proxy, Link *link)
{
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = &link->end[SERVER]};
	int one = 1;
	int fd = socket(proxy->target.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	link->fd[SERVER] = fd;
	if (fd < 0 || (connect(fd, (struct sockaddr *)&proxy->target, proxy->target_len) < 0 &&
		       errno != EINPROGRESS)) {
		link_close(proxy, link, TRUE);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	link->interest[SERVER] = EPOLLOUT;
	epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void
deliver(Proxy *proxy)
{
	gint64 now = now_ns();
	Chunk *chunk;

	while ((chunk = g_queue_peek_head(&proxy->opening)) != NULL && chunk->due <= now) {
		g_queue_pop_head(&proxy->opening);
		if (!chunk->link->dead)
			link_connect(proxy, chunk->link);
		chunk_free(chunk);
	}
	for (guint from = 0; from < SIDES; from++) {
		while ((chunk = g_queue_peek_head(&proxy->flight[from])) != NULL &&
		       chunk->due <= now) {
			Link *link = link_ref(chunk->link);

			g_queue_pop_head(&proxy->flight[from]);
			if (link->dead || link->over) {
				chunk_free(chunk);
			} else {
				g_queue_push_tail(&link->ready[from], chunk);
				link_flush(proxy, link, from);
				link_watch(proxy, link);
			}
			link_unref(link);
		}
	}
}

static void
accept_one(Proxy *proxy)
{
	int fd = accept4(proxy->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct epoll_event event = {0};
	int one = 1;
	Link *link;
	Chunk *opening;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	link = g_new0(Link, 1);
	link->refs = 1;
	link->fd[CLIENT] = fd;
	link->fd[SERVER] = -1;
	link->connecting = TRUE;
	for (guint side = 0; side < SIDES; side++)
		link->end[side] = (End){link, side};
	event.data.ptr = &link->end[CLIENT];
	epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, fd, &event);
	g_hash_table_add(proxy->links, link);
	proxy->n_links++;
	opening = chunk_new(link, CLIENT, NULL, 0);
	opening->due = now_ns() + 3 * proxy->delay;
	g_queue_push_tail(&proxy->opening, opening);
	link_watch(proxy, link);
}

static void
on_event(Proxy *proxy, Link *link, guint side, guint32 events)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (link->dead || link->fd[side] < 0)
		return;
	if (side == SERVER && link->connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		getsockopt(link->fd[side], SOL_SOCKET, SO_ERROR, &error, &len);
		link->connecting = FALSE;
		if (error != 0) {
			link_close(proxy, link, TRUE);
			return;
		}
	} else if (events & EPOLLERR) {
		link_close(proxy, link, TRUE);
		return;
	}
	/* Closed both ways: nothing more will be heard, only what is on the line is left. */
	if ((events & EPOLLHUP) && !(events & EPOLLIN))
		epoll_ctl(proxy->epoll, EPOLL_CTL_DEL, link->fd[side], NULL);
	if (events & EPOLLIN)
		link_read(proxy, link, side);
	if (events & EPOLLOUT)
		link_flush(proxy, link, !side);
	link_watch(proxy, link);
}

/* --- the outside --- */

static void
print_counters(const Proxy *proxy)
{
	g_print("connections=%" G_GUINT64_FORMAT " up=%" G_GUINT64_FORMAT " down=%" G_GUINT64_FORMAT
		" turns=%" G_GUINT64_FORMAT "\n",
		proxy->n_links, proxy->n_bytes[CLIENT], proxy->n_bytes[SERVER], proxy->n_turns);
}

static void
on_signal(Proxy *proxy)
{
	struct signalfd_siginfo info;
	g_autoptr(GPtrArray) links = NULL;
	GHashTableIter iter;
	gpointer key;

	if (read(proxy->signals, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
		proxy->stop = TRUE;
	if (info.ssi_signo != SIGUSR1 && info.ssi_signo != SIGUSR2) {
		print_counters(proxy);
		return;
	}
	proxy->stalled = info.ssi_signo == SIGUSR1;
	links = g_ptr_array_new();
	g_hash_table_iter_init(&iter, proxy->links);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		g_ptr_array_add(links, link_ref(key));
	for (guint i = 0; i < links->len; i++) {
		Link *link = links->pdata[i];

		if (!proxy->stalled)
			link->stalled = FALSE;
		link_flush(proxy, link, CLIENT);
		link_flush(proxy, link, SERVER);
		link_watch(proxy, link);
		link_unref(link);
	}
}

static void
wait_events(Proxy *proxy)
{
	const Chunk *heads[] = {g_queue_peek_head(&proxy->opening),
				g_queue_peek_head(&proxy->flight[CLIENT]),
				g_queue_peek_head(&proxy->flight[SERVER])};
	struct epoll_event events[EVENTS];
	gint64 left = G_MAXINT64;
	struct timespec timeout;
	int n;

	for (guint i = 0; i < G_N_ELEMENTS(heads); i++)
		if (heads[i] != NULL)
			left = MIN(left, MAX(heads[i]->due - now_ns(), 0));
	timeout = (struct timespec){left / SECOND, left % SECOND};
	n = epoll_pwait2(proxy->epoll, events, EVENTS, left == G_MAXINT64 ? NULL : &timeout, NULL);
	/* A link that one event closes may be meant by a later one. */
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr != NULL && events[i].data.ptr != proxy)
			link_ref(((End *)events[i].data.ptr)->link);
	for (int i = 0; i < n; i++) {
		End *end = events[i].data.ptr;

		if (end == NULL) {
			accept_one(proxy);
		} else if (events[i].data.ptr == proxy) {
			on_signal(proxy);
		} else {
			Link *link = end->link;

			on_event(proxy, link, end->side, events[i].events);
			link_unref(link);
		}
	}
}

static gboolean
proxy_listen(Proxy *proxy, guint port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((guint16)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof address;
	struct epoll_event news = {.events = EPOLLIN};
	sigset_t signals;
	int one = 1;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	proxy->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	proxy->epoll = epoll_create1(EPOLL_CLOEXEC);
	proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(proxy->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(proxy->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(proxy->listener, 512) < 0 ||
	    getsockname(proxy->listener, (struct sockaddr *)&address, &len) < 0)
		return FALSE;
	epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, proxy->listener, &news);
	news.data.ptr = proxy;
	epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, proxy->signals, &news);
	g_print("%u\n", ntohs(address.sin_port));
	return TRUE;
}

static gboolean
proxy_target(Proxy *proxy, const char *host, const char *port)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	if (getaddrinfo(host, port, &hints, &found) != 0)
		return FALSE;
	memcpy(&proxy->target, found->ai_addr, found->ai_addrlen);
	proxy->target_len = found->ai_addrlen;
	freeaddrinfo(found);
	return TRUE;
}

/* The options; FALSE: they make no sense. */
static gboolean
proxy_options(Proxy *proxy, int *argc, char ***argv, GError **error)
{
	double delay = 0;
	gint64 rate = 0, cut = -1, reset = -1, stall = -1;
	const GOptionEntry entries[] = {
		{"delay", 0, 0, G_OPTION_ARG_DOUBLE, &delay, "each way, in ms", "MS"},
		{"rate", 0, 0, G_OPTION_ARG_INT64, &rate, "each way", "BYTES/S"},
		{"cut-after", 0, 0, G_OPTION_ARG_INT64, &cut, "close after N bytes", "N"},
		{"reset-after", 0, 0, G_OPTION_ARG_INT64, &reset, "reset after N bytes", "N"},
		{"stall-after", 0, 0, G_OPTION_ARG_INT64, &stall, "stall after N bytes", "N"},
		{NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
	};
	g_autoptr(GOptionContext) context =
		g_option_context_new("LISTEN_PORT TARGET_HOST TARGET_PORT");

	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, argc, argv, error))
		return FALSE;
	proxy->delay = (gint64)(delay * 1e6);
	proxy->rate = rate;
	proxy->fault = cut >= 0	    ? FAULT_CUT
		       : reset >= 0 ? FAULT_RESET
		       : stall >= 0 ? FAULT_STALL
				    : FAULT_NONE;
	proxy->after = (guint64)MAX(MAX(cut, reset), stall);
	return *argc == 4 && delay >= 0 && rate >= 0;
}

static void
proxy_end(Proxy *proxy)
{
	g_autoptr(GList) links = g_hash_table_get_keys(proxy->links);

	for (GList *at = links; at != NULL; at = at->next)
		link_close(proxy, at->data, FALSE);
	g_queue_clear_full(&proxy->opening, chunk_free);
	for (guint from = 0; from < SIDES; from++)
		g_queue_clear_full(&proxy->flight[from], chunk_free);
	g_hash_table_unref(proxy->links);
}

int
main(int argc, char **argv)
{
	g_autofree Proxy *proxy = g_new0(Proxy, 1);
	g_autoptr(GError) error = NULL;

	if (!proxy_options(proxy, &argc, &argv, &error)) {
		g_printerr("delay-proxy: %s\n", error != NULL ? error->message : "see --help");
		return 64;
	}
	proxy->links = g_hash_table_new(NULL, NULL);
	if (!proxy_target(proxy, argv[2], argv[3]) ||
	    !proxy_listen(proxy, (guint)g_ascii_strtoull(argv[1], NULL, 10))) {
		g_printerr("delay-proxy: %s\n", g_strerror(errno));
		return 69;
	}
	while (!proxy->stop) {
		wait_events(proxy);
		deliver(proxy);
	}
	proxy_end(proxy);
	return 0;
}
