/* SPDX-License-Identifier: MIT */
/* The verbs that change what a mount holds, by its .mailfs/control. Each prints what it has to say
 * (errors: one line each on stderr) and returns a sysexits code. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* mailfs flag [+-]FLAG… FILE…: @flags "+seen -work", @files n paths. All files are tried. */
int flag_run(const char *flags, char **files, int n);

/* mailfs allow-delete MOUNTPOINT */
int flag_allow_delete(const char *mountpoint);

G_END_DECLS
