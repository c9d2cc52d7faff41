/* SPDX-License-Identifier: MIT */
#include "proto/pool.h"

#include <string.h>

#include "fake-backend.h"

/* --- a server with INBOX, A, B … and a pool that is told what to watch --- */

typedef struct {
	FakeServer *server;
	Pool *pool;
	gint64 slept;
	gint requests; /* atomic: under way */

	GMutex lock;	    /* guards all below */
	GPtrArray *watched; /* names */
	gint64 known_at;
	gboolean numbered;
	GString *unwatched, *unproved; /* "A B " */
	guint statuses, folders;
} Fixture;

static void
on_selected(gpointer user, const MailboxState *now)
{
}

static void
on_message(gpointer user, const MessageInfo *info)
{
}

static void
on_flags(gpointer user, guint32 uid, guint32 flags, const char *keywords)
{
}

static void
on_set(gpointer user, const UidSet *uids)
{
}

static void
on_batch(gpointer user)
{
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Fixture *fixture = user;

	g_atomic_int_add(&fixture->requests, -1);
}

static const RequestEvents events = {
	.selected = on_selected,
	.message = on_message,
	.flags = on_flags,
	.vanished = on_set,
	.present = on_set,
	.batch = on_batch,
	.done = on_done,
};

static void
sync_later(Fixture *fixture, const char *mailbox)
{
	g_atomic_int_inc(&fixture->requests);
	pool_submit(fixture->pool, request_new(REQUEST_SYNC, mailbox, &events, fixture));
}

static void
sync_now(Fixture *fixture, const char *mailbox)
{
	sync_later(fixture, mailbox);
	FAKE_WAIT(g_atomic_int_get(&fixture->requests) == 0);
}

static void
on_changed(gpointer user, const char *mailbox)
{
}

static void
on_status(gpointer user, const char *mailbox, const MailboxStatus *status)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	fixture->statuses++;
}

static void
on_folders(gpointer user)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	fixture->folders++;
}

static gint64
on_watch(gpointer user, GArray *out)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	for (guint i = 0; i < fixture->watched->len; i++) {
		PoolWatch watch = {
			.name = g_strdup(fixture->watched->pdata[i]),
			.personal = strcmp(fixture->watched->pdata[i], "C") != 0,
			.numbered = fixture->numbered,
			.known_at = fixture->known_at,
		};

		g_array_append_val(out, watch);
	}
	return g_get_monotonic_time() + G_USEC_PER_SEC / 2;
}

static void
on_take_up(gpointer user, const char *mailbox)
{
	sync_later(user, mailbox);
}

static void
on_unwatched(gpointer user, const char *const *mailboxes)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_truncate(fixture->unwatched, 0);
	for (guint i = 0; mailboxes[i] != NULL; i++)
		g_string_append_printf(fixture->unwatched, "%s ", mailboxes[i]);
}

static void
on_unproved(gpointer user, const char *const *mailboxes)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_truncate(fixture->unproved, 0);
	for (guint i = 0; mailboxes[i] != NULL; i++)
		g_string_append_printf(fixture->unproved, "%s ", mailboxes[i]);
}

static const PoolNews news = {
	.changed = on_changed,
	.status = on_status,
	.folders = on_folders,
	.watch = on_watch,
	.take_up = on_take_up,
	.unwatched = on_unwatched,
	.unproved = on_unproved,
};

static gint64
on_slept(gpointer user)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	return fixture->slept;
}

static void
setup(Fixture *fixture, gconstpointer connections)
{
	static const char *const names[] = {"INBOX", "A", "B", "C"};
	BackendConfig *config;

	g_mutex_init(&fixture->lock);
	fixture->watched = g_ptr_array_new();
	fixture->unwatched = g_string_new(NULL);
	fixture->unproved = g_string_new(NULL);
	fixture->known_at = 1;
	fixture->numbered = TRUE;
	fixture->server = fake_server_new();
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		fake_server_mailbox(fixture->server, names[i]);
		fake_server_fill(fixture->server, names[i], 6);
	}
	FAKE_SET(fixture->server, idle, TRUE);
	config = fake_server_config(fixture->server);
	config->slept = on_slept;
	config->slept_user = fixture;
	fixture->pool =
		pool_new(fake_backend_new, config, GPOINTER_TO_UINT(connections), &news, fixture);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	pool_free(fixture->pool);
	fake_server_free(fixture->server);
	g_ptr_array_unref(fixture->watched);
	g_string_free(fixture->unwatched, TRUE);
	g_string_free(fixture->unproved, TRUE);
	g_mutex_clear(&fixture->lock);
}

static void
start(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(pool_start(fixture->pool, NULL, &error));
	g_assert_no_error(error);
}

static void
watch(Fixture *fixture, const char *first, const char *second, const char *third)
{
	const char *names[] = {first, second, third};

	g_mutex_lock(&fixture->lock);
	g_ptr_array_set_size(fixture->watched, 0);
	for (guint i = 0; i < G_N_ELEMENTS(names) && names[i] != NULL; i++)
		g_ptr_array_add(fixture->watched, (char *)names[i]);
	g_mutex_unlock(&fixture->lock);
	pool_look(fixture->pool);
}

static gboolean
is_told(Fixture *fixture, const char *mailbox)
{
	return pool_told_since(fixture->pool, mailbox, TRUE, NULL) != 0;
}

static gboolean
is_unwatched(Fixture *fixture, const char *expected)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	return strcmp(fixture->unwatched->str, expected) == 0;
}

static gboolean
is_unproved(Fixture *fixture, const char *expected)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	return strcmp(fixture->unproved->str, expected) == 0;
}

static guint
lines_of(Fixture *fixture)
{
	return fake_server_counts(fixture->server).lines;
}

/* --- by IDLE --- */

/* A is renamed, and another mailbox may get its name. */
static void
test_no_line_tells_of_what_has_got_a_former_name(Fixture *fixture, gconstpointer data)
{
	guint selects;

	start(fixture);
	sync_now(fixture, "A");
	FAKE_WAIT(is_told(fixture, "A"));
	selects = fake_server_counts(fixture->server).selects;
	pool_doubt(fixture->pool, "B");
	g_assert_true(is_told(fixture, "A"));
	pool_doubt(fixture->pool, "A");
	g_assert_false(is_told(fixture, "A"));
	sync_now(fixture, "A");
	FAKE_WAIT(is_told(fixture, "A"));
	g_assert_cmpuint(fake_server_counts(fixture->server).selects, ==, selects + 1);
}

static void
test_the_one_line_goes_back_to_inbox(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	watch(fixture, "INBOX", "A", NULL);
	sync_now(fixture, "INBOX");
	FAKE_WAIT(is_told(fixture, "INBOX"));
	sync_now(fixture, "A");
	FAKE_WAIT(is_told(fixture, "A"));
	g_assert_false(is_told(fixture, "INBOX"));
	/* By itself, and what it left is asked for by STATUS. */
	FAKE_WAIT(is_told(fixture, "INBOX"));
	g_assert_false(is_told(fixture, "A"));
	FAKE_WAIT(is_unwatched(fixture, "A "));
	g_assert_cmpuint(fake_server_counts(fixture->server).most_lines, ==, 1);
}

static void
test_each_mailbox_gets_a_line_while_there_are_some(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	watch(fixture, "INBOX", "A", "B");
	FAKE_WAIT(is_told(fixture, "INBOX") && is_told(fixture, "A"));
	FAKE_WAIT(is_unwatched(fixture, "B "));
	g_assert_cmpuint(fake_server_counts(fixture->server).most_lines, ==, 2);
	g_assert_cmpuint(lines_of(fixture), ==, 2);
}

static void
test_no_more_lines_than_mailboxes_are_opened(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	watch(fixture, "INBOX", "A", NULL);
	FAKE_WAIT(is_told(fixture, "INBOX") && is_told(fixture, "A"));
	g_usleep(1200 * 1000);
	g_assert_true(is_told(fixture, "INBOX") && is_told(fixture, "A"));
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 2);
	g_assert_cmpuint(fake_server_counts(fixture->server).selects, ==, 2);
}

static void
test_other_work_leaves_inbox_its_line(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	watch(fixture, "INBOX", "A", NULL);
	FAKE_WAIT(is_told(fixture, "INBOX") && is_told(fixture, "A"));
	sync_now(fixture, "B");
	g_assert_true(is_told(fixture, "INBOX"));
	g_assert_false(is_told(fixture, "A"));
	FAKE_WAIT(is_told(fixture, "A"));
	g_assert_true(is_told(fixture, "INBOX"));
}

/* A line that news has woken looks for work too. */
static void
test_a_line_at_rest_leaves_anothers_mailbox_to_it(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	watch(fixture, "INBOX", "A", NULL);
	FAKE_WAIT(is_told(fixture, "INBOX") && is_told(fixture, "A"));
	for (guint i = 0; i < 200; i++) {
		fake_server_notify(fixture->server, "INBOX");
		sync_now(fixture, "A");
	}
	g_assert_cmpuint(fake_server_counts(fixture->server).selects, ==, 2);
}

static void
test_without_push_all_is_asked_for(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, idle, FALSE);
	start(fixture);
	watch(fixture, "INBOX", "A", NULL);
	FAKE_WAIT(is_unwatched(fixture, "INBOX A "));
	sync_now(fixture, "INBOX");
	g_assert_false(is_told(fixture, "INBOX"));
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 1);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_SYNC], ==, 1);
}

static void
test_a_server_that_wants_no_more_lines_is_not_asked_again(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, max_lines, 1);
	start(fixture);
	watch(fixture, "INBOX", "A", NULL);
	FAKE_WAIT(is_told(fixture, "INBOX") && is_unwatched(fixture, "A "));
	FAKE_WAIT(fake_server_counts(fixture->server).logins == 2);
	for (guint i = 0; i < 10; i++) {
		pool_look(fixture->pool);
		g_usleep(110 * 1000);
	}
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 2);
	g_assert_true(is_told(fixture, "INBOX"));
}

static void
test_after_a_lost_line_it_is_watched_again(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	watch(fixture, "INBOX", NULL, NULL);
	FAKE_WAIT(is_told(fixture, "INBOX"));
	fake_server_drop_lines(fixture->server);
	FAKE_WAIT(!is_told(fixture, "INBOX"));
	FAKE_WAIT(is_told(fixture, "INBOX"));
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_SYNC], ==, 2);
}

/* --- by NOTIFY --- */

static void
test_notify_needs_one_line_for_all(Fixture *fixture, gconstpointer data)
{
	gint64 since;

	FAKE_SET(fixture->server, notify, TRUE);
	start(fixture);
	watch(fixture, "INBOX", "A", "B");
	FAKE_WAIT(is_told(fixture, "A") && is_told(fixture, "B"));
	since = pool_told_since(fixture->pool, "A", TRUE, NULL);
	g_assert_cmpint(since, >, 1);
	g_assert_cmpint(since, <=, g_get_monotonic_time());
	/* What was known before may have changed unheard. */
	FAKE_WAIT(is_unproved(fixture, "INBOX A B "));
	g_assert_true(is_unwatched(fixture, ""));
	g_assert_cmpint(pool_told_since(fixture->pool, "C", FALSE, NULL), ==, 0);
	fake_server_notify(fixture->server, "B");
	fake_server_folders(fixture->server);
	FAKE_WAIT(fixture->statuses == 1 && fixture->folders == 1);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 1);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_SYNC], ==, 0);
}

static void
test_where_numbers_do_not_tell_all_notify_begins_with_a_sync(Fixture *fixture, gconstpointer data)
{
	fixture->numbered = FALSE;
	FAKE_SET(fixture->server, notify, TRUE);
	start(fixture);
	watch(fixture, "A", NULL, NULL);
	FAKE_WAIT(fake_server_counts(fixture->server).requests[REQUEST_SYNC] > 0);
	g_mutex_lock(&fixture->lock);
	fixture->known_at = g_get_monotonic_time();
	g_mutex_unlock(&fixture->lock);
	g_assert_true(is_unwatched(fixture, "") && is_unproved(fixture, ""));
}

static void
test_what_notify_does_not_reach_gets_a_line(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, notify, TRUE);
	start(fixture);
	watch(fixture, "INBOX", "A", "C");
	FAKE_WAIT(pool_told_since(fixture->pool, "C", FALSE, NULL) == 1);
	g_assert_true(is_told(fixture, "INBOX"));
}

static void
test_the_next_line_notifies_when_the_first_is_lost(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, notify, TRUE);
	start(fixture);
	watch(fixture, "INBOX", NULL, NULL);
	FAKE_WAIT(is_told(fixture, "B"));
	fake_server_drop_lines(fixture->server);
	FAKE_WAIT(!is_told(fixture, "B"));
	FAKE_WAIT(is_told(fixture, "B"));
}

/* --- sleep --- */

static void
sleep_for(Fixture *fixture, gint64 us)
{
	g_mutex_lock(&fixture->lock);
	fixture->slept += us;
	g_mutex_unlock(&fixture->lock);
	pool_look(fixture->pool);
}

static void
test_after_a_sleep_each_line_is_probed_once(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	watch(fixture, "INBOX", "A", NULL);
	FAKE_WAIT(is_told(fixture, "INBOX") && is_told(fixture, "A"));
	sleep_for(fixture, G_USEC_PER_SEC);
	g_usleep(300 * 1000);
	g_assert_cmpuint(fake_server_counts(fixture->server).probes, ==, 0);
	sleep_for(fixture, 100 * G_USEC_PER_SEC);
	FAKE_WAIT(fake_server_counts(fixture->server).probes == 2);
	g_usleep(300 * 1000);
	g_assert_cmpuint(fake_server_counts(fixture->server).probes, ==, 2);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 2);
	g_assert_true(is_told(fixture, "INBOX") && is_told(fixture, "A"));
}

static void
test_lines_that_died_in_a_sleep_are_opened_again(Fixture *fixture, gconstpointer data)
{
	start(fixture);
	watch(fixture, "INBOX", NULL, NULL);
	FAKE_WAIT(is_told(fixture, "INBOX"));
	FAKE_SET(fixture->server, deaf, TRUE);
	sleep_for(fixture, 100 * G_USEC_PER_SEC);
	FAKE_WAIT(!is_told(fixture, "INBOX"));
	FAKE_WAIT(is_told(fixture, "INBOX"));
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, 2);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_SYNC], ==, 2);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(sentence, connections, function)                                                      \
	g_test_add("/pool-watch/" sentence, Fixture, GUINT_TO_POINTER(connections), setup,         \
		   function, teardown)
	TEST("no-line-tells-of-what-has-got-a-former-name", 1,
	     test_no_line_tells_of_what_has_got_a_former_name);
	TEST("the-one-line-goes-back-to-inbox", 1, test_the_one_line_goes_back_to_inbox);
	TEST("each-mailbox-gets-a-line-while-there-are-some", 2,
	     test_each_mailbox_gets_a_line_while_there_are_some);
	TEST("no-more-lines-than-mailboxes-are-opened", 4,
	     test_no_more_lines_than_mailboxes_are_opened);
	TEST("other-work-leaves-inbox-its-line", 2, test_other_work_leaves_inbox_its_line);
	TEST("a-line-at-rest-leaves-anothers-mailbox-to-it", 2,
	     test_a_line_at_rest_leaves_anothers_mailbox_to_it);
	TEST("without-push-all-is-asked-for", 4, test_without_push_all_is_asked_for);
	TEST("a-server-that-wants-no-more-lines-is-not-asked-again", 4,
	     test_a_server_that_wants_no_more_lines_is_not_asked_again);
	TEST("after-a-lost-line-it-is-watched-again", 1,
	     test_after_a_lost_line_it_is_watched_again);
	TEST("notify-needs-one-line-for-all", 4, test_notify_needs_one_line_for_all);
	TEST("where-numbers-do-not-tell-all-notify-begins-with-a-sync", 1,
	     test_where_numbers_do_not_tell_all_notify_begins_with_a_sync);
	TEST("what-notify-does-not-reach-gets-a-line", 2,
	     test_what_notify_does_not_reach_gets_a_line);
	TEST("the-next-line-notifies-when-the-first-is-lost", 1,
	     test_the_next_line_notifies_when_the_first_is_lost);
	TEST("after-a-sleep-each-line-is-probed-once", 2,
	     test_after_a_sleep_each_line_is_probed_once);
	TEST("lines-that-died-in-a-sleep-are-opened-again", 1,
	     test_lines_that_died_in_a_sleep_are_opened_again);
	return g_test_run();
}
