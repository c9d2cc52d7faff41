/* SPDX-License-Identifier: MIT */
/* The table of options: config.c's inner part. Where a word comes from decides what it may be and
 * how its error is called. */
#pragma once

#include "config.h"

G_BEGIN_DECLS

typedef enum {
	CONFIG_FROM_COMMAND_LINE, /* errors are MAILFS_ERROR_USAGE */
	CONFIG_FROM_FILE,	  /* errors are MAILFS_ERROR_CONFIG */
} ConfigOrigin;

/* What options say that is no part of the finished Config. */
typedef struct {
	char *source;	   /* source= of the group */
	char *login;	   /* login= */
	char *config_path; /* config= */
	char *directory;   /* relative paths are taken from here (borrowed by nobody, owned) */
	gboolean tls_none; /* tls=none */
} ConfigExtra;

/* Sets one option. @value NULL: given without one. A word of mount(8) that means nothing here is
 * accepted and forgotten. The error names the option, never a secret's value. */
gboolean config_option_set(Config *config, ConfigExtra *extra, const char *name, const char *value,
			   ConfigOrigin origin, GError **error);
void config_extra_clear(ConfigExtra *extra);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ConfigExtra, config_extra_clear)

G_END_DECLS
