/* SPDX-License-Identifier: MIT */
/* `mailfs check`'s look at the server that takes mail. */
#pragma once

#include "config.h"
#include "proto/smtp.h"
#include "secrets.h"

G_BEGIN_DECLS

/* Logs in there and out again. Blocks. (transfer full): what was found, in words. Errors: those of
 * smtp_line_open(). */
char *check_smtp_server(const Config *config, Secrets *secrets, GError **error);

/* "messages of up to 50 MiB, 8-bit text; not: addresses beyond ASCII". (transfer full) */
char *check_smtp_limits_text(const SmtpLimits *limits);

G_END_DECLS
