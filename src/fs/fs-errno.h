/* SPDX-License-Identifier: MIT */
/* The one door from GError to errno. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

int fs_errno_from_error(const GError *error); /* > 0, never 0 */

G_END_DECLS
