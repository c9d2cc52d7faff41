/* SPDX-License-Identifier: MIT */
/* What a refusal means to the user. Response codes (RFC 5530 and friends) decide; servers that give
 * none are known by their words. */
#include "proto/imap-private.h"

#include <string.h>

#include "base/util.h"

#define SHOWN_TEXT 300
#define MAX_RANGES 500000

gboolean
imap_code_is(const char *code, const char *name)
{
	gsize len = strlen(name);

	return code != NULL && g_ascii_strncasecmp(code, name, len) == 0 &&
	       (code[len] == '\0' || code[len] == ' ');
}

gboolean
imap_code_number(const char *code, const char *name, guint64 max, guint64 *out)
{
	const char *number;

	if (!imap_code_is(code, name))
		return FALSE;
	number = code + strlen(name);
	number += strspn(number, " ");
	return imap_parse_number(number, strcspn(number, " "), max, out);
}

guint32
imap_code_uidvalidity(const char *code)
{
	const char *number = strchr(code, ' ');
	guint64 value = 0;

	if (number == NULL)
		return 0;
	number += strspn(number, " ");
	return imap_parse_number(number, strcspn(number, " "), G_MAXUINT32, &value) ? (guint32)value
										    : 0;
}

/* "3,5:7", of which uidset_parse() has made sure: does each number rise above the one before? */
static gboolean
is_ascending(const char *text, gsize len)
{
	guint64 before = 0;
	guint64 number = 0;

	for (gsize i = 0; i <= len; i++) {
		if (i < len && g_ascii_isdigit(text[i])) {
			number = number * 10 + (guint64)(text[i] - '0');
			continue;
		}
		if (number <= before)
			return FALSE;
		before = number;
		number = 0;
	}
	return TRUE;
}

UidSet *
imap_code_uids(const char *code, guint index)
{
	gsize len;

	for (guint i = 0; i < index + 2; i++) {
		code += strcspn(code, " ");
		code += strspn(code, " ");
	}
	len = strcspn(code, " ");
	if (len == 0 || strspn(code, "0123456789:,") != len || !is_ascending(code, len))
		return NULL;
	return uidset_parse(code, len, MAX_RANGES);
}

static const struct {
	const char *code;
	MailfsError error;
} known_codes[] = {
	{"AUTHENTICATIONFAILED", MAILFS_ERROR_LOGIN},
	{"AUTHORIZATIONFAILED", MAILFS_ERROR_LOGIN},
	{"EXPIRED", MAILFS_ERROR_LOGIN},
	{"PRIVACYREQUIRED", MAILFS_ERROR_LOGIN},
	{"CONTACTADMIN", MAILFS_ERROR_LOGIN},
	{"UNAVAILABLE", MAILFS_ERROR_LIMIT},
	{"LIMIT", MAILFS_ERROR_LIMIT},
	{"THROTTLED", MAILFS_ERROR_LIMIT},
	{"INUSE", MAILFS_ERROR_LIMIT},
	{"SERVERBUG", MAILFS_ERROR_LIMIT},
	{"NONEXISTENT", MAILFS_ERROR_NOT_FOUND},
	{"TRYCREATE", MAILFS_ERROR_NOT_FOUND},
	{"EXPUNGEISSUED", MAILFS_ERROR_NOT_FOUND},
	{"NOPERM", MAILFS_ERROR_DENIED},
	{"OVERQUOTA", MAILFS_ERROR_QUOTA},
	{"TOOBIG", MAILFS_ERROR_TOO_BIG},
	{"ALREADYEXISTS", MAILFS_ERROR_EXISTS},
	{"HASCHILDREN", MAILFS_ERROR_NOT_EMPTY},
	{"READ-ONLY", MAILFS_ERROR_READ_ONLY},
	{"CANNOT", MAILFS_ERROR_INVALID},
};

/* What servers say without a code, in lower case. */
static const struct {
	const char *text;
	MailfsError error;
} known_texts[] = {
	{"too many", MAILFS_ERROR_LIMIT},
	{"maximum number of", MAILFS_ERROR_LIMIT},
	{"simultaneous connections", MAILFS_ERROR_LIMIT},
	{"connection limit", MAILFS_ERROR_LIMIT},
	{"throttled", MAILFS_ERROR_LIMIT},
	{"authenticated but not connected", MAILFS_ERROR_LIMIT},
	{"server unavailable. 15", MAILFS_ERROR_QUOTA},
	{"server unavailable", MAILFS_ERROR_LIMIT},
	{"temporarily", MAILFS_ERROR_LIMIT},
	{"try again later", MAILFS_ERROR_LIMIT},
	{"doesn't exist", MAILFS_ERROR_NOT_FOUND},
	{"does not exist", MAILFS_ERROR_NOT_FOUND},
	{"no such mailbox", MAILFS_ERROR_NOT_FOUND},
	{"unknown mailbox", MAILFS_ERROR_NOT_FOUND},
	{"mailbox not found", MAILFS_ERROR_NOT_FOUND},
	{"permission denied", MAILFS_ERROR_DENIED},
	{"quota exceeded", MAILFS_ERROR_QUOTA},
	{"over quota", MAILFS_ERROR_QUOTA},
	{"maximum size of appendable", MAILFS_ERROR_TOO_BIG},
	{"already exists", MAILFS_ERROR_EXISTS},
};

static MailfsError
classify(const char *code, const char *text, MailfsError otherwise)
{
	g_autofree char *lower = g_ascii_strdown(text, -1);

	for (guint i = 0; i < G_N_ELEMENTS(known_codes); i++)
		if (imap_code_is(code, known_codes[i].code))
			return known_codes[i].error;
	for (guint i = 0; i < G_N_ELEMENTS(known_texts); i++)
		if (strstr(lower, known_texts[i].text) != NULL)
			return known_texts[i].error;
	return otherwise;
}

GError *
imap_refusal(const ImapBackend *self, const ImapResponse *response, const char *verb,
	     MailfsError otherwise, gboolean shown)
{
	MailfsError code = classify(response->code, response->text, otherwise);
	g_autofree char *text = util_printable(response->text, -1, SHOWN_TEXT);
	const char *did = response->status == IMAP_STATUS_BYE	? "closed the line"
			  : response->status == IMAP_STATUS_BAD ? "does not understand"
								: "refused";

	if (!shown || *text == '\0')
		return g_error_new(MAILFS_ERROR, (int)code, "%s %s %s", self->config->host, did,
				   verb);
	return g_error_new(MAILFS_ERROR, (int)code, "%s %s %s: %s", self->config->host, did, verb,
			   text);
}
