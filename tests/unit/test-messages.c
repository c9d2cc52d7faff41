/* SPDX-License-Identifier: MIT */
#include "mail/messages.h"

#include <string.h>

static const MessageEntry *
add(Messages *messages, guint32 uid, const char *name)
{
	MessageInfo info = {
		.uid = uid, .size = 100 + uid, .date = 1700000000 + (gint64)uid, .keywords = ""};

	return messages_add(messages, &info, name);
}

static const char *
name_of(const Messages *messages, guint32 uid)
{
	const MessageEntry *entry = messages_get(messages, uid);

	return entry != NULL ? messages_name(messages, entry) : NULL;
}

static guint32
find(const Messages *messages, const char *name)
{
	const MessageEntry *entry = messages_find(messages, name, strlen(name));

	return entry != NULL ? entry->uid : 0;
}

static void
test_messages_are_in_uid_order_whatever_order_they_come_in(void)
{
	static const guint32 uids[] = {500, 7, 4000000000u, 1, 8, 6, 499, 501};
	static const guint32 sorted[] = {1, 6, 7, 8, 499, 500, 501, 4000000000u};
	g_autoptr(Messages) messages = messages_new();

	for (guint i = 0; i < G_N_ELEMENTS(uids); i++)
		g_assert_nonnull(add(messages, uids[i], ""));
	g_assert_cmpuint(messages_count(messages), ==, G_N_ELEMENTS(sorted));
	for (guint i = 0; i < G_N_ELEMENTS(sorted); i++) {
		g_assert_cmpuint(messages_at(messages, i)->uid, ==, sorted[i]);
		g_assert_cmpuint(messages_rank(messages, sorted[i]), ==, i);
		g_assert_true(messages_get(messages, sorted[i]) == messages_at(messages, i));
	}
	g_assert_null(messages_at(messages, G_N_ELEMENTS(sorted)));
	g_assert_cmpuint(messages_rank(messages, 0), ==, 0);
	g_assert_cmpuint(messages_rank(messages, 2), ==, 1);
	g_assert_cmpuint(messages_rank(messages, G_MAXUINT32), ==, G_N_ELEMENTS(sorted));
	g_assert_null(messages_get(messages, 2));
}

static void
test_a_uid_is_added_once(void)
{
	g_autoptr(Messages) messages = messages_new();
	MessageInfo other = {
		.uid = 3, .size = 9, .date = 9, .flags = MESSAGE_SEEN, .keywords = "work"};

	add(messages, 3, "first");
	g_assert_null(messages_add(messages, &other, "second"));
	g_assert_cmpuint(messages_count(messages), ==, 1);
	g_assert_cmpstr(name_of(messages, 3), ==, "first");
	g_assert_cmpuint(messages_get(messages, 3)->size, ==, 103);
	g_assert_cmpuint(messages_get(messages, 3)->flags, ==, 0);
	g_assert_cmpuint(find(messages, "second"), ==, 0);
}

static void
test_impossible_uids_are_refused(void)
{
	g_autoptr(Messages) messages = messages_new();

	g_assert_null(add(messages, 0, "zero"));
	g_assert_null(add(messages, G_MAXUINT32, "last"));
	g_assert_cmpuint(messages_count(messages), ==, 0);
	g_assert_nonnull(add(messages, G_MAXUINT32 - 1, "last but one"));
	g_assert_cmpuint(find(messages, "last but one"), ==, G_MAXUINT32 - 1);
}

static void
test_equal_names_are_numbered(void)
{
	g_autoptr(Messages) messages = messages_new();

	add(messages, 1, "same");
	add(messages, 2, "same");
	add(messages, 3, "same");
	add(messages, 4, "other");
	g_assert_cmpstr(name_of(messages, 1), ==, "same");
	g_assert_cmpstr(name_of(messages, 2), ==, "same~2");
	g_assert_cmpstr(name_of(messages, 3), ==, "same~3");
	g_assert_cmpstr(name_of(messages, 4), ==, "other");
	g_assert_cmpuint(find(messages, "same"), ==, 1);
	g_assert_cmpuint(find(messages, "same~2"), ==, 2);
	g_assert_cmpuint(find(messages, "same~3"), ==, 3);
	g_assert_cmpuint(find(messages, "same~4"), ==, 0);
}

/* As after a restart: the index gives the numbered names back, and then something new comes. */
static void
test_numbers_go_on_after_numbered_names_were_loaded(void)
{
	g_autoptr(Messages) messages = messages_new();

	add(messages, 1, "same");
	add(messages, 2, "same~2");
	add(messages, 5, "same~3");
	add(messages, 6, "same");
	g_assert_cmpstr(name_of(messages, 6), ==, "same~4");
}

static void
test_empty_names_are_never_taken(void)
{
	g_autoptr(Messages) messages = messages_new();

	for (guint32 uid = 1; uid < 200; uid++)
		add(messages, uid, "");
	for (guint32 uid = 1; uid < 200; uid++)
		g_assert_cmpstr(name_of(messages, uid), ==, "");
	g_assert_cmpuint(find(messages, ""), ==, 0);
}

static void
test_find_wants_the_whole_name_and_no_more(void)
{
	g_autoptr(Messages) messages = messages_new();

	g_assert_cmpuint(find(messages, "nothing is here"), ==, 0);
	add(messages, 1, "abc");
	g_assert_cmpuint(find(messages, "ab"), ==, 0);
	g_assert_cmpuint(find(messages, "abcd"), ==, 0);
	g_assert_nonnull(messages_find(messages, "abc.eml", 3));
	g_assert_null(messages_find(messages, "abc.eml", 4));
}

static void
note_removed(gpointer user, guint32 uid, const char *name)
{
	g_string_append_printf(user, "%u %s\n", uid, name);
}

static void
test_removing_tells_each_that_was_there(void)
{
	g_autoptr(Messages) messages = messages_new();
	g_autoptr(UidSet) uids = uidset_new();
	g_autoptr(GString) told = g_string_new(NULL);

	for (guint32 uid = 1; uid <= 6; uid++) {
		g_autofree char *name = g_strdup_printf("m%u", uid);

		add(messages, uid, name);
	}
	uidset_add(uids, 2, 3);
	uidset_add(uids, 6, 100);
	g_assert_cmpuint(messages_remove(messages, uids, note_removed, told), ==, 3);
	g_assert_cmpstr(told->str, ==, "2 m2\n3 m3\n6 m6\n");
	g_assert_cmpuint(messages_count(messages), ==, 3);
	g_assert_cmpuint(find(messages, "m2"), ==, 0);
	g_assert_cmpuint(find(messages, "m4"), ==, 4);
	g_assert_cmpuint(messages_at(messages, 1)->uid, ==, 4);
	g_assert_cmpuint(messages_remove(messages, uids, note_removed, told), ==, 0);
}

static void
test_keeping_removes_only_below_the_bound(void)
{
	g_autoptr(Messages) messages = messages_new();
	g_autoptr(UidSet) present = uidset_new();
	g_autoptr(GString) told = g_string_new(NULL);

	for (guint32 uid = 1; uid <= 6; uid++)
		add(messages, uid, "");
	uidset_add(present, 2, 2);
	uidset_add(present, 4, 4);
	g_assert_cmpuint(messages_keep(messages, present, 5, note_removed, told), ==, 2);
	g_assert_cmpstr(told->str, ==, "1 \n3 \n");
	g_assert_cmpuint(messages_count(messages), ==, 4);
	g_assert_nonnull(messages_get(messages, 5));
	g_assert_nonnull(messages_get(messages, 6));
}

static void
test_a_freed_name_can_be_had_again(void)
{
	g_autoptr(Messages) messages = messages_new();
	g_autoptr(UidSet) uids = uidset_new();

	add(messages, 1, "same");
	add(messages, 2, "same");
	uidset_add(uids, 1, 1);
	messages_remove(messages, uids, NULL, NULL);
	g_assert_cmpuint(find(messages, "same"), ==, 0);
	g_assert_cmpuint(find(messages, "same~2"), ==, 2);
	add(messages, 3, "same");
	g_assert_cmpuint(find(messages, "same"), ==, 3);
}

static void
test_memory_is_given_back_when_half_of_the_names_are_gone(void)
{
	g_autoptr(Messages) messages = messages_new();
	g_autoptr(UidSet) most = uidset_new();
	guint64 full;

	for (guint32 uid = 1; uid <= 20000; uid++) {
		g_autofree char *name = g_strdup_printf("20261121-063812_Invoice-%u.k7f3q2ab", uid);

		add(messages, uid, name);
	}
	full = messages_memory(messages);
	g_assert_cmpuint(full, <, 20000 * 120);
	uidset_add(most, 1, 19000);
	g_assert_cmpuint(messages_remove(messages, most, NULL, NULL), ==, 19000);
	g_assert_cmpuint(messages_memory(messages), <, full / 5);
	for (guint32 uid = 19001; uid <= 20000; uid++) {
		g_autofree char *name = g_strdup_printf("20261121-063812_Invoice-%u.k7f3q2ab", uid);

		g_assert_cmpstr(name_of(messages, uid), ==, name);
		g_assert_cmpuint(find(messages, name), ==, uid);
	}
}

static void
test_flags_and_keywords_change_and_say_so(void)
{
	g_autoptr(Messages) messages = messages_new();
	MessageInfo info = {.uid = 4, .flags = MESSAGE_SEEN, .keywords = "work $Label1"};

	messages_add(messages, &info, "a");
	add(messages, 5, "b");
	g_assert_cmpstr(messages_keywords(messages, messages_get(messages, 4)), ==, "work $Label1");
	g_assert_cmpstr(messages_keywords(messages, messages_get(messages, 5)), ==, "");
	g_assert_false(messages_set_flags(messages, 4, MESSAGE_SEEN, "work $Label1"));
	g_assert_true(messages_set_flags(messages, 4, MESSAGE_SEEN, "work"));
	g_assert_cmpstr(messages_keywords(messages, messages_get(messages, 4)), ==, "work");
	g_assert_true(messages_set_flags(messages, 4, MESSAGE_FLAGGED | MESSAGE_RECENT, "work"));
	g_assert_cmpuint(messages_get(messages, 4)->flags, ==, MESSAGE_FLAGGED | MESSAGE_RECENT);
	g_assert_true(messages_set_flags(messages, 4, MESSAGE_FLAGGED | MESSAGE_RECENT, ""));
	g_assert_cmpstr(messages_keywords(messages, messages_get(messages, 4)), ==, "");
	g_assert_false(messages_set_flags(messages, 6, MESSAGE_SEEN, ""));
}

static void
test_a_keyword_set_for_each_message_is_survived(void)
{
	g_autoptr(Messages) messages = messages_new();

	for (guint32 uid = 1; uid <= 70000; uid++) {
		g_autofree char *keywords = g_strdup_printf("k%u", uid);
		MessageInfo info = {.uid = uid, .keywords = keywords};

		messages_add(messages, &info, "");
	}
	g_assert_cmpstr(messages_keywords(messages, messages_get(messages, 1)), ==, "k1");
	g_assert_cmpstr(messages_keywords(messages, messages_get(messages, 65000)), ==, "k65000");
	g_assert_cmpstr(messages_keywords(messages, messages_get(messages, 70000)), ==, "");
}

static void
test_an_exact_size_is_remembered_and_a_wrong_claim_marked(void)
{
	g_autoptr(Messages) messages = messages_new();

	add(messages, 1, "right");
	add(messages, 2, "wrong");
	messages_set_exact(messages, 1, 101, 0xabcd);
	messages_set_exact(messages, 2, 7, 0xef01);
	messages_set_exact(messages, 3, 7, 0xef01);
	g_assert_cmpuint(messages_get(messages, 1)->size, ==, 101);
	g_assert_cmpuint(messages_get(messages, 1)->size_exact, ==, 1);
	g_assert_cmpuint(messages_get(messages, 1)->resized, ==, 0);
	g_assert_cmpuint(messages_get(messages, 1)->crc, ==, 0xabcd);
	g_assert_cmpuint(messages_get(messages, 2)->size, ==, 7);
	g_assert_cmpuint(messages_get(messages, 2)->resized, ==, 1);
	g_assert_cmpuint(messages_get(messages, 2)->has_crc, ==, 1);
	/* Once shown wrongly, always suspect: the kernel may still have the first one. */
	messages_set_exact(messages, 2, 7, 0xef01);
	g_assert_cmpuint(messages_get(messages, 2)->resized, ==, 1);
	g_assert_null(messages_get(messages, 3));
}

static void
test_a_size_beyond_all_reason_is_cut(void)
{
	g_autoptr(Messages) messages = messages_new();
	MessageInfo info = {.uid = 1, .size = G_MAXUINT64, .keywords = ""};

	messages_add(messages, &info, "");
	g_assert_cmpuint(messages_get(messages, 1)->size, ==, (1ull << 48) - 1);
	g_assert_cmpuint(messages_get(messages, 1)->size_exact, ==, 0);
	g_assert_cmpuint(messages_get(messages, 1)->resized, ==, 0);
}

static void
test_a_hundred_thousand_are_quick_and_small(void)
{
	g_autoptr(Messages) messages = messages_new();
	gint64 began = g_get_monotonic_time();
	char name[80];

	for (guint32 uid = 1; uid <= 100000; uid++) {
		g_snprintf(name, sizeof name, "20261121-063812_Re-about-the-invoice-%u.k7f3q2ab",
			   uid % 50000);
		add(messages, uid, name);
	}
	for (guint32 uid = 1; uid < 50000; uid++) {
		g_snprintf(name, sizeof name, "20261121-063812_Re-about-the-invoice-%u.k7f3q2ab~2",
			   uid);
		g_assert_cmpuint(find(messages, name), ==, uid + 50000);
	}
	g_test_message("%" G_GINT64_FORMAT " ms, %" G_GUINT64_FORMAT " bytes",
		       (g_get_monotonic_time() - began) / 1000, messages_memory(messages));
	g_assert_cmpint(g_get_monotonic_time() - began, <, 5 * G_USEC_PER_SEC);
	g_assert_cmpuint(messages_memory(messages), <, 100000 * 160);
}

static void
test_a_hundred_thousand_equal_names_are_quick(void)
{
	g_autoptr(Messages) messages = messages_new();
	gint64 began = g_get_monotonic_time();

	for (guint32 uid = 1; uid <= 100000; uid++)
		add(messages, uid, "no-subject");
	g_assert_cmpuint(find(messages, "no-subject~100000"), ==, 100000);
	g_assert_cmpint(g_get_monotonic_time() - began, <, 5 * G_USEC_PER_SEC);
}

/* --- against a naive model: two tables --- */

#define MODEL_UIDS 400

typedef struct {
	Messages *messages;
	char *names[MODEL_UIDS];
	guint32 flags[MODEL_UIDS];
} Model;

static void
model_add(Model *model, guint32 uid, const char *name)
{
	const MessageEntry *entry = add(model->messages, uid, name);
	const char *got;
	gboolean taken = FALSE;

	g_assert_cmpint(entry == NULL, ==, model->names[uid] != NULL);
	if (entry == NULL)
		return;
	got = messages_name(model->messages, entry);
	for (guint i = 0; i < MODEL_UIDS; i++) {
		g_assert_cmpstr(model->names[i], !=, got);
		taken = taken || g_strcmp0(model->names[i], name) == 0;
	}
	g_assert_true(g_str_has_prefix(got, name));
	g_assert_cmpint(strcmp(got, name) == 0, ==, !taken);
	model->names[uid] = g_strdup(got);
	model->flags[uid] = 0;
}

static void
model_removed(gpointer user, guint32 uid, const char *name)
{
	Model *model = user;

	g_assert_cmpstr(model->names[uid], ==, name);
	g_clear_pointer(&model->names[uid], g_free);
}

static UidSet *
random_set(GRand *rand)
{
	UidSet *set = uidset_new();
	guint n = g_rand_int_range(rand, 0, 12);

	for (guint i = 0; i < n; i++) {
		guint32 first = g_rand_int_range(rand, 1, MODEL_UIDS);

		uidset_add(set, first, first + g_rand_int_range(rand, 0, 20));
	}
	return set;
}

static void
model_step(Model *model, GRand *rand)
{
	guint32 uid = g_rand_int_range(rand, 1, MODEL_UIDS);
	g_autofree char *name = g_strdup_printf("%0*u", g_rand_int_range(rand, 1, 2000),
						g_rand_int_range(rand, 0, 10));
	g_autoptr(UidSet) set = NULL;

	switch (g_rand_int_range(rand, 0, 10)) {
	case 0:
		set = random_set(rand);
		messages_remove(model->messages, set, model_removed, model);
		for (guint i = 0; i < MODEL_UIDS; i++)
			g_assert_true(model->names[i] == NULL || !uidset_contains(set, i));
		break;
	case 1:
		set = random_set(rand);
		uid = g_rand_int_range(rand, 1, 100);
		messages_keep(model->messages, set, uid, model_removed, model);
		for (guint i = 0; i < uid; i++)
			g_assert_true(model->names[i] == NULL || uidset_contains(set, i));
		break;
	case 2:
		if (messages_set_flags(model->messages, uid, uid % 32, ""))
			model->flags[uid] = uid % 32;
		break;
	default:
		model_add(model, uid, name);
	}
}

static void
model_check(const Model *model)
{
	guint rank = 0;

	for (guint32 uid = 0; uid < MODEL_UIDS; uid++) {
		const MessageEntry *entry = messages_get(model->messages, uid);

		g_assert_cmpuint(messages_rank(model->messages, uid), ==, rank);
		if (model->names[uid] == NULL) {
			g_assert_null(entry);
			continue;
		}
		g_assert_true(entry == messages_at(model->messages, rank++));
		g_assert_cmpstr(messages_name(model->messages, entry), ==, model->names[uid]);
		g_assert_cmpuint(find(model->messages, model->names[uid]), ==, uid);
		g_assert_cmpuint(entry->flags, ==, model->flags[uid]);
	}
	g_assert_cmpuint(messages_count(model->messages), ==, rank);
}

static void
test_it_does_what_a_naive_model_does(void)
{
	for (guint32 seed = 1; seed <= 10; seed++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
		Model model = {.messages = messages_new()};

		for (guint step = 0; step < 2000; step++) {
			model_step(&model, rand);
			if (step % 50 == 0)
				model_check(&model);
		}
		model_check(&model);
		messages_free(model.messages);
		for (guint i = 0; i < MODEL_UIDS; i++)
			g_free(model.names[i]);
	}
}

static void
test_names_change_hands_and_are_found_again(void)
{
	g_autoptr(Messages) messages = messages_new();

	add(messages, 1, "a");
	add(messages, 2, "b");
	add(messages, 3, "");
	g_assert_false(messages_set_name(messages, 1, "b"));
	g_assert_false(messages_set_name(messages, 9, "c"));
	g_assert_false(messages_set_name(messages, 1, ""));
	g_assert_true(messages_set_name(messages, 1, "a"));
	messages_yield_name(messages, 2);
	g_assert_cmpstr(name_of(messages, 2), ==, "b~2");
	g_assert_true(messages_set_name(messages, 1, "b"));
	g_assert_cmpuint(find(messages, "a"), ==, 0);
	g_assert_cmpuint(find(messages, "b"), ==, 1);
	g_assert_cmpuint(find(messages, "b~2"), ==, 2);
	g_assert_true(messages_set_name(messages, 3, "a"));
	g_assert_cmpuint(find(messages, "a"), ==, 3);
	for (guint i = 0; i < 20000; i++) {
		g_autofree char *name = g_strdup_printf("name-%u", i);

		g_assert_true(messages_set_name(messages, 2, name));
		g_assert_cmpuint(find(messages, name), ==, 2);
	}
	g_assert_cmpuint(find(messages, "name-1"), ==, 0);
	g_assert_cmpuint(messages_memory(messages), <, 1024 * 1024);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(sentence, function) g_test_add_func("/messages/" sentence, function)
	TEST("messages-are-in-uid-order-whatever-order-they-come-in",
	     test_messages_are_in_uid_order_whatever_order_they_come_in);
	TEST("a-uid-is-added-once", test_a_uid_is_added_once);
	TEST("impossible-uids-are-refused", test_impossible_uids_are_refused);
	TEST("equal-names-are-numbered", test_equal_names_are_numbered);
	TEST("numbers-go-on-after-numbered-names-were-loaded",
	     test_numbers_go_on_after_numbered_names_were_loaded);
	TEST("empty-names-are-never-taken", test_empty_names_are_never_taken);
	TEST("find-wants-the-whole-name-and-no-more", test_find_wants_the_whole_name_and_no_more);
	TEST("removing-tells-each-that-was-there", test_removing_tells_each_that_was_there);
	TEST("keeping-removes-only-below-the-bound", test_keeping_removes_only_below_the_bound);
	TEST("a-freed-name-can-be-had-again", test_a_freed_name_can_be_had_again);
	TEST("memory-is-given-back-when-half-of-the-names-are-gone",
	     test_memory_is_given_back_when_half_of_the_names_are_gone);
	TEST("flags-and-keywords-change-and-say-so", test_flags_and_keywords_change_and_say_so);
	TEST("a-keyword-set-for-each-message-is-survived",
	     test_a_keyword_set_for_each_message_is_survived);
	TEST("an-exact-size-is-remembered-and-a-wrong-claim-marked",
	     test_an_exact_size_is_remembered_and_a_wrong_claim_marked);
	TEST("a-size-beyond-all-reason-is-cut", test_a_size_beyond_all_reason_is_cut);
	TEST("a-hundred-thousand-are-quick-and-small", test_a_hundred_thousand_are_quick_and_small);
	TEST("a-hundred-thousand-equal-names-are-quick",
	     test_a_hundred_thousand_equal_names_are_quick);
	TEST("it-does-what-a-naive-model-does", test_it_does_what_a_naive_model_does);
	TEST("names-change-hands-and-are-found-again", test_names_change_hands_and_are_found_again);
	return g_test_run();
}
