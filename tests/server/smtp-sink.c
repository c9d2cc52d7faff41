/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "smtp-client.h"

/* One connection. */
typedef struct {
	SmtpSink *sink;
	PeerLine *line;
	GBytes *read;	   /* NULL: nothing yet */
	gsize used;	   /* of that */
	gboolean counting; /* behind the login */
	gboolean doomed;   /* the byte that ends it has come */
	GString *from;	   /* NULL: no transaction */
	GPtrArray *to;
} Talk;

void
smtp_sink_init(SmtpSink *sink)
{
	*sink = (SmtpSink){0};
	g_mutex_init(&sink->lock);
	g_cond_init(&sink->changed);
	sink->heard = g_string_new(NULL);
	sink->deliveries = g_ptr_array_new_with_free_func(g_free);
	sink->ends = g_array_new(FALSE, FALSE, sizeof(gsize));
}

void
smtp_sink_clear(SmtpSink *sink)
{
	g_string_free(sink->heard, TRUE);
	g_ptr_array_unref(sink->deliveries);
	g_array_unref(sink->ends);
	g_cond_clear(&sink->changed);
	g_mutex_clear(&sink->lock);
}

guint
smtp_sink_count(SmtpSink *sink, const char *content)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sink->lock);
	guint count = 0;

	for (guint i = 0; i < sink->deliveries->len; i++) {
		const char *delivery = g_ptr_array_index(sink->deliveries, i);

		if (content == NULL || strcmp(strchr(delivery, '|') + 1, content) == 0)
			count++;
	}
	return count;
}

gboolean
smtp_sink_heard(SmtpSink *sink, const char *text)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sink->lock);

	return strstr(sink->heard->str, text) != NULL;
}

void
smtp_sink_wait(SmtpSink *sink, gsize bytes)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sink->lock);
	gint64 deadline = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;

	while (sink->taken < bytes && !sink->cut)
		if (!g_cond_wait_until(&sink->changed, &sink->lock, deadline))
			g_error("the sink has taken %zu of %zu bytes", sink->taken, bytes);
}

/* Its last byte counts as taken once the line is cut. */
static void
cut(Talk *talk)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&talk->sink->lock);

	if (talk->sink->reset)
		peer_reset(talk->line);
	else
		peer_cut(talk->line);
	talk->sink->cut = TRUE;
	talk->sink->taken++;
	g_cond_broadcast(&talk->sink->changed);
}

/* One byte; FALSE: the line is over. */
static gboolean
take_byte(Talk *talk, char *out)
{
	SmtpSink *sink = talk->sink;

	if (talk->doomed) { /* there was nothing to answer */
		cut(talk);
		return FALSE;
	}
	if (talk->read == NULL || talk->used == g_bytes_get_size(talk->read)) {
		g_clear_pointer(&talk->read, g_bytes_unref);
		talk->read = peer_read_some(talk->line);
		talk->used = 0;
	}
	if (g_bytes_get_size(talk->read) == 0)
		return FALSE;
	*out = ((const char *)g_bytes_get_data(talk->read, NULL))[talk->used++];
	g_mutex_lock(&sink->lock);
	g_string_append_c(sink->heard, *out);
	talk->doomed = talk->counting && peer_line_number(talk->line) == 1 &&
		       sink->taken + 1 == sink->cut_after;
	if (talk->counting && !talk->doomed) {
		sink->taken++;
		g_cond_broadcast(&sink->changed);
	}
	g_mutex_unlock(&sink->lock);
	if (talk->doomed && !(sink->late && *out == '\n'))
		cut(talk);
	return peer_line_alive(talk->line);
}

/* Without its end; NULL: the line is over. (transfer full) */
static char *
take_line(Talk *talk)
{
	g_autoptr(GString) text = g_string_new(NULL);
	char byte;

	while (take_byte(talk, &byte)) {
		gboolean after_cr = text->len > 0 && text->str[text->len - 1] == '\r';

		if (byte == '\n' && (after_cr || talk->sink->lenient)) {
			g_string_truncate(text, text->len - (after_cr ? 1 : 0));
			return g_strdup(text->str);
		}
		g_string_append_c(text, byte);
	}
	return NULL;
}

static void
act(Talk *talk, const char *action)
{
	if (strcmp(action, "!cut") == 0)
		peer_cut(talk->line);
	else if (strcmp(action, "!reset") == 0)
		peer_reset(talk->line);
	else
		peer_stall(talk->line);
}

static void
say(Talk *talk, const char *reply)
{
	const char *action = strchr(reply, '!');
	g_autofree char *text =
		action != NULL ? g_strndup(reply, (gsize)(action - reply)) : g_strdup(reply);

	if (talk->doomed) {
		cut(talk);
		return;
	}
	g_strchomp(text);
	if (*text != '\0')
		peer_send(talk->line, "%s", text);
	if (action != NULL)
		act(talk, action);
}

/* Says what @command is answered with. FALSE: with a refusal. */
static gboolean
answer(Talk *talk, const char *command, const char *usual)
{
	for (const SmtpAnswer *one = talk->sink->answers; one != NULL && one->command != NULL;
	     one++)
		if (g_pattern_match_simple(one->command, command)) {
			say(talk, one->reply);
			return *one->reply == '2' || *one->reply == '3';
		}
	say(talk, usual);
	return *usual == '2' || *usual == '3';
}

static void
forget(Talk *talk)
{
	if (talk->from != NULL)
		g_string_free(g_steal_pointer(&talk->from), TRUE);
	g_ptr_array_set_size(talk->to, 0);
}

static void
deliver(Talk *talk, const char *content, gsize end)
{
	g_autofree char *to = NULL;

	g_ptr_array_add(talk->to, NULL);
	to = g_strjoinv(",", (char **)talk->to->pdata);
	g_mutex_lock(&talk->sink->lock);
	g_ptr_array_add(talk->sink->deliveries,
			g_strdup_printf("%s>%s|%s", talk->from->str, to, content));
	g_array_append_val(talk->sink->ends, end);
	g_mutex_unlock(&talk->sink->lock);
}

/* Whether the answer will be a good one is seen before it is given: what is delivered is delivered
 * even if nobody hears of it. */
static void
end_transaction(Talk *talk, const char *command, const char *content, gsize end)
{
	gboolean refused = FALSE;

	for (const SmtpAnswer *one = talk->sink->answers; one != NULL && one->command != NULL;
	     one++)
		if (g_pattern_match_simple(one->command, command)) {
			refused = *one->reply == '4' || *one->reply == '5';
			break;
		}
	if (!refused)
		deliver(talk, content, end);
	forget(talk);
	answer(talk, command, "250 2.0.0 taken");
}

static void
take_data(Talk *talk)
{
	g_autoptr(GString) content = g_string_new(NULL);

	for (;;) {
		gsize start = talk->sink->taken;
		g_autofree char *text = take_line(talk);

		if (text == NULL)
			return;
		if (strcmp(text, ".") == 0) {
			end_transaction(talk, ".", content->str, start);
			return;
		}
		g_string_append_printf(content, "%s\r\n", *text == '.' ? text + 1 : text);
	}
}

static void
take_chunk(Talk *talk, const char *arguments)
{
	g_autoptr(GString) content = g_string_new(NULL);
	guint64 size = g_ascii_strtoull(arguments, NULL, 10);
	char byte;

	while (content->len < size && take_byte(talk, &byte))
		g_string_append_c(content, byte);
	if (content->len < size)
		return;
	if (talk->to->len == 0)
		say(talk, "503 5.5.1 nobody to send it to");
	else
		end_transaction(talk, "BDAT", content->str, talk->sink->taken - 1);
}

static void
say_hello(Talk *talk)
{
	g_auto(GStrv) words =
		g_strsplit(talk->sink->offers != NULL ? talk->sink->offers : "", ",", -1);

	peer_send(talk->line, "250-sink");
	for (gsize i = 0; words[i] != NULL; i++)
		if (*words[i] != '\0')
			peer_send(talk->line, "250-%s", words[i]);
	answer(talk, "EHLO", "250 AUTH PLAIN");
}

static void
take_mail(Talk *talk, const char *command)
{
	if (talk->from != NULL) {
		say(talk, "503 5.5.1 nested MAIL");
	} else if (answer(talk, command, "250 2.1.0 go on")) {
		const char *path = command + strlen("MAIL FROM:<");

		talk->from = g_string_new_len(path, (gssize)strcspn(path, ">"));
	}
}

static void
take_rcpt(Talk *talk, const char *command)
{
	if (talk->from == NULL) {
		say(talk, "503 5.5.1 MAIL first");
	} else if (answer(talk, command, "250 2.1.5 go on")) {
		const char *path = command + strlen("RCPT TO:<");

		g_ptr_array_add(talk->to, g_strndup(path, strcspn(path, ">")));
	}
}

static void
take_command(Talk *talk, const char *command)
{
	if (g_str_has_prefix(command, "EHLO")) {
		say_hello(talk);
	} else if (g_str_has_prefix(command, "AUTH PLAIN")) {
		answer(talk, "AUTH", "235 2.7.0 in");
	} else if (g_str_has_prefix(command, "MAIL FROM:<")) {
		take_mail(talk, command);
	} else if (g_str_has_prefix(command, "RCPT TO:<")) {
		take_rcpt(talk, command);
	} else if (strcmp(command, "DATA") == 0) {
		if (answer(talk, "DATA", talk->to->len > 0 ? "354 go on" : "503 5.5.1 RCPT first"))
			take_data(talk);
	} else if (g_str_has_prefix(command, "BDAT ") && g_str_has_suffix(command, " LAST")) {
		take_chunk(talk, command + 5);
	} else if (strcmp(command, "RSET") == 0) {
		forget(talk);
		answer(talk, "RSET", "250 2.0.0 forgotten");
	} else if (strcmp(command, "QUIT") == 0) {
		answer(talk, "QUIT", "221 2.0.0 bye");
		peer_close(talk->line);
	} else {
		say(talk, "500 5.5.2 what?");
	}
}

void
smtp_sink_serve(PeerLine *line, gpointer user)
{
	Talk talk = {.sink = user, .line = line, .to = g_ptr_array_new_with_free_func(g_free)};
	guint hellos = 0;

	if (answer(&talk, "connect", "220 sink ready"))
		while (peer_line_alive(line)) {
			g_autofree char *command = take_line(&talk);

			if (command == NULL)
				break;
			take_command(&talk, command);
			hellos += g_str_has_prefix(command, "EHLO") ? 1 : 0;
			talk.counting = hellos == 2;
		}
	forget(&talk);
	g_ptr_array_unref(talk.to);
	g_clear_pointer(&talk.read, g_bytes_unref);
}
