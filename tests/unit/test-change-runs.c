/* SPDX-License-Identifier: MIT */
/* Runs: what is answered before the server has heard of it, and what becomes of that when the line
 * or the process dies. */
#include "mail/change.h"

#include <sys/stat.h>

#include "change-fixture.h"
#include "mail/change-journal.h"

static gboolean
early_ones_are_on_the_way(Fixture *fixture)
{
	return changes_status(fixture->changes).on_the_way > 0;
}

/* A first move, so that the next ones belong to a run. */
static void
begin_run(Fixture *fixture, guint n)
{
	fake_server_fill(fixture->server, "INBOX", n);
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", NULL), ==, -1);
}

static char *
journal_of(Fixture *fixture)
{
	g_autofree char *path = g_build_filename(fixture->state, "changes.journal", NULL);
	char *text = NULL;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	return text;
}

static void
test_a_thousand_moves_are_few_requests(Fixture *fixture, gconstpointer data)
{
	g_autofree char *journal = NULL;

	begin_run(fixture, 1000);
	FAKE_SET(fixture->server, delay_us, 20000);
	for (guint uid = 2; uid <= 1000; uid++)
		g_assert_cmpint(move(fixture, "INBOX", uid, "Archive", NULL), ==, -1);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 0);
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	FAKE_SET(fixture->server, delay_us, 0);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_MOVE], <, 50);
	g_assert_cmpuint(count_in(fixture, "Archive"), ==, 1000);
	assert_true_to_server(fixture, "Archive");
	journal = journal_of(fixture);
	g_assert_cmpstr(journal, ==, "");
}

static void
test_the_first_of_a_run_waits_for_the_server(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 3);
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_DENIED);
	for (guint uid = 1; uid <= 3; uid++)
		g_assert_cmpint(move(fixture, "INBOX", uid, "Archive", NULL), ==,
				MAILFS_ERROR_DENIED);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 3);
}

static void
test_what_is_refused_later_is_back_and_told(Fixture *fixture, gconstpointer data)
{
	begin_run(fixture, 3);
	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_QUOTA);
	g_assert_cmpint(move(fixture, "INBOX", 2, "Archive", NULL), ==, -1);
	g_assert_cmpint(wait_for_all(fixture), ==, MAILFS_ERROR_QUOTA);
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 2);
	g_assert_true(log_has(fixture, "is back"));
	FAKE_SET(fixture->server, change_code, -1);
	/* The run is over: the next one waits for the server. */
	FAKE_SET(fixture->server, change_code, MAILFS_ERROR_DENIED);
	g_assert_cmpint(move(fixture, "INBOX", 3, "Archive", NULL), ==, MAILFS_ERROR_DENIED);
}

static void
on_wake(gpointer user)
{
	g_atomic_int_inc((gint *)user);
}

static void
test_who_looks_for_what_is_coming_waits_and_finds_it(Fixture *fixture, gconstpointer data)
{
	Mailbox *archive;
	MessageView message;
	gint times = 0;

	begin_run(fixture, 3);
	archive = mailbox_called(fixture, "Archive");
	FAKE_SET(fixture->server, delay_us, 50000);
	g_assert_cmpint(move(fixture, "INBOX", 2, "Archive", "x.eml"), ==, -1);
	g_assert_false(mailbox_find(archive, "x.eml", &message));
	g_assert_true(changes_coming(fixture->changes, archive, "x.eml"));
	g_assert_true(changes_coming(fixture->changes, archive, NULL));
	g_assert_false(changes_coming(fixture->changes, archive, "y.eml"));
	g_assert_true(changes_await(fixture->changes, archive, on_wake, &times));
	FAKE_WAIT(g_atomic_int_get(&times) == 1);
	g_assert_true(mailbox_find(archive, "x.eml", &message));
	g_assert_false(changes_coming(fixture->changes, archive, "x.eml"));
	FAKE_SET(fixture->server, delay_us, 0);
}

/* The line is cut before, in the middle of and after what the server does; the run comes to its end
 * by itself. */
static void
test_a_run_survives_the_loss_of_the_line(Fixture *fixture, gconstpointer data)
{
	begin_run(fixture, 20);
	FAKE_SET(fixture->server, lose, GPOINTER_TO_INT(data));
	for (guint uid = 2; uid <= 20; uid++)
		g_assert_cmpint(move(fixture, "INBOX", uid, "Archive", NULL), ==, -1);
	FAKE_WAIT(!early_ones_are_on_the_way(fixture));
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 0);
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 20);
	assert_true_to_server(fixture, "INBOX");
	assert_true_to_server(fixture, "Archive");
}

static void
test_a_run_that_goes_offline_waits_for_the_line(Fixture *fixture, gconstpointer data)
{
	begin_run(fixture, 10);
	FAKE_SET(fixture->server, mute, TRUE);
	for (guint uid = 2; uid <= 10; uid++)
		g_assert_cmpint(move(fixture, "INBOX", uid, "Archive", NULL), ==, -1);
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	FAKE_SET(fixture->server, mute, FALSE);
	g_assert_cmpint(wait_for_all(fixture), ==, MAILFS_ERROR_OFFLINE);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 0);
	FAKE_SET(fixture->server, login_code, -1);
	pool_retry(account_pool(fixture->account));
	changes_retry(fixture->changes);
	FAKE_WAIT(!early_ones_are_on_the_way(fixture));
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 10);
	assert_true_to_server(fixture, "Archive");
}

/* The process dies with a run under way; the next one brings it to its end, once. */
static void
test_a_killed_run_is_done_by_the_next_mount(Fixture *fixture, gconstpointer data)
{
	guint moved = 1;

	fixture->account_config.connections = 1;
	begin_run(fixture, 20);
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	if (data == NULL)
		FAKE_SET(fixture->server, mute, TRUE);
	else
		FAKE_SET(fixture->server, lose, GPOINTER_TO_INT(data));
	/* What is not answered for any more, because the line is down by then, does not count. */
	for (guint uid = 2; uid <= 20; uid++)
		moved += move(fixture, "INBOX", uid, "Archive", NULL) == -1;
	g_assert_cmpuint(moved, >, 1);
	if (data != NULL)
		g_assert_cmpint(wait_for_all(fixture), ==, MAILFS_ERROR_OFFLINE);
	leave_killed(fixture);
	FAKE_SET(fixture->server, mute, FALSE);
	enter(fixture);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 20 - moved);
	FAKE_WAIT(!early_ones_are_on_the_way(fixture));
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 20 - moved);
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, moved);
	assert_true_to_server(fixture, "INBOX");
	assert_true_to_server(fixture, "Archive");
}

/* @data: NULL: killed; else the line is lost for so long that who waits is told that nobody knows.
 */
static void
test_a_single_move_is_not_left_half_done(Fixture *fixture, gconstpointer data)
{
	Outcome outcome = {0};
	char *image;

	fixture->account_config.connections = 1;
	begin(fixture, 1);
	listed(fixture, "Archive");
	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_MIDWAY);
	changes_move(fixture->changes, mailbox_called(fixture, "INBOX"),
		     first_in(fixture, "INBOX").serial, 1, mailbox_called(fixture, "Archive"), NULL,
		     on_outcome, &outcome);
	FAKE_WAIT(count_on_server(fixture, "Archive") == 1);
	image = fake_directory_copy(fixture->state);
	g_assert_cmpint(code_of(&outcome), ==, MAILFS_ERROR_UNKNOWN_OUTCOME);
	if (data == NULL) {
		leave_killed(fixture);
		fake_directory_remove(fixture->state);
		fixture->config.state_dir = fixture->state = image;
		enter(fixture);
	} else {
		fake_directory_remove(image);
		FAKE_SET(fixture->server, login_code, -1);
		pool_retry(account_pool(fixture->account));
		changes_retry(fixture->changes);
	}
	FAKE_WAIT(!early_ones_are_on_the_way(fixture));
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 0);
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 1);
	assert_true_to_server(fixture, "INBOX");
	assert_true_to_server(fixture, "Archive");
}

static void
test_a_killed_removal_is_done_by_the_next_mount(Fixture *fixture, gconstpointer data)
{
	fixture->config.policy = DELETE_EXPUNGE;
	begin(fixture, 10);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	FAKE_SET(fixture->server, mute, TRUE);
	for (guint uid = 2; uid <= 9; uid++)
		g_assert_cmpint(rm(fixture, "INBOX", uid), ==, -1);
	leave_killed(fixture);
	FAKE_SET(fixture->server, mute, FALSE);
	enter(fixture);
	FAKE_WAIT(!early_ones_are_on_the_way(fixture));
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 1);
}

static void
test_numbers_of_before_are_never_used_after_a_renumbering(Fixture *fixture, gconstpointer data)
{
	fixture->config.policy = DELETE_EXPUNGE;
	begin(fixture, 10);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	FAKE_SET(fixture->server, mute, TRUE);
	g_assert_cmpint(rm(fixture, "INBOX", 2), ==, -1);
	leave_killed(fixture);
	FAKE_SET(fixture->server, mute, FALSE);
	fake_server_renumber(fixture->server, "INBOX");
	enter(fixture);
	FAKE_WAIT(!early_ones_are_on_the_way(fixture));
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 9);
	g_assert_true(log_has(fixture, "renumbered"));
}

static void
test_a_journal_that_lost_the_cache_still_counts(Fixture *fixture, gconstpointer data)
{
	g_autofree char *name = NULL;

	begin_run(fixture, 5);
	FAKE_SET(fixture->server, mute, TRUE);
	g_assert_cmpint(move(fixture, "INBOX", 2, "Archive", "mine.eml"), ==, -1);
	leave_killed(fixture);
	FAKE_SET(fixture->server, mute, FALSE);
	fake_directory_remove(fixture->cache);
	fixture->cache = fake_directory();
	fixture->account_config.cache_dir = fixture->cache;
	enter(fixture);
	FAKE_WAIT(!early_ones_are_on_the_way(fixture));
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 2);
	name = mailbox_name_of(mailbox_called(fixture, "Archive"), 2);
	g_assert_cmpstr(name, ==, "mine.eml");
}

static void
test_a_journal_stays_small_and_keeps_what_is_open(void)
{
	g_autofree char *directory = fake_directory();
	g_autofree char *path = g_build_filename(directory, "changes.journal", NULL);
	ChangeRecord record = {.kind = 'M',
			       .uid = 7,
			       .source = (char *)"INBOX",
			       .target = (char *)"Archive",
			       .name = (char *)"",
			       .message_id = (char *)"<a-message@example.org>"};
	GPtrArray *records;
	ChangeJournal *journal = change_journal_open(directory, &records, NULL);
	guint64 kept = change_journal_add(journal, &record);
	struct stat status;

	g_assert_cmpuint(records->len, ==, 0);
	g_ptr_array_unref(records);
	for (guint i = 0; i < 60000; i++) {
		record.uid = i + 8;
		change_journal_done(journal, change_journal_add(journal, &record));
	}
	g_assert_cmpint(stat(path, &status), ==, 0);
	g_assert_cmpint(status.st_size, <, 5 * 1024 * 1024);
	change_journal_close(journal);
	journal = change_journal_open(directory, &records, NULL);
	g_assert_cmpuint(records->len, ==, 1);
	g_assert_cmpuint(((ChangeRecord *)records->pdata[0])->id, ==, kept);
	g_assert_cmpuint(((ChangeRecord *)records->pdata[0])->uid, ==, 7);
	g_assert_cmpuint(change_journal_add(journal, &record), >, kept);
	g_ptr_array_unref(records);
	change_journal_close(journal);
	fake_directory_remove(g_steal_pointer(&directory));
}

static void
test_a_torn_journal_loses_only_what_is_torn(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = NULL;
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;

	begin_run(fixture, 10);
	FAKE_SET(fixture->server, mute, TRUE);
	for (guint uid = 2; uid <= 4; uid++)
		g_assert_cmpint(move(fixture, "INBOX", uid, "Archive", NULL), ==, -1);
	leave_killed(fixture);
	FAKE_SET(fixture->server, mute, FALSE);
	path = g_build_filename(fixture->state, "changes.journal", NULL);
	text = journal_of(fixture);
	text[strlen(text) / 2] ^= 1;
	g_file_set_contents(path, text, (gssize)strlen(text) - 5, &error);
	g_assert_no_error(error);
	enter(fixture);
	FAKE_WAIT(!early_ones_are_on_the_way(fixture));
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 2);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 8);
	listed(fixture, "INBOX");
	g_assert_cmpint(move(fixture, "INBOX", 5, "Archive", NULL), ==, -1);
}

/* The line is lost before anything is done, and the target holds what looks alike: another message
 * of the same size, or even of the same Message-ID. */
static void
test_what_only_looks_like_the_copy_costs_no_message(Fixture *fixture, gconstpointer data)
{
	static const char raw[] = "Message-ID: <a@b>\r\nSubject: s\r\n\r\nbody\r\n";
	static const char other[] = "Message-ID: <a@b>\r\nSubject: s\r\n\r\nBODY\r\n";

	fake_server_add_raw(fixture->server, "INBOX", raw, 1795243092);
	if (data == NULL)
		fake_server_add_raw(fixture->server, "Archive", other, 1795243092);
	fixture->account_config.names_uid = data != NULL;
	enter(fixture);
	/* Never listed with NULL: all that is in there may be new. */
	if (data != NULL)
		listed(fixture, "Archive");
	listed(fixture, "INBOX");
	if (data != NULL)
		fake_server_add_raw(fixture->server, "Archive", other, 1795243092);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", NULL), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 0);
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 2);
}

#define ADD(path, data, func)                                                                      \
	g_test_add("/change-runs/" path, Fixture, data, set_up, func, tear_down)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("a-thousand-moves-are-few-requests", NULL, test_a_thousand_moves_are_few_requests);
	ADD("the-first-of-a-run-waits-for-the-server", NULL,
	    test_the_first_of_a_run_waits_for_the_server);
	ADD("what-is-refused-later-is-back-and-told", NULL,
	    test_what_is_refused_later_is_back_and_told);
	ADD("who-looks-for-what-is-coming-waits-and-finds-it", NULL,
	    test_who_looks_for_what_is_coming_waits_and_finds_it);
	ADD("a-run-survives-the-loss-of-the-line-before", GINT_TO_POINTER(FAKE_LOSE_BEFORE),
	    test_a_run_survives_the_loss_of_the_line);
	ADD("a-run-survives-the-loss-of-the-line-after", GINT_TO_POINTER(FAKE_LOSE_AFTER),
	    test_a_run_survives_the_loss_of_the_line);
	ADD("a-run-survives-the-loss-of-the-line-midway", GINT_TO_POINTER(FAKE_LOSE_MIDWAY),
	    test_a_run_survives_the_loss_of_the_line);
	ADD("a-run-that-goes-offline-waits-for-the-line", NULL,
	    test_a_run_that_goes_offline_waits_for_the_line);
	ADD("a-killed-run-is-done-by-the-next-mount", NULL,
	    test_a_killed_run_is_done_by_the_next_mount);
	ADD("a-run-killed-after-the-server-began-is-done-once", GINT_TO_POINTER(FAKE_LOSE_AFTER),
	    test_a_killed_run_is_done_by_the_next_mount);
	ADD("a-run-killed-between-copy-and-removal-is-done-once", GINT_TO_POINTER(FAKE_LOSE_MIDWAY),
	    test_a_killed_run_is_done_by_the_next_mount);
	ADD("a-single-move-that-was-killed-midway-is-done-once", NULL,
	    test_a_single_move_is_not_left_half_done);
	ADD("a-single-move-of-which-nobody-knows-is-done-once", "lost",
	    test_a_single_move_is_not_left_half_done);
	ADD("a-killed-removal-is-done-by-the-next-mount", NULL,
	    test_a_killed_removal_is_done_by_the_next_mount);
	ADD("numbers-of-before-are-never-used-after-a-renumbering", NULL,
	    test_numbers_of_before_are_never_used_after_a_renumbering);
	ADD("a-journal-that-lost-the-cache-still-counts", NULL,
	    test_a_journal_that_lost_the_cache_still_counts);
	g_test_add_func("/change-runs/a-journal-stays-small-and-keeps-what-is-open",
			test_a_journal_stays_small_and_keeps_what_is_open);
	ADD("a-torn-journal-loses-only-what-is-torn", NULL,
	    test_a_torn_journal_loses_only_what_is_torn);
	ADD("what-only-looks-like-the-copy-costs-no-message", NULL,
	    test_what_only_looks_like_the_copy_costs_no_message);
	ADD("what-only-has-its-size-costs-no-message", GINT_TO_POINTER(1),
	    test_what_only_looks_like_the_copy_costs_no_message);
	return g_test_run();
}
