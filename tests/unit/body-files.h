/* SPDX-License-Identifier: MIT */
/* What a cache of bodies has on disk. */
#pragma once

#include <glib.h>
#include <string.h>

/* In the folders of @generation below @directory, temporary ones too, but for packs/. */
static inline guint
body_files_left(const char *directory, const char *generation)
{
	g_autofree char *path = g_build_filename(directory, "bodies", generation, NULL);
	g_autoptr(GDir) folders = g_dir_open(path, 0, NULL);
	const char *name;
	guint n = 0;

	while (folders != NULL && (name = g_dir_read_name(folders)) != NULL) {
		g_autofree char *inside = g_build_filename(path, name, NULL);
		g_autoptr(GDir) folder = g_dir_open(inside, 0, NULL);

		while (folder != NULL && g_dir_read_name(folder) != NULL)
			n += strcmp(name, "packs") != 0;
	}
	return n;
}
