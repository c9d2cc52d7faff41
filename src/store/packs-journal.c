/* SPDX-License-Identifier: MIT */
/* The journal is a list of records, the first of which names the format. It is written a page at a
 * time and never synced but for packs_secure(): after a crash it may tell of bodies that are not
 * there, which their checksum shows, or not of some that are, whose room is given back here. It is
 * written anew where most of it is history, or where any of it was not believed: what is appended
 * later must not be taken for what an old record promised. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/bodies-private.h"
#include "store/checksum.h"
#include "store/packs-private.h"

#define JOURNAL	     "journal"
#define JOURNAL_NEW  "journal.new"
#define FORMAT	     G_GUINT64_CONSTANT(0x6d61696c66730001)
#define RECORDS_READ 2048
#define HISTORY_MAX  4096 /* records more than twice what is needed: then it is written anew */
#define WASTE_MAX    (1024 * 1024) /* of a pack, in no slot: then it is looked for */

/* --- records --- */

static void
seal(PackRecord *record)
{
	record->check = checksum(0, record, G_STRUCT_OFFSET(PackRecord, check));
}

static gboolean
is_sealed(const PackRecord *record)
{
	return record->check == checksum(0, record, G_STRUCT_OFFSET(PackRecord, check));
}

static PackRecord
record_of(const Slot *slot)
{
	PackRecord record = {.address = slot->address,
			     .number = slot->pack->number,
			     .block = slot->block,
			     .size = slot->size,
			     .crc = slot->crc,
			     .used = slot->used};

	seal(&record);
	return record;
}

void
packs_note_put(Packs *packs, const Slot *slot)
{
	PackRecord record = record_of(slot);

	g_array_append_val(packs->pending, record);
}

void
packs_note_removed(Packs *packs, guint64 address)
{
	PackRecord record = {.address = address};

	seal(&record);
	g_array_append_val(packs->pending, record);
}

/* --- writing --- */

static gboolean
write_records(int fd, const GArray *records)
{
	const char *data = records->data;
	gsize left = records->len * sizeof(PackRecord);

	while (left > 0) {
		ssize_t n = write(fd, data, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FALSE;
		data += n;
		left -= (gsize)n;
	}
	return TRUE;
}

gboolean
packs_is_orphaned(Packs *packs)
{
	struct stat status;

	return packs->journal < 0 || fstat(packs->journal, &status) != 0 || status.st_nlink == 0;
}

static int
open_journal(Packs *packs, const char *name, int flags)
{
	return openat(packs->folder, name,
		      O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags,
		      0600);
}

/* All that is known, and nothing else. 0 or an errno: then the old one is not used any more. */
static int
write_anew(Packs *packs)
{
	g_autoptr(GArray) records = g_array_new(FALSE, FALSE, sizeof(PackRecord));
	PackRecord format = {.address = FORMAT};
	g_auto(UtilFd) fd = -1;
	GHashTableIter iter;
	gpointer slot;

	seal(&format);
	util_close_fd(&packs->journal);
	g_array_append_val(records, format);
	g_hash_table_iter_init(&iter, packs->slots);
	while (g_hash_table_iter_next(&iter, &slot, NULL)) {
		PackRecord record = record_of(slot);

		g_array_append_val(records, record);
	}
	unlinkat(packs->folder, JOURNAL_NEW, 0);
	fd = open_journal(packs, JOURNAL_NEW, O_EXCL);
	if (fd < 0 || fchmod(fd, 0600) != 0 || !write_records(fd, records) ||
	    renameat(packs->folder, JOURNAL_NEW, packs->folder, JOURNAL) != 0)
		return errno;
	packs->journal = util_steal_fd(&fd);
	packs->written = records->len;
	g_array_set_size(packs->pending, 0);
	return 0;
}

static gboolean
is_mostly_history(const Packs *packs)
{
	return packs->written > 2 * (guint64)g_hash_table_size(packs->slots) + HISTORY_MAX;
}

gboolean
packs_write_journal(Packs *packs)
{
	off_t end;

	if (packs->pending->len == 0)
		return TRUE;
	end = packs->journal >= 0 ? lseek(packs->journal, 0, SEEK_END) : -1;
	if (end < 0)
		return FALSE;
	if (!write_records(packs->journal, packs->pending)) {
		/* Half a record would make all behind it unreadable. */
		if (ftruncate(packs->journal, end) != 0)
			util_close_fd(&packs->journal);
		return FALSE;
	}
	packs->written += packs->pending->len;
	g_array_set_size(packs->pending, 0);
	return !is_mostly_history(packs) || write_anew(packs) == 0;
}

/* --- reading --- */

static void
drop_slot(Packs *packs, guint64 address)
{
	Slot *slot = g_hash_table_lookup(packs->slots, &address);

	if (slot == NULL)
		return;
	g_hash_table_steal(packs->slots, slot);
	slot->pack->users--;
	g_free(slot);
}

/* FALSE: it is not to be believed. */
static gboolean
add_slot(Packs *packs, const PackRecord *record)
{
	Pack *pack = g_hash_table_lookup(packs->packs, GUINT_TO_POINTER(record->number));
	guint64 end = (guint64)record->block * PACKS_BLOCK + packs_room(record->size);
	Slot *slot;

	if (record->size > PACKS_BODY_MAX)
		return FALSE;
	if (pack == NULL)
		pack = packs_open_pack(packs, record->number, FALSE);
	if (pack == NULL || end > pack->end)
		return FALSE;
	slot = g_new0(Slot, 1);
	slot->address = record->address;
	slot->packs = packs;
	slot->pack = pack;
	slot->block = record->block;
	slot->size = record->size;
	slot->crc = record->crc;
	slot->used = record->used;
	pack->users++;
	g_hash_table_add(packs->slots, slot);
	return TRUE;
}

/* FALSE: some were not to be believed. */
static gboolean
apply(Packs *packs, const PackRecord *records, gsize n)
{
	gboolean good = TRUE;

	for (gsize i = 0; i < n; i++) {
		if (!is_sealed(&records[i]) || records[i].address == 0) {
			good = FALSE;
			continue;
		}
		drop_slot(packs, records[i].address);
		if (records[i].number != 0 && !add_slot(packs, &records[i]))
			good = FALSE;
	}
	return good;
}

static gboolean
is_ours(const PackRecord *first)
{
	return is_sealed(first) && first->address == FORMAT && first->number == 0;
}

/* FALSE: it is to be written anew. */
static gboolean
read_journal(Packs *packs)
{
	g_autofree PackRecord *records = g_new(PackRecord, RECORDS_READ);
	gboolean good = TRUE;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(packs->journal, records, RECORDS_READ * sizeof *records, at)) > 0) {
		gsize whole = (gsize)n / sizeof *records;

		if (at == 0 && (whole == 0 || !is_ours(&records[0])))
			return FALSE;
		good &= apply(packs, records + (at == 0), whole - (at == 0));
		packs->written += whole;
		at += (off_t)(whole * sizeof *records);
		if (whole == 0)
			return FALSE;
	}
	return good && n == 0 && at > 0;
}

/* --- what no record tells of --- */

static gboolean
is_known(Packs *packs, const char *name)
{
	guint64 number;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, JOURNAL) == 0)
		return TRUE;
	return name[0] != '0' &&
	       g_ascii_string_to_unsigned(name, 10, 1, G_MAXUINT32, &number, NULL) &&
	       g_hash_table_contains(packs->packs, GUINT_TO_POINTER((guint)number));
}

static void
delete_unknown(Packs *packs)
{
	int fd = openat(packs->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (folder == NULL) {
		util_close_fd(&fd);
		return;
	}
	while ((entry = readdir(folder)) != NULL)
		if (!is_known(packs, entry->d_name))
			unlinkat(packs->folder, entry->d_name, 0);
	closedir(folder);
}

static void
give_back(Pack *pack, guint64 from, guint64 to)
{
	if (to > from && !packs_punch(pack, from, to))
		pack->unpunched += to - from;
}

/* What a crash, or a journal that was not believed, left in the packs. */
static void
give_gaps_back(Packs *packs, GPtrArray *slots)
{
	guint next;

	for (guint i = 0; i < slots->len; i = next) {
		Pack *pack = ((Slot *)slots->pdata[i])->pack;
		guint64 end = 0, bytes = 0;
		struct stat status;
		gboolean waste;

		for (next = i; next < slots->len && ((Slot *)slots->pdata[next])->pack == pack;
		     next++)
			bytes += packs_room(((Slot *)slots->pdata[next])->size);
		waste = fstat(pack->fd, &status) == 0 &&
			(guint64)status.st_blocks * 512 > bytes + WASTE_MAX;
		for (guint j = i; j < next && waste; j++) {
			const Slot *slot = slots->pdata[j];
			guint64 begin = (guint64)slot->block * PACKS_BLOCK;

			give_back(pack, end, begin);
			end = begin + packs_room(slot->size);
		}
		if (waste)
			give_back(pack, end, pack->end);
		packs->total += bytes + pack->unpunched;
	}
}

static void
settle(Packs *packs)
{
	g_autoptr(GPtrArray) slots = g_ptr_array_new();
	GHashTableIter iter;
	gpointer item;

	g_hash_table_iter_init(&iter, packs->slots);
	while (g_hash_table_iter_next(&iter, &item, NULL))
		g_ptr_array_add(slots, item);
	g_ptr_array_sort(slots, packs_by_place);
	give_gaps_back(packs, slots);
	g_hash_table_iter_init(&iter, packs->packs);
	while (g_hash_table_iter_next(&iter, NULL, &item)) {
		Pack *pack = item;

		if (pack->users > 0) {
			if (packs->current == NULL || packs->current->number < pack->number)
				packs->current = pack;
			continue;
		}
		g_hash_table_iter_remove(&iter);
		packs_free_pack(pack);
	}
	delete_unknown(packs);
}

/* --- life --- */

int
packs_load(Packs *packs)
{
	struct stat status;
	gboolean good;

	packs->written = 0;
	packs->folder = bodies_claim_folder(packs->at, PACKS_FOLDER);
	if (packs->folder < 0)
		return errno;
	packs->journal = open_journal(packs, JOURNAL, 0);
	if (packs->journal >= 0 &&
	    (fstat(packs->journal, &status) != 0 || !S_ISREG(status.st_mode)))
		util_close_fd(&packs->journal);
	good = packs->journal >= 0 && read_journal(packs);
	settle(packs);
	if (good && !is_mostly_history(packs))
		return 0;
	return write_anew(packs);
}
