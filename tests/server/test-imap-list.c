/* SPDX-License-Identifier: MIT */
/* LIST, LSUB, NAMESPACE and QUOTA against servers that do it each their own way. */
#include <string.h>

#include "base/error.h"
#include "imap-client.h"

/* One request of @kind against @dialog; its log must be @expected. */
static void
assert_tells(const char *const *dialog, RequestKind kind, const char *mailbox, const char *expected)
{
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, imap_client_request(client, kind, mailbox));
	imap_client_assert_log(client, expected);
}

static void
test_one_command_brings_all_that_the_server_can_tell(void)
{
	static Dialog dialog = {
		IMAP_PEER_LOGIN(" LIST-EXTENDED LIST-STATUS SPECIAL-USE"),
		"<b LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES))",
		">* LIST (\\Subscribed \\HasChildren) \"/\" INBOX",
		">* STATUS INBOX (MESSAGES 7)",
		">* LIST (\\Sent) \"/\" \"Sent Items\"",
		">* STATUS \"Sent Items\" (MESSAGES 4294967303)",
		">* LIST (\\Noselect) \"/\" {5}\r\na \"b\"",
		">* LIST (\\NonExistent \\Trash \\Drafts \\Junk \\All \\Archive \\Flagged) \"/\" x "
		"(CHILDINFO (\"SUBSCRIBED\"))",
		">b OK",
		"!end",
		NULL};

	assert_tells(dialog, REQUEST_LIST, NULL,
		     "mailbox INBOX / 0x404 <> 7\nmailbox Sent Items / 0x500 <> -1\nmailbox a "
		     "\"b\" / 0x401 <> -1\n"
		     "mailbox x / 0x6f9 <> -1\ndone\n");
}

static void
test_a_server_without_extensions_is_asked_with_lsub(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<b LIST \"\" \"*\"",
				"<c LSUB \"\" \"*\"",
				">* LIST () \".\" inbox",
				">* LIST () \".\" inbox.Old",
				">* LSUB () \".\" INBOX.Old",
				">* LSUB () \".\" inbox.Old",
				">* LSUB () \".\" gone",
				">b OK",
				">c OK",
				"!end",
				NULL};

	assert_tells(dialog, REQUEST_LIST, NULL,
		     "mailbox INBOX . 0x400 <> -1\nmailbox inbox.Old . 0x404 <> -1\ndone\n");
}

static void
test_options_that_are_offered_but_not_meant_are_done_without(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" LIST-EXTENDED"),
				"<b LIST \"\" \"*\" RETURN (SUBSCRIBED)",
				">b BAD what?",
				"<c LIST \"\" \"*\"",
				"<d LSUB \"\" \"*\"",
				">* LIST () NIL INBOX",
				">c OK",
				">d NO never heard of it",
				"!end",
				NULL};

	assert_tells(dialog, REQUEST_LIST, NULL, "mailbox INBOX 0 0x400 <> -1\ndone\n");
}

static void
test_a_refused_list_is_an_error(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(""),
				"<b LIST *",
				"<c LSUB *",
				">b NO [UNAVAILABLE] later",
				">c OK",
				"!end",
				NULL};

	assert_tells(dialog, REQUEST_LIST, NULL, "done LIMIT\n");
}

static void
test_namespaces_are_listed_and_told_apart(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" NAMESPACE LIST-EXTENDED"),
				"<b NAMESPACE",
				">* NAMESPACE ((\"INBOX.\" \".\")(\"#mh/\" \"/\" \"X\" (\"y\"))) "
				"((\"Other Users.\" \".\")) "
				"((\"Shared.\" \".\"))",
				">b OK",
				"<c LIST \"\" \"*\" RETURN (SUBSCRIBED)",
				"<d LIST \"\" \"#mh/*\" RETURN (SUBSCRIBED)",
				"<e LIST \"\" \"Other Users.*\" RETURN (SUBSCRIBED)",
				"<f LIST \"\" \"Shared.*\" RETURN (SUBSCRIBED)",
				">* LIST () \".\" INBOX",
				">* LIST () \".\" INBOX.Sent",
				">* LIST () \".\" Inbox.Other",
				">* LIST (\\Noselect) \".\" \"Other Users\"",
				">* LIST () \".\" Shared.news",
				">* LIST () \".\" INBOXES",
				">c OK",
				">* LIST () \"/\" #mh/x",
				">d OK",
				">* LIST () \".\" \"Other Users.bob\"",
				">e OK",
				">* LIST () \".\" Shared.news",
				">f NO not today",
				"!end",
				NULL};

	assert_tells(dialog, REQUEST_LIST, NULL,
		     "mailbox INBOX . 0x400 <> -1\nmailbox INBOX.Sent . 0x400 <INBOX.> -1\n"
		     "mailbox Inbox.Other . 0x400 <INBOX.> -1\nmailbox Other Users . 0x1 <> -1\n"
		     "mailbox Shared.news . 0 <> -1\nmailbox INBOXES . 0x400 <> -1\n"
		     "mailbox #mh/x / 0x400 <#mh/> -1\nmailbox Other Users.bob . 0 <> -1\ndone\n");
}

static void
test_odd_names_and_answers_are_survived(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" LIST-EXTENDED"),
				"<b LIST \"\" \"*\" *",
				">* LIST (\\Noselect) \"/\" \"\"",
				">* LIST (\\Noselect) \"/\" \"dir/\"",
				">* LIST () \"/\" dir",
				">* LIST () \"/\" twice",
				">* LIST () \"/\" twice",
				">* LIST () \"\" none",
				">* LIST () \"//\" odd",
				">* LIST () \"\\\\\" \"back\\\\slash\"",
				">* LIST",
				">* LIST ()",
				">* LIST () \"/\"",
				">* LIST ((((( \"/\" x",
				">* LIST \"/\" x",
				">* LIST () \"/\" {3}\r\na\r\n",
				">* LIST () \"/\" NIL",
				">* LIST () \"/\" 42",
				">* LIST () \"/\" [Gmail]/All",
				">b OK",
				"!end",
				NULL};

	assert_tells(dialog, REQUEST_LIST, NULL,
		     "mailbox dir / 0x400 <> -1\nmailbox twice / 0x400 <> -1\nmailbox none 0 0x400 "
		     "<> -1\n"
		     "mailbox odd 0 0x400 <> -1\nmailbox back\\slash \\ 0x400 <> -1\nmailbox a\r\n "
		     "/ 0x400 <> -1\n"
		     "mailbox NIL / 0x400 <> -1\nmailbox 42 / 0x400 <> -1\nmailbox [Gmail]/All / "
		     "0x400 <> -1\ndone\n");
}

static void
test_quota_is_told_in_octets(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" QUOTA"),
				"<b GETQUOTAROOT \"INBOX\"",
				">* QUOTAROOT INBOX \"\" \"second\"",
				">* QUOTA \"\" (MESSAGE 5 100 STORAGE 10 512)",
				">* QUOTA second (STORAGE 1 2)",
				">b OK",
				"!end",
				NULL};

	assert_tells(dialog, REQUEST_QUOTA, "INBOX", "quota 10240 524288\ndone\n");
}

static void
test_no_quota_is_no_error(void)
{
	static Dialog without = {IMAP_PEER_LOGIN(""), "!end", NULL};
	static Dialog none = {IMAP_PEER_LOGIN(" QUOTA"),
			      "<b GETQUOTAROOT *",
			      ">* QUOTAROOT INBOX",
			      ">b OK",
			      "!end",
			      NULL};
	static Dialog wrap = {IMAP_PEER_LOGIN(" QUOTA"),
			      "<b GETQUOTAROOT *",
			      ">* QUOTA \"\" (STORAGE 1 18446744073709551615)",
			      ">* QUOTA \"\" (STORAGE -1 5)",
			      ">b OK",
			      "!end",
			      NULL};

	assert_tells(without, REQUEST_QUOTA, "INBOX", "done\n");
	assert_tells(none, REQUEST_QUOTA, "INBOX", "done\n");
	assert_tells(wrap, REQUEST_QUOTA, "INBOX", "done\n");
}

static void
test_control_characters_in_a_mailbox_send_nothing(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" QUOTA"), "!end", NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	gsize before;

	imap_client_must_login(client);
	before = peer_received(peer);
	imap_client_run(client,
			imap_client_request(client, REQUEST_QUOTA, "evil\r\nX1 DELETE INBOX"));
	imap_client_run(client, imap_client_request(client, REQUEST_SYNC, "evil\nX1 DELETE INBOX"));
	imap_client_run(client, imap_client_fetch(client, "evil\r\nX1 DELETE INBOX", 1, "1"));
	imap_client_assert_log(client, "done INVALID\ndone INVALID\ndone INVALID\n");
	g_assert_null(client->backend->selected);
	imap_client_pump(client, 100, NULL, NULL);
	g_assert_cmpuint(peer_received(peer), ==, before);
}

static void
test_a_mailbox_name_that_needs_a_literal_is_fed_to_a_plain_server(void)
{
	static Dialog dialog = {">* OK [CAPABILITY IMAP4rev1] ready",
				"<a LOGIN u secret",
				">a OK [CAPABILITY IMAP4rev1 QUOTA] in",
				"<b GETQUOTAROOT {4}",
				">+ go on",
				"=\xff\xfe\"x",
				"<c LIST \"\" \"*\"",
				"<d LSUB \"\" \"*\"",
				">b OK",
				">c OK",
				">d OK",
				"<e GETQUOTAROOT {4}",
				">e NO no such thing",
				"<f NOOP",
				">f OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	gint64 later = g_get_monotonic_time() + G_TIME_SPAN_HOUR;

	imap_client_must_login(client);
	imap_client_start(client, imap_client_request(client, REQUEST_QUOTA, "\xff\xfe\"x"));
	imap_client_run(client, imap_client_request(client, REQUEST_LIST, NULL));
	imap_client_run(client, imap_client_request(client, REQUEST_QUOTA, "\xff\xfe\"x"));
	g_assert_error(client->error, MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED);
	/* Nothing is left of the piece that was not wanted. */
	g_assert_cmpint(client->backend->ops->tick(client->backend, later, NULL), >, later);
	imap_client_pump(client, 200, NULL, NULL);
}

#define ADD(name) g_test_add_func("/imap-list/" #name, test_##name)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD(one_command_brings_all_that_the_server_can_tell);
	ADD(a_server_without_extensions_is_asked_with_lsub);
	ADD(options_that_are_offered_but_not_meant_are_done_without);
	ADD(a_refused_list_is_an_error);
	ADD(namespaces_are_listed_and_told_apart);
	ADD(odd_names_and_answers_are_survived);
	ADD(quota_is_told_in_octets);
	ADD(no_quota_is_no_error);
	ADD(control_characters_in_a_mailbox_send_nothing);
	ADD(a_mailbox_name_that_needs_a_literal_is_fed_to_a_plain_server);
	return g_test_run();
}
