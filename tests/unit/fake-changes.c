/* SPDX-License-Identifier: MIT */
/* What changes something on a fake server: done at once, under the server's lock, then told. */
#include <string.h>
#include <unistd.h>

#include "fake-private.h"

static gboolean
refuse(Answer *answer, MailfsError code, const char *text)
{
	g_set_error_literal(&answer->error, MAILFS_ERROR, (int)code, text);
	return FALSE;
}

static FakeMessage *
copy_message(const FakeMessage *message)
{
	FakeMessage *copy = g_memdup2(message, sizeof *message);

	copy->keywords = g_strdup(message->keywords);
	copy->body = g_bytes_ref(message->body);
	copy->fields = g_bytes_ref(message->fields);
	return copy;
}

/* Those of the request that are there, by UID. */
static GPtrArray *
asked_for(const FakeMailbox *mailbox, const Request *request)
{
	GPtrArray *found = g_ptr_array_new();

	for (guint i = 0; i < mailbox->messages->len; i++) {
		FakeMessage *message = mailbox->messages->pdata[i];

		if (uidset_contains(request->uids, message->uid) &&
		    (request->marked == NULL || !uidset_contains(request->marked, message->uid) ||
		     (message->flags & MESSAGE_DELETED) != 0))
			g_ptr_array_add(found, message);
	}
	return found;
}

static UidSet *
uids_of(const GPtrArray *messages)
{
	UidSet *uids = uidset_new();

	for (guint i = 0; i < messages->len; i++) {
		guint32 uid = ((FakeMessage *)messages->pdata[i])->uid;

		uidset_add(uids, uid, uid);
	}
	return uids;
}

static void
copy_all(Answer *answer, const FakeServer *server, FakeMailbox *target, const GPtrArray *messages)
{
	g_autoptr(UidSet) copies = uidset_new();
	Event *event;

	if (messages->len == 0)
		return;
	for (guint i = 0; i < messages->len; i++) {
		guint32 uid = fake_put_message(target, copy_message(messages->pdata[i]));

		uidset_add(copies, uid, uid);
	}
	event = fake_push(answer, EVENT_COPIED);
	event->uids = uids_of(messages);
	if (server->knobs.no_copyuid)
		return;
	event->uidvalidity = server->knobs.other_validity != 0 ? server->knobs.other_validity
							       : target->state.uidvalidity;
	event->others = g_steal_pointer(&copies);
}

static void
remove_all(Answer *answer, const FakeServer *server, FakeMailbox *mailbox,
	   const GPtrArray *messages)
{
	Event *event;

	if (messages->len == 0)
		return;
	event = fake_push(answer, server->knobs.no_uidplus ? EVENT_MARKED : EVENT_VANISHED);
	event->uids = uids_of(messages);
	for (guint i = 0; i < messages->len; i++) {
		FakeMessage *message = messages->pdata[i];

		message->flags |= MESSAGE_DELETED;
		message->modseq = ++mailbox->state.highestmodseq;
		if (!server->knobs.no_uidplus)
			fake_take_message(mailbox, message);
	}
}

static void
store_all(Answer *answer, FakeMailbox *mailbox, const Request *request, const GPtrArray *messages)
{
	g_auto(GStrv) add =
		g_strsplit(request->add.keywords != NULL ? request->add.keywords : "", " ", -1);
	g_auto(GStrv) taken = g_strsplit(
		request->remove.keywords != NULL ? request->remove.keywords : "", " ", -1);

	for (guint i = 0; i < messages->len; i++) {
		FakeMessage *message = messages->pdata[i];
		g_auto(GStrv) words = g_strsplit(message->keywords, " ", -1);
		g_autoptr(GString) text = g_string_new(NULL);

		message->flags = (message->flags | request->add.flags) & ~request->remove.flags;
		message->modseq = ++mailbox->state.highestmodseq;
		for (guint k = 0; words[k] != NULL; k++)
			if (!g_strv_contains((const char *const *)taken, words[k]))
				g_string_append_printf(text, " %s", words[k]);
		for (guint k = 0; add[k] != NULL; k++)
			if (!g_strv_contains((const char *const *)words, add[k]))
				g_string_append_printf(text, " %s", add[k]);
		g_free(message->keywords);
		message->keywords = g_strstrip(g_strdup(text->str));
	}
	fake_push(answer, EVENT_STORED)->uids = uids_of(messages);
}

static void
append_all(Answer *answer, const FakeServer *server, FakeMailbox *mailbox, const Request *request)
{
	for (guint i = 0; i < request->messages->len; i++) {
		const AppendMessage *wanted = request->messages->pdata[i];
		g_autofree char *raw = g_malloc0(wanted->size + 1);
		FakeMessage *message = g_new0(FakeMessage, 1);
		Event *event = fake_push(answer, EVENT_APPENDED);

		if (wanted->fd >= 0)
			g_assert_cmpint(pread(wanted->fd, raw, wanted->size, 0), ==,
					(gssize)wanted->size);
		else
			memcpy(raw, g_bytes_get_data(wanted->bytes, NULL), wanted->size);
		message->date = wanted->date;
		message->flags = wanted->flags.flags;
		message->keywords =
			g_strdup(wanted->flags.keywords != NULL ? wanted->flags.keywords : "");
		message->body = g_bytes_new(raw, wanted->size);
		message->fields = fake_header_fields(raw);
		message->claimed = wanted->size;
		event->index = i;
		if (server->knobs.merged_uid == 0) {
			event->info.uid = fake_put_message(mailbox, message);
		} else {
			fake_message_free(message);
			event->info.uid = server->knobs.merged_uid;
		}
		event->uidvalidity = mailbox->state.uidvalidity;
		if (server->knobs.no_copyuid)
			event->info.uid = event->uidvalidity = 0;
	}
}

static gboolean
lies_below(const FakeMailbox *mailbox, const char *above)
{
	gsize len = strlen(above);

	return strncmp(mailbox->name, above, len) == 0 && mailbox->name[len] == mailbox->separator;
}

static void
change_folders(Answer *answer, FakeServer *server, FakeMailbox *mailbox, const Request *request)
{
	const FakeMailbox *like = server->mailboxes->pdata[0];

	if (request->kind == REQUEST_CREATE) {
		if (mailbox != NULL)
			refuse(answer, MAILFS_ERROR_EXISTS, "it is there");
		else
			fake_push_mailbox(
				answer, fake_make_mailbox(server, request->mailbox, like->separator,
							  MAILBOX_SUBSCRIBED, like->prefix));
		return;
	}
	if (request->kind == REQUEST_DELETE) {
		if (mailbox->messages->len > 0)
			refuse(answer, MAILFS_ERROR_NOT_EMPTY, "it holds messages");
		else
			g_ptr_array_remove(server->mailboxes, mailbox);
		return;
	}
	if (fake_find_mailbox(server, request->target) != NULL) {
		refuse(answer, MAILFS_ERROR_EXISTS, "it is there");
		return;
	}
	for (guint i = 0; i < server->mailboxes->len; i++) {
		FakeMailbox *one = server->mailboxes->pdata[i];
		char *name;

		if (one != mailbox && !lies_below(one, request->mailbox))
			continue;
		name = g_strconcat(request->target, one->name + strlen(request->mailbox), NULL);
		g_free(one->name);
		one->name = name;
		fake_push_mailbox(answer, one);
	}
}

static gboolean
may_change(Answer *answer, FakeServer *server, const FakeMailbox *mailbox, const Request *request)
{
	if (server->config.read_only)
		return refuse(answer, MAILFS_ERROR_READ_ONLY, "read-only");
	if (server->knobs.change_code >= 0)
		return refuse(answer, (MailfsError)server->knobs.change_code,
			      "refused as it was told to");
	if (mailbox == NULL && request->kind != REQUEST_CREATE)
		return refuse(answer, MAILFS_ERROR_NOT_FOUND, "no such mailbox");
	if ((request->kind == REQUEST_COPY || request->kind == REQUEST_MOVE) &&
	    fake_find_mailbox(server, request->target) == NULL)
		return refuse(answer, MAILFS_ERROR_NOT_FOUND, "no such target");
	if (request_kind_selects(request->kind) &&
	    request->uidvalidity != mailbox->state.uidvalidity)
		return refuse(answer, MAILFS_ERROR_STALE, "UIDVALIDITY is another");
	if (request->kind == REQUEST_STORE && server->knobs.no_keywords &&
	    request->add.keywords != NULL)
		return refuse(answer, MAILFS_ERROR_UNSUPPORTED, "it keeps no keywords");
	return TRUE;
}

static void
change_messages(Answer *answer, FakeServer *server, FakeMailbox *mailbox, const Request *request,
		FakeLoss lose)
{
	g_autoptr(GPtrArray) messages = asked_for(mailbox, request);

	if (request->kind == REQUEST_COPY || request->kind == REQUEST_MOVE)
		copy_all(answer, server, fake_find_mailbox(server, request->target), messages);
	if (request->kind == REQUEST_EXPUNGE ||
	    (request->kind == REQUEST_MOVE && lose != FAKE_LOSE_MIDWAY && lose != FAKE_LOSE_REST))
		remove_all(answer, server, mailbox, messages);
	if (request->kind == REQUEST_STORE)
		store_all(answer, mailbox, request, messages);
}

void
fake_answer_change(Answer *answer, FakeServer *server, FakeMailbox *mailbox, const Request *request)
{
	FakeLoss lose = server->knobs.lose;

	server->knobs.lose = FAKE_LOSE_NOTHING;
	if (lose != FAKE_LOSE_BEFORE && may_change(answer, server, mailbox, request)) {
		if (!request_kind_selects(request->kind) && request->kind != REQUEST_APPEND)
			change_folders(answer, server, mailbox, request);
		else if (request->kind == REQUEST_APPEND)
			append_all(answer, server, mailbox, request);
		else
			change_messages(answer, server, mailbox, request, lose);
	}
	if (lose == FAKE_LOSE_REST) {
		refuse(answer, MAILFS_ERROR_OFFLINE, "the line was lost before the rest was sent");
	} else if (lose != FAKE_LOSE_NOTHING) {
		g_queue_clear_full(&answer->events, fake_event_free);
		fake_push(answer, EVENT_CUT);
	}
}
