/* SPDX-License-Identifier: MIT */
#include "proto/smtp-content.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"

enum {
	MAX_LOCAL = 64, /* RFC 5321 4.5.3.1 */
	MAX_DOMAIN = 255,
	SHOWN_TEXT = 120,
	MAX_ENVELOPE_ID = 100, /* RFC 3461 4.4 */
};

/* Addresses
 * -------------------------------------------------------------------------------------------------------
 */

/* The length of a quoted local part with its quotes; 0: it does not end. */
static gsize
quoted_length(const char *text)
{
	for (gsize i = 1; text[i] != '\0'; i++) {
		if (text[i] == '"')
			return i + 1;
		if (text[i] == '\\' && text[i + 1] != '\0')
			i++;
	}
	return 0;
}

static gsize
local_length(const char *address)
{
	return *address == '"' ? quoted_length(address) : strcspn(address, " \"(),:;<>@[\\]");
}

static gboolean
is_domain(const char *domain)
{
	gsize len = strlen(domain);

	if (len == 0 || len > MAX_DOMAIN)
		return FALSE;
	if (*domain == '[')
		return len > 2 && domain[len - 1] == ']' &&
		       strspn(domain + 1, "0123456789abcdefABCDEFIPv:.") == len - 2;
	for (const char *p = domain; *p != '\0'; p++)
		if (!g_ascii_isalnum(*p) && strchr(".-_", *p) == NULL && (guchar)*p < 0x80)
			return FALSE;
	return TRUE;
}

gboolean
smtp_address_check(const char *address, gboolean *wide_out, GError **error)
{
	gsize local = local_length(address);
	gboolean good = local > 0 && local <= MAX_LOCAL && g_utf8_validate(address, -1, NULL) &&
			(address[local] == '\0' ||
			 (address[local] == '@' && is_domain(address + local + 1)));

	*wide_out = FALSE;
	for (const char *p = address; *p != '\0'; p++) {
		good = good && !g_ascii_iscntrl(*p);
		*wide_out = *wide_out || (guchar)*p >= 0x80;
	}
	if (!good) {
		g_autofree char *shown = util_printable(address, -1, SHOWN_TEXT);

		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "\"%s\" is no address that mail can be sent to", shown);
	}
	return good;
}

/* Notifications
 * -------------------------------------------------------------------------------------------------------
 */

gboolean
smtp_is_notify(const char *text)
{
	static const char *const cases[] = {"SUCCESS", "FAILURE", "DELAY", NULL};
	g_auto(GStrv) words = g_strsplit(text, ",", -1);

	if (strcmp(text, "NEVER") == 0)
		return TRUE;
	for (gsize i = 0; words[i] != NULL; i++)
		if (!g_strv_contains(cases, words[i]))
			return FALSE;
	return words[0] != NULL;
}

gboolean
smtp_is_return(const char *text)
{
	return strcmp(text, "FULL") == 0 || strcmp(text, "HDRS") == 0;
}

gboolean
smtp_is_envelope_id(const char *text)
{
	gsize len = strlen(text);

	for (gsize i = 0; i < len; i++)
		if (!g_ascii_isgraph(text[i]))
			return FALSE;
	return len > 0 && len <= MAX_ENVELOPE_ID;
}

/* The bytes
 * -------------------------------------------------------------------------------------------------------
 */

void
smtp_content_init(SmtpContent *content, int fd, guint64 size)
{
	*content = (SmtpContent){.fd = fd, .size = size, .last = '\n'};
}

void
smtp_content_clear(SmtpContent *content)
{
	g_clear_pointer(&content->kept, g_free);
}

static gboolean
invalid(const char *what, GError **error)
{
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID, "the message %s: it is not sent",
		    what);
	return FALSE;
}

static gboolean
check_piece(SmtpContent *content, const guint8 *data, gsize len, GError **error)
{
	const guint8 *end = data + len;
	guint8 last = content->last;
	guint8 all = 0;

	for (gsize i = 0; i < len; i++)
		all |= data[i];
	content->eight_bit = content->eight_bit || (all & 0x80) != 0;
	if (memchr(data, '\0', len) != NULL)
		return invalid("holds a NUL", error);
	if (last == '\r' && *data != '\n')
		return invalid("holds a CR without LF", error);
	for (const guint8 *p = data; p < end;) {
		const guint8 *line_end = memchr(p, '\n', (gsize)(end - p));
		const guint8 *stop = line_end != NULL ? line_end : end - 1;
		const guint8 *cr = memchr(p, '\r', (gsize)(stop - p));

		if (cr != NULL && (line_end == NULL || cr != line_end - 1))
			return invalid("holds a CR without LF", error);
		if (line_end != NULL && (line_end > p ? line_end[-1] : last) != '\r')
			return invalid("holds an LF without CR", error);
		last = *stop;
		p = stop + 1;
	}
	content->last = end[-1];
	return TRUE;
}

/* Reads just @len bytes, all of which must be there. */
static gboolean
read_bytes(const SmtpContent *content, guint8 *buffer, gsize len, GError **error)
{
	gsize done = 0;

	while (done < len) {
		ssize_t n = pread(content->fd, buffer + done, len - done,
				  (off_t)(content->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(errno),
				    "cannot read the message: %s", g_strerror(errno));
			return FALSE;
		}
		if (n == 0)
			return invalid("has become shorter", error);
		done += (gsize)n;
	}
	return TRUE;
}

gssize
smtp_content_read(SmtpContent *content, guint8 *buffer, const guint8 **data_out, GError **error)
{
	gsize len = (gsize)MIN(content->size - content->offset, (guint64)SMTP_CONTENT_PIECE);

	*data_out = buffer;
	if (content->kept != NULL)
		*data_out = content->kept + content->offset;
	else if (len > 0 && (!read_bytes(content, buffer, len, error) ||
			     !check_piece(content, buffer, len, error)))
		return -1;
	content->offset += len;
	if (content->offset == content->size && content->last != '\n') {
		invalid("ends within a line", error);
		return -1;
	}
	return (gssize)len;
}

gboolean
smtp_content_check(SmtpContent *content, GError **error)
{
	g_autofree guint8 *buffer = g_malloc(SMTP_CONTENT_PIECE);
	const guint8 *data;
	gssize n;

	if (content->size == 0)
		return invalid("is empty", error);
	do
		n = smtp_content_read(content, buffer, &data, error);
	while (n > 0);
	if (n < 0)
		return FALSE;
	if (content->size <= SMTP_CONTENT_PIECE)
		content->kept = g_memdup2(buffer, (gsize)content->size);
	content->offset = 0;
	content->last = '\n';
	return TRUE;
}

void
smtp_stuff_dots(const guint8 *data, gsize len, guint8 last, SmtpSink sink, gpointer user)
{
	const guint8 *end = data + len;
	const guint8 *run = data; /* what is not given away yet begins here */
	const guint8 *p = data;

	while (p < end) {
		if (*p == '.' && last == '\n') {
			sink(user, run, (gsize)(p - run));
			sink(user, ".", 1);
			run = p;
		}
		p = memchr(p, '\n', (gsize)(end - p));
		if (p == NULL)
			break;
		p++;
		last = '\n';
	}
	if (run < end)
		sink(user, run, (gsize)(end - run));
}
