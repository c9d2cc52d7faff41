/* SPDX-License-Identifier: MIT */
#include "mail/address.h"

#include <gio/gio.h>
#include <string.h>

#include "base/error.h"
#include "base/util.h"

/* What is left of the text. */
typedef struct {
	const char *p, *end;
} Cursor;

static gboolean
refuse(GError **error, const char *part, gsize len, const char *why)
{
	g_autofree char *shown = NULL;

	while (len > 0 && g_ascii_isspace(part[0])) {
		part++;
		len--;
	}
	while (len > 0 && g_ascii_isspace(part[len - 1]))
		len--;
	shown = util_printable(part, (gssize)len, 100);
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID, "\"%s\" is no address: %s", shown,
		    why);
	return FALSE;
}

/* Past a quoted string, a comment with those in it, or a domain literal, which begins at @p. NULL:
 * it has no end. */
static const char *
skip_enclosed(const char *p, const char *end)
{
	char open = *p, close = open == '(' ? ')' : open == '[' ? ']' : '"';
	gsize depth = 1;

	for (p++; p < end; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == close && --depth == 0)
			return p + 1;
		else if (open == '(' && *p == '(')
			depth++;
	}
	return NULL;
}

/* White space and comments. FALSE: a comment has no end. */
static gboolean
skip_blanks(Cursor *at)
{
	while (at->p < at->end && (g_ascii_isspace(*at->p) || *at->p == '(')) {
		at->p = *at->p == '(' ? skip_enclosed(at->p, at->end) : at->p + 1;
		if (at->p == NULL)
			return FALSE;
	}
	return TRUE;
}

/* The first of @stops outside of what is enclosed; @end when there is none. NULL: something has no
 * end. */
static const char *
find_stop(const char *p, const char *end, const char *stops)
{
	while (p != NULL && p < end) {
		if (*p == '"' || *p == '(' || *p == '[')
			p = skip_enclosed(p, end);
		else if (*p != '\0' && strchr(stops, *p) != NULL)
			return p;
		else
			p++;
	}
	return p;
}

static gboolean
is_atom_char(char c)
{
	return (guchar)c >= 0x80 || g_ascii_isalnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* The content of a quoted string, without its backslashes and line ends. */
static void
append_unquoted(GString *out, const char *p, const char *end)
{
	for (p++; p < end - 1; p++) {
		if (*p == '\\' && p + 1 < end - 1)
			p++;
		if (*p != '\r' && *p != '\n')
			g_string_append_c(out, *p);
	}
}

/* Atoms, quoted strings and dots up to the @. NULL: why not. */
static const char *
take_local_part(Cursor *at, GString *out)
{
	gboolean after_word = FALSE;

	for (;;) {
		if (!skip_blanks(at))
			return "a comment has no end";
		if (at->p == at->end)
			return out->len > 0 ? "its @ and domain are missing" : "it is empty";
		if (*at->p == '@')
			return out->len > 0 ? NULL : "nothing stands before the @";
		if (*at->p == '.') {
			after_word = FALSE;
			g_string_append_c(out, *at->p++);
			continue;
		}
		if (after_word)
			return is_atom_char(*at->p) ? "there is a gap in it"
						    : "there is a character that must be quoted";
		if (*at->p == '"') {
			const char *end = skip_enclosed(at->p, at->end);

			if (end == NULL)
				return "a quotation mark is missing";
			append_unquoted(out, at->p, end);
			at->p = end;
		} else if (is_atom_char(*at->p)) {
			while (at->p < at->end && is_atom_char(*at->p))
				g_string_append_c(out, *at->p++);
		} else {
			return "there is a character that must be quoted";
		}
		after_word = TRUE;
	}
}

static const char *
take_literal(Cursor *at, GString *out)
{
	const char *end = skip_enclosed(at->p, at->end);
	g_autofree char *inside = NULL;
	const char *number;

	if (end == NULL)
		return "a bracket is missing";
	inside = g_strndup(at->p + 1, (gsize)(end - at->p) - 2);
	number = g_ascii_strncasecmp(inside, "IPv6:", 5) == 0 ? inside + 5 : inside;
	if (!g_hostname_is_ip_address(number) ||
	    (number == inside) == (strchr(number, ':') != NULL) || strchr(number, '%') != NULL)
		return "what is in brackets is no address of a computer";
	g_string_append_len(out, at->p, end - at->p);
	at->p = end;
	return NULL;
}

static gboolean
is_host_name(const char *name)
{
	gsize label = 0;

	for (const char *p = name; *p != '\0'; p++) {
		if (*p != '.' && !g_ascii_isalnum(*p) && *p != '-' && *p != '_')
			return FALSE;
		if (*p == '.' && label == 0)
			return FALSE;
		label = *p == '.' ? 0 : label + 1;
		if (label > 63)
			return FALSE;
	}
	return label > 0;
}

static const char *
take_domain(Cursor *at, GString *out)
{
	g_autoptr(GString) name = g_string_new(NULL);
	g_autofree char *ascii = NULL;
	gboolean after_word = FALSE;

	for (; skip_blanks(at) && at->p < at->end; at->p++) {
		if (*at->p == '[' && name->len == 0)
			return take_literal(at, out);
		if (*at->p != '.' && !is_atom_char(*at->p))
			return "its domain has a character that no domain has";
		if (*at->p != '.' && after_word && !is_atom_char(at->p[-1]))
			return "there is a gap in it";
		after_word = *at->p != '.';
		g_string_append_c(name, *at->p);
	}
	if (at->p == NULL)
		return "a comment has no end";
	if (name->len == 0)
		return "its domain is missing";
	if (!g_utf8_validate_len(name->str, name->len, NULL))
		return "its domain is neither ASCII nor UTF-8";
	if (name->str[name->len - 1] == '.')
		return "its domain ends in a dot";
	ascii = g_hostname_to_ascii(name->str);
	if (ascii == NULL || !is_host_name(ascii))
		return "its domain is none";
	g_string_append(out, ascii);
	return NULL;
}

static gboolean
is_dot_atom(const char *text)
{
	char last = '.';

	for (; *text != '\0'; last = *text++)
		if (*text == '.' ? last == '.' : !is_atom_char(*text))
			return FALSE;
	return last != '.';
}

static void
append_local_part(GString *out, const char *local)
{
	if (is_dot_atom(local)) {
		g_string_append(out, local);
		return;
	}
	g_string_append_c(out, '"');
	for (; *local != '\0'; local++) {
		if (*local == '"' || *local == '\\')
			g_string_append_c(out, '\\');
		g_string_append_c(out, *local);
	}
	g_string_append_c(out, '"');
}

static gboolean
has_control(const char *text, gsize len)
{
	for (gsize i = 0; i < len; i++)
		if ((guchar)text[i] < ' ' || text[i] == 127)
			return TRUE;
	return FALSE;
}

/* "local@domain" of what stands between two marks, or NULL with an error. */
static char *
parse_addr_spec(const char *text, const char *end, GError **error)
{
	g_autoptr(GString) local = g_string_new(NULL), out = g_string_new(NULL);
	Cursor at = {text, end};
	const char *why = take_local_part(&at, local);

	if (why == NULL) {
		append_local_part(out, local->str);
		g_string_append_c(out, *at.p++);
		why = take_domain(&at, out);
	}
	if (why == NULL && !skip_blanks(&at))
		why = "a comment has no end";
	if (why == NULL && at.p < at.end)
		why = "something stands behind its domain";
	if (why == NULL && (has_control(local->str, local->len) ||
			    !g_utf8_validate_len(local->str, local->len, NULL)))
		why = "it has characters that are neither printable ASCII nor UTF-8";
	if (why == NULL && out->len > ADDRESS_MAX)
		why = "it is too long";
	if (why != NULL) {
		refuse(error, text, (gsize)(end - text), why);
		return NULL;
	}
	return g_string_free(g_steal_pointer(&out), FALSE);
}

/* Local parts differ by case, domains do not. */
static gboolean
is_same(const char *a, const char *b)
{
	const char *at = strrchr(a, '@');
	gsize local = (gsize)(at - a);

	return strncmp(a, b, local) == 0 && g_ascii_strcasecmp(at, b + local) == 0;
}

static gboolean
add(GPtrArray *addresses, guint max, char *address, GError **error)
{
	for (guint i = 0; i < addresses->len; i++) {
		if (is_same(g_ptr_array_index(addresses, i), address)) {
			g_free(address);
			return TRUE;
		}
	}
	if (addresses->len >= max) {
		g_free(address);
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "more than %u recipients; write several messages", max);
		return FALSE;
	}
	g_ptr_array_add(addresses, address);
	return TRUE;
}

/* From the < at @open on; @end is where the list ends. The old route "@one,@two:" is passed over.
 */
static gboolean
take_angle(Cursor *at, const char *element, const char *open, GPtrArray *addresses, guint max,
	   GError **error)
{
	const char *close = find_stop(open + 1, at->end, ">");
	Cursor inside = {open + 1, close};
	char *address;

	if (close == NULL || close == at->end)
		return refuse(error, element, (gsize)(at->end - element), "its > is missing");
	if (!skip_blanks(&inside))
		return refuse(error, element, (gsize)(close + 1 - element), "a comment has no end");
	if (inside.p < close && *inside.p == '@') {
		const char *colon = find_stop(inside.p, close, ":");

		if (colon != NULL && colon < close)
			inside.p = colon + 1;
	}
	address = parse_addr_spec(inside.p, close, error);
	if (address == NULL || !add(addresses, max, address, error))
		return FALSE;
	at->p = close + 1;
	if (!skip_blanks(at) || (at->p < at->end && *at->p != ',' && *at->p != ';'))
		return refuse(error, element, (gsize)(at->end - element),
			      "something stands behind its >; addresses are separated by commas");
	return TRUE;
}

/* One element from @at on: an address, the beginning of a group, or its end. */
static gboolean
take_element(Cursor *at, gboolean *in_group, GPtrArray *addresses, guint max, GError **error)
{
	const char *element = at->p, *stop;
	char *address;

	if (*at->p == ';') {
		if (!*in_group)
			return refuse(error, element, (gsize)(at->end - element),
				      "addresses are separated by commas, not semicolons");
		*in_group = FALSE;
		at->p++;
		return TRUE;
	}
	stop = find_stop(element, at->end, "<,;:");
	if (stop == NULL)
		return refuse(error, element, (gsize)(at->end - element),
			      "a quotation mark or a bracket is missing");
	if (stop < at->end && *stop == '<')
		return take_angle(at, element, stop, addresses, max, error);
	if (stop < at->end && *stop == ':') {
		if (*in_group)
			return refuse(error, element, (gsize)(stop - element),
				      "a group is in another, or a \":\" must be quoted");
		*in_group = TRUE;
		at->p = stop + 1;
		return TRUE;
	}
	address = parse_addr_spec(element, stop, error);
	at->p = stop;
	return address != NULL && add(addresses, max, address, error);
}

gboolean
address_list_parse(const char *value, gsize len, GPtrArray *addresses, guint max, GError **error)
{
	Cursor at = {value, value + len};
	gboolean in_group = FALSE;

	for (;;) {
		if (!skip_blanks(&at))
			return refuse(error, value, len, "a comment has no end");
		if (at.p == at.end)
			break;
		if (*at.p == ',')
			at.p++;
		else if (!take_element(&at, &in_group, addresses, max, error))
			return FALSE;
	}
	return !in_group || refuse(error, value, len,
				   "the \";\" of a group is missing, or its \":\" must be quoted");
}

char *
address_parse(const char *text, GError **error)
{
	gsize len = strlen(text);

	if (len >= 2 && text[0] == '<' && text[len - 1] == '>')
		return parse_addr_spec(text + 1, text + len - 1, error);
	return parse_addr_spec(text, text + len, error);
}
