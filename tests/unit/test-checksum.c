/* SPDX-License-Identifier: MIT */
#include "store/checksum.h"

#include <string.h>
#include <zlib.h>

static void
test_known(void)
{
	g_assert_cmphex(checksum(0, "", 0), ==, 0);
	g_assert_cmphex(checksum(0, "123456789", 9), ==, 0xcbf43926);
}

/* Every length near the limits of the quick way, at every alignment, from any beginning. */
static void
test_as_zlib(void)
{
	g_autofree guint8 *bytes = g_malloc(2048);

	for (gsize i = 0; i < 2048; i++)
		bytes[i] = (guint8)g_test_rand_int();
	for (gsize len = 0; len < 1100; len++) {
		const guint8 *at = bytes + len % 67;
		guint32 begun = (guint32)g_test_rand_int();

		g_assert_cmphex(checksum(0, at, len), ==, (guint32)crc32_z(0, at, len));
		g_assert_cmphex(checksum(begun, at, len), ==, (guint32)crc32_z(begun, at, len));
	}
}

static void
test_in_pieces(void)
{
	g_autofree guint8 *bytes = g_malloc0(100000);
	guint32 sum = 0;
	gsize at = 0;

	memset(bytes + 5000, 'x', 90000);
	while (at < 100000) {
		gsize piece = (gsize)g_test_rand_int_range(1, 9000);

		piece = MIN(piece, 100000 - at);
		sum = checksum(sum, bytes + at, piece);
		at += piece;
	}
	g_assert_cmphex(sum, ==, checksum(0, bytes, 100000));
	bytes[4096] ^= 1;
	g_assert_cmphex(sum, !=, checksum(0, bytes, 100000));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/checksum/knows the check value of CRC-32", test_known);
	g_test_add_func("/checksum/is zlib's, whatever the length, alignment and beginning",
			test_as_zlib);
	g_test_add_func("/checksum/does not depend on where the bytes were cut", test_in_pieces);
	return g_test_run();
}
