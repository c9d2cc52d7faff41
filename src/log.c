/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define LINES	   1000
#define LINE_BYTES 1000

typedef struct {
	gint64 when; /* seconds, wall clock */
	char *text;
	guint times;
} Line;

struct Log {
	GMutex lock; /* guards all below */
	gboolean to_stderr;
	GQueue lines; /* of Line, oldest first */
};

static void
line_free(gpointer data)
{
	Line *line = data;

	g_free(line->text);
	g_free(line);
}

Log *
log_new(gboolean to_stderr)
{
	Log *log = g_new0(Log, 1);

	g_mutex_init(&log->lock);
	g_queue_init(&log->lines);
	log->to_stderr = to_stderr;
	return log;
}

void
log_free(Log *log)
{
	if (log == NULL)
		return;
	g_queue_clear_full(&log->lines, line_free);
	g_mutex_clear(&log->lock);
	g_free(log);
}

void
log_line(Log *log, const char *format, ...)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&log->lock);
	g_autofree char *raw = NULL;
	Line *newest = g_queue_peek_tail(&log->lines);
	Line *line;
	char *text;
	va_list args;

	va_start(args, format);
	raw = g_strdup_vprintf(format, args);
	va_end(args);
	text = util_printable(raw, -1, LINE_BYTES);
	if (newest != NULL && strcmp(newest->text, text) == 0) {
		newest->times++;
		newest->when = g_get_real_time() / G_USEC_PER_SEC;
		g_free(text);
		return;
	}
	if (log->to_stderr)
		fprintf(stderr, "mailfs: %s\n", text);
	line = g_new0(Line, 1);
	line->when = g_get_real_time() / G_USEC_PER_SEC;
	line->text = text;
	line->times = 1;
	g_queue_push_tail(&log->lines, line);
	if (log->lines.length > LINES)
		line_free(g_queue_pop_head(&log->lines));
}

static void
append_line(GString *out, const Line *line)
{
	g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(line->when);
	g_autofree char *stamp = g_date_time_format(when, "%Y-%m-%d %H:%M:%S");

	g_string_append_printf(out, "%s %s", stamp, line->text);
	if (line->times > 1)
		g_string_append_printf(out, " (%u times)", line->times);
}

char *
log_text(Log *log)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&log->lock);
	GString *out = g_string_new(NULL);

	for (GList *link = log->lines.head; link != NULL; link = link->next) {
		append_line(out, link->data);
		g_string_append_c(out, '\n');
	}
	return g_string_free(out, FALSE);
}

char *
log_newest(Log *log)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&log->lock);
	GString *out;

	if (log->lines.tail == NULL)
		return NULL;
	out = g_string_new(NULL);
	append_line(out, log->lines.tail->data);
	return g_string_free(out, FALSE);
}
