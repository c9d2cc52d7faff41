/* SPDX-License-Identifier: MIT */
/* The one error domain of mailfs. A code names what the user can do about it, not where it
 * happened; the text says what failed, why, and what to do, and is prefixed with context on the way
 * up. fs/fs-errno.c maps every code to an errno, main.c to an exit code. Cancellation is
 * G_IO_ERROR_CANCELLED; a local disk failure is a G_FILE_ERROR. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define MAILFS_ERROR mailfs_error_quark()
GQuark mailfs_error_quark(void);

typedef enum {
	MAILFS_ERROR_USAGE,	   /* command line */
	MAILFS_ERROR_CONFIG,	   /* config file or option values */
	MAILFS_ERROR_MOUNTPOINT,   /* absent, busy, not a directory, not ours */
	MAILFS_ERROR_HOST_UNKNOWN, /* DNS has no such host */
	MAILFS_ERROR_OFFLINE,	   /* refused, unreachable, line lost, known to be down */
	MAILFS_ERROR_TIMEOUT,	   /* nothing came for `timeout` seconds */
	MAILFS_ERROR_TLS,	   /* certificate, version, or TLS missing though demanded */
	MAILFS_ERROR_PROTOCOL,	   /* the server sent nonsense */
	MAILFS_ERROR_LOGIN,	   /* credentials refused; never retried by itself */
	MAILFS_ERROR_TOKEN,	   /* OAuth token expired */
	MAILFS_ERROR_DENIED,	   /* ACL: this account may not */
	MAILFS_ERROR_FORBIDDEN,	   /* nobody may: mailfs itself does not do that */
	MAILFS_ERROR_NOT_FOUND,	   /* no such message or mailbox, or expunged meanwhile */
	MAILFS_ERROR_STALE,	   /* UIDVALIDITY changed: the UID names nothing any more */
	MAILFS_ERROR_BUSY,	   /* maildrop or cache locked by another */
	MAILFS_ERROR_LIMIT,	   /* server: too many connections, throttled; try later */
	MAILFS_ERROR_QUOTA,	   /* over quota */
	MAILFS_ERROR_TOO_BIG,	   /* message beyond a limit of the server's or ours */
	MAILFS_ERROR_READ_ONLY,	   /* mount or mailbox is read-only */
	MAILFS_ERROR_UNSUPPORTED,  /* the server cannot do that */
	MAILFS_ERROR_INVALID,	   /* not a message, not a mailbox name, bad query */
	MAILFS_ERROR_EXISTS,	   /* a mailbox of that name is there already */
	MAILFS_ERROR_NOT_EMPTY,	   /* a mailbox that still holds messages or mailboxes */
	MAILFS_ERROR_NO_RECIPIENT, /* a message to be sent that names nobody */
	/* The line was lost while the server worked on a change: it may or may not be done. Look
	 * before it is tried again. */
	MAILFS_ERROR_UNKNOWN_OUTCOME,
} MailfsError;

G_END_DECLS
