/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "check-smtp.h"
#include "check.h"

#define DAY (24 * 60 * 60)

static char *
words_of(const char *capabilities, gboolean pop)
{
	g_auto(GStrv) list = g_strsplit(capabilities, " ", -1);
	g_autoptr(GPtrArray) array = g_ptr_array_new();

	for (guint i = 0; list[i] != NULL; i++)
		g_ptr_array_add(array, list[i]);
	return check_capability_text(array, pop);
}

static char *
words(const char *capabilities)
{
	return words_of(capabilities, FALSE);
}

static void
test_pop3(void)
{
	g_autofree char *all = words_of("UIDL TOP PIPELINING STLS", TRUE);
	g_autofree char *none = words_of("IDLE", TRUE);

	g_assert_cmpstr(all, ==, "lasting names (UIDL), headers (TOP), pipelining (PIPELINING)");
	g_assert_true(g_str_has_prefix(none, "the bare protocol; without lasting names"));
}

static void
test_all_offered(void)
{
	g_autofree char *text = words("IMAP4REV1 IDLE QRESYNC CONDSTORE COMPRESS=DEFLATE QUOTA "
				      "SPECIAL-USE");

	g_assert_cmpstr(text, ==,
			"push (IDLE), quick sync (QRESYNC), compression (COMPRESS=DEFLATE), quota "
			"(QUOTA), special folders (SPECIAL-USE)");
}

static void
test_some_offered(void)
{
	g_autofree char *text = words("IMAP4REV1 CONDSTORE XLIST QUOTA");

	g_assert_cmpstr(text, ==,
			"quick sync of flags (CONDSTORE), quota (QUOTA), special folders (XLIST); "
			"without push (new mail shows within dir-time), compression");
}

static void
test_none_offered(void)
{
	/* A word is the whole word: neither a part nor a longer one. */
	g_autofree char *text = words("IMAP4REV1 IDLER COMPRESS QUOTA=RES-STORAGE");

	g_assert_true(g_str_has_prefix(text, "the bare protocol; without push"));
	g_assert_nonnull(strstr(text, "quota (df shows no sizes)"));
	g_assert_nonnull(strstr(text, "special folders"));
}

static void
test_expiry(void)
{
	const gint64 now = 1795305600; /* 2026-11-22 00:00:00 */
	g_autofree char *far = check_expiry_text(now + 30 * DAY, now);
	g_autofree char *soon = check_expiry_text(now + 13 * DAY, now);
	g_autofree char *next = check_expiry_text(now + DAY, now);
	g_autofree char *past = check_expiry_text(now - 1, now);
	g_autofree char *unknown = check_expiry_text(0, now);

	g_assert_cmpstr(far, ==, "good until 2026-12-22 (30 days)");
	g_assert_cmpstr(soon, ==, "good until 2026-12-05 (13 days only: renew it)");
	g_assert_cmpstr(next, ==, "good until 2026-11-23 (1 day only: renew it)");
	g_assert_cmpstr(past, ==, "expired since 2026-11-21");
	g_assert_cmpstr(unknown, ==, "good until an unreadable date");
}

static void
assert_path(const char *name, char separator, const char *prefix, const char *expected)
{
	MailboxInfo info = {.name = name, .separator = separator, .prefix = prefix};
	g_autofree char *path = check_folder_path(&info);

	g_assert_cmpstr(path, ==, expected);
}

static void
test_folder_path(void)
{
	assert_path("INBOX", '/', "", "INBOX");
	assert_path("Work/K&AOQ-se", '/', "", "Work/Käse");
	assert_path("INBOX.Sent", '.', "INBOX.", "Sent");
	assert_path("INBOX.a/b", '.', "INBOX.", "a%2Fb");
	assert_path("INBOX", '.', "INBOX.", "INBOX");
	assert_path("flat.name", '\0', "", "flat.name");
}

static void
test_smtp_limits(void)
{
	SmtpLimits all = {.size = 50 * 1024 * 1024,
			  .eight_bit = TRUE,
			  .smtputf8 = TRUE,
			  .pipelining = TRUE,
			  .dsn = TRUE};
	SmtpLimits none = {0};
	g_autofree char *much = check_smtp_limits_text(&all);
	g_autofree char *little = check_smtp_limits_text(&none);

	g_assert_cmpstr(
		much, ==,
		"takes messages of up to 50.0\302\240MiB, 8-bit text, addresses beyond ASCII, "
		"many messages without a pause, notifications");
	g_assert_cmpstr(little, ==,
			"takes messages of any size; not: 8-bit text, addresses beyond ASCII, "
			"many messages without a pause, notifications");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/check/what-a-server-offers-is-told-in-words", test_all_offered);
	g_test_add_func("/check/what-it-does-not-offer-is-told-too", test_some_offered);
	g_test_add_func("/check/only-whole-words-count", test_none_offered);
	g_test_add_func("/check/what-a-pop3-server-offers-is-told", test_pop3);
	g_test_add_func("/check/a-certificate-that-ends-soon-is-pointed-at", test_expiry);
	g_test_add_func("/check/a-folder-is-named-as-the-mount-names-it", test_folder_path);
	g_test_add_func("/check/what-a-relay-takes-is-told-in-words", test_smtp_limits);
	return g_test_run();
}
