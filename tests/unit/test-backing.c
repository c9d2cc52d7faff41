/* SPDX-License-Identifier: MIT */
#include "fs/backing.h"

/* A kernel that numbers what it registers from 1 on. */
typedef struct {
	int last;
	guint registered, released, alive;
	gboolean refuses;
} Kernel;

static int
kernel_register(gpointer user, int fd)
{
	Kernel *kernel = user;

	g_assert_cmpint(fd, >=, 0);
	kernel->registered++;
	if (kernel->refuses)
		return 0;
	kernel->alive++;
	return ++kernel->last;
}

static void
kernel_release(gpointer user, int number)
{
	Kernel *kernel = user;

	g_assert_cmpint(number, >, 0);
	g_assert_cmpint(number, <=, kernel->last);
	kernel->released++;
	kernel->alive--;
}

static Backing *
backing_of(Kernel *kernel)
{
	return backing_new(kernel_register, kernel_release, kernel);
}

static void
test_shared(void)
{
	Kernel kernel = {0};
	Backing *backing = backing_of(&kernel);

	g_assert_cmpint(backing_enter(backing, 7, 30), ==, 1);
	g_assert_cmpint(backing_enter(backing, 7, 31), ==, 1);
	g_assert_cmpint(backing_enter(backing, 8, 32), ==, 2);
	backing_leave(backing, 7);
	g_assert_cmpuint(kernel.released, ==, 0);
	g_assert_cmpint(backing_enter(backing, 7, 33), ==, 1);
	backing_leave(backing, 7);
	backing_leave(backing, 7);
	g_assert_cmpuint(kernel.released, ==, 1);
	g_assert_cmpint(backing_enter(backing, 7, 34), ==, 3);
	backing_leave(backing, 7);
	backing_leave(backing, 8);
	g_assert_cmpuint(kernel.registered, ==, 3);
	g_assert_cmpuint(kernel.alive, ==, 0);
	backing_free(backing);
}

static void
test_first_decides(void)
{
	Kernel kernel = {0};
	Backing *backing = backing_of(&kernel);

	g_assert_cmpint(backing_enter(backing, 7, -1), ==, 0);
	g_assert_cmpint(backing_enter(backing, 7, 30), ==, 0);
	backing_leave(backing, 7);
	g_assert_cmpint(backing_enter(backing, 7, 31), ==, 0);
	backing_leave(backing, 7);
	backing_leave(backing, 7);
	g_assert_cmpuint(kernel.registered, ==, 0);
	g_assert_cmpint(backing_enter(backing, 7, 32), ==, 1);
	g_assert_cmpint(backing_enter(backing, 7, -1), ==, 1);
	backing_leave(backing, 7);
	backing_leave(backing, 7);
	backing_free(backing);
}

static void
test_refused(void)
{
	Kernel kernel = {.refuses = TRUE};
	Backing *backing = backing_of(&kernel);

	for (guint64 ino = 1; ino < 5; ino++)
		g_assert_cmpint(backing_enter(backing, ino, 30), ==, 0);
	for (guint64 ino = 1; ino < 5; ino++)
		backing_leave(backing, ino);
	g_assert_cmpuint(kernel.registered, ==, 1);
	g_assert_cmpuint(kernel.released, ==, 0);
	backing_free(backing);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/backing/all opens of a file share one registration, till the last close",
			test_shared);
	g_test_add_func("/backing/the first open decides for all until the last is closed",
			test_first_decides);
	g_test_add_func("/backing/a kernel that refuses is asked once", test_refused);
	return g_test_run();
}
