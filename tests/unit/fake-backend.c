/* SPDX-License-Identifier: MIT */
/* A request is answered in order on its line. When its turn comes, the whole answer is drawn up as
 * a list of events, from one moment of the server; then the events are told one by one, so that a
 * cut, a stall or a delay can fall between any two of them. The session's thread does all of it,
 * inside receive(). */
#include "fake-private.h"

#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

#define EVENTS_A_TURN 512

/* --- telling it, with no lock held --- */

static void
tell_body(FakeBackend *self, const Request *request, const Event *event)
{
	const RequestEvents *events = request->events;
	g_autoptr(GError) error = NULL;
	gsize len = 0;
	const guint8 *data = event->bytes != NULL ? g_bytes_get_data(event->bytes, &len) : NULL;

	gboolean part = request->kind == REQUEST_PART;

	if (event->kind == EVENT_BODY_OPEN) {
		self->body_wanted =
			part ? events->part_open(request->user, event->info.uid, event->info.size,
						 &error)
			     : events->body_open(request->user, event->info.size, &error);
		return;
	}
	if (event->kind == EVENT_BODY_DATA) {
		if (self->body_wanted)
			self->body_wanted = (part ? events->part_data : events->body_data)(
				request->user, data, len, &error);
		return;
	}
	if (event->kind == EVENT_BODY_SHORT)
		g_set_error_literal(&error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
				    "the body is short");
	else if (!self->body_wanted)
		g_set_error_literal(&error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "not wanted");
	(part ? events->part_done : events->body_done)(request->user, event->info.uid, error);
}

static void
tell_listing(const Request *request, const Event *event, const MailboxState *state)
{
	MessageInfo info = event->info;

	switch (event->kind) {
	case EVENT_SELECTED:
		request->events->selected(request->user, state);
		break;
	case EVENT_MESSAGE:
		info.keywords = event->text;
		if (event->bytes != NULL)
			info.header = g_bytes_get_data(event->bytes, &info.header_len);
		request->events->message(request->user, &info);
		break;
	case EVENT_FLAGS:
		request->events->flags(request->user, info.uid, info.flags, event->text);
		break;
	case EVENT_VANISHED:
		request->events->vanished(request->user, event->uids);
		break;
	case EVENT_PRESENT:
		request->events->present(request->user, event->uids);
		break;
	case EVENT_BATCH:
		request->events->batch(request->user);
		break;
	case EVENT_BODY_OPEN:
	case EVENT_BODY_DATA:
	case EVENT_BODY_DONE:
	case EVENT_BODY_SHORT:
	case EVENT_PROBED:
	case EVENT_CUT:
	case EVENT_HEADER:
	case EVENT_QUOTA:
	case EVENT_MAILBOX:
	case EVENT_STORED:
	case EVENT_COPIED:
	case EVENT_MARKED:
	case EVENT_APPENDED:
		g_assert_not_reached();
	}
}

static void
tell(FakeBackend *self, const Request *request, const Event *event)
{
	MailboxInfo mailbox = event->mailbox;
	const char *header;
	gsize len = 0;

	switch (event->kind) {
	case EVENT_BODY_OPEN:
	case EVENT_BODY_DATA:
	case EVENT_BODY_DONE:
	case EVENT_BODY_SHORT:
		tell_body(self, request, event);
		break;
	case EVENT_HEADER:
		header = g_bytes_get_data(event->bytes, &len);
		request->events->header(request->user, event->info.uid, header, len);
		break;
	case EVENT_QUOTA:
		request->events->quota(request->user, event->used, event->limit);
		break;
	case EVENT_MAILBOX:
		mailbox.name = event->text;
		mailbox.prefix = event->prefix;
		request->events->mailbox(request->user, &mailbox);
		break;
	case EVENT_PROBED:
		request->events->probed(request->user, event->used);
		break;
	case EVENT_STORED:
		request->events->stored(request->user, event->uids);
		break;
	case EVENT_COPIED:
		request->events->copied(request->user, event->uids, event->uidvalidity,
					event->others);
		break;
	case EVENT_MARKED:
		request->events->marked(request->user, event->uids);
		break;
	case EVENT_APPENDED:
		request->events->appended(request->user, event->index, event->uidvalidity,
					  event->info.uid, NULL);
		break;
	case EVENT_CUT:
		break;
	case EVENT_SELECTED:
	case EVENT_MESSAGE:
	case EVENT_FLAGS:
	case EVENT_VANISHED:
	case EVENT_PRESENT:
	case EVENT_BATCH:
		tell_listing(request, event, &self->answer->state);
		break;
	}
}

/* --- the slots --- */

/* FALSE: refused, or cancelled. */
static gboolean
may_log_in(FakeBackend *self, GCancellable *cancel, GError **error)
{
	FakeServer *server = self->server;
	FakeKnobs knobs;
	guint lines;

	g_mutex_lock(&server->lock);
	server->counts.logins++;
	knobs = server->knobs;
	lines = server->lines->len;
	g_mutex_unlock(&server->lock);
	for (guint waited = 0; waited < knobs.login_delay_ms; waited += 5) {
		if (g_cancellable_set_error_if_cancelled(cancel, error))
			return FALSE;
		g_usleep(5000);
	}
	if (knobs.login_code >= 0) {
		g_set_error_literal(error, MAILFS_ERROR, knobs.login_code,
				    "the login failed as it was told to");
		return FALSE;
	}
	if (knobs.max_lines > 0 && lines >= knobs.max_lines) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT,
				    "too many connections");
		return FALSE;
	}
	return TRUE;
}

static gboolean
fake_login(Backend *base, GCancellable *cancel, GError **error)
{
	FakeBackend *self = (FakeBackend *)base;
	FakeServer *server = self->server;
	TlsStream *stream;
	int peer_fd = -1;

	if (!may_log_in(self, cancel, error))
		return FALSE;
	g_mutex_lock(&server->login_lock);
	stream = tls_stream_connect(server->config.host, server->config.port, 5000, cancel, error);
	if (stream != NULL)
		peer_fd = accept4(server->listening, NULL, NULL, SOCK_CLOEXEC);
	g_mutex_unlock(&server->login_lock);
	if (stream == NULL)
		return FALSE;
	g_assert_cmpint(peer_fd, >=, 0);
	base->wire = wire_new(stream);
	g_ptr_array_add(base->capabilities, g_strdup("FAKE1"));
	g_ptr_array_add(base->capabilities, g_strdup("IDLE"));
	g_mutex_lock(&server->lock);
	self->peer_fd = peer_fd;
	g_ptr_array_add(server->lines, self);
	server->counts.most_lines = MAX(server->counts.most_lines, server->lines->len);
	base->tells = server->knobs.idle;
	base->notify = server->knobs.notify ? BACKEND_NOTIFY_OFF : BACKEND_NOTIFY_REFUSED;
	if (server->knobs.drop_at_login)
		shutdown(peer_fd, SHUT_RDWR);
	g_mutex_unlock(&server->lock);
	return TRUE;
}

static gboolean
fake_can_start(const Backend *base, const Request *request)
{
	const FakeBackend *self = (const FakeBackend *)base;
	guint window;

	g_mutex_lock(&self->server->lock);
	window = self->server->knobs.window;
	g_mutex_unlock(&self->server->lock);
	if (base->under_way >= window)
		return FALSE;
	if (request->kind == REQUEST_LIST || request->kind == REQUEST_QUOTA ||
	    request->kind == REQUEST_STATUS)
		return TRUE;
	/* As if each change had the mailbox selected anew. */
	if (g_strcmp0(base->selected, request->mailbox) != 0 || request_kind_changes(request->kind))
		return base->under_way == 0;
	for (const GList *link = self->requests.head; link != NULL; link = link->next)
		if (request->kind == REQUEST_SYNC &&
		    ((const Request *)link->data)->kind == REQUEST_SYNC)
			return FALSE;
	return TRUE;
}

static void
fake_start(Backend *base, Request *request)
{
	FakeBackend *self = (FakeBackend *)base;
	FakeServer *server = self->server;

	g_assert_true(fake_can_start(base, request));
	g_mutex_lock(&server->lock);
	server->counts.requests[request->kind]++;
	server->counts.changed += request_kind_changes(request->kind) && request->uids != NULL
					  ? uidset_count(request->uids)
					  : 0;
	if (request_kind_selects(request->kind) &&
	    (g_strcmp0(base->selected, request->mailbox) != 0 || base->doubtful)) {
		g_free(base->selected);
		base->selected = g_strdup(request->mailbox);
		base->told = base->doubtful = FALSE;
		server->counts.selects++;
	}
	g_mutex_unlock(&server->lock);
	if (base->under_way++ == 0)
		self->progress_at = g_get_monotonic_time();
	g_queue_push_tail(&self->requests, request);
}

/* Counts the event; TRUE: the line is cut before it. */
static gboolean
count_event(FakeBackend *self, const Event *event)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->server->lock);
	FakeKnobs *knobs = &self->server->knobs;
	FakeCounts *counts = &self->server->counts;

	if (event->kind == EVENT_CUT)
		return TRUE;
	if (knobs->drop_after == 0) {
		knobs->drop_after = -1;
		return TRUE;
	}
	if (knobs->drop_after > 0)
		knobs->drop_after--;
	counts->bodies += event->kind == EVENT_BODY_DONE;
	if (event->kind == EVENT_BODY_DATA)
		counts->octets += g_bytes_get_size(event->bytes);
	counts->messages += event->kind == EVENT_MESSAGE;
	counts->flags += event->kind == EVENT_FLAGS;
	return FALSE;
}

static void
tell_status(FakeBackend *self, const char *mailbox, const char *name)
{
	MailboxStatus status;

	g_mutex_lock(&self->server->lock);
	fake_status(self->server, mailbox, &status);
	g_mutex_unlock(&self->server->lock);
	if (self->news->status != NULL)
		self->news->status(self->user, name, &status);
}

static void
tell_statuses(FakeBackend *self, const Request *request)
{
	for (guint i = 0; request->mailboxes[i] != NULL; i++) {
		g_mutex_lock(&self->server->lock);
		self->server->counts.statuses++;
		g_mutex_unlock(&self->server->lock);
		tell_status(self, request->mailboxes[i], request->mailboxes[i]);
	}
}

/* One event, or the end of a request. FALSE: the line is cut. */
static gboolean
fake_step(FakeBackend *self)
{
	Request *request = g_queue_peek_head(&self->requests);
	Event *event;
	gboolean cut;

	if (self->answer == NULL) {
		g_mutex_lock(&self->server->lock);
		self->answer = fake_answer_new(self->server, request);
		g_mutex_unlock(&self->server->lock);
	}
	self->progress_at = g_get_monotonic_time();
	event = g_queue_pop_head(&self->answer->events);
	if (event == NULL) {
		Answer *answer = g_steal_pointer(&self->answer);
		gboolean with_state = request->kind == REQUEST_SYNC && answer->error == NULL;

		g_queue_pop_head(&self->requests);
		self->base.under_way--;
		if (request->kind == REQUEST_SYNC && answer->error == NULL)
			self->base.told = self->base.tells;
		if (request->kind == REQUEST_STATUS)
			tell_statuses(self, request);
		request_finish(request, with_state ? &answer->state : NULL, answer->error);
		fake_answer_free(answer);
		return TRUE;
	}
	cut = count_event(self, event);
	if (!cut)
		tell(self, request, event);
	fake_event_free(event);
	return !cut;
}

static void
tell_news(FakeBackend *self)
{
	FakeServer *server = self->server;
	g_autoptr(GPtrArray) noticed = NULL;
	const char *alert = NULL, *told_name;
	gboolean changed, folders;

	g_mutex_lock(&server->lock);
	noticed = g_steal_pointer(&self->noticed);
	self->noticed = g_ptr_array_new_with_free_func(g_free);
	folders = self->folders;
	self->folders = FALSE;
	told_name = server->knobs.told_name;
	changed = self->changed;
	if (self->alerted)
		alert = server->alert;
	self->changed = self->alerted = FALSE;
	g_mutex_unlock(&server->lock);
	if (changed)
		self->news->changed(self->user, self->base.selected);
	for (guint i = 0; i < noticed->len; i++)
		tell_status(self, noticed->pdata[i],
			    told_name != NULL ? told_name : noticed->pdata[i]);
	if (folders)
		self->news->folders(self->user);
	if (alert != NULL)
		self->news->alert(self->user, alert);
}

static gboolean
is_held(const FakeBackend *self, const FakeKnobs *knobs)
{
	const Request *request = g_queue_peek_head((GQueue *)&self->requests);

	return knobs->hold_folders && self->answer != NULL &&
	       (request->kind == REQUEST_CREATE || request->kind == REQUEST_DELETE ||
		request->kind == REQUEST_RENAME);
}

static gboolean
fake_receive(Backend *base, GError **error)
{
	FakeBackend *self = (FakeBackend *)base;
	gssize n;

	while ((n = wire_fill(base->wire, error)) > 0) {
		gsize len;

		wire_peek(base->wire, &len);
		wire_consume(base->wire, len);
	}
	if (n < 0)
		return FALSE;
	tell_news(self);
	for (guint i = 0; i < EVENTS_A_TURN && self->requests.length > 0; i++) {
		FakeKnobs knobs = *fake_server_lock(self->server);

		g_mutex_unlock(&self->server->lock);
		if (knobs.stall || knobs.mute || is_held(self, &knobs) ||
		    g_get_monotonic_time() < self->next_at)
			break;
		self->next_at = knobs.delay_us > 0 ? g_get_monotonic_time() + knobs.delay_us : 0;
		if (!fake_step(self)) {
			g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
					    "the line was cut");
			return FALSE;
		}
	}
	return TRUE;
}

static gint64
fake_tick(Backend *base, gint64 now, GError **error)
{
	FakeBackend *self = (FakeBackend *)base;
	FakeServer *server = self->server;
	gint64 dead_at = self->progress_at + server->config.timeout_ms * G_TIME_SPAN_MILLISECOND;
	FakeKnobs knobs = *fake_server_lock(server);

	if (base->probe)
		server->counts.probes++;
	g_mutex_unlock(&server->lock);
	if (base->probe && knobs.deaf) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT, "no sign of life");
		return -1;
	}
	base->probe = FALSE;
	if (base->notify == BACKEND_NOTIFY_WANTED) {
		base->notify = BACKEND_NOTIFY_ON;
		base->tells = TRUE;
		return now;
	}
	if (base->under_way == 0 || knobs.mute || is_held(self, &knobs))
		return now + 600 * G_USEC_PER_SEC;
	if (!knobs.stall)
		return MAX(now, self->next_at);
	if (now < dead_at)
		return dead_at;
	g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT, "nothing came");
	return -1;
}

static void
fake_logout(Backend *base, guint timeout_ms)
{
	FakeBackend *self = (FakeBackend *)base;

	g_mutex_lock(&self->server->lock);
	self->server->counts.logouts++;
	g_mutex_unlock(&self->server->lock);
}

static void
fake_free(Backend *base, const GError *error)
{
	FakeBackend *self = (FakeBackend *)base;
	Request *request;

	g_assert_nonnull(error);
	g_mutex_lock(&self->server->lock);
	g_ptr_array_remove(self->server->lines, self);
	util_close_fd(&self->peer_fd);
	g_mutex_unlock(&self->server->lock);
	while ((request = g_queue_pop_head(&self->requests)) != NULL) {
		g_autoptr(GError) unknown = g_error_new(MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME,
							"the line was lost on the way");

		request_finish(request, NULL,
			       request_kind_changes(request->kind) ? unknown : error);
	}
	fake_answer_free(self->answer);
	wire_free(base->wire);
	g_ptr_array_unref(self->noticed);
	g_ptr_array_unref(base->capabilities);
	g_free(base->selected);
	g_free(self);
}

static const BackendOps fake_ops = {
	.name = "fake",
	.parts = TRUE,
	.login = fake_login,
	.start = fake_start,
	.can_start = fake_can_start,
	.receive = fake_receive,
	.tick = fake_tick,
	.logout = fake_logout,
	.free = fake_free,
};

Backend *
fake_backend_new(const BackendConfig *config, const BackendNews *news, gpointer user)
{
	FakeBackend *self = g_new0(FakeBackend, 1);

	self->base.ops = &fake_ops;
	self->base.capabilities = g_ptr_array_new_with_free_func(g_free);
	self->server = config->secret.user;
	self->news = news;
	self->user = user;
	self->noticed = g_ptr_array_new_with_free_func(g_free);
	self->peer_fd = -1;
	return &self->base;
}

PoolHealth
fake_health(Pool *pool)
{
	PoolStatus status;
	PoolHealth health;

	pool_get_status(pool, &status);
	health = status.health;
	pool_status_clear(&status);
	return health;
}
