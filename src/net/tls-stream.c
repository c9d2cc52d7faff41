/* SPDX-License-Identifier: MIT */
/* The context (trust, pin, remembered sessions), the handshake and what may be wrong in it, and the
 * stream itself. OpenSSL reads and writes through a BIO of ours: the stock one uses write(),
 * which raises SIGPIPE when the peer is gone. */
#include "net/tls-stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "net/dial.h"

enum {
	PIN_BYTES = 32,
	READ_AHEAD = 64 * 1024,
	NAMES_SHOWN = 4,
	NAME_BYTES_SHOWN = 120,
};

struct TlsContext {
	SSL_CTX *ssl;
	BIO_METHOD *bio;
	gboolean pinned;
	guint8 pin[PIN_BYTES];
	GMutex lock;
	GHashTable *sessions; /* "host:port" -> SSL_SESSION, guarded by lock; never the object a
				 line uses */
};

struct TlsStream {
	int fd;
	char *address; /* "192.0.2.1:993" */
	char *description;
	gboolean loopback;
	SSL *ssl;	     /* NULL while in the clear */
	TlsContext *context; /* foreign; set with ssl */
	char *session_key;
	X509 *leaf;	  /* what the peer showed, during the handshake */
	gboolean broken;  /* TLS is past a polite end */
	gboolean starved; /* the last read found no whole record: what TLS holds is of no use yet */
	short read_wait;  /* poll() events a read and a write wait for; TLS may cross them */
	short write_wait;
};

/* --- the context --- */

/* "sha256:" and 64 hex digits, a colon allowed between bytes. */
static gboolean
parse_pin(const char *text, guint8 *pin)
{
	if (g_ascii_strncasecmp(text, "sha256:", 7) != 0)
		return FALSE;
	text += 7;
	for (guint i = 0; i < PIN_BYTES; i++) {
		if (i > 0 && *text == ':')
			text++;
		if (!g_ascii_isxdigit(text[0]) || !g_ascii_isxdigit(text[1]))
			return FALSE;
		pin[i] = (guint8)(g_ascii_xdigit_value(text[0]) << 4 |
				  g_ascii_xdigit_value(text[1]));
		text += 2;
	}
	return *text == '\0';
}

static gboolean
fingerprint(X509 *certificate, guint8 *digest)
{
	unsigned int len = 0;

	return X509_digest(certificate, EVP_sha256(), digest, &len) == 1 && len == PIN_BYTES;
}

static gboolean
matches_pin(const TlsContext *context, X509 *certificate)
{
	guint8 digest[EVP_MAX_MD_SIZE];

	return fingerprint(certificate, digest) && memcmp(digest, context->pin, PIN_BYTES) == 0;
}

/* Called instead of X509_verify_cert(): keeps the leaf for the error text; a pin replaces the rest.
 */
static int
verify_peer(X509_STORE_CTX *store, void *user)
{
	const TlsContext *context = user;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	TlsStream *stream = SSL_get_app_data(ssl);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);

	X509_free(stream->leaf);
	stream->leaf = NULL;
	if (leaf != NULL && X509_up_ref(leaf) == 1)
		stream->leaf = leaf;
	if (!context->pinned)
		return X509_verify_cert(store) == 1;
	if (leaf != NULL && matches_pin(context, leaf)) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

/* TLS 1.3 sends tickets long after the handshake, inside some read. A copy is kept: OpenSSL marks
 * the object of a line that ends badly as unusable. */
static int
remember_session(SSL *ssl, SSL_SESSION *session)
{
	TlsStream *stream = SSL_get_app_data(ssl);
	SSL_SESSION *copy = SSL_SESSION_dup(session);

	if (copy != NULL) {
		g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&stream->context->lock);

		g_hash_table_replace(stream->context->sessions, g_strdup(stream->session_key),
				     copy);
	}
	return 0;
}

static void
resume_session(TlsStream *stream)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&stream->context->lock);
	SSL_SESSION *known = g_hash_table_lookup(stream->context->sessions, stream->session_key);
	SSL_SESSION *copy =
		known != NULL && SSL_SESSION_is_resumable(known) ? SSL_SESSION_dup(known) : NULL;

	if (copy != NULL) {
		SSL_set_session(stream->ssl, copy);
		SSL_SESSION_free(copy);
	}
}

static void
free_session(gpointer session)
{
	SSL_SESSION_free(session);
}

static int
bio_read(BIO *bio, char *buffer, int len)
{
	TlsStream *stream = BIO_get_data(bio);
	ssize_t n;

	do
		n = recv(stream->fd, buffer, (size_t)len, 0);
	while (n < 0 && errno == EINTR);
	BIO_clear_retry_flags(bio);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	if (n == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return (int)n;
}

static int
bio_write(BIO *bio, const char *buffer, int len)
{
	TlsStream *stream = BIO_get_data(bio);
	ssize_t n;

	do
		n = send(stream->fd, buffer, (size_t)len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	BIO_clear_retry_flags(bio);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_write(bio);
	return (int)n;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *
bio_method_new(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "mailfs");

	if (method == NULL)
		return NULL;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_control);
	return method;
}

static gboolean
load_trust(TlsContext *context, const char *ca_file, GError **error)
{
	if (SSL_CTX_set_default_verify_paths(context->ssl) != 1)
		g_debug("no system certificates");
	ERR_clear_error();
	if (ca_file == NULL)
		return TRUE;
	if (access(ca_file, R_OK) != 0) {
		int saved = errno;

		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "tls-ca: cannot read %s: %s",
			    ca_file, g_strerror(saved));
		return FALSE;
	}
	if (SSL_CTX_load_verify_file(context->ssl, ca_file) != 1) {
		ERR_clear_error();
		g_set_error(
			error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			"tls-ca: %s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
			ca_file);
		return FALSE;
	}
	return TRUE;
}

static gboolean
set_up(TlsContext *context)
{
	context->ssl = SSL_CTX_new(TLS_client_method());
	context->bio = bio_method_new();
	if (context->ssl == NULL || context->bio == NULL ||
	    SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION) != 1)
		return FALSE;
	SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(context->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
					       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					       SSL_MODE_RELEASE_BUFFERS);
	/* One recv() for several records instead of two for each. */
	SSL_CTX_set_read_ahead(context->ssl, 1);
	SSL_CTX_set_default_read_buffer_len(context->ssl, READ_AHEAD);
	SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(context->ssl, verify_peer, context);
	/* What the user names with tls-ca is trusted, be it a root or not. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ssl), X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set_session_cache_mode(context->ssl,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context->ssl, remember_session);
	return TRUE;
}

TlsContext *
tls_context_new(const char *ca_file, const char *pin, GError **error)
{
	g_autoptr(TlsContext) context = g_new0(TlsContext, 1);

	g_mutex_init(&context->lock);
	context->sessions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_session);
	if (pin != NULL && !parse_pin(pin, context->pin)) {
		g_autofree char *shown = util_printable(pin, -1, 100);

		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "tls-fingerprint: '%s' is not \"sha256:\" and 64 hex digits", shown);
		return NULL;
	}
	context->pinned = pin != NULL;
	if (!set_up(context)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS, "OpenSSL cannot be set up: %s",
			    ERR_reason_error_string(ERR_peek_last_error()));
		ERR_clear_error();
		return NULL;
	}
	if (!load_trust(context, ca_file, error))
		return NULL;
	return g_steal_pointer(&context);
}

void
tls_context_free(TlsContext *context)
{
	if (context == NULL)
		return;
	g_hash_table_unref(context->sessions);
	g_mutex_clear(&context->lock);
	SSL_CTX_free(context->ssl);
	BIO_meth_free(context->bio);
	g_free(context);
}

/* --- what is wrong with a certificate --- */

static char *
text_of_name(X509_NAME *name)
{
	g_autofree char *line = g_malloc0(1024);

	X509_NAME_oneline(name, line, 1024);
	return util_printable(line, -1, NAME_BYTES_SHOWN);
}

static char *
text_of_time(const ASN1_TIME *time)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) != 1)
		return g_strdup("an unreadable date");
	return g_strdup_printf("%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static char *
text_of_alternative_name(const GENERAL_NAME *name)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);

	if (type == GEN_DNS)
		return util_printable((const char *)ASN1_STRING_get0_data(value),
				      ASN1_STRING_length(value), NAME_BYTES_SHOWN);
	if (type == GEN_IPADD &&
	    (ASN1_STRING_length(value) == 4 || ASN1_STRING_length(value) == 16)) {
		g_autoptr(GInetAddress) address = g_inet_address_new_from_bytes(
			ASN1_STRING_get0_data(value), ASN1_STRING_length(value) == 4
							      ? G_SOCKET_FAMILY_IPV4
							      : G_SOCKET_FAMILY_IPV6);
		return g_inet_address_to_string(address);
	}
	return NULL;
}

/* "a.example, b.example"; NULL: none. Only the subjectAltName counts (RFC 6125 6.4.4). */
static char *
text_of_names(X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	g_autoptr(GString) text = g_string_new(NULL);
	int shown = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && shown <= NAMES_SHOWN; i++) {
		g_autofree char *name = text_of_alternative_name(sk_GENERAL_NAME_value(names, i));

		if (name == NULL)
			continue;
		if (++shown <= NAMES_SHOWN)
			g_string_append_printf(text, "%s%s", shown > 1 ? ", " : "", name);
	}
	if (shown > NAMES_SHOWN)
		g_string_append(text, ", …");
	GENERAL_NAMES_free(names);
	return shown > 0 ? g_strdup(text->str) : NULL;
}

/* What is wrong with the leaf (it "…"), and what can be done before pinning it. */
static char *
text_of_fault(const TlsStream *stream, const char *host, long fault, const char **remedy_out)
{
	g_autofree char *detail = NULL;

	*remedy_out = "If you are sure that this is your server, pin it:";
	switch (fault) {
	case X509_V_ERR_CERT_REJECTED:
		*remedy_out = "If the server has a new one, set";
		return g_strdup("is not the one that tls-fingerprint pins");
	case X509_V_ERR_CERT_HAS_EXPIRED:
		detail = text_of_time(X509_get0_notAfter(stream->leaf));
		*remedy_out = "Is this machine's clock right? The server needs a new one; until "
			      "then, pin it:";
		return g_strdup_printf("has expired (good until %s)", detail);
	case X509_V_ERR_CERT_NOT_YET_VALID:
		detail = text_of_time(X509_get0_notBefore(stream->leaf));
		*remedy_out = "Is this machine's clock right? If so, pin it:";
		return g_strdup_printf("is not valid yet (good from %s)", detail);
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		detail = text_of_names(stream->leaf);
		if (detail == NULL) {
			*remedy_out = "The server needs a new one; until then, pin it:";
			return g_strdup("names no host (no subjectAltName)");
		}
		*remedy_out = "Use the name it is for; or, if you are sure that this is your "
			      "server, pin it:";
		return g_strdup_printf("is for %s, not for %s", detail, host);
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		*remedy_out = "If it is your server's, save it and set tls-ca=FILE, or pin it:";
		return g_strdup("is signed by nobody but itself");
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		detail = text_of_name(X509_get_issuer_name(stream->leaf));
		*remedy_out = "If you trust that issuer, set tls-ca=FILE to its certificate; or "
			      "pin the server's:";
		return g_strdup_printf("is issued by %s, which is not trusted here", detail);
	default:
		return g_strdup_printf("is refused: %s", X509_verify_cert_error_string(fault));
	}
}

static char *
text_of_pin(X509 *certificate)
{
	GString *text = g_string_new("sha256:");
	guint8 digest[EVP_MAX_MD_SIZE];

	if (fingerprint(certificate, digest))
		for (guint i = 0; i < PIN_BYTES; i++)
			g_string_append_printf(text, "%02x", digest[i]);
	return g_string_free(text, FALSE);
}

static void
set_certificate_error(const TlsStream *stream, const char *host, guint16 port, long fault,
		      GError **error)
{
	const char *remedy;
	g_autofree char *text = text_of_fault(stream, host, fault, &remedy);
	g_autofree char *pin = text_of_pin(stream->leaf);

	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS,
		    "the certificate of %s port %u %s. %s tls-fingerprint=%s", host, port, text,
		    remedy, pin);
}

/* --- the handshake --- */

static void
set_handshake_error(TlsStream *stream, const char *host, guint16 port, int ssl_error,
		    int error_number, GError **error)
{
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_REASON(code);
	long fault = SSL_get_verify_result(stream->ssl);

	if (fault != X509_V_OK && stream->leaf != NULL)
		set_certificate_error(stream, host, port, fault, error);
	else if (code == 0 || ssl_error == SSL_ERROR_SYSCALL || ssl_error == SSL_ERROR_ZERO_RETURN)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
			    "%s port %u: the line was lost during the TLS handshake (%s)", host,
			    port,
			    error_number != 0 ? g_strerror(error_number) : "closed by the server");
	else if (reason == SSL_R_UNSUPPORTED_PROTOCOL ||
		 reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS,
			    "%s port %u knows no TLS 1.2 or newer: the server must be updated",
			    host, port);
	else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS,
			    "%s port %u does not speak TLS here: check the port, and imaps:// "
			    "against imap://",
			    host, port);
	else
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS, "TLS with %s port %u failed: %s",
			    host, port,
			    ERR_reason_error_string(code) != NULL ? ERR_reason_error_string(code)
								  : "no reason given");
	ERR_clear_error();
}

static gboolean
handshake_start(TlsStream *stream, TlsContext *context, const char *host, guint16 port)
{
	g_autofree char *plain = dial_plain_host(host);
	X509_VERIFY_PARAM *param;
	BIO *bio;

	stream->context = context;
	stream->ssl = SSL_new(context->ssl);
	bio = BIO_new(context->bio);
	if (plain == NULL || stream->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		return FALSE;
	}
	BIO_set_data(bio, stream);
	BIO_set_init(bio, 1);
	SSL_set_bio(stream->ssl, bio, bio);
	SSL_set_app_data(stream->ssl, stream);
	SSL_set_connect_state(stream->ssl);
	stream->session_key = g_strdup_printf("%s:%u", plain, port);
	param = SSL_get0_param(stream->ssl);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
						       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	resume_session(stream);
	if (g_hostname_is_ip_address(plain)) {
		plain[strcspn(plain, "%")] =
			'\0'; /* fe80::1%eth0: the zone is ours, not the server's */
		return X509_VERIFY_PARAM_set1_ip_asc(param, plain) == 1;
	}
	return SSL_set_tlsext_host_name(stream->ssl, plain) == 1 &&
	       X509_VERIFY_PARAM_set1_host(param, plain, 0) == 1;
}

/* Belt and braces: nothing is sent to a peer that was not verified, resumed or not. */
static gboolean
is_verified(const TlsStream *stream)
{
	X509 *leaf = SSL_get0_peer_certificate(stream->ssl);

	return leaf != NULL && SSL_get_verify_result(stream->ssl) == X509_V_OK &&
	       (!stream->context->pinned || matches_pin(stream->context, leaf));
}

static gboolean
handshake_run(TlsStream *stream, const char *host, guint16 port, guint timeout_ms,
	      GCancellable *cancel, GError **error)
{
	gint64 deadline_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;

	for (;;) {
		struct pollfd fds[2] = {{.fd = stream->fd}};
		int result;
		int ssl_error;
		int saved;

		if (g_cancellable_set_error_if_cancelled(cancel, error))
			return FALSE;
		ERR_clear_error();
		errno = 0;
		result = SSL_do_handshake(stream->ssl);
		saved = errno;
		if (result == 1)
			return TRUE;
		ssl_error = SSL_get_error(stream->ssl, result);
		if (ssl_error != SSL_ERROR_WANT_READ && ssl_error != SSL_ERROR_WANT_WRITE) {
			set_handshake_error(stream, host, port, ssl_error, saved, error);
			return FALSE;
		}
		if (g_get_monotonic_time() >= deadline_us) {
			g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
				    "%s port %u did not finish the TLS handshake within %u s", host,
				    port, (timeout_ms + 999) / 1000);
			return FALSE;
		}
		fds[0].events = ssl_error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		if (!dial_poll(fds, 2, deadline_us, cancel, error))
			return FALSE;
	}
}

gboolean
tls_stream_handshake(TlsStream *stream, TlsContext *context, const char *host, guint16 port,
		     guint timeout_ms, GCancellable *cancel, GError **error)
{
	g_return_val_if_fail(stream->ssl == NULL, FALSE);

	stream->broken = TRUE; /* until the end is a good one */
	if (!handshake_start(stream, context, host, port)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS,
			    "TLS with %s port %u cannot be set up: %s", host, port,
			    ERR_reason_error_string(ERR_peek_last_error()));
		ERR_clear_error();
		return FALSE;
	}
	if (!handshake_run(stream, host, port, timeout_ms, cancel, error))
		return FALSE;
	if (!is_verified(stream)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS,
			    "%s port %u showed no certificate that could be checked", host, port);
		return FALSE;
	}
	X509_free(stream->leaf);
	stream->leaf = NULL;
	stream->broken = FALSE;
	g_free(stream->description);
	stream->description =
		g_strdup_printf("%s, %s%s", stream->address, SSL_get_version(stream->ssl),
				SSL_session_reused(stream->ssl) ? ", resumed" : "");
	g_debug("%s (%s)", stream->description, SSL_get_cipher_name(stream->ssl));
	return TRUE;
}

/* --- the stream --- */

TlsStream *
tls_stream_connect(const char *host, guint16 port, guint timeout_ms, GCancellable *cancel,
		   GError **error)
{
	g_autoptr(GInetSocketAddress) address = NULL;
	int fd = dial(host, port, timeout_ms, cancel, &address, error);
	TlsStream *stream;

	if (fd < 0)
		return NULL;
	stream = g_new0(TlsStream, 1);
	stream->fd = fd;
	stream->address = g_socket_connectable_to_string(G_SOCKET_CONNECTABLE(address));
	stream->description = g_strdup_printf("%s, in the clear", stream->address);
	stream->loopback =
		g_inet_address_get_is_loopback(g_inet_socket_address_get_address(address));
	stream->read_wait = POLLIN;
	stream->write_wait = POLLOUT;
	return stream;
}

static gssize
fail_io(const char *verb, int error_number, GError **error)
{
	if (error_number == EAGAIN)
		g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, "not now");
	else
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
			    "the line was lost while %s: %s", verb,
			    error_number != 0 ? g_strerror(error_number) : "closed by the server");
	return -1;
}

/* An SSL_read() or SSL_write() that brought nothing. 0: the peer closed. */
static gssize
fail_tls(TlsStream *stream, const char *verb, short *wait, int error_number, GError **error)
{
	int ssl_error = SSL_get_error(stream->ssl, 0);
	unsigned long code = ERR_peek_error();

	if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE) {
		*wait = ssl_error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		return fail_io(verb, EAGAIN, error);
	}
	if (ssl_error == SSL_ERROR_ZERO_RETURN)
		return 0;
	stream->broken = TRUE;
	if (ssl_error == SSL_ERROR_SSL && code != 0) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
			    "the line was lost while %s: TLS: %s", verb,
			    ERR_reason_error_string(code) != NULL ? ERR_reason_error_string(code)
								  : "unknown");
		ERR_clear_error();
		return -1;
	}
	return fail_io(verb, error_number, error);
}

gssize
tls_stream_read(TlsStream *stream, void *buffer, gsize len, GError **error)
{
	size_t done = 0;
	ssize_t n;

	if (stream->ssl != NULL) {
		ERR_clear_error();
		errno = 0;
		stream->starved = SSL_read_ex(stream->ssl, buffer, len, &done) != 1;
		if (stream->starved)
			return fail_tls(stream, "reading", &stream->read_wait, errno, error);
		stream->read_wait = POLLIN;
		return (gssize)done;
	}
	do
		n = recv(stream->fd, buffer, len, 0);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? n : fail_io("reading", errno, error);
}

gssize
tls_stream_write(TlsStream *stream, const void *buffer, gsize len, GError **error)
{
	size_t done = 0;
	ssize_t n;

	if (stream->ssl != NULL) {
		gssize result;

		ERR_clear_error();
		errno = 0;
		if (SSL_write_ex(stream->ssl, buffer, len, &done) == 1) {
			stream->write_wait = POLLOUT;
			return (gssize)done;
		}
		result = fail_tls(stream, "writing", &stream->write_wait, errno, error);
		return result < 0 ? result : fail_io("writing", 0, error);
	}
	do
		n = send(stream->fd, buffer, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? n : fail_io("writing", errno, error);
}

int
tls_stream_fd(const TlsStream *stream)
{
	return stream->fd;
}

short
tls_stream_poll_events(const TlsStream *stream, gboolean want_write)
{
	return (short)(stream->read_wait | (want_write ? stream->write_wait : 0));
}

gboolean
tls_stream_has_pending(const TlsStream *stream)
{
	return stream->ssl != NULL && !stream->starved && SSL_has_pending(stream->ssl) == 1;
}

gboolean
tls_stream_is_secure(const TlsStream *stream)
{
	return stream->ssl != NULL && !stream->broken;
}

gboolean
tls_stream_is_loopback(const TlsStream *stream)
{
	return stream->loopback;
}

const char *
tls_stream_describe(const TlsStream *stream)
{
	return stream->description;
}

gboolean
tls_stream_get_certificate(const TlsStream *stream, TlsCertificate *out)
{
	X509 *leaf = stream->ssl != NULL ? SSL_get1_peer_certificate(stream->ssl) : NULL;
	struct tm tm;

	if (leaf == NULL)
		return FALSE;
	out->subject = text_of_names(leaf);
	if (out->subject == NULL)
		out->subject = text_of_name(X509_get_subject_name(leaf));
	out->issuer = text_of_name(X509_get_issuer_name(leaf));
	out->expires = ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1 ? timegm(&tm) : 0;
	out->fingerprint = text_of_pin(leaf);
	X509_free(leaf);
	return TRUE;
}

void
tls_certificate_clear(TlsCertificate *certificate)
{
	g_free(certificate->subject);
	g_free(certificate->issuer);
	g_free(certificate->fingerprint);
	*certificate = (TlsCertificate){0};
}

void
tls_stream_free(TlsStream *stream)
{
	if (stream == NULL)
		return;
	if (stream->ssl != NULL && !stream->broken)
		SSL_shutdown(stream->ssl);
	SSL_free(stream->ssl);
	ERR_clear_error();
	X509_free(stream->leaf);
	util_close_fd(&stream->fd);
	g_free(stream->address);
	g_free(stream->description);
	g_free(stream->session_key);
	g_free(stream);
}

void
tls_sha256(const void *data, gsize len, guint8 digest_out[TLS_SHA256_BYTES])
{
	g_autoptr(GChecksum) checksum = NULL;
	gsize size = TLS_SHA256_BYTES;

	if (EVP_Digest(data, len, digest_out, NULL, EVP_sha256(), NULL) == 1)
		return;
	/* An OpenSSL set up without it: who asked for a name gets the same one. */
	checksum = g_checksum_new(G_CHECKSUM_SHA256);
	g_checksum_update(checksum, data, (gssize)len);
	g_checksum_get_digest(checksum, digest_out, &size);
}
