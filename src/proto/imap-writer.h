/* SPDX-License-Identifier: MIT */
/* Builds one IMAP command, byte-safe: every argument goes through here. CR, LF and NUL in an
 * argument make the whole command fail (MAILFS_ERROR_INVALID, nothing is sent), 8-bit and long
 * arguments become non-synchronising literals when the server has LITERAL+ (RFC 7888), else
 * synchronising ones that the session feeds. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ImapWriter ImapWriter;

ImapWriter *imap_writer_new(const char *tag, const char *verb, gboolean literal_plus);
void imap_writer_free(ImapWriter *writer); /* wipes: it may hold a password. NULL is fine */

void imap_writer_atom(ImapWriter *writer,
		      const char *atom); /* SP atom; refused unless RFC 3501 atom (\Flag and "("
					    lists of atoms by imap_writer_raw) */
void
imap_writer_string(ImapWriter *writer,
		   const char *string); /* SP astring: atom, quoted or literal, what is needed */
void imap_writer_mailbox(
	ImapWriter *writer,
	const char *raw_name); /* SP, always quoted or literal; INBOX in any case as given */
void
imap_writer_raw(ImapWriter *writer,
		const char *text); /* SP text written by us, never from outside: "(UID FLAGS)" */

/* SP {n}, or {n+} unless it @waits for the server's "+"; the n octets are the caller's to send
 * behind the piece that this ends. Returns that piece's index. */
guint imap_writer_literal(ImapWriter *writer, guint64 size, gboolean waits);

/* RFC 3501 ATOM-CHARs, at least one. */
gboolean imap_is_atom(const char *text);
/* Without CR and LF: a string that a command can carry. */
gboolean imap_is_string(const char *text);

/* The finished command in pieces: each but the last ends in a literal header. Behind "{n}CRLF" the
 * server's "+" must come before the next is sent. One piece when literal_plus or nothing needed a
 * literal. (transfer full): GPtrArray of GBytes. Errors:
 * MAILFS_ERROR_INVALID. Ends the writer's use. */
GPtrArray *imap_writer_finish(ImapWriter *writer, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapWriter, imap_writer_free)

G_END_DECLS
