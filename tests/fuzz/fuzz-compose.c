/* SPDX-License-Identifier: MIT */
/* A written file to an envelope and to the bytes for the wire. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "mail/address.h"
#include "mail/compose.h"
#include "mail/upload-check.h"
#include "mail/verdict.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static const ComposeOptions options = {.address = "alice@example.org", .unique = "u"};

/* Fit for MAIL FROM:<…> and RCPT TO:<…>: the mark that ends it stands in quotes only. */
static void
check_address(const char *address)
{
	gboolean quoted = FALSE;

	g_assert_true(g_utf8_validate(address, -1, NULL));
	g_assert_true(strlen(address) <= ADDRESS_MAX);
	for (const char *p = address; *p != '\0'; p++) {
		g_assert_true((guchar)*p >= ' ' && *p != 127);
		if (*p == '\\' && quoted)
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else
			g_assert_true(quoted || strchr("<> ", *p) == NULL);
	}
	g_assert_false(quoted);
}

static void
check_list(const char *value, gsize len)
{
	g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);

	address_list_parse(value, len, addresses, 20, NULL);
	for (guint i = 0; i < addresses->len; i++) {
		g_autofree char *again = address_parse(addresses->pdata[i], NULL);

		check_address(addresses->pdata[i]);
		g_assert_cmpstr(again, ==, addresses->pdata[i]);
	}
}

/* Nothing but whole lines, and no Bcc in front of the body. */
static void
check_wire(int fd, guint64 size)
{
	g_autofree char *wire = g_malloc(size + 1);
	gboolean in_header = TRUE;

	g_assert_cmpint(upload_check_read(fd, wire, size, 0, NULL), ==, size);
	wire[size] = '\0';
	g_assert_true(size >= 2 && memcmp(wire + size - 2, "\r\n", 2) == 0);
	for (char *line = wire; line < wire + size; line = strchr(line, '\n') + 1) {
		g_assert_true(strchr(line, '\n')[-1] == '\r');
		in_header = in_header && *line != '\r';
		g_assert_false(in_header && g_ascii_strncasecmp(line, "bcc:", 4) == 0);
	}
}

static void
check_message(const guint8 *data, gsize size)
{
	g_auto(UtilFd) in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	g_auto(UtilFd) wire = memfd_create("wire", MFD_CLOEXEC);
	g_autoptr(Composed) composed = NULL, again = NULL;
	ComposeWritten written;

	if (!upload_check_write(in, data, size, 0, NULL))
		return;
	composed = compose_read(in, &options, NULL);
	if (composed == NULL)
		return;
	check_address(composed->sender);
	for (guint i = 0; composed->recipients[i] != NULL; i++)
		check_address(composed->recipients[i]);
	g_assert_true(compose_complete(in, out, &options, &written, NULL));
	again = compose_read(out, &options, NULL);
	g_assert_true(again != NULL && again->is_complete && again->size == written.size);
	g_assert_true(again->crc == written.crc && again->message_id != NULL);
	g_assert_true(g_strv_equal((const char *const *)composed->recipients,
				   (const char *const *)again->recipients));
	g_assert_true(compose_wire(out, wire, &written, NULL));
	check_wire(wire, written.size);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	Verdict verdict = {.kind = VERDICT_REPLY, .code = 550, .text = text, .recipient = text};
	g_autofree char *page = verdict_page(&verdict), *line = verdict_line(&verdict);

	g_assert_true(g_utf8_validate(page, -1, NULL) && g_utf8_validate(line, -1, NULL));
	check_list(text, strlen(text));
	check_message(data, size);
	return 0;
}
