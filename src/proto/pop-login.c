/* SPDX-License-Identifier: MIT */
/* Bringing a line up, and taking it down. All of it blocks, so that each step knows the answer to
 * the one before: nothing is written behind another command, and what is read stops at each line
 * end. Whatever the server says beyond that, before it is asked, is an attack or nonsense. */
#include "proto/pop-private.h"

#include <string.h>

#include "base/util.h"
#include "proto/sasl.h"

#define COMMAND_MAX 255 /* RFC 2449 4 */

static void
answer_clear(PopAnswer *answer)
{
	g_clear_pointer(&answer->code, g_free);
	g_clear_pointer(&answer->text, g_free);
	g_clear_pointer(&answer->lines, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PopAnswer, answer_clear)

static gboolean
fail(GError **error, MailfsError code, const PopBackend *self, const char *what)
{
	g_set_error(error, MAILFS_ERROR, (int)code, "%s %s", self->config->host, what);
	return FALSE;
}

/* Talking
 * --------------------------------------------------------------------------------------------------------
 */

static gboolean
read_until(PopBackend *self, const gboolean *done, guint timeout_ms, GCancellable *cancel,
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
			if (!pop_parser_feed(self->parser, data, len, error)) {
				g_prefix_error(error, "%s: ", self->config->host);
				return FALSE;
			}
			wire_consume(self->base.wire, len);
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
wait_for(PopBackend *self, const PopAnswer *answer, guint timeout_ms, GCancellable *cancel,
	 GError **error)
{
	int cancel_fd = g_cancellable_get_fd(cancel);
	gboolean ok = read_until(self, &answer->done, timeout_ms, cancel, cancel_fd, error);

	if (cancel_fd >= 0)
		g_cancellable_release_fd(cancel);
	return ok;
}

/* It waits for us to speak. */
static gboolean
is_silent(PopBackend *self, GError **error)
{
	gsize len;

	wire_peek(self->base.wire, &len);
	return len == 0 || fail(error, MAILFS_ERROR_PROTOCOL, self,
				"answers what it was not asked: this may be an attack");
}

/* One command, to its end, or to a challenge. The answer may be -ERR. */
static gboolean
run(PopBackend *self, PopCommand *command, PopAnswer *answer, GCancellable *cancel, GError **error)
{
	command->answer = answer;
	return wait_for(self, answer, self->config->timeout_ms, cancel, error);
}

static GError *
answer_error(const PopBackend *self, const PopAnswer *answer, const char *verb,
	     MailfsError otherwise)
{
	PopReply reply = {answer->status, answer->code, answer->text};

	return pop_refusal(self, &reply, verb, otherwise,
			   self->secured || self->config->tls == TLS_NONE);
}

/* Connecting
 * ------------------------------------------------------------------------------------------------------
 */

static gboolean
open_stream(PopBackend *self, GCancellable *cancel, GError **error)
{
	self->base.wire = backend_open_wire(self->config, cancel, error);
	self->secured = self->base.wire != NULL && self->config->tls == TLS_IMPLICIT;
	return self->base.wire != NULL;
}

/* RFC 1939 7: "+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>" */
static void
take_timestamp(PopBackend *self, const char *text)
{
	const char *open = strchr(text, '<');
	const char *close = open != NULL ? strchr(open, '>') : NULL;

	if (close != NULL && memchr(open, '@', (gsize)(close - open)) != NULL)
		self->timestamp = g_strndup(open, (gsize)(close - open) + 1);
}

static gboolean
greet(PopBackend *self, GCancellable *cancel, GError **error)
{
	g_auto(PopAnswer) answer = {0};
	gboolean ok;

	self->greeting = &answer;
	ok = wait_for(self, &answer, self->config->timeout_ms, cancel, error);
	self->greeting = NULL;
	if (!ok)
		return FALSE;
	if (answer.status != POP_REPLY_OK) {
		g_propagate_error(error,
				  answer_error(self, &answer, "the line", MAILFS_ERROR_LIMIT));
		return FALSE;
	}
	take_timestamp(self, answer.text);
	return TRUE;
}

/* RFC 2449 6 */
static void
take_capabilities(PopBackend *self, const GPtrArray *lines)
{
	g_ptr_array_set_size(self->base.capabilities, 0);
	self->base.login_delay_s = 0;
	for (guint i = 0; i < lines->len; i++) {
		g_auto(GStrv) words = g_strsplit(lines->pdata[i], " ", 3);
		guint64 number;

		g_ptr_array_add(self->base.capabilities, g_strdup(lines->pdata[i]));
		if (words[0] == NULL || words[1] == NULL ||
		    !g_ascii_string_to_unsigned(words[1], 10, 0, 24 * 60 * 60, &number, NULL))
			continue;
		if (g_ascii_strcasecmp(words[0], "LOGIN-DELAY") == 0)
			self->base.login_delay_s = (guint)number;
		if (g_ascii_strcasecmp(words[0], "EXPIRE") == 0 && number == 0)
			self->keeps_nothing = TRUE;
	}
	self->pipelining = pop_backend_can(self, "PIPELINING");
}

/* Old servers know no CAPA; that is no failure. */
static gboolean
ask_capabilities(PopBackend *self, GCancellable *cancel, GError **error)
{
	g_auto(PopAnswer) answer = {.lines = g_ptr_array_new_with_free_func(g_free)};
	PopCommand *command;

	if (!is_silent(self, error))
		return FALSE;
	command = pop_backend_send(self, "CAPA", "CAPA");
	command->follows = POP_FOLLOWS_LINES;
	if (!run(self, command, &answer, cancel, error))
		return FALSE;
	self->capabilities_known = answer.status == POP_REPLY_OK;
	if (self->capabilities_known)
		take_capabilities(self, answer.lines);
	return TRUE;
}

/* RFC 2595 4. All that was said before is forgotten: anybody on the way may have said it. */
static gboolean
start_tls(PopBackend *self, GCancellable *cancel, GError **error)
{
	const BackendConfig *config = self->config;
	g_auto(PopAnswer) answer = {0};

	if (!ask_capabilities(self, cancel, error)) {
		g_prefix_error(error, "STLS: ");
		return FALSE;
	}
	if (!pop_backend_can(self, "STLS"))
		return fail(error, MAILFS_ERROR_TLS, self,
			    "does not offer STLS (or somebody on the way hides it); try pop3s://");
	if (!is_silent(self, error) ||
	    !run(self, pop_backend_send(self, "STLS", "STLS"), &answer, cancel, error))
		return FALSE;
	if (answer.status != POP_REPLY_OK)
		return fail(error, MAILFS_ERROR_TLS, self,
			    "refused STLS (or somebody on the way did); try pop3s://");
	if (!wire_start_tls(self->base.wire, config->tls_context, config->host, config->port,
			    config->timeout_ms, cancel, error))
		return FALSE;
	self->secured = TRUE;
	pop_backend_new_parser(self);
	g_ptr_array_set_size(self->base.capabilities, 0);
	g_clear_pointer(&self->timestamp, g_free);
	self->base.login_delay_s = 0;
	self->pipelining = self->capabilities_known = self->keeps_nothing = FALSE;
	return ask_capabilities(self, cancel, error);
}

/* Authentication
 * --------------------------------------------------------------------------------------------------
 */

/* RFC 5034. What is sent here is never logged. A server that asks for more than we have, or proves
 * nothing, is told so with "*"; *@ours_out is why. */
static gboolean
exchange_on(PopBackend *self, SaslExchange *exchange, UtilSecret *initial, PopAnswer *answer,
	    GCancellable *cancel, GError **ours_out, GError **error)
{
	while (answer->status == POP_REPLY_CHALLENGE) {
		g_autoptr(UtilSecret) response = NULL;

		if (!is_silent(self, error))
			return FALSE;
		if (initial != NULL)
			response = g_strdup(initial);
		else if (*ours_out == NULL)
			response = sasl_exchange_step(exchange, answer->text, ours_out);
		initial = NULL;
		if (response == NULL)
			wire_send(self->base.wire, "*", 1);
		else
			wire_send(self->base.wire, response, strlen(response));
		wire_send(self->base.wire, "\r\n", 2);
		answer->done = FALSE;
		if (!wait_for(self, answer, self->config->timeout_ms, cancel, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean
authenticate(PopBackend *self, SaslExchange *exchange, PopAnswer *answer, GCancellable *cancel,
	     GError **error)
{
	const char *mechanism = sasl_exchange_mechanism(exchange);
	g_autoptr(GError) ours = NULL;
	g_autoptr(UtilSecret) initial = sasl_exchange_step(exchange, NULL, &ours);
	gboolean fits;
	PopCommand *command;

	if (ours != NULL) {
		g_propagate_error(error, g_steal_pointer(&ours));
		return FALSE;
	}
	self->base.mechanism = mechanism;
	fits = initial != NULL &&
	       strlen("AUTH  \r\n") + strlen(mechanism) + strlen(initial) <= COMMAND_MAX;
	command = pop_backend_send(self, "AUTH", "AUTH %s%s%s", mechanism, fits ? " " : "",
				   !fits	      ? ""
				   : *initial != '\0' ? initial
						      : "=");
	if (!run(self, command, answer, cancel, error) ||
	    !exchange_on(self, exchange, fits ? NULL : initial, answer, cancel, &ours, error))
		return FALSE;
	if (ours != NULL) {
		g_propagate_error(error, g_steal_pointer(&ours));
		return FALSE;
	}
	return answer->status != POP_REPLY_OK || sasl_exchange_finish(exchange, error);
}

/* A line cannot carry all of what a password may hold. */
static gboolean
is_sendable(const char *text, GError **error)
{
	for (const char *p = text; *p != '\0'; p++)
		if (g_ascii_iscntrl(*p)) {
			g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
					    "the user name or the password holds a control "
					    "character");
			return FALSE;
		}
	return TRUE;
}

/* RFC 1939 7 */
static gboolean
apop(PopBackend *self, const char *secret, PopAnswer *answer, GCancellable *cancel, GError **error)
{
	g_autoptr(UtilSecret) text = g_strconcat(self->timestamp, secret, NULL);
	g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_MD5, text, -1);

	self->base.mechanism = "APOP";
	return run(self, pop_backend_send(self, "APOP", "APOP %s %s", self->config->user, digest),
		   answer, cancel, error);
}

static gboolean
user_pass(PopBackend *self, const char *secret, PopAnswer *answer, GCancellable *cancel,
	  GError **error)
{
	self->base.mechanism = "USER";
	if (!is_sendable(secret, error) ||
	    !run(self, pop_backend_send(self, "USER", "USER %s", self->config->user), answer,
		 cancel, error))
		return FALSE;
	if (answer->status != POP_REPLY_OK)
		return TRUE;
	answer->done = FALSE;
	return is_silent(self, error) &&
	       run(self, pop_backend_send(self, "PASS", "PASS %s", secret), answer, cancel, error);
}

static SaslExchange *
new_exchange(PopBackend *self, const char *secret, GError **error)
{
	const BackendConfig *config = self->config;
	g_autoptr(GPtrArray) offered = g_ptr_array_new_with_free_func(g_free);

	for (guint i = 0; i < self->base.capabilities->len; i++) {
		g_auto(GStrv) words = g_strsplit(self->base.capabilities->pdata[i], " ", -1);

		if (words[0] == NULL || g_ascii_strcasecmp(words[0], "SASL") != 0)
			continue;
		for (guint word = 1; words[word] != NULL; word++)
			if (*words[word] != '\0')
				g_ptr_array_add(offered, g_strdup(words[word]));
	}
	return sasl_exchange_new("pop", config->host, config->port, offered, config->auth,
				 config->auth_token, config->user, secret, self->secured, error);
}

static gboolean
is_about_login(const PopBackend *self, const PopAnswer *answer)
{
	g_autoptr(GError) error = answer_error(self, answer, "APOP", MAILFS_ERROR_LOGIN);

	return error->code == MAILFS_ERROR_LOGIN;
}

/* TRUE: the server answered, with -ERR perhaps. */
static gboolean
try_login(PopBackend *self, const char *secret, PopAnswer *answer, GCancellable *cancel,
	  GError **error)
{
	const BackendConfig *config = self->config;
	gboolean plain = !config->auth_token && secret != NULL &&
			 (config->auth == AUTH_AUTO || config->auth == AUTH_LOGIN);
	gboolean user = plain && (!self->capabilities_known || pop_backend_can(self, "USER"));
	g_autoptr(GError) none = NULL;
	g_autoptr(SaslExchange) exchange = NULL;

	/* In the clear a digest is better than the password, if not by much. Servers greet with a
	 * timestamp whether they keep what a digest can be proved by or not. */
	if (plain && config->auth == AUTH_AUTO && !self->secured && self->timestamp != NULL) {
		if (!apop(self, secret, answer, cancel, error))
			return FALSE;
		if (answer->status == POP_REPLY_OK || !user || !is_about_login(self, answer))
			return TRUE;
		answer->done = FALSE;
		return is_silent(self, error) && user_pass(self, secret, answer, cancel, error);
	}
	if (user && config->auth == AUTH_LOGIN)
		return user_pass(self, secret, answer, cancel, error);
	exchange = new_exchange(self, secret, &none);
	if (exchange != NULL)
		return authenticate(self, exchange, answer, cancel, error);
	if (plain && g_error_matches(none, MAILFS_ERROR, MAILFS_ERROR_LOGIN)) {
		if (user || self->timestamp == NULL)
			return user_pass(self, secret, answer, cancel, error);
		return apop(self, secret, answer, cancel, error);
	}
	g_propagate_error(error, g_steal_pointer(&none));
	return FALSE;
}

/* A token may have run out since it was handed out: a refused one is asked for anew, once. A
 * password is not tried again. */
static gboolean
log_in(PopBackend *self, GCancellable *cancel, GError **error)
{
	const BackendConfig *config = self->config;

	for (gboolean again = FALSE;; again = TRUE) {
		g_autoptr(UtilSecret) secret = NULL;
		g_autoptr(GError) refusal = NULL;
		g_autofree char *what = NULL;
		g_auto(PopAnswer) answer = {0};

		if (config->auth != AUTH_GSSAPI) {
			secret = config->secret.get(config->secret.user, again, cancel, error);
			if (secret == NULL)
				return FALSE;
		}
		if (!is_silent(self, error) || !try_login(self, secret, &answer, cancel, error))
			return FALSE;
		if (answer.status == POP_REPLY_OK)
			return TRUE;
		what = g_strdup_printf("the login of %s", config->user);
		refusal = answer_error(self, &answer, what, MAILFS_ERROR_LOGIN);
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

/* Coming and going
 * ------------------------------------------------------------------------------------------------
 */

gboolean
pop_backend_login(Backend *base, GCancellable *cancel, GError **error)
{
	PopBackend *self = (PopBackend *)base;

	/* Before there is a line, so that nothing at all is sent. */
	if (!is_sendable(self->config->user, error) || !open_stream(self, cancel, error) ||
	    !greet(self, cancel, error))
		return FALSE;
	if (self->config->tls == TLS_STARTTLS ? !start_tls(self, cancel, error)
					      : !ask_capabilities(self, cancel, error))
		return FALSE;
	if (!log_in(self, cancel, error))
		return FALSE;
	/* Some tell all only to those they know (RFC 2449 5). */
	if (self->capabilities_known && !self->pipelining && !ask_capabilities(self, cancel, error))
		return FALSE;
	if (self->keeps_nothing)
		self->news->alert(self->user, "EXPIRE 0: what was read is deleted when a session "
					      "ends as it should; ours do not");
	base->selected = g_strdup(POP_MAILBOX);
	self->logged_in = TRUE;
	self->last_byte = self->quiet_since = g_get_monotonic_time();
	return TRUE;
}

/* Without QUIT the server changes nothing: that is what is wanted where it would delete what was
 * read. */
void
pop_backend_logout(Backend *base, guint timeout_ms)
{
	PopBackend *self = (PopBackend *)base;
	g_auto(PopAnswer) answer = {0};
	g_autoptr(GError) error = NULL;
	PopCommand *command;

	if (base->wire == NULL || self->gone || self->quit_sent || self->keeps_nothing ||
	    self->deleting)
		return;
	command = pop_backend_send(self, "QUIT", "QUIT");
	command->answer = &answer;
	if (!wait_for(self, &answer, timeout_ms, NULL, &error)) {
		g_debug("pop %s: logout: %s", self->config->host, error->message);
		/* The answer lives on this stack; its command may outlive it. */
		for (GList *link = self->commands.head; link != NULL; link = link->next)
			((PopCommand *)link->data)->answer = NULL;
	}
}
