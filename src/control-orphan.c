/* SPDX-License-Identifier: MIT */
#include "control-orphan.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/util.h"

#define END_MS 5000

/* The file by which a process owns its cache, and the words in it: see mount.c. */
#define LOCK_NAME  "/lock"
#define LOCK_PLACE " on "

/* Has its first thread ended, and another not? */
static gboolean
is_left_behind(const char *pid)
{
	g_autofree char *path = g_build_filename("/proc", pid, "stat", NULL);
	g_autofree char *text = NULL;
	g_auto(GStrv) words = NULL;
	const char *end;

	if (!g_file_get_contents(path, &text, NULL, NULL) || strstr(text, "(mailfs)") == NULL)
		return FALSE;
	end = strrchr(text, ')');
	words = g_strsplit(end, " ", -1);
	/* proc(5): state is the third word, num_threads the twentieth. */
	return g_strv_length(words) > 18 && *words[1] == 'Z' && atoi(words[18]) > 1;
}

/* Does this thread hold the lock file that names the mount? */
static gboolean
owns_mount(const char *fds, const char *pid, const char *mountpoint)
{
	g_autofree char *words = g_strconcat(" ", pid, LOCK_PLACE, mountpoint, "\n", NULL);
	g_autoptr(GDir) dir = g_dir_open(fds, 0, NULL);
	const char *name;

	while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *link = g_build_filename(fds, name, NULL);
		g_autofree char *target = g_file_read_link(link, NULL);
		g_autofree char *text = NULL;

		if (target != NULL && g_str_has_suffix(target, LOCK_NAME) &&
		    g_file_get_contents(target, &text, NULL, NULL) && g_str_has_suffix(text, words))
			return TRUE;
	}
	return FALSE;
}

static gboolean
is_of_mount(const char *pid, const char *mountpoint)
{
	g_autofree char *tasks = g_build_filename("/proc", pid, "task", NULL);
	g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
	const char *task;

	while (dir != NULL && (task = g_dir_read_name(dir)) != NULL) {
		g_autofree char *fds = g_build_filename(tasks, task, "fd", NULL);

		if (owns_mount(fds, pid, mountpoint))
			return TRUE;
	}
	return FALSE;
}

/* 0: there is none. */
static pid_t
find_orphan(const char *mountpoint)
{
	g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
	const char *pid;

	while (proc != NULL && (pid = g_dir_read_name(proc)) != NULL)
		if (g_ascii_isdigit(*pid) && is_left_behind(pid) && is_of_mount(pid, mountpoint))
			return (pid_t)atoi(pid);
	return 0;
}

/* By the kernel's own switch, which is its user's too, else as umount -f does. */
static void
break_off(const char *mountpoint, guint connection)
{
	g_autofree char *path = g_strdup_printf("/sys/fs/fuse/connections/%u/abort", connection);
	g_auto(UtilFd) fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		umount2(mountpoint, UMOUNT_NOFOLLOW | MNT_FORCE);
}

gboolean
control_orphan_break_off(const char *mountpoint, guint connection)
{
	pid_t pid = find_orphan(mountpoint);
	g_auto(UtilFd) process = -1;
	struct pollfd fd = {.events = POLLIN};

	if (pid == 0)
		return FALSE;
	process = pidfd_open(pid, 0);
	/* It may have ended by itself since, and then its number says nothing. */
	if (process < 0 || find_orphan(mountpoint) != pid)
		return FALSE;
	break_off(mountpoint, connection);
	fd.fd = process;
	return poll(&fd, 1, END_MS) > 0;
}
