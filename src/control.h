/* SPDX-License-Identifier: MIT */
/* Control: the verbs that talk to a mount that is already there, by its files and the mount table.
 * Each prints what it has to say (errors: one line on stderr) and returns a sysexits code. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* mailfs status [MOUNTPOINT] [--json]. @mountpoint NULL: every mailfs mount there is. 0;
 * EX_UNAVAILABLE when a mount is dead or silent; EX_NOINPUT when @mountpoint is no mailfs mount.
 * None at all is said, and is 0. */
int control_status(const char *mountpoint, gboolean json);

/* mailfs umount MOUNTPOINT [--now]. Waits until what was written is on the server, with a line that
 * tells how far it is, unless @now, or the server cannot be reached, or SIGINT comes: what is left
 * then is told. Returns when the daemon has ended (at most 30 s). A dead mount is cleared away. */
int control_umount(const char *mountpoint, gboolean now);

/**
 * control_clear_stale: before a mount: is @mountpoint a mailfs mount whose daemon died? Then
 * detaches it; what is left of a process that could not die (control-orphan.h) ends too.
 *
 * Returns: TRUE when the way is free, @cleared_out (optional) telling whether there was one.
 * Errors: MAILFS_ERROR_MOUNTPOINT: a living mailfs mount is there already, or the dead one would
 * not go.
 */
gboolean control_clear_stale(const char *mountpoint, gboolean *cleared_out, GError **error);

gboolean control_is_mounted(const char *mountpoint); /* a mount of mailfs, dead or alive */
/* The process that has mounted there was killed and cannot end: makes it. FALSE: it is not so. */
gboolean control_end_orphan(const char *mountpoint);

/* The pure part, for tests: one line of /proc/self/mountinfo. FALSE when it is malformed. */
typedef struct {
	char *mountpoint; /* octal escapes undone */
	char *type;	  /* "fuse.mailfs" */
	char *source;
	guint connection; /* the minor number of its device */
} ControlMount;
gboolean control_parse_mount(const char *line, ControlMount *out);
void control_mount_clear(ControlMount *mount);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ControlMount, control_mount_clear)

G_END_DECLS
