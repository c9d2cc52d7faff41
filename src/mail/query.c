/* SPDX-License-Identifier: MIT */
#include "mail/query.h"

#include <string.h>

#include "base/util.h"

typedef struct {
	const char *rest; /* of the query */
	GError **error;
} Reading;

static const struct {
	const char *name;
	SearchKey key;
} keys[] = {
	{"text", SEARCH_TEXT}, {"from", SEARCH_FROM},	    {"to", SEARCH_TO},
	{"cc", SEARCH_CC},     {"bcc", SEARCH_BCC},	    {"subject", SEARCH_SUBJECT},
	{"body", SEARCH_BODY}, {"since", SEARCH_SINCE},	    {"before", SEARCH_BEFORE},
	{"on", SEARCH_ON},     {"larger", SEARCH_LARGER},   {"smaller", SEARCH_SMALLER},
	{"is", SEARCH_FLAG},   {"keyword", SEARCH_KEYWORD},
};

static const struct {
	const char *name;
	guint flag;
	gboolean negated;
} states[] = {
	{"unread", MESSAGE_SEEN, TRUE},	     {"unseen", MESSAGE_SEEN, TRUE},
	{"read", MESSAGE_SEEN, FALSE},	     {"seen", MESSAGE_SEEN, FALSE},
	{"flagged", MESSAGE_FLAGGED, FALSE}, {"answered", MESSAGE_ANSWERED, FALSE},
	{"draft", MESSAGE_DRAFT, FALSE},     {"deleted", MESSAGE_DELETED, FALSE},
};

/* @before @text @behind is the reason. */
static gpointer
refuse(const Reading *reading, const char *before, const char *text, const char *behind)
{
	g_autofree char *printable = util_printable(text, -1, 100);

	g_set_error(reading->error, MAILFS_ERROR, MAILFS_ERROR_INVALID, "query: %s%s%s", before,
		    printable, behind);
	return NULL;
}

/* Skips "@name:", in any case. */
static gboolean
skip_key(Reading *reading, const char *name)
{
	gsize len = strlen(name);

	if (g_ascii_strncasecmp(reading->rest, name, len) != 0 || reading->rest[len] != ':')
		return FALSE;
	reading->rest += len + 1;
	return TRUE;
}

/* TRUE: a word and a colon come next, as if there were such a key. */
static gboolean
looks_like_key(const char *text)
{
	gsize len = 0;

	while (g_ascii_isalpha(text[len]))
		len++;
	return len > 0 && text[len] == ':';
}

/* What is quoted, or what goes on to the next blank. (transfer full) */
static char *
read_value(Reading *reading)
{
	const char *start = reading->rest;
	gboolean quoted = *start == '"';
	const char *end = quoted ? strchr(start + 1, '"') : start + strcspn(start, " ");
	g_autofree char *value = NULL;

	if (end == NULL)
		return refuse(reading, "a quote is not closed: ", start, "");
	value = quoted ? g_strndup(start + 1, end - start - 1) : g_strndup(start, end - start);
	reading->rest = end + (quoted ? 1 : 0);
	if (*reading->rest != '\0' && *reading->rest != ' ')
		return refuse(reading, "a blank is missing before ", reading->rest, "");
	if (*value == '\0')
		return refuse(reading, "a value is missing", "", "");
	if (!quoted && strpbrk(value, "|()\"") != NULL)
		return refuse(reading, "", value,
			      ": | ( ) and \" mean nothing here, put the words in quotes");
	return g_steal_pointer(&value);
}

/* 2026-01-31 → 20260131 */
static gboolean
parse_day(const char *text, guint64 *out)
{
	static const char shape[] = "dddd-dd-dd";
	guint64 day = 0;

	for (gsize i = 0; i < sizeof shape; i++) {
		if (shape[i] == 'd' ? !g_ascii_isdigit(text[i]) : text[i] != shape[i])
			return FALSE;
		if (shape[i] == 'd')
			day = day * 10 + (guint64)g_ascii_digit_value(text[i]);
	}
	*out = day;
	return g_date_valid_dmy(day % 100, (GDateMonth)(day / 100 % 100), day / 10000);
}

static gboolean
is_keyword(const char *text)
{
	for (; *text != '\0'; text++)
		if (!g_ascii_isgraph(*text) || strchr("(){%*\"\\]", *text) != NULL)
			return FALSE;
	return TRUE;
}

static SearchTerm *
term_of_state(const Reading *reading, gboolean negated, const char *value)
{
	for (guint i = 0; i < G_N_ELEMENTS(states); i++)
		if (g_ascii_strcasecmp(states[i].name, value) == 0)
			return search_term_new(SEARCH_FLAG, negated != states[i].negated,
					       states[i].flag, NULL);
	return refuse(reading, "is:", value,
		      " is none of unread, seen, flagged, answered, draft, deleted");
}

static SearchTerm *
term_of(const Reading *reading, SearchKey key, gboolean negated, const char *value)
{
	gboolean is_day = key == SEARCH_SINCE || key == SEARCH_BEFORE || key == SEARCH_ON;
	gboolean is_size = key == SEARCH_LARGER || key == SEARCH_SMALLER;
	guint64 number = 0;

	if (key == SEARCH_FLAG)
		return term_of_state(reading, negated, value);
	if (is_day && !parse_day(value, &number))
		return refuse(reading, "", value, " is no day such as 2026-01-31");
	if (is_size && (!util_parse_size(value, &number) || number > G_MAXUINT32))
		return refuse(reading, "", value, " is no size such as 500k or 2M, below 4G");
	if (key == SEARCH_KEYWORD && !is_keyword(value))
		return refuse(reading, "", value, " is no keyword");
	return search_term_new(key, negated, number, is_day || is_size ? NULL : value);
}

static SearchTerm *
read_term(Reading *reading)
{
	SearchKey key = SEARCH_TEXT;
	gboolean negated = FALSE, known = FALSE;
	g_autofree char *value = NULL;

	while (skip_key(reading, "not"))
		negated = !negated;
	for (guint i = 0; !known && i < G_N_ELEMENTS(keys); i++) {
		known = skip_key(reading, keys[i].name);
		if (known)
			key = keys[i].key;
	}
	if (!known && looks_like_key(reading->rest))
		return refuse(reading, "there is no key ", reading->rest,
			      "; text with a colon is put in quotes");
	value = read_value(reading);
	return value != NULL ? term_of(reading, key, negated, value) : NULL;
}

GPtrArray *
query_parse(const char *query, GError **error)
{
	Reading reading = {.rest = query, .error = error};
	g_autoptr(GPtrArray) terms = g_ptr_array_new_with_free_func(search_term_free);

	if (!g_utf8_validate(query, -1, NULL))
		return refuse(&reading, "this is not UTF-8: ", query, "");
	for (const char *p = query; *p != '\0'; p++)
		if (g_ascii_iscntrl(*p))
			return refuse(&reading, "there is a control character in ", query, "");
	for (;;) {
		SearchTerm *term;

		while (*reading.rest == ' ')
			reading.rest++;
		if (*reading.rest == '\0')
			break;
		term = read_term(&reading);
		if (term == NULL)
			return NULL;
		g_ptr_array_add(terms, term);
	}
	if (terms->len == 0)
		return refuse(&reading, "it asks for nothing", "", "");
	return g_steal_pointer(&terms);
}
