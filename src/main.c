/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/util.h"
#include "config.h"
#include "control.h"
#include "mount.h"
#include "secrets.h"

static const char usage[] = "mailfs SOURCE MOUNTPOINT [-f] [-d] [-o OPTION[,OPTION…]]   mount a mail account\n"
			    "mailfs umount MOUNTPOINT                                   unmount it\n"
			    "mailfs status [MOUNTPOINT] [--json]                        what a mount is doing\n"
			    "mailfs --version | --help | VERB --help\n";

static int
usage_error(const char *format, const char *what)
{
	fputs("mailfs: ", stderr);
	fprintf(stderr, "%s%s\nusage: %s", format, what, usage);
	return EX_USAGE;
}

static int
help_mount(void)
{
	g_autofree char *options = config_option_help();

	printf("usage: %s\n"
	       "SOURCE is an account of the config file, an address (alice@example.org: its servers are looked up),\n"
	       "or a URL: imaps://user@host[:993]/, imap://user@host[:143]/ (STARTTLS).\n\n"
	       "  -f          stay in the foreground\n"
	       "  -d          stay in the foreground and tell everything (never a password)\n"
	       "  -o OPTION   the options below; they can also stand in ~/.config/mailfs/config, or be written --OPTION=VALUE\n\n%s\n"
	       "The password comes from password-command, the config file, MAILFS_PASSWORD, or a prompt; never from the command line.\n"
	       "See mailfs(1).\n",
	       usage, options);
	return EX_OK;
}

static int
help_verb(const char *verb)
{
	if (strcmp(verb, "umount") == 0)
		puts("usage: mailfs umount MOUNTPOINT\n\nUnmounts and returns when the mount's process has ended.");
	else
		puts("usage: mailfs status [MOUNTPOINT] [--json]\n\nShows connections, cache, waiting requests and the last error, of all mounts or of one.");
	return EX_OK;
}

/* --name, --name=value, --name value: kept as the words that config_load() takes. FALSE: complained, *code is set. */
static gboolean
take_long_option(char **argv, int argc, int *i, GPtrArray *options, int *code)
{
	const char *word = argv[*i] + 2;
	const char *equals = strchr(word, '=');
	g_autofree char *name = equals != NULL ? g_strndup(word, equals - word) : g_strdup(word);

	switch (config_option_kind(name)) {
	case CONFIG_OPTION_FLAG:
		g_ptr_array_add(options, g_strdup(word));
		return TRUE;
	case CONFIG_OPTION_WITH_VALUE:
		if (equals != NULL) {
			g_ptr_array_add(options, g_strdup(word));
			return TRUE;
		}
		if (*i + 1 >= argc) {
			*code = usage_error("a value is missing after --", name);
			return FALSE;
		}
		g_ptr_array_add(options, g_strdup_printf("%s=%s", name, argv[++*i]));
		return TRUE;
	case CONFIG_OPTION_UNKNOWN:
		/* config_load() says it better, with the nearest word it knows. */
		g_ptr_array_add(options, g_strdup(word));
		return TRUE;
	}
	return TRUE;
}

static int
run_mount(char **argv, int argc, char *environment)
{
	g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);
	MountArguments arguments = {.options = options, .environment = environment};
	int code;

	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];

		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			return help_mount();
		if (strcmp(word, "-f") == 0) {
			arguments.foreground = TRUE;
		} else if (strcmp(word, "-d") == 0) {
			arguments.foreground = arguments.debug = TRUE;
		} else if (strcmp(word, "-o") == 0) {
			if (i + 1 >= argc)
				return usage_error("a value is missing after ", word);
			config_split_options(argv[++i], options);
		} else if (strncmp(word, "-o", 2) == 0) {
			config_split_options(word + 2, options);
		} else if (strncmp(word, "--", 2) == 0 && word[2] != '\0') {
			if (!take_long_option(argv, argc, &i, options, &code))
				return code;
		} else if (*word == '-' && word[1] != '\0') {
			return usage_error("unknown option ", word);
		} else if (arguments.source == NULL) {
			arguments.source = word;
		} else if (arguments.mountpoint == NULL) {
			arguments.mountpoint = word;
		} else {
			return usage_error("one word too many: ", word);
		}
	}
	if (arguments.source == NULL)
		return usage_error("which account, and where? SOURCE and MOUNTPOINT are missing", "");
	if (arguments.mountpoint == NULL)
		return usage_error("where? MOUNTPOINT is missing after ", arguments.source);
	if (arguments.debug)
		g_setenv("G_MESSAGES_DEBUG", "mailfs", TRUE);
	return mount_run(&arguments);
}

static int
run_control(const char *verb, char **argv, int argc)
{
	const char *mountpoint = NULL;
	gboolean json = FALSE;
	gboolean is_status = strcmp(verb, "status") == 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return help_verb(verb);
		if (is_status && strcmp(argv[i], "--json") == 0)
			json = TRUE;
		else if (*argv[i] == '-')
			return usage_error("unknown option ", argv[i]);
		else if (mountpoint == NULL)
			mountpoint = argv[i];
		else
			return usage_error("one word too many: ", argv[i]);
	}
	if (is_status)
		return control_status(mountpoint, json);
	if (mountpoint == NULL)
		return usage_error("which one? MOUNTPOINT is missing after ", verb);
	return control_umount(mountpoint);
}

int
main(int argc, char **argv)
{
	char *environment = secrets_take_environment();
	const char *verb = argc > 1 ? argv[1] : "";

	umask(077);
	g_log_writer_default_set_use_stderr(TRUE);
	if (argc < 2)
		return usage_error("what shall be mounted?", "");
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0)
		return help_mount();
	if (strcmp(verb, "--version") == 0 || strcmp(verb, "-V") == 0) {
		puts("mailfs " MAILFS_VERSION);
		return EX_OK;
	}
	if (strcmp(verb, "umount") == 0 || strcmp(verb, "status") == 0)
		return run_control(verb, argv + 2, argc - 2);
	if (strcmp(verb, "mount") == 0)
		return run_mount(argv + 2, argc - 2, environment);
	return run_mount(argv + 1, argc - 1, environment);
}
