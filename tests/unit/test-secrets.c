/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "secrets.h"

static Config *
config_with(const char *option)
{
	g_autoptr(GPtrArray) options = g_ptr_array_new();
	g_autoptr(GError) error = NULL;
	Config *config;

	g_ptr_array_add(options, (char *)"timeout=2");
	if (option != NULL)
		g_ptr_array_add(options, (char *)option);
	config = config_load_data("imaps://alice@h/", options, NULL, 0, "/c", &error);
	g_assert_no_error(error);
	return config;
}

/* One get() of a new Secrets with this option. */
static char *
get_once(const char *option, GError **error)
{
	g_autoptr(Config) config = config_with(option);
	g_autoptr(Secrets) secrets = secrets_new(config, NULL, NULL, error);
	Secret secret;

	g_assert_nonnull(secrets);
	secret = secrets_secret(secrets);
	return secret.get(secret.user, FALSE, NULL, error);
}

static void
test_first_line_of_the_command_is_the_password(void)
{
	static const struct {
		const char *option, *password;
	} cases[] = {
		{"password-command=printf 'pa ss=\\303\\244 \\nuser: x\\n'", "pa ss=ä "},
		{"password-command=printf abc", "abc"},
		{"password-command=printf 'abc\\r\\n'", "abc"},
		{"password-command=echo x >&2; echo y; seq 100000", "y"},
		{"token-command=seq -s, 3000 | cut -c 1-9000", NULL},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(UtilSecret) password = get_once(cases[i].option, &error);

		g_assert_no_error(error);
		if (cases[i].password != NULL)
			g_assert_cmpstr(password, ==, cases[i].password);
		else
			g_assert_cmpuint(strlen(password), ==, 9000);
	}
}

static void
test_commands_that_fail_say_why(void)
{
	static const struct {
		const char *option, *text;
	} cases[] = {
		{"password-command=echo 'gpg: no key\033[0m' >&2; echo more >&2; exit 3",
		 "password-command failed with exit code 3: gpg: no key\\x1b[0m"},
		{"password-command=/no/such/program",
		 "password-command failed with exit code 127: "},
		{"password-command=kill -9 $$", "password-command was killed by signal 9"},
		{"token-command=true", "token-command printed no password"},
		{"password-command=echo; echo late", "printed no password"},
		{"password-command=printf 'a\\000b\\n'", "a NUL"},
		{"password-command=seq -s, 10000", "too long"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(get_once(cases[i].option, &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
		if (strstr(error->message, cases[i].text) == NULL)
			g_error("%s: not in: %s", cases[i].text, error->message);
		g_assert_null(strchr(error->message, '\n'));
		g_assert_null(strstr(error->message, "late"));
	}
}

/* The text of a file that a command wrote, as a number. */
static int
read_number(const char *path)
{
	g_autofree char *text = NULL;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	return atoi(text);
}

/* A killed process is gone or a zombie whose new parent has not looked yet. */
static gboolean
is_gone(int pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
	g_autofree char *text = NULL;

	return !g_file_get_contents(path, &text, NULL, NULL) || strstr(text, ") Z ") != NULL;
}

static void
test_slow_command_is_killed_with_its_children(void)
{
	g_autofree char *directory = g_dir_make_tmp("mailfs-secrets-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "pid", NULL);
	g_autofree char *option =
		g_strdup_printf("password-command=sleep 60 & echo $! > %s; wait", path);
	g_autoptr(GError) error = NULL;
	gint64 start = g_get_monotonic_time();
	int pid;

	g_assert_null(get_once(option, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
	g_assert_nonnull(strstr(error->message, "did not end within 2 s"));
	g_assert_cmpint(g_get_monotonic_time() - start, <, 10 * G_USEC_PER_SEC);
	pid = read_number(path);
	for (int i = 0; i < 100 && !is_gone(pid); i++)
		g_usleep(20000);
	g_assert_true(is_gone(pid));
	unlink(path);
	rmdir(directory);
}

static void
test_agent_left_behind_does_not_hold_up(void)
{
	gint64 start = g_get_monotonic_time();
	g_autoptr(GError) error = NULL;
	g_autoptr(UtilSecret) password = get_once("password-command=sleep 5 & echo abc", &error);

	g_assert_no_error(error);
	g_assert_cmpstr(password, ==, "abc");
	g_assert_cmpint(g_get_monotonic_time() - start, <, 2 * G_USEC_PER_SEC);
}

static void
test_command_has_no_terminal_no_input_no_descriptors_no_password(void)
{
	g_autoptr(GError) error = NULL;
	int pipe_fds[2];
	g_autofree char *option = NULL;
	g_autoptr(UtilSecret) seen = NULL;

	g_assert_cmpint(pipe(pipe_fds), ==, 0); /* not close-on-exec: a leak would show */
	option = g_strdup_printf(
		"password-command=cat; [ ! -e /proc/self/fd/%d ] && [ -z \"$MAILFS_PASSWORD\" ] && "
		"! (: < /dev/tty) 2> /dev/null && echo clean",
		pipe_fds[0]);
	g_setenv("MAILFS_PASSWORD", "hunter2", TRUE);
	util_free_secret(secrets_take_environment());
	seen = get_once(option, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(seen, ==, "clean");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static gpointer
cancel_soon(gpointer cancel)
{
	g_usleep(100000);
	g_cancellable_cancel(cancel);
	return NULL;
}

static void
test_cancel_ends_the_wait_at_once(void)
{
	g_autoptr(Config) config = config_with("password-command=sleep 60");
	g_autoptr(Secrets) secrets = secrets_new(config, NULL, NULL, NULL);
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	g_autoptr(GError) error = NULL;
	Secret secret = secrets_secret(secrets);
	gint64 start = g_get_monotonic_time();
	GThread *thread = g_thread_new("cancel", cancel_soon, cancel);

	g_assert_null(secret.get(secret.user, FALSE, cancel, &error));
	g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	g_assert_cmpint(g_get_monotonic_time() - start, <, 1500 * 1000);
	g_thread_join(thread);
}

static void
test_environment_is_emptied(void)
{
	g_autoptr(UtilSecret) first = NULL;
	char *place;

	g_setenv("MAILFS_PASSWORD", "hunter2", TRUE);
	place = getenv("MAILFS_PASSWORD");
	first = secrets_take_environment();
	g_assert_cmpstr(first, ==, "hunter2");
	g_assert_cmpstr(place, ==, "");
	g_assert_null(g_getenv("MAILFS_PASSWORD"));
	g_assert_null(secrets_take_environment());
}

static void
test_sources_come_in_order(void)
{
	char data[] = "[account w]\nsource=imaps://a@h\npassword=from file\n";
	g_autoptr(Config) with_file = config_load_data("w", NULL, data, strlen(data), "/c", NULL);
	g_autoptr(Config) with_command = config_with("password-command=echo from command");
	g_autoptr(Config) with_nothing = config_with(NULL);
	const struct {
		Config *config;
		const char *password;
	} cases[] = {{with_command, "from command"},
		     {with_file, "from file"},
		     {with_nothing, "from environment"}};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(Secrets) secrets =
			secrets_new(cases[i].config, g_strdup("from environment"), NULL, &error);
		g_autoptr(UtilSecret) password = NULL;
		Secret secret;

		g_assert_no_error(error);
		secret = secrets_secret(secrets);
		password = secret.get(secret.user, FALSE, NULL, &error);
		g_assert_cmpstr(password, ==, cases[i].password);
		g_assert_null(cases[i].config->password);
	}
	g_assert_null(strstr(data, "from file"));
}

static void
test_refused_password_is_not_offered_again(void)
{
	g_autoptr(Config) plain = config_with(NULL);
	g_autoptr(Config) command = config_with("password-command=echo same");
	g_autoptr(Secrets) fixed = secrets_new(plain, g_strdup("abc"), NULL, NULL);
	g_autoptr(Secrets) asked = secrets_new(command, NULL, NULL, NULL);
	Secrets *both[] = {fixed, asked};

	for (guint i = 0; i < 2; i++) {
		Secret secret = secrets_secret(both[i]);
		g_autoptr(UtilSecret) first = secret.get(secret.user, FALSE, NULL, NULL);
		g_autoptr(GError) error = NULL;

		g_assert_nonnull(first);
		g_assert_null(secret.get(secret.user, TRUE, NULL, &error));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_LOGIN);
	}
}

static void
test_refused_token_is_got_anew(void)
{
	g_autoptr(Config) config = config_with("token-command=date +%N");
	g_autoptr(Secrets) secrets = secrets_new(config, NULL, NULL, NULL);
	Secret secret = secrets_secret(secrets);
	g_autoptr(GError) error = NULL;
	g_autoptr(UtilSecret) first = secret.get(secret.user, FALSE, NULL, &error);
	g_autoptr(UtilSecret) shared = secret.get(secret.user, FALSE, NULL, &error);
	g_autoptr(UtilSecret) anew = secret.get(secret.user, TRUE, NULL, &error);

	g_assert_no_error(error);
	g_assert_true(secrets_is_token(secrets));
	g_assert_cmpstr(first, ==, shared);
	g_assert_cmpstr(first, !=, anew);
}

static void
test_forgotten_password_is_got_anew(void)
{
	g_autoptr(Config) config = config_with("password-command=date +%N");
	g_autoptr(Secrets) secrets = secrets_new(config, NULL, NULL, NULL);
	Secret secret = secrets_secret(secrets);
	g_autoptr(UtilSecret) first = secret.get(secret.user, FALSE, NULL, NULL);
	g_autoptr(UtilSecret) kept = secret.get(secret.user, FALSE, NULL, NULL);
	g_autoptr(UtilSecret) anew = NULL;

	secrets_forget(secrets);
	anew = secret.get(secret.user, FALSE, NULL, NULL);
	g_assert_cmpstr(first, ==, kept);
	g_assert_nonnull(anew);
	g_assert_cmpstr(first, !=, anew);
}

static gpointer
get_in_thread(gpointer user)
{
	Secret secret = secrets_secret(user);

	return secret.get(secret.user, FALSE, NULL, NULL);
}

static void
test_threads_share_one_run(void)
{
	g_autoptr(Config) config = config_with("password-command=sleep 0.1; date +%N");
	g_autoptr(Secrets) secrets = secrets_new(config, NULL, NULL, NULL);
	GThread *threads[4];
	char *passwords[4];

	for (guint i = 0; i < 4; i++)
		threads[i] = g_thread_new("get", get_in_thread, secrets);
	for (guint i = 0; i < 4; i++)
		passwords[i] = g_thread_join(threads[i]);
	for (guint i = 0; i < 4; i++) {
		g_assert_nonnull(passwords[i]);
		g_assert_cmpstr(passwords[i], ==, passwords[0]);
	}
	for (guint i = 0; i < 4; i++)
		util_free_secret(passwords[i]);
}

/* On the new terminal: 0 the password came, 1 interrupted, 2 something else. 3: the terminal's echo
 * is not as before. */
static int
ask_on_terminal(void)
{
	g_autoptr(Config) config = config_with(NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(Secrets) secrets = secrets_new(config, NULL, NULL, &error);
	struct termios after;
	Secret secret;
	g_autoptr(UtilSecret) password = NULL;

	if (tcgetattr(0, &after) != 0 || !(after.c_lflag & ECHO) || !(after.c_lflag & ISIG))
		return 3;
	if (secrets == NULL)
		return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? 1 : 2;
	secret = secrets_secret(secrets);
	password = secret.get(secret.user, FALSE, NULL, NULL);
	return g_strcmp0(password, "opensesame") == 0 ? 0 : 2;
}

/* Waits for the question, answers, and returns the wait status; everything the terminal showed goes
 * to @shown. */
static int
converse(const char *answer, int signal, GString *shown)
{
	gboolean answered = FALSE;
	char buffer[256];
	int fd, status;
	ssize_t n;
	pid_t pid = forkpty(&fd, NULL, NULL, NULL);

	g_assert_cmpint(pid, >=, 0);
	if (pid == 0)
		_exit(ask_on_terminal());
	for (;;) {
		n = read(fd, buffer, sizeof buffer);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		g_string_append_len(shown, buffer, n);
		if (answered || !g_str_has_suffix(shown->str, "alice at h: "))
			continue;
		answered = TRUE;
		g_usleep(200000); /* the question comes before echo goes off and earlier input is
				     dropped */
		if (signal != 0)
			kill(pid, signal);
		else
			g_assert_cmpint(write(fd, answer, strlen(answer)), ==, strlen(answer));
	}
	close(fd);
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	return status;
}

static void
test_terminal_is_asked_without_echo(void)
{
	g_autoptr(GString) shown = g_string_new(NULL);
	int status = converse("openx\177sesame\n", 0, shown);

	g_assert_true(WIFEXITED(status));
	g_assert_cmpint(WEXITSTATUS(status), ==, 0);
	g_assert_nonnull(strstr(shown->str, "Password of alice at h: "));
	g_assert_null(strstr(shown->str, "sesame"));
}

static void
test_ctrl_c_at_the_prompt_leaves_echo_on(void)
{
	static const char *const keys[] = {"open\003", "\003", "\004", "open\034"};

	for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autoptr(GString) shown = g_string_new(NULL);
		int status = converse(keys[i], 0, shown);

		g_assert_true(WIFEXITED(status));
		g_assert_cmpint(WEXITSTATUS(status), ==, 1);
	}
}

static void
test_signal_at_the_prompt_takes_its_course(void)
{
	g_autoptr(GString) shown = g_string_new(NULL);
	int status = converse("", SIGTERM, shown);

	g_assert_true(WIFSIGNALED(status));
	g_assert_cmpint(WTERMSIG(status), ==, SIGTERM);
}

static void
test_no_terminal_and_no_password_names_the_ways(void)
{
	pid_t pid = fork();
	int status;

	g_assert_cmpint(pid, >=, 0);
	if (pid == 0) {
		g_autoptr(Config) config = config_with(NULL);
		g_autoptr(GError) error = NULL;

		setsid();
		if (secrets_new(config, NULL, NULL, &error) != NULL)
			_exit(1);
		_exit(g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG) &&
				      strstr(error->message, "password-command=CMD") != NULL &&
				      strstr(error->message, "MAILFS_PASSWORD") != NULL
			      ? 0
			      : 2);
	}
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status));
	g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static void
test_gssapi_asks_nobody(void)
{
	g_autoptr(Config) config = config_with("auth=gssapi");
	g_autoptr(GError) error = NULL;
	g_autoptr(Secrets) secrets = secrets_new(config, NULL, NULL, &error);
	Secret secret;

	g_assert_no_error(error);
	secret = secrets_secret(secrets);
	g_assert_null(secret.get(secret.user, FALSE, NULL, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/secrets/" name, function)
	/* Those that fork come before those that start threads. */
	ADD("terminal-is-asked-without-echo", test_terminal_is_asked_without_echo);
	ADD("ctrl-c-at-the-prompt-leaves-echo-on", test_ctrl_c_at_the_prompt_leaves_echo_on);
	ADD("signal-at-the-prompt-takes-its-course", test_signal_at_the_prompt_takes_its_course);
	ADD("no-terminal-and-no-password-names-the-ways",
	    test_no_terminal_and_no_password_names_the_ways);
	ADD("first-line-of-the-command-is-the-password",
	    test_first_line_of_the_command_is_the_password);
	ADD("commands-that-fail-say-why", test_commands_that_fail_say_why);
	ADD("slow-command-is-killed-with-its-children",
	    test_slow_command_is_killed_with_its_children);
	ADD("agent-left-behind-does-not-hold-up", test_agent_left_behind_does_not_hold_up);
	ADD("command-has-no-terminal-no-input-no-descriptors-no-password",
	    test_command_has_no_terminal_no_input_no_descriptors_no_password);
	ADD("cancel-ends-the-wait-at-once", test_cancel_ends_the_wait_at_once);
	ADD("environment-is-emptied", test_environment_is_emptied);
	ADD("sources-come-in-order", test_sources_come_in_order);
	ADD("refused-password-is-not-offered-again", test_refused_password_is_not_offered_again);
	ADD("refused-token-is-got-anew", test_refused_token_is_got_anew);
	ADD("forgotten-password-is-got-anew", test_forgotten_password_is_got_anew);
	ADD("threads-share-one-run", test_threads_share_one_run);
	ADD("gssapi-asks-nobody", test_gssapi_asks_nobody);
	return g_test_run();
}
