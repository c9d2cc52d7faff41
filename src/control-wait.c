/* SPDX-License-Identifier: MIT */
#include "control-wait.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/util.h"

#define TICK_MS	 100
#define AGAIN	 100 /* ticks, where lines are not overwritten */
#define SHOWN_AT 5   /* ticks: what is over sooner needs no line */

gint64
control_wait_number(const char *json, const char *key)
{
	g_autofree char *quoted = g_strdup_printf("\"%s\"", key);
	const char *at = strstr(json, quoted);

	if (at == NULL)
		return 0;
	at += strlen(quoted);
	at += strspn(at, " \t:");
	return g_ascii_strtoll(at, NULL, 10);
}

static gint64
left_in(const char *json)
{
	return control_wait_number(json, "uploads_waiting") +
	       control_wait_number(json, "outbox_waiting") +
	       control_wait_number(json, "changes_on_the_way");
}

/* What has no mailbox to go to would be waited for in vain. */
static gboolean
is_in_vain(const char *json, gint64 left)
{
	return left == control_wait_number(json, "uploads_without_mailbox") ||
	       control_wait_number(json, "spool_failed") != 0;
}

static void
show(gint64 left, gboolean terminal)
{
	fprintf(stderr,
		"%smailfs: %" G_GINT64_FORMAT " change%s still to be brought to the server%s",
		terminal ? "\r" : "", left, left == 1 ? "" : "s",
		terminal ? " (Ctrl-C leaves them for the next mount) " : "\n");
	fflush(stderr);
}

static void
say_left(gint64 left)
{
	fprintf(stderr,
		"mailfs: %" G_GINT64_FORMAT
		" change%s not on the server yet: kept on disk, the next mount goes on with %s\n",
		left, left == 1 ? " is" : "s are", left == 1 ? "it" : "them");
}

void
control_wait_for_writes(char *(*ask)(gpointer user), gpointer user)
{
	gboolean terminal = isatty(STDERR_FILENO), shown = FALSE, interrupted = FALSE;
	sigset_t interrupt, former;
	struct pollfd fd = {.events = POLLIN};

	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, &former);
	fd.fd = signalfd(-1, &interrupt, SFD_CLOEXEC);
	for (guint tick = 0;; tick++) {
		g_autofree char *json = ask(user);
		gint64 left = json != NULL ? left_in(json) : 0;
		gboolean online =
			json != NULL && strstr(json, "\"connection\": \"online\"") != NULL;

		if (left == 0)
			break;
		if (!online || interrupted || is_in_vain(json, left)) {
			if (shown && terminal)
				fputc('\n', stderr);
			shown = FALSE;
			say_left(left);
			break;
		}
		if (tick >= SHOWN_AT && (terminal || tick % AGAIN == SHOWN_AT)) {
			show(left, terminal);
			shown = TRUE;
		}
		interrupted = poll(&fd, 1, TICK_MS) > 0;
	}
	if (shown && terminal)
		fputc('\n', stderr);
	util_close_fd(&fd.fd);
	sigprocmask(SIG_SETMASK, &former, NULL);
}
