/* SPDX-License-Identifier: MIT */
/* While a secret is typed, ISIG is off: Ctrl-C and Ctrl-\ do not become signals (which another
 * thread might take, leaving the terminal without echo) but end the line, as VEOL and VEOL2, and
 * are seen in it. Signals from elsewhere are held back until the terminal is as before. */
#include "secrets-terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/util.h"

#define LINE_MAX_BYTES 4096 /* what the kernel's line editing takes */

static int
open_terminal(GError **error)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "/dev/tty: %s",
			    g_strerror(errno));
	return fd;
}

static void
say(int fd, const char *text)
{
	gsize len = strlen(text);

	while (len > 0) {
		gssize n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return;
		text += MAX(n, 0);
		len -= MAX(n, 0);
	}
}

/* One line without its end. NULL: interrupted, or the end of input. */
static char *
read_line(int fd, int signal_fd, GCancellable *cancel, char interrupt, char quit)
{
	char buffer[LINE_MAX_BYTES];
	GPollFD cancel_fd = {.fd = -1};
	struct pollfd fds[] = {
		{.fd = fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}, {.fd = -1}};
	gssize n = -1;
	char *line = NULL;

	if (cancel != NULL && g_cancellable_make_pollfd(cancel, &cancel_fd))
		fds[2] = (struct pollfd){.fd = cancel_fd.fd, .events = POLLIN};
	while (n < 0) {
		if (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents != 0 || fds[2].revents != 0)
			break;
		if (fds[0].revents != 0)
			n = read(fd, buffer, sizeof buffer);
		if (fds[0].revents != 0 && n < 0 && errno != EINTR)
			break;
	}
	if (cancel_fd.fd >= 0)
		g_cancellable_release_fd(cancel);
	if (n > 0 && buffer[n - 1] != interrupt && buffer[n - 1] != quit)
		line = g_strndup(buffer, buffer[n - 1] == '\n' ? n - 1 : n);
	util_wipe(buffer, sizeof buffer);
	return line;
}

static void
hold_signals(sigset_t *before, int *signal_fd)
{
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGQUIT);
	sigaddset(&held, SIGHUP);
	sigaddset(&held, SIGTSTP);
	pthread_sigmask(SIG_BLOCK, &held, before);
	*signal_fd = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
}

char *
terminal_ask_secret(const char *question, GCancellable *cancel, GError **error)
{
	g_auto(UtilFd) fd = open_terminal(error);
	g_auto(UtilFd) signal_fd = -1;
	struct termios before, quiet;
	sigset_t mask;
	char *line;

	if (fd < 0)
		return NULL;
	if (tcgetattr(fd, &before) != 0) {
		g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "no terminal");
		return NULL;
	}
	hold_signals(&mask, &signal_fd);
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	quiet.c_lflag |= ICANON | ECHONL;
	quiet.c_cc[VEOL] = before.c_cc[VINTR];
	quiet.c_cc[VEOL2] = before.c_cc[VQUIT];
	say(fd, question);
	tcsetattr(fd, TCSAFLUSH, &quiet);
	line = read_line(fd, signal_fd, cancel, before.c_cc[VINTR], before.c_cc[VQUIT]);
	tcsetattr(fd, TCSAFLUSH, &before);
	if (line == NULL)
		say(fd, "\n");
	pthread_sigmask(SIG_SETMASK, &mask, NULL); /* a signal that came takes its course here */
	if (line == NULL)
		g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "interrupted");
	return line;
}

gboolean
terminal_confirm(const char *question, GCancellable *cancel)
{
	g_auto(UtilFd) fd = open_terminal(NULL);
	g_auto(UtilFd) no_signals = -1;
	g_autofree char *answer = NULL;

	if (fd < 0 || tcgetpgrp(fd) != getpgrp())
		return FALSE;
	say(fd, question);
	say(fd, " [y/N] ");
	answer = read_line(fd, no_signals, cancel, '\0', '\0');
	return answer != NULL && (g_ascii_strcasecmp(g_strstrip(answer), "y") == 0 ||
				  g_ascii_strcasecmp(answer, "yes") == 0);
}
