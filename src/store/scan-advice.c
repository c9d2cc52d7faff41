/* SPDX-License-Identifier: MIT */
/* Readers in listing order: a ScanRun is what one process has opened of one mailbox, without a jump
 * between, and how far ahead of it bodies are wanted. */
#include "store/scan-private.h"

#define WINDOW_FIRST 8
#define WINDOW_FAST  64 /* up to here it doubles with each open, then only for who opens fast */
#define FAST_US	     (20 * G_TIME_SPAN_MILLISECOND) /* between two opens */
#define WINDOW_MIN   256  /* wider than this only where the line is long for its reader */
#define WINDOW_LAST  4096 /* what a fast reader takes in a round trip of 100 ms */
#define NEAR	     16	  /* ripgrep's threads, sorted by nobody, stay within this many ranks */
#define TREND_MAX    4

static ScanRun *
find_run(Scan *scan, guint32 reader, guint32 serial)
{
	ScanRun *oldest = &scan->runs[0];

	for (guint i = 0; i < SCAN_RUNS; i++) {
		ScanRun *run = &scan->runs[i];

		if (run->reader == reader && run->serial == serial)
			return run;
		if (run->used < oldest->used)
			oldest = run;
	}
	*oldest = (ScanRun){.reader = reader, .serial = serial};
	return oldest;
}

static void
run_begin(ScanRun *run, guint rank)
{
	run->begun = TRUE;
	run->low = run->high = rank;
	run->asked_low = rank;
	run->asked_high = rank + 1;
	/* Who lists a mailbox and then opens the first message is about to read it all. */
	run->sure = run->listed && rank == 0;
	run->trend = run->sure ? 1 : 0;
	run->window = 0;
	run->pace_us = 0;
}

/* Is this open a step of the run? Threads overtake each other: a small step back is still the same
 * run, and which way it goes is told by the side on which it grows more often. */
static gboolean
run_goes_on(ScanRun *run, guint rank)
{
	guint edge = run->trend < 0 ? run->low : run->high;

	if (!run->begun || (rank > edge ? rank - edge : edge - rank) > NEAR)
		return FALSE;
	if (rank > run->high) {
		run->high = rank;
		run->trend = MIN(run->trend + 1, TREND_MAX);
	} else if (rank < run->low) {
		run->low = rank;
		run->trend = MAX(run->trend - 1, -TREND_MAX);
	}
	return TRUE;
}

/* Too soon makes many commands, too late makes the reader wait for a round trip. */
static gboolean
needs_more(const ScanRun *run, guint unread)
{
	return unread + run->window / (run->window < WINDOW_MIN ? 2 : 4) <= run->window;
}

static ScanAdvice
advise_forward(ScanRun *run, guint n_messages)
{
	guint first = MAX(run->asked_high, run->high + 1);
	guint unread = first - run->high - 1; /* asked for */
	ScanAdvice advice = {.from = first};

	if (!needs_more(run, unread))
		return advice;
	advice.count = MIN(run->window - unread, n_messages > first ? n_messages - first : 0);
	run->asked_high = first + advice.count;
	return advice;
}

static ScanAdvice
advise_backward(ScanRun *run)
{
	guint left = MIN(run->asked_low, run->low);
	guint unread = run->low - left;
	ScanAdvice advice = {.from = left > 0 ? left - 1 : 0, .backward = TRUE};

	if (!needs_more(run, unread))
		return advice;
	advice.count = MIN(run->window - unread, left);
	run->asked_low = left - advice.count;
	return advice;
}

/* Twice what the reader opens while a body comes. What is fetched sooner than that only takes time
 * from the reader, where both share a machine, and is for nothing where he stops. */
static guint
worthwhile(const Scan *scan, const ScanRun *run)
{
	if (run->pace_us == 0)
		return WINDOW_MIN;
	return (guint)CLAMP(2 * scan->latency_us / run->pace_us, WINDOW_MIN, WINDOW_LAST);
}

/* By the time that the first window is here, a fast reader has opened all of it at once: what he
 * wants a round trip later must be asked for now. */
static void
widen(const Scan *scan, ScanRun *run, gboolean in_order, gboolean fast)
{
	if (run->window == 0)
		run->window = WINDOW_FIRST;
	else if (run->sure && in_order && run->window < WINDOW_FAST)
		run->window = WINDOW_FAST;
	else if (run->window < WINDOW_FAST || fast)
		run->window = MIN(run->window * 2, worthwhile(scan, run));
}

static void
note_pace(ScanRun *run, gint64 passed_us)
{
	passed_us = MAX(passed_us, 1);
	run->pace_us = run->pace_us == 0 ? passed_us : MAX((run->pace_us * 7 + passed_us) / 8, 1);
}

/* So much is on the way that more would be asked for one by one, as they come: a line takes a few
 * commands at a time, each of which must be worth a round trip. Under the lock. */
static gboolean
is_full(const Scan *scan)
{
	return scan->idle_jobs > SCAN_AHEAD_MAX / 8 * 7 ||
	       scan->idle_bytes > SCAN_AHEAD_BYTES / 8 * 7;
}

ScanAdvice
scan_note_open(Scan *scan, guint32 reader, guint32 serial, guint rank, guint n_messages)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);
	ScanRun *run = find_run(scan, reader, serial);
	gboolean in_order = run_goes_on(run, rank);
	gint64 now = g_get_monotonic_time();
	gboolean fast = in_order && now - run->used < FAST_US;
	ScanAdvice advice = {.in_order = in_order};

	if (!in_order)
		run_begin(run, rank);
	else if (fast)
		note_pace(run, now - run->used);
	run->used = now;
	run->listed = FALSE;
	if (run->trend == 0)
		return (ScanAdvice){0};
	widen(scan, run, in_order, fast);
	if (is_full(scan))
		return advice;
	advice = run->trend > 0 ? advise_forward(run, n_messages) : advise_backward(run);
	advice.in_order = in_order;
	return advice;
}

void
scan_note_latency(Scan *scan, gint64 latency_us)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);

	scan->latency_us = latency_us;
}

void
scan_note_listed(Scan *scan, guint32 reader, guint32 serial)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);
	ScanRun *run = find_run(scan, reader, serial);

	run->listed = TRUE;
	run->used = g_get_monotonic_time();
}

void
scan_note_taken(Scan *scan, guint32 reader, guint32 serial, const ScanAdvice *advice, guint taken)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);
	ScanRun *run = find_run(scan, reader, serial);

	if (!run->begun)
		return;
	if (advice->backward)
		run->asked_low = advice->from + 1 - taken;
	else
		run->asked_high = advice->from + taken;
}
