/* SPDX-License-Identifier: MIT */
#include "store/body-proofs.h"

#include <string.h>

#define BUCKETS	    32768 /* 2 MB when full */
#define BUCKET_SIZE 8	  /* a cache line */

struct BodyProofs {
	GMutex lock;
	guint64 *prints; /* BUCKETS * BUCKET_SIZE, 0: free. Guarded by lock */
};

static guint64
mix(guint64 sum, guint64 value)
{
	sum = (sum ^ value) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
	return sum ^ (sum >> 29);
}

static guint64
mix_time(guint64 sum, const struct timespec *time)
{
	return mix(mix(sum, (guint64)time->tv_sec), (guint64)time->tv_nsec);
}

static guint64
fingerprint(guint64 address, const struct stat *status, guint32 crc)
{
	guint64 print = mix(mix(2, address), (guint64)status->st_ino);

	print = mix(mix(print, (guint64)status->st_size), crc);
	print = mix_time(mix_time(print, &status->st_mtim), &status->st_ctim);
	return print != 0 ? print : 1;
}

/* Those of neighbours are neighbours: a scan touches few pages. */
static guint64 *
bucket_of(BodyProofs *proofs, guint64 address)
{
	guint64 begin = mix(mix(1, address >> 32), 0);

	return proofs->prints + (begin + (guint32)address) % BUCKETS * BUCKET_SIZE;
}

gboolean
body_proofs_has(BodyProofs *proofs, guint64 address, const struct stat *status, guint32 crc)
{
	guint64 print = fingerprint(address, status, crc);
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&proofs->lock);
	const guint64 *bucket = bucket_of(proofs, address);

	for (guint i = 0; i < BUCKET_SIZE; i++)
		if (bucket[i] == print)
			return TRUE;
	return FALSE;
}

/* First in, first out within a bucket. */
void
body_proofs_add(BodyProofs *proofs, guint64 address, const struct stat *status, guint32 crc)
{
	guint64 print = fingerprint(address, status, crc);
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&proofs->lock);
	guint64 *bucket = bucket_of(proofs, address);

	memmove(bucket + 1, bucket, (BUCKET_SIZE - 1) * sizeof *bucket);
	bucket[0] = print;
}

BodyProofs *
body_proofs_new(void)
{
	BodyProofs *proofs = g_new0(BodyProofs, 1);

	g_mutex_init(&proofs->lock);
	proofs->prints = g_new0(guint64, BUCKETS * BUCKET_SIZE);
	return proofs;
}

void
body_proofs_free(BodyProofs *proofs)
{
	if (proofs == NULL)
		return;
	g_mutex_clear(&proofs->lock);
	g_free(proofs->prints);
	g_free(proofs);
}
