/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <gio/gio.h>

#include "../imap-trace.h"
#include "base/error.h"
#include "proto/imap-parser.h"
#include "transcripts.h"

#define MIB (1024 * 1024)

static const Transcript transcripts[] = {
	/* What the grammar says. */
	{"the tokens of a FETCH come in order",
	 BYTES("* 3 FETCH (UID 5 FLAGS (\\Seen $Work) RFC822.SIZE 44827 MODSEQ (9))\r\n"),
	 "* 3 FETCH ( UID 5 FLAGS ( \\Seen $Work ) RFC822.SIZE 44827 MODSEQ ( 9 ) )\n"},
	{"a section is one atom with its blanks and its origin",
	 BYTES("* 3 FETCH (BODY[HEADER.FIELDS (DATE FROM)]<0> {4}\r\nab\r\n UID 7)\r\n"),
	 "* 3 FETCH ( BODY[HEADER.FIELDS (DATE FROM)]<0> <4:ab\\x0d\\x0a> UID 7 )\n"},
	{"a section may quote its field names, brackets among them",
	 BYTES("* 3 FETCH (BODY[HEADER.FIELDS (\"A]B\" \"C\\\"]\")] {0}\r\n)\r\n"),
	 "* 3 FETCH ( BODY[HEADER.FIELDS (\"A]B\" \"C\\\"]\")] <0:> )\n"},
	{"a bracket in a mailbox name is a letter",
	 BYTES("* LSUB () \"/\" [Gmail]/a[b (x y]\r\n* LIST () NIL a[b\r\n"),
	 "* LIST ( ) NIL a[b\ndropped 1\n"},
	{"quoted strings are unescaped", BYTES("* LIST () \"\\\\\" \"a\\\"b\\\\c d\"\r\n"),
	 "* LIST ( ) \"\\\" \"a\"b\\c d\"\n"},
	{"a literal is kept with every byte", BYTES("* LIST () \"/\" {6}\r\na\0\r\n(\"\r\n"),
	 "* LIST ( ) \"/\" <6:a\\x00\\x0d\\x0a(\"\x3e\n"},
	{"a body is streamed", BYTES("* 1 FETCH (BODY[] {12}\r\nA: b\r\n\r\n)\r\n\r UID 9)\r\n"),
	 "12 bytes: A: b\\x0d\\x0a\\x0d\\x0a)\\x0d\\x0a\\x0d* 1 FETCH ( BODY[] <12 streamed> UID 9 "
	 ")\n"},
	{"an empty body is streamed too", BYTES("* 1 FETCH (BODY[] {0}\r\n UID 9)\r\n"),
	 "0 bytes: * 1 FETCH ( BODY[] <0 streamed> UID 9 )\n"},
	{"two literals in one response are both read",
	 BYTES("* 1 FETCH (BODY[] {2}\r\nhi X {3}\r\nabc Y)\r\n"),
	 "2 bytes: hi* 1 FETCH ( BODY[] <2 streamed> X <3:abc> Y )\n"},
	{"literal8 and the client's plus are literals",
	 BYTES("* 1 FETCH (BINARY[1] ~{2}\r\nab X {3+}\r\nabc)\r\n"),
	 "* 1 FETCH ( BINARY[1] <2:ab> X <3:abc> )\n"},
	{"a literal that is refused is an error", BYTES("* 1 FETCH (RFC822 {9}\r\n"), "error\n"},
	{"status responses have code and text",
	 BYTES("* OK [UIDVALIDITY 7] valid {5}\r\na1 NO [ALERT] (no \"luck\r\nX9 bad what\r\n* bye "
	       "][\r\n* PREAUTH hi\r\n"),
	 "* OK [UIDVALIDITY 7] 'valid {5}'\na1 NO [ALERT] '(no \"luck'\nX9 BAD 'what'\n* BYE ']['\n"
	 "* PREAUTH 'hi'\n"},
	{"a code may hold lists, quoted strings and brackets in them",
	 BYTES("a NO [BADCHARSET (\"X]\" UTF-8)] no\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] yes\r\nb "
	       "OK "
	       "[COPYUID 1 2 3] \r\n"),
	 "a NO [BADCHARSET (\"X]\" UTF-8)] 'no'\n* OK [PERMANENTFLAGS (\\Seen \\*)] 'yes'\nb OK "
	 "[COPYUID 1 2 3] ''\n"},
	{"a continuation has its text", BYTES("+ YWJj\r\n+ idling {3}\r\n+ [ALERT] x\r\n"),
	 "+ go on 'YWJj'\n+ go on 'idling {3}'\n+ go on [ALERT] 'x'\n"},

	/* What real servers send. */
	{"a completion without text is one", BYTES("3 OK\r\n4 NO \r\n* OK [HIGHESTMODSEQ 5]\r\n"),
	 "3 OK ''\n4 NO ''\n* OK [HIGHESTMODSEQ 5] ''\n"},
	{"a bare plus is a continuation", BYTES("+\r\n+YQ==\r\n+ \r\n"),
	 "+ go on ''\n+ go on 'YQ=='\n+ go on ''\n"},
	{"LF alone ends a line", BYTES("* 3 EXISTS\na OK done\n* 1 FETCH (BODY[] {2}\nhi)\n"),
	 "* 3 EXISTS\na OK 'done'\n2 bytes: hi* 1 FETCH ( BODY[] <2 streamed> )\n"},
	{"CRs before the LF are dropped", BYTES("* 3 EXISTS\r\r\n* X {1}\r\r\nab\r\r\r\n"),
	 "* 3 EXISTS\n* X <1:a> b\n"},
	{"blanks may be doubled, leading and trailing",
	 BYTES("  *  3   EXISTS  \r\na  OK   [A 1  ]   done  \r\n"),
	 "* 3 EXISTS\na OK [A 1  ] 'done'\n"},
	{"blanks may be missing between lists",
	 BYTES("* LIST (\\A)(\\B)\"/\"\"b\"c{1}\r\nd(NIL)e\"f\"\r\n"),
	 "* LIST ( \\A ) ( \\B ) \"/\" \"b\" c <1:d> ( NIL ) e \"f\"\n"},
	{"an empty list is two tokens", BYTES("* STATUS \"INBOX\" ()\r\n"),
	 "* STATUS \"INBOX\" ( )\n"},
	{"8-bit bytes pass", BYTES("* LIST () \"/\" \"caf\xe9\" \xff\xfe\r\n* NO caf\xe9\r\n"),
	 "* LIST ( ) \"/\" \"caf\\xe9\" \\xff\\xfe\n* NO 'caf\\xe9'\n"},
	{"control characters pass",
	 BYTES("* LIST () \"/\" \"\x1b]0;\x07\" a\x01"
	       "b\r\n"),
	 "* LIST ( ) \"/\" \"\\x1b]0;\\x07\" a\\x01b\n"},
	{"a backslash that escapes nothing stays", BYTES("* LIST () \"\\\\\" \"a\\b\"\r\n"),
	 "* LIST ( ) \"\\\" \"a\\b\"\n"},
	{"a code without its bracket is text",
	 BYTES("* OK [PERMANENTFLAGS  (\r\n* NO [X \"] a\r\n"),
	 "* OK '[PERMANENTFLAGS  ('\n* NO [X \"] 'a'\n"},
	{"a NUL in free text is left out", BYTES("* OK a\0b\r\n* OK [A\0] \0\r\n"),
	 "* OK 'ab'\n* OK [A] ''\n"},
	{"a brace inside an atom is a letter", BYTES("* X a{b} c{1}d e{}f\r\n"),
	 "* X a{b} c{1}d e{}f\n"},
	{"a literal needs no blank before it", BYTES("* 1 FETCH (BODY[]{2}\r\nhi)\r\n"),
	 "2 bytes: hi* 1 FETCH ( BODY[] <2 streamed> )\n"},
	{"a bracketed code without OK is data", BYTES("* [COPYUID 14 1 2] Done\r\n"),
	 "* [COPYUID 14 1 2] Done\n"},

	/* A broken response in an intact frame: dropped, and what follows is understood. */
	{"a quoted string cut by a line end drops its response",
	 BYTES("* LIST () \"/\" \"a\r\n* 1 EXISTS\r\n"), "* 1 EXISTS\ndropped 1\n"},
	{"a quoted string with a CR drops its response",
	 BYTES("* LIST () \"/\" \"a\rb\" c\r\n* 1 EXISTS\r\n"), "* 1 EXISTS\ndropped 1\n"},
	{"a NUL among tokens drops the response",
	 BYTES("* 1\0"
	       "5 EXISTS\r\n* X \"a\0b\"\r\n* 1 EXISTS\r\n"),
	 "* 1 EXISTS\ndropped 2\n"},
	{"a section with a NUL drops the response",
	 BYTES("* 1 FETCH (BODY[\0] {1}\r\na)\r\n* 1 EXISTS\r\n"), "* 1 EXISTS\ndropped 1\n"},
	{"unequal parentheses drop the response",
	 BYTES("* X (a\r\n* X a)\r\n* X )(\r\n* 1 EXISTS\r\n"), "* 1 EXISTS\ndropped 3\n"},
	{"an empty line is dropped", BYTES("\r\n \n* \r\n*\n* 1 EXISTS\r\n"),
	 "* 1 EXISTS\ndropped 4\n"},
	{"a line with a strange tag is dropped",
	 BYTES("a1 FETCH (x)\r\nb\"\r\nc BYE\r\n* 1 EXISTS\r\n"), "* 1 EXISTS\ndropped 3\n"},
	{"the literals of a dropped response are skipped",
	 BYTES("* 1 FETCH )( BODY[] {8}\r\n* 5 OK\r\n X {7}\r\n* 6 OK\n)\r\nb FETCH "
	       "~{3}\r\n\r\n\n\n* 1 "
	       "EXISTS\r\n"),
	 "* 1 EXISTS\ndropped 2\n"},

	/* A broken frame: the end. */
	{"a literal without a number is an error", BYTES("* X {}\r\n"), "error\n"},
	{"a negative literal is an error", BYTES("* X {-1}\r\n"), "error\n"},
	{"a literal with a blank is an error", BYTES("* X {5 }\r\n"), "error\n"},
	{"a literal with words is an error", BYTES("* X {five}\r\n"), "error\n"},
	{"a literal of 2^64 is an error", BYTES("* X {18446744073709551616}\r\n"), "error\n"},
	{"a literal of 2^64-1 is an error", BYTES("* X {18446744073709551615}\r\n"), "error\n"},
	{"a literal of 2^63 is an error", BYTES("* X {9223372036854775808}\r\n"), "error\n"},
	{"a literal of 2^63-1 can be streamed",
	 BYTES("* 1 FETCH (BODY[] {9223372036854775807}\r\nab"),
	 "9223372036854775807 bytes: abunfinished\n"},
	{"a literal of 4 GiB is no small one", BYTES("* 1 FETCH (BODY[] {4294967297}\r\nab)\r\n"),
	 "4294967297 bytes: ab)\\x0d\\x0aunfinished\n"},
	{"a big literal cannot be kept", BYTES("* X {1048570}\r\n"), "error\n"},
	{"a literal in the middle of a line is an error", BYTES("* X {5} a\r\n"), "error\n"},
	{"a literal with two pluses is an error", BYTES("* X {5++}\r\n"), "error\n"},
	{"a broken literal without a blank is an error", BYTES("* X a{5 }\r\n"), "error\n"},
	{"a broken literal8 is an error", BYTES("* X ~{x}\r\n"), "error\n"},
	{"a literal in an open quoted string is an error", BYTES("* X \"a {5}\r\n"), "error\n"},
	{"a literal of a dropped response is checked too", BYTES("* X )) {-5}\r\n"), "error\n"},
	{"what came before an error is said", BYTES("* 1 EXISTS\r\n* X {}\r\n* 2 EXISTS\r\n"),
	 "* 1 EXISTS\nerror\n"},

	/* The end of the input anywhere. */
	{"half a line is unfinished", BYTES("* 3 EXI"), "unfinished\n"},
	{"half a literal is unfinished", BYTES("* X {5}\r\nab"), "unfinished\n"},
	{"a literal's response without its end is unfinished", BYTES("* X {2}\r\nab"),
	 "unfinished\n"},
	{"nothing is nothing", BYTES(""), ""},
};

static void
test_transcript(gconstpointer data)
{
	assert_transcript(data, imap_trace);
}

/* Fed whole and in pieces as a socket gives them. */
static void
assert_said(const GString *input, const char *expected)
{
	g_autofree char *whole = imap_trace(input->str, input->len, input->len, 1);
	g_autofree char *pieces = imap_trace(input->str, input->len, 4000, 4096);

	g_assert_cmpstr(whole, ==, expected);
	g_assert_cmpstr(pieces, ==, expected);
}

static void
append_run(GString *text, char c, gsize n)
{
	gsize at = text->len;

	g_string_set_size(text, at + n);
	memset(text->str + at, c, n);
}

static void
test_line_of_a_mib(void)
{
	g_autoptr(GString) input = g_string_new("* OK ");
	g_autoptr(GString) expected = g_string_new("* OK '");

	append_run(input, 'x', MIB - 5);
	g_string_append(input, "\n* 1 EXISTS\r\n");
	append_run(expected, 'x', MIB - 5);
	g_string_append(expected, "'\n* 1 EXISTS\n");
	assert_said(input, expected->str);
}

static void
test_longer_line(void)
{
	g_autoptr(GString) input = g_string_new("* 1 EXISTS\r\n* OK ");

	append_run(input, 'x', MIB - 4);
	assert_said(input, "* 1 EXISTS\nerror\n");
	g_string_append(input, "\n");
	assert_said(input, "* 1 EXISTS\nerror\n");
}

static void
test_many_lines_of_one_response(void)
{
	g_autoptr(GString) input = g_string_new("*");

	while (input->len <= MIB + MIB / 16)
		g_string_append(input, " {10}\r\n0123456789");
	assert_said(input, "error\n");
}

static void
test_worst_case_of_the_arena(void)
{
	g_autoptr(GString) input = g_string_new("*");
	g_autoptr(GString) expected = g_string_new("*");

	for (gsize i = 0; i < MIB / 2 - 2; i++) {
		g_string_append(input, " a");
		g_string_append(expected, " a");
	}
	g_string_append(input, "\r\n");
	g_string_append(expected, "\n");
	assert_said(input, expected->str);
}

static void
test_nesting_of_64(void)
{
	g_autoptr(GString) input = g_string_new("* X ");
	g_autoptr(GString) expected = g_string_new("* X");

	append_run(input, '(', 64);
	append_run(input, ')', 64);
	g_string_append(input, "\r\n");
	for (guint i = 0; i < 128; i++)
		g_string_append(expected, i < 64 ? " (" : " )");
	g_string_append(expected, "\n");
	assert_said(input, expected->str);
}

static void
test_nesting_of_65(void)
{
	g_autoptr(GString) input = g_string_new("* X ");

	append_run(input, '(', 65);
	g_string_append(input, "{3}\r\n)\r\n");
	append_run(input, ')', 65);
	g_string_append(input, "\r\n* X ");
	append_run(input, '(', 100000);
	g_string_append(input, "\r\n* 1 EXISTS\r\n");
	assert_said(input, "* 1 EXISTS\ndropped 2\n");
}

static void
test_steps_of_a_stream(void)
{
	ImapTrace trace = {.text = g_string_new(NULL)};
	g_autoptr(ImapParser) parser = imap_parser_new(&imap_trace_events, &trace);
	g_autoptr(GString) input = g_string_new("* 1 FETCH (BODY[] {3000000}\r\n");
	g_autoptr(GError) error = NULL;

	append_run(input, 'q', 3000000);
	g_string_append(input, ")\r\n");
	g_assert_true(imap_parser_feed(parser, (const guint8 *)input->str, input->len, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(trace.longest_step, ==, 256 * 1024);
	g_assert_cmpuint(trace.responses, ==, 1);
	g_assert_cmpuint(strspn(strchr(trace.text->str, 'q'), "q"), ==, 3000000);
	g_string_free(trace.text, TRUE);
}

static void
test_reader_stops(void)
{
	ImapTrace trace = {.text = g_string_new(NULL), .stop_after = 2};
	g_autoptr(ImapParser) parser = imap_parser_new(&imap_trace_events, &trace);
	static const char input[] = "* 1 EXISTS\r\n* 2 EXISTS\r\n* 3 EXISTS\r\n";

	for (guint i = 0; i < 2; i++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(
			imap_parser_feed(parser, (const guint8 *)input, strlen(input), &error));
		g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	}
	g_assert_false(imap_parser_feed(parser, (const guint8 *)input, strlen(input), NULL));
	g_assert_cmpstr(trace.text->str, ==, "* 1 EXISTS\n* 2 EXISTS\n");
	g_string_free(trace.text, TRUE);
}

static gboolean
refuse_data(gpointer user, const guint8 *data, gsize len, GError **error)
{
	g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "disk full");
	return FALSE;
}

static void
test_sink_stops(void)
{
	ImapTrace trace = {.text = g_string_new(NULL)};
	ImapParserEvents events = imap_trace_events;
	g_autoptr(ImapParser) parser = NULL;
	static const char input[] = "* 1 FETCH (BODY[] {3}\r\nabc)\r\n";
	g_autoptr(GError) error = NULL;

	events.literal_data = refuse_data;
	parser = imap_parser_new(&events, &trace);
	g_assert_false(imap_parser_feed(parser, (const guint8 *)input, strlen(input), &error));
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
	g_assert_cmpuint(trace.responses, ==, 0);
	g_string_free(trace.text, TRUE);
}

static void
test_frame_error_is_a_protocol_error(void)
{
	ImapTrace trace = {.text = g_string_new(NULL)};
	g_autoptr(ImapParser) parser = imap_parser_new(&imap_trace_events, &trace);
	static const char input[] = "* X {\x1b[31m}\r\n";
	g_autoptr(GError) error = NULL;

	g_assert_false(imap_parser_feed(parser, (const guint8 *)input, strlen(input), &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL);
	g_assert_nonnull(strstr(error->message, "{\\x1b[31m}"));
	g_string_free(trace.text, TRUE);
}

static void
test_numbers(void)
{
	static const struct {
		const char *text;
		guint64 max;
		gboolean good;
		guint64 value;
	} cases[] = {
		{"0", 0, TRUE, 0},
		{"7", 7, TRUE, 7},
		{"8", 7, FALSE, 0},
		{"007", 7, TRUE, 7},
		{"4294967295", G_MAXUINT32, TRUE, G_MAXUINT32},
		{"4294967296", G_MAXUINT32, FALSE, 0},
		{"4294967303", G_MAXUINT32, FALSE, 0},
		{"42949672950", G_MAXUINT32, FALSE, 0},
		{"9223372036854775807", G_MAXINT64, TRUE, G_MAXINT64},
		{"9223372036854775808", G_MAXINT64, FALSE, 0},
		{"18446744073709551615", G_MAXUINT64, TRUE, G_MAXUINT64},
		{"18446744073709551616", G_MAXUINT64, FALSE, 0},
		{"184467440737095516150", G_MAXUINT64, FALSE, 0},
		{"99999999999999999999999999999999", G_MAXUINT64, FALSE, 0},
		{"", G_MAXUINT64, FALSE, 0},
		{"-1", G_MAXUINT64, FALSE, 0},
		{"+1", G_MAXUINT64, FALSE, 0},
		{" 1", G_MAXUINT64, FALSE, 0},
		{"1 ", G_MAXUINT64, FALSE, 0},
		{"0x1", G_MAXUINT64, FALSE, 0},
		{"9.3736e+06", G_MAXUINT64, FALSE, 0},
		{"\xb2", G_MAXUINT64, FALSE, 0},
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *shown = g_strescape(cases[i].text, NULL);
		guint64 value = 12345;

		g_test_message("\"%s\" up to %" G_GUINT64_FORMAT, shown, cases[i].max);
		g_assert_cmpint(imap_parse_number(cases[i].text, strlen(cases[i].text),
						  cases[i].max, &value),
				==, cases[i].good);
		g_assert_cmpuint(value, ==, cases[i].good ? cases[i].value : 12345);
	}
}

static void
test_dates(void)
{
	static const struct {
		const char *text;
		gint64 seconds; /* by date(1) */
	} cases[] = {
		{"17-Jul-1996 02:44:25 -0700", 837596665},
		{"01-Jan-1970 00:00:00 +0000", 0},
		{" 1-Jan-1970 00:00:00 +0000", 0},
		{"1-jan-1970 01:30:00 +0130", 0},
		{"29-Feb-2000 23:59:59 +0900", 951836399},
		{"31-Dec-1969 23:59:59 +0000", -1},
		{"01-Jan-1900 00:00:00 +0000", -2208988800},
		{"31-Dec-9999 23:59:59 +0000", 253402300799},
		{"31-Dec-2016 23:59:60 +0000", 1483228800},
		{"19-Jan-2038 03:14:08 +0000", 2147483648},
		{"17-JUL-1996 02:44:25 -07:00", 837596665},
		{"17-Jul-1996 02:44:25 -700", 837596665},
		{"17-Jul-1996 02:44:25 -07", 837596665},
		{"17-Jul-1996 02:44:25-0700", 837596665},
		{"17-Jul-1996 09:44:25 GMT", 837596665},
		{"17-Jul-1996 09:44:25 ", 837596665},
		{"17-Jul-1996 09:44:25", 837596665},
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		gint64 seconds = 5;

		g_test_message("%s", cases[i].text);
		g_assert_true(imap_parse_date(cases[i].text, strlen(cases[i].text), &seconds));
		g_assert_cmpint(seconds, ==, cases[i].seconds);
	}
}

static void
test_bad_dates(void)
{
	static const char *const cases[] = {
		"",
		" ",
		"NIL",
		"17-Jul-1996",
		"17-Jul-96 02:44:25 -0700",
		"00-Jul-1996 02:44:25 -0700",
		"32-Jul-1996 02:44:25 -0700",
		"29-Feb-1999 02:44:25 -0700",
		"017-Jul-1996 02:44:25 -0700",
		"17-Foo-1996 02:44:25 -0700",
		"17-Ju",
		"17-Jul-1899 02:44:25 -0700",
		"17-Jul-10000 02:44:25 -0700",
		"17-Jul-1996 24:00:00 -0700",
		"17-Jul-1996 02:60:25 -0700",
		"17-Jul-1996 02:44:61 -0700",
		"17-Jul-1996 02:44:25 -2400",
		"17-Jul-1996 02:44:25 -0760",
		"17-Jul-1996 02:44:25 -07000",
		"17-Jul-1996 02:44:25 -",
		"17-Jul-1996 02:44:25 +0x00",
		"17-Jul-1996 02:44:25x",
		"17-Jul-1996 2:44:25 -0700",
		"Wed, 17 Jul 1996 02:44:25 -0700",
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		gint64 seconds = 5;

		g_test_message("%s", cases[i]);
		g_assert_false(imap_parse_date(cases[i], strlen(cases[i]), &seconds));
		g_assert_cmpint(seconds, ==, 5);
	}
}

static void
test_date_stops_at_its_length(void)
{
	gint64 seconds;

	for (gsize len = 0; len < strlen("17-Jul-1996 02:44:25"); len++) {
		g_autofree char *exact = g_memdup2("17-Jul-1996 02:44:25", MAX(len, 1));

		g_assert_false(imap_parse_date(exact, len, &seconds));
	}
}

static void
test_skip(void)
{
	static const ImapToken tokens[] = {
		{IMAP_TOKEN_ATOM, "X", 1}, {IMAP_TOKEN_OPEN, "(", 1},  {IMAP_TOKEN_OPEN, "(", 1},
		{IMAP_TOKEN_ATOM, "Y", 1}, {IMAP_TOKEN_CLOSE, ")", 1}, {IMAP_TOKEN_CLOSE, ")", 1},
		{IMAP_TOKEN_ATOM, "Z", 1}, {IMAP_TOKEN_OPEN, "(", 1},
	};
	static const guint next[] = {1, 6, 5, 4, 5, 6, 7, 8, 8, 8};
	ImapResponse response = {.tokens = tokens, .n_tokens = G_N_ELEMENTS(tokens)};

	for (guint i = 0; i < G_N_ELEMENTS(next); i++)
		g_assert_cmpuint(imap_response_skip(&response, i), ==, next[i]);
}

static void
test_nil(void)
{
	g_assert_true(imap_token_is_nil(&(ImapToken){IMAP_TOKEN_ATOM, "NIL", 3}));
	g_assert_true(imap_token_is_nil(&(ImapToken){IMAP_TOKEN_ATOM, "nil", 3}));
	g_assert_false(imap_token_is_nil(&(ImapToken){IMAP_TOKEN_QUOTED, "NIL", 3}));
	g_assert_false(imap_token_is_nil(&(ImapToken){IMAP_TOKEN_LITERAL, "NIL", 3}));
	g_assert_false(imap_token_is_nil(&(ImapToken){IMAP_TOKEN_ATOM, "NILS", 4}));
	g_assert_true(imap_token_is_atom(&(ImapToken){IMAP_TOKEN_ATOM, "uid", 3}, "UID"));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add_transcripts("/imap-parser/", transcripts, G_N_ELEMENTS(transcripts), test_transcript);
	g_test_add_func("/imap-parser/a line of 1 MiB is read", test_line_of_a_mib);
	g_test_add_func("/imap-parser/a longer line is an error before its end", test_longer_line);
	g_test_add_func("/imap-parser/the bound holds for all lines of a response",
			test_many_lines_of_one_response);
	g_test_add_func("/imap-parser/half a million tokens fit", test_worst_case_of_the_arena);
	g_test_add_func("/imap-parser/64 levels of parentheses are read", test_nesting_of_64);
	g_test_add_func("/imap-parser/65 levels of parentheses drop the response",
			test_nesting_of_65);
	g_test_add_func("/imap-parser/a body is handed on in steps of 256 KiB",
			test_steps_of_a_stream);
	g_test_add_func("/imap-parser/a reader that stops it is not called again",
			test_reader_stops);
	g_test_add_func("/imap-parser/a sink that fails ends it with its error", test_sink_stops);
	g_test_add_func("/imap-parser/a broken frame is a protocol error",
			test_frame_error_is_a_protocol_error);
	g_test_add_func("/imap-parser/numbers never wrap", test_numbers);
	g_test_add_func("/imap-parser/dates become seconds", test_dates);
	g_test_add_func("/imap-parser/bad dates are refused", test_bad_dates);
	g_test_add_func("/imap-parser/a date is not read beyond its length",
			test_date_stops_at_its_length);
	g_test_add_func("/imap-parser/a list is skipped as one", test_skip);
	g_test_add_func("/imap-parser/only an unquoted NIL is nil", test_nil);
	return g_test_run();
}
