/* SPDX-License-Identifier: MIT */
/* A Request is one piece of work for a server, in words that fit IMAP and POP3. Whoever makes it
 * says what it wants in the fields and gets its answers through the events, on the thread of the
 * session that serves it (or the pool's caller when it fails at once). Events must not block on the
 * network and must not call back into the session; they may submit further requests. `done` comes
 * exactly once, last, and ends the request: the server's side frees it after. */
#pragma once

#include "base/error.h"
#include "base/message.h"
#include "base/uidset.h"

G_BEGIN_DECLS

typedef enum {
	REQUEST_LIST,	 /* mailboxes: event mailbox */
	REQUEST_SYNC,	 /* bring the listing of `mailbox` from `known` to now: selected, then
			    message/flags/vanished/present, batch */
	REQUEST_FETCH,	 /* whole bodies of `uids`, BODY.PEEK[]: body_open, body_data, body_done */
	REQUEST_PART,	 /* octets of the body of the one UID in `uids`: part_open, part_data,
			    part_done, probed; only where BackendOps.parts is set */
	REQUEST_HEADERS, /* whole header blocks of `uids`, BODY.PEEK[HEADER]: header */
	REQUEST_STATUS, /* the numbers of `mailboxes`, in one round trip: told as BackendNews.status
			 */
	REQUEST_QUOTA,	/* GETQUOTAROOT of `mailbox`: quota */
	REQUEST_SEARCH, /* the messages of `mailbox` that fulfil all of `terms`: found */

	/* What follows changes something. Before a byte is sent it is refused with READ_ONLY on a
	 * read-only account and with INVALID where a name or keyword cannot be sent. When the line
	 * is lost while the server may be at it, the error is UNKNOWN_OUTCOME, and nobody but the
	 * requester tries again. Events that came before an error hold. */
	REQUEST_CREATE,	 /* `mailbox`, and subscribe to it: mailbox (not when the server does not
			    list it). EXISTS */
	REQUEST_DELETE,	 /* `mailbox`, which the server has just said to hold no message, and
			    unsubscribe from it. NOT_EMPTY also where there are mailboxes below it;
			    DENIED for INBOX */
	REQUEST_RENAME,	 /* `mailbox` to `target`, with all below it: mailbox for each of them.
			    EXISTS; DENIED for INBOX */
	REQUEST_STORE,	 /* `add` to the flags of `uids` and take `remove` away: stored. UNSUPPORTED
			    when the mailbox cannot keep one of them */
	REQUEST_COPY,	 /* `uids` to `target`: copied. NOT_FOUND when there is no target */
	REQUEST_MOVE,	 /* `uids` to `target`: copied, then vanished or marked; as COPY */
	REQUEST_EXPUNGE, /* delete `uids` for good: vanished or marked */
	REQUEST_APPEND,	 /* `messages` to `mailbox`: appended. NOT_FOUND when there is no mailbox */
} RequestKind;

gboolean request_kind_changes(RequestKind kind);
/* It works in the selected mailbox, by UIDs that are good for `uidvalidity` only. */
gboolean request_kind_selects(RequestKind kind);

/* Flags to be set or removed. */
typedef struct {
	guint32 flags;	/* MessageFlags without MESSAGE_RECENT */
	char *keywords; /* space-separated atoms, owned; NULL: none */
} RequestFlags;

/* A message to be stored. Its bytes are sent as they are, exactly @size of them: CRLF line ends are
 * the caller's business. */
typedef struct {
	int fd;	       /* owned, read from its beginning with pread(); -1: see bytes */
	GBytes *bytes; /* owned; NULL where fd is given */
	guint64 size;  /* octets, 1..2^32-1 */
	RequestFlags flags;
	gint64 date; /* INTERNALDATE, seconds since 1970 UTC; G_MININT64: when it arrives */
} AppendMessage;

AppendMessage *append_message_new(int fd, GBytes *bytes, guint64 size); /* takes both */
void append_message_free(gpointer message);

/* What a search asks of a message. */
typedef enum {
	SEARCH_TEXT, /* `text`, UTF-8: anywhere in header or body */
	SEARCH_FROM,
	SEARCH_TO,
	SEARCH_CC,
	SEARCH_BCC,
	SEARCH_SUBJECT,
	SEARCH_BODY,
	SEARCH_KEYWORD, /* `text`, an atom */
	SEARCH_FLAG,	/* `number`: one of MessageFlags */
	SEARCH_SINCE,	/* `number`, 20260131: came on that day or later */
	SEARCH_BEFORE,
	SEARCH_ON,
	SEARCH_LARGER, /* `number`, octets, below 2^32 */
	SEARCH_SMALLER,
} SearchKey;

typedef struct {
	SearchKey key;
	gboolean negated;
	guint64 number;
	char *text; /* owned; NULL where `number` counts */
} SearchTerm;

SearchTerm *search_term_new(SearchKey key, gboolean negated, guint64 number, const char *text);
void search_term_free(gpointer term);

typedef enum {
	REQUEST_NOW,  /* somebody waits for it */
	REQUEST_SOON, /* a scan will want it */
} RequestUrgency;

typedef struct {
	void (*mailbox)(gpointer user, const MailboxInfo *info);

	/* SYNC: the mailbox is selected. When @now->uidvalidity differs from `known`, all that was
	 * known is void and everything follows anew. */
	void (*selected)(gpointer user, const MailboxState *now);
	void (*message)(gpointer user,
			const MessageInfo *info); /* a message at or above known.uidnext (any UID
						     after a void) */
	void (*flags)(gpointer user, guint32 uid, guint32 flags,
		      const char *keywords); /* a known message */
	/* These are gone; may name UIDs never known. MOVE, EXPUNGE: of `uids`, once or several
	 * times. */
	void (*vanished)(gpointer user, const UidSet *uids);
	void (*present)(gpointer user, const UidSet *uids); /* of the UIDs below known.uidnext
							       exactly these are still there */
	void (*batch)(gpointer user); /* the line ran dry, or 512 messages came: a good moment to
					 publish */

	/* FETCH: bytes of one body come next; @announced is the literal's length (POP3: about
	 * that). FALSE: drain it. Bodies of one request never interleave. SYNC: see pop.h; IMAP
	 * never. */
	gboolean (*body_open)(gpointer user, guint64 announced, GError **error);
	gboolean (*body_data)(gpointer user, const guint8 *data, gsize len, GError **error);
	/* The response is complete: @uid is asked for and the body is whole, or @error is set and
	 * what was written is void (@uid 0 when unknown). Each opened body is done or the request
	 * fails. */
	void (*body_done)(gpointer user, guint32 uid, const GError *error);

	/* PART: octets come next, from `offset` on; at most `length` of them, or with length 0 the
	 * whole body, whose exact size @announced then is. @uid: the message they are said to be
	 * of, which is asked for; 0: nobody knows until part_done(). FALSE: drain them. */
	gboolean (*part_open)(gpointer user, guint32 uid, guint64 announced, GError **error);
	gboolean (*part_data)(gpointer user, const guint8 *data, gsize len, GError **error);
	/* As body_done(). Also called with an error when another part came than was asked for. */
	void (*part_done)(gpointer user, guint32 uid, const GError *error);
	/* So many octets, 0 to 2, are there from `probe` on: 1 proves that the size is probe + 1.
	 * Not called when the server did not say. May come before the octets or after. */
	void (*probed)(gpointer user, guint64 octets);

	void (*header)(gpointer user, guint32 uid, const char *header, gsize len);
	void (*quota)(gpointer user, guint64 used,
		      guint64 limit); /* octets; never called when there is none */

	/* SEARCH: the whole answer, once; may name UIDs that nobody knows. Never with an error. */
	void (*found)(gpointer user, const UidSet *uids);

	/* STORE: those of @uids that are still there have the flags now. Once for each part of a
	 * large set. */
	void (*stored)(gpointer user, const UidSet *uids);
	/* COPY, MOVE: the copies of @source, in ascending order, are @target of the target mailbox
	 * with @uidvalidity, in that order. @uidvalidity 0 and @target NULL: they were copied
	 * as far as they were there, but as what the server does not say: to be searched for. UIDs
	 * asked for and never named were not there. May come several times, and before an error. */
	void (*copied)(gpointer user, const UidSet *source, guint32 uidvalidity,
		       const UidSet *target);
	/* MOVE, EXPUNGE: these carry \Deleted now and could not be removed without removing what
	 * others have marked: to be hidden. A later EXPUNGE that names them all may succeed. */
	void (*marked)(gpointer user, const UidSet *uids);
	/* APPEND: the message at @index of `messages` is in the mailbox as @uid (both numbers 0
	 * when the server does not say: to be searched for), or has failed by itself: QUOTA,
	 * TOO_BIG, UNKNOWN_OUTCOME, DENIED … At most once for each. Those not told when done comes
	 * are not in the mailbox, and done's error is why. */
	void (*appended)(gpointer user, guint index, guint32 uidvalidity, guint32 uid,
			 const GError *error);

	/* SYNC: @state is what may be remembered from now on (NULL with an error). UIDs asked for
	 * by FETCH or HEADERS that were not answered are gone or withheld: the requester knows
	 * which it did not get. */
	void (*done)(gpointer user, const MailboxState *state, const GError *error);
} RequestEvents;

typedef struct {
	RequestKind kind;
	RequestUrgency urgency;
	char *mailbox;	      /* raw server name, owned; NULL for LIST and STATUS */
	GStrv mailboxes;      /* STATUS, owned */
	guint32 uidvalidity;  /* all that work by UID but SYNC: fail with MAILFS_ERROR_STALE when
				 the mailbox has another, before anything is changed */
	MailboxState known;   /* SYNC */
	guint64 told_modseq;  /* SYNC: the highest number that anybody has told; 0: nobody */
	gboolean want_header; /* SYNC: with the four header fields */
	UidSet *uids;	      /* FETCH, PART, HEADERS, STORE, COPY, MOVE, EXPUNGE, owned */
	UidSet *marked; /* EXPUNGE: those of `uids` that carry \Deleted by our hand already, owned;
			   NULL: none. They are not marked again: what another has saved since stays
			 */
	guint64 offset, length; /* PART: octets, below 2^32; length 0: the whole body, offset 0 */
	guint64 probe; /* PART: two octets from here on are asked for as well, not `offset`; 0: none
			*/
	char *target;  /* RENAME, COPY, MOVE: raw server name, owned */
	RequestFlags add, remove;    /* STORE */
	GPtrArray *messages;	     /* APPEND, of AppendMessage (a free function set), owned */
	GPtrArray *terms;	     /* SEARCH, of SearchTerm, owned, not empty */
	const RequestEvents *events; /* slots that the kind never calls may be NULL */
	gpointer user;

	/* For pool and session alone. */
	gint64 deadline; /* monotonic µs: it must have reached a session by then */
} Request;

Request *request_new(RequestKind kind, const char *mailbox, const RequestEvents *events,
		     gpointer user);
void request_free(Request *request); /* NULL is fine */

/* Calls done with @error (NULL: success) and frees. */
void request_finish(Request *request, const MailboxState *state, const GError *error);

G_END_DECLS
