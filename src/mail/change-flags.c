/* SPDX-License-Identifier: MIT */
/* Flags: only what differs is sent, by +FLAGS and -FLAGS, so that what another client sets
 * meanwhile stays. */
#include <string.h>

#include "mail/change-private.h"

#define TEXT_MOST 8000 /* bytes: what a command can carry */
#define SYSTEM_FLAGS                                                                               \
	(MESSAGE_SEEN | MESSAGE_ANSWERED | MESSAGE_FLAGGED | MESSAGE_DELETED | MESSAGE_DRAFT)

static const struct {
	guint32 flag;
	const char *word;
} flag_words[] = {
	{MESSAGE_SEEN, "\\Seen"},	{MESSAGE_ANSWERED, "\\Answered"},
	{MESSAGE_FLAGGED, "\\Flagged"}, {MESSAGE_DELETED, "\\Deleted"},
	{MESSAGE_DRAFT, "\\Draft"},
};

/* RFC 3501 9, atom; what a server would take for something else is not sent. */
static gboolean
is_keyword(const char *word)
{
	for (const char *at = word; *at != '\0'; at++)
		if ((guchar)*at <= ' ' || (guchar)*at >= 0x7f || strchr("(){%*\"\\]", *at) != NULL)
			return FALSE;
	return *word != '\0';
}

/* 0: it is none. @bare: "seen" will do. */
static guint32
system_flag(const char *word, gboolean bare)
{
	for (guint i = 0; i < G_N_ELEMENTS(flag_words); i++)
		if (g_ascii_strcasecmp(word, flag_words[i].word) == 0 ||
		    (bare && g_ascii_strcasecmp(word, flag_words[i].word + 1) == 0))
			return flag_words[i].flag;
	return 0;
}

static gboolean
take_word(const char *word, gboolean bare, guint32 *flags, GPtrArray *keywords, GError **error)
{
	guint32 flag = system_flag(word, bare);

	*flags |= flag;
	if (flag == 0 && !is_keyword(word)) {
		g_set_error(
			error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			"\"%s\" is no flag: \\Seen, \\Answered, \\Flagged, \\Deleted, \\Draft or "
			"a word of ASCII letters and digits",
			word);
		return FALSE;
	}
	if (flag == 0)
		g_ptr_array_add(keywords, g_strdup(word));
	return TRUE;
}

static char *
join(GPtrArray *words)
{
	g_ptr_array_add(words, NULL);
	return g_strjoinv(" ", (char **)words->pdata);
}

static gboolean
check_length(const char *text, GError **error)
{
	if (strlen(text) <= TEXT_MOST)
		return TRUE;
	g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "that is too much text for flags");
	return FALSE;
}

gboolean
changes_parse_flags(const char *text, guint32 *add, char **add_keywords, guint32 *remove,
		    char **remove_keywords, GError **error)
{
	g_auto(GStrv) words = NULL;
	g_autoptr(GPtrArray) plus = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) minus = g_ptr_array_new_with_free_func(g_free);

	*add = *remove = 0;
	*add_keywords = *remove_keywords = NULL;
	if (!check_length(text, error))
		return FALSE;
	words = g_strsplit(text, " ", -1);
	for (guint i = 0; words[i] != NULL; i++) {
		const char *word = words[i];

		if (*word == '\0')
			continue;
		if (*word != '+' && *word != '-') {
			g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
				    "\"%s\": write +%s or -%s", word, word, word);
			return FALSE;
		}
		if (!take_word(word + 1, TRUE, *word == '+' ? add : remove,
			       *word == '+' ? plus : minus, error))
			return FALSE;
	}
	*add_keywords = join(plus);
	*remove_keywords = join(minus);
	return TRUE;
}

/* --- one STORE for each set of differences
 * ----------------------------------------------------------- */

typedef struct {
	guint left; /* atomic */
	GMutex lock;
	GError *error; /* the first */
	ChangeDone done;
	gpointer user;
} Group;

static void
group_done(gpointer user, const GError *error)
{
	Group *group = user;

	g_mutex_lock(&group->lock);
	if (error != NULL && group->error == NULL)
		group->error = g_error_copy(error);
	g_mutex_unlock(&group->lock);
	if (!g_atomic_int_dec_and_test(&group->left))
		return;
	group->done(group->user, group->error);
	g_clear_error(&group->error);
	g_mutex_clear(&group->lock);
	g_free(group);
}

typedef struct {
	UidSet *uids;
	RequestFlags add, remove;
} Difference;

static void
difference_free(gpointer data)
{
	Difference *difference = data;

	uidset_free(difference->uids);
	g_free(difference->add.keywords);
	g_free(difference->remove.keywords);
	g_free(difference);
}

/* The words of @text that are not among @others. (transfer full) */
static char *
words_without(const char *text, const char *others)
{
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	g_auto(GStrv) known = g_strsplit(others, " ", -1);
	g_autoptr(GPtrArray) rest = g_ptr_array_new_with_free_func(g_free);

	for (guint i = 0; words[i] != NULL; i++) {
		gboolean there = *words[i] == '\0';

		for (guint k = 0; known[k] != NULL && !there; k++)
			there = g_ascii_strcasecmp(words[i], known[k]) == 0;
		if (!there)
			g_ptr_array_add(rest, g_strdup(words[i]));
	}
	return join(rest);
}

/* The words of @text that are among @others. (transfer full) */
static char *
words_within(const char *text, const char *others)
{
	g_autofree char *without = words_without(text, others);

	return words_without(text, without);
}

static const char *
keywords_in(const char *flags_text)
{
	while (*flags_text == '\\') {
		flags_text += strcspn(flags_text, " ");
		flags_text += strspn(flags_text, " ");
	}
	return flags_text;
}

static void
note_difference(GHashTable *differences, guint32 uid, guint32 add, const char *add_keywords,
		guint32 remove, const char *remove_keywords)
{
	g_autofree char *key =
		g_strdup_printf("%x %x %s/%s", add, remove, add_keywords, remove_keywords);
	Difference *difference = g_hash_table_lookup(differences, key);

	if (add == 0 && remove == 0 && *add_keywords == '\0' && *remove_keywords == '\0')
		return;
	if (difference == NULL) {
		difference = g_new0(Difference, 1);
		difference->uids = uidset_new();
		difference->add =
			(RequestFlags){add, *add_keywords != '\0' ? g_strdup(add_keywords) : NULL};
		difference->remove = (RequestFlags){
			remove, *remove_keywords != '\0' ? g_strdup(remove_keywords) : NULL};
		g_hash_table_insert(differences, g_steal_pointer(&key), difference);
	}
	uidset_add(difference->uids, uid, uid);
}

/* What is wanted of each message. */
typedef struct {
	gboolean exactly; /* else: these more, those less */
	guint32 add, remove;
	const char *add_keywords, *remove_keywords;
} Wanted;

/* Those of @uids that are there. */
static GHashTable *
differences_of(Mailbox *mailbox, guint32 serial, const UidSet *uids, const Wanted *wanted,
	       guint *found_out)
{
	GHashTable *differences =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, difference_free);
	guint32 first, last;

	*found_out = 0;
	for (guint i = 0; i < uidset_n_ranges(uids); i++) {
		uidset_range(uids, i, &first, &last);
		for (guint64 uid = first; uid <= last; uid++) {
			g_autofree char *text = NULL;
			g_autofree char *plus = NULL;
			g_autofree char *minus = NULL;
			const char *now;
			MessageView view;

			if (!mailbox_get(mailbox, serial, (guint32)uid, &view))
				continue;
			(*found_out)++;
			text = mailbox_flags_text(mailbox, (guint32)uid);
			now = text != NULL ? keywords_in(text) : "";
			plus = words_without(wanted->add_keywords, now);
			minus = wanted->exactly ? words_without(now, wanted->add_keywords)
						: words_within(wanted->remove_keywords, now);
			note_difference(differences, (guint32)uid, wanted->add & ~view.flags, plus,
					view.flags & SYSTEM_FLAGS &
						(wanted->exactly ? ~wanted->add : wanted->remove),
					minus);
		}
	}
	return differences;
}

static void
submit_all(Changes *changes, Mailbox *mailbox, guint32 serial, GHashTable *differences,
	   ChangeDone done, gpointer user)
{
	Group *group = g_new0(Group, 1);
	GHashTableIter iter;
	gpointer data;
	MailboxView view;

	mailbox_view(mailbox, &view);
	g_mutex_init(&group->lock);
	group->left = g_hash_table_size(differences) + 1;
	group->done = done;
	group->user = user;
	g_hash_table_iter_init(&iter, differences);
	while (g_hash_table_iter_next(&iter, NULL, &data)) {
		Difference *difference = data;
		Change *change = g_new0(Change, 1);

		change->kind = DO_STORE;
		change->mailbox = mailbox;
		change->uidvalidity = view.uidvalidity;
		change->serial = serial;
		change->uids = g_steal_pointer(&difference->uids);
		change->add = difference->add;
		change->remove = difference->remove;
		difference->add.keywords = difference->remove.keywords = NULL;
		change->done = group_done;
		change->user = group;
		change_submit(changes, change, FALSE);
	}
	group_done(group, NULL);
}

static void
want(Changes *changes, Mailbox *mailbox, guint32 serial, const UidSet *uids, const Wanted *wanted,
     ChangeDone done, gpointer user)
{
	g_autoptr(GHashTable) differences = NULL;
	g_autoptr(GError) error = NULL;
	MailboxView view;
	guint found = 0;

	if (changes_may(changes, &error) && changes_can(changes, "flags", &error)) {
		differences = differences_of(mailbox, serial, uids, wanted, &found);
		mailbox_view(mailbox, &view);
		if (view.messages != serial)
			error = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_STALE,
						    "the server has renumbered this mailbox");
		else if (found == 0)
			error = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
						    "the message is no longer in the mailbox");
	}
	if (error != NULL)
		done(user, error);
	else
		submit_all(changes, mailbox, serial, differences, done, user);
}

void
changes_set_flags(Changes *changes, Mailbox *mailbox, guint32 serial, UidSet *taken,
		  const char *text, ChangeDone done, gpointer user)
{
	g_autoptr(UidSet) uids = taken;
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	g_autoptr(GPtrArray) keywords = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *joined = NULL;
	g_autoptr(GError) error = NULL;
	Wanted wanted = {.exactly = TRUE, .remove_keywords = ""};

	check_length(text, &error);
	for (guint i = 0; error == NULL && words[i] != NULL; i++)
		if (*words[i] != '\0')
			take_word(words[i], FALSE, &wanted.add, keywords, &error);
	if (error != NULL) {
		done(user, error);
		return;
	}
	joined = join(keywords);
	wanted.add_keywords = joined;
	want(changes, mailbox, serial, uids, &wanted, done, user);
}

void
changes_edit_flags(Changes *changes, Mailbox *mailbox, guint32 serial, UidSet *taken, guint32 add,
		   const char *add_keywords, guint32 remove, const char *remove_keywords,
		   ChangeDone done, gpointer user)
{
	g_autoptr(UidSet) uids = taken;
	Wanted wanted = {
		.add = add & SYSTEM_FLAGS,
		.remove = remove & SYSTEM_FLAGS & ~add,
		.add_keywords = add_keywords != NULL ? add_keywords : "",
		.remove_keywords = remove_keywords != NULL ? remove_keywords : "",
	};

	want(changes, mailbox, serial, uids, &wanted, done, user);
}
