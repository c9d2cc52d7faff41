/* SPDX-License-Identifier: MIT */
/* The POP3 line (RFC 1939, 2449, 2595, 5034): a Backend with the one mailbox INBOX, the maildrop.
 * It takes LIST, SYNC, FETCH, HEADERS and EXPUNGE. QUOTA and STATUS tell nothing; all else is
 * UNSUPPORTED.
 *
 * A POP3 server has no UIDs. It calls messages by a number that is good for one session and, as a
 * rule, by a name that lasts (UIDL). PopNumbers, which the floor above keeps on disk, is where a
 * lasting UID is found for them. Where UIDL is missing, tells a name twice, or tells but the
 * numbers of the session, and where a name is new, a message is known by its header: so a server
 * that names all of them anew shows nothing twice. The header is looked at again before a body is
 * believed and before a message is deleted.
 *
 * The server locks the maildrop for as long as a line is open. So a line leaves when nothing was
 * asked of it for `linger_ms`, and what it knows is how the maildrop was when it logged in: a SYNC
 * asks for a new line. Only one line may be open: pool.h sees to it. */
#pragma once

#include "proto/backend.h"

G_BEGIN_DECLS

#define POP_IDENTITY_BYTES 32
#define POP_MAILBOX	   "INBOX"
#define POP_LINGER_MS	   3000 /* for BackendConfig.linger_ms */

/* What makes a message known: two halves of 16 octets, digests of its Message-ID (of the half that
 * follows where it has none), and of its Date, From, Subject and Received header fields (of the
 * whole header where it has none of the five). Two messages may have the same. */
typedef struct {
	guint8 bytes[POP_IDENTITY_BYTES];
} PopIdentity;

/* A message of the maildrop. */
typedef struct {
	const char *key; /* what the server calls it, from session to session, more or less: 1 to
			    256 bytes, none of them a control character. No two in one session */
	guint64 size;	 /* as LIST tells, octets; often wrong; 0: not told */

	/* For look_up() to fill; all 0 where the key is not known. */
	guint32 uid;
	guint64 known_size; /* as LIST told when it was last given or changed */
	PopIdentity identity;
} PopMessage;

/* Lasting numbers for the messages of one maildrop. Called on the session's thread, of one line at
 * a time; may wait for the local disk. */
struct PopNumbers {
	/* Begins with a session. The same UIDVALIDITY (not 0) as long as the numbers are those that
	 * were given; another one when they are lost. @uidnext_out: above every number ever given,
	 * those of messages that are gone as well. Errors: G_FILE_ERROR. */
	gboolean (*open)(gpointer user, guint32 *uidvalidity_out, guint32 *uidnext_out,
			 GError **error);

	/* Fills the last three fields of each. Errors: G_FILE_ERROR. */
	gboolean (*look_up)(gpointer user, PopMessage *messages, guint n, GError **error);

	/* A number for a message that has this identity, and @message's key and size from now on:
	 * the lowest of those that have the identity and are not in @taken (other messages of this
	 * session), else a new one, which is higher than any ever given. Who had the key before
	 * has it no more. Returns 0 with an error: G_FILE_ERROR, LIMIT (no number is left).
	 *
	 * A number must not be given a second time, whenever the power fails: either it is on disk
	 * no later than anything that is told of the message afterwards, or all of that is void
	 * with it. */
	guint32 (*give)(gpointer user, const PopMessage *message, const PopIdentity *identity,
			const UidSet *taken, GError **error);

	/* LIST tells another size of a message that has been looked at, and is the same. */
	void (*resize)(gpointer user, guint32 uid, guint64 size);

	/* All of the maildrop was looked at: @present are in it. The others may be forgotten. */
	void (*settle)(gpointer user, const UidSet *present);

	gpointer user;
};

/* What differs from IMAP in the words of request.h:
 *
 * SYNC     message() comes with flags 0, no keywords, the size that LIST told, date G_MININT64 (it
 *	    is in the header), `uidl`, and always with a header: the fields Date, From, Subject,
 *	    Message-ID and the topmost Received, as they stand in it, whatever want_header says.
 *	    Where the server has no TOP, or refuses it, the whole message had to be fetched: then
 *	    body_open(), body_data() and body_done() follow its message(), where those slots are
 *	    set. Known messages have no flags() told; present() names those that are left.
 * FETCH    @announced is what LIST told: an estimate. body_done() with an error when the server
 *	    refuses this one message, or sends another one.
 * HEADERS  as FETCH; nothing comes of a message that is refused. At most 256 KiB of a header.
 * EXPUNGE  done by a line of its own: looks at each message, sends DELE, then QUIT. vanished() when
 *	    the server has said +OK to that, and of those that are not there any more. When the line
 *	    is lost after the first DELE: UNKNOWN_OUTCOME; most likely nothing was deleted. Messages
 *	    that are not what the listing said are left where they are: STALE. `marked` is of no
 *	    meaning.
 *
 * Errors of login() beyond those of backend.h: BUSY ([IN-USE]: another client has the maildrop),
 * LIMIT ([LOGIN-DELAY], [SYS/TEMP]).
 *
 * @config and @news are borrowed and outlive the backend. @config->numbers is set. Does no I/O. */
Backend *pop_backend_new(const BackendConfig *config, const BackendNews *news, gpointer user);

G_END_DECLS
