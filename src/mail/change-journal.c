/* SPDX-License-Identifier: MIT */
#include "mail/change-journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

#define SUM_DIGITS 16
#define FIELDS	   12
#define FILE_MOST  (64 * 1024 * 1024) /* what is longer was not written by us */
#define TIDY_AT	   (4 * 1024 * 1024)  /* it is written anew, without what is done */

struct ChangeJournal {
	GMutex lock; /* guards all below */
	int fd;
	char *path;
	guint64 next_id;
	GHashTable *open; /* guint64 → line: ids not done */
	gboolean torn;	  /* the last line may lack its end */
	gsize size;	  /* of what was written since it was tidied, about */
};

static void
record_free(gpointer data)
{
	ChangeRecord *record = data;

	g_free(record->source);
	g_free(record->target);
	g_free(record->name);
	g_free(record->message_id);
	g_free(record);
}

/* (transfer full) */
static char *
sum_of(const char *text)
{
	char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);

	sum[SUM_DIGITS] = '\0';
	return sum;
}

static ChangeRecord *
record_parse(char **fields)
{
	ChangeRecord *record = g_new0(ChangeRecord, 1);

	*record = (ChangeRecord){
		.id = g_ascii_strtoull(fields[1], NULL, 10),
		.kind = fields[2][0],
		.uidvalidity = (guint32)g_ascii_strtoull(fields[3], NULL, 10),
		.uid = (guint32)g_ascii_strtoull(fields[4], NULL, 10),
		.target_validity = (guint32)g_ascii_strtoull(fields[5], NULL, 10),
		.target_next = (guint32)g_ascii_strtoull(fields[6], NULL, 10),
		.size = g_ascii_strtoull(fields[7], NULL, 10),
		.source = g_strcompress(fields[8]),
		.target = g_strcompress(fields[9]),
		.name = g_strcompress(fields[10]),
		.message_id = g_strcompress(fields[11]),
	};
	return record;
}

static gint
by_id(gconstpointer a, gconstpointer b)
{
	const ChangeRecord *left = *(ChangeRecord *const *)a, *right = *(ChangeRecord *const *)b;

	return left->id < right->id ? -1 : left->id > right->id;
}

/* "+" and a record, or "-" and an id: into @records, by id. */
static void
take_line(ChangeJournal *journal, GHashTable *records, const char *line)
{
	g_auto(GStrv) fields = NULL;
	g_autofree char *sum = NULL;
	guint64 id;

	if (strlen(line) <= SUM_DIGITS + 1 || line[SUM_DIGITS] != '\t')
		return;
	sum = sum_of(line + SUM_DIGITS + 1);
	if (strncmp(sum, line, SUM_DIGITS) != 0)
		return;
	fields = g_strsplit(line + SUM_DIGITS + 1, "\t", -1);
	if (fields[0] == NULL || fields[1] == NULL)
		return;
	id = g_ascii_strtoull(fields[1], NULL, 10);
	journal->next_id = MAX(journal->next_id, id + 1);
	if (strcmp(fields[0], "-") == 0) {
		g_hash_table_remove(records, &id);
		g_hash_table_remove(journal->open, &id);
	} else if (strcmp(fields[0], "+") == 0 && g_strv_length(fields) == FIELDS) {
		ChangeRecord *record = record_parse(fields);

		g_hash_table_replace(records, &record->id, record);
		g_hash_table_replace(journal->open, g_memdup2(&id, sizeof id), g_strdup(line));
	}
}

static void
read_records(ChangeJournal *journal, GPtrArray *records)
{
	g_autoptr(GHashTable) by_number =
		g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, record_free);
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	off_t size = lseek(journal->fd, 0, SEEK_END);
	GHashTableIter iter;
	gpointer record;

	if (size <= 0 || size > FILE_MOST)
		return;
	text = g_malloc0((gsize)size + 1);
	if (pread(journal->fd, text, (size_t)size, 0) != size)
		return;
	journal->torn = text[size - 1] != '\n';
	journal->size = (gsize)size;
	lines = g_strsplit(text, "\n", -1);
	for (guint i = 0; lines[i] != NULL; i++)
		take_line(journal, by_number, lines[i]);
	g_hash_table_iter_init(&iter, by_number);
	while (g_hash_table_iter_next(&iter, NULL, &record)) {
		g_hash_table_iter_steal(&iter);
		g_ptr_array_add(records, record);
	}
	g_ptr_array_sort(records, by_id);
}

/* The name of the file is on disk. */
static gboolean
sync_folder(const ChangeJournal *journal)
{
	g_autofree char *folder = g_path_get_dirname(journal->path);
	g_auto(UtilFd) fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && fsync(fd) == 0;
}

ChangeJournal *
change_journal_open(const char *directory, GPtrArray **records_out, GError **error)
{
	ChangeJournal *journal = g_new0(ChangeJournal, 1);
	GPtrArray *records = g_ptr_array_new_with_free_func(record_free);

	g_mutex_init(&journal->lock);
	journal->next_id = 1;
	journal->open = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	journal->path = g_build_filename(directory, "changes.journal", NULL);
	journal->fd = open(journal->path,
			   O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (journal->fd < 0) {
		int err = errno;

		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(err), "%s: %s",
			    journal->path, g_strerror(err));
		g_ptr_array_unref(records);
		change_journal_close(journal);
		return NULL;
	}
	if (!sync_folder(journal))
		g_debug("%s: %s", journal->path, g_strerror(errno));
	read_records(journal, records);
	*records_out = records;
	return journal;
}

void
change_journal_close(ChangeJournal *journal)
{
	if (journal == NULL)
		return;
	change_journal_sync(journal);
	util_close_fd(&journal->fd);
	g_hash_table_unref(journal->open);
	g_mutex_clear(&journal->lock);
	g_free(journal->path);
	g_free(journal);
}

/* (transfer full): with its sum, without its end */
static char *
line_of(const char *text)
{
	g_autofree char *sum = sum_of(text);

	return g_strdup_printf("%s\t%s", sum, text);
}

/* In one write. */
static ssize_t
write_text(int fd, const char *text)
{
	ssize_t n;

	do
		n = write(fd, text, strlen(text));
	while (n < 0 && errno == EINTR);
	return n;
}

/* Under the lock. */
static gboolean
write_line(ChangeJournal *journal, const char *line)
{
	g_autofree char *text = g_strdup_printf("%s%s\n", journal->torn ? "\n" : "", line);
	gsize len = strlen(text);
	ssize_t n = write_text(journal->fd, text);

	journal->torn = n != (ssize_t)len && (n > 0 || journal->torn);
	journal->size += len;
	return n == (ssize_t)len;
}

/* A run of changes that never pauses leaves no moment to empty the file. What fails leaves the old
 * one as it is. Under the lock. */
static void
tidy(ChangeJournal *journal)
{
	g_autofree char *path = g_strconcat(journal->path, ".new", NULL);
	g_auto(UtilFd) fd =
		open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	g_autoptr(GString) text = g_string_new(NULL);
	GHashTableIter iter;
	gpointer line;

	journal->size = 0;
	g_hash_table_iter_init(&iter, journal->open);
	while (g_hash_table_iter_next(&iter, NULL, &line))
		g_string_append_printf(text, "%s\n", (const char *)line);
	if (fd < 0 || write_text(fd, text->str) != (ssize_t)text->len || fdatasync(fd) != 0 ||
	    rename(path, journal->path) != 0) {
		g_debug("%s: %s", path, g_strerror(errno));
		return;
	}
	util_close_fd(&journal->fd);
	journal->fd = util_steal_fd(&fd);
	journal->torn = FALSE;
	if (!sync_folder(journal))
		g_debug("%s: %s", journal->path, g_strerror(errno));
}

guint64
change_journal_add(ChangeJournal *journal, const ChangeRecord *record)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&journal->lock);
	g_autofree char *source = g_strescape(record->source, NULL);
	g_autofree char *target = g_strescape(record->target, NULL);
	g_autofree char *name = g_strescape(record->name, NULL);
	g_autofree char *message_id = g_strescape(record->message_id, NULL);
	guint64 id = journal->next_id;
	g_autofree char *text = g_strdup_printf(
		"+\t%" G_GUINT64_FORMAT "\t%c\t%u\t%u\t%u\t%u\t%" G_GUINT64_FORMAT
		"\t%s\t%s\t%s\t%s",
		id, record->kind, record->uidvalidity, record->uid, record->target_validity,
		record->target_next, record->size, source, target, name, message_id);
	g_autofree char *line = line_of(text);

	if (!write_line(journal, line))
		return 0;
	journal->next_id++;
	g_hash_table_insert(journal->open, g_memdup2(&id, sizeof id), g_steal_pointer(&line));
	return id;
}

void
change_journal_done(ChangeJournal *journal, guint64 id)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&journal->lock);
	g_autofree char *text = g_strdup_printf("-\t%" G_GUINT64_FORMAT, id);
	g_autofree char *line = line_of(text);

	if (!g_hash_table_remove(journal->open, &id))
		return;
	if (g_hash_table_size(journal->open) == 0 && ftruncate(journal->fd, 0) == 0) {
		journal->torn = FALSE;
		journal->size = 0;
	} else if (!write_line(journal, line)) {
		g_debug("%s: %s", journal->path, g_strerror(errno));
	}
	if (journal->size > TIDY_AT)
		tidy(journal);
}

void
change_journal_sync(ChangeJournal *journal)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&journal->lock);

	if (journal->fd >= 0 && g_hash_table_size(journal->open) > 0 && fdatasync(journal->fd) != 0)
		g_debug("%s: %s", journal->path, g_strerror(errno));
}
