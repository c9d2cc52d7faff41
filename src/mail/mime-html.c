/* SPDX-License-Identifier: MIT */
#include "mail/mime-html.h"

#include <string.h>

#define WORD_MAX 32	     /* of a tag's name, and of an entity */
#define FLUSH_AT (64 * 1024) /* bytes of output */

typedef enum {
	IN_TEXT,
	IN_ENTITY, /* after & */
	IN_OPEN,   /* after < */
	IN_NAME,   /* of a tag */
	IN_TAG,	   /* after its name */
	IN_QUOTE,  /* within an attribute's value */
	IN_COMMENT,
	IN_RAW, /* script and style, up to their end tag */
} State;

struct MimeHtml {
	gboolean (*sink)(gpointer user, const char *data, gsize len);
	gpointer user;
	State state;
	char word[WORD_MAX + 1]; /* the name, or the entity, so far */
	gsize word_len;
	char quote;	      /* that opened the value */
	gboolean after_equal; /* only there a quote opens one */
	guint dashes;	      /* seen of the end of a comment */
	const char *raw;      /* "script": whose end is looked for */
	gsize raw_matched;    /* characters of "</script" */
	GString *out;
	guint lines;	   /* line ends due before the next character */
	gboolean space;	   /* a space is due */
	gboolean has_text; /* something was written */
};

MimeHtml *
mime_html_new(gboolean (*sink)(gpointer user, const char *data, gsize len), gpointer user)
{
	MimeHtml *html = g_new0(MimeHtml, 1);

	html->sink = sink;
	html->user = user;
	html->out = g_string_sized_new(1024);
	return html;
}

void
mime_html_free(MimeHtml *html)
{
	if (html == NULL)
		return;
	g_string_free(html->out, TRUE);
	g_free(html);
}

/* --- output
 * ----------------------------------------------------------------------------------------- */

static void
put(MimeHtml *html, const char *text, gsize len)
{
	if (html->has_text && html->lines > 0)
		g_string_append(html->out, html->lines > 1 ? "\n\n" : "\n");
	else if (html->has_text && html->space)
		g_string_append_c(html->out, ' ');
	html->lines = 0;
	html->space = FALSE;
	html->has_text = TRUE;
	g_string_append_len(html->out, text, (gssize)len);
}

static void
put_char(MimeHtml *html, char c)
{
	if (c == ' ' || c == '\n' || c == '\t')
		html->space = TRUE;
	else
		put(html, &c, 1);
}

static void
put_unichar(MimeHtml *html, gunichar c)
{
	char utf8[6];

	if (c == 0xad || c == 0x200b || c == 0x200c || c == 0xfeff) /* takes no room */
		return;
	if (c <= 0x20 || (c >= 0x7f && c <= 0xa0))
		html->space = TRUE;
	else
		put(html, utf8, (gsize)g_unichar_to_utf8(c, utf8));
}

/* --- entities
 * --------------------------------------------------------------------------------------- */

/* U+00A0 to U+00FF, in order. */
static const char latin1[] = " nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo "
			     "not shy reg macr deg plusmn"
			     " sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 "
			     "frac12 frac34 iquest Agrave"
			     " Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc "
			     "Euml Igrave Iacute Icirc Iuml"
			     " ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave "
			     "Uacute Ucirc Uuml Yacute THORN"
			     " szlig agrave aacute acirc atilde auml aring aelig ccedil egrave "
			     "eacute ecirc euml igrave iacute"
			     " icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash "
			     "ugrave uacute ucirc uuml"
			     " yacute thorn yuml ";

static const struct {
	const char *name;
	gunichar c;
} entities[] = {
	{"amp", '&'},	   {"lt", '<'},	       {"gt", '>'},	   {"quot", '"'},
	{"apos", '\''},	   {"hellip", 0x2026}, {"trade", 0x2122},  {"ndash", 0x2013},
	{"mdash", 0x2014}, {"lsquo", 0x2018},  {"rsquo", 0x2019},  {"sbquo", 0x201a},
	{"ldquo", 0x201c}, {"rdquo", 0x201d},  {"bdquo", 0x201e},  {"bull", 0x2022},
	{"euro", 0x20ac},  {"lsaquo", 0x2039}, {"rsaquo", 0x203a}, {"larr", 0x2190},
	{"rarr", 0x2192},  {"check", 0x2713},  {"zwnj", 0x200c},   {"zwj", 0x200d},
	{"ensp", 0x20},	   {"emsp", 0x20},     {"thinsp", 0x20},   {"minus", 0x2212},
	{"OElig", 0x152},  {"oelig", 0x153},   {"Scaron", 0x160},  {"scaron", 0x161},
};

/* 0: none. */
static gunichar
numeric_entity(const char *digits)
{
	gboolean hex = digits[0] == 'x' || digits[0] == 'X';
	guint64 value = 0;
	const char *p = digits + hex;

	if (*p == '\0')
		return 0;
	for (; *p != '\0'; p++) {
		int digit = hex ? g_ascii_xdigit_value(*p) : g_ascii_digit_value(*p);

		if (digit < 0 || value > 0x10ffff)
			return 0;
		value = value * (hex ? 16 : 10) + (guint)digit;
	}
	return value <= 0x10ffff && g_unichar_validate((gunichar)value) ? (gunichar)value : 0;
}

static gunichar
entity(const char *word)
{
	char key[WORD_MAX + 3];
	const char *found;
	gunichar c = 0xa0;

	if (word[0] == '#')
		return numeric_entity(word + 1);
	for (gsize i = 0; i < G_N_ELEMENTS(entities); i++)
		if (strcmp(entities[i].name, word) == 0)
			return entities[i].c;
	g_snprintf(key, sizeof key, " %s ", word);
	found = *word == '\0' ? NULL : strstr(latin1, key);
	if (found == NULL)
		return 0;
	for (const char *p = latin1; p < found; p++)
		c += *p == ' ';
	return c;
}

/* The word after & is over; an unknown one stays as it was written. @semicolon: it ended so. */
static void
end_entity(MimeHtml *html, gboolean semicolon)
{
	gunichar c;

	html->word[html->word_len] = '\0';
	c = entity(html->word);
	html->state = IN_TEXT;
	if (c != 0) {
		put_unichar(html, c);
		return;
	}
	put_char(html, '&');
	for (gsize i = 0; i < html->word_len; i++)
		put_char(html, html->word[i]);
	if (semicolon)
		put_char(html, ';');
}

/* --- tags
 * ------------------------------------------------------------------------------------------- */

static gboolean
is_one_of(const char *names, const char *word)
{
	char key[WORD_MAX + 3];

	g_snprintf(key, sizeof key, " %s ", word);
	return strstr(names, key) != NULL;
}

/* The name of a tag is complete. */
static void
end_name(MimeHtml *html)
{
	gboolean closing = html->word[0] == '/';
	const char *name = html->word + closing;

	html->word[html->word_len] = '\0';
	html->raw = NULL;
	if (!closing && strcmp(name, "script") == 0)
		html->raw = "script";
	else if (!closing && strcmp(name, "style") == 0)
		html->raw = "style";
	if (is_one_of(" p h1 h2 h3 h4 h5 h6 ul ol dl table blockquote pre title ", name))
		html->lines = 2;
	else if (strcmp(name, "br") == 0)
		html->lines = MIN(html->lines + 1, 2);
	else if (is_one_of(" div tr li dt dd hr caption section article header footer center form "
			   "option thead tbody ",
			   name))
		html->lines = MAX(html->lines, 1);
	else if (is_one_of(" td th ", name))
		html->space = TRUE;
	html->after_equal = FALSE;
	html->state = IN_TAG;
}

static void
end_tag(MimeHtml *html)
{
	html->raw_matched = 0;
	html->state = html->raw != NULL ? IN_RAW : IN_TEXT;
}

/* A script ends where its end tag begins, whatever it looks like to itself. */
static void
feed_raw(MimeHtml *html, char c)
{
	gsize at = html->raw_matched;
	gsize len = strlen(html->raw);
	char expected = at == 0 ? '<' : at == 1 ? '/' : html->raw[at - 2];

	if (g_ascii_tolower(c) != expected) {
		html->raw_matched = c == '<';
		return;
	}
	if (++html->raw_matched == len + 2) {
		html->raw = NULL;
		html->after_equal = FALSE;
		html->state = IN_TAG;
	}
}

static void
feed_name(MimeHtml *html, char c)
{
	if (c == '>' || c == ' ' || c == '\n' || c == '\t' || (c == '/' && html->word_len > 0)) {
		end_name(html);
		if (c == '>')
			end_tag(html);
		return;
	}
	if (html->word_len < WORD_MAX)
		html->word[html->word_len++] = g_ascii_tolower(c);
	if (html->word_len == 3 && memcmp(html->word, "!--", 3) == 0) {
		html->dashes = 2; /* "<!-->" is one too */
		html->state = IN_COMMENT;
	}
}

static void
feed_tag(MimeHtml *html, char c)
{
	if (c == '>') {
		end_tag(html);
	} else if ((c == '"' || c == '\'') && html->after_equal) {
		html->quote = c;
		html->state = IN_QUOTE;
	} else if (c != ' ' && c != '\n' && c != '\t') {
		html->after_equal = c == '=';
	}
}

static void
feed_entity(MimeHtml *html, char c)
{
	if (html->word_len < WORD_MAX &&
	    (g_ascii_isalnum(c) || (c == '#' && html->word_len == 0))) {
		html->word[html->word_len++] = c;
		return;
	}
	end_entity(html, c == ';');
}

static void
feed_text(MimeHtml *html, char c)
{
	html->word_len = 0;
	if (c == '<')
		html->state = IN_OPEN;
	else if (c == '&')
		html->state = IN_ENTITY;
	else
		put_char(html, c);
}

/* A < that begins no tag is just that. */
static void
feed_open(MimeHtml *html, char c)
{
	if (g_ascii_isalpha(c) || c == '/' || c == '!' || c == '?') {
		html->word_len = 0;
		html->word[html->word_len++] = g_ascii_tolower(c);
		html->state = IN_NAME;
		return;
	}
	put_char(html, '<');
	html->state = IN_TEXT;
	feed_text(html, c);
}

static void
feed_char(MimeHtml *html, char c)
{
	switch (html->state) {
	case IN_TEXT:
		feed_text(html, c);
		break;
	case IN_ENTITY:
		feed_entity(html, c);
		if (html->state == IN_TEXT && c != ';')
			feed_text(html, c);
		break;
	case IN_OPEN:
		feed_open(html, c);
		break;
	case IN_NAME:
		feed_name(html, c);
		break;
	case IN_TAG:
		feed_tag(html, c);
		break;
	case IN_QUOTE:
		if (c == html->quote) {
			html->after_equal = FALSE;
			html->state = IN_TAG;
		}
		break;
	case IN_COMMENT:
		if (c == '>' && html->dashes >= 2)
			html->state = IN_TEXT;
		html->dashes = c == '-' ? html->dashes + 1 : 0;
		break;
	case IN_RAW:
		feed_raw(html, c);
		break;
	}
}

static gboolean
flush(MimeHtml *html)
{
	gboolean ok = html->out->len == 0 || html->sink(html->user, html->out->str, html->out->len);

	g_string_truncate(html->out, 0);
	return ok;
}

gboolean
mime_html_feed(MimeHtml *html, const char *text, gsize len)
{
	for (gsize i = 0; i < len; i++) {
		feed_char(html, text[i]);
		if (html->out->len >= FLUSH_AT && !flush(html))
			return FALSE;
	}
	return TRUE;
}

gboolean
mime_html_end(MimeHtml *html)
{
	if (html->state == IN_ENTITY)
		end_entity(html, FALSE);
	if (html->has_text)
		g_string_append_c(html->out, '\n');
	return flush(html);
}
