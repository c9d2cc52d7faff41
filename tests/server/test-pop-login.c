/* SPDX-License-Identifier: MIT */
/* Logging in, and the attacks on it: those of "Why TLS is better without STARTTLS" (Poddebniak and
 * others, 2021) by their classes, as far as POP3 has them. */
#include <string.h>

#include "base/error.h"
#include "pop-maildrop.h"

#define CANARY "Canary42"

typedef const char *const Dialog[];

typedef struct {
	TlsMode tls;
	AuthMechanism auth;
	gboolean token;
	const char *user, *password; /* NULL: "u", "secret" */
} How;

/* What came of it: NULL when it was let in. @transcript_out: what was said to the server. */
static GError *
log_in(const char *const *dialog, How how, char **transcript_out)
{
	g_autoptr(PopMemory) memory = pop_memory_new();
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = pop_client_new(peer, how.tls, memory);
	g_autoptr(GError) error = NULL;

	client->config.auth = how.auth;
	client->config.auth_token = how.token;
	client->config.timeout_ms = 5000;
	if (how.password != NULL)
		client->password = how.password;
	if (how.user != NULL) {
		g_free(client->config.user);
		client->config.user = g_strdup(how.user);
	}
	imap_client_login(client, &error);
	if (error != NULL)
		g_assert_cmpstr(client->news->str, ==, "");
	client->backend->ops->free(client->backend, error);
	client->backend = NULL;
	if (transcript_out != NULL)
		*transcript_out = peer_transcript(peer);
	return g_steal_pointer(&error);
}

static void
assert_logs_in(const char *const *dialog, How how)
{
	g_autoptr(GError) error = log_in(dialog, how, NULL);

	g_assert_no_error(error);
}

static void
assert_refused(const char *const *dialog, How how, MailfsError code, const char *text)
{
	g_autoptr(GError) error = log_in(dialog, how, NULL);

	g_assert_error(error, MAILFS_ERROR, (int)code);
	if (text != NULL)
		g_assert_cmpstr(error->message, ==, text);
}

/* And not a byte of a name or password is sent. */
static void
assert_stls_fails(const char *const *dialog, MailfsError code)
{
	g_autofree char *transcript = NULL;
	g_autoptr(GError) error = log_in(dialog, (How){.tls = TLS_STARTTLS}, &transcript);

	g_assert_error(error, MAILFS_ERROR, (int)code);
	g_assert_null(strstr(error->message, CANARY));
	for (const char *const *word = (const char *const[]){"USER", "PASS", "AUTH", "APOP", NULL};
	     *word != NULL; word++)
		g_assert_null(strstr(transcript, *word));
}

static void
test_sends_name_and_password(void)
{
	static Dialog dialog = {">+OK ready",	"=CAPA", ">+OK",    ">USER",
				">PIPELINING",	">.",	 "=USER u", ">+OK",
				"=PASS secret", ">+OK",	 "!end",    NULL};

	assert_logs_in(dialog, (How){.tls = TLS_NONE});
}

static void
test_asks_again_what_is_told_only_to_those_who_are_known(void)
{
	static Dialog dialog = {"!tls",		">+OK ready", "=CAPA",	 ">+OK",
				">USER",	">.",	      "=USER u", ">+OK",
				"=PASS secret", ">+OK",	      "=CAPA",	 ">+OK",
				">PIPELINING",	">.",	      "!end",	 NULL};

	assert_logs_in(dialog, (How){.tls = TLS_IMPLICIT});
}

static void
test_does_without_capa(void)
{
	static Dialog dialog = {"!tls", ">+OK ready",	"=CAPA", ">-ERR what?", "=USER u",
				">+OK", "=PASS secret", ">+OK",	 "!end",	NULL};

	assert_logs_in(dialog, (How){.tls = TLS_IMPLICIT});
}

static void
test_prefers_sasl(void)
{
	static Dialog dialog = {"!tls",	       ">+OK ready", "=CAPA",
				">+OK",	       ">USER",	     ">SASL LOGIN PLAIN",
				">PIPELINING", ">.",	     "=AUTH PLAIN AHUAc2VjcmV0",
				">+OK",	       "!end",	     NULL};

	assert_logs_in(dialog, (How){.tls = TLS_IMPLICIT});
}

static void
test_answers_challenges(void)
{
	static Dialog dialog = {"!tls",
				">+OK ready",
				"=CAPA",
				">+OK",
				">SASL LOGIN",
				">PIPELINING",
				">.",
				"=AUTH LOGIN",
				">+ VXNlcm5hbWU6",
				"=dQ==",
				">+ UGFzc3dvcmQ6",
				"=c2VjcmV0",
				">+OK",
				"!end",
				NULL};

	assert_logs_in(dialog, (How){.tls = TLS_IMPLICIT, .auth = AUTH_LOGIN});
}

static void
test_sends_a_long_token_by_itself(void)
{
	static char token[300];
	static Dialog dialog = {"!tls",
				">+OK ready",
				"=CAPA",
				">+OK",
				">SASL XOAUTH2",
				">PIPELINING",
				">.",
				"=AUTH XOAUTH2",
				">+ ",
				"=dXNlcj11AWF1dGg9QmVhcmVyI*",
				">+OK",
				"!end",
				NULL};

	memset(token, 't', sizeof token - 1);
	assert_logs_in(dialog, (How){.tls = TLS_IMPLICIT, .token = TRUE, .password = token});
}

static void
test_gets_a_new_token_once(void)
{
	static Dialog dialog = {"!tls",
				">+OK ready",
				"=CAPA",
				">+OK",
				">SASL XOAUTH2",
				">PIPELINING",
				">.",
				"=AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHNlY3JldAEB",
				">+ eyJzdGF0dXMiOiI0MDAifQ==",
				"=*",
				">-ERR [AUTH] expired",
				"=AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIGZyZXNoAQE=",
				">-ERR [AUTH] expired too",
				"!end",
				NULL};

	assert_refused(dialog, (How){.tls = TLS_IMPLICIT, .token = TRUE}, MAILFS_ERROR_TOKEN, NULL);
}

static void
test_digests_the_password_in_the_clear(void)
{
	/* RFC 1939 7 */
	static Dialog dialog = {">+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>",
				"=CAPA",
				">-ERR",
				"=APOP u c4c9334bac560ecc979e58001b3e22fb",
				">+OK",
				"!end",
				NULL};

	/* Where the server knows no digest of the password … */
	static Dialog again = {">+OK ready <1896.697170952@dbc.mtview.ca.us>",
			       "=CAPA",
			       ">-ERR",
			       "=APOP u *",
			       ">-ERR [AUTH] no such thing",
			       "=USER u",
			       ">+OK",
			       "=PASS tanstaaf",
			       ">+OK",
			       "!end",
			       NULL};
	/* … and where the maildrop is what it does not have. */
	static Dialog busy = {">+OK ready <1896.697170952@dbc.mtview.ca.us>",
			      "=CAPA",
			      ">-ERR",
			      "=APOP u *",
			      ">-ERR [IN-USE] no",
			      "!end",
			      NULL};

	assert_logs_in(dialog, (How){.tls = TLS_NONE, .password = "tanstaaf"});
	assert_logs_in(again, (How){.tls = TLS_NONE, .password = "tanstaaf"});
	assert_refused(busy, (How){.tls = TLS_NONE}, MAILFS_ERROR_BUSY, NULL);
}

static void
test_sends_no_digest_that_somebody_on_the_way_asks_for(void)
{
	static Dialog dialog = {
		">+OK ready <1234.123456789@example.org>", "=CAPA", ">+OK", ">.", "!end", NULL};
	static Dialog within = {">+OK ready <1234.123456789@example.org>",
				"=CAPA",
				">+OK",
				">STLS",
				">.",
				"=STLS",
				">+OK",
				"!tls",
				"=CAPA",
				">-ERR",
				"=USER u",
				">+OK",
				"=PASS secret",
				">+OK",
				"!end",
				NULL};

	assert_stls_fails(dialog, MAILFS_ERROR_TLS);
	assert_logs_in(within, (How){.tls = TLS_STARTTLS});
}

static void
test_gives_up_where_stls_is_hidden_or_refused(void)
{
	static Dialog hidden = {">+OK ready", "=CAPA", ">+OK", ">USER", ">.", "!end", NULL};
	static Dialog refused = {">+OK ready",
				 "=CAPA",
				 ">+OK",
				 ">STLS",
				 ">.",
				 "=STLS",
				 ">-ERR STARTTLS not supported.",
				 "!end",
				 NULL};
	static Dialog no_capa = {">+OK ready", "=CAPA", ">-ERR", "!end", NULL};
	static Dialog challenged = {">+OK ready", "=CAPA",	   ">+OK", ">STLS", ">.",
				    "=STLS",	  ">+ go on then", "!end", NULL};

	assert_stls_fails(hidden, MAILFS_ERROR_TLS);
	assert_stls_fails(refused, MAILFS_ERROR_TLS);
	assert_stls_fails(no_capa, MAILFS_ERROR_TLS);
	assert_stls_fails(challenged, MAILFS_ERROR_TLS);
}

/* All in one segment, or the test would depend on when the parts arrive. */
#define TOO_EARLY "\r\n+OK\r\nPLAIN\r\n" CANARY "\r\n.\r\n+OK"

static void
test_gives_up_where_somebody_speaks_too_early(void)
{
	static Dialog greeting = {">+OK 2 messages\r\n1 120\r\n2 200\r\n.", "!end", NULL};
	static Dialog after_capa = {">+OK ready", "=CAPA", ">+OK\r\nSTLS\r\n." TOO_EARLY, "!end",
				    NULL};
	static Dialog after_stls = {">+OK ready",	    "=CAPA", ">+OK", ">STLS", ">.", "=STLS",
				    ">+OK begin" TOO_EARLY, "!end",  NULL};
	static Dialog user = {">+OK ready",  "=CAPA", ">-ERR", "=USER u",
			      ">+OK\r\n+OK", "!end",  NULL};

	assert_stls_fails(greeting, MAILFS_ERROR_PROTOCOL);
	assert_stls_fails(after_capa, MAILFS_ERROR_PROTOCOL);
	assert_stls_fails(after_stls, MAILFS_ERROR_TLS);
	assert_refused(user, (How){.tls = TLS_NONE}, MAILFS_ERROR_PROTOCOL, NULL);
}

static void
test_forgets_what_was_said_before_tls(void)
{
	static Dialog dialog = {
		">+OK ready", "=CAPA",	     ">+OK", ">STLS",	">SASL PLAIN", ">LOGIN-DELAY 900",
		">.",	      "=STLS",	     ">+OK", "!tls",	"=CAPA",       ">+OK",
		">USER",      ">PIPELINING", ">.",   "=USER u", ">+OK",	       "=PASS secret",
		">+OK",	      "!end",	     NULL};

	assert_logs_in(dialog, (How){.tls = TLS_STARTTLS});
}

static void
assert_pass_means(const char *answer, MailfsError code)
{
	const char *dialog[] = {">+OK ready",	"=CAPA", ">-ERR", "=USER u", ">+OK",
				"=PASS secret", answer,	 "!end",  NULL};

	assert_refused(dialog, (How){.tls = TLS_NONE}, code, NULL);
}

static void
test_knows_what_a_refusal_means(void)
{
	assert_pass_means(">-ERR [IN-USE] Do you have another POP session running?",
			  MAILFS_ERROR_BUSY);
	assert_pass_means(">-ERR maildrop already locked", MAILFS_ERROR_BUSY);
	assert_pass_means(">-ERR [LOGIN-DELAY] wait", MAILFS_ERROR_LIMIT);
	assert_pass_means(">-ERR [SYS/TEMP] wait", MAILFS_ERROR_LIMIT);
	assert_pass_means(">-ERR [SYS/PERM] never", MAILFS_ERROR_DENIED);
	assert_pass_means(">-ERR [AUTH] no", MAILFS_ERROR_LOGIN);
	assert_pass_means(">-ERR this account is locked", MAILFS_ERROR_LOGIN);
	assert_pass_means(">-ERR", MAILFS_ERROR_LOGIN);
}

static void
test_shows_what_the_server_says_made_harmless(void)
{
	static Dialog dialog = {
		">+OK ready", "=CAPA", ">-ERR", "=USER u", ">-ERR [AUTH] \x1b[31;1;4mPOP3\x1b[0m",
		"!end",	      NULL};
	static Dialog greeting = {">-ERR " CANARY, "!end", NULL};

	assert_refused(dialog, (How){.tls = TLS_NONE}, MAILFS_ERROR_LOGIN,
		       "localhost refused the login of u: [AUTH] \\x1b[31;1;4mPOP3\\x1b[0m");
	/* Outside TLS anybody may have said it. */
	assert_refused(greeting, (How){.tls = TLS_STARTTLS}, MAILFS_ERROR_LIMIT,
		       "localhost refused the line");
}

static void
test_sends_no_control_characters(void)
{
	static Dialog nothing = {">+OK ready", "=CAPA", ">-ERR", "!end", NULL};
	g_autofree char *transcript = NULL;
	g_autoptr(GError) error = NULL;
	static Dialog silent = {"!end", NULL};

	assert_refused(nothing, (How){.tls = TLS_NONE, .password = "a\r\nDELE 1"},
		       MAILFS_ERROR_INVALID, NULL);
	error = log_in(silent, (How){.tls = TLS_NONE, .user = "u\nDELE 1"}, &transcript);
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_assert_cmpstr(transcript, ==, "");
}

static void
test_refuses_what_is_no_pop3_server(void)
{
	static Dialog imap = {">* OK IMAP4rev1 ready", "!end", NULL};
	static Dialog challenge = {">+ ", "!end", NULL};

	assert_refused(imap, (How){.tls = TLS_NONE}, MAILFS_ERROR_PROTOCOL, NULL);
	assert_refused(challenge, (How){.tls = TLS_NONE}, MAILFS_ERROR_PROTOCOL, NULL);
}

static void
test_does_not_wait_for_ever(void)
{
	static Dialog dialog = {">+OK ready", "=CAPA", "!stall", NULL};
	g_autoptr(PopMemory) memory = pop_memory_new();
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = pop_client_new(peer, TLS_NONE, memory);
	g_autoptr(GError) error = NULL;

	client->config.timeout_ms = 100;
	g_assert_false(imap_client_login(client, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT);
}

static void
test_refuses_certificates_of_others(void)
{
	static Dialog dialog = {"!self-signed", NULL};

	assert_refused(dialog, (How){.tls = TLS_IMPLICIT}, MAILFS_ERROR_TLS, NULL);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/pop-login/" #name, test_##name)
	TEST(sends_name_and_password);
	TEST(asks_again_what_is_told_only_to_those_who_are_known);
	TEST(does_without_capa);
	TEST(prefers_sasl);
	TEST(answers_challenges);
	TEST(sends_a_long_token_by_itself);
	TEST(gets_a_new_token_once);
	TEST(digests_the_password_in_the_clear);
	TEST(sends_no_digest_that_somebody_on_the_way_asks_for);
	TEST(gives_up_where_stls_is_hidden_or_refused);
	TEST(gives_up_where_somebody_speaks_too_early);
	TEST(forgets_what_was_said_before_tls);
	TEST(knows_what_a_refusal_means);
	TEST(shows_what_the_server_says_made_harmless);
	TEST(sends_no_control_characters);
	TEST(refuses_what_is_no_pop3_server);
	TEST(does_not_wait_for_ever);
	TEST(refuses_certificates_of_others);
	return g_test_run();
}
