/* SPDX-License-Identifier: MIT */
/* Deleting: nothing but what was asked for, and not unless the server has said so. */
#include <string.h>

#include "base/error.h"
#include "pop-maildrop.h"

/* Three messages that are known, and a new session. */
static void
begin(PopFixture *f)
{
	pop_maildrop_fill(f->drop, 3);
	pop_client_again(f->client);
	pop_client_sync(f->client);
	g_string_truncate(f->client->log, 0);
	pop_client_again(f->client);
}

/* The session is over, and that is left. */
static void
assert_left(PopFixture *f, const char *expected)
{
	g_autofree char *subjects = NULL;

	pop_client_leave(f->client);
	subjects = pop_maildrop_subjects(f->drop);
	g_assert_cmpstr(subjects, ==, expected);
}

static void
assert_expunge(PopFixture *f, const char *uids, const char *expected)
{
	pop_client_expunge(f->client, uids);
	pop_fixture_assert_log(f, expected);
}

static void
test_deletes_what_was_asked_for_and_ends_the_session(PopFixture *f, gconstpointer data)
{
	g_autofree char *transcript = NULL;

	begin(f);
	assert_expunge(f, "1,3", "vanished 1,3\ndone\n");
	g_assert_true(f->client->backend->leave);
	assert_left(f, "message-2");
	transcript = peer_transcript(f->peer);
	g_assert_nonnull(strstr(transcript, "TOP 1 0\n2 TOP 3 0\n2 DELE 1\n2 DELE 3\n2 QUIT\n"));
}

static void
test_tells_what_is_gone_already(PopFixture *f, gconstpointer data)
{
	begin(f);
	pop_maildrop_remove(f->drop, 0);
	pop_client_again(f->client);
	assert_expunge(f, "1:2", "vanished 1:2\ndone\n");
	assert_left(f, "message-3");
}

static void
test_deletes_nothing_when_the_line_is_lost_before_quit(PopFixture *f, gconstpointer data)
{
	begin(f);
	f->drop->cut_at = "QUIT";
	assert_expunge(f, "1:2", "done UNKNOWN_OUTCOME\n");
	f->drop->cut_at = NULL;
	assert_left(f, "message-1 message-2 message-3");
	pop_client_again(f->client);
	pop_client_sync(f->client);
	pop_fixture_assert_log(f, "selected 7\npresent 1:3\ndone 7 4 0 3\n");
}

static void
test_does_not_know_what_a_lost_answer_would_have_said(PopFixture *f, gconstpointer data)
{
	begin(f);
	f->drop->cut_at = "QUIT";
	f->drop->quit_anyway = TRUE;
	assert_expunge(f, "2", "done UNKNOWN_OUTCOME\n");
	f->drop->cut_at = NULL;
	pop_client_again(f->client);
	pop_client_sync(f->client);
	pop_fixture_assert_log(f, "selected 7\npresent 1,3\ndone 7 4 0 2\n");
}

static void
test_knows_that_nothing_was_done_before_the_first_dele(PopFixture *f, gconstpointer data)
{
	begin(f);
	f->drop->cut_at = "TOP";
	assert_expunge(f, "1", "done OFFLINE\n");
	f->drop->cut_at = "DELE 3";
	pop_client_again(f->client);
	assert_expunge(f, "1,3", "done UNKNOWN_OUTCOME\n");
	assert_left(f, "message-1 message-2 message-3");
}

static void
test_spares_a_message_that_has_the_name_of_another(PopFixture *f, gconstpointer data)
{
	begin(f);
	pop_maildrop_swap_names(f->drop, 0, 1);
	pop_client_again(f->client);
	assert_expunge(f, "1,3", "vanished 3\ndone STALE\n");
	assert_left(f, "message-1 message-2");
}

static void
test_looks_at_all_of_a_message_where_there_is_no_top(PopFixture *f, gconstpointer data)
{
	f->drop->no_top = TRUE;
	test_spares_a_message_that_has_the_name_of_another(f, data);
}

static void
test_ends_without_quit_where_that_deletes_what_was_only_looked_at(PopFixture *f, gconstpointer data)
{
	g_autofree char *transcript = NULL;

	f->drop->keeps_nothing = f->drop->no_top = TRUE;
	begin(f);
	pop_maildrop_swap_names(f->drop, 0, 1);
	pop_client_again(f->client);
	assert_expunge(f, "1,3", "done STALE\n");
	assert_left(f, "message-1 message-2 message-3");
	transcript = peer_transcript(f->peer);
	g_assert_nonnull(strstr(transcript, "RETR 2"));
	g_assert_null(strstr(transcript, "QUIT"));
}

static void
test_does_not_delete_what_it_cannot_look_at(PopFixture *f, gconstpointer data)
{
	begin(f);
	f->drop->refuse = "*R* 2*";
	f->drop->no_top = TRUE;
	assert_expunge(f, "1:2", "vanished 1\ndone DENIED\n");
	assert_left(f, "message-2 message-3");
}

static void
test_tells_which_the_server_would_not_delete(PopFixture *f, gconstpointer data)
{
	begin(f);
	f->drop->refuse = "DELE 2";
	assert_expunge(f, "1:3", "vanished 1,3\ndone DENIED\n");
	assert_left(f, "message-2");
}

static void
test_does_not_know_what_a_refused_quit_has_done(PopFixture *f, gconstpointer data)
{
	begin(f);
	f->drop->refuse = "QUIT";
	f->drop->refusal = "-ERR some deleted messages not removed";
	assert_expunge(f, "1:3", "done UNKNOWN_OUTCOME\n");
}

static void
test_finds_messages_that_have_another_name_now(PopFixture *f, gconstpointer data)
{
	begin(f);
	f->drop->renamed++;
	pop_client_again(f->client);
	assert_expunge(f, "2", "vanished 2\ndone\n");
	assert_left(f, "message-1 message-3");
}

static void
test_deletes_nothing_of_a_read_only_account(PopFixture *f, gconstpointer data)
{
	Request *request;

	begin(f);
	request = imap_client_change(f->client, REQUEST_EXPUNGE, POP_MAILBOX, "1", NULL);
	f->client->config.read_only = TRUE;
	imap_client_run(f->client, request);
	pop_fixture_assert_log(f, "done READ_ONLY\n");
	assert_left(f, "message-1 message-2 message-3");
}

static void
test_gives_a_line_to_deleting_alone(PopFixture *f, gconstpointer data)
{
	const BackendOps *ops;
	ImapClient *client = f->client;
	Request *fetch;
	Request *delete;
	Request *sync;

	begin(f);
	ops = client->backend->ops;
	fetch = imap_client_fetch(client, POP_MAILBOX, 7, "1");
	delete = imap_client_change(client, REQUEST_EXPUNGE, POP_MAILBOX, "1", NULL);
	sync = imap_client_request(client, REQUEST_SYNC, POP_MAILBOX);
	g_assert_true(ops->can_start(client->backend, delete));
	g_assert_true(ops->can_start(client->backend, fetch));
	imap_client_run(client, fetch);
	g_assert_false(ops->can_start(client->backend, delete));
	g_assert_true(ops->needs_new(client->backend, delete));
	pop_client_again(client);
	imap_client_start(client, delete);
	g_assert_false(ops->can_start(client->backend, sync));
	g_assert_true(ops->needs_new(client->backend, sync));
	imap_client_finish(client, NULL);
	request_free(sync);
}

static void
test_does_not_end_a_session_with_quit_where_that_deletes(PopFixture *f, gconstpointer data)
{
	g_autofree char *transcript = NULL;

	f->drop->keeps_nothing = TRUE;
	begin(f);
	pop_client_fetch(f->client, "1");
	pop_client_leave(f->client);
	transcript = peer_transcript(f->peer);
	g_assert_null(strstr(transcript, "QUIT"));
	g_assert_nonnull(strstr(f->client->news->str, "EXPIRE 0"));
}

/* Wherever the line is cut: what was not said to be done can be asked for again, and in the end
 * just that is gone. */
static void
test_can_be_asked_again_wherever_the_line_was_cut(PopFixture *f, gconstpointer data)
{
	gboolean done = FALSE;
	guint unknown = 0;

	begin(f);
	for (gsize at = 1; !done; at++) {
		if (!pop_fixture_again_cut(f, at))
			continue;
		pop_client_expunge(f->client, "1,3");
		done = strcmp(f->client->log->str, "vanished 1,3\ndone\n") == 0;
		unknown += strcmp(f->client->log->str, "done UNKNOWN_OUTCOME\n") == 0;
		g_assert_true(done || g_str_has_prefix(f->client->log->str, "done "));
		if (!done && unknown < 2 * 12 + 1)
			assert_left(f, "message-1 message-2 message-3");
	}
	/* "+OK marked" twice, and none of "+OK bye": after that they are gone, and seen to be. */
	g_assert_cmpuint(unknown, ==, 2 * 12 + 1);
	assert_left(f, "message-2");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(name) POP_TEST("pop-delete", name)
	TEST(deletes_what_was_asked_for_and_ends_the_session);
	TEST(tells_what_is_gone_already);
	TEST(deletes_nothing_when_the_line_is_lost_before_quit);
	TEST(does_not_know_what_a_lost_answer_would_have_said);
	TEST(knows_that_nothing_was_done_before_the_first_dele);
	TEST(spares_a_message_that_has_the_name_of_another);
	TEST(looks_at_all_of_a_message_where_there_is_no_top);
	TEST(ends_without_quit_where_that_deletes_what_was_only_looked_at);
	TEST(does_not_delete_what_it_cannot_look_at);
	TEST(tells_which_the_server_would_not_delete);
	TEST(does_not_know_what_a_refused_quit_has_done);
	TEST(finds_messages_that_have_another_name_now);
	TEST(deletes_nothing_of_a_read_only_account);
	TEST(gives_a_line_to_deleting_alone);
	TEST(can_be_asked_again_wherever_the_line_was_cut);
	TEST(does_not_end_a_session_with_quit_where_that_deletes);
	return g_test_run();
}
