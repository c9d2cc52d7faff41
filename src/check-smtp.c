/* SPDX-License-Identifier: MIT */
#include "check-smtp.h"

#include "base/util.h"
#include "submission.h"

#define GOODBYE_MS 2000

char *
check_smtp_limits_text(const SmtpLimits *limits)
{
	const struct {
		gboolean offered;
		const char *word;
	} words[] = {
		{limits->eight_bit, "8-bit text"},
		{limits->smtputf8, "addresses beyond ASCII"},
		{limits->pipelining, "many messages without a pause"},
		{limits->dsn, "notifications"},
	};
	g_autofree char *size =
		limits->size > 0 ? util_format_size(limits->size) : g_strdup("any size");
	GString *text = g_string_new("takes messages of ");
	g_autoptr(GString) missing = g_string_new(NULL);

	g_string_append_printf(text, "%s%s", limits->size > 0 ? "up to " : "", size);
	for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
		if (words[i].offered)
			g_string_append_printf(text, ", %s", words[i].word);
		else
			g_string_append_printf(missing, "%s%s", missing->len > 0 ? ", " : "",
					       words[i].word);
	if (missing->len > 0)
		g_string_append_printf(text, "; not: %s", missing->str);
	return g_string_free(text, FALSE);
}

char *
check_smtp_server(const Config *config, Secrets *secrets, GError **error)
{
	g_autoptr(Submission) submission = submission_new(config, secrets, error);
	g_autoptr(SmtpLine) line = NULL;
	g_autofree char *limits = NULL;
	const char *mechanism;
	char *text;

	if (submission == NULL)
		return NULL;
	line = smtp_line_open(submission_config(submission), NULL, NULL, error);
	if (line == NULL)
		return NULL;
	limits = check_smtp_limits_text(smtp_line_limits(line));
	mechanism = smtp_line_mechanism(line);
	text = g_strdup_printf("%s; logged in with %s; %s", smtp_line_describe(line),
			       mechanism != NULL ? mechanism : "no password", limits);
	smtp_line_close(g_steal_pointer(&line), GOODBYE_MS);
	return text;
}
