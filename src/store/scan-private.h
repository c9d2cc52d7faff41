/* SPDX-License-Identifier: MIT */
/* What the files of Scan share: scan.c (bodies on the way) and scan-advice.c (readers in listing
 * order). */
#pragma once

#include "store/scan.h"

G_BEGIN_DECLS

#define SCAN_RUNS 64   /* readers remembered */
#define SCAN_LATE 1024 /* bodies remembered that came last */

/* A body that came a moment ago: who looked for it just before may still ask for it. */
typedef struct {
	guint64 key; /* 0: free */
	guint64 size;
	guint32 crc;
} ScanLate;

/* What a reader has opened, without a jump between. */
typedef struct {
	guint32 reader, serial;
	gboolean listed; /* and opened nothing since */
	gboolean begun;
	gboolean sure;		     /* who has listed opened the first message */
	guint low, high;	     /* ranks opened */
	guint asked_low, asked_high; /* first rank asked for, and the one after the last */
	int trend;		     /* > 0: it grows upwards */
	guint window;		     /* 0: nothing was asked for yet */
	gint64 used;
	gint64 pace_us; /* between two opens of a fast reader, on average; 0: not known */
} ScanRun;

struct Scan {
	Pool *pool;
	Bodies *bodies;
	ScanFetched fetched;
	gpointer user;
	GrowthHouse growth_house;

	GMutex lock;	     /* guards all below */
	GHashTable *jobs;    /* key → Job */
	GHashTable *growths; /* key → Growth, a reference each; no key is in both */
	guint idle_jobs;     /* jobs without waiters */
	guint64 idle_bytes;
	guint64 n_fetched;
	ScanRun runs[SCAN_RUNS];
	gint64 latency_us;	  /* scan_note_latency(), 0: not known */
	ScanLate late[SCAN_LATE]; /* the newest at n_fetched - 1 */
	GHashTable *lately;	  /* key → ScanLate */
};

G_END_DECLS
