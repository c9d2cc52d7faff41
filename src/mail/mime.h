/* SPDX-License-Identifier: MIT */
/* MIME and RFC 5322 by libetpan, behind guards against what it cannot take: the only room that
 * knows it. Pure functions, thread-safe, never more than linear in the input, total over any bytes.
 * Results are valid UTF-8 without NUL, but for raw fields. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* RFC 2047 decoding of an unstructured or phrase header value (raw, unfolded), own code:
 * mime-words.h says why. Charsets by iconv from a closed list, ISO-2022-JP and its kin with the
 * vendors' characters; neighbouring words of one charset are joined before they are decoded, a word
 * of an unknown charset stays as it is. Raw 8-bit is UTF-8 when valid, else the charset of a
 * neighbouring encoded word, else windows-1252; raw ISO-2022-JP is known by its escapes.
 * Undecodable bytes become U+FFFD, control characters a space. (transfer full) */
char *mime_decode_header(const char *value, gsize len);

/* The first field of that name in a raw header block, or NULL: raw bytes, unfolded, trimmed,
 * without NUL. Case-insensitive. (transfer full) */
char *mime_header_field(const char *header, gsize len, const char *field);
/* The first of each of @n different @fields, in one pass; NULL where there is none. (transfer full)
 */
void mime_header_fields(const char *header, gsize len, const char *const *fields, char **values,
			guint n);

/* "Name <addr>, …" of an address header, decoded (groups flattened); a name that could be read as
 * an address is quoted. An address that does not parse is shown as mime_decode_header() has it. At
 * most 64 KiB are looked at. (transfer full) */
char *mime_decode_addresses(const char *value, gsize len);

/* RFC 5322 Date as RFC 3339 text with its own offset ("2026-11-21T06:38:12+09:00", no zone:
 * +00:00); the value of mime_decode_header() when it is none. (transfer full) */
char *mime_decode_date(const char *value, gsize len);
/* The same as seconds since 1970 UTC; FALSE when it is none. */
gboolean mime_parse_date(const char *value, gsize len, gint64 *seconds_out);

/* SPF, DKIM and DMARC results of the topmost Authentication-Results (RFC 8601) whose authserv-id is
 * @authserv_id: "spf=pass dkim=pass dmarc=fail", those of the three that it has; NULL when there is
 * none. (transfer full) */
char *mime_auth_results(const char *header, gsize len, const char *authserv_id);

/* Length of the header block of a message: the offset just after the empty line, or @len when there
 * is none. */
gsize mime_header_length(const char *message, gsize len);

G_END_DECLS
