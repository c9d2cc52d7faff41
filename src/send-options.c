/* SPDX-License-Identifier: MIT */
#include "send-options.h"

#include <string.h>

#include "base/error.h"
#include "proto/smtp-content.h"

typedef struct {
	char **argv;
	int argc, at;
} Words;

static gboolean
usage(GError **error, const char *what, const char *word)
{
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE, "%s%s", what, word);
	return FALSE;
}

static void
set(char **field, const char *value)
{
	g_free(*field);
	*field = g_strdup(value);
}

/* What stands behind the letter in its word, or the next word. NULL with an error. */
static const char *
take_value(Words *words, const char *rest, GError **error)
{
	if (*rest != '\0')
		return rest;
	if (words->at + 1 < words->argc)
		return words->argv[++words->at];
	usage(error, "a value is missing after ", words->argv[words->at]);
	return NULL;
}

/* Letters with a value. NULL: it is none of them. */
static char **
field_of(SendOptions *out, char letter)
{
	switch (letter) {
	case 'a':
		return &out->account;
	case 'f':
	case 'r':
		return &out->sender;
	case 'F':
		return &out->name;
	case 'N':
		return &out->notify;
	case 'R':
		return &out->return_what;
	case 'V':
		return &out->envelope_id;
	default:
		return NULL;
	}
}

/* RFC 3461: what the sender wants to hear of the delivery. */
static gboolean
check_notify(char letter, char **value, GError **error)
{
	char *given = *value;

	if (letter != 'V') {
		*value = g_ascii_strup(given, -1);
		g_free(given);
	}
	if (letter == 'N' && !smtp_is_notify(*value))
		return usage(error, "-N wants never, or some of success,failure,delay, and not ",
			     *value);
	if (letter == 'R' && !smtp_is_return(*value))
		return usage(error, "-R wants full or hdrs, and not ", *value);
	if (letter == 'V' && !smtp_is_envelope_id(*value))
		return usage(error, "-V wants at most 100 characters without blanks, and not ",
			     *value);
	return TRUE;
}

/* The only modes of sendmail that have a meaning here. */
static gboolean
take_mode(const char *mode, GError **error)
{
	if (strcmp(mode, "m") == 0)
		return TRUE;
	return usage(error, "only -bm is possible here, a message from standard input, and not -b",
		     mode);
}

/* What the letter at @p does; *@used_out: it took the rest of the word. */
static gboolean
take_letter(Words *words, const char *p, SendOptions *out, gboolean *used_out, GError **error)
{
	static const char ignored[] = "GUmn", ignored_with_value[] = "BCDLOXdhop";
	char **field = field_of(out, *p);
	const char *value;

	*used_out = field != NULL || strchr("Abq", *p) != NULL ||
		    strchr(ignored_with_value, *p) != NULL;
	if (*p == 't')
		out->from_header = TRUE;
	else if (*p == 'i')
		out->whole = TRUE;
	else if (*p == 'v')
		out->verbose = TRUE;
	else if (*p == 'q') /* perhaps with a time behind it */
		out->queue = TRUE;
	else if (!*used_out && strchr(ignored, *p) == NULL)
		return usage(error, "unknown option ", words->argv[words->at]);
	if (!*used_out || *p == 'q' || *p == 'A') /* -Am, -Ac */
		return TRUE;
	value = take_value(words, p + 1, error);
	if (value == NULL)
		return FALSE;
	if (field != NULL)
		set(field, value);
	if (strchr("NRV", *p) != NULL && !check_notify(*p, field, error))
		return FALSE;
	if (*p == 'o' && strcmp(value, "i") == 0)
		out->whole = TRUE;
	return *p != 'b' || take_mode(value, error);
}

static gboolean
take_long(Words *words, SendOptions *out, GError **error)
{
	const char *name = words->argv[words->at] + 2;

	if (strcmp(name, "wait") == 0)
		out->wait = TRUE;
	else if (strchr(name, '=') != NULL)
		g_ptr_array_add(out->options, g_strdup(name));
	else
		return usage(error, "unknown option, or its =VALUE is missing: --", name);
	return TRUE;
}

static gboolean
take_word(Words *words, SendOptions *out, GError **error)
{
	const char *word = words->argv[words->at];
	gboolean used = FALSE;

	if (*word != '-' || word[1] == '\0') {
		g_ptr_array_add(out->recipients, g_strdup(word));
		return TRUE;
	}
	if (word[1] == '-')
		return take_long(words, out, error);
	for (const char *p = word + 1; *p != '\0' && !used; p++)
		if (!take_letter(words, p, out, &used, error))
			return FALSE;
	return TRUE;
}

gboolean
send_options_parse(char **argv, int argc, SendOptions *out, GError **error)
{
	Words words = {argv, argc, 0};
	gboolean only_recipients = FALSE;

	*out = (SendOptions){.recipients = g_ptr_array_new_with_free_func(g_free),
			     .options = g_ptr_array_new_with_free_func(g_free)};
	for (; words.at < argc; words.at++) {
		if (only_recipients)
			g_ptr_array_add(out->recipients, g_strdup(argv[words.at]));
		else if (strcmp(argv[words.at], "--") == 0)
			only_recipients = TRUE;
		else if (!take_word(&words, out, error))
			return FALSE;
	}
	if (out->queue || out->from_header || out->recipients->len > 0)
		return TRUE;
	return usage(error, "to whom? Name recipients, or let them be taken from the header by -t",
		     "");
}

void
send_options_clear(SendOptions *options)
{
	g_free(options->account);
	g_free(options->sender);
	g_free(options->name);
	g_free(options->notify);
	g_free(options->return_what);
	g_free(options->envelope_id);
	g_clear_pointer(&options->recipients, g_ptr_array_unref);
	g_clear_pointer(&options->options, g_ptr_array_unref);
}
