/* SPDX-License-Identifier: MIT */
#include "send.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "config.h"
#include "exit-code.h"
#include "mail/outbox.h"
#include "mail/upload-check.h"
#include "mail/verdict.h"
#include "mount.h"
#include "send-message.h"
#include "send-options.h"

#define PIECE	     65536
#define STATUS_XATTR "user.mailfs.status"
#define POLL_MIN_US  (5 * 1000) /* a look at the mount; each waits longer than the one before */
#define POLL_MAX_US  (250 * 1000)
#define BUSY_US	     (300 * G_USEC_PER_SEC) /* other sends may have the account as long */
#define BUSY_POLL_US (100 * 1000)

/* The answer to one try, which may come when nobody waits for it any more. */
typedef struct {
	GMutex lock; /* guards all below */
	GCond told;
	gboolean is_told;
	OutboxOutcome outcome;
	int code;
	char *enhanced, *text;
} Answer;

typedef struct {
	SendOptions options;
	Config *config;
	char *environment;
	char *name; /* of the file in the Outbox */
	UtilFd fd;  /* the finished message; -1: only the queue is to be sent */
	Answer answer;
} Send;

/* TEMPFAIL is none of them: it says that the message is kept. */
static int
code_of(const GError *error)
{
	if (g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_INVALID) ||
	    g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_TOO_BIG))
		return EX_DATAERR;
	return exit_code_from_error(error);
}

static int
complain(const GError *error)
{
	g_autofree char *text = util_printable(error->message, -1, 2000);

	fprintf(stderr, "mailfs: %s\n", text);
	return code_of(error);
}

static void G_GNUC_PRINTF(2, 3) say(const Send *send, const char *format, ...)
{
	g_autofree char *text = NULL;
	g_autofree char *shown = NULL;
	va_list args;

	if (!send->options.verbose)
		return;
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	shown = util_printable(text, -1, 2000);
	fprintf(stderr, "mailfs: %s\n", shown);
}

/* --- where the account is mounted --- */

static gboolean
fail_errno(GError **error, const char *path, int err)
{
	MailfsError code = err == EDESTADDRREQ ? MAILFS_ERROR_NO_RECIPIENT
			   : err == EINVAL     ? MAILFS_ERROR_INVALID
			   : err == EMSGSIZE   ? MAILFS_ERROR_TOO_BIG
			   : err == EROFS || err == EOPNOTSUPP || err == ENOENT
				   ? MAILFS_ERROR_UNSUPPORTED
			   : err == EACCES || err == EPERM  ? MAILFS_ERROR_DENIED
			   : err == ENOSPC || err == EDQUOT ? MAILFS_ERROR_LIMIT
			   /* The mount has just ended: there is another way. */
			   : err == ENOTCONN || err == ECONNABORTED ? MAILFS_ERROR_BUSY
								    : MAILFS_ERROR_OFFLINE;

	g_set_error(error, MAILFS_ERROR, code, "%s: %s (the mount's .mailfs/log says more)", path,
		    g_strerror(err));
	return FALSE;
}

/* FALSE: what was mounted there is not any more. */
static gboolean
is_on_mount(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (guint64)fs.f_type == FUSE_SUPER_MAGIC;
}

static gboolean
fill_file(Send *send, const char *path, int *fd, GError **error)
{
	g_autofree char *piece = g_malloc(PIECE);
	guint64 at = 0;
	gssize n;

	if (!is_on_mount(*fd))
		return fail_errno(error, path, ENOTCONN);
	do {
		n = upload_check_read(send->fd, piece, PIECE, at, error);
		if (n < 0 || !upload_check_write(*fd, piece, (gsize)n, at, error))
			return FALSE;
		at += (guint64)n;
	} while (n == PIECE);
	return close(util_steal_fd(fd)) == 0 || fail_errno(error, path, errno);
}

static gboolean
copy_into(Send *send, const char *path, GError **error)
{
	g_auto(UtilFd) out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (out < 0)
		return fail_errno(error, path, errno);
	if (fill_file(send, path, &out, error))
		return TRUE;
	unlink(path);
	return FALSE;
}

/* The status of a file, "" when it cannot be had now; NULL: there is no such file. (transfer full)
 */
static char *
status_of(const char *path)
{
	char text[4096];
	ssize_t n = getxattr(path, STATUS_XATTR, text, sizeof text);

	if (n >= 0)
		return util_printable(text, n, sizeof text);
	return errno == ENOENT ? NULL : g_strdup("");
}

/* "failed: 550 5.1.1 …" or "retry 12:05 (451 …)": the code of the reply in it, 0: there is none. */
static int
reply_in(const char *status, char **enhanced_out)
{
	const char *p = strstr(status, ": ");
	const char *open = strchr(status, '(');
	guint64 code = 0;

	*enhanced_out = NULL;
	p = g_str_has_prefix(status, "retry") ? (open != NULL ? open + 1 : NULL)
					      : (p != NULL ? p + 2 : NULL);
	if (p == NULL || strlen(p) < 3 || strspn(p, "0123456789") != 3)
		return 0;
	code = g_ascii_strtoull(p, NULL, 10);
	*enhanced_out = verdict_enhanced((int)code, p[3] == ' ' ? p + 4 : "");
	return (int)code;
}

static int
code_of_status(const char *status)
{
	g_autofree char *enhanced = NULL;
	int code = reply_in(status, &enhanced);

	fprintf(stderr, "mailfs: %s\n", status);
	return code != 0 ? verdict_exit_code(code, enhanced) : EX_UNAVAILABLE;
}

static int
say_later(const Send *send, const char *why)
{
	fprintf(stderr,
		"mailfs: it was not sent yet%s%s; it is kept, and goes with the next mount of the "
		"account or the next `mailfs send`\n",
		*why != '\0' ? ": " : "", why);
	return send->options.wait ? EX_TEMPFAIL : EX_OK;
}

/* Nothing is tried before something changes, or somebody does something. */
static gboolean
is_put_off(const char *status)
{
	return g_str_has_prefix(status, "retry") || g_str_has_prefix(status, "waiting");
}

static gboolean
is_mounted_at(const Send *send, const char *place)
{
	g_autofree char *there = mount_place(send->config);

	return g_strcmp0(there, place) == 0;
}

/* Until the first try is over. Nothing that happens in the mount wakes a process outside of it. */
static int
wait_in_mount(const Send *send, const char *place, const char *path, const char *failed_path)
{
	for (gulong pause = POLL_MIN_US;; pause = MIN(pause + pause / 2, POLL_MAX_US)) {
		g_autofree char *status = status_of(path);
		g_autofree char *failed = status == NULL ? status_of(failed_path) : NULL;

		if (failed != NULL)
			return code_of_status(failed);
		/* Where nothing is mounted any more there is no such file either. */
		if ((status == NULL || *status == '\0') && !is_mounted_at(send, place))
			return say_later(send, "the mount has ended before there was an answer");
		if (status == NULL)
			break;
		if (is_put_off(status)) {
			code_of_status(status);
			return EX_TEMPFAIL;
		}
		g_usleep(pause);
	}
	say(send, "sent");
	return EX_OK;
}

/* -1 with an error: it is not in the Outbox. */
static int
send_by_mount(Send *send, const char *place, GError **error)
{
	const char *outbox = send->config->outbox != NULL ? send->config->outbox : "Outbox";
	g_autofree char *path = g_build_filename(place, outbox, send->name, NULL);
	g_autofree char *failed = g_build_filename(place, outbox, "failed", send->name, NULL);

	if (send->fd < 0)
		return EX_OK; /* it looks after its queue itself */
	if (!copy_into(send, path, error))
		return -1;
	say(send, "queued: %s", path);
	return send->options.wait ? wait_in_mount(send, place, path, failed) : EX_OK;
}

/* --- where it is not: the spool, and a line of our own --- */

static void
on_answer(gpointer user, OutboxOutcome outcome, int code, const char *enhanced, const char *text)
{
	Answer *answer = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&answer->lock);

	answer->is_told = TRUE;
	answer->outcome = outcome;
	answer->code = code;
	answer->enhanced = g_strdup(enhanced);
	answer->text = g_strdup(text);
	g_cond_signal(&answer->told);
}

static gboolean
fill(Send *send, Upload *upload, GError **error)
{
	g_autofree char *piece = g_malloc(PIECE);
	guint64 at = 0;
	gssize n;

	do {
		n = upload_check_read(send->fd, piece, PIECE, at, error);
		if (n < 0 || !upload_write(upload, piece, (gsize)n, at, error))
			return FALSE;
		at += (guint64)n;
	} while (n == PIECE);
	return upload_complete(upload, error);
}

/* The number of the queued file; 0 with an error. */
static guint32
enqueue(Send *send, const MountParts *parts, GError **error)
{
	Mailbox *outbox = outbox_directory(parts->account);
	g_autoptr(GError) problem = NULL;
	Upload *upload;
	UploadView view;
	gboolean good;

	upload = uploads_create(writing_uploads(parts->writing), outbox, send->name, 0600, error);
	if (upload == NULL)
		return 0;
	good = fill(send, upload, error);
	upload_view(upload, &view);
	upload_close(upload);
	if (!good && !upload_remove(upload, &problem))
		g_debug("send: %s", problem->message);
	upload_unref(upload);
	return good ? view.id : 0;
}

/* "550 5.1.1 no such user", or what there is of it. (transfer full) */
static char *
answer_text(const Answer *answer)
{
	g_autofree char *text = util_printable(answer->text, -1, 500);

	if (answer->code == 0)
		return g_steal_pointer(&text);
	return g_strdup_printf("%d %s%s%s", answer->code,
			       answer->enhanced != NULL ? answer->enhanced : "",
			       answer->enhanced != NULL ? " " : "", text);
}

/* What the caller gets to know. */
static int
conclude(Send *send, const Answer *answer)
{
	g_autofree char *text = answer_text(answer);

	switch (answer->outcome) {
	case OUTBOX_SENT:
		say(send, "sent: %s", g_strchomp(text));
		return EX_OK;
	case OUTBOX_LATER:
		return say_later(send, text);
	case OUTBOX_FAILED:
		fprintf(stderr, "mailfs: %s\n", text);
		return answer->code != 0 ? verdict_exit_code(answer->code, answer->enhanced)
					 : EX_UNAVAILABLE;
	case OUTBOX_GONE:
		fputs("mailfs: it was taken back before it was sent\n", stderr);
		return EX_UNAVAILABLE;
	}
	return EX_SOFTWARE;
}

static void
on_cancelled(GCancellable *cancel, gpointer user)
{
	Answer *answer = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&answer->lock);

	g_cond_signal(&answer->told);
}

static int
wait_for_answer(Send *send, Outbox *outbox, guint32 id, GCancellable *cancel)
{
	Answer *answer = &send->answer;
	gulong handler = g_cancellable_connect(cancel, G_CALLBACK(on_cancelled), answer, NULL);
	gboolean told;

	outbox_wait(outbox, id, on_answer, answer);
	g_mutex_lock(&answer->lock);
	while (!answer->is_told && !g_cancellable_is_cancelled(cancel))
		g_cond_wait(&answer->told, &answer->lock);
	told = answer->is_told;
	g_mutex_unlock(&answer->lock);
	g_cancellable_disconnect(cancel, handler);
	if (told)
		return conclude(send, answer);
	say_later(send, "interrupted");
	return EX_TEMPFAIL;
}

/* Until nothing of the queue can be sent now. */
static int
wait_for_queue(Outbox *outbox, GCancellable *cancel)
{
	g_auto(OutboxStatus) status = {0};

	outbox_settle(outbox, G_MAXINT64, cancel);
	outbox_get_status(outbox, &status);
	return status.held + status.due + status.later + status.doubtful > 0 ? EX_TEMPFAIL : EX_OK;
}

static int
run_errand(gpointer user, const MountParts *parts)
{
	Send *send = user;
	Outbox *outbox = parts->writing != NULL ? writing_outbox(parts->writing) : NULL;
	g_autoptr(GError) error = NULL;
	guint32 id;

	if (outbox == NULL) {
		fputs("mailfs: this account has no Outbox (ro, or outbox=none)\n", stderr);
		return EX_CONFIG;
	}
	outbox_retry(outbox);
	outbox_hurry(outbox);
	if (send->fd < 0)
		return wait_for_queue(outbox, parts->cancel);
	id = enqueue(send, parts, &error);
	if (id == 0)
		return complain(error);
	say(send, "queued: %s", send->name);
	return wait_for_answer(send, outbox, id, parts->cancel);
}

static int
send_by_errand(Send *send, GError **error)
{
	MountArguments arguments = {
		.source = send->options.account,
		.options = send->options.options,
		.debug = send->options.verbose,
		.environment = g_strdup(send->environment),
	};

	return mount_errand(&arguments, run_errand, send, error);
}

/* By the mount that is there or, when there is none, by ourselves; whoever has the account for a
 * moment, to send, to mount or to unmount, is waited for. */
static int
deliver(Send *send)
{
	gint64 give_up = g_get_monotonic_time() + BUSY_US;

	for (;;) {
		g_autofree char *place = mount_place(send->config);
		g_autofree char *later = NULL;
		g_autoptr(GError) error = NULL;
		gboolean moved;
		int code = place != NULL ? send_by_mount(send, place, &error)
					 : send_by_errand(send, &error);

		if (code >= 0)
			return code;
		later = mount_place(send->config);
		moved = g_strcmp0(place, later) != 0 ||
			g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
		if (!moved || g_get_monotonic_time() > give_up)
			return complain(error);
		g_usleep(BUSY_POLL_US);
	}
}

/* The account, its config, and the message that it can send. */
static gboolean
prepare(Send *send, GError **error)
{
	SendOptions *options = &send->options;
	g_auto(UtilFd) raw = -1;
	g_autofree char *author = NULL;

	if (!options->queue) {
		raw = send_message_read(stdin, options->whole, error);
		if (raw < 0)
			return FALSE;
		author = send_message_author(raw);
	}
	if (options->account == NULL) {
		const char *sender = options->sender != NULL && strchr(options->sender, '@') != NULL
					     ? options->sender
					     : author;

		options->account = config_sending_account(sender, options->options, error);
	}
	if (options->account != NULL)
		send->config = config_load(options->account, options->options, NULL, NULL, error);
	if (send->config == NULL)
		return FALSE;
	if (send->config->smtp.host == NULL) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "%s cannot send: write its submission server into the config file, "
			    "smtp=smtps://user@host",
			    options->account);
		return FALSE;
	}
	if (options->queue)
		return TRUE;
	send->fd = send_message_compose(raw, options, send->config->address, error);
	return send->fd >= 0;
}

int
send_run(char **argv, int argc, char *environment)
{
	g_autofree char *unique = g_uuid_string_random();
	Send send = {.environment = environment, .fd = -1};
	g_autoptr(GError) error = NULL;
	int code;

	g_mutex_init(&send.answer.lock);
	g_cond_init(&send.answer.told);
	send.name = g_strdup_printf("send-%" G_GINT64_FORMAT "-%.8s.eml",
				    g_get_real_time() / G_USEC_PER_SEC, unique);
	if (send_options_parse(argv, argc, &send.options, &error) && prepare(&send, &error))
		code = deliver(&send);
	else
		code = complain(error);
	send_options_clear(&send.options);
	config_free(send.config);
	g_free(send.answer.enhanced);
	g_free(send.answer.text);
	util_free_secret(send.environment);
	util_close_fd(&send.fd);
	g_free(send.name);
	g_mutex_clear(&send.answer.lock);
	g_cond_clear(&send.answer.told);
	return code;
}
