/* SPDX-License-Identifier: MIT */
/* Expiry: pop-keep=Nd. Once an hour, after a listing, the messages whose bodies have been here for
 * that long are deleted on the POP3 server. Only those go whose body is on disk at that moment,
 * every byte of it proved and made durable: in the archive where there is one (the message stays
 * listed), else in the cache (it goes with the message). A thread of its own, which waits for the
 * server; the other functions do not block. */
#pragma once

#include "mail/account.h"

G_BEGIN_DECLS

typedef struct Expiry Expiry;

typedef struct {
	gint64 keep_s;				      /* how long they stay, seconds */
	guint limit;				      /* deletions a minute at most; 0: any */
	void (*log)(gpointer user, const char *text); /* a line for the user, printable */
	gpointer user;
} ExpiryConfig;

/* @account: a maildrop; borrowed, outlives it. */
Expiry *expiry_new(Account *account, const ExpiryConfig *config);
void expiry_hurry(Expiry *expiry); /* the line is back: look now */
void expiry_stop(Expiry *expiry);  /* begins nothing new. Before account_stop() */
void expiry_free(Expiry *expiry);  /* between account_stop() and account_free(). NULL is fine */

G_END_DECLS
