/* SPDX-License-Identifier: MIT */
/* The limit that sending is compared with: a socket, a login, the same message again and again, and
 * nothing done with the answers but looking at their first digit.
 *
 *     bare-sender HOST PORT USER RECIPIENT FILE COUNT [--tls] [--chunks] [--in-flight N]
 *
 * The password is read from BARE_PASSWORD. The message is to be as SMTP wants it: CRLF, no line
 * that begins with a dot. Everything is pipelined: MAIL, RCPT and DATA of the next message go out
 * with the end of the one before. --chunks: with BDAT, of which N messages may be without an answer
 * (1). One line is printed: the seconds from the first MAIL to the last answer, the seconds from
 * connect() on, the seconds of CPU, the messages. */
#include <string.h>

#include "bare-line.h"

typedef struct {
	BareLine line;
	char buffer[64 * 1024];
	gsize held, start; /* what was read and not looked at: held bytes from start on */
} Sender;

static gint use_tls, chunks;
static gint in_flight = 1;

static const GOptionEntry options[] = {
	{"tls", 0, 0, G_OPTION_ARG_NONE, &use_tls, "TLS from the first byte", NULL},
	{"chunks", 0, 0, G_OPTION_ARG_NONE, &chunks, "BDAT", NULL},
	{"in-flight", 0, 0, G_OPTION_ARG_INT, &in_flight, "messages without an answer (1)", "N"},
	{NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
};

/* The next answer must begin with @digit. */
static void
sender_hear(Sender *self, char digit)
{
	for (;;) {
		char *line = self->buffer + self->start;
		char *end = memchr(line, '\n', self->held);

		if (end == NULL) {
			memmove(self->buffer, line, self->held);
			self->start = 0;
			self->held += bare_line_read(&self->line, self->buffer + self->held,
						     sizeof self->buffer - self->held);
			continue;
		}
		self->held -= (gsize)(end + 1 - line);
		self->start += (gsize)(end + 1 - line);
		if (*line != digit)
			g_error("%.*s", (int)(end - line), line);
		if (line[3] != '-')
			return;
	}
}

static void
sender_say(Sender *self, const char *text)
{
	bare_line_write(&self->line, text, strlen(text));
}

static void
sender_log_in(Sender *self, const char *user)
{
	const char *password = g_getenv("BARE_PASSWORD");
	g_autofree char *secret =
		g_strdup_printf("\n%s\n%s", user, password != NULL ? password : "");
	gsize len = strlen(secret);
	g_autofree char *encoded = NULL;
	g_autofree char *command = NULL;

	/* PLAIN has NULs there. */
	secret[0] = secret[1 + strlen(user)] = '\0';
	encoded = g_base64_encode((const guchar *)secret, len);
	command = g_strdup_printf("AUTH PLAIN %s\r\n", encoded);
	sender_hear(self, '2');
	sender_say(self, "EHLO localhost\r\n");
	sender_hear(self, '2');
	sender_say(self, command);
	sender_hear(self, '2');
}

static void
send_chunks(Sender *self, const char *envelope, const char *message, gsize len, guint count)
{
	g_autofree char *whole =
		g_strdup_printf("%sBDAT %zu LAST\r\n%.*s", envelope, len, (int)len, message);
	guint answered = 0;

	for (guint sent = 0; answered < count;) {
		if (sent < count && sent - answered < (guint)in_flight) {
			sender_say(self, whole);
			sent++;
			continue;
		}
		for (guint i = 0; i < 3; i++)
			sender_hear(self, '2');
		answered++;
	}
}

static void
send_data(Sender *self, const char *envelope, const char *message, gsize len, guint count)
{
	g_autofree char *start = g_strconcat(envelope, "DATA\r\n", NULL);
	g_autofree char *next = g_strdup_printf("%.*s.\r\n%s", (int)len, message, start);
	g_autofree char *last = g_strdup_printf("%.*s.\r\n", (int)len, message);

	sender_say(self, start);
	for (guint i = 1; i <= count; i++) {
		sender_hear(self, '2');
		sender_hear(self, '2');
		sender_hear(self, '3');
		sender_say(self, i < count ? next : last);
		sender_hear(self, '2');
	}
}

int
main(int argc, char **argv)
{
	g_autoptr(GOptionContext) context =
		g_option_context_new("HOST PORT USER RECIPIENT FILE COUNT");
	g_autoptr(GError) error = NULL;
	g_autofree Sender *sender = g_new0(Sender, 1);
	g_autofree char *message = NULL;
	g_autofree char *envelope = NULL;
	gsize len = 0;
	guint64 count = 0;
	gint64 connected;
	gint64 sending;
	gint64 done;

	g_option_context_add_main_entries(context, options, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error) || argc != 7 || in_flight < 1 ||
	    !g_ascii_string_to_unsigned(argv[6], 10, 1, 1000000, &count, &error) ||
	    !g_file_get_contents(argv[5], &message, &len, &error)) {
		g_printerr("bare-sender: %s\n", error != NULL ? error->message : "see --help");
		return 64;
	}
	envelope =
		g_strdup_printf("MAIL FROM:<%s@localhost>\r\nRCPT TO:<%s>\r\n", argv[3], argv[4]);
	connected = g_get_monotonic_time();
	bare_line_open(&sender->line, argv[1], argv[2], use_tls);
	sender_log_in(sender, argv[3]);
	sending = g_get_monotonic_time();
	(chunks ? send_chunks : send_data)(sender, envelope, message, len, (guint)count);
	done = g_get_monotonic_time();
	g_print("seconds=%.4f whole=%.4f cpu=%.4f messages=%" G_GUINT64_FORMAT "\n",
		(double)(done - sending) / 1e6, (double)(done - connected) / 1e6,
		bare_cpu_seconds(), count);
	bare_line_close(&sender->line);
	return 0;
}
