/* SPDX-License-Identifier: MIT */
#include "store/index.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "base/util.h"

typedef struct {
	char *directory;
	char *path;
} Fixture;

static void
setup(Fixture *fixture, gconstpointer data)
{
	fixture->directory = g_dir_make_tmp("mailfs-index-XXXXXX", NULL);
	g_assert_nonnull(fixture->directory);
	fixture->path = g_build_filename(fixture->directory, "index.db", NULL);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GDir) dir = g_dir_open(fixture->directory, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *path = g_build_filename(fixture->directory, name, NULL);

		g_assert_cmpint(g_remove(path), ==, 0);
	}
	g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
	g_free(fixture->directory);
	g_free(fixture->path);
}

static Index *
open_index(Fixture *fixture, gboolean expect_rebuilt)
{
	g_autoptr(GError) error = NULL;
	gboolean rebuilt = !expect_rebuilt;
	Index *index = index_open(fixture->directory, &rebuilt, &error);

	g_assert_no_error(error);
	g_assert_nonnull(index);
	g_assert_cmpint(rebuilt, ==, expect_rebuilt);
	return index;
}

/* A message whose every value follows from its UID. */
static void
add(IndexBatch *batch, guint32 uid)
{
	g_autofree char *name = g_strdup_printf("20261121-063812_Invoice-%u.k7f3q2ab", uid);
	g_autofree char *header =
		g_strdup_printf("Subject: Invoice %u\r\nFrom: a@example.org\r\nMessage-ID: "
				"<%0160u@example.org>\r\nDate: Sat, 21 Nov 2026\r\n",
				uid, uid);
	IndexMessage message = {
		.info = {.uid = uid,
			 .flags = uid % 3 == 0 ? MESSAGE_SEEN : 0,
			 .size = 1000 + uid,
			 .date = 1795243092 + (gint64)uid,
			 .keywords = uid % 5 == 0 ? "work $Label1" : "",
			 .header = header,
			 .header_len = strlen(header)},
		.name = name,
		.size_exact = uid % 2 == 0,
		.has_crc = uid % 2 == 0,
		.crc = uid * 2654435761U,
	};

	index_batch_add(batch, &message);
}

static void
put(Index *index, guint32 directory, guint32 messages, const char *name, guint32 uidnext)
{
	IndexMailbox mailbox = {
		.name = name,
		.directory = directory,
		.messages = messages,
		.state = {.uidvalidity = 7,
			  .uidnext = uidnext,
			  .highestmodseq = G_MAXINT64,
			  .count = uidnext - 1},
		.separator = '/',
		.attributes = MAILBOX_SUBSCRIBED | MAILBOX_PERSONAL,
		.prefix = "INBOX.",
	};

	index_put_mailbox(index, &mailbox);
}

static void
fill(Index *index, guint32 serial, guint32 first, guint32 last)
{
	IndexBatch *batch = index_batch_new(serial);

	for (guint32 uid = first; uid <= last; uid++)
		add(batch, uid);
	index_submit(index, batch);
}

/* What a listing yields, as text: one line a message. */
static void
describe(gpointer user, const IndexMessage *message)
{
	g_string_append_printf(
		user, "%u %x %" G_GUINT64_FORMAT " %d %d %x %" G_GINT64_FORMAT " %s [%s] %.*s\n",
		message->info.uid, message->info.flags, message->info.size, message->size_exact,
		message->has_crc, message->crc, message->info.date, message->name,
		message->info.keywords, (int)message->info.header_len, message->info.header);
}

static gboolean
describe_mailbox(gpointer user, const IndexMailbox *mailbox)
{
	g_string_append_printf(user, "%u %u %u %u %" G_GUINT64_FORMAT " %u %c %x %s %s\n",
			       mailbox->directory, mailbox->messages, mailbox->state.uidvalidity,
			       mailbox->state.uidnext, mailbox->state.highestmodseq,
			       mailbox->state.count, mailbox->separator, mailbox->attributes,
			       mailbox->name, mailbox->prefix);
	return TRUE;
}

static char *
listing(Index *index, guint32 serial)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	index_each_message(index, serial, describe, text, &error);
	g_assert_no_error(error);
	return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *
mailboxes(Index *index)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	index_each_mailbox(index, describe_mailbox, text, &error);
	g_assert_no_error(error);
	return g_string_free(g_steal_pointer(&text), FALSE);
}

static guint
lines(const char *text)
{
	guint n = 0;

	for (; (text = strchr(text, '\n')) != NULL; text++)
		n++;
	return n;
}

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
		after, "\n30 1 1030 1 1 8b2d63c6 1795243122 20261121-063812_Invoice-30.k7f3q2ab "
		       "[work $Label1] Subject: Invoice 30\r\n"));
	g_assert_nonnull(strstr(
		after, "\n31 0 1031 0 0 0 1795243123 20261121-063812_Invoice-31.k7f3q2ab [] Subj"));
	g_assert_cmpstr(boxes, ==,
			"2 3 7 101 9223372036854775807 100 / 402 INBOX.caf\xe9&AOk- INBOX.\n");
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
	put(index, 4, 0, "c", 1);
	g_assert_true(index_each_mailbox(index, stop_at_once, &calls, NULL));
	g_assert_cmpuint(calls, ==, 1);
	text = mailboxes(index);
	g_assert_true(g_str_has_prefix(text, "4 "));
	g_assert_cmpuint(lines(text), ==, 2);
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

/* ---- damage ---- */

/* A sound, closed index of 300 messages in two mailboxes; what it lists is returned. */
static char *
make_sound(Fixture *fixture, char **generation_out)
{
	g_autoptr(Index) index = open_index(fixture, FALSE);
	g_autofree char *boxes = NULL;
	g_autofree char *first = NULL;
	g_autofree char *second = NULL;

	fill(index, 3, 1, 200);
	put(index, 2, 3, "INBOX", 201);
	fill(index, 5, 1, 100);
	put(index, 4, 5, "Sent", 101);
	boxes = mailboxes(index);
	first = listing(index, 3);
	second = listing(index, 5);
	*generation_out = g_strdup(index_generation(index));
	return g_strconcat(boxes, first, second, NULL);
}

static void
write_file(Fixture *fixture, const char *data, gsize len)
{
	g_assert_true(g_file_set_contents(fixture->path, data, (gssize)len, NULL));
}

/* After any damage: either a new, empty index of a new generation that works, or every value is
 * what was stored. */
static gboolean
assert_sound_or_rebuilt(Fixture *fixture, const char *expected, const char *generation)
{
	g_autoptr(GError) error = NULL;
	gboolean rebuilt = FALSE;
	g_autoptr(Index) index = index_open(fixture->directory, &rebuilt, &error);
	g_autofree char *boxes = NULL;
	g_autofree char *first = NULL;
	g_autofree char *second = NULL;
	g_autofree char *all = NULL;

	g_assert_no_error(error);
	if (rebuilt) {
		g_assert_cmpstr(index_generation(index), !=, generation);
		boxes = mailboxes(index);
		g_assert_cmpstr(boxes, ==, "");
		fill(index, 3, 1, 1);
		first = listing(index, 3);
		g_assert_cmpuint(lines(first), ==, 5);
		g_assert_cmpuint(index_errors(index), ==, 0);
		return TRUE;
	}
	boxes = mailboxes(index);
	first = listing(index, 3);
	second = listing(index, 5);
	all = g_strconcat(boxes, first, second, NULL);
	g_assert_cmpstr(all, ==, expected);
	return FALSE;
}

static void
test_a_flipped_bit_gives_the_stored_values_or_a_new_index(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);
	g_autofree char *sound = NULL;
	gsize len;
	guint rebuilt = 0;

	g_assert_true(g_file_get_contents(fixture->path, &sound, &len, NULL));
	for (int i = 0; i < 200; i++) {
		g_autofree char *damaged = g_memdup2(sound, len);
		gsize at = (gsize)g_test_rand_int_range(0, (gint32)len);

		if (i < 100) /* the first ones into the file's header and schema */
			at = (gsize)i;
		damaged[at] ^= (char)(1 << g_test_rand_int_range(0, 8));
		write_file(fixture, damaged, len);
		rebuilt += assert_sound_or_rebuilt(fixture, expected, generation);
	}
	g_assert_cmpuint(rebuilt, >, 60);
}

static void
test_a_truncated_index_is_rebuilt(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);
	g_autofree char *sound = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(fixture->path, &sound, &len, NULL));
	for (gsize i = 0; i < 20; i++) {
		write_file(fixture, sound, i * len / 20 + i);
		g_assert_true(assert_sound_or_rebuilt(fixture, expected, generation));
	}
}

static void
test_zeroed_pages_are_noticed(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);
	g_autofree char *sound = NULL;
	gsize len;
	guint rebuilt = 0;

	g_assert_true(g_file_get_contents(fixture->path, &sound, &len, NULL));
	for (gsize at = 0; at + 4096 <= len; at += 4096) {
		g_autofree char *damaged = g_memdup2(sound, len);

		memset(damaged + at, 0, 4096);
		write_file(fixture, damaged, len);
		rebuilt += assert_sound_or_rebuilt(fixture, expected, generation);
	}
	g_assert_cmpuint(rebuilt, >=, len / 4096 / 2);
}

static void
test_a_deleted_index_is_new_and_not_called_rebuilt(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);

	g_assert_cmpint(g_unlink(fixture->path), ==, 0);
	g_assert_false(assert_sound_or_rebuilt(fixture, "", generation));
}

static void
test_foreign_files_are_moved_aside(Fixture *fixture, gconstpointer data)
{
	static const char *const foreign[] = {
		"",
		"hello",
		"SQLite format 3",
		"SQLite format 3\0garbage",
	};
	g_autofree char *aside = g_strconcat(fixture->path, ".damaged", NULL);

	for (guint i = 0; i < G_N_ELEMENTS(foreign); i++) {
		g_autofree char *kept = NULL;

		write_file(fixture, foreign[i], strlen(foreign[i]));
		g_assert_true(assert_sound_or_rebuilt(fixture, "", "none"));
		g_assert_true(g_file_get_contents(aside, &kept, NULL, NULL));
		g_assert_cmpstr(kept, ==, foreign[i]);
	}
	g_unlink(fixture->path);
	g_assert_cmpint(symlink("/etc/passwd", fixture->path), ==, 0);
	g_assert_true(assert_sound_or_rebuilt(fixture, "", "none"));
}

static void
test_damage_found_later_ends_the_use_of_the_file(Fixture *fixture, gconstpointer data)
{
	g_autofree char *generation = NULL;
	g_autofree char *expected = make_sound(fixture, &generation);
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	struct stat status;

	{
		g_autoptr(Index) index = open_index(fixture, FALSE);
		g_auto(UtilFd) fd = open(fixture->path, O_RDWR | O_CLOEXEC);
		g_autoptr(GString) rows = g_string_new(NULL);
		char page[8192];

		memset(page, 0xff, sizeof page);
		g_assert_cmpint(fstat(fd, &status), ==, 0);
		for (off_t at = sizeof page; at < status.st_size; at += (off_t)sizeof page)
			g_assert_cmpint(pwrite(fd, page, sizeof page, at), ==, sizeof page);
		g_assert_false(index_each_message(index, 3, describe, rows, &error));
		g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_IO);
		g_clear_error(&error);
		/* The mount goes on: nothing crashes or waits, writes are counted as lost, serials
		 * still rise. */
		fill(index, 9, 1, 5);
		index_flush(index);
		g_assert_cmpuint(index_errors(index), >, 0);
		text = index_last_error(index);
		g_assert_nonnull(strstr(text, "index.db"));
		g_assert_cmpuint(index_new_serial(index), ==, 6);
		g_assert_cmpuint(index_new_serial(index), ==, 7);
	}
	g_assert_true(assert_sound_or_rebuilt(fixture, expected, generation));
	g_assert_false(assert_sound_or_rebuilt(fixture, "", "none") && FALSE);
}

/* ---- full disk ---- */

/* RLIMIT_FSIZE stands for the full disk: SQLite's writes fail, and SIGXFSZ is ignored. */
static void
test_a_full_disk_loses_writes_and_nothing_else(Fixture *fixture, gconstpointer data)
{
	g_autofree char *boxes = NULL;
	g_autofree char *text = NULL;
	struct rlimit old;
	struct rlimit tight;

	signal(SIGXFSZ, SIG_IGN);
	g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &old), ==, 0);
	tight = old;
	tight.rlim_cur = 200 * 1024;
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);
		guint64 errors;

		fill(index, 3, 1, 50);
		put(index, 2, 3, "INBOX", 51);
		index_flush(index);
		g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &tight), ==, 0);
		fill(index, 3, 51, 2000);
		index_flush(index);
		errors = index_errors(index);
		g_assert_cmpuint(errors, ==, 1);
		g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);
		/* Room again: later writes are stored, and the state does not claim what was lost.
		 */
		fill(index, 3, 2001, 2010);
		put(index, 2, 3, "INBOX", 2011);
		text = listing(index, 3);
		g_assert_cmpuint(lines(text), ==, 60 * 5);
		g_assert_cmpuint(index_errors(index), ==, errors);
		boxes = mailboxes(index);
		g_assert_cmpstr(boxes, ==, "2 3 7 1 0 2010 / 402 INBOX INBOX.\n");
	}
	{
		g_autoptr(Index) index = open_index(fixture, FALSE);

		g_clear_pointer(&text, g_free);
		text = listing(index, 3);
		g_assert_cmpuint(lines(text), ==, 60 * 5);
	}
}

static void
test_the_file_is_0600_whatever_the_umask(Fixture *fixture, gconstpointer data)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	static const mode_t masks[] = {0, 0277};

	for (guint m = 0; m < G_N_ELEMENTS(masks); m++) {
		mode_t old = umask(masks[m]);
		g_autoptr(Index) index = open_index(fixture, FALSE);

		umask(old);
		fill(index, 3, 1, 1);
		index_flush(index);
		for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
			g_autofree char *path = g_strconcat(fixture->path, suffixes[i], NULL);
			struct stat status;

			g_assert_cmpint(stat(path, &status), ==, 0);
			g_assert_cmpuint(status.st_mode & 0777, ==, 0600);
		}
		g_clear_pointer(&index, index_close);
		g_unlink(fixture->path);
	}
}

static void
test_a_directory_that_cannot_be_is_an_error(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *below_a_file = NULL;

	write_file(fixture, "x", 1);
	below_a_file = g_build_filename(fixture->path, "cache", NULL);
	g_assert_null(index_open(below_a_file, NULL, &error));
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR);
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

#define ADD(name, function) g_test_add("/index/" name, Fixture, NULL, setup, function, teardown)

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
	ADD("messages-of-no-mailbox-are-deleted-at-the-next-open",
	    test_messages_of_no_mailbox_are_deleted_at_the_next_open);
	ADD("serials-rise-over-closes", test_serials_rise_over_closes_and_rebuilds_of_nothing);
	ADD("a-crash-reuses-no-serial-and-keeps-what-was-flushed",
	    test_a_crash_reuses_no_serial_and_keeps_what_was_flushed);
	ADD("serials-end-at-two-to-the-twentieth", test_serials_end_at_two_to_the_twentieth);
	ADD("no-two-threads-get-one-serial", test_no_two_threads_get_one_serial);
	ADD("a-flipped-bit-gives-the-stored-values-or-a-new-index",
	    test_a_flipped_bit_gives_the_stored_values_or_a_new_index);
	ADD("a-truncated-index-is-rebuilt", test_a_truncated_index_is_rebuilt);
	ADD("zeroed-pages-are-noticed", test_zeroed_pages_are_noticed);
	ADD("a-deleted-index-is-new-and-not-called-rebuilt",
	    test_a_deleted_index_is_new_and_not_called_rebuilt);
	ADD("foreign-files-are-moved-aside", test_foreign_files_are_moved_aside);
	ADD("damage-found-later-ends-the-use-of-the-file",
	    test_damage_found_later_ends_the_use_of_the_file);
	ADD("a-full-disk-loses-writes-and-nothing-else",
	    test_a_full_disk_loses_writes_and_nothing_else);
	ADD("the-file-is-0600-whatever-the-umask", test_the_file_is_0600_whatever_the_umask);
	ADD("a-directory-that-cannot-be-is-an-error", test_a_directory_that_cannot_be_is_an_error);
	ADD("readers-see-every-write-queued-before", test_readers_see_every_write_queued_before);
	ADD("speed", test_speed);
	return g_test_run();
}
