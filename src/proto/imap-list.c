/* SPDX-License-Identifier: MIT */
/* LIST, LSUB, NAMESPACE and QUOTA. A mailbox may be told in several responses (LIST, LSUB, STATUS,
 * once more for another namespace), so all are gathered and told at the end. */
#include "proto/imap-private.h"

#include <string.h>

#define MAX_NAMESPACES 32

enum { STEP_EXTENDED, STEP_PLAIN, STEP_NAMESPACE, STEP_LSUB };

static const struct {
	const char *name;
	guint bit;
} attribute_names[] = {
	{"\\Noselect", MAILBOX_NOSELECT},
	{"\\NonExistent", MAILBOX_NOSELECT},
	{"\\NoInferiors", MAILBOX_NOINFERIORS},
	{"\\Subscribed", MAILBOX_SUBSCRIBED},
	{"\\All", MAILBOX_ALL},
	{"\\AllMail", MAILBOX_ALL},
	{"\\Archive", MAILBOX_ARCHIVE},
	{"\\Drafts", MAILBOX_DRAFTS},
	{"\\Flagged", MAILBOX_FLAGGED},
	{"\\Starred", MAILBOX_FLAGGED},
	{"\\Junk", MAILBOX_JUNK},
	{"\\Spam", MAILBOX_JUNK},
	{"\\Sent", MAILBOX_SENT},
	{"\\Trash", MAILBOX_TRASH},
};

typedef struct {
	char *name;
	char separator;
	guint attributes;
	guint32 messages;
} Entry;

struct ImapListing {
	GPtrArray *entries;	/* of Entry, in the server's order */
	GHashTable *names;	/* name -> Entry, both borrowed */
	GHashTable *subscribed; /* of names, by LSUB */
};

typedef ImapListing Listing;

static void
entry_free(gpointer data)
{
	Entry *entry = data;

	g_free(entry->name);
	g_free(entry);
}

/* Namespaces
 * ------------------------------------------------------------------------------------------------------
 */

void
imap_namespace_free(gpointer data)
{
	ImapNamespace *namespace = data;

	g_free(namespace->prefix);
	g_free(namespace);
}

gboolean
imap_token_is_text(const ImapToken *token)
{
	return (token->type == IMAP_TOKEN_ATOM || token->type == IMAP_TOKEN_QUOTED ||
		token->type == IMAP_TOKEN_LITERAL) &&
	       strlen(token->text) == token->size;
}

/* NAMESPACE (("" "/")) (("Other/" "/")) NIL: personal, other users', shared. */
void
imap_backend_take_namespaces(ImapBackend *self, const ImapResponse *response)
{
	guint i = 1;

	if (self->namespaces != NULL)
		g_ptr_array_unref(self->namespaces);
	self->namespaces = g_ptr_array_new_with_free_func(imap_namespace_free);
	for (guint kind = 0; kind < 3 && i < response->n_tokens; kind++) {
		guint end = imap_response_skip(response, i);

		for (guint j = i + 1; j + 2 < end && response->tokens[j].type == IMAP_TOKEN_OPEN;
		     j = imap_response_skip(response, j)) {
			ImapNamespace *namespace;

			if (!imap_token_is_text(&response->tokens[j + 1]) ||
			    self->namespaces->len == MAX_NAMESPACES)
				continue;
			namespace = g_new0(ImapNamespace, 1);
			namespace->prefix = g_strdup(response->tokens[j + 1].text);
			namespace->personal = kind == 0;
			g_ptr_array_add(self->namespaces, namespace);
		}
		i = end;
	}
}

static gboolean
lies_under(const char *name, const char *prefix)
{
	gsize len = strlen(prefix);

	/* INBOX is the one name that has no case. */
	if (g_ascii_strncasecmp(prefix, "INBOX", 5) == 0 &&
	    g_ascii_strncasecmp(name, "INBOX", 5) == 0)
		return strlen(name) > len && strncmp(name + 5, prefix + 5, len - 5) == 0;
	return strncmp(name, prefix, len) == 0 && (name[len] != '\0' || len == 0);
}

/* "Other Users" of the namespace "Other Users/" belongs to it too. */
static gboolean
is_root_of(const char *name, const ImapNamespace *namespace)
{
	gsize len = strlen(name);

	return !namespace->personal && strlen(namespace->prefix) == len + 1 &&
	       strncmp(name, namespace->prefix, len) == 0;
}

static const ImapNamespace *
find_namespace(const ImapBackend *self, const char *name)
{
	const ImapNamespace *best = NULL;

	for (guint i = 0; self->namespaces != NULL && i < self->namespaces->len; i++) {
		const ImapNamespace *namespace = g_ptr_array_index(self->namespaces, i);

		if ((lies_under(name, namespace->prefix) || is_root_of(name, namespace)) &&
		    (best == NULL || strlen(namespace->prefix) > strlen(best->prefix)))
			best = namespace;
	}
	return best;
}

/* LIST
 * ------------------------------------------------------------------------------------------------------------
 */

char *
imap_mailbox_name(const ImapToken *token, char separator)
{
	gsize len = token->size;

	if (separator != '\0' && len > 1 && token->text[len - 1] == separator)
		len--;
	if (len == 5 && g_ascii_strncasecmp(token->text, "INBOX", 5) == 0)
		return g_strdup("INBOX");
	return g_strndup(token->text, len);
}

/* LIST (attributes) separator name, and LSUB alike. NULL: not to be understood. (transfer full) */
static Entry *
parse_entry(const ImapResponse *response)
{
	g_autofree Entry *entry = g_new0(Entry, 1);
	const ImapToken *separator;
	const ImapToken *name;
	guint i;

	if (response->n_tokens < 5 || response->tokens[1].type != IMAP_TOKEN_OPEN)
		return NULL;
	for (i = 2; i < response->n_tokens && response->tokens[i].type == IMAP_TOKEN_ATOM; i++)
		for (guint k = 0; k < G_N_ELEMENTS(attribute_names); k++)
			if (imap_token_is_atom(&response->tokens[i], attribute_names[k].name))
				entry->attributes |= attribute_names[k].bit;
	if (i + 2 >= response->n_tokens || response->tokens[i].type != IMAP_TOKEN_CLOSE)
		return NULL;
	separator = &response->tokens[i + 1];
	name = &response->tokens[i + 2];
	if (!imap_token_is_text(separator) || !imap_token_is_text(name) || name->size == 0)
		return NULL;
	entry->separator =
		!imap_token_is_nil(separator) && separator->size == 1 ? separator->text[0] : '\0';
	entry->messages = G_MAXUINT32;
	entry->name = imap_mailbox_name(name, entry->separator);
	return g_steal_pointer(&entry);
}

static void
take_entry(Listing *listing, const ImapResponse *response)
{
	Entry *entry = parse_entry(response);
	Entry *known;

	if (entry == NULL)
		return;
	known = g_hash_table_lookup(listing->names, entry->name);
	if (known == NULL) {
		g_ptr_array_add(listing->entries, entry);
		g_hash_table_insert(listing->names, entry->name, entry);
		return;
	}
	/* "INBOX." and "INBOX" are one: selectable when either is. */
	known->attributes = ((known->attributes | entry->attributes) & ~(guint)MAILBOX_NOSELECT) |
			    (known->attributes & entry->attributes & MAILBOX_NOSELECT);
	entry_free(entry);
}

static void
take_status(Listing *listing, const ImapResponse *response)
{
	g_autofree char *name = NULL;
	Entry *entry;
	guint64 number;

	if (response->n_tokens < 3 || !imap_token_is_text(&response->tokens[1]))
		return;
	name = imap_mailbox_name(&response->tokens[1], '\0');
	entry = g_hash_table_lookup(listing->names, name);
	for (guint i = 3; entry != NULL && i + 1 < response->n_tokens; i += 2)
		if (imap_token_is_atom(&response->tokens[i], "MESSAGES") &&
		    imap_parse_number(response->tokens[i + 1].text, response->tokens[i + 1].size,
				      G_MAXUINT32 - 1, &number))
			entry->messages = (guint32)number;
}

gboolean
imap_listing_take(ImapListing *listing, const ImapResponse *response)
{
	const ImapToken *word = &response->tokens[0];

	if (imap_token_is_atom(word, "LIST"))
		take_entry(listing, response);
	else if (imap_token_is_atom(word, "STATUS"))
		take_status(listing, response);
	else if (imap_token_is_atom(word, "LSUB")) {
		Entry *entry = parse_entry(response);

		if (entry != NULL) {
			g_hash_table_add(listing->subscribed, g_steal_pointer(&entry->name));
			entry_free(entry);
		}
	} else
		return FALSE;
	return TRUE;
}

static gboolean
list_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	return imap_listing_take(task->own, response);
}

static gboolean
submit_list(ImapBackend *self, ImapTask *task, guint step, const char *verb, const char *pattern,
	    const char *options, GError **error)
{
	ImapCommand *command = imap_command_new(self, verb);

	command->task = task;
	command->step = step;
	imap_writer_raw(command->writer, "\"\"");
	imap_writer_mailbox(command->writer, pattern);
	if (options != NULL)
		imap_writer_raw(command->writer, options);
	return imap_backend_submit(self, command, error);
}

char *
imap_listing_options(const ImapBackend *self)
{
	if (!imap_backend_can(self, "LIST-EXTENDED"))
		return NULL;
	return g_strconcat(
		"RETURN (SUBSCRIBED", imap_backend_can(self, "SPECIAL-USE") ? " SPECIAL-USE" : "",
		imap_backend_can(self, "LIST-STATUS") ? " STATUS (MESSAGES)" : "", ")", NULL);
}

static void
submit_lists(ImapBackend *self, ImapTask *task, gboolean extended)
{
	g_autofree char *options = extended ? imap_listing_options(self) : NULL;
	g_autoptr(GError) error = NULL;
	gboolean ok = submit_list(self, task, extended ? STEP_EXTENDED : STEP_PLAIN, "LIST", "*",
				  options, &error);

	/* "*" from the root need not reach into other namespaces. */
	for (guint i = 0; ok && self->namespaces != NULL && i < self->namespaces->len; i++) {
		const ImapNamespace *namespace = g_ptr_array_index(self->namespaces, i);
		g_autofree char *pattern = g_strconcat(namespace->prefix, "*", NULL);

		/* A name that cannot be written is the server's own fault: done without. */
		if (*namespace->prefix != '\0' &&
		    g_ascii_strncasecmp(namespace->prefix, "INBOX", 5) != 0)
			submit_list(self, task, STEP_NAMESPACE, "LIST", pattern, options, NULL);
	}
	if (ok && !extended)
		ok = submit_list(self, task, STEP_LSUB, "LSUB", "*", NULL, &error);
	if (!ok)
		imap_task_fail(task, g_steal_pointer(&error));
}

void
imap_listing_each(const ImapBackend *self, const ImapListing *listing, ImapListingFilter each,
		  gpointer user)
{
	for (guint i = 0; i < listing->entries->len; i++) {
		const Entry *entry = g_ptr_array_index(listing->entries, i);
		const ImapNamespace *namespace = find_namespace(self, entry->name);
		MailboxInfo info = {
			.name = entry->name,
			.separator = entry->separator,
			.attributes = entry->attributes,
			.prefix = "",
			.messages = entry->messages,
		};

		if (g_hash_table_contains(listing->subscribed, entry->name))
			info.attributes |= MAILBOX_SUBSCRIBED;
		if (namespace == NULL || namespace->personal || strcmp(entry->name, "INBOX") == 0)
			info.attributes |= MAILBOX_PERSONAL;
		if (namespace != NULL && namespace->personal)
			info.prefix = namespace->prefix;
		if (!each(user, &info))
			return;
	}
}

static gboolean
tell_mailbox(gpointer user, const MailboxInfo *info)
{
	const ImapTask *task = user;

	task->request->events->mailbox(task->request->user, info);
	return TRUE;
}

static void
list_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command,
	       const ImapResponse *tagged)
{
	gboolean needed = command->step == STEP_EXTENDED || command->step == STEP_PLAIN;

	if (tagged->status != IMAP_STATUS_OK && command->step == STEP_EXTENDED)
		submit_lists(self, task, FALSE); /* offered, but not meant */
	else if (tagged->status != IMAP_STATUS_OK && needed)
		imap_task_fail(task,
			       imap_refusal(self, tagged, "LIST", MAILFS_ERROR_PROTOCOL, TRUE));
	if (task->commands == 0 && task->error == NULL)
		imap_listing_each(self, task->own, tell_mailbox, task);
}

ImapListing *
imap_listing_new(void)
{
	Listing *listing = g_new0(Listing, 1);

	listing->entries = g_ptr_array_new_with_free_func(entry_free);
	listing->names = g_hash_table_new(g_str_hash, g_str_equal);
	listing->subscribed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return listing;
}

void
imap_listing_free(ImapListing *listing)
{
	if (listing == NULL)
		return;
	g_hash_table_unref(listing->names);
	g_hash_table_unref(listing->subscribed);
	g_ptr_array_unref(listing->entries);
	g_free(listing);
}

GList *
imap_listing_subscribed(const ImapListing *listing)
{
	return g_hash_table_get_keys(listing->subscribed);
}

void
imap_listing_subscribe(ImapListing *listing, const char *name)
{
	g_hash_table_add(listing->subscribed, g_strdup(name));
}

gboolean
imap_backend_is_listing(const ImapBackend *self)
{
	for (GList *link = self->tasks.head; link != NULL; link = link->next)
		if (((const ImapTask *)link->data)->ops->lists)
			return TRUE;
	return FALSE;
}

static void
list_free(ImapTask *task)
{
	imap_listing_free(task->own);
}

static const ImapTaskOps list_ops = {
	.data = list_data,
	.completed = list_completed,
	.free = list_free,
	.lists = TRUE,
};

void
imap_task_start_list(ImapBackend *self, Request *request)
{
	ImapTask *task = imap_task_new(self, request, &list_ops, imap_listing_new());

	submit_lists(self, task, imap_backend_can(self, "LIST-EXTENDED"));
	imap_task_settle(self, task);
}

/* QUOTA
 * -----------------------------------------------------------------------------------------------------------
 */

/* QUOTA root (STORAGE used limit …), in units of 1,024 octets (RFC 9208 5.1). */
static gboolean
quota_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	const ImapToken *tokens = response->tokens;
	gboolean *told = task->own;

	if (imap_token_is_atom(&tokens[0], "QUOTAROOT"))
		return TRUE;
	if (!imap_token_is_atom(&tokens[0], "QUOTA"))
		return FALSE;
	for (guint i = 3; i + 2 < response->n_tokens; i += 3) {
		guint64 used;
		guint64 limit;

		if (*told || !imap_token_is_atom(&tokens[i], "STORAGE") ||
		    !imap_parse_number(tokens[i + 1].text, tokens[i + 1].size, G_MAXUINT64 / 1024,
				       &used) ||
		    !imap_parse_number(tokens[i + 2].text, tokens[i + 2].size, G_MAXUINT64 / 1024,
				       &limit))
			continue;
		*told = TRUE;
		task->request->events->quota(task->request->user, used * 1024, limit * 1024);
	}
	return TRUE;
}

static void
quota_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command,
		const ImapResponse *tagged)
{
	if (tagged->status != IMAP_STATUS_OK)
		imap_task_fail(task, imap_refusal(self, tagged, "GETQUOTAROOT",
						  MAILFS_ERROR_UNSUPPORTED, TRUE));
}

static void
quota_free(ImapTask *task)
{
	g_free(task->own);
}

static const ImapTaskOps quota_ops = {
	.data = quota_data,
	.completed = quota_completed,
	.free = quota_free,
};

void
imap_task_start_quota(ImapBackend *self, Request *request)
{
	ImapTask *task = imap_task_new(self, request, &quota_ops, g_new0(gboolean, 1));
	g_autoptr(GError) error = NULL;

	if (imap_backend_can(self, "QUOTA")) {
		ImapCommand *command = imap_command_new(self, "GETQUOTAROOT");

		command->task = task;
		imap_writer_mailbox(command->writer, request->mailbox);
		if (!imap_backend_submit(self, command, &error))
			imap_task_fail(task, g_steal_pointer(&error));
	}
	imap_task_settle(self, task);
}
