/* SPDX-License-Identifier: MIT */
/* Questions on the terminal: secrets.c's inner part. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Asks on /dev/tty with echo off. Whatever ends it, a signal too, the terminal is as before.
 * Errors: G_IO_ERROR_NOT_FOUND: no terminal; G_IO_ERROR_CANCELLED: @cancel, Ctrl-C, Ctrl-D or a
 * signal (which then takes its course). (transfer full), util_free_secret() */
char *terminal_ask_secret(const char *question, GCancellable *cancel, GError **error);

gboolean terminal_confirm(const char *question,
			  GCancellable *cancel); /* "y" or "yes"; FALSE without a terminal */

G_END_DECLS
