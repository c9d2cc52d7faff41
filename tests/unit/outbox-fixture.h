/* SPDX-License-Identifier: MIT */
/* An outbox on a fake server, and a line to a relay that answers what a test wants. */
#pragma once

#include "mail/outbox.h"
#include "uploads-fixture.h"

/* Where a life may end. */
typedef enum {
	AT_NO_TIME,
	AT_ENVELOPE, /* the relay has been told of the message */
	AT_DOT,	     /* before() has allowed its end */
	AT_ANSWER,   /* the relay has it, and nobody has heard */
	AT_VERDICT,  /* it was heard */
	N_MOMENTS,
} Moment;

typedef struct {
	Fixture base;
	Outbox *outbox;
	OutboxConfig config;
	gboolean keeps_cache, owns_spool; /* of the next life */
	gboolean has_sent;		  /* the server has that mailbox */

	GMutex lock;	      /* guards all below */
	GQueue answers;	      /* of static text: "550 5.1.1 no", "lost", "cut"; none: "250 ok" */
	const char *closed;   /* why no line can be had; NULL: one can */
	int closed_code;      /* MailfsError */
	guint opened, alive;  /* lines */
	GPtrArray *delivered; /* of char *: "sender>recipient,recipient\n" and the bytes */
	Moment ends_at;
	char *state, *cache; /* as they were at that moment; NULL: not yet */
} OutboxFixture;

static SmtpLimits relay_limits = {
	.size = 0, .eight_bit = TRUE, .smtputf8 = TRUE, .pipelining = TRUE};

/* TRUE: this was the last moment; nothing that happens later is seen by anybody. */
static inline gboolean
is_over_at(OutboxFixture *fixture, Moment moment)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	if (fixture->ends_at == moment && fixture->state == NULL) {
		fixture->state = fake_directory_copy(fixture->base.state);
		fixture->cache = fake_directory_copy(fixture->base.cache);
	}
	return fixture->state != NULL;
}

static inline gpointer
relay_open(gpointer user, GCancellable *cancel, SmtpReply **refusal_out, GError **error)
{
	OutboxFixture *fixture = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	fixture->opened++;
	if (fixture->closed == NULL)
		return fixture;
	g_set_error_literal(error, MAILFS_ERROR, fixture->closed_code, fixture->closed);
	return NULL;
}

static inline const SmtpLimits *
relay_offers(gpointer line)
{
	return &relay_limits;
}

static inline gboolean
relay_is_alive(gpointer line)
{
	return TRUE;
}

static inline void
relay_close(gpointer line, guint timeout_ms)
{
}

static inline const char *
next_answer(OutboxFixture *fixture)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);
	const char *answer = g_queue_pop_head(&fixture->answers);

	return answer != NULL ? answer : "250 ok";
}

static inline void
deliver(OutboxFixture *fixture, const SmtpMessage *message)
{
	g_autofree char *all = g_strjoinv(",", (char **)message->recipients);
	g_autofree char *bytes = g_malloc0(message->size + 1);

	g_assert_cmpint(pread(message->fd, bytes, message->size, 0), ==, (gssize)message->size);
	g_mutex_lock(&fixture->lock);
	g_ptr_array_add(fixture->delivered,
			g_strdup_printf("%s>%s\n%s", message->sender, all, bytes));
	g_mutex_unlock(&fixture->lock);
}

static inline gboolean
answer_reply(const SmtpEvents *events, gpointer user, const SmtpMessage *message,
	     const char *answer, SmtpStage stage)
{
	int code = (int)g_ascii_strtoull(answer, NULL, 10);
	g_auto(GStrv) words = g_strsplit(answer, " ", 3);
	gboolean enhanced = g_strv_length(words) == 3 && g_ascii_isdigit(words[1][0]);
	SmtpReply reply = {.stage = stage, .code = code};

	reply.enhanced = enhanced ? words[1] : NULL;
	reply.text = enhanced ? words[2] : (char *)answer + 4;
	return events->verdict(user, message,
			       code < 300   ? SMTP_SENT
			       : code < 500 ? SMTP_LATER
					    : SMTP_REFUSED,
			       &reply, NULL);
}

/* FALSE: the line is lost. */
static inline gboolean
relay_one(OutboxFixture *fixture, const SmtpEvents *events, gpointer user,
	  const SmtpMessage *message, gboolean *goes_on, GError **error)
{
	const char *answer = next_answer(fixture);
	g_autoptr(GError) why = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_OFFLINE, "cut");

	if (is_over_at(fixture, AT_ENVELOPE) || strcmp(answer, "cut") == 0) {
		events->verdict(user, message, SMTP_UNTOUCHED, NULL, why);
		g_propagate_error(error, g_steal_pointer(&why));
		return FALSE;
	}
	if (g_str_has_prefix(answer, "421")) {
		answer_reply(events, user, message, answer, SMTP_STAGE_MAIL);
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_LIMIT, answer);
		return FALSE;
	}
	if (strcmp(answer, "big") == 0) {
		g_autoptr(GError) big =
			g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_TOO_BIG, "too big");

		*goes_on = events->verdict(user, message, SMTP_UNSENDABLE, NULL, big);
		return TRUE;
	}
	if (*answer == '5' || *answer == '4') {
		*goes_on = answer_reply(events, user, message, answer,
					g_str_has_suffix(answer, "@end") ? SMTP_STAGE_END
									 : SMTP_STAGE_RCPT);
		return TRUE;
	}
	if (!events->before(user, message)) {
		*goes_on = events->verdict(user, message, SMTP_UNTOUCHED, NULL, NULL);
		return TRUE;
	}
	if (!is_over_at(fixture, AT_DOT) && strcmp(answer, "lost") != 0)
		deliver(fixture, message);
	if (is_over_at(fixture, AT_ANSWER) || strcmp(answer, "lost") == 0) {
		events->verdict(user, message, SMTP_UNKNOWN, NULL, why);
		g_propagate_error(error, g_steal_pointer(&why));
		return FALSE;
	}
	*goes_on = answer_reply(events, user, message, answer, SMTP_STAGE_END);
	return !is_over_at(fixture, AT_VERDICT) || *goes_on;
}

/* Asks for the next message before the verdict on the one before, as a line with PIPELINING. */
static inline gboolean
relay_submit(gpointer line, const SmtpEvents *events, gpointer user, GCancellable *cancel,
	     GError **error)
{
	OutboxFixture *fixture = line;
	const SmtpMessage *message = events->next(user);
	gboolean goes_on = TRUE;

	while (message != NULL) {
		const SmtpMessage *following = events->next(user);

		if (!relay_one(fixture, events, user, message, &goes_on, error)) {
			if (following != NULL)
				events->verdict(user, following, SMTP_UNTOUCHED, NULL, *error);
			return FALSE;
		}
		if (!goes_on && following != NULL) {
			events->verdict(user, following, SMTP_UNTOUCHED, NULL, NULL);
			break;
		}
		message = following;
	}
	return TRUE;
}

static const OutboxLine relay = {
	.open = relay_open,
	.limits = relay_offers,
	.is_alive = relay_is_alive,
	.submit = relay_submit,
	.close = relay_close,
};

/* --- lives --- */

static inline void
on_made(Fixture *base)
{
	OutboxFixture *fixture = (OutboxFixture *)base;

	if (fixture->has_sent)
		fake_server_mailbox_full(base->server, "Sent", '/', MAILBOX_SENT, "");
	g_assert_true(outbox_add_directories(base->account, "Outbox"));
}

static inline void
on_begun(Fixture *base)
{
	OutboxFixture *fixture = (OutboxFixture *)base;
	g_autoptr(GError) error = NULL;

	if (fixture->owns_spool)
		g_assert_true(spool_own(base->spool, &error));
	fixture->config.ledger_dir = base->cache;
	fixture->outbox = outbox_new(base->account, base->uploads, &fixture->config, &error);
	g_assert_no_error(error);
}

static inline void
on_ends(Fixture *base)
{
	outbox_stop(((OutboxFixture *)base)->outbox);
}

static inline void
on_ended(Fixture *base)
{
	g_clear_pointer(&((OutboxFixture *)base)->outbox, outbox_free);
}

static const Life outbox_life = {on_made, on_begun, on_ends, on_ended};

static inline void
outbox_setup(OutboxFixture *fixture, gconstpointer data)
{
	g_mutex_init(&fixture->lock);
	g_queue_init(&fixture->answers);
	fixture->delivered = g_ptr_array_new_with_free_func(g_free);
	fixture->has_sent = TRUE;
	fixture->config = (OutboxConfig){
		.address = "alice@example.org",
		.save = OUTBOX_SAVE_YES,
		.line = &relay,
		.line_user = fixture,
	};
	fixture->base.life = &outbox_life;
	setup(&fixture->base, data);
}

static inline void
outbox_teardown(OutboxFixture *fixture, gconstpointer data)
{
	teardown(&fixture->base, data);
	g_ptr_array_unref(fixture->delivered);
	g_queue_clear(&fixture->answers);
	g_mutex_clear(&fixture->lock);
}

/* The next life begins with these. Takes them. @cache NULL: it was lost. */
static inline void
begin_again(OutboxFixture *fixture, char *state, char *cache, gboolean crashed)
{
	Fixture *base = &fixture->base;

	fake_directory_remove(base->state);
	fake_directory_remove(base->cache);
	base->state = state;
	base->cache = cache != NULL ? cache : fake_directory();
	/* A machine that comes up again has the same file; this one has a copy of it. */
	fixture->owns_spool = crashed;
	enter(base);
	fixture->owns_spool = FALSE;
}

/* --- looking --- */

#define LETTER                                                                                     \
	"To: bob@example.org\nBcc: carol@example.org\nSubject: x\nMessage-ID: <x@test>\n\nText.\n"

static inline guint
n_delivered(OutboxFixture *fixture)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fixture->lock);

	return fixture->delivered->len;
}

static inline Mailbox *
outbox_of(OutboxFixture *fixture)
{
	return outbox_directory(fixture->base.account);
}

static inline Mailbox *
failed_of(OutboxFixture *fixture)
{
	return outbox_failed_directory(fixture->base.account);
}

static inline gint
compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a directory, sorted, with blanks between. (transfer full) */
static inline char *
names_in(OutboxFixture *fixture, Mailbox *mailbox)
{
	g_autoptr(GPtrArray) uploads = uploads_of(fixture->base.uploads, mailbox, 0);
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

	for (guint i = 0; i < uploads->len; i++)
		g_ptr_array_add(names, upload_name(uploads->pdata[i]));
	g_ptr_array_sort(names, compare_names);
	g_ptr_array_add(names, NULL);
	return g_strjoinv(" ", (char **)names->pdata);
}

static inline gboolean
holds(OutboxFixture *fixture, Mailbox *mailbox, const char *names)
{
	g_autofree char *found = names_in(fixture, mailbox);

	return strcmp(found, names) == 0;
}

static inline gboolean
has_status(OutboxFixture *fixture, Mailbox *mailbox, const char *name, const char *text)
{
	Upload *upload = uploads_find(fixture->base.uploads, mailbox, name);
	g_autofree char *status = upload != NULL ? upload_status(upload) : g_strdup("");

	upload_unref(upload);
	return strstr(status, text) != NULL;
}

/* As cp does it. */
static inline void
write_letter(OutboxFixture *fixture, const char *name, const char *text)
{
	upload_unref(put(&fixture->base, outbox_of(fixture), name, text));
}

static inline char *
bytes_in(OutboxFixture *fixture, Mailbox *mailbox, const char *name)
{
	Upload *upload = uploads_find(fixture->base.uploads, mailbox, name);
	char *text = g_malloc0(65536);

	g_assert_nonnull(upload);
	g_assert_cmpint(pread(upload_fd(upload), text, 65535, 0), >, 0);
	upload_unref(upload);
	return text;
}
