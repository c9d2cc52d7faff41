/* SPDX-License-Identifier: MIT */
#include "mail/query.h"

#include <string.h>

/* "FROM bob; not FLAG 1": keys by their place in the enum. (transfer full) */
static char *
describe(const GPtrArray *terms)
{
	static const char *const names[] = {"text",    "from", "to",	  "cc",	    "bcc",
					    "subject", "body", "keyword", "flag",   "since",
					    "before",  "on",   "larger",  "smaller"};
	g_autoptr(GString) out = g_string_new(NULL);

	for (guint i = 0; i < terms->len; i++) {
		const SearchTerm *term = terms->pdata[i];

		g_string_append_printf(out, "%s%s%s ", i > 0 ? "; " : "",
				       term->negated ? "not " : "", names[term->key]);
		if (term->text != NULL)
			g_string_append_printf(out, "<%s>", term->text);
		else
			g_string_append_printf(out, "%" G_GUINT64_FORMAT, term->number);
	}
	return g_strdup(out->str);
}

static void
assert_terms(const char *query, const char *expected)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) terms = query_parse(query, &error);
	g_autofree char *found = NULL;

	g_assert_no_error(error);
	found = describe(terms);
	g_assert_cmpstr(found, ==, expected);
}

static void
test_plain_words_are_text_each(void)
{
	assert_terms("word", "text <word>");
	assert_terms("  two   words ", "text <two>; text <words>");
	assert_terms("\"two words\"", "text <two words>");
	assert_terms("\" \"", "text < >");
	assert_terms("会議 お知らせ", "text <会議>; text <お知らせ>");
	assert_terms("text:x", "text <x>");
	assert_terms("12:30 a@b -x 'y' it's",
		     "text <12:30>; text <a@b>; text <-x>; text <'y'>; text <it's>");
}

static void
test_keys_have_values(void)
{
	assert_terms("from:a to:b cc:c bcc:d subject:e body:f",
		     "from <a>; to <b>; cc <c>; bcc <d>; subject <e>; body <f>");
	assert_terms("FROM:a Subject:\"b c\"", "from <a>; subject <b c>");
	assert_terms("subject:Re:", "subject <Re:>");
	assert_terms("since:2026-01-31 before:2024-02-29 on:1999-12-31",
		     "since 20260131; before 20240229; on 19991231");
	assert_terms("larger:1M smaller:2k larger:0", "larger 1048576; smaller 2048; larger 0");
	assert_terms("larger:4294967295", "larger 4294967295");
	assert_terms("keyword:$Label1", "keyword <$Label1>");
}

static void
test_states_are_flags(void)
{
	assert_terms("is:unread is:unseen is:seen is:READ",
		     "not flag 1; not flag 1; flag 1; flag 1");
	assert_terms("is:flagged is:answered is:draft is:deleted",
		     "flag 4; flag 2; flag 16; flag 8");
}

static void
test_not_turns_a_term(void)
{
	assert_terms("not:word", "not text <word>");
	assert_terms("not:from:bob not:\"a b\"", "not from <bob>; not text <a b>");
	assert_terms("not:is:unread not:not:x NOT:y", "flag 1; text <x>; not text <y>");
}

static void
test_quotes_take_away_all_meaning(void)
{
	assert_terms("\"from:bob\" \"not:x\" \"a|b\" \"(\"",
		     "text <from:bob>; text <not:x>; text <a|b>; text <(>");
	assert_terms("\"\\\" subject:\"\\\\\"", "text <\\>; subject <\\\\>");
}

static void
test_anything_else_is_refused(void)
{
	static const char *const bad[] = {
		"",
		" ",
		"form:bob",
		"from:",
		"from: bob",
		"from:\"\"",
		"\"",
		"\"open",
		"subject:\"a",
		"\"a\"b",
		"\"a\"\"b\"",
		"a\"b",
		"a|b",
		"|",
		"(a)",
		"not:",
		"not: x",
		"is:",
		"is:there",
		"is:seen,flagged",
		"since:",
		"since:2026",
		"since:2026-1-1",
		"since:2026-02-29",
		"on:2026-13-01",
		"on:0000-01-01",
		"on:2026-01-311",
		"before:2026/01/01",
		"larger:",
		"larger:x",
		"larger:-1",
		"larger:4G",
		"larger:99999999999999999999",
		"keyword:a b\"",
		"keyword:\\Seen",
		"keyword:(x",
		"keyword:caf\xc3\xa9",
		"\xff",
		"a\xc3",
		"a\nb",
		"a\r\nb",
		"a\tb",
		"\x7f",
		"http://x",
	};

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(GPtrArray) terms = query_parse(bad[i], &error);

		g_test_message("%u: %s", i, error != NULL ? error->message : "taken");
		g_assert_null(terms);
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_INVALID);
		for (const char *p = error->message; *p != '\0'; p++)
			g_assert_false(g_ascii_iscntrl(*p));
		g_assert_true(g_utf8_validate(error->message, -1, NULL));
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/query/plain-words-are-text-each", test_plain_words_are_text_each);
	g_test_add_func("/query/keys-have-values", test_keys_have_values);
	g_test_add_func("/query/states-are-flags", test_states_are_flags);
	g_test_add_func("/query/not-turns-a-term", test_not_turns_a_term);
	g_test_add_func("/query/quotes-take-away-all-meaning", test_quotes_take_away_all_meaning);
	g_test_add_func("/query/anything-else-is-refused", test_anything_else_is_refused);
	return g_test_run();
}
