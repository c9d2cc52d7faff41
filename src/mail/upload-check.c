/* SPDX-License-Identifier: MIT */
#include "mail/upload-check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "store/checksum.h"

#define PIECE	   65536
#define HEADER_MAX (1024 * 1024)
#define HEADER_CUT (256 * 1024)

static void
set_errno(GError **error, int err, const char *what)
{
	g_set_error(error, G_FILE_ERROR,
		    err == EDQUOT ? G_FILE_ERROR_NOSPC : g_file_error_from_errno(err), "%s: %s",
		    what, g_strerror(err));
}

gssize
upload_check_read(int fd, void *data, gsize size, guint64 offset, GError **error)
{
	gsize have = 0;

	while (have < size) {
		gssize n = pread(fd, (char *)data + have, size - have, (off_t)(offset + have));

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			set_errno(error, errno, "reading what was written");
			return -1;
		}
		have += (gsize)n;
	}
	return (gssize)have;
}

gboolean
upload_check_write(int fd, const void *data, gsize len, guint64 offset, GError **error)
{
	const char *p = data;

	while (len > 0) {
		gssize n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			set_errno(error, n < 0 ? errno : ENOSPC, "writing");
			return FALSE;
		}
		p += n;
		len -= (gsize)n;
		offset += (guint64)n;
	}
	return TRUE;
}

static gboolean
refuse(GError **error, const char *why)
{
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID, "no message: %s", why);
	return FALSE;
}

/* A name of printable characters but the colon; RFC 5322 4.5: perhaps blanks before it. */
gsize
upload_check_field_name(const char *text, gsize len)
{
	gsize at = 0, name;

	while (at < len && text[at] > ' ' && text[at] < 127 && text[at] != ':')
		at++;
	name = at;
	while (at < len && (text[at] == ' ' || text[at] == '\t'))
		at++;
	return at < len && text[at] == ':' ? name : 0;
}

static gboolean
check_beginning(const char *text, gsize len, GError **error)
{
	if (len == 0)
		return refuse(error, "it is empty");
	if (len >= 5 && memcmp(text, "From ", 5) == 0)
		return refuse(error, "it begins with the \"From \" line of an mbox file; write its "
				     "messages one by one, without that line");
	/* No header at all: servers hold such messages, and a backup of them must go back. With
	 * that line end nobody has typed it. */
	if (len >= 2 && memcmp(text, "\r\n", 2) == 0)
		return TRUE;
	if (upload_check_field_name(text, len) == 0)
		return refuse(error, "it does not begin with a header field such as \"Subject:\"");
	return TRUE;
}

/* What one piece does not decide alone. */
typedef struct {
	guint64 line;	  /* octets in this line */
	guint64 number;	  /* lines before it */
	gboolean in_body; /* an empty line was seen */
	char last;
} Lines;

static void
end_line(Lines *lines, UploadChecked *out)
{
	lines->number++;
	if (lines->line > out->longest) {
		out->longest = lines->line;
		out->longest_number = lines->number;
	}
	lines->in_body = lines->in_body || lines->line == 0;
	lines->line = 0;
}

static gboolean
check_piece(Lines *lines, const char *text, gsize len, UploadChecked *out, GError **error)
{
	for (gsize i = 0; i < len; i++) {
		char c = text[i];

		if (lines->last == '\r' && c != '\n')
			return refuse(error, "it has a carriage return that ends no line");
		if (c == '\0')
			return refuse(error, "it has a NUL octet");
		if (c == '\n') {
			out->bare_lf = out->bare_lf || lines->last != '\r';
			if (!lines->in_body)
				out->header++;
			end_line(lines, out);
			lines->last = c;
			continue;
		}
		lines->line += c != '\r';
		if (lines->in_body)
			out->eight_bit = out->eight_bit || (guchar)c > 127;
		else if (++out->header > HEADER_MAX)
			return refuse(error, "its header has no end within 1 MiB");
		lines->last = c;
	}
	return TRUE;
}

gboolean
upload_check(int fd, UploadChecked *out, GError **error)
{
	g_autofree char *piece = g_malloc(PIECE);
	Lines lines = {0};
	gssize n;

	*out = (UploadChecked){0};
	do {
		n = upload_check_read(fd, piece, PIECE, out->size, error);
		if (n < 0 || (out->size == 0 && !check_beginning(piece, (gsize)n, error)) ||
		    !check_piece(&lines, piece, (gsize)n, out, error))
			return FALSE;
		out->crc = checksum(out->crc, piece, (gsize)n);
		out->size += (guint64)n;
	} while (n == PIECE);
	if (lines.last == '\r')
		return refuse(error, "it has a carriage return that ends no line");
	out->is_ended = lines.last == '\n';
	end_line(&lines, out);
	return TRUE;
}

gboolean
upload_check_convert(int in, int out, UploadChecked *checked_out, GError **error)
{
	*checked_out = (UploadChecked){0};
	return upload_check_convert_rest(in, 0, out, checked_out, error);
}

gboolean
upload_check_convert_rest(int in, guint64 from, int out, UploadChecked *checked, GError **error)
{
	g_autofree char *piece = g_malloc(PIECE);
	g_autoptr(GString) lines = g_string_sized_new(PIECE + PIECE / 16);
	guint64 at = from;
	char last = '\0';
	gssize n;

	do {
		n = upload_check_read(in, piece, PIECE, at, error);
		if (n < 0)
			return FALSE;
		g_string_truncate(lines, 0);
		for (gssize i = 0; i < n; i++) {
			if (piece[i] == '\n' && last != '\r')
				g_string_append_c(lines, '\r');
			g_string_append_c(lines, piece[i]);
			last = piece[i];
		}
		if (!upload_check_write(out, lines->str, lines->len, checked->size, error))
			return FALSE;
		checked->crc = checksum(checked->crc, lines->str, lines->len);
		checked->size += lines->len;
		at += (guint64)n;
	} while (n == PIECE);
	return TRUE;
}

char *
upload_check_header(int fd, gsize *len_out, GError **error)
{
	g_autofree char *header = g_malloc(HEADER_CUT + 1);
	gsize have = 0;
	gssize n;
	char *end = NULL;

	do {
		n = upload_check_read(fd, header + have, MIN(4096, HEADER_CUT - have), have, error);
		if (n < 0)
			return NULL;
		have += (gsize)n;
		header[have] = '\0';
		end = strstr(header, "\r\n\r\n");
	} while (end == NULL && n == 4096 && have < HEADER_CUT);
	*len_out = end != NULL ? (gsize)(end + 4 - header) : have;
	header[*len_out] = '\0';
	return g_realloc(g_steal_pointer(&header), *len_out + 1);
}

static gboolean
is_named(const char *line, gsize len)
{
	static const char *const names[] = {"Date", "From", "Subject", "Message-ID"};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		gsize at = strlen(names[i]);

		if (len <= at || g_ascii_strncasecmp(line, names[i], at) != 0)
			continue;
		while (at < len && (line[at] == ' ' || line[at] == '\t'))
			at++;
		if (at < len && line[at] == ':')
			return TRUE;
	}
	return FALSE;
}

char *
upload_check_fields(const char *header, gsize len, gsize *len_out)
{
	GString *fields = g_string_new(NULL);
	gboolean wanted = FALSE;

	for (const char *line = header; line < header + len;) {
		const char *feed = memchr(line, '\n', (gsize)(header + len - line));
		const char *next = feed != NULL ? feed + 1 : header + len;

		if (line[0] == '\r' || line[0] == '\n')
			break;
		if (line[0] != ' ' && line[0] != '\t')
			wanted = is_named(line, (gsize)(next - line));
		if (wanted && feed != NULL)
			g_string_append_len(fields, line, next - line);
		line = next;
	}
	g_string_append(fields, "\r\n");
	*len_out = fields->len;
	return g_string_free(fields, FALSE);
}
