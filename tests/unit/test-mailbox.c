/* SPDX-License-Identifier: MIT */
#include "mail/mailbox.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fake-backend.h"

/* --- one mailbox with its house, which can be left and entered again --- */

typedef struct {
	FakeServer *server;
	char *directory;
	gboolean names_uid;

	Index *index;
	Bodies *bodies;
	Pool *pool;
	Scan *scan;
	MailboxHouse house;
	Mailbox *mailbox;

	GMutex lock; /* guards all below */
	GString *gone, *changed, *renumbered;
	guint listings;
} Fixture;

static void
on_listing(gpointer user, Mailbox *mailbox)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	fixture->listings++;
}

static void
on_gone(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid, const char *name)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->gone, "%u:%u:%s ", serial, uid, name);
}

static void
on_changed(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->changed, "%u ", uid);
}

static void
on_renumbered(gpointer user, Mailbox *mailbox, guint32 old_serial, guint32 new_serial)
{
	Fixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	g_string_append_printf(fixture->renumbered, "%u>%u ", old_serial, new_serial);
}

static const MailboxNews news = {
	.listing = on_listing, .gone = on_gone, .changed = on_changed, .renumbered = on_renumbered};
static const PoolNews pool_news;

static void
on_fetched(gpointer user, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	Fixture *fixture = user;

	mailbox_fetched(fixture->mailbox, serial, uid, size, crc);
}

static gboolean
on_row(gpointer user, const IndexMailbox *row)
{
	Fixture *fixture = user;

	if (strcmp(row->name, "INBOX") != 0)
		return TRUE;
	fixture->mailbox = mailbox_new(&fixture->house, row, "INBOX", 1);
	return FALSE;
}

static void
enter(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	gboolean rebuilt;

	fixture->index = index_open(fixture->directory, &rebuilt, &error);
	g_assert_no_error(error);
	g_assert_false(rebuilt);
	fixture->bodies =
		bodies_open(fixture->directory, index_generation(fixture->index), 0, &error);
	g_assert_no_error(error);
	fixture->pool = pool_new(fake_backend_new, fake_server_config(fixture->server), 2,
				 &pool_news, NULL);
	fixture->scan = scan_new(fixture->pool, fixture->bodies, on_fetched, fixture);
	fixture->house = (MailboxHouse){
		.pool = fixture->pool,
		.index = fixture->index,
		.bodies = fixture->bodies,
		.scan = fixture->scan,
		.names_uid = fixture->names_uid,
		.news = &news,
		.user = fixture,
	};
	index_each_mailbox(fixture->index, on_row, fixture, &error);
	g_assert_no_error(error);
	if (fixture->mailbox == NULL) {
		IndexMailbox row = {.name = "INBOX",
				    .directory = index_new_serial(fixture->index),
				    .separator = '/',
				    .prefix = ""};

		index_put_mailbox(fixture->index, &row);
		fixture->mailbox = mailbox_new(&fixture->house, &row, "INBOX", 1);
	}
	/* Its failure is the test's business. */
	pool_start(fixture->pool, NULL, NULL);
}

static void
leave(Fixture *fixture)
{
	pool_free(fixture->pool);
	g_clear_pointer(&fixture->mailbox, mailbox_free);
	scan_free(fixture->scan);
	bodies_close(fixture->bodies);
	index_close(fixture->index);
}

static void
setup(Fixture *fixture, gconstpointer data)
{
	g_mutex_init(&fixture->lock);
	fixture->gone = g_string_new(NULL);
	fixture->changed = g_string_new(NULL);
	fixture->renumbered = g_string_new(NULL);
	fixture->names_uid = g_strcmp0(data, "uid") == 0;
	fixture->server = fake_server_new();
	fake_server_mailbox(fixture->server, "INBOX");
	fixture->directory = fake_directory();
	enter(fixture);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
	leave(fixture);
	fake_server_free(fixture->server);
	fake_directory_remove(fixture->directory);
	g_string_free(fixture->gone, TRUE);
	g_string_free(fixture->changed, TRUE);
	g_string_free(fixture->renumbered, TRUE);
	g_mutex_clear(&fixture->lock);
}

/* --- looking
 * ------------------------------------------------------------------------------------------------------
 */

static MailboxView
view_of(Fixture *fixture)
{
	MailboxView view;

	mailbox_view(fixture->mailbox, &view);
	return view;
}

static void
settle(Fixture *fixture)
{
	FAKE_WAIT(!view_of(fixture).syncing);
}

static void
refresh(Fixture *fixture)
{
	mailbox_refresh(fixture->mailbox, 0);
	settle(fixture);
}

static gboolean
note_uid(gpointer user, const MessageView *message, const char *file_name)
{
	g_array_append_val(user, message->uid);
	return TRUE;
}

/* As fake_server_listing() says it. */
static char *
listing_of(Fixture *fixture)
{
	g_autoptr(GArray) uids = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autoptr(GString) text = g_string_new(NULL);
	guint32 serial = view_of(fixture).messages;

	mailbox_each(fixture->mailbox, 1, note_uid, uids);
	for (guint i = 0; i < uids->len; i++) {
		guint32 uid = g_array_index(uids, guint32, i);
		g_autofree char *flags = mailbox_flags_text(fixture->mailbox, uid);
		const char *keywords = flags;
		MessageView message;

		while (*keywords == '\\')
			keywords +=
				strcspn(keywords, " ") + (strchr(keywords, ' ') != NULL ? 1 : 0);
		g_assert_true(mailbox_get(fixture->mailbox, serial, uid, &message));
		g_string_append_printf(text, "%u %x %s\n", uid, message.flags, keywords);
	}
	return g_strdup(text->str);
}

static gboolean
check_name(gpointer user, const MessageView *message, const char *file_name)
{
	g_assert_true(g_hash_table_add(user, g_strdup(file_name)));
	return TRUE;
}

static void
assert_mirrors(Fixture *fixture)
{
	g_autofree char *ours = listing_of(fixture);
	g_autofree char *theirs = fake_server_listing(fixture->server, "INBOX");
	g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	g_assert_cmpstr(ours, ==, theirs);
	g_assert_true(view_of(fixture).listed);
	mailbox_each(fixture->mailbox, 1, check_name, names);
	g_assert_cmpuint(g_hash_table_size(names), ==, view_of(fixture).count);
}

static FakeCounts
counts_of(Fixture *fixture)
{
	return fake_server_counts(fixture->server);
}

/* The news of what was fetched ahead come a little after the body can be had. */
static gboolean
has_changed(Fixture *fixture, const char *uids)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	return strcmp(fixture->changed->str, uids) == 0;
}

/* --- the listing
 * --------------------------------------------------------------------------------------------------
 */

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

/* --- UIDVALIDITY
 * ------------------------------------------------------------------------------------------------------
 */

typedef struct {
	gint times; /* atomic */
	int code;   /* -1: it came */
	char *text;
} Reader;

static void
on_body(gpointer user, int fd_owned, guint64 size, const GError *error)
{
	Reader *reader = user;
	g_auto(UtilFd) fd = fd_owned;

	reader->code = error != NULL ? error->code : -1;
	if (error == NULL) {
		reader->text = g_malloc0(size + 2);
		g_assert_cmpint(pread(fd, reader->text, size + 1, 0), ==, (gssize)size);
	}
	g_atomic_int_inc(&reader->times);
}

/* The text, or NULL with *code_out. */
static char *
read_message(Fixture *fixture, guint32 serial, guint32 uid, int *code_out)
{
	Reader reader = {0};

	mailbox_open(fixture->mailbox, serial, uid, 4711, on_body, &reader);
	FAKE_WAIT(g_atomic_int_get(&reader.times) > 0);
	g_assert_cmpint(reader.times, ==, 1);
	*code_out = reader.code;
	return reader.text;
}

static void
assert_reads(Fixture *fixture, guint32 uid)
{
	g_autoptr(GBytes) body = fake_server_body(fixture->server, "INBOX", uid);
	int code;
	g_autofree char *text = read_message(fixture, view_of(fixture).messages, uid, &code);

	g_assert_cmpint(code, ==, -1);
	g_assert_cmpuint(strlen(text), ==, g_bytes_get_size(body));
	g_assert_cmpint(memcmp(text, g_bytes_get_data(body, NULL), strlen(text)), ==, 0);
}

static void
assert_reads_all(Fixture *fixture)
{
	g_autoptr(GArray) uids = g_array_new(FALSE, FALSE, sizeof(guint32));

	mailbox_each(fixture->mailbox, 1, note_uid, uids);
	for (guint i = 0; i < uids->len; i++)
		assert_reads(fixture, g_array_index(uids, guint32, i));
}

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

/* --- without a server
 * -------------------------------------------------------------------------------------------------------
 */

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

/* --- bodies
 * ------------------------------------------------------------------------------------------------------------------
 */

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

static void
test_a_spoilt_cache_file_is_noticed_and_fetched_again(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = NULL;

	fake_server_fill(fixture->server, "INBOX", 5);
	refresh(fixture);
	assert_reads(fixture, 3);
	path = g_strdup_printf("%s/bodies/%s/%u/3", fixture->directory,
			       index_generation(fixture->index), view_of(fixture).messages);
	leave(fixture);
	g_assert_true(g_file_set_contents(path, "something else altogether", -1, NULL));
	enter(fixture);
	refresh(fixture);
	assert_reads(fixture, 3);
	g_assert_cmpuint(fake_server_asked(fixture->server, "INBOX", 3), ==, 2);
	g_assert_cmpint(g_unlink(path), ==, 0);
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

/* --- headers
 * ------------------------------------------------------------------------------------------------------------------
 */

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

/* --- what cannot be selected
 * ----------------------------------------------------------------------------------------------------
 */

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

/* --- all at once
 * ------------------------------------------------------------------------------------------------------------------
 */

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
	TEST("what-the-index-knows-is-listed-without-a-server",
	     test_what_the_index_knows_is_listed_without_a_server);
	TEST("a-body-is-fetched-once-and-kept-for-the-next-mount",
	     test_a_body_is_fetched_once_and_kept_for_the_next_mount);
	TEST("a-spoilt-cache-file-is-noticed-and-fetched-again",
	     test_a_spoilt_cache_file_is_noticed_and_fetched_again);
	TEST("a-lying-size-is-corrected-and-told", test_a_lying_size_is_corrected_and_told);
	TEST("an-empty-message-is-empty", test_an_empty_message_is_empty);
	TEST("a-mailbox-read-in-order-is-fetched-ahead-and-once",
	     test_a_mailbox_read_in_order_is_fetched_ahead_and_once);
	TEST_WITH("a-mailbox-read-backward-is-fetched-ahead-and-once", "backward",
		  test_a_mailbox_read_in_order_is_fetched_ahead_and_once);
	TEST("a-header-comes-from-the-server-or-from-the-body",
	     test_a_header_comes_from_the_server_or_from_the_body);
	TEST("no-header-of-another-numbering-is-given",
	     test_no_header_of_another_numbering_is_given);
	TEST("the-four-fields-are-stored", test_the_four_fields_are_stored);
	TEST("what-holds-no-messages-is-never-asked", test_what_holds_no_messages_is_never_asked);
	TEST("a-rough-day-ends-with-the-truth", test_a_rough_day_ends_with_the_truth);
	return g_test_run();
}
