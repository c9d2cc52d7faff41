/* SPDX-License-Identifier: MIT */
#include "store/index.h"

#include <string.h>
#include <utime.h>

#include "index-fixture.h"

/* ---- values ---- */

static void
test_what_was_stored_comes_back(Fixture *fixture, gconstpointer data)
{
	g_autofree char *before = NULL;
	g_autofree char *after = NULL;
	g_autofree char *boxes = NULL;

	{
		g_autoptr(Index) index = open_index(fixture, FALSE);
		guint32 directory = index_new_serial(index);
		guint32 messages = index_new_serial(index);

		g_assert_cmpuint(directory, ==, 2);
		g_assert_cmpuint(messages, ==, 3);
		fill(index, messages, 1, 100);
		put(index, directory, messages, "INBOX.caf\xe9&AOk-", 101);
		before = listing(index, messages);
	}
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		after = listing(index, 3);
		boxes = mailboxes(index);
	}
	g_assert_cmpstr(after, ==, before);
	g_assert_nonnull(strstr(
		after, "\n30 1 1030 1 1 8a8042be 1795243122 20261121-063812_Invoice-30.k7f3q2ab "
		       "[work $Label1] Subject: Invoice 30\r\n"));
	g_assert_nonnull(strstr(
		after, "\n31 0 1031 0 0 0 1795243123 20261121-063812_Invoice-31.k7f3q2ab [] Subj"));
	g_assert_cmpstr(
		boxes, ==,
		"2 3 7 101 9223372036854775807 100 1795243092 / 404 INBOX.caf\xe9&AOk- INBOX.\n");
}

static void
test_changes_change_what_they_name_only(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	IndexBatch *batch = index_batch_new(9);
	g_autofree char *text = NULL;

	fill(index, 9, 1, 5);
	index_batch_flags(batch, 1, MESSAGE_FLAGGED, "later");
	index_batch_exact(batch, 3, 4711, 0);
	index_batch_remove(batch, 4);
	index_batch_flags(batch, 77, MESSAGE_SEEN, ""); /* unknown: nothing to change */
	index_batch_exact(batch, 78, 1, 1);
	index_submit(index, batch);
	text = listing(index, 9);
	g_assert_cmpuint(lines(text), ==, 4 * 5);
	g_assert_true(g_str_has_prefix(
		text, "1 4 1001 0 0 0 1795243093 20261121-063812_Invoice-1.k7f3q2ab "
		      "[later] Subject: Invoice 1\r\n"));
	g_assert_nonnull(strstr(
		text, "\n3 1 4711 1 1 0 1795243095 20261121-063812_Invoice-3.k7f3q2ab [] Subj"));
	g_assert_null(strstr(text, "Invoice 4"));
}

static void
test_adding_again_replaces_but_keeps_a_header_not_given(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	IndexMessage message = {.info = {.uid = 2, .size = 5, .keywords = ""}, .name = ""};
	IndexBatch *batch = index_batch_new(9);
	g_autofree char *text = NULL;

	fill(index, 9, 2, 2);
	index_batch_add(batch, &message);
	index_submit(index, batch);
	text = listing(index, 9);
	g_assert_true(g_str_has_prefix(text, "2 0 5 0 0 0 0  [] Subject: Invoice 2\r\n"));
}

static void
test_header_comes_alone_and_is_capped_at_whole_lines(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	g_autoptr(GString) header = g_string_new("Subject: x\r\n");
	IndexBatch *batch = index_batch_new(9);
	IndexMessage message = {.info = {.uid = 1, .keywords = ""}, .name = "a"};
	g_autoptr(GBytes) bytes = NULL;
	const char *text;
	gsize len;

	for (int i = 0; i < 1000; i++)
		g_string_append(header, " folded folded folded folded\r\n");
	message.info.header = header->str;
	message.info.header_len = header->len;
	index_batch_add(batch, &message);
	index_submit(index, batch);
	bytes = index_get_header(index, 9, 1);
	text = g_bytes_get_data(bytes, &len);
	g_assert_cmpuint(len, <=, 16 * 1024);
	g_assert_cmpuint(len, >, 16 * 1024 - 40);
	g_assert_cmpmem(text, len, header->str, len);
	g_assert_cmpint(text[len - 1], ==, '\n');
	g_assert_null(index_get_header(index, 9, 2));
	g_assert_null(index_get_header(index, 10, 1));
}

static void
test_messages_come_in_uid_order(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	IndexBatch *batch = index_batch_new(9);
	g_autofree char *text = NULL;

	add(batch, G_MAXUINT32);
	add(batch, 70000);
	add(batch, 3);
	index_submit(index, batch);
	text = listing(index, 9);
	g_assert_true(g_str_has_prefix(text, "3 "));
	g_assert_nonnull(strstr(text, "\n70000 "));
	g_assert_true(strstr(text, "\n70000 ") < strstr(text, "\n4294967295 "));
}

static void
test_a_changed_messages_serial_deletes_the_old_rows(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	g_autofree char *old = NULL;
	g_autofree char *new = NULL;
	g_autofree char *deleted = NULL;

	fill(index, 5, 1, 3);
	put(index, 4, 5, "INBOX", 4);
	fill(index, 6, 1, 2);
	put(index, 4, 6, "INBOX", 3);
	index_flush(index);
	old = listing(index, 5);
	new = listing(index, 6);
	g_assert_cmpstr(old, ==, "");
	g_assert_cmpuint(lines(new), ==, 2 * 5);
	index_delete_mailbox(index, 4);
	deleted = listing(index, 6);
	g_clear_pointer(&old, g_free);
	old = mailboxes(index);
	g_assert_cmpstr(old, ==, "");
	index_flush(index);
	g_clear_pointer(&deleted, g_free);
	deleted = listing(index, 6);
	g_assert_cmpstr(deleted, ==, "");
}

static gboolean
stop_at_once(gpointer user, const IndexMailbox *mailbox)
{
	++*(guint *)user;
	return FALSE;
}

static void
test_mailboxes_come_in_order_until_told_to_stop(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	g_autofree char *text = NULL;
	guint calls = 0;

	put(index, 9, 0, "b", 1);
	put(index, 1, 0, "the account", 1);
	put(index, 4, 0, "c", 1);
	g_assert_true(index_each_mailbox(index, stop_at_once, &calls, NULL));
	g_assert_cmpuint(calls, ==, 1);
	text = mailboxes(index);
	g_assert_true(g_str_has_prefix(text, "1 "));
	g_assert_nonnull(strstr(text, "\n4 "));
	g_assert_cmpuint(lines(text), ==, 3);
}

static void
test_a_removed_index_is_new_at_the_next_open(Fixture *fixture, gconstpointer data)
{
	g_autofree char *text = NULL;

	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		put(index, 4, 0, "INBOX", 1);
	}
	index_remove(fixture->directory);
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		text = mailboxes(index);
		g_assert_cmpstr(text, ==, "");
	}
}

static void
test_messages_of_no_mailbox_are_deleted_at_the_next_open(Fixture *fixture, gconstpointer data)
{
	g_autofree char *orphans = NULL;
	g_autofree char *owned = NULL;

	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		fill(index, 5, 1, 3);
		fill(index, 8, 1, 3);
		fill(index, 11, 1, 3);
		put(index, 4, 8, "INBOX", 4);
	}
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		index_flush(index);
		owned = listing(index, 8);
		orphans = listing(index, 5);
		g_assert_cmpstr(orphans, ==, "");
		g_clear_pointer(&orphans, g_free);
		orphans = listing(index, 11);
		g_assert_cmpstr(orphans, ==, "");
		g_assert_cmpuint(lines(owned), ==, 3 * 5);
	}
}

/* ---- serials ---- */

static void
test_serials_rise_over_closes_and_rebuilds_of_nothing(Fixture *fixture, gconstpointer data)
{
	guint32 expected = 2;

	for (int pass = 0; pass < 3; pass++) {
		g_autoptr(Index) index = open_index(fixture, FALSE);

		for (int i = 0; i < 150; i++)
			g_assert_cmpuint(index_new_serial(index), ==, expected++);
	}
}

/* The cache directory as a crash would leave it: copied while the index is open. */
static void
crash_copy(Fixture *fixture, const char *to)
{
	static const char *const suffixes[] = {"", "-wal"};

	for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *source = g_strconcat(fixture->path, suffixes[i], NULL);
		g_autofree char *name = g_strconcat("index.db", suffixes[i], NULL);
		g_autofree char *target = g_build_filename(to, name, NULL);
		g_autofree char *contents = NULL;
		gsize len;

		if (g_file_get_contents(source, &contents, &len, NULL))
			g_assert_true(g_file_set_contents(target, contents, (gssize)len, NULL));
	}
}

static void
test_a_crash_reuses_no_serial_and_keeps_what_was_flushed(Fixture *fixture, gconstpointer data)
{
	Fixture crashed;
	guint32 last = 0;
	g_autofree char *text = NULL;
	g_autofree char *generation = NULL;

	setup(&crashed, NULL);
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		generation = g_strdup(index_generation(index));
		for (int i = 0; i < 70; i++)
			last = index_new_serial(index);
		fill(index, 9, 1, 50);
		put(index, 8, 9, "INBOX", 51);
		index_flush(index);
		crash_copy(fixture, crashed.directory);
	}
	{
		g_autoptr(Index) index = open_index(&crashed, FALSE);

		g_assert_cmpuint(index_new_serial(index), >, last);
		g_assert_cmpstr(index_generation(index), ==, generation);
		text = listing(index, 9);
		g_assert_cmpuint(lines(text), ==, 50 * 5);
	}
	teardown(&crashed, NULL);
}

static void
test_serials_end_at_two_to_the_twentieth(Fixture *fixture, gconstpointer data)
{
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		put(index, (1 << 20) - 2, 0, "INBOX", 1);
	}
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		g_assert_cmpuint(index_new_serial(index), ==, (1 << 20) - 1);
		g_assert_cmpuint(index_new_serial(index), ==, 0);
		g_assert_cmpuint(index_new_serial(index), ==, 0);
	}
}

static gpointer
take_serials(gpointer user)
{
	GArray *taken = g_array_new(FALSE, FALSE, sizeof(guint32));

	for (int i = 0; i < 500; i++) {
		guint32 serial = index_new_serial(user);

		g_array_append_val(taken, serial);
	}
	return taken;
}

static void
test_no_two_threads_get_one_serial(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
	GThread *threads[4];

	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("serials", take_serials, index);
	for (guint i = 0; i < G_N_ELEMENTS(threads); i++) {
		g_autoptr(GArray) taken = g_thread_join(threads[i]);

		for (guint j = 0; j < taken->len; j++)
			g_assert_true(g_hash_table_add(
				seen, GUINT_TO_POINTER(g_array_index(taken, guint32, j))));
	}
	g_assert_cmpuint(g_hash_table_size(seen), ==, 2000);
}

/* ---- many at once, and speed ---- */

static gpointer
write_and_read(gpointer user)
{
	Index *index = user;
	guint32 serial = index_new_serial(index);

	for (guint32 round = 0; round < 20; round++) {
		g_autofree char *text = NULL;

		fill(index, serial, round * 10 + 1, round * 10 + 10);
		text = listing(index, serial);
		g_assert_cmpuint(lines(text), ==, (round + 1) * 50);
	}
	return NULL;
}

static void
test_readers_see_every_write_queued_before(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	GThread *threads[6];

	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("index-user", write_and_read, index);
	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	g_assert_cmpuint(index_errors(index), ==, 0);
}

static void
count_message(gpointer user, const IndexMessage *message)
{
	++*(guint *)user;
}

static void
test_speed(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	g_autoptr(GTimer) timer = g_timer_new();
	IndexBatch *batches[10];
	IndexBatch *flags = index_batch_new(3);
	double built, stored, listed;
	guint n = 0;

	for (guint32 i = 0; i < 10; i++) {
		batches[i] = index_batch_new(3);
		for (guint32 uid = i * 10000 + 1; uid <= i * 10000 + 10000; uid++)
			add(batches[i], uid);
	}
	put(index, 2, 3, "INBOX", 100001);
	built = g_timer_elapsed(timer, NULL);
	g_timer_start(timer);
	for (guint i = 0; i < 10; i++)
		index_submit(index, batches[i]);
	index_flush(index);
	stored = g_timer_elapsed(timer, NULL);
	g_timer_start(timer);
	g_assert_true(index_each_message(index, 3, count_message, &n, NULL));
	listed = g_timer_elapsed(timer, NULL);
	g_assert_cmpuint(n, ==, 100000);
	g_test_message("100,000 messages: batches built %.3f s, stored %.3f s, listed %.3f s",
		       built, stored, listed);
	for (guint32 uid = 1; uid <= 100000; uid++)
		index_batch_flags(flags, uid, MESSAGE_SEEN, "");
	g_timer_start(timer);
	index_submit(index, flags);
	index_flush(index);
	g_test_message("100,000 flags changed %.3f s", g_timer_elapsed(timer, NULL));
	g_timer_start(timer);
	g_clear_pointer(&index, index_close);
	g_test_message("closed %.3f s", g_timer_elapsed(timer, NULL));
	g_timer_start(timer);
	index = open_index(fixture, FALSE);
	g_test_message("opened clean %.3f s", g_timer_elapsed(timer, NULL));
	g_clear_pointer(&index, index_close);
	g_utime(fixture->path, NULL);
	g_timer_start(timer);
	index = open_index(fixture, FALSE);
	g_test_message("opened with a walk %.3f s", g_timer_elapsed(timer, NULL));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("what-was-stored-comes-back", test_what_was_stored_comes_back);
	ADD("changes-change-what-they-name-only", test_changes_change_what_they_name_only);
	ADD("adding-again-replaces-but-keeps-a-header-not-given",
	    test_adding_again_replaces_but_keeps_a_header_not_given);
	ADD("header-comes-alone-and-is-capped-at-whole-lines",
	    test_header_comes_alone_and_is_capped_at_whole_lines);
	ADD("messages-come-in-uid-order", test_messages_come_in_uid_order);
	ADD("a-changed-messages-serial-deletes-the-old-rows",
	    test_a_changed_messages_serial_deletes_the_old_rows);
	ADD("mailboxes-come-in-order-until-told-to-stop",
	    test_mailboxes_come_in_order_until_told_to_stop);
	ADD("a-removed-index-is-new-at-the-next-open",
	    test_a_removed_index_is_new_at_the_next_open);
	ADD("messages-of-no-mailbox-are-deleted-at-the-next-open",
	    test_messages_of_no_mailbox_are_deleted_at_the_next_open);
	ADD("serials-rise-over-closes", test_serials_rise_over_closes_and_rebuilds_of_nothing);
	ADD("a-crash-reuses-no-serial-and-keeps-what-was-flushed",
	    test_a_crash_reuses_no_serial_and_keeps_what_was_flushed);
	ADD("serials-end-at-two-to-the-twentieth", test_serials_end_at_two_to_the_twentieth);
	ADD("no-two-threads-get-one-serial", test_no_two_threads_get_one_serial);
	ADD("readers-see-every-write-queued-before", test_readers_see_every_write_queued_before);
	ADD("speed", test_speed);
	return g_test_run();
}
