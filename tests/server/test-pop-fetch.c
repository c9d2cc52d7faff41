/* SPDX-License-Identifier: MIT */
/* Messages, as they come over the line: whole, cut, refused, changed on their way. */
#include <string.h>

#include "base/error.h"
#include "pop-maildrop.h"

static void
begin(PopFixture *f, guint n)
{
	pop_maildrop_fill(f->drop, n);
	pop_client_again(f->client);
	pop_client_sync(f->client);
	g_string_truncate(f->client->log, 0);
}

#define BODY(n)                                                                                    \
	"open 60 <Message-ID: <" #n "@x>/Subject: message-" #n "//This is number " #n              \
	"./> body " #n " whole\n"

static void
test_streams_messages_in_their_order(PopFixture *f, gconstpointer data)
{
	begin(f, 3);
	pop_client_fetch(f->client, "1,3");
	pop_fixture_assert_log(f, BODY(1) BODY(3) "done\n");
	pop_client_fetch(f->client, "2,4:4000000000");
	pop_fixture_assert_log(f, BODY(2) "done\n");
}

static void
test_sends_many_requests_at_once(PopFixture *f, gconstpointer data)
{
	begin(f, 40);
	f->drop->ahead = FALSE;
	pop_client_fetch(f->client, "1:40");
	g_assert_true(f->drop->ahead);
	g_assert_cmpuint(f->drop->retrs, ==, 40);
}

static void
test_lets_one_who_waits_go_first(PopFixture *f, gconstpointer data)
{
	g_autoptr(GString) big = g_string_new("Message-ID: <big@x>\n\n");
	g_autofree char *long_text = g_strnfill(4000000, 'x');
	Request *scan;
	const char *log;

	g_string_append(big, long_text);
	for (guint i = 0; i < 3; i++)
		pop_maildrop_add(f->drop, big->str);
	begin(f, 1);
	scan = imap_client_fetch(f->client, POP_MAILBOX, 7, "1:3");
	scan->urgency = REQUEST_SOON;
	imap_client_start(f->client, scan);
	pop_client_fetch(f->client, "4");
	imap_client_finish(f->client, NULL);
	log = f->client->log->str;
	g_assert_nonnull(strstr(log, "body 4 whole"));
	g_assert_cmpuint((gsize)strstr(log, "body 4 whole"), <, (gsize)strstr(log, "body 3 whole"));
}

static void
test_knows_a_message_by_its_header_in_a_session_that_names_it_anew(PopFixture *f,
								   gconstpointer data)
{
	begin(f, 3);
	f->drop->renamed++;
	pop_client_again(f->client);
	pop_client_fetch(f->client, "2");
	pop_fixture_assert_log(f, BODY(2) "done\n");
	/* And the listing that follows has lost nothing by it. */
	pop_client_sync(f->client);
	pop_fixture_assert_log(f, "selected 7\npresent 1:3\ndone 7 4 0 3\n");
}

static void
test_says_nothing_of_a_message_that_is_gone(PopFixture *f, gconstpointer data)
{
	begin(f, 3);
	pop_maildrop_remove(f->drop, 1);
	pop_client_again(f->client);
	pop_client_fetch(f->client, "1:2");
	pop_fixture_assert_log(f, BODY(1) "done\n");
}

static void
test_loses_one_message_to_a_refusal(PopFixture *f, gconstpointer data)
{
	begin(f, 3);
	f->drop->refuse = "RETR 2";
	f->drop->refusal = "-ERR [SYS/TEMP] not now";
	pop_client_fetch(f->client, "1:3");
	pop_fixture_assert_log(f, BODY(1) "> body 2 LIMIT\n" BODY(3) "done\n");
}

static void
test_does_not_take_another_message_for_the_one_that_was_asked_for(PopFixture *f, gconstpointer data)
{
	begin(f, 3);
	pop_maildrop_swap_names(f->drop, 0, 1);
	pop_client_again(f->client);
	pop_client_fetch(f->client, "1");
	g_assert_true(g_str_has_suffix(f->client->log->str, "> body 1 PROTOCOL\ndone\n"));
	g_assert_cmpstr(f->client->news->str, ==, "changed INBOX\n");
	g_string_truncate(f->client->log, 0);
	/* Which makes the next listing look for it. */
	pop_client_again(f->client);
	pop_client_sync(f->client);
	g_string_truncate(f->client->log, 0);
	pop_client_fetch(f->client, "1:2");
	pop_fixture_assert_log(f, BODY(1) BODY(2) "done\n");
}

static void
test_refuses_numbers_of_another_time(PopFixture *f, gconstpointer data)
{
	begin(f, 1);
	imap_client_run(f->client, imap_client_fetch(f->client, POP_MAILBOX, 6, "1"));
	pop_fixture_assert_log(f, "done STALE\n");
}

static void
test_tells_header_blocks(PopFixture *f, gconstpointer data)
{
	Request *request;

	begin(f, 2);
	request = imap_client_fetch(f->client, POP_MAILBOX, 7, "1:2");
	request->kind = REQUEST_HEADERS;
	f->drop->refuse = "TOP 2 0";
	imap_client_run(f->client, request);
	pop_fixture_assert_log(f, "header 1 41 Message-ID: <1@x>/Subject: message-1//\n"
				  "header 2 41 Message-ID: <2@x>/Subject: message-2//\ndone\n");
}

/* Wherever the line is cut: what is said to be whole is whole, and what is not is said to be lost.
 */
static void
test_never_takes_half_a_message_for_a_whole_one(PopFixture *f, gconstpointer data)
{
	static const char *const text = "Subject: dots\n\n.\n..\n.a\n\nend\n";
	gboolean whole = FALSE;
	guint cut = 0;

	pop_maildrop_add(f->drop, text);
	pop_client_again(f->client);
	pop_client_sync(f->client);
	for (gsize at = 1; !whole; at++) {
		if (!pop_fixture_again_cut(f, at))
			continue;
		pop_client_fetch(f->client, "1");
		whole = strstr(f->client->log->str, "whole") != NULL;
		cut += strstr(f->client->log->str, "> body 1 OFFLINE\ndone OFFLINE\n") != NULL;
		g_assert_true(whole || g_str_has_suffix(f->client->log->str, "done OFFLINE\n"));
	}
	pop_fixture_assert_log(f, "open 35 <Subject: dots//./../.a//end/> body 1 whole\ndone\n");
	/* The message, with its stuffing and its end. */
	g_assert_cmpuint(cut, ==, 35 + 3 + 3);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(name) POP_TEST("pop-fetch", name)
	TEST(streams_messages_in_their_order);
	TEST(sends_many_requests_at_once);
	TEST(lets_one_who_waits_go_first);
	TEST(knows_a_message_by_its_header_in_a_session_that_names_it_anew);
	TEST(says_nothing_of_a_message_that_is_gone);
	TEST(loses_one_message_to_a_refusal);
	TEST(does_not_take_another_message_for_the_one_that_was_asked_for);
	TEST(refuses_numbers_of_another_time);
	TEST(tells_header_blocks);
	TEST(never_takes_half_a_message_for_a_whole_one);
	return g_test_run();
}
