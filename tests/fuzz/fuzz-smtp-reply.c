/* SPDX-License-Identifier: MIT */
/* Any bytes as a submission server's answers. The same is understood however they are cut, and what
 * is understood keeps to its bounds. The cuts are a hash of the input, so that a kept input is a
 * plain transcript. */
#include <string.h>

#include "proto/smtp-reply.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static void
check_reply(const SmtpReply *reply)
{
	if (reply->code < 200 || reply->code > 599)
		g_error("a code of %d came through", reply->code);
	if (strlen(reply->text) > 64 * 1024)
		g_error("a text of %zu bytes came through", strlen(reply->text));
	if (reply->enhanced != NULL && *reply->enhanced != '0' + reply->code / 100)
		g_error("%s came through with %d", reply->enhanced, reply->code);
	if (reply->recipient != NULL || reply->next != NULL)
		g_error("a reply of more than itself");
}

/* What is understood, a line a reply, fed in steps of @step. */
static char *
trace(const guint8 *data, gsize size, gsize step)
{
	g_autoptr(SmtpParser) parser = smtp_parser_new();
	g_autoptr(GString) log = g_string_new(NULL);
	gsize done = 0;

	while (done < size) {
		g_autoptr(SmtpReply) reply = NULL;
		gsize len = MIN(step, size - done);
		gssize taken = smtp_parser_feed(parser, data + done, len, &reply, NULL);

		if (taken < 0) {
			g_string_append(log, "nonsense");
			break;
		}
		if ((gsize)taken > len || (taken == 0 && reply == NULL))
			g_error("%zd of %zu bytes were taken", taken, len);
		done += (gsize)taken;
		if (reply != NULL) {
			check_reply(reply);
			g_string_append_printf(log, "%d %s %s at %zu\n", reply->code,
					       reply->enhanced, reply->text, done);
		}
	}
	return g_strdup(log->str);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
	g_autofree char *whole = trace(data, size, MAX(size, 1));
	g_autofree char *pieces = NULL;
	guint32 hash = 5381;

	for (gsize i = 0; i < size; i++)
		hash = hash * 33 + data[i];
	pieces = trace(data, size, 1 + hash % 13);
	if (strcmp(whole, pieces) != 0)
		g_error("whole:\n%s\nin pieces:\n%s", whole, pieces);
	return 0;
}
