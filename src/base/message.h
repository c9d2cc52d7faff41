/* SPDX-License-Identifier: MIT */
/* Values that every floor may hold: what a server says of a message and of a mailbox. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* RFC 3501 2.3.2 system flags. Keywords travel beside them as text. */
typedef enum {
	MESSAGE_SEEN = 1 << 0,
	MESSAGE_ANSWERED = 1 << 1,
	MESSAGE_FLAGGED = 1 << 2,
	MESSAGE_DELETED = 1 << 3,
	MESSAGE_DRAFT = 1 << 4,
	MESSAGE_RECENT = 1 << 5,
} MessageFlags;

/* One message as a listing tells it. Pointers are borrowed, good for the duration of a call. */
typedef struct {
	guint32 uid;   /* 1..2^32-1 */
	guint32 flags; /* MessageFlags */
	guint64 size;  /* RFC822.SIZE, octets; 0 when the server gave none. Never to be trusted. */
	gint64 date;   /* INTERNALDATE, seconds since 1970 UTC; G_MININT64: see the header (POP3) */
	const char *keywords; /* space-separated atoms, in the server's order; "" when none */
	const char *header;   /* raw header fields asked for, CRLF lines; NULL when not asked for */
	gsize header_len;
	const char *uidl; /* POP3: the server's name for it; NULL when it has none */
} MessageInfo;

/* What is known of a mailbox's numbering: RFC 3501 2.3.1.1, RFC 7162. */
typedef struct {
	guint32 uidvalidity;   /* 0: nothing is known */
	guint32 uidnext;       /* every UID below is known (or known to be gone); 1: none */
	guint64 highestmodseq; /* 0: the server keeps none, or a listing was cut short */
	guint32 count;	       /* messages */
} MailboxState;

/* What a STATUS response tells, each only when told. */
typedef struct {
	guint32 uidvalidity;   /* 0: not told */
	guint32 uidnext;       /* 0: not told */
	guint64 highestmodseq; /* 0: not told */
	gint64 messages;       /* -1: not told */
	gint64 unseen;	       /* -1: not told */
} MailboxStatus;

/* LIST attributes (RFC 3501, RFC 5258) and SPECIAL-USE (RFC 6154). */
typedef enum {
	MAILBOX_NOSELECT = 1 << 0, /* \Noselect or \NonExistent */
	MAILBOX_NOINFERIORS = 1 << 1,
	MAILBOX_SUBSCRIBED = 1 << 2,
	MAILBOX_ALL = 1 << 3,
	MAILBOX_ARCHIVE = 1 << 4,
	MAILBOX_DRAFTS = 1 << 5,
	MAILBOX_FLAGGED = 1 << 6,
	MAILBOX_JUNK = 1 << 7,
	MAILBOX_SENT = 1 << 8,
	MAILBOX_TRASH = 1 << 9,
	MAILBOX_PERSONAL = 1 << 10, /* lies in a personal namespace */
	MAILBOX_LOCAL = 1 << 11,    /* on no server: the account made it, see account_add_local() */
	MAILBOX_MAILDROP = 1 << 12, /* POP3: messages are read and removed, and nothing else */
} MailboxAttributes;

/* One LIST response (borrowed, good for the duration of a call). */
typedef struct {
	const char *name;   /* raw, as the server spells it; the key for every later request */
	char separator;	    /* hierarchy separator; 0: the server has no hierarchy (NIL) */
	guint attributes;   /* MailboxAttributes */
	const char *prefix; /* personal namespace prefix this name lies under ("INBOX."), or "" */
	guint32 messages;   /* LIST-STATUS: MESSAGES, G_MAXUINT32 when not told */
} MailboxInfo;

G_END_DECLS
