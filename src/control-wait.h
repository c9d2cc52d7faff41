/* SPDX-License-Identifier: MIT */
/* Waiting until a mount has nothing left to bring to the server. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The value of "key": 1234 in the text of status.json; 0 when it is not there. Pure. */
gint64 control_wait_number(const char *json, const char *key);

/* @ask: the text of status.json (transfer full), or NULL: the mount does not answer. Prints to
 * stderr; ends when nothing is left, no line can be had, the disk has failed, or SIGINT came. */
void control_wait_for_writes(char *(*ask)(gpointer user), gpointer user);

G_END_DECLS
