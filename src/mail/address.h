/* SPDX-License-Identifier: MIT */
/* Address: whom an RFC 5322 address list names, as SMTP wants them. Pure, linear, total over any
 * bytes.
 *
 * Why not libetpan's parser, which mime.h uses to show addresses: measured on 1.9.4, it closes gaps
 * ("ann bob@example.org" is annbob@example.org), cuts a quoted local part at its comma or space and
 * takes a name for an address. That is good enough to be read, and would send mail to somebody
 * else. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define ADDRESS_MAX 254 /* octets of one: RFC 5321 4.5.3.1.3 without the < > */

/**
 * address_list_parse:
 * @value: raw value of an address field, folded or not
 * @addresses: of char * with g_free; what is not in it yet is appended, as "local@domain"
 * @max: how many @addresses may hold
 *
 * Groups give their members, empty ones nobody; names, comments and old routes (RFC 5322 4.4) are
 * passed over. Domains become A-labels (RFC 5891), a local part is quoted where it must be.
 * Non-ASCII ones stay as they are, UTF-8: g_str_is_ascii() tells.
 *
 * Errors: MAILFS_ERROR_INVALID; the text says which part is wrong, and how.
 */
gboolean address_list_parse(const char *value, gsize len, GPtrArray *addresses, guint max,
			    GError **error);

/* One address without a name, as on a command line; "<…>" around it is fine. NULL: INVALID.
 * (transfer full) */
char *address_parse(const char *text, GError **error);

G_END_DECLS
