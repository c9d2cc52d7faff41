/* SPDX-License-Identifier: MIT */
/* Who asks first for what is not here makes an entry, `coming`, and asks the mailbox for the body;
 * on the thread that brings it (this one, when it is cached) the file is made, the entry is
 * complete and those who wait are called. An error is kept as long as they may need to hear of it.
 *
 * What to wait for is said by one pointer, but an entry may be gone when it is looked at. So each
 * thread has a ticket of its own, which says for which entry it was last sent away: a call that is
 * sent away waits at once, on the same thread. */
#include "fs/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define BYTES_MAX   (8 * 1024 * 1024) /* kept in memory */
#define ENTRIES_MAX 4096
#define FILES_MAX   16 /* kept on disk */
#define ERROR_US    (1 * G_USEC_PER_SEC)
#define SIZE_SETS   (1u << 14)
#define SIZE_WAYS   4

typedef struct {
	MailboxWake wake;
	gpointer user;
} Waiter;

typedef struct {
	guint64 ino;
	gboolean coming;
	GArray *waiters; /* of Waiter, while it is coming */
	GBytes *bytes;	 /* NULL: see body */
	Body *body;	 /* a file of ours */
	guint64 size;
	GError *error;
	gint64 failed_at;
	GList link; /* of `recent`, when it is complete */
} Entry;

typedef struct {
	Digest *digest;
	guint64 ino;
} Ticket;

typedef struct {
	guint64 ino;
	guint64 size;
} KnownSize;

struct Digest {
	const ViewHouse *house;
	DigestMake make;

	GMutex lock;	     /* guards all below; never held over a callback or a making */
	GHashTable *entries; /* of Entry by its ino */
	GQueue recent;	     /* of complete ones, newest first */
	guint64 bytes;
	guint files;
	GHashTable *tickets; /* thread → Ticket */
	KnownSize *sizes;    /* SIZE_SETS × SIZE_WAYS, the newest of a set first */
};

struct DigestOut {
	GByteArray *bytes; /* what is not yet in the file */
	int fd;
	guint64 size;
	GError *error;
};

/* A body on its way. */
typedef struct {
	Digest *digest;
	Node node;
} Job;

static void
entry_free(gpointer data)
{
	Entry *entry = data;

	g_clear_pointer(&entry->waiters, g_array_unref);
	g_clear_pointer(&entry->bytes, g_bytes_unref);
	g_clear_error(&entry->error);
	g_clear_pointer(&entry->body, body_unref);
	g_free(entry);
}

Digest *
digest_new(const ViewHouse *house, DigestMake make)
{
	Digest *digest = g_new0(Digest, 1);

	digest->house = house;
	digest->make = make;
	g_mutex_init(&digest->lock);
	digest->entries = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, entry_free);
	digest->tickets = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	return digest;
}

void
digest_free(Digest *digest)
{
	if (digest == NULL)
		return;
	g_hash_table_unref(digest->entries);
	g_hash_table_unref(digest->tickets);
	g_free(digest->sizes);
	g_mutex_clear(&digest->lock);
	g_free(digest);
}

/* --- sizes
 * ------------------------------------------------------------------------------------------ */

/* Under the lock. */
static KnownSize *
size_set(Digest *digest, guint64 ino)
{
	guint64 mixed = ino * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

	if (digest->sizes == NULL)
		digest->sizes = g_new0(KnownSize, (gsize)SIZE_SETS * SIZE_WAYS);
	return digest->sizes + (mixed >> 50) % SIZE_SETS * SIZE_WAYS;
}

static void
keep_size(Digest *digest, guint64 ino, guint64 size)
{
	KnownSize *set = size_set(digest, ino);
	guint at = 0;

	while (at < SIZE_WAYS - 1 && set[at].ino != ino)
		at++;
	memmove(set + 1, set, at * sizeof *set);
	set[0] = (KnownSize){ino, size};
}

void
digest_note_size(Digest *digest, const Node *node, guint64 size)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&digest->lock);

	keep_size(digest, node_to_ino(*node), size);
}

gboolean
digest_size(Digest *digest, const Node *node, guint64 *size_out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&digest->lock);
	guint64 ino = node_to_ino(*node);
	const KnownSize *set = size_set(digest, ino);

	for (guint i = 0; i < SIZE_WAYS; i++)
		if (set[i].ino == ino) {
			*size_out = set[i].size;
			return TRUE;
		}
	return FALSE;
}

/* --- making
 * ----------------------------------------------------------------------------------------- */

/* On disk, not in a tmpfs where that can be avoided. Nobody else finds it. */
static int
open_unlinked(GError **error)
{
	const char *const places[] = {"/var/tmp", g_get_tmp_dir()};
	int fd = -1;

	for (guint i = 0; i < G_N_ELEMENTS(places) && fd < 0; i++)
		fd = open(places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = memfd_create("mailfs", MFD_CLOEXEC);
	if (fd < 0)
		g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
			    "a temporary file: %s", g_strerror(errno));
	return fd;
}

static gboolean
write_out(DigestOut *out, const char *data, gsize len)
{
	while (len > 0) {
		ssize_t n = write(out->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			g_set_error(&out->error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
				    "a temporary file: %s", g_strerror(errno));
			return FALSE;
		}
		data += n;
		len -= (gsize)n;
	}
	return TRUE;
}

gboolean
digest_write(gpointer user, const char *data, gsize len)
{
	DigestOut *out = user;

	if (out->error != NULL)
		return FALSE;
	out->size += len;
	if (out->fd < 0 && out->size <= DIGEST_IN_MEMORY) {
		g_byte_array_append(out->bytes, (const guint8 *)data, (guint)len);
		return TRUE;
	}
	if (out->fd < 0) {
		out->fd = open_unlinked(&out->error);
		if (out->fd < 0 || !write_out(out, (const char *)out->bytes->data, out->bytes->len))
			return FALSE;
		g_byte_array_set_size(out->bytes, 0);
	}
	return write_out(out, data, len);
}

static void
make_from(Job *job, const Body *body, DigestOut *out)
{
	g_auto(BodyMap) message = {0};

	if (!body_map(body, body_size(body), &message)) {
		g_set_error(&out->error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
			    "cannot map the message: %s", g_strerror(errno));
		return;
	}
	if (!job->digest->make(job->digest, &job->node, message.data, message.len, out) &&
	    out->error == NULL)
		g_set_error(&out->error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
			    "the message has no such part");
}

/* --- keeping
 * ---------------------------------------------------------------------------------------- */

static guint64
memory_of(const Entry *entry)
{
	return entry->bytes != NULL ? g_bytes_get_size(entry->bytes) : 0;
}

/* Under the lock. */
static void
drop(Digest *digest, Entry *entry)
{
	g_queue_unlink(&digest->recent, &entry->link);
	digest->bytes -= memory_of(entry);
	digest->files -= entry->body != NULL;
	g_hash_table_remove(digest->entries, &entry->ino);
}

/* The newest stays, whatever it needs: somebody waits for it. Under the lock. */
static void
trim(Digest *digest)
{
	while (digest->recent.length > 1 &&
	       (digest->bytes > BYTES_MAX || digest->recent.length > ENTRIES_MAX))
		drop(digest, digest->recent.tail->data);
	for (GList *link = digest->recent.tail; link != NULL && digest->files > FILES_MAX;) {
		Entry *entry = link->data;

		link = link->prev;
		if (entry->body != NULL && link != NULL)
			drop(digest, entry);
	}
}

/* Completes the entry and calls those who wait for it. Takes what @out holds. */
static void
finish(Digest *digest, guint64 ino, DigestOut *out)
{
	g_autoptr(GArray) waiters = NULL;
	Entry *entry;

	g_mutex_lock(&digest->lock);
	entry = g_hash_table_lookup(digest->entries, &ino);
	entry->coming = FALSE;
	waiters = g_steal_pointer(&entry->waiters);
	if (out->error != NULL) {
		entry->error = g_steal_pointer(&out->error);
		entry->failed_at = g_get_monotonic_time();
	} else {
		entry->size = out->size;
		keep_size(digest, ino, out->size);
		if (out->fd >= 0) {
			entry->body = body_new_file(util_steal_fd(&out->fd), out->size);
			digest->files++;
		} else {
			entry->bytes = g_byte_array_free_to_bytes(g_steal_pointer(&out->bytes));
		}
	}
	digest->bytes += memory_of(entry);
	g_queue_push_head_link(&digest->recent, &entry->link);
	trim(digest);
	g_mutex_unlock(&digest->lock);
	for (guint i = 0; i < waiters->len; i++) {
		const Waiter *waiter = &g_array_index(waiters, Waiter, i);

		waiter->wake(waiter->user);
	}
}

static void
on_body(gpointer user, Body *body, const GError *error)
{
	g_autofree Job *job = user;
	DigestOut out = {.bytes = g_byte_array_new(), .fd = -1};

	if (body != NULL)
		make_from(job, body, &out);
	else
		out.error = g_error_copy(error);
	body_unref(body);
	finish(job->digest, node_to_ino(job->node), &out);
	g_clear_pointer(&out.bytes, g_byte_array_unref);
	g_clear_error(&out.error);
	util_close_fd(&out.fd);
}

/* --- asking
 * ----------------------------------------------------------------------------------------- */

static gboolean
wait_for_entry(gpointer wait_for, MailboxWake wake, gpointer user)
{
	Ticket *ticket = wait_for;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ticket->digest->lock);
	Entry *entry = g_hash_table_lookup(ticket->digest->entries, &ticket->ino);
	Waiter waiter = {wake, user};

	if (entry == NULL || !entry->coming)
		return FALSE;
	g_array_append_val(entry->waiters, waiter);
	return TRUE;
}

/* Under the lock. */
static TreeAnswer
later(Digest *digest, guint64 ino)
{
	Ticket *ticket = g_hash_table_lookup(digest->tickets, g_thread_self());

	if (ticket == NULL) {
		ticket = g_new0(Ticket, 1);
		ticket->digest = digest;
		g_hash_table_insert(digest->tickets, g_thread_self(), ticket);
	}
	ticket->ino = ino;
	return (TreeAnswer){.result = TREE_LATER, .wait = wait_for_entry, .wait_for = ticket};
}

/* Under the lock. */
static TreeAnswer
give(Digest *digest, Entry *entry, TreeContent *out)
{
	g_queue_unlink(&digest->recent, &entry->link);
	g_queue_push_head_link(&digest->recent, &entry->link);
	if (entry->error != NULL)
		return (TreeAnswer){.result = TREE_ERROR, .error = g_error_copy(entry->error)};
	*out = (TreeContent){.size = entry->size};
	keep_size(digest, entry->ino, entry->size);
	if (entry->bytes != NULL)
		out->bytes = g_bytes_ref(entry->bytes);
	else
		out->body = body_ref(entry->body);
	return (TreeAnswer){.result = TREE_OK};
}

/* Under the lock. */
static void
add_entry(Digest *digest, guint64 ino)
{
	Entry *entry = g_new0(Entry, 1);

	entry->ino = ino;
	entry->coming = TRUE;
	entry->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	entry->link.data = entry;
	g_hash_table_insert(digest->entries, &entry->ino, entry);
}

/* *@start_out: an entry was made, and the caller is the one to ask for its body. NULL: none is
 * made. */
static TreeAnswer
look(Digest *digest, guint64 ino, gboolean patient, TreeContent *out, gboolean *start_out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&digest->lock);
	Entry *entry = g_hash_table_lookup(digest->entries, &ino);

	if (entry != NULL && entry->error != NULL &&
	    g_get_monotonic_time() - entry->failed_at > ERROR_US) {
		drop(digest, entry);
		entry = NULL;
	}
	if (entry != NULL && !entry->coming)
		return give(digest, entry, out);
	if (!patient)
		return view_error(MAILFS_ERROR_TIMEOUT, "the message has not come yet");
	if (entry == NULL && start_out != NULL) {
		add_entry(digest, ino);
		*start_out = TRUE;
	}
	return later(digest, ino);
}

TreeAnswer
digest_content(Digest *digest, const Node *node, guint32 reader, gboolean patient, TreeContent *out)
{
	guint64 ino = node_to_ino(*node);
	gboolean start = FALSE;
	TreeAnswer answer = look(digest, ino, patient, out, &start);
	Mailbox *mailbox;
	Job *job;

	if (!start)
		return answer;
	job = g_new0(Job, 1);
	job->digest = digest;
	job->node = *node;
	mailbox = account_mailbox_of(digest->house->account, node->serial);
	if (mailbox != NULL) {
		mailbox_open(mailbox, node->serial, node->uid, reader, on_body, job);
	} else {
		g_autoptr(GError) stale =
			g_error_new(MAILFS_ERROR, MAILFS_ERROR_STALE, "UIDVALIDITY has changed");

		on_body(job, NULL, stale);
	}
	/* A cached body has made it already. */
	return look(digest, ino, patient, out, NULL);
}
