/* SPDX-License-Identifier: MIT */
/* The tree of mailboxes. A LIST answer is collected on its session's thread and applied at its end
 * in one go. Mailboxes that disappear leave the tree but stay in memory: the kernel may still hold
 * their numbers. */
#include "mail/account-private.h"

#include <string.h>

#include "mail/name.h"

/* One LIST response kept until all are here. */
typedef struct {
	char *name, *prefix;
	char separator;
	guint attributes;
} Listed;

typedef struct {
	Account *account;
	GPtrArray *listed; /* of Listed */
	guint64 own;	   /* account's, when it was asked */
} Listing;

static void
listed_free(gpointer data)
{
	Listed *listed = data;

	g_free(listed->name);
	g_free(listed->prefix);
	g_free(listed);
}

/* The account's own row: what the tree's root is to the index. Under the lock, or before there are
 * threads. */
void
account_put_root(Account *account)
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

/* --- the tree
 * ----------------------------------------------------------------------------------------- */

GPtrArray *
account_children_of(Account *account, guint32 directory)
{
	return g_hash_table_lookup(account->children, serial_key(directory));
}

Mailbox *
account_child_by_name(Account *account, guint32 directory, const char *file_name)
{
	GPtrArray *children = account_children_of(account, directory);

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
Mailbox *
account_tree_add(Account *account, const IndexMailbox *row, guint32 parent, const char *component)
{
	g_autofree char *file_name = g_strdup(component);
	GPtrArray *siblings = account_children_of(account, parent);
	Mailbox *mailbox;

	for (guint number = 2; account_child_by_name(account, parent, file_name) != NULL;
	     number++) {
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

void
account_tree_move(Account *account, Mailbox *mailbox, guint32 parent, const char *raw_name,
		  const char *file_name)
{
	GPtrArray *old = account_children_of(account, mailbox_parent(mailbox));
	GPtrArray *siblings = account_children_of(account, parent);

	g_hash_table_remove(account->by_raw, mailbox_raw_name(mailbox));
	pool_doubt(account->pool, mailbox_raw_name(mailbox));
	mailbox_set_place(mailbox, raw_name, file_name, parent);
	g_hash_table_replace(account->by_raw, (char *)mailbox_raw_name(mailbox), mailbox);
	if (old == siblings)
		return;
	if (old != NULL)
		g_ptr_array_remove(old, mailbox);
	if (siblings == NULL) {
		siblings = g_ptr_array_new();
		g_hash_table_insert(account->children, serial_key(parent), siblings);
	}
	g_ptr_array_add(siblings, mailbox);
	g_ptr_array_sort(siblings, by_serial);
}

void
account_tree_remove(Account *account, Mailbox *mailbox)
{
	GPtrArray *siblings = account_children_of(account, mailbox_parent(mailbox));

	if (siblings != NULL)
		g_ptr_array_remove(siblings, mailbox);
	g_hash_table_remove(account->by_directory, serial_key(mailbox_directory(mailbox)));
	g_hash_table_remove(account->by_raw, mailbox_raw_name(mailbox));
	pool_doubt(account->pool, mailbox_raw_name(mailbox));
	mailbox_set_gone(mailbox);
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
Mailbox *
account_ensure(Account *account, const IndexMailbox *row, GHashTable *seen)
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
			mailbox = account_child_by_name(account, ACCOUNT_ROOT_DIRECTORY, "INBOX");
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
			mailbox = account_tree_add(account, &made, parent, components->pdata[i]);
		} else if (last) {
			mailbox_set_attributes(mailbox, row->attributes);
		}
		if (seen != NULL)
			g_hash_table_add(seen, mailbox);
		parent = mailbox_directory(mailbox);
	}
	return mailbox;
}

/* --- what the index knows: in the order in which it came, but what lies below another after that
 * one, wherever it came from --- */

typedef struct {
	IndexMailbox row; /* its texts are owned */
	gboolean placed;
} StoredMailbox;

static void
stored_free(gpointer data)
{
	StoredMailbox *stored = data;

	g_free((char *)stored->row.name);
	g_free((char *)stored->row.prefix);
	g_free(stored);
}

static gboolean
keep_row(gpointer user, const IndexMailbox *row)
{
	StoredMailbox *stored = g_new0(StoredMailbox, 1);

	stored->row = *row;
	stored->row.name = g_strdup(row->name);
	stored->row.prefix = g_strdup(row->prefix);
	g_ptr_array_add(user, stored);
	return TRUE;
}

static void
place_stored(Account *account, GHashTable *by_name, StoredMailbox *stored)
{
	const IndexMailbox *row = &stored->row;
	const char *end = row->name;

	if (stored->placed)
		return;
	stored->placed = TRUE;
	while (row->separator != '\0' && (end = strchr(end, row->separator)) != NULL) {
		g_autofree char *above = g_strndup(row->name, (gsize)(end++ - row->name));
		StoredMailbox *parent = g_hash_table_lookup(by_name, above);

		if (parent != NULL)
			place_stored(account, by_name, parent);
	}
	if ((row->attributes & MAILBOX_LOCAL) != 0)
		account_note_local(account, row);
	else if (row->directory != ACCOUNT_ROOT_DIRECTORY)
		account_ensure(account, row, NULL);
}

gboolean
account_load(Account *account, GError **error)
{
	g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(stored_free);
	g_autoptr(GHashTable) by_name = g_hash_table_new(g_str_hash, g_str_equal);

	if (!index_each_mailbox(account->index, keep_row, rows, error))
		return FALSE;
	for (guint i = 0; i < rows->len; i++) {
		StoredMailbox *stored = rows->pdata[i];

		g_hash_table_insert(by_name, (char *)stored->row.name, stored);
	}
	for (guint i = 0; i < rows->len; i++)
		place_stored(account, by_name, rows->pdata[i]);
	return TRUE;
}

/* --- what the server lists --- */

static gint
by_depth(gconstpointer a, gconstpointer b)
{
	const Listed *left = *(Listed *const *)a, *right = *(Listed *const *)b;

	return strcmp(left->name, right->name);
}

/* Those that the server lists no more leave the tree. Under the lock. */
static void
drop_unseen(Account *account, GHashTable *seen, GPtrArray *gone)
{
	for (guint i = 0; i < account->all->len; i++) {
		Mailbox *mailbox = account->all->pdata[i];

		if (!g_hash_table_contains(seen, mailbox) &&
		    (mailbox_attributes(mailbox) & MAILBOX_LOCAL) == 0 &&
		    g_hash_table_lookup(account->by_directory,
					serial_key(mailbox_directory(mailbox))) == mailbox) {
			account_tree_remove(account, mailbox);
			g_ptr_array_add(gone, mailbox);
		}
	}
}

/* The whole LIST answer becomes the tree; what is not in it leaves. FALSE: it was asked before we
 * changed the tree ourselves, or meanwhile, and is void. */
static gboolean
apply_listing(Account *account, const Listing *listing)
{
	GPtrArray *listed = listing->listed;
	g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
	g_autoptr(GPtrArray) gone = g_ptr_array_new();
	g_autofree char *hidden = NULL;
	guint before;
	gboolean grown;

	/* Parents first, and the same order on every machine. */
	g_ptr_array_sort(listed, by_depth);
	g_rw_lock_writer_lock(&account->lock);
	if (listing->own != account->own) {
		g_rw_lock_writer_unlock(&account->lock);
		return FALSE;
	}
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
		if (account_is_hidden(account, components->pdata[0]))
			hidden = hidden != NULL ? hidden : g_steal_pointer(&path);
		else if (is_shown(account, path, one->attributes))
			account_ensure(account, &row, seen);
	}
	drop_unseen(account, seen, gone);
	grown = account->all->len > before;
	if (grown || gone->len > 0) {
		account->version++;
		account->changed = g_get_real_time() / G_USEC_PER_SEC;
		account_put_root(account);
	}
	g_rw_lock_writer_unlock(&account->lock);

	if (hidden != NULL)
		account_tell_hidden(account, hidden);
	for (guint i = 0; i < gone->len; i++) {
		MailboxView view;

		mailbox_view(gone->pdata[i], &view);
		bodies_remove_serial(account->bodies, view.messages);
		account->news->folder_gone(account->user, gone->pdata[i]);
	}
	if (grown || gone->len > 0)
		account->news->folders(account->user);
	return TRUE;
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
	if (listing->account->numbers != NULL)
		listed->attributes |= MAILBOX_MAILDROP;
	g_ptr_array_add(listing->listed, listed);
}

static void
on_list_done(gpointer user, const MailboxState *state, const GError *error)
{
	Listing *listing = user;
	Account *account = listing->account;
	gboolean again = FALSE;

	/* A server that lists nothing at all is believed only by a tree that has nothing. */
	if (error == NULL && listing->listed->len > 0)
		again = !apply_listing(account, listing);
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
	if (again)
		account_list(account, 0);
}

/* A LIST would be void: it is made up for after the change. */
static gboolean
is_put_off(Account *account)
{
	gboolean put_off;

	g_rw_lock_reader_lock(&account->lock);
	put_off = account->changing > 0;
	g_rw_lock_reader_unlock(&account->lock);
	if (!put_off)
		return FALSE;
	g_mutex_lock(&account->list_lock);
	account->list_wanted = TRUE;
	g_mutex_unlock(&account->list_lock);
	return TRUE;
}

static const RequestEvents list_events = {.mailbox = on_mailbox, .done = on_list_done};

void
account_list(Account *account, gint64 max_age_us)
{
	Listing *listing;
	gboolean start = FALSE;

	/* The one mailbox of a maildrop is always there. */
	if (account->numbers != NULL)
		max_age_us = G_MAXINT64;
	if (is_put_off(account))
		return;
	g_mutex_lock(&account->list_lock);
	if (!account->listing &&
	    (account->listed_at == 0 || g_get_monotonic_time() - account->listed_at >= max_age_us))
		start = account->listing = TRUE;
	if (start)
		account->list_wanted = FALSE;
	g_mutex_unlock(&account->list_lock);
	if (!start)
		return;
	listing = g_new0(Listing, 1);
	listing->account = account;
	g_rw_lock_reader_lock(&account->lock);
	listing->own = account->own;
	g_rw_lock_reader_unlock(&account->lock);
	listing->listed = g_ptr_array_new_with_free_func(listed_free);
	pool_submit(account->pool, request_new(REQUEST_LIST, NULL, &list_events, listing));
}

void
account_refresh_folders(Account *account)
{
	account_list(account, account->dir_time_us);
}
