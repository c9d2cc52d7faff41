/* SPDX-License-Identifier: MIT */
/* Bringing a line up, and taking it down. All of it blocks, so that each step knows the answer to
 * the one before: nothing is written behind STARTTLS, AUTHENTICATE or COMPRESS, and what is read
 * stops at each line end, so that bytes which come too early are still in the window when the line
 * changes its nature. */
#include "proto/imap-private.h"

#include <string.h>

#include "base/util.h"
#include "proto/sasl.h"

void
imap_answer_clear(ImapAnswer *answer)
{
	g_clear_pointer(&answer->code, g_free);
	g_clear_pointer(&answer->text, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImapAnswer, imap_answer_clear)

static gboolean
fail(GError **error, MailfsError code, const ImapBackend *self, const char *what)
{
	g_set_error(error, MAILFS_ERROR, (int)code, "%s %s", self->config->host, what);
	return FALSE;
}

void
imap_backend_take_capabilities(ImapBackend *self, const char *words)
{
	g_auto(GStrv) list = g_strsplit(words, " ", -1);

	imap_backend_clear_capabilities(self);
	self->capabilities_told = TRUE;
	for (guint i = 0; list[i] != NULL; i++)
		if (*list[i] != '\0')
			g_ptr_array_add(self->base.capabilities, g_ascii_strup(list[i], -1));
	/* "LITERAL +" was seen in the wild. LITERAL- allows 4,096 bytes, more than we ever send. */
	self->literal_plus = imap_backend_can(self, "LITERAL+") ||
			     imap_backend_can(self, "LITERAL-") ||
			     (imap_backend_can(self, "LITERAL") && imap_backend_can(self, "+"));
}

/* Reads until *@done, one line end at a time. */
static gboolean
read_until(ImapBackend *self, const gboolean *done, guint timeout_ms, GCancellable *cancel,
	   int cancel_fd, GError **error)
{
	gint64 deadline = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;

	while (!*done) {
		gsize len;
		const guint8 *data = wire_peek(self->base.wire, &len);
		const guint8 *line_end = len > 0 ? memchr(data, '\n', len) : NULL;
		gssize n;

		if (g_cancellable_set_error_if_cancelled(cancel, error))
			return FALSE;
		if (len > 0) {
			len = line_end != NULL ? (gsize)(line_end - data) + 1 : len;
			if (!imap_parser_feed(self->parser, data, len, error))
				return FALSE;
			wire_consume(self->base.wire, len);
			if (!self->greeted && imap_parser_dropped(self->parser) > 0)
				return fail(error, MAILFS_ERROR_PROTOCOL, self,
					    "does not greet as an IMAP server does");
			continue;
		}
		n = wire_fill(self->base.wire, error);
		if (n < 0)
			return FALSE;
		if (n > 0)
			continue;
		if (g_get_monotonic_time() >= deadline) {
			g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
				    "%s has not answered for %u seconds", self->config->host,
				    (timeout_ms + 999) / 1000);
			return FALSE;
		}
		if (!wire_wait(self->base.wire, cancel_fd, deadline, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean
wait_until(ImapBackend *self, const gboolean *done, guint timeout_ms, GCancellable *cancel,
	   GError **error)
{
	int cancel_fd = g_cancellable_get_fd(cancel);
	gboolean ok = read_until(self, done, timeout_ms, cancel, cancel_fd, error);

	if (cancel_fd >= 0)
		g_cancellable_release_fd(cancel);
	return ok;
}

static gboolean
submit_for(ImapBackend *self, ImapCommand *command, ImapAnswer *answer, GError **error)
{
	command->answer = answer;
	return imap_backend_submit(self, command, error);
}

/* One command, to its end. The answer may be NO. */
static gboolean
run(ImapBackend *self, ImapCommand *command, ImapAnswer *answer, GCancellable *cancel,
    GError **error)
{
	return submit_for(self, command, answer, error) &&
	       wait_until(self, &answer->done, self->config->timeout_ms, cancel, error);
}

static GError *
answer_error(const ImapBackend *self, const ImapAnswer *answer, const char *verb,
	     MailfsError otherwise)
{
	ImapResponse response = {
		.status = answer->status, .code = answer->code, .text = answer->text};

	return imap_refusal(self, &response, verb, otherwise,
			    self->secured || self->config->tls == TLS_NONE);
}

/* Connecting
 * ------------------------------------------------------------------------------------------------------
 */

static gboolean
open_stream(ImapBackend *self, GCancellable *cancel, GError **error)
{
	self->base.wire = backend_open_wire(self->config, cancel, error);
	self->secured = self->base.wire != NULL && self->config->tls == TLS_IMPLICIT;
	return self->base.wire != NULL;
}

static gboolean
ask_capabilities(ImapBackend *self, GCancellable *cancel, GError **error)
{
	g_auto(ImapAnswer) answer = {0};

	if (self->capabilities_told)
		return TRUE;
	if (!run(self, imap_command_new(self, "CAPABILITY"), &answer, cancel, error))
		return FALSE;
	if (answer.status == IMAP_STATUS_OK && self->capabilities_told)
		return TRUE;
	g_propagate_error(error, answer_error(self, &answer, "CAPABILITY", MAILFS_ERROR_PROTOCOL));
	return FALSE;
}

/* RFC 3501 6.2.1. All that was said before is forgotten: anybody on the way may have said it. */
static gboolean
start_tls(ImapBackend *self, GCancellable *cancel, GError **error)
{
	const BackendConfig *config = self->config;
	g_auto(ImapAnswer) answer = {0};

	if (self->preauth)
		return fail(error, MAILFS_ERROR_TLS, self,
			    "says that we are logged in before TLS has begun: this may be an "
			    "attack; use imaps://");
	if (!ask_capabilities(self, cancel, error)) {
		g_prefix_error(error, "STARTTLS: ");
		return FALSE;
	}
	if (!imap_backend_can(self, "STARTTLS"))
		return fail(
			error, MAILFS_ERROR_TLS, self,
			"does not offer STARTTLS (or somebody on the way hides it); try imaps://");
	if (!run(self, imap_command_new(self, "STARTTLS"), &answer, cancel, error))
		return FALSE;
	if (answer.status != IMAP_STATUS_OK)
		return fail(error, MAILFS_ERROR_TLS, self,
			    "refused STARTTLS (or somebody on the way did); try imaps://");
	if (!wire_start_tls(self->base.wire, config->tls_context, config->host, config->port,
			    config->timeout_ms, cancel, error))
		return FALSE;
	self->secured = TRUE;
	imap_backend_new_parser(self);
	imap_backend_clear_capabilities(self);
	g_clear_pointer(&self->namespaces, g_ptr_array_unref);
	self->qresync = self->icloud = FALSE;
	return TRUE;
}

/* Authentication
 * --------------------------------------------------------------------------------------------------
 */

typedef struct {
	SaslExchange *exchange;
	char *initial;	 /* not sent yet */
	GError *failure; /* ours: the exchange was cancelled with "*" */
} Login;

static void
login_clear(Login *login)
{
	sasl_exchange_free(login->exchange);
	util_free_secret(login->initial);
	g_clear_error(&login->failure);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Login, login_clear)

/* A challenge came. What is sent here is never logged. */
static gboolean
answer_challenge(ImapBackend *self, gpointer user, const char *challenge, GError **error)
{
	Login *login = user;
	g_autoptr(UtilSecret) answer = NULL;

	if (login->initial != NULL)
		answer = g_steal_pointer(&login->initial);
	else if (login->failure == NULL)
		answer = sasl_exchange_step(login->exchange, challenge, &login->failure);
	if (answer == NULL)
		wire_send(self->base.wire, "*", 1);
	else
		wire_send(self->base.wire, answer, strlen(answer));
	wire_send(self->base.wire, "\r\n", 2);
	return TRUE;
}

static gboolean
authenticate(ImapBackend *self, SaslExchange *exchange, ImapAnswer *answer, GCancellable *cancel,
	     GError **error)
{
	g_auto(Login) login = {.exchange = exchange};
	ImapCommand *command;

	login.initial = sasl_exchange_step(exchange, NULL, &login.failure);
	if (login.failure != NULL) {
		g_propagate_error(error, g_steal_pointer(&login.failure));
		return FALSE;
	}
	self->base.mechanism = sasl_exchange_mechanism(exchange);
	command = imap_command_new(self, "AUTHENTICATE");
	imap_writer_atom(command->writer, sasl_exchange_mechanism(exchange));
	if (login.initial != NULL && imap_backend_can(self, "SASL-IR")) {
		imap_writer_raw(command->writer, *login.initial != '\0' ? login.initial : "=");
		g_clear_pointer(&login.initial, util_free_secret);
	}
	command->more = answer_challenge;
	command->more_user = &login;
	if (!run(self, command, answer, cancel, error))
		return FALSE;
	if (login.failure != NULL) {
		g_propagate_error(error, g_steal_pointer(&login.failure));
		return FALSE;
	}
	return answer->status != IMAP_STATUS_OK || sasl_exchange_finish(exchange, error);
}

static gboolean
login_command(ImapBackend *self, const char *secret, ImapAnswer *answer, GCancellable *cancel,
	      GError **error)
{
	ImapCommand *command = imap_command_new(self, "LOGIN");

	self->base.mechanism = "LOGIN";
	imap_writer_string(command->writer, self->config->user);
	imap_writer_string(command->writer, secret);
	return run(self, command, answer, cancel, error);
}

static SaslExchange *
new_exchange(ImapBackend *self, const char *secret, GError **error)
{
	const BackendConfig *config = self->config;
	g_autoptr(GPtrArray) offered = g_ptr_array_new();

	for (guint i = 0; i < self->base.capabilities->len; i++) {
		char *capability = g_ptr_array_index(self->base.capabilities, i);

		if (g_str_has_prefix(capability, "AUTH="))
			g_ptr_array_add(offered, capability + strlen("AUTH="));
	}
	return sasl_exchange_new("imap", config->host, config->port, offered, config->auth,
				 config->auth_token, config->user, secret, self->secured, error);
}

/* TRUE: the server answered, with NO perhaps. */
static gboolean
try_login(ImapBackend *self, const char *secret, ImapAnswer *answer, GCancellable *cancel,
	  GError **error)
{
	const BackendConfig *config = self->config;
	gboolean may_login =
		!imap_backend_can(self, "LOGINDISABLED") && !config->auth_token && secret != NULL;
	g_autoptr(GError) none = NULL;
	SaslExchange *exchange;

	if (config->auth == AUTH_LOGIN && may_login)
		return login_command(self, secret, answer, cancel, error);
	exchange = new_exchange(self, secret, &none);
	if (exchange != NULL)
		return authenticate(self, exchange, answer, cancel, error); /* frees it */
	if (config->auth == AUTH_AUTO && may_login &&
	    g_error_matches(none, MAILFS_ERROR, MAILFS_ERROR_LOGIN))
		return login_command(self, secret, answer, cancel, error);
	g_propagate_error(error, g_steal_pointer(&none));
	return FALSE;
}

/* A token may have run out since it was handed out: a refused one is asked for anew, once. A
 * password is not tried again. */
static gboolean
log_in(ImapBackend *self, GCancellable *cancel, GError **error)
{
	const BackendConfig *config = self->config;

	for (gboolean again = FALSE;; again = TRUE) {
		g_autoptr(UtilSecret) secret = NULL;
		g_autoptr(GError) refusal = NULL;
		g_autofree char *what = NULL;
		g_auto(ImapAnswer) answer = {0};

		if (config->auth != AUTH_GSSAPI) {
			secret = config->secret.get(config->secret.user, again, cancel, error);
			if (secret == NULL)
				return FALSE;
		}
		self->capabilities_told = FALSE;
		if (!try_login(self, secret, &answer, cancel, error))
			return FALSE;
		if (answer.status == IMAP_STATUS_OK)
			return TRUE;
		what = g_strdup_printf("the login of %s", config->user);
		refusal = answer_error(self, &answer, what,
				       answer.status == IMAP_STATUS_NO ? MAILFS_ERROR_LOGIN
								       : MAILFS_ERROR_PROTOCOL);
		if (config->auth_token &&
		    g_error_matches(refusal, MAILFS_ERROR, MAILFS_ERROR_LOGIN)) {
			if (!again)
				continue;
			refusal->code = MAILFS_ERROR_TOKEN;
		}
		g_propagate_error(error, g_steal_pointer(&refusal));
		return FALSE;
	}
}

/* After login
 * -----------------------------------------------------------------------------------------------------
 */

static gboolean
start_compression(ImapBackend *self, GCancellable *cancel, GError **error)
{
	g_auto(ImapAnswer) answer = {0};
	ImapCommand *command;

	if (!self->config->compress || !imap_backend_can(self, "COMPRESS=DEFLATE") ||
	    tls_stream_is_loopback(wire_stream(self->base.wire)))
		return TRUE;
	command = imap_command_new(self, "COMPRESS");
	imap_writer_atom(command->writer, "DEFLATE");
	if (!run(self, command, &answer, cancel, error))
		return FALSE;
	return answer.status != IMAP_STATUS_OK || wire_start_deflate(self->base.wire, error);
}

/* ID, ENABLE and NAMESPACE travel together. A server that refuses one of them does without it. */
static gboolean
introduce(ImapBackend *self, GCancellable *cancel, GError **error)
{
	gboolean enable = imap_backend_can(self, "ENABLE");
	gboolean qresync = enable && imap_backend_can(self, "QRESYNC");
	g_auto(ImapAnswer) id = {.done = TRUE};
	g_auto(ImapAnswer) enabled = {.done = TRUE};
	g_auto(ImapAnswer) namespaces = {.done = TRUE};

	self->condstore = qresync || imap_backend_can(self, "CONDSTORE");
	self->icloud = g_str_has_suffix(self->config->host, "mail.me.com");
	if (imap_backend_can(self, "ID")) {
		ImapCommand *command = imap_command_new(self, "ID");

		id.done = FALSE;
		imap_writer_raw(command->writer,
				"(\"name\" \"mailfs\" \"version\" \"" MAILFS_VERSION "\")");
		if (!submit_for(self, command, &id, error))
			return FALSE;
	}
	if (enable && self->condstore && !self->icloud) {
		ImapCommand *command = imap_command_new(self, "ENABLE");

		enabled.done = FALSE;
		imap_writer_atom(command->writer, qresync ? "QRESYNC" : "CONDSTORE");
		if (!submit_for(self, command, &enabled, error))
			return FALSE;
	}
	if (imap_backend_can(self, "NAMESPACE")) {
		namespaces.done = FALSE;
		if (!submit_for(self, imap_command_new(self, "NAMESPACE"), &namespaces, error))
			return FALSE;
	}
	if (!wait_until(self, &id.done, self->config->timeout_ms, cancel, error) ||
	    !wait_until(self, &enabled.done, self->config->timeout_ms, cancel, error) ||
	    !wait_until(self, &namespaces.done, self->config->timeout_ms, cancel, error))
		return FALSE;
	/* iCloud's QRESYNC loses mail. */
	if (self->icloud || enabled.status != IMAP_STATUS_OK)
		self->qresync = FALSE;
	return TRUE;
}

/* Control characters never leave: checked before there is a line, so that nothing at all is sent.
 */
static gboolean
check_user(const ImapBackend *self, GError **error)
{
	for (const char *p = self->config->user; *p != '\0'; p++)
		if (g_ascii_iscntrl(*p)) {
			g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
					    "the user name holds a control character");
			return FALSE;
		}
	return TRUE;
}

gboolean
imap_backend_login(Backend *base, GCancellable *cancel, GError **error)
{
	ImapBackend *self = (ImapBackend *)base;

	if (!check_user(self, error) || !open_stream(self, cancel, error) ||
	    !wait_until(self, &self->greeted, self->config->timeout_ms, cancel, error))
		return FALSE;
	if (self->config->tls == TLS_STARTTLS && !start_tls(self, cancel, error))
		return FALSE;
	if (!ask_capabilities(self, cancel, error))
		return FALSE;
	if (!self->preauth && !log_in(self, cancel, error))
		return FALSE;
	if (!ask_capabilities(self, cancel, error) || !start_compression(self, cancel, error) ||
	    !introduce(self, cancel, error))
		return FALSE;
	self->logged_in = TRUE;
	if (!imap_backend_can(self, "NOTIFY"))
		self->base.notify = BACKEND_NOTIFY_REFUSED;
	imap_backend_note_push(self);
	self->last_byte = self->quiet_since = g_get_monotonic_time();
	return TRUE;
}

void
imap_backend_logout(Backend *base, guint timeout_ms)
{
	ImapBackend *self = (ImapBackend *)base;
	g_auto(ImapAnswer) answer = {0};
	g_autoptr(GError) error = NULL;

	if (base->wire == NULL)
		return;
	self->leaving = TRUE;
	if (!submit_for(self, imap_command_new(self, "LOGOUT"), &answer, &error) ||
	    !wait_until(self, &answer.done, timeout_ms, NULL, &error))
		g_debug("imap %s: logout: %s", self->config->host, error->message);
	/* The answer lives on this stack; its command may outlive it. */
	for (GList *link = self->commands.head; link != NULL; link = link->next)
		((ImapCommand *)link->data)->answer = NULL;
}
