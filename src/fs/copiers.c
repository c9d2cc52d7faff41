/* SPDX-License-Identifier: MIT */
#include "fs/copiers.h"

#include <string.h>

#define KEPT	16		     /* processes */
#define GOOD_US (2 * G_USEC_PER_SEC) /* a number may be another process after that */

typedef struct {
	guint32 thread; /* cp has one */
	gboolean is_cp, known, copies;
	gint64 when; /* monotonic, of the last call; 0: free */
} Copier;

struct Copiers {
	GMutex lock; /* guards all below */
	Copier kept[KEPT];
};

Copiers *
copiers_new(void)
{
	Copiers *copiers = g_new0(Copiers, 1);

	g_mutex_init(&copiers->lock);
	return copiers;
}

void
copiers_free(Copiers *copiers)
{
	if (copiers == NULL)
		return;
	g_mutex_clear(&copiers->lock);
	g_free(copiers);
}

static gboolean
is_cp(guint32 thread)
{
	g_autofree char *path = g_strdup_printf("/proc/%u/comm", thread);
	g_autofree char *name = NULL;

	return g_file_get_contents(path, &name, NULL, NULL) && strcmp(name, "cp\n") == 0;
}

/* Under the lock. Takes the place of the one not heard of for longest. */
static Copier *
copier_of(Copiers *copiers, guint32 thread)
{
	gint64 now = g_get_monotonic_time();
	Copier *oldest = &copiers->kept[0];

	for (guint i = 0; i < KEPT; i++) {
		Copier *copier = &copiers->kept[i];

		if (copier->thread == thread && copier->when + GOOD_US > now) {
			copier->when = now;
			return copier;
		}
		if (copier->when < oldest->when)
			oldest = copier;
	}
	*oldest = (Copier){.thread = thread, .is_cp = is_cp(thread), .when = now};
	return oldest;
}

gboolean
copiers_may_copy(Copiers *copiers, guint32 thread)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&copiers->lock);
	const Copier *copier = copier_of(copiers, thread);

	return copier->is_cp && (!copier->known || copier->copies);
}

void
copiers_note(Copiers *copiers, guint32 thread, gboolean copied)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&copiers->lock);
	Copier *copier = copier_of(copiers, thread);

	copier->known = TRUE;
	copier->copies = copied;
}
