/* SPDX-License-Identifier: MIT */
/* Bodies and headers: from the cache at once, else by way of Scan and the pool. */
#include "mail/mailbox-private.h"

#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "mail/mime.h"

#define HEADER_BYTES (256 * 1024) /* of a cached body are looked at for its header block */

static ScanPlace
place_of(const Mailbox *mailbox)
{
	return (ScanPlace){mailbox->raw_name, mailbox->state.uidvalidity, mailbox->serial};
}

/* The UID means another message, or none, by now. */
static GError *
gone_error(void)
{
	return g_error_new(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
			   "the message is no longer in the mailbox");
}

/* Which of the advised ranks are worth fetching: those whose body is not here. Under the reader
 * lock. Ascending. */
static GArray *
wanted_ahead(Mailbox *mailbox, const ScanAdvice *advice, guint room)
{
	GArray *uids = g_array_new(FALSE, FALSE, sizeof(guint32));
	guint from = advice->backward ? advice->from + 1 - advice->count : advice->from;

	for (guint i = 0; i < advice->count && uids->len < room; i++) {
		const MessageEntry *entry = messages_at(mailbox->messages, from + i);

		if (entry == NULL)
			break;
		if (!entry->has_crc ||
		    !bodies_has(mailbox->house->bodies, mailbox->serial, entry->uid))
			g_array_append_val(uids, entry->uid);
	}
	return uids;
}

static void
look_ahead(Mailbox *mailbox, guint32 uid, guint32 reader)
{
	Scan *scan = mailbox->house->scan;
	g_autoptr(GArray) uids = NULL;
	ScanPlace place;
	ScanAdvice advice;

	g_rw_lock_reader_lock(&mailbox->lock);
	place = place_of(mailbox);
	advice =
		scan_note_open(scan, reader, mailbox->serial, messages_rank(mailbox->messages, uid),
			       messages_count(mailbox->messages));
	if (advice.count > 0)
		uids = wanted_ahead(mailbox, &advice, scan_room(scan));
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (uids != NULL && uids->len > 0)
		scan_ahead(scan, &place, (guint32 *)(void *)uids->data, uids->len);
}

void
mailbox_open(Mailbox *mailbox, guint32 serial, guint32 uid, guint32 reader, ScanDone done,
	     gpointer user)
{
	ScanPlace place = {0};
	MessageEntry entry = {0};
	gboolean found = FALSE;
	int fd = -1;

	g_rw_lock_reader_lock(&mailbox->lock);
	if (serial == mailbox->serial) {
		const MessageEntry *known = messages_get(mailbox->messages, uid);

		found = known != NULL;
		if (found)
			entry = *known;
		place = place_of(mailbox);
	}
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (!found) {
		g_autoptr(GError) gone = gone_error();

		done(user, -1, 0, gone);
		return;
	}
	if (entry.has_crc)
		fd = bodies_get(mailbox->house->bodies, serial, uid, entry.size, entry.crc);
	if (fd < 0)
		scan_get(mailbox->house->scan, &place, uid, done, user);
	look_ahead(mailbox, uid, reader);
	if (fd >= 0)
		done(user, fd, entry.size, NULL);
}

void
mailbox_fetched(Mailbox *mailbox, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	const MessageEntry *entry;
	gboolean resized = FALSE, known;

	g_rw_lock_writer_lock(&mailbox->lock);
	entry = serial == mailbox->serial ? messages_get(mailbox->messages, uid) : NULL;
	known = entry != NULL;
	if (known) {
		resized = entry->size != size;
		messages_set_exact(mailbox->messages, uid, size, crc);
	}
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (!known)
		return;
	{
		IndexBatch *batch = index_batch_new(serial);

		index_batch_exact(batch, uid, size, crc);
		index_submit(mailbox->house->index, batch);
	}
	if (resized)
		mailbox->house->news->changed(mailbox->house->user, mailbox, serial, uid);
}

/* --- headers
 * ------------------------------------------------------------------------------------------- */

GBytes *
mailbox_stored_header(Mailbox *mailbox, guint32 serial, guint32 uid)
{
	return index_get_header(mailbox->house->index, serial, uid);
}

typedef struct {
	MailboxHeader done;
	gpointer user;
	gboolean answered;
} HeaderWish;

static void
on_header(gpointer user, guint32 uid, const char *header, gsize len)
{
	HeaderWish *wish = user;

	if (wish->answered)
		return;
	wish->answered = TRUE;
	wish->done(wish->user, header, len, NULL);
}

static void
on_header_done(gpointer user, const MailboxState *state, const GError *error)
{
	HeaderWish *wish = user;

	if (!wish->answered) {
		g_autoptr(GError) gone = g_error_new(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
						     "the server did not return the header");

		wish->done(wish->user, NULL, 0, error != NULL ? error : gone);
	}
	g_free(wish);
}

static const RequestEvents header_events = {.header = on_header, .done = on_header_done};

/* TRUE: the cached body answered. */
static gboolean
header_from_body(int fd, guint64 size, MailboxHeader done, gpointer user)
{
	gsize len = MIN(size, HEADER_BYTES);
	const char *text;

	if (len == 0) {
		done(user, "", 0, NULL);
		return TRUE;
	}
	text = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return FALSE;
	done(user, text, mime_header_length(text, len), NULL);
	munmap((void *)text, len);
	return TRUE;
}

void
mailbox_header(Mailbox *mailbox, guint32 serial, guint32 uid, MailboxHeader done, gpointer user)
{
	g_auto(UtilFd) fd = -1;
	MessageEntry entry = {0};
	const MessageEntry *known;
	guint32 uidvalidity;
	HeaderWish *wish;
	Request *request;

	g_rw_lock_reader_lock(&mailbox->lock);
	known = serial == mailbox->serial ? messages_get(mailbox->messages, uid) : NULL;
	if (known != NULL)
		entry = *known;
	uidvalidity = mailbox->state.uidvalidity;
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (known == NULL) {
		g_autoptr(GError) gone = gone_error();

		done(user, NULL, 0, gone);
		return;
	}
	if (entry.has_crc)
		fd = bodies_get(mailbox->house->bodies, serial, uid, entry.size, entry.crc);
	if (fd >= 0 && header_from_body(fd, entry.size, done, user))
		return;

	wish = g_new0(HeaderWish, 1);
	wish->done = done;
	wish->user = user;
	request = request_new(REQUEST_HEADERS, mailbox->raw_name, &header_events, wish);
	request->uidvalidity = uidvalidity;
	request->uids = uidset_new();
	uidset_add(request->uids, uid, uid);
	pool_submit(mailbox->house->pool, request);
}
