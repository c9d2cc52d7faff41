/* SPDX-License-Identifier: MIT */
/* From a file to a message of the listing: which one is it, and what is known of it already. */
#include "mail/uploads-private.h"

#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "mail/name.h"
#include "mail/upload-check.h"

#define COPY_AGE_S 86400 /* clocks differ */

/* --- which one? --- */

typedef struct {
	guint32 uid;
	guint64 size;
	gint64 date;
	gboolean taken;
	gboolean has_id; /* `id` was looked up: */
	char *id;	 /* Message-ID; NULL: nobody knows */
} Candidate;

typedef struct {
	GHashTable *sizes; /* of those looked for */
	GArray *list;	   /* of Candidate */
	Folder *folder;
	gboolean same_numbering;
	gint64 copies_since; /* messages of any size are candidates from then on */
} Search;

static gboolean
note_candidate(gpointer user, const MessageView *message, const char *file_name)
{
	Search *search = user;
	Candidate candidate = {.uid = message->uid, .size = message->size, .date = message->date};

	if ((g_hash_table_contains(search->sizes, &message->size) ||
	     message->date >= search->copies_since) &&
	    !(search->same_numbering &&
	      g_hash_table_contains(search->folder->claimed, upload_key(message->uid))))
		g_array_append_val(search->list, candidate);
	return TRUE;
}

static const char *
id_of(Candidate *candidate, Mailbox *mailbox, guint32 serial)
{
	g_autoptr(GBytes) header = NULL;
	NameHeaders headers;

	if (candidate->has_id)
		return candidate->id;
	candidate->has_id = TRUE;
	header = mailbox_stored_header(mailbox, serial, candidate->uid);
	if (header == NULL)
		return NULL;
	name_headers_parse(g_bytes_get_data(header, NULL), g_bytes_get_size(header), &headers);
	candidate->id = g_strdup(headers.message_id != NULL ? headers.message_id : "");
	name_headers_clear(&headers);
	return candidate->id;
}

/* Size alone says little; a Message-ID alone may be that of an older draft. Where the listing has
 * no headers (names=uid), and for messages without a Message-ID, the date decides; also for a new
 * version of a message, when the numbers do not tell it from the old one. */
static gboolean
is_it(Candidate *candidate, const Upload *upload, Mailbox *mailbox, const MailboxView *view)
{
	gboolean former = upload_must_ask(upload);
	guint64 size = former ? upload->doubt_size : upload->size;
	gint64 date = former ? upload->doubt_time : upload->mtime;
	const char *message_id = former ? upload->doubt_id : upload->message_id;
	gboolean numbered = upload->before_validity == view->uidvalidity;
	gboolean old = upload->replaces_validity == view->uidvalidity &&
		       upload->replaces_uid == candidate->uid;
	const char *id;

	/* A copy of what was sent may be another's copy, with more in its header. */
	if (upload->ticket != 0)
		return !candidate->taken && candidate->date >= upload->mtime - COPY_AGE_S &&
		       *upload->message_id != '\0' &&
		       g_strcmp0(id_of(candidate, mailbox, view->messages), upload->message_id) ==
			       0;
	if (candidate->taken || old || (numbered && candidate->uid < upload->before_uidnext) ||
	    candidate->size != size)
		return FALSE;
	if (!numbered && (upload->replaces_uid != 0 || former) && candidate->date != date)
		return FALSE;
	id = id_of(candidate, mailbox, view->messages);
	if (id != NULL && (*id != '\0' || *message_id != '\0'))
		return strcmp(id, message_id) == 0;
	return candidate->date == date;
}

static void
candidate_clear(gpointer data)
{
	g_free(((Candidate *)data)->id);
}

void
batch_match(Batch *batch)
{
	Search search = {g_hash_table_new(g_int64_hash, g_int64_equal),
			 g_array_new(FALSE, FALSE, sizeof(Candidate)), batch->folder, FALSE,
			 G_MAXINT64};
	guint32 lowest = G_MAXUINT32;
	MailboxView view;

	mailbox_view(batch->mailbox, &view);
	g_array_set_clear_func(search.list, candidate_clear);
	search.same_numbering = batch->folder->claimed_validity == view.uidvalidity;
	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = batch->list->pdata[i];

		g_hash_table_add(search.sizes,
				 upload_must_ask(upload) ? &upload->doubt_size : &upload->size);
		if (upload->ticket != 0)
			search.copies_since = MIN(search.copies_since, upload->mtime - COPY_AGE_S);
		lowest = MIN(lowest, upload->before_validity == view.uidvalidity
					     ? upload->before_uidnext
					     : 1);
	}
	mailbox_each(batch->mailbox, lowest, note_candidate, &search);
	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = batch->list->pdata[i];

		for (guint k = 0; k < search.list->len && !batch->outcomes[i].told; k++) {
			Candidate *candidate = &g_array_index(search.list, Candidate, k);

			if (!is_it(candidate, upload, batch->mailbox, &view))
				continue;
			candidate->taken = TRUE;
			batch->outcomes[i] =
				(Outcome){TRUE, view.uidvalidity, candidate->uid, NULL, 0, 0, NULL};
		}
	}
	g_array_unref(search.list);
	g_hash_table_unref(search.sizes);
}

/* --- what is known of it --- */

/* Into the disk cache, so that reading it back costs nothing. */
static void
keep_body(Upload *upload, int fd, guint32 serial)
{
	g_autoptr(GError) error = NULL;
	BodyWriter *writer =
		body_writer_new(account_bodies(upload->uploads->account), serial, &error);
	g_autofree char *piece = g_malloc(65536);
	guint64 at = 0;
	guint64 size;
	guint32 crc;
	gssize n = 0;

	while (writer != NULL && at < upload->size) {
		n = pread(fd, piece, 65536, (off_t)at);
		if (n <= 0 || !body_writer_write(writer, piece, (gsize)n, &error))
			break;
		at += (guint64)n;
	}
	if (writer != NULL && at == upload->size)
		body_writer_keep(writer, upload->sent_uid, &size, &crc, &error);
	else
		body_writer_abort(writer);
	if (error != NULL)
		g_debug("upload %u: %s", upload->id, error->message);
}

static const char *
name_for(const Upload *upload)
{
	return g_str_has_suffix(upload->name, ".eml") ? upload->name : NULL;
}

static void
adopt_copy(Upload *upload, Mailbox *mailbox, const char *name)
{
	g_autoptr(MessageCopy) copy = NULL;
	MailboxView view;
	Mailbox *source;
	guint32 serial;
	guint32 uid;

	if (upload_source(upload, &source, &serial, &uid) && source != NULL)
		copy = mailbox_copy_of(source, serial, uid);
	if (copy == NULL) {
		/* Gone since: the listing tells what there is to tell. */
		if (name != NULL)
			mailbox_expect(mailbox, upload->message_id, upload->size, name);
		if (account_pool(upload->uploads->account) != NULL)
			mailbox_refresh(mailbox, 0);
		return;
	}
	mailbox_view(mailbox, &view);
	if (view.messages != 0 && view.uidvalidity == upload->sent_validity)
		bodies_move(account_bodies(upload->uploads->account), serial, uid, view.messages,
			    upload->sent_uid, TRUE);
	if (mailbox_adopt_copy(mailbox, upload->sent_validity, upload->sent_uid, copy, name,
			       NULL) &&
	    (copy->info.flags != upload->flags ||
	     strcmp(copy->info.keywords, upload->keywords) != 0))
		upload_put_flags(upload, mailbox);
}

static void
adopt_file(Upload *upload, Mailbox *mailbox, const char *name)
{
	g_auto(UtilFd) fd = spool_file(upload->uploads->spool, upload->id, NULL);
	g_autofree char *header = NULL;
	g_autofree char *fields = NULL;
	MessageInfo info = {
		.uid = upload->sent_uid,
		.flags = upload->flags,
		.size = upload->size,
		.date = upload->mtime,
		.keywords = upload->keywords,
	};
	MailboxView view;
	gsize len;

	if (fd >= 0)
		header = upload_check_header(fd, &len, NULL);
	if (header != NULL)
		fields = upload_check_fields(header, len, &info.header_len);
	info.header = fields;
	mailbox_view(mailbox, &view);
	if (fd >= 0 && view.messages != 0 && view.uidvalidity == upload->sent_validity)
		keep_body(upload, fd, view.messages);
	if (mailbox_adopt(mailbox, upload->sent_validity, &info, TRUE, upload->crc, name) &&
	    upload->edits_done > 0)
		upload_put_flags(upload, mailbox);
}

void
upload_adopt(Upload *upload)
{
	Mailbox *mailbox = upload_mailbox(upload);
	g_autofree char *whole = upload_name(upload);
	const char *name = name_for(upload) != NULL ? whole : NULL;

	/* Without a UID the listing will bring it. */
	if (mailbox == NULL || upload->sent_uid == 0)
		return;
	if (upload->source_raw != NULL)
		adopt_copy(upload, mailbox, name);
	else
		adopt_file(upload, mailbox, name);
}
