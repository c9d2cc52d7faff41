/* SPDX-License-Identifier: MIT */
#include "fs/errands.h"

#define MANY 1000

typedef struct {
	gint *next; /* of this key */
	gint number;
} Step;

static void
take_step(gpointer data)
{
	Step *step = data;

	g_assert_cmpint(*step->next, ==, step->number);
	(*step->next)++;
	g_free(step);
}

static void
push_steps(Errands *errands, guint key, gint *next, gint from)
{
	for (gint i = from; i < from + MANY; i++) {
		Step *step = g_new0(Step, 1);

		*step = (Step){next, i};
		errands_push(errands, key, take_step, step);
	}
}

static void
test_what_has_the_same_key_is_done_in_order(void)
{
	Errands *errands = errands_new();
	gint next[7] = {0};

	for (guint key = 0; key < G_N_ELEMENTS(next); key++)
		push_steps(errands, key, &next[key], 0);
	errands_drain(errands);
	for (guint key = 0; key < G_N_ELEMENTS(next); key++)
		g_assert_cmpint(next[key], ==, MANY);
	errands_free(errands);
}

static void
test_all_that_is_left_is_done_at_the_end(void)
{
	Errands *errands = errands_new();
	gint next = 0;

	push_steps(errands, 5, &next, 0);
	errands_free(errands);
	g_assert_cmpint(next, ==, MANY);
	errands_free(NULL);
}

typedef struct {
	GMutex lock;
	GCond changed;
	gboolean entered, leave;
} Gate;

static void
stand_at_gate(gpointer data)
{
	Gate *gate = data;

	g_mutex_lock(&gate->lock);
	gate->entered = TRUE;
	g_cond_broadcast(&gate->changed);
	while (!gate->leave)
		g_cond_wait(&gate->changed, &gate->lock);
	g_mutex_unlock(&gate->lock);
}

static void
open_gate(gpointer data)
{
	Gate *gate = data;

	g_mutex_lock(&gate->lock);
	gate->leave = TRUE;
	g_cond_broadcast(&gate->changed);
	g_mutex_unlock(&gate->lock);
}

/* Else this would never end. */
static void
test_one_that_takes_long_does_not_hold_up_another_key(void)
{
	Errands *errands = errands_new();
	Gate gate = {0};

	errands_push(errands, 1, stand_at_gate, &gate);
	errands_push(errands, 2, open_gate, &gate);
	errands_drain(errands);
	g_assert_true(gate.entered);
	errands_free(errands);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/errands/" name, function)
	ADD("what-has-the-same-key-is-done-in-order", test_what_has_the_same_key_is_done_in_order);
	ADD("all-that-is-left-is-done-at-the-end", test_all_that_is_left_is_done_at_the_end);
	ADD("one-that-takes-long-does-not-hold-up-another-key",
	    test_one_that_takes_long_does_not_hold_up_another_key);
	return g_test_run();
}
