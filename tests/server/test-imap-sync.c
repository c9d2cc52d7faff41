/* SPDX-License-Identifier: MIT */
/* Bringing a listing up to date, against servers with QRESYNC, with CONDSTORE, with neither, and
 * with faults. */
#include <string.h>

#include "imap-sync-dialog.h"

static void
test_a_first_listing_is_one_round_trip(void)
{
	static Dialog dialog = {
		IMAP_PEER_LOGIN(""),
		"<b EXAMINE \"INBOX\"",
		"<c UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS "
		"(DATE FROM SUBJECT "
		"MESSAGE-ID)])",
		OPENED("3", "7", "9"),
		">b OK [READ-ONLY] done",
		">* 1 FETCH (UID 4 FLAGS (\\Seen work \\Flagged $Junk) INTERNALDATE \"17-Jul-1996 "
		"02:44:25 -0700\" "
		"RFC822.SIZE 4286 BODY[HEADER.FIELDS (DATE FROM SUBJECT MESSAGE-ID)] "
		"{14}\r\nSubject: x\r\n\r\n)",
		">* 2 FETCH (BODY[HEADER.FIELDS (\"DATE\")] NIL RFC822.SIZE 9.3e+06 UID 6 "
		"INTERNALDATE \"no date\" "
		"X-GM-LABELS (a (b)) FLAGS ())",
		">* 3 FETCH (FLAGS (\\Deleted \\Draft \\Answered \\Recent) UID 8 INTERNALDATE \" "
		"1-Jan-1970 00:00:09 "
		"+0000\" BODY[HEADER.FIELDS (DATE FROM)] \"\" RFC822.SIZE 18446744073709551615)",
		">c OK",
		"!end",
		NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	Request *request;

	imap_client_must_login(client);
	request = sync_request(client, NULL);
	request->want_header = TRUE;
	imap_client_run(client, request);
	imap_client_assert_log(
		client, "selected 7\n"
			"message 4 0x5 <work $Junk> 4286 837596665 Subject: x\\x0d\\x0a\\x0d\\x0a\n"
			"message 6 0 <> 0 0 \nmessage 8 0x3a <> 0 9 \n"
			"done 7 9 0 3\n");
}

static void
test_an_empty_mailbox_needs_nothing_else(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<b EXAMINE *",
				"<c UID FETCH 1:*",
				OPENED("0", "7", "1"),
				">b OK",
				">c BAD no messages",
				"!end",
				NULL};
	static Dialog emptied = {IMAP_PEER_LOGIN(""),
				 "<b EXAMINE *",
				 "<c UID FETCH 4:*",
				 OPENED("0", "7", "4"),
				 ">b OK",
				 ">c NO no messages",
				 "!end",
				 NULL};

	assert_sync(dialog, NULL, "selected 7\ndone 7 1 0 0\n");
	assert_sync(emptied, &known_plain, "selected 7\npresent \ndone 7 4 0 0\n");
}

static void
test_qresync_tells_all_in_one_round_trip(void)
{
	static Dialog dialog = {QRESYNC,
				"<c EXAMINE \"INBOX\" (QRESYNC (7 50 1:3))",
				"<d UID FETCH 4:65539 " NEW_ITEMS,
				OPENED("3", "7", "5"),
				MODSEQ("60"),
				">* VANISHED (EARLIER) 1",
				">* 1 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (55))",
				">c OK",
				IS_NEW("3", "4"),
				">d OK",
				"!end",
				NULL};

	assert_sync(dialog, &known_three,
		    "selected 7\nvanished 1\nflags 2 0x1 <>\n" NEW("4") "done 7 5 60 3\n");
}

static void
test_qresync_that_does_not_add_up_is_checked_by_search(void)
{
	static Dialog dialog = {QRESYNC,
				"<c EXAMINE *",
				"<d UID FETCH 4:* *",
				OPENED("1", "7", "4"),
				MODSEQ("60"),
				">* VANISHED (EARLIER) 1",
				">c OK",
				">d OK",
				"<e UID SEARCH RETURN (ALL) UID 1:3",
				">* ESEARCH (TAG \"x\") UID ALL 3",
				">e OK",
				"!end",
				NULL};

	assert_sync(dialog, &known_three, "selected 7\nvanished 1\npresent 3\ndone 7 4 60 1\n");
}

static void
test_another_uidvalidity_voids_what_was_known(void)
{
	static Dialog dialog = {QRESYNC,
				"<c EXAMINE \"INBOX\" (QRESYNC (7 50 1:3))",
				"<d UID FETCH 4:* *",
				OPENED("2", "8", "6"),
				MODSEQ("12"),
				">c OK",
				IS_NEW("2", "5"),
				">d OK",
				"<e UID FETCH 1:* " NEW_ITEMS,
				IS_NEW("1", "2"),
				IS_NEW("2", "5"),
				">e OK",
				"!end",
				NULL};
	/* The second question may be on its way before the first is answered. */
	static Dialog early = {IMAP_PEER_LOGIN(""),
			       "<c EXAMINE *",
			       "<d UID FETCH 4:* *",
			       OPENED("2", "8", "3"),
			       ">c OK",
			       "<e UID FETCH 1:* " NEW_ITEMS,
			       IS_NEW("2", "2"),
			       ">d NO [CLIENTBUG] whatever",
			       IS_NEW("1", "1"),
			       IS_NEW("2", "2"),
			       ">e OK",
			       "!end",
			       NULL};

	assert_sync(dialog, &known_three, "selected 8\n" NEW("2") NEW("5") "done 8 6 12 2\n");
	assert_sync(early, &known_plain, "selected 8\n" NEW("1") NEW("2") "done 8 3 0 2\n");
}

static void
test_what_comes_before_the_numbering_is_not_believed(void)
{
	static Dialog dialog = {QRESYNC,
				"<c EXAMINE *",
				"<d UID FETCH 4:* *",
				">* 3 EXISTS",
				">* 1 FETCH (UID 1 FLAGS (\\Deleted))",
				">* VANISHED (EARLIER) 1:3",
				">* OK [CLOSED] the other one",
				OPENED("3", "7", "4"),
				MODSEQ("60"),
				">c OK",
				">d OK",
				"<e UID FETCH 1:3 (UID FLAGS) (CHANGEDSINCE 50 VANISHED)",
				">* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (51))",
				">e OK",
				"!end",
				NULL};

	assert_sync(dialog, &known_three, "selected 7\nflags 2 0x1 <>\ndone 7 4 60 3\n");
}

#define CONDSTORE IMAP_PEER_LOGIN(" CONDSTORE")

static void
test_condstore_with_the_same_modseq_asks_nothing_more(void)
{
	static Dialog dialog = {CONDSTORE, "<c EXAMINE \"INBOX\" (CONDSTORE)", "<d UID FETCH 4:* *",
				OPENED("3", "7", "4"), MODSEQ("50"), ">c OK",
				/* n:* brings the last message even when there is nothing new */
				IS_NEW("3", "3"), ">d OK", "!end", NULL};

	assert_sync(dialog, &known_three, "selected 7\ndone 7 4 50 3\n");
}

static void
test_condstore_asks_for_changes_and_counts(void)
{
	static Dialog same = {CONDSTORE,
			      "<c EXAMINE *",
			      "<d UID FETCH 4:* *",
			      OPENED("4", "7", "5"),
			      MODSEQ("51"),
			      ">c OK",
			      IS_NEW("4", "4"),
			      ">d OK",
			      "<e UID FETCH 1:3 (UID FLAGS) (CHANGEDSINCE 50)",
			      ">* 1 FETCH (UID 1 FLAGS (x) MODSEQ (51))",
			      ">e OK",
			      "!end",
			      NULL};
	static Dialog fewer = {CONDSTORE,
			       "<c EXAMINE *",
			       "<d UID FETCH 4:* *",
			       OPENED("3", "7", "5"),
			       MODSEQ("51"),
			       ">c OK",
			       IS_NEW("3", "4"),
			       ">d OK",
			       "<e UID FETCH 1:3 *",
			       ">e OK",
			       "<f UID SEARCH UID 1:4",
			       ">* SEARCH 1 3 4 (MODSEQ 51)",
			       ">f OK",
			       "!end",
			       NULL};

	assert_sync(same, &known_three, "selected 7\n" NEW("4") "flags 1 0 <x>\ndone 7 5 51 4\n");
	assert_sync(fewer, &known_three, "selected 7\n" NEW("4") "present 1,3\ndone 7 5 51 3\n");
}

static void
test_a_server_without_modseq_is_swept(void)
{
	static Dialog plain = {IMAP_PEER_LOGIN(""),
			       "<c EXAMINE \"INBOX\"",
			       "<d UID FETCH 4:* *",
			       OPENED("3", "7", "5"),
			       ">c OK",
			       IS_NEW("3", "4"),
			       ">d OK",
			       "<e UID FETCH 1:3 (UID FLAGS)",
			       ">* 1 FETCH (UID 1 FLAGS (\\Seen))",
			       ">* 2 FETCH (UID 3 FLAGS ())",
			       ">e OK",
			       "!end",
			       NULL};
	static Dialog none = {CONDSTORE,
			      "<c EXAMINE *",
			      "<d UID FETCH 4:* *",
			      OPENED("3", "7", "4"),
			      ">* OK [NOMODSEQ] not here",
			      ">c OK",
			      ">d OK",
			      "<e UID FETCH 1:3 (UID FLAGS)",
			      ">* 1 FETCH (UID 1 FLAGS ())",
			      ">* 2 FETCH (UID 2 FLAGS ())",
			      ">* 3 FETCH (UID 3 FLAGS ())",
			      ">e OK",
			      "!end",
			      NULL};
	static Dialog backwards = {QRESYNC,
				   "<c EXAMINE * (QRESYNC *",
				   "<d UID FETCH 4:* *",
				   OPENED("3", "7", "4"),
				   MODSEQ("40"),
				   ">c OK",
				   ">d OK",
				   "<e UID FETCH 1:3 (UID FLAGS)",
				   ">* 1 FETCH (UID 1 FLAGS ())",
				   ">* 2 FETCH (UID 2 FLAGS ())",
				   ">* 3 FETCH (UID 3 FLAGS ())",
				   ">e OK",
				   "!end",
				   NULL};
	const char *all = "selected 7\nflags 1 0 <>\nflags 2 0 <>\nflags 3 0 <>\npresent 1:3\n";
	g_autofree char *no_modseq = g_strconcat(all, "done 7 4 0 3\n", NULL);
	g_autofree char *lower = g_strconcat(all, "done 7 4 40 3\n", NULL);

	assert_sync(plain, &known_plain,
		    "selected 7\n" NEW(
			    "4") "flags 1 0x1 <>\nflags 3 0 <>\npresent 1,3\ndone 7 5 0 3\n");
	assert_sync(none, &known_three, no_modseq);
	assert_sync(backwards, &known_three, lower);
}

static void
test_a_sweep_with_a_broken_response_is_checked_by_search(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<c EXAMINE *",
				"<d UID FETCH 4:* *",
				OPENED("3", "7", "4"),
				">c OK",
				">d OK",
				"<e UID FETCH 1:3 (UID FLAGS)",
				">* 1 FETCH (UID 1 FLAGS ())",
				">* 2 FETCH (UID 2 FLAGS (",
				">* 3 FETCH (UID 3 FLAGS ())",
				">e OK",
				"<f UID SEARCH UID 1:3",
				">* SEARCH 1 2",
				">* SEARCH 3",
				">f OK",
				"!end",
				NULL};

	assert_sync(dialog, &known_plain,
		    "selected 7\nflags 1 0 <>\nflags 3 0 <>\npresent 1:3\ndone 7 4 0 3\n");
}

static void
test_an_empty_search_does_not_empty_a_mailbox_that_has_messages(void)
{
	static Dialog dialog = {CONDSTORE,
				"<c EXAMINE *",
				"<d UID FETCH 4:* *",
				OPENED("2", "7", "4"),
				MODSEQ("50"),
				">c OK",
				">d OK",
				"<e UID SEARCH UID 1:3",
				">* SEARCH",
				">e OK",
				"!end",
				NULL};

	assert_sync(dialog, &known_three, "selected 7\ndone 7 4 50 3\n");
}

static void
test_impossible_uids_alias_nothing(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<c EXAMINE *",
				"<d UID FETCH 1:* *",
				">* 4294967298 EXISTS",
				">* 1 EXISTS",
				">* OK [UIDVALIDITY 4294967303]",
				">* OK [UIDVALIDITY 7]",
				">* OK [UIDNEXT 4294967300]",
				">c OK",
				IS_NEW("1", "4294967303"),
				IS_NEW("1", "0"),
				IS_NEW("1", "-7"),
				">* 1 FETCH (UID 5 UID 6 RFC822.SIZE 3)",
				IS_NEW("1", "4294967295"),
				">d OK",
				"!end",
				NULL};

	assert_sync(dialog, NULL, "selected 7\n" NEW("4294967295") "done 7 4294967295 0 1\n");
}

static void
test_a_uid_told_twice_is_one_message(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<c EXAMINE *",
				"<d UID FETCH 1:* *",
				OPENED("2", "7", "0"),
				">c OK",
				IS_NEW("1", "2"),
				IS_NEW("2", "2"),
				">d OK",
				"!end",
				NULL};

	assert_sync(dialog, NULL, "selected 7\n" NEW("2") "done 7 3 0 1\n");
}

static void
test_parameters_that_are_not_understood_are_left_out(void)
{
	static Dialog dialog = {QRESYNC,
				"<c EXAMINE \"INBOX\" (QRESYNC *",
				"<d UID FETCH 4:* *",
				">c BAD parameters?",
				">d BAD no mailbox",
				"<e EXAMINE \"INBOX\"",
				"<f UID FETCH 4:* *",
				OPENED("3", "7", "4"),
				">e OK",
				">f OK",
				"<g UID FETCH 1:3 (UID FLAGS)",
				">* 1 FETCH (UID 1 FLAGS ())",
				">* 2 FETCH (UID 2 FLAGS ())",
				">* 3 FETCH (UID 3 FLAGS ())",
				">g OK",
				"!end",
				NULL};

	assert_sync(dialog, &known_three,
		    "selected 7\nflags 1 0 <>\nflags 2 0 <>\nflags 3 0 <>\npresent 1:3\ndone 7 4 0 "
		    "3\n");
}

static void
test_a_mailbox_that_is_not_there_is_not_found(void)
{
	static Dialog code = {IMAP_PEER_LOGIN(""),
			      "<c EXAMINE *",
			      "<d UID FETCH *",
			      ">c NO [NONEXISTENT] gone",
			      ">d BAD what?",
			      "!end",
			      NULL};
	static Dialog text = {IMAP_PEER_LOGIN(""),
			      "<c EXAMINE *",
			      "<d UID FETCH *",
			      ">c NO Mailbox does not exist",
			      ">d NO no mailbox",
			      "!end",
			      NULL};
	static Dialog denied = {IMAP_PEER_LOGIN(""),
				"<c EXAMINE *",
				"<d UID FETCH *",
				">c NO [NOPERM] not yours",
				">d BAD what?",
				"!end",
				NULL};

	assert_sync(code, NULL, "done NOT_FOUND\n");
	assert_sync(text, NULL, "done NOT_FOUND\n");
	assert_sync(denied, NULL, "done DENIED\n");
}

static void
test_a_line_lost_in_the_middle_reports_no_state(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<c EXAMINE *",
				"<d UID FETCH *",
				OPENED("2", "7", "3"),
				">c OK",
				IS_NEW("1", "1"),
				"!cut",
				NULL};

	assert_sync(dialog, NULL, "selected 7\n" NEW("1") "done OFFLINE\n");
}

static void
test_icloud_is_not_trusted_with_qresync(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" ID ENABLE QRESYNC"),
				"<b ID *",
				"<c ENABLE QRESYNC",
				">* ID (\"name\" \"iCloud\" \"x\" NIL)",
				">b OK",
				">* ENABLED QRESYNC",
				">c OK",
				"<d EXAMINE \"INBOX\" (CONDSTORE)",
				"<e UID FETCH 4:* *",
				OPENED("3", "7", "4"),
				MODSEQ("50"),
				">d OK",
				">e OK",
				"!end",
				NULL};

	assert_sync(dialog, &known_three, "selected 7\ndone 7 4 50 3\n");
}

/* Selected already
 * ------------------------------------------------------------------------------------------------
 */

#define FIRST_SYNC                                                                                 \
	QRESYNC, "<c EXAMINE \"INBOX\" (CONDSTORE)", "<d UID FETCH 1:* *", OPENED("3", "7", "4"),  \
		MODSEQ("50"), ">c OK", IS_NEW("1", "1"), IS_NEW("2", "2"), IS_NEW("3", "3"),       \
		">d OK"

static void
again(ImapLine *line, const char *expected)
{
	imap_client_run(line->client, sync_request(line->client, &line->client->state));
	imap_client_assert_log(line->client, expected);
}

static void
test_a_selected_mailbox_is_not_examined_again(void)
{
	static Dialog dialog = {FIRST_SYNC,
				"<e NOOP",
				"<f UID FETCH 1:3 (UID FLAGS) (CHANGEDSINCE 50 VANISHED)",
				"<g UID FETCH 4:* *",
				">e OK",
				">* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (53))",
				">f OK",
				">g OK",
				"<h NOOP",
				"<i UID FETCH 1:3 (UID FLAGS) (CHANGEDSINCE 53 VANISHED)",
				"<j UID FETCH 4:* *",
				">h OK",
				">i OK",
				">j OK",
				"!end",
				NULL};
	ImapLine line = imap_line_after_sync(dialog);

	again(&line, "selected 7\nflags 1 0x1 <>\ndone 7 4 53 3\n");
	again(&line, "selected 7\ndone 7 4 53 3\n");
	imap_line_end(&line);
}

/* Dovecot has looked for news, somebody changes a flag, and it ends the command. */
static void
test_the_number_that_ends_a_command_counts_from_the_next_sync_on(void)
{
	static Dialog dialog = {FIRST_SYNC,
				"<e NOOP",
				"<f UID FETCH 1:3 (UID FLAGS) (CHANGEDSINCE 50 VANISHED)",
				"<g UID FETCH 4:* *",
				">e OK",
				">f OK",
				">* 1 FETCH (UID 1 MODSEQ (53) FLAGS (\\Seen))",
				">g OK [HIGHESTMODSEQ 54] done",
				"<h NOOP",
				"<i UID FETCH 1:3 (UID FLAGS) (CHANGEDSINCE 53 VANISHED)",
				"<j UID FETCH 4:* *",
				">h OK",
				">* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (54))",
				">i OK",
				">j OK [HIGHESTMODSEQ 55] done",
				"<k NOOP",
				"<l UID FETCH 1:3 (UID FLAGS) (CHANGEDSINCE 54 VANISHED)",
				"<m UID FETCH 4:* *",
				">k OK",
				">l OK",
				">m OK",
				"!end",
				NULL};
	ImapLine line = imap_line_after_sync(dialog);

	again(&line, "selected 7\nflags 1 0x1 <>\ndone 7 4 53 3\n");
	again(&line, "selected 7\nflags 2 0x1 <>\ndone 7 4 54 3\n");
	again(&line, "selected 7\ndone 7 4 55 3\n");
	imap_line_end(&line);
}

/* Dovecot looks for news when the whole pipeline is answered: between the data and the OKs. */
static void
test_what_noop_finds_late_is_fetched_in_a_second_round(void)
{
	static Dialog dialog = {FIRST_SYNC,
				"<e NOOP",
				"<f UID FETCH 1:3 *",
				"<g UID FETCH 4:* *",
				IS_NEW("3", "3"),
				">* 1 FETCH (UID 1 MODSEQ (52) FLAGS (\\Seen))",
				">* VANISHED 2",
				">* 3 EXISTS",
				">e OK",
				">f OK",
				">g OK [HIGHESTMODSEQ 54] done",
				"<h UID FETCH 1:3 *",
				"<i UID FETCH 4:* " NEW_ITEMS,
				">h OK",
				IS_NEW("3", "4"),
				">i OK",
				"!end",
				NULL};
	ImapLine line = imap_line_after_sync(dialog);

	again(&line, "selected 7\nflags 1 0x1 <>\nvanished 2\n" NEW("4") "done 7 5 52 3\n");
	g_assert_cmpstr(line.client->news->str, ==, "");
	imap_line_end(&line);
}

static void
test_an_expunge_during_a_sync_is_named_by_search(void)
{
	static Dialog dialog = {FIRST_PLAIN,
				"<e NOOP",
				"<f UID FETCH 1:3 (UID FLAGS)",
				"<g UID FETCH 4:* *",
				">* 4 EXISTS",
				">e OK",
				">* 1 FETCH (UID 1 FLAGS ())",
				">* 2 FETCH (UID 2 FLAGS ())",
				">* 3 FETCH (UID 3 FLAGS ())",
				">f OK",
				IS_NEW("4", "4"),
				">* 4 EXPUNGE",
				">* 1 EXPUNGE",
				">g OK",
				"<h UID FETCH 5:* *",
				">h OK",
				"<i UID SEARCH UID 1:4",
				">* SEARCH 2 3",
				">i OK",
				"!end",
				NULL};
	ImapLine line = imap_line_after_sync(dialog);

	again(&line, "selected 7\nflags 1 0 <>\nflags 2 0 <>\nflags 3 0 <>\n" NEW(
			     "4") "vanished 4\npresent 2:3\ndone 7 5 0 2\n");
	imap_line_end(&line);
}

static void
test_flags_without_uid_during_a_sync_are_news_after_it(void)
{
	static Dialog dialog = {FIRST_PLAIN,
				"<e NOOP",
				"<f UID FETCH 1:3 (UID FLAGS)",
				"<g UID FETCH 4:* *",
				">e OK",
				">* 1 FETCH (UID 1 FLAGS ())",
				">* 2 FETCH (UID 2 FLAGS ())",
				">* 3 FETCH (UID 3 FLAGS ())",
				">* 1 FETCH (FLAGS (\\Seen))",
				"!pause",
				">f OK",
				">g OK",
				"!end",
				NULL};
	ImapLine line = imap_line_after_sync(dialog);
	Request *second;

	imap_client_start(line.client, sync_request(line.client, &line.client->state));
	/* A second one could not tell whose answers are whose. */
	second = sync_request(line.client, &line.client->state);
	g_assert_false(line.client->backend->ops->can_start(line.client->backend, second));
	request_free(second);
	imap_client_pump(line.client, 200, NULL, NULL);
	g_assert_cmpstr(line.client->news->str, ==, "");
	peer_go(line.peer);
	imap_client_finish(line.client, NULL);
	g_assert_cmpstr(line.client->news->str, ==, "changed INBOX\n");
	imap_line_end(&line);
}

static void
test_another_numbering_than_the_lines_is_examined_again(void)
{
	static Dialog dialog = {FIRST_PLAIN,
				"<e EXAMINE \"INBOX\"",
				"<f UID FETCH 9:* *",
				OPENED("0", "9", "9"),
				">e OK",
				">f OK",
				"!end",
				NULL};
	const MailboxState other = {.uidvalidity = 9, .uidnext = 9, .count = 0};
	ImapLine line = imap_line_after_sync(dialog);

	imap_client_run(line.client, sync_request(line.client, &other));
	imap_client_assert_log(line.client, "selected 9\npresent \ndone 9 9 0 0\n");
	imap_line_end(&line);
}

static void
test_an_open_mailbox_that_is_numbered_anew_ends_the_line(void)
{
	static Dialog dialog = {FIRST_PLAIN,
				"<e NOOP",
				"<f UID FETCH *",
				"<g UID FETCH *",
				">* OK [UIDVALIDITY 8] surprise",
				"!end",
				NULL};
	ImapLine line = imap_line_after_sync(dialog);

	again(&line, "done PROTOCOL\n");
	imap_line_end(&line);
}

/* Batches
 * ---------------------------------------------------------------------------------------------------------
 */

enum { MANY = 1500 };

static void
many_messages(PeerLine *line, gpointer user)
{
	static Dialog before = {IMAP_PEER_LOGIN(""), "<c EXAMINE *", NULL};
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *examine = NULL;

	imap_peer_dialog(line, (gpointer)before);
	examine = g_strdup(peer_tag(line));
	peer_expect(line, "TAG UID FETCH 1:* *");
	peer_send(line, "* %d EXISTS", MANY);
	peer_send(line, "* OK [UIDVALIDITY 7]");
	peer_send(line, "%s OK", examine);
	for (guint i = 1; i <= MANY; i++)
		g_string_append_printf(text, "* %u FETCH (UID %u FLAGS () RFC822.SIZE 1)\r\n", i,
				       i);
	peer_send_bytes(line, text->str, text->len);
	peer_pause(line);
	peer_send(line, "TAG OK");
	peer_expect_close(line);
}

static void
count_batch(gpointer user)
{
	(*(guint *)user)++;
}

static void
skip_selected(gpointer user, const MailboxState *now)
{
}

static void
skip_message(gpointer user, const MessageInfo *info)
{
}

static void
skip_done(gpointer user, const MailboxState *state, const GError *error)
{
	g_assert_no_error(error);
}

static void
test_a_long_listing_comes_in_batches(void)
{
	static const RequestEvents events = {.selected = skip_selected,
					     .message = skip_message,
					     .batch = count_batch,
					     .done = skip_done};
	g_autoptr(Peer) peer = peer_new(many_messages, NULL);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	guint batches = 0;

	imap_client_must_login(client);
	imap_client_start(client, request_new(REQUEST_SYNC, "INBOX", &events, &batches));
	/* All of them before the end: two full batches at least, and one because the line ran dry.
	 */
	imap_client_pump(client, 300, NULL, NULL);
	g_assert_cmpuint(batches, >=, 3);
	peer_go(peer);
	g_assert_true(imap_client_finish(client, NULL));
}

#define ADD(name) g_test_add_func("/imap-sync/" #name, test_##name)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD(a_first_listing_is_one_round_trip);
	ADD(an_empty_mailbox_needs_nothing_else);
	ADD(qresync_tells_all_in_one_round_trip);
	ADD(qresync_that_does_not_add_up_is_checked_by_search);
	ADD(another_uidvalidity_voids_what_was_known);
	ADD(what_comes_before_the_numbering_is_not_believed);
	ADD(condstore_with_the_same_modseq_asks_nothing_more);
	ADD(condstore_asks_for_changes_and_counts);
	ADD(a_server_without_modseq_is_swept);
	ADD(a_sweep_with_a_broken_response_is_checked_by_search);
	ADD(an_empty_search_does_not_empty_a_mailbox_that_has_messages);
	ADD(impossible_uids_alias_nothing);
	ADD(a_uid_told_twice_is_one_message);
	ADD(parameters_that_are_not_understood_are_left_out);
	ADD(a_mailbox_that_is_not_there_is_not_found);
	ADD(a_line_lost_in_the_middle_reports_no_state);
	ADD(icloud_is_not_trusted_with_qresync);
	ADD(a_selected_mailbox_is_not_examined_again);
	ADD(the_number_that_ends_a_command_counts_from_the_next_sync_on);
	ADD(what_noop_finds_late_is_fetched_in_a_second_round);
	ADD(an_expunge_during_a_sync_is_named_by_search);
	ADD(flags_without_uid_during_a_sync_are_news_after_it);
	ADD(another_numbering_than_the_lines_is_examined_again);
	ADD(an_open_mailbox_that_is_numbered_anew_ends_the_line);
	ADD(a_long_listing_comes_in_batches);
	return g_test_run();
}
