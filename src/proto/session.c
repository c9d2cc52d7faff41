/* SPDX-License-Identifier: MIT */
#include "proto/session.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"

#define LOGOUT_MS 2000

struct Session {
	const SessionOwner *callbacks;
	gpointer owner;
	guint number;
	GThread *thread;
	GCancellable *stop;
	int wake_fd;
	SessionView view; /* protected by the owner's lock */
};

SessionView *
session_view(Session *session)
{
	return &session->view;
}

guint
session_number(const Session *session)
{
	return session->number;
}

void
session_wake(Session *session)
{
	guint64 one = 1;

	/* EAGAIN means the counter is full: it will wake up anyway. */
	if (write(session->wake_fd, &one, sizeof one) < 0)
		g_debug("session %u: wake: %s", session->number, g_strerror(errno));
}

void
session_stop(Session *session)
{
	g_cancellable_cancel(session->stop);
	session_wake(session);
}

static void
drain_wake(Session *session)
{
	guint64 count;

	while (read(session->wake_fd, &count, sizeof count) > 0)
		continue;
}

static gboolean
has_done(const Backend *backend)
{
	return backend->leave && backend->under_way == 0;
}

/* One turn: give the line what it can carry, wait, take what came. FALSE: the line is gone. */
static gboolean
session_turn(Session *session, Backend *backend, GError **error)
{
	Request *request;
	gint64 next;

	while ((request = session->callbacks->take(session->owner, session, backend)) != NULL)
		backend->ops->start(backend, request);
	next = backend->ops->tick(backend, g_get_monotonic_time(), error);
	if (next < 0)
		return FALSE;
	if (has_done(backend))
		return TRUE;
	if (!wire_wait(backend->wire, session->wake_fd, next, error))
		return FALSE;
	drain_wake(session);
	return backend->ops->receive(backend, error);
}

static gpointer
session_run(gpointer data)
{
	Session *session = data;
	g_autoptr(GError) error = NULL;
	Backend *backend = session->callbacks->create(session->owner, session);
	gboolean up = backend->ops->login(backend, session->stop, &error);

	if (up) {
		session->callbacks->logged_in(session->owner, session, backend);
		while (!g_cancellable_is_cancelled(session->stop) && !has_done(backend) &&
		       session_turn(session, backend, &error))
			continue;
		if (error == NULL &&
		    (g_cancellable_is_cancelled(session->stop) || has_done(backend)))
			backend->ops->logout(backend, LOGOUT_MS);
		else if (error == NULL)
			g_set_error(&error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
				    "the line was lost");
	}
	if (error == NULL) {
		g_autoptr(GError) closed = g_error_new(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
						       "the connection was closed");

		backend->ops->free(backend, closed);
	} else {
		g_debug("session %u: %s", session->number, error->message);
		backend->ops->free(backend, error);
	}
	session->callbacks->ended(session->owner, session, up,
				  g_cancellable_is_cancelled(session->stop) ? NULL : error);
	return NULL;
}

Session *
session_new(const SessionOwner *callbacks, gpointer owner, guint number)
{
	Session *session = g_new0(Session, 1);
	g_autofree char *name = g_strdup_printf("session-%u", number);

	session->callbacks = callbacks;
	session->owner = owner;
	session->number = number;
	session->stop = g_cancellable_new();
	session->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	session->thread = g_thread_new(name, session_run, session);
	return session;
}

void
session_join(Session *session)
{
	g_thread_join(session->thread);
	g_object_unref(session->stop);
	util_close_fd(&session->wake_fd);
	g_free(session->view.selected);
	g_free(session);
}
