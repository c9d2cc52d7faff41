/* SPDX-License-Identifier: MIT */
/* Bodies and header blocks. A body goes to its requester while it comes in; whether it is the right
 * one is known only when its response is complete, for UID may stand before or after it. So
 * body_done() is the judgement: only a body whose response names a UID that was asked for, and not
 * answered before, is good. */
#include "proto/imap-private.h"

#include <string.h>

#define MAX_LITERAL	 (256 * 1024 * 1024)
#define MAX_IN_MEMORY	 (256 * 1024) /* a header block, or anything nobody asked for */
#define MAX_BEFORE_LOGIN 65536
#define PARTIAL		 "BODY[]<"
#define WHOLE		 G_MAXUINT64 /* in place of an origin: BODY[] */
#define MAX_SET		 7900	     /* servers take commands of 8,000 bytes */

enum { STEP_EXAMINE, STEP_FETCH };

/* What a FETCH response says
 * ------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	guint32 bit;
} flag_names[] = {
	{"\\Seen", MESSAGE_SEEN},	{"\\Answered", MESSAGE_ANSWERED},
	{"\\Flagged", MESSAGE_FLAGGED}, {"\\Deleted", MESSAGE_DELETED},
	{"\\Draft", MESSAGE_DRAFT},	{"\\Recent", MESSAGE_RECENT},
};

static void
add_word(GString *list, const char *word)
{
	g_string_append_printf(list, "%s%s", list->len > 1 ? " " : "", word);
}

char *
imap_flags_format(guint32 flags, const char *keywords)
{
	g_autoptr(GString) list = g_string_new("(");
	g_auto(GStrv) words = g_strsplit(keywords != NULL ? keywords : "", " ", -1);

	for (guint i = 0; i < G_N_ELEMENTS(flag_names); i++)
		if (flags & flag_names[i].bit)
			add_word(list, flag_names[i].name);
	for (guint i = 0; words[i] != NULL; i++)
		if (*words[i] != '\0')
			add_word(list, words[i]);
	if (list->len == 1)
		return NULL;
	g_string_append_c(list, ')');
	return g_strdup(list->str);
}

static void
take_flag(const ImapToken *token, ImapItems *out, GString *keywords)
{
	if (token->type != IMAP_TOKEN_ATOM)
		return;
	for (guint i = 0; i < G_N_ELEMENTS(flag_names); i++)
		if (imap_token_is_atom(token, flag_names[i].name)) {
			out->flags |= flag_names[i].bit;
			return;
		}
	if (keywords == NULL)
		return;
	if (keywords->len > 0)
		g_string_append_c(keywords, ' ');
	g_string_append(keywords, token->text);
}

static gboolean
has_prefix(const ImapToken *token, const char *prefix)
{
	gsize len = strlen(prefix);

	return strncmp(token->text, prefix, len) == 0 ||
	       g_ascii_strncasecmp(token->text, prefix, len) == 0;
}

static gboolean
number_of(const ImapToken *token, guint64 max, guint64 *out)
{
	return token->type == IMAP_TOKEN_ATOM &&
	       imap_parse_number(token->text, token->size, max, out);
}

/* "BODY[]<1000>" */
static gboolean
origin_of(const ImapToken *name, guint64 *origin_out)
{
	gsize before = strlen(PARTIAL);

	return name->type == IMAP_TOKEN_ATOM && has_prefix(name, PARTIAL) &&
	       name->size > before + 1 && name->text[name->size - 1] == '>' &&
	       imap_parse_number(name->text + before, name->size - before - 1, G_MAXUINT32,
				 origin_out);
}

/* FALSE: an impossible UID; anything else that is odd is left out. */
static gboolean
take_item(const ImapResponse *response, guint i, ImapItems *out, GString *keywords)
{
	const ImapToken *name = &response->tokens[i];
	const ImapToken *value = &response->tokens[i + 1];
	guint end = imap_response_skip(response, i + 1);
	guint64 number;

	if (imap_token_is_atom(name, "UID")) {
		if (!number_of(value, G_MAXUINT32, &number) || number == 0 ||
		    (out->uid != 0 && out->uid != number))
			return FALSE;
		out->uid = (guint32)number;
	} else if (imap_token_is_atom(name, "FLAGS") && value->type == IMAP_TOKEN_OPEN) {
		out->has_flags = TRUE;
		for (guint k = i + 2; k < end; k++)
			take_flag(&response->tokens[k], out, keywords);
	} else if (imap_token_is_atom(name, "RFC822.SIZE"))
		out->has_size = number_of(value, G_MAXINT64, &out->size);
	else if (imap_token_is_atom(name, "INTERNALDATE"))
		out->has_date = value->type == IMAP_TOKEN_QUOTED &&
				imap_parse_date(value->text, value->size, &out->date);
	else if (imap_token_is_atom(name, "MODSEQ") && value->type == IMAP_TOKEN_OPEN &&
		 i + 2 < end) {
		if (number_of(&response->tokens[i + 2], G_MAXINT64, &number))
			out->modseq = number;
	} else if (imap_token_is_atom(name, "BODY[]"))
		out->body = value;
	else if (out->n_parts < G_N_ELEMENTS(out->parts) && origin_of(name, &number))
		out->parts[out->n_parts++] = (ImapPart){number, value};
	else if (imap_token_is_atom(name, "BODY[HEADER]"))
		out->header = value;
	else if (has_prefix(name, "BODY[HEADER.FIELDS"))
		out->fields = value;
	return TRUE;
}

static gboolean
is_fetch(const ImapResponse *response)
{
	return response->n_tokens > 2 && imap_token_is_atom(&response->tokens[1], "FETCH") &&
	       response->tokens[2].type == IMAP_TOKEN_OPEN;
}

gboolean
imap_items_parse(const ImapResponse *response, ImapItems *out, GString *keywords)
{
	guint i = 3;

	*out = (ImapItems){0};
	if (keywords != NULL)
		g_string_truncate(keywords, 0);
	if (!is_fetch(response))
		return FALSE;
	while (i + 1 < response->n_tokens && response->tokens[i].type == IMAP_TOKEN_ATOM &&
	       response->tokens[i + 1].type != IMAP_TOKEN_CLOSE) {
		if (!take_item(response, i, out, keywords))
			return FALSE;
		i = imap_response_skip(response, i + 1);
	}
	return TRUE;
}

/* Literals
 * --------------------------------------------------------------------------------------------------------
 */

static const ImapTaskOps fetch_ops;
static const ImapTaskOps part_ops;
static const ImapTaskOps headers_ops;

/* @uid 0: not told yet; then the oldest is the likely one. */
static ImapTask *
find_task(const ImapBackend *self, const ImapTaskOps *ops, guint32 uid)
{
	for (GList *link = self->tasks.head; link != NULL; link = link->next) {
		ImapTask *task = link->data;

		if (task->ops == ops &&
		    !g_error_matches(task->error, MAILFS_ERROR, MAILFS_ERROR_STALE) &&
		    (uid == 0 || uidset_contains(task->request->uids, uid)))
			return task;
	}
	return NULL;
}

/* Does the task ask for @size octets from @origin on? */
static gboolean
asks_for(const ImapTask *task, guint64 origin, guint64 size)
{
	const Request *request = task->request;

	if (task->ops == &fetch_ops)
		return origin == WHOLE;
	if (task->ops != &part_ops)
		return FALSE;
	return request->length == 0 ? origin == WHOLE
				    : origin == request->offset && size <= request->length;
}

static ImapTask *
find_asker(const ImapBackend *self, guint32 uid, guint64 origin, guint64 size)
{
	for (GList *link = self->tasks.head; link != NULL; link = link->next) {
		ImapTask *task = link->data;

		if (asks_for(task, origin, size) &&
		    !g_error_matches(task->error, MAILFS_ERROR, MAILFS_ERROR_STALE) &&
		    (uid == 0 || uidset_contains(task->request->uids, uid)))
			return task;
	}
	return NULL;
}

static void
open_body(ImapBackend *self, ImapTask *task, guint32 uid, guint64 size)
{
	const RequestEvents *events = task->request->events;
	gpointer user = task->request->user;
	gboolean wanted;

	self->body = task;
	self->body_uid = uid;
	g_clear_error(&self->body_error);
	wanted = task->ops == &part_ops ? events->part_open(user, uid, size, &self->body_error)
					: events->body_open(user, size, &self->body_error);
	if (!wanted && self->body_error == NULL)
		self->body_error =
			g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "not wanted");
}

static void
feed_body(ImapBackend *self, const guint8 *data, gsize len)
{
	const Request *request = self->body->request;
	gboolean wanted;

	if (self->body_error != NULL)
		return;
	wanted = self->body->ops == &part_ops
			 ? request->events->part_data(request->user, data, len, &self->body_error)
			 : request->events->body_data(request->user, data, len, &self->body_error);
	if (!wanted && self->body_error == NULL)
		self->body_error =
			g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "not wanted");
}

static void
close_body(ImapBackend *self, guint32 uid)
{
	ImapTask *task = g_steal_pointer(&self->body);
	g_autoptr(GError) error = g_steal_pointer(&self->body_error);

	if (uid != 0)
		uidset_remove(task->request->uids, uid, uid);
	if (task->ops == &part_ops)
		task->request->events->part_done(task->request->user, uid, error);
	else
		task->request->events->body_done(task->request->user, uid, error);
}

void
imap_backend_drop_body(ImapBackend *self, const GError *why)
{
	if (self->body == NULL)
		return;
	if (self->body_error == NULL)
		self->body_error = why != NULL ? g_error_copy(why)
					       : g_error_new(MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
							     "%s sent a message that was not asked "
							     "for, or a broken one",
							     self->config->host);
	close_body(self, self->body_uid);
}

/* The literal of BODY[] or BODY[]<origin>: to whoever asked for it. */
static void
begin_body(ImapBackend *self, const ImapResponse *so_far, guint64 origin, guint64 size)
{
	ImapItems items;
	ImapTask *task;

	if (self->body != NULL && (self->body->ops != &part_ops || origin == WHOLE ||
				   origin != self->body->request->probe))
		/* One of an earlier response that was not understood, or two in this one. */
		imap_backend_drop_body(self, NULL);
	if (!imap_items_parse(so_far, &items, NULL))
		return;
	task = find_asker(self, items.uid, origin, size);
	if (task != NULL) {
		open_body(self, task, items.uid, size);
		self->sink = IMAP_SINK_BODY;
	}
}

ImapLiteralPlace
imap_backend_literal(gpointer user, const ImapResponse *so_far, guint64 size)
{
	ImapBackend *self = user;
	const ImapToken *name = so_far->n_tokens > 0 ? &so_far->tokens[so_far->n_tokens - 1] : NULL;
	guint64 origin = WHOLE;

	self->sink = IMAP_SINK_NOWHERE;
	if (!self->logged_in)
		return size <= MAX_BEFORE_LOGIN ? IMAP_LITERAL_MEMORY : IMAP_LITERAL_REFUSE;
	if (size > MAX_LITERAL)
		return IMAP_LITERAL_REFUSE;
	if (name != NULL && is_fetch(so_far) &&
	    (imap_token_is_atom(name, "BODY[]") || origin_of(name, &origin))) {
		begin_body(self, so_far, origin, size);
		return IMAP_LITERAL_STREAM;
	}
	if (size <= MAX_IN_MEMORY)
		return IMAP_LITERAL_MEMORY;
	if (name != NULL && is_fetch(so_far) && has_prefix(name, "BODY[HEADER")) {
		g_byte_array_set_size(self->header, 0);
		self->sink = IMAP_SINK_HEADER;
	}
	return IMAP_LITERAL_STREAM;
}

gboolean
imap_backend_literal_data(gpointer user, const guint8 *data, gsize len, GError **error)
{
	ImapBackend *self = user;

	if (self->sink == IMAP_SINK_BODY && self->body != NULL)
		feed_body(self, data, len);
	else if (self->sink == IMAP_SINK_HEADER)
		g_byte_array_append(self->header, data,
				    (guint)MIN(len, MAX_IN_MEMORY - self->header->len));
	return TRUE;
}

const char *
imap_backend_header_text(ImapBackend *self, const ImapToken *token, gsize *len_out)
{
	*len_out = 0;
	if (token == NULL || imap_token_is_nil(token))
		return "";
	if (token->type == IMAP_TOKEN_STREAMED) {
		*len_out = self->header->len;
		return self->header->len > 0 ? (const char *)self->header->data : "";
	}
	if (token->type != IMAP_TOKEN_LITERAL && token->type != IMAP_TOKEN_QUOTED)
		return "";
	*len_out = token->size;
	return token->text;
}

/* FETCH
 * -----------------------------------------------------------------------------------------------------------
 */

/* Octets few enough to be quoted: nobody has seen them yet. */
static void
quoted_body(ImapBackend *self, ImapTask *task, guint32 uid, const ImapToken *token)
{
	gsize size = token->type == IMAP_TOKEN_QUOTED ? token->size : 0;

	open_body(self, task, uid, size);
	if (size > 0)
		feed_body(self, (const guint8 *)token->text, size);
	close_body(self, uid);
}

/* The response is whole: is the body that was streamed of a message that its requester wants? */
static void
streamed_body(ImapBackend *self, guint32 uid)
{
	if (self->body != NULL && uid != 0 && uidset_contains(self->body->request->uids, uid))
		close_body(self, uid);
	else
		imap_backend_drop_body(self, NULL);
}

static void
whole_body(ImapBackend *self, const ImapItems *items)
{
	const ImapToken *token = items->body;
	ImapTask *task;

	if (token->type == IMAP_TOKEN_STREAMED) {
		streamed_body(self, items->uid);
		return;
	}
	task = items->uid != 0 ? find_asker(self, items->uid, WHOLE, token->size) : NULL;
	if (task != NULL && (imap_token_is_nil(token) || token->type == IMAP_TOKEN_QUOTED))
		quoted_body(self, task, items->uid, token);
}

/* One that has not been streamed to @task. */
static void
take_part(ImapBackend *self, ImapTask *task, guint32 uid, const ImapPart *part)
{
	const Request *request = task->request;
	g_autoptr(GError) error = NULL;

	if (request->probe != 0 && part->origin == request->probe) {
		if (part->token->type == IMAP_TOKEN_STREAMED ||
		    part->token->type == IMAP_TOKEN_QUOTED)
			request->events->probed(request->user, part->token->size);
		return;
	}
	if (!uidset_contains(request->uids, uid))
		return;
	if (part->token->type == IMAP_TOKEN_QUOTED &&
	    asks_for(task, part->origin, part->token->size)) {
		quoted_body(self, task, uid, part->token);
		return;
	}
	error = g_error_new(MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
			    "%s sent another part of a message than was asked for",
			    self->config->host);
	uidset_remove(request->uids, uid, uid);
	request->events->part_done(request->user, uid, error);
}

static void
take_parts(ImapBackend *self, const ImapItems *items)
{
	ImapTask *task = NULL;

	for (GList *link = self->tasks.head; link != NULL && task == NULL; link = link->next) {
		ImapTask *one = link->data;

		if (one->ops == &part_ops && one->request->length > 0 && items->uid != 0 &&
		    GPOINTER_TO_UINT(one->own) == items->uid)
			task = one;
	}
	for (guint i = 0; i < items->n_parts; i++) {
		const ImapPart *part = &items->parts[i];

		if (part->token->type == IMAP_TOKEN_STREAMED && self->body != NULL &&
		    self->body->ops == &part_ops && part->origin == self->body->request->offset)
			streamed_body(self, items->uid);
		else if (task != NULL)
			take_part(self, task, items->uid, part);
	}
}

/* Offered to the first task of a kind, but handled for all of them. */
static gboolean
fetch_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	ImapItems items;

	if (!imap_items_parse(response, &items, NULL) || (items.body == NULL && items.n_parts == 0))
		return FALSE;
	if (items.body != NULL)
		whole_body(self, &items);
	else
		take_parts(self, &items);
	return TRUE;
}

static gboolean
headers_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	ImapItems items;
	gsize len;
	const char *text;
	ImapTask *asker;

	if (!imap_items_parse(response, &items, NULL) || items.header == NULL)
		return FALSE;
	asker = items.uid != 0 ? find_task(self, &headers_ops, items.uid) : NULL;
	if (asker == NULL)
		return TRUE;
	text = imap_backend_header_text(self, items.header, &len);
	uidset_remove(asker->request->uids, items.uid, items.uid);
	asker->request->events->header(asker->request->user, items.uid, text, len);
	return TRUE;
}

/* What a NO names may be gone, and the rest of the set was answered: who asked sees what is
 * missing. */
static void
fetch_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command,
		const ImapResponse *tagged)
{
	if (tagged->status == IMAP_STATUS_OK || command->is_examine)
		return;
	if (imap_code_is(tagged->code, "EXPUNGEISSUED") ||
	    imap_code_is(tagged->code, "NONEXISTENT"))
		self->changed = TRUE;
	else
		imap_task_fail(task, imap_refusal(self, tagged, command->verb,
						  MAILFS_ERROR_PROTOCOL, TRUE));
}

static const ImapTaskOps fetch_ops = {
	.data = fetch_data,
	.completed = fetch_completed,
};

static const ImapTaskOps part_ops = {
	.data = fetch_data,
	.completed = fetch_completed,
};

static const ImapTaskOps headers_ops = {
	.data = headers_data,
	.completed = fetch_completed,
};

static void
start(ImapBackend *self, Request *request, const ImapTaskOps *ops, const char *items)
{
	gpointer uid = NULL;
	ImapTask *task;
	g_autoptr(GError) error = NULL;
	guint next = 0;
	gboolean ok;

	if (ops == &part_ops && request->uids != NULL && !uidset_is_empty(request->uids)) {
		guint32 first, last;

		uidset_range(request->uids, 0, &first, &last);
		uid = GUINT_TO_POINTER(first);
	}
	task = imap_task_new(self, request, ops, uid);
	ok = request->uids != NULL && !uidset_is_empty(request->uids) &&
	     imap_backend_examine(self, task, STEP_EXAMINE, NULL, &error);
	while (ok && next < uidset_n_ranges(request->uids)) {
		g_autofree char *set = uidset_format(request->uids, &next, MAX_SET);
		g_autofree char *arguments = g_strconcat(set, " ", items, NULL);

		ok = imap_task_submit(self, task, STEP_FETCH, "UID FETCH", arguments, &error);
	}
	if (ops != &headers_ops)
		self->primed = TRUE;
	if (error != NULL)
		imap_task_fail(task, g_steal_pointer(&error));
	imap_task_settle(self, task);
}

void
imap_task_start_fetch(ImapBackend *self, Request *request)
{
	start(self, request, &fetch_ops, "(UID BODY.PEEK[])");
}

void
imap_task_start_part(ImapBackend *self, Request *request)
{
	g_autoptr(GString) items = g_string_new("(UID BODY.PEEK[]");

	if (request->length > 0)
		g_string_append_printf(items, "<%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT ">",
				       request->offset, request->length);
	if (request->length > 0 && request->probe != 0)
		g_string_append_printf(items, " BODY.PEEK[]<%" G_GUINT64_FORMAT ".2>",
				       request->probe);
	g_string_append_c(items, ')');
	start(self, request, &part_ops, items->str);
}

void
imap_task_start_headers(ImapBackend *self, Request *request)
{
	start(self, request, &headers_ops, "(UID BODY.PEEK[HEADER])");
}
