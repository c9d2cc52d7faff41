/* SPDX-License-Identifier: MIT */
#include "smtp-client.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"

static const char *
code_name(const GError *error)
{
	static const struct {
		int code;
		const char *name;
	} names[] = {
		{MAILFS_ERROR_OFFLINE, "OFFLINE"},   {MAILFS_ERROR_TIMEOUT, "TIMEOUT"},
		{MAILFS_ERROR_PROTOCOL, "PROTOCOL"}, {MAILFS_ERROR_LIMIT, "LIMIT"},
		{MAILFS_ERROR_INVALID, "INVALID"},   {MAILFS_ERROR_UNSUPPORTED, "UNSUPPORTED"},
		{MAILFS_ERROR_TOO_BIG, "TOO_BIG"},
	};

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return "CANCELLED";
	for (gsize i = 0; error->domain == MAILFS_ERROR && i < G_N_ELEMENTS(names); i++)
		if (names[i].code == error->code)
			return names[i].name;
	return error->message;
}

static const SmtpMessage *
give_next(gpointer user)
{
	SmtpClient *client = user;

	return client->next < client->messages->len
		       ? g_ptr_array_index(client->messages, client->next++)
		       : NULL;
}

static gboolean
note_before(gpointer user, const SmtpMessage *message)
{
	SmtpClient *client = user;

	g_string_append_printf(client->log, "before %s\n", (const char *)message->user);
	if (client->hook != NULL)
		client->hook(client, message);
	return g_strcmp0(client->take_back, message->user) != 0;
}

static void
note_reply(GString *log, const SmtpReply *reply)
{
	static const char *const stages[] = {"CONNECT", "LOGIN", "MAIL", "RCPT", "DATA", "END"};

	for (; reply != NULL; reply = reply->next) {
		g_autofree char *text = g_strescape(reply->text, NULL);

		g_string_append_printf(log, " %s%s%s %d%s%s%s%s", stages[reply->stage],
				       reply->recipient != NULL ? " " : "",
				       reply->recipient != NULL ? reply->recipient : "",
				       reply->code, reply->enhanced != NULL ? " " : "",
				       reply->enhanced != NULL ? reply->enhanced : "",
				       *text != '\0' ? " " : "", text);
	}
}

static gboolean
note_verdict(gpointer user, const SmtpMessage *message, SmtpVerdict verdict, const SmtpReply *reply,
	     const GError *why)
{
	static const char *const names[] = {"sent",    "refused",   "later",
					    "unknown", "untouched", "unsendable"};
	SmtpClient *client = user;

	g_string_append_printf(client->log, "%s %s", names[verdict], (const char *)message->user);
	note_reply(client->log, reply);
	if (why != NULL)
		g_string_append_printf(client->log, " %s", code_name(why));
	g_string_append_c(client->log, '\n');
	return g_strcmp0(client->halt_at, message->user) != 0;
}

static char *
give_secret(gpointer user, gboolean again, GCancellable *cancel, GError **error)
{
	SmtpClient *client = user;

	client->asked++;
	return g_strdup(again ? "fresh" : client->password);
}

static void
message_free(gpointer data)
{
	SmtpMessage *message = data;

	close(message->fd);
	g_strfreev((GStrv)message->recipients);
	g_free(message->user);
	g_free(message);
}

SmtpClient *
smtp_client_new(Peer *peer, TlsMode tls)
{
	SmtpClient *client = g_new0(SmtpClient, 1);

	if (tls != TLS_NONE)
		client->tls = tls_context_new(peer_ca_file(peer), NULL, NULL);
	client->password = "secret";
	client->config = (BackendConfig){
		.host = g_strdup("localhost"),
		.port = peer_port(peer),
		.tls = tls,
		.tls_context = client->tls,
		.user = g_strdup("u"),
		.secret = {give_secret, client},
		.timeout_ms = 10000,
	};
	client->messages = g_ptr_array_new_with_free_func(message_free);
	client->cancel = g_cancellable_new();
	client->log = g_string_new(NULL);
	return client;
}

SmtpClient *
smtp_client_at_sink(SmtpSink *sink, const char *offers, const SmtpAnswer *answers, Peer **peer_out)
{
	SmtpClient *client;

	smtp_sink_init(sink);
	sink->offers = offers;
	sink->answers = answers;
	*peer_out = peer_new(smtp_sink_serve, sink);
	client = smtp_client_new(*peer_out, TLS_NONE);
	smtp_client_must_open(client);
	return client;
}

void
smtp_client_free(SmtpClient *client)
{
	if (client == NULL)
		return;
	smtp_line_free(client->line);
	smtp_reply_free(client->refusal);
	g_ptr_array_unref(client->messages);
	g_object_unref(client->cancel);
	tls_context_free(client->tls);
	g_string_free(client->log, TRUE);
	g_free(client->config.host);
	g_free(client->config.user);
	g_free(client);
}

SmtpMessage *
smtp_client_add(SmtpClient *client, const char *name, const char *recipients, const char *content)
{
	SmtpMessage *message = g_new0(SmtpMessage, 1);
	gsize len = strlen(content);

	message->sender = "me@here.example";
	message->recipients = (const char *const *)g_strsplit(recipients, " ", -1);
	message->fd = memfd_create(name, MFD_CLOEXEC);
	message->size = len;
	message->user = g_strdup(name);
	g_assert_cmpint(pwrite(message->fd, content, len, 0), ==, (gssize)len);
	g_ptr_array_add(client->messages, message);
	return message;
}

gboolean
smtp_client_open(SmtpClient *client, GError **error)
{
	smtp_line_free(client->line);
	g_clear_pointer(&client->refusal, smtp_reply_free);
	client->line = smtp_line_open(&client->config, client->cancel, &client->refusal, error);
	return client->line != NULL;
}

void
smtp_client_must_open(SmtpClient *client)
{
	g_autoptr(GError) error = NULL;

	smtp_client_open(client, &error);
	g_assert_no_error(error);
}

gboolean
smtp_client_submit(SmtpClient *client, GError **error)
{
	static const SmtpEvents events = {give_next, note_before, note_verdict};

	return smtp_line_submit(client->line, &events, client, client->cancel, error);
}

void
smtp_client_assert_log(SmtpClient *client, const char *expected)
{
	g_assert_cmpstr(client->log->str, ==, expected);
	g_string_truncate(client->log, 0);
}
