/* SPDX-License-Identifier: MIT */
/* A header value is a row of plain runs and encoded words. The bytes of neighbouring words of one
 * charset are joined before they are converted, since senders cut anywhere. "names v1" (name.h)
 * stands on every rule here: a change to what the vectors in tests/unit/names-v1.tsv show is a
 * change of file names. */
#include "mail/mime-words.h"

#include <errno.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define CHARSET_MAX 64		   /* bytes of a charset's name, language suffix included */

/* How a charset is turned into UTF-8. */
typedef enum {
	BY_ICONV,
	AS_UTF8,
	AS_UNLABELLED, /* nobody said: UTF-8 when valid, else windows-1252 */
	AS_ISO_2022_JP,
	AS_EUC_JP,
} Method;

typedef struct {
	Method method;
	const char *iconv_name;
	const char *aliases; /* lower case, letters and digits only, one space around each */
} Charset;

/* Labels are compared by their letters and digits alone, so that utf8, x_sjis and cp-932 are found.
 * A label that names a subset (gb2312, iso-8859-1, ks_c_5601) is read as the superset that its
 * senders really use. */
static const Charset charsets[] = {
	{AS_UTF8, NULL, " utf8 unicode11utf8 cputf8 xutf8 "},
	{AS_UNLABELLED, NULL,
	 " usascii ascii ansix341968 iso646us unknown8bit xunknown unknown 7bit 8bit "},
	{BY_ICONV, "CP1252", " iso88591 latin1 l1 windows1252 cp1252 xcp1252 ansi "},
	{AS_ISO_2022_JP, NULL,
	 " iso2022jp iso2022jp1 iso2022jp2 iso2022jpms csiso2022jp cp50220 cp50221 cp50222 jis "},
	{BY_ICONV, "CP932",
	 " shiftjis sjis xsjis xshiftjis mskanji cp932 ms932 xms932 windows31j cswindows31j "},
	{AS_EUC_JP, NULL, " eucjp xeucjp xeuc eucjpms cp51932 ujis "},
	{BY_ICONV, "GB18030",
	 " gb2312 gb231280 csgb2312 gbk xgbk cp936 ms936 windows936 gb18030 euccn gb23121980 "},
	{BY_ICONV, "BIG5-HKSCS", " big5 big5hkscs cnbig5 csbig5 xxbig5 big5eten cp950 windows950 "},
	{BY_ICONV, "CP949",
	 " euckr cseuckr ksc5601 ksc56011987 ksc56011989 cp949 uhc ms949 windows949 "},
	{BY_ICONV, "ISO-2022-KR", " iso2022kr csiso2022kr "},
	{BY_ICONV, "KOI8-R", " koi8r koi8 cskoi8r "},
	{BY_ICONV, "KOI8-U", " koi8u koi8ru "},
	{BY_ICONV, "CP1250", " windows1250 cp1250 xcp1250 "},
	{BY_ICONV, "CP1251", " windows1251 cp1251 xcp1251 win1251 "},
	{BY_ICONV, "CP1253", " windows1253 cp1253 xcp1253 "},
	{BY_ICONV, "CP1254", " windows1254 cp1254 xcp1254 iso88599 latin5 l5 "},
	{BY_ICONV, "CP1255", " windows1255 cp1255 xcp1255 "},
	{BY_ICONV, "CP1256", " windows1256 cp1256 xcp1256 "},
	{BY_ICONV, "CP1257", " windows1257 cp1257 xcp1257 "},
	{BY_ICONV, "CP1258", " windows1258 cp1258 xcp1258 "},
	{BY_ICONV, "CP874", " windows874 cp874 tis620 iso885911 "},
	{BY_ICONV, "ISO-8859-2", " iso88592 latin2 l2 "},
	{BY_ICONV, "ISO-8859-3", " iso88593 latin3 l3 "},
	{BY_ICONV, "ISO-8859-4", " iso88594 latin4 l4 "},
	{BY_ICONV, "ISO-8859-5", " iso88595 cyrillic "},
	{BY_ICONV, "ISO-8859-6", " iso88596 arabic iso88596i iso88596e "},
	{BY_ICONV, "ISO-8859-7", " iso88597 greek "},
	{BY_ICONV, "ISO-8859-8", " iso88598 hebrew iso88598i iso88598e "},
	{BY_ICONV, "ISO-8859-10", " iso885910 latin6 l6 "},
	{BY_ICONV, "ISO-8859-13", " iso885913 latin7 l7 "},
	{BY_ICONV, "ISO-8859-14", " iso885914 latin8 l8 "},
	{BY_ICONV, "ISO-8859-15", " iso885915 latin9 l9 "},
	{BY_ICONV, "ISO-8859-16", " iso885916 latin10 l10 "},
	{BY_ICONV, "MACINTOSH", " macintosh mac macroman xmacroman "},
	{BY_ICONV, "CP437", " ibm437 cp437 "},
	{BY_ICONV, "CP850", " ibm850 cp850 "},
	{BY_ICONV, "CP852", " ibm852 cp852 "},
	{BY_ICONV, "CP866", " ibm866 cp866 "},
	{BY_ICONV, "UTF-7", " utf7 unicode11utf7 "},
};
#define UNLABELLED   (&charsets[1])
#define WINDOWS_1252 (&charsets[2])
#define JAPANESE     (&charsets[3])

/* An encoded word, or, without charset, the end of the value. */
typedef struct {
	const char *start, *end;
	const char *text;
	gsize text_len;
	const Charset *charset;
	gboolean base64;
} Word;

static gboolean
is_wsp(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Control characters of what was appended from @from on become one space each. */
static void
fold_controls(GString *out, gsize from)
{
	guchar *text = (guchar *)out->str;
	gsize kept = from;

	for (gsize i = from; i < out->len; i++) {
		if (text[i] == 0xc2 && text[i + 1] >= 0x80 && text[i + 1] < 0xa0) {
			text[kept++] = ' ';
			i++;
		} else {
			text[kept++] = text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
		}
	}
	g_string_truncate(out, kept);
}

static void
append_utf8(GString *out, const char *bytes, gsize len)
{
	while (len > 0) {
		const char *bad;

		g_utf8_validate_len(bytes, len, &bad);
		g_string_append_len(out, bytes, bad - bytes);
		len -= bad - bytes;
		bytes = bad;
		if (len == 0)
			break;
		if (*bytes == '\0')
			g_string_append_c(out, ' ');
		else
			g_string_append(out, REPLACEMENT);
		bytes++;
		len--;
	}
}

static void
append_iconv(GString *out, const char *iconv_name, char *bytes, gsize len)
{
	GIConv converter = g_iconv_open("UTF-8", iconv_name);
	gboolean draining = FALSE;

	if (converter == (GIConv)-1) { /* a libc without it: what can be read stays */
		append_utf8(out, bytes, len);
		return;
	}
	for (;;) {
		char buf[1024];
		char *to = buf;
		gsize room = sizeof buf;
		gsize done = draining ? g_iconv(converter, NULL, NULL, &to, &room)
				      : g_iconv(converter, &bytes, &len, &to, &room);
		int why = done == (gsize)-1 ? errno : 0;

		g_string_append_len(out, buf, to - buf);
		if (draining)
			break;
		if (why == EILSEQ && len > 0) {
			g_string_append(out, REPLACEMENT);
			bytes++;
			len--;
		} else if (why != E2BIG || to == buf) {
			if (why != 0) /* EINVAL: cut within a character */
				g_string_append(out, REPLACEMENT);
			draining = TRUE; /* some converters hold a character back */
		}
	}
	g_iconv_close(converter);
}

/* JIS X 0208 row and cell (0x21..0x7e each) as Shift_JIS, whose windows-31j table has the vendors'
 * rows 13 and 89 to 92. */
static void
append_sjis(GString *sjis, guchar row, guchar cell)
{
	guchar lead = (row - 0x21) / 2 + (row < 0x5f ? 0x81 : 0xc1);
	guchar trail = row % 2 == 0 ? cell + 0x7e : cell + (cell < 0x60 ? 0x1f : 0x20);

	g_string_append_c(sjis, (char)lead);
	g_string_append_c(sjis, (char)trail);
}

static gboolean
is_cell(guchar c)
{
	return c >= 0x21 && c <= 0x7e;
}

/* ISO-2022-JP with half-width katakana (ESC ( I), as senders write it, rather than as RFC 1468
 * allows. */
static void
jis_to_sjis(GString *sjis, const guchar *in, gsize len)
{
	enum { SINGLE, KANA, DOUBLE } set = SINGLE;

	for (gsize i = 0; i < len; i++) {
		if (in[i] == 0x1b && i + 2 < len && in[i + 1] == '$' && strchr("@B", in[i + 2])) {
			set = DOUBLE;
			i += 2;
		} else if (in[i] == 0x1b && i + 2 < len && in[i + 1] == '(') {
			set = in[i + 2] == 'I' ? KANA : SINGLE;
			i += 2;
		} else if (set == DOUBLE && i + 1 < len && is_cell(in[i]) && is_cell(in[i + 1])) {
			append_sjis(sjis, in[i], in[i + 1]);
			i++;
		} else if (set == KANA && in[i] >= 0x21 && in[i] <= 0x5f) {
			g_string_append_c(sjis, (char)(in[i] | 0x80));
		} else {
			g_string_append_c(sjis, in[i] < 0x80 ? (char)in[i] : '\xff');
		}
	}
}

static void
euc_to_sjis(GString *sjis, const guchar *in, gsize len)
{
	for (gsize i = 0; i < len; i++) {
		if (i + 1 < len && in[i] >= 0xa1 && is_cell(in[i] & 0x7f) && in[i + 1] >= 0xa1 &&
		    is_cell(in[i + 1] & 0x7f)) {
			append_sjis(sjis, in[i] & 0x7f, in[i + 1] & 0x7f);
			i++;
		} else if (in[i] == 0x8e && i + 1 < len && in[i + 1] >= 0xa1 && in[i + 1] <= 0xdf) {
			g_string_append_c(sjis, (char)in[++i]);
		} else {
			g_string_append_c(sjis, in[i] < 0x80 ? (char)in[i] : '\xff');
		}
	}
}

static gboolean
contains(const char *bytes, gsize len, const char *what)
{
	return bytes != NULL && memmem(bytes, len, what, strlen(what)) != NULL;
}

/* The escapes of ISO-2022-JP-1 and -2: JIS X 0212, GB 2312, KS C 5601, the upper halves of Latin-1
 * and Greek. */
static gboolean
is_iso_2022_jp_2(const char *bytes, gsize len)
{
	return contains(bytes, len, "\x1b$(") || contains(bytes, len, "\x1b$A") ||
	       contains(bytes, len, "\x1b.");
}

static void
append_japanese(GString *out, Method method, char *bytes, gsize len)
{
	g_autoptr(GString) sjis = NULL;

	if (method == AS_ISO_2022_JP && is_iso_2022_jp_2(bytes, len)) {
		append_iconv(out, "ISO-2022-JP-2", bytes, len);
		return;
	}
	if (method == AS_EUC_JP && contains(bytes, len, "\x8f")) { /* JIS X 0212 */
		append_iconv(out, "EUC-JP-MS", bytes, len);
		return;
	}
	sjis = g_string_sized_new(len + 16);
	if (method == AS_EUC_JP)
		euc_to_sjis(sjis, (const guchar *)bytes, len);
	else
		jis_to_sjis(sjis, (const guchar *)bytes, len);
	append_iconv(out, "CP932", sjis->str, sjis->len);
}

/* @bytes are not changed; iconv's signature is what it is. */
static void
append_converted(GString *out, const Charset *charset, char *bytes, gsize len)
{
	switch (charset->method) {
	case AS_UTF8:
		append_utf8(out, bytes, len);
		break;
	case AS_UNLABELLED:
		if (g_utf8_validate_len(bytes, len, NULL))
			g_string_append_len(out, bytes, len);
		else
			append_iconv(out, WINDOWS_1252->iconv_name, bytes, len);
		break;
	case AS_ISO_2022_JP:
	case AS_EUC_JP:
		append_japanese(out, charset->method, bytes, len);
		break;
	case BY_ICONV:
		append_iconv(out, charset->iconv_name, bytes, len);
		break;
	}
}

static void
append_charset(GString *out, const Charset *charset, char *bytes, gsize len)
{
	gsize from = out->len;

	append_converted(out, charset, bytes, len);
	fold_controls(out, from);
}

/* Plain text between encoded words; @neighbour is the charset of one of them, or NULL. */
static void
append_plain(GString *out, const char *text, gsize len, const Charset *neighbour)
{
	g_autofree char *bytes = g_memdup2(text, len);
	const Charset *charset = UNLABELLED;
	gsize from = out->len;

	if (len == 0)
		return;
	if (contains(text, len, "\x1b$") || contains(text, len, "\x1b("))
		charset = JAPANESE; /* bare ISO-2022-JP, as before MIME */
	else if (neighbour != NULL && neighbour->method != AS_UTF8 &&
		 !g_utf8_validate_len(text, len, NULL))
		charset = neighbour;
	append_charset(out, charset, bytes, len);
	if (charset == neighbour && contains(out->str + from, out->len - from, REPLACEMENT)) {
		g_string_truncate(out, from); /* it was not that one either */
		append_charset(out, UNLABELLED, bytes, len);
	}
}

/* NULL when the charset is not one of ours. */
static const Charset *
charset_find(const char *label, gsize len)
{
	char key[CHARSET_MAX + 3];
	gsize n = 0;

	key[n++] = ' ';
	for (gsize i = 0; i < len && label[i] != '*'; i++) /* RFC 2231 5: *language */
		if (g_ascii_isalnum(label[i]))
			key[n++] = g_ascii_tolower(label[i]);
	if (n == 1)
		return UNLABELLED; /* "=??Q?...?=" */
	key[n++] = ' ';
	key[n] = '\0';
	for (gsize i = 0; i < G_N_ELEMENTS(charsets); i++)
		if (strstr(charsets[i].aliases, key) != NULL)
			return &charsets[i];
	return NULL;
}

/* "=?charset?B?text?=" at @p. The charset stays NULL when it is unknown. */
static gboolean
word_parse(const char *p, const char *end, const char *last_close, Word *word)
{
	const char *label = p + 2;
	const char *mark = label;

	while (mark < end && mark - label <= CHARSET_MAX && *mark != '?' && (guchar)*mark > ' ')
		mark++;
	if (end - mark < 3 || mark - label > CHARSET_MAX || mark[0] != '?' || mark[2] != '?')
		return FALSE;
	if (strchr("bBqQ", mark[1]) == NULL || mark[1] == '\0')
		return FALSE;
	word->text = mark + 3;
	if (last_close == NULL || word->text > last_close)
		return FALSE; /* no "?=" ahead: asked once for all, so that this stays linear */
	word->start = p;
	word->end = (const char *)memmem(word->text, end - word->text, "?=", 2);
	word->text_len = word->end - word->text;
	word->end += 2;
	word->base64 = mark[1] == 'b' || mark[1] == 'B';
	word->charset = charset_find(label, mark - label);
	return TRUE;
}

/* The first encoded word of a known charset from @p on. Bare ISO-2022-JP is jumped over: "=?" are
 * two halves of kanji there. */
static gboolean
word_find(const char *p, const char *end, const char *last_close, Word *word)
{
	while (end - p >= 2) {
		if (p[0] == 0x1b && p[1] == '$') {
			p = memmem(p, end - p, "\x1b(", 2);
			if (p == NULL)
				return FALSE;
		} else if (p[0] == '=' && p[1] == '?' && word_parse(p, end, last_close, word)) {
			if (word->charset != NULL)
				return TRUE;
			p = word->end;
			continue;
		}
		p++;
	}
	return FALSE;
}

static void
decode_q(GString *out, const char *text, gsize len)
{
	for (gsize i = 0; i < len; i++) {
		if (text[i] == '=' && i + 2 < len && g_ascii_isxdigit(text[i + 1]) &&
		    g_ascii_isxdigit(text[i + 2])) {
			g_string_append_c(out, (char)(g_ascii_xdigit_value(text[i + 1]) << 4 |
						      g_ascii_xdigit_value(text[i + 2])));
			i += 2;
		} else {
			g_string_append_c(out, text[i] == '_' ? ' ' : text[i]);
		}
	}
}

/* Lenient: other characters are skipped, missing padding is forgiven, text after the padding
 * ignored. */
static void
decode_base64(GString *out, const char *text, gsize len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	guint32 bits = 0;
	guint n = 0;

	for (gsize i = 0; i < len; i++) {
		const char *digit;

		if (text[i] == '=')
			break;
		digit = text[i] == '\0' ? NULL : strchr(digits, text[i]);
		if (digit == NULL)
			continue;
		bits = bits << 6 | (guint32)(digit - digits);
		if (++n == 4) {
			g_string_append_c(out, (char)(bits >> 16));
			g_string_append_c(out, (char)(bits >> 8));
			g_string_append_c(out, (char)bits);
			n = 0;
		}
	}
	if (n >= 2)
		g_string_append_c(out, (char)(bits >> (n == 2 ? 4 : 10)));
	if (n == 3)
		g_string_append_c(out, (char)(bits >> 2));
}

static gboolean
is_blank(const char *text, gsize len)
{
	while (len > 0 && is_wsp(*text)) {
		text++;
		len--;
	}
	return len == 0;
}

static gboolean
is_plain_ascii(const char *value, gsize len)
{
	for (gsize i = 0; i < len; i++) {
		guchar c = (guchar)value[i];

		if (c < 0x20 || c >= 0x7f || (c == '?' && i > 0 && value[i - 1] == '='))
			return FALSE;
	}
	return TRUE;
}

/* The last "?=", or NULL. */
static const char *
find_last_close(const char *value, gsize len)
{
	for (gsize i = len; i >= 2; i--)
		if (value[i - 2] == '?' && value[i - 1] == '=')
			return value + i - 2;
	return NULL;
}

void
mime_words_append(GString *out, const char *value, gsize len)
{
	g_autoptr(GString) joined = NULL; /* bytes of the words of one charset so far */
	const Charset *charset = NULL;	  /* of the last word */
	const char *p = value, *end = value + len;
	const char *last_close;
	Word word = {0};

	if (is_plain_ascii(value, len)) {
		g_string_append_len(out, value, len);
		return;
	}
	joined = g_string_new(NULL);
	last_close = find_last_close(value, len);
	while (p < end) {
		gboolean found = word_find(p, end, last_close, &word);
		gsize plain = (found ? word.start : end) - p;
		gboolean apart = !(found && charset != NULL && is_blank(p, plain));

		if (apart || (charset != NULL && charset != word.charset)) {
			if (charset != NULL)
				append_charset(out, charset, joined->str, joined->len);
			g_string_truncate(joined, 0);
		}
		if (apart)
			append_plain(out, p, plain,
				     charset != NULL ? charset
				     : found	     ? word.charset
						     : NULL);
		if (!found)
			return;
		charset = word.charset;
		if (word.base64)
			decode_base64(joined, word.text, word.text_len);
		else
			decode_q(joined, word.text, word.text_len);
		p = word.end;
	}
	if (charset != NULL)
		append_charset(out, charset, joined->str, joined->len);
}

void
mime_words_append_raw(GString *out, const char *text, gsize len)
{
	append_plain(out, text, len, NULL);
}

void
mime_words_append_charset(GString *out, const char *label, const char *bytes, gsize len,
			  gboolean fold)
{
	const Charset *charset = charset_find(label, strnlen(label, CHARSET_MAX));
	gsize from = out->len;

	if (charset == NULL)
		charset = UNLABELLED;
	if (charset == UNLABELLED &&
	    (contains(bytes, len, "\x1b$") || contains(bytes, len, "\x1b(")))
		charset = JAPANESE;
	append_converted(out, charset, (char *)bytes, len);
	if (fold)
		fold_controls(out, from);
}
