/* SPDX-License-Identifier: MIT */
/* Logging in, and the attacks on it: those of "Why TLS is better without STARTTLS" (Poddebniak and
 * others, 2021) by their classes (stripping, PREAUTH, response injection, tampering, referral). */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "base/error.h"
#include "imap-client.h"

#define CANARY "Canary42"

static Peer *
peer_for(const char *const *dialog)
{
	return peer_new(imap_peer_dialog, (gpointer)dialog);
}

/* Logs in against @dialog and expects to be let in. */
static void
assert_logs_in(const char *const *dialog, TlsMode tls, AuthMechanism auth, gboolean token)
{
	g_autoptr(Peer) peer = peer_for(dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, tls);

	client->config.auth = auth;
	client->config.auth_token = token;
	imap_client_must_login(client);
}

/* The login must fail with @code, and no byte of the secret may have left outside TLS. (transfer
 * full): the error's text */
static char *
assert_refuses(const char *const *dialog, TlsMode tls, AuthMechanism auth, MailfsError code)
{
	g_autoptr(Peer) peer = peer_for(dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, tls);
	g_autoptr(GError) error = NULL;
	g_autofree char *transcript = NULL;

	client->config.auth = auth;
	client->config.timeout_ms = 300;
	g_assert_false(imap_client_login(client, &error));
	g_assert_error(error, MAILFS_ERROR, (int)code);
	client->backend->ops->free(client->backend, error);
	client->backend = NULL;
	transcript = peer_transcript(peer);
	if (tls == TLS_STARTTLS) {
		g_assert_null(strstr(transcript, "LOGIN"));
		g_assert_null(strstr(transcript, "AUTHENTICATE"));
	}
	g_assert_cmpstr(client->news->str, ==, "");
	g_assert_cmpuint(peer_connections(peer), ==, 1);
	return g_strdup(error->message);
}

static void
assert_starttls_fails(const char *const *dialog, MailfsError code)
{
	g_autofree char *text = assert_refuses(dialog, TLS_STARTTLS, AUTH_AUTO, code);

	g_assert_null(strstr(text, CANARY));
}

#define OFFERS_TLS ">* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] ready", "<a STARTTLS"

static void
test_starttls_asks_for_the_capabilities_anew(void)
{
	static Dialog dialog = {OFFERS_TLS,
				">a OK begin",
				"!tls",
				"<b CAPABILITY",
				">* CAPABILITY IMAP4rev1 AUTH=CRAM-MD5 AUTH=LOGIN",
				">b OK",
				"<c AUTHENTICATE LOGIN",
				">+ VXNlcm5hbWU6",
				"=dQ==",
				">+ UGFzc3dvcmQ6",
				"=c2VjcmV0",
				">c OK in",
				"<d CAPABILITY",
				">* CAPABILITY IMAP4rev1 IDLE",
				">d OK",
				"!end",
				NULL};

	assert_logs_in(dialog, TLS_STARTTLS, AUTH_AUTO, FALSE);
}

static void
test_starttls_that_is_not_offered_ends_it(void)
{
	static Dialog dialog = {">* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] " CANARY, "!end", NULL};

	assert_starttls_fails(dialog, MAILFS_ERROR_TLS);
}

static void
test_starttls_that_is_refused_ends_it(void)
{
	static Dialog bad = {OFFERS_TLS, ">a BAD STARTTLS not supported. " CANARY, "!end", NULL};
	static Dialog no = {OFFERS_TLS, ">a NO do not begin TLS now. " CANARY, "!end", NULL};

	assert_starttls_fails(bad, MAILFS_ERROR_TLS);
	assert_starttls_fails(no, MAILFS_ERROR_TLS);
}

static void
test_starttls_that_is_not_answered_ends_it(void)
{
	static Dialog more = {OFFERS_TLS, ">+ continue with something.", "!end", NULL};
	static Dialog untagged = {OFFERS_TLS, ">* OK begin TLS now.", "!end", NULL};
	static Dialog other = {OFFERS_TLS, ">WRONGTAG OK begin TLS now.", "!end", NULL};

	assert_starttls_fails(more, MAILFS_ERROR_TIMEOUT);
	assert_starttls_fails(untagged, MAILFS_ERROR_TIMEOUT);
	assert_starttls_fails(other, MAILFS_ERROR_PROTOCOL);
}

static void
test_starttls_without_capabilities_ends_it(void)
{
	static Dialog bad = {">* OK IMAP server ready.", "<a CAPABILITY", ">a BAD what? " CANARY,
			     "!end", NULL};
	static Dialog old = {">* OK IMAP server ready.",
			     "<a CAPABILITY",
			     ">* CAPABILITY IMAP4",
			     ">a OK",
			     "!end",
			     NULL};

	assert_starttls_fails(bad, MAILFS_ERROR_PROTOCOL);
	assert_starttls_fails(old, MAILFS_ERROR_TLS);
}

static void
test_preauth_before_tls_ends_it(void)
{
	static Dialog with = {">* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] ready", "!end", NULL};
	static Dialog without = {">* PREAUTH [CAPABILITY IMAP4rev1] ready", "!end", NULL};
	static Dialog bare = {">* PREAUTH ready", "!end", NULL};

	assert_starttls_fails(with, MAILFS_ERROR_TLS);
	assert_starttls_fails(without, MAILFS_ERROR_TLS);
	assert_starttls_fails(bare, MAILFS_ERROR_TLS);
}

static void
test_bytes_behind_the_answer_to_starttls_end_it(void)
{
	static Dialog answers = {
		OFFERS_TLS,
		">a OK begin TLS\r\n* CAPABILITY IMAP4REV1 AUTH=PLAIN\r\nm2 OK done\r\nm3 OK in",
		"!tls", NULL};
	static Dialog alert = {OFFERS_TLS, ">a OK begin\r\n* OK [ALERT] " CANARY, "!tls", NULL};
	static Dialog bye = {OFFERS_TLS, ">a OK begin\r\n* BYE " CANARY, "!tls", NULL};
	static Dialog piece = {OFFERS_TLS, ">a OK begin\r\n* CAPABIL", "!tls", NULL};

	assert_starttls_fails(answers, MAILFS_ERROR_TLS);
	assert_starttls_fails(alert, MAILFS_ERROR_TLS);
	assert_starttls_fails(bye, MAILFS_ERROR_TLS);
	assert_starttls_fails(piece, MAILFS_ERROR_TLS);
}

static void
test_nothing_said_before_tls_survives_it(void)
{
	static Dialog dialog = {">* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN IDLE QUOTA] ready",
				">* OK [ALERT] " CANARY,
				">* LIST () \"/\" " CANARY,
				">* LSUB () \"/\" " CANARY,
				">* STATUS " CANARY " (MESSAGES 441001)",
				">* SEARCH 1 2 3",
				">* FLAGS (\\Flagged)",
				">* 43210 EXISTS",
				">* 9876 RECENT",
				">* 1 EXPUNGE",
				">* NAMESPACE ((\"" CANARY "/\" \"/\")) NIL NIL",
				">* ENABLED QRESYNC",
				"<a STARTTLS",
				">* 1 FETCH (UID 1 BODY[] {8}\r\n" CANARY ")",
				">a OK begin",
				"!tls",
				"<b CAPABILITY",
				">* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN",
				">b OK",
				"<c AUTHENTICATE PLAIN *",
				">c OK in",
				"<d CAPABILITY",
				">* CAPABILITY IMAP4rev1",
				">d OK",
				"<e LIST \"\" \"*\"",
				"<f LSUB \"\" \"*\"",
				">* LIST () \"/\" INBOX",
				">e OK",
				">f OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_for(dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_STARTTLS);

	imap_client_must_login(client);
	g_assert_cmpuint(client->backend->capabilities->len, ==, 1);
	g_assert_null(client->backend->selected);
	imap_client_run(client, imap_client_request(client, REQUEST_LIST, NULL));
	imap_client_assert_log(client, "mailbox INBOX / 0x400 <> -1\ndone\n");
	g_assert_cmpstr(client->news->str, ==, "");
}

static void
test_referrals_lead_nowhere(void)
{
	static Dialog no = {
		">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready", "<a AUTHENTICATE PLAIN *",
		">a NO [REFERRAL IMAP://;AUTH=*@attacker.example/] try another", "!end", NULL};
	static Dialog bye = {">* BYE [REFERRAL IMAP://attacker.example/] try another", "!end",
			     NULL};

	g_free(assert_refuses(no, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_LOGIN));
	g_free(assert_refuses(bye, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_OFFLINE));
}

static void
test_login_is_used_only_when_allowed(void)
{
	static Dialog allowed = {">* OK [CAPABILITY IMAP4rev1 LITERAL+ AUTH=GSSAPI] ready",
				 "<a LOGIN u secret", ">a OK [CAPABILITY IMAP4rev1] in", "!end",
				 NULL};
	static Dialog disabled = {">* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=GSSAPI] ready",
				  "!end", NULL};
	static Dialog asked = {">* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready", "<a LOGIN u secret",
			       ">a OK [CAPABILITY IMAP4rev1] in", "!end", NULL};
	g_autofree char *text = NULL;

	assert_logs_in(allowed, TLS_NONE, AUTH_AUTO, FALSE);
	assert_logs_in(asked, TLS_NONE, AUTH_LOGIN, FALSE);
	text = assert_refuses(disabled, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_LOGIN);
	g_assert_nonnull(strstr(text, "GSSAPI"));
	g_free(assert_refuses(disabled, TLS_NONE, AUTH_LOGIN, MAILFS_ERROR_LOGIN));
}

static void
test_a_password_that_needs_a_literal_waits_for_the_plus(void)
{
	static Dialog dialog = {">* OK [CAPABILITY IMAP4rev1] ready",
				"<a LOGIN u {7}",
				">+ go on",
				"=p\xc3\xa4\"\\ s",
				">a OK [CAPABILITY IMAP4rev1] in",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_for(dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	client->password = "p\xc3\xa4\"\\ s";
	imap_client_must_login(client);
}

static void
test_sasl_without_initial_response_waits_for_the_plus(void)
{
	static Dialog plain = {">* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready",
			       "<a AUTHENTICATE PLAIN",
			       ">+ ",
			       "=AHUAc2VjcmV0",
			       ">a OK [CAPABILITY IMAP4rev1] in",
			       "!end",
			       NULL};
	static Dialog bare = {">* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready",
			      "<a AUTHENTICATE PLAIN",
			      ">+",
			      "=AHUAc2VjcmV0",
			      ">a OK [CAPABILITY IMAP4rev1] in",
			      "!end",
			      NULL};
	static Dialog cram = {">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=CRAM-MD5] ready",
			      "<a AUTHENTICATE CRAM-MD5",
			      ">+ PDFAeD4=",
			      "=dSA0NDUzYzNkMGZkMTY4NzkyZDU2NWM3MjhiNGRmNjczOQ==",
			      ">a OK [CAPABILITY IMAP4rev1] in",
			      "!end",
			      NULL};

	assert_logs_in(plain, TLS_NONE, AUTH_AUTO, FALSE);
	assert_logs_in(bare, TLS_NONE, AUTH_AUTO, FALSE);
	assert_logs_in(cram, TLS_NONE, AUTH_AUTO, FALSE);
}

static void
test_a_challenge_that_is_nonsense_is_cancelled(void)
{
	/* The pattern knows no escape: one character, which is the star. */
	static Dialog star = {">* OK [CAPABILITY IMAP4rev1 AUTH=CRAM-MD5] ready",
			      "<a AUTHENTICATE CRAM-MD5",
			      ">+ no base64",
			      "=?",
			      ">a BAD cancelled",
			      "!end",
			      NULL};

	g_free(assert_refuses(star, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_PROTOCOL));
}

static void
test_a_refused_password_is_not_tried_again(void)
{
	static Dialog dialog = {
		">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready", "<a AUTHENTICATE PLAIN *",
		">a NO [AUTHENTICATIONFAILED] Invalid credentials \033[31m", "!end", NULL};
	g_autoptr(Peer) peer = peer_for(dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	g_autoptr(GError) error = NULL;

	g_assert_false(imap_client_login(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN);
	g_assert_nonnull(strstr(error->message, "Invalid credentials \\x1b[31m"));
	g_assert_cmpuint(client->asked, ==, 1);
	client->backend->ops->free(client->backend, error);
	client->backend = NULL;
}

#define TOKEN_REFUSED(user_and_token)                                                              \
	">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready",                                 \
		"<a AUTHENTICATE XOAUTH2 " user_and_token, ">+ eyJzdGF0dXMiOiI0MDAifQ==", "=",     \
		">a NO [AUTHENTICATIONFAILED] expired"

/* base64 of user=u^Aauth=Bearer secret^A^A, and of the same with fresh */
#define FIRST_TOKEN "dXNlcj11AWF1dGg9QmVhcmVyIHNlY3JldAEB"
#define FRESH_TOKEN "dXNlcj11AWF1dGg9QmVhcmVyIGZyZXNoAQE="

static void
test_a_refused_token_is_asked_for_anew_once(void)
{
	static Dialog good = {TOKEN_REFUSED(FIRST_TOKEN), "<b AUTHENTICATE XOAUTH2 " FRESH_TOKEN,
			      ">b OK [CAPABILITY IMAP4rev1] in", "!end", NULL};
	static Dialog bad = {TOKEN_REFUSED(FIRST_TOKEN), "<b AUTHENTICATE XOAUTH2 " FRESH_TOKEN,
			     ">b NO still not", "!end", NULL};
	g_autoptr(Peer) peer = peer_for(bad);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	g_autoptr(GError) error = NULL;

	assert_logs_in(good, TLS_NONE, AUTH_AUTO, TRUE);
	client->config.auth_token = TRUE;
	g_assert_false(imap_client_login(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TOKEN);
	g_assert_cmpuint(client->asked, ==, 2);
	client->backend->ops->free(client->backend, error);
	client->backend = NULL;
}

static void
test_a_server_that_has_had_enough_is_a_limit(void)
{
	static const char *const answers[] = {
		">a NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded",
		">a NO [ALERT] Too many simultaneous connections. (Failure)",
		">a BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds",
		">a NO [LIMIT] enough",
		">a BAD User is authenticated but not connected.",
		">* BYE Too many connections from your address",
	};
	static Dialog greeting = {">* BYE [UNAVAILABLE] later", "!end", NULL};

	for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
		const char *dialog[] = {">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready",
					"<a AUTHENTICATE PLAIN *", answers[i], "!end", NULL};
		g_autoptr(Peer) peer = peer_for(dialog);
		g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
		g_autoptr(GError) error = NULL;

		g_assert_false(imap_client_login(client, &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT);
		client->backend->ops->free(client->backend, error);
		client->backend = NULL;
	}
	g_free(assert_refuses(greeting, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_LIMIT));
}

static void
test_control_characters_in_user_or_password_send_nothing(void)
{
	static Dialog dialog = {">* OK [CAPABILITY IMAP4rev1] ready", "!end", NULL};
	g_autoptr(Peer) peer = peer_for(dialog);
	g_autoptr(ImapClient) user = imap_client_new(peer, TLS_NONE);
	g_autoptr(ImapClient) password = imap_client_new(peer, TLS_NONE);
	g_autoptr(GError) user_error = NULL;
	g_autoptr(GError) password_error = NULL;

	g_free(user->config.user);
	user->config.user = g_strdup("u\r\nX1 DELETE INBOX");
	g_assert_false(imap_client_login(user, &user_error));
	g_assert_error(user_error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_assert_cmpuint(peer_connections(peer), ==, 0);
	password->password = "secret\r\nX1 DELETE INBOX";
	g_assert_false(imap_client_login(password, &password_error));
	g_assert_error(password_error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_assert_cmpuint(peer_received(peer), ==, 0);
}

static void
test_what_introduces_us_travels_in_one_write(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" ID ENABLE QRESYNC CONDSTORE NAMESPACE"),
				"<b ID (\"name\" \"mailfs\" \"version\" \"*\")",
				"<c ENABLE QRESYNC",
				"<d NAMESPACE",
				">* ID NIL",
				">b OK",
				">* ENABLED QRESYNC",
				">c OK",
				">* NAMESPACE NIL NIL NIL",
				">d OK",
				"!end",
				NULL};

	assert_logs_in(dialog, TLS_NONE, AUTH_AUTO, FALSE);
}

static void
test_preauth_inside_tls_is_a_login(void)
{
	static Dialog dialog = {"!tls", ">* PREAUTH [CAPABILITY IMAP4rev1] welcome", "!end", NULL};

	assert_logs_in(dialog, TLS_IMPLICIT, AUTH_AUTO, FALSE);
}

static void
test_another_kind_of_server_is_recognised(void)
{
	static Dialog smtp = {">220 mail.example.org ESMTP", "!end", NULL};
	static Dialog pop = {">+OK ready", "!end", NULL};
	static Dialog list = {">* LIST () \"/\" " CANARY, "!end", NULL};

	g_free(assert_refuses(smtp, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_PROTOCOL));
	g_free(assert_refuses(pop, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_PROTOCOL));
	g_free(assert_refuses(list, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_PROTOCOL));
}

static void
test_a_silent_server_is_a_timeout(void)
{
	static Dialog silent = {"!stall", NULL};
	static Dialog later = {">* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready",
			       "<a AUTHENTICATE PLAIN", "!stall", NULL};

	g_free(assert_refuses(silent, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_TIMEOUT));
	g_free(assert_refuses(later, TLS_NONE, AUTH_AUTO, MAILFS_ERROR_TIMEOUT));
}

static gpointer
cancel_soon(gpointer data)
{
	g_usleep(100000);
	g_cancellable_cancel(data);
	return NULL;
}

static void
test_login_can_be_cancelled(void)
{
	static Dialog silent = {"!stall", NULL};
	g_autoptr(Peer) peer = peer_for(silent);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	g_autoptr(GError) error = NULL;
	GThread *thread = g_thread_new("cancel", cancel_soon, cancel);
	gint64 began = g_get_monotonic_time();

	g_assert_false(client->backend->ops->login(client->backend, cancel, &error));
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	g_assert_cmpint(g_get_monotonic_time() - began, <, 2 * G_TIME_SPAN_SECOND);
	g_thread_join(thread);
}

/* An address of this machine that is no loopback, as a server elsewhere has. NULL: there is none.
 * (transfer full) */
static char *
outside_address(void)
{
	struct ifaddrs *list = NULL;
	char text[INET_ADDRSTRLEN] = "";

	if (getifaddrs(&list) != 0)
		return NULL;
	for (struct ifaddrs *one = list; one != NULL && *text == '\0'; one = one->ifa_next) {
		struct sockaddr_in address;

		if (one->ifa_addr == NULL || one->ifa_addr->sa_family != AF_INET ||
		    (one->ifa_flags & IFF_LOOPBACK) != 0 || (one->ifa_flags & IFF_UP) == 0)
			continue;
		memcpy(&address, one->ifa_addr, sizeof address);
		inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
	}
	freeifaddrs(list);
	return *text != '\0' ? g_strdup(text) : NULL;
}

static ImapClient *
outside_client(const char *const *dialog, Peer **peer_out)
{
	g_autofree char *address = outside_address();
	ImapClient *client;

	*peer_out = address != NULL ? peer_new_on(address, 0, imap_peer_dialog, (gpointer)dialog)
				    : NULL;
	if (*peer_out == NULL) {
		g_test_skip("this machine has no address but loopback");
		return NULL;
	}
	client = imap_client_new(*peer_out, TLS_NONE);
	g_free(client->config.host);
	client->config.host = g_steal_pointer(&address);
	return client;
}

static void
test_plain_text_to_another_machine_is_refused(void)
{
	static Dialog dialog = {">* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready", "!end", NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(ImapClient) client = outside_client(dialog, &peer);
	g_autoptr(GError) error = NULL;

	if (client == NULL)
		return;
	g_assert_false(imap_client_login(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS);
	g_assert_cmpuint(peer_received(peer), ==, 0);
}

static void
test_a_far_line_is_compressed_when_both_sides_can(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" COMPRESS=DEFLATE NAMESPACE"),
				"<b COMPRESS DEFLATE",
				">b OK",
				"!deflate",
				"<c NAMESPACE",
				">* NAMESPACE NIL NIL NIL",
				">c OK",
				"<d LIST *",
				"<e LSUB *",
				">* LIST () \"/\" INBOX",
				">d OK",
				">e OK",
				"!end",
				NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(ImapClient) client = outside_client(dialog, &peer);

	if (client == NULL)
		return;
	client->config.insecure_plaintext = client->config.compress = TRUE;
	imap_client_must_login(client);
	imap_client_run(client, imap_client_request(client, REQUEST_LIST, NULL));
	imap_client_assert_log(client, "mailbox INBOX / 0x400 <> -1\ndone\n");
}

static void
test_loopback_is_not_compressed(void)
{
	static Dialog dialog = {IMAP_PEER_LOGIN(" COMPRESS=DEFLATE"), "!end", NULL};
	g_autoptr(Peer) peer = peer_for(dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	client->config.compress = TRUE;
	imap_client_must_login(client);
}

static void
keep_log(const char *domain, GLogLevelFlags level, const char *message, gpointer user)
{
	g_string_append_printf(user, "%s\n", message);
}

static void
test_secrets_are_never_logged(void)
{
	static Dialog plain = {IMAP_PEER_LOGIN(""), "!end", NULL};
	static Dialog login = {">* OK [CAPABILITY IMAP4rev1 LITERAL+] ready", "<a LOGIN u secret",
			       ">a OK [CAPABILITY IMAP4rev1] in", "!end", NULL};
	g_autoptr(GString) log = g_string_new(NULL);
	GLogFunc before = g_log_set_default_handler(keep_log, log);

	assert_logs_in(plain, TLS_NONE, AUTH_AUTO, FALSE);
	assert_logs_in(login, TLS_NONE, AUTH_AUTO, FALSE);
	g_log_set_default_handler(before, NULL);
	g_assert_nonnull(strstr(log->str, "AUTHENTICATE"));
	g_assert_null(strstr(log->str, "secret"));
	g_assert_null(strstr(log->str, "AHUAc2VjcmV0"));
}

static void
test_logout_is_polite_and_bounded(void)
{
	static Dialog dialog = {
		IMAP_PEER_LOGIN(""), "<b LOGOUT", ">* BYE see you", ">b OK", "!end", NULL};
	static Dialog silent = {IMAP_PEER_LOGIN(""), "<b LOGOUT", "!stall", NULL};
	g_autoptr(Peer) peer = peer_for(dialog);
	g_autoptr(Peer) silent_peer = peer_for(silent);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	g_autoptr(ImapClient) held = imap_client_new(silent_peer, TLS_NONE);
	gint64 began;

	imap_client_must_login(client);
	client->backend->ops->logout(client->backend, 2000);
	imap_client_must_login(held);
	began = g_get_monotonic_time();
	held->backend->ops->logout(held->backend, 200);
	g_assert_cmpint(g_get_monotonic_time() - began, <, G_TIME_SPAN_SECOND);
}

#define ADD(name) g_test_add_func("/imap-login/" #name, test_##name)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD(starttls_asks_for_the_capabilities_anew);
	ADD(starttls_that_is_not_offered_ends_it);
	ADD(starttls_that_is_refused_ends_it);
	ADD(starttls_that_is_not_answered_ends_it);
	ADD(starttls_without_capabilities_ends_it);
	ADD(preauth_before_tls_ends_it);
	ADD(bytes_behind_the_answer_to_starttls_end_it);
	ADD(nothing_said_before_tls_survives_it);
	ADD(referrals_lead_nowhere);
	ADD(login_is_used_only_when_allowed);
	ADD(a_password_that_needs_a_literal_waits_for_the_plus);
	ADD(sasl_without_initial_response_waits_for_the_plus);
	ADD(a_challenge_that_is_nonsense_is_cancelled);
	ADD(a_refused_password_is_not_tried_again);
	ADD(a_refused_token_is_asked_for_anew_once);
	ADD(a_server_that_has_had_enough_is_a_limit);
	ADD(control_characters_in_user_or_password_send_nothing);
	ADD(what_introduces_us_travels_in_one_write);
	ADD(preauth_inside_tls_is_a_login);
	ADD(another_kind_of_server_is_recognised);
	ADD(a_silent_server_is_a_timeout);
	ADD(login_can_be_cancelled);
	ADD(plain_text_to_another_machine_is_refused);
	ADD(a_far_line_is_compressed_when_both_sides_can);
	ADD(loopback_is_not_compressed);
	ADD(secrets_are_never_logged);
	ADD(logout_is_polite_and_bounded);
	return g_test_run();
}
