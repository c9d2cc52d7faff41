/* SPDX-License-Identifier: MIT */
/* Bringing a submission line up, and the attacks on it: those of "Why TLS is better without
 * STARTTLS" (Poddebniak and others, 2021) that there are for SMTP. */
#include <string.h>

#include "base/error.h"
#include "imap-client.h"
#include "smtp-client.h"

#define CANARY "Canary42"

typedef const char *const Dialog[];

static SmtpClient *
client_for(const char *const *dialog, TlsMode tls, Peer **peer_out)
{
	*peer_out = peer_new(imap_peer_dialog, (gpointer)dialog);
	return smtp_client_new(*peer_out, tls);
}

static void
assert_logs_in(const char *const *dialog, TlsMode tls, AuthMechanism auth, const char *mechanism)
{
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = client_for(dialog, tls, &peer);

	client->config.auth = auth;
	smtp_client_must_open(client);
	g_assert_cmpstr(smtp_line_mechanism(client->line), ==, mechanism);
	smtp_line_close(g_steal_pointer(&client->line), 10000);
}

/* The login fails with @code, and @refusal ("LOGIN 535 text") is what the server is said to have
 * said; nothing of a secret has left outside TLS, and nothing that came before TLS is shown. */
static void
assert_refuses(const char *const *dialog, TlsMode tls, MailfsError code, const char *refusal)
{
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = client_for(dialog, tls, &peer);
	g_autoptr(GError) error = NULL;
	g_autofree char *transcript = NULL;
	g_autofree char *said = NULL;

	client->config.timeout_ms = 300;
	g_assert_false(smtp_client_open(client, &error));
	g_assert_error(error, MAILFS_ERROR, (int)code);
	if (client->refusal != NULL)
		said = g_strdup_printf("%s %d %s",
				       client->refusal->stage == SMTP_STAGE_LOGIN ? "LOGIN"
										  : "CONNECT",
				       client->refusal->code, client->refusal->text);
	g_assert_cmpstr(said, ==, refusal);
	g_assert_null(strstr(error->message, CANARY));
	transcript = peer_transcript(peer);
	if (tls == TLS_STARTTLS)
		g_assert_null(strstr(transcript, "AUTH"));
	g_assert_null(strstr(transcript, "HELO"));
	g_assert_cmpuint(peer_connections(peer), ==, 1);
}

/* In the clear: the greeting, EHLO, and what it offers. */
#define HELLO(offers)	 ">220 hi", "=EHLO [127.0.0.1]", ">250-hi\r\n" offers "250 HELP"
#define HELLO_AGAIN	 "=EHLO [127.0.0.1]", ">250-hi\r\n250 SIZE 1000"
#define OFFERS_TLS	 HELLO("250-STARTTLS\r\n250-AUTH PLAIN\r\n"), "=STARTTLS"
#define GOODBYE		 "=QUIT", ">221 bye", "!end"
#define PLAIN_U_SECRET	 "AHUAc2VjcmV0"
#define CHALLENGE(words) HELLO("250-AUTH " words "\r\n")

static void
test_ehlo_is_asked_anew_after_starttls_and_after_the_login(void)
{
	static Dialog dialog = {
		HELLO("250-STARTTLS\r\n250-AUTH LOGIN\r\n250-SIZE 1\r\n250-CHUNKING\r\n"),
		"=STARTTLS",
		">220 go",
		"!tls",
		"=EHLO [127.0.0.1]",
		">250-hi\r\n250-AUTH PLAIN\r\n250-SIZE 10\r\n250 DSN",
		"=AUTH PLAIN " PLAIN_U_SECRET,
		">235 in",
		"=EHLO [127.0.0.1]",
		">250-hi\r\n250-SIZE 35882577\r\n250-8bitmime\r\n250-PIPELINING\r\n250-LIMITS "
		"RCPTMAX=100\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8",
		GOODBYE,
		NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = client_for(dialog, TLS_STARTTLS, &peer);
	const SmtpLimits *limits;

	smtp_client_must_open(client);
	limits = smtp_line_limits(client->line);
	g_assert_cmpuint(limits->size, ==, 35882577);
	g_assert_cmpuint(limits->recipients, ==, 100);
	g_assert_true(limits->eight_bit && limits->pipelining && limits->smtputf8 &&
		      limits->enhanced_codes);
	g_assert_false(limits->chunking || limits->dsn);
	g_assert_true(tls_stream_is_secure(smtp_line_stream(client->line)));
	smtp_line_close(g_steal_pointer(&client->line), 10000);
}

static void
test_a_server_that_says_what_it_offers_once_is_believed(void)
{
	static Dialog dialog = {HELLO("250-AUTH PLAIN\r\n250-SIZE 77\r\n"),
				"=AUTH PLAIN " PLAIN_U_SECRET,
				">235 in",
				"=EHLO *",
				">503 5.5.1 you said that",
				GOODBYE,
				NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = client_for(dialog, TLS_NONE, &peer);

	smtp_client_must_open(client);
	g_assert_cmpuint(smtp_line_limits(client->line)->size, ==, 77);
	smtp_line_close(g_steal_pointer(&client->line), 10000);
}

/* Attacks
 * --------------------------------------------------------------------------------------------------------
 */

static void
test_starttls_that_is_not_offered_or_refused_ends_it(void)
{
	static Dialog none = {HELLO("250-AUTH PLAIN\r\n250-X " CANARY "\r\n"), "!end", NULL};
	static Dialog not_known = {OFFERS_TLS, ">502 " CANARY, "!end", NULL};
	static Dialog not_now = {OFFERS_TLS, ">454 4.7.0 " CANARY, "!end", NULL};
	static Dialog odd = {OFFERS_TLS, ">354 " CANARY, "!end", NULL};
	static Dialog no_ehlo = {">220 hi", "=EHLO *", ">502 " CANARY, "!end", NULL};
	static Dialog silence = {OFFERS_TLS, "!end", NULL};

	assert_refuses(none, TLS_STARTTLS, MAILFS_ERROR_TLS, NULL);
	assert_refuses(not_known, TLS_STARTTLS, MAILFS_ERROR_TLS, "CONNECT 502 ");
	assert_refuses(not_now, TLS_STARTTLS, MAILFS_ERROR_TLS, "CONNECT 454 ");
	assert_refuses(odd, TLS_STARTTLS, MAILFS_ERROR_TLS, "CONNECT 354 ");
	assert_refuses(no_ehlo, TLS_STARTTLS, MAILFS_ERROR_PROTOCOL, "CONNECT 502 ");
	assert_refuses(silence, TLS_STARTTLS, MAILFS_ERROR_TIMEOUT, NULL);
}

static void
test_bytes_behind_the_answer_to_starttls_end_it(void)
{
	static Dialog answers = {OFFERS_TLS,
				 ">220 Ready\r\n250-example.org\r\n250 AUTH LOGIN PLAIN " CANARY,
				 "!tls", NULL};
	static Dialog piece = {OFFERS_TLS, ">220 Ready\r\n25", "!tls", NULL};

	assert_refuses(answers, TLS_STARTTLS, MAILFS_ERROR_TLS, NULL);
	assert_refuses(piece, TLS_STARTTLS, MAILFS_ERROR_TLS, NULL);
}

static void
test_answers_before_their_questions_end_it(void)
{
	static Dialog greeting = {">220 hi\r\n250-" CANARY "\r\n250 AUTH PLAIN", "!end", NULL};
	static Dialog hello = {">220 hi", "=EHLO *", ">250-hi\r\n250 AUTH PLAIN\r\n235 in", "!end",
			       NULL};

	assert_refuses(greeting, TLS_NONE, MAILFS_ERROR_PROTOCOL, NULL);
	assert_refuses(hello, TLS_NONE, MAILFS_ERROR_PROTOCOL, NULL);
}

static void
bad_certificate(PeerLine *line, gpointer user)
{
	peer_start_tls(line, PEER_WRONG_NAME);
	peer_expect_close(line);
}

static void
test_a_wrong_certificate_ends_it(void)
{
	g_autoptr(Peer) peer = peer_new(bad_certificate, NULL);
	g_autoptr(SmtpClient) client = smtp_client_new(peer, TLS_IMPLICIT);
	g_autoptr(GError) error = NULL;

	g_assert_false(smtp_client_open(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TLS);
	g_assert_cmpuint(peer_received(peer), ==, 0);
}

static void
test_control_characters_in_the_user_name_send_nothing(void)
{
	static Dialog dialog = {"!end", NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = client_for(dialog, TLS_NONE, &peer);
	g_autoptr(GError) error = NULL;

	g_free(client->config.user);
	client->config.user = g_strdup("u\r\nMAIL FROM:<x>");
	g_assert_false(smtp_client_open(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_assert_cmpuint(peer_connections(peer), ==, 0);
}

/* Refusals
 * ------------------------------------------------------------------------------------------------------
 */

static void
test_greetings_that_are_no_welcome(void)
{
	static const struct {
		const char *greeting;
		MailfsError code;
		const char *refusal;
	} cases[] = {
		{">421 4.7.0 too many of you", MAILFS_ERROR_LIMIT, "CONNECT 421 too many of you"},
		{">450 later", MAILFS_ERROR_LIMIT, "CONNECT 450 later"},
		{">454-one\r\n454 two", MAILFS_ERROR_LIMIT, "CONNECT 454 one\ntwo"},
		{">554 5.7.1 not you", MAILFS_ERROR_DENIED, "CONNECT 554 not you"},
		{">354 go on", MAILFS_ERROR_PROTOCOL, "CONNECT 354 go on"},
		{">* OK IMAP4rev1", MAILFS_ERROR_PROTOCOL, NULL},
		{">+OK POP3", MAILFS_ERROR_PROTOCOL, NULL},
		{"!close", MAILFS_ERROR_OFFLINE, NULL},
		{"!stall", MAILFS_ERROR_TIMEOUT, NULL},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		const char *dialog[] = {cases[i].greeting, "!end", NULL};

		assert_refuses(dialog, TLS_NONE, cases[i].code, cases[i].refusal);
	}
}

static void
test_answers_to_a_login_that_let_nobody_in(void)
{
	static const struct {
		const char *answer;
		MailfsError code;
		const char *refusal;
	} cases[] = {
		{">535 5.7.8 wrong", MAILFS_ERROR_LOGIN, "LOGIN 535 wrong"},
		{">534 5.7.9 app password needed", MAILFS_ERROR_LOGIN,
		 "LOGIN 534 app password needed"},
		{">432 4.7.12 change it", MAILFS_ERROR_LOGIN, "LOGIN 432 change it"},
		{">538 5.7.11 TLS first", MAILFS_ERROR_LOGIN, "LOGIN 538 TLS first"},
		{">454 4.7.0 not now", MAILFS_ERROR_LIMIT, "LOGIN 454 not now"},
		{">421 4.7.0 too often", MAILFS_ERROR_LIMIT, "LOGIN 421 too often"},
		{">354 go on", MAILFS_ERROR_PROTOCOL, "LOGIN 354 go on"},
		{"!close", MAILFS_ERROR_OFFLINE, NULL},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		const char *dialog[] = {CHALLENGE("PLAIN"), "=AUTH PLAIN *", cases[i].answer,
					"!end", NULL};

		assert_refuses(dialog, TLS_NONE, cases[i].code, cases[i].refusal);
	}
}

static void
test_a_server_that_offers_no_login_gets_no_password(void)
{
	static Dialog none = {HELLO(""), "!end", NULL};
	static Dialog foreign = {CHALLENGE("NTLM X-MAGIC"), "!end", NULL};

	assert_refuses(none, TLS_NONE, MAILFS_ERROR_LOGIN, NULL);
	assert_refuses(foreign, TLS_NONE, MAILFS_ERROR_LOGIN, NULL);
}

static void
test_a_login_that_never_ends_is_ended(void)
{
	static Dialog dialog = {
		CHALLENGE("PLAIN"), "=AUTH PLAIN *", ">334 ", "=?", ">334 ", "!end", NULL};
	static Dialog no_base64 = {CHALLENGE("LOGIN"), "=AUTH LOGIN", ">334 ***", "=?",
				   ">501 cancelled",   "!end",	      NULL};

	assert_refuses(dialog, TLS_NONE, MAILFS_ERROR_PROTOCOL, NULL);
	assert_refuses(no_base64, TLS_NONE, MAILFS_ERROR_PROTOCOL, NULL);
}

/* Mechanisms
 * ----------------------------------------------------------------------------------------------------
 */

static void
test_mechanisms(void)
{
	static Dialog login = {CHALLENGE("LOGIN"),
			       "=AUTH LOGIN",
			       ">334 VXNlcm5hbWU6",
			       "=dQ==",
			       ">334 UGFzc3dvcmQ6",
			       "=c2VjcmV0",
			       ">235 in",
			       HELLO_AGAIN,
			       GOODBYE,
			       NULL};
	static Dialog old = {HELLO("250-AUTH=PLAIN LOGIN\r\n"),
			     "=AUTH PLAIN " PLAIN_U_SECRET,
			     ">235 in",
			     HELLO_AGAIN,
			     GOODBYE,
			     NULL};
	/* HMAC-MD5 of <1@x> with the key "secret" */
	static Dialog cram = {CHALLENGE("PLAIN CRAM-MD5"),
			      "=AUTH CRAM-MD5",
			      ">334 PDFAeD4=",
			      "=dSA*",
			      ">235 in",
			      HELLO_AGAIN,
			      GOODBYE,
			      NULL};

	assert_logs_in(login, TLS_NONE, AUTH_AUTO, "LOGIN");
	assert_logs_in(old, TLS_NONE, AUTH_AUTO, "PLAIN");
	assert_logs_in(cram, TLS_NONE, AUTH_AUTO, "CRAM-MD5");
}

/* base64 of user=u^Aauth=Bearer secret^A^A, and of the same with fresh */
#define FIRST_TOKEN "dXNlcj11AWF1dGg9QmVhcmVyIHNlY3JldAEB"
#define FRESH_TOKEN "dXNlcj11AWF1dGg9QmVhcmVyIGZyZXNoAQE="

#define TOKEN_REFUSED                                                                              \
	CHALLENGE("XOAUTH2"), "=AUTH XOAUTH2 " FIRST_TOKEN, ">334 eyJzdGF0dXMiOiI0MDAifQ==", "=",  \
		">535 5.7.8 expired", "=AUTH XOAUTH2 " FRESH_TOKEN

static void
test_a_refused_token_is_asked_for_anew_once(void)
{
	static Dialog good = {TOKEN_REFUSED, ">235 in", HELLO_AGAIN, GOODBYE, NULL};
	static Dialog bad = {TOKEN_REFUSED, ">535 5.7.8 still not", "!end", NULL};
	g_autoptr(Peer) good_peer = NULL;
	g_autoptr(Peer) bad_peer = NULL;
	g_autoptr(SmtpClient) lucky = client_for(good, TLS_NONE, &good_peer);
	g_autoptr(SmtpClient) unlucky = client_for(bad, TLS_NONE, &bad_peer);
	g_autoptr(GError) error = NULL;

	lucky->config.auth_token = unlucky->config.auth_token = TRUE;
	smtp_client_must_open(lucky);
	smtp_line_close(g_steal_pointer(&lucky->line), 10000);
	g_assert_false(smtp_client_open(unlucky, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TOKEN);
	g_assert_cmpuint(unlucky->asked, ==, 2);
}

static void
test_a_token_too_long_for_a_command_waits_to_be_asked_for(void)
{
	static Dialog dialog = {CHALLENGE("OAUTHBEARER"),
				"=AUTH OAUTHBEARER",
				">334 ",
				"=bixhPXUsAWhvc3Q9bG9jYWxob3N0AXBvcnQ9*",
				">235 in",
				HELLO_AGAIN,
				GOODBYE,
				NULL};
	g_autofree char *token = g_strnfill(1500, 't');
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = client_for(dialog, TLS_NONE, &peer);

	client->config.auth_token = TRUE;
	client->password = token;
	smtp_client_must_open(client);
	smtp_line_close(g_steal_pointer(&client->line), 10000);
}

static void
test_a_relay_without_logins_is_used_without(void)
{
	static Dialog dialog = {HELLO("250-SIZE 5\r\n"), GOODBYE, NULL};
	g_autoptr(Peer) peer = NULL;
	g_autoptr(SmtpClient) client = client_for(dialog, TLS_NONE, &peer);

	g_clear_pointer(&client->config.user, g_free);
	smtp_client_must_open(client);
	g_assert_cmpstr(smtp_line_mechanism(client->line), ==, NULL);
	g_assert_cmpuint(client->asked, ==, 0);
	smtp_line_close(g_steal_pointer(&client->line), 10000);
}

int
main(int argc, char **argv)
{
#define ADD(name, function) g_test_add_func("/smtp-login/" name, function)
	g_test_init(&argc, &argv, NULL);
	ADD("ehlo-is-asked-anew-after-starttls-and-after-the-login",
	    test_ehlo_is_asked_anew_after_starttls_and_after_the_login);
	ADD("a-server-that-says-what-it-offers-once-is-believed",
	    test_a_server_that_says_what_it_offers_once_is_believed);
	ADD("starttls-that-is-not-offered-or-refused-ends-it",
	    test_starttls_that_is_not_offered_or_refused_ends_it);
	ADD("bytes-behind-the-answer-to-starttls-end-it",
	    test_bytes_behind_the_answer_to_starttls_end_it);
	ADD("answers-before-their-questions-end-it", test_answers_before_their_questions_end_it);
	ADD("a-wrong-certificate-ends-it", test_a_wrong_certificate_ends_it);
	ADD("control-characters-in-the-user-name-send-nothing",
	    test_control_characters_in_the_user_name_send_nothing);
	ADD("greetings-that-are-no-welcome", test_greetings_that_are_no_welcome);
	ADD("answers-to-a-login-that-let-nobody-in", test_answers_to_a_login_that_let_nobody_in);
	ADD("a-server-that-offers-no-login-gets-no-password",
	    test_a_server_that_offers_no_login_gets_no_password);
	ADD("a-login-that-never-ends-is-ended", test_a_login_that_never_ends_is_ended);
	ADD("mechanisms", test_mechanisms);
	ADD("a-refused-token-is-asked-for-anew-once", test_a_refused_token_is_asked_for_anew_once);
	ADD("a-token-too-long-for-a-command-waits-to-be-asked-for",
	    test_a_token_too_long_for_a_command_waits_to_be_asked_for);
	ADD("a-relay-without-logins-is-used-without", test_a_relay_without_logins_is_used_without);
	return g_test_run();
}
