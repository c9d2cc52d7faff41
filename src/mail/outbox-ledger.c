/* SPDX-License-Identifier: MIT */
#include "mail/outbox-ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "store/checksum.h"

#define KEPT	   30000 /* lines that are left when it is cut */
#define CUT_BEYOND 65536
#define DAY_S	   86400

/* In the byte order of the machine, which the cache does not leave. */
typedef struct {
	guint64 ticket;
	gint64 when; /* wall clock, seconds */
	guint32 word;
	guint32 sum; /* of all above */
} Line;
G_STATIC_ASSERT(sizeof(Line) == 24);

struct Ledger {
	char *path;
	UtilFd fd;

	GMutex lock;	   /* guards all below */
	GHashTable *words; /* ticket → LedgerWord; NULL: forgotten */
	GArray *sent;	   /* of gint64: when, of the last day, oldest first */
};

static guint32
sum_of(const Line *line)
{
	return (guint32)checksum(0, line, offsetof(Line, sum));
}

static void
take(Ledger *ledger, const Line *line)
{
	g_hash_table_replace(ledger->words, g_memdup2(&line->ticket, sizeof line->ticket),
			     GUINT_TO_POINTER(line->word));
	if (line->word == LEDGER_SENT && line->when > g_get_real_time() / G_USEC_PER_SEC - DAY_S)
		g_array_append_val(ledger->sent, line->when);
}

/* (element-type Line): the sound ones. NULL with errno. */
static GArray *
read_lines(int fd)
{
	g_autoptr(GArray) lines = g_array_new(FALSE, FALSE, sizeof(Line));
	Line piece[256];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, piece, sizeof piece, at)) > 0) {
		for (gsize i = 0; i < (gsize)n / sizeof(Line); i++)
			if (piece[i].sum == sum_of(&piece[i]) && piece[i].word <= LEDGER_BACK)
				g_array_append_val(lines, piece[i]);
		/* What a crash has cut short is not a line. */
		if ((gsize)n < sizeof(Line))
			break;
		at += (off_t)((gsize)n / sizeof(Line) * sizeof(Line));
	}
	return n < 0 ? NULL : g_steal_pointer(&lines);
}

/* Whole lines, so that the next one is one. */
static gboolean
rewrite(Ledger *ledger, const GArray *lines)
{
	g_autofree char *fresh = g_strconcat(ledger->path, ".new", NULL);
	guint first = lines->len > CUT_BEYOND ? lines->len - KEPT : 0;
	gsize len = (lines->len - first) * sizeof(Line);
	g_auto(UtilFd) fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, &g_array_index(lines, Line, first), len) != (ssize_t)len ||
	    rename(fresh, ledger->path) != 0)
		return FALSE;
	util_close_fd(&ledger->fd);
	ledger->fd = util_steal_fd(&fd);
	return TRUE;
}

static gboolean
load(Ledger *ledger)
{
	g_autoptr(GArray) lines = NULL;
	off_t size;

	ledger->fd = open(ledger->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ledger->fd < 0 || (lines = read_lines(ledger->fd)) == NULL)
		return FALSE;
	size = lseek(ledger->fd, 0, SEEK_END);
	if (lines->len > CUT_BEYOND || size != (off_t)(lines->len * sizeof(Line)))
		if (!rewrite(ledger, lines))
			return FALSE;
	for (guint i = 0; i < lines->len; i++)
		take(ledger, &g_array_index(lines, Line, i));
	return TRUE;
}

Ledger *
ledger_open(const char *directory, GError **error)
{
	g_autoptr(Ledger) ledger = g_new0(Ledger, 1);
	int err;

	g_mutex_init(&ledger->lock);
	ledger->fd = -1;
	ledger->path = g_build_filename(directory, "sent", NULL);
	ledger->words = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	ledger->sent = g_array_new(FALSE, FALSE, sizeof(gint64));
	if (load(ledger))
		return g_steal_pointer(&ledger);
	err = errno;
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(err), "%s: %s", ledger->path,
		    g_strerror(err));
	return NULL;
}

void
ledger_close(Ledger *ledger)
{
	if (ledger == NULL)
		return;
	util_close_fd(&ledger->fd);
	g_clear_pointer(&ledger->words, g_hash_table_unref);
	g_array_unref(ledger->sent);
	g_mutex_clear(&ledger->lock);
	g_free(ledger->path);
	g_free(ledger);
}

LedgerWord
ledger_word(Ledger *ledger, guint64 ticket)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ledger->lock);

	if (ledger->words == NULL || ticket == 0)
		return LEDGER_NOTHING;
	return GPOINTER_TO_UINT(g_hash_table_lookup(ledger->words, &ticket));
}

void
ledger_forget(Ledger *ledger)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ledger->lock);

	g_clear_pointer(&ledger->words, g_hash_table_unref);
}

/* What a full disk cuts short would put all later lines out of their places. */
static void
append(Ledger *ledger, const Line *line)
{
	off_t end = lseek(ledger->fd, 0, SEEK_END);
	ssize_t n = write(ledger->fd, line, sizeof *line);

	if (n == sizeof *line)
		return;
	g_debug("%s: %s", ledger->path, n < 0 ? g_strerror(errno) : "no room");
	if (n > 0 && ftruncate(ledger->fd, end) != 0)
		g_debug("%s: %s", ledger->path, g_strerror(errno));
}

void
ledger_note(Ledger *ledger, guint64 ticket, LedgerWord word)
{
	Line line = {.ticket = ticket, .when = g_get_real_time() / G_USEC_PER_SEC, .word = word};

	line.sum = sum_of(&line);
	append(ledger, &line);
	if (word != LEDGER_SENT)
		return;
	g_mutex_lock(&ledger->lock);
	g_array_append_val(ledger->sent, line.when);
	g_mutex_unlock(&ledger->lock);
}

guint
ledger_sent(Ledger *ledger, gint64 seconds, guint n, gint64 *oldest_out)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ledger->lock);
	gint64 now = g_get_real_time() / G_USEC_PER_SEC;
	const GArray *sent = ledger->sent;
	guint old = 0;
	guint count = 0;

	while (old < sent->len && g_array_index(sent, gint64, old) <= now - DAY_S)
		old++;
	if (old > 0)
		g_array_remove_range(ledger->sent, 0, old);
	for (guint i = sent->len; i > 0 && g_array_index(sent, gint64, i - 1) > now - seconds; i--)
		count++;
	if (oldest_out != NULL)
		*oldest_out =
			n > 0 && n <= sent->len ? g_array_index(sent, gint64, sent->len - n) : 0;
	return count;
}
