/* SPDX-License-Identifier: MIT */
/* Fetch: brings messages into the cache of a running mount by opening them, several at once, in the
 * order in which the mount lists them, so that it recognises a scan and reads ahead. */
#pragma once

#include "control.h"

G_BEGIN_DECLS

/**
 * fetch_run: mailfs fetch PATH…: every message at and below @paths, which lie on mailfs mounts.
 *
 * Failures are told on stderr as they come, with a bar when that is a terminal; the result is one
 * line on stdout. SIGINT, SIGTERM and SIGHUP end it at once, with that line, and the process with
 * it.
 * Returns: EX_OK; EX_IOERR when a message could not be fetched; EX_NOINPUT when a path is absent or
 * on no mailfs mount (then nothing is fetched)
 */
int fetch_run(char **paths, int n);

/* The pure parts, for tests. */

typedef struct {
	guint64 messages;   /* here by now */
	guint64 found;	    /* to be fetched, as far as is known */
	gboolean all_found; /* found will not grow */
	guint64 bytes;	    /* of messages */
	gint64 elapsed_us;
} FetchProgress;

/* One line, at most @columns characters. (transfer full) */
char *fetch_progress_text(const FetchProgress *progress, guint columns);

/* "12 messages, 3.4 MiB, in 1.2 s (2.8 MiB/s)". (transfer full) */
char *fetch_summary_text(const FetchProgress *progress);

/* Which mount of @mountinfo (text of /proc/self/mountinfo) holds the absolute @path. FALSE: none */
gboolean fetch_find_mount(const char *mountinfo, const char *path, ControlMount *out);

G_END_DECLS
