/* SPDX-License-Identifier: MIT */
/* What there is in a message is itself made by the digest, as a file that nobody sees: rows for
 * part 0, one for each file, with its exact size. So ls needs the body once, and tells no
 * estimate. */
#include "fs/view-parts.h"

#include <string.h>

#include "fs/digest.h"
#include "fs/mirror.h"
#include "mail/mime-decode.h"
#include "mail/mime.h"
#include "mail/name.h"

/* The part of a node. */
enum {
	PART_MESSAGE, /* the directory; its bytes: the rows */
	PART_HEADER,
	PART_TEXT,
	PART_HTML,
	PART_ATTACHMENTS, /* the directory */
	PART_FIRST,	  /* attachment; up to PART_LAST */
	PART_LAST = 127,
};

static const char *const fixed_names[] = {NULL, "header", "body.txt", "body.html", "attachments"};

typedef struct {
	guint64 size;
	guint part;
	char name[NAME_MAX_FILE + 12]; /* "~123" and NUL after it */
} Row;

typedef struct {
	View view;
	Digest *digest;
} Parts;

/* --- what is in a message
 * --------------------------------------------------------------------------- */

static gboolean
count_bytes(gpointer user, const char *data, gsize len)
{
	*(guint64 *)user += len;
	return TRUE;
}

/* The text of the body of one type. FALSE: it has none. The HTML is UTF-8 whatever its <meta> says,
 * which browsers believe when it begins with a byte order mark. */
static gboolean
write_body(const char *message, const GPtrArray *parts, const char *type, MimeSink sink,
	   gpointer user)
{
	gboolean html = strcmp(type, "text/html") == 0, found = FALSE;

	for (guint i = 0; i < parts->len; i++) {
		const MimePart *part = parts->pdata[i];

		if (!mime_part_is_body(part, type))
			continue;
		if (html && !found && *part->charset != '\0' &&
		    g_ascii_strcasecmp(part->charset, "us-ascii") != 0)
			sink(user, "\xef\xbb\xbf", 3);
		found = TRUE;
		mime_decode_text(message, part, sink, user);
	}
	return found;
}

/* Attachment number @n, or NULL. */
static const MimePart *
attachment(const GPtrArray *parts, guint n)
{
	for (guint i = 0; i < parts->len; i++)
		if (mime_part_is_attachment(parts->pdata[i]) && n-- == 0)
			return parts->pdata[i];
	return NULL;
}

/* For an attachment without a name. */
static const char *
extension_of(const char *type)
{
	static const struct {
		const char *type, *extension;
	} known[] = {
		{"text/plain", ".txt"},	       {"text/html", ".html"},
		{"text/calendar", ".ics"},     {"text/csv", ".csv"},
		{"text/vcard", ".vcf"},	       {"message/rfc822", ".eml"},
		{"image/jpeg", ".jpg"},	       {"image/png", ".png"},
		{"image/gif", ".gif"},	       {"image/svg+xml", ".svg"},
		{"application/pdf", ".pdf"},   {"application/zip", ".zip"},
		{"application/json", ".json"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(known); i++)
		if (strcmp(known[i].type, type) == 0)
			return known[i].extension;
	return ".bin";
}

/* Unique among @taken, which gets it. */
static void
name_attachment(const MimePart *part, guint n, GHashTable *taken, Row *row)
{
	g_autofree char *name = name_for_file(part->file_name != NULL ? part->file_name : "");
	const char *dot;
	gsize stem;

	if (*name == '\0') {
		g_free(name);
		name = g_strdup_printf("part-%u%s", n + 1, extension_of(part->type));
	}
	dot = strrchr(name, '.');
	stem = dot != NULL && dot != name ? (gsize)(dot - name) : strlen(name);
	g_strlcpy(row->name, name, sizeof row->name);
	for (guint i = 2; g_hash_table_contains(taken, row->name); i++)
		g_snprintf(row->name, sizeof row->name, "%.*s~%u%s", (int)stem, name, i,
			   name + stem);
	g_hash_table_add(taken, g_strdup(row->name));
}

static void
write_row(Digest *digest, const Node *node, Row *row, DigestOut *out)
{
	Node file = *node;

	file.part = row->part;
	if (row->part < PART_FIRST)
		g_strlcpy(row->name, fixed_names[row->part], sizeof row->name);
	if (row->part != PART_ATTACHMENTS)
		digest_note_size(digest, &file, row->size);
	digest_write(out, (const char *)row, sizeof *row);
}

static void
make_rows(Digest *digest, const Node *node, const char *message, gsize len, const GPtrArray *parts,
	  DigestOut *out)
{
	g_autoptr(GHashTable) taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	static const char *const types[] = {[PART_TEXT] = "text/plain", [PART_HTML] = "text/html"};
	const MimePart *part;

	write_row(digest, node,
		  &(Row){.part = PART_HEADER, .size = mime_header_length(message, len)}, out);
	for (guint i = PART_TEXT; i <= PART_HTML; i++) {
		Row row = {.part = i};

		if (write_body(message, parts, types[i], count_bytes, &row.size))
			write_row(digest, node, &row, out);
	}
	if (attachment(parts, 0) != NULL)
		write_row(digest, node, &(Row){.part = PART_ATTACHMENTS}, out);
	for (guint n = 0; n <= PART_LAST - PART_FIRST && (part = attachment(parts, n)) != NULL;
	     n++) {
		Row row = {.part = PART_FIRST + n};

		name_attachment(part, n, taken, &row);
		mime_decode_bytes(message, part, count_bytes, &row.size);
		write_row(digest, node, &row, out);
	}
}

static gboolean
make_part(Digest *digest, const Node *node, const char *message, gsize len, DigestOut *out)
{
	g_autoptr(GPtrArray) parts = NULL;
	const MimePart *part;

	if (node->part == PART_HEADER)
		return digest_write(out, message, mime_header_length(message, len));
	parts = mime_parts(message, len);
	switch (node->part) {
	case PART_MESSAGE:
		make_rows(digest, node, message, len, parts, out);
		return TRUE;
	case PART_TEXT:
		return write_body(message, parts, "text/plain", digest_write, out);
	case PART_HTML:
		return write_body(message, parts, "text/html", digest_write, out);
	default:
		part = node->part >= PART_FIRST ? attachment(parts, node->part - PART_FIRST) : NULL;
		return part != NULL && mime_decode_bytes(message, part, digest_write, out);
	}
}

/* --- attributes
 * ------------------------------------------------------------------------------------- */

static Node
node_of(const Node *message, guint part)
{
	return (Node){
		.kind = NODE_PARTS,
		.part = part,
		.serial = message->serial,
		.uid = message->uid,
	};
}

/* @size: of a file when it is known. */
static void
stat_part(View *view, const Node *node, guint64 size, gint64 date, struct stat *out)
{
	if (node->part == PART_MESSAGE || node->part == PART_ATTACHMENTS) {
		view_stat_directory(view->house, node_to_ino(*node), date,
				    node->part == PART_MESSAGE ? 1 : 0, out);
		return;
	}
	view_stat_file(view->house, node_to_ino(*node), size, date, out);
	out->st_mode &= ~(mode_t)0222;
}

static void
stat_message(View *view, const MessageView *message, struct stat *out)
{
	Node node = {.kind = NODE_PARTS, .serial = message->serial, .uid = message->uid};

	stat_part(view, &node, 0, message->date, out);
}

static const Mirror mirror = {.suffix = "", .stat_message = stat_message};

static TreeAnswer
parts_stat(View *view, const Node *node, struct stat *out)
{
	Parts *self = (Parts *)view;
	MessageView message;
	TreeAnswer answer;
	guint64 size;

	if (node->uid == 0)
		return mirror_stat_directory(view, node, out);
	answer = mirror_message(view, node, &message);
	if (answer.result != TREE_OK)
		return answer;
	size = MAX(message.size, 1);
	digest_size(self->digest, node, &size);
	stat_part(view, node, size, message.date, out);
	return answer;
}

/* --- below a message
 * -------------------------------------------------------------------------------- */

/* The rows in their order. TREE_OK: *@bytes_out holds them. (transfer full) */
static TreeAnswer
rows_of(View *view, const Node *directory, gboolean patient, GBytes **bytes_out, gint64 *date_out)
{
	Parts *self = (Parts *)view;
	Node rows = node_of(directory, PART_MESSAGE);
	MessageView message;
	TreeContent content;
	TreeAnswer answer = mirror_message(view, directory, &message);

	if (answer.result != TREE_OK)
		return answer;
	*date_out = message.date;
	answer = digest_content(self->digest, &rows, 0, patient, &content);
	if (answer.result == TREE_OK)
		*bytes_out = content.bytes;
	return answer;
}

/* Does the row stand in this directory? */
static gboolean
is_in(const Row *row, const Node *directory)
{
	return (row->part >= PART_FIRST) == (directory->part == PART_ATTACHMENTS);
}

static TreeAnswer
parts_lookup(View *view, const Node *directory, const char *name, gboolean patient,
	     struct stat *out, gboolean *alias_out)
{
	g_autoptr(GBytes) bytes = NULL;
	TreeAnswer answer;
	const Row *rows;
	gsize size;
	gint64 date;

	if (directory->uid == 0)
		return mirror_lookup(view, &mirror, directory, name, patient, out, alias_out);
	/* Only what can be there is worth fetching the message for. */
	if (directory->part == PART_MESSAGE && strcmp(name, "header") != 0 &&
	    strcmp(name, "attachments") != 0 && !g_str_has_prefix(name, "body."))
		return view_error(MAILFS_ERROR_NOT_FOUND, "no such part");
	answer = rows_of(view, directory, patient, &bytes, &date);
	if (answer.result != TREE_OK)
		return answer;
	rows = g_bytes_get_data(bytes, &size);
	for (gsize i = 0; i < size / sizeof *rows; i++) {
		Node node = node_of(directory, rows[i].part);

		if (!is_in(&rows[i], directory) || strcmp(rows[i].name, name) != 0)
			continue;
		stat_part(view, &node, rows[i].size, date, out);
		return answer;
	}
	return view_error(MAILFS_ERROR_NOT_FOUND, "the message has no such part");
}

static TreeAnswer
parts_list(View *view, const Node *directory, guint64 cookie, gboolean patient, TreeEntry entry,
	   gpointer user)
{
	g_autoptr(GBytes) bytes = NULL;
	TreeAnswer answer;
	const Row *rows;
	gsize size;
	gint64 date;

	if (directory->uid == 0)
		return mirror_list(view, &mirror, directory, cookie, patient, entry, user);
	answer = rows_of(view, directory, patient, &bytes, &date);
	if (answer.result != TREE_OK)
		return answer;
	rows = g_bytes_get_data(bytes, &size);
	for (gsize i = 0; i < size / sizeof *rows; i++) {
		Node node = node_of(directory, rows[i].part);
		struct stat st;

		if (!is_in(&rows[i], directory) || VIEW_FIRST_COOKIE + rows[i].part <= cookie)
			continue;
		stat_part(view, &node, rows[i].size, date, &st);
		if (!entry(user, rows[i].name, &st, VIEW_FIRST_COOKIE + rows[i].part))
			break;
	}
	return answer;
}

static TreeAnswer
parts_open(View *view, const Node *directory, gboolean patient, guint64 *version_out)
{
	return directory->uid == 0 ? mirror_open(view, directory, patient, version_out)
				   : (TreeAnswer){.result = TREE_OK};
}

static TreeAnswer
parts_content(View *view, const Node *node, guint32 reader, gboolean patient, TreeContent *out)
{
	Parts *self = (Parts *)view;

	return digest_content(self->digest, node, reader, patient, out);
}

static void
parts_free(View *view)
{
	Parts *self = (Parts *)view;

	digest_free(self->digest);
	g_free(self);
}

static const ViewOps parts_ops = {
	.name = ".parts",
	.kind = NODE_PARTS,
	.lookup = parts_lookup,
	.stat = parts_stat,
	.open = parts_open,
	.list = parts_list,
	.content = parts_content,
	.free = parts_free,
};

View *
view_parts_new(const ViewHouse *house)
{
	Parts *self = g_new0(Parts, 1);

	self->view = (View){&parts_ops, house};
	self->digest = digest_new(house, make_part);
	return &self->view;
}
