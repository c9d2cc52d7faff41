/* SPDX-License-Identifier: MIT */
#include "store/body.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

#define BLOCK 4096
#define SIZE  (5 * BLOCK + 100)

/* Which octet is where. */
static char
octet(guint64 at)
{
	return (char)(at * 31 + at / 251);
}

static int
file_of(guint64 size)
{
	g_autofree char *text = g_malloc(size + 1);
	int fd = memfd_create("body", MFD_CLOEXEC);

	for (guint64 at = 0; at < size; at++)
		text[at] = octet(at);
	g_assert_cmpint(write(fd, text, size), ==, (gssize)size);
	return fd;
}

static gboolean
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* What is read at @offset of a body that begins at @at. */
static void
assert_read(const Body *body, guint64 at, gsize len, guint64 offset, gssize expected)
{
	g_autofree char *text = g_malloc(len + 1);

	g_assert_cmpint(body_read(body, text, len, offset), ==, expected);
	for (gssize i = 0; i < expected; i++)
		g_assert_cmpint(text[i], ==, octet(at + offset + (guint64)i));
}

static void
assert_edges(const Body *body, guint64 at, guint64 size)
{
	g_assert_cmpuint(body_size(body), ==, size);
	assert_read(body, at, size, 0, (gssize)size);
	assert_read(body, at, size + 1, 0, (gssize)size);
	assert_read(body, at, 2 * size, size - 10, 10);
	assert_read(body, at, 10, size - 10, 10);
	assert_read(body, at, 1, size - 1, 1);
	assert_read(body, at, 0, 0, 0);
	assert_read(body, at, 10, size, 0);
	assert_read(body, at, 10, size + 1, 0);
	assert_read(body, at, 10, G_MAXUINT64, 0);
}

static void
assert_mapped(const Body *body, guint64 at, gsize len, gsize expected)
{
	BodyMap map;

	g_assert_true(body_map(body, len, &map));
	g_assert_nonnull(map.data);
	g_assert_cmpuint(map.len, ==, expected);
	for (gsize i = 0; i < expected; i++)
		g_assert_cmpint(map.data[i], ==, octet(at + i));
	body_unmap(&map);
	g_assert_null(map.data);
	body_unmap(&map);
}

static void
test_a_file_is_read_to_its_end_and_closed(void)
{
	int fd = file_of(SIZE);
	Body *body = body_new_file(fd, SIZE);

	g_assert_cmpint(body_file(body), ==, fd);
	assert_edges(body, 0, SIZE);
	g_assert_true(body_sync(body));
	g_assert_true(body_ref(body) == body);
	body_unref(body);
	g_assert_true(is_open(fd));
	body_unref(body);
	g_assert_false(is_open(fd));
	body_unref(NULL);
}

typedef struct {
	guint times;
	guint64 at, size;
} Left;

static void
on_left(gpointer user, guint64 at, guint64 size)
{
	Left *left = user;

	left->times++;
	left->at = at;
	left->size = size;
}

static void
test_a_slice_ends_where_it_ends_and_tells_when_it_is_left(void)
{
	g_auto(UtilFd) fd = file_of(SIZE);
	Left left = {0};
	Body *body = body_new_slice(fd, (guint64)2 * BLOCK, 1000, NULL, on_left, &left);

	g_assert_cmpint(body_file(body), ==, -1);
	assert_edges(body, (guint64)2 * BLOCK, 1000);
	g_assert_true(body_sync(body));
	body_ref(body);
	body_unref(body);
	g_assert_cmpuint(left.times, ==, 0);
	body_unref(body);
	g_assert_cmpuint(left.times, ==, 1);
	g_assert_cmpuint(left.at, ==, 2 * BLOCK);
	g_assert_cmpuint(left.size, ==, 1000);
	g_assert_true(is_open(fd));
}

/* A slice that is in memory until it is said to be in its file. */
typedef struct {
	gboolean written;
	guint times;
} Held;

static gboolean
on_held(gpointer user, guint64 at, void *buffer, gsize len)
{
	Held *held = user;

	if (held->written)
		return FALSE;
	held->times++;
	for (gsize i = 0; i < len; i++)
		((char *)buffer)[i] = octet(at + i);
	return TRUE;
}

static void
test_a_slice_is_read_from_memory_till_it_is_in_the_file(void)
{
	g_auto(UtilFd) fd = file_of(0);
	Held held = {0};
	g_autoptr(Body) body = body_new_slice(fd, BLOCK, 1000, on_held, NULL, &held);
	g_auto(BodyMap) map = {0};

	assert_edges(body, BLOCK, 1000);
	g_assert_cmpuint(held.times, >, 0);
	assert_mapped(body, BLOCK, 10, 10);
	assert_mapped(body, BLOCK, G_MAXSIZE, 1000);
	g_assert_true(body_map(body, 1000, &map));
	held = (Held){.written = TRUE};
	assert_read(body, BLOCK, 10, 0, 0);
	g_assert_cmpuint(held.times, ==, 0);
	g_assert_cmpint(map.data[999], ==, octet(BLOCK + 999));
}

static void
test_a_slice_may_be_left_silently(void)
{
	g_auto(UtilFd) fd = file_of(SIZE);
	g_autoptr(Body) last = body_new_slice(fd, (guint64)5 * BLOCK, 100, NULL, NULL, NULL);
	g_autoptr(Body) empty = body_new_slice(fd, (guint64)3 * BLOCK, 0, NULL, NULL, NULL);

	assert_edges(last, (guint64)5 * BLOCK, 100);
	assert_read(empty, 0, 10, 0, 0);
}

static void
test_what_is_cut_short_is_read_short_and_what_cannot_be_is_an_error(void)
{
	g_auto(UtilFd) deaf = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_autoptr(Body) cut = body_new_file(file_of(50), 100);
	g_autoptr(Body) directory = body_new_slice(deaf, 0, 100, NULL, NULL, NULL);
	BodyMap map = {0};
	char text[10];

	assert_read(cut, 0, 100, 0, 50);
	assert_read(cut, 0, 10, 60, 0);
	errno = 0;
	g_assert_cmpint(body_read(directory, text, sizeof text, 0), ==, -1);
	g_assert_cmpint(errno, ==, EISDIR);
	g_assert_false(body_map(directory, 10, &map));
	g_assert_null(map.data);
	body_unmap(&map);
}

/* Slices begin where blocks do, which need not be where pages do: so any place must do. */
static void
test_a_map_begins_where_the_body_does(void)
{
	static const guint64 places[] = {0, BLOCK, (guint64)2 * BLOCK, BLOCK + 512};
	g_auto(UtilFd) fd = file_of(SIZE);
	g_autoptr(Body) whole = body_new_file(file_of(SIZE), SIZE);
	g_autoptr(Body) empty = body_new_file(file_of(0), 0);

	assert_mapped(whole, 0, 10, 10);
	assert_mapped(whole, 0, SIZE, SIZE);
	assert_mapped(whole, 0, G_MAXSIZE, SIZE);
	assert_mapped(whole, 0, 0, 0);
	assert_mapped(empty, 0, 10, 0);
	for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
		g_autoptr(Body) slice = body_new_slice(fd, places[i], 3000, NULL, NULL, NULL);

		assert_mapped(slice, places[i], 10, 10);
		assert_mapped(slice, places[i], G_MAXSIZE, 3000);
	}
}

static void
test_a_map_stays_when_the_body_goes(void)
{
	g_auto(BodyMap) map = {0};
	Body *body = body_new_file(file_of(SIZE), SIZE);

	g_assert_true(body_map(body, SIZE, &map));
	body_unref(body);
	g_assert_cmpint(map.data[SIZE - 1], ==, octet(SIZE - 1));
}

static gpointer
hold_and_read(gpointer user)
{
	for (guint i = 0; i < 10000; i++) {
		g_autoptr(Body) body = body_ref(user);
		char text[8];

		g_assert_cmpint(body_read(body, text, sizeof text, i % 100), ==, sizeof text);
		g_assert_cmpint(text[7], ==, octet(BLOCK + i % 100 + 7));
	}
	body_unref(user);
	return NULL;
}

static void
test_many_threads_hold_one_body(void)
{
	g_auto(UtilFd) fd = file_of(SIZE);
	GThread *threads[4];
	Left left = {0};
	Body *body = body_new_slice(fd, BLOCK, 1000, NULL, on_left, &left);

	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("holder", hold_and_read, body_ref(body));
	body_unref(body);
	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	g_assert_cmpuint(left.times, ==, 1);
}

#define TEST(name) g_test_add_func("/body/" #name, test_##name)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST(a_file_is_read_to_its_end_and_closed);
	TEST(a_slice_ends_where_it_ends_and_tells_when_it_is_left);
	TEST(a_slice_is_read_from_memory_till_it_is_in_the_file);
	TEST(a_slice_may_be_left_silently);
	TEST(what_is_cut_short_is_read_short_and_what_cannot_be_is_an_error);
	TEST(a_map_begins_where_the_body_does);
	TEST(a_map_stays_when_the_body_goes);
	TEST(many_threads_hold_one_body);
	return g_test_run();
}
