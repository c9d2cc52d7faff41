/* SPDX-License-Identifier: MIT */
/* Pages: the files of .mailfs/, made from the state of the running mount. Thread-safe, never waits.
 */
#pragma once

#include "config.h"
#include "fs/fs.h"
#include "log.h"
#include "mail/outbox.h"

G_BEGIN_DECLS

/* Borrowed; what a page is made of. */
typedef struct {
	const Config *config;
	const char *mountpoint;
	Account *account;
	Uploads *uploads; /* NULL (with changes): read-only */
	Changes *changes;
	Outbox *outbox; /* NULL: nothing can be sent */
	Log *log;
	Fs *fs;
	gint64 since; /* wall clock, seconds */
} PagesSource;

/* For TreeConfig: status, status.json, log, quota, capabilities, metrics, control. The user data is
 * a PagesSource. */
const TreePage *pages_all(void);

G_END_DECLS
