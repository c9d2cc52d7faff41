/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "config-file.h"
#include "config-options.h"
#include "discover.h"
#include "mail/address.h"
#include "secrets.h"

/* Names longer than this leave no room beside ".eml" and friends in a path component. */
#define MAX_ACCOUNT 200

/* A DNS search that takes longer will not succeed. */
#define DISCOVER_SECONDS 10

void
config_server_clear(ConfigServer *server)
{
	g_free(server->host);
	g_free(server->user);
	*server = (ConfigServer){0};
}

static Config *
config_new(void)
{
	Config *config = g_new0(Config, 1);

	config->connections = 4;
	config->timeout = 30;
	config->dir_time = 30;
	config->cache_size = (guint64)2 << 30;
	config->uid = geteuid();
	config->gid = getegid();
	config->umask = 077;
	config->fuse_options = g_ptr_array_new_with_free_func(g_free);
	config->outbox = g_strdup("Outbox");
	config->delete_limit = 1000;
	config->hold = 5;
	return config;
}

void
config_free(Config *config)
{
	if (config == NULL)
		return;
	g_free(config->account);
	g_free(config->identity);
	g_free(config->address);
	config_server_clear(&config->server);
	util_free_secret(config->password_command);
	util_free_secret(config->token_command);
	util_free_secret(config->password);
	g_free(config->tls_ca);
	g_free(config->tls_fingerprint);
	g_free(config->authserv_id);
	g_free(config->cache_dir);
	g_strfreev(config->folders);
	g_ptr_array_unref(config->fuse_options);
	config_server_clear(&config->smtp);
	util_free_secret(config->smtp_password_command);
	g_free(config->outbox);
	g_strfreev(config->send_to);
	g_free(config);
}

/* URLs */

static const struct {
	const char *scheme;
	ConfigKind kind;
	gboolean smtp;
	TlsMode tls;
	guint16 port;
} schemes[] = {
	{"imaps", CONFIG_IMAP, FALSE, TLS_IMPLICIT, 993},
	{"imap", CONFIG_IMAP, FALSE, TLS_STARTTLS, 143},
	{"pop3s", CONFIG_POP3, FALSE, TLS_IMPLICIT, 995},
	{"pop3", CONFIG_POP3, FALSE, TLS_STARTTLS, 110},
	{"smtps", CONFIG_IMAP, TRUE, TLS_IMPLICIT, 465},
	{"smtp", CONFIG_IMAP, TRUE, TLS_STARTTLS, 587},
};

static int
find_scheme(const char *url, gboolean smtp)
{
	gsize len = strcspn(url, ":");

	for (guint i = 0; i < G_N_ELEMENTS(schemes); i++)
		if (schemes[i].smtp == smtp && strlen(schemes[i].scheme) == len &&
		    g_ascii_strncasecmp(schemes[i].scheme, url, len) == 0)
			return i;
	return -1;
}

/* A URL for an error text: a password in it does not show, whatever else is wrong. */
static char *
url_without_secrets(const char *url)
{
	const char *start = strstr(url, "://");
	const char *at = strrchr(url, '@');
	const char *colon = start != NULL ? strchr(start + 3, ':') : NULL;
	g_autofree char *text = NULL;

	if (at == NULL || colon == NULL || colon > at)
		return util_printable(url, -1, 200);
	text = g_strdup_printf("%.*s:...%s", (int)(colon - url), url, at);
	return util_printable(text, -1, 200);
}

static gboolean
bad_url(const char *url, const char *why, GError **error)
{
	g_autofree char *shown = url_without_secrets(url);

	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE, "%s: %s", shown, why);
	return FALSE;
}

static gboolean
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if (g_ascii_iscntrl(*text))
			return TRUE;
	return FALSE;
}

/* A name in ASCII, lower case, or an address. NULL: neither. */
static char *
clean_host(const char *host)
{
	g_autofree char *ascii = NULL;
	g_autofree char *lower = NULL;
	gsize len;

	if (g_hostname_is_ip_address(host))
		return g_strdup(host);
	ascii = g_hostname_to_ascii(host);
	if (ascii == NULL)
		return NULL;
	lower = g_ascii_strdown(ascii, -1);
	len = strlen(lower);
	if (len == 0 || len > 253 || *lower == '.' || *lower == '-' ||
	    strstr(lower, "..") != NULL ||
	    strspn(lower, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != len)
		return NULL;
	if (lower[len - 1] == '.')
		lower[len - 1] = '\0';
	return g_steal_pointer(&lower);
}

static gboolean
check_url_parts(const char *url, const char *user, const char *password, const char *path,
		const char *query, const char *fragment, GError **error)
{
	if (password != NULL)
		return bad_url(
			url,
			"a password in the URL can be read by everybody with ps: leave it "
			"out, and use password-command=CMD, the config file or MAILFS_PASSWORD",
			error);
	if ((path != NULL && *path != '\0' && !g_str_equal(path, "/")) || query != NULL ||
	    fragment != NULL)
		return bad_url(url,
			       "the URL names an account, not a mailbox: end it after the host and "
			       "use folders=GLOB",
			       error);
	if (user != NULL && (has_control(user) || !g_utf8_validate(user, -1, NULL)))
		return bad_url(url, "the user name holds a control character or is no UTF-8",
			       error);
	return TRUE;
}

gboolean
config_parse_url(const char *url, gboolean smtp, ConfigKind *kind_out, ConfigServer *server_out,
		 GError **error)
{
	int scheme = find_scheme(url, smtp);
	g_autofree char *user = NULL, *password = NULL, *host = NULL, *path = NULL, *query = NULL,
			*fragment = NULL, *clean = NULL;
	int port = -1;

	if (scheme < 0 || !g_str_has_prefix(url + strlen(schemes[scheme].scheme), "://"))
		return bad_url(url,
			       smtp ? "must begin with smtps:// or smtp://"
				    : "must begin with imaps://, imap://, pop3s:// or pop3://",
			       error);
	if (!g_uri_split_with_user(url, G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_PARSE_RELAXED, NULL,
				   &user, &password, NULL, &host, &port, &path, &query, &fragment,
				   NULL))
		return bad_url(url, "is no valid URL (in a user name, write @ as %40, / as %2F)",
			       error);
	if (!check_url_parts(url, user, password, path, query, fragment, error)) {
		if (password != NULL)
			util_free_secret(g_steal_pointer(&password));
		return FALSE;
	}
	clean = host != NULL ? clean_host(host) : NULL;
	if (clean == NULL)
		return bad_url(url, "names no host", error);
	if (port == 0)
		return bad_url(url, "port 0 is none", error);
	if (kind_out != NULL)
		*kind_out = schemes[scheme].kind;
	server_out->host = g_steal_pointer(&clean);
	server_out->port = port > 0 ? port : schemes[scheme].port;
	server_out->tls = schemes[scheme].tls;
	server_out->user = user != NULL && *user != '\0' ? g_steal_pointer(&user) : NULL;
	return TRUE;
}

/* Names of directories, identity */

static char *
safe_account(const char *name)
{
	GString *safe = g_string_new(NULL);

	for (const char *p = name; *p != '\0'; p++) {
		if (*p == '/' || *p == '%' || g_ascii_iscntrl(*p) || (*p == '.' && p == name))
			g_string_append_printf(safe, "%%%02X", (guchar)*p);
		else
			g_string_append_c(safe, *p);
	}
	if (safe->len > MAX_ACCOUNT) {
		g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, name, -1);
		gsize cut = MAX_ACCOUNT - 9;

		while (cut > 0 && ((guchar)safe->str[cut] & 0xc0) == 0x80)
			cut--;
		g_string_truncate(safe, cut);
		g_string_append_printf(safe, "~%.8s", hash);
	}
	return g_string_free(safe, FALSE);
}

/* "alice@mail.example.org", and a port only where it is none of IMAP's own: 143 and 993 lead to the
 * same mailboxes. */
static char *
user_at_server(const Config *config)
{
	const ConfigServer *server = &config->server;
	gboolean usual =
		config->kind == CONFIG_IMAP && (server->port == 143 || server->port == 993);
	gboolean brackets = strchr(server->host, ':') != NULL;
	g_autofree char *port = usual ? g_strdup("") : g_strdup_printf(":%u", server->port);

	return g_strdup_printf("%s@%s%s%s%s", server->user, brackets ? "[" : "", server->host,
			       brackets ? "]" : "", port);
}

/* The server */

static gboolean
is_loopback(const char *host)
{
	g_autoptr(GInetAddress) address = g_inet_address_new_from_string(host);

	if (address != NULL)
		return g_inet_address_get_is_loopback(address);
	return g_str_equal(host, "localhost");
}

static gboolean
check_plaintext(const Config *config, const ConfigServer *server, GError **error)
{
	if (server->host == NULL || server->tls != TLS_NONE || config->insecure_plaintext ||
	    is_loopback(server->host))
		return TRUE;
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
		    "tls=none is refused for %s: password and mail would cross the network in the "
		    "clear; leave it out (or, if that is truly wanted, add insecure-plaintext)",
		    server->host);
	return FALSE;
}

static gboolean
apply_tls_none(ConfigServer *server, const char *what, GError **error)
{
	if (server->host == NULL)
		return TRUE;
	if (server->tls == TLS_IMPLICIT) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "tls=none contradicts %ss://, which is TLS from the first byte: write "
			    "%s://",
			    what, what);
		return FALSE;
	}
	server->tls = TLS_NONE;
	return TRUE;
}

static char *
remembered_path(const Config *config)
{
	return g_build_filename(config->cache_dir, "server", NULL);
}

void
config_remember(const Config *config)
{
	g_autofree char *path = remembered_path(config);
	g_autofree char *url = NULL;
	g_autoptr(GError) why = NULL;

	if (!config->discovered)
		return;
	url = g_strdup_printf("%s%s://%s:%u\n", config->kind == CONFIG_POP3 ? "pop3" : "imap",
			      config->server.tls == TLS_IMPLICIT ? "s" : "", config->server.host,
			      config->server.port);
	if (!g_file_set_contents_full(path, url, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &why))
		g_debug("config: %s", why->message);
}

static gboolean
read_remembered(const Config *config, ConfigServer *server, ConfigKind *kind_out)
{
	g_autofree char *path = remembered_path(config);
	g_autofree char *url = NULL;

	if (!g_file_get_contents(path, &url, NULL, NULL))
		return FALSE;
	return config_parse_url(g_strchomp(url), FALSE, kind_out, server, NULL);
}

/* RFC 6186 6: DNS is not signed, and the password is about to go where it points. */
static gboolean
accept_foreign(const char *address, const Discovered *found, const ConfigServer *known,
	       GCancellable *cancel, GError **error)
{
	g_autofree char *question = NULL;
	g_autofree char *user = NULL;

	if (!found->foreign || g_strcmp0(found->host, known->host) == 0)
		return TRUE;
	question = g_strdup_printf("DNS says that the mail of %s is kept by %s. Go there?", address,
				   found->host);
	if (secrets_confirm(question, cancel))
		return TRUE;
	user = g_uri_escape_string(address, NULL, FALSE);
	g_set_error(
		error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
		"DNS says that the mail of %s is kept by %s, outside the address's domain, and DNS "
		"can be forged: if it is right, mount %s://%s@%s:%u/",
		address, found->host, found->pop ? "pop3s" : "imaps", user, found->host,
		found->port);
	return FALSE;
}

static gboolean
find_server(Config *config, const char *address, GCancellable *cancel, GError **error)
{
	g_auto(Discovered) found = {0};
	g_auto(ConfigServer) known = {0};
	g_autoptr(GError) why = NULL;
	guint timeout = MIN(config->timeout, DISCOVER_SECONDS) * 1000;
	ConfigKind known_kind = CONFIG_IMAP;
	gboolean remembered = read_remembered(config, &known, &known_kind);

	config->discovered = TRUE;
	if (discover_server(address, timeout, cancel, &found, &why)) {
		if (!accept_foreign(address, &found, &known, cancel, error))
			return FALSE;
		config->server.host = g_steal_pointer(&found.host);
		config->server.port = found.port;
		config->server.tls = found.tls;
		config->kind = found.pop ? CONFIG_POP3 : CONFIG_IMAP;
		return TRUE;
	}
	if (!remembered || g_error_matches(why, MAILFS_ERROR, MAILFS_ERROR_USAGE) ||
	    g_cancellable_is_cancelled(cancel)) {
		g_propagate_error(error, g_steal_pointer(&why));
		return FALSE;
	}
	g_debug("config: %s; taking %s from the last time", why->message, known.host);
	config->server.host = g_steal_pointer(&known.host);
	config->server.port = known.port;
	config->server.tls = known.tls;
	config->kind = known_kind;
	return TRUE;
}

/* Loading */

typedef struct {
	const char *source;
	const ConfigFile *file;
	gboolean offline; /* never ask DNS */
	GCancellable *cancel;
} Loading;

static gboolean
apply_file(Config *config, ConfigExtra *extra, const ConfigFile *file, int account, GError **error)
{
	extra->directory = g_path_get_dirname(file->path);
	for (guint i = 0; i < file->lines->len; i++) {
		const ConfigLine *line = file->lines->pdata[i];

		if (line->account == (guint)account &&
		    !config_option_set(config, extra, line->key, line->value, CONFIG_FROM_FILE,
				       error)) {
			g_prefix_error(error, "%s:%u: [account %s] ", file->path, line->number,
				       (char *)file->accounts->pdata[account]);
			return FALSE;
		}
	}
	return TRUE;
}

static gboolean
is_option(const char *option, const char *name)
{
	gsize len = strlen(name);

	return strncmp(option, name, len) == 0 && (option[len] == '=' || option[len] == '\0');
}

/* What the command line says replaces the file's word as a whole: another way to the secret,
 * another list of folders. */
static void
forget_overridden(Config *config, const GPtrArray *options)
{
	for (guint i = 0; i < options->len; i++) {
		const char *option = options->pdata[i];

		if (is_option(option, "folders"))
			g_clear_pointer(&config->folders, g_strfreev);
		if (is_option(option, "password-command") ||
		    is_option(option, "password_command") || is_option(option, "token-command") ||
		    is_option(option, "token_command")) {
			g_clear_pointer(&config->password, util_free_secret);
			g_clear_pointer(&config->password_command, util_free_secret);
			g_clear_pointer(&config->token_command, util_free_secret);
		}
	}
}

static gboolean
apply_options(Config *config, ConfigExtra *extra, const GPtrArray *options, GError **error)
{
	g_free(extra->directory);
	extra->directory = g_get_current_dir();
	for (guint i = 0; options != NULL && i < options->len; i++) {
		const char *option = options->pdata[i];
		const char *equals = strchr(option, '=');
		g_autofree char *name =
			equals != NULL ? g_strndup(option, equals - option) : g_strdup(option);

		if (!config_option_set(config, extra, name, equals != NULL ? equals + 1 : NULL,
				       CONFIG_FROM_COMMAND_LINE, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean
looks_like_address(const char *source)
{
	return strchr(source, '@') != NULL && strstr(source, "://") == NULL &&
	       !g_str_has_prefix(source, "/") && !has_control(source);
}

static gboolean
unknown_account(const Loading *loading, GError **error)
{
	g_autofree char *shown = util_printable(loading->source, -1, 100);
	g_autoptr(GString) known = g_string_new(NULL);

	for (guint i = 0; i < loading->file->accounts->len; i++) {
		g_autofree char *name = util_printable(loading->file->accounts->pdata[i], -1, 40);

		g_string_append_printf(known, "%s%s", i > 0 ? ", " : "", name);
	}
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
		    "no account %s in %s (%s%s), and it is neither an address nor a URL such as "
		    "imaps://user@host/",
		    shown, loading->file->path, known->len > 0 ? "it has: " : "it has none",
		    known->str);
	return FALSE;
}

/* What the account's group, or else SOURCE itself, says where the mail is. */
static const char *
find_source(const Loading *loading, const ConfigExtra *extra, int account, GError **error)
{
	const char *source =
		account >= 0 && extra->source != NULL ? extra->source : loading->source;

	if (strstr(source, "://") != NULL || looks_like_address(source))
		return source;
	if (account < 0)
		unknown_account(loading, error);
	else
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "%s: [account %s] needs source=, an address or a URL such as "
			    "imaps://user@host/",
			    loading->file->path, loading->source);
	return NULL;
}

static void
finish_directories(Config *config)
{
	g_autofree char *base = g_steal_pointer(&config->cache_dir);

	if (base == NULL)
		base = g_build_filename(g_get_user_cache_dir(), "mailfs", NULL);
	config->cache_dir = g_build_filename(base, config->account, NULL);
}

static gboolean
resolve_server(Config *config, ConfigExtra *extra, const Loading *loading, int account,
	       GError **error)
{
	const char *source = find_source(loading, extra, account, error);
	g_autofree char *name = NULL;
	gboolean address;

	if (source == NULL)
		return FALSE;
	address = looks_like_address(source);
	if (!address && !config_parse_url(source, FALSE, &config->kind, &config->server, error)) {
		if (account >= 0 && extra->source != NULL) {
			g_prefix_error(error, "%s: [account %s] source=", loading->file->path,
				       loading->source);
			if (error != NULL && *error != NULL)
				(*error)->code = MAILFS_ERROR_CONFIG;
		}
		return FALSE;
	}
	if (extra->login != NULL || address) {
		g_free(config->server.user);
		config->server.user = g_strdup(extra->login != NULL ? extra->login : source);
	}
	if (config->server.user == NULL || has_control(config->server.user))
		return bad_url(source,
			       "names no user: write it before the host, as in imaps://user@host/",
			       error);
	name = account >= 0 ? g_strdup(loading->source)
			    : (address ? g_strdup(source) : user_at_server(config));
	config->account = safe_account(name);
	finish_directories(config);
	if (!address)
		return TRUE;
	if (!loading->offline)
		return find_server(config, source, loading->cancel, error);
	return bad_url(source, "an address needs DNS", error);
}

static gboolean
check_whole(Config *config, const ConfigExtra *extra, GError **error)
{
	g_autofree char *place = NULL;

	if (extra->tls_none &&
	    (!apply_tls_none(&config->server, config->kind == CONFIG_IMAP ? "imap" : "pop3",
			     error) ||
	     !apply_tls_none(&config->smtp, "smtp", error)))
		return FALSE;
	if (!check_plaintext(config, &config->server, error) ||
	    !check_plaintext(config, &config->smtp, error))
		return FALSE;
	if (config->kind != CONFIG_POP3 && config->keep == CONFIG_KEEP_YES) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
				    "keep=yes is for POP3 accounts: an IMAP server keeps what is "
				    "not removed");
		return FALSE;
	}
	if (config->keep == CONFIG_KEEP_AUTO)
		config->keep = config->pop_keep != 0 ? CONFIG_KEEP_YES : CONFIG_KEEP_NO;
	if (config->password_command != NULL && config->token_command != NULL) {
		g_set_error_literal(
			error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			"password-command and token-command are both there: which one is "
			"it to be?");
		return FALSE;
	}
	if (config->smtp.host != NULL && config->smtp.user == NULL)
		config->smtp.user = g_strdup(config->server.user);
	place = user_at_server(config);
	config->identity =
		g_strdup_printf("%s://%s", config->kind == CONFIG_IMAP ? "imap" : "pop3", place);
	return TRUE;
}

/* The first of them that is an address. */
static gboolean
find_address(Config *config, const ConfigExtra *extra, const char *source, GError **error)
{
	g_autofree char *place = g_strdup_printf("%s@%s", config->server.user, config->server.host);
	const char *const guesses[] = {extra->source, source, config->server.user,
				       config->smtp.user, place};

	for (guint i = 0; i < G_N_ELEMENTS(guesses) && config->address == NULL; i++)
		if (guesses[i] != NULL && looks_like_address(guesses[i]))
			config->address = address_parse(guesses[i], NULL);
	if (config->address != NULL || config->smtp.host == NULL)
		return TRUE;
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
		    "%s can send, but what is your address there? address= is missing", source);
	return FALSE;
}

static Config *
load(const Loading *loading, const GPtrArray *options, GError **error)
{
	g_autoptr(Config) config = config_new();
	g_auto(ConfigExtra) extra = {0};
	int account = config_file_find(loading->file, loading->source);

	if (account >= 0 && !apply_file(config, &extra, loading->file, account, error))
		return NULL;
	if (options != NULL)
		forget_overridden(config, options);
	if (!apply_options(config, &extra, options, error) ||
	    !resolve_server(config, &extra, loading, account, error) ||
	    !check_whole(config, &extra, error) ||
	    !find_address(config, &extra, loading->source, error))
		return NULL;
	return g_steal_pointer(&config);
}

/* config=FILE among the options: the last one. */
static char *
find_config_path(const GPtrArray *options)
{
	const char *path = NULL;

	for (guint i = 0; options != NULL && i < options->len; i++)
		if (g_str_has_prefix(options->pdata[i], "config="))
			path = (const char *)options->pdata[i] + strlen("config=");
	return path != NULL ? g_canonicalize_filename(path, NULL) : NULL;
}

Config *
config_load(const char *source, const GPtrArray *options, const char *config_path,
	    GCancellable *cancel, GError **error)
{
	g_autofree char *given =
		config_path != NULL ? g_strdup(config_path) : find_config_path(options);
	g_autofree char *usual =
		g_build_filename(g_get_user_config_dir(), "mailfs", "config", NULL);
	g_autoptr(ConfigFile) file =
		config_file_read(given != NULL ? given : usual, given != NULL, error);
	Loading loading = {source, file, FALSE, cancel};

	return file != NULL ? load(&loading, options, error) : NULL;
}

Config *
config_load_data(const char *source, const GPtrArray *options, char *data, gsize len,
		 const char *name, GError **error)
{
	g_autoptr(ConfigFile) file = config_file_parse(name, data, len, error);
	Loading loading = {source, file, TRUE, NULL};

	return file != NULL ? load(&loading, options, error) : NULL;
}

/* Whether the account can send, and as whom; what is wrong with it is said when it is used. */
static gboolean
peek_address(const ConfigFile *file, int account, char **address_out)
{
	g_autoptr(Config) config = config_new();
	g_auto(ConfigExtra) extra = {0};

	if (!apply_file(config, &extra, file, account, NULL) || config->smtp.host == NULL)
		return FALSE;
	if (extra.source != NULL && strstr(extra.source, "://") != NULL &&
	    !config_parse_url(extra.source, FALSE, &config->kind, &config->server, NULL))
		return FALSE;
	if (extra.login != NULL) {
		g_free(config->server.user);
		config->server.user = g_strdup(extra.login);
	}
	if (!find_address(config, &extra, file->accounts->pdata[account], NULL))
		return FALSE;
	*address_out = g_steal_pointer(&config->address);
	return TRUE;
}

char *
config_sending_account(const char *sender, const GPtrArray *options, GError **error)
{
	g_autofree char *path = find_config_path(options);
	g_autofree char *usual =
		g_build_filename(g_get_user_config_dir(), "mailfs", "config", NULL);
	g_autoptr(ConfigFile) file =
		config_file_read(path != NULL ? path : usual, path != NULL, error);
	int first = -1;

	for (guint i = 0; file != NULL && i < file->accounts->len; i++) {
		g_autofree char *address = NULL;

		if (!peek_address(file, (int)i, &address))
			continue;
		if (sender != NULL && g_ascii_strcasecmp(sender, address) == 0)
			return g_strdup(file->accounts->pdata[i]);
		first = first < 0 ? (int)i : first;
	}
	if (first >= 0)
		return g_strdup(file->accounts->pdata[first]);
	if (file != NULL)
		g_set_error(
			error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			"no account of %s can send: write smtp=URL into one, or name another by -a",
			file->path);
	return NULL;
}
