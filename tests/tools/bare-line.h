/* SPDX-License-Identifier: MIT */
/* A connection that knows nothing, for the programs that measure what a connection can do. TLS is
 * not checked. What goes wrong ends the program. */
#pragma once

#include <glib.h>
#include <openssl/ssl.h>

G_BEGIN_DECLS

typedef struct {
	int fd;
	SSL_CTX *context;
	SSL *tls; /* NULL: in the clear */
} BareLine;

void bare_line_open(BareLine *line, const char *host, const char *port, gboolean tls);
void bare_line_close(BareLine *line);
void bare_line_write(BareLine *line, const void *data, gsize len);
gsize bare_line_read(BareLine *line, void *buffer, gsize len); /* one byte at least */
double bare_cpu_seconds(void);				       /* of this program so far */

G_END_DECLS
