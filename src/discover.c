/* SPDX-License-Identifier: MIT */
#include "discover.h"

#include <string.h>

#include "base/error.h"
#include "base/util.h"

/* Providers whose users know an address and nothing else, where DNS does not say it. */
static const struct {
	const char *domain, *host;
} providers[] = {
	{"gmail.com", "imap.gmail.com"},
	{"googlemail.com", "imap.gmail.com"},
	{"outlook.com", "outlook.office365.com"},
	{"hotmail.com", "outlook.office365.com"},
	{"live.com", "outlook.office365.com"},
	{"yahoo.com", "imap.mail.yahoo.com"},
	{"aol.com", "imap.aol.com"},
	{"icloud.com", "imap.mail.me.com"},
	{"me.com", "imap.mail.me.com"},
	{"mac.com", "imap.mail.me.com"},
	{"t-online.de", "secureimap.t-online.de"},
};

static const char *const conventions[] = {"imap", "mail"};

/* The services that SRV records are asked for, in the order of DiscoverRecords. */
static const char *const services[] = {"imaps", "imap", "pop3s", "pop3"};

#define SERVICES  G_N_ELEMENTS(services)
#define QUESTIONS (SERVICES + G_N_ELEMENTS(conventions))

typedef struct Question Question;

/* All questions of one search. They are answered in the main context of discover_server(), nowhere
 * else. */
typedef struct {
	char *domain;
	DiscoverRecords records;
	gboolean imaps_answered, refused;
	gboolean unreachable; /* a question got no answer at all */
	gboolean known[G_N_ELEMENTS(conventions)];
	guint pending;
} Search;

struct Question {
	Search *search;
	guint number; /* of a service, then of a convention */
};

void
discovered_clear(Discovered *discovered)
{
	g_free(discovered->host);
	*discovered = (Discovered){0};
}

static gboolean
is_within(const char *host, const char *domain)
{
	gsize host_len = strlen(host), len = strlen(domain);

	return host_len >= len && g_ascii_strcasecmp(host + host_len - len, domain) == 0 &&
	       (host_len == len || host[host_len - len - 1] == '.');
}

static gboolean
choose_target(const char *domain, GList *targets, TlsMode tls, Discovered *out)
{
	for (; targets != NULL; targets = targets->next) {
		g_autofree char *host =
			g_ascii_strdown(g_srv_target_get_hostname(targets->data), -1);
		gsize len = strlen(host);

		if (len > 0 && host[len - 1] == '.')
			host[len - 1] = '\0';
		if (*host == '\0' || g_srv_target_get_port(targets->data) == 0)
			continue; /* "." : decidedly not offered */
		out->foreign = !is_within(host, domain);
		out->host = g_steal_pointer(&host);
		out->port = g_srv_target_get_port(targets->data);
		out->tls = tls;
		return TRUE;
	}
	return FALSE;
}

gboolean
discover_choose(const char *domain, const DiscoverRecords *records, const GStrv names,
		Discovered *out)
{
	*out = (Discovered){0};
	if (choose_target(domain, records->imaps, TLS_IMPLICIT, out) ||
	    choose_target(domain, records->imap, TLS_STARTTLS, out))
		return TRUE;
	for (guint i = 0; i < G_N_ELEMENTS(providers) && out->host == NULL; i++)
		if (g_ascii_strcasecmp(providers[i].domain, domain) == 0)
			out->host = g_strdup(providers[i].host);
	if (out->host == NULL && (choose_target(domain, records->pop3s, TLS_IMPLICIT, out) ||
				  choose_target(domain, records->pop3, TLS_STARTTLS, out))) {
		out->pop = TRUE;
		return TRUE;
	}
	if (out->host == NULL && names != NULL)
		out->host = g_strdup(names[0]);
	out->port = 993;
	out->tls = TLS_IMPLICIT;
	return out->host != NULL;
}

static GList **
records_of(Search *search, guint service)
{
	GList **lists[SERVICES] = {&search->records.imaps, &search->records.imap,
				   &search->records.pop3s, &search->records.pop3};

	return lists[service];
}

static void
answered(GObject *resolver, GAsyncResult *result, gpointer data)
{
	g_autofree Question *question = data;
	g_autoptr(GError) why = NULL;
	Search *search = question->search;
	GList *list;

	search->pending--;
	if (question->number < SERVICES)
		list = g_resolver_lookup_service_finish(G_RESOLVER(resolver), result, &why);
	else
		list = g_resolver_lookup_by_name_finish(G_RESOLVER(resolver), result, &why);
	if (why != NULL)
		g_debug("discover %s, question %u: %s", search->domain, question->number,
			why->message);
	if (why != NULL && !g_error_matches(why, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND) &&
	    !g_error_matches(why, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		search->unreachable = TRUE;
	if (question->number == 0)
		search->imaps_answered = list != NULL;
	if (question->number < SERVICES) {
		/* GLib drops a lone "." */
		search->refused |= question->number < 2 && list == NULL && why == NULL;
		*records_of(search, question->number) = list;
		return;
	}
	search->known[question->number - SERVICES] = list != NULL;
	g_resolver_free_addresses(list);
}

static void
ask(Search *search, GCancellable *stop)
{
	g_autoptr(GResolver) resolver = g_resolver_get_default();

	for (guint i = 0; i < QUESTIONS; i++) {
		Question *question = g_new(Question, 1);

		*question = (Question){search, i};
		search->pending++;
		if (i < SERVICES) {
			g_resolver_lookup_service_async(resolver, services[i], "tcp",
							search->domain, stop, answered, question);
		} else {
			g_autofree char *name =
				g_strconcat(conventions[i - SERVICES], ".", search->domain, NULL);

			g_resolver_lookup_by_name_async(resolver, name, stop, answered, question);
		}
	}
}

static gboolean
set_flag(gpointer flag)
{
	*(gboolean *)flag = TRUE;
	return G_SOURCE_REMOVE;
}

static gboolean
cancelled(GCancellable *cancel, gpointer flag)
{
	return set_flag(flag);
}

/* Until all is answered, or an answer is there that no other can beat. TRUE: in time. */
static gboolean
wait_for_answers(Search *search, GMainContext *context, guint timeout_ms, GCancellable *cancel)
{
	g_autoptr(GSource) timer = g_timeout_source_new(timeout_ms);
	g_autoptr(GSource) watch = g_cancellable_source_new(cancel);
	gboolean stop = FALSE;

	g_source_set_callback(timer, set_flag, &stop, NULL);
	g_source_set_callback(watch, G_SOURCE_FUNC(cancelled), &stop, NULL);
	g_source_attach(timer, context);
	g_source_attach(watch, context);
	while (search->pending > 0 && !search->imaps_answered && !stop)
		g_main_context_iteration(context, TRUE);
	g_source_destroy(timer);
	g_source_destroy(watch);
	return !stop;
}

/* Every question has ended when this returns: their answers point into @search. */
static gboolean
run_search(Search *search, guint timeout_ms, GCancellable *cancel)
{
	g_autoptr(GMainContext) context = g_main_context_new();
	g_autoptr(GCancellable) stop = g_cancellable_new();
	gboolean in_time;

	g_main_context_push_thread_default(context);
	ask(search, stop);
	in_time = wait_for_answers(search, context, timeout_ms, cancel);
	g_cancellable_cancel(stop);
	while (search->pending > 0)
		g_main_context_iteration(context, TRUE);
	g_main_context_pop_thread_default(context);
	return in_time;
}

static gboolean
nothing_found(const Search *search, gboolean in_time, GError **error)
{
	const char *domain = search->domain;

	if (search->refused)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_HOST_UNKNOWN,
			    "%s says in DNS that it has no IMAP server", domain);
	else if (!in_time)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
			    "DNS did not answer in time who serves the mail of %s", domain);
	else if (search->unreachable)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
			    "DNS cannot be asked who serves the mail of %s", domain);
	else
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_HOST_UNKNOWN,
			    "no mail server found for %s (tried the SRV records _imaps._tcp.%s and "
			    "_imap._tcp.%s, those of pop3s and pop3, then imap.%s and mail.%s): "
			    "give its URL, imaps://USER@HOST/ or pop3s://USER@HOST/",
			    domain, domain, domain, domain, domain);
	return FALSE;
}

static char *
domain_of(const char *address, GError **error)
{
	const char *at = strrchr(address, '@');
	g_autofree char *domain = at != NULL ? g_hostname_to_ascii(at + 1) : NULL;
	g_autofree char *shown = NULL;
	gsize len = domain != NULL ? strlen(domain) : 0;

	if (len > 0 && domain[len - 1] == '.')
		domain[--len] = '\0';
	if (len > 0 && len < 240 && at != address && domain[0] != '.' &&
	    strstr(domain, "..") == NULL &&
	    strspn(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
		    len)
		return g_ascii_strdown(domain, -1);
	shown = util_printable(address, -1, 100);
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE, "%s is no mail address", shown);
	return NULL;
}

gboolean
discover_server(const char *address, guint timeout_ms, GCancellable *cancel, Discovered *out,
		GError **error)
{
	g_autofree char *domain = domain_of(address, error);
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	g_auto(GStrv) names = NULL;
	Search search = {.domain = domain};
	gboolean in_time, found = FALSE;

	if (domain == NULL)
		return FALSE;
	in_time = run_search(&search, timeout_ms, cancel);
	for (guint i = 0; i < G_N_ELEMENTS(conventions); i++) {
		g_autofree char *name = g_strconcat(conventions[i], ".", domain, NULL);

		if (search.known[i] && !search.refused)
			g_strv_builder_add(builder, name);
	}
	names = g_strv_builder_end(builder);
	if (!g_cancellable_set_error_if_cancelled(cancel, error)) {
		found = discover_choose(domain, &search.records, names, out);
		/* Perhaps there is IMAP, too, and that answer was lost. */
		if (found && out->pop && (search.unreachable || !in_time)) {
			found = FALSE;
			discovered_clear(out);
		}
		if (!found)
			nothing_found(&search, in_time, error);
	}
	for (guint i = 0; i < SERVICES; i++)
		g_resolver_free_targets(*records_of(&search, i));
	return found;
}
