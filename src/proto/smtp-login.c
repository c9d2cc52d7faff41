/* SPDX-License-Identifier: MIT */
/* Bringing a line up. Each step knows the answer to the one before, and that nothing stands behind
 * it: an answer that comes before its question ends the line. EHLO is asked anew whenever the line
 * has changed its nature, and nobody falls back to HELO, which knows neither TLS nor logins. */
#include "proto/smtp-private.h"

#include <string.h>

#include "base/util.h"
#include "proto/sasl.h"

/* RFC 4954 4: an initial response only where the command stays within the 512 octets that every
 * server reads. Access tokens are longer. */
enum { MAX_COMMAND = 512 - 2 };

typedef struct {
	SmtpLine *line;
	SmtpReply **refusal_out;
} Opening;

static gboolean
fail(GError **error, MailfsError code, const SmtpLine *line, const char *what)
{
	g_set_error(error, MAILFS_ERROR, (int)code, "%s %s", line->config->host, what);
	return FALSE;
}

/* Passes the server's word on, and returns FALSE. Takes ownership of @reply. */
static gboolean
refuse(const Opening *opening, SmtpReply *reply, SmtpStage stage, MailfsError code,
       const char *what, GError **error)
{
	const SmtpLine *line = opening->line;
	g_autoptr(SmtpReply) owned = reply;

	smtp_line_set_refusal(line, reply, code, what, error);
	if (!line->secured && line->config->tls != TLS_NONE) {
		*reply->text = '\0';
		g_clear_pointer(&reply->enhanced, g_free);
	}
	reply->stage = stage;
	if (opening->refusal_out != NULL)
		*opening->refusal_out = g_steal_pointer(&owned);
	return FALSE;
}

static gboolean
open_stream(SmtpLine *line, GError **error)
{
	line->wire = backend_open_wire(line->config, line->cancel, error);
	line->secured = line->wire != NULL && line->config->tls == TLS_IMPLICIT;
	return line->wire != NULL;
}

static gboolean
greet(const Opening *opening, GError **error)
{
	SmtpLine *line = opening->line;
	g_autoptr(SmtpReply) reply = smtp_line_receive(line, line->config->timeout_ms, error);
	MailfsError code = MAILFS_ERROR_PROTOCOL;

	if (reply == NULL)
		return FALSE;
	if (reply->code / 100 == 2)
		return TRUE;
	if (reply->code / 100 == 4)
		code = MAILFS_ERROR_LIMIT;
	else if (reply->code / 100 == 5)
		code = MAILFS_ERROR_DENIED;
	return refuse(opening, g_steal_pointer(&reply), SMTP_STAGE_CONNECT, code, "the connection",
		      error);
}

static gboolean
hello(const Opening *opening, GError **error)
{
	SmtpReply *reply = smtp_line_ehlo(opening->line, error);
	MailfsError code = MAILFS_ERROR_PROTOCOL;

	if (reply == NULL)
		return FALSE;
	if (reply->code / 100 == 2) {
		smtp_reply_free(reply);
		return TRUE;
	}
	if (reply->code / 100 == 4)
		code = MAILFS_ERROR_LIMIT;
	return refuse(opening, reply, SMTP_STAGE_CONNECT, code,
		      "EHLO, without which there is neither TLS nor a login", error);
}

static SmtpReply *
command(SmtpLine *line, const char *text, GError **error)
{
	if (!smtp_line_is_quiet(line, NULL, error))
		return NULL;
	smtp_line_send(line, "%s", text);
	return smtp_line_receive(line, line->config->timeout_ms, error);
}

/* RFC 3207. All that was said before is forgotten: anybody on the way may have said it. */
static gboolean
start_tls(const Opening *opening, GError **error)
{
	SmtpLine *line = opening->line;
	const BackendConfig *config = line->config;
	g_autoptr(SmtpReply) reply = NULL;

	if (!line->starttls)
		return fail(error, MAILFS_ERROR_TLS, line,
			    "does not offer STARTTLS (or somebody on the way hides it); try "
			    "smtps://");
	reply = command(line, "STARTTLS", error);
	if (reply == NULL)
		return FALSE;
	if (reply->code / 100 != 2)
		return refuse(opening, g_steal_pointer(&reply), SMTP_STAGE_CONNECT,
			      MAILFS_ERROR_TLS,
			      "STARTTLS (or somebody on the way did; try smtps://)", error);
	if (!wire_start_tls(line->wire, config->tls_context, config->host, config->port,
			    config->timeout_ms, line->cancel, error))
		return FALSE;
	line->secured = TRUE;
	line->starttls = FALSE;
	return hello(opening, error);
}

/* Authentication
 * -------------------------------------------------------------------------------------------------------
 */

typedef struct {
	SaslExchange *exchange;
	char *initial;	 /* not sent yet */
	GError *failure; /* ours: the exchange was cancelled with "*" */
} Login;

static void
login_clear(Login *login)
{
	util_free_secret(login->initial);
	g_clear_error(&login->failure);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Login, login_clear)

/* AUTH, with the initial response where there is one and room for it. */
static SmtpReply *
begin_login(SmtpLine *line, Login *login, GError **error)
{
	g_autoptr(UtilSecret) text = NULL;
	const char *word = login->initial;

	if (word == NULL)
		word = "";
	else if (*word == '\0')
		word = "=";
	text = g_strdup_printf("AUTH %s%s%s", line->mechanism, *word != '\0' ? " " : "", word);
	if (strlen(text) > MAX_COMMAND) {
		g_clear_pointer(&text, util_free_secret);
		text = g_strdup_printf("AUTH %s", line->mechanism);
	} else {
		g_clear_pointer(&login->initial, util_free_secret);
	}
	return command(line, text, error);
}

static SmtpReply *
answer_challenge(SmtpLine *line, Login *login, const char *challenge, GError **error)
{
	g_autoptr(UtilSecret) answer = g_steal_pointer(&login->initial);

	if (answer == NULL)
		answer = sasl_exchange_step(login->exchange, challenge, &login->failure);
	return command(line, answer != NULL ? answer : "*", error);
}

/* RFC 4954. (transfer full): the last answer; NULL: error. */
static SmtpReply *
authenticate(SmtpLine *line, SaslExchange *exchange, GError **error)
{
	g_auto(Login) login = {.exchange = exchange};
	g_autoptr(SmtpReply) reply = NULL;

	line->mechanism = sasl_exchange_mechanism(exchange);
	login.initial = sasl_exchange_step(exchange, NULL, &login.failure);
	if (login.failure == NULL)
		reply = begin_login(line, &login, error);
	while (login.failure == NULL && reply != NULL && reply->code == 334) {
		g_autoptr(SmtpReply) challenge = g_steal_pointer(&reply);

		reply = answer_challenge(line, &login, challenge->text, error);
	}
	if (login.failure != NULL) {
		g_clear_error(error);
		g_propagate_error(error, g_steal_pointer(&login.failure));
		return NULL;
	}
	if (reply == NULL || (reply->code / 100 == 2 && !sasl_exchange_finish(exchange, error)))
		return NULL;
	return g_steal_pointer(&reply);
}

/* RFC 4954 6. */
static MailfsError
login_error(const SmtpReply *reply)
{
	if (reply->code / 100 == 4 && reply->code != 432)
		return MAILFS_ERROR_LIMIT;
	if (reply->code / 100 < 4)
		return MAILFS_ERROR_PROTOCOL;
	return MAILFS_ERROR_LOGIN;
}

static SmtpReply *
try_login(SmtpLine *line, const char *secret, GError **error)
{
	const BackendConfig *config = line->config;
	g_autoptr(SaslExchange) exchange = sasl_exchange_new(
		"smtp", config->host, config->port, line->mechanisms, config->auth,
		config->auth_token, config->user, secret, line->secured, error);

	return exchange != NULL ? authenticate(line, exchange, error) : NULL;
}

/* A token may have run out since it was handed out: a refused one is asked for anew, once. A
 * password is not tried again. */
static gboolean
log_in(const Opening *opening, GError **error)
{
	SmtpLine *line = opening->line;
	const BackendConfig *config = line->config;

	for (gboolean again = FALSE;; again = TRUE) {
		g_autoptr(UtilSecret) secret = NULL;
		g_autoptr(SmtpReply) reply = NULL;
		g_autofree char *what = g_strdup_printf("the login of %s", config->user);
		MailfsError code;

		if (config->auth != AUTH_GSSAPI) {
			secret =
				config->secret.get(config->secret.user, again, line->cancel, error);
			if (secret == NULL)
				return FALSE;
		}
		reply = try_login(line, secret, error);
		if (reply == NULL)
			return FALSE;
		if (reply->code / 100 == 2)
			return TRUE;
		code = login_error(reply);
		if (config->auth_token && code == MAILFS_ERROR_LOGIN) {
			if (!again)
				continue;
			code = MAILFS_ERROR_TOKEN;
		}
		return refuse(opening, g_steal_pointer(&reply), SMTP_STAGE_LOGIN, code, what,
			      error);
	}
}

/* What is offered may be more to those who are known. A server that does not want to say it twice
 * has said it. */
static gboolean
hello_again(SmtpLine *line, GError **error)
{
	SmtpReply *reply = smtp_line_ehlo(line, error);
	int code = reply != NULL ? reply->code : 0;

	if (code == 421)
		smtp_line_set_refusal(line, reply, MAILFS_ERROR_LIMIT, "to go on", error);
	smtp_reply_free(reply);
	return code != 0 && code != 421;
}

static gboolean
bring_up(const Opening *opening, GError **error)
{
	SmtpLine *line = opening->line;
	const BackendConfig *config = line->config;

	if (!open_stream(line, error) || !greet(opening, error) || !hello(opening, error))
		return FALSE;
	if (config->tls == TLS_STARTTLS && !start_tls(opening, error))
		return FALSE;
	if (config->user == NULL)
		return TRUE;
	return log_in(opening, error) && hello_again(line, error);
}

SmtpLine *
smtp_line_open(const BackendConfig *config, GCancellable *cancel, SmtpReply **refusal_out,
	       GError **error)
{
	g_autoptr(SmtpLine) line = g_new0(SmtpLine, 1);
	Opening opening = {line, refusal_out};
	gboolean ok;

	if (refusal_out != NULL)
		*refusal_out = NULL;
	line->config = config;
	line->parser = smtp_parser_new();
	line->mechanisms = g_ptr_array_new_with_free_func(g_free);
	line->cancel_fd = -1;
	for (const char *p = config->user != NULL ? config->user : ""; *p != '\0'; p++)
		if (g_ascii_iscntrl(*p)) {
			g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
					    "the user name holds a control character");
			return NULL;
		}
	smtp_line_begin(line, cancel);
	ok = bring_up(&opening, error);
	smtp_line_end(line);
	return ok ? g_steal_pointer(&line) : NULL;
}
