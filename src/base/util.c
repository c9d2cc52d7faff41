/* SPDX-License-Identifier: MIT */
#include "base/util.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Characters that reorder, hide or break text on a terminal though they are no control characters.
 */
static gboolean
is_deceptive(gunichar c)
{
	return c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

/* The length of the character at @p when it may be shown as it is, else 0. */
static gsize
shown_length(const char *p, gsize left)
{
	gunichar c = g_utf8_get_char_validated(p, (gssize)left);

	if (c == (gunichar)-1 || c == (gunichar)-2 || c < 0x20 || (c >= 0x7f && c < 0xa0) ||
	    is_deceptive(c))
		return 0;
	return g_utf8_skip[(guchar)*p];
}

char *
util_printable(const char *text, gssize len, gsize max_bytes)
{
	static const char ellipsis[] = "…";
	GString *out = g_string_new(NULL);
	gsize cut = 0; /* where to cut so that the ellipsis still fits */
	const char *end;

	if (text == NULL)
		return g_string_free(out, FALSE);
	end = text + (len < 0 ? strlen(text) : (gsize)len);
	for (const char *p = text; p < end;) {
		gsize n = shown_length(p, (gsize)(end - p));

		if (n > 0)
			g_string_append_len(out, p, (gssize)n);
		else
			g_string_append_printf(out, "\\x%02x", (guchar)*p);
		p += MAX(n, 1);
		if (out->len > max_bytes) {
			g_string_truncate(out, cut);
			if (max_bytes >= strlen(ellipsis))
				g_string_append(out, ellipsis);
			break;
		}
		if (out->len + strlen(ellipsis) <= max_bytes)
			cut = out->len;
	}
	return g_string_free(out, FALSE);
}

gboolean
util_parse_size(const char *text, guint64 *out)
{
	static const char units[] = "KMGT";
	char *end;
	guint64 value;
	const char *unit;

	if (!g_ascii_isdigit(*text))
		return FALSE;
	errno = 0;
	value = g_ascii_strtoull(text, &end, 10);
	if (errno != 0)
		return FALSE;
	if (*end != '\0') {
		unit = strchr(units, g_ascii_toupper(*end));
		if (unit == NULL || end[1] != '\0')
			return FALSE;
		for (const char *u = units; u <= unit; u++)
			if (!g_uint64_checked_mul(&value, value, 1024))
				return FALSE;
	}
	*out = value;
	return TRUE;
}

char *
util_format_size(guint64 bytes)
{
	return g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);
}

void
util_wipe(void *memory, gsize len)
{
	explicit_bzero(memory, len);
}

void
util_free_secret(char *secret)
{
	if (secret == NULL)
		return;
	util_wipe(secret, strlen(secret));
	g_free(secret);
}

void
util_close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}
