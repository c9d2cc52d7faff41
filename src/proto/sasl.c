/* SPDX-License-Identifier: MIT */
#include "proto/sasl.h"

#include <string.h>

#include <sasl/sasl.h>

#include "base/error.h"
#include "base/util.h"

/* How many challenges a server may pose before it is nonsense; GSSAPI needs three or four. */
#define MAX_STEPS 16

typedef struct {
	AuthMechanism auth;
	const char *name;
	gboolean token;	  /* works with a token, not with a password */
	gboolean library; /* libsasl2's */
} Mechanism;

/* In the order in which AUTH_AUTO prefers them. */
static const Mechanism mechanisms[] = {
	{AUTH_OAUTHBEARER, "OAUTHBEARER", TRUE, FALSE},
	{AUTH_XOAUTH2, "XOAUTH2", TRUE, FALSE},
	{AUTH_SCRAM_SHA_256, "SCRAM-SHA-256", FALSE, TRUE},
	{AUTH_CRAM_MD5, "CRAM-MD5", FALSE, TRUE},
	{AUTH_PLAIN, "PLAIN", FALSE, FALSE},
	{AUTH_LOGIN, "LOGIN", FALSE, FALSE},
	{AUTH_GSSAPI, "GSSAPI", FALSE, TRUE},
};

struct SaslExchange {
	const Mechanism *mechanism;
	char *host;
	guint16 port;
	char *user;
	char *secret;
	guint steps;
	gboolean complete; /* nothing more is expected from the server */

	/* libsasl2's mechanisms only */
	sasl_conn_t *connection;
	sasl_callback_t callbacks[5];
	sasl_secret_t *password;
};

static void *
mutex_new(void)
{
	GMutex *mutex = g_new(GMutex, 1);

	g_mutex_init(mutex);
	return mutex;
}

static int
mutex_lock(void *mutex)
{
	g_mutex_lock(mutex);
	return SASL_OK;
}

static int
mutex_unlock(void *mutex)
{
	g_mutex_unlock(mutex);
	return SASL_OK;
}

static void
mutex_free(void *mutex)
{
	g_mutex_clear(mutex);
	g_free(mutex);
}

/* libsasl2 keeps one list of plug-ins a process; it is loaded once and never given back. */
static gboolean
load_library(GError **error)
{
	static gsize sasl_state; /* 0: not tried, 1: failed, 2: good */

	if (g_once_init_enter(&sasl_state)) {
		sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
		g_once_init_leave(&sasl_state, sasl_client_init(NULL) == SASL_OK ? 2 : 1);
	}
	if (sasl_state == 2)
		return TRUE;
	g_set_error_literal(
		error, MAILFS_ERROR, MAILFS_ERROR_LOGIN,
		"libsasl2 cannot load its mechanisms; install libsasl2-modules, or set auth=plain");
	return FALSE;
}

static int
get_name(void *context, int id, const char **result, unsigned *len)
{
	const SaslExchange *exchange = context;

	*result = id == SASL_CB_USER ? "" : exchange->user;
	if (len != NULL)
		*len = (unsigned)strlen(*result);
	return SASL_OK;
}

static int
get_password(sasl_conn_t *connection, void *context, int id, sasl_secret_t **secret_out)
{
	const SaslExchange *exchange = context;

	if (exchange->password == NULL)
		return SASL_FAIL;
	*secret_out = exchange->password;
	return SASL_OK;
}

/* libsasl2 would write to syslog, and what it writes may hold parts of the exchange. */
static int
drop_log(void *context, int level, const char *message)
{
	return SASL_OK;
}

/* Its callback type has no argument list, for each id has its own; GCallback is the type that fits
 * all. */
#define CALLBACK(id, function, context)                                                            \
	(sasl_callback_t)                                                                          \
	{                                                                                          \
		id, (int (*)(void))G_CALLBACK(function), context                                   \
	}

static gboolean
open_library(SaslExchange *exchange, const char *service, gboolean secure, GError **error)
{
	/* The line is encrypted by TLS or not at all: no layer of SASL's. */
	sasl_security_properties_t properties = {.maxbufsize = 65536};
	sasl_ssf_t external = secure ? 256 : 0;
	gsize len = exchange->secret != NULL ? strlen(exchange->secret) : 0;
	int rc;

	if (!load_library(error))
		return FALSE;
	if (exchange->secret != NULL) {
		exchange->password = g_malloc0(sizeof(sasl_secret_t) + len);
		exchange->password->len = len;
		memcpy(exchange->password->data, exchange->secret, len);
	}
	exchange->callbacks[0] = CALLBACK(SASL_CB_USER, get_name, exchange);
	exchange->callbacks[1] = CALLBACK(SASL_CB_AUTHNAME, get_name, exchange);
	exchange->callbacks[2] = CALLBACK(SASL_CB_PASS, get_password, exchange);
	exchange->callbacks[3] = CALLBACK(SASL_CB_LOG, drop_log, NULL);
	exchange->callbacks[4] = CALLBACK(SASL_CB_LIST_END, NULL, NULL);
	rc = sasl_client_new(service, exchange->host, NULL, NULL, exchange->callbacks, 0,
			     &exchange->connection);
	if (rc == SASL_OK)
		rc = sasl_setprop(exchange->connection, SASL_SEC_PROPS, &properties);
	if (rc == SASL_OK)
		rc = sasl_setprop(exchange->connection, SASL_SSF_EXTERNAL, &external);
	if (rc == SASL_OK)
		return TRUE;
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN, "libsasl2 cannot start: %s",
		    sasl_errstring(rc, NULL, NULL));
	return FALSE;
}

static gboolean
is_offered(GPtrArray *offered, const char *name)
{
	for (guint i = 0; i < offered->len; i++)
		if (g_ascii_strcasecmp(g_ptr_array_index(offered, i), name) == 0)
			return TRUE;
	return FALSE;
}

static gboolean
fits(const Mechanism *mechanism, AuthMechanism auth, gboolean is_token, gboolean secure)
{
	if (auth != AUTH_AUTO)
		return mechanism->auth == auth;
	if (mechanism->auth == AUTH_GSSAPI || mechanism->token != is_token)
		return FALSE;
	return mechanism->auth != AUTH_CRAM_MD5 || !secure;
}

static const Mechanism *
choose(GPtrArray *offered, AuthMechanism auth, gboolean is_token, gboolean secure, GError **error)
{
	g_autoptr(GString) names = NULL;
	g_autofree char *shown = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(mechanisms); i++)
		if (fits(&mechanisms[i], auth, is_token, secure) &&
		    is_offered(offered, mechanisms[i].name))
			return &mechanisms[i];
	/* CRAM-MD5 inside TLS is worse than PLAIN, and better than no way in. */
	if (secure)
		return choose(offered, auth, is_token, FALSE, error);
	names = g_string_new(NULL);
	for (guint i = 0; i < offered->len; i++)
		g_string_append_printf(names, "%s%s", i > 0 ? " " : "",
				       (const char *)g_ptr_array_index(offered, i));
	shown = util_printable(names->str, -1, 200);
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN,
		    "no way to log in: the server offers %s, which does not fit %s; see auth= and "
		    "token-command=",
		    names->len > 0 ? shown : "no mechanism",
		    auth != AUTH_AUTO ? "the auth= that was asked for"
		    : is_token	      ? "a token"
				      : "a password");
	return NULL;
}

/* Control characters delimit the fields of XOAUTH2 and OAUTHBEARER, and NUL those of PLAIN. */
static gboolean
is_clean(const char *text)
{
	for (; *text != '\0'; text++)
		if (g_ascii_iscntrl(*text))
			return FALSE;
	return TRUE;
}

SaslExchange *
sasl_exchange_new(const char *service, const char *host, guint16 port, GPtrArray *offered,
		  AuthMechanism auth, gboolean is_token, const char *user, const char *secret,
		  gboolean secure, GError **error)
{
	const Mechanism *mechanism = choose(offered, auth, is_token, secure, error);
	g_autoptr(SaslExchange) exchange = NULL;

	if (mechanism == NULL)
		return NULL;
	if (!is_clean(user) || (mechanism->token && secret != NULL && !is_clean(secret))) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
				    "the user name or token holds a control character");
		return NULL;
	}
	if (secret == NULL && mechanism->auth != AUTH_GSSAPI) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN,
				    "there is no password to log in with");
		return NULL;
	}
	exchange = g_new0(SaslExchange, 1);
	exchange->mechanism = mechanism;
	exchange->host = g_strdup(host);
	exchange->port = port;
	exchange->user = g_strdup(user);
	exchange->secret = g_strdup(secret);
	if (mechanism->library && !open_library(exchange, service, secure, error))
		return NULL;
	return g_steal_pointer(&exchange);
}

void
sasl_exchange_free(SaslExchange *exchange)
{
	if (exchange == NULL)
		return;
	if (exchange->connection != NULL)
		sasl_dispose(&exchange->connection);
	if (exchange->password != NULL) {
		util_wipe(exchange->password, sizeof(sasl_secret_t) + exchange->password->len);
		g_free(exchange->password);
	}
	util_free_secret(exchange->secret);
	g_free(exchange->user);
	g_free(exchange->host);
	g_free(exchange);
}

const char *
sasl_exchange_mechanism(const SaslExchange *exchange)
{
	return exchange->mechanism->name;
}

/* Wipes @raw. */
static char *
encode_and_free(GString *raw)
{
	char *encoded = g_base64_encode((const guchar *)raw->str, raw->len);

	util_wipe(raw->str, raw->len);
	g_string_free(raw, TRUE);
	return encoded;
}

/* A GString that outgrows its block leaves a copy behind: room for all from the start. */
static GString *
secret_string(const SaslExchange *exchange)
{
	return g_string_sized_new(3 * strlen(exchange->user) + strlen(exchange->host) +
				  strlen(exchange->secret) + 64);
}

static char *
initial_plain(const SaslExchange *exchange)
{
	GString *raw = secret_string(exchange);

	g_string_append_c(raw, '\0');
	g_string_append(raw, exchange->user);
	g_string_append_c(raw, '\0');
	g_string_append(raw, exchange->secret);
	return encode_and_free(raw);
}

static char *
initial_xoauth2(const SaslExchange *exchange)
{
	GString *raw = secret_string(exchange);

	g_string_append_printf(raw, "user=%s\001auth=Bearer ", exchange->user);
	g_string_append(raw, exchange->secret);
	g_string_append(raw, "\001\001");
	return encode_and_free(raw);
}

/* RFC 7628 3.1; the user name is a saslname of RFC 5801. */
static char *
initial_oauthbearer(const SaslExchange *exchange)
{
	GString *raw = secret_string(exchange);

	g_string_append(raw, "n,a=");
	for (const char *p = exchange->user; *p != '\0'; p++) {
		if (*p == ',')
			g_string_append(raw, "=2C");
		else if (*p == '=')
			g_string_append(raw, "=3D");
		else
			g_string_append_c(raw, *p);
	}
	g_string_append_printf(raw, ",\001host=%s\001port=%u\001auth=Bearer ", exchange->host,
			       exchange->port);
	g_string_append(raw, exchange->secret);
	g_string_append(raw, "\001\001");
	return encode_and_free(raw);
}

static char *
encode_text(const char *text)
{
	return g_base64_encode((const guchar *)text, strlen(text));
}

static gboolean
too_many(GError **error)
{
	g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
			    "the server asks for more than the login mechanism has to say");
	return FALSE;
}

static char *
own_step(SaslExchange *exchange, gboolean initial, GError **error)
{
	guint step = exchange->steps;

	switch ((int)exchange->mechanism->auth) {
	case AUTH_PLAIN:
		if (initial)
			return initial_plain(exchange);
		break;
	case AUTH_LOGIN:
		if (initial)
			return NULL;
		if (step <= 2)
			return encode_text(step == 1 ? exchange->user : exchange->secret);
		break;
	case AUTH_XOAUTH2:
		if (initial)
			return initial_xoauth2(exchange);
		/* The challenge is a JSON text that says why; the server waits for a word before it
		 * says NO. */
		if (step == 1)
			return g_strdup("");
		break;
	default: /* OAUTHBEARER */
		if (initial)
			return initial_oauthbearer(exchange);
		if (step == 1)
			return encode_text("\001");
		break;
	}
	too_many(error);
	return NULL;
}

static char *
library_step(SaslExchange *exchange, const char *challenge, GError **error)
{
	g_autofree guchar *decoded = NULL;
	const char *out = NULL;
	unsigned out_len = 0;
	gsize len = 0;
	int rc;

	if (exchange->complete) {
		too_many(error);
		return NULL;
	}
	if (challenge == NULL) {
		const char *name = NULL;

		rc = sasl_client_start(exchange->connection, exchange->mechanism->name, NULL, &out,
				       &out_len, &name);
	} else {
		decoded = g_base64_decode(challenge, &len);
		rc = sasl_client_step(exchange->connection, (const char *)decoded, (unsigned)len,
				      NULL, &out, &out_len);
	}
	if (rc != SASL_OK && rc != SASL_CONTINUE) {
		g_autofree char *detail =
			util_printable(sasl_errdetail(exchange->connection), -1, 200);

		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN, "%s login failed: %s",
			    exchange->mechanism->name, detail);
		return NULL;
	}
	exchange->complete = rc == SASL_OK;
	if (out == NULL)
		return challenge == NULL ? NULL : g_strdup("");
	return g_base64_encode((const guchar *)out, out_len);
}

/* g_base64_decode() skips what it does not know: a server that sends that is not to be answered. */
static gboolean
is_base64(const char *text)
{
	gsize digits = 0;
	gsize pads = 0;

	for (; *text != '\0'; text++) {
		if (*text == '=')
			pads++;
		else if (pads == 0 && (g_ascii_isalnum(*text) || *text == '+' || *text == '/'))
			digits++;
		else
			return FALSE;
	}
	return pads <= 2 && (digits + pads) % 4 == 0;
}

char *
sasl_exchange_step(SaslExchange *exchange, const char *challenge, GError **error)
{
	char *answer;

	if (challenge != NULL && !is_base64(challenge)) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
				    "the server's login challenge is not base64");
		return NULL;
	}
	if (challenge != NULL && ++exchange->steps > MAX_STEPS) {
		too_many(error);
		return NULL;
	}
	if (exchange->mechanism->library)
		answer = library_step(exchange, challenge, error);
	else
		answer = own_step(exchange, challenge == NULL, error);
	return answer;
}

gboolean
sasl_exchange_finish(SaslExchange *exchange, GError **error)
{
	/* CRAM-MD5 has nothing to wait for, and libsasl2 says so with its only answer. */
	if (!exchange->mechanism->library || exchange->complete)
		return TRUE;
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN,
		    "the server accepted the password without proving that it knows it (%s): "
		    "this may be another server than it says",
		    exchange->mechanism->name);
	return FALSE;
}
