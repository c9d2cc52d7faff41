/* SPDX-License-Identifier: MIT */
/* Check: the doctor. Goes the way that a mount goes, one stage after the other, and says how far it
 * came. It logs in once and reads nothing but the list of mailboxes; it knows no cache, so that a
 * running mount of the same account is not disturbed. */
#pragma once

#include <gio/gio.h>

#include "base/message.h"

G_BEGIN_DECLS

/**
 * check_run: mailfs check SOURCE: config, DNS, TCP, TLS, login, what the server can, folders,
 * quota.
 * @options: (nullable): as for config_load()
 * @environment: (nullable) (transfer full): of secrets_take_environment()
 *
 * One line a stage on stdout; ends at the first that fails.
 * Returns: EX_OK, or the exit code that a mount would end with
 */
int check_run(const char *source, GPtrArray *options, char *environment);

/* The pure parts, for tests. */

/* What matters of the words that a server offers after login (upper case). (transfer full) */
char *check_capability_text(const GPtrArray *capabilities, gboolean pop);

/* "good until 2026-12-24 (32 days)". (transfer full) */
char *check_expiry_text(gint64 expires, gint64 now);

/* A mailbox as the mount's tree names it: "Work/Käse". (transfer full) */
char *check_folder_path(const MailboxInfo *info);

G_END_DECLS
