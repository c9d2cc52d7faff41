/* SPDX-License-Identifier: MIT */
/* Own code, and not libetpan's mailmime_parse: that one recurses for each level (30,000 nested
 * messages overflow the stack), takes the square of nested multiparts, knows no RFC 2231, and would
 * need guards that turn mail away which is only unusual. Here one pass over the lines keeps a stack
 * of the boundaries that are open; only lines that begin with "--" are looked at. */
#include "mail/mime-parts.h"

#include <string.h>

#include "mail/mime-words.h"
#include "mail/mime.h"

#define BOUNDARY_MAX 256 /* bytes; RFC 2046 allows 70 */
#define SEGMENTS_MAX 100 /* of one RFC 2231 parameter */

/* A multipart that is open, or (no boundary) a message/rfc822. */
typedef struct {
	char *boundary;
	gsize boundary_len;
	guint alternative;
	gboolean nested, digest;
	guint part;  /* of a message: its own; of a multipart: the first within it */
	gsize start; /* of a multipart's body */
} Level;

typedef struct {
	const char *text;
	gsize len;
	GPtrArray *parts;
	Level levels[MIME_DEPTH_MAX];
	guint depth;
	guint alternatives;
	MimePart *open; /* the leaf whose end is not yet known */
} Walker;

static void
part_free(gpointer data)
{
	MimePart *part = data;

	g_free(part->type);
	g_free(part->charset);
	g_free(part->file_name);
	g_free(part);
}

static gboolean
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static gsize
line_end(const Walker *walker, gsize pos)
{
	const char *lf = memchr(walker->text + pos, '\n', walker->len - pos);

	return lf == NULL ? walker->len : (gsize)(lf - walker->text) + 1;
}

/* --- parameters
 * ------------------------------------------------------------------------------------- */

typedef struct {
	char *value; /* without quotes */
	gboolean encoded;
} Segment;

typedef struct {
	char *plain;
	Segment segments[SEGMENTS_MAX]; /* name*0*, name*1 …; name* is segment 0 */
} Parameter;

static void
parameter_clear(Parameter *parameter)
{
	g_free(parameter->plain);
	for (guint i = 0; i < SEGMENTS_MAX; i++)
		g_free(parameter->segments[i].value);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Parameter, parameter_clear)

/* The value at *@p, which moves to the `;` after it. Blanks and other oddities within an unquoted
 * one belong to it: many senders forget the quotes. (transfer full) */
static char *
take_value(const char **p)
{
	GString *out = g_string_new(NULL);
	const char *q = *p;

	if (*q == '"') {
		for (q++; *q != '\0' && *q != '"'; q++) {
			if (*q == '\\' && q[1] != '\0')
				q++;
			g_string_append_c(out, *q);
		}
		q += strcspn(q, ";");
	} else {
		gsize n = strcspn(q, ";");

		g_string_append_len(out, q, (gssize)n);
		q += n;
		while (out->len > 0 && is_blank(out->str[out->len - 1]))
			g_string_truncate(out, out->len - 1);
	}
	*p = q;
	return g_string_free(out, FALSE);
}

/* Where name, name*, name*N or name*N* has its place; the first of each counts. */
static void
keep_value(Parameter *parameter, const char *mark, gsize mark_len, char *value)
{
	guint number = 0;
	gsize i = 1;
	char **place;

	if (mark_len == 0) {
		place = &parameter->plain;
	} else {
		for (; i < mark_len && g_ascii_isdigit(mark[i]) && number < SEGMENTS_MAX; i++)
			number = number * 10 + (guint)g_ascii_digit_value(mark[i]);
		if (number >= SEGMENTS_MAX ||
		    !(i == mark_len || (i > 1 && i + 1 == mark_len && mark[i] == '*'))) {
			g_free(value);
			return;
		}
		place = &parameter->segments[number].value;
		if (*place == NULL)
			parameter->segments[number].encoded = mark[mark_len - 1] == '*';
	}
	if (*place == NULL)
		*place = value;
	else
		g_free(value);
}

static void
collect(const char *value, const char *name, Parameter *parameter)
{
	gsize name_len = strlen(name);
	const char *p = value + strcspn(value, ";");

	while (*p == ';') {
		const char *key = p + 1 + strspn(p + 1, " \t");
		gsize key_len = strcspn(key, "=; \t");

		p = key + key_len;
		p += strspn(p, " \t");
		if (*p != '=') {
			p += strcspn(p, ";");
			continue;
		}
		p++;
		p += strspn(p, " \t");
		if (key_len >= name_len && g_ascii_strncasecmp(key, name, name_len) == 0 &&
		    (key_len == name_len || key[name_len] == '*'))
			keep_value(parameter, key + name_len, key_len - name_len, take_value(&p));
		else
			g_free(take_value(&p));
	}
}

static void
append_unescaped(GString *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '%' && g_ascii_isxdigit(p[1]) && g_ascii_isxdigit(p[2])) {
			g_string_append_c(out, (char)(g_ascii_xdigit_value(p[1]) << 4 |
						      g_ascii_xdigit_value(p[2])));
			p += 2;
		} else {
			g_string_append_c(out, *p);
		}
	}
}

/* charset'language'%XX… */
static char *
join_segments(const Parameter *parameter)
{
	g_autoptr(GString) bytes = g_string_new(NULL);
	g_autofree char *charset = NULL;
	GString *out = g_string_new(NULL);

	for (guint i = 0; i < SEGMENTS_MAX && parameter->segments[i].value != NULL; i++) {
		const Segment *segment = &parameter->segments[i];
		const char *text = segment->value;
		const char *quote = i == 0 && segment->encoded ? strchr(text, '\'') : NULL;
		const char *second = quote != NULL ? strchr(quote + 1, '\'') : NULL;

		if (second != NULL) {
			charset = g_strndup(text, quote - text);
			text = second + 1;
		}
		if (segment->encoded)
			append_unescaped(bytes, text);
		else
			g_string_append(bytes, text);
	}
	if (charset != NULL)
		mime_words_append_charset(out, charset, bytes->str, bytes->len, TRUE);
	else
		mime_words_append_raw(out, bytes->str, bytes->len);
	return g_string_free(out, FALSE);
}

char *
mime_parameter(const char *value, const char *name)
{
	g_auto(Parameter) parameter = {0};

	collect(value, name, &parameter);
	if (parameter.segments[0].value != NULL)
		return join_segments(&parameter);
	return parameter.plain != NULL
		       ? mime_decode_header(parameter.plain, strlen(parameter.plain))
		       : NULL;
}

/* The boundary is bytes to be compared, so it is not decoded. */
static char *
raw_parameter(const char *value, const char *name)
{
	g_auto(Parameter) parameter = {0};

	collect(value, name, &parameter);
	if (parameter.plain == NULL)
		return g_steal_pointer(&parameter.segments[0].value);
	return g_steal_pointer(&parameter.plain);
}

/* --- one part's header
 * ------------------------------------------------------------------------------ */

static MimeEncoding
encoding_of(const char *value)
{
	gsize n = value == NULL ? 0 : strcspn(value, " \t;(");

	if (n == strlen("base64") && g_ascii_strncasecmp(value, "base64", n) == 0)
		return MIME_BASE64;
	if (n == strlen("quoted-printable") &&
	    g_ascii_strncasecmp(value, "quoted-printable", n) == 0)
		return MIME_QUOTED_PRINTABLE;
	return MIME_IDENTITY;
}

/* "text/plain" of "Text / Plain; …". (transfer full) NULL: it is none. */
static char *
type_of(const char *value)
{
	g_autoptr(GString) out = g_string_new(NULL);
	const char *slash;

	for (const char *p = value; *p != '\0' && *p != ';' && *p != '(' && out->len < 128; p++)
		if ((guchar)*p > ' ')
			g_string_append_c(out, g_ascii_tolower(*p));
	slash = strchr(out->str, '/');
	if (slash == NULL || slash == out->str || slash[1] == '\0' ||
	    !g_utf8_validate(out->str, -1, NULL))
		return NULL;
	return g_strdup(out->str);
}

/* @boundary_out: of a multipart, else NULL. (transfer full) */
static MimePart *
read_header(const char *header, gsize len, gboolean digest, char **boundary_out)
{
	gsize used = MIN(len, MIME_BLOCK_MAX);
	g_autofree char *type = mime_header_field(header, used, "Content-Type");
	g_autofree char *encoding = mime_header_field(header, used, "Content-Transfer-Encoding");
	g_autofree char *disposition = mime_header_field(header, used, "Content-Disposition");
	MimePart *part = g_new0(MimePart, 1);

	*boundary_out = NULL;
	part->encoding = encoding_of(encoding);
	part->type = type != NULL ? type_of(type) : NULL;
	if (part->type == NULL)
		part->type = g_strdup(digest && type == NULL ? "message/rfc822" : "text/plain");
	if (disposition != NULL) {
		part->attached = g_ascii_strncasecmp(disposition, "attachment", 10) == 0;
		part->file_name = mime_parameter(disposition, "filename");
	}
	if (type != NULL) {
		part->charset = raw_parameter(type, "charset");
		if (part->file_name == NULL)
			part->file_name = mime_parameter(type, "name");
		if (g_str_has_prefix(part->type, "multipart/"))
			*boundary_out = raw_parameter(type, "boundary");
	}
	if (part->charset == NULL)
		part->charset = g_strdup("");
	if (part->file_name != NULL && *part->file_name == '\0')
		g_clear_pointer(&part->file_name, g_free);
	return part;
}

/* --- the walk
 * --------------------------------------------------------------------------------------- */

/* Is the line at @pos the delimiter of a level? The innermost is asked first. *@last_out: it ends
 * that level. */
static gboolean
is_delimiter(const Walker *walker, gsize pos, guint *level_out, gboolean *last_out)
{
	const char *line = walker->text + pos;
	gsize left = walker->len - pos;

	if (left < 3 || line[0] != '-' || line[1] != '-')
		return FALSE;
	for (guint i = walker->depth; i-- > 0;) {
		const Level *level = &walker->levels[i];
		gsize n = 2 + level->boundary_len;

		if (level->boundary == NULL || left < n ||
		    memcmp(line + 2, level->boundary, level->boundary_len) != 0)
			continue;
		*last_out = left >= n + 2 && line[n] == '-' && line[n + 1] == '-';
		if (*last_out)
			n += 2;
		while (n < left && (is_blank(line[n]) || line[n] == '\r'))
			n++;
		*level_out = i;
		if (n == left || line[n] == '\n')
			return TRUE;
	}
	return FALSE;
}

/* The start of the next delimiter line at or after @pos, itself the start of a line; the end of the
 * message when there is none. */
static gsize
find_delimiter(const Walker *walker, gsize pos, guint *level_out, gboolean *last_out)
{
	while (pos < walker->len) {
		const char *mark;

		if (is_delimiter(walker, pos, level_out, last_out))
			return pos;
		mark = memmem(walker->text + pos, walker->len - pos, "\n--", 3);
		if (mark == NULL)
			break;
		pos = mark - walker->text + 1;
	}
	return walker->len;
}

/* "Name:", or the continuation of one. */
static gboolean
is_field_line(const char *line, gsize len)
{
	gsize n = 0;

	if (len > 0 && is_blank(line[0]))
		return TRUE;
	while (n < len && line[n] > ' ' && line[n] < 0x7f && line[n] != ':')
		n++;
	while (n < len && is_blank(line[n]))
		n++;
	return n > 0 && n < len && line[n] == ':';
}

/* The header block at @pos ends at *@end_out, the body begins at the returned offset. In a part, a
 * line that can be no field is the body's first: its empty line was forgotten. */
static gsize
skip_header(const Walker *walker, gsize pos, gsize *end_out)
{
	gboolean strict = walker->depth > 0, last;
	guint level;

	while (pos < walker->len) {
		gsize next = line_end(walker, pos);
		const char *line = walker->text + pos;

		*end_out = pos;
		if (line[0] == '\n' || (line[0] == '\r' && next - pos == 2))
			return next;
		if (is_delimiter(walker, pos, &level, &last) ||
		    (strict && !is_field_line(line, next - pos)))
			return pos;
		pos = next;
	}
	*end_out = pos;
	return pos;
}

static void
push_level(Walker *walker, const Level *level)
{
	walker->levels[walker->depth++] = *level;
}

/* Reads the entity at @pos, and goes on into it as long as it holds others at its beginning.
 * Returns where to look for the next delimiter. */
static gsize
enter(Walker *walker, gsize pos)
{
	for (;;) {
		const Level *above = walker->depth > 0 ? &walker->levels[walker->depth - 1] : NULL;
		gboolean room = walker->depth < MIME_DEPTH_MAX;
		g_autofree char *boundary = NULL;
		gsize header_end = pos;
		gsize body = skip_header(walker, pos, &header_end);
		MimePart *part = read_header(walker->text + pos, header_end - pos,
					     above != NULL && above->digest, &boundary);
		Level level = {
			.alternative = above != NULL ? above->alternative : 0,
			.nested = above != NULL && above->nested,
			.part = walker->parts->len,
			.start = body,
		};

		part->offset = body;
		part->nested = level.nested;
		part->alternative = level.alternative;
		if (room && boundary != NULL && *boundary != '\0' &&
		    strlen(boundary) <= BOUNDARY_MAX) {
			level.digest = strcmp(part->type, "multipart/digest") == 0;
			if (strcmp(part->type, "multipart/alternative") == 0)
				level.alternative = ++walker->alternatives;
			level.boundary_len = strlen(boundary);
			level.boundary = g_steal_pointer(&boundary);
			part_free(part);
			push_level(walker, &level);
			return body;
		}
		g_ptr_array_add(walker->parts, part);
		if (!room || part->encoding != MIME_IDENTITY ||
		    strcmp(part->type, "message/rfc822") != 0) {
			if (g_str_has_prefix(part->type, "multipart/")) {
				g_free(part->type);
				part->type = g_strdup("text/plain");
			}
			walker->open = part;
			return body;
		}
		level.nested = TRUE;
		push_level(walker, &level);
		pos = body;
	}
}

/* The levels from @depth on and the open leaf end at @end. */
static void
leave(Walker *walker, guint depth, gsize end)
{
	if (walker->open != NULL)
		walker->open->len = end - MIN(walker->open->offset, end);
	walker->open = NULL;
	while (walker->depth > depth) {
		Level *level = &walker->levels[--walker->depth];

		if (level->boundary == NULL) {
			MimePart *message = walker->parts->pdata[level->part];

			message->len = end - MIN(message->offset, end);
		} else if (walker->parts->len == level->part && level->start < end) {
			MimePart *part = g_new0(MimePart, 1);

			*part = (MimePart){
				.type = g_strdup("text/plain"),
				.charset = g_strdup(""),
				.nested = level->nested,
				.offset = level->start,
				.len = end - level->start,
			};
			g_ptr_array_add(walker->parts, part);
		}
		g_free(level->boundary);
	}
}

/* The line end before a delimiter belongs to the delimiter. */
static gsize
before_line_end(const Walker *walker, gsize pos)
{
	if (pos > 0 && walker->text[pos - 1] == '\n')
		pos--;
	if (pos > 0 && walker->text[pos - 1] == '\r')
		pos--;
	return pos;
}

GPtrArray *
mime_parts(const char *message, gsize len)
{
	g_autofree Walker *walker = g_new0(Walker, 1);
	gsize pos;

	walker->text = message;
	walker->len = len;
	walker->parts = g_ptr_array_new_with_free_func(part_free);
	pos = enter(walker, 0);
	while (walker->depth > 0 && walker->parts->len < MIME_PARTS_MAX) {
		guint level = 0;
		gboolean last = FALSE;
		gsize mark = find_delimiter(walker, pos, &level, &last);

		if (mark == len)
			break;
		leave(walker, level + 1, before_line_end(walker, mark));
		pos = line_end(walker, mark);
		if (last)
			leave(walker, level, before_line_end(walker, mark));
		else
			pos = enter(walker, pos);
	}
	leave(walker, 0, len);
	return walker->parts;
}

gboolean
mime_part_is_body(const MimePart *part, const char *type)
{
	return !part->nested && !part->attached && part->file_name == NULL &&
	       strcmp(part->type, type) == 0;
}

gboolean
mime_part_is_attachment(const MimePart *part)
{
	return !part->nested && !mime_part_is_body(part, "text/plain") &&
	       !mime_part_is_body(part, "text/html");
}
