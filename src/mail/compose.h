/* SPDX-License-Identifier: MIT */
/* Compose: from the file that somebody wrote to what is sent: who gets it, which bytes go out, and
 * which are kept in Sent. Pure functions on descriptors (read with pread() from their beginning,
 * their position left alone); in pieces, so that the size of a message does not matter; no network.
 *
 * The way of a file through the Outbox: compose_read() says whether it can be sent at all, and to
 * whom. compose_complete() then makes the file that is kept: CRLF line ends, and the Date,
 * Message-ID, MIME-Version and From that were missing, with the Bcc still there. It is stored
 * before the first attempt, so that every attempt has the same Message-ID. compose_wire() and
 * compose_sent() make of that file what the server gets and what goes to Sent. Reading a completed
 * file gives the same recipients again and finds nothing missing.
 *
 * A message that is sent to others than its header says (`mailfs send` with recipients on the
 * command line) begins with X-Mailfs-Sender, X-Mailfs-Recipients and X-Mailfs-Notify, which hold
 * the envelope. They count only in front of all other fields, where no message that came by mail
 * has them, and leave neither for the server nor for Sent. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define COMPOSE_RECIPIENTS_MAX 1000 /* of one message */
#define COMPOSE_LINE_MAX       998  /* octets without the line end: RFC 5322 2.1.1 */

/* All strings are borrowed. */
typedef struct {
	const char *address; /* the account's own: envelope sender, added From. Never NULL */
	const char *name;    /* beside it in an added From, UTF-8; NULL: none */
	const char *host;    /* right of the @ in an added Message-ID; NULL: that of @address */
	const char *unique;  /* left of it; NULL: random. For tests */
	GDateTime *now;	     /* of an added Date, with its offset; NULL: now, here */

	/* The envelope instead of what the file says (NULL: what it says); written into the
	 * completed file. */
	const char *sender;	       /* "": the null sender of RFC 5321 4.5.5 */
	const char *const *recipients; /* NULL-terminated, "local@domain" */
	/* What the sender wants to hear of it (RFC 3461), as in SmtpMessage: all three take the
	 * place of what the file says when one of them is not NULL. */
	const char *notify, *return_what, *envelope_id;
} ComposeOptions;

typedef struct {
	char *sender;	  /* of the envelope: "local@domain", "" for the null sender */
	GStrv recipients; /* at least one, no duplicates, in the header's order; domains in
			     A-labels, local parts quoted as they must be: fit for RCPT TO:<…> */
	char *notify, *return_what, *envelope_id; /* of ComposeOptions; NULL: nothing was said */
	gboolean smtputf8; /* RFC 6531: an address, or the header for the wire, is not ASCII */
	guint64 size;	   /* octets of the file that was read, whatever its line ends are */
	guint32 crc;	   /* checksum() of it */
	char *message_id;  /* with its < >; NULL: missing, compose_complete() adds one */
	/* The field that tells this sending from others: "Message-ID", or "Resent-Message-ID" where
	 * the message is sent on (RFC 5322 3.6.6). `message_id` is its value. */
	const char *id_field;
	gboolean at_once;     /* it begins with an envelope: `mailfs send` wrote it, and it is not
				 to be held */
	gboolean is_complete; /* the file is as compose_complete() would write it */
	gboolean is_wire;     /* compose_wire() would copy it unchanged: the file itself can be
				 submitted, when it is complete */
	gboolean is_sent;     /* the same for compose_sent() */
} Composed;

/**
 * compose_read:
 * @fd: the whole message
 *
 * Recipients are To, Cc and Bcc, all of them; of a message that is sent on (Resent- fields, not
 * below a Received) Resent-To, Resent-Cc and Resent-Bcc alone.
 *
 * Errors, MAILFS_ERROR: NO_RECIPIENT; INVALID: no message, a NUL, a CR without LF, a header beyond
 * 1 MiB, a line of more than COMPOSE_LINE_MAX, an address that is none (the text says in which
 * field, and which part), more than COMPOSE_RECIPIENTS_MAX recipients. G_FILE_ERROR.
 *
 * Returns: (transfer full)
 */
Composed *compose_read(int fd, const ComposeOptions *options, GError **error);
void composed_free(Composed *composed); /* NULL is fine */

/* What was written somewhere. */
typedef struct {
	guint64 size;
	guint32 crc; /* checksum() of it */
} ComposeWritten;

/* Writes the file to be kept into @out (empty, read and write). @in is what compose_read() took;
 * what is missing is added on top. Errors: as compose_read(); G_FILE_ERROR (ENOSPC …). */
gboolean compose_complete(int in, int out, const ComposeOptions *options,
			  ComposeWritten *written_out, GError **error);

/* Both take a completed file, and write into @out (empty): the first without Bcc, Resent-Bcc and
 * the envelope, for the server; the second without the envelope, for Sent. Errors: G_FILE_ERROR. */
gboolean compose_wire(int in, int out, ComposeWritten *written_out, GError **error);
gboolean compose_sent(int in, int out, ComposeWritten *written_out, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Composed, composed_free)

G_END_DECLS
