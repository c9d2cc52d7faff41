/* SPDX-License-Identifier: MIT */
/* Two kinds of threads meet here: those that ask (the kernel's requests) and the one session that
 * serves the SYNC request of this mailbox. The listing is guarded by a reader-writer lock that is
 * held for memory work only; loading from the index has a mutex of its own, so that a second asker
 * waits for the disk and not twice for it. `Sync` belongs to the session's thread alone. */
#include "mail/mailbox.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/util.h"
#include "mail/mime.h"
#include "mail/name.h"

#define LATE_US	     (1 * G_USEC_PER_SEC)
#define HEADER_BYTES (256 * 1024) /* of a cached body are looked at for its header block */
#define SIZE_UNKNOWN                                                                               \
	4096 /* listed when the server gave no size: tar skips what claims to be empty */

typedef struct {
	MailboxWake wake;
	gpointer user;
} Waiter;

/* A message on its way from the server's answer into the listing; offsets into Sync.text. */
typedef struct {
	MessageInfo info;
	gsize name, keywords, header;
} Arrived;

/* One SYNC under way: its session's thread only. */
typedef struct {
	Mailbox *mailbox;
	GArray *arrived; /* of Arrived */
	GString *text;
	IndexBatch *batch; /* flags and removals not yet handed to the index */
	guint32 below;	   /* request's known.uidnext */
	gboolean changed;  /* since the last publish */
	gboolean holes;	   /* the server has messages below `below` that the listing lacks */
} Sync;

struct Mailbox {
	const MailboxHouse *house;
	char *raw_name, *file_name, *prefix;
	guint32 directory, parent;
	char separator;

	GMutex load_lock; /* held over local disk only */

	GRWLock lock; /* guards all below */
	Messages *messages;
	guint32 serial; /* of the messages; 0: none yet */
	MailboxState state;
	guint attributes;
	gboolean loaded, listed, syncing, again, tried;
	gint64 synced_at, sync_began; /* monotonic; 0 never */
	guint64 version;
	gint64 changed;
	GArray *waiters; /* of Waiter */
	GError *error;
};

static const RequestEvents sync_events;

Mailbox *
mailbox_new(const MailboxHouse *house, const IndexMailbox *row, const char *file_name,
	    guint32 parent)
{
	Mailbox *mailbox = g_new0(Mailbox, 1);

	mailbox->house = house;
	mailbox->raw_name = g_strdup(row->name);
	mailbox->file_name = g_strdup(file_name);
	mailbox->prefix = g_strdup(row->prefix);
	mailbox->directory = row->directory;
	mailbox->parent = parent;
	mailbox->separator = row->separator;
	mailbox->attributes = row->attributes;
	mailbox->serial = row->messages;
	mailbox->state = row->state;
	mailbox->messages = messages_new();
	mailbox->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	mailbox->changed = g_get_real_time() / G_USEC_PER_SEC;
	g_mutex_init(&mailbox->load_lock);
	g_rw_lock_init(&mailbox->lock);
	return mailbox;
}

void
mailbox_free(Mailbox *mailbox)
{
	if (mailbox == NULL)
		return;
	messages_free(mailbox->messages);
	g_array_unref(mailbox->waiters);
	g_clear_error(&mailbox->error);
	g_rw_lock_clear(&mailbox->lock);
	g_mutex_clear(&mailbox->load_lock);
	g_free(mailbox->raw_name);
	g_free(mailbox->file_name);
	g_free(mailbox->prefix);
	g_free(mailbox);
}

const char *
mailbox_raw_name(const Mailbox *mailbox)
{
	return mailbox->raw_name;
}

const char *
mailbox_file_name(const Mailbox *mailbox)
{
	return mailbox->file_name;
}

guint32
mailbox_directory(const Mailbox *mailbox)
{
	return mailbox->directory;
}

guint32
mailbox_parent(const Mailbox *mailbox)
{
	return mailbox->parent;
}

char
mailbox_separator(const Mailbox *mailbox)
{
	return mailbox->separator;
}

guint
mailbox_attributes(Mailbox *mailbox)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return mailbox->attributes;
}

/* What the index keeps of this mailbox. Under the lock. */
static IndexMailbox
row_of(const Mailbox *mailbox)
{
	return (IndexMailbox){
		.name = mailbox->raw_name,
		.directory = mailbox->directory,
		.messages = mailbox->serial,
		.state = mailbox->state,
		.separator = mailbox->separator,
		.attributes = mailbox->attributes,
		.prefix = mailbox->prefix,
	};
}

void
mailbox_set_attributes(Mailbox *mailbox, guint attributes)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);
	IndexMailbox row;

	if (mailbox->attributes == attributes)
		return;
	mailbox->attributes = attributes;
	row = row_of(mailbox);
	index_put_mailbox(mailbox->house->index, &row);
}

/* --- telling those who wait
 * -------------------------------------------------------------------------- */

gboolean
mailbox_wait(Mailbox *mailbox, MailboxWake wake, gpointer user)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);
	Waiter waiter = {wake, user};

	if (!mailbox->syncing)
		return FALSE;
	g_array_append_val(mailbox->waiters, waiter);
	return TRUE;
}

/* With no lock held. */
static void
wake_waiters(Mailbox *mailbox)
{
	g_autoptr(GArray) waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));

	g_rw_lock_writer_lock(&mailbox->lock);
	if (mailbox->waiters->len > 0) {
		GArray *empty = g_steal_pointer(&waiters);

		waiters = mailbox->waiters;
		mailbox->waiters = empty;
	}
	g_rw_lock_writer_unlock(&mailbox->lock);
	for (guint i = 0; i < waiters->len; i++) {
		Waiter *waiter = &g_array_index(waiters, Waiter, i);

		waiter->wake(waiter->user);
	}
}

/* --- the listing: from the index
 * --------------------------------------------------------------------- */

static void
load_message(gpointer user, const IndexMessage *stored)
{
	Messages *messages = user;
	const MessageEntry *entry = messages_add(messages, &stored->info, stored->name);

	if (entry != NULL && stored->size_exact)
		messages_set_exact(messages, stored->info.uid, stored->info.size, stored->crc);
}

static void
mailbox_load(Mailbox *mailbox)
{
	g_autoptr(GMutexLocker) loading = g_mutex_locker_new(&mailbox->load_lock);
	g_autoptr(Messages) messages = NULL;
	g_autoptr(GError) error = NULL;
	guint32 serial;
	gboolean loaded;

	g_rw_lock_reader_lock(&mailbox->lock);
	loaded = mailbox->loaded;
	serial = mailbox->serial;
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (loaded)
		return;

	messages = messages_new();
	if (serial != 0 &&
	    !index_each_message(mailbox->house->index, serial, load_message, messages, &error)) {
		g_debug("%s: index: %s", mailbox->raw_name, error->message);
		g_clear_pointer(&messages, messages_free);
		messages = messages_new();
		serial = 0;
	}
	g_rw_lock_writer_lock(&mailbox->lock);
	/* A crash before the last batch was written leaves another number of rows: known_now() then
	 * asks for a sweep. */
	mailbox->listed = serial != 0 && mailbox->state.uidvalidity != 0 &&
			  messages_count(messages) == mailbox->state.count;
	if (messages_count(messages) > 0) {
		guint last = messages_count(messages) - 1;

		mailbox->changed = MAX(messages_at(messages, last)->date, 0);
	}
	messages_free(mailbox->messages);
	mailbox->messages = g_steal_pointer(&messages);
	mailbox->loaded = TRUE;
	mailbox->version++;
	g_rw_lock_writer_unlock(&mailbox->lock);
}

/* --- the listing: from the server
 * -------------------------------------------------------------------- */

static void
sync_free(Sync *sync)
{
	g_array_unref(sync->arrived);
	g_string_free(sync->text, TRUE);
	g_free(sync);
}

/* What a SYNC may take for granted. A listing that was cut short holds more (or fewer) messages
 * than `state` says: then the UIDs that are here count as known and the server is asked which of
 * them are left, and for all above. Under the lock. */
static MailboxState
known_now(const Mailbox *mailbox)
{
	guint count = messages_count(mailbox->messages);
	MailboxState known = mailbox->state;

	if (count == known.count)
		return known;
	known.uidnext = count > 0 ? messages_at(mailbox->messages, count - 1)->uid + 1 : 1;
	known.highestmodseq = 0;
	known.count = count;
	return known;
}

/* `syncing` was set by the caller, under the lock. */
static void
sync_submit(Mailbox *mailbox, const MailboxState *known)
{
	Sync *sync = g_new0(Sync, 1);
	Request *request = request_new(REQUEST_SYNC, mailbox->raw_name, &sync_events, sync);

	sync->mailbox = mailbox;
	sync->arrived = g_array_new(FALSE, FALSE, sizeof(Arrived));
	sync->text = g_string_new(NULL);
	sync->below = known->uidnext;
	request->known = *known;
	request->want_header = !mailbox->house->names_uid;
	pool_submit(mailbox->house->pool, request);
}

void
mailbox_refresh(Mailbox *mailbox, gint64 max_age_us)
{
	gint64 now = g_get_monotonic_time();
	MailboxState known;
	gboolean start = FALSE;

	if (mailbox_attributes(mailbox) & MAILBOX_NOSELECT)
		return;
	mailbox_load(mailbox);
	g_rw_lock_writer_lock(&mailbox->lock);
	if (mailbox->syncing) {
		/* What is under way may have been answered before the news that brought us here. */
		mailbox->again = mailbox->again || max_age_us == 0;
	} else if (mailbox->synced_at == 0 || now - mailbox->synced_at >= max_age_us) {
		start = mailbox->syncing = TRUE;
		mailbox->sync_began = now;
		mailbox->tried = FALSE;
		known = known_now(mailbox);
	}
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (start)
		sync_submit(mailbox, &known);
}

static void
flush_batch(Sync *sync)
{
	if (sync->batch != NULL)
		index_submit(sync->mailbox->house->index, g_steal_pointer(&sync->batch));
}

static IndexBatch *
batch_of(Sync *sync)
{
	if (sync->batch == NULL)
		sync->batch = index_batch_new(sync->mailbox->serial);
	return sync->batch;
}

/* Moves what arrived into the listing and lets everybody see it. */
static void
publish(Sync *sync)
{
	Mailbox *mailbox = sync->mailbox;

	if (sync->arrived->len > 0) {
		IndexBatch *batch = batch_of(sync);

		g_rw_lock_writer_lock(&mailbox->lock);
		for (guint i = 0; i < sync->arrived->len; i++) {
			Arrived *arrived = &g_array_index(sync->arrived, Arrived, i);
			const MessageEntry *entry;
			IndexMessage row = {.info = arrived->info};

			row.info.keywords = sync->text->str + arrived->keywords;
			if (row.info.header != NULL)
				row.info.header = sync->text->str + arrived->header;
			entry = messages_add(mailbox->messages, &row.info,
					     sync->text->str + arrived->name);
			if (entry == NULL)
				continue;
			row.name = messages_name(mailbox->messages, entry);
			index_batch_add(batch, &row);
			sync->changed = TRUE;
		}
		g_rw_lock_writer_unlock(&mailbox->lock);
		g_array_set_size(sync->arrived, 0);
		g_string_set_size(sync->text, 0);
	}
	flush_batch(sync);
	if (!sync->changed)
		return;
	sync->changed = FALSE;
	g_rw_lock_writer_lock(&mailbox->lock);
	mailbox->version++;
	mailbox->changed = g_get_real_time() / G_USEC_PER_SEC;
	g_rw_lock_writer_unlock(&mailbox->lock);
	mailbox->house->news->listing(mailbox->house->user, mailbox);
	wake_waiters(mailbox);
}

static void
on_selected(gpointer user, const MailboxState *now)
{
	Sync *sync = user;
	Mailbox *mailbox = sync->mailbox;
	guint32 old_serial = mailbox->serial, serial;
	IndexMailbox row;

	if (old_serial != 0 && mailbox->state.uidvalidity == now->uidvalidity)
		return;
	serial = index_new_serial(mailbox->house->index);
	g_rw_lock_writer_lock(&mailbox->lock);
	messages_free(mailbox->messages);
	mailbox->messages = messages_new();
	mailbox->serial = serial;
	mailbox->state = (MailboxState){.uidvalidity = now->uidvalidity, .uidnext = 1};
	mailbox->listed = FALSE;
	mailbox->version++;
	row = row_of(mailbox);
	index_put_mailbox(mailbox->house->index, &row);
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (old_serial != 0)
		bodies_remove_serial(mailbox->house->bodies, old_serial);
	mailbox->house->news->renumbered(mailbox->house->user, mailbox, old_serial, serial);
}

static gsize
keep_text(Sync *sync, const char *text, gsize len)
{
	gsize at = sync->text->len;

	g_string_append_len(sync->text, text, len);
	g_string_append_c(sync->text, '\0');
	return at;
}

static void
on_message(gpointer user, const MessageInfo *info)
{
	Sync *sync = user;
	Arrived arrived = {.info = *info};

	arrived.keywords = keep_text(sync, info->keywords, strlen(info->keywords));
	if (sync->mailbox->house->names_uid) {
		arrived.name = keep_text(sync, "", 0);
	} else {
		NameHeaders headers;
		g_autofree char *name = NULL;

		name_headers_parse(info->header != NULL ? info->header : "", info->header_len,
				   &headers);
		name = name_for_message(info->date, info->uid, &headers);
		name_headers_clear(&headers);
		arrived.name = keep_text(sync, name, strlen(name));
	}
	if (info->header != NULL)
		arrived.header = keep_text(sync, info->header, info->header_len);
	g_array_append_val(sync->arrived, arrived);
}

static void
on_flags(gpointer user, guint32 uid, guint32 flags, const char *keywords)
{
	Sync *sync = user;
	Mailbox *mailbox = sync->mailbox;
	gboolean changed;

	g_rw_lock_writer_lock(&mailbox->lock);
	changed = messages_set_flags(mailbox->messages, uid, flags, keywords);
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (!changed)
		return;
	index_batch_flags(batch_of(sync), uid, flags, keywords);
	mailbox->house->news->changed(mailbox->house->user, mailbox, mailbox->serial, uid);
}

typedef struct {
	GArray *uids;
	GPtrArray *names;
} Removed;

static void
note_removed(gpointer user, guint32 uid, const char *name)
{
	Removed *removed = user;

	g_array_append_val(removed->uids, uid);
	g_ptr_array_add(removed->names, *name != '\0' ? g_strconcat(name, ".eml", NULL)
						      : g_strdup_printf("%u.eml", uid));
}

/* Tells index, cache and upstairs what has just left the listing. */
static void
tell_removed(Sync *sync, const Removed *removed)
{
	Mailbox *mailbox = sync->mailbox;

	for (guint i = 0; i < removed->uids->len; i++) {
		guint32 uid = g_array_index(removed->uids, guint32, i);

		index_batch_remove(batch_of(sync), uid);
		bodies_remove(mailbox->house->bodies, mailbox->serial, uid);
		mailbox->house->news->gone(mailbox->house->user, mailbox, mailbox->serial, uid,
					   removed->names->pdata[i]);
		sync->changed = TRUE;
	}
}

static void
remove_messages(Sync *sync, const UidSet *uids, gboolean are_present)
{
	Mailbox *mailbox = sync->mailbox;
	g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	Removed removed = {gone, names};

	publish(sync);
	g_rw_lock_writer_lock(&mailbox->lock);
	if (are_present) {
		messages_keep(mailbox->messages, uids, sync->below, note_removed, &removed);
		sync->holes = messages_rank(mailbox->messages, sync->below) < uidset_count(uids);
	} else {
		messages_remove(mailbox->messages, uids, note_removed, &removed);
	}
	g_rw_lock_writer_unlock(&mailbox->lock);
	tell_removed(sync, &removed);
}

static void
on_vanished(gpointer user, const UidSet *uids)
{
	remove_messages(user, uids, FALSE);
}

static void
on_present(gpointer user, const UidSet *uids)
{
	remove_messages(user, uids, TRUE);
}

static void
on_batch(gpointer user)
{
	publish(user);
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Sync *sync = user;
	Mailbox *mailbox = sync->mailbox;
	MailboxState known;
	gboolean start = FALSE;
	IndexMailbox row;

	publish(sync);
	g_rw_lock_writer_lock(&mailbox->lock);
	g_clear_error(&mailbox->error);
	if (error == NULL) {
		mailbox->state = *state;
		mailbox->state.count = messages_count(mailbox->messages);
		mailbox->listed = TRUE;
		mailbox->synced_at = g_get_monotonic_time();
		row = row_of(mailbox);
		index_put_mailbox(mailbox->house->index, &row);
		start = mailbox->again;
	} else {
		mailbox->error = g_error_copy(error);
		/* A line that was closed under us, as servers do after a long rest, deserves a
		 * second try. */
		start = !mailbox->tried &&
			g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
		mailbox->tried = TRUE;
	}
	mailbox->again = FALSE;
	mailbox->syncing = start;
	if (start)
		mailbox->sync_began = g_get_monotonic_time();
	if (sync->holes) {
		/* What is missing below uidnext can only be had by listing everything; what is here
		 * stays. */
		mailbox->state.uidnext = 1;
		mailbox->state.highestmodseq = 0;
		start = TRUE;
	}
	known = sync->holes ? mailbox->state : known_now(mailbox);
	g_rw_lock_writer_unlock(&mailbox->lock);
	sync_free(sync);
	if (start)
		sync_submit(mailbox, &known);
	if (!start || error == NULL)
		wake_waiters(mailbox);
}

static const RequestEvents sync_events = {
	.selected = on_selected,
	.message = on_message,
	.flags = on_flags,
	.vanished = on_vanished,
	.present = on_present,
	.batch = on_batch,
	.done = on_done,
};

/* --- looking at it
 * ------------------------------------------------------------------------------------ */

void
mailbox_view(Mailbox *mailbox, MailboxView *out)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	*out = (MailboxView){
		.listed = mailbox->listed || (mailbox->attributes & MAILBOX_NOSELECT) != 0,
		.syncing = mailbox->syncing,
		.late = mailbox->syncing && g_get_monotonic_time() - mailbox->sync_began > LATE_US,
		.version = mailbox->version,
		.changed = mailbox->changed,
		.uidvalidity = mailbox->state.uidvalidity,
		.messages = mailbox->serial,
		.count = messages_count(mailbox->messages),
	};
}

GError *
mailbox_error(Mailbox *mailbox)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return mailbox->error != NULL ? g_error_copy(mailbox->error) : NULL;
}

static MessageView
view_of(const Mailbox *mailbox, const MessageEntry *entry)
{
	return (MessageView){
		.serial = mailbox->serial,
		.uid = entry->uid,
		.size = entry->size > 0 || entry->size_exact ? entry->size : SIZE_UNKNOWN,
		.date = entry->date,
		.flags = entry->flags,
		.resized = entry->resized,
	};
}

gboolean
mailbox_get(Mailbox *mailbox, guint32 serial, guint32 uid, MessageView *out)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	const MessageEntry *entry =
		serial == mailbox->serial ? messages_get(mailbox->messages, uid) : NULL;

	if (entry == NULL)
		return FALSE;
	*out = view_of(mailbox, entry);
	return TRUE;
}

gboolean
mailbox_find(Mailbox *mailbox, const char *file_name, MessageView *out)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	guint32 uid = name_parse_uid(file_name);
	const MessageEntry *entry = NULL;

	if (g_str_has_suffix(file_name, ".eml"))
		entry = messages_find(mailbox->messages, file_name, strlen(file_name) - 4);
	if (entry == NULL && uid != 0)
		entry = messages_get(mailbox->messages, uid);
	if (entry == NULL)
		return FALSE;
	*out = view_of(mailbox, entry);
	return TRUE;
}

char *
mailbox_flags_text(Mailbox *mailbox, guint32 uid)
{
	static const struct {
		guint flag;
		const char *word;
	} words[] = {
		{MESSAGE_SEEN, "\\Seen"},	{MESSAGE_ANSWERED, "\\Answered"},
		{MESSAGE_FLAGGED, "\\Flagged"}, {MESSAGE_DELETED, "\\Deleted"},
		{MESSAGE_DRAFT, "\\Draft"},	{MESSAGE_RECENT, "\\Recent"},
	};
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	const MessageEntry *entry = messages_get(mailbox->messages, uid);
	g_autoptr(GString) text = g_string_new(NULL);
	const char *keywords;

	if (entry == NULL)
		return NULL;
	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		if (entry->flags & words[i].flag)
			g_string_append_printf(text, "%s%s", text->len > 0 ? " " : "",
					       words[i].word);
	keywords = messages_keywords(mailbox->messages, entry);
	if (*keywords != '\0')
		g_string_append_printf(text, "%s%s", text->len > 0 ? " " : "", keywords);
	return g_strdup(text->str);
}

static void
format_name(const Mailbox *mailbox, const MessageEntry *entry, char *out, gsize size)
{
	const char *name = messages_name(mailbox->messages, entry);

	if (*name != '\0')
		g_snprintf(out, size, "%s.eml", name);
	else
		g_snprintf(out, size, "%u.eml", entry->uid);
}

char *
mailbox_name_of(Mailbox *mailbox, guint32 uid)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	const MessageEntry *entry = messages_get(mailbox->messages, uid);
	char name[NAME_MAX_MESSAGE + 32];

	if (entry == NULL)
		return NULL;
	format_name(mailbox, entry, name, sizeof name);
	return g_strdup(name);
}

void
mailbox_each(Mailbox *mailbox, guint32 first, MailboxEach func, gpointer user)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	for (guint rank = messages_rank(mailbox->messages, first);
	     rank < messages_count(mailbox->messages); rank++) {
		const MessageEntry *entry = messages_at(mailbox->messages, rank);
		MessageView view = view_of(mailbox, entry);
		char name[NAME_MAX_MESSAGE + 32];

		format_name(mailbox, entry, name, sizeof name);
		if (!func(user, &view, name))
			return;
	}
}

/* --- bodies
 * ------------------------------------------------------------------------------------------- */

static ScanPlace
place_of(const Mailbox *mailbox)
{
	return (ScanPlace){mailbox->raw_name, mailbox->state.uidvalidity, mailbox->serial};
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
		g_autoptr(GError) gone = g_error_new(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
						     "the message is no longer in the mailbox");

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
