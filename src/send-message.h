/* SPDX-License-Identifier: MIT */
/* From standard input to a message that can be put into an Outbox. */
#pragma once

#include <glib.h>
#include <stdio.h>

#include "mail/compose.h"
#include "send-options.h"

G_BEGIN_DECLS

/* A file without a name (read and write; owned by the caller), or -1: @in up to its end, or to a
 * line with a dot alone unless @whole; without the line that begins an mbox. What does not begin
 * with a header gets one. Errors: INVALID: nothing came; G_FILE_ERROR. */
int send_message_read(FILE *in, gboolean whole, GError **error);

/* The address in its From, NULL: none can be read. (transfer full) */
char *send_message_author(int fd);

/* The file to be sent: complete, with its envelope in front. @address: the account's own, which is
 * also meant by recipients and senders without a domain: that is how the mail of cron finds its
 * user. Errors: those of compose_read(). */
int send_message_compose(int fd, const SendOptions *options, const char *address, GError **error);

G_END_DECLS
