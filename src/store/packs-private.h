/* SPDX-License-Identifier: MIT */
/* The inside of Packs, for packs.c (bodies), packs-chunks.c (those that are not written yet) and
 * packs-journal.c (what is known of them). */
#pragma once

#include "base/util.h"
#include "store/packs.h"

G_BEGIN_DECLS

/* One file. */
typedef struct {
	guint32 number; /* its name */
	UtilFd fd;
	guint64 end;	   /* where the next body goes */
	guint users;	   /* slots in it, and chunks of it */
	guint64 unpunched; /* octets that could not be given back */
	gboolean orphan;   /* deleted by somebody else: it counts no more */
} Pack;

/* Where one body lies. */
typedef struct {
	guint64 address; /* first: the hash's key */
	Packs *packs;
	Pack *pack;
	guint32 block; /* the first, from the pack's beginning */
	guint32 size;
	guint32 crc;
	guint32 used;
	guint readers : 30;
	guint gone : 1;	 /* removed, and punched out after the last reader */
	guint fresh : 1; /* put there by this process, and not read since */
} Slot;

/* One line of the journal, in this machine's byte order. The last one of an address counts. */
typedef struct {
	guint64 address;
	guint32 number; /* of the pack; 0: the body was removed */
	guint32 block;
	guint32 size;
	guint32 crc;
	guint32 used;
	guint32 check; /* CRC-32 of what is before */
} PackRecord;

/* The end of a pack, in memory. */
typedef struct Chunk Chunk;

struct Packs {
	gint refs; /* atomic: the owner's, and one of each reader */
	int at;

	GMutex writing; /* held by who writes chunks; taken before `lock` */
	GMutex lock;	/* guards all below */
	UtilFd folder;	/* packs/; -1: it could not be opened */
	UtilFd journal;
	GHashTable *slots; /* of Slot */
	GHashTable *packs; /* number -> Pack */
	Pack *current;	   /* what is appended to; or NULL */
	guint32 last_number;
	guint64 total;
	GQueue chunks;	 /* of Chunk, oldest first; the last one is appended to */
	Chunk *spare;	 /* or NULL */
	GArray *pending; /* of PackRecord: not written yet */
	guint64 written; /* records in the file */
};

static inline guint64
packs_room(guint64 size)
{
	return (size + PACKS_BLOCK - 1) / PACKS_BLOCK * PACKS_BLOCK;
}

static inline guint64
packs_begin_of(const Slot *slot)
{
	return (guint64)slot->block * PACKS_BLOCK;
}

/* Opens one, or makes it. NULL: errno. With `lock` held. */
Pack *packs_open_pack(Packs *packs, guint32 number, gboolean make);
void packs_free_pack(Pack *pack);
/* Deletes it when nobody uses it any more, unless the next body can go there and it takes no disk
 * for nothing. With `lock` held. */
void packs_settle_pack(Packs *packs, Pack *pack);
/* By pack and block, for arrays of Slot pointers. */
int packs_by_place(gconstpointer a, gconstpointer b);
/* Gives octets back to the disk. FALSE: this filesystem cannot. */
gboolean packs_punch(const Pack *pack, guint64 from, guint64 to);

/* --- packs-chunks.c --- */

/* Takes the octets of a slot that is the last one of its pack. With `lock` held. */
void packs_hold(Packs *packs, const Slot *slot, const void *data);
/* A BodyHeld of a Slot. */
gboolean packs_read_held(gpointer slot, guint64 at, void *buffer, gsize len);
/* Nobody needs it any more. TRUE: it was in memory, and will not be written. Not under the lock. */
gboolean packs_bury(Packs *packs, const Slot *slot);
/* Writes what is full, or all there is; not under the lock. 0 or an errno: then the rest stays. */
int packs_write_closed(Packs *packs);
int packs_write_all(Packs *packs);
void packs_free_chunk(Chunk *chunk); /* NULL is fine */

/* --- packs-journal.c; all with `lock` held --- */

/* Opens folder and journal, and fills `slots` and `packs`. 0 or an errno. */
int packs_load(Packs *packs);
void packs_note_put(Packs *packs, const Slot *slot);
void packs_note_removed(Packs *packs, guint64 address);
/* FALSE: not all is written. */
gboolean packs_write_journal(Packs *packs);
/* Somebody has deleted it while we run. */
gboolean packs_is_orphaned(Packs *packs);

G_END_DECLS
