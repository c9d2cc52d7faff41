/* SPDX-License-Identifier: MIT */
/* The header of a message that is to be sent, field by field. Private to compose.c. */
#pragma once

#include <glib.h>

#include "mail/upload-check.h"

G_BEGIN_DECLS

#define COMPOSE_SENDER_FIELD	 "X-Mailfs-Sender"
#define COMPOSE_RECIPIENTS_FIELD "X-Mailfs-Recipients"
#define COMPOSE_NOTIFY_FIELD	 "X-Mailfs-Notify" /* "NOTIFY=SUCCESS RET=HDRS ENVID=x" */

/* Lines of the header, borrowed. */
typedef struct {
	const char *text;
	gsize len;   /* with its continued lines, the last line end included */
	gsize name;  /* octets of its name */
	gsize value; /* where its value begins */
} ComposeField;

typedef struct {
	char *text; /* the header block */
	GArray *fields;
	guint n_envelope;   /* fields of ours, in front of all others */
	gboolean is_resent; /* fields from `resent` on, `resent_end` not included: the latest block
			     */
	guint resent, resent_end;
	UploadChecked checked; /* the whole file */
} ComposeHeader;

/* Errors: INVALID: all that can be wrong with the bytes of a message; G_FILE_ERROR. */
gboolean compose_header_read(int fd, ComposeHeader *header, GError **error);
void compose_header_clear(ComposeHeader *header);

const ComposeField *compose_header_field(const ComposeHeader *header, guint i);
/* The field of that name which counts: of Resent- ones, that of the latest block. One without a
 * value is none; NULL. */
const ComposeField *compose_header_find(const ComposeHeader *header, const char *name);

gboolean compose_field_is(const ComposeField *field, const char *name); /* of any case */
gboolean compose_field_begins(const ComposeField *field, const char *name);
gboolean compose_field_is_empty(const ComposeField *field);  /* no value, perhaps blanks */
gboolean compose_field_is_secret(const ComposeField *field); /* Bcc, Resent-Bcc */
char *compose_field_value(const ComposeField *field); /* unfolded and trimmed. (transfer full) */
/* With CRLF at the ends of its lines, whatever they were. */
void compose_field_append(GString *out, const ComposeField *field);

/* MAILFS_ERROR_INVALID "cannot be sent: …"; FALSE. */
gboolean compose_invalid(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ComposeHeader, compose_header_clear)

G_END_DECLS
