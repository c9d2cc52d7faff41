/* SPDX-License-Identifier: MIT */
/* And what a header says of its message. */
#include <string.h>

#include <gio/gio.h>

#include "../pop-trace.h"
#include "proto/pop-header.h"
#include "transcripts.h"

static const Transcript transcripts[] = {
	{"replies have a status, a code and a text",
	 BYTES("+OK\r\n+OK ready\r\n-ERR [IN-USE] locked\r\n-ERR no [AUTH]\r\n+ YQ==\r\n+\r\n"),
	 "OK ''\nOK 'ready'\nERR [IN-USE] 'locked'\nERR 'no [AUTH]'\ngo on 'YQ=='\ngo on ''\n"},
	{"case and blanks matter little", BYTES("+ok  x\r\n-err\t[SYS/TEMP]y\r\n+OK\n"),
	 "OK 'x'\nERR [SYS/TEMP] 'y'\nOK ''\n"},
	{"an empty or open bracket is no code", BYTES("-ERR [] x\r\n-ERR [y\r\n"),
	 "ERR 'x'\nERR '[y'\n"},
	{"NUL does not cut a text short", BYTES("+OK a\0b\r\n"), "OK 'ab'\n"},
	{"what is no reply is an error", BYTES("+OK\r\n* OK IMAP\r\n+OK\r\n"), "OK ''\nerror\n"},
	{"an empty line is no reply", BYTES("\r\n"), "error\n"},
	{"lines end with a dot", BYTES("+OK l\r\n1 a\r\n..2\r\n\r\n.\r\n+OK\r\n"),
	 "OK 'l'\nline '1 a'\nline '.2'\nline ''\n end\nOK ''\n"},
	{"lines may end in LF", BYTES("+OK l\n1 a\n.\n-ERR\n"),
	 "OK 'l'\nline '1 a'\n end\nERR ''\n"},
	{"nothing follows a refusal", BYTES("-ERR m\r\n+OK\r\n"), "ERR 'm'\nOK ''\n"},
	{"a message is told with its line ends and without its stuffing",
	 BYTES("+OK m\r\nA: b\r\n\r\n..\r\n...x\r\n. y\r\nz.\r\n.\r\n+OK\r\n"),
	 "OK 'm'\nA: b/|/|./|..x/| y/|z./| end\nOK ''\n"},
	{"a message may be empty", BYTES("+OK m\r\n.\r\n-ERR\r\n"), "OK 'm'\n end\nERR ''\n"},
	{"bytes are bytes", BYTES("+OK m\r\n\0\xff\r\n\0.\r\n.\r\n"),
	 "OK 'm'\n\\x00\\xff/|\\x00./| end\n"},
	{"only a dot between CRLF and CRLF ends a message",
	 BYTES("+OK m\r\na\n.\r\n+OK m\r\nb\r\r\n.\n.\r\n..\rc\r\n.\rd\r\n.\r\n"),
	 "OK 'm'\na|./|+OK m/|b//||./|./c/|/d/| end\n"},
	{"a server that ends its lines in LF does so in messages", BYTES("+OK m\na\n..b\n.\n+OK\n"),
	 "OK 'm'\na|.b| end\nOK ''\n"},
	{"a message is never over before its dot", BYTES("+OK m\r\na\r\n+OK\r\n"),
	 "OK 'm'\na/|+OK/|"},
	{"a CR before the dot does not hide it", BYTES("+OK m\r\na\r\r\n.\r\n+OK\r\n"),
	 "OK 'm'\na//| end\nOK ''\n"},
};

static void
test_transcript(gconstpointer data)
{
	assert_transcript(data, pop_trace);
}

static void
test_bounds_a_line_but_not_that_of_a_message(void)
{
	g_autoptr(GString) input = g_string_new("+OK m\r\n");
	g_autofree char *long_text = g_strnfill(200000, 'x');
	g_autofree char *message = NULL;
	g_autofree char *line = NULL;

	g_string_append_printf(input, "%s\r\n.\r\n+OK l\r\n", long_text);
	message = pop_trace(input->str, input->len, input->len, 1);
	g_assert_true(g_str_has_suffix(message, "xx/| end\nOK 'l'\n"));
	g_string_append(input, long_text);
	line = pop_trace(input->str, input->len, 1000, 1000);
	g_assert_true(g_str_has_suffix(line, " end\nOK 'l'\nerror\n"));
}

static PopHeader *
header_of(const char *text)
{
	PopHeader *header = pop_header_new();
	gsize taken = 0;

	/* In pieces, which makes no difference. */
	for (gsize at = 0; at < strlen(text); at += 3)
		taken += pop_header_feed(header, (const guint8 *)text + at,
					 MIN(3, strlen(text) - at));
	g_assert_cmpuint(taken, <=, strlen(text));
	return header;
}

static PopIdentity
identity_of(const char *text)
{
	g_autoptr(PopHeader) header = header_of(text);
	PopIdentity identity;

	pop_header_identity(header, &identity);
	return identity;
}

static void
test_header_ends_at_the_empty_line(void)
{
	static const char text[] = "A: b\r\n\r\nC: d\r\n\r\n";
	g_autoptr(PopHeader) header = pop_header_new();
	gsize len;

	g_assert_cmpuint(pop_header_feed(header, (const guint8 *)text, strlen(text)), ==, 8);
	g_assert_true(pop_header_is_complete(header));
	pop_header_text(header, &len);
	g_assert_cmpuint(len, ==, 8);
	g_assert_cmpuint(pop_header_feed(header, (const guint8 *)text, strlen(text)), ==, 0);
	pop_header_reset(header);
	g_assert_cmpuint(pop_header_feed(header, (const guint8 *)"\r\nbody", 6), ==, 2);
	g_assert_true(pop_header_is_complete(header));
	pop_header_reset(header);
	g_assert_cmpuint(pop_header_feed(header, (const guint8 *)"A: b\n\nbody", 10), ==, 6);
}

static void
test_header_has_a_bound(void)
{
	g_autoptr(PopHeader) header = pop_header_new();
	g_autofree char *long_text = g_strnfill(200000, 'x');
	g_autofree char *fields = NULL;
	gsize len;

	pop_header_feed(header, (const guint8 *)"Subject: ", 9);
	g_assert_cmpuint(pop_header_feed(header, (const guint8 *)long_text, 200000), ==, 200000);
	g_assert_false(pop_header_is_complete(header));
	g_assert_cmpuint(pop_header_feed(header, (const guint8 *)long_text, 200000), ==,
			 256 * 1024 - 200009);
	g_assert_true(pop_header_is_complete(header));
	fields = pop_header_fields(header, &len);
	g_assert_cmpstr(fields, ==, "\r\n");
}

static gboolean
agrees(const char *text, const PopIdentity *identity)
{
	g_autoptr(PopHeader) header = pop_header_new();

	pop_header_feed(header, (const guint8 *)text, strlen(text));
	return pop_header_agrees(header, identity);
}

static void
test_identity_is_that_of_five_fields(void)
{
	PopIdentity one = identity_of("Received: a;\r\n b\r\nDate: d\r\nSubject: s\r\n"
				      "Message-ID: <m>\r\nStatus: RO\r\n\r\n");
	PopIdentity other = identity_of("received : a; b\nX-Spam: no\nDATE:  d \nSubject: s\n"
					"Message-Id: <m>\n\n");
	PopIdentity marked = identity_of("Received: a; b\r\nDate: d\r\nSubject: [SPAM] s\r\n"
					 "Message-ID: <m>\r\n\r\n");

	g_assert_true(pop_identity_equal(&one, &other));
	g_assert_false(pop_identity_equal(&one, &marked));
	g_assert_true(agrees("Date: e\r\nMessage-ID: <m>\r\n\r\n", &one));
	g_assert_true(agrees("Received: a; b\r\nDate: d\r\nSubject: s\r\n\r\n", &one));
	g_assert_false(agrees("Received: a; b\r\nDate: d\r\nSubject: t\r\n"
			      "Message-ID: <n>\r\n\r\n",
			      &one));
}

static void
test_identity_of_a_header_without_the_five_is_that_of_all_of_it(void)
{
	PopIdentity one = identity_of("X: 1\r\n\r\n");
	PopIdentity same = identity_of("X: 1\r\n");
	PopIdentity other = identity_of("X: 2\r\n\r\n");
	PopIdentity no_id = identity_of("Subject: s\r\nMessage-ID:\r\n\r\n");

	g_assert_true(pop_identity_equal(&one, &same));
	g_assert_false(pop_identity_equal(&one, &other));
	g_assert_true(agrees("X: 1\r\n\r\n", &one));
	g_assert_false(agrees("X: 2\r\n\r\n", &one));
	g_assert_false(agrees("", &one));
	g_assert_false(agrees("Subject: t\r\nMessage-ID:\r\n\r\n", &no_id));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add_transcripts("/pop-parser/", transcripts, G_N_ELEMENTS(transcripts), test_transcript);
#define TEST(name) g_test_add_func("/pop-parser/" #name, test_##name)
	TEST(bounds_a_line_but_not_that_of_a_message);
	TEST(header_ends_at_the_empty_line);
	TEST(header_has_a_bound);
	TEST(identity_is_that_of_five_fields);
	TEST(identity_of_a_header_without_the_five_is_that_of_all_of_it);
	return g_test_run();
}
