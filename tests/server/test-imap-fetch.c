/* SPDX-License-Identifier: MIT */
/* Bodies and header blocks, and the life of a line between them: IDLE, NOOP, timeouts, its end. */
#include <string.h>

#include "base/error.h"
#include "imap-client.h"

#define OPEN                                                                                       \
	"<x EXAMINE \"INBOX\"", "<y UID FETCH *", ">* 9 EXISTS",                                   \
		">* OK [UIDVALIDITY 7] UIDs valid", ">x OK"
#define PLAIN IMAP_PEER_LOGIN("")

/* One FETCH of @uids against @dialog; its log must be @expected. */
static void
assert_fetch(const char *const *dialog, const char *uids, const char *expected)
{
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);

	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, uids));
	imap_client_assert_log(line.client, expected);
	imap_line_end(&line);
}

static void
test_examine_and_fetch_are_one_round_trip(void)
{
	static Dialog dialog = {PLAIN,
				"<b EXAMINE \"INBOX\"",
				"<c UID FETCH 3,5:6 (UID BODY.PEEK[])",
				">* 9 EXISTS",
				">* OK [UIDVALIDITY 7]",
				">b OK",
				">* 1 FETCH (UID 3 BODY[] {5}\r\nthree)",
				">* 2 FETCH (BODY[] {4}\r\nfive UID 5)",
				">* 3 FETCH (UID 6 FLAGS (\\Seen) BODY[] {0}\r\n)",
				">c OK",
				"!end",
				NULL};

	assert_fetch(dialog, "3,5:6",
		     "open 5 <three> body 3 whole\nopen 4 <five> body 5 whole\nopen 0 <> body 6 "
		     "whole\ndone\n");
}

static void
test_short_bodies_may_be_quoted_or_nil(void)
{
	static Dialog dialog = {PLAIN,
				OPEN,
				">* 1 FETCH (UID 3 BODY[] \"a \\\"b\\\"\")",
				">* 2 FETCH (UID 4 BODY[] \"\")",
				">* 3 FETCH (BODY[] NIL UID 5)",
				">* 4 FETCH (BODY[] \"who\")",
				">y OK",
				"!end",
				NULL};

	assert_fetch(dialog, "3:6",
		     "open 5 <a \"b\"> body 3 whole\nopen 0 <> body 4 whole\nopen 0 <> body 5 "
		     "whole\ndone\n");
}

static void
test_a_body_of_another_uid_is_nobodys(void)
{
	static Dialog before = {PLAIN,	 OPEN,	 ">* 1 FETCH (UID 77 BODY[] {5}\r\nother)",
				">y OK", "!end", NULL};
	static Dialog after = {PLAIN,
			       OPEN,
			       ">* 1 FETCH (BODY[] {5}\r\nother UID 77)",
			       ">* 1 FETCH (BODY[] {4}\r\nnone)",
			       ">* 1 FETCH (UID 3 BODY[] {4}\r\nboth UID 4)",
			       ">y OK",
			       "!end",
			       NULL};

	assert_fetch(before, "3", "done\n");
	assert_fetch(after, "3",
		     "open 5 <other> body 0 PROTOCOL\nopen 4 <none> body 0 PROTOCOL\nopen 4 <both> "
		     "body 3 PROTOCOL\n"
		     "done\n");
}

static void
test_a_body_that_comes_twice_is_taken_once(void)
{
	static Dialog dialog = {PLAIN,
				OPEN,
				">* 1 FETCH (UID 3 BODY[] {5}\r\nfirst)",
				">* 1 FETCH (UID 3 BODY[] {6}\r\nsecond)",
				">* 2 FETCH (UID 4 BODY[] {3}\r\none BODY[] {3}\r\ntwo)",
				">y OK",
				"!end",
				NULL};

	assert_fetch(dialog, "3:4",
		     "open 5 <first> body 3 whole\nopen 3 <one> body 4 PROTOCOL\ndone\n");
}

static void
test_a_response_without_the_body_leaves_it_unanswered(void)
{
	static Dialog dialog = {PLAIN,
				OPEN,
				">* 1 FETCH (UID 3)",
				">* 2 FETCH (UID 4 RFC822.SIZE 5)",
				">* 3 FETCH ()",
				">y OK FETCH completed",
				"!end",
				NULL};

	assert_fetch(dialog, "3:4", "done\n");
}

static void
test_a_response_that_is_broken_behind_its_body_voids_it(void)
{
	static Dialog dialog = {PLAIN,
				OPEN,
				">* 1 FETCH (UID 3 BODY[] {5}\r\nthree ((",
				">* 2 FETCH (UID 4 BODY[] {4}\r\nfour)",
				">* 3 FETCH (UID 5 BODY[] {4}\r\nfive))",
				">y OK",
				"!end",
				NULL};

	assert_fetch(dialog, "3:5",
		     "open 5 <three> body 3 PROTOCOL\nopen 4 <four> body 4 whole\nopen 4 <five> "
		     "body 5 PROTOCOL\ndone\n");
}

static void
test_a_line_cut_inside_a_body_fails_body_and_request(void)
{
	static Dialog dialog = {PLAIN,
				OPEN,
				">* 1 FETCH (UID 3 BODY[] {5}\r\nthree)",
				">* 2 FETCH (UID 4 BODY[] {1000}\r\nfour",
				"!cut",
				NULL};

	assert_fetch(
		dialog, "3:5",
		"open 5 <three> body 3 whole\nopen 1000 <four\r\n> body 4 OFFLINE\ndone OFFLINE\n");
}

static void
test_a_body_beyond_all_bounds_ends_the_line(void)
{
	static Dialog dialog = {PLAIN, OPEN, ">* 1 FETCH (UID 3 BODY[] {268435457}\r\nx", "!stall",
				NULL};

	assert_fetch(dialog, "3", "done PROTOCOL\n");
}

static void
long_body(PeerLine *line, gpointer user)
{
	static Dialog before = {PLAIN, OPEN, NULL};
	g_autofree char *text = g_strnfill(3000000, 'x');

	imap_peer_dialog(line, (gpointer)before);
	peer_send_bytes(line, "* 1 FETCH (UID 3 BODY[] {3000000}\r\n", 35);
	peer_send_bytes(line, text, 3000000);
	peer_send(line, ")");
	peer_send(line, "* 1 FETCH (UID 4 RFC822 {3000000}");
	peer_send_bytes(line, text, 3000000);
	peer_send(line, ")");
	peer_send(line, "TAG OK");
	peer_expect_close(line);
}

static void
test_a_long_body_is_never_whole_in_memory(void)
{
	ImapLine line = imap_line_new(long_body, NULL);
	gsize total = 0;
	const char *p;

	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3:4"));
	g_assert_no_error(line.client->error);
	/* Its pieces are at most 256 KiB: the log asserts that, and writes "N bytes" for each. */
	p = strchr(line.client->log->str, '<') + 1;
	while (g_ascii_isdigit(*p)) {
		char *after;

		total += g_ascii_strtoull(p, &after, 10);
		p = g_str_has_prefix(after, " bytes") ? after + strlen(" bytes") : "";
	}
	g_assert_cmpuint(total, >, 2990000);
	g_assert_cmpuint(total, <=, 3000000);
	imap_line_end(&line);
}

static void
test_a_body_that_is_not_wanted_is_drained(void)
{
	static Dialog dialog = {PLAIN,	 OPEN,	 ">* 1 FETCH (UID 3 BODY[] {5}\r\nthree)",
				">y OK", "!end", NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);

	line.client->unwanted = TRUE;
	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
	imap_client_assert_log(line.client, "refused 5\nbody 3 g-file-error-quark\ndone\n");
	imap_line_end(&line);
}

static void
test_another_uidvalidity_is_stale(void)
{
	static Dialog dialog = {PLAIN,
				"<x EXAMINE *",
				"<y UID FETCH *",
				">* 9 EXISTS",
				">* OK [UIDVALIDITY 8]",
				">x OK",
				">* 1 FETCH (UID 3 BODY[] {5}\r\nother)",
				">y OK",
				"!end",
				NULL};

	assert_fetch(dialog, "3", "done STALE\n");
}

static void
test_a_refused_fetch_is_an_error_unless_messages_are_gone(void)
{
	static Dialog gone = {PLAIN, OPEN, ">y NO [EXPUNGEISSUED] some are gone", "!end", NULL};
	static Dialog later = {PLAIN, OPEN, ">y NO [UNAVAILABLE] UID FETCH Server error", "!end",
			       NULL};
	static Dialog bad = {PLAIN, OPEN, ">y BAD what?", "!end", NULL};
	static Dialog missing = {PLAIN,
				 "<x EXAMINE *",
				 "<y UID FETCH *",
				 ">x NO [NONEXISTENT] no",
				 ">y BAD no",
				 "!end",
				 NULL};

	assert_fetch(gone, "3", "done\n");
	assert_fetch(later, "3", "done LIMIT\n");
	assert_fetch(bad, "3", "done PROTOCOL\n");
	assert_fetch(missing, "3", "done NOT_FOUND\n");
}

static void
test_requests_share_a_line_and_get_their_own_bodies(void)
{
	static Dialog dialog = {PLAIN,
				OPEN,
				"<b UID FETCH 5 *",
				"<c UID FETCH 8 (UID BODY.PEEK[HEADER])",
				">* 1 EXPUNGE",
				">* 2 FETCH (UID 5 BODY[] {4}\r\nfive)",
				">* 1 FETCH (UID 3 BODY[] {5}\r\nthree)",
				">* 3 FETCH (UID 8 BODY[HEADER] {4}\r\nhead)",
				">b OK",
				">y OK",
				">c OK",
				"!end",
				NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	Request *headers = imap_client_fetch(line.client, "INBOX", 7, "8");

	headers->kind = REQUEST_HEADERS;
	imap_client_start(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
	imap_client_start(line.client, imap_client_fetch(line.client, "INBOX", 7, "5"));
	imap_client_start(line.client, headers);
	g_assert_cmpuint(line.client->backend->under_way, ==, 3);
	g_assert_true(imap_client_finish(line.client, NULL));
	imap_client_assert_log(line.client,
			       "open 4 <five> body 5 whole\nopen 5 <three> body 3 whole\n"
			       "header 8 4 head\ndone\ndone\ndone\n");
	g_assert_cmpstr(line.client->news->str, ==, "changed INBOX\n");
	imap_line_end(&line);
}

static void
long_header(PeerLine *line, gpointer user)
{
	static Dialog before = {PLAIN, OPEN, NULL};
	g_autofree char *text = g_strnfill(300000, 'h');

	imap_peer_dialog(line, (gpointer)before);
	peer_send(line, "* 1 FETCH (UID 3 BODY[HEADER] {300000}");
	peer_send_bytes(line, text, 300000);
	peer_send(line, ")\r\n* 2 FETCH (BODY[HEADER] \"short\" UID 4)\r\n* 3 FETCH (UID 5 "
			"BODY[HEADER] NIL)");
	peer_send(line, "* 4 FETCH (UID 6 BODY[HEADER] {5}\r\nother)");
	peer_send(line, "TAG OK");
	peer_expect_close(line);
}

static void
test_header_blocks_are_cut_at_a_bound(void)
{
	ImapLine line = imap_line_new(long_header, NULL);
	Request *request = imap_client_fetch(line.client, "INBOX", 7, "3:5");

	request->kind = REQUEST_HEADERS;
	imap_client_run(line.client, request);
	g_assert_true(g_str_has_prefix(line.client->log->str, "header 3 262144 hhh"));
	g_assert_true(
		g_str_has_suffix(line.client->log->str, "header 4 5 short\nheader 5 0 \ndone\n"));
	imap_line_end(&line);
}

static void
many_uids(PeerLine *line, gpointer user)
{
	static Dialog before = {PLAIN, "<x EXAMINE *", NULL};
	g_autofree char *examine = NULL;
	guint commands = 0;

	imap_peer_dialog(line, (gpointer)before);
	examine = g_strdup(peer_tag(line));
	peer_send(line, "%s OK", examine);
	while (commands < 4) {
		g_autofree char *text = peer_read_line(line);

		if (text == NULL || strlen(text) > 8000)
			return; /* no OK: the request fails */
		peer_remember_tag(line, text);
		peer_send(line, "TAG OK");
		commands++;
	}
	peer_expect_close(line);
}

static void
test_a_long_set_is_cut_into_commands_of_8000_bytes(void)
{
	ImapLine line = imap_line_new(many_uids, NULL);
	g_autoptr(GString) uids = g_string_new("1");

	for (guint i = 3; i < 10000; i += 2)
		g_string_append_printf(uids, ",%u", i);
	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 0, uids->str));
	imap_client_assert_log(line.client, "done\n");
	imap_line_end(&line);
}

/* The line itself
 * -------------------------------------------------------------------------------------------------
 */

static void
test_answers_to_nothing_end_the_line(void)
{
	static Dialog other = {PLAIN, OPEN, ">ZZZ9 OK", "!stall", NULL};
	static Dialog twice = {PLAIN, OPEN, ">x OK again", "!stall", NULL};
	static Dialog early = {PLAIN, OPEN, ">m99 OK", "!stall", NULL};

	assert_fetch(other, "3", "done PROTOCOL\n");
	assert_fetch(twice, "3", "done PROTOCOL\n");
	assert_fetch(early, "3", "done PROTOCOL\n");
}

static void
test_bye_ends_the_line(void)
{
	static Dialog bye = {PLAIN, OPEN, ">* BYE Session expired, please login again.", "!close",
			     NULL};
	static Dialog limit = {PLAIN, OPEN, ">* BYE [UNAVAILABLE] too busy", "!close", NULL};

	assert_fetch(bye, "3", "done OFFLINE\n");
	assert_fetch(limit, "3", "done LIMIT\n");
}

static void
test_a_stalled_body_is_a_timeout(void)
{
	static Dialog dialog = {PLAIN, OPEN, ">* 1 FETCH (UID 3 BODY[] {1000}\r\nthree", "!stall",
				NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	gint64 began = g_get_monotonic_time();

	line.client->config.timeout_ms = 300;
	imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3"));
	imap_client_assert_log(line.client, "open 1000 <three\r\n> body 3 TIMEOUT\ndone TIMEOUT\n");
	g_assert_cmpint(g_get_monotonic_time() - began, <, 3 * G_TIME_SPAN_SECOND);
	imap_line_end(&line);
}

#define FETCH_ONE OPEN, ">* 1 FETCH (UID 3 BODY[] {5}\r\nthree)", ">y OK"

static void
fetch_one(ImapLine *line, const char *uid, const char *expected)
{
	imap_client_run(line->client, imap_client_fetch(line->client, "INBOX", 7, uid));
	imap_client_assert_log(line->client, expected);
}

static gint64
tick_at(ImapLine *line, gint64 now)
{
	return line->client->backend->ops->tick(line->client->backend, now, NULL);
}

static void
test_idle_begins_after_a_rest_and_brings_news(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"),
				FETCH_ONE,
				"<i IDLE",
				">+ idling",
				">* OK Still here",
				">* 10 EXISTS",
				">* 1 RECENT",
				"=DONE",
				"<b UID FETCH 4 *",
				">i OK",
				">b OK",
				"!end",
				NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	gint64 began;

	fetch_one(&line, "3", "open 5 <three> body 3 whole\ndone\n");
	began = g_get_monotonic_time();
	imap_client_wait_news(line.client);
	g_assert_cmpint(g_get_monotonic_time() - began, >=, 150000);
	g_assert_cmpstr(line.client->news->str, ==, "changed INBOX\n");
	fetch_one(&line, "4", "done\n");
	imap_line_end(&line);
}

static void
test_all_kinds_of_change_are_news(void)
{
	static const char *const changes[] = {">* 8 EXISTS", ">* 3 EXPUNGE", ">* VANISHED 4",
					      ">* 2 FETCH (FLAGS (\\Seen))",
					      ">* 2 FETCH (UID 4 FLAGS ())"};

	for (guint i = 0; i < G_N_ELEMENTS(changes); i++) {
		const char *dialog[] = {IMAP_PEER_LOGIN(" IDLE"),
					FETCH_ONE,
					"<i IDLE",
					">+ idling",
					changes[i],
					"!end",
					NULL};
		ImapLine line = imap_line_new(imap_peer_dialog, dialog);

		fetch_one(&line, "3", "open 5 <three> body 3 whole\ndone\n");
		tick_at(&line, g_get_monotonic_time() + 2 * G_TIME_SPAN_SECOND);
		imap_client_wait_news(line.client);
		g_assert_cmpstr(line.client->news->str, ==, "changed INBOX\n");
		imap_line_end(&line);
	}
}

static void
test_a_command_waits_for_the_plus_of_idle(void)
{
	static Dialog dialog = {
		IMAP_PEER_LOGIN(" IDLE"), FETCH_ONE, "<i IDLE", "!pause", ">+ idling", "=DONE",
		"<b UID FETCH 4 *",	  ">i OK",   ">b OK",	"!end",	  NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	gsize sent;

	fetch_one(&line, "3", "open 5 <three> body 3 whole\ndone\n");
	tick_at(&line, g_get_monotonic_time() + 2 * G_TIME_SPAN_SECOND);
	imap_client_pump(line.client, 100, NULL, NULL);
	sent = peer_received(line.peer);
	imap_client_start(line.client, imap_client_fetch(line.client, "INBOX", 7, "4"));
	imap_client_pump(line.client, 100, NULL, NULL);
	g_assert_cmpuint(peer_received(line.peer), ==, sent);
	peer_go(line.peer);
	g_assert_true(imap_client_finish(line.client, NULL));
	imap_client_assert_log(line.client, "done\n");
	imap_line_end(&line);
}

static void
test_an_answer_to_a_command_that_still_waits_ends_the_line(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"),
				FETCH_ONE,
				"<i IDLE",
				"!pause",
				">m5 OK done",
				"!end",
				NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);

	fetch_one(&line, "3", "open 5 <three> body 3 whole\ndone\n");
	tick_at(&line, g_get_monotonic_time() + 2 * G_TIME_SPAN_SECOND);
	imap_client_pump(line.client, 100, NULL, NULL);
	imap_client_start(line.client, imap_client_fetch(line.client, "INBOX", 7, "4"));
	peer_go(line.peer);
	g_assert_false(imap_client_finish(line.client, NULL));
	imap_client_assert_log(line.client, "done PROTOCOL\n");
	imap_line_end(&line);
}

static void
test_idle_is_renewed_after_five_minutes(void)
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
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	gint64 now;

	fetch_one(&line, "3", "open 5 <three> body 3 whole\ndone\n");
	tick_at(&line, g_get_monotonic_time() + 2 * G_TIME_SPAN_SECOND);
	imap_client_pump(line.client, 100, NULL, NULL);
	now = g_get_monotonic_time();
	g_assert_cmpint(tick_at(&line, now), <=, now + 5 * G_TIME_SPAN_MINUTE);
	tick_at(&line, now + 5 * G_TIME_SPAN_MINUTE);
	imap_client_wait_news(line.client);
	imap_line_end(&line);
}

static void
test_without_idle_there_is_noop_each_minute(void)
{
	static Dialog without = {PLAIN,	  FETCH_ONE, "<n NOOP", ">* 10 EXISTS",
				 ">n OK", "!end",    NULL};
	static Dialog refused = {IMAP_PEER_LOGIN(" IDLE"),
				 FETCH_ONE,
				 "<i IDLE",
				 ">i BAD not really",
				 "<n NOOP",
				 ">* 10 EXISTS",
				 ">n OK",
				 "!end",
				 NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, without);
	ImapLine second = imap_line_new(imap_peer_dialog, refused);
	gint64 now;

	fetch_one(&line, "3", "open 5 <three> body 3 whole\ndone\n");
	now = g_get_monotonic_time();
	g_assert_cmpint(tick_at(&line, now), >, now + 50 * G_TIME_SPAN_SECOND);
	tick_at(&line, now + G_TIME_SPAN_MINUTE);
	imap_client_wait_news(line.client);
	imap_line_end(&line);
	fetch_one(&second, "3", "open 5 <three> body 3 whole\ndone\n");
	tick_at(&second, g_get_monotonic_time() + 2 * G_TIME_SPAN_SECOND);
	imap_client_pump(second.client, 100, NULL, NULL);
	tick_at(&second, g_get_monotonic_time() + 61 * G_TIME_SPAN_SECOND);
	imap_client_wait_news(second.client);
	imap_line_end(&second);
}

static void
test_a_dead_idle_is_noticed_when_it_is_renewed(void)
{
	static Dialog dialog = {
		IMAP_PEER_LOGIN(" IDLE"), FETCH_ONE, "<i IDLE", ">+ idling", "!stall", NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	g_autoptr(GError) error = NULL;
	gint64 now;

	fetch_one(&line, "3", "open 5 <three> body 3 whole\ndone\n");
	tick_at(&line, g_get_monotonic_time() + 2 * G_TIME_SPAN_SECOND);
	imap_client_pump(line.client, 100, NULL, NULL);
	now = g_get_monotonic_time() + 5 * G_TIME_SPAN_MINUTE;
	g_assert_cmpint(tick_at(&line, now), ==, now + 10 * G_TIME_SPAN_SECOND);
	g_assert_cmpint(line.client->backend->ops->tick(line.client->backend,
							now + 10 * G_TIME_SPAN_SECOND, &error),
			==, -1);
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT);
	imap_line_end(&line);
}

static void
test_another_mailbox_has_to_wait_until_the_line_is_free(void)
{
	static Dialog dialog = {PLAIN,
				FETCH_ONE,
				"<b UID FETCH 4 *",
				"!pause",
				">b OK",
				"<c EXAMINE \"Sent\"",
				"<d UID FETCH 1 *",
				">* 3 EXPUNGE",
				">* 2 EXISTS",
				">* OK [UIDVALIDITY 7]",
				">c OK",
				">* 1 FETCH (UID 1 BODY[] {3}\r\none)",
				">d OK",
				"!end",
				NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	Request *sent = imap_client_fetch(line.client, "Sent", 7, "1");
	Backend *backend = line.client->backend;

	fetch_one(&line, "3", "open 5 <three> body 3 whole\ndone\n");
	imap_client_start(line.client, imap_client_fetch(line.client, "INBOX", 7, "4"));
	g_assert_false(backend->ops->can_start(backend, sent));
	peer_go(line.peer);
	g_assert_true(imap_client_finish(line.client, NULL));
	g_string_truncate(line.client->log, 0);
	imap_client_run(line.client, sent);
	imap_client_assert_log(line.client, "open 3 <one> body 1 whole\ndone\n");
	g_assert_cmpstr(backend->selected, ==, "Sent");
	g_assert_cmpstr(line.client->news->str, ==, "");
	imap_line_end(&line);
}

static void
test_news_of_the_mailbox_before_are_not_the_new_ones(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" IDLE"),
				FETCH_ONE,
				"<i IDLE",
				">+ idling",
				"=DONE",
				"<c EXAMINE \"Sent\"",
				"<d UID FETCH 1 *",
				">* 12 EXISTS",
				">* 2 FETCH (UID 1 FLAGS ())",
				">i OK",
				">* 2 EXISTS",
				">* OK [UIDVALIDITY 7]",
				">c OK",
				">* 1 FETCH (UID 1 BODY[] {3}\r\none)",
				">d OK",
				"!end",
				NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);

	fetch_one(&line, "3", "open 5 <three> body 3 whole\ndone\n");
	tick_at(&line, g_get_monotonic_time() + 2 * G_TIME_SPAN_SECOND);
	imap_client_pump(line.client, 100, NULL, NULL);
	imap_client_run(line.client, imap_client_fetch(line.client, "Sent", 7, "1"));
	imap_client_assert_log(line.client, "open 3 <one> body 1 whole\ndone\n");
	g_assert_true(g_str_has_prefix(line.client->news->str, "changed INBOX\n"));
	g_assert_null(strstr(line.client->news->str, "Sent"));
	imap_line_end(&line);
}

static void
test_the_window_is_sixteen_requests(void)
{
	static Dialog dialog = {PLAIN, "!stall", NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	Backend *backend = line.client->backend;
	Request *last = imap_client_fetch(line.client, "INBOX", 7, "1");

	for (guint i = 0; i < 16; i++)
		imap_client_start(line.client, imap_client_fetch(line.client, "INBOX", 7, "1"));
	g_assert_false(backend->ops->can_start(backend, last));
	request_free(last);
	backend->ops->free(backend, NULL);
	line.client->backend = NULL;
	g_assert_true(line.client->finished);
	g_assert_error(line.client->error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
	imap_line_end(&line);
}

static void
in_chunks(PeerLine *line, gpointer user)
{
	static Dialog dialog = {PLAIN,
				OPEN,
				">* 1 FETCH (UID 3 BODY[] {5}\r\nthree)",
				">* 2 FETCH (BODY[] {4}\r\nfive UID 5)",
				">y OK",
				"!end",
				NULL};

	peer_set_chunk(line, *(const gsize *)user);
	imap_peer_dialog(line, (gpointer)dialog);
}

static void
test_any_cut_of_the_stream_says_the_same(void)
{
	for (gsize chunk = 1; chunk <= 7; chunk++) {
		ImapLine line = imap_line_new(in_chunks, &chunk);

		imap_client_run(line.client, imap_client_fetch(line.client, "INBOX", 7, "3,5"));
		g_assert_true(g_str_has_suffix(line.client->log->str, "> body 5 whole\ndone\n"));
		g_assert_nonnull(
			strstr(line.client->log->str, "<three> body 3 whole\nopen 4 <five>"));
		imap_line_end(&line);
	}
}

static void
test_alerts_are_told(void)
{
	static Dialog dialog = {
		PLAIN,	OPEN, ">* NO [ALERT] Disk is \033[1mfull", ">y OK [ALERT] bye soon",
		"!end", NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);

	fetch_one(&line, "3", "done\n");
	g_assert_cmpstr(line.client->news->str, ==, "alert Disk is \033[1mfull\nalert bye soon\n");
	imap_line_end(&line);
}

#define ADD(name) g_test_add_func("/imap-fetch/" #name, test_##name)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD(examine_and_fetch_are_one_round_trip);
	ADD(short_bodies_may_be_quoted_or_nil);
	ADD(a_body_of_another_uid_is_nobodys);
	ADD(a_body_that_comes_twice_is_taken_once);
	ADD(a_response_without_the_body_leaves_it_unanswered);
	ADD(a_response_that_is_broken_behind_its_body_voids_it);
	ADD(a_line_cut_inside_a_body_fails_body_and_request);
	ADD(a_body_beyond_all_bounds_ends_the_line);
	ADD(a_long_body_is_never_whole_in_memory);
	ADD(a_body_that_is_not_wanted_is_drained);
	ADD(another_uidvalidity_is_stale);
	ADD(a_refused_fetch_is_an_error_unless_messages_are_gone);
	ADD(requests_share_a_line_and_get_their_own_bodies);
	ADD(header_blocks_are_cut_at_a_bound);
	ADD(a_long_set_is_cut_into_commands_of_8000_bytes);
	ADD(answers_to_nothing_end_the_line);
	ADD(bye_ends_the_line);
	ADD(a_stalled_body_is_a_timeout);
	ADD(idle_begins_after_a_rest_and_brings_news);
	ADD(all_kinds_of_change_are_news);
	ADD(a_command_waits_for_the_plus_of_idle);
	ADD(an_answer_to_a_command_that_still_waits_ends_the_line);
	ADD(idle_is_renewed_after_five_minutes);
	ADD(without_idle_there_is_noop_each_minute);
	ADD(a_dead_idle_is_noticed_when_it_is_renewed);
	ADD(another_mailbox_has_to_wait_until_the_line_is_free);
	ADD(news_of_the_mailbox_before_are_not_the_new_ones);
	ADD(the_window_is_sixteen_requests);
	ADD(any_cut_of_the_stream_says_the_same);
	ADD(alerts_are_told);
	return g_test_run();
}
