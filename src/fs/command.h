/* SPDX-License-Identifier: MIT */
/* What a program writes to .mailfs/control, one command in one write():
 *
 *   flag +\Seen -work            change the flags of these messages (see changes_parse_flags());
 *   INODE INODE …                numbers as stat() tells them, on the second line
 *   allow-delete                 lift the guard against runaway deletes for ten minutes
 *   flush                        send now what the outbox holds back
 *   leave                        send nothing any more: it is kept for the next mount */
#pragma once

#include "fs/tree.h"

G_BEGIN_DECLS

/* @done is called once, on any thread, also before this returns; with the first of the errors, once
 * all that could be done is done. */
void command_run(Tree *tree, Changes *changes, Uploads *uploads, const char *text, ChangeDone done,
		 gpointer user);

G_END_DECLS
