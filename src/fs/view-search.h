/* SPDX-License-Identifier: MIT */
/* .search: a directory whose name is a query (mail/query.h) below that of a mailbox holds links to
 * the messages that the server found. Such a directory is never listed, only found: looking a name
 * up makes a query of it and asks nobody; opening the directory, or looking up a name in it, makes
 * the server search. The answer is kept for dir-time, of at most 256 queries. Below a mailbox's
 * directory its sub-mailboxes win over queries; a name with a leading "." is no query. */
#pragma once

#include "fs/view.h"

G_BEGIN_DECLS

View *view_search_new(const ViewHouse *house);

G_END_DECLS
