/* SPDX-License-Identifier: MIT */
/* What the server tells of mailboxes without being asked, and which of them it should watch. */
#include "mail/account-private.h"

#include <string.h>

#include "mail/name.h"

#define LOOK_US	   (10 * G_USEC_PER_SEC)
#define LIST_US	   (1 * G_USEC_PER_SEC) /* between two listings, however often the server tells */
#define USED_MAX   32			/* mailboxes that nothing was promised of */
#define STATUS_MAX 64			/* mailboxes in one request */

static Mailbox *
mailbox_by_raw(Account *account, const char *raw_name)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);

	return g_hash_table_lookup(account->by_raw, raw_name);
}

static void
on_changed(gpointer user, const char *raw_name)
{
	Mailbox *mailbox = mailbox_by_raw(user, raw_name);

	if (mailbox != NULL)
		mailbox_told(mailbox);
}

/* Dovecot tells its names in UTF-8 when nobody has asked (NOTIFY, 2.3). Where both can be meant
 * both are looked at. */
static void
on_status(gpointer user, const char *raw_name, const MailboxStatus *status)
{
	g_autofree char *encoded = name_mutf7_of_utf8(raw_name);
	Mailbox *mailbox = mailbox_by_raw(user, raw_name);
	Mailbox *other = encoded != NULL ? mailbox_by_raw(user, encoded) : NULL;

	if (mailbox != NULL)
		mailbox_take_status(mailbox, status);
	if (other != NULL)
		mailbox_take_status(other, status);
}

static void
list_when_wanted(Account *account)
{
	gboolean wanted;

	g_mutex_lock(&account->list_lock);
	wanted = account->list_wanted;
	g_mutex_unlock(&account->list_lock);
	if (wanted)
		account_list(account, LIST_US);
}

static void
on_folders(gpointer user)
{
	Account *account = user;

	g_mutex_lock(&account->list_lock);
	account->list_wanted = TRUE;
	g_mutex_unlock(&account->list_lock);
	list_when_wanted(account);
	/* What came too soon after the last listing is seen to by on_watch(). */
	pool_look(account->pool);
}

/* --- watching
 * ----------------------------------------------------------------------------------------- */

typedef struct {
	PoolWatch watch;
	gint used;
	gboolean promised;
} InUse;

/* INBOX, then the one that was used last. */
static gint
by_importance(gconstpointer a, gconstpointer b)
{
	const InUse *left = a, *right = b;
	gboolean inbox = strcmp(left->watch.name, "INBOX") == 0;

	if (inbox || strcmp(right->watch.name, "INBOX") == 0)
		return inbox ? -1 : 1;
	return right->used < left->used ? -1 : right->used > left->used;
}

/* What was put off. Returns when the next is due. */
static gint64
catch_up(Account *account)
{
	g_autoptr(GPtrArray) mailboxes = account_mailboxes(account);
	gint64 next = G_MAXINT64;

	for (guint i = 0; i < mailboxes->len; i++) {
		gint64 due = mailbox_catch_up(mailboxes->pdata[i]);

		if (due != 0)
			next = MIN(next, due);
	}
	return next;
}

static gint64
on_watch(gpointer user, GArray *out)
{
	Account *account = user;
	g_autoptr(GArray) in_use = g_array_new(FALSE, TRUE, sizeof(InUse));
	guint used = 0;
	gint64 again, next;

	g_rw_lock_reader_lock(&account->lock);
	for (guint i = 0; i < account->all->len; i++) {
		Mailbox *mailbox = account->all->pdata[i];
		InUse one;

		if (g_hash_table_lookup(account->by_raw, mailbox_raw_name(mailbox)) == mailbox &&
		    mailbox_watch(mailbox, &one.watch, &one.used, &one.promised))
			g_array_append_val(in_use, one);
	}
	g_rw_lock_reader_unlock(&account->lock);
	g_array_sort(in_use, by_importance);
	for (guint i = 0; i < in_use->len; i++) {
		InUse *one = &g_array_index(in_use, InUse, i);

		/* A program that runs through all mailboxes does not come back to each. */
		if (one->promised || used++ < USED_MAX)
			g_array_append_val(out, one->watch);
		else
			g_free(one->watch.name);
	}
	list_when_wanted(account);
	next = catch_up(account);
	again = CLAMP(account->dir_time_us, LIST_US, LOOK_US);
	g_mutex_lock(&account->list_lock);
	if (account->list_wanted)
		again = LIST_US;
	g_mutex_unlock(&account->list_lock);
	return MIN(next, g_get_monotonic_time() + again);
}

static void
on_take_up(gpointer user, const char *raw_name)
{
	Mailbox *mailbox = mailbox_by_raw(user, raw_name);

	if (mailbox != NULL)
		mailbox_take_up(mailbox);
}

static void
on_status_done(gpointer user, const MailboxState *state, const GError *error)
{
}

static const RequestEvents status_events = {.done = on_status_done};

static void
ask_status(Account *account, GPtrArray *names)
{
	Request *request = request_new(REQUEST_STATUS, NULL, &status_events, account);

	g_ptr_array_add(names, NULL);
	request->mailboxes = g_strdupv((char **)names->pdata);
	g_ptr_array_set_size(names, 0);
	pool_submit(account->pool, request);
}

static void
ask_for(Account *account, const char *const *raw_names, gboolean prove)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	for (guint i = 0; raw_names[i] != NULL; i++) {
		Mailbox *mailbox = mailbox_by_raw(account, raw_names[i]);

		if (mailbox == NULL || !mailbox_ask_status(mailbox, account->dir_time_us, prove))
			continue;
		if (account->numbers != NULL) {
			mailbox_refresh(mailbox, account->dir_time_us);
			continue;
		}
		g_ptr_array_add(names, (char *)raw_names[i]);
		if (names->len == STATUS_MAX)
			ask_status(account, names);
	}
	if (names->len > 0)
		ask_status(account, names);
}

static void
on_unwatched(gpointer user, const char *const *raw_names)
{
	ask_for(user, raw_names, FALSE);
}

static void
on_unproved(gpointer user, const char *const *raw_names)
{
	ask_for(user, raw_names, TRUE);
}

void
account_watch_news(PoolNews *news)
{
	*news = (PoolNews){
		.changed = on_changed,
		.status = on_status,
		.folders = on_folders,
		.watch = on_watch,
		.take_up = on_take_up,
		.unwatched = on_unwatched,
		.unproved = on_unproved,
	};
}

void
account_line_is_back(Account *account)
{
	g_rw_lock_reader_lock(&account->lock);
	for (guint i = 0; i < account->all->len; i++)
		mailbox_line_is_back(account->all->pdata[i]);
	g_rw_lock_reader_unlock(&account->lock);
	pool_look(account->pool);
}
