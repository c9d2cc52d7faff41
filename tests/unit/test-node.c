/* SPDX-License-Identifier: MIT */
#include "fs/node.h"

static void
assert_round_trip(Node node)
{
	guint64 ino = node_to_ino(node);
	Node back;

	g_assert_cmpuint(ino, !=, 0);
	g_assert_cmpuint(ino, <=, G_MAXINT64);
	g_assert_true(node_from_ino(ino, &back));
	g_assert_cmpint(back.kind, ==, node.kind);
	g_assert_cmpuint(back.part, ==, node.part);
	g_assert_cmpuint(back.serial, ==, node.serial);
	g_assert_cmpuint(back.uid, ==, node.uid);
}

static void
test_every_kind_survives_the_round_trip(void)
{
	static const guint32 serials[] = {
		2, 3, 4095, 4096, 65535, 65536, NODE_SERIAL_MAX - 1, NODE_SERIAL_MAX};
	static const guint32 uids[] = {1,	   2,	     65535,	      65536,
				       G_MAXINT32, 1u << 31, G_MAXUINT32 - 1, G_MAXUINT32};

	for (guint i = 0; i < G_N_ELEMENTS(serials); i++) {
		assert_round_trip((Node){.kind = NODE_MAILBOX, .serial = serials[i]});
		for (guint k = 0; k < G_N_ELEMENTS(uids); k++)
			assert_round_trip(
				(Node){.kind = NODE_MESSAGE, .serial = serials[i], .uid = uids[k]});
	}
	for (NodeKind kind = NODE_CONTROL; kind <= NODE_UPLOAD; kind++)
		for (guint part = 0; part <= 127; part++) {
			assert_round_trip((Node){.kind = kind, .part = part});
			for (guint i = 0; i < G_N_ELEMENTS(serials); i++)
				assert_round_trip((Node){kind, part, serials[i], uids[i]});
		}
}

static void
test_no_two_nodes_share_a_number(void)
{
	g_autoptr(GHashTable) seen =
		g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	guint n = 0;

	for (NodeKind kind = NODE_MAILBOX; kind <= NODE_UPLOAD; kind++)
		for (guint part = 0; part < (kind >= NODE_CONTROL ? 4u : 1u); part++)
			for (guint32 serial = 2; serial < 12; serial++)
				for (guint32 uid = kind == NODE_MESSAGE ? 1 : 0;
				     uid < (kind == NODE_MAILBOX ? 1 : 12); uid++) {
					guint64 ino = node_to_ino((Node){kind, part, serial, uid});

					g_hash_table_add(seen, g_memdup2(&ino, sizeof ino));
					n++;
				}
	g_assert_cmpuint(n, ==, 10 + 10 * 11 + 7 * 4 * 10 * 12);
	g_assert_cmpuint(g_hash_table_size(seen), ==, n);
}

static void
test_numbers_rise_with_the_uid(void)
{
	guint64 before = node_ino_of_directory(7);

	for (guint64 uid = 1; uid <= G_MAXUINT32; uid += uid < 1000 ? 1 : uid / 3) {
		guint64 ino = node_ino_of_message(7, (guint32)uid);

		g_assert_cmpuint(ino, >, before);
		before = ino;
	}
	g_assert_cmpuint(before, <, node_ino_of_directory(8));
}

static void
test_the_root_is_one(void)
{
	Node node;

	g_assert_cmpuint(node_ino_of_directory(NODE_ROOT_SERIAL), ==, 1);
	g_assert_true(node_from_ino(1, &node));
	g_assert_cmpint(node.kind, ==, NODE_MAILBOX);
	g_assert_cmpuint(node.serial, ==, NODE_ROOT_SERIAL);
	g_assert_cmpuint(node.uid, ==, 0);
	g_assert_cmpuint(node.part, ==, 0);
}

static void
test_foreign_numbers_are_none_of_ours(void)
{
	static const guint64 foreign[] = {
		0,
		2,				 /* a message of serial 0 */
		G_MAXUINT32,			 /* likewise */
		1ull << 32,			 /* the root's serial, spelled otherwise than 1 */
		(1ull << 32) + 5,		 /* a message in the root */
		(1ull << 52) + (2ull << 32) + 1, /* a message's part */
		8ull << 59,
		15ull << 59,
		1ull << 63,
		G_MAXUINT64,
	};
	Node node;

	for (guint i = 0; i < G_N_ELEMENTS(foreign); i++)
		g_assert_false(node_from_ino(foreign[i], &node));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/node/every-kind-survives-the-round-trip",
			test_every_kind_survives_the_round_trip);
	g_test_add_func("/node/no-two-nodes-share-a-number", test_no_two_nodes_share_a_number);
	g_test_add_func("/node/numbers-rise-with-the-uid", test_numbers_rise_with_the_uid);
	g_test_add_func("/node/the-root-is-one", test_the_root_is_one);
	g_test_add_func("/node/foreign-numbers-are-none-of-ours",
			test_foreign_numbers_are_none_of_ours);
	return g_test_run();
}
