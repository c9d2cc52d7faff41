/* SPDX-License-Identifier: MIT */
/* The range in which new messages are asked for; and which mailbox that is about. */
#include "imap-sync-dialog.h"

/* "n:*" would bring the last known message again, which can cost the server more than all the rest.
 */
static void
test_new_ones_far_above_the_known_are_asked_for_too(void)
{
	static Dialog far = {QRESYNC,
			     "<c EXAMINE *",
			     "<d UID FETCH 4:65539 " NEW_ITEMS,
			     OPENED("5", "7", "70001"),
			     MODSEQ("60"),
			     ">c OK",
			     IS_NEW("4", "65539"),
			     ">d OK",
			     "<e UID FETCH 65540:? " NEW_ITEMS,
			     IS_NEW("5", "70000"),
			     ">e OK",
			     "!end",
			     NULL};
	static Dialog silent = {QRESYNC,
				"<c EXAMINE *",
				"<d UID FETCH 4:65539 *",
				">* 4 EXISTS",
				">* OK [UIDVALIDITY 7] UIDs valid",
				MODSEQ("60"),
				">c OK",
				">d OK",
				"<e UID FETCH 4:? *",
				IS_NEW("4", "70000"),
				">e OK",
				"!end",
				NULL};
	static Dialog refused = {QRESYNC,
				 "<c EXAMINE *",
				 "<d UID FETCH 4:65539 *",
				 OPENED("4", "7", "5"),
				 MODSEQ("60"),
				 ">c OK",
				 ">d BAD no such messages",
				 "<e UID FETCH 4:? *",
				 IS_NEW("4", "4"),
				 ">e OK",
				 "!end",
				 NULL};

	assert_sync(far, &known_three,
		    "selected 7\n" NEW("65539") NEW("70000") "done 7 70001 60 5\n");
	assert_sync(silent, &known_three, "selected 7\n" NEW("70000") "done 7 70001 60 4\n");
	assert_sync(refused, &known_three, "selected 7\n" NEW("4") "done 7 5 60 4\n");
}

/* 4 to 6 were copied here over another line; when the flags of all known ones are asked for, this
 * line has not looked for news yet. */
static void
test_what_a_line_has_not_seen_yet_is_not_gone(void)
{
	static Dialog dialog = {FIRST_PLAIN,
				"<e NOOP",
				"<f UID FETCH 1:6 (UID FLAGS)",
				"<g UID FETCH 7:? *",
				">* 1 FETCH (UID 1 FLAGS ())",
				">* 2 FETCH (UID 2 FLAGS ())",
				">* 3 FETCH (UID 3 FLAGS ())",
				">* 6 EXISTS",
				">e OK",
				">f OK",
				">g OK",
				"<h UID FETCH 4:6 (UID FLAGS)",
				"<i UID FETCH 7:? *",
				">* 4 FETCH (UID 4 FLAGS ())",
				">* 5 FETCH (UID 5 FLAGS (\\Deleted))",
				">* 6 FETCH (UID 6 FLAGS ())",
				">h OK",
				IS_NEW("6", "6"),
				">i OK",
				"!end",
				NULL};
	static const MailboxState known_six = {.uidvalidity = 7, .uidnext = 7, .count = 6};
	ImapLine line = imap_line_after_sync(dialog);

	imap_client_run(line.client, sync_request(line.client, &known_six));
	imap_client_assert_log(line.client, "selected 7\nflags 1 0 <>\nflags 2 0 <>\nflags 3 0 <>\n"
					    "flags 4 0 <>\nflags 5 0x8 <>\nflags 6 0 <>\n"
					    "present 1:6\ndone 7 7 0 6\n");
	imap_line_end(&line);
}

#define LOOK_EARLY(a, b, c, since)                                                                 \
	"<" a " NOOP", "<" b " UID FETCH 1:4 (UID FLAGS) (CHANGEDSINCE " since " VANISHED)",       \
		"<" c " UID FETCH 5:? *"
#define FIRST_OF_THREE                                                                             \
	QRESYNC, "<c EXAMINE *", "<d UID FETCH 1:? *", OPENED("3", "7", "4"), MODSEQ("50"),        \
		">c OK", IS_NEW("1", "1"), IS_NEW("2", "2"), IS_NEW("3", "3"), ">d OK"

static const MailboxState known_four = {
	.uidvalidity = 7, .uidnext = 5, .highestmodseq = 50, .count = 4};

/* 4 was copied here over another line, and somebody has marked it before this line looked for news:
 * to this line it is new, with that mark. */
static void
test_what_is_known_and_new_to_the_line_is_asked_about(void)
{
	static Dialog dialog = {FIRST_OF_THREE,
				LOOK_EARLY("e", "f", "g", "50"),
				IS_NEW("3", "3"),
				">* 5 EXISTS",
				">e OK",
				">f OK",
				">g OK [HIGHESTMODSEQ 62] done",
				"<h UID FETCH 1:4 (UID FLAGS) (CHANGEDSINCE 50 VANISHED)",
				"<i UID FETCH 5:? *",
				">* 4 FETCH (UID 4 FLAGS (\\Deleted) MODSEQ (62))",
				">h OK",
				IS_NEW("5", "5"),
				">i OK",
				"!end",
				NULL};
	ImapLine line = imap_line_after_sync(dialog);
	Request *request = sync_request(line.client, &known_four);

	request->told_modseq = 62;
	imap_client_run(line.client, request);
	imap_client_assert_log(line.client,
			       "selected 7\nflags 4 0x8 <>\n" NEW("5") "done 7 6 62 5\n");
	imap_line_end(&line);
}

/* It comes to an end where a server tells of something new each time: but what came last was not
 * asked about. */
static void
test_what_comes_at_the_very_end_is_left_to_the_next_sync(void)
{
	static Dialog dialog = {FIRST_OF_THREE,
				LOOK_EARLY("e", "f", "g", "50"),
				">* 4 EXISTS",
				">e OK",
				">f OK",
				">g OK",
				"<h UID FETCH 1:4 *",
				"<i UID FETCH 5:? *",
				">h OK",
				">* 5 EXISTS",
				">i OK",
				"<j UID FETCH 1:4 *",
				"<k UID FETCH 5:? *",
				">j OK",
				IS_NEW("5", "5"),
				">* 6 EXISTS",
				">k OK",
				"<l UID FETCH 1:4 *",
				"<m UID FETCH 6:? *",
				">l OK",
				IS_NEW("6", "6"),
				">* 7 EXISTS",
				">m OK",
				"<n UID SEARCH RETURN (ALL) UID 1:6",
				">* ESEARCH (TAG \"n\") UID ALL 1:6",
				">n OK",
				"!end",
				NULL};
	ImapLine line = imap_line_after_sync(dialog);
	Request *request = sync_request(line.client, &known_four);

	request->told_modseq = 62;
	imap_client_run(line.client, request);
	imap_client_assert_log(line.client,
			       "selected 7\n" NEW("5") NEW("6") "present 1:4\ndone 7 7 50 6\n");
	g_assert_cmpstr(line.client->news->str, ==, "changed INBOX\n");
	imap_line_end(&line);
}

/* The one that was selected under that name has been renamed; the new one was never asked about, so
 * that no numbering tells the two apart. */
static void
test_a_doubtful_selection_is_opened_anew(void)
{
	static Dialog dialog = {QRESYNC,
				"<c EXAMINE \"INBOX\" (CONDSTORE)",
				"<d UID FETCH 1:? *",
				OPENED("1", "7", "4"),
				MODSEQ("50"),
				">c OK",
				IS_NEW("1", "3"),
				">d OK",
				"<e EXAMINE \"INBOX\" (CONDSTORE)",
				"<f UID FETCH 1:? *",
				OPENED("1", "8", "2"),
				MODSEQ("9"),
				">e OK",
				IS_NEW("1", "1"),
				">f OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, sync_request(client, NULL));
	g_assert_true(client->backend->told);
	client->backend->doubtful = TRUE;
	imap_client_run(client, sync_request(client, NULL));
	g_assert_true(client->backend->told && !client->backend->doubtful);
	imap_client_assert_log(client,
			       "selected 7\n" NEW("3") "done 7 4 50 1\n"
						       "selected 8\n" NEW("1") "done 8 2 9 1\n");
}

static void
test_a_doubtful_selection_is_left_by_a_line_at_rest(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" UNSELECT"),
				"<c EXAMINE \"INBOX\"",
				"<d UID FETCH 1:? *",
				OPENED("0", "7", "4"),
				">c OK",
				">d OK",
				"<e UNSELECT",
				">e OK",
				"<f EXAMINE \"INBOX\"",
				"<g UID FETCH 1:? *",
				OPENED("0", "8", "1"),
				">f OK",
				">g OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, sync_request(client, NULL));
	client->backend->doubtful = TRUE;
	imap_client_pump(client, 200, NULL, NULL);
	g_assert_null(client->backend->selected);
	g_assert_false(client->backend->doubtful);
	imap_client_run(client, sync_request(client, NULL));
	imap_client_assert_log(client, "selected 7\ndone 7 4 0 0\n"
				       "selected 8\ndone 8 1 0 0\n");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/imap-sync-range/new_ones_far_above_the_known_are_asked_for_too",
			test_new_ones_far_above_the_known_are_asked_for_too);
	g_test_add_func("/imap-sync-range/what-a-line-has-not-seen-yet-is-not-gone",
			test_what_a_line_has_not_seen_yet_is_not_gone);
	g_test_add_func("/imap-sync-range/what-is-known-and-new-to-the-line-is-asked-about",
			test_what_is_known_and_new_to_the_line_is_asked_about);
	g_test_add_func("/imap-sync-range/what-comes-at-the-very-end-is-left-to-the-next-sync",
			test_what_comes_at_the_very_end_is_left_to_the_next_sync);
	g_test_add_func("/imap-sync-range/a-doubtful-selection-is-opened-anew",
			test_a_doubtful_selection_is_opened_anew);
	g_test_add_func("/imap-sync-range/a-doubtful-selection-is-left-by-a-line-at-rest",
			test_a_doubtful_selection_is_left_by_a_line_at_rest);
	return g_test_run();
}
