/* SPDX-License-Identifier: MIT */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "config.h"

/* Loads @source with @file (NULL: none) and options up to NULL. */
static Config *
load(const char *source, const char *file, GError **error, ...)
{
	g_autoptr(GPtrArray) options = g_ptr_array_new();
	g_autofree char *data = g_strdup(file);
	const char *option;
	va_list args;

	va_start(args, error);
	while ((option = va_arg(args, const char *)) != NULL)
		g_ptr_array_add(options, (char *)option);
	va_end(args);
	return config_load_data(source, options, data, data != NULL ? strlen(data) : 0, "/c",
				error);
}

#define LOAD(source, file, ...) load(source, file, &error, ##__VA_ARGS__, NULL)
#define URL			"imaps://alice@mail.example.org/"

/* The load fails with this code, and the text holds that. */
#define assert_refused(what, code, text)                                                           \
	G_STMT_START                                                                               \
	{                                                                                          \
		g_autoptr(Config) refused_ = (what);                                               \
		g_assert_null(refused_);                                                           \
		g_assert_error(error, MAILFS_ERROR, code);                                         \
		if (strstr(error->message, text) == NULL)                                          \
			g_error("\"%s\" is not in \"%s\"", text, error->message);                  \
		g_clear_error(&error);                                                             \
	}                                                                                          \
	G_STMT_END

static void
test_defaults(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) config = LOAD(URL, NULL);

	g_assert_no_error(error);
	g_assert_cmpstr(config->server.host, ==, "mail.example.org");
	g_assert_cmpint(config->server.port, ==, 993);
	g_assert_cmpint(config->server.tls, ==, TLS_IMPLICIT);
	g_assert_cmpstr(config->server.user, ==, "alice");
	g_assert_cmpstr(config->account, ==, "alice@mail.example.org");
	g_assert_cmpstr(config->identity, ==, "imap://alice@mail.example.org");
	g_assert_true(g_str_has_suffix(config->cache_dir, "/mailfs/alice@mail.example.org"));
	g_assert_cmpuint(config->connections, ==, 4);
	g_assert_cmpuint(config->timeout, ==, 30);
	g_assert_cmpuint(config->dir_time, ==, 30);
	g_assert_cmpuint(config->cache_size, ==, G_GUINT64_CONSTANT(2147483648));
	g_assert_cmpuint(config->umask, ==, 077);
	g_assert_cmpuint(config->uid, ==, geteuid());
	g_assert_cmpint(config->auth, ==, AUTH_AUTO);
	g_assert_cmpint(config->names, ==, CONFIG_NAMES_SUBJECT);
	g_assert_false(config->ro);
	g_assert_null(config->folders);
	g_assert_null(config->smtp.host);
}

static void
test_every_option_is_read(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) config = LOAD(
		URL, NULL, "auth=xoauth2", "token-command=echo a=b", "tls-ca=/ca.pem",
		"tls-fingerprint=SHA256:"
		"00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:"
		"00112233445566778899AABBCCDDEEFF",
		"connections=2", "timeout=7", "dir-time=0", "authserv-id=mx.example.org",
		"cache-dir=/var/c", "cache-size=500M", "names=uid", "layout=plain",
		"folders=INBOX 'Sent Items'", "folders=Work*", "subscribed", "ro", "allow_other",
		"uid=1000", "gid=1001", "umask=027", "max_read=65536", "default_permissions",
		"smtp=smtps://bob%40x@smtp.example.org", "smtp-password-command=c", "delete=mark",
		"outbox=Out", "hold=9", "save-sent=no", "pop-keep=30d", "rate=100/h");

	g_assert_no_error(error);
	g_assert_cmpint(config->auth, ==, AUTH_XOAUTH2);
	g_assert_cmpstr(config->token_command, ==, "echo a=b");
	g_assert_cmpstr(config->tls_ca, ==, "/ca.pem");
	g_assert_true(g_str_has_prefix(config->tls_fingerprint, "SHA256:00:11"));
	g_assert_cmpuint(config->connections, ==, 2);
	g_assert_cmpuint(config->timeout, ==, 7);
	g_assert_cmpuint(config->dir_time, ==, 0);
	g_assert_cmpstr(config->authserv_id, ==, "mx.example.org");
	g_assert_cmpstr(config->cache_dir, ==, "/var/c/alice@mail.example.org");
	g_assert_cmpuint(config->cache_size, ==, 500 * 1024 * 1024);
	g_assert_cmpint(config->names, ==, CONFIG_NAMES_UID);
	g_assert_cmpuint(g_strv_length(config->folders), ==, 3);
	g_assert_cmpstr(config->folders[1], ==, "Sent Items");
	g_assert_cmpstr(config->folders[2], ==, "Work*");
	g_assert_true(config->subscribed && config->ro && config->allow_other);
	g_assert_cmpuint(config->uid, ==, 1000);
	g_assert_cmpuint(config->gid, ==, 1001);
	g_assert_cmpuint(config->umask, ==, 027);
	g_assert_cmpuint(config->fuse_options->len, ==, 2);
	g_assert_cmpstr(config->fuse_options->pdata[0], ==, "max_read=65536");
	g_assert_cmpstr(config->smtp.user, ==, "bob@x");
	g_assert_cmpint(config->smtp.port, ==, 465);
	g_assert_cmpstr(config->smtp_password_command, ==, "c");
	g_assert_cmpint(config->delete_mode, ==, CONFIG_DELETE_MARK);
	g_assert_cmpstr(config->outbox, ==, "Out");
	g_assert_cmpuint(config->hold, ==, 9);
	g_assert_cmpint(config->save_sent, ==, CONFIG_SAVE_SENT_NO);
	g_assert_cmpuint(config->pop_keep, ==, 30);
	g_assert_cmpuint(config->rate, ==, 100);
}

static void
test_urls(void)
{
	static const struct {
		const char *url, *host, *user;
		guint port;
		TlsMode tls;
		ConfigKind kind;
	} good[] = {
		{"imap://al@h/", "h", "al", 143, TLS_STARTTLS, CONFIG_IMAP},
		{"IMAPS://al@Mail.Example.ORG", "mail.example.org", "al", 993, TLS_IMPLICIT,
		 CONFIG_IMAP},
		{"imaps://al%40b.c@h:1/", "h", "al@b.c", 1, TLS_IMPLICIT, CONFIG_IMAP},
		{"imaps://al@b.c@h", "h", "al@b.c", 993, TLS_IMPLICIT, CONFIG_IMAP},
		{"imap://al@[::1]:1143/", "::1", "al", 1143, TLS_STARTTLS, CONFIG_IMAP},
		{"imap://J%C3%BCrgen@m%C3%BCller.example", "xn--mller-kva.example", "Jürgen", 143,
		 TLS_STARTTLS, CONFIG_IMAP},
		{"pop3s://al@h", "h", "al", 995, TLS_IMPLICIT, CONFIG_POP3},
		{"pop3://al@h", "h", "al", 110, TLS_STARTTLS, CONFIG_POP3},
	};
	static const char *const bad[] = {
		"imaps://",	      "imaps:///",	    "imaps://al@",
		"imaps:al@h",	      "http://al@h/",	    "smtps://al@h",
		"imaps://al@h:0",     "imaps://al@h:65536", "imaps://al@h:x",
		"imaps://al@h/INBOX", "imaps://al@h/?x",    "imaps://al@h/#x",
		"imaps://a%0Dl@h/",   "imaps://a%00l@h/",   "imaps://al@-h/",
		"imaps://al@h..i/",   "imaps://al@h%0A.de", "imaps://al@[::1",
		"imaps://a%FFl@h/",
	};

	for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autoptr(GError) error = NULL;
		g_auto(ConfigServer) server = {0};
		ConfigKind kind;

		config_parse_url(good[i].url, FALSE, &kind, &server, &error);
		g_assert_no_error(error);
		g_assert_cmpstr(server.host, ==, good[i].host);
		g_assert_cmpstr(server.user, ==, good[i].user);
		g_assert_cmpuint(server.port, ==, good[i].port);
		g_assert_cmpint(server.tls, ==, good[i].tls);
		g_assert_cmpint(kind, ==, good[i].kind);
	}
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		g_auto(ConfigServer) server = {0};
		ConfigKind kind;

		if (config_parse_url(bad[i], FALSE, &kind, &server, &error))
			g_error("%s was taken", bad[i]);
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE);
	}
}

static void
test_password_never_shows(void)
{
	static const char *const sources[] = {
		"imaps://alice:hunter2@mail.example.org/", "imaps://alice:hunter2@h:x/",
		"imaps://alice:hun@ter2@h/INBOX", "imap://alice:hunter2@"};

	for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(LOAD(sources[i], NULL));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE);
		g_assert_null(strstr(error->message, "hun"));
		g_assert_null(strstr(error->message, "ter2"));
	}
	for (guint i = 0; i < 3; i++) {
		static const char *const options[] = {"password=hunter2", "pasword=hunter2",
						      "smtp=smtps://a:hunter2@h"};
		g_autoptr(GError) error = NULL;

		g_assert_null(LOAD(URL, NULL, options[i]));
		g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE);
		g_assert_null(strstr(error->message, "hunter2"));
	}
}

static void
test_command_line_beats_file_beats_defaults(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) config = LOAD("work",
					"# mine\r\n"
					"[account home]\nsource=nonsense\n\n"
					"[account work]\n"
					"source = imap://bob@127.0.0.1:1143/\n"
					"  timeout=5\r\n"
					"connections = 9\n"
					"folders=Old\n"
					"ro = yes\n"
					"allow-other = no\n"
					"noatime = yes\n"
					"password= with blanks \n"
					"tls-ca=certs/ca.pem\n",
					"connections=3", "folders=New", "tls=none", "ro=false");

	g_assert_no_error(error);
	g_assert_cmpuint(config->timeout, ==, 5);
	g_assert_cmpuint(config->connections, ==, 3);
	g_assert_cmpuint(config->dir_time, ==, 30);
	g_assert_cmpuint(g_strv_length(config->folders), ==, 1);
	g_assert_cmpstr(config->folders[0], ==, "New");
	g_assert_false(config->ro);
	g_assert_cmpstr(config->account, ==, "work");
	g_assert_cmpstr(config->identity, ==, "imap://bob@127.0.0.1:1143");
	g_assert_cmpstr(config->password, ==, "with blanks ");
	g_assert_cmpstr(config->tls_ca, ==, "/certs/ca.pem");
	g_assert_cmpint(config->server.tls, ==, TLS_NONE);
	g_assert_cmpuint(config->fuse_options->len, ==, 1);
}

static void
test_command_line_secret_replaces_the_files(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) config =
		LOAD("w", "[account w]\nsource=" URL "\npassword=x\n", "token_command=get");

	g_assert_no_error(error);
	g_assert_null(config->password);
	g_assert_cmpstr(config->token_command, ==, "get");
	assert_refused(LOAD(URL, NULL, "token-command=a", "password-command=b"),
		       MAILFS_ERROR_CONFIG, "both");
}

static void
test_group_may_be_called_by_address(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) config =
		LOAD("al@example.org", "[account al@example.org]\nsource=imaps://h/\nlogin=al7\n");

	g_assert_no_error(error);
	g_assert_cmpstr(config->server.user, ==, "al7");
	g_assert_cmpstr(config->account, ==, "al@example.org");
}

static void
test_own_address_is_found(void)
{
	static const struct {
		const char *source, *file, *expected;
	} table[] = {
		{"w", "[account w]\nsource=imaps://al@h.example/\naddress=<Al@Example.org>\n",
		 "Al@example.org"},
		{"al@example.org", "[account al@example.org]\nsource=imaps://h/\nlogin=al7\n",
		 "al@example.org"},
		{"w", "[account w]\nsource=imaps://al%40x.org@h.example/\n", "al@x.org"},
		{"w", "[account w]\nsource=imaps://al@h/\nsmtp=smtps://al%40x.org@h/\n",
		 "al@x.org"},
		{"w", "[account w]\nsource=imaps://al@h.example/\n", "al@h.example"},
		{"w", "[account w]\nsource=imaps://DOM%5cal@h.example/\n", NULL},
	};

	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
		g_autoptr(Config) config = LOAD(table[i].source, table[i].file);

		g_assert_no_error(error);
		g_assert_cmpstr(config->address, ==, table[i].expected);
	}
	assert_refused(LOAD("w", "[account w]\nsource=imaps://DOM%5cal@h/\nsmtp=smtps://h/\n"),
		       MAILFS_ERROR_CONFIG, "address= is missing");
	assert_refused(LOAD("w", "[account w]\nsource=imaps://al@h/\naddress=al bo@x.org\n"),
		       MAILFS_ERROR_CONFIG, "there is a gap in it");
}

static void
test_malformed_files_are_refused_with_their_line(void)
{
	static const struct {
		const char *file, *text;
	} bad[] = {
		{"x=1\n", "/c:1:"},
		{"[account w]\n\nnonsense\n", "/c:3:"},
		{"[account w]\ntimeout=1\ntimeout=2\n",
		 "/c:3: [account w] timeout is there a second time"},
		{"[account w]\n[account w]\n", "/c:2:"},
		{"[acount w]\n", "groups are called [account NAME]"},
		{"[account ]\n", "/c:1:"},
		{"[account w\n", "/c:1:"},
		{"[]\n", "/c:1:"},
		{"[account w]\n=x\n", "/c:2:"},
		{"[account w]\ntimeout[de]=1\n", "/c:2:"},
		{"[account w]\na\xff=1\n", "UTF-8"},
		{"[account w]\nsource=" URL "\ntimeut=1\n",
		 "/c:3: [account w] unknown option timeut: did you mean timeout?"},
		{"[account w]\nsource=" URL "\ntimeout=soon\n",
		 "/c:3: [account w] timeout=soon must be"},
		{"[account w]\nsource=" URL "\ntimeout=\n", "must be a whole number of 1 to 3600"},
		{"[account w]\nsource=" URL "\nuser=al\n", "login=NAME"},
		{"[account w]\nsource=" URL "\nconfig=/x\n", "command line"},
		{"[account w]\nsource=imaps://a@h/INBOX\n", "/c: [account w] source="},
		{"[account w]\ntimeout=1\n", "[account w] needs source="},
		{"[account v]\n[account u]\n", "no account w in /c (it has: v, u)"},
		{"", "it has none"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		assert_refused(LOAD("w", bad[i].file), MAILFS_ERROR_CONFIG, bad[i].text);
	}
}

static void
test_bad_options_are_refused_with_a_hint(void)
{
	static const struct {
		const char *option, *text;
	} bad[] = {
		{"timeuot=3", "did you mean timeout?"},
		{"passwordeval=x", "did you mean password-command?"},
		{"zzzzzz", "unknown option zzzzzz: mailfs --help"},
		{"timeout", "timeout needs a value: timeout=S"},
		{"timeout=0", "must be a whole number of 1 to 3600"},
		{"timeout=-1", "must be a whole"},
		{"timeout=1.5", "must be a whole"},
		{"connections=33", "1 to 32"},
		{"cache-size=0", "must be a number of bytes"},
		{"cache-size=10X", "must be a number of bytes"},
		{"names=date", "must be subject|uid"},
		{"auth=digest", "must be auto, plain"},
		{"layout=maildir", "not in this version"},
		{"ro=maybe", "must be yes or no"},
		{"tls=off", "must be on or none"},
		{"tls-fingerprint=sha256:abc", "64 hexadecimal digits"},
		{"tls-fingerprint=sha1:0123456789012345678901234567890123456789", "sha256:"},
		{"umask=8", "octal"},
		{"umask=1777", "octal number of 000 to 777"},
		{"uid=no-such-user-here", "no user of this machine"},
		{"gid=4294967295", "must be a whole number"},
		{"folders='INBOX", "quotation mark"},
		{"outbox=../x", "file name"},
		{"pop-keep=3", "30d"},
		{"password=x", "password-command"},
		{"source=x", "first argument"},
		{"user=al", "login=NAME"},
		{"smtp=imaps://h", "smtps://"},
		{"tls=none", "contradicts imaps://"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		gboolean config = g_str_equal(bad[i].option, "tls=none");

		assert_refused(LOAD(URL, NULL, bad[i].option),
			       config ? MAILFS_ERROR_CONFIG : MAILFS_ERROR_USAGE, bad[i].text);
	}
}

static void
test_words_of_mount_are_swallowed(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) config =
		LOAD(URL, NULL, "rw", "_netdev", "nofail", "noauto", "user", "users", "defaults",
		     "dev", "suid", "relatime", "x-systemd.automount",
		     "x-systemd.idle-timeout=10min", "nonempty", "comment=mine", "exec");

	g_assert_no_error(error);
	g_assert_cmpuint(config->fuse_options->len, ==, 0);
}

static void
test_plain_text_stays_on_this_machine(void)
{
	static const char *const near[] = {"imap://a@localhost/", "imap://a@127.0.0.1:1143",
					   "imap://a@127.9.9.9/", "imap://a@[::1]/"};
	static const char *const far[] = {"imap://a@example.org/", "imap://a@192.168.0.1/",
					  "imap://a@localhost.example.org/", "imap://a@128.0.0.1/"};
	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(near); i++) {
		g_autoptr(Config) config = LOAD(near[i], NULL, "tls=none");

		g_assert_no_error(error);
		g_assert_cmpint(config->server.tls, ==, TLS_NONE);
	}
	for (guint i = 0; i < G_N_ELEMENTS(far); i++) {
		g_autoptr(Config) config = LOAD(far[i], NULL, "tls=none", "insecure-plaintext");

		g_assert_no_error(error);
		g_assert_cmpint(config->server.tls, ==, TLS_NONE);
		assert_refused(LOAD(far[i], NULL, "tls=none"), MAILFS_ERROR_CONFIG,
			       "tls=none is refused");
	}
	assert_refused(LOAD("imap://a@localhost", NULL, "tls=none", "smtp=smtp://a@example.org"),
		       MAILFS_ERROR_CONFIG, "tls=none is refused for example.org");
}

static void
test_sources_that_are_none(void)
{
	g_autoptr(GError) error = NULL;

	assert_refused(LOAD("work", NULL), MAILFS_ERROR_CONFIG, "no account work");
	assert_refused(LOAD("imaps://mail.example.org/", NULL), MAILFS_ERROR_USAGE,
		       "names no user");
	assert_refused(LOAD("imaps://mail.example.org/", NULL, "login=a\nb"), MAILFS_ERROR_USAGE,
		       "names no user");
	assert_refused(LOAD("ftp://a@h/", NULL), MAILFS_ERROR_USAGE, "imaps://");
}

static void
test_directories_of_accounts_are_safe_names(void)
{
	g_autofree char *name = g_strnfill(300, 'x');
	g_autofree char *url = g_strconcat("imaps://", name, "@h", NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) slash = LOAD("imaps://..%2F..%2Fetc@h:1993", NULL);
	g_autoptr(Config) dots = LOAD("..", "[account ..]\nsource=" URL "\n");
	g_autoptr(Config) longest = LOAD(url, NULL);

	g_assert_no_error(error);
	g_assert_cmpstr(slash->account, ==, "%2E.%2F..%2Fetc@h:1993");
	g_assert_cmpstr(dots->account, ==, "%2E.");
	g_assert_cmpuint(strlen(longest->account), ==, 200);
}

static void
test_o_argument_is_split_at_commas(void)
{
	g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);

	config_split_options("ro,,password-command=printf 'a\\,b' \\\\ \\n,x,", options);
	g_assert_cmpuint(options->len, ==, 3);
	g_assert_cmpstr(options->pdata[0], ==, "ro");
	g_assert_cmpstr(options->pdata[1], ==, "password-command=printf 'a,b' \\ \\n");
	g_assert_cmpstr(options->pdata[2], ==, "x");
	g_assert_cmpint(config_option_kind("allow-other"), ==, CONFIG_OPTION_FLAG);
	g_assert_cmpint(config_option_kind("timeout"), ==, CONFIG_OPTION_WITH_VALUE);
	g_assert_cmpint(config_option_kind("max_read"), ==, CONFIG_OPTION_WITH_VALUE);
	g_assert_cmpint(config_option_kind("nonsense"), ==, CONFIG_OPTION_UNKNOWN);
}

/* The file of config_load(), with these bytes and this mode. */
static gboolean
loads_with_mode(const char *bytes, guint mode, GError **error)
{
	g_autofree char *directory = g_dir_make_tmp("mailfs-config-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "config", NULL);
	g_autoptr(Config) config = NULL;

	g_file_set_contents(path, bytes, -1, NULL);
	g_chmod(path, mode);
	config = config_load("w", NULL, path, NULL, error);
	g_unlink(path);
	g_rmdir(directory);
	return config != NULL;
}

static void
test_files_that_others_could_write_or_read(void)
{
	static const char open[] = "[account w]\nsource=" URL "\n";
	static const char secret[] = "[account w]\nsource=" URL "\n[account v]\npassword=x\n";
	g_autoptr(GError) error = NULL;

	g_assert_true(loads_with_mode(open, 0644, NULL));
	g_assert_true(loads_with_mode(secret, 0600, NULL));
	g_assert_true(loads_with_mode(secret, 0400, NULL));
	g_assert_false(loads_with_mode(open, 0664, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
	g_clear_error(&error);
	g_assert_false(loads_with_mode(open, 0602, NULL));
	g_assert_false(loads_with_mode(secret, 0640, &error));
	g_assert_nonnull(strstr(error->message, "holds a password"));
	g_assert_false(loads_with_mode(secret, 0604, NULL));
}

static void
test_absent_file_is_an_error_only_when_named(void)
{
	g_autofree char *directory = g_dir_make_tmp("mailfs-config-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "nothing", NULL);
	g_autofree char *option = g_strconcat("config=", path, NULL);
	g_autoptr(GPtrArray) options = g_ptr_array_new();
	g_autoptr(GError) error = NULL;

	g_assert_null(config_load(URL, NULL, path, NULL, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
	g_clear_error(&error);
	g_ptr_array_add(options, option);
	g_assert_null(config_load(URL, options, NULL, NULL, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
	g_clear_error(&error);
	g_assert_null(config_load(URL, NULL, directory, NULL, &error));
	g_assert_nonnull(strstr(error->message, "no regular file"));
	g_rmdir(directory);
}

static void
test_account_that_sends_is_found(void)
{
	static const char text[] = "[account reads]\nsource=imaps://al@h/\naddress=r@x.org\n"
				   "[account one]\nsource=imaps://al@h/\naddress=one@x.org\n"
				   "smtp=smtps://al@h/\n"
				   "[account two@x.org]\nsource=imaps://h/\nlogin=al\n"
				   "smtp=smtps://h/\n";
	static const struct {
		const char *sender, *expected;
	} table[] = {
		{NULL, "one"},	    {"one@x.org", "one"}, {"Two@X.org", "two@x.org"},
		{"r@x.org", "one"}, {"z@x.org", "one"},
	};
	g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *path = NULL;
	g_autoptr(GError) error = NULL;
	int fd = g_file_open_tmp(NULL, &path, &error);

	g_assert_no_error(error);
	g_assert_true(g_file_set_contents(path, text, -1, &error));
	g_ptr_array_add(options, g_strconcat("config=", path, NULL));
	for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
		g_autofree char *found = config_sending_account(table[i].sender, options, &error);

		g_assert_no_error(error);
		g_assert_cmpstr(found, ==, table[i].expected);
	}
	g_assert_true(g_file_set_contents(path, "[account a]\nsource=imaps://al@h/\n", -1, &error));
	g_assert_null(config_sending_account(NULL, options, &error));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
	g_unlink(path);
	close(fd);
}

static void
test_what_is_deleted_by_itself_is_kept_unless_said_otherwise(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) plain = LOAD("pop3s://al@h", NULL);
	g_autoptr(Config) days = LOAD("pop3s://al@h", NULL, "pop-keep=30d");
	g_autoptr(Config) neither = LOAD("pop3s://al@h", NULL, "pop-keep=30d", "keep=no");
	g_autoptr(Config) kept = LOAD("pop3s://al@h", NULL, "keep=yes");

	g_assert_no_error(error);
	g_assert_cmpint(plain->keep, ==, CONFIG_KEEP_NO);
	g_assert_cmpint(days->keep, ==, CONFIG_KEEP_YES);
	g_assert_cmpint(neither->keep, ==, CONFIG_KEEP_NO);
	g_assert_cmpint(kept->keep, ==, CONFIG_KEEP_YES);
	g_assert_cmpuint(kept->pop_keep, ==, 0);
	g_assert_null(LOAD("imaps://al@h", NULL, "keep=yes"));
	g_assert_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG);
}

static void
test_what_discovery_found_is_remembered(void)
{
	g_autofree char *directory = g_dir_make_tmp("mailfs-config-XXXXXX", NULL);
	g_autofree char *option = g_strconcat("cache-dir=", directory, NULL);
	g_autofree char *path = NULL, *text = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) config = LOAD("imap://al@h:1143", NULL, option);

	g_assert_no_error(error);
	path = g_build_filename(config->cache_dir, "server", NULL);
	g_mkdir(config->cache_dir, 0700);
	config_remember(config);
	g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	config->discovered = TRUE;
	config_remember(config);
	g_file_get_contents(path, &text, NULL, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(text, ==, "imap://h:1143\n");
	g_unlink(path);
	g_rmdir(config->cache_dir);
	g_rmdir(directory);
}

/* No DNS in the world knows .invalid, so this address cannot be found anew. */
static void
test_remembered_server_serves_while_dns_is_away(void)
{
	g_autofree char *directory = g_dir_make_tmp("mailfs-config-XXXXXX", NULL);
	g_autofree char *option = g_strconcat("cache-dir=", directory, NULL);
	g_autofree char *own = g_build_filename(directory, "al@remember.invalid", NULL);
	g_autofree char *path = g_build_filename(own, "server", NULL);
	g_autoptr(GPtrArray) options = g_ptr_array_new();
	g_autoptr(GError) error = NULL;
	g_autoptr(Config) config = NULL;

	g_ptr_array_add(options, option);
	g_ptr_array_add(options, (char *)"timeout=1");
	g_mkdir(own, 0700);
	g_assert_null(config_load("al@remember.invalid", options, NULL, NULL, &error));
	g_assert_true(error->domain == MAILFS_ERROR && error->code != MAILFS_ERROR_USAGE);
	g_clear_error(&error);
	g_assert_true(g_file_set_contents(path, "imap://mail.remember.invalid:1143\n", -1, NULL));
	config = config_load("al@remember.invalid", options, NULL, NULL, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(config->server.host, ==, "mail.remember.invalid");
	g_assert_cmpint(config->server.port, ==, 1143);
	g_assert_cmpint(config->server.tls, ==, TLS_STARTTLS);
	g_assert_cmpstr(config->server.user, ==, "al@remember.invalid");
	g_assert_cmpint(config->kind, ==, CONFIG_IMAP);
	config_free(g_steal_pointer(&config));
	g_assert_true(g_file_set_contents(path, "pop3s://mail.remember.invalid:995\n", -1, NULL));
	config = config_load("al@remember.invalid", options, NULL, NULL, &error);
	g_assert_no_error(error);
	g_assert_cmpint(config->kind, ==, CONFIG_POP3);
	g_assert_cmpint(config->server.tls, ==, TLS_IMPLICIT);
	g_unlink(path);
	g_rmdir(own);
	g_rmdir(directory);
}

/* --help and the man page name every option that exists. */
static void
test_help_and_man_page_are_complete(void)
{
	g_auto(GStrv) names = config_option_names();
	g_autofree char *help = config_option_help();
	g_autofree char *tests = g_path_get_dirname(__FILE__);
	g_autofree char *path = g_build_filename(tests, "..", "..", "src", "mailfs.1.rst", NULL);
	g_autofree char *man = NULL;

	g_assert_cmpuint(g_strv_length(names), >, 30);
	g_assert_nonnull(strstr(help, "\n  timeout=S "));
	if (!g_file_get_contents(path, &man, NULL, NULL)) {
		g_test_skip("run from another directory than it was built in");
		return;
	}
	for (guint i = 0; names[i] != NULL; i++) {
		g_autofree char *quoted = g_strconcat("``", names[i], NULL);

		if (strstr(man, quoted) == NULL)
			g_error("the man page does not name %s", names[i]);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/config/" name, function)
	ADD("defaults", test_defaults);
	ADD("every-option-is-read", test_every_option_is_read);
	ADD("urls", test_urls);
	ADD("password-never-shows", test_password_never_shows);
	ADD("command-line-beats-file-beats-defaults", test_command_line_beats_file_beats_defaults);
	ADD("command-line-secret-replaces-the-files", test_command_line_secret_replaces_the_files);
	ADD("group-may-be-called-by-address", test_group_may_be_called_by_address);
	ADD("own-address-is-found", test_own_address_is_found);
	ADD("malformed-files-are-refused-with-their-line",
	    test_malformed_files_are_refused_with_their_line);
	ADD("bad-options-are-refused-with-a-hint", test_bad_options_are_refused_with_a_hint);
	ADD("words-of-mount-are-swallowed", test_words_of_mount_are_swallowed);
	ADD("plain-text-stays-on-this-machine", test_plain_text_stays_on_this_machine);
	ADD("sources-that-are-none", test_sources_that_are_none);
	ADD("directories-of-accounts-are-safe-names", test_directories_of_accounts_are_safe_names);
	ADD("o-argument-is-split-at-commas", test_o_argument_is_split_at_commas);
	ADD("files-that-others-could-write-or-read", test_files_that_others_could_write_or_read);
	ADD("absent-file-is-an-error-only-when-named",
	    test_absent_file_is_an_error_only_when_named);
	ADD("account-that-sends-is-found", test_account_that_sends_is_found);
	ADD("what-is-deleted-by-itself-is-kept-unless-said-otherwise",
	    test_what_is_deleted_by_itself_is_kept_unless_said_otherwise);
	ADD("what-discovery-found-is-remembered", test_what_discovery_found_is_remembered);
	ADD("remembered-server-serves-while-dns-is-away",
	    test_remembered_server_serves_while_dns_is_away);
	ADD("help-and-man-page-are-complete", test_help_and_man_page_are_complete);
	return g_test_run();
}
