/* SPDX-License-Identifier: MIT */
/* .maildir: each mailbox as a Maildir, for mutt, notmuch, mu and other programs that know nothing
 * but files. Its messages are the files of the plain tree (the same inodes) under names that tell
 * their flags: "NAME:2,FRS" in cur. Those without any flag are new and lie in new under their plain
 * NAME, as a delivery leaves them: mutt shows them as new, notmuch and mu as unread. No message is
 * in both. Keywords have no letter.
 *
 * A delivery writes a file in tmp and renames it into new or cur: in the mailbox that is an upload
 * under a local name that becomes NAME.eml. Uploads are found by name here, not listed.
 *
 * A name ends when the flags change. Who has just listed it still finds the message by it for a
 * minute, as an alias; but not for ever, and not under flags it never had: rename() between two
 * names of one inode would do nothing, and a program that looks whether its old names are still
 * there would keep them. */
#pragma once

#include "fs/view.h"

G_BEGIN_DECLS

/* The parts of a NODE_MAILDIR: all directories. */
enum {
	VIEW_MAILDIR_MAILBOX, /* the mailbox, or (serial 0) the top */
	VIEW_MAILDIR_CUR,
	VIEW_MAILDIR_NEW,
	VIEW_MAILDIR_TMP,
};

View *view_maildir_new(const ViewHouse *house);

gboolean view_maildir_is_part(const char *name); /* "cur", "new", "tmp". Pure */
/* The mailbox of that name in the directory of another (its serial; 0: the top). NULL: none. */
Mailbox *view_maildir_child(Account *account, guint32 serial, const char *name);
/* What a file that has, or gets, this name in @part is called in its mailbox, and the flags that
 * the name tells. Any file name will do. Pure. (transfer full) */
char *view_maildir_file_name(guint part, const char *name, guint32 *flags_out);

static inline guint64
view_maildir_ino(guint32 directory, guint part)
{
	return node_to_ino((Node){.kind = NODE_MAILDIR, .part = part, .serial = directory});
}

G_END_DECLS
