/* SPDX-License-Identifier: MIT */
/* What a parser is told, and what it says to that, however the bytes come: whole, cut in two at
 * each place, and one by one from each place on. */
#pragma once

#include <glib.h>

typedef struct {
	const char *sentence;
	const char *input;
	gsize len; /* it may hold NULs */
	const char *said;
} Transcript;

#define BYTES(text) text, sizeof(text) - 1

/* As imap_trace() and pop_trace(). */
typedef char *(*Trace)(const void *data, gsize len, gsize cut, gsize step);

static inline void
assert_transcript(const Transcript *transcript, Trace trace)
{
	gsize len = transcript->len;

	for (gsize cut = 1; cut <= len + 1; cut++) {
		g_autofree char *in_two = trace(transcript->input, len, cut, len + 1);
		g_autofree char *bytewise = trace(transcript->input, len, cut, 1);

		g_assert_cmpstr(in_two, ==, transcript->said);
		g_assert_cmpstr(bytewise, ==, transcript->said);
	}
}

/* Each is a test of its own, which calls assert_transcript(). */
static inline void
add_transcripts(const char *prefix, const Transcript *transcripts, guint n, GTestDataFunc test)
{
	for (guint i = 0; i < n; i++) {
		g_autofree char *path = g_strconcat(prefix, transcripts[i].sentence, NULL);

		g_test_add_data_func(path, &transcripts[i], test);
	}
}
