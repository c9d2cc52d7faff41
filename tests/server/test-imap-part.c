/* SPDX-License-Identifier: MIT */
/* Parts of a body, and the probe of its end. */
#include "imap-client.h"

#define PLAIN IMAP_PEER_LOGIN("")

#define PART_OPEN                                                                                  \
	"<x EXAMINE \"INBOX\"", "<y UID FETCH 3 (UID BODY.PEEK[]<0.8> BODY.PEEK[]<19.2>)",         \
		">* 9 EXISTS", ">* OK [UIDVALIDITY 7] UIDs valid", ">x OK"

/* Asks for octets 0 to 7 of UID 3, and two from 19 on. */
static void
assert_part(const char *const *dialog, const char *expected)
{
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	Request *request = imap_client_fetch(line.client, "INBOX", 7, "3");

	request->kind = REQUEST_PART;
	request->length = 8;
	request->probe = 19;
	imap_client_run(line.client, request);
	imap_client_assert_log(line.client, expected);
	imap_line_end(&line);
}

static void
test_a_part_and_the_probe_of_the_end_are_one_command(void)
{
	static Dialog dialog = {PLAIN,
				PART_OPEN,
				">* 1 FETCH (UID 3 BODY[]<0> {8}\r\n01234567 BODY[]<19> {1}\r\n9)",
				">y OK",
				"!end",
				NULL};
	static Dialog other_way_round = {
		PLAIN,
		PART_OPEN,
		">* 1 FETCH (BODY[]<19> {2}\r\n9x BODY[]<0> {8}\r\n01234567 UID 3)",
		">y OK",
		"!end",
		NULL};
	static Dialog apart = {PLAIN,
			       PART_OPEN,
			       ">* 1 FETCH (UID 3 BODY[]<0> {8}\r\n01234567)",
			       ">* 1 FETCH (UID 3 BODY[]<19> {0}\r\n)",
			       ">y OK",
			       "!end",
			       NULL};

	assert_part(dialog, "part of 3, 8 <01234567> body 3 whole\nprobed 1\ndone\n");
	assert_part(other_way_round, "part of 0, 8 <01234567probed 2\n> body 3 whole\ndone\n");
	assert_part(apart, "part of 3, 8 <01234567> body 3 whole\nprobed 0\ndone\n");
}

static void
test_parts_may_be_quoted_and_a_probe_nil(void)
{
	static Dialog quoted = {
		PLAIN,	 PART_OPEN, ">* 1 FETCH (UID 3 BODY[]<19> \"9\" BODY[]<0> \"01234567\")",
		">y OK", "!end",    NULL};
	static Dialog empty = {
		PLAIN,	 PART_OPEN, ">* 1 FETCH (UID 3 BODY[]<0> \"012\" BODY[]<19> \"\")",
		">y OK", "!end",    NULL};
	static Dialog nil = {
		PLAIN,	 PART_OPEN, ">* 1 FETCH (UID 3 BODY[]<0> {1}\r\n0 BODY[]<19> NIL)",
		">y OK", "!end",    NULL};

	assert_part(quoted, "probed 1\npart of 3, 8 <01234567> body 3 whole\ndone\n");
	assert_part(empty, "part of 3, 3 <012> body 3 whole\nprobed 0\ndone\n");
	assert_part(nil, "part of 3, 1 <0> body 3 whole\ndone\n");
}

static void
test_another_part_than_was_asked_for_is_void(void)
{
	static Dialog origin = {PLAIN,	 PART_OPEN, ">* 1 FETCH (UID 3 BODY[]<5> {8}\r\n01234567)",
				">y OK", "!end",    NULL};
	static Dialog too_much = {
		PLAIN,	 PART_OPEN, ">* 1 FETCH (UID 3 BODY[]<0> {9}\r\n012345678)",
		">y OK", "!end",    NULL};
	static Dialog quoted = {PLAIN,	 PART_OPEN, ">* 1 FETCH (UID 3 BODY[]<0> \"012345678\")",
				">y OK", "!end",    NULL};
	static Dialog nil = {PLAIN,   PART_OPEN, ">* 1 FETCH (UID 3 BODY[]<0> NIL BODY[]<19> NIL)",
			     ">y OK", "!end",	 NULL};
	static Dialog twice = {
		PLAIN,	 PART_OPEN, ">* 1 FETCH (UID 3 BODY[]<0> {2}\r\n01 BODY[]<0> {1}\r\n0)",
		">y OK", "!end",    NULL};
	static const char *const *const all[] = {origin, too_much, quoted, nil};

	for (guint i = 0; i < G_N_ELEMENTS(all); i++)
		assert_part(all[i], "> body 3 PROTOCOL\ndone\n");
	assert_part(twice, "part of 3, 2 <01> body 3 PROTOCOL\ndone\n");
}

static void
test_a_part_of_another_message_or_a_whole_one_is_no_part(void)
{
	static Dialog other = {
		PLAIN,	 PART_OPEN, ">* 1 FETCH (UID 4 BODY[]<0> {1}\r\n0 BODY[]<19> {1}\r\n9)",
		">y OK", "!end",    NULL};
	static Dialog late = {PLAIN,   PART_OPEN, ">* 1 FETCH (BODY[]<0> {1}\r\n0 UID 4)",
			      ">y OK", "!end",	  NULL};
	static Dialog whole = {PLAIN,	PART_OPEN, ">* 1 FETCH (UID 3 BODY[] {3}\r\n012)",
			       ">y OK", "!end",	   NULL};
	static Dialog nonsense = {
		PLAIN,
		PART_OPEN,
		">* 1 FETCH (UID 3 BODY[]<-1> {1}\r\n0 BODY[]<99999999999> {1}\r\n0 "
		"BODY[]<> {1}\r\n0 BODY[]<0 {1}\r\n0)",
		">y OK",
		"!end",
		NULL};

	assert_part(other, "done\n");
	assert_part(late, "part of 0, 1 <0> body 0 PROTOCOL\ndone\n");
	assert_part(whole, "done\n");
	assert_part(nonsense, "done\n");
}

static void
test_a_refused_part_or_a_cut_one_is_an_error(void)
{
	static Dialog no = {PLAIN, PART_OPEN, ">y NO cannot", "!end", NULL};
	static Dialog bad = {PLAIN, PART_OPEN, ">y BAD what?", "!end", NULL};
	static Dialog gone = {PLAIN, PART_OPEN, ">y NO [EXPUNGEISSUED] gone", "!end", NULL};
	static Dialog cut = {PLAIN, PART_OPEN, ">* 1 FETCH (UID 3 BODY[]<0> {8}\r\n0123", "!cut",
			     NULL};

	assert_part(no, "done PROTOCOL\n");
	assert_part(bad, "done PROTOCOL\n");
	assert_part(gone, "done\n");
	assert_part(cut, "part of 3, 8 <0123\r\n> body 3 OFFLINE\ndone OFFLINE\n");
}

static void
test_a_part_without_bounds_is_the_whole(void)
{
	static Dialog dialog = {PLAIN,
				"<x EXAMINE \"INBOX\"",
				"<y UID FETCH 3 (UID BODY.PEEK[])",
				"<z UID FETCH 5 (UID BODY.PEEK[]<100.50>)",
				">* OK [UIDVALIDITY 7]",
				">x OK",
				">* 3 FETCH (UID 5 BODY[]<100> {4}\r\npart)",
				">* 1 FETCH (UID 3 BODY[] {5}\r\nthree)",
				">y OK",
				">z OK",
				"!end",
				NULL};
	ImapLine line = imap_line_new(imap_peer_dialog, dialog);
	Request *whole = imap_client_fetch(line.client, "INBOX", 7, "3");
	Request *part = imap_client_fetch(line.client, "INBOX", 7, "5");

	whole->kind = part->kind = REQUEST_PART;
	part->offset = 100;
	part->length = 50;
	imap_client_start(line.client, whole);
	imap_client_start(line.client, part);
	g_assert_true(imap_client_finish(line.client, NULL));
	imap_client_assert_log(
		line.client, "part of 5, 4 <part> body 5 whole\npart of 3, 5 <three> body 3 whole\n"
			     "done\ndone\n");
	imap_line_end(&line);
}

#define ADD(name) g_test_add_func("/imap-part/" #name, test_##name)

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD(a_part_and_the_probe_of_the_end_are_one_command);
	ADD(parts_may_be_quoted_and_a_probe_nil);
	ADD(another_part_than_was_asked_for_is_void);
	ADD(a_part_of_another_message_or_a_whole_one_is_no_part);
	ADD(a_refused_part_or_a_cut_one_is_an_error);
	ADD(a_part_without_bounds_is_the_whole);
	return g_test_run();
}
