/* SPDX-License-Identifier: MIT */
/* Listings: what the kernel holds of directories, and what it should be given with a name. It keeps
 * a directory's names from one reader to the next for as long as it is told that they are right. An
 * inode that comes with each name spares a program that looks at them a request for each; but of a
 * very large mailbox it takes the kernel 4 us and a kilobyte a message, for nothing where only
 * names are wanted. A pure structure, thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What is known of a directory's listing at one moment. */
typedef struct {
	guint64 version; /* changes with every change */
	gboolean grows;	 /* @shape is known */
	guint64 shape;	 /* changes when something else did than that messages came behind all
			    others: who is reading it meets those */
	guint rank;	 /* messages before the place that was asked about */
	guint count;	 /* messages in all, as far as known */
} ListingView;

/* As many come with their inodes in any case, and as many more for who uses those. find(1) and
 * grep(1), by gnulib's fts, read 100,000 names at once before they look at the first. */
#define LISTINGS_FIRST	100000u
#define LISTINGS_CREDIT 120000u

typedef struct Listings Listings;

Listings *listings_new(void);
void listings_free(Listings *listings);

/* Directory @ino is opened. TRUE: the kernel may keep what it holds of it. */
gboolean listings_open(Listings *listings, guint64 ino, const ListingView *now);
/* Who opened it at @version has read it to the end, where it was as @then, or later. */
void listings_end(Listings *listings, guint64 ino, guint64 version, const ListingView *then);
/* Somebody had to ask for a name in it. */
void listings_looked(Listings *listings, guint64 ino);

typedef enum {
	LISTINGS_ALL,	/* names come with inodes */
	LISTINGS_PROBE, /* all but the first: who asks for that one uses the others */
	LISTINGS_NAMES,
} ListingsWanted;

/* For the names from @now's rank on. */
ListingsWanted listings_wanted(Listings *listings, guint64 ino, const ListingView *now);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listings, listings_free)

G_END_DECLS
