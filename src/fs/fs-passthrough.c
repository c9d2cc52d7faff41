/* SPDX-License-Identifier: MIT */
/* Passthrough, since Linux 6.9: the kernel reads an open file from the file below it, and nobody is
 * asked. libfuse agrees on it with the kernel from 3.17 on. With an older one it is agreed on in
 * the two messages of INIT themselves. What follows, two calls and one reply, is the kernel's, with
 * every libfuse. */
#include <errno.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/fs-private.h"

#ifndef FUSE_DEV_IOC_BACKING_OPEN /* headers of a kernel before 6.9 */
struct fuse_backing_map {
	gint32 fd;
	guint32 flags;
	guint64 padding;
};
#	define FUSE_DEV_IOC_BACKING_OPEN  _IOW(229, 1, struct fuse_backing_map)
#	define FUSE_DEV_IOC_BACKING_CLOSE _IOW(229, 2, guint32)
#	define FOPEN_PASSTHROUGH	   (1 << 7)
#endif

#define FLAGS2_PASSTHROUGH (1u << 5) /* bit 37 of the flags of INIT */

/* Words of the reply to INIT. */
enum { INIT_FLAGS = 3, INIT_FLAGS2 = 8, INIT_STACK_DEPTH = 9 };

/* The reply to OPEN, as it is since 6.9. */
typedef struct {
	guint64 handle;
	guint32 flags;
	gint32 backing;
} OpenReply;

static int
register_backing(gpointer user, int fd)
{
	Fs *fs = user;
	struct fuse_backing_map map = {.fd = fd};
	int number = ioctl(fuse_session_fd(fs->session), FUSE_DEV_IOC_BACKING_OPEN, &map);

	if (number <= 0)
		g_debug("passthrough: %s", g_strerror(errno));
	return MAX(number, 0);
}

static void
release_backing(gpointer user, int number)
{
	Fs *fs = user;
	guint32 id = (guint32)number;

	ioctl(fuse_session_fd(fs->session), FUSE_DEV_IOC_BACKING_CLOSE, &id);
}

/* The kernel registers files for root alone. */
void
fs_passthrough_begin(Fs *fs)
{
	if (geteuid() != 0)
		return;
	fs->backing = backing_new(register_backing, release_backing, fs);
	fs->passthrough = TRUE;
}

gboolean
fs_passthrough_is_offered(const void *request, size_t len)
{
	const struct fuse_in_header *header = request;
	const struct fuse_init_in *init = (const void *)(header + 1);

	return len >= sizeof *header + sizeof *init && header->opcode == FUSE_INIT &&
	       (init->flags & FUSE_INIT_EXT) != 0 && (init->flags2 & FLAGS2_PASSTHROUGH) != 0;
}

void
fs_passthrough_accept(guint32 *words)
{
	words[INIT_FLAGS] |= FUSE_INIT_EXT;
	words[INIT_FLAGS2] |= FLAGS2_PASSTHROUGH;
	words[INIT_STACK_DEPTH] = 1; /* no cache on an overlay */
}

int
fs_passthrough_reply(fuse_req_t req, gpointer handle, int number)
{
	/* There is no page cache to be kept: the kernel refuses an open that speaks of one. */
	OpenReply reply = {
		.handle = (uintptr_t)handle,
		.flags = FOPEN_PASSTHROUGH | FOPEN_NOFLUSH,
		.backing = number,
	};

	return fuse_reply_buf(req, (const char *)&reply, sizeof reply);
}
