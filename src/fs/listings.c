/* SPDX-License-Identifier: MIT */
#include "fs/listings.h"

typedef struct {
	guint64 ino; /* first: the hash's key */
	ListingView held;
	gboolean looked; /* since inodes were last decided on */
	guint until;	 /* they come up to this rank */
} Directory;

struct Listings {
	GMutex lock;
	GHashTable *directories;
};

Listings *
listings_new(void)
{
	Listings *listings = g_new0(Listings, 1);

	g_mutex_init(&listings->lock);
	listings->directories = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	return listings;
}

void
listings_free(Listings *listings)
{
	if (listings == NULL)
		return;
	g_hash_table_unref(listings->directories);
	g_mutex_clear(&listings->lock);
	g_free(listings);
}

gboolean
listings_open(Listings *listings, guint64 ino, const ListingView *now)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&listings->lock);
	Directory *directory = g_hash_table_lookup(listings->directories, &ino);
	gboolean known = directory != NULL;

	if (!known) {
		directory = g_new0(Directory, 1);
		directory->ino = ino;
		g_hash_table_insert(listings->directories, &directory->ino, directory);
	}
	directory->until = LISTINGS_FIRST;
	directory->looked = FALSE;
	if (known && directory->held.version == now->version)
		return TRUE;
	directory->held = *now;
	return FALSE;
}

void
listings_end(Listings *listings, guint64 ino, guint64 version, const ListingView *then)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&listings->lock);
	Directory *directory = g_hash_table_lookup(listings->directories, &ino);

	/* Not if somebody opened it anew meanwhile: the kernel began again with him. */
	if (directory != NULL && directory->held.version == version && directory->held.grows &&
	    then->grows && directory->held.shape == then->shape)
		directory->held.version = then->version;
}

void
listings_looked(Listings *listings, guint64 ino)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&listings->lock);
	Directory *directory = g_hash_table_lookup(listings->directories, &ino);

	if (directory != NULL)
		directory->looked = TRUE;
}

ListingsWanted
listings_wanted(Listings *listings, guint64 ino, const ListingView *now)
{
	g_autoptr(GMutexLocker) locker = NULL;
	Directory *directory;

	if (now->count <= LISTINGS_FIRST)
		return LISTINGS_ALL;
	if (now->rank < LISTINGS_FIRST)
		return LISTINGS_PROBE;
	locker = g_mutex_locker_new(&listings->lock);
	directory = g_hash_table_lookup(listings->directories, &ino);
	if (directory == NULL)
		return LISTINGS_ALL;
	if (directory->looked)
		directory->until = now->rank + LISTINGS_CREDIT;
	directory->looked = FALSE;
	return now->rank < directory->until ? LISTINGS_PROBE : LISTINGS_NAMES;
}
