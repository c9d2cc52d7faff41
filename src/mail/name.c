/* SPDX-License-Identifier: MIT */
#include "mail/name.h"

#include <string.h>

#include "base/error.h"
#include "mail/mime.h"
#include "net/tls-stream.h"

#define HEADER_MAX    (256 * 1024) /* bytes of a header block that are looked at */
#define FILE_NAME_MAX 255	   /* bytes, Linux's NAME_MAX */
#define HASH_TAIL     9		   /* "~" and 8 hex digits */
#define SLUG_CHARS    60
#define SLUG_BYTES    120
#define MARKS_MAX     30 /* in a row, as in Unicode's Stream-Safe Text Format */
#define PIECE_CHARS   64
#define EXTENSION_MAX 16			      /* bytes of ".ext" that a cut name keeps */
#define DATE_FIRST    G_GINT64_CONSTANT(-62135596800) /* 0001-01-01 00:00:00 */
#define DATE_LAST     G_GINT64_CONSTANT(253402300799) /* 9999-12-31 23:59:59 */
#define SECONDS_A_DAY 86400

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* Controls, bidi marks, and what takes no room on a terminal: a fixed list, so that a name does not
 * depend on the version of Unicode. */
static gboolean
is_hidden(gunichar c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x180e ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c >= 0xe0000 && c <= 0xe007f);
}

/* --- modified UTF-7 --- */

/* Takes the UTF-16 units of one shifted run, "&…-", and appends their text. FALSE for half a
 * surrogate pair. */
static gboolean
append_utf16(GString *text, const guint16 *units, gsize n)
{
	for (gsize i = 0; i < n; i++) {
		gunichar c = units[i];

		if (c >= 0xdc00 && c <= 0xdfff)
			return FALSE;
		if (c >= 0xd800 && c <= 0xdbff) {
			if (i + 1 == n || units[i + 1] < 0xdc00 || units[i + 1] > 0xdfff)
				return FALSE;
			c = 0x10000 + ((c - 0xd800) << 10) + (units[++i] - 0xdc00u);
		}
		if (c == 0) /* g_string_append_unichar() takes it for the end */
			g_string_append_c(text, '\0');
		else
			g_string_append_unichar(text, c);
	}
	return TRUE;
}

/* The base64 of a shifted run. */
static gboolean
append_shifted(GString *text, const char *digits, gsize len)
{
	g_autoptr(GArray) units = g_array_new(FALSE, FALSE, sizeof(guint16));
	guint32 bits = 0;
	guint n = 0;

	for (gsize i = 0; i < len; i++) {
		const char *digit = digits[i] == '\0' ? NULL : strchr(base64_digits, digits[i]);

		if (digit == NULL)
			return FALSE;
		bits = bits << 6 | (guint32)(digit - base64_digits);
		n += 6;
		if (n >= 16) {
			guint16 unit = (guint16)(bits >> (n - 16));

			g_array_append_val(units, unit);
			n -= 16;
		}
	}
	return append_utf16(text, (const guint16 *)(void *)units->data, units->len);
}

/* NULL when it is none. Whether it is the canonical spelling is not looked at. */
static GString *
mutf7_decode(const char *in, gsize len)
{
	g_autoptr(GString) text = g_string_sized_new(len + 1);

	for (gsize i = 0; i < len; i++) {
		const char *close;

		if (in[i] != '&') {
			g_string_append_c(text, in[i]);
			continue;
		}
		close = memchr(in + i, '-', len - i);
		if (close == NULL)
			return NULL;
		if (close == in + i + 1)
			g_string_append_c(text, '&');
		else if (!append_shifted(text, in + i + 1, close - in - i - 1))
			return NULL;
		i = close - in;
	}
	return g_steal_pointer(&text);
}

typedef struct {
	GString *out;
	guint32 bits;
	guint n;
	gboolean shifted;
} Encoder;

static void
encode_unit(Encoder *encoder, guint16 unit)
{
	encoder->bits = encoder->bits << 16 | unit;
	encoder->n += 16;
	while (encoder->n >= 6) {
		encoder->n -= 6;
		g_string_append_c(encoder->out, base64_digits[encoder->bits >> encoder->n & 0x3f]);
	}
}

static void
encode_unshift(Encoder *encoder)
{
	if (!encoder->shifted)
		return;
	if (encoder->n > 0)
		g_string_append_c(encoder->out,
				  base64_digits[encoder->bits << (6 - encoder->n) & 0x3f]);
	g_string_append_c(encoder->out, '-');
	encoder->shifted = FALSE;
}

/* @text is valid UTF-8 but for NUL, which is a character like others here. */
static char *
mutf7_encode(const char *text, gsize len)
{
	Encoder encoder = {.out = g_string_sized_new(len + 1)};
	const char *end = text + len;

	for (const char *p = text; p < end; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (c >= 0x20 && c <= 0x7e) {
			encode_unshift(&encoder);
			g_string_append_c(encoder.out, (char)c);
			if (c == '&')
				g_string_append_c(encoder.out, '-');
			continue;
		}
		if (!encoder.shifted) {
			g_string_append_c(encoder.out, '&');
			encoder.shifted = TRUE;
			encoder.bits = 0;
			encoder.n = 0;
		}
		if (c >= 0x10000)
			encode_unit(&encoder, (guint16)(0xd800 + ((c - 0x10000) >> 10)));
		encode_unit(&encoder, (guint16)(c >= 0x10000 ? 0xdc00 + (c & 0x3ff) : c));
	}
	encode_unshift(&encoder);
	return g_string_free(encoder.out, FALSE);
}

/* --- mailbox names --- */

static void
append_escaped(GString *out, const char *bytes, gsize n)
{
	for (gsize i = 0; i < n; i++)
		g_string_append_printf(out, "%%%02X", (guchar)bytes[i]);
}

/* Also for bytes that are no UTF-8: those are escaped one by one. */
static void
append_shown(GString *out, const char *text, gsize len, gboolean escape_ampersand)
{
	for (gsize i = 0; i < len;) {
		gunichar c = g_utf8_get_char_validated(text + i, len - i);
		gboolean valid = text[i] != '\0' && c != (gunichar)-1 && c != (gunichar)-2;
		gsize n = valid ? (gsize)g_utf8_skip[(guchar)text[i]] : 1;

		if (!valid || is_hidden(c) || c == '/' || c == '%' || (c == '.' && i == 0) ||
		    (c == '&' && escape_ampersand))
			append_escaped(out, text + i, n);
		else
			g_string_append_len(out, text + i, n);
		i += n;
	}
}

/* Valid UTF-8 where NUL is a character like others. */
static gboolean
is_utf8(const char *text, gsize len)
{
	const char *bad;

	while (!g_utf8_validate_len(text, len, &bad)) {
		if (*bad != '\0')
			return FALSE;
		len -= bad + 1 - text;
		text = bad + 1;
	}
	return TRUE;
}

static gboolean
has_hash_tail(const GString *name)
{
	const char *tail = name->str + name->len - MIN(name->len, HASH_TAIL);

	return name->len >= HASH_TAIL && tail[0] == '~' &&
	       strspn(tail + 1, "0123456789abcdef") == HASH_TAIL - 1;
}

/* A name that is short enough but could be a cut one is cut too: nobody can take another's place by
 * that. */
static void
cut_long(GString *name, const char *component, gsize len)
{
	g_autofree char *hash = NULL;
	gsize keep = FILE_NAME_MAX - HASH_TAIL;

	if (name->len <= FILE_NAME_MAX && !(name->len > FILE_NAME_MAX - 4 && has_hash_tail(name)))
		return;
	while (keep > 0 && ((guchar)name->str[keep] & 0xc0) == 0x80)
		keep--;
	if (name->str[keep - 1] == '%') /* not within %XX */
		keep--;
	else if (name->str[keep - 2] == '%')
		keep -= 2;
	g_string_truncate(name, keep);
	hash = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)component, len);
	g_string_append_printf(name, "~%.8s", hash);
}

char *
name_from_mutf7(const char *component, gsize len)
{
	g_autoptr(GString) text = mutf7_decode(component, len);
	g_autofree char *canonical = NULL;
	GString *out = g_string_sized_new(len + 1);

	if (text != NULL && is_utf8(text->str, text->len))
		canonical = mutf7_encode(text->str, text->len);
	if (len > 0 && canonical != NULL && strlen(canonical) == len &&
	    memcmp(canonical, component, len) == 0) {
		append_shown(out, text->str, text->len, FALSE);
	} else {
		append_shown(out, component, len, TRUE);
		if (memchr(component, '&', len) == NULL && is_utf8(component, len))
			g_string_append_c(out, '%'); /* else a decoded name could be the same */
	}
	cut_long(out, component, len);
	return g_string_free(out, FALSE);
}

/* NULL for "%" without two hex digits. */
static GString *
unescape(const char *name)
{
	g_autoptr(GString) text = g_string_new(NULL);

	for (const char *p = name; *p != '\0'; p++) {
		if (*p != '%') {
			g_string_append_c(text, *p);
			continue;
		}
		if (!g_ascii_isxdigit(p[1]) || !g_ascii_isxdigit(p[2]))
			return NULL;
		g_string_append_c(
			text, (char)(g_ascii_xdigit_value(p[1]) << 4 | g_ascii_xdigit_value(p[2])));
		p += 2;
	}
	return g_steal_pointer(&text);
}

char *
name_to_mutf7(const char *file_name, GError **error)
{
	g_autoptr(GString) text = NULL;
	g_autofree char *encoded = NULL;
	g_autofree char *shown = NULL;

	if (!g_utf8_validate(file_name, -1, NULL)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "a mailbox's name must be UTF-8: use a UTF-8 locale");
		return NULL;
	}
	text = unescape(file_name);
	if (text == NULL) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "\"%%\" in a mailbox's name begins %%XX: write %%25 for a \"%%\"");
		return NULL;
	}
	if (is_utf8(text->str, text->len)) {
		encoded = mutf7_encode(text->str, text->len);
		shown = name_from_mutf7(encoded, strlen(encoded));
	}
	if (g_strcmp0(shown, file_name) != 0) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "not a name that a mailbox can have: control characters, \"/\" and a "
			    "leading \".\" are written %%XX in capitals, nothing else is, and "
			    "255 bytes are the most");
		return NULL;
	}
	return g_steal_pointer(&encoded);
}

char *
name_mutf7_of_utf8(const char *name)
{
	g_autofree char *encoded = NULL;

	if (!g_utf8_validate(name, -1, NULL))
		return NULL;
	encoded = mutf7_encode(name, strlen(name));
	return strcmp(encoded, name) != 0 ? g_steal_pointer(&encoded) : NULL;
}

/* --- messages: names v1 --- */

void
name_headers_parse(const char *header, gsize len, NameHeaders *out)
{
	static const char *const fields[] = {"Message-ID", "Date", "From", "Subject"};
	char *values[G_N_ELEMENTS(fields)];

	mime_header_fields(header, MIN(len, HEADER_MAX), fields, values, G_N_ELEMENTS(fields));
	*out = (NameHeaders){values[0], values[1], values[2], values[3]};
}

void
name_headers_clear(NameHeaders *headers)
{
	g_free((char *)headers->message_id);
	g_free((char *)headers->date);
	g_free((char *)headers->from);
	g_free((char *)headers->subject);
	*headers = (NameHeaders){0};
}

static char *
put_digits(char *at, guint value, guint n)
{
	for (guint i = n; i > 0; i--, value /= 10)
		at[i - 1] = (char)('0' + value % 10);
	return at + n;
}

/* "YYYYMMDD-HHMMSS", by Howard Hinnant's days-to-civil: no time zone data, no locale, no year 2038.
 */
static void
append_time(GString *out, gint64 date)
{
	gint64 at = CLAMP(date, DATE_FIRST, DATE_LAST) - DATE_FIRST + 306 * SECONDS_A_DAY;
	guint days = (guint)(at / SECONDS_A_DAY); /* since 0000-03-01 */
	guint second = (guint)(at % SECONDS_A_DAY);
	guint era = days / 146097, in_era = days % 146097;
	guint year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	guint in_year = in_era - (365 * year + year / 4 - year / 100);
	guint month = (5 * in_year + 2) / 153; /* 0: March */
	guint day = in_year - (153 * month + 2) / 5 + 1;
	char text[15], *p = text;

	month = month < 10 ? month + 3 : month - 9;
	year += era * 400 + (month <= 2);
	p = put_digits(p, year, 4);
	p = put_digits(p, month, 2);
	p = put_digits(p, day, 2);
	*p++ = '-';
	p = put_digits(p, second / 3600, 2);
	p = put_digits(p, second / 60 % 60, 2);
	p = put_digits(p, second % 60, 2);
	g_string_append_len(out, text, p - text);
}

static gboolean
is_slug_char(gunichar c)
{
	if (c < 0x80)
		return g_ascii_isalnum((char)c) || strchr("._+@-", (int)c) != NULL;
	return g_unichar_isalnum(c);
}

typedef struct {
	GString *text;
	gboolean in_run; /* of characters that are not kept */
	gboolean full;	 /* nothing further on can change what is kept */
} Slug;

/* The ASCII letters and digits at @text, kept together. */
static gsize
slug_append_word(Slug *slug, const char *text, gsize len)
{
	gsize n = 0;

	while (n < len && g_ascii_isalnum(text[n]))
		n++;
	if (n == 0)
		return 0;
	g_string_append_len(slug->text, text, (gssize)n);
	slug->in_run = FALSE;
	slug->full = slug->text->len > 4 * SLUG_CHARS;
	return n;
}

/* Trims on the left as it goes. @text is in NFC. */
static void
slug_append(Slug *slug, const char *text, gsize len)
{
	const char *p = text;

	while (p < text + len && !slug->full) {
		gsize word = slug_append_word(slug, p, text + len - p);
		gunichar c;
		gboolean kept, trimmed;

		p += word;
		if (word > 0)
			continue;
		c = g_utf8_get_char(p);
		kept = is_slug_char(c);
		trimmed = slug->text->len == 0 && (!kept || c == '-' || c == '.');
		if (kept && !trimmed)
			g_string_append_len(slug->text, p, g_utf8_next_char(p) - p);
		else if (!kept && !trimmed && !slug->in_run)
			g_string_append_c(slug->text, '-');
		slug->in_run = !kept;
		slug->full = slug->text->len > 4 * SLUG_CHARS && kept && c != '-' && c != '.';
		p = g_utf8_next_char(p);
	}
}

/* May @c become one with the character before it? */
static gboolean
is_joining(gunichar c)
{
	return c >= 0x300 &&
	       (g_unichar_ismark(c) || (c >= 0x1160 && c <= 0x11ff)); /* vowels of Hangul */
}

/* The text up to a character that joins nothing, PIECE_CHARS or a little more, composed: GLib's
 * composition takes the square of what it is given. Of marks in a row those are kept that a
 * language could need. */
static const char *
slug_append_piece(Slug *slug, const char *text)
{
	g_autoptr(GString) piece = NULL;
	g_autofree char *composed = NULL;
	const char *p = text;
	gboolean plain = TRUE;
	guint chars = 0, marks = 0;

	for (; *p != '\0'; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (chars++ >= PIECE_CHARS && !is_joining(c))
			break;
		plain = plain && c < 0x300; /* all below is composed */
	}
	if (plain) {
		slug_append(slug, text, p - text);
		return p;
	}
	piece = g_string_sized_new(p - text + 1);
	for (const char *q = text; q < p; q = g_utf8_next_char(q)) {
		marks = g_unichar_ismark(g_utf8_get_char(q)) ? marks + 1 : 0;
		if (marks <= MARKS_MAX)
			g_string_append_len(piece, q, g_utf8_next_char(q) - q);
	}
	composed = g_utf8_normalize(piece->str, (gssize)piece->len, G_NORMALIZE_NFC);
	slug_append(slug, composed, strlen(composed));
	return p;
}

/* The rest of the trimming, then the cut. */
static gsize
slug_length(const GString *text)
{
	gsize len = text->len, used = 0;

	while (len > 0 && strchr("-.", text->str[len - 1]) != NULL)
		len--;
	for (guint chars = 0; used < len && chars < SLUG_CHARS; chars++) {
		gsize n = g_utf8_skip[(guchar)text->str[used]];

		if (used + n > SLUG_BYTES)
			break;
		used += n;
	}
	return used;
}

static void
append_slug(GString *out, const char *subject)
{
	g_autofree char *decoded = mime_decode_header(subject, strlen(subject));
	g_autoptr(GString) text = g_string_sized_new(4 * SLUG_CHARS + 8);
	Slug slug = {.text = text};
	const char *p = decoded;
	gsize len;

	while (*p != '\0' && !slug.full)
		p = slug_append_piece(&slug, p);
	len = slug_length(text);
	if (len == 0)
		g_string_append(out, "no-subject");
	else
		g_string_append_len(out, text->str, (gssize)len);
}

/* 40 bits of the digest as base32, most significant first. */
static void
append_id(GString *out, const NameHeaders *headers)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	const char *const values[] = {headers->message_id, headers->date, headers->from,
				      headers->subject};
	g_autoptr(GString) text = g_string_sized_new(512);
	guint8 digest[TLS_SHA256_BYTES];
	guint64 bits = 0;
	char id[8], *p = id;

	for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
		if (i > 0)
			g_string_append_c(text, '\n');
		if (values[i] != NULL)
			g_string_append(text, values[i]);
	}
	tls_sha256(text->str, text->len, digest);
	for (guint i = 0; i < 5; i++)
		bits = bits << 8 | digest[i];
	for (int shift = 35; shift >= 0; shift -= 5)
		*p++ = digits[bits >> shift & 0x1f];
	g_string_append_len(out, id, p - id);
}

/* @otherwise: the id of a message without headers. */
static char *
message_name(gint64 date, const NameHeaders *headers, const char *otherwise)
{
	GString *out = g_string_sized_new(NAME_MAX_MESSAGE);

	append_time(out, date);
	g_string_append_c(out, '_');
	append_slug(out, headers->subject != NULL ? headers->subject : "");
	g_string_append_c(out, '.');
	if (headers->message_id == NULL && headers->date == NULL && headers->from == NULL &&
	    headers->subject == NULL)
		g_string_append(out, otherwise);
	else
		append_id(out, headers);
	return g_string_free(out, FALSE);
}

char *
name_for_message(gint64 date, guint32 uid, const NameHeaders *headers)
{
	char id[16];

	g_snprintf(id, sizeof id, "u%u", uid);
	return message_name(date, headers, id);
}

char *
name_for_uidl(gint64 date, const char *uidl, const NameHeaders *headers)
{
	guint8 digest[TLS_SHA256_BYTES];
	char id[16];

	tls_sha256(uidl, strlen(uidl), digest);
	g_snprintf(id, sizeof id, "u%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3]);
	return message_name(date, headers, id);
}

/* What follows the last semicolon, unless that is one of a comment. */
static gboolean
parse_received(const char *received, gint64 *date_out)
{
	const char *end = received + strlen(received);

	for (guint tries = 0; tries < 4; tries++) {
		const char *semicolon = g_strrstr_len(received, end - received, ";");
		const char *date;

		if (semicolon == NULL)
			return FALSE;
		date = semicolon + 1 + strspn(semicolon + 1, " \t");
		if (mime_parse_date(date, strlen(date), date_out))
			return TRUE;
		end = semicolon;
	}
	return FALSE;
}

gint64
name_date_of_header(const char *header, gsize len)
{
	static const char *const fields[] = {"Received", "Date"};
	g_autofree char *received = NULL;
	g_autofree char *written = NULL;
	char *values[G_N_ELEMENTS(fields)];
	gint64 date = 0;

	mime_header_fields(header, MIN(len, HEADER_MAX), fields, values, G_N_ELEMENTS(fields));
	received = values[0];
	written = values[1];
	if (received != NULL && parse_received(received, &date))
		return date;
	if (written != NULL && mime_parse_date(written, strlen(written), &date))
		return date;
	return 0;
}

/* --- attachments --- */

/* The part from @at on is moved forward over what is cut out before it. */
static void
cut_before(GString *name, gsize at)
{
	gsize keep = NAME_MAX_FILE - (name->len - at);

	while (keep > 0 && ((guchar)name->str[keep] & 0xc0) == 0x80)
		keep--;
	g_string_erase(name, (gssize)keep, (gssize)(at - keep));
}

char *
name_for_file(const char *text)
{
	GString *out = g_string_new(NULL);
	const char *dot;

	while (*text == ' ')
		text++;
	for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (c == '/' || c == '\\' || is_hidden(c) ||
		    (out->len == 0 && (c == '.' || c == '-')))
			g_string_append_c(out, '_');
		else
			g_string_append_len(out, p, g_utf8_next_char(p) - p);
	}
	while (out->len > 0 && out->str[out->len - 1] == ' ')
		g_string_truncate(out, out->len - 1);
	if (out->len > NAME_MAX_FILE) {
		dot = strrchr(out->str, '.');
		cut_before(out, dot != NULL && strlen(dot) <= EXTENSION_MAX
					? (gsize)(dot - out->str)
					: out->len);
	}
	return g_string_free(out, FALSE);
}

guint32
name_parse_uid(const char *file_name)
{
	guint64 uid = 0;
	const char *p = file_name;

	if (*p == '0')
		return 0;
	for (; g_ascii_isdigit(*p) && uid <= G_MAXUINT32; p++)
		uid = uid * 10 + (guint64)g_ascii_digit_value(*p);
	return uid <= G_MAXUINT32 && g_str_equal(p, ".eml") ? (guint32)uid : 0;
}
