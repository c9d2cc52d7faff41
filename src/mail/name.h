/* SPDX-License-Identifier: MIT */
/* Names: pure functions from what the server says to what the user sees, and back. Reversible,
 * never hidden, never dangerous in a terminal. Mailbox names: design "The tree"; message names:
 * "names v1", frozen. No state, no I/O. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * name_from_mutf7: one component of a server's mailbox name (modified UTF-7, RFC 3501 5.1.3) as a
 * file name.
 *
 * `/` is %2F, `%` is %25, a leading `.` is %2E, control, bidi and zero-width characters are %XX for
 * each byte. A component that is not valid and canonical modified UTF-7 is taken as raw bytes: `&`
 * is %26, bytes that are no UTF-8 are %XX, and where nothing of that tells it from a decoded name
 * (raw UTF-8 without `&`) a lone `%` ends it; so the empty component is "%". Over 255 bytes: cut at
 * a character, then `~` and 8 hex digits of the SHA-256 of the component; a short name that looks
 * like such a one is treated so too. Injective up to that hash, never "." or "..", the same for
 * every version of Unicode.
 *
 * Returns: (transfer full)
 */
char *name_from_mutf7(const char *component, gsize len);

/* The inverse, for names that the user makes: UTF-8 file name to modified UTF-7.
 * MAILFS_ERROR_INVALID for invalid UTF-8, control characters, a bad %XX, a name that is not the
 * canonical spelling (does not round-trip), and for names of raw bytes or cut ones: a mailbox that
 * has such a name is found by its file name, but none is made. (transfer full) */
char *name_to_mutf7(const char *file_name, GError **error);

/* The raw name of what a server calls @name in UTF-8, though it should not. NULL: it can mean
 * nothing but the raw name @name. (transfer full) */
char *name_mutf7_of_utf8(const char *name);

/* What a message's name is made of; see name_for_message(). Raw header values may be NULL. */
typedef struct {
	const char *message_id, *date, *from, *subject; /* raw values, unfolded and trimmed */
} NameHeaders;

/* Picks the four fields out of a raw header block (the first of each), unfolded (line ends dropped)
 * and trimmed of SP, TAB, CR and LF; NUL bytes are dropped. Up to the empty line, and 256 KiB at
 * most. Free with name_headers_clear(). */
void name_headers_parse(const char *header, gsize len, NameHeaders *out);
void name_headers_clear(NameHeaders *headers);

#define NAME_MAX_MESSAGE 240 /* bytes of name_for_message(), without ~N and .eml */

/**
 * name_for_message: "YYYYMMDD-HHMMSS_<slug>.<id>", without ".eml".
 * @date: INTERNALDATE, seconds since 1970 UTC; years 1 to 9999, others as the nearest of them
 * @uid: for the id of a message with none of the four headers ("u" and the UID)
 *
 * Names v1, frozen; tests/unit/names-v1.tsv shows each rule. What the design leaves open is settled
 * so:
 * - the id is over raw bytes. A field that is there but empty is not missing;
 * - letters and digits are Unicode's categories L and N. Marks are neither: those that NFC does not
 * compose become `-`. After 30 marks in a row the others are dropped before NFC
 * (Unicode's Stream-Safe Text);
 * - a `-` of the subject is a kept character, so "a - b" is "a---b";
 * - a character is a code point, counted after NFC; trimming comes first, then the cut, and nothing
 * after it;
 * - RFC 2047 as mime_decode_header() does it, with its closed list of charsets; what cannot be
 * decoded is no letter.
 *
 * Returns: (transfer full)
 */
char *name_for_message(gint64 date, guint32 uid, const NameHeaders *headers);

/* POP3. The time of a message, by its header block: that of the topmost Received, else Date, else
 * 0. A Received without a date that can be read counts as none. */
gint64 name_date_of_header(const char *header, gsize len);
/* As name_for_message(), for a message that its server knows by a UIDL: without headers the id is
 * "u" and the first 8 hex digits of the SHA-256 of @uidl. */
char *name_for_uidl(gint64 date, const char *uidl, const NameHeaders *headers);

#define NAME_MAX_FILE 200 /* bytes of name_for_file() */

/* The name an attachment gets on disk, from what its sender calls it: valid UTF-8 of 1 to 200
 * bytes, never "." or "..", no `/` or `\\`, no control, bidi or zero-width character, no leading
 * `.` or `-`: each becomes `_`. Too long: cut before the last extension. "" when nothing is left.
 * (transfer full) */
char *name_for_file(const char *text);

/* Parses "<uid>.eml" (decimal, no leading zero). 0 when it is not one. */
guint32 name_parse_uid(const char *file_name);

G_END_DECLS
