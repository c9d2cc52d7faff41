/* SPDX-License-Identifier: MIT */
/* What we changed ourselves, shown before the server tells of it. A message that an APPEND, COPY or
 * MOVE has made has the very UID that the server would give to the next one: then all below it is
 * known, and `state` moves on past it. When others were faster it lies `ahead` of what is known,
 * until a SYNC has filled the gap. A SYNC that was asked before a change and answered after it is
 * not believed where the two differ: it is asked again. */
#include "mail/mailbox-private.h"

#include <string.h>

#include "mail/name.h"

#define EXPECTED_US   (G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC)
#define EXPECTED_MOST 4096
#define NAMES_MOST    20000
#define NAME_ROOM     20 /* bytes that ~N and .eml may take */
#define LASTING_FLAGS (~(guint32)MESSAGE_RECENT)

/* --- life
 * ---------------------------------------------------------------------------------------------- */

static void
expected_free(gpointer data)
{
	MailboxExpected *expected = data;

	g_free(expected->message_id);
	g_free(expected->name);
	g_free(expected);
}

void
mailbox_changes_init(Mailbox *mailbox)
{
	mailbox->texts = g_ptr_array_new_with_free_func(g_free);
	mailbox->hidden = uidset_new();
	mailbox->deleted = uidset_new();
	mailbox->ahead = uidset_new();
	mailbox->missed = uidset_new();
	mailbox->dropped = uidset_new();
	mailbox->arrived = uidset_new();
	mailbox->flagged = uidset_new();
	mailbox->renamed = uidset_new();
	mailbox->names_to_come = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	g_queue_init(&mailbox->expected);
}

void
mailbox_changes_clear(Mailbox *mailbox)
{
	g_ptr_array_unref(mailbox->texts);
	uidset_free(mailbox->hidden);
	uidset_free(mailbox->deleted);
	uidset_free(mailbox->ahead);
	uidset_free(mailbox->missed);
	uidset_free(mailbox->dropped);
	uidset_free(mailbox->arrived);
	uidset_free(mailbox->flagged);
	uidset_free(mailbox->renamed);
	g_hash_table_unref(mailbox->names_to_come);
	g_queue_clear_full(&mailbox->expected, expected_free);
}

void
mailbox_changes_reset(Mailbox *mailbox)
{
	uidset_remove(mailbox->hidden, 1, G_MAXUINT32);
	uidset_remove(mailbox->deleted, 1, G_MAXUINT32);
	uidset_remove(mailbox->ahead, 1, G_MAXUINT32);
	uidset_remove(mailbox->missed, 1, G_MAXUINT32);
	uidset_remove(mailbox->dropped, 1, G_MAXUINT32);
	uidset_remove(mailbox->arrived, 1, G_MAXUINT32);
	uidset_remove(mailbox->flagged, 1, G_MAXUINT32);
	uidset_remove(mailbox->renamed, 1, G_MAXUINT32);
}

void
mailbox_changes_forget(Mailbox *mailbox, guint32 uid)
{
	uidset_remove(mailbox->hidden, uid, uid);
	uidset_remove(mailbox->deleted, uid, uid);
	uidset_remove(mailbox->ahead, uid, uid);
	uidset_remove(mailbox->renamed, uid, uid);
}

const MessageEntry *
mailbox_shown(const Mailbox *mailbox, guint32 uid)
{
	return uidset_contains(mailbox->hidden, uid) ? NULL : messages_get(mailbox->messages, uid);
}

static void
set_changed(Mailbox *mailbox)
{
	mailbox->version++;
	mailbox->changed = g_get_real_time() / G_USEC_PER_SEC;
	uidset_remove(mailbox->arrived, 1, G_MAXUINT32);
}

void
mailbox_touch(Mailbox *mailbox)
{
	set_changed(mailbox);
	mailbox_note_own(mailbox);
}

void
mailbox_note_change(Mailbox *mailbox)
{
	if (mailbox->listed)
		set_changed(mailbox);
	else
		mailbox->version++;
}

static gboolean
is_last(const Mailbox *mailbox, guint32 uid)
{
	guint n = messages_count(mailbox->messages);

	return n > 0 && messages_at(mailbox->messages, n - 1)->uid == uid;
}

void
mailbox_note_arrival(Mailbox *mailbox, guint32 uid)
{
	mailbox->version++;
	mailbox->appended += is_last(mailbox, uid);
	if (!mailbox->listed)
		return;
	if (uidset_is_empty(mailbox->arrived))
		mailbox->before = mailbox->changed;
	mailbox->changed = g_get_real_time() / G_USEC_PER_SEC;
	uidset_add(mailbox->arrived, uid, uid);
}

/* Its name was shown before: a copier that has compared the directory's time was right. */
static void
note_own_arrival(Mailbox *mailbox, guint32 uid)
{
	mailbox->version++;
	mailbox_note_own(mailbox);
	if (!uidset_contains(mailbox->arrived, uid))
		return;
	uidset_remove(mailbox->arrived, uid, uid);
	if (uidset_is_empty(mailbox->arrived))
		mailbox->changed = mailbox->before;
}

void
mailbox_tell_listing(Mailbox *mailbox)
{
	mailbox->house->news->listing(mailbox->house->user, mailbox);
	mailbox_wake(mailbox);
}

/* --- names
 * -------------------------------------------------------------------------------------------- */

gboolean
mailbox_name_is_valid(const char *name, guint32 uid)
{
	gsize len = strlen(name);
	guint32 number = name_parse_uid(name);

	return g_str_has_suffix(name, ".eml") && len > 4 && len <= MAILBOX_NAME_MAX - NAME_ROOM &&
	       strchr(name, '/') == NULL && *name != '.' && (number == 0 || number == uid);
}

/* Without ".eml". (transfer full) */
static char *
stem_of(const char *file_name)
{
	return g_strndup(file_name, strlen(file_name) - 4);
}

/* What the index keeps of a message that is here; borrows. Under the lock. */
static IndexMessage
row_of(const Mailbox *mailbox, const MessageEntry *entry)
{
	return (IndexMessage){
		.info = {.uid = entry->uid,
			 .flags = mailbox_stored_flags(mailbox, entry->uid, entry->flags),
			 .size = entry->size,
			 .date = entry->date,
			 .keywords = messages_keywords(mailbox->messages, entry)},
		.name = messages_name(mailbox->messages, entry),
		.size_exact = entry->size_exact,
		.has_crc = entry->has_crc,
		.crc = entry->crc,
	};
}

static void
store_row(const Mailbox *mailbox, IndexBatch *batch, guint32 uid)
{
	const MessageEntry *entry = messages_get(mailbox->messages, uid);
	IndexMessage row;

	if (entry == NULL)
		return;
	row = row_of(mailbox, entry);
	index_batch_add(batch, &row);
}

/* The message of that name becomes name~2: nothing but the index knows which of the two was meant
 * to have it. Returns its UID, 0: nobody has it. Under the lock. */
static guint32
make_room(Mailbox *mailbox, IndexBatch *batch, const char *stem)
{
	const MessageEntry *holder = messages_find(mailbox->messages, stem, strlen(stem));
	guint32 uid = holder != NULL ? holder->uid : 0;

	if (uid == 0)
		return 0;
	messages_yield_name(mailbox->messages, uid);
	mailbox->named = TRUE;
	store_row(mailbox, batch, uid);
	return uid;
}

static char *
message_id_of(const char *header, gsize len)
{
	NameHeaders headers;
	char *id;

	name_headers_parse(header != NULL ? header : "", header != NULL ? len : 0, &headers);
	id = g_strdup(headers.message_id != NULL ? headers.message_id : "");
	name_headers_clear(&headers);
	return id;
}

void
mailbox_expect(Mailbox *mailbox, const char *message_id, guint64 size, const char *name)
{
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&mailbox->lock);
	MailboxExpected *expected;

	if (!mailbox_name_is_valid(name, 0))
		return;
	expected = g_new0(MailboxExpected, 1);
	expected->message_id = g_strdup(message_id);
	expected->name = stem_of(name);
	expected->size = size;
	expected->until = g_get_monotonic_time() + EXPECTED_US;
	if (mailbox->expected.length >= EXPECTED_MOST)
		expected_free(g_queue_pop_head(&mailbox->expected));
	g_queue_push_tail(&mailbox->expected, expected);
}

static char *
take_expected(Mailbox *mailbox, const MessageInfo *info)
{
	g_autofree char *id = message_id_of(info->header, info->header_len);
	gint64 now = g_get_monotonic_time();
	char *name = NULL;

	for (GList *link = mailbox->expected.head, *next; link != NULL && name == NULL;
	     link = next) {
		MailboxExpected *expected = link->data;
		gboolean old = expected->until < now;

		next = link->next;
		if (!old && (expected->size != info->size || strcmp(expected->message_id, id) != 0))
			continue;
		if (!old)
			name = g_steal_pointer(&expected->name);
		expected_free(expected);
		g_queue_delete_link(&mailbox->expected, link);
	}
	return name;
}

/* The name that was given for a message that has come now; NULL: none. (transfer full) */
static char *
take_given_name(Mailbox *mailbox, const MessageInfo *info)
{
	if (g_hash_table_size(mailbox->names_to_come) > 0) {
		g_autofree char *key =
			g_strdup_printf("%u/%u", mailbox->state.uidvalidity, info->uid);
		g_autofree char *old_key = NULL;
		gpointer name = NULL;

		if (g_hash_table_steal_extended(mailbox->names_to_come, key, (gpointer *)&old_key,
						&name))
			return name;
	}
	return mailbox->expected.length > 0 ? take_expected(mailbox, info) : NULL;
}

gboolean
mailbox_add_message(Mailbox *mailbox, IndexBatch *batch, IndexMessage *row, const char *chosen,
		    const char *name)
{
	g_autofree char *given = NULL;
	const MessageEntry *entry, *holder;

	if (messages_get(mailbox->messages, row->info.uid) != NULL)
		return FALSE;
	given = chosen != NULL ? g_strdup(chosen) : take_given_name(mailbox, &row->info);
	/* One that is marked and hidden needs its name no more. */
	holder = *name != '\0' ? messages_find(mailbox->messages, name, strlen(name)) : NULL;
	if (given != NULL)
		make_room(mailbox, batch, given);
	else if (holder != NULL && uidset_contains(mailbox->deleted, holder->uid))
		make_room(mailbox, batch, name);
	entry = messages_add(mailbox->messages, &row->info, given != NULL ? given : name);
	if (entry == NULL)
		return FALSE;
	row->name = messages_name(mailbox->messages, entry);
	index_batch_add(batch, row);
	return TRUE;
}

void
mailbox_settle_names(Mailbox *mailbox)
{
	guint32 serial;

	g_rw_lock_reader_lock(&mailbox->lock);
	serial = mailbox->named ? mailbox->serial : 0;
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (serial != 0)
		index_settle(mailbox->house->index, serial);
}

guint32
mailbox_take_name(Mailbox *mailbox, guint32 serial, guint32 uid, const char *name)
{
	g_autofree char *stem = NULL;
	IndexBatch *batch;
	guint32 holder = 0;

	if (!mailbox_name_is_valid(name, uid))
		return 0;
	stem = stem_of(name);
	g_rw_lock_writer_lock(&mailbox->lock);
	batch = index_batch_new(serial);
	if (serial == mailbox->serial && messages_get(mailbox->messages, uid) != NULL &&
	    !messages_set_name(mailbox->messages, uid, stem)) {
		holder = make_room(mailbox, batch, stem);
		messages_set_name(mailbox->messages, uid, stem);
	}
	if (serial == mailbox->serial) {
		mailbox->named = TRUE;
		uidset_add(mailbox->renamed, uid, uid);
		store_row(mailbox, batch, uid);
	}
	mailbox_touch(mailbox);
	index_submit(mailbox->house->index, batch);
	g_rw_lock_writer_unlock(&mailbox->lock);
	mailbox_tell_listing(mailbox);
	return holder;
}

gboolean
mailbox_set_name(Mailbox *mailbox, guint32 serial, guint32 uid, const char *name, GError **error)
{
	g_autofree char *stem = NULL;
	gboolean there, taken = FALSE;

	if (!mailbox_name_is_valid(name, uid)) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
				    "a message's name ends in .eml and is no other message's UID");
		return FALSE;
	}
	stem = stem_of(name);
	g_rw_lock_writer_lock(&mailbox->lock);
	there = serial == mailbox->serial && mailbox_shown(mailbox, uid) != NULL;
	if (there)
		taken = !messages_set_name(mailbox->messages, uid, stem);
	if (there && !taken) {
		IndexBatch *batch = index_batch_new(serial);

		mailbox->named = TRUE;
		uidset_add(mailbox->renamed, uid, uid);
		store_row(mailbox, batch, uid);
		mailbox_touch(mailbox);
		index_submit(mailbox->house->index, batch);
	}
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (!there)
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
				    "the message is no longer in the mailbox");
	else if (taken)
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_EXISTS,
				    "another message has that name");
	else
		mailbox_tell_listing(mailbox);
	return there && !taken;
}

/* --- coming
 * ------------------------------------------------------------------------------------------- */

/* All below the highest UID is known as soon as there is no gap; but where a sync has looked since
 * it was asked for, or looks now, it may have looked when the message was gone again. Under the
 * lock. */
static void
move_on(Mailbox *mailbox, guint32 uid, const MailboxMoment *asked)
{
	uidset_add(mailbox->ahead, uid, uid);
	if (mailbox->syncing || (asked != NULL && asked->n_synced != mailbox->n_synced))
		return;
	while (uidset_contains(mailbox->ahead, mailbox->state.uidnext)) {
		uidset_remove(mailbox->ahead, mailbox->state.uidnext, mailbox->state.uidnext);
		mailbox->state.uidnext++;
		mailbox->state.count++;
	}
	mailbox_store(mailbox);
}

static char *
default_name(const Mailbox *mailbox, const MessageInfo *info)
{
	NameHeaders headers;
	char *name;

	if (mailbox->house->names_uid)
		return g_strdup("");
	name_headers_parse(info->header != NULL ? info->header : "",
			   info->header != NULL ? info->header_len : 0, &headers);
	name = name_for_message(info->date, info->uid, &headers);
	name_headers_clear(&headers);
	return name;
}

/* It is known what it is, and where. Under the lock. */
static void
adopt(Mailbox *mailbox, const IndexMessage *row, const char *stem, const char *otherwise,
      const MailboxMoment *asked)
{
	IndexBatch *batch = index_batch_new(mailbox->serial);
	guint32 uid = row->info.uid;
	const MessageEntry *entry = messages_get(mailbox->messages, uid);

	if (entry == NULL && uid >= mailbox->state.uidnext) {
		IndexMessage fresh = *row;

		if (mailbox_add_message(mailbox, batch, &fresh, stem, otherwise))
			move_on(mailbox, uid, asked);
	} else if (entry != NULL && stem != NULL && !uidset_contains(mailbox->renamed, uid) &&
		   !messages_set_name(mailbox->messages, uid, stem)) {
		make_room(mailbox, batch, stem);
		messages_set_name(mailbox->messages, uid, stem);
	}
	if (row->has_crc)
		messages_set_exact(mailbox->messages, uid, row->info.size, row->crc);
	else if (row->size_exact)
		messages_set_size(mailbox->messages, uid, row->info.size);
	entry = messages_get(mailbox->messages, uid);
	if (entry != NULL) {
		IndexMessage now = row_of(mailbox, entry);

		now.info.header = row->info.header;
		now.info.header_len = row->info.header_len;
		index_batch_add(batch, &now);
	}
	index_submit(mailbox->house->index, batch);
	note_own_arrival(mailbox, uid);
}

static gboolean
adopt_row(Mailbox *mailbox, guint32 uidvalidity, IndexMessage *row, const char *name,
	  const MailboxMoment *asked)
{
	guint32 uid = row->info.uid;
	g_autofree char *stem =
		name != NULL && mailbox_name_is_valid(name, uid) ? stem_of(name) : NULL;
	g_autofree char *otherwise = default_name(mailbox, &row->info);
	gboolean known;

	row->info.flags &= LASTING_FLAGS;
	mailbox_load(mailbox);
	g_rw_lock_writer_lock(&mailbox->lock);
	known = mailbox->serial != 0 && mailbox->state.uidvalidity == uidvalidity;
	mailbox->named = mailbox->named || (stem != NULL && strcmp(stem, otherwise) != 0);
	if (known)
		adopt(mailbox, row, stem, otherwise, asked);
	else if (stem != NULL && g_hash_table_size(mailbox->names_to_come) < NAMES_MOST)
		g_hash_table_replace(mailbox->names_to_come,
				     g_strdup_printf("%u/%u", uidvalidity, uid),
				     g_steal_pointer(&stem));
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (known)
		mailbox_tell_listing(mailbox);
	return known;
}

gboolean
mailbox_adopt(Mailbox *mailbox, guint32 uidvalidity, const MessageInfo *info, gboolean has_crc,
	      guint32 crc, const char *name)
{
	IndexMessage row = {.info = *info, .size_exact = TRUE, .has_crc = has_crc, .crc = crc};

	return adopt_row(mailbox, uidvalidity, &row, name, NULL);
}

gboolean
mailbox_adopt_copy(Mailbox *mailbox, guint32 uidvalidity, guint32 uid, const MessageCopy *copy,
		   const char *name, const MailboxMoment *asked)
{
	IndexMessage row = {.info = copy->info,
			    .size_exact = copy->exact,
			    .has_crc = copy->has_crc,
			    .crc = copy->crc};

	row.info.uid = uid;
	return adopt_row(mailbox, uidvalidity, &row, name, asked);
}

/* --- going
 * -------------------------------------------------------------------------------------------- */

typedef struct {
	GArray *uids;
	GPtrArray *names;
} Dropped;

static void
note_dropped(gpointer user, guint32 uid, const char *name)
{
	Dropped *dropped = user;

	g_array_append_val(dropped->uids, uid);
	g_ptr_array_add(dropped->names, *name != '\0' ? g_strconcat(name, ".eml", NULL)
						      : g_strdup_printf("%u.eml", uid));
}

/* Under the lock. */
static void
account_for_dropped(Mailbox *mailbox, const GArray *uids)
{
	IndexBatch *batch = index_batch_new(mailbox->serial);

	for (guint i = 0; i < uids->len; i++) {
		guint32 uid = g_array_index(uids, guint32, i);

		if (!uidset_contains(mailbox->ahead, uid) && mailbox->state.count > 0)
			mailbox->state.count--;
		mailbox_changes_forget(mailbox, uid);
		if (mailbox->syncing)
			uidset_add(mailbox->dropped, uid, uid);
		index_batch_remove(batch, uid);
	}
	index_submit(mailbox->house->index, batch);
	mailbox_touch(mailbox);
	mailbox_store(mailbox);
}

void
mailbox_drop(Mailbox *mailbox, guint32 serial, const UidSet *uids)
{
	g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	Dropped dropped = {gone, names};

	g_rw_lock_writer_lock(&mailbox->lock);
	if (serial == mailbox->serial)
		messages_remove(mailbox->messages, uids, note_dropped, &dropped);
	if (gone->len > 0)
		account_for_dropped(mailbox, gone);
	g_rw_lock_writer_unlock(&mailbox->lock);
	for (guint i = 0; i < gone->len; i++) {
		guint32 uid = g_array_index(gone, guint32, i);

		bodies_remove(mailbox->house->bodies, serial, uid);
		mailbox_keep_no_more(mailbox, uid);
		mailbox->house->news->gone(mailbox->house->user, mailbox, serial, uid,
					   names->pdata[i]);
	}
	if (gone->len > 0)
		mailbox_tell_listing(mailbox);
}

void
mailbox_hide(Mailbox *mailbox, guint32 serial, guint32 uid, gboolean hidden)
{
	gboolean changed;

	g_rw_lock_writer_lock(&mailbox->lock);
	changed = serial == mailbox->serial && messages_get(mailbox->messages, uid) != NULL &&
		  uidset_contains(mailbox->hidden, uid) != hidden;
	if (changed && hidden)
		uidset_add(mailbox->hidden, uid, uid);
	else if (changed)
		uidset_remove(mailbox->hidden, uid, uid);
	if (changed)
		set_changed(mailbox);
	g_rw_lock_writer_unlock(&mailbox->lock);
	if (changed)
		mailbox_tell_listing(mailbox);
}

/* --- copies
 * ------------------------------------------------------------------------------------------- */

gboolean
mailbox_has(Mailbox *mailbox, guint32 serial, guint32 uid)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	return serial == mailbox->serial && messages_get(mailbox->messages, uid) != NULL;
}

MessageCopy *
mailbox_copy_of(Mailbox *mailbox, guint32 serial, guint32 uid)
{
	g_autoptr(GBytes) header = NULL;
	MessageCopy *copy = g_new0(MessageCopy, 1);
	const MessageEntry *entry;
	gsize len = 0;

	g_rw_lock_reader_lock(&mailbox->lock);
	entry = serial == mailbox->serial ? messages_get(mailbox->messages, uid) : NULL;
	if (entry != NULL) {
		IndexMessage row = row_of(mailbox, entry);

		copy->info = row.info;
		copy->info.keywords = g_strdup(row.info.keywords);
		copy->name = *row.name != '\0' ? g_strconcat(row.name, ".eml", NULL)
					       : g_strdup_printf("%u.eml", uid);
		copy->exact = row.size_exact;
		copy->has_crc = row.has_crc;
		copy->crc = row.crc;
	}
	g_rw_lock_reader_unlock(&mailbox->lock);
	if (copy->name == NULL) {
		message_copy_free(copy);
		return NULL;
	}
	header = index_get_header(mailbox->house->index, serial, uid);
	if (header != NULL) {
		const char *text = g_bytes_get_data(header, &len);

		copy->info.header = g_strndup(text, len);
		copy->info.header_len = len;
	}
	copy->message_id = message_id_of(copy->info.header, len);
	return copy;
}

void
message_copy_free(MessageCopy *copy)
{
	if (copy == NULL)
		return;
	g_free((char *)copy->info.keywords);
	g_free((char *)copy->info.header);
	g_free(copy->name);
	g_free(copy->message_id);
	g_free(copy);
}

typedef struct {
	guint32 uid;
	gboolean same_size;
} Candidate;

guint32
mailbox_find_like(Mailbox *mailbox, guint32 serial, const char *message_id, guint64 size,
		  guint32 first)
{
	g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
	guint32 resized = 0;

	g_rw_lock_reader_lock(&mailbox->lock);
	for (guint rank = messages_rank(mailbox->messages, first);
	     serial == mailbox->serial && rank < messages_count(mailbox->messages); rank++) {
		const MessageEntry *entry = messages_at(mailbox->messages, rank);

		Candidate candidate = {entry->uid, entry->size == size};

		if (candidate.same_size || (first > 0 && *message_id != '\0'))
			g_array_append_val(candidates, candidate);
	}
	g_rw_lock_reader_unlock(&mailbox->lock);
	for (guint i = candidates->len; i > 0; i--) {
		const Candidate *candidate = &g_array_index(candidates, Candidate, i - 1);
		g_autoptr(GBytes) header =
			index_get_header(mailbox->house->index, serial, candidate->uid);
		g_autofree char *id = NULL;
		gsize len = 0;
		const char *text = header != NULL ? g_bytes_get_data(header, &len) : NULL;

		id = message_id_of(text, len);
		if (strcmp(id, message_id) != 0)
			continue;
		if (candidate->same_size)
			return candidate->uid;
		if (resized == 0)
			resized = candidate->uid;
	}
	return resized;
}

guint32
mailbox_next_uid(Mailbox *mailbox, guint32 *uidvalidity_out)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&mailbox->lock);

	guint count = messages_count(mailbox->messages);
	guint32 last = count > 0 ? messages_at(mailbox->messages, count - 1)->uid : 0;

	*uidvalidity_out = mailbox->state.uidvalidity;
	if (mailbox->serial == 0 || mailbox->state.uidvalidity == 0)
		return 0;
	/* What is listed ahead of all that is known has its number already, too. */
	return MAX(mailbox->state.uidnext, last + 1);
}
