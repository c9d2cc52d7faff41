/* SPDX-License-Identifier: MIT */
/* PopHeader: the header block of a message that comes in, what of it a listing needs, and the
 * identity that it gives the message. At most 256 KiB of it are looked at. */
#pragma once

#include "proto/pop.h"

G_BEGIN_DECLS

typedef struct PopHeader PopHeader;

PopHeader *pop_header_new(void);
void pop_header_free(PopHeader *header); /* NULL is fine */
void pop_header_reset(PopHeader *header);

/* Returns how many of the octets belong to it; all of them while pop_header_is_complete() is FALSE,
 * none after. */
gsize pop_header_feed(PopHeader *header, const guint8 *data, gsize len);
gboolean pop_header_is_complete(const PopHeader *header); /* the empty line, or the bound, came */

/* As it came, with the empty line at its end where there was one. Borrowed. */
const char *pop_header_text(const PopHeader *header, gsize *len_out);

/* The fields Date, From, Subject, Message-ID and the topmost Received, as they stand there, at most
 * 64 KiB, and an empty line. (transfer full) */
char *pop_header_fields(const PopHeader *header, gsize *len_out);

void pop_header_identity(const PopHeader *header, PopIdentity *out);
gboolean pop_identity_equal(const PopIdentity *a, const PopIdentity *b);
/* Is it the header of the message of this identity? One half is enough: what checks mail for
 * viruses on its way likes to write on the Subject, on the way of one command and not of the other.
 */
gboolean pop_header_agrees(const PopHeader *header, const PopIdentity *identity);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PopHeader, pop_header_free)

G_END_DECLS
