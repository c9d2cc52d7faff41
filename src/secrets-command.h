/* SPDX-License-Identifier: MIT */
/* Runs password-command and token-command: secrets.c's inner part. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define SECRET_MAX 16000 /* bytes of a password or token */

/**
 * command_read_line: runs @command by /bin/sh -c, in a session of its own (no terminal), stdin
 * empty, no other descriptor open.
 * @name: of the option, for error texts; @command itself never shows
 *
 * Blocks, at most @timeout_ms; then, and when cancelled, the whole process group is killed. What
 * the command leaves in the background after a good end (an agent) lives on. Any thread. Errors:
 * MAILFS_ERROR_CONFIG; cancelled.
 *
 * Returns: (transfer full): the first line of its output, without its end; util_free_secret()
 */
char *command_read_line(const char *name, const char *command, guint timeout_ms,
			GCancellable *cancel, GError **error);

G_END_DECLS
