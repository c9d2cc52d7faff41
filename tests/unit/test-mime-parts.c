/* SPDX-License-Identifier: MIT */
/* Structure, transfer encodings, charsets and HTML: mime-parts, mime-decode, mime-html. */
#include "mail/mime-parts.h"

#include <string.h>

#include "mail/mime-decode.h"

static gboolean
collect(gpointer user, const char *data, gsize len)
{
	g_string_append_len(user, data, (gssize)len);
	return TRUE;
}

/* "text/plain name=x attached nested alternative=1 [bytes]" for each part. */
static char *
describe(const char *message)
{
	g_autoptr(GPtrArray) parts = mime_parts(message, strlen(message));
	g_autoptr(GString) out = g_string_new(NULL);

	for (guint i = 0; i < parts->len; i++) {
		const MimePart *part = parts->pdata[i];

		g_string_append_printf(out, "%s%s", i > 0 ? " | " : "", part->type);
		if (part->file_name != NULL)
			g_string_append_printf(out, " name=%s", part->file_name);
		if (part->attached)
			g_string_append(out, " attached");
		if (part->nested)
			g_string_append(out, " nested");
		if (part->alternative != 0)
			g_string_append_printf(out, " alternative=%u", part->alternative);
		g_string_append(out, " [");
		mime_decode_bytes(message, part, collect, out);
		g_string_append_c(out, ']');
	}
	return g_strdup(out->str);
}

static void
assert_parts(const char *message, const char *expected)
{
	g_autofree char *found = describe(message);

	g_assert_cmpstr(found, ==, expected);
}

static void
test_a_message_without_mime_is_one_text(void)
{
	assert_parts("Subject: x\r\n\r\nHello\r\n", "text/plain [Hello\r\n]");
	assert_parts("Subject: no body", "text/plain []");
	assert_parts("", "text/plain []");
	assert_parts("\r\nno header", "text/plain [no header]");
	assert_parts("Content-Type: nonsense\n\nx", "text/plain [x]");
	assert_parts("content-TYPE: Image/PNG\n\nx", "image/png [x]");
}

static void
test_the_line_end_before_a_boundary_belongs_to_it(void)
{
	assert_parts("Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n"
		     "--b\r\n\r\none\r\n--b \t\r\nContent-Type: "
		     "a/b\r\n\r\ntwo\r\n\r\n--b--\r\nepilogue\r\n",
		     "text/plain [one] | a/b [two\r\n]");
	assert_parts("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--",
		     "text/plain [one] | text/plain [two]");
	/* Nothing between: no body, not half a line end. */
	assert_parts(
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b\r\nX: y\r\n--b--",
		"text/plain [] | text/plain []");
	/* A boundary that another begins with is not that other. */
	assert_parts("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--bc\n-- b\nb\n--b--",
		     "text/plain [--bc\n-- b\nb]");
}

static void
test_what_is_not_closed_ends_with_what_is_around_it(void)
{
	assert_parts(
		"Content-Type: multipart/mixed; boundary=out\n\n"
		"--out\nContent-Type: multipart/alternative; boundary=in\n\n"
		"--in\n\nplain\n--in\nContent-Type: text/html\n\n<p>\n"
		"--out\nContent-Type: a/b\n\nlast",
		"text/plain alternative=1 [plain] | text/html alternative=1 [<p>] | a/b [last]");
	assert_parts("Content-Type: multipart/mixed; boundary=b\n\nnobody knows\n",
		     "text/plain [nobody knows\n]");
	assert_parts("Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n",
		     "text/plain [--b\n\nx\n--b--\n]");
	/* The empty line before the body was forgotten. */
	assert_parts("Content-Type: multipart/mixed; boundary=b\n\n--b\nJust text.\n--b--\n",
		     "text/plain [Just text.]");
}

static void
test_a_message_in_a_message_is_a_part_and_has_parts(void)
{
	assert_parts(
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ncover\n"
		"--b\nContent-Type: message/rfc822\nContent-Disposition: attachment\n\n"
		"Subject: inner\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ntext\n--c--\n"
		"--b--\n",
		"text/plain [cover] | message/rfc822 attached [Subject: inner\nContent-Type: "
		"multipart/mixed; boundary=c\n\n--c\n\ntext\n--c--] | text/plain nested [text]");
	assert_parts(
		"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: 1\n\none\n--b--\n",
		"message/rfc822 [Subject: 1\n\none] | text/plain nested [one]");
}

static void
test_nests_and_floods_stay_bounded(void)
{
	g_autoptr(GString) deep = g_string_new(NULL);
	g_autoptr(GString) wide = g_string_new("Content-Type: multipart/mixed; boundary=b\n\n");
	g_autoptr(GString) messages = g_string_new(NULL);
	g_autoptr(GPtrArray) parts = NULL;
	gint64 began = g_get_monotonic_time();

	for (guint i = 0; i < 20000; i++) {
		g_string_append_printf(
			deep, "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i, i);
		g_string_append(wide, "--b\n\nx\n");
		g_string_append(messages, "Content-Type: message/rfc822\n\n");
	}
	parts = mime_parts(deep->str, deep->len);
	g_assert_cmpuint(parts->len, ==, 1);
	g_clear_pointer(&parts, g_ptr_array_unref);
	parts = mime_parts(messages->str, messages->len);
	g_assert_cmpuint(parts->len, ==, MIME_DEPTH_MAX + 1);
	g_clear_pointer(&parts, g_ptr_array_unref);
	parts = mime_parts(wide->str, wide->len);
	g_assert_cmpuint(parts->len, ==, MIME_PARTS_MAX);
	g_assert_cmpint(g_get_monotonic_time() - began, <, 2 * G_USEC_PER_SEC);
}

/* --- names of files --- */

static void
assert_name(const char *disposition, const char *expected)
{
	g_autofree char *name = mime_parameter(disposition, "filename");

	g_assert_cmpstr(name, ==, expected);
}

static void
test_file_names_are_decoded_in_all_their_spellings(void)
{
	assert_name("attachment; filename=\"a b.txt\"; size=3", "a b.txt");
	assert_name("attachment; filename=a b.txt ; size=3", "a b.txt");
	assert_name("attachment;FileName = x", "x");
	assert_name("attachment; x=\"; filename=no\"; filename=yes", "yes");
	assert_name("attachment; filename=\"a\\\"b\"", "a\"b");
	assert_name("attachment", NULL);
	assert_name("attachment; filenames=x", NULL);
	/* RFC 2231 */
	assert_name("attachment; filename*=UTF-8'ja'%E5%86%99%E7%9C%9F.jpg", "写真.jpg");
	assert_name("attachment; filename*=iso-8859-1''Gr%FC%DFe.txt; filename=x", "Grüße.txt");
	assert_name("attachment; filename*0*=UTF-8''%E5%86; filename*1*=%99%E7%9C%9F; "
		    "filename*2=\".jpg\"",
		    "写真.jpg");
	assert_name("attachment; filename*1=b; filename*0=a; filename*3=lost", "ab");
	assert_name("attachment; filename*=nonsense", "nonsense");
	assert_name("attachment; filename*=UTF-8''%00%0Ax", "  x");
	assert_name("attachment; filename*99999999999=x; filename*-1=y", NULL);
	/* RFC 2047, raw bytes */
	assert_name("attachment; filename=\"=?ISO-2022-JP?B?GyRCPEw/PxsoQi5qcGc=?=\"", "写真.jpg");
	assert_name("attachment; filename=\"caf\xe9.txt\"", "café.txt");
}

/* --- transfer encodings --- */

static void
assert_bytes(const char *encoding, const char *body, const char *expected)
{
	g_autofree char *message = g_strdup_printf(
		"Content-Type: a/b\nContent-Transfer-Encoding: %s\n\n%s", encoding, body);
	g_autofree char *whole = g_strdup_printf("a/b [%s]", expected);

	assert_parts(message, whole);
}

static void
test_transfer_encodings_are_undone_leniently(void)
{
	assert_bytes("base64", "SGVsbG8=\r\n", "Hello");
	assert_bytes("BASE64 (x)", "SGVs\r\nbG8", "Hello");
	assert_bytes("base64", "S G*V\ns!bG8h\n", "Hello!");
	assert_bytes("base64", "SGVsbG8=\n-- \nA list's footer", "Hello");
	assert_bytes("base64", "=", "");
	assert_bytes("base64", "S", "");
	assert_bytes("quoted-printable", "a=3Db=\r\nc=20\r\n", "a=bc \r\n");
	assert_bytes("Quoted-Printable", "soft= \t\nbreak=zz=4", "softbreak=zz=4");
	assert_bytes("quoted-printable", "end=", "end");
	assert_bytes("x-unknown", "a=3D", "a=3D");
}

static void
test_base64_of_any_length_and_line_width_comes_back(void)
{
	for (gsize len = 0; len < 200000; len = len * 3 + 1) {
		g_autofree guint8 *data = g_malloc(len + 1);
		g_autoptr(GString) found = g_string_new(NULL);
		g_autoptr(GString) text = g_string_new("Content-Transfer-Encoding: base64\n\n");
		g_autoptr(GPtrArray) parts = NULL;
		g_autofree char *encoded = NULL;

		for (gsize i = 0; i < len; i++)
			data[i] = (guint8)(i * 31 + (i >> 8));
		encoded = g_base64_encode(data, len);
		for (gsize i = 0; encoded[i] != '\0'; i++) {
			g_string_append_c(text, encoded[i]);
			if (i % (len % 61 + 10) == 0)
				g_string_append(text, "\r\n");
		}
		parts = mime_parts(text->str, text->len);
		mime_decode_bytes(text->str, parts->pdata[0], collect, found);
		g_assert_cmpmem(found->str, found->len, data, len);
	}
}

static gboolean
refuse(gpointer user, const char *data, gsize len)
{
	++*(guint *)user;
	return FALSE;
}

static void
test_a_sink_that_wants_no_more_gets_no_more(void)
{
	static const char *const encodings[] = {"7bit", "base64", "quoted-printable"};

	for (guint i = 0; i < G_N_ELEMENTS(encodings); i++) {
		g_autoptr(GString) text = g_string_new(NULL);
		g_autoptr(GPtrArray) parts = NULL;
		guint calls = 0;

		g_string_printf(text, "Content-Transfer-Encoding: %s\n\n", encodings[i]);
		for (guint n = 0; n < 500000; n++)
			g_string_append(text, "QUJD");
		parts = mime_parts(text->str, text->len);
		g_assert_false(mime_decode_bytes(text->str, parts->pdata[0], refuse, &calls));
		g_assert_false(mime_decode_text(text->str, parts->pdata[0], refuse, &calls));
		g_assert_false(mime_decode_stripped(text->str, parts->pdata[0], refuse, &calls));
		g_assert_cmpuint(calls, ==, 3);
	}
}

/* --- text --- */

static void
assert_text(const char *type, const char *body, gboolean strip, const char *expected)
{
	g_autofree char *message = g_strdup_printf("Content-Type: %s\n\n%s", type, body);
	g_autoptr(GPtrArray) parts = mime_parts(message, strlen(message));
	g_autoptr(GString) found = g_string_new(NULL);

	if (strip)
		mime_decode_stripped(message, parts->pdata[0], collect, found);
	else
		mime_decode_text(message, parts->pdata[0], collect, found);
	g_assert_cmpstr(found->str, ==, expected);
}

static void
test_text_becomes_utf8_with_lf(void)
{
	assert_text("text/plain; charset=iso-2022-jp", "\x1b$BF|K\\8l\x1b(B\r\n", FALSE,
		    "日本語\n");
	assert_text("text/plain; charset=Shift_JIS", "\x93\xfa\x96\x7b\r\nx\ry\n\n", FALSE,
		    "日本\nx\ny\n\n");
	assert_text("text/plain; charset=\"utf-8\"", "a\xff\xc3\xa4\x1b[31m\t\x7f", FALSE,
		    "a\xef\xbf\xbdä [31m\t ");
	assert_text("text/plain", "caf\xe9", FALSE, "café");
	assert_text("text/plain; charset=x-nobody", "caf\xc3\xa9\xc2\x9b", FALSE, "café ");
	assert_text("text/plain", "\x1b$BF|K\\8l\x1b(B", FALSE, "日本語");
}

static void
test_characters_and_line_ends_survive_where_pieces_are_cut(void)
{
	g_autoptr(GString) message =
		g_string_new("Content-Type: text/plain; charset=shift_jis\r\n\r\n");
	g_autoptr(GString) expected = g_string_new(NULL);
	g_autoptr(GString) found = g_string_new(NULL);
	g_autoptr(GPtrArray) parts = NULL;

	for (guint i = 0; i < 60000; i++) {
		g_string_append_printf(message, "%u \x93\xfa\x96\x7b\r\n", i);
		g_string_append_printf(expected, "%u 日本\n", i);
	}
	parts = mime_parts(message->str, message->len);
	mime_decode_text(message->str, parts->pdata[0], collect, found);
	g_assert_cmpmem(found->str, found->len, expected->str, expected->len);
}

static void
assert_stripped(const char *body, const char *expected)
{
	assert_text("text/html; charset=utf-8", body, TRUE, expected);
}

static void
test_html_becomes_the_text_a_reader_sees(void)
{
	assert_stripped("<html><head><title>T</title><style>p > b {x: 1}</style></head>"
			"<body><p>One\n two</p><div>three<br>four</div></body></html>",
			"T\n\nOne two\n\nthree\nfour\n");
	assert_stripped("W<b>or</b>t <a href='x>y'>link</a>", "Wort link\n");
	assert_stripped("<td>a</td><td>b</td>", "a b\n");
	assert_stripped("x<script>if (a < b) document.write('</p>');</SCRIPT >y", "xy\n");
	assert_stripped("x<scripted>y", "xy\n");
	assert_stripped("a<!-- <p> -- > --b-->c<!-->d<!---->e", "acde\n");
	assert_stripped("a<!DOCTYPE html><?php x ?>b</>c", "abc\n");
	assert_stripped("1 < 2 && 3 <4> 5<", "1 < 2 && 3 <4> 5\n");
	assert_stripped("&lt;&amp;&nbsp;&uuml;&yuml;&nbsp &euro;&#65;&#x65e5;&hellip",
			"<& üÿ €A日…\n");
	assert_stripped("&unknown; &#0; &#x110000; &#xd800; &; & x &#; &#x;",
			"&unknown; &#0; &#x110000; &#xd800; &; & x &#; &#x;\n");
	assert_stripped("<p title=it's>seen</p>", "seen\n");
	assert_stripped("", "");
	assert_stripped("<p> </p>", "");
}

static void
test_html_tells_its_charset_when_the_header_does_not(void)
{
	assert_text("text/html", "<meta charset=\"Shift_JIS\"><p>\x93\xfa\x96\x7b", TRUE, "日本\n");
	assert_text("text/html",
		    "<META http-equiv=x content='text/html; charset=iso-8859-5'>\xe2\xd5", TRUE,
		    "те\n");
	assert_text("text/html", "charset=shift_jis \x93\xfa", TRUE, "charset=shift_jis “ú\n");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/parts/a-message-without-mime-is-one-text",
			test_a_message_without_mime_is_one_text);
	g_test_add_func("/parts/the-line-end-before-a-boundary-belongs-to-it",
			test_the_line_end_before_a_boundary_belongs_to_it);
	g_test_add_func("/parts/what-is-not-closed-ends-with-what-is-around-it",
			test_what_is_not_closed_ends_with_what_is_around_it);
	g_test_add_func("/parts/a-message-in-a-message-is-a-part-and-has-parts",
			test_a_message_in_a_message_is_a_part_and_has_parts);
	g_test_add_func("/parts/nests-and-floods-stay-bounded", test_nests_and_floods_stay_bounded);
	g_test_add_func("/parts/file-names-are-decoded-in-all-their-spellings",
			test_file_names_are_decoded_in_all_their_spellings);
	g_test_add_func("/decode/transfer-encodings-are-undone-leniently",
			test_transfer_encodings_are_undone_leniently);
	g_test_add_func("/decode/base64-of-any-length-and-line-width-comes-back",
			test_base64_of_any_length_and_line_width_comes_back);
	g_test_add_func("/decode/a-sink-that-wants-no-more-gets-no-more",
			test_a_sink_that_wants_no_more_gets_no_more);
	g_test_add_func("/decode/text-becomes-utf8-with-lf", test_text_becomes_utf8_with_lf);
	g_test_add_func("/decode/characters-and-line-ends-survive-where-pieces-are-cut",
			test_characters_and_line_ends_survive_where_pieces_are_cut);
	g_test_add_func("/html/becomes-the-text-a-reader-sees",
			test_html_becomes_the_text_a_reader_sees);
	g_test_add_func("/html/tells-its-charset-when-the-header-does-not",
			test_html_tells_its_charset_when_the_header_does_not);
	return g_test_run();
}
