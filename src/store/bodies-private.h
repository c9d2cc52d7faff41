/* SPDX-License-Identifier: MIT */
/* The inside of Bodies, for bodies.c (folders, reading, the evictor) and body-writer.c. */
#pragma once

#include <sys/stat.h>

#include "base/util.h"
#include "store/bodies.h"
#include "store/body-proofs.h"
#include "store/checksum.h"
#include "store/packs.h"

G_BEGIN_DECLS

struct Bodies {
	char *path;  /* of the generation's folder, for error texts */
	UtilFd root; /* bodies/ */
	UtilFd generation;
	guint64 max_bytes;
	char *coming; /* folder in the generation's: of what is being written, by this process */
	GThread *evictor;
	BodyProofs *proofs;
	Packs *packs;	   /* of the small ones */
	gboolean unpacked; /* none comes into them any more */
	int stop;	   /* atomic */

	GMutex lock;	     /* guards all below, and the tree while names change */
	GCond wake;	     /* the evictor has something to do */
	GCond swept;	     /* `answered` has risen */
	GHashTable *changed; /* of Changed: what changed while the evictor counts; else NULL */
	guint64 total;	     /* of those that are files */
	gboolean unflushed;  /* the packs' journal is to be written soon */
	guint64 damaged;
	guint64 names;	  /* numbers what is written, and what is put aside */
	gboolean recount; /* folders were put aside: `total` is to be counted anew */
	guint64 asked;	  /* calls for room on a full disk */
	guint64 answered; /* those up to here are served */
	guint64 freed;	  /* by the last sweep */
};

typedef char BodyPlace[32]; /* "<serial>/<uid>" */

guint64 bodies_address(guint32 serial, guint32 uid);
void bodies_place(BodyPlace place, guint64 address);
guint64 bodies_disk_bytes(const struct stat *status);

/* 0700 whatever the umask; one that is there is fine. 0 or an errno. */
int bodies_make_directory(int at, const char *name);
/* The folder, made if need be; a file or link in its place is no cache of ours and goes. */
int bodies_claim_folder(int at, const char *name);
/* Somebody deleted the cache while we run: the new folders take the old descriptors' numbers. */
void bodies_restore_folders(Bodies *bodies);
/* What lies at @address was @before and is now @bytes. With `lock` held. */
void bodies_account(Bodies *bodies, guint64 address, guint64 before, guint64 bytes);

/* A body was put into the packs. */
void bodies_note_packed(Bodies *bodies);

gboolean bodies_is_full(int err);
void bodies_set_error(GError **error, int err, const char *path);

G_END_DECLS
