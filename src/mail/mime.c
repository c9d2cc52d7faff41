/* SPDX-License-Identifier: MIT */
#include "mail/mime.h"

#include <libetpan/libetpan.h>
#include <string.h>

#include "mail/mime-words.h"

/* What libetpan is given at most: its address parser recurses into comments, and tries more than
 * one reading. */
#define ADDRESS_MAX  4096 /* bytes of one address */
#define DATE_MAX     256
#define COMMENTS_MAX 50
#define JULIAN_1970  719163	 /* GDate's number of 1970-01-01 */
#define LIST_MAX     (64 * 1024) /* bytes of an address header */

typedef struct mailimf_mailbox EtpanMailbox;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EtpanMailbox, mailimf_mailbox_free)
typedef struct mailimf_date_time EtpanDate;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EtpanDate, mailimf_date_time_free)

static gboolean
is_wsp(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The offset after the line at @pos, its LF included. */
static gsize
line_end(const char *text, gsize len, gsize pos)
{
	const char *lf = memchr(text + pos, '\n', len - pos);

	return lf == NULL ? len : (gsize)(lf - text) + 1;
}

static gboolean
is_empty_line(const char *text, gsize len, gsize pos)
{
	return text[pos] == '\n' || (text[pos] == '\r' && pos + 1 < len && text[pos + 1] == '\n');
}

gsize
mime_header_length(const char *message, gsize len)
{
	gsize pos = 0;

	while (pos < len) {
		gboolean last = is_empty_line(message, len, pos);

		pos = line_end(message, len, pos);
		if (last)
			break;
	}
	return pos;
}

/* The raw value without line ends and NUL, and without white space around. */
static char *
unfold(const char *value, gsize len)
{
	g_autofree char *unfolded = NULL;
	char *out;
	gsize n = 0, first = 0;

	while (len > 0 && is_wsp(value[len - 1]))
		len--;
	for (; len > 0 && is_wsp(*value); len--)
		value++;
	/* The usual one lies on one line. */
	if (memchr(value, '\n', len) == NULL && memchr(value, '\0', len) == NULL)
		return g_strndup(value, len);
	out = unfolded = g_malloc(len + 1);
	for (gsize i = 0; i < len; i++) {
		if (value[i] == '\n' || value[i] == '\0')
			continue;
		if (value[i] == '\r' && i + 1 < len && value[i + 1] == '\n')
			continue;
		out[n++] = value[i];
	}
	while (n > 0 && is_wsp(out[n - 1]))
		n--;
	while (first < n && is_wsp(out[first]))
		first++;
	return g_strndup(out + first, n - first);
}

/* Length of "Field:" (blanks before the colon are the obsolete syntax) when the line begins with
 * it, else 0. */
static gsize
match_field(const char *line, gsize len, const char *field, gsize field_len)
{
	gsize n = field_len;

	if (len <= n || g_ascii_tolower(*line) != g_ascii_tolower(*field) ||
	    (memcmp(line, field, n) != 0 && g_ascii_strncasecmp(line, field, n) != 0))
		return 0;
	while (n < len && (line[n] == ' ' || line[n] == '\t'))
		n++;
	return n < len && line[n] == ':' ? n + 1 : 0;
}

/* Where the field that begins at @pos ends, its continued lines included. */
static gsize
field_end(const char *header, gsize len, gsize pos)
{
	do
		pos = line_end(header, len, pos);
	while (pos < len && (header[pos] == ' ' || header[pos] == '\t'));
	return pos;
}

/* The next field of that name from *@pos on; *@pos moves past it. NULL at the end of the block. */
static char *
next_field(const char *header, gsize len, gsize *pos, const char *field)
{
	gsize field_len = strlen(field);

	while (*pos < len && !is_empty_line(header, len, *pos)) {
		gsize start = *pos;
		gsize skip = match_field(header + start, len - start, field, field_len);

		*pos = field_end(header, len, *pos);
		if (skip > 0)
			return unfold(header + start + skip, *pos - start - skip);
	}
	return NULL;
}

void
mime_header_fields(const char *header, gsize len, const char *const *fields, char **values, guint n)
{
	guint missing = n;
	gsize end;

	for (guint i = 0; i < n; i++)
		values[i] = NULL;
	for (gsize pos = 0; missing > 0 && pos < len && !is_empty_line(header, len, pos);
	     pos = end) {
		end = field_end(header, len, pos);
		for (guint i = 0; i < n; i++) {
			gsize skip = values[i] != NULL ? 0
						       : match_field(header + pos, len - pos,
								     fields[i], strlen(fields[i]));

			if (skip == 0)
				continue;
			values[i] = unfold(header + pos + skip, end - pos - skip);
			missing--;
			break;
		}
	}
}

char *
mime_header_field(const char *header, gsize len, const char *field)
{
	gsize pos = 0;

	return next_field(header, len, &pos, field);
}

char *
mime_decode_header(const char *value, gsize len)
{
	GString *out = g_string_sized_new(len + 1);

	mime_words_append(out, value, len);
	return g_string_free(out, FALSE);
}

static guint
count_char(const char *text, gsize len, char c)
{
	guint n = 0;

	for (gsize i = 0; i < len; i++)
		n += text[i] == c;
	return n;
}

/* Where white space and comments from @pos on end; the text of the last comment is told. */
static gsize
skip_comments(const char *text, gsize len, gsize pos, const char **comment_out,
	      gsize *comment_len_out)
{
	while (pos < len && (is_wsp(text[pos]) || text[pos] == '(')) {
		gsize start = pos;
		int depth = 0;

		if (text[pos] != '(') {
			pos++;
			continue;
		}
		do {
			if (text[pos] == '\\' && pos + 1 < len)
				pos++;
			else
				depth += text[pos] == '(' ? 1 : text[pos] == ')' ? -1 : 0;
			pos++;
		} while (pos < len && depth > 0);
		*comment_out = text + start + 1;
		*comment_len_out = pos - start - (depth == 0 ? 2 : 1);
	}
	return pos;
}

/* A name that could be read as an address, or as two, is quoted. */
static void
append_display_name(GString *out, const char *name, gsize len)
{
	g_autofree char *text = NULL;
	gboolean quote;

	if (len >= 2 && name[0] == '"' &&
	    name[len - 1] == '"') { /* libetpan leaves some quotes on */
		name++;
		len -= 2;
	}
	text = mime_decode_header(name, len);
	quote = strpbrk(text, "<>@,;:\"\\()[]") != NULL;
	if (quote)
		g_string_append_c(out, '"');
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			g_string_append_c(out, '\\');
		g_string_append_c(out, *p);
	}
	if (quote)
		g_string_append_c(out, '"');
	g_string_append_c(out, ' ');
}

/* FALSE when libetpan must not see it, or does not take all of it. */
static gboolean
append_mailbox(GString *out, const char *text, gsize len)
{
	g_autofree char *copy = NULL; /* libetpan sees nothing of the neighbours */
	g_autoptr(EtpanMailbox) mailbox = NULL;
	const char *comment = NULL, *name;
	gsize pos = 0, comment_len = 0;

	if (len > ADDRESS_MAX || memchr(text, '\0', len) != NULL ||
	    count_char(text, len, '(') > COMMENTS_MAX)
		return FALSE;
	copy = g_strndup(text, len);
	if (mailimf_mailbox_parse(copy, len, &pos, &mailbox) != MAILIMF_NO_ERROR)
		return FALSE;
	if (skip_comments(text, len, pos, &comment, &comment_len) < len)
		return FALSE;
	if (count_char(mailbox->mb_addr_spec, strlen(mailbox->mb_addr_spec), '@') > 1)
		return FALSE; /* "a@b c@d": it closes the gap */
	name = mailbox->mb_display_name;
	if (name != NULL && *name != '\0')
		append_display_name(out, name, strlen(name));
	else if (comment_len > 0) /* "a@b (Name)", the old way */
		append_display_name(out, comment, comment_len);
	g_string_append_c(out, '<');
	mime_words_append_raw(out, mailbox->mb_addr_spec, strlen(mailbox->mb_addr_spec));
	g_string_append_c(out, '>');
	return TRUE;
}

static void
append_address(GString *out, const char *text, gsize len)
{
	while (len > 0 && is_wsp(*text)) {
		text++;
		len--;
	}
	while (len > 0 && is_wsp(text[len - 1]))
		len--;
	if (len == 0)
		return;
	if (out->len > 0)
		g_string_append(out, ", ");
	if (!append_mailbox(out, text, len))
		mime_words_append(out, text, len);
}

/* The list is cut at its commas here, so that one address that libetpan refuses does not cost the
 * others. */
char *
mime_decode_addresses(const char *value, gsize len)
{
	GString *out = g_string_new(NULL);
	gsize used = MIN(len, LIST_MAX);
	gsize start = 0, comments = 0;
	gboolean quoted = FALSE, angle = FALSE;

	for (gsize i = 0; i < used; i++) {
		char c = value[i];

		if (c == '\\' && (quoted || comments > 0))
			i++;
		else if (comments > 0)
			comments += c == '(' ? 1 : c == ')' ? (gsize)-1 : 0;
		else if (c == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (c == '(')
			comments++;
		else if (strchr("<[>]", c) != NULL && c != '\0')
			angle = c == '<' || c == '[';
		else if (!angle && (c == ',' || c == ';')) {
			append_address(out, value + start, i - start);
			start = i + 1;
		} else if (!angle && c == ':')
			start = i + 1; /* a group's name */
	}
	if (start < used)
		append_address(out, value + start, used - start);
	if (out->len == 0)
		mime_words_append(out, value, used);
	return g_string_free(out, FALSE);
}

/* libetpan wraps long numbers round and checks no range. */
static gboolean
has_long_number(const char *text, gsize len)
{
	gsize run = 0;

	for (gsize i = 0; i < len; i++) {
		run = g_ascii_isdigit(text[i]) ? run + 1 : 0;
		if (run > 4)
			return TRUE;
	}
	return FALSE;
}

static gboolean
is_real_date(const EtpanDate *date, int year)
{
	int zone = ABS(date->dt_zone);

	return year >= 1 && year <= 9999 && date->dt_month >= 1 && date->dt_month <= 12 &&
	       date->dt_day >= 1 &&
	       date->dt_day <= g_date_get_days_in_month(date->dt_month, (GDateYear)year) &&
	       date->dt_hour >= 0 && date->dt_hour <= 23 && date->dt_min >= 0 &&
	       date->dt_min <= 59 && date->dt_sec >= 0 && date->dt_sec <= 60 && zone / 100 <= 23 &&
	       zone % 100 <= 59;
}

/* The offset, where libetpan takes "UT" for one minute, and knows neither "UTC" nor "Z". */
static int
zone_of(const EtpanDate *date, const char *text, gsize *pos)
{
	gboolean is_ut = *pos > 0 && (text[*pos - 1] == 'T' || text[*pos - 1] == 't');

	if (date->dt_zone == 1 && is_ut) {
		*pos += text[*pos] == 'C';
		return 0;
	}
	*pos += date->dt_zone == 0 && text[*pos] == 'Z';
	return date->dt_zone;
}

/* With the year in full and the offset as it is written (+0900 is 900). NULL: it is no date. */
static EtpanDate *
parse_date(const char *value, gsize len)
{
	g_autofree char *copy = NULL;
	g_autoptr(EtpanDate) date = NULL;
	const char *comment;
	gsize pos = 0, comment_len;

	if (len > DATE_MAX || memchr(value, '\0', len) != NULL || has_long_number(value, len) ||
	    count_char(value, len, '(') > COMMENTS_MAX)
		return NULL;
	copy = g_strndup(value, len);
	if (mailimf_date_time_parse(copy, len, &pos, &date) != MAILIMF_NO_ERROR)
		return NULL;
	date->dt_zone = zone_of(date, copy, &pos);
	if (skip_comments(value, len, pos, &comment, &comment_len) < len)
		return NULL;
	if (date->dt_year < 1000) /* RFC 5322 4.3 */
		date->dt_year += date->dt_year < 50 ? 2000 : 1900;
	return is_real_date(date, date->dt_year) ? g_steal_pointer(&date) : NULL;
}

char *
mime_decode_date(const char *value, gsize len)
{
	g_autoptr(EtpanDate) date = parse_date(value, len);
	int zone = date != NULL ? date->dt_zone : 0;

	if (date == NULL)
		return mime_decode_header(value, len);
	return g_strdup_printf("%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", date->dt_year,
			       date->dt_month, date->dt_day, date->dt_hour, date->dt_min,
			       date->dt_sec, zone < 0 ? '-' : '+', ABS(zone) / 100,
			       ABS(zone) % 100);
}

gboolean
mime_parse_date(const char *value, gsize len, gint64 *seconds_out)
{
	g_autoptr(EtpanDate) date = parse_date(value, len);
	gint64 days, offset;
	GDate day;

	if (date == NULL)
		return FALSE;
	g_date_clear(&day, 1);
	g_date_set_dmy(&day, (GDateDay)date->dt_day, (GDateMonth)date->dt_month,
		       (GDateYear)date->dt_year);
	days = (gint64)g_date_get_julian(&day) - JULIAN_1970;
	offset = (date->dt_zone / 100 * 60 + date->dt_zone % 100) * 60;
	*seconds_out =
		days * 86400 + date->dt_hour * 3600 + date->dt_min * 60 + date->dt_sec - offset;
	return TRUE;
}

/* Comments become a space, so that what follows can look for its marks alone. */
static char *
without_comments(const char *value)
{
	GString *out = g_string_new(NULL);
	gsize depth = 0;
	gboolean quoted = FALSE;

	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '\\' && p[1] != '\0' && (quoted || depth > 0)) {
			if (depth == 0)
				g_string_append_len(out, p, 2);
			p++;
		} else if (depth > 0) {
			depth += *p == '(' ? 1 : *p == ')' ? (gsize)-1 : 0;
		} else if (*p == '(' && !quoted) {
			depth = 1;
			g_string_append_c(out, ' ');
		} else {
			quoted ^= *p == '"';
			g_string_append_c(out, *p);
		}
	}
	return g_string_free(out, FALSE);
}

/* The end of a part: its `;`, or of the text. */
static const char *
part_end(const char *p)
{
	gboolean quoted = FALSE;

	for (; *p != '\0' && (quoted || *p != ';'); p++) {
		if (*p == '\\' && quoted && p[1] != '\0')
			p++;
		else
			quoted ^= *p == '"';
	}
	return p;
}

static const char *
skip_wsp(const char *p)
{
	while (is_wsp(*p))
		p++;
	return p;
}

static gsize
token_len(const char *p)
{
	gsize n = 0;

	while (g_ascii_isalnum(p[n]) || (p[n] != '\0' && strchr("-_.", p[n]) != NULL))
		n++;
	return n;
}

enum { SPF, DKIM, DMARC, N_METHODS };

/* "spf=pass" of "spf = pass smtp.mailfrom=…". Of several DKIM signatures one that passes is enough.
 */
static void
take_result(const char *p, char *results[N_METHODS])
{
	static const char *const methods[] = {[SPF] = "spf", [DKIM] = "dkim", [DMARC] = "dmarc"};
	const char *method = skip_wsp(p), *value;
	gsize method_len = token_len(method), value_len;

	value = skip_wsp(method + method_len);
	if (*value == '/') { /* version of the method */
		value = skip_wsp(value + 1);
		value = skip_wsp(value + token_len(value));
	}
	if (*value != '=')
		return;
	value = skip_wsp(value + 1);
	value_len = token_len(value);
	if (value_len == 0 || value_len > 16)
		return;
	for (guint i = 0; i < N_METHODS; i++) {
		if (strlen(methods[i]) != method_len ||
		    g_ascii_strncasecmp(methods[i], method, method_len) != 0)
			continue;
		if (results[i] != NULL &&
		    !(i == DKIM && value_len == 4 && g_ascii_strncasecmp(value, "pass", 4) == 0))
			continue;
		g_free(results[i]);
		results[i] = g_strdup_printf("%s=%.*s", methods[i], (int)value_len, value);
	}
}

/* Does the field come from that server? *@rest_out is where its results begin. */
static gboolean
is_from_server(const char *field, const char *authserv_id, const char **rest_out)
{
	const char *p = skip_wsp(field);
	gsize n = strlen(authserv_id);
	gboolean quoted = *p == '"';

	if (quoted)
		p++;
	if (g_ascii_strncasecmp(p, authserv_id, n) != 0)
		return FALSE;
	p += n;
	if (quoted ? *p != '"' : *p != '\0' && *p != ';' && !is_wsp(*p))
		return FALSE;
	if (quoted)
		p++;
	*rest_out = part_end(p);
	return TRUE;
}

char *
mime_auth_results(const char *header, gsize len, const char *authserv_id)
{
	char *results[N_METHODS] = {NULL, NULL, NULL};
	GString *out = NULL;
	gsize pos = 0;

	if (authserv_id == NULL || *authserv_id == '\0')
		return NULL;
	for (;;) {
		g_autofree char *value = next_field(header, len, &pos, "Authentication-Results");
		g_autofree char *field = value == NULL ? NULL : without_comments(value);
		const char *p;

		if (field == NULL)
			return NULL;
		if (!is_from_server(field, authserv_id, &p))
			continue;
		while (*p == ';') {
			take_result(p + 1, results);
			p = part_end(p + 1);
		}
		break;
	}
	for (guint i = 0; i < N_METHODS; i++) {
		if (results[i] == NULL)
			continue;
		if (out == NULL)
			out = g_string_new(NULL);
		if (out->len > 0)
			g_string_append_c(out, ' ');
		g_string_append(out, results[i]);
		g_free(results[i]);
	}
	return out == NULL ? NULL : g_string_free(out, FALSE);
}
