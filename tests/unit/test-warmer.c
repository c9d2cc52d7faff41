/* SPDX-License-Identifier: MIT */
#include "fs/warmer.h"

typedef struct {
	GMutex lock;
	GCond changed;
	GArray *uids; /* told so far */
	guint32 refuse;
	gboolean held; /* the next message waits */
} Fixture;

static gboolean
store(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_assert_cmpuint(serial, ==, 5);
	g_array_append_val(fixture->uids, uid);
	g_cond_broadcast(&fixture->changed);
	while (fixture->held)
		g_cond_wait(&fixture->changed, &fixture->lock);
	return uid != fixture->refuse;
}

static Warmer *
set_up(Fixture *fixture)
{
	*fixture = (Fixture){.uids = g_array_new(FALSE, FALSE, sizeof(guint32)),
			     .refuse = G_MAXUINT32};
	g_mutex_init(&fixture->lock);
	g_cond_init(&fixture->changed);
	return warmer_new(store, fixture);
}

static void
tear_down(Fixture *fixture, Warmer *warmer)
{
	warmer_free(warmer);
	g_array_unref(fixture->uids);
	g_mutex_clear(&fixture->lock);
	g_cond_clear(&fixture->changed);
}

static void
wait_for(Fixture *fixture, guint n)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	while (fixture->uids->len < n)
		g_cond_wait(&fixture->changed, &fixture->lock);
}

static void
hold(Fixture *fixture, gboolean held)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	fixture->held = held;
	g_cond_broadcast(&fixture->changed);
}

/* Never looked into. */
static Mailbox *
some_mailbox(void)
{
	return (Mailbox *)(gpointer)&some_mailbox;
}

static void
test_order(void)
{
	static const guint32 first[] = {3, 4, 9}, second[] = {10};
	Fixture fixture;
	Warmer *warmer = set_up(&fixture);

	warmer_push(warmer, some_mailbox(), 5, first, G_N_ELEMENTS(first));
	warmer_push(warmer, some_mailbox(), 5, second, G_N_ELEMENTS(second));
	wait_for(&fixture, 4);
	for (guint i = 0; i < 3; i++)
		g_assert_cmpuint(g_array_index(fixture.uids, guint32, i), ==, first[i]);
	g_assert_cmpuint(g_array_index(fixture.uids, guint32, 3), ==, 10);
	tear_down(&fixture, warmer);
}

static void
test_overtaken(void)
{
	static const guint32 uids[] = {1, 2, 3, 4, 5, 6, 7};
	Fixture fixture;
	Warmer *warmer = set_up(&fixture);

	fixture.refuse = 2;
	warmer_push(warmer, some_mailbox(), 5, uids, G_N_ELEMENTS(uids));
	wait_for(&fixture, 3);
	g_assert_cmpuint(g_array_index(fixture.uids, guint32, 1), ==, 2);
	g_assert_cmpuint(g_array_index(fixture.uids, guint32, 2), ==, 7);
	tear_down(&fixture, warmer);
}

static void
test_bound(void)
{
	g_autofree guint32 *uids = g_new0(guint32, 3000);
	static const guint32 last = 77;
	Fixture fixture;
	Warmer *warmer = set_up(&fixture);

	hold(&fixture, TRUE);
	warmer_push(warmer, some_mailbox(), 5, uids, 3000);
	warmer_push(warmer, some_mailbox(), 5, uids, 3000);
	warmer_push(warmer, some_mailbox(), 5, uids, 3000);
	wait_for(&fixture, 1);
	hold(&fixture, FALSE);
	wait_for(&fixture, 4096);
	warmer_push(warmer, some_mailbox(), 5, &last, 1);
	while (g_array_index(fixture.uids, guint32, fixture.uids->len - 1) != last) {
		wait_for(&fixture, 4096);
		warmer_push(warmer, some_mailbox(), 5, &last, 1);
		g_thread_yield();
	}
	for (guint i = 0; i < 4096; i++)
		g_assert_cmpuint(g_array_index(fixture.uids, guint32, i), ==, 0);
	g_assert_cmpuint(g_array_index(fixture.uids, guint32, 4096), ==, last);
	tear_down(&fixture, warmer);
}

static void
test_end(void)
{
	static const guint32 uids[] = {1, 2, 3};
	Fixture fixture;
	Warmer *warmer = set_up(&fixture);

	hold(&fixture, TRUE);
	warmer_push(warmer, some_mailbox(), 5, uids, G_N_ELEMENTS(uids));
	warmer_push(warmer, some_mailbox(), 5, uids, G_N_ELEMENTS(uids));
	wait_for(&fixture, 1);
	hold(&fixture, FALSE);
	tear_down(&fixture, warmer);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/warmer/messages come in the order they were wanted", test_order);
	g_test_add_func("/warmer/a reader who is ahead is not raced", test_overtaken);
	g_test_add_func("/warmer/what is wanted is bounded", test_bound);
	g_test_add_func("/warmer/the end does not wait for the queue", test_end);
	return g_test_run();
}
