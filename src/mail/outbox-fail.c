/* SPDX-License-Identifier: MIT */
/* What cannot be sent lies in failed/, beside a page that says why. */
#include "mail/outbox-private.h"

#include <string.h>

#include "base/util.h"

#define PAGE_TAIL      ".why"
#define NAME_MAX_BYTES 255

/* An Upload with the page's text, in no table yet. NULL: the disk has no room for it. */
static Upload *
page_new(Outbox *outbox, const char *text)
{
	g_autoptr(GError) error = NULL;
	g_auto(UtilFd) fd = -1;
	guint32 id = spool_add(outbox->uploads->spool, &fd, &error);
	Upload *page;

	if (id == 0 || !upload_check_write(fd, text, strlen(text), 0, &error) ||
	    !spool_sync(outbox->uploads->spool, id, fd, &error)) {
		g_debug("outbox: %s", error->message);
		return NULL;
	}
	page = upload_new(outbox->uploads, id);
	page->state = SPOOL_KEPT;
	page->size = strlen(text);
	return page;
}

static char *
page_name(const char *name)
{
	gsize len = strlen(name);
	g_autofree char *cut = NULL;

	while (len + strlen(PAGE_TAIL) > NAME_MAX_BYTES)
		len = (gsize)(g_utf8_prev_char(name + len) - name);
	cut = g_strndup(name, len);
	return g_strconcat(cut, PAGE_TAIL, NULL);
}

/* Under the lock. @replaced: takes the page of that name that is there. */
static void
move_both(Outbox *outbox, Upload *upload, Upload *page, GPtrArray *replaced)
{
	Folder *folder = uploads_folder(outbox->uploads, outbox->failed);
	g_autofree char *name = uploads_free_name(folder, upload->name, upload->id);
	g_autofree char *why = page_name(name);
	Upload *there = g_hash_table_lookup(folder->by_name, why);

	upload_detach(upload);
	upload_attach(upload, folder, name);
	upload->state = SPOOL_KEPT;
	upload->under_way = FALSE;
	upload->retry_at = 0;
	upload->dirty = FALSE;
	if (page == NULL)
		return;
	if (there != NULL) {
		g_ptr_array_add(replaced, outbox_ref(there));
		upload_mark_over(there);
		g_hash_table_remove(folder->by_name, why);
	}
	upload_attach(page, folder, why);
}

/* At once, and of the new place first: whoever looks meanwhile finds it in one of the two. */
static void
tell_moved(Outbox *outbox, Upload *upload, Upload *page, const char *former)
{
	Uploads *uploads = outbox->uploads;
	g_autofree char *name = upload_name(upload);
	g_autofree char *why = page != NULL ? upload_name(page) : NULL;

	if (page != NULL)
		uploads->news->gone(uploads->user, outbox->failed, page->id, why);
	uploads->news->gone(uploads->user, outbox->failed, upload->id, name);
	uploads->news->gone(uploads->user, outbox->directory, upload->id, former);
	uploads_tell_changed(upload);
}

void
outbox_fail(Outbox *outbox, Upload *upload, const Verdict *verdict)
{
	Uploads *uploads = outbox->uploads;
	g_autofree char *text = verdict_page(verdict);
	g_autofree char *line = verdict_line(verdict);
	g_autofree char *former = upload_name(upload);
	g_autoptr(GPtrArray) replaced =
		g_ptr_array_new_with_free_func((GDestroyNotify)upload_unref);
	g_autoptr(GError) error = NULL;
	Upload *page = page_new(outbox, text);
	/* Somebody may remove it as soon as it is there. */
	g_autoptr(Upload) held = page != NULL ? upload_ref(page) : NULL;
	Upload *both[2] = {upload, page};

	uploads_log(uploads, upload, line);
	g_mutex_lock(&uploads->lock);
	upload_set_reason(upload, line);
	move_both(outbox, upload, page, replaced);
	g_mutex_unlock(&uploads->lock);
	tell_moved(outbox, upload, page, former);
	if (!uploads_save_and_drop(uploads, both, page != NULL ? 2 : 1, replaced, &error))
		g_debug("outbox: %s", error->message);
	for (guint i = 0; i < replaced->len; i++)
		uploads_end_replaced(uploads, replaced->pdata[i]);
	upload_tell_waiters(upload, NULL);
	outbox_tell(outbox, upload->id, OUTBOX_FAILED, verdict->code, verdict->enhanced,
		    verdict->text != NULL ? verdict->text : line);
}

static VerdictKind
kind_of(const GError *error, const Composed *composed)
{
	switch (error->domain == MAILFS_ERROR ? error->code : -1) {
	case MAILFS_ERROR_NO_RECIPIENT:
		return VERDICT_NO_RECIPIENT;
	case MAILFS_ERROR_INVALID:
		return VERDICT_INVALID;
	case MAILFS_ERROR_TOO_BIG:
		return VERDICT_TOO_BIG;
	case MAILFS_ERROR_DENIED:
		return VERDICT_NOT_ALLOWED;
	case MAILFS_ERROR_UNSUPPORTED:
		return composed != NULL && composed->smtputf8 ? VERDICT_NO_SMTPUTF8
							      : VERDICT_NO_8BITMIME;
	}
	return VERDICT_UNSENDABLE;
}

void
outbox_fail_error(Outbox *outbox, Upload *upload, const Composed *composed, const GError *error)
{
	Verdict verdict = {
		.kind = kind_of(error, composed),
		.server = outbox->smtp != NULL ? outbox->smtp->host : NULL,
		.detail = error->message,
		.size = upload->size,
		.limit = outbox->size_limit,
		.when = OUTBOX_WALL(),
	};

	if (composed != NULL) {
		verdict.sender = composed->sender;
		verdict.message_id = composed->message_id;
	}
	outbox_fail(outbox, upload, &verdict);
}

void
outbox_drop_page(Outbox *outbox, const char *name)
{
	g_autofree char *why = page_name(name);
	g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)upload_unref);
	Upload *page = uploads_find(outbox->uploads, outbox->failed, why);

	if (page == NULL)
		return;
	g_ptr_array_add(list, page);
	if (!uploads_end(outbox->uploads, list, NULL, NULL))
		g_debug("outbox: a page stays in the spool");
}
