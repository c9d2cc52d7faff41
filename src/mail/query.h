/* SPDX-License-Identifier: MIT */
/* A query as a person types it, made into the terms of a search. Terms are separated by blanks, and
 * a message must fulfil all of them:
 *
 *	word  "some words"          text anywhere in the message
 *	from:x to:x cc:x bcc:x subject:x body:x text:x
 *	since:2026-01-31 before:2026-01-31 on:2026-01-31
 *	larger:1M smaller:500k
 *	is:unread|seen|flagged|answered|draft|deleted
 *	keyword:x
 *	not:TERM
 *
 * A value that holds a blank is quoted: subject:"a b". What stands in quotes has no further
 *meaning. Outside of them "|", "(" and ")" are refused: they are kept for more. Keys have no case.
 *A pure function. */
#pragma once

#include "proto/request.h"

G_BEGIN_DECLS

/* (transfer full) of SearchTerm, at least one. Errors: MAILFS_ERROR_INVALID, printable. */
GPtrArray *query_parse(const char *query, GError **error);

G_END_DECLS
