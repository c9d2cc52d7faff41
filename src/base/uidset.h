/* SPDX-License-Identifier: MIT */
/* A UidSet is a sorted set of UIDs (1..2^32-1) kept as ranges: RFC 3501 sequence-set, as in UID
 * FETCH arguments, VANISHED (RFC 7162) and COPYUID (RFC 4315). Not thread-safe. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct UidSet UidSet;

UidSet *uidset_new(void);
UidSet *uidset_copy(const UidSet *set);
void uidset_free(UidSet *set); /* NULL is fine */

/* first..last inclusive, in either order; 0 is ignored. Amortised O(1) when added in ascending
 * order. */
void uidset_add(UidSet *set, guint32 first, guint32 last);
void uidset_remove(UidSet *set, guint32 first, guint32 last);
void uidset_add_all(UidSet *set, const UidSet *other);
void uidset_remove_all(UidSet *set, const UidSet *other);
UidSet *uidset_intersect(const UidSet *set, const UidSet *other);  /* (transfer full) */
gboolean uidset_is_within(const UidSet *set, const UidSet *whole); /* every one of its UIDs */
gboolean uidset_contains(const UidSet *set, guint32 uid);
gboolean uidset_is_empty(const UidSet *set);
guint64 uidset_count(const UidSet *set); /* UIDs, not ranges */
guint uidset_n_ranges(const UidSet *set);
void uidset_range(const UidSet *set, guint i, guint32 *first_out, guint32 *last_out);

/* Strict: 1*DIGIT numbers in 1..2^32-1, "a", "a:b", joined by ","; no "*", no space, no
 * wrap-around. At most @max_ranges ranges. Returns NULL on anything else. (transfer full) */
UidSet *uidset_parse(const char *text, gsize len, guint max_ranges);

/* "1:3,7,9:12", ascending, the ranges from index *@next on until the text would pass @max_bytes;
 * *@next moves on to the first range left out (uidset_n_ranges() when all are in). At least one
 * range is written. Servers take 8,000 bytes a command (RFC 7162 and RFC 2683 3.2.1.5). (transfer
 * full) */
char *uidset_format(const UidSet *set, guint *next, gsize max_bytes);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(UidSet, uidset_free)

G_END_DECLS
