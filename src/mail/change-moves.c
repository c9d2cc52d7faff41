/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "mail/change-private.h"
#include "mail/mailbox-private.h"
#include "mail/name.h"

/* Whoever has that name there: it gives way when the new one is safe. */
static void
note_victim(Change *change)
{
	g_autofree char *listed = NULL;
	MessageView message;

	if (change->name == NULL)
		return;
	mailbox_load(change->target);
	if (!mailbox_find(change->target, change->name, &message))
		return;
	listed = mailbox_name_of(change->target, message.uid);
	if (g_strcmp0(listed, change->name) != 0)
		return;
	change->victim = message.uid;
	change->victim_serial = message.serial;
}

static gboolean
can_take(Mailbox *target, const char *name, GError **error)
{
	if (mailbox_attributes(target) & MAILBOX_NOSELECT) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED,
				    "this directory can hold mailboxes, but no messages");
		return FALSE;
	}
	if (name != NULL && !mailbox_name_is_valid(name, 0)) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
				    "a message's name ends in .eml, and does not begin with a dot");
		return FALSE;
	}
	return TRUE;
}

static void
transfer(Changes *changes, ChangeKind kind, Mailbox *mailbox, guint32 serial, guint32 uid,
	 Mailbox *target, const char *name, ChangeDone done, gpointer user)
{
	g_autoptr(GError) error = NULL;
	Change *change = NULL;

	/* A number is another one there. */
	if (name != NULL && name_parse_uid(name) != 0)
		name = NULL;
	if (changes_may(changes, &error) && changes_can(changes, "other mailboxes", &error) &&
	    can_take(target, name, &error))
		change = change_new(changes, kind, mailbox, serial, uid, target, name, &error);
	if (change == NULL) {
		done(user, error);
		return;
	}
	change->done = done;
	change->user = user;
	note_victim(change);
	change_submit(changes, change, kind == DO_MOVE);
}

void
changes_move(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid, Mailbox *target,
	     const char *name, ChangeDone done, gpointer user)
{
	g_autoptr(GError) error = NULL;

	if (mailbox != target) {
		transfer(changes, DO_MOVE, mailbox, serial, uid, target, name, done, user);
		return;
	}
	if (name != NULL)
		changes_rename(changes, mailbox, serial, uid, name, &error);
	done(user, error);
}

void
changes_copy(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid, Mailbox *target,
	     const char *name, ChangeDone done, gpointer user)
{
	transfer(changes, DO_COPY, mailbox, serial, uid, target, name, done, user);
}

gboolean
changes_rename(Changes *changes, Mailbox *mailbox, guint32 serial, guint32 uid, const char *name,
	       GError **error)
{
	g_autoptr(GError) problem = NULL;
	guint32 victim;

	if (!changes_may(changes, error))
		return FALSE;
	if (mailbox_set_name(mailbox, serial, uid, name, &problem)) {
		mailbox_settle_names(mailbox);
		return TRUE;
	}
	if (!g_error_matches(problem, MAILFS_ERROR, MAILFS_ERROR_EXISTS)) {
		g_propagate_error(error, g_steal_pointer(&problem));
		return FALSE;
	}
	victim = mailbox_take_name(mailbox, serial, uid, name);
	mailbox_settle_names(mailbox);
	if (victim != 0)
		change_remove_victim(changes, mailbox, serial, victim);
	return TRUE;
}
