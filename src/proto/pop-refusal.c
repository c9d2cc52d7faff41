/* SPDX-License-Identifier: MIT */
/* What a refusal means to the user. Response codes (RFC 2449 8, RFC 3206) decide; servers that give
 * none are known by their words. */
#include "proto/pop-private.h"

#include <string.h>

#include "base/util.h"

#define SHOWN_TEXT 300

static const struct {
	const char *code;
	MailfsError error;
} known_codes[] = {
	{"IN-USE", MAILFS_ERROR_BUSY},	  {"LOGIN-DELAY", MAILFS_ERROR_LIMIT},
	{"SYS/TEMP", MAILFS_ERROR_LIMIT}, {"SYS/PERM", MAILFS_ERROR_DENIED},
	{"AUTH", MAILFS_ERROR_LOGIN},
};

/* What servers say without a code, in lower case: all of `words`, separated by '*', in that order.
 * An account that is "locked" is another matter than a maildrop that is. */
static const struct {
	const char *words;
	MailfsError error;
} known_texts[] = {
	{"*maildrop*lock*", MAILFS_ERROR_BUSY},
	{"*lock*maildrop*", MAILFS_ERROR_BUSY},
	{"*mailbox*lock*", MAILFS_ERROR_BUSY},
	{"*lock*mailbox*", MAILFS_ERROR_BUSY},
	{"*mailbox*in use*", MAILFS_ERROR_BUSY},
	{"*maildrop*in use*", MAILFS_ERROR_BUSY},
	{"*maildrop*busy*", MAILFS_ERROR_BUSY},
	{"*mailbox*busy*", MAILFS_ERROR_BUSY},
	{"*another*pop3*session*", MAILFS_ERROR_BUSY},
	{"*too many*", MAILFS_ERROR_LIMIT},
	{"*maximum number of*", MAILFS_ERROR_LIMIT},
	{"*too frequent*", MAILFS_ERROR_LIMIT},
	{"*login delay*", MAILFS_ERROR_LIMIT},
	{"*temporar*", MAILFS_ERROR_LIMIT},
	{"*try again later*", MAILFS_ERROR_LIMIT},
	{"*no such message*", MAILFS_ERROR_NOT_FOUND},
	{"*message*deleted*", MAILFS_ERROR_NOT_FOUND},
};

static MailfsError
classify(const PopReply *reply, MailfsError otherwise)
{
	g_autofree char *lower = g_ascii_strdown(reply->text, -1);

	for (guint i = 0; i < G_N_ELEMENTS(known_codes); i++)
		if (reply->code != NULL &&
		    g_ascii_strcasecmp(reply->code, known_codes[i].code) == 0)
			return known_codes[i].error;
	for (guint i = 0; i < G_N_ELEMENTS(known_texts); i++)
		if (g_pattern_match_simple(known_texts[i].words, lower))
			return known_texts[i].error;
	return otherwise;
}

GError *
pop_refusal(const PopBackend *self, const PopReply *reply, const char *verb, MailfsError otherwise,
	    gboolean shown)
{
	MailfsError code = classify(reply, otherwise);
	g_autofree char *text = util_printable(reply->text, -1, SHOWN_TEXT);
	g_autofree char *why = NULL;

	if (shown && (*text != '\0' || reply->code != NULL)) {
		g_autofree char *named = util_printable(reply->code, -1, SHOWN_TEXT);

		why = g_strdup_printf(": %s%s%s%s", *named != '\0' ? "[" : "", named,
				      *named != '\0' ? "] " : "", text);
	}
	return g_error_new(MAILFS_ERROR, (int)code, "%s refused %s%s", self->config->host, verb,
			   why != NULL ? why : "");
}
