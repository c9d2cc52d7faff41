/* SPDX-License-Identifier: MIT */
/* One thread sends: what is ready goes over one session, and when there is nothing more for a while
 * the session is closed. What keeps the whole outbox waiting (no line, a login that was refused, a
 * server that is tired of us, a limit) is kept apart from what keeps one file waiting. */
#include "mail/outbox-private.h"

#include <string.h>

#include "base/util.h"

#define RAW_OUTBOX ACCOUNT_LOCAL_PREFIX "outbox"
#define RAW_FAILED ACCOUNT_LOCAL_PREFIX "outbox/failed"
#define IDLE_US	   (5 * G_USEC_PER_SEC) /* a session without work is kept so long */
#define TURN_US	   (50 * G_TIME_SPAN_MILLISECOND)
#define LONG_US	   (60 * G_USEC_PER_SEC)
#define TOUCH_S	   10 /* what sets the time so soon after writing is no wish to hurry */

/* --- the directories --- */

gboolean
outbox_add_directories(Account *account, const char *name)
{
	Mailbox *directory = account_add_local(account, NULL, RAW_OUTBOX, name);

	return directory != NULL &&
	       account_add_local(account, directory, RAW_FAILED, "failed") != NULL;
}

Mailbox *
outbox_directory(Account *account)
{
	return account_mailbox_named(account, RAW_OUTBOX);
}

Mailbox *
outbox_failed_directory(Account *account)
{
	return account_mailbox_named(account, RAW_FAILED);
}

/* --- when --- */

gint64
outbox_wait_of(Outbox *outbox, const Upload *upload)
{
	gint64 held = upload->ready_at - g_get_monotonic_time();
	gint64 later = (upload->retry_at - OUTBOX_WALL()) * G_USEC_PER_SEC;

	if (upload->over || upload->writers > 0 || upload->under_way ||
	    upload->state != SPOOL_QUEUED || uploads_name_is_local(upload->name) ||
	    g_hash_table_contains(outbox->suspects, upload_key(upload->id)))
		return -1;
	return MAX(MAX(upload->hurry ? 0 : held, later), 0);
}

gint64
outbox_free_at(Outbox *outbox, const char **why_out)
{
	gint64 now = OUTBOX_WALL();
	gint64 oldest;

	if (why_out != NULL)
		*why_out = NULL;
	if (outbox->shut || outbox->leave)
		return G_MAXINT64;
	if (outbox->pause_until > now)
		return outbox->pause_until;
	if (outbox->limit > 0 &&
	    ledger_sent(outbox->ledger, 86400, outbox->limit, &oldest) >= outbox->limit) {
		if (why_out != NULL)
			*why_out = "as many as send-limit= allows a day";
		return MAX(oldest + 86400, now + 1);
	}
	if (outbox->rate > 0 &&
	    ledger_sent(outbox->ledger, 3600, outbox->rate, &oldest) >= outbox->rate) {
		if (why_out != NULL)
			*why_out = "as many as rate= allows an hour";
		return MAX(oldest + 3600, now + 1);
	}
	return 0;
}

void
outbox_pause(Outbox *outbox, gint64 seconds, const char *reason)
{
	static const gint64 pauses[] = {60, 300, 900, 3600};
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&outbox->uploads->lock);

	if (seconds == 0)
		seconds = pauses[MIN(outbox->pauses, G_N_ELEMENTS(pauses) - 1)];
	outbox->pauses++;
	outbox->offline = FALSE;
	outbox->pause_until = OUTBOX_WALL() + seconds;
	g_free(outbox->pause_reason);
	outbox->pause_reason = util_printable(reason, -1, 300);
}

/* Under the lock. */
static void
end_pause(Outbox *outbox)
{
	GTreeNode *node =
		g_tree_node_first(uploads_folder(outbox->uploads, outbox->directory)->by_id);

	outbox->pause_until = 0;
	outbox->pauses = 0;
	outbox->shut = outbox->offline = FALSE;
	g_clear_pointer(&outbox->pause_reason, g_free);
	for (; node != NULL; node = g_tree_node_next(node))
		((Upload *)g_tree_node_value(node))->retry_at = 0;
	outbox->stirred = TRUE;
	g_cond_signal(&outbox->wake);
}

void
outbox_retry(Outbox *outbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&outbox->uploads->lock);

	end_pause(outbox);
}

void
outbox_online(Outbox *outbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&outbox->uploads->lock);

	if (!outbox->offline || outbox->shut)
		return;
	outbox->offline = FALSE;
	outbox->pause_until = 0;
	outbox->stirred = TRUE;
	g_cond_signal(&outbox->wake);
}

void
outbox_hurry(Outbox *outbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&outbox->uploads->lock);

	GTreeNode *node =
		g_tree_node_first(uploads_folder(outbox->uploads, outbox->directory)->by_id);

	for (; node != NULL; node = g_tree_node_next(node))
		((Upload *)g_tree_node_value(node))->hurry = TRUE;
	outbox->stirred = TRUE;
	g_cond_signal(&outbox->wake);
}

void
outbox_give_back(Outbox *outbox, Upload *upload)
{
	upload->under_way = FALSE;
	if (upload->state == SPOOL_SENDING || upload->state == SPOOL_DOT)
		upload->state = SPOOL_QUEUED;
	outbox->stirred = TRUE;
}

char *
outbox_unique(guint64 ticket)
{
	return g_strdup_printf("mailfs.%016" G_GINT64_MODIFIER "x", ticket);
}

/* --- what Uploads ask --- */

static gboolean
on_prove(gpointer user, Upload *upload, Mailbox *target, int fd, UploadChecked *checked_out,
	 char **message_id_out, GError **error)
{
	Outbox *outbox = user;
	g_autoptr(Composed) composed = NULL;
	guint64 limit;

	*checked_out = (UploadChecked){.size = upload->size, .crc = upload->crc};
	if (target != outbox->directory) {
		*message_id_out = g_strdup(upload->message_id);
		return TRUE;
	}
	composed = outbox_read(outbox, fd, 0, error);
	if (composed == NULL || !outbox_allows(outbox, composed, error))
		return FALSE;
	g_mutex_lock(&outbox->uploads->lock);
	limit = outbox->size_limit;
	upload->at_once = composed->at_once;
	g_mutex_unlock(&outbox->uploads->lock);
	if (limit != 0 && composed->size > limit) {
		g_autofree char *text = util_format_size(limit);

		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TOO_BIG,
			    "the server takes messages of %s at most", text);
		return FALSE;
	}
	checked_out->size = composed->size;
	checked_out->crc = composed->crc;
	*message_id_out = g_strdup(composed->message_id != NULL ? composed->message_id : "");
	return TRUE;
}

static guint64
new_ticket(void)
{
	guint64 ticket = (guint64)g_random_int() << 32 | g_random_int();

	return ticket != 0 ? ticket : 1;
}

static void
hold(Outbox *outbox, Upload *upload)
{
	upload->ready_at = g_get_monotonic_time() + outbox->hold * (gint64)G_USEC_PER_SEC;
	/* The mount goes on after all. */
	outbox->leave = FALSE;
	outbox->stirred = TRUE;
	g_cond_signal(&outbox->wake);
}

static void
on_enqueue(gpointer user, Upload *upload, Mailbox *target)
{
	Outbox *outbox = user;

	if (target != outbox->directory) {
		upload->state = SPOOL_KEPT;
		return;
	}
	upload->state = SPOOL_QUEUED;
	upload->ticket = new_ticket();
	upload->since = OUTBOX_WALL();
	upload->tries = 0;
	upload->retry_at = 0;
	upload->hurry = upload->at_once;
	upload_set_reason(upload, "");
	g_hash_table_remove(outbox->suspects, upload_key(upload->id));
	hold(outbox, upload);
}

static void
on_refused(gpointer user, Upload *upload, const GError *error)
{
	if (upload_mailbox(upload) == ((Outbox *)user)->directory)
		outbox_fail_error(user, upload, NULL, error);
}

static void
on_left(gpointer user, Mailbox *from, const char *name)
{
	if (from == ((Outbox *)user)->failed)
		outbox_drop_page(user, name);
}

static void
on_stir(gpointer user, Upload *upload, gboolean touched)
{
	Outbox *outbox = user;

	if (upload->state != SPOOL_QUEUED || upload->folder->mailbox != outbox->directory)
		return;
	if (!touched)
		hold(outbox, upload);
	else if (OUTBOX_WALL() - upload->since >= TOUCH_S)
		end_pause(outbox);
}

static void
on_hurry(gpointer user, gboolean leave)
{
	Outbox *outbox = user;

	if (!leave) {
		outbox_hurry(outbox);
		return;
	}
	g_mutex_lock(&outbox->uploads->lock);
	outbox->leave = TRUE;
	g_mutex_unlock(&outbox->uploads->lock);
}

/* --- what is told --- */

static char *
clock_text(gint64 when)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(when);

	return time != NULL ? g_date_time_format(time, "%H:%M:%S") : g_strdup("?");
}

static char *
queued_text(Outbox *outbox, const Upload *upload)
{
	gint64 now = OUTBOX_WALL();
	gint64 held = upload->ready_at - g_get_monotonic_time();
	const char *why;
	gint64 free_at;
	g_autofree char *clock = NULL;

	if (upload->retry_at > now)
		return verdict_retry_line(upload->retry_at, now, 0, NULL, upload->reason);
	if (outbox->shut)
		return g_strdup_printf("waiting: %s", outbox->pause_reason);
	free_at = outbox_free_at(outbox, &why);
	if (free_at == G_MAXINT64)
		return g_strdup("queued for the next mount");
	if (free_at > now)
		return verdict_retry_line(free_at, now, 0, NULL,
					  why != NULL ? why : outbox->pause_reason);
	if (held <= 0 || upload->hurry)
		return g_strdup("queued");
	clock = clock_text(now + held / G_USEC_PER_SEC);
	return g_strdup_printf("held until %s", clock);
}

static char *
on_status(gpointer user, const Upload *upload)
{
	g_autofree char *reason = util_printable(upload->reason, -1, 500);

	if (upload->under_way)
		return g_strdup("being sent");
	switch (upload->state) {
	case SPOOL_OPEN:
		return g_strdup(uploads_name_is_local(upload->name) ? "local" : "being written");
	case SPOOL_REFUSED:
		return g_strdup_printf("refused: %s", reason);
	case SPOOL_DOT:
		return g_strdup("may have been delivered: looking for it in Sent");
	case SPOOL_KEPT:
		return g_strdup(*reason != '\0' ? reason : "kept");
	case SPOOL_QUEUED:
	case SPOOL_STARTED:
	case SPOOL_SENDING:
		break;
	}
	return queued_text(user, upload);
}

static const UploadsOutlet outlet = {
	.prove = on_prove,
	.enqueue = on_enqueue,
	.refused = on_refused,
	.left = on_left,
	.status = on_status,
	.stir = on_stir,
	.hurry = on_hurry,
};

void
outbox_count(Outbox *outbox, const Upload *upload, gint64 free_at, OutboxStatus *out)
{
	gint64 wait = outbox_wait_of(outbox, upload);
	gint64 at;

	if (upload->state == SPOOL_DOT && !upload->under_way)
		out->doubtful++;
	else if (upload->under_way)
		out->due++;
	else if (wait >= 0 && (free_at != 0 || upload->retry_at > OUTBOX_WALL()))
		out->later++;
	else if (wait > 0)
		out->held++;
	else if (wait == 0)
		out->due++;
	if (wait < 0)
		return;
	at = MAX(OUTBOX_WALL() + wait / G_USEC_PER_SEC, free_at);
	if (at != G_MAXINT64 && (out->next_at == 0 || at < out->next_at))
		out->next_at = at;
}

void
outbox_get_status(Outbox *outbox, OutboxStatus *out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&outbox->uploads->lock);
	Folder *folder = uploads_folder(outbox->uploads, outbox->directory);
	const char *why = NULL;
	gint64 free_at = outbox_free_at(outbox, &why);

	*out = (OutboxStatus){.sent = outbox->sent, .line = g_strdup(outbox->line_text)};
	for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
	     node = g_tree_node_next(node))
		outbox_count(outbox, g_tree_node_value(node), free_at, out);
	folder = uploads_folder(outbox->uploads, outbox->failed);
	for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
	     node = g_tree_node_next(node)) {
		const Upload *upload = g_tree_node_value(node);

		out->failed += *upload->reason != '\0';
	}
	if (free_at != 0)
		out->reason = g_strdup(why != NULL ? why : outbox->pause_reason);
	else if (outbox->gap_us > 0)
		out->reason = g_strdup_printf("slowed down by the server to one message in %u s",
					      (guint)(outbox->gap_us / G_USEC_PER_SEC));
}

void
outbox_status_clear(OutboxStatus *status)
{
	g_free(status->reason);
	g_free(status->line);
	*status = (OutboxStatus){0};
}

/* --- the thread --- */

/* The monotonic time at which something is to be sent. Under the lock. */
static gint64
next_try(Outbox *outbox)
{
	Folder *folder = uploads_folder(outbox->uploads, outbox->directory);
	gint64 now = g_get_monotonic_time();
	gint64 free_at = outbox_free_at(outbox, NULL);
	gint64 next = G_MAXINT64;

	if (free_at == G_MAXINT64)
		return next;
	for (GTreeNode *node = g_tree_node_first(folder->by_id); node != NULL;
	     node = g_tree_node_next(node)) {
		gint64 wait = outbox_wait_of(outbox, g_tree_node_value(node));

		if (wait >= 0)
			next = MIN(next, now + wait);
	}
	if (next == G_MAXINT64)
		return next;
	if (free_at > 0)
		next = MAX(next, now + (free_at - OUTBOX_WALL()) * G_USEC_PER_SEC);
	return MAX(next, outbox->last_at + outbox->gap_us);
}

/* Under the lock. */
static void
rest(Outbox *outbox, gint64 until)
{
	gint64 soon = g_get_monotonic_time() + TURN_US;

	until = MIN(until, g_get_monotonic_time() + LONG_US);
	if (outbox->line != NULL)
		until = MIN(until, outbox->line_used + IDLE_US);
	/* Thousands of closes, one look. */
	while (!outbox->stop &&
	       g_get_monotonic_time() < (outbox->stirred ? MIN(soon, until) : until))
		g_cond_wait_until(&outbox->wake, &outbox->uploads->lock,
				  outbox->stirred ? MIN(soon, until) : until);
}

static gpointer
work(gpointer data)
{
	Outbox *outbox = data;
	GMutex *lock = &outbox->uploads->lock;

	g_mutex_lock(lock);
	while (!outbox->stop) {
		gint64 next = G_MAXINT64;
		gboolean doubts;

		outbox->stirred = FALSE;
		doubts = outbox_has_doubts(outbox, &next);
		if (!doubts)
			next = MIN(next, next_try(outbox));
		if (!doubts && next > g_get_monotonic_time())
			rest(outbox, next);
		g_mutex_unlock(lock);
		if (doubts)
			outbox_look_up(outbox);
		else if (outbox_take(outbox))
			outbox_run(outbox);
		else if (outbox->line != NULL &&
			 outbox->line_used + IDLE_US <= g_get_monotonic_time())
			outbox_close_line(outbox);
		outbox_tell_in_vain(outbox);
		g_mutex_lock(lock);
		g_cond_broadcast(&outbox->turned);
	}
	g_mutex_unlock(lock);
	outbox_close_line(outbox);
	return NULL;
}

/* --- life --- */

#define OLD_S 3600

typedef struct {
	GPtrArray *sent; /* of Upload, references: a server has them */
	GPtrArray *old;	 /* the same, and all was done for them long ago */
} TakenUp;

/* What an earlier life has left, against what the ledger says of it. Under the lock. */
static void
take_up(Outbox *outbox, Upload *upload, gboolean copied, TakenUp *out)
{
	LedgerWord word = ledger_word(outbox->ledger, upload->ticket);
	gboolean begun = upload->state == SPOOL_DOT;

	if (upload->state != SPOOL_QUEUED && upload->state != SPOOL_SENDING && !begun)
		return;
	upload->ready_at = g_get_monotonic_time() + outbox->hold * (gint64)G_USEC_PER_SEC;
	/* The row may be that of the bytes before they were completed. */
	upload->proved = upload->state != SPOOL_QUEUED;
	if (word == LEDGER_SENT) {
		upload->under_way = TRUE;
		/* Only a crash right after the answer leaves one begun; its copy is not filed. */
		g_ptr_array_add(begun ? out->sent : out->old, outbox_ref(upload));
		return;
	}
	upload->state =
		word == LEDGER_BEGUN || (begun && word != LEDGER_BACK) ? SPOOL_DOT : SPOOL_QUEUED;
	upload->tries = 0;
	if (upload->state == SPOOL_QUEUED && copied)
		g_hash_table_insert(outbox->suspects, upload_key(upload->id), GINT_TO_POINTER(1));
	else if (upload->state == SPOOL_QUEUED && upload->since < OUTBOX_WALL() - OLD_S)
		g_hash_table_insert(outbox->suspects, upload_key(upload->id), GINT_TO_POINTER(2));
}

static void
take_up_all(Outbox *outbox)
{
	g_autoptr(GPtrArray) sent = g_ptr_array_new();
	g_autoptr(GPtrArray) old = g_ptr_array_new();
	TakenUp taken = {sent, old};
	g_autoptr(GError) error = NULL;
	gboolean copied = spool_is_copy(outbox->uploads->spool);
	gboolean settled;
	GTreeNode *node;

	g_mutex_lock(&outbox->uploads->lock);
	node = g_tree_node_first(uploads_folder(outbox->uploads, outbox->directory)->by_id);
	for (; node != NULL; node = g_tree_node_next(node))
		take_up(outbox, g_tree_node_value(node), copied, &taken);
	node = g_tree_node_first(uploads_folder(outbox->uploads, outbox->failed)->by_id);
	for (; node != NULL; node = g_tree_node_next(node))
		((Upload *)g_tree_node_value(node))->state = SPOOL_KEPT;
	settled = g_hash_table_size(outbox->suspects) == 0;
	g_mutex_unlock(&outbox->uploads->lock);
	if (settled && !spool_own(outbox->uploads->spool, &error))
		g_debug("outbox: %s", error->message);
	ledger_forget(outbox->ledger);
	for (guint i = 0; i < sent->len; i++)
		outbox_file(outbox, sent->pdata[i], NULL, TRUE);
	for (guint i = 0; i < old->len; i++)
		outbox_end(outbox, old->pdata[i]);
	outbox_file_waiting(outbox);
	outbox_commit(outbox);
	for (guint i = 0; i < sent->len; i++)
		upload_unref(sent->pdata[i]);
	for (guint i = 0; i < old->len; i++)
		upload_unref(old->pdata[i]);
}

static gpointer
line_open(gpointer user, GCancellable *cancel, SmtpReply **refusal_out, GError **error)
{
	return smtp_line_open(((Outbox *)user)->smtp, cancel, refusal_out, error);
}

static const SmtpLimits *
line_limits(gpointer line)
{
	return smtp_line_limits(line);
}

static gboolean
line_is_alive(gpointer line)
{
	return smtp_line_is_alive(line);
}

static gboolean
line_submit(gpointer line, const SmtpEvents *events, gpointer user, GCancellable *cancel,
	    GError **error)
{
	return smtp_line_submit(line, events, user, cancel, error);
}

static void
line_close(gpointer line, guint timeout_ms)
{
	smtp_line_close(line, timeout_ms);
}

static const OutboxLine smtp_line = {
	.open = line_open,
	.limits = line_limits,
	.is_alive = line_is_alive,
	.submit = line_submit,
	.close = line_close,
};

/* "*@Example.ORG" and "Bob@example.org" are one to people. */
static GStrv
lower_all(const char *const *words)
{
	GStrv lower = g_strdupv((char **)words);

	for (guint i = 0; lower != NULL && lower[i] != NULL; i++) {
		g_free(lower[i]);
		lower[i] = g_utf8_strdown(words[i], -1);
	}
	return lower;
}

Outbox *
outbox_new(Account *account, Uploads *uploads, const OutboxConfig *config, GError **error)
{
	Outbox *outbox;
	Ledger *ledger = ledger_open(config->ledger_dir, error);

	if (ledger == NULL)
		return NULL;
	outbox = g_new0(Outbox, 1);
	outbox->account = account;
	outbox->uploads = uploads;
	outbox->directory = outbox_directory(account);
	outbox->failed = outbox_failed_directory(account);
	outbox->smtp = config->smtp;
	outbox->address = g_strdup(config->address);
	outbox->scratch_dir = g_strdup(config->ledger_dir);
	outbox->hold = config->hold;
	outbox->rate = config->rate;
	outbox->limit = config->limit;
	outbox->send_to = lower_all(config->send_to);
	outbox->save = config->save;
	outbox->ops = config->line != NULL ? config->line : &smtp_line;
	outbox->line_user = config->line != NULL ? config->line_user : outbox;
	outbox->ledger = ledger;
	outbox->cancel = g_cancellable_new();
	outbox->waiters = g_array_new(FALSE, FALSE, sizeof(OutboxWaiter));
	outbox->suspects = g_hash_table_new(NULL, NULL);
	outbox->unsaved = g_ptr_array_new();
	outbox->dropped = g_ptr_array_new();
	g_cond_init(&outbox->wake);
	g_cond_init(&outbox->turned);
	outbox_recall_limit(outbox);
	take_up_all(outbox);
	g_mutex_lock(&uploads->lock);
	uploads->outlet_user = outbox;
	uploads->outlet = &outlet;
	outbox->thread = g_thread_new("outbox", work, outbox);
	g_mutex_unlock(&uploads->lock);
	return outbox;
}

void
outbox_stop(Outbox *outbox)
{
	if (outbox->thread == NULL)
		return;
	g_mutex_lock(&outbox->uploads->lock);
	outbox->stop = TRUE;
	g_cond_signal(&outbox->wake);
	g_mutex_unlock(&outbox->uploads->lock);
	g_cancellable_cancel(outbox->cancel);
	g_thread_join(g_steal_pointer(&outbox->thread));
	outbox_tell(outbox, 0, OUTBOX_GONE, 0, NULL, NULL);
}

void
outbox_free(Outbox *outbox)
{
	if (outbox == NULL)
		return;
	outbox_stop(outbox);
	g_mutex_lock(&outbox->uploads->lock);
	outbox->uploads->outlet = NULL;
	g_mutex_unlock(&outbox->uploads->lock);
	ledger_close(outbox->ledger);
	g_object_unref(outbox->cancel);
	g_array_unref(outbox->waiters);
	g_hash_table_unref(outbox->suspects);
	g_ptr_array_unref(outbox->unsaved);
	g_ptr_array_unref(outbox->dropped);
	g_cond_clear(&outbox->wake);
	g_cond_clear(&outbox->turned);
	g_strfreev(outbox->send_to);
	g_free(outbox->address);
	g_free(outbox->scratch_dir);
	g_free(outbox->pause_reason);
	g_free(outbox->line_text);
	g_free(outbox);
}
