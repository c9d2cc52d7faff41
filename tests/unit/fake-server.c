/* SPDX-License-Identifier: MIT */
#include "fake-private.h"

#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the server's side of things --- */

void
fake_message_free(gpointer data)
{
	FakeMessage *message = data;

	g_free(message->keywords);
	g_bytes_unref(message->body);
	g_bytes_unref(message->fields);
	g_free(message);
}

static void
mailbox_free(gpointer data)
{
	FakeMailbox *mailbox = data;

	g_free(mailbox->name);
	g_free(mailbox->prefix);
	g_ptr_array_unref(mailbox->messages);
	g_array_unref(mailbox->expunged);
	g_hash_table_unref(mailbox->asked);
	g_free(mailbox);
}

static int
listen_on_loopback(guint16 *port_out)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
	g_assert_cmpint(listen(fd, 16), ==, 0);
	g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &len), ==, 0);
	*port_out = ntohs(address.sin_port);
	return fd;
}

FakeServer *
fake_server_new(void)
{
	FakeServer *server = g_new0(FakeServer, 1);

	g_mutex_init(&server->lock);
	g_mutex_init(&server->login_lock);
	server->mailboxes = g_ptr_array_new_with_free_func(mailbox_free);
	server->lines = g_ptr_array_new();
	server->config.host = g_strdup("127.0.0.1");
	server->listening = listen_on_loopback(&server->config.port);
	server->config.tls = TLS_NONE;
	server->config.timeout_ms = 2000;
	server->config.secret.user = server;
	server->knobs = (FakeKnobs){
		.login_code = -1, .change_code = -1, .drop_after = -1, .batch = 512, .window = 16};
	return server;
}

void
fake_server_free(FakeServer *server)
{
	g_assert_cmpuint(server->lines->len, ==, 0);
	g_ptr_array_unref(server->mailboxes);
	g_ptr_array_unref(server->lines);
	close(server->listening);
	g_free(server->config.host);
	g_mutex_clear(&server->lock);
	g_mutex_clear(&server->login_lock);
	g_free(server);
}

BackendConfig *
fake_server_config(FakeServer *server)
{
	return &server->config;
}

FakeKnobs *
fake_server_lock(FakeServer *server)
{
	g_mutex_lock(&server->lock);
	return &server->knobs;
}

void
fake_server_unlock(FakeServer *server)
{
	for (guint i = 0; i < server->lines->len; i++) {
		FakeBackend *line = server->lines->pdata[i];

		if (send(line->peer_fd, "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			g_debug("the line is full or gone: it will look anyway");
	}
	g_mutex_unlock(&server->lock);
}

FakeMailbox *
fake_find_mailbox(FakeServer *server, const char *name)
{
	for (guint i = 0; i < server->mailboxes->len; i++) {
		FakeMailbox *mailbox = server->mailboxes->pdata[i];

		if (g_strcmp0(mailbox->name, name) == 0)
			return mailbox;
	}
	return NULL;
}

FakeMessage *
fake_find_message(const FakeMailbox *mailbox, guint32 uid)
{
	for (guint i = 0; i < mailbox->messages->len; i++) {
		FakeMessage *message = mailbox->messages->pdata[i];

		if (message->uid == uid)
			return message;
	}
	return NULL;
}

FakeMailbox *
fake_make_mailbox(FakeServer *server, const char *name, char separator, guint attributes,
		  const char *prefix)
{
	FakeMailbox *mailbox = g_new0(FakeMailbox, 1);

	mailbox->name = g_strdup(name);
	mailbox->prefix = g_strdup(prefix);
	mailbox->separator = separator;
	mailbox->attributes = attributes;
	mailbox->state = (MailboxState){.uidnext = 1, .highestmodseq = 1};
	mailbox->messages = g_ptr_array_new_with_free_func(fake_message_free);
	mailbox->expunged = g_array_new(FALSE, FALSE, sizeof(Expunged));
	mailbox->asked = g_hash_table_new(NULL, NULL);
	mailbox->state.uidvalidity = 1000 + server->made_mailboxes++;
	g_ptr_array_add(server->mailboxes, mailbox);
	return mailbox;
}

void
fake_server_mailbox_full(FakeServer *server, const char *name, char separator, guint attributes,
			 const char *prefix)
{
	fake_server_lock(server);
	fake_make_mailbox(server, name, separator, attributes, prefix);
	fake_server_unlock(server);
}

void
fake_server_mailbox(FakeServer *server, const char *name)
{
	fake_server_mailbox_full(server, name, '/', 0, "");
}

gboolean
fake_server_has(FakeServer *server, const char *name)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);

	return fake_find_mailbox(server, name) != NULL;
}

void
fake_server_remove_mailbox(FakeServer *server, const char *name)
{
	fake_server_lock(server);
	g_assert_true(g_ptr_array_remove(server->mailboxes, fake_find_mailbox(server, name)));
	fake_server_unlock(server);
}

/* What BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT MESSAGE-ID)] would give. */
GBytes *
fake_header_fields(const char *raw)
{
	static const char *const names[] = {"Date:", "From:", "Subject:", "Message-ID:"};
	const char *end = strstr(raw, "\r\n\r\n");
	g_autofree char *header = g_strndup(raw, end != NULL ? (gsize)(end - raw) : strlen(raw));
	g_auto(GStrv) lines = g_strsplit(header, "\r\n", -1);
	GString *fields = g_string_new(NULL);

	for (guint i = 0; lines[i] != NULL; i++)
		for (guint k = 0; k < G_N_ELEMENTS(names); k++)
			if (g_ascii_strncasecmp(lines[i], names[k], strlen(names[k])) == 0)
				g_string_append_printf(fields, "%s\r\n", lines[i]);
	g_string_append(fields, "\r\n");
	return g_string_free_to_bytes(fields);
}

guint32
fake_put_message(FakeMailbox *mailbox, FakeMessage *message)
{
	message->uid = mailbox->state.uidnext++;
	message->modseq = ++mailbox->state.highestmodseq;
	g_ptr_array_add(mailbox->messages, message);
	return message->uid;
}

void
fake_take_message(FakeMailbox *mailbox, FakeMessage *message)
{
	Expunged expunged = {message->uid, ++mailbox->state.highestmodseq};

	g_array_append_val(mailbox->expunged, expunged);
	g_ptr_array_remove(mailbox->messages, message);
}

guint32
fake_server_add_raw(FakeServer *server, const char *name, const char *raw, gint64 date)
{
	FakeMessage *message = g_new0(FakeMessage, 1);
	FakeMailbox *mailbox;
	guint32 uid;

	message->date = date;
	message->keywords = g_strdup("");
	message->body = g_bytes_new(raw, strlen(raw));
	message->fields = fake_header_fields(raw);
	message->claimed = strlen(raw);
	fake_server_lock(server);
	mailbox = fake_find_mailbox(server, name);
	g_assert_nonnull(mailbox);
	uid = fake_put_message(mailbox, message);
	fake_server_unlock(server);
	return uid;
}

guint32
fake_server_add(FakeServer *server, const char *mailbox, const char *subject, const char *text)
{
	g_autofree char *raw = NULL;
	guint made;

	fake_server_lock(server);
	made = ++server->made;
	fake_server_unlock(server);
	raw = g_strdup_printf(
		"Received: from nowhere\r\nMessage-ID: <%u@fake.example>\r\n"
		"Date: Sat, 21 Nov 2026 06:38:12 +0000\r\nFrom: Alice <alice@example.org>\r\n"
		"To: Bob <bob@example.org>\r\nSubject: %s\r\n\r\n%s\r\n",
		made, subject, text);
	return fake_server_add_raw(server, mailbox, raw, 1795243092 + (gint64)made);
}

void
fake_server_fill(FakeServer *server, const char *mailbox, guint n)
{
	for (guint i = 1; i <= n; i++) {
		g_autofree char *subject = g_strdup_printf("Message %u", i);
		g_autofree char *text =
			g_strdup_printf("This is the body of message %u of %s.", i, mailbox);

		fake_server_add(server, mailbox, subject, text);
	}
}

void
fake_server_expunge(FakeServer *server, const char *name, guint32 first, guint32 last)
{
	FakeMailbox *mailbox;

	fake_server_lock(server);
	mailbox = fake_find_mailbox(server, name);
	for (guint i = mailbox->messages->len; i > 0; i--) {
		FakeMessage *message = mailbox->messages->pdata[i - 1];

		if (message->uid >= first && message->uid <= last)
			fake_take_message(mailbox, message);
	}
	fake_server_unlock(server);
}

void
fake_server_flag(FakeServer *server, const char *name, guint32 uid, guint32 flags,
		 const char *keywords)
{
	FakeMailbox *mailbox;
	FakeMessage *message;

	fake_server_lock(server);
	mailbox = fake_find_mailbox(server, name);
	message = fake_find_message(mailbox, uid);
	g_assert_nonnull(message);
	message->flags = flags;
	g_free(message->keywords);
	message->keywords = g_strdup(keywords);
	message->modseq = ++mailbox->state.highestmodseq;
	fake_server_unlock(server);
}

void
fake_server_claim_size(FakeServer *server, const char *mailbox, guint32 uid, guint64 size)
{
	fake_server_lock(server);
	fake_find_message(fake_find_mailbox(server, mailbox), uid)->claimed = size;
	fake_server_unlock(server);
}

void
fake_server_renumber(FakeServer *server, const char *name)
{
	FakeMailbox *mailbox;
	guint n;

	fake_server_lock(server);
	mailbox = fake_find_mailbox(server, name);
	n = mailbox->messages->len;
	for (guint i = 0; i < n / 2; i++) {
		gpointer swap = mailbox->messages->pdata[i];

		mailbox->messages->pdata[i] = mailbox->messages->pdata[n - 1 - i];
		mailbox->messages->pdata[n - 1 - i] = swap;
	}
	for (guint i = 0; i < n; i++)
		((FakeMessage *)mailbox->messages->pdata[i])->uid = i + 1;
	g_array_set_size(mailbox->expunged, 0);
	g_hash_table_remove_all(mailbox->asked);
	mailbox->state.uidvalidity += 100;
	mailbox->state.uidnext = n + 1;
	fake_server_unlock(server);
}

char *
fake_server_listing(FakeServer *server, const char *name)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);
	const FakeMailbox *mailbox = fake_find_mailbox(server, name);
	g_autoptr(GString) text = g_string_new(NULL);

	for (guint i = 0; i < mailbox->messages->len; i++) {
		const FakeMessage *message = mailbox->messages->pdata[i];

		g_string_append_printf(text, "%u %x %s\n", message->uid, message->flags,
				       message->keywords);
	}
	return g_strdup(text->str);
}

guint
fake_server_count(FakeServer *server, const char *mailbox)
{
	g_autofree char *listing = fake_server_listing(server, mailbox);
	guint n = 0;

	for (const char *at = listing; (at = strchr(at, '\n')) != NULL; at++)
		n++;
	return n;
}

GBytes *
fake_server_body(FakeServer *server, const char *mailbox, guint32 uid)
{
	GBytes *body;

	fake_server_lock(server);
	body = g_bytes_ref(fake_find_message(fake_find_mailbox(server, mailbox), uid)->body);
	fake_server_unlock(server);
	return body;
}

void
fake_server_spoil(FakeServer *server, const char *mailbox, guint32 uid, FakeBody how, guint times)
{
	FakeMessage *message;

	fake_server_lock(server);
	message = fake_find_message(fake_find_mailbox(server, mailbox), uid);
	message->spoil = how;
	message->spoil_times = times;
	fake_server_unlock(server);
}

void
fake_server_drop_lines(FakeServer *server)
{
	fake_server_lock(server);
	for (guint i = 0; i < server->lines->len; i++)
		shutdown(((FakeBackend *)server->lines->pdata[i])->peer_fd, SHUT_RDWR);
	fake_server_unlock(server);
}

void
fake_server_notify(FakeServer *server, const char *mailbox)
{
	fake_server_lock(server);
	for (guint i = 0; i < server->lines->len; i++) {
		FakeBackend *line = server->lines->pdata[i];

		if (g_strcmp0(line->base.selected, mailbox) == 0)
			line->changed = TRUE;
		else if (line->base.notify == BACKEND_NOTIFY_ON)
			g_ptr_array_add(line->noticed, g_strdup(mailbox));
	}
	fake_server_unlock(server);
}

void
fake_server_folders(FakeServer *server)
{
	fake_server_lock(server);
	for (guint i = 0; i < server->lines->len; i++) {
		FakeBackend *line = server->lines->pdata[i];

		line->folders = line->base.notify == BACKEND_NOTIFY_ON;
	}
	fake_server_unlock(server);
}

void
fake_status(FakeServer *server, const char *mailbox, MailboxStatus *out)
{
	const FakeMailbox *found = fake_find_mailbox(server, mailbox);

	*out = (MailboxStatus){.messages = -1, .unseen = -1};
	if (found == NULL)
		return;
	out->uidvalidity = found->state.uidvalidity;
	out->uidnext = found->state.uidnext;
	out->highestmodseq = found->state.highestmodseq;
	out->messages = found->messages->len;
}

void
fake_server_alert(FakeServer *server, const char *text)
{
	fake_server_lock(server);
	server->alert = text;
	if (server->lines->len > 0)
		((FakeBackend *)server->lines->pdata[0])->alerted = TRUE;
	fake_server_unlock(server);
}

FakeCounts
fake_server_counts(FakeServer *server)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);

	server->counts.lines = server->lines->len;
	return server->counts;
}

guint
fake_server_asked(FakeServer *server, const char *name, guint32 uid)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);
	FakeMailbox *mailbox = fake_find_mailbox(server, name);

	return GPOINTER_TO_UINT(g_hash_table_lookup(mailbox->asked, GUINT_TO_POINTER(uid)));
}

/* --- drawing up an answer, under the server's lock --- */

void
fake_event_free(gpointer data)
{
	Event *event = data;

	g_free(event->text);
	g_free(event->prefix);
	g_clear_pointer(&event->bytes, g_bytes_unref);
	uidset_free(event->uids);
	uidset_free(event->others);
	g_free(event);
}

void
fake_answer_free(Answer *answer)
{
	if (answer == NULL)
		return;
	g_queue_clear_full(&answer->events, fake_event_free);
	g_clear_error(&answer->error);
	g_free(answer);
}

Event *
fake_push(Answer *answer, EventKind kind)
{
	Event *event = g_new0(Event, 1);

	event->kind = kind;
	g_queue_push_tail(&answer->events, event);
	return event;
}

static Event *
push_flags(Answer *answer, const FakeMessage *message)
{
	Event *event = fake_push(answer, EVENT_FLAGS);

	event->info.uid = message->uid;
	event->info.flags = message->flags;
	event->text = g_strdup(message->keywords);
	return event;
}

void
fake_push_mailbox(Answer *answer, const FakeMailbox *mailbox)
{
	Event *event = fake_push(answer, EVENT_MAILBOX);

	event->text = g_strdup(mailbox->name);
	event->prefix = g_strdup(mailbox->prefix);
	event->mailbox.separator = mailbox->separator;
	event->mailbox.attributes = mailbox->attributes;
	event->mailbox.messages = mailbox->messages->len;
}

static void
push_message(Answer *answer, const FakeMessage *message, gboolean header)
{
	Event *event = fake_push(answer, EVENT_MESSAGE);

	event->info = (MessageInfo){.uid = message->uid,
				    .flags = message->flags,
				    .size = message->claimed,
				    .date = message->date};
	event->text = g_strdup(message->keywords);
	if (header)
		event->bytes = g_bytes_ref(message->fields);
}

static guint
answer_known(Answer *answer, const FakeServer *server, const FakeMailbox *mailbox,
	     const MailboxState *known)
{
	g_autoptr(UidSet) present = uidset_new();
	g_autoptr(UidSet) vanished = uidset_new();
	gboolean changes = server->knobs.qresync && known->highestmodseq != 0;
	guint n = 0;

	for (guint i = 0; i < mailbox->messages->len; i++) {
		const FakeMessage *message = mailbox->messages->pdata[i];

		if (message->uid >= known->uidnext)
			continue;
		uidset_add(present, message->uid, message->uid);
		n++;
		if (!changes || message->modseq > known->highestmodseq)
			push_flags(answer, message);
	}
	for (guint i = 0; i < mailbox->expunged->len; i++) {
		const Expunged *expunged = &g_array_index(mailbox->expunged, Expunged, i);

		if (expunged->modseq > known->highestmodseq && expunged->uid < known->uidnext &&
		    !server->knobs.forgetful)
			uidset_add(vanished, expunged->uid, expunged->uid);
	}
	if (changes && !uidset_is_empty(vanished))
		fake_push(answer, EVENT_VANISHED)->uids = uidset_copy(vanished);
	if (!changes || (known->count != n + uidset_count(vanished) && !server->knobs.forgetful))
		fake_push(answer, EVENT_PRESENT)->uids = g_steal_pointer(&present);
	return n;
}

static void
answer_sync(Answer *answer, const FakeServer *server, const FakeMailbox *mailbox,
	    const Request *request)
{
	MailboxState known = request->known;
	guint n = mailbox->messages->len, fresh = 0;

	if (known.uidvalidity != mailbox->state.uidvalidity)
		known = (MailboxState){.uidnext = 1};
	known.uidnext = MAX(known.uidnext, 1);
	answer->state = mailbox->state;
	answer->state.count = n;
	if (!server->knobs.qresync)
		answer->state.highestmodseq = 0;
	fake_push(answer, EVENT_SELECTED);
	if (known.uidnext > 1)
		answer_known(answer, server, mailbox, &known);
	for (guint i = 0; i < n; i++) {
		const FakeMessage *message =
			mailbox->messages->pdata[server->knobs.descending ? n - 1 - i : i];

		if (message->uid < known.uidnext)
			continue;
		push_message(answer, message, request->want_header);
		if (message->uid == server->knobs.late_flags)
			push_flags(answer, message)->info.flags = MESSAGE_FLAGGED;
		if (++fresh % server->knobs.batch == 0)
			fake_push(answer, EVENT_BATCH);
	}
	fake_push(answer, EVENT_BATCH);
}

/* @size octets of the body from @offset on. */
static void
push_octets(Answer *answer, FakeMessage *message, gsize offset, gsize size, FakeBody spoil)
{
	gboolean whole = spoil == FAKE_SOUND || spoil == FAKE_LATE_UID;
	gsize end = offset + (whole ? size : size / 2), third = size / 3 + 1;
	Event *event = fake_push(answer, EVENT_BODY_OPEN);

	event->info.size = size;
	event->info.uid = spoil == FAKE_LATE_UID ? 0 : message->uid;
	for (gsize at = offset; at < end; at += third) {
		event = fake_push(answer, EVENT_BODY_DATA);
		event->bytes =
			g_bytes_new_from_bytes(message->body, at, MIN(third, offset + size - at));
	}
	event = fake_push(answer, whole			? EVENT_BODY_DONE
				  : spoil == FAKE_SHORT ? EVENT_BODY_SHORT
							: EVENT_CUT);
	event->info.uid = message->uid;
}

static void
push_body(Answer *answer, FakeMessage *message, const Request *request)
{
	gsize size = g_bytes_get_size(message->body);
	gsize offset = MIN(request->offset, size);
	FakeBody spoil = message->spoil_times > 0 ? message->spoil : FAKE_SOUND;

	if (spoil == FAKE_NO_PARTS && request->length > 0) {
		g_set_error(&answer->error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL, "no parts");
		return;
	}
	if (spoil == FAKE_NO_PARTS)
		spoil = FAKE_SOUND;
	if (spoil != FAKE_SOUND)
		message->spoil_times--;
	if (spoil == FAKE_WITHHELD)
		return;
	if (request->probe > 0)
		fake_push(answer, EVENT_PROBED)->used = MIN(size - MIN(request->probe, size), 2);
	push_octets(answer, message, offset,
		    request->length > 0 ? MIN(request->length, size - offset) : size, spoil);
}

static void
answer_fetch(Answer *answer, const FakeMailbox *mailbox, const Request *request)
{
	for (guint i = 0; i < mailbox->messages->len; i++) {
		FakeMessage *message = mailbox->messages->pdata[i];
		gpointer key = GUINT_TO_POINTER(message->uid);
		guint asked = GPOINTER_TO_UINT(g_hash_table_lookup(mailbox->asked, key));

		if (!uidset_contains(request->uids, message->uid))
			continue;
		if (request->kind != REQUEST_HEADERS) {
			g_hash_table_insert(mailbox->asked, key, GUINT_TO_POINTER(asked + 1));
			push_body(answer, message, request);
		} else {
			const char *raw = g_bytes_get_data(message->body, NULL);
			Event *event = fake_push(answer, EVENT_HEADER);

			event->info.uid = message->uid;
			event->bytes = g_bytes_new_from_bytes(message->body, 0,
							      strstr(raw, "\r\n\r\n") + 4 - raw);
		}
	}
}

static void
answer_list(Answer *answer, const FakeServer *server)
{
	for (guint i = 0; i < server->mailboxes->len; i++)
		fake_push_mailbox(answer, server->mailboxes->pdata[i]);
}

Answer *
fake_answer_new(FakeServer *server, const Request *request)
{
	Answer *answer = g_new0(Answer, 1);
	FakeMailbox *mailbox =
		request->mailbox != NULL ? fake_find_mailbox(server, request->mailbox) : NULL;

	if (request_kind_changes(request->kind)) {
		fake_answer_change(answer, server, mailbox, request);
		return answer;
	}
	if (request->kind != REQUEST_LIST && request->kind != REQUEST_STATUS && mailbox == NULL) {
		g_set_error(&answer->error, MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND, "no mailbox %s",
			    request->mailbox);
		return answer;
	}
	if ((request->kind == REQUEST_FETCH || request->kind == REQUEST_PART ||
	     request->kind == REQUEST_HEADERS) &&
	    request->uidvalidity != mailbox->state.uidvalidity) {
		g_set_error(&answer->error, MAILFS_ERROR, MAILFS_ERROR_STALE,
			    "UIDVALIDITY is another");
		return answer;
	}
	switch (request->kind) {
	case REQUEST_SEARCH:
		g_set_error(&answer->error, MAILFS_ERROR, MAILFS_ERROR_UNSUPPORTED,
			    "this server finds nothing");
		break;
	case REQUEST_STATUS:
		break; /* fake-backend.c tells */
	case REQUEST_CREATE:
	case REQUEST_DELETE:
	case REQUEST_RENAME:
	case REQUEST_STORE:
	case REQUEST_COPY:
	case REQUEST_MOVE:
	case REQUEST_EXPUNGE:
	case REQUEST_APPEND:
		break; /* answered above */
	case REQUEST_LIST:
		answer_list(answer, server);
		break;
	case REQUEST_SYNC:
		answer_sync(answer, server, mailbox, request);
		break;
	case REQUEST_FETCH:
	case REQUEST_PART:
	case REQUEST_HEADERS:
		answer_fetch(answer, mailbox, request);
		break;
	case REQUEST_QUOTA:
		if (server->knobs.quota_limit > 0) {
			Event *event = fake_push(answer, EVENT_QUOTA);

			event->used = server->knobs.quota_used;
			event->limit = server->knobs.quota_limit;
		}
		break;
	}
	return answer;
}

/* --- directories --- */

char *
fake_directory(void)
{
	char *path = g_dir_make_tmp("mailfs-test-XXXXXX", NULL);

	g_assert_nonnull(path);
	return path;
}

char *
fake_directory_copy(const char *path)
{
	char *copy = fake_directory();
	/* What is used while it is copied may lose a file under cp's hands. */
	g_autofree char *command = g_strdup_printf(
		"for try in 1 2 3 4 5; do rm -rf '%s'; cp -a '%s' '%s' && exit 0; done; exit 1",
		copy, path, copy);

	g_assert_cmpint(system(command), ==, 0);
	return copy;
}

static void
remove_all(const char *path)
{
	if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
		g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
		const char *name;

		while ((name = g_dir_read_name(directory)) != NULL) {
			g_autofree char *below = g_build_filename(path, name, NULL);

			remove_all(below);
		}
	}
	g_assert_cmpint(g_remove(path), ==, 0);
}

void
fake_directory_remove(char *path)
{
	remove_all(path);
	g_free(path);
}
