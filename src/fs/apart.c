/* SPDX-License-Identifier: MIT */
#include "fs/apart.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>

struct Apart {
	cpu_set_t allowed; /* when nothing was kept off */
	gint crew[APART_CREW];
	guint crew_size;
	int cpu; /* that is kept off, or APART_NOWHERE */
};

Apart *
apart_new(void)
{
	Apart *apart = g_new0(Apart, 1);

	apart->cpu = APART_NOWHERE;
	return apart;
}

void
apart_free(Apart *apart)
{
	g_free(apart);
}

void
apart_add_crew(Apart *apart, gint thread)
{
	g_assert(apart->crew_size < APART_CREW);
	apart->crew[apart->crew_size++] = thread;
}

static gboolean
is_crew(const Apart *apart, gint thread)
{
	for (guint i = 0; i < apart->crew_size; i++)
		if (apart->crew[i] == thread)
			return TRUE;
	return FALSE;
}

/* A thread that ends meanwhile is no matter. */
static void
move_all(const Apart *apart, const cpu_set_t *to)
{
	DIR *threads = opendir("/proc/self/task");
	struct dirent *entry;

	if (threads == NULL)
		return;
	while ((entry = readdir(threads)) != NULL) {
		gint thread = atoi(entry->d_name);

		if (thread > 0 && !is_crew(apart, thread))
			sched_setaffinity(thread, sizeof *to, to);
	}
	closedir(threads);
}

void
apart_keep_off(Apart *apart, int cpu)
{
	cpu_set_t rest;

	if (cpu == apart->cpu)
		return;
	/* Each time anew: somebody may have said taskset(1) meanwhile. */
	if (apart->cpu == APART_NOWHERE &&
	    sched_getaffinity(0, sizeof apart->allowed, &apart->allowed) != 0)
		return;
	rest = apart->allowed;
	if (cpu != APART_NOWHERE)
		CPU_CLR(cpu, &rest);
	if (CPU_COUNT(&rest) == 0)
		return;
	move_all(apart, &rest);
	apart->cpu = cpu;
}
