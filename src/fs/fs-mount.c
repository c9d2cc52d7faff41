/* SPDX-License-Identifier: MIT */
/* The life of a mount, and what the kernel is told without being asked. */
#include "fs/fs-private.h"
#include "fs/view-maildir.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

/* The FUSE_INIT request and its reply, in 32-bit words, where libfuse before 3.17 does not pass on
 * what both sides can do: see fs_writev(). */
#define INIT_OPCODE	26
#define REQUEST_OPCODE	1 /* the word that says so */
#define REQUEST_FLAGS	13
#define REQUEST_FLAGS2	14
#define REPLY_FLAGS	3
#define REPLY_FLAGS2	8
#define PARALLEL_DIROPS (1u << 18)
#define INIT_EXT	(1u << 30) /* there is a second word of flags */
#define DIRECT_IO_MMAP	(1u << 4)  /* in the second word */

/* --- telling the kernel ---------------------------------------------------------------- */

/* -ENOENT: the kernel does not know the name, which is just as well. */
void
fs_tell(gpointer user, guint64 parent, guint64 child, const char *name)
{
	Fs *fs = user;

	if (child != 0)
		fuse_lowlevel_notify_delete(fs->session, parent, child, name, strlen(name));
	else
		fuse_lowlevel_notify_inval_entry(fs->session, parent, name, strlen(name));
}

static void
forget_attributes(Fs *fs, fuse_ino_t ino)
{
	if (fs->mounted)
		fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
}

/* Programs that have a Maildir open look at the times of cur and new. */
static void
forget_maildir(Fs *fs, Mailbox *mailbox)
{
	forget_attributes(fs, view_maildir_ino(mailbox_directory(mailbox), VIEW_MAILDIR_CUR));
	forget_attributes(fs, view_maildir_ino(mailbox_directory(mailbox), VIEW_MAILDIR_NEW));
}

void
fs_listing_changed(Fs *fs, Mailbox *mailbox)
{
	forget_attributes(fs, node_ino_of_directory(mailbox_directory(mailbox)));
	forget_maildir(fs, mailbox);
}

void
fs_message_gone(Fs *fs, Mailbox *mailbox, guint32 serial, guint32 uid, const char *name)
{
	if (fs->mounted)
		notices_push(fs->notices, node_ino_of_directory(mailbox_directory(mailbox)),
			     node_ino_of_message(serial, uid), name);
}

void
fs_message_changed(Fs *fs, guint32 serial, guint32 uid)
{
	Mailbox *mailbox = account_mailbox_of(fs->account, serial);

	forget_attributes(fs, node_ino_of_message(serial, uid));
	if (mailbox != NULL)
		forget_maildir(fs, mailbox);
}

void
fs_directory_void(Fs *fs, Mailbox *mailbox)
{
	if (fs->mounted)
		notices_push(fs->notices, node_ino_of_directory(mailbox_parent(mailbox)), 0,
			     mailbox_file_name(mailbox));
}

void
fs_folders_changed(Fs *fs)
{
	g_autoptr(GPtrArray) mailboxes = account_mailboxes(fs->account);

	/* Each counts those below it as links. */
	forget_attributes(fs, NODE_ROOT_INO);
	for (guint i = 0; i < mailboxes->len; i++)
		forget_attributes(fs,
				  node_ino_of_directory(mailbox_directory(mailboxes->pdata[i])));
}

void
fs_upload_changed(Fs *fs, Mailbox *mailbox, guint32 id)
{
	forget_attributes(fs, node_ino_of_upload(id));
}

/* Its name leads to the message now, also below .maildir, where nothing else tells of it. */
void
fs_upload_gone(Fs *fs, Mailbox *mailbox, guint32 id, const char *name)
{
	fs_forget_shown(fs, id);
	tree_note_sent(fs->tree, mailbox, name);
	forget_attributes(fs, node_ino_of_directory(mailbox_directory(mailbox)));
	forget_maildir(fs, mailbox);
	if (fs->mounted)
		notices_push(fs->notices, node_ino_of_directory(mailbox_directory(mailbox)), 0,
			     name);
}

void
fs_messages_wanted(Fs *fs, Mailbox *mailbox, guint32 serial, const guint32 *uids, guint n)
{
	if (fs->mounted)
		warmer_push(fs->warmer, mailbox, serial, uids, n);
}

guint
fs_waiting(Fs *fs)
{
	return patience_count(fs->patience);
}

char *
fs_describe(Fs *fs)
{
	gboolean direct = fs->passthrough && backing_works(fs->backing);

	return g_strconcat("libfuse ", fuse_pkgversion(),
			   direct ? "; the kernel reads large messages from the cache (passthrough)"
				  : "",
			   NULL);
}

void
fs_count(Fs *fs, FsRequest request)
{
	__atomic_fetch_add(&fs->requests[request], 1, __ATOMIC_RELAXED);
}

guint64
fs_requests(Fs *fs, FsRequest request)
{
	return __atomic_load_n(&fs->requests[request], __ATOMIC_RELAXED);
}

const char *
fs_request_name(FsRequest request)
{
	static const char *const names[FS_N_REQUESTS] = {
		[FS_LOOKUP] = "lookup",	    [FS_GETATTR] = "getattr", [FS_OPENDIR] = "opendir",
		[FS_READDIR] = "readdir",   [FS_OPEN] = "open",	      [FS_READ] = "read",
		[FS_GETXATTR] = "getxattr",
	};

	return names[request];
}

/* --- life
 * ---------------------------------------------------------------------------------------------------
 */

static gboolean
is_passthrough_offered(const Fs *fs, struct fuse_conn_info *connection)
{
#ifdef FUSE_CAP_PASSTHROUGH
	if ((connection->capable & FUSE_CAP_PASSTHROUGH) != 0)
		return TRUE;
#endif
	return fs->passthrough_offered;
}

void
fs_init(void *userdata, struct fuse_conn_info *connection)
{
	static const unsigned unwanted = FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_WRITEBACK_CACHE |
					 FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
					 FUSE_CAP_SPLICE_MOVE;
	static const unsigned wanted = FUSE_CAP_READDIRPLUS | FUSE_CAP_ASYNC_READ |
				       FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_PARALLEL_DIROPS |
				       FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_ATOMIC_O_TRUNC;

	Fs *fs = userdata;

	connection->want &= ~unwanted;
	connection->want |= wanted & connection->capable;
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
	if ((connection->capable & FUSE_CAP_DIRECT_IO_ALLOW_MMAP) != 0) {
		connection->want |= FUSE_CAP_DIRECT_IO_ALLOW_MMAP;
		g_atomic_int_set(&fs->may_grow, 1);
	}
#endif
	if (is_passthrough_offered(fs, connection))
		fs_passthrough_begin(fs);
#ifdef FUSE_CAP_PASSTHROUGH
	if (fs->passthrough)
		connection->want |= FUSE_CAP_PASSTHROUGH;
#endif
	connection->max_background = 64;
	connection->time_gran = 1;
}

/* libfuse before 3.17 never passes FUSE_PARALLEL_DIROPS on to the kernel, which then lets one
 * waiting LOOKUP hold up its whole directory. The first reply of a session is the one to INIT: its
 * flags are the fourth 32-bit word. */
static ssize_t
fs_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	Fs *fs = userdata;

	if (count > 1 && iov[1].iov_len >= 40 &&
	    g_atomic_int_compare_and_exchange(&fs->init_seen, 0, 1)) {
		guint32 *words = iov[1].iov_base;

		words[REPLY_FLAGS] |= PARALLEL_DIROPS;
		if (g_atomic_int_get(&fs->may_grow)) {
			words[REPLY_FLAGS] |= INIT_EXT;
			words[REPLY_FLAGS2] |= DIRECT_IO_MMAP;
		}
		if (fs->passthrough)
			fs_passthrough_accept(words);
	}
	return writev(fd, iov, count);
}

/* Bodies that come in are read with direct I/O, and only from Linux 6.6 on such a file can be
 * mapped all the same. Whether this is one is told by the first request. */
static ssize_t
fs_device_read(int fd, void *buffer, size_t len, void *userdata)
{
	Fs *fs = userdata;
	const guint32 *words = buffer;
	ssize_t n = read(fd, buffer, len);

	if (n >= (ssize_t)((REQUEST_FLAGS2 + 1) * sizeof *words) &&
	    !g_atomic_int_get(&fs->init_seen) && words[REQUEST_OPCODE] == INIT_OPCODE &&
	    (words[REQUEST_FLAGS] & INIT_EXT) != 0 && (words[REQUEST_FLAGS2] & DIRECT_IO_MMAP) != 0)
		g_atomic_int_set(&fs->may_grow, 1);
	if (n > 0 && !g_atomic_int_get(&fs->init_seen))
		fs->passthrough_offered = fs_passthrough_is_offered(buffer, (size_t)n);
	return n;
}

static struct fuse_session *
session_new(Fs *fs, const FsConfig *config)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	g_autoptr(GString) options =
		g_string_new("subtype=mailfs,default_permissions,nosuid,nodev,noexec,fsname=");
	struct fuse_session *session;

	for (const char *p = config->source; *p != '\0'; p++) {
		if (*p == ',' || *p == '\\')
			g_string_append_c(options, '\\');
		g_string_append_c(options, *p);
	}
	if (config->uploads == NULL)
		g_string_prepend(options, "ro,");
	if (config->allow_other)
		g_string_append(options, ",allow_other");
	for (guint i = 0; config->fuse_options != NULL && i < config->fuse_options->len; i++)
		g_string_append_printf(options, ",%s",
				       (const char *)config->fuse_options->pdata[i]);
	fuse_opt_add_arg(&args, "mailfs");
	fuse_opt_add_arg(&args, "-o");
	fuse_opt_add_arg(&args, options->str);
	session = fuse_session_new(&args, &fs_operations, sizeof fs_operations, fs);
	fuse_opt_free_args(&args);
	return session;
}

Fs *
fs_new(const FsConfig *config, GError **error)
{
	Fs *fs = g_new0(Fs, 1);

	fs->tree = config->tree;
	fs->account = config->account;
	fs->uploads = config->uploads;
	fs->changes = config->changes;
	fs->uid = config->uid;
	fs->gid = config->gid;
	fs->wait_us = config->wait_time * (gint64)G_USEC_PER_SEC;
	fs->mountpoint = g_strdup(config->mountpoint);
	fs->attr_time = config->attr_time;
	fs->failed = config->failed;
	fs->user = config->user;
	g_mutex_init(&fs->lock);
	g_cond_init(&fs->stored);
	fs->handles = g_hash_table_new_full(NULL, NULL, fs_handle_free, NULL);
	fs->halves = g_hash_table_new(NULL, NULL);
	fs->shown = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	fs->drafts = g_hash_table_new_full(NULL, NULL, NULL, fs_drafts_free);
	fs->storing = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	fs->listings = listings_new();
	fs->patience = patience_new(fs_over);
	fs->notices = notices_new(fs_tell, fs);
	fs->warmer = warmer_new(fs_warm, fs);
	fs->errands = errands_new();
	fs->copiers = copiers_new();
	fs->session = session_new(fs, config);
	if (fs->session == NULL) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_USAGE,
			    "libfuse does not accept these mount options (see above)");
		fs_free(fs);
		return NULL;
	}
	fs->workers = workers_new(fs->session);
	return fs;
}

gboolean
fs_mount(Fs *fs, GError **error)
{
	static const struct fuse_custom_io io = {.writev = fs_writev, .read = fs_device_read};

	if (fuse_session_mount(fs->session, fs->mountpoint) != 0) {
		g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_MOUNTPOINT,
			    "cannot mount on %s (the lines above say why; is /dev/fuse there and "
			    "fuse3 installed?)",
			    fs->mountpoint);
		return FALSE;
	}
	if (fuse_version() < 317)
		fuse_session_custom_io(fs->session, &io, fuse_session_fd(fs->session));
	fs->mounted = TRUE;
	return TRUE;
}

gboolean
fs_run(Fs *fs)
{
	return workers_run(fs->workers) || g_atomic_int_get(&fs->stopping);
}

void
fs_stop(Fs *fs)
{
	char *argv[] = {(char *)"fusermount3", (char *)"-u",   (char *)"-z", (char *)"-q",
			(char *)"--",	       fs->mountpoint, NULL};

	if (!g_atomic_int_compare_and_exchange(&fs->stopping, 0, 1))
		return;
	fuse_session_exit(fs->session);
	if (umount2(fs->mountpoint, MNT_DETACH) != 0)
		g_spawn_sync("/", argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL,
			     NULL);
	workers_stop(fs->workers);
}

/* What programs had open when the mount ended is as complete as it will ever be. */
void
fs_finish(Fs *fs)
{
	g_autofree gpointer *open = NULL;
	guint n;

	g_mutex_lock(&fs->lock);
	open = g_hash_table_get_keys_as_array(fs->handles, &n);
	g_mutex_unlock(&fs->lock);
	for (guint i = 0; i < n; i++) {
		FsHandle *handle = open[i];

		if (handle->upload != NULL && handle->writes)
			fs_close_upload(fs, handle);
	}
	errands_drain(fs->errands);
}

void
fs_free(Fs *fs)
{
	if (fs == NULL)
		return;
	if (fs->mounted)
		fuse_session_unmount(fs->session);
	errands_free(fs->errands);
	copiers_free(fs->copiers);
	patience_free(fs->patience);
	notices_free(fs->notices);
	warmer_free(fs->warmer);
	workers_free(fs->workers);
	if (fs->session != NULL)
		fuse_session_destroy(fs->session);
	backing_free(fs->backing);
	listings_free(fs->listings);
	g_hash_table_unref(fs->storing);
	g_hash_table_unref(fs->handles);
	g_hash_table_unref(fs->drafts);
	g_hash_table_unref(fs->shown);
	g_hash_table_unref(fs->halves);
	g_cond_clear(&fs->stored);
	g_mutex_clear(&fs->lock);
	g_free(fs->mountpoint);
	g_free(fs);
}
