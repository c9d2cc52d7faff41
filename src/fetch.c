/* SPDX-License-Identifier: MIT */
/* One thread walks and queues what it finds, some open what is queued, the calling one watches: it
 * draws, and it alone gets the signals. Opening is fetching: a mount answers open() when the body
 * is in its cache. */
#include "fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/util.h"

#define WORKERS		 8
#define TICK_MS		 200
#define SHOWN_FAILURES	 20
#define BAR_MAX		 40
#define BAR_MIN		 10
#define PATH_BYTES_SHOWN 1000

typedef struct {
	char *mountpoint;
	guint64 bytes; /* protected by Fetch.lock */
} Mount;

typedef struct {
	char *path;
	Mount *mount; /* borrowed */
} Folder;

typedef struct {
	const Folder *folder; /* borrowed */
	char name[];
} Item;

typedef struct {
	GPtrArray *roots;  /* of Folder: the paths asked for */
	GPtrArray *mounts; /* of Mount */
	gint64 started;
	int done_fd;   /* readable when the last worker has ended */
	gboolean bar;  /* stderr is a terminal */
	guint n_shown; /* failures told; the watching thread's own */

	GMutex lock; /* guards what follows */
	GCond more;
	GQueue items;	     /* of Item */
	GPtrArray *folders;  /* of Folder, named by items */
	GPtrArray *failures; /* of char *, not told yet */
	FetchProgress progress;
	guint64 n_failed, n_gone;
	guint workers;
	gboolean stop; /* the mount is dead */
} Fetch;

/* --- words -------------------------------------------------------------------------------- */

static char *
duration_text(gint64 seconds)
{
	if (seconds < 60)
		return g_strdup_printf("%d s", (int)seconds);
	if (seconds < 3600)
		return g_strdup_printf("%d:%02d min", (int)(seconds / 60), (int)(seconds % 60));
	return g_strdup_printf("%" G_GINT64_FORMAT ":%02d h", seconds / 3600,
			       (int)(seconds / 60 % 60));
}

static char *
rate_text(const FetchProgress *progress)
{
	gdouble seconds = (gdouble)MAX(progress->elapsed_us, 1) / G_USEC_PER_SEC;
	g_autofree char *size = util_format_size((guint64)((gdouble)progress->bytes / seconds));

	return g_strconcat(size, "/s", NULL);
}

/* NULL: nobody can tell yet. */
static char *
left_text(const FetchProgress *progress)
{
	gdouble seconds = (gdouble)progress->elapsed_us / G_USEC_PER_SEC;
	guint64 left;

	if (!progress->all_found || progress->messages == 0 || seconds < 1 ||
	    progress->messages > progress->found)
		return NULL;
	left = progress->found - progress->messages;
	return duration_text((gint64)(seconds * (gdouble)left / (gdouble)progress->messages + 0.5));
}

char *
fetch_progress_text(const FetchProgress *progress, guint columns)
{
	g_autofree char *size = util_format_size(progress->bytes);
	g_autofree char *rate = rate_text(progress);
	g_autofree char *left = left_text(progress);
	g_autoptr(GString) line = g_string_new(NULL);
	g_autoptr(GString) bar = g_string_new(NULL);
	glong room;

	g_string_append_printf(
		line, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT "%s messages  %s  %s",
		progress->messages, progress->found, progress->all_found ? "" : "+", size, rate);
	if (left != NULL)
		g_string_append_printf(line, "  %s left", left);
	room = MIN((glong)columns - g_utf8_strlen(line->str, -1) - 4, BAR_MAX);
	if (room >= BAR_MIN && progress->all_found && progress->found > 0) {
		glong full = (glong)((gdouble)room * (gdouble)progress->messages /
				     (gdouble)progress->found);

		g_string_append_c(bar, '[');
		for (glong i = 0; i < room; i++)
			g_string_append_c(bar, i < full ? '=' : (i == full ? '>' : ' '));
		g_string_append(bar, "]  ");
	}
	g_string_prepend(line, bar->str);
	if (g_utf8_strlen(line->str, -1) > (glong)columns)
		g_string_truncate(line, g_utf8_offset_to_pointer(line->str, columns) - line->str);
	return g_string_free(g_steal_pointer(&line), FALSE);
}

char *
fetch_summary_text(const FetchProgress *progress)
{
	g_autofree char *size = util_format_size(progress->bytes);
	g_autofree char *rate = rate_text(progress);
	g_autofree char *time =
		progress->elapsed_us < 60 * G_USEC_PER_SEC
			? g_strdup_printf("%.1f s", (gdouble)progress->elapsed_us / G_USEC_PER_SEC)
			: duration_text(progress->elapsed_us / G_USEC_PER_SEC);

	return g_strdup_printf("%" G_GUINT64_FORMAT " message%s, %s, in %s (%s)",
			       progress->messages, progress->messages == 1 ? "" : "s", size, time,
			       rate);
}

static const char *
reason_text(int error_number)
{
	switch (error_number) {
	case EHOSTUNREACH:
		return "the server cannot be reached";
	case ETIMEDOUT:
		return "the server did not answer in time";
	case EACCES:
		return "the server refuses it, or the login";
	case ENOSPC:
		return "the disk that holds the cache is full";
	case EPROTO:
		return "the server answered nonsense";
	case ENOTCONN:
	case ECONNABORTED:
		return "the mount has ended";
	default:
		return g_strerror(error_number);
	}
}

/* --- which mount -------------------------------------------------------------------------- */

/* @path is @directory or lies below it. */
static gboolean
is_below(const char *path, const char *directory)
{
	gsize len = strlen(directory);

	if (len == 1 && *directory == '/')
		return TRUE;
	return strncmp(path, directory, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

gboolean
fetch_find_mount(const char *mountinfo, const char *path, ControlMount *out)
{
	g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);
	gboolean found = FALSE;

	for (guint i = 0; lines[i] != NULL; i++) {
		g_auto(ControlMount) mount = {0};

		if (!control_parse_mount(lines[i], &mount) || !is_below(path, mount.mountpoint))
			continue;
		/* Of two on one directory the later one covers the other. */
		if (found && strlen(mount.mountpoint) < strlen(out->mountpoint))
			continue;
		if (found)
			control_mount_clear(out);
		*out = mount;
		mount = (ControlMount){0};
		found = TRUE;
	}
	return found;
}

static Mount *
find_mount(Fetch *fetch, const char *mountpoint)
{
	Mount *mount;

	for (guint i = 0; i < fetch->mounts->len; i++) {
		mount = g_ptr_array_index(fetch->mounts, i);
		if (strcmp(mount->mountpoint, mountpoint) == 0)
			return mount;
	}
	mount = g_new0(Mount, 1);
	mount->mountpoint = g_strdup(mountpoint);
	g_ptr_array_add(fetch->mounts, mount);
	return mount;
}

static Folder *
folder_new(const char *path, Mount *mount)
{
	Folder *folder = g_new0(Folder, 1);

	folder->path = g_strdup(path);
	folder->mount = mount;
	return folder;
}

static void
complain(const char *path, const char *why)
{
	g_autofree char *shown = util_printable(path, -1, PATH_BYTES_SHOWN);

	fprintf(stderr, "mailfs: %s: %s\n", shown, why);
}

static gboolean
add_root(Fetch *fetch, const char *mountinfo, const char *given)
{
	g_autofree char *resolved = realpath(given, NULL);
	g_auto(ControlMount) mount = {0};
	struct stat st;

	/* The directory of a dead mount resolves, but is not to be looked at. */
	if (resolved == NULL || stat(resolved, &st) != 0) {
		complain(given, errno == ENOTCONN
					? "the mount is dead: mailfs umount clears it away"
					: g_strerror(errno));
		return FALSE;
	}
	if (!fetch_find_mount(mountinfo, resolved, &mount) ||
	    strcmp(mount.type, "fuse.mailfs") != 0) {
		complain(given, "is on no mailfs mount; mailfs status lists them");
		return FALSE;
	}
	g_ptr_array_add(fetch->roots, folder_new(resolved, find_mount(fetch, mount.mountpoint)));
	return TRUE;
}

static gboolean
find_roots(Fetch *fetch, char **paths, int n)
{
	g_autofree char *mountinfo = NULL;
	g_autoptr(GError) error = NULL;

	if (!g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, &error)) {
		fprintf(stderr, "mailfs: %s\n", error->message);
		return FALSE;
	}
	for (int i = 0; i < n; i++)
		if (!add_root(fetch, mountinfo, paths[i]))
			return FALSE;
	return TRUE;
}

/* --- walking ------------------------------------------------------------------------------ */

/* What vanished since it was listed was deleted by somebody: no failure. */
static void
note_failure(Fetch *fetch, const char *path, int error_number)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fetch->lock);

	if (error_number == ENOENT || error_number == ESTALE) {
		fetch->n_gone++;
		return;
	}
	if (error_number == ENOTCONN || error_number == ECONNABORTED)
		fetch->stop = TRUE; /* the others wake up when the walk ends, which is now */
	if (fetch->n_failed++ < SHOWN_FAILURES) {
		g_autofree char *shown = util_printable(path, -1, PATH_BYTES_SHOWN);

		g_ptr_array_add(fetch->failures,
				g_strdup_printf("%s: %s", shown, reason_text(error_number)));
	}
}

static void
queue_item(Fetch *fetch, const Folder *folder, const char *name)
{
	gsize size = strlen(name) + 1;
	Item *item = g_malloc(sizeof *item + size);

	item->folder = folder;
	memcpy(item->name, name, size);
	g_mutex_lock(&fetch->lock);
	g_queue_push_tail(&fetch->items, item);
	fetch->progress.found++;
	g_cond_signal(&fetch->more);
	g_mutex_unlock(&fetch->lock);
}

static guchar
type_of(DIR *directory, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN ||
	    fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return entry->d_type;
	return S_ISDIR(st.st_mode) ? DT_DIR : (S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN);
}

/* Queues the files of a directory in their order; the directories in it go to @below. */
static void
read_directory(Fetch *fetch, const Folder *folder, GPtrArray *below)
{
	DIR *directory = opendir(folder->path);
	struct dirent *entry;

	if (directory == NULL) {
		note_failure(fetch, folder->path, errno);
		return;
	}
	while (errno = 0, (entry = readdir(directory)) != NULL) {
		guchar type = type_of(directory, entry);

		if (type == DT_REG)
			queue_item(fetch, folder, entry->d_name);
		else if (type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
			 strcmp(entry->d_name, "..") != 0)
			g_ptr_array_add(below, g_build_filename(folder->path, entry->d_name, NULL));
	}
	if (errno != 0)
		note_failure(fetch, folder->path, errno);
	closedir(directory);
}

static void
walk(Fetch *fetch, Folder *folder)
{
	g_autoptr(GPtrArray) below = g_ptr_array_new_with_free_func(g_free);
	gboolean stop;

	g_mutex_lock(&fetch->lock);
	g_ptr_array_add(fetch->folders, folder);
	stop = fetch->stop;
	g_mutex_unlock(&fetch->lock);
	if (stop)
		return;
	read_directory(fetch, folder, below);
	for (guint i = 0; i < below->len; i++)
		walk(fetch, folder_new(g_ptr_array_index(below, i), folder->mount));
}

static void
walk_root(Fetch *fetch, const Folder *root)
{
	g_autofree char *parent = g_path_get_dirname(root->path);
	g_autofree char *name = g_path_get_basename(root->path);
	struct stat st;
	Folder *folder;

	if (stat(root->path, &st) != 0) {
		note_failure(fetch, root->path, errno);
	} else if (S_ISDIR(st.st_mode)) {
		walk(fetch, folder_new(root->path, root->mount));
	} else {
		folder = folder_new(parent, root->mount);
		g_mutex_lock(&fetch->lock);
		g_ptr_array_add(fetch->folders, folder);
		g_mutex_unlock(&fetch->lock);
		queue_item(fetch, folder, name);
	}
}

static gpointer
walker_run(gpointer data)
{
	Fetch *fetch = data;

	for (guint i = 0; i < fetch->roots->len; i++)
		walk_root(fetch, g_ptr_array_index(fetch->roots, i));
	g_mutex_lock(&fetch->lock);
	fetch->progress.all_found = TRUE;
	g_cond_broadcast(&fetch->more);
	g_mutex_unlock(&fetch->lock);
	return NULL;
}

/* --- opening ------------------------------------------------------------------------------ */

/* 0, or an errno. The last byte is read because a body whose end is here is here as a whole. */
static int
open_one(const char *path, guint64 *size_out)
{
	g_auto(UtilFd) fd = -1;
	struct stat st;
	ssize_t n;
	char last;

	/* EINTR comes without a signal of ours too: after the machine has slept. */
	do
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	while (fd < 0 && errno == EINTR);
	if (fd < 0 || fstat(fd, &st) != 0)
		return errno;
	do
		n = st.st_size > 0 ? pread(fd, &last, 1, st.st_size - 1) : 1;
	while (n < 0 && errno == EINTR);
	*size_out = (guint64)st.st_size;
	return n < 0 ? errno : (n == 0 ? EIO : 0);
}

static Item *
take_item(Fetch *fetch)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fetch->lock);

	while (g_queue_is_empty(&fetch->items) && !fetch->progress.all_found && !fetch->stop)
		g_cond_wait(&fetch->more, &fetch->lock);
	return fetch->stop ? NULL : g_queue_pop_head(&fetch->items);
}

static gpointer
worker_run(gpointer data)
{
	Fetch *fetch = data;
	guint64 one = 1;
	gboolean last;
	Item *item;

	while ((item = take_item(fetch)) != NULL) {
		g_autofree char *path = g_build_filename(item->folder->path, item->name, NULL);
		guint64 size = 0;
		int error_number = open_one(path, &size);

		if (error_number != 0) {
			note_failure(fetch, path, error_number);
		} else {
			g_mutex_lock(&fetch->lock);
			fetch->progress.messages++;
			fetch->progress.bytes += size;
			item->folder->mount->bytes += size;
			g_mutex_unlock(&fetch->lock);
		}
		g_free(item);
	}
	g_mutex_lock(&fetch->lock);
	last = --fetch->workers == 0;
	g_cond_broadcast(&fetch->more);
	g_mutex_unlock(&fetch->lock);
	if (last && write(fetch->done_fd, &one, sizeof one) < 0)
		g_debug("eventfd: %s", g_strerror(errno));
	return NULL;
}

/* --- watching ----------------------------------------------------------------------------- */

static FetchProgress
progress_now(Fetch *fetch)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fetch->lock);
	FetchProgress progress = fetch->progress;

	progress.elapsed_us = g_get_monotonic_time() - fetch->started;
	/* Those that will never come are not waited for. */
	progress.found -= MIN(progress.found, fetch->n_failed + fetch->n_gone);
	return progress;
}

static void
erase_bar(const Fetch *fetch)
{
	if (fetch->bar)
		fputs("\r\033[K", stderr);
}

static void
draw(Fetch *fetch)
{
	FetchProgress progress = progress_now(fetch);
	struct winsize size = {0};
	g_autofree char *line = NULL;

	if (!fetch->bar)
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2)
		size.ws_col = 80;
	/* The last column stays free: some terminals wrap there. */
	line = fetch_progress_text(&progress, size.ws_col - 1u);
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
}

static void
tell_failures(Fetch *fetch)
{
	g_autoptr(GPtrArray) failures = NULL;

	g_mutex_lock(&fetch->lock);
	failures = g_steal_pointer(&fetch->failures);
	fetch->failures = g_ptr_array_new_with_free_func(g_free);
	g_mutex_unlock(&fetch->lock);
	if (failures->len > 0)
		erase_bar(fetch);
	for (guint i = 0; i < failures->len; i++)
		fprintf(stderr, "mailfs: %s\n", (char *)g_ptr_array_index(failures, i));
	fetch->n_shown += failures->len;
}

/* 0: all is done; else the signal that came. */
static int
watch(Fetch *fetch, int signal_fd)
{
	struct pollfd fds[] = {
		{.fd = signal_fd, .events = POLLIN},
		{.fd = fetch->done_fd, .events = POLLIN},
	};
	struct signalfd_siginfo info;

	for (;;) {
		tell_failures(fetch);
		draw(fetch);
		if (poll(fds, G_N_ELEMENTS(fds), TICK_MS) <= 0)
			continue;
		tell_failures(fetch);
		erase_bar(fetch);
		if ((fds[0].revents & POLLIN) != 0 &&
		    read(signal_fd, &info, sizeof info) == sizeof info)
			return (int)info.ssi_signo;
		if (fds[1].revents != 0)
			return 0;
	}
}

/* "cache_limit" of the mount's own status; 0: it does not tell. */
static guint64
cache_limit(const Mount *mount)
{
	g_autofree char *path = g_build_filename(mount->mountpoint, ".mailfs", "status.json", NULL);
	g_auto(UtilFd) fd = open(path, O_RDONLY | O_CLOEXEC);
	g_autofree char *text = g_malloc0(16 * 1024);
	const char *key;
	gsize len = 0;
	ssize_t n = 0;

	while (fd >= 0 && len < 16 * 1024 - 1 &&
	       (n = read(fd, text + len, 16 * 1024 - 1 - len)) > 0)
		len += (gsize)n;
	key = strstr(text, "\"cache_limit\": ");
	return key != NULL ? g_ascii_strtoull(key + strlen("\"cache_limit\": "), NULL, 10) : 0;
}

static void
tell_overflow(const Mount *mount)
{
	guint64 limit = cache_limit(mount);

	if (limit > 0 && mount->bytes > limit) {
		g_autofree char *bytes = util_format_size(mount->bytes);
		g_autofree char *bound = util_format_size(limit);

		fprintf(stderr,
			"mailfs: %s: that is %s, and the cache keeps %s: the first ones have made "
			"room for the last; set a greater cache-size to keep them all\n",
			mount->mountpoint, bytes, bound);
	}
}

static int
finish(Fetch *fetch, int signal)
{
	FetchProgress progress = progress_now(fetch);
	g_autofree char *summary = fetch_summary_text(&progress);
	guint64 failed;
	guint64 gone;
	gboolean stop;

	g_mutex_lock(&fetch->lock);
	stop = fetch->stop;
	failed = fetch->n_failed;
	gone = fetch->n_gone;
	g_mutex_unlock(&fetch->lock);
	if (failed > fetch->n_shown)
		fprintf(stderr, "mailfs: and %" G_GUINT64_FORMAT " more failures\n",
			failed - fetch->n_shown);
	printf("%s%s", signal != 0 ? "interrupted: " : "", summary);
	if (signal != 0)
		printf("; %" G_GUINT64_FORMAT "%s are missing",
		       progress.found - MIN(progress.found, progress.messages),
		       progress.all_found ? "" : " or more");
	if (gone > 0)
		printf("; %" G_GUINT64_FORMAT " deleted meanwhile", gone);
	if (failed > 0)
		printf("; %" G_GUINT64_FORMAT " failed", failed);
	putchar('\n');
	if (failed > 0 && !stop)
		fputs("mailfs: the mount's .mailfs/log says more; what has come stays, so the same "
		      "command goes on from here\n",
		      stderr);
	if (signal != 0)
		return 128 + signal;
	for (guint i = 0; i < fetch->mounts->len; i++)
		tell_overflow(g_ptr_array_index(fetch->mounts, i));
	return failed > 0 ? EX_IOERR : EX_OK;
}

/* --- the verb ----------------------------------------------------------------------------- */

static void
folder_free(gpointer data)
{
	Folder *folder = data;

	g_free(folder->path);
	g_free(folder);
}

static void
mount_free(gpointer data)
{
	Mount *mount = data;

	g_free(mount->mountpoint);
	g_free(mount);
}

static void
fetch_init(Fetch *fetch)
{
	fetch->roots = g_ptr_array_new_with_free_func(folder_free);
	fetch->mounts = g_ptr_array_new_with_free_func(mount_free);
	fetch->folders = g_ptr_array_new_with_free_func(folder_free);
	fetch->failures = g_ptr_array_new_with_free_func(g_free);
	g_queue_init(&fetch->items);
	g_mutex_init(&fetch->lock);
	g_cond_init(&fetch->more);
	fetch->bar = isatty(STDERR_FILENO) == 1;
	fetch->workers = WORKERS;
	fetch->done_fd = eventfd(0, EFD_CLOEXEC);
	fetch->started = g_get_monotonic_time();
}

static void
fetch_clear(Fetch *fetch)
{
	g_ptr_array_unref(fetch->roots);
	g_ptr_array_unref(fetch->mounts);
	g_ptr_array_unref(fetch->folders);
	g_ptr_array_unref(fetch->failures);
	g_queue_clear_full(&fetch->items, g_free);
	g_mutex_clear(&fetch->lock);
	g_cond_clear(&fetch->more);
	util_close_fd(&fetch->done_fd);
}

/* The signals come to a descriptor, in this thread and in all that are made from here on. */
static int
catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int
fetch_all(Fetch *fetch)
{
	g_auto(UtilFd) signal_fd = catch_signals();
	GThread *walker = g_thread_new("walk", walker_run, fetch);
	GThread *workers[WORKERS];
	int signal;
	int code;

	for (guint i = 0; i < WORKERS; i++)
		workers[i] = g_thread_new("open", worker_run, fetch);
	signal = watch(fetch, signal_fd);
	if (signal != 0) {
		code = finish(fetch, signal);
		fflush(NULL);
		/* Threads may be waiting in open(): the end of the process ends that. */
		_exit(code);
	}
	g_thread_join(walker);
	for (guint i = 0; i < WORKERS; i++)
		g_thread_join(workers[i]);
	return finish(fetch, 0);
}

int
fetch_run(char **paths, int n)
{
	Fetch fetch = {0};
	int code = EX_NOINPUT;

	fetch_init(&fetch);
	if (find_roots(&fetch, paths, n))
		code = fetch_all(&fetch);
	fetch_clear(&fetch);
	return code;
}
