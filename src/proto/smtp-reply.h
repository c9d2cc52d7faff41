/* SPDX-License-Identifier: MIT */
/* An SmtpParser takes a server's bytes and yields its replies (RFC 5321 4.2, RFC 2034), however
 * they are cut. Bounds: 64 KiB and 1,000 lines a reply. No I/O; one thread at a time. */
#pragma once

#include "proto/smtp.h"

G_BEGIN_DECLS

typedef struct SmtpParser SmtpParser;

SmtpParser *smtp_parser_new(void);
void smtp_parser_free(SmtpParser *parser); /* NULL is fine */

/**
 * smtp_parser_feed: takes bytes up to the end of a reply, and none behind it.
 * @reply_out: (transfer full): the reply that ended here, its stage not set; NULL: none did
 *
 * A line ends with LF; CRs before it and NULs anywhere are dropped. Errors: MAILFS_ERROR_PROTOCOL:
 * no code of 200 to 599, neither "-" nor blank behind it, two codes in one reply, beyond the
 * bounds. Then the parser is of no use any more.
 *
 * Returns: how many bytes were taken; -1: error
 */
gssize smtp_parser_feed(SmtpParser *parser, const guint8 *data, gsize len, SmtpReply **reply_out,
			GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmtpParser, smtp_parser_free)

G_END_DECLS
