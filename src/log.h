/* SPDX-License-Identifier: MIT */
/* Log: the newest lines of what a mount has to say, for .mailfs/log and, in the foreground, for
 * stderr. Thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Log Log;

Log *log_new(gboolean to_stderr);
void log_free(Log *log); /* NULL is fine */

/* One line, made printable; the same text as the newest line is only counted. */
void log_line(Log *log, const char *format, ...) G_GNUC_PRINTF(2, 3);

char *log_text(Log *log);   /* oldest first, "2026-11-22 06:38:12 text\n". (transfer full) */
char *log_newest(Log *log); /* without the newline; NULL: nothing yet. (transfer full) */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Log, log_free)

G_END_DECLS
