/* SPDX-License-Identifier: MIT */
/* SEARCH: what is asked, byte for byte, and whose answers are believed. */
#include <string.h>

#include "base/error.h"
#include "imap-client.h"

#define EXAMINED "<x EXAMINE \"INBOX\"", ">* 9 EXISTS", ">* OK [UIDVALIDITY 7] UIDs valid", ">x OK"

/* Takes @term. */
static Request *
search_for(ImapClient *client, SearchTerm *term)
{
	Request *request = imap_client_request(client, REQUEST_SEARCH, "INBOX");

	request->uidvalidity = 7;
	request->terms = g_ptr_array_new_with_free_func(search_term_free);
	g_ptr_array_add(request->terms, term);
	return request;
}

static SearchTerm *
text(const char *words)
{
	return search_term_new(SEARCH_TEXT, FALSE, 0, words);
}

/* A search for @term (taken) against @dialog; its log must be @expected. */
static void
assert_search(const char *const *dialog, SearchTerm *term, const char *expected)
{
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, search_for(client, term));
	imap_client_assert_log(client, expected);
}

static void
test_an_old_server_is_asked_plainly(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<x EXAMINE \"INBOX\"",
				"<y UID SEARCH TEXT word",
				">* 9 EXISTS",
				">* OK [UIDVALIDITY 7]",
				">x OK",
				">* SEARCH 9 3 4 5",
				">* SEARCH 4294967295 0 -1 4294967296 x",
				">y OK",
				"!end",
				NULL};

	assert_search(dialog, text("word"), "found 3:5,9,4294967295\ndone\n");
}

static void
test_esearch_answers_in_ranges(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" ESEARCH"),
				"<x EXAMINE \"INBOX\"",
				"<y UID SEARCH RETURN (ALL) TEXT word",
				">* 9 EXISTS",
				">* OK [UIDVALIDITY 7]",
				">x OK",
				">* ESEARCH (TAG \"m1\") UID ALL 3:5,9 MODSEQ 17",
				">y OK",
				"!end",
				NULL};

	assert_search(dialog, text("word"), "found 3:5,9\ndone\n");
}

static void
test_nothing_found_is_no_error(void)
{
	static Dialog plain = {IMAP_PEER_LOGIN(""),
			       "<x EXAMINE *",
			       "<y UID SEARCH *",
			       ">* OK [UIDVALIDITY 7]",
			       ">x OK",
			       ">* SEARCH",
			       ">y OK",
			       "!end",
			       NULL};
	static Dialog silent = {IMAP_PEER_LOGIN(""),
				"<x EXAMINE *",
				"<y UID SEARCH *",
				">* OK [UIDVALIDITY 7]",
				">x OK",
				">y OK",
				"!end",
				NULL};
	static Dialog extended = {IMAP_PEER_LOGIN(" ESEARCH"),
				  "<x EXAMINE *",
				  "<y UID SEARCH *",
				  ">* OK [UIDVALIDITY 7]",
				  ">x OK",
				  ">* ESEARCH (TAG \"m1\") UID",
				  ">y OK",
				  "!end",
				  NULL};

	assert_search(plain, text("word"), "found nothing\ndone\n");
	assert_search(silent, text("word"), "found nothing\ndone\n");
	assert_search(extended, text("word"), "found nothing\ndone\n");
}

static void
test_every_kind_of_term_has_its_words(void)
{
	static const struct {
		SearchKey key;
		gboolean negated;
		guint64 number;
		const char *text, *command;
	} terms[] = {
		{SEARCH_FROM, FALSE, 0, "bob", "FROM bob"},
		{SEARCH_TO, TRUE, 0, "bob", "NOT TO bob"},
		{SEARCH_CC, FALSE, 0, "a b", "CC \"a b\""},
		{SEARCH_BCC, FALSE, 0, "x", "BCC x"},
		{SEARCH_SUBJECT, FALSE, 0, "say \"hi\" \\", "SUBJECT \"say \\\"hi\\\" \\\\\""},
		{SEARCH_BODY, FALSE, 0, "(ALL)", "BODY \"(ALL)\""},
		{SEARCH_TEXT, FALSE, 0, "{5}", "TEXT \"{5}\""},
		{SEARCH_TEXT, FALSE, 0, "nil", "TEXT \"nil\""},
		{SEARCH_TEXT, FALSE, 0, "", "TEXT \"\""},
		{SEARCH_KEYWORD, FALSE, 0, "$Label1", "KEYWORD $Label1"},
		{SEARCH_FLAG, TRUE, MESSAGE_SEEN, NULL, "NOT SEEN"},
		{SEARCH_FLAG, FALSE, MESSAGE_FLAGGED, NULL, "FLAGGED"},
		{SEARCH_FLAG, FALSE, MESSAGE_ANSWERED, NULL, "ANSWERED"},
		{SEARCH_FLAG, FALSE, MESSAGE_DRAFT, NULL, "DRAFT"},
		{SEARCH_FLAG, FALSE, MESSAGE_DELETED, NULL, "DELETED"},
		{SEARCH_SINCE, FALSE, 20260131, NULL, "SINCE 31-Jan-2026"},
		{SEARCH_BEFORE, TRUE, 20261201, NULL, "NOT BEFORE 1-Dec-2026"},
		{SEARCH_ON, FALSE, 19990909, NULL, "ON 9-Sep-1999"},
		{SEARCH_LARGER, FALSE, G_MAXUINT32, NULL, "LARGER 4294967295"},
		{SEARCH_SMALLER, FALSE, 0, NULL, "SMALLER 0"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(terms); i++) {
		g_autofree char *expected = g_strdup_printf("=m3 UID SEARCH %s", terms[i].command);
		const char *const dialog[] = {IMAP_PEER_LOGIN(""),
					      "<x EXAMINE *",
					      expected,
					      ">* OK [UIDVALIDITY 7]",
					      ">x OK",
					      ">* SEARCH 1",
					      ">m3 OK",
					      "!end",
					      NULL};

		assert_search(dialog,
			      search_term_new(terms[i].key, terms[i].negated, terms[i].number,
					      terms[i].text),
			      "found 1\ndone\n");
	}
}

static void
test_text_outside_ascii_goes_as_utf_8_in_a_literal(void)
{
	static Dialog plus = {IMAP_PEER_LOGIN(""),
			      "<x EXAMINE *",
			      "<y UID SEARCH CHARSET UTF-8 TEXT {6+}",
			      "=会議",
			      ">* OK [UIDVALIDITY 7]",
			      ">x OK",
			      ">* SEARCH 1",
			      ">y OK",
			      "!end",
			      NULL};
	static Dialog waits = {">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready",
			       "<a AUTHENTICATE PLAIN AHUAc2VjcmV0",
			       ">a OK [CAPABILITY IMAP4rev1] in",
			       "<x EXAMINE *",
			       "<y UID SEARCH CHARSET UTF-8 TEXT {6}",
			       ">* OK [UIDVALIDITY 7]",
			       ">x OK",
			       ">+ go on",
			       "=会議",
			       ">* SEARCH 1",
			       ">y OK",
			       "!end",
			       NULL};

	assert_search(plus, text("会議"), "found 1\ndone\n");
	assert_search(waits, text("会議"), "found 1\ndone\n");
}

static void
test_a_server_that_cannot_says_so(void)
{
	static Dialog charset = {IMAP_PEER_LOGIN(""),
				 "<x EXAMINE *",
				 "<y UID SEARCH CHARSET UTF-8 TEXT {6+}",
				 "=会議",
				 ">* OK [UIDVALIDITY 7]",
				 ">x OK",
				 ">y NO [BADCHARSET (US-ASCII)] no",
				 "!end",
				 NULL};
	static Dialog never = {IMAP_PEER_LOGIN(""),
			       "<x EXAMINE *",
			       "<y UID SEARCH *",
			       ">* OK [UIDVALIDITY 7]",
			       ">x OK",
			       ">y BAD what?",
			       "!end",
			       NULL};
	/* The literal is never sent. */
	static Dialog early = {">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready",
			       "<a AUTHENTICATE PLAIN AHUAc2VjcmV0",
			       ">a OK [CAPABILITY IMAP4rev1] in",
			       "<x EXAMINE *",
			       "<y UID SEARCH CHARSET UTF-8 TEXT {6}",
			       ">* OK [UIDVALIDITY 7]",
			       ">x OK",
			       ">y NO [BADCHARSET] no",
			       "!end",
			       NULL};

	assert_search(charset, text("会議"), "done UNSUPPORTED\n");
	assert_search(never, text("word"), "done UNSUPPORTED\n");
	assert_search(early, text("会議"), "done UNSUPPORTED\n");
}

static void
test_what_cannot_be_sent_is_not(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<x EXAMINE *",
				">* OK [UIDVALIDITY 7]",
				">x OK",
				"!end",
				NULL};

	assert_search(dialog, text("a\r\nm9 DELETE INBOX"), "done INVALID\n");
	assert_search(dialog, text("a\nb"), "done INVALID\n");
	assert_search(dialog, search_term_new(SEARCH_KEYWORD, FALSE, 0, "a b"), "done INVALID\n");
	assert_search(dialog, search_term_new(SEARCH_KEYWORD, FALSE, 0, "a) OR (ALL"),
		      "done INVALID\n");
}

static void
test_another_numbering_finds_nothing(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<x EXAMINE *",
				"<y UID SEARCH *",
				">* OK [UIDVALIDITY 8]",
				">x OK",
				">* SEARCH 1 2",
				">y OK",
				"!end",
				NULL};

	assert_search(dialog, text("word"), "done STALE\n");
}

static void
test_an_answer_that_is_nonsense_is_none(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<x EXAMINE *",
				"<y UID SEARCH *",
				">* OK [UIDVALIDITY 7]",
				">x OK",
				">* SEARCH 1 (((",
				">y OK",
				"!end",
				NULL};
	static Dialog lost = {IMAP_PEER_LOGIN(""),
			      "<x EXAMINE *",
			      "<y UID SEARCH *",
			      ">* OK [UIDVALIDITY 7]",
			      ">x OK",
			      ">* SEARCH 1",
			      "!cut",
			      NULL};

	assert_search(dialog, text("word"), "done PROTOCOL\n");
	assert_search(lost, text("word"), "done OFFLINE\n");
}

static void
test_a_line_has_one_search_at_a_time(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				EXAMINED,
				"<y UID SEARCH TEXT one",
				"!pause",
				">* SEARCH 1",
				">y OK",
				"<z UID SEARCH TEXT two",
				">* SEARCH 2",
				">z OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	Request *second, *sync;

	imap_client_must_login(client);
	imap_client_start(client, search_for(client, text("one")));
	imap_client_pump(client, 200, NULL, NULL);
	second = search_for(client, text("two"));
	sync = imap_client_request(client, REQUEST_SYNC, "INBOX");
	sync->known.uidvalidity = 7;
	g_assert_false(client->backend->ops->can_start(client->backend, second));
	g_assert_false(client->backend->ops->can_start(client->backend, sync));
	request_free(sync);
	peer_go(peer);
	g_assert_true(imap_client_finish(client, NULL));
	imap_client_run(client, second);
	imap_client_assert_log(client, "found 1\ndone\nfound 2\ndone\n");
}

static void
test_a_plain_answer_is_cut_into_pieces_that_fit(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<x EXAMINE \"INBOX\"",
				"<y UID SEARCH TEXT one",
				">* OK [UIDVALIDITY 7]",
				">* OK [UIDNEXT 250001]",
				">x OK",
				">* SEARCH 1",
				">y OK",
				"<a UID SEARCH UID 1:100000 TEXT two",
				"<b UID SEARCH UID 100001:200000 TEXT two",
				"<c UID SEARCH UID 200001:250000 TEXT two",
				">* SEARCH 1",
				">a OK",
				">* SEARCH",
				">b OK",
				">* SEARCH 250000",
				">c OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, search_for(client, text("one")));
	imap_client_run(client, search_for(client, text("two")));
	imap_client_assert_log(client, "found 1\ndone\nfound 1,250000\ndone\n");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/imap-search/an-old-server-is-asked-plainly",
			test_an_old_server_is_asked_plainly);
	g_test_add_func("/imap-search/esearch-answers-in-ranges", test_esearch_answers_in_ranges);
	g_test_add_func("/imap-search/nothing-found-is-no-error", test_nothing_found_is_no_error);
	g_test_add_func("/imap-search/every-kind-of-term-has-its-words",
			test_every_kind_of_term_has_its_words);
	g_test_add_func("/imap-search/text-outside-ascii-goes-as-utf-8-in-a-literal",
			test_text_outside_ascii_goes_as_utf_8_in_a_literal);
	g_test_add_func("/imap-search/a-server-that-cannot-says-so",
			test_a_server_that_cannot_says_so);
	g_test_add_func("/imap-search/what-cannot-be-sent-is-not", test_what_cannot_be_sent_is_not);
	g_test_add_func("/imap-search/another-numbering-finds-nothing",
			test_another_numbering_finds_nothing);
	g_test_add_func("/imap-search/an-answer-that-is-nonsense-is-none",
			test_an_answer_that_is_nonsense_is_none);
	g_test_add_func("/imap-search/a-line-has-one-search-at-a-time",
			test_a_line_has_one_search_at_a_time);
	g_test_add_func("/imap-search/a-plain-answer-is-cut-into-pieces-that-fit",
			test_a_plain_answer_is_cut_into_pieces_that_fit);
	return g_test_run();
}
