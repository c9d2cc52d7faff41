/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "fs/tree-private.h"
#include "mail/mime.h"

/* --- extended attributes
 * ---------------------------------------------------------------------------------- */

#define XATTR_FLAGS	  "user.mailfs.flags"
#define XATTR_STATUS	  "user.mailfs.status"
#define XATTR_UID	  "user.mailfs.uid"
#define XATTR_UIDVALIDITY "user.mailfs.uidvalidity"
#define XATTR_SUBJECT	  "user.mail.subject"
#define XATTR_FROM	  "user.mail.from"
#define XATTR_TO	  "user.mail.to"
#define XATTR_DATE	  "user.mail.date"
#define XATTR_MESSAGE_ID  "user.mail.message-id"
#define XATTR_AUTH	  "user.mail.auth"

static gboolean
is_xattr(const char *name)
{
	static const char *const names[] = {
		XATTR_FLAGS, XATTR_UID,	 XATTR_UIDVALIDITY, XATTR_SUBJECT, XATTR_FROM,
		XATTR_TO,    XATTR_DATE, XATTR_MESSAGE_ID,  XATTR_AUTH,	   NULL};

	return g_strv_contains(names, name);
}

static TreeXattr
upload_xattr(Upload *upload, const char *name, char **value_out)
{
	g_autofree char *flags = upload_flags_text(upload);

	if (strcmp(name, XATTR_STATUS) == 0)
		*value_out = upload_status(upload);
	else if (strcmp(name, XATTR_FLAGS) == 0 && *flags != '\0')
		*value_out = g_steal_pointer(&flags);
	return *value_out != NULL ? TREE_XATTR_VALUE : TREE_XATTR_NONE;
}

const char *
tree_xattr_listed(Tree *tree, guint64 ino)
{
	Upload *upload = tree_upload(tree, ino);
	Node node;
	Mailbox *mailbox = tree_mailbox_of_message(tree, tree_current(tree, ino), &node);
	MessageView message;

	if (upload != NULL) {
		g_autofree char *flags = upload_flags_text(upload);

		upload_unref(upload);
		return *flags != '\0' ? XATTR_FLAGS : NULL;
	}
	if (mailbox == NULL || !mailbox_get(mailbox, node.serial, node.uid, &message))
		return NULL;
	return message.flags != 0 || message.has_keywords ? XATTR_FLAGS : NULL;
}

char *
tree_xattr_from_header(Tree *tree, const char *name, const char *header, gsize len)
{
	g_autofree char *value = NULL;

	if (strcmp(name, XATTR_AUTH) == 0)
		return tree->authserv_id != NULL ? mime_auth_results(header, len, tree->authserv_id)
						 : NULL;
	value = mime_header_field(header, len, name + strlen("user.mail."));
	if (value == NULL)
		return NULL;
	if (strcmp(name, XATTR_FROM) == 0 || strcmp(name, XATTR_TO) == 0)
		return mime_decode_addresses(value, strlen(value));
	if (strcmp(name, XATTR_DATE) == 0)
		return mime_decode_date(value, strlen(value));
	return mime_decode_header(value, strlen(value));
}

TreeXattr
tree_xattr(Tree *tree, guint64 ino, const char *name, char **value_out)
{
	Upload *upload = tree_upload(tree, ino);
	Node node = {.kind = NODE_MAILBOX};
	Mailbox *mailbox = tree_mailbox_of_message(tree, tree_current(tree, ino), &node);
	MessageView message;
	MailboxView view;

	*value_out = NULL;
	if (upload != NULL) {
		TreeXattr found = upload_xattr(upload, name, value_out);

		upload_unref(upload);
		return found;
	}
	if (node.kind != NODE_MESSAGE || !is_xattr(name))
		return TREE_XATTR_NONE;
	if (mailbox == NULL || !mailbox_get(mailbox, node.serial, node.uid, &message))
		return TREE_XATTR_GONE;
	if (strcmp(name, XATTR_FLAGS) == 0) {
		*value_out = mailbox_flags_text(mailbox, node.uid);
		/* It left meanwhile; one without flags has "". */
		if (*value_out == NULL)
			return TREE_XATTR_GONE;
	} else if (strcmp(name, XATTR_UID) == 0) {
		*value_out = g_strdup_printf("%u", node.uid);
	} else if (strcmp(name, XATTR_UIDVALIDITY) == 0) {
		mailbox_view(mailbox, &view);
		*value_out = g_strdup_printf("%u", view.uidvalidity);
	} else if (strcmp(name, XATTR_AUTH) == 0 && tree->authserv_id == NULL) {
		return TREE_XATTR_NONE;
	} else if (strcmp(name, XATTR_TO) != 0 && strcmp(name, XATTR_AUTH) != 0) {
		g_autoptr(GBytes) stored = mailbox_stored_header(mailbox, node.serial, node.uid);

		if (stored == NULL)
			return TREE_XATTR_NEEDS_HEADER;
		*value_out = tree_xattr_from_header(tree, name, g_bytes_get_data(stored, NULL),
						    g_bytes_get_size(stored));
	} else {
		return TREE_XATTR_NEEDS_HEADER;
	}
	return *value_out != NULL ? TREE_XATTR_VALUE : TREE_XATTR_NONE;
}
