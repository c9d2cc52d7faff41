/* SPDX-License-Identifier: MIT */
/* The line and time: IDLE after a short rest and renewed in time, NOOP where there is no IDLE, a
 * bound on every wait for an answer, and a sign of life asked for after the machine has slept. */
#include "proto/imap-private.h"

#include <string.h>

#define IDLE_AFTER   (200 * G_TIME_SPAN_MILLISECOND)
#define PRIME_FROM   1000		      /* messages: in a smaller mailbox it takes no time */
#define NOTIFY_AFTER (1 * G_TIME_SPAN_SECOND) /* of rest */
#define IDLE_RENEW   (5 * G_TIME_SPAN_MINUTE) /* NAT boxes forget a silent line after that */
#define NOOP_EVERY   (60 * G_TIME_SPAN_SECOND)
#define PROBE_TIME   (5 * G_TIME_SPAN_SECOND)

static gint64
timeout_of(const ImapBackend *self)
{
	return self->config->timeout_ms * G_TIME_SPAN_MILLISECOND;
}

static gboolean
can_idle(const ImapBackend *self)
{
	return !self->no_idle && imap_backend_can(self, "IDLE");
}

gboolean
imap_backend_pushes(const ImapBackend *self)
{
	return self->base.selected != NULL && !self->base.doubtful &&
	       (can_idle(self) || self->base.notify == BACKEND_NOTIFY_ON);
}

void
imap_backend_note_push(ImapBackend *self)
{
	self->base.tells = can_idle(self) || self->base.notify == BACKEND_NOTIFY_ON;
	self->base.told = self->base.told && imap_backend_pushes(self);
}

static gint64
submit_own(ImapBackend *self, const char *verb, gint64 now)
{
	ImapCommand *command = imap_command_new(self, verb);

	command->is_idle = strcmp(verb, "IDLE") == 0;
	/* Without arguments there is nothing that could be refused. */
	if (!imap_backend_submit(self, command, NULL))
		return -1;
	return now + timeout_of(self);
}

static void
end_idle(ImapBackend *self, gint64 now)
{
	wire_send(self->base.wire, "DONE\r\n", 6);
	self->idle = IMAP_IDLE_ENDING;
	self->waiting_since = now;
}

/* --- making the server look for its messages ---
 *
 * A server that keeps a mailbox as a folder of files looks at all their names when the first body
 * is asked for after a selection: Dovecot needs 15 us a message. It does that while the user looks
 * at the listing, for the price of one octet. */

static gboolean
wants_prime(const ImapBackend *self)
{
	return self->base.prime && !self->primed && self->base.selected != NULL &&
	       !self->base.doubtful && self->mailbox.count >= PRIME_FROM;
}

static gint64
begin_prime(ImapBackend *self, gint64 now)
{
	ImapCommand *command = imap_command_new(self, "FETCH");

	imap_writer_raw(command->writer, "1 (UID BODY.PEEK[]<0.1>)");
	command->is_prime = TRUE;
	self->primed = TRUE;
	self->base.under_way++;
	if (!imap_backend_submit(self, command, NULL))
		return -1;
	return now + timeout_of(self);
}

gboolean
imap_backend_is_priming(const ImapBackend *self, const ImapResponse *response)
{
	const ImapCommand *first = g_queue_peek_head((GQueue *)&self->commands);
	ImapItems items;

	return first != NULL && first->is_prime && imap_items_parse(response, &items, NULL) &&
	       items.n_parts > 0 && !items.has_flags;
}

/* A line that died while the machine slept would be noticed minutes later otherwise. */
static void
begin_probe(ImapBackend *self, gint64 now)
{
	self->base.probe = FALSE;
	self->probed_at = now;
	self->probe_until = now + MIN(PROBE_TIME, timeout_of(self));
	if (self->idle == IMAP_IDLE_ON)
		end_idle(self, now);
	else if (g_queue_is_empty(&self->commands))
		submit_own(self, "NOOP", now);
}

/* Dovecot hangs up on a line that has a mailbox selected which is no more, whatever it is doing. */
static void
leave_doubtful(ImapBackend *self, gint64 now)
{
	if (!self->base.doubtful || self->base.selected == NULL || self->base.under_way > 0 ||
	    self->examine != NULL || !imap_backend_can(self, "UNSELECT"))
		return;
	submit_own(self, "UNSELECT", now);
	imap_backend_unselect(self);
	self->base.doubtful = FALSE;
}

/* Commands are in flight: until when an answer must have come. */
static gint64
answer_due(ImapBackend *self)
{
	gint64 due = MAX(self->last_byte, self->waiting_since) + timeout_of(self);

	if (self->last_byte > self->probed_at)
		self->probe_until = 0;
	return self->probe_until != 0 ? MIN(due, self->probe_until) : due;
}

gint64
imap_backend_tick(Backend *base, gint64 now, GError **error)
{
	ImapBackend *self = (ImapBackend *)base;
	gboolean idles;
	gint64 due;

	if (wants_prime(self) && g_queue_is_empty(&self->commands)) {
		due = self->quiet_since + IDLE_AFTER;
		return now < due ? due : begin_prime(self, now);
	}
	/* A server that looks at all its mailboxes first does not hold up who has just come. */
	if (base->notify == BACKEND_NOTIFY_WANTED && g_queue_is_empty(&self->commands)) {
		due = self->quiet_since + NOTIFY_AFTER;
		if (now < due)
			return due;
		imap_notify_begin(self);
	}
	if (base->probe)
		begin_probe(self, now);
	leave_doubtful(self, now);
	idles = can_idle(self) && (base->selected != NULL || base->notify == BACKEND_NOTIFY_ON);
	if (imap_backend_pump(self))
		return now;
	if (self->broken != NULL) {
		g_propagate_error(error, g_error_copy(self->broken));
		return -1;
	}
	if (!g_queue_is_empty(&self->commands) && self->idle != IMAP_IDLE_ON) {
		due = answer_due(self);
		if (now < due)
			return due;
		if (imap_backend_uploads(self)) {
			self->waiting_since = now;
			self->probe_until = 0;
			return now + timeout_of(self);
		}
		if (self->probe_until != 0)
			g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
				    "%s does not answer since this machine has slept",
				    self->config->host);
		else
			g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
				    "%s has not answered for %u seconds", self->config->host,
				    (self->config->timeout_ms + 999) / 1000);
		return -1;
	}
	if (self->idle == IMAP_IDLE_ON) {
		due = self->idle_since + IDLE_RENEW;
		if (now < due && !wants_prime(self))
			return due;
		end_idle(self, now);
		return now + timeout_of(self);
	}
	due = self->quiet_since + (idles ? IDLE_AFTER : NOOP_EVERY);
	if (now < due)
		return due;
	return submit_own(self, idles ? "IDLE" : "NOOP", now);
}
