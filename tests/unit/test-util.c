/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

static void
assert_printable(const char *text, gssize len, gsize max_bytes, const char *expected)
{
	g_autofree char *shown = util_printable(text, len, max_bytes);

	g_assert_cmpstr(shown, ==, expected);
	g_assert_cmpuint(strlen(shown), <=, max_bytes);
}

static void
test_ordinary_text_is_left_alone(void)
{
	assert_printable("Grüße, 日本語 🙂 ~", -1, 100, "Grüße, 日本語 🙂 ~");
	assert_printable("", -1, 100, "");
	assert_printable(NULL, -1, 100, "");
	assert_printable("abcdef", 3, 100, "abc");
}

static void
test_what_a_terminal_would_obey_is_made_visible(void)
{
	assert_printable("\x1b[31mred\r\n\t\x7f", -1, 100, "\\x1b[31mred\\x0d\\x0a\\x09\\x7f");
	assert_printable("a\0b", 3, 100, "a\\x00b");
	assert_printable("\xc2\x9b"
			 "31m",
			 -1, 100, "\\xc2\\x9b31m"); /* C1: CSI */
	assert_printable("gpj.\xe2\x80\xae"
			 "exe",
			 -1, 100, "gpj.\\xe2\\x80\\xaeexe"); /* bidi override */
	assert_printable("a\xe2\x80\xa9"
			 "b",
			 -1, 100,
			 "a\\xe2\\x80\\xa9"
			 "b"); /* paragraph separator */
	assert_printable("a\xe2\x80\x8b"
			 "b",
			 -1, 100,
			 "a\\xe2\\x80\\x8b"
			 "b"); /* zero width space */
	assert_printable("\xef\xbb\xbf", -1, 100, "\\xef\\xbb\\xbf");
}

static void
test_broken_utf8_is_made_visible(void)
{
	assert_printable("a\xff"
			 "b",
			 -1, 100, "a\\xffb");
	assert_printable("\xe6\x97", -1, 100, "\\xe6\\x97"); /* cut short */
	assert_printable("日本", 4, 100, "日\\xe6");
	assert_printable("\xc0\xaf", -1, 100, "\\xc0\\xaf");	      /* overlong / */
	assert_printable("\xed\xa0\x80", -1, 100, "\\xed\\xa0\\x80"); /* surrogate */
}

static void
test_long_text_is_cut_at_a_character(void)
{
	assert_printable("abcdef", -1, 6, "abcdef");
	assert_printable("abcdefg", -1, 6, "abc…");
	assert_printable("日本語", -1, 9, "日本語");
	assert_printable("日本語", -1, 8, "日…");
	assert_printable("a\nbcdefg", -1, 9, "a\\x0ab…");
	assert_printable("a\nbcdefg", -1, 7, "a…"); /* never half an escape */
	assert_printable("abc", -1, 2, "");
	assert_printable("abc", -1, 0, "");
}

static void
test_any_bytes_give_valid_utf8_within_the_bound(void)
{
	for (int round = 0; round < 20000; round++) {
		char bytes[24];
		gsize max_bytes = (gsize)g_test_rand_int_range(0, 60);
		g_autofree char *shown = NULL;

		for (gsize i = 0; i < sizeof bytes; i++)
			bytes[i] = (char)g_test_rand_int_range(0, round % 2 == 0 ? 256 : 128);
		shown = util_printable(bytes, sizeof bytes, max_bytes);
		g_assert_true(g_utf8_validate(shown, -1, NULL));
		g_assert_cmpuint(strlen(shown), <=, max_bytes);
		for (const char *p = shown; *p != '\0'; p++)
			g_assert_true((guchar)*p >= 0x20 && *p != 0x7f);
	}
}

static void
test_sizes_are_powers_of_1024(void)
{
	static const struct {
		const char *text;
		guint64 bytes;
	} cases[] = {
		{"0", 0},
		{"123", 123},
		{"64k", 65536},
		{"64K", 65536},
		{"500M", 524288000},
		{"2G", G_GUINT64_CONSTANT(2147483648)},
		{"2g", (guint64)2 << 30},
		{"1T", (guint64)1 << 40},
		{"18446744073709551615", G_MAXUINT64},
		{"16777215T", (guint64)16777215 << 40},
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		guint64 bytes = 1;

		g_assert_true(util_parse_size(cases[i].text, &bytes));
		g_assert_cmpuint(bytes, ==, cases[i].bytes);
	}
}

static void
test_no_other_text_is_a_size(void)
{
	static const char *const cases[] = {
		"",	"k",   " 1",	"+1",	     "-1",
		"1 ",	"1kB", "1.5G",	"1 G",	     "1P",
		"0x10", "G1",  "1,000", "16777216T", "18446744073709551616"};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		guint64 bytes = 7;

		if (util_parse_size(cases[i], &bytes))
			g_error("'%s' was taken", cases[i]);
		g_assert_cmpuint(bytes, ==, 7);
	}
}

static void
test_sizes_are_shown_in_binary_units(void)
{
	g_autofree char *shown = util_format_size(1536 * 1024);

	g_assert_cmpstr(shown, ==, "1.5\xc2\xa0MiB");
}

static void
test_wiping_leaves_zeros(void)
{
	char secret[8] = "secret";

	util_wipe(secret, sizeof secret);
	for (gsize i = 0; i < sizeof secret; i++)
		g_assert_cmpint(secret[i], ==, 0);
	util_free_secret(NULL);
	util_free_secret(g_strdup("secret"));
}

static void
test_closing_keeps_errno_and_forgets_the_number(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int number = fd;

	errno = ENOENT;
	util_close_fd(&fd);
	g_assert_cmpint(errno, ==, ENOENT);
	g_assert_cmpint(fd, ==, -1);
	g_assert_cmpint(fcntl(number, F_GETFD), ==, -1);
	errno = ENOENT;
	util_close_fd(&fd);
	g_assert_cmpint(errno, ==, ENOENT);
}

static void
test_a_stolen_descriptor_outlives_its_scope(void)
{
	int kept;

	{
		g_auto(UtilFd) closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
		g_auto(UtilFd) stolen = open("/dev/null", O_RDONLY | O_CLOEXEC);

		g_assert_cmpint(closed, >=, 0);
		kept = closed;
		g_assert_cmpint(fcntl(kept, F_GETFD), >=, 0);
		kept = util_steal_fd(&stolen);
		g_assert_cmpint(stolen, ==, -1);
	}
	g_assert_cmpint(fcntl(kept, F_GETFD), >=, 0);
	util_close_fd(&kept);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(sentence, function) g_test_add_func("/util/" sentence, function)
	ADD("ordinary-text-is-left-alone", test_ordinary_text_is_left_alone);
	ADD("what-a-terminal-would-obey-is-made-visible",
	    test_what_a_terminal_would_obey_is_made_visible);
	ADD("broken-utf8-is-made-visible", test_broken_utf8_is_made_visible);
	ADD("long-text-is-cut-at-a-character", test_long_text_is_cut_at_a_character);
	ADD("any-bytes-give-valid-utf8-within-the-bound",
	    test_any_bytes_give_valid_utf8_within_the_bound);
	ADD("sizes-are-powers-of-1024", test_sizes_are_powers_of_1024);
	ADD("no-other-text-is-a-size", test_no_other_text_is_a_size);
	ADD("sizes-are-shown-in-binary-units", test_sizes_are_shown_in_binary_units);
	ADD("wiping-leaves-zeros", test_wiping_leaves_zeros);
	ADD("closing-keeps-errno-and-forgets-the-number",
	    test_closing_keeps_errno_and_forgets_the_number);
	ADD("a-stolen-descriptor-outlives-its-scope", test_a_stolen_descriptor_outlives_its_scope);
#undef ADD
	return g_test_run();
}
