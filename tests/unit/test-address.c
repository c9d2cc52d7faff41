/* SPDX-License-Identifier: MIT */
#include "mail/address.h"

#include <string.h>

#include "base/error.h"

#define AT_MOST 1000

/* The addresses of a list, joined by blanks; or "! " and why there are none. (transfer full) */
static char *
parse(const char *value)
{
	g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GError) error = NULL;

	if (!address_list_parse(value, strlen(value), addresses, AT_MOST, &error)) {
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
		return g_strdup_printf("! %s", error->message);
	}
	g_assert_no_error(error);
	g_ptr_array_add(addresses, NULL);
	return g_strjoinv(" ", (char **)addresses->pdata);
}

typedef struct {
	const char *value, *expected;
} Row;

static void
check_rows(const Row *rows, guint n)
{
	for (guint i = 0; i < n; i++) {
		g_autofree char *found = parse(rows[i].value);

		g_assert_cmpstr(found, ==, rows[i].expected);
	}
}

static void
test_lists(void)
{
	static const Row rows[] = {
		{"bob@example.org", "bob@example.org"},
		{" Bob <bob@example.org> ", "bob@example.org"},
		{"a@x.org, B <b@x.org>,c@x.org", "a@x.org b@x.org c@x.org"},
		{"a@x.org,,\r\n , b@x.org,", "a@x.org b@x.org"},
		{"", ""},
		{" \r\n ", ""},
		{"\"Doe, John\" <j@x.org>", "j@x.org"},
		{"\"a \\\" < b\" <j@x.org>", "j@x.org"},
		{"=?utf-8?q?J=C3=B6rg=2C_a=40b=2Ec?= <j@x.org>", "j@x.org"},
		{"=?utf-8?q?x=0D=0ABcc=3A_evil=40x.org?= <j@x.org>", "j@x.org"},
		{"a@b.org <c@d.org>", "c@d.org"},
		{"J\303\266rg <j@x.org>", "j@x.org"},
		{"J\366rg <j@x.org>", "j@x.org"},
		{"<@relay.org,@b.org:j@x.org>", "j@x.org"},
		{"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
		 "pete@silly.test"},
		{"a@x.org (Comment, with @ and <b@x.org>)", "a@x.org"},
		{"(((nested)))a@x.org", "a@x.org"},
		{"a.\r\n b @ x . org", "a.b@x.org"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

static void
test_groups(void)
{
	static const Row rows[] = {
		{"undisclosed-recipients:;", ""},
		{"Undisclosed recipients: ;", ""},
		{"A Group(Some people):Chris Jones <c@public.example>,joe@example.org, John "
		 "<jdoe@one.test>;",
		 "c@public.example joe@example.org jdoe@one.test"},
		{"a@x.org, g: b@x.org;, c@x.org", "a@x.org b@x.org c@x.org"},
		{"g:a@x.org; h:b@x.org;", "a@x.org b@x.org"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

static void
test_local_parts(void)
{
	static const Row rows[] = {
		{"\"bob\"@x.org", "bob@x.org"},
		{"\"a b\"@x.org", "\"a b\"@x.org"},
		{"\"a,b\"@x.org", "\"a,b\"@x.org"},
		{"\"a\\\"\\\\b\"@x.org", "\"a\\\"\\\\b\"@x.org"},
		{"\"a@b\"@x.org", "\"a@b\"@x.org"},
		{"\"a>b\"@x.org, <\"c>\"@x.org>", "\"a>b\"@x.org \"c>\"@x.org"},
		{"\"\"@x.org", "! \"\"\"@x.org\" is no address: nothing stands before the @"},
		{"a..b@x.org", "\"a..b\"@x.org"},
		{"a.@x.org", "\"a.\"@x.org"},
		{"a+b=c/d!e#f$g%h&i'j*k?l^m_n`o{p|q}r~s@x.org",
		 "a+b=c/d!e#f$g%h&i'j*k?l^m_n`o{p|q}r~s@x.org"},
		{"b\303\274b@x.org", "b\303\274b@x.org"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

static void
test_domains(void)
{
	static const Row rows[] = {
		{"a@b\303\274cher.example", "a@xn--bcher-kva.example"},
		{"a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{"a@EXAMPLE.org", "a@example.org"},
		{"a@[192.0.2.1]", "a@[192.0.2.1]"},
		{"a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
		{"a@localhost", "a@localhost"},
		{"a@[2001:db8::1]",
		 "! \"a@[2001:db8::1]\" is no address: what is in brackets is no "
		 "address of a computer"},
		{"a@[x]", "! \"a@[x]\" is no address: what is in brackets is no address of a "
			  "computer"},
		{"a@x.org.", "! \"a@x.org.\" is no address: its domain ends in a dot"},
		{"a@.x.org", "! \"a@.x.org\" is no address: its domain is none"},
		{"a@x..org", "! \"a@x..org\" is no address: its domain is none"},
		{"a@x!y", "! \"a@x!y\" is no address: its domain is none"},
		{"a@b\366.org", "! \"a@b\\xf6.org\" is no address: its domain is neither ASCII nor "
				"UTF-8"},
		{"a@", "! \"a@\" is no address: its domain is missing"},
		{"a@b@c", "! \"a@b@c\" is no address: its domain has a character that no domain "
			  "has"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

static void
test_refusals(void)
{
	static const Row rows[] = {
		{"bob", "! \"bob\" is no address: its @ and domain are missing"},
		{"a@x.org, bob", "! \"bob\" is no address: its @ and domain are missing"},
		{"ann bob@x.org", "! \"ann bob@x.org\" is no address: there is a gap in it"},
		{"a@x.org b@x.org", "! \"a@x.org b@x.org\" is no address: there is a gap in it"},
		{"a@x.org; b@x.org", "! \"; b@x.org\" is no address: addresses are separated by "
				     "commas, not semicolons"},
		{"Doe, John <j@x.org>", "! \"Doe\" is no address: its @ and domain are missing"},
		{"<a@x.org> b", "! \"<a@x.org> b\" is no address: something stands behind its >; "
				"addresses are separated by commas"},
		{"<a@x.org", "! \"<a@x.org\" is no address: its > is missing"},
		{"a@x.org>", "! \"a@x.org>\" is no address: its domain has a character that no "
			     "domain has"},
		{"\"a@x.org", "! \"\"a@x.org\" is no address: a quotation mark or a bracket is "
			      "missing"},
		{"a@x.org (b", "! \"a@x.org (b\" is no address: a quotation mark or a bracket is "
			       "missing"},
		{"mailto:a@x.org", "! \"mailto:a@x.org\" is no address: the \";\" of a group is "
				   "missing, or its \":\" must be quoted"},
		{"a: b: c;", "! \"b\" is no address: a group is in another, or a \":\" must be "
			     "quoted"},
		{"<>", "! \"\" is no address: it is empty"},
		{"\"a\tb\"@x.org", "! \"\"a\\x09b\"@x.org\" is no address: it has characters that "
				   "are neither printable ASCII nor UTF-8"},
		{"b\374b@x.org", "! \"b\\xfcb@x.org\" is no address: it has characters that are "
				 "neither printable ASCII nor UTF-8"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

/* What comes out goes into a command of SMTP. */
static void
test_nothing_gets_into_a_command(void)
{
	static const char *const hostile[] = {
		"\"a\r\nRCPT TO:<evil@x.org>\"@x.org",
		"a@x.org\r\nRCPT TO:<evil@x.org>",
		"a\nb@x.org",
		"\"a\001\"@x.org",
		"a@x\r\n.org",
		"<a@x.org\r\nDATA>",
		"\"a\\\r\\\nb\"@x.org",
		"a@[192.0.2.1\r\n]",
	};

	for (guint i = 0; i < G_N_ELEMENTS(hostile); i++) {
		g_autofree char *found = parse(hostile[i]);

		if (found[0] != '!')
			for (const char *p = found; *p != '\0'; p++)
				g_assert_cmpint((guchar)*p, >=, ' ');
	}
}

static void
test_duplicates(void)
{
	static const Row rows[] = {
		{"a@x.org, A <a@X.org>, b@x.org, a@x.org", "a@x.org b@x.org"},
		{"a@x.org, A@x.org", "a@x.org A@x.org"},
		{"ab@x.org, a@bx.org, a@x.org", "ab@x.org a@bx.org a@x.org"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

static void
test_bounds(void)
{
	g_autoptr(GString) many = g_string_new(NULL);
	g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GError) error = NULL;
	g_autofree char *deep = g_strnfill(1 << 20, '(');
	g_autofree char *comment = NULL, *found = NULL;

	for (guint i = 0; i < AT_MOST; i++)
		g_string_append_printf(many, "a%u@x.org, ", i);
	g_assert_true(address_list_parse(many->str, many->len, addresses, AT_MOST, &error));
	g_assert_cmpuint(addresses->len, ==, AT_MOST);
	g_assert_false(address_list_parse("b@x.org", 7, addresses, AT_MOST, &error));
	g_assert_cmpstr(error->message, ==, "more than 1000 recipients; write several messages");
	comment = parse(deep);
	g_assert_cmpint(comment[0], ==, '!');
	g_string_assign(many, "a@");
	for (guint i = 0; i < 60; i++)
		g_string_append(many, "abcd.");
	g_string_append(many, "org");
	found = parse(many->str);
	g_assert_true(g_str_has_suffix(found, "it is too long"));
}

static void
test_single(void)
{
	g_autofree char *plain = address_parse("bob@x.org", NULL);
	g_autofree char *angle = address_parse("<bob@x.org>", NULL);
	g_autoptr(GError) error = NULL;

	g_assert_cmpstr(plain, ==, "bob@x.org");
	g_assert_cmpstr(angle, ==, "bob@x.org");
	g_assert_null(address_parse("a@x.org, b@x.org", &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
	g_assert_null(address_parse("", NULL));
	g_assert_null(address_parse("<", NULL));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/address/lists-give-their-addresses", test_lists);
	g_test_add_func("/address/groups-give-their-members", test_groups);
	g_test_add_func("/address/local-parts-are-quoted-where-they-must-be", test_local_parts);
	g_test_add_func("/address/domains-become-a-labels", test_domains);
	g_test_add_func("/address/what-is-none-is-refused-with-the-reason", test_refusals);
	g_test_add_func("/address/nothing-gets-into-a-command", test_nothing_gets_into_a_command);
	g_test_add_func("/address/each-is-taken-once", test_duplicates);
	g_test_add_func("/address/there-are-bounds", test_bounds);
	g_test_add_func("/address/one-alone-has-no-name", test_single);
	return g_test_run();
}
