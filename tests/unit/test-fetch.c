/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "fetch.h"

#define MIB (1024 * 1024)

static void
assert_progress(const FetchProgress *progress, guint columns, const char *expected)
{
	g_autofree char *text = fetch_progress_text(progress, columns);

	/* GLib writes a no-break space between number and unit. */
	for (char *space = strstr(text, "\u00a0"); space != NULL; space = strstr(space, "\u00a0")) {
		*space = ' ';
		memmove(space + 1, space + 2, strlen(space + 2) + 1);
	}
	g_assert_cmpstr(text, ==, expected);
}

static void
test_bar(void)
{
	FetchProgress progress = {.messages = 250,
				  .found = 1000,
				  .all_found = TRUE,
				  .bytes = 10 * MIB,
				  .elapsed_us = 5 * G_USEC_PER_SEC};

	assert_progress(
		&progress, 79,
		"[=====>                 ]  250 of 1000 messages  10.0 MiB  2.0 MiB/s  15 s left");
}

static void
test_no_end_in_sight(void)
{
	FetchProgress progress = {.messages = 250,
				  .found = 1000,
				  .bytes = 10 * MIB,
				  .elapsed_us = 5 * G_USEC_PER_SEC};

	assert_progress(&progress, 79, "250 of 1000+ messages  10.0 MiB  2.0 MiB/s");
}

static void
test_width(void)
{
	FetchProgress progress = {.messages = 123456,
				  .found = 999999,
				  .all_found = TRUE,
				  .bytes = G_GUINT64_CONSTANT(7) << 30,
				  .elapsed_us = 100 * G_USEC_PER_SEC};

	for (guint columns = 1; columns < 300; columns++) {
		g_autofree char *text = fetch_progress_text(&progress, columns);

		g_assert_cmpint(g_utf8_strlen(text, -1), <=, columns);
		g_assert_true(g_utf8_validate(text, -1, NULL));
	}
}

static void
test_start(void)
{
	FetchProgress nothing = {0};
	FetchProgress done = {.messages = 3, .found = 3, .all_found = TRUE, .bytes = 3000};
	g_autofree char *first = fetch_progress_text(&nothing, 79);
	g_autofree char *last = fetch_progress_text(&done, 79);

	g_assert_true(g_str_has_prefix(first, "0 of 0+ messages"));
	g_assert_nonnull(strstr(last, "=]  3 of 3 messages"));
}

static void
test_summary(void)
{
	FetchProgress one = {.messages = 1, .found = 1, .bytes = MIB, .elapsed_us = 500000};
	FetchProgress hours = {.messages = 2,
			       .found = 2,
			       .bytes = 0,
			       .elapsed_us = G_TIME_SPAN_HOUR * 2 + G_TIME_SPAN_MINUTE * 3};
	g_autofree char *first = fetch_summary_text(&one);
	g_autofree char *second = fetch_summary_text(&hours);

	g_assert_true(g_str_has_prefix(first, "1 message, 1.0"));
	g_assert_nonnull(strstr(first, ", in 0.5 s (2.0"));
	g_assert_true(g_str_has_prefix(second, "2 messages, 0 bytes, in 2:03 h ("));
}

static const char mountinfo[] =
	"21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
	"40 21 0:40 / /home/a/mail rw,nosuid - fuse.mailfs imap://a@example.org rw\n"
	"41 40 0:41 / /home/a/mail/other rw - tmpfs none rw\n"
	"42 21 0:42 / /home/a/two\\040words rw - fuse.mailfs imap://b@example.org rw\n"
	"43 21 0:43 / /mnt rw - tmpfs none rw\n"
	"44 21 0:44 / /mnt rw - fuse.mailfs imap://c@example.org rw\n"
	"nonsense\n";

static void
assert_mount(const char *path, const char *mountpoint, const char *type)
{
	g_auto(ControlMount) mount = {0};

	g_assert_true(fetch_find_mount(mountinfo, path, &mount));
	g_assert_cmpstr(mount.mountpoint, ==, mountpoint);
	g_assert_cmpstr(mount.type, ==, type);
}

static void
test_mount(void)
{
	g_auto(ControlMount) none = {0};

	assert_mount("/home/a/mail", "/home/a/mail", "fuse.mailfs");
	assert_mount("/home/a/mail/INBOX/x.eml", "/home/a/mail", "fuse.mailfs");
	assert_mount("/home/a/mail/other/x", "/home/a/mail/other", "tmpfs");
	assert_mount("/home/a/mailbox", "/", "ext4");
	assert_mount("/home/a/two words/INBOX", "/home/a/two words", "fuse.mailfs");
	assert_mount("/mnt/x", "/mnt", "fuse.mailfs");
	g_assert_false(fetch_find_mount("", "/home", &none));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fetch/the-bar-says-how-far-and-how-long", test_bar);
	g_test_add_func("/fetch/no-time-is-promised-before-all-is-found", test_no_end_in_sight);
	g_test_add_func("/fetch/a-line-never-passes-the-terminal's-edge", test_width);
	g_test_add_func("/fetch/the-first-and-the-last-line-are-sane", test_start);
	g_test_add_func("/fetch/the-summary-counts", test_summary);
	g_test_add_func("/fetch/the-innermost-and-newest-mount-holds-a-path", test_mount);
	return g_test_run();
}
