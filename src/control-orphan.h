/* SPDX-License-Identifier: MIT */
/* What a killed mailfs may leave behind. A thread of it that was telling the kernel of a directory
 * in which somebody waited for an answer waits for that directory, he waits for mailfs, and neither
 * ends: the process stays, without its first thread, and keeps its mount and its lock. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Looks for what is left of the process whose mount is at @mountpoint (as the mount table spells
 * it; @connection: the minor number of its device), and breaks off its connection to the kernel, so
 * that all who wait are told and it ends, which is waited for (5 s at most). FALSE: there is no
 * such process, or it may not be broken off. Never touches a living one. */
gboolean control_orphan_break_off(const char *mountpoint, guint connection);

G_END_DECLS
