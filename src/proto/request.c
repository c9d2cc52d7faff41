/* SPDX-License-Identifier: MIT */
#include "proto/request.h"

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
	if (request->terms != NULL)
		g_ptr_array_unref(request->terms);
	g_free(request);
}

void
request_finish(Request *request, const MailboxState *state, const GError *error)
{
	request->events->done(request->user, state, error);
	request_free(request);
}
