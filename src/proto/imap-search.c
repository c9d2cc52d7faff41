/* SPDX-License-Identifier: MIT */
/* UID SEARCH. An ESEARCH answer says whose it is; a plain one does not, so a line has at most one
 * task at a time that is answered by SEARCH: see backend_can_start(). */
#include "proto/imap-private.h"

#include <string.h>

#define MAX_RANGES	500000
#define SEARCH_WIDTH	100000 /* UIDs a plain SEARCH: its answer has to fit into one response */
#define SEARCH_COMMANDS 64

enum { STEP_EXAMINE, STEP_SEARCH };

typedef struct {
	UidSet *found;
	guint64 dropped; /* responses not understood when it began */
	gboolean wide;	 /* it asks for text outside ASCII */
} Search;

typedef enum { STRING, ATOM, DAY, NUMBER } Argument;

static const struct {
	SearchKey key;
	const char *word;
	Argument argument;
} words[] = {
	{SEARCH_TEXT, "TEXT", STRING},
	{SEARCH_FROM, "FROM", STRING},
	{SEARCH_TO, "TO", STRING},
	{SEARCH_CC, "CC", STRING},
	{SEARCH_BCC, "BCC", STRING},
	{SEARCH_SUBJECT, "SUBJECT", STRING},
	{SEARCH_BODY, "BODY", STRING},
	{SEARCH_KEYWORD, "KEYWORD", ATOM},
	{SEARCH_SINCE, "SINCE", DAY},
	{SEARCH_BEFORE, "BEFORE", DAY},
	{SEARCH_ON, "ON", DAY},
	{SEARCH_LARGER, "LARGER", NUMBER},
	{SEARCH_SMALLER, "SMALLER", NUMBER},
};

static const struct {
	guint flag;
	const char *word;
} flags[] = {
	{MESSAGE_SEEN, "SEEN"},	      {MESSAGE_ANSWERED, "ANSWERED"}, {MESSAGE_FLAGGED, "FLAGGED"},
	{MESSAGE_DELETED, "DELETED"}, {MESSAGE_DRAFT, "DRAFT"},
};

/* Asking
 * ----------------------------------------------------------------------------------------------------------
 */

static void
write_date(ImapWriter *writer, guint64 day)
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	g_autofree char *text =
		g_strdup_printf("%u-%s-%04u", (guint)(day % 100),
				months[CLAMP(day / 100 % 100, 1, G_N_ELEMENTS(months)) - 1],
				(guint)(day / 10000 % 10000));

	imap_writer_raw(writer, text);
}

static void
write_argument(ImapWriter *writer, Argument argument, const SearchTerm *term)
{
	g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, term->number);

	switch (argument) {
	case STRING:
		imap_writer_string(writer, term->text);
		break;
	case ATOM:
		imap_writer_atom(writer, term->text);
		break;
	case DAY:
		write_date(writer, term->number);
		break;
	case NUMBER:
		imap_writer_raw(writer, number);
		break;
	}
}

static void
write_term(ImapWriter *writer, const SearchTerm *term)
{
	if (term->negated)
		imap_writer_raw(writer, "NOT");
	for (guint i = 0; term->key == SEARCH_FLAG && i < G_N_ELEMENTS(flags); i++)
		if (flags[i].flag == term->number)
			imap_writer_raw(writer, flags[i].word);
	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		if (words[i].key == term->key) {
			imap_writer_raw(writer, words[i].word);
			write_argument(writer, words[i].argument, term);
		}
}

/* @last 0: among all. */
static gboolean
ask(ImapBackend *self, ImapTask *task, guint64 first, guint64 last, GError **error)
{
	const Search *search = task->own;
	const GPtrArray *terms = task->request->terms;
	ImapCommand *command = imap_command_new(self, "UID SEARCH");

	command->task = task;
	command->step = STEP_SEARCH;
	if (imap_backend_can(self, "ESEARCH"))
		imap_writer_raw(command->writer, "RETURN (ALL)");
	/* Without a charset it is US-ASCII, which every server can. */
	if (search->wide)
		imap_writer_raw(command->writer, "CHARSET UTF-8");
	if (last != 0) {
		g_autofree char *range = g_strdup_printf(
			"UID %" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, first, last);

		imap_writer_raw(command->writer, range);
	}
	for (guint i = 0; i < terms->len; i++)
		write_term(command->writer, terms->pdata[i]);
	return imap_backend_submit(self, command, error);
}

static gboolean
ask_all(ImapBackend *self, ImapTask *task, GError **error)
{
	guint64 last = MAX(self->mailbox.uidnext, 1) - 1;
	guint64 width = MAX(SEARCH_WIDTH, last / SEARCH_COMMANDS + 1);

	if (!imap_backend_examine(self, task, STEP_EXAMINE, NULL, error))
		return FALSE;
	if (self->examine != NULL || last <= SEARCH_WIDTH || imap_backend_can(self, "ESEARCH"))
		return ask(self, task, 0, 0, error);
	for (guint64 first = 1; first <= last; first += width)
		if (!ask(self, task, first, MIN(first + width - 1, last), error))
			return FALSE;
	return TRUE;
}

/* Answers
 * ---------------------------------------------------------------------------------------------------------
 */

static void
take_set(Search *search, const ImapToken *token)
{
	g_autoptr(UidSet) uids = token->type == IMAP_TOKEN_ATOM
					 ? uidset_parse(token->text, token->size, MAX_RANGES)
					 : NULL;

	for (guint i = 0; uids != NULL && i < uidset_n_ranges(uids); i++) {
		guint32 first;
		guint32 last;

		uidset_range(uids, i, &first, &last);
		uidset_add(search->found, first, last);
	}
}

/* SEARCH 1 2 3, or ESEARCH (TAG "m3") UID ALL 1:3. */
static gboolean
search_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	Search *search = task->own;
	gboolean extended = imap_token_is_atom(&response->tokens[0], "ESEARCH");

	if (!extended && !imap_token_is_atom(&response->tokens[0], "SEARCH"))
		return FALSE;
	for (guint i = 1; i < response->n_tokens; i = imap_response_skip(response, i))
		if (!extended || imap_token_is_atom(&response->tokens[i - 1], "ALL"))
			take_set(search, &response->tokens[i]);
	return TRUE;
}

static void
search_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command,
		 const ImapResponse *tagged)
{
	const Search *search = task->own;

	if (tagged->status != IMAP_STATUS_OK && imap_code_is(tagged->code, "BADCHARSET"))
		imap_task_fail(task, g_error_new(MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED,
						 "%s can search for ASCII text only",
						 self->config->host));
	else if (tagged->status != IMAP_STATUS_OK && !command->is_examine)
		imap_task_fail(task, imap_refusal(self, tagged, command->verb,
						  MAILFS_ERROR_UNSUPPORTED, TRUE));
	if (task->commands > 0 || task->error != NULL)
		return;
	/* An answer that was not understood looks like none. */
	if (imap_parser_dropped(self->parser) != search->dropped)
		imap_task_fail(task, g_error_new(MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
						 "%s answers a search with nonsense",
						 self->config->host));
	else
		task->request->events->found(task->request->user, search->found);
}

static void
search_free(ImapTask *task)
{
	Search *search = task->own;

	uidset_free(search->found);
	g_free(search);
}

static const ImapTaskOps search_ops = {
	.data = search_data,
	.completed = search_completed,
	.free = search_free,
};

gboolean
imap_backend_is_searching(const ImapBackend *self)
{
	for (GList *link = self->tasks.head; link != NULL; link = link->next)
		if (((const ImapTask *)link->data)->ops == &search_ops)
			return TRUE;
	return FALSE;
}

void
imap_task_start_search(ImapBackend *self, Request *request)
{
	Search *search = g_new0(Search, 1);
	ImapTask *task = imap_task_new(self, request, &search_ops, search);
	g_autoptr(GError) error = NULL;

	search->found = uidset_new();
	search->dropped = imap_parser_dropped(self->parser);
	for (guint i = 0; i < request->terms->len; i++) {
		const SearchTerm *term = request->terms->pdata[i];

		search->wide = search->wide || (term->text != NULL && !g_str_is_ascii(term->text));
	}
	if (!ask_all(self, task, &error))
		imap_task_fail(task, g_steal_pointer(&error));
	imap_task_settle(self, task);
}
