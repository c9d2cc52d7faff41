/* SPDX-License-Identifier: MIT */
/* A Growth is one big body that is read while it comes in: a temporary file of Bodies that grows
 * from its beginning on, shared by all who have the message open. Its exact size is known before
 * anybody reads: the first request asks for the beginning and for two octets where the last one
 * should be. If one comes, the announced size is proved, and the rest is asked for in parts, as the
 * readers go on. If not, the whole body is asked for, and the length of that literal is the size.
 * When all is here, the body is put into the cache like any other. Thread-safe; no call waits. */
#pragma once

#include "proto/pool.h"
#include "store/bodies.h"

G_BEGIN_DECLS

typedef struct Growth Growth;

#define GROWTH_MIN  (1024 * 1024) /* octets announced; a smaller body comes in one go */
#define GROWTH_MAX  (G_GUINT64_CONSTANT(1) << 31) /* what IMAP can ask for parts of */
#define GROWTH_SIZE G_GUINT64_CONSTANT(0)	  /* for growth_want() */
#define GROWTH_ALL  G_MAXUINT64

/* What growths need. Borrowed, outlives them. */
typedef struct {
	Pool *pool;
	Bodies *bodies;
	/* As ScanFetched: the body is in the cache. */
	void (*fetched)(gpointer user, guint32 serial, guint32 uid, guint64 size, guint32 crc);
	/* Done, failed, or left by all: nobody should join it any more. Before those who wait are
	 * told, with no lock held but those of growth_leave()'s caller. */
	void (*over)(gpointer user, Growth *growth);
	gpointer user;
} GrowthHouse;

typedef struct {
	const char *mailbox; /* raw server name, copied */
	guint32 uidvalidity;
	guint32 serial;
	guint32 uid;
	guint64 announced; /* octets, above 1, at most GROWTH_MAX */
} GrowthMessage;

/* The caller is its first reader and holds a reference. Nothing is asked for yet. */
Growth *growth_new(const GrowthHouse *house, const GrowthMessage *message);
Growth *growth_ref(Growth *growth);
void growth_unref(Growth *growth);
guint32 growth_serial(const Growth *growth);
guint32 growth_uid(const Growth *growth);

/* One more reader, who gets a reference too. FALSE: it has failed or was left: make another one. */
gboolean growth_join(Growth *growth);
/* Ends a reader and its reference. After the last one no more is asked for; what is on the way to
 * the end of the body still comes into the cache. */
void growth_leave(Growth *growth);

/* @error NULL: it is here. STALE: the message is gone, but for what was here before. Called once,
 * on a session's thread or before growth_want() returns. */
typedef void (*GrowthReady)(gpointer user, const GError *error);

/* Waits for the octets up to @end; GROWTH_SIZE: until the size is known; GROWTH_ALL: until the
 * body is complete and in the cache. @offset: where the reader begins. */
void growth_want(Growth *growth, guint64 offset, guint64 end, GrowthReady ready, gpointer user);
/* TRUE: the octets up to @end, or the end of the body, are here. It counts as reading them. */
gboolean growth_has(Growth *growth, guint64 offset, guint64 end);

/* Once the size is known. */
guint64 growth_size(Growth *growth);
int growth_fd(Growth *growth); /* borrowed; to be read only where the octets are said to be here */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Growth, growth_unref)

G_END_DECLS
