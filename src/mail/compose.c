/* SPDX-License-Identifier: MIT */
#include "mail/compose.h"

#include <string.h>

#include "base/error.h"
#include "base/util.h"
#include "mail/address.h"
#include "mail/compose-header.h"
#include "mail/upload-check.h"
#include "store/checksum.h"

#define PIECE 65536

/* The envelope. */

static gboolean
take_recipients(const ComposeField *field, GPtrArray *recipients, GError **error)
{
	g_autofree char *name = g_strndup(field->text, field->name);

	if (address_list_parse(field->text + field->value, field->len - field->value, recipients,
			       COMPOSE_RECIPIENTS_MAX, error))
		return TRUE;
	g_prefix_error(error, "cannot be sent: %s: ", name);
	return FALSE;
}

static gboolean
names_recipients(const ComposeHeader *header, const ComposeField *field)
{
	static const char *const plain[] = {"To", "Cc", "Bcc"};
	static const char *const resent[] = {"Resent-To", "Resent-Cc", "Resent-Bcc"};

	for (guint i = 0; i < G_N_ELEMENTS(plain); i++)
		if (compose_field_is(field, header->is_resent ? resent[i] : plain[i]))
			return TRUE;
	return FALSE;
}

/* A field of ours that is there says it all, even where it is empty. */
static gboolean
header_recipients(const ComposeHeader *header, GPtrArray *recipients, GError **error)
{
	guint first = header->is_resent ? header->resent : header->n_envelope;
	guint end = header->is_resent ? header->resent_end : header->fields->len;
	gboolean is_said = FALSE;

	for (guint i = 0; i < header->n_envelope; i++) {
		if (!compose_field_is(compose_header_field(header, i), COMPOSE_RECIPIENTS_FIELD))
			continue;
		is_said = TRUE;
		if (!take_recipients(compose_header_field(header, i), recipients, error))
			return FALSE;
	}
	for (guint i = first; !is_said && i < end; i++)
		if (names_recipients(header, compose_header_field(header, i)) &&
		    !take_recipients(compose_header_field(header, i), recipients, error))
			return FALSE;
	return TRUE;
}

static gboolean
find_recipients(const ComposeHeader *header, const ComposeOptions *options, GPtrArray *recipients,
		GError **error)
{
	if (options->recipients == NULL) {
		if (!header_recipients(header, recipients, error))
			return FALSE;
	} else {
		for (guint i = 0; options->recipients[i] != NULL; i++)
			if (!address_list_parse(options->recipients[i],
						strlen(options->recipients[i]), recipients,
						COMPOSE_RECIPIENTS_MAX, error))
				return FALSE;
	}
	if (recipients->len > 0)
		return TRUE;
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_NO_RECIPIENT,
		    "cannot be sent: it names no recipient in %s",
		    header->is_resent ? "Resent-To, Resent-Cc or Resent-Bcc" : "To, Cc or Bcc");
	return FALSE;
}

/* (transfer full), "" for the null sender, or NULL with an error. */
static char *
parse_sender(const char *text, GError **error)
{
	char *address;

	if (*text == '\0' || strcmp(text, "<>") == 0)
		return g_strdup("");
	address = address_parse(text, error);
	if (address == NULL)
		g_prefix_error(error, "cannot be sent: the sender: ");
	return address;
}

static char *
find_sender(const ComposeHeader *header, const ComposeOptions *options, GError **error)
{
	if (options->sender != NULL)
		return parse_sender(options->sender, error);
	for (guint i = 0; i < header->n_envelope; i++) {
		g_autofree char *value = NULL;

		if (!compose_field_is(compose_header_field(header, i), COMPOSE_SENDER_FIELD))
			continue;
		value = compose_field_value(compose_header_field(header, i));
		return parse_sender(value, error);
	}
	return parse_sender(options->address, error);
}

static gboolean
tells_notify(const ComposeOptions *options)
{
	return options->notify != NULL || options->return_what != NULL ||
	       options->envelope_id != NULL;
}

static void
take_word(char **field, const char *word, const char *key)
{
	if (!g_str_has_prefix(word, key))
		return;
	g_free(*field);
	*field = g_strdup(word + strlen(key));
}

static void
find_notify(const ComposeHeader *header, const ComposeOptions *options, Composed *composed)
{
	composed->notify = g_strdup(options->notify);
	composed->return_what = g_strdup(options->return_what);
	composed->envelope_id = g_strdup(options->envelope_id);
	for (guint i = 0; i < header->n_envelope && !tells_notify(options); i++) {
		const ComposeField *field = compose_header_field(header, i);
		g_autofree char *value = compose_field_value(field);
		g_auto(GStrv) words = g_strsplit(value, " ", -1);

		for (guint k = 0; compose_field_is(field, COMPOSE_NOTIFY_FIELD) && words[k] != NULL;
		     k++) {
			take_word(&composed->notify, words[k], "NOTIFY=");
			take_word(&composed->return_what, words[k], "RET=");
			take_word(&composed->envelope_id, words[k], "ENVID=");
		}
	}
}

/* What is missing. */

typedef enum {
	ADDED_DATE,
	ADDED_FROM,
	ADDED_ID,
	ADDED_VERSION,
} Added;

/* RFC 5322 3.6 and 3.6.6; of a message that is sent on, its own fields are not touched, but for
 * those without which it would be none. */
typedef struct {
	const char *name;
	Added what;
	gboolean when_plain, when_resent;
} Wanted;

static const Wanted wanted[] = {
	{"Resent-Date", ADDED_DATE, FALSE, TRUE},
	{"Resent-From", ADDED_FROM, FALSE, TRUE},
	{"Resent-Message-ID", ADDED_ID, FALSE, TRUE},
	{"Date", ADDED_DATE, TRUE, TRUE},
	{"From", ADDED_FROM, TRUE, TRUE},
	{"Message-ID", ADDED_ID, TRUE, FALSE},
	{"MIME-Version", ADDED_VERSION, TRUE, FALSE},
};

static gboolean
is_wanted(const ComposeHeader *header, const Wanted *field)
{
	return header->is_resent ? field->when_resent : field->when_plain;
}

/* A field without a value, where one is added. */
static gboolean
is_replaced(const ComposeHeader *header, const ComposeField *field)
{
	for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
		if (is_wanted(header, &wanted[i]) && compose_field_is(field, wanted[i].name))
			return compose_field_is_empty(field);
	return FALSE;
}

static gboolean
lacks_nothing(const ComposeHeader *header)
{
	for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
		if (is_wanted(header, &wanted[i]) &&
		    compose_header_find(header, wanted[i].name) == NULL)
			return FALSE;
	for (guint i = 0; i < header->fields->len; i++)
		if (is_replaced(header, compose_header_field(header, i)))
			return FALSE;
	return !header->checked.bare_lf && header->checked.is_ended;
}

/* RFC 5322 3.3, in English whatever the locale is. */
static void
append_date(GString *out, const ComposeOptions *options)
{
	static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	g_autoptr(GDateTime) now =
		options->now != NULL ? g_date_time_ref(options->now) : g_date_time_new_now_local();
	gint64 offset = g_date_time_get_utc_offset(now) / (60 * G_USEC_PER_SEC);

	g_string_append_printf(
		out, "%s, %d %s %04d %02d:%02d:%02d %c%02d%02d",
		days[g_date_time_get_day_of_week(now) - 1], g_date_time_get_day_of_month(now),
		months[g_date_time_get_month(now) - 1], g_date_time_get_year(now),
		g_date_time_get_hour(now), g_date_time_get_minute(now), g_date_time_get_second(now),
		offset < 0 ? '-' : '+', (int)(ABS(offset) / 60), (int)(ABS(offset) % 60));
}

static void
append_id(GString *out, const ComposeOptions *options, const char *address)
{
	const char *at = strrchr(address, '@');
	g_autofree char *random = g_uuid_string_random();

	g_string_append_printf(out, "<%s@%s>", options->unique != NULL ? options->unique : random,
			       options->host != NULL ? options->host
			       : at != NULL	     ? at + 1
						     : "localhost");
}

/* RFC 2047 2: 45 octets in base64 are 60, and with their frame an encoded word has 75 at most. */
static void
append_encoded(GString *out, const char *text)
{
	const char *p = text;

	while (*p != '\0') {
		const char *end = p;
		g_autofree char *base64 = NULL;

		while (*end != '\0' && g_utf8_next_char(end) - p <= 45)
			end = g_utf8_next_char(end);
		base64 = g_base64_encode((const guchar *)p, (gsize)(end - p));
		g_string_append_printf(out, "%s=?UTF-8?B?%s?=", p == text ? "" : "\r\n ", base64);
		p = end;
	}
}

static void
append_from(GString *out, const ComposeOptions *options, const char *address)
{
	const char *name = options->name;

	if (name == NULL || *name == '\0') {
		g_string_append(out, address);
		return;
	}
	if (!g_utf8_validate(name, -1, NULL) || strpbrk(name, "\r\n") != NULL ||
	    strlen(name) > 400 || !g_str_is_ascii(name)) {
		g_autofree char *valid = util_printable(name, -1, 400);

		append_encoded(out, valid);
	} else {
		g_string_append_c(out, '"');
		for (; *name != '\0'; name++)
			g_string_append_printf(out, strchr("\"\\", *name) != NULL ? "\\%c" : "%c",
					       *name);
		g_string_append_c(out, '"');
	}
	g_string_append_printf(out, " <%s>", address);
}

static void
append_added(GString *out, Added what, const ComposeOptions *options, const char *address)
{
	switch (what) {
	case ADDED_DATE:
		append_date(out, options);
		return;
	case ADDED_FROM:
		append_from(out, options, address);
		return;
	case ADDED_ID:
		append_id(out, options, address);
		return;
	case ADDED_VERSION:
		g_string_append(out, "1.0");
		return;
	}
}

/* Is what begins at @from UTF-8, to the end of the file? -1 with an error. */
static int
is_utf8(int fd, guint64 from, GError **error)
{
	g_autofree char *piece = g_malloc(PIECE);
	gsize kept = 0;
	gssize n;

	do {
		const char *end;
		gsize have;

		n = upload_check_read(fd, piece + kept, PIECE - kept, from, error);
		if (n < 0)
			return -1;
		from += (guint64)n;
		have = kept + (gsize)n;
		if (!g_utf8_validate_len(piece, have, &end) &&
		    (n == 0 || g_utf8_get_char_validated(end, piece + have - end) != (gunichar)-2))
			return FALSE;
		kept = (gsize)(piece + have - end);
		memmove(piece, end, kept);
	} while (n > 0);
	return TRUE;
}

/* A script's text without a word on its charset would be shown wrong: it is said when there is no
 * doubt. */
static gboolean
append_charset(int fd, const ComposeHeader *header, GString *out, GError **error)
{
	int valid;

	if (header->is_resent || !header->checked.eight_bit ||
	    compose_header_find(header, "MIME-Version") != NULL)
		return TRUE;
	for (guint i = 0; i < header->fields->len; i++)
		if (compose_field_begins(compose_header_field(header, i), "Content-"))
			return TRUE;
	valid = is_utf8(fd, header->checked.header, error);
	if (valid == TRUE)
		g_string_append(out, "Content-Type: text/plain; charset=UTF-8\r\n"
				     "Content-Transfer-Encoding: 8bit\r\n");
	return valid >= 0;
}

static void
append_notify(GString *out, const ComposeOptions *options)
{
	const struct {
		const char *key, *value;
	} words[] = {{"NOTIFY", options->notify},
		     {"RET", options->return_what},
		     {"ENVID", options->envelope_id}};

	g_string_append(out, COMPOSE_NOTIFY_FIELD ":");
	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		if (words[i].value != NULL)
			g_string_append_printf(out, " %s=%s", words[i].key, words[i].value);
	g_string_append(out, "\r\n");
}

static void
append_envelope(GString *out, const ComposeOptions *options, const char *sender,
		const GPtrArray *recipients)
{
	if (options->sender != NULL)
		g_string_append_printf(out, COMPOSE_SENDER_FIELD ": <%s>\r\n", sender);
	if (tells_notify(options))
		append_notify(out, options);
	if (options->recipients == NULL)
		return;
	g_string_append(out, COMPOSE_RECIPIENTS_FIELD ":");
	for (guint i = 0; i < recipients->len; i++)
		g_string_append_printf(out, "%s\r\n <%s>", i > 0 ? "," : "",
				       (const char *)g_ptr_array_index(recipients, i));
	g_string_append(out, "\r\n");
}

/* Reading. */

static gboolean
needs_smtputf8(const ComposeHeader *header, const Composed *composed)
{
	gboolean is_ascii = g_str_is_ascii(composed->sender);

	for (guint i = 0; composed->recipients[i] != NULL; i++)
		is_ascii = is_ascii && g_str_is_ascii(composed->recipients[i]);
	for (guint i = header->n_envelope; i < header->fields->len && is_ascii; i++) {
		const ComposeField *field = compose_header_field(header, i);

		for (gsize k = 0; k < field->len && is_ascii && !compose_field_is_secret(field);
		     k++)
			is_ascii = (guchar)field->text[k] < 128;
	}
	return !is_ascii;
}

/* RFC 6532: what is not ASCII in a header is UTF-8, or nobody can tell what it is. */
static gboolean
check_charset(const ComposeHeader *header, GError **error)
{
	for (guint i = header->n_envelope; i < header->fields->len; i++) {
		const ComposeField *field = compose_header_field(header, i);
		g_autofree char *name = NULL;

		if (compose_field_is_secret(field) ||
		    g_utf8_validate_len(field->text, field->len, NULL))
			continue;
		name = g_strndup(field->text, field->name);
		return compose_invalid(
			error,
			"%s: it is neither ASCII nor UTF-8; the program that wrote it must "
			"encode it (RFC 2047)",
			name);
	}
	return TRUE;
}

static void
fill(Composed *composed, const ComposeHeader *header, const ComposeOptions *options)
{
	const ComposeField *id;

	composed->id_field = header->is_resent ? "Resent-Message-ID" : "Message-ID";
	id = compose_header_find(header, composed->id_field);
	composed->message_id = id != NULL ? compose_field_value(id) : NULL;
	composed->size = header->checked.size;
	composed->crc = header->checked.crc;
	composed->smtputf8 = needs_smtputf8(header, composed);
	composed->is_complete = options->sender == NULL && options->recipients == NULL &&
				!tells_notify(options) && lacks_nothing(header);
	composed->at_once = header->n_envelope > 0;
	composed->is_sent = !composed->at_once;
	composed->is_wire = composed->is_sent;
	for (guint i = 0; i < header->fields->len; i++)
		composed->is_wire = composed->is_wire &&
				    !compose_field_is_secret(compose_header_field(header, i));
}

static Composed *
read_message(int fd, const ComposeOptions *options, ComposeHeader *header, GError **error)
{
	g_autoptr(Composed) composed = g_new0(Composed, 1);
	g_autoptr(GPtrArray) recipients = g_ptr_array_new_with_free_func(g_free);

	if (!compose_header_read(fd, header, error) || !check_charset(header, error) ||
	    !find_recipients(header, options, recipients, error))
		return NULL;
	composed->sender = find_sender(header, options, error);
	if (composed->sender == NULL)
		return NULL;
	composed->recipients = g_new0(char *, recipients->len + 1);
	for (guint i = 0; i < recipients->len; i++)
		composed->recipients[i] = g_strdup(g_ptr_array_index(recipients, i));
	find_notify(header, options, composed);
	fill(composed, header, options);
	return g_steal_pointer(&composed);
}

Composed *
compose_read(int fd, const ComposeOptions *options, GError **error)
{
	g_auto(ComposeHeader) header = {0};

	return read_message(fd, options, &header, error);
}

void
composed_free(Composed *composed)
{
	if (composed == NULL)
		return;
	g_free(composed->sender);
	g_strfreev(composed->recipients);
	g_free(composed->message_id);
	g_free(composed->notify);
	g_free(composed->return_what);
	g_free(composed->envelope_id);
	g_free(composed);
}

/* Writing. */

/* @head, then what follows the fields in @in: the empty line and the body. */
static gboolean
write_message(int in, int out, const ComposeHeader *header, const GString *head,
	      ComposeWritten *written_out, GError **error)
{
	const ComposeField *last = compose_header_field(header, header->fields->len - 1);
	guint64 rest = (guint64)(last->text - header->text) + last->len;
	UploadChecked checked = {.size = head->len, .crc = checksum(0, head->str, head->len)};

	if (!upload_check_write(out, head->str, head->len, 0, error) ||
	    !upload_check_convert_rest(in, rest, out, &checked, error))
		return FALSE;
	if (!header->checked.is_ended && rest < header->checked.size) {
		if (!upload_check_write(out, "\r\n", 2, checked.size, error))
			return FALSE;
		checked.crc = checksum(checked.crc, "\r\n", 2);
		checked.size += 2;
	}
	*written_out = (ComposeWritten){checked.size, checked.crc};
	return TRUE;
}

/* The file's own envelope counts where @options have none. */
static gboolean
is_kept(const ComposeField *field, const ComposeOptions *options)
{
	if (compose_field_is(field, COMPOSE_SENDER_FIELD))
		return options->sender == NULL;
	if (compose_field_is(field, COMPOSE_NOTIFY_FIELD))
		return !tells_notify(options);
	return options->recipients == NULL;
}

gboolean
compose_complete(int in, int out, const ComposeOptions *options, ComposeWritten *written_out,
		 GError **error)
{
	g_auto(ComposeHeader) header = {0};
	g_autoptr(GString) head = g_string_new(NULL);
	g_autoptr(GPtrArray) recipients = g_ptr_array_new();
	g_autoptr(Composed) composed = read_message(in, options, &header, error);
	g_autofree char *address = NULL;

	if (composed == NULL)
		return FALSE;
	address = address_parse(options->address, error);
	if (address == NULL)
		return FALSE;
	for (guint i = 0; composed->recipients[i] != NULL; i++)
		g_ptr_array_add(recipients, composed->recipients[i]);
	append_envelope(head, options, composed->sender, recipients);
	for (guint i = 0; i < header.n_envelope; i++)
		if (is_kept(compose_header_field(&header, i), options))
			compose_field_append(head, compose_header_field(&header, i));
	for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
		if (!is_wanted(&header, &wanted[i]) ||
		    compose_header_find(&header, wanted[i].name) != NULL)
			continue;
		g_string_append_printf(head, "%s: ", wanted[i].name);
		append_added(head, wanted[i].what, options, address);
		g_string_append(head, "\r\n");
	}
	if (!append_charset(in, &header, head, error))
		return FALSE;
	for (guint i = header.n_envelope; i < header.fields->len; i++)
		if (!is_replaced(&header, compose_header_field(&header, i)))
			compose_field_append(head, compose_header_field(&header, i));
	return write_message(in, out, &header, head, written_out, error);
}

/* A completed file without the envelope, and perhaps without the Bcc. */
static gboolean
write_public(int in, int out, gboolean with_secrets, ComposeWritten *written_out, GError **error)
{
	g_auto(ComposeHeader) header = {0};
	g_autoptr(GString) head = g_string_new(NULL);

	if (!compose_header_read(in, &header, error))
		return FALSE;
	for (guint i = header.n_envelope; i < header.fields->len; i++)
		if (with_secrets || !compose_field_is_secret(compose_header_field(&header, i)))
			compose_field_append(head, compose_header_field(&header, i));
	return write_message(in, out, &header, head, written_out, error);
}

gboolean
compose_wire(int in, int out, ComposeWritten *written_out, GError **error)
{
	return write_public(in, out, FALSE, written_out, error);
}

gboolean
compose_sent(int in, int out, ComposeWritten *written_out, GError **error)
{
	return write_public(in, out, TRUE, written_out, error);
}
