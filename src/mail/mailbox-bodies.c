/* SPDX-License-Identifier: MIT */
/* Bodies and headers: from the cache at once, else by way of Scan and the pool. */
#include "mail/mailbox-private.h"

#include <string.h>

#include "mail/mime.h"

#define EXACT_BATCH  128 /* bodies told to the index at once: each batch wakes its thread */
#define GUESS_BYTES  (256 * 1024) /* are fetched ahead of the first open */
#define HEADER_BYTES (256 * 1024) /* of a cached body are looked at for its header block */

static ScanPlace
place_of(const Mailbox *mailbox)
{
	return (ScanPlace){mailbox_raw_name(mailbox), mailbox->state.uidvalidity, mailbox->serial};
}

/* The UID means another message, or none, by now. */
static GError *
gone_error(void)
{
	return g_error_new(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
			   "the message is no longer in the mailbox");
}

/* The advised messages whose body is not here, in ascending UIDs; @cached gets those whose body is.
 * Under the reader lock. */
static GArray *
wishes_of(Mailbox *mailbox, const ScanAdvice *advice, GArray *cached)
{
	GArray *wishes = g_array_new(FALSE, FALSE, sizeof(ScanWish));
	guint first = advice->backward ? advice->from + 1 - advice->count : advice->from;

	for (guint i = 0; i < advice->count; i++) {
		const MessageEntry *entry = messages_at(mailbox->messages, first + i);
		ScanWish wish;

		if (entry == NULL)
			break;
		if (entry->stored)
			continue;
		if (entry->has_crc &&
		    (bodies_has(mailbox->house->bodies, mailbox->serial, entry->uid) ||
		     mailbox_is_kept(mailbox, entry->uid))) {
			if (!entry->opened)
				g_array_append_val(cached, entry->uid);
			continue;
		}
		wish = (ScanWish){entry->uid, entry->size};
		g_array_append_val(wishes, wish);
	}
	return wishes;
}

/* How many of the advised ranks lie before the first wish that was not taken. Under the reader
 * lock. */
static guint
ranks_taken(Mailbox *mailbox, const ScanAdvice *advice, const GArray *wishes, guint taken)
{
	guint32 refused;
	guint rank;

	if (taken == wishes->len)
		return advice->count;
	refused =
		g_array_index(wishes, ScanWish, advice->backward ? wishes->len - 1 - taken : taken)
			.uid;
	rank = messages_rank(mailbox->messages, refused);
	return advice->backward ? advice->from - MIN(rank, advice->from)
				: rank - MIN(rank, advice->from);
}

/* What to fetch ahead of a reader. */
typedef struct {
	ScanPlace place;
	ScanAdvice advice;
	GArray *wishes; /* of ScanWish, or NULL */
	GArray *cached; /* of UIDs, or NULL */
} Ahead;

static void
note_open(Mailbox *mailbox, guint32 uid, guint32 reader, Ahead *ahead)
{
	*ahead = (Ahead){0};
	mailbox_use(mailbox);
	g_rw_lock_reader_lock(&mailbox->lock);
	ahead->place = place_of(mailbox);
	ahead->advice = scan_note_open(mailbox->house->scan, reader, mailbox->serial,
				       messages_rank(mailbox->messages, uid),
				       messages_count(mailbox->messages));
	if (ahead->advice.count > 0) {
		ahead->cached = g_array_new(FALSE, FALSE, sizeof(guint32));
		ahead->wishes = wishes_of(mailbox, &ahead->advice, ahead->cached);
	}
	g_rw_lock_reader_unlock(&mailbox->lock);
}

/* How many of them to ask for. A guess must not cost much. */
static guint
count_worthwhile(const GArray *wishes, const ScanAdvice *advice)
{
	guint64 bytes = 0;
	guint n = 0;

	if (advice->in_order)
		return wishes->len;
	while (n < wishes->len && (bytes += g_array_index(wishes, ScanWish, n).size) <= GUESS_BYTES)
		n++;
	return n;
}

/* Ends @ahead. */
static void
fetch_ahead(Mailbox *mailbox, guint32 reader, Ahead *ahead)
{
	Scan *scan = mailbox->house->scan;
	g_autoptr(GArray) wishes = g_steal_pointer(&ahead->wishes);
	g_autoptr(GArray) cached = g_steal_pointer(&ahead->cached);
	const ScanAdvice *advice = &ahead->advice;
	guint n, taken;

	if (cached != NULL && cached->len > 0)
		mailbox->house->news->wanted(mailbox->house->user, mailbox, ahead->place.serial,
					     &g_array_index(cached, guint32, 0), cached->len);
	if (wishes == NULL || wishes->len == 0)
		return;
	n = count_worthwhile(wishes, advice);
	taken = scan_ahead(scan, &ahead->place, &g_array_index(wishes, ScanWish, 0), n,
			   advice->backward);
	if (taken == wishes->len)
		return;
	g_rw_lock_reader_lock(&mailbox->lock);
	taken = ranks_taken(mailbox, advice, wishes, taken);
	g_rw_lock_reader_unlock(&mailbox->lock);
	scan_note_taken(scan, reader, ahead->place.serial, advice, taken);
}

/* What an open needs to know of a message. FALSE: it is gone. */
static gboolean
find_message(Mailbox *mailbox, guint32 serial, guint32 uid, MessageEntry *entry_out,
	     ScanPlace *place_out)
{
	const MessageEntry *known = NULL;

	g_rw_lock_reader_lock(&mailbox->lock);
	if (serial == mailbox->serial)
		known = messages_get(mailbox->messages, uid);
	if (known != NULL)
		*entry_out = *known;
	*place_out = place_of(mailbox);
	g_rw_lock_reader_unlock(&mailbox->lock);
	return known != NULL;
}

/* (transfer full), or NULL. */
static Body *
cached_body(Mailbox *mailbox, guint32 serial, const MessageEntry *entry)
{
	Body *body;

	if (!entry->has_crc)
		return NULL;
	body = bodies_get(mailbox->house->bodies, serial, entry->uid, entry->size, entry->crc);
	return body != NULL ? body : mailbox_kept_body(mailbox, entry);
}

void
mailbox_open(Mailbox *mailbox, guint32 serial, guint32 uid, guint32 reader, ScanDone done,
	     gpointer user)
{
	MessageEntry entry;
	ScanPlace place;
	Ahead ahead;
	Body *body;

	if (!find_message(mailbox, serial, uid, &entry, &place)) {
		g_autoptr(GError) gone = gone_error();

		done(user, NULL, gone);
		return;
	}
	note_open(mailbox, uid, reader, &ahead);
	body = cached_body(mailbox, serial, &entry);
	if (body == NULL)
		scan_get(mailbox->house->scan, &place, uid, done, user);
	fetch_ahead(mailbox, reader, &ahead);
	if (body != NULL)
		done(user, body, NULL);
}

/* An open that waits for the size. */
typedef struct {
	Mailbox *mailbox;
	guint32 serial, uid;
	ScanOpened opened;
	gpointer user;
} Opening;

static void
note_size(Mailbox *mailbox, guint32 serial, guint32 uid, guint64 size)
{
	const MessageEntry *entry;
	gboolean resized;

	g_rw_lock_writer_lock(&mailbox->lock);
	entry = serial == mailbox->serial ? messages_get(mailbox->messages, uid) : NULL;
	resized = entry != NULL && entry->size != size;
	if (entry != NULL)
		messages_set_size(mailbox->messages, uid, size);
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (resized)
		mailbox->house->news->changed(mailbox->house->user, mailbox, serial, uid);
}

static void
on_opened(gpointer user, Body *body, Growth *growth, guint64 size, const GError *error)
{
	g_autofree Opening *opening = user;

	if (growth != NULL)
		note_size(opening->mailbox, opening->serial, opening->uid, size);
	opening->opened(opening->user, body, growth, size, error);
}

void
mailbox_open_growing(Mailbox *mailbox, guint32 serial, guint32 uid, guint32 reader,
		     ScanOpened opened, gpointer user)
{
	MessageEntry entry;
	ScanPlace place;
	Ahead ahead;
	Body *body;

	if (!find_message(mailbox, serial, uid, &entry, &place)) {
		g_autoptr(GError) gone = gone_error();

		opened(user, NULL, NULL, 0, gone);
		return;
	}
	note_open(mailbox, uid, reader, &ahead);
	body = cached_body(mailbox, serial, &entry);
	if (body == NULL) {
		/* Who reads one after the other reads them whole. */
		guint64 announced = ahead.advice.in_order ? 0 : entry.size;
		Opening *opening = g_new0(Opening, 1);

		*opening = (Opening){mailbox, serial, uid, opened, user};
		scan_open(mailbox->house->scan, &place, uid, announced, on_opened, opening);
	}
	fetch_ahead(mailbox, reader, &ahead);
	if (body != NULL)
		opened(user, body, NULL, body_size(body), NULL);
}

gboolean
mailbox_open_stored(Mailbox *mailbox, guint32 serial, guint32 uid, guint32 reader)
{
	MessageEntry entry;
	ScanPlace place;
	Ahead ahead;

	if (!find_message(mailbox, serial, uid, &entry, &place) || !entry.stored || entry.resized)
		return FALSE;
	note_open(mailbox, uid, reader, &ahead);
	fetch_ahead(mailbox, reader, &ahead);
	return TRUE;
}

void
mailbox_note_listed(Mailbox *mailbox, guint32 reader)
{
	gboolean fetched;

	g_rw_lock_reader_lock(&mailbox->lock);
	if (mailbox->serial != 0)
		scan_note_listed(mailbox->house->scan, reader, mailbox->serial);
	/* Who has the first one has them all, or does not want them. */
	fetched =
		messages_count(mailbox->messages) > 0 && messages_at(mailbox->messages, 0)->has_crc;
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (!fetched)
		pool_prime(mailbox->house->pool, mailbox_raw_name(mailbox));
}

Body *
mailbox_open_cached(Mailbox *mailbox, guint32 serial, guint32 uid)
{
	MessageEntry entry = {0};
	ScanPlace place;

	find_message(mailbox, serial, uid, &entry, &place);
	return cached_body(mailbox, serial, &entry);
}

void
mailbox_fetched(Mailbox *mailbox, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	const MessageEntry *entry;
	IndexBatch *full = NULL;
	gboolean resized = FALSE;

	g_rw_lock_writer_lock(&mailbox->lock);
	entry = uid != 0 && serial == mailbox->serial ? messages_get(mailbox->messages, uid) : NULL;
	if (entry != NULL) {
		resized = entry->size != size;
		messages_set_exact(mailbox->messages, uid, size, crc);
		if (mailbox->exact == NULL)
			mailbox->exact = index_batch_new(serial);
		index_batch_exact(mailbox->exact, uid, size, crc);
		if (mailbox->house->numbers != NULL)
			index_batch_fetched(mailbox->exact, uid,
					    g_get_real_time() / G_USEC_PER_SEC);
		mailbox->n_exact++;
	}
	if (uid == 0 || mailbox->n_exact >= EXACT_BATCH) {
		full = g_steal_pointer(&mailbox->exact);
		mailbox->n_exact = 0;
	}
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (entry != NULL)
		mailbox_keep_body(mailbox, serial, uid, size, crc);
	if (full != NULL)
		index_submit(mailbox->house->index, full);
	if (resized)
		mailbox->house->news->changed(mailbox->house->user, mailbox, serial, uid);
}

/* Ends @came. Who has waited for a body has it by now. Under the reader lock. */
static guint
steal_unopened(Mailbox *mailbox, MailboxCame *came, guint32 *uids_out)
{
	guint n = 0;

	for (guint i = 0; i < came->n && came->serial == mailbox->serial; i++) {
		const MessageEntry *entry = messages_get(mailbox->messages, came->uids[i]);

		if (entry != NULL && !entry->opened)
			uids_out[n++] = entry->uid;
	}
	came->n = 0;
	return n;
}

void
mailbox_read_ahead(Mailbox *mailbox, guint32 serial, guint32 uid)
{
	guint32 uids[MAILBOX_CAME_MAX];
	MailboxCame *came = &mailbox->came;
	guint32 of;
	guint n = 0;

	g_rw_lock_writer_lock(&mailbox->lock);
	of = came->serial;
	if (uid == 0 || of != serial || came->n == MAILBOX_CAME_MAX)
		n = steal_unopened(mailbox, came, uids);
	came->serial = serial;
	if (uid != 0)
		came->uids[came->n++] = uid;
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (n > 0)
		mailbox->house->news->wanted(mailbox->house->user, mailbox, of, uids, n);
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
header_from_body(const Body *body, MailboxHeader done, gpointer user)
{
	g_auto(BodyMap) text = {0};

	if (!body_map(body, HEADER_BYTES, &text))
		return FALSE;
	done(user, text.data, mime_header_length(text.data, text.len), NULL);
	return TRUE;
}

void
mailbox_header(Mailbox *mailbox, guint32 serial, guint32 uid, MailboxHeader done, gpointer user)
{
	g_autoptr(Body) body = NULL;
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
	body = cached_body(mailbox, serial, &entry);
	if (body != NULL && header_from_body(body, done, user))
		return;

	wish = g_new0(HeaderWish, 1);
	wish->done = done;
	wish->user = user;
	request = request_new(REQUEST_HEADERS, mailbox_raw_name(mailbox), &header_events, wish);
	request->uidvalidity = uidvalidity;
	request->uids = uidset_new();
	uidset_add(request->uids, uid, uid);
	pool_submit(mailbox->house->pool, request);
}
