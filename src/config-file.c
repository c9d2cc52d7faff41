/* SPDX-License-Identifier: MIT */
#include "config-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"

#define MAX_FILE ((gsize)1 << 20)

static void
config_line_free(ConfigLine *line)
{
	g_free(line->key);
	util_free_secret(line->value);
	g_free(line);
}

static ConfigFile *
config_file_new(const char *path)
{
	ConfigFile *file = g_new0(ConfigFile, 1);

	file->path = g_strdup(path);
	file->accounts = g_ptr_array_new_with_free_func(g_free);
	file->lines = g_ptr_array_new_with_free_func((GDestroyNotify)config_line_free);
	return file;
}

void
config_file_free(ConfigFile *file)
{
	if (file == NULL)
		return;
	g_free(file->path);
	g_ptr_array_unref(file->accounts);
	g_ptr_array_unref(file->lines);
	g_free(file);
}

int
config_file_find(const ConfigFile *file, const char *account)
{
	for (guint i = 0; i < file->accounts->len; i++)
		if (g_str_equal(file->accounts->pdata[i], account))
			return i;
	return -1;
}

static gboolean wrong(const ConfigFile *file, guint number, GError **error, const char *format, ...)
	G_GNUC_PRINTF(4, 5);

static gboolean
wrong(const ConfigFile *file, guint number, GError **error, const char *format, ...)
{
	g_autofree char *what = NULL;
	va_list args;

	va_start(args, format);
	what = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "%s:%u: %s", file->path, number,
		    what);
	return FALSE;
}

/* "[account work]" */
static gboolean
parse_heading(ConfigFile *file, char *text, guint number, GError **error)
{
	gsize len = strlen(text);
	g_autofree char *shown = util_printable(text, -1, 60);
	const char *name;

	if (len < 2 || text[len - 1] != ']')
		return wrong(file, number, error, "a group is written [account NAME]");
	text[len - 1] = '\0';
	g_strstrip(text + 1);
	name = text + 1;
	if (!g_str_has_prefix(name, "account") || (name[7] != ' ' && name[7] != '\t'))
		return wrong(file, number, error, "%s: groups are called [account NAME]", shown);
	for (name += 7; *name == ' ' || *name == '\t'; name++)
		;
	for (const char *p = name; *p != '\0'; p++)
		if (g_ascii_iscntrl(*p))
			return wrong(file, number, error, "%s: a control character", shown);
	if (config_file_find(file, name) >= 0)
		return wrong(file, number, error, "%s is there a second time", shown);
	g_ptr_array_add(file->accounts, g_strdup(name));
	return TRUE;
}

/* The texts show no more than a key of a known shape: what stands here could be a password gone
 * astray. */
static gboolean
parse_pair(ConfigFile *file, char *text, guint number, GError **error)
{
	char *equals = strchr(text, '=');
	char *value;
	ConfigLine *line;
	guint account;

	if (file->accounts->len == 0)
		return wrong(file, number, error, "before the first [account NAME]");
	account = file->accounts->len - 1;
	if (equals == NULL || equals == text)
		return wrong(file, number, error,
			     "neither name=value, nor [account NAME], nor # a comment");
	*equals = '\0';
	g_strchomp(text);
	for (const char *p = text; *p != '\0'; p++)
		if (!g_ascii_isalnum(*p) && *p != '-' && *p != '_')
			return wrong(file, number, error, "the name before = is none");
	for (guint i = file->lines->len; i-- > 0;) {
		const ConfigLine *other = file->lines->pdata[i];

		if (other->account == account && g_str_equal(other->key, text))
			return wrong(file, number, error,
				     "[account %s] %s is there a second time, after line %u",
				     (char *)file->accounts->pdata[account], text, other->number);
	}
	for (value = equals + 1; *value == ' ' || *value == '\t'; value++)
		;
	if (g_str_equal(text, "password"))
		file->has_password = TRUE;
	else
		g_strchomp(value);
	line = g_new0(ConfigLine, 1);
	*line = (ConfigLine){.number = number,
			     .account = account,
			     .key = g_strdup(text),
			     .value = g_strdup(value)};
	g_ptr_array_add(file->lines, line);
	return TRUE;
}

static gboolean
parse_line(ConfigFile *file, char *text, guint number, GError **error)
{
	gsize len = strlen(text);

	if (len > 0 && text[len - 1] == '\r')
		text[len - 1] = '\0';
	while (*text == ' ' || *text == '\t')
		text++;
	if (*text == '\0' || *text == '#')
		return TRUE;
	if (*text == '[')
		return parse_heading(file, g_strchomp(text), number, error);
	return parse_pair(file, text, number, error);
}

/* @data has room for a NUL at [len]. */
static gboolean
parse_lines(ConfigFile *file, char *data, gsize len, GError **error)
{
	char *end = data + len;
	guint number = 1;

	if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
		data += 3;
	if (!g_utf8_validate_len(data, end - data, NULL)) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "%s: holds bytes that are no UTF-8 text", file->path);
		return FALSE;
	}
	for (char *line = data; line < end; number++) {
		char *newline = memchr(line, '\n', end - line);

		if (newline == NULL)
			newline = end;
		*newline = '\0';
		if (!parse_line(file, line, number, error))
			return FALSE;
		line = newline + 1;
	}
	return TRUE;
}

ConfigFile *
config_file_parse(const char *path, char *data, gsize len, GError **error)
{
	g_autoptr(ConfigFile) file = config_file_new(path);
	char *copy = g_malloc(len + 1);
	gboolean good;

	if (len > 0)
		memcpy(copy, data, len);
	copy[len] = '\0';
	good = parse_lines(file, copy, len, error);
	util_wipe(copy, len);
	g_free(copy);
	if (len > 0)
		util_wipe(data, len);
	return good ? g_steal_pointer(&file) : NULL;
}

static gboolean
check_owner(const char *path, const struct stat *status, GError **error)
{
	if (!S_ISREG(status->st_mode))
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "%s is no regular file",
			    path);
	else if (status->st_uid != 0 && status->st_uid != geteuid())
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "%s belongs to another user (%u): refused, it could name any command",
			    path, (guint)status->st_uid);
	else if ((status->st_mode & 022) != 0)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "%s may be written by others: refused; do chmod go-w on it", path);
	else if ((guint64)status->st_size > MAX_FILE)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "%s is over 1 MiB: refused",
			    path);
	else
		return TRUE;
	return FALSE;
}

static gssize
read_all(int fd, char *data, gsize size)
{
	gsize len = 0;

	while (len < size) {
		gssize n = read(fd, data + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += n;
	}
	return len;
}

static ConfigFile *
parse_descriptor(int fd, const char *path, GError **error)
{
	g_autoptr(ConfigFile) file = NULL;
	struct stat status;
	char *data;
	gssize len;

	if (fstat(fd, &status) != 0 || !check_owner(path, &status, error))
		return NULL;
	data = g_malloc(status.st_size + 1);
	len = read_all(fd, data, status.st_size);
	if (len < 0)
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "cannot read %s: %s", path,
			    g_strerror(errno));
	else
		file = config_file_parse(path, data, len, error);
	g_free(data);
	if (file != NULL && file->has_password && (status.st_mode & 077) != 0) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG,
			    "%s holds a password and may be read by others: refused; do chmod 600 "
			    "on it",
			    path);
		return NULL;
	}
	return g_steal_pointer(&file);
}

ConfigFile *
config_file_read(const char *path, gboolean must_exist, GError **error)
{
	g_auto(UtilFd) fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0)
		return parse_descriptor(fd, path, error);
	if (!must_exist && (errno == ENOENT || errno == ENOTDIR))
		return config_file_new(path);
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_CONFIG, "cannot read %s: %s", path,
		    g_strerror(errno));
	return NULL;
}
