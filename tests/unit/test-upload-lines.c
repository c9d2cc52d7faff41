/* SPDX-License-Identifier: MIT */
/* Files whose line is lost while they are on their way. */
#include "uploads-fixture.h"

static gboolean
has_status(Upload *upload, const char *prefix)
{
	g_autofree char *status = upload_status(upload);

	return g_str_has_prefix(status, prefix);
}

/* The line of one upload is lost when another one is up already. */
static void
test_what_was_under_way_when_the_line_came_back_does_not_wait(Fixture *fixture, gconstpointer data)
{
	Upload *upload;

	settle(fixture, fixture->inbox);
	FAKE_SET(fixture->server, mute, TRUE);
	upload = put(fixture, fixture->inbox, "x.eml", MESSAGE);
	FAKE_WAIT(state_of(upload) == SPOOL_STARTED);
	uploads_retry(fixture->uploads);
	FAKE_SET(fixture->server, lose, FAKE_LOSE_BEFORE);
	FAKE_SET(fixture->server, mute, FALSE);
	FAKE_WAIT(has_status(upload, "retry"));
	g_assert_true(has_status(upload, "retry soon ("));
	FAKE_WAIT(is_over(upload));
	g_assert_cmpuint(on_server(fixture, "INBOX"), ==, 1);
	upload_unref(upload);
}

#define TEST(path, name, with)                                                                     \
	g_test_add("/upload-lines/" path, Fixture, GINT_TO_POINTER(with), setup, test_##name,      \
		   teardown)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("what-was-under-way-when-the-line-came-back-does-not-wait",
	     what_was_under_way_when_the_line_came_back_does_not_wait, 0);
	return g_test_run();
}
