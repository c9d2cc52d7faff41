/* SPDX-License-Identifier: MIT */
#include <sys/syscall.h>

#include "packs-fixture.h"
#include "small-disk.h"

#define RECORD 32 /* bytes of the journal */

/* Some filesystems cannot punch holes. */
static gboolean cannot_punch;

int
fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (cannot_punch) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

static char *
read_file(Fixture *fixture, const char *name, gsize *len_out)
{
	g_autofree char *path = path_of(fixture, name);
	char *data;

	g_assert_true(g_file_get_contents(path, &data, len_out, NULL));
	return data;
}

static void
write_file(Fixture *fixture, const char *name, const char *data, gsize len)
{
	g_autofree char *path = path_of(fixture, name);

	g_assert_true(g_file_set_contents(path, data, (gssize)len, NULL));
}

static void
flip(Fixture *fixture, const char *name, off_t at)
{
	g_autofree char *path = path_of(fixture, name);
	g_auto(UtilFd) fd = open(path, O_RDWR | O_CLOEXEC);
	char byte;

	g_assert_cmpint(pread(fd, &byte, 1, at), ==, 1);
	byte ^= 0x10;
	g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
}

/* --- tests --- */

static const gsize lengths[] = {0, 1, 4095, 4096, 4097, 14200, PACKS_BODY_MAX};

static void
test_what_was_put_is_there_now_and_later(Fixture *fixture, gconstpointer data)
{
	for (guint round = 0; round < 3; round++) {
		g_autoptr(Packs) packs = packs_open(fixture->at);

		for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
			if (round == 0)
				put(packs, i + 1, lengths[i]);
			assert_here(packs, i + 1, lengths[i]);
			g_assert_true(packs_has(packs, i + 1));
		}
		assert_not_here(packs, 100, 1);
	}
}

static void
test_another_one_at_an_address_gives_way(Fixture *fixture, gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);
	g_autofree char *text = text_of(1, 5000);
	g_autoptr(Body) former = NULL;
	guint64 one;

	g_assert_cmpint(packs_put(packs, 1, text, 5000, crc_of(1, 5000), &former), ==, 0);
	one = packs_total(packs);
	put(packs, 1, 5001);
	assert_here(packs, 1, 5001);
	assert_reads(former, 1, 5000);
	g_clear_pointer(&former, body_unref);
	g_assert_cmpuint(packs_total(packs), ==, one);
	packs_close(packs);
	packs = packs_open(fixture->at);
	assert_here(packs, 1, 5001);
	packs_close(packs);
}

static void
test_only_what_was_asked_for_is_given(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);
	gboolean damaged;

	put(packs, 1, 5000);
	g_assert_null(packs_get(packs, 1, 5000, 12345, &damaged));
	g_assert_false(damaged);
	g_assert_false(packs_has(packs, 1));
	put(packs, 1, 5000);
	g_assert_null(packs_get(packs, 1, 4999, crc_of(1, 5000), &damaged));
	g_assert_false(packs_has(packs, 1));
}

static void
test_what_is_removed_takes_no_disk(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);

	for (guint i = 1; i <= 20; i++)
		put(packs, i, 100000);
	g_assert_cmpuint(packs_total(packs), ==, 20 * 102400);
	g_assert_cmpint(packs_flush(packs), ==, 0);
	g_assert_cmpuint(disk_of(fixture, "1"), >=, 20 * 102400);
	for (guint i = 1; i <= 20; i++)
		if (i != 7)
			g_assert_true(packs_remove(packs, i));
	g_assert_false(packs_remove(packs, 1));
	g_assert_cmpuint(packs_total(packs), ==, 102400);
	g_assert_cmpuint(disk_of(fixture, "1"), <, 2 * 102400);
	assert_not_here(packs, 1, 100000);
	assert_here(packs, 7, 100000);
}

static void
test_what_is_open_stays_readable(Fixture *fixture, gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);
	g_autoptr(Body) removed = NULL;
	g_autoptr(Body) twice = NULL;
	g_autoptr(Body) outlives = NULL;

	put(packs, 1, 70000);
	put(packs, 2, 5000);
	removed = get(packs, 1, 1, 70000);
	twice = get(packs, 1, 1, 70000);
	outlives = get(packs, 2, 2, 5000);
	packs_remove(packs, 1);
	assert_not_here(packs, 1, 70000);
	assert_reads(removed, 1, 70000);
	g_clear_pointer(&removed, body_unref);
	assert_reads(twice, 1, 70000);
	g_assert_cmpuint(packs_total(packs), ==, 73728 + 8192);
	g_clear_pointer(&twice, body_unref);
	g_assert_cmpuint(packs_total(packs), ==, 8192);
	packs_close(packs);
	assert_reads(outlives, 2, 5000);
}

static void
test_no_damaged_body_is_given(Fixture *fixture, gconstpointer data)
{
	gboolean reopen = GPOINTER_TO_INT(data);
	Packs *packs = packs_open(fixture->at);
	gboolean damaged;

	for (guint i = 1; i <= 3; i++)
		put(packs, i, 4096);
	g_assert_cmpint(packs_flush(packs), ==, 0);
	if (reopen) {
		packs_close(packs);
		packs = packs_open(fixture->at);
	}
	for (guint i = 1; i <= 3; i++)
		assert_here(packs, i, 4096);
	flip(fixture, "1", 4096 + 77);
	assert_here(packs, 1, 4096);
	g_assert_null(packs_get(packs, 2, 4096, crc_of(2, 4096), &damaged));
	g_assert_true(damaged);
	g_assert_false(packs_has(packs, 2));
	assert_here(packs, 3, 4096);
	put(packs, 2, 4096);
	assert_here(packs, 2, 4096);
	packs_close(packs);
}

/* What came where an old record said something else lay must not go with it. */
static void
test_a_pack_cut_short_loses_its_end_and_nothing_later(Fixture *fixture, gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);
	g_autofree char *path = path_of(fixture, "1");

	for (guint i = 1; i <= 4; i++)
		put(packs, i, 4096);
	packs_close(packs);
	g_assert_cmpint(truncate(path, 2 * 4096), ==, 0);
	packs = packs_open(fixture->at);
	assert_here(packs, 2, 4096);
	g_assert_false(packs_has(packs, 3));
	put(packs, 5, 4096);
	put(packs, 6, 4096);
	packs_close(packs);
	packs = packs_open(fixture->at);
	assert_not_here(packs, 3, 4096);
	assert_not_here(packs, 4, 4096);
	assert_here(packs, 1, 4096);
	assert_here(packs, 5, 4096);
	assert_here(packs, 6, 4096);
	packs_close(packs);
}

/* Whatever it says: right bytes, or none; and it goes on from there. */
static void
assert_survives(Fixture *fixture)
{
	for (guint round = 0; round < 2; round++) {
		g_autoptr(Packs) packs = packs_open(fixture->at);

		for (guint i = 1; i <= 4; i++) {
			g_autoptr(Body) body = get(packs, i, i, 1000 * i);

			if (body != NULL)
				assert_reads(body, i, 1000 * i);
			else if (round == 1)
				g_assert_cmpuint(i, !=, 4);
		}
		put(packs, 4, 4000);
		put(packs, 5, 5000);
		assert_here(packs, 4, 4000);
	}
}

static void
test_a_journal_of_any_content_does_no_harm(Fixture *fixture, gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);
	g_autofree char *journal = NULL;
	g_autofree char *bodies = NULL;
	gsize len, bodies_len;

	for (guint i = 1; i <= 4; i++)
		put(packs, i, 1000 * i);
	packs_remove(packs, 2);
	packs_close(packs);
	journal = read_file(fixture, "journal", &len);
	bodies = read_file(fixture, "1", &bodies_len);
	for (gsize at = 0; at <= 2 * len; at++) {
		delete_packs(fixture);
		g_mkdir_with_parents(fixture->directory, 0700);
		packs_close(packs_open(fixture->at));
		write_file(fixture, "1", bodies, bodies_len);
		write_file(fixture, "journal", journal, at > len ? len : at);
		if (at > len)
			flip(fixture, "journal", (off_t)(at - len - 1));
		assert_survives(fixture);
	}
}

static void
test_without_its_journal_a_pack_goes(Fixture *fixture, gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);
	g_autofree char *journal = path_of(fixture, "journal");
	g_autofree char *pack = path_of(fixture, "1");

	put(packs, 1, 5000);
	packs_close(packs);
	g_assert_cmpint(g_unlink(journal), ==, 0);
	packs = packs_open(fixture->at);
	assert_not_here(packs, 1, 5000);
	g_assert_cmpuint(packs_total(packs), ==, 0);
	g_assert_false(g_file_test(pack, G_FILE_TEST_EXISTS));
	put(packs, 1, 5000);
	assert_here(packs, 1, 5000);
	packs_close(packs);
}

/* After a crash: bodies of which the journal does not tell. */
static void
test_what_was_not_told_in_time_is_given_back(Fixture *fixture, gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);
	g_autofree char *journal = NULL;
	gsize len;

	put(packs, 1, 100000);
	g_assert_cmpint(packs_flush(packs), ==, 0);
	journal = read_file(fixture, "journal", &len);
	g_assert_cmpuint(len, ==, 2 * RECORD);
	for (guint i = 2; i <= 40; i++)
		put(packs, i, 100000);
	packs_close(packs);
	write_file(fixture, "journal", journal, len);
	packs = packs_open(fixture->at);
	assert_here(packs, 1, 100000);
	assert_not_here(packs, 2, 100000);
	g_assert_cmpuint(packs_total(packs), ==, 102400);
	g_assert_cmpuint(disk_of(fixture, "1"), <, 2 * 102400);
	put(packs, 2, 100000);
	assert_here(packs, 2, 100000);
	packs_close(packs);
}

static void
test_packs_deleted_while_in_use_begin_anew(Fixture *fixture, gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);
	g_autoptr(Body) open = NULL;

	put(packs, 1, 5000);
	put(packs, 2, 5000);
	open = get(packs, 1, 1, 5000);
	delete_packs(fixture);
	put(packs, 3, 5000);
	g_assert_false(packs_has(packs, 1));
	assert_here(packs, 3, 5000);
	assert_reads(open, 1, 5000);
	g_clear_pointer(&open, body_unref);
	g_assert_cmpuint(packs_total(packs), ==, 8192);
	packs_close(packs);
	packs = packs_open(fixture->at);
	assert_not_here(packs, 2, 5000);
	assert_here(packs, 3, 5000);
	packs_close(packs);
}

static void
test_no_link_is_followed(Fixture *fixture, gconstpointer data)
{
	static const char *const names[] = {"1", "journal"};
	g_autofree char *target = g_build_filename(fixture->directory, "target", NULL);

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = path_of(fixture, names[i]);
		Packs *packs = packs_open(fixture->at);
		g_autofree char *found = NULL;

		put(packs, 1, 5000);
		packs_close(packs);
		g_assert_true(g_file_set_contents(target, "mine", -1, NULL));
		g_assert_cmpint(g_unlink(path), ==, 0);
		g_assert_cmpint(symlink(target, path), ==, 0);
		packs = packs_open(fixture->at);
		assert_not_here(packs, 1, 5000);
		packs_put(packs, 1, "x", 1, checksum(0, "x", 1), NULL);
		packs_close(packs);
		g_assert_true(g_file_get_contents(target, &found, NULL, NULL));
		g_assert_cmpstr(found, ==, "mine");
		g_assert_cmpint(g_unlink(target), ==, 0);
		delete_packs(fixture);
	}
}

static void
test_a_stranger_in_a_packs_place_is_passed_by(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);

	write_file(fixture, "1", "mine", 4);
	write_file(fixture, "2", "mine", 4);
	put(packs, 1, 5000);
	assert_here(packs, 1, 5000);
	g_assert_cmpint(packs_flush(packs), ==, 0);
	g_assert_cmpuint(disk_of(fixture, "3"), ==, 8192);
}

static void
test_modes_are_private_whatever_the_umask(Fixture *fixture, gconstpointer data)
{
	static const char *const names[] = {".", "1", "journal"};
	mode_t before = umask(0);
	g_autoptr(Packs) packs = packs_open(fixture->at);

	put(packs, 1, 5000);
	umask(before);
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = path_of(fixture, names[i]);
		struct stat status;

		g_assert_cmpint(lstat(path, &status), ==, 0);
		g_assert_cmpint(status.st_mode & 0077, ==, 0);
	}
}

static void
test_a_body_moves_with_its_message(Fixture *fixture, gconstpointer data)
{
	for (guint round = 0; round < 2; round++) {
		g_autoptr(Packs) packs = packs_open(fixture->at);
		g_autoptr(Body) moved = NULL, copied = NULL;

		if (round == 0) {
			put(packs, 1, 5000);
			put(packs, 2, 5000);
			put(packs, 3, 6000);
			g_assert_true(packs_move(packs, 1, 11, FALSE));
			g_assert_true(packs_move(packs, 2, 3, TRUE));
			g_assert_false(packs_move(packs, 77, 78, FALSE));
			g_assert_false(packs_move(packs, 77, 78, TRUE));
		}
		g_assert_false(packs_has(packs, 1));
		moved = get(packs, 11, 1, 5000);
		assert_reads(moved, 1, 5000);
		assert_here(packs, 2, 5000);
		copied = get(packs, 3, 2, 5000);
		assert_reads(copied, 2, 5000);
		g_assert_cmpuint(packs_total(packs), ==, 3 * 8192);
	}
}

static void
test_a_serial_goes_whole_and_alone(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);
	g_autoptr(Body) open = NULL;

	for (guint64 serial = 2; serial <= 4; serial++)
		for (guint64 uid = 1; uid <= 50; uid++)
			put(packs, serial << 32 | uid, 100 * uid);
	open = get(packs, 3ULL << 32 | 50, 3ULL << 32 | 50, 5000);
	packs_remove_all(packs, 3);
	for (guint64 uid = 1; uid <= 50; uid++) {
		assert_here(packs, 2ULL << 32 | uid, 100 * uid);
		assert_not_here(packs, 3ULL << 32 | uid, 100 * uid);
		assert_here(packs, 4ULL << 32 | uid, 100 * uid);
	}
	assert_reads(open, 3ULL << 32 | 50, 5000);
}

static void
note(gpointer user, guint64 address, guint64 bytes, guint32 used)
{
	guint32 *stamps = user;

	g_assert_cmpuint(bytes, ==, 8192);
	stamps[address] = used;
}

static void
test_the_evictor_takes_what_nobody_has_used_since(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);
	guint32 stamps[4] = {0};

	for (guint i = 1; i <= 3; i++)
		put(packs, i, 5000);
	packs_list(packs, note, stamps);
	g_assert_true(stamps[1] != 0 && stamps[2] != 0 && stamps[3] != 0);
	g_assert_false(packs_evict(packs, 1, stamps[1] - 1));
	g_assert_true(packs_evict(packs, 1, stamps[1]));
	g_assert_false(packs_evict(packs, 1, stamps[1]));
	assert_not_here(packs, 1, 5000);
	assert_here(packs, 2, 5000);
	g_assert_cmpuint(packs_total(packs), ==, 2 * 8192);
}

static void
test_where_no_hole_can_be_punched_the_disk_is_free_when_the_pack_goes(Fixture *fixture,
								      gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);

	cannot_punch = TRUE;
	for (guint i = 1; i <= 3; i++)
		put(packs, i, 5000);
	g_assert_cmpint(packs_flush(packs), ==, 0);
	packs_remove(packs, 1);
	g_assert_cmpuint(packs_total(packs), ==, 3 * 8192);
	packs_remove(packs, 2);
	packs_remove(packs, 3);
	g_assert_cmpuint(packs_total(packs), ==, 0);
	g_assert_cmpuint(disk_of(fixture, "1"), ==, 0);
	put(packs, 4, 5000);
	assert_here(packs, 4, 5000);
	packs_close(packs);
	packs = packs_open(fixture->at);
	assert_here(packs, 4, 5000);
	packs_close(packs);
	cannot_punch = FALSE;
}

static void
test_a_full_disk_is_an_error_and_leaves_nothing(Fixture *fixture, gconstpointer data)
{
	g_autofree char *disk = small_disk_new(fixture->directory, "size=1m");
	g_auto(UtilFd) at = -1;
	guint n = 1;
	Packs *packs;

	if (disk == NULL)
		return;
	at = open(disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	packs = packs_open(at);
	while (try_put(packs, n, 20000) == 0)
		n++;
	g_assert_cmpint(try_put(packs, n, 20000), ==, ENOSPC);
	g_assert_cmpuint(packs_total(packs), ==, (n - 1) * 20480);
	assert_not_here(packs, n, 20000);
	for (guint i = 1; i < n; i++)
		assert_here(packs, i, 20000);
	for (guint i = 1; i < n / 2; i++)
		packs_remove(packs, i);
	put(packs, n, 20000);
	g_assert_cmpint(packs_flush(packs), ==, 0);
	for (guint i = MAX(n / 2, 1); i <= n; i++)
		assert_here(packs, i, 20000);
	packs_close(packs);
	util_close_fd(&at);
	g_assert_cmpint(umount2(disk, MNT_DETACH), ==, 0);
	g_assert_cmpint(g_rmdir(disk), ==, 0);
}

static void
test_the_journal_does_not_grow_for_ever(Fixture *fixture, gconstpointer data)
{
	Packs *packs = packs_open(fixture->at);
	g_autofree char *journal = NULL;
	gsize len;

	for (guint i = 0; i < 10000; i++)
		put(packs, 1 + i % 2, 10);
	packs_close(packs);
	journal = read_file(fixture, "journal", &len);
	g_assert_cmpuint(len, <, 5000 * RECORD);
	packs = packs_open(fixture->at);
	assert_here(packs, 1, 10);
	assert_here(packs, 2, 10);
	packs_close(packs);
}

static void
test_what_is_secured_is_in_the_journal(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);
	g_autoptr(Packs) other = NULL;
	g_autoptr(Body) body = NULL;

	put(packs, 1, 5000);
	body = get(packs, 1, 1, 5000);
	g_assert_true(packs_secure(packs, body));
	other = packs_open(fixture->at);
	assert_here(other, 1, 5000);
}

/* --- threads --- */

typedef struct {
	Packs *packs;
	guint seed;
} Worker;

static gpointer
work(gpointer data)
{
	Worker *worker = data;
	g_autoptr(GRand) rand = g_rand_new_with_seed(worker->seed);

	for (guint i = 0; i < 3000; i++) {
		guint64 address = (guint64)g_rand_int_range(rand, 1, 40);
		gsize len = 100 * address;

		switch (g_rand_int_range(rand, 0, 4)) {
		case 0:
			packs_remove(worker->packs, address);
			break;
		case 1:
			put(worker->packs, address, len);
			break;
		default: {
			g_autoptr(Body) body = get(worker->packs, address, address, len);

			if (body != NULL)
				assert_reads(body, address, len);
		}
		}
	}
	return NULL;
}

static void
test_threads_do_not_get_in_each_others_way(Fixture *fixture, gconstpointer data)
{
	g_autoptr(Packs) packs = packs_open(fixture->at);
	Worker workers[4];
	GThread *threads[4];

	for (guint i = 0; i < G_N_ELEMENTS(workers); i++) {
		workers[i] = (Worker){packs, i};
		threads[i] = g_thread_new("worker", work, &workers[i]);
	}
	for (guint i = 0; i < G_N_ELEMENTS(workers); i++)
		g_thread_join(threads[i]);
	for (guint64 address = 1; address < 40; address++)
		packs_remove(packs, address);
	g_assert_cmpuint(packs_total(packs), ==, 0);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("now-and-later", test_what_was_put_is_there_now_and_later, NULL);
	ADD("replaced", test_another_one_at_an_address_gives_way, NULL);
	ADD("only-the-same", test_only_what_was_asked_for_is_given, NULL);
	ADD("removed", test_what_is_removed_takes_no_disk, NULL);
	ADD("open", test_what_is_open_stays_readable, NULL);
	ADD("damaged", test_no_damaged_body_is_given, GINT_TO_POINTER(FALSE));
	ADD("damaged-later", test_no_damaged_body_is_given, GINT_TO_POINTER(TRUE));
	ADD("cut-short", test_a_pack_cut_short_loses_its_end_and_nothing_later, NULL);
	ADD("any-journal", test_a_journal_of_any_content_does_no_harm, NULL);
	ADD("no-journal", test_without_its_journal_a_pack_goes, NULL);
	ADD("crash", test_what_was_not_told_in_time_is_given_back, NULL);
	ADD("deleted", test_packs_deleted_while_in_use_begin_anew, NULL);
	ADD("links", test_no_link_is_followed, NULL);
	ADD("stranger", test_a_stranger_in_a_packs_place_is_passed_by, NULL);
	ADD("modes", test_modes_are_private_whatever_the_umask, NULL);
	ADD("moved", test_a_body_moves_with_its_message, NULL);
	ADD("serial", test_a_serial_goes_whole_and_alone, NULL);
	ADD("evicted", test_the_evictor_takes_what_nobody_has_used_since, NULL);
	ADD("no-holes", test_where_no_hole_can_be_punched_the_disk_is_free_when_the_pack_goes,
	    NULL);
	ADD("full-disk", test_a_full_disk_is_an_error_and_leaves_nothing, NULL);
	ADD("history", test_the_journal_does_not_grow_for_ever, NULL);
	ADD("secured", test_what_is_secured_is_in_the_journal, NULL);
	ADD("threads", test_threads_do_not_get_in_each_others_way, NULL);
	return g_test_run();
}
