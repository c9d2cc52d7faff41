/* SPDX-License-Identifier: MIT */
/* The limit that everything is compared with: a socket, a login, one FETCH, and nothing done with
 * the bytes but finding where the lines and literals end.
 *
 *     bare-reader HOST PORT USER MAILBOX [--list|--bodies|--pop] [--tls] [--set-size N]
 *                 [--in-flight K]
 *
 * The password is read from BARE_PASSWORD. --list sends the FETCH that mailfs lists with; --bodies
 * UID FETCH (UID BODY.PEEK[]) of sets of N UIDs (0: all in one), K commands in flight; --pop is
 * POP3: RETR of all messages, K in flight, whatever MAILBOX says. One line is printed: the seconds
 * from the first FETCH to the last tagged OK, the seconds from connect() on, the seconds of CPU,
 * the bytes read, the messages told. TLS is not checked: this is a measure. */
#include <stdlib.h>
#include <string.h>

#include "bare-line.h"

#define CHUNK (256 * 1024)

#define LIST_ITEMS                                                                                 \
	"(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT "          \
	"MESSAGE-ID)])"

typedef struct {
	BareLine line;
	guint64 bytes;	  /* read since connect() */
	guint64 literal;  /* bytes of it that are still to come */
	guint64 messages; /* lines that begin "* n FETCH" */
	guint tagged;	  /* lines that begin with a tag of ours */
	gboolean refused; /* one of them did not say OK */
	gboolean inside;  /* the line goes on behind a literal */
	guint32 uidnext;
	guint answered;	   /* POP3: commands */
	gboolean multiple; /* POP3: what is asked for ends in a lone dot … */
	gboolean within;   /* … which has not come yet */
	guint32 count;	   /* POP3: messages, as STAT tells */
	gsize held;	   /* bytes of an unfinished line at the start of the buffer */
	char buffer[CHUNK];
} Reader;

static gint mode_list, mode_bodies, mode_pop, use_tls;
static gint set_size = 500, in_flight = 4;

static const GOptionEntry options[] = {
	{"list", 0, 0, G_OPTION_ARG_NONE, &mode_list, "the FETCH of a listing", NULL},
	{"bodies", 0, 0, G_OPTION_ARG_NONE, &mode_bodies, "all bodies", NULL},
	{"pop", 0, 0, G_OPTION_ARG_NONE, &mode_pop, "all messages, by POP3", NULL},
	{"tls", 0, 0, G_OPTION_ARG_NONE, &use_tls, "TLS from the first byte", NULL},
	{"set-size", 0, 0, G_OPTION_ARG_INT, &set_size, "UIDs in a command, 0: all (500)", "N"},
	{"in-flight", 0, 0, G_OPTION_ARG_INT, &in_flight, "commands (4)", "K"},
	{NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
};

static void
reader_say(Reader *self, const char *text)
{
	bare_line_write(&self->line, text, strlen(text));
}

/* A whole line, without its end; @first: nothing of the response came before it. */
static void
take_line(Reader *self, const char *line, gsize len, gboolean first)
{
	const char *brace;

	if (first && len > 2 && line[0] == '*') {
		const char *word = memchr(line + 2, ' ', MIN(len - 2, 12));
		const char *next = g_strstr_len(line, (gssize)MIN(len, 64), "[UIDNEXT ");

		if (word != NULL && len - (gsize)(word - line) > 6 &&
		    memcmp(word, " FETCH", 6) == 0)
			self->messages++;
		if (next != NULL)
			self->uidnext = (guint32)strtoul(next + strlen("[UIDNEXT "), NULL, 10);
	} else if (first && len > 2 && line[0] == 't') {
		const char *word = memchr(line, ' ', len);

		self->tagged++;
		if (word == NULL || memcmp(word, " OK", 3) != 0)
			self->refused = TRUE;
	}
	self->inside = len > 0 && line[len - 1] == '}';
	if (!self->inside)
		return;
	brace = memrchr(line, '{', len);
	self->literal = brace != NULL ? strtoull(brace + 1, NULL, 10) : 0;
}

/* The same of POP3. */
static void
take_pop_line(Reader *self, const char *line, gsize len)
{
	if (self->within) {
		self->within = len != 1 || *line != '.';
		self->messages += !self->within;
		self->answered += !self->within;
		return;
	}
	if (*line != '+')
		self->refused = TRUE;
	if (!self->multiple && len > 4)
		self->count = (guint32)strtoul(line + 4, NULL, 10);
	self->within = self->multiple;
	self->answered += !self->within;
}

/* One read, and what it completes. */
static void
reader_read(Reader *self)
{
	gsize n = bare_line_read(&self->line, self->buffer + self->held, CHUNK - self->held);
	char *at = self->buffer;
	char *end;

	self->bytes += n;
	end = self->buffer + self->held + n;
	while (at < end) {
		if (self->literal > 0) {
			gsize here = MIN((gsize)(end - at), self->literal);

			at += here;
			self->literal -= here;
			continue;
		}
		{
			char *line_end = memchr(at, '\n', (gsize)(end - at));
			gboolean first = !self->inside;

			if (line_end == NULL)
				break;
			self->inside = FALSE;
			if (mode_pop)
				take_pop_line(self, at, (gsize)MAX(line_end - at - 1, 0));
			else
				take_line(self, at, (gsize)MAX(line_end - at - 1, 0), first);
			at = line_end + 1;
		}
	}
	self->held = (gsize)(end - at);
	if (self->held == CHUNK)
		g_error("a line of more than %d bytes", CHUNK);
	memmove(self->buffer, at, self->held);
}

static void
reader_wait(Reader *self, guint tagged)
{
	while (self->tagged < tagged)
		reader_read(self);
	if (self->refused)
		g_error("the server refused a command");
}

static void
reader_open(Reader *self, const char *user, const char *mailbox)
{
	const char *password = g_getenv("BARE_PASSWORD");
	g_autofree char *login = g_strdup_printf("t LOGIN \"%s\" \"%s\"\r\n", user,
						 password != NULL ? password : "");
	g_autofree char *examine = g_strdup_printf("t EXAMINE \"%s\"\r\n", mailbox);

	while (self->bytes == 0)
		reader_read(self);
	reader_say(self, login);
	reader_wait(self, 1);
	reader_say(self, examine);
	reader_wait(self, 2);
}

static void
reader_fetch(Reader *self)
{
	guint64 step = set_size > 0 ? (guint64)set_size : G_MAXUINT32;
	guint sent = 2;

	if (mode_list) {
		reader_say(self, "t UID FETCH 1:* " LIST_ITEMS "\r\n");
		reader_wait(self, 3);
		return;
	}
	for (guint64 first = 1; first < self->uidnext; first += step) {
		g_autofree char *command =
			g_strdup_printf("t UID FETCH %" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT
					" (UID BODY.PEEK[])\r\n",
					first, MIN(first + step, self->uidnext) - 1);

		if (sent >= 2 + (guint)in_flight)
			reader_wait(self, sent - (guint)in_flight + 1);
		reader_say(self, command);
		sent++;
	}
	reader_wait(self, sent);
}

static void
wait_answered(Reader *self, guint answered)
{
	while (self->answered < answered)
		reader_read(self);
	if (self->refused)
		g_error("the server refused a command");
}

static void
pop_open(Reader *self, const char *user)
{
	const char *password = g_getenv("BARE_PASSWORD");
	g_autofree char *name = g_strdup_printf("USER %s\r\n", user);
	g_autofree char *pass = g_strdup_printf("PASS %s\r\n", password != NULL ? password : "");

	wait_answered(self, 1);
	reader_say(self, name);
	wait_answered(self, 2);
	reader_say(self, pass);
	wait_answered(self, 3);
	self->count = 0;
	reader_say(self, "STAT\r\n");
	wait_answered(self, 4);
	self->multiple = TRUE;
}

static void
pop_fetch(Reader *self)
{
	guint before = self->answered;
	guint32 sent = 0;

	while (sent < self->count) {
		g_autoptr(GString) commands = g_string_new(NULL);

		while (sent < self->count && sent - (self->answered - before) < (guint)in_flight)
			g_string_append_printf(commands, "RETR %u\r\n", ++sent);
		reader_say(self, commands->str);
		wait_answered(self, self->answered + 1);
	}
	wait_answered(self, before + sent);
}

int
main(int argc, char **argv)
{
	g_autoptr(GOptionContext) context = g_option_context_new("HOST PORT USER MAILBOX");
	g_autoptr(GError) error = NULL;
	g_autofree Reader *reader = g_new0(Reader, 1);
	gint64 connected;
	gint64 fetching;
	gint64 done;

	g_option_context_add_main_entries(context, options, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error) || argc != 5 ||
	    mode_list + mode_bodies + mode_pop != 1 || in_flight < 1) {
		g_printerr("bare-reader: %s\n", error != NULL ? error->message : "see --help");
		return 64;
	}
	connected = g_get_monotonic_time();
	bare_line_open(&reader->line, argv[1], argv[2], use_tls);
	if (mode_pop)
		pop_open(reader, argv[3]);
	else
		reader_open(reader, argv[3], argv[4]);
	fetching = g_get_monotonic_time();
	if (mode_pop)
		pop_fetch(reader);
	else
		reader_fetch(reader);
	done = g_get_monotonic_time();
	g_print("seconds=%.4f whole=%.4f cpu=%.4f bytes=%" G_GUINT64_FORMAT
		" messages=%" G_GUINT64_FORMAT "\n",
		(double)(done - fetching) / 1e6, (double)(done - connected) / 1e6,
		bare_cpu_seconds(), reader->bytes, reader->messages);
	bare_line_close(&reader->line);
	return 0;
}
