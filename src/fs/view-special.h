/* SPDX-License-Identifier: MIT */
/* .special/: links to the mailboxes that have a special use (RFC 6154), by its name. */
#pragma once

#include "fs/view.h"

G_BEGIN_DECLS

View *view_special_new(const ViewHouse *house);

G_END_DECLS
