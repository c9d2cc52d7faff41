/* SPDX-License-Identifier: MIT */
/* Flags of files that wait. */
#include "mail/uploads-private.h"

#include <string.h>

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
	g_mutex_lock(&upload->uploads->lock);
	upload->flags = flags;
	g_free(upload->keywords);
	upload->keywords = g_strdup(keywords->str);
	upload->unsaved = TRUE;
	uploads_stir(upload->uploads, FALSE);
	g_mutex_unlock(&upload->uploads->lock);
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
