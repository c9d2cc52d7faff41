/* SPDX-License-Identifier: MIT */
/* What can be done to a POP3 maildrop. The fake server numbers its messages itself, as one by IMAP;
 * all that is of POP3 above the line is here. */
#include "mail/change.h"

#include "change-fixture.h"
#include "mail/expiry.h"

/* @data: the messages are kept. */
static const char kept[] = "kept";

static void
set_up_maildrop(Fixture *fixture, gconstpointer data)
{
	set_up(fixture, NULL);
	fixture->account_config.maildrop = TRUE;
	fixture->config.policy = DELETE_EXPUNGE;
	if (data == kept)
		fixture->account_config.keep_dir = fixture->state;
}

static guint
expunges(Fixture *fixture)
{
	return fake_server_counts(fixture->server).requests[REQUEST_EXPUNGE];
}

static void
test_a_removal_is_answered_for_at_once(Fixture *fixture, gconstpointer data)
{
	begin(fixture, 5);
	FAKE_SET(fixture->server, stall, TRUE);
	for (guint uid = 1; uid <= 4; uid++)
		g_assert_cmpint(rm(fixture, "INBOX", uid), ==, -1);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 1);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 5);
	FAKE_SET(fixture->server, stall, FALSE);
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	/* The first one, and then all that had come meanwhile. */
	g_assert_cmpuint(expunges(fixture), ==, 2);
	assert_true_to_server(fixture, "INBOX");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 1);
}

static void
test_what_the_line_was_lost_over_is_back(Fixture *fixture, gconstpointer data)
{
	begin(fixture, 2);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	g_assert_cmpint(wait_for_all(fixture), ==, MAILFS_ERROR_UNKNOWN_OUTCOME);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 2);
	g_assert_true(log_has(fixture, "is back: the line was lost"));
	/* It is not tried again by itself. */
	g_assert_cmpuint(expunges(fixture), ==, 1);
	assert_true_to_server(fixture, "INBOX");
	FAKE_SET(fixture->server, lose, FAKE_LOSE_AFTER);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	assert_true_to_server(fixture, "INBOX");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 1);
}

static void
test_what_found_no_line_is_done_by_the_next_one(Fixture *fixture, gconstpointer data)
{
	fake_server_config(fixture->server)->linger_ms = 1;
	begin(fixture, 2);
	/* Another client has the maildrop, which nobody knows before there is something to do. */
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_BUSY);
	fake_server_drop_lines(fixture->server);
	FAKE_WAIT(fake_server_counts(fixture->server).lines == 0);
	FAKE_WAIT(fake_health(account_pool(fixture->account)) == POOL_ONLINE);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	FAKE_WAIT(fake_health(account_pool(fixture->account)) == POOL_OFFLINE);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 1);
	FAKE_SET(fixture->server, login_code, -1);
	pool_retry(account_pool(fixture->account));
	FAKE_WAIT(changes_status(fixture->changes).on_the_way == 0);
	g_assert_false(log_has(fixture, "is back"));
	assert_true_to_server(fixture, "INBOX");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 1);
}

static void
test_nothing_is_removed_while_offline(Fixture *fixture, gconstpointer data)
{
	begin(fixture, 1);
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	/* A line that nobody needs is not missed. */
	FAKE_WAIT((pool_retry(account_pool(fixture->account)),
		   fake_health(account_pool(fixture->account)) == POOL_OFFLINE));
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, MAILFS_ERROR_OFFLINE);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 1);
}

static void
test_a_marked_one_is_deleted_by_the_next_mount(Fixture *fixture, gconstpointer data)
{
	begin(fixture, 3);
	FAKE_SET(fixture->server, stall, TRUE);
	g_assert_cmpint(rm(fixture, "INBOX", 2), ==, -1);
	leave_killed(fixture);
	FAKE_SET(fixture->server, stall, FALSE);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 3);
	enter(fixture);
	FAKE_WAIT(changes_status(fixture->changes).on_the_way == 0);
	assert_true_to_server(fixture, "INBOX");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 2);
}

static int
set_flags(Fixture *fixture, guint32 uid)
{
	UidSet *uids = uidset_new();
	Outcome outcome = {0};

	uidset_add(uids, uid, uid);
	changes_set_flags(fixture->changes, mailbox_called(fixture, "INBOX"),
			  first_in(fixture, "INBOX").serial, uids, "\\Seen", on_outcome, &outcome);
	return code_of(&outcome);
}

static int
make_mailbox(Fixture *fixture)
{
	Outcome outcome = {0};

	changes_mkdir(fixture->changes, NULL, "New", on_outcome, &outcome);
	return code_of(&outcome);
}

static void
test_what_pop3_cannot_do_is_refused_without_a_line(Fixture *fixture, gconstpointer data)
{
	guint logins;

	begin(fixture, 2);
	logins = fake_server_counts(fixture->server).logins;
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", NULL), ==, MAILFS_ERROR_UNSUPPORTED);
	g_assert_cmpint(set_flags(fixture, 1), ==, MAILFS_ERROR_UNSUPPORTED);
	g_assert_cmpint(make_mailbox(fixture), ==, MAILFS_ERROR_UNSUPPORTED);
	g_assert_cmpuint(fake_server_counts(fixture->server).logins, ==, logins);
	g_assert_true(changes_rename(fixture->changes, mailbox_called(fixture, "INBOX"),
				     first_in(fixture, "INBOX").serial, 1, "mine.eml", NULL));
}

static void
test_the_guard_counts_what_is_only_marked(Fixture *fixture, gconstpointer data)
{
	fixture->config.limit = 2;
	begin(fixture, 4);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	g_assert_cmpint(rm(fixture, "INBOX", 2), ==, -1);
	g_assert_cmpint(rm(fixture, "INBOX", 3), ==, MAILFS_ERROR_FORBIDDEN);
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 2);
}

/* --- what is kept --- */

static void
on_body(gpointer user, Body *taken, const GError *error)
{
	g_autoptr(Body) body = taken;

	g_assert_no_error(error);
	g_assert_nonnull(body);
	g_atomic_int_inc((gint *)user);
}

static void
fetch(Fixture *fixture, guint32 uid)
{
	gint times = 0;

	mailbox_open(mailbox_called(fixture, "INBOX"), first_in(fixture, "INBOX").serial, uid,
		     uid * 100, on_body, &times);
	FAKE_WAIT(g_atomic_int_get(&times) > 0);
	if (account_archive(fixture->account) != NULL)
		FAKE_WAIT(archive_has(account_archive(fixture->account), uid));
}

/* The line says so to a real server's numbers. */
static void
settle(Fixture *fixture, guint32 first, guint32 last)
{
	const PopNumbers *line = numbers_for_line(account_numbers(fixture->account));
	g_autoptr(UidSet) taken = uidset_new();
	g_autoptr(UidSet) present = uidset_new();

	for (guint i = 1; i <= last; i++) {
		g_autofree char *key = g_strdup_printf("%u", i);
		PopMessage message = {.key = key};
		PopIdentity identity = {0};
		guint32 uid;

		identity.bytes[0] = (guint8)i;
		uid = line->give(line->user, &message, &identity, taken, NULL);
		g_assert_cmpuint(uid, ==, i);
		uidset_add(taken, uid, uid);
	}
	uidset_add(present, first, last);
	line->settle(line->user, present);
}

static void
assert_names(Fixture *fixture, const char *names)
{
	g_autofree char *now = names_in(fixture, "INBOX");

	g_assert_cmpstr(now, ==, names);
}

static void
test_what_was_read_stays_and_is_removed_by_hand_only(Fixture *fixture, gconstpointer data)
{
	g_autofree char *names = NULL;
	guint before;

	begin(fixture, 3);
	settle(fixture, 1, 3);
	fetch(fixture, 1);
	fetch(fixture, 2);
	for (guint32 uid = 1; uid <= 2; uid++) {
		g_autofree char *name = g_strdup_printf("mine %u.eml", uid);

		g_assert_true(changes_rename(fixture->changes, mailbox_called(fixture, "INBOX"),
					     first_in(fixture, "INBOX").serial, uid, name, NULL));
	}
	names = names_in(fixture, "INBOX");
	/* Told by what is gone, and by what is left. */
	for (guint32 uid = 1; uid <= 2; uid++) {
		FAKE_SET(fixture->server, qresync, uid == 1);
		fake_server_expunge(fixture->server, "INBOX", uid, uid);
		listed(fixture, "INBOX");
		assert_names(fixture, names);
	}
	settle(fixture, 3, 3);
	fetch(fixture, 1);
	leave(fixture);
	enter(fixture);
	listed(fixture, "INBOX");
	settle(fixture, 3, 3);
	assert_names(fixture, names);
	before = expunges(fixture);
	/* The server need not be asked, nor reached. */
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 2);
	g_assert_false(archive_has(account_archive(fixture->account), 1));
	g_assert_cmpuint(expunges(fixture), ==, before);
	FAKE_SET(fixture->server, login_code, -1);
}

/* Here it stays, where messages are kept. */
static void
test_what_came_long_ago_is_deleted_there(Fixture *fixture, gconstpointer data)
{
	ExpiryConfig config = {.keep_s = 1000, .log = on_log, .user = fixture};
	Expiry *expiry;
	gint64 now = g_get_real_time() / G_USEC_PER_SEC;

	begin(fixture, 4);
	settle(fixture, 1, 4);
	numbers_fetched(account_numbers(fixture->account), 1, now - 1001);
	numbers_fetched(account_numbers(fixture->account), 2, now - 1001);
	numbers_fetched(account_numbers(fixture->account), 3, now - 900);
	/* It came, as it seems, but is not on disk. */
	numbers_fetched(account_numbers(fixture->account), 4, now - 1001);
	fetch(fixture, 1);
	fetch(fixture, 2);
	fetch(fixture, 3);
	expiry = expiry_new(fixture->account, &config);
	FAKE_WAIT(log_has(fixture, "pop-keep: 2 messages deleted on the server"));
	g_assert_true(log_has(fixture, ", and kept here") == (data == kept));
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 2);
	listed(fixture, "INBOX");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, data == kept ? 4 : 2);
	expiry_hurry(expiry);
	expiry_stop(expiry);
	changes_stop(fixture->changes);
	account_stop(fixture->account);
	expiry_free(expiry);
	changes_free(fixture->changes);
	account_free(fixture->account);
	enter(fixture);
	g_assert_cmpuint(expunges(fixture), ==, 1);
}

#define ADD(name, data, func)                                                                      \
	g_test_add("/change-maildrop/" name, Fixture, data, set_up_maildrop, func, tear_down)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("a-removal-is-answered-for-at-once", NULL, test_a_removal_is_answered_for_at_once);
	ADD("what-the-line-was-lost-over-is-back", NULL, test_what_the_line_was_lost_over_is_back);
	ADD("what-found-no-line-is-done-by-the-next-one", NULL,
	    test_what_found_no_line_is_done_by_the_next_one);
	ADD("nothing-is-removed-while-offline", NULL, test_nothing_is_removed_while_offline);
	ADD("a-marked-one-is-deleted-by-the-next-mount", NULL,
	    test_a_marked_one_is_deleted_by_the_next_mount);
	ADD("what-pop3-cannot-do-is-refused-without-a-line", NULL,
	    test_what_pop3_cannot_do_is_refused_without_a_line);
	ADD("the-guard-counts-what-is-only-marked", NULL,
	    test_the_guard_counts_what_is_only_marked);
	ADD("what-was-read-stays-and-is-removed-by-hand-only", kept,
	    test_what_was_read_stays_and_is_removed_by_hand_only);
	ADD("what-came-long-ago-is-deleted-there", NULL, test_what_came_long_ago_is_deleted_there);
	ADD("what-came-long-ago-and-is-kept-is-deleted-there", kept,
	    test_what_came_long_ago_is_deleted_there);
	return g_test_run();
}
