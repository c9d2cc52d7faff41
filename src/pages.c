/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <string.h>
#include <unistd.h>

#include "base/util.h"

#define SHOWN_MAILBOXES 8
#define SHOWN_UPLOADS	20

static const char *
health_word(PoolHealth health)
{
	switch (health) {
	case POOL_STARTING:
		return "connecting";
	case POOL_ONLINE:
		return "online";
	case POOL_OFFLINE:
		return "offline";
	case POOL_REFUSED:
		return "login refused";
	case POOL_CLOSED:
		return "closing";
	}
	return "unknown";
}

static char *
time_word(gint64 when)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(when);

	return g_date_time_format(time, "%Y-%m-%d %H:%M:%S");
}

static void
add_connection(GString *out, const PagesSource *source, const PoolStatus *pool)
{
	g_autofree char *error = util_printable(pool->error, -1, 400);
	g_autofree char *retry = time_word(pool->retry_at);

	g_string_append_printf(out, "connection  %s", health_word(pool->health));
	switch (pool->health) {
	case POOL_ONLINE:
		g_string_append_printf(out, ": %s; %u session%s (%u busy), at most %u",
				       pool->line != NULL ? pool->line : "?", pool->sessions,
				       pool->sessions == 1 ? "" : "s", pool->busy, pool->limit);
		break;
	case POOL_OFFLINE:
		g_string_append_printf(
			out, ": %s\n            next try at %s, or when something is needed", error,
			retry);
		break;
	case POOL_REFUSED:
		g_string_append_printf(out,
				       ": %s\n            correct the password, then: kill -HUP %d",
				       error, (int)getpid());
		break;
	case POOL_STARTING:
	case POOL_CLOSED:
		break;
	}
	g_string_append_printf(out, "\nserver      %s\n", source->config->identity);
}

/* How news comes. (transfer full) */
static char *
push_words(const PagesSource *source, const PoolStatus *pool)
{
	if (pool->health != POOL_ONLINE)
		return g_strdup("none without a connection");
	if (pool->notify)
		return g_strdup("NOTIFY, for all mailboxes");
	if (pool->watching > 0)
		return g_strdup_printf("IDLE on %u mailbox%s, others are asked for every %u s",
				       pool->watching, pool->watching == 1 ? "" : "es",
				       (guint)source->config->dir_time);
	return g_strdup_printf("polling, every %u s what is in use",
			       (guint)source->config->dir_time);
}

static void
add_mailboxes(GString *out, const PagesSource *source)
{
	g_autoptr(GPtrArray) mailboxes = account_mailboxes(source->account);
	gint64 listed = account_listed_at(source->account);
	g_autofree char *when =
		listed > 0 ? time_word(listed) : g_strdup("never in this mount (from the cache)");
	guint opened = 0;

	g_string_append_printf(out, "mailboxes   %u, listed %s\n", mailboxes->len, when);
	for (guint i = 0; i < mailboxes->len; i++) {
		g_autofree char *path = NULL;
		g_autoptr(GError) error = NULL;
		g_autofree char *problem = NULL;
		MailboxView view;

		mailbox_view(mailboxes->pdata[i], &view);
		error = mailbox_error(mailboxes->pdata[i]);
		if (view.count == 0 && !view.syncing && error == NULL)
			continue;
		if (++opened > SHOWN_MAILBOXES)
			continue;
		path = account_path(source->account, mailboxes->pdata[i]);
		problem = error != NULL ? util_printable(error->message, -1, 200) : NULL;
		g_string_append_printf(out, "            %s: %u message%s%s%s%s\n", path,
				       view.count, view.count == 1 ? "" : "s",
				       view.syncing ? ", being listed" : "",
				       problem != NULL ? "; last refresh failed: " : "",
				       problem != NULL ? problem : "");
	}
	if (opened > SHOWN_MAILBOXES)
		g_string_append_printf(out, "            and %u more\n", opened - SHOWN_MAILBOXES);
}

static const char *
plural(guint n)
{
	return n == 1 ? "" : "s";
}

static void
add_guard(GString *out, const ChangesStatus *changes)
{
	if (changes->allowed_until > g_get_real_time() / G_USEC_PER_SEC) {
		g_autofree char *until = time_word(changes->allowed_until);

		g_string_append_printf(out, "deleting    without limit until %s\n", until);
	} else if (changes->removals > 0) {
		g_string_append_printf(out, "deleting    %u message%s in the last minute\n",
				       changes->removals, plural(changes->removals));
	}
}

static void
add_unsent(GString *out, const PagesSource *source)
{
	guint unsent = uploads_status(source->uploads).unsent;

	if (unsent > 0)
		g_string_append_printf(
			out, "outbox      %u waiting; this mount does not send (%s)\n", unsent,
			source->config->outbox == NULL ? "outbox=none" : "no smtp=");
}

static void
add_outbox(GString *out, const PagesSource *source)
{
	g_auto(OutboxStatus) status = {0};

	if (source->outbox == NULL) {
		add_unsent(out, source);
		return;
	}
	outbox_get_status(source->outbox, &status);
	g_string_append_printf(out,
			       "outbox      %u to be sent, %u held, %u later, %u in failed/; "
			       "%" G_GUINT64_FORMAT " sent%s%s\n",
			       status.due, status.held, status.later, status.failed, status.sent,
			       status.line != NULL ? "; connected to " : "",
			       status.line != NULL ? status.line : "");
	if (status.doubtful > 0)
		g_string_append_printf(out,
				       "            %u may have been delivered: looking in Sent\n",
				       status.doubtful);
	if (status.reason != NULL)
		g_string_append_printf(out, "            waiting: %s\n", status.reason);
	if (status.next_at > 0 && status.due == 0) {
		g_autofree char *next = time_word(status.next_at);

		g_string_append_printf(out, "            next try at %s\n", next);
	}
}

/* What was written and changed and is not on the server yet. */
static void
add_writing(GString *out, const PagesSource *source)
{
	g_autoptr(GPtrArray) lines = NULL;
	UploadsStatus uploads;
	ChangesStatus changes;

	if (source->uploads == NULL)
		return;
	uploads = uploads_status(source->uploads);
	changes = changes_status(source->changes);
	lines = uploads_lines(source->uploads);
	g_string_append_printf(out,
			       "uploads     %u waiting, %u refused, %u being written or local; "
			       "%" G_GUINT64_FORMAT " done\n",
			       uploads.queued + uploads.started, uploads.refused, uploads.open,
			       uploads.uploaded);
	for (guint i = 0; i < MIN(lines->len, SHOWN_UPLOADS); i++)
		g_string_append_printf(out, "            %s\n", (char *)lines->pdata[i]);
	if (lines->len > SHOWN_UPLOADS)
		g_string_append_printf(out, "            and %u more\n",
				       lines->len - SHOWN_UPLOADS);
	add_outbox(out, source);
	if (changes.on_the_way > 0)
		g_string_append_printf(out,
				       "changes     %u message%s moved or removed, not confirmed\n",
				       changes.on_the_way, plural(changes.on_the_way));
	if (changes.given_up > 0)
		g_string_append_printf(out,
				       "given up    %u move%s or removal%s that could not be done; "
				       ".mailfs/log says which\n",
				       changes.given_up, plural(changes.given_up),
				       plural(changes.given_up));
	add_guard(out, &changes);
}

/* What stays here when a POP3 server has it no more. */
static void
add_archive(GString *out, const PagesSource *source)
{
	Archive *archive = account_archive(source->account);
	g_autoptr(UidSet) uids = archive != NULL ? archive_uids(archive) : NULL;
	g_autofree char *error = archive != NULL ? archive_last_error(archive) : NULL;
	guint64 n = uids != NULL ? uidset_count(uids) : 0;

	if (archive != NULL)
		g_string_append_printf(out,
				       "archive     %" G_GUINT64_FORMAT
				       " message%s kept whatever the server does\n",
				       n, n == 1 ? "" : "s");
	if (error != NULL)
		g_string_append_printf(out, "            not all can be kept: %s\n", error);
	if (source->config->pop_keep != 0 && account_is_maildrop(source->account))
		g_string_append_printf(out,
				       "pop-keep    deletes on the server what has been here for "
				       "%u days\n",
				       source->config->pop_keep);
}

static char *
render_status(gpointer user)
{
	const PagesSource *source = user;
	ScanStatus scan = scan_status(account_scan(source->account));
	g_autofree char *since = time_word(source->since);
	g_autofree char *cached = util_format_size(bodies_total(account_bodies(source->account)));
	g_autofree char *bound = util_format_size(source->config->cache_size);
	g_autofree char *newest = log_newest(source->log);
	g_autofree char *door = fs_describe(source->fs);
	g_autofree char *index_error = index_last_error(account_index(source->account));
	g_autofree char *push = NULL;
	guint64 damaged = bodies_damaged(account_bodies(source->account));
	AccountQuota quota = account_quota(source->account);
	GString *out = g_string_new(NULL);
	PoolStatus pool;

	pool_get_status(account_pool(source->account), &pool);
	g_string_append_printf(out,
			       "mailfs " MAILFS_VERSION ": %s on %s, %ssince %s (process %d)\n",
			       source->config->account, source->mountpoint,
			       source->config->ro ? "read-only, " : "", since, (int)getpid());
	add_connection(out, source, &pool);
	push = push_words(source, &pool);
	g_string_append_printf(out, "push        %s\n", push);
	add_mailboxes(out, source);
	g_string_append_printf(out,
			       "on the way  %u message%s; %u request%s waiting for a session, %u "
			       "program call%s waiting\n",
			       scan.on_the_way, scan.on_the_way == 1 ? "" : "s", pool.waiting,
			       pool.waiting == 1 ? "" : "s", fs_waiting(source->fs),
			       fs_waiting(source->fs) == 1 ? "" : "s");
	add_writing(out, source);
	g_string_append_printf(out, "cache       %s of at most %s in %s\n", cached, bound,
			       source->config->cache_dir);
	add_archive(out, source);
	g_string_append_printf(out, "kernel      %s\n", door);
	if (damaged > 0)
		g_string_append_printf(out,
				       "            %" G_GUINT64_FORMAT
				       " damaged bodies were found and fetched anew\n",
				       damaged);
	if (index_error != NULL)
		g_string_append_printf(out, "            the index cannot be written: %s\n",
				       index_error);
	if (quota.known) {
		g_autofree char *used = util_format_size(quota.used);
		g_autofree char *limit = util_format_size(quota.limit);

		g_string_append_printf(out, "quota       %s of %s used\n", used, limit);
	}
	g_string_append_printf(out, "last log    %s\n", newest != NULL ? newest : "nothing yet");
	pool_status_clear(&pool);
	return g_string_free(out, FALSE);
}

static void
json_string(GString *out, const char *key, const char *value)
{
	g_string_append_printf(out, "  \"%s\": ", key);
	if (value == NULL) {
		g_string_append(out, "null,\n");
		return;
	}
	g_string_append_c(out, '"');
	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			g_string_append_c(out, '\\');
		if ((guchar)*p < 0x20)
			g_string_append_printf(out, "\\u%04x", *p);
		else
			g_string_append_c(out, *p);
	}
	g_string_append(out, "\",\n");
}

static void
json_number(GString *out, const char *key, guint64 value)
{
	g_string_append_printf(out, "  \"%s\": %" G_GUINT64_FORMAT ",\n", key, value);
}

static void
add_outbox_json(GString *out, const PagesSource *source)
{
	g_auto(OutboxStatus) status = {0};

	if (source->outbox == NULL) {
		json_number(out, "outbox_later", uploads_status(source->uploads).unsent);
		return;
	}
	outbox_get_status(source->outbox, &status);
	json_number(out, "outbox_waiting", status.held + status.due);
	json_number(out, "outbox_later", status.later);
	json_number(out, "outbox_doubtful", status.doubtful);
	json_number(out, "outbox_failed", status.failed);
	json_number(out, "outbox_sent", status.sent);
	json_number(out, "outbox_next_try", (guint64)status.next_at);
	json_string(out, "outbox_reason", status.reason);
}

static void
add_writing_json(GString *out, const PagesSource *source)
{
	UploadsStatus uploads;

	if (source->uploads == NULL)
		return;
	uploads = uploads_status(source->uploads);
	json_number(out, "uploads_open", uploads.open);
	json_number(out, "uploads_waiting", uploads.queued + uploads.started);
	json_number(out, "uploads_without_mailbox", uploads.orphans);
	json_number(out, "uploads_waiting_bytes", uploads.bytes);
	json_number(out, "uploads_refused", uploads.refused);
	json_number(out, "uploads_done", uploads.uploaded);
	json_number(out, "spool_failed", uploads.failed);
	json_number(out, "changes_on_the_way", changes_status(source->changes).on_the_way);
	json_number(out, "changes_given_up", changes_status(source->changes).given_up);
	add_outbox_json(out, source);
}

static char *
render_json(gpointer user)
{
	const PagesSource *source = user;
	ScanStatus scan = scan_status(account_scan(source->account));
	g_autoptr(GPtrArray) mailboxes = account_mailboxes(source->account);
	g_autofree char *error = NULL;
	g_autofree char *push = NULL;
	g_autofree char *newest = log_newest(source->log);
	AccountQuota quota = account_quota(source->account);
	GString *out = g_string_new("{\n");
	PoolStatus pool;

	pool_get_status(account_pool(source->account), &pool);
	error = pool.error != NULL ? util_printable(pool.error, -1, 400) : NULL;
	json_string(out, "version", MAILFS_VERSION);
	json_number(out, "pid", getpid());
	json_string(out, "account", source->config->account);
	json_string(out, "server", source->config->identity);
	json_string(out, "mountpoint", source->mountpoint);
	json_number(out, "since", source->since);
	json_string(out, "connection", health_word(pool.health));
	json_string(out, "error", error);
	json_string(out, "line", pool.line);
	push = push_words(source, &pool);
	json_string(out, "push", push);
	json_number(out, "sessions", pool.sessions);
	json_number(out, "sessions_busy", pool.busy);
	json_number(out, "sessions_limit", pool.limit);
	json_number(out, "requests_waiting", pool.waiting);
	json_number(out, "calls_waiting", fs_waiting(source->fs));
	json_number(out, "messages_on_the_way", scan.on_the_way);
	json_number(out, "messages_fetched", scan.fetched);
	json_number(out, "mailboxes", mailboxes->len);
	json_string(out, "cache_dir", source->config->cache_dir);
	json_number(out, "cache_bytes", bodies_total(account_bodies(source->account)));
	json_number(out, "cache_limit", source->config->cache_size);
	json_number(out, "cache_damaged", bodies_damaged(account_bodies(source->account)));
	json_number(out, "bytes_in", pool.counters.bytes_in);
	json_number(out, "bytes_out", pool.counters.bytes_out);
	json_number(out, "round_trips", pool.counters.round_trips);
	if (quota.known) {
		json_number(out, "quota_used", quota.used);
		json_number(out, "quota_limit", quota.limit);
	}
	add_writing_json(out, source);
	json_string(out, "last_log", newest);
	g_string_truncate(out, out->len - 2);
	g_string_append(out, "\n}\n");
	pool_status_clear(&pool);
	return g_string_free(out, FALSE);
}

static char *
render_log(gpointer user)
{
	const PagesSource *source = user;

	return log_text(source->log);
}

static char *
render_quota(gpointer user)
{
	const PagesSource *source = user;
	AccountQuota quota = account_quota(source->account);

	if (!quota.known)
		return g_strdup("the server tells no quota\n");
	return g_strdup_printf("used %" G_GUINT64_FORMAT "\nlimit %" G_GUINT64_FORMAT "\n",
			       quota.used, quota.limit);
}

static char *
render_capabilities(gpointer user)
{
	const PagesSource *source = user;
	g_autofree char *words = NULL;
	PoolStatus pool;

	pool_get_status(account_pool(source->account), &pool);
	words = util_printable(pool.capabilities, -1, 16384);
	pool_status_clear(&pool);
	g_strdelimit(words, " ", '\n');
	return g_strconcat(words, *words != '\0' ? "\n" : "", NULL);
}

static void
metric(GString *out, const char *name, const char *type, const char *help, guint64 value)
{
	g_string_append_printf(
		out, "# HELP mailfs_%s %s\n# TYPE mailfs_%s %s\nmailfs_%s %" G_GUINT64_FORMAT "\n",
		name, help, name, type, name, value);
}

static void
add_requests(GString *out, Fs *fs)
{
	for (guint i = 0; i < FS_N_REQUESTS; i++) {
		g_autofree char *name = g_strconcat("kernel_", fs_request_name(i), "_total", NULL);

		metric(out, name, "counter", "Requests of the kernel.", fs_requests(fs, i));
	}
}

/* The text format that Prometheus reads. */
static char *
render_metrics(gpointer user)
{
	const PagesSource *source = user;
	ScanStatus scan = scan_status(account_scan(source->account));
	GString *out = g_string_new(NULL);
	PoolStatus pool;

	pool_get_status(account_pool(source->account), &pool);
	metric(out, "online", "gauge", "1 while a session is logged in.",
	       pool.health == POOL_ONLINE);
	metric(out, "sessions", "gauge", "Sessions logged in.", pool.sessions);
	metric(out, "requests_waiting", "gauge", "Requests that wait for a session.", pool.waiting);
	metric(out, "received_bytes_total", "counter", "Bytes received on all lines.",
	       pool.counters.bytes_in);
	metric(out, "sent_bytes_total", "counter", "Bytes sent on all lines.",
	       pool.counters.bytes_out);
	metric(out, "round_trips_total", "counter",
	       "Times a line turned from sending to receiving.", pool.counters.round_trips);
	metric(out, "messages_fetched_total", "counter", "Bodies fetched from the server.",
	       scan.fetched);
	metric(out, "cache_bytes", "gauge", "Bytes of bodies in the cache.",
	       bodies_total(account_bodies(source->account)));
	metric(out, "cache_damaged_total", "counter", "Cached bodies found damaged.",
	       bodies_damaged(account_bodies(source->account)));
	metric(out, "index_errors_total", "counter", "Index writes that failed.",
	       index_errors(account_index(source->account)));
	add_requests(out, source->fs);
	pool_status_clear(&pool);
	return g_string_free(out, FALSE);
}

const TreePage *
pages_all(void)
{
	static const TreePage pages[] = {
		{"status", render_status},
		{"status.json", render_json},
		{"log", render_log},
		{"quota", render_quota},
		{"capabilities", render_capabilities},
		{"metrics", render_metrics},
		{"control", NULL},
		{NULL, NULL},
	};

	return pages;
}
