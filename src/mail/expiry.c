/* SPDX-License-Identifier: MIT */
/* The listing is asked for first: what the server does not have now needs no deletion, and what
 * another client has deleted meanwhile is known. A deletion whose end nobody has heard of is left
 * to the next round, which looks again. */
#include "mail/expiry.h"

#include "base/error.h"
#include "base/util.h"

#define ROUND_US (3600 * (gint64)G_USEC_PER_SEC)
#define SOON_US	 (60 * (gint64)G_USEC_PER_SEC) /* when there is more to do, or it went wrong */
#define MOST	 500			       /* messages in a round */

struct Expiry {
	Account *account;
	ExpiryConfig config;
	GThread *thread;

	GMutex lock; /* guards all below */
	GCond wake;
	gboolean stopped, hurry;
	gboolean answered; /* what the thread waits for has come */
	UidSet *deleted;   /* by the request under way */
	GError *error;	   /* that it ended with */
};

/* --- waiting; on the thread
 * --------------------------------------------------------------------------- */

static void
on_listed(gpointer user)
{
	Expiry *expiry = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&expiry->lock);

	expiry->answered = TRUE;
	g_cond_signal(&expiry->wake);
}

/* Whoever was asked to call back does so, also when all ends. */
static void
wait_for_answer(Expiry *expiry)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&expiry->lock);

	while (!expiry->answered)
		g_cond_wait(&expiry->wake, &expiry->lock);
	expiry->answered = FALSE;
}

/* TRUE: what is listed is what the server has now. */
static gboolean
list_anew(Expiry *expiry, Mailbox *mailbox)
{
	g_autoptr(GError) error = NULL;
	MailboxView view;

	mailbox_refresh(mailbox, account_dir_time(expiry->account));
	while (mailbox_wait(mailbox, on_listed, expiry))
		wait_for_answer(expiry);
	error = mailbox_error(mailbox);
	mailbox_view(mailbox, &view);
	return error == NULL && view.listed;
}

/* --- what may go
 * -------------------------------------------------------------------------------------- */

/* (transfer full) */
static UidSet *
due_now(Expiry *expiry, Mailbox *mailbox, const MailboxView *view, gboolean *more_out)
{
	gint64 before = g_get_real_time() / G_USEC_PER_SEC - expiry->config.keep_s;
	guint most = expiry->config.limit != 0 ? MIN(expiry->config.limit, MOST) : MOST;
	g_autoptr(UidSet) old = numbers_fetched_before(account_numbers(expiry->account), before);
	UidSet *due = uidset_new();
	guint n = 0;

	*more_out = FALSE;
	for (guint i = 0; i < uidset_n_ranges(old); i++) {
		guint32 first, last;

		uidset_range(old, i, &first, &last);
		for (guint64 uid = first; uid <= last; uid++) {
			MessageView message;

			*more_out = n >= most;
			if (*more_out)
				return due;
			if (!mailbox_get(mailbox, view->messages, (guint32)uid, &message) ||
			    !mailbox_secure_body(mailbox, view->messages, (guint32)uid))
				continue;
			uidset_add(due, (guint32)uid, (guint32)uid);
			n++;
		}
	}
	return due;
}

/* --- deleting
 * ----------------------------------------------------------------------------------------- */

static void
on_vanished(gpointer user, const UidSet *uids)
{
	Expiry *expiry = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&expiry->lock);

	uidset_add_all(expiry->deleted, uids);
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Expiry *expiry = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&expiry->lock);

	expiry->error = error != NULL ? g_error_copy(error) : NULL;
	expiry->answered = TRUE;
	g_cond_signal(&expiry->wake);
}

static const RequestEvents expunge_events = {.vanished = on_vanished, .done = on_done};

static void
tell(Expiry *expiry, const GError *error)
{
	guint64 n = uidset_count(expiry->deleted);
	g_autofree char *text = NULL;
	g_autofree char *printable = NULL;

	if (n > 0)
		text = g_strdup_printf(
			"pop-keep: %" G_GUINT64_FORMAT " message%s deleted on the server%s", n,
			n == 1 ? "" : "s",
			account_archive(expiry->account) != NULL ? ", and kept here" : "");
	else if (error != NULL)
		text = g_strdup_printf("pop-keep: nothing was deleted on the server: %s; it is "
				       "tried again",
				       error->message);
	if (text == NULL)
		return;
	printable = util_printable(text, -1, 1000);
	expiry->config.log(expiry->config.user, printable);
}

/* FALSE: it went wrong. */
static gboolean delete (Expiry *expiry, Mailbox *mailbox, const MailboxView *view, UidSet *due)
{
	Request *request =
		request_new(REQUEST_EXPUNGE, mailbox_raw_name(mailbox), &expunge_events, expiry);
	g_autoptr(GError) error = NULL;

	uidset_remove(expiry->deleted, 1, G_MAXUINT32);
	request->uidvalidity = view->uidvalidity;
	request->uids = uidset_copy(due);
	pool_submit(account_pool(expiry->account), request);
	wait_for_answer(expiry);
	error = g_steal_pointer(&expiry->error);
	tell(expiry, error);
	if (account_archive(expiry->account) != NULL)
		numbers_set_absent(account_numbers(expiry->account), expiry->deleted);
	else
		mailbox_drop(mailbox, view->messages, expiry->deleted);
	return error == NULL;
}

/* TRUE: another one should come soon. */
static gboolean
do_round(Expiry *expiry)
{
	Mailbox *mailbox = account_mailbox_named(expiry->account, POP_MAILBOX);
	g_autoptr(UidSet) due = NULL;
	MailboxView view;
	gboolean more;

	if (mailbox == NULL || !list_anew(expiry, mailbox))
		return TRUE;
	mailbox_view(mailbox, &view);
	due = due_now(expiry, mailbox, &view, &more);
	return (!uidset_is_empty(due) && !delete (expiry, mailbox, &view, due)) || more;
}

/* --- life
 * --------------------------------------------------------------------------------------------- */

static gpointer
expiry_main(gpointer user)
{
	Expiry *expiry = user;

	g_mutex_lock(&expiry->lock);
	while (!expiry->stopped) {
		gboolean soon;
		gint64 until;

		expiry->hurry = FALSE;
		g_mutex_unlock(&expiry->lock);
		soon = do_round(expiry);
		g_mutex_lock(&expiry->lock);
		until = g_get_monotonic_time() + (soon ? SOON_US : ROUND_US);
		while (!expiry->stopped && !expiry->hurry &&
		       g_cond_wait_until(&expiry->wake, &expiry->lock, until))
			continue;
	}
	g_mutex_unlock(&expiry->lock);
	return NULL;
}

Expiry *
expiry_new(Account *account, const ExpiryConfig *config)
{
	Expiry *expiry = g_new0(Expiry, 1);

	expiry->account = account;
	expiry->config = *config;
	expiry->deleted = uidset_new();
	g_mutex_init(&expiry->lock);
	g_cond_init(&expiry->wake);
	expiry->thread = g_thread_new("expiry", expiry_main, expiry);
	return expiry;
}

void
expiry_hurry(Expiry *expiry)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&expiry->lock);

	expiry->hurry = TRUE;
	g_cond_signal(&expiry->wake);
}

void
expiry_stop(Expiry *expiry)
{
	g_mutex_lock(&expiry->lock);
	expiry->stopped = TRUE;
	g_cond_signal(&expiry->wake);
	g_mutex_unlock(&expiry->lock);
}

void
expiry_free(Expiry *expiry)
{
	if (expiry == NULL)
		return;
	expiry_stop(expiry);
	g_thread_join(expiry->thread);
	g_clear_error(&expiry->error);
	uidset_free(expiry->deleted);
	g_mutex_clear(&expiry->lock);
	g_cond_clear(&expiry->wake);
	g_free(expiry);
}
