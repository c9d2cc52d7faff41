/* SPDX-License-Identifier: MIT */
/* CREATE, DELETE and RENAME: what is asked before, and what comes with it. */
#include <string.h>

#include "base/error.h"
#include "imap-client.h"

static void
assert_folders(const char *const *dialog, RequestKind kind, const char *mailbox, const char *target,
	       const char *expected)
{
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, imap_client_change(client, kind, mailbox, NULL, target));
	imap_client_assert_log(client, expected);
}

/* CREATE
 * --------------------------------------------------------------------------------------------------------
 */

static void
test_create_subscribes_and_tells_the_mailbox(void)
{
	static Dialog plain = {IMAP_PEER_LOGIN(""),
			       "=m2 CREATE \"a/b c\"",
			       ">m2 OK made",
			       "=m3 SUBSCRIBE \"a/b c\"",
			       "=m4 LIST \"\" \"a/b c\"",
			       ">m3 NO not that",
			       ">* LIST () \"/\" \"a/b c\"",
			       ">m4 OK",
			       "!end",
			       NULL};
	static Dialog extended = {IMAP_PEER_LOGIN(" LIST-EXTENDED SPECIAL-USE LIST-STATUS"),
				  "=m2 CREATE \"a*\"",
				  ">m2 OK made",
				  "=m3 SUBSCRIBE \"a*\"",
				  "=m4 LIST \"\" \"a*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS "
				  "(MESSAGES))",
				  ">m3 OK",
				  ">* LIST (\\Subscribed) \"/\" \"abc\"",
				  ">* LIST (\\Subscribed) \"/\" \"a*\"",
				  ">* STATUS \"a*\" (MESSAGES 0)",
				  ">m4 OK",
				  "!end",
				  NULL};
	static Dialog unseen = {IMAP_PEER_LOGIN(""),
				"=m2 CREATE \"x\"",
				">m2 OK made",
				"=m3 SUBSCRIBE \"x\"",
				"=m4 LIST \"\" \"x\"",
				">m3 OK",
				">m4 BAD no",
				"!end",
				NULL};

	assert_folders(plain, REQUEST_CREATE, "a/b c", NULL, "mailbox a/b c / 0x404 <> -1\ndone\n");
	assert_folders(extended, REQUEST_CREATE, "a*", NULL, "mailbox a* / 0x404 <> 0\ndone\n");
	assert_folders(unseen, REQUEST_CREATE, "x", NULL, "done\n");
}

static void
test_a_refused_create_says_why(void)
{
	static Dialog exists = {IMAP_PEER_LOGIN(""), "=m2 CREATE \"x\"",
				">m2 NO [ALREADYEXISTS] no", "!end", NULL};
	static Dialog words = {IMAP_PEER_LOGIN(""), "=m2 CREATE \"x\"",
			       ">m2 NO Mailbox already exists", "!end", NULL};
	static Dialog denied = {IMAP_PEER_LOGIN(""), "=m2 CREATE \"x\"", ">m2 NO [NOPERM] no",
				"!end", NULL};
	static Dialog invalid = {IMAP_PEER_LOGIN(""), "=m2 CREATE \"x\"", ">m2 NO [CANNOT] no",
				 "!end", NULL};
	static Dialog lost = {IMAP_PEER_LOGIN(""), "=m2 CREATE \"x\"", "!cut", NULL};
	static Dialog after = {IMAP_PEER_LOGIN(""),
			       "=m2 CREATE \"x\"",
			       ">m2 OK",
			       "=m3 *",
			       "=m4 LIST *",
			       "!cut",
			       NULL};

	assert_folders(exists, REQUEST_CREATE, "x", NULL, "done EXISTS\n");
	assert_folders(words, REQUEST_CREATE, "x", NULL, "done EXISTS\n");
	assert_folders(denied, REQUEST_CREATE, "x", NULL, "done DENIED\n");
	assert_folders(invalid, REQUEST_CREATE, "x", NULL, "done INVALID\n");
	assert_folders(lost, REQUEST_CREATE, "x", NULL, "done UNKNOWN_OUTCOME\n");
	assert_folders(after, REQUEST_CREATE, "x", NULL, "done\n");
}

/* DELETE
 * --------------------------------------------------------------------------------------------------------
 */

static void
test_only_what_is_empty_is_deleted(void)
{
	static Dialog empty = {IMAP_PEER_LOGIN(""),
			       "=m2 LIST \"\" \"a\"",
			       ">* LIST () \"/\" a",
			       ">m2 OK",
			       "=m3 LIST \"\" \"a/%\"",
			       "=m4 STATUS \"a\" (MESSAGES)",
			       ">m3 OK",
			       ">* STATUS a (MESSAGES 0)",
			       ">m4 OK",
			       "=m5 DELETE \"a\"",
			       ">m5 OK",
			       "=m6 UNSUBSCRIBE \"a\"",
			       ">m6 NO",
			       "!end",
			       NULL};
	static Dialog flat = {IMAP_PEER_LOGIN(""),
			      "=m2 LIST \"\" \"a\"",
			      ">* LIST () NIL a",
			      ">m2 OK",
			      "=m3 STATUS \"a\" (MESSAGES)",
			      ">* STATUS a (MESSAGES 0)",
			      ">m3 OK",
			      "=m4 DELETE \"a\"",
			      ">m4 OK",
			      "=m5 UNSUBSCRIBE \"a\"",
			      ">m5 OK",
			      "!end",
			      NULL};
	static Dialog no_mailbox = {IMAP_PEER_LOGIN(""),
				    "=m2 LIST \"\" \"a\"",
				    ">* LIST (\\Noselect) \"/\" a",
				    ">m2 OK",
				    "=m3 LIST \"\" \"a/%\"",
				    ">m3 OK",
				    "=m4 DELETE \"a\"",
				    ">m4 OK",
				    "=m5 UNSUBSCRIBE \"a\"",
				    ">m5 OK",
				    "!end",
				    NULL};

	assert_folders(empty, REQUEST_DELETE, "a", NULL, "done\n");
	assert_folders(flat, REQUEST_DELETE, "a", NULL, "done\n");
	assert_folders(no_mailbox, REQUEST_DELETE, "a", NULL, "done\n");
}

/* What the server says of what is in "a". The peer sees no DELETE. */
static void
assert_stays(const char *below, const char *status, const char *tagged, const char *expected)
{
	const char *const dialog[] = {IMAP_PEER_LOGIN(""),
				      "=m2 LIST \"\" \"a\"",
				      ">* LIST () \"/\" a",
				      ">m2 OK",
				      "=m3 LIST \"\" \"a/%\"",
				      "=m4 STATUS \"a\" (MESSAGES)",
				      below,
				      ">m3 OK",
				      status,
				      tagged,
				      "!end",
				      NULL};

	assert_folders(dialog, REQUEST_DELETE, "a", NULL, expected);
}

static void
test_what_holds_something_stays(void)
{
	static const char nothing[] = ">* 0 RECENT";
	static Dialog gone = {IMAP_PEER_LOGIN(""), "=m2 LIST \"\" \"a\"", ">m2 OK", "!end", NULL};

	assert_stays(nothing, ">* STATUS a (MESSAGES 1)", ">m4 OK", "done NOT_EMPTY\n");
	assert_stays(nothing, ">* STATUS a ()", ">m4 OK", "done PROTOCOL\n");
	assert_stays(nothing, ">* STATUS b (MESSAGES 0)", ">m4 OK", "done PROTOCOL\n");
	assert_stays(nothing, ">* STATUS a (MESSAGES 4294967296)", ">m4 OK", "done PROTOCOL\n");
	assert_stays(nothing, nothing, ">m4 OK", "done PROTOCOL\n");
	assert_stays(nothing, ">* STATUS a (MESSAGES 0)", ">m4 NO no", "done DENIED\n");
	assert_stays(">* LIST () \"/\" a/b", ">* STATUS a (MESSAGES 0)", ">m4 OK",
		     "done NOT_EMPTY\n");
	assert_stays(">* LIST (\\NonExistent) \"/\" a/b", ">* STATUS a (MESSAGES 0)", ">m4 OK",
		     "done NOT_EMPTY\n");
	assert_folders(gone, REQUEST_DELETE, "a", NULL, "done NOT_FOUND\n");
}

static void
test_the_inbox_stays(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""), "!end", NULL};

	assert_folders(dialog, REQUEST_DELETE, "INBOX", NULL, "done FORBIDDEN\n");
	assert_folders(dialog, REQUEST_DELETE, "inbox", NULL, "done FORBIDDEN\n");
	assert_folders(dialog, REQUEST_RENAME, "Inbox", "x", "done FORBIDDEN\n");
}

/* @dialog begins with an EXAMINE of "a". */
static void
assert_selected(const char *const *dialog, RequestKind kind, const char *target)
{
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	Request *request;

	imap_client_must_login(client);
	imap_client_start(client, imap_client_fetch(client, "a", 7, "1"));
	request = imap_client_change(client, kind, "a", NULL, target);
	g_assert_false(client->backend->ops->can_start(client->backend, request));
	g_assert_true(imap_client_finish(client, NULL));
	imap_client_run(client, request);
	imap_client_assert_log(client, kind == REQUEST_DELETE ? "done\ndone DENIED\n"
							      : "done\ndone EXISTS\n");
	g_assert_cmpstr(client->backend->selected, !=, "a");
}

static void
test_a_selected_mailbox_is_left_without_close(void)
{
	static Dialog unselect = {IMAP_PEER_LOGIN(" UNSELECT"),
				  "=m2 EXAMINE \"a\"",
				  "=m3 UID FETCH *",
				  ">* OK [UIDVALIDITY 7]",
				  ">m2 OK",
				  ">m3 OK",
				  "=m4 UNSELECT",
				  ">m4 OK",
				  "=m5 LIST \"\" \"a\"",
				  ">* LIST () NIL a",
				  ">m5 OK",
				  "=m6 STATUS \"a\" (MESSAGES)",
				  ">* STATUS a (MESSAGES 0)",
				  ">m6 OK",
				  "=m7 DELETE \"a\"",
				  ">m7 NO no",
				  "!end",
				  NULL};
	static Dialog examine = {IMAP_PEER_LOGIN(""),
				 "=m2 EXAMINE \"a\"",
				 "=m3 UID FETCH *",
				 ">* OK [UIDVALIDITY 7]",
				 ">m2 OK",
				 ">m3 OK",
				 "=m4 EXAMINE \"INBOX\"",
				 ">* OK [UIDVALIDITY 9]",
				 ">m4 OK",
				 "=m5 LSUB \"\" \"a*\"",
				 ">m5 OK",
				 "=m6 RENAME \"a\" \"b\"",
				 ">m6 NO [ALREADYEXISTS] no",
				 "!end",
				 NULL};

	assert_selected(unselect, REQUEST_DELETE, NULL);
	assert_selected(examine, REQUEST_RENAME, "b");
}

/* RENAME
 * --------------------------------------------------------------------------------------------------------
 */

static void
test_rename_takes_all_below_along(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"=m2 LSUB \"\" \"a*\"",
				">* LSUB () \"/\" a/sub",
				">* LSUB () \"/\" about",
				">m2 OK",
				"=m3 RENAME \"a\" \"b\"",
				">m3 OK",
				"=m4 LIST \"\" \"b*\"",
				">* LIST () \"/\" b",
				">* LIST () \"/\" b/sub",
				">* LIST () \"/\" better",
				">m4 OK",
				"=m5 SUBSCRIBE \"b/sub\"",
				"=m6 UNSUBSCRIBE \"a/sub\"",
				">m5 OK",
				">m6 NO",
				"!end",
				NULL};
	static Dialog lost = {IMAP_PEER_LOGIN(""), "=m2 LSUB *", ">m2 NO no",
			      "=m3 RENAME *",	   "!cut",	 NULL};
	static Dialog before = {IMAP_PEER_LOGIN(""), "=m2 LSUB *", "!cut", NULL};
	static Dialog after = {
		IMAP_PEER_LOGIN(""), "=m2 LSUB *", ">m2 OK", "=m3 RENAME *", ">m3 OK",
		"=m4 LIST *",	     "!cut",	   NULL};

	assert_folders(dialog, REQUEST_RENAME, "a", "b",
		       "mailbox b / 0x400 <> -1\nmailbox b/sub / 0x404 <> -1\ndone\n");
	assert_folders(lost, REQUEST_RENAME, "a", "b", "done UNKNOWN_OUTCOME\n");
	assert_folders(before, REQUEST_RENAME, "a", "b", "done OFFLINE\n");
	assert_folders(after, REQUEST_RENAME, "a", "b", "done\n");
}

static void
test_what_cannot_be_sent_is_not(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" UNSELECT"), "!end", NULL};
	static const char *const names[] = {"", "evil\r\nX1 DELETE INBOX", "x\n", "\r"};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		assert_folders(dialog, REQUEST_CREATE, names[i], NULL, "done INVALID\n");
		assert_folders(dialog, REQUEST_DELETE, names[i], NULL, "done INVALID\n");
		assert_folders(dialog, REQUEST_RENAME, names[i], "b", "done INVALID\n");
		assert_folders(dialog, REQUEST_RENAME, "a", names[i], "done INVALID\n");
	}
}

static void
test_one_reader_of_lists_at_a_time(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""), "=m2 CREATE *", "!pause",
				">m2 NO no",	     "!end",	     NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	Request *list, *other;

	imap_client_must_login(client);
	imap_client_start(client, imap_client_change(client, REQUEST_CREATE, "x", NULL, NULL));
	list = imap_client_request(client, REQUEST_LIST, NULL);
	other = imap_client_change(client, REQUEST_CREATE, "y", NULL, NULL);
	g_assert_false(client->backend->ops->can_start(client->backend, list));
	g_assert_false(client->backend->ops->can_start(client->backend, other));
	peer_go(peer);
	g_assert_true(imap_client_finish(client, NULL));
	g_assert_true(client->backend->ops->can_start(client->backend, list));
	request_free(list);
	request_free(other);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/imap-folders/create-subscribes-and-tells-the-mailbox",
			test_create_subscribes_and_tells_the_mailbox);
	g_test_add_func("/imap-folders/a-refused-create-says-why", test_a_refused_create_says_why);
	g_test_add_func("/imap-folders/only-what-is-empty-is-deleted",
			test_only_what_is_empty_is_deleted);
	g_test_add_func("/imap-folders/what-holds-something-stays",
			test_what_holds_something_stays);
	g_test_add_func("/imap-folders/the-inbox-stays", test_the_inbox_stays);
	g_test_add_func("/imap-folders/a-selected-mailbox-is-left-without-close",
			test_a_selected_mailbox_is_left_without_close);
	g_test_add_func("/imap-folders/rename-takes-all-below-along",
			test_rename_takes_all_below_along);
	g_test_add_func("/imap-folders/what-cannot-be-sent-is-not",
			test_what_cannot_be_sent_is_not);
	g_test_add_func("/imap-folders/one-reader-of-lists-at-a-time",
			test_one_reader_of_lists_at_a_time);
	return g_test_run();
}
