/* SPDX-License-Identifier: MIT */
#include "proto/request.h"

#include "base/util.h"

SearchTerm *
search_term_new(SearchKey key, gboolean negated, guint64 number, const char *text)
{
	SearchTerm *term = g_new0(SearchTerm, 1);

	*term = (SearchTerm){key, negated, number, g_strdup(text)};
	return term;
}

void
search_term_free(gpointer data)
{
	SearchTerm *term = data;

	g_free(term->text);
	g_free(term);
}

AppendMessage *
append_message_new(int fd, GBytes *bytes, guint64 size)
{
	AppendMessage *message = g_new0(AppendMessage, 1);

	*message = (AppendMessage){.fd = fd, .bytes = bytes, .size = size, .date = G_MININT64};
	return message;
}

void
append_message_free(gpointer data)
{
	AppendMessage *message = data;

	util_close_fd(&message->fd);
	g_bytes_unref(message->bytes);
	g_free(message->flags.keywords);
	g_free(message);
}

gboolean
request_kind_changes(RequestKind kind)
{
	return kind >= REQUEST_CREATE && kind <= REQUEST_APPEND;
}

gboolean
request_kind_selects(RequestKind kind)
{
	return kind == REQUEST_SYNC || kind == REQUEST_FETCH || kind == REQUEST_PART ||
	       kind == REQUEST_HEADERS || kind == REQUEST_SEARCH ||
	       (kind >= REQUEST_STORE && kind <= REQUEST_EXPUNGE);
}

Request *
request_new(RequestKind kind, const char *mailbox, const RequestEvents *events, gpointer user)
{
	Request *request = g_new0(Request, 1);

	request->kind = kind;
	request->mailbox = g_strdup(mailbox);
	request->events = events;
	request->user = user;
	return request;
}

void
request_free(Request *request)
{
	if (request == NULL)
		return;
	g_free(request->mailbox);
	g_strfreev(request->mailboxes);
	uidset_free(request->uids);
	uidset_free(request->marked);
	if (request->terms != NULL)
		g_ptr_array_unref(request->terms);
	if (request->messages != NULL)
		g_ptr_array_unref(request->messages);
	g_free(request->target);
	g_free(request->add.keywords);
	g_free(request->remove.keywords);
	g_free(request);
}

void
request_finish(Request *request, const MailboxState *state, const GError *error)
{
	request->events->done(request->user, state, error);
	request_free(request);
}
