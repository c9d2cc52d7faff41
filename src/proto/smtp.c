/* SPDX-License-Identifier: MIT */
/* The line itself: commands out, replies in, and the clock. */
#include "proto/smtp-private.h"

#include <stdarg.h>
#include <string.h>

#include "base/util.h"

enum {
	SHOWN_TEXT = 300,
	MAX_MECHANISMS = 64,
};

/* RFC 5321 4.1.3. Which address this machine has, and what it is called, is nobody's business. */
#define OWN_NAME "[127.0.0.1]"

void
smtp_line_begin(SmtpLine *line, GCancellable *cancel)
{
	line->cancel = cancel;
	line->cancel_fd = g_cancellable_get_fd(cancel);
	line->grace_us = 0;
}

void
smtp_line_end(SmtpLine *line)
{
	if (line->cancel_fd >= 0)
		g_cancellable_release_fd(line->cancel);
	line->cancel = NULL;
	line->cancel_fd = -1;
}

/* Sending
 * -------------------------------------------------------------------------------------------------------
 */

void
smtp_line_send(SmtpLine *line, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	wire_send(line->wire, text, strlen(text));
	wire_send(line->wire, "\r\n", 2);
	util_wipe(text, strlen(text)); /* it may be a password */
}

/* Waiting
 * -------------------------------------------------------------------------------------------------------
 */

/* A wait that lasts as long as something moves. */
typedef struct {
	gint64 step_us, deadline;
	gsize unacknowledged;
	gboolean cancelled; /* known: the deadline is that of the grace */
} Patience;

static Patience
patience_new(const SmtpLine *line, guint timeout_ms)
{
	Patience patience = {.step_us = timeout_ms * G_TIME_SPAN_MILLISECOND,
			     .unacknowledged = wire_unacknowledged(line->wire)};

	patience.deadline = g_get_monotonic_time() + patience.step_us;
	return patience;
}

/* Sleeps until something happens on the line. FALSE: time is up, or cancelled. */
static gboolean
wait_a_little(SmtpLine *line, Patience *patience, GError **error)
{
	gint64 now = g_get_monotonic_time();
	gsize unacknowledged;

	if (!patience->cancelled && g_cancellable_is_cancelled(line->cancel)) {
		if (line->grace_us == 0)
			return !g_cancellable_set_error_if_cancelled(line->cancel, error);
		patience->cancelled = TRUE;
		patience->deadline = MIN(patience->deadline, now + line->grace_us);
	}
	if (now >= patience->deadline) {
		unacknowledged = wire_unacknowledged(line->wire);
		if (patience->cancelled || unacknowledged >= patience->unacknowledged) {
			g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
				    "%s has not answered for %" G_GINT64_FORMAT " seconds",
				    line->config->host,
				    (patience->step_us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC);
			return FALSE;
		}
		patience->unacknowledged = unacknowledged;
		patience->deadline = now + patience->step_us;
	}
	return wire_wait(line->wire, patience->cancelled ? -1 : line->cancel_fd, patience->deadline,
			 error);
}

/* A reply out of what is here. FALSE: error. */
static gboolean
parse(SmtpLine *line, SmtpReply **reply_out, GError **error)
{
	gsize len;
	const guint8 *data = wire_peek(line->wire, &len);
	gssize taken = smtp_parser_feed(line->parser, data, len, reply_out, error);

	if (taken < 0)
		return FALSE;
	wire_consume(line->wire, (gsize)taken);
	return TRUE;
}

SmtpReply *
smtp_line_receive(SmtpLine *line, guint timeout_ms, GError **error)
{
	Patience patience = patience_new(line, timeout_ms);

	for (;;) {
		SmtpReply *reply = NULL;
		gssize n;

		if (!parse(line, &reply, error))
			return NULL;
		if (reply != NULL)
			return reply;
		/* What the server said before it hung up is read first, so this tells all of a lost
		 * line. */
		if (!wire_flush(line->wire, error))
			return NULL;
		n = wire_fill(line->wire, error);
		if (n < 0 || (n == 0 && !wait_a_little(line, &patience, error)))
			return NULL;
	}
}

static gboolean
has_input(SmtpLine *line)
{
	gsize len;

	wire_peek(line->wire, &len);
	return len > 0;
}

gboolean
smtp_line_drain(SmtpLine *line, gsize left, guint timeout_ms, GError **error)
{
	Patience patience = patience_new(line, timeout_ms);

	for (;;) {
		if (!wire_flush(line->wire, error))
			return FALSE;
		if (wire_unsent(line->wire) <= left)
			return TRUE;
		if (wire_fill(line->wire, error) < 0 || has_input(line))
			return FALSE;
		if (!wait_a_little(line, &patience, error))
			return FALSE;
	}
}

gboolean
smtp_line_is_quiet(SmtpLine *line, SmtpReply **reply_out, GError **error)
{
	g_autoptr(SmtpReply) reply = NULL;
	gssize n = wire_fill(line->wire, error);

	if (n < 0 && !has_input(line))
		return FALSE;
	if (!has_input(line))
		return TRUE;
	if (n < 0)
		g_clear_error(error);
	if (!parse(line, &reply, error))
		return FALSE;
	if (reply != NULL && reply->code / 100 >= 4)
		smtp_line_set_refusal(line, reply,
				      reply->code == 421 ? MAILFS_ERROR_LIMIT
							 : MAILFS_ERROR_PROTOCOL,
				      "to go on", error);
	else
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
			    "%s gave an answer that nobody had asked for", line->config->host);
	if (reply_out != NULL)
		*reply_out = g_steal_pointer(&reply);
	return FALSE;
}

void
smtp_line_set_refusal(const SmtpLine *line, const SmtpReply *reply, MailfsError code,
		      const char *what, GError **error)
{
	gboolean shown = line->secured || line->config->tls == TLS_NONE;
	g_autofree char *text = util_printable(shown ? reply->text : "", -1, SHOWN_TEXT);
	gboolean enhanced = shown && reply->enhanced != NULL;

	g_set_error(error, MAILFS_ERROR, (int)code, "%s refused %s: %d%s%s%s%s", line->config->host,
		    what, reply->code, enhanced ? " " : "", enhanced ? reply->enhanced : "",
		    *text != '\0' ? " " : "", text);
}

/* EHLO
 * -------------------------------------------------------------------------------------------------------
 */

static void
take_mechanisms(SmtpLine *line, const char *words)
{
	g_auto(GStrv) list = g_strsplit(words, " ", -1);

	for (gsize i = 0; list[i] != NULL && line->mechanisms->len < MAX_MECHANISMS; i++)
		if (*list[i] != '\0')
			g_ptr_array_add(line->mechanisms, g_ascii_strup(list[i], -1));
}

/* RFC 9422: "LIMITS MAILMAX=… RCPTMAX=…". */
static void
take_limits(SmtpLine *line, const char *words)
{
	g_auto(GStrv) list = g_strsplit(words, " ", -1);
	guint64 number = 0;

	for (gsize i = 0; list[i] != NULL; i++)
		if (g_ascii_strncasecmp(list[i], "RCPTMAX=", 8) == 0 &&
		    g_ascii_string_to_unsigned(list[i] + 8, 10, 1, G_MAXUINT, &number, NULL))
			line->limits.recipients = (guint)number;
}

static void
take_keyword(SmtpLine *line, char *keyword)
{
	const struct {
		const char *word;
		gboolean *flag;
	} flags[] = {
		{"8BITMIME", &line->limits.eight_bit},
		{"SMTPUTF8", &line->limits.smtputf8},
		{"PIPELINING", &line->limits.pipelining},
		{"DSN", &line->limits.dsn},
		{"CHUNKING", &line->limits.chunking},
		{"ENHANCEDSTATUSCODES", &line->limits.enhanced_codes},
		{"STARTTLS", &line->starttls},
		{"SIZE", &line->takes_size},
	};
	gsize len = strcspn(keyword, " =");
	char *rest = keyword + len + (keyword[len] != '\0' ? 1 : 0);
	g_autofree char *word = g_strndup(keyword, len);

	for (gsize i = 0; i < G_N_ELEMENTS(flags); i++)
		if (g_ascii_strcasecmp(word, flags[i].word) == 0)
			*flags[i].flag = TRUE;
	if (g_ascii_strcasecmp(word, "AUTH") == 0) /* "AUTH=LOGIN" is older than RFC 2554 */
		take_mechanisms(line, rest);
	else if (g_ascii_strcasecmp(word, "LIMITS") == 0)
		take_limits(line, rest);
	else if (g_ascii_strcasecmp(word, "SIZE") == 0 &&
		 !g_ascii_string_to_unsigned(g_strstrip(rest), 10, 0, G_MAXUINT64,
					     &line->limits.size, NULL))
		line->limits.size = 0;
}

SmtpReply *
smtp_line_ehlo(SmtpLine *line, GError **error)
{
	g_autoptr(SmtpReply) reply = NULL;
	g_auto(GStrv) lines = NULL;

	if (!smtp_line_is_quiet(line, NULL, error))
		return NULL;
	smtp_line_send(line, "EHLO " OWN_NAME);
	reply = smtp_line_receive(line, line->config->timeout_ms, error);
	if (reply == NULL || reply->code / 100 != 2)
		return g_steal_pointer(&reply);
	line->limits = (SmtpLimits){0};
	line->starttls = line->takes_size = FALSE;
	g_ptr_array_set_size(line->mechanisms, 0);
	lines = g_strsplit(reply->text, "\n", -1);
	for (gsize i = 1; lines[0] != NULL && lines[i] != NULL; i++)
		take_keyword(line, lines[i]);
	return g_steal_pointer(&reply);
}

/* What is told of it
 * -------------------------------------------------------------------------------------------------------
 */

const SmtpLimits *
smtp_line_limits(const SmtpLine *line)
{
	return &line->limits;
}

const char *
smtp_line_mechanism(const SmtpLine *line)
{
	return line->mechanism;
}

const char *
smtp_line_describe(const SmtpLine *line)
{
	return tls_stream_describe(wire_stream(line->wire));
}

TlsStream *
smtp_line_stream(SmtpLine *line)
{
	return wire_stream(line->wire);
}

gboolean
smtp_line_is_alive(SmtpLine *line)
{
	g_autoptr(GError) error = NULL;

	if (!line->over && !smtp_line_is_quiet(line, NULL, &error)) {
		g_debug("smtp %s: %s", line->config->host, error->message);
		line->over = TRUE;
	}
	return !line->over;
}

/* The end
 * -------------------------------------------------------------------------------------------------------
 */

void
smtp_line_close(SmtpLine *line, guint timeout_ms)
{
	if (line != NULL && timeout_ms > 0 && smtp_line_is_alive(line)) {
		g_autoptr(GError) error = NULL;
		g_autoptr(SmtpReply) reply = NULL;

		smtp_line_send(line, "QUIT");
		reply = smtp_line_receive(line, timeout_ms, &error);
		if (reply == NULL)
			g_debug("smtp %s: QUIT: %s", line->config->host, error->message);
	}
	smtp_line_free(line);
}

void
smtp_line_free(SmtpLine *line)
{
	if (line == NULL)
		return;
	wire_free(line->wire);
	smtp_parser_free(line->parser);
	g_ptr_array_unref(line->mechanisms);
	g_free(line);
}
