/* SPDX-License-Identifier: MIT */
/* Flags of files that wait. They go to the server with the bytes. What is set after that, and what
 * a copy shall have that its original has not, is stored when the message is there: the spool keeps
 * what is still to be set. */
#include "mail/uploads-private.h"

#include <string.h>

#define SYSTEM_FLAGS                                                                               \
	(MESSAGE_SEEN | MESSAGE_ANSWERED | MESSAGE_FLAGGED | MESSAGE_DELETED | MESSAGE_DRAFT)

static const struct {
	guint32 flag;
	const char *word;
} words[] = {
	{MESSAGE_SEEN, "\\Seen"},	{MESSAGE_ANSWERED, "\\Answered"},
	{MESSAGE_FLAGGED, "\\Flagged"}, {MESSAGE_DELETED, "\\Deleted"},
	{MESSAGE_DRAFT, "\\Draft"},
};

static guint32
flag_of(const char *word)
{
	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		if (g_ascii_strcasecmp(words[i].word, word) == 0)
			return words[i].flag;
	return 0;
}

/* RFC 3501: atom. */
static gboolean
is_atom(const char *word)
{
	for (const char *p = word; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 127 || strchr("(){%*\"\\]", *p) != NULL)
			return FALSE;
	return *word != '\0';
}

gboolean
upload_set_flags(Upload *upload, const char *text, GError **error)
{
	g_auto(GStrv) list = g_strsplit_set(text, " \t\n", -1);
	g_autoptr(GString) keywords = g_string_new(NULL);
	g_autoptr(GMutexLocker) locker = NULL;
	guint32 flags = 0;

	for (guint i = 0; list[i] != NULL; i++) {
		guint32 flag = flag_of(list[i]);

		flags |= flag;
		if (flag != 0 || *list[i] == '\0')
			continue;
		if (!is_atom(list[i]))
			return upload_fail(error, MAILFS_ERROR_INVALID, "no flag and no keyword");
		g_string_append_printf(keywords, "%s%s", keywords->len > 0 ? " " : "", list[i]);
	}
	locker = g_mutex_locker_new(&upload->uploads->lock);
	if (upload->over)
		return upload_fail(error, MAILFS_ERROR_NOT_FOUND, "the file is no more");
	if (upload->settled)
		return upload_fail(error, MAILFS_ERROR_BUSY, "it has just become a message");
	if (upload->under_way || upload->state == SPOOL_STARTED || upload->source_raw != NULL)
		upload->edits++;
	upload->flags = flags;
	g_free(upload->keywords);
	upload->keywords = g_strdup(keywords->str);
	upload->unsaved = TRUE;
	upload_stir(upload, FALSE);
	return TRUE;
}

char *
upload_flags_text(Upload *upload)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->uploads->lock);
	g_autoptr(GString) text = g_string_new(NULL);

	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		if (upload->flags & words[i].flag)
			g_string_append_printf(text, "%s%s", text->len > 0 ? " " : "",
					       words[i].word);
	if (*upload->keywords != '\0')
		g_string_append_printf(text, "%s%s", text->len > 0 ? " " : "", upload->keywords);
	return g_strdup(text->str);
}

/* --- those of its message --- */

void
upload_note_flags(Upload *upload, guint32 flags, const char *keywords)
{
	char *copy = g_strdup(keywords);

	upload->has_flags = TRUE;
	upload->flags_there = flags & SYSTEM_FLAGS;
	g_free(upload->keywords_there);
	upload->keywords_there = copy;
}

void
upload_note_source_flags(Upload *upload)
{
	g_autoptr(MessageCopy) copy = NULL;
	g_autoptr(GMutexLocker) locker = NULL;
	Mailbox *mailbox;
	guint32 serial;
	guint32 uid;

	if (upload_source(upload, &mailbox, &serial, &uid) && mailbox != NULL)
		copy = mailbox_copy_of(mailbox, serial, uid);
	locker = g_mutex_locker_new(&upload->uploads->lock);
	if (copy != NULL)
		upload_note_flags(upload, copy->info.flags, copy->info.keywords);
}

void
upload_note_listed_flags(Upload *upload, Mailbox *mailbox, guint32 uid)
{
	g_autoptr(MessageCopy) copy = NULL;
	g_autoptr(GMutexLocker) locker = NULL;
	MailboxView view;

	mailbox_view(mailbox, &view);
	copy = mailbox_copy_of(mailbox, view.messages, uid);
	locker = g_mutex_locker_new(&upload->uploads->lock);
	if (copy != NULL)
		upload_note_flags(upload, copy->info.flags, copy->info.keywords);
}

/* A server without UIDPLUS keeps what is deleted, marked; its copy would go with the next EXPUNGE
 * of anybody. */
static gboolean
is_born_deleted(const Upload *upload)
{
	return upload->source_raw != NULL && (upload->flags & MESSAGE_DELETED) == 0 &&
	       (!upload->has_flags || (upload->flags_there & MESSAGE_DELETED) != 0);
}

gboolean
upload_wants_flags(const Upload *upload)
{
	gboolean same = upload->has_flags &&
			upload->flags_there == (upload->flags & SYSTEM_FLAGS) &&
			strcmp(upload->keywords_there, upload->keywords) == 0;

	return (upload->edits != upload->edits_done && !same) || is_born_deleted(upload);
}

gboolean
upload_is_flagged_like(const Upload *upload, const Upload *other)
{
	return upload->sent_validity == other->sent_validity && upload->flags == other->flags &&
	       upload->has_flags == other->has_flags && upload->flags_there == other->flags_there &&
	       strcmp(upload->keywords, other->keywords) == 0 &&
	       g_strcmp0(upload->keywords_there, other->keywords_there) == 0 &&
	       (upload->edits == upload->edits_done) == (other->edits == other->edits_done);
}

/* The words of @text that are not among @others; NULL: none. (transfer full) */
static char *
words_without(const char *text, const char *others)
{
	g_auto(GStrv) list = g_strsplit(text, " ", -1);
	g_auto(GStrv) known = g_strsplit(others != NULL ? others : "", " ", -1);
	g_autoptr(GString) rest = g_string_new(NULL);

	for (guint i = 0; list[i] != NULL; i++) {
		gboolean there = *list[i] == '\0';

		for (guint k = 0; known[k] != NULL && !there; k++)
			there = g_ascii_strcasecmp(list[i], known[k]) == 0;
		if (!there)
			g_string_append_printf(rest, "%s%s", rest->len > 0 ? " " : "", list[i]);
	}
	return rest->len > 0 ? g_strdup(rest->str) : NULL;
}

void
upload_flags_to_store(const Upload *upload, RequestFlags *add, RequestFlags *remove)
{
	guint32 there = upload->has_flags ? upload->flags_there : 0;

	/* Nobody asked for others: a program may have set them since. */
	if (upload->edits == upload->edits_done) {
		remove->flags = MESSAGE_DELETED;
		return;
	}
	add->flags = upload->flags & SYSTEM_FLAGS & ~there;
	remove->flags = SYSTEM_FLAGS & ~upload->flags & (upload->has_flags ? there : SYSTEM_FLAGS);
	add->keywords =
		words_without(upload->keywords, upload->has_flags ? upload->keywords_there : NULL);
	if (upload->keywords_there != NULL)
		remove->keywords = words_without(upload->keywords_there, upload->keywords);
}

void
upload_flags_are_stored(Upload *upload, const Outcome *outcome)
{
	upload->edits_done = outcome->edits;
	upload->unsaved = TRUE;
	upload_note_flags(upload, outcome->flags, outcome->keywords);
}

void
upload_flags_are_in_doubt(Upload *upload, const Outcome *outcome)
{
	const char *there = upload->keywords_there != NULL ? upload->keywords_there : "";
	char *both = g_strdup_printf("%s %s", there, outcome->keywords);

	upload->has_flags = FALSE;
	g_free(upload->keywords_there);
	upload->keywords_there = both;
}

void
upload_give_up_flags(Upload *upload, guint edits)
{
	upload->edits_done = edits;
	upload->unsaved = TRUE;
	if (upload->keywords_there == NULL || !upload->has_flags) {
		upload_note_flags(upload, upload->flags, upload->keywords);
		return;
	}
	upload->flags = upload->flags_there;
	g_free(upload->keywords);
	upload->keywords = g_strdup(upload->keywords_there);
}

void
upload_put_flags(Upload *upload, Mailbox *mailbox)
{
	g_autoptr(UidSet) uids = uidset_new();
	g_autofree char *remove = NULL;
	MailboxView view;
	MessageCopy *there;

	mailbox_view(mailbox, &view);
	if (view.uidvalidity != upload->sent_validity)
		return;
	there = mailbox_copy_of(mailbox, view.messages, upload->sent_uid);
	if (there != NULL)
		remove = words_without(there->info.keywords, upload->keywords);
	message_copy_free(there);
	uidset_add(uids, upload->sent_uid, upload->sent_uid);
	mailbox_put_flags(mailbox, view.messages, uids, upload->flags, upload->keywords,
			  SYSTEM_FLAGS & ~upload->flags, remove, NULL);
}
