/* SPDX-License-Identifier: MIT */
/* A Digest holds what a view makes out of messages: the bytes of its files, each known by its node.
 * What is not here is made from the message's body when it is asked for, and kept for a while: a
 * bounded amount in memory, large ones in unlinked files, sizes for longer. Thread-safe; never
 * waits: see tree.h. */
#pragma once

#include "fs/view.h"

G_BEGIN_DECLS

typedef struct Digest Digest;
typedef struct DigestOut DigestOut;

#define DIGEST_IN_MEMORY (1024 * 1024) /* bytes of one file; a larger one goes to disk */

/* Writes what @node (its UID is not 0) shows of this message. On any thread, no lock held. FALSE:
 * there is no such file in it. */
typedef gboolean (*DigestMake)(Digest *digest, const Node *node, const char *message, gsize len,
			       DigestOut *out);

Digest *digest_new(const ViewHouse *house, DigestMake make); /* @house: borrowed, outlives it */
void digest_free(Digest *digest); /* after account_stop(); NULL is fine */

/* What comes to @out. A MimeSink. FALSE: it could not be kept, the making may end. */
gboolean digest_write(gpointer out, const char *data, gsize len);

/* The bytes of @node; *@out is to be cleared by tree_content_clear(). @reader: the process, for
 * recognising scans; 0 nobody knows. */
TreeAnswer digest_content(Digest *digest, const Node *node, guint32 reader, gboolean patient,
			  TreeContent *out);

/* The exact size when it is known by now. */
gboolean digest_size(Digest *digest, const Node *node, guint64 *size_out);
void digest_note_size(Digest *digest, const Node *node, guint64 size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Digest, digest_free)

G_END_DECLS
