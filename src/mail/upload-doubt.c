/* SPDX-License-Identifier: MIT */
/* A file is written anew, or another takes its place, while nobody knows whether the server has it
 * as it was before: the line was lost while that was sent. Before the new one is sent the mailbox
 * is listed. What is found of the former one goes like any message that the file replaces: once the
 * new one is there. All of it under the lock. */
#include "mail/uploads-private.h"

#include <string.h>

void
upload_note_doubt(Upload *upload, const Upload *former)
{
	char *id = g_strdup(former->message_id);

	upload->doubt = TRUE;
	upload->doubt_size = former->size;
	/* What a copy of a message holds is not known here. */
	upload->doubt_crc = former->source_raw == NULL ? former->crc : 0;
	upload->doubt_time = former->mtime;
	g_free(upload->doubt_id);
	upload->doubt_id = id;
	upload->doubt_uid = 0;
	upload->before_validity = former->before_validity;
	upload->before_uidnext = former->before_uidnext;
	upload->not_before = MAX(upload->not_before, former->not_before);
}

void
upload_inherit_doubt(Upload *upload, const Upload *former)
{
	if (upload->doubt)
		return;
	if (former->state == SPOOL_STARTED) {
		upload_note_doubt(upload, former);
	} else if (former->doubt) {
		upload_note_doubt(upload, former);
		upload->doubt_size = former->doubt_size;
		upload->doubt_crc = former->doubt_crc;
		upload->doubt_time = former->doubt_time;
		upload->doubt_uid = former->doubt_uid;
		g_free(upload->doubt_id);
		upload->doubt_id = g_strdup(former->doubt_id);
	}
}

void
upload_look_if_in_doubt(Upload *upload)
{
	if (upload->state != SPOOL_QUEUED || !upload->doubt || upload->source_raw != NULL ||
	    upload->size != upload->doubt_size || upload->crc != upload->doubt_crc)
		return;
	/* The very same: what is found is this one. */
	upload->state = SPOOL_STARTED;
	upload->doubt = FALSE;
}

gboolean
upload_must_ask(const Upload *upload)
{
	return upload->doubt && upload->state == SPOOL_QUEUED;
}

void
upload_found_former(Upload *upload, guint32 validity, guint32 uid)
{
	upload->retry_at = upload->not_before = 0;
	upload->tries = 0;
	upload->unsaved = TRUE;
	/* It has taken the place of an older one already, which goes first. */
	if (uid != 0 && upload->replaces_uid != 0 && upload->replaces_validity == validity) {
		upload->doubt_uid = uid;
		return;
	}
	upload->doubt = FALSE;
	if (uid == 0)
		return;
	upload->replaces_validity = validity;
	upload->replaces_uid = uid;
}

gboolean
upload_end_older(Upload *upload)
{
	gboolean asked = upload_must_ask(upload);

	upload->replaces_uid = asked ? upload->doubt_uid : 0;
	upload->doubt = upload->doubt && !asked;
	upload->unsaved = TRUE;
	return !asked;
}
