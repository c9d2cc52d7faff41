/* SPDX-License-Identifier: MIT */
#include "mail/verdict.h"

#include <string.h>
#include <sysexits.h>

#include "base/util.h"

#define WIDTH	  78
#define REPLY_MAX (8 * 1024) /* octets of a reply that are shown */

/* What a code says to a person. In both texts {to}, {from} and {server} are filled in; {to} is "one
 * of its recipients" where none is known. */
typedef struct {
	const char *code; /* "1.1" of 5.1.1 and 4.1.1 (RFC 3463, RFC 5248), or "550" */
	const char *what; /* a sentence without its full stop */
	const char *advice;
} Meaning;

#define SPELLING "Look at the spelling of the address. If it is right, ask its owner in another way"
#define ENCODE                                                                                     \
	"Let the program that wrote the message encode it (quoted-printable or base64, RFC 2047 "  \
	"in the header)"
#define ASK_ADMIN                                                                                  \
	"That is for those who run {server} to put right: send them this page, or try again later"
#define SMALLER	    "Make it smaller: put the attachment where it can be fetched, and send a link"
#define OWN_ADDRESS "Write as From, and as the account's address, one that this account may use"
#define CREDENTIALS                                                                                \
	"Look at the user in smtp=, and at the password or the command that gives it. Many "       \
	"providers want an app password or a token (auth=xoauth2) here. `mailfs check` tries the " \
	"login"

/* What is refused for a while is often refused for another reason. */
static const Meaning temporary[] = {
	{"7.1", "the server lets it wait: many do so with senders that they do not know yet",
	 "Try again later"},
	{"4.5", "the server has too much to do, or the account has sent all it may for now",
	 "Try again later; `rate=` keeps below such a limit"},
};

/* Looked up in this order: all digits of the enhanced code, the code. */
static const Meaning meanings[] = {
	{"1.1", "{to} is unknown: there is no such mailbox", SPELLING},
	{"1.2", "the domain of {to} does not exist, or takes no mail",
	 "Look at what stands behind the @ of the address"},
	{"1.3", "{to} is no address that can be used", "Look at the spelling of the address"},
	{"1.4", "{to} could be several mailboxes", "Write the full address"},
	{"1.6", "{to} has moved, and its mail is not sent on", "Ask its owner for the new address"},
	{"1.7", "{from} is no address that can be used", OWN_ADDRESS},
	{"1.8", "the domain of {from} does not exist, or takes no mail", OWN_ADDRESS},
	{"1.10", "the domain of {to} says that it takes no mail at all",
	 "Look at what stands behind the @ of the address"},
	{"2.1", "{to} takes no mail: the mailbox is closed, perhaps for a while", SPELLING},
	{"2.2", "{to} has no room left: the mailbox is full",
	 "Tell its owner in another way, or try again tomorrow"},
	{"2.3", "the message is too big for the mailbox of {to}", SMALLER},
	{"2.4", "{to} is a mailing list that does not work", ASK_ADMIN},
	{"3.1", "the server has no room left", "Try again later"},
	{"3.2", "the server takes no mail now", "Try again later"},
	{"3.4", "the message is too big", SMALLER},
	{"3.5", "the server is not set up as it should be", ASK_ADMIN},
	{"4.1", "the server of {to} does not answer", "Try again later"},
	{"4.2", "the line to the server of {to} broke", "Try again later"},
	{"4.3", "a server that the way of the message depends on does not answer",
	 "Try again later"},
	{"4.4", "no way is known to the domain of {to}",
	 "Look at what stands behind the @ of the address"},
	{"4.5", "the server has too much to do, or the account has sent all it may for now",
	 "Wait, a day if it speaks of a daily limit, and try again; `rate=` and `send-limit=` keep "
	 "below such a limit"},
	{"4.6", "the message runs in circles: {to} is sent on to where it came from", ASK_ADMIN},
	{"4.7", "the message was on its way for too long", "Try again"},
	{"5.3", "it has too many recipients", "Send it to fewer at a time"},
	{"6.1", "the server does not take the form that the message has", ENCODE},
	{"6.3", "the message has 8-bit text, which the server does not take", ENCODE},
	{"6.7", "an address is not plain ASCII, which the server does not take",
	 "Use an address in plain ASCII letters"},
	{"7.1",
	 "the server does not let this message through, or does not let this account send it",
	 "Read its words below: it may take it for spam, want another sender than {from}, or not "
	 "know {to} as somebody it brings mail to"},
	{"7.2", "{to} is a mailing list to which this account may not write",
	 "Join it, or ask those who run it"},
	{"7.4", "the server lacks a security feature that this message needs", ASK_ADMIN},
	{"7.8", "the server does not accept the login", CREDENTIALS},
	{"7.9", "the server wants a stronger way to log in",
	 "Set auth= to what the server names. Many providers want an app password or a token "
	 "(auth=xoauth2) here"},
	{"7.11", "the server wants TLS before the login",
	 "Use smtps:// or smtp:// without tls=none"},
	{"7.12", "the server wants the password to be changed", "Change it with the provider"},
	{"7.13", "the account is locked", "Log in at the provider's web page, which says why"},
	{"7.14", "the server does not trust this login",
	 "Log in at the provider's web page, which says why"},
	{"7.17", "{to} is the mailbox of somebody else now", SPELLING},
	{"7.20", "the message has no valid DKIM signature",
	 "Send it by the server of {from}'s own domain"},
	{"7.23", "the domain of {from} does not allow this server to send for it (SPF)",
	 "Send it by the server of {from}'s own domain"},
	{"7.25", "the sending server has no proper name in DNS", ASK_ADMIN},
	{"7.26", "the message cannot be shown to be {from}'s (SPF, DKIM)",
	 "Send it by the server of {from}'s own domain"},
	{"7.27", "the domain of {from} takes no mail", OWN_ADDRESS},
	{"7.28", "the account sends too much at a time",
	 "Wait and try again; `rate=` keeps below such a limit"},
	{"7.57", "the server wants a login before it takes mail", CREDENTIALS},
	{"7.60", "this account may not send as {from}", OWN_ADDRESS},
	{"421", "the server takes no mail now, and hung up", "Try again later"},
	{"450", "{to} cannot be reached now",
	 "Try again later: some servers let strangers wait on purpose"},
	{"451", "the server could not do its work", "Try again later"},
	{"452", "the server, or the mailbox, has no room now, or it has too many recipients",
	 "Try again later"},
	{"454", "the server cannot log in anybody, or cannot do TLS, now", "Try again later"},
	{"500", "the server does not understand what mailfs said", ASK_ADMIN},
	{"501", "the server does not understand an address", SPELLING},
	{"503", "the server does not take this now", ASK_ADMIN},
	{"504", "the server cannot do what this message needs", ASK_ADMIN},
	{"530", "the server wants a login, or TLS, before it takes mail", CREDENTIALS},
	{"534", "the server wants another way to log in, or first a look at its web page",
	 CREDENTIALS},
	{"535", "the server does not accept the login", CREDENTIALS},
	{"538", "the server wants TLS before the login",
	 "Use smtps:// or smtp:// without tls=none"},
	{"550", "{to} is unknown there, or the server does not let this message through to it",
	 SPELLING ". Else read the server's words below"},
	{"551", "{to} is not here, and its mail is not sent on",
	 "The server's words below may say the new address"},
	{"552", "the message is too big, or the mailbox is full",
	 "Make it smaller, or tell its owner in another way"},
	{"553", "{to} is no address that can be used here, or this account may not send as {from}",
	 "Look at the spelling of the address, and at From"},
	{"554", "the server does not let this message through",
	 "Read its words below: it may take it for spam, or not want mail from {from}"},
	{"555", "the server cannot do what this message needs", ASK_ADMIN},
	{"556", "the domain of {to} takes no mail",
	 "Look at what stands behind the @ of the address"},
};

/* What is the same for all of a kind. */
static const Meaning subjects[] = {
	{"1.", "an address is not right", SPELLING},
	{"2.", "the mailbox {to} does not take it", SPELLING},
	{"3.", "the server could not do its work", ASK_ADMIN},
	{"4.", "the message could not be brought on its way", "Try again later"},
	{"5.", "the server does not understand what mailfs said", ASK_ADMIN},
	{"6.", "the server does not take the form that the message has", ENCODE},
	{"7.", "the server does not let this message through, by its rules",
	 "Read its words below"},
};

static const Meaning unknown = {"", "the server refused it", "Read its words below"};
/* The message as a whole, where the code alone would speak of an address. */
static const Meaning refused_whole = {
	"", "the server does not let this message through",
	"Read its words below: it may take it for spam, or not want mail from {from}"};

char *
verdict_enhanced(int code, const char *text)
{
	gsize n = 0;
	guint dots = 0;

	if (text == NULL || (text[0] != '2' && text[0] != '4' && text[0] != '5') ||
	    text[0] - '0' != code / 100)
		return NULL;
	for (gsize digits = 0; n < 9; n++) {
		if (text[n] == '.') {
			if (digits == 0)
				return NULL;
			dots++;
			digits = 0;
		} else if (g_ascii_isdigit(text[n])) {
			digits++;
		} else {
			break;
		}
		if (digits > 3)
			return NULL;
	}
	if (dots != 2 || text[n - 1] == '.' || (text[n] != '\0' && !g_ascii_isspace(text[n])))
		return NULL;
	return g_strndup(text, n);
}

static const Meaning *
find(const Meaning *table, guint n, const char *code, gsize len)
{
	for (guint i = 0; i < n; i++)
		if (strncmp(table[i].code, code, len) == 0 && table[i].code[len] == '\0')
			return &table[i];
	return NULL;
}

static const Meaning *
meaning_of(int code, const char *enhanced, gboolean has_recipient)
{
	g_autofree char *number = g_strdup_printf("%d", code);
	const char *detail = enhanced != NULL && strlen(enhanced) > 2 ? enhanced + 2 : "";
	const Meaning *found =
		code < 500 ? find(temporary, G_N_ELEMENTS(temporary), detail, strlen(detail))
			   : NULL;
	const Meaning *by_code = find(meanings, G_N_ELEMENTS(meanings), number, strlen(number));
	const char *dot = strchr(detail, '.');

	if (found == NULL)
		found = find(meanings, G_N_ELEMENTS(meanings), detail, strlen(detail));
	if (found != NULL)
		return found;
	/* The code is more exact than "other, or undefined". */
	if (by_code != NULL && (dot == NULL || strcmp(dot, ".0") == 0))
		return code == 550 && !has_recipient ? &refused_whole : by_code;
	found = dot != NULL ? find(subjects, G_N_ELEMENTS(subjects), detail, dot + 1 - detail)
			    : NULL;
	return found != NULL ? found : by_code != NULL ? by_code : &unknown;
}

/* Foreign text on one line. (transfer full) */
static char *
printable(const char *text, const char *otherwise)
{
	return text != NULL && *text != '\0' ? util_printable(text, -1, 300) : g_strdup(otherwise);
}

static void
append_filled(GString *out, const char *sentence, const Verdict *verdict)
{
	g_autofree char *to = printable(verdict->recipient, "one of its recipients");
	g_autofree char *from = printable(verdict->sender, "its sender");
	g_autofree char *server = printable(verdict->server, "the mail server");

	for (const char *p = sentence; *p != '\0';) {
		const char *value = g_str_has_prefix(p, "{to}")	      ? to
				    : g_str_has_prefix(p, "{from}")   ? from
				    : g_str_has_prefix(p, "{server}") ? server
								      : NULL;

		if (value == NULL) {
			g_string_append_c(out, *p++);
			continue;
		}
		g_string_append(out, value);
		p = strchr(p, '}') + 1;
	}
}

/* One paragraph: words, lines of at most WIDTH columns, each begun with @indent; a word that is
 * longer stays whole, for it may be a link. */
static void
append_wrapped(GString *out, const char *text, const char *indent)
{
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	glong column = 0;

	for (guint i = 0; words[i] != NULL; i++) {
		glong width = g_utf8_strlen(words[i], -1);

		if (width == 0)
			continue;
		if (column > 0 && column + 1 + width > WIDTH) {
			g_string_append_c(out, '\n');
			column = 0;
		}
		g_string_append(out, column == 0 ? indent : " ");
		column += column == 0 ? (glong)strlen(indent) : 1;
		g_string_append(out, words[i]);
		column += width;
	}
	g_string_append_c(out, '\n');
}

/* Sentences that begin with a letter of ours get a capital one, and all a full stop. */
static void
append_sentence(GString *out, const char *sentence, const Verdict *verdict)
{
	gsize start;

	if (out->len > 0)
		g_string_append_c(out, ' ');
	start = out->len;
	append_filled(out, sentence, verdict);
	if (*sentence != '{')
		out->str[start] = g_ascii_toupper(out->str[start]);
	if (strchr(".!?", out->str[out->len - 1]) == NULL)
		g_string_append_c(out, '.');
}

/* The reply as it came, its lines made fit to be read. */
static void
append_reply(GString *out, const Verdict *verdict)
{
	g_autofree char *enhanced = verdict_enhanced(verdict->code, verdict->text);
	g_autofree char *cut = g_strndup(verdict->text != NULL ? verdict->text : "", REPLY_MAX);
	g_auto(GStrv) lines = g_strsplit(cut, "\n", -1);
	gboolean is_shown = verdict->enhanced != NULL && enhanced == NULL;

	if (verdict->code == 0)
		return;
	g_string_append(out, "\nThe server's words:\n\n");
	for (guint i = 0; i == 0 || (lines[0] != NULL && lines[i] != NULL); i++) {
		g_autofree char *line =
			util_printable(lines[0] != NULL ? lines[i] : "", -1, REPLY_MAX);
		g_autofree char *whole = g_strdup_printf("%d %s%s%s", verdict->code,
							 is_shown ? verdict->enhanced : "",
							 is_shown ? " " : "", line);

		append_wrapped(out, i == 0 ? whole : line, "    ");
	}
}

static void
append_facts(GString *out, const Verdict *verdict)
{
	g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(verdict->when);
	g_autofree char *date =
		when != NULL ? g_date_time_format(when, "%Y-%m-%d %H:%M:%S %z") : NULL;
	g_autofree char *server = printable(verdict->server, NULL);
	g_autofree char *recipient = printable(verdict->recipient, NULL);
	g_autofree char *id = printable(verdict->message_id, NULL);

	if (verdict->when != 0 || server != NULL || recipient != NULL || id != NULL)
		g_string_append_c(out, '\n');
	if (date != NULL && verdict->when != 0)
		g_string_append_printf(out, "When:       %s\n", date);
	if (server != NULL)
		g_string_append_printf(out, "Server:     %s\n", server);
	if (recipient != NULL)
		g_string_append_printf(out, "Recipient:  %s\n", recipient);
	if (id != NULL)
		g_string_append_printf(out, "Message-ID: %s\n", id);
}

/* What happened, and what to do, of the kinds that are not the server's word. NULL: that of the
 * reply, or of @detail. */
static const Meaning *
meaning_of_kind(VerdictKind kind)
{
	static const Meaning maybe = {
		"",
		"the line to {server} was lost when the whole message was sent and no answer had "
		"come: it may have been delivered, and may not; mailfs does not send it again by "
		"itself",
		"Ask a recipient whether it arrived, or look whether an answer comes. Only if it "
		"did not, move it back into Outbox"};
	static const Meaning nobody = {"", "the message names nobody it is for",
				       "Write an address into To, Cc or Bcc"};
	static const Meaning eight_bit = {
		"", "the message has 8-bit text, and {server} does not take that (no 8BITMIME)",
		ENCODE};
	static const Meaning utf8 = {
		"",
		"an address or the header of the message is not plain ASCII, and {server} does not "
		"take that (no SMTPUTF8)",
		ENCODE ", and use addresses in plain ASCII letters"};
	static const Meaning not_allowed = {
		"", "{to} is not among those whom this account may write to (send-to)",
		"If it should be, add it to send-to= in the config file"};

	switch (kind) {
	case VERDICT_MAYBE_SENT:
		return &maybe;
	case VERDICT_NO_RECIPIENT:
		return &nobody;
	case VERDICT_NO_8BITMIME:
		return &eight_bit;
	case VERDICT_NO_SMTPUTF8:
		return &utf8;
	case VERDICT_NOT_ALLOWED:
		return &not_allowed;
	case VERDICT_REPLY:
	case VERDICT_GAVE_UP:
	case VERDICT_INVALID:
	case VERDICT_TOO_BIG:
	case VERDICT_UNSENDABLE:
		break;
	}
	return NULL;
}

static const char *
advice_of_kind(VerdictKind kind)
{
	switch (kind) {
	case VERDICT_INVALID:
		return "Correct the message";
	case VERDICT_TOO_BIG:
		return SMALLER;
	case VERDICT_REPLY:
	case VERDICT_MAYBE_SENT:
	case VERDICT_GAVE_UP:
	case VERDICT_NO_RECIPIENT:
	case VERDICT_NO_8BITMIME:
	case VERDICT_NO_SMTPUTF8:
	case VERDICT_NOT_ALLOWED:
	case VERDICT_UNSENDABLE:
		break;
	}
	return "`mailfs check` tells what is wrong with the way to the server, .mailfs/log what "
	       "else";
}

static const char *
lead_of_kind(const Verdict *verdict)
{
	if (verdict->kind == VERDICT_GAVE_UP)
		return "for two days it was tried again and again";
	return verdict->code != 0 ? "{server} refused it" : NULL;
}

/* The sentences on what happened. Returns what to do about it. */
static const char *
append_what(GString *out, const Verdict *verdict)
{
	g_autofree char *enhanced = verdict->enhanced != NULL
					    ? g_strdup(verdict->enhanced)
					    : verdict_enhanced(verdict->code, verdict->text);
	const Meaning *meaning = meaning_of_kind(verdict->kind);
	g_autofree char *detail = printable(verdict->detail, "it is not known why");
	g_autofree char *size = util_format_size(verdict->size);
	g_autofree char *limit = util_format_size(verdict->limit);

	if (meaning == NULL && lead_of_kind(verdict) != NULL)
		append_sentence(out, lead_of_kind(verdict), verdict);
	if (meaning == NULL && verdict->code != 0)
		meaning = meaning_of(verdict->code, enhanced, verdict->recipient != NULL);
	if (meaning != NULL) {
		append_sentence(out, meaning->what, verdict);
		return meaning->advice;
	}
	if (verdict->kind == VERDICT_TOO_BIG) {
		g_free(detail);
		detail = g_strdup_printf("the message has %s, and {server} takes at most %s", size,
					 limit);
	}
	append_sentence(out, detail, verdict);
	return advice_of_kind(verdict->kind);
}

char *
verdict_page(const Verdict *verdict)
{
	g_autoptr(GString) what = g_string_new(NULL), advice = g_string_new(NULL);
	GString *out = g_string_new(NULL);

	append_sentence(advice, append_what(what, verdict), verdict);
	if (verdict->kind == VERDICT_MAYBE_SENT)
		g_string_append(out, "Nobody knows whether this message was delivered.\n\n");
	else
		g_string_append(out, "This message was not sent to anybody.\n\n");
	append_wrapped(out, what->str, "");
	g_string_append(out, "\nWhat to do:\n\n");
	if (verdict->kind != VERDICT_MAYBE_SENT)
		append_sentence(
			advice,
			"then move the message, the file beside this one, back into Outbox: "
			"it is tried again",
			verdict);
	append_sentence(advice, "to drop it, remove both files", verdict);
	append_wrapped(out, advice->str, "");
	append_reply(out, verdict);
	append_facts(out, verdict);
	return g_string_free(out, FALSE);
}

/* "550 5.1.1 no such user", with what there is of it. */
static void
append_reply_line(GString *out, int code, const char *enhanced, const char *text)
{
	g_autofree char *has = verdict_enhanced(code, text);
	g_autofree char *shown = text != NULL ? g_strdup(text) : g_strdup("");
	g_autofree char *line = NULL;

	g_strdelimit(shown, "\r\n\t", ' ');
	line = util_printable(shown, -1, 200);
	if (code != 0)
		g_string_append_printf(out, "%d ", code);
	if (code != 0 && enhanced != NULL && has == NULL)
		g_string_append_printf(out, "%s ", enhanced);
	g_string_append(out, line);
	while (out->len > 0 && out->str[out->len - 1] == ' ')
		g_string_truncate(out, out->len - 1);
}

char *
verdict_line(const Verdict *verdict)
{
	g_autoptr(GString) what = g_string_new(NULL);
	GString *out = g_string_new("failed: ");

	if (verdict->kind == VERDICT_MAYBE_SENT) {
		g_string_assign(out, "may have been delivered: no answer came after its end");
	} else if (verdict->code != 0) {
		append_reply_line(out, verdict->code, verdict->enhanced, verdict->text);
	} else {
		append_what(what, verdict);
		g_string_append(out, what->str);
		g_string_truncate(out, out->len - 1); /* the full stop */
	}
	return g_string_free(out, FALSE);
}

char *
verdict_retry_line(gint64 retry_at, gint64 now, int code, const char *enhanced, const char *text)
{
	g_autoptr(GDateTime) at = g_date_time_new_from_unix_local(retry_at);
	g_autoptr(GDateTime) today = g_date_time_new_from_unix_local(now);
	GString *out = g_string_new("retry");
	gboolean is_today = at != NULL && today != NULL &&
			    g_date_time_get_day_of_year(at) == g_date_time_get_day_of_year(today) &&
			    g_date_time_get_year(at) == g_date_time_get_year(today);
	g_autofree char *time =
		at != NULL ? g_date_time_format(at, is_today ? " %H:%M" : " %Y-%m-%d %H:%M") : NULL;

	if (time != NULL)
		g_string_append(out, time);
	if (code == 0 && (text == NULL || *text == '\0'))
		return g_string_free(out, FALSE);
	g_string_append(out, " (");
	append_reply_line(out, code, enhanced, text);
	g_string_append_c(out, ')');
	return g_string_free(out, FALSE);
}

static gboolean
is_one_of(const char *detail, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(detail, *list) == 0)
			return TRUE;
	return FALSE;
}

/* Does it speak of who sends, and not of whom it is for? */
static gboolean
blames_sender(const char *text)
{
	static const char *const words[] = {"sender", "rate",	  "limit",
					    "quota",  "too many", "too much"};
	g_autofree char *lower = g_ascii_strdown(text != NULL ? text : "", -1);

	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		if (strstr(lower, words[i]) != NULL)
			return TRUE;
	return FALSE;
}

VerdictStops
verdict_stops(int code, const char *enhanced, const char *text, gboolean of_recipient)
{
	static const char *const login[] = {"7.8",  "7.9",  "7.11", "7.12",
					    "7.13", "7.14", "7.57", NULL};
	static const char *const one_mailbox[] = {"7.2", "7.17", "7.18", NULL};
	static const char *const sender[] = {"1.8",  "4.5",  "7.20", "7.23", "7.24", "7.25",
					     "7.26", "7.27", "7.28", "7.60", NULL};
	g_autofree char *found =
		enhanced != NULL ? g_strdup(enhanced) : verdict_enhanced(code, text);
	const char *detail = found != NULL && found[0] == '5' ? found + 2 : "";

	if (code == 530 || code == 534 || code == 535 || code == 538)
		return VERDICT_STOPS_ACCOUNT;
	if (code < 500)
		return VERDICT_STOPS_NOTHING;
	if (is_one_of(detail, login))
		return VERDICT_STOPS_ACCOUNT;
	if (is_one_of(detail, sender))
		return VERDICT_STOPS_BATCH;
	if (!g_str_has_prefix(detail, "7.") || is_one_of(detail, one_mailbox))
		return VERDICT_STOPS_NOTHING;
	return !of_recipient || blames_sender(text) ? VERDICT_STOPS_BATCH : VERDICT_STOPS_NOTHING;
}

int
verdict_exit_code(int code, const char *enhanced)
{
	static const struct {
		const char *begins;
		int code;
	} table[] = {
		{"1.2", EX_NOHOST},  {"1.10", EX_NOHOST}, {"1.1", EX_NOUSER},
		{"1.3", EX_USAGE},   {"1.7", EX_USAGE},	  {"1.8", EX_NOHOST},
		{"1.", EX_NOUSER},   {"2.3", EX_DATAERR}, {"2.", EX_UNAVAILABLE},
		{"3.4", EX_DATAERR}, {"4.4", EX_NOHOST},  {"5.", EX_PROTOCOL},
		{"6.", EX_DATAERR},  {"7.", EX_NOPERM},
	};

	if (code >= 200 && code < 300)
		return EX_OK;
	if (code >= 400 && code < 500)
		return EX_TEMPFAIL;
	if (code == 530 || code == 534 || code == 535 || code == 538)
		return EX_NOPERM;
	for (guint i = 0; enhanced != NULL && strlen(enhanced) > 2 && i < G_N_ELEMENTS(table);
	     i++) {
		gsize n = strlen(table[i].begins);

		if (strncmp(enhanced + 2, table[i].begins, n) == 0 &&
		    (table[i].begins[n - 1] == '.' || enhanced[2 + n] == '\0'))
			return table[i].code;
	}
	switch (code) {
	case 550:
	case 551:
	case 553:
		return EX_NOUSER;
	case 556:
		return EX_NOHOST;
	case 500:
	case 501:
	case 502:
	case 503:
	case 504:
	case 555:
		return EX_PROTOCOL;
	default:
		return EX_UNAVAILABLE;
	}
}
