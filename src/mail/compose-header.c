/* SPDX-License-Identifier: MIT */
#include "mail/compose-header.h"

#include <string.h>

#include "base/error.h"
#include "mail/compose.h"

#define RESENT "Resent-"

void
compose_header_clear(ComposeHeader *header)
{
	g_clear_pointer(&header->text, g_free);
	g_clear_pointer(&header->fields, g_array_unref);
}

const ComposeField *
compose_header_field(const ComposeHeader *header, guint i)
{
	return &g_array_index(header->fields, ComposeField, i);
}

gboolean
compose_field_is(const ComposeField *field, const char *name)
{
	return field->name == strlen(name) &&
	       g_ascii_strncasecmp(field->text, name, field->name) == 0;
}

gboolean
compose_field_begins(const ComposeField *field, const char *name)
{
	return g_ascii_strncasecmp(field->text, name, strlen(name)) == 0;
}

char *
compose_field_value(const ComposeField *field)
{
	GString *out = g_string_new(NULL);

	for (gsize i = field->value; i < field->len; i++)
		if (field->text[i] != '\r' && field->text[i] != '\n')
			g_string_append_c(out, field->text[i]);
	return g_strstrip(g_string_free(out, FALSE));
}

gboolean
compose_field_is_empty(const ComposeField *field)
{
	for (gsize i = field->value; i < field->len; i++)
		if (!g_ascii_isspace(field->text[i]))
			return FALSE;
	return TRUE;
}

gboolean
compose_invalid(GError **error, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID, "cannot be sent: %s", text);
	return FALSE;
}

/* FALSE: the line is no field. */
static gboolean
split_field(const char *line, gsize len, ComposeField *out)
{
	gsize name = upload_check_field_name(line, len);

	if (name == 0)
		return FALSE;
	*out = (ComposeField){.text = line, .len = len, .name = name};
	out->value = (gsize)((const char *)memchr(line + name, ':', len - name) - line) + 1;
	return TRUE;
}

static gboolean
split_header(ComposeHeader *header, gsize len, GError **error)
{
	const char *end = header->text + len;
	guint number = 0;

	header->fields = g_array_new(FALSE, FALSE, sizeof(ComposeField));
	for (const char *line = header->text; line < end;) {
		const char *feed = memchr(line, '\n', (gsize)(end - line));
		const char *next = feed != NULL ? feed + 1 : end;
		ComposeField field;

		number++;
		if (*line == '\n' || *line == '\r')
			break;
		if (header->fields->len > 0 && (*line == ' ' || *line == '\t'))
			g_array_index(header->fields, ComposeField, header->fields->len - 1).len +=
				(gsize)(next - line);
		else if (split_field(line, (gsize)(next - line), &field))
			g_array_append_val(header->fields, field);
		else
			return compose_invalid(
				error,
				"line %u of its header is no field; an empty line must "
				"stand before the text",
				number);
		line = next;
	}
	return header->fields->len > 0 || compose_invalid(error, "it has no header");
}

/* Fields above it were added since it came by mail. */
static gboolean
is_trace(const ComposeField *field)
{
	return compose_field_is(field, "Received") || compose_field_is(field, "Return-Path");
}

/* RFC 5322 3.6.6: each sending on has its fields on top of the older ones, each name once. */
static gboolean
begins_older_block(const ComposeField *field, guint *seen)
{
	static const char *const names[] = {"Date", "From", "Sender",	  "To",
					    "Cc",   "Bcc",  "Message-ID", "Reply-To"};
	const ComposeField rest = {.text = field->text + strlen(RESENT),
				   .name = field->name - strlen(RESENT)};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		if (!compose_field_is(&rest, names[i]))
			continue;
		if ((*seen & 1u << i) != 0)
			return TRUE;
		*seen |= 1u << i;
	}
	return FALSE;
}

/* The envelope that `mailfs send` has written. */
static gboolean
is_ours(const ComposeField *field)
{
	return compose_field_is(field, COMPOSE_SENDER_FIELD) ||
	       compose_field_is(field, COMPOSE_RECIPIENTS_FIELD) ||
	       compose_field_is(field, COMPOSE_NOTIFY_FIELD);
}

static void
find_marks(ComposeHeader *header)
{
	guint n = header->fields->len;
	guint i = 0, seen = 0;

	while (i < n && is_ours(compose_header_field(header, i)))
		i++;
	header->n_envelope = header->resent = i;
	for (; i < n && !is_trace(compose_header_field(header, i)); i++) {
		if (!compose_field_begins(compose_header_field(header, i), RESENT))
			continue;
		if (begins_older_block(compose_header_field(header, i), &seen))
			break;
		header->is_resent = TRUE;
	}
	header->resent_end = i;
}

static gboolean
read_header(int fd, guint64 size, ComposeHeader *header, GError **error)
{
	gssize n;

	header->text = g_malloc(size + 1);
	n = upload_check_read(fd, header->text, size, 0, error);
	if (n < 0)
		return FALSE;
	header->text[n] = '\0';
	if (!split_header(header, (gsize)n, error))
		return FALSE;
	find_marks(header);
	return TRUE;
}

/* All that can be wrong with the bytes. */
gboolean
compose_header_read(int fd, ComposeHeader *header, GError **error)
{
	UploadChecked *checked = &header->checked;

	if (!upload_check(fd, checked, error))
		return FALSE;
	if (checked->longest > COMPOSE_LINE_MAX)
		return compose_invalid(
			error,
			"line %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
			" octets, and a line of mail holds %d; the program that wrote it "
			"must encode it (quoted-printable, base64)",
			checked->longest_number, checked->longest, COMPOSE_LINE_MAX);
	return read_header(fd, checked->header, header, error);
}

const ComposeField *
compose_header_find(const ComposeHeader *header, const char *name)
{
	gboolean is_resent = g_str_has_prefix(name, RESENT);
	guint end = is_resent ? header->resent_end : header->fields->len;

	for (guint i = is_resent ? header->resent : 0; i < end; i++)
		if (compose_field_is(compose_header_field(header, i), name) &&
		    !compose_field_is_empty(compose_header_field(header, i)))
			return compose_header_field(header, i);
	return NULL;
}

gboolean
compose_field_is_secret(const ComposeField *field)
{
	return compose_field_is(field, "Bcc") || compose_field_is(field, "Resent-Bcc");
}

void
compose_field_append(GString *out, const ComposeField *field)
{
	for (gsize i = 0; i < field->len; i++) {
		if (field->text[i] == '\n' && (i == 0 || field->text[i - 1] != '\r'))
			g_string_append_c(out, '\r');
		g_string_append_c(out, field->text[i]);
	}
	if (out->str[out->len - 1] != '\n')
		g_string_append(out, "\r\n");
}
