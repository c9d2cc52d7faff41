/* SPDX-License-Identifier: MIT */
/* Messages, one at a time. */
#include "mail/change.h"

#include "change-fixture.h"

static void
test_a_moved_message_is_under_its_name_at_once_and_after_a_remount(Fixture *fixture,
								   gconstpointer data)
{
	g_autofree char *before = NULL;
	g_autofree char *after = NULL;
	g_autofree char *anew = NULL;
	FakeCounts counts;

	fake_server_fill(fixture->server, "Archive", 2);
	begin(fixture, 3);
	listed(fixture, "Archive");
	before = mailbox_name_of(mailbox_called(fixture, "INBOX"), 2);
	g_assert_cmpint(move(fixture, "INBOX", 2, "Archive", before), ==, -1);
	after = mailbox_name_of(mailbox_called(fixture, "Archive"), 3);
	g_assert_cmpstr(after, ==, before);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 2);
	counts = fake_server_counts(fixture->server);
	assert_true_to_server(fixture, "INBOX");
	assert_true_to_server(fixture, "Archive");
	g_assert_cmpuint(fake_server_counts(fixture->server).messages, ==, counts.messages);
	leave(fixture);

	fake_directory_remove(fixture->cache);
	fixture->cache = fake_directory();
	fixture->account_config.cache_dir = fixture->cache;
	enter(fixture);
	listed(fixture, "Archive");
	anew = mailbox_name_of(mailbox_called(fixture, "Archive"), 3);
	g_assert_cmpstr(anew, ==, before);
}

static void
on_body(gpointer user, Body *taken, const GError *error)
{
	g_autoptr(Body) body = taken;

	g_assert_no_error(error);
	g_atomic_int_inc((gint *)user);
}

static void
test_what_is_known_of_a_message_goes_with_it(Fixture *fixture, gconstpointer data)
{
	MessageView message;
	g_autofree char *flags = NULL;
	g_autoptr(GBytes) header = NULL;
	g_autoptr(Body) body = NULL;
	gint times = 0;

	fake_server_fill(fixture->server, "INBOX", 1);
	fake_server_claim_size(fixture->server, "INBOX", 1, 7);
	fake_server_flag(fixture->server, "INBOX", 1, MESSAGE_SEEN, "work");
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	message = first_in(fixture, "INBOX");
	mailbox_open(mailbox_called(fixture, "INBOX"), message.serial, 1, 1, on_body, &times);
	FAKE_WAIT(g_atomic_int_get(&times) > 0);
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", NULL), ==, -1);
	message = first_in(fixture, "Archive");
	g_assert_cmpuint(message.size, >, 7);
	flags = mailbox_flags_text(mailbox_called(fixture, "Archive"), message.uid);
	g_assert_cmpstr(flags, ==, "\\Seen work");
	header = mailbox_stored_header(mailbox_called(fixture, "Archive"), message.serial,
				       message.uid);
	g_assert_nonnull(header);
	body = mailbox_open_cached(mailbox_called(fixture, "Archive"), message.serial, message.uid);
	g_assert_nonnull(body);
	g_assert_cmpuint(body_size(body), ==, message.size);
}

static void
test_a_copy_is_made_by_the_server_and_shares_the_body(Fixture *fixture, gconstpointer data)
{
	Outcome outcome = {0};
	g_autofree char *names = NULL;
	MessageView message;
	g_autoptr(Body) body = NULL;
	gint times = 0;

	begin(fixture, 1);
	listed(fixture, "Archive");
	message = first_in(fixture, "INBOX");
	mailbox_open(mailbox_called(fixture, "INBOX"), message.serial, 1, 1, on_body, &times);
	FAKE_WAIT(g_atomic_int_get(&times) > 0);
	changes_copy(fixture->changes, mailbox_called(fixture, "INBOX"), message.serial, 1,
		     mailbox_called(fixture, "Archive"), "mine.eml", on_outcome, &outcome);
	g_assert_cmpint(code_of(&outcome), ==, -1);
	names = names_in(fixture, "Archive");
	g_assert_cmpstr(names, ==, "1:mine.eml ");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 1);
	message = first_in(fixture, "Archive");
	body = mailbox_open_cached(mailbox_called(fixture, "Archive"), message.serial, 1);
	g_assert_nonnull(body);
	leave(fixture);
	enter(fixture);
	listed(fixture, "Archive");
	g_clear_pointer(&names, g_free);
	names = names_in(fixture, "Archive");
	g_assert_cmpstr(names, ==, "1:mine.eml ");
}

static void
test_a_name_that_is_taken_is_taken_over_and_the_old_message_goes_by_policy(Fixture *fixture,
									   gconstpointer data)
{
	g_autofree char *names = NULL;

	fake_server_fill(fixture->server, "INBOX", 2);
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", "x.eml"), ==, -1);
	g_assert_cmpint(move(fixture, "INBOX", 2, "Archive", "x.eml"), ==, -1);
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	names = names_in(fixture, "Archive");
	g_assert_cmpstr(names, ==, "2:x.eml ");
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 1);
	g_assert_cmpuint(count_on_server(fixture, "Bin"), ==, 1);
	g_assert_cmpuint(changes_status(fixture->changes).removals, ==, 0);
}

static void
test_a_server_that_does_not_tell_the_uid_is_asked_for_the_listing(Fixture *fixture,
								  gconstpointer data)
{
	g_autofree char *names = NULL;

	fake_server_fill(fixture->server, "INBOX", 2);
	FAKE_SET(fixture->server, no_copyuid, TRUE);
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	g_assert_cmpint(move(fixture, "INBOX", 2, "Archive", "mine.eml"), ==, -1);
	names = names_in(fixture, "Archive");
	g_assert_cmpstr(names, ==, "1:mine.eml ");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 1);
}

static void
test_a_copyuid_of_another_numbering_is_not_believed(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 1);
	FAKE_SET(fixture->server, other_validity, 4711);
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", NULL), ==, -1);
	listed(fixture, "Archive");
	g_assert_cmpuint(count_in(fixture, "Archive"), ==, 1);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 0);
}

static void
test_a_renumbered_mailbox_is_not_changed_by_old_numbers(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 3);
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	fake_server_renumber(fixture->server, "INBOX");
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", NULL), ==, MAILFS_ERROR_STALE);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, MAILFS_ERROR_STALE);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 3);
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 0);
}

static void
test_a_message_that_another_has_taken_is_not_found(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 3);
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	fake_server_expunge(fixture->server, "INBOX", 2, 2);
	g_assert_cmpint(move(fixture, "INBOX", 2, "Archive", NULL), ==, MAILFS_ERROR_NOT_FOUND);
	FAKE_WAIT(count_in(fixture, "INBOX") == 2);
}

static void
test_news_from_others_in_between_are_listed_too(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 2);
	fake_server_fill(fixture->server, "Archive", 2);
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	fake_server_fill(fixture->server, "Archive", 2);
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", NULL), ==, -1);
	g_assert_cmpuint(count_in(fixture, "Archive"), ==, 3);
	listed(fixture, "Archive");
	g_assert_cmpuint(count_in(fixture, "Archive"), ==, 5);
	g_assert_cmpint(move(fixture, "INBOX", 2, "Archive", NULL), ==, -1);
	assert_true_to_server(fixture, "Archive");
}

/* A list's copy of a letter: the same Message-ID, other bytes. */
static void
test_a_look_alike_is_not_taken_for_a_copy(Fixture *fixture, gconstpointer data)
{
	static const char text[] = "Message-ID: <1@x>\r\nSubject: one\r\n\r\nText\r\n";
	static const char other[] =
		"Message-ID: <1@x>\r\nSubject: [list] one\r\n\r\nText\r\n-- \r\nthe list\r\n";
	g_autoptr(GBytes) body = NULL;
	Outcome outcome = {0};
	MailboxView view;
	MessageView message;
	gint times = 0;

	fake_server_add_raw(fixture->server, "INBOX", text, 1500000000);
	enter(fixture);
	listed(fixture, "INBOX");
	listed(fixture, "Archive");
	message = first_in(fixture, "INBOX");
	mailbox_open(mailbox_called(fixture, "INBOX"), message.serial, 1, 1, on_body, &times);
	FAKE_WAIT(g_atomic_int_get(&times) == 1);
	fake_server_add_raw(fixture->server, "Archive", other, 1500000001);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	changes_copy(fixture->changes, mailbox_called(fixture, "INBOX"), message.serial, 1,
		     mailbox_called(fixture, "Archive"), NULL, on_outcome, &outcome);
	g_assert_cmpint(code_of(&outcome), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 2);
	body = fake_server_body(fixture->server, "Archive", 2);
	g_assert_cmpmem(g_bytes_get_data(body, NULL), g_bytes_get_size(body), text, strlen(text));
	mailbox_view(mailbox_called(fixture, "Archive"), &view);
	g_assert_true(mailbox_get(mailbox_called(fixture, "Archive"), view.messages, 1, &message));
	g_assert_cmpuint(message.size, ==, strlen(other));
	g_assert_null(mailbox_open_cached(mailbox_called(fixture, "Archive"), view.messages, 1));
}

static void
test_a_line_lost_before_the_move_moves_once(Fixture *fixture, gconstpointer data)
{
	FakeLoss lose = GPOINTER_TO_INT(data);
	g_autofree char *name = NULL;

	fake_server_fill(fixture->server, "INBOX", 2);
	enter(fixture);
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	FAKE_SET(fixture->server, lose, lose);
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", "x.eml"), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 1);
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 1);
	assert_true_to_server(fixture, "INBOX");
	assert_true_to_server(fixture, "Archive");
	name = mailbox_name_of(mailbox_called(fixture, "Archive"), 1);
	g_assert_cmpstr(name, ==, "x.eml");
}

/* The first arrives above what another client has put there, and nobody has listed yet. */
static void
test_the_copy_of_one_is_not_taken_for_that_of_its_twin(Fixture *fixture, gconstpointer data)
{
	static const char twin[] = "Message-ID: <twin@test>\r\nSubject: two of it\r\n\r\nText.\r\n";

	fake_server_add_raw(fixture->server, "INBOX", twin, 1600000000);
	fake_server_add_raw(fixture->server, "Archive", twin, 1600000000);
	enter(fixture);
	listed(fixture, "Bin");
	listed(fixture, "Archive");
	listed(fixture, "INBOX");
	fake_server_fill(fixture->server, "Bin", 1);
	g_assert_cmpint(move(fixture, "INBOX", 1, "Bin", NULL), ==, -1);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	g_assert_cmpint(move(fixture, "Archive", 1, "Bin", NULL), ==, -1);
	assert_true_to_server(fixture, "Archive");
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 0);
	g_assert_cmpuint(count_on_server(fixture, "Bin"), ==, 3);
}

/* The line goes when the move was confirmed, and before it was seen as which message. */
static void
test_a_moved_message_that_was_not_seen_yet_is_on_its_way_until_it_is(Fixture *fixture,
								     gconstpointer data)
{
	gboolean marks = data != NULL;
	g_autofree char *names = NULL;
	FakeKnobs *knobs;
	guint32 serial;
	Mailbox *inbox;
	Mailbox *archive;

	fake_server_fill(fixture->server, "INBOX", 2);
	FAKE_SET(fixture->server, no_copyuid, TRUE);
	FAKE_SET(fixture->server, no_uidplus, marks);
	fixture->account_config.connections = 1;
	enter(fixture);
	archive = listed(fixture, "Archive");
	inbox = listed(fixture, "INBOX");
	serial = first_in(fixture, "INBOX").serial;
	knobs = fake_server_lock(fixture->server);
	knobs->drop_after = 3; /* copied, gone, done */
	knobs->login_code = MAILFS_ERROR_OFFLINE;
	fake_server_unlock(fixture->server);
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", "x.eml"), ==, -1);
	g_assert_cmpuint(count_in(fixture, "Archive"), ==, 0);
	g_assert_true(changes_coming(fixture->changes, archive, "x.eml"));
	g_assert_true(changes_leaving(fixture->changes, inbox, serial, 1, NULL));
	g_assert_false(changes_leaving(fixture->changes, inbox, serial, 2, NULL));
	g_assert_false(changes_busy(fixture->changes, archive));
	g_assert_cmpint(wait_for_all(fixture), ==, MAILFS_ERROR_OFFLINE);
	g_assert_cmpuint(changes_status(fixture->changes).on_the_way, ==, 0);
	FAKE_SET(fixture->server, login_code, -1);
	pool_retry(account_pool(fixture->account));
	changes_retry(fixture->changes);
	FAKE_WAIT(!changes_coming(fixture->changes, archive, "x.eml"));
	names = names_in(fixture, "Archive");
	g_assert_cmpstr(names, ==, "1:x.eml ");
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "Archive"), ==, 1);
	g_assert_cmpuint(fake_server_counts(fixture->server).changed, ==, 1);
}

static void
test_what_is_removed_goes_to_the_trash_and_from_there_for_good(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 2);
	enter(fixture);
	listed(fixture, "Bin");
	listed(fixture, "INBOX");
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	g_assert_cmpuint(count_in(fixture, "Bin"), ==, 1);
	g_assert_cmpint(rm(fixture, "Bin", 1), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "Bin"), ==, 0);
	g_assert_cmpuint(count_in(fixture, "Bin"), ==, 0);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 1);
}

static void
test_without_a_trash_nothing_is_removed(Fixture *fixture, gconstpointer data)
{
	begin(fixture, 1);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, MAILFS_ERROR_UNSUPPORTED);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 1);
	leave(fixture);
	fake_server_mailbox(fixture->server, "deleted items");
	enter(fixture);
	listed(fixture, "INBOX");
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "deleted items"), ==, 1);
}

static void
test_delete_mark_leaves_the_message_listed(Fixture *fixture, gconstpointer data)
{
	fixture->config.policy = DELETE_MARK;
	begin(fixture, 1);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	g_assert_cmpuint(first_in(fixture, "INBOX").flags, ==, MESSAGE_DELETED);
	assert_true_to_server(fixture, "INBOX");
}

/* The second of @n messages was removed from a server that can only mark it. */
static void
begin_with_a_marked_one(Fixture *fixture, guint n)
{
	fixture->config.policy = DELETE_EXPUNGE;
	FAKE_SET(fixture->server, no_uidplus, TRUE);
	begin(fixture, n);
	g_assert_cmpint(rm(fixture, "INBOX", 2), ==, -1);
}

static void
test_what_cannot_be_expunged_is_hidden_until_it_can(Fixture *fixture, gconstpointer data)
{
	begin_with_a_marked_one(fixture, 3);
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 2);
	listed(fixture, "INBOX");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 2);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 3);
	FAKE_SET(fixture->server, no_uidplus, FALSE);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 1);
	assert_true_to_server(fixture, "INBOX");
}

static void
test_a_marked_message_that_another_has_saved_stays(Fixture *fixture, gconstpointer data)
{
	begin_with_a_marked_one(fixture, 3);
	fake_server_flag(fixture->server, "INBOX", 2, 0, "");
	FAKE_SET(fixture->server, no_uidplus, FALSE);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, -1);
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 2);
	listed(fixture, "INBOX");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 2);
	assert_true_to_server(fixture, "INBOX");
}

static void
test_a_marked_message_that_another_has_saved_is_shown_again(Fixture *fixture, gconstpointer data)
{
	begin_with_a_marked_one(fixture, 2);
	fake_server_flag(fixture->server, "INBOX", 2, 0, "");
	listed(fixture, "INBOX");
	g_assert_cmpuint(count_in(fixture, "INBOX"), ==, 2);
}

static void
test_the_guard_stops_after_the_limit_and_can_be_lifted(Fixture *fixture, gconstpointer data)
{
	Outcome outcome = {0};

	fixture->config.limit = 3;
	begin(fixture, 6);
	for (guint uid = 1; uid <= 3; uid++)
		g_assert_cmpint(rm(fixture, "INBOX", uid), ==, -1);
	changes_remove(fixture->changes, mailbox_called(fixture, "INBOX"),
		       first_in(fixture, "INBOX").serial, 4, on_outcome, &outcome);
	FAKE_WAIT(g_atomic_int_get(&outcome.times) > 0);
	g_assert_cmpint(outcome.code, ==, MAILFS_ERROR_FORBIDDEN);
	g_assert_nonnull(strstr(outcome.text, "mailfs allow-delete"));
	g_free(outcome.text);
	g_assert_cmpint(move(fixture, "INBOX", 5, "Archive", NULL), ==, -1);
	changes_allow(fixture->changes, 600 * (gint64)G_USEC_PER_SEC);
	g_assert_cmpint(rm(fixture, "INBOX", 4), ==, -1);
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "INBOX"), ==, 1);
	g_assert_cmpuint(changes_status(fixture->changes).removals, ==, 4);
}

static int
set_flags(Fixture *fixture, guint32 uid, const char *text)
{
	Outcome outcome = {0};
	UidSet *uids = uidset_new();

	uidset_add(uids, uid, uid);
	changes_set_flags(fixture->changes, mailbox_called(fixture, "INBOX"),
			  first_in(fixture, "INBOX").serial, uids, text, on_outcome, &outcome);
	return code_of(&outcome);
}

static void
test_only_the_difference_of_flags_is_sent(Fixture *fixture, gconstpointer data)
{
	g_autofree char *flags = NULL;
	g_autofree char *listing = NULL;
	FakeCounts counts;

	fake_server_fill(fixture->server, "INBOX", 1);
	fake_server_flag(fixture->server, "INBOX", 1, MESSAGE_SEEN, "work home");
	enter(fixture);
	listed(fixture, "INBOX");
	g_assert_cmpint(set_flags(fixture, 1, "\\Seen home work"), ==, -1);
	counts = fake_server_counts(fixture->server);
	g_assert_cmpuint(counts.requests[REQUEST_STORE], ==, 0);
	/* Another client flags it meanwhile. */
	fake_server_flag(fixture->server, "INBOX", 1, MESSAGE_SEEN | MESSAGE_FLAGGED, "work home");
	g_assert_cmpint(set_flags(fixture, 1, "\\Answered work new"), ==, -1);
	flags = mailbox_flags_text(mailbox_called(fixture, "INBOX"), 1);
	g_assert_cmpstr(flags, ==, "\\Answered work new");
	listing = fake_server_listing(fixture->server, "INBOX");
	g_assert_cmpstr(listing, ==, "1 6 work new\n");
	g_assert_cmpint(set_flags(fixture, 1, "b\xc3\xa4r"), ==, MAILFS_ERROR_INVALID);
	g_assert_cmpint(set_flags(fixture, 1, "\\Nonsense"), ==, MAILFS_ERROR_INVALID);
	g_assert_cmpint(set_flags(fixture, 9, "\\Seen"), ==, MAILFS_ERROR_NOT_FOUND);
}

static void
test_many_flags_are_one_store(Fixture *fixture, gconstpointer data)
{
	Outcome outcome = {0};
	UidSet *uids = uidset_new();
	g_autoptr(GError) error = NULL;
	g_autofree char *plus = NULL;
	g_autofree char *minus = NULL;
	guint32 add, remove;

	begin(fixture, 50);
	g_assert_true(changes_parse_flags("+seen -\\Flagged +work", &add, &plus, &remove, &minus,
					  &error));
	g_assert_cmpuint(add, ==, MESSAGE_SEEN);
	g_assert_cmpuint(remove, ==, MESSAGE_FLAGGED);
	uidset_add(uids, 1, 50);
	changes_edit_flags(fixture->changes, mailbox_called(fixture, "INBOX"),
			   first_in(fixture, "INBOX").serial, uids, add, plus, remove, minus,
			   on_outcome, &outcome);
	g_assert_cmpint(code_of(&outcome), ==, -1);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_STORE], ==, 1);
	g_assert_cmpuint(fake_server_counts(fixture->server).changed, ==, 50);
	g_clear_pointer(&plus, g_free);
	g_clear_pointer(&minus, g_free);
	g_assert_false(changes_parse_flags("seen", &add, &plus, &remove, &minus, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
}

static void
test_keywords_that_the_server_cannot_keep_are_refused(Fixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->server, no_keywords, TRUE);
	begin(fixture, 1);
	g_assert_cmpint(set_flags(fixture, 1, "work"), ==, MAILFS_ERROR_UNSUPPORTED);
	g_assert_cmpuint(first_in(fixture, "INBOX").has_keywords, ==, FALSE);
}

static void
test_a_read_only_account_changes_nothing(Fixture *fixture, gconstpointer data)
{
	fixture->config.read_only = TRUE;
	begin(fixture, 1);
	g_assert_cmpint(rm(fixture, "INBOX", 1), ==, MAILFS_ERROR_READ_ONLY);
	g_assert_cmpint(move(fixture, "INBOX", 1, "Archive", NULL), ==, MAILFS_ERROR_READ_ONLY);
	g_assert_cmpint(set_flags(fixture, 1, "\\Seen"), ==, MAILFS_ERROR_READ_ONLY);
	g_assert_cmpuint(fake_server_counts(fixture->server).changed, ==, 0);
}

static void
test_a_name_in_the_mailbox_is_changed_and_kept(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *names = NULL;
	guint32 serial;

	begin(fixture, 2);
	serial = first_in(fixture, "INBOX").serial;
	g_assert_true(changes_rename(fixture->changes, mailbox_called(fixture, "INBOX"), serial, 1,
				     "a.eml", &error));
	g_assert_false(changes_rename(fixture->changes, mailbox_called(fixture, "INBOX"), serial, 1,
				      "a.txt", &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_clear_error(&error);
	g_assert_true(changes_rename(fixture->changes, mailbox_called(fixture, "INBOX"), serial, 2,
				     "a.eml", &error));
	g_assert_cmpint(wait_for_all(fixture), ==, -1);
	g_assert_cmpuint(count_on_server(fixture, "Bin"), ==, 1);
	leave(fixture);
	enter(fixture);
	listed(fixture, "INBOX");
	names = names_in(fixture, "INBOX");
	g_assert_cmpstr(names, ==, "2:a.eml ");
}

#define ADD(path, data, func) g_test_add("/change/" path, Fixture, data, set_up, func, tear_down)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("a-moved-message-is-under-its-name-at-once-and-after-a-remount", NULL,
	    test_a_moved_message_is_under_its_name_at_once_and_after_a_remount);
	ADD("what-is-known-of-a-message-goes-with-it", NULL,
	    test_what_is_known_of_a_message_goes_with_it);
	ADD("a-copy-is-made-by-the-server-and-shares-the-body", NULL,
	    test_a_copy_is_made_by_the_server_and_shares_the_body);
	ADD("a-name-that-is-taken-is-taken-over-and-the-old-message-goes-by-policy", NULL,
	    test_a_name_that_is_taken_is_taken_over_and_the_old_message_goes_by_policy);
	ADD("a-server-that-does-not-tell-the-uid-is-asked-for-the-listing", NULL,
	    test_a_server_that_does_not_tell_the_uid_is_asked_for_the_listing);
	ADD("a-copyuid-of-another-numbering-is-not-believed", NULL,
	    test_a_copyuid_of_another_numbering_is_not_believed);
	ADD("a-renumbered-mailbox-is-not-changed-by-old-numbers", NULL,
	    test_a_renumbered_mailbox_is_not_changed_by_old_numbers);
	ADD("a-message-that-another-has-taken-is-not-found", NULL,
	    test_a_message_that_another_has_taken_is_not_found);
	ADD("news-from-others-in-between-are-listed-too", NULL,
	    test_news_from_others_in_between_are_listed_too);
	ADD("a-line-lost-before-the-move-moves-once", GINT_TO_POINTER(FAKE_LOSE_BEFORE),
	    test_a_line_lost_before_the_move_moves_once);
	ADD("a-line-lost-after-the-move-moves-once", GINT_TO_POINTER(FAKE_LOSE_AFTER),
	    test_a_line_lost_before_the_move_moves_once);
	ADD("a-line-lost-between-copy-and-removal-moves-once", GINT_TO_POINTER(FAKE_LOSE_MIDWAY),
	    test_a_line_lost_before_the_move_moves_once);
	ADD("a-line-lost-before-the-removal-moves-once", GINT_TO_POINTER(FAKE_LOSE_REST),
	    test_a_line_lost_before_the_move_moves_once);
	ADD("the-copy-of-one-is-not-taken-for-that-of-its-twin", NULL,
	    test_the_copy_of_one_is_not_taken_for_that_of_its_twin);
	ADD("a-moved-message-that-was-not-seen-yet-is-on-its-way-until-it-is", NULL,
	    test_a_moved_message_that_was_not_seen_yet_is_on_its_way_until_it_is);
	ADD("a-moved-message-whose-old-place-is-marked-is-on-its-way-until-it-is-seen",
	    GINT_TO_POINTER(TRUE),
	    test_a_moved_message_that_was_not_seen_yet_is_on_its_way_until_it_is);
	ADD("a-look-alike-is-not-taken-for-a-copy", NULL,
	    test_a_look_alike_is_not_taken_for_a_copy);
	ADD("what-is-removed-goes-to-the-trash-and-from-there-for-good", NULL,
	    test_what_is_removed_goes_to_the_trash_and_from_there_for_good);
	ADD("without-a-trash-nothing-is-removed", without_trash,
	    test_without_a_trash_nothing_is_removed);
	ADD("delete-mark-leaves-the-message-listed", NULL,
	    test_delete_mark_leaves_the_message_listed);
	ADD("what-cannot-be-expunged-is-hidden-until-it-can", NULL,
	    test_what_cannot_be_expunged_is_hidden_until_it_can);
	ADD("a-marked-message-that-another-has-saved-stays", NULL,
	    test_a_marked_message_that_another_has_saved_stays);
	ADD("a-marked-message-that-another-has-saved-is-shown-again", NULL,
	    test_a_marked_message_that_another_has_saved_is_shown_again);
	ADD("the-guard-stops-after-the-limit-and-can-be-lifted", NULL,
	    test_the_guard_stops_after_the_limit_and_can_be_lifted);
	ADD("only-the-difference-of-flags-is-sent", NULL,
	    test_only_the_difference_of_flags_is_sent);
	ADD("many-flags-are-one-store", NULL, test_many_flags_are_one_store);
	ADD("keywords-that-the-server-cannot-keep-are-refused", NULL,
	    test_keywords_that_the_server_cannot_keep_are_refused);
	ADD("a-read-only-account-changes-nothing", NULL, test_a_read_only_account_changes_nothing);
	ADD("a-name-in-the-mailbox-is-changed-and-kept", NULL,
	    test_a_name_in_the_mailbox_is_changed_and_kept);
	return g_test_run();
}
