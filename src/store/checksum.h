/* SPDX-License-Identifier: MIT */
/* CRC-32 as of zlib, PNG and Ethernet (reflected, polynomial 0xEDB88320), but at memory speed where
 * the CPU can multiply without carry. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The checksum of what @crc is of, 0 at the beginning, followed by these bytes. */
guint32 checksum(guint32 crc, const void *data, gsize len);

G_END_DECLS
