/* SPDX-License-Identifier: MIT */
/* A number is found by the server's name for the message, or by what the message is by itself; of
 * the latter there may be several alike, which are chained in rising order. The rows are written
 * by the index's thread, after each other; a number whose row was lost with the power is not given
 * again, for the index reserves them in blocks. */
#include "store/numbers.h"

#include <string.h>

#include "net/tls-stream.h"

typedef struct Entry Entry;

struct Entry {
	guint8 key[INDEX_KEY_BYTES];
	PopIdentity identity;
	guint64 size;
	gint64 fetched;
	guint32 uid;
	gboolean kept;	 /* stays though the server has it no more */
	gboolean absent; /* the server had it no more when it was last looked through */
	Entry *next;	 /* of the same identity, a higher number */
	/* Of the first of a chain: its last; all before `from` were taken already in `session`. */
	Entry *last, *from;
	guint session;
};

struct Numbers {
	Index *index;
	PopNumbers line;
	guint32 uidvalidity;

	GMutex lock; /* guards all below */
	gboolean loaded;
	guint session;		 /* rises with each, and when entries go */
	GPtrArray *entries;	 /* of Entry, owned, by rising UIDs */
	GHashTable *by_key;	 /* Entry.key → Entry */
	GHashTable *by_identity; /* Entry.identity → Entry, the first of its chain */
	UidSet *keep;		 /* to be kept, before there was an entry */
};

G_STATIC_ASSERT(POP_IDENTITY_BYTES == INDEX_IDENTITY_BYTES);
G_STATIC_ASSERT(INDEX_KEY_BYTES <= TLS_SHA256_BYTES);

static const guint8 no_key[INDEX_KEY_BYTES];

/* All are digests: any four bytes of each will do. */
static guint
key_hash(gconstpointer data)
{
	guint hash;

	memcpy(&hash, data, sizeof hash);
	return hash;
}

static guint
identity_hash(gconstpointer data)
{
	return key_hash(data) ^ key_hash((const guint8 *)data + POP_IDENTITY_BYTES / 2);
}

static gboolean
key_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, INDEX_KEY_BYTES) == 0;
}

static gboolean
identity_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, POP_IDENTITY_BYTES) == 0;
}

static void
key_of(const char *name, guint8 *key_out)
{
	guint8 digest[TLS_SHA256_BYTES];

	tls_sha256(name, strlen(name), digest);
	memcpy(key_out, digest, INDEX_KEY_BYTES);
}

/* --- the table; under the lock
 * ------------------------------------------------------------------------ */

/* Each has a higher number than all that are in a chain. */
static void
chain(Numbers *numbers, Entry *entry)
{
	Entry *first = g_hash_table_lookup(numbers->by_identity, &entry->identity);

	entry->next = NULL;
	entry->last = entry;
	if (first == NULL) {
		g_hash_table_insert(numbers->by_identity, &entry->identity, entry);
		return;
	}
	first->last->next = entry;
	first->last = entry;
}

static void
drop_key(Numbers *numbers, Entry *entry)
{
	if (g_hash_table_lookup(numbers->by_key, entry->key) == entry)
		g_hash_table_remove(numbers->by_key, entry->key);
	memcpy(entry->key, no_key, sizeof no_key);
}

static void
insert(Numbers *numbers, Entry *entry)
{
	g_ptr_array_add(numbers->entries, entry);
	if (!key_equal(entry->key, no_key))
		g_hash_table_replace(numbers->by_key, entry->key, entry);
	entry->kept = uidset_contains(numbers->keep, entry->uid);
	chain(numbers, entry);
}

static void
load_number(gpointer user, const IndexNumber *number)
{
	Entry *entry = g_new0(Entry, 1);

	entry->uid = number->uid;
	entry->size = number->size;
	entry->fetched = number->fetched;
	memcpy(entry->key, number->key, sizeof entry->key);
	memcpy(entry->identity.bytes, number->identity, sizeof entry->identity.bytes);
	insert(user, entry);
}

static gboolean
load(Numbers *numbers, GError **error)
{
	if (numbers->loaded)
		return TRUE;
	g_hash_table_remove_all(numbers->by_key);
	g_hash_table_remove_all(numbers->by_identity);
	g_ptr_array_set_size(numbers->entries, 0);
	numbers->loaded = index_each_number(numbers->index, load_number, numbers, error);
	return numbers->loaded;
}

static void
store(Numbers *numbers, const Entry *entry)
{
	IndexNumber number = {.uid = entry->uid, .size = entry->size};

	memcpy(number.key, entry->key, sizeof number.key);
	memcpy(number.identity, entry->identity.bytes, sizeof number.identity);
	index_put_number(numbers->index, &number);
}

/* NULL: there is none, or the index cannot be read. */
static Entry *
entry_of(Numbers *numbers, guint32 uid)
{
	guint low = 0, high = load(numbers, NULL) ? numbers->entries->len : 0;

	while (low < high) {
		guint middle = low + (high - low) / 2;
		Entry *entry = numbers->entries->pdata[middle];

		if (entry->uid == uid)
			return entry;
		if (entry->uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static Entry *
make_entry(Numbers *numbers, const PopIdentity *identity)
{
	guint32 uid = index_new_number(numbers->index);
	Entry *entry;

	if (uid == 0)
		return NULL;
	entry = g_new0(Entry, 1);
	entry->uid = uid;
	entry->identity = *identity;
	insert(numbers, entry);
	return entry;
}

/* --- for the line
 * ------------------------------------------------------------------------------------ */

static gboolean
on_open(gpointer user, guint32 *uidvalidity_out, guint32 *uidnext_out, GError **error)
{
	Numbers *numbers = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);

	*uidvalidity_out = numbers->uidvalidity;
	*uidnext_out = index_next_number(numbers->index);
	numbers->session++;
	return load(numbers, error);
}

static gboolean
on_look_up(gpointer user, PopMessage *messages, guint n, GError **error)
{
	Numbers *numbers = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);

	if (!load(numbers, error))
		return FALSE;
	for (guint i = 0; i < n; i++) {
		guint8 key[INDEX_KEY_BYTES];
		const Entry *entry;

		key_of(messages[i].key, key);
		entry = g_hash_table_lookup(numbers->by_key, key);
		messages[i].uid = entry != NULL ? entry->uid : 0;
		messages[i].known_size = entry != NULL ? entry->size : 0;
		messages[i].identity = entry != NULL ? entry->identity : (PopIdentity){0};
	}
	return TRUE;
}

/* The lowest of that identity that is not in @taken. A maildrop full of messages that are all alike
 * is not gone through from the start for each. */
static Entry *
find_free(Numbers *numbers, const PopIdentity *identity, const UidSet *taken)
{
	Entry *first = g_hash_table_lookup(numbers->by_identity, identity);
	Entry *entry = first;

	if (first != NULL && first->session == numbers->session && first->from != NULL)
		entry = first->from;
	while (entry != NULL && uidset_contains(taken, entry->uid)) {
		first->from = entry;
		first->session = numbers->session;
		entry = entry->next;
	}
	return entry;
}

static guint32
on_give(gpointer user, const PopMessage *message, const PopIdentity *identity, const UidSet *taken,
	GError **error)
{
	Numbers *numbers = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);
	guint8 key[INDEX_KEY_BYTES];
	Entry *entry, *former;

	if (!load(numbers, error))
		return 0;
	key_of(message->key, key);
	entry = find_free(numbers, identity, taken);
	if (entry == NULL)
		entry = make_entry(numbers, identity);
	if (entry == NULL) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT,
				    "all numbers for messages are used up: unmount, and remove the "
				    "account's cache directory");
		return 0;
	}
	former = g_hash_table_lookup(numbers->by_key, key);
	if (former != NULL && former != entry) {
		drop_key(numbers, former);
		store(numbers, former);
	}
	drop_key(numbers, entry);
	memcpy(entry->key, key, sizeof key);
	g_hash_table_replace(numbers->by_key, entry->key, entry);
	entry->size = message->size;
	store(numbers, entry);
	return entry->uid;
}

static void
on_resize(gpointer user, guint32 uid, guint64 size)
{
	Numbers *numbers = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);
	Entry *entry = entry_of(numbers, uid);

	if (entry == NULL || entry->size == size)
		return;
	entry->size = size;
	store(numbers, entry);
}

static void
on_settle(gpointer user, const UidSet *present)
{
	Numbers *numbers = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);
	g_autoptr(UidSet) gone = uidset_new();
	guint left = 0;

	if (!load(numbers, NULL))
		return;
	g_hash_table_remove_all(numbers->by_identity);
	numbers->session++;
	for (guint i = 0; i < numbers->entries->len; i++) {
		Entry *entry = numbers->entries->pdata[i];

		entry->absent = !uidset_contains(present, entry->uid);
		if (!entry->absent || entry->kept) {
			numbers->entries->pdata[left++] = entry;
			chain(numbers, entry);
			continue;
		}
		uidset_add(gone, entry->uid, entry->uid);
		drop_key(numbers, entry);
		g_free(entry);
	}
	/* The others have moved forward: those behind are theirs, or freed. */
	for (guint i = left; i < numbers->entries->len; i++)
		numbers->entries->pdata[i] = NULL;
	g_ptr_array_set_size(numbers->entries, (gint)left);
	if (!uidset_is_empty(gone))
		index_delete_numbers(numbers->index, gone);
}

/* --- for the mailbox
 * ---------------------------------------------------------------------------------- */

void
numbers_keep(Numbers *numbers, UidSet *uids)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);

	uidset_free(numbers->keep);
	numbers->keep = uids;
	for (guint i = 0; i < numbers->entries->len; i++) {
		Entry *entry = numbers->entries->pdata[i];

		entry->kept = uidset_contains(uids, entry->uid);
	}
}

void
numbers_keep_one(Numbers *numbers, guint32 uid, gboolean keep)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);
	Entry *entry = entry_of(numbers, uid);

	if (keep)
		uidset_add(numbers->keep, uid, uid);
	else
		uidset_remove(numbers->keep, uid, uid);
	if (entry != NULL)
		entry->kept = keep;
}

guint32
numbers_give_kept(Numbers *numbers, const PopIdentity *identity)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);
	Entry *entry = load(numbers, NULL) ? make_entry(numbers, identity) : NULL;

	if (entry == NULL)
		return 0;
	entry->kept = entry->absent = TRUE;
	uidset_add(numbers->keep, entry->uid, entry->uid);
	store(numbers, entry);
	return entry->uid;
}

gboolean
numbers_is_absent(Numbers *numbers, guint32 uid)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);
	const Entry *entry = entry_of(numbers, uid);

	return entry != NULL && entry->absent;
}

void
numbers_set_absent(Numbers *numbers, const UidSet *uids)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);

	for (guint i = 0; i < uidset_n_ranges(uids); i++) {
		guint32 first, last;

		uidset_range(uids, i, &first, &last);
		for (guint64 uid = first; uid <= last; uid++) {
			Entry *entry = entry_of(numbers, (guint32)uid);

			if (entry != NULL)
				entry->absent = TRUE;
		}
	}
}

void
numbers_fetched(Numbers *numbers, guint32 uid, gint64 when)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);
	Entry *entry = entry_of(numbers, uid);

	if (entry != NULL && entry->fetched == 0)
		entry->fetched = when;
}

UidSet *
numbers_fetched_before(Numbers *numbers, gint64 when)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&numbers->lock);
	UidSet *found = uidset_new();

	for (guint i = 0; load(numbers, NULL) && i < numbers->entries->len; i++) {
		const Entry *entry = numbers->entries->pdata[i];

		if (!entry->absent && entry->fetched != 0 && entry->fetched < when)
			uidset_add(found, entry->uid, entry->uid);
	}
	return found;
}

/* --- life
 * -------------------------------------------------------------------------------------------- */

Numbers *
numbers_new(Index *index)
{
	Numbers *numbers = g_new0(Numbers, 1);
	const char *generation = index_generation(index);
	guint8 digest[TLS_SHA256_BYTES];

	tls_sha256(generation, strlen(generation), digest);
	memcpy(&numbers->uidvalidity, digest, sizeof numbers->uidvalidity);
	numbers->uidvalidity |= 1;
	numbers->index = index;
	numbers->line = (PopNumbers){
		.open = on_open,
		.look_up = on_look_up,
		.give = on_give,
		.resize = on_resize,
		.settle = on_settle,
		.user = numbers,
	};
	g_mutex_init(&numbers->lock);
	numbers->entries = g_ptr_array_new_with_free_func(g_free);
	numbers->by_key = g_hash_table_new(key_hash, key_equal);
	numbers->by_identity = g_hash_table_new(identity_hash, identity_equal);
	numbers->keep = uidset_new();
	return numbers;
}

void
numbers_free(Numbers *numbers)
{
	if (numbers == NULL)
		return;
	g_hash_table_unref(numbers->by_key);
	g_hash_table_unref(numbers->by_identity);
	g_ptr_array_unref(numbers->entries);
	uidset_free(numbers->keep);
	g_mutex_clear(&numbers->lock);
	g_free(numbers);
}

const PopNumbers *
numbers_for_line(const Numbers *numbers)
{
	return &numbers->line;
}

guint32
numbers_uidvalidity(const Numbers *numbers)
{
	return numbers->uidvalidity;
}
