/* SPDX-License-Identifier: MIT */
/* What comes last is in memory: one write of a quarter of a megabyte takes a third of what a write
 * a body takes. A chunk is the end of one pack, appended to until it is full; then, or when what is
 * in memory shall be on disk, it is written as it is and the next body begins another one. What
 * could not be written stays, is read from memory, and is tried again by whoever puts the next
 * body: who is refused then, so that there are never more than a few chunks. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "store/packs-private.h"

#define CHUNK_BLOCKS 64 /* as many as `dead` has bits */
#define CHUNK_MAX    (CHUNK_BLOCKS * PACKS_BLOCK)

struct Chunk {
	gatomicrefcount refs; /* the queue's, and one of each who reads */
	Pack *pack;
	guint64 begin, end; /* in the pack; begin..end is only appended to */
	guint64 dead;	    /* a bit for each block that need not be written any more */
	gboolean closed, being_written;
	guint8 data[CHUNK_MAX];
};

/* --- chunks --- */

void
packs_free_chunk(Chunk *chunk)
{
	if (chunk != NULL && g_atomic_ref_count_dec(&chunk->refs))
		g_free(chunk);
}

/* With `lock` held. */
static void
begin_chunk(Packs *packs, Pack *pack, guint64 begin)
{
	Chunk *chunk = g_steal_pointer(&packs->spare);

	if (chunk == NULL)
		chunk = g_new(Chunk, 1);
	g_atomic_ref_count_init(&chunk->refs);
	chunk->pack = pack;
	chunk->begin = chunk->end = begin;
	chunk->dead = 0;
	chunk->closed = chunk->being_written = FALSE;
	pack->users++;
	g_queue_push_tail(&packs->chunks, chunk);
}

/* Memory that was used is there faster than new one. With `lock` held. */
static void
drop_chunk(Packs *packs, Chunk *chunk)
{
	Pack *pack = chunk->pack;

	if (g_atomic_ref_count_dec(&chunk->refs)) {
		g_free(packs->spare);
		packs->spare = chunk;
	}
	pack->users--;
	packs_settle_pack(packs, pack);
}

/* With `lock` held. */
static Chunk *
find_chunk(Packs *packs, const Pack *pack, guint64 at)
{
	for (GList *link = packs->chunks.head; link != NULL; link = link->next) {
		Chunk *chunk = link->data;

		if (chunk->pack == pack && at >= chunk->begin && at < chunk->end)
			return chunk;
	}
	return NULL;
}

/* --- bodies --- */

void
packs_hold(Packs *packs, const Slot *slot, const void *data)
{
	guint64 begin = packs_begin_of(slot);
	gsize room = packs_room(slot->size);
	Chunk *chunk = g_queue_peek_tail(&packs->chunks);
	guint8 *to;

	if (chunk == NULL || chunk->closed || chunk->pack != slot->pack || chunk->end != begin ||
	    chunk->end - chunk->begin + room > CHUNK_MAX) {
		if (chunk != NULL)
			chunk->closed = TRUE;
		begin_chunk(packs, slot->pack, begin);
		chunk = g_queue_peek_tail(&packs->chunks);
	}
	to = chunk->data + (begin - chunk->begin);
	memcpy(to, data, slot->size);
	memset(to + slot->size, 0, room - slot->size);
	chunk->end += room;
}

gboolean
packs_read_held(gpointer slot_, guint64 at, void *buffer, gsize len)
{
	const Slot *slot = slot_;
	Packs *packs = slot->packs;
	Chunk *chunk;

	g_mutex_lock(&packs->lock);
	chunk = find_chunk(packs, slot->pack, at);
	if (chunk != NULL)
		g_atomic_ref_count_inc(&chunk->refs);
	g_mutex_unlock(&packs->lock);
	if (chunk == NULL)
		return FALSE;
	memcpy(buffer, chunk->data + (at - chunk->begin), len);
	packs_free_chunk(chunk);
	return TRUE;
}

gboolean
packs_bury(Packs *packs, const Slot *slot)
{
	guint64 begin = packs_begin_of(slot);
	gsize blocks = packs_room(slot->size) / PACKS_BLOCK;
	gboolean held;
	Chunk *chunk;

	g_mutex_lock(&packs->lock);
	while ((chunk = find_chunk(packs, slot->pack, begin)) != NULL && chunk->being_written) {
		g_mutex_unlock(&packs->lock);
		g_mutex_lock(&packs->writing);
		g_mutex_unlock(&packs->writing);
		g_mutex_lock(&packs->lock);
	}
	for (gsize i = 0; chunk != NULL && i < blocks; i++)
		chunk->dead |= G_GUINT64_CONSTANT(1) << ((begin - chunk->begin) / PACKS_BLOCK + i);
	held = chunk != NULL;
	g_mutex_unlock(&packs->lock);
	return held;
}

/* --- writing --- */

/* 0 or an errno. */
static int
write_blocks(const Chunk *chunk, gsize from, gsize to)
{
	guint64 end = chunk->begin + to * PACKS_BLOCK;

	for (guint64 at = chunk->begin + from * PACKS_BLOCK; at < end;) {
		ssize_t n = pwrite(chunk->pack->fd, chunk->data + (at - chunk->begin), end - at,
				   (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		at += (guint64)n;
	}
	return 0;
}

static gboolean
is_dead(const Chunk *chunk, gsize block)
{
	return (chunk->dead >> block & 1) != 0;
}

/* All but the dead blocks. 0 or an errno: then none of it is on disk. */
static int
write_chunk(const Chunk *chunk)
{
	gsize blocks = (gsize)(chunk->end - chunk->begin) / PACKS_BLOCK;
	int err = 0;

	for (gsize from = 0, to; from < blocks && err == 0; from = to) {
		gboolean dead = is_dead(chunk, from);

		for (to = from + 1; to < blocks && is_dead(chunk, to) == dead; to++)
			continue;
		if (!dead)
			err = write_blocks(chunk, from, to);
	}
	if (err != 0)
		packs_punch(chunk->pack, chunk->begin, chunk->end);
	return err;
}

/* The oldest one, when nothing is appended to it any more. With `lock` held. */
static Chunk *
next_closed(Packs *packs)
{
	Chunk *chunk = g_queue_peek_head(&packs->chunks);

	return chunk != NULL && chunk->closed ? chunk : NULL;
}

/* Enters and leaves with both locks held. 0 or an errno. */
static int
write_next(Packs *packs, Chunk *chunk)
{
	int err;

	chunk->being_written = TRUE;
	g_mutex_unlock(&packs->lock);
	err = write_chunk(chunk);
	g_mutex_lock(&packs->lock);
	chunk->being_written = FALSE;
	if (err != 0)
		return err;
	g_queue_pop_head(&packs->chunks);
	drop_chunk(packs, chunk);
	return 0;
}

int
packs_write_closed(Packs *packs)
{
	Chunk *chunk;
	int err = 0;

	g_mutex_lock(&packs->lock);
	chunk = next_closed(packs);
	g_mutex_unlock(&packs->lock);
	if (chunk == NULL)
		return 0;
	g_mutex_lock(&packs->writing);
	g_mutex_lock(&packs->lock);
	while (err == 0 && (chunk = next_closed(packs)) != NULL)
		err = write_next(packs, chunk);
	g_mutex_unlock(&packs->lock);
	g_mutex_unlock(&packs->writing);
	return err;
}

int
packs_write_all(Packs *packs)
{
	Chunk *last;

	g_mutex_lock(&packs->lock);
	last = g_queue_peek_tail(&packs->chunks);
	if (last != NULL)
		last->closed = TRUE;
	g_mutex_unlock(&packs->lock);
	return packs_write_closed(packs);
}
