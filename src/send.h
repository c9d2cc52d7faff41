/* SPDX-License-Identifier: MIT */
/* Send: the verb that is sendmail. The message comes from standard input and goes into the Outbox
 * of an account: into the directory where the account is mounted, else into the same spool, under
 * the same locks, from where it is sent at once. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* @argv: what follows `send`; @environment: (nullable) (transfer full): of
 * secrets_take_environment(). Returns a sysexits code: EX_OK when it is in the Outbox, on disk;
 * with
 * --wait, or where the account is not mounted, what became of the first try. */
int send_run(char **argv, int argc, char *environment);

G_END_DECLS
