/* SPDX-License-Identifier: MIT */
#include "fs/backing.h"

typedef struct {
	guint64 ino;
	guint opens;
	int number; /* 0: through the page cache */
} Open;

struct Backing {
	BackingRegister reg;
	BackingRelease release;
	gpointer user;

	GMutex lock; /* guards all below, also while the kernel registers: it does not call back */
	GHashTable *open; /* ino → Open */
	gboolean refused;
};

Backing *
backing_new(BackingRegister reg, BackingRelease release, gpointer user)
{
	Backing *backing = g_new0(Backing, 1);

	backing->reg = reg;
	backing->release = release;
	backing->user = user;
	g_mutex_init(&backing->lock);
	backing->open = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	return backing;
}

void
backing_free(Backing *backing)
{
	if (backing == NULL)
		return;
	g_hash_table_unref(backing->open);
	g_mutex_clear(&backing->lock);
	g_free(backing);
}

int
backing_enter(Backing *backing, guint64 ino, int fd)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&backing->lock);
	Open *open = g_hash_table_lookup(backing->open, &ino);

	if (open == NULL) {
		open = g_new0(Open, 1);
		open->ino = ino;
		if (fd >= 0 && !backing->refused) {
			open->number = backing->reg(backing->user, fd);
			backing->refused = open->number == 0;
		}
		g_hash_table_insert(backing->open, &open->ino, open);
	}
	open->opens++;
	return open->number;
}

gboolean
backing_works(Backing *backing)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&backing->lock);

	return !backing->refused;
}

void
backing_leave(Backing *backing, guint64 ino)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&backing->lock);
	Open *open = g_hash_table_lookup(backing->open, &ino);

	g_return_if_fail(open != NULL);

	if (--open->opens == 0) {
		if (open->number != 0)
			backing->release(backing->user, open->number);
		g_hash_table_remove(backing->open, &ino);
	}
}
