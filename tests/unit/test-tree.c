/* SPDX-License-Identifier: MIT */
#include "fs/tree.h"

#include <string.h>

#include "tree-fixture.h"

/* --- names and attributes --- */

static void
test_the_root_holds_the_mailboxes_and_hides_the_rest(Fixture *fixture, gconstpointer data)
{
	g_autofree char *names = list_all(fixture, NODE_ROOT_INO, 1000);
	struct stat st;

	g_assert_cmpstr(names, ==, ". .. Bin INBOX Lists Sent");
	g_assert_cmpint(tree_stat(fixture->tree, NODE_ROOT_INO, &st).result, ==, TREE_OK);
	g_assert_cmpuint(st.st_ino, ==, 1);
	g_assert_cmpuint(st.st_mode, ==, S_IFDIR | 0700);
	g_assert_cmpuint(st.st_nlink, ==, 6);
	g_assert_cmpuint(st.st_uid, ==, 1234);
	g_assert_cmpuint(st.st_gid, ==, 567);
	g_assert_cmpuint(ino_of(fixture, ".mailfs/status"), !=, 0);
	g_assert_cmpuint(ino_of(fixture, ".special/sent"), !=, 0);
	assert_error(look_up(fixture, NODE_ROOT_INO, "Drafts", &st), MAILFS_ERROR_NOT_FOUND);
	assert_error(look_up(fixture, NODE_ROOT_INO, "x.eml", &st), MAILFS_ERROR_NOT_FOUND);
	assert_error(look_up(fixture, ino_of(fixture, "INBOX"), ".mailfs", &st),
		     MAILFS_ERROR_NOT_FOUND);
}

static void
test_a_directory_pages_in_any_size(Fixture *fixture, gconstpointer data)
{
	g_autofree char *whole = NULL;

	fake_server_fill(fixture->server, "INBOX", 30);
	refresh(fixture, "INBOX");
	whole = list_all(fixture, ino_of(fixture, "INBOX"), 1000);
	g_assert_true(g_str_has_prefix(whole, ". .. Projects 20261121-063813_Message-1."));
	for (guint at_once = 1; at_once < 35; at_once++) {
		g_autofree char *names = list_all(fixture, ino_of(fixture, "INBOX"), at_once);

		g_assert_cmpstr(names, ==, whole);
	}
}

static void
test_a_message_has_the_attributes_of_the_design(Fixture *fixture, gconstpointer data)
{
	guint64 ino;
	struct stat st;
	g_autofree char *name = NULL;
	struct stat by_name;

	fake_server_fill(fixture->server, "INBOX", 3);
	fake_server_claim_size(fixture->server, "INBOX", 2, 5000);
	ino = message_ino(fixture, "INBOX", 2);
	g_assert_cmpint(tree_stat(fixture->tree, ino, &st).result, ==, TREE_OK);
	g_assert_cmpuint(st.st_ino, ==, ino);
	g_assert_cmpuint(st.st_mode, ==, S_IFREG | (g_strcmp0(data, "ro") == 0 ? 0400 : 0600));
	g_assert_cmpuint(st.st_nlink, ==, 1);
	g_assert_cmpint(st.st_size, ==, 5000);
	g_assert_cmpint(st.st_blocks, ==, 10);
	g_assert_cmpint(st.st_mtim.tv_sec, ==, 1795243092 + 2);
	g_assert_cmpuint(st.st_uid, ==, 1234);
	name = mailbox_name_of(mailbox_of(fixture, "INBOX"), 2);
	g_assert_cmpint(look_up(fixture, ino_of(fixture, "INBOX"), name, &by_name).result, ==,
			TREE_OK);
	g_assert_cmpint(memcmp(&st, &by_name, sizeof st), ==, 0);
}

static void
test_a_uid_is_an_alias(Fixture *fixture, gconstpointer data)
{
	guint64 inbox = ino_of(fixture, "INBOX"), ino;
	g_autofree char *name = NULL;
	struct stat st;
	gboolean alias;

	fake_server_fill(fixture->server, "INBOX", 3);
	ino = message_ino(fixture, "INBOX", 2);
	name = mailbox_name_of(mailbox_of(fixture, "INBOX"), 2);
	g_assert_cmpint(tree_lookup(fixture->tree, inbox, "2.eml", TRUE, &st, &alias).result, ==,
			TREE_OK);
	g_assert_true(alias);
	g_assert_cmpuint(st.st_ino, ==, ino);
	g_assert_cmpint(tree_lookup(fixture->tree, inbox, name, TRUE, &st, &alias).result, ==,
			TREE_OK);
	g_assert_false(alias);
	g_assert_cmpuint(st.st_ino, ==, ino);
}

static void
test_what_is_no_message_name_asks_nobody(Fixture *fixture, gconstpointer data)
{
	struct stat st;

	assert_error(look_up(fixture, ino_of(fixture, "INBOX"), ".git", &st),
		     MAILFS_ERROR_NOT_FOUND);
	assert_error(look_up(fixture, ino_of(fixture, "INBOX"), "cur", &st),
		     MAILFS_ERROR_NOT_FOUND);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_SYNC], ==, 0);
	assert_error(look_up(fixture, ino_of(fixture, "INBOX"), "x.eml", &st),
		     MAILFS_ERROR_NOT_FOUND);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_SYNC], ==, 1);
}

static void
test_a_parent_that_is_no_mailbox_holds_only_mailboxes(Fixture *fixture, gconstpointer data)
{
	g_autofree char *names = list_all(fixture, ino_of(fixture, "Lists"), 1000);
	struct stat st;

	g_assert_cmpstr(names, ==, ". .. a");
	assert_error(look_up(fixture, ino_of(fixture, "Lists"), "1.eml", &st),
		     MAILFS_ERROR_NOT_FOUND);
	g_assert_cmpuint(fake_server_counts(fixture->server).requests[REQUEST_SYNC], ==, 0);
}

static void
test_what_is_no_more_is_stale(Fixture *fixture, gconstpointer data)
{
	guint64 message, old;
	struct stat st;

	fake_server_fill(fixture->server, "INBOX", 3);
	message = message_ino(fixture, "INBOX", 2);
	fake_server_expunge(fixture->server, "INBOX", 2, 2);
	refresh(fixture, "INBOX");
	assert_error(tree_stat(fixture->tree, message, &st), MAILFS_ERROR_STALE);
	old = message_ino(fixture, "INBOX", 3);
	fake_server_renumber(fixture->server, "INBOX");
	refresh(fixture, "INBOX");
	assert_error(tree_stat(fixture->tree, old, &st), MAILFS_ERROR_STALE);
	assert_error(tree_stat(fixture->tree, node_ino_of_directory(9999), &st),
		     MAILFS_ERROR_STALE);
	assert_error(tree_stat(fixture->tree, G_MAXUINT64, &st), MAILFS_ERROR_STALE);
	assert_error(tree_stat(fixture->tree, 0, &st), MAILFS_ERROR_STALE);
	assert_error(look_up(fixture, node_ino_of_directory(9999), "x", &st),
		     MAILFS_ERROR_NOT_FOUND);
}

/* --- while the server answers, or does not --- */

static void
test_a_first_look_waits_and_an_impatient_one_does_not(Fixture *fixture, gconstpointer data)
{
	guint64 inbox = ino_of(fixture, "INBOX");
	TreeAnswer answer;
	struct stat st;
	gboolean alias;
	Page page;

	fake_server_fill(fixture->server, "INBOX", 3);
	FAKE_SET(fixture->server, mute, TRUE);
	answer = tree_lookup(fixture->tree, inbox, "2.eml", TRUE, &st, &alias);
	g_assert_cmpint(answer.result, ==, TREE_LATER);
	assert_error(tree_lookup(fixture->tree, inbox, "2.eml", FALSE, &st, &alias),
		     MAILFS_ERROR_TIMEOUT);
	page_init(&page);
	page.room = 1;
	g_assert_cmpint(tree_list(fixture->tree, inbox, 2, TRUE, take_entry, &page).result, ==,
			TREE_OK);
	page.room = 1;
	answer = tree_list(fixture->tree, inbox, page.cookie, TRUE, take_entry, &page);
	g_assert_cmpint(answer.result, ==, TREE_LATER);
	assert_error(tree_list(fixture->tree, inbox, page.cookie, FALSE, take_entry, &page),
		     MAILFS_ERROR_TIMEOUT);
	page_clear(&page);
	FAKE_SET(fixture->server, mute, FALSE);
	g_assert_cmpint(look_up(fixture, inbox, "2.eml", &st).result, ==, TREE_OK);
	assert_error(look_up(fixture, inbox, "4.eml", &st), MAILFS_ERROR_NOT_FOUND);
}

static void
test_a_listing_grows_under_its_reader_until_it_is_whole(Fixture *fixture, gconstpointer data)
{
	g_autofree char *during = NULL;
	g_autofree char *after = NULL;

	fake_server_fill(fixture->server, "INBOX", 60);
	FAKE_SET(fixture->server, batch, 7);
	FAKE_SET(fixture->server, delay_us, 500);
	{
		guint64 version;

		g_assert_cmpint(
			tree_open_directory(fixture->tree, ino_of(fixture, "INBOX"), TRUE, &version)
				.result,
			==, TREE_OK);
	}
	during = list_all(fixture, ino_of(fixture, "INBOX"), 5);
	refresh(fixture, "INBOX");
	after = list_all(fixture, ino_of(fixture, "INBOX"), 1000);
	g_assert_cmpstr(during, ==, after);
}

static void
test_a_listing_keeps_its_shape_while_messages_come_behind_it(Fixture *fixture, gconstpointer data)
{
	guint64 inbox = ino_of(fixture, "INBOX"), version;
	ListingView first, now;

	fake_server_fill(fixture->server, "INBOX", 3);
	g_assert_cmpint(tree_open_directory(fixture->tree, inbox, TRUE, &version).result, ==,
			TREE_OK);
	first = tree_listing(fixture->tree, inbox, 0);
	g_assert_true(first.grows);
	refresh(fixture, "INBOX");
	fake_server_fill(fixture->server, "INBOX", 2);
	refresh(fixture, "INBOX");
	now = tree_listing(fixture->tree, inbox, (1ull << 32) + 4);
	g_assert_cmpuint(now.version, >, first.version);
	g_assert_cmpuint(now.shape, ==, first.shape);
	g_assert_cmpuint(now.rank, ==, 3);
	fake_server_expunge(fixture->server, "INBOX", 2, 2);
	refresh(fixture, "INBOX");
	now = tree_listing(fixture->tree, inbox, 0);
	g_assert_cmpuint(now.shape, !=, first.shape);
	fake_server_renumber(fixture->server, "INBOX");
	refresh(fixture, "INBOX");
	g_assert_cmpuint(tree_listing(fixture->tree, inbox, 0).shape, !=, now.shape);
	g_assert_false(tree_listing(fixture->tree, inbox, 2ull << 32).grows);
	g_assert_false(tree_listing(fixture->tree, NODE_ROOT_INO, 0).grows);
}

static void
test_a_known_listing_waits_for_news_and_not_for_long(Fixture *fixture, gconstpointer data)
{
	guint64 inbox = ino_of(fixture, "INBOX"), version, later;
	TreeAnswer answer;
	struct stat st;
	gboolean alias;

	fake_server_fill(fixture->server, "INBOX", 3);
	refresh(fixture, "INBOX");
	g_assert_cmpint(tree_open_directory(fixture->tree, inbox, TRUE, &version).result, ==,
			TREE_OK);
	fake_server_fill(fixture->server, "INBOX", 1);
	FAKE_SET(fixture->server, mute, TRUE);
	mailbox_refresh(mailbox_of(fixture, "INBOX"), 0);
	answer = tree_open_directory(fixture->tree, inbox, TRUE, &later);
	g_assert_cmpint(answer.result, ==, TREE_LATER);
	g_assert_cmpint(tree_open_directory(fixture->tree, inbox, FALSE, &later).result, ==,
			TREE_OK);
	g_assert_cmpuint(later, ==, version);
	/* What is known is found at once, what is not may be new. */
	g_assert_cmpint(tree_lookup(fixture->tree, inbox, "3.eml", TRUE, &st, &alias).result, ==,
			TREE_OK);
	g_assert_cmpint(tree_lookup(fixture->tree, inbox, "4.eml", TRUE, &st, &alias).result, ==,
			TREE_LATER);
	assert_error(tree_lookup(fixture->tree, inbox, "4.eml", FALSE, &st, &alias),
		     MAILFS_ERROR_NOT_FOUND);
	g_usleep(1100 * 1000);
	g_assert_cmpint(tree_open_directory(fixture->tree, inbox, TRUE, &later).result, ==,
			TREE_OK);
	assert_error(tree_lookup(fixture->tree, inbox, "4.eml", TRUE, &st, &alias),
		     MAILFS_ERROR_NOT_FOUND);
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(tree_lookup(fixture->tree, inbox, "4.eml", FALSE, &st, &alias).result == TREE_OK);
	/* The version follows when the batch is published. */
	FAKE_WAIT(tree_open_directory(fixture->tree, inbox, TRUE, &later).result == TREE_OK &&
		  later > version);
}

static void
test_a_mailbox_that_was_never_listed_says_why(Fixture *fixture, gconstpointer data)
{
	guint64 inbox = ino_of(fixture, "INBOX"), version;
	TreeAnswer answer;
	struct stat st;
	Page page;

	FAKE_SET(fixture->server, login_code, MAILFS_ERROR_OFFLINE);
	fake_server_drop_lines(fixture->server);
	{
		PoolStatus status = {0};

		do {
			pool_status_clear(&status);
			pool_get_status(account_pool(fixture->account), &status);
		} while (status.health != POOL_OFFLINE);
		pool_status_clear(&status);
	}
	answer = tree_open_directory(fixture->tree, inbox, TRUE, &version);
	assert_error(answer, MAILFS_ERROR_OFFLINE);
	assert_error(look_up(fixture, inbox, "1.eml", &st), MAILFS_ERROR_OFFLINE);
	page_init(&page);
	page.room = 100;
	g_assert_cmpint(tree_list(fixture->tree, inbox, 0, TRUE, take_entry, &page).result, ==,
			TREE_OK);
	assert_error(tree_list(fixture->tree, inbox, page.cookie, TRUE, take_entry, &page),
		     MAILFS_ERROR_OFFLINE);
	page_clear(&page);
	/* The folders themselves are known. */
	g_assert_cmpuint(ino_of(fixture, "INBOX/Projects"), !=, 0);
}

/* --- pages while messages come and go --- */

static gboolean
has_ino(const Page *page, guint64 ino, guint *times_out)
{
	*times_out = 0;
	for (guint i = 0; i < page->inos->len; i++)
		*times_out += g_array_index(page->inos, guint64, i) == ino;
	return *times_out > 0;
}

static void
test_who_stays_is_listed_once_while_others_come_and_go(Fixture *fixture, gconstpointer data)
{
	fake_server_fill(fixture->server, "INBOX", 50);
	for (guint32 seed = 1; seed <= 15; seed++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
		g_autoptr(UidSet) stayed = uidset_new();
		guint64 inbox = ino_of(fixture, "INBOX");
		guint32 newest = 0;
		MailboxView view;
		Page page;

		refresh(fixture, "INBOX");
		mailbox_view(mailbox_of(fixture, "INBOX"), &view);
		for (guint32 uid = 1; uid < 3000; uid++) {
			MessageView message;

			if (mailbox_get(mailbox_of(fixture, "INBOX"), view.messages, uid, &message))
				uidset_add(stayed, newest = uid, uid);
		}
		page_init(&page);
		while (list_some(fixture, inbox, &page, g_rand_int_range(rand, 1, 9))) {
			guint32 uid = g_rand_int_range(rand, 1, newest + 1);

			fake_server_expunge(fixture->server, "INBOX", uid, uid);
			uidset_remove(stayed, uid, uid);
			if (newest < 2900)
				fake_server_fill(fixture->server, "INBOX",
						 g_rand_int_range(rand, 0, 3));
			refresh(fixture, "INBOX");
		}
		g_assert_cmpuint(page.names->len, >, 3);
		for (guint i = 0; i < uidset_n_ranges(stayed); i++) {
			guint32 first, last;

			uidset_range(stayed, i, &first, &last);
			for (guint32 uid = first; uid <= last; uid++) {
				guint times;

				g_assert_true(has_ino(
					&page, node_ino_of_message(view.messages, uid), &times));
				g_assert_cmpuint(times, ==, 1);
			}
		}
		page_clear(&page);
	}
}

/* --- .mailfs and .special --- */

static void
test_the_pages_are_files_that_are_made_when_read(Fixture *fixture, gconstpointer data)
{
	g_autofree char *names = list_all(fixture, ino_of(fixture, ".mailfs"), 1);
	TreeContent content;
	struct stat st;

	g_assert_cmpstr(names, ==, ". .. status log");
	g_assert_cmpint(tree_stat(fixture->tree, ino_of(fixture, ".mailfs"), &st).result, ==,
			TREE_OK);
	g_assert_cmpuint(st.st_mode, ==, S_IFDIR | 0500);
	g_assert_cmpint(tree_stat(fixture->tree, ino_of(fixture, ".mailfs/status"), &st).result, ==,
			TREE_OK);
	g_assert_cmpuint(st.st_mode, ==, S_IFREG | 0400);
	g_assert_cmpint(st.st_size, ==, strlen("all is well\n"));
	g_assert_cmpint(tree_content(fixture->tree, st.st_ino, 1, TRUE, &content).result, ==,
			TREE_OK);
	g_assert_cmpuint(content.size, ==, strlen("all is well\n"));
	g_assert_cmpint(
		memcmp(g_bytes_get_data(content.bytes, NULL), "all is well\n", content.size), ==,
		0);
	g_assert_true(content.fresh);
	tree_content_clear(&content);
	assert_error(tree_content(fixture->tree, ino_of(fixture, ".mailfs"), 1, TRUE, &content),
		     MAILFS_ERROR_NOT_FOUND);
	assert_error(tree_content(fixture->tree, NODE_ROOT_INO, 1, TRUE, &content),
		     MAILFS_ERROR_STALE);
	assert_error(look_up(fixture, ino_of(fixture, ".mailfs"), "nothing", &st),
		     MAILFS_ERROR_NOT_FOUND);
	assert_error(
		tree_stat(fixture->tree, node_to_ino((Node){.kind = NODE_CONTROL, .part = 3}), &st),
		MAILFS_ERROR_NOT_FOUND);
}

static void
test_special_mailboxes_have_links(Fixture *fixture, gconstpointer data)
{
	g_autofree char *names = list_all(fixture, ino_of(fixture, ".special"), 1);
	g_autofree char *target = NULL;
	char *none = NULL;
	struct stat st;

	g_assert_cmpstr(names, ==, ". .. sent trash");
	g_assert_cmpint(tree_stat(fixture->tree, ino_of(fixture, ".special/trash"), &st).result, ==,
			TREE_OK);
	g_assert_cmpuint(st.st_mode, ==, S_IFLNK | 0777);
	g_assert_cmpint(tree_readlink(fixture->tree, st.st_ino, &target).result, ==, TREE_OK);
	g_assert_cmpstr(target, ==, "../Bin/Old");
	g_assert_cmpint(st.st_size, ==, strlen(target));
	assert_error(look_up(fixture, ino_of(fixture, ".special"), "drafts", &st),
		     MAILFS_ERROR_NOT_FOUND);
	assert_error(tree_readlink(fixture->tree, ino_of(fixture, ".special"), &none),
		     MAILFS_ERROR_NOT_FOUND);
	assert_error(tree_readlink(fixture->tree, ino_of(fixture, "INBOX"), &none),
		     MAILFS_ERROR_INVALID);
}

/* --- extended attributes --- */

static const char rich[] =
	"Message-ID: <rich@x>\r\n"
	"Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=x; dkim=fail\r\n"
	"Date: Sat, 21 Nov 2026 08:38:12 +0200\r\n"
	"From: =?utf-8?q?J=C3=BCrgen?= <j@x>\r\n"
	"To: a@x, =?utf-8?b?5Y+w5YyX?= <b@x>\r\n"
	"Subject: =?utf-8?b?5Y+w5YyX?= report\r\n\r\nbody\r\n";

static void
assert_xattr(Fixture *fixture, guint64 ino, const char *name, TreeXattr expected, const char *value)
{
	g_autofree char *text = NULL;

	g_assert_cmpint(tree_xattr(fixture->tree, ino, name, &text), ==, expected);
	g_assert_cmpstr(text, ==, value);
}

static void
test_a_message_tells_of_itself(Fixture *fixture, gconstpointer data)
{
	g_autofree char *to = NULL;
	g_autofree char *auth = NULL;
	guint64 ino;

	fake_server_add_raw(fixture->server, "INBOX", rich, 0);
	fake_server_flag(fixture->server, "INBOX", 1, MESSAGE_SEEN, "work");
	ino = message_ino(fixture, "INBOX", 1);
	assert_xattr(fixture, ino, "user.mailfs.flags", TREE_XATTR_VALUE, "\\Seen work");
	assert_xattr(fixture, ino, "user.mailfs.uid", TREE_XATTR_VALUE, "1");
	assert_xattr(fixture, ino, "user.mailfs.uidvalidity", TREE_XATTR_VALUE, "1000");
	assert_xattr(fixture, ino, "user.mail.subject", TREE_XATTR_VALUE, "台北 report");
	assert_xattr(fixture, ino, "user.mail.message-id", TREE_XATTR_VALUE, "<rich@x>");
	assert_xattr(fixture, ino, "user.mail.from", TREE_XATTR_VALUE, "Jürgen <j@x>");
	assert_xattr(fixture, ino, "user.mail.to", TREE_XATTR_NEEDS_HEADER, NULL);
	assert_xattr(fixture, ino, "user.mail.auth", TREE_XATTR_NEEDS_HEADER, NULL);
	assert_xattr(fixture, ino, "user.mail.cc", TREE_XATTR_NONE, NULL);
	assert_xattr(fixture, ino, "security.selinux", TREE_XATTR_NONE, NULL);
	assert_xattr(fixture, ino_of(fixture, "INBOX"), "user.mailfs.uid", TREE_XATTR_NONE, NULL);
	to = tree_xattr_from_header(fixture->tree, "user.mail.to", rich, strlen(rich));
	g_assert_cmpstr(to, ==, "<a@x>, 台北 <b@x>");
	auth = tree_xattr_from_header(fixture->tree, "user.mail.auth", rich, strlen(rich));
	g_assert_nonnull(strstr(auth, "spf=pass"));
	g_assert_null(
		tree_xattr_from_header(fixture->tree, "user.mail.subject", "X: y\r\n\r\n", 8));
}

static void
test_only_flags_are_listed_and_only_when_there_are_any(Fixture *fixture, gconstpointer data)
{
	guint64 first, second, third;

	fake_server_fill(fixture->server, "INBOX", 3);
	fake_server_flag(fixture->server, "INBOX", 2, MESSAGE_SEEN, "");
	fake_server_flag(fixture->server, "INBOX", 3, 0, "work");
	first = message_ino(fixture, "INBOX", 1);
	second = message_ino(fixture, "INBOX", 2);
	third = message_ino(fixture, "INBOX", 3);
	g_assert_null(tree_xattr_listed(fixture->tree, first));
	g_assert_cmpstr(tree_xattr_listed(fixture->tree, second), ==, "user.mailfs.flags");
	g_assert_cmpstr(tree_xattr_listed(fixture->tree, third), ==, "user.mailfs.flags");
	g_assert_null(tree_xattr_listed(fixture->tree, ino_of(fixture, "INBOX")));
	assert_xattr(fixture, first, "user.mailfs.flags", TREE_XATTR_VALUE, "");
}

static void
test_no_attribute_of_a_message_that_is_gone(Fixture *fixture, gconstpointer data)
{
	guint64 first, ino;
	Node node;

	fake_server_fill(fixture->server, "INBOX", 2);
	first = message_ino(fixture, "INBOX", 1);
	ino = message_ino(fixture, "INBOX", 2);
	g_assert_true(tree_mailbox_of_message(fixture->tree, ino, &node) ==
		      mailbox_of(fixture, "INBOX"));
	g_assert_cmpuint(node.uid, ==, 2);
	fake_server_expunge(fixture->server, "INBOX", 1, 1);
	refresh(fixture, "INBOX");
	assert_xattr(fixture, first, "user.mailfs.flags", TREE_XATTR_GONE, NULL);
	fake_server_renumber(fixture->server, "INBOX");
	refresh(fixture, "INBOX");
	g_assert_null(tree_mailbox_of_message(fixture->tree, ino, &node));
	assert_xattr(fixture, ino, "user.mailfs.flags", TREE_XATTR_GONE, NULL);
	assert_xattr(fixture, ino, "user.mail.subject", TREE_XATTR_GONE, NULL);
}

/* --- statfs --- */

static void
test_the_quota_is_the_size_of_the_disk(Fixture *fixture, gconstpointer data)
{
	struct statvfs st;

	FAKE_SET(fixture->server, quota_used, 40960);
	FAKE_SET(fixture->server, quota_limit, 409600);
	leave(fixture);
	enter(fixture, FALSE);
	FAKE_WAIT((tree_statvfs(fixture->tree, &st), st.f_blocks > 0));
	g_assert_cmpuint(st.f_blocks * st.f_frsize, ==, 409600);
	g_assert_cmpuint(st.f_bfree, ==, 90);
	g_assert_cmpuint(st.f_bavail, ==, 90);
	g_assert_cmpuint(st.f_namemax, ==, 255);
}

static void
test_over_quota_is_full_and_not_more(Fixture *fixture, gconstpointer data)
{
	struct statvfs st;

	FAKE_SET(fixture->server, quota_used, 409601);
	FAKE_SET(fixture->server, quota_limit, 409600);
	leave(fixture);
	enter(fixture, FALSE);
	FAKE_WAIT((tree_statvfs(fixture->tree, &st), st.f_blocks > 0));
	g_assert_cmpuint(st.f_bfree, ==, 0);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST_WITH(sentence, value, function)                                                       \
	g_test_add("/tree/" sentence, Fixture, value, setup, function, teardown)
#define TEST(sentence, function) TEST_WITH(sentence, NULL, function)
	TEST("the-root-holds-the-mailboxes-and-hides-the-rest",
	     test_the_root_holds_the_mailboxes_and_hides_the_rest);
	TEST("a-directory-pages-in-any-size", test_a_directory_pages_in_any_size);
	TEST("a-message-has-the-attributes-of-the-design",
	     test_a_message_has_the_attributes_of_the_design);
	TEST_WITH("a-message-of-a-read-only-mount-cannot-be-written", "ro",
		  test_a_message_has_the_attributes_of_the_design);
	TEST("a-uid-is-an-alias", test_a_uid_is_an_alias);
	TEST("what-is-no-message-name-asks-nobody", test_what_is_no_message_name_asks_nobody);
	TEST("a-parent-that-is-no-mailbox-holds-only-mailboxes",
	     test_a_parent_that_is_no_mailbox_holds_only_mailboxes);
	TEST("what-is-no-more-is-stale", test_what_is_no_more_is_stale);
	TEST("a-first-look-waits-and-an-impatient-one-does-not",
	     test_a_first_look_waits_and_an_impatient_one_does_not);
	TEST("a-listing-grows-under-its-reader-until-it-is-whole",
	     test_a_listing_grows_under_its_reader_until_it_is_whole);
	TEST("a-listing-keeps-its-shape-while-messages-come-behind-it",
	     test_a_listing_keeps_its_shape_while_messages_come_behind_it);
	TEST("a-known-listing-waits-for-news-and-not-for-long",
	     test_a_known_listing_waits_for_news_and_not_for_long);
	TEST("a-mailbox-that-was-never-listed-says-why",
	     test_a_mailbox_that_was_never_listed_says_why);
	TEST("who-stays-is-listed-once-while-others-come-and-go",
	     test_who_stays_is_listed_once_while_others_come_and_go);
	TEST("the-pages-are-files-that-are-made-when-read",
	     test_the_pages_are_files_that_are_made_when_read);
	TEST("special-mailboxes-have-links", test_special_mailboxes_have_links);
	TEST("a-message-tells-of-itself", test_a_message_tells_of_itself);
	TEST("only-flags-are-listed-and-only-when-there-are-any",
	     test_only_flags_are_listed_and_only_when_there_are_any);
	TEST("no-attribute-of-a-message-that-is-gone", test_no_attribute_of_a_message_that_is_gone);
	TEST("the-quota-is-the-size-of-the-disk", test_the_quota_is_the_size_of_the_disk);
	TEST("over-quota-is-full-and-not-more", test_over_quota_is_full_and_not_more);
	return g_test_run();
}
