/* SPDX-License-Identifier: MIT */
#include "send-message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "mail/address.h"
#include "mail/mime.h"
#include "mail/upload-check.h"

#define PIECE 65536

static gboolean
fail(GError **error, const char *what)
{
	int err = errno;

	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(err), "%s: %s", what,
		    g_strerror(err));
	return FALSE;
}

static int
unnamed_file(GError **error)
{
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("mailfs-send-XXXXXX", &path, error);

	if (fd >= 0)
		unlink(path);
	return fd;
}

/* Input by lines, however long they are: a line may come in several pieces. */
typedef struct {
	int out;
	guint64 size;
	gboolean whole;
	gboolean begun;	      /* the first line was looked at */
	gboolean in_line;     /* the last piece ended without a line end */
	gboolean in_postmark; /* of an mbox: left out */
	GString *piece;
} Input;

static gboolean
flush(Input *input, GError **error)
{
	if (!upload_check_write(input->out, input->piece->str, input->piece->len, input->size,
				error))
		return FALSE;
	input->size += input->piece->len;
	g_string_truncate(input->piece, 0);
	return TRUE;
}

/* The first line of all: an mbox's own is dropped, a text without a header gets one. */
static void
take_first(Input *input, const char *line, gsize len)
{
	input->begun = TRUE;
	input->in_postmark = len >= 5 && memcmp(line, "From ", 5) == 0;
	if (input->in_postmark) {
		input->begun = FALSE;
		return;
	}
	if (upload_check_field_name(line, len) > 0)
		return;
	g_string_append(input->piece, "MIME-Version: 1.0\n");
	if (line[0] != '\n' && line[0] != '\r')
		g_string_append_c(input->piece, '\n');
}

static gboolean
is_lone_dot(const char *line, gsize len)
{
	return line[0] == '.' && (len == 1 || line[1] == '\n' || (len == 3 && line[1] == '\r'));
}

/* A line, or a piece of one. FALSE: it was the end, or an error is set. */
static gboolean
take_line(Input *input, const char *line, gsize len, GError **error)
{
	gboolean is_new = !input->in_line;

	input->in_line = line[len - 1] != '\n';
	if (is_new && !input->whole && is_lone_dot(line, len))
		return FALSE;
	if (is_new && !input->begun)
		take_first(input, line, len);
	if (input->in_postmark) {
		input->in_postmark = input->in_line;
		return TRUE;
	}
	g_string_append_len(input->piece, line, (gssize)len);
	return input->piece->len < PIECE || flush(input, error);
}

static gboolean
read_lines(FILE *stream, Input *input, GError **error)
{
	g_autofree char *line = g_malloc(PIECE);
	g_autoptr(GError) problem = NULL;
	size_t len;

	do {
		int c = 0;

		for (len = 0; len < PIECE && c != '\n' && (c = getc(stream)) != EOF; len++)
			line[len] = (char)c;
	} while (len > 0 && take_line(input, line, len, &problem));
	if (problem == NULL && ferror(stream))
		fail(&problem, "standard input");
	if (problem == NULL)
		return flush(input, error);
	g_propagate_error(error, g_steal_pointer(&problem));
	return FALSE;
}

int
send_message_read(FILE *in, gboolean whole, GError **error)
{
	g_auto(UtilFd) out = unnamed_file(error);
	g_autoptr(GString) piece = g_string_sized_new(PIECE * 2);
	Input input = {.out = out, .whole = whole, .piece = piece};

	if (out < 0 || !read_lines(in, &input, error))
		return -1;
	if (input.size > 0)
		return util_steal_fd(&out);
	g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "nothing came from standard input, and an empty message is not sent");
	return -1;
}

char *
send_message_author(int fd)
{
	gsize len;
	g_autofree char *header = upload_check_header(fd, &len, NULL);
	g_autofree char *from = header != NULL ? mime_header_field(header, len, "From") : NULL;
	g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);

	if (from == NULL || !address_list_parse(from, strlen(from), addresses, 10, NULL) ||
	    addresses->len == 0)
		return NULL;
	return g_strdup(addresses->pdata[0]);
}

/* An argument may hold several addresses. */
static gboolean
take_recipients(const SendOptions *options, const char *address, GPtrArray *out, GError **error)
{
	for (guint i = 0; i < options->recipients->len; i++) {
		const char *word = options->recipients->pdata[i];
		const char *meant = strchr(word, '@') != NULL ? word : address;

		if (!address_list_parse(meant, strlen(meant), out, COMPOSE_RECIPIENTS_MAX, error))
			return FALSE;
	}
	return TRUE;
}

/* What the header says besides the arguments. */
static gboolean
add_header_recipients(int fd, const char *address, GPtrArray *out, GError **error)
{
	ComposeOptions plain = {.address = address};
	g_autoptr(Composed) composed = compose_read(fd, &plain, error);

	if (composed == NULL)
		return FALSE;
	for (guint i = 0; composed->recipients[i] != NULL; i++)
		if (!address_list_parse(composed->recipients[i], strlen(composed->recipients[i]),
					out, COMPOSE_RECIPIENTS_MAX, error))
			return FALSE;
	return TRUE;
}

static const char *
sender_of(const SendOptions *options, const char *address)
{
	const char *sender = options->sender;

	if (sender == NULL)
		return address;
	if (*sender == '\0' || strcmp(sender, "<>") == 0)
		return "";
	return strchr(sender, '@') != NULL ? sender : address;
}

int
send_message_compose(int fd, const SendOptions *options, const char *address, GError **error)
{
	g_autoptr(GPtrArray) recipients = g_ptr_array_new_with_free_func(g_free);
	ComposeOptions compose = {
		.address = address,
		.name = options->name,
		.sender = sender_of(options, address),
		.notify = options->notify,
		.return_what = options->return_what,
		.envelope_id = options->envelope_id,
	};
	ComposeWritten written;
	g_auto(UtilFd) out = -1;

	if (!take_recipients(options, address, recipients, error) ||
	    (options->from_header && recipients->len > 0 &&
	     !add_header_recipients(fd, address, recipients, error)))
		return -1;
	g_ptr_array_add(recipients, NULL);
	if (recipients->len > 1)
		compose.recipients = (const char *const *)recipients->pdata;
	out = unnamed_file(error);
	if (out < 0 || !compose_complete(fd, out, &compose, &written, error))
		return -1;
	return util_steal_fd(&out);
}
