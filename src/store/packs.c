/* SPDX-License-Identifier: MIT */
/* A slot is in the hash as long as it has a name, its address; a slot that was removed while
 * somebody reads is punched out by the last one who leaves. A pack goes when nobody uses it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/checksum.h"
#include "store/packs-private.h"

#define PACK_MAX      G_GUINT64_CONSTANT(0x10000000) /* octets: 256 MB */
#define PENDING_MAX   128			     /* records: a page of the journal */
#define TOUCH_SECONDS 3600
#define FRESH_SECONDS 2
#define PIECE	      (32 * 1024) /* on the stack */

/* --- packs --- */

void
packs_free_pack(Pack *pack)
{
	util_close_fd(&pack->fd);
	g_free(pack);
}

Pack *
packs_open_pack(Packs *packs, guint32 number, gboolean make)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (make ? O_CREAT | O_EXCL : 0);
	g_auto(UtilFd) fd = -1;
	struct stat status;
	char name[16];
	Pack *pack;

	g_snprintf(name, sizeof name, "%u", number);
	fd = openat(packs->folder, name, flags, 0600);
	if (fd < 0 || (make && fchmod(fd, 0600) != 0) || fstat(fd, &status) != 0)
		return NULL;
	if (!S_ISREG(status.st_mode)) {
		errno = EINVAL;
		return NULL;
	}
	pack = g_new0(Pack, 1);
	pack->number = number;
	pack->fd = util_steal_fd(&fd);
	pack->end = packs_room((guint64)status.st_size);
	g_hash_table_insert(packs->packs, GUINT_TO_POINTER(number), pack);
	packs->last_number = MAX(packs->last_number, number);
	return pack;
}

void
packs_settle_pack(Packs *packs, Pack *pack)
{
	char name[16];

	if (pack->users > 0 || (pack == packs->current && pack->unpunched == 0))
		return;
	if (pack == packs->current)
		packs->current = NULL;
	g_snprintf(name, sizeof name, "%u", pack->number);
	if (!pack->orphan) {
		unlinkat(packs->folder, name, 0);
		packs->total -= MIN(pack->unpunched, packs->total);
		g_hash_table_remove(packs->packs, GUINT_TO_POINTER(pack->number));
	}
	packs_free_pack(pack);
}

/* --- what is removed --- */

int
packs_by_place(gconstpointer a, gconstpointer b)
{
	const Slot *left = *(Slot *const *)a;
	const Slot *right = *(Slot *const *)b;

	if (left->pack != right->pack)
		return left->pack->number < right->pack->number ? -1 : 1;
	return (left->block > right->block) - (left->block < right->block);
}

gboolean
packs_punch(const Pack *pack, guint64 from, guint64 to)
{
	return fallocate(pack->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
			 (off_t)(to - from)) == 0;
}

/* Some filesystems cannot punch: there the disk is free again when the pack goes. */
static void
leave_pack(Packs *packs, Pack *pack, guint slots, guint64 bytes, gboolean punched)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&packs->lock);

	if (!pack->orphan && punched)
		packs->total -= MIN(bytes, packs->total);
	else if (!pack->orphan)
		pack->unpunched += bytes;
	pack->users -= slots;
	packs_settle_pack(packs, pack);
}

/* Frees those that never came to the disk, and takes them out of @slots. */
static void
release_held(Packs *packs, GPtrArray *slots)
{
	guint kept = 0;

	for (guint i = 0; i < slots->len; i++) {
		Slot *slot = slots->pdata[i];

		if (!packs_bury(packs, slot)) {
			slots->pdata[kept++] = slot;
			continue;
		}
		leave_pack(packs, slot->pack, 1, packs_room(slot->size), TRUE);
		g_free(slot);
	}
	g_ptr_array_set_size(slots, (gint)kept);
}

/* Frees slots that are in no hash and have no readers; neighbours in one go. Not under the lock. */
static void
release(Packs *packs, GPtrArray *slots)
{
	guint next;

	release_held(packs, slots);
	g_ptr_array_sort(slots, packs_by_place);
	for (guint i = 0; i < slots->len; i = next) {
		const Slot *first = slots->pdata[i];
		guint64 begin = packs_begin_of(first);
		guint64 end = begin + packs_room(first->size);
		Pack *pack = first->pack;

		for (next = i + 1; next < slots->len; next++) {
			const Slot *slot = slots->pdata[next];

			if (slot->pack != pack || packs_begin_of(slot) != end)
				break;
			end += packs_room(slot->size);
		}
		leave_pack(packs, pack, next - i, end - begin,
			   end == begin || packs_punch(pack, begin, end));
		while (i < next)
			g_free(slots->pdata[i++]);
	}
}

static void
release_one(Packs *packs, Slot *slot)
{
	g_autoptr(GPtrArray) one = g_ptr_array_new();

	if (slot == NULL)
		return;
	g_ptr_array_add(one, slot);
	release(packs, one);
}

/* Takes it out of the hash. The slot, when it is the caller's to release. With `lock` held. */
static Slot *
take_out(Packs *packs, Slot *slot)
{
	g_hash_table_steal(packs->slots, slot);
	slot->gone = TRUE;
	return slot->readers == 0 ? slot : NULL;
}

/* The same, and the journal knows. With `lock` held. */
static Slot *
strike_out(Packs *packs, Slot *slot)
{
	packs_note_removed(packs, slot->address);
	return take_out(packs, slot);
}

/* --- beginning anew --- */

/* What is open stays readable: its file is only nobody's any more. With `lock` held. */
static void
forget_all(Packs *packs)
{
	GHashTableIter iter;
	gpointer item;

	packs->current = NULL;
	g_hash_table_iter_init(&iter, packs->slots);
	while (g_hash_table_iter_next(&iter, &item, NULL)) {
		Slot *slot = item;

		g_hash_table_iter_steal(&iter);
		slot->gone = TRUE;
		if (slot->readers > 0)
			continue;
		slot->pack->users--;
		g_free(slot);
	}
	g_hash_table_iter_init(&iter, packs->packs);
	while (g_hash_table_iter_next(&iter, NULL, &item)) {
		Pack *pack = item;

		pack->orphan = TRUE;
		g_hash_table_iter_steal(&iter);
		if (pack->users == 0)
			packs_free_pack(pack);
	}
	packs->total = 0;
}

/* 0 or an errno. With `lock` held. */
static int
begin(Packs *packs)
{
	forget_all(packs);
	util_close_fd(&packs->folder);
	util_close_fd(&packs->journal);
	g_array_set_size(packs->pending, 0);
	return packs_load(packs);
}

/* --- those who read --- */

static Packs *
packs_ref(Packs *packs)
{
	g_atomic_int_inc(&packs->refs);
	return packs;
}

static void
packs_unref(Packs *packs)
{
	GHashTableIter iter;
	gpointer item;

	if (!g_atomic_int_dec_and_test(&packs->refs))
		return;
	g_hash_table_iter_init(&iter, packs->slots);
	while (g_hash_table_iter_next(&iter, &item, NULL))
		g_free(item);
	g_hash_table_iter_init(&iter, packs->packs);
	while (g_hash_table_iter_next(&iter, NULL, &item))
		packs_free_pack(item);
	g_hash_table_unref(packs->slots);
	g_hash_table_unref(packs->packs);
	g_array_unref(packs->pending);
	g_queue_clear_full(&packs->chunks, (GDestroyNotify)packs_free_chunk);
	g_free(packs->spare);
	util_close_fd(&packs->folder);
	util_close_fd(&packs->journal);
	g_mutex_clear(&packs->writing);
	g_mutex_clear(&packs->lock);
	g_free(packs);
}

static void
on_left(gpointer user, guint64 at, guint64 size)
{
	Slot *slot = user;
	Packs *packs = slot->packs;
	gboolean over;

	g_mutex_lock(&packs->lock);
	slot->readers--;
	over = slot->gone && slot->readers == 0;
	g_mutex_unlock(&packs->lock);
	if (over)
		release_one(packs, slot);
	packs_unref(packs);
}

/* With `lock` held. */
static Body *
open_slot(Packs *packs, Slot *slot)
{
	slot->readers++;
	packs_ref(packs);
	return body_new_slice(slot->pack->fd, packs_begin_of(slot), slot->size, packs_read_held,
			      on_left, slot);
}

/* --- writing --- */

/* 0 or an errno. With `lock` held. */
static int
choose_pack(Packs *packs, gsize len)
{
	Pack *full = packs->current, *next;

	if (full != NULL && full->end + len <= PACK_MAX)
		return 0;
	/* What lies there already is not ours. */
	while ((next = packs_open_pack(packs, packs->last_number + 1, TRUE)) == NULL &&
	       errno == EEXIST && packs->last_number < G_MAXUINT32 - 1)
		packs->last_number++;
	if (next == NULL)
		return errno;
	packs->current = next;
	if (full != NULL)
		packs_settle_pack(packs, full);
	return 0;
}

/* A place at the end of a pack. 0 or an errno. With `lock` held. */
static int
place(Packs *packs, Slot *slot, const void *data)
{
	int err = 0;

	if (packs->folder < 0 || packs_is_orphaned(packs))
		err = begin(packs);
	if (err == 0)
		err = choose_pack(packs, slot->size);
	if (err != 0)
		return err;
	slot->pack = packs->current;
	slot->block = (guint32)(slot->pack->end / PACKS_BLOCK);
	slot->pack->end += packs_room(slot->size);
	slot->pack->users++;
	packs->total += packs_room(slot->size);
	packs_hold(packs, slot, data);
	return 0;
}

/* With `lock` held. */
static void
enter(Packs *packs, Slot *slot)
{
	g_hash_table_add(packs->slots, slot);
	packs_note_put(packs, slot);
	if (packs->pending->len >= PENDING_MAX)
		packs_write_journal(packs);
}

int
packs_put(Packs *packs, guint64 address, const void *data, gsize len, guint32 crc, Body **body_out)
{
	int err = packs_write_closed(packs);
	Slot *former = NULL;
	Slot *slot;

	if (err != 0)
		return err;
	slot = g_new0(Slot, 1);
	slot->address = address;
	slot->packs = packs;
	slot->size = (guint32)len;
	slot->crc = crc;
	slot->used = (guint32)time(NULL);
	slot->fresh = body_out == NULL;
	g_mutex_lock(&packs->lock);
	err = place(packs, slot, data);
	if (err == 0) {
		former = g_hash_table_lookup(packs->slots, slot);
		if (former != NULL)
			former = take_out(packs, former);
		if (body_out != NULL)
			*body_out = open_slot(packs, slot);
		enter(packs, slot);
	}
	g_mutex_unlock(&packs->lock);
	if (err != 0)
		g_free(slot);
	release_one(packs, former);
	return err;
}

/* --- reading --- */

/* With `lock` held. */
static Slot *
find(Packs *packs, guint64 address)
{
	return g_hash_table_lookup(packs->slots, &address);
}

static gboolean
is_whole(const Body *body, guint32 crc)
{
	guint8 piece[PIECE];
	guint64 at = 0, size = body_size(body);
	guint32 sum = 0;

	while (at < size) {
		gssize n = body_read(body, piece, sizeof piece, at);

		if (n <= 0)
			return FALSE;
		sum = checksum(sum, piece, (gsize)n);
		at += (guint64)n;
	}
	return sum == crc;
}

/* Only while it is the one at its address. */
static void
remove_slot(Packs *packs, guint64 address, const Slot *wanted)
{
	Slot *slot;

	g_mutex_lock(&packs->lock);
	slot = find(packs, address);
	slot = slot != NULL && slot == wanted ? strike_out(packs, slot) : NULL;
	g_mutex_unlock(&packs->lock);
	release_one(packs, slot);
}

/* TRUE: nobody can have spoilt it yet. */
static gboolean
touch(Packs *packs, Slot *slot)
{
	guint32 now = (guint32)time(NULL);
	gboolean fresh = slot->fresh && now - slot->used < FRESH_SECONDS;

	slot->fresh = FALSE;
	if (now - slot->used >= TOUCH_SECONDS) {
		slot->used = now;
		packs_note_put(packs, slot);
	}
	return fresh;
}

Body *
packs_get(Packs *packs, guint64 address, guint64 size, guint32 crc, gboolean *damaged_out)
{
	g_autoptr(Body) body = NULL;
	gboolean fits, fresh = FALSE;
	Slot *slot;

	*damaged_out = FALSE;
	g_mutex_lock(&packs->lock);
	slot = find(packs, address);
	fits = slot != NULL && slot->size == size && slot->crc == crc;
	if (fits) {
		body = open_slot(packs, slot);
		fresh = touch(packs, slot);
	}
	g_mutex_unlock(&packs->lock);
	if (fresh || (fits && is_whole(body, crc)))
		return g_steal_pointer(&body);
	*damaged_out = fits;
	if (slot != NULL)
		remove_slot(packs, address, slot);
	return NULL;
}

gboolean
packs_has(Packs *packs, guint64 address)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&packs->lock);

	return find(packs, address) != NULL;
}

/* --- removing and moving --- */

gboolean
packs_remove(Packs *packs, guint64 address)
{
	Slot *slot;
	gboolean here;

	g_mutex_lock(&packs->lock);
	slot = find(packs, address);
	here = slot != NULL;
	if (here)
		slot = strike_out(packs, slot);
	g_mutex_unlock(&packs->lock);
	release_one(packs, slot);
	return here;
}

void
packs_remove_all(Packs *packs, guint32 upper_half)
{
	g_autoptr(GPtrArray) slots = g_ptr_array_new();
	GHashTableIter iter;
	gpointer item;

	g_mutex_lock(&packs->lock);
	g_hash_table_iter_init(&iter, packs->slots);
	while (g_hash_table_iter_next(&iter, &item, NULL)) {
		Slot *slot = item;

		if (slot->address >> 32 != upper_half)
			continue;
		packs_note_removed(packs, slot->address);
		g_hash_table_iter_steal(&iter);
		slot->gone = TRUE;
		if (slot->readers == 0)
			g_ptr_array_add(slots, slot);
	}
	g_mutex_unlock(&packs->lock);
	release(packs, slots);
}

/* A second body of the same octets. */
static gboolean
copy(Packs *packs, guint64 from, guint64 to)
{
	g_autoptr(Body) body = NULL;
	g_autofree guint8 *data = NULL;
	Slot *slot;
	gsize len;

	g_mutex_lock(&packs->lock);
	slot = find(packs, from);
	body = slot != NULL ? open_slot(packs, slot) : NULL;
	g_mutex_unlock(&packs->lock);
	if (body == NULL)
		return FALSE;
	len = (gsize)body_size(body);
	data = g_malloc(MAX(len, 1));
	if (body_read(body, data, len, 0) != (gssize)len)
		return FALSE;
	return packs_put(packs, to, data, len, checksum(0, data, len), NULL) == 0;
}

gboolean
packs_move(Packs *packs, guint64 from, guint64 to, gboolean keep)
{
	Slot *slot, *former = NULL;

	if (from == to)
		return packs_has(packs, from);
	if (keep)
		return copy(packs, from, to);
	g_mutex_lock(&packs->lock);
	slot = find(packs, from);
	if (slot != NULL) {
		former = find(packs, to);
		former = former != NULL ? take_out(packs, former) : NULL;
		g_hash_table_steal(packs->slots, slot);
		packs_note_removed(packs, from);
		slot->address = to;
		g_hash_table_add(packs->slots, slot);
		packs_note_put(packs, slot);
	}
	g_mutex_unlock(&packs->lock);
	release_one(packs, former);
	return slot != NULL;
}

/* --- for the evictor --- */

guint64
packs_total(Packs *packs)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&packs->lock);

	return packs->total;
}

void
packs_list(Packs *packs, PacksFound found, gpointer user)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&packs->lock);
	GHashTableIter iter;
	gpointer item;

	g_hash_table_iter_init(&iter, packs->slots);
	while (g_hash_table_iter_next(&iter, &item, NULL)) {
		const Slot *slot = item;

		found(user, slot->address, packs_room(slot->size), slot->used);
	}
}

gboolean
packs_evict(Packs *packs, guint64 address, guint32 used)
{
	Slot *slot;
	gboolean unused;

	g_mutex_lock(&packs->lock);
	slot = find(packs, address);
	unused = slot != NULL && slot->used == used;
	slot = unused ? strike_out(packs, slot) : NULL;
	g_mutex_unlock(&packs->lock);
	release_one(packs, slot);
	return unused;
}

int
packs_flush(Packs *packs)
{
	int err = packs_write_all(packs);
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&packs->lock);

	packs_write_journal(packs);
	return err;
}

/* Another thread may write the journal meanwhile: what matters here is written already. */
gboolean
packs_secure(Packs *packs, const Body *body)
{
	g_auto(UtilFd) folder = -1;
	g_auto(UtilFd) journal = -1;
	gboolean written = packs_write_all(packs) == 0;

	g_mutex_lock(&packs->lock);
	written = packs_write_journal(packs) && written;
	folder = fcntl(packs->folder, F_DUPFD_CLOEXEC, 0);
	journal = fcntl(packs->journal, F_DUPFD_CLOEXEC, 0);
	g_mutex_unlock(&packs->lock);
	return written && folder >= 0 && journal >= 0 && body_sync(body) && fsync(journal) == 0 &&
	       fsync(folder) == 0;
}

/* --- life --- */

Packs *
packs_open(int at)
{
	Packs *packs = g_new0(Packs, 1);

	packs->refs = 1;
	packs->at = at;
	packs->folder = packs->journal = -1;
	packs->slots = g_hash_table_new(g_int64_hash, g_int64_equal);
	packs->packs = g_hash_table_new(NULL, NULL);
	packs->pending = g_array_new(FALSE, FALSE, sizeof(PackRecord));
	g_mutex_init(&packs->writing);
	g_mutex_init(&packs->lock);
	packs_load(packs);
	return packs;
}

void
packs_close(Packs *packs)
{
	if (packs == NULL)
		return;
	packs_flush(packs);
	packs_unref(packs);
}
