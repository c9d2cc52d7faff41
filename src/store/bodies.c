/* SPDX-License-Identifier: MIT */
/* One lock makes a change of the tree and of its total one step, for as long as a rename takes; the
 * packs have their own, below it.
 * What takes time (counting, evicting, deleting what is over) is the evictor thread's. Recency is
 * the file's mtime: set by writing, then by bodies_get at most once an hour. */
#include "store/bodies-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

#define BLOCK	       4096		    /* a file takes whole blocks of the disk */
#define LOW_WATER(max) ((max) - (max) / 10) /* evicted down to this */
#define SCARCE_SHARE   10		    /* on a full disk a tenth of the cache goes, */
#define SCARCE_BYTES   (1024 * 1024)	    /* and at least this */
#define DEPTH_MAX      16		    /* of foreign folders to be deleted */
#define TOUCH_SECONDS  3600
#define PIECE	       (128 * 1024)
#define FLUSH_AFTER    G_TIME_SPAN_SECOND
#define COMING	       ".coming-" /* and what tells this process from others */

/* One file as the evictor counted it. */
typedef struct {
	guint64 address;
	guint64 bytes;
	guint64 inode; /* 0: it is in a pack */
	gint64 mtime;
} Counted;

typedef struct {
	guint64 address; /* first: the hash's key */
	guint64 bytes;	 /* now */
} Changed;

guint64
bodies_address(guint32 serial, guint32 uid)
{
	return (guint64)serial << 32 | uid;
}

void
bodies_place(BodyPlace place, guint64 address)
{
	g_snprintf(place, sizeof(BodyPlace), "%u/%u", (guint)(address >> 32),
		   (guint)(address & G_MAXUINT32));
}

guint64
bodies_disk_bytes(const struct stat *status)
{
	return ((guint64)status->st_size + BLOCK - 1) / BLOCK * BLOCK;
}

static gint64
nanoseconds(const struct timespec *time)
{
	return (gint64)time->tv_sec * G_GINT64_CONSTANT(1000000000) + time->tv_nsec;
}

gboolean
bodies_is_full(int err)
{
	return err == ENOSPC || err == EDQUOT;
}

void
bodies_set_error(GError **error, int err, const char *path)
{
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(err), "cache %s: %s; %s", path,
		    g_strerror(err),
		    bodies_is_full(err) ? "free some space or choose another cache-dir"
					: "check its permissions and owner");
}

/* ---- folders ---- */

int
bodies_make_directory(int at, const char *name)
{
	if (mkdirat(at, name, 0700) != 0)
		return errno == EEXIST ? 0 : errno;
	if (fchmodat(at, name, 0700, 0) != 0)
		g_debug("cache folder %s: %s", name, g_strerror(errno));
	return 0;
}

int
bodies_claim_folder(int at, const char *name)
{
	int fd;

	bodies_make_directory(at, name);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 || (errno != ENOTDIR && errno != ELOOP) || unlinkat(at, name, 0) != 0)
		return fd;
	bodies_make_directory(at, name);
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Opens both folders. */
static gboolean
claim_folders(const char *path, int *root_out, int *generation_out)
{
	g_autofree char *root = g_path_get_dirname(path);
	g_autofree char *directory = g_path_get_dirname(root);
	g_autofree char *name = g_path_get_basename(path);

	*root_out = *generation_out = -1;
	if (g_mkdir_with_parents(directory, 0700) == 0)
		*root_out = bodies_claim_folder(AT_FDCWD, root);
	if (*root_out >= 0)
		*generation_out = bodies_claim_folder(*root_out, name);
	return *generation_out >= 0;
}

void
bodies_restore_folders(Bodies *bodies)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&bodies->lock);
	g_auto(UtilFd) root = -1;
	g_auto(UtilFd) generation = -1;
	struct stat status;

	if (fstat(bodies->generation, &status) != 0 || status.st_nlink > 0)
		return;
	if (!claim_folders(bodies->path, &root, &generation) ||
	    dup3(root, bodies->root, O_CLOEXEC) < 0 ||
	    dup3(generation, bodies->generation, O_CLOEXEC) < 0)
		g_debug("cache %s: %s", bodies->path, g_strerror(errno));
	bodies->recount = TRUE;
	g_cond_signal(&bodies->wake);
}

/* ---- accounts; with `lock` held ---- */

static guint64
total_of(Bodies *bodies)
{
	return bodies->total + packs_total(bodies->packs);
}

static gboolean
is_over(Bodies *bodies)
{
	return bodies->max_bytes != 0 && total_of(bodies) > bodies->max_bytes;
}

void
bodies_account(Bodies *bodies, guint64 address, guint64 before, guint64 bytes)
{
	bodies->total += bytes;
	bodies->total -= MIN(before, bodies->total);
	if (bodies->changed != NULL) {
		Changed changed = {address, bytes};

		g_hash_table_add(bodies->changed, g_memdup2(&changed, sizeof changed));
	}
	if (is_over(bodies))
		g_cond_signal(&bodies->wake);
}

void
bodies_note_packed(Bodies *bodies)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&bodies->lock);

	if (!bodies->unflushed || is_over(bodies))
		g_cond_signal(&bodies->wake);
	bodies->unflushed = TRUE;
}

/* Removes a file, unless another one has taken its place; @inode 0: whichever it is. */
static gboolean
remove_file(Bodies *bodies, guint64 address, guint64 inode, gint64 mtime)
{
	struct stat now;
	BodyPlace place;

	bodies_place(place, address);
	if (fstatat(bodies->generation, place, &now, AT_SYMLINK_NOFOLLOW) != 0)
		return FALSE;
	if (inode != 0 && (inode != now.st_ino || mtime != nanoseconds(&now.st_mtim)))
		return FALSE;
	if (unlinkat(bodies->generation, place, 0) != 0)
		return FALSE;
	bodies_account(bodies, address, S_ISREG(now.st_mode) ? bodies_disk_bytes(&now) : 0, 0);
	return TRUE;
}

/* ---- reading ---- */

/* TRUE when the file's bytes have this size and checksum. A read error is damage too. */
static gboolean
prove(int fd, guint64 size, guint32 crc)
{
	g_autofree guint8 *buffer = g_malloc(CLAMP(size, 1, PIECE));
	guint32 sum = 0;
	guint64 at = 0;

	while (at < size) {
		ssize_t n = pread(fd, buffer, MIN(size - at, PIECE), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FALSE;
		sum = checksum(sum, buffer, (gsize)n);
		at += (guint64)n;
	}
	return sum == crc;
}

static void
remove_damaged(Bodies *bodies, guint64 address, guint64 inode, gint64 mtime)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&bodies->lock);

	if (remove_file(bodies, address, inode, mtime))
		bodies->damaged++;
}

/* Marks a file as used, which changes its times. */
static gboolean
touch(int fd, struct stat *status)
{
	gint64 age = (gint64)time(NULL) - status->st_mtim.tv_sec;

	return ABS(age) >= TOUCH_SECONDS && futimens(fd, NULL) == 0 && fstat(fd, status) == 0;
}

static Body *
get_file(Bodies *bodies, guint64 address, guint64 size, guint32 crc)
{
	g_auto(UtilFd) fd = -1;
	struct stat status;
	gboolean known;
	BodyPlace place;

	bodies_place(place, address);
	fd = openat(bodies->generation, place, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ELOOP)
		remove_damaged(bodies, address, 0, 0);
	if (fd < 0 || fstat(fd, &status) != 0)
		return NULL;
	known = (guint64)status.st_size == size &&
		body_proofs_has(bodies->proofs, address, &status, crc);
	if (!known && (!S_ISREG(status.st_mode) || (guint64)status.st_size != size ||
		       !prove(fd, size, crc))) {
		g_debug("cache %s/%s: damaged, removed", bodies->path, place);
		remove_damaged(bodies, address, status.st_ino, nanoseconds(&status.st_mtim));
		return NULL;
	}
	if (touch(fd, &status) || !known)
		body_proofs_add(bodies->proofs, address, &status, crc);
	return body_new_file(util_steal_fd(&fd), size);
}

Body *
bodies_get(Bodies *bodies, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	guint64 address = bodies_address(serial, uid);
	gboolean damaged;
	Body *body = packs_get(bodies->packs, address, size, crc, &damaged);

	if (damaged) {
		g_debug("cache %s: the body of %u/%u is damaged, removed", bodies->path, serial,
			uid);
		g_mutex_lock(&bodies->lock);
		bodies->damaged++;
		g_mutex_unlock(&bodies->lock);
	}
	return body != NULL ? body : get_file(bodies, address, size, crc);
}

gboolean
bodies_secure(Bodies *bodies, const Body *body)
{
	return body_file(body) >= 0 ? body_sync(body) : packs_secure(bodies->packs, body);
}

gboolean
bodies_has(Bodies *bodies, guint32 serial, guint32 uid)
{
	guint64 address = bodies_address(serial, uid);
	struct stat status;
	BodyPlace place;

	if (packs_has(bodies->packs, address))
		return TRUE;
	bodies_place(place, address);
	return fstatat(bodies->generation, place, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(status.st_mode);
}

void
bodies_remove(Bodies *bodies, guint32 serial, guint32 uid)
{
	guint64 address = bodies_address(serial, uid);

	packs_remove(bodies->packs, address);
	g_mutex_lock(&bodies->lock);
	remove_file(bodies, address, 0, 0);
	g_mutex_unlock(&bodies->lock);
}

static void
move_file(Bodies *bodies, guint64 from, guint64 to, gboolean keep)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&bodies->lock);
	g_autofree char *folder = g_strdup_printf("%u", (guint)(to >> 32));
	BodyPlace old, new;
	struct stat status;

	bodies_place(old, from);
	bodies_place(new, to);
	if (fstatat(bodies->generation, old, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISREG(status.st_mode))
		return;
	remove_file(bodies, to, 0, 0);
	bodies_make_directory(bodies->generation, folder);
	if (keep && linkat(bodies->generation, old, bodies->generation, new, 0) != 0)
		return;
	if (!keep && renameat(bodies->generation, old, bodies->generation, new) != 0)
		return;
	bodies_account(bodies, to, 0, bodies_disk_bytes(&status));
	if (!keep)
		bodies_account(bodies, from, bodies_disk_bytes(&status), 0);
}

void
bodies_move(Bodies *bodies, guint32 serial, guint32 uid, guint32 new_serial, guint32 new_uid,
	    gboolean keep)
{
	guint64 from = bodies_address(serial, uid), to = bodies_address(new_serial, new_uid);

	if (from == to)
		return;
	if (packs_move(bodies->packs, from, to, keep))
		bodies_note_packed(bodies);
	else
		move_file(bodies, from, to, keep);
}

/* Put aside under a hidden name at once; the evictor deletes it. */
static void
remove_folder(Bodies *bodies, guint32 serial)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&bodies->lock);
	g_autofree char *name = g_strdup_printf("%u", serial);
	g_autofree char *aside =
		g_strdup_printf(".over-%s-%" G_GUINT64_FORMAT, bodies->coming, ++bodies->names);

	if (renameat(bodies->generation, name, bodies->generation, aside) != 0)
		return;
	bodies->recount = TRUE;
	g_cond_signal(&bodies->wake);
}

void
bodies_remove_serial(Bodies *bodies, guint32 serial)
{
	packs_remove_all(bodies->packs, serial);
	remove_folder(bodies, serial);
}

guint64
bodies_total(Bodies *bodies)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&bodies->lock);

	return total_of(bodies);
}

guint64
bodies_damaged(Bodies *bodies)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&bodies->lock);

	return bodies->damaged;
}

/* ---- the evictor ---- */

/* NULL when it is no folder. Takes no descriptor of the caller's. */
static DIR *
open_folder(int at, const char *name)
{
	g_auto(UtilFd) fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);

	if (folder != NULL)
		util_steal_fd(&fd);
	return folder;
}

static const char *
next_name(Bodies *bodies, DIR *folder)
{
	struct dirent *entry = NULL;

	while (!g_atomic_int_get(&bodies->stop) && (entry = readdir(folder)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return entry->d_name;
	return NULL;
}

/* Never through a symbolic link. */
static void
delete_tree(Bodies *bodies, int at, const char *name, guint depth)
{
	const char *inside;
	DIR *folder;

	if (unlinkat(at, name, 0) == 0 || depth == 0)
		return;
	folder = open_folder(at, name);
	if (folder == NULL)
		return;
	while ((inside = next_name(bodies, folder)) != NULL)
		delete_tree(bodies, dirfd(folder), inside, depth - 1);
	closedir(folder);
	if (unlinkat(at, name, AT_REMOVEDIR) != 0)
		g_debug("cache folder %s: %s", name, g_strerror(errno));
}

/* Everything in @at whose name begins with @prefix, but not @kept. */
static void
delete_others(Bodies *bodies, int at, const char *prefix, const char *kept)
{
	DIR *folder = open_folder(at, ".");
	const char *name;

	if (folder == NULL)
		return;
	while ((name = next_name(bodies, folder)) != NULL)
		if (g_str_has_prefix(name, prefix) && g_strcmp0(name, kept) != 0)
			delete_tree(bodies, at, name, DEPTH_MAX);
	closedir(folder);
}

/* A number as place_of writes it. */
static gboolean
parse_number(const char *name, guint32 *number_out)
{
	guint64 number;

	if (name[0] < '1' || name[0] > '9' ||
	    !g_ascii_string_to_unsigned(name, 10, 1, G_MAXUINT32, &number, NULL))
		return FALSE;
	*number_out = (guint32)number;
	return TRUE;
}

static void
count_serial(Bodies *bodies, guint32 serial, DIR *folder, GArray *counted)
{
	const char *name;
	guint32 uid;

	while ((name = next_name(bodies, folder)) != NULL) {
		struct stat status;

		if (fstatat(dirfd(folder), name, &status, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (parse_number(name, &uid) && S_ISREG(status.st_mode)) {
			Counted one = {bodies_address(serial, uid), bodies_disk_bytes(&status),
				       status.st_ino, nanoseconds(&status.st_mtim)};

			g_array_append_val(counted, one);
		} else {
			delete_tree(bodies, dirfd(folder), name, DEPTH_MAX);
		}
	}
}

/* All bodies there are; what is none is deleted. A folder that cannot be opened just now stays. */
static GArray *
count_files(Bodies *bodies)
{
	GArray *counted = g_array_new(FALSE, FALSE, sizeof(Counted));
	DIR *generation = open_folder(bodies->generation, ".");
	const char *name;
	guint32 serial;

	while (generation != NULL && (name = next_name(bodies, generation)) != NULL) {
		guint before = counted->len;
		gboolean ours = parse_number(name, &serial);
		DIR *folder = ours ? open_folder(dirfd(generation), name) : NULL;

		if (folder != NULL) {
			count_serial(bodies, serial, folder, counted);
			closedir(folder);
			/* Refused when a body has come meanwhile. */
			if (counted->len == before)
				unlinkat(dirfd(generation), name, AT_REMOVEDIR);
		} else if (name[0] != '.' && strcmp(name, PACKS_FOLDER) != 0 &&
			   (!ours || errno == ENOTDIR || errno == ELOOP)) {
			delete_tree(bodies, dirfd(generation), name, DEPTH_MAX);
		}
	}
	if (generation != NULL)
		closedir(generation);
	return counted;
}

/* The true total: what was counted, but for what changed meanwhile. With `lock` held. */
static void
settle_total(Bodies *bodies, GArray *counted)
{
	GHashTableIter iter;
	gpointer changed;

	bodies->total = 0;
	for (guint i = 0; i < counted->len; i++) {
		const Counted *one = &g_array_index(counted, Counted, i);

		if (!g_hash_table_contains(bodies->changed, &one->address))
			bodies->total += one->bytes;
	}
	g_hash_table_iter_init(&iter, bodies->changed);
	while (g_hash_table_iter_next(&iter, &changed, NULL))
		bodies->total += ((Changed *)changed)->bytes;
	g_clear_pointer(&bodies->changed, g_hash_table_unref);
}

static int
by_age(gconstpointer a, gconstpointer b)
{
	const Counted *left = a;
	const Counted *right = b;

	return (left->mtime > right->mtime) - (left->mtime < right->mtime);
}

static void
count_packed(gpointer counted, guint64 address, guint64 bytes, guint32 used)
{
	Counted one = {address, bytes, 0, used * G_GINT64_CONSTANT(1000000000)};

	g_array_append_val(counted, one);
}

static gboolean
evict_one(Bodies *bodies, const Counted *one)
{
	g_autoptr(GMutexLocker) locker = NULL;

	if (one->inode == 0)
		return packs_evict(bodies->packs, one->address,
				   (guint32)(one->mtime / G_GINT64_CONSTANT(1000000000)));
	locker = g_mutex_locker_new(&bodies->lock);
	return remove_file(bodies, one->address, one->inode, one->mtime);
}

/* Oldest first until no more than @goal bytes are left. Returns what was freed. */
static guint64
evict(Bodies *bodies, GArray *counted, guint64 goal)
{
	guint64 freed = 0;

	packs_list(bodies->packs, count_packed, counted);
	g_array_sort(counted, by_age);
	for (guint i = 0; i < counted->len && !g_atomic_int_get(&bodies->stop); i++) {
		const Counted *one = &g_array_index(counted, Counted, i);

		if (bodies_total(bodies) <= goal)
			break;
		if (evict_one(bodies, one))
			freed += one->bytes;
	}
	return freed;
}

/* What may stay; G_MAXUINT64: all, and what comes meanwhile too. With `lock` held. */
static guint64
goal_of(Bodies *bodies, gboolean scarce)
{
	guint64 goal = is_over(bodies) ? LOW_WATER(bodies->max_bytes) : G_MAXUINT64;
	guint64 total = total_of(bodies);
	guint64 wanted = MAX(total / SCARCE_SHARE, SCARCE_BYTES);

	return scarce ? MIN(goal, total - MIN(wanted, total)) : goal;
}

/* Deletes what is over, counts, evicts. Enters and leaves with `lock` held. */
static void
sweep(Bodies *bodies)
{
	guint64 serving = bodies->asked;
	gboolean scarce = serving > bodies->answered;
	g_autoptr(GArray) counted = NULL;
	guint64 goal;
	guint64 freed = 0;

	bodies->recount = FALSE;
	g_mutex_unlock(&bodies->lock);
	delete_others(bodies, bodies->generation, ".over-", NULL);
	delete_others(bodies, bodies->generation, COMING, bodies->coming);
	g_mutex_lock(&bodies->lock);
	bodies->changed = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	g_mutex_unlock(&bodies->lock);
	counted = count_files(bodies);
	g_mutex_lock(&bodies->lock);
	settle_total(bodies, counted);
	goal = goal_of(bodies, scarce);
	g_mutex_unlock(&bodies->lock);
	if (goal != G_MAXUINT64)
		freed = evict(bodies, counted, goal);
	g_mutex_lock(&bodies->lock);
	bodies->freed = freed;
	bodies->answered = serving;
	g_cond_broadcast(&bodies->swept);
}

/* @futile: it is over the bound, but nothing would go: wait for news. */
static gboolean
is_due(Bodies *bodies, gboolean futile)
{
	return (is_over(bodies) && !futile) || bodies->recount ||
	       bodies->asked > bodies->answered || g_atomic_int_get(&bodies->stop);
}

/* A second later, so that what comes meanwhile is written at once. Enters and leaves with `lock`
 * held. */
static void
flush(Bodies *bodies)
{
	gint64 until = g_get_monotonic_time() + FLUSH_AFTER;
	int err;

	while (!is_due(bodies, FALSE) && g_cond_wait_until(&bodies->wake, &bodies->lock, until))
		continue;
	bodies->unflushed = FALSE;
	g_mutex_unlock(&bodies->lock);
	err = packs_flush(bodies->packs);
	g_mutex_lock(&bodies->lock);
	/* Tried again a second later: they can still be read. */
	bodies->unflushed |= err != 0;
	if (bodies_is_full(err))
		bodies->asked++;
}

static gpointer
evictor_main(gpointer user)
{
	Bodies *bodies = user;
	g_autofree char *generation = g_path_get_basename(bodies->path);
	gboolean futile = FALSE;

	delete_others(bodies, bodies->root, "", generation);
	g_mutex_lock(&bodies->lock);
	sweep(bodies);
	while (!g_atomic_int_get(&bodies->stop)) {
		if (is_due(bodies, futile)) {
			sweep(bodies);
			futile = bodies->freed == 0;
		} else if (bodies->unflushed) {
			flush(bodies);
		} else {
			g_cond_wait(&bodies->wake, &bodies->lock);
			futile = FALSE;
		}
	}
	g_cond_broadcast(&bodies->swept);
	g_mutex_unlock(&bodies->lock);
	return NULL;
}

/* ---- life ---- */

static void
bodies_free(Bodies *bodies)
{
	packs_close(bodies->packs);
	if (bodies->generation >= 0)
		unlinkat(bodies->generation, bodies->coming, AT_REMOVEDIR);
	util_close_fd(&bodies->root);
	util_close_fd(&bodies->generation);
	g_mutex_clear(&bodies->lock);
	g_cond_clear(&bodies->wake);
	g_cond_clear(&bodies->swept);
	body_proofs_free(bodies->proofs);
	g_free(bodies->coming);
	g_free(bodies->path);
	g_free(bodies);
}

Bodies *
bodies_open(const char *directory, const char *generation, guint64 max_bytes, GError **error)
{
	Bodies *bodies = g_new0(Bodies, 1);
	guint64 token;

	bodies->path = g_build_filename(directory, "bodies", generation, NULL);
	bodies->max_bytes = max_bytes;
	bodies->proofs = body_proofs_new();
	g_mutex_init(&bodies->lock);
	g_cond_init(&bodies->wake);
	g_cond_init(&bodies->swept);
	if (getrandom(&token, sizeof token, 0) != sizeof token)
		token = (guint64)g_get_real_time();
	bodies->coming = g_strdup_printf(COMING "%016" G_GINT64_MODIFIER "x", token);
	if (!claim_folders(bodies->path, &bodies->root, &bodies->generation)) {
		bodies_set_error(error, errno, bodies->path);
		bodies_free(bodies);
		return NULL;
	}
	bodies->packs = packs_open(bodies->generation);
	bodies->evictor = g_thread_new("evictor", evictor_main, bodies);
	return bodies;
}

void
bodies_pack_no_more(Bodies *bodies)
{
	bodies->unpacked = TRUE;
}

void
bodies_close(Bodies *bodies)
{
	if (bodies == NULL)
		return;
	g_mutex_lock(&bodies->lock);
	g_atomic_int_set(&bodies->stop, TRUE);
	g_cond_signal(&bodies->wake);
	g_mutex_unlock(&bodies->lock);
	g_thread_join(bodies->evictor);
	bodies_free(bodies);
}
