/* SPDX-License-Identifier: MIT */
/* .parts: each message as a directory: header (raw), body.txt and body.html (UTF-8, LF), and
 * attachments/ under the names their sender gave them, made safe. */
#pragma once

#include "fs/view.h"

G_BEGIN_DECLS

View *view_parts_new(const ViewHouse *house);

G_END_DECLS
