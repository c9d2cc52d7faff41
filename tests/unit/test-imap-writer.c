/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "proto/imap-writer.h"

/* The pieces of the finished command, "|" between them. (transfer full) */
static char *
finish(ImapWriter *writer)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) pieces = imap_writer_finish(writer, &error);
	GString *text = g_string_new(NULL);

	g_assert_no_error(error);
	for (guint i = 0; i < pieces->len; i++) {
		gsize len;
		const char *data = g_bytes_get_data(pieces->pdata[i], &len);

		g_assert_null(memchr(data, '\0', len));
		if (i > 0)
			g_string_append_c(text, '|');
		g_string_append_len(text, data, len);
	}
	return g_string_free(text, FALSE);
}

static void
assert_refused(ImapWriter *writer)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) pieces = imap_writer_finish(writer, &error);

	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_assert_null(pieces);
	g_assert_null(strstr(error->message, "geheim"));
}

static void
test_plain_command(void)
{
	g_autoptr(ImapWriter) writer = imap_writer_new("a7", "UID FETCH", FALSE);
	g_autofree char *text = NULL;

	imap_writer_raw(writer, "1:*");
	imap_writer_raw(writer, "(UID FLAGS)");
	text = finish(writer);
	g_assert_cmpstr(text, ==, "a7 UID FETCH 1:* (UID FLAGS)\r\n");
}

static void
test_command_without_arguments(void)
{
	g_autoptr(ImapWriter) writer = imap_writer_new("1", "NOOP", TRUE);
	g_autofree char *text = finish(writer);

	g_assert_cmpstr(text, ==, "1 NOOP\r\n");
}

typedef struct {
	const char *argument;
	const char *string;  /* as an astring */
	const char *mailbox; /* as a mailbox name */
} Spelling;

static const Spelling spellings[] = {
	{"alice", "alice", "\"alice\""},
	{"alice@example.org", "alice@example.org", "\"alice@example.org\""},
	{"INBOX", "INBOX", "\"INBOX\""},
	{"inbox", "inbox", "\"inbox\""},
	{"", "\"\"", "\"\""},
	{"NIL", "\"NIL\"", "\"NIL\""},
	{"nil", "\"nil\"", "\"nil\""},
	{"two words", "\"two words\"", "\"two words\""},
	{"a\"b\\c", "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\""},
	{"\\", "\"\\\\\"", "\"\\\\\""},
	{"(a", "\"(a\"", "\"(a\""},
	{"a)", "\"a)\"", "\"a)\""},
	{"{5}", "\"{5}\"", "\"{5}\""},
	{"~{5}", "\"~{5}\"", "\"~{5}\""},
	{"%", "\"%\"", "\"%\""},
	{"*", "\"*\"", "\"*\""},
	{"]", "\"]\"", "\"]\""},
	{"&AGE-", "&AGE-", "\"&AGE-\""},
	{"caf\xc3\xa9", "{5+}\r\ncaf\xc3\xa9", "{5+}\r\ncaf\xc3\xa9"},
	{"\xff", "{1+}\r\n\xff", "{1+}\r\n\xff"},
	{"a\tb", "{3+}\r\na\tb", "{3+}\r\na\tb"},
	{"\x1b", "{1+}\r\n\x1b", "{1+}\r\n\x1b"},
	{"\x7f", "{1+}\r\n\x7f", "{1+}\r\n\x7f"},
};

static void
test_spellings(void)
{
	for (gsize i = 0; i < G_N_ELEMENTS(spellings); i++) {
		g_autoptr(ImapWriter) writer = imap_writer_new("a", "X", TRUE);
		g_autofree char *text = NULL;
		g_autofree char *expected =
			g_strdup_printf("a X %s %s\r\n", spellings[i].string, spellings[i].mailbox);

		imap_writer_string(writer, spellings[i].argument);
		imap_writer_mailbox(writer, spellings[i].argument);
		text = finish(writer);
		g_assert_cmpstr(text, ==, expected);
	}
}

static void
test_long_strings(void)
{
	for (gsize len = 1000; len <= 1001; len++) {
		g_autoptr(ImapWriter) writer = imap_writer_new("a", "X", TRUE);
		g_autofree char *argument = g_strnfill(len, 'x');
		g_autofree char *text = NULL;
		g_autofree char *expected = g_strdup_printf(
			len == 1000 ? "a X %s \"%s\"\r\n" : "a X {1001+}\r\n%s {1001+}\r\n%s\r\n",
			argument, argument);

		imap_writer_string(writer, argument);
		imap_writer_mailbox(writer, argument);
		text = finish(writer);
		g_assert_cmpstr(text, ==, expected);
	}
}

static void
test_synchronising_literals(void)
{
	g_autoptr(ImapWriter) writer = imap_writer_new("a", "LOGIN", FALSE);
	g_autofree char *text = NULL;

	imap_writer_string(writer, "\xc3\xa9");
	imap_writer_string(writer, "p\xc3\xa9");
	imap_writer_raw(writer, "x");
	text = finish(writer);
	g_assert_cmpstr(text, ==, "a LOGIN {2}\r\n|\xc3\xa9 {3}\r\n|p\xc3\xa9 x\r\n");
}

static void
test_line_breaks(void)
{
	static const char *const bad[] = {
		"evil\r\nX1 DELETE INBOX", "\n", "\r", "geheim\n", "\xc3\xa9\r", "a\"\nb",
	};
	static void (*const doors[])(ImapWriter *, const char *) = {
		imap_writer_string,
		imap_writer_mailbox,
		imap_writer_raw,
		imap_writer_atom,
	};

	for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
		for (gsize door = 0; door < G_N_ELEMENTS(doors); door++) {
			for (int plus = FALSE; plus <= TRUE; plus++) {
				g_autoptr(ImapWriter) writer = imap_writer_new("a", "CREATE", plus);

				doors[door](writer, bad[i]);
				imap_writer_string(writer, "good");
				assert_refused(writer);
			}
		}
	}
}

static void
test_refusal_after_a_literal(void)
{
	g_autoptr(ImapWriter) writer = imap_writer_new("a", "LOGIN", FALSE);

	imap_writer_string(writer, "\xc3\xa9");
	imap_writer_string(writer, "geheim\n");
	assert_refused(writer);
}

static void
test_atoms(void)
{
	static const char *const bad[] = {"",	 "a b",	   "a\"",  "(a",	 "a)",
					  "{1}", "a\\",	   "%a",   "a*",	 "a]",
					  "\t",	 "\x1b[m", "\x7f", "caf\xc3\xa9"};
	g_autoptr(ImapWriter) writer = imap_writer_new("a", "X", TRUE);
	g_autofree char *text = NULL;

	imap_writer_atom(writer, "PLAIN");
	imap_writer_atom(writer, "$Work-1_2.x+y&z!#'/:;<=>?@[^`|}~");
	text = finish(writer);
	g_assert_cmpstr(text, ==, "a X PLAIN $Work-1_2.x+y&z!#'/:;<=>?@[^`|}~\r\n");
	for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(ImapWriter) refused = imap_writer_new("a", "X", TRUE);

		imap_writer_atom(refused, bad[i]);
		assert_refused(refused);
	}
}

static void
test_growing(void)
{
	g_autoptr(ImapWriter) writer = imap_writer_new("a", "X", TRUE);
	g_autoptr(GString) expected = g_string_new("a X");
	g_autofree char *text = NULL;

	for (guint i = 0; i < 10000; i++) {
		imap_writer_string(writer, "word");
		g_string_append(expected, " word");
	}
	g_string_append(expected, "\r\n");
	text = finish(writer);
	g_assert_cmpstr(text, ==, expected->str);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/imap-writer/a command is its words and CRLF", test_plain_command);
	g_test_add_func("/imap-writer/a command may have no arguments",
			test_command_without_arguments);
	g_test_add_func("/imap-writer/a string is an atom, quoted or a literal as it needs",
			test_spellings);
	g_test_add_func("/imap-writer/long strings are literals", test_long_strings);
	g_test_add_func("/imap-writer/without LITERAL+ a command breaks at each literal",
			test_synchronising_literals);
	g_test_add_func("/imap-writer/a line break in any argument refuses the command",
			test_line_breaks);
	g_test_add_func("/imap-writer/a refusal also takes back what a literal had cut off",
			test_refusal_after_a_literal);
	g_test_add_func("/imap-writer/an atom is one or is refused", test_atoms);
	g_test_add_func("/imap-writer/a long command keeps all its words", test_growing);
	return g_test_run();
}
