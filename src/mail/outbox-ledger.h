/* SPDX-License-Identifier: MIT */
/* Ledger: what has been sent, kept where a backup of the state does not bring it back: one file,
 * appended to, a line of 24 octets for each step, the newest 30,000 at least. It survives SIGKILL;
 * it need not survive a power failure, which no restored backup comes with. What is damaged in it
 * is passed over. Thread-safe; blocks on local disk. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct Ledger Ledger;

typedef enum {
	LEDGER_NOTHING, /* not in it */
	LEDGER_BEGUN,	/* a server may have it from now on */
	LEDGER_SENT,	/* a server has it */
	LEDGER_BACK,	/* no server has it: it was refused */
} LedgerWord;

/* @directory/sent, 0600. Errors: G_FILE_ERROR. */
Ledger *ledger_open(const char *directory, GError **error);
void ledger_close(Ledger *ledger); /* NULL is fine */

/* What was noted last of this sending. */
LedgerWord ledger_word(Ledger *ledger, guint64 ticket);
/* ledger_word() is not asked any more: frees what it needs. */
void ledger_forget(Ledger *ledger);
/* A disk that is full does not keep mail from being sent: what cannot be noted is not. */
void ledger_note(Ledger *ledger, guint64 ticket, LedgerWord word);

/* Messages sent within the last @seconds (a day at most). *@oldest_out: wall clock, seconds, of the
 * first of the newest @n; 0: there are fewer. */
guint ledger_sent(Ledger *ledger, gint64 seconds, guint n, gint64 *oldest_out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_close)

G_END_DECLS
