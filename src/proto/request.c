/* SPDX-License-Identifier: MIT */
#include "proto/request.h"

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
	uidset_free(request->uids);
	g_free(request);
}

void
request_finish(Request *request, const MailboxState *state, const GError *error)
{
	request->events->done(request->user, state, error);
	request_free(request);
}
