/* SPDX-License-Identifier: MIT */
#include "fs/view-text.h"

#include <string.h>

#include "fs/digest.h"
#include "fs/mirror.h"
#include "mail/mime-decode.h"
#include "mail/mime.h"

#define BLANK_MAX 64 /* a text of at most so many bytes may be nothing but white space */

typedef struct {
	View view;
	Digest *digest;
} Text;

/* --- the text of a message
 * -------------------------------------------------------------------------- */

static void
write_field(const char *header, gsize len, const char *name, DigestOut *out)
{
	g_autofree char *raw = mime_header_field(header, len, name);
	g_autofree char *value = NULL;
	g_autofree char *line = NULL;

	if (raw == NULL)
		return;
	if (strcmp(name, "Subject") == 0)
		value = mime_decode_header(raw, strlen(raw));
	else if (strcmp(name, "Date") == 0)
		value = mime_decode_date(raw, strlen(raw));
	else
		value = mime_decode_addresses(raw, strlen(raw));
	line = g_strdup_printf("%s: %s\n", name, value);
	digest_write(out, line, strlen(line));
}

/* Some senders put an empty text beside their HTML. */
static gboolean
is_blank(const char *message, const MimePart *part)
{
	if (part->len > BLANK_MAX)
		return FALSE;
	for (gsize i = 0; i < part->len; i++)
		if (!g_ascii_isspace(message[part->offset + i]))
			return FALSE;
	return TRUE;
}

/* Does the text stand beside this HTML, as another form of it? */
static gboolean
has_plain_form(const char *message, const GPtrArray *parts, const MimePart *html)
{
	for (guint i = 0; html->alternative != 0 && i < parts->len; i++) {
		const MimePart *part = parts->pdata[i];

		if (part->alternative == html->alternative &&
		    strcmp(part->type, "text/plain") == 0 && !is_blank(message, part))
			return TRUE;
	}
	return FALSE;
}

/* Remembers how the text ended, so that two parts are one line apart. */
typedef struct {
	DigestOut *out;
	char last;
	gboolean apart;
} Flow;

static gboolean
flow_write(gpointer user, const char *data, gsize len)
{
	Flow *flow = user;

	if (flow->apart && flow->last != '\n')
		digest_write(flow->out, "\n", 1);
	if (flow->apart)
		digest_write(flow->out, "\n", 1);
	flow->apart = FALSE;
	flow->last = data[len - 1];
	return digest_write(flow->out, data, len);
}

static gboolean
make_text(Digest *digest, const Node *node, const char *message, gsize len, DigestOut *out)
{
	static const char *const fields[] = {"From", "To", "Cc", "Date", "Subject"};
	gsize header_len = mime_header_length(message, MIN(len, MIME_BLOCK_MAX));
	g_autoptr(GPtrArray) parts = mime_parts(message, len);
	Flow flow = {.out = out, .last = '\n'};

	for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
		write_field(message, header_len, fields[i], out);
	digest_write(out, "\n", 1);
	for (guint i = 0; i < parts->len; i++) {
		const MimePart *part = parts->pdata[i];

		if (strcmp(part->type, "text/plain") == 0)
			mime_decode_text(message, part, flow_write, &flow);
		else if (strcmp(part->type, "text/html") == 0 && !part->attached &&
			 !has_plain_form(message, parts, part))
			mime_decode_stripped(message, part, flow_write, &flow);
		else
			continue;
		flow.apart = i + 1 < parts->len;
	}
	if (flow.last != '\n')
		digest_write(out, "\n", 1);
	return TRUE;
}

/* --- the view
 * --------------------------------------------------------------------------------------- */

static void
stat_text(View *view, const MessageView *message, struct stat *out)
{
	Text *self = (Text *)view;
	Node node = {.kind = NODE_TEXT, .serial = message->serial, .uid = message->uid};
	guint64 size = MAX(message->size, 1);

	digest_size(self->digest, &node, &size);
	view_stat_file(view->house, node_to_ino(node), size, message->date, out);
	out->st_mode &= ~(mode_t)0222;
}

static const Mirror mirror = {.suffix = ".txt", .stat_message = stat_text};

static TreeAnswer
text_lookup(View *view, const Node *directory, const char *name, gboolean patient, struct stat *out,
	    gboolean *alias_out)
{
	return mirror_lookup(view, &mirror, directory, name, patient, out, alias_out);
}

static TreeAnswer
text_stat(View *view, const Node *node, struct stat *out)
{
	MessageView message;
	TreeAnswer answer;

	if (node->uid == 0)
		return mirror_stat_directory(view, node, out);
	answer = mirror_message(view, node, &message);
	if (answer.result == TREE_OK)
		stat_text(view, &message, out);
	return answer;
}

static TreeAnswer
text_list(View *view, const Node *directory, guint64 cookie, gboolean patient, TreeEntry entry,
	  gpointer user)
{
	return mirror_list(view, &mirror, directory, cookie, patient, entry, user);
}

static TreeAnswer
text_content(View *view, const Node *node, guint32 reader, gboolean patient, TreeContent *out)
{
	Text *self = (Text *)view;

	return digest_content(self->digest, node, reader, patient, out);
}

static void
text_free(View *view)
{
	Text *self = (Text *)view;

	digest_free(self->digest);
	g_free(self);
}

static const ViewOps text_ops = {
	.name = ".text",
	.kind = NODE_TEXT,
	.lookup = text_lookup,
	.stat = text_stat,
	.open = mirror_open,
	.list = text_list,
	.content = text_content,
	.free = text_free,
};

View *
view_text_new(const ViewHouse *house)
{
	Text *self = g_new0(Text, 1);

	self->view = (View){&text_ops, house};
	self->digest = digest_new(house, make_text);
	return &self->view;
}
