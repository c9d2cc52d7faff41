/* SPDX-License-Identifier: MIT */
/* STORE, and what every change has to mind: what a mailbox can keep, whether it is the same one,
 * and whether it may be changed. */
#include <string.h>

#include "base/error.h"
#include "imap-client.h"

static Request *
store(ImapClient *client, const char *uids, guint add, const char *words, guint removed)
{
	Request *request = imap_client_change(client, REQUEST_STORE, "INBOX", uids, NULL);

	request->add = (RequestFlags){add, g_strdup(words)};
	request->remove.flags = removed;
	return request;
}

static void
assert_store(const char *const *dialog, guint add, const char *words, guint removed,
	     const char *expected)
{
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, store(client, "1:3,5", add, words, removed));
	imap_client_assert_log(client, expected);
}

/* Flags
 * ---------------------------------------------------------------------------------------------------------
 */

static void
test_only_the_changed_flags_are_sent(void)
{
	static Dialog both = {IMAP_PEER_LOGIN(""),
			      IMAP_PEER_SELECTED,
			      "=m3 UID STORE 1:3,5 +FLAGS.SILENT (\\Seen \\Flagged work $Later)",
			      "=m4 UID STORE 1:3,5 -FLAGS.SILENT (\\Draft)",
			      ">m3 OK",
			      ">m4 OK",
			      "!end",
			      NULL};
	static Dialog none = {IMAP_PEER_LOGIN(""), IMAP_PEER_SELECTED, "!end", NULL};

	assert_store(both, MESSAGE_SEEN | MESSAGE_FLAGGED, "work $Later", MESSAGE_DRAFT,
		     "stored 1:3,5\ndone\n");
	assert_store(none, 0, " ", 0, "done\n");
}

static void
test_what_the_mailbox_cannot_keep_is_refused(void)
{
	static Dialog no_words = {IMAP_PEER_LOGIN(""),
				  "=m2 SELECT \"INBOX\"",
				  ">* OK [UIDVALIDITY 7]",
				  ">* OK [PERMANENTFLAGS (\\Seen \\Deleted Known)] kept",
				  ">m2 OK",
				  "!end",
				  NULL};
	static Dialog known = {IMAP_PEER_LOGIN(""),
			       "=m2 SELECT \"INBOX\"",
			       ">* OK [UIDVALIDITY 7]",
			       ">* OK [PERMANENTFLAGS (\\Seen Known)] kept",
			       ">m2 OK",
			       "=m3 UID STORE 1:3,5 +FLAGS.SILENT (\\Seen known)",
			       ">m3 OK",
			       "!end",
			       NULL};
	static Dialog any = {IMAP_PEER_LOGIN(""),
			     "=m2 SELECT \"INBOX\"",
			     ">* OK [UIDVALIDITY 7]",
			     ">* OK [PERMANENTFLAGS (\\*)] kept",
			     ">m2 OK",
			     "=m3 UID STORE 1:3,5 +FLAGS.SILENT (work)",
			     ">m3 OK",
			     "!end",
			     NULL};
	static Dialog not_seen = {IMAP_PEER_LOGIN(""),
				  "=m2 SELECT \"INBOX\"",
				  ">* OK [UIDVALIDITY 7]",
				  ">* OK [PERMANENTFLAGS (\\*)] kept",
				  ">m2 OK",
				  "!end",
				  NULL};

	static Dialog no_deleted = {IMAP_PEER_LOGIN(" UIDPLUS"),
				    "=m2 SELECT \"INBOX\"",
				    ">* OK [UIDVALIDITY 7]",
				    ">* OK [PERMANENTFLAGS (\\Seen)] kept",
				    ">m2 OK",
				    "!end",
				    NULL};

	assert_store(no_words, 0, "work", 0, "done UNSUPPORTED\n");
	assert_store(no_words, MESSAGE_FLAGGED, NULL, 0, "done UNSUPPORTED\n");
	assert_store(no_words, 0, NULL, MESSAGE_FLAGGED, "done UNSUPPORTED\n");
	assert_store(known, MESSAGE_SEEN, "known", 0, "stored 1:3,5\ndone\n");
	assert_store(any, 0, "work", 0, "stored 1:3,5\ndone\n");
	assert_store(not_seen, MESSAGE_SEEN, NULL, 0, "done UNSUPPORTED\n");
	/* Nor can a message be moved by marking it. */
	imap_assert_change(no_deleted, REQUEST_MOVE, "1", "Away", "done UNSUPPORTED\n");
	imap_assert_change(no_deleted, REQUEST_EXPUNGE, "1", NULL, "done UNSUPPORTED\n");
}

static void
test_a_large_set_is_cut_and_pipelined(void)
{
	g_autoptr(GString) uids = g_string_new(NULL);
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				IMAP_PEER_SELECTED,
				"<x UID STORE 10000,10002,* +FLAGS.SILENT (\\Seen)",
				"<y UID STORE *,12998,13000 +FLAGS.SILENT (\\Seen)",
				">y NO [LIMIT] no",
				">x OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	for (guint uid = 10000; uid <= 13000; uid += 2)
		g_string_append_printf(uids, "%s%u", uid > 10000 ? "," : "", uid);
	imap_client_must_login(client);
	imap_client_run(client, store(client, uids->str, MESSAGE_SEEN, NULL, 0));
	g_assert_true(g_str_has_prefix(client->log->str, "stored 10000,10002,"));
	g_assert_true(g_str_has_suffix(client->log->str, "\ndone LIMIT\n"));
}

/* What we cause is ours; what others do meanwhile is news. */
static void
test_answers_are_told_and_foreign_ones_are_news(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""), IMAP_PEER_SELECTED,
				"=m3 UID STORE 1:3,5 +FLAGS.SILENT (\\Seen)",
				">* 1 FETCH (UID 1 MODSEQ (12))",
				">* 2 FETCH (UID 2 FLAGS (\\Seen work))", ">m3 OK",
				/* UIDNEXT was not told: it is made to look first. */
				"=m4 NOOP", ">m4 OK", "=m5 UID STORE 1:3,5 +FLAGS.SILENT (\\Seen)",
				">* 8 FETCH (UID 8 FLAGS (\\Flagged))", ">m5 OK", "!end", NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, store(client, "1:3,5", MESSAGE_SEEN, NULL, 0));
	imap_client_assert_log(client, "flags 2 0x1 <work>\nstored 1:3,5\ndone\n");
	g_assert_cmpstr(client->news->str, ==, "");
	imap_client_run(client, store(client, "1:3,5", MESSAGE_SEEN, NULL, 0));
	imap_client_assert_log(client, "stored 1:3,5\ndone\n");
	g_assert_cmpstr(client->news->str, ==, "changed INBOX\n");
}

/* Selecting
 * ------------------------------------------------------------------------------------------------------
 */

static void
test_another_numbering_is_not_touched(void)
{
	/* Nothing is pipelined behind SELECT: the peer would see it instead of the end. */
	static Dialog renumbered = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
				    "=m2 SELECT \"INBOX\"",
				    ">* OK [UIDVALIDITY 8]",
				    ">m2 OK",
				    "!end",
				    NULL};
	static Dialog silent = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"), "=m2 SELECT \"INBOX\"", ">m2 OK",
				"!end", NULL};
	static const RequestKind kinds[] = {REQUEST_STORE, REQUEST_COPY, REQUEST_MOVE,
					    REQUEST_EXPUNGE};

	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
		static Dialog copy = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
				      "=m2 EXAMINE \"INBOX\"",
				      ">* OK [UIDVALIDITY 8]",
				      ">m2 OK",
				      "!end",
				      NULL};

		imap_assert_change(kinds[i] == REQUEST_COPY ? copy : renumbered, kinds[i], "1",
				   "Away", "done STALE\n");
	}
	imap_assert_change(silent, REQUEST_MOVE, "1", "Away", "done STALE\n");
}

static void
test_a_read_only_account_sends_nothing(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"), "!end", NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	for (guint kind = REQUEST_CREATE; kind <= REQUEST_APPEND; kind++) {
		Request *request = imap_client_change(client, kind, "INBOX", "1", "Away");

		client->config.read_only = TRUE;
		imap_client_run(client, request);
		imap_client_assert_log(client, "done READ_ONLY\n");
	}
}

static void
test_a_read_only_mailbox_is_not_changed(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
				"=m2 SELECT \"INBOX\"",
				">* OK [UIDVALIDITY 7]",
				">m2 OK [READ-ONLY] look only",
				"!end",
				NULL};
	static Dialog later = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"),
			       IMAP_PEER_SELECTED,
			       "=m3 UID MOVE 1 \"Away\"",
			       ">* OK [READ-ONLY] from now on",
			       ">m3 NO no",
			       "=m4 SELECT \"INBOX\"",
			       ">* OK [UIDVALIDITY 7]",
			       ">m4 OK [READ-ONLY] look only",
			       "!end",
			       NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)later);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_assert_change(dialog, REQUEST_EXPUNGE, "1", NULL, "done READ_ONLY\n");
	imap_client_must_login(client);
	imap_client_run(client, imap_client_change(client, REQUEST_MOVE, "INBOX", "1", "Away"));
	imap_client_run(client, imap_client_change(client, REQUEST_MOVE, "INBOX", "1", "Away"));
	imap_client_assert_log(client, "done DENIED\ndone READ_ONLY\n");
}

static void
test_reading_examines_and_changing_selects(void)
{
	static Dialog dialog = {
		IMAP_PEER_LOGIN(" MOVE UIDPLUS"), "=m2 EXAMINE \"INBOX\"",
		"=m3 UID FETCH 1 (UID BODY.PEEK[])", ">* OK [UIDVALIDITY 7]", ">* OK [UIDNEXT 9]",
		">m2 OK [READ-ONLY]", ">* 1 FETCH (UID 1 BODY[] {1}", ">x)", ">m3 OK",
		/* Out of an examined mailbox may be copied. */
		"=m4 UID COPY 1 \"Away\"", ">m4 OK [COPYUID 3 1 2]", "=m5 SELECT \"INBOX\"",
		">* OK [UIDVALIDITY 7]", ">* OK [UIDNEXT 9]", ">m5 OK [READ-WRITE]",
		"=m6 UID STORE 1:3,5 +FLAGS.SILENT (\\Seen)", ">m6 OK",
		"=m7 UID FETCH 1 (UID BODY.PEEK[])", ">m7 OK", "=m8 EXAMINE \"Other\"",
		"<x UID FETCH *", ">* OK [UIDVALIDITY 7]", ">* OK [UIDNEXT 9]", ">m8 OK", ">x OK",
		"!end", NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, imap_client_fetch(client, "INBOX", 7, "1"));
	imap_client_run(client, imap_client_change(client, REQUEST_COPY, "INBOX", "1", "Away"));
	imap_client_run(client, store(client, "1:3,5", MESSAGE_SEEN, NULL, 0));
	imap_client_run(client, imap_client_fetch(client, "INBOX", 7, "1"));
	imap_client_run(client, imap_client_fetch(client, "Other", 7, "1"));
	imap_client_assert_log(client, "open 1 <x> body 1 whole\ndone\ncopied 1 to 3 2\ndone\n"
				       "stored 1:3,5\ndone\ndone\ndone\n");
}

static void
test_what_cannot_be_sent_is_not(void)
{
	static const char *const names[] = {"", "x\r\nm9 DELETE INBOX", "x\n", "\r"};
	static const char *const words[] = {"a) +FLAGS (\\Deleted",
					    "\\Deleted",
					    "a\r\nm9 NOOP",
					    "{5}",
					    "\"x\"",
					    "a%",
					    "*",
					    "caf\xc3\xa9",
					    "a\tb",
					    "]"};
	static Dialog dialog = {IMAP_PEER_LOGIN(" MOVE UIDPLUS"), "!end", NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		imap_client_run(client,
				imap_client_change(client, REQUEST_MOVE, "INBOX", "1", names[i]));
		imap_client_assert_log(client, "done INVALID\n");
		imap_client_run(client,
				imap_client_change(client, REQUEST_COPY, names[i], "1", "Away"));
		imap_client_assert_log(client, "done INVALID\n");
	}
	for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
		imap_client_run(client, store(client, "1", 0, words[i], 0));
		imap_client_assert_log(client, "done INVALID\n");
	}
	imap_client_run(client, store(client, "1", MESSAGE_RECENT, NULL, 0));
	imap_client_assert_log(client, "done INVALID\n");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/imap-store/only-the-changed-flags-are-sent",
			test_only_the_changed_flags_are_sent);
	g_test_add_func("/imap-store/what-the-mailbox-cannot-keep-is-refused",
			test_what_the_mailbox_cannot_keep_is_refused);
	g_test_add_func("/imap-store/a-large-set-is-cut-and-pipelined",
			test_a_large_set_is_cut_and_pipelined);
	g_test_add_func("/imap-store/answers-are-told-and-foreign-ones-are-news",
			test_answers_are_told_and_foreign_ones_are_news);
	g_test_add_func("/imap-store/another-numbering-is-not-touched",
			test_another_numbering_is_not_touched);
	g_test_add_func("/imap-store/a-read-only-account-sends-nothing",
			test_a_read_only_account_sends_nothing);
	g_test_add_func("/imap-store/a-read-only-mailbox-is-not-changed",
			test_a_read_only_mailbox_is_not_changed);
	g_test_add_func("/imap-store/reading-examines-and-changing-selects",
			test_reading_examines_and_changing_selects);
	g_test_add_func("/imap-store/what-cannot-be-sent-is-not", test_what_cannot_be_sent_is_not);
	return g_test_run();
}
