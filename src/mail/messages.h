/* SPDX-License-Identifier: MIT */
/* Messages: the listing of one mailbox in memory, in UID order, found by UID, by rank or by file
 * name. About 50 bytes a message and its name. A pure structure: no lock, no I/O; mailbox.c guards
 * it. */
#pragma once

#include "base/message.h"
#include "base/uidset.h"

G_BEGIN_DECLS

typedef struct Messages Messages;

typedef struct {
	gint64 date;		/* INTERNALDATE, seconds since 1970 UTC */
	guint64 size : 48;	/* exact or claimed; 0: nobody said */
	guint64 size_exact : 1; /* counted from the body */
	guint64 has_crc : 1;
	guint64 opened : 1;  /* messages_first_open() */
	guint64 stored : 1;  /* messages_set_stored() */
	guint64 resized : 1; /* the claimed size proved wrong after it may have been shown */
	guint32 uid;
	guint32 crc;	  /* of the body last fetched */
	guint32 name;	  /* for messages_name() */
	guint16 flags;	  /* MessageFlags */
	guint16 keywords; /* for messages_keywords() */
} MessageEntry;

Messages *messages_new(void);
void messages_free(Messages *messages); /* NULL is fine */

guint messages_count(const Messages *messages);
guint messages_rank(const Messages *messages,
		    guint32 uid); /* of the first message with this UID or a higher one */
/* Borrowed, good until the next change. NULL when there is none. */
const MessageEntry *messages_at(const Messages *messages, guint rank);
const MessageEntry *messages_get(const Messages *messages, guint32 uid);
const MessageEntry *messages_find(const Messages *messages, const char *name,
				  gsize len); /* name without ".eml" */
const char *messages_name(const Messages *messages,
			  const MessageEntry *entry); /* without ".eml"; "" with names=uid */
const char *messages_keywords(const Messages *messages,
			      const MessageEntry *entry); /* space-separated, "" none */

/* Makes room for @n messages in all, as far as that is sensible: a hint. */
void messages_reserve(Messages *messages, guint n);

/* Adds a message under @name, or under name~2, name~3 … when that is taken ("" is never taken).
 * UIDs may come in any order, ascending is fast. Flags and date are taken from @info; a UID that is
 * already there is left as it is. Returns the entry, NULL when it was there. */
const MessageEntry *messages_add(Messages *messages, const MessageInfo *info, const char *name);
gboolean messages_first_open(Messages *messages, guint32 uid); /* TRUE once for each message */
void messages_set_stored(Messages *messages, guint32 uid);
/* Counted, though no body is here whose checksum could be told. */
void messages_set_size(Messages *messages, guint32 uid, guint64 size);
void messages_set_exact(Messages *messages, guint32 uid, guint64 size, guint32 crc);
gboolean messages_set_flags(Messages *messages, guint32 uid, guint32 flags,
			    const char *keywords); /* TRUE: something changed */

/* Another name (not ""), which no message has; FALSE: it is taken, or there is no such message. */
gboolean messages_set_name(Messages *messages, guint32 uid, const char *name);
/* Gives its name up: it is called name~2 (or ~3 …) from now on. */
void messages_yield_name(Messages *messages, guint32 uid);

/* Removes these UIDs, in one pass; tells each one that was there, before it goes. */
typedef void (*MessagesRemoved)(gpointer user, guint32 uid, const char *name);
guint messages_remove(Messages *messages, const UidSet *uids, MessagesRemoved removed,
		      gpointer user);
/* Removes all UIDs below @below that are not in @present. */
guint messages_keep(Messages *messages, const UidSet *present, guint32 below,
		    MessagesRemoved removed, gpointer user);

guint64 messages_memory(const Messages *messages); /* bytes held */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Messages, messages_free)

G_END_DECLS
