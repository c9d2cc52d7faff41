/* SPDX-License-Identifier: MIT */
/* The process that was started only waits: a child does everything (so no thread is ever lost in a
 * fork), keeps the terminal until the tree is ready, then leaves it and tells its parent how it
 * went. */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/util.h"
#include "config.h"
#include "control.h"
#include "exit-code.h"
#include "log.h"
#include "pages.h"
#include "proto/imap.h"
#include "proto/pop.h"
#include "secrets.h"
#include "writing.h"

#define LOCK_WAIT_US   (5 * G_USEC_PER_SEC)
#define LOCK_POLL_MS   50
#define ERRAND	       "an errand"
#define ERRAND_WAIT_US (60 * G_USEC_PER_SEC)
#define SETTLE_S       20
#define LOCK_PLACE     " on "

typedef struct {
	const MountArguments *arguments;
	char *environment; /* the password in it, until secrets has it */
	char *mountpoint;  /* absolute */
	char *cache_identity;
	char *keep_dir;
	Config *config;
	Secrets *secrets;
	UtilFd lock_fd;
	TlsContext *tls_context;
	BackendConfig backend;
	Account *account;
	Writing *writing; /* atomic; NULL: read-only */
	Log *log;
	Tree *tree;
	Fs *fs; /* atomic: news may come before it is there */
	PagesSource pages;
	GCancellable *cancel;
	GThread *signals;
	gint stopping; /* atomic */
} Mount;

int
mount_complain(const GError *error)
{
	g_autofree char *text = util_printable(error->message, -1, 2000);

	fprintf(stderr, "mailfs: %s\n", text);
	return exit_code_from_error(error);
}

/* --- news, from the account's threads
 * ----------------------------------------------------------------------- */

static Fs *
fs_of(Mount *mount)
{
	return g_atomic_pointer_get(&mount->fs);
}

static void
on_listing(gpointer user, Mailbox *mailbox)
{
	if (fs_of(user) != NULL)
		fs_listing_changed(fs_of(user), mailbox);
}

static void
on_gone(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid, const char *name)
{
	if (fs_of(user) != NULL)
		fs_message_gone(fs_of(user), mailbox, serial, uid, name);
}

static void
on_changed(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid)
{
	if (fs_of(user) != NULL)
		fs_message_changed(fs_of(user), serial, uid);
}

static void
on_wanted(gpointer user, Mailbox *mailbox, guint32 serial, const guint32 *uids, guint n)
{
	if (fs_of(user) != NULL)
		fs_messages_wanted(fs_of(user), mailbox, serial, uids, n);
}

static void
on_renumbered(gpointer user, Mailbox *mailbox, guint32 old_serial, guint32 new_serial)
{
	if (fs_of(user) != NULL && old_serial != 0)
		fs_directory_void(fs_of(user), mailbox);
}

static void
on_folders(gpointer user)
{
	Mount *mount = user;
	Writing *writing = g_atomic_pointer_get(&mount->writing);

	if (fs_of(user) != NULL)
		fs_folders_changed(fs_of(user));
	if (writing != NULL)
		uploads_look(writing_uploads(writing));
}

static void
on_folder_gone(gpointer user, Mailbox *mailbox)
{
	if (fs_of(user) != NULL)
		fs_directory_void(fs_of(user), mailbox);
}

static void
on_log(gpointer user, const char *text)
{
	Mount *mount = user;

	log_line(mount->log, "%s", text);
}

static void
on_failed(gpointer user, const char *operation, const GError *error)
{
	Mount *mount = user;

	log_line(mount->log, "%s: %s", operation, error->message);
}

static void
on_online(gpointer user)
{
	Mount *mount = user;
	Writing *writing = g_atomic_pointer_get(&mount->writing);

	if (writing != NULL)
		writing_online(writing);
}

static void
on_offline(gpointer user)
{
	Mount *mount = user;
	Writing *writing = g_atomic_pointer_get(&mount->writing);

	if (writing != NULL)
		writing_offline(writing);
}

static void
on_upload_changed(gpointer user, Mailbox *mailbox, guint32 id)
{
	if (fs_of(user) != NULL)
		fs_upload_changed(fs_of(user), mailbox, id);
}

static void
on_upload_gone(gpointer user, Mailbox *mailbox, guint32 id, const char *name)
{
	if (fs_of(user) != NULL)
		fs_upload_gone(fs_of(user), mailbox, id, name);
}

static const UploadsNews uploads_news = {
	.changed = on_upload_changed,
	.gone = on_upload_gone,
	.log = on_log,
};

static const AccountNews account_news = {
	.mailbox = {.listing = on_listing,
		    .gone = on_gone,
		    .changed = on_changed,
		    .wanted = on_wanted,
		    .renumbered = on_renumbered},
	.folders = on_folders,
	.folder_gone = on_folder_gone,
	.log = on_log,
	.online = on_online,
	.offline = on_offline,
};

/* --- signals
 * ------------------------------------------------------------------------------------------------
 */

static void
signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
}

/* SIGUSR1 ends the thread; SIGHUP connects anew; the first SIGTERM or SIGINT unmounts, the second
 * one does not wait for it. */
static gpointer
signals_run(gpointer data)
{
	Mount *mount = data;
	sigset_t set;
	int signal;

	signal_set(&set);
	while (sigwait(&set, &signal) == 0) {
		if (signal == SIGUSR1)
			break;
		if (signal == SIGHUP) {
			secrets_forget(mount->secrets);
			if (mount->account != NULL && account_pool(mount->account) != NULL)
				pool_retry(account_pool(mount->account));
			if (g_atomic_pointer_get(&mount->writing) != NULL)
				writing_retry(g_atomic_pointer_get(&mount->writing));
			continue;
		}
		if (g_atomic_int_exchange(&mount->stopping, 1))
			_exit(128 + signal);
		g_cancellable_cancel(mount->cancel);
		if (fs_of(mount) != NULL)
			fs_stop(fs_of(mount));
	}
	return NULL;
}

static void
signals_start(Mount *mount)
{
	sigset_t set;

	/* In every thread that is still to come: they go to the one that waits for them. */
	signal_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	mount->signals = g_thread_new("signals", signals_run, mount);
}

/* --- building
 * -----------------------------------------------------------------------------------------------
 */

static gboolean
check_mountpoint(Mount *mount, GError **error)
{
	const char *given = mount->arguments->mountpoint;
	gboolean cleared = FALSE;
	struct stat st;

	mount->mountpoint = g_canonicalize_filename(given, NULL);
	if (!control_clear_stale(mount->mountpoint, &cleared, error))
		return FALSE;
	if (cleared)
		fprintf(stderr,
			"mailfs: %s: a dead mount of mailfs was there and has been detached\n",
			mount->mountpoint);
	if (stat(mount->mountpoint, &st) != 0) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_MOUNTPOINT, "mountpoint %s: %s%s",
			    given, g_strerror(errno),
			    errno == ENOENT ? "; make it first: mkdir -p" : "");
		return FALSE;
	}
	if (!S_ISDIR(st.st_mode)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_MOUNTPOINT,
			    "mountpoint %s is not a directory", given);
		return FALSE;
	}
	if (access("/dev/fuse", F_OK) != 0) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_MOUNTPOINT,
			    "/dev/fuse is missing: load the fuse module (modprobe fuse), or give "
			    "the container this device");
		return FALSE;
	}
	return TRUE;
}

/* FALSE: an errand, without a file system. */
static gboolean
has_place(const Mount *mount)
{
	return mount->arguments->mountpoint != NULL;
}

/* Is it worth while to wait for whoever has the lock? Who was unmounted a moment ago still says
 * goodbye to its server, and an errand is soon over; one that is mounted is not waited for. @place
 * NULL: who it is will be written in a moment. */
static gboolean
will_end(const char *place, gint64 since)
{
	gint64 waited = g_get_monotonic_time() - since;

	if (place == NULL)
		return waited < LOCK_WAIT_US;
	if (strcmp(place, ERRAND) == 0)
		return waited < ERRAND_WAIT_US;
	return waited < LOCK_WAIT_US && (!control_is_mounted(place) || control_end_orphan(place));
}

static gboolean
take_lock(Mount *mount, char *owner, gsize size)
{
	gint64 since = g_get_monotonic_time();

	while (flock(mount->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		GPollFD cancel;
		const char *place;
		ssize_t n = pread(mount->lock_fd, owner, size - 1, 0);

		owner[MAX(n, 0)] = '\0';
		g_strchomp(owner);
		place = strstr(owner, LOCK_PLACE);
		if (!will_end(place != NULL ? place + strlen(LOCK_PLACE) : NULL, since))
			return FALSE;
		if (g_cancellable_make_pollfd(mount->cancel, &cancel)) {
			gboolean cancelled = g_poll(&cancel, 1, LOCK_POLL_MS) != 0;

			g_cancellable_release_fd(mount->cancel);
			if (cancelled)
				return FALSE;
		}
	}
	return TRUE;
}

/* One process owns an account's cache. The lock goes with the process, however it ends. */
static gboolean
lock_cache(Mount *mount, GError **error)
{
	g_autofree char *path = g_build_filename(mount->config->cache_dir, "lock", NULL);
	char owner[512] = "";
	g_autofree char *text = NULL;

	if (has_place(mount) && g_str_has_prefix(mount->config->cache_dir, mount->mountpoint) &&
	    strchr("/", mount->config->cache_dir[strlen(mount->mountpoint)]) != NULL) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "the cache directory %s lies inside the mountpoint",
			    mount->config->cache_dir);
		return FALSE;
	}
	if (g_mkdir_with_parents(mount->config->cache_dir, 0700) != 0 ||
	    chmod(mount->config->cache_dir, 0700) != 0 ||
	    (mount->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0) {
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
			    "cache directory %s: %s", mount->config->cache_dir, g_strerror(errno));
		return FALSE;
	}
	if (!take_lock(mount, owner, sizeof owner)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY,
			    "%s is mounted already%s%s; one process owns an account's cache: use "
			    "that mount, or give this one another cache-dir",
			    mount->config->account, *owner != '\0' ? " by " : "", owner);
		return FALSE;
	}
	text = g_strdup_printf("process %d" LOCK_PLACE "%s\n", (int)getpid(),
			       has_place(mount) ? mount->mountpoint : ERRAND);
	if (ftruncate(mount->lock_fd, 0) != 0 || pwrite(mount->lock_fd, text, strlen(text), 0) < 0)
		g_debug("lock: %s", g_strerror(errno));
	return TRUE;
}

/* Terminals answer while SIGINT is not blocked: a prompt must be left by Ctrl-C. */
static gboolean
load_secrets(Mount *mount, GError **error)
{
	sigset_t interrupt;

	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
	mount->secrets = secrets_new(mount->config, g_steal_pointer(&mount->environment),
				     mount->cancel, error);
	pthread_sigmask(SIG_BLOCK, &interrupt, NULL);
	return mount->secrets != NULL;
}

static gboolean
build_account(Mount *mount, GError **error)
{
	const Config *config = mount->config;
	gboolean pop = config->kind == CONFIG_POP3;
	AccountConfig account = {
		.backend_new = pop ? pop_backend_new : imap_backend_new,
		.maildrop = pop,
		.backend = &mount->backend,
		.connections = config->connections,
		.dir_time_us = config->dir_time * G_USEC_PER_SEC,
		.cache_dir = config->cache_dir,
		.cache_size = config->cache_size,
		.names_uid = config->names == CONFIG_NAMES_UID,
		.folders = (const char *const *)config->folders,
		.subscribed = config->subscribed,
	};

	/* Names are kept in the index: the other kind of names is another cache. */
	mount->cache_identity = g_strconcat(
		config->identity, config->names == CONFIG_NAMES_UID ? " names=uid" : "", NULL);
	account.identity = mount->cache_identity;
	if (config->keep == CONFIG_KEEP_YES)
		account.keep_dir = mount->keep_dir = g_build_filename(
			g_get_user_state_dir(), "mailfs", config->account, "kept", NULL);
	if (config->server.tls != TLS_NONE) {
		mount->tls_context =
			tls_context_new(config->tls_ca, config->tls_fingerprint, error);
		if (mount->tls_context == NULL)
			return FALSE;
	}
	mount->backend = (BackendConfig){
		.host = config->server.host,
		.port = config->server.port,
		.tls = config->server.tls,
		.tls_context = mount->tls_context,
		.insecure_plaintext = config->insecure_plaintext,
		.user = config->server.user,
		.auth = config->auth,
		.auth_token = secrets_is_token(mount->secrets),
		.secret = secrets_secret(mount->secrets),
		.timeout_ms = config->timeout * 1000,
		.read_only = config->ro,
		.compress = TRUE,
		.linger_ms = pop ? POP_LINGER_MS : 0,
	};
	mount->account = account_new(&account, &account_news, mount, error);
	return mount->account != NULL;
}

static gboolean
build_fs(Mount *mount, GError **error)
{
	const Config *config = mount->config;
	TreeConfig tree = {
		.account = mount->account,
		.uploads = mount->writing != NULL ? writing_uploads(mount->writing) : NULL,
		.changes = mount->writing != NULL ? writing_changes(mount->writing) : NULL,
		.pages = pages_all(),
		.page_user = &mount->pages,
		.authserv_id = config->authserv_id,
		.uid = config->uid,
		.gid = config->gid,
		.umask = config->umask,
		.read_only = config->ro,
	};
	FsConfig fs = {
		.account = mount->account,
		.uploads = tree.uploads,
		.changes = tree.changes,
		.mountpoint = mount->mountpoint,
		.source = config->identity,
		.fuse_options = config->fuse_options,
		.allow_other = config->allow_other,
		.attr_time = config->dir_time,
		.wait_time = config->timeout,
		.uid = config->uid,
		.gid = config->gid,
		.failed = on_failed,
		.user = mount,
	};
	Fs *built;

	mount->tree = fs.tree = tree_new(&tree);
	built = fs_new(&fs, error);
	if (built == NULL)
		return FALSE;
	mount->pages = (PagesSource){
		.config = config,
		.mountpoint = mount->mountpoint,
		.account = mount->account,
		.uploads = tree.uploads,
		.changes = tree.changes,
		.outbox = mount->writing != NULL ? writing_outbox(mount->writing) : NULL,
		.log = mount->log,
		.fs = built,
		.since = g_get_real_time() / G_USEC_PER_SEC,
	};
	g_atomic_pointer_set(&mount->fs, built);
	return fs_mount(built, error);
}

/* Asks the server for its mailboxes. An errand goes on without them: what is to be sent can be
 * queued, and mostly be sent. */
static gboolean
start_account(Mount *mount, gboolean *offline_out, char **reason_out, GError **error)
{
	g_autoptr(GError) problem = NULL;

	if (account_start(mount->account, mount->cancel, offline_out, reason_out, &problem))
		return TRUE;
	if (has_place(mount) || g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
		g_propagate_error(error, g_steal_pointer(&problem));
		return FALSE;
	}
	log_line(mount->log, "without the mailboxes: %s", problem->message);
	*offline_out = TRUE;
	return TRUE;
}

static gboolean
mount_build(Mount *mount, GError **error)
{
	g_autofree char *reason = NULL;
	gboolean offline = FALSE;

	mount->config = config_load(mount->arguments->source, mount->arguments->options, NULL,
				    mount->cancel, error);
	if (mount->config == NULL)
		return FALSE;
	if ((has_place(mount) && !check_mountpoint(mount, error)) || !lock_cache(mount, error) ||
	    !load_secrets(mount, error) || !build_account(mount, error))
		return FALSE;
	if (!start_account(mount, &offline, &reason, error))
		return FALSE;
	if (offline && has_place(mount)) {
		log_line(mount->log, "mounted offline, with what the cache holds: %s", reason);
		fprintf(stderr,
			"mailfs: %s cannot be reached (%s): mounted offline, with what the cache "
			"holds\n",
			mount->config->server.host, reason);
	} else if (!offline) {
		config_remember(mount->config);
	}
	if (!mount->config->ro) {
		Writing *writing = writing_new(mount->config, mount->secrets, mount->account,
					       &uploads_news, mount, error);

		if (writing == NULL)
			return FALSE;
		g_atomic_pointer_set(&mount->writing, writing);
	}
	return !has_place(mount) || build_fs(mount, error);
}

static void
mount_take_down(Mount *mount)
{
	if (mount->writing != NULL)
		writing_stop(mount->writing);
	if (mount->account != NULL)
		account_stop(mount->account);
	fs_free(mount->fs);
	tree_free(mount->tree);
	writing_free(mount->writing);
	account_free(mount->account);
	tls_context_free(mount->tls_context);
	secrets_free(mount->secrets);
	util_free_secret(mount->environment);
	config_free(mount->config);
	log_free(mount->log);
	util_close_fd(&mount->lock_fd);
	g_free(mount->mountpoint);
	g_free(mount->cache_identity);
	g_free(mount->keep_dir);
}

/* --- telling that it is ready
 * ------------------------------------------------------------------------------- */

/* sd_notify(3), without its library. */
static void
notify_service_manager(void)
{
	const char *path = g_getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	g_auto(UtilFd) fd = -1;
	gsize len;

	if (path == NULL || (len = strlen(path)) >= sizeof address.sun_path ||
	    (*path != '/' && *path != '@'))
		return;
	memcpy(address.sun_path, path, len);
	if (*path == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&address,
			      offsetof(struct sockaddr_un, sun_path) + len) < 0)
		g_debug("NOTIFY_SOCKET: %s", g_strerror(errno));
}

static void
leave_terminal(int ready_fd)
{
	guint8 code = 0;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (chdir("/") != 0)
		g_debug("chdir: %s", g_strerror(errno));
	for (int fd = 0; fd <= 2 && null_fd >= 0; fd++)
		dup2(null_fd, fd);
	if (null_fd > 2)
		close(null_fd);
	if (write(ready_fd, &code, 1) != 1)
		g_debug("the waiting process is gone");
	close(ready_fd);
}

/* The mount has ended; what was written should still get to the server. What does not waits on
 * disk for the next mount. */
static void
finish(Mount *mount)
{
	if (mount->writing != NULL && !writing_settle(mount->writing, SETTLE_S))
		log_line(mount->log, "not everything is on the server yet; the next mount goes on");
}

static void
begin(Mount *mount, const MountArguments *arguments, gboolean to_stderr)
{
	*mount = (Mount){
		.arguments = arguments,
		.environment = arguments->environment,
		.lock_fd = -1,
		.cancel = g_cancellable_new(),
	};
	mount->log = log_new(to_stderr);
	signals_start(mount);
}

/* From here on signals have nothing to stop. */
static void
end(Mount *mount)
{
	kill(getpid(), SIGUSR1);
	g_thread_join(mount->signals);
	mount_take_down(mount);
	g_object_unref(mount->cancel);
}

/* @ready_fd: -1 in the foreground. */
static int
serve(const MountArguments *arguments, int ready_fd)
{
	Mount mount;
	g_autoptr(GError) error = NULL;
	int code = EX_OK;

	begin(&mount, arguments, ready_fd < 0);
	if (!mount_build(&mount, &error)) {
		code = mount_complain(error);
	} else {
		if (ready_fd >= 0) {
			leave_terminal(ready_fd);
		} else {
			notify_service_manager();
		}
		secrets_harden();
		if (!fs_run(mount.fs))
			code = EX_SOFTWARE;
		fs_finish(mount.fs);
		finish(&mount);
	}
	end(&mount);
	return code;
}

int
mount_errand(const MountArguments *arguments, int (*errand)(gpointer user, const MountParts *parts),
	     gpointer user, GError **error)
{
	Mount mount;
	int code = -1;

	begin(&mount, arguments, arguments->debug);
	if (mount_build(&mount, error)) {
		MountParts parts = {mount.config, mount.account, mount.writing, mount.cancel};

		secrets_harden();
		code = errand(user, &parts);
		if (!g_cancellable_is_cancelled(mount.cancel))
			finish(&mount);
	}
	end(&mount);
	return code;
}

char *
mount_place(const Config *config)
{
	g_autofree char *path = g_build_filename(config->cache_dir, "lock", NULL);
	g_auto(UtilFd) fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	char owner[512] = "";
	const char *place;

	if (fd < 0 || pread(fd, owner, sizeof owner - 1, 0) <= 0)
		return NULL;
	g_strchomp(owner);
	place = strstr(owner, LOCK_PLACE);
	if (place == NULL || !control_is_mounted(place + strlen(LOCK_PLACE)))
		return NULL;
	/* Who can have the lock knows that nobody is there, whatever is mounted at the place now.
	 */
	return flock(fd, LOCK_SH | LOCK_NB) == 0 ? NULL : g_strdup(place + strlen(LOCK_PLACE));
}

static int
wait_until_ready(pid_t child, int ready_fd)
{
	guint8 code;
	ssize_t n;
	int status;

	do
		n = read(ready_fd, &code, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return code;
	/* The child ended without a word on the pipe: it has complained already. */
	if (waitpid(child, &status, 0) == child && WIFEXITED(status))
		return WEXITSTATUS(status);
	return EX_SOFTWARE;
}

int
mount_run(const MountArguments *arguments)
{
	int ready[2];
	pid_t child;

	if (arguments->foreground)
		return serve(arguments, -1);
	if (pipe2(ready, O_CLOEXEC) != 0 || (child = fork()) < 0) {
		fprintf(stderr, "mailfs: cannot go to the background: %s\n", g_strerror(errno));
		util_free_secret(arguments->environment);
		return EX_OSERR;
	}
	if (child == 0) {
		close(ready[0]);
		return serve(arguments, ready[1]);
	}
	util_free_secret(arguments->environment);
	close(ready[1]);
	return wait_until_ready(child, ready[0]);
}
