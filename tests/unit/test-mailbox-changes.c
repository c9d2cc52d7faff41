/* SPDX-License-Identifier: MIT */
/* What we changed ourselves, seen against what the server tells. */
#include "mail/mailbox.h"

#include "mailbox-fixture.h"

static const char header[] = "Message-ID: <1@x>\r\nSubject: Hello\r\n\r\n";

static MessageInfo
info_of(guint32 uid)
{
	return (MessageInfo){.uid = uid,
			     .flags = MESSAGE_SEEN,
			     .size = 100,
			     .date = 1795243092,
			     .keywords = "work",
			     .header = header,
			     .header_len = sizeof header - 1};
}

static gboolean
adopt(Fixture *fixture, guint32 uidvalidity, guint32 uid, const char *name)
{
	MessageInfo info = info_of(uid);

	return mailbox_adopt(fixture->mailbox, uidvalidity, &info, FALSE, 0, name);
}

static void
assert_name(Fixture *fixture, guint32 uid, const char *expected)
{
	g_autofree char *name = mailbox_name_of(fixture->mailbox, uid);

	g_assert_cmpstr(name, ==, expected);
}

static guint32
serial_of(Fixture *fixture)
{
	return view_of(fixture).messages;
}

static UidSet *
just(guint32 uid)
{
	UidSet *uids = uidset_new();

	uidset_add(uids, uid, uid);
	return uids;
}

static void
test_an_adopted_message_costs_no_listing(Fixture *fixture, gconstpointer qresync)
{
	guint listed;
	MessageView message;

	FAKE_SET(fixture->server, qresync, qresync != NULL);
	fake_server_fill(fixture->server, "INBOX", 10);
	refresh(fixture);
	listed = counts_of(fixture).messages;
	g_assert_cmpuint(fake_server_add(fixture->server, "INBOX", "x", "y"), ==, 11);
	fake_server_flag(fixture->server, "INBOX", 11, MESSAGE_SEEN, "work");
	g_assert_true(adopt(fixture, 1000, 11, "mine.eml"));
	g_assert_true(mailbox_find(fixture->mailbox, "mine.eml", &message));
	g_assert_cmpuint(message.size, ==, 100);
	assert_mirrors(fixture);
	refresh(fixture);
	assert_mirrors(fixture);
	g_assert_cmpuint(counts_of(fixture).messages, ==, listed);
	leave(fixture);
	enter(fixture);
	refresh(fixture);
	assert_name(fixture, 11, "mine.eml");
	g_assert_cmpuint(counts_of(fixture).messages, ==, listed);
}

static void
test_one_that_came_after_unknown_ones_waits_for_them(Fixture *fixture, gconstpointer qresync)
{
	FAKE_SET(fixture->server, qresync, qresync != NULL);
	fake_server_fill(fixture->server, "INBOX", 15);
	fake_server_expunge(fixture->server, "INBOX", 11, 15);
	refresh(fixture);
	fake_server_fill(fixture->server, "INBOX", 3);
	fake_server_flag(fixture->server, "INBOX", 18, MESSAGE_SEEN, "work");
	g_assert_true(adopt(fixture, 1000, 18, "mine.eml"));
	g_assert_cmpuint(view_of(fixture).count, ==, 11);
	refresh(fixture);
	assert_mirrors(fixture);
	assert_name(fixture, 18, "mine.eml");
	/* The ten of the beginning were not listed again. */
	g_assert_cmpuint(counts_of(fixture).messages, ==, 10 + 3);
}

static void
test_a_name_for_a_mailbox_never_listed_is_kept_for_later(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 3);
	g_assert_false(adopt(fixture, 1000, 2, "mine.eml"));
	g_assert_false(adopt(fixture, 999, 3, "wrong.eml"));
	refresh(fixture);
	assert_mirrors(fixture);
	assert_name(fixture, 2, "mine.eml");
	g_assert_false(mailbox_find(fixture->mailbox, "wrong.eml", &(MessageView){0}));
}

static void
test_an_expected_message_gets_its_name_by_id_and_size(Fixture *fixture, gconstpointer data)
{
	static const char raw[] = "Message-ID: <a@b>\r\nSubject: s\r\n\r\nbody\r\n";

	refresh(fixture);
	mailbox_expect(fixture->mailbox, "<a@b>", sizeof raw - 1, "mine.eml");
	mailbox_expect(fixture->mailbox, "<a@b>", 9999, "other.eml");
	fake_server_fill(fixture->server, "INBOX", 1);
	fake_server_add_raw(fixture->server, "INBOX", raw, 1795243092);
	fake_server_add_raw(fixture->server, "INBOX", raw, 1795243092);
	refresh(fixture);
	assert_mirrors(fixture);
	assert_name(fixture, 2, "mine.eml");
	g_assert_false(mailbox_find(fixture->mailbox, "other.eml", &(MessageView){0}));
}

/* A move is said to be done, and its message never comes. Later a program copies the same. */
static void
test_a_name_that_is_chosen_comes_before_one_that_was_expected(Fixture *fixture, gconstpointer data)
{
	static const char raw[] = "Message-ID: <a@b>\r\nSubject: s\r\n\r\nbody\r\n";
	MessageInfo info = {.size = sizeof raw - 1, .date = 1795243092, .keywords = ""};

	refresh(fixture);
	mailbox_expect(fixture->mailbox, "<a@b>", sizeof raw - 1, "expected.eml");
	info.uid = fake_server_add_raw(fixture->server, "INBOX", raw, info.date);
	info.header = raw;
	info.header_len = sizeof raw - 1;
	g_assert_true(mailbox_adopt(fixture->mailbox, view_of(fixture).uidvalidity, &info, FALSE, 0,
				    "chosen.eml"));
	refresh(fixture);
	assert_mirrors(fixture);
	assert_name(fixture, info.uid, "chosen.eml");
}

/* A sync was faster to list what a move has made, and a program to rename it. */
static void
test_a_name_that_was_given_since_is_kept(Fixture *fixture, gconstpointer data)
{
	static const char raw[] = "Message-ID: <a@b>\r\nSubject: s\r\n\r\nbody\r\n";
	g_autoptr(GError) error = NULL;
	MessageInfo info = {.size = sizeof raw - 1, .date = 1795243092, .keywords = ""};

	info.uid = fake_server_add_raw(fixture->server, "INBOX", raw, info.date);
	info.header = raw;
	info.header_len = sizeof raw - 1;
	refresh(fixture);
	mailbox_set_name(fixture->mailbox, view_of(fixture).messages, info.uid, "mine.eml", &error);
	g_assert_no_error(error);
	mailbox_adopt(fixture->mailbox, view_of(fixture).uidvalidity, &info, FALSE, 0, "late.eml");
	assert_name(fixture, info.uid, "mine.eml");
}

/* Their names were shown before. What others brought with them is a change. */
static void
test_our_own_arrivals_do_not_change_the_time(Fixture *fixture, gconstpointer data)
{
	refresh(fixture);
	fake_server_fill(fixture->server, "INBOX", 1);
	refresh(fixture);
	mailbox_set_changed(fixture->mailbox, 12345);
	fake_server_fill(fixture->server, "INBOX", 3);
	g_assert_true(adopt(fixture, 1000, 2, "x.eml"));
	g_assert_cmpint(view_of(fixture).changed, ==, 12345);
	refresh(fixture);
	g_assert_cmpint(view_of(fixture).changed, !=, 12345);
	adopt(fixture, 1000, 3, "y.eml");
	g_assert_cmpint(view_of(fixture).changed, !=, 12345);
	adopt(fixture, 1000, 4, "z.eml");
	g_assert_cmpint(view_of(fixture).changed, ==, 12345);
	fake_server_fill(fixture->server, "INBOX", 2);
	refresh(fixture);
	adopt(fixture, 1000, 5, "v.eml");
	g_assert_cmpint(view_of(fixture).changed, !=, 12345);
}

static void
test_a_given_name_is_taken_over(Fixture *fixture, gconstpointer data)
{
	refresh(fixture);
	fake_server_fill(fixture->server, "INBOX", 2);
	g_assert_true(adopt(fixture, 1000, 1, "x.eml"));
	g_assert_true(adopt(fixture, 1000, 2, "x.eml"));
	assert_name(fixture, 1, "x~2.eml");
	assert_name(fixture, 2, "x.eml");
	leave(fixture);
	enter(fixture);
	refresh(fixture);
	assert_name(fixture, 1, "x~2.eml");
	assert_name(fixture, 2, "x.eml");
}

static void
test_what_we_dropped_does_not_come_back_with_an_old_answer(Fixture *fixture, gconstpointer data)
{
	g_autoptr(UidSet) gone = just(4);
	guint listed;

	fake_server_fill(fixture->server, "INBOX", 10);
	refresh(fixture);
	listed = counts_of(fixture).messages;
	/* The answer is drawn up, and told while we change what it speaks of. */
	FAKE_SET(fixture->server, delay_us, 20000);
	mailbox_refresh(fixture->mailbox, 0);
	FAKE_WAIT(counts_of(fixture).flags > 0);
	mailbox_drop(fixture->mailbox, serial_of(fixture), gone);
	fake_server_expunge(fixture->server, "INBOX", 4, 4);
	FAKE_SET(fixture->server, delay_us, 0);
	settle(fixture);
	assert_mirrors(fixture);
	g_assert_cmpuint(counts_of(fixture).messages, ==, listed);
	g_assert_nonnull(strstr(fixture->gone->str, ":4:"));
}

static void
test_a_hidden_message_is_nowhere_until_it_is_shown(Fixture *fixture, gconstpointer data)
{
	g_autofree char *name = NULL;
	MessageView message;
	guint64 version;

	fake_server_fill(fixture->server, "INBOX", 3);
	refresh(fixture);
	name = mailbox_name_of(fixture->mailbox, 2);
	version = view_of(fixture).version;
	mailbox_hide(fixture->mailbox, serial_of(fixture), 2, TRUE);
	g_assert_cmpuint(view_of(fixture).version, >, version);
	g_assert_cmpuint(view_of(fixture).count, ==, 2);
	g_assert_false(mailbox_find(fixture->mailbox, name, &message));
	g_assert_false(mailbox_find(fixture->mailbox, "2.eml", &message));
	g_assert_false(mailbox_get(fixture->mailbox, serial_of(fixture), 2, &message));
	g_assert_null(mailbox_name_of(fixture->mailbox, 2));
	g_assert_null(mailbox_flags_text(fixture->mailbox, 2));
	refresh(fixture);
	g_assert_cmpuint(view_of(fixture).count, ==, 2);
	mailbox_hide(fixture->mailbox, serial_of(fixture), 2, FALSE);
	assert_mirrors(fixture);
	mailbox_hide(fixture->mailbox, serial_of(fixture), 2, TRUE);
	fake_server_expunge(fixture->server, "INBOX", 2, 2);
	refresh(fixture);
	assert_mirrors(fixture);
}

static void
test_our_own_flags_are_no_change_of_anothers(Fixture *fixture, gconstpointer data)
{
	g_autoptr(UidSet) uids = just(2);
	guint64 marks;
	g_autofree char *flags = NULL;

	fake_server_fill(fixture->server, "INBOX", 3);
	fake_server_flag(fixture->server, "INBOX", 2, MESSAGE_FLAGGED, "a b");
	refresh(fixture);
	marks = view_of(fixture).marks;
	mailbox_put_flags(fixture->mailbox, serial_of(fixture), uids, MESSAGE_SEEN, "c b",
			  MESSAGE_FLAGGED, "a", NULL);
	flags = mailbox_flags_text(fixture->mailbox, 2);
	g_assert_cmpstr(flags, ==, "\\Seen b c");
	g_assert_cmpuint(view_of(fixture).marks, >, marks);
	g_assert_true(has_changed(fixture, "2 "));
	g_assert_false(
		mailbox_had_flags(fixture->mailbox, 2, MESSAGE_FLAGGED, 10 * G_USEC_PER_SEC));
	fake_server_flag(fixture->server, "INBOX", 2, MESSAGE_SEEN, "b c");
	leave(fixture);
	enter(fixture);
	refresh(fixture);
	assert_mirrors(fixture);
}

static void
put_seen(Fixture *fixture, guint32 uid, const MailboxMoment *asked)
{
	g_autoptr(UidSet) uids = just(uid);

	mailbox_put_flags(fixture->mailbox, serial_of(fixture), uids, MESSAGE_SEEN, NULL, 0, NULL,
			  asked);
}

static void
assert_flags(Fixture *fixture, guint32 uid, const char *expected)
{
	g_autofree char *flags = mailbox_flags_text(fixture->mailbox, uid);

	g_assert_cmpstr(flags, ==, expected);
}

static void
test_our_own_flags_are_not_undone_by_an_old_answer(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 10);
	refresh(fixture);
	/* The answer is drawn up, and told while we change what it speaks of. */
	FAKE_SET(fixture->server, delay_us, 20000);
	mailbox_refresh(fixture->mailbox, 0);
	FAKE_WAIT(counts_of(fixture).flags > 0);
	put_seen(fixture, 10, NULL);
	fake_server_flag(fixture->server, "INBOX", 10, MESSAGE_SEEN, "");
	FAKE_SET(fixture->server, delay_us, 0);
	settle(fixture);
	g_assert_true(has_changed(fixture, "10 "));
	assert_flags(fixture, 10, "\\Seen");
}

/* Ours is done on the server, then theirs; theirs is told first. */
static void
test_what_others_changed_after_us_wins(Fixture *fixture, gconstpointer qresync)
{
	MailboxMoment asked;

	FAKE_SET(fixture->server, qresync, qresync != NULL);
	fake_server_fill(fixture->server, "INBOX", 10);
	refresh(fixture);
	asked = mailbox_moment(fixture->mailbox);
	fake_server_flag(fixture->server, "INBOX", 3, MESSAGE_SEEN, "");
	fake_server_flag(fixture->server, "INBOX", 3, MESSAGE_FLAGGED, "");
	refresh(fixture);
	put_seen(fixture, 3, &asked);
	FAKE_WAIT(mailbox_catch_up(fixture->mailbox) == 0);
	settle(fixture);
	assert_flags(fixture, 3, "\\Flagged");
	assert_mirrors(fixture);
}

static void
test_what_others_changed_under_a_sync_wins(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, qresync, TRUE);
	fake_server_fill(fixture->server, "INBOX", 10);
	refresh(fixture);
	fake_server_flag(fixture->server, "INBOX", 1, MESSAGE_FLAGGED, "");
	fake_server_flag(fixture->server, "INBOX", 10, MESSAGE_SEEN, "");
	fake_server_flag(fixture->server, "INBOX", 10, MESSAGE_FLAGGED, "");
	FAKE_SET(fixture->server, delay_us, 20000);
	mailbox_refresh(fixture->mailbox, 0);
	FAKE_WAIT(counts_of(fixture).flags > 0);
	put_seen(fixture, 10, NULL);
	FAKE_SET(fixture->server, delay_us, 0);
	settle(fixture);
	FAKE_WAIT(mailbox_catch_up(fixture->mailbox) == 0);
	settle(fixture);
	assert_flags(fixture, 10, "\\Flagged");
	assert_mirrors(fixture);
}

/* 2 is ours, 3 is not; what was told of 2 before does not matter. */
static void
test_what_we_marked_is_known_to_the_next_mount(Fixture *fixture, gconstpointer told)
{
	g_autoptr(UidSet) uids = just(2);
	g_autoptr(UidSet) marked = NULL;

	fake_server_fill(fixture->server, "INBOX", 4);
	refresh(fixture);
	fake_server_flag(fixture->server, "INBOX", 3, MESSAGE_DELETED, "");
	fake_server_flag(fixture->server, "INBOX", 2, MESSAGE_DELETED, "");
	if (told != NULL)
		refresh(fixture);
	mailbox_mark(fixture->mailbox, serial_of(fixture), uids);
	if (told == NULL)
		refresh(fixture);
	leave(fixture);
	enter(fixture);
	refresh(fixture);
	g_assert_cmpuint(view_of(fixture).count, ==, 3);
	g_assert_false(mailbox_get(fixture->mailbox, serial_of(fixture), 2, &(MessageView){0}));
	assert_flags(fixture, 3, "\\Deleted");
	marked = mailbox_marked(fixture->mailbox, serial_of(fixture));
	g_assert_true(uidset_contains(marked, 2));
	g_assert_cmpuint(uidset_count(marked), ==, 1);
	/* Somebody saves it, and marks it later: then it is theirs, also in the next mount. */
	fake_server_flag(fixture->server, "INBOX", 2, 0, "");
	refresh(fixture);
	g_assert_cmpuint(view_of(fixture).count, ==, 4);
	fake_server_flag(fixture->server, "INBOX", 2, MESSAGE_DELETED, "");
	refresh(fixture);
	leave(fixture);
	enter(fixture);
	refresh(fixture);
	assert_mirrors(fixture);
	uidset_free(g_steal_pointer(&marked));
	marked = mailbox_marked(fixture->mailbox, serial_of(fixture));
	g_assert_true(uidset_is_empty(marked));
}

/* The sync has the flag in a row of its own, which it writes when it ends. */
static void
test_a_mark_outlasts_the_sync_that_has_told_of_it(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 4);
	refresh(fixture);
	fixture->to_mark = 2;
	fake_server_flag(fixture->server, "INBOX", 2, MESSAGE_DELETED, "");
	refresh(fixture);
	g_assert_cmpuint(fixture->to_mark, ==, 0);
	g_assert_cmpuint(view_of(fixture).count, ==, 3);
	leave(fixture);
	enter(fixture);
	refresh(fixture);
	g_assert_cmpuint(view_of(fixture).count, ==, 3);
}

/* Somebody removes what we have made before a sync has seen it, and we hear of our OK last. */
static void
test_a_message_that_went_unheard_is_not_kept(Fixture *fixture, gconstpointer data)
{
	g_autoptr(UidSet) dropped = just(3);

	FAKE_SET(fixture->server, qresync, TRUE);
	fake_server_fill(fixture->server, "INBOX", 10);
	refresh(fixture);
	fake_server_fill(fixture->server, "INBOX", 1);
	fake_server_expunge(fixture->server, "INBOX", 11, 11);
	for (guint32 uid = 1; uid <= 10; uid++)
		fake_server_flag(fixture->server, "INBOX", uid, MESSAGE_FLAGGED, "");
	FAKE_SET(fixture->server, delay_us, 100000);
	mailbox_refresh(fixture->mailbox, 0);
	FAKE_WAIT(counts_of(fixture).flags > 0);
	g_assert_true(adopt(fixture, 1000, 11, "x.eml"));
	g_assert_true(mailbox_find(fixture->mailbox, "x.eml", &(MessageView){0}));
	/* The number of messages shows nothing: of this one is told though it is known. */
	mailbox_drop(fixture->mailbox, serial_of(fixture), dropped);
	fake_server_expunge(fixture->server, "INBOX", 3, 3);
	FAKE_SET(fixture->server, delay_us, 0);
	settle(fixture);
	FAKE_WAIT(mailbox_catch_up(fixture->mailbox) == 0);
	settle(fixture);
	assert_mirrors(fixture);
}

static void
test_news_of_a_run_of_our_own_changes_are_asked_about_once(Fixture *fixture, gconstpointer data)
{
	MailboxStatus status = {.uidvalidity = 1000, .messages = 100, .unseen = -1};
	gint64 began;
	guint asked;

	fake_server_fill(fixture->server, "INBOX", 100);
	refresh(fixture);
	asked = counts_of(fixture).requests[REQUEST_SYNC];
	began = g_get_monotonic_time();
	for (guint32 uid = 1; uid <= 50; uid++) {
		g_autoptr(UidSet) gone = just(uid);

		mailbox_use(fixture->mailbox);
		mailbox_drop(fixture->mailbox, serial_of(fixture), gone);
		fake_server_expunge(fixture->server, "INBOX", uid, uid);
		mailbox_told(fixture->mailbox);
		status.messages--;
		mailbox_take_status(fixture->mailbox, &status);
		settle(fixture);
	}
	FAKE_WAIT(mailbox_catch_up(fixture->mailbox) == 0);
	settle(fixture);
	/* Not fifty, but as many as there is time for. */
	g_assert_cmpuint(counts_of(fixture).requests[REQUEST_SYNC] - asked, <=,
			 3 + (g_get_monotonic_time() - began) / (G_USEC_PER_SEC / 4));
	assert_mirrors(fixture);
}

static void
test_names_that_would_be_ambiguous_are_refused(Fixture *fixture, gconstpointer data)
{
	static const char *const bad[] = {"x", ".eml", ".x.eml", "a/b.eml", "3.eml", "x.txt"};
	g_autofree char *taken = NULL;
	guint32 serial;

	fake_server_fill(fixture->server, "INBOX", 3);
	refresh(fixture);
	serial = serial_of(fixture);
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(mailbox_set_name(fixture->mailbox, serial, 1, bad[i], &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	}
	{
		g_autoptr(GError) error = NULL;

		taken = mailbox_name_of(fixture->mailbox, 2);
		g_assert_false(mailbox_set_name(fixture->mailbox, serial, 1, taken, &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_EXISTS);
	}
	g_assert_true(mailbox_set_name(fixture->mailbox, serial, 1, "1.eml", NULL));
	g_assert_true(mailbox_set_name(fixture->mailbox, serial, 2, "two.eml", NULL));
	g_assert_true(mailbox_set_name(fixture->mailbox, serial, 1, taken, NULL));
	assert_name(fixture, 1, taken);
	assert_name(fixture, 2, "two.eml");
}

static void
test_a_body_goes_along_and_is_counted_once(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	BodyWriter *writer = body_writer_new(fixture->bodies, 7, &error);
	guint64 size, total;
	guint32 crc;
	Body *body;

	g_assert_true(body_writer_write(writer, "hello", 5, &error));
	body = body_writer_commit(writer, 1, &size, &crc, &error);
	g_assert_nonnull(body);
	body_unref(body);
	total = bodies_total(fixture->bodies);
	bodies_move(fixture->bodies, 7, 1, 8, 2, FALSE);
	g_assert_false(bodies_has(fixture->bodies, 7, 1));
	g_assert_cmpuint(bodies_total(fixture->bodies), ==, total);
	bodies_move(fixture->bodies, 8, 2, 9, 3, TRUE);
	g_assert_true(bodies_has(fixture->bodies, 8, 2));
	bodies_remove(fixture->bodies, 8, 2);
	body = bodies_get(fixture->bodies, 9, 3, size, crc);
	g_assert_nonnull(body);
	body_unref(body);
	bodies_move(fixture->bodies, 1, 1, 9, 3, FALSE);
	g_assert_true(bodies_has(fixture->bodies, 9, 3));
	g_assert_cmpuint(bodies_total(fixture->bodies), ==, total);
}

#define ADD(path, data, func)                                                                      \
	g_test_add("/mailbox-changes/" path, Fixture, data, setup, func, teardown)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("an-adopted-message-costs-no-listing", NULL, test_an_adopted_message_costs_no_listing);
	ADD("an-adopted-message-costs-no-listing-with-qresync", "qresync",
	    test_an_adopted_message_costs_no_listing);
	ADD("one-that-came-after-unknown-ones-waits-for-them", NULL,
	    test_one_that_came_after_unknown_ones_waits_for_them);
	ADD("one-that-came-after-unknown-ones-waits-for-them-with-qresync", "qresync",
	    test_one_that_came_after_unknown_ones_waits_for_them);
	ADD("a-name-for-a-mailbox-never-listed-is-kept-for-later", NULL,
	    test_a_name_for_a_mailbox_never_listed_is_kept_for_later);
	ADD("an-expected-message-gets-its-name-by-id-and-size", NULL,
	    test_an_expected_message_gets_its_name_by_id_and_size);
	ADD("a-name-that-is-chosen-comes-before-one-that-was-expected", NULL,
	    test_a_name_that_is_chosen_comes_before_one_that_was_expected);
	ADD("a-name-that-was-given-since-is-kept", NULL, test_a_name_that_was_given_since_is_kept);
	ADD("our-own-arrivals-do-not-change-the-time", NULL,
	    test_our_own_arrivals_do_not_change_the_time);
	ADD("a-given-name-is-taken-over", NULL, test_a_given_name_is_taken_over);
	ADD("what-we-dropped-does-not-come-back-with-an-old-answer", NULL,
	    test_what_we_dropped_does_not_come_back_with_an_old_answer);
	ADD("a-hidden-message-is-nowhere-until-it-is-shown", NULL,
	    test_a_hidden_message_is_nowhere_until_it_is_shown);
	ADD("our-own-flags-are-no-change-of-anothers", NULL,
	    test_our_own_flags_are_no_change_of_anothers);
	ADD("our-own-flags-are-not-undone-by-an-old-answer", NULL,
	    test_our_own_flags_are_not_undone_by_an_old_answer);
	ADD("what-others-changed-after-us-wins", NULL, test_what_others_changed_after_us_wins);
	ADD("what-others-changed-after-us-wins-with-qresync", "qresync",
	    test_what_others_changed_after_us_wins);
	ADD("what-others-changed-under-a-sync-wins", NULL,
	    test_what_others_changed_under_a_sync_wins);
	ADD("a-mark-outlasts-the-sync-that-has-told-of-it", NULL,
	    test_a_mark_outlasts_the_sync_that_has_told_of_it);
	ADD("what-we-marked-is-known-to-the-next-mount", NULL,
	    test_what_we_marked_is_known_to_the_next_mount);
	ADD("what-we-marked-and-heard-of-is-known-to-the-next-mount", "told",
	    test_what_we_marked_is_known_to_the_next_mount);
	ADD("a-message-that-went-unheard-is-not-kept", NULL,
	    test_a_message_that_went_unheard_is_not_kept);
	ADD("news-of-a-run-of-our-own-changes-are-asked-about-once", NULL,
	    test_news_of_a_run_of_our_own_changes_are_asked_about_once);
	ADD("names-that-would-be-ambiguous-are-refused", NULL,
	    test_names_that_would_be_ambiguous_are_refused);
	ADD("a-body-goes-along-and-is-counted-once", NULL,
	    test_a_body_goes_along_and_is_counted_once);
	return g_test_run();
}
