/* SPDX-License-Identifier: MIT */
/* Config: what the user wants of one account, from the command line, the config file and defaults,
 * as one checked value. One table in config.c names every option; parsing, --help and the check of
 * the man page all read it. Options are the same words after -o, as --long-options and in the file;
 * `_` and `-` in a name are the same. The command line wins over the file's [account NAME] group,
 * which wins over the defaults. */
#pragma once

#include <gio/gio.h>

#include "proto/backend.h"

G_BEGIN_DECLS

typedef enum {
	CONFIG_IMAP,
	CONFIG_POP3,
} ConfigKind;

typedef enum {
	CONFIG_NAMES_SUBJECT,
	CONFIG_NAMES_UID,
} ConfigNames;

typedef enum {
	CONFIG_LAYOUT_PLAIN,
	CONFIG_LAYOUT_MAILDIR, /* never in a loaded Config: refused in this version */
} ConfigLayout;

typedef enum {
	CONFIG_DELETE_TRASH,
	CONFIG_DELETE_EXPUNGE,
	CONFIG_DELETE_MARK,
} ConfigDelete;

typedef enum {
	CONFIG_SAVE_SENT_AUTO,
	CONFIG_SAVE_SENT_YES,
	CONFIG_SAVE_SENT_NO,
} ConfigSaveSent;

typedef enum {
	CONFIG_KEEP_AUTO, /* in a loaded Config: yes or no */
	CONFIG_KEEP_YES,
	CONFIG_KEEP_NO,
} ConfigKeep;

/* One server to talk to: what a URL or discovery says. */
typedef struct {
	char *host; /* a name or an address, without brackets; NULL: no such server */
	guint16 port;
	TlsMode tls;
	char *user; /* percent-decoded; NULL: not said */
} ConfigServer;

typedef struct {
	char *account;	/* the name of its directories: "work", "alice@example.org",
			   "alice@host:1143"; no '/', never "." or ".." */
	char *identity; /* who and where, the same for the same mailboxes:
			   "imap://alice@mail.example.org:993" */

	char *address; /* the user's own, "local@domain": said, or else SOURCE, the account's name
			  or the login where they are one, or else the login at the server; NULL:
			  not known, and smtp.host is NULL */

	ConfigKind kind;
	ConfigServer server; /* host, port, tls and user are always there */
	gboolean discovered; /* DNS named the server */
	AuthMechanism auth;
	char *password_command; /* NULL: none; the same for all strings below */
	char *token_command;
	char *password; /* from the file; secrets_new() takes it away; wiped by config_free() */
	char *tls_ca;	/* absolute path */
	char *tls_fingerprint;
	gboolean insecure_plaintext;

	guint connections;  /* sessions at most, 1..32 */
	guint timeout;	    /* seconds, every network wait */
	guint dir_time;	    /* seconds */
	char *cache_dir;    /* absolute, ends in the account's own directory; not created here */
	guint64 cache_size; /* bytes, never 0 */

	char *authserv_id; /* NULL: none is believed */
	ConfigNames names;
	ConfigLayout layout;
	GStrv folders; /* globs on the shown path ("INBOX", "Work*"); NULL: all */
	gboolean subscribed;

	gboolean ro;
	guint pop_keep; /* POP3: days until a message that is here is deleted there; 0: for ever */
	ConfigKeep keep;
	ConfigDelete delete_mode;
	guint delete_limit; /* removals a minute; 0: no guard */
	gboolean allow_other;
	guint uid, gid;		 /* owner of all files; those of this process unless given */
	guint umask;		 /* 077 unless given */
	GPtrArray *fuse_options; /* of char *, "max_read=65536": for libfuse as they are; ro,
				    allow_other not among them */

	ConfigServer smtp; /* host NULL: none */
	char *smtp_password_command;
	char *outbox; /* NULL: there is none */
	guint hold;   /* seconds */
	ConfigSaveSent save_sent;
	guint rate;	  /* mails an hour; 0: no bound */
	guint send_limit; /* mails a day; 0: no bound */
	GStrv send_to;	  /* globs on addresses; NULL: anybody */
} Config;

/**
 * config_load:
 * @source: account of the file, address, or URL
 * @options: (nullable): char *, "name=value" or "name", in the order given; later ones win
 * @config_path: (nullable): the file; NULL: `config=FILE` of @options, else
 * $XDG_CONFIG_HOME/mailfs/config, which may be absent
 *
 * For an address this asks DNS (blocks, at most `timeout`; starts GLib threads: fork before, not
 * after), and when DNS cannot be reached it takes what config_remember() wrote. It may ask on the
 * terminal whether a server outside the address's domain is right.
 *
 * Errors: MAILFS_ERROR_USAGE (unknown option, with the nearest known one; a bad value on the
 * command line; a password in a URL or an option), CONFIG (the file: unsafe, malformed, unknown
 * key, bad value; no such account; plain text to a host that is no loopback), HOST_UNKNOWN (no
 * server found for an address; the text says what was tried), TIMEOUT.
 *
 * Returns: (transfer full)
 */
Config *config_load(const char *source, const GPtrArray *options, const char *config_path,
		    GCancellable *cancel, GError **error);
void config_free(Config *config); /* wipes the password; NULL is fine */

/* The account that a message by @sender (NULL: nobody knows) is sent by: the first of the file that
 * has smtp= and this address, else the first that has smtp=. Asks no network. @options: as above,
 * only `config=FILE` matters. Errors: CONFIG: the file cannot be read, or no account of it can
 * send. (transfer full) */
char *config_sending_account(const char *sender, const GPtrArray *options, GError **error);

/* Keeps what discovery found, in cache_dir (which exists by now), so that an address can be mounted
 * while DNS is away. To be called after a login. Nothing to do for other sources. Failing is
 * harmless and only logged (g_debug). */
void config_remember(const Config *config);

/* Splits the argument of -o at its commas and appends the parts to @options (of char *, with
 * g_free). `\,` is a comma, `\\` a backslash. */
void config_split_options(const char *argument, GPtrArray *options);

typedef enum {
	CONFIG_OPTION_UNKNOWN,
	CONFIG_OPTION_FLAG,	  /* --ro */
	CONFIG_OPTION_WITH_VALUE, /* --timeout=5, --timeout 5 */
} ConfigOption;
ConfigOption config_option_kind(const char *name); /* without the dashes in front */

char *
config_option_help(void); /* the lines for --help, aligned, each ends in \n. (transfer full) */
GStrv
config_option_names(void); /* all but the words of mount(8) that are ignored. (transfer full) */

/* The pure parts, for tests and the fuzzer. */

/* One URL: imaps, imap, pop3s, pop3 (and smtps, smtp when @smtp). Errors: MAILFS_ERROR_USAGE. */
gboolean config_parse_url(const char *url, gboolean smtp, ConfigKind *kind_out,
			  ConfigServer *server_out, GError **error);
void config_server_clear(ConfigServer *server);

/* config_load() on the bytes of a file (NULL: no file) instead of a path, without a permission
 * check. @name: for the error texts. An address needs `source` to be a URL in its group: nothing
 * here asks the network. The password in @data is overwritten. */
Config *config_load_data(const char *source, const GPtrArray *options, char *data, gsize len,
			 const char *name, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ConfigServer, config_server_clear)

G_END_DECLS
