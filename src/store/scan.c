/* SPDX-License-Identifier: MIT */
/* A Job is one body on the way, found by its place and UID. A Fetch is one request to the server
 * for the bodies of some jobs. Jobs are made by callers and ended by the fetch that carries them,
 * on its session's thread; the table and all jobs are guarded by one lock, never held over a
 * callback or a disk write. */
#include <fcntl.h>
#include <string.h>

#include "base/util.h"
#include "store/scan-private.h"

#define TRIES 2 /* of what a server left out */
/* A line lost under a fetch is not the reader's fault; lines fall together, and each may be given
 * the message before it is known to be dead. */
#define TRIES_LOST 4

typedef struct {
	ScanDone done;
	gpointer user;
} Waiter;

typedef struct {
	guint64 key;
	GArray *waiters; /* of Waiter */
	guint tries;
	guint64 size;  /* announced; counted in idle_bytes while nobody waits */
	GError *error; /* why the last body that came was void; NULL: none came */
} Job;

typedef struct {
	Scan *scan;
	char *mailbox;
	ScanPlace place;
	UidSet *wanted;	    /* not yet answered */
	gint64 alone_since; /* when it was asked for, with nothing else on the way; 0: else */
	BodyWriter *writer; /* the body that is coming in */
	guint64 size;	    /* of the body that came last */
	guint32 crc;
	GError *disk_error;
} Fetch;

static const RequestEvents fetch_events;

static guint64
key_of(guint32 serial, guint32 uid)
{
	return (guint64)serial << 32 | uid;
}

static void
job_free(gpointer data)
{
	Job *job = data;

	g_array_unref(job->waiters);
	g_clear_error(&job->error);
	g_free(job);
}

/* --- bodies that grow --- */

static void
on_grown(gpointer user, guint32 serial, guint32 uid, guint64 size, guint32 crc)
{
	Scan *scan = user;

	if (uid != 0) {
		g_mutex_lock(&scan->lock);
		scan->n_fetched++;
		g_mutex_unlock(&scan->lock);
	}
	scan->fetched(scan->user, serial, uid, size, crc);
}

static void
on_growth_over(gpointer user, Growth *growth)
{
	Scan *scan = user;
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);
	guint64 key = key_of(growth_serial(growth), growth_uid(growth));

	/* Another one may have taken its place. */
	if (g_hash_table_lookup(scan->growths, &key) == growth)
		g_hash_table_remove(scan->growths, &key);
}

/* (transfer full) A reader of the growth that is under way, or NULL. Under the lock. */
static Growth *
join_growth(Scan *scan, guint64 key)
{
	Growth *growth = g_hash_table_lookup(scan->growths, &key);

	return growth != NULL && growth_join(growth) ? growth : NULL;
}

/* One who waits for a growth, or for a body instead of one. */
typedef struct {
	Growth *growth;
	ScanOpened opened;
	ScanDone done;
	gpointer user;
} GrowthWait;

static void
on_sized(gpointer user, const GError *error)
{
	g_autofree GrowthWait *wait = user;

	if (error != NULL) {
		wait->opened(wait->user, NULL, NULL, 0, error);
		growth_leave(wait->growth);
		return;
	}
	wait->opened(wait->user, NULL, wait->growth, growth_size(wait->growth), NULL);
}

static void
on_growth_whole(gpointer user, const GError *error)
{
	g_autofree GrowthWait *wait = user;
	g_autoptr(GError) no_fd = NULL;
	int fd = error == NULL ? fcntl(growth_fd(wait->growth), F_DUPFD_CLOEXEC, 0) : -1;

	if (error == NULL && fd < 0)
		error = no_fd =
			g_error_new(G_FILE_ERROR, G_FILE_ERROR_MFILE, "too many open files");
	wait->done(wait->user, fd >= 0 ? body_new_file(fd, growth_size(wait->growth)) : NULL,
		   error);
	growth_leave(wait->growth);
}

static void
on_body_instead(gpointer user, Body *body, const GError *error)
{
	g_autofree GrowthWait *wait = user;

	wait->opened(wait->user, body, NULL, body != NULL ? body_size(body) : 0, error);
}

static GrowthWait *
growth_wait_new(Growth *growth, ScanOpened opened, ScanDone done, gpointer user)
{
	GrowthWait *wait = g_new0(GrowthWait, 1);

	*wait = (GrowthWait){growth, opened, done, user};
	return wait;
}

/* (transfer full) A growth to read, or NULL: the body comes whole. */
static Growth *
find_growth(Scan *scan, const ScanPlace *place, guint32 uid, guint64 announced)
{
	gboolean may_grow =
		announced > GROWTH_MIN && announced <= GROWTH_MAX && pool_parts(scan->pool);
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);
	guint64 key = key_of(place->serial, uid);
	Growth *growth = join_growth(scan, key);

	if (growth != NULL || !may_grow || g_hash_table_contains(scan->jobs, &key) ||
	    g_hash_table_contains(scan->lately, &key))
		return growth;
	growth =
		growth_new(&scan->growth_house, &(GrowthMessage){place->mailbox, place->uidvalidity,
								 place->serial, uid, announced});
	g_hash_table_replace(scan->growths, g_memdup2(&key, sizeof key), growth_ref(growth));
	return growth;
}

void
scan_open(Scan *scan, const ScanPlace *place, guint32 uid, guint64 announced, ScanOpened opened,
	  gpointer user)
{
	Growth *growth = find_growth(scan, place, uid, announced);

	if (growth != NULL)
		growth_want(growth, 0, GROWTH_SIZE, on_sized,
			    growth_wait_new(growth, opened, NULL, user));
	else
		scan_get(scan, place, uid, on_body_instead,
			 growth_wait_new(NULL, opened, NULL, user));
}

/* --- life --- */

Scan *
scan_new(Pool *pool, Bodies *bodies, ScanFetched fetched, gpointer user)
{
	Scan *scan = g_new0(Scan, 1);

	scan->pool = pool;
	scan->bodies = bodies;
	scan->fetched = fetched;
	scan->user = user;
	scan->growth_house = (GrowthHouse){pool, bodies, on_grown, on_growth_over, scan};
	g_mutex_init(&scan->lock);
	scan->jobs = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, job_free);
	scan->lately = g_hash_table_new(g_int64_hash, g_int64_equal);
	scan->growths = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
					      (GDestroyNotify)growth_unref);
	return scan;
}

void
scan_free(Scan *scan)
{
	if (scan == NULL)
		return;
	g_hash_table_unref(scan->growths);
	g_hash_table_unref(scan->jobs);
	g_hash_table_unref(scan->lately);
	g_mutex_clear(&scan->lock);
	g_free(scan);
}

static void
fetch_free(Fetch *fetch)
{
	body_writer_abort(fetch->writer);
	g_clear_error(&fetch->disk_error);
	uidset_free(fetch->wanted);
	g_free(fetch->mailbox);
	g_free(fetch);
}

/* No body but these is on the way. */
static gboolean
is_alone(Scan *scan, const UidSet *uids)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);

	return g_hash_table_size(scan->jobs) <= uidset_count(uids) &&
	       g_hash_table_size(scan->growths) == 0;
}

/* Asks the server for @uids (ownership taken). */
static void
fetch_submit(Scan *scan, const ScanPlace *place, UidSet *uids, RequestUrgency urgency)
{
	Fetch *fetch = g_new0(Fetch, 1);
	Request *request = request_new(REQUEST_FETCH, place->mailbox, &fetch_events, fetch);

	fetch->alone_since = is_alone(scan, uids) ? g_get_monotonic_time() : 0;
	fetch->scan = scan;
	fetch->mailbox = g_strdup(place->mailbox);
	fetch->place = *place;
	fetch->place.mailbox = fetch->mailbox;
	fetch->wanted = uidset_copy(uids);
	request->urgency = urgency;
	request->uidvalidity = place->uidvalidity;
	request->uids = uids;
	pool_submit(scan->pool, request);
}

/* It is no longer one that nobody waits for. Under the lock. */
static void
job_awaited(Scan *scan, const Job *job)
{
	scan->idle_jobs--;
	scan->idle_bytes -= job->size;
}

/* Takes the job out of the table. (transfer full) NULL when it is not there. Under the lock. */
static Job *
job_steal(Scan *scan, guint64 key)
{
	Job *job = NULL;

	if (g_hash_table_steal_extended(scan->jobs, &key, NULL, (gpointer *)&job) &&
	    job->waiters->len == 0)
		job_awaited(scan, job);
	return job;
}

static void
job_end(Job *job, Body *body, const GError *error)
{
	for (guint i = 0; i < job->waiters->len; i++) {
		Waiter *waiter = &g_array_index(job->waiters, Waiter, i);

		waiter->done(waiter->user, body != NULL ? body_ref(body) : NULL, error);
	}
	job_free(job);
}

/* A full disk fails this body, not the line: the literal is let go, its end tells whose it was. */
static gboolean
on_body_open(gpointer user, guint64 announced, GError **error)
{
	Fetch *fetch = user;

	if (fetch->alone_since != 0)
		scan_note_latency(fetch->scan, g_get_monotonic_time() - fetch->alone_since);
	fetch->alone_since = 0;
	g_clear_error(&fetch->disk_error);
	body_writer_abort(fetch->writer);
	fetch->writer =
		body_writer_new(fetch->scan->bodies, fetch->place.serial, &fetch->disk_error);
	return TRUE;
}

static gboolean
on_body_data(gpointer user, const guint8 *data, gsize len, GError **error)
{
	Fetch *fetch = user;

	if (fetch->writer != NULL &&
	    !body_writer_write(fetch->writer, data, len, &fetch->disk_error))
		g_clear_pointer(&fetch->writer, body_writer_abort);
	return TRUE;
}

/* A body that was asked for came damaged. @uid 0: nobody knows which. */
static void
note_void(Fetch *fetch, guint32 uid, const GError *error)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fetch->scan->lock);
	guint64 key = key_of(fetch->place.serial, uid);
	Job *job = g_hash_table_lookup(fetch->scan->jobs, &key);

	if (job == NULL)
		return;
	g_clear_error(&job->error);
	job->error = g_error_copy(error);
}

/* Under the lock. */
static gboolean
has_waiters(Scan *scan, guint64 key)
{
	const Job *job = g_hash_table_lookup(scan->jobs, &key);

	return job != NULL && job->waiters->len > 0;
}

static gboolean
is_awaited(Scan *scan, guint64 key)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);

	return has_waiters(scan, key);
}

/* TRUE: the body is in the cache; @body is for those who wait for it. */
static gboolean
keep_body(Fetch *fetch, guint32 uid, gboolean awaited, Body **body)
{
	BodyWriter *writer = g_steal_pointer(&fetch->writer);
	Scan *scan = fetch->scan;
	guint64 size;
	guint32 crc;

	if (writer == NULL)
		return FALSE;
	if (awaited)
		*body = body_writer_commit(writer, uid, &size, &crc, &fetch->disk_error);
	else if (!body_writer_keep(writer, uid, &size, &crc, &fetch->disk_error))
		return FALSE;
	if (awaited && *body == NULL)
		return FALSE;
	fetch->size = size;
	fetch->crc = crc;
	scan->fetched(scan->user, fetch->place.serial, uid, size, crc);
	return TRUE;
}

/* Under the lock. */
static void
note_late(Scan *scan, guint64 key, guint64 size, guint32 crc)
{
	ScanLate *late = &scan->late[scan->n_fetched % SCAN_LATE];

	if (g_hash_table_lookup(scan->lately, &late->key) == late)
		g_hash_table_remove(scan->lately, &late->key);
	*late = (ScanLate){key, size, crc};
	g_hash_table_replace(scan->lately, &late->key, late);
}

static void
on_body_done(gpointer user, guint32 uid, const GError *error)
{
	Fetch *fetch = user;
	Scan *scan = fetch->scan;
	guint64 key = key_of(fetch->place.serial, uid);
	g_autoptr(Body) body = NULL;
	gboolean kept, came;
	Job *job;

	if (error != NULL) {
		/* The end of the request tells those who wait. */
		g_clear_pointer(&fetch->writer, body_writer_abort);
		note_void(fetch, uid, error);
		return;
	}
	kept = keep_body(fetch, uid, is_awaited(scan, key), &body);
	g_mutex_lock(&scan->lock);
	if (kept)
		note_late(scan, key, fetch->size, fetch->crc);
	scan->n_fetched++;
	came = kept && body == NULL && has_waiters(scan, key);
	job = came ? NULL : job_steal(scan, key);
	g_mutex_unlock(&scan->lock);
	if (came) {
		body = bodies_get(scan->bodies, fetch->place.serial, uid, fetch->size, fetch->crc);
		/* Evicted at once: the end of the request asks again, for those who wait. */
		if (body == NULL)
			return;
		g_mutex_lock(&scan->lock);
		job = job_steal(scan, key);
		g_mutex_unlock(&scan->lock);
	}
	uidset_remove(fetch->wanted, uid, uid);
	if (job != NULL)
		job_end(job, body, body != NULL ? NULL : fetch->disk_error);
}

/* The line went, or the server left some out: those without waiters are dropped, the others asked
 * for again. */
static void
on_fetch_done(gpointer user, const MailboxState *state, const GError *error)
{
	Fetch *fetch = user;
	Scan *scan = fetch->scan;
	gboolean transient =
		error == NULL || g_error_matches(error, MAILFS_ERROR, MAILFS_ERROR_OFFLINE);
	g_autoptr(UidSet) again = uidset_new();
	g_autoptr(GError) gone = g_error_new(
		MAILFS_ERROR, MAILFS_ERROR_NOT_FOUND,
		"the server did not return the message: it was deleted meanwhile, or is withheld");

	for (guint i = 0; i < uidset_n_ranges(fetch->wanted); i++) {
		guint32 first, last;

		uidset_range(fetch->wanted, i, &first, &last);
		for (guint64 uid = first; uid <= last; uid++) {
			guint64 key = key_of(fetch->place.serial, uid);
			Job *job;

			g_mutex_lock(&scan->lock);
			job = g_hash_table_lookup(scan->jobs, &key);
			if (job != NULL && job->waiters->len > 0 && transient &&
			    ++job->tries < (error == NULL ? TRIES : TRIES_LOST)) {
				uidset_add(again, uid, uid);
				job = NULL;
			} else {
				job = job_steal(scan, key);
			}
			g_mutex_unlock(&scan->lock);
			if (job != NULL)
				job_end(job, NULL,
					error != NULL	     ? error
					: job->error != NULL ? job->error
							     : gone);
		}
	}
	scan->fetched(scan->user, fetch->place.serial, 0, 0, 0);
	if (!uidset_is_empty(again))
		fetch_submit(scan, &fetch->place, g_steal_pointer(&again), REQUEST_NOW);
	fetch_free(fetch);
}

static const RequestEvents fetch_events = {
	.body_open = on_body_open,
	.body_data = on_body_data,
	.body_done = on_body_done,
	.done = on_fetch_done,
};

/* Under the lock. */
static Job *
job_new(Scan *scan, guint64 key)
{
	Job *job = g_new0(Job, 1);

	job->key = key;
	job->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	g_hash_table_insert(scan->jobs, &job->key, job);
	return job;
}

/* The body, when it came between the caller's look into the cache and now; else NULL. */
static Body *
take_late(Scan *scan, guint32 serial, guint32 uid)
{
	guint64 key = key_of(serial, uid);
	ScanLate found = {0};
	ScanLate *late;

	g_mutex_lock(&scan->lock);
	late = g_hash_table_lookup(scan->lately, &key);
	if (late != NULL) {
		found = *late;
		g_hash_table_remove(scan->lately, &key);
	}
	g_mutex_unlock(&scan->lock);
	return found.key != 0 ? bodies_get(scan->bodies, serial, uid, found.size, found.crc) : NULL;
}

void
scan_get(Scan *scan, const ScanPlace *place, guint32 uid, ScanDone done, gpointer user)
{
	guint64 key = key_of(place->serial, uid);
	Body *late = take_late(scan, place->serial, uid);
	Waiter waiter = {done, user};
	gboolean urgent = FALSE;
	Growth *growth;
	Job *job;

	if (late != NULL) {
		done(user, late, NULL);
		return;
	}
	g_mutex_lock(&scan->lock);
	growth = join_growth(scan, key);
	if (growth != NULL) {
		g_mutex_unlock(&scan->lock);
		growth_want(growth, 0, GROWTH_ALL, on_growth_whole,
			    growth_wait_new(growth, NULL, done, user));
		return;
	}
	job = g_hash_table_lookup(scan->jobs, &key);
	if (job == NULL && g_hash_table_contains(scan->lately, &key)) {
		/* It came just now. */
		g_mutex_unlock(&scan->lock);
		scan_get(scan, place, uid, done, user);
		return;
	}
	if (job == NULL) {
		job = job_new(scan, key);
		urgent = TRUE;
	} else if (job->waiters->len == 0) {
		job_awaited(scan, job);
	}
	g_array_append_val(job->waiters, waiter);
	g_mutex_unlock(&scan->lock);

	if (urgent) {
		UidSet *one = uidset_new();

		uidset_add(one, uid, uid);
		fetch_submit(scan, place, one, REQUEST_NOW);
	} else {
		pool_promote(scan->pool, place->mailbox, uid);
	}
}

/* Under the lock. FALSE: enough is on the way. */
static gboolean
add_ahead(Scan *scan, const ScanPlace *place, const ScanWish *wish, UidSet *set)
{
	guint64 key = key_of(place->serial, wish->uid);
	Job *job;

	if (g_hash_table_contains(scan->jobs, &key) || g_hash_table_contains(scan->growths, &key) ||
	    g_hash_table_contains(scan->lately, &key))
		return TRUE;
	if (scan->idle_jobs >= SCAN_AHEAD_MAX ||
	    (scan->idle_jobs > 0 && scan->idle_bytes + wish->size > SCAN_AHEAD_BYTES))
		return FALSE;
	job = job_new(scan, key);
	job->size = wish->size;
	scan->idle_jobs++;
	scan->idle_bytes += wish->size;
	uidset_add(set, wish->uid, wish->uid);
	return TRUE;
}

guint
scan_ahead(Scan *scan, const ScanPlace *place, const ScanWish *wishes, guint n, gboolean backward)
{
	g_autoptr(UidSet) set = uidset_new();
	guint taken = 0;

	g_mutex_lock(&scan->lock);
	while (taken < n && add_ahead(scan, place, &wishes[backward ? n - 1 - taken : taken], set))
		taken++;
	g_mutex_unlock(&scan->lock);
	if (!uidset_is_empty(set))
		fetch_submit(scan, place, g_steal_pointer(&set), REQUEST_SOON);
	return taken;
}

guint
scan_room(Scan *scan)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);

	return SCAN_AHEAD_MAX - MIN(SCAN_AHEAD_MAX, scan->idle_jobs);
}

ScanStatus
scan_status(Scan *scan)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&scan->lock);

	return (ScanStatus){.on_the_way = g_hash_table_size(scan->jobs) +
					  g_hash_table_size(scan->growths),
			    .fetched = scan->n_fetched};
}
