/* SPDX-License-Identifier: MIT */
#include "net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"

enum {
	NEXT_ADDRESS_MS = 250, /* RFC 8305 section 5 */
	KEEPALIVE_IDLE_S = 120,
	KEEPALIVE_INTERVAL_S = 30,
	KEEPALIVE_PROBES = 4,
	USER_TIMEOUT_MS = 120000, /* sent and not acknowledged for so long: the line is dead */
};

/* --- waiting --- */

static int
ms_until(gint64 deadline_us)
{
	gint64 left = deadline_us - g_get_monotonic_time();

	return left <= 0 ? 0 : (int)MIN((left + 999) / 1000, G_MAXINT);
}

gboolean
dial_poll(struct pollfd *fds, nfds_t n, gint64 deadline_us, GCancellable *cancel, GError **error)
{
	fds[n - 1] = (struct pollfd){.fd = -1, .events = POLLIN};
	if (cancel != NULL)
		fds[n - 1].fd = g_cancellable_get_fd(cancel);
	/* EINTR: as if nothing were ready; the caller looks at the clock and comes again. */
	if (poll(fds, n, ms_until(deadline_us)) < 0)
		for (nfds_t i = 0; i < n; i++)
			fds[i].revents = 0;
	if (fds[n - 1].fd >= 0)
		g_cancellable_release_fd(cancel);
	return !g_cancellable_set_error_if_cancelled(cancel, error);
}

/* --- finding addresses --- */

typedef struct {
	GList *addresses; /* GInetAddress */
	GError *error;
	gboolean done;
	gboolean timed_out;
	GCancellable *inner;
} Lookup;

static void
lookup_done(GObject *resolver, GAsyncResult *result, gpointer user)
{
	Lookup *lookup = user;

	lookup->addresses =
		g_resolver_lookup_by_name_finish(G_RESOLVER(resolver), result, &lookup->error);
	lookup->done = TRUE;
}

static gboolean
lookup_timed_out(gpointer user)
{
	Lookup *lookup = user;

	lookup->timed_out = TRUE;
	g_cancellable_cancel(lookup->inner);
	return G_SOURCE_REMOVE;
}

static void
lookup_cancelled(GCancellable *cancel, gpointer inner)
{
	g_cancellable_cancel(inner);
}

/* GResolver has no timeout in GLib 2.74: the asynchronous call in a main context of its own has. */
static void
lookup_run(Lookup *lookup, const char *host, gint64 deadline_us, GCancellable *cancel)
{
	g_autoptr(GMainContext) context = g_main_context_new();
	g_autoptr(GResolver) resolver = g_resolver_get_default();
	g_autoptr(GSource) timeout = g_timeout_source_new((guint)ms_until(deadline_us));
	gulong handler = 0;

	g_main_context_push_thread_default(context);
	g_source_set_callback(timeout, lookup_timed_out, lookup, NULL);
	g_source_attach(timeout, context);
	if (cancel != NULL)
		handler = g_cancellable_connect(cancel, G_CALLBACK(lookup_cancelled), lookup->inner,
						NULL);
	g_resolver_lookup_by_name_async(resolver, host, lookup->inner, lookup_done, lookup);
	while (!lookup->done)
		g_main_context_iteration(context, TRUE);
	g_cancellable_disconnect(cancel, handler);
	g_source_destroy(timeout);
	g_main_context_pop_thread_default(context);
}

static void
set_lookup_error(const char *host, const Lookup *lookup, GCancellable *cancel, GError **error)
{
	if (g_cancellable_set_error_if_cancelled(cancel, error))
		return;
	if (lookup->timed_out)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
			    "no name server answered for %s in time: is this machine online?",
			    host);
	else if (g_error_matches(lookup->error, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND))
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_HOST_UNKNOWN,
			    "there is no host named %s: check the spelling", host);
	else
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
			    "cannot look up %s (%s): is this machine online?", host,
			    lookup->error->message);
}

char *
dial_plain_host(const char *host)
{
	gsize len = strlen(host);

	if (len > 2 && host[0] == '[' && host[len - 1] == ']')
		return g_strndup(host + 1, len - 2);
	if (len > 0 && host[len - 1] == '.')
		len--;
	if (len == 0)
		return NULL;
	if (g_hostname_is_non_ascii(host)) {
		g_autofree char *trimmed = g_strndup(host, len);

		return g_hostname_to_ascii(trimmed);
	}
	return g_strndup(host, len);
}

/* Returns: (transfer full) (element-type GSocketAddress): at least one, or NULL. */
static GPtrArray *
find_addresses(const char *host, guint16 port, gint64 deadline_us, GCancellable *cancel,
	       GError **error)
{
	g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_object_unref);
	g_autofree char *plain = dial_plain_host(host);
	GSocketAddress *numeric =
		plain != NULL ? g_inet_socket_address_new_from_string(plain, port) : NULL;
	Lookup lookup = {0};

	if (plain == NULL) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_HOST_UNKNOWN,
			    "'%s' is not a host name", host);
		return NULL;
	}
	if (numeric != NULL) {
		g_ptr_array_add(found, numeric);
		return g_steal_pointer(&found);
	}
	lookup.inner = g_cancellable_new();
	lookup_run(&lookup, plain, deadline_us, cancel);
	for (GList *item = lookup.addresses; item != NULL; item = item->next)
		g_ptr_array_add(found, g_inet_socket_address_new(item->data, port));
	if (found->len == 0)
		set_lookup_error(host, &lookup, cancel, error);
	g_list_free_full(lookup.addresses, g_object_unref);
	g_clear_error(&lookup.error);
	g_object_unref(lookup.inner);
	return found->len > 0 ? g_steal_pointer(&found) : NULL;
}

GPtrArray *
dial_addresses(const char *host, guint16 port, guint timeout_ms, GCancellable *cancel,
	       GError **error)
{
	gint64 deadline_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;

	if (g_cancellable_set_error_if_cancelled(cancel, error))
		return NULL;
	return find_addresses(host, port, deadline_us, cancel, error);
}

/* --- connecting: the addresses race, each starting 250 ms after the one before (RFC 8305) --- */

typedef struct {
	GPtrArray *addresses;
	struct pollfd *fds; /* one an address, and one for cancel; -1: not started, or over */
	guint started, running;
	gint64 next_start_us;
	int last_errno;
	guint last_address; /* the one last_errno is of */
} Race;

static void
race_lost(Race *race, guint i, int error_number)
{
	race->last_errno = error_number;
	race->last_address = i;
	race->next_start_us = 0; /* no need to wait for it any longer */
	if (race->fds[i].fd >= 0) {
		util_close_fd(&race->fds[i].fd);
		race->running--;
	}
}

static void
race_start_next(Race *race)
{
	guint i = race->started++;
	GSocketAddress *address = race->addresses->pdata[i];
	struct sockaddr_storage native;
	gssize len = g_socket_address_get_native_size(address);
	int fd;

	race->next_start_us = g_get_monotonic_time() + NEXT_ADDRESS_MS * 1000;
	if (!g_socket_address_to_native(address, &native, sizeof native, NULL)) {
		race_lost(race, i, EAFNOSUPPORT);
		return;
	}
	fd = socket(native.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		race_lost(race, i, errno);
		return;
	}
	race->fds[i] = (struct pollfd){.fd = fd, .events = POLLOUT};
	race->running++;
	if (connect(fd, (struct sockaddr *)&native, (socklen_t)len) != 0 && errno != EINPROGRESS)
		race_lost(race, i, errno);
}

/* The address that has answered, or -1. */
static int
race_winner(Race *race)
{
	for (guint i = 0; i < race->started; i++) {
		int failure = 0;
		socklen_t len = sizeof failure;

		if (race->fds[i].fd < 0 || race->fds[i].revents == 0)
			continue;
		if (getsockopt(race->fds[i].fd, SOL_SOCKET, SO_ERROR, &failure, &len) != 0)
			failure = errno;
		if (failure == 0)
			return (int)i;
		race_lost(race, i, failure);
	}
	return -1;
}

/* Returns the number of the address that answered first, or -1 with @error set. */
static int
race_run(Race *race, gint64 deadline_us, GCancellable *cancel, GError **error)
{
	guint n = race->addresses->len;

	for (;;) {
		gint64 now = g_get_monotonic_time();
		gboolean more = race->started < n;
		int winner;

		if (now >= deadline_us) {
			g_set_error_literal(
				error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
				"no answer in time: wrong port, a firewall, or a slow line");
			return -1;
		}
		if (more && (race->running == 0 || now >= race->next_start_us)) {
			race_start_next(race);
			continue;
		}
		if (race->running == 0) {
			g_autofree char *address = g_socket_connectable_to_string(
				G_SOCKET_CONNECTABLE(race->addresses->pdata[race->last_address]));

			g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE, "%s: %s", address,
				    g_strerror(race->last_errno));
			return -1;
		}
		if (!dial_poll(race->fds, n + 1,
			       more ? MIN(race->next_start_us, deadline_us) : deadline_us, cancel,
			       error))
			return -1;
		winner = race_winner(race);
		if (winner >= 0)
			return winner;
	}
}

static void
set_socket_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS},
	};

	for (gsize i = 0; i < G_N_ELEMENTS(options); i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(int)) != 0)
			g_debug("socket option %d: %s", options[i].name, g_strerror(errno));
}

int
dial(const char *host, guint16 port, guint timeout_ms, GCancellable *cancel,
     GInetSocketAddress **address_out, GError **error)
{
	gint64 deadline_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
	g_autoptr(GPtrArray) addresses = NULL;
	g_autofree struct pollfd *fds = NULL;
	Race race = {0};
	int winner;
	int fd = -1;

	if (g_cancellable_set_error_if_cancelled(cancel, error))
		return -1;
	addresses = find_addresses(host, port, deadline_us, cancel, error);
	if (addresses == NULL)
		return -1;
	fds = g_new0(struct pollfd, addresses->len + 1);
	for (guint i = 0; i < addresses->len; i++)
		fds[i].fd = -1;
	race.addresses = addresses;
	race.fds = fds;
	winner = race_run(&race, deadline_us, cancel, error);
	if (winner >= 0) {
		fd = util_steal_fd(&fds[winner].fd);
		set_socket_options(fd);
		*address_out = g_object_ref(addresses->pdata[winner]);
	} else if (!g_cancellable_is_cancelled(cancel)) {
		g_prefix_error(error, "cannot connect to %s port %u: ", host, port);
	}
	for (guint i = 0; i < addresses->len; i++)
		util_close_fd(&fds[i].fd);
	return fd;
}
