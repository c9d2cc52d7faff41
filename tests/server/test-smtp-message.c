/* SPDX-License-Identifier: MIT */
/* What a message may be: its bytes arrive as they were, and what a server could take for something
 * else than content, or for another command, does not leave. */
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "smtp-client.h"

static const char *const modes[] = {"8BITMIME", "8BITMIME,PIPELINING",
				    "8BITMIME,PIPELINING,CHUNKING"};

/* Content
 * --------------------------------------------------------------------------------------------------------
 */

/* At a server that takes a line for one whether it ends with CRLF or with LF. */
static void
check_arrives(const char *content)
{
	for (guint mode = 0; mode < G_N_ELEMENTS(modes); mode++) {
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, modes[mode], NULL, &peer);
		g_autofree char *expected = g_strdup_printf("me@here.example>a@x|%s", content);

		sink.lenient = TRUE;
		smtp_client_add(client, "m", "a@x", content);
		g_assert_true(smtp_client_submit(client, NULL));
		g_assert_cmpuint(smtp_sink_count(&sink, NULL), ==, 1);
		g_assert_true(strcmp(g_ptr_array_index(sink.deliveries, 0), expected) == 0);
	}
}

static void
test_content_arrives_as_it_was(void)
{
	check_arrives("\r\n");
	check_arrives(".\r\n");
	check_arrives("..\r\n.\r\n\r\n.x\r\n.\r\n");
	check_arrives("a\r\n.\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nb\r\n.\r\n");
	check_arrives("Subject: Gr\xc3\xbc\xc3\x9f\r\n\r\nbye\r\n");
}

static void
test_long_content_arrives_as_it_was_wherever_it_is_cut(void)
{
	enum { PIECE = 64 * 1024 };

	for (gsize shift = 0; shift < 6; shift++) {
		g_autoptr(GString) text = g_string_new(NULL);

		for (guint piece = 1; piece <= 2; piece++) {
			while (text->len < piece * PIECE - shift)
				g_string_append_c(text, 'x');
			g_string_append(text, "\r\n.\r\n..\r\n");
		}
		check_arrives(text->str);
	}
}

/* Sends @message, which is expected not to leave, and another one, which is to. */
static void
check_does_not_leave(SmtpClient *client, SmtpSink *sink, const char *why)
{
	g_autofree char *expected = g_strdup_printf("unsendable m %s\nbefore z\nsent z END 250 "
						    "2.0.0 taken\n",
						    why);

	smtp_client_add(client, "z", "z@x", "\r\n");
	g_assert_true(smtp_client_submit(client, NULL));
	smtp_client_assert_log(client, expected);
	g_assert_false(smtp_sink_heard(sink, "CANARY"));
}

static void
test_what_could_end_a_message_early_does_not_leave(void)
{
	static const char *const smuggled[] = {
		"CANARY\n.\nMAIL FROM:<evil@x>\r\n",
		"CANARY\n.\r\nMAIL FROM:<evil@x>\r\n",
		"CANARY\r\n.\nMAIL FROM:<evil@x>\r\n",
		"CANARY\r.\rMAIL FROM:<evil@x>\r\n",
		"CANARY\r\n.\rMAIL FROM:<evil@x>\r\n",
		"CANARY\r.\r\nMAIL FROM:<evil@x>\r\n",
		"CANARY\n\n.\r\n",
		"CANARY\r\r\n.\r\n",
		"CANARY\r\n\r.\r\n",
		"\nCANARY\r\n",
		"\rCANARY\r\n",
		"CANARY\r\n\n",
		"CANARY\r\n\r",
		"CANARY\r\n.",
		"CANARY\r\n.\r",
		"CANARY\r",
		"CANARY\n",
		"CANARY",
	};

	for (guint i = 0; i < G_N_ELEMENTS(smuggled) * G_N_ELEMENTS(modes); i++) {
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client =
			smtp_client_at_sink(&sink, modes[i % G_N_ELEMENTS(modes)], NULL, &peer);

		smtp_client_add(client, "m", "a@x", smuggled[i / G_N_ELEMENTS(modes)]);
		check_does_not_leave(client, &sink, "INVALID");
	}
}

static void
test_bare_line_ends_are_seen_across_pieces(void)
{
	static const char *const middles[] = {"\n", "\r", "\r\r\n", "\n\r"};
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, modes[1], NULL, &peer);

	for (guint i = 0; i < G_N_ELEMENTS(middles); i++)
		for (gsize shift = 0; shift < 3; shift++) {
			g_autofree char *fill = g_strnfill(64 * 1024 - shift, 'x');
			g_autofree char *text = g_strconcat(fill, middles[i], "CANARY\r\n", NULL);

			smtp_client_add(client, "m", "a@x", text);
			check_does_not_leave(client, &sink, "INVALID");
		}
}

static void
test_a_nul_does_not_leave(void)
{
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, modes[2], NULL, &peer);
	SmtpMessage *message = smtp_client_add(client, "m", "a@x", "CANARY.\r\n");

	g_assert_cmpint(pwrite(message->fd, "", 1, 6), ==, 1);
	check_does_not_leave(client, &sink, "INVALID");
}

static void
test_a_file_that_is_not_what_was_said_does_not_leave(void)
{
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, modes[1], NULL, &peer);

	smtp_client_add(client, "m", "a@x", "CANARY\r\n")->size = 9;
	check_does_not_leave(client, &sink, "INVALID");
	smtp_client_add(client, "m", "a@x", "")->size = 0;
	check_does_not_leave(client, &sink, "INVALID");
	/* A part of it is a message as well. */
	smtp_client_add(client, "m", "a@x", "A\r\nB\r\n")->size = 3;
	g_assert_true(smtp_client_submit(client, NULL));
	g_assert_cmpuint(smtp_sink_count(&sink, "A\r\n"), ==, 1);
}

#define WIDE "gr\xc3\xbc\xc3\x9f@b\xc3\xbc\x63her.example"

/* What the server does not take
 * -----------------------------------------------------------------------------------------------------
 */

static void
test_what_the_server_does_not_take_does_not_leave(void)
{
	static const struct {
		const char *offers, *recipients, *content, *why;
	} cases[] = {
		{"SIZE 7", "a@x", "CANARY\r\n", "TOO_BIG"},
		{"LIMITS MAILMAX=5 RCPTMAX=2", "a@x b@x c@x", "CANARY\r\n", "TOO_BIG"},
		{"PIPELINING", "a@x", "CANARY \xe4\r\n", "UNSUPPORTED"},
		{"SMTPUTF8", "a@x", "CANARY \xe4\r\n", "UNSUPPORTED"},
		{"8BITMIME", "gr\xc3\xbc\xc3\x9f@x", "CANARY\r\n", "UNSUPPORTED"},
		{"8BITMIME", "a@b\xc3\xbc\x63her.example", "CANARY\r\n", "UNSUPPORTED"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client =
			smtp_client_at_sink(&sink, cases[i].offers, NULL, &peer);

		smtp_client_add(client, "m", cases[i].recipients, cases[i].content);
		check_does_not_leave(client, &sink, cases[i].why);
	}
}

static void
test_utf8_in_the_header_needs_a_word_and_smtputf8(void)
{
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, "8BITMIME", NULL, &peer);

	smtp_client_add(client, "m", "a@x", "Subject: CANARY \xc3\xa4\r\n\r\n")->smtputf8 = TRUE;
	check_does_not_leave(client, &sink, "UNSUPPORTED");
}

/* The envelope
 * ------------------------------------------------------------------------------------------------------
 */

static void
test_the_envelope_says_what_the_server_understands(void)
{
	static const char *const commands[] = {
		"MAIL FROM:<me@here.example> SIZE=8\r\n",
		"MAIL FROM:<> SIZE=6 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+3Dc\r\n",
		"RCPT TO:<" WIDE "> NOTIFY=FAILURE,DELAY\r\n",
		"RCPT TO:<\"odd <one>\"@x> NOTIFY=FAILURE,DELAY\r\n",
	};
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client =
		smtp_client_at_sink(&sink, "SIZE,8BITMIME,SMTPUTF8,DSN,PIPELINING", NULL, &peer);
	SmtpMessage *message;

	smtp_client_add(client, "m", "a@x", "ASCII.\r\n");
	message = smtp_client_add(client, "n", "", "8bit\r\n");
	g_strfreev((GStrv)message->recipients);
	message->recipients = (const char *const *)g_strsplit(WIDE "|\"odd <one>\"@x", "|", -1);
	message->sender = "";
	message->notify = "FAILURE,DELAY";
	message->return_what = "HDRS";
	message->envelope_id = "a+b=c";
	g_assert_cmpint(pwrite(message->fd, "8b\xe4t\r\n", 6, 0), ==, 6);
	g_assert_true(smtp_client_submit(client, NULL));
	for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
		g_assert_true(smtp_sink_heard(&sink, commands[i]));
}

static void
test_notifications_are_left_out_where_nobody_knows_them(void)
{
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, "PIPELINING", NULL, &peer);
	SmtpMessage *message = smtp_client_add(client, "m", "a@x", "x\r\n");

	message->notify = "NEVER";
	message->return_what = "FULL";
	message->envelope_id = "id";
	g_assert_true(smtp_client_submit(client, NULL));
	g_assert_true(smtp_sink_heard(&sink, "MAIL FROM:<me@here.example>\r\n"));
	g_assert_true(smtp_sink_heard(&sink, "RCPT TO:<a@x>\r\n"));
}

static void
test_no_address_becomes_a_command(void)
{
	static const char *const addresses[] = {
		"a@x>\r\nRCPT TO:<evil@CANARY",
		"a@x\nCANARY",
		"a@x\rCANARY",
		"a@x> CANARY",
		"<a@CANARY>",
		"a b@CANARY",
		"a@CANARY x",
		"a@CANARY>",
		"@b:a@CANARY",
		"a@@CANARY",
		"@CANARY",
		"a@CANARY@",
		"\"a@CANARY",
		"\"a\"b@CANARY",
		"\"a\n\"@CANARY",
		"a\\@CANARY",
		"a@[CANARY]",
		"a@CANARY\x7f",
		"a\x01@CANARY",
		"a@CAN\xe4RY",
		"",
		"\xc0\x80@CANARY",
	};

	for (guint i = 0; i < G_N_ELEMENTS(addresses); i++)
		for (guint as_sender = 0; as_sender < (*addresses[i] != '\0' ? 2u : 1u);
		     as_sender++) {
			g_auto(SmtpSink) sink = {0};
			g_autoptr(Peer) peer = NULL;
			g_autoptr(SmtpClient) client =
				smtp_client_at_sink(&sink, "PIPELINING,SMTPUTF8", NULL, &peer);
			SmtpMessage *message = smtp_client_add(client, "m", "a@x", "x\r\n");

			if (as_sender == 1) {
				message->sender = addresses[i];
			} else {
				g_strfreev((GStrv)message->recipients);
				message->recipients = (const char *const *)g_strdupv(
					(char *[]){(char *)addresses[i], NULL});
			}
			check_does_not_leave(client, &sink, "INVALID");
		}
}

static void
test_a_message_to_nobody_does_not_leave(void)
{
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, "", NULL, &peer);
	SmtpMessage *message = smtp_client_add(client, "m", "a@x", "CANARY\r\n");

	g_strfreev((GStrv)message->recipients);
	message->recipients = (const char *const *)g_new0(char *, 1);
	check_does_not_leave(client, &sink, "INVALID");
}

static void
test_notifications_that_are_none_do_not_leave(void)
{
	static const struct {
		const char *notify, *return_what, *id;
	} cases[] = {
		{"NEVER,SUCCESS", NULL, NULL}, {"", NULL, NULL}, {"SUCCESS\r\nCANARY", NULL, NULL},
		{NULL, "ALL", NULL},	       {NULL, NULL, ""}, {NULL, NULL, "CANARY x"},
		{NULL, NULL, "x\r\nCANARY"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, "DSN", NULL, &peer);
		SmtpMessage *message = smtp_client_add(client, "m", "a@x", "x\r\n");

		message->notify = cases[i].notify;
		message->return_what = cases[i].return_what;
		message->envelope_id = cases[i].id;
		check_does_not_leave(client, &sink, "INVALID");
	}
}

int
main(int argc, char **argv)
{
#define ADD(name, function) g_test_add_func("/smtp-message/" name, function)
	g_test_init(&argc, &argv, NULL);
	ADD("content-arrives-as-it-was", test_content_arrives_as_it_was);
	ADD("long-content-arrives-as-it-was-wherever-it-is-cut",
	    test_long_content_arrives_as_it_was_wherever_it_is_cut);
	ADD("what-could-end-a-message-early-does-not-leave",
	    test_what_could_end_a_message_early_does_not_leave);
	ADD("bare-line-ends-are-seen-across-pieces", test_bare_line_ends_are_seen_across_pieces);
	ADD("a-nul-does-not-leave", test_a_nul_does_not_leave);
	ADD("a-file-that-is-not-what-was-said-does-not-leave",
	    test_a_file_that_is_not_what_was_said_does_not_leave);
	ADD("what-the-server-does-not-take-does-not-leave",
	    test_what_the_server_does_not_take_does_not_leave);
	ADD("utf8-in-the-header-needs-a-word-and-smtputf8",
	    test_utf8_in_the_header_needs_a_word_and_smtputf8);
	ADD("the-envelope-says-what-the-server-understands",
	    test_the_envelope_says_what_the_server_understands);
	ADD("notifications-are-left-out-where-nobody-knows-them",
	    test_notifications_are_left_out_where_nobody_knows_them);
	ADD("no-address-becomes-a-command", test_no_address_becomes_a_command);
	ADD("a-message-to-nobody-does-not-leave", test_a_message_to_nobody_does_not_leave);
	ADD("notifications-that-are-none-do-not-leave",
	    test_notifications_that_are_none_do_not_leave);
	return g_test_run();
}
