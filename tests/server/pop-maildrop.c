/* SPDX-License-Identifier: MIT */
#include "pop-maildrop.h"

#include <string.h>

#include "base/error.h"

typedef struct {
	char *name;
	char *text; /* CRLF */
	gboolean deleted;
} Stored;

static void
stored_free(gpointer data)
{
	Stored *stored = data;

	g_free(stored->name);
	g_free(stored->text);
	g_free(stored);
}

PopMaildrop *
pop_maildrop_new(void)
{
	PopMaildrop *drop = g_new0(PopMaildrop, 1);

	g_mutex_init(&drop->lock);
	drop->messages = g_ptr_array_new_with_free_func(stored_free);
	return drop;
}

void
pop_maildrop_free(PopMaildrop *drop)
{
	if (drop == NULL)
		return;
	g_ptr_array_unref(drop->messages);
	g_mutex_clear(&drop->lock);
	g_free(drop);
}

void
pop_maildrop_add(PopMaildrop *drop, const char *message)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&drop->lock);
	g_autoptr(GString) text = g_string_new(message);
	Stored *stored = g_new0(Stored, 1);

	g_string_replace(text, "\r\n", "\n", 0);
	g_string_replace(text, "\n", "\r\n", 0);
	stored->name = g_strdup_printf("name-%u", ++drop->next_name);
	stored->text = g_strdup(text->str);
	g_ptr_array_add(drop->messages, stored);
}

void
pop_maildrop_fill(PopMaildrop *drop, guint n)
{
	for (guint i = 1; i <= n; i++) {
		g_autofree char *text = g_strdup_printf(
			"Message-ID: <%u@x>\nSubject: message-%u\n\nThis is number %u.\n", i, i, i);

		pop_maildrop_add(drop, text);
	}
}

void
pop_maildrop_remove(PopMaildrop *drop, guint index)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&drop->lock);

	g_ptr_array_remove_index(drop->messages, index);
}

void
pop_maildrop_swap_names(PopMaildrop *drop, guint a, guint b)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&drop->lock);
	Stored *one = drop->messages->pdata[a];
	Stored *other = drop->messages->pdata[b];
	char *name = one->name;

	one->name = other->name;
	other->name = name;
}

guint
pop_maildrop_open(PopMaildrop *drop)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&drop->lock);

	return drop->open;
}

char *
pop_maildrop_subjects(PopMaildrop *drop)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&drop->lock);
	GString *subjects = g_string_new(NULL);

	for (guint i = 0; i < drop->messages->len; i++) {
		const Stored *stored = drop->messages->pdata[i];
		const char *subject = strstr(stored->text, "Subject: ");

		subject = subject != NULL ? subject + strlen("Subject: ") : "none\r";
		g_string_append_printf(subjects, "%s%.*s", i > 0 ? " " : "",
				       (int)strcspn(subject, "\r"), subject);
	}
	return g_string_free(subjects, FALSE);
}

/* The server
 * ------------------------------------------------------------------------------------------------------
 */

typedef struct {
	PopMaildrop *drop;
	PeerLine *line;
	gsize limit, sent, heard;
	gboolean over, has_it;
} Session;

static void
send_bytes(Session *session, const char *bytes, gsize len)
{
	if (session->limit != 0 && session->sent + len > session->limit) {
		peer_send_bytes(session->line, bytes, session->limit - session->sent);
		peer_cut(session->line);
		session->over = TRUE;
		return;
	}
	session->sent += len;
	peer_send_bytes(session->line, bytes, len);
}

static void
send_text(Session *session, const char *text)
{
	g_autofree char *line = g_strconcat(text, "\r\n", NULL);

	send_bytes(session, line, strlen(line));
}

static void
send_capabilities(Session *session)
{
	const PopMaildrop *drop = session->drop;
	g_autoptr(GString) text = g_string_new("+OK\r\nUSER\r\n");

	if (!drop->no_top)
		g_string_append(text, "TOP\r\n");
	if (!drop->no_uidl)
		g_string_append(text, "UIDL\r\n");
	if (!drop->no_pipelining)
		g_string_append(text, "PIPELINING\r\n");
	if (drop->keeps_nothing)
		g_string_append(text, "EXPIRE 0\r\n");
	if (drop->login_delay > 0)
		g_string_append_printf(text, "LOGIN-DELAY %u\r\n", drop->login_delay);
	g_string_append(text, ".");
	send_text(session, drop->no_capa ? "-ERR what?" : text->str);
}

static char *
name_of(const PopMaildrop *drop, guint index)
{
	const Stored *stored = drop->messages->pdata[index];

	if (drop->same_uidl != NULL)
		return g_strdup(drop->same_uidl);
	if (drop->numbers_as_uidl)
		return g_strdup_printf("%u", index + 1);
	return g_strdup_printf("%s-%u", stored->name, drop->renamed);
}

static void
send_listing(Session *session, gboolean names)
{
	PopMaildrop *drop = session->drop;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&drop->lock);
	g_autoptr(GString) text = g_string_new("+OK\r\n");

	for (guint i = 0; i < drop->messages->len; i++) {
		const Stored *stored = drop->messages->pdata[i];
		g_autofree char *name = name_of(drop, i);

		if (names)
			g_string_append_printf(text, "%u %s\r\n", i + 1, name);
		else
			g_string_append_printf(text, "%u %" G_GUINT64_FORMAT "\r\n", i + 1,
					       strlen(stored->text) + drop->size_off);
	}
	g_string_append(text, ".");
	send_text(session, text->str);
}

static void
send_message(Session *session, guint number, gboolean whole)
{
	PopMaildrop *drop = session->drop;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&drop->lock);
	const Stored *stored = number > 0 && number <= drop->messages->len
				       ? drop->messages->pdata[number - 1]
				       : NULL;
	g_autoptr(GString) text = g_string_new("+OK\r\n");
	const char *end;

	if (stored == NULL || stored->deleted) {
		send_text(session, "-ERR no such message");
		return;
	}
	drop->retrs += whole;
	drop->tops += !whole;
	end = whole ? NULL : strstr(stored->text, "\r\n\r\n");
	g_string_append_len(text, stored->text,
			    end != NULL ? end + 4 - stored->text : (gssize)strlen(stored->text));
	if (!g_str_has_suffix(text->str, "\r\n"))
		g_string_append(text, "\r\n");
	g_string_replace(text, "\r\n.", "\r\n..", 0);
	g_string_append(text, ".");
	send_text(session, text->str);
}

static void
delete_message(Session *session, guint number)
{
	PopMaildrop *drop = session->drop;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&drop->lock);

	if (number == 0 || number > drop->messages->len) {
		send_text(session, "-ERR no such message");
		return;
	}
	((Stored *)drop->messages->pdata[number - 1])->deleted = TRUE;
	send_text(session, "+OK marked");
}

/* What was marked goes, with QUIT; or not, without. */
static void
end_session(PopMaildrop *drop, gboolean quit)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&drop->lock);

	for (guint i = drop->messages->len; i > 0; i--) {
		Stored *stored = drop->messages->pdata[i - 1];

		if (stored->deleted && quit)
			g_ptr_array_remove_index(drop->messages, i - 1);
		else
			stored->deleted = FALSE;
	}
}

static void
log_in(Session *session)
{
	PopMaildrop *drop = session->drop;
	gboolean busy;

	g_mutex_lock(&drop->lock);
	busy = (drop->locks && drop->open > 0) || drop->busy_logins > 0;
	drop->busy_logins -= drop->busy_logins > 0;
	session->has_it = !busy;
	drop->open += !busy;
	g_mutex_unlock(&drop->lock);
	send_text(session, busy ? "-ERR [IN-USE] another has it" : "+OK");
}

static gboolean
handle_odd(Session *session, const char *command)
{
	PopMaildrop *drop = session->drop;

	if (drop->cut_at != NULL && g_str_has_prefix(command, drop->cut_at)) {
		if (drop->quit_anyway)
			end_session(drop, TRUE);
		peer_cut(session->line);
		session->over = TRUE;
		return TRUE;
	}
	if (drop->refuse == NULL || !g_pattern_match_simple(drop->refuse, command))
		return FALSE;
	send_text(session, drop->refusal != NULL ? drop->refusal : "-ERR no");
	return TRUE;
}

static void
handle(Session *session, const char *command)
{
	PopMaildrop *drop = session->drop;
	const char *argument = command + strcspn(command, " ");
	guint number = (guint)g_ascii_strtoull(argument, NULL, 10);

	if (handle_odd(session, command))
		return;
	if (strcmp(command, "CAPA") == 0)
		send_capabilities(session);
	else if (g_str_has_prefix(command, "PASS"))
		log_in(session);
	else if (strcmp(command, "UIDL") == 0 && !drop->no_uidl)
		send_listing(session, TRUE);
	else if (strcmp(command, "LIST") == 0 && !drop->no_list)
		send_listing(session, FALSE);
	else if (g_str_has_prefix(command, "TOP ") && !drop->no_top)
		send_message(session, number, FALSE);
	else if (g_str_has_prefix(command, "RETR "))
		send_message(session, number, TRUE);
	else if (g_str_has_prefix(command, "DELE "))
		delete_message(session, number);
	else if (strcmp(command, "QUIT") == 0) {
		end_session(drop, TRUE);
		send_text(session, "+OK bye");
		session->over = TRUE;
	} else if (g_str_has_prefix(command, "USER"))
		send_text(session, "+OK");
	else
		send_text(session, "-ERR unknown command");
}

void
pop_maildrop_serve(PeerLine *line, gpointer user)
{
	PopMaildrop *drop = user;
	Session session = {.drop = drop, .line = line, .limit = drop->cut_after};
	gsize before = peer_received(peer_line_peer(line));

	g_mutex_lock(&session.drop->lock);
	session.drop->sessions++;
	g_mutex_unlock(&session.drop->lock);
	send_text(&session, "+OK ready");
	while (!session.over) {
		g_autofree char *command = peer_read_line(line);

		if (command == NULL)
			break;
		session.heard += strlen(command) + 2;
		if (peer_received(peer_line_peer(line)) - before > session.heard)
			session.drop->ahead = TRUE;
		handle(&session, command);
	}
	if (session.has_it)
		end_session(session.drop, FALSE);
	g_mutex_lock(&session.drop->lock);
	session.drop->open -= session.has_it;
	g_mutex_unlock(&session.drop->lock);
}

/* Numbers
 * -------------------------------------------------------------------------------------------------------
 */

typedef struct {
	char *key;
	guint64 size;
	guint32 uid;
	PopIdentity identity;
} Known;

static void
known_clear(gpointer known)
{
	g_free(((Known *)known)->key);
}

static Known *
known_at(PopMemory *memory, guint i)
{
	return &g_array_index(memory->known, Known, i);
}

static gboolean
memory_open(gpointer user, guint32 *uidvalidity_out, guint32 *uidnext_out, GError **error)
{
	PopMemory *memory = user;

	*uidvalidity_out = memory->uidvalidity;
	*uidnext_out = memory->uidnext;
	return TRUE;
}

static gboolean
memory_look_up(gpointer user, PopMessage *messages, guint n, GError **error)
{
	PopMemory *memory = user;

	for (guint i = 0; i < n; i++)
		for (guint k = 0; k < memory->known->len; k++) {
			const Known *known = known_at(memory, k);

			if (strcmp(known->key, messages[i].key) != 0)
				continue;
			messages[i].uid = known->uid;
			messages[i].known_size = known->size;
			messages[i].identity = known->identity;
		}
	return TRUE;
}

static guint32
memory_give(gpointer user, const PopMessage *message, const PopIdentity *identity,
	    const UidSet *taken, GError **error)
{
	PopMemory *memory = user;
	Known *found = NULL;

	for (guint k = 0; k < memory->known->len; k++) {
		Known *known = known_at(memory, k);

		if (strcmp(known->key, message->key) == 0)
			*known->key = '\0';
		if (found == NULL && !uidset_contains(taken, known->uid) &&
		    memcmp(&known->identity, identity, sizeof *identity) == 0)
			found = known;
	}
	if (found == NULL) {
		Known fresh = {.uid = memory->uidnext++, .identity = *identity};

		memory->given++;
		g_array_append_val(memory->known, fresh);
		found = known_at(memory, memory->known->len - 1);
	}
	g_free(found->key);
	found->key = g_strdup(message->key);
	found->size = message->size;
	return found->uid;
}

static void
memory_resize(gpointer user, guint32 uid, guint64 size)
{
	PopMemory *memory = user;

	for (guint k = 0; k < memory->known->len; k++)
		if (known_at(memory, k)->uid == uid)
			known_at(memory, k)->size = size;
}

static void
memory_settle(gpointer user, const UidSet *present)
{
	PopMemory *memory = user;

	memory->settled++;
	for (guint k = memory->known->len; k > 0; k--)
		if (!uidset_contains(present, known_at(memory, k - 1)->uid))
			g_array_remove_index(memory->known, k - 1);
}

PopMemory *
pop_memory_new(void)
{
	PopMemory *memory = g_new0(PopMemory, 1);

	memory->numbers = (PopNumbers){.open = memory_open,
				       .look_up = memory_look_up,
				       .give = memory_give,
				       .resize = memory_resize,
				       .settle = memory_settle,
				       .user = memory};
	memory->known = g_array_new(FALSE, TRUE, sizeof(Known));
	g_array_set_clear_func(memory->known, known_clear);
	memory->uidvalidity = 7;
	memory->uidnext = 1;
	return memory;
}

void
pop_memory_free(PopMemory *memory)
{
	if (memory == NULL)
		return;
	g_array_unref(memory->known);
	g_free(memory);
}

/* The client
 * ------------------------------------------------------------------------------------------------------
 */

ImapClient *
pop_client_new(Peer *peer, TlsMode tls, PopMemory *memory)
{
	ImapClient *client = imap_client_new_of(peer, tls, pop_backend_new);

	client->config.numbers = &memory->numbers;
	client->state.uidnext = 1;
	return client;
}

void
pop_client_leave(ImapClient *client)
{
	g_autoptr(GError) closed =
		g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_OFFLINE, "the session is over");

	if (client->backend == NULL)
		return;
	client->backend->ops->logout(client->backend, 2000);
	client->backend->ops->free(client->backend, closed);
	client->backend = NULL;
}

void
pop_client_again(ImapClient *client)
{
	pop_client_leave(client);
	imap_client_renew(client);
	imap_client_must_login(client);
}

void
pop_client_sync(ImapClient *client)
{
	Request *request = imap_client_request(client, REQUEST_SYNC, POP_MAILBOX);

	request->known = client->state;
	imap_client_run(client, request);
}

void
pop_client_fetch(ImapClient *client, const char *uids)
{
	imap_client_run(client, imap_client_fetch(client, POP_MAILBOX, 7, uids));
}

void
pop_client_expunge(ImapClient *client, const char *uids)
{
	imap_client_run(client,
			imap_client_change(client, REQUEST_EXPUNGE, POP_MAILBOX, uids, NULL));
}

void
pop_fixture_begin(PopFixture *f, gconstpointer data)
{
	f->drop = pop_maildrop_new();
	f->memory = pop_memory_new();
	f->peer = peer_new(pop_maildrop_serve, f->drop);
	f->client = pop_client_new(f->peer, TLS_NONE, f->memory);
}

void
pop_fixture_end(PopFixture *f, gconstpointer data)
{
	pop_client_leave(f->client);
	imap_client_free(f->client);
	peer_free(f->peer);
	pop_memory_free(f->memory);
	pop_maildrop_free(f->drop);
}

gboolean
pop_fixture_again_cut(PopFixture *f, gsize octets)
{
	g_autoptr(GError) error = NULL;

	f->drop->cut_after = octets;
	pop_client_leave(f->client);
	imap_client_renew(f->client);
	g_string_truncate(f->client->log, 0);
	return imap_client_login(f->client, &error);
}

void
pop_fixture_assert_log(PopFixture *f, const char *expected)
{
	g_string_replace(f->client->log, " 0 <>", "", 0);
	g_string_replace(f->client->log, " -9223372036854775808", "", 0);
	g_string_replace(f->client->log, "\\x0d\\x0a", "/", 0);
	g_string_replace(f->client->log, "\r\n", "/", 0);
	imap_client_assert_log(f->client, expected);
}
