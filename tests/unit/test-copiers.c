/* SPDX-License-Identifier: MIT */
#include <sys/prctl.h>
#include <unistd.h>

#include "fs/copiers.h"

/* A thread that is called so is a process to whom it opens a file for. */
static gpointer
called_cp(gpointer data)
{
	Copiers *copiers = data;
	guint32 me = (guint32)gettid();

	prctl(PR_SET_NAME, "cp");
	g_assert_true(copiers_may_copy(copiers, me));
	g_assert_true(copiers_may_copy(copiers, me));
	copiers_note(copiers, me, FALSE);
	g_assert_false(copiers_may_copy(copiers, me));
	copiers_note(copiers, me, TRUE);
	g_assert_true(copiers_may_copy(copiers, me));
	return NULL;
}

static gpointer
called_otherwise(gpointer data)
{
	Copiers *copiers = data;
	guint32 me = (guint32)gettid();

	prctl(PR_SET_NAME, "cpio");
	g_assert_false(copiers_may_copy(copiers, me));
	copiers_note(copiers, me, TRUE);
	g_assert_false(copiers_may_copy(copiers, me));
	return NULL;
}

static void
test_cp_copies_until_it_reads(void)
{
	Copiers *copiers = copiers_new();

	g_thread_join(g_thread_new("test", called_cp, copiers));
	copiers_free(copiers);
	copiers_free(NULL);
}

static void
test_nobody_else_copies(void)
{
	Copiers *copiers = copiers_new();

	g_thread_join(g_thread_new("test", called_otherwise, copiers));
	g_assert_false(copiers_may_copy(copiers, 0));
	copiers_free(copiers);
}

static void
test_more_processes_than_are_kept_are_no_harm(void)
{
	Copiers *copiers = copiers_new();

	for (guint32 i = 1; i < 100; i++)
		g_assert_false(copiers_may_copy(copiers, 0x7fffff00 + i));
	g_thread_join(g_thread_new("test", called_cp, copiers));
	copiers_free(copiers);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/copiers/" name, function)
	ADD("cp-copies-until-it-reads", test_cp_copies_until_it_reads);
	ADD("nobody-else-copies", test_nobody_else_copies);
	ADD("more-processes-than-are-kept-are-no-harm",
	    test_more_processes_than_are_kept_are_no_harm);
	return g_test_run();
}
