/* SPDX-License-Identifier: MIT */
/* The mount verb: builds the house bottom-up, hands each part its parts, serves, takes it down
 * again. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
	const char *source, *mountpoint;
	GPtrArray *options; /* of char *, "name=value" */
	gboolean foreground, debug;
	char *environment; /* of secrets_take_environment(), owned by the callee */
} MountArguments;

/* Returns a sysexits code when the file system is mounted (background) or unmounted again
 * (foreground). */
int mount_run(const MountArguments *arguments);

/* The sysexits code for an error, and its one line on stderr. */
int mount_complain(const GError *error);

G_END_DECLS
