/* SPDX-License-Identifier: MIT */
#include "bare-line.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

void
bare_line_open(BareLine *line, const char *host, const char *port, gboolean tls)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int one = 1;

	if (getaddrinfo(host, port, &hints, &found) != 0)
		g_error("%s: no such host", host);
	*line = (BareLine){.fd = -1};
	for (struct addrinfo *at = found; at != NULL && line->fd < 0; at = at->ai_next) {
		line->fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, 0);
		if (line->fd >= 0 && connect(line->fd, at->ai_addr, at->ai_addrlen) < 0) {
			close(line->fd);
			line->fd = -1;
		}
	}
	freeaddrinfo(found);
	if (line->fd < 0)
		g_error("%s:%s: %s", host, port, g_strerror(errno));
	setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (!tls)
		return;
	line->context = SSL_CTX_new(TLS_client_method());
	line->tls = SSL_new(line->context);
	SSL_set_tlsext_host_name(line->tls, host);
	SSL_set_fd(line->tls, line->fd);
	if (SSL_connect(line->tls) != 1)
		g_error("%s:%s: no TLS", host, port);
}

void
bare_line_close(BareLine *line)
{
	SSL_free(line->tls);
	SSL_CTX_free(line->context);
	close(line->fd);
}

void
bare_line_write(BareLine *line, const void *data, gsize len)
{
	const char *at = data;

	while (len > 0) {
		gssize n = line->tls != NULL ? SSL_write(line->tls, at, (int)MIN(len, G_MAXINT))
					     : write(line->fd, at, len);

		if (n <= 0)
			g_error("write: %s", g_strerror(errno));
		at += n;
		len -= (gsize)n;
	}
}

gsize
bare_line_read(BareLine *line, void *buffer, gsize len)
{
	gssize n = line->tls != NULL ? SSL_read(line->tls, buffer, (int)len)
				     : read(line->fd, buffer, len);

	if (n <= 0)
		g_error("read: the line has ended");
	return (gsize)n;
}

double
bare_cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
