/* SPDX-License-Identifier: MIT */
/* .text: each message as a text file, what grep finds: From, To, Cc, Date and Subject decoded, an
 * empty line, the text; UTF-8, LF. */
#pragma once

#include "fs/view.h"

G_BEGIN_DECLS

View *view_text_new(const ViewHouse *house);

G_END_DECLS
