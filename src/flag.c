/* SPDX-License-Identifier: MIT */
#include "flag.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/util.h"

#define COMMAND_MAX 100000 /* bytes of one write(): less than the kernel's piece */

/* The files of one mount. */
typedef struct {
	char *mountpoint;
	GString *numbers;
} Batch;

static void
batch_free(gpointer data)
{
	Batch *batch = data;

	g_free(batch->mountpoint);
	g_string_free(batch->numbers, TRUE);
	g_free(batch);
}

static int
complain(const char *path, const char *why)
{
	g_autofree char *shown = util_printable(path, -1, 1000);

	fprintf(stderr, "mailfs: %s: %s\n", shown, why);
	return EX_DATAERR;
}

/* One write() is one command. 0, or an errno. */
static int
send_command(const char *mountpoint, const char *text, gsize len)
{
	g_autofree char *path = g_build_filename(mountpoint, ".mailfs", "control", NULL);
	g_auto(UtilFd) fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	return write(fd, text, len) == (ssize_t)len ? 0 : errno;
}

static int
say_refused(const char *mountpoint, int err)
{
	g_autofree char *why =
		g_strdup_printf("%s (the mount's .mailfs/log says more)", g_strerror(err));

	if (err == ENOENT || err == ENOTDIR || err == EROFS)
		complain(mountpoint, "no mount of mailfs that can be written to");
	else
		complain(mountpoint, why);
	return err == EINVAL ? EX_USAGE : EX_UNAVAILABLE;
}

static int
worse_of(int one, int other)
{
	return MAX(one, other);
}

/* The directory above which @path's file system is another. (transfer full) NULL: errno. */
static char *
mountpoint_of(const char *path, dev_t device)
{
	g_autofree char *absolute = g_canonicalize_filename(path, NULL);
	g_autofree char *above = g_path_get_dirname(absolute);
	char *real = realpath(above, NULL);
	g_autofree char *at = g_strdup(real);

	free(real);
	while (at != NULL && strcmp(at, "/") != 0) {
		g_autofree char *parent = g_path_get_dirname(at);
		struct stat st;

		if (stat(parent, &st) != 0)
			return NULL;
		if (st.st_dev != device)
			return g_steal_pointer(&at);
		g_free(at);
		at = g_steal_pointer(&parent);
	}
	return g_steal_pointer(&at);
}

static Batch *
batch_of(GHashTable *batches, const char *path, dev_t device)
{
	gint64 key = (gint64)device;
	Batch *batch = g_hash_table_lookup(batches, &key);

	if (batch != NULL)
		return batch;
	batch = g_new0(Batch, 1);
	batch->mountpoint = mountpoint_of(path, device);
	batch->numbers = g_string_new(NULL);
	g_hash_table_insert(batches, g_memdup2(&key, sizeof key), batch);
	return batch;
}

static int
batch_send(Batch *batch, const char *flags)
{
	g_autofree char *text = g_strdup_printf("flag %s\n%s", flags, batch->numbers->str);
	int err = batch->mountpoint != NULL ? send_command(batch->mountpoint, text, strlen(text))
					    : ENOENT;

	g_string_truncate(batch->numbers, 0);
	return err == 0 ? EX_OK : say_refused(batch->mountpoint ? batch->mountpoint : "?", err);
}

int
flag_run(const char *flags, char **files, int n)
{
	g_autoptr(GHashTable) batches =
		g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, batch_free);
	GHashTableIter iter;
	gpointer value;
	int worst = EX_OK;

	for (int i = 0; i < n; i++) {
		struct stat st;
		Batch *batch;

		if (stat(files[i], &st) != 0) {
			worst = complain(files[i], g_strerror(errno));
			continue;
		}
		if (!S_ISREG(st.st_mode)) {
			worst = complain(files[i], "no message");
			continue;
		}
		batch = batch_of(batches, files[i], st.st_dev);
		g_string_append_printf(batch->numbers, "%" G_GUINT64_FORMAT " ",
				       (guint64)st.st_ino);
		if (batch->numbers->len > COMMAND_MAX)
			worst = worse_of(worst, batch_send(batch, flags));
	}
	g_hash_table_iter_init(&iter, batches);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		if (((Batch *)value)->numbers->len > 0)
			worst = worse_of(worst, batch_send(value, flags));
	return worst;
}

int
flag_allow_delete(const char *mountpoint)
{
	static const char command[] = "allow-delete";
	int err = send_command(mountpoint, command, strlen(command));

	if (err != 0)
		return say_refused(mountpoint, err);
	puts("for ten minutes, any number of messages can be deleted there");
	return EX_OK;
}
