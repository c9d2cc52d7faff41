/* SPDX-License-Identifier: MIT */
#include "imap-client.h"

#include <string.h>

#include "base/error.h"
#include "base/util.h"

enum { PATIENCE_MS = 10000 };

/* The peer's side
 * -------------------------------------------------------------------------------------------------
 */

static void
dialog_action(PeerLine *line, const char *action)
{
	if (strcmp(action, "tls") == 0)
		peer_start_tls(line, PEER_GOOD);
	else if (strcmp(action, "self-signed") == 0)
		peer_start_tls(line, PEER_SELF_SIGNED);
	else if (strcmp(action, "deflate") == 0)
		peer_start_deflate(line);
	else if (strcmp(action, "pause") == 0)
		peer_pause(line);
	else if (strcmp(action, "stall") == 0)
		peer_stall(line);
	else if (strcmp(action, "close") == 0)
		peer_close(line);
	else if (strcmp(action, "cut") == 0)
		peer_cut(line);
	else if (strcmp(action, "end") == 0)
		peer_expect_close(line);
	else
		g_error("no such action: %s", action);
}

static void
dialog_expect(PeerLine *line, GHashTable *tags, const char *text)
{
	g_autofree char *name = g_strndup(text, strcspn(text, " "));
	g_autofree char *pattern = g_strconcat("TAG", text + strlen(name), NULL);

	peer_expect(line, pattern);
	if (peer_line_alive(line))
		g_hash_table_replace(tags, g_steal_pointer(&name), g_strdup(peer_tag(line)));
}

static void
dialog_send(PeerLine *line, GHashTable *tags, const char *text)
{
	g_autofree char *name = g_strndup(text, strcspn(text, " "));
	const char *tag = g_hash_table_lookup(tags, name);
	g_autofree char *whole =
		g_strconcat(tag != NULL ? tag : name, text + strlen(name), "\r\n", NULL);

	peer_send_bytes(line, whole, strlen(whole));
}

void
imap_peer_dialog(PeerLine *line, gpointer user)
{
	g_autoptr(GHashTable) tags = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

	for (const char *const *step = user; *step != NULL && peer_line_alive(line); step++) {
		if (**step == '<')
			dialog_expect(line, tags, *step + 1);
		else if (**step == '=')
			peer_expect(line, *step + 1);
		else if (**step == '>')
			dialog_send(line, tags, *step + 1);
		else
			dialog_action(line, *step + 1);
	}
}

/* Events
 * ----------------------------------------------------------------------------------------------------------
 */

static void log_event(gpointer user, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
log_event(gpointer user, const char *format, ...)
{
	ImapClient *client = user;
	va_list arguments;

	va_start(arguments, format);
	g_string_append_vprintf(client->log, format, arguments);
	va_end(arguments);
	g_string_append_c(client->log, '\n');
}

static void
log_mailbox(gpointer user, const MailboxInfo *info)
{
	log_event(user, "mailbox %s %c %#x <%s> %d", info->name,
		  info->separator != 0 ? info->separator : '0', info->attributes, info->prefix,
		  (int)info->messages);
}

static void
log_selected(gpointer user, const MailboxState *now)
{
	log_event(user, "selected %u", now->uidvalidity);
}

static void
log_message(gpointer user, const MessageInfo *info)
{
	g_autofree char *header = util_printable(info->header, (gssize)info->header_len, 100);

	log_event(user, "message %u %#x <%s> %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %s",
		  info->uid, info->flags, info->keywords, info->size, info->date,
		  info->header != NULL ? header : "none");
}

static void
log_flags(gpointer user, guint32 uid, guint32 flags, const char *keywords)
{
	log_event(user, "flags %u %#x <%s>", uid, flags, keywords);
}

static void
log_set(gpointer user, const char *what, const UidSet *uids)
{
	guint next = 0;
	g_autofree char *text = uidset_format(uids, &next, 1000);

	log_event(user, "%s %s", what, text);
}

static void
log_vanished(gpointer user, const UidSet *uids)
{
	log_set(user, "vanished", uids);
}

static void
log_stored(gpointer user, const UidSet *uids)
{
	log_set(user, "stored", uids);
}

static void
log_marked(gpointer user, const UidSet *uids)
{
	log_set(user, "marked", uids);
}

static void
log_copied(gpointer user, const UidSet *source, guint32 uidvalidity, const UidSet *target)
{
	guint next = 0;
	guint next_target = 0;
	g_autofree char *from = uidset_format(source, &next, 1000);
	g_autofree char *to = target != NULL ? uidset_format(target, &next_target, 1000) : NULL;

	g_assert_true((uidvalidity == 0) == (target == NULL));
	log_event(user, "copied %s to %u %s", from, uidvalidity, to != NULL ? to : "unknown");
}

static void
log_found(gpointer user, const UidSet *uids)
{
	if (uidset_is_empty(uids))
		log_event(user, "found nothing");
	else
		log_set(user, "found", uids);
}

static void
log_present(gpointer user, const UidSet *uids)
{
	log_set(user, "present", uids);
}

static gboolean
log_body_open(gpointer user, guint64 announced, GError **error)
{
	ImapClient *client = user;

	if (client->unwanted) {
		log_event(user, "refused %" G_GUINT64_FORMAT, announced);
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "no room");
		return FALSE;
	}
	g_string_append_printf(client->log, "open %" G_GUINT64_FORMAT " <", announced);
	return TRUE;
}

static gboolean
log_body_data(gpointer user, const guint8 *data, gsize len, GError **error)
{
	ImapClient *client = user;

	g_assert_cmpuint(len, >, 0);
	g_assert_cmpuint(len, <=, 256 * 1024);
	if (len > 1000)
		g_string_append_printf(client->log, "%zu bytes", len);
	else
		g_string_append_len(client->log, (const char *)data, (gssize)len);
	return TRUE;
}

static gboolean
log_part_open(gpointer user, guint32 uid, guint64 announced, GError **error)
{
	ImapClient *client = user;

	g_string_append_printf(client->log, "part of %u, %" G_GUINT64_FORMAT " <", uid, announced);
	return TRUE;
}

static void
log_probed(gpointer user, guint64 octets)
{
	log_event(user, "probed %" G_GUINT64_FORMAT, octets);
}

static const char *
code_name(const GError *error)
{
	if (error->domain != MAILFS_ERROR)
		return g_quark_to_string(error->domain);
	switch (error->code) {
	case MAILFS_ERROR_OFFLINE:
		return "OFFLINE";
	case MAILFS_ERROR_TIMEOUT:
		return "TIMEOUT";
	case MAILFS_ERROR_PROTOCOL:
		return "PROTOCOL";
	case MAILFS_ERROR_NOT_FOUND:
		return "NOT_FOUND";
	case MAILFS_ERROR_STALE:
		return "STALE";
	case MAILFS_ERROR_LIMIT:
		return "LIMIT";
	case MAILFS_ERROR_BUSY:
		return "BUSY";
	case MAILFS_ERROR_INVALID:
		return "INVALID";
	case MAILFS_ERROR_DENIED:
		return "DENIED";
	case MAILFS_ERROR_FORBIDDEN:
		return "FORBIDDEN";
	case MAILFS_ERROR_UNSUPPORTED:
		return "UNSUPPORTED";
	case MAILFS_ERROR_READ_ONLY:
		return "READ_ONLY";
	case MAILFS_ERROR_QUOTA:
		return "QUOTA";
	case MAILFS_ERROR_TOO_BIG:
		return "TOO_BIG";
	case MAILFS_ERROR_EXISTS:
		return "EXISTS";
	case MAILFS_ERROR_NOT_EMPTY:
		return "NOT_EMPTY";
	case MAILFS_ERROR_UNKNOWN_OUTCOME:
		return "UNKNOWN_OUTCOME";
	default:
		return "OTHER";
	}
}

static void
log_appended(gpointer user, guint index, guint32 uidvalidity, guint32 uid, const GError *error)
{
	if (error != NULL)
		log_event(user, "appended %u %s", index, code_name(error));
	else
		log_event(user, "appended %u as %u %u", index, uidvalidity, uid);
}

static void
log_body_done(gpointer user, guint32 uid, const GError *error)
{
	ImapClient *client = user;

	log_event(user, "%sbody %u %s", client->unwanted ? "" : "> ", uid,
		  error != NULL ? code_name(error) : "whole");
}

static void
log_header(gpointer user, guint32 uid, const char *header, gsize len)
{
	g_autofree char *text = util_printable(header, (gssize)len, 60);

	log_event(user, "header %u %zu %s", uid, len, text);
}

static void
log_quota(gpointer user, guint64 used, guint64 limit)
{
	log_event(user, "quota %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, used, limit);
}

static void
log_done(gpointer user, const MailboxState *state, const GError *error)
{
	ImapClient *client = user;

	client->finished = TRUE;
	g_clear_error(&client->error);
	if (error != NULL) {
		client->error = g_error_copy(error);
		log_event(user, "done %s", code_name(error));
		return;
	}
	if (state == NULL) {
		log_event(user, "done");
		return;
	}
	client->state = *state;
	log_event(user, "done %u %u %" G_GUINT64_FORMAT " %u", state->uidvalidity, state->uidnext,
		  state->highestmodseq, state->count);
}

static const RequestEvents events = {
	.mailbox = log_mailbox,
	.selected = log_selected,
	.message = log_message,
	.flags = log_flags,
	.vanished = log_vanished,
	.present = log_present,
	.found = log_found,
	.stored = log_stored,
	.copied = log_copied,
	.marked = log_marked,
	.appended = log_appended,
	.body_open = log_body_open,
	.body_data = log_body_data,
	.body_done = log_body_done,
	.part_open = log_part_open,
	.part_data = log_body_data,
	.part_done = log_body_done,
	.probed = log_probed,
	.header = log_header,
	.quota = log_quota,
	.done = log_done,
};

static void
news_changed(gpointer user, const char *mailbox)
{
	ImapClient *client = user;

	g_string_append_printf(client->news, "changed %s\n", mailbox);
}

static void
news_alert(gpointer user, const char *text)
{
	ImapClient *client = user;

	g_string_append_printf(client->news, "alert %s\n", text);
}

static void
news_status(gpointer user, const char *mailbox, const MailboxStatus *status)
{
	ImapClient *client = user;

	if (client->hears_all)
		g_string_append_printf(client->news,
				       "status %s %d %d %u %u %" G_GUINT64_FORMAT "\n", mailbox,
				       (int)status->messages, (int)status->unseen,
				       status->uidvalidity, status->uidnext, status->highestmodseq);
}

static void
news_folders(gpointer user)
{
	ImapClient *client = user;

	if (client->hears_all)
		g_string_append(client->news, "folders\n");
}

static const BackendNews news = {.changed = news_changed,
				 .alert = news_alert,
				 .status = news_status,
				 .folders = news_folders};

/* The client
 * ------------------------------------------------------------------------------------------------------
 */

static char *
get_secret(gpointer user, gboolean again, GCancellable *cancel, GError **error)
{
	ImapClient *client = user;

	client->asked++;
	return g_strdup(again ? "fresh" : client->password);
}

ImapClient *
imap_client_new(Peer *peer, TlsMode tls)
{
	return imap_client_new_of(peer, tls, imap_backend_new);
}

ImapClient *
imap_client_new_of(Peer *peer, TlsMode tls,
		   Backend *(*backend_new)(const BackendConfig *config, const BackendNews *news,
					   gpointer user))
{
	ImapClient *client = g_new0(ImapClient, 1);

	if (tls != TLS_NONE)
		client->tls = tls_context_new(peer_ca_file(peer), NULL, NULL);
	client->password = "secret";
	client->config = (BackendConfig){
		.host = g_strdup("localhost"),
		.port = peer_port(peer),
		.tls = tls,
		.tls_context = client->tls,
		.user = g_strdup("u"),
		.secret = {get_secret, client},
		.timeout_ms = PATIENCE_MS,
		.read_only = TRUE,
	};
	client->log = g_string_new(NULL);
	client->news = g_string_new(NULL);
	client->backend_new = backend_new;
	imap_client_renew(client);
	return client;
}

static void
drop_backend(ImapClient *client, const GError *error)
{
	if (client->backend != NULL)
		client->backend->ops->free(client->backend, error);
	client->backend = NULL;
}

void
imap_client_renew(ImapClient *client)
{
	drop_backend(client, NULL);
	client->backend = client->backend_new(&client->config, &news, client);
}

void
imap_client_free(ImapClient *client)
{
	if (client == NULL)
		return;
	drop_backend(client, NULL);
	tls_context_free(client->tls);
	g_free(client->config.host);
	g_free(client->config.user);
	g_string_free(client->log, TRUE);
	g_string_free(client->news, TRUE);
	g_clear_error(&client->error);
	g_free(client);
}

gboolean
imap_client_login(ImapClient *client, GError **error)
{
	return client->backend->ops->login(client->backend, NULL, error);
}

void
imap_client_must_login(ImapClient *client)
{
	g_autoptr(GError) error = NULL;

	imap_client_login(client, &error);
	g_assert_no_error(error);
}

Request *
imap_client_request(ImapClient *client, RequestKind kind, const char *mailbox)
{
	return request_new(kind, mailbox, &events, client);
}

Request *
imap_client_fetch(ImapClient *client, const char *mailbox, guint32 uidvalidity, const char *uids)
{
	Request *request = imap_client_request(client, REQUEST_FETCH, mailbox);

	request->uidvalidity = uidvalidity;
	request->uids = uidset_parse(uids, strlen(uids), 10000);
	g_assert_nonnull(request->uids);
	return request;
}

Request *
imap_client_change(ImapClient *client, RequestKind kind, const char *mailbox, const char *uids,
		   const char *target)
{
	Request *request = imap_client_request(client, kind, mailbox);

	client->config.read_only = FALSE;
	request->uidvalidity = 7;
	request->uids = uids != NULL ? uidset_parse(uids, strlen(uids), 100000) : NULL;
	request->target = g_strdup(target);
	return request;
}

/* One turn of a session's loop. */
static gboolean
turn(ImapClient *client, gint64 until, GError **error)
{
	Backend *backend = client->backend;
	g_autoptr(GError) lost = NULL;
	gint64 next = backend->ops->tick(backend, g_get_monotonic_time(), &lost);

	if (next >= 0 && wire_wait(backend->wire, -1, MIN(next, until), &lost) &&
	    backend->ops->receive(backend, &lost))
		return TRUE;
	drop_backend(client, lost);
	g_propagate_error(error, g_steal_pointer(&lost));
	return FALSE;
}

gboolean
imap_client_pump(ImapClient *client, guint ms, const gboolean *until, GError **error)
{
	gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;

	while (g_get_monotonic_time() < end && (until == NULL || !*until))
		if (!turn(client, end, error))
			return FALSE;
	return TRUE;
}

void
imap_client_start(ImapClient *client, Request *request)
{
	g_assert_true(client->backend->ops->can_start(client->backend, request));
	client->finished = FALSE;
	client->backend->ops->start(client->backend, request);
}

gboolean
imap_client_finish(ImapClient *client, GError **error)
{
	gint64 end = g_get_monotonic_time() + 2 * PATIENCE_MS * G_TIME_SPAN_MILLISECOND;

	while (client->backend->under_way > 0) {
		g_assert_cmpint(g_get_monotonic_time(), <, end);
		if (!turn(client, end, error))
			return FALSE;
	}
	return TRUE;
}

void
imap_client_run(ImapClient *client, Request *request)
{
	imap_client_start(client, request);
	imap_client_finish(client, NULL);
	g_assert_true(client->finished);
}

void
imap_client_wait_news(ImapClient *client)
{
	gint64 end = g_get_monotonic_time() + PATIENCE_MS * G_TIME_SPAN_MILLISECOND;

	while (client->news->len == 0) {
		g_assert_cmpint(g_get_monotonic_time(), <, end);
		g_assert_true(turn(client, end, NULL));
	}
}

void
imap_client_assert_log(ImapClient *client, const char *expected)
{
	g_assert_cmpstr(client->log->str, ==, expected);
	g_string_truncate(client->log, 0);
}

void
imap_assert_change(Dialog dialog, RequestKind kind, const char *uids, const char *target,
		   const char *expected)
{
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, imap_client_change(client, kind, "INBOX", uids, target));
	imap_client_assert_log(client, expected);
}

ImapLine
imap_line_new(PeerScript script, gconstpointer user)
{
	ImapLine line = {.peer = peer_new(script, (gpointer)user)};

	line.client = imap_client_new(line.peer, TLS_NONE);
	imap_client_must_login(line.client);
	return line;
}

void
imap_line_end(ImapLine *line)
{
	imap_client_free(line->client);
	peer_free(line->peer);
}
