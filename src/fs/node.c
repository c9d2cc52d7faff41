/* SPDX-License-Identifier: MIT */
#include "fs/node.h"

#define KIND_SHIFT   59
#define PART_SHIFT   52
#define SERIAL_SHIFT 32

/* On the wire of the kernel: mailboxes and messages share 0 and differ by the UID. */
enum { KIND_MAIL, KIND_VIEWS };

G_STATIC_ASSERT(NODE_MAILBOX < NODE_MESSAGE && NODE_MESSAGE < NODE_CONTROL &&
		NODE_UPLOAD - NODE_MESSAGE < 16);

guint64
node_to_ino(Node node)
{
	guint64 kind =
		node.kind > NODE_MESSAGE ? KIND_VIEWS + (node.kind - NODE_CONTROL) : KIND_MAIL;

	if (node.kind == NODE_MAILBOX && node.serial == NODE_ROOT_SERIAL)
		return NODE_ROOT_INO;
	return kind << KIND_SHIFT | (guint64)(node.part & 0x7f) << PART_SHIFT |
	       (guint64)(node.serial & NODE_SERIAL_MAX) << SERIAL_SHIFT | node.uid;
}

gboolean
node_from_ino(guint64 ino, Node *out)
{
	*out = (Node){
		.part = ino >> PART_SHIFT & 0x7f,
		.serial = ino >> SERIAL_SHIFT & NODE_SERIAL_MAX,
		.uid = (guint32)ino,
	};
	if (ino == NODE_ROOT_INO) {
		*out = (Node){.kind = NODE_MAILBOX, .serial = NODE_ROOT_SERIAL};
		return TRUE;
	}
	if (ino >> KIND_SHIFT == KIND_MAIL) {
		out->kind = out->uid == 0 ? NODE_MAILBOX : NODE_MESSAGE;
		return out->part == 0 && out->serial > NODE_ROOT_SERIAL;
	}
	out->kind = (NodeKind)(NODE_CONTROL + (ino >> KIND_SHIFT) - KIND_VIEWS);
	return out->kind <= NODE_UPLOAD;
}
