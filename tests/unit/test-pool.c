/* SPDX-License-Identifier: MIT */
#include "proto/pool.h"

#include <string.h>

#include "fake-backend.h"

/* --- requests whose fate is noted --- */

typedef struct {
	gint times; /* done() came so often; atomic */
	gint code;  /* MailfsError, -1 for success; valid once times > 0 */
	gint bodies;
	gint64 began, ended; /* monotonic */
	gint *order;	     /* a counter that all share, or NULL */
	gint place;
	Pool *again; /* submit anew once when it fails with OFFLINE */
	RequestUrgency urgency;
	const char *mailbox;
} Wish;

static gboolean
on_body_open(gpointer user, guint64 announced, GError **error)
{
	return TRUE;
}

static gboolean
on_body_data(gpointer user, const guint8 *data, gsize len, GError **error)
{
	return TRUE;
}

static void
on_body_done(gpointer user, guint32 uid, const GError *error)
{
	Wish *wish = user;

	if (error == NULL)
		g_atomic_int_inc(&wish->bodies);
}

static void submit(Pool *pool, Wish *wish);

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Wish *wish = user;

	if (wish->again != NULL && g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE)) {
		Pool *pool = g_steal_pointer(&wish->again);

		submit(pool, wish);
		return;
	}
	g_assert_true(error == NULL || error->domain == MAILFS_ERROR);
	wish->code = error != NULL ? error->code : -1;
	wish->ended = g_get_monotonic_time();
	if (wish->order != NULL)
		wish->place = g_atomic_int_add(wish->order, 1);
	g_atomic_int_inc(&wish->times);
}

static const RequestEvents events = {.body_open = on_body_open,
				     .body_data = on_body_data,
				     .body_done = on_body_done,
				     .done = on_done};

static void
submit_uids(Pool *pool, Wish *wish, const char *mailbox, RequestUrgency urgency, guint32 first,
	    guint32 last)
{
	Request *request = request_new(REQUEST_FETCH, mailbox, &events, wish);

	wish->mailbox = mailbox;
	wish->urgency = urgency;
	wish->began = g_get_monotonic_time();
	request->urgency = urgency;
	request->uidvalidity = g_str_equal(mailbox, "INBOX") ? 1000 : 1001 + mailbox[0] - 'A';
	request->uids = uidset_new();
	uidset_add(request->uids, first, last);
	pool_submit(pool, request);
}

static void
submit(Pool *pool, Wish *wish)
{
	submit_uids(pool, wish, wish->mailbox, wish->urgency, 1, 1);
}

static gboolean
is_done(Wish *wish)
{
	return g_atomic_int_get(&wish->times) > 0;
}

/* One request to the end. Returns its code. */
static int
ask(Pool *pool, const char *mailbox)
{
	Wish wish = {.mailbox = mailbox};

	submit(pool, &wish);
	FAKE_WAIT(is_done(&wish));
	g_assert_cmpint(wish.times, ==, 1);
	return wish.code;
}

/* --- a server with INBOX, A, B … and a pool on it --- */

typedef struct {
	FakeServer *server;
	Pool *pool;
	gint changed, alerts, healths[POOL_CLOSED + 1]; /* atomic */
} Fixture;

static void
on_changed(gpointer user, const char *mailbox)
{
	Fixture *fixture = user;

	g_assert_cmpstr(mailbox, ==, "INBOX");
	g_atomic_int_inc(&fixture->changed);
}

static void
on_alert(gpointer user, const char *text)
{
	Fixture *fixture = user;

	g_assert_cmpstr(text, ==, "down at noon");
	g_atomic_int_inc(&fixture->alerts);
}

static void
on_health(gpointer user, PoolHealth health, const GError *error)
{
	Fixture *fixture = user;

	g_assert_cmpint(error == NULL, ==, health == POOL_ONLINE);
	g_atomic_int_inc(&fixture->healths[health]);
}

static const PoolNews news = {.changed = on_changed, .alert = on_alert, .health = on_health};

static void
setup(Fixture *fixture, gconstpointer connections)
{
	static const char *const names[] = {"INBOX", "A", "B", "C", "D", "E"};

	fixture->server = fake_server_new();
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		fake_server_mailbox(fixture->server, names[i]);
		fake_server_fill(fixture->server, names[i], 6);
	}
	fixture->pool = pool_new(fake_backend_new, fake_server_config(fixture->server),
				 GPOINTER_TO_UINT(connections), &news, fixture);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	pool_free(fixture->pool);
	fake_server_free(fixture->server);
}

static void
start(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(pool_start(fixture->pool, NULL, &error));
	g_assert_no_error(error);
}

static PoolStatus
status_of(Pool *pool)
{
	PoolStatus status;

	pool_get_status(pool, &status);
	pool_status_clear(&status);
	return status;
}

/* --- logging in --- */

static void
test_requests_are_served(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, -1);
	g_assert_cmpint(ask(fixture->pool, "A"), ==, -1);
	g_assert_cmpuint(fake_server_counts(fixture->server).bodies, ==, 2);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 1);
	g_assert_cmpint(fixture->healths[POOL_ONLINE], ==, 1);
}

static void
test_the_first_login_failure_is_that_of_start(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_TLS);
	g_assert_false(pool_start(fixture->pool, NULL, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS);
	g_assert_cmpint(fake_health(fixture->pool), ==, POOL_OFFLINE);
	/* All the same it may be used, and finds its way by itself. */
	FAKE_SET(fixture->server, login_code, -1);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_ONLINE);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, -1);
}

static void
test_start_can_be_cancelled(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	g_autoptr(GError) error = NULL;
	gint64 began = g_get_monotonic_time();

	FAKE_SET(fixture->server, login_delay_ms, 5000);
	g_cancellable_cancel(cancel);
	g_assert_false(pool_start(fixture->pool, cancel, &error));
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	g_clear_pointer(&fixture->pool, pool_free);
	g_assert_cmpint(g_get_monotonic_time() - began, <, G_USEC_PER_SEC);
}

static void
test_a_refused_login_is_not_repeated(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_LOGIN);
	g_assert_false(pool_start(fixture->pool, NULL, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN);
	for (guint i = 0; i < 30; i++) {
		Wish wish = {.mailbox = "INBOX"};

		submit(fixture->pool, &wish);
		g_assert_true(is_done(&wish));
		g_assert_cmpint(wish.code, ==, MAILFS_ERROR_LOGIN);
		g_assert_cmpint(wish.ended - wish.began, <, 10 * 1000);
		g_usleep(100 * 1000);
	}
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 1);
	g_assert_cmpint(fake_health(fixture->pool), ==, POOL_REFUSED);
}

static void
test_retry_tries_a_refused_login_once_more(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_LOGIN);
	g_assert_false(pool_start(fixture->pool, NULL, NULL));
	pool_retry(fixture->pool);
	FAKE_WAIT(fake_server_counts(fixture->server).logins == 2);
	g_usleep(300 * 1000);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 2);
	g_assert_cmpint(fake_health(fixture->pool), ==, POOL_REFUSED);

	FAKE_SET(fixture->server, login_code, -1);
	pool_retry(fixture->pool);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_ONLINE);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, -1);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 3);
}

static void
test_a_password_that_is_refused_later_stops_the_pool_too(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_LOGIN);
	fake_server_drop_lines(fixture->server);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_REFUSED);
	g_usleep(1500 * 1000);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 2);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, MAILFS_ERROR_LOGIN);
}

/* --- lines come and go --- */

static void
test_a_lost_line_fails_what_is_under_way_and_is_opened_again(Fixture *fixture, gconstpointer data)
{
	Wish wish = {.mailbox = "INBOX"};

	start(fixture);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, -1);
	FAKE_SET(fixture->server, mute, TRUE);
	submit(fixture->pool, &wish);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_FETCH] == 2);
	fake_server_drop_lines(fixture->server);
	FAKE_WAIT(is_done(&wish));
	g_assert_cmpint(wish.code, ==, MAILFS_ERROR_OFFLINE);
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_ONLINE &&
		  status_of(fixture->pool).sessions == 1);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, -1);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 2);
}

static void
test_what_still_waits_when_the_line_goes_is_served_by_the_next(Fixture *fixture, gconstpointer data)
{
	Wish first = {.mailbox = "INBOX"}, second = {.mailbox = "A"};

	start(fixture);
	FAKE_SET(fixture->server, mute, TRUE);
	submit(fixture->pool, &first);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_FETCH] == 1);
	submit(fixture->pool, &second);
	fake_server_drop_lines(fixture->server);
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(is_done(&first) && is_done(&second));
	g_assert_cmpint(second.code, ==, -1);
}

/* One with INBOX selected, one with A, both idle. */
static void
open_two_lines(Fixture *fixture)
{
	Wish wish = {.mailbox = "INBOX"}, other = {.mailbox = "A"};

	FAKE_SET(fixture->server, delay_us, 20000);
	submit(fixture->pool, &wish);
	submit(fixture->pool, &other);
	FAKE_WAIT(is_done(&wish) && is_done(&other));
	FAKE_SET(fixture->server, delay_us, 0);
	FAKE_WAIT(status_of(fixture->pool).sessions == 2 && status_of(fixture->pool).busy == 0);
	g_usleep(50 * 1000); /* turning the knob woke both: let them fall asleep */
}

/* The line that is lost told its end while it still counted as usable; the other one sleeps and
 * must be woken. */
static void
test_what_is_asked_again_finds_the_other_line(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	for (guint i = 0; i < 8; i++) {
		Wish unlucky = {
			.mailbox = i % 2 == 0 ? "INBOX" : "A",
			.urgency = i % 4 < 2 ? REQUEST_NOW : REQUEST_SOON,
			.again = fixture->pool,
		};

		open_two_lines(fixture);
		fake_server_spoil(fixture->server, unlucky.mailbox, 1, FAKE_CUT, 1);
		submit(fixture->pool, &unlucky);
		FAKE_WAIT(is_done(&unlucky));
		g_assert_cmpint(unlucky.code, ==, -1);
		g_assert_cmpint(unlucky.ended - unlucky.began, <, G_USEC_PER_SEC);
	}
}

static void
test_offline_requests_fail_at_once(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_OFFLINE);
	for (guint i = 0; i < 20; i++) {
		Wish wish = {.mailbox = "INBOX"};

		submit(fixture->pool, &wish);
		g_assert_true(is_done(&wish));
		g_assert_cmpint(wish.code, ==, MAILFS_ERROR_OFFLINE);
		g_assert_cmpint(wish.ended - wish.began, <, 10 * 1000);
	}
	FAKE_SET(fixture->server, login_code, -1);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_ONLINE);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, -1);
	g_assert_cmpint(fixture->healths[POOL_OFFLINE], ==, 1);
	g_assert_cmpint(fixture->healths[POOL_ONLINE], ==, 2);
}

static void
test_tries_while_offline_come_at_growing_intervals(Fixture *fixture, gconstpointer data)
{
	guint logins;

	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	g_assert_false(pool_start(fixture->pool, NULL, NULL));
	g_usleep(3600 * 1000); /* tries after 0, 1, 3 and 7 s */
	logins = fake_server_counts(fixture->server).logins;
	g_assert_cmpuint(logins, >=, 2);
	g_assert_cmpuint(logins, <=, 3);
}

/* A server that takes the login and hangs up must not be hammered. */
static void
test_lines_that_do_not_last_come_at_growing_intervals_too(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	FAKE_SET(fixture->server, drop_at_login, TRUE);
	fake_server_drop_lines(fixture->server);
	g_usleep(3600 * 1000);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, >=, 2);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, <=, 8);
	FAKE_SET(fixture->server, drop_at_login, FALSE);
	pool_retry(fixture->pool);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_ONLINE);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, -1);
}

/* --- time --- */

static void
test_a_request_that_finds_no_session_times_out(Fixture *fixture, gconstpointer data)
{
	Wish stuck = {.mailbox = "INBOX"}, wish = {.mailbox = "INBOX"};

	start(fixture);
	FAKE_SET(fixture->server, window, 1);
	FAKE_SET(fixture->server, mute, TRUE);
	submit(fixture->pool, &stuck);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_FETCH] == 1);
	/* The keeper has gone to sleep by now. */
	g_usleep(50 * 1000);
	submit(fixture->pool, &wish);
	FAKE_WAIT(is_done(&wish));
	g_assert_cmpint(wish.code, ==, MAILFS_ERROR_TIMEOUT);
	g_assert_cmpint(wish.ended - wish.began, >=, 290 * 1000);
	g_assert_cmpint(wish.ended - wish.began, <, 1500 * 1000);
	g_assert_false(is_done(&stuck));
	g_clear_pointer(&fixture->pool, pool_free);
	g_assert_cmpint(stuck.times, ==, 1);
	g_assert_cmpint(stuck.code, ==, MAILFS_ERROR_OFFLINE);
}

static void
test_a_stalled_server_keeps_nobody_beyond_the_timeout(Fixture *fixture, gconstpointer data)
{
	static const char *const names[] = {"INBOX", "A", "B", "C"};
	Wish wishes[60] = {0};

	start(fixture);
	FAKE_SET(fixture->server, stall, TRUE);
	for (guint i = 0; i < G_N_ELEMENTS(wishes); i++) {
		wishes[i].mailbox = names[i % G_N_ELEMENTS(names)];
		submit(fixture->pool, &wishes[i]);
	}
	for (guint i = 0; i < G_N_ELEMENTS(wishes); i++) {
		FAKE_WAIT(is_done(&wishes[i]));
		g_assert_cmpint(wishes[i].times, ==, 1);
		g_assert_cmpint(wishes[i].code, ==, MAILFS_ERROR_TIMEOUT);
		/* Once to find a session, once to be answered. */
		g_assert_cmpint(wishes[i].ended - wishes[i].began, <, 2 * 300 * 1000 + 900 * 1000);
	}
}

static void
setup_hasty(Fixture *fixture, gconstpointer connections)
{
	setup(fixture, connections);
	pool_free(fixture->pool);
	fake_server_config(fixture->server)->timeout_ms = 300;
	fixture->pool = pool_new(fake_backend_new, fake_server_config(fixture->server),
				 GPOINTER_TO_UINT(connections), &news, fixture);
}

/* --- who serves what --- */

static void
ask_many(Fixture *fixture, guint n)
{
	static const char *const names[] = {"INBOX", "A", "B", "C", "D", "E"};
	g_autofree Wish *wishes = g_new0(Wish, n);

	for (guint i = 0; i < n; i++) {
		wishes[i].mailbox = names[i % G_N_ELEMENTS(names)];
		submit(fixture->pool, &wishes[i]);
	}
	for (guint i = 0; i < n; i++) {
		FAKE_WAIT(is_done(&wishes[i]));
		g_assert_cmpint(wishes[i].times, ==, 1);
		g_assert_cmpint(wishes[i].code, ==, -1);
		g_assert_cmpint(wishes[i].bodies, ==, 1);
	}
}

static void
test_more_lines_are_opened_up_to_the_limit(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	FAKE_SET(fixture->server, delay_us, 5000);
	ask_many(fixture, 40);
	g_assert_cmpuint(fake_server_counts(fixture->server).most_lines, ==, 3);
}

static void
test_the_limit_of_the_server_is_learnt(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, max_lines, 2);
	start(fixture);
	FAKE_SET(fixture->server, delay_us, 5000);
	ask_many(fixture, 60);
	g_assert_cmpuint(fake_server_counts(fixture->server).most_lines, ==, 2);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 3);
	g_assert_cmpuint(status_of(fixture->pool).limit, ==, 2);
	g_assert_cmpint(fake_health(fixture->pool), ==, POOL_ONLINE);
}

static void
test_work_goes_to_the_line_that_has_the_mailbox(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	open_two_lines(fixture);
	g_assert_cmpuint(fake_server_counts(fixture->server).selects, ==, 2);
	for (guint i = 0; i < 100; i++)
		g_assert_cmpint(ask(fixture->pool, i % 3 == 0 ? "INBOX" : "A"), ==, -1);
	g_assert_cmpuint(fake_server_counts(fixture->server).selects, ==, 2);
	g_assert_cmpuint(fake_server_counts(fixture->server).lines, ==, 2);
}

static void
test_who_waits_goes_before_who_will_want(Fixture *fixture, gconstpointer data)
{
	Wish blocker = {.mailbox = "INBOX"}, soon = {0}, now = {0};
	gint order = 0;

	start(fixture);
	soon.order = now.order = &order;
	FAKE_SET(fixture->server, window, 1);
	FAKE_SET(fixture->server, mute, TRUE);
	submit(fixture->pool, &blocker);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_FETCH] == 1);
	submit_uids(fixture->pool, &soon, "INBOX", REQUEST_SOON, 1, 3);
	submit_uids(fixture->pool, &now, "A", REQUEST_NOW, 1, 1);
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(is_done(&soon) && is_done(&now));
	/* A line goes on with its mailbox only among requests of the same urgency. */
	g_assert_cmpint(now.place, ==, 0);
	g_assert_cmpint(soon.bodies, ==, 3);
}

static void
test_what_is_promoted_comes_first(Fixture *fixture, gconstpointer data)
{
	Wish blocker = {.mailbox = "INBOX"}, soon[3] = {0};
	gint order = 0;

	start(fixture);
	FAKE_SET(fixture->server, window, 1);
	FAKE_SET(fixture->server, mute, TRUE);
	submit(fixture->pool, &blocker);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_FETCH] == 1);
	for (guint i = 0; i < 3; i++) {
		soon[i].order = &order;
		submit_uids(fixture->pool, &soon[i], "INBOX", REQUEST_SOON, 1 + 2 * i, 2 + 2 * i);
	}
	pool_promote(fixture->pool, "A", 4);
	pool_promote(fixture->pool, "INBOX", 99);
	pool_promote(fixture->pool, "INBOX", 6);
	pool_promote(fixture->pool, "INBOX", 4);
	FAKE_SET(fixture->server, mute, FALSE);
	for (guint i = 0; i < 3; i++)
		FAKE_WAIT(is_done(&soon[i]));
	g_assert_cmpint(soon[2].place, ==, 0);
	g_assert_cmpint(soon[1].place, ==, 1);
	g_assert_cmpint(soon[0].place, ==, 2);
}

static void
submit_change(Pool *pool, Wish *wish, const char *mailbox)
{
	Request *request = request_new(REQUEST_EXPUNGE, mailbox, &events, wish);

	request->urgency = REQUEST_SOON;
	pool_submit(pool, request);
}

/* It needs a line with nothing under way, and there is but one, which a scan keeps busy. */
static void
test_a_change_is_not_kept_waiting_by_a_scan(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_UNSUPPORTED);
	FAKE_SET(fixture->server, window, 2);
	FAKE_SET(fixture->server, delay_us, 2000); /* they end one by one */
	for (guint round = 0; round < 2; round++) {
		guint before = fake_server_counts(fixture->server).requests[REQUEST_FETCH];
		Wish soon[6] = {0}, change = {0};
		gint order = 0;

		FAKE_SET(fixture->server, mute, TRUE);
		for (guint i = 0; i < G_N_ELEMENTS(soon); i++) {
			soon[i].order = &order;
			submit_uids(fixture->pool, &soon[i], "INBOX", REQUEST_SOON, 1 + i, 1 + i);
		}
		FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_FETCH] ==
			  before + 2);
		change.order = &order;
		submit_change(fixture->pool, &change, round == 0 ? "INBOX" : "A");
		FAKE_SET(fixture->server, mute, FALSE);
		for (guint i = 0; i < G_N_ELEMENTS(soon); i++)
			FAKE_WAIT(is_done(&soon[i]));
		FAKE_WAIT(is_done(&change));
		g_assert_cmpint(change.place, ==, 2);
		g_assert_cmpint(change.code, ==, MAILFS_ERROR_UNSUPPORTED);
	}
}

/* Its outcome is not known: whoever asked has to look, and nobody else repeats it. */
static void
test_a_change_is_sent_once(Fixture *fixture, gconstpointer data)
{
	Wish change = {0};

	start(fixture);
	FAKE_SET(fixture->server, mute, TRUE);
	submit_change(fixture->pool, &change, "INBOX");
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_EXPUNGE] == 1);
	fake_server_drop_lines(fixture->server);
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(is_done(&change));
	g_assert_cmpint(change.code, ==, MAILFS_ERROR_UNKNOWN_OUTCOME);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, -1);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_EXPUNGE], ==, 1);
}

/* --- news, status, the end --- */

static void
test_news_of_a_line_come_up(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	g_assert_cmpint(ask(fixture->pool, "INBOX"), ==, -1);
	fake_server_notify(fixture->server, "A");
	fake_server_notify(fixture->server, "INBOX");
	fake_server_alert(fixture->server, "down at noon");
	FAKE_WAIT(g_atomic_int_get(&fixture->changed) == 1 &&
		  g_atomic_int_get(&fixture->alerts) == 1);
}

static void
test_the_status_tells_what_is_going_on(Fixture *fixture, gconstpointer data)
{
	Wish stuck = {.mailbox = "INBOX"}, waiting = {.mailbox = "A"};
	PoolStatus status;

	start(fixture);
	FAKE_SET(fixture->server, mute, TRUE);
	submit(fixture->pool, &stuck);
	submit(fixture->pool, &waiting);
	FAKE_WAIT(status_of(fixture->pool).busy == 1 && status_of(fixture->pool).waiting == 1);
	pool_get_status(fixture->pool, &status);
	g_assert_cmpint(status.health, ==, POOL_ONLINE);
	g_assert_cmpuint(status.sessions, ==, 1);
	g_assert_cmpuint(status.limit, ==, 1);
	g_assert_cmpstr(status.capabilities, ==, "FAKE1 IDLE");
	g_assert_true(g_str_has_prefix(status.line, "127.0.0.1:"));
	g_assert_null(status.error);
	pool_status_clear(&status);

	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	FAKE_WAIT(fake_health(fixture->pool) == POOL_OFFLINE);
	pool_get_status(fixture->pool, &status);
	g_assert_cmpuint(status.sessions, ==, 0);
	g_assert_cmpuint(status.waiting, ==, 0);
	g_assert_nonnull(strstr(status.error, "as it was told to"));
	g_assert_cmpint(status.retry_at, <=, g_get_real_time() / G_USEC_PER_SEC + 3);
	pool_status_clear(&status);
	FAKE_WAIT(is_done(&stuck) && is_done(&waiting));
}

static void
test_freeing_ends_every_request_once_and_quickly(Fixture *fixture, gconstpointer data)
{
	static const char *const names[] = {"INBOX", "A", "B", "C", "D", "E"};
	g_autofree Wish *wishes = g_new0(Wish, 500);
	gint64 began;

	start(fixture);
	FAKE_SET(fixture->server, mute, TRUE);
	for (guint i = 0; i < 500; i++)
		submit_uids(fixture->pool, &wishes[i], names[i % 6],
			    i % 2 ? REQUEST_NOW : REQUEST_SOON, 1, 6);
	began = g_get_monotonic_time();
	g_clear_pointer(&fixture->pool, pool_free);
	g_assert_cmpint(g_get_monotonic_time() - began, <, G_USEC_PER_SEC);
	for (guint i = 0; i < 500; i++) {
		g_assert_cmpint(wishes[i].times, ==, 1);
		g_assert_cmpint(wishes[i].code, ==, MAILFS_ERROR_OFFLINE);
	}
	g_assert_cmpuint(fake_server_counts(fixture->server).lines, ==, 0);
}

static void
test_freeing_interrupts_a_login(Fixture *fixture, gconstpointer data)
{
	Wish wish = {.mailbox = "INBOX"};
	gint64 began = g_get_monotonic_time();

	FAKE_SET(fixture->server, login_delay_ms, 5000);
	submit(fixture->pool, &wish);
	FAKE_WAIT(fake_server_counts(fixture->server).logins == 1);
	g_clear_pointer(&fixture->pool, pool_free);
	g_assert_cmpint(g_get_monotonic_time() - began, <, G_USEC_PER_SEC);
	g_assert_cmpint(wish.times, ==, 1);
}

static void
test_lines_say_goodbye(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	FAKE_SET(fixture->server, delay_us, 5000);
	ask_many(fixture, 40);
	g_clear_pointer(&fixture->pool, pool_free);
	g_assert_cmpuint(fake_server_counts(fixture->server).logouts, ==,
			 fake_server_counts(fixture->server).most_lines);
}

/* Lines are cut at random under a crowd: whatever happens, each request ends once. */
static void
test_a_rough_day_loses_no_request(Fixture *fixture, gconstpointer data)
{
	static const char *const names[] = {"INBOX", "A", "B", "C", "D", "E"};
	g_autoptr(GRand) rand = g_rand_new_with_seed(42);
	g_autofree Wish *wishes = g_new0(Wish, 400);
	guint served = 0;

	start(fixture);
	for (guint i = 0; i < 400; i++) {
		wishes[i].again = fixture->pool;
		submit_uids(fixture->pool, &wishes[i], names[g_rand_int_range(rand, 0, 6)],
			    g_rand_boolean(rand) ? REQUEST_NOW : REQUEST_SOON, 1, 6);
		if (i % 40 == 20)
			FAKE_SET(fixture->server, drop_after, g_rand_int_range(rand, 0, 60));
		if (i % 10 == 0)
			g_usleep(10 * 1000);
	}
	for (guint i = 0; i < 400; i++) {
		FAKE_WAIT(is_done(&wishes[i]));
		served += wishes[i].code == -1;
	}
	g_usleep(50 * 1000);
	for (guint i = 0; i < 400; i++)
		g_assert_cmpint(wishes[i].times, ==, 1);
	g_assert_cmpuint(served, >, 100);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(sentence, connections, prepare, function)                                             \
	g_test_add("/pool/" sentence, Fixture, GUINT_TO_POINTER(connections), prepare, function,   \
		   teardown)
	TEST("requests-are-served", 1, setup, test_requests_are_served);
	TEST("the-first-login-failure-is-that-of-start", 1, setup,
	     test_the_first_login_failure_is_that_of_start);
	TEST("start-can-be-cancelled", 1, setup, test_start_can_be_cancelled);
	TEST("a-refused-login-is-not-repeated", 2, setup, test_a_refused_login_is_not_repeated);
	TEST("retry-tries-a-refused-login-once-more", 2, setup,
	     test_retry_tries_a_refused_login_once_more);
	TEST("a-password-that-is-refused-later-stops-the-pool-too", 2, setup,
	     test_a_password_that_is_refused_later_stops_the_pool_too);
	TEST("a-lost-line-fails-what-is-under-way-and-is-opened-again", 1, setup,
	     test_a_lost_line_fails_what_is_under_way_and_is_opened_again);
	TEST("what-still-waits-when-the-line-goes-is-served-by-the-next", 1, setup,
	     test_what_still_waits_when_the_line_goes_is_served_by_the_next);
	TEST("what-is-asked-again-finds-the-other-line", 2, setup,
	     test_what_is_asked_again_finds_the_other_line);
	TEST("offline-requests-fail-at-once", 2, setup, test_offline_requests_fail_at_once);
	TEST("tries-while-offline-come-at-growing-intervals", 2, setup,
	     test_tries_while_offline_come_at_growing_intervals);
	TEST("lines-that-do-not-last-come-at-growing-intervals-too", 2, setup,
	     test_lines_that_do_not_last_come_at_growing_intervals_too);
	TEST("a-request-that-finds-no-session-times-out", 1, setup_hasty,
	     test_a_request_that_finds_no_session_times_out);
	TEST("a-stalled-server-keeps-nobody-beyond-the-timeout", 2, setup_hasty,
	     test_a_stalled_server_keeps_nobody_beyond_the_timeout);
	TEST("more-lines-are-opened-up-to-the-limit", 3, setup,
	     test_more_lines_are_opened_up_to_the_limit);
	TEST("the-limit-of-the-server-is-learnt", 4, setup, test_the_limit_of_the_server_is_learnt);
	TEST("work-goes-to-the-line-that-has-the-mailbox", 2, setup,
	     test_work_goes_to_the_line_that_has_the_mailbox);
	TEST("who-waits-goes-before-who-will-want", 1, setup,
	     test_who_waits_goes_before_who_will_want);
	TEST("a-change-is-not-kept-waiting-by-a-scan", 1, setup,
	     test_a_change_is_not_kept_waiting_by_a_scan);
	TEST("a-change-is-sent-once", 1, setup, test_a_change_is_sent_once);
	TEST("what-is-promoted-comes-first", 1, setup, test_what_is_promoted_comes_first);
	TEST("news-of-a-line-come-up", 1, setup, test_news_of_a_line_come_up);
	TEST("the-status-tells-what-is-going-on", 1, setup, test_the_status_tells_what_is_going_on);
	TEST("freeing-ends-every-request-once-and-quickly", 3, setup,
	     test_freeing_ends_every_request_once_and_quickly);
	TEST("freeing-interrupts-a-login", 1, setup, test_freeing_interrupts_a_login);
	TEST("lines-say-goodbye", 3, setup, test_lines_say_goodbye);
	TEST("a-rough-day-loses-no-request", 3, setup, test_a_rough_day_loses_no_request);
	return g_test_run();
}
