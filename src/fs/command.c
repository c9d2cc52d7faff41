/* SPDX-License-Identifier: MIT */
#include "fs/command.h"

#include <string.h>

#define ALLOWED_US (600 * G_USEC_PER_SEC)

/* A command that becomes several changes. */
typedef struct {
	ChangeDone done;
	gpointer user;

	GMutex lock;   /* guards all below */
	guint pending; /* and one for the command itself */
	GError *error;
} Command;

static Command *
command_begin(ChangeDone done, gpointer user)
{
	Command *command = g_new0(Command, 1);

	command->done = done;
	command->user = user;
	command->pending = 1;
	g_mutex_init(&command->lock);
	return command;
}

static void
on_part(gpointer user, const GError *error)
{
	Command *command = user;
	gboolean last;

	g_mutex_lock(&command->lock);
	if (error != NULL && command->error == NULL)
		command->error = g_error_copy(error);
	last = --command->pending == 0;
	g_mutex_unlock(&command->lock);
	if (!last)
		return;
	command->done(command->user, command->error);
	g_clear_error(&command->error);
	g_mutex_clear(&command->lock);
	g_free(command);
}

static void
on_part_failed(Command *command, const char *why)
{
	g_autoptr(GError) error = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_INVALID, why);

	on_part(command, error);
}

static void
add_part(Command *command)
{
	g_mutex_lock(&command->lock);
	command->pending++;
	g_mutex_unlock(&command->lock);
}

typedef struct {
	guint32 add, remove;
	char *add_keywords, *remove_keywords;
} Edit;

static void
edit_clear(Edit *edit)
{
	g_free(edit->add_keywords);
	g_free(edit->remove_keywords);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Edit, edit_clear)

/* The messages of each serial. NULL: a word is no inode number of a message. */
static GHashTable *
messages_by_serial(const char *const *words)
{
	g_autoptr(GHashTable) sets =
		g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)uidset_free);

	for (; *words != NULL; words++) {
		guint64 ino;
		UidSet *set;
		Node node;

		if (**words == '\0')
			continue;
		if (!g_ascii_string_to_unsigned(*words, 10, 1, G_MAXUINT64, &ino, NULL) ||
		    !node_from_ino(ino, &node) || node.kind != NODE_MESSAGE)
			return NULL;
		set = g_hash_table_lookup(sets, GUINT_TO_POINTER(node.serial));
		if (set == NULL) {
			set = uidset_new();
			g_hash_table_insert(sets, GUINT_TO_POINTER(node.serial), set);
		}
		uidset_add(set, node.uid, node.uid);
	}
	return g_steal_pointer(&sets);
}

static void
run_flag(Tree *tree, Changes *changes, const char *flags, const char *numbers, Command *command)
{
	g_auto(GStrv) words = g_strsplit_set(numbers, " \n", -1);
	g_autoptr(GHashTable) sets = messages_by_serial((const char *const *)words);
	g_auto(Edit) edit = {0};
	g_autoptr(GError) error = NULL;
	GHashTableIter iter;
	gpointer key, value;

	if (sets == NULL) {
		on_part_failed(command, "one of these files is no message");
		return;
	}
	if (!changes_parse_flags(flags, &edit.add, &edit.add_keywords, &edit.remove,
				 &edit.remove_keywords, &error)) {
		on_part(command, error);
		return;
	}
	g_hash_table_iter_init(&iter, sets);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		guint32 serial = GPOINTER_TO_UINT(key);
		Node node;
		Mailbox *mailbox =
			tree_mailbox_of_message(tree, node_ino_of_message(serial, 1), &node);

		add_part(command);
		if (mailbox == NULL)
			on_part_failed(command, "the server has renumbered its messages");
		else
			changes_edit_flags(changes, mailbox, serial, uidset_copy(value), edit.add,
					   edit.add_keywords, edit.remove, edit.remove_keywords,
					   on_part, command);
	}
	on_part(command, NULL);
}

void
command_run(Tree *tree, Changes *changes, Uploads *uploads, const char *text, ChangeDone done,
	    gpointer user)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", 2);
	Command *command = command_begin(done, user);

	if (lines[0] != NULL && strcmp(lines[0], "allow-delete") == 0) {
		changes_allow(changes, ALLOWED_US);
		on_part(command, NULL);
	} else if (lines[0] != NULL && g_str_has_prefix(lines[0], "flag ") && lines[1] != NULL) {
		run_flag(tree, changes, lines[0] + strlen("flag "), lines[1], command);
	} else if (lines[0] != NULL &&
		   (strcmp(lines[0], "flush") == 0 || strcmp(lines[0], "leave") == 0)) {
		uploads_flush(uploads, strcmp(lines[0], "leave") == 0);
		on_part(command, NULL);
	} else {
		on_part_failed(command, "no such command");
	}
}
