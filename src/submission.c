/* SPDX-License-Identifier: MIT */
#include "submission.h"

struct Submission {
	Secrets *secrets; /* of its own; NULL: those of the mailboxes */
	TlsContext *tls_context;
	BackendConfig config;
};

Submission *
submission_new(const Config *config, Secrets *secrets, GError **error)
{
	g_autoptr(Submission) submission = g_new0(Submission, 1);
	const ConfigServer *server = &config->smtp;
	gboolean same_host = g_ascii_strcasecmp(server->host, config->server.host) == 0;

	if (server->tls != TLS_NONE) {
		submission->tls_context = tls_context_new(
			config->tls_ca, same_host ? config->tls_fingerprint : NULL, error);
		if (submission->tls_context == NULL)
			return NULL;
	}
	if (config->smtp_password_command != NULL)
		secrets = submission->secrets = secrets_new_for_command(
			"smtp-password-command", config->smtp_password_command, config);
	submission->config = (BackendConfig){
		.host = server->host,
		.port = server->port,
		.tls = server->tls,
		.tls_context = submission->tls_context,
		.insecure_plaintext = config->insecure_plaintext,
		.user = server->user,
		.auth = config->auth,
		.auth_token = secrets_is_token(secrets),
		.secret = secrets_secret(secrets),
		.timeout_ms = config->timeout * 1000,
	};
	return g_steal_pointer(&submission);
}

void
submission_free(Submission *submission)
{
	if (submission == NULL)
		return;
	secrets_free(submission->secrets);
	tls_context_free(submission->tls_context);
	g_free(submission);
}

const BackendConfig *
submission_config(const Submission *submission)
{
	return &submission->config;
}

void
submission_forget(Submission *submission)
{
	if (submission != NULL)
		secrets_forget(submission->secrets);
}
