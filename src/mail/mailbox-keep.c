/* SPDX-License-Identifier: MIT */
/* keep=yes: what was fetched from a POP3 maildrop stays, in the archive, when the server has it no
 * more. */
#include "mail/mailbox-private.h"

#include "mail/mime.h"
#include "mail/name.h"

#define HEADER_BYTES (256 * 1024)

void
mailbox_keep_body(Mailbox *mailbox, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	const MailboxHouse *house = mailbox->house;
	g_autoptr(GError) error = NULL;
	g_autoptr(Body) body = NULL;

	if (house->numbers == NULL)
		return;
	numbers_fetched(house->numbers, uid, g_get_real_time() / G_USEC_PER_SEC);
	if (house->archive == NULL)
		return;
	body = bodies_get(house->bodies, serial, uid, size, crc);
	if (body != NULL && archive_put(house->archive, uid, body, crc, &error))
		numbers_keep_one(house->numbers, uid, TRUE);
	if (error != NULL)
		g_debug("%s", error->message);
}

Body *
mailbox_kept_body(Mailbox *mailbox, const MessageEntry *entry)
{
	Archive *archive = mailbox->house->archive;
	guint32 crc;

	/* Another body came under this number since. */
	if (archive == NULL || !archive_get_crc(archive, entry->uid, &crc) ||
	    (entry->has_crc && crc != entry->crc))
		return NULL;
	return archive_get(archive, entry->uid);
}

gboolean
mailbox_secure_body(Mailbox *mailbox, guint32 serial, guint32 uid)
{
	g_autoptr(Body) body = mailbox_open_cached(mailbox, serial, uid);

	if (body == NULL)
		return FALSE;
	if (mailbox->house->archive != NULL)
		return archive_secure(mailbox->house->archive, uid, NULL);
	return bodies_secure(mailbox->house->bodies, body);
}

gboolean
mailbox_is_kept(Mailbox *mailbox, guint32 uid)
{
	return mailbox->house->archive != NULL && archive_has(mailbox->house->archive, uid);
}

UidSet *
mailbox_kept(Mailbox *mailbox)
{
	return mailbox->house->archive != NULL ? archive_uids(mailbox->house->archive)
					       : uidset_new();
}

void
mailbox_keep_no_more(Mailbox *mailbox, guint32 uid)
{
	if (!mailbox_is_kept(mailbox, uid))
		return;
	archive_remove(mailbox->house->archive, uid);
	numbers_keep_one(mailbox->house->numbers, uid, FALSE);
}

gboolean
mailbox_is_only_kept(Mailbox *mailbox, guint32 uid)
{
	return mailbox_is_kept(mailbox, uid) && numbers_is_absent(mailbox->house->numbers, uid);
}

void
mailbox_load_kept(Mailbox *mailbox, Messages *messages)
{
	for (guint rank = 0; mailbox->house->archive != NULL && rank < messages_count(messages);
	     rank++) {
		const MessageEntry *entry = messages_at(messages, rank);
		g_autoptr(Body) body = NULL;
		guint32 crc;

		if (entry->has_crc) {
			/* Fetched before anything was to be kept. */
			if (!mailbox_is_kept(mailbox, entry->uid))
				mailbox_keep_body(mailbox, mailbox->serial, entry->uid, entry->size,
						  entry->crc);
			continue;
		}
		if (!archive_get_crc(mailbox->house->archive, entry->uid, &crc))
			continue;
		body = archive_get(mailbox->house->archive, entry->uid);
		if (body != NULL)
			messages_set_exact(messages, entry->uid, body_size(body), crc);
	}
}

/* --- after the index was lost
 * ------------------------------------------------------------------------- */

static gboolean
is_listed(Mailbox *mailbox, guint32 uid)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return messages_get(mailbox->messages, uid) != NULL ||
	       uidset_contains(mailbox->dropped, uid);
}

static void
list_by_header(Mailbox *mailbox, IndexMessage *row, const char *text, gsize len)
{
	IndexBatch *batch = index_batch_new(mailbox->serial);
	g_autofree char *name = NULL;
	NameHeaders headers;

	len = mime_header_length(text, len);
	row->info.header = text;
	row->info.header_len = len;
	row->info.date = name_date_of_header(text, len);
	name_headers_parse(text, len, &headers);
	name = mailbox->house->names_uid
		       ? g_strdup("")
		       : name_for_message(row->info.date, row->info.uid, &headers);
	name_headers_clear(&headers);
	g_rw_lock_writer_lock(&mailbox->lock);
	mailbox_add_message(mailbox, batch, row, NULL, name);
	messages_set_exact(mailbox->messages, row->info.uid, row->info.size, row->crc);
	g_rw_lock_writer_unlock(&mailbox->lock);
	index_submit(mailbox->house->index, batch);
}

static void
list_kept(Mailbox *mailbox, guint32 uid)
{
	Archive *archive = mailbox->house->archive;
	IndexMessage row = {
		.info = {.uid = uid, .keywords = ""}, .size_exact = TRUE, .has_crc = TRUE};
	g_autoptr(Body) body = archive_get(archive, uid);
	g_auto(BodyMap) text = {0};

	if (body == NULL || !archive_get_crc(archive, uid, &row.crc) ||
	    !body_map(body, HEADER_BYTES, &text))
		return;
	row.info.size = body_size(body);
	list_by_header(mailbox, &row, text.data, text.len);
}

gboolean
mailbox_list_kept(Mailbox *mailbox)
{
	g_autoptr(UidSet) kept = mailbox_kept(mailbox);
	gboolean changed = FALSE;

	for (guint i = 0; mailbox->serial != 0 && i < uidset_n_ranges(kept); i++) {
		guint32 first, last;

		uidset_range(kept, i, &first, &last);
		for (guint64 uid = first; uid <= last; uid++) {
			if (is_listed(mailbox, (guint32)uid))
				continue;
			list_kept(mailbox, (guint32)uid);
			changed = TRUE;
		}
	}
	return changed;
}
