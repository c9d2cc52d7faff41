/* SPDX-License-Identifier: MIT */
#include "proto/sasl.h"

#include <string.h>

#include "base/error.h"

static SaslExchange *
exchange_for(const char *offered, AuthMechanism auth, gboolean is_token, const char *user,
	     const char *secret, gboolean secure, GError **error)
{
	g_auto(GStrv) names = g_strsplit(offered, " ", -1);
	g_autoptr(GPtrArray) list = g_ptr_array_new();

	for (guint i = 0; names[i] != NULL; i++)
		if (*names[i] != '\0')
			g_ptr_array_add(list, names[i]);
	return sasl_exchange_new("imap", "server.example.com", 143, list, auth, is_token, user,
				 secret, secure, error);
}

static void
assert_chosen(const char *offered, gboolean is_token, gboolean secure, const char *expected)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(SaslExchange) exchange =
		exchange_for(offered, AUTH_AUTO, is_token, "u", "s", secure, &error);

	g_assert_no_error(error);
	g_assert_cmpstr(sasl_exchange_mechanism(exchange), ==, expected);
}

static void
test_auto_takes_the_strongest_that_fits(void)
{
	const char *all = "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 GSSAPI XOAUTH2 OAUTHBEARER";

	assert_chosen(all, FALSE, TRUE, "SCRAM-SHA-256");
	assert_chosen(all, TRUE, TRUE, "OAUTHBEARER");
	assert_chosen("PLAIN XOAUTH2", TRUE, TRUE, "XOAUTH2");
	assert_chosen("plain cram-md5", FALSE, TRUE, "PLAIN");
	assert_chosen("PLAIN CRAM-MD5", FALSE, FALSE, "CRAM-MD5");
	assert_chosen("LOGIN GSSAPI XOAUTH2", FALSE, TRUE, "LOGIN");
}

static void
test_nothing_that_fits_is_a_login_error_that_lists_the_offer(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GError) asked = NULL;

	g_assert_null(exchange_for("PLAIN FOO\033[1m", AUTH_AUTO, TRUE, "u", "s", TRUE, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN);
	g_assert_nonnull(strstr(error->message, "PLAIN FOO\\x1b[1m"));
	g_assert_null(exchange_for("PLAIN", AUTH_CRAM_MD5, FALSE, "u", "s", TRUE, &asked));
	g_assert_error(asked, MAILFS_ERROR, MAILFS_ERROR_LOGIN);
}

static void
assert_step(SaslExchange *exchange, const char *challenge, const char *expected)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *encoded =
		challenge != NULL ? g_base64_encode((const guchar *)challenge, strlen(challenge))
				  : NULL;
	g_autofree char *answer = sasl_exchange_step(exchange, encoded, &error);

	g_assert_no_error(error);
	g_assert_cmpstr(answer, ==, expected);
}

static void
assert_refuses(SaslExchange *exchange, const char *challenge, MailfsError code)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(sasl_exchange_step(exchange, challenge, &error));
	g_assert_error(error, MAILFS_ERROR, (int)code);
}

/* RFC 4616 4, without an authorization identity. */
static void
test_plain_says_user_and_password_once(void)
{
	g_autoptr(SaslExchange) exchange =
		exchange_for("PLAIN", AUTH_PLAIN, FALSE, "tim", "tanstaaftanstaaf", TRUE, NULL);

	assert_step(exchange, NULL, "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
	assert_refuses(exchange, "", MAILFS_ERROR_PROTOCOL);
	g_assert_true(sasl_exchange_finish(exchange, NULL));
}

static void
test_login_answers_two_prompts_and_no_third(void)
{
	g_autoptr(SaslExchange) exchange =
		exchange_for("LOGIN", AUTH_LOGIN, FALSE, "tim", "secret", TRUE, NULL);

	assert_step(exchange, NULL, NULL);
	assert_step(exchange, "Username:", "dGlt");
	assert_step(exchange, "Password:", "c2VjcmV0");
	assert_refuses(exchange, "Z2l2ZSBtb3Jl", MAILFS_ERROR_PROTOCOL);
}

/* Google's example of the mechanism. */
static void
test_xoauth2_is_googles_example(void)
{
	g_autoptr(SaslExchange) exchange =
		exchange_for("XOAUTH2", AUTH_XOAUTH2, TRUE, "someuser@example.com",
			     "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", TRUE, NULL);

	assert_step(exchange, NULL,
		    "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52Yj"
		    "NSbGNr"
		    "QmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==");
	assert_step(exchange, "{\"status\":\"400\"}", "");
	assert_refuses(exchange, "", MAILFS_ERROR_PROTOCOL);
}

/* RFC 7628 4.1 and 4.3. */
static void
test_oauthbearer_is_the_rfcs_example(void)
{
	g_autoptr(SaslExchange) exchange =
		exchange_for("OAUTHBEARER", AUTH_OAUTHBEARER, TRUE, "user@example.com",
			     "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", TRUE, NULL);

	assert_step(exchange, NULL,
		    "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dG"
		    "g9QmVh"
		    "cmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB");
	assert_step(exchange, "{\"status\":\"invalid_token\"}", "AQ==");
}

static void
test_oauthbearer_escapes_the_user_name(void)
{
	g_autoptr(SaslExchange) exchange =
		exchange_for("OAUTHBEARER", AUTH_AUTO, TRUE, "a,b=c", "t", TRUE, NULL);
	g_autofree char *encoded = sasl_exchange_step(exchange, NULL, NULL);
	gsize len;
	g_autofree char *text = (char *)g_base64_decode(encoded, &len);

	g_assert_true(g_str_has_prefix(text, "n,a=a=2Cb=3Dc,\001host="));
}

/* RFC 2195 2. */
static void
test_cram_md5_is_the_rfcs_example(void)
{
	g_autoptr(SaslExchange) exchange = exchange_for("CRAM-MD5", AUTH_CRAM_MD5, FALSE, "tim",
							"tanstaaftanstaaf", TRUE, NULL);

	assert_step(exchange, NULL, NULL);
	assert_step(exchange, "<1896.697170952@postoffice.reston.mci.net>",
		    "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
	g_assert_true(sasl_exchange_finish(exchange, NULL));
	assert_refuses(exchange, "", MAILFS_ERROR_PROTOCOL);
}

/* The server's side of RFC 7677, enough of it to judge a client.
 * ------------------------------------------------- */

#define ITERATIONS 4096

static void
hmac(const guint8 *key, gsize key_len, const char *text, gsize len, guint8 out[32])
{
	GHmac *state = g_hmac_new(G_CHECKSUM_SHA256, key, key_len);
	gsize size = 32;

	g_hmac_update(state, (const guchar *)text, (gssize)len);
	g_hmac_get_digest(state, out, &size);
	g_hmac_unref(state);
}

static void
salted_password(const char *password, const char *salt, guint8 out[32])
{
	g_autofree char *first = g_strconcat(salt, "....", NULL);
	gsize salt_len = strlen(salt);
	guint8 block[32];

	memcpy(first + salt_len, "\0\0\0\1", 4);
	hmac((const guint8 *)password, strlen(password), first, salt_len + 4, block);
	memcpy(out, block, 32);
	for (guint i = 1; i < ITERATIONS; i++) {
		hmac((const guint8 *)password, strlen(password), (const char *)block, 32, block);
		for (guint k = 0; k < 32; k++)
			out[k] ^= block[k];
	}
}

static void
sha256(const guint8 *data, gsize len, guint8 out[32])
{
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
	gsize size = 32;

	g_checksum_update(sum, data, (gssize)len);
	g_checksum_get_digest(sum, out, &size);
	g_checksum_free(sum);
}

typedef struct {
	char *client_first; /* bare */
	char *server_first;
	gboolean proven;
	char *server_final; /* base64, to be sent */
} ScramServer;

static void
scram_server_clear(ScramServer *server)
{
	g_free(server->client_first);
	g_free(server->server_first);
	g_free(server->server_final);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ScramServer, scram_server_clear)

static char *
decode_text(const char *encoded)
{
	gsize len;
	g_autofree guchar *raw = g_base64_decode(encoded, &len);

	return g_strndup((const char *)raw, len);
}

/* Answers the client's first message. (transfer full): base64 */
static char *
scram_first(ScramServer *server, const char *encoded)
{
	g_autofree char *text = decode_text(encoded);
	const char *nonce = strstr(text, ",r=");

	g_assert_true(g_str_has_prefix(text, "n,,n=user,r="));
	server->client_first = g_strdup(text + strlen("n,,"));
	server->server_first =
		g_strdup_printf("r=%sSERVERNONCE,s=%s,i=%d", nonce + 3, "c2FsdHNhbHQ=", ITERATIONS);
	return g_base64_encode((const guchar *)server->server_first, strlen(server->server_first));
}

/* Checks the proof against @password and makes the server's own. */
static void
scram_final(ScramServer *server, const char *encoded, const char *password)
{
	g_autofree char *text = decode_text(encoded);
	char *proof_at = strstr(text, ",p=");
	g_autofree char *message = NULL;
	g_autofree guchar *proof = NULL;
	g_autofree char *verifier = NULL;
	g_autofree char *final = NULL;
	guint8 salted[32], key[32], stored[32], signature[32], server_key[32];
	gsize len;

	g_assert_nonnull(proof_at);
	proof = g_base64_decode(proof_at + 3, &len);
	g_assert_cmpuint(len, ==, 32);
	*proof_at = '\0';
	message = g_strdup_printf("%s,%s,%s", server->client_first, server->server_first, text);
	salted_password(password, "saltsalt", salted);
	hmac(salted, 32, "Client Key", 10, key);
	sha256(key, 32, stored);
	hmac(stored, 32, message, strlen(message), signature);
	for (guint i = 0; i < 32; i++)
		proof[i] ^= signature[i];
	server->proven = memcmp(proof, key, 32) == 0;
	hmac(salted, 32, "Server Key", 10, server_key);
	hmac(server_key, 32, message, strlen(message), signature);
	verifier = g_base64_encode(signature, 32);
	final = g_strdup_printf("v=%s", verifier);
	server->server_final = g_base64_encode((const guchar *) final, strlen(final));
}

static void
run_scram(ScramServer *server, SaslExchange *exchange, const char *password_at_server)
{
	g_autofree char *first = sasl_exchange_step(exchange, NULL, NULL);
	g_autofree char *challenge = scram_first(server, first);
	g_autofree char *proof = sasl_exchange_step(exchange, challenge, NULL);

	g_assert_nonnull(proof);
	scram_final(server, proof, password_at_server);
}

static void
test_scram_proves_both_sides(void)
{
	g_autoptr(SaslExchange) exchange =
		exchange_for("SCRAM-SHA-256", AUTH_AUTO, FALSE, "user", "pencil", TRUE, NULL);
	g_auto(ScramServer) server = {0};
	g_autofree char *last = NULL;
	g_autoptr(GError) error = NULL;

	run_scram(&server, exchange, "pencil");
	g_assert_true(server.proven);
	last = sasl_exchange_step(exchange, server.server_final, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(last, ==, "");
	g_assert_true(sasl_exchange_finish(exchange, NULL));
}

static void
test_scram_server_that_does_not_know_the_password_is_refused(void)
{
	g_autoptr(SaslExchange) exchange =
		exchange_for("SCRAM-SHA-256", AUTH_AUTO, FALSE, "user", "pencil", TRUE, NULL);
	g_auto(ScramServer) server = {0};

	run_scram(&server, exchange, "guess");
	g_assert_false(server.proven);
	assert_refuses(exchange, server.server_final, MAILFS_ERROR_LOGIN);
}

static void
test_scram_ok_without_the_servers_proof_is_refused(void)
{
	g_autoptr(SaslExchange) exchange =
		exchange_for("SCRAM-SHA-256", AUTH_AUTO, FALSE, "user", "pencil", TRUE, NULL);
	g_auto(ScramServer) server = {0};
	g_autoptr(GError) error = NULL;

	run_scram(&server, exchange, "pencil");
	g_assert_false(sasl_exchange_finish(exchange, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN);
}

static void
test_control_characters_are_refused(void)
{
	g_autoptr(GError) user = NULL;
	g_autoptr(GError) token = NULL;

	g_assert_null(exchange_for("PLAIN", AUTH_PLAIN, FALSE, "a\r\nb", "s", TRUE, &user));
	g_assert_error(user, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_assert_null(exchange_for("XOAUTH2", AUTH_AUTO, TRUE, "a", "t\001auth=x", TRUE, &token));
	g_assert_error(token, MAILFS_ERROR, MAILFS_ERROR_INVALID);
}

static void
test_a_challenge_that_is_no_base64_is_nonsense(void)
{
	static const char *const bad[] = {"a", "ab=c", "====", "YWJj\xff", "YW Jj", "<1@x>"};

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(SaslExchange) exchange =
			exchange_for("CRAM-MD5", AUTH_CRAM_MD5, FALSE, "u", "s", TRUE, NULL);

		assert_step(exchange, NULL, NULL);
		assert_refuses(exchange, bad[i], MAILFS_ERROR_PROTOCOL);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/sasl/auto-takes-the-strongest-that-fits",
			test_auto_takes_the_strongest_that_fits);
	g_test_add_func("/sasl/nothing-that-fits-is-a-login-error-that-lists-the-offer",
			test_nothing_that_fits_is_a_login_error_that_lists_the_offer);
	g_test_add_func("/sasl/plain-says-user-and-password-once",
			test_plain_says_user_and_password_once);
	g_test_add_func("/sasl/login-answers-two-prompts-and-no-third",
			test_login_answers_two_prompts_and_no_third);
	g_test_add_func("/sasl/xoauth2-is-googles-example", test_xoauth2_is_googles_example);
	g_test_add_func("/sasl/oauthbearer-is-the-rfcs-example",
			test_oauthbearer_is_the_rfcs_example);
	g_test_add_func("/sasl/oauthbearer-escapes-the-user-name",
			test_oauthbearer_escapes_the_user_name);
	g_test_add_func("/sasl/cram-md5-is-the-rfcs-example", test_cram_md5_is_the_rfcs_example);
	g_test_add_func("/sasl/scram-proves-both-sides", test_scram_proves_both_sides);
	g_test_add_func("/sasl/scram-server-that-does-not-know-the-password-is-refused",
			test_scram_server_that_does_not_know_the_password_is_refused);
	g_test_add_func("/sasl/scram-ok-without-the-servers-proof-is-refused",
			test_scram_ok_without_the_servers_proof_is_refused);
	g_test_add_func("/sasl/control-characters-are-refused",
			test_control_characters_are_refused);
	g_test_add_func("/sasl/a-challenge-that-is-no-base64-is-nonsense",
			test_a_challenge_that_is_no_base64_is_nonsense);
	return g_test_run();
}
