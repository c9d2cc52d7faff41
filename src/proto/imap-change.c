/* SPDX-License-Identifier: MIT */
/* STORE, COPY, MOVE and EXPUNGE: what is done to messages by UID.
 *
 * The mailbox is SELECTed and its numbering compared before the first command that changes
 * something is written: nothing of that kind is ever pipelined behind a SELECT without an answer.
 * Large sets are cut into parts, one command each, which travel together.
 *
 * A message leaves by UID MOVE; else by UID COPY and, only after its OK, \Deleted and UID EXPUNGE
 * of exactly that set. Where there is no UID EXPUNGE, a bare EXPUNGE takes all that carries
 * \Deleted, somebody else's too. So it is sent only when a search has just shown that all of that
 * is ours; else our messages stay behind, marked. Whoever marks a message between that search and
 * the EXPUNGE loses it: IMAP without UIDPLUS has no better way. */
#include "proto/imap-private.h"

#include <string.h>

#define MAX_SET	   7900 /* servers take commands of 8,000 bytes */
#define MAX_RANGES 500000

/* A command's step says which of these it is, and of which part. */
enum {
	STEP_SELECT,
	STEP_NOOP,
	STEP_ADD,
	STEP_REMOVE,
	STEP_COPY,
	STEP_MOVE,
	STEP_MARK,
	STEP_EXPUNGE,
	STEP_SEARCH,
	STEP_EXPUNGE_ALL,
	STEP_BITS = 4,
};

typedef struct {
	UidSet *uids;	 /* as asked for; behind a COPY, what was copied of them */
	UidSet *pending; /* no COPYUID has named them yet */
	gboolean told;	 /* COPYUID came */
	gboolean odd;	 /* and could not be believed */
	gboolean failed; /* STORE was refused */
	guint expunged;	 /* EXPUNGE responses to UID EXPUNGE */
	gboolean again;	 /* that was asked for twice */
} Part;

typedef struct {
	GPtrArray *parts;
	UidSet *marked;	   /* carry \Deleted by our hand, and nobody was told what became of it */
	UidSet *found;	   /* all that carries \Deleted */
	gboolean answered; /* the search, by a response that was understood */
	guint64 dropped;   /* responses not understood when it began */
	gboolean searched; /* once is enough */
	gboolean by_uid;   /* UID EXPUNGE is there */
	UidSet *vanished;  /* of our UIDs, told by VANISHED */
} Change;

static const ImapTaskOps change_ops;

static void
part_free(gpointer data)
{
	Part *part = data;

	uidset_free(part->uids);
	uidset_free(part->pending);
	g_free(part);
}

/* Sets
 * -----------------------------------------------------------------------------------------------------------
 */

static void
cut_into_parts(Change *change, const UidSet *uids)
{
	guint next = 0;

	while (next < uidset_n_ranges(uids)) {
		guint begin = next;
		g_autofree char *text = uidset_format(uids, &next, MAX_SET);
		Part *part = g_new0(Part, 1);

		part->uids = uidset_new();
		for (guint i = begin; i < next; i++) {
			guint32 first;
			guint32 last;

			uidset_range(uids, i, &first, &last);
			uidset_add(part->uids, first, last);
		}
		part->pending = uidset_copy(part->uids);
		g_ptr_array_add(change->parts, part);
	}
}

/* Asking
 * ----------------------------------------------------------------------------------------------------------
 */

static Part *
part_at(const ImapTask *task, guint i)
{
	const Change *change = task->own;

	return g_ptr_array_index(change->parts, i);
}

static void
fail(ImapTask *task, GError *error)
{
	if (error != NULL)
		imap_task_fail(task, error);
}

/* "VERB set TEXT", or "VERB set mailbox". */
static void
ask_of(ImapBackend *self, ImapTask *task, guint step, guint i, const UidSet *uids, const char *verb,
       const char *text, const char *mailbox)
{
	ImapCommand *command = imap_command_new(self, verb);
	guint next = 0;
	g_autofree char *set = uidset_format(uids, &next, G_MAXSIZE);
	g_autoptr(GError) error = NULL;

	command->task = task;
	command->step = step | i << STEP_BITS;
	imap_writer_raw(command->writer, set);
	if (text != NULL)
		imap_writer_raw(command->writer, text);
	if (mailbox != NULL)
		imap_writer_mailbox(command->writer, mailbox);
	if (!imap_backend_submit(self, command, &error))
		fail(task, g_steal_pointer(&error));
}

static void
ask(ImapBackend *self, ImapTask *task, guint step, guint i, const char *verb, const char *text,
    const char *mailbox)
{
	ask_of(self, task, step, i, part_at(task, i)->uids, verb, text, mailbox);
}

static void
ask_store(ImapBackend *self, ImapTask *task, guint i)
{
	const Request *request = task->request;
	g_autofree char *add = imap_flags_format(request->add.flags, request->add.keywords);
	g_autofree char *removed =
		imap_flags_format(request->remove.flags, request->remove.keywords);
	g_autofree char *plus = g_strconcat("+FLAGS.SILENT ", add, NULL);
	g_autofree char *minus = g_strconcat("-FLAGS.SILENT ", removed, NULL);

	if (add != NULL)
		ask(self, task, STEP_ADD, i, "UID STORE", plus, NULL);
	if (removed != NULL)
		ask(self, task, STEP_REMOVE, i, "UID STORE", minus, NULL);
}

static void
ask_mark(ImapBackend *self, ImapTask *task, guint i)
{
	Change *change = task->own;
	g_autoptr(UidSet) fresh = uidset_copy(part_at(task, i)->uids);

	if (uidset_is_empty(fresh))
		return;
	if (task->request->marked != NULL)
		uidset_remove_all(fresh, task->request->marked);
	if (uidset_is_empty(fresh))
		uidset_add_all(change->marked, part_at(task, i)->uids);
	else
		ask_of(self, task, STEP_MARK, i, fresh, "UID STORE", "+FLAGS.SILENT (\\Deleted)",
		       NULL);
	/* Restricted to the same set, so it may travel along: where the STORE is refused it finds
	 * nothing, or what another has marked and we were to remove anyway. */
	if (change->by_uid)
		ask(self, task, STEP_EXPUNGE, i, "UID EXPUNGE", NULL, NULL);
}

static void
begin(ImapBackend *self, ImapTask *task)
{
	const Request *request = task->request;
	Change *change = task->own;
	g_autoptr(GError) error = NULL;

	if (!imap_change_check_selected(self, request, &error)) {
		fail(task, g_steal_pointer(&error));
		return;
	}
	change->by_uid = imap_backend_can(self, "UIDPLUS");
	cut_into_parts(change, request->uids);
	for (guint i = 0; i < change->parts->len; i++) {
		if (request->kind == REQUEST_STORE)
			ask_store(self, task, i);
		else if (request->kind == REQUEST_EXPUNGE)
			ask_mark(self, task, i);
		else if (request->kind == REQUEST_MOVE && imap_change_moves(self))
			ask(self, task, STEP_MOVE, i, "UID MOVE", NULL, request->target);
		else
			ask(self, task, STEP_COPY, i, "UID COPY", NULL, request->target);
	}
}

static void
ask_search(ImapBackend *self, ImapTask *task)
{
	Change *change = task->own;
	g_autoptr(GError) error = NULL;

	change->searched = TRUE;
	change->dropped = imap_parser_dropped(self->parser);
	if (!imap_task_submit(
		    self, task, STEP_SEARCH, "UID SEARCH",
		    imap_backend_can(self, "ESEARCH") ? "RETURN (ALL) DELETED" : "DELETED", &error))
		fail(task, g_steal_pointer(&error));
}

/* Hearing
 * ---------------------------------------------------------------------------------------------------------
 */

/* SEARCH 1 2 3, or ESEARCH (TAG "m3") UID ALL 1:3. */
static void
take_search(Change *change, const ImapResponse *response)
{
	gboolean extended = imap_token_is_atom(&response->tokens[0], "ESEARCH");

	change->answered = TRUE;
	for (guint i = 1; i < response->n_tokens; i = imap_response_skip(response, i)) {
		const ImapToken *token = &response->tokens[i];
		g_autoptr(UidSet) uids = NULL;

		if (token->type != IMAP_TOKEN_ATOM ||
		    (extended && !imap_token_is_atom(token - 1, "ALL")))
			continue;
		uids = uidset_parse(token->text, token->size, MAX_RANGES);
		/* What cannot be read may be somebody else's. */
		if (uids == NULL)
			change->answered = FALSE;
		else
			uidset_add_all(change->found, uids);
	}
}

static void
take_vanished(ImapTask *task, const ImapResponse *response)
{
	const ImapToken *last = &response->tokens[response->n_tokens - 1];
	g_autoptr(UidSet) uids = NULL;
	g_autoptr(UidSet) ours = NULL;
	Change *change = task->own;

	if (response->n_tokens == 2 && last->type == IMAP_TOKEN_ATOM)
		uids = uidset_parse(last->text, last->size, MAX_RANGES);
	if (uids == NULL)
		return;
	ours = uidset_intersect(uids, task->request->uids);
	if (uidset_is_empty(ours))
		return;
	uidset_add_all(change->vanished, ours);
	uidset_remove_all(change->marked, ours);
	if (task->request->events->vanished != NULL)
		task->request->events->vanished(task->request->user, ours);
}

static gboolean
change_data(ImapBackend *self, ImapTask *task, const ImapResponse *response)
{
	const ImapToken *word = &response->tokens[0];
	const Request *request = task->request;
	Change *change = task->own;
	ImapItems items;

	if (change->searched &&
	    (imap_token_is_atom(word, "SEARCH") || imap_token_is_atom(word, "ESEARCH"))) {
		take_search(change, response);
		return TRUE;
	}
	/* Another task may have a share in it, and the rest of the world is told in any case. */
	if (imap_token_is_atom(word, "VANISHED")) {
		if (self->examine == NULL && change->parts->len > 0)
			take_vanished(task, response);
		return FALSE;
	}
	if (!imap_items_parse(response, &items, self->keywords) || items.uid == 0 ||
	    items.body != NULL || items.n_parts > 0 || items.header != NULL ||
	    items.fields != NULL || !uidset_contains(request->uids, items.uid))
		return FALSE;
	/* .SILENT is a wish; and MODSEQ comes all the same. */
	if (items.has_flags && request->events->flags != NULL)
		request->events->flags(request->user, items.uid, items.flags, self->keywords->str);
	else if (items.has_flags)
		return FALSE;
	return TRUE;
}

/* COPYUID numbering source target (RFC 4315 3). Believed only when it can be nothing but the
 * truth. */
static void
take_copyuid(ImapTask *task, Part *part, const char *code)
{
	const Request *request = task->request;
	guint32 uidvalidity = imap_code_uidvalidity(code);
	g_autoptr(UidSet) source = imap_code_uids(code, 0);
	g_autoptr(UidSet) target = imap_code_uids(code, 1);
	g_autoptr(UidSet) fresh = NULL;

	if (uidvalidity == 0 || source == NULL || target == NULL ||
	    uidset_count(source) != uidset_count(target) || !uidset_is_within(source, part->uids)) {
		part->odd = TRUE;
		return;
	}
	fresh = uidset_intersect(source, part->pending);
	/* Untagged before, and tagged again. */
	if (part->told && uidset_is_empty(fresh))
		return;
	if (!uidset_is_within(source, fresh)) {
		part->odd = TRUE;
		return;
	}
	part->told = TRUE;
	uidset_remove_all(part->pending, source);
	request->events->copied(request->user, source, uidvalidity, target);
}

static Part *
part_of(const ImapCommand *command)
{
	guint step = command->step & ((1 << STEP_BITS) - 1);

	return command->task != NULL && command->task->ops == &change_ops &&
			       (step == STEP_COPY || step == STEP_MOVE)
		       ? part_at(command->task, command->step >> STEP_BITS)
		       : NULL;
}

/* Dovecot answers what travels together before it ends the first of it: so the source tells whose
 * it is, else it is taken for that of the oldest. */
static void
take_untagged_copyuid(ImapBackend *self, const char *code)
{
	const ImapCommand *head = g_queue_peek_head(&self->commands);
	g_autoptr(UidSet) source = imap_code_uids(code, 0);

	for (GList *link = self->commands.head; source != NULL && link != NULL; link = link->next) {
		const Part *part = part_of(link->data);

		if (part == NULL || !uidset_is_within(source, part->pending))
			continue;
		head = link->data;
		break;
	}
	if (head != NULL && part_of(head) != NULL)
		take_copyuid(head->task, part_of(head), code);
}

void
imap_change_take_code(ImapBackend *self, const char *code, gboolean opening)
{
	if (imap_code_is(code, "COPYUID")) {
		take_untagged_copyuid(self, code);
	} else if (!opening && self->examine != NULL)
		return; /* late words about the mailbox before */
	else if (imap_code_is(code, "READ-ONLY"))
		self->writable = FALSE;
	else if (imap_code_is(code, "PERMANENTFLAGS")) {
		const char *list = strchr(code, '(');

		g_free(self->permanent_flags);
		self->permanent_flags =
			list != NULL ? g_strndup(list + 1, strcspn(list + 1, ")")) : NULL;
	}
}

/* Concluding
 * ------------------------------------------------------------------------------------------------------
 */

static GError *
refusal(const ImapBackend *self, const ImapCommand *command, const ImapResponse *tagged)
{
	return imap_refusal(self, tagged, command->verb,
			    tagged->status == IMAP_STATUS_NO ? MAILFS_ERROR_DENIED
							     : MAILFS_ERROR_PROTOCOL,
			    TRUE);
}

/* The server says that @uids are removed. VANISHED has told which; @expunges: EXPUNGE has told how
 * many. Where that does not add up, a sync has to look. */
static void
tell_gone(ImapBackend *self, ImapTask *task, const UidSet *uids, guint expunges)
{
	Change *change = task->own;
	g_autoptr(UidSet) gone = uidset_copy(uids);

	uidset_remove_all(change->marked, uids);
	if (!self->qresync && expunges >= uidset_count(uids) && expunges > 0 &&
	    task->request->events->vanished != NULL)
		task->request->events->vanished(task->request->user, gone);
	self->changed = TRUE;
}

static void
tell_marked(ImapTask *task, const UidSet *uids)
{
	Change *change = task->own;
	g_autoptr(UidSet) left = uidset_intersect(uids, change->marked);

	if (uidset_is_empty(left))
		return;
	uidset_remove_all(change->marked, left);
	if (task->request->events->marked != NULL)
		task->request->events->marked(task->request->user, left);
}

static void
store_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command, Part *part,
		const ImapResponse *tagged)
{
	const Request *request = task->request;
	gboolean last = (command->step & ((1 << STEP_BITS) - 1)) == STEP_REMOVE ||
			(request->remove.flags == 0 && request->remove.keywords == NULL);

	if (tagged->status != IMAP_STATUS_OK) {
		/* Some of them may have been changed. */
		self->changed = part->failed = TRUE;
		imap_task_fail(task, refusal(self, command, tagged));
	} else if (last && !part->failed && request->events->stored != NULL)
		request->events->stored(request->user, part->uids);
}

/* FALSE: the rest is not to be done. */
static gboolean
copy_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command, Part *part,
	       const ImapResponse *tagged)
{
	const Request *request = task->request;

	if (imap_code_is(tagged->code, "COPYUID"))
		take_copyuid(task, part, tagged->code);
	if (tagged->status != IMAP_STATUS_OK) {
		imap_task_fail(task, refusal(self, command, tagged));
		return FALSE;
	}
	if (uidset_is_empty(part->pending))
		return TRUE;
	if (!part->told || part->odd)
		request->events->copied(request->user, part->pending, 0, NULL);
	else
		uidset_remove_all(part->uids, part->pending); /* they were not there */
	return TRUE;
}

static void
move_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command, guint i,
	       const ImapResponse *tagged)
{
	Part *part = part_at(task, i);
	const Change *change = task->own;
	gboolean touched = self->expunges > 0 || !uidset_is_empty(change->vanished) || part->told;
	g_autoptr(GError) error = NULL;

	/* Offered, but not meant with UID. */
	if (tagged->status == IMAP_STATUS_BAD && !touched) {
		self->no_move = TRUE;
		if (imap_change_can_mark(self, &error))
			ask(self, task, STEP_COPY, i, "UID COPY", NULL, task->request->target);
		else
			fail(task, g_steal_pointer(&error));
		return;
	}
	/* OK, and nothing has gone or come: it was not there. Taken for a move whose COPYUID is
	 * missing, it would be looked for in vain. */
	if (tagged->status == IMAP_STATUS_OK && change->by_uid && !touched &&
	    !imap_code_is(tagged->code, "COPYUID")) {
		self->changed = TRUE;
		return;
	}
	if (copy_completed(self, task, command, part, tagged))
		tell_gone(self, task, part->uids, self->expunges);
	else if (touched && task->error != NULL)
		/* Half of the set may be there, half here. */
		task->error->code = MAILFS_ERROR_UNKNOWN_OUTCOME;
}

static void
mark_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command, Part *part,
	       const ImapResponse *tagged)
{
	Change *change = task->own;

	if (tagged->status == IMAP_STATUS_OK)
		uidset_add_all(change->marked, part->uids);
	else {
		self->changed = part->failed = TRUE;
		imap_task_fail(task, refusal(self, command, tagged));
	}
}

/* Dovecot now and then says OK, and has removed nothing of what it has just marked: what it did not
 * tell of is asked for once more. What is left then is gone by another's hand, or stays marked. */
static void
expunge_completed(ImapBackend *self, ImapTask *task, guint i, const ImapResponse *tagged)
{
	Part *part = part_at(task, i);
	const Change *change = task->own;
	g_autoptr(UidSet) left = uidset_copy(part->uids);

	part->expunged += self->expunges;
	if (self->qresync || part->expunged >= uidset_count(left))
		uidset_remove_all(left, self->qresync ? change->vanished : part->uids);
	/* Offered, and refused by some. */
	if (tagged->status != IMAP_STATUS_OK) {
		tell_marked(task, part->uids);
	} else if (uidset_is_empty(left) || part->failed) {
		tell_gone(self, task, part->uids, part->expunged);
	} else if (!part->again) {
		part->again = TRUE;
		ask_of(self, task, STEP_EXPUNGE, i, left, "UID EXPUNGE", NULL, NULL);
	} else {
		/* Those marked before may have been saved since. */
		if (task->request->marked != NULL)
			uidset_remove_all(left, task->request->marked);
		tell_marked(task, left);
		self->changed = TRUE;
	}
}

static void
search_completed(ImapBackend *self, ImapTask *task, const ImapResponse *tagged)
{
	Change *change = task->own;
	g_autoptr(GError) error = NULL;

	if (tagged->status == IMAP_STATUS_OK && change->answered &&
	    imap_parser_dropped(self->parser) == change->dropped &&
	    uidset_is_within(change->found, change->marked)) {
		if (!uidset_is_empty(change->found) &&
		    !imap_task_submit(self, task, STEP_EXPUNGE_ALL, "EXPUNGE", NULL, &error))
			fail(task, g_steal_pointer(&error));
		return;
	}
	tell_marked(task, change->marked);
}

static void
change_completed(ImapBackend *self, ImapTask *task, const ImapCommand *command,
		 const ImapResponse *tagged)
{
	Change *change = task->own;
	guint step = command->step & ((1 << STEP_BITS) - 1);
	guint i = command->step >> STEP_BITS;
	Part *part = step <= STEP_NOOP || step >= STEP_SEARCH ? NULL : part_at(task, i);
	gboolean ok = tagged->status == IMAP_STATUS_OK;

	switch (step) {
	case STEP_SELECT:
	case STEP_NOOP:
		if (ok && task->error == NULL)
			begin(self, task);
		break;
	case STEP_ADD:
	case STEP_REMOVE:
		store_completed(self, task, command, part, tagged);
		break;
	case STEP_COPY:
		/* Where COPYUID can be told and was not, perhaps nothing was copied. */
		if (copy_completed(self, task, command, part, tagged) &&
		    task->request->kind == REQUEST_MOVE && (part->told || !change->by_uid))
			ask_mark(self, task, i);
		break;
	case STEP_MOVE:
		move_completed(self, task, command, i, tagged);
		break;
	case STEP_MARK:
		mark_completed(self, task, command, part, tagged);
		break;
	case STEP_EXPUNGE:
		expunge_completed(self, task, i, tagged);
		break;
	case STEP_SEARCH:
		search_completed(self, task, tagged);
		break;
	default: /* STEP_EXPUNGE_ALL */
		if (ok)
			tell_gone(self, task, change->found, self->expunges);
		else
			tell_marked(task, change->marked);
		break;
	}
	if (task->commands == 0 && !change->searched && !change->by_uid &&
	    !uidset_is_empty(change->marked))
		ask_search(self, task);
}

/* Did anything leave us that changes something, and was not answered? */
static gboolean
change_lost(ImapBackend *self, ImapTask *task, const GError *why)
{
	Change *change = task->own;
	guint harmful = task->commands;

	for (GList *link = self->commands.head; link != NULL; link = link->next) {
		const ImapCommand *command = link->data;
		guint step = command->step & ((1 << STEP_BITS) - 1);

		if (command->task == task && (step <= STEP_NOOP || step == STEP_SEARCH ||
					      !imap_command_was_sent(self, command)))
			harmful--;
	}
	if (harmful == 0) {
		tell_marked(task, change->marked);
		return FALSE;
	}
	g_clear_error(&task->error);
	imap_task_fail(task, g_error_new(MAILFS_ERROR, MAILFS_ERROR_UNKNOWN_OUTCOME,
					 "the line to %s was lost while it was changing the "
					 "mailbox, which may or may not be done (%s)",
					 self->config->host, why->message));
	return FALSE;
}

static void
change_free(ImapTask *task)
{
	Change *change = task->own;

	g_ptr_array_unref(change->parts);
	uidset_free(change->marked);
	uidset_free(change->vanished);
	uidset_free(change->found);
	g_free(change);
}

static const ImapTaskOps change_ops = {
	.data = change_data,
	.completed = change_completed,
	.lost = change_lost,
	.free = change_free,
};

/* Starting
 * --------------------------------------------------------------------------------------------------------
 */

gboolean
imap_backend_is_changing(const ImapBackend *self)
{
	for (GList *link = self->tasks.head; link != NULL; link = link->next)
		if (((const ImapTask *)link->data)->ops == &change_ops)
			return TRUE;
	return FALSE;
}

/* Without UIDPLUS a search and a bare EXPUNGE are to come, and nothing must slip between. */
static gboolean
is_alone(const ImapBackend *self, const Request *request)
{
	return !imap_backend_can(self, "UIDPLUS") &&
	       (request->kind == REQUEST_MOVE || request->kind == REQUEST_EXPUNGE);
}

gboolean
imap_change_can_start(const ImapBackend *self, const Request *request)
{
	if (self->examine != NULL || imap_backend_is_searching(self))
		return FALSE;
	for (GList *link = self->tasks.head; link != NULL; link = link->next) {
		const ImapTask *task = link->data;

		if (imap_task_is_sync(task))
			return FALSE;
		if (task->ops == &change_ops &&
		    (is_alone(self, request) || is_alone(self, task->request)))
			return FALSE;
	}
	return TRUE;
}

/* What came after this line selected the mailbox it may not see yet: then a server says OK, has
 * done nothing, and sees the message when the next command comes, which removes it. So it is made
 * to look first. */
static gboolean
may_be_unseen(const ImapBackend *self, const UidSet *uids)
{
	guint32 first, last;

	uidset_range(uids, uidset_n_ranges(uids) - 1, &first, &last);
	return self->mailbox.uidnext == 0 || last >= self->mailbox.uidnext;
}

void
imap_task_start_change(ImapBackend *self, Request *request)
{
	Change *change = g_new0(Change, 1);
	ImapTask *task = imap_task_new(self, request, &change_ops, change);
	g_autoptr(GError) error = NULL;

	change->parts = g_ptr_array_new_with_free_func(part_free);
	change->marked = uidset_new();
	change->vanished = uidset_new();
	change->found = uidset_new();
	if (imap_change_check(self, request, &error) && request->uids != NULL &&
	    !uidset_is_empty(request->uids)) {
		gboolean selected = imap_backend_is_selected(self, request);

		if (imap_backend_examine(self, task, STEP_SELECT, NULL, &error) && selected) {
			if (may_be_unseen(self, request->uids))
				imap_task_submit(self, task, STEP_NOOP, "NOOP", NULL, &error);
			else
				begin(self, task);
		}
	}
	if (error != NULL)
		imap_task_fail(task, g_steal_pointer(&error));
	imap_task_settle(self, task);
}
