/* SPDX-License-Identifier: MIT */
/* The queries live in slots that are used again, the least recently used first, but never freed:
 * who waits for a search holds a slot, and may find another query in it when it is woken. A query's
 * number, which its directory's inode has, is given once. A link is the same inode in all queries
 * that find its message. */
#include "fs/view-search.h"

#include <string.h>

#include "mail/query.h"

#define COOKIE_DIRECTORY(serial) (16u + (guint64)(serial))
#define COOKIE_MESSAGES		 (1ull << 32)

#define MAX_QUERIES  256
#define ERROR_AGE_US (2 * G_USEC_PER_SEC) /* so long a failure is the answer */
#define PART_LINK    1

typedef struct Slot Slot;

typedef struct {
	View view;
	GMutex lock;	  /* guards all below, and the slots */
	GPtrArray *slots; /* of Slot */
	guint32 numbers;  /* given so far */
	guint64 answers;  /* so far */
	guint64 lookups;  /* so far */
} SearchView;

typedef struct {
	MailboxWake wake;
	gpointer user;
} Waiter;

struct Slot {
	SearchView *self;
	guint32 number;	   /* of the query in it */
	guint32 directory; /* serial */
	char *query;
	guint64 used; /* `lookups` when it was last used */

	gboolean searching;
	GArray *waiters; /* of Waiter */
	UidSet *found;	 /* NULL: not asked yet, or an error */
	guint32 serial;	 /* of the messages that `found` names */
	guint64 version; /* of the answer */
	GError *error;
	gint64 answered_at; /* monotonic */
	gint64 changed;	    /* wall clock, seconds */
};

static const TreeAnswer answer_ok = {.result = TREE_OK};

static void
slot_free(gpointer data)
{
	Slot *slot = data;

	g_free(slot->query);
	g_array_unref(slot->waiters);
	uidset_free(slot->found);
	g_clear_error(&slot->error);
	g_free(slot);
}

/* --- the slots; under the lock
 * ---------------------------------------------------------------------- */

static Slot *
slot_by_number(SearchView *self, guint32 number)
{
	for (guint i = 0; i < self->slots->len; i++) {
		Slot *slot = self->slots->pdata[i];

		if (slot->number == number)
			return slot;
	}
	return NULL;
}

static Slot *
slot_by_query(SearchView *self, guint32 directory, const char *query)
{
	for (guint i = 0; i < self->slots->len; i++) {
		Slot *slot = self->slots->pdata[i];

		if (slot->directory == directory && strcmp(slot->query, query) == 0)
			return slot;
	}
	return NULL;
}

/* A new one, or the one whose query is longest forgotten. NULL: all are searching. */
static Slot *
slot_vacant(SearchView *self)
{
	Slot *best = NULL;

	if (self->slots->len < MAX_QUERIES) {
		best = g_new0(Slot, 1);
		best->self = self;
		best->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
		g_ptr_array_add(self->slots, best);
		return best;
	}
	for (guint i = 0; i < self->slots->len; i++) {
		Slot *slot = self->slots->pdata[i];

		if (!slot->searching && (best == NULL || slot->used < best->used))
			best = slot;
	}
	return best;
}

static void
slot_forget(Slot *slot)
{
	g_clear_pointer(&slot->found, uidset_free);
	g_clear_error(&slot->error);
}

static Slot *
slot_take(SearchView *self, guint32 directory, const char *query)
{
	Slot *slot = slot_by_query(self, directory, query);

	if (slot == NULL) {
		slot = slot_vacant(self);
		if (slot == NULL)
			return NULL;
		slot_forget(slot);
		g_free(slot->query);
		slot->query = g_strdup(query);
		slot->directory = directory;
		slot->number = ++self->numbers;
		slot->changed = g_get_real_time() / G_USEC_PER_SEC;
	}
	slot->used = ++self->lookups;
	return slot;
}

/* --- searching
 * -------------------------------------------------------------------------------------- */

static void
on_answer(gpointer user, guint32 serial, const UidSet *uids, const GError *error)
{
	Slot *slot = user;
	g_autoptr(GArray) waiters = NULL;

	g_mutex_lock(&slot->self->lock);
	slot_forget(slot);
	slot->found = uids != NULL ? uidset_copy(uids) : NULL;
	slot->error = error != NULL ? g_error_copy(error) : NULL;
	slot->serial = serial;
	slot->version = ++slot->self->answers;
	slot->answered_at = g_get_monotonic_time();
	slot->changed = g_get_real_time() / G_USEC_PER_SEC;
	slot->searching = FALSE;
	waiters = g_steal_pointer(&slot->waiters);
	slot->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	g_mutex_unlock(&slot->self->lock);
	for (guint i = 0; i < waiters->len; i++) {
		Waiter *waiter = &g_array_index(waiters, Waiter, i);

		waiter->wake(waiter->user);
	}
}

static gboolean
wait_for_answer(gpointer wait_for, MailboxWake wake, gpointer user)
{
	Slot *slot = wait_for;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&slot->self->lock);
	Waiter waiter = {wake, user};

	if (!slot->searching)
		return FALSE;
	g_array_append_val(slot->waiters, waiter);
	return TRUE;
}

/* An answer, as far as somebody needs it. */
typedef struct {
	UidSet *uids; /* copied where `wanted` */
	gboolean wanted;
	guint32 serial; /* of the messages */
	guint64 version;
} Answer;

typedef enum {
	STATE_FOUND,
	STATE_FAILED,
	STATE_SEARCHING,
	STATE_UNKNOWN, /* nobody has asked the server, or too long ago */
} State;

/* Under the lock. */
static State
state_of(const Slot *slot, guint32 serial, gint64 max_age_us)
{
	gint64 age = g_get_monotonic_time() - slot->answered_at;

	if (slot->searching)
		return STATE_SEARCHING;
	if (slot->error != NULL)
		return age < ERROR_AGE_US ? STATE_FAILED : STATE_UNKNOWN;
	return slot->found != NULL && slot->serial == serial && age < max_age_us ? STATE_FOUND
										 : STATE_UNKNOWN;
}

/* Asks the server, unless another has begun to in the meantime. */
static void
begin(SearchView *self, Mailbox *mailbox, guint32 number)
{
	GPtrArray *terms = NULL;
	Slot *slot;

	g_mutex_lock(&self->lock);
	slot = slot_by_number(self, number);
	if (slot != NULL && !slot->searching)
		terms = query_parse(slot->query, NULL);
	if (terms != NULL) {
		slot_forget(slot);
		slot->searching = TRUE;
	}
	g_mutex_unlock(&self->lock);
	if (terms != NULL)
		mailbox_search(mailbox, terms, on_answer, slot);
}

/* TREE_OK: the query has an answer not older than @max_age_us. */
static TreeAnswer
answer_of(SearchView *self, const Node *directory, gint64 max_age_us, gboolean patient, Answer *out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
	Slot *slot = slot_by_number(self, directory->uid);
	Mailbox *mailbox = account_mailbox(self->view.house->account, directory->serial);
	MailboxView known;

	if (slot == NULL || mailbox == NULL)
		return view_error(MAILFS_ERROR_STALE, "this query is forgotten");
	slot->used = ++self->lookups;
	mailbox_view(mailbox, &known);
	switch (state_of(slot, known.messages, max_age_us)) {
	case STATE_FOUND:
		*out = (Answer){
			.uids = out->wanted ? uidset_copy(slot->found) : NULL,
			.serial = slot->serial,
			.version = slot->version + known.version,
		};
		return answer_ok;
	case STATE_FAILED:
		return (TreeAnswer){.result = TREE_ERROR, .error = g_error_copy(slot->error)};
	case STATE_SEARCHING:
		break;
	case STATE_UNKNOWN:
		return view_error(MAILFS_ERROR_BUSY, "the server was not asked yet");
	}
	if (!patient)
		return view_error(MAILFS_ERROR_TIMEOUT, "the server is still searching");
	return (TreeAnswer){.result = TREE_LATER, .wait = wait_for_answer, .wait_for = slot};
}

/* The same, and asks the server when it has to. */
static TreeAnswer
search(SearchView *self, const Node *directory, gint64 max_age_us, gboolean patient, Answer *out)
{
	Mailbox *mailbox = account_mailbox(self->view.house->account, directory->serial);
	TreeAnswer answer = answer_of(self, directory, max_age_us, patient, out);

	if (!g_error_matches(answer.error, MAILFS_ERROR, MAILFS_ERROR_BUSY))
		return answer;
	g_clear_error(&answer.error);
	/* What was found and is not listed yet could not be shown. */
	answer = view_refresh(self->view.house, mailbox, patient);
	if (answer.result != TREE_OK)
		return answer;
	begin(self, mailbox, directory->uid);
	return answer_of(self, directory, G_MAXINT64, patient, out);
}

/* --- attributes
 * ------------------------------------------------------------------------------------- */

/* "../../../INBOX/Projects/NAME.eml" from .search/INBOX/Projects/QUERY/, without NAME.eml.
 * (transfer full) */
static char *
way_to(SearchView *self, Mailbox *mailbox)
{
	g_autofree char *path = account_path(self->view.house->account, mailbox);
	g_autoptr(GString) way = g_string_new("../../../");

	for (const char *p = strchr(path, '/'); p != NULL; p = strchr(p + 1, '/'))
		g_string_append(way, "../");
	g_string_append_printf(way, "%s/", path);
	return g_strdup(way->str);
}

static guint64
ino_of_link(guint32 serial, guint32 uid)
{
	return node_to_ino(
		(Node){.kind = NODE_SEARCH, .part = PART_LINK, .serial = serial, .uid = uid});
}

/* The mailbox that a link leads into, and the name of its message (transfer full). NULL: gone. */
static Mailbox *
mailbox_of_link(SearchView *self, const Node *node, char **name_out)
{
	Mailbox *mailbox = account_mailbox_of(self->view.house->account, node->serial);
	MessageView message;

	if (mailbox == NULL || !mailbox_get(mailbox, node->serial, node->uid, &message))
		return NULL;
	*name_out = mailbox_name_of(mailbox, node->uid);
	return *name_out != NULL ? mailbox : NULL;
}

static TreeAnswer
search_readlink(View *view, const Node *node, char **target_out)
{
	SearchView *self = (SearchView *)view;
	g_autofree char *name = NULL;
	g_autofree char *way = NULL;
	Mailbox *mailbox;

	if (node->part != PART_LINK)
		return view_error(MAILFS_ERROR_INVALID, "this is no link");
	mailbox = mailbox_of_link(self, node, &name);
	if (mailbox == NULL)
		return view_error(MAILFS_ERROR_STALE, "the message is no more");
	way = way_to(self, mailbox);
	*target_out = g_strconcat(way, name, NULL);
	return answer_ok;
}

/* A mailbox's directory, or (serial 0) the top. */
static void
stat_mailbox(View *view, guint32 serial, struct stat *out)
{
	Account *account = view->house->account;

	view_stat_directory(view->house, node_to_ino((Node){.kind = NODE_SEARCH, .serial = serial}),
			    account_changed(account),
			    account_n_children(account, serial != 0 ? serial : NODE_ROOT_SERIAL),
			    out);
}

/* Under the lock. */
static void
stat_query(View *view, const Slot *slot, struct stat *out)
{
	Node node = {.kind = NODE_SEARCH, .serial = slot->directory, .uid = slot->number};

	view_stat_directory(view->house, node_to_ino(node), slot->changed, 0, out);
}

static TreeAnswer
search_stat(View *view, const Node *node, struct stat *out)
{
	SearchView *self = (SearchView *)view;
	const Slot *slot;

	if (node->part == PART_LINK) {
		g_autofree char *target = NULL;
		TreeAnswer answer = search_readlink(view, node, &target);

		if (answer.result == TREE_OK)
			view_stat_link(view->house, node_to_ino(*node), strlen(target), out);
		return answer;
	}
	if (node->part != 0 ||
	    (node->serial != 0 && account_mailbox(view->house->account, node->serial) == NULL))
		return view_error(MAILFS_ERROR_STALE, "the mailbox is no more");
	if (node->uid == 0) {
		stat_mailbox(view, node->serial, out);
		return answer_ok;
	}
	g_mutex_lock(&self->lock);
	slot = slot_by_number(self, node->uid);
	if (slot != NULL)
		stat_query(view, slot, out);
	g_mutex_unlock(&self->lock);
	return slot != NULL ? answer_ok : view_error(MAILFS_ERROR_STALE, "this query is forgotten");
}

/* --- names
 * ------------------------------------------------------------------------------------------ */

static TreeAnswer
lookup_query(SearchView *self, guint32 serial, const char *name, struct stat *out)
{
	Mailbox *mailbox = account_mailbox(self->view.house->account, serial);
	g_autoptr(GPtrArray) terms = NULL;
	TreeAnswer answer = {.result = TREE_ERROR};
	Slot *slot;

	/* Programs look for all kinds of hidden files. */
	if (mailbox == NULL || (mailbox_attributes(mailbox) & MAILBOX_NOSELECT) || *name == '.')
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such mailbox");
	terms = query_parse(name, &answer.error);
	if (terms == NULL)
		return answer;
	g_mutex_lock(&self->lock);
	slot = slot_take(self, serial, name);
	if (slot != NULL)
		stat_query(&self->view, slot, out);
	g_mutex_unlock(&self->lock);
	return slot != NULL
		       ? answer_ok
		       : view_error(MAILFS_ERROR_LIMIT, "%d searches are under way", MAX_QUERIES);
}

static TreeAnswer
lookup_link(SearchView *self, const Node *directory, const char *name, gboolean patient,
	    struct stat *out)
{
	Answer found = {.wanted = TRUE};
	TreeAnswer answer = search(self, directory, G_MAXINT64, patient, &found);
	g_autoptr(UidSet) uids = found.uids;
	g_autofree char *listed = NULL;
	MessageView message;
	Mailbox *mailbox;

	if (answer.result != TREE_OK)
		return answer;
	mailbox = account_mailbox(self->view.house->account, directory->serial);
	if (mailbox_find(mailbox, name, &message) && message.serial == found.serial &&
	    uidset_contains(uids, message.uid)) {
		Node node = {.kind = NODE_SEARCH,
			     .part = PART_LINK,
			     .serial = message.serial,
			     .uid = message.uid};

		listed = mailbox_name_of(mailbox, message.uid);
		if (g_strcmp0(listed, name) == 0)
			return search_stat(&self->view, &node, out);
	}
	return view_error(MAILFS_ERROR_NOT_FOUND, "it was not found");
}

static TreeAnswer
search_lookup(View *view, const Node *directory, const char *name, gboolean patient,
	      struct stat *out, gboolean *alias_out)
{
	SearchView *self = (SearchView *)view;
	guint32 serial = directory->serial != 0 ? directory->serial : NODE_ROOT_SERIAL;
	Mailbox *child;

	if (directory->uid != 0)
		return lookup_link(self, directory, name, patient, out);
	child = account_child(view->house->account, serial, name);
	if (child == NULL)
		return lookup_query(self, serial, name, out);
	stat_mailbox(view, mailbox_directory(child), out);
	return answer_ok;
}

/* --- listing
 * ---------------------------------------------------------------------------------------- */

static TreeAnswer
search_open(View *view, const Node *directory, gboolean patient, guint64 *version_out)
{
	SearchView *self = (SearchView *)view;
	gint64 dir_time = account_dir_time(view->house->account);
	Answer found = {0};
	TreeAnswer answer;

	if (directory->uid == 0) {
		account_refresh_folders(view->house->account);
		*version_out = account_folders_version(view->house->account);
		return answer_ok;
	}
	answer = search(self, directory, dir_time, patient, &found);
	*version_out = found.version;
	/* Whoever reads it waits for it. */
	if (g_error_matches(answer.error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT)) {
		g_clear_error(&answer.error);
		g_mutex_lock(&self->lock);
		*version_out = G_MAXUINT64 - ++self->answers; /* as no other */
		g_mutex_unlock(&self->lock);
		return answer_ok;
	}
	return answer;
}

static TreeAnswer
list_mailboxes(View *view, guint32 serial, guint64 cookie, TreeEntry entry, gpointer user)
{
	guint32 first =
		cookie > COOKIE_DIRECTORY(0) ? (guint32)(cookie - COOKIE_DIRECTORY(0) + 1) : 0;
	g_autoptr(GPtrArray) children = account_children(view->house->account, serial, first);

	for (guint i = 0; i < children->len; i++) {
		guint32 child = mailbox_directory(children->pdata[i]);
		struct stat st;

		stat_mailbox(view, child, &st);
		if (!entry(user, mailbox_file_name(children->pdata[i]), &st,
			   COOKIE_DIRECTORY(child)))
			break;
	}
	return answer_ok;
}

typedef struct {
	const ViewHouse *house;
	const UidSet *uids;
	guint32 serial; /* what they are of */
	gsize way;	/* length of a link's target, without the name */
	TreeEntry entry;
	gpointer user;
} Listing;

static gboolean
list_link(gpointer user, const MessageView *message, const char *file_name)
{
	const Listing *listing = user;
	struct stat st;

	if (message->serial != listing->serial || !uidset_contains(listing->uids, message->uid))
		return TRUE;
	view_stat_link(listing->house, ino_of_link(message->serial, message->uid),
		       listing->way + strlen(file_name), &st);
	return listing->entry(listing->user, file_name, &st, COOKIE_MESSAGES + message->uid);
}

static TreeAnswer
search_list(View *view, const Node *directory, guint64 cookie, gboolean patient, TreeEntry entry,
	    gpointer user)
{
	SearchView *self = (SearchView *)view;
	Listing listing = {.house = view->house, .entry = entry, .user = user};
	Answer found = {.wanted = TRUE};
	g_autoptr(UidSet) uids = NULL;
	g_autofree char *way = NULL;
	Mailbox *mailbox;
	TreeAnswer answer;

	if (directory->uid == 0)
		return list_mailboxes(view,
				      directory->serial != 0 ? directory->serial : NODE_ROOT_SERIAL,
				      cookie, entry, user);
	answer = search(self, directory, G_MAXINT64, patient, &found);
	listing.uids = uids = found.uids;
	listing.serial = found.serial;
	if (answer.result != TREE_OK)
		return answer;
	mailbox = account_mailbox(view->house->account, directory->serial);
	way = way_to(self, mailbox);
	listing.way = strlen(way);
	mailbox_each(mailbox,
		     cookie > COOKIE_MESSAGES ? (guint32)(cookie - COOKIE_MESSAGES + 1) : 1,
		     list_link, &listing);
	return answer_ok;
}

static void
search_free(View *view)
{
	SearchView *self = (SearchView *)view;

	g_ptr_array_unref(self->slots);
	g_mutex_clear(&self->lock);
	g_free(self);
}

static const ViewOps search_ops = {
	.name = ".search",
	.kind = NODE_SEARCH,
	.lookup = search_lookup,
	.stat = search_stat,
	.open = search_open,
	.list = search_list,
	.readlink = search_readlink,
	.free = search_free,
};

View *
view_search_new(const ViewHouse *house)
{
	SearchView *self = g_new0(SearchView, 1);

	self->view = (View){&search_ops, house};
	self->slots = g_ptr_array_new_with_free_func(slot_free);
	g_mutex_init(&self->lock);
	return &self->view;
}
