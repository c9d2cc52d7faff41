/* SPDX-License-Identifier: MIT */
/* What a failed verb ends with: the one door from GError to sysexits, as fs/fs-errno.h is to errno.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Cancelled (by Ctrl-C): 130, as shells have it. Domains other than MAILFS_ERROR are trouble with
 * local files: EX_CANTCREAT. */
int exit_code_from_error(const GError *error);

G_END_DECLS
