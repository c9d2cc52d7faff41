/* SPDX-License-Identifier: MIT */
/* What a test does not want to hear of an account. */
#pragma once

#include "mail/account.h"

static inline void
quiet_mailbox(gpointer user, Mailbox *mailbox)
{
}

static inline void
quiet_gone(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid, const char *name)
{
}

static inline void
quiet_changed(gpointer user, Mailbox *mailbox, guint32 serial, guint32 uid)
{
}

static inline void
quiet_wanted(gpointer user, Mailbox *mailbox, guint32 serial, const guint32 *uids, guint n)
{
}

static inline void
quiet_renumbered(gpointer user, Mailbox *mailbox, guint32 old_serial, guint32 new_serial)
{
}

static inline void
quiet_folders(gpointer user)
{
}

static inline void
quiet_log(gpointer user, const char *text)
{
}

#define QUIET_MAILBOX_NEWS                                                                         \
	{                                                                                          \
		.listing = quiet_mailbox, .gone = quiet_gone, .changed = quiet_changed,            \
		.wanted = quiet_wanted, .renumbered = quiet_renumbered                             \
	}
