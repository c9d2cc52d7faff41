/* SPDX-License-Identifier: MIT */
/* The folder tree is guarded by one reader-writer lock, held for memory work only. */
#include "mail/account-private.h"

#include <string.h>

#include "base/util.h"
#include "proto/pop-header.h"

#define QUOTA_AGE_US (300 * G_USEC_PER_SEC)

/* --- news from below
 * ---------------------------------------------------------------------------------- */

static void account_log(Account *account, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
account_log(Account *account, const char *format, ...)
{
	g_autofree char *text = NULL;
	g_autofree char *printable = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	printable = util_printable(text, -1, 1000);
	account->news->log(account->user, printable);
}

static void
on_pool_alert(gpointer user, const char *text)
{
	account_log(user, "the server says: %s", text);
}

static void
on_pool_health(gpointer user, PoolHealth health, const GError *error)
{
	Account *account = user;

	switch (health) {
	case POOL_ONLINE:
		account_log(account, "connected");
		account_line_is_back(account);
		if (account->news->online != NULL)
			account->news->online(account->user);
		break;
	case POOL_STARTING:
		account_log(account, "the line was lost (%s); connecting again",
			    error != NULL ? error->message : "no reason");
		break;
	case POOL_OFFLINE:
		account_log(account,
			    "offline: %s; what is cached can be read, connecting is tried again by "
			    "itself",
			    error != NULL ? error->message : "no reason");
		break;
	case POOL_REFUSED:
		account_log(account,
			    "login refused: %s; it is not tried again by itself: correct the "
			    "password, then send SIGHUP or mount anew",
			    error != NULL ? error->message : "no reason");
		break;
	case POOL_CLOSED:
		break;
	}
	if (health != POOL_ONLINE && account->news->offline != NULL)
		account->news->offline(account->user);
}

static void
on_scan_fetched(gpointer user, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	Mailbox *mailbox = account_mailbox_of(user, serial);

	if (mailbox == NULL)
		return;
	mailbox_fetched(mailbox, serial, uid, size, crc);
	mailbox_read_ahead(mailbox, serial, uid);
}

static void
on_listing(gpointer user, Mailbox *mailbox)
{
	Account *account = user;

	account->news->mailbox.listing(account->user, mailbox);
}

static void
on_gone(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid, const char *name)
{
	Account *account = user;

	account->news->mailbox.gone(account->user, mailbox, serial, uid, name);
}

static void
on_message_changed(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid)
{
	Account *account = user;

	account->news->mailbox.changed(account->user, mailbox, serial, uid);
}

static void
on_wanted(gpointer user, Mailbox *mailbox, guint32 serial, const guint32 *uids, guint n)
{
	Account *account = user;

	account->news->mailbox.wanted(account->user, mailbox, serial, uids, n);
}

static void
on_renumbered(gpointer user, Mailbox *mailbox, guint32 old_serial, guint32 new_serial)
{
	Account *account = user;

	g_rw_lock_writer_lock(&account->lock);
	if (old_serial != 0)
		g_hash_table_remove(account->by_messages, serial_key(old_serial));
	g_hash_table_insert(account->by_messages, serial_key(new_serial), mailbox);
	g_rw_lock_writer_unlock(&account->lock);
	if (old_serial != 0) {
		g_autofree char *path = account_path(account, mailbox);

		account_log(account,
			    "%s: UIDVALIDITY changed: the server has renumbered its messages, they "
			    "are listed anew",
			    path);
	}
	account->news->mailbox.renumbered(account->user, mailbox, old_serial, new_serial);
}

static const MailboxNews house_news = {
	.listing = on_listing,
	.gone = on_gone,
	.changed = on_message_changed,
	.wanted = on_wanted,
	.renumbered = on_renumbered,
};

/* --- life
 * --------------------------------------------------------------------------------------------- */

/* The root comes first. FALSE ends the walk: the index is another account's. */
static gboolean
check_root(gpointer user, const IndexMailbox *row)
{
	Account *account = user;

	account->changed = row->directory == ACCOUNT_ROOT_DIRECTORY &&
					   strcmp(row->name, account->identity) == 0
				   ? row->changed
				   : -1;
	return FALSE;
}

static gboolean
open_index(Account *account, const char *cache_dir, GError **error)
{
	gboolean rebuilt = FALSE;

	account->index = index_open(cache_dir, &rebuilt, error);
	if (account->index == NULL ||
	    !index_each_mailbox(account->index, check_root, account, error))
		return FALSE;
	if (rebuilt)
		account_log(account, "the cache was damaged or of another version: it is rebuilt "
				     "from the server");
	if (account->changed < 0) {
		account_log(account,
			    "the cache was that of another account or server: it is made anew");
		g_clear_pointer(&account->index, index_close);
		index_remove(cache_dir);
		account->index = index_open(cache_dir, &rebuilt, error);
		account->changed = 0;
	}
	if (account->index != NULL && account->changed == 0) {
		account->changed = g_get_real_time() / G_USEC_PER_SEC;
		account_put_root(account);
	}
	return account->index != NULL;
}

static guint32
number_by_header(gpointer user, const char *text, gsize len)
{
	Account *account = user;
	g_autoptr(PopHeader) header = pop_header_new();
	PopIdentity identity;

	pop_header_feed(header, (const guint8 *)text, len);
	pop_header_identity(header, &identity);
	return numbers_give_kept(account->numbers, &identity);
}

static gboolean
open_maildrop(Account *account, const char *keep_dir, GError **error)
{
	guint adopted;

	account->numbers = numbers_new(account->index);
	account->backend.numbers = numbers_for_line(account->numbers);
	if (keep_dir == NULL)
		return TRUE;
	account->archive = archive_open(keep_dir, index_generation(account->index), error);
	if (account->archive == NULL)
		return FALSE;
	adopted = archive_adopt(account->archive, number_by_header, account);
	if (adopted > 0)
		account_log(account, "%u kept messages were found again", adopted);
	numbers_keep(account->numbers, archive_uids(account->archive));
	return TRUE;
}

Account *
account_new(const AccountConfig *config, const AccountNews *news, gpointer user, GError **error)
{
	Account *account = g_new0(Account, 1);
	account->news = news;
	account->user = user;
	account->dir_time_us = config->dir_time_us;
	account->folders = g_strdupv((char **)config->folders);
	account->subscribed = config->subscribed;
	g_rw_lock_init(&account->lock);
	g_mutex_init(&account->list_lock);
	g_cond_init(&account->listed);
	account->all = g_ptr_array_new_with_free_func((GDestroyNotify)mailbox_free);
	account->by_directory = g_hash_table_new(NULL, NULL);
	account->by_messages = g_hash_table_new(NULL, NULL);
	account->by_raw = g_hash_table_new(g_str_hash, g_str_equal);
	account->local_serials = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	account->local = g_ptr_array_new();
	account->children =
		g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_ptr_array_unref);

	account->identity = g_strdup(config->identity);
	if (open_index(account, config->cache_dir, error))
		account->bodies = bodies_open(config->cache_dir, index_generation(account->index),
					      config->cache_size, error);
	if (account->bodies == NULL) {
		account_free(account);
		return NULL;
	}
	if (config->keep_dir != NULL)
		bodies_pack_no_more(account->bodies);
	account->backend = *config->backend;
	if (config->maildrop && !open_maildrop(account, config->keep_dir, error)) {
		account_free(account);
		return NULL;
	}
	account_watch_news(&account->pool_news);
	account->pool_news.alert = on_pool_alert;
	account->pool_news.health = on_pool_health;
	account->pool = pool_new(config->backend_new, &account->backend, config->connections,
				 &account->pool_news, account);
	account->scan = scan_new(account->pool, account->bodies, on_scan_fetched, account);
	account->house = (MailboxHouse){
		.pool = account->pool,
		.index = account->index,
		.bodies = account->bodies,
		.scan = account->scan,
		.numbers = account->numbers,
		.archive = account->archive,
		.names_uid = config->names_uid,
		.news = &house_news,
		.user = account,
	};
	if (!account_load(account, error)) {
		account_stop(account);
		account_free(account);
		return NULL;
	}
	return account;
}

/* TRUE: the server could not be asked, but what is cached can be shown. */
static gboolean
may_go_offline(Account *account, const GError *error)
{
	gboolean line_trouble = g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE) ||
				g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT) ||
				g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_HOST_UNKNOWN) ||
				g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT) ||
				g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);

	return line_trouble && account->all->len > 0;
}

gboolean
account_start(Account *account, GCancellable *cancel, gboolean *offline_out, char **reason_out,
	      GError **error)
{
	g_autoptr(GError) problem = NULL;

	*offline_out = FALSE;
	if (pool_start(account->pool, cancel, &problem)) {
		account_list(account, 0);
		g_mutex_lock(&account->list_lock);
		while (account->listing && !g_cancellable_is_cancelled(cancel))
			g_cond_wait_until(&account->listed, &account->list_lock,
					  g_get_monotonic_time() + 100 * G_TIME_SPAN_MILLISECOND);
		if (account->list_error != NULL)
			problem = g_error_copy(account->list_error);
		g_mutex_unlock(&account->list_lock);
		if (problem == NULL && !g_cancellable_set_error_if_cancelled(cancel, &problem)) {
			account_quota(account);
			return TRUE;
		}
	}
	if (may_go_offline(account, problem)) {
		*offline_out = TRUE;
		*reason_out = g_strdup(problem->message);
		return TRUE;
	}
	g_propagate_error(error, g_steal_pointer(&problem));
	return FALSE;
}

void
account_stop(Account *account)
{
	/* It is still there for those who submit: their requests fail at once. */
	pool_stop(account->pool);
}

void
account_free(Account *account)
{
	if (account == NULL)
		return;
	scan_free(account->scan);
	g_ptr_array_unref(account->all);
	pool_free(account->pool);
	bodies_close(account->bodies);
	numbers_free(account->numbers);
	archive_close(account->archive);
	index_close(account->index);
	g_hash_table_unref(account->by_directory);
	g_hash_table_unref(account->by_messages);
	g_hash_table_unref(account->by_raw);
	g_hash_table_unref(account->children);
	g_hash_table_unref(account->local_serials);
	g_ptr_array_unref(account->local);
	g_strfreev(account->folders);
	g_free(account->identity);
	g_clear_error(&account->list_error);
	g_rw_lock_clear(&account->lock);
	g_mutex_clear(&account->list_lock);
	g_cond_clear(&account->listed);
	g_free(account);
}

/* --- looking at it
 * ------------------------------------------------------------------------------------ */

guint64
account_folders_version(Account *account)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);

	return account->version;
}

gint64
account_changed(Account *account)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);

	return account->changed;
}

gint64
account_dir_time(const Account *account)
{
	return account->dir_time_us;
}

gboolean
account_is_maildrop(const Account *account)
{
	return account->numbers != NULL;
}

Mailbox *
account_mailbox(Account *account, guint32 directory)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);

	return g_hash_table_lookup(account->by_directory, serial_key(directory));
}

Mailbox *
account_mailbox_of(Account *account, guint32 messages)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);

	return g_hash_table_lookup(account->by_messages, serial_key(messages));
}

Mailbox *
account_child(Account *account, guint32 directory, const char *file_name)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);

	return account_child_by_name(account, directory, file_name);
}

guint
account_n_children(Account *account, guint32 directory)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);
	GPtrArray *children = account_children_of(account, directory);

	return children != NULL ? children->len : 0;
}

GPtrArray *
account_children(Account *account, guint32 directory, guint32 first)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);
	GPtrArray *children = account_children_of(account, directory);
	GPtrArray *out = g_ptr_array_new();

	for (guint i = 0; children != NULL && i < children->len; i++)
		if (mailbox_directory(children->pdata[i]) >= first)
			g_ptr_array_add(out, children->pdata[i]);
	return out;
}

GPtrArray *
account_mailboxes(Account *account)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);
	GPtrArray *out = g_ptr_array_new();

	for (guint i = 0; i < account->all->len; i++)
		if ((mailbox_attributes(account->all->pdata[i]) & MAILBOX_LOCAL) == 0 &&
		    g_hash_table_lookup(account->by_directory,
					serial_key(mailbox_directory(account->all->pdata[i]))) !=
			    NULL)
			g_ptr_array_add(out, account->all->pdata[i]);
	return out;
}

char *
account_path(Account *account, Mailbox *mailbox)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);
	g_autoptr(GString) path = g_string_new(mailbox_file_name(mailbox));

	for (mailbox = g_hash_table_lookup(account->by_directory,
					   serial_key(mailbox_parent(mailbox)));
	     mailbox != NULL; mailbox = g_hash_table_lookup(account->by_directory,
							    serial_key(mailbox_parent(mailbox)))) {
		g_string_prepend_c(path, '/');
		g_string_prepend(path, mailbox_file_name(mailbox));
	}
	return g_strdup(path->str);
}

/* --- quota
 * ---------------------------------------------------------------------------------------------- */

static void
on_quota(gpointer user, guint64 used, guint64 limit)
{
	Account *account = user;
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&account->lock);

	account->quota = (AccountQuota){.known = TRUE, .used = used, .limit = limit};
}

static void
on_quota_done(gpointer user, const MailboxState *state, const GError *error)
{
	Account *account = user;
	g_autoptr(GRWLockWriterLocker) locker = g_rw_lock_writer_locker_new(&account->lock);

	account->quota_asked = FALSE;
	account->quota_at = g_get_monotonic_time();
}

static const RequestEvents quota_events = {.quota = on_quota, .done = on_quota_done};

AccountQuota
account_quota(Account *account)
{
	AccountQuota quota;
	gboolean ask = FALSE;

	g_rw_lock_writer_lock(&account->lock);
	quota = account->quota;
	if (account->numbers == NULL && !account->quota_asked &&
	    (account->quota_at == 0 || g_get_monotonic_time() - account->quota_at > QUOTA_AGE_US))
		ask = account->quota_asked = TRUE;
	g_rw_lock_writer_unlock(&account->lock);
	if (ask)
		pool_submit(account->pool,
			    request_new(REQUEST_QUOTA, "INBOX", &quota_events, account));
	return quota;
}

/* --- parts, for status pages
 * ------------------------------------------------------------------------------ */

Pool *
account_pool(Account *account)
{
	return account->pool;
}

gboolean
account_is_online(Account *account)
{
	PoolStatus status;
	gboolean online;

	if (account->pool == NULL)
		return FALSE;
	pool_get_status(account->pool, &status);
	online = status.health == POOL_ONLINE;
	pool_status_clear(&status);
	return online;
}

Bodies *
account_bodies(Account *account)
{
	return account->bodies;
}

Scan *
account_scan(Account *account)
{
	return account->scan;
}

Index *
account_index(Account *account)
{
	return account->index;
}

Numbers *
account_numbers(Account *account)
{
	return account->numbers;
}

Archive *
account_archive(Account *account)
{
	return account->archive;
}

gint64
account_listed_at(Account *account)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&account->list_lock);

	return account->listed_clock;
}
