/* SPDX-License-Identifier: MIT */
/* What may be asked for of what changes something: before a byte is sent, and when the mailbox is
 * selected. */
#include "proto/imap-private.h"

#include <string.h>

static gboolean
refuse(GError **error, MailfsError code, const char *what)
{
	g_set_error_literal(error, MAILFS_ERROR, (int)code, what);
	return FALSE;
}

static gboolean
check_name(const char *name, GError **error)
{
	if (name == NULL || *name == '\0')
		return refuse(error, MAILFS_ERROR_INVALID, "a mailbox must have a name");
	if (!imap_is_string(name))
		return refuse(error, MAILFS_ERROR_INVALID,
			      "the mailbox's name holds a line break, which IMAP cannot carry");
	return TRUE;
}

static gboolean
check_flags(const RequestFlags *flags, GError **error)
{
	g_auto(GStrv) words = g_strsplit(flags->keywords != NULL ? flags->keywords : "", " ", -1);

	if (flags->flags & MESSAGE_RECENT)
		return refuse(error, MAILFS_ERROR_INVALID, "\\Recent is the server's to set");
	for (guint i = 0; words[i] != NULL; i++)
		if (*words[i] != '\0' && !imap_is_atom(words[i]))
			return refuse(error, MAILFS_ERROR_INVALID,
				      "a keyword may hold ASCII letters, digits and some signs "
				      "only");
	return TRUE;
}

gboolean
imap_change_check(const ImapBackend *self, const Request *request, GError **error)
{
	gboolean targets = request->kind == REQUEST_RENAME || request->kind == REQUEST_COPY ||
			   request->kind == REQUEST_MOVE;

	if (self->config->read_only)
		return refuse(error, MAILFS_ERROR_READ_ONLY, "this account is read-only here");
	if (!check_name(request->mailbox, error) ||
	    (targets && !check_name(request->target, error)))
		return FALSE;
	for (guint i = 0; request->messages != NULL && i < request->messages->len; i++)
		if (!check_flags(&((AppendMessage *)request->messages->pdata[i])->flags, error))
			return FALSE;
	return check_flags(&request->add, error) && check_flags(&request->remove, error);
}

/* RFC 3501 7.1, PERMANENTFLAGS: what is not named there is forgotten with the session, or refused.
 * "\*" stands for any keyword. */
static gboolean
can_keep(const ImapBackend *self, const RequestFlags *flags, GError **error)
{
	g_autofree char *list = imap_flags_format(flags->flags, flags->keywords);
	g_auto(GStrv) kept = NULL;
	g_auto(GStrv) words = NULL;

	if (list == NULL || self->permanent_flags == NULL)
		return TRUE;
	list[strlen(list) - 1] = '\0';
	words = g_strsplit(list + 1, " ", -1);
	kept = g_strsplit(self->permanent_flags, " ", -1);
	for (guint i = 0; words[i] != NULL; i++) {
		gboolean known = FALSE;

		for (guint k = 0; kept[k] != NULL && !known; k++)
			known = g_ascii_strcasecmp(kept[k], words[i]) == 0 ||
				(*words[i] != '\\' && strcmp(kept[k], "\\*") == 0);
		if (!known) {
			g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED,
				    "%s cannot keep %s in this mailbox", self->config->host,
				    words[i]);
			return FALSE;
		}
	}
	return TRUE;
}

gboolean
imap_change_can_mark(const ImapBackend *self, GError **error)
{
	static const RequestFlags deleted = {.flags = MESSAGE_DELETED};

	return can_keep(self, &deleted, error);
}

gboolean
imap_change_moves(const ImapBackend *self)
{
	return imap_backend_can(self, "MOVE") && !self->no_move;
}

gboolean
imap_change_check_selected(const ImapBackend *self, const Request *request, GError **error)
{
	if (!self->writable && request->kind != REQUEST_COPY) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_READ_ONLY,
			    "%s lets nobody change this mailbox from here", self->config->host);
		return FALSE;
	}
	if (request->kind == REQUEST_STORE)
		return can_keep(self, &request->add, error) &&
		       can_keep(self, &request->remove, error);
	if (request->kind == REQUEST_EXPUNGE ||
	    (request->kind == REQUEST_MOVE && !imap_change_moves(self)))
		return imap_change_can_mark(self, error);
	return TRUE;
}
