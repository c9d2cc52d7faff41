/* SPDX-License-Identifier: MIT */
#include "mail/mime.h"

#include <string.h>

typedef struct {
	const char *value, *text;
} Pair;

static void
assert_pairs(char *(*decode)(const char *value, gsize len), const Pair *pairs, gsize n)
{
	for (gsize i = 0; i < n; i++) {
		g_autofree char *text = decode(pairs[i].value, strlen(pairs[i].value));

		g_assert_cmpstr(text, ==, pairs[i].text);
	}
}

static void
test_encoded_words_become_text(void)
{
	static const Pair pairs[] = {
		{"", ""},
		{"plain  text", "plain  text"},
		{"=?utf-8?Q?caf=C3=A9_x?=", "café x"},
		{"=?UTF-8?b?5pel5pys?=", "日本"},
		{"=?utf-8*en?q?a=20b?=", "a b"},
		{"a =?utf8?Q?=C3=A9?= b", "a é b"},
		{"a=?utf-8?Q?b?=c", "abc"},
		{"=?utf-8?Q?a?= \t =?utf-8?Q?b?=", "ab"},
		{"=?utf-8?Q?a?= . =?utf-8?Q?b?=", "a . b"},
		{"=?utf-8?Q?hello world?=", "hello world"},
		{"=?utf-8?Q?\?=", ""},
		{"(=?utf-8?Q?a?=)", "(a)"},
	};

	assert_pairs(mime_decode_header, pairs, G_N_ELEMENTS(pairs));
}

static void
test_charsets_of_east_asia_become_text(void)
{
	static const Pair pairs[] = {
		{"=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", "日本"},
		{"=?iso-2022-jp?B?GyRCLSF8YhsoQhsoSTYbKEI=?=", "①髙ｶ"},
		{"=?iso-2022-jp?B?GyRCRg==?= =?iso-2022-jp?B?fEtcGyhC?=", "日本"},
		{"\x1b$BF|K\\\x1b(B raw", "日本 raw"},
		{"=?x-sjis?B?k/qWew==?=", "日本"},
		{"=?cp-932?B?h0A=?=", "①"},
		{"=?euc-jp?B?xvzL3A==?=", "日本"},
		{"=?gb2312?B?6V8=?=", "開"},
		{"=?big5?B?pOmlu6VcsPI=?=", "日本功基"},
		{"=?euc-kr?B?sMvB9Q==?=", "검증"},
		{"=?iso-2022-kr?B?GyQpQw4wS0F1Dw==?=", "검증"},
		{"=?utf-8?B?5pel5g==?= =?UTF8?B?nKw=?=", "日本"},
	};

	assert_pairs(mime_decode_header, pairs, G_N_ELEMENTS(pairs));
}

static void
test_what_cannot_be_decoded_stays_or_is_marked(void)
{
	static const Pair pairs[] = {
		{"=?nonesuch?Q?caf=E9?=", "=?nonesuch?Q?caf=E9?="},
		{"=?utf-16?B?AGE=?= b", "=?utf-16?B?AGE=?= b"},
		{"=?utf-8//TRANSLIT?Q?a?=", "=?utf-8//TRANSLIT?Q?a?="},
		{"=?utf-8?X?a?=", "=?utf-8?X?a?="},
		{"=?utf-8?Q?a", "=?utf-8?Q?a"},
		{"=?utf-8?Q?", "=?utf-8?Q?"},
		{"=?=?=?", "=?=?=?"},
		{"=?", "=?"},
		{"=", "="},
		{"=?utf-8?Q?caf=E9?=", "caf\xef\xbf\xbd"},
		{"=?utf-8?Q?=C3?=x", "\xef\xbf\xbdx"},
		{"=?shift_jis?Q?=93=FA=93?=", "日\xef\xbf\xbd"},
		{"=?windows-1252?Q?=81=93a=94?=", "\xef\xbf\xbd“a”"},
		{"=?utf-8?Q?a=3?=", "a=3"},
		{"=?utf-8?Q?a=?=", "a="},
		{"=?utf-8?B?*?=", ""},
		{"=?utf-8?B?YQ==Yg==?=", "a"},
		{"=?utf-8?B?Y?=", ""},
	};

	assert_pairs(mime_decode_header, pairs, G_N_ELEMENTS(pairs));
}

static void
test_raw_bytes_are_utf8_or_their_neighbour_or_latin1(void)
{
	static const Pair pairs[] = {
		{"caf\xc3\xa9", "café"},
		{"caf\xe9", "café"},
		{"\x93q\x94", "“q”"},
		{"=?koi8-r?B?8NLJ18XU?= \xcd\xc9\xd2", "Привет мир"},
		{"\xcd\xc9\xd2 =?koi8-r?B?8NLJ18XU?=", "мир Привет"},
		{"=?utf-8?Q?=C3=A9?= caf\xe9", "é café"},
		{"=?shift_jis?B?k/o=?= \x93", "日 “"},
		{"=?us-ascii?Q?caf=E9?=", "café"},
		{"=?unknown-8bit?Q?caf=C3=A9?=", "café"},
		{"=?\?Q?caf=E9?=", "café"},
	};

	assert_pairs(mime_decode_header, pairs, G_N_ELEMENTS(pairs));
}

static void
test_control_characters_become_spaces(void)
{
	static const Pair pairs[] = {
		{"a\tb\r\n c", "a b   c"},
		{"\x1b[31mred\x7f", " [31mred "},
		{"=?utf-8?Q?a=00b=0D=0Ac?=", "a b  c"},
		{"=?utf-8?Q?a=C2=85b=C2=A0c?=", "a b\xc2\xa0"
						"c"},
		{"=?iso-8859-2?Q?a=85b?=", "a b"},
	};
	g_autofree char *nul = mime_decode_header("a\0b", 3);

	assert_pairs(mime_decode_header, pairs, G_N_ELEMENTS(pairs));
	g_assert_cmpstr(nul, ==, "a b");
}

static void
test_a_field_is_found_unfolded_and_trimmed(void)
{
	static const char header[] = "From bob Sat Nov 21\r\nX-Subject: no\r\n folded: no\r\n"
				     "SUBJECT \t:  a\r\n\tb\n  c \r\nSubject: second\r\nEmpty:\r\n"
				     "Bare: a\rb\r\nno field\r\nLast: end";
	static const Pair fields[] = {
		{"Subject", "a\tb  c"}, {"folded", NULL}, {"From", NULL}, {"Empty", ""},
		{"Bare", "a\rb"},	{"last", "end"},  {"Las", NULL},  {"Missing", NULL},
	};

	for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
		g_autofree char *value =
			mime_header_field(header, sizeof header - 1, fields[i].value);

		g_assert_cmpstr(value, ==, fields[i].text);
	}
}

static void
test_the_body_is_not_searched(void)
{
	static const char message[] = "From: a\r\n\r\nSubject: body\r\n";

	g_assert_null(mime_header_field(message, sizeof message - 1, "Subject"));
	g_assert_null(mime_header_field("\r\nSubject: body\r\n", 17, "Subject"));
	g_assert_null(mime_header_field("", 0, "Subject"));
}

static void
test_nul_bytes_of_a_field_are_dropped(void)
{
	g_autofree char *value = mime_header_field("A: x\0y\0\r\n", 9, "a");

	g_assert_cmpstr(value, ==, "xy");
}

static void
test_the_header_ends_after_its_empty_line(void)
{
	static const struct {
		const char *message;
		gsize length;
	} cases[] = {
		{"", 0},
		{"\r\nbody", 2},
		{"\nbody", 1},
		{"A: b\r\n\r\nbody", 8},
		{"A: b\n\nbody", 6},
		{"A: b\n\r\nx", 7},
		{"A: b\r\n \r\nx", 10},
		{"A: b\r\n", 6},
		{"A: b\r\n\r\n\r\n", 8},
		{"A: b\r\rx", 7},
		{"\r", 1},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_cmpuint(mime_header_length(cases[i].message, strlen(cases[i].message)), ==,
				 cases[i].length);
}

static void
test_addresses_are_decoded(void)
{
	static const Pair pairs[] = {
		{"bob@example.org", "<bob@example.org>"},
		{"<bob@example.org>", "<bob@example.org>"},
		{"Bob <bob@example.org>, c@d", "Bob <bob@example.org>, <c@d>"},
		{"=?utf-8?Q?J=C3=B6rg?= <j@x>", "Jörg <j@x>"},
		{"\"=?utf-8?Q?J=C3=B6rg?=\" <j@x>", "Jörg <j@x>"},
		{"J\xc3\xb6rg <j@x>", "Jörg <j@x>"},
		{"J\xf6rg <j@x>", "Jörg <j@x>"},
		{"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?= <j@x>", "日本 <j@x>"},
		{"\"Doe, John\" <j@x>", "\"Doe, John\" <j@x>"},
		{"\"a \\\"b\\\" c\" <j@x>", "\"a \\\"b\\\" c\" <j@x>"},
		{"John Q. Public <j@x>", "John Q. Public <j@x>"},
		{"a@b (Bob), c@d (Carl (x) Y)", "Bob <a@b>, \"Carl (x) Y\" <c@d>"},
		{"team: a@b, C <c@d>;, e@f", "<a@b>, C <c@d>, <e@f>"},
		{"a@b;c@d", "<a@b>, <c@d>"},
		{"a@b, , c@d,", "<a@b>, <c@d>"},
		{"user@[10.0.0.1]", "<user@[10.0.0.1]>"},
		{"user@[IPv6:::1]", "user@[IPv6:::1]"},
		{"undisclosed-recipients:;", "undisclosed-recipients:;"},
		{"=?utf-8?Q?=3Cboss=40x=3E?= <evil@y>", "\"<boss@x>\" <evil@y>"},
		{"", ""},
	};

	assert_pairs(mime_decode_addresses, pairs, G_N_ELEMENTS(pairs));
}

static void
test_one_broken_address_does_not_cost_the_others(void)
{
	static const Pair pairs[] = {
		{"a b c@d <x, Bob <b@c>", "a b c@d <x, Bob <b@c>"},
		{"=?utf-8?Q?=C3=A9?= without address <, b@c", "é without address <, b@c"},
		{"a@b c@d, e@f", "a@b c@d, <e@f>"},
		{"a@@b, Bob <b@c>", "a@@b, Bob <b@c>"},
	};

	assert_pairs(mime_decode_addresses, pairs, G_N_ELEMENTS(pairs));
}

static void
test_dates_keep_their_own_offset(void)
{
	static const Pair pairs[] = {
		{"Sat, 21 Nov 2026 06:38:12 +0900", "2026-11-21T06:38:12+09:00"},
		{"21 Nov 26 6:38 GMT", "2026-11-21T06:38:00+00:00"},
		{"Sat, 21 Nov 2026 06:38:12 -0330 (NST)", "2026-11-21T06:38:12-03:30"},
		{"Sat, 21 Nov 1998 06:38:12 EST", "1998-11-21T06:38:12-05:00"},
		{"Thu, 20 Jun 2002 05:53:48 UT", "2002-06-20T05:53:48+00:00"},
		{"Thu, 20 Jun 2002 05:53:48 UTC (x)", "2002-06-20T05:53:48+00:00"},
		{"20 Jun 2002 05:53:48 Z", "2002-06-20T05:53:48+00:00"},
		{"20 Jun 2002 05:53:48 +0001", "2002-06-20T05:53:48+00:01"},
		{"20 Jun 2002 05:53:48 +0000Z", "2002-06-20T05:53:48+00:00"},
		{"1 Jan 99 00:00:00 -0000", "1999-01-01T00:00:00+00:00"},
		{"29 Feb 2024 23:59:60 +0000", "2024-02-29T23:59:60+00:00"},
		{"Sat, 21 Nov 2026 06:38:12", "2026-11-21T06:38:12+00:00"},
	};

	assert_pairs(mime_decode_date, pairs, G_N_ELEMENTS(pairs));
}

static void
test_what_is_no_date_is_shown_as_it_is(void)
{
	static const char *const dates[] = {
		"",
		"garbage",
		"29 Feb 2023 00:00:00 +0000",
		"Mon, 99 Feb 2020 44:00:00 +9999",
		"1 Jan 2020 24:00:00 +0000",
		"1 Jan 2020 00:00:00 +2460",
		"1 Jan 4294969322 00:00:00 +0000",
		"Sat,21 Nov 2026 06:38:12 (comment) +0900",
		"Sat Nov 21 06:38:12 2026",
	};
	g_autofree char *escaped = mime_decode_date("\x1b[31m", 5);

	for (guint i = 0; i < G_N_ELEMENTS(dates); i++) {
		g_autofree char *text = mime_decode_date(dates[i], strlen(dates[i]));

		g_assert_cmpstr(text, ==, dates[i]);
	}
	g_assert_cmpstr(escaped, ==, " [31m");
}

static char *
auth_results(const char *header)
{
	return mime_auth_results(header, strlen(header), "mx.example.org");
}

static void
test_authentication_results_of_our_server_are_read(void)
{
	static const Pair pairs[] = {
		{"mx.example.org; spf=pass smtp.mailfrom=a@b; dkim=fail; dmarc=none",
		 "spf=pass dkim=fail dmarc=none"},
		{"MX.example.org 1;\r\n DMARC = pass (p=reject; spf=fail)\r\n header.from=b",
		 "dmarc=pass"},
		{"\"mx.example.org\"; dkim/1=pass reason=\"x; spf=fail\"", "dkim=pass"},
		{"(c) mx.example.org; dkim=fail; dkim=pass; dkim=neutral; spf=fail; spf=pass",
		 "spf=fail dkim=pass"},
		{"mx.example.org; dkim=pass; dkim=fail", "dkim=pass"},
		{"mx.example.org; none", NULL},
		{"mx.example.org", NULL},
		{"mx.example.org.evil; spf=pass", NULL},
		{"evil; x=\"; mx.example.org; spf=pass\"", NULL},
		{"mx.example.orgx; spf=pass", NULL},
		{"", NULL},
		{"mx.example.org; spf=; dkim", NULL},
		{"mx.example.org; spf", NULL},
		{"mx.example.org; spf=\"pass\"", NULL},
	};

	for (guint i = 0; i < G_N_ELEMENTS(pairs); i++) {
		g_autofree char *header =
			g_strconcat("Authentication-Results: ", pairs[i].value, "\r\n\r\n", NULL);
		g_autofree char *results = auth_results(header);

		g_assert_cmpstr(results, ==, pairs[i].text);
	}
}

static void
test_only_the_topmost_results_of_our_server_count(void)
{
	g_autofree char *first =
		auth_results("Authentication-Results: other; spf=fail\r\n"
			     "Authentication-Results: mx.example.org; spf=softfail\r\n"
			     "Authentication-Results: mx.example.org; dkim=pass\r\n\r\n");
	g_autofree char *none =
		mime_auth_results("Authentication-Results: x; spf=pass\r\n", 37, "");

	g_assert_cmpstr(first, ==, "spf=softfail");
	g_assert_null(none);
}

/* 256 KiB of each unit to each decoder. */
static void
test_bombs_take_no_longer_than_their_length(void)
{
	static const char *const units[] = {
		"(",
		")",
		"\"",
		"<",
		"=?",
		"=?utf-8?Q?a?= ",
		"a@b, ",
		"a@b (",
		"\\",
		":",
		";",
		"a ",
		"=?iso-2022-jp?B?GyRCRg==?= ",
		"1",
		"(\"",
		"@a:",
		"[",
		"\x1b$",
		"\xff",
		"a,",
	};

	for (guint i = 0; i < G_N_ELEMENTS(units); i++) {
		g_autoptr(GString) value = g_string_new("Authentication-Results: mx.example.org;");
		gint64 start = g_get_monotonic_time();

		while (value->len < 256 * 1024)
			g_string_append(value, units[i]);
		g_free(mime_decode_header(value->str, value->len));
		g_free(mime_decode_addresses(value->str + 39, value->len - 39));
		g_free(mime_decode_date(value->str + 39, value->len - 39));
		g_free(auth_results(value->str));
		g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
	}
}

static void
assert_valid(char *text)
{
	g_assert_true(g_utf8_validate(text, -1, NULL));
	for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p))
		g_assert_false(g_unichar_iscntrl(g_utf8_get_char(p)));
	g_free(text);
}

static void
test_random_bytes_give_valid_text(void)
{
	static const char *const pieces[] = {
		"=?",
		"?=",
		"=?utf-8?Q?",
		"=?iso-2022-jp?B?",
		"=?gb18030?Q?=",
		"\x1b$B",
		"\x1b(B",
		"=?utf-7?Q?+",
		"=?big5-hkscs?Q?=88=62",
		"=?iso-2022-kr?Q?",
		"=?cp1258?Q?a=CC",
		" ",
		",",
		"<",
		"\"",
		"(",
		"a@b",
		":",
		"=1B$)C=0E",
		"21 Nov 2026 06:38:12 +0900",
	};
	g_autoptr(GRand) rand = g_rand_new_with_seed(2047);

	for (guint round = 0; round < 30000; round++) {
		g_autoptr(GString) value = g_string_new(NULL);
		int n = g_rand_int_range(rand, 0, 12);

		while (n-- > 0) {
			if (g_rand_boolean(rand))
				g_string_append_c(value, (char)g_rand_int_range(rand, 0, 256));
			else
				g_string_append(
					value,
					pieces[g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces))]);
		}
		assert_valid(mime_decode_header(value->str, value->len));
		assert_valid(mime_decode_addresses(value->str, value->len));
		assert_valid(mime_decode_date(value->str, value->len));
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/mime/encoded-words-become-text", test_encoded_words_become_text);
	g_test_add_func("/mime/charsets-of-east-asia-become-text",
			test_charsets_of_east_asia_become_text);
	g_test_add_func("/mime/what-cannot-be-decoded-stays-or-is-marked",
			test_what_cannot_be_decoded_stays_or_is_marked);
	g_test_add_func("/mime/raw-bytes-are-utf8-or-their-neighbour-or-latin1",
			test_raw_bytes_are_utf8_or_their_neighbour_or_latin1);
	g_test_add_func("/mime/control-characters-become-spaces",
			test_control_characters_become_spaces);
	g_test_add_func("/mime/a-field-is-found-unfolded-and-trimmed",
			test_a_field_is_found_unfolded_and_trimmed);
	g_test_add_func("/mime/the-body-is-not-searched", test_the_body_is_not_searched);
	g_test_add_func("/mime/nul-bytes-of-a-field-are-dropped",
			test_nul_bytes_of_a_field_are_dropped);
	g_test_add_func("/mime/the-header-ends-after-its-empty-line",
			test_the_header_ends_after_its_empty_line);
	g_test_add_func("/mime/addresses-are-decoded", test_addresses_are_decoded);
	g_test_add_func("/mime/one-broken-address-does-not-cost-the-others",
			test_one_broken_address_does_not_cost_the_others);
	g_test_add_func("/mime/dates-keep-their-own-offset", test_dates_keep_their_own_offset);
	g_test_add_func("/mime/what-is-no-date-is-shown-as-it-is",
			test_what_is_no_date_is_shown_as_it_is);
	g_test_add_func("/mime/authentication-results-of-our-server-are-read",
			test_authentication_results_of_our_server_are_read);
	g_test_add_func("/mime/only-the-topmost-results-of-our-server-count",
			test_only_the_topmost_results_of_our_server_count);
	g_test_add_func("/mime/bombs-take-no-longer-than-their-length",
			test_bombs_take_no_longer_than_their_length);
	g_test_add_func("/mime/random-bytes-give-valid-text", test_random_bytes_give_valid_text);
	return g_test_run();
}
