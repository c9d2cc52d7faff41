/* SPDX-License-Identifier: MIT */
/* COPY, MOVE and EXPUNGE: what is sent, byte for byte, when it is not, and what is believed
 * of the answers. */
#include <string.h>

#include "base/error.h"
#include "imap-client.h"

/* COPY
 * ----------------------------------------------------------------------------------------------------------
 */

static void
assert_copyuid(const char *code, const char *expected)
{
	g_autofree char *untagged = g_strdup_printf(">* OK [%s] done", code);
	g_autofree char *tagged = g_strdup_printf(">m3 OK [%s] done", code);
	g_autofree char *log = g_strdup_printf("%s\ndone\n", expected);
	const char *const before[] = {IMAP_PEER_LOGIN(" UIDPLUS"),
				      "=m2 EXAMINE \"INBOX\"",
				      ">* OK [UIDVALIDITY 7]",
				      ">m2 OK",
				      "=m3 UID COPY 1:3,5 \"Away\"",
				      untagged,
				      ">m3 OK",
				      "!end",
				      NULL};
	const char *const behind[] = {IMAP_PEER_LOGIN(" UIDPLUS"),
				      "=m2 EXAMINE \"INBOX\"",
				      ">* OK [UIDVALIDITY 7]",
				      ">m2 OK",
				      "=m3 UID COPY 1:3,5 \"Away\"",
				      tagged,
				      "!end",
				      NULL};
	const char *const twice[] = {IMAP_PEER_LOGIN(" UIDPLUS"),
				     "=m2 EXAMINE \"INBOX\"",
				     ">* OK [UIDVALIDITY 7]",
				     ">m2 OK",
				     "=m3 UID COPY 1:3,5 \"Away\"",
				     untagged,
				     tagged,
				     "!end",
				     NULL};

	imap_assert_change(before, REQUEST_COPY, "1:3,5", "Away", log);
	imap_assert_change(behind, REQUEST_COPY, "1:3,5", "Away", log);
	imap_assert_change(twice, REQUEST_COPY, "1:3,5", "Away", log);
}

static void
test_copyuid_is_believed_when_it_can_be_true(void)
{
	static const char unknown[] = "copied 1:3,5 to 0 unknown";

	assert_copyuid("COPYUID 14 1:3,5 7:10", "copied 1:3,5 to 14 7:10");
	assert_copyuid("COPYUID 14 1,2,3,5 7,9,11,4294967295",
		       "copied 1:3,5 to 14 7,9,11,4294967295");
	/* What was not there is not copied. */
	assert_copyuid("COPYUID 14 2,5 7:8", "copied 2,5 to 14 7:8");
	assert_copyuid("COPYUID 14  ", unknown);
	assert_copyuid("COPYUID 14", unknown);
	assert_copyuid("COPYUID", unknown);
	assert_copyuid("COPYUID 14 1:3,5", unknown);
	assert_copyuid("COPYUID 14 1:3,5 7:9", unknown);
	assert_copyuid("COPYUID 14 1:3,5 7:11", unknown);
	assert_copyuid("COPYUID 0 1:3,5 7:10", unknown);
	assert_copyuid("COPYUID 4294967296 1:3,5 7:10", unknown);
	assert_copyuid("COPYUID x 1:3,5 7:10", unknown);
	assert_copyuid("COPYUID 14 5,1:3 7:10", unknown);
	assert_copyuid("COPYUID 14 1:3,5 10:7", unknown);
	assert_copyuid("COPYUID 14 1:3,5 7,7,8,9", unknown);
	assert_copyuid("COPYUID 14 0:3 7:10", unknown);
	assert_copyuid("COPYUID 14 1:3,5 0:3", unknown);
	assert_copyuid("COPYUID 14 1:3,5 4294967295:4294967298", unknown);
	assert_copyuid("COPYUID 14 1:4 7:10", unknown);
	assert_copyuid("COPYUID 14 1:3,6 7:10", unknown);
	assert_copyuid("COPYUID 14 4294967297:4294967299,5 7:10", unknown);
	assert_copyuid("COPYUID 14 1:* 7:10", unknown);
	assert_copyuid("COPYUID 14 1:4294967295 1:4294967295", unknown);
	assert_copyuid("HIGHESTMODSEQ 5", unknown);
}

static void
test_a_missing_target_is_not_found(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"=m2 EXAMINE \"INBOX\"",
				">* OK [UIDVALIDITY 7]",
				">m2 OK",
				"=m3 UID COPY 1 \"Away\"",
				">m3 NO [TRYCREATE] no such thing",
				"!end",
				NULL};
	static Dialog move = {IMAP_PEER_LOGIN(" MOVE"),
			      IMAP_PEER_SELECTED,
			      "=m3 UID MOVE 1 \"Away\"",
			      ">m3 NO [TRYCREATE] no such thing",
			      "!end",
			      NULL};

	imap_assert_change(dialog, REQUEST_COPY, "1", "Away", "done NOT_FOUND\n");
	imap_assert_change(move, REQUEST_MOVE, "1", "Away", "done NOT_FOUND\n");
}

/* MOVE
 * ----------------------------------------------------------------------------------------------------------
 */

static void
test_move_tells_where_to_and_what_left(void)
{
	static Dialog counted = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
				 IMAP_PEER_SELECTED,
				 "=m3 UID MOVE 1:3,5 \"Away\"",
				 ">* OK [COPYUID 14 1:3,5 7:10] moved",
				 ">* 1 EXPUNGE",
				 ">* 1 EXPUNGE",
				 ">* 1 EXPUNGE",
				 ">* 2 EXPUNGE",
				 ">m3 OK done",
				 "!end",
				 NULL};
	/* Fewer than asked for, and nobody says which: a sync has to look. */
	static Dialog fewer = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
			       IMAP_PEER_SELECTED,
			       "=m3 UID MOVE 1:3,5 \"Away\"",
			       ">* 1 EXPUNGE",
			       ">m3 OK done",
			       "!end",
			       NULL};
	static Dialog named = {IMAP_PEER_LOGIN(" ENABLE QRESYNC CONDSTORE MOVE"),
			       "<e ENABLE QRESYNC",
			       ">* ENABLED QRESYNC",
			       ">e OK",
			       "=m3 SELECT \"INBOX\"",
			       ">* 9 EXISTS",
			       ">* OK [UIDVALIDITY 7]",
			       ">m3 OK",
			       "=m4 UID MOVE 1:3,5 \"Away\"",
			       ">* OK [COPYUID 14 1:3,5 7:10] moved",
			       ">* VANISHED 1:5",
			       ">m4 OK done",
			       "!end",
			       NULL};

	/* Somebody else was faster. */
	static Dialog nothing = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
				 IMAP_PEER_SELECTED,
				 "=m3 UID MOVE 1:3,5 \"Away\"",
				 ">m3 OK done",
				 "!end",
				 NULL};

	imap_assert_change(nothing, REQUEST_MOVE, "1:3,5", "Away", "done\n");
	imap_assert_change(counted, REQUEST_MOVE, "1:3,5", "Away",
			   "copied 1:3,5 to 14 7:10\nvanished 1:3,5\ndone\n");
	imap_assert_change(fewer, REQUEST_MOVE, "1:3,5", "Away",
			   "copied 1:3,5 to 0 unknown\ndone\n");
	imap_assert_change(named, REQUEST_MOVE, "1:3,5", "Away",
			   "copied 1:3,5 to 14 7:10\nvanished 1:3,5\ndone\n");
}

static void
test_own_removals_are_news_like_others(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
				IMAP_PEER_SELECTED,
				"=m3 UID MOVE 1 \"Away\"",
				">* OK [COPYUID 14 1 7] moved",
				">* 1 EXPUNGE",
				">m3 OK done",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, imap_client_change(client, REQUEST_MOVE, "INBOX", "1", "Away"));
	/* Once for each piece in which the answer comes. */
	g_assert_true(g_str_has_prefix(client->news->str, "changed INBOX\n"));
}

static void
test_without_move_the_copy_comes_first(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" UIDPLUS"), IMAP_PEER_SELECTED,
				"=m3 UID COPY 1:3,5 \"Away\"", ">m3 OK [COPYUID 14 1:2,5 7:9]",
				/* 3 was not there: it is not marked if it is now. */
				"=m4 UID STORE 1:2,5 +FLAGS.SILENT (\\Deleted)",
				"=m5 UID EXPUNGE 1:2,5", ">m4 OK", ">* 1 EXPUNGE", ">* 1 EXPUNGE",
				">* 2 EXPUNGE", ">m5 OK", "!end", NULL};
	static Dialog refused = {IMAP_PEER_LOGIN(" UIDPLUS"),
				 IMAP_PEER_SELECTED,
				 "=m3 UID COPY 1 \"Away\"",
				 ">m3 NO [OVERQUOTA] full",
				 "!end",
				 NULL};
	static Dialog unmarked = {IMAP_PEER_LOGIN(" UIDPLUS"),
				  IMAP_PEER_SELECTED,
				  "=m3 UID COPY 1 \"Away\"",
				  ">m3 OK [COPYUID 14 1 7]",
				  "=m4 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
				  "=m5 UID EXPUNGE 1",
				  ">m4 NO [NOPERM] no",
				  ">m5 NO no",
				  "!end",
				  NULL};
	/* Perhaps there was nothing to copy: what is not surely copied is not removed. */
	static Dialog untold = {IMAP_PEER_LOGIN(" UIDPLUS"),
				IMAP_PEER_SELECTED,
				"=m3 UID COPY 1 \"Away\"",
				">m3 OK no messages found",
				"!end",
				NULL};
	imap_assert_change(dialog, REQUEST_MOVE, "1:3,5", "Away",
			   "copied 1:2,5 to 14 7:9\nvanished 1:2,5\ndone\n");
	imap_assert_change(refused, REQUEST_MOVE, "1", "Away", "done QUOTA\n");
	imap_assert_change(unmarked, REQUEST_MOVE, "1", "Away", "copied 1 to 14 7\ndone DENIED\n");
	imap_assert_change(untold, REQUEST_MOVE, "1", "Away", "copied 1 to 0 unknown\ndone\n");
}

static void
test_servers_that_offer_more_than_they_do_get_what_they_do(void)
{
	/* Proton Bridge offers UIDPLUS and refuses this. */
	static Dialog kept = {IMAP_PEER_LOGIN(" UIDPLUS"),
			      IMAP_PEER_SELECTED,
			      "=m3 UID COPY 1 \"Away\"",
			      ">m3 OK [COPYUID 14 1 7]",
			      "=m4 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
			      "=m5 UID EXPUNGE 1",
			      ">m4 OK",
			      ">m5 NO UID EXPUNGE",
			      "!end",
			      NULL};
	static Dialog zimbra = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
				IMAP_PEER_SELECTED,
				"=m3 UID MOVE 1 \"Away\"",
				">m3 BAD command not permitted with UID",
				"=m4 UID COPY 1 \"Away\"",
				">m4 OK [COPYUID 14 1 7]",
				"=m5 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
				"=m6 UID EXPUNGE 1",
				">m5 OK",
				">* 1 EXPUNGE",
				">m6 OK",
				"!end",
				NULL};

	imap_assert_change(kept, REQUEST_MOVE, "1", "Away", "copied 1 to 14 7\nmarked 1\ndone\n");
	imap_assert_change(zimbra, REQUEST_MOVE, "1", "Away",
			   "copied 1 to 14 7\nvanished 1\ndone\n");
}

static void
test_after_no_what_is_known_is_told(void)
{
	static Dialog half = {IMAP_PEER_LOGIN(" MOVE"),
			      IMAP_PEER_SELECTED,
			      "=m3 UID MOVE 1:3,5 \"Away\"",
			      ">* OK [COPYUID 14 1:2 7:8] moved",
			      ">* 1 EXPUNGE",
			      ">* 1 EXPUNGE",
			      ">m3 NO [OVERQUOTA] full",
			      "!end",
			      NULL};
	static Dialog silent_half = {IMAP_PEER_LOGIN(" MOVE"),
				     IMAP_PEER_SELECTED,
				     "=m3 UID MOVE 1:3,5 \"Away\"",
				     ">* 1 EXPUNGE",
				     ">m3 NO [OVERQUOTA] full",
				     "!end",
				     NULL};
	static Dialog untouched = {IMAP_PEER_LOGIN(" MOVE"),
				   IMAP_PEER_SELECTED,
				   "=m3 UID MOVE 1:3,5 \"Away\"",
				   ">m3 NO [OVERQUOTA] full",
				   "!end",
				   NULL};

	imap_assert_change(half, REQUEST_MOVE, "1:3,5", "Away",
			   "copied 1:2 to 14 7:8\ndone UNKNOWN_OUTCOME\n");
	imap_assert_change(silent_half, REQUEST_MOVE, "1:3,5", "Away", "done UNKNOWN_OUTCOME\n");
	imap_assert_change(untouched, REQUEST_MOVE, "1:3,5", "Away", "done QUOTA\n");
}

static void
test_a_line_lost_in_a_change_leaves_the_outcome_unknown(void)
{
	static Dialog move = {IMAP_PEER_LOGIN(" MOVE"), IMAP_PEER_SELECTED,
			      "=m3 UID MOVE 1 \"Away\"", "!cut", NULL};
	static Dialog told = {IMAP_PEER_LOGIN(" MOVE"),
			      IMAP_PEER_SELECTED,
			      "=m3 UID MOVE 1 \"Away\"",
			      ">* OK [COPYUID 14 1 7] moved",
			      ">* 1 EXPUNGE",
			      "!cut",
			      NULL};
	static Dialog copy = {IMAP_PEER_LOGIN(""),
			      "=m2 EXAMINE \"INBOX\"",
			      ">* OK [UIDVALIDITY 7]",
			      ">m2 OK",
			      "=m3 UID COPY 1 \"Away\"",
			      "!cut",
			      NULL};
	static Dialog nonsense = {IMAP_PEER_LOGIN(" MOVE"), IMAP_PEER_SELECTED,
				  "=m3 UID MOVE 1 \"Away\"", ">m3 BYE what?", NULL};
	static Dialog expunge = {IMAP_PEER_LOGIN(" UIDPLUS"),
				 IMAP_PEER_SELECTED,
				 "=m3 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
				 "=m4 UID EXPUNGE 1",
				 ">m3 OK",
				 "!cut",
				 NULL};
	/* Not begun: it can be tried again. */
	static Dialog before = {IMAP_PEER_LOGIN(" MOVE"), "=m2 SELECT \"INBOX\"", "!cut", NULL};
	static Dialog bye = {IMAP_PEER_LOGIN(" MOVE"), "=m2 SELECT \"INBOX\"", ">* BYE not now",
			     NULL};

	imap_assert_change(move, REQUEST_MOVE, "1", "Away", "done UNKNOWN_OUTCOME\n");
	imap_assert_change(told, REQUEST_MOVE, "1", "Away",
			   "copied 1 to 14 7\ndone UNKNOWN_OUTCOME\n");
	imap_assert_change(copy, REQUEST_COPY, "1", "Away", "done UNKNOWN_OUTCOME\n");
	imap_assert_change(nonsense, REQUEST_MOVE, "1", "Away", "done UNKNOWN_OUTCOME\n");
	imap_assert_change(expunge, REQUEST_EXPUNGE, "1", NULL, "done UNKNOWN_OUTCOME\n");
	imap_assert_change(before, REQUEST_MOVE, "1", "Away", "done OFFLINE\n");
	imap_assert_change(bye, REQUEST_MOVE, "1", "Away", "done OFFLINE\n");
}

static void
test_each_step_of_a_copied_move_can_be_the_last(void)
{
	static Dialog marking = {IMAP_PEER_LOGIN(""),
				 IMAP_PEER_SELECTED,
				 "=m3 UID COPY 1 \"Away\"",
				 ">m3 OK [COPYUID 14 1 7]",
				 "=m4 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
				 "!cut",
				 NULL};
	static Dialog expunging = {IMAP_PEER_LOGIN(""),
				   IMAP_PEER_SELECTED,
				   "=m3 UID COPY 1 \"Away\"",
				   ">m3 OK [COPYUID 14 1 7]",
				   "=m4 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
				   ">m4 OK",
				   "=m5 UID SEARCH DELETED",
				   ">* SEARCH 1",
				   ">m5 OK",
				   "=m6 EXPUNGE",
				   "!cut",
				   NULL};
	/* The name has not left us, so nothing was copied. */
	static Dialog waiting = {">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready",
				 "<a AUTHENTICATE PLAIN AHUAc2VjcmV0",
				 ">a OK [CAPABILITY IMAP4rev1] in",
				 "=m2 EXAMINE \"INBOX\"",
				 ">* OK [UIDVALIDITY 7]",
				 ">m2 OK",
				 "=m3 UID COPY 1 {1}",
				 "!cut",
				 NULL};

	imap_assert_change(marking, REQUEST_MOVE, "1", "Away",
			   "copied 1 to 14 7\ndone UNKNOWN_OUTCOME\n");
	imap_assert_change(expunging, REQUEST_MOVE, "1", "Away",
			   "copied 1 to 14 7\ndone UNKNOWN_OUTCOME\n");
	imap_assert_change(waiting, REQUEST_COPY, "1", "\xff", "done OFFLINE\n");
}

/* EXPUNGE
 * -------------------------------------------------------------------------------------------------------
 */

static void
test_expunge_removes_exactly_what_was_asked_for(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" UIDPLUS"),
				IMAP_PEER_SELECTED,
				"=m3 UID STORE 1:3,5 +FLAGS.SILENT (\\Deleted)",
				"=m4 UID EXPUNGE 1:3,5",
				">m3 OK",
				">* 1 EXPUNGE",
				">* 1 EXPUNGE",
				">* 1 EXPUNGE",
				">* 2 EXPUNGE",
				">m4 OK",
				"!end",
				NULL};

	imap_assert_change(dialog, REQUEST_EXPUNGE, "1:3,5", NULL, "vanished 1:3,5\ndone\n");
}

static void
test_expunge_that_was_not_done_is_asked_for_once_more(void)
{
	static Dialog rest = {IMAP_PEER_LOGIN(" UIDPLUS"),
			      IMAP_PEER_SELECTED,
			      "=m3 UID STORE 1:3 +FLAGS.SILENT (\\Deleted)",
			      "=m4 UID EXPUNGE 1:3",
			      ">m3 OK",
			      ">* 1 EXPUNGE",
			      ">m4 OK",
			      "=m5 UID EXPUNGE 1:3",
			      ">* 1 EXPUNGE",
			      ">* 1 EXPUNGE",
			      ">m5 OK",
			      "!end",
			      NULL};
	static Dialog never = {IMAP_PEER_LOGIN(" UIDPLUS"),
			       IMAP_PEER_SELECTED,
			       "=m3 UID STORE 1:3 +FLAGS.SILENT (\\Deleted)",
			       "=m4 UID EXPUNGE 1:3",
			       ">m3 OK",
			       ">m4 OK",
			       "=m5 UID EXPUNGE 1:3",
			       ">m5 OK",
			       "!end",
			       NULL};

	static Dialog named = {IMAP_PEER_LOGIN(" ENABLE QRESYNC CONDSTORE UIDPLUS"),
			       "<b ENABLE QRESYNC",
			       ">* ENABLED QRESYNC",
			       ">b OK",
			       "=m3 SELECT \"INBOX\"",
			       ">* 9 EXISTS",
			       ">* OK [UIDVALIDITY 7]",
			       ">m3 OK",
			       "=m4 UID STORE 1:3 +FLAGS.SILENT (\\Deleted)",
			       "=m5 UID EXPUNGE 1:3",
			       ">m4 OK",
			       ">* VANISHED 2",
			       ">m5 OK",
			       "=m6 UID EXPUNGE 1,3",
			       ">* VANISHED 3",
			       ">m6 OK",
			       "!end",
			       NULL};

	imap_assert_change(rest, REQUEST_EXPUNGE, "1:3", NULL, "vanished 1:3\ndone\n");
	/* Hidden then, if it is still there. */
	imap_assert_change(named, REQUEST_EXPUNGE, "1:3", NULL,
			   "vanished 2\nvanished 3\nmarked 1\ndone\n");
	imap_assert_change(never, REQUEST_EXPUNGE, "1:3", NULL, "marked 1:3\ndone\n");
}

/* 1 to 3 were marked before; another client has saved 2 since. */
static void
test_what_was_marked_before_is_not_marked_again(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				IMAP_PEER_SELECTED,
				"=m3 UID STORE 5 +FLAGS.SILENT (\\Deleted)",
				">m3 OK",
				"=m4 UID SEARCH DELETED",
				">* SEARCH 1 3 5",
				">m4 OK",
				"=m5 EXPUNGE",
				">* 1 EXPUNGE",
				">* 2 EXPUNGE",
				">* 3 EXPUNGE",
				">m5 OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	Request *request = imap_client_change(client, REQUEST_EXPUNGE, "INBOX", "1:3,5", NULL);

	request->marked = uidset_new();
	uidset_add(request->marked, 1, 3);
	imap_client_must_login(client);
	imap_client_run(client, request);
	imap_client_assert_log(client, "vanished 1,3,5\ndone\n");
}

/* A server without UIDPLUS; @found is what carries \Deleted. */
static void
assert_guarded(const char *found, gboolean expunged, const char *expected)
{
	const char *const safe[] = {IMAP_PEER_LOGIN(""),
				    IMAP_PEER_SELECTED,
				    "=m3 UID STORE 1:3,5 +FLAGS.SILENT (\\Deleted)",
				    ">m3 OK",
				    "=m4 UID SEARCH DELETED",
				    found,
				    ">m4 OK",
				    "=m5 EXPUNGE",
				    ">* 1 EXPUNGE",
				    ">* 1 EXPUNGE",
				    ">* 1 EXPUNGE",
				    ">* 2 EXPUNGE",
				    ">m5 OK",
				    "!end",
				    NULL};
	const char *const unsafe[] = {IMAP_PEER_LOGIN(""),
				      IMAP_PEER_SELECTED,
				      "=m3 UID STORE 1:3,5 +FLAGS.SILENT (\\Deleted)",
				      ">m3 OK",
				      "=m4 UID SEARCH DELETED",
				      found,
				      ">m4 OK",
				      "!end",
				      NULL};

	imap_assert_change(expunged ? safe : unsafe, REQUEST_EXPUNGE, "1:3,5", NULL, expected);
}

static void
test_without_uidplus_nobody_elses_mail_goes(void)
{
	static const char marked[] = "marked 1:3,5\ndone\n";

	assert_guarded(">* SEARCH 1 2 3 5", TRUE, "vanished 1:3,5\ndone\n");
	assert_guarded(">* SEARCH 5 3 2 1", TRUE, "vanished 1:3,5\ndone\n");
	assert_guarded(">* SEARCH 1 2 3 4 5", FALSE, marked);
	assert_guarded(">* SEARCH 1 2 3 5 4294967297", FALSE, marked);
	assert_guarded(">* SEARCH 1 2 3 5 (((", FALSE, marked);
	assert_guarded(">* SEARCH 1 2 3 x 5", FALSE, marked);
	assert_guarded(">* 9 EXISTS", FALSE, marked);
	/* Gone already, by another client's hand. */
	assert_guarded(">* SEARCH", FALSE, "done\n");
}

static void
test_without_uidplus_a_move_is_guarded_too(void)
{
	static Dialog foreign = {IMAP_PEER_LOGIN(""),
				 IMAP_PEER_SELECTED,
				 "=m3 UID COPY 1 \"Away\"",
				 ">m3 OK",
				 "=m4 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
				 ">m4 OK",
				 "=m5 UID SEARCH DELETED",
				 ">* SEARCH 1 8",
				 ">m5 OK",
				 "!end",
				 NULL};
	static Dialog refused = {IMAP_PEER_LOGIN(""),
				 IMAP_PEER_SELECTED,
				 "=m3 UID COPY 1 \"Away\"",
				 ">m3 OK",
				 "=m4 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
				 ">m4 OK",
				 "=m5 UID SEARCH DELETED",
				 ">m5 NO not now",
				 "!end",
				 NULL};
	static Dialog extended = {IMAP_PEER_LOGIN(" ESEARCH"),
				  IMAP_PEER_SELECTED,
				  "=m3 UID COPY 1 \"Away\"",
				  ">m3 OK",
				  "=m4 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
				  ">m4 OK",
				  "=m5 UID SEARCH RETURN (ALL) DELETED",
				  ">* ESEARCH (TAG \"m5\") UID ALL 1",
				  ">m5 OK",
				  "=m6 EXPUNGE",
				  ">* 1 EXPUNGE",
				  ">m6 OK",
				  "!end",
				  NULL};
	static Dialog lost = {IMAP_PEER_LOGIN(""),
			      IMAP_PEER_SELECTED,
			      "=m3 UID COPY 1 \"Away\"",
			      ">m3 OK",
			      "=m4 UID STORE 1 +FLAGS.SILENT (\\Deleted)",
			      ">m4 OK",
			      "=m5 UID SEARCH DELETED",
			      "!cut",
			      NULL};

	imap_assert_change(foreign, REQUEST_MOVE, "1", "Away",
			   "copied 1 to 0 unknown\nmarked 1\ndone\n");
	imap_assert_change(refused, REQUEST_MOVE, "1", "Away",
			   "copied 1 to 0 unknown\nmarked 1\ndone\n");
	imap_assert_change(extended, REQUEST_MOVE, "1", "Away",
			   "copied 1 to 0 unknown\nvanished 1\ndone\n");
	imap_assert_change(lost, REQUEST_MOVE, "1", "Away",
			   "copied 1 to 0 unknown\nmarked 1\ndone OFFLINE\n");
}

/* Dovecot does: the answers to both come before the end of the first. */
static void
test_what_travels_together_is_told_apart_by_its_source(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
				"=m2 SELECT \"INBOX\"",
				">* 9 EXISTS",
				">* OK [UIDVALIDITY 7]",
				">* OK [UIDNEXT 20]",
				">m2 OK",
				"=m3 UID MOVE 2 \"Away\"",
				">* OK [COPYUID 14 2 5] moved",
				">* 1 EXPUNGE",
				">m3 OK",
				"=m4 UID MOVE 9 \"Away\"",
				"=m5 UID MOVE 3 \"Other\"",
				">* OK [COPYUID 14 9 6] moved",
				">* OK [COPYUID 15 3 10] moved",
				">* 5 EXPUNGE",
				">* 2 EXPUNGE",
				">m4 OK",
				">m5 OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, imap_client_change(client, REQUEST_MOVE, "INBOX", "2", "Away"));
	g_string_truncate(client->log, 0);
	imap_client_start(client, imap_client_change(client, REQUEST_MOVE, "INBOX", "9", "Away"));
	imap_client_start(client, imap_client_change(client, REQUEST_MOVE, "INBOX", "3", "Other"));
	g_assert_true(imap_client_finish(client, NULL));
	imap_client_assert_log(client, "copied 9 to 14 6\ncopied 3 to 15 10\n"
				       "vanished 9\ndone\ndone\n");
}

/* The line
 * ------------------------------------------------------------------------------------------------------
 */

static void
test_changes_keep_out_of_the_way_of_syncs(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
				IMAP_PEER_SELECTED,
				"=m3 UID MOVE 1 \"Away\"",
				"!pause",
				">m3 OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	const BackendOps *ops;
	Request *move, *sync, *fetch, *elsewhere;

	imap_client_must_login(client);
	ops = client->backend->ops;
	move = imap_client_change(client, REQUEST_MOVE, "INBOX", "2", "Away");
	elsewhere = imap_client_change(client, REQUEST_MOVE, "Other", "2", "Away");
	sync = imap_client_request(client, REQUEST_SYNC, "INBOX");
	sync->known.uidvalidity = 7;
	fetch = imap_client_fetch(client, "INBOX", 7, "1");
	imap_client_start(client, imap_client_change(client, REQUEST_MOVE, "INBOX", "1", "Away"));
	g_assert_false(ops->can_start(client->backend, move)); /* SELECT is under way */
	imap_client_pump(client, 200, NULL, NULL);
	g_assert_true(ops->can_start(client->backend, move));
	g_assert_true(ops->can_start(client->backend, fetch));
	g_assert_false(ops->can_start(client->backend, sync));
	g_assert_false(ops->can_start(client->backend, elsewhere));
	peer_go(peer);
	g_assert_true(imap_client_finish(client, NULL));
	g_assert_true(ops->can_start(client->backend, sync));
	request_free(move);
	request_free(sync);
	request_free(fetch);
	request_free(elsewhere);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/imap-change/copyuid-is-believed-when-it-can-be-true",
			test_copyuid_is_believed_when_it_can_be_true);
	g_test_add_func("/imap-change/a-missing-target-is-not-found",
			test_a_missing_target_is_not_found);
	g_test_add_func("/imap-change/move-tells-where-to-and-what-left",
			test_move_tells_where_to_and_what_left);
	g_test_add_func("/imap-change/own-removals-are-news-like-others",
			test_own_removals_are_news_like_others);
	g_test_add_func("/imap-change/without-move-the-copy-comes-first",
			test_without_move_the_copy_comes_first);
	g_test_add_func("/imap-change/servers-that-offer-more-than-they-do-get-what-they-do",
			test_servers_that_offer_more_than_they_do_get_what_they_do);
	g_test_add_func("/imap-change/after-no-what-is-known-is-told",
			test_after_no_what_is_known_is_told);
	g_test_add_func("/imap-change/a-line-lost-in-a-change-leaves-the-outcome-unknown",
			test_a_line_lost_in_a_change_leaves_the_outcome_unknown);
	g_test_add_func("/imap-change/each-step-of-a-copied-move-can-be-the-last",
			test_each_step_of_a_copied_move_can_be_the_last);
	g_test_add_func("/imap-change/expunge-removes-exactly-what-was-asked-for",
			test_expunge_removes_exactly_what_was_asked_for);
	g_test_add_func("/imap-change/what-travels-together-is-told-apart-by-its-source",
			test_what_travels_together_is_told_apart_by_its_source);
	g_test_add_func("/imap-change/expunge-that-was-not-done-is-asked-for-once-more",
			test_expunge_that_was_not_done_is_asked_for_once_more);
	g_test_add_func("/imap-change/what-was-marked-before-is-not-marked-again",
			test_what_was_marked_before_is_not_marked_again);
	g_test_add_func("/imap-change/without-uidplus-nobody-elses-mail-goes",
			test_without_uidplus_nobody_elses_mail_goes);
	g_test_add_func("/imap-change/without-uidplus-a-move-is-guarded-too",
			test_without_uidplus_a_move_is_guarded_too);
	g_test_add_func("/imap-change/changes-keep-out-of-the-way-of-syncs",
			test_changes_keep_out_of_the_way_of_syncs);
	return g_test_run();
}
