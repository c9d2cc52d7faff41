/* SPDX-License-Identifier: MIT */
/* The config file, read whole: GKeyFile's format ("[account NAME]", "key = value", "# comment"),
 * read by ourselves because GKeyFile takes duplicates without a word, knows no line numbers, and
 * leaves copies of the password behind. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
	guint number;
	guint account; /* index in accounts */
	char *key;
	char *value; /* blanks around it gone; a password keeps those behind it */
} ConfigLine;

typedef struct {
	char *path;	     /* for error texts */
	GPtrArray *accounts; /* of char *: NAME of each group, in order */
	GPtrArray *lines;    /* of ConfigLine */
	gboolean has_password;
} ConfigFile;

/* @data is overwritten. Errors: MAILFS_ERROR_CONFIG with path and line: malformed, a foreign group,
 * a duplicate. */
ConfigFile *config_file_parse(const char *path, char *data, gsize len, GError **error);

/* Reads and checks whose file it is. Errors: also MAILFS_ERROR_CONFIG when it cannot be read, is
 * too big, is another user's, may be written by others, or holds a password and may be read by
 * others. An absent file is an empty one unless @must_exist. */
ConfigFile *config_file_read(const char *path, gboolean must_exist, GError **error);
void config_file_free(ConfigFile *file); /* wipes; NULL is fine */

/* -1: no such account. */
int config_file_find(const ConfigFile *file, const char *account);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConfigFile, config_file_free)

G_END_DECLS
