/* SPDX-License-Identifier: MIT */
/* What each reply, at each stage, means for a message and for the line (RFC 5321 4.2 and 4.3.2,
 * RFC 3463). */
#include <string.h>

#include "base/error.h"
#include "smtp-client.h"

#define TEXT "Subject: x\r\n\r\nhello\r\n"

enum { PLAIN, PIPELINED, CHUNKED, N_MODES };

static const char *const modes[] = {"", "PIPELINING", "PIPELINING,CHUNKING"};

typedef struct {
	const char *reply;
	const char *verdict; /* "refused MAIL 550 …", with the message's name left out */
	MailfsError error;   /* 0 (which no line gives): none */
	gboolean spent;	     /* the line is of no use any more, though nothing is wrong */
} Row;

#define LIMIT	 MAILFS_ERROR_LIMIT
#define PROTOCOL MAILFS_ERROR_PROTOCOL
#define OFFLINE	 MAILFS_ERROR_OFFLINE

/* Sends one message, and another one where the line is still good, which must arrive. */
static void
check_row(const char *command, const Row *row, guint mode, gboolean is_end)
{
	const SmtpAnswer answers[] = {{command, row->reply}, {NULL, NULL}};
	const char *space = strchr(row->verdict, ' ');
	gsize len = space != NULL ? (gsize)(space - row->verdict) : strlen(row->verdict);
	g_autofree char *expected = g_strdup_printf("%s%.*s a%s\n", is_end ? "before a\n" : "",
						    (int)len, row->verdict, row->verdict + len);
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, modes[mode], answers, &peer);
	g_autoptr(GError) error = NULL;
	gboolean good;

	smtp_client_add(client, "a", "a@there.example", TEXT);
	good = smtp_client_submit(client, &error);
	smtp_client_assert_log(client, expected);
	g_assert_cmpint(good, ==, row->error == 0);
	if (!good) {
		g_assert_error(error, MAILFS_ERROR, (int)row->error);
		g_assert_false(smtp_line_is_alive(client->line));
		return;
	}
	g_assert_cmpint(smtp_line_is_alive(client->line), ==, !row->spent);
	if (row->spent)
		return;
	sink.answers = NULL;
	smtp_client_add(client, "z", "z@there.example", TEXT);
	g_assert_true(smtp_client_submit(client, NULL));
	smtp_client_assert_log(client, "before z\nsent z END 250 2.0.0 taken\n");
}

static void
check_rows(const char *command, const char *chunked_command, const Row *rows, gsize n,
	   gboolean is_end)
{
	for (gsize i = 0; i < n; i++)
		for (guint mode = 0; mode < N_MODES; mode++) {
			const char *pattern = mode == CHUNKED ? chunked_command : command;

			g_autofree char *shown = g_strescape(rows[i].reply, NULL);

			g_test_message("%s: %s (%s)", command, shown, modes[mode]);
			if (pattern != NULL)
				check_row(pattern, &rows[i], mode, is_end);
		}
}

static void
test_each_reply_to_mail(void)
{
	static const Row rows[] = {
		{"421 4.3.2 going down !cut", "later MAIL 421 4.3.2 going down", LIMIT, FALSE},
		{"450 4.1.8 who?", "later MAIL 450 4.1.8 who?", 0, FALSE},
		{"451 4.7.1 greylisted", "later MAIL 451 4.7.1 greylisted", 0, FALSE},
		{"452 4.3.1 disk full", "later MAIL 452 4.3.1 disk full", 0, FALSE},
		{"454 no login now", "later MAIL 454 no login now", 0, FALSE},
		{"500 5.5.1 what?", "refused MAIL 500 5.5.1 what?", 0, FALSE},
		{"501 5.1.7 bad sender", "refused MAIL 501 5.1.7 bad sender", 0, FALSE},
		{"530 5.7.0 log in first", "refused MAIL 530 5.7.0 log in first", 0, FALSE},
		{"534 5.7.9 too weak", "refused MAIL 534 5.7.9 too weak", 0, FALSE},
		{"535 5.7.8 wrong", "refused MAIL 535 5.7.8 wrong", 0, FALSE},
		{"550 5.1.8 no", "refused MAIL 550 5.1.8 no", 0, FALSE},
		{"550", "refused MAIL 550", 0, FALSE},
		{"550 no code", "refused MAIL 550 no code", 0, FALSE},
		{"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three",
		 "refused MAIL 550 5.7.1 one\\ntwo\\nthree", 0, FALSE},
		{"550-\r\n550 two", "refused MAIL 550 \\ntwo", 0, FALSE},
		{"552 5.3.4 too big", "refused MAIL 552 5.3.4 too big", 0, FALSE},
		{"553 5.1.7 mailbox name", "refused MAIL 553 5.1.7 mailbox name", 0, FALSE},
		{"554 5.7.1 spam", "refused MAIL 554 5.7.1 spam", 0, FALSE},
		{"555 5.5.4 parameter", "refused MAIL 555 5.5.4 parameter", 0, FALSE},
		{"571 5.7.1 policy", "refused MAIL 571 5.7.1 policy", 0, FALSE},
		{"354 go on", "untouched PROTOCOL", PROTOCOL, FALSE},
		{"!cut", "untouched OFFLINE", OFFLINE, FALSE},
		{"!reset", "untouched OFFLINE", OFFLINE, FALSE},
	};

	check_rows("MAIL *", "MAIL *", rows, G_N_ELEMENTS(rows), FALSE);
}

static void
test_each_reply_to_rcpt(void)
{
#define WHO "RCPT a@there.example "
	static const Row rows[] = {
		{"421 4.7.0 slow down !cut", "later " WHO "421 4.7.0 slow down", LIMIT, FALSE},
		{"450 4.2.1 busy", "later " WHO "450 4.2.1 busy", 0, FALSE},
		{"451 4.7.1 greylisted", "later " WHO "451 4.7.1 greylisted", 0, FALSE},
		{"452 4.5.3 too many", "later " WHO "452 4.5.3 too many", 0, FALSE},
		{"550 5.1.1 nobody", "refused " WHO "550 5.1.1 nobody", 0, FALSE},
		{"550 4.1.1 odd class", "refused " WHO "550 4.1.1 odd class", 0, FALSE},
		{"551 5.1.6 moved", "refused " WHO "551 5.1.6 moved", 0, FALSE},
		{"552 5.2.2 full", "refused " WHO "552 5.2.2 full", 0, FALSE},
		{"553 5.1.3 syntax", "refused " WHO "553 5.1.3 syntax", 0, FALSE},
		{"554 5.7.1 relay", "refused " WHO "554 5.7.1 relay", 0, FALSE},
		{"550 5.1.1 Empf\xe4nger \x1b[31m",
		 "refused " WHO "550 5.1.1 Empf\\344nger \\033[31m", 0, FALSE},
		{"354 go on", "untouched PROTOCOL", PROTOCOL, FALSE},
		{"!cut", "untouched OFFLINE", OFFLINE, FALSE},
	};

	check_rows("RCPT *", "RCPT *", rows, G_N_ELEMENTS(rows), FALSE);
}

static void
test_each_reply_to_data(void)
{
	static const Row rows[] = {
		{"421 4.3.0 bye !cut", "later DATA 421 4.3.0 bye", LIMIT, FALSE},
		{"451 4.3.0 not now", "later DATA 451 4.3.0 not now", 0, FALSE},
		{"452 4.3.1 full", "later DATA 452 4.3.1 full", 0, FALSE},
		{"503 5.5.1 order", "refused DATA 503 5.5.1 order", 0, FALSE},
		{"550 5.7.1 policy", "refused DATA 550 5.7.1 policy", 0, FALSE},
		{"554 5.5.1 no recipients", "refused DATA 554 5.5.1 no recipients", 0, FALSE},
		{"250 what?", "untouched PROTOCOL", PROTOCOL, FALSE},
		{"!cut", "untouched OFFLINE", OFFLINE, FALSE},
	};

	check_rows("DATA", NULL, rows, G_N_ELEMENTS(rows), FALSE);
}

static void
test_each_reply_to_the_end(void)
{
	static const Row rows[] = {
		{"250", "sent END 250", 0, FALSE},
		{"250-2.6.0 taken\r\n250 2.6.0 id 7", "sent END 250 2.6.0 taken\\nid 7", 0, FALSE},
		{"251 2.0.0 fine", "sent END 251 2.0.0 fine", 0, FALSE},
		{"421 4.3.2 bye !cut", "later END 421 4.3.2 bye", LIMIT, FALSE},
		{"450 4.2.1 busy", "later END 450 4.2.1 busy", 0, FALSE},
		{"451 4.3.0 not now", "later END 451 4.3.0 not now", 0, FALSE},
		{"452 4.2.2 full", "later END 452 4.2.2 full", 0, FALSE},
		{"550 5.7.1 spam", "refused END 550 5.7.1 spam", 0, FALSE},
		{"552 5.3.4 too big", "refused END 552 5.3.4 too big", 0, FALSE},
		{"554-5.7.1 one\r\n554 5.7.1 https://example.org/why",
		 "refused END 554 5.7.1 one\\nhttps://example.org/why", 0, FALSE},
		{"354 go on", "unknown PROTOCOL", PROTOCOL, FALSE},
		{"199 odd", "unknown PROTOCOL", PROTOCOL, FALSE},
		{"600 odd", "unknown PROTOCOL", PROTOCOL, FALSE},
		{"25 short", "unknown PROTOCOL", PROTOCOL, FALSE},
		{"250x", "unknown PROTOCOL", PROTOCOL, FALSE},
		{"hello", "unknown PROTOCOL", PROTOCOL, FALSE},
		{"250-fine\r\n550 or not", "unknown PROTOCOL", PROTOCOL, FALSE},
		{"!cut", "unknown OFFLINE", OFFLINE, FALSE},
		{"!reset", "unknown OFFLINE", OFFLINE, FALSE},
		{"250-half !cut", "unknown OFFLINE", OFFLINE, FALSE},
	};

	check_rows(".", "BDAT", rows, G_N_ELEMENTS(rows), TRUE);
}

/* Several recipients
 * -------------------------------------------------------------------------------------------------
 */

/* @expected is what befalls a message to a, b, c, d, e. */
static void
check_recipients(const SmtpAnswer *answers, const char *expected, gboolean good)
{
	for (guint mode = 0; mode < N_MODES; mode++) {
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client =
			smtp_client_at_sink(&sink, modes[mode], answers, &peer);

		smtp_client_add(client, "m", "a@x b@x c@x d@x e@x", TEXT);
		g_assert_cmpint(smtp_client_submit(client, NULL), ==, good);
		smtp_client_assert_log(client, expected);
		g_assert_cmpuint(smtp_sink_count(&sink, NULL), ==, 0);
		if (!good)
			continue;
		smtp_client_add(client, "z", "a@x d@x", TEXT);
		g_assert_true(smtp_client_submit(client, NULL));
		smtp_client_assert_log(client, "before z\nsent z END 250 2.0.0 taken\n");
		g_assert_cmpuint(smtp_sink_count(&sink, NULL), ==, 1);
		g_assert_cmpstr(g_ptr_array_index(sink.deliveries, 0), ==,
				"me@here.example>a@x,d@x|" TEXT);
	}
}

static void
test_one_refused_recipient_means_that_nobody_gets_it(void)
{
	static const SmtpAnswer one[] = {{"RCPT TO:<c@x>", "550 5.1.1 nobody"}, {NULL, NULL}};
	static const SmtpAnswer later[] = {{"RCPT TO:<e@x>", "450 4.2.1 busy"}, {NULL, NULL}};
	static const SmtpAnswer three[] = {{"RCPT TO:<b@x>", "450 4.2.1 busy"},
					   {"RCPT TO:<c@x>", "550 5.1.1 nobody"},
					   {"RCPT TO:<e@x>", "553 5.1.3 odd"},
					   {NULL, NULL}};
	static const SmtpAnswer goodbye[] = {{"RCPT TO:<b@x>", "450 4.2.1 busy"},
					     {"RCPT TO:<c@x>", "550 5.1.1 nobody"},
					     {"RCPT TO:<e@x>", "421 4.7.0 enough !cut"},
					     {NULL, NULL}};

	check_recipients(one, "refused m RCPT c@x 550 5.1.1 nobody\n", TRUE);
	check_recipients(later, "later m RCPT e@x 450 4.2.1 busy\n", TRUE);
	check_recipients(three,
			 "refused m RCPT c@x 550 5.1.1 nobody RCPT b@x 450 4.2.1 busy RCPT e@x 553 "
			 "5.1.3 odd\n",
			 TRUE);
	check_recipients(goodbye,
			 "refused m RCPT c@x 550 5.1.1 nobody RCPT b@x 450 4.2.1 busy RCPT e@x 421 "
			 "4.7.0 enough\n",
			 FALSE);
}

static void
test_a_server_that_wants_the_content_of_a_refused_message_gets_none(void)
{
	static const SmtpAnswer answers[] = {
		{"RCPT *", "550 5.1.1 nobody"}, {"DATA", "354 go on"}, {NULL, NULL}};
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, modes[PIPELINED], answers, &peer);

	smtp_client_add(client, "a", "a@there.example", TEXT);
	smtp_client_add(client, "b", "b@there.example", TEXT);
	g_assert_true(smtp_client_submit(client, NULL));
	smtp_client_assert_log(client, "refused a RCPT a@there.example 550 5.1.1 nobody\n");
	g_assert_false(smtp_line_is_alive(client->line));
	g_assert_cmpuint(client->next, ==, 1);
	smtp_line_close(g_steal_pointer(&client->line), 1000);
	g_clear_pointer(&peer, peer_free);
	g_assert_cmpuint(smtp_sink_count(&sink, NULL), ==, 0);
}

/* Any server
 * --------------------------------------------------------------------------------------------------------
 */

static const char *
any_of(const char *const *list, gsize n)
{
	return list[g_test_rand_int_range(0, (gint32)n)];
}

static gboolean
has_line(const char *log, const char *verdict, const char *name)
{
	g_autofree char *start = g_strdup_printf("\n%s %s", verdict, name);

	return strstr(log, start) != NULL;
}

/* One verdict each for those that were taken, and a true one. */
static void
check_verdicts(SmtpClient *client, SmtpSink *sink)
{
	static const char *const verdicts[] = {"sent", "unknown", "refused", "later", "untouched"};
	g_autofree char *log = g_strconcat("\n", client->log->str, NULL);

	for (guint i = 0; i < client->messages->len; i++) {
		const SmtpMessage *message = g_ptr_array_index(client->messages, i);
		const char *name = message->user;
		g_autofree char *content = g_strdup_printf("%s\r\n", name);
		guint count = smtp_sink_count(sink, content);
		guint told = 0;

		for (gsize k = 0; k < G_N_ELEMENTS(verdicts); k++)
			told += has_line(log, verdicts[k], name) ? 1 : 0;
		g_assert_cmpuint(told, ==, i < client->next ? 1 : 0);
		if (has_line(log, "sent", name))
			g_assert_cmpuint(count, ==, 1);
		else if (has_line(log, "unknown", name))
			g_assert_cmpuint(count, <=, 1);
		else
			g_assert_cmpuint(count, ==, 0);
		if (count > 0)
			g_assert_true(has_line(log, "before", name));
	}
}

static void
test_whatever_a_server_says_each_message_has_one_true_verdict(void)
{
	static const char *const commands[] = {"MAIL *", "RCPT *", "RCPT TO:<b@x>", "DATA", ".",
					       "BDAT",	 "RSET",   "RCPT TO:<a@x>"};
	static const char *const replies[] = {
		"250 ok", "250-a\r\n250 b", "354 go on", "450 4.2.1 later", "421 4.3.2 bye",
		"421 4.3.2 bye !cut", "550 5.1.1 no", "554-5.7.1 a\r\n554 5.7.1 b",
		"503 5.5.1 what", "250-a\r\n550 b", "nonsense", "!cut", "!reset", "250 ok !cut",
		"550 no !reset",
		/* Last: where commands go in one write, nobody can
		 * tell whose the second one is. */
		"250 ok\r\n250 again"};

	for (guint round = 0; round < 400; round++) {
		SmtpAnswer answers[3] = {0};
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client = NULL;
		g_autoptr(GString) shown = g_string_new(NULL);
		const char *mode = any_of(modes, N_MODES);
		gsize n_replies = G_N_ELEMENTS(replies) - (strstr(mode, "PIPELINING") != NULL);

		for (gint i = 0; i < g_test_rand_int_range(0, 3); i++) {
			g_autofree char *reply = NULL;

			answers[i].command = any_of(commands, G_N_ELEMENTS(commands));
			answers[i].reply = any_of(replies, n_replies);
			reply = g_strescape(answers[i].reply, NULL);
			g_string_append_printf(shown, "; %s: %s", answers[i].command, reply);
		}
		client = smtp_client_at_sink(&sink, mode, answers, &peer);
		g_test_message("%s%s", sink.offers, shown->str);
		smtp_client_add(client, "first", "a@x", "first\r\n");
		smtp_client_add(client, "second", "a@x b@x", "second\r\n");
		smtp_client_add(client, "third", "b@x", "third\r\n");
		if (smtp_client_submit(client, NULL) && client->next < client->messages->len)
			g_assert_false(smtp_line_is_alive(client->line));
		smtp_line_close(g_steal_pointer(&client->line), 10000);
		g_clear_pointer(&peer, peer_free); /* all that it was to deliver is delivered */
		check_verdicts(client, &sink);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/smtp/each-reply-to-mail", test_each_reply_to_mail);
	g_test_add_func("/smtp/each-reply-to-rcpt", test_each_reply_to_rcpt);
	g_test_add_func("/smtp/each-reply-to-data", test_each_reply_to_data);
	g_test_add_func("/smtp/each-reply-to-the-end", test_each_reply_to_the_end);
	g_test_add_func("/smtp/one-refused-recipient-means-that-nobody-gets-it",
			test_one_refused_recipient_means_that_nobody_gets_it);
	g_test_add_func("/smtp/a-server-that-wants-the-content-of-a-refused-message-gets-none",
			test_a_server_that_wants_the_content_of_a_refused_message_gets_none);
	g_test_add_func("/smtp/whatever-a-server-says-each-message-has-one-true-verdict",
			test_whatever_a_server_says_each_message_has_one_true_verdict);
	return g_test_run();
}
