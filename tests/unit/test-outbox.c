/* SPDX-License-Identifier: MIT */
#include "mail/outbox.h"

#include <glib/gstdio.h>
#include <utime.h>

#include "outbox-fixture.h"

/* --- what is sent --- */

static void
test_a_file_written_is_sent_and_a_copy_is_filed(OutboxFixture *fixture, gconstpointer data)
{
	const char *expected = "alice@example.org>bob@example.org,carol@example.org\n";
	g_autoptr(GBytes) copy = NULL;
	const char *letter;

	write_letter(fixture, "x.eml", LETTER);
	FAKE_WAIT(on_server(&fixture->base, "Sent") == 1);
	g_assert_cmpuint(n_delivered(fixture), ==, 1);
	letter = fixture->delivered->pdata[0];
	g_assert_true(g_str_has_prefix(letter, expected));
	g_assert_nonnull(strstr(letter, "\r\nSubject: x\r\nMessage-ID: <x@test>\r\n"));
	g_assert_nonnull(strstr(letter, "\r\n\r\nText.\r\n"));
	g_assert_nonnull(strstr(letter, "From: alice@example.org\r\n"));
	g_assert_null(strstr(letter, "Bcc"));
	copy = fake_server_body(fixture->base.server, "Sent", 1);
	g_assert_nonnull(strstr(g_bytes_get_data(copy, NULL), "Bcc: carol@example.org\r\n"));
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
	g_assert_true(holds(fixture, failed_of(fixture), ""));
	FAKE_WAIT(uploads_status(fixture->base.uploads).uploaded == 1);
}

static void
test_many_go_in_one_session(OutboxFixture *fixture, gconstpointer data)
{
	fixture->config.save = OUTBOX_SAVE_NO;
	leave(&fixture->base);
	enter(&fixture->base);
	for (guint i = 0; i < 200; i++) {
		g_autofree char *name = g_strdup_printf("%03u.txt", i);
		g_autofree char *text =
			g_strdup_printf("To: u%u@example.org\nSubject: x\n\nText.\n", i);

		write_letter(fixture, name, text);
	}
	FAKE_WAIT(n_delivered(fixture) == 200 && holds(fixture, outbox_of(fixture), ""));
	g_assert_cmpuint(fixture->opened, <=, 2);
}

/* Exim does so after a thousand. */
static void
test_a_line_that_has_served_long_is_replaced_at_once(OutboxFixture *fixture, gconstpointer data)
{
	fixture->config.save = OUTBOX_SAVE_NO;
	fixture->config.hold = 3600;
	leave(&fixture->base);
	enter(&fixture->base);
	for (guint i = 0; i < 45; i++)
		g_queue_push_tail(
			&fixture->answers,
			(gpointer)(i % 22 == 21 ? "421 4.7.0 enough for one line" : "250 ok"));
	for (guint i = 0; i < 43; i++) {
		g_autofree char *name = g_strdup_printf("%03u.txt", i);

		write_letter(fixture, name, LETTER);
	}
	outbox_hurry(fixture->outbox);
	FAKE_WAIT(n_delivered(fixture) == 43 && holds(fixture, outbox_of(fixture), ""));
}

/* No UID has them here. */
static void
test_names_that_are_numbers_are_names(OutboxFixture *fixture, gconstpointer data)
{
	write_letter(fixture, "1.eml", LETTER);
	FAKE_WAIT(n_delivered(fixture) == 1 && holds(fixture, outbox_of(fixture), ""));
	FAKE_WAIT(on_server(&fixture->base, "Sent") == 1);
}

static void
test_what_is_held_can_be_taken_back(OutboxFixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload;
	g_auto(OutboxStatus) status = {0};

	fixture->config.hold = 3600;
	leave(&fixture->base);
	enter(&fixture->base);
	write_letter(fixture, "x.eml", LETTER);
	write_letter(fixture, "y.eml", LETTER);
	g_assert_true(has_status(fixture, outbox_of(fixture), "x.eml", "held until "));
	outbox_get_status(fixture->outbox, &status);
	g_assert_cmpuint(status.held, ==, 2);
	upload = uploads_find(fixture->base.uploads, outbox_of(fixture), "x.eml");
	g_assert_true(upload_remove(upload, &error));
	upload_unref(upload);
	outbox_hurry(fixture->outbox);
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
	g_assert_cmpuint(n_delivered(fixture), ==, 1);
}

static void
test_what_is_moved_out_is_an_upload_like_any_other(OutboxFixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload;

	fixture->config.hold = 3600;
	leave(&fixture->base);
	enter(&fixture->base);
	write_letter(fixture, "x.eml", LETTER);
	upload = uploads_find(fixture->base.uploads, outbox_of(fixture), "x.eml");
	g_assert_true(upload_rename(upload, fixture->base.archive, "x.eml", &error));
	upload_unref(upload);
	outbox_hurry(fixture->outbox);
	FAKE_WAIT(on_server(&fixture->base, "Archive") == 1);
	g_assert_cmpuint(n_delivered(fixture), ==, 0);
}

static void
test_what_is_open_or_has_a_temporary_name_is_not_sent(OutboxFixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *open = put(&fixture->base, outbox_of(fixture), "open.eml", LETTER);
	Upload *temporary;

	/* The first one is gone: without a hold that is so. */
	FAKE_WAIT(n_delivered(fixture) == 1 && holds(fixture, outbox_of(fixture), ""));
	upload_unref(open);
	open = uploads_create(fixture->base.uploads, outbox_of(fixture), "open.eml", 0600, &error);
	g_assert_no_error(error);
	g_assert_true(write_file(open, LETTER, &error));
	temporary = put(&fixture->base, outbox_of(fixture), ".x.eml.Ab12", LETTER);
	write_letter(fixture, "last.eml", LETTER);
	FAKE_WAIT(n_delivered(fixture) == 2);
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ".x.eml.Ab12 open.eml"));
	g_assert_true(upload_rename(temporary, outbox_of(fixture), "x.eml", &error));
	upload_close(open);
	FAKE_WAIT(n_delivered(fixture) == 4);
	upload_unref(open);
	upload_unref(temporary);
}

/* Written and taken back. FALSE: it would be sent. */
static gboolean
is_refused_at_close(OutboxFixture *fixture, const char *text, int code)
{
	g_autoptr(GError) error = NULL;
	Upload *upload =
		uploads_create(fixture->base.uploads, outbox_of(fixture), "x.eml", 0600, &error);
	gboolean refused;

	g_assert_no_error(error);
	refused = !write_file(upload, text, &error);
	if (refused)
		g_assert_error(error, MAILFS_ERROR, code);
	upload_close(upload);
	g_assert_cmpint(has_status(fixture, outbox_of(fixture), "x.eml", "refused: "), ==, refused);
	g_assert_true(upload_remove(upload, NULL));
	upload_unref(upload);
	return refused;
}

static void
test_what_cannot_be_sent_is_refused_at_the_close(OutboxFixture *fixture, gconstpointer data)
{
	static const char *const allowed[] = {"*@Example.org", NULL};
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{"Subject: nobody\n\nx\n", MAILFS_ERROR_NO_RECIPIENT},
		{"no message\n", MAILFS_ERROR_INVALID},
		{"To: bob@example.org\nCc: eve@example.com\n\nx\n", MAILFS_ERROR_DENIED},
	};

	fixture->config.send_to = allowed;
	leave(&fixture->base);
	enter(&fixture->base);
	for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_true(is_refused_at_close(fixture, cases[i].text, cases[i].code));
	write_letter(fixture, "x.eml", LETTER);
	FAKE_WAIT(n_delivered(fixture) == 1);
}

/* The last release cannot tell anybody. */
static void
test_what_nobody_was_told_of_shows_in_failed(OutboxFixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Upload *upload =
		uploads_create(fixture->base.uploads, outbox_of(fixture), "x.eml", 0600, &error);
	g_autofree char *why = NULL;

	g_assert_true(upload_write(upload, "Subject: y\n\n", 12, 0, &error));
	upload_close(upload);
	upload_unref(upload);
	FAKE_WAIT(holds(fixture, failed_of(fixture), "x.eml x.eml.why"));
	why = bytes_in(fixture, failed_of(fixture), "x.eml.why");
	g_assert_nonnull(strstr(why, "nobody"));
	g_assert_true(holds(fixture, outbox_of(fixture), ""));
}

/* --- what the server says --- */

static void
test_what_is_refused_is_in_failed_and_goes_again_when_moved_back(OutboxFixture *fixture,
								 gconstpointer data)
{
	g_autofree char *why = NULL;
	g_autofree char *first = NULL;
	g_autoptr(GError) error = NULL;
	const char *id;
	Upload *upload;

	g_queue_push_tail(&fixture->answers, (gpointer) "550 5.1.1 there is no bob");
	write_letter(fixture, "x.eml", "To: bob@example.org\n\nText.\n");
	FAKE_WAIT(holds(fixture, failed_of(fixture), "x.eml x.eml.why"));
	why = bytes_in(fixture, failed_of(fixture), "x.eml.why");
	g_assert_nonnull(strstr(why, "550 5.1.1 there is no bob"));
	g_assert_true(has_status(fixture, failed_of(fixture), "x.eml", "failed: 550 5.1.1"));
	first = bytes_in(fixture, failed_of(fixture), "x.eml");
	/* All of that is there in the next life. */
	leave(&fixture->base);
	enter(&fixture->base);
	g_assert_true(holds(fixture, failed_of(fixture), "x.eml x.eml.why"));
	g_assert_true(has_status(fixture, failed_of(fixture), "x.eml", "failed: 550 5.1.1"));
	upload = uploads_find(fixture->base.uploads, failed_of(fixture), "x.eml");
	g_assert_true(upload_rename(upload, outbox_of(fixture), "x.eml", &error));
	upload_unref(upload);
	FAKE_WAIT(n_delivered(fixture) == 1);
	g_assert_true(holds(fixture, failed_of(fixture), ""));
	id = strstr(first, "Message-ID: <");
	g_assert_nonnull(id);
	*strstr((char *)id, "\r\n") = '\0';
	g_assert_nonnull(strstr(fixture->delivered->pdata[0], id));
}

static void
test_what_is_larger_than_the_server_takes_is_not_sent(OutboxFixture *fixture, gconstpointer data)
{
	g_autofree char *body = g_strnfill(3000, 'x');
	g_autofree char *text = g_strdup_printf("To: bob@example.org\n\n%.900s\n%.900s\n%.900s\n",
						body, body, body);
	g_autofree char *why = NULL;

	/* The first one cannot know. */
	relay_limits.size = 2000;
	g_queue_push_tail(&fixture->answers, (gpointer) "big");
	write_letter(fixture, "x.eml", text);
	FAKE_WAIT(holds(fixture, failed_of(fixture), "x.eml x.eml.why"));
	why = bytes_in(fixture, failed_of(fixture), "x.eml.why");
	g_assert_nonnull(strstr(why, "takes at most"));
	g_assert_true(is_refused_at_close(fixture, text, MAILFS_ERROR_TOO_BIG));
	/* It is known before there is a session again, but not for ever. */
	fixture->closed = "no network";
	fixture->closed_code = MAILFS_ERROR_OFFLINE;
	for (guint days = 0; days <= 8; days += 8) {
		g_autofree char *path = g_build_filename(fixture->base.cache, "size-limit", NULL);
		time_t then = time(NULL) - days * 86400;
		struct utimbuf times = {then, then};

		fixture->config.hold = 3600;
		g_assert_cmpint(g_utime(path, &times), ==, 0);
		leave(&fixture->base);
		enter(&fixture->base);
		g_assert_cmpint(is_refused_at_close(fixture, text, MAILFS_ERROR_TOO_BIG), ==,
				days == 0);
	}
	relay_limits.size = 0;
}

/* Those of one kind of failure say nothing against the message. */
static void
test_a_server_that_takes_nothing_now_is_left_alone_for_a_while(OutboxFixture *fixture,
							       gconstpointer data)
{
	g_auto(OutboxStatus) status = {0};

	fixture->config.hold = 3600;
	leave(&fixture->base);
	enter(&fixture->base);
	for (guint i = 0; i < 3; i++)
		g_queue_push_tail(&fixture->answers, (gpointer) "452 4.3.1 no room@end");
	for (guint i = 0; i < 10; i++) {
		g_autofree char *name = g_strdup_printf("m%u.eml", i);

		write_letter(fixture, name, LETTER);
	}
	outbox_hurry(fixture->outbox);
	FAKE_WAIT((outbox_status_clear(&status), outbox_get_status(fixture->outbox, &status),
		   status.later == 10 && status.due == 0));
	g_assert_nonnull(strstr(status.reason, "452 4.3.1 no room"));
	g_assert_cmpuint(n_delivered(fixture), ==, 0);
	outbox_retry(fixture->outbox);
	FAKE_WAIT(n_delivered(fixture) == 10);
}

static void
test_what_is_to_come_later_waits_and_keeps_its_id(OutboxFixture *fixture, gconstpointer data)
{
	g_auto(OutboxStatus) status = {0};

	g_queue_push_tail(&fixture->answers, (gpointer) "450 4.2.1 mailbox busy");
	write_letter(fixture, "x.eml", "To: bob@example.org\n\nText.\n");
	FAKE_WAIT(has_status(fixture, outbox_of(fixture), "x.eml", "(450 4.2.1 mailbox busy)"));
	g_assert_true(has_status(fixture, outbox_of(fixture), "x.eml", "retry "));
	outbox_get_status(fixture->outbox, &status);
	g_assert_cmpuint(status.later, ==, 1);
	g_assert_cmpint(status.next_at, >, 0);
	g_assert_cmpuint(n_delivered(fixture), ==, 0);
	outbox_retry(fixture->outbox);
	FAKE_WAIT(n_delivered(fixture) == 1);
	g_assert_true(holds(fixture, failed_of(fixture), ""));
}

static void
test_a_refusal_for_policy_stops_the_others(OutboxFixture *fixture, gconstpointer data)
{
	g_auto(OutboxStatus) status = {0};

	fixture->config.hold = 3600;
	leave(&fixture->base);
	enter(&fixture->base);
	g_queue_push_tail(&fixture->answers, (gpointer) "550 5.7.1 you look like spam");
	for (guint i = 0; i < 5; i++) {
		g_autofree char *name = g_strdup_printf("%u.eml", i + 1000);
		g_autofree char *path = g_strconcat("a", name, NULL);

		write_letter(fixture, path, LETTER);
	}
	outbox_hurry(fixture->outbox);
	FAKE_WAIT(holds(fixture, failed_of(fixture), "a1000.eml a1000.eml.why"));
	FAKE_WAIT((outbox_status_clear(&status), outbox_get_status(fixture->outbox, &status),
		   status.later == 4 && status.due == 0));
	g_assert_nonnull(strstr(status.reason, "5.7.1 you look like spam"));
	g_assert_cmpuint(n_delivered(fixture), ==, 0);
	g_assert_true(has_status(fixture, outbox_of(fixture), "a1004.eml", "policy"));
	outbox_retry(fixture->outbox);
	FAKE_WAIT(n_delivered(fixture) == 4);
}

static void
test_a_refused_login_is_not_tried_again_by_itself(OutboxFixture *fixture, gconstpointer data)
{
	g_auto(OutboxStatus) status = {0};

	fixture->closed = "the server refused the login";
	fixture->closed_code = MAILFS_ERROR_LOGIN;
	write_letter(fixture, "x.eml", LETTER);
	FAKE_WAIT(has_status(fixture, outbox_of(fixture), "x.eml", "refused the login"));
	write_letter(fixture, "y.eml", LETTER);
	outbox_online(fixture->outbox);
	outbox_get_status(fixture->outbox, &status);
	g_assert_cmpuint(status.later, ==, 2);
	g_assert_cmpuint(fixture->opened, ==, 1);
	g_mutex_lock(&fixture->lock);
	fixture->closed = NULL;
	g_mutex_unlock(&fixture->lock);
	outbox_retry(fixture->outbox);
	FAKE_WAIT(n_delivered(fixture) == 2);
}

static void
test_what_waits_for_the_network_goes_when_it_is_back(OutboxFixture *fixture, gconstpointer data)
{
	fixture->closed = "no route";
	fixture->closed_code = MAILFS_ERROR_OFFLINE;
	write_letter(fixture, "x.eml", LETTER);
	FAKE_WAIT(has_status(fixture, outbox_of(fixture), "x.eml", "(no route)"));
	g_mutex_lock(&fixture->lock);
	fixture->closed = NULL;
	g_mutex_unlock(&fixture->lock);
	outbox_online(fixture->outbox);
	FAKE_WAIT(n_delivered(fixture) == 1);
}

static void
test_limits_hold_back_what_is_too_much(OutboxFixture *fixture, gconstpointer data)
{
	for (guint i = 0; i < 2; i++) {
		g_auto(OutboxStatus) status = {0};

		fixture->config.limit = i == 0 ? 3 : 0;
		fixture->config.rate = i == 0 ? 0 : 5;
		leave(&fixture->base);
		enter(&fixture->base);
		for (guint k = 0; k < 4; k++) {
			g_autofree char *name = g_strdup_printf("m%u-%u.eml", i, k);

			write_letter(fixture, name, LETTER);
		}
		FAKE_WAIT(n_delivered(fixture) == (i == 0 ? 3 : 5));
		FAKE_WAIT((outbox_status_clear(&status),
			   outbox_get_status(fixture->outbox, &status), status.due == 0));
		g_assert_cmpuint(status.later, ==, i == 0 ? 1 : 3);
		g_assert_nonnull(strstr(status.reason, i == 0 ? "send-limit=" : "rate="));
	}
}

typedef struct {
	gint times;
	OutboxOutcome outcome;
	int code;
} Heard;

static void
on_heard(gpointer user, OutboxOutcome outcome, int code, const char *enhanced, const char *text)
{
	Heard *heard = user;

	heard->outcome = outcome;
	heard->code = code;
	g_atomic_int_inc(&heard->times);
}

static void
test_who_waits_is_told_once_and_nothing_is_held_for_him(OutboxFixture *fixture, gconstpointer data)
{
	static const struct {
		const char *answer;
		OutboxOutcome outcome;
		int code;
	} cases[] = {{"250 ok", OUTBOX_SENT, 250},
		     {"550 5.1.1 no", OUTBOX_FAILED, 550},
		     {"450 4.2.0 no", OUTBOX_LATER, 450}};

	fixture->config.hold = 3600;
	leave(&fixture->base);
	enter(&fixture->base);
	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		Heard heard = {0};
		UploadView view;
		Upload *upload;

		g_mutex_lock(&fixture->lock);
		g_queue_push_tail(&fixture->answers, (gpointer)cases[i].answer);
		g_mutex_unlock(&fixture->lock);
		upload = put(&fixture->base, outbox_of(fixture), "x.eml", LETTER);
		upload_view(upload, &view);
		upload_unref(upload);
		outbox_wait(fixture->outbox, view.id, on_heard, &heard);
		FAKE_WAIT(g_atomic_int_get(&heard.times) == 1);
		g_assert_cmpint(heard.outcome, ==, cases[i].outcome);
		g_assert_cmpint(heard.code, ==, cases[i].code);
		outbox_wait(fixture->outbox, 999999, on_heard, &heard);
		g_assert_cmpint(heard.outcome, ==, OUTBOX_GONE);
	}
}

/* What becomes of x.eml, written now, is @outcome. */
static void
must_hear(OutboxFixture *fixture, OutboxOutcome outcome)
{
	Upload *upload = put(&fixture->base, outbox_of(fixture), "x.eml", LETTER);
	Heard heard = {0};
	UploadView view;

	upload_view(upload, &view);
	outbox_wait(fixture->outbox, view.id, on_heard, &heard);
	FAKE_WAIT(g_atomic_int_get(&heard.times) == 1);
	g_assert_cmpint(heard.outcome, ==, outcome);
	g_assert_true(outcome == OUTBOX_SENT || upload_remove(upload, NULL));
	upload_unref(upload);
}

static void
test_who_waits_is_told_where_nothing_is_to_be_tried(OutboxFixture *fixture, gconstpointer data)
{
	fixture->config.limit = 1;
	leave(&fixture->base);
	enter(&fixture->base);
	must_hear(fixture, OUTBOX_SENT);
	must_hear(fixture, OUTBOX_LATER);
	fixture->config.limit = 0;
	leave(&fixture->base);
	enter(&fixture->base);
	fixture->closed = "535 5.7.8 no";
	fixture->closed_code = MAILFS_ERROR_LOGIN;
	must_hear(fixture, OUTBOX_LATER);
	must_hear(fixture, OUTBOX_LATER);
	g_assert_cmpuint(fixture->opened, ==, 2);
}

static gpointer
cancel_it(gpointer cancel)
{
	g_cancellable_cancel(cancel);
	return NULL;
}

static void
test_who_waits_for_all_can_be_called_off(OutboxFixture *fixture, gconstpointer data)
{
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	GThread *thread;

	/* The relay does not answer. */
	g_mutex_lock(&fixture->lock);
	write_letter(fixture, "x.eml", LETTER);
	thread = g_thread_new("cancel", cancel_it, cancel);
	g_assert_false(outbox_settle(fixture->outbox, G_MAXINT64, cancel));
	g_thread_join(thread);
	g_mutex_unlock(&fixture->lock);
	g_assert_true(outbox_settle(fixture->outbox, G_MAXINT64, NULL));
	g_assert_cmpuint(n_delivered(fixture), ==, 1);
}

static void
test_without_an_outbox_its_directory_takes_nothing(OutboxFixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	outbox_free(fixture->outbox);
	fixture->outbox = NULL;
	g_assert_null(
		uploads_create(fixture->base.uploads, outbox_of(fixture), "x.eml", 0600, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED);
	on_begun(&fixture->base);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
	g_test_add("/outbox/" name, OutboxFixture, NULL, outbox_setup, test_##function,            \
		   outbox_teardown)
	TEST("a-file-written-is-sent-and-a-copy-is-filed",
	     a_file_written_is_sent_and_a_copy_is_filed);
	TEST("many-go-in-one-session", many_go_in_one_session);
	TEST("a-line-that-has-served-long-is-replaced-at-once",
	     a_line_that_has_served_long_is_replaced_at_once);
	TEST("names-that-are-numbers-are-names", names_that_are_numbers_are_names);
	TEST("what-is-held-can-be-taken-back", what_is_held_can_be_taken_back);
	TEST("what-is-moved-out-is-an-upload-like-any-other",
	     what_is_moved_out_is_an_upload_like_any_other);
	TEST("what-is-open-or-has-a-temporary-name-is-not-sent",
	     what_is_open_or_has_a_temporary_name_is_not_sent);
	TEST("what-cannot-be-sent-is-refused-at-the-close",
	     what_cannot_be_sent_is_refused_at_the_close);
	TEST("what-nobody-was-told-of-shows-in-failed", what_nobody_was_told_of_shows_in_failed);
	TEST("what-is-refused-is-in-failed-and-goes-again-when-moved-back",
	     what_is_refused_is_in_failed_and_goes_again_when_moved_back);
	TEST("what-is-larger-than-the-server-takes-is-not-sent",
	     what_is_larger_than_the_server_takes_is_not_sent);
	TEST("a-server-that-takes-nothing-now-is-left-alone-for-a-while",
	     a_server_that_takes_nothing_now_is_left_alone_for_a_while);
	TEST("what-is-to-come-later-waits-and-keeps-its-id",
	     what_is_to_come_later_waits_and_keeps_its_id);
	TEST("a-refusal-for-policy-stops-the-others", a_refusal_for_policy_stops_the_others);
	TEST("a-refused-login-is-not-tried-again-by-itself",
	     a_refused_login_is_not_tried_again_by_itself);
	TEST("what-waits-for-the-network-goes-when-it-is-back",
	     what_waits_for_the_network_goes_when_it_is_back);
	TEST("limits-hold-back-what-is-too-much", limits_hold_back_what_is_too_much);
	TEST("who-waits-is-told-once-and-nothing-is-held-for-him",
	     who_waits_is_told_once_and_nothing_is_held_for_him);
	TEST("who-waits-is-told-where-nothing-is-to-be-tried",
	     who_waits_is_told_where_nothing_is_to_be_tried);
	TEST("who-waits-for-all-can-be-called-off", who_waits_for_all_can_be_called_off);
	TEST("without-an-outbox-its-directory-takes-nothing",
	     without_an_outbox_its_directory_takes_nothing);
	return g_test_run();
}
