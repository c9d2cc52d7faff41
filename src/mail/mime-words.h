/* SPDX-License-Identifier: MIT */
/* Bytes to text: the charsets of mail and RFC 2047 encoded words. Private to the mime files; the
 * house has mime_decode_header(). Thread-safe, linear, total over any bytes.
 *
 * Why not libetpan's mailmime_encoded_phrase_parse: measured on 1.9.4, it spoils characters split
 * between two words, vendor characters of ISO-2022-JP, "cp-932" and unknown charsets, and cuts the
 * text at an encoded NUL. Why a closed list of charsets: a name must be the same on every machine,
 * and iconv's rarer converters have hung and aborted on hostile input. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Appends @value decoded. Valid UTF-8, no NUL, control characters (C0, DEL, C1) folded to a space
 * each. */
void mime_words_append(GString *out, const char *value, gsize len);

/* Appends text that holds no encoded words: UTF-8 when valid, else windows-1252; control characters
 * folded. */
void mime_words_append_raw(GString *out, const char *text, gsize len);

/* Appends bytes of a labelled charset; "" and a label nobody knows: as raw text. Valid UTF-8;
 * @fold: without control characters, else NUL and line ends stay. */
void mime_words_append_charset(GString *out, const char *label, const char *bytes, gsize len,
			       gboolean fold);

G_END_DECLS
