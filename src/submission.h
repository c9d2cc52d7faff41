/* SPDX-License-Identifier: MIT */
/* A Submission is the server that takes mail (`smtp=`), as a line to it needs it: address, TLS,
 * password. */
#pragma once

#include "config.h"
#include "proto/backend.h"
#include "secrets.h"

G_BEGIN_DECLS

typedef struct Submission Submission;

/**
 * submission_new:
 * @config: borrowed, outlives the result; with an smtp.host
 * @secrets: borrowed, outlives the result: what logs in where there is no smtp-password-command
 *
 * Runs no command and asks nobody. tls-fingerprint counts where the same host serves the mailboxes:
 * another one has another certificate. Errors: those of tls_context_new().
 */
Submission *submission_new(const Config *config, Secrets *secrets, GError **error);
void submission_free(Submission *submission); /* NULL is fine */

const BackendConfig *submission_config(const Submission *submission);

/* As secrets_forget(). NULL is fine. */
void submission_forget(Submission *submission);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Submission, submission_free)

G_END_DECLS
