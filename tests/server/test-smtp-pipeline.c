/* SPDX-License-Identifier: MIT */
/* Many messages on one line: what travels together, what a lost line means, and that nothing is
 * ever delivered that was called unsent. */
#include <string.h>

#include "base/error.h"
#include "imap-client.h"
#include "smtp-client.h"

#define OFFER_PIPELINING "\r\n250-PIPELINING"
#define OFFER_CHUNKING	 "\r\n250-PIPELINING\r\n250-CHUNKING"
#define LOGIN(offers)                                                                              \
	">220 hi", "=EHLO *", ">250-hi\r\n250-AUTH PLAIN" offers "\r\n250 HELP",                   \
		"=AUTH PLAIN AHUAc2VjcmV0", ">235 in", "=EHLO *", ">250-hi" offers "\r\n250 HELP"

#define MAIL "=MAIL FROM:<me@here.example>"

#define GOODBYE "=QUIT", ">221 bye", "!end", NULL

typedef const char *const Dialog[];

typedef struct {
	const char *name, *recipients, *content;
} Letter;

static SmtpClient *
open_dialog(const char *const *dialog, Peer **peer_out)
{
	SmtpClient *client;

	*peer_out = peer_new(imap_peer_dialog, (gpointer)dialog);
	client = smtp_client_new(*peer_out, TLS_NONE);
	smtp_client_must_open(client);
	return client;
}

/* The letters take that course, and then the line ends. */
static void
check_dialog(const char *const *dialog, const Letter *letters, guint n, const char *log)
{
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = open_dialog(dialog, &peer);

	for (guint i = 0; i < n; i++)
		smtp_client_add(client, letters[i].name, letters[i].recipients, letters[i].content);
	g_assert_true(smtp_client_submit(client, NULL));
	smtp_client_assert_log(client, log);
	smtp_line_close(g_steal_pointer(&client->line), 10000);
}

/* What is written when
 * ---------------------------------------------------------------------------------------------------
 */

static void
test_the_next_envelope_travels_with_the_end_of_the_one_before(void)
{
	static Dialog dialog = {LOGIN(OFFER_PIPELINING),
				MAIL,
				"=RCPT TO:<a@x>",
				"=DATA", /* without an answer so far */
				">250 a\r\n250 b\r\n354 c",
				"=A",
				"=.",
				MAIL, /* nor here */
				"=RCPT TO:<b@x>",
				"=DATA",
				">250 taken\r\n250 a\r\n250 b\r\n354 c",
				"=B",
				"=.",
				">250 taken as well",
				GOODBYE};
	static const Letter letters[] = {{"a", "a@x", "A\r\n"}, {"b", "b@x", "B\r\n"}};

	check_dialog(dialog, letters, G_N_ELEMENTS(letters),
		     "before a\nsent a END 250 taken\n"
		     "before b\nsent b END 250 taken as well\n");
}

static void
test_chunks_wait_for_the_answers_to_the_envelope(void)
{
	static Dialog dialog = {LOGIN(OFFER_CHUNKING),
				MAIL,
				"=RCPT TO:<a@x>",
				"=RCPT TO:<b@x>",
				">250 a\r\n250 b\r\n550 5.1.1 no b",
				"=RSET",
				MAIL,
				"=RCPT TO:<c@x>",
				">250 reset\r\n250 a\r\n250 b",
				"=BDAT 4 LAST",
				"=.C", /* not stuffed */
				MAIL,
				"=RCPT TO:<d@x>",
				">250 taken\r\n250 a\r\n250 b",
				"=BDAT 3 LAST",
				"=D",
				">250 taken",
				GOODBYE};
	static const Letter letters[] = {
		{"ab", "a@x b@x", "A\r\n"}, {"c", "c@x", ".C\r\n"}, {"d", "d@x", "D\r\n"}};

	check_dialog(dialog, letters, G_N_ELEMENTS(letters),
		     "refused ab RCPT b@x 550 5.1.1 no b\n"
		     "before c\nsent c END 250 taken\n"
		     "before d\nsent d END 250 taken\n");
}

static void
test_many_recipients_without_chunks_know_their_answers_before_data(void)
{
	static Dialog dialog = {LOGIN(OFFER_PIPELINING),
				MAIL,
				"=RCPT TO:<a@x>",
				"=RCPT TO:<b@x>",
				">250 a\r\n250 b\r\n250 c",
				"=DATA",
				">354 go",
				"=AB",
				"=.",
				MAIL,
				"=RCPT TO:<c@x>",
				"=RCPT TO:<d@x>",
				">250 taken\r\n250 a\r\n450 b\r\n250 c",
				"=RSET",
				MAIL,
				"=RCPT TO:<e@x>",
				"=DATA",
				">250 a\r\n250 b\r\n250 c\r\n354 d",
				"=E",
				"=.",
				">250 taken",
				GOODBYE};
	static const Letter letters[] = {
		{"ab", "a@x b@x", "AB\r\n"}, {"cd", "c@x d@x", "CD\r\n"}, {"e", "e@x", "E\r\n"}};

	check_dialog(dialog, letters, G_N_ELEMENTS(letters),
		     "before ab\nsent ab END 250 taken\n"
		     "later cd RCPT c@x 450 b\n"
		     "before e\nsent e END 250 taken\n");
}

static void
test_a_server_that_is_still_in_a_refused_transaction_is_reset(void)
{
	static Dialog dialog = {LOGIN(OFFER_CHUNKING),
				MAIL,
				"=RCPT TO:<a@x>",
				">250 a\r\n250 b",
				"=BDAT 3 LAST",
				"=A",
				MAIL,
				"=RCPT TO:<b@x>",
				">554 5.6.0 odd\r\n503 5.5.1 nested MAIL\r\n503 5.5.1 what?",
				"=RSET",
				MAIL,
				"=RCPT TO:<b@x>",
				">250 a\r\n250 b\r\n250 c",
				"=BDAT 3 LAST",
				"=B",
				">250 taken",
				GOODBYE};
	static const Letter letters[] = {{"a", "a@x", "A\r\n"}, {"b", "b@x", "B\r\n"}};

	check_dialog(dialog, letters, G_N_ELEMENTS(letters),
		     "before a\nrefused a END 554 5.6.0 odd\n"
		     "before b\nsent b END 250 taken\n");
}

/* Stopping
 * -------------------------------------------------------------------------------------------------------
 */

/* Messages a, b and c are there; the verdict on a ends it. */
static void
check_halt(const char *offers, const char *expected, gboolean alive)
{
	static const SmtpAnswer spam[] = {
		{".", "554 5.7.1 spam"}, {"BDAT", "554 5.7.1 spam"}, {NULL, NULL}};
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, offers, spam, &peer);

	smtp_client_add(client, "a", "a@x", "A\r\n");
	smtp_client_add(client, "b", "b@x", "B\r\n");
	smtp_client_add(client, "c", "c@x", "C\r\n");
	client->halt_at = "a";
	g_assert_true(smtp_client_submit(client, NULL));
	smtp_client_assert_log(client, expected);
	g_assert_cmpuint(smtp_sink_count(&sink, NULL), ==, 0);
	g_assert_cmpint(smtp_line_is_alive(client->line), ==, alive);
	if (!alive)
		return;
	sink.answers = NULL;
	client->next = 2;
	g_assert_true(smtp_client_submit(client, NULL));
	smtp_client_assert_log(client, "before c\nsent c END 250 2.0.0 taken\n");
}

static void
test_a_verdict_can_stop_the_rest(void)
{
	check_halt("", "before a\nrefused a END 554 5.7.1 spam\n", TRUE);
	check_halt("PIPELINING", "before a\nrefused a END 554 5.7.1 spam\nuntouched b\n", FALSE);
	check_halt("PIPELINING,CHUNKING", "before a\nrefused a END 554 5.7.1 spam\nuntouched b\n",
		   TRUE);
}

static void
test_a_message_can_be_taken_back_until_its_end(void)
{
	static const char *const offers[] = {"", "PIPELINING", "PIPELINING,CHUNKING"};

	for (guint i = 0; i < G_N_ELEMENTS(offers); i++) {
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, offers[i], NULL, &peer);

		smtp_client_add(client, "a", "a@x", "A\r\n");
		smtp_client_add(client, "b", "b@x", "B\r\n");
		client->take_back = "b";
		g_assert_true(smtp_client_submit(client, NULL));
		smtp_client_assert_log(client, "before a\nsent a END 250 2.0.0 taken\n"
					       "before b\nuntouched b\n");
		g_assert_false(smtp_line_is_alive(client->line));
		smtp_line_close(g_steal_pointer(&client->line), 10000);
		g_clear_pointer(&peer, peer_free);
		g_assert_cmpuint(smtp_sink_count(&sink, NULL), ==, 1);
	}
}

static void
cancel_now(SmtpClient *client, const SmtpMessage *message)
{
	g_cancellable_cancel(client->cancel);
}

static void
test_a_cancelled_line_sends_nothing_more(void)
{
	static Dialog dialog = {LOGIN(OFFER_PIPELINING), "!end", NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = open_dialog(dialog, &peer);
	g_autoptr(GError) error = NULL;

	smtp_client_add(client, "a", "a@x", "A\r\n");
	cancel_now(client, NULL);
	g_assert_false(smtp_client_submit(client, &error));
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	smtp_client_assert_log(client, "untouched a CANCELLED\n");
	smtp_line_close(g_steal_pointer(&client->line), 1000);
}

static void
test_cancelling_waits_for_an_answer_that_is_due(void)
{
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, "PIPELINING", NULL, &peer);
	g_autoptr(GError) error = NULL;

	smtp_client_add(client, "a", "a@x", "A\r\n");
	smtp_client_add(client, "b", "b@x", "B\r\n");
	client->hook = cancel_now;
	g_assert_false(smtp_client_submit(client, &error));
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	smtp_client_assert_log(client, "before a\nsent a END 250 2.0.0 taken\n"
				       "untouched b CANCELLED\n");
}

static void
test_cancelling_does_not_wait_for_ever(void)
{
	static const SmtpAnswer silence[] = {{".", "!stall"}, {NULL, NULL}};
	g_auto(SmtpSink) sink = {0};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, "PIPELINING", silence, &peer);
	g_autoptr(GError) error = NULL;

	smtp_client_add(client, "a", "a@x", "A\r\n");
	client->hook = cancel_now;
	client->config.timeout_ms = 500; /* without being cancelled, ten seconds */
	g_assert_false(smtp_client_submit(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT);
	smtp_client_assert_log(client, "before a\nunknown a TIMEOUT\n");
}

/* The server's moods
 * -----------------------------------------------------------------------------------------------------
 */

static void
test_silence_ends_the_line(void)
{
	static const SmtpAnswer mail[] = {{"MAIL *", "!stall"}, {NULL, NULL}};
	static const SmtpAnswer end[] = {{".", "!stall"}, {NULL, NULL}};
	static const struct {
		const SmtpAnswer *answers;
		const char *log;
	} cases[] = {{mail, "untouched a TIMEOUT\n"}, {end, "before a\nunknown a TIMEOUT\n"}};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client =
			smtp_client_at_sink(&sink, "", cases[i].answers, &peer);
		g_autoptr(GError) error = NULL;

		smtp_client_add(client, "a", "a@x", "A\r\n");
		client->config.timeout_ms = 10;
		g_assert_false(smtp_client_submit(client, &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT);
		smtp_client_assert_log(client, cases[i].log);
	}
}

/* The server says @said after the login, unasked. */
static void
check_unasked(const char *said)
{
	const char *dialog[] = {LOGIN(OFFER_PIPELINING), said, "!end", NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = open_dialog(dialog, &peer);
	g_autoptr(GError) error = NULL;

	smtp_client_add(client, "a", "a@x", "A\r\n");
	while (smtp_line_is_alive(client->line))
		g_thread_yield();
	g_assert_false(smtp_client_submit(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
	smtp_client_assert_log(client, "");
	g_assert_cmpuint(client->next, ==, 0);
	smtp_line_close(g_steal_pointer(&client->line), 1000);
}

static void
test_what_nobody_asked_for_ends_the_line(void)
{
	check_unasked(">421 4.4.2 idle for too long");
	check_unasked(">250 ok");
	check_unasked(">250-o");
}

static void
test_an_answer_too_many_is_no_answer_to_the_next_question(void)
{
	static Dialog dialog = {LOGIN(""), "=MAIL *", ">250 a\r\n250 recipient fine", "!end", NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = open_dialog(dialog, &peer);
	g_autoptr(GError) error = NULL;

	smtp_client_add(client, "a", "a@x", "A\r\n");
	g_assert_false(smtp_client_submit(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL);
	smtp_client_assert_log(client, "untouched a PROTOCOL\n");
	smtp_line_close(g_steal_pointer(&client->line), 0);
}

/* A message that no buffer between here and there can hold. */
static void
add_large(SmtpClient *client, const char *name)
{
	g_autofree char *content = g_strnfill(32 * 1024 * 1024, 'x');

	for (gsize i = 98; i < 32 * 1024 * 1024; i += 100)
		memcpy(content + i, "\r\n", 2);
	memcpy(content + strlen(content) - 2, "\r\n", 2);
	smtp_client_add(client, name, "a@x", content);
}

static void
test_a_refusal_amid_the_content_counts(void)
{
	static Dialog dialog = {LOGIN(OFFER_PIPELINING),
				"=MAIL *",
				"=RCPT *",
				"=DATA",
				">250 a\r\n250 b\r\n354 c",
				"=xxx*",
				">552 5.3.4 too big",
				"!close",
				NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = open_dialog(dialog, &peer);
	g_autoptr(GError) error = NULL;

	add_large(client, "a");
	g_assert_false(smtp_client_submit(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL);
	smtp_client_assert_log(client, "refused a END 552 5.3.4 too big\n");
}

static void
test_a_line_lost_amid_the_content_delivers_nothing(void)
{
	for (guint reset = 0; reset < 2; reset++) {
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client =
			smtp_client_at_sink(&sink, "PIPELINING", NULL, &peer);
		g_autoptr(GError) error = NULL;

		sink.cut_after = 100000;
		sink.reset = reset == 1;
		add_large(client, "a");
		g_assert_false(smtp_client_submit(client, &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
		smtp_client_assert_log(client, "untouched a OFFLINE\n");
	}
}

/* Every byte
 * -----------------------------------------------------------------------------------------------------
 */

typedef struct {
	SmtpSink *sink;
	const gsize *ends; /* where the ends of a and b begin; NULL: not known yet */
} Sweep;

/* All but the end has been written: goes on when the server has it, or is gone. */
static void
wait_for_content(SmtpClient *client, const SmtpMessage *message)
{
	Sweep *sweep = client->user;

	if (sweep->ends != NULL && !sweep->sink->cut)
		smtp_sink_wait(sweep->sink, sweep->ends[*(const char *)message->user - 'a']);
}

static gboolean
was(SmtpClient *client, const char *verdict, const char *name)
{
	g_autofree char *text = g_strdup_printf("%s %s", verdict, name);
	g_auto(GStrv) lines = g_strsplit(client->log->str, "\n", -1);

	for (gsize i = 0; lines[i] != NULL; i++)
		if (g_str_has_prefix(lines[i], text))
			return TRUE;
	return FALSE;
}

/* Sends what is not done yet; returns whether all is. */
static gboolean
send_rest(SmtpClient *client)
{
	static const char *const names[] = {"a", "b"};
	static const char *const done[] = {"sent", "unknown"};
	g_autoptr(GPtrArray) all = client->messages;
	GPtrArray *rest = g_ptr_array_new();
	gboolean any;

	for (guint i = 0; i < 2; i++)
		if (!was(client, done[0], names[i]) && !was(client, done[1], names[i]))
			g_ptr_array_add(rest, g_ptr_array_index(all, i));
	any = rest->len > 0;
	client->messages = rest;
	client->next = 0;
	if (any) {
		smtp_client_must_open(client);
		g_assert_true(smtp_client_submit(client, NULL));
	}
	client->messages = g_steal_pointer(&all);
	g_ptr_array_unref(rest);
	return any;
}

/* One cut. Returns FALSE when the line ended before. */
static gboolean
check_cut(SmtpSink *sink, Peer *peer, SmtpClient *client, const gsize *ends)
{
	static const char *const names[] = {"a", "b"};
	gsize cut = sink->cut_after;
	gboolean whole = smtp_client_submit(client, NULL);

	smtp_line_close(g_steal_pointer(&client->line), whole ? 10000 : 0);
	send_rest(client);
	for (guint i = 0; i < 2; i++) {
		g_autofree char *content = g_strdup_printf("%s\r\n.\r\n", names[i]);
		guint count = smtp_sink_count(sink, content);
		gboolean unknown = was(client, "unknown", names[i]);

		g_assert_true(unknown || was(client, "sent", names[i]));
		g_assert_cmpuint(count, <=, 1);
		if (!unknown)
			g_assert_cmpuint(count, ==, 1);
		if (unknown)
			g_assert_cmpuint(cut, >, ends[i]);
	}
	g_assert_cmpuint(peer_connections(peer), <=, 3);
	return !whole;
}

static void
sweep_offers(const char *offers, gboolean late, gboolean reset)
{
	gsize ends[2] = {0};

	for (gsize cut = 0;; cut++) {
		g_auto(SmtpSink) sink = {0};
		g_autoptr(Peer) peer = NULL;
		g_autoptr(SmtpClient) client = smtp_client_at_sink(&sink, offers, NULL, &peer);
		Sweep sweep = {&sink, cut > 0 ? ends : NULL};
		gboolean lost;

		sink.cut_after = cut;
		sink.late = late;
		sink.reset = reset;
		client->hook = wait_for_content;
		client->user = &sweep;
		smtp_client_add(client, "a", "a@x", "a\r\n.\r\n");
		smtp_client_add(client, "b", "b@x", "b\r\n.\r\n");
		lost = check_cut(&sink, peer, client, ends);
		g_assert_true(cut > 0 || !lost);
		if (cut == 0)
			memcpy(ends, sink.ends->data, sizeof ends);
		else if (!lost)
			break;
	}
}

static void
test_every_byte(gconstpointer offers)
{
	for (guint i = 0; i < 4; i++)
		sweep_offers(offers, (i & 1) != 0, (i & 2) != 0);
}

int
main(int argc, char **argv)
{
#define ADD(name, function) g_test_add_func("/smtp-pipeline/" name, function)
	g_test_init(&argc, &argv, NULL);
	ADD("the-next-envelope-travels-with-the-end-of-the-one-before",
	    test_the_next_envelope_travels_with_the_end_of_the_one_before);
	ADD("chunks-wait-for-the-answers-to-the-envelope",
	    test_chunks_wait_for_the_answers_to_the_envelope);
	ADD("many-recipients-without-chunks-know-their-answers-before-data",
	    test_many_recipients_without_chunks_know_their_answers_before_data);
	ADD("a-server-that-is-still-in-a-refused-transaction-is-reset",
	    test_a_server_that_is_still_in_a_refused_transaction_is_reset);
	ADD("a-verdict-can-stop-the-rest", test_a_verdict_can_stop_the_rest);
	ADD("a-message-can-be-taken-back-until-its-end",
	    test_a_message_can_be_taken_back_until_its_end);
	ADD("a-cancelled-line-sends-nothing-more", test_a_cancelled_line_sends_nothing_more);
	ADD("cancelling-waits-for-an-answer-that-is-due",
	    test_cancelling_waits_for_an_answer_that_is_due);
	ADD("cancelling-does-not-wait-for-ever", test_cancelling_does_not_wait_for_ever);
	ADD("silence-ends-the-line", test_silence_ends_the_line);
	ADD("what-nobody-asked-for-ends-the-line", test_what_nobody_asked_for_ends_the_line);
	ADD("an-answer-too-many-is-no-answer-to-the-next-question",
	    test_an_answer_too_many_is_no_answer_to_the_next_question);
	ADD("a-refusal-amid-the-content-counts", test_a_refusal_amid_the_content_counts);
	ADD("a-line-lost-amid-the-content-delivers-nothing",
	    test_a_line_lost_amid_the_content_delivers_nothing);
	g_test_add_data_func("/smtp-pipeline/every-byte/plain", "", test_every_byte);
	g_test_add_data_func("/smtp-pipeline/every-byte/pipelined", "PIPELINING", test_every_byte);
	g_test_add_data_func("/smtp-pipeline/every-byte/chunked", "PIPELINING,CHUNKING",
			     test_every_byte);
	return g_test_run();
}
