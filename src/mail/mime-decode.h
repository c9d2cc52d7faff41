/* SPDX-License-Identifier: MIT */
/* What a part holds, given piece by piece, so that nobody needs it whole in memory. Pure,
 * thread-safe, linear, total over any bytes. */
#pragma once

#include "mail/mime-parts.h"

G_BEGIN_DECLS

typedef gboolean (*MimeSink)(gpointer user, const char *data, gsize len); /* FALSE: no more */

/* @message: all of it, as given to mime_parts(). FALSE: the sink wanted no more. */

/* The bytes that were sent: base64 and quoted-printable undone, leniently. */
gboolean mime_decode_bytes(const char *message, const MimePart *part, MimeSink sink, gpointer user);

/* A text part in UTF-8: LF line ends, no NUL, no control characters but TAB and LF. */
gboolean mime_decode_text(const char *message, const MimePart *part, MimeSink sink, gpointer user);

/* A text/html part likewise, without its tags (mime-html.h). */
gboolean mime_decode_stripped(const char *message, const MimePart *part, MimeSink sink,
			      gpointer user);

G_END_DECLS
