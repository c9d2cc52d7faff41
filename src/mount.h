/* SPDX-License-Identifier: MIT */
/* The mount verb: builds the house bottom-up, hands each part its parts, serves, takes it down
 * again. */
#pragma once

#include "config.h"
#include "writing.h"

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

/* All that a mount is made of, but no file system: for a verb that needs the account and finds no
 * mount of it. It owns the account's cache and state meanwhile. */
typedef struct {
	const Config *config;
	Account *account;
	Writing *writing;
	GCancellable *cancel; /* by SIGINT, SIGTERM */
} MountParts;

/* Builds them, runs @errand, waits a while for what is still on its way, takes all down. Where the
 * server of the mailboxes cannot be reached, or refuses, @errand is run all the same.
 * @mountpoint is NULL; -d tells more. Returns what @errand returned; -1 with an error when it was
 * not run: those of a mount; BUSY: the account is mounted. */
int mount_errand(const MountArguments *arguments,
		 int (*errand)(gpointer user, const MountParts *parts), gpointer user,
		 GError **error);

/* Where the account is mounted, by a process that lives. (transfer full) NULL: it is not. */
char *mount_place(const Config *config);

/* The sysexits code for an error, and its one line on stderr. */
int mount_complain(const GError *error);

G_END_DECLS
