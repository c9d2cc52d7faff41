/* SPDX-License-Identifier: MIT */
/* Searching: the server does it. */
#include "mail/mailbox-private.h"

typedef struct {
	MailboxFound done;
	gpointer user;
	guint32 serial;
	UidSet *found;
} Search;

static void
on_found(gpointer user, const UidSet *uids)
{
	Search *search = user;

	uidset_free(search->found);
	search->found = uidset_copy(uids);
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Search *search = user;

	if (error == NULL && search->found == NULL)
		search->found = uidset_new();
	search->done(search->user, search->serial, error == NULL ? search->found : NULL, error);
	uidset_free(search->found);
	g_free(search);
}

static const RequestEvents search_events = {
	.found = on_found,
	.done = on_done,
};

void
mailbox_search(Mailbox *mailbox, GPtrArray *terms, MailboxFound done, gpointer user)
{
	g_autoptr(GError) refused = NULL;
	Search *search;
	Request *request;

	if (mailbox_attributes(mailbox) & (MAILBOX_MAILDROP | MAILBOX_LOCAL)) {
		refused = g_error_new_literal(
			MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED,
			mailbox_attributes(mailbox) & MAILBOX_LOCAL
				? "there is no server that could search here: grep -r does"
				: "POP3 servers cannot search: grep -r in the mailbox, or "
				  "in .text/INBOX, does");
		g_ptr_array_unref(terms);
		done(user, 0, NULL, refused);
		return;
	}
	search = g_new0(Search, 1);
	request = request_new(REQUEST_SEARCH, mailbox_raw_name(mailbox), &search_events, search);

	search->done = done;
	search->user = user;
	g_rw_lock_reader_lock(&mailbox->lock);
	search->serial = mailbox->serial;
	request->uidvalidity = mailbox->state.uidvalidity;
	g_rw_lock_reader_unlock(&mailbox->lock);
	request->terms = terms;
	pool_submit(mailbox->house->pool, request);
}
