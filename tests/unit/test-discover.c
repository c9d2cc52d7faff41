/* SPDX-License-Identifier: MIT */
#include "discover.h"

#include "base/error.h"

static GList *
target(const char *host, guint16 port)
{
	return g_list_append(NULL, g_srv_target_new(host, port, 0, 0));
}

static gboolean
choose(const char *domain, DiscoverRecords records, const GStrv names, Discovered *out)
{
	return discover_choose(domain, &records, names, out);
}

static void
test_srv_records_are_preferred_in_order(void)
{
	GList *imaps = target("IMAP.Example.org.", 9993), *imap = target("mail.other.example", 143);
	GList *none = target(".", 0);
	GList *pop3s = target("pop.example.org", 995), *pop3 = target("pop.example.org", 110);
	char name[] = "mail.example.org";
	char *names[] = {name, NULL};
	g_auto(Discovered) found = {0};

	g_assert_true(
		choose("example.org", (DiscoverRecords){imaps, imap, pop3s, pop3}, names, &found));
	g_assert_cmpstr(found.host, ==, "imap.example.org");
	g_assert_cmpint(found.port, ==, 9993);
	g_assert_cmpint(found.tls, ==, TLS_IMPLICIT);
	g_assert_false(found.foreign);
	g_assert_false(found.pop);
	discovered_clear(&found);

	g_assert_true(
		choose("example.org", (DiscoverRecords){none, imap, pop3s, pop3}, names, &found));
	g_assert_cmpstr(found.host, ==, "mail.other.example");
	g_assert_cmpint(found.tls, ==, TLS_STARTTLS);
	g_assert_true(found.foreign);
	discovered_clear(&found);

	g_assert_true(choose("example.org", (DiscoverRecords){.imaps = none}, names, &found));
	g_assert_cmpstr(found.host, ==, "mail.example.org");
	g_assert_cmpint(found.port, ==, 993);
	g_assert_cmpint(found.tls, ==, TLS_IMPLICIT);
	discovered_clear(&found);

	g_assert_true(choose("GMail.com", (DiscoverRecords){.pop3s = pop3s}, NULL, &found));
	g_assert_cmpstr(found.host, ==, "imap.gmail.com");
	discovered_clear(&found);

	g_assert_true(
		choose("example.org", (DiscoverRecords){none, none, none, pop3}, names, &found));
	g_assert_cmpstr(found.host, ==, "pop.example.org");
	g_assert_cmpint(found.port, ==, 110);
	g_assert_cmpint(found.tls, ==, TLS_STARTTLS);
	g_assert_true(found.pop);
	discovered_clear(&found);

	g_assert_false(choose("example.org", (DiscoverRecords){.imap = none}, NULL, &found));
	g_resolver_free_targets(imaps);
	g_resolver_free_targets(imap);
	g_resolver_free_targets(none);
	g_resolver_free_targets(pop3s);
	g_resolver_free_targets(pop3);
}

static void
test_hosts_that_only_end_alike_are_foreign(void)
{
	GList *imaps = target("evilexample.org", 993);
	g_auto(Discovered) found = {0};

	g_assert_true(choose("example.org", (DiscoverRecords){.imaps = imaps}, NULL, &found));
	g_assert_true(found.foreign);
	g_resolver_free_targets(imaps);
}

static void
test_strings_that_are_no_address(void)
{
	static const char *const bad[] = {"@example.org", "a@",	   "a",	   "a@.org",
					  "a@b..c",	  "a@b c", "a@b/c"};

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		g_auto(Discovered) found = {0};

		g_assert_false(discover_server(bad[i], 1000, NULL, &found, &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE);
	}
}

/* No DNS in the world knows .invalid; where none answers, that is an error too, and soon. */
static void
test_domain_that_is_none_is_not_found(void)
{
	g_autoptr(GError) error = NULL;
	g_auto(Discovered) found = {0};
	gint64 start = g_get_monotonic_time();

	g_assert_false(discover_server("al@nothing.invalid", 1000, NULL, &found, &error));
	g_assert_true(error->domain == MAILFS_ERROR && error->code != MAILFS_ERROR_USAGE);
	g_assert_cmpint(g_get_monotonic_time() - start, <, 4 * G_USEC_PER_SEC);
}

static void
test_cancelled_search_ends_at_once(void)
{
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	g_autoptr(GError) error = NULL;
	g_auto(Discovered) found = {0};

	g_cancellable_cancel(cancel);
	g_assert_false(discover_server("al@nothing.invalid", 60000, cancel, &found, &error));
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/discover/" name, function)
	ADD("srv-records-are-preferred-in-order", test_srv_records_are_preferred_in_order);
	ADD("hosts-that-only-end-alike-are-foreign", test_hosts_that_only_end_alike_are_foreign);
	ADD("strings-that-are-no-address", test_strings_that_are_no_address);
	ADD("domain-that-is-none-is-not-found", test_domain_that_is_none_is_not_found);
	ADD("cancelled-search-ends-at-once", test_cancelled_search_ends_at_once);
	return g_test_run();
}
