/* SPDX-License-Identifier: MIT */
/* A command may carry a password, so its bytes are never left behind in freed memory: a growing
 * piece is copied and the old one wiped, and a finished one is wiped when its GBytes goes. */
#include "proto/imap-writer.h"

#include <string.h>

#include "base/error.h"
#include "base/util.h"

#define LONGEST_QUOTED 1000 /* some servers limit a line, none a literal */

typedef struct {
	char *data;
	gsize len;
	gsize allocated;
} Piece;

struct ImapWriter {
	char *verb; /* for the error text */
	gboolean literal_plus;
	Piece *piece;	   /* being written */
	GPtrArray *pieces; /* of GBytes, finished */
	GError *error;	   /* the first thing that was wrong */
};

static void
piece_free(gpointer data)
{
	Piece *piece = data;

	util_wipe(piece->data, piece->len);
	g_free(piece->data);
	g_free(piece);
}

static Piece *
piece_new(void)
{
	Piece *piece = g_new0(Piece, 1);

	piece->allocated = 128;
	piece->data = g_malloc(piece->allocated);
	return piece;
}

static void
append(ImapWriter *writer, const char *text, gsize len)
{
	Piece *piece = writer->piece;

	if (len > piece->allocated - piece->len) {
		gsize allocated = 2 * (piece->len + len);
		char *data = g_malloc(allocated);

		memcpy(data, piece->data, piece->len);
		util_wipe(piece->data, piece->len);
		g_free(piece->data);
		piece->data = data;
		piece->allocated = allocated;
	}
	memcpy(piece->data + piece->len, text, len);
	piece->len += len;
}

static void
append_text(ImapWriter *writer, const char *text)
{
	append(writer, text, strlen(text));
}

static void
end_piece(ImapWriter *writer)
{
	Piece *piece = g_steal_pointer(&writer->piece);

	g_ptr_array_add(writer->pieces,
			g_bytes_new_with_free_func(piece->data, piece->len, piece_free, piece));
}

/* The argument stays out of the text: it may be a password. */
static void
refuse(ImapWriter *writer, const char *why)
{
	if (writer->error == NULL)
		g_set_error(&writer->error, MAILFS_ERROR, MAILFS_ERROR_INVALID,
			    "%s was not sent: one of its arguments %s", writer->verb, why);
}

gboolean
imap_is_string(const char *text)
{
	return strpbrk(text, "\r\n") == NULL;
}

/* RFC 3501 ATOM-CHAR. */
static gboolean
is_atom_char(char c)
{
	return g_ascii_isgraph(c) && strchr("(){%*\"\\]", c) == NULL;
}

gboolean
imap_is_atom(const char *text)
{
	if (*text == '\0')
		return FALSE;
	while (*text != '\0' && is_atom_char(*text))
		text++;
	return *text == '\0';
}

/* NIL is an atom with a meaning of its own, and a leading "+" or "~" could be taken for more than a
 * letter. */
static gboolean
is_safe_atom(const char *text)
{
	return imap_is_atom(text) && strchr("+~", *text) == NULL &&
	       g_ascii_strcasecmp(text, "NIL") != 0;
}

static gboolean
is_quotable(const char *text)
{
	const char *p = text;

	while (*p != '\0' && g_ascii_isprint(*p))
		p++;
	return *p == '\0' && p - text <= LONGEST_QUOTED;
}

static void
append_quoted(ImapWriter *writer, const char *text)
{
	append_text(writer, "\"");
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			append_text(writer, "\\");
		append(writer, p, 1);
	}
	append_text(writer, "\"");
}

static void
append_literal(ImapWriter *writer, const char *text)
{
	g_autofree char *header = g_strdup_printf("{%" G_GSIZE_FORMAT "%s}\r\n", strlen(text),
						  writer->literal_plus ? "+" : "");

	append_text(writer, header);
	if (!writer->literal_plus) {
		end_piece(writer);
		writer->piece = piece_new();
	}
	append_text(writer, text);
}

/* The one door for text from outside. */
static void
append_string(ImapWriter *writer, const char *text, gboolean atom_allowed)
{
	if (!imap_is_string(text)) {
		refuse(writer, "holds a line break, which IMAP cannot carry");
		return;
	}
	append_text(writer, " ");
	if (atom_allowed && is_safe_atom(text) && strlen(text) <= LONGEST_QUOTED)
		append_text(writer, text);
	else if (is_quotable(text))
		append_quoted(writer, text);
	else
		append_literal(writer, text);
}

ImapWriter *
imap_writer_new(const char *tag, const char *verb, gboolean literal_plus)
{
	ImapWriter *writer = g_new0(ImapWriter, 1);

	writer->verb = g_strdup(verb);
	writer->literal_plus = literal_plus;
	writer->piece = piece_new();
	writer->pieces = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	append_text(writer, tag);
	imap_writer_raw(writer, verb);
	return writer;
}

void
imap_writer_free(ImapWriter *writer)
{
	if (writer == NULL)
		return;
	g_free(writer->verb);
	g_clear_pointer(&writer->piece, piece_free);
	g_clear_pointer(&writer->pieces, g_ptr_array_unref);
	g_clear_error(&writer->error);
	g_free(writer);
}

void
imap_writer_atom(ImapWriter *writer, const char *atom)
{
	if (!imap_is_atom(atom)) {
		refuse(writer, "is no IMAP atom (ASCII letters, digits and some signs)");
		return;
	}
	append_text(writer, " ");
	append_text(writer, atom);
}

void
imap_writer_string(ImapWriter *writer, const char *string)
{
	append_string(writer, string, TRUE);
}

void
imap_writer_mailbox(ImapWriter *writer, const char *raw_name)
{
	append_string(writer, raw_name, FALSE);
}

void
imap_writer_raw(ImapWriter *writer, const char *text)
{
	if (!imap_is_string(text)) {
		refuse(writer, "holds a line break, which IMAP cannot carry");
		return;
	}
	append_text(writer, " ");
	append_text(writer, text);
}

guint
imap_writer_literal(ImapWriter *writer, guint64 size, gboolean waits)
{
	g_autofree char *header =
		g_strdup_printf(" {%" G_GUINT64_FORMAT "%s}\r\n", size, waits ? "" : "+");

	append_text(writer, header);
	end_piece(writer);
	writer->piece = piece_new();
	return writer->pieces->len - 1;
}

GPtrArray *
imap_writer_finish(ImapWriter *writer, GError **error)
{
	if (writer->error != NULL) {
		g_propagate_error(error, g_steal_pointer(&writer->error));
		return NULL;
	}
	append_text(writer, "\r\n");
	end_piece(writer);
	return g_steal_pointer(&writer->pieces);
}
