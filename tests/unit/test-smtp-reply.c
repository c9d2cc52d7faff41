/* SPDX-License-Identifier: MIT */
#include "proto/smtp-reply.h"

#include <string.h>

#include "base/error.h"

/* All of @text in one piece. (transfer full) */
static SmtpReply *
parse(const char *text, gssize *taken_out, GError **error)
{
	g_autoptr(SmtpParser) parser = smtp_parser_new();
	SmtpReply *reply = NULL;

	*taken_out = smtp_parser_feed(parser, (const guint8 *)text, strlen(text), &reply, error);
	return reply;
}

static void
assert_nonsense(const char *text)
{
	g_autoptr(GError) error = NULL;
	gssize taken;

	g_assert_null(parse(text, &taken, &error));
	g_assert_cmpint(taken, ==, -1);
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL);
}

static void
test_nothing_behind_a_reply_is_taken(void)
{
	gssize taken;
	g_autoptr(SmtpReply) reply = parse("220 go\r\n250 injected\r\n", &taken, NULL);

	g_assert_cmpint(taken, ==, 8);
	g_assert_cmpint(reply->code, ==, 220);
	g_assert_cmpstr(reply->text, ==, "go");
}

static void
test_enhanced_codes_are_taken_from_lines_that_have_them(void)
{
	gssize taken;
	g_autoptr(SmtpReply) same = parse("550-5.7.1 a\n550 5.7.1\n", &taken, NULL);
	g_autoptr(SmtpReply) some = parse("550-5.7.1 a\n550-b\n550 5.7.2 c\n", &taken, NULL);
	g_autoptr(SmtpReply) late = parse("550-a\n550 5.7.1 b\n", &taken, NULL);
	g_autoptr(SmtpReply) odd = parse("550 4.7.1 a\n", &taken, NULL);

	g_assert_cmpstr(same->enhanced, ==, "5.7.1");
	g_assert_cmpstr(same->text, ==, "a\n");
	g_assert_cmpstr(some->enhanced, ==, "5.7.1");
	g_assert_cmpstr(some->text, ==, "a\nb\n5.7.2 c");
	g_assert_cmpstr(late->enhanced, ==, NULL);
	g_assert_cmpstr(late->text, ==, "a\n5.7.1 b");
	g_assert_cmpstr(odd->enhanced, ==, NULL);
	g_assert_cmpstr(odd->text, ==, "4.7.1 a");
}

/* @lines of @width bytes each, the last one without "-". (transfer full) */
static char *
long_reply(guint lines, guint width)
{
	g_autofree char *fill = g_strnfill(width - strlen("250-\n"), 'x');
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < lines; i++)
		g_string_append_printf(text, "250%c%s\n", i + 1 < lines ? '-' : ' ', fill);
	return g_string_free(text, FALSE);
}

static void
test_replies_have_bounds(void)
{
	g_autofree char *most = long_reply(1000, 60);
	g_autofree char *too_many = long_reply(1001, 60);
	g_autofree char *too_long = long_reply(66, 1000);
	g_autofree char *endless = g_strnfill(64 * 1024, '2');
	gssize taken;
	g_autoptr(SmtpReply) reply = parse(most, &taken, NULL);

	g_assert_nonnull(reply);
	g_assert_cmpint(taken, ==, 60000);
	assert_nonsense(too_many);
	assert_nonsense(too_long);
	assert_nonsense(endless);
}

static void
test_what_is_no_reply_is_nonsense(void)
{
	static const char *const texts[] = {"\n",      "25\n",		"250x\n",  "2500\n",
					    "199 a\n", "600 a\n",	"abc d\n", " 250 a\n",
					    "-50 a\n", "250-a\n251 b\n"};

	for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
		assert_nonsense(texts[i]);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/smtp-reply/nothing-behind-a-reply-is-taken",
			test_nothing_behind_a_reply_is_taken);
	g_test_add_func("/smtp-reply/enhanced-codes-are-taken-from-lines-that-have-them",
			test_enhanced_codes_are_taken_from_lines_that_have_them);
	g_test_add_func("/smtp-reply/replies-have-bounds", test_replies_have_bounds);
	g_test_add_func("/smtp-reply/what-is-no-reply-is-nonsense",
			test_what_is_no_reply_is_nonsense);
	return g_test_run();
}
