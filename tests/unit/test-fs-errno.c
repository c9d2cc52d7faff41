/* SPDX-License-Identifier: MIT */
#include "fs/fs-errno.h"

#include <errno.h>

#include "base/error.h"

static int
errno_of(GQuark domain, int code)
{
	g_autoptr(GError) error = g_error_new_literal(domain, code, "why");

	return fs_errno_from_error(error);
}

/* design.md, "Operations", the list of errnos. */
static void
test_every_code_has_the_errno_of_the_design(void)
{
	static const int expected[] = {
		[MAILFS_ERROR_USAGE] = EINVAL,	       [MAILFS_ERROR_CONFIG] = EINVAL,
		[MAILFS_ERROR_MOUNTPOINT] = EBUSY,     [MAILFS_ERROR_HOST_UNKNOWN] = EHOSTUNREACH,
		[MAILFS_ERROR_OFFLINE] = EHOSTUNREACH, [MAILFS_ERROR_TIMEOUT] = ETIMEDOUT,
		[MAILFS_ERROR_TLS] = EPROTO,	       [MAILFS_ERROR_PROTOCOL] = EPROTO,
		[MAILFS_ERROR_LOGIN] = EACCES,	       [MAILFS_ERROR_TOKEN] = EKEYEXPIRED,
		[MAILFS_ERROR_DENIED] = EACCES,	       [MAILFS_ERROR_FORBIDDEN] = EPERM,
		[MAILFS_ERROR_NOT_FOUND] = ENOENT,     [MAILFS_ERROR_STALE] = ESTALE,
		[MAILFS_ERROR_BUSY] = EBUSY,	       [MAILFS_ERROR_LIMIT] = EAGAIN,
		[MAILFS_ERROR_QUOTA] = EDQUOT,	       [MAILFS_ERROR_TOO_BIG] = EMSGSIZE,
		[MAILFS_ERROR_READ_ONLY] = EROFS,      [MAILFS_ERROR_UNSUPPORTED] = EOPNOTSUPP,
		[MAILFS_ERROR_INVALID] = EINVAL,       [MAILFS_ERROR_EXISTS] = EEXIST,
		[MAILFS_ERROR_NOT_EMPTY] = ENOTEMPTY,  [MAILFS_ERROR_NO_RECIPIENT] = EDESTADDRREQ,
		[MAILFS_ERROR_UNKNOWN_OUTCOME] = EIO,
	};

	for (guint code = 0; code < G_N_ELEMENTS(expected); code++)
		g_assert_cmpint(errno_of(MAILFS_ERROR, code), ==, expected[code]);
}

static void
test_local_disk_troubles_keep_their_names(void)
{
	g_assert_cmpint(errno_of(G_FILE_ERROR, G_FILE_ERROR_NOSPC), ==, ENOSPC);
	g_assert_cmpint(errno_of(G_FILE_ERROR, G_FILE_ERROR_MFILE), ==, EMFILE);
	g_assert_cmpint(errno_of(G_FILE_ERROR, G_FILE_ERROR_NFILE), ==, EMFILE);
	g_assert_cmpint(errno_of(G_FILE_ERROR, G_FILE_ERROR_NOMEM), ==, ENOMEM);
	g_assert_cmpint(errno_of(G_FILE_ERROR, G_FILE_ERROR_ACCES), ==, EIO);
}

static void
test_cancelling_is_an_interrupt(void)
{
	g_assert_cmpint(errno_of(G_IO_ERROR, G_IO_ERROR_CANCELLED), ==, EINTR);
	g_assert_cmpint(errno_of(G_IO_ERROR, G_IO_ERROR_FAILED), ==, EIO);
}

static void
test_what_is_unknown_is_never_success(void)
{
	g_assert_cmpint(errno_of(MAILFS_ERROR, 9999), ==, EIO);
	g_assert_cmpint(errno_of(MAILFS_ERROR, -1), ==, EIO);
	g_assert_cmpint(errno_of(g_quark_from_static_string("elsewhere"), 0), ==, EIO);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fs-errno/every-code-has-the-errno-of-the-design",
			test_every_code_has_the_errno_of_the_design);
	g_test_add_func("/fs-errno/local-disk-troubles-keep-their-names",
			test_local_disk_troubles_keep_their_names);
	g_test_add_func("/fs-errno/cancelling-is-an-interrupt", test_cancelling_is_an_interrupt);
	g_test_add_func("/fs-errno/what-is-unknown-is-never-success",
			test_what_is_unknown_is_never_success);
	return g_test_run();
}
