/* SPDX-License-Identifier: MIT */
#include "secrets-command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"

/* What a stream said: its beginning; the rest is read and dropped, so that the command is not held
 * up. */
typedef struct {
	int fd;
	gsize len;
	char text[SECRET_MAX + 2];
} Stream;

typedef struct {
	pid_t pid;
	int pid_fd;
	Stream out, err;
	int status;
} Run;

static void
stream_read(Stream *stream)
{
	char rest[1024];

	while (stream->fd >= 0) {
		gsize room = sizeof stream->text - stream->len;
		gboolean full = room == 0;
		gssize n = read(stream->fd, full ? rest : stream->text + stream->len,
				full ? sizeof rest : room);

		if (n > 0 && !full)
			stream->len += n;
		else if (n == 0)
			util_close_fd(&stream->fd);
		else if (n < 0 && errno != EINTR)
			break;
	}
	util_wipe(rest, sizeof rest);
}

/* The first line as a string, or NULL when it holds a NUL or was cut. */
static char *
stream_first_line(const Stream *stream)
{
	const char *newline = memchr(stream->text, '\n', stream->len);
	gsize len = newline != NULL ? (gsize)(newline - stream->text) : stream->len;

	if (len > 0 && stream->text[len - 1] == '\r')
		len--;
	if (len > SECRET_MAX || memchr(stream->text, '\0', len) != NULL)
		return NULL;
	return g_strndup(stream->text, len);
}

static int
spawn_shell(const char *command, int in, int out, int err, pid_t *pid_out)
{
	const char *argv[] = {"sh", "-c", command, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int result;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, err, 2);
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	result = posix_spawn(pid_out, "/bin/sh", &files, &attributes, (char **)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return result;
}

/* The ends of new pipes are above 2, so that dup2 in the child cannot close one of them. */
static gboolean
make_pipe(int *read_end, int *write_end)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return FALSE;
	*read_end = fcntl(ends[0], F_DUPFD_CLOEXEC, 3);
	*write_end = fcntl(ends[1], F_DUPFD_CLOEXEC, 3);
	close(ends[0]);
	close(ends[1]);
	return *read_end >= 0 && *write_end >= 0 && fcntl(*read_end, F_SETFL, O_NONBLOCK) == 0;
}

static gboolean
run_start(Run *run, const char *name, const char *command, GError **error)
{
	g_auto(UtilFd) null = -1, in = -1, out = -1, err = -1;
	int failed = 0;

	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	in = fcntl(null, F_DUPFD_CLOEXEC, 3);
	if (in < 0 || !make_pipe(&run->out.fd, &out) || !make_pipe(&run->err.fd, &err))
		failed = errno;
	else
		failed = spawn_shell(command, in, out, err, &run->pid);
	if (failed == 0) {
		run->pid_fd = pidfd_open(run->pid, 0);
		return TRUE;
	}
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "cannot run %s: %s", name,
		    g_strerror(failed));
	return FALSE;
}

/* TRUE: the shell has ended. FALSE: time is up, or cancelled. Where the kernel knows no pidfd, the
 * end is looked for every 20 ms. */
static gboolean
run_wait(Run *run, guint timeout_ms, GCancellable *cancel)
{
	gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
	GPollFD cancel_fd = {.fd = -1};
	gboolean ended = FALSE;

	if (cancel != NULL && !g_cancellable_make_pollfd(cancel, &cancel_fd))
		cancel_fd.fd = -1;
	while (!ended && !g_cancellable_is_cancelled(cancel)) {
		gint64 left = (deadline - g_get_monotonic_time() + 999) / 1000;
		struct pollfd fds[] = {{.fd = run->out.fd, .events = POLLIN},
				       {.fd = run->err.fd, .events = POLLIN},
				       {.fd = run->pid_fd, .events = POLLIN},
				       {.fd = cancel_fd.fd, .events = POLLIN}};

		if (left <= 0)
			break;
		poll(fds, G_N_ELEMENTS(fds), run->pid_fd >= 0 ? (int)left : (int)MIN(left, 20));
		ended = waitpid(run->pid, &run->status, WNOHANG) == run->pid;
		stream_read(&run->out);
		stream_read(&run->err);
	}
	if (cancel_fd.fd >= 0)
		g_cancellable_release_fd(cancel);
	return ended;
}

static void
run_kill(Run *run)
{
	kill(-run->pid, SIGKILL);
	while (waitpid(run->pid, &run->status, 0) < 0 && errno == EINTR)
		;
}

static char *
run_failed(const Run *run, const char *name, const char *what, GError **error)
{
	const char *newline = memchr(run->err.text, '\n', run->err.len);
	g_autofree char *said = util_printable(
		run->err.text, newline != NULL ? newline - run->err.text : (gssize)run->err.len,
		300);

	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "%s %s%s%s", name, what,
		    *said != '\0' ? ": " : "", said);
	return NULL;
}

static char *
run_result(const Run *run, const char *name, GError **error)
{
	g_autoptr(UtilSecret) line = NULL;
	g_autofree char *what = NULL;

	if (WIFSIGNALED(run->status))
		what = g_strdup_printf("was killed by signal %d", WTERMSIG(run->status));
	else if (WEXITSTATUS(run->status) != 0)
		what = g_strdup_printf("failed with exit code %d", WEXITSTATUS(run->status));
	if (what != NULL)
		return run_failed(run, name, what, error);
	line = stream_first_line(&run->out);
	if (line == NULL)
		return run_failed(run, name, "printed no password but a line too long, or a NUL",
				  error);
	if (*line == '\0')
		return run_failed(run, name, "printed no password", error);
	return g_steal_pointer(&line);
}

static void
run_clear(Run *run)
{
	util_close_fd(&run->pid_fd);
	util_close_fd(&run->out.fd);
	util_close_fd(&run->err.fd);
	util_wipe(run, sizeof *run);
}

char *
command_read_line(const char *name, const char *command, guint timeout_ms, GCancellable *cancel,
		  GError **error)
{
	Run *run = g_new0(Run, 1);
	char *line = NULL;

	run->pid_fd = run->out.fd = run->err.fd = -1;
	if (!run_start(run, name, command, error)) {
		/* nothing runs */
	} else if (run_wait(run, timeout_ms, cancel)) {
		line = run_result(run, name, error);
	} else {
		g_autofree char *late =
			g_strdup_printf("did not end within %u s", timeout_ms / 1000);

		run_kill(run);
		if (!g_cancellable_set_error_if_cancelled(cancel, error))
			run_failed(run, name, late, error);
	}
	run_clear(run);
	g_free(run);
	return line;
}
