/* SPDX-License-Identifier: MIT */
/* Backing: which open files the kernel reads from the cache's files without asking us
 * (passthrough). The kernel opens a file either that way or through its page cache, never both at
 * once, and all that have it open that way share one registration of the file below. So the first
 * open decides for all, until the last one is closed. Thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Backing Backing;

/* Registers @fd with the kernel: its number, > 0; 0: the kernel will not, and is not asked again.
 */
typedef int (*BackingRegister)(gpointer user, int fd);
typedef void (*BackingRelease)(gpointer user, int number);

Backing *backing_new(BackingRegister reg, BackingRelease release, gpointer user);
void backing_free(Backing *backing); /* the registrations end with the mount; NULL is fine */

/* One more open of @ino. @fd: the file below, or -1 when it must not be read directly. Returns its
 * registration, or 0: through the page cache. */
int backing_enter(Backing *backing, guint64 ino, int fd);

gboolean backing_works(Backing *backing); /* the kernel has not refused so far */

/* The end of one open. */
void backing_leave(Backing *backing, guint64 ino);

G_END_DECLS
