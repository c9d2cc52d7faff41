/* SPDX-License-Identifier: MIT */
/* HTML to plain text, for search and for terminals: a state machine over UTF-8 pieces that may end
 * anywhere. Tags, comments, scripts and styles go; blocks begin a line, cells a space; the entities
 * of HTML 4's Latin-1 and some more become characters; white space is folded. Linear, total over
 * any bytes, keeps a few bytes between the pieces. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct MimeHtml MimeHtml;

/* @sink: as MimeSink. */
MimeHtml *mime_html_new(gboolean (*sink)(gpointer user, const char *data, gsize len),
			gpointer user);
void mime_html_free(MimeHtml *html);

/* FALSE: the sink wants no more. */
gboolean mime_html_feed(MimeHtml *html, const char *text, gsize len);
gboolean mime_html_end(MimeHtml *html);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MimeHtml, mime_html_free)

G_END_DECLS
