/* SPDX-License-Identifier: MIT */
#include "send-message.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "mail/upload-check.h"

#define OWN "al@example.org"

/* (transfer full) */
static char *
contents(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *data = g_malloc((gsize)size + 1);

	g_assert_cmpint(upload_check_read(fd, data, (gsize)size, 0, NULL), ==, size);
	data[size] = '\0';
	return data;
}

static int
read_input(const char *input, gsize len, gboolean whole, GError **error)
{
	FILE *stream = fmemopen((char *)input, MAX(len, 1), "r");
	int fd;

	g_assert_nonnull(stream);
	if (len == 0)
		getc(stream); /* fmemopen() has no empty streams */
	fd = send_message_read(stream, whole, error);
	fclose(stream);
	return fd;
}

static void
assert_read(const char *input, gboolean whole, const char *expected)
{
	g_autoptr(GError) error = NULL;
	g_auto(UtilFd) fd = read_input(input, strlen(input), whole, &error);
	g_autofree char *found = NULL;

	g_assert_no_error(error);
	found = contents(fd);
	g_assert_cmpstr(found, ==, expected);
}

static void
test_dot(void)
{
	static const char input[] = "To: a\n\nx\n.\ny\n";

	assert_read(input, FALSE, "To: a\n\nx\n");
	assert_read(input, TRUE, input);
	assert_read("To: a\r\n\r\nx\r\n.\r\ny\r\n", FALSE, "To: a\r\n\r\nx\r\n");
	assert_read("To: a\n\nx\n.", FALSE, "To: a\n\nx\n");
	assert_read("To: a\n\n..\n.x\n", FALSE, "To: a\n\n..\n.x\n");
}

static void
test_header(void)
{
	assert_read("hello\n", TRUE, "MIME-Version: 1.0\n\nhello\n");
	assert_read("\nhello\n", TRUE, "MIME-Version: 1.0\n\nhello\n");
	assert_read("From a@x Sun Nov 22 08:00:00 2026\nTo: a\n\nFrom here\n", TRUE,
		    "To: a\n\nFrom here\n");
}

/* A piece may end anywhere, so also just before a dot that begins no line. */
static void
test_long_lines(void)
{
	g_autoptr(GString) input = g_string_new("To: a\n\n");
	g_autoptr(GError) error = NULL;
	g_auto(UtilFd) fd = -1;
	g_autofree char *found = NULL;

	for (guint i = 0; i < 65536; i++)
		g_string_append_c(input, 'x');
	g_string_append(input, ".\nlast\n");
	fd = read_input(input->str, input->len, FALSE, &error);
	g_assert_no_error(error);
	found = contents(fd);
	g_assert_cmpstr(found, ==, input->str);
}

static void
test_empty(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(read_input("", 0, TRUE, &error), ==, -1);
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_clear_error(&error);
	g_assert_cmpint(read_input(".\nx\n", 4, FALSE, &error), ==, -1);
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
}

/* The sender, then the recipients of the finished file; or "! " and why not. (transfer full) */
static char *
envelope_of(const char *message, const char *line)
{
	g_auto(GStrv) argv = NULL;
	g_auto(SendOptions) options = {0};
	ComposeOptions plain = {.address = OWN};
	g_autoptr(GError) error = NULL;
	g_autoptr(Composed) composed = NULL;
	g_auto(UtilFd) raw = -1, done = -1;
	g_autofree char *to = NULL;
	int argc;

	g_assert_true(g_shell_parse_argv(line, &argc, &argv, NULL));
	g_assert_true(send_options_parse(argv, argc, &options, NULL));
	raw = read_input(message, strlen(message), options.whole, &error);
	g_assert_no_error(error);
	done = send_message_compose(raw, &options, OWN, &error);
	if (done < 0)
		return g_strdup_printf("! %s", error->message);
	composed = compose_read(done, &plain, &error);
	g_assert_no_error(error);
	g_assert_true(composed->is_complete && composed->at_once);
	to = g_strjoinv(" ", composed->recipients);
	return g_strdup_printf("<%s> %s", composed->sender, to);
}

static void
test_envelope(void)
{
	static const struct {
		const char *line, *message, *expected;
	} table[] = {
		{"b@x.org 'C <c@x.org>, d@x.org'", "To: z@x.org\n\n",
		 "<" OWN "> b@x.org c@x.org d@x.org"},
		{"-t", "To: b@x.org\nBcc: c@x.org\n\n", "<" OWN "> b@x.org c@x.org"},
		{"-t d@x.org b@x.org", "To: b@x.org\nBcc: c@x.org\n\n",
		 "<" OWN "> d@x.org b@x.org c@x.org"},
		{"-FCronDaemon -i root", "From: root (Cron Daemon)\nTo: root\n\nx\n",
		 "<" OWN "> " OWN},
		{"-f bounce@x.org b@x.org", "hi\n", "<bounce@x.org> b@x.org"},
		{"-f root b@x.org", "hi\n", "<" OWN "> b@x.org"},
		{"-f '<>' b@x.org", "hi\n", "<> b@x.org"},
		{"-f '' b@x.org", "hi\n", "<> b@x.org"},
		{"'b c@x.org'", "hi\n", "! \"b c@x.org\" is no address: there is a gap in it"},
		{"-t", "To: root\n\n",
		 "! cannot be sent: To: \"root\" is no address: its @ and domain are missing"},
		{"-t", "Subject: x\n\n",
		 "! cannot be sent: it names no recipient in To, Cc or Bcc"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
		g_autofree char *found = envelope_of(table[i].message, table[i].line);

		g_assert_cmpstr(found, ==, table[i].expected);
	}
}

static void
test_author(void)
{
	static const struct {
		const char *message, *expected;
	} table[] = {
		{"From: Al <al@x.org>\nTo: b\n\n", "al@x.org"},
		{"From: root (Cron Daemon)\n\n", NULL},
		{"To: b\n\nFrom: al@x.org\n", NULL},
	};

	for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
		g_auto(UtilFd) fd =
			read_input(table[i].message, strlen(table[i].message), TRUE, NULL);
		g_autofree char *found = send_message_author(fd);

		g_assert_cmpstr(found, ==, table[i].expected);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/send-message/a-lone-dot-ends-it-without-i", test_dot);
	g_test_add_func("/send-message/a-text-without-a-header-gets-one", test_header);
	g_test_add_func("/send-message/lines-may-be-longer-than-a-piece", test_long_lines);
	g_test_add_func("/send-message/nothing-is-not-sent", test_empty);
	g_test_add_func("/send-message/the-command-line-makes-the-envelope", test_envelope);
	g_test_add_func("/send-message/its-author-is-known", test_author);
	return g_test_run();
}
