/* SPDX-License-Identifier: MIT */
/* A tmpfs of a few blocks in a mount namespace of our own: a disk that really gets full. */
#pragma once

#include <errno.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <sys/mount.h>

/* Its path, made inside @directory; NULL, with the test marked as skipped, where we may not mount.
 */
static inline char *
small_disk_new(const char *directory, const char *options)
{
	g_autofree char *path = g_build_filename(directory, "disk", NULL);

	g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
	if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", path, "tmpfs", 0, options) == 0)
		return g_steal_pointer(&path);
	g_test_skip(errno == EPERM ? "needs root to mount a small disk" : g_strerror(errno));
	g_assert_cmpint(g_rmdir(path), ==, 0);
	return NULL;
}

static inline void
small_disk_free(char *path)
{
	g_assert_cmpint(umount2(path, MNT_DETACH), ==, 0);
	g_assert_cmpint(g_rmdir(path), ==, 0);
	g_free(path);
}

/* Takes all the room that is left but for @spare bytes. */
static inline char *
small_disk_fill(const char *path, gsize spare)
{
	char *filler = g_build_filename(path, "filler", NULL);
	FILE *file = g_fopen(filler, "w");
	static const char block[4096];
	long at;

	while (fwrite(block, sizeof block, 1, file) == 1 && fflush(file) == 0)
		continue;
	fclose(file);
	file = g_fopen(filler, "r");
	g_assert_cmpint(fseek(file, 0, SEEK_END), ==, 0);
	at = ftell(file);
	fclose(file);
	g_assert_cmpint(truncate(filler, at - (long)spare), ==, 0);
	return filler;
}
