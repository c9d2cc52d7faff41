/* SPDX-License-Identifier: MIT */
/* ChangeJournal: the moves and removals that the server has not confirmed, in one file of lines,
 * each with a checksum. A record is in the kernel's hands when change_journal_add() returns, which
 * SIGKILL cannot undo; a power failure may, until change_journal_sync(). The file is emptied when
 * all in it is done, and written anew when it grows long before that. Thread-safe; blocks on local
 * disk only. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ChangeJournal ChangeJournal;

/* Texts are owned by a record that was read, borrowed in one that is added; "" none, never NULL. */
typedef struct {
	guint64 id; /* from change_journal_add() */
	char kind;  /* 'M' move, 'X' expunge */
	guint32 uidvalidity, uid;
	guint32 target_validity, target_next; /* of the target when it was asked; 0: not known */
	guint64 size;
	char *source, *target; /* raw names */
	char *name;	       /* file name in the target */
	char *message_id;
} ChangeRecord;

/* @records_out: what is not done, the oldest first (transfer full). What cannot be read is left
 * out. Errors: G_FILE_ERROR. */
ChangeJournal *change_journal_open(const char *directory, GPtrArray **records_out, GError **error);
void change_journal_close(ChangeJournal *journal); /* NULL is fine */
/* Its id, 0 when it could not be written: then nothing may rely on it. */
guint64 change_journal_add(ChangeJournal *journal, const ChangeRecord *record);
void change_journal_done(ChangeJournal *journal, guint64 id);
void change_journal_sync(ChangeJournal *journal);

G_END_DECLS
