/* SPDX-License-Identifier: MIT */
/* The structure of a message: where its leaf parts lie and what they say they are. Pure,
 * thread-safe, never more than linear in the input, total over any bytes. What a part holds:
 * mime-decode.h. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define MIME_DEPTH_MAX 64   /* multiparts and messages in each other; deeper ones are one part */
#define MIME_PARTS_MAX 1000 /* leaf parts; the rest of the message is the last one's */
#define MIME_BLOCK_MAX (128 * 1024) /* bytes of a header block that are looked at */

typedef enum {
	MIME_IDENTITY, /* 7bit, 8bit, binary, and what nobody knows */
	MIME_BASE64,
	MIME_QUOTED_PRINTABLE,
} MimeEncoding;

typedef struct {
	char *type;	 /* "text/plain", lower case */
	char *charset;	 /* as labelled, "" when it is not */
	char *file_name; /* decoded, valid UTF-8, otherwise as the sender wrote it; NULL: none */
	MimeEncoding encoding;
	gboolean attached; /* by its Content-Disposition */
	gboolean nested;   /* within a message/rfc822, which is a part itself */
	guint alternative; /* number of the innermost multipart/alternative around it; 0: none */
	gsize offset, len; /* of its encoded bytes in the message */
} MimePart;

/**
 * mime_parts: the leaf parts in their order. A message/rfc822 is a leaf and is followed by its own
 * parts, `nested`. A multipart without a boundary, or whose boundary never comes, is one
 * text/plain.
 *
 * Returns: (transfer full): of MimePart
 */
GPtrArray *mime_parts(const char *message, gsize len);

gboolean mime_part_is_body(const MimePart *part,
			   const char *type);		/* shown, not attached, of that type */
gboolean mime_part_is_attachment(const MimePart *part); /* neither text nor HTML of the body */

/* A parameter of a Content-Type or Content-Disposition value (raw, unfolded): RFC 2231, with
 * continuations, else RFC 2047 where nobody allowed it, else as it is. NULL: no such parameter.
 * (transfer full) valid UTF-8 without control characters */
char *mime_parameter(const char *value, const char *name);

G_END_DECLS
