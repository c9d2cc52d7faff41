/* SPDX-License-Identifier: MIT */
#include "fs/apart.h"

#include <sched.h>
#include <unistd.h>

#define BUSY 3

/* Threads that wait until the test is over. */
typedef struct {
	GMutex lock;
	GCond changed;
	gboolean over;
	guint ready;
	gint ids[BUSY];
	GThread *threads[BUSY];
} Crowd;

static gpointer
stand_about(gpointer data)
{
	Crowd *crowd = data;

	g_mutex_lock(&crowd->lock);
	crowd->ids[crowd->ready++] = gettid();
	g_cond_broadcast(&crowd->changed);
	while (!crowd->over)
		g_cond_wait(&crowd->changed, &crowd->lock);
	g_mutex_unlock(&crowd->lock);
	return NULL;
}

static void
gather(Crowd *crowd)
{
	for (guint i = 0; i < BUSY; i++)
		crowd->threads[i] = g_thread_new("crowd", stand_about, crowd);
	g_mutex_lock(&crowd->lock);
	while (crowd->ready < BUSY)
		g_cond_wait(&crowd->changed, &crowd->lock);
	g_mutex_unlock(&crowd->lock);
}

static void
disperse(Crowd *crowd)
{
	g_mutex_lock(&crowd->lock);
	crowd->over = TRUE;
	g_cond_broadcast(&crowd->changed);
	g_mutex_unlock(&crowd->lock);
	for (guint i = 0; i < BUSY; i++)
		g_thread_join(crowd->threads[i]);
}

static cpu_set_t
cpus_of(gint thread)
{
	cpu_set_t set;

	g_assert_cmpint(sched_getaffinity(thread, sizeof set, &set), ==, 0);
	return set;
}

static int
first_of(const cpu_set_t *set)
{
	int cpu = 0;

	while (!CPU_ISSET(cpu, set))
		cpu++;
	return cpu;
}

static void
assert_cpus(gint thread, const cpu_set_t *expected)
{
	cpu_set_t set = cpus_of(thread);

	g_assert_true(CPU_EQUAL(&set, expected));
}

static void
test_all_but_the_crew_keep_off(void)
{
	g_autoptr(Apart) apart = apart_new();
	cpu_set_t all = cpus_of(0), rest = all;
	int cpu = first_of(&all);
	Crowd crowd = {0};

	gather(&crowd);
	apart_add_crew(apart, crowd.ids[0]);
	CPU_CLR(cpu, &rest);
	/* Where there is but one CPU, nothing happens. */
	if (CPU_COUNT(&rest) == 0)
		rest = all;
	apart_keep_off(apart, cpu);
	assert_cpus(crowd.ids[0], &all);
	assert_cpus(crowd.ids[1], &rest);
	assert_cpus(crowd.ids[2], &rest);
	assert_cpus(0, &rest);
	apart_keep_off(apart, APART_NOWHERE);
	for (guint i = 0; i < BUSY; i++)
		assert_cpus(crowd.ids[i], &all);
	assert_cpus(0, &all);
	disperse(&crowd);
}

static void
test_where_only_one_may_be_used_nobody_moves(void)
{
	cpu_set_t all = cpus_of(0), one;

	CPU_ZERO(&one);
	CPU_SET(first_of(&all), &one);
	g_assert_cmpint(sched_setaffinity(0, sizeof one, &one), ==, 0);
	{
		g_autoptr(Apart) apart = apart_new();

		apart_keep_off(apart, first_of(&all));
		assert_cpus(0, &one);
	}
	g_assert_cmpint(sched_setaffinity(0, sizeof all, &all), ==, 0);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/apart/all but the crew keep off", test_all_but_the_crew_keep_off);
	g_test_add_func("/apart/where only one may be used nobody moves",
			test_where_only_one_may_be_used_nobody_moves);
	return g_test_run();
}
