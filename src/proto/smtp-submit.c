/* SPDX-License-Identifier: MIT */
/* A message's way: its envelope (MAIL, RCPT …), its content but for the end, before(), the end, the
 * answer. Two messages can be under way at once: `current`, and `following`, whose envelope was
 * written behind the end of the current one.
 *
 * All recipients or none. With CHUNKING nothing more is said before all answers to the envelope are
 * known, and RSET takes a refused one back. Without it DATA is written with the envelope only where
 * there is one recipient: if that is refused, so is DATA, unless the server does not keep to the
 * rules. Once it wants the content of a message that must not be sent, nothing but hanging up is
 * left: a lone dot would deliver an empty one. */
#include "proto/smtp-private.h"

#include <string.h>

#include "proto/smtp-content.h"

enum {
	QUEUE = 256 * 1024, /* of content, at most, that the kernel has not taken */
	ANSWER_WAITS = 10,  /* times timeout_ms */
	END_WAITS = 20,
};

typedef struct {
	const SmtpMessage *message;
	SmtpContent content;
	guint recipients;
	gboolean wide;	    /* SMTPUTF8 is needed */
	gboolean written;   /* the envelope */
	gboolean reset;	    /* with RSET in front */
	gboolean accepting; /* the server waits for the content after DATA */
	SmtpReply *refusals;
} Flight;

typedef struct {
	SmtpLine *line;
	const SmtpEvents *events;
	gpointer user;
	Flight *current, *following;
	gboolean no_more; /* next() is not to be asked again */
	gboolean halted;  /* verdict() said so */
	guint64 end_at;	  /* of what was ever written, the octet behind current's end; 0: the end is
			     not written */
	gboolean doubtful; /* does the server know that the last transaction is over? */
} Run;

static void
flight_free(Flight *flight)
{
	if (flight == NULL)
		return;
	smtp_content_clear(&flight->content);
	smtp_reply_free(flight->refusals);
	g_free(flight);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Flight, flight_free)

/* What can be told before anything is sent
 * ----------------------------------------------------------------------------------------------------
 */

static gboolean
refuse(GError **error, MailfsError code, const char *text)
{
	g_set_error_literal(error, MAILFS_ERROR, (int)code, text);
	return FALSE;
}

static gboolean
check_dsn(const SmtpMessage *message, GError **error)
{
	gboolean good = (message->notify == NULL || smtp_is_notify(message->notify)) &&
			(message->return_what == NULL || smtp_is_return(message->return_what)) &&
			(message->envelope_id == NULL || smtp_is_envelope_id(message->envelope_id));

	return good || refuse(error, MAILFS_ERROR_INVALID,
			      "what is asked for in notifications is not of RFC 3461");
}

static gboolean
check_envelope(Flight *flight, const SmtpLimits *limits, GError **error)
{
	const SmtpMessage *message = flight->message;
	gboolean wide = FALSE;

	flight->wide = message->smtputf8;
	if (*message->sender != '\0' && !smtp_address_check(message->sender, &wide, error))
		return FALSE;
	flight->wide = flight->wide || wide;
	for (; message->recipients[flight->recipients] != NULL; flight->recipients++) {
		if (!smtp_address_check(message->recipients[flight->recipients], &wide, error))
			return FALSE;
		flight->wide = flight->wide || wide;
	}
	if (flight->recipients == 0)
		return refuse(error, MAILFS_ERROR_INVALID, "the message has no recipient");
	if (limits->recipients > 0 && flight->recipients > limits->recipients) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TOO_BIG,
			    "the message is for %u recipients, and the server takes %u at most",
			    flight->recipients, limits->recipients);
		return FALSE;
	}
	return check_dsn(message, error);
}

static gboolean
check_message(Flight *flight, const SmtpLimits *limits, GError **error)
{
	if (!check_envelope(flight, limits, error))
		return FALSE;
	if (limits->size > 0 && flight->message->size > limits->size) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TOO_BIG,
			    "the message has %" G_GUINT64_FORMAT " bytes, and the server takes "
			    "%" G_GUINT64_FORMAT " at most",
			    flight->message->size, limits->size);
		return FALSE;
	}
	if (!smtp_content_check(&flight->content, error))
		return FALSE;
	if (flight->wide && !limits->smtputf8)
		return refuse(error, MAILFS_ERROR_UNSUPPORTED,
			      "an address or header is not ASCII, and the server does not offer "
			      "SMTPUTF8");
	if (flight->content.eight_bit && !limits->eight_bit)
		return refuse(error, MAILFS_ERROR_UNSUPPORTED,
			      "the message holds 8-bit text, and the server does not offer "
			      "8BITMIME");
	return TRUE;
}

/* Telling
 * -------------------------------------------------------------------------------------------------------
 */

static void
tell(Run *run, const SmtpMessage *message, SmtpVerdict verdict, const SmtpReply *reply,
     const GError *why)
{
	if (!run->events->verdict(run->user, message, verdict, reply, why))
		run->halted = run->no_more = TRUE;
}

static void
end_flight(Run *run, Flight **flight, SmtpVerdict verdict, const SmtpReply *reply,
	   const GError *why)
{
	g_autoptr(Flight) ended = g_steal_pointer(flight);

	if (ended != NULL)
		tell(run, ended->message, verdict, reply, why);
}

static void
end_refused(Run *run, Flight **flight)
{
	const SmtpReply *reply = (*flight)->refusals;

	end_flight(run, flight, reply->code / 100 == 5 ? SMTP_REFUSED : SMTP_LATER, reply, NULL);
}

/* The next message that can be sent; NULL: there is none. */
static Flight *
take_next(Run *run)
{
	while (!run->no_more) {
		const SmtpMessage *message = run->events->next(run->user);
		g_autoptr(Flight) flight = g_new0(Flight, 1);
		g_autoptr(GError) why = NULL;

		if (message == NULL) {
			run->no_more = TRUE;
			break;
		}
		flight->message = message;
		smtp_content_init(&flight->content, message->fd, message->size);
		if (check_message(flight, &run->line->limits, &why))
			return g_steal_pointer(&flight);
		tell(run, message, SMTP_UNSENDABLE, NULL, why);
	}
	return NULL;
}

/* The envelope: step 0 is MAIL, 1 to n are RCPT, n + 1 is DATA
 * ----------------------------------------------------------------------------------------------------
 */

static void
send_mail(SmtpLine *line, const Flight *flight)
{
	const SmtpMessage *message = flight->message;
	g_autoptr(GString) text = g_string_new(NULL);

	g_string_printf(text, "MAIL FROM:<%s>", message->sender);
	if (line->takes_size)
		g_string_append_printf(text, " SIZE=%" G_GUINT64_FORMAT, message->size);
	if (flight->content.eight_bit)
		g_string_append(text, " BODY=8BITMIME");
	if (flight->wide)
		g_string_append(text, " SMTPUTF8");
	if (line->limits.dsn && message->return_what != NULL)
		g_string_append_printf(text, " RET=%s", message->return_what);
	if (line->limits.dsn && message->envelope_id != NULL) {
		g_string_append(text, " ENVID=");
		for (const char *p = message->envelope_id; *p != '\0'; p++)
			if (*p == '+' || *p == '=') /* xtext: RFC 3461 4 */
				g_string_append_printf(text, "+%02X", (guint)(guchar)*p);
			else
				g_string_append_c(text, *p);
	}
	smtp_line_send(line, "%s", text->str);
}

static void
send_step(SmtpLine *line, const Flight *flight, guint step)
{
	const SmtpMessage *message = flight->message;
	gboolean notify = line->limits.dsn && message->notify != NULL;

	if (step == 0)
		send_mail(line, flight);
	else if (step <= flight->recipients)
		smtp_line_send(line, "RCPT TO:<%s>%s%s", message->recipients[step - 1],
			       notify ? " NOTIFY=" : "", notify ? message->notify : "");
	else
		smtp_line_send(line, "DATA");
}

/* Without CHUNKING the last step is DATA. */
static guint
last_step(const SmtpLine *line, const Flight *flight)
{
	return flight->recipients + (line->limits.chunking ? 0 : 1);
}

/* How many steps go out together. */
static guint
together(const SmtpLine *line, const Flight *flight)
{
	return flight->recipients == 1 ? last_step(line, flight) : flight->recipients;
}

/* With PIPELINING alone. */
static void
write_envelope(Run *run, Flight *flight)
{
	flight->written = TRUE;
	flight->reset = run->line->open_transaction;
	if (flight->reset)
		smtp_line_send(run->line, "RSET");
	for (guint step = 0; step <= together(run->line, flight); step++)
		send_step(run->line, flight, step);
}

/* The first that decides comes first: a 5xx does before a 4xx. */
static void
add_refusal(Flight *flight, SmtpReply *reply)
{
	SmtpReply **at = &flight->refusals;

	if (*at == NULL || (reply->code / 100 == 5 && (*at)->code / 100 != 5)) {
		reply->next = *at;
		*at = reply;
		return;
	}
	while (*at != NULL)
		at = &(*at)->next;
	*at = reply;
}

static gboolean
out_of_place(SmtpLine *line, const SmtpReply *reply, GError **error)
{
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
		    "%s gave an answer that is none to the question: %d", line->config->host,
		    reply->code);
	return FALSE;
}

/* Does 421 end the session? TRUE: yes, and @error says so. */
static gboolean
says_goodbye(const SmtpLine *line, const SmtpReply *reply, GError **error)
{
	if (reply->code == 421)
		smtp_line_set_refusal(line, reply, MAILFS_ERROR_LIMIT, "to go on", error);
	return reply->code == 421;
}

/* Takes ownership of @reply. */
static gboolean
take_answer(Run *run, Flight *flight, guint step, SmtpReply *answer, GError **error)
{
	SmtpLine *line = run->line;
	g_autoptr(SmtpReply) reply = answer;
	gboolean is_data = step > flight->recipients;
	gboolean consequence =
		flight->refusals != NULL && (is_data || flight->refusals->stage == SMTP_STAGE_MAIL);
	gboolean goodbye = says_goodbye(line, reply, error);

	reply->stage = step == 0 ? SMTP_STAGE_MAIL : is_data ? SMTP_STAGE_DATA : SMTP_STAGE_RCPT;
	if (reply->code / 100 < 4) {
		if (reply->code / 100 != (is_data ? 3 : 2))
			return out_of_place(line, reply, error);
		if (is_data)
			flight->accepting = TRUE;
		else
			line->open_transaction = TRUE;
		return TRUE;
	}
	if (reply->stage == SMTP_STAGE_RCPT)
		reply->recipient = g_strdup(flight->message->recipients[step - 1]);
	if (!consequence)
		add_refusal(flight, g_steal_pointer(&reply));
	return !goodbye;
}

static SmtpReply *
receive_answer(SmtpLine *line, GError **error)
{
	return smtp_line_receive(line, ANSWER_WAITS * line->config->timeout_ms, error);
}

static gboolean
take_reset(SmtpLine *line, GError **error)
{
	g_autoptr(SmtpReply) reply = receive_answer(line, error);

	if (reply == NULL || says_goodbye(line, reply, error))
		return FALSE;
	line->open_transaction = FALSE;
	return reply->code / 100 == 2 || out_of_place(line, reply, error);
}

/* One step after the other, each with its answer. */
static gboolean
ask(Run *run, Flight *flight, guint step, GError **error)
{
	SmtpLine *line = run->line;
	SmtpReply *reply;

	if (!smtp_line_is_quiet(line, NULL, error))
		return FALSE;
	send_step(line, flight, step);
	reply = receive_answer(line, error);
	return reply != NULL && take_answer(run, flight, step, reply, error);
}

static gboolean
read_envelope(Run *run, Flight *flight, GError **error)
{
	SmtpLine *line = run->line;
	guint step = 0;

	if (line->limits.pipelining && !flight->written)
		write_envelope(run, flight);
	if (!flight->written && line->open_transaction) {
		smtp_line_send(line, "RSET");
		flight->reset = TRUE;
	}
	if (flight->reset && !take_reset(line, error))
		return FALSE;
	for (; flight->written && step <= together(line, flight); step++) {
		SmtpReply *reply = receive_answer(line, error);

		if (reply == NULL || !take_answer(run, flight, step, reply, error))
			return FALSE;
	}
	for (; step <= last_step(line, flight); step++) {
		gboolean in_vain =
			flight->refusals != NULL &&
			(step > flight->recipients || flight->refusals->stage == SMTP_STAGE_MAIL);

		if (!in_vain && !ask(run, flight, step, error))
			return FALSE;
	}
	return TRUE;
}

/* MAIL within a transaction, says the server, and the one before was refused at its end: some
 * servers want RSET then. */
static gboolean
needs_reset(const Run *run, const Flight *flight)
{
	return run->doubtful && flight->refusals != NULL && !flight->accepting &&
	       flight->refusals->stage == SMTP_STAGE_MAIL && flight->refusals->code == 503;
}

static gboolean
converse(Run *run, Flight *flight, GError **error)
{
	gboolean ok = read_envelope(run, flight, error);

	if (ok && needs_reset(run, flight)) {
		g_clear_pointer(&flight->refusals, smtp_reply_free);
		flight->written = FALSE;
		run->line->open_transaction = TRUE;
		ok = read_envelope(run, flight, error);
	}
	run->doubtful = FALSE;
	return ok;
}

/* The content
 * -------------------------------------------------------------------------------------------------------
 */

static void
sink(gpointer user, const void *data, gsize len)
{
	SmtpLine *line = user;

	wire_send(line->wire, data, len);
}

/* What stands between the content that is written and its delivery. */
static const char *
end_of_content(const SmtpLine *line)
{
	return line->limits.chunking ? "\n" : ".\r\n";
}

/* FALSE: something came, or the line is gone, before the end was written: so nothing is delivered.
 */
static gboolean
still_quiet(Run *run, GError **error)
{
	g_autoptr(SmtpReply) reply = NULL;

	if (smtp_line_is_quiet(run->line, &reply, error))
		return TRUE;
	if (reply != NULL && reply->code / 100 >= 4) {
		reply->stage = SMTP_STAGE_END;
		add_refusal(run->current, g_steal_pointer(&reply));
	}
	return FALSE;
}

/* Lets some of what is queued go. */
static gboolean
push(Run *run, GError **error)
{
	const BackendConfig *config = run->line->config;
	gboolean drained = smtp_line_drain(run->line, QUEUE, config->timeout_ms, error);

	return (drained || *error == NULL) && still_quiet(run, error);
}

/* All but the end. The message's own fault is @unfit, the line's is @error. */
static gboolean
send_content(Run *run, Flight *flight, GError **unfit, GError **error)
{
	SmtpLine *line = run->line;
	SmtpContent *content = &flight->content;
	g_autofree guint8 *buffer = content->kept == NULL ? g_malloc(SMTP_CONTENT_PIECE) : NULL;

	if (line->limits.chunking)
		smtp_line_send(line, "BDAT %" G_GUINT64_FORMAT " LAST", content->size);
	for (;;) {
		guint8 last = content->last;
		const guint8 *data;
		gssize n = smtp_content_read(content, buffer, &data, unfit);

		if (n < 0)
			return FALSE;
		if (n == 0)
			break;
		if (!line->limits.chunking)
			smtp_stuff_dots(data, (gsize)n, last, sink, line);
		else
			wire_send(line->wire, data,
				  (gsize)n - (content->offset == content->size ? 1 : 0));
		if (!push(run, error))
			return FALSE;
	}
	return TRUE;
}

/* The end
 * -------------------------------------------------------------------------------------------------------
 */

/* The envelope of the following one is on its way, and it is not to be sent any more. */
static void
withdraw(Run *run)
{
	g_autoptr(GError) why = NULL;

	if (run->following == NULL)
		return;
	if (run->following->written && !converse(run, run->following, &why))
		run->line->over = TRUE;
	if (run->following->accepting)
		run->line->over = TRUE;
	end_flight(run, &run->following, SMTP_UNTOUCHED, NULL, why);
}

static gboolean
take_end(Run *run, SmtpReply *reply, GError **error)
{
	SmtpLine *line = run->line;
	SmtpVerdict verdict = SMTP_SENT;
	gboolean goodbye;

	if (reply->code / 100 == 3)
		return out_of_place(line, reply, error);
	line->open_transaction = FALSE;
	run->end_at = 0;
	reply->stage = SMTP_STAGE_END;
	if (reply->code / 100 >= 4) {
		verdict = reply->code / 100 == 5 ? SMTP_REFUSED : SMTP_LATER;
		run->doubtful = TRUE;
	}
	goodbye = says_goodbye(line, reply, error);
	end_flight(run, &run->current, verdict, reply, NULL);
	if (run->halted && !goodbye)
		withdraw(run);
	return !goodbye;
}

static gboolean
send_end(Run *run, GError **error)
{
	SmtpLine *line = run->line;
	const char *end = end_of_content(line);
	g_autoptr(SmtpReply) reply = NULL;

	if (line->limits.pipelining)
		run->following = take_next(run);
	if (!still_quiet(run, error))
		return FALSE;
	if (!run->events->before(run->user, run->current->message)) {
		line->over = TRUE;
		end_flight(run, &run->current, SMTP_UNTOUCHED, NULL, NULL);
		return TRUE;
	}
	/* That may have taken a while. */
	if (!still_quiet(run, error))
		return FALSE;
	run->end_at = wire_counters(line->wire).bytes_out + wire_unsent(line->wire) + strlen(end);
	wire_send(line->wire, end, strlen(end));
	line->open_transaction = FALSE;
	if (run->following != NULL)
		write_envelope(run, run->following);
	line->grace_us = line->config->timeout_ms * G_TIME_SPAN_MILLISECOND;
	reply = smtp_line_receive(line, END_WAITS * line->config->timeout_ms, error);
	line->grace_us = 0;
	return reply != NULL && take_end(run, reply, error);
}

static gboolean
submit_one(Run *run, GError **error)
{
	Flight *flight = run->current;
	g_autoptr(GError) unfit = NULL;

	if (g_cancellable_set_error_if_cancelled(run->line->cancel, error) ||
	    !converse(run, flight, error))
		return FALSE;
	if (flight->refusals != NULL) {
		run->line->over = flight->accepting;
		end_refused(run, &run->current);
		return TRUE;
	}
	if (!send_content(run, flight, &unfit, error)) {
		if (unfit == NULL)
			return FALSE;
		run->line->over = TRUE;
		end_flight(run, &run->current, SMTP_UNSENDABLE, NULL, unfit);
		return TRUE;
	}
	return send_end(run, error);
}

/* The line is lost. What does that mean for those who were on it? */
static void
end_all(Run *run, const GError *why)
{
	gboolean written =
		run->end_at > 0 && wire_counters(run->line->wire).bytes_out >= run->end_at;

	run->line->over = TRUE;
	if (run->current != NULL && run->current->refusals != NULL)
		end_refused(run, &run->current);
	end_flight(run, &run->current, written ? SMTP_UNKNOWN : SMTP_UNTOUCHED, NULL, why);
	end_flight(run, &run->following, SMTP_UNTOUCHED, NULL, why);
}

static gboolean
submit_all(Run *run, GError **error)
{
	SmtpLine *line = run->line;

	if (line->over)
		return refuse(error, MAILFS_ERROR_OFFLINE, "this session is over");
	if (!smtp_line_is_quiet(line, NULL, error)) {
		line->over = TRUE;
		return FALSE;
	}
	run->current = take_next(run);
	while (run->current != NULL) {
		g_autoptr(GError) lost = NULL;

		if (!submit_one(run, &lost)) {
			end_all(run, lost);
			g_propagate_error(error, g_steal_pointer(&lost));
			return FALSE;
		}
		if (line->over) {
			end_flight(run, &run->following, SMTP_UNTOUCHED, NULL, NULL);
			break;
		}
		run->current =
			run->following != NULL ? g_steal_pointer(&run->following) : take_next(run);
	}
	return TRUE;
}

gboolean
smtp_line_submit(SmtpLine *line, const SmtpEvents *events, gpointer user, GCancellable *cancel,
		 GError **error)
{
	Run run = {.line = line, .events = events, .user = user};
	gboolean ok;

	smtp_line_begin(line, cancel);
	ok = submit_all(&run, error);
	smtp_line_end(line);
	return ok;
}
