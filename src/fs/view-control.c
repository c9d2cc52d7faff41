/* SPDX-License-Identifier: MIT */
#include "fs/view-control.h"

#include <string.h>

typedef struct {
	View view;
	const TreePage *pages;
	gpointer user;
	guint n;
} Control;

static guint64
ino_of(guint part)
{
	return node_to_ino((Node){.kind = NODE_CONTROL, .part = part});
}

static void
stat_page(Control *self, guint part, struct stat *out)
{
	g_autofree char *text = NULL;

	if (self->pages[part - 1].render == NULL) {
		view_stat_file(self->view.house, ino_of(part), 0, self->view.house->started, out);
		out->st_mode &= ~(mode_t)(self->view.house->uploads != NULL ? 0577 : 0777);
		return;
	}
	text = self->pages[part - 1].render(self->user);
	view_stat_file(self->view.house, ino_of(part), strlen(text), time(NULL), out);
	out->st_mode &= ~(mode_t)0222;
}

static TreeAnswer
control_stat(View *view, const Node *node, struct stat *out)
{
	Control *self = (Control *)view;

	if (node->part > self->n)
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such page");
	if (node->part == 0)
		view_stat_directory(view->house, ino_of(0), view->house->started, 0, out);
	else
		stat_page(self, node->part, out);
	return (TreeAnswer){.result = TREE_OK};
}

static TreeAnswer
control_lookup(View *view, const Node *directory, const char *name, gboolean patient,
	       struct stat *out, gboolean *alias_out)
{
	Control *self = (Control *)view;

	for (guint i = 0; i < self->n; i++)
		if (strcmp(self->pages[i].name, name) == 0) {
			stat_page(self, i + 1, out);
			return (TreeAnswer){.result = TREE_OK};
		}
	return view_error(MAILFS_ERROR_NOT_FOUND, "no such page");
}

static TreeAnswer
control_list(View *view, const Node *directory, guint64 cookie, gboolean patient, TreeEntry entry,
	     gpointer user)
{
	Control *self = (Control *)view;

	for (guint part = cookie - VIEW_FIRST_COOKIE + 2; part <= self->n; part++) {
		struct stat st;

		stat_page(self, part, &st);
		if (!entry(user, self->pages[part - 1].name, &st, VIEW_FIRST_COOKIE + part - 1))
			break;
	}
	return (TreeAnswer){.result = TREE_OK};
}

static TreeAnswer
control_content(View *view, const Node *node, guint32 reader, gboolean patient, TreeContent *out)
{
	Control *self = (Control *)view;
	char *text;

	if (node->part == 0 || node->part > self->n || self->pages[node->part - 1].render == NULL)
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such page");
	text = self->pages[node->part - 1].render(self->user);
	out->size = strlen(text);
	out->bytes = g_bytes_new_take(text, out->size);
	out->fresh = TRUE;
	return (TreeAnswer){.result = TREE_OK};
}

static void
control_free(View *view)
{
	g_free(view);
}

static const ViewOps control_ops = {
	.name = ".mailfs",
	.kind = NODE_CONTROL,
	.lookup = control_lookup,
	.stat = control_stat,
	.list = control_list,
	.content = control_content,
	.free = control_free,
};

View *
view_control_new(const ViewHouse *house, const TreePage *pages, gpointer user)
{
	Control *self = g_new0(Control, 1);

	self->view = (View){&control_ops, house};
	self->pages = pages;
	self->user = user;
	while (pages[self->n].name != NULL)
		self->n++;
	return &self->view;
}
