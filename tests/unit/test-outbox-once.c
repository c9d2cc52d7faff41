/* SPDX-License-Identifier: MIT */
/* Lives that end in the middle of sending, and queues that are brought back from a backup. */
#include "mail/outbox.h"

#include "outbox-fixture.h"

/* A life that ends at that moment, then another one, which sends what it thinks right. */
static void
live_until(OutboxFixture *fixture, Moment moment)
{
	g_mutex_lock(&fixture->lock);
	fixture->ends_at = moment;
	g_mutex_unlock(&fixture->lock);
	write_letter(fixture, "x.eml", "To: bob@example.org\n\nText.\n");
	FAKE_WAIT(is_over_at(fixture, AT_NO_TIME));
	leave(&fixture->base);
	fixture->ends_at = AT_NO_TIME;
}

static void
live_twice(OutboxFixture *fixture, Moment moment, gboolean without_cache)
{
	char *cache;

	live_until(fixture, moment);
	cache = g_steal_pointer(&fixture->cache);
	if (without_cache)
		fake_directory_remove(g_steal_pointer(&cache));
	begin_again(fixture, g_steal_pointer(&fixture->state), cache, TRUE);
}

static void
test_killed_at_any_moment_it_is_delivered_once_or_said_to_be_perhaps(OutboxFixture *fixture,
								     gconstpointer data)
{
	guint before = 0;

	for (Moment moment = AT_ENVELOPE; moment < N_MOMENTS; moment++) {
		g_autofree char *why = NULL;
		guint after;

		live_twice(fixture, moment, data != NULL);
		FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
		after = n_delivered(fixture);
		if (moment == AT_ENVELOPE || moment == AT_VERDICT) {
			g_assert_cmpuint(after, ==, before + 1);
			g_assert_true(holds(fixture, failed_of(fixture), ""));
		} else {
			Upload *upload;

			/* At the dot the relay has got nothing, which nobody can know. */
			g_assert_cmpuint(after, ==, before + (moment == AT_ANSWER));
			g_assert_true(holds(fixture, failed_of(fixture), "x.eml x.eml.why"));
			why = bytes_in(fixture, failed_of(fixture), "x.eml.why");
			g_assert_nonnull(strstr(why, "may have been delivered"));
			upload = uploads_find(fixture->base.uploads, failed_of(fixture), "x.eml");
			g_assert_true(upload_remove(upload, NULL));
			upload_unref(upload);
			upload = uploads_find(fixture->base.uploads, failed_of(fixture),
					      "x.eml.why");
			g_assert_true(upload_remove(upload, NULL));
			upload_unref(upload);
		}
		before = after;
	}
}

/* What the first life made of the file is not in its entry, and the second one only puts it off. */
static void
test_killed_and_put_off_it_is_still_what_was_written(OutboxFixture *fixture, gconstpointer data)
{
	live_until(fixture, AT_ENVELOPE);
	g_queue_push_tail(&fixture->answers, (gpointer) "450 4.2.1 mailbox busy");
	begin_again(fixture, g_steal_pointer(&fixture->state), g_steal_pointer(&fixture->cache),
		    TRUE);
	FAKE_WAIT(has_status(fixture, outbox_of(fixture), "x.eml", "retry"));
	leave(&fixture->base);
	begin_again(fixture, fake_directory_copy(fixture->base.state),
		    fake_directory_copy(fixture->base.cache), TRUE);
	outbox_retry(fixture->outbox);
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
	g_assert_true(holds(fixture, failed_of(fixture), ""));
	g_assert_cmpuint(n_delivered(fixture), ==, 1);
}

static void
test_a_lost_line_leaves_it_unsent_before_the_end_and_in_doubt_behind(OutboxFixture *fixture,
								     gconstpointer data)
{
	g_queue_push_tail(&fixture->answers, (gpointer) "cut");
	write_letter(fixture, "x.eml", LETTER);
	FAKE_WAIT(has_status(fixture, outbox_of(fixture), "x.eml", "(cut)"));
	outbox_online(fixture->outbox);
	FAKE_WAIT(n_delivered(fixture) == 1);
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
	g_queue_push_tail(&fixture->answers, (gpointer) "lost");
	write_letter(fixture, "y.eml", "To: bob@example.org\nMessage-ID: <other@test>\n\nText.\n");
	FAKE_WAIT(holds(fixture, failed_of(fixture), "y.eml y.eml.why"));
	outbox_retry(fixture->outbox);
	leave(&fixture->base);
	enter(&fixture->base);
	g_assert_true(holds(fixture, outbox_of(fixture), ""));
	g_assert_cmpuint(n_delivered(fixture), ==, 1);
}

#define IN_SENT                                                                                    \
	"Message-ID: <x@test>\r\nTo: bob@example.org\r\nX: filed by the provider\r\n\r\nText.\r\n"

#define SENT_ELSEWHERE                                                                             \
	"X-Mailfs-Sender: <bounce@example.org>\nX-Mailfs-Recipients: dave@example.org\n"           \
	"To: list@example.org\nMessage-ID: <x@test>\n\nText.\n"

/* While the second one is on its way the verdict on the first one has no commit; then the power
 * fails, and the ledger has none either. */
static void
test_who_gets_it_is_known_until_its_copy_is_on_disk(OutboxFixture *fixture, gconstpointer data)
{
	g_autofree char *letter = NULL;

	FAKE_SET(fixture->base.server, change_code, MAILFS_ERROR_LIMIT);
	g_mutex_lock(&fixture->lock);
	fixture->ends_at = AT_VERDICT;
	write_letter(fixture, "x.eml", SENT_ELSEWHERE);
	write_letter(fixture, "y.eml", SENT_ELSEWHERE);
	g_mutex_unlock(&fixture->lock);
	FAKE_WAIT(is_over_at(fixture, AT_NO_TIME));
	leave(&fixture->base);
	fixture->ends_at = AT_NO_TIME;
	fake_directory_remove(g_steal_pointer(&fixture->cache));
	begin_again(fixture, g_steal_pointer(&fixture->state), NULL, TRUE);
	FAKE_WAIT(holds(fixture, failed_of(fixture), "x.eml x.eml.why"));
	letter = bytes_in(fixture, failed_of(fixture), "x.eml");
	g_assert_nonnull(strstr(letter, "dave@example.org"));
}

static gint64
now(void)
{
	return g_get_real_time() / G_USEC_PER_SEC;
}

static void
test_what_is_in_sent_was_delivered_after_all(OutboxFixture *fixture, gconstpointer data)
{
	fake_server_add_raw(fixture->base.server, "Sent", IN_SENT, now());
	g_queue_push_tail(&fixture->answers, (gpointer) "lost");
	write_letter(fixture, "x.eml", LETTER);
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
	g_assert_true(holds(fixture, failed_of(fixture), ""));
	g_assert_nonnull(strstr(fixture->base.log->str, "it was delivered"));
}

static void
test_an_earlier_copy_in_sent_does_not_prove_a_later_sending(OutboxFixture *fixture,
							    gconstpointer data)
{
	fake_server_add_raw(fixture->base.server, "Sent", IN_SENT, now() - 3600);
	g_queue_push_tail(&fixture->answers, (gpointer) "lost");
	write_letter(fixture, "x.eml", LETTER);
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
	g_assert_true(holds(fixture, failed_of(fixture), "x.eml x.eml.why"));
}

static void
test_a_copy_that_the_provider_has_filed_is_not_filed_again(OutboxFixture *fixture,
							   gconstpointer data)
{
	fixture->config.save = OUTBOX_SAVE_AUTO;
	leave(&fixture->base);
	enter(&fixture->base);
	fake_server_add_raw(fixture->base.server, "Sent", IN_SENT, now());
	write_letter(fixture, "x.eml", LETTER);
	FAKE_WAIT(uploads_status(fixture->base.uploads).uploaded == 1);
	g_assert_cmpuint(on_server(&fixture->base, "Sent"), ==, 1);
	write_letter(fixture, "y.eml", "To: bob@example.org\nMessage-ID: <y@test>\n\nText.\n");
	FAKE_WAIT(on_server(&fixture->base, "Sent") == 2);
	g_assert_cmpuint(n_delivered(fixture), ==, 2);
}

static void
test_a_copy_that_cannot_be_filed_sends_nothing_again(OutboxFixture *fixture, gconstpointer data)
{
	FAKE_SET(fixture->base.server, change_code, MAILFS_ERROR_LIMIT);
	write_letter(fixture, "x.eml", LETTER);
	FAKE_WAIT(n_delivered(fixture) == 1);
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
	leave(&fixture->base);
	FAKE_SET(fixture->base.server, change_code, -1);
	enter(&fixture->base);
	uploads_retry(fixture->base.uploads);
	FAKE_WAIT(on_server(&fixture->base, "Sent") == 1);
	g_assert_cmpuint(n_delivered(fixture), ==, 1);
}

/* --- backups --- */

static char *
queue_and_copy(OutboxFixture *fixture)
{
	char *old;

	fixture->config.hold = 3600;
	leave(&fixture->base);
	enter(&fixture->base);
	write_letter(fixture, "x.eml", LETTER);
	old = fake_directory_copy(fixture->base.state);
	outbox_hurry(fixture->outbox);
	FAKE_WAIT(n_delivered(fixture) == 1 && holds(fixture, outbox_of(fixture), ""));
	FAKE_WAIT(on_server(&fixture->base, "Sent") == 1);
	fixture->config.hold = 0;
	return old;
}

static void
test_an_old_queue_that_is_brought_back_sends_nothing_again(OutboxFixture *fixture,
							   gconstpointer data)
{
	char *old = queue_and_copy(fixture);
	char *kept = fake_directory_copy(fixture->base.cache);

	leave(&fixture->base);
	/* The ledger alone knows. */
	fake_server_expunge(fixture->base.server, "Sent", 1, 1);
	begin_again(fixture, old, kept, FALSE);
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
	g_assert_true(holds(fixture, failed_of(fixture), ""));
	g_assert_cmpuint(n_delivered(fixture), ==, 1);
	g_assert_cmpuint(on_server(&fixture->base, "Sent"), ==, 0);
}

static void
test_nor_does_it_without_the_cache(OutboxFixture *fixture, gconstpointer data)
{
	char *old = queue_and_copy(fixture);
	char *older = fake_directory_copy(old);

	leave(&fixture->base);
	begin_again(fixture, old, NULL, FALSE);
	/* Its Message-ID is in Sent. */
	FAKE_WAIT(holds(fixture, outbox_of(fixture), ""));
	g_assert_true(holds(fixture, failed_of(fixture), ""));
	/* Nor there: then nobody knows. */
	leave(&fixture->base);
	fake_server_expunge(fixture->base.server, "Sent", 1, 1);
	begin_again(fixture, older, NULL, FALSE);
	FAKE_WAIT(holds(fixture, failed_of(fixture), "x.eml x.eml.why"));
	g_assert_cmpuint(n_delivered(fixture), ==, 1);
	/* What is written from now on is sent, in this life and the next. */
	write_letter(fixture, "y.eml", LETTER);
	FAKE_WAIT(n_delivered(fixture) == 2);
	leave(&fixture->base);
	enter(&fixture->base);
	write_letter(fixture, "z.eml", LETTER);
	FAKE_WAIT(n_delivered(fixture) == 3);
}

static void
nothing(Fixture *base)
{
}

static void
on_told(gpointer user, const GError *error)
{
	*(gboolean *)user = TRUE;
}

static void
test_a_life_without_an_outbox_waits_for_no_letter(OutboxFixture *fixture, gconstpointer data)
{
	static const Life without_smtp = {on_made, nothing, nothing, nothing};
	const Life *lives[] = {NULL, &without_smtp};

	fixture->config.hold = 3600;
	leave(&fixture->base);
	enter(&fixture->base);
	write_letter(fixture, "x.eml", LETTER);
	write_letter(fixture, "y.eml", LETTER);
	write_letter(fixture, "local.tmp", LETTER);
	for (guint i = 0; i < G_N_ELEMENTS(lives); i++) {
		g_autoptr(GPtrArray) lines = NULL;
		UploadsStatus status;
		gboolean told = FALSE;

		leave(&fixture->base);
		fixture->base.life = lives[i];
		enter(&fixture->base);
		uploads_wait(fixture->base.uploads, NULL, on_told, &told);
		g_assert_true(told);
		status = uploads_status(fixture->base.uploads);
		g_assert_cmpuint(status.queued + status.started, ==, 0);
		g_assert_cmpuint(status.unsent, ==, 2);
		lines = uploads_lines(fixture->base.uploads);
		g_assert_nonnull(strstr(lines->pdata[0], "utbox"));
		g_assert_nonnull(
			strstr(lines->pdata[0], "/x.eml  waits for a mount with an Outbox"));
	}
	leave(&fixture->base);
	fixture->base.life = &outbox_life;
	fixture->config.hold = 0;
	enter(&fixture->base);
	FAKE_WAIT(n_delivered(fixture) == 2);
	g_assert_cmpuint(uploads_status(fixture->base.uploads).unsent, ==, 0);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
	g_test_add("/outbox-once/" name, OutboxFixture, NULL, outbox_setup, test_##function,       \
		   outbox_teardown)
	TEST("killed-at-any-moment-it-is-delivered-once-or-said-to-be-perhaps",
	     killed_at_any_moment_it_is_delivered_once_or_said_to_be_perhaps);
	g_test_add("/outbox-once/killed-and-without-its-cache-it-is-the-same", OutboxFixture,
		   "without the ledger", outbox_setup,
		   test_killed_at_any_moment_it_is_delivered_once_or_said_to_be_perhaps,
		   outbox_teardown);
	TEST("killed-and-put-off-it-is-still-what-was-written",
	     killed_and_put_off_it_is_still_what_was_written);
	TEST("a-lost-line-leaves-it-unsent-before-the-end-and-in-doubt-behind",
	     a_lost_line_leaves_it_unsent_before_the_end_and_in_doubt_behind);
	TEST("what-is-in-sent-was-delivered-after-all", what_is_in_sent_was_delivered_after_all);
	TEST("who-gets-it-is-known-until-its-copy-is-on-disk",
	     who_gets_it_is_known_until_its_copy_is_on_disk);
	TEST("an-earlier-copy-in-sent-does-not-prove-a-later-sending",
	     an_earlier_copy_in_sent_does_not_prove_a_later_sending);
	TEST("a-copy-that-the-provider-has-filed-is-not-filed-again",
	     a_copy_that_the_provider_has_filed_is_not_filed_again);
	TEST("a-copy-that-cannot-be-filed-sends-nothing-again",
	     a_copy_that_cannot_be_filed_sends_nothing_again);
	TEST("an-old-queue-that-is-brought-back-sends-nothing-again",
	     an_old_queue_that_is_brought_back_sends_nothing_again);
	TEST("nor-does-it-without-the-cache", nor_does_it_without_the_cache);
	TEST("a-life-without-an-outbox-waits-for-no-letter",
	     a_life_without_an_outbox_waits_for_no_letter);
	return g_test_run();
}
