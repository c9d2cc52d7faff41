/* SPDX-License-Identifier: MIT */
#include "mail/name.h"

#include <string.h>

#include "base/error.h"

/* --- message names --- */

/* The header column of names-v1.tsv. */
static GString *
unescape_column(const char *text)
{
	GString *out = g_string_new(NULL);

	for (const char *p = text; *p != '\0'; p++) {
		if (*p != '\\') {
			g_string_append_c(out, *p);
			continue;
		}
		p++;
		if (*p == 'x') {
			g_string_append_c(out, (char)(g_ascii_xdigit_value(p[1]) << 4 |
						      g_ascii_xdigit_value(p[2])));
			p += 2;
		} else {
			g_string_append_c(out, *p == 'r'   ? '\r'
					       : *p == 'n' ? '\n'
					       : *p == 't' ? '\t'
							   : *p);
		}
	}
	return out;
}

static char *
name_of(gint64 date, guint32 uid, const char *header, gsize len)
{
	NameHeaders headers;
	char *name;

	name_headers_parse(header, len, &headers);
	name = name_for_message(date, uid, &headers);
	name_headers_clear(&headers);
	g_assert_null(headers.subject);
	return name;
}

static void
test_every_row_of_names_v1_comes_out(void)
{
	g_autofree char *path = g_test_build_filename(G_TEST_DIST, "names-v1.tsv", NULL);
	g_autofree char *table = NULL;
	g_auto(GStrv) lines = NULL;
	guint rows = 0;

	g_assert_true(g_file_get_contents(path, &table, NULL, NULL));
	lines = g_strsplit(table, "\n", -1);
	for (guint i = 0; lines[i] != NULL; i++) {
		g_auto(GStrv) columns = g_strsplit(lines[i], "\t", -1);
		g_autoptr(GString) header = NULL;
		g_autofree char *name = NULL;

		if (*lines[i] == '#' || *lines[i] == '\0')
			continue;
		g_assert_cmpuint(g_strv_length(columns), ==, 5);
		header = unescape_column(columns[3]);
		name = name_of(g_ascii_strtoll(columns[1], NULL, 10),
			       (guint32)g_ascii_strtoull(columns[2], NULL, 10), header->str,
			       header->len);
		if (!g_str_equal(name, columns[4]))
			g_test_message("row: %s", columns[0]);
		g_assert_cmpstr(name, ==, columns[4]);
		rows++;
	}
	g_assert_cmpuint(rows, >=, 60);
}

static gboolean
is_terminal_safe(const char *name)
{
	if (*name == '\0' || !g_utf8_validate(name, -1, NULL) || strchr(name, '/') != NULL)
		return FALSE;
	for (const char *p = name; *p != '\0'; p = g_utf8_next_char(p)) {
		GUnicodeType type = g_unichar_type(g_utf8_get_char(p));

		if (type == G_UNICODE_CONTROL || type == G_UNICODE_LINE_SEPARATOR ||
		    type == G_UNICODE_PARAGRAPH_SEPARATOR)
			return FALSE;
		/* of the format characters, Arabic's number signs and the like are seen */
		if (type == G_UNICODE_FORMAT && g_unichar_iszerowidth(g_utf8_get_char(p)) &&
		    g_utf8_get_char(p) >= 0x200b && g_utf8_get_char(p) <= 0xfeff)
			return FALSE;
	}
	return TRUE;
}

static void
test_a_hostile_subject_makes_a_harmless_name(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(20261121);

	for (guint round = 0; round < 20000; round++) {
		char header[200] = "Subject: ";
		gsize len = 9 + (gsize)g_rand_int_range(rand, 0, 180);
		g_autofree char *name = NULL;

		for (gsize i = 9; i < len; i++)
			header[i] = (char)g_rand_int_range(rand, 0, 256);
		if (round % 2 == 0)
			memcpy(header + 9, "=?utf-8?Q?", 10);
		name = name_of(round, 1, header, len);
		g_assert_cmpuint(strlen(name), <=, NAME_MAX_MESSAGE);
		g_assert_true(is_terminal_safe(name));
		g_assert_true(g_ascii_isdigit(*name));
	}
}

/* 256 KiB of each: what is quadratic would take minutes. */
static void
test_a_bomb_takes_no_longer_than_its_length(void)
{
	static const char *const bombs[] = {
		"=?",
		"=?utf-8?Q?",
		"=?utf-8?B?",
		"=?utf-8?Q?a?= ",
		"=?x?Q?a?=",
		"\x1b$B",
		"\xcc\x81\xcc\xa3",
		"=?iso-2022-jp?B?GyRC?= ",
		"=?utf-7?Q?+",
		"a=CC=81=CC=A3",
		"\xff",
		"?=",
	};

	for (guint i = 0; i < G_N_ELEMENTS(bombs); i++) {
		g_autoptr(GString) header = g_string_new("Subject: =?utf-8?Q?");
		g_autofree char *name = NULL;
		gint64 start;

		while (header->len < 256 * 1024)
			g_string_append(header, bombs[i]);
		start = g_get_monotonic_time();
		name = name_of(0, 1, header->str, header->len);
		g_assert_cmpint(g_get_monotonic_time() - start, <, 3 * G_USEC_PER_SEC);
	}
}

static void
test_headers_beyond_256_kib_are_not_read(void)
{
	g_autoptr(GString) header = g_string_new("From: a@example.org\r\nX-Long: ");
	NameHeaders headers;

	while (header->len < 256 * 1024)
		g_string_append(header, "x");
	g_string_append(header, "\r\nSubject: late\r\n\r\n");
	name_headers_parse(header->str, header->len, &headers);
	g_assert_cmpstr(headers.from, ==, "a@example.org");
	g_assert_null(headers.subject);
	name_headers_clear(&headers);
}

static void
test_dates_out_of_the_calendar_are_its_first_and_last(void)
{
	g_autofree char *first = name_of(G_MININT64, 1, "", 0);
	g_autofree char *last = name_of(G_MAXINT64, 1, "", 0);

	g_assert_cmpstr(first, ==, "00010101-000000_no-subject.u1");
	g_assert_cmpstr(last, ==, "99991231-235959_no-subject.u1");
}

static void
test_time_agrees_with_glib_on_every_day_of_800_years(void)
{
	for (gint64 day = -200000; day < 92200; day++) {
		gint64 at = day * 86400 + (day & 0xffff);
		g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(at);
		g_autofree char *expected = g_date_time_format(time, "%Y%m%d-%H%M%S");
		g_autofree char *name = name_of(at, 1, "", 0);

		if (strncmp(name, expected, 15) != 0)
			g_assert_cmpstr(name, ==, expected);
	}
}

static void
test_only_a_bare_uid_is_a_uid_name(void)
{
	g_assert_cmpuint(name_parse_uid("1.eml"), ==, 1);
	g_assert_cmpuint(name_parse_uid("4294967295.eml"), ==, G_MAXUINT32);
	g_assert_cmpuint(name_parse_uid("4294967296.eml"), ==, 0);
	g_assert_cmpuint(name_parse_uid("18446744073709551617.eml"), ==, 0);
	g_assert_cmpuint(name_parse_uid("99999999999999999999999999.eml"), ==, 0);
	g_assert_cmpuint(name_parse_uid("0.eml"), ==, 0);
	g_assert_cmpuint(name_parse_uid("07.eml"), ==, 0);
	g_assert_cmpuint(name_parse_uid("+7.eml"), ==, 0);
	g_assert_cmpuint(name_parse_uid(" 7.eml"), ==, 0);
	g_assert_cmpuint(name_parse_uid("7"), ==, 0);
	g_assert_cmpuint(name_parse_uid("7.EML"), ==, 0);
	g_assert_cmpuint(name_parse_uid("7.emlx"), ==, 0);
	g_assert_cmpuint(name_parse_uid(".eml"), ==, 0);
	g_assert_cmpuint(name_parse_uid(""), ==, 0);
}

/* --- mailbox names --- */

typedef struct {
	const char *server, *shown;
} Pair;

/* Each is shown so, and a mailbox made under what is shown gets the server's name. */
static const Pair decoded_names[] = {
	{"INBOX", "INBOX"},
	{"Sent", "Sent"},
	{"Sent Items", "Sent Items"},
	{"a.b", "a.b"},
	{"R&-D", "R&D"},
	{"&-", "&"},
	{"&-&-", "&&"},
	{"Entw&APw-rfe", "Entwürfe"},
	{"&ZeVnLIqe-", "日本語"},
	{"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter%2Fmail%2F台北%2F日本語"},
	{"&Jjo-!", "☺!"},
	{"&2D3eAA-", "😀"},
	{"a/b", "a%2Fb"},
	{"/", "%2F"},
	{"%", "%25"},
	{"100%", "100%25"},
	{"%2F", "%252F"},
	{".", "%2E"},
	{"..", "%2E."},
	{"...", "%2E.."},
	{".hidden", "%2Ehidden"},
	{"../../etc", "%2E.%2F..%2Fetc"},
	{"a.", "a."},
	{" ", " "},
	{" a ", " a "},
	{"CON", "CON"},
	{"aux.", "aux."},
	{"-rf", "-rf"},
	{"*", "*"},
	{"a\"b\\c", "a\"b\\c"},
	{"a+b", "a+b"},
	{"inbox", "inbox"},
	{"a~2", "a~2"},
	{"~deadbeef", "~deadbeef"},
	{"&AAo-", "%0A"},
	{"&AAA-", "%00"},
	{"a&AA0ACg-b", "a%0D%0Ab"},
	{"&ABs-]0;x&AAc-", "%1B]0;x%07"},
	{"&AH8-", "%7F"},
	{"&AIU-", "%C2%85"},
	{"&AK0-", "%C2%AD"},
	{"&IA4-x", "%E2%80%8Ex"},
	{"&IC4-txt", "%E2%80%AEtxt"},
	{"&IAs-", "%E2%80%8B"},
	{"&ICg-", "%E2%80%A8"},
	{"&IGY-a", "%E2%81%A6a"},
	{"&,v8-", "%EF%BB%BF"},
	{"&Bhw-", "%D8%9C"},
	{"e&AwE-", "e\xcc\x81"},
	{"&AOk-", "é"},
	{"&20DcIQ-", "%F3%A0%80%A1"},
};

/* No or not canonical modified UTF-7: shown so, found by that, never made. */
static const Pair raw_names[] = {
	{"", "%"},
	{"&", "%26"},
	{"R&D", "R%26D"},
	{"&AGE", "%26AGE"},
	{"&Jjo", "%26Jjo"},
	{"&AGE-", "%26AGE-"},
	{"&AGE-&AGI-", "%26AGE-%26AGI-"},
	{"&AOk-&AOk-", "%26AOk-%26AOk-"},
	{"&AOl-", "%26AOl-"},
	{"&AOkA-", "%26AOkA-"},
	{"&AOk=-", "%26AOk=-"},
	{"&A-", "%26A-"},
	{"&2AA-", "%262AA-"},
	{"&3AA-", "%263AA-"},
	{"&2ADYAA-", "%262ADYAA-"},
	{"&AC8-", "%26AC8-"},
	{"&ACY-", "%26ACY-"},
	{"&U/BTFw-", "%26U%2FBTFw-"},
	{"& -", "%26 -"},
	{".&", "%2E%26"},
	{"caf\xc3\xa9", "café%"},
	{"caf\xe9", "caf%E9"},
	{"\xe6\x97\xa5\xe6\x9c\xac", "日本%"},
	{"\xe2\x80\x8b", "%E2%80%8B%"},
	{"\xc2\x85", "%C2%85%"},
	{"\x80", "%80"},
	{"\xff\xfe", "%FF%FE"},
	{"\xc0\xaf", "%C0%AF"},
	{"\xed\xa0\x80", "%ED%A0%80"},
	{"\xf4\x90\x80\x80", "%F4%90%80%80"},
	{"\xe6\x97", "%E6%97"},
	{"caf\xc3\xa9&", "café%26"},
	{"caf\xc3\xa9/&AOk-", "café%2F%26AOk-"},
	{"\n", "%0A%"},
	{"a\r\nb", "a%0D%0Ab%"},
	{"\t", "%09%"},
	{"\x7f", "%7F%"},
	{"\x1b]0;x\x07", "%1B]0;x%07%"},
	{".\x01", "%2E%01%"},
	{"%\x01", "%25%01%"},
};

static void
test_decodable_names_round_trip(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(decoded_names); i++) {
		const Pair *pair = &decoded_names[i];
		g_autoptr(GError) error = NULL;
		g_autofree char *shown = name_from_mutf7(pair->server, strlen(pair->server));
		g_autofree char *server = name_to_mutf7(pair->shown, &error);

		g_assert_cmpstr(shown, ==, pair->shown);
		g_assert_no_error(error);
		g_assert_cmpstr(server, ==, pair->server);
	}
}

static void
test_undecodable_names_are_shown_but_not_made(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(raw_names); i++) {
		const Pair *pair = &raw_names[i];
		g_autoptr(GError) error = NULL;
		g_autofree char *shown = name_from_mutf7(pair->server, strlen(pair->server));

		g_assert_cmpstr(shown, ==, pair->shown);
		g_assert_null(name_to_mutf7(pair->shown, &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	}
}

static void
test_nul_in_a_raw_name_is_escaped(void)
{
	g_autofree char *shown = name_from_mutf7("a\0b", 3);

	g_assert_cmpstr(shown, ==, "a%00b%");
}

static void
test_names_in_another_spelling_are_refused(void)
{
	static const char *const names[] = {
		"",	  "%",	 "a%",	 "%4",	"%zz",	 "%41",	    "%2f",	    "a%2E",
		".",	  "..",	 ".git", "a/b", "a\nb",	 "a\x1b",   "\xe9",	    "\xff",
		"%C3%A9", "%C3", "%E9",	 "%26", "a\x7f", "caf\xe9", "\xe2\x80\xae", "\xc2\x85",
	};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(name_to_mutf7(names[i], &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
		g_assert_true(g_utf8_validate(error->message, -1, NULL));
	}
}

/* Seven components of @n characters, of each way to be too long. */
static char *
long_component(guint kind, guint n)
{
	static const char *const units[] = {"a", "&-", "/", ".", "\xe9", "\xe6\x97\xa5", "&"};
	GString *out = g_string_new(NULL);

	for (guint i = 0; i < n; i++)
		g_string_append(out, units[kind]);
	return g_string_free(out, FALSE);
}

static void
test_a_name_told_in_utf8_is_put_into_modified_utf7(void)
{
	g_autofree char *both = name_mutf7_of_utf8("Gr\xc3\xb6\xc3\x9f"
						   "e/x&y");

	g_assert_cmpstr(both, ==, "Gr&APYA3w-e/x&-y");
	g_assert_null(name_mutf7_of_utf8("INBOX/Lists"));
	g_assert_null(name_mutf7_of_utf8("\xff"));
}

static void
test_long_names_are_cut_at_a_character_and_stay_distinct(void)
{
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (guint kind = 0; kind < 7; kind++) {
		for (guint n = 60; n < 600; n++) {
			g_autofree char *server = long_component(kind, n);
			char *shown = name_from_mutf7(server, strlen(server));
			gsize whole = strspn(shown, "a&%2FE963.\xe6\x97\xa5");

			g_assert_cmpuint(strlen(shown), <=, 255);
			g_assert_true(g_utf8_validate(shown, -1, NULL));
			if (strchr(shown, '~') != NULL) {
				g_assert_cmpuint(strlen(shown), >=, 252);
				g_assert_cmpuint(whole, ==, strlen(shown) - 9);
				g_assert_cmpint(shown[whole], ==, '~');
				g_assert_cmpint(shown[whole - 1], !=, '%');
				g_assert_null(name_to_mutf7(shown, NULL));
			}
			g_assert_true(g_hash_table_add(seen, shown));
		}
	}
}

static void
test_a_name_cannot_pose_as_a_cut_one(void)
{
	g_autofree char *victim = g_strnfill(300, 'a');
	g_autofree char *shown = name_from_mutf7(victim, 300);
	g_autofree char *posed = name_from_mutf7(shown, strlen(shown));

	g_assert_cmpuint(strlen(shown), ==, 255);
	g_assert_cmpstr(posed, !=, shown);
}

/* What name_from_mutf7() was given, told from the outside: unescaped, and the mark of raw text
 * gone. */
static GString *
unescape(const char *shown, gboolean *raw_out)
{
	GString *out = g_string_new(NULL);

	*raw_out = strstr(shown, "%26") != NULL;
	for (const char *p = shown; *p != '\0'; p++) {
		if (*p != '%') {
			g_string_append_c(out, *p);
		} else if (p[1] == '\0') {
			*raw_out = TRUE;
		} else {
			g_string_append_c(out, (char)(g_ascii_xdigit_value(p[1]) << 4 |
						      g_ascii_xdigit_value(p[2])));
			p += 2;
		}
	}
	return out;
}

/* Of the pieces that go wrong, more than chance would give. */
static GString *
random_component(GRand *rand)
{
	static const char *const pieces[] = {
		"&",
		"-",
		"/",
		"%",
		".",
		"&AOk-",
		"&ZeVnLIqe-",
		"&-",
		"&AAA-",
		"&IC4-",
		"caf\xc3\xa9",
		"\xe9",
		"\n",
		"\x1b",
		"a",
		"B",
		"%2F",
		"%26",
		"&2D3eAA-",
		"~",
		" ",
		"&2AA-",
		"\xe2\x80\x8b",
		"\xcc\x81",
		"&AwE-",
		"2",
		"F",
	};
	GString *out = g_string_new(NULL);
	int n = g_rand_int_range(rand, 0, g_rand_int_range(rand, 1, 16) == 1 ? 120 : 7);

	for (int i = 0; i < n; i++) {
		if (g_rand_int_range(rand, 0, 8) == 0)
			g_string_append_c(out, (char)g_rand_int_range(rand, 0, 256));
		else
			g_string_append(out,
					pieces[g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces))]);
	}
	return out;
}

static guint
bytes_hash(gconstpointer key)
{
	const GString *text = key;

	return g_string_hash(text);
}

static gboolean
bytes_equal(gconstpointer a, gconstpointer b)
{
	return g_string_equal(a, b);
}

static void
bytes_free(gpointer text)
{
	g_string_free(text, TRUE);
}

static gboolean
is_utf8_but_for_nul(const GString *text)
{
	g_autofree char *copy = g_strndup("", text->len);

	for (gsize i = 0; i < text->len; i++)
		copy[i] = text->str[i] == '\0' ? 'x' : text->str[i];
	return g_utf8_validate_len(copy, text->len, NULL);
}

/* Shown names are safe; one that is not cut leads back to the server's, byte for byte. */
static void
assert_round_trip(const GString *server, const char *shown)
{
	g_autofree char *back = name_to_mutf7(shown, NULL);
	g_autoptr(GString) text = NULL;
	gboolean raw;

	g_assert_cmpuint(strlen(shown), <=, 255);
	g_assert_true(is_terminal_safe(shown));
	g_assert_cmpint(*shown, !=, '.');
	if (strlen(shown) >= 252 && shown[strlen(shown) - 9] == '~')
		return;
	text = unescape(shown, &raw);
	raw = raw || !is_utf8_but_for_nul(text);
	if (raw)
		g_assert_null(back);
	g_assert_cmpmem(raw ? text->str : back, raw ? text->len : strlen(back), server->str,
			server->len);
}

static void
test_100000_random_names_are_safe_reversible_and_distinct(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(3501);
	g_autoptr(GHashTable) shown_of =
		g_hash_table_new_full(bytes_hash, bytes_equal, bytes_free, g_free);
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
	guint decoded = 0;

	for (guint round = 0; round < 100000; round++) {
		g_autoptr(GString) server = random_component(rand);
		g_autofree char *shown = name_from_mutf7(server->str, server->len);
		const char *before = g_hash_table_lookup(shown_of, server);

		assert_round_trip(server, shown);
		if (before != NULL) {
			g_assert_cmpstr(shown, ==, before);
			continue;
		}
		decoded += strchr(shown, '%') == NULL;
		g_assert_true(g_hash_table_add(seen, shown)); /* never two for one name */
		g_hash_table_insert(shown_of, g_steal_pointer(&server), shown);
		g_steal_pointer(&shown);
	}
	g_assert_cmpuint(g_hash_table_size(seen), >, 60000);
	g_assert_cmpuint(decoded, >, 1000);
}

static void
test_random_file_names_round_trip_or_are_refused(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(2152);
	guint made = 0;

	for (guint round = 0; round < 100000; round++) {
		g_autoptr(GString) name = random_component(rand);
		g_autofree char *server = NULL;
		g_autofree char *shown = NULL;

		if (memchr(name->str, '\0', name->len) != NULL)
			continue;
		server = name_to_mutf7(name->str, NULL);
		if (server == NULL)
			continue;
		for (const char *p = server; *p != '\0'; p++)
			g_assert_true(*p >= 0x20 && *p < 0x7f);
		shown = name_from_mutf7(server, strlen(server));
		g_assert_cmpstr(shown, ==, name->str);
		made++;
	}
	g_assert_cmpuint(made, >, 10000);
}

static void
test_an_attachment_gets_a_harmless_name(void)
{
	static const struct {
		const char *text, *name;
	} cases[] = {
		{"report.pdf", "report.pdf"},
		{"  写真 1.jpg ", "写真 1.jpg"},
		{"../../etc/passwd", "_._.._etc_passwd"},
		{"C:\\x\\y.txt", "C:_x_y.txt"},
		{".", "_"},
		{"..", "_."},
		{"-rf", "_rf"},
		{".bashrc", "_bashrc"},
		{"a\nb\x1b[31m\x7f", "a_b_[31m_"},
		{"x\u202egnp.exe", "x_gnp.exe"},
		{"\u200b", "_"},
		{"", ""},
		{"   ", ""},
	};
	g_autofree char *many = g_strnfill(1000, 'x');
	g_autofree char *long_name = g_strdup_printf("%s.tar.gz", many);
	g_autofree char *cut = name_for_file(long_name);
	g_autofree char *tail = g_strdup_printf("x.%s", many);
	g_autofree char *cut_tail = name_for_file(tail);

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *name = name_for_file(cases[i].text);

		g_assert_cmpstr(name, ==, cases[i].name);
	}
	g_assert_cmpuint(strlen(cut), ==, NAME_MAX_FILE);
	g_assert_true(g_str_has_suffix(cut, "xx.gz"));
	g_assert_cmpuint(strlen(cut_tail), ==, NAME_MAX_FILE);
	g_assert_true(g_str_has_prefix(cut_tail, "x.xx"));
}

static void
test_a_pop3_message_has_the_time_of_its_topmost_received(void)
{
	static const struct {
		const char *header;
		gint64 date;
	} cases[] = {
		{"Received: from a (b; c) by d\r\n\tid 7; Sat, 21 Nov 2026 06:38:12 +0000\r\n"
		 "Received: by e; Fri, 20 Nov 2026 06:38:12 +0000\r\n"
		 "Date: Thu, 19 Nov 2026 06:38:12 +0000\r\n\r\n",
		 1795243092},
		{"Received: by d; Sat, 21 Nov 2026 15:38:12 +0900 (JST)\r\n\r\n", 1795243092},
		{"Received: by d; Sat, 21 Nov 2026 01:08:12 -0530 (at; home)\r\n\r\n", 1795243092},
		{"Received: by d; 21 Nov 26 06:38:12 GMT\r\n\r\n", 1795243092},
		{"Received: by d; soon\r\nDate: Sat, 21 Nov 2026 06:38:12 +0000\r\n\r\n",
		 1795243092},
		{"Received: by d\r\nDate: Sat, 21 Nov 2026 06:38:12 +0000\r\n\r\n", 1795243092},
		{"Received: by d; Sat, 31 Nov 2026 06:38:12 +0000\r\n\r\n", 0},
		{"Date: Wed, 31 Dec 1969 23:59:59 +0000\r\n\r\n", -1},
		{"Date: Mon, 29 Feb 2024 23:59:60 +0000\r\n\r\n", 1709251200},
		{"Date: tomorrow\r\n\r\n", 0},
		{"\r\nDate: Sat, 21 Nov 2026 06:38:12 +0000\r\n", 0},
		{"", 0},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_cmpint(name_date_of_header(cases[i].header, strlen(cases[i].header)), ==,
				cases[i].date);
}

static void
test_a_pop3_message_without_headers_is_called_by_its_uidl(void)
{
	NameHeaders none = {0};
	NameHeaders some = {.subject = "Invoice 42"};
	g_autofree char *bare = name_for_uidl(0, "whqtswO00WBw418f9t5JxYwZ", &none);
	g_autofree char *by_uidl = name_for_uidl(0, "whqtswO00WBw418f9t5JxYwZ", &some);
	g_autofree char *by_uid = name_for_message(0, 7, &some);

	/* printf whqtswO00WBw418f9t5JxYwZ | sha256sum */
	g_assert_cmpstr(bare, ==, "19700101-000000_no-subject.uf9f574bb");
	g_assert_cmpstr(by_uidl, ==, by_uid);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/name/a-name-told-in-utf8-is-put-into-modified-utf7",
			test_a_name_told_in_utf8_is_put_into_modified_utf7);
	g_test_add_func("/name/every-row-of-names-v1-comes-out",
			test_every_row_of_names_v1_comes_out);
	g_test_add_func("/name/a-pop3-message-has-the-time-of-its-topmost-received",
			test_a_pop3_message_has_the_time_of_its_topmost_received);
	g_test_add_func("/name/a-pop3-message-without-headers-is-called-by-its-uidl",
			test_a_pop3_message_without_headers_is_called_by_its_uidl);
	g_test_add_func("/name/an-attachment-gets-a-harmless-name",
			test_an_attachment_gets_a_harmless_name);
	g_test_add_func("/name/a-hostile-subject-makes-a-harmless-name",
			test_a_hostile_subject_makes_a_harmless_name);
	g_test_add_func("/name/a-bomb-takes-no-longer-than-its-length",
			test_a_bomb_takes_no_longer_than_its_length);
	g_test_add_func("/name/headers-beyond-256-kib-are-not-read",
			test_headers_beyond_256_kib_are_not_read);
	g_test_add_func("/name/dates-out-of-the-calendar-are-its-first-and-last",
			test_dates_out_of_the_calendar_are_its_first_and_last);
	g_test_add_func("/name/time-agrees-with-glib-on-every-day-of-800-years",
			test_time_agrees_with_glib_on_every_day_of_800_years);
	g_test_add_func("/name/only-a-bare-uid-is-a-uid-name", test_only_a_bare_uid_is_a_uid_name);
	g_test_add_func("/name/decodable-names-round-trip", test_decodable_names_round_trip);
	g_test_add_func("/name/undecodable-names-are-shown-but-not-made",
			test_undecodable_names_are_shown_but_not_made);
	g_test_add_func("/name/nul-in-a-raw-name-is-escaped", test_nul_in_a_raw_name_is_escaped);
	g_test_add_func("/name/names-in-another-spelling-are-refused",
			test_names_in_another_spelling_are_refused);
	g_test_add_func("/name/long-names-are-cut-at-a-character-and-stay-distinct",
			test_long_names_are_cut_at_a_character_and_stay_distinct);
	g_test_add_func("/name/a-name-cannot-pose-as-a-cut-one",
			test_a_name_cannot_pose_as_a_cut_one);
	g_test_add_func("/name/100000-random-names-are-safe-reversible-and-distinct",
			test_100000_random_names_are_safe_reversible_and_distinct);
	g_test_add_func("/name/random-file-names-round-trip-or-are-refused",
			test_random_file_names_round_trip_or_are_refused);
	return g_test_run();
}
