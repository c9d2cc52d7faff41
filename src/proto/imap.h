/* SPDX-License-Identifier: MIT */
/* The IMAP line: a Backend that speaks IMAP4rev1 (RFC 3501) with UIDs only. Extensions used when
 * offered: SASL-IR, LITERAL+, ID, NAMESPACE, SPECIAL-USE, LIST-EXTENDED, LIST-STATUS, ENABLE,
 * CONDSTORE, QRESYNC, IDLE, NOTIFY, QUOTA, UNSELECT, COMPRESS=DEFLATE. */
#pragma once

#include "proto/backend.h"

G_BEGIN_DECLS

/* @config and @news are borrowed and outlive the backend. Does no I/O. */
Backend *imap_backend_new(const BackendConfig *config, const BackendNews *news, gpointer user);

G_END_DECLS
