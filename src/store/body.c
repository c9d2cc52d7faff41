/* SPDX-License-Identifier: MIT */
#include "store/body.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

struct Body {
	gatomicrefcount refs;
	UtilFd fd;
	gboolean is_file; /* a file of its own: fd is owned */
	guint64 at, size;
	BodyHeld held;
	BodyLeft left;
	gpointer user;
};

static Body *
body_new(int fd, guint64 at, guint64 size)
{
	Body *body = g_new0(Body, 1);

	g_atomic_ref_count_init(&body->refs);
	body->fd = fd;
	body->at = at;
	body->size = size;
	return body;
}

Body *
body_new_file(int fd, guint64 size)
{
	Body *body = body_new(fd, 0, size);

	body->is_file = TRUE;
	return body;
}

Body *
body_new_slice(int fd, guint64 at, guint64 size, BodyHeld held, BodyLeft left, gpointer user)
{
	Body *body = body_new(fd, at, size);

	body->held = held;
	body->left = left;
	body->user = user;
	return body;
}

Body *
body_ref(Body *body)
{
	g_atomic_ref_count_inc(&body->refs);
	return body;
}

void
body_unref(Body *body)
{
	if (body == NULL || !g_atomic_ref_count_dec(&body->refs))
		return;
	if (body->is_file)
		util_close_fd(&body->fd);
	else if (body->left != NULL)
		body->left(body->user, body->at, body->size);
	g_free(body);
}

guint64
body_size(const Body *body)
{
	return body->size;
}

/* TRUE: these octets were in memory. */
static gboolean
read_held(const Body *body, void *buffer, gsize len, guint64 offset)
{
	return body->held != NULL && body->held(body->user, body->at + offset, buffer, len);
}

gssize
body_read(const Body *body, void *buffer, gsize len, guint64 offset)
{
	gssize n;

	if (offset >= body->size)
		return 0;
	len = MIN(len, body->size - offset);
	if (read_held(body, buffer, len, offset))
		return (gssize)len;
	do
		n = pread(body->fd, buffer, len, (off_t)(body->at + offset));
	while (n < 0 && errno == EINTR);
	return n;
}

int
body_file(const Body *body)
{
	return body->is_file ? body->fd : -1;
}

gboolean
body_sync(const Body *body)
{
	return fsync(body->fd) == 0;
}

/* --- in memory --- */

/* FALSE: it is in the file. */
static gboolean
copy_held(const Body *body, BodyMap *map)
{
	g_autofree char *copy = body->held != NULL ? g_malloc(map->len) : NULL;

	if (copy == NULL || !read_held(body, copy, map->len, 0))
		return FALSE;
	map->data = map->pages = g_steal_pointer(&copy);
	return TRUE;
}

/* A mapping begins where a page does, and pages may be larger than what slices begin at. */
gboolean
body_map(const Body *body, gsize len, BodyMap *out)
{
	gsize before = body->at % (guint64)sysconf(_SC_PAGESIZE);
	BodyMap map = {.data = "", .len = MIN(len, body->size)};

	if (map.len > 0 && !copy_held(body, &map)) {
		map.mapped = before + map.len;
		map.pages = mmap(NULL, map.mapped, PROT_READ, MAP_PRIVATE, body->fd,
				 (off_t)(body->at - before));
		if (map.pages == MAP_FAILED)
			return FALSE;
		map.data = (const char *)map.pages + before;
	}
	*out = map;
	return TRUE;
}

void
body_unmap(BodyMap *map)
{
	if (map->mapped > 0)
		munmap(map->pages, map->mapped);
	else
		g_free(map->pages);
	*map = (BodyMap){0};
}
