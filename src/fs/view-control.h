/* SPDX-License-Identifier: MIT */
/* .mailfs/: pages that tell about the mount. */
#pragma once

#include "fs/view.h"

G_BEGIN_DECLS

View *view_control_new(const ViewHouse *house, const TreePage *pages,
		       gpointer user); /* @pages borrowed */

G_END_DECLS
