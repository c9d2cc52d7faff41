/* SPDX-License-Identifier: MIT */
/* Text is converted in pieces that end with a line: there every charset of mail is back in its
 * first state, and no character is cut. */
#include "mail/mime-decode.h"

#include <string.h>

#include "mail/mime-html.h"
#include "mail/mime-words.h"

#define PIECE	   (256 * 1024) /* bytes of text converted at once */
#define BLOCK	   (48 * 1024)	/* bytes decoded at once */
#define SNIFF_META 2048		/* bytes of HTML in which it may tell its charset */

/* --- transfer encodings
 * ----------------------------------------------------------------------------- */

typedef struct {
	char block[BLOCK];
	gsize used;
	MimeSink sink;
	gpointer user;
	gboolean ok;
} Output;

static void
output_flush(Output *out)
{
	if (out->used > 0 && out->ok)
		out->ok = out->sink(out->user, out->block, out->used);
	out->used = 0;
}

static inline void
output_byte(Output *out, guint byte)
{
	out->block[out->used++] = (char)byte;
	if (out->used == BLOCK)
		output_flush(out);
}

/* 0…63; 64: no digit; 65: padding. */
static void
base64_table(guint8 table[256])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	memset(table, 64, 256);
	for (guint i = 0; i < 64; i++)
		table[(guchar)digits[i]] = (guint8)i;
	table['='] = 65;
}

/* Other characters are skipped; padding ends it, as RFC 2045 has it: what list servers put after it
 * is not base64. */
static void
decode_base64(Output *out, const guchar *in, gsize len)
{
	guint8 table[256];
	guint32 bits = 0;
	guint n = 0;
	gsize i = 0;

	base64_table(table);
	while (i < len && out->ok) {
		guint8 digit;

		if (n == 0 && len - i >= 4 && out->used + 3 < BLOCK) { /* the common case */
			guint8 a = table[in[i]], b = table[in[i + 1]], c = table[in[i + 2]],
			       d = table[in[i + 3]];

			if (((a | b | c | d) & 64) == 0) {
				output_byte(out, (guint)a << 2 | b >> 4);
				output_byte(out, (guint)b << 4 | c >> 2);
				output_byte(out, (guint)c << 6 | d);
				i += 4;
				continue;
			}
		}
		digit = table[in[i++]];
		if (digit == 65 && n >= 2)
			break;
		if (digit >= 64)
			continue;
		bits = bits << 6 | digit;
		if (++n == 4) {
			output_byte(out, bits >> 16);
			output_byte(out, bits >> 8);
			output_byte(out, bits);
			n = 0;
		}
	}
	if (n >= 2)
		output_byte(out, bits >> (n == 2 ? 4 : 10));
	if (n == 3)
		output_byte(out, bits >> 2);
}

/* Where a soft line break whose `=` is before @pos ends; @pos itself when it is none. */
static gsize
soft_break(const guchar *in, gsize len, gsize pos)
{
	gsize i = pos;

	while (i < len && (in[i] == ' ' || in[i] == '\t'))
		i++;
	if (i == len)
		return i;
	if (in[i] == '\r' && i + 1 < len && in[i + 1] == '\n')
		return i + 2;
	return in[i] == '\n' ? i + 1 : pos;
}

static void
decode_quoted(Output *out, const guchar *in, gsize len)
{
	for (gsize i = 0; i < len && out->ok; i++) {
		gsize after;

		if (in[i] != '=') {
			output_byte(out, in[i]);
			continue;
		}
		if (len - i > 2 && g_ascii_isxdigit((char)in[i + 1]) &&
		    g_ascii_isxdigit((char)in[i + 2])) {
			output_byte(out, (guint)g_ascii_xdigit_value((char)in[i + 1]) << 4 |
						 (guint)g_ascii_xdigit_value((char)in[i + 2]));
			i += 2;
			continue;
		}
		after = soft_break(in, len, i + 1);
		if (after == i + 1 && after < len)
			output_byte(out, '=');
		else
			i = after - 1;
	}
}

gboolean
mime_decode_bytes(const char *message, const MimePart *part, MimeSink sink, gpointer user)
{
	const guchar *in = (const guchar *)message + part->offset;
	g_autofree Output *out = NULL;

	if (part->encoding == MIME_IDENTITY)
		return part->len == 0 || sink(user, message + part->offset, part->len);
	out = g_new(Output, 1);
	out->used = 0;
	out->sink = sink;
	out->user = user;
	out->ok = TRUE;
	if (part->encoding == MIME_BASE64)
		decode_base64(out, in, part->len);
	else
		decode_quoted(out, in, part->len);
	output_flush(out);
	return out->ok;
}

/* --- text
 * ------------------------------------------------------------------------------------------- */

typedef struct {
	char charset[64];
	gboolean sniff; /* HTML that may tell its charset itself */
	MimeHtml *html; /* NULL: no tags to strip */
	MimeSink sink;
	gpointer user;
	GString *raw;  /* not yet converted */
	GString *text; /* converted */
	gboolean after_cr;
} Flow;

/* The charset of <meta charset="x"> or <meta … content="text/html; charset=x">. */
static void
sniff_charset(Flow *flow)
{
	g_autofree char *head =
		g_ascii_strdown(flow->raw->str, (gssize)MIN(flow->raw->len, SNIFF_META));
	const char *mark = strstr(head, "charset=");

	flow->sniff = FALSE;
	if (mark == NULL || strstr(head, "<meta") == NULL)
		return;
	mark += strlen("charset=");
	mark += strspn(mark, "\"' ");
	g_snprintf(flow->charset, sizeof flow->charset, "%.*s", (int)strcspn(mark, "\"'>; /"),
		   mark);
}

/* In place: CRLF and CR become LF, other controls a space. */
static void
clean_text(Flow *flow)
{
	guchar *text = (guchar *)flow->text->str;
	gsize kept = 0;

	for (gsize i = 0; i < flow->text->len; i++) {
		guchar c = text[i];
		gboolean after_cr = flow->after_cr;

		flow->after_cr = c == '\r';
		if (c == '\n' && after_cr)
			continue;
		if (c == 0xc2 && text[i + 1] >= 0x80 && text[i + 1] < 0xa0) { /* C1 */
			text[kept++] = ' ';
			i++;
		} else if (c == '\r') {
			text[kept++] = '\n';
		} else {
			text[kept++] = (c < 0x20 && c != '\t' && c != '\n') || c == 0x7f ? ' ' : c;
		}
	}
	g_string_truncate(flow->text, kept);
}

static gboolean
convert(Flow *flow, gsize len)
{
	if (flow->sniff)
		sniff_charset(flow);
	g_string_truncate(flow->text, 0);
	mime_words_append_charset(flow->text, flow->charset, flow->raw->str, len, FALSE);
	g_string_erase(flow->raw, 0, (gssize)len);
	clean_text(flow);
	if (flow->html != NULL)
		return mime_html_feed(flow->html, flow->text->str, flow->text->len);
	return flow->text->len == 0 || flow->sink(flow->user, flow->text->str, flow->text->len);
}

static gsize
piece_length(const GString *raw)
{
	const char *lf = memrchr(raw->str, '\n', raw->len);

	return lf != NULL ? (gsize)(lf - raw->str) + 1 : raw->len;
}

static gboolean
take_bytes(gpointer user, const char *data, gsize len)
{
	Flow *flow = user;

	while (len > 0) {
		gsize n = MIN(len, BLOCK);
		gsize from = flow->raw->len, kept = from;

		g_string_append_len(flow->raw, data, (gssize)n);
		for (gsize i = from; i < flow->raw->len; i++)
			if (flow->raw->str[i] != '\0')
				flow->raw->str[kept++] = flow->raw->str[i];
		g_string_truncate(flow->raw, kept);
		data += n;
		len -= n;
		if (flow->raw->len >= PIECE && !convert(flow, piece_length(flow->raw)))
			return FALSE;
	}
	return TRUE;
}

static gboolean
decode_text(const char *message, const MimePart *part, gboolean strip, MimeSink sink, gpointer user)
{
	g_autoptr(GString) raw = g_string_new(NULL);
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(MimeHtml) html = strip ? mime_html_new(sink, user) : NULL;
	Flow flow = {.html = html, .sink = sink, .user = user, .raw = raw, .text = text};

	g_strlcpy(flow.charset, part->charset, sizeof flow.charset);
	flow.sniff = *part->charset == '\0' && strcmp(part->type, "text/html") == 0;
	if (!mime_decode_bytes(message, part, take_bytes, &flow) || !convert(&flow, raw->len))
		return FALSE;
	return html == NULL || mime_html_end(html);
}

gboolean
mime_decode_text(const char *message, const MimePart *part, MimeSink sink, gpointer user)
{
	return decode_text(message, part, FALSE, sink, user);
}

gboolean
mime_decode_stripped(const char *message, const MimePart *part, MimeSink sink, gpointer user)
{
	return decode_text(message, part, TRUE, sink, user);
}
