/* SPDX-License-Identifier: MIT */
/* The line is a Backend of our own, driven by this thread: no pool, no session, so that each step
 * can be told as it is made. A login asks for its secret when the line stands and is secure: that
 * is how the end of one stage and the beginning of the next are known. */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/error.h"
#include "base/util.h"
#include "check-smtp.h"
#include "config-file.h"
#include "config.h"
#include "exit-code.h"
#include "mail/name.h"
#include "net/dial.h"
#include "proto/imap.h"
#include "proto/pop.h"
#include "secrets.h"

#define TEXT_BYTES_SHOWN 2000
#define NAME_BYTES_SHOWN 200
#define LOGOUT_MS	 2000
#define DAY		 (24 * 60 * 60)

typedef struct {
	const char *source;
	GPtrArray *options;
	char *environment;

	Config *config;
	GPtrArray *addresses; /* of GInetSocketAddress */
	Secrets *secrets;
	Secret secret;
	TlsContext *tls_context;
	BackendConfig backend_config;
	Backend *backend;
	gboolean line_told; /* the stage TLS is over */
	GPtrArray *alerts;  /* of char *, printable */

	/* The request under way. */
	gboolean done;
	GError *request_error;
	guint n_folders, n_closed; /* closed: \Noselect */
	guint64 n_messages;
	gboolean messages_told; /* for every folder */
	GString *special;
	gboolean has_quota;
	guint64 quota_used, quota_limit;
} Check;

/* --- the report --------------------------------------------------------------------------- */

/* The name is there while the stage lasts. */
static void
begin(const char *stage)
{
	printf("%-9s", stage);
	fflush(stdout);
}

static void
end_ok(const char *text)
{
	g_autofree char *shown = util_printable(text, -1, TEXT_BYTES_SHOWN);

	printf("ok      %s\n", shown);
}

/* Always FALSE. */
static gboolean
end_failed(const GError *error, const char *advice)
{
	g_autofree char *shown = util_printable(error->message, -1, TEXT_BYTES_SHOWN);

	if (advice != NULL && g_str_has_suffix(shown, "."))
		shown[strlen(shown) - 1] = '\0';
	printf("FAILED  %s%s%s\n", shown, advice != NULL ? "; " : "", advice != NULL ? advice : "");
	return FALSE;
}

/* --- config ------------------------------------------------------------------------------- */

/* Where SOURCE led. What config_load() read is good. */
static char *
config_text(const Check *check)
{
	static const char *const tls_words[] = {
		[TLS_IMPLICIT] = "TLS from the start",
		[TLS_STARTTLS] = "STARTTLS",
		[TLS_NONE] = "no TLS",
	};
	const ConfigServer *server = &check->config->server;
	gboolean pop = check->config->kind == CONFIG_POP3;
	g_autofree char *usual =
		g_build_filename(g_get_user_config_dir(), "mailfs", "config", NULL);
	g_autoptr(ConfigFile) file = NULL;
	const char *path = usual;

	for (guint i = 0; check->options != NULL && i < check->options->len; i++)
		if (g_str_has_prefix(check->options->pdata[i], "config="))
			path = (const char *)check->options->pdata[i] + strlen("config=");
	if (g_file_test(path, G_FILE_TEST_EXISTS))
		file = config_file_read(path, FALSE, NULL);
	return g_strdup_printf("%s at %s%s, port %u, %s; %s%s", server->user, server->host,
			       check->config->discovered ? " (named by DNS)" : "", server->port,
			       pop && server->tls == TLS_STARTTLS ? "STLS" : tls_words[server->tls],
			       file == NULL				    ? "there is no "
			       : config_file_find(file, check->source) >= 0 ? "an account of "
									    : "no account of ",
			       path);
}

static gboolean
check_config(Check *check, GError **error)
{
	g_autofree char *text = NULL;

	begin("config");
	check->config = config_load(check->source, check->options, NULL, NULL, error);
	if (check->config == NULL)
		return end_failed(*error, NULL);
	text = config_text(check);
	end_ok(text);
	return TRUE;
}

/* --- DNS and TCP -------------------------------------------------------------------------- */

static char *
address_text(GInetSocketAddress *address)
{
	return g_inet_address_to_string(g_inet_socket_address_get_address(address));
}

static gboolean
check_dns(Check *check, GError **error)
{
	const ConfigServer *server = &check->config->server;
	g_autofree char *plain = dial_plain_host(server->host);
	g_autoptr(GString) text = g_string_new(NULL);

	begin("DNS");
	check->addresses = dial_addresses(server->host, server->port, check->config->timeout * 1000,
					  NULL, error);
	if (check->addresses == NULL)
		return end_failed(*error, NULL);
	g_string_printf(text, "%s is ", server->host);
	for (guint i = 0; i < check->addresses->len; i++) {
		g_autofree char *address = address_text(check->addresses->pdata[i]);

		g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", address);
	}
	if (plain != NULL && g_hostname_is_ip_address(plain))
		g_string_assign(text, "an address needs none");
	end_ok(text->str);
	return TRUE;
}

/* One try to connect, on a thread of its own: a dead address must not hold up the others. */
typedef struct {
	char *host;
	guint16 port;
	guint timeout_ms;
	gint64 took_us;
	GError *error;
	GThread *thread;
} Knock;

static gpointer
knock_run(gpointer data)
{
	Knock *knock = data;
	g_autoptr(GInetSocketAddress) address = NULL;
	gint64 started = g_get_monotonic_time();
	g_auto(UtilFd) fd =
		dial(knock->host, knock->port, knock->timeout_ms, NULL, &address, &knock->error);

	knock->took_us = g_get_monotonic_time() - started;
	return NULL;
}

static void
knock_free(gpointer data)
{
	Knock *knock = data;

	g_free(knock->host);
	g_clear_error(&knock->error);
	g_free(knock);
}

static GPtrArray *
knock_everywhere(const Check *check)
{
	GPtrArray *knocks = g_ptr_array_new_with_free_func(knock_free);

	for (guint i = 0; i < check->addresses->len; i++) {
		Knock *knock = g_new0(Knock, 1);

		knock->host = address_text(check->addresses->pdata[i]);
		knock->port = check->config->server.port;
		knock->timeout_ms = check->config->timeout * 1000;
		knock->thread = g_thread_new("knock", knock_run, knock);
		g_ptr_array_add(knocks, knock);
	}
	for (guint i = 0; i < knocks->len; i++)
		g_thread_join(((Knock *)knocks->pdata[i])->thread);
	return knocks;
}

/* "192.0.2.1 in 12.3 ms", or what went wrong there. */
static char *
knock_text(const Knock *knock)
{
	const char *reason;

	if (knock->error == NULL)
		return g_strdup_printf("%s in %.1f ms", knock->host,
				       (gdouble)knock->took_us / 1000);
	if (g_error_matches(knock->error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT))
		return g_strdup_printf("%s: no answer", knock->host);
	reason = g_strrstr(knock->error->message, ": ");
	return g_strdup_printf("%s: %s", knock->host,
			       reason != NULL ? reason + 2 : knock->error->message);
}

static gboolean
check_tcp(Check *check, GError **error)
{
	g_autoptr(GPtrArray) knocks = NULL;
	g_autoptr(GString) text = g_string_new(NULL);
	guint answered = 0;

	begin("TCP");
	knocks = knock_everywhere(check);
	g_string_printf(text, "port %u: ", check->config->server.port);
	for (guint i = 0; i < knocks->len; i++) {
		const Knock *knock = knocks->pdata[i];
		g_autofree char *line = knock_text(knock);

		answered += knock->error == NULL;
		g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", line);
	}
	if (answered == 0) {
		const GError *first = ((Knock *)knocks->pdata[0])->error;

		g_set_error_literal(error, first->domain, first->code, text->str);
		return end_failed(*error, "is the port right, does the server run, is a firewall "
					  "in between?");
	}
	end_ok(text->str);
	return TRUE;
}

/* --- TLS and login ------------------------------------------------------------------------ */

char *
check_expiry_text(gint64 expires, gint64 now)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(expires);
	g_autofree char *date = time != NULL ? g_date_time_format(time, "%Y-%m-%d") : NULL;
	gint64 days = (expires - now) / DAY;

	if (date == NULL || expires == 0)
		return g_strdup("good until an unreadable date");
	if (expires < now)
		return g_strdup_printf("expired since %s", date);
	return g_strdup_printf("good until %s (%" G_GINT64_FORMAT " day%s%s)", date, days,
			       days == 1 ? "" : "s", days < 14 ? " only: renew it" : "");
}

static char *
line_text(const Check *check)
{
	TlsStream *stream = wire_stream(check->backend->wire);
	g_auto(TlsCertificate) certificate = {0};
	g_autofree char *expiry = NULL;

	if (!tls_stream_get_certificate(stream, &certificate))
		return g_strdup_printf("%s: password and mail %s", tls_stream_describe(stream),
				       tls_stream_is_loopback(stream)
					       ? "stay on this machine"
					       : "can be read by all on the way");
	expiry = check_expiry_text(certificate.expires, g_get_real_time() / G_USEC_PER_SEC);
	return g_strdup_printf("%s; certificate for %s, issued by %s, %s, %s",
			       tls_stream_describe(stream), certificate.subject, certificate.issuer,
			       expiry, certificate.fingerprint);
}

/* Ends the stage TLS. */
static void
tell_line(Check *check)
{
	g_autofree char *text = NULL;

	if (check->line_told)
		return;
	check->line_told = TRUE;
	text = line_text(check);
	end_ok(text);
}

/* The line asks for the secret: it stands, and is as secure as it will be. */
static char *
get_secret(gpointer user, gboolean again, GCancellable *cancel, GError **error)
{
	Check *check = user;

	if (!check->line_told) {
		tell_line(check);
		begin("login");
	}
	return check->secret.get(check->secret.user, again, cancel, error);
}

static gboolean
fail_login(Check *check, const GError *error)
{
	const Wire *wire = check->backend->wire;
	gboolean secured = check->config->server.tls == TLS_NONE ||
			   (wire != NULL && tls_stream_is_secure(wire_stream((Wire *)wire)));

	if (!check->line_told && wire != NULL && secured) {
		tell_line(check);
		begin(g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN) ? "login"
									       : "greeting");
	}
	if (!check->line_told && g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_TIMEOUT) &&
	    check->config->server.tls == TLS_STARTTLS)
		return end_failed(
			error, check->config->kind == CONFIG_POP3
				       ? "does this port want TLS from the start? then the URL is "
					 "pop3s://"
				       : "does this port want TLS from the start? then the URL is "
					 "imaps://");
	/* With no mechanism tried, the error has named the way out. */
	if (check->backend->mechanism != NULL &&
	    g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN))
		return end_failed(error, "check user and password; some providers want an app "
					 "password, or IMAP or POP3 switched on in their settings");
	return end_failed(error, NULL);
}

static void
on_changed(gpointer user, const char *mailbox)
{
}

/* RFC 3501: to be shown to the user, who sees it below the report. */
static void
on_alert(gpointer user, const char *text)
{
	Check *check = user;

	g_ptr_array_add(check->alerts, util_printable(text, -1, TEXT_BYTES_SHOWN));
}

static const BackendNews news = {.changed = on_changed, .alert = on_alert};

/* Nothing of the maildrop is listed here. */
static gboolean
on_numbers_open(gpointer user, guint32 *uidvalidity_out, guint32 *uidnext_out, GError **error)
{
	*uidvalidity_out = *uidnext_out = 1;
	return TRUE;
}

static gboolean
on_numbers_look_up(gpointer user, PopMessage *messages, guint n, GError **error)
{
	return TRUE;
}

static void
on_numbers_settle(gpointer user, const UidSet *present)
{
}

static const PopNumbers no_numbers = {
	.open = on_numbers_open, .look_up = on_numbers_look_up, .settle = on_numbers_settle};

static void
set_up_backend(Check *check)
{
	const Config *config = check->config;

	check->secret = secrets_secret(check->secrets);
	check->backend_config = (BackendConfig){
		.host = config->server.host,
		.port = config->server.port,
		.tls = config->server.tls,
		.tls_context = check->tls_context,
		.insecure_plaintext = config->insecure_plaintext,
		.user = config->server.user,
		.auth = config->auth,
		.auth_token = secrets_is_token(check->secrets),
		.secret = {.get = get_secret, .user = check},
		.timeout_ms = config->timeout * 1000,
		.read_only = TRUE,
		.compress = TRUE,
		.numbers = &no_numbers,
	};
	check->backend = (config->kind == CONFIG_POP3 ? pop_backend_new : imap_backend_new)(
		&check->backend_config, &news, check);
}

static gboolean
check_login(Check *check, GError **error)
{
	const Config *config = check->config;
	g_autofree char *text = NULL;

	/* Before the line is opened: a server does not wait long for one who looks for a password.
	 */
	check->secrets =
		secrets_new(check->config, g_steal_pointer(&check->environment), NULL, error);
	if (check->secrets == NULL) {
		begin("password");
		return end_failed(*error, NULL);
	}
	begin("TLS");
	if (config->server.tls != TLS_NONE) {
		check->tls_context =
			tls_context_new(config->tls_ca, config->tls_fingerprint, error);
		if (check->tls_context == NULL)
			return end_failed(*error, NULL);
	}
	set_up_backend(check);
	if (!check->backend->ops->login(check->backend, NULL, error))
		return fail_login(check, *error);
	if (!check->line_told) {
		tell_line(check);
		begin("login");
	}
	text = check->backend->mechanism != NULL
		       ? g_strdup_printf("%s, by %s", config->server.user,
					 check->backend->mechanism)
		       : g_strdup("the server let us in without a password (PREAUTH)");
	end_ok(text);
	return TRUE;
}

/* --- what the server can ------------------------------------------------------------------ */

/* The first one offered of those that do the same counts; the last one stands for them when there
 * is none. */
typedef struct {
	const char *names[3];
	const char *meaning[3];
	const char *without;
} Matter;

static const Matter matters_of_imap[] = {
	{{"IDLE"}, {"push"}, "push (new mail shows within dir-time)"},
	{{"QRESYNC", "CONDSTORE"},
	 {"quick sync", "quick sync of flags"},
	 "quick sync (each refresh asks for all flags)"},
	{{"COMPRESS=DEFLATE"}, {"compression"}, "compression"},
	{{"QUOTA"}, {"quota"}, "quota (df shows no sizes)"},
	{{"SPECIAL-USE", "XLIST"}, {"special folders", "special folders"}, "special folders"},
};

static const Matter matters_of_pop[] = {
	{{"UIDL"}, {"lasting names"}, "lasting names (messages are known by their headers)"},
	{{"TOP"}, {"headers"}, "headers by themselves (a first listing fetches whole messages)"},
	{{"PIPELINING"}, {"pipelining"}, "pipelining (each message costs a round trip)"},
};

static gboolean
is_offered(const GPtrArray *capabilities, const char *name)
{
	for (guint i = 0; i < capabilities->len; i++)
		if (strcmp(g_ptr_array_index(capabilities, i), name) == 0)
			return TRUE;
	return FALSE;
}

char *
check_capability_text(const GPtrArray *capabilities, gboolean pop)
{
	const Matter *matters = pop ? matters_of_pop : matters_of_imap;
	guint n = pop ? G_N_ELEMENTS(matters_of_pop) : G_N_ELEMENTS(matters_of_imap);
	GString *has = g_string_new(NULL);
	g_autoptr(GString) lacks = g_string_new(NULL);

	for (guint i = 0; i < n; i++) {
		guint k = 0;

		while (matters[i].names[k] != NULL &&
		       !is_offered(capabilities, matters[i].names[k]))
			k++;
		if (matters[i].names[k] != NULL)
			g_string_append_printf(has, "%s%s (%s)", has->len > 0 ? ", " : "",
					       matters[i].meaning[k], matters[i].names[k]);
		else
			g_string_append_printf(lacks, "%s%s", lacks->len > 0 ? ", " : "",
					       matters[i].without);
	}
	if (has->len == 0)
		g_string_append(has, "the bare protocol");
	if (lacks->len > 0)
		g_string_append_printf(has, "; without %s", lacks->str);
	return g_string_free(has, FALSE);
}

static gboolean
check_capabilities(Check *check, GError **error)
{
	g_autofree char *text = check_capability_text(check->backend->capabilities,
						      check->config->kind == CONFIG_POP3);

	begin("server");
	end_ok(text);
	return TRUE;
}

/* --- requests ----------------------------------------------------------------------------- */

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	Check *check = user;

	check->done = TRUE;
	if (error != NULL)
		check->request_error = g_error_copy(error);
}

/* One turn of the line. FALSE: it is lost. */
static gboolean
turn(Backend *backend, GError **error)
{
	gint64 next = backend->ops->tick(backend, g_get_monotonic_time(), error);

	return next >= 0 && wire_wait(backend->wire, -1, next, error) &&
	       backend->ops->receive(backend, error);
}

/* Does what a session does, for one request, to its end. */
static gboolean
run_request(Check *check, Request *request, GError **error)
{
	g_autoptr(GError) lost = NULL;

	check->done = FALSE;
	check->backend->ops->start(check->backend, request);
	while (!check->done && turn(check->backend, &lost))
		continue;
	if (!check->done || lost != NULL) {
		if (lost == NULL)
			lost = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
						   "the line was lost");
		check->backend->ops->free(check->backend, lost); /* this ends the request */
		check->backend = NULL;
	}
	if (check->request_error == NULL)
		return TRUE;
	g_propagate_error(error, g_steal_pointer(&check->request_error));
	return FALSE;
}

char *
check_folder_path(const MailboxInfo *info)
{
	char separator[2] = "";
	gsize skip = strlen(info->prefix);
	g_auto(GStrv) components = NULL;

	if (strncmp(info->name, info->prefix, skip) != 0 || info->name[skip] == '\0')
		skip = 0;
	separator[0] = info->separator;
	components = *separator != '\0' ? g_strsplit(info->name + skip, separator, -1)
					: g_strdupv((char *[]){(char *)info->name + skip, NULL});
	for (guint i = 0; components[i] != NULL; i++) {
		g_autofree char *raw = components[i];

		components[i] = name_from_mutf7(raw, strlen(raw));
	}
	return g_strjoinv("/", components);
}

static void
on_mailbox(gpointer user, const MailboxInfo *info)
{
	static const struct {
		guint bit;
		const char *word;
	} uses[] = {
		{MAILBOX_SENT, "sent"},	      {MAILBOX_DRAFTS, "drafts"},
		{MAILBOX_TRASH, "trash"},     {MAILBOX_JUNK, "junk"},
		{MAILBOX_ARCHIVE, "archive"}, {MAILBOX_ALL, "all"},
		{MAILBOX_FLAGGED, "flagged"},
	};
	Check *check = user;
	g_autofree char *path = check_folder_path(info);
	g_autofree char *shown = util_printable(path, -1, NAME_BYTES_SHOWN);

	check->n_folders++;
	check->n_closed += (info->attributes & MAILBOX_NOSELECT) != 0;
	if (info->messages != G_MAXUINT32)
		check->n_messages += info->messages;
	else if ((info->attributes & MAILBOX_NOSELECT) == 0)
		check->messages_told = FALSE;
	for (guint i = 0; i < G_N_ELEMENTS(uses); i++)
		if ((info->attributes & uses[i].bit) != 0)
			g_string_append_printf(check->special, "; %s is %s", uses[i].word, shown);
}

static gboolean
check_folders(Check *check, GError **error)
{
	static const RequestEvents events = {.mailbox = on_mailbox, .done = on_done};
	g_autoptr(GString) text = g_string_new(NULL);

	begin("folders");
	check->messages_told = TRUE;
	if (!run_request(check, request_new(REQUEST_LIST, NULL, &events, check), error))
		return end_failed(*error, NULL);
	if (check->n_folders == 0) {
		g_set_error_literal(
			error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
			"the server lists none, not even INBOX: is this the right user?");
		return end_failed(*error, NULL);
	}
	g_string_printf(text, "%u", check->n_folders);
	if (check->n_closed > 0)
		g_string_append_printf(text, ", %u of them only hold others", check->n_closed);
	if (check->messages_told)
		g_string_append_printf(text, "; %" G_GUINT64_FORMAT " messages", check->n_messages);
	if (check->config->kind == CONFIG_POP3)
		g_string_append(text, ", the maildrop");
	else
		g_string_append(text, check->special->len > 0
					      ? check->special->str
					      : "; none is marked as sent, trash or such");
	end_ok(text->str);
	return TRUE;
}

static void
on_quota(gpointer user, guint64 used, guint64 limit)
{
	Check *check = user;

	check->has_quota = TRUE;
	check->quota_used = used;
	check->quota_limit = limit;
}

static gboolean
check_quota(Check *check, GError **error)
{
	static const RequestEvents events = {.quota = on_quota, .done = on_done};
	g_autofree char *used = NULL;
	g_autofree char *limit = NULL;
	g_autofree char *text = NULL;

	if (check->config->kind == CONFIG_POP3)
		return TRUE;
	begin("quota");
	if (!run_request(check, request_new(REQUEST_QUOTA, "INBOX", &events, check), error))
		return end_failed(*error, NULL);
	if (!check->has_quota) {
		end_ok("the server tells none");
		return TRUE;
	}
	used = util_format_size(check->quota_used);
	limit = util_format_size(check->quota_limit);
	text = g_strdup_printf(
		"%s of %s used (%.0f %%)%s", used, limit,
		100 * (gdouble)check->quota_used / (gdouble)MAX(check->quota_limit, 1),
		check->quota_used >= check->quota_limit ? ": it is full, new mail is refused" : "");
	end_ok(text);
	return TRUE;
}

static gboolean
check_smtp(Check *check, GError **error)
{
	g_autofree char *text = NULL;

	if (check->config->smtp.host == NULL)
		return TRUE;
	begin("SMTP");
	text = check_smtp_server(check->config, check->secrets, error);
	if (text == NULL)
		return end_failed(*error, NULL);
	end_ok(text);
	return TRUE;
}

/* --- the verb ----------------------------------------------------------------------------- */

static void
check_clear(Check *check)
{
	if (check->backend != NULL) {
		g_autoptr(GError) closed = g_error_new_literal(MAILFS_ERROR, MAILFS_ERROR_OFFLINE,
							       "the connection was closed");

		check->backend->ops->free(check->backend, closed);
	}
	if (check->addresses != NULL)
		g_ptr_array_unref(check->addresses);
	tls_context_free(check->tls_context);
	secrets_free(check->secrets);
	config_free(check->config);
	util_free_secret(check->environment);
	g_ptr_array_unref(check->alerts);
	g_string_free(check->special, TRUE);
}

int
check_run(const char *source, GPtrArray *options, char *environment)
{
	static gboolean (*const stages[])(Check *, GError **) = {
		check_config,	    check_dns,	   check_tcp,	check_login,
		check_capabilities, check_folders, check_quota, check_smtp,
	};
	Check check = {
		.source = source,
		.options = options,
		.environment = environment,
		.alerts = g_ptr_array_new_with_free_func(g_free),
		.special = g_string_new(NULL),
	};
	g_autoptr(GError) error = NULL;
	gboolean good = TRUE;

	for (guint i = 0; good && i < G_N_ELEMENTS(stages); i++)
		good = stages[i](&check, &error);
	for (guint i = 0; i < check.alerts->len; i++)
		printf("the server says: %s\n", (char *)g_ptr_array_index(check.alerts, i));
	if (good) {
		check.backend->ops->logout(check.backend, LOGOUT_MS);
		printf("All is well. To mount it: mailfs %s MOUNTPOINT%s\n", source,
		       options != NULL && options->len > 0 ? ", with the same options" : "");
	}
	check_clear(&check);
	return good ? EX_OK : exit_code_from_error(error);
}
