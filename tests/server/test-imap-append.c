/* SPDX-License-Identifier: MIT */
/* APPEND: how a message travels, that the size announced is the size sent, and what is known of it
 * when something goes wrong. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "imap-client.h"

#define LOGIN(offered)                                                                             \
	">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready", "<a AUTHENTICATE *",              \
		">a OK [CAPABILITY IMAP4rev1" offered "] in"

static void
add(Request *request, int fd, const char *text, gsize size)
{
	GBytes *bytes = text != NULL ? g_bytes_new(text, strlen(text)) : NULL;

	if (request->messages == NULL)
		request->messages = g_ptr_array_new_with_free_func(append_message_free);
	g_ptr_array_add(request->messages,
			append_message_new(fd, bytes, text != NULL ? strlen(text) : size));
}

/* @texts joined by "|" are the messages; none of their lines is empty. (transfer full) */
static Request *
append(ImapClient *client, const char *texts)
{
	Request *request = imap_client_change(client, REQUEST_APPEND, "Box", NULL, NULL);
	g_auto(GStrv) list = g_strsplit(texts, "|", -1);

	for (guint i = 0; list[i] != NULL; i++)
		add(request, -1, list[i], 0);
	return request;
}

static void
assert_append(const char *const *dialog, const char *texts, const char *expected)
{
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	imap_client_run(client, append(client, texts));
	imap_client_assert_log(client, expected);
}

/* A file of @size bytes that nobody else sees. */
static int
new_file(gsize size)
{
	g_autofree char *name = NULL;
	g_autofree char *content = g_malloc(size);
	int fd = g_file_open_tmp("append-XXXXXX", &name, NULL);

	memset(content, 'x', size);
	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, content, size), ==, (gssize)size);
	g_unlink(name);
	return fd;
}

/* How they travel
 * -----------------------------------------------------------------------------------------------
 */

static void
test_flags_and_date_go_along(void)
{
	static Dialog dialog = {LOGIN(" LITERAL+"),
				"=m2 APPEND \"Box\" (\\Seen \\Draft work $Later) "
				"\"07-Jul-1996 02:44:25 +0000\" {3+}",
				"=abc",
				">m2 OK [APPENDUID 14 5] done",
				"!end",
				NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	Request *request;
	AppendMessage *message;

	imap_client_must_login(client);
	request = append(client, "abc");
	message = request->messages->pdata[0];
	message->flags = (RequestFlags){MESSAGE_SEEN | MESSAGE_DRAFT, g_strdup("work $Later")};
	message->date = 836707465;
	imap_client_run(client, request);
	imap_client_assert_log(client, "appended 0 as 14 5\ndone\n");
}

static void
test_literal_plus_needs_no_round_trip(void)
{
	static Dialog dialog = {LOGIN(" LITERAL+"),
				"=m2 APPEND \"Box\" {3+}",
				"=abc",
				"=m3 APPEND \"Box\" {7+}",
				"=de",
				"=fgh",
				"=m4 APPEND \"Box\" {1+}",
				"=i",
				">m2 OK [APPENDUID 14 5] done",
				">m4 OK [APPENDUID 14 7] done",
				">m3 OK done",
				"!end",
				NULL};

	assert_append(dialog, "abc|de\r\nfgh|i",
		      "appended 0 as 14 5\nappended 2 as 14 7\nappended 1 as 0 0\ndone\n");
}

static void
test_without_it_each_literal_waits(void)
{
	static Dialog dialog = {LOGIN(""), "=m2 APPEND \"Box\" {3}", ">+ go on", "=abc",
				/* Its end is not waited for. */
				"=m3 APPEND \"Box\" {2}", ">m2 OK", ">+", "=de", ">m3 OK", "!end",
				NULL};
	static Dialog refused = {LOGIN(""),
				 "=m2 APPEND \"Box\" {3}",
				 ">m2 NO [TOOBIG] too much",
				 "=m3 APPEND \"Box\" {2}",
				 ">+",
				 "=de",
				 ">m3 OK",
				 "!end",
				 NULL};

	assert_append(dialog, "abc|de", "appended 0 as 0 0\nappended 1 as 0 0\ndone\n");
	assert_append(refused, "abc|de", "appended 0 TOO_BIG\nappended 1 as 0 0\ndone\n");
}

static void
test_literal_minus_waits_for_the_long_ones(void)
{
	g_autofree char *longest = g_strnfill(4096, 'x');
	g_autofree char *longer = g_strnfill(4097, 'y');
	g_autofree char *texts = g_strconcat(longest, "|", longer, NULL);
	g_autofree char *first = g_strconcat("=", longest, NULL);
	g_autofree char *second = g_strconcat("=", longer, NULL);
	const char *const dialog[] = {LOGIN(" LITERAL- MULTIAPPEND"),
				      "=m2 APPEND \"Box\" {4096+}",
				      first,
				      "=m3 APPEND \"Box\" {4097}",
				      ">m2 OK",
				      ">+ go on",
				      second,
				      ">m3 OK",
				      "!end",
				      NULL};

	assert_append(dialog, texts, "appended 0 as 0 0\nappended 1 as 0 0\ndone\n");
}

static void
test_multiappend_stores_many_with_one_command(void)
{
	static Dialog dialog = {LOGIN(" LITERAL+ MULTIAPPEND"),
				"=m2 APPEND \"Box\" {3+}",
				"=abc {2+}",
				"=de {1+}",
				"=f",
				">m2 OK [APPENDUID 14 5,7:8] done",
				"!end",
				NULL};
	static Dialog single = {LOGIN(" MULTIAPPEND"),
				"=m2 APPEND \"Box\" {3}",
				">+",
				"=abc",
				"=m3 APPEND \"Box\" {2}",
				">m2 OK",
				">+",
				"=de",
				">m3 OK",
				"!end",
				NULL};

	assert_append(dialog, "abc|de|f",
		      "appended 0 as 14 5\nappended 1 as 14 7\nappended 2 as 14 8\ndone\n");
	assert_append(single, "abc|de", "appended 0 as 0 0\nappended 1 as 0 0\ndone\n");
}

static void
test_a_refused_multiappend_is_sent_one_by_one(void)
{
	static Dialog dialog = {LOGIN(" LITERAL+ MULTIAPPEND"),
				"=m2 APPEND \"Box\" {3+}",
				"=abc {2+}",
				"=de {1+}",
				"=f",
				">m2 NO one of them is bad",
				"=m3 APPEND \"Box\" {3+}",
				"=abc",
				"=m4 APPEND \"Box\" {2+}",
				"=de",
				"=m5 APPEND \"Box\" {1+}",
				"=f",
				">m3 OK [APPENDUID 14 5]",
				">m4 NO [OVERQUOTA] full",
				">m5 OK [APPENDUID 14 6]",
				"!end",
				NULL};
	static Dialog nowhere = {LOGIN(" LITERAL+ MULTIAPPEND"),
				 "=m2 APPEND \"Box\" {3+}",
				 "=abc {2+}",
				 "=de",
				 ">m2 NO [TRYCREATE] no such mailbox",
				 "!end",
				 NULL};

	assert_append(dialog, "abc|de|f",
		      "appended 0 as 14 5\nappended 1 QUOTA\nappended 2 as 14 6\ndone\n");
	assert_append(nowhere, "abc|de", "done NOT_FOUND\n");
}

/* Answers
 * ---------------------------------------------------------------------------------------------------------
 */

static void
assert_answer(const char *answer, const char *expected)
{
	const char *const dialog[] = {
		LOGIN(" LITERAL+"), "=m2 APPEND \"Box\" {3+}", "=abc", answer, "!end", NULL};

	assert_append(dialog, "abc", expected);
}

static void
test_a_refusal_has_its_meaning(void)
{
	assert_answer(">m2 NO [OVERQUOTA] full", "appended 0 QUOTA\ndone\n");
	assert_answer(">m2 NO Quota exceeded", "appended 0 QUOTA\ndone\n");
	assert_answer(">m2 NO Server Unavailable. 15", "appended 0 QUOTA\ndone\n");
	assert_answer(">m2 NO [TOOBIG] no", "appended 0 TOO_BIG\ndone\n");
	assert_answer(">m2 NO [LIMIT] no", "appended 0 TOO_BIG\ndone\n");
	assert_answer(">m2 NO Maximum size of appendable message has been exceeded.",
		      "appended 0 TOO_BIG\ndone\n");
	assert_answer(">m2 NO [UNAVAILABLE] later", "appended 0 LIMIT\ndone\n");
	assert_answer(">m2 NO [NOPERM] no", "appended 0 DENIED\ndone\n");
	assert_answer(">m2 NO APPEND failed", "appended 0 DENIED\ndone\n");
	assert_answer(">m2 BAD what?", "appended 0 PROTOCOL\ndone\n");
	assert_answer(">m2 NO [TRYCREATE] no such mailbox", "done NOT_FOUND\n");
}

static void
test_appenduid_is_believed_when_it_can_be_true(void)
{
	assert_answer(">m2 OK [APPENDUID 14 4294967295]", "appended 0 as 14 4294967295\ndone\n");
	assert_answer(">m2 OK [APPENDUID 14 4294967296]", "appended 0 as 0 0\ndone\n");
	assert_answer(">m2 OK [APPENDUID 14 0]", "appended 0 as 0 0\ndone\n");
	assert_answer(">m2 OK [APPENDUID 0 5]", "appended 0 as 0 0\ndone\n");
	assert_answer(">m2 OK [APPENDUID 14 5:6]", "appended 0 as 0 0\ndone\n");
	assert_answer(">m2 OK [APPENDUID 14 *]", "appended 0 as 0 0\ndone\n");
	assert_answer(">m2 OK [APPENDUID 14]", "appended 0 as 0 0\ndone\n");
	assert_answer(">m2 OK [APPENDUID]", "appended 0 as 0 0\ndone\n");
	assert_answer(">m2 OK", "appended 0 as 0 0\ndone\n");
}

static void
test_what_cannot_succeed_is_not_begun(void)
{
	static Dialog common = {LOGIN(" LITERAL+ APPENDLIMIT=3"),
				"=m2 APPEND \"Box\" {3+}",
				"=abc",
				">m2 OK",
				"!end",
				NULL};
	static Dialog own = {LOGIN(" LITERAL+ APPENDLIMIT"),
			     "=m2 STATUS \"Box\" (APPENDLIMIT)",
			     ">* STATUS Box (APPENDLIMIT 3)",
			     ">m2 OK",
			     "=m3 APPEND \"Box\" {3+}",
			     "=abc",
			     ">m3 OK",
			     "!end",
			     NULL};
	static Dialog unlimited = {LOGIN(" LITERAL+ APPENDLIMIT"),
				   "=m2 STATUS \"Box\" (APPENDLIMIT)",
				   ">* STATUS Box (APPENDLIMIT NIL)",
				   ">m2 OK",
				   "=m3 APPEND \"Box\" {4+}",
				   "=defg",
				   ">m3 OK",
				   "!end",
				   NULL};

	assert_append(common, "defg|abc|",
		      "appended 0 TOO_BIG\nappended 2 INVALID\nappended 1 as 0 0\ndone\n");
	assert_append(own, "defg|abc", "appended 0 TOO_BIG\nappended 1 as 0 0\ndone\n");
	assert_append(unlimited, "defg", "appended 0 as 0 0\ndone\n");
}

static void
test_what_cannot_be_sent_is_not(void)
{
	static Dialog dialog = {LOGIN(" LITERAL+"), "!end", NULL};
	static const char *const names[] = {"", "x\r\nm9 DELETE INBOX", "x\n"};
	static const char *const words[] = {"a) {3}", "\\Deleted", "x\r\nm9 NOOP", "\""};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);

	imap_client_must_login(client);
	for (guint i = 0; i < G_N_ELEMENTS(names) + G_N_ELEMENTS(words); i++) {
		Request *request = append(client, "abc|def");
		AppendMessage *message = request->messages->pdata[1];

		if (i < G_N_ELEMENTS(names)) {
			g_free(request->mailbox);
			request->mailbox = g_strdup(names[i]);
		} else
			message->flags.keywords = g_strdup(words[i - G_N_ELEMENTS(names)]);
		imap_client_run(client, request);
		imap_client_assert_log(client, "done INVALID\n");
	}
}

/* Bytes
 * -----------------------------------------------------------------------------------------------------------
 */

enum { LARGE = 8 * 1024 * 1024 };

typedef struct {
	const char *early; /* sent while the literal is on its way */
	gsize got;
} Reader;

static void
login_with_literal_plus(PeerLine *line)
{
	peer_send(line, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready");
	peer_expect(line, "TAG AUTHENTICATE *");
	peer_send(line, "TAG OK [CAPABILITY IMAP4rev1 LITERAL+] in");
}

static void
read_large(PeerLine *line, gpointer user)
{
	Reader *reader = user;
	g_autoptr(GBytes) bytes = NULL;

	login_with_literal_plus(line);
	peer_expect(line, "TAG APPEND \"Box\" {8388608+}");
	peer_pause(line);
	if (reader->early != NULL)
		peer_send(line, "TAG %s", reader->early);
	bytes = peer_read_bytes(line, LARGE);
	reader->got = g_bytes_get_size(bytes);
	peer_expect(line, "");
	if (reader->early == NULL)
		peer_send(line, "TAG OK");
	peer_expect(line, "TAG APPEND \"Box\" {3+}");
	peer_expect(line, "abc");
	peer_send(line, "TAG OK");
	peer_expect_close(line);
}

static void
assert_large(Reader *reader, const char *expected)
{
	g_autoptr(Peer) peer = peer_new(read_large, reader);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	Request *request;

	imap_client_must_login(client);
	request = imap_client_change(client, REQUEST_APPEND, "Box", NULL, NULL);
	add(request, new_file(LARGE), NULL, LARGE);
	add(request, -1, "abc", 0);
	imap_client_start(client, request);
	/* The peer reads nothing: what waits is bounded. */
	g_assert_true(imap_client_pump(client, 300, NULL, NULL));
	g_assert_cmpuint(wire_unsent(client->backend->wire), <=, 512 * 1024);
	peer_go(peer);
	g_assert_true(imap_client_finish(client, NULL));
	imap_client_assert_log(client, expected);
	g_assert_cmpuint(reader->got, ==, LARGE);
}

static void
test_a_large_file_is_streamed(void)
{
	Reader reader = {NULL, 0};

	assert_large(&reader, "appended 0 as 0 0\nappended 1 as 0 0\ndone\n");
}

/* The server reads the literal to its end before it looks for a command. */
static void
test_a_literal_is_sent_to_its_end_after_an_early_no(void)
{
	Reader reader = {"NO [TOOBIG] stop it", 0};

	assert_large(&reader, "appended 0 TOO_BIG\nappended 1 as 0 0\ndone\n");
}

static void
read_until_broken_off(PeerLine *line, gpointer user)
{
	Reader *reader = user;
	g_autoptr(GBytes) bytes = NULL;

	login_with_literal_plus(line);
	peer_expect(line, "TAG APPEND \"Box\" {8388608+}");
	peer_pause(line);
	bytes = peer_read_bytes(line, LARGE);
	reader->got = g_bytes_get_size(bytes);
	peer_expect_close(line);
}

static void
test_a_file_that_shrinks_breaks_the_line_off(void)
{
	Reader reader = {NULL, 0};
	g_autoptr(Peer) peer = peer_new(read_until_broken_off, &reader);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	int fd = new_file(LARGE);
	int same = dup(fd);
	Request *request;

	imap_client_must_login(client);
	request = imap_client_change(client, REQUEST_APPEND, "Box", NULL, NULL);
	add(request, fd, NULL, LARGE);
	add(request, -1, "abc", 0);
	imap_client_start(client, request);
	g_assert_true(imap_client_pump(client, 100, NULL, NULL));
	g_assert_cmpint(ftruncate(same, LARGE - 1), ==, 0);
	close(same);
	peer_go(peer);
	g_assert_false(imap_client_finish(client, NULL));
	imap_client_assert_log(client, "appended 0 g-file-error-quark\ndone OFFLINE\n");
	/* Shorter beforehand: told, and nothing is sent for it. */
	g_clear_pointer(&client, imap_client_free);
	g_clear_pointer(&peer, peer_free);
	g_assert_cmpuint(reader.got, <, LARGE);
}

static void
read_in_two_steps(PeerLine *line, gpointer user)
{
	login_with_literal_plus(line);
	peer_expect(line, "TAG APPEND \"Box\" {8388608+}");
	peer_pause(line);
	g_bytes_unref(peer_read_bytes(line, LARGE / 2));
	peer_pause(line);
	g_bytes_unref(peer_read_bytes(line, LARGE / 2));
	peer_stall(line);
}

/* The timeout is 10 s: after each such wait, is the line still believed in? */
static gboolean
is_alive(ImapClient *client, guint waits)
{
	gint64 now = g_get_monotonic_time() + waits * 11 * G_USEC_PER_SEC;

	return client->backend->ops->tick(client->backend, now, NULL) >= 0;
}

static void
test_a_slow_server_is_not_a_dead_one(void)
{
	g_autoptr(Peer) peer = peer_new(read_in_two_steps, NULL);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	Request *request;

	imap_client_must_login(client);
	request = imap_client_change(client, REQUEST_APPEND, "Box", NULL, NULL);
	add(request, new_file(LARGE), NULL, LARGE);
	imap_client_start(client, request);
	g_assert_true(imap_client_pump(client, 300, NULL, NULL));
	g_assert_true(is_alive(client, 1));
	peer_go(peer);
	g_assert_true(imap_client_pump(client, 300, NULL, NULL));
	g_assert_true(is_alive(client, 2));
	peer_go(peer);
	g_assert_true(imap_client_pump(client, 300, NULL, NULL));
	g_assert_true(is_alive(client, 3));
	/* It has read all, and says nothing. */
	is_alive(client, 4);
	g_assert_false(is_alive(client, 5));
}

static void
test_a_short_file_is_not_begun(void)
{
	static Dialog dialog = {
		LOGIN(" LITERAL+"), "=m2 APPEND \"Box\" {3+}", "=abc", ">m2 OK", "!end", NULL};
	g_autoptr(Peer) peer = peer_new(imap_peer_dialog, (gpointer)dialog);
	g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
	Request *request;

	imap_client_must_login(client);
	request = imap_client_change(client, REQUEST_APPEND, "Box", NULL, NULL);
	add(request, new_file(9), NULL, 10);
	add(request, -1, "abc", 0);
	imap_client_run(client, request);
	imap_client_assert_log(client, "appended 0 INVALID\nappended 1 as 0 0\ndone\n");
}

/* The line lost
 * --------------------------------------------------------------------------------------------------
 */

typedef struct {
	gboolean waits;
	gsize cut; /* after so many bytes behind the login */
} Cut;

static void
cut_after(PeerLine *line, gpointer user)
{
	const Cut *cut = user;
	g_autoptr(GBytes) before = NULL;
	g_autoptr(GBytes) behind = NULL;
	gsize header = strlen("m2 APPEND \"Box\" {10}\r\n");
	gsize first = cut->waits ? MIN(cut->cut, header) : cut->cut;

	peer_send(line, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready");
	peer_expect(line, "TAG AUTHENTICATE *");
	peer_send(line, "TAG OK [CAPABILITY IMAP4rev1%s] in", cut->waits ? "" : " LITERAL+");
	before = peer_read_bytes(line, first);
	if (cut->waits && first == header)
		peer_send(line, "+ go on");
	if (cut->cut > first)
		behind = peer_read_bytes(line, cut->cut - first);
	peer_cut(line);
}

static void
test_a_cut_at_any_byte_never_looks_like_success(void)
{
	gsize header = strlen("m2 APPEND \"Box\" {10}\r\n");

	for (guint i = 0; i < 2 * (header + 13); i++) {
		Cut cut = {i % 2 == 0, i / 2};
		g_autoptr(Peer) peer = peer_new(cut_after, &cut);
		g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
		gboolean unknown;

		imap_client_must_login(client);
		imap_client_run(client, append(client, "0123456789"));
		unknown =
			strcmp(client->log->str, "appended 0 UNKNOWN_OUTCOME\ndone OFFLINE\n") == 0;
		if (!unknown)
			g_assert_cmpstr(client->log->str, ==, "done OFFLINE\n");
		/* Without a "+" not a byte of it has left us; with all of it the server may have
		 * it. */
		if (cut.waits && cut.cut < header)
			g_assert_false(unknown);
		if (cut.cut == header + (cut.waits ? 12 : 13))
			g_assert_true(unknown);
	}
}

static void
test_what_is_not_told_is_not_there(void)
{
	static Dialog dialog = {LOGIN(""),
				"=m2 APPEND \"Box\" {3}",
				">+",
				"=abc",
				"=m3 APPEND \"Box\" {2}",
				">+",
				"=de",
				"=m4 APPEND \"Box\" {1}",
				">m2 OK [APPENDUID 14 5]",
				"!cut",
				NULL};

	assert_append(dialog, "abc|de|f",
		      "appended 0 as 14 5\nappended 1 UNKNOWN_OUTCOME\ndone OFFLINE\n");
}

static void
test_only_so_much_is_under_way(void)
{
	g_autoptr(GString) texts = g_string_new("a");
	g_autoptr(GPtrArray) steps = g_ptr_array_new_with_free_func(g_free);
	static Dialog login = {LOGIN(" LITERAL+"), NULL};

	for (guint i = 0; login[i] != NULL; i++)
		g_ptr_array_add(steps, g_strdup(login[i]));
	for (guint i = 2; i < 34; i++) {
		g_ptr_array_add(steps, g_strdup_printf("=m%u APPEND \"Box\" {1+}", i));
		g_ptr_array_add(steps, g_strdup("=a"));
		g_string_append(texts, "|a");
	}
	g_ptr_array_add(steps, g_strdup("!pause"));
	g_ptr_array_add(steps, g_strdup(">m2 OK"));
	g_ptr_array_add(steps, g_strdup("=m34 APPEND \"Box\" {1+}"));
	g_ptr_array_add(steps, g_strdup("=a"));
	g_ptr_array_add(steps, g_strdup("!cut"));
	g_ptr_array_add(steps, NULL);
	{
		g_autoptr(Peer) peer = peer_new(imap_peer_dialog, steps->pdata);
		g_autoptr(ImapClient) client = imap_client_new(peer, TLS_NONE);
		gsize received;

		imap_client_must_login(client);
		imap_client_start(client, append(client, texts->str));
		imap_client_pump(client, 200, NULL, NULL);
		received = peer_received(peer);
		imap_client_pump(client, 100, NULL, NULL);
		g_assert_cmpuint(peer_received(peer), ==, received);
		peer_go(peer);
		g_assert_false(imap_client_finish(client, NULL));
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/imap-append/flags-and-date-go-along", test_flags_and_date_go_along);
	g_test_add_func("/imap-append/literal-plus-needs-no-round-trip",
			test_literal_plus_needs_no_round_trip);
	g_test_add_func("/imap-append/without-it-each-literal-waits",
			test_without_it_each_literal_waits);
	g_test_add_func("/imap-append/literal-minus-waits-for-the-long-ones",
			test_literal_minus_waits_for_the_long_ones);
	g_test_add_func("/imap-append/multiappend-stores-many-with-one-command",
			test_multiappend_stores_many_with_one_command);
	g_test_add_func("/imap-append/a-refused-multiappend-is-sent-one-by-one",
			test_a_refused_multiappend_is_sent_one_by_one);
	g_test_add_func("/imap-append/a-refusal-has-its-meaning", test_a_refusal_has_its_meaning);
	g_test_add_func("/imap-append/appenduid-is-believed-when-it-can-be-true",
			test_appenduid_is_believed_when_it_can_be_true);
	g_test_add_func("/imap-append/what-cannot-succeed-is-not-begun",
			test_what_cannot_succeed_is_not_begun);
	g_test_add_func("/imap-append/what-cannot-be-sent-is-not", test_what_cannot_be_sent_is_not);
	g_test_add_func("/imap-append/a-large-file-is-streamed", test_a_large_file_is_streamed);
	g_test_add_func("/imap-append/a-literal-is-sent-to-its-end-after-an-early-no",
			test_a_literal_is_sent_to_its_end_after_an_early_no);
	g_test_add_func("/imap-append/a-file-that-shrinks-breaks-the-line-off",
			test_a_file_that_shrinks_breaks_the_line_off);
	g_test_add_func("/imap-append/a-slow-server-is-not-a-dead-one",
			test_a_slow_server_is_not_a_dead_one);
	g_test_add_func("/imap-append/a-short-file-is-not-begun", test_a_short_file_is_not_begun);
	g_test_add_func("/imap-append/a-cut-at-any-byte-never-looks-like-success",
			test_a_cut_at_any_byte_never_looks_like_success);
	g_test_add_func("/imap-append/what-is-not-told-is-not-there",
			test_what_is_not_told_is_not_there);
	g_test_add_func("/imap-append/only-so-much-is-under-way", test_only_so_much_is_under_way);
	return g_test_run();
}
