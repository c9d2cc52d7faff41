/* SPDX-License-Identifier: MIT */
#include <sys/syscall.h>

#include "packs-fixture.h"

/* An errno that bodies are refused with; or 0. */
static int refused;

ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
	if (refused != 0) {
		errno = refused;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, data, len, at);
}

#define CHUNK (256 * 1024) /* octets that are written at once */

static void
test_the_last_ones_are_in_memory(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);
	g_autoptr(Body) whole = NULL;
	g_autoptr(Body) kept = NULL;
	g_autofree char *text = text_of(2, 14200);

	put(packs, 1, 5000);
	g_assert_cmpint(packs_put(packs, 2, text, 14200, checksum(0, text, 14200), &kept), ==, 0);
	g_assert_cmpuint(disk_of(fixture, "1"), ==, 0);
	assert_here(packs, 1, 5000);
	whole = get(packs, 1, 1, 5000);
	g_assert_cmpint(packs_flush(packs), ==, 0);
	g_assert_cmpuint(disk_of(fixture, "1"), >=, 14200 + 5000);
	assert_reads(whole, 1, 5000);
	assert_reads(kept, 2, 14200);
	put(packs, 3, 4096);
	assert_here(packs, 3, 4096);
	assert_here(packs, 1, 5000);
}

/* A body of each length, at each place of a chunk. */
static void
test_chunks_are_written_when_full(Fixture *fixture, gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);
	guint64 bytes = 0;

	for (guint i = 1; i <= 200; i++) {
		gsize len = i * 7919 % PACKS_BODY_MAX;

		put(packs, i, len);
		bytes += (len + PACKS_BLOCK - 1) / PACKS_BLOCK * PACKS_BLOCK;
		g_assert_cmpuint(disk_of(fixture, "1") + 3 * CHUNK, >=, bytes);
	}
	for (guint i = 1; i <= 200; i++)
		assert_here(packs, i, i * 7919 % PACKS_BODY_MAX);
	packs_close(packs);
	packs = packs_open(fixture->at);
	for (guint i = 1; i <= 200; i++)
		assert_here(packs, i, i * 7919 % PACKS_BODY_MAX);
	g_assert_cmpuint(packs_total(packs), ==, bytes);
	packs_close(packs);
}

static void
test_what_is_removed_in_memory_takes_no_disk_either(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);

	put(packs, 1, 4096);
	put(packs, 2, 100000);
	put(packs, 3, 4096);
	g_assert_true(packs_remove(packs, 2));
	g_assert_cmpint(packs_flush(packs), ==, 0);
	g_assert_cmpuint(packs_total(packs), ==, 2 * 4096);
	g_assert_cmpuint(disk_of(fixture, "1"), <, 100000);
	assert_here(packs, 1, 4096);
	assert_here(packs, 3, 4096);
}

/* What was accepted stays readable, is on disk as soon as there is room, and never hidden by the
 * error that another one is told of. */
static void
test_what_the_disk_refuses_is_kept_and_tried_again(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);
	guint n = 1;

	put(packs, n, 100000);
	refused = ENOSPC;
	g_assert_cmpint(packs_flush(packs), ==, ENOSPC);
	while (try_put(packs, n + 1, 100000) == 0)
		n++;
	g_assert_cmpuint(n, <, 10);
	g_assert_false(packs_has(packs, n + 1));
	for (guint i = 1; i <= n; i++)
		assert_here(packs, i, 100000);
	g_assert_cmpuint(disk_of(fixture, "1"), ==, 0);
	{
		g_autoptr(Body) body = get(packs, 1, 1, 100000);

		g_assert_false(packs_secure(packs, body));
	}
	refused = 0;
	put(packs, n + 1, 100000);
	g_assert_cmpint(packs_flush(packs), ==, 0);
	g_assert_cmpuint(disk_of(fixture, "1"), >=, (n + 1) * 100000);
	for (guint i = 1; i <= n + 1; i++)
		assert_here(packs, i, 100000);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("in-memory", test_the_last_ones_are_in_memory, NULL);
	ADD("chunks", test_chunks_are_written_when_full, NULL);
	ADD("removed-in-memory", test_what_is_removed_in_memory_takes_no_disk_either, NULL);
	ADD("refused", test_what_the_disk_refuses_is_kept_and_tried_again, NULL);
	return g_test_run();
}
