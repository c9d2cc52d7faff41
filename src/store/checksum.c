/* SPDX-License-Identifier: MIT */
/* Folding, after Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ"
 * (Intel, 2009): with a polynomial over GF(2), a block that stands n bits before the end counts as
 * much as its carry-less product with x^n mod P. So four 128-bit registers run through the bytes in
 * steps of 64, each adding itself, multiplied, to the next ones; they are then folded into one.
 * What is left of that one are 16 bytes with the same CRC as all that went before, and the plain
 * routine ends the work. */
#include "store/checksum.h"

#include <zlib.h>

#if defined(__x86_64__)

#	include <immintrin.h>

#	define STEP	 64
#	define WORTH_IT (4 * STEP)

/* x^n mod P, reflected, for the low and the high half of a register. */
#	define FOLD_BY_64 _mm_set_epi64x(0x01c6e41596, 0x0154442bd4)
#	define FOLD_BY_16 _mm_set_epi64x(0x00ccaa009e, 0x01751997d0)

__attribute__((target("pclmul,sse4.1"))) static inline __m128i
fold(__m128i sum, __m128i factors, __m128i next)
{
	__m128i low = _mm_clmulepi64_si128(sum, factors, 0x00);
	__m128i high = _mm_clmulepi64_si128(sum, factors, 0x11);

	return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("pclmul,sse4.1"))) static inline __m128i
load(const guint8 *data, gsize i)
{
	return _mm_loadu_si128((const __m128i *)(const void *)(data + 16 * i));
}

/* @len: a multiple of STEP, at least twice that. */
__attribute__((target("pclmul,sse4.1"))) static guint32
checksum_folded(guint32 crc, const guint8 *data, gsize len)
{
	const __m128i by_64 = FOLD_BY_64, by_16 = FOLD_BY_16;
	__m128i sums[4];
	guint8 rest[16];

	for (gsize i = 0; i < 4; i++)
		sums[i] = load(data, i);
	/* A CRC that goes on is one of the bytes so far XORed into the first four of the rest; zlib
	 * inverts it before and after. */
	sums[0] = _mm_xor_si128(sums[0], _mm_cvtsi32_si128((int)~crc));
	for (gsize at = STEP; at < len; at += STEP)
		for (gsize i = 0; i < 4; i++)
			sums[i] = fold(sums[i], by_64, load(data + at, i));
	for (gsize i = 1; i < 4; i++)
		sums[i] = fold(sums[i - 1], by_16, sums[i]);
	_mm_storeu_si128((__m128i *)(void *)rest, sums[3]);
	/* Begun with all bits inverted, so that zlib's own inversion leaves nothing. */
	return (guint32)crc32_z(0xffffffff, rest, sizeof rest);
}

static gboolean
can_fold(void)
{
	return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

guint32
checksum(guint32 crc, const void *data, gsize len)
{
	gsize folded = len - len % STEP;

	if (len < WORTH_IT || !can_fold())
		return (guint32)crc32_z(crc, data, len);
	crc = checksum_folded(crc, data, folded);
	return (guint32)crc32_z(crc, (const guint8 *)data + folded, len - folded);
}

#else

guint32
checksum(guint32 crc, const void *data, gsize len)
{
	return (guint32)crc32_z(crc, data, len);
}

#endif
