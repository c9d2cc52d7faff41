/* SPDX-License-Identifier: MIT */
/* What a line hears of mailboxes that are not selected, and signs of life. */
#include <string.h>

#include "base/error.h"
#include "imap-client.h"

#define NOTIFY                                                                                     \
	"<n NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange)) "                 \
	"(personal (MessageNew MessageExpunge FlagChange MailboxName))"
#define FETCH_ONE                                                                                  \
	"<x EXAMINE \"INBOX\"", "<y UID FETCH *", ">* 9 EXISTS", ">* OK [UIDVALIDITY 7]",          \
		">* OK [UIDNEXT 12]", ">x OK", ">y OK"

/* Who asks learns that the mailbox is another one. */
#define MADE_ANEW                                                                                  \
	"<x EXAMINE \"INBOX\"", "<y UID FETCH *", ">* 0 EXISTS", ">* OK [UIDVALIDITY 8]", ">x OK", \
		">y OK"

static ImapLine
log_in(PeerScript script, gconstpointer user)
{
	ImapLine line = imap_line_new(script, user);

	line.client->hears_all = TRUE;
	return line;
}

static void
assert_news(ImapLine *line, const char *expected)
{
	imap_client_wait_news(line->client);
	g_assert_cmpstr(line->client->news->str, ==, expected);
	g_string_truncate(line->client->news, 0);
}

/* They may have come with what was asked for. */
static void
wait_news(ImapLine *line, const char *expected)
{
	for (guint i = 0; i < 1000 && strstr(line->client->news->str, expected) == NULL; i++)
		g_assert_true(imap_client_pump(line->client, 10, NULL, NULL));
	g_assert_nonnull(strstr(line->client->news->str, expected));
}

static void
ask_notify(ImapLine *line)
{
	g_assert_cmpint(line->client->backend->notify, ==, BACKEND_NOTIFY_OFF);
	line->client->backend->notify = BACKEND_NOTIFY_WANTED;
}

static void
wait_notify(ImapLine *line, BackendNotify expected)
{
	for (guint i = 0; i < 1000 && line->client->backend->notify != expected; i++)
		imap_client_pump(line->client, 10, NULL, NULL);
	g_assert_cmpint(line->client->backend->notify, ==, expected);
}

static void
test_notify_tells_of_other_mailboxes(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE NOTIFY CONDSTORE"),
				NOTIFY,
				">n OK",
				"<i IDLE",
				">+ idling",
				">* STATUS Sent (MESSAGES 5 UIDNEXT 9 UNSEEN 2 HIGHESTMODSEQ 77)",
				"!pause",
				">* STATUS \"inbox\" (HIGHESTMODSEQ 5000000000)",
				"!pause",
				">* LIST () \"/\" Neu",
				">* LIST () \"/\" Dd (\"OLDNAME\" (Aa))",
				"!end",
				NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	ask_notify(&line);
	assert_news(&line, "status Sent 5 2 0 9 77\n");
	g_assert_cmpint(line.client->backend->notify, ==, BACKEND_NOTIFY_ON);
	peer_go(line.peer);
	assert_news(&line, "status INBOX -1 -1 0 0 5000000000\n");
	peer_go(line.peer);
	imap_client_wait_news(line.client);
	g_assert_true(g_str_has_prefix(line.client->news->str, "folders\n"));
	imap_line_end(&line);
}

static void
test_without_idle_expunges_are_not_held_back(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" NOTIFY"), "<n NOTIFY SET (selected (*", ">n OK",
				"!end", NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	g_assert_false(line.client->backend->tells);
	ask_notify(&line);
	wait_notify(&line, BACKEND_NOTIFY_ON);
	g_assert_true(line.client->backend->tells);
	imap_line_end(&line);
}

static void
test_notify_that_is_refused_is_as_if_not_offered(void)
{
	static const char *const answers[] = {">n NO [BADEVENT (FlagChange)] no", ">n BAD what?"};

	for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
		const char *dialog[] = {IMAP_PEER_LOGIN(" IDLE NOTIFY"),
					NOTIFY,
					answers[i],
					FETCH_ONE,
					"<i IDLE",
					">+ idling",
					">* 10 EXISTS",
					"!end",
					NULL};
		ImapLine line = log_in(imap_peer_dialog, dialog);

		ask_notify(&line);
		wait_notify(&line, BACKEND_NOTIFY_REFUSED);
		line.client->hears_all = FALSE;
		imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
		assert_news(&line, "changed INBOX\n");
		imap_line_end(&line);
	}
}

static void
test_notify_that_is_not_offered_is_known_at_login(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"), "!end", NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	g_assert_cmpint(line.client->backend->notify, ==, BACKEND_NOTIFY_REFUSED);
	g_assert_true(line.client->backend->tells);
	imap_line_end(&line);
}

static void
test_an_overflow_ends_notify(void)
{
	static Dialog dialog = {
		IMAP_PEER_LOGIN(" IDLE NOTIFY"),	 NOTIFY, ">n OK", "<i IDLE", ">+ idling",
		">* OK [NOTIFICATIONOVERFLOW] too much", "!end", NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	ask_notify(&line);
	/* What was left untold may have been anything. */
	assert_news(&line, "folders\n");
	g_assert_cmpint(line.client->backend->notify, ==, BACKEND_NOTIFY_REFUSED);
	g_assert_true(line.client->backend->tells);
	imap_line_end(&line);
}

/* 60,000 of three mailboxes, and folders without end. */
static void
flood(PeerLine *line, gpointer user)
{
	static Dialog begin = {IMAP_PEER_LOGIN(" IDLE NOTIFY"), NOTIFY, ">n OK", NULL};
	g_autoptr(GString) all = g_string_new(NULL);

	imap_peer_dialog(line, (gpointer)begin);
	for (guint i = 0; i < 20000; i++)
		g_string_append_printf(all,
				       "* STATUS A (MESSAGES %u)\r\n"
				       "* STATUS B%u (MESSAGES 1)\r\n"
				       "* STATUS C (MESSAGES 99999999999 UIDNEXT -1 X Y Z\r\n"
				       "* LIST () \"/\" F%u\r\n",
				       i, i % 3000, i);
	g_string_append(all, "* STATUS Last (MESSAGES 1)\r\n");
	peer_send_bytes(line, all->str, all->len);
	peer_stall(line);
}

static void
test_a_flood_is_told_in_handfuls(void)
{
	ImapLine line = log_in(flood, NULL);
	guint told = 0;

	ask_notify(&line);
	for (guint i = 0; i < 2000 && strstr(line.client->news->str, "status Last") == NULL; i++)
		g_assert_true(imap_client_pump(line.client, 5, NULL, NULL));
	g_assert_nonnull(strstr(line.client->news->str, "status Last 1 "));
	for (const char *p = line.client->news->str; (p = strstr(p, "status A ")) != NULL; p++)
		told++;
	g_assert_cmpuint(told, >, 0);
	g_assert_cmpuint(told, <, 10000);
	imap_line_end(&line);
}

static void
test_numbers_of_many_are_one_round_trip(void)
{
	static Dialog dialog = {
		IMAP_PEER_LOGIN(" CONDSTORE"),
		"<a STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)",
		"<b STATUS \"A \\\"B\\\"\" (*",
		"<c STATUS \"Gone\" (*",
		">* STATUS INBOX (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 7 UNSEEN 1 HIGHESTMODSEQ 8)",
		">a OK",
		">* STATUS {5}\r\nA \"B\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 8 UNSEEN 0)",
		">b OK",
		">c NO it is no more",
		"!end",
		NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);
	Request *request = imap_client_request(line.client, REQUEST_STATUS, NULL);

	request->mailboxes =
		g_strdupv((char *[]){(char *)"INBOX", (char *)"A \"B\"", (char *)"Gone", NULL});
	imap_client_run(line.client, request);
	imap_client_assert_log(line.client, "done\n");
	g_assert_nonnull(strstr(line.client->news->str, "status INBOX 3 1 7 4 8\n"));
	g_assert_nonnull(strstr(line.client->news->str, "status A \"B\" 0 0 8 1 0\n"));
	imap_line_end(&line);
}

static void
test_selecting_for_a_fetch_tells_the_numbers(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"), FETCH_ONE, "!end", NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
	g_assert_cmpstr(line.client->news->str, ==, "status INBOX 9 -1 7 12 0\n");
	/* Nobody has asked for all there is. */
	g_assert_false(line.client->backend->told);
	imap_line_end(&line);
}

static void
test_the_mailbox_that_is_left_is_asked_for_under_notify(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE NOTIFY"),
				NOTIFY,
				">n OK",
				FETCH_ONE,
				"<c EXAMINE \"Sent\"",
				"<d UID FETCH *",
				">* 2 EXISTS",
				">* OK [UIDVALIDITY 7]",
				">c OK",
				">d OK",
				"<s STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)",
				">* STATUS INBOX (MESSAGES 10)",
				">s OK",
				"!end",
				NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	ask_notify(&line);
	wait_notify(&line, BACKEND_NOTIFY_ON);
	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
	imap_client_run(line.client, imap_client_fetch(line.client, "Sent", 7, "3"));
	wait_news(&line, "status INBOX 10 -1 0 0 0\n");
	imap_line_end(&line);
}

static void
assert_sync_finds_it_made_anew(ImapLine *line)
{
	Request *sync = imap_client_request(line->client, REQUEST_SYNC, "INBOX");

	sync->known = (MailboxState){.uidvalidity = 7, .uidnext = 12, .count = 9};
	imap_client_run(line->client, sync);
	imap_client_assert_log(line->client, "selected 8\ndone 8 1 0 0\n");
	g_assert_true(line->client->backend->told);
}

static void
test_an_untagged_no_makes_the_next_sync_select_anew(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"),
				FETCH_ONE,
				"<i IDLE",
				">+ idling",
				">* NO Internal error occurred.",
				"!pause",
				">* NO Internal error occurred.",
				"=DONE",
				">i OK",
				MADE_ANEW,
				"!end",
				NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	line.client->hears_all = FALSE;
	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
	imap_client_assert_log(line.client, "done\n");
	assert_news(&line, "changed INBOX\n");
	peer_go(line.peer);
	imap_client_pump(line.client, 200, NULL, NULL);
	/* One that says so all the time is heard once. */
	g_assert_cmpstr(line.client->news->str, ==, "");
	assert_sync_finds_it_made_anew(&line);
	imap_line_end(&line);
}

static void
test_the_numbers_of_the_selected_mailbox_take_selecting_it_anew(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"),
				FETCH_ONE,
				"<s STATUS \"Sent\" (*",
				">* STATUS Sent (MESSAGES 5)",
				">s OK",
				MADE_ANEW,
				"!end",
				NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);
	Request *status;

	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
	imap_client_assert_log(line.client, "done\n");
	g_string_truncate(line.client->news, 0);
	status = imap_client_request(line.client, REQUEST_STATUS, NULL);
	status->mailboxes = g_strdupv((char *[]){(char *)"INBOX", (char *)"Sent", NULL});
	imap_client_run(line.client, status);
	imap_client_assert_log(line.client, "done\n");
	g_assert_cmpstr(line.client->news->str, ==, "changed INBOX\nstatus Sent 5 -1 0 0 0\n");
	assert_sync_finds_it_made_anew(&line);
	imap_line_end(&line);
}

static void
test_a_selected_mailbox_that_is_told_of_as_a_name_is_selected_anew(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE NOTIFY"),
				NOTIFY,
				">n OK",
				FETCH_ONE,
				"<i IDLE",
				">+ idling",
				">* LIST (\\NonExistent) \"/\" INBOX",
				"=DONE",
				">i OK",
				MADE_ANEW,
				"!end",
				NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	ask_notify(&line);
	wait_notify(&line, BACKEND_NOTIFY_ON);
	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
	imap_client_assert_log(line.client, "done\n");
	wait_news(&line, "folders\nchanged INBOX\n");
	assert_sync_finds_it_made_anew(&line);
	imap_line_end(&line);
}

/* --- at rest --- */

#define SELECT_WITH(count)                                                                         \
	"<x EXAMINE \"INBOX\"", "<y UID FETCH 3 (UID BODY.PEEK[HEADER])", ">* " count " EXISTS",   \
		">* OK [UIDVALIDITY 7]", ">* OK [UIDNEXT 2000]", ">x OK", ">y OK"

static void
run_headers(ImapLine *line)
{
	Request *request = imap_client_request(line->client, REQUEST_HEADERS, "INBOX");

	line->client->hears_all = FALSE;
	request->uidvalidity = 7;
	request->uids = uidset_new();
	uidset_add(request->uids, 3, 3);
	imap_client_run(line->client, request);
	imap_client_assert_log(line->client, "done\n");
	line->client->backend->prime = TRUE;
}

/* Nobody is told of what comes, and it is asked for once. */
static void
test_a_listing_makes_the_server_look_for_the_bodies(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"),
				SELECT_WITH("1000"),
				"<p FETCH 1 (UID BODY.PEEK[]<0.1>)",
				">* 1 FETCH (UID 5 BODY[]<0> {1}",
				">M)",
				">p OK",
				"<i IDLE",
				">+ idling",
				">* 1001 EXISTS",
				"!end",
				NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	run_headers(&line);
	assert_news(&line, "changed INBOX\n");
	g_assert_cmpuint(line.client->backend->under_way, ==, 0);
	imap_line_end(&line);
}

static void
test_a_small_mailbox_is_left_in_peace(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"),
				SELECT_WITH("999"),
				"<i IDLE",
				">+ idling",
				">* 1000 EXISTS",
				"!end",
				NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	run_headers(&line);
	assert_news(&line, "changed INBOX\n");
	imap_line_end(&line);
}

/* --- signs of life --- */

static void
test_a_probe_renews_idle(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"),
				FETCH_ONE,
				"<i IDLE",
				">+ idling",
				"=DONE",
				">i OK",
				"<j IDLE",
				">+",
				">* 10 EXISTS",
				"!end",
				NULL};
	ImapLine line = log_in(imap_peer_dialog, dialog);

	line.client->hears_all = FALSE;
	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
	imap_client_pump(line.client, 400, NULL, NULL);
	line.client->backend->probe = TRUE;
	assert_news(&line, "changed INBOX\n");
	g_assert_false(line.client->backend->probe);
	imap_line_end(&line);
}

static void
test_a_line_that_does_not_answer_a_probe_is_lost_soon(void)
{
	static Dialog idling = {
		IMAP_PEER_LOGIN(" IDLE"), FETCH_ONE, "<i IDLE", ">+ idling", "!stall", NULL};
	static Dialog resting = {IMAP_PEER_LOGIN(""), FETCH_ONE, "!stall", NULL};
	const char *const *const dialogs[] = {idling, resting};

	for (guint i = 0; i < G_N_ELEMENTS(dialogs); i++) {
		ImapLine line = log_in(imap_peer_dialog, dialogs[i]);
		Backend *backend = line.client->backend;
		g_autoptr(GError) error = NULL;
		gint64 now, due;

		imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
		imap_client_pump(line.client, 400, NULL, NULL);
		backend->probe = TRUE;
		now = g_get_monotonic_time();
		due = backend->ops->tick(backend, now, &error);
		g_assert_cmpint(due, >, now);
		due = backend->ops->tick(backend, now, &error);
		g_assert_cmpint(due, <=, now + 5 * G_TIME_SPAN_SECOND);
		g_assert_cmpint(backend->ops->tick(backend, due, &error), ==, -1);
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT);
		imap_line_end(&line);
	}
}

#define ADD(name) g_test_add_func("/imap-notify/" #name, test_##name)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD(notify_tells_of_other_mailboxes);
	ADD(without_idle_expunges_are_not_held_back);
	ADD(notify_that_is_refused_is_as_if_not_offered);
	ADD(notify_that_is_not_offered_is_known_at_login);
	ADD(an_overflow_ends_notify);
	ADD(a_flood_is_told_in_handfuls);
	ADD(numbers_of_many_are_one_round_trip);
	ADD(selecting_for_a_fetch_tells_the_numbers);
	ADD(the_mailbox_that_is_left_is_asked_for_under_notify);
	ADD(an_untagged_no_makes_the_next_sync_select_anew);
	ADD(the_numbers_of_the_selected_mailbox_take_selecting_it_anew);
	ADD(a_selected_mailbox_that_is_told_of_as_a_name_is_selected_anew);
	ADD(a_listing_makes_the_server_look_for_the_bodies);
	ADD(a_small_mailbox_is_left_in_peace);
	ADD(a_probe_renews_idle);
	ADD(a_line_that_does_not_answer_a_probe_is_lost_soon);
	return g_test_run();
}
