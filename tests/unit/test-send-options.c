/* SPDX-License-Identifier: MIT */
#include "send-options.h"

#include <string.h>

#include "base/error.h"

/* What a command line means, in words. (transfer full) */
static char *
parse(const char *line)
{
	g_auto(GStrv) argv = NULL;
	g_auto(SendOptions) options = {0};
	g_autoptr(GError) error = NULL;
	GString *out = g_string_new(NULL);
	int argc = 0;

	if (*line != '\0' && !g_shell_parse_argv(line, &argc, &argv, &error))
		g_error("%s", error->message);
	if (!send_options_parse(argv, argc, &options, &error)) {
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE);
		g_string_append_printf(out, "! %s", error->message);
		return g_string_free(out, FALSE);
	}
	for (guint i = 0; i < options.recipients->len; i++)
		g_string_append_printf(out, "%s ", (char *)options.recipients->pdata[i]);
	for (guint i = 0; i < options.options->len; i++)
		g_string_append_printf(out, "--%s ", (char *)options.options->pdata[i]);
	if (options.account != NULL)
		g_string_append_printf(out, "account=%s ", options.account);
	if (options.sender != NULL)
		g_string_append_printf(out, "sender=%s ", options.sender);
	if (options.name != NULL)
		g_string_append_printf(out, "name=%s ", options.name);
	if (options.notify != NULL)
		g_string_append_printf(out, "notify=%s ", options.notify);
	if (options.return_what != NULL)
		g_string_append_printf(out, "return=%s ", options.return_what);
	if (options.envelope_id != NULL)
		g_string_append_printf(out, "id=%s ", options.envelope_id);
	g_string_append(out, options.from_header ? "header " : "");
	g_string_append(out, options.whole ? "whole " : "");
	g_string_append(out, options.queue ? "queue " : "");
	g_string_append(out, options.wait ? "wait " : "");
	g_string_append(out, options.verbose ? "verbose " : "");
	return g_strchomp(g_string_free(out, FALSE));
}

typedef struct {
	const char *line, *expected;
} Row;

static void
check_rows(const Row *rows, guint n)
{
	for (guint i = 0; i < n; i++) {
		g_autofree char *found = parse(rows[i].line);

		g_assert_cmpstr(found, ==, rows[i].expected);
	}
}

static void
test_callers(void)
{
	static const Row rows[] = {
		/* git send-email, mutt, Debian's cron, bsd-mailx, s-nail, PHP, logwatch,
		   apt-listchanges */
		{"-i a@x.org b@x.org", "a@x.org b@x.org whole"},
		{"-f al@x.org -i a@x.org", "a@x.org sender=al@x.org whole"},
		{"-oem -oi -f al@x.org -- a@x.org -b@x.org",
		 "a@x.org -b@x.org sender=al@x.org whole"},
		{"-i -FCronDaemon -B8BITMIME -oem root", "root name=CronDaemon whole"},
		{"-i -t", "header whole"},
		{"-t -i", "header whole"},
		{"-ti", "header whole"},
		{"-oi -t -odb", "header whole"},
		{"-r al@x.org a@x.org", "a@x.org sender=al@x.org"},
		{"-tfal@x.org", "sender=al@x.org header"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

static void
test_own(void)
{
	static const Row rows[] = {
		{"-a work a@x.org", "a@x.org account=work"},
		{"-awork --wait -v a@x.org", "a@x.org account=work wait verbose"},
		{"--config=/etc/x --timeout=5 a@x.org", "a@x.org --config=/etc/x --timeout=5"},
		{"-F 'Al Bo' a@x.org", "a@x.org name=Al Bo"},
		{"-f '' a@x.org", "a@x.org sender="},
		{"-f '<>' a@x.org", "a@x.org sender=<>"},
		{"-q", "queue"},
		{"-q30m", "queue"},
		{"-N success,Failure -R hdrs -V Id+1 a@x.org",
		 "a@x.org notify=SUCCESS,FAILURE return=HDRS id=Id+1"},
		{"-Nnever -Rfull a@x.org", "a@x.org notify=NEVER return=FULL"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

static void
test_ignored(void)
{
	static const Row rows[] = {
		{"-Am -O x=y -C /f -L tag -p SMTP -X /log -h 3 "
		 "-d0.1 "
		 "-n -m -U -G -bm a@x.org",
		 "a@x.org"},
		{"-nvt", "header verbose"},
		{"-o i a@x.org", "a@x.org whole"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

static void
test_refused(void)
{
	static const Row rows[] = {
		{"", "! to whom? Name recipients, or let them be taken from the header by -t"},
		{"-i", "! to whom? Name recipients, or let them be taken from the header by -t"},
		{"a@x.org -f", "! a value is missing after -f"},
		{"-Z a@x.org", "! unknown option -Z"},
		{"-bs", "! only -bm is possible here, a message from standard input, and not -bs"},
		{"-N now a@x.org",
		 "! -N wants never, or some of success,failure,delay, and not NOW"},
		{"-N never,delay a@x.org",
		 "! -N wants never, or some of success,failure,delay, and not NEVER,DELAY"},
		{"-N '' a@x.org", "! -N wants never, or some of success,failure,delay, and not "},
		{"-R some a@x.org", "! -R wants full or hdrs, and not SOME"},
		{"-V 'a b' a@x.org",
		 "! -V wants at most 100 characters without blanks, and not a b"},
		{"--wat a@x.org", "! unknown option, or its =VALUE is missing: --wat"},
	};

	check_rows(rows, G_N_ELEMENTS(rows));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/send-options/what-programs-say-to-sendmail-is-understood", test_callers);
	g_test_add_func("/send-options/our-own-words-are-understood", test_own);
	g_test_add_func("/send-options/what-means-nothing-here-is-taken", test_ignored);
	g_test_add_func("/send-options/what-is-wrong-is-said", test_refused);
	return g_test_run();
}
