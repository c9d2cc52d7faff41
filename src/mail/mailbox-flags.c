/* SPDX-License-Identifier: MIT */
/* Flags that we have changed ourselves, and whose \Deleted is whose. */
#include "mail/mailbox-private.h"

#include <string.h>

#define LASTING_FLAGS  (~(guint32)MESSAGE_RECENT)
#define KEYWORDS_BYTES 4096

/* In the index only: this \Deleted is ours. */
#define STORED_OURS (1u << 30)

/* Those of @uids that are here, without a look at all others. Under the lock. (transfer full) */
static GArray *
uids_here(const Mailbox *mailbox, guint32 serial, const UidSet *uids)
{
	GArray *here = g_array_new(FALSE, FALSE, sizeof(guint32));
	guint32 first, last;

	for (guint i = 0; serial == mailbox->serial && i < uidset_n_ranges(uids); i++) {
		uidset_range(uids, i, &first, &last);
		for (guint rank = messages_rank(mailbox->messages, first);
		     rank < messages_count(mailbox->messages); rank++) {
			guint32 uid = messages_at(mailbox->messages, rank)->uid;

			if (uid > last)
				break;
			g_array_append_val(here, uid);
		}
	}
	return here;
}

static gboolean
has_word(char **words, const char *word)
{
	for (guint i = 0; words[i] != NULL; i++)
		if (g_ascii_strcasecmp(words[i], word) == 0)
			return TRUE;
	return FALSE;
}

/* The keywords without those in @remove, with those in @add. (transfer full) */
static char *
edit_keywords(const char *keywords, char **add, char **remove)
{
	g_auto(GStrv) words = g_strsplit(keywords, " ", -1);
	GString *text = g_string_new(NULL);

	for (guint i = 0; words[i] != NULL; i++)
		if (*words[i] != '\0' && !has_word(remove, words[i]))
			g_string_append_printf(text, "%s%s", text->len > 0 ? " " : "", words[i]);
	for (guint i = 0; add[i] != NULL; i++)
		if (*add[i] != '\0' && !has_word(words, add[i]) && text->len < KEYWORDS_BYTES)
			g_string_append_printf(text, "%s%s", text->len > 0 ? " " : "", add[i]);
	return g_string_free(text, FALSE);
}

MailboxMoment
mailbox_moment(Mailbox *mailbox)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return (MailboxMoment){mailbox->state.highestmodseq, mailbox->n_synced};
}

/* What was told since then may be newer than what is put over it now. Under the lock. */
static void
go_back_to(Mailbox *mailbox, const MailboxMoment *asked)
{
	if (asked == NULL || asked->n_synced == mailbox->n_synced)
		return;
	mailbox->stale = TRUE;
	mailbox->state.highestmodseq = MIN(mailbox->state.highestmodseq, asked->modseq);
	mailbox_store(mailbox);
}

void
mailbox_put_flags(Mailbox *mailbox, guint32 serial, const UidSet *uids, guint32 add,
		  const char *add_keywords, guint32 remove, const char *remove_keywords,
		  const MailboxMoment *asked)
{
	g_auto(GStrv) plus = g_strsplit(add_keywords != NULL ? add_keywords : "", " ", -1);
	g_auto(GStrv) minus = g_strsplit(remove_keywords != NULL ? remove_keywords : "", " ", -1);
	g_autoptr(GArray) changed = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autoptr(GArray) here = NULL;
	IndexBatch *batch = index_batch_new(serial);
	gboolean again;

	g_rw_lock_writer_lock(&mailbox->lock);
	here = uids_here(mailbox, serial, uids);
	for (guint i = 0; i < here->len; i++) {
		guint32 uid = g_array_index(here, guint32, i);
		const MessageEntry *entry = messages_get(mailbox->messages, uid);
		guint32 flags = (entry->flags | add) & ~remove & LASTING_FLAGS;
		g_autofree char *keywords = NULL;

		if (mailbox->syncing)
			uidset_add(mailbox->flagged, uid, uid);
		keywords = edit_keywords(messages_keywords(mailbox->messages, entry), plus, minus);
		if (!messages_set_flags(mailbox->messages, uid, flags, keywords))
			continue;
		index_batch_flags(batch, uid, mailbox_stored_flags(mailbox, uid, flags), keywords);
		g_array_append_val(changed, uid);
	}
	if (changed->len > 0) {
		mailbox->marks++;
		mailbox->marked = g_get_real_time() / G_USEC_PER_SEC;
	}
	mailbox_note_own(mailbox);
	if (serial == mailbox->serial)
		go_back_to(mailbox, asked);
	again = mailbox->stale;
	index_submit(mailbox->house->index, batch);
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (again)
		mailbox_refresh_soon(mailbox);
	for (guint i = 0; i < changed->len; i++)
		mailbox->house->news->changed(mailbox->house->user, mailbox, serial,
					      g_array_index(changed, guint32, i));
}

void
mailbox_store_flagged(Mailbox *mailbox)
{
	g_autoptr(GArray) here = uids_here(mailbox, mailbox->serial, mailbox->flagged);
	IndexBatch *batch = index_batch_new(mailbox->serial);

	for (guint i = 0; i < here->len; i++) {
		guint32 uid = g_array_index(here, guint32, i);
		const MessageEntry *entry = messages_get(mailbox->messages, uid);

		index_batch_flags(batch, uid, mailbox_stored_flags(mailbox, uid, entry->flags),
				  messages_keywords(mailbox->messages, entry));
	}
	index_submit(mailbox->house->index, batch);
}

/* --- marked to go
 * ------------------------------------------------------------------------------------- */

guint32
mailbox_stored_flags(const Mailbox *mailbox, guint32 uid, guint32 flags)
{
	gboolean ours = uidset_contains(mailbox->deleted, uid) && (flags & MESSAGE_DELETED) != 0;

	return flags | (ours ? STORED_OURS : 0);
}

gboolean
mailbox_take_stored_flags(guint32 *flags)
{
	gboolean ours = (*flags & STORED_OURS) != 0;

	*flags &= ~STORED_OURS;
	return ours;
}

void
mailbox_mark(Mailbox *mailbox, guint32 serial, const UidSet *uids)
{
	g_autoptr(GArray) here = NULL;
	IndexBatch *batch = index_batch_new(serial);

	g_rw_lock_writer_lock(&mailbox->lock);
	here = uids_here(mailbox, serial, uids);
	for (guint i = 0; i < here->len; i++) {
		guint32 uid = g_array_index(here, guint32, i);
		const MessageEntry *entry = messages_get(mailbox->messages, uid);

		uidset_add(mailbox->hidden, uid, uid);
		uidset_add(mailbox->deleted, uid, uid);
		if (mailbox->syncing)
			uidset_add(mailbox->flagged, uid, uid);
		/* Also where a sync was faster to tell of the flag. */
		index_batch_flags(
			batch, uid,
			mailbox_stored_flags(mailbox, uid, entry->flags | MESSAGE_DELETED),
			messages_keywords(mailbox->messages, entry));
	}
	index_submit(mailbox->house->index, batch);
	mailbox_touch(mailbox);
	g_rw_lock_writer_unlock(&mailbox->lock);
	mailbox_put_flags(mailbox, serial, uids, MESSAGE_DELETED, NULL, 0, NULL, NULL);
	mailbox_tell_listing(mailbox);
}

UidSet *
mailbox_marked(Mailbox *mailbox, guint32 serial)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return serial == mailbox->serial ? uidset_copy(mailbox->deleted) : uidset_new();
}
