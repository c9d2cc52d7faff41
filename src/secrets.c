/* SPDX-License-Identifier: MIT */
#include "secrets.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "secrets-command.h"
#include "secrets-terminal.h"

/* A token serves sessions that log in together; asked for later, it may have expired. */
#define TOKEN_FRESH_US (30 * G_USEC_PER_SEC)

/* The page that holds the secret: SECRET_MAX in secrets-command.h fits. */
#define PAGE_SIZE 16384
G_STATIC_ASSERT(PAGE_SIZE > SECRET_MAX);

struct Secrets {
	char *command; /* NULL: the secret never changes */
	const char *command_name;
	gboolean is_token;
	gboolean none; /* GSSAPI: nobody will ask */
	guint timeout_ms;
	gint forget; /* atomic */

	GMutex mutex; /* guards what follows, and is held while a command runs */
	char *page;   /* NUL-terminated; "" when there is none yet */
	gint64 got;   /* monotonic µs */
};

char *
secrets_take_environment(void)
{
	char *value = getenv("MAILFS_PASSWORD");
	char *copy = value != NULL && *value != '\0' ? g_strdup(value) : NULL;

	if (value != NULL) {
		util_wipe(value, strlen(value));
		unsetenv("MAILFS_PASSWORD");
	}
	return copy;
}

void
secrets_harden(void)
{
	struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		g_debug("secrets: this process could leave a core dump");
}

static char *
page_new(void)
{
	char *page =
		mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		g_error("no memory for one page");
	if (mlock(page, PAGE_SIZE) != 0 || madvise(page, PAGE_SIZE, MADV_DONTDUMP) != 0)
		g_debug("secrets: the password's page could be swapped out or dumped");
	return page;
}

/* Takes the string over. */
static gboolean
keep(Secrets *secrets, char *secret, const char *from, GError **error)
{
	gsize len = strlen(secret);
	gboolean good = len > 0 && len <= SECRET_MAX && strpbrk(secret, "\r\n") == NULL;

	if (good) {
		memcpy(secrets->page, secret, len + 1);
		secrets->got = g_get_monotonic_time();
	} else {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "the password from %s is %s",
			    from, len == 0 ? "empty" : "too long or more than one line");
	}
	util_free_secret(secret);
	return good;
}

static gboolean
prompt(Secrets *secrets, const Config *config, GCancellable *cancel, GError **error)
{
	g_autofree char *user = util_printable(config->server.user, -1, 100);
	g_autofree char *question =
		g_strdup_printf("Password of %s at %s: ", user, config->server.host);
	g_autoptr(GError) why = NULL;
	char *secret = terminal_ask_secret(question, cancel, &why);

	if (secret != NULL)
		return keep(secrets, secret, "the terminal", error);
	if (g_error_matches(why, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		g_propagate_error(error, g_steal_pointer(&why));
	else
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "no password for %s, and no terminal to ask for it: give "
			    "password-command=CMD (or token-command=CMD), put password= into the "
			    "config file, or set MAILFS_PASSWORD",
			    user);
	return FALSE;
}

static gboolean
choose_source(Secrets *secrets, Config *config, char **environment, GCancellable *cancel,
	      GError **error)
{
	if (config->token_command != NULL || config->password_command != NULL) {
		gboolean is_token = config->token_command != NULL;

		secrets->is_token = secrets->is_token || is_token;
		secrets->command_name = is_token ? "token-command" : "password-command";
		secrets->command =
			g_strdup(is_token ? config->token_command : config->password_command);
		return TRUE;
	}
	if (config->password != NULL)
		return keep(secrets, g_steal_pointer(&config->password), "the config file", error);
	if (*environment != NULL)
		return keep(secrets, g_steal_pointer(environment), "MAILFS_PASSWORD", error);
	secrets->none = config->auth == AUTH_GSSAPI;
	return secrets->none || prompt(secrets, config, cancel, error);
}

/* One without a source so far. */
static Secrets *
new_empty(const Config *config)
{
	Secrets *secrets = g_new0(Secrets, 1);

	g_mutex_init(&secrets->mutex);
	secrets->page = page_new();
	secrets->timeout_ms = config->timeout * 1000;
	secrets->is_token = config->auth == AUTH_XOAUTH2 || config->auth == AUTH_OAUTHBEARER;
	return secrets;
}

Secrets *
secrets_new(Config *config, char *environment, GCancellable *cancel, GError **error)
{
	g_autoptr(Secrets) secrets = new_empty(config);
	gboolean good = choose_source(secrets, config, &environment, cancel, error);

	util_free_secret(environment);
	util_free_secret(g_steal_pointer(&config->password));
	return good ? g_steal_pointer(&secrets) : NULL;
}

Secrets *
secrets_new_for_command(const char *name, const char *command, const Config *config)
{
	Secrets *secrets = new_empty(config);

	secrets->command_name = name;
	secrets->command = g_strdup(command);
	return secrets;
}

void
secrets_free(Secrets *secrets)
{
	if (secrets == NULL)
		return;
	util_wipe(secrets->page, PAGE_SIZE);
	munmap(secrets->page, PAGE_SIZE);
	util_free_secret(secrets->command);
	g_mutex_clear(&secrets->mutex);
	g_free(secrets);
}

static char *
refused(const Secrets *secrets, GError **error)
{
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN,
		    secrets->command != NULL
			    ? "the server refused the password, and %s gives no other"
			    : "the server refused the password",
		    secrets->command_name);
	return NULL;
}

/* With the mutex held. */
static gboolean
run_command(Secrets *secrets, gboolean again, GCancellable *cancel, GError **error)
{
	g_autoptr(UtilSecret) before = again && !secrets->is_token ? g_strdup(secrets->page) : NULL;
	char *secret = command_read_line(secrets->command_name, secrets->command,
					 secrets->timeout_ms, cancel, error);

	if (secret == NULL || !keep(secrets, secret, secrets->command_name, error))
		return FALSE;
	if (before == NULL || *before == '\0' || !g_str_equal(before, secrets->page))
		return TRUE;
	refused(secrets, error);
	return FALSE;
}

static char *
get(gpointer user, gboolean again, GCancellable *cancel, GError **error)
{
	Secrets *secrets = user;
	g_autoptr(GMutexLocker) lock G_GNUC_UNUSED = g_mutex_locker_new(&secrets->mutex);
	gboolean stale;

	if (g_cancellable_set_error_if_cancelled(cancel, error))
		return NULL;
	if (g_atomic_int_exchange(&secrets->forget, 0) != 0 && secrets->command != NULL)
		util_wipe(secrets->page, PAGE_SIZE);
	stale = *secrets->page == '\0' ||
		(secrets->is_token && g_get_monotonic_time() - secrets->got > TOKEN_FRESH_US);
	if (secrets->none) {
		g_set_error_literal(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
				    "there is no password: auth=gssapi takes a Kerberos ticket");
		return NULL;
	}
	if (secrets->command == NULL)
		return again ? refused(secrets, error) : g_strdup(secrets->page);
	if ((again || stale) && !run_command(secrets, again, cancel, error))
		return NULL;
	return g_strdup(secrets->page);
}

Secret
secrets_secret(Secrets *secrets)
{
	return (Secret){get, secrets};
}

void
secrets_forget(Secrets *secrets)
{
	if (secrets != NULL)
		g_atomic_int_set(&secrets->forget, 1);
}

gboolean
secrets_is_token(const Secrets *secrets)
{
	return secrets->is_token;
}

gboolean
secrets_confirm(const char *question, GCancellable *cancel)
{
	return terminal_confirm(question, cancel);
}
