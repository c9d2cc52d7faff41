/* SPDX-License-Identifier: MIT */
/* Secrets: where the password or token comes from: token-command or password-command, the config
 * file, MAILFS_PASSWORD, a prompt on the terminal, in this order. What is kept stays in one locked
 * page that no core dump shows. Never in argv, a log, an error text. */
#pragma once

#include "config.h"

G_BEGIN_DECLS

typedef struct Secrets Secrets;

/* The very first thing main() does: takes MAILFS_PASSWORD out of the environment, its bytes there
 * overwritten, so that neither children nor /proc/PID/environ show it. NULL when it is not set or
 * empty. (transfer full), util_free_secret(). */
char *secrets_take_environment(void);

/* No core dumps, no ptrace by others of this user. Best effort. After the mount: a process that
 * hides from its user also hides its /proc. */
void secrets_harden(void);

/**
 * secrets_new:
 * @config: borrowed, outlives the result; its password moves here
 * @environment: (nullable) (transfer full): of secrets_take_environment()
 * @cancel: (nullable): ends the prompt
 *
 * Runs no command. When nothing else is there, asks on /dev/tty (echo off; Ctrl-C:
 * G_IO_ERROR_CANCELLED): so call it while the terminal is ours, before going to the background.
 * auth=gssapi needs none and never asks. Errors: MAILFS_ERROR_CONFIG: no source of a password and
 * no terminal; the text names the ways.
 */
Secrets *secrets_new(Config *config, char *environment, GCancellable *cancel, GError **error);
/* One whose secret is what @command says (@name: its option's, static), within `timeout`: a token
 * where @config's auth= is for tokens. */
Secrets *secrets_new_for_command(const char *name, const char *command, const Config *config);
void secrets_free(Secrets *secrets); /* wipes; NULL is fine */

/**
 * secrets_secret: for BackendConfig; good while @secrets lives. Its get() is thread-safe; threads
 * that ask while a command runs wait for that run. A password is got once and kept. A token is kept
 * for half a minute (sessions that log in together share it) and got anew when @again. Errors of
 * get(): MAILFS_ERROR_CONFIG (the command failed, said nothing, or took longer than `timeout`;
 * first line of its stderr in the text, made printable), MAILFS_ERROR_LOGIN (@again, and there is
 * no other password), cancelled.
 */
Secret secrets_secret(Secrets *secrets);

/* What a command said is asked for anew at the next login: for SIGHUP, after a password was
 * corrected. Any thread, never
 * blocks; NULL is fine. */
void secrets_forget(Secrets *secrets);

gboolean secrets_is_token(const Secrets *secrets); /* for BackendConfig.auth_token */

/* Asks a question on /dev/tty that is answered by y or n. FALSE too when there is no terminal, or
 * cancelled. */
gboolean secrets_confirm(const char *question, GCancellable *cancel);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Secrets, secrets_free)

G_END_DECLS
