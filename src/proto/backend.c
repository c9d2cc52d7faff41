/* SPDX-License-Identifier: MIT */
#include "proto/backend.h"

#include "base/error.h"

Wire *
backend_open_wire(const BackendConfig *config, GCancellable *cancel, GError **error)
{
	g_autoptr(TlsStream) stream =
		tls_stream_connect(config->host, config->port, config->timeout_ms, cancel, error);

	if (stream == NULL)
		return NULL;
	if (config->tls == TLS_NONE && !config->insecure_plaintext &&
	    !tls_stream_is_loopback(stream)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS,
			    "%s is not this machine, and tls=none would send the password in clear "
			    "text: use TLS, or set insecure-plaintext if you know that the line is "
			    "safe",
			    config->host);
		return NULL;
	}
	if (config->tls == TLS_IMPLICIT &&
	    !tls_stream_handshake(stream, config->tls_context, config->host, config->port,
				  config->timeout_ms, cancel, error))
		return NULL;
	return wire_new(g_steal_pointer(&stream));
}
