/* SPDX-License-Identifier: MIT */
/* One session. A message that was accepted is written down together with the next one's point of no
 * return: one fsync each. */
#include "mail/outbox-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/util.h"

#define TAKEN_MAX   64
#define TAKEN_BYTES (16 * 1024 * 1024)
#define LARGE	    (256 * 1024) /* an answer does not wait to be written down until this is sent */
#define GIVE_UP_S   (2 * 86400)
#define LATERS_MAX  3	 /* 4xx in a row: it is not the message */
#define POLICY_S    3600 /* the server thinks ill of us: a while of silence */
#define CALM	    20	 /* messages taken without complaint, and it may go faster */
#define GOODBYE_MS  1000

static void
log_pause(Outbox *outbox, const char *what)
{
	Uploads *uploads = outbox->uploads;
	g_autofree char *line = NULL;
	g_autoptr(GDateTime) time = NULL;
	g_autofree char *clock = NULL;

	g_mutex_lock(&uploads->lock);
	time = g_date_time_new_from_unix_local(outbox->pause_until);
	clock = g_date_time_format(time, "%H:%M");
	if (outbox->shut)
		line = g_strdup_printf("outbox: %s; nothing is sent until this is put right, then: "
				       "kill -HUP, or `touch` a file in the outbox",
				       what);
	else
		line = g_strdup_printf("outbox: %s; next try at %s", what, clock);
	g_mutex_unlock(&uploads->lock);
	uploads->news->log(uploads->user, line);
}

/* --- taking --- */

/* How many may be begun. Under the lock. */
static guint
room_of(Outbox *outbox)
{
	guint room = TAKEN_MAX;
	guint sent;

	if (outbox->stop || outbox_free_at(outbox, NULL) != 0)
		return 0;
	if (outbox->probing || outbox->gap_us > 0)
		room = outbox->in_flight == 0 &&
		       g_get_monotonic_time() >= outbox->last_at + outbox->gap_us;
	if (outbox->limit > 0) {
		sent = ledger_sent(outbox->ledger, 86400, 0, NULL) + outbox->in_flight;
		room = MIN(room, outbox->limit - MIN(sent, outbox->limit));
	}
	if (outbox->rate > 0) {
		sent = ledger_sent(outbox->ledger, 3600, 0, NULL) + outbox->in_flight;
		room = MIN(room, outbox->rate - MIN(sent, outbox->rate));
	}
	return room;
}

/* Under the lock. (element-type Upload): the same that are in `taken` from now on */
static GPtrArray *
choose(Outbox *outbox)
{
	Folder *folder = uploads_folder(outbox->uploads, outbox->directory);
	GPtrArray *chosen = g_ptr_array_new();
	guint room = room_of(outbox);
	guint64 bytes = 0;

	for (GTreeNode *node = g_tree_node_first(folder->by_id);
	     node != NULL && chosen->len < room && bytes < TAKEN_BYTES;
	     node = g_tree_node_next(node)) {
		Upload *upload = g_tree_node_value(node);

		if (outbox_wait_of(outbox, upload) != 0)
			continue;
		upload->under_way = TRUE;
		upload->state = SPOOL_SENDING;
		bytes += upload->size;
		g_queue_push_tail(&outbox->taken, outbox_ref(upload));
		g_ptr_array_add(chosen, upload);
	}
	return chosen;
}

static void
give_back_taken(Outbox *outbox)
{
	Upload *upload;

	while ((upload = g_queue_pop_head(&outbox->taken)) != NULL) {
		g_mutex_lock(&outbox->uploads->lock);
		outbox_give_back(outbox, upload);
		g_mutex_unlock(&outbox->uploads->lock);
		upload_tell_waiters(upload, NULL);
		upload_unref(upload);
	}
}

gboolean
outbox_take(Outbox *outbox)
{
	g_autoptr(GPtrArray) chosen = NULL;
	g_autoptr(GError) error = NULL;

	g_mutex_lock(&outbox->uploads->lock);
	chosen = choose(outbox);
	g_mutex_unlock(&outbox->uploads->lock);
	if (chosen->len == 0)
		return FALSE;
	if (uploads_save(outbox->uploads, (Upload **)chosen->pdata, chosen->len, &error))
		return TRUE;
	give_back_taken(outbox);
	outbox_pause(outbox, 60, error->message);
	log_pause(outbox, error->message);
	return FALSE;
}

/* --- from a file to a letter --- */

Composed *
outbox_read(Outbox *outbox, int fd, guint64 ticket, GError **error)
{
	g_autofree char *unique = ticket != 0 ? outbox_unique(ticket) : NULL;
	ComposeOptions options = {.address = outbox->address, .unique = unique};

	return compose_read(fd, &options, error);
}

gboolean
outbox_allows(Outbox *outbox, const Composed *composed, GError **error)
{
	for (guint i = 0; outbox->send_to != NULL && composed->recipients[i] != NULL; i++) {
		g_autofree char *address = g_utf8_strdown(composed->recipients[i], -1);
		gboolean found = FALSE;

		for (guint k = 0; outbox->send_to[k] != NULL && !found; k++)
			found = g_pattern_match_simple(outbox->send_to[k], address);
		if (found)
			continue;
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_DENIED,
			    "%s is not among those that send-to= allows", composed->recipients[i]);
		return FALSE;
	}
	return TRUE;
}

static gboolean
fail_file(GError **error)
{
	int err = errno;

	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(err), "%s", g_strerror(err));
	return FALSE;
}

/* Those who read it go on with the new bytes. Under `disk`. */
static gboolean
exchange(Upload *upload, int fresh, const ComposeWritten *written, GError **error)
{
	gboolean done = TRUE;

	if (!spool_rewritten(upload->uploads->spool, upload->id, fresh, error))
		return FALSE;
	g_mutex_lock(&upload->uploads->lock);
	if (upload->fd >= 0)
		done = dup3(fresh, upload->fd, O_CLOEXEC) >= 0;
	upload->size = written->size;
	upload->crc = written->crc;
	g_mutex_unlock(&upload->uploads->lock);
	return done || fail_file(error);
}

/* The file becomes what is kept: every try has the same Message-ID. Under `disk`. */
static gboolean
make_complete(Outbox *outbox, Upload *upload, UtilFd *fd, GError **error)
{
	g_autofree char *unique = outbox_unique(upload->ticket);
	ComposeOptions options = {.address = outbox->address, .unique = unique};
	g_auto(UtilFd) fresh = spool_rewrite(outbox->uploads->spool, upload->id, error);
	ComposeWritten written;

	if (fresh < 0 || !compose_complete(*fd, fresh, &options, &written, error) ||
	    !exchange(upload, fresh, &written, error))
		return FALSE;
	util_close_fd(fd);
	*fd = util_steal_fd(&fresh);
	uploads_tell_changed(upload);
	return TRUE;
}

/* What the server gets, where that is not the file itself. */
static int
make_wire(Outbox *outbox, int fd, guint64 *size_out, GError **error)
{
	g_autofree char *path = g_build_filename(outbox->scratch_dir, "wire-XXXXXX", NULL);
	g_auto(UtilFd) wire = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
	ComposeWritten written;

	if (wire < 0 || unlink(path) != 0) {
		fail_file(error);
		return -1;
	}
	if (!compose_wire(fd, wire, &written, error))
		return -1;
	*size_out = written.size;
	return util_steal_fd(&wire);
}

static gboolean
is_as_written(Upload *upload, const Composed *composed, GError **error)
{
	if (upload->proved || composed->crc == upload->crc)
		return TRUE;
	g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "the file is not as it was written: the disk has lost some of it");
	return FALSE;
}

static void
letter_free(Letter *letter)
{
	composed_free(letter->composed);
	util_close_fd(&letter->fd);
	upload_unref(letter->upload);
	g_free(letter);
}

/* Under `disk`. */
static gboolean
fill(Outbox *outbox, Letter *letter, GError **error)
{
	Upload *upload = letter->upload;

	letter->fd = spool_file(outbox->uploads->spool, upload->id, error);
	if (letter->fd < 0)
		return FALSE;
	letter->composed = outbox_read(outbox, letter->fd, upload->ticket, error);
	if (letter->composed == NULL || !is_as_written(upload, letter->composed, error) ||
	    !outbox_allows(outbox, letter->composed, error))
		return FALSE;
	if (!letter->composed->is_complete) {
		if (!make_complete(outbox, upload, &letter->fd, error))
			return FALSE;
		composed_free(letter->composed);
		letter->composed = outbox_read(outbox, letter->fd, upload->ticket, error);
		if (letter->composed == NULL)
			return FALSE;
	}
	upload->proved = TRUE;
	/* What a killed mailfs had made of it is not in its entry yet. */
	g_mutex_lock(&upload->uploads->lock);
	upload->size = letter->composed->size;
	upload->crc = letter->composed->crc;
	g_mutex_unlock(&upload->uploads->lock);
	letter->smtp.size = letter->composed->size;
	if (!letter->composed->is_wire) {
		int wire = make_wire(outbox, letter->fd, &letter->smtp.size, error);

		util_close_fd(&letter->fd);
		letter->fd = wire;
	}
	return letter->fd >= 0;
}

static gboolean has_expired(const Upload *upload);
static void try_later(Outbox *outbox, Letter *letter, int code, const char *enhanced,
		      const char *text);

/* NULL: what becomes of the file instead is settled. @upload: taken. */
static Letter *
letter_new(Outbox *outbox, Upload *upload)
{
	g_autoptr(GMutexLocker) disk = g_mutex_locker_new(&upload->disk);
	g_autoptr(GError) error = NULL;
	Letter *letter = g_new0(Letter, 1);

	letter->upload = upload;
	letter->fd = -1;
	if (fill(outbox, letter, &error)) {
		g_mutex_lock(&outbox->uploads->lock);
		g_free(upload->message_id);
		upload->message_id = g_strdup(letter->composed->message_id);
		g_mutex_unlock(&outbox->uploads->lock);
		letter->smtp.sender = letter->composed->sender;
		letter->smtp.recipients = (const char *const *)letter->composed->recipients;
		letter->smtp.notify = letter->composed->notify;
		letter->smtp.return_what = letter->composed->return_what;
		letter->smtp.envelope_id = letter->composed->envelope_id;
		letter->smtp.fd = letter->fd;
		letter->smtp.smtputf8 = letter->composed->smtputf8;
		letter->smtp.user = letter;
		return letter;
	}
	g_clear_pointer(&disk, g_mutex_locker_free);
	if (error->domain == G_FILE_ERROR && !has_expired(upload))
		try_later(outbox, letter, 0, NULL, error->message);
	else
		outbox_fail_error(outbox, upload, letter->composed, error);
	letter_free(letter);
	return NULL;
}

/* --- what is on disk --- */

static gboolean
commit(Outbox *outbox, GError **error)
{
	gboolean saved;

	saved = uploads_save_and_drop(outbox->uploads, (Upload **)outbox->unsaved->pdata,
				      outbox->unsaved->len, outbox->dropped, error);
	for (guint i = 0; i < outbox->unsaved->len; i++)
		upload_unref(outbox->unsaved->pdata[i]);
	for (guint i = 0; i < outbox->dropped->len; i++) {
		uploads_end_replaced(outbox->uploads, outbox->dropped->pdata[i]);
		upload_unref(outbox->dropped->pdata[i]);
	}
	g_ptr_array_set_size(outbox->unsaved, 0);
	g_ptr_array_set_size(outbox->dropped, 0);
	return saved;
}

void
outbox_commit(Outbox *outbox)
{
	g_autoptr(GError) error = NULL;

	/* What stays in the table as it was is known to the ledger. */
	if (outbox->unsaved->len + outbox->dropped->len > 0 && !commit(outbox, &error))
		g_debug("outbox: %s", error->message);
}

/* --- verdicts --- */

static gboolean
has_expired(const Upload *upload)
{
	return upload->since > 0 && OUTBOX_WALL() - upload->since > GIVE_UP_S;
}

static Verdict
verdict_of(Outbox *outbox, const Letter *letter, VerdictKind kind, const SmtpReply *reply)
{
	Verdict verdict = {
		.kind = kind,
		.server = outbox->smtp != NULL ? outbox->smtp->host : NULL,
		.when = OUTBOX_WALL(),
	};

	if (letter->composed != NULL) {
		verdict.sender = letter->composed->sender;
		verdict.message_id = letter->composed->message_id;
	}
	if (reply != NULL) {
		verdict.code = reply->code;
		verdict.enhanced = reply->enhanced;
		verdict.text = reply->text;
		verdict.recipient = reply->recipient;
	}
	return verdict;
}

static char *
reply_text(int code, const char *enhanced, const char *text)
{
	g_autofree char *whole = NULL;

	if (code == 0)
		return util_printable(text, -1, 300);
	whole = g_strdup_printf("%d %s%s%s", code, enhanced != NULL ? enhanced : "",
				enhanced != NULL ? " " : "", text != NULL ? text : "");
	g_strdelimit(whole, "\n", ' ');
	return util_printable(whole, -1, 300);
}

/* No server has it: another try, or none any more after two days. */
static void
try_later(Outbox *outbox, Letter *letter, int code, const char *enhanced, const char *text)
{
	static const gint64 pauses[] = {60, 300, 900, 3600};
	Upload *upload = letter->upload;
	g_autofree char *reason = reply_text(code, enhanced, text);

	if (letter->begun)
		ledger_note(outbox->ledger, upload->ticket, LEDGER_BACK);
	if (has_expired(upload)) {
		Verdict verdict = verdict_of(outbox, letter, VERDICT_GAVE_UP, NULL);

		verdict.code = code;
		verdict.enhanced = enhanced;
		verdict.text = verdict.detail = text;
		outbox_fail(outbox, upload, &verdict);
		return;
	}
	g_mutex_lock(&outbox->uploads->lock);
	upload->retry_at = OUTBOX_WALL() + pauses[MIN(upload->tries, G_N_ELEMENTS(pauses) - 1)];
	upload->tries++;
	upload_set_reason(upload, reason);
	outbox_give_back(outbox, upload);
	g_ptr_array_add(outbox->unsaved, outbox_ref(upload));
	g_mutex_unlock(&outbox->uploads->lock);
	outbox_commit(outbox);
	uploads_tell_changed(upload);
	upload_tell_waiters(upload, NULL);
	outbox_tell(outbox, upload->id, OUTBOX_LATER, code, enhanced, text);
}

/* It was not the message: as before, and its turn comes with the next session. */
static void
put_back(Outbox *outbox, Letter *letter, const char *why)
{
	Upload *upload = letter->upload;

	if (has_expired(upload)) {
		try_later(outbox, letter, 0, NULL, why);
		return;
	}
	if (letter->begun)
		ledger_note(outbox->ledger, upload->ticket, LEDGER_BACK);
	g_mutex_lock(&outbox->uploads->lock);
	outbox_give_back(outbox, upload);
	g_ptr_array_add(outbox->unsaved, outbox_ref(upload));
	g_mutex_unlock(&outbox->uploads->lock);
	outbox_commit(outbox);
	upload_tell_waiters(upload, NULL);
	outbox_tell(outbox, upload->id, OUTBOX_LATER, 0, NULL, why);
}

/* Many servers take only so many over one line, and end it by 421. */
static gboolean
has_served_long(const Outbox *outbox)
{
	return outbox->in_session >= CALM;
}

/* The server wants it slower. */
static void
slow_down(Outbox *outbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&outbox->uploads->lock);

	outbox->in_a_row = 0;
	outbox->gap_us = CLAMP(outbox->gap_us * 2, G_USEC_PER_SEC, 60 * G_USEC_PER_SEC);
}

static void
on_sent(Outbox *outbox, Letter *letter)
{
	Upload *upload = letter->upload;
	outbox->in_session++;
	ledger_note(outbox->ledger, upload->ticket, LEDGER_SENT);
	g_mutex_lock(&outbox->uploads->lock);
	outbox->sent++;
	outbox->pauses = 0;
	outbox->probing = FALSE;
	if (++outbox->in_a_row >= CALM && outbox->gap_us > 0) {
		outbox->in_a_row = 0;
		outbox->gap_us = outbox->gap_us / 2 < G_USEC_PER_SEC ? 0 : outbox->gap_us / 2;
	}
	g_mutex_unlock(&outbox->uploads->lock);
	outbox_file(outbox, upload, letter->composed, outbox->save == OUTBOX_SAVE_AUTO);
	if (outbox->in_flight == 0 || outbox->next_size > LARGE)
		outbox_commit(outbox);
	outbox_tell(outbox, upload->id, OUTBOX_SENT, 250, NULL, NULL);
}

static void
shut(Outbox *outbox, const char *reason)
{
	g_mutex_lock(&outbox->uploads->lock);
	outbox->shut = TRUE;
	g_free(outbox->pause_reason);
	outbox->pause_reason = util_printable(reason, -1, 300);
	g_mutex_unlock(&outbox->uploads->lock);
}

static void
on_refused(Outbox *outbox, Letter *letter, const SmtpReply *reply)
{
	VerdictStops stops =
		verdict_stops(reply->code, reply->enhanced, reply->text, reply->recipient != NULL);
	g_autofree char *text = reply_text(reply->code, reply->enhanced, reply->text);
	g_autofree char *name = upload_name(letter->upload);
	g_autofree char *shown = util_printable(name, -1, 100);
	g_autofree char *reason = NULL;
	Verdict verdict;

	if (stops == VERDICT_STOPS_ACCOUNT) {
		put_back(outbox, letter, text);
		shut(outbox, text);
		log_pause(outbox, text);
		outbox->stop_batch = TRUE;
		return;
	}
	if (letter->begun)
		ledger_note(outbox->ledger, letter->upload->ticket, LEDGER_BACK);
	verdict = verdict_of(outbox, letter, VERDICT_REPLY, reply);
	outbox_fail(outbox, letter->upload, &verdict);
	if (stops != VERDICT_STOPS_BATCH)
		return;
	reason = g_strdup_printf("the server refused %s by its policy (%s), and would refuse the "
				 "others, which wait",
				 shown, text);
	outbox_pause(outbox, POLICY_S, reason);
	g_mutex_lock(&outbox->uploads->lock);
	outbox->probing = TRUE;
	g_mutex_unlock(&outbox->uploads->lock);
	log_pause(outbox, reason);
	outbox->stop_batch = TRUE;
}

static void
on_later(Outbox *outbox, Letter *letter, const SmtpReply *reply)
{
	gboolean general = reply->stage != SMTP_STAGE_RCPT;

	if (reply->code == 421 && has_served_long(outbox)) {
		put_back(outbox, letter, reply->text);
		return;
	}
	try_later(outbox, letter, reply->code, reply->enhanced, reply->text);
	if (reply->code == 421 ||
	    (reply->enhanced != NULL &&
	     (g_str_has_prefix(reply->enhanced, "4.7.") || strcmp(reply->enhanced, "4.5.3") == 0)))
		slow_down(outbox);
	outbox->laters = general ? outbox->laters + 1 : 0;
	if (outbox->laters >= LATERS_MAX) {
		g_autofree char *text = reply_text(reply->code, reply->enhanced, reply->text);

		outbox->laters = 0;
		outbox_pause(outbox, 0, text);
		log_pause(outbox, text);
		outbox->stop_batch = TRUE;
	}
}

static void
on_unknown(Outbox *outbox, Letter *letter)
{
	Upload *upload = letter->upload;

	uploads_log(outbox->uploads, upload,
		    "the line was lost before the server's answer: it may have been delivered; "
		    "it is not sent again by itself");
	g_mutex_lock(&outbox->uploads->lock);
	upload->under_way = FALSE;
	upload->tries = 0;
	upload->not_before = 0;
	outbox->stirred = TRUE;
	g_mutex_unlock(&outbox->uploads->lock);
	outbox_commit(outbox);
	uploads_tell_changed(upload);
}

static gboolean
on_verdict(gpointer user, const SmtpMessage *message, SmtpVerdict verdict, const SmtpReply *reply,
	   const GError *why)
{
	Outbox *outbox = user;
	Letter *letter = message->user;

	outbox->in_flight--;
	outbox->progress =
		outbox->progress || (verdict != SMTP_UNTOUCHED && verdict != SMTP_UNKNOWN);
	if (verdict != SMTP_LATER)
		outbox->laters = 0;
	switch (verdict) {
	case SMTP_SENT:
		on_sent(outbox, letter);
		break;
	case SMTP_REFUSED:
		on_refused(outbox, letter, reply);
		break;
	case SMTP_LATER:
		on_later(outbox, letter, reply);
		break;
	case SMTP_UNKNOWN:
		on_unknown(outbox, letter);
		break;
	case SMTP_UNTOUCHED:
		put_back(outbox, letter, why != NULL ? why->message : "taken back");
		break;
	case SMTP_UNSENDABLE:
		outbox_fail_error(outbox, letter->upload, letter->composed, why);
		break;
	}
	letter_free(letter);
	return !outbox->stop_batch;
}

static const SmtpMessage *
on_next(gpointer user)
{
	Outbox *outbox = user;

	while (!outbox->stop_batch && !g_cancellable_is_cancelled(outbox->cancel) &&
	       (!g_queue_is_empty(&outbox->taken) || outbox_take(outbox))) {
		Letter *letter = letter_new(outbox, g_queue_pop_head(&outbox->taken));

		if (letter == NULL)
			continue;
		outbox->in_flight++;
		outbox->next_size = letter->smtp.size;
		g_mutex_lock(&outbox->uploads->lock);
		outbox->last_at = g_get_monotonic_time();
		g_mutex_unlock(&outbox->uploads->lock);
		return &letter->smtp;
	}
	return NULL;
}

static gboolean
on_before(gpointer user, const SmtpMessage *message)
{
	Outbox *outbox = user;
	Letter *letter = message->user;
	Upload *upload = letter->upload;
	g_autoptr(GError) error = NULL;

	g_mutex_lock(&outbox->uploads->lock);
	upload->state = SPOOL_DOT;
	g_ptr_array_add(outbox->unsaved, outbox_ref(upload));
	g_mutex_unlock(&outbox->uploads->lock);
	if (commit(outbox, &error)) {
		letter->begun = TRUE;
		ledger_note(outbox->ledger, upload->ticket, LEDGER_BEGUN);
		return TRUE;
	}
	g_mutex_lock(&outbox->uploads->lock);
	upload->state = SPOOL_SENDING;
	g_mutex_unlock(&outbox->uploads->lock);
	outbox_pause(outbox, 60, error->message);
	log_pause(outbox, error->message);
	outbox->stop_batch = TRUE;
	return FALSE;
}

static const SmtpEvents events = {
	.next = on_next,
	.before = on_before,
	.verdict = on_verdict,
};

/* --- the line --- */

void
outbox_close_line(Outbox *outbox)
{
	if (outbox->line == NULL)
		return;
	outbox->ops->close(outbox->line,
			   g_cancellable_is_cancelled(outbox->cancel) ? 0 : GOODBYE_MS);
	outbox->line = NULL;
	g_mutex_lock(&outbox->uploads->lock);
	g_clear_pointer(&outbox->line_text, g_free);
	g_mutex_unlock(&outbox->uploads->lock);
}

static void
pause_for(Outbox *outbox, const GError *error)
{
	outbox_pause(outbox, 0, error->message);
	if (g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT))
		slow_down(outbox);
	g_mutex_lock(&outbox->uploads->lock);
	outbox->offline = g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE) ||
			  g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT) ||
			  g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_HOST_UNKNOWN);
	g_mutex_unlock(&outbox->uploads->lock);
}

/* What the user can put right alone. */
static gboolean
is_for_the_user(const GError *error)
{
	return g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN) ||
	       g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_TOKEN) ||
	       g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG) ||
	       g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
}

/* Nothing can be sent: all that was taken is told, and what is too old is given up. */
static void
on_no_line(Outbox *outbox, const GError *error, const SmtpReply *refusal)
{
	Upload *upload;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
		give_back_taken(outbox);
		return;
	}
	if (is_for_the_user(error))
		shut(outbox, error->message);
	else
		pause_for(outbox, error);
	log_pause(outbox, error->message);
	while ((upload = g_queue_pop_head(&outbox->taken)) != NULL) {
		Letter letter = {.upload = upload, .fd = -1};

		if (has_expired(upload)) {
			try_later(outbox, &letter, 0, NULL, error->message);
		} else {
			g_mutex_lock(&outbox->uploads->lock);
			outbox_give_back(outbox, upload);
			g_mutex_unlock(&outbox->uploads->lock);
			upload_tell_waiters(upload, NULL);
			outbox_tell(outbox, upload->id, OUTBOX_LATER,
				    refusal != NULL ? refusal->code : 0,
				    refusal != NULL ? refusal->enhanced : NULL, error->message);
		}
		uploads_tell_changed(upload);
		upload_unref(upload);
	}
}

static gboolean
open_line(Outbox *outbox)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(SmtpReply) refusal = NULL;

	if (outbox->line != NULL && !outbox->ops->is_alive(outbox->line))
		outbox_close_line(outbox);
	if (outbox->line != NULL)
		return TRUE;
	outbox->line = outbox->ops->open(outbox->line_user, outbox->cancel, &refusal, &error);
	if (outbox->line == NULL) {
		on_no_line(outbox, error, refusal);
		return FALSE;
	}
	outbox_note_limit(outbox, outbox->ops->limits(outbox->line)->size);
	g_mutex_lock(&outbox->uploads->lock);
	g_free(outbox->line_text);
	outbox->line_text = g_strdup(outbox->smtp != NULL ? outbox->smtp->host : "");
	g_mutex_unlock(&outbox->uploads->lock);
	return TRUE;
}

static void
on_lost_line(Outbox *outbox, const GError *error)
{
	outbox_close_line(outbox);
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return;
	if (g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT) && outbox->progress &&
	    !has_served_long(outbox))
		slow_down(outbox);
	if (outbox->progress)
		return;
	pause_for(outbox, error);
	log_pause(outbox, error->message);
}

void
outbox_run(Outbox *outbox)
{
	g_autoptr(GError) error = NULL;

	if (!open_line(outbox))
		return;
	outbox->progress = FALSE;
	outbox->stop_batch = FALSE;
	outbox->in_flight = outbox->in_session = 0;
	if (!outbox->ops->submit(outbox->line, &events, outbox, outbox->cancel, &error))
		on_lost_line(outbox, error);
	outbox->line_used = g_get_monotonic_time();
	outbox_commit(outbox);
	give_back_taken(outbox);
}
