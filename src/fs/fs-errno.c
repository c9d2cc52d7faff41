/* SPDX-License-Identifier: MIT */
#include "fs/fs-errno.h"

#include <errno.h>

#include "base/error.h"

static int
errno_from_file_error(GFileError code)
{
	if (code == G_FILE_ERROR_NOSPC)
		return ENOSPC;
	if (code == G_FILE_ERROR_MFILE || code == G_FILE_ERROR_NFILE)
		return EMFILE;
	if (code == G_FILE_ERROR_NOMEM)
		return ENOMEM;
	return EIO;
}

int
fs_errno_from_error(const GError *error)
{
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return EINTR;
	if (error->domain == G_FILE_ERROR)
		return errno_from_file_error(error->code);
	if (error->domain != MAILFS_ERROR)
		return EIO;

	/* No default: a new code does not build until it has found its errno here. */
	switch ((MailfsError)error->code) {
	case MAILFS_ERROR_HOST_UNKNOWN:
	case MAILFS_ERROR_OFFLINE:
		return EHOSTUNREACH;
	case MAILFS_ERROR_TIMEOUT:
		return ETIMEDOUT;
	case MAILFS_ERROR_LOGIN:
	case MAILFS_ERROR_DENIED:
		return EACCES;
	case MAILFS_ERROR_FORBIDDEN:
		return EPERM;
	case MAILFS_ERROR_TOKEN:
		return EKEYEXPIRED;
	case MAILFS_ERROR_TLS:
	case MAILFS_ERROR_PROTOCOL:
		return EPROTO;
	case MAILFS_ERROR_NOT_FOUND:
		return ENOENT;
	case MAILFS_ERROR_STALE:
		return ESTALE;
	case MAILFS_ERROR_BUSY:
	case MAILFS_ERROR_MOUNTPOINT:
		return EBUSY;
	case MAILFS_ERROR_LIMIT:
		return EAGAIN;
	case MAILFS_ERROR_QUOTA:
		return EDQUOT;
	case MAILFS_ERROR_TOO_BIG:
		return EMSGSIZE;
	case MAILFS_ERROR_READ_ONLY:
		return EROFS;
	case MAILFS_ERROR_UNSUPPORTED:
		return EOPNOTSUPP;
	case MAILFS_ERROR_USAGE:
	case MAILFS_ERROR_CONFIG:
	case MAILFS_ERROR_INVALID:
		return EINVAL;
	case MAILFS_ERROR_EXISTS:
		return EEXIST;
	case MAILFS_ERROR_NOT_EMPTY:
		return ENOTEMPTY;
	case MAILFS_ERROR_NO_RECIPIENT:
		return EDESTADDRREQ;
	case MAILFS_ERROR_UNKNOWN_OUTCOME:
		return EIO;
	}
	return EIO; /* a code from outside the enum: never 0, never success */
}
