/* SPDX-License-Identifier: MIT */
#include "proto/pop-header.h"

#include <string.h>

#include "net/tls-stream.h"

enum {
	BLOCK_MAX = 256 * 1024,
	FIELDS_MAX = 64 * 1024,
	HALF = POP_IDENTITY_BYTES / 2,
};

typedef enum { FIELD_MESSAGE_ID, FIELD_DATE, FIELD_FROM, FIELD_SUBJECT, FIELD_RECEIVED } Field;

static const char *const field_names[] = {
	[FIELD_MESSAGE_ID] = "Message-ID", [FIELD_DATE] = "Date",	  [FIELD_FROM] = "From",
	[FIELD_SUBJECT] = "Subject",	   [FIELD_RECEIVED] = "Received",
};

struct PopHeader {
	GString *text;
	gboolean complete;
};

PopHeader *
pop_header_new(void)
{
	PopHeader *header = g_new0(PopHeader, 1);

	header->text = g_string_new(NULL);
	return header;
}

void
pop_header_free(PopHeader *header)
{
	if (header == NULL)
		return;
	g_string_free(header->text, TRUE);
	g_free(header);
}

void
pop_header_reset(PopHeader *header)
{
	g_string_truncate(header->text, 0);
	header->complete = FALSE;
}

/* Does the text end in an empty line? Its last octet is LF. */
static gboolean
ends_empty(const GString *text)
{
	gsize at = text->len - 1;

	if (at > 0 && text->str[at - 1] == '\r')
		at--;
	return at == 0 || text->str[at - 1] == '\n';
}

gsize
pop_header_feed(PopHeader *header, const guint8 *data, gsize len)
{
	gsize taken = 0;

	while (taken < len && !header->complete) {
		const guint8 *lf = memchr(data + taken, '\n', len - taken);
		gsize end = lf != NULL ? (gsize)(lf - data) + 1 : len;

		end = MIN(end, taken + BLOCK_MAX - header->text->len);
		g_string_append_len(header->text, (const char *)data + taken,
				    (gssize)(end - taken));
		taken = end;
		header->complete = header->text->len >= BLOCK_MAX ||
				   (header->text->str[header->text->len - 1] == '\n' &&
				    ends_empty(header->text));
	}
	return taken;
}

gboolean
pop_header_is_complete(const PopHeader *header)
{
	return header->complete;
}

const char *
pop_header_text(const PopHeader *header, gsize *len_out)
{
	*len_out = header->text->len;
	return header->text->str;
}

/* The field that begins at @at, with its continuation lines; returns where the next begins. */
static gsize
field_end(const GString *text, gsize at)
{
	do {
		const char *lf = memchr(text->str + at, '\n', text->len - at);

		at = lf != NULL ? (gsize)(lf - text->str) + 1 : text->len;
	} while (at < text->len && (text->str[at] == ' ' || text->str[at] == '\t'));
	return at;
}

/* Where its value begins; 0: the field is not one of ours. */
static gsize
field_value(const GString *text, gsize at, gsize end, Field *field_out)
{
	for (guint i = 0; i < G_N_ELEMENTS(field_names); i++) {
		gsize len = strlen(field_names[i]);
		gsize colon = at + len;

		if (end - at <= len ||
		    g_ascii_strncasecmp(text->str + at, field_names[i], len) != 0)
			continue;
		while (colon < end && (text->str[colon] == ' ' || text->str[colon] == '\t'))
			colon++;
		if (colon == end || text->str[colon] != ':')
			continue;
		*field_out = i;
		return colon + 1;
	}
	return 0;
}

char *
pop_header_fields(const PopHeader *header, gsize *len_out)
{
	GString *fields = g_string_new(NULL);
	const GString *text = header->text;
	gboolean received = FALSE;
	Field field;

	for (gsize at = 0, end; at < text->len; at = end) {
		end = field_end(text, at);
		if (field_value(text, at, end, &field) == 0 ||
		    fields->len + (end - at) > FIELDS_MAX)
			continue;
		if (field == FIELD_RECEIVED && received)
			continue;
		received = received || field == FIELD_RECEIVED;
		g_string_append_len(fields, text->str + at, (gssize)(end - at));
	}
	g_string_append(fields, "\r\n");
	*len_out = fields->len;
	return g_string_free(fields, FALSE);
}

/* Unfolded and trimmed, with a mark of what it is. */
static void
add_value(GString *out, Field field, const char *value, gsize len)
{
	g_string_append_c(out, (char)('a' + field));
	while (len > 0 && g_ascii_isspace(value[len - 1]))
		len--;
	while (len > 0 && g_ascii_isspace(*value)) {
		value++;
		len--;
	}
	for (gsize i = 0; i < len; i++)
		if (value[i] != '\r' && value[i] != '\n')
			g_string_append_c(out, value[i]);
	g_string_append_c(out, '\n');
}

static void
digest(const GString *text, guint8 *half_out)
{
	guint8 whole[TLS_SHA256_BYTES];

	tls_sha256(text->str, text->len, whole);
	memcpy(half_out, whole, HALF);
}

void
pop_header_identity(const PopHeader *header, PopIdentity *out)
{
	g_autoptr(GString) id = g_string_new(NULL);
	g_autoptr(GString) rest = g_string_new(NULL);
	const GString *text = header->text;
	guint seen = 0;
	Field field;

	for (gsize at = 0, end; at < text->len; at = end) {
		gsize value;

		end = field_end(text, at);
		value = field_value(text, at, end, &field);
		if (value == 0 || (field != FIELD_RECEIVED && (seen & 1u << field) != 0))
			continue;
		seen |= 1u << field;
		add_value(field == FIELD_MESSAGE_ID ? id : rest, field, text->str + value,
			  end - value);
	}
	if (seen == 0)
		add_value(rest, FIELD_RECEIVED, text->str, text->len);
	digest(rest, out->bytes + HALF);
	if (id->len > 2)
		digest(id, out->bytes);
	else
		memcpy(out->bytes, out->bytes + HALF, HALF);
}

/* Its half of an identity. FALSE: there is no Message-ID. */
static gboolean
message_id_digest(const GString *text, guint8 *half_out)
{
	g_autoptr(GString) id = g_string_new(NULL);
	Field field;

	for (gsize at = 0, end; at < text->len; at = end) {
		gsize value;

		end = field_end(text, at);
		value = field_value(text, at, end, &field);
		if (value == 0 || field != FIELD_MESSAGE_ID)
			continue;
		add_value(id, field, text->str + value, end - value);
		digest(id, half_out);
		return id->len > 2;
	}
	return FALSE;
}

gboolean
pop_header_agrees(const PopHeader *header, const PopIdentity *identity)
{
	guint8 half[HALF];
	PopIdentity whole;

	if (message_id_digest(header->text, half) && memcmp(half, identity->bytes, HALF) == 0)
		return TRUE;
	pop_header_identity(header, &whole);
	return memcmp(whole.bytes, identity->bytes, HALF) == 0 ||
	       memcmp(whole.bytes + HALF, identity->bytes + HALF, HALF) == 0;
}

gboolean
pop_identity_equal(const PopIdentity *a, const PopIdentity *b)
{
	return memcmp(a->bytes, b->bytes, POP_IDENTITY_BYTES) == 0;
}
