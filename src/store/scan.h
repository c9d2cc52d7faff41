/* SPDX-License-Identifier: MIT */
/* Scan: disk or network, and what is on the way. Every body is asked for here; two readers of one
 * message share one fetch; a program that reads a mailbox in listing order is recognised and
 * messages are fetched ahead of it. A big message that is read alone grows while it is read
 * (growth.h). Thread-safe; nothing here waits for the network. */
#pragma once

#include "proto/pool.h"
#include "store/bodies.h"
#include "store/growth.h"

G_BEGIN_DECLS

typedef struct Scan Scan;

/* Where messages live: values, copied where kept. */
typedef struct {
	const char *mailbox; /* raw server name */
	guint32 uidvalidity;
	guint32 serial; /* of the messages: names the cache files */
} ScanPlace;

/* A body came, on a session's thread: remember size and checksum. Called before those who wait are
 * told. @uid 0: the request is over, no more comes for now: a good moment to store what was told.
 */
typedef void (*ScanFetched)(gpointer user, guint32 serial, guint32 uid, guint64 size, guint32 crc);

/* @body: (transfer full), or NULL and @error. MAILFS_ERROR_NOT_FOUND: the server has no such
 * message (any more). Called once, on a session's thread or before scan_get() returns. */
typedef void (*ScanDone)(gpointer user, Body *body, const GError *error);

Scan *scan_new(Pool *pool, Bodies *bodies, ScanFetched fetched, gpointer user);
void scan_free(Scan *scan); /* after the pool; NULL is fine */

/* Fetches a body that the cache does not have. Joins a fetch of it that is under way; one that
 * grows is hurried to its end. */
void scan_get(Scan *scan, const ScanPlace *place, guint32 uid, ScanDone done, gpointer user);

/* @body: as in ScanDone; or @growth: the body comes while it is read, its exact @size is known, and
 * the callee is a reader of it (growth_leave()); or neither and @error. */
typedef void (*ScanOpened)(gpointer user, Body *body, Growth *growth, guint64 size,
			   const GError *error);

/* As scan_get(), for a reader that can take what is here while the rest still comes. @announced:
 * the size as listed, 0 unknown: only a big one grows, when nobody has asked for the whole yet. */
void scan_open(Scan *scan, const ScanPlace *place, guint32 uid, guint64 announced,
	       ScanOpened opened, gpointer user);

/* What may be on the way though nobody waits for it. */
#define SCAN_AHEAD_MAX	 4096u
#define SCAN_AHEAD_BYTES (64ull * 1024 * 1024)
guint scan_room(Scan *scan); /* bodies left of that */

/* One body to fetch ahead. @size: as announced, to bound what is on the way. */
typedef struct {
	guint32 uid;
	guint64 size;
} ScanWish;

/**
 * scan_ahead: fetches these soon, in few commands, unless they are on the way. @wishes in ascending
 * UIDs, all of one place.
 *
 * Returns: how many of them it took, from the start (or, @backward, from the end): the rest would
 * pass the bounds above.
 */
guint scan_ahead(Scan *scan, const ScanPlace *place, const ScanWish *wishes, guint n,
		 gboolean backward);

/* Readers in listing order. A pure state machine, one lock, no I/O. */
typedef struct {
	guint from, count; /* ranks to fetch ahead; count 0: nothing */
	gboolean backward; /* the ranks wanted are from, from - 1, … */
	gboolean in_order; /* it is not the first open in order: else what to fetch is a guess */
} ScanAdvice;

/**
 * scan_note_open: tells that @reader (a process) opened the message at @rank (its place in UID
 * order) of @serial. From the second open in order on (within 16 ranks, either direction) the
 * answer names what to fetch ahead, unless enough is on the way. From the first open on where that
 * is of the first message, by who has just listed them.
 *
 * What is fetched ahead is a window that grows with each open, to twice what the reader opens while
 * a body comes (256 messages at least, 4,096 at most), asked for anew when a quarter of it is used.
 */
ScanAdvice scan_note_open(Scan *scan, guint32 reader, guint32 serial, guint rank, guint n_messages);
void scan_note_listed(Scan *scan, guint32 reader, guint32 serial);
/* A body that was asked for, with nothing else on the way, began to come after so long. */
void scan_note_latency(Scan *scan, gint64 latency_us);

/* Only @taken ranks of that advice were asked for: the next one begins there. */
void scan_note_taken(Scan *scan, guint32 reader, guint32 serial, const ScanAdvice *advice,
		     guint taken);

typedef struct {
	guint on_the_way; /* bodies asked for and not here yet */
	guint64 fetched;  /* bodies since the start */
} ScanStatus;
ScanStatus scan_status(Scan *scan);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scan, scan_free)

G_END_DECLS
