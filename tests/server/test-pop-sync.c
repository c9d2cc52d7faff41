/* SPDX-License-Identifier: MIT */
/* The listing of a maildrop, with all that servers do to its names. */
#include <string.h>

#include "base/error.h"
#include "pop-maildrop.h"

/* In a new session. */
static void
assert_sync(PopFixture *f, const char *expected)
{
	pop_client_again(f->client);
	pop_client_sync(f->client);
	pop_fixture_assert_log(f, expected);
}

#define HEADER(n)  "Message-ID: <" #n "@x>/Subject: message-" #n "//"
#define MESSAGE(n) "message " #n " 60 " HEADER(n) "\n"
#define THREE	   "selected 7\n" MESSAGE(1) MESSAGE(2) MESSAGE(3) "done 7 4 0 3\n"
#define SAME_THREE "selected 7\npresent 1:3\ndone 7 4 0 3\n"

static void
test_tells_all_of_a_maildrop_then_what_is_new(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 3);
	assert_sync(f, THREE);
	assert_sync(f, SAME_THREE);
	g_assert_cmpuint(f->drop->tops, ==, 3);
	pop_maildrop_add(f->drop, "Subject: new\n\nbody\n");
	assert_sync(f, "selected 7\nmessage 4 22 Subject: new//\npresent 1:3\ndone 7 5 0 4\n");
	g_assert_cmpuint(f->drop->tops, ==, 4);
	g_assert_cmpuint(f->drop->retrs, ==, 0);
}

static void
test_tells_what_is_left(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 3);
	assert_sync(f, THREE);
	pop_maildrop_remove(f->drop, 1);
	assert_sync(f, "selected 7\npresent 1,3\ndone 7 4 0 2\n");
	pop_maildrop_remove(f->drop, 0);
	pop_maildrop_remove(f->drop, 0);
	assert_sync(f, "selected 7\npresent \ndone 7 4 0 0\n");
}

static void
test_tells_of_a_header_what_a_listing_needs(PopFixture *f, gconstpointer data)
{
	pop_maildrop_add(f->drop, "Received: from a;\n\tThu, 1 Jan 2026 10:00:00 +0000\n"
				  "Received: from b; Thu, 1 Jan 2026 09:00:00 +0000\n"
				  "X-Other: x\nsubject : folded\n here\nTo: you\n\nbody\n");
	pop_client_again(f->client);
	pop_client_sync(f->client);
	g_assert_nonnull(strstr(f->client->log->str,
				"Received: from a;\\x0d\\x0a\\x09Thu, 1 Jan 2026 10:00:00 "));
	g_assert_null(strstr(f->client->log->str, "from b"));
	g_assert_null(strstr(f->client->log->str, "X-Other"));
}

static void
test_knows_messages_without_names_by_their_headers(PopFixture *f, gconstpointer data)
{
	f->drop->no_uidl = TRUE;
	pop_maildrop_fill(f->drop, 3);
	assert_sync(f, THREE);
	/* The last one is where it was: so are the others. */
	assert_sync(f, SAME_THREE);
	g_assert_cmpuint(f->drop->tops, ==, 4);
	pop_maildrop_remove(f->drop, 0);
	assert_sync(f, "selected 7\npresent 2:3\ndone 7 4 0 2\n");
	pop_maildrop_add(f->drop, "Subject: new\n\nbody\n");
	pop_maildrop_remove(f->drop, 0);
	assert_sync(f, "selected 7\nmessage 4 22 Subject: new//\npresent 3\ndone 7 5 0 2\n");
}

static void
test_knows_messages_by_their_headers_when_all_names_are_new(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 3);
	assert_sync(f, THREE);
	f->drop->renamed++;
	assert_sync(f, SAME_THREE);
	f->drop->renamed++;
	pop_maildrop_remove(f->drop, 1);
	assert_sync(f, "selected 7\npresent 1,3\ndone 7 4 0 2\n");
	g_assert_cmpuint(f->memory->given, ==, 3);
}

static void
test_tells_apart_messages_of_one_name(PopFixture *f, gconstpointer data)
{
	f->drop->same_uidl = "twin";
	pop_maildrop_fill(f->drop, 3);
	assert_sync(f, THREE);
	assert_sync(f, SAME_THREE);
	pop_maildrop_remove(f->drop, 1);
	assert_sync(f, "selected 7\npresent 1,3\ndone 7 4 0 2\n");
}

static void
test_does_not_take_numbers_for_names(PopFixture *f, gconstpointer data)
{
	f->drop->numbers_as_uidl = TRUE;
	pop_maildrop_fill(f->drop, 3);
	assert_sync(f, THREE);
	pop_maildrop_remove(f->drop, 0);
	assert_sync(f, "selected 7\npresent 2:3\ndone 7 4 0 2\n");
}

static void
test_shows_two_copies_of_a_message_as_two(PopFixture *f, gconstpointer data)
{
	f->drop->no_uidl = TRUE;
	for (guint i = 0; i < 3; i++)
		pop_maildrop_add(f->drop, "Subject: again\n\nbody\n");
	assert_sync(f, "selected 7\nmessage 1 24 Subject: again//\n"
		       "message 2 24 Subject: again//\nmessage 3 24 Subject: again//\n"
		       "done 7 4 0 3\n");
	pop_maildrop_remove(f->drop, 2);
	assert_sync(f, "selected 7\npresent 1:2\ndone 7 4 0 2\n");
}

static void
test_notices_names_that_mean_other_messages(PopFixture *f, gconstpointer data)
{
	pop_maildrop_add(f->drop, "Subject: short\n\nbody\n");
	pop_maildrop_add(f->drop, "Subject: somewhat-longer\n\nbody\n");
	assert_sync(f, "selected 7\nmessage 1 24 Subject: short//\n"
		       "message 2 34 Subject: somewhat-longer//\ndone 7 3 0 2\n");
	pop_maildrop_swap_names(f->drop, 0, 1);
	assert_sync(f, "selected 7\npresent 1:2\ndone 7 3 0 2\n");
	pop_client_fetch(f->client, "1");
	pop_fixture_assert_log(f, "open 24 <Subject: short//body/> body 1 whole\ndone\n");
}

static void
test_looks_at_messages_of_another_size_once(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 3);
	assert_sync(f, THREE);
	f->drop->size_off = 10;
	assert_sync(f, SAME_THREE);
	g_assert_cmpuint(f->drop->tops, ==, 6);
	assert_sync(f, SAME_THREE);
	g_assert_cmpuint(f->drop->tops, ==, 6);
}

static void
test_reads_the_whole_message_where_there_is_no_top(PopFixture *f, gconstpointer data)
{
	f->drop->no_top = TRUE;
	pop_maildrop_fill(f->drop, 2);
	assert_sync(f,
		    "selected 7\n" MESSAGE(1) "open 60 <" HEADER(
			    1) "This is number 1./> body 1 whole\n" MESSAGE(2) "open 60 "
									       "<" HEADER(2) "Th"
											     "is"
											     " i"
											     "s "
											     "nu"
											     "mb"
											     "er"
											     " 2"
											     "./"
											     "> "
											     "bo"
											     "dy"
											     " 2"
											     " w"
											     "ho"
											     "le"
											     "\n"
											     "do"
											     "ne"
											     " 7"
											     " 3"
											     " 0"
											     " 2"
											     "\n");
	g_assert_cmpuint(f->drop->retrs, ==, 2);
	g_assert_cmpuint(f->drop->tops, ==, 0);
}

static void
test_makes_do_with_a_server_that_can_next_to_nothing(PopFixture *f, gconstpointer data)
{
	f->drop->no_capa = f->drop->no_pipelining = f->drop->no_uidl = f->drop->no_top = TRUE;
	pop_maildrop_fill(f->drop, 2);
	pop_client_again(f->client);
	pop_client_sync(f->client);
	g_assert_true(g_str_has_suffix(f->client->log->str, "done 7 3 0 2\n"));
	g_string_truncate(f->client->log, 0);
	assert_sync(f, "selected 7\npresent 1:2\ndone 7 3 0 2\n");
	g_assert_false(f->drop->ahead);
}

static void
test_sends_one_command_at_a_time_unless_told_otherwise(PopFixture *f, gconstpointer data)
{
	f->drop->no_pipelining = TRUE;
	pop_maildrop_fill(f->drop, 3);
	assert_sync(f, THREE);
	g_assert_false(f->drop->ahead);
}

static void
test_sends_many_commands_at_once_where_it_may(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 500);
	pop_client_again(f->client);
	pop_client_sync(f->client);
	g_assert_true(g_str_has_suffix(f->client->log->str, "done 7 501 0 500\n"));
	g_assert_true(f->drop->ahead);
}

static void
test_reads_a_message_whose_top_is_refused(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 3);
	f->drop->refuse = "TOP 2 *";
	assert_sync(f, "selected 7\n" MESSAGE(1) "message 2 60 " HEADER(3) "\nmessage 3 60 " HEADER(
			       2) "\nopen 60 <" HEADER(2) "This is number 2./> body 3 whole\ndone "
							  "7 4 0 3\n");
}

static void
test_leaves_out_a_message_that_cannot_be_read(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 3);
	f->drop->refuse = "* 2*";
	assert_sync(f, "selected 7\n" MESSAGE(1) "message 2 60 " HEADER(3) "\ndone 7 3 0 2\n");
	f->drop->refuse = NULL;
	assert_sync(f, "selected 7\nmessage 3 60 " HEADER(2) "\npresent 1:2\ndone 7 4 0 3\n");
}

static void
test_lists_by_what_the_server_has(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 3);
	f->drop->refuse = "LIST";
	assert_sync(f, "selected 7\nmessage 1 0 " HEADER(1) "\nmessage 2 0 " HEADER(
			       2) "\nmessage 3 0 " HEADER(3) "\ndone 7 4 0 3\n");
	f->drop->refuse = "UIDL";
	assert_sync(f, SAME_THREE);
}

static void
test_says_why_it_cannot_list(PopFixture *f, gconstpointer data)
{
	f->drop->refuse = "?I*";
	f->drop->refusal = "-ERR [SYS/TEMP] the disk is tired";
	assert_sync(f, "done LIMIT\n");
	g_assert_cmpstr(f->client->error->message, ==,
			"localhost refused LIST: [SYS/TEMP] the disk is tired");
	g_assert_true(f->client->backend->leave);
}

static void
test_takes_up_again_where_a_listing_was_cut_off(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 3);
	for (gsize at = 60; at < 700; at += 7)
		if (pop_fixture_again_cut(f, at))
			pop_client_sync(f->client);
	g_string_truncate(f->client->log, 0);
	f->drop->cut_after = 0;
	f->client->state = (MailboxState){.uidnext = 1};
	assert_sync(f, THREE);
	g_assert_cmpuint(f->memory->given, ==, 3);
}

static void
test_lists_all_anew_when_the_numbers_were_lost(PopFixture *f, gconstpointer data)
{
	pop_maildrop_fill(f->drop, 1);
	assert_sync(f, "selected 7\n" MESSAGE(1) "done 7 2 0 1\n");
	f->memory->uidvalidity = 8;
	assert_sync(f, "selected 8\n" MESSAGE(1) "done 8 2 0 1\n");
}

static void
assert_listing_fails(const char *const *dialog, MailfsError code)
{
	g_autoptr(PopMemory) memory = pop_memory_new();
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = pop_client_new(peer, TLS_NONE, memory);

	imap_client_must_login(client);
	pop_client_sync(client);
	g_assert_error(client->error, MAILFS_ERROR, (int)code);
	g_assert_cmpuint(memory->given, ==, 0);
}

#define LOGIN                                                                                      \
	">+OK", "=CAPA", ">+OK", ">UIDL", ">PIPELINING", ">.", "=USER u", ">+OK", "=PASS secret",  \
		">+OK", "=UIDL", "=LIST"

static void
test_believes_no_server_everything(void)
{
	static const char *const too_many[] = {LOGIN,  ">+OK",	">1 a", ">500001 b", ">.",
					       ">+OK", ">1 10", ">.",	"!end",	     NULL};
	static const char *const no_reply[] = {LOGIN, ">1 a", "!end", NULL};
	static const char *const challenge[] = {LOGIN, ">+ go on", "!end", NULL};

	assert_listing_fails(too_many, MAILFS_ERROR_TOO_BIG);
	assert_listing_fails(no_reply, MAILFS_ERROR_PROTOCOL);
	assert_listing_fails(challenge, MAILFS_ERROR_PROTOCOL);
}

static void
test_leaves_out_lines_that_make_no_sense(void)
{
	static const char *const dialog[] = {LOGIN,
					     ">+OK",
					     ">1 a",
					     ">0 z",
					     ">-1 y",
					     ">4294967297 x",
					     ">1x w",
					     "> v",
					     ">.",
					     ">+OK",
					     ">1 10",
					     ">1e3 5",
					     ">18446744073709551617 5",
					     ">.",
					     "=TOP 1 0",
					     ">+OK",
					     ">Subject: one",
					     ">",
					     ">.",
					     NULL};
	g_autoptr(PopMemory) memory = pop_memory_new();
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = pop_client_new(peer, TLS_NONE, memory);

	imap_client_must_login(client);
	pop_client_sync(client);
	g_assert_no_error(client->error);
	g_assert_cmpuint(client->state.count, ==, 1);
}

static void
test_has_one_mailbox(PopFixture *f, gconstpointer data)
{
	pop_client_again(f->client);
	imap_client_run(f->client, imap_client_request(f->client, REQUEST_LIST, NULL));
	pop_fixture_assert_log(f, "mailbox INBOX 0 0x402 <> -1\ndone\n");
	imap_client_run(f->client, imap_client_request(f->client, REQUEST_SYNC, "Other"));
	pop_fixture_assert_log(f, "done NOT_FOUND\n");
	imap_client_run(f->client, imap_client_request(f->client, REQUEST_CREATE, "Other"));
	pop_fixture_assert_log(f, "done UNSUPPORTED\n");
	imap_client_run(f->client, imap_client_request(f->client, REQUEST_QUOTA, "INBOX"));
	pop_fixture_assert_log(f, "done\n");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(name) POP_TEST("pop-sync", name)
	TEST(tells_all_of_a_maildrop_then_what_is_new);
	TEST(tells_what_is_left);
	TEST(tells_of_a_header_what_a_listing_needs);
	TEST(knows_messages_without_names_by_their_headers);
	TEST(knows_messages_by_their_headers_when_all_names_are_new);
	TEST(tells_apart_messages_of_one_name);
	TEST(does_not_take_numbers_for_names);
	TEST(shows_two_copies_of_a_message_as_two);
	TEST(notices_names_that_mean_other_messages);
	TEST(looks_at_messages_of_another_size_once);
	TEST(reads_the_whole_message_where_there_is_no_top);
	TEST(makes_do_with_a_server_that_can_next_to_nothing);
	TEST(sends_one_command_at_a_time_unless_told_otherwise);
	TEST(sends_many_commands_at_once_where_it_may);
	TEST(reads_a_message_whose_top_is_refused);
	TEST(leaves_out_a_message_that_cannot_be_read);
	TEST(lists_by_what_the_server_has);
	TEST(says_why_it_cannot_list);
	TEST(takes_up_again_where_a_listing_was_cut_off);
	TEST(lists_all_anew_when_the_numbers_were_lost);
	TEST(has_one_mailbox);
	g_test_add_func("/pop-sync/believes_no_server_everything",
			test_believes_no_server_everything);
	g_test_add_func("/pop-sync/leaves_out_lines_that_make_no_sense",
			test_leaves_out_lines_that_make_no_sense);
	return g_test_run();
}
