/* SPDX-License-Identifier: MIT */
/* The maildrop is another's as soon as we have no need of it: a pool whose lines do not stay. */
#include <string.h>

#include "base/error.h"
#include "pop-maildrop.h"
#include "proto/pool.h"

typedef struct {
	PopFixture pop;
	Pool *pool;
	gint done, failed; /* requests; atomic */
	GMutex lock;	   /* guards log */
	GString *log;
} Fixture;

/* Until @condition holds; fails after 10 s. */
#define WAIT(condition)                                                                            \
	G_STMT_START                                                                               \
	{                                                                                          \
		gint64 wait_end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;                    \
		while (!(condition) && g_get_monotonic_time() < wait_end)                          \
			g_usleep(1000);                                                            \
		g_assert_true(condition);                                                          \
	}                                                                                          \
	G_STMT_END

static void
on_message(gpointer user, const MessageInfo *info)
{
}

static void
on_selected(gpointer user, const MailboxState *now)
{
}

static void
on_uids(gpointer user, const UidSet *uids)
{
}

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
	Fixture *f = user;

	g_mutex_lock(&f->lock);
	g_string_append_printf(f->log, "body %u %s\n", uid, error != NULL ? "lost" : "whole");
	g_mutex_unlock(&f->lock);
}

static void
on_vanished(gpointer user, const UidSet *uids)
{
	Fixture *f = user;

	g_mutex_lock(&f->lock);
	g_string_append_printf(f->log, "%u vanished\n", (guint)uidset_count(uids));
	g_mutex_unlock(&f->lock);
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Fixture *f = user;

	g_mutex_lock(&f->lock);
	if (error != NULL)
		g_string_append_printf(f->log, "error %d\n", error->code);
	g_mutex_unlock(&f->lock);
	g_atomic_int_inc(&f->done);
}

static const RequestEvents events = {
	.selected = on_selected,
	.message = on_message,
	.present = on_uids,
	.body_open = on_body_open,
	.body_data = on_body_data,
	.body_done = on_body_done,
	.vanished = on_vanished,
	.done = on_done,
};

static void
on_alert(gpointer user, const char *text)
{
	Fixture *f = user;

	g_mutex_lock(&f->lock);
	g_string_append(f->log, "alert\n");
	g_mutex_unlock(&f->lock);
}

static const PoolNews news = {.alert = on_alert};

static void
begin(Fixture *f, guint linger_ms, guint timeout_ms)
{
	BackendConfig *config;

	pop_fixture_begin(&f->pop, NULL);
	pop_maildrop_fill(f->pop.drop, 20);
	f->pop.drop->locks = TRUE;
	config = &f->pop.client->config;
	config->linger_ms = linger_ms;
	config->timeout_ms = timeout_ms;
	config->read_only = FALSE;
	f->log = g_string_new(NULL);
	g_mutex_init(&f->lock);
	f->pool = pool_new(pop_backend_new, config, 4, &news, f);
}

static void
end(Fixture *f)
{
	pool_free(f->pool);
	pop_fixture_end(&f->pop, NULL);
	g_string_free(f->log, TRUE);
	g_mutex_clear(&f->lock);
}

static void
submit(Fixture *f, RequestKind kind, const char *uids)
{
	Request *request = request_new(kind, POP_MAILBOX, &events, f);

	request->uidvalidity = 7;
	request->known.uidnext = 1;
	request->uids = uids != NULL ? uidset_parse(uids, strlen(uids), 100) : NULL;
	pool_submit(f->pool, request);
}

static void
wait_done(Fixture *f, gint n)
{
	WAIT(g_atomic_int_get(&f->done) >= n);
	g_assert_cmpint(f->done, ==, n);
}

static PoolHealth
health(Fixture *f)
{
	PoolStatus status;
	PoolHealth now;

	pool_get_status(f->pool, &status);
	now = status.health;
	pool_status_clear(&status);
	return now;
}

static void
must_start(Fixture *f)
{
	g_autoptr(GError) error = NULL;

	pool_start(f->pool, NULL, &error);
	g_assert_no_error(error);
}

static void
test_gives_the_maildrop_back_and_takes_it_again(void)
{
	Fixture f = {0};

	begin(&f, 20, 10000);
	must_start(&f);
	submit(&f, REQUEST_SYNC, NULL);
	wait_done(&f, 1);
	WAIT(pop_maildrop_open(f.pop.drop) == 0);
	g_assert_cmpint(health(&f), ==, POOL_ONLINE);
	submit(&f, REQUEST_FETCH, "3");
	wait_done(&f, 2);
	g_assert_cmpstr(f.log->str, ==, "body 3 whole\n");
	WAIT(pop_maildrop_open(f.pop.drop) == 0);
	g_assert_cmpint(health(&f), ==, POOL_ONLINE);
	g_assert_cmpuint(f.pop.drop->sessions, ==, 2);
	end(&f);
}

static void
test_deletes_between_reads_in_a_session_of_its_own(void)
{
	Fixture f = {0};
	g_autofree char *transcript = NULL;
	char *dele;

	begin(&f, 60000, 10000);
	must_start(&f);
	submit(&f, REQUEST_SYNC, NULL);
	wait_done(&f, 1);
	submit(&f, REQUEST_FETCH, "1:10");
	submit(&f, REQUEST_EXPUNGE, "5");
	submit(&f, REQUEST_FETCH, "11:20");
	wait_done(&f, 4);
	g_assert_nonnull(strstr(f.log->str, "1 vanished\n"));
	g_assert_nonnull(strstr(f.log->str, "body 20 whole\n"));
	g_assert_null(strstr(f.log->str, "error"));
	transcript = peer_transcript(f.pop.peer);
	dele = strstr(transcript, "DELE");
	g_assert_nonnull(dele);
	/* Whose number stands two bytes before it. */
	for (const char *retr = transcript; (retr = strstr(retr, "RETR")) != NULL; retr++)
		g_assert_cmpint(retr[-2], !=, dele[-2]);
	end(&f);
}

static void
test_asks_for_a_new_listing_in_a_new_session(void)
{
	Fixture f = {0};

	begin(&f, 60000, 10000);
	must_start(&f);
	submit(&f, REQUEST_SYNC, NULL);
	wait_done(&f, 1);
	/* Its age is what matters. */
	g_usleep(1100 * 1000);
	submit(&f, REQUEST_SYNC, NULL);
	wait_done(&f, 2);
	g_assert_cmpuint(f.pop.drop->sessions, ==, 2);
	g_assert_cmpstr(f.log->str, ==, "");
	end(&f);
}

static void
test_waits_while_another_has_the_maildrop(void)
{
	Fixture f = {0};

	begin(&f, 20, 10000);
	f.pop.drop->busy_logins = 1;
	must_start(&f);
	submit(&f, REQUEST_SYNC, NULL);
	wait_done(&f, 1);
	WAIT(pop_maildrop_open(f.pop.drop) == 0);
	g_mutex_lock(&f.pop.drop->lock);
	f.pop.drop->busy_logins = 2;
	g_mutex_unlock(&f.pop.drop->lock);
	submit(&f, REQUEST_FETCH, "3");
	wait_done(&f, 2);
	g_assert_cmpstr(f.log->str, ==, "body 3 whole\n");
	end(&f);
}

static void
test_does_not_wait_for_ever_for_the_maildrop(void)
{
	g_autoptr(GError) error = NULL;
	Fixture f = {0};

	begin(&f, 20, 700);
	f.pop.drop->busy_logins = 1000;
	g_assert_false(pool_start(f.pool, NULL, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_BUSY);
	g_assert_cmpuint(f.pop.drop->sessions, >, 1);
	submit(&f, REQUEST_SYNC, NULL);
	wait_done(&f, 1);
	g_assert_cmpint(health(&f), ==, POOL_OFFLINE);
	end(&f);
}

static void
test_says_busy_where_it_was_online(void)
{
	g_autofree char *expected = g_strdup_printf("error %d\n", MAILFS_ERROR_BUSY);
	Fixture f = {0};

	begin(&f, 20, 2000);
	must_start(&f);
	WAIT(pop_maildrop_open(f.pop.drop) == 0);
	g_mutex_lock(&f.pop.drop->lock);
	f.pop.drop->busy_logins = 1000;
	g_mutex_unlock(&f.pop.drop->lock);
	submit(&f, REQUEST_FETCH, "3");
	wait_done(&f, 1);
	g_assert_cmpstr(f.log->str, ==, expected);
	end(&f);
}

static void
test_stays_online_when_a_line_is_lost(void)
{
	g_autofree char *expected =
		g_strdup_printf("error %d\nbody 3 whole\n", MAILFS_ERROR_OFFLINE);
	Fixture f = {0};

	begin(&f, 60000, 10000);
	must_start(&f);
	submit(&f, REQUEST_SYNC, NULL);
	wait_done(&f, 1);
	f.pop.drop->cut_at = "RETR 2";
	submit(&f, REQUEST_FETCH, "2");
	wait_done(&f, 2);
	f.pop.drop->cut_at = NULL;
	g_assert_cmpint(health(&f), ==, POOL_ONLINE);
	submit(&f, REQUEST_FETCH, "3");
	wait_done(&f, 3);
	g_assert_cmpstr(f.log->str, ==, expected);
	end(&f);
}

static void
test_goes_when_the_server_goes_or_the_machine_has_slept(void)
{
	static const char *const dialog[] = {">+OK",	     "=CAPA", ">-ERR",	"=USER u", ">+OK",
					     "=PASS secret", ">+OK",  "!pause", "!close",  NULL};
	g_autoptr(PopMemory) memory = pop_memory_new();
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = pop_client_new(peer, TLS_NONE, memory);
	g_autoptr(GError) error = NULL;
	Backend *backend = client->backend;

	client->config.linger_ms = 60000;
	imap_client_must_login(client);
	g_assert_cmpint(backend->ops->tick(backend, g_get_monotonic_time(), &error), >, 0);
	g_assert_false(backend->leave);
	peer_go(peer);
	g_assert_true(imap_client_pump(client, 10000, &backend->leave, &error));
	g_assert_no_error(error);
	g_assert_true(backend->leave);

	backend->leave = FALSE;
	backend->probe = TRUE;
	backend->ops->tick(backend, g_get_monotonic_time(), &error);
	g_assert_true(backend->leave);
}

static void
test_tells_once_what_the_server_says_in_each_session(void)
{
	Fixture f = {0};

	begin(&f, 20, 10000);
	f.pop.drop->keeps_nothing = TRUE;
	must_start(&f);
	WAIT(pop_maildrop_open(f.pop.drop) == 0);
	submit(&f, REQUEST_SYNC, NULL);
	wait_done(&f, 1);
	g_assert_cmpuint(f.pop.drop->sessions, ==, 2);
	g_assert_cmpstr(f.log->str, ==, "alert\n");
	end(&f);
}

static void
test_leaves_a_server_alone_that_wants_to_be(void)
{
	g_autofree char *expected =
		g_strdup_printf("error %d\nerror %d\n", MAILFS_ERROR_OFFLINE, MAILFS_ERROR_LIMIT);
	Fixture f = {0};

	/* All three on the one line that there may be. */
	begin(&f, 5000, 10000);
	f.pop.drop->login_delay = 900;
	must_start(&f);
	submit(&f, REQUEST_SYNC, NULL);
	wait_done(&f, 1);
	f.pop.drop->cut_at = "RETR 2";
	submit(&f, REQUEST_FETCH, "2");
	wait_done(&f, 2);
	submit(&f, REQUEST_FETCH, "3");
	wait_done(&f, 3);
	g_assert_cmpstr(f.log->str, ==, expected);
	g_assert_cmpuint(f.pop.drop->sessions, ==, 1);
	end(&f);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/pop-pool/" #name, test_##name)
	TEST(gives_the_maildrop_back_and_takes_it_again);
	TEST(deletes_between_reads_in_a_session_of_its_own);
	TEST(asks_for_a_new_listing_in_a_new_session);
	TEST(waits_while_another_has_the_maildrop);
	TEST(does_not_wait_for_ever_for_the_maildrop);
	TEST(says_busy_where_it_was_online);
	TEST(stays_online_when_a_line_is_lost);
	TEST(goes_when_the_server_goes_or_the_machine_has_slept);
	TEST(tells_once_what_the_server_says_in_each_session);
	TEST(leaves_a_server_alone_that_wants_to_be);
	return g_test_run();
}
