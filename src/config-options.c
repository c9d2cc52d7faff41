/* SPDX-License-Identifier: MIT */
/* One row an option: its name, how its value is read and where it goes, and what --help says.
 * Nothing else in the program knows a name. */
#include "config-options.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "base/error.h"
#include "base/util.h"
#include "mail/address.h"

typedef enum {
	KIND_FLAG,
	KIND_NUMBER,
	KIND_SIZE,
	KIND_TEXT,
	KIND_SECRET_TEXT, /* never shown in an error */
	KIND_PATH,
	KIND_WORD, /* one of words[], stored as its index */
	KIND_SPECIAL,
} OptionKind;

typedef enum {
	ONLY_NOTHING,
	ONLY_FILE,
	ONLY_COMMAND_LINE,
} OptionOnly;

typedef struct {
	const char *name;
	OptionKind kind;
	gsize offset; /* in Config, or in ConfigExtra */
	gboolean extra;
	OptionOnly only;
	guint min, max;
	const char *const *words;
	gboolean (*set)(Config *config, ConfigExtra *extra, const char *value, GError **error);
	const char *argument; /* for --help; NULL: a flag */
	const char *help;
} Option;

/* In the order of the enums. */
static const char *const auth_words[] = {"auto",     "plain",	      "login",
					 "cram-md5", "scram-sha-256", "gssapi",
					 "xoauth2",  "oauthbearer",   NULL};
static const char *const names_words[] = {"subject", "uid", NULL};
static const char *const delete_words[] = {"trash", "expunge", "mark", NULL};
static const char *const keep_words[] = {"auto", "yes", "no", NULL};
static const char *const save_sent_words[] = {"auto", "yes", "no", NULL};

G_STATIC_ASSERT(G_N_ELEMENTS(auth_words) == AUTH_OAUTHBEARER + 2);
G_STATIC_ASSERT(G_N_ELEMENTS(names_words) == CONFIG_NAMES_UID + 2);
G_STATIC_ASSERT(G_N_ELEMENTS(delete_words) == CONFIG_DELETE_MARK + 2);
G_STATIC_ASSERT(G_N_ELEMENTS(keep_words) == CONFIG_KEEP_NO + 2);
G_STATIC_ASSERT(G_N_ELEMENTS(save_sent_words) == CONFIG_SAVE_SENT_NO + 2);

static gboolean
bad_value(GError **error, const char *why)
{
	g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, why);
	return FALSE;
}

static gboolean
parse_number(const char *text, guint base, guint64 min, guint64 max, guint64 *out, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (g_ascii_string_to_unsigned(text, base, min, max, out, &why))
		return TRUE;
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
		    base == 8 ? "must be an octal number of %03" G_GINT64_MODIFIER
				"o to %03" G_GINT64_MODIFIER "o"
			      : "must be a whole number of %" G_GUINT64_FORMAT
				" to %" G_GUINT64_FORMAT,
		    min, max);
	return FALSE;
}

static gboolean
set_tls(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	if (!g_str_equal(value, "on") && !g_str_equal(value, "none"))
		return bad_value(error, "must be on or none");
	extra->tls_none = g_str_equal(value, "none");
	return TRUE;
}

static gboolean
set_fingerprint(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	guint digits = 0;
	gboolean good = g_ascii_strncasecmp(value, "sha256:", 7) == 0;

	for (const char *p = value + (good ? 7 : 0); *p != '\0' && good; p++) {
		digits += g_ascii_isxdigit(*p) ? 1 : 0;
		good = g_ascii_isxdigit(*p) || (*p == ':' && digits > 0 && digits % 2 == 0);
	}
	if (!good || digits != 64)
		return bad_value(error, "must be sha256: and 64 hexadecimal digits");
	g_free(config->tls_fingerprint);
	config->tls_fingerprint = g_strdup(value);
	return TRUE;
}

static gboolean
set_smtp(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	g_auto(ConfigServer) server = {0};

	if (*value != '\0' && !config_parse_url(value, TRUE, NULL, &server, error))
		return FALSE;
	config_server_clear(&config->smtp);
	config->smtp = server;
	server = (ConfigServer){0};
	return TRUE;
}

static gboolean
set_layout(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	if (g_str_equal(value, "maildir"))
		return bad_value(error, "is not in this version of mailfs: only layout=plain is");
	if (!g_str_equal(value, "plain"))
		return bad_value(error, "must be plain or maildir");
	config->layout = CONFIG_LAYOUT_PLAIN;
	return TRUE;
}

/* Globs between blanks; "…" and '…' hold blanks, a backslash takes the next character as it is. */
static gboolean
add_globs(GStrv *field, const char *value, GError **error)
{
	g_autoptr(GStrvBuilder) globs = g_strv_builder_new();
	g_autoptr(GString) glob = g_string_new(NULL);
	gboolean inside = FALSE;
	char quote = '\0';

	if (*field != NULL)
		g_strv_builder_addv(globs, (const char **)*field);
	for (const char *p = value;; p++) {
		gboolean blank = *p == '\0' || (quote == '\0' && (*p == ' ' || *p == '\t'));

		if (blank && inside)
			g_strv_builder_add(globs, glob->str);
		if (blank)
			g_string_truncate(glob, 0);
		if (*p == '\0')
			break;
		inside = !blank;
		if (blank)
			continue;
		if (quote != '\0' ? *p == quote : *p == '"' || *p == '\'')
			quote = quote != '\0' ? '\0' : *p;
		else if (*p == '\\' && p[1] != '\0')
			g_string_append_c(glob, *++p);
		else
			g_string_append_c(glob, *p);
	}
	if (quote != '\0')
		return bad_value(error, "has a quotation mark that is not closed");
	g_strfreev(*field);
	*field = g_strv_builder_end(globs);
	if (**field == NULL)
		g_clear_pointer(field, g_strfreev);
	return TRUE;
}

static gboolean
set_folders(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	return add_globs(&config->folders, value, error);
}

static gboolean
set_send_to(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	return add_globs(&config->send_to, value, error);
}

static gboolean
set_send_limit(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	g_autofree char *digits = g_strdup(value);
	guint64 limit;

	if (g_str_has_suffix(digits, "/day"))
		digits[strlen(digits) - strlen("/day")] = '\0';
	if (!parse_number(digits, 10, 1, 1000000, &limit, error))
		return FALSE;
	config->send_limit = limit;
	return TRUE;
}

static gboolean
set_uid(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	const struct passwd *user = g_ascii_isdigit(*value) ? NULL : getpwnam(value);
	guint64 number = 0;

	if (user != NULL)
		number = user->pw_uid;
	else if (!g_ascii_isdigit(*value))
		return bad_value(error, "is no user of this machine");
	else if (!parse_number(value, 10, 0, G_MAXUINT32 - 1, &number, error))
		return FALSE;
	config->uid = number;
	return TRUE;
}

static gboolean
set_gid(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	const struct group *group = g_ascii_isdigit(*value) ? NULL : getgrnam(value);
	guint64 number = 0;

	if (group != NULL)
		number = group->gr_gid;
	else if (!g_ascii_isdigit(*value))
		return bad_value(error, "is no group of this machine");
	else if (!parse_number(value, 10, 0, G_MAXUINT32 - 1, &number, error))
		return FALSE;
	config->gid = number;
	return TRUE;
}

static gboolean
set_umask(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	guint64 mask;

	if (!parse_number(value, 8, 0, 0777, &mask, error))
		return FALSE;
	config->umask = mask;
	return TRUE;
}

static gboolean
set_address(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	g_autoptr(GError) why = NULL;
	char *address = address_parse(value, &why);

	if (address == NULL)
		return bad_value(error, why->message);
	g_free(config->address);
	config->address = address;
	return TRUE;
}

static gboolean
set_outbox(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	if (*value == '\0' || *value == '.' || strchr(value, '/') != NULL || strlen(value) > 255 ||
	    g_ascii_strcasecmp(value, "INBOX") == 0)
		return bad_value(error, "must be none, or a file name that does not begin with a "
					"dot and is not INBOX");
	g_free(config->outbox);
	config->outbox = g_str_equal(value, "none") ? NULL : g_strdup(value);
	return TRUE;
}

static gboolean
set_pop_keep(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	gsize len = strlen(value);
	g_autofree char *digits = NULL;
	guint64 days;

	if (g_str_equal(value, "forever")) {
		config->pop_keep = 0;
		return TRUE;
	}
	if (len < 2 || value[len - 1] != 'd')
		return bad_value(error, "must be forever or a number of days, such as 30d");
	digits = g_strndup(value, len - 1);
	if (!parse_number(digits, 10, 1, 36500, &days, error))
		return FALSE;
	config->pop_keep = days;
	return TRUE;
}

static gboolean
set_rate(Config *config, ConfigExtra *extra, const char *value, GError **error)
{
	g_autofree char *digits = g_strdup(value);
	guint64 rate;

	if (g_str_has_suffix(digits, "/h"))
		digits[strlen(digits) - 2] = '\0';
	if (!parse_number(digits, 10, 1, 1000000, &rate, error))
		return FALSE;
	config->rate = rate;
	return TRUE;
}

#define IN_CONFIG(field) .offset = G_STRUCT_OFFSET(Config, field)
#define IN_EXTRA(field)	 .offset = G_STRUCT_OFFSET(ConfigExtra, field), .extra = TRUE

/* clang-format off */
static const Option options[] = {
	{"config", KIND_PATH, IN_EXTRA(config_path), .only = ONLY_COMMAND_LINE,
	 .argument = "FILE", .help = "instead of ~/.config/mailfs/config"},
	{"source", KIND_TEXT, IN_EXTRA(source), .only = ONLY_FILE,
	 .argument = "SOURCE", .help = "the account's URL or address (config file only)"},
	{"login", KIND_TEXT, IN_EXTRA(login),
	 .argument = "NAME", .help = "login name, when it is not the one in SOURCE"},
	{"address", KIND_SPECIAL, .set = set_address,
	 .argument = "ADDR", .help = "your own address, when it is neither SOURCE nor the account's name"},
	{"password", KIND_SECRET_TEXT, IN_CONFIG(password), .only = ONLY_FILE,
	 .argument = "SECRET", .help = "the password (config file only, mode 0600)"},
	{"password-command", KIND_SECRET_TEXT, IN_CONFIG(password_command),
	 .argument = "CMD", .help = "the first line of its output is the password"},
	{"token-command", KIND_SECRET_TEXT, IN_CONFIG(token_command),
	 .argument = "CMD", .help = "the same for an OAuth 2 access token"},
	{"auth", KIND_WORD, IN_CONFIG(auth), .words = auth_words,
	 .argument = "METHOD", .help = "auto, plain, login, cram-md5, scram-sha-256, gssapi, xoauth2, oauthbearer (auto)"},
	{"tls", KIND_SPECIAL, .set = set_tls,
	 .argument = "on|none", .help = "none: plain text, only to this machine (on)"},
	{"tls-ca", KIND_PATH, IN_CONFIG(tls_ca),
	 .argument = "FILE", .help = "PEM file of trust anchors, besides the system's"},
	{"tls-fingerprint", KIND_SPECIAL, .set = set_fingerprint,
	 .argument = "sha256:HEX", .help = "trust this certificate and no other"},
	{"insecure-plaintext", KIND_FLAG, IN_CONFIG(insecure_plaintext),
	 .help = "let tls=none go over a network: password and mail are readable there"},
	{"connections", KIND_NUMBER, IN_CONFIG(connections), .min = 1, .max = 32,
	 .argument = "N", .help = "connections to the server at most (4)"},
	{"timeout", KIND_NUMBER, IN_CONFIG(timeout), .min = 1, .max = 3600,
	 .argument = "S", .help = "seconds to wait for the network (30)"},
	{"dir-time", KIND_NUMBER, IN_CONFIG(dir_time), .min = 0, .max = 86400,
	 .argument = "S", .help = "seconds that a listing is good for when the server cannot push (30)"},
	{"cache-dir", KIND_PATH, IN_CONFIG(cache_dir),
	 .argument = "DIR", .help = "index and bodies go to DIR/ACCOUNT (~/.cache/mailfs)"},
	{"cache-size", KIND_SIZE, IN_CONFIG(cache_size),
	 .argument = "SIZE", .help = "bytes of bodies kept, such as 500M (2G)"},
	{"authserv-id", KIND_TEXT, IN_CONFIG(authserv_id),
	 .argument = "ID", .help = "whose Authentication-Results user.mail.auth tells (none)"},
	{"names", KIND_WORD, IN_CONFIG(names), .words = names_words,
	 .argument = "subject|uid", .help = "how messages are called (subject)"},
	{"layout", KIND_SPECIAL, .set = set_layout,
	 .argument = "plain", .help = "messages directly in their mailbox's directory (plain)"},
	{"folders", KIND_SPECIAL, .set = set_folders,
	 .argument = "GLOB...", .help = "show these mailboxes only, such as 'INBOX \"Sent Items\" Work*'"},
	{"subscribed", KIND_FLAG, IN_CONFIG(subscribed), .help = "show subscribed mailboxes only"},
	{"ro", KIND_FLAG, IN_CONFIG(ro), .help = "read-only, for the server too"},
	{"delete", KIND_WORD, IN_CONFIG(delete_mode), .words = delete_words,
	 .argument = "trash|expunge|mark", .help = "what rm does to a message (trash)"},
	{"delete-limit", KIND_NUMBER, IN_CONFIG(delete_limit), .min = 0, .max = 1000000,
	 .argument = "N", .help = "messages that rm may delete in a minute, 0: any number (1000)"},
	{"allow_other", KIND_FLAG, IN_CONFIG(allow_other), .help = "other users may enter the mount"},
	{"uid", KIND_SPECIAL, .set = set_uid, .argument = "USER", .help = "owner of the files (who mounts)"},
	{"gid", KIND_SPECIAL, .set = set_gid, .argument = "GROUP", .help = "group of the files (who mounts)"},
	{"umask", KIND_SPECIAL, .set = set_umask, .argument = "OCTAL", .help = "permissions that are missing (077)"},
	{"smtp", KIND_SPECIAL, .set = set_smtp,
	 .argument = "URL", .help = "smtps://user@host or smtp://...: the server that takes what is sent"},
	{"smtp-password-command", KIND_SECRET_TEXT, IN_CONFIG(smtp_password_command),
	 .argument = "CMD", .help = "its password, when it is another one (password-command)"},
	{"outbox", KIND_SPECIAL, .set = set_outbox, .argument = "NAME|none",
	 .help = "the directory that sends what is written into it (Outbox)"},
	{"hold", KIND_NUMBER, IN_CONFIG(hold), .min = 0, .max = 86400,
	 .argument = "S", .help = "seconds between the last close and sending (5)"},
	{"save-sent", KIND_WORD, IN_CONFIG(save_sent), .words = save_sent_words,
	 .argument = "auto|yes|no", .help = "a copy into Sent; auto: unless the provider does it (auto)"},
	{"rate", KIND_SPECIAL, .set = set_rate, .argument = "N/h", .help = "messages sent in an hour at most (any number)"},
	{"send-limit", KIND_SPECIAL, .set = set_send_limit,
	 .argument = "N/day", .help = "messages sent in a day at most (any number)"},
	{"send-to", KIND_SPECIAL, .set = set_send_to,
	 .argument = "GLOB...", .help = "send to these addresses only, such as '*@example.org'"},
	{"pop-keep", KIND_SPECIAL, .set = set_pop_keep,
	 .argument = "forever|Nd", .help = "POP3: when a message that was read is deleted on the server (forever)"},
	{"keep", KIND_WORD, IN_CONFIG(keep), .words = keep_words,
	 .argument = "auto|yes|no", .help = "POP3: what was read stays here when the server has it no more (auto: with pop-keep=Nd)"},
};

/* libfuse's own, given to it as they are. */
static const char *const fuse_words[] = {
	"default_permissions", "allow_root", "auto_unmount", "noatime", "noexec", "sync", "dirsync",
#ifdef HAVE_FUSE_IO_URING
	"io_uring",
#endif
	NULL,
};
static const char *const fuse_words_with_value[] = {
	"max_read", "fsname",
#ifdef HAVE_FUSE_IO_URING
	"io_uring_q_depth",
#endif
	NULL,
};

/* What mount(8), fstab and mount.fuse3 hand on and what means nothing here; nosuid and nodev are always on. */
static const char *const mount_words[] = {
	"defaults", "_netdev", "_rnetdev", "nofail", "noauto", "auto", "user", "nouser", "users", "nousers", "owner",
	"noowner", "group", "nogroup", "dev", "nodev", "suid", "nosuid", "exec", "async", "atime", "relatime",
	"norelatime", "strictatime", "nostrictatime", "diratime", "nodiratime", "lazytime", "nolazytime", "nonempty",
	"silent", "loud", "comment", "subtype", "helper", "uhelper", NULL,
};

/* What people type for it. */
static const struct {
	const char *typed, *meant;
} synonyms[] = {
	{"url", "source"}, {"host", "source"}, {"server", "source"}, {"port", "source"},
	{"imap", "source"}, {"username", "login"}, {"user-name", "login"}, {"pass", "password-command"},
	{"passwd", "password-command"}, {"passwordeval", "password-command"}, {"passcmd", "password-command"},
	{"pass-command", "password-command"}, {"token", "token-command"}, {"read-only", "ro"}, {"readonly", "ro"},
	{"cache", "cache-dir"}, {"cert", "tls-ca"}, {"ca", "tls-ca"}, {"cafile", "tls-ca"},
	{"fingerprint", "tls-fingerprint"}, {"ssl", "tls"}, {"starttls", "tls"}, {"insecure", "insecure-plaintext"},
	{"mailboxes", "folders"}, {"folder", "folders"}, {"mailbox", "folders"}, {"mode", "umask"},
};
/* clang-format on */

/* allow_other and allow-other are one word. */
static gboolean
same_name(const char *a, const char *b)
{
	for (; *a != '\0' && *b != '\0'; a++, b++)
		if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b))
			return FALSE;
	return *a == *b;
}

static const Option *
find_option(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(options); i++)
		if (same_name(options[i].name, name))
			return &options[i];
	return NULL;
}

static gboolean
is_one_of(const char *name, const char *const *words)
{
	for (; *words != NULL; words++)
		if (same_name(*words, name))
			return TRUE;
	return FALSE;
}

/* How many letters must be changed, added or left out. Names longer than the table are far from
 * everything. */
static guint
distance(const char *a, const char *b)
{
	guint row[32];
	gsize n = strlen(b);

	if (n >= G_N_ELEMENTS(row) || strlen(a) >= G_N_ELEMENTS(row))
		return G_MAXUINT;
	for (gsize j = 0; j <= n; j++)
		row[j] = j;
	for (gsize i = 0; a[i] != '\0'; i++) {
		guint diagonal = row[0];

		row[0] = i + 1;
		for (gsize j = 1; j <= n; j++) {
			guint changed = diagonal + (a[i] == b[j - 1] ? 0 : 1);

			diagonal = row[j];
			row[j] = MIN(changed, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[n];
}

static const char *
nearest_option(const char *name)
{
	const char *nearest = NULL;
	guint least = MAX(2, MIN(strlen(name), 12) / 3) + 1;

	for (guint i = 0; i < G_N_ELEMENTS(synonyms); i++)
		if (same_name(synonyms[i].typed, name))
			return synonyms[i].meant;
	for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
		guint d = distance(name, options[i].name);

		if (d < least && d < strlen(name)) {
			least = d;
			nearest = options[i].name;
		}
	}
	return nearest;
}

static gboolean
unknown_option(const char *name, const char *value, GError **error)
{
	g_autofree char *shown = util_printable(name, -1, 60);
	const char *nearest = nearest_option(name);

	if (same_name(name, "user") && value != NULL) /* to fstab it means who may mount */
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "user= is a word of mount(8); the login name is login=NAME");
	else if (nearest != NULL)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "unknown option %s: did you mean %s?", shown, nearest);
	else
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "unknown option %s: mailfs --help lists them all", shown);
	return FALSE;
}

static gboolean
parse_flag(const char *value, gboolean *out)
{
	static const char *const yes[] = {"true", "yes", "on", "1", NULL};
	static const char *const no[] = {"false", "no", "off", "0", NULL};

	*out = value == NULL || g_strv_contains(yes, value);
	return *out || g_strv_contains(no, value);
}

static char *
absolute_path(const char *value, const char *directory)
{
	if (*value == '\0')
		return NULL;
	if (value[0] == '~' && (value[1] == '/' || value[1] == '\0'))
		return g_canonicalize_filename(value[1] == '\0' ? "." : value + 2,
					       g_get_home_dir());
	return g_canonicalize_filename(value, directory);
}

static void
set_string(gpointer field, char *value)
{
	char **string = field;

	util_free_secret(*string);
	*string = value;
}

static gboolean
set_value(const Option *option, gpointer field, const char *value, const ConfigExtra *extra,
	  GError **error)
{
	guint64 number;

	switch (option->kind) {
	case KIND_FLAG:
		if (!parse_flag(value, field))
			return bad_value(error, "must be yes or no");
		return TRUE;
	case KIND_NUMBER:
		if (!parse_number(value, 10, option->min, option->max, &number, error))
			return FALSE;
		*(guint *)field = number;
		return TRUE;
	case KIND_SIZE:
		if (!util_parse_size(value, &number) || number == 0 || number > G_MAXINT64)
			return bad_value(
				error, "must be a number of bytes, such as 500M or 2G, and not 0");
		*(guint64 *)field = number;
		return TRUE;
	case KIND_TEXT:
	case KIND_SECRET_TEXT:
		set_string(field, *value == '\0' ? NULL : g_strdup(value));
		return TRUE;
	case KIND_PATH:
		set_string(field, absolute_path(value, extra->directory));
		return TRUE;
	case KIND_WORD:
		for (guint i = 0; option->words[i] != NULL; i++) {
			if (g_ascii_strcasecmp(option->words[i], value) == 0) {
				*(guint *)field = i;
				return TRUE;
			}
		}
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "must be %s",
			    option->argument[0] == 'M' ? option->help : option->argument);
		return FALSE;
	case KIND_SPECIAL:
		break;
	}
	return FALSE;
}

static gboolean
check_place(const Option *option, ConfigOrigin origin, GError **error)
{
	if (option->only == ONLY_FILE && origin == CONFIG_FROM_COMMAND_LINE) {
		g_set_error(
			error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			option->kind == KIND_SECRET_TEXT
				? "%s= is refused here, where everybody can read it with ps: use "
				  "password-command=CMD, MAILFS_PASSWORD or the config file"
				: "%s= belongs into the config file; here it is the first argument",
			option->name);
		return FALSE;
	}
	if (option->only == ONLY_COMMAND_LINE && origin == CONFIG_FROM_FILE) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "%s= belongs on the command line", option->name);
		return FALSE;
	}
	return TRUE;
}

static gboolean
set_option(const Option *option, Config *config, ConfigExtra *extra, const char *value,
	   ConfigOrigin origin, GError **error)
{
	g_autofree char *shown = NULL;
	GError *why = NULL;
	char *base = option->extra ? (char *)extra : (char *)config;

	if (!check_place(option, origin, error))
		return FALSE;
	if (value == NULL && option->kind != KIND_FLAG) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "%s needs a value: %s=%s",
			    option->name, option->name, option->argument);
		return FALSE;
	}
	if (option->set != NULL ? option->set(config, extra, value, &why)
				: set_value(option, base + option->offset, value, extra, &why))
		return TRUE;
	shown = util_printable(value, -1, 80);
	if (option->set == set_smtp) /* its text names the URL, without a password that is in it */
		g_prefix_error(&why, "%s: ", option->name);
	else
		g_prefix_error(&why, "%s=%s ", option->name, shown);
	g_propagate_error(error, why);
	return FALSE;
}

static gboolean
set_foreign_word(Config *config, const char *name, const char *value, GError **error)
{
	if (value == NULL && is_one_of(name, fuse_words)) {
		g_ptr_array_add(config->fuse_options, g_strdup(name));
		return TRUE;
	}
	if (value != NULL && is_one_of(name, fuse_words_with_value)) {
		g_ptr_array_add(config->fuse_options, g_strconcat(name, "=", value, NULL));
		return TRUE;
	}
	if (value == NULL && g_str_equal(name, "rw")) {
		config->ro = FALSE;
		return TRUE;
	}
	if (g_ascii_strncasecmp(name, "x-", 2) == 0)
		return TRUE;
	return is_one_of(name, mount_words) && !(value != NULL && g_str_equal(name, "user"))
		       ? TRUE
		       : unknown_option(name, value, error);
}

gboolean
config_option_set(Config *config, ConfigExtra *extra, const char *name, const char *value,
		  ConfigOrigin origin, GError **error)
{
	const Option *option = find_option(name);
	GError *why = NULL;
	gboolean done;

	if (option != NULL)
		done = set_option(option, config, extra, value, origin, &why);
	else if (origin == CONFIG_FROM_COMMAND_LINE)
		done = set_foreign_word(config, name, value, &why);
	else /* in the file every word has a value: `noatime=yes` */
		done = set_foreign_word(
			config, name,
			g_strcmp0(value, "yes") == 0 || g_strcmp0(value, "true") == 0 ? NULL
										      : value,
			&why);
	if (done)
		return TRUE;
	why->code = origin == CONFIG_FROM_FILE ? MAILFS_ERROR_CONFIG : MAILFS_ERROR_USAGE;
	g_propagate_error(error, why);
	return FALSE;
}

void
config_extra_clear(ConfigExtra *extra)
{
	g_free(extra->source);
	g_free(extra->login);
	g_free(extra->config_path);
	g_free(extra->directory);
	*extra = (ConfigExtra){0};
}

void
config_split_options(const char *argument, GPtrArray *out)
{
	g_autoptr(GString) part = g_string_new(NULL);

	for (const char *p = argument;; p++) {
		if (*p == '\\' && (p[1] == ',' || p[1] == '\\')) {
			g_string_append_c(part, *++p);
			continue;
		}
		if (*p != ',' && *p != '\0') {
			g_string_append_c(part, *p);
			continue;
		}
		if (part->len > 0)
			g_ptr_array_add(out, g_strdup(part->str));
		g_string_truncate(part, 0);
		if (*p == '\0')
			return;
	}
}

ConfigOption
config_option_kind(const char *name)
{
	const Option *option = find_option(name);

	if (option != NULL)
		return option->kind == KIND_FLAG ? CONFIG_OPTION_FLAG : CONFIG_OPTION_WITH_VALUE;
	if (is_one_of(name, fuse_words_with_value))
		return CONFIG_OPTION_WITH_VALUE;
	if (is_one_of(name, fuse_words) || is_one_of(name, mount_words) || g_str_equal(name, "rw"))
		return CONFIG_OPTION_FLAG;
	return CONFIG_OPTION_UNKNOWN;
}

char *
config_option_help(void)
{
	GString *help = g_string_new(NULL);

	for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
		const Option *option = &options[i];
		g_autofree char *left = g_strconcat(option->name, option->argument ? "=" : "",
						    option->argument, NULL);

		g_string_append_printf(help, "  %-28s %s\n", left, option->help);
	}
	return g_string_free(help, FALSE);
}

GStrv
config_option_names(void)
{
	g_autoptr(GStrvBuilder) names = g_strv_builder_new();

	for (guint i = 0; i < G_N_ELEMENTS(options); i++)
		g_strv_builder_add(names, options[i].name);
	g_strv_builder_addv(names, (const char **)fuse_words);
	g_strv_builder_addv(names, (const char **)fuse_words_with_value);
	return g_strv_builder_end(names);
}
