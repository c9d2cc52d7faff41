/* SPDX-License-Identifier: MIT */
/* The folder tree is guarded by one reader-writer lock, held for memory work only. A LIST answer is
 * collected on its session's thread and applied at its end in one go. Mailboxes that disappear
 * leave the tree but stay in memory: the kernel may still hold their numbers. */
#include "mail/account.h"

#include <string.h>

#include "base/util.h"
#include "mail/name.h"

#define QUOTA_AGE_US (300 * G_USEC_PER_SEC)

struct Account {
	const AccountNews *news;
	gpointer user;
	Pool *pool;
	Index *index;
	Bodies *bodies;
	Scan *scan;
	PoolNews pool_news;
	MailboxHouse house;
	gint64 dir_time_us;
	GStrv folders;
	gboolean subscribed;
	char *identity;

	GRWLock lock;		  /* guards all below */
	GPtrArray *all;		  /* of Mailbox, owned: also those that are gone */
	GHashTable *by_directory; /* serial → Mailbox: in the tree */
	GHashTable *by_messages;  /* serial → Mailbox */
	GHashTable *by_raw;	  /* raw server name → Mailbox: in the tree */
	guint64 version;	  /* of the tree */
	gint64 changed;		  /* wall clock, seconds: of the tree */
	GHashTable
		*children; /* parent's directory serial → GPtrArray of Mailbox, by rising serial */
	gboolean listing;
	gint64 listed_at; /* monotonic; 0 never */
	gint64 listed_clock;
	GError *list_error;
	GCond listed; /* with list_lock: account_start() waits here */
	GMutex list_lock;
	AccountQuota quota;
	gint64 quota_at;
	gboolean quota_asked;
};

/* One LIST response kept until all are here. */
typedef struct {
	char *name, *prefix;
	char separator;
	guint attributes;
} Listed;

typedef struct {
	Account *account;
	GPtrArray *listed; /* of Listed */
} Listing;

static void
listed_free(gpointer data)
{
	Listed *listed = data;

	g_free(listed->name);
	g_free(listed->prefix);
	g_free(listed);
}

static void put_root(Account *account);

/* --- the tree
 * ----------------------------------------------------------------------------------------- */

static gpointer
serial_key(guint32 serial)
{
	return GUINT_TO_POINTER(serial);
}

static GPtrArray *
children_of(Account *account, guint32 directory)
{
	return g_hash_table_lookup(account->children, serial_key(directory));
}

static Mailbox *
child_by_name(Account *account, guint32 directory, const char *file_name)
{
	GPtrArray *children = children_of(account, directory);

	for (guint i = 0; children != NULL && i < children->len; i++)
		if (strcmp(mailbox_file_name(children->pdata[i]), file_name) == 0)
			return children->pdata[i];
	return NULL;
}

static gint
by_serial(gconstpointer a, gconstpointer b)
{
	guint32 left = mailbox_directory(*(Mailbox *const *)a),
		right = mailbox_directory(*(Mailbox *const *)b);

	return left < right ? -1 : left > right;
}

/* Puts a mailbox into the tree under its unique file name. Under the lock. */
static Mailbox *
tree_add(Account *account, const IndexMailbox *row, guint32 parent, const char *component)
{
	g_autofree char *file_name = g_strdup(component);
	GPtrArray *siblings = children_of(account, parent);
	Mailbox *mailbox;

	for (guint number = 2; child_by_name(account, parent, file_name) != NULL; number++) {
		g_free(file_name);
		file_name = g_strdup_printf("%s~%u", component, number);
	}
	mailbox = mailbox_new(&account->house, row, file_name, parent);
	if (siblings == NULL) {
		siblings = g_ptr_array_new();
		g_hash_table_insert(account->children, serial_key(parent), siblings);
	}
	g_ptr_array_add(siblings, mailbox);
	g_ptr_array_sort(siblings, by_serial);
	g_ptr_array_add(account->all, mailbox);
	g_hash_table_insert(account->by_directory, serial_key(row->directory), mailbox);
	if (row->messages != 0)
		g_hash_table_insert(account->by_messages, serial_key(row->messages), mailbox);
	g_hash_table_insert(account->by_raw, (char *)mailbox_raw_name(mailbox), mailbox);
	return mailbox;
}

static void
tree_remove(Account *account, Mailbox *mailbox)
{
	GPtrArray *siblings = children_of(account, mailbox_parent(mailbox));

	if (siblings != NULL)
		g_ptr_array_remove(siblings, mailbox);
	g_hash_table_remove(account->by_directory, serial_key(mailbox_directory(mailbox)));
	g_hash_table_remove(account->by_raw, mailbox_raw_name(mailbox));
	index_delete_mailbox(account->index, mailbox_directory(mailbox));
}

/* Is this path shown? A parent of a shown one is made as needed. */
static gboolean
is_shown(const Account *account, const char *path, guint attributes)
{
	if (account->subscribed && !(attributes & MAILBOX_SUBSCRIBED) && strcmp(path, "INBOX") != 0)
		return FALSE;
	if (account->folders == NULL)
		return TRUE;
	for (guint i = 0; account->folders[i] != NULL; i++)
		if (g_pattern_match_simple(account->folders[i], path))
			return TRUE;
	return FALSE;
}

/* The raw name cut into components, the personal prefix left out. (element-type utf8): file names;
 * *@raws_out the raw name up to each. */
static GPtrArray *
split_name(const char *raw, char separator, const char *prefix, GPtrArray **raws_out)
{
	GPtrArray *components = g_ptr_array_new_with_free_func(g_free);
	GPtrArray *raws = g_ptr_array_new_with_free_func(g_free);
	const char *start = raw;

	if (prefix != NULL && *prefix != '\0' && g_str_has_prefix(raw, prefix) &&
	    raw[strlen(prefix)] != '\0')
		start = raw + strlen(prefix);
	for (;;) {
		const char *end = separator != '\0' ? strchr(start, separator) : NULL;
		gsize len = end != NULL ? (gsize)(end - start) : strlen(start);
		gboolean is_inbox =
			start == raw && len == 5 && g_ascii_strncasecmp(start, "INBOX", 5) == 0;

		g_ptr_array_add(components,
				is_inbox ? g_strdup("INBOX") : name_from_mutf7(start, len));
		g_ptr_array_add(raws, g_strndup(raw, start + len - raw));
		if (end == NULL)
			break;
		start = end + 1;
	}
	*raws_out = raws;
	return components;
}

/* Finds or makes the mailbox and the directories above it. @row: as stored, or with serials 0 for
 * one just listed. Under the lock; touches the index's serial counter (local disk). NULL when the
 * numbers are used up. */
static Mailbox *
tree_ensure(Account *account, const IndexMailbox *row, GHashTable *seen)
{
	g_autoptr(GPtrArray) raws = NULL;
	g_autoptr(GPtrArray) components = split_name(row->name, row->separator, row->prefix, &raws);
	guint32 parent = ACCOUNT_ROOT_DIRECTORY;
	Mailbox *mailbox = NULL;

	for (guint i = 0; i < components->len; i++) {
		gboolean last = i + 1 == components->len;
		const char *raw = last ? row->name : raws->pdata[i];
		IndexMailbox made = *row;

		mailbox = g_hash_table_lookup(account->by_raw, raw);
		if (mailbox == NULL && i == 0 && g_ascii_strcasecmp(raws->pdata[0], "INBOX") == 0)
			mailbox = child_by_name(account, ACCOUNT_ROOT_DIRECTORY, "INBOX");
		if (mailbox == NULL) {
			made.name = raw;
			if (!last || row->directory == 0)
				made.changed = g_get_real_time() / G_USEC_PER_SEC;
			if (!last)
				made.attributes = MAILBOX_NOSELECT;
			if (!last || row->directory == 0) {
				made.directory = index_new_serial(account->index);
				made.messages = 0;
				made.state = (MailboxState){0};
				if (made.directory == 0)
					return NULL;
				index_put_mailbox(account->index, &made);
			}
			mailbox = tree_add(account, &made, parent, components->pdata[i]);
		} else if (last) {
			mailbox_set_attributes(mailbox, row->attributes);
		}
		if (seen != NULL)
			g_hash_table_add(seen, mailbox);
		parent = mailbox_directory(mailbox);
	}
	return mailbox;
}

static gint
by_depth(gconstpointer a, gconstpointer b)
{
	const Listed *left = *(Listed *const *)a, *right = *(Listed *const *)b;

	return strcmp(left->name, right->name);
}

/* The whole LIST answer becomes the tree; what is not in it leaves. */
static void
apply_listing(Account *account, GPtrArray *listed)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
	g_autoptr(GPtrArray) gone = g_ptr_array_new();
	guint before;
	gboolean grown;

	/* Parents first, and the same order on every machine. */
	g_ptr_array_sort(listed, by_depth);
	g_rw_lock_writer_lock(&account->lock);
	before = account->all->len;
	for (guint i = 0; i < listed->len; i++) {
		Listed *one = listed->pdata[i];
		g_autoptr(GPtrArray) raws = NULL;
		g_autoptr(GPtrArray) components =
			split_name(one->name, one->separator, one->prefix, &raws);
		g_autofree char *path = NULL;
		IndexMailbox row = {
			.name = one->name,
			.separator = one->separator,
			.attributes = one->attributes,
			.prefix = one->prefix,
		};

		g_ptr_array_add(components, NULL);
		path = g_strjoinv("/", (char **)components->pdata);
		if (is_shown(account, path, one->attributes))
			tree_ensure(account, &row, seen);
	}
	for (guint i = 0; i < account->all->len; i++) {
		Mailbox *mailbox = account->all->pdata[i];

		if (!g_hash_table_contains(seen, mailbox) &&
		    g_hash_table_lookup(account->by_directory,
					serial_key(mailbox_directory(mailbox))) == mailbox) {
			tree_remove(account, mailbox);
			g_ptr_array_add(gone, mailbox);
		}
	}
	grown = account->all->len > before;
	if (grown || gone->len > 0) {
		account->version++;
		account->changed = g_get_real_time() / G_USEC_PER_SEC;
		put_root(account);
	}
	g_rw_lock_writer_unlock(&account->lock);

	for (guint i = 0; i < gone->len; i++) {
		MailboxView view;

		mailbox_view(gone->pdata[i], &view);
		bodies_remove_serial(account->bodies, view.messages);
		account->news->folder_gone(account->user, gone->pdata[i]);
	}
	if (grown || gone->len > 0)
		account->news->folders(account->user);
}

/* --- LIST
 * --------------------------------------------------------------------------------------------- */

static void
on_mailbox(gpointer user, const MailboxInfo *info)
{
	Listing *listing = user;
	Listed *listed = g_new0(Listed, 1);

	listed->name = g_strdup(info->name);
	listed->prefix = g_strdup(info->prefix != NULL ? info->prefix : "");
	listed->separator = info->separator;
	listed->attributes = info->attributes;
	g_ptr_array_add(listing->listed, listed);
}

static void
on_list_done(gpointer user, const MailboxState *state, const GError *error)
{
	Listing *listing = user;
	Account *account = listing->account;

	/* A server that lists nothing at all is believed only by a tree that has nothing. */
	if (error == NULL && listing->listed->len > 0)
		apply_listing(account, listing->listed);
	g_mutex_lock(&account->list_lock);
	account->listing = FALSE;
	g_clear_error(&account->list_error);
	if (error == NULL) {
		account->listed_at = g_get_monotonic_time();
		account->listed_clock = g_get_real_time() / G_USEC_PER_SEC;
	} else {
		account->list_error = g_error_copy(error);
	}
	g_cond_broadcast(&account->listed);
	g_mutex_unlock(&account->list_lock);
	g_ptr_array_unref(listing->listed);
	g_free(listing);
}

static const RequestEvents list_events = {.mailbox = on_mailbox, .done = on_list_done};

static void
list_folders(Account *account, gint64 max_age_us)
{
	Listing *listing;
	gboolean start = FALSE;

	g_mutex_lock(&account->list_lock);
	if (!account->listing &&
	    (account->listed_at == 0 || g_get_monotonic_time() - account->listed_at >= max_age_us))
		start = account->listing = TRUE;
	g_mutex_unlock(&account->list_lock);
	if (!start)
		return;
	listing = g_new0(Listing, 1);
	listing->account = account;
	listing->listed = g_ptr_array_new_with_free_func(listed_free);
	pool_submit(account->pool, request_new(REQUEST_LIST, NULL, &list_events, listing));
}

void
account_refresh_folders(Account *account)
{
	list_folders(account, account->dir_time_us);
}

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
on_pool_changed(gpointer user, const char *raw_name)
{
	Account *account = user;
	Mailbox *mailbox;

	g_rw_lock_reader_lock(&account->lock);
	mailbox = g_hash_table_lookup(account->by_raw, raw_name);
	g_rw_lock_reader_unlock(&account->lock);
	if (mailbox != NULL)
		mailbox_refresh(mailbox, 0);
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
}

static void
on_scan_fetched(gpointer user, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	Mailbox *mailbox = account_mailbox_of(user, serial);

	if (mailbox != NULL)
		mailbox_fetched(mailbox, serial, uid, size, crc);
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
	.renumbered = on_renumbered,
};

/* --- life
 * --------------------------------------------------------------------------------------------- */

/* The account's own row: what the tree's root is to the index. Under the lock, or before there are
 * threads. */
static void
put_root(Account *account)
{
	IndexMailbox row = {
		.name = account->identity,
		.prefix = "",
		.directory = ACCOUNT_ROOT_DIRECTORY,
		.attributes = MAILBOX_NOSELECT,
		.changed = account->changed,
	};

	index_put_mailbox(account->index, &row);
}

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
		put_root(account);
	}
	return account->index != NULL;
}

static gboolean
load_row(gpointer user, const IndexMailbox *row)
{
	if (row->directory != ACCOUNT_ROOT_DIRECTORY)
		tree_ensure(user, row, NULL);
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
	account->pool_news = (PoolNews){
		.changed = on_pool_changed, .alert = on_pool_alert, .health = on_pool_health};
	account->pool = pool_new(config->backend_new, config->backend, config->connections,
				 &account->pool_news, account);
	account->scan = scan_new(account->pool, account->bodies, on_scan_fetched, account);
	account->house = (MailboxHouse){
		.pool = account->pool,
		.index = account->index,
		.bodies = account->bodies,
		.scan = account->scan,
		.names_uid = config->names_uid,
		.news = &house_news,
		.user = account,
	};
	if (!index_each_mailbox(account->index, load_row, account, error)) {
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
				g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT);

	return line_trouble && account->all->len > 0;
}

gboolean
account_start(Account *account, GCancellable *cancel, gboolean *offline_out, char **reason_out,
	      GError **error)
{
	g_autoptr(GError) problem = NULL;

	*offline_out = FALSE;
	if (pool_start(account->pool, cancel, &problem)) {
		list_folders(account, 0);
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
	/* Until it is gone its callbacks may still submit: those requests fail at once. */
	pool_free(account->pool);
	account->pool = NULL;
}

void
account_free(Account *account)
{
	if (account == NULL)
		return;
	scan_free(account->scan);
	g_ptr_array_unref(account->all);
	bodies_close(account->bodies);
	index_close(account->index);
	g_hash_table_unref(account->by_directory);
	g_hash_table_unref(account->by_messages);
	g_hash_table_unref(account->by_raw);
	g_hash_table_unref(account->children);
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

	return child_by_name(account, directory, file_name);
}

guint
account_n_children(Account *account, guint32 directory)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);
	GPtrArray *children = children_of(account, directory);

	return children != NULL ? children->len : 0;
}

GPtrArray *
account_children(Account *account, guint32 directory, guint32 first)
{
	g_autoptr(GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new(&account->lock);
	GPtrArray *children = children_of(account, directory);
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
		if (g_hash_table_lookup(account->by_directory,
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
	if (!account->quota_asked &&
	    (account->quota_at == 0 || g_get_monotonic_time() - account->quota_at > QUOTA_AGE_US))
		ask = account->quota_asked = TRUE;
	g_rw_lock_writer_unlock(&account->lock);
	if (ask && account->pool != NULL)
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

gint64
account_listed_at(Account *account)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&account->list_lock);

	return account->listed_clock;
}
