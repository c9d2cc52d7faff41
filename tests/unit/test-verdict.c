/* SPDX-License-Identifier: MIT */
#include "mail/verdict.h"

#include <string.h>
#include <sysexits.h>

#include "golden.h"

#define REPLY(c, t)                                                                                \
	{                                                                                          \
		.kind = VERDICT_REPLY, .code = (c), .text = (t), .recipient = "bob@example.org",   \
		.sender = "alice@example.com", .server = "smtp.example.com"                        \
	}
#define WHOLE(c, t)                                                                                \
	{                                                                                          \
		.kind = VERDICT_REPLY, .code = (c), .text = (t), .sender = "alice@example.com",    \
		.server = "smtp.example.com"                                                       \
	}

/* As servers have said it: Postfix, Exim, Dovecot, Gmail, Exchange, Yandex. */
static const Verdict replies[] = {
	REPLY(550, "5.1.1 <bob@example.org>: Recipient address rejected: User unknown in virtual "
		   "mailbox table"),
	REPLY(550, "5.1.2 <bob@example.org>: Recipient address rejected: Domain not found"),
	REPLY(550, "No such user here"),
	REPLY(550, "5.2.1 The email account that you tried to reach is disabled."),
	WHOLE(550, "5.4.5 Daily user sending limit exceeded. For more information on Gmail\n5.4.5 "
		   "sending limits go to\n5.4.5  https://support.google.com/a/answer/166852"),
	WHOLE(550, "5.7.1 [192.0.2.1] Our system has detected that this message is likely spam"),
	WHOLE(550, "5.7.26 Unauthenticated email from example.com is not accepted"),
	WHOLE(550, "5.7.60 SMTP; Client does not have permissions to send as this sender"),
	WHOLE(550, "Message rejected"),
	REPLY(551, "User not local; please try <bob@elsewhere.example>"),
	REPLY(552, "5.2.2 Quota exceeded (mailbox for user is full)"),
	WHOLE(552, "5.3.4 Message size exceeds fixed limit"),
	WHOLE(552, "5.2.3 your message is too long"),
	REPLY(552, "Message size or quota"),
	REPLY(553, "5.1.3 <bob@@example.org>: bad address syntax"),
	WHOLE(553, "5.7.1 <alice@example.com>: Sender address rejected: not owned by user al"),
	REPLY(554, "5.7.1 <bob@example.org>: Relay access denied"),
	WHOLE(554, "5.6.0 Message contains 8-bit header"),
	WHOLE(554, "5.4.6 Too many hops"),
	WHOLE(554, "Transaction failed"),
	WHOLE(530, "5.7.0 Must issue a STARTTLS command first"),
	WHOLE(534, "5.7.9 Application-specific password required."),
	WHOLE(535, "5.7.8 Username and Password not accepted."),
	WHOLE(535, "5.7.57 Client not authenticated to send mail"),
	WHOLE(421, "4.3.2 Service shutting down"),
	REPLY(450, "4.2.0 <bob@example.org>: Recipient address rejected: Greylisted"),
	WHOLE(451, "4.7.1 Greylisting in action, please come back later"),
	WHOLE(451, "4.3.0 Temporary lookup failure"),
	REPLY(452, "4.5.3 Too many recipients"),
	WHOLE(452, "4.3.1 Insufficient system storage"),
	WHOLE(454, "4.7.0 Temporary authentication failure"),
	WHOLE(555, "5.5.4 Unsupported option: SMTPUTF8"),
	WHOLE(571, "5.7.999 something of their own"),
	WHOLE(599, ""),
};

static const Verdict own[] = {
	{.kind = VERDICT_MAYBE_SENT,
	 .server = "smtp.example.com",
	 .message_id = "<1@example.com>",
	 .detail = "the line was lost"},
	{.kind = VERDICT_GAVE_UP,
	 .code = 451,
	 .text = "4.7.1 try later",
	 .sender = "alice@example.com",
	 .server = "smtp.example.com"},
	{.kind = VERDICT_GAVE_UP, .detail = "smtp.example.com:465: no route to host"},
	{.kind = VERDICT_NO_RECIPIENT},
	{.kind = VERDICT_INVALID,
	 .detail = "cannot be sent: Cc: \"bob\" is no address: its @ and domain are missing"},
	{.kind = VERDICT_TOO_BIG,
	 .size = 30 * 1024 * 1024,
	 .limit = 10 * 1024 * 1024,
	 .server = "smtp.example.com"},
	{.kind = VERDICT_NO_8BITMIME, .server = "smtp.example.com"},
	{.kind = VERDICT_NO_SMTPUTF8, .server = "smtp.example.com"},
	{.kind = VERDICT_NOT_ALLOWED, .recipient = "bob@example.org"},
	{.kind = VERDICT_UNSENDABLE, .detail = "reading what was written: Input/output error"},
};

static void
test_pages(void)
{
	g_autoptr(GString) all = g_string_new(NULL);

	for (guint i = 0; i < G_N_ELEMENTS(replies) + G_N_ELEMENTS(own); i++) {
		const Verdict *verdict =
			i < G_N_ELEMENTS(replies) ? &replies[i] : &own[i - G_N_ELEMENTS(replies)];
		g_autofree char *page = verdict_page(verdict), *line = verdict_line(verdict);

		g_assert_true(g_utf8_validate(page, -1, NULL));
		g_assert_null(strchr(line, '\n'));
		g_string_append_printf(all, "===== %s\n%s\n", line, page);
	}
	golden_check("verdicts.txt", all->str, all->len);
}

static void
test_long_words_stay_whole(void)
{
	static const char link[] =
		"https://example.org/a/very/long/link/that/explains/all/and/goes/"
		"on/and/on/and/on?with=parameters&and=more";
	g_autofree char *text = g_strdup_printf("5.7.1 see %s for details", link);
	Verdict verdict = WHOLE(554, text);
	g_autofree char *page = verdict_page(&verdict);

	g_assert_nonnull(strstr(page, link));
}

static void
test_foreign_text(void)
{
	Verdict verdict = WHOLE(554, "5.7.1 \033]0;owned\007 \xff\xfe \xe2\x80\xae evil\nline two");
	g_autofree char *page = verdict_page(&verdict), *line = verdict_line(&verdict);
	g_autofree char *huge = g_strnfill(1 << 20, 'x');
	g_autofree char *bounded = NULL;

	g_assert_true(g_utf8_validate(page, -1, NULL));
	g_assert_null(strchr(page, '\033'));
	g_assert_nonnull(strstr(page, "\\x1b]0;owned\\x07"));
	g_assert_null(strstr(page, "\xe2\x80\xae"));
	g_assert_null(strchr(line, '\033'));
	g_assert_nonnull(strstr(page, "    line two\n"));
	verdict.text = huge;
	bounded = verdict_page(&verdict);
	g_assert_cmpuint(strlen(bounded), <, 16 * 1024);
}

static void
test_facts(void)
{
	Verdict verdict = REPLY(550, "5.1.1 unknown");
	g_autofree char *page = NULL;

	verdict.when = 1795334472; /* 2026-11-22 08:01:12 UTC */
	verdict.message_id = "<1.2@example.com>";
	page = verdict_page(&verdict);
	g_assert_nonnull(strstr(page, "Message-ID: <1.2@example.com>\n"));
	g_assert_nonnull(strstr(page, "Recipient:  bob@example.org\n"));
	g_assert_nonnull(strstr(page, "When:       2026-11-22 "));
}

static void
test_enhanced(void)
{
	static const struct {
		int code;
		const char *text, *expected;
	} table[] = {
		{550, "5.1.1 no", "5.1.1"},  {550, "5.7.26", "5.7.26"}, {550, "4.1.1 no", NULL},
		{250, "2.0.0 ok", "2.0.0"},  {550, "5.1 no", NULL},	{550, "5.1.1.1 no", NULL},
		{550, "5.1234.1 no", NULL},  {550, "5..1 no", NULL},	{550, "5.1.", NULL},
		{550, "5.1.1no", NULL},	     {550, "", NULL},		{550, NULL, NULL},
		{451, "4.7.1\nno", "4.7.1"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
		g_autofree char *found = verdict_enhanced(table[i].code, table[i].text);

		g_assert_cmpstr(found, ==, table[i].expected);
	}
}

static void
test_retry(void)
{
	g_autoptr(GDateTime) noon = g_date_time_new_local(2026, 11, 22, 12, 5, 0);
	gint64 at = g_date_time_to_unix(noon);
	g_autofree char *today = verdict_retry_line(at, at - 60, 451, "4.7.1", "wait\na bit");
	g_autofree char *later = verdict_retry_line(at, at - 86400, 0, NULL, "offline");
	g_autofree char *bare = verdict_retry_line(at, at, 0, NULL, NULL);
	g_autofree char *once = verdict_retry_line(at, at, 451, "4.7.1", "4.7.1 wait");

	g_assert_cmpstr(today, ==, "retry 12:05 (451 4.7.1 wait a bit)");
	g_assert_cmpstr(later, ==, "retry 2026-11-22 12:05 (offline)");
	g_assert_cmpstr(bare, ==, "retry 12:05");
	g_assert_cmpstr(once, ==, "retry 12:05 (451 4.7.1 wait)");
}

static void
test_stops(void)
{
	static const struct {
		int code;
		const char *enhanced, *text;
		VerdictStops whole, of_recipient;
	} table[] = {
		{550, "5.1.1", "", VERDICT_STOPS_NOTHING, VERDICT_STOPS_NOTHING},
		{550, NULL, "5.7.1 policy", VERDICT_STOPS_BATCH, VERDICT_STOPS_NOTHING},
		{554, "5.7.1", "Relay access denied", VERDICT_STOPS_BATCH, VERDICT_STOPS_NOTHING},
		{553, "5.7.1", "Sender address rejected", VERDICT_STOPS_BATCH, VERDICT_STOPS_BATCH},
		{550, "5.7.26", "", VERDICT_STOPS_BATCH, VERDICT_STOPS_BATCH},
		{550, "5.4.5", "", VERDICT_STOPS_BATCH, VERDICT_STOPS_BATCH},
		{550, "5.7.2", "", VERDICT_STOPS_NOTHING, VERDICT_STOPS_NOTHING},
		{450, "4.7.1", "", VERDICT_STOPS_NOTHING, VERDICT_STOPS_NOTHING},
		{535, "5.7.8", "", VERDICT_STOPS_ACCOUNT, VERDICT_STOPS_ACCOUNT},
		{530, NULL, "", VERDICT_STOPS_ACCOUNT, VERDICT_STOPS_ACCOUNT},
		{550, "5.7.13", "", VERDICT_STOPS_ACCOUNT, VERDICT_STOPS_ACCOUNT},
		{554, NULL, "no", VERDICT_STOPS_NOTHING, VERDICT_STOPS_NOTHING},
	};

	for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
		g_assert_cmpint(
			verdict_stops(table[i].code, table[i].enhanced, table[i].text, FALSE), ==,
			table[i].whole);
		g_assert_cmpint(
			verdict_stops(table[i].code, table[i].enhanced, table[i].text, TRUE), ==,
			table[i].of_recipient);
	}
}

static void
test_exit_codes(void)
{
	static const struct {
		int code;
		const char *enhanced;
		int expected;
	} table[] = {
		{250, "2.0.0", EX_OK},		{550, "5.1.1", EX_NOUSER},
		{550, NULL, EX_NOUSER},		{550, "5.1.2", EX_NOHOST},
		{550, "5.1.10", EX_NOHOST},	{552, "5.3.4", EX_DATAERR},
		{552, "5.2.2", EX_UNAVAILABLE}, {554, "5.7.1", EX_NOPERM},
		{554, NULL, EX_UNAVAILABLE},	{451, "4.7.1", EX_TEMPFAIL},
		{421, NULL, EX_TEMPFAIL},	{535, "5.7.8", EX_NOPERM},
		{530, NULL, EX_NOPERM},		{554, "5.6.0", EX_DATAERR},
		{503, "5.5.1", EX_PROTOCOL},	{501, NULL, EX_PROTOCOL},
		{556, NULL, EX_NOHOST},
	};

	for (guint i = 0; i < G_N_ELEMENTS(table); i++)
		g_assert_cmpint(verdict_exit_code(table[i].code, table[i].enhanced), ==,
				table[i].expected);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/verdict/pages-say-it-in-plain-words", test_pages);
	g_test_add_func("/verdict/a-link-of-the-server-stays-whole", test_long_words_stay_whole);
	g_test_add_func("/verdict/what-the-server-said-is-harmless", test_foreign_text);
	g_test_add_func("/verdict/a-page-tells-when-whom-and-which", test_facts);
	g_test_add_func("/verdict/enhanced-codes-are-known-by-their-form", test_enhanced);
	g_test_add_func("/verdict/a-retry-says-when-and-why", test_retry);
	g_test_add_func("/verdict/some-refusals-stop-more-than-one-message", test_stops);
	g_test_add_func("/verdict/every-reply-has-its-exit-code", test_exit_codes);
	return g_test_run();
}
