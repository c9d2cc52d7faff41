/* SPDX-License-Identifier: MIT */
/* A Body is one whole message body, open for reading: a file of its own, or a slice of a file that
 * many share, which may be on its way there. It never changes, and stays readable when the cache
 * drops it. Thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Body Body;

/* Copies @len octets from @at of the file on that are in memory still. FALSE: they are in the file.
 */
typedef gboolean (*BodyHeld)(gpointer user, guint64 at, void *buffer, gsize len);
/* The slice from @at on is read no more. On any thread. */
typedef void (*BodyLeft)(gpointer user, guint64 at, guint64 size);

/* A file that is the body and nothing else. Takes @fd. */
Body *body_new_file(int fd, guint64 size);
/* @fd: borrowed, outlives the body. @at: a multiple of 4096. @held (nullable): asked before the
 * file is read. @left (nullable): called by the last unref. */
Body *body_new_slice(int fd, guint64 at, guint64 size, BodyHeld held, BodyLeft left, gpointer user);
Body *body_ref(Body *body);
void body_unref(Body *body); /* NULL is fine */

guint64 body_size(const Body *body);
/* As pread(), but never past the end of the body, and not interrupted. -1: see errno. */
gssize body_read(const Body *body, void *buffer, gsize len, guint64 offset);
/* Its descriptor where it is a file of its own, which the kernel can read by itself and a link can
 * name: borrowed. Else -1. */
int body_file(const Body *body);
gboolean body_sync(const Body *body); /* its file, to the disk. FALSE: see errno */

/* The beginning of a body in memory. Good as long as it is mapped, also without the body. */
typedef struct {
	const char *data; /* never NULL, no NUL at the end */
	gsize len;
	gpointer pages; /* private, as is all below */
	gsize mapped;	/* 0: pages are of g_malloc() */
} BodyMap;

/* At most @len octets of it. FALSE: see errno; there is nothing to unmap then. */
gboolean body_map(const Body *body, gsize len, BodyMap *out);
void body_unmap(BodyMap *map); /* one of zeros is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Body, body_unref)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BodyMap, body_unmap)

G_END_DECLS
