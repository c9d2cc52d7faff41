/* SPDX-License-Identifier: MIT */
/* What was answered for and is on its way into a mailbox, by the name it will have there: every
 * lookup of a name asks for it. Under the lock of Changes, all of it. */
#include "mail/change-private.h"

GHashTable *
changes_coming_new(void)
{
	return g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_hash_table_unref);
}

void
change_is_coming(Changes *changes, Change *change)
{
	GHashTable *coming; /* name → GPtrArray of Change, the first that came first */
	GPtrArray *namesakes;

	if (change->coming_as != NULL || change->target == NULL)
		return;
	change->coming_as = g_strdup(change->name != NULL ? change->name : change->copy->name);
	coming = g_hash_table_lookup(changes->coming, change->target);
	if (coming == NULL) {
		coming = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
					       (GDestroyNotify)g_ptr_array_unref);
		g_hash_table_insert(changes->coming, change->target, coming);
	}
	namesakes = g_hash_table_lookup(coming, change->coming_as);
	if (namesakes == NULL) {
		namesakes = g_ptr_array_new();
		g_hash_table_insert(coming, g_strdup(change->coming_as), namesakes);
	}
	g_ptr_array_add(namesakes, change);
}

void
change_has_come(Changes *changes, Change *change)
{
	g_autofree char *name = g_steal_pointer(&change->coming_as);
	GHashTable *coming =
		name != NULL ? g_hash_table_lookup(changes->coming, change->target) : NULL;
	GPtrArray *namesakes;

	if (coming == NULL)
		return;
	namesakes = g_hash_table_lookup(coming, name);
	g_ptr_array_remove(namesakes, change);
	if (namesakes->len == 0)
		g_hash_table_remove(coming, name);
	if (g_hash_table_size(coming) == 0)
		g_hash_table_remove(changes->coming, change->target);
}

gboolean
changes_coming(Changes *changes, Mailbox *target, const char *name)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);
	GHashTable *coming = g_hash_table_lookup(changes->coming, target);

	return coming != NULL && (name == NULL || g_hash_table_contains(coming, name));
}

static MessageView
view_of(const Change *change)
{
	return (MessageView){
		.serial = change->serial,
		.uid = change->uid,
		.size = MAX(change->copy->info.size, 1),
		.date = change->copy->info.date,
		.flags = change->copy->info.flags,
	};
}

gboolean
changes_find_coming(Changes *changes, Mailbox *target, const char *name, MessageView *out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);
	GHashTable *coming = g_hash_table_lookup(changes->coming, target);
	const GPtrArray *namesakes = coming != NULL ? g_hash_table_lookup(coming, name) : NULL;
	const Change *change = namesakes != NULL ? namesakes->pdata[0] : NULL;

	if (change == NULL)
		return FALSE;
	*out = view_of(change);
	return TRUE;
}

gboolean
changes_leaving(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid, MessageView *out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, changes->all);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		const Change *change = key;

		if (change->coming_as == NULL || change->mailbox != mailbox ||
		    change->serial != serial || change->uid != uid)
			continue;
		if (out != NULL)
			*out = view_of(change);
		return TRUE;
	}
	return FALSE;
}
