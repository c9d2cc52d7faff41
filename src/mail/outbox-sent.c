/* SPDX-License-Identifier: MIT */
/* The Sent mailbox: where copies go, and what proves that a message was delivered after all. */
#include "mail/outbox-private.h"

#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "mail/name.h"

#define PROVIDER_US (3 * G_USEC_PER_SEC) /* a provider that files it needs a moment */
#define LISTING_US  (30 * G_USEC_PER_SEC)
#define CLOCK_S	    600 /* the server's clock may be so far behind ours */

/* --- where --- */

/* What it is called before anybody knows. */
#define RAW_SENT "Sent"

/* *@known_out (nullable): the server has told of its mailboxes, now or once. */
static Mailbox *
sent_mailbox(Outbox *outbox, gboolean *known_out)
{
	g_autoptr(GPtrArray) all = account_mailboxes(outbox->account);
	Mailbox *named = NULL;

	if (known_out != NULL)
		*known_out = all->len > 0;
	for (guint i = 0; i < all->len; i++) {
		if (mailbox_attributes(all->pdata[i]) & MAILBOX_SENT)
			return all->pdata[i];
		if (g_ascii_strcasecmp(mailbox_file_name(all->pdata[i]), RAW_SENT) == 0)
			named = all->pdata[i];
	}
	return named;
}

/* Providers that file what they send. */
static gboolean
files_itself(const Outbox *outbox)
{
	static const char *const tails[] = {".gmail.com", ".googlemail.com", ".office365.com",
					    ".outlook.com", ".hotmail.com"};
	const char *host = outbox->smtp != NULL ? outbox->smtp->host : "";

	for (guint i = 0; i < G_N_ELEMENTS(tails); i++) {
		gsize len = strlen(tails[i]);

		if (g_ascii_strcasecmp(host, tails[i] + 1) == 0 ||
		    (strlen(host) > len &&
		     g_ascii_strcasecmp(host + strlen(host) - len, tails[i]) == 0))
			return TRUE;
	}
	return FALSE;
}

/* --- filing --- */

/* The envelope that a file may begin with is not for Sent. The file itself stays as it is until the
 * copy has a row: should the power fail before, somebody may have to send it again, and to the same
 * people. In no table yet. NULL with an error. */
static Upload *
copy_without_envelope(Outbox *outbox, Upload *upload, GError **error)
{
	Spool *spool = outbox->uploads->spool;
	g_auto(UtilFd) from = spool_file(spool, upload->id, error);
	g_auto(UtilFd) fd = -1;
	guint32 id = from >= 0 ? spool_add(spool, &fd, error) : 0;
	ComposeWritten written;
	Upload *copy;

	if (id == 0 || !compose_sent(from, fd, &written, error) ||
	    !spool_sync(spool, id, fd, error))
		return NULL;
	copy = upload_new(outbox->uploads, id);
	copy->size = written.size;
	copy->crc = written.crc;
	copy->ticket = upload->ticket;
	return copy;
}

/* As any other machine would call the message. *@message_id_out: (transfer full) */
static char *
name_in_sent(Outbox *outbox, Upload *upload, char **message_id_out)
{
	g_auto(UtilFd) fd = spool_file(outbox->uploads->spool, upload->id, NULL);
	g_autofree char *header = NULL;
	g_autofree char *name = NULL;
	NameHeaders headers;
	gsize len = 0;

	if (fd >= 0)
		header = upload_check_header(fd, &len, NULL);
	name_headers_parse(header != NULL ? header : "", len, &headers);
	name = name_for_message(OUTBOX_WALL(), 0, &headers);
	*message_id_out = g_strdup(headers.message_id != NULL ? headers.message_id : "");
	name_headers_clear(&headers);
	return g_strconcat(name, ".eml", NULL);
}

/* A file of the Sent mailbox, as if somebody had moved it there. @sent NULL: nobody knows yet which
 * one that is. Under the lock. */
static void
move_to_sent(Outbox *outbox, Upload *upload, Mailbox *sent, const char *name, gboolean look)
{
	Folder *folder = sent != NULL ? uploads_folder(outbox->uploads, sent)
				      : uploads_folder_called(outbox->uploads, RAW_SENT);
	g_autofree char *free_name = uploads_free_name(folder, name, upload->id);

	if (upload->folder != NULL)
		upload_detach(upload);
	upload_attach(upload, folder, free_name);
	upload->state = look ? SPOOL_STARTED : SPOOL_QUEUED;
	upload->before_validity = upload->before_uidnext = 0;
	upload->flags = MESSAGE_SEEN;
	upload->mtime = OUTBOX_WALL();
	upload->tries = 0;
	upload->retry_at = 0;
	upload->ready_at = 0;
	upload->not_before = look ? g_get_monotonic_time() + PROVIDER_US : 0;
	upload->hurry = FALSE;
	upload->proved = TRUE;
	upload->dirty = FALSE;
	upload->under_way = FALSE;
	/* A copy that is looked for is known by its Message-ID alone: see upload-adopt.c. */
	upload->ticket = look ? upload->ticket : 0;
	upload_set_reason(upload, "");
	g_ptr_array_add(outbox->unsaved, outbox_ref(upload));
}

void
outbox_end(Outbox *outbox, Upload *upload)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&outbox->uploads->lock);

	upload_mark_over(upload);
	upload->under_way = FALSE;
	g_hash_table_remove(outbox->suspects, upload_key(upload->id));
	g_ptr_array_add(outbox->dropped, outbox_ref(upload));
}

void
outbox_file_waiting(Outbox *outbox)
{
	Mailbox *sent = sent_mailbox(outbox, NULL);
	GTreeNode *node;
	Folder *folder;

	if (sent == NULL)
		return;
	g_mutex_lock(&outbox->uploads->lock);
	folder = uploads_folder_called(outbox->uploads, RAW_SENT);
	while (folder->mailbox == NULL && (node = g_tree_node_first(folder->by_id)) != NULL) {
		Upload *upload = g_tree_node_value(node);
		g_autofree char *name = g_strdup(upload->name);
		gint64 mtime = upload->mtime;

		move_to_sent(outbox, upload, sent, name, upload->state == SPOOL_STARTED);
		upload->mtime = mtime;
		upload_stir(upload, FALSE);
	}
	g_mutex_unlock(&outbox->uploads->lock);
}

/* Is a copy to be kept, and where? FALSE: there is none to be kept, or no place. *@sent_out NULL:
 * the place is not known yet. */
static gboolean
has_place(Outbox *outbox, Upload *upload, Mailbox **sent_out)
{
	gboolean wanted = !account_is_maildrop(outbox->account) &&
			  (outbox->save == OUTBOX_SAVE_YES ||
			   (outbox->save == OUTBOX_SAVE_AUTO && !files_itself(outbox)));
	gboolean known;

	*sent_out = sent_mailbox(outbox, &known);
	if (!wanted || *sent_out != NULL || !known)
		return wanted;
	if (!outbox->told_no_sent)
		uploads_log(outbox->uploads, upload,
			    "sent; no copies are kept, for there is no Sent mailbox to put them "
			    "into (save-sent=no does not miss it)");
	outbox->told_no_sent = TRUE;
	return FALSE;
}

/* What is put into Sent: the file itself, or a copy of it. NULL: the disk has failed, and the log
 * says so. */
static Upload *
make_copy(Outbox *outbox, Upload *upload, const Composed *composed)
{
	g_autoptr(GError) error = NULL;
	Upload *copy;

	if (composed != NULL && composed->is_sent)
		return upload;
	copy = copy_without_envelope(outbox, upload, &error);
	if (copy == NULL)
		uploads_log(outbox->uploads, upload, error->message);
	return copy;
}

void
outbox_file(Outbox *outbox, Upload *upload, const Composed *composed, gboolean look)
{
	Uploads *uploads = outbox->uploads;
	g_autofree char *former = upload_name(upload);
	g_autofree char *message_id = NULL;
	g_autofree char *name = NULL;
	g_autofree char *filed = NULL;
	Mailbox *sent;
	Upload *copy =
		has_place(outbox, upload, &sent) ? make_copy(outbox, upload, composed) : NULL;

	if (copy != upload)
		outbox_end(outbox, upload);
	if (copy == NULL)
		return;
	name = name_in_sent(outbox, copy, &message_id);
	g_mutex_lock(&uploads->lock);
	g_free(copy->message_id);
	copy->message_id = g_steal_pointer(&message_id);
	move_to_sent(outbox, copy, sent, name, look);
	filed = g_strdup(copy->name);
	upload_stir(copy, FALSE);
	g_mutex_unlock(&uploads->lock);
	/* What ends is told of when its row is gone. */
	if (copy == upload)
		uploads->news->gone(uploads->user, outbox->directory, upload->id, former);
	/* Somebody may have looked for this name, or listed the mailbox. */
	if (sent != NULL)
		uploads->news->gone(uploads->user, sent, copy->id, filed);
	uploads_tell_changed(copy);
	upload_tell_waiters(copy, NULL);
}

/* --- looking --- */

/* How often Sent is looked at for one that may have been delivered. */
static guint
looks_of(const Outbox *outbox)
{
	if (files_itself(outbox))
		return 4;
	return outbox->save == OUTBOX_SAVE_AUTO ? 2 : 1;
}

gboolean
outbox_has_doubts(Outbox *outbox, gint64 *next)
{
	Folder *folder = uploads_folder(outbox->uploads, outbox->directory);
	gint64 now = g_get_monotonic_time();

	if (g_hash_table_size(outbox->suspects) > 0)
		return TRUE;
	for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
	     node = g_tree_node_next(node)) {
		const Upload *upload = g_tree_node_value(node);

		if (upload->over || upload->under_way || upload->state != SPOOL_DOT)
			continue;
		if (upload->not_before <= now)
			return TRUE;
		*next = MIN(*next, upload->not_before);
	}
	return FALSE;
}

/* On any thread. */
static void
on_listing_woke(gpointer user)
{
	Outbox *outbox = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&outbox->uploads->lock);

	outbox->stirred = TRUE;
	g_cond_signal(&outbox->wake);
}

/* Is what is known of @sent what the server has now? */
static gboolean
list(Outbox *outbox, Mailbox *sent)
{
	gint64 give_up = g_get_monotonic_time() + LISTING_US;
	g_autoptr(GError) error = NULL;
	MailboxView view;

	mailbox_refresh(sent, 0);
	for (;;) {
		gboolean stop;

		g_mutex_lock(&outbox->uploads->lock);
		outbox->stirred = FALSE;
		g_mutex_unlock(&outbox->uploads->lock);
		mailbox_view(sent, &view);
		if (!view.syncing)
			break;
		if (!mailbox_wait(sent, on_listing_woke, outbox))
			continue;
		g_mutex_lock(&outbox->uploads->lock);
		while (!outbox->stop && !outbox->stirred && g_get_monotonic_time() < give_up)
			g_cond_wait_until(&outbox->wake, &outbox->uploads->lock, give_up);
		stop = outbox->stop;
		g_mutex_unlock(&outbox->uploads->lock);
		if (stop || g_get_monotonic_time() >= give_up)
			return FALSE;
	}
	error = mailbox_error(sent);
	return error == NULL && view.listed;
}

typedef struct {
	guint32 uid;
	gint64 date;
} Filed;

typedef struct {
	GArray *filed; /* of Filed */
	gint64 since;
} Recent;

static gboolean
note_recent(gpointer user, const MessageView *message, const char *file_name)
{
	Recent *recent = user;
	Filed filed = {message->uid, message->date};

	if (message->date >= recent->since)
		g_array_append_val(recent->filed, filed);
	return TRUE;
}

static void
note_id(GHashTable *ids, const char *id, gint64 date)
{
	const gint64 *known = g_hash_table_lookup(ids, id);

	if (known == NULL || *known < date)
		g_hash_table_insert(ids, g_strdup(id), g_memdup2(&date, sizeof date));
}

/* The Message-IDs of what was filed since then → gint64: when the last one of it was */
static GHashTable *
ids_since(Mailbox *sent, gint64 since)
{
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Filed));
	GHashTable *ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	Recent recent = {all, since};
	MailboxView view;

	mailbox_view(sent, &view);
	mailbox_each(sent, 1, note_recent, &recent);
	for (guint i = 0; i < all->len; i++) {
		const Filed *filed = &g_array_index(all, Filed, i);
		g_autoptr(GBytes) header = mailbox_stored_header(sent, view.messages, filed->uid);
		NameHeaders headers;

		if (header == NULL)
			continue;
		name_headers_parse(g_bytes_get_data(header, NULL), g_bytes_get_size(header),
				   &headers);
		if (headers.message_id != NULL)
			note_id(ids, headers.message_id, filed->date);
		name_headers_clear(&headers);
	}
	return ids;
}

/* The Message-ID that all its tries had, or would have had. */
static char *
message_id_of(Outbox *outbox, Upload *upload)
{
	g_autoptr(Composed) composed = NULL;
	g_auto(UtilFd) fd = spool_file(outbox->uploads->spool, upload->id, NULL);
	g_autofree char *unique = outbox_unique(upload->ticket);
	const char *at = strchr(outbox->address, '@');

	if (fd >= 0)
		composed = outbox_read(outbox, fd, upload->ticket, NULL);
	if (composed != NULL && composed->message_id != NULL)
		return g_strdup(composed->message_id);
	return g_strdup_printf("<%s%s>", unique, at != NULL ? at : "");
}

/* Is it in Sent since it was queued? What was filed before is an earlier sending of the same
 * message, which somebody sends once more. */
static gboolean
is_filed(Outbox *outbox, Upload *upload, GHashTable *ids)
{
	g_autofree char *id = message_id_of(outbox, upload);
	const gint64 *date = ids != NULL ? g_hash_table_lookup(ids, id) : NULL;

	return date != NULL && *date >= upload->since - CLOCK_S;
}

/* Under the lock. (transfer full): references */
static GPtrArray *
doubtful_ones(Outbox *outbox, gint64 *since)
{
	Folder *folder = uploads_folder(outbox->uploads, outbox->directory);
	GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)upload_unref);
	gint64 now = g_get_monotonic_time();

	*since = OUTBOX_WALL();
	for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
	     node = g_tree_node_next(node)) {
		Upload *upload = g_tree_node_value(node);
		gboolean suspect = g_hash_table_contains(outbox->suspects, upload_key(upload->id));

		if (upload->over || upload->under_way || upload->writers > 0)
			continue;
		if (!(upload->state == SPOOL_DOT && upload->not_before <= now) && !suspect)
			continue;
		/* Nobody touches it while it is looked for. */
		upload->under_way = TRUE;
		*since = MIN(*since, upload->since);
		g_ptr_array_add(list, outbox_ref(upload));
	}
	if (list->len == 0)
		g_hash_table_remove_all(outbox->suspects);
	return list;
}

static void
was_sent(Outbox *outbox, Upload *upload)
{
	uploads_log(outbox->uploads, upload, "its Message-ID is in Sent: it was delivered");
	ledger_note(outbox->ledger, upload->ticket, LEDGER_SENT);
	outbox_end(outbox, upload);
	outbox_commit(outbox);
	outbox_tell(outbox, upload->id, OUTBOX_SENT, 250, NULL, NULL);
}

static void
give_up_on(Outbox *outbox, Upload *upload, VerdictKind kind, const char *detail)
{
	g_autofree char *message_id = message_id_of(outbox, upload);
	Verdict verdict = {
		.kind = kind,
		.server = outbox->smtp != NULL ? outbox->smtp->host : NULL,
		.detail = detail,
		.message_id = message_id,
		.when = OUTBOX_WALL(),
	};

	outbox_fail(outbox, upload, &verdict);
}

/* It was looked for, in vain. */
static void
was_not_found(Outbox *outbox, Upload *upload)
{
	static const gint64 pauses[] = {2, 5, 20};
	gboolean wait;
	gboolean stop;
	guint why;

	g_mutex_lock(&outbox->uploads->lock);
	why = GPOINTER_TO_UINT(g_hash_table_lookup(outbox->suspects, upload_key(upload->id)));
	g_hash_table_remove(outbox->suspects, upload_key(upload->id));
	upload->tries++;
	stop = outbox->stop;
	wait = upload->state == SPOOL_DOT && upload->tries < looks_of(outbox) && !stop;
	if (wait)
		upload->not_before =
			g_get_monotonic_time() +
			pauses[MIN(upload->tries, G_N_ELEMENTS(pauses)) - 1] * G_USEC_PER_SEC;
	if (wait || why == 2 || stop)
		upload->under_way = FALSE;
	g_mutex_unlock(&outbox->uploads->lock);
	if (wait || why == 2 || stop)
		return;
	if (why == 1)
		give_up_on(outbox, upload, VERDICT_UNSENDABLE,
			   "the directory that mailfs keeps its queue in was brought back from a "
			   "copy: this message may have been sent since the copy was made");
	else
		give_up_on(outbox, upload, VERDICT_MAYBE_SENT, NULL);
}

void
outbox_look_up(Outbox *outbox)
{
	Mailbox *sent = sent_mailbox(outbox, NULL);
	g_autoptr(GPtrArray) doubtful = NULL;
	g_autoptr(GHashTable) ids = NULL;
	g_autoptr(GError) error = NULL;
	gint64 since;
	gboolean stop;

	g_mutex_lock(&outbox->uploads->lock);
	doubtful = doubtful_ones(outbox, &since);
	g_mutex_unlock(&outbox->uploads->lock);
	if (doubtful->len > 0 && sent != NULL && list(outbox, sent))
		ids = ids_since(sent, since - CLOCK_S);
	for (guint i = 0; i < doubtful->len; i++) {
		Upload *upload = doubtful->pdata[i];

		if (is_filed(outbox, upload, ids))
			was_sent(outbox, upload);
		else
			was_not_found(outbox, upload);
		upload_tell_waiters(upload, NULL);
	}
	g_mutex_lock(&outbox->uploads->lock);
	stop = outbox->stop;
	g_mutex_unlock(&outbox->uploads->lock);
	/* What the copy held is settled now. */
	if (!stop && spool_is_copy(outbox->uploads->spool) &&
	    !spool_own(outbox->uploads->spool, &error))
		g_debug("outbox: %s", error->message);
}
