/* SPDX-License-Identifier: MIT */
/* What the dialogs of a sync are made of, and one sync against such a dialog. */
#pragma once

#include "base/error.h"
#include "imap-client.h"

#define QRESYNC                                                                                    \
	IMAP_PEER_LOGIN(" ENABLE QRESYNC IDLE ESEARCH"), "<b ENABLE QRESYNC",                      \
		">* ENABLED QRESYNC", ">b OK"
#define OPENED(exists, uidvalidity, uidnext)                                                       \
	">* " exists " EXISTS", ">* OK [UIDVALIDITY " uidvalidity "] UIDs valid",                  \
		">* OK [UIDNEXT " uidnext "] next"
#define MODSEQ(number) ">* OK [HIGHESTMODSEQ " number "]"
#define NEW_ITEMS      "(UID FLAGS INTERNALDATE RFC822.SIZE)"
/* A new message as the server tells it, and as the log has it. */
#define IS_NEW(seq, uid)                                                                           \
	">* " seq " FETCH (UID " uid                                                               \
	" FLAGS () INTERNALDATE \"01-Jan-1970 00:00:09 +0000\" RFC822.SIZE 5)"
#define NEW(uid) "message " uid " 0 <> 5 9 none\n"

static const MailboxState known_three = {
	.uidvalidity = 7, .uidnext = 4, .highestmodseq = 50, .count = 3};
G_GNUC_UNUSED static const MailboxState known_plain = {.uidvalidity = 7, .uidnext = 4, .count = 3};

/* A first sync of three messages, of a server that has nothing more than it must. */
#define FIRST_PLAIN                                                                                \
	IMAP_PEER_LOGIN(""), "<c EXAMINE \"INBOX\"", "<d UID FETCH 1:? *", OPENED("3", "7", "4"),  \
		">c OK", IS_NEW("1", "1"), IS_NEW("2", "2"), IS_NEW("3", "3"), ">d OK"

static inline Request *
sync_request(ImapClient *client, const MailboxState *known)
{
	Request *request = imap_client_request(client, REQUEST_SYNC, "INBOX");

	if (known != NULL)
		request->known = *known;
	return request;
}

/* One sync from @known against @dialog. */
static inline void
assert_sync(const char *const *dialog, const MailboxState *known, const char *expected)
{
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, sync_request(client, known));
	imap_client_assert_log(client, expected);
}

/* A line on which @dialog has begun with a first sync; the next one can start from its state. */
static inline ImapLine
imap_line_after_sync(const char *const *dialog)
{
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);

	imap_client_run(line.client, sync_request(line.client, NULL));
	g_string_truncate(line.client->log, 0);
	return line;
}
