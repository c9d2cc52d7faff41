/* SPDX-License-Identifier: MIT */
#include "writing.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "mail/expiry.h"
#include "submission.h"

#define MOUNTS_MAX 16

struct Writing {
	Account *account;
	UtilFd lock_fd;
	char *directory;
	Spool *spool;
	Uploads *uploads;
	Changes *changes;
	Expiry *expiry; /* NULL: nothing is deleted by itself */
	Outbox *outbox; /* NULL: nothing can be sent */
	Submission *submission;

	GMutex lock; /* guards all below */
	GCond news;
	gboolean offline, uploaded, changed; /* since writing_settle() began */
};

static gboolean
fail_directory(const char *path, GError **error)
{
	int err = errno;

	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(err), "state directory %s: %s",
		    path, g_strerror(err));
	return FALSE;
}

static char *
directory_path(const char *account, guint i)
{
	g_autofree char *name = i == 1 ? g_strdup(account) : g_strdup_printf("%s.%u", account, i);

	return g_build_filename(g_get_user_state_dir(), "mailfs", name, NULL);
}

/* A mount of the account with another cache has the first one: this one takes the next. */
static gboolean
take_directory(Writing *writing, const char *account, GError **error)
{
	for (guint i = 1; i <= MOUNTS_MAX; i++) {
		g_autofree char *path = directory_path(account, i);
		g_autofree char *lock = g_build_filename(path, "lock", NULL);

		if (g_mkdir_with_parents(path, 0700) != 0 || chmod(path, 0700) != 0)
			return fail_directory(path, error);
		writing->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (writing->lock_fd < 0)
			return fail_directory(path, error);
		if (flock(writing->lock_fd, LOCK_EX | LOCK_NB) == 0) {
			writing->directory = g_steal_pointer(&path);
			return TRUE;
		}
		util_close_fd(&writing->lock_fd);
	}
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY, "%s is mounted too many times",
		    account);
	return FALSE;
}

/* What a second mount of the account had not brought to the server when it ended is in its own
 * directory: who mounts once has to hear of it. */
static void
tell_of_others(const char *account, const UploadsNews *news, gpointer user)
{
	for (guint i = 2; i <= MOUNTS_MAX; i++) {
		g_autofree char *path = directory_path(account, i);
		g_autofree char *lock = g_build_filename(path, "lock", NULL);
		g_autofree char *files = g_build_filename(path, "spool", NULL);
		g_auto(UtilFd) fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		g_autoptr(GDir) spool = NULL;
		g_autofree char *text = NULL;

		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
			continue;
		spool = g_dir_open(files, 0, NULL);
		if (spool == NULL || g_dir_read_name(spool) == NULL)
			continue;
		text = g_strdup_printf("files of another mount of %s wait in %s: mount it a second "
				       "time, with another cache-dir, and they go on",
				       account, path);
		news->log(user, text);
	}
}

/* Who mounts without an Outbox has to hear that one was not done. */
static void
tell_of_unsent(const Writing *writing, const Config *config, const UploadsNews *news, gpointer user)
{
	guint unsent = uploads_status(writing->uploads).unsent;
	g_autofree char *text = NULL;

	if (unsent == 0 || writing->outbox != NULL)
		return;
	text = g_strdup_printf("the Outbox queue holds %u message%s that this mount does not send "
			       "(%s); the next one with an Outbox does",
			       unsent, unsent == 1 ? "" : "s",
			       config->outbox == NULL ? "outbox=none" : "no smtp=");
	news->log(user, text);
}

static gboolean
make_outbox(Writing *writing, const Config *config, Secrets *secrets, GError **error)
{
	static const OutboxSave saves[] = {
		[CONFIG_SAVE_SENT_AUTO] = OUTBOX_SAVE_AUTO,
		[CONFIG_SAVE_SENT_YES] = OUTBOX_SAVE_YES,
		[CONFIG_SAVE_SENT_NO] = OUTBOX_SAVE_NO,
	};
	OutboxConfig outbox = {
		.address = config->address,
		.hold = config->hold,
		.rate = config->rate,
		.limit = config->send_limit,
		.send_to = (const char *const *)config->send_to,
		.save = saves[config->save_sent],
		.ledger_dir = config->cache_dir,
	};

	if (config->smtp.host == NULL || config->outbox == NULL)
		return TRUE;
	writing->submission = submission_new(config, secrets, error);
	if (writing->submission == NULL)
		return FALSE;
	outbox.smtp = submission_config(writing->submission);
	writing->outbox = outbox_new(writing->account, writing->uploads, &outbox, error);
	return writing->outbox != NULL;
}

/* Files are deleted on the server by themselves, where that is wanted. */
static void
make_expiry(Writing *writing, const Config *config, const UploadsNews *news, gpointer user)
{
	ExpiryConfig expiry = {
		.keep_s = config->pop_keep * (gint64)(24 * 60 * 60),
		.limit = config->delete_limit,
		.log = news->log,
		.user = user,
	};

	if (account_is_maildrop(writing->account) && config->pop_keep != 0)
		writing->expiry = expiry_new(writing->account, &expiry);
}

Writing *
writing_new(const Config *config, Secrets *secrets, Account *account, const UploadsNews *news,
	    gpointer user, GError **error)
{
	static const DeletePolicy policies[] = {
		[CONFIG_DELETE_TRASH] = DELETE_TRASH,
		[CONFIG_DELETE_EXPUNGE] = DELETE_EXPUNGE,
		[CONFIG_DELETE_MARK] = DELETE_MARK,
	};
	Writing *writing = g_new0(Writing, 1);
	ChangesConfig changes = {
		.policy = policies[config->delete_mode],
		.limit = config->delete_limit,
		.log = news->log,
		.user = user,
	};

	/* There is no other mailbox to move it to. */
	if (account_is_maildrop(account))
		changes.policy = DELETE_EXPUNGE;
	writing->account = account;
	writing->lock_fd = -1;
	g_mutex_init(&writing->lock);
	g_cond_init(&writing->news);
	if (config->outbox != NULL && !outbox_add_directories(account, config->outbox))
		news->log(user, "the index has no number left for the outbox");
	if (take_directory(writing, config->account, error)) {
		changes.state_dir = writing->directory;
		writing->spool = spool_open(writing->directory, error);
	}
	if (writing->spool != NULL)
		writing->uploads = uploads_new(account, writing->spool, FALSE, news, user, error);
	if (writing->uploads != NULL)
		writing->changes = changes_new(account, &changes, error);
	if (writing->changes == NULL || !make_outbox(writing, config, secrets, error)) {
		writing_free(writing);
		return NULL;
	}
	make_expiry(writing, config, news, user);
	tell_of_others(config->account, news, user);
	tell_of_unsent(writing, config, news, user);
	return writing;
}

Uploads *
writing_uploads(Writing *writing)
{
	return writing->uploads;
}

Changes *
writing_changes(Writing *writing)
{
	return writing->changes;
}

void
writing_online(Writing *writing)
{
	uploads_retry(writing->uploads);
	changes_retry(writing->changes);
	if (writing->expiry != NULL)
		expiry_hurry(writing->expiry);
	if (writing->outbox != NULL)
		outbox_online(writing->outbox);
}

Outbox *
writing_outbox(Writing *writing)
{
	return writing->outbox;
}

void
writing_retry(Writing *writing)
{
	submission_forget(writing->submission);
	if (writing->outbox != NULL)
		outbox_retry(writing->outbox);
}

static void
note(Writing *writing, gboolean *what)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&writing->lock);

	*what = TRUE;
	g_cond_signal(&writing->news);
}

void
writing_offline(Writing *writing)
{
	note(writing, &writing->offline);
}

static void
on_uploaded(gpointer user, const GError *error)
{
	Writing *writing = user;

	note(writing, &writing->uploaded);
}

static void
on_changed(gpointer user, const GError *error)
{
	Writing *writing = user;

	note(writing, &writing->changed);
}

/* Who is told late is told before writing_free(): uploads and changes end there. */
gboolean
writing_settle(Writing *writing, guint seconds)
{
	gint64 end = g_get_monotonic_time() + seconds * (gint64)G_USEC_PER_SEC;
	UploadsStatus uploads;
	gboolean in_time = TRUE;
	gboolean sent;

	if (uploads_status(writing->uploads).failed)
		return FALSE;
	/* What is sent may leave a copy for the server. */
	sent = writing->outbox == NULL || outbox_settle(writing->outbox, end, NULL);
	g_mutex_lock(&writing->lock);
	writing->offline = writing->uploaded = writing->changed = FALSE;
	g_mutex_unlock(&writing->lock);
	uploads_wait(writing->uploads, NULL, on_uploaded, writing);
	changes_wait(writing->changes, NULL, on_changed, writing);
	if (!account_is_online(writing->account))
		writing_offline(writing);
	g_mutex_lock(&writing->lock);
	while (in_time && !writing->offline && !(writing->uploaded && writing->changed))
		in_time = g_cond_wait_until(&writing->news, &writing->lock, end);
	g_mutex_unlock(&writing->lock);
	uploads = uploads_status(writing->uploads);
	return sent &&
	       uploads.queued + uploads.started + changes_status(writing->changes).on_the_way == 0;
}

void
writing_stop(Writing *writing)
{
	if (writing->expiry != NULL)
		expiry_stop(writing->expiry);
	if (writing->outbox != NULL)
		outbox_stop(writing->outbox);
	uploads_stop(writing->uploads);
	changes_stop(writing->changes);
}

void
writing_free(Writing *writing)
{
	if (writing == NULL)
		return;
	expiry_free(writing->expiry);
	outbox_free(writing->outbox);
	uploads_free(writing->uploads);
	changes_free(writing->changes);
	spool_close(writing->spool);
	submission_free(writing->submission);
	util_close_fd(&writing->lock_fd);
	g_free(writing->directory);
	g_mutex_clear(&writing->lock);
	g_cond_clear(&writing->news);
	g_free(writing);
}
