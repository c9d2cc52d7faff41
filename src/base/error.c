/* SPDX-License-Identifier: MIT */
#include "base/error.h"

G_DEFINE_QUARK(mailfs - error - quark, mailfs_error)
