/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <gio/gio.h>

#include "base/error.h"
#include "base/util.h"
#include "control-orphan.h"
#include "control-wait.h"

#define FS_TYPE "fuse.mailfs"

/* How long the end of a daemon is waited for. */
#define END_MS 30000

/* A living mount answers from memory. One that does not within this time hangs. */
#define ANSWER_MS 5000
#define PROBE_MS  100

void
control_mount_clear(ControlMount *mount)
{
	g_free(mount->mountpoint);
	g_free(mount->type);
	g_free(mount->source);
	*mount = (ControlMount){0};
}

static void
control_mount_free(gpointer mount)
{
	control_mount_clear(mount);
	g_free(mount);
}

/* Blank, tab, newline and backslash are written \040, \011, \012, \134. */
static char *
unescape(const char *text)
{
	GString *out = g_string_new(NULL);

	for (; *text != '\0'; text++) {
		if (*text == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' &&
		    text[2] <= '7' && text[3] >= '0' && text[3] <= '7') {
			g_string_append_c(out, (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
						      (text[3] - '0')));
			text += 3;
		} else {
			g_string_append_c(out, *text);
		}
	}
	return g_string_free(out, FALSE);
}

gboolean
control_parse_mount(const char *line, ControlMount *out)
{
	g_auto(GStrv) words = g_strsplit(line, " ", -1);
	guint n = g_strv_length(words);
	guint dash = 6;

	*out = (ControlMount){0};
	while (dash < n && !g_str_equal(words[dash], "-"))
		dash++;
	if (dash + 2 >= n || *words[4] != '/' || *words[dash + 1] == '\0' ||
	    strchr(words[2], ':') == NULL)
		return FALSE;
	out->mountpoint = unescape(words[4]);
	out->type = g_strdup(words[dash + 1]);
	out->source = unescape(words[dash + 2]);
	out->connection = (guint)strtoul(strchr(words[2], ':') + 1, NULL, 10);
	return TRUE;
}

/* The mounts of mailfs, in the order they were made. */
static GPtrArray *
list_mounts(void)
{
	GPtrArray *mounts = g_ptr_array_new_with_free_func(control_mount_free);
	g_autofree char *table = NULL;
	g_auto(GStrv) lines = NULL;

	if (!g_file_get_contents("/proc/self/mountinfo", &table, NULL, NULL))
		return mounts;
	lines = g_strsplit(table, "\n", -1);
	for (guint i = 0; lines[i] != NULL; i++) {
		g_auto(ControlMount) mount = {0};

		if (!control_parse_mount(lines[i], &mount) || !g_str_equal(mount.type, FS_TYPE))
			continue;
		g_ptr_array_add(mounts, g_memdup2(&mount, sizeof mount));
		mount = (ControlMount){0};
	}
	return mounts;
}

/* The mount table's spelling of a path: absolute, links followed but in the last component, which
 * may be a mount that does not answer. */
static char *
resolve(const char *path)
{
	g_autofree char *absolute = g_canonicalize_filename(path, NULL);
	g_autofree char *parent = g_path_get_dirname(absolute);
	g_autofree char *name = g_path_get_basename(absolute);
	char *real = realpath(parent, NULL);
	char *result = g_str_equal(absolute, "/")
			       ? g_strdup("/")
			       : g_build_filename(real ? real : parent, name, NULL);

	free(real);
	return result;
}

static const ControlMount *
find_mount(const GPtrArray *mounts, const char *path)
{
	for (guint i = mounts->len; i-- > 0;) {
		const ControlMount *mount = mounts->pdata[i];

		if (g_str_equal(mount->mountpoint, path))
			return mount;
	}
	return NULL;
}

/* As find_mount(), after a link in the last component was followed. (transfer full) */
static char *
find_mountpoint(const GPtrArray *mounts, const char *path)
{
	g_autofree char *resolved = resolve(path);
	g_autofree char *target = NULL;

	if (find_mount(mounts, resolved) != NULL)
		return g_steal_pointer(&resolved);
	target = g_file_read_link(resolved, NULL);
	if (target != NULL) {
		g_autofree char *parent = g_path_get_dirname(resolved);
		g_autofree char *full = g_canonicalize_filename(target, parent);
		g_autofree char *again = resolve(full);

		if (find_mount(mounts, again) != NULL)
			return g_steal_pointer(&again);
	}
	return NULL;
}

/* Asking a mount */

/* In a process of its own: one that waits for a mount that hangs cannot even end. */
static int
copy_page(const char *path, int to)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buffer[4096];
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0)
		if (write(to, buffer, (size_t)n) != n)
			return EPIPE;
	return n < 0 ? errno : 0;
}

/* All that comes before @until. FALSE: it did not end in time. */
static gboolean
read_until(int fd, gint64 until, GString *out)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};
	char buffer[4096];
	ssize_t n = 1;

	while (n > 0) {
		gint64 left = (until - g_get_monotonic_time()) / 1000;

		if (poll(&one, 1, (int)MAX(left, 0)) == 0)
			return FALSE;
		n = read(fd, buffer, sizeof buffer);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			g_string_append_len(out, buffer, n);
	}
	return TRUE;
}

/* A file of .mailfs/. NULL: errno says why, ETIMEDOUT when nothing came. */
static char *
ask_mount(const char *mountpoint, const char *page)
{
	g_autofree char *path = g_build_filename(mountpoint, ".mailfs", page, NULL);
	g_autoptr(GString) text = g_string_new(NULL);
	g_auto(UtilFd) from = -1;
	int ends[2], status = 0;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return NULL;
	from = ends[0];
	child = fork();
	if (child == 0)
		_exit(copy_page(path, ends[1]));
	close(ends[1]);
	if (child < 0)
		return NULL;
	if (!read_until(from, g_get_monotonic_time() + ANSWER_MS * 1000, text)) {
		kill(child, SIGKILL);
		errno = ETIMEDOUT;
		return NULL;
	}
	waitpid(child, &status, 0);
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	return errno == 0 ? g_strdup(text->str) : NULL;
}

/* status */

static int
say_silent(const char *mountpoint, int why)
{
	g_autofree char *quoted = g_shell_quote(mountpoint);

	if (why == ENOTCONN || why == ECONNABORTED)
		fprintf(stderr,
			"mailfs: %s: this mount is dead, its process has ended without unmounting; "
			"clear "
			"it away with: mailfs umount %s\n",
			mountpoint, quoted);
	else if (why == ETIMEDOUT)
		fprintf(stderr, "mailfs: %s: the mount does not answer\n", mountpoint);
	else if (why == EACCES)
		fprintf(stderr,
			"mailfs: %s: this mount belongs to another user, and only they may look "
			"into "
			"it\n",
			mountpoint);
	else
		fprintf(stderr, "mailfs: %s: %s\n", mountpoint, g_strerror(why));
	return EX_UNAVAILABLE;
}

static int
say_no_mount(const char *path)
{
	fprintf(stderr, "mailfs: %s is no mount of mailfs (mailfs status lists them)\n", path);
	return EX_NOINPUT;
}

static int
show_status(const char *mountpoint, gboolean json)
{
	g_autofree char *text = ask_mount(mountpoint, json ? "status.json" : "status");

	if (text == NULL)
		return say_silent(mountpoint, errno);
	fputs(text, stdout);
	return EX_OK;
}

int
control_status(const char *mountpoint, gboolean json)
{
	g_autoptr(GPtrArray) mounts = list_mounts();
	g_autofree char *found = NULL;
	gboolean first = TRUE;
	int worst = EX_OK;

	if (mountpoint != NULL) {
		found = find_mountpoint(mounts, mountpoint);
		return found != NULL ? show_status(found, json) : say_no_mount(mountpoint);
	}
	if (mounts->len == 0)
		puts(json ? "[]" : "nothing is mounted");
	else if (json)
		puts("[");
	for (guint i = 0; i < mounts->len; i++) {
		const ControlMount *mount = mounts->pdata[i];
		g_autofree char *text =
			ask_mount(mount->mountpoint, json ? "status.json" : "status");
		int why = errno;

		/* Others' mounts are theirs. */
		if (text == NULL && why == EACCES)
			continue;
		if (text == NULL)
			worst = say_silent(mount->mountpoint, why);
		else
			printf("%s%s", first ? "" : json ? "," : "\n", text);
		first = first && text == NULL;
	}
	if (json && mounts->len > 0)
		puts("]");
	return worst;
}

/* umount */

/* "pid": 1234 in status.json, 0 when it is not there. */
static pid_t
pid_of_mount(const char *mountpoint)
{
	g_autofree char *text = ask_mount(mountpoint, "status.json");
	gint64 pid = text != NULL ? control_wait_number(text, "pid") : 0;

	return pid > 1 && pid <= G_MAXINT ? (pid_t)pid : 0;
}

/* What a mount that is asked again and again says. */
static char *
ask_for_wait(gpointer user)
{
	return ask_mount(user, "status.json");
}

/* A pid that belongs to some other program by now is not waited for. */
static int
open_daemon(const char *mountpoint)
{
	pid_t pid = pid_of_mount(mountpoint);

	return pid > 0 ? pidfd_open(pid, 0) : -1;
}

static gboolean
wait_for_end(int daemon)
{
	struct pollfd fd = {.fd = daemon, .events = POLLIN};
	int n;

	do
		n = poll(&fd, 1, END_MS);
	while (n < 0 && errno == EINTR);
	return n != 0;
}

/* fusermount3 says itself what is wrong; its words come back in @said. */
static gboolean
run_fusermount(const char *mountpoint, gboolean lazy, char **said)
{
	const char *argv[] = {"fusermount3",
			      "-u",
			      lazy ? "-z" : "--",
			      lazy ? "--" : mountpoint,
			      lazy ? mountpoint : NULL,
			      NULL};
	g_autoptr(GError) error = NULL;
	int status;

	if (!g_spawn_sync(NULL, (char **)argv, NULL,
			  G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, said,
			  &status, &error)) {
		*said = g_strdup(error->message);
		return FALSE;
	}
	return g_spawn_check_wait_status(status, NULL);
}

static gboolean
unmount(const char *mountpoint, gboolean lazy, gboolean *busy, char **why)
{
	*busy = FALSE;
	if (umount2(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return TRUE;
	*busy = errno == EBUSY;
	if (errno != EPERM) {
		*why = g_strdup(g_strerror(errno));
		return FALSE;
	}
	if (run_fusermount(mountpoint, lazy, why))
		return TRUE;
	g_strstrip(*why);
	*busy = strstr(*why, "busy") != NULL || strstr(*why, "Busy") != NULL;
	return FALSE;
}

static gboolean
link_leads_into(const char *link, const char *mountpoint)
{
	g_autofree char *target = g_file_read_link(link, NULL);
	gsize len = strlen(mountpoint);

	return target != NULL && strncmp(target, mountpoint, len) == 0 &&
	       (target[len] == '\0' || target[len] == '/');
}

/* Has this process its working directory, its program or an open file there? Only links are read:
 * nothing here asks the mount. */
static gboolean
process_uses(const char *pid, const char *mountpoint)
{
	static const char *const places[] = {"cwd", "root", "exe"};
	g_autofree char *fds = g_build_filename("/proc", pid, "fd", NULL);
	g_autoptr(GDir) dir = NULL;
	const char *name;

	for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
		g_autofree char *link = g_build_filename("/proc", pid, places[i], NULL);

		if (link_leads_into(link, mountpoint))
			return TRUE;
	}
	dir = g_dir_open(fds, 0, NULL);
	while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *link = g_build_filename(fds, name, NULL);

		if (link_leads_into(link, mountpoint))
			return TRUE;
	}
	return FALSE;
}

/* "less (4711), bash (815)". Of other users' processes only root sees anything. (transfer full),
 * NULL: nobody found. */
static char *
who_uses(const char *mountpoint)
{
	g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
	g_autoptr(GString) who = g_string_new(NULL);
	const char *pid;
	guint n = 0;

	while (proc != NULL && (pid = g_dir_read_name(proc)) != NULL) {
		g_autofree char *path = NULL, *comm = NULL, *name = NULL;

		if (!g_ascii_isdigit(*pid) || !process_uses(pid, mountpoint))
			continue;
		if (++n > 4) {
			g_string_append(who, ", …");
			break;
		}
		path = g_build_filename("/proc", pid, "comm", NULL);
		g_file_get_contents(path, &comm, NULL, NULL);
		name = util_printable(comm != NULL ? g_strchomp(comm) : "?", -1, 32);
		g_string_append_printf(who, "%s%s (%s)", n > 1 ? ", " : "", name, pid);
	}
	return n > 0 ? g_strdup(who->str) : NULL;
}

static int
say_not_unmounted(const char *mountpoint, gboolean busy, const char *why)
{
	g_autofree char *who = busy ? who_uses(mountpoint) : NULL;

	if (who != NULL)
		fprintf(stderr, "mailfs: %s is in use by %s: leave it and try again\n", mountpoint,
			who);
	else if (busy)
		fprintf(stderr,
			"mailfs: %s is in use: close what has files or its working directory there "
			"and "
			"try again\n",
			mountpoint);
	else
		fprintf(stderr, "mailfs: cannot unmount %s: %s\n", mountpoint, why);
	return busy ? EX_TEMPFAIL : EX_UNAVAILABLE;
}

/* By statfs, which always goes to the daemon: stat may still be answered from the kernel's cache.
 * In a process of its own, for it may wait for ever; one that does, and whose daemon is not left
 * behind, is alive. */
static gboolean
is_dead(const char *mountpoint)
{
	struct statfs status;
	g_auto(UtilFd) asker = -1;
	struct pollfd fd = {.events = POLLIN};
	pid_t child = fork();
	int end = 0;

	if (child == 0)
		_exit(statfs(mountpoint, &status) != 0 ? errno : 0);
	asker = child > 0 ? pidfd_open(child, 0) : -1;
	if (asker < 0)
		return FALSE;
	fd.fd = asker;
	for (guint i = 0; poll(&fd, 1, PROBE_MS) <= 0 && i < ANSWER_MS / PROBE_MS; i++)
		control_end_orphan(mountpoint);
	kill(child, SIGKILL);
	/* It cannot always be killed. */
	return waitpid(child, &end, WNOHANG) == child && WIFEXITED(end) &&
	       (WEXITSTATUS(end) == ENOTCONN || WEXITSTATUS(end) == ECONNABORTED);
}

/* A mount that takes no commands has nothing to do before it ends. */
static void
tell(const char *mountpoint, const char *command)
{
	g_autofree char *path = g_build_filename(mountpoint, ".mailfs", "control", NULL);
	g_auto(UtilFd) fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, command, strlen(command)) < 0)
		g_debug("%s: %s", path, g_strerror(errno));
}

int
control_umount(const char *mountpoint, gboolean now)
{
	g_autoptr(GPtrArray) mounts = list_mounts();
	g_autofree char *found = find_mountpoint(mounts, mountpoint);
	g_autofree char *why = NULL;
	g_auto(UtilFd) daemon = -1;
	gboolean dead, busy;

	if (found == NULL)
		return say_no_mount(mountpoint);
	dead = is_dead(found);
	if (!dead)
		tell(found, now ? "leave" : "flush");
	if (!dead && !now)
		control_wait_for_writes(ask_for_wait, found);
	if (!dead)
		daemon = open_daemon(found);
	if (!unmount(found, dead, &busy, &why))
		return say_not_unmounted(found, busy, why);
	if (daemon < 0 || wait_for_end(daemon))
		return EX_OK;
	fprintf(stderr, "mailfs: %s is unmounted, but its process has not ended within %d s\n",
		found, END_MS / 1000);
	return EX_UNAVAILABLE;
}

gboolean
control_is_mounted(const char *mountpoint)
{
	g_autoptr(GPtrArray) mounts = list_mounts();
	g_autofree char *path = resolve(mountpoint);

	return find_mount(mounts, path) != NULL;
}

gboolean
control_end_orphan(const char *mountpoint)
{
	g_autoptr(GPtrArray) mounts = list_mounts();
	g_autofree char *path = resolve(mountpoint);
	const ControlMount *mount = find_mount(mounts, path);

	return mount != NULL && control_orphan_break_off(path, mount->connection);
}

gboolean
control_clear_stale(const char *mountpoint, gboolean *cleared_out, GError **error)
{
	g_autoptr(GPtrArray) mounts = list_mounts();
	g_autofree char *found = find_mountpoint(mounts, mountpoint);
	g_autofree char *why = NULL;
	gboolean busy;

	if (cleared_out != NULL)
		*cleared_out = FALSE;
	if (found == NULL)
		return TRUE;
	if (!is_dead(found)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_MOUNTPOINT,
			    "%s is a mount of mailfs already (%s): mailfs status shows it, mailfs "
			    "umount "
			    "ends it",
			    found, find_mount(mounts, found)->source);
		return FALSE;
	}
	if (!unmount(found, TRUE, &busy, &why)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_MOUNTPOINT,
			    "the dead mount of mailfs at %s would not go: %s", found, why);
		return FALSE;
	}
	if (cleared_out != NULL)
		*cleared_out = TRUE;
	return TRUE;
}
