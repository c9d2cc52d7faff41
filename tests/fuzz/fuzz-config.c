/* SPDX-License-Identifier: MIT */
/* Any bytes as a config file and a command line: lines that begin with `>` are SOURCE (the first
 * one) and options; the rest is the file. Beyond "does not crash": what is loaded keeps the
 * promises of config.h. */
#include <string.h>

#include <gio/gio.h>

#include "base/error.h"
#include "config.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static void
check_server(const ConfigServer *server)
{
	g_assert_true(server->host != NULL && *server->host != '\0' && server->port != 0);
	g_assert_true(server->user != NULL && *server->user != '\0');
	for (const char *p = server->host; *p != '\0'; p++)
		g_assert_false(g_ascii_iscntrl(*p) || g_ascii_isspace(*p) || *p == '/');
	for (const char *p = server->user; *p != '\0'; p++)
		g_assert_false(g_ascii_iscntrl(*p));
}

static void
check_config(const Config *config)
{
	const char *last = strrchr(config->cache_dir, '/');

	check_server(&config->server);
	if (config->smtp.host != NULL)
		check_server(&config->smtp);
	g_assert_null(strchr(config->account, '/'));
	g_assert_true(*config->account != '.' && *config->account != '\0');
	g_assert_cmpuint(strlen(config->account), <=, 200);
	g_assert_true(g_path_is_absolute(config->cache_dir));
	g_assert_cmpstr(last + 1, ==, config->account);
	g_assert_true(config->tls_ca == NULL || g_path_is_absolute(config->tls_ca));
	g_assert_true(config->connections >= 1 && config->connections <= 32);
	g_assert_true(config->timeout >= 1 && config->timeout <= 3600);
	g_assert_true(config->cache_size > 0 && config->umask <= 0777);
	g_assert_true(config->layout == CONFIG_LAYOUT_PLAIN);
	g_assert_true(config->server.tls != TLS_NONE || config->insecure_plaintext ||
		      strncmp(config->server.host, "127.", 4) == 0 ||
		      strchr(config->server.host, ':') != NULL ||
		      strcmp(config->server.host, "localhost") == 0);
	g_assert_true(config->password_command == NULL || config->token_command == NULL);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GString) file = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) config = NULL;
	const char *source = NULL;

	for (guint i = 0; lines[i] != NULL; i++) {
		if (*lines[i] != '>')
			g_string_append_printf(file, "%s\n", lines[i]);
		else if (source == NULL)
			source = lines[i] + 1;
		else
			config_split_options(lines[i] + 1, options);
	}
	/* What follows a NUL belongs to the file as well. */
	if (strlen(text) < size)
		g_string_append_len(file, (const char *)data + strlen(text), size - strlen(text));
	config = config_load_data(source != NULL ? source : "w", options, file->str, file->len,
				  "/c", &error);
	g_assert_true((config != NULL) == (error == NULL));
	if (config != NULL)
		check_config(config);
	else
		g_assert_true(
			error->domain == MAILFS_ERROR &&
			(error->code == MAILFS_ERROR_USAGE || error->code == MAILFS_ERROR_CONFIG));
	return 0;
}
