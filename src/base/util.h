/* SPDX-License-Identifier: MIT */
/* Small things every floor needs. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Foreign text made fit for a terminal and a log line: valid UTF-8, no C0, C1, DEL, bidi or
 * zero-width characters (each such byte as \xNN), at most @max_bytes (cut with "…"). NULL gives "".
 * (transfer full) */
char *util_printable(const char *text, gssize len, gsize max_bytes);

/* "2G", "500M", "64k", "123": powers of 1024. FALSE for anything else or overflow. */
gboolean util_parse_size(const char *text, guint64 *out);
char *util_format_size(guint64 bytes); /* "1.5 GiB". (transfer full) */

void util_wipe(void *memory, gsize len); /* explicit_bzero */
void util_free_secret(char *secret);	 /* wipes the string, then frees; NULL is fine */
typedef char UtilSecret;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(UtilSecret, util_free_secret)

typedef int UtilFd; /* g_auto(UtilFd) fd = -1; closes at the end of the scope, errno kept */
static inline int
util_steal_fd(int *fd)
{
	int value = *fd;

	*fd = -1;
	return value;
}
void util_close_fd(int *fd); /* closes and sets to -1; -1 is fine; keeps errno */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(UtilFd, util_close_fd)

G_END_DECLS
