/* SPDX-License-Identifier: MIT */
#include "exit-code.h"

#include <gio/gio.h>
#include <signal.h>
#include <sysexits.h>

#include "base/error.h"

int
exit_code_from_error(const GError *error)
{
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return 128 + SIGINT;
	if (error->domain != MAILFS_ERROR)
		return EX_CANTCREAT;
	switch ((MailfsError)error->code) {
	case MAILFS_ERROR_USAGE:
	case MAILFS_ERROR_NO_RECIPIENT:
		return EX_USAGE;
	case MAILFS_ERROR_CONFIG:
	case MAILFS_ERROR_UNSUPPORTED:
		return EX_CONFIG;
	case MAILFS_ERROR_MOUNTPOINT:
		return EX_NOINPUT;
	case MAILFS_ERROR_HOST_UNKNOWN:
		return EX_NOHOST;
	case MAILFS_ERROR_TLS:
	case MAILFS_ERROR_PROTOCOL:
	case MAILFS_ERROR_INVALID:
		return EX_PROTOCOL;
	case MAILFS_ERROR_LOGIN:
	case MAILFS_ERROR_TOKEN:
	case MAILFS_ERROR_DENIED:
	case MAILFS_ERROR_FORBIDDEN:
		return EX_NOPERM;
	case MAILFS_ERROR_OFFLINE:
	case MAILFS_ERROR_TIMEOUT:
	case MAILFS_ERROR_LIMIT:
	case MAILFS_ERROR_BUSY:
	case MAILFS_ERROR_NOT_FOUND:
	case MAILFS_ERROR_STALE:
	case MAILFS_ERROR_QUOTA:
	case MAILFS_ERROR_TOO_BIG:
	case MAILFS_ERROR_READ_ONLY:
	case MAILFS_ERROR_EXISTS:
	case MAILFS_ERROR_NOT_EMPTY:
	case MAILFS_ERROR_UNKNOWN_OUTCOME:
		return EX_UNAVAILABLE;
	}
	return EX_SOFTWARE;
}
