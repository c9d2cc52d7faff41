/* SPDX-License-Identifier: MIT */
#include "mail/compose.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "golden.h"
#include "mail/upload-check.h"
#include "store/checksum.h"

#define FULL                                                                                       \
	"From: a@x.org\nDate: Sun, 22 Nov 2026 08:00:00 +0000\nMessage-ID: <1@x.org>\n"            \
	"MIME-Version: 1.0\n"

static int
file_of(const char *data, gsize len)
{
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp(NULL, &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	unlink(path);
	g_assert_true(upload_check_write(fd, data, len, 0, NULL));
	return fd;
}

/* (transfer full) */
static char *
contents(int fd, gsize *len_out)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *data = g_malloc((gsize)size + 1);

	g_assert_cmpint(upload_check_read(fd, data, (gsize)size, 0, NULL), ==, size);
	data[size] = '\0';
	if (len_out != NULL)
		*len_out = (gsize)size;
	return data;
}

static ComposeOptions
options_now(GDateTime **now)
{
	g_autoptr(GTimeZone) zone = g_time_zone_new_offset(3600);

	*now = g_date_time_new(zone, 2026, 11, 22, 9, 5, 7);
	return (ComposeOptions){.address = "alice@example.org", .unique = "unique", .now = *now};
}

/* The recipients joined by blanks, or "! " and why not. (transfer full) */
static char *
recipients_of(const char *message)
{
	g_autoptr(GDateTime) now = NULL;
	ComposeOptions options = options_now(&now);
	g_auto(UtilFd) fd = file_of(message, strlen(message));
	g_autoptr(GError) error = NULL;
	g_autoptr(Composed) composed = compose_read(fd, &options, &error);

	if (composed == NULL)
		return g_strdup_printf("! %s", error->message);
	return g_strjoinv(" ", composed->recipients);
}

typedef struct {
	const char *message, *expected;
} Row;

static void
check_rows(const Row *rows, guint n)
{
	for (guint i = 0; i < n; i++) {
		g_autofree char *found = recipients_of(rows[i].message);

		g_assert_cmpstr(found, ==, rows[i].expected);
	}
}

static void
test_recipients(void)
{
	static const Row rows[] = {
		{"To: b@x.org\n\nhi\n", "b@x.org"},
		{"To: b@x.org", "b@x.org"},
		{"To: b@x.org\r\nCc: c@x.org\r\nBcc: d@x.org\r\n\r\nTo: e@x.org\r\n",
		 "b@x.org c@x.org d@x.org"},
		{"to : b@x.org\nBCC\t: c@x.org\n\n", "b@x.org c@x.org"},
		{"To: b@x.org,\n\tc@x.org\nBcc: d@x.org\n ,e@x.org\n\n",
		 "b@x.org c@x.org d@x.org e@x.org"},
		{"To: b@x.org\nTo: c@x.org\nTo: b@x.org\n\n", "b@x.org c@x.org"},
		{"To:\nCc: \nBcc: d@x.org\n\n", "d@x.org"},
		{"Bcc: d@x.org\n\n", "d@x.org"},
		{"To: undisclosed-recipients:;\nBcc: d@x.org\n\n", "d@x.org"},
		{"X-To: b@x.org\nToo: c@x.org\nTo: d@x.org\n\n", "d@x.org"},
		{"Subject: x\nTo: =?utf-8?q?B=C3=B6b?= <b@b\303\266b.example>\n\n",
		 "b@xn--bb-fka.example"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

static void
test_refusals(void)
{
	static const Row rows[] = {
		{"Subject: x\n\nTo: b@x.org\n",
		 "! cannot be sent: it names no recipient in To, Cc or Bcc"},
		{"To: undisclosed-recipients:;\n\n",
		 "! cannot be sent: it names no recipient in To, Cc or Bcc"},
		{"Resent-From: a@x.org\nTo: b@x.org\n\n", "! cannot be sent: it names no recipient "
							  "in Resent-To, Resent-Cc or Resent-Bcc"},
		{"To: b@x.org\nCc: c d@x.org\n\n",
		 "! cannot be sent: Cc: \"c d@x.org\" is no address: there is a gap in it"},
		{"To: b@x.org\nno field\n\n", "! cannot be sent: line 2 of its header is no field; "
					      "an empty line must stand before the text"},
		{"From a@x.org Sun Nov 22\nTo: b@x.org\n\n",
		 "! no message: it begins with the \"From \" line of an mbox file; write its "
		 "messages one by one, without that line"},
		{"To: b@x.org\n\na\rb\n",
		 "! no message: it has a carriage return that ends no line"},
		{"To: b@x.org\r\n\r\n\r\r\n",
		 "! no message: it has a carriage return that ends no line"},
		{"To: b@x.org\n\na\r", "! no message: it has a carriage return that ends no line"},
		{"hello\n", "! no message: it does not begin with a header field such as "
			    "\"Subject:\""},
		{"", "! no message: it is empty"},
		{"Subject: J\366rg\nTo: b@x.org\n\n",
		 "! cannot be sent: Subject: it is neither ASCII nor UTF-8; the program that wrote "
		 "it must encode it (RFC 2047)"},
	};
	static const char nul[] = "To: b@x.org\n\na\0b\n";
	g_auto(UtilFd) fd = file_of(nul, sizeof nul - 1);
	ComposeOptions options = {.address = "a@x.org"};
	g_autoptr(GError) error = NULL;

	check_rows(rows, G_N_ELEMENTS(rows));
	g_assert_null(compose_read(fd, &options, &error));
	g_assert_cmpstr(error->message, ==, "no message: it has a NUL octet");
}

static void
test_nobody_has_its_own_code(void)
{
	static const char message[] = "Subject: x\n\n";
	g_auto(UtilFd) fd = file_of(message, strlen(message));
	ComposeOptions options = {.address = "a@x.org"};
	g_autoptr(GError) error = NULL;

	g_assert_null(compose_read(fd, &options, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_NO_RECIPIENT);
}

static void
test_long_lines(void)
{
	for (guint len = 998; len <= 999; len++) {
		g_autofree char *line = g_strnfill(len, 'x');
		g_autofree char *message = g_strdup_printf("To: b@x.org\r\n\r\n\r\n%s\r\n", line);
		g_autofree char *unended = g_strdup_printf("To: b@x.org\n\n\n%s", line);
		g_autofree char *found = recipients_of(message);
		g_autofree char *last = recipients_of(unended);

		g_assert_cmpstr(found, ==,
				len == 998 ? "b@x.org"
					   : "! cannot be sent: line 4 has 999 octets, and a line "
					     "of mail holds 998; the program that wrote it must "
					     "encode it (quoted-printable, base64)");
		g_assert_cmpstr(found, ==, last);
	}
}

static void
test_resent(void)
{
	static const Row rows[] = {
		{"Resent-To: r@x.org\nTo: b@x.org\nCc: c@x.org\n\n", "r@x.org"},
		{"To: b@x.org\nResent-To: r@x.org\nResent-Bcc: s@x.org\n\n", "r@x.org s@x.org"},
		{"Resent-To: r@x.org\nResent-Cc: s@x.org\nResent-To: old@x.org\nTo: b@x.org\n\n",
		 "r@x.org s@x.org"},
		{"Resent-To: r@x.org\nReceived: by x\nResent-To: old@x.org\nTo: b@x.org\n\n",
		 "r@x.org"},
		{"Received: by x\nResent-To: old@x.org\nTo: b@x.org\n\n", "b@x.org"},
		{"Return-Path: <a@x.org>\nResent-To: old@x.org\nTo: b@x.org\n\n", "b@x.org"},
		{"Resent-To: r@x.org\nBcc: d@x.org\n\n", "r@x.org"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

/* The completed file, what goes out and what is kept, and the envelope, one after the other. */
static char *
all_of(const char *message, gsize len, const ComposeOptions *options)
{
	GString *all = g_string_new(NULL);
	g_auto(UtilFd) in = file_of(message, len);
	g_auto(UtilFd) complete = file_of("", 0), wire = file_of("", 0), sent = file_of("", 0);
	ComposeOptions plain = *options;
	ComposeWritten written[3];
	g_autoptr(GError) error = NULL;
	g_autoptr(Composed) composed = NULL;
	g_autofree char *to = NULL;
	const int files[] = {complete, wire, sent};
	const char *const names[] = {"kept", "wire", "sent"};

	plain.sender = NULL;
	plain.recipients = NULL;
	if (!compose_complete(in, complete, options, &written[0], &error)) {
		g_string_append_printf(all, "! %s\n", error->message);
		return g_string_free(all, FALSE);
	}
	composed = compose_read(complete, &plain, &error);
	g_assert_no_error(error);
	g_assert_true(composed->is_complete);
	g_assert_true(compose_wire(complete, wire, &written[1], &error));
	g_assert_true(compose_sent(complete, sent, &written[2], &error));
	to = g_strjoinv(" ", composed->recipients);
	g_string_append_printf(all, "from <%s> to %s, %s %s%s\n", composed->sender, to,
			       composed->id_field, composed->message_id,
			       composed->smtputf8 ? ", SMTPUTF8" : "");
	for (guint i = 0; i < 3; i++) {
		gsize size;
		g_autofree char *data = contents(files[i], &size);
		gboolean same = i == 1 ? composed->is_wire : i == 2 && composed->is_sent;

		g_assert_cmpuint(written[i].size, ==, size);
		g_assert_cmpuint(written[i].crc, ==, checksum(0, data, size));
		if (same) { /* promised to be the file itself */
			gsize kept_size;
			g_autofree char *kept = contents(complete, &kept_size);

			g_assert_cmpmem(data, size, kept, kept_size);
			g_string_append_printf(all, "--- %s is what is kept\n", names[i]);
			continue;
		}
		g_string_append_printf(all, "--- %s\n%s", names[i], data);
	}
	return g_string_free(all, FALSE);
}

typedef struct {
	const char *title, *message;
	const char *sender, *name;
	const char *const *to;
} Case;

static const char *const two[] = {"bob@example.com", "\"c d\"@example.com", NULL};

static const Case cases[] = {
	{"nothing there but a recipient", "To: b@x.org\n\nhi\n", NULL, NULL, NULL},
	{"all there, CRLF",
	 "From: a@x.org\r\nDate: Sun, 22 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@x.org>\r\n"
	 "MIME-Version: 1.0\r\nTo: b@x.org\r\n\r\nhi\r\n",
	 NULL, NULL, NULL},
	{"all there, LF, the last line has no end", FULL "To: b@x.org\n\nhi", NULL, NULL, NULL},
	{"no body", FULL "To: b@x.org\n", NULL, NULL, NULL},
	{"no body, and the last field has no end", FULL "Subject: x\nTo: b@x.org", NULL, NULL,
	 NULL},
	{"empty fields are none",
	 "From:\nDate: \nMessage-ID:\n \nMIME-Version:\nTo: b@x.org\nCc:\n\n", NULL, NULL, NULL},
	{"Bcc in all its forms",
	 FULL "To: b@x.org\nBcc: c@x.org,\n d@x.org\n\t,e@x.org\nBCC : f@x.org\nbcc:g@x.org\n"
	      "Subject: Bcc: h@x.org\n\nBcc: i@x.org\n",
	 NULL, NULL, NULL},
	{"Bcc at the end of a header without a body", FULL "To: b@x.org\nBcc: c@x.org", NULL, NULL,
	 NULL},
	{"Bcc alone", FULL "Bcc: c@x.org\n\nhi\n", NULL, NULL, NULL},
	{"a name for From", "To: b@x.org\n\n", NULL, "Alice \"Al\" Example", NULL},
	{"a name that must be encoded", "To: b@x.org\n\n", NULL,
	 "\303\201lice \346\227\245\346\234\254\350\252\236, a name that is longer than one "
	 "encoded word may be",
	 NULL},
	{"a name that wants to be a header", "To: b@x.org\n\n", NULL, "Al\r\nBcc: evil@x.org",
	 NULL},
	{"sent on",
	 "Resent-To: r@x.org\nResent-Bcc: s@x.org\nReceived: by x\nFrom: a@x.org\n"
	 "Date: Sun, 22 Nov 2026 08:00:00 +0000\nTo: alice@example.org\n\nhi\n",
	 NULL, NULL, NULL},
	{"sent on, with a header that lacks something",
	 "To: b@x.org\nResent-To: r@x.org\nResent-Cc: s@x.org\nReceived: by x\nResent-To: "
	 "old@x.org\n\n",
	 NULL, NULL, NULL},
	{"an envelope", FULL "To: list@x.org\nBcc: never@x.org\n\nhi\n", "bounce@example.org", NULL,
	 two},
	{"the null sender", FULL "To: b@x.org\n\nhi\n", "", NULL, NULL},
	{"an envelope instead of another",
	 "X-Mailfs-Recipients: old@x.org\nX-Mailfs-Sender: <>\n" FULL "\nhi\n", NULL, NULL, two},
	{"an envelope with a wish for notifications",
	 "X-Mailfs-Sender: <>\nX-Mailfs-Notify: NOTIFY=SUCCESS,DELAY RET=HDRS ENVID=x\n" FULL
	 "To: b@x.org\n\nhi\n",
	 NULL, NULL, NULL},
	{"an envelope that is not in front is a field like others",
	 FULL "X-Mailfs-Recipients: evil@x.org\nTo: b@x.org\n\n", NULL, NULL, NULL},
	{"8-bit text without a word on it", "To: b@x.org\n\nGr\303\274\303\237e\n", NULL, NULL,
	 NULL},
	{"8-bit text with a word on it",
	 "To: b@x.org\nContent-Type: text/plain; charset=iso-8859-1\n\nGr\374\337e\n", NULL, NULL,
	 NULL},
	{"8-bit text that is not UTF-8", "To: b@x.org\n\nGr\374\337e\n", NULL, NULL, NULL},
	{"8-bit header", FULL "Subject: Gr\303\274\303\237e\nTo: b@x.org\n\n", NULL, NULL, NULL},
	{"8-bit Bcc alone", FULL "To: b@x.org\nBcc: J\303\266rg <j@x.org>\n\n", NULL, NULL, NULL},
	{"a local part that is not ASCII", FULL "Bcc: j\303\266rg@x.org\n\n", NULL, NULL, NULL},
	{"dots and smuggling", FULL "To: b@x.org\n\n.\n\n.\r\n..\nMAIL FROM:<evil@x.org>\n.", NULL,
	 NULL, NULL},
	{"header injection by encoded words",
	 FULL "To: =?utf-8?q?x=0D=0ABcc=3A_evil=40x.org?= <b@x.org>\nSubject: "
	      "=?utf-8?q?x=0D=0ABcc=3A_evil=40x.org?=\n\n",
	 NULL, NULL, NULL},
	{"lines of blanks in the header", FULL "Subject: x\n \n y\nTo: b@x.org\n\nhi\n", NULL, NULL,
	 NULL},
};

/* What the completed file of @message, and what it is read as, say of notifications. (transfer
 * full)
 */
static char *
notify_of(const char *message, const ComposeOptions *options)
{
	g_auto(UtilFd) in = file_of(message, strlen(message)), complete = file_of("", 0);
	ComposeOptions plain = {.address = options->address};
	ComposeWritten written;
	g_autoptr(GError) error = NULL;
	g_autoptr(Composed) composed = NULL;

	g_assert_true(compose_complete(in, complete, options, &written, &error));
	composed = compose_read(complete, &plain, &error);
	g_assert_no_error(error);
	g_assert_true(composed->is_complete);
	return g_strdup_printf("%s %s %s", composed->notify, composed->return_what,
			       composed->envelope_id);
}

static void
test_notifications(void)
{
	static const char *const fields[] = {"", "X-Mailfs-Notify: NOTIFY=NEVER ENVID=old\n",
					     "Subject: x\n"};
	static const char *const kept[] = {"(null) (null) (null)", "NEVER (null) old",
					   "(null) (null) (null)"};

	for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
		g_autofree char *message = g_strconcat(
			fields[i], "To: b@x.org\nX-Mailfs-Notify: RET=FULL\n\nhi\n", NULL);
		ComposeOptions options = {.address = "a@x.org"};
		g_autofree char *plain = notify_of(message, &options);
		g_autofree char *said = NULL;

		g_assert_cmpstr(plain, ==, kept[i]);
		options.return_what = "HDRS";
		options.envelope_id = "a+b=c";
		said = notify_of(message, &options);
		g_assert_cmpstr(said, ==, "(null) HDRS a+b=c");
	}
}

static void
test_golden(void)
{
	g_autoptr(GDateTime) now = NULL;
	ComposeOptions options = options_now(&now);
	g_autoptr(GString) all = g_string_new(NULL);

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = NULL;
		ComposeOptions one = options;

		one.sender = cases[i].sender;
		one.recipients = cases[i].to;
		one.name = cases[i].name;
		text = all_of(cases[i].message, strlen(cases[i].message), &one);
		g_string_append_printf(all, "===== %s\n%s\n", cases[i].title, text);
	}
	/* Shown so that line ends can be seen. */
	g_string_replace(all, "\r\n", "\\r\n", 0);
	golden_check("composed.txt", all->str, all->len);
}

/* What is added is remembered: another time finds nothing missing, and the same ID. */
static void
test_once(void)
{
	static const char message[] = "To: b@x.org\n\nhi\n";
	ComposeOptions options = {.address = "alice@example.org"};
	g_auto(UtilFd) in = file_of(message, strlen(message));
	g_auto(UtilFd) first = file_of("", 0), second = file_of("", 0);
	ComposeWritten written[2];
	g_autoptr(Composed) before = compose_read(in, &options, NULL);
	g_autoptr(Composed) after = NULL;
	g_autofree char *one = NULL, *two_of_them = NULL;

	g_assert_false(before->is_complete);
	g_assert_null(before->message_id);
	g_assert_true(compose_complete(in, first, &options, &written[0], NULL));
	after = compose_read(first, &options, NULL);
	g_assert_true(after->is_complete);
	g_assert_true(after->is_wire);
	g_assert_true(after->is_sent);
	g_assert_true(g_str_has_suffix(after->message_id, "@example.org>"));
	g_assert_cmpuint(after->size, ==, written[0].size);
	g_assert_cmpuint(after->crc, ==, written[0].crc);
	g_assert_true(compose_complete(first, second, &options, &written[1], NULL));
	one = contents(first, NULL);
	two_of_them = contents(second, NULL);
	g_assert_cmpstr(one, ==, two_of_them);
}

/* UTF-8 is known at whatever place the pieces of the file are cut. */
static void
test_charset_over_pieces(void)
{
	g_autoptr(GDateTime) now = NULL;
	ComposeOptions options = options_now(&now);

	for (guint shift = 0; shift < 6; shift++) {
		g_autoptr(GString) message = g_string_new("To: b@x.org\n\n");

		for (guint i = 0; i < shift; i++)
			g_string_append_c(message, 'x');
		while (message->len < 200000)
			g_string_append(message, "\360\237\230\200\344\270\255\303\274\n");
		for (guint broken = 0; broken < 2; broken++) {
			g_auto(UtilFd) in = -1, out = file_of("", 0);
			g_autofree char *data = NULL;
			ComposeWritten written;

			if (broken == 1)
				g_string_append(message, "\344\270");
			in = file_of(message->str, message->len);
			g_assert_true(compose_complete(in, out, &options, &written, NULL));
			data = contents(out, NULL);
			g_assert_cmpint(strstr(data, "charset=UTF-8") != NULL, ==, broken == 0);
		}
	}
}

/* Whatever the body is, it arrives byte for byte but for the line ends, and the header's end stays
 * where it was. */
static void
test_body_is_kept(void)
{
	g_autoptr(GDateTime) now = NULL;
	ComposeOptions options = options_now(&now);
	g_autoptr(GRand) random = g_rand_new_with_seed(5);

	for (guint round = 0; round < 40; round++) {
		g_autoptr(GString) message = g_string_new("To: b@x.org\r\nBcc: c@x.org\r\n\r\n");
		gsize body = message->len, len;
		g_auto(UtilFd) in = -1, complete = file_of("", 0), wire = file_of("", 0);
		g_autofree char *data = NULL;
		ComposeWritten written;
		const char *found;

		for (guint n = g_rand_int_range(random, 0, 150000); n > 0; n--)
			g_string_append(message,
					g_rand_int_range(random, 0, 60) == 0 ? "\r\n" : "x");
		g_string_append(message, "\r\n");
		in = file_of(message->str, message->len);
		g_assert_true(compose_complete(in, complete, &options, &written, NULL));
		g_assert_true(compose_wire(complete, wire, &written, NULL));
		data = contents(wire, &len);
		found = strstr(data, "\r\n\r\n");
		g_assert_cmpmem(found + 4, (gsize)(data + len - found) - 4, message->str + body,
				message->len - body);
		g_assert_null(strstr(data, "c@x.org"));
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/compose/recipients-are-to-cc-and-bcc", test_recipients);
	g_test_add_func("/compose/what-cannot-be-sent-is-refused-with-the-reason", test_refusals);
	g_test_add_func("/compose/a-message-for-nobody-has-its-own-code",
			test_nobody_has_its_own_code);
	g_test_add_func("/compose/a-line-has-at-most-998-octets", test_long_lines);
	g_test_add_func("/compose/what-is-sent-on-goes-to-the-latest-block", test_resent);
	g_test_add_func("/compose/wishes-for-notifications-are-part-of-the-envelope",
			test_notifications);
	g_test_add_func("/compose/what-is-kept-sent-and-filed-is-as-it-should-be", test_golden);
	g_test_add_func("/compose/what-is-added-is-added-once", test_once);
	g_test_add_func("/compose/utf-8-is-known-across-pieces", test_charset_over_pieces);
	g_test_add_func("/compose/the-body-arrives-as-it-was", test_body_is_kept);
	return g_test_run();
}
