/* SPDX-License-Identifier: MIT */
/* The unit of work is the line: nothing is looked at before its LF is here, so where the input was
 * cut cannot matter. A line that lies whole in the input is read where it lies; only a cut one is
 * first put together in `line`. A literal's bytes never pass through `line`: they go to the arena,
 * to the sink, or nowhere.
 *
 * Texts of a response live in one arena of a fixed size, so pointers into it stay good while the
 * response grows. A token has at least one byte on the wire and takes at most one more here (its
 * NUL), so twice the bound of a response is always enough. The kernel gives pages only for what is
 * really used.
 *
 * A response found broken is read on to its end in silence: only its literals still matter, for the
 * framing. */
#include "proto/imap-parser.h"

#include <string.h>

#include "base/error.h"
#include "base/util.h"

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* set by tests/fuzz/run: a bound that a fuzzer    \
						   can reach */
#	define MAX_RESPONSE 2048
#else
#	define MAX_RESPONSE (1024 * 1024)
#endif
#define MAX_DEPTH  64
#define MAX_STEP   (256 * 1024)
#define ARENA_SIZE (2 * MAX_RESPONSE + 2)
#define TOKENS_AT_REST                                                                             \
	(MAX_RESPONSE / 256) /* an unusually long array is given back after its response */

typedef enum {
	STATE_LINE,
	STATE_MEMORY, /* in a literal that is kept */
	STATE_STREAM, /* in a literal that goes to the sink */
	STATE_SKIP,   /* in a literal of a broken response */
} ParserState;

typedef enum {
	HEADER_NONE, /* no literal header at all */
	HEADER_GOOD,
	HEADER_BAD,
} HeaderKind;

typedef enum {
	LINE_FAILED,
	LINE_END,     /* the response ends with this line: hand it out or drop it */
	LINE_LITERAL, /* a literal follows, then another line */
	LINE_DONE,    /* was handed out */
} LineResult;

struct ImapParser {
	ImapParserEvents events;
	gpointer user;
	GError *dead; /* what ended the parser */
	guint64 dropped;
	GByteArray *line; /* the beginning of a line whose LF has not come yet */

	ParserState state;
	guint64 literal_size;
	guint64 literal_left;

	/* The response under way. */
	char *arena;
	gsize arena_len;
	ImapToken *tokens;
	guint n_tokens;
	guint tokens_allocated;
	const char *tag; /* NULL before its first line */
	gsize used;	 /* bytes on the wire that count towards MAX_RESPONSE */
	guint depth;	 /* of parentheses */
	gboolean broken; /* will be dropped */
};

/* Bytes that end an atom or need a closer look inside it. */
static inline gboolean
is_plain(guint8 c)
{
	static const guint8 special[256] = {
		['\0'] = 1, ['\r'] = 1, [' '] = 1, ['"'] = 1,
		['('] = 1,  [')'] = 1,	['['] = 1, ['{'] = 1,
	};

	return !special[c];
}

ImapParser *
imap_parser_new(const ImapParserEvents *events, gpointer user)
{
	ImapParser *parser = g_new0(ImapParser, 1);

	parser->events = *events;
	parser->user = user;
	parser->line = g_byte_array_new();
	parser->arena = g_malloc(ARENA_SIZE);
	return parser;
}

void
imap_parser_free(ImapParser *parser)
{
	if (parser == NULL)
		return;
	g_clear_error(&parser->dead);
	g_byte_array_unref(parser->line);
	g_free(parser->arena);
	g_free(parser->tokens);
	g_free(parser);
}

guint64
imap_parser_dropped(const ImapParser *parser)
{
	return parser->dropped;
}

gboolean
imap_parser_is_between_responses(const ImapParser *parser)
{
	return parser->state == STATE_LINE && parser->tag == NULL && parser->line->len == 0;
}

static void
fail(ImapParser *parser, const char *what)
{
	if (parser->dead == NULL)
		g_set_error(&parser->dead, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
			    "the IMAP server's answer cannot be followed any further: %s", what);
}

static void
fail_at(ImapParser *parser, const char *what, const char *at, const char *end)
{
	g_autofree char *shown = util_printable(at, end - at, 40);
	g_autofree char *text = g_strdup_printf("%s: \"%s\"", what, shown);

	fail(parser, text);
}

static void
next_response(ImapParser *parser)
{
	parser->arena_len = 0;
	parser->n_tokens = 0;
	parser->tag = NULL;
	parser->used = 0;
	parser->depth = 0;
	parser->broken = FALSE;
	if (parser->tokens_allocated > TOKENS_AT_REST) {
		g_clear_pointer(&parser->tokens, g_free);
		parser->tokens_allocated = 0;
	}
}

static const char *
keep_text(ImapParser *parser, const char *text, gsize len)
{
	char *kept = parser->arena + parser->arena_len;

	g_assert(len < ARENA_SIZE - parser->arena_len);
	memcpy(kept, text, len);
	kept[len] = '\0';
	parser->arena_len += len + 1;
	return kept;
}

static void
add_token(ImapParser *parser, ImapTokenType type, const char *text, guint64 size)
{
	if (parser->n_tokens == parser->tokens_allocated) {
		parser->tokens_allocated = MAX(64, 2 * parser->tokens_allocated);
		parser->tokens = g_renew(ImapToken, parser->tokens, parser->tokens_allocated);
	}
	parser->tokens[parser->n_tokens++] = (ImapToken){.type = type, .text = text, .size = size};
}

static ImapResponse
response_so_far(const ImapParser *parser)
{
	return (ImapResponse){
		.tag = parser->tag,
		.status = IMAP_STATUS_NONE,
		.text = "",
		.tokens = parser->tokens,
		.n_tokens = parser->n_tokens,
	};
}

/* "{n}", "{n+}" from @at to the very end of the line. */
static HeaderKind
read_literal_header(const char *at, const char *end, guint64 *size_out)
{
	const char *digits = at + 1;
	const char *close = end - 1;
	gsize len;

	if (close < digits || *at != '{' || *close != '}')
		return HEADER_NONE;
	len = close - digits;
	if (imap_parse_number(digits, len > 0 && close[-1] == '+' ? len - 1 : len, G_MAXINT64,
			      size_out))
		return HEADER_GOOD;
	for (const char *p = digits; p < close; p++)
		if (!g_ascii_isdigit(*p) && strchr("+- ", *p) == NULL)
			return HEADER_NONE;
	return HEADER_BAD;
}

/* The part in brackets belongs to the atom only where the grammar has one: a mailbox may be called
 * "[Gmail]". */
static gboolean
takes_section(const char *word, gsize len)
{
	static const char *const words[] = {"BODY", "BODY.PEEK", "BINARY", "BINARY.PEEK",
					    "BINARY.SIZE"};

	for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
		if (strlen(words[i]) == len && g_ascii_strncasecmp(words[i], word, len) == 0)
			return TRUE;
	return FALSE;
}

/* The "]" that ends what begins at @at, quoted strings passed over; NULL when there is none. */
static const char *
find_bracket(const char *at, const char *end)
{
	gboolean quoted = FALSE;

	for (const char *p = at; p < end; p++) {
		if (*p == '\0' || *p == '\r')
			return NULL;
		if (*p == ']' && !quoted)
			return p;
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\\' && quoted && p + 1 < end)
			p++;
	}
	return NULL;
}

/* Returns what follows the atom that begins at @at. */
static const char *
read_atom(ImapParser *parser, const char *at, const char *end)
{
	const char *p = at;
	const char *close;
	guint64 size;

	while (TRUE) {
		while (p < end && is_plain(*p))
			p++;
		if (p < end && *p == '[') {
			close = takes_section(at, p - at) ? find_bracket(p + 1, end) : NULL;
			p = close != NULL ? close + 1 : p + 1;
		} else if (p < end && *p == '{' &&
			   read_literal_header(p, end, &size) == HEADER_NONE) {
			p++;
		} else {
			break;
		}
	}
	if (p == at) { /* NUL or a lone CR: nothing to be made of it */
		parser->broken = TRUE;
		return p + 1;
	}
	if (!parser->broken)
		add_token(parser, IMAP_TOKEN_ATOM, keep_text(parser, at, p - at), p - at);
	return p;
}

/* Returns what follows the quoted string whose text begins at @at, NULL when it does not end on
 * this line. A backslash before anything but a quote or a backslash comes from a server that does
 * not escape at all, and stays. */
static const char *
read_quoted(ImapParser *parser, const char *at, const char *end)
{
	char *kept = parser->arena + parser->arena_len;
	gsize len = 0;
	const char *p;

	g_assert((gsize)(end - at) < ARENA_SIZE - parser->arena_len);
	for (p = at; p < end && *p != '"'; p++) {
		if (*p == '\\' && p + 1 < end && (p[1] == '"' || p[1] == '\\'))
			p++;
		else if (*p == '\0' || *p == '\r')
			parser->broken = TRUE;
		kept[len++] = *p;
	}
	if (p == end) {
		parser->broken = TRUE;
		return NULL;
	}
	kept[len] = '\0';
	if (!parser->broken) {
		parser->arena_len += len + 1;
		add_token(parser, IMAP_TOKEN_QUOTED, kept, len);
	}
	return p + 1;
}

static void
read_parenthesis(ImapParser *parser, gboolean open)
{
	if (open ? parser->depth == MAX_DEPTH : parser->depth == 0)
		parser->broken = TRUE;
	if (parser->broken)
		return;
	parser->depth += open ? 1 : -1;
	add_token(parser, open ? IMAP_TOKEN_OPEN : IMAP_TOKEN_CLOSE, open ? "(" : ")", 1);
}

/* Without its end a quoted string hides whether a literal follows. */
static LineResult
end_in_quotes(ImapParser *parser, const char *at, const char *end)
{
	const char *brace = memrchr(at, '{', end - at);
	guint64 size;

	if (brace == NULL || read_literal_header(brace, end, &size) == HEADER_NONE)
		return LINE_END;
	fail_at(parser, "a literal inside a quoted string", brace, end);
	return LINE_FAILED;
}

static LineResult
read_tokens(ImapParser *parser, const char *at, const char *end)
{
	const char *p = at;
	const char *brace;
	const char *next;

	while (p < end) {
		brace = *p == '~' && p + 1 < end ? p + 1 : p;
		if (*p == ' ') {
			p++;
		} else if (*p == '(' || *p == ')') {
			read_parenthesis(parser, *p == '(');
			p++;
		} else if (*p == '"') {
			next = read_quoted(parser, p + 1, end);
			if (next == NULL)
				return end_in_quotes(parser, p, end);
			p = next;
		} else if (*brace == '{') {
			if (read_literal_header(brace, end, &parser->literal_size) == HEADER_GOOD)
				return LINE_LITERAL;
			fail_at(parser, "a literal of no size", p, end);
			return LINE_FAILED;
		} else {
			p = read_atom(parser, p, end);
		}
	}
	return LINE_END;
}

static gboolean
send_response(ImapParser *parser, const ImapResponse *response)
{
	if (parser->events.response(parser->user, response, &parser->dead))
		return TRUE;
	fail(parser, "stopped by its reader");
	return FALSE;
}

/* Free text, never a literal whatever it looks like: "[CODE args] text", either part may be
 * missing. */
static LineResult
read_status(ImapParser *parser, ImapStatus status, const char *at, const char *end)
{
	ImapResponse response = response_so_far(parser);
	char *text = parser->arena + parser->arena_len;
	char *text_end = text;
	const char *close = NULL;

	for (const char *p = at; p < end; p++)
		if (*p != '\0' && (*p != ' ' || text_end > text))
			*text_end++ = *p;
	while (text_end > text && text_end[-1] == ' ')
		text_end--;
	*text_end = '\0';

	if (*text == '[') {
		close = find_bracket(text + 1, text_end);
		if (close == NULL)
			close = strchr(text, ']');
	}
	if (close != NULL) {
		response.code = text + 1;
		text += close - text;
		*text++ = '\0';
		text += strspn(text, " ");
	}
	response.status = status;
	response.text = text;
	return send_response(parser, &response) ? LINE_DONE : LINE_FAILED;
}

static ImapStatus
status_from_word(const char *word, gsize len, gboolean untagged)
{
	static const struct {
		const char *word;
		ImapStatus status;
	} words[] = {
		{"OK", IMAP_STATUS_OK},	  {"NO", IMAP_STATUS_NO},
		{"BAD", IMAP_STATUS_BAD}, {"PREAUTH", IMAP_STATUS_PREAUTH},
		{"BYE", IMAP_STATUS_BYE},
	};

	for (gsize i = 0; i < (untagged ? G_N_ELEMENTS(words) : 3); i++)
		if (strlen(words[i].word) == len &&
		    g_ascii_strncasecmp(words[i].word, word, len) == 0)
			return words[i].status;
	return IMAP_STATUS_NONE;
}

static LineResult
read_first_line(ImapParser *parser, const char *at, const char *end)
{
	const char *word;
	const char *word_end;
	ImapStatus status;
	gboolean untagged;

	while (at < end && *at == ' ')
		at++;
	parser->tag = "+";
	if (at < end && *at == '+')
		return read_status(parser, IMAP_STATUS_CONTINUE, at + 1, end);

	for (word = at; word < end && *word != ' ';)
		word++;
	untagged = word == at + 1 && *at == '*';
	parser->tag = untagged ? "*" : keep_text(parser, at, word - at);
	while (word < end && *word == ' ')
		word++;
	for (word_end = word; word_end < end && *word_end != ' ';)
		word_end++;
	status = status_from_word(word, word_end - word, untagged);
	if (status != IMAP_STATUS_NONE)
		return read_status(parser, status, word_end, end);

	parser->broken = !untagged;
	return read_tokens(parser, untagged ? word : at, end);
}

/* FALSE when the parser is dead, here and below. */
static gboolean
end_response(ImapParser *parser)
{
	ImapResponse response = response_so_far(parser);

	if (!parser->broken && parser->depth == 0 && parser->n_tokens > 0)
		return send_response(parser, &response);
	parser->dropped++;
	return TRUE;
}

static void
end_literal(ImapParser *parser)
{
	gsize size = parser->literal_size;

	if (parser->state == STATE_MEMORY) {
		parser->arena[parser->arena_len + size] = '\0';
		add_token(parser, IMAP_TOKEN_LITERAL, parser->arena + parser->arena_len, size);
		parser->arena_len += size + 1;
	} else if (parser->state == STATE_STREAM) {
		add_token(parser, IMAP_TOKEN_STREAMED, "", parser->literal_size);
	}
	parser->state = STATE_LINE;
}

static gboolean
begin_literal(ImapParser *parser)
{
	ImapResponse so_far = response_so_far(parser);
	ImapLiteralPlace place = IMAP_LITERAL_STREAM;

	if (!parser->broken)
		place = parser->events.literal(parser->user, &so_far, parser->literal_size);
	if (place == IMAP_LITERAL_REFUSE) {
		fail(parser, "a literal is too big for its purpose");
		return FALSE;
	}
	parser->literal_left = parser->literal_size;
	parser->state = parser->broken ? STATE_SKIP : STATE_STREAM;
	if (place == IMAP_LITERAL_MEMORY) {
		parser->state = STATE_MEMORY;
		if (parser->literal_size > MAX_RESPONSE - MIN(parser->used, MAX_RESPONSE)) {
			fail(parser, "a response is longer than 1 MiB");
			return FALSE;
		}
		parser->used += parser->literal_size;
	}
	if (parser->literal_left == 0)
		end_literal(parser);
	return TRUE;
}

static gboolean
read_line(ImapParser *parser, const char *at, const char *end)
{
	LineResult result;

	while (end > at && end[-1] == '\r')
		end--;
	if (parser->tag == NULL)
		result = read_first_line(parser, at, end);
	else
		result = read_tokens(parser, at, end);

	switch (result) {
	case LINE_FAILED:
		return FALSE;
	case LINE_LITERAL:
		return begin_literal(parser);
	case LINE_END:
		if (!end_response(parser))
			return FALSE;
		break;
	case LINE_DONE:
		break;
	}
	next_response(parser);
	return TRUE;
}

/* Takes up to one line. */
static gboolean
feed_line(ImapParser *parser, const guint8 *data, gsize len, gsize *taken_out)
{
	const guint8 *lf = memchr(data, '\n', len);
	gsize n = lf != NULL ? (gsize)(lf - data) : len;
	const guint8 *line = data;
	gboolean alive;

	if (parser->used + parser->line->len + n > MAX_RESPONSE) {
		fail(parser, "a response is longer than 1 MiB");
		return FALSE;
	}
	*taken_out = lf != NULL ? n + 1 : n;
	if (lf == NULL || parser->line->len > 0)
		g_byte_array_append(parser->line, data, n);
	if (lf == NULL)
		return TRUE;
	if (parser->line->len > 0) {
		line = parser->line->data;
		n = parser->line->len;
	}
	parser->used += n + 1;
	alive = read_line(parser, (const char *)line, (const char *)line + n);
	g_byte_array_set_size(parser->line, 0);
	return alive;
}

/* Takes up to one step of a literal. */
static gboolean
feed_literal(ImapParser *parser, const guint8 *data, gsize len, gsize *taken_out)
{
	gsize n = MIN(len, parser->literal_left);
	gsize done = parser->literal_size - parser->literal_left;

	if (parser->state == STATE_MEMORY) {
		memcpy(parser->arena + parser->arena_len + done, data, n);
	} else if (parser->state == STATE_STREAM) {
		n = MIN(n, MAX_STEP);
		if (!parser->events.literal_data(parser->user, data, n, &parser->dead)) {
			fail(parser, "stopped by its reader");
			return FALSE;
		}
	}
	*taken_out = n;
	parser->literal_left -= n;
	if (parser->literal_left == 0)
		end_literal(parser);
	return TRUE;
}

gboolean
imap_parser_feed(ImapParser *parser, const guint8 *data, gsize len, GError **error)
{
	gsize taken = 0;

	for (gsize i = 0; i < len && parser->dead == NULL; i += taken) {
		if (parser->state == STATE_LINE)
			(void)feed_line(parser, data + i, len - i, &taken);
		else
			(void)feed_literal(parser, data + i, len - i, &taken);
	}
	if (parser->dead != NULL && error != NULL)
		*error = g_error_copy(parser->dead);
	return parser->dead == NULL;
}

gboolean
imap_parse_number(const char *text, gsize len, guint64 max, guint64 *out)
{
	guint64 value = 0;

	if (len == 0)
		return FALSE;
	for (gsize i = 0; i < len; i++) {
		guint digit = (guint)(guchar)text[i] - '0';

		if (digit > 9 || digit > max || value > (max - digit) / 10)
			return FALSE;
		value = 10 * value + digit;
	}
	*out = value;
	return TRUE;
}

gboolean
imap_token_is_nil(const ImapToken *token)
{
	return imap_token_is_atom(token, "NIL");
}

gboolean
imap_token_is_atom(const ImapToken *token, const char *word)
{
	/* The first two bytes tell nearly all words apart; 0x20 is all that case can change. */
	if (token->type != IMAP_TOKEN_ATOM || ((token->text[0] ^ word[0]) & ~0x20) != 0 ||
	    (token->text[0] != '\0' && ((token->text[1] ^ word[1]) & ~0x20) != 0))
		return FALSE;
	return strcmp(token->text, word) == 0 || g_ascii_strcasecmp(token->text, word) == 0;
}

guint
imap_response_skip(const ImapResponse *response, guint i)
{
	guint depth = 0;

	while (i < response->n_tokens) {
		ImapTokenType type = response->tokens[i++].type;

		if (type == IMAP_TOKEN_OPEN)
			depth++;
		else if (type == IMAP_TOKEN_CLOSE && depth > 0)
			depth--;
		if (depth == 0)
			break;
	}
	return MIN(i, response->n_tokens);
}

/* Exactly @n digits. */
static gboolean
take_digits(const char **at, const char *end, gsize n, guint max, guint *out)
{
	guint64 value;

	if ((gsize)(end - *at) < n || !imap_parse_number(*at, n, max, &value))
		return FALSE;
	*at += n;
	*out = value;
	return TRUE;
}

static gboolean
take_char(const char **at, const char *end, char c)
{
	if (*at == end || **at != c)
		return FALSE;
	(*at)++;
	return TRUE;
}

static gboolean
take_month(const char **at, const char *end, guint *out)
{
	static const char names[] = "jan feb mar apr may jun jul aug sep oct nov dec";

	for (guint i = 0; i < 12 && end - *at >= 3; i++) {
		if (g_ascii_strncasecmp(names + 4 * i, *at, 3) == 0) {
			*at += 3;
			*out = i + 1;
			return TRUE;
		}
	}
	return FALSE;
}

/* "-0700" as it should be; "-07:00", "-700", "-07", a name (taken for UTC, as RFC 5322 4.3 does)
 * and nothing at all as it comes. */
static gboolean
read_zone(const char *at, const char *end, gint64 *seconds_out)
{
	gint64 sign = 1;
	guint digits = 0;
	guint value = 0;

	*seconds_out = 0;
	if (at == end)
		return TRUE;
	if (*at != '+' && *at != '-') {
		while (at < end && g_ascii_isalpha(*at))
			at++;
		return at == end;
	}
	sign = *at++ == '-' ? -1 : 1;
	for (; at < end; at++) {
		if (*at == ':' && digits > 0 && end - at == 3)
			continue;
		if (!g_ascii_isdigit(*at) || ++digits > 4)
			return FALSE;
		value = 10 * value + (*at - '0');
	}
	if (digits <= 2)
		value *= 100;
	*seconds_out = sign * (value / 100 * 3600 + value % 100 * 60);
	return digits > 0 && value / 100 < 24 && value % 100 < 60;
}

static gboolean
is_day(guint day, guint month, guint year)
{
	static const guint8 days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	gboolean leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return day >= 1 && day <= days[month - 1] && (month != 2 || day <= 28 || leap);
}

/* Years begin in March here, so that the leap day is the last one (Howard Hinnant's
 * days_from_civil). */
static gint64
days_since_1970(guint day, guint month, guint year)
{
	guint from_march = month > 2 ? month - 3 : month + 9;
	guint y = month > 2 ? year : year - 1;

	return (gint64)(365 * y + y / 4 - y / 100 + y / 400 + (153 * from_march + 2) / 5 + day -
			1) -
	       719468;
}

gboolean
imap_parse_date(const char *text, gsize len, gint64 *out)
{
	const char *at = text;
	const char *end = text + len;
	guint day, month, year, hour, minute, second;
	gint64 zone;

	while (at < end && *at == ' ')
		at++;
	while (end > at && end[-1] == ' ')
		end--;
	if (!take_digits(&at, end, end - at > 1 && g_ascii_isdigit(at[1]) ? 2 : 1, 31, &day) ||
	    !take_char(&at, end, '-') || !take_month(&at, end, &month) ||
	    !take_char(&at, end, '-') || !take_digits(&at, end, 4, 9999, &year) ||
	    !take_char(&at, end, ' ') || !take_digits(&at, end, 2, 23, &hour) ||
	    !take_char(&at, end, ':') || !take_digits(&at, end, 2, 59, &minute) ||
	    !take_char(&at, end, ':') || !take_digits(&at, end, 2, 60, &second))
		return FALSE;
	if (at < end && *at != ' ' && *at != '+' && *at != '-')
		return FALSE;
	while (at < end && *at == ' ')
		at++;
	if (year < 1900 || !is_day(day, month, year) || !read_zone(at, end, &zone))
		return FALSE;
	/* A leap second is the first of the next minute. */
	*out = days_since_1970(day, month, year) * 86400 + hour * 3600 + minute * 60 + second -
	       zone;
	return TRUE;
}
