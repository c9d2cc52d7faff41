/* SPDX-License-Identifier: MIT */
#include "mail/mailbox.h"

#include <string.h>

#include "mailbox-fixture.h"

/* --- the listing --- */

static void
test_the_first_listing_shows_all_there_is(Fixture *fixture, gconstpointer data)
{
	MessageView message;
	g_autofree char *name = NULL;

	fake_server_fill(fixture->server, "INBOX", 1500);
	fake_server_flag(fixture->server, "INBOX", 7, MESSAGE_SEEN | MESSAGE_FLAGGED,
			 "work $Label1");
	g_assert_cmpuint(view_of(fixture).messages, ==, 0);
	g_assert_false(view_of(fixture).listed);
	refresh(fixture);
	assert_mirrors(fixture);
	g_assert_cmpuint(view_of(fixture).count, ==, 1500);
	g_assert_cmpuint(view_of(fixture).uidvalidity, ==, 1000);
	g_assert_cmpuint(fixture->listings, ==, 3);
	g_assert_cmpuint(counts_of(fixture).requests[REQUEST_SYNC], ==, 1);
	name = mailbox_name_of(fixture->mailbox, 7);
	g_assert_true(g_str_has_prefix(name, "20261121-063819_Message-7."));
	g_assert_true(g_str_has_suffix(name, ".eml"));
	g_assert_true(mailbox_find(fixture->mailbox, name, &message));
	g_assert_cmpuint(message.uid, ==, 7);
	g_assert_cmpint(message.date, ==, 1795243092 + 7);
	g_assert_null(mailbox_error(fixture->mailbox));
}

static void
test_an_empty_mailbox_is_listed(Fixture *fixture, gconstpointer data)
{
	refresh(fixture);
	assert_mirrors(fixture);
	g_assert_cmpuint(view_of(fixture).count, ==, 0);
	g_assert_cmpuint(view_of(fixture).messages, !=, 0);
}

static void
test_later_only_what_is_new_is_asked_for(Fixture *fixture, gconstpointer qresync)
{
	guint64 version;

	FAKE_SET(fixture->server, qresync, qresync != NULL);
	fake_server_fill(fixture->server, "INBOX", 100);
	refresh(fixture);
	version = view_of(fixture).version;
	refresh(fixture);
	g_assert_cmpuint(view_of(fixture).version, ==, version);
	g_assert_cmpuint(counts_of(fixture).messages, ==, 100);
	fake_server_fill(fixture->server, "INBOX", 3);
	refresh(fixture);
	assert_mirrors(fixture);
	g_assert_cmpuint(counts_of(fixture).messages, ==, 103);
	g_assert_cmpuint(view_of(fixture).version, >, version);
	if (qresync != NULL)
		g_assert_cmpuint(counts_of(fixture).flags, ==, 0);
}

static void
test_changed_flags_are_seen_and_told(Fixture *fixture, gconstpointer qresync)
{
	g_autofree char *text = NULL;

	FAKE_SET(fixture->server, qresync, qresync != NULL);
	fake_server_fill(fixture->server, "INBOX", 20);
	refresh(fixture);
	fake_server_flag(fixture->server, "INBOX", 5, MESSAGE_SEEN, "");
	fake_server_flag(fixture->server, "INBOX", 9,
			 MESSAGE_ANSWERED | MESSAGE_DELETED | MESSAGE_DRAFT | MESSAGE_FLAGGED,
			 "$Junk work");
	refresh(fixture);
	assert_mirrors(fixture);
	g_assert_cmpstr(fixture->changed->str, ==, "5 9 ");
	text = mailbox_flags_text(fixture->mailbox, 9);
	g_assert_cmpstr(text, ==, "\\Answered \\Flagged \\Deleted \\Draft $Junk work");
	g_assert_null(mailbox_flags_text(fixture->mailbox, 99));
}

/* They came and went between two looks of this line; another one has listed them. */
static void
test_what_is_gone_untold_shows_by_the_count(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, qresync, TRUE);
	fake_server_fill(fixture->server, "INBOX", 5);
	refresh(fixture);
	FAKE_SET(fixture->server, forgetful, TRUE);
	fake_server_expunge(fixture->server, "INBOX", 2, 3);
	fake_server_fill(fixture->server, "INBOX", 1);
	refresh(fixture);
	assert_mirrors(fixture);
}

static void
test_flags_told_right_after_a_new_message_are_kept(Fixture *fixture, gconstpointer data)
{
	MessageView message;

	fake_server_fill(fixture->server, "INBOX", 5);
	FAKE_SET(fixture->server, late_flags, 3);
	refresh(fixture);
	g_assert_true(mailbox_get(fixture->mailbox, view_of(fixture).messages, 3, &message));
	g_assert_cmpuint(message.flags, ==, MESSAGE_FLAGGED);
}

static void
test_equal_messages_are_numbered_and_stay_so(Fixture *fixture, gconstpointer data)
{
	static const char raw[] = "Message-ID: <1@x>\r\nSubject: Twice\r\n\r\nbody\r\n";
	g_autofree char *name = NULL;
	g_autofree char *same_name = NULL;

	for (guint i = 0; i < 3; i++)
		fake_server_add_raw(fixture->server, "INBOX", raw, 0);
	refresh(fixture);
	for (guint round = 0; round < 2; round++) {
		g_autofree char *first = mailbox_name_of(fixture->mailbox, 1);
		g_autofree char *second = mailbox_name_of(fixture->mailbox, 2);
		g_autofree char *third = mailbox_name_of(fixture->mailbox, 3);

		g_assert_true(g_str_has_prefix(first, "19700101-000000_Twice."));
		g_assert_null(strchr(first, '~'));
		g_assert_true(g_str_has_suffix(second, "~2.eml"));
		g_assert_true(g_str_has_suffix(third, "~3.eml"));
		g_assert_cmpint(strncmp(first, second, strlen(first) - 4), ==, 0);
		/* The first one goes: the others keep their names, in this mount and in the next.
		 */
		if (round == 0) {
			leave(fixture);
			enter(fixture);
			refresh(fixture);
		}
	}
	fake_server_expunge(fixture->server, "INBOX", 1, 1);
	refresh(fixture);
	name = mailbox_name_of(fixture->mailbox, 2);
	leave(fixture);
	enter(fixture);
	refresh(fixture);
	same_name = mailbox_name_of(fixture->mailbox, 2);
	g_assert_true(g_str_has_suffix(name, "~2.eml"));
	g_assert_cmpstr(name, ==, same_name);
}

static void
test_a_message_is_found_by_name_and_by_uid(Fixture *fixture, gconstpointer data)
{
	g_autofree char *name = NULL;
	MessageView message;

	fake_server_fill(fixture->server, "INBOX", 12);
	refresh(fixture);
	name = mailbox_name_of(fixture->mailbox, 11);
	g_assert_true(mailbox_find(fixture->mailbox, name, &message));
	g_assert_cmpuint(message.uid, ==, 11);
	g_assert_true(mailbox_find(fixture->mailbox, "11.eml", &message));
	g_assert_cmpuint(message.uid, ==, 11);
	g_assert_false(mailbox_find(fixture->mailbox, "011.eml", &message));
	g_assert_false(mailbox_find(fixture->mailbox, "13.eml", &message));
	g_assert_false(mailbox_find(fixture->mailbox, "11", &message));
	g_assert_false(mailbox_find(fixture->mailbox, ".eml", &message));
	name[strlen(name) - 4] = '\0';
	g_assert_false(mailbox_find(fixture->mailbox, name, &message));
}

static gboolean
check_uid_name(gpointer user, const MessageView *message, const char *file_name)
{
	g_autofree char *expected = g_strdup_printf("%u.eml", message->uid);

	g_assert_cmpstr(file_name, ==, expected);
	return TRUE;
}

static void
test_with_uid_names_no_headers_are_asked_for(Fixture *fixture, gconstpointer data)
{
	MessageView message;

	fake_server_fill(fixture->server, "INBOX", 12);
	refresh(fixture);
	assert_mirrors(fixture);
	mailbox_each(fixture->mailbox, 1, check_uid_name, NULL);
	g_assert_true(mailbox_find(fixture->mailbox, "12.eml", &message));
	g_assert_null(mailbox_stored_header(fixture->mailbox, view_of(fixture).messages, 12));
	fake_server_expunge(fixture->server, "INBOX", 3, 3);
	refresh(fixture);
	g_assert_true(g_str_has_suffix(fixture->gone->str, ":3:3.eml "));
}

static void
test_a_fresh_listing_is_not_asked_for_again(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 5);
	refresh(fixture);
	for (guint i = 0; i < 10; i++)
		mailbox_refresh(fixture->mailbox, 60 * G_USEC_PER_SEC);
	settle(fixture);
	g_assert_cmpuint(counts_of(fixture).requests[REQUEST_SYNC], ==, 1);
}

static void
test_news_during_a_refresh_bring_exactly_one_more(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 5);
	FAKE_SET(fixture->server, mute, TRUE);
	mailbox_refresh(fixture->mailbox, G_USEC_PER_SEC);
	for (guint i = 0; i < 10; i++)
		mailbox_refresh(fixture->mailbox, 0);
	mailbox_refresh(fixture->mailbox, G_USEC_PER_SEC);
	FAKE_SET(fixture->server, mute, FALSE);
	settle(fixture);
	g_assert_cmpuint(counts_of(fixture).requests[REQUEST_SYNC], ==, 2);
	assert_mirrors(fixture);
}

static void
count_wake(gpointer user)
{
	g_atomic_int_inc((gint *)user);
}

static void
test_who_waits_is_called_once_for_each_batch(Fixture *fixture, gconstpointer data)
{
	gint wakes = 0;

	g_assert_false(mailbox_wait(fixture->mailbox, count_wake, &wakes));
	fake_server_fill(fixture->server, "INBOX", 10);
	FAKE_SET(fixture->server, mute, TRUE);
	FAKE_SET(fixture->server, batch, 2);
	FAKE_SET(fixture->server, delay_us, 10000);
	mailbox_refresh(fixture->mailbox, 0);
	g_assert_true(mailbox_wait(fixture->mailbox, count_wake, &wakes));
	g_assert_true(mailbox_wait(fixture->mailbox, count_wake, &wakes));
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(g_atomic_int_get(&wakes) == 2);
	/* Woken by the first batch: it can be seen, and more is to come. */
	g_assert_cmpuint(view_of(fixture).count, >=, 2);
	g_assert_cmpuint(view_of(fixture).count, <, 10);
	g_assert_false(view_of(fixture).listed);
	g_assert_true(mailbox_wait(fixture->mailbox, count_wake, &wakes));
	settle(fixture);
	FAKE_WAIT(g_atomic_int_get(&wakes) == 3);
	g_assert_false(mailbox_wait(fixture->mailbox, count_wake, &wakes));
}

static void
test_a_failure_is_told_to_who_waits(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	gint wakes = 0;

	fake_server_remove_mailbox(fixture->server, "INBOX");
	FAKE_SET(fixture->server, mute, TRUE);
	mailbox_refresh(fixture->mailbox, 0);
	g_assert_true(mailbox_wait(fixture->mailbox, count_wake, &wakes));
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(g_atomic_int_get(&wakes) == 1);
	error = mailbox_error(fixture->mailbox);
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND);
	g_assert_false(view_of(fixture).listed);
	fake_server_mailbox(fixture->server, "INBOX");
	refresh(fixture);
	assert_mirrors(fixture);
	g_assert_null(mailbox_error(fixture->mailbox));
}

static void
test_a_line_closed_under_a_refresh_is_made_good(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 10);
	FAKE_SET(fixture->server, drop_after, 4);
	refresh(fixture);
	assert_mirrors(fixture);
	g_assert_null(mailbox_error(fixture->mailbox));
}

/* --- UIDVALIDITY --- */

static void
test_expunged_messages_go_with_their_bodies(Fixture *fixture, gconstpointer qresync)
{
	g_autofree char *name = NULL;
	g_autofree char *expected = NULL;
	guint32 serial;

	FAKE_SET(fixture->server, qresync, qresync != NULL);
	fake_server_fill(fixture->server, "INBOX", 20);
	refresh(fixture);
	serial = view_of(fixture).messages;
	assert_reads(fixture, 4);
	g_assert_true(bodies_has(fixture->bodies, serial, 4));
	name = mailbox_name_of(fixture->mailbox, 4);
	expected = g_strdup_printf("%u:4:%s ", serial, name);
	fake_server_expunge(fixture->server, "INBOX", 4, 4);
	refresh(fixture);
	assert_mirrors(fixture);
	g_assert_cmpstr(fixture->gone->str, ==, expected);
	g_assert_false(bodies_has(fixture->bodies, serial, 4));
	g_assert_null(mailbox_name_of(fixture->mailbox, 4));
	fake_server_expunge(fixture->server, "INBOX", 1, 100);
	refresh(fixture);
	assert_mirrors(fixture);
	g_assert_cmpuint(view_of(fixture).count, ==, 0);
}

static void
test_a_renumbered_mailbox_is_listed_anew(Fixture *fixture, gconstpointer data)
{
	guint32 before, after;
	g_autofree char *old_name = NULL;
	g_autofree char *new_name = NULL;
	g_autofree char *expected = NULL;
	MessageView message;
	int code;

	fake_server_fill(fixture->server, "INBOX", 9);
	refresh(fixture);
	before = view_of(fixture).messages;
	old_name = mailbox_name_of(fixture->mailbox, 2);
	assert_reads_all(fixture);
	fake_server_renumber(fixture->server, "INBOX");
	refresh(fixture);
	after = view_of(fixture).messages;
	assert_mirrors(fixture);
	g_assert_cmpuint(after, >, before);
	g_assert_cmpuint(view_of(fixture).uidvalidity, ==, 1100);
	expected = g_strdup_printf("0>%u %u>%u ", before, before, after);
	g_assert_cmpstr(fixture->renumbered->str, ==, expected);
	/* The name is the message's, the number is not. */
	new_name = mailbox_name_of(fixture->mailbox, 8);
	g_assert_cmpstr(old_name, ==, new_name);
	g_assert_false(bodies_has(fixture->bodies, before, 2));
	g_assert_false(mailbox_get(fixture->mailbox, before, 2, &message));
	g_assert_null(read_message(fixture, before, 2, &code));
	g_assert_cmpint(code, ==, MAILFS_ERROR_NOT_FOUND);
	assert_reads_all(fixture);
	leave(fixture);
	enter(fixture);
	refresh(fixture);
	g_assert_cmpuint(view_of(fixture).messages, ==, after);
	assert_mirrors(fixture);
	assert_reads_all(fixture);
}

static void
test_a_mailbox_renumbered_between_two_mounts_is_listed_anew(Fixture *fixture, gconstpointer data)
{
	guint32 before;

	fake_server_fill(fixture->server, "INBOX", 9);
	refresh(fixture);
	assert_reads_all(fixture);
	before = view_of(fixture).messages;
	leave(fixture);
	fake_server_renumber(fixture->server, "INBOX");
	enter(fixture);
	refresh(fixture);
	g_assert_cmpuint(view_of(fixture).messages, !=, before);
	assert_mirrors(fixture);
	assert_reads_all(fixture);
}

/* The mailbox is renumbered on the server, and a reader comes before the listing knows. */
static void
test_a_reader_of_the_old_numbering_gets_nothing(Fixture *fixture, gconstpointer data)
{
	int code;

	fake_server_fill(fixture->server, "INBOX", 9);
	refresh(fixture);
	fake_server_renumber(fixture->server, "INBOX");
	g_assert_null(read_message(fixture, view_of(fixture).messages, 2, &code));
	g_assert_cmpint(code, ==, MAILFS_ERROR_STALE);
}

/* --- a listing that is cut short --- */

#define CUT_MESSAGES 12

/* Cuts the first listing before its event number @at, keeps the server away, changes things there,
 * and lets it be finished. */
static void
cut_and_resume(Fixture *fixture, int at, gboolean restart, gboolean changes)
{
	gboolean cut;
	fake_server_fill(fixture->server, "INBOX", CUT_MESSAGES);
	FAKE_SET(fixture->server, drop_after, at);
	fake_server_lock(fixture->server)->login_code = MAILFS_ERROR_OFFLINE;
	fake_server_unlock(fixture->server);
	mailbox_refresh(fixture->mailbox, 0);
	settle(fixture);
	cut = fake_server_lock(fixture->server)->drop_after < 0;
	fake_server_unlock(fixture->server);
	FAKE_SET(fixture->server, drop_after, -1);
	g_assert_cmpint(view_of(fixture).listed, ==, !cut);
	g_assert_true(cut || at > CUT_MESSAGES + 2);
	if (changes) {
		fake_server_expunge(fixture->server, "INBOX", 2, 3);
		fake_server_expunge(fixture->server, "INBOX", CUT_MESSAGES - 1, CUT_MESSAGES - 1);
		fake_server_flag(fixture->server, "INBOX", 5, MESSAGE_SEEN, "x");
		fake_server_fill(fixture->server, "INBOX", 2);
	}
	if (restart) {
		leave(fixture);
		enter(fixture);
		mailbox_refresh(fixture->mailbox, 0);
		settle(fixture);
		g_assert_cmpint(view_of(fixture).listed, ==, !cut);
	}
	FAKE_SET(fixture->server, login_code, -1);
	pool_retry(fixture->pool);
	{
		PoolStatus status = {0};

		do {
			pool_status_clear(&status);
			pool_get_status(fixture->pool, &status);
			g_usleep(500);
		} while (status.health != POOL_ONLINE);
		pool_status_clear(&status);
	}
	mailbox_refresh(fixture->mailbox, 0);
	/* As long as something is missing it must be on the way. */
	while (view_of(fixture).syncing)
		g_usleep(100);
	assert_mirrors(fixture);
}

static void
test_a_listing_cut_anywhere_is_finished_without_loss(Fixture *fixture, gconstpointer data)
{
	teardown(fixture, NULL);
	for (guint variant = 0; variant < 16; variant++)
		for (int at = 0; at <= CUT_MESSAGES + 6; at += variant < 8 ? 1 : 3) {
			setup(fixture, NULL);
			fake_server_lock(fixture->server)->descending = variant & 1;
			fake_server_unlock(fixture->server);
			FAKE_SET(fixture->server, qresync, (variant & 2) != 0);
			FAKE_SET(fixture->server, batch, variant & 4 ? 4 : 5);
			cut_and_resume(fixture, at, variant & 8, (at & 1) != 0);
			if (at % 5 == 0) {
				leave(fixture);
				enter(fixture);
				refresh(fixture);
				assert_mirrors(fixture);
			}
			teardown(fixture, NULL);
		}
	setup(fixture, NULL);
}

/* The server is asked before the index is read: what it answers is then about rows that are not
 * there. */
static void
test_rows_lost_between_two_mounts_are_noticed(Fixture *fixture, gconstpointer qresync)
{
	guint32 serial;
	IndexBatch *lost;

	FAKE_SET(fixture->server, qresync, qresync != NULL);
	fake_server_fill(fixture->server, "INBOX", 9);
	refresh(fixture);
	serial = view_of(fixture).messages;
	lost = index_batch_new(serial);
	for (guint32 uid = 4; uid <= 9; uid++)
		index_batch_remove(lost, uid);
	index_submit(fixture->index, lost);
	leave(fixture);

	fake_server_expunge(fixture->server, "INBOX", 2, 2);
	fake_server_add(fixture->server, "INBOX", "later", "text");
	enter(fixture);
	refresh(fixture);
	g_assert_cmpuint(view_of(fixture).messages, ==, serial);
	assert_mirrors(fixture);
}

/* --- without a server --- */

static void
test_what_the_index_knows_is_listed_without_a_server(Fixture *fixture, gconstpointer data)
{
	g_autofree char *before = NULL;
	g_autofree char *after = NULL;
	g_autofree char *name = NULL;
	g_autofree char *same_name = NULL;
	g_autoptr(GError) error = NULL;
	guint32 serial;
	int code;
	g_autofree char *text = NULL;

	fake_server_fill(fixture->server, "INBOX", 30);
	fake_server_flag(fixture->server, "INBOX", 7, MESSAGE_SEEN, "work");
	refresh(fixture);
	assert_reads(fixture, 7);
	before = listing_of(fixture);
	name = mailbox_name_of(fixture->mailbox, 7);
	serial = view_of(fixture).messages;
	leave(fixture);

	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	enter(fixture);
	refresh(fixture);
	g_assert_true(view_of(fixture).listed);
	after = listing_of(fixture);
	same_name = mailbox_name_of(fixture->mailbox, 7);
	g_assert_cmpstr(before, ==, after);
	g_assert_cmpstr(name, ==, same_name);
	g_assert_cmpuint(view_of(fixture).messages, ==, serial);
	error = mailbox_error(fixture->mailbox);
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
	text = read_message(fixture, serial, 7, &code);
	g_assert_cmpint(code, ==, -1);
	g_assert_nonnull(strstr(text, "body of message 7 "));
	g_assert_null(read_message(fixture, serial, 8, &code));
	g_assert_cmpint(code, ==, MAILFS_ERROR_OFFLINE);
}

/* --- what cannot be selected --- */

static void
test_what_holds_no_messages_is_never_asked(Fixture *fixture, gconstpointer data)
{
	mailbox_set_attributes(fixture->mailbox, MAILBOX_NOSELECT | MAILBOX_SUBSCRIBED);
	g_assert_cmpuint(mailbox_attributes(fixture->mailbox), ==,
			 MAILBOX_NOSELECT | MAILBOX_SUBSCRIBED);
	mailbox_refresh(fixture->mailbox, 0);
	g_assert_true(view_of(fixture).listed);
	g_assert_false(view_of(fixture).syncing);
	g_assert_cmpuint(view_of(fixture).count, ==, 0);
	g_assert_cmpuint(counts_of(fixture).requests[REQUEST_SYNC], ==, 0);
	leave(fixture);
	enter(fixture);
	g_assert_cmpuint(mailbox_attributes(fixture->mailbox), ==,
			 MAILBOX_NOSELECT | MAILBOX_SUBSCRIBED);
}

/* --- all at once --- */

static void
rough_step(Fixture *fixture, GRand *rand)
{
	guint32 uid = g_rand_int_range(rand, 1, 80);

	switch (g_rand_int_range(rand, 0, 8)) {
	case 0:
		fake_server_expunge(fixture->server, "INBOX", uid, uid + 2);
		break;
	case 1:
		fake_server_fill(fixture->server, "INBOX", g_rand_int_range(rand, 1, 8));
		break;
	case 2:
		FAKE_SET(fixture->server, drop_after, g_rand_int_range(rand, 0, 40));
		break;
	case 3:
		if (g_rand_int_range(rand, 0, 4) == 0)
			fake_server_renumber(fixture->server, "INBOX");
		break;
	case 4:
		FAKE_SET(fixture->server, qresync, g_rand_boolean(rand));
		break;
	case 5:
		FAKE_SET(fixture->server, descending, g_rand_boolean(rand));
		break;
	case 6:
		if (g_rand_int_range(rand, 0, 4) == 0) {
			leave(fixture);
			enter(fixture);
		}
		break;
	default:
		mailbox_refresh(fixture->mailbox, 0);
	}
}

static void
test_a_rough_day_ends_with_the_truth(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, batch, 4);
	for (guint32 seed = 1; seed <= 6; seed++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

		for (guint step = 0; step < 60; step++) {
			rough_step(fixture, rand);
			if (g_rand_boolean(rand))
				g_usleep(g_rand_int_range(rand, 0, 3000));
		}
		FAKE_SET(fixture->server, drop_after, -1);
		settle(fixture);
		leave(fixture);
		enter(fixture);
		refresh(fixture);
		assert_mirrors(fixture);
		assert_reads_all(fixture);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST_WITH(sentence, value, function)                                                       \
	g_test_add("/mailbox/" sentence, Fixture, value, setup, function, teardown)
#define TEST(sentence, function) TEST_WITH(sentence, NULL, function)
	TEST("the-first-listing-shows-all-there-is", test_the_first_listing_shows_all_there_is);
	TEST("an-empty-mailbox-is-listed", test_an_empty_mailbox_is_listed);
	TEST("what-is-gone-untold-shows-by-the-count", test_what_is_gone_untold_shows_by_the_count);
	TEST("later-only-what-is-new-is-asked-for", test_later_only_what_is_new_is_asked_for);
	TEST_WITH("later-only-what-changed-is-asked-for", "qresync",
		  test_later_only_what_is_new_is_asked_for);
	TEST("changed-flags-are-seen-and-told", test_changed_flags_are_seen_and_told);
	TEST_WITH("changed-flags-are-seen-and-told-with-qresync", "qresync",
		  test_changed_flags_are_seen_and_told);
	TEST("expunged-messages-go-with-their-bodies", test_expunged_messages_go_with_their_bodies);
	TEST_WITH("expunged-messages-go-with-their-bodies-with-qresync", "qresync",
		  test_expunged_messages_go_with_their_bodies);
	TEST("flags-told-right-after-a-new-message-are-kept",
	     test_flags_told_right_after_a_new_message_are_kept);
	TEST("equal-messages-are-numbered-and-stay-so",
	     test_equal_messages_are_numbered_and_stay_so);
	TEST("a-message-is-found-by-name-and-by-uid", test_a_message_is_found_by_name_and_by_uid);
	TEST_WITH("with-uid-names-no-headers-are-asked-for", "uid",
		  test_with_uid_names_no_headers_are_asked_for);
	TEST("a-fresh-listing-is-not-asked-for-again", test_a_fresh_listing_is_not_asked_for_again);
	TEST("news-during-a-refresh-bring-exactly-one-more",
	     test_news_during_a_refresh_bring_exactly_one_more);
	TEST("who-waits-is-called-once-for-each-batch",
	     test_who_waits_is_called_once_for_each_batch);
	TEST("a-failure-is-told-to-who-waits", test_a_failure_is_told_to_who_waits);
	TEST("a-line-closed-under-a-refresh-is-made-good",
	     test_a_line_closed_under_a_refresh_is_made_good);
	TEST("a-renumbered-mailbox-is-listed-anew", test_a_renumbered_mailbox_is_listed_anew);
	TEST("a-mailbox-renumbered-between-two-mounts-is-listed-anew",
	     test_a_mailbox_renumbered_between_two_mounts_is_listed_anew);
	TEST("a-reader-of-the-old-numbering-gets-nothing",
	     test_a_reader_of_the_old_numbering_gets_nothing);
	TEST("a-listing-cut-anywhere-is-finished-without-loss",
	     test_a_listing_cut_anywhere_is_finished_without_loss);
	TEST("rows-lost-between-two-mounts-are-noticed",
	     test_rows_lost_between_two_mounts_are_noticed);
	TEST_WITH("rows-lost-between-two-mounts-are-noticed-with-qresync", "qresync",
		  test_rows_lost_between_two_mounts_are_noticed);
	TEST("what-the-index-knows-is-listed-without-a-server",
	     test_what_the_index_knows_is_listed_without_a_server);
	TEST("what-holds-no-messages-is-never-asked", test_what_holds_no_messages_is_never_asked);
	TEST("a-rough-day-ends-with-the-truth", test_a_rough_day_ends_with_the_truth);
	return g_test_run();
}
