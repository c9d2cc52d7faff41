/* SPDX-License-Identifier: MIT */
/* Two kinds of threads meet here: those that ask (the kernel's requests) and the one session that
 * serves the SYNC request of this mailbox. The listing is guarded by a reader-writer lock that is
 * held for memory work only; loading from the index has a mutex of its own, so that a second asker
 * waits for the disk and not twice for it. */
#include "mail/mailbox-private.h"

#include <string.h>

#include "mail/name.h"

#define LATE_US	    (1 * G_USEC_PER_SEC)
#define FORMER_KEPT 512
#define SIZE_UNKNOWN                                                                               \
	4096 /* listed when the server gave no size: tar skips what claims to be empty */

typedef struct {
	MailboxWake wake;
	gpointer user;
} Waiter;

Mailbox *
mailbox_new(const MailboxHouse *house, const IndexMailbox *row, const char *file_name,
	    guint32 parent)
{
	Mailbox *mailbox = g_new0(Mailbox, 1);

	mailbox->house = house;
	g_mutex_init(&mailbox->load_lock);
	g_rw_lock_init(&mailbox->lock);
	mailbox_changes_init(mailbox);
	mailbox_put_place(mailbox, row->name, file_name, parent);
	mailbox->prefix = g_strdup(row->prefix);
	mailbox->directory = row->directory;
	mailbox->separator = row->separator;
	mailbox->attributes = row->attributes;
	mailbox->serial = row->messages;
	mailbox->state = row->state;
	mailbox->messages = messages_new();
	mailbox->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	mailbox->former = g_array_new(FALSE, FALSE, sizeof(MailboxFormer));
	mailbox->changed = row->changed;
	mailbox->unseen = -1;
	return mailbox;
}

void
mailbox_free(Mailbox *mailbox)
{
	if (mailbox == NULL)
		return;
	if (mailbox->exact != NULL)
		index_submit(mailbox->house->index, mailbox->exact);
	messages_free(mailbox->messages);
	g_array_unref(mailbox->waiters);
	g_array_unref(mailbox->former);
	g_clear_error(&mailbox->error);
	g_rw_lock_clear(&mailbox->lock);
	g_mutex_clear(&mailbox->load_lock);
	g_free(mailbox->prefix);
	mailbox_changes_clear(mailbox);
	g_free(mailbox);
}

const char *
mailbox_raw_name(const Mailbox *mailbox)
{
	return g_atomic_pointer_get(&((Mailbox *)mailbox)->raw_name);
}

const char *
mailbox_file_name(const Mailbox *mailbox)
{
	return g_atomic_pointer_get(&((Mailbox *)mailbox)->file_name);
}

guint32
mailbox_directory(const Mailbox *mailbox)
{
	return mailbox->directory;
}

guint32
mailbox_parent(const Mailbox *mailbox)
{
	return g_atomic_int_get(&mailbox->parent);
}

char
mailbox_separator(const Mailbox *mailbox)
{
	return mailbox->separator;
}

const char *
mailbox_prefix(const Mailbox *mailbox)
{
	return mailbox->prefix;
}

guint
mailbox_attributes(Mailbox *mailbox)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return mailbox->attributes;
}

void
mailbox_store(const Mailbox *mailbox)
{
	IndexMailbox row = {
		.name = mailbox->raw_name,
		.directory = mailbox->directory,
		.messages = mailbox->serial,
		.state = mailbox->state,
		.changed = mailbox->changed,
		.separator = mailbox->separator,
		.attributes = mailbox->attributes,
		.prefix = mailbox->prefix,
	};

	if (!mailbox->gone)
		index_put_mailbox(mailbox->house->index, &row);
}

void
mailbox_set_gone(Mailbox *mailbox)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);

	mailbox->gone = TRUE;
	g_clear_error(&mailbox->error);
	mailbox->error = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
					     "the mailbox is there no more");
	index_delete_mailbox(mailbox->house->index, mailbox->directory);
}

void
mailbox_set_attributes(Mailbox *mailbox, guint attributes)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);

	if (mailbox->attributes == attributes)
		return;
	mailbox->attributes = attributes;
	mailbox_store(mailbox);
}

void
mailbox_put_place(Mailbox *mailbox, const char *raw_name, const char *file_name, guint32 parent)
{
	char *raw = g_strdup(raw_name), *file = g_strdup(file_name);

	g_ptr_array_add(mailbox->texts, raw);
	g_ptr_array_add(mailbox->texts, file);
	g_atomic_pointer_set(&mailbox->raw_name, raw);
	g_atomic_pointer_set(&mailbox->file_name, file);
	g_atomic_int_set(&mailbox->parent, parent);
}

void
mailbox_set_place(Mailbox *mailbox, const char *raw_name, const char *file_name, guint32 parent)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);

	mailbox_put_place(mailbox, raw_name, file_name, parent);
	/* What was told under the new name before nobody heard. */
	mailbox->known_at = 0;
	mailbox_store(mailbox);
}

void
mailbox_set_changed(Mailbox *mailbox, gint64 time)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);

	mailbox->changed = time;
	uidset_remove(mailbox->arrived, 1, G_MAXUINT32);
	mailbox_store(mailbox);
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
void
mailbox_wake(Mailbox *mailbox)
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

typedef struct {
	Messages *messages;
	UidSet *ours; /* marked to go by us */
} Loading;

static void
load_message(gpointer user, const IndexMessage *stored)
{
	const Loading *loading = user;
	Messages *messages = loading->messages;
	MessageInfo info = stored->info;
	const MessageEntry *entry;

	if (mailbox_take_stored_flags(&info.flags))
		uidset_add(loading->ours, info.uid, info.uid);
	entry = messages_add(messages, &info, stored->name);
	if (entry != NULL && stored->has_crc)
		messages_set_exact(messages, info.uid, info.size, stored->crc);
	else if (entry != NULL && stored->size_exact)
		messages_set_size(messages, info.uid, info.size);
}

void
mailbox_load(Mailbox *mailbox)
{
	g_autoptr(GMutexLocker) loading = g_mutex_locker_new(&mailbox->load_lock);
	g_autoptr(Messages) messages = NULL;
	g_autoptr(UidSet) ours = uidset_new();
	g_autoptr(GError) error = NULL;
	guint32 serial, count;
	gboolean loaded;
	Loading into;

	g_rw_lock_reader_lock(&mailbox->lock);
	loaded = mailbox->loaded;
	serial = mailbox->serial;
	count = mailbox->state.count;
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (loaded)
		return;

	messages = messages_new();
	if (!mailbox->house->names_uid)
		messages_reserve(messages, count);
	into = (Loading){messages, ours};
	if (serial != 0 &&
	    !index_each_message(mailbox->house->index, serial, load_message, &into, &error)) {
		g_debug("%s: index: %s", mailbox->raw_name, error->message);
		g_clear_pointer(&messages, messages_free);
		messages = messages_new();
		uidset_remove(ours, 1, G_MAXUINT32);
		serial = 0;
	}
	mailbox_load_kept(mailbox, messages);
	g_rw_lock_writer_lock(&mailbox->lock);
	/* A crash before the last batch was written leaves another number of rows: known_now() then
	 * asks for a sweep. */
	mailbox->listed = serial != 0 && mailbox->state.uidvalidity != 0 &&
			  messages_count(messages) == mailbox->state.count;
	messages_free(mailbox->messages);
	mailbox->messages = g_steal_pointer(&messages);
	uidset_add_all(mailbox->hidden, ours);
	uidset_add_all(mailbox->deleted, ours);
	mailbox->loaded = TRUE;
	mailbox->version++;
	g_rw_lock_writer_unlock(&mailbox->lock);
}

/* --- looking at it
 * ------------------------------------------------------------------------------------ */

void
mailbox_view(Mailbox *mailbox, MailboxView *out)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	*out = (MailboxView){
		.listed = mailbox->listed ||
			  (mailbox->attributes & (MAILBOX_NOSELECT | MAILBOX_LOCAL)) != 0,
		.syncing = mailbox->syncing,
		.late = mailbox->syncing && g_get_monotonic_time() - mailbox->sync_began > LATE_US,
		.version = mailbox->version,
		.appended = mailbox->appended,
		.changed = mailbox->changed,
		.marks = mailbox->marks,
		.marked = mailbox->marked,
		.uidvalidity = mailbox->state.uidvalidity,
		.messages = mailbox->serial,
		.count = messages_count(mailbox->messages) - (guint)uidset_count(mailbox->hidden),
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
		.has_keywords = entry->keywords != 0,
		.resized = entry->resized,
	};
}

gboolean
mailbox_get(Mailbox *mailbox, guint32 serial, guint32 uid, MessageView *out)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	const MessageEntry *entry = serial == mailbox->serial ? mailbox_shown(mailbox, uid) : NULL;

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
	if (entry != NULL)
		entry = mailbox_shown(mailbox, entry->uid);
	if (entry == NULL && uid != 0)
		entry = mailbox_shown(mailbox, uid);
	if (entry == NULL)
		return FALSE;
	*out = view_of(mailbox, entry);
	return TRUE;
}

guint
mailbox_rank(Mailbox *mailbox, guint32 uid)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return messages_rank(mailbox->messages, uid);
}

gboolean
mailbox_first_open(Mailbox *mailbox, guint32 serial, guint32 uid)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);

	return serial == mailbox->serial && messages_first_open(mailbox->messages, uid);
}

void
mailbox_set_stored(Mailbox *mailbox, guint32 serial, guint32 uid)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);

	if (serial == mailbox->serial)
		messages_set_stored(mailbox->messages, uid);
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
		{MESSAGE_DRAFT, "\\Draft"},
	};
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	const MessageEntry *entry = mailbox_shown(mailbox, uid);
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

void
mailbox_note_former(Mailbox *mailbox, guint32 uid, guint32 flags)
{
	MailboxFormer former = {.uid = uid, .flags = flags, .when = g_get_monotonic_time()};

	if (mailbox->former->len >= FORMER_KEPT)
		g_array_remove_range(mailbox->former, 0, FORMER_KEPT / 2);
	g_array_append_val(mailbox->former, former);
}

gboolean
mailbox_had_flags(Mailbox *mailbox, guint32 uid, guint32 flags, gint64 max_age_us)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	gint64 since = g_get_monotonic_time() - max_age_us;

	for (guint i = mailbox->former->len; i > 0; i--) {
		const MailboxFormer *former = &g_array_index(mailbox->former, MailboxFormer, i - 1);

		if (former->when < since)
			return FALSE;
		if (former->uid == uid && former->flags == flags)
			return TRUE;
	}
	return FALSE;
}

static void
format_name(const Mailbox *mailbox, const MessageEntry *entry, char *out, gsize size)
{
	const char *name = messages_name(mailbox->messages, entry);
	gsize len = strlen(name);

	if (len == 0 || len + sizeof ".eml" > size) {
		g_snprintf(out, size, "%u.eml", entry->uid);
		return;
	}
	memcpy(out, name, len);
	memcpy(out + len, ".eml", sizeof ".eml");
}

char *
mailbox_name_of(Mailbox *mailbox, guint32 uid)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);
	const MessageEntry *entry = mailbox_shown(mailbox, uid);
	char name[MAILBOX_NAME_MAX + 1];

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
		char name[MAILBOX_NAME_MAX + 1];

		if (uidset_contains(mailbox->hidden, entry->uid))
			continue;
		format_name(mailbox, entry, name, sizeof name);
		if (!func(user, &view, name))
			return;
	}
}
