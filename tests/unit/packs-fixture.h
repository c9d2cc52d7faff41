/* SPDX-License-Identifier: MIT */
/* Packs in a folder of their own, and bodies that follow from their number. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "store/checksum.h"
#include "store/packs.h"

typedef struct {
	char *directory;
	int at;
} Fixture;

static inline void
setup(Fixture *fixture, gconstpointer data)
{
	fixture->directory = g_dir_make_tmp("mailfs-packs-XXXXXX", NULL);
	g_assert_nonnull(fixture->directory);
	fixture->at = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_assert_cmpint(fixture->at, >=, 0);
}

static inline char *
path_of(Fixture *fixture, const char *name)
{
	return g_build_filename(fixture->directory, "packs", name, NULL);
}

static inline void
delete_packs(Fixture *fixture)
{
	g_autofree char *path = path_of(fixture, NULL);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *inside = path_of(fixture, name);

		g_assert_cmpint(g_remove(inside), ==, 0);
	}
	g_assert_true(g_rmdir(path) == 0 || errno == ENOENT);
}

static inline void
teardown(Fixture *fixture, gconstpointer data)
{
	delete_packs(fixture);
	close(fixture->at);
	g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
	g_free(fixture->directory);
}

/* --- bodies that follow from their number --- */

static inline char *
text_of(guint64 number, gsize len)
{
	char *text = g_malloc(len + 1);
	guint32 state = (guint32)number * 2654435761U + 1;

	for (gsize i = 0; i < len; i++) {
		state = state * 1664525 + 1013904223;
		text[i] = (char)(state >> 24);
	}
	return text;
}

static inline guint32
crc_of(guint64 number, gsize len)
{
	g_autofree char *text = text_of(number, len);

	return checksum(0, text, len);
}

static inline int
try_put(Packs *packs, guint64 address, gsize len)
{
	g_autofree char *text = text_of(address, len);

	return packs_put(packs, address, text, len, checksum(0, text, len), NULL);
}

static inline void
put(Packs *packs, guint64 address, gsize len)
{
	g_assert_cmpint(try_put(packs, address, len), ==, 0);
}

static inline Body *
get(Packs *packs, guint64 address, guint64 number, gsize len)
{
	gboolean damaged;

	return packs_get(packs, address, len, crc_of(number, len), &damaged);
}

static inline void
assert_reads(const Body *body, guint64 number, gsize len)
{
	g_autofree char *expected = text_of(number, len);
	g_autofree char *found = g_malloc(len + 1);

	g_assert_nonnull(body);
	g_assert_cmpuint(body_size(body), ==, len);
	g_assert_cmpint(body_read(body, found, len + 1, 0), ==, len);
	g_assert_cmpmem(found, len, expected, len);
}

static inline void
assert_here(Packs *packs, guint64 address, gsize len)
{
	g_autoptr(Body) body = get(packs, address, address, len);

	assert_reads(body, address, len);
}

static inline void
assert_not_here(Packs *packs, guint64 address, gsize len)
{
	g_autoptr(Body) body = get(packs, address, address, len);

	g_assert_null(body);
	g_assert_false(packs_has(packs, address));
}

/* --- the files --- */

static inline guint64
disk_of(Fixture *fixture, const char *name)
{
	g_autofree char *path = path_of(fixture, name);
	struct stat status;

	return lstat(path, &status) == 0 ? (guint64)status.st_blocks * 512 : 0;
}

#define ADD(name, function, data)                                                                  \
	g_test_add("/packs/" name, Fixture, data, setup, function, teardown)
