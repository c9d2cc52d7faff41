/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "mailbox-fixture.h"

static void
test_a_body_is_fetched_once_and_kept_for_the_next_mount(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 5);
	refresh(fixture);
	assert_reads(fixture, 3);
	assert_reads(fixture, 3);
	leave(fixture);
	enter(fixture);
	refresh(fixture);
	assert_reads(fixture, 3);
	g_assert_cmpuint(fake_server_asked(fixture->server, "INBOX", 3), ==, 1);
	assert_mirrors(fixture);
}

static char *
pack_of(Fixture *fixture)
{
	return g_strdup_printf("%s/bodies/%s/packs/1", fixture->directory,
			       index_generation(fixture->index));
}

static void
test_a_spoilt_cache_file_is_noticed_and_fetched_again(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = NULL;
	g_auto(UtilFd) fd = -1;

	fake_server_fill(fixture->server, "INBOX", 5);
	refresh(fixture);
	assert_reads(fixture, 3);
	path = pack_of(fixture);
	leave(fixture);
	fd = open(path, O_RDWR | O_CLOEXEC);
	g_assert_cmpint(pwrite(fd, "something else", 14, 0), ==, 14);
	enter(fixture);
	refresh(fixture);
	assert_reads(fixture, 3);
	g_assert_cmpuint(fake_server_asked(fixture->server, "INBOX", 3), ==, 2);
	leave(fixture);
	g_assert_cmpint(ftruncate(fd, 0), ==, 0);
	enter(fixture);
	refresh(fixture);
	assert_reads(fixture, 3);
	g_assert_cmpuint(fake_server_asked(fixture->server, "INBOX", 3), ==, 3);
}

static void
test_a_lying_size_is_corrected_and_told(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GBytes) body = NULL;
	MessageView message;
	guint32 serial;

	fake_server_fill(fixture->server, "INBOX", 4);
	fake_server_claim_size(fixture->server, "INBOX", 2, 1);
	fake_server_claim_size(fixture->server, "INBOX", 3, 1000000);
	fake_server_claim_size(fixture->server, "INBOX", 4, 0);
	body = fake_server_body(fixture->server, "INBOX", 2);
	refresh(fixture);
	serial = view_of(fixture).messages;
	g_assert_true(mailbox_get(fixture->mailbox, serial, 4, &message));
	g_assert_cmpuint(message.size, ==, 4096);
	assert_reads_all(fixture);
	FAKE_WAIT(has_changed(fixture, "2 3 4 "));
	for (guint round = 0; round < 2; round++) {
		for (guint32 uid = 1; uid <= 4; uid++) {
			g_assert_true(mailbox_get(fixture->mailbox, serial, uid, &message));
			g_assert_cmpuint(message.size, ==, g_bytes_get_size(body));
			g_assert_cmpint(message.resized, ==, round == 0 && uid > 1);
		}
		leave(fixture);
		FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
		enter(fixture);
		refresh(fixture);
	}
}

static void
test_an_empty_message_is_empty(Fixture *fixture, gconstpointer data)
{
	MessageView message;
	int code;
	g_autofree char *text = NULL;

	fake_server_add_raw(fixture->server, "INBOX", "", 0);
	refresh(fixture);
	text = read_message(fixture, view_of(fixture).messages, 1, &code);
	g_assert_cmpint(code, ==, -1);
	g_assert_cmpstr(text, ==, "");
	g_assert_true(mailbox_get(fixture->mailbox, view_of(fixture).messages, 1, &message));
	g_assert_cmpuint(message.size, ==, 0);
}

static void
test_a_mailbox_read_in_order_is_fetched_ahead_and_once(Fixture *fixture, gconstpointer backward)
{
	guint requests;

	fake_server_fill(fixture->server, "INBOX", 400);
	refresh(fixture);
	for (guint32 uid = 1; uid <= 400; uid++)
		assert_reads(fixture, backward != NULL ? 401 - uid : uid);
	for (guint32 uid = 1; uid <= 400; uid++)
		g_assert_cmpuint(fake_server_asked(fixture->server, "INBOX", uid), ==, 1);
	requests = counts_of(fixture).requests[REQUEST_FETCH];
	g_assert_cmpuint(requests, <, 40);
}

static void
test_what_the_first_open_is_guessed_to_need_costs_little(Fixture *fixture, gconstpointer data)
{
	g_autofree char *text = g_strnfill(100000, 'x');
	g_autofree char *raw = g_strconcat("Subject: not so small\r\n\r\n", text, "\r\n", NULL);

	for (guint i = 0; i < 9; i++)
		fake_server_add_raw(fixture->server, "INBOX", raw, 0);
	refresh(fixture);
	mailbox_note_listed(fixture->mailbox, 4711);
	assert_reads(fixture, 1);
	FAKE_WAIT(scan_status(fixture->scan).on_the_way == 0);
	g_assert_cmpuint(fake_server_asked(fixture->server, "INBOX", 3), ==, 1);
	for (guint32 uid = 4; uid <= 9; uid++)
		g_assert_cmpuint(fake_server_asked(fixture->server, "INBOX", uid), ==, 0);
	assert_reads_all(fixture);
	for (guint32 uid = 1; uid <= 9; uid++)
		g_assert_cmpuint(fake_server_asked(fixture->server, "INBOX", uid), ==, 1);
}

/* What is told of as wanted when these have come, and then @serial's 0. */
static char *
wanted_after(Fixture *fixture, guint32 first, guint32 last, guint32 serial)
{
	guint32 ours = view_of(fixture).messages;

	g_string_truncate(fixture->wanted, 0);
	for (guint32 uid = first; uid <= last; uid++)
		mailbox_read_ahead(fixture->mailbox, ours, uid);
	if (serial != 0)
		mailbox_read_ahead(fixture->mailbox, serial, 0);
	return g_strdup(fixture->wanted->str);
}

static void
test_what_came_ahead_is_told_in_bunches_but_for_what_was_opened(Fixture *fixture,
								gconstpointer data)
{
	guint32 serial;
	g_autofree char *few = NULL, *bunch = NULL, *rest = NULL, *old = NULL;

	fake_server_fill(fixture->server, "INBOX", 40);
	refresh(fixture);
	serial = view_of(fixture).messages;
	few = wanted_after(fixture, 1, 16, 0);
	g_assert_cmpstr(few, ==, "");
	g_assert_true(mailbox_first_open(fixture->mailbox, serial, 2));
	bunch = wanted_after(fixture, 17, 17, 0);
	g_assert_cmpstr(bunch, ==, "1 3 4 5 6 7 8 9 10 11 12 13 14 15 16 ");
	rest = wanted_after(fixture, 18, 19, serial);
	g_assert_cmpstr(rest, ==, "17 18 19 ");
	old = wanted_after(fixture, 50, 51, serial + 1);
	g_assert_cmpstr(old, ==, "");
}

/* --- big ones --- */

typedef struct {
	Fixture *fixture;
	gint times; /* atomic */
	guint32 serial, uid;
	Body *body;
	Growth *growth;
} Opened;

static void
on_opened(gpointer user, Body *body, Growth *growth, guint64 size, const GError *error)
{
	Opened *opened = user;
	MessageView message;

	g_assert_no_error(error);
	/* The listing knows it already. */
	g_assert_true(mailbox_get(opened->fixture->mailbox, opened->serial, opened->uid, &message));
	g_assert_cmpuint(message.size, ==, size);
	opened->body = body;
	opened->growth = growth;
	g_atomic_int_inc(&opened->times);
}

static void
open_growing(Fixture *fixture, guint32 uid, guint32 reader, Opened *opened)
{
	*opened = (Opened){.fixture = fixture, .serial = view_of(fixture).messages, .uid = uid};
	mailbox_open_growing(fixture->mailbox, opened->serial, uid, reader, on_opened, opened);
	FAKE_WAIT(g_atomic_int_get(&opened->times) > 0);
}

static void
test_a_big_message_has_its_size_before_it_is_here(Fixture *fixture, gconstpointer data)
{
	g_autofree char *text = g_strnfill(3000000, 'x');
	g_autofree char *raw = g_strconcat("Subject: big\r\n\r\n", text, "\r\n", NULL);
	gsize size = strlen(raw);
	Opened opened;

	fake_server_add_raw(fixture->server, "INBOX", raw, 0);
	fake_server_add_raw(fixture->server, "INBOX", raw, 0);
	fake_server_claim_size(fixture->server, "INBOX", 2, size + 1);
	refresh(fixture);
	for (guint32 uid = 1; uid <= 2; uid++) {
		open_growing(fixture, uid, uid, &opened);
		g_assert_nonnull(opened.growth);
		g_assert_cmpuint(growth_size(opened.growth), ==, size);
		growth_leave(opened.growth);
	}
	FAKE_WAIT(has_changed(fixture, "2 "));
	/* Whoever wants the whole gets it, and then nothing has to grow. */
	assert_reads(fixture, 1);
	open_growing(fixture, 1, 3, &opened);
	g_assert_nonnull(opened.body);
	body_unref(opened.body);
}

static void
test_who_reads_big_ones_in_order_gets_them_whole(Fixture *fixture, gconstpointer data)
{
	g_autofree char *text = g_strnfill(2000000, 'x');
	g_autofree char *raw = g_strconcat("Subject: big\r\n\r\n", text, "\r\n", NULL);
	Opened opened;

	for (guint i = 0; i < 3; i++)
		fake_server_add_raw(fixture->server, "INBOX", raw, 0);
	refresh(fixture);
	open_growing(fixture, 1, 1, &opened);
	g_assert_nonnull(opened.growth);
	growth_leave(opened.growth);
	for (guint32 uid = 2; uid <= 3; uid++) {
		open_growing(fixture, uid, 1, &opened);
		g_assert_nonnull(opened.body);
		body_unref(opened.body);
	}
}

/* --- headers --- */

typedef struct {
	gint times; /* atomic */
	int code;
	char *text;
} HeaderReader;

static void
on_header(gpointer user, const char *header, gsize len, const GError *error)
{
	HeaderReader *reader = user;

	reader->code = error != NULL ? error->code : -1;
	reader->text = error == NULL ? g_strndup(header, len) : NULL;
	g_atomic_int_inc(&reader->times);
}

static char *
header_of(Fixture *fixture, guint32 serial, guint32 uid, int *code_out)
{
	HeaderReader reader = {0};

	mailbox_header(fixture->mailbox, serial, uid, on_header, &reader);
	FAKE_WAIT(g_atomic_int_get(&reader.times) > 0);
	g_assert_cmpint(reader.times, ==, 1);
	*code_out = reader.code;
	return reader.text;
}

static void
test_a_header_comes_from_the_server_or_from_the_body(Fixture *fixture, gconstpointer data)
{
	g_autofree char *from_server = NULL;
	g_autofree char *from_body = NULL;
	guint32 serial;
	int code;

	fake_server_fill(fixture->server, "INBOX", 5);
	refresh(fixture);
	serial = view_of(fixture).messages;
	from_server = header_of(fixture, serial, 3, &code);
	g_assert_cmpint(code, ==, -1);
	g_assert_nonnull(strstr(from_server, "To: Bob <bob@example.org>\r\n"));
	g_assert_true(g_str_has_suffix(from_server, "Subject: Message 3\r\n\r\n"));
	g_assert_cmpuint(counts_of(fixture).requests[REQUEST_HEADERS], ==, 1);
	assert_reads(fixture, 3);
	from_body = header_of(fixture, serial, 3, &code);
	g_assert_cmpuint(counts_of(fixture).requests[REQUEST_HEADERS], ==, 1);
	g_assert_true(g_str_has_prefix(from_server, from_body));
	g_assert_true(g_str_has_suffix(from_body, "Subject: Message 3\r\n") ||
		      g_str_has_suffix(from_body, "Subject: Message 3\r\n\r\n"));
}

static void
test_no_header_of_another_numbering_is_given(Fixture *fixture, gconstpointer data)
{
	guint32 serial;
	int code;

	fake_server_fill(fixture->server, "INBOX", 5);
	refresh(fixture);
	serial = view_of(fixture).messages;
	g_assert_null(header_of(fixture, serial, 6, &code));
	g_assert_cmpint(code, ==, MAILFS_ERROR_NOT_FOUND);
	fake_server_renumber(fixture->server, "INBOX");
	g_assert_null(header_of(fixture, serial, 2, &code));
	g_assert_cmpint(code, ==, MAILFS_ERROR_STALE);
	refresh(fixture);
	g_assert_null(header_of(fixture, serial, 2, &code));
	g_assert_cmpint(code, ==, MAILFS_ERROR_NOT_FOUND);
}

static void
test_the_four_fields_are_stored(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 5);
	refresh(fixture);
	for (guint round = 0; round < 2; round++) {
		g_autoptr(GBytes) stored =
			mailbox_stored_header(fixture->mailbox, view_of(fixture).messages, 3);
		g_autofree char *text =
			g_strndup(g_bytes_get_data(stored, NULL), g_bytes_get_size(stored));

		g_assert_cmpstr(
			text, ==,
			"Message-ID: <3@fake.example>\r\nDate: Sat, 21 Nov 2026 06:38:12 +0000\r\n"
			"From: Alice <alice@example.org>\r\nSubject: Message 3\r\n\r\n");
		leave(fixture);
		enter(fixture);
		refresh(fixture);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST_WITH(sentence, value, function)                                                       \
	g_test_add("/mailbox-bodies/" sentence, Fixture, value, setup, function, teardown)
#define TEST(sentence, function) TEST_WITH(sentence, NULL, function)
	TEST("a-body-is-fetched-once-and-kept-for-the-next-mount",
	     test_a_body_is_fetched_once_and_kept_for_the_next_mount);
	TEST("a-spoilt-cache-file-is-noticed-and-fetched-again",
	     test_a_spoilt_cache_file_is_noticed_and_fetched_again);
	TEST("a-lying-size-is-corrected-and-told", test_a_lying_size_is_corrected_and_told);
	TEST("an-empty-message-is-empty", test_an_empty_message_is_empty);
	TEST("a-big-message-has-its-size-before-it-is-here",
	     test_a_big_message_has_its_size_before_it_is_here);
	TEST("who-reads-big-ones-in-order-gets-them-whole",
	     test_who_reads_big_ones_in_order_gets_them_whole);
	TEST("a-mailbox-read-in-order-is-fetched-ahead-and-once",
	     test_a_mailbox_read_in_order_is_fetched_ahead_and_once);
	TEST("what-the-first-open-is-guessed-to-need-costs-little",
	     test_what_the_first_open_is_guessed_to_need_costs_little);
	TEST("what-came-ahead-is-told-in-bunches-but-for-what-was-opened",
	     test_what_came_ahead_is_told_in_bunches_but_for_what_was_opened);
	TEST_WITH("a-mailbox-read-backward-is-fetched-ahead-and-once", "backward",
		  test_a_mailbox_read_in_order_is_fetched_ahead_and_once);
	TEST("a-header-comes-from-the-server-or-from-the-body",
	     test_a_header_comes_from_the_server_or_from_the_body);
	TEST("no-header-of-another-numbering-is-given",
	     test_no_header_of_another_numbering_is_given);
	TEST("the-four-fields-are-stored", test_the_four_fields_are_stored);
	return g_test_run();
}
