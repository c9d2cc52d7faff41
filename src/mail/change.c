/* SPDX-License-Identifier: MIT */
/* A change goes into the lane of its kind, source and target. A lane has one request under way;
 * what comes meanwhile waits and goes together in the next. The lock guards queues and tables only:
 * it is never held while a mailbox, the pool, the journal or a caller is called. */
#include "mail/change-private.h"

#include <string.h>

#include "base/util.h"
#include "mail/mailbox-private.h"

#define RUN_US	   (5 * G_USEC_PER_SEC) /* a run's steps are not further apart */
#define EARLY_MOST 1000
#define LANES_MOST 256
#define RETRY_US   (G_USEC_PER_SEC / 2)

void
changes_log(Changes *changes, const char *format, ...)
{
	g_autofree char *text = NULL;
	g_autofree char *printable = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	printable = util_printable(text, -1, 1000);
	if (changes->config.log != NULL)
		changes->config.log(changes->config.user, printable);
}

gboolean
changes_may(Changes *changes, GError **error)
{
	gboolean stopped;

	if (changes->config.read_only) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_READ_ONLY,
				    "this account is mounted read-only");
		return FALSE;
	}
	g_mutex_lock(&changes->lock);
	stopped = changes->stopped;
	g_mutex_unlock(&changes->lock);
	if (stopped)
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
				    "mailfs is about to end");
	return !stopped;
}

gboolean
changes_can(Changes *changes, const char *what, GError **error)
{
	if (!account_is_maildrop(changes->account))
		return TRUE;
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED,
		    "a POP3 server keeps no %s: messages can be read, copied out of the mount and "
		    "removed; an imaps:// URL of the same account may do more",
		    what);
	return FALSE;
}

gboolean
change_error_is_of_line(const GError *error)
{
	static const MailfsError codes[] = {
		MAILFS_ERROR_OFFLINE, MAILFS_ERROR_TIMEOUT,  MAILFS_ERROR_HOST_UNKNOWN,
		MAILFS_ERROR_LIMIT,   MAILFS_ERROR_LOGIN,    MAILFS_ERROR_TOKEN,
		MAILFS_ERROR_TLS,     MAILFS_ERROR_PROTOCOL, MAILFS_ERROR_BUSY};

	for (guint i = 0; i < G_N_ELEMENTS(codes); i++)
		if (g_error_matches(error, MAILFS_ERROR, codes[i]))
			return TRUE;
	return FALSE;
}

/* --- one change
 * --------------------------------------------------------------------------------------- */

void
change_free(Change *change)
{
	if (change == NULL)
		return;
	uidset_free(change->uids);
	message_copy_free(change->copy);
	g_free(change->name);
	g_free(change->coming_as);
	g_free(change->add.keywords);
	g_free(change->remove.keywords);
	g_free(change);
}

Change *
change_new(Changes *changes, ChangeKind kind, Mailbox *mailbox, guint32 serial, guint32 uid,
	   Mailbox *target, const char *name, GError **error)
{
	g_autoptr(MessageCopy) copy = NULL;
	MailboxView view;
	MessageView message;
	Change *change;

	if (mailbox_get(mailbox, serial, uid, &message))
		copy = mailbox_copy_of(mailbox, serial, uid);
	mailbox_view(mailbox, &view);
	if (copy == NULL || view.messages != serial) {
		gboolean stale = view.messages != serial;

		g_set_error_literal(error, MAILFS_ERROR,
				    stale ? MAILFS_ERROR_STALE : MAILFS_ERROR_NOT_FOUND,
				    stale ? "the server has renumbered this mailbox"
					  : "the message is no longer in the mailbox");
		return NULL;
	}
	change = g_new0(Change, 1);
	change->kind = kind;
	change->mailbox = mailbox;
	change->target = target;
	change->uidvalidity = view.uidvalidity;
	change->serial = serial;
	change->uid = uid;
	change->copy = g_steal_pointer(&copy);
	change->name = g_strdup(name);
	if (target != NULL)
		change->target_next = mailbox_next_uid(target, &change->target_validity);
	return change;
}

/* --- lanes
 * -------------------------------------------------------------------------------------------- */

static void
lane_free(gpointer data)
{
	Lane *lane = data;

	g_queue_clear_full(&lane->waiting, (GDestroyNotify)change_free);
	g_free(lane->key);
	g_free(lane);
}

static gboolean
lane_is_idle(gpointer key, gpointer value, gpointer user)
{
	const Lane *lane = value;

	return !lane->flying && lane->waiting.length == 0;
}

/* (transfer full) */
static char *
lane_key(const Change *change)
{
	return g_strdup_printf("%d %u %u %u %x %x %s/%s", change->kind,
			       mailbox_directory(change->mailbox), change->serial,
			       change->target != NULL ? mailbox_directory(change->target) : 0,
			       change->add.flags, change->remove.flags,
			       change->add.keywords != NULL ? change->add.keywords : "",
			       change->remove.keywords != NULL ? change->remove.keywords : "");
}

/* Under the lock. */
static Lane *
lane_of(Changes *changes, const Change *change)
{
	g_autofree char *key = lane_key(change);
	Lane *lane = g_hash_table_lookup(changes->lanes, key);

	if (lane != NULL)
		return lane;
	if (g_hash_table_size(changes->lanes) >= LANES_MOST)
		g_hash_table_foreach_remove(changes->lanes, lane_is_idle, NULL);
	lane = g_new0(Lane, 1);
	lane->key = g_steal_pointer(&key);
	g_queue_init(&lane->waiting);
	g_hash_table_insert(changes->lanes, lane->key, lane);
	return lane;
}

/* All that wait, but no message twice. Under the lock. */
static GPtrArray *
take_batch(Lane *lane)
{
	g_autoptr(GHashTable) uids = g_hash_table_new(NULL, NULL);
	GPtrArray *batch = g_ptr_array_new();

	for (GList *link = lane->waiting.head, *next; link != NULL; link = next) {
		Change *change = link->data;

		next = link->next;
		if (change->kind != DO_STORE &&
		    !g_hash_table_add(uids, GUINT_TO_POINTER(change->uid)))
			continue;
		g_ptr_array_add(batch, change);
		g_queue_delete_link(&lane->waiting, link);
	}
	return batch;
}

/* What it is to send now; NULL: nothing, or it is under way. Under the lock; from here on until it
 * has landed the lane stays. */
static GPtrArray *
take_off(Lane *lane)
{
	if (lane->flying || lane->waiting.length == 0)
		return NULL;
	lane->flying = TRUE;
	return take_batch(lane);
}

void
lane_landed(Changes *changes, Lane *lane, gboolean well)
{
	GPtrArray *batch;

	g_mutex_lock(&changes->lock);
	lane->flying = FALSE;
	lane->run_at = well ? g_get_monotonic_time() : 0;
	batch = take_off(lane);
	g_mutex_unlock(&changes->lock);
	if (batch != NULL)
		change_fly(changes, lane, batch);
}

/* --- runs
 * --------------------------------------------------------------------------------------------- */

/* Under the lock. */
static gboolean
belongs_to_run(Changes *changes, const Change *change)
{
	gint64 now = g_get_monotonic_time();
	Lane *lane = lane_of(changes, change);

	if (account_is_maildrop(changes->account))
		return changes->early < EARLY_MOST;
	if (lane->run_at == 0 || now - lane->run_at > RUN_US || changes->early >= EARLY_MOST ||
	    change->victim != 0 || changes->stuck.length > 0)
		return FALSE;
	lane->run_at = now;
	return TRUE;
}

static gboolean
write_record(Changes *changes, Change *change)
{
	ChangeRecord record = {
		.kind = change->kind == DO_MOVE ? 'M' : 'X',
		.uidvalidity = change->uidvalidity,
		.uid = change->uid,
		.target_validity = change->target_validity,
		.target_next = change->target_next,
		.size = change->copy->info.size,
		.source = (char *)mailbox_raw_name(change->mailbox),
		.target = (char *)(change->target != NULL ? mailbox_raw_name(change->target) : ""),
		.name = change->name != NULL ? change->name : (char *)"",
		.message_id = change->copy->message_id,
	};

	change->record = change_journal_add(changes->journal, &record);
	return change->record != 0;
}

void
change_submit(Changes *changes, Change *change, gboolean run)
{
	gboolean early;
	ChangeDone done = NULL;
	gpointer user = change->user;
	GPtrArray *batch;
	Lane *lane;

	g_mutex_lock(&changes->lock);
	early = change->early || (run && belongs_to_run(changes, change));
	if (early && !g_hash_table_contains(changes->all, change))
		changes->early++;
	g_hash_table_add(changes->all, change);
	g_mutex_unlock(&changes->lock);
	/* What is not answered for is written down, too: a move that needs several commands, and a
	 * removal, must not stay half done when mailfs is killed between them. */
	if ((early || change->kind == DO_MOVE || change->kind == DO_EXPUNGE) &&
	    change->record == 0 && !write_record(changes, change) && early && !change->early) {
		/* It may not be answered for: it waits like the first of a run. */
		early = FALSE;
		g_mutex_lock(&changes->lock);
		changes->early--;
		g_mutex_unlock(&changes->lock);
	}
	if (early && !change->early)
		done = g_steal_pointer(&change->done);
	if (early)
		mailbox_hide(change->mailbox, change->serial, change->uid, TRUE);
	g_mutex_lock(&changes->lock);
	change->early = early;
	if (early)
		change_is_coming(changes, change);
	lane = lane_of(changes, change);
	g_queue_push_tail(&lane->waiting, change);
	batch = take_off(lane);
	g_mutex_unlock(&changes->lock);
	if (batch != NULL)
		change_fly(changes, lane, batch);
	if (done != NULL)
		done(user, NULL);
}

/* --- the end
 * ------------------------------------------------------------------------------------------ */

static void
tell_late_failure(Changes *changes, const Change *change, const GError *error)
{
	g_autofree char *path = account_path(changes->account, change->mailbox);

	if (g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND) ||
	    g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_STALE))
		changes_log(changes, "%s/%s was not %s: %s", path, change->copy->name,
			    change->kind == DO_MOVE ? "moved" : "removed", error->message);
	else if (change->lost)
		changes_log(changes, "%s/%s is back: %s; remove it again", path, change->copy->name,
			    error->message);
	else
		changes_log(changes, "%s/%s is back: the server refused to %s it: %s", path,
			    change->copy->name, change->kind == DO_MOVE ? "move" : "remove",
			    error->message);
}

void
change_finish(Changes *changes, Change *change, const GError *error)
{
	if (change->early && error != NULL) {
		mailbox_hide(change->mailbox, change->serial, change->uid, FALSE);
		tell_late_failure(changes, change, error);
	}
	if (change->target != NULL && error == NULL)
		mailbox_settle_names(change->target);
	if (change->record != 0)
		change_journal_done(changes->journal, change->record);
	g_mutex_lock(&changes->lock);
	g_hash_table_remove(changes->all, change);
	change_has_come(changes, change);
	if (change->early) {
		changes->early--;
		changes->given_up += error != NULL;
		if (error != NULL && !g_hash_table_contains(changes->errors, change->mailbox))
			g_hash_table_insert(changes->errors, change->mailbox, g_error_copy(error));
		if (error != NULL && changes->error == NULL)
			changes->error = g_error_copy(error);
	}
	g_mutex_unlock(&changes->lock);
	if (change->done != NULL)
		change->done(change->user, error);
	change_free(change);
	changes_check_waiters(changes);
}

void
change_get_stuck(Changes *changes, Change *change)
{
	change->doubt = TRUE;
	g_mutex_lock(&changes->lock);
	g_queue_push_tail(&changes->stuck, change);
	g_cond_signal(&changes->wake);
	g_mutex_unlock(&changes->lock);
	changes_check_waiters(changes);
}

void
change_get_sought(Changes *changes, Change *change)
{
	ChangeDone done = g_steal_pointer(&change->done);
	gpointer user = change->user;

	if (!change->sought && change->name != NULL)
		mailbox_expect(change->target, change->copy->message_id, change->copy->info.size,
			       change->name);
	change->sought = TRUE;
	/* It is not to be done again, also when mailfs is killed meanwhile. */
	if (change->record != 0)
		change_journal_done(changes->journal, change->record);
	change->record = 0;
	g_mutex_lock(&changes->lock);
	change_is_coming(changes, change);
	g_queue_push_tail(&changes->stuck, change);
	g_cond_signal(&changes->wake);
	g_mutex_unlock(&changes->lock);
	if (done != NULL)
		done(user, NULL);
	changes_check_waiters(changes);
}

void
change_go_on_alone(Changes *changes, Change *change, const GError *error)
{
	ChangeDone done = g_steal_pointer(&change->done);
	gpointer user = change->user;

	mailbox_hide(change->mailbox, change->serial, change->uid, TRUE);
	g_mutex_lock(&changes->lock);
	change->early = TRUE;
	changes->early++;
	g_mutex_unlock(&changes->lock);
	change_get_stuck(changes, change);
	if (done != NULL)
		done(user, error);
}

/* --- waiting
 * ------------------------------------------------------------------------------------------ */

/* Under the lock. */
static gboolean
is_busy(Changes *changes, const Mailbox *mailbox, gboolean *stuck_out)
{
	GHashTableIter iter;
	gpointer data;
	guint n = 0;

	*stuck_out = FALSE;
	for (GList *link = changes->stuck.head; link != NULL; link = link->next) {
		const Change *change = link->data;

		if (mailbox == NULL || change->mailbox == mailbox || change->target == mailbox)
			*stuck_out = TRUE;
	}
	if (mailbox == NULL && changes->unplaced->len > 0)
		*stuck_out = TRUE;
	if (mailbox == NULL)
		return g_hash_table_size(changes->all) > changes->stuck.length;
	g_hash_table_iter_init(&iter, changes->all);
	while (g_hash_table_iter_next(&iter, &data, NULL)) {
		const Change *change = data;

		n += change->mailbox == mailbox || change->target == mailbox;
	}
	for (GList *link = changes->stuck.head; link != NULL; link = link->next) {
		const Change *change = link->data;

		n -= change->mailbox == mailbox || change->target == mailbox;
	}
	return n > 0;
}

/* The first error since the last wait, forgotten here. Under the lock. */
static GError *
take_error(Changes *changes, Mailbox *mailbox, gboolean stuck)
{
	GError *error = NULL;
	gpointer found = NULL;

	if (mailbox == NULL) {
		error = g_steal_pointer(&changes->error);
		g_hash_table_remove_all(changes->errors);
	} else if (g_hash_table_steal_extended(changes->errors, mailbox, NULL, &found)) {
		error = found;
	}
	if (error == NULL && stuck)
		error = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
					    "changes wait for the line to come back");
	return error;
}

/* One whose wait is over. FALSE: there is none. */
static gboolean
take_waiter(Changes *changes, ChangeWaiter *out, GError **error_out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);
	gboolean stuck;

	for (guint i = 0; i < changes->waiters->len; i++) {
		ChangeWaiter *waiter = &g_array_index(changes->waiters, ChangeWaiter, i);

		if (is_busy(changes, waiter->mailbox, &stuck))
			continue;
		*out = *waiter;
		g_array_remove_index(changes->waiters, i);
		if (out->done != NULL)
			*error_out = take_error(changes, out->mailbox, stuck);
		return TRUE;
	}
	return FALSE;
}

void
changes_check_waiters(Changes *changes)
{
	ChangeWaiter waiter;
	GError *found = NULL;

	while (take_waiter(changes, &waiter, &found)) {
		g_autoptr(GError) error = g_steal_pointer(&found);

		if (waiter.done != NULL)
			waiter.done(waiter.user, error);
		else
			waiter.wake(waiter.user);
	}
}

void
changes_wait(Changes *changes, Mailbox *mailbox, ChangeDone done, gpointer user)
{
	ChangeWaiter waiter = {.mailbox = mailbox, .done = done, .user = user};

	change_journal_sync(changes->journal);
	g_mutex_lock(&changes->lock);
	g_array_append_val(changes->waiters, waiter);
	g_mutex_unlock(&changes->lock);
	changes_check_waiters(changes);
}

gboolean
changes_busy(Changes *changes, Mailbox *mailbox)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);
	gboolean stuck;

	return is_busy(changes, mailbox, &stuck);
}

gboolean
changes_await(Changes *changes, Mailbox *mailbox, void (*wake)(gpointer user), gpointer user)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);
	ChangeWaiter waiter = {.mailbox = mailbox, .wake = wake, .user = user};
	gboolean stuck;

	if (!is_busy(changes, mailbox, &stuck))
		return FALSE;
	g_array_append_val(changes->waiters, waiter);
	return TRUE;
}

ChangesStatus
changes_status(Changes *changes)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);
	gint64 now = g_get_monotonic_time();
	ChangesStatus status = {.on_the_way = changes->early + changes->unplaced->len,
				.given_up = changes->given_up};

	for (guint i = 0; i < GUARD_SECONDS; i++)
		if (changes->removals[i].second > now / G_USEC_PER_SEC - GUARD_SECONDS)
			status.removals += changes->removals[i].n;
	if (changes->allowed_until > now)
		status.allowed_until =
			(g_get_real_time() + changes->allowed_until - now) / G_USEC_PER_SEC;
	return status;
}

/* --- trying again
 * ------------------------------------------------------------------------------------- */

/* What a journal says of a change that was answered for. NULL: the mailbox is numbered anew. */
static Change *
change_from_record(const ChangeRecord *record, Mailbox *mailbox, Mailbox *target)
{
	Change *change = g_new0(Change, 1);

	change->kind = record->kind == 'M' ? DO_MOVE : DO_EXPUNGE;
	change->mailbox = mailbox;
	change->target = target;
	change->uidvalidity = record->uidvalidity;
	change->uid = record->uid;
	change->target_validity = record->target_validity;
	change->target_next = record->target_next;
	change->record = record->id;
	change->name = *record->name != '\0' ? g_strdup(record->name) : NULL;
	change->early = change->doubt = TRUE;
	change->copy = g_new0(MessageCopy, 1);
	change->copy->info = (MessageInfo){.uid = record->uid, .size = record->size};
	change->copy->info.keywords = g_strdup("");
	change->copy->name = change->name != NULL ? g_strdup(change->name)
						  : g_strdup_printf("%u.eml", record->uid);
	change->copy->message_id = g_strdup(record->message_id);
	return change;
}

/* The record does not say what it is called where it is, and that may be its name in the target:
 * who looks for it there waits. */
static void
take_copy(Change *change)
{
	MessageCopy *copy = mailbox_copy_of(change->mailbox, change->serial, change->uid);

	if (copy == NULL)
		return;
	message_copy_free(change->copy);
	change->copy = copy;
}

/* TRUE: it is placed, or there is no place for it any more. */
static gboolean
place_record(Changes *changes, const ChangeRecord *record)
{
	Mailbox *mailbox = account_mailbox_named(changes->account, record->source);
	Mailbox *target = *record->target != '\0'
				  ? account_mailbox_named(changes->account, record->target)
				  : NULL;
	Change *change;
	MailboxView view;

	if (mailbox == NULL || (target == NULL && *record->target != '\0')) {
		if (account_listed_at(changes->account) == 0)
			return FALSE;
		changes_log(changes,
			    "a change of message %u of %s that was not confirmed is given up: the "
			    "mailbox is gone",
			    record->uid, record->source);
		change_journal_done(changes->journal, record->id);
		return TRUE;
	}
	change = change_from_record(record, mailbox, target);
	mailbox_load(mailbox);
	mailbox_view(mailbox, &view);
	if (view.uidvalidity == record->uidvalidity)
		change->serial = view.messages;
	take_copy(change);
	if (change->serial != 0)
		mailbox_hide(mailbox, change->serial, change->uid, TRUE);
	g_mutex_lock(&changes->lock);
	g_hash_table_add(changes->all, change);
	changes->early++;
	change_is_coming(changes, change);
	g_queue_push_tail(&changes->stuck, change);
	g_mutex_unlock(&changes->lock);
	return TRUE;
}

/* Before there are others who use `unplaced`, or on the thread alone. */
static void
place_records(Changes *changes)
{
	for (guint i = 0; i < changes->unplaced->len;) {
		if (!place_record(changes, changes->unplaced->pdata[i])) {
			i++;
			continue;
		}
		g_mutex_lock(&changes->lock);
		g_ptr_array_remove_index(changes->unplaced, i);
		g_mutex_unlock(&changes->lock);
	}
}

static void
try_again(Changes *changes)
{
	GPtrArray *stuck = g_ptr_array_new();
	Change *change;

	place_records(changes);
	g_mutex_lock(&changes->lock);
	while ((change = g_queue_pop_head(&changes->stuck)) != NULL)
		g_ptr_array_add(stuck, change);
	g_mutex_unlock(&changes->lock);
	change_look(changes, stuck);
}

/* Under the lock. */
static gboolean
has_stuck(const Changes *changes)
{
	return changes->stuck.length > 0 || changes->unplaced->len > 0;
}

static gpointer
changes_main(gpointer user)
{
	Changes *changes = user;

	g_mutex_lock(&changes->lock);
	while (!changes->stopped) {
		gboolean stuck = has_stuck(changes);

		if (stuck) {
			g_mutex_unlock(&changes->lock);
			if (account_is_online(changes->account))
				try_again(changes);
			g_mutex_lock(&changes->lock);
			stuck = has_stuck(changes);
		}
		if (changes->stopped)
			break;
		if (!stuck)
			g_cond_wait(&changes->wake, &changes->lock);
		else if (!changes->hurry)
			g_cond_wait_until(&changes->wake, &changes->lock,
					  g_get_monotonic_time() + RETRY_US);
		changes->hurry = FALSE;
	}
	g_mutex_unlock(&changes->lock);
	return NULL;
}

void
changes_retry(Changes *changes)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);

	changes->hurry = TRUE;
	g_cond_signal(&changes->wake);
}

/* --- life
 * --------------------------------------------------------------------------------------------- */

static void
error_free(gpointer error)
{
	g_error_free(error);
}

Changes *
changes_new(Account *account, const ChangesConfig *config, GError **error)
{
	Changes *changes = g_new0(Changes, 1);

	changes->account = account;
	changes->pool = account_pool(account);
	changes->config = *config;
	changes->config.state_dir = NULL;
	g_mutex_init(&changes->lock);
	g_cond_init(&changes->wake);
	changes->lanes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, lane_free);
	changes->all = g_hash_table_new(NULL, NULL);
	changes->coming = changes_coming_new();
	changes->errors = g_hash_table_new_full(NULL, NULL, NULL, error_free);
	changes->waiters = g_array_new(FALSE, FALSE, sizeof(ChangeWaiter));
	changes->journal = change_journal_open(config->state_dir, &changes->unplaced, error);
	if (changes->journal == NULL) {
		changes->unplaced = g_ptr_array_new();
		changes_free(changes);
		return NULL;
	}
	if (config->read_only) {
		/* They stay where they are, for a mount that may. */
		g_ptr_array_set_size(changes->unplaced, 0);
	} else {
		place_records(changes);
		changes->thread = g_thread_new("changes", changes_main, changes);
	}
	return changes;
}

void
changes_stop(Changes *changes)
{
	g_mutex_lock(&changes->lock);
	changes->stopped = TRUE;
	g_cond_signal(&changes->wake);
	g_mutex_unlock(&changes->lock);
	if (changes->thread != NULL)
		g_thread_join(g_steal_pointer(&changes->thread));
	change_journal_sync(changes->journal);
}

void
changes_free(Changes *changes)
{
	if (changes == NULL)
		return;
	if (changes->thread != NULL)
		changes_stop(changes);
	g_queue_clear_full(&changes->stuck, (GDestroyNotify)change_free);
	change_journal_close(changes->journal);
	g_hash_table_unref(changes->lanes);
	g_hash_table_unref(changes->all);
	g_hash_table_unref(changes->coming);
	g_hash_table_unref(changes->errors);
	g_clear_error(&changes->error);
	g_array_unref(changes->waiters);
	g_ptr_array_unref(changes->unplaced);
	g_cond_clear(&changes->wake);
	g_mutex_clear(&changes->lock);
	g_free(changes);
}
