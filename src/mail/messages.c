/* SPDX-License-Identifier: MIT */
/* A sorted array of fixed-size entries; the names lie behind each other in one arena; an
 * open-addressing table of UIDs finds a name's entry (UIDs stay right when entries move). Removed
 * names leave holes in the arena: it is made anew when half of it is holes. */
#include "mail/messages.h"

#include <string.h>

#define KEYWORD_SETS G_MAXUINT16
#define RESERVE_MAX  (1024 * 1024) /* what a server announces is no reason to take more at once */
#define EMPTY	     0u
#define REMOVED                                                                                    \
	G_MAXUINT32 /* no UID: RFC 3501 UIDs end one below in practice, see messages_add() */

/* The hash spares most looks at other messages' names. */
typedef struct {
	guint32 uid; /* EMPTY, REMOVED, or the message's */
	guint32 hash;
} Slot;

struct Messages {
	GArray *entries; /* of MessageEntry, ascending UIDs */
	GString *names;	 /* NUL-terminated one after the other; offset 0 is "" */
	gsize holes;	 /* bytes of names no longer used */
	Slot *table;	 /* by hash of the name */
	guint table_size, table_used;
	GHashTable *next_copy; /* base name → the number to try next for ~N; only names that were
				  taken twice */
	GPtrArray *keyword_sets; /* of char *; index 0 is "" */
	GHashTable *keyword_ids;
};

Messages *
messages_new(void)
{
	Messages *messages = g_new0(Messages, 1);

	messages->entries = g_array_new(FALSE, FALSE, sizeof(MessageEntry));
	messages->names = g_string_new_len("", 1);
	messages->next_copy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	messages->keyword_sets = g_ptr_array_new_with_free_func(g_free);
	messages->keyword_ids = g_hash_table_new(g_str_hash, g_str_equal);
	g_ptr_array_add(messages->keyword_sets, g_strdup(""));
	return messages;
}

void
messages_free(Messages *messages)
{
	if (messages == NULL)
		return;
	g_array_unref(messages->entries);
	g_string_free(messages->names, TRUE);
	g_free(messages->table);
	g_hash_table_unref(messages->next_copy);
	g_hash_table_unref(messages->keyword_ids);
	g_ptr_array_unref(messages->keyword_sets);
	g_free(messages);
}

guint
messages_count(const Messages *messages)
{
	return messages->entries->len;
}

static MessageEntry *
entry_at(const Messages *messages, guint rank)
{
	return &g_array_index(messages->entries, MessageEntry, rank);
}

guint
messages_rank(const Messages *messages, guint32 uid)
{
	guint low = 0, high = messages->entries->len;

	if (high > 0 && entry_at(messages, high - 1)->uid < uid)
		return high;
	while (low < high) {
		guint middle = low + (high - low) / 2;

		if (entry_at(messages, middle)->uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const MessageEntry *
messages_at(const Messages *messages, guint rank)
{
	return rank < messages->entries->len ? entry_at(messages, rank) : NULL;
}

static MessageEntry *
find_uid(const Messages *messages, guint32 uid)
{
	guint rank = messages_rank(messages, uid);

	return rank < messages->entries->len && entry_at(messages, rank)->uid == uid
		       ? entry_at(messages, rank)
		       : NULL;
}

const MessageEntry *
messages_get(const Messages *messages, guint32 uid)
{
	return find_uid(messages, uid);
}

const char *
messages_name(const Messages *messages, const MessageEntry *entry)
{
	return messages->names->str + entry->name;
}

const char *
messages_keywords(const Messages *messages, const MessageEntry *entry)
{
	return messages->keyword_sets->pdata[entry->keywords];
}

/* --- the name table
 * --------------------------------------------------------------------------------- */

/* Eight bytes a step: names differ in their last few, and each is looked for as often as it is
 * kept. */
static guint32
hash_name(const char *name, gsize len)
{
	guint64 hash = len * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
	guint64 word;

	for (; len >= sizeof word; name += sizeof word, len -= sizeof word) {
		memcpy(&word, name, sizeof word);
		hash = (hash ^ word) * G_GUINT64_CONSTANT(0xff51afd7ed558ccd);
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, name, len);
	hash = (hash ^ word) * G_GUINT64_CONSTANT(0xff51afd7ed558ccd);
	return (guint32)(hash ^ hash >> 32);
}

static void
table_put(Messages *messages, Slot slot)
{
	guint mask = messages->table_size - 1;
	guint i = slot.hash & mask;

	while (messages->table[i].uid != EMPTY)
		i = (i + 1) & mask;
	messages->table[i] = slot;
	messages->table_used++;
}

/* Room for @n names, without those that were removed. */
static void
table_resize(Messages *messages, guint n)
{
	g_autofree Slot *former = g_steal_pointer(&messages->table);
	guint former_size = messages->table_size;
	guint size = 64;

	while (size < n * 2 + 64)
		size *= 2;
	messages->table = g_new0(Slot, size);
	messages->table_size = size;
	messages->table_used = 0;
	for (guint i = 0; i < former_size; i++)
		if (former[i].uid != EMPTY && former[i].uid != REMOVED)
			table_put(messages, former[i]);
}

static const MessageEntry *
find_hashed(const Messages *messages, const char *name, gsize len, guint32 hash)
{
	guint mask = messages->table_size - 1;

	if (messages->table_size == 0 || len == 0)
		return NULL;
	for (guint i = hash & mask; messages->table[i].uid != EMPTY; i = (i + 1) & mask) {
		const Slot *slot = &messages->table[i];
		const MessageEntry *entry;

		if (slot->uid == REMOVED || slot->hash != hash)
			continue;
		entry = messages_get(messages, slot->uid);
		if (entry != NULL && strncmp(messages_name(messages, entry), name, len) == 0 &&
		    messages_name(messages, entry)[len] == '\0')
			return entry;
	}
	return NULL;
}

const MessageEntry *
messages_find(const Messages *messages, const char *name, gsize len)
{
	return find_hashed(messages, name, len, hash_name(name, len));
}

static void
table_remove(Messages *messages, const char *name, guint32 uid)
{
	guint mask = messages->table_size - 1;

	if (*name == '\0')
		return;
	for (guint i = hash_name(name, strlen(name)) & mask; messages->table[i].uid != EMPTY;
	     i = (i + 1) & mask)
		if (messages->table[i].uid == uid) {
			messages->table[i].uid = REMOVED;
			return;
		}
}

/* --- keywords
 * --------------------------------------------------------------------------------------- */

static guint16
intern_keywords(Messages *messages, const char *keywords)
{
	gpointer id;
	char *copy;

	if (keywords == NULL || *keywords == '\0')
		return 0;
	if (g_hash_table_lookup_extended(messages->keyword_ids, keywords, NULL, &id))
		return GPOINTER_TO_UINT(id);
	/* A server that invents a set for each message gets the rest without keywords: they are a
	 * convenience. */
	if (messages->keyword_sets->len >= KEYWORD_SETS)
		return 0;
	copy = g_strdup(keywords);
	g_hash_table_insert(messages->keyword_ids, copy,
			    GUINT_TO_POINTER(messages->keyword_sets->len));
	g_ptr_array_add(messages->keyword_sets, copy);
	return messages->keyword_sets->len - 1;
}

/* --- changes
 * ---------------------------------------------------------------------------------------- */

/* The first free @name~N. (transfer full) */
static char *
numbered_name(Messages *messages, const char *name)
{
	guint number = GPOINTER_TO_UINT(g_hash_table_lookup(messages->next_copy, name));

	for (number = MAX(number, 2);; number++) {
		g_autofree char *candidate = g_strdup_printf("%s~%u", name, number);

		if (messages_find(messages, candidate, strlen(candidate)) != NULL)
			continue;
		g_hash_table_insert(messages->next_copy, g_strdup(name),
				    GUINT_TO_POINTER(number + 1));
		return g_steal_pointer(&candidate);
	}
}

/* Keeps @name, or the first free ~N of it, as that of @uid; returns its place. */
static guint32
keep_name(Messages *messages, const char *name, guint32 uid)
{
	gsize len = strlen(name);
	guint32 hash = hash_name(name, len);
	guint32 place = (guint32)messages->names->len;
	g_autofree char *numbered = NULL;

	if (len == 0)
		return 0;
	if (find_hashed(messages, name, len, hash) != NULL) {
		numbered = numbered_name(messages, name);
		name = numbered;
		len = strlen(name);
		hash = hash_name(name, len);
	}
	if (messages->names->len + len + 1 >= G_MAXUINT32)
		return 0;
	g_string_append_len(messages->names, name, (gssize)len + 1);
	table_put(messages, (Slot){uid, hash});
	return place;
}

void
messages_reserve(Messages *messages, guint n)
{
	guint count = messages->entries->len;

	n = MIN(n, RESERVE_MAX);
	if (n <= count)
		return;
	if (messages->table_size < n * 2 + 64)
		table_resize(messages, n);
	g_array_set_size(messages->entries, n);
	g_array_set_size(messages->entries, count);
}

const MessageEntry *
messages_add(Messages *messages, const MessageInfo *info, const char *name)
{
	guint rank = messages_rank(messages, info->uid);
	MessageEntry entry = {
		.date = info->date,
		.size = MIN(info->size, (1ull << 48) - 1),
		.uid = info->uid,
		.flags = info->flags,
		.keywords = intern_keywords(messages, info->keywords),
	};

	if (info->uid == 0 || info->uid == REMOVED)
		return NULL;
	if (rank < messages->entries->len && entry_at(messages, rank)->uid == info->uid)
		return NULL;
	if (messages->table_used * 4 >= messages->table_size * 3)
		table_resize(messages, messages->entries->len);
	entry.name = keep_name(messages, name, entry.uid);
	g_array_insert_val(messages->entries, rank, entry);
	return entry_at(messages, rank);
}

gboolean
messages_first_open(Messages *messages, guint32 uid)
{
	MessageEntry *entry = find_uid(messages, uid);
	gboolean first = entry != NULL && !entry->opened;

	if (first)
		entry->opened = TRUE;
	return first;
}

static void
set_size(MessageEntry *entry, guint64 size)
{
	size = MIN(size, (1ull << 48) - 1);
	entry->resized = entry->resized || entry->size != size;
	/* A checksum belongs to the size that it was counted with. */
	entry->has_crc = entry->has_crc && entry->size == size;
	entry->size = size;
	entry->size_exact = TRUE;
}

void
messages_set_size(Messages *messages, guint32 uid, guint64 size)
{
	MessageEntry *entry = find_uid(messages, uid);

	if (entry != NULL)
		set_size(entry, size);
}

void
messages_set_stored(Messages *messages, guint32 uid)
{
	MessageEntry *entry = find_uid(messages, uid);

	if (entry != NULL)
		entry->stored = TRUE;
}

void
messages_set_exact(Messages *messages, guint32 uid, guint64 size, guint32 crc)
{
	MessageEntry *entry = find_uid(messages, uid);

	if (entry == NULL)
		return;
	set_size(entry, size);
	entry->crc = crc;
	entry->has_crc = TRUE;
}

gboolean
messages_set_flags(Messages *messages, guint32 uid, guint32 flags, const char *keywords)
{
	MessageEntry *entry = find_uid(messages, uid);
	guint16 id;

	if (entry == NULL)
		return FALSE;
	id = intern_keywords(messages, keywords);
	if (entry->flags == flags && entry->keywords == id)
		return FALSE;
	entry->flags = flags;
	entry->keywords = id;
	return TRUE;
}

static void
names_compact(Messages *messages)
{
	GString *names = g_string_sized_new(messages->names->len - messages->holes + 64);

	g_string_append_c(names, '\0');
	for (guint i = 0; i < messages->entries->len; i++) {
		MessageEntry *entry = entry_at(messages, i);
		const char *name = messages_name(messages, entry);

		if (entry->name == 0)
			continue;
		entry->name = names->len;
		g_string_append_len(names, name, strlen(name) + 1);
	}
	g_string_free(messages->names, TRUE);
	messages->names = names;
	messages->holes = 0;
	table_resize(messages, messages->entries->len);
}

/* Whether @uid goes: it is in @set (or, @inverted, below @below and not in it). */
static gboolean
goes(const UidSet *set, gboolean inverted, guint32 below, guint32 uid)
{
	return inverted ? uid < below && !uidset_contains(set, uid) : uidset_contains(set, uid);
}

static void
rename_entry(Messages *messages, MessageEntry *entry, const char *name)
{
	const char *old = messages_name(messages, entry);

	table_remove(messages, old, entry->uid);
	messages->holes += *old != '\0' ? strlen(old) + 1 : 0;
	if (messages->table_used * 4 >= messages->table_size * 3)
		table_resize(messages, messages->entries->len);
	entry->name = keep_name(messages, name, entry->uid);
	if (messages->holes > 65536 && messages->holes > messages->names->len / 2)
		names_compact(messages);
}

gboolean
messages_set_name(Messages *messages, guint32 uid, const char *name)
{
	MessageEntry *entry = find_uid(messages, uid);
	const MessageEntry *holder = messages_find(messages, name, strlen(name));

	if (entry == NULL || *name == '\0')
		return FALSE;
	if (holder == entry)
		return TRUE;
	if (holder != NULL)
		return FALSE;
	rename_entry(messages, entry, name);
	return TRUE;
}

void
messages_yield_name(Messages *messages, guint32 uid)
{
	MessageEntry *entry = find_uid(messages, uid);
	g_autofree char *other = NULL;

	if (entry == NULL || entry->name == 0)
		return;
	other = numbered_name(messages, messages_name(messages, entry));
	rename_entry(messages, entry, other);
}

static guint
remove_where(Messages *messages, const UidSet *set, gboolean inverted, guint32 below,
	     MessagesRemoved removed, gpointer user)
{
	guint kept = 0, n = messages->entries->len;

	for (guint i = 0; i < n; i++) {
		MessageEntry *entry = entry_at(messages, i);
		const char *name = messages_name(messages, entry);

		if (!goes(set, inverted, below, entry->uid)) {
			if (kept != i)
				*entry_at(messages, kept) = *entry;
			kept++;
			continue;
		}
		if (removed != NULL)
			removed(user, entry->uid, name);
		table_remove(messages, name, entry->uid);
		messages->holes += strlen(name) + 1;
	}
	g_array_set_size(messages->entries, kept);
	if (messages->holes > 65536 && messages->holes > messages->names->len / 2)
		names_compact(messages);
	return n - kept;
}

guint
messages_remove(Messages *messages, const UidSet *uids, MessagesRemoved removed, gpointer user)
{
	return remove_where(messages, uids, FALSE, 0, removed, user);
}

guint
messages_keep(Messages *messages, const UidSet *present, guint32 below, MessagesRemoved removed,
	      gpointer user)
{
	return remove_where(messages, present, TRUE, below, removed, user);
}

guint64
messages_memory(const Messages *messages)
{
	return (guint64)messages->entries->len * sizeof(MessageEntry) +
	       messages->names->allocated_len + (guint64)messages->table_size * sizeof(Slot);
}
