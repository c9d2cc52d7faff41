/* SPDX-License-Identifier: MIT */
#include <gio/gio.h>
#include <sysexits.h>

#include "base/error.h"
#include "exit-code.h"

static void
assert_code(GQuark domain, int code, int expected)
{
	g_autoptr(GError) error = g_error_new_literal(domain, code, "text");

	g_assert_cmpint(exit_code_from_error(error), ==, expected);
}

/* The design's list: 64 usage, 66 mountpoint, 68 host unknown, 69 unreachable, 76 protocol or TLS,
 * 77 login refused, 78 config. */
static void
test_design(void)
{
	assert_code(MAILFS_ERROR, MAILFS_ERROR_USAGE, 64);
	assert_code(MAILFS_ERROR, MAILFS_ERROR_MOUNTPOINT, 66);
	assert_code(MAILFS_ERROR, MAILFS_ERROR_HOST_UNKNOWN, 68);
	assert_code(MAILFS_ERROR, MAILFS_ERROR_OFFLINE, 69);
	assert_code(MAILFS_ERROR, MAILFS_ERROR_TIMEOUT, 69);
	assert_code(MAILFS_ERROR, MAILFS_ERROR_TLS, 76);
	assert_code(MAILFS_ERROR, MAILFS_ERROR_PROTOCOL, 76);
	assert_code(MAILFS_ERROR, MAILFS_ERROR_LOGIN, 77);
	assert_code(MAILFS_ERROR, MAILFS_ERROR_TOKEN, 77);
	assert_code(MAILFS_ERROR, MAILFS_ERROR_CONFIG, 78);
}

static void
test_every_code(void)
{
	for (int code = 0; code <= (int)MAILFS_ERROR_INVALID; code++) {
		g_autoptr(GError) error = g_error_new_literal(MAILFS_ERROR, code, "text");
		int result = exit_code_from_error(error);

		g_assert_cmpint(result, >=, EX_USAGE);
		g_assert_cmpint(result, <=, EX_CONFIG);
		g_assert_cmpint(result, !=, EX_SOFTWARE);
	}
}

static void
test_foreign(void)
{
	assert_code(G_IO_ERROR, G_IO_ERROR_CANCELLED, 130);
	assert_code(G_FILE_ERROR, G_FILE_ERROR_NOSPC, EX_CANTCREAT);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/exit-code/the-design's-list-holds", test_design);
	g_test_add_func("/exit-code/no-error-is-left-without-a-code", test_every_code);
	g_test_add_func("/exit-code/errors-of-others-have-one-too", test_foreign);
	return g_test_run();
}
