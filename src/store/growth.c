/* SPDX-License-Identifier: MIT */
/* At most one request is under way. What it brings is written by its session's thread alone, and
 * between two requests by nobody, so the writer needs no lock. The frontier stays one octet behind
 * the end until the last response is judged and the body is in the cache: whoever has read all of
 * it, opens it from the cache the next time. */
#include "store/growth.h"

#include <errno.h>

#include "base/util.h"

#define FIRST_PART (256 * 1024)
#define REST_AFTER (4 * 1024 * 1024)   /* read in order: then the rest in one go */
#define PART_MAX   (128 * 1024 * 1024) /* at once */
/* A line lost under a part is not the reader's fault; lines fall together, and each may be given
 * the part before it is known to be dead. Without an octet more each time. */
#define TRIES 4

typedef enum {
	STAGE_PROOF, /* the beginning, and the end probed */
	STAGE_PARTS, /* the size is proved */
	STAGE_WHOLE, /* no proof, or no parts */
} Stage;

typedef struct {
	guint64 end;
	GrowthReady ready;
	gpointer user;
} Waiter;

struct Growth {
	gint refs; /* atomic */
	const GrowthHouse *house;
	GrowthMessage message;

	/* For the request under way. */
	BodyWriter *writer;
	guint64 written;
	guint64 before; /* written when it was asked */
	guint64 skip;	/* octets of it that are here already */
	gboolean good;	/* the part came and is right */
	gboolean proved;
	gboolean shown;	    /* readers were told of octets of it */
	GError *void_error; /* the part came and is void */
	GError *disk_error;

	GMutex lock; /* guards all below */
	Stage stage;
	guint readers;
	guint tries;
	gboolean busy;	/* a request is under way */
	gboolean sized; /* `size` is known */
	gboolean complete;
	GError *error; /* it has failed */
	gboolean left; /* by all, incomplete */
	guint64 size;
	guint64 frontier; /* octets that may be read */
	guint64 used;	  /* octets read in order */
	guint64 demand;	  /* octets wanted */
	guint64 part;	  /* octets to ask for next */
	int fd;
	GArray *waiters; /* of Waiter */
};

static const RequestEvents growth_events;

Growth *
growth_new(const GrowthHouse *house, const GrowthMessage *message)
{
	Growth *growth = g_new0(Growth, 1);

	growth->refs = 1;
	growth->house = house;
	growth->message = *message;
	growth->message.mailbox = g_strdup(message->mailbox);
	growth->readers = 1;
	growth->part = 2 * FIRST_PART;
	growth->fd = -1;
	growth->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	g_mutex_init(&growth->lock);
	return growth;
}

Growth *
growth_ref(Growth *growth)
{
	g_atomic_int_inc(&growth->refs);
	return growth;
}

void
growth_unref(Growth *growth)
{
	if (!g_atomic_int_dec_and_test(&growth->refs))
		return;
	body_writer_abort(growth->writer);
	util_close_fd(&growth->fd);
	g_clear_error(&growth->void_error);
	g_clear_error(&growth->disk_error);
	g_clear_error(&growth->error);
	g_array_unref(growth->waiters);
	g_mutex_clear(&growth->lock);
	g_free((char *)growth->message.mailbox);
	g_free(growth);
}

guint32
growth_serial(const Growth *growth)
{
	return growth->message.serial;
}

guint32
growth_uid(const Growth *growth)
{
	return growth->message.uid;
}

/* --- asking --- */

/* Under the lock. */
static guint64
next_length(Growth *growth)
{
	guint64 left = growth->size - growth->written;
	guint64 length = growth->part;

	if (growth->used >= REST_AFTER || growth->part > REST_AFTER)
		length = left;
	else if (growth->demand > growth->written)
		length = MAX(length, growth->demand - growth->written);
	growth->part = MIN(growth->part * 2, PART_MAX);
	return MIN(MIN(length, left), PART_MAX);
}

/* When the readers have used half of what is here the next part should be on its way. Under the
 * lock. */
static gboolean
is_due(const Growth *growth)
{
	if (growth->busy || growth->complete || growth->error != NULL || growth->left ||
	    growth->readers == 0)
		return FALSE;
	return growth->stage != STAGE_PARTS || growth->demand > growth->written ||
	       growth->used >= growth->written / 2;
}

/* NULL: nothing is to be asked for now. Under the lock. */
static Request *
next_request(Growth *growth)
{
	Request *request;

	if (!is_due(growth))
		return NULL;
	request = request_new(REQUEST_PART, growth->message.mailbox, &growth_events,
			      growth_ref(growth));
	request->urgency = REQUEST_NOW;
	request->uidvalidity = growth->message.uidvalidity;
	request->uids = uidset_new();
	uidset_add(request->uids, growth->message.uid, growth->message.uid);
	if (growth->stage == STAGE_PROOF) {
		request->length = FIRST_PART;
		request->probe = growth->message.announced - 1;
	} else if (growth->stage == STAGE_PARTS) {
		request->offset = growth->written;
		request->length = next_length(growth);
	}
	growth->busy = TRUE;
	growth->before = growth->written;
	growth->good = growth->proved = growth->shown = FALSE;
	growth->skip = 0;
	g_clear_error(&growth->void_error);
	return request;
}

/* --- telling --- */

/* Under the lock. */
static gboolean
is_here(const Growth *growth, guint64 end)
{
	if (end == GROWTH_ALL)
		return growth->complete;
	return growth->sized && MIN(end, growth->size) <= growth->frontier;
}

/* Those whose wait is over. (transfer full) Under the lock. */
static GArray *
steal_satisfied(Growth *growth)
{
	GArray *satisfied = g_array_new(FALSE, FALSE, sizeof(Waiter));
	guint i = 0;

	while (i < growth->waiters->len) {
		Waiter *waiter = &g_array_index(growth->waiters, Waiter, i);

		if (growth->error != NULL || is_here(growth, waiter->end)) {
			g_array_append_val(satisfied, *waiter);
			g_array_remove_index(growth->waiters, i);
		} else {
			i++;
		}
	}
	return satisfied;
}

static void
tell(Growth *growth, GArray *satisfied)
{
	for (guint i = 0; i < satisfied->len; i++) {
		Waiter *waiter = &g_array_index(satisfied, Waiter, i);

		/* One whose octets came before the failure was stolen before it. */
		waiter->ready(waiter->user, growth->error);
	}
	g_array_unref(satisfied);
}

static void
advance(Growth *growth)
{
	GArray *satisfied;

	g_mutex_lock(&growth->lock);
	growth->frontier = MIN(growth->written, growth->size - MIN(growth->size, 1));
	growth->shown = TRUE;
	satisfied = steal_satisfied(growth);
	g_mutex_unlock(&growth->lock);
	tell(growth, satisfied);
}

static void
set_size(Growth *growth, guint64 size)
{
	g_mutex_lock(&growth->lock);
	growth->size = size;
	growth->sized = TRUE;
	g_mutex_unlock(&growth->lock);
}

/* --- what comes --- */

/* Only while nobody has read: the file begins anew. */
static gboolean
begin_file(Growth *growth)
{
	int fd;

	body_writer_abort(growth->writer);
	growth->written = 0;
	growth->writer =
		body_writer_new(growth->house->bodies, growth->message.serial, &growth->disk_error);
	if (growth->writer == NULL)
		return FALSE;
	fd = body_writer_reader(growth->writer);
	if (fd < 0)
		g_set_error(&growth->disk_error, G_FILE_ERROR, g_file_error_from_errno(errno),
			    "cache: %s", g_strerror(errno));
	g_mutex_lock(&growth->lock);
	util_close_fd(&growth->fd);
	growth->fd = fd;
	g_mutex_unlock(&growth->lock);
	return fd >= 0;
}

static gboolean
odd_answer(GError **error, const char *what)
{
	g_set_error(error, MAILFS_ERROR, MAILFS_ERROR_PROTOCOL,
		    "the server's parts of a message do not fit together: %s", what);
	return FALSE;
}

static gboolean
on_part_open(gpointer user, guint32 uid, guint64 announced, GError **error)
{
	Growth *growth = user;

	/* What is shown at once must be known to be of this message. */
	if (uid == 0 && (growth->stage != STAGE_WHOLE || growth->sized))
		return odd_answer(error, "it tells late which message it is");
	if (growth->stage == STAGE_WHOLE && growth->sized && announced != growth->size)
		return odd_answer(error, "the message has another size now");
	if (growth->sized)
		growth->skip = growth->stage == STAGE_WHOLE ? growth->written : 0;
	else if (!begin_file(growth))
		return FALSE;
	if (growth->stage == STAGE_WHOLE && !growth->sized && uid != 0) {
		set_size(growth, announced);
		advance(growth);
	}
	return TRUE;
}

static gboolean
on_part_data(gpointer user, const guint8 *data, gsize len, GError **error)
{
	Growth *growth = user;
	gsize known = MIN(growth->skip, len);

	growth->skip -= known;
	data += known;
	len -= known;
	if (len == 0)
		return TRUE;
	if (!body_writer_write(growth->writer, data, len, &growth->disk_error))
		return FALSE;
	growth->written += len;
	if (growth->sized)
		advance(growth);
	return TRUE;
}

static void
on_part_done(gpointer user, guint32 uid, const GError *error)
{
	Growth *growth = user;

	if (error == NULL)
		growth->good = TRUE;
	else if (growth->void_error == NULL)
		growth->void_error = g_error_copy(error);
}

static void
on_probed(gpointer user, guint64 octets)
{
	Growth *growth = user;

	growth->proved = octets == 1;
}

/* --- the end of a request --- */

static GError *
gone_error(const Growth *growth)
{
	return g_error_new(MAILFS_ERROR,
			   growth->sized ? MAILFS_ERROR_STALE : MAILFS_ERROR_NOT_FOUND,
			   "the server did not return the message: it was deleted meanwhile, or "
			   "is withheld");
}

static gboolean
is_code(const GError *error, MailfsError code)
{
	return g_error_matches(error, MAILFS_ERROR, (int)code);
}

/* NULL: go on. (transfer full) */
static GError *
judge_good(Growth *growth)
{
	growth->tries = 0;
	switch (growth->stage) {
	case STAGE_PROOF:
		if (growth->proved && growth->written == FIRST_PART) {
			set_size(growth, growth->message.announced);
			growth->stage = STAGE_PARTS;
			advance(growth);
		} else {
			growth->stage = STAGE_WHOLE;
		}
		break;
	case STAGE_PARTS:
		if (growth->written == growth->before)
			growth->stage = STAGE_WHOLE;
		break;
	case STAGE_WHOLE:
		if (!growth->sized)
			set_size(growth, growth->written);
		break;
	}
	return NULL;
}

/* Why it has to end here; NULL: go on. (transfer full) */
static GError *
judge(Growth *growth, const GError *error)
{
	const GError *why = error != NULL ? error : growth->void_error;

	if (growth->disk_error != NULL)
		return g_error_copy(growth->disk_error);
	if (error == NULL && growth->good)
		return judge_good(growth);
	if (is_code(error, MAILFS_ERROR_OFFLINE)) {
		gboolean all = growth->sized && growth->written == growth->size;

		if (growth->written > growth->before)
			growth->tries = 0;
		return all || ++growth->tries < TRIES ? NULL : g_error_copy(error);
	}
	if (is_code(error, MAILFS_ERROR_TIMEOUT) || is_code(error, MAILFS_ERROR_STALE) ||
	    is_code(error, MAILFS_ERROR_LOGIN) || is_code(error, MAILFS_ERROR_TOKEN))
		return g_error_copy(error);
	/* The server has answered, but not with what was asked for. What readers were shown cannot
	 * be taken back. */
	if (growth->shown && why != NULL)
		return g_error_copy(why);
	if (growth->stage == STAGE_PROOF || (growth->stage == STAGE_PARTS && why != NULL)) {
		growth->stage = STAGE_WHOLE;
		return NULL;
	}
	if (growth->stage == STAGE_WHOLE && error == NULL && !growth->sized &&
	    ++growth->tries < TRIES)
		return NULL;
	return why != NULL ? g_error_copy(why) : gone_error(growth);
}

/* The readers have their descriptor whether the cache takes the body or not. */
static void
put_into_cache(Growth *growth)
{
	const GrowthHouse *house = growth->house;
	g_autoptr(GError) error = NULL;
	guint64 size;
	guint32 crc;

	if (!body_writer_keep(g_steal_pointer(&growth->writer), growth->message.uid, &size, &crc,
			      &error)) {
		g_debug("a body that grew is not kept: %s", error->message);
		return;
	}
	house->fetched(house->user, growth->message.serial, growth->message.uid, size, crc);
	house->fetched(house->user, growth->message.serial, 0, 0, 0);
}

static void
on_done(gpointer user, const MailboxState *state, const GError *error)
{
	g_autoptr(Growth) growth = user;
	g_autoptr(GError) failure = judge(growth, error);
	gboolean complete = failure == NULL && growth->sized && growth->written == growth->size;
	Request *next;
	GArray *satisfied;
	gboolean over;

	if (complete)
		put_into_cache(growth);
	g_mutex_lock(&growth->lock);
	growth->busy = FALSE;
	growth->complete = complete;
	growth->error = g_steal_pointer(&failure);
	if (complete)
		growth->frontier = growth->size;
	next = next_request(growth);
	growth->left = !complete && growth->error == NULL && growth->readers == 0;
	over = complete || growth->error != NULL || growth->left;
	satisfied = steal_satisfied(growth);
	g_mutex_unlock(&growth->lock);
	if (over)
		growth->house->over(growth->house->user, growth);
	tell(growth, satisfied);
	if (next != NULL)
		pool_submit(growth->house->pool, next);
}

static const RequestEvents growth_events = {
	.part_open = on_part_open,
	.part_data = on_part_data,
	.part_done = on_part_done,
	.probed = on_probed,
	.done = on_done,
};

/* --- readers --- */

gboolean
growth_join(Growth *growth)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&growth->lock);

	if (growth->error != NULL || growth->left)
		return FALSE;
	growth->readers++;
	growth_ref(growth);
	return TRUE;
}

void
growth_leave(Growth *growth)
{
	gboolean over;

	g_mutex_lock(&growth->lock);
	growth->readers--;
	over = growth->readers == 0 && !growth->busy && !growth->complete && growth->error == NULL;
	growth->left = growth->left || over;
	g_mutex_unlock(&growth->lock);
	if (over)
		growth->house->over(growth->house->user, growth);
	growth_unref(growth);
}

/* Under the lock. */
static void
note_use(Growth *growth, guint64 offset, guint64 end)
{
	growth->demand = MAX(growth->demand, end);
	if (offset <= growth->used)
		growth->used = MAX(growth->used, end);
}

void
growth_want(Growth *growth, guint64 offset, guint64 end, GrowthReady ready, gpointer user)
{
	Waiter waiter = {end, ready, user};
	Request *request;
	gboolean at_once;
	GError *error;

	g_mutex_lock(&growth->lock);
	note_use(growth, offset, end);
	error = is_here(growth, end) ? NULL : growth->error;
	at_once = error != NULL || is_here(growth, end);
	if (!at_once) {
		g_array_append_val(growth->waiters, waiter);
		/* Faster than the line: each further part would cost it a round trip. */
		if (growth->sized && growth->used >= end)
			growth->part = MAX(growth->part, REST_AFTER);
	}
	request = next_request(growth);
	g_mutex_unlock(&growth->lock);
	if (request != NULL)
		pool_submit(growth->house->pool, request);
	if (at_once)
		ready(user, error);
}

gboolean
growth_has(Growth *growth, guint64 offset, guint64 end)
{
	Request *request;
	gboolean here;

	g_mutex_lock(&growth->lock);
	note_use(growth, offset, end);
	here = is_here(growth, end);
	request = next_request(growth);
	g_mutex_unlock(&growth->lock);
	if (request != NULL)
		pool_submit(growth->house->pool, request);
	return here;
}

guint64
growth_size(Growth *growth)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&growth->lock);

	return growth->size;
}

int
growth_fd(Growth *growth)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&growth->lock);

	return growth->fd;
}
