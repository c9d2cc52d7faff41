/* SPDX-License-Identifier: MIT */
/* FakeServer: a mail server in memory, and the third kind of Backend, which reads it. What a real
 * server does to the floors above is done here by turning knobs: refusing, stalling, hanging up,
 * withholding, lying, renumbering. Its lines are real sockets on loopback, so that wire_wait() has
 * something to wait for. Thread-safe. */
#pragma once

#include "proto/backend.h"
#include "proto/pool.h"

G_BEGIN_DECLS

typedef struct FakeServer FakeServer;

FakeServer *fake_server_new(void);
void fake_server_free(FakeServer *server); /* after all pools */

/* For pool_new(): the config finds the server. Timeout 2 s; to be altered only before the pool is
 * made. */
BackendConfig *fake_server_config(FakeServer *server);
Backend *fake_backend_new(const BackendConfig *config, const BackendNews *news, gpointer user);

/* --- what it holds --- */

void fake_server_mailbox(FakeServer *server, const char *name); /* separator '/', no attributes */
void fake_server_mailbox_full(FakeServer *server, const char *name, char separator,
			      guint attributes, const char *prefix);
void fake_server_remove_mailbox(FakeServer *server, const char *name);
gboolean fake_server_has(FakeServer *server, const char *name);

/* A message with the usual headers; no two have the same name. Returns its UID. */
guint32 fake_server_add(FakeServer *server, const char *mailbox, const char *subject,
			const char *text);
guint32 fake_server_add_raw(FakeServer *server, const char *mailbox, const char *raw, gint64 date);
void fake_server_fill(FakeServer *server, const char *mailbox,
		      guint n); /* n messages "Message 1" … */
void fake_server_expunge(FakeServer *server, const char *mailbox, guint32 first, guint32 last);
void fake_server_flag(FakeServer *server, const char *mailbox, guint32 uid, guint32 flags,
		      const char *keywords);
void fake_server_claim_size(FakeServer *server, const char *mailbox, guint32 uid, guint64 size);
/* A new UIDVALIDITY: the same messages, numbered from 1 on in the opposite order. */
void fake_server_renumber(FakeServer *server, const char *mailbox);
/* "uid flags keywords\n" of each message. (transfer full) */
char *fake_server_listing(FakeServer *server, const char *mailbox);
guint fake_server_count(FakeServer *server, const char *mailbox); /* messages */
GBytes *fake_server_body(FakeServer *server, const char *mailbox,
			 guint32 uid); /* (transfer full) */

typedef enum {
	FAKE_SOUND,
	FAKE_WITHHELD, /* asked for and not answered */
	FAKE_SHORT,    /* half of it comes, then body_done with an error */
	FAKE_CUT,      /* half of it comes, then the line is cut */
	FAKE_NO_PARTS, /* parts are refused, the whole is not */
	FAKE_LATE_UID, /* whose octets they are is told after them */
} FakeBody;
/* The next @times fetches of this body go so. */
void fake_server_spoil(FakeServer *server, const char *mailbox, guint32 uid, FakeBody how,
		       guint times);

/* --- how it behaves --- */

typedef enum {
	FAKE_LOSE_NOTHING,
	FAKE_LOSE_BEFORE, /* the line is cut, and nothing is done */
	FAKE_LOSE_AFTER,  /* it is done, and nothing of it is told */
	FAKE_LOSE_MIDWAY, /* MOVE has copied and not removed, and nothing of it is told */
	FAKE_LOSE_REST,	  /* MOVE has copied, has told so, and was not asked to remove */
} FakeLoss;

typedef struct {
	int login_code;		/* MailfsError that every login ends with; -1: it succeeds */
	guint login_delay_ms;	/* honours cancellation */
	guint max_lines;	/* more logins fail with LIMIT; 0: no bound */
	gboolean drop_at_login; /* the line is cut right after a successful login */
	int drop_after; /* events (a message, a flag, a piece of a body, …) until the line is cut,
			   once; -1: never */
	guint delay_us; /* before each event */
	gboolean stall; /* nothing is answered; the line's tick fails with TIMEOUT after the
			   config's timeout */
	gboolean mute;	/* nothing is answered, and the line does not notice */
	gboolean qresync;    /* vanished and changed flags only; else: all flags and present */
	gboolean descending; /* listings come newest first */
	gboolean forgetful;  /* nothing tells of what was expunged but the count */
	guint batch;	     /* messages between two batch events */
	guint window;	     /* requests under way on one line */
	guint32 late_flags;  /* this message's flags are told again, with \Flagged, right after it
				was listed */
	int change_code;     /* MailfsError that every change is refused with; -1: it is done */
	FakeLoss lose;	     /* the next change, once */
	gboolean no_copyuid; /* COPY, MOVE and APPEND do not tell the new UIDs */
	gboolean no_uidplus; /* what is to be removed is marked and stays */
	guint32 merged_uid;  /* APPEND stores nothing, and says it is this one; 0: it stores */
	guint32 other_validity; /* what COPYUID says of the target; 0: the truth */
	gboolean no_keywords;	/* the mailboxes keep none */
	gboolean hold_folders;	/* CREATE, DELETE and RENAME are done at once, and answered later */
	guint64 quota_used, quota_limit; /* limit 0: no quota */
	gboolean idle;	       /* lines made from now on tell of the mailbox they have selected */
	gboolean notify;       /* the same of all mailboxes, when they are asked to */
	const char *told_name; /* what is told unasked is told of a mailbox of this name; NULL: its
				  own */
	gboolean deaf;	       /* no sign of life is given when a line is probed */
} FakeKnobs;

FakeKnobs *fake_server_lock(FakeServer *server);
void fake_server_unlock(FakeServer *server); /* lines look again */
#define FAKE_SET(server, knob, value)                                                              \
	G_STMT_START                                                                               \
	{                                                                                          \
		fake_server_lock(server)->knob = (value);                                          \
		fake_server_unlock(server);                                                        \
	}                                                                                          \
	G_STMT_END

void fake_server_drop_lines(FakeServer *server); /* hangs up on all */
void fake_server_notify(FakeServer *server,
			const char *mailbox); /* lines that have it selected tell `changed`, those
						 that notify its numbers */
void fake_server_folders(FakeServer *server); /* lines that notify tell `folders` */
void fake_server_alert(FakeServer *server, const char *text); /* borrowed until told */

typedef struct {
	guint logins; /* tried */
	guint lines, most_lines;
	guint logouts;
	guint selects; /* a line went to another mailbox */
	guint requests[REQUEST_APPEND + 1];
	guint bodies;	/* or parts, sent whole */
	guint64 octets; /* of bodies */
	guint changed;	/* messages that COPY, MOVE, EXPUNGE and STORE were asked for */
	guint messages; /* listed */
	guint flags;	/* told */
	guint probes;
	guint statuses; /* mailboxes whose numbers were asked for */
} FakeCounts;
FakeCounts fake_server_counts(FakeServer *server);
guint fake_server_asked(FakeServer *server, const char *mailbox,
			guint32 uid); /* how often this body was asked for */

/* --- what tests of these floors share --- */

char *fake_directory(void);		     /* an empty temporary one. (transfer full) */
char *fake_directory_copy(const char *path); /* another with the same in it. (transfer full) */
void fake_directory_remove(char *path);	     /* with all that is in it; frees the text */
PoolHealth fake_health(Pool *pool);

/* Polls until @condition holds; fails the test after 10 s. */
#define FAKE_WAIT(condition)                                                                       \
	G_STMT_START                                                                               \
	{                                                                                          \
		gint64 wait_end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;                    \
		while (!(condition) && g_get_monotonic_time() < wait_end)                          \
			g_usleep(1000);                                                            \
		g_assert_true(condition);                                                          \
	}                                                                                          \
	G_STMT_END

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeServer, fake_server_free)

G_END_DECLS
