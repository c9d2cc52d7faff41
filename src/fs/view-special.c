/* SPDX-License-Identifier: MIT */
#include "fs/view-special.h"

#include <string.h>

static const struct {
	const char *name;
	guint attribute;
} specials[] = {
	{"all", MAILBOX_ALL},	{"archive", MAILBOX_ARCHIVE}, {"drafts", MAILBOX_DRAFTS},
	{"junk", MAILBOX_JUNK}, {"sent", MAILBOX_SENT},	      {"trash", MAILBOX_TRASH},
};

/* "../Sent"; NULL when no mailbox has this use. The first one when several claim it. (transfer
 * full) */
static char *
target_of(View *view, guint part)
{
	g_autoptr(GPtrArray) mailboxes = account_mailboxes(view->house->account);

	for (guint i = 0; part >= 1 && part <= G_N_ELEMENTS(specials) && i < mailboxes->len; i++)
		if (mailbox_attributes(mailboxes->pdata[i]) & specials[part - 1].attribute) {
			g_autofree char *path =
				account_path(view->house->account, mailboxes->pdata[i]);

			return g_strconcat("../", path, NULL);
		}
	return NULL;
}

static gboolean
stat_link(View *view, guint part, struct stat *out)
{
	g_autofree char *target = target_of(view, part);

	if (target != NULL)
		view_stat_link(view->house, node_to_ino((Node){.kind = NODE_SPECIAL, .part = part}),
			       strlen(target), out);
	return target != NULL;
}

static TreeAnswer
no_such_use(void)
{
	return view_error(MAILFS_ERROR_NOT_FOUND, "no mailbox has this special use");
}

static TreeAnswer
special_stat(View *view, const Node *node, struct stat *out)
{
	if (node->part == 0)
		view_stat_directory(view->house, node_to_ino(*node), view->house->started, 0, out);
	else if (!stat_link(view, node->part, out))
		return no_such_use();
	return (TreeAnswer){.result = TREE_OK};
}

static TreeAnswer
special_lookup(View *view, const Node *directory, const char *name, gboolean patient,
	       struct stat *out, gboolean *alias_out)
{
	for (guint i = 0; i < G_N_ELEMENTS(specials); i++)
		if (strcmp(specials[i].name, name) == 0 && stat_link(view, i + 1, out))
			return (TreeAnswer){.result = TREE_OK};
	return no_such_use();
}

static TreeAnswer
special_list(View *view, const Node *directory, guint64 cookie, gboolean patient, TreeEntry entry,
	     gpointer user)
{
	for (guint part = cookie - VIEW_FIRST_COOKIE + 2; part <= G_N_ELEMENTS(specials); part++) {
		struct stat st;

		if (stat_link(view, part, &st) &&
		    !entry(user, specials[part - 1].name, &st, VIEW_FIRST_COOKIE + part - 1))
			break;
	}
	return (TreeAnswer){.result = TREE_OK};
}

static TreeAnswer
special_readlink(View *view, const Node *node, char **target_out)
{
	*target_out = target_of(view, node->part);
	return *target_out != NULL ? (TreeAnswer){.result = TREE_OK} : no_such_use();
}

static void
special_free(View *view)
{
	g_free(view);
}

static const ViewOps special_ops = {
	.name = ".special",
	.kind = NODE_SPECIAL,
	.lookup = special_lookup,
	.stat = special_stat,
	.list = special_list,
	.readlink = special_readlink,
	.free = special_free,
};

View *
view_special_new(const ViewHouse *house)
{
	View *view = g_new0(View, 1);

	*view = (View){&special_ops, house};
	return view;
}
