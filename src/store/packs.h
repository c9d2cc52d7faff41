/* SPDX-License-Identifier: MIT */
/* Packs: small bodies, many to a file: making a file takes longer than fetching a message. Each
 * lies at a multiple of 4 KiB of one of packs/<number>, is written once and read in place; what is
 * removed is punched out, so that it takes no more disk than a file of its own did. A body is
 * appended, never written over. Which is where is in packs/journal, in memory while we run. What it
 * tells, and the last few bodies, are written at the latest with packs_flush(), and what does not
 * fit together at the next start is dropped: bodies can be fetched again. Each time one is opened
 * its checksum (CRC-32) is checked, but for the first time within two seconds.
 *
 * Thread-safe; blocks on local disk only, with no lock held while a body is written or read.
 * Addresses are the caller's numbers, never 0: their upper half is what packs_remove_all() goes by.
 */
#pragma once

#include <glib.h>

#include "store/body.h"

G_BEGIN_DECLS

typedef struct Packs Packs;

#define PACKS_BODY_MAX (128 * 1024) /* octets of a body */
#define PACKS_BLOCK    4096
#define PACKS_FOLDER   "packs"

/* @at: the folder that packs/ is in, borrowed, outlives the packs. Should it be another one later,
 * under the same number, they begin anew there. Never fails: where nothing can be opened, each
 * packs_put() tells why. */
Packs *packs_open(int at);
/* Writes the journal. Bodies that are still open stay readable. NULL is fine. */
void packs_close(Packs *packs);

/* Another one at @address gives way. 0, or why not (or why what was put before cannot be written):
 * an errno. *@body_out (nullable, transfer full) is the body that was put there, whatever becomes
 * of it. */
int packs_put(Packs *packs, guint64 address, const void *data, gsize len, guint32 crc,
	      Body **body_out);

/* NULL: it is not here, is not of this size and checksum (then it is removed), or is damaged (then
 * *@damaged_out is TRUE, and it is removed). */
Body *packs_get(Packs *packs, guint64 address, guint64 size, guint32 crc, gboolean *damaged_out);
gboolean packs_has(Packs *packs, guint64 address);

gboolean packs_remove(Packs *packs, guint64 address); /* FALSE: it was not here */
void packs_remove_all(Packs *packs, guint32 upper_half);
/* The body is at @to now, and where @keep at @from as well. FALSE: it was not here, or the disk
 * refused. */
gboolean packs_move(Packs *packs, guint64 from, guint64 to, gboolean keep);

guint64 packs_total(Packs *packs); /* bytes of disk */

/* For who evicts: all there are, in no order, and when each was used last (seconds since 1970; at
 * most an hour old). */
typedef void (*PacksFound)(gpointer user, guint64 address, guint64 bytes, guint32 used);
void packs_list(Packs *packs, PacksFound found, gpointer user);
/* Removes it unless it was used since. */
gboolean packs_evict(Packs *packs, guint64 address, guint32 used);

/* Writes what is in memory. To be called within a second or so of a packs_put() or packs_move(). 0,
 * or why not all bodies could be written: an errno. */
int packs_flush(Packs *packs);
/* This body outlasts a power failure. FALSE: it may not. */
gboolean packs_secure(Packs *packs, const Body *body);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Packs, packs_close)

G_END_DECLS
