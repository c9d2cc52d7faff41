/* SPDX-License-Identifier: MIT */
/* The mailboxes that files wait in. Mailboxes come and go, and get other names; files know theirs
 * by its name. */
#include "mail/uploads-private.h"

#include <string.h>

static int
compare_ids(gconstpointer a, gconstpointer b, gpointer user)
{
	guint32 left = GPOINTER_TO_UINT(a);
	guint32 right = GPOINTER_TO_UINT(b);

	return left < right ? -1 : left > right;
}

Folder *
upload_folder_new(Uploads *uploads, Mailbox *mailbox, const char *raw)
{
	Folder *folder = g_new0(Folder, 1);

	folder->mailbox = mailbox;
	folder->raw = g_strdup(raw);
	folder->local = mailbox != NULL && (mailbox_attributes(mailbox) & MAILBOX_LOCAL) != 0;
	folder->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	folder->by_id = g_tree_new_full(compare_ids, NULL, NULL, NULL);
	folder->agenda = upload_agenda_new(TRUE);
	folder->claimed = g_hash_table_new(NULL, NULL);
	g_ptr_array_add(uploads->folders, folder);
	return folder;
}

void
upload_folder_free(gpointer data)
{
	Folder *folder = data;

	g_hash_table_unref(folder->by_name);
	g_hash_table_unref(folder->claimed);
	g_tree_unref(folder->by_id);
	g_tree_unref(folder->agenda);
	g_free(folder->raw);
	g_free(folder);
}

Folder *
uploads_find_folder(Uploads *uploads, Mailbox *mailbox)
{
	for (guint i = 0; i < uploads->folders->len; i++) {
		Folder *folder = uploads->folders->pdata[i];

		/* What was loaded before the server had told of its mailbox. */
		if (folder->mailbox == NULL && strcmp(folder->raw, mailbox_raw_name(mailbox)) == 0)
			folder->mailbox = mailbox;
		if (folder->mailbox == mailbox)
			return folder;
	}
	return NULL;
}

Folder *
uploads_folder(Uploads *uploads, Mailbox *mailbox)
{
	Folder *folder = uploads_find_folder(uploads, mailbox);

	return folder != NULL ? folder
			      : upload_folder_new(uploads, mailbox, mailbox_raw_name(mailbox));
}

/* Mailboxes come and go, and may have another name than the rows say. @renamed: takes the folders'
 * uploads, whose rows are to be written anew. */
void
uploads_bind(Uploads *uploads, Folder *folder, GPtrArray *renamed)
{
	const char *raw;

	if (folder->mailbox == NULL)
		folder->mailbox = uploads_mailbox_named(uploads, folder->raw);
	raw = folder->mailbox != NULL ? mailbox_raw_name(folder->mailbox) : folder->raw;
	if (strcmp(raw, folder->raw) == 0)
		return;
	g_free(folder->raw);
	folder->raw = g_strdup(raw);
	for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
	     node = g_tree_node_next(node)) {
		Upload *upload = g_tree_node_value(node);

		upload->refs++;
		g_ptr_array_add(renamed, upload);
	}
}
