/* SPDX-License-Identifier: MIT */
/* Writing: the parts of a mount that change the mailbox, and the directory of their state,
 * $XDG_STATE_HOME/mailfs/<account>/ (0700), which one process owns. */
#pragma once

#include "config.h"
#include "mail/change.h"
#include "mail/outbox.h"
#include "mail/uploads.h"
#include "secrets.h"

G_BEGIN_DECLS

typedef struct Writing Writing;

/* @config, @secrets: borrowed, outlive the result. @news: log: a line for the user, printable; any
 * thread. Errors: G_FILE_ERROR, BUSY (more mounts of the account than anybody has), those of
 * submission_new(). */
Writing *writing_new(const Config *config, Secrets *secrets, Account *account,
		     const UploadsNews *news, gpointer user, GError **error);
Uploads *writing_uploads(Writing *writing);
Changes *writing_changes(Writing *writing);
Outbox *writing_outbox(Writing *writing); /* NULL: nothing can be sent */
void writing_online(Writing *writing);	  /* the server can be reached (again) */
void writing_offline(Writing *writing);	  /* it cannot any more */
void writing_retry(Writing *writing);	  /* SIGHUP: passwords may be others now */

/* Waits until nothing is on its way any more, the server cannot be reached, or @seconds are over.
 * TRUE: nothing is left. */
gboolean writing_settle(Writing *writing, guint seconds);
void writing_stop(Writing *writing); /* before account_stop() */
/* After account_stop() and fs_free(), before account_free(). NULL is fine */
void writing_free(Writing *writing);

G_END_DECLS
