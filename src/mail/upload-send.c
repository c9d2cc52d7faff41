/* SPDX-License-Identifier: MIT */
/* How a batch goes to the server, and what its answer means. What the server may have done without
 * our knowing stays STARTED: it is looked for before anything is sent again. */
#include "mail/uploads-private.h"

#include <string.h>

#include "base/util.h"
#include "mail/upload-check.h"

#define OFFLINE_S 30 /* at most between two tries: who waits makes the pool try, too */

static Upload *
member(const Batch *batch, guint index)
{
	return batch->list->pdata[index];
}

/* --- what becomes of one --- */

static gboolean
is_for_good(const GError *error)
{
	switch (error->domain == MAILFS_ERROR ? error->code : -1) {
	case MAILFS_ERROR_DENIED:
	case MAILFS_ERROR_NOT_FOUND:
	case MAILFS_ERROR_STALE:
	case MAILFS_ERROR_QUOTA:
	case MAILFS_ERROR_TOO_BIG:
	case MAILFS_ERROR_READ_ONLY:
	case MAILFS_ERROR_UNSUPPORTED:
	case MAILFS_ERROR_INVALID:
	case MAILFS_ERROR_EXISTS:
		return TRUE;
	}
	return FALSE;
}

/* The server may have done it all the same. */
static gboolean
is_doubtful(const GError *error)
{
	return g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME) ||
	       g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL) ||
	       g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT);
}

/* Seconds until the next try. */
static gint64
pause_of(guint tries)
{
	static const gint64 pauses[] = {5, 15, 60, 300, 900};

	return pauses[MIN(tries, G_N_ELEMENTS(pauses) - 1)];
}

static void
refuse(Upload *upload, const GError *error)
{
	Uploads *uploads = upload->uploads;
	gboolean full = g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_QUOTA);
	g_autofree char *text = util_printable(error->message, -1, 500);
	g_autofree char *line = g_strdup_printf("not uploaded: %s", text);
	gboolean told;

	g_mutex_lock(&uploads->lock);
	told = full && upload->code == MAILFS_ERROR_QUOTA;
	upload_set_refused(upload, error);
	upload->accepted = FALSE;
	upload->unsaved = TRUE;
	upload->retry_at = full ? g_get_real_time() / G_USEC_PER_SEC : 0;
	upload_place(upload);
	if (full) {
		uploads->full_tries += told || !uploads->full;
		uploads->full = TRUE;
		uploads_hold_full(uploads, pause_of(MAX(uploads->full_tries, 1) - 1));
	}
	g_mutex_unlock(&uploads->lock);
	if (!told)
		uploads_log(uploads, upload, line);
	uploads_tell_changed(upload);
	upload_tell_waiters(upload, error);
}

static gboolean
is_of_line(const GError *error)
{
	static const MailfsError codes[] = {MAILFS_ERROR_OFFLINE,      MAILFS_ERROR_UNKNOWN_OUTCOME,
					    MAILFS_ERROR_HOST_UNKNOWN, MAILFS_ERROR_LOGIN,
					    MAILFS_ERROR_TOKEN,	       MAILFS_ERROR_TLS};

	for (guint i = 0; i < G_N_ELEMENTS(codes); i++)
		if (g_error_matches(error, MAILFS_ERROR, (gint)codes[i]))
			return TRUE;
	return FALSE;
}

/* The line was lost that it was sent on, and another one is up: nothing is to be waited for. Under
 * the lock. */
static gboolean
has_another_line(Uploads *uploads, const GError *error, guint line, guint tries)
{
	return is_of_line(error) &&
	       (line != uploads->line || (tries == 0 && account_is_online(uploads->account)));
}

static void
try_later(Upload *upload, const GError *error, SpoolState state)
{
	Uploads *uploads = upload->uploads;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&uploads->lock);
	gboolean at_once = has_another_line(uploads, error, upload->line, upload->tries);
	gint64 pause = pause_of(upload->tries++);

	upload->state = state;
	upload->retry_at = at_once ? 0 : g_get_real_time() / G_USEC_PER_SEC + pause;
	upload->unsaved = TRUE;
	upload_set_reason(upload, error->message);
	if (state == SPOOL_STARTED)
		upload->not_before = g_get_monotonic_time() + UPLOAD_SETTLE_US;
	upload_place(upload);
}

static void
fail_one(Upload *upload, const GError *error)
{
	if (is_doubtful(error))
		try_later(upload, error, SPOOL_STARTED);
	else if (is_for_good(error))
		refuse(upload, error);
	else
		try_later(upload, error, SPOOL_QUEUED);
	uploads_tell_changed(upload);
}

/* --- starting --- */

/* As if the server had answered so. */
static void
give_back(Batch *batch, GError *error)
{
	batch->error = error;
	batch_push(batch);
}

/* What an earlier life has left may have suffered since. */
static gboolean
is_as_written(Upload *upload, int fd, GError **error)
{
	UploadChecked checked;

	if (upload->proved)
		return TRUE;
	if (!upload_check(fd, &checked, error))
		return FALSE;
	upload->proved = checked.size == upload->size && checked.crc == upload->crc;
	if (!upload->proved)
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
				    "the file is not as it was written: the disk has lost some of "
				    "it");
	return upload->proved;
}

static AppendMessage *
append_message_of(Upload *upload, GError **error)
{
	g_auto(UtilFd) fd = spool_file(upload->uploads->spool, upload->id, error);
	AppendMessage *message;

	if (fd < 0 || !is_as_written(upload, fd, error))
		return NULL;
	message = append_message_new(util_steal_fd(&fd), NULL, upload->size);
	g_mutex_lock(&upload->uploads->lock);
	message->flags.flags = upload->flags;
	message->flags.keywords = *upload->keywords != '\0' ? g_strdup(upload->keywords) : NULL;
	message->date = upload->mtime;
	upload_note_flags(upload, upload->flags, upload->keywords);
	upload->edits_done = upload->edits;
	g_mutex_unlock(&upload->uploads->lock);
	return message;
}

/* Takes out of the batch what cannot be sent. NULL: nothing is left. */
static GPtrArray *
messages_of(Batch *batch)
{
	GPtrArray *messages = g_ptr_array_new_with_free_func(append_message_free);
	g_autoptr(GPtrArray) sound = g_ptr_array_new();

	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = member(batch, i);
		g_autoptr(GError) error = NULL;
		AppendMessage *message = append_message_of(upload, &error);

		if (message != NULL) {
			g_ptr_array_add(messages, message);
			g_ptr_array_add(sound, upload);
			continue;
		}
		g_mutex_lock(&upload->uploads->lock);
		upload->under_way = FALSE;
		upload_place(upload);
		g_mutex_unlock(&upload->uploads->lock);
		fail_one(upload, error);
		upload_unref(upload);
	}
	for (guint i = 0; i < sound->len; i++)
		batch->list->pdata[i] = sound->pdata[i];
	while (batch->list->len > sound->len)
		g_ptr_array_steal_index(batch->list, batch->list->len - 1);
	return messages;
}

/* Before the first byte goes out. */
static gboolean
save_started(Batch *batch, GError **error)
{
	Uploads *uploads = batch->uploads;
	guint32 validity = 0;
	guint32 next = mailbox_next_uid(batch->mailbox, &validity);

	g_mutex_lock(&uploads->lock);
	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = member(batch, i);

		upload->state = SPOOL_STARTED;
		upload->before_validity = next != 0 ? validity : 0;
		upload->before_uidnext = next;
		upload_set_reason(upload, "");
	}
	g_mutex_unlock(&uploads->lock);
	return uploads_save(uploads, (Upload **)batch->list->pdata, batch->list->len, error);
}

/* --- answers, on a session's thread --- */

static void
on_appended(gpointer user, guint index, guint32 uidvalidity, guint32 uid, const GError *error)
{
	Batch *batch = user;

	if (index >= batch->list->len || batch->outcomes[index].told)
		return;
	batch->outcomes[index] = (Outcome){
		TRUE, uidvalidity, uid, error != NULL ? g_error_copy(error) : NULL, 0, 0, NULL};
}

static void
on_copied(gpointer user, const UidSet *source, guint32 uidvalidity, const UidSet *target)
{
	Batch *batch = user;
	guint range = 0;
	guint32 first = 0;
	guint32 last = 0;
	guint32 uid = 0;

	for (guint i = 0; i < uidset_n_ranges(source); i++) {
		guint32 from;
		guint32 to;

		uidset_range(source, i, &from, &to);
		for (guint64 each = from; each <= to; each++) {
			guint index = GPOINTER_TO_UINT(
				g_hash_table_lookup(batch->by_source, upload_key((guint32)each)));

			if (target != NULL && (uid == 0 || uid == last)) {
				if (range >= uidset_n_ranges(target))
					return;
				uidset_range(target, range++, &first, &last);
				uid = first;
			} else if (target != NULL) {
				uid++;
			}
			if (index > 0)
				batch->outcomes[index - 1] =
					(Outcome){TRUE, uidvalidity, uid, NULL, 0, 0, NULL};
		}
	}
}

static void
on_marked(gpointer user, const UidSet *uids)
{
	uidset_add_all(((Batch *)user)->marked, uids);
}

static void
on_vanished(gpointer user, const UidSet *uids)
{
	/* What is not marked is gone: done tells. */
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	give_back(user, error != NULL ? g_error_copy(error) : NULL);
}

static const RequestEvents append_events = {.appended = on_appended, .done = on_done};
static const RequestEvents copy_events = {.copied = on_copied, .done = on_done};
static void
on_stored(gpointer user, const UidSet *uids)
{
	/* What is not there any more needs no flags: done tells. */
}

static const RequestEvents store_events = {.stored = on_stored, .done = on_done};
static const RequestEvents expunge_events = {
	.vanished = on_vanished, .marked = on_marked, .done = on_done};

/* --- the kinds --- */

static void
submit(Batch *batch, Request *request)
{
	Pool *pool = account_pool(batch->uploads->account);

	if (pool != NULL) {
		pool_submit(pool, request);
		return;
	}
	request_free(request);
	give_back(batch, g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
					     "mailfs is shutting down"));
}

static void
start_append(Batch *batch)
{
	Request *request;
	GPtrArray *messages = messages_of(batch);
	GError *error = NULL;

	if (batch->list->len == 0 || !save_started(batch, &error)) {
		g_ptr_array_unref(messages);
		give_back(batch, error);
		return;
	}
	request = request_new(REQUEST_APPEND, mailbox_raw_name(batch->mailbox), &append_events,
			      batch);
	request->messages = messages;
	submit(batch, request);
}

static void
start_copy(Batch *batch)
{
	const Upload *first = member(batch, 0);
	Request *request;
	GError *error = NULL;

	if (!save_started(batch, &error)) {
		give_back(batch, error);
		return;
	}
	request = request_new(REQUEST_COPY, first->source_raw, &copy_events, batch);
	request->uidvalidity = first->source_validity;
	request->target = g_strdup(mailbox_raw_name(batch->mailbox));
	request->uids = uidset_new();
	for (guint i = 0; i < batch->list->len; i++)
		uidset_add(request->uids, member(batch, i)->source_uid,
			   member(batch, i)->source_uid);
	submit(batch, request);
}

static void
start_expunge(Batch *batch)
{
	const Upload *first = member(batch, 0);
	Request *request = request_new(REQUEST_EXPUNGE, mailbox_raw_name(batch->mailbox),
				       &expunge_events, batch);
	MailboxView view;

	mailbox_view(batch->mailbox, &view);
	batch->serial = view.uidvalidity == first->replaces_validity ? view.messages : 0;
	batch->marked = uidset_new();
	request->uidvalidity = first->replaces_validity;
	request->uids = uidset_new();
	for (guint i = 0; i < batch->list->len; i++)
		uidset_add(request->uids, member(batch, i)->replaces_uid,
			   member(batch, i)->replaces_uid);
	submit(batch, request);
}

static void
start_flags(Batch *batch)
{
	Upload *first = member(batch, 0);
	Request *request =
		request_new(REQUEST_STORE, mailbox_raw_name(batch->mailbox), &store_events, batch);

	request->uidvalidity = first->sent_validity;
	request->uids = uidset_new();
	g_mutex_lock(&batch->uploads->lock);
	upload_flags_to_store(first, &request->add, &request->remove);
	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = member(batch, i);

		uidset_add(request->uids, upload->sent_uid, upload->sent_uid);
		batch->outcomes[i].edits = upload->edits;
		batch->outcomes[i].flags = upload->flags;
		batch->outcomes[i].keywords = g_strdup(upload->keywords);
	}
	g_mutex_unlock(&batch->uploads->lock);
	submit(batch, request);
}

/* On any thread. */
static void
on_listing_woke(gpointer user)
{
	Batch *batch = user;
	MailboxView view;

	do {
		mailbox_view(batch->mailbox, &view);
		if (!view.syncing) {
			give_back(batch, mailbox_error(batch->mailbox));
			return;
		}
	} while (!mailbox_wait(batch->mailbox, on_listing_woke, batch));
}

static void
start_listing(Batch *batch)
{
	if (account_pool(batch->uploads->account) == NULL) {
		give_back(batch, g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
						     "mailfs is shutting down"));
		return;
	}
	mailbox_refresh(batch->mailbox, 0);
	on_listing_woke(batch);
}

void
batch_start(Batch *batch)
{
	switch (batch->kind) {
	case BATCH_LIST:
	case BATCH_LOOK:
		start_listing(batch);
		break;
	case BATCH_APPEND:
		start_append(batch);
		break;
	case BATCH_COPY:
		start_copy(batch);
		break;
	case BATCH_EXPUNGE:
		start_expunge(batch);
		break;
	case BATCH_FLAGS:
		start_flags(batch);
		break;
	case BATCH_FETCH:
		batch_start_fetch(batch);
		break;
	}
}

/* --- finishing --- */

/* It is on the server. @ended: takes it when nothing more is to be done. */
static void
settle(Upload *upload, guint32 validity, guint32 uid, GPtrArray *ended)
{
	Uploads *uploads = upload->uploads;

	g_mutex_lock(&uploads->lock);
	upload->sent_validity = validity;
	upload->sent_uid = uid;
	upload->retry_at = 0;
	upload->not_before = 0;
	upload->hurry = TRUE;
	upload->tries = 0;
	if (upload->folder->claimed_validity != validity)
		g_hash_table_remove_all(upload->folder->claimed);
	upload->folder->claimed_validity = validity;
	g_hash_table_add(upload->folder->claimed, upload_key(uid));
	upload->settled = uid == 0 || (!upload_wants_flags(upload) && upload->replaces_uid == 0);
	uploads->uploaded += upload->settled;
	if (uploads->full)
		uploads_hold_full(uploads, 0);
	uploads->full = FALSE;
	uploads->full_tries = 0;
	upload->refs += upload->settled;
	g_mutex_unlock(&uploads->lock);
	/* Should we be killed now, it is found on the server, and what is left to do is done. */
	if (!upload->settled)
		return;
	upload_adopt(upload);
	g_ptr_array_add(ended, upload);
}

/* The server has said OK, but not as what. */
static void
look_at_once(Upload *upload)
{
	g_autofree char *name = upload_name(upload);
	Mailbox *mailbox = upload_mailbox(upload);

	if (mailbox != NULL && g_str_has_suffix(name, ".eml"))
		mailbox_expect(mailbox, upload->message_id, upload->size, name);
	g_mutex_lock(&upload->uploads->lock);
	upload->accepted = TRUE;
	upload->retry_at = 0;
	upload->not_before = 0;
	upload->hurry = TRUE;
	g_mutex_unlock(&upload->uploads->lock);
}

/* Some servers answer with a message that they had before, when the two look alike to them. It need
 * not have these bytes, and it may be the very one that is to give way. */
static gboolean
is_older(const Upload *upload, const Outcome *outcome)
{
	return (upload->replaces_validity == outcome->validity &&
		upload->replaces_uid == outcome->uid) ||
	       (upload->before_validity == outcome->validity &&
		outcome->uid < upload->before_uidnext);
}

static gboolean
has_same_size(const Batch *batch, const Upload *upload, guint32 uid)
{
	MailboxView view;
	MessageView message;

	mailbox_view(batch->mailbox, &view);
	return uid != upload->replaces_uid &&
	       mailbox_get(batch->mailbox, view.messages, uid, &message) &&
	       message.size == upload->size;
}

static void
finish_older(Batch *batch, Upload *upload, guint32 uid)
{
	g_autoptr(GError) error = NULL;

	if (has_same_size(batch, upload, uid)) {
		look_at_once(upload);
		return;
	}
	error = g_error_new(MAILFS_ERROR, MAILFS_ERROR_EXISTS,
			    "the server takes it for message %u, which it had before", uid);
	refuse(upload, error);
}

static void
finish_sent(Batch *batch, GPtrArray *ended)
{
	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = member(batch, i);
		const Outcome *outcome = &batch->outcomes[i];
		const GError *error = outcome->told ? outcome->error : batch->error;
		g_autoptr(GError) silence = NULL;

		if (!outcome->told && error == NULL && batch->kind == BATCH_COPY)
			error = silence = g_error_new_literal(
				MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
				"the message it is a copy of is not there any more");
		else if (!outcome->told && error == NULL)
			error = silence =
				g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME,
						    "the server does not say what it did with it");
		if (error != NULL)
			fail_one(upload, error);
		else if (outcome->uid == 0 || outcome->validity == 0)
			look_at_once(upload);
		else if (is_older(upload, outcome))
			finish_older(batch, upload, outcome->uid);
		else {
			if (batch->kind == BATCH_COPY)
				upload_note_source_flags(upload);
			settle(upload, outcome->validity, outcome->uid, ended);
		}
	}
}

static void
finish_look(Batch *batch, GPtrArray *ended)
{
	if (batch->error == NULL)
		batch_match(batch);
	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = member(batch, i);
		const Outcome *outcome = &batch->outcomes[i];

		if (batch->error != NULL) {
			try_later(upload, batch->error, upload->state);
		} else if (upload_must_ask(upload)) {
			g_mutex_lock(&batch->uploads->lock);
			upload_found_former(upload, outcome->validity, outcome->uid);
			g_mutex_unlock(&batch->uploads->lock);
		} else if (outcome->told) {
			upload_note_listed_flags(upload, batch->mailbox, outcome->uid);
			settle(upload, outcome->validity, outcome->uid, ended);
		} else if (upload->accepted && upload->source_raw != NULL &&
			   !upload_has_source(upload)) {
			/* A server copies nothing of what is not there, and says OK. */
			g_autoptr(GError) gone = g_error_new_literal(
				MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
				"the message it is a copy of is not there any more");

			fail_one(upload, gone);
		} else if (upload->accepted && upload->source_raw == NULL) {
			if (upload->replaces_uid != 0)
				uploads_log(batch->uploads, upload,
					    "the server has it, but it is not found: what it "
					    "replaces stays");
			settle(upload, 0, 0, ended);
		} else {
			g_mutex_lock(&batch->uploads->lock);
			upload->state = SPOOL_QUEUED;
			upload->accepted = FALSE;
			upload->retry_at = 0;
			upload->not_before = 0;
			upload->unsaved = TRUE;
			g_mutex_unlock(&batch->uploads->lock);
		}
		uploads_tell_changed(upload);
	}
}

static void
finish_list(Batch *batch)
{
	for (guint i = 0; batch->error != NULL && i < batch->list->len; i++)
		fail_one(member(batch, i), batch->error);
	g_mutex_lock(&batch->uploads->lock);
	batch->folder->listed = batch->error == NULL;
	for (guint i = 0; i < batch->list->len; i++)
		if (member(batch, i)->state == SPOOL_STARTED)
			member(batch, i)->state = SPOOL_QUEUED; /* nothing of it was sent */
	g_mutex_unlock(&batch->uploads->lock);
}

static void
finish_expunge(Batch *batch, GPtrArray *ended)
{
	const GError *error = batch->error;
	gboolean gone =
		error == NULL || g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND);
	g_autoptr(UidSet) dropped = uidset_new();

	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = member(batch, i);
		g_autofree char *line = NULL;

		if (!gone && !is_for_good(error)) {
			try_later(upload, error, upload->state);
			continue;
		}
		if (!gone) {
			g_autofree char *text = util_printable(error->message, -1, 500);

			line = g_strdup_printf("uploaded, but what it replaces stays: %s", text);
			uploads_log(batch->uploads, upload, line);
		} else if (!uidset_contains(batch->marked, upload->replaces_uid)) {
			uidset_add(dropped, upload->replaces_uid, upload->replaces_uid);
		}
	}
	if (batch->serial != 0 && !uidset_is_empty(batch->marked))
		mailbox_mark(batch->mailbox, batch->serial, batch->marked);
	/* Before the new one takes the old one's name. */
	if (batch->serial != 0 && !uidset_is_empty(dropped))
		mailbox_drop(batch->mailbox, batch->serial, dropped);
	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = member(batch, i);
		gboolean there;

		if (!gone && !is_for_good(error))
			continue;
		g_mutex_lock(&batch->uploads->lock);
		there = upload_end_older(upload);
		g_mutex_unlock(&batch->uploads->lock);
		if (there)
			settle(upload, upload->sent_validity, upload->sent_uid, ended);
	}
}

static void
finish_flags(Batch *batch, GPtrArray *ended)
{
	const GError *error = batch->error;
	gboolean later = error != NULL && !is_for_good(error);
	g_autofree char *text = NULL;
	g_autofree char *line = NULL;

	if (error != NULL) {
		text = util_printable(error->message, -1, 500);
		line = g_strdup_printf("uploaded, but its flags are not set: %s", text);
	}
	for (guint i = 0; i < batch->list->len; i++) {
		Upload *upload = member(batch, i);

		g_mutex_lock(&batch->uploads->lock);
		if (later)
			upload_flags_are_in_doubt(upload, &batch->outcomes[i]);
		else if (error != NULL)
			upload_give_up_flags(upload, batch->outcomes[i].edits);
		else
			upload_flags_are_stored(upload, &batch->outcomes[i]);
		g_mutex_unlock(&batch->uploads->lock);
		if (later) {
			try_later(upload, error, SPOOL_STARTED);
			continue;
		}
		if (error != NULL)
			uploads_log(batch->uploads, upload, line);
		settle(upload, upload->sent_validity, upload->sent_uid, ended);
	}
}

static void
finish_fetch(Batch *batch)
{
	Upload *upload = member(batch, 0);
	g_autoptr(GError) error = NULL;

	if (!batch_fill(batch, &error))
		fail_one(upload, error);
}

/* Under the lock. */
static void
end_way(Upload *upload)
{
	upload->under_way = FALSE;
	upload_place(upload);
}

/* The line is down for all: one batch in a while tries it. Under the lock. */
static void
note_line(Uploads *uploads, const Batch *batch)
{
	const GError *error = batch->error;
	gint64 pause = pause_of(uploads->offline_tries);

	if (error == NULL || !is_of_line(error) ||
	    g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME)) {
		uploads->offline_until = uploads->offline_tries = 0;
		return;
	}
	if (has_another_line(uploads, error, batch->line, uploads->offline_tries))
		pause = 0;
	uploads->offline_tries++;
	uploads->offline_until = g_get_monotonic_time() + MIN(pause, OFFLINE_S) * G_USEC_PER_SEC;
}

void
batch_finish(Batch *batch)
{
	Uploads *uploads = batch->uploads;
	g_autoptr(GPtrArray) ended = g_ptr_array_new_with_free_func((GDestroyNotify)upload_unref);
	g_autoptr(GError) error = NULL;

	switch (batch->kind) {
	case BATCH_APPEND:
	case BATCH_COPY:
		finish_sent(batch, ended);
		break;
	case BATCH_LOOK:
		finish_look(batch, ended);
		break;
	case BATCH_LIST:
		finish_list(batch);
		break;
	case BATCH_EXPUNGE:
		finish_expunge(batch, ended);
		break;
	case BATCH_FLAGS:
		finish_flags(batch, ended);
		break;
	case BATCH_FETCH:
		finish_fetch(batch);
		break;
	}
	/* A message that stays in a spool whose disk has failed is found again after a restart. */
	if (ended->len > 0 && !uploads_end(uploads, ended, NULL, &error))
		g_debug("uploads: %s", error->message);
	g_mutex_lock(&uploads->lock);
	note_line(uploads, batch);
	for (guint i = 0; i < batch->list->len; i++)
		end_way(member(batch, i));
	batch->folder->batch = NULL;
	uploads_stir(uploads, TRUE);
	g_mutex_unlock(&uploads->lock);
	/* Who was told of a refusal, and came back while it was still under way. */
	for (guint i = 0; i < batch->list->len; i++)
		upload_tell_if_ended(member(batch, i));
	batch_free(batch);
	uploads_tell_idle(uploads);
	uploads_tell_held(uploads);
}
