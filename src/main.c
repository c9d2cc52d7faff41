/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/util.h"
#include "check.h"
#include "config.h"
#include "control.h"
#include "fetch.h"
#include "flag.h"
#include "mount.h"
#include "secrets.h"
#include "send.h"

static const char usage[] =
	"mailfs SOURCE MOUNTPOINT [-f] [-d] [-o OPTION[,OPTION…]]   mount a mail account\n"
	"mailfs umount MOUNTPOINT [--now]                           unmount it\n"
	"mailfs status [MOUNTPOINT] [--json]                        what a mount is doing\n"
	"mailfs check SOURCE [-d] [-o OPTION[,OPTION…]]             can it be mounted? what is "
	"wrong?\n"
	"mailfs fetch PATH…                                         bring mail into the cache\n"
	"mailfs flag [+-]FLAG… FILE…                                change the flags of messages\n"
	"mailfs send [-t] [--wait] [RECIPIENT…] < MESSAGE           send a message, as sendmail "
	"does\n"
	"mailfs allow-delete MOUNTPOINT                             lift the guard on rm for a "
	"while\n"
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
	       "SOURCE is an account of the config file, an address (alice@example.org: its "
	       "servers are looked up),\n"
	       "or a URL: imaps://user@host[:993]/, imap://user@host[:143]/ (STARTTLS), "
	       "pop3s://..., "
	       "pop3://...\n\n"
	       "  -f          stay in the foreground\n"
	       "  -d          stay in the foreground and tell everything (never a password)\n"
	       "  -o OPTION   the options below; they can also stand in ~/.config/mailfs/config, "
	       "or be written --OPTION=VALUE\n\n%s\n"
	       "The password comes from password-command, the config file, MAILFS_PASSWORD, or a "
	       "prompt; never from the command line.\n"
	       "See mailfs(1).\n",
	       usage, options);
	return EX_OK;
}

static int
help_verb(const char *verb)
{
	static const struct {
		const char *verb, *text;
	} pages[] = {
		{"umount",
		 "usage: mailfs umount MOUNTPOINT [--now]\n\n"
		 "Waits until what was written is on the server (not with --now, and until "
		 "Ctrl-C),\nunmounts, and returns when the mount's process has ended."},
		{"status", "usage: mailfs status [MOUNTPOINT] [--json]\n\n"
			   "Shows connections, cache, waiting requests and the last error, of all "
			   "mounts or of one."},
		{"check",
		 "usage: mailfs check SOURCE [-d] [-o OPTION[,OPTION…]]\n\n"
		 "Goes the way of a mount step by step, config, DNS, TCP, TLS, login, what "
		 "the server can,\nfolders, quota, and says of each step whether it is good, "
		 "or what to do. Mounts nothing and\nleaves the cache alone. SOURCE and "
		 "options are those of a mount: see mailfs --help."},
		{"flag",
		 "usage: mailfs flag [+-]FLAG… FILE…\n\n"
		 "Sets (+) and removes (-) flags of messages on a mount: seen, answered, flagged, "
		 "deleted,\ndraft, and keywords: mailfs flag +seen -work ~/mail/INBOX/*"},
		{"allow-delete",
		 "usage: mailfs allow-delete MOUNTPOINT\n\n"
		 "For ten minutes rm may delete any number of messages there: see delete-limit in "
		 "mailfs(1)."},
		{"send",
		 "usage: mailfs send [-t] [-i] [-f SENDER] [-F NAME] [-a ACCOUNT] [--wait] [-v] "
		 "[--OPTION=VALUE] [RECIPIENT…]\n"
		 "       mailfs send -q\n\n"
		 "Puts the message on standard input into the Outbox, as sendmail(8) does:\n\n"
		 "  -t          recipients are in To, Cc and Bcc of the message\n"
		 "  -i          a line with a dot alone is not its end\n"
		 "  -f SENDER   the sender of the envelope (the account's address)\n"
		 "  -F NAME     the name in From, when the message has no From\n"
		 "  -a ACCOUNT  the account; else the one whose address -f or From is, else the "
		 "first that can send\n"
		 "  -q          send what waits\n"
		 "  -N WHEN     tell the sender: never, or success,failure,delay; -R full|hdrs, "
		 "-V ID\n"
		 "  -v          tell what happens\n"
		 "  --wait      end with what the mail server said\n\n"
		 "Other options of sendmail are taken and mean nothing. See mailfs(1)."},
		{"fetch",
		 "usage: mailfs fetch PATH…\n\n"
		 "Brings each message at and below PATH, on a mount, into the cache, to be "
		 "read while\noffline. Ctrl-C ends it; what has come stays."},
	};

	for (gsize i = 0; i < G_N_ELEMENTS(pages); i++)
		if (strcmp(verb, pages[i].verb) == 0)
			puts(pages[i].text);
	return EX_OK;
}

/* --name, --name=value, --name value: kept as the words that config_load() takes. FALSE:
 * complained, *code is set. */
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

/* -o OPTIONS, -oOPTIONS, --OPTION. FALSE: it is none, or *code is set and a complaint was made. */
static gboolean
take_option(char **argv, int argc, int *i, GPtrArray *options, int *code)
{
	const char *word = argv[*i];

	if (strncmp(word, "--", 2) == 0 && word[2] != '\0')
		return take_long_option(argv, argc, i, options, code);
	if (*word != '-' || word[1] == '\0')
		return FALSE;
	if (strncmp(word, "-o", 2) != 0) {
		*code = usage_error("unknown option ", word);
		return FALSE;
	}
	if (word[2] == '\0' && *i + 1 >= argc) {
		*code = usage_error("a value is missing after ", word);
		return FALSE;
	}
	config_split_options(word[2] != '\0' ? word + 2 : argv[++*i], options);
	return TRUE;
}

static void
debug_on(void)
{
	g_setenv("G_MESSAGES_DEBUG", "mailfs", TRUE);
}

static int
run_mount(char **argv, int argc, char **environment)
{
	g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);
	MountArguments arguments = {.options = options};
	int code = EX_OK;

	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];

		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			return help_mount();
		if (strcmp(word, "-f") == 0)
			arguments.foreground = TRUE;
		else if (strcmp(word, "-d") == 0)
			arguments.foreground = arguments.debug = TRUE;
		else if (take_option(argv, argc, &i, options, &code))
			continue;
		else if (code != EX_OK)
			return code;
		else if (arguments.source == NULL)
			arguments.source = word;
		else if (arguments.mountpoint == NULL)
			arguments.mountpoint = word;
		else
			return usage_error("one word too many: ", word);
	}
	if (arguments.source == NULL)
		return usage_error("which account, and where? SOURCE and MOUNTPOINT are missing",
				   "");
	if (arguments.mountpoint == NULL)
		return usage_error("where? MOUNTPOINT is missing after ", arguments.source);
	if (arguments.debug)
		debug_on();
	arguments.environment = g_steal_pointer(environment);
	return mount_run(&arguments);
}

static int
run_check(char **argv, int argc, char **environment)
{
	g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);
	const char *source = NULL;
	int code = EX_OK;

	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];

		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			return help_verb("check");
		if (strcmp(word, "-d") == 0)
			debug_on();
		else if (take_option(argv, argc, &i, options, &code))
			continue;
		else if (code != EX_OK)
			return code;
		else if (source == NULL)
			source = word;
		else
			return usage_error("one word too many: ", word);
	}
	if (source == NULL)
		return usage_error("which account? SOURCE is missing after check", "");
	return check_run(source, options, g_steal_pointer(environment));
}

static int
run_fetch(char **argv, int argc)
{
	gboolean words_only = FALSE; /* after "--" */
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (words_only || *argv[i] != '-')
			argv[n++] = argv[i];
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return help_verb("fetch");
		else if (strcmp(argv[i], "--") == 0)
			words_only = TRUE;
		else
			return usage_error("unknown option ", argv[i]);
	}
	if (n == 0)
		return usage_error("which mail? PATH is missing after fetch", "");
	return fetch_run(argv, n);
}

/* Words with + or - in front, then paths; "--" ends the former. */
static int
run_flag(char **argv, int argc)
{
	g_autoptr(GString) flags = g_string_new(NULL);
	int i = 0;

	for (; i < argc && (*argv[i] == '+' || *argv[i] == '-') && strcmp(argv[i], "--") != 0;
	     i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return help_verb("flag");
		g_string_append_printf(flags, "%s%s", flags->len > 0 ? " " : "", argv[i]);
	}
	if (i < argc && strcmp(argv[i], "--") == 0)
		i++;
	if (flags->len == 0)
		return usage_error("which flag? +FLAG or -FLAG is missing after flag", "");
	if (i == argc)
		return usage_error("which mail? FILE is missing after ", flags->str);
	return flag_run(flags->str, argv + i, argc - i);
}

static int
run_send(char **argv, int argc, char **environment)
{
	if (argc > 0 && strcmp(argv[0], "--help") == 0)
		return help_verb("send");
	return send_run(argv, argc, g_steal_pointer(environment));
}

static int
run_control(const char *verb, char **argv, int argc)
{
	const char *mountpoint = NULL;
	gboolean json = FALSE;
	gboolean now = FALSE;
	gboolean is_status = strcmp(verb, "status") == 0;
	gboolean is_umount = strcmp(verb, "umount") == 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return help_verb(verb);
		if (is_status && strcmp(argv[i], "--json") == 0)
			json = TRUE;
		else if (is_umount && strcmp(argv[i], "--now") == 0)
			now = TRUE;
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
	return is_umount ? control_umount(mountpoint, now) : flag_allow_delete(mountpoint);
}

int
main(int argc, char **argv)
{
	g_autoptr(UtilSecret) environment = secrets_take_environment();
	const char *verb = argc > 1 ? argv[1] : "";
	g_autofree char *program = g_path_get_basename(argc > 0 ? argv[0] : "");

	umask(077);
	g_log_writer_default_set_use_stderr(TRUE);
	if (g_str_equal(program, "sendmail"))
		return run_send(argv + 1, argc - 1, &environment);
	if (argc < 2)
		return usage_error("what shall be mounted?", "");
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0)
		return help_mount();
	if (strcmp(verb, "--version") == 0 || strcmp(verb, "-V") == 0) {
		puts("mailfs " MAILFS_VERSION);
		return EX_OK;
	}
	if (strcmp(verb, "umount") == 0 || strcmp(verb, "status") == 0 ||
	    strcmp(verb, "allow-delete") == 0)
		return run_control(verb, argv + 2, argc - 2);
	if (strcmp(verb, "check") == 0)
		return run_check(argv + 2, argc - 2, &environment);
	if (strcmp(verb, "flag") == 0)
		return run_flag(argv + 2, argc - 2);
	if (strcmp(verb, "fetch") == 0)
		return run_fetch(argv + 2, argc - 2);
	if (strcmp(verb, "send") == 0)
		return run_send(argv + 2, argc - 2, &environment);
	if (strcmp(verb, "mount") == 0)
		return run_mount(argv + 2, argc - 2, &environment);
	return run_mount(argv + 1, argc - 1, &environment);
}
