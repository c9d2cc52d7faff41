/* SPDX-License-Identifier: MIT */
/* The command line of `mailfs send`, which is sendmail's as programs use it (git send-email, mutt,
 * cron, mail): single letters, alone or in a heap, values attached or in the next word. What only
 * makes sense for a server that delivers by itself (-B -C -d -h -L -n -o -O -p -X -U -G -m) is
 * taken and means nothing. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
	char *account; /* -a: SOURCE; NULL: to be found */
	char *sender;  /* -f, -r: as it was given, "" for the null sender; NULL: the account's */
	char *name;    /* -F; NULL */
	/* -N, -R, -V: as SmtpMessage wants them; NULL */
	char *notify, *return_what, *envelope_id;
	GPtrArray *recipients; /* of char *, as they were given */
	GPtrArray *options;    /* of char *, "name=value", for config_load() */
	gboolean from_header;  /* -t: recipients are in the header too */
	gboolean whole;	       /* -i, -oi: a line with a dot alone is not the end */
	gboolean queue;	       /* -q: no message; send what waits */
	gboolean wait;	       /* --wait */
	gboolean verbose;      /* -v */
} SendOptions;

/* @argv: what follows `send`. Errors: MAILFS_ERROR_USAGE. */
gboolean send_options_parse(char **argv, int argc, SendOptions *out, GError **error);
void send_options_clear(SendOptions *options);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SendOptions, send_options_clear)

G_END_DECLS
