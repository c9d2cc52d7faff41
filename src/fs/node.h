/* SPDX-License-Identifier: MIT */
/* An inode number is an address: no table, no reference counts, no forget. 63 bits, from the top:
 * kind (4), part (7), serial (20), UID (32). A mailbox directory is (serial, UID 0), its messages
 * (serial of this UIDVALIDITY, UID): they rise with the UID, so that programs that sort by inode
 * number read in UID order. The root is 1, as the kernel wants it. Pure functions. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define NODE_ROOT_INO	 1u
#define NODE_ROOT_SERIAL 1u
#define NODE_SERIAL_MAX	 ((1u << 20) - 1)

typedef enum {
	NODE_MAILBOX, /* directory: serial */
	NODE_MESSAGE, /* file: serial, uid */
	NODE_CONTROL, /* .mailfs (part 0) and its files (part 1 …) */
	NODE_SPECIAL, /* .special (part 0) and its links (part 1 …) */
	NODE_TEXT, /* .text: directories (serial of the mailbox's directory), files (serial, uid) */
	NODE_PARTS,   /* .parts: likewise, and what lies below a message (part) */
	NODE_MAILDIR, /* .maildir: directories (serial of the mailbox's directory; part 1 … cur,
			 new, tmp); the files are NODE_MESSAGEs */
	NODE_SEARCH,  /* .search: directories (serial of the mailbox's directory; uid: number of the
			 query), links (part 1; serial, uid) */
	NODE_UPLOAD,  /* a file that the server does not have yet (uid: its number in the spool;
			 the same wherever it is moved), or (part 1) an editor's lock link */
} NodeKind;

typedef struct {
	NodeKind kind;
	guint part;
	guint32 serial;
	guint32 uid;
} Node;

guint64 node_to_ino(Node node);
gboolean node_from_ino(guint64 ino, Node *out); /* FALSE: no number of ours */

static inline guint64
node_ino_of_directory(guint32 serial)
{
	return node_to_ino((Node){.kind = NODE_MAILBOX, .serial = serial});
}

static inline guint64
node_ino_of_message(guint32 serial, guint32 uid)
{
	return node_to_ino((Node){.kind = NODE_MESSAGE, .serial = serial, .uid = uid});
}

static inline guint64
node_ino_of_upload(guint32 id)
{
	return node_to_ino((Node){.kind = NODE_UPLOAD, .uid = id});
}

G_END_DECLS
