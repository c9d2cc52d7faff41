/* SPDX-License-Identifier: MIT */
/* Which messages there are, and which UIDs they have.
 *
 * UIDL and LIST tell of all of them. As a rule that is enough: the names are those of the last
 * session, and so are the sizes. A message of another size is looked at. When it is not the one
 * that had this name, no name can be relied on: then all are looked at and known by their headers.
 *
 * Where there are no names (no UIDL, one name twice, or only the session's numbers), the number
 * serves as one. New mail comes at the end, so that the numbers are still right if the last message
 * that is known is where it was: only that one is looked at. */
#include "proto/pop-private.h"

#include <string.h>

#define MAX_MESSAGES 500000
#define MAX_KEYS     (48 * 1024 * 1024)
#define MAX_UIDL     255

enum { STEP_UIDL, STEP_LIST };

/* What the answers to UIDL and LIST say of a number. */
typedef struct {
	guint64 size;
	guint32 key; /* offset into PopDrop.keys; 0: none */
	gboolean is_there;
} PopTold;

static const PopTaskOps drop_ops;

void
pop_drop_init(PopDrop *drop)
{
	drop->messages = g_array_new(FALSE, TRUE, sizeof(PopMessage));
	drop->numbers = g_array_new(FALSE, FALSE, sizeof(guint32));
	drop->told = g_array_new(FALSE, TRUE, sizeof(PopTold));
	drop->keys = g_string_new_len("", 1);
	drop->by_uid = g_hash_table_new(NULL, NULL);
	drop->taken = uidset_new();
}

void
pop_drop_clear(PopDrop *drop)
{
	pop_look_clear(&drop->look);
	g_array_unref(drop->messages);
	g_array_unref(drop->numbers);
	g_array_unref(drop->told);
	g_string_free(drop->keys, TRUE);
	g_hash_table_unref(drop->by_uid);
	uidset_free(drop->taken);
	g_clear_error(&drop->error);
}

static PopMessage *
message_at(const PopBackend *self, guint entry)
{
	return &g_array_index(self->drop.messages, PopMessage, entry);
}

const PopMessage *
pop_drop_message(const PopBackend *self, guint entry)
{
	return message_at(self, entry);
}

guint32
pop_drop_number(const PopBackend *self, guint entry)
{
	return g_array_index(self->drop.numbers, guint32, entry);
}

const char *
pop_drop_uidl(const PopBackend *self, guint entry)
{
	return self->drop.named ? message_at(self, entry)->key + 1 : NULL;
}

gboolean
pop_drop_find(const PopBackend *self, guint32 uid, guint *entry_out)
{
	gpointer found = g_hash_table_lookup(self->drop.by_uid, GUINT_TO_POINTER(uid));

	if (found == NULL)
		return FALSE;
	*entry_out = GPOINTER_TO_UINT(found) - 1;
	return TRUE;
}

static void
set_uid(PopBackend *self, guint entry, guint32 uid)
{
	PopDrop *drop = &self->drop;
	PopMessage *message = message_at(self, entry);

	if (message->uid != 0) {
		g_hash_table_remove(drop->by_uid, GUINT_TO_POINTER(message->uid));
		uidset_remove(drop->taken, message->uid, message->uid);
	}
	message->uid = uid;
	if (uid == 0)
		return;
	g_hash_table_insert(drop->by_uid, GUINT_TO_POINTER(uid), GUINT_TO_POINTER(entry + 1));
	uidset_add(drop->taken, uid, uid);
	if (uid >= drop->uidnext && uid < G_MAXUINT32)
		drop->uidnext = uid + 1;
}

static void
drop_fail(PopBackend *self, GError *error)
{
	self->drop.stage = POP_DROP_FAILED;
	self->drop.listener = NULL;
	self->base.leave = TRUE;
	if (self->drop.error == NULL)
		self->drop.error = error;
	else
		g_error_free(error);
}

/* What UIDL and LIST say
 * ----------------------------------------------------------------------------------------
 */

/* "12 whatever": *@rest_out is "whatever". NULL: not such a line, or too much of it. */
static PopTold *
told_of(PopBackend *self, const char *line, char **rest_out)
{
	gsize digits = strspn(line, "0123456789");
	g_autofree char *number = g_strndup(line, MIN(digits, 10));
	GArray *told = self->drop.told;
	guint64 n;

	if (line[digits] != ' ' && line[digits] != '\t' && line[digits] != '\0')
		return NULL;
	if (digits > 10 || !g_ascii_string_to_unsigned(number, 10, 1, G_MAXUINT32, &n, NULL))
		return NULL;
	if (n > MAX_MESSAGES) {
		drop_fail(self, g_error_new(MAILFS_ERROR, MAILFS_ERROR_TOO_BIG,
					    "the maildrop at %s holds more than %d messages",
					    self->config->host, MAX_MESSAGES));
		return NULL;
	}
	if (n > told->len)
		g_array_set_size(told, (guint)n);
	*rest_out = g_strstrip(g_strdup(line + digits));
	return &g_array_index(told, PopTold, n - 1);
}

static gboolean
is_name(const char *text)
{
	gsize len = strlen(text);

	for (gsize i = 0; i < len; i++)
		if (g_ascii_iscntrl(text[i]))
			return FALSE;
	return len > 0 && len <= MAX_UIDL;
}

static void
take_uidl(PopBackend *self, const char *line)
{
	PopDrop *drop = &self->drop;
	g_autofree char *name = NULL;
	PopTold *told = told_of(self, line, &name);

	if (told == NULL)
		return;
	told->is_there = TRUE;
	if (!is_name(name) || told->key != 0 || drop->keys->len + MAX_UIDL > MAX_KEYS) {
		drop->no_uidl = TRUE;
		return;
	}
	told->key = (guint32)drop->keys->len;
	g_string_append_c(drop->keys, 'u');
	g_string_append_len(drop->keys, name, (gssize)strlen(name) + 1);
}

static void
take_size(PopBackend *self, const char *line)
{
	g_autofree char *rest = NULL;
	PopTold *told = told_of(self, line, &rest);

	if (told == NULL)
		return;
	told->is_there = TRUE;
	rest[strcspn(rest, " \t")] = '\0';
	if (!g_ascii_string_to_unsigned(rest, 10, 0, G_MAXINT64, &told->size, NULL))
		told->size = 0;
}

/* Each has a name of its own, and they are no mere numbers. */
static gboolean
are_named(const PopDrop *drop)
{
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	gboolean mere_numbers = TRUE;

	if (drop->no_uidl)
		return FALSE;
	for (guint i = 0; i < drop->told->len; i++) {
		const PopTold *told = &g_array_index(drop->told, PopTold, i);
		const char *key = drop->keys->str + told->key;
		char number[16];

		if (!told->is_there)
			continue;
		if (told->key == 0 || !g_hash_table_add(names, (gpointer)key))
			return FALSE;
		g_snprintf(number, sizeof number, "u%u", i + 1);
		mere_numbers = mere_numbers && strcmp(key, number) == 0;
	}
	return !mere_numbers;
}

static void
name_by_number(PopDrop *drop)
{
	g_string_truncate(drop->keys, 1);
	for (guint i = 0; i < drop->told->len; i++) {
		g_array_index(drop->told, PopTold, i).key = (guint32)drop->keys->len;
		g_string_append_printf(drop->keys, "n%u", i + 1);
		g_string_append_c(drop->keys, '\0');
	}
}

static gboolean
look_up(PopBackend *self, GError **error)
{
	const PopNumbers *numbers = self->config->numbers;
	PopDrop *drop = &self->drop;

	if (!numbers->open(numbers->user, &drop->uidvalidity, &drop->uidnext, error) ||
	    !numbers->look_up(numbers->user, (PopMessage *)(gpointer)drop->messages->data,
			      drop->messages->len, error))
		return FALSE;
	for (guint entry = 0; entry < drop->messages->len; entry++) {
		PopMessage *message = message_at(self, entry);
		guint32 uid = message->uid;

		message->uid = 0;
		if (uid != 0 && !uidset_contains(drop->taken, uid))
			set_uid(self, entry, uid);
	}
	return TRUE;
}

/* Checking
 * -------------------------------------------------------------------------------------------------------
 */

static void
checked(PopBackend *self, PopTask *task, guint entry, gboolean whole)
{
	const PopNumbers *numbers = self->config->numbers;
	PopDrop *drop = &self->drop;
	PopMessage *message = message_at(self, entry);
	PopIdentity identity;

	pop_header_identity(drop->look.header, &identity);
	if (!pop_identity_equal(&identity, &message->identity))
		drop->strange = TRUE;
	else if (message->size != message->known_size)
		numbers->resize(numbers->user, message->uid, message->size);
}

static void
not_checked(PopBackend *self, PopTask *task, guint entry, const PopReply *reply)
{
	if (!self->drop.named)
		self->drop.strange = TRUE;
}

static void
renew_look(PopDrop *drop)
{
	pop_look_clear(&drop->look);
	drop->look = (PopLook){0};
	pop_look_init(&drop->look);
}

static void
begin_checking(PopBackend *self)
{
	PopDrop *drop = &self->drop;
	guint n = drop->messages->len;

	renew_look(drop);
	drop->look.header_came = checked;
	drop->look.refused = not_checked;
	for (guint entry = n; entry > 0; entry--) {
		const PopMessage *message = message_at(self, entry - 1);

		if (message->uid == 0 || (drop->named && message->size == message->known_size))
			continue;
		pop_look_add(&drop->look, entry - 1);
		if (!drop->named)
			break;
	}
	drop->stage = POP_DROP_CHECKING;
}

static void
end_checking(PopBackend *self)
{
	PopDrop *drop = &self->drop;

	drop->stage = POP_DROP_MAPPED;
	if (!drop->strange)
		return;
	g_debug("pop %s: the names are not those of the last session", self->config->host);
	for (guint entry = 0; entry < drop->messages->len; entry++)
		set_uid(self, entry, 0);
}

/* Both have been answered. */
static void
end_listing(PopBackend *self)
{
	PopDrop *drop = &self->drop;
	g_autoptr(GError) error = NULL;

	if (drop->no_list && drop->no_uidl) {
		drop_fail(self, g_steal_pointer(&drop->error));
		return;
	}
	g_clear_error(&drop->error);
	drop->named = are_named(drop);
	if (!drop->named)
		name_by_number(drop);
	for (guint i = 0; i < drop->told->len; i++) {
		const PopTold *told = &g_array_index(drop->told, PopTold, i);
		PopMessage message = {.key = drop->keys->str + told->key, .size = told->size};
		guint32 number = i + 1;

		if (!told->is_there)
			continue;
		g_array_append_val(drop->messages, message);
		g_array_append_val(drop->numbers, number);
	}
	g_array_set_size(drop->told, 0);
	if (look_up(self, &error))
		begin_checking(self);
	else
		drop_fail(self, g_steal_pointer(&error));
}

/* Naming
 * ---------------------------------------------------------------------------------------------------------
 */

static void
named(PopBackend *self, PopTask *task, guint entry, gboolean whole)
{
	const PopNumbers *numbers = self->config->numbers;
	PopDrop *drop = &self->drop;
	PopMessage *message = message_at(self, entry);
	g_autoptr(GError) error = NULL;
	PopIdentity identity;
	guint32 uid;

	if (drop->stage == POP_DROP_FAILED)
		return;
	pop_header_identity(drop->look.header, &identity);
	if (message->uid == 0 || !pop_identity_equal(&identity, &message->identity)) {
		set_uid(self, entry, 0);
		uid = numbers->give(numbers->user, message, &identity, drop->taken, &error);
		if (uid == 0) {
			drop_fail(self, g_steal_pointer(&error));
			return;
		}
		message->identity = identity;
		set_uid(self, entry, uid);
	}
	if (drop->listener != NULL)
		pop_sync_header(self, drop->listener, entry, whole);
}

static void
named_body(PopBackend *self, PopTask *task, const guint8 *data, gsize len)
{
	if (self->drop.listener != NULL)
		pop_sync_body(self, self->drop.listener, data, len);
}

static void
named_body_end(PopBackend *self, PopTask *task, guint entry)
{
	if (self->drop.listener != NULL)
		pop_sync_body_end(self, self->drop.listener, entry);
}

static void
not_named(PopBackend *self, PopTask *task, guint entry, const PopReply *reply)
{
	PopDrop *drop = &self->drop;
	guint32 uid = message_at(self, entry)->uid;

	g_debug("pop %s: message %u cannot be looked at", self->config->host,
		pop_drop_number(self, entry));
	drop->skipped = TRUE;
	if (uid != 0 && (drop->skipped_uid == 0 || uid < drop->skipped_uid))
		drop->skipped_uid = uid;
}

void
pop_drop_name(PopBackend *self, PopTask *listener, guint32 from)
{
	PopDrop *drop = &self->drop;

	renew_look(drop);
	drop->look.header_came = named;
	drop->look.body = named_body;
	drop->look.body_end = named_body_end;
	drop->look.refused = not_named;
	drop->listener = listener;
	drop->skipped = FALSE;
	drop->skipped_uid = 0;
	drop->stage = POP_DROP_NAMING;
	for (guint entry = 0; entry < drop->messages->len; entry++) {
		guint32 uid = message_at(self, entry)->uid;

		if (uid == 0 || uid >= from)
			pop_look_add(&drop->look, entry);
	}
}

static void
end_naming(PopBackend *self)
{
	const PopNumbers *numbers = self->config->numbers;
	PopDrop *drop = &self->drop;

	drop->stage = POP_DROP_KNOWN;
	if (!drop->skipped)
		numbers->settle(numbers->user, drop->taken);
	if (drop->listener != NULL)
		pop_sync_named(self, g_steal_pointer(&drop->listener));
}

/* The task
 * -------------------------------------------------------------------------------------------------------
 */

static gboolean
drop_next(PopBackend *self, PopTask *task)
{
	PopDrop *drop = &self->drop;

	switch (drop->stage) {
	case POP_DROP_LISTING:
		if (!drop->asked_uidl) {
			drop->asked_uidl = TRUE;
			/* Old servers have no CAPA and may have UIDL all the same. */
			drop->no_uidl = self->capabilities_known && !pop_backend_can(self, "UIDL");
			if (!drop->no_uidl) {
				pop_task_send(self, task, STEP_UIDL, POP_FOLLOWS_LINES, "UIDL",
					      "UIDL");
				return TRUE;
			}
		}
		if (drop->asked_list)
			return FALSE;
		drop->asked_list = TRUE;
		pop_task_send(self, task, STEP_LIST, POP_FOLLOWS_LINES, "LIST", "LIST");
		return TRUE;
	case POP_DROP_CHECKING:
	case POP_DROP_NAMING:
		return pop_look_next(self, task, &drop->look);
	case POP_DROP_UNKNOWN:
	case POP_DROP_MAPPED:
	case POP_DROP_KNOWN:
	case POP_DROP_FAILED:
		break;
	}
	return FALSE;
}

/* Moves on to the next stage where this one is over. */
static gboolean
drop_is_over(PopBackend *self, PopTask *task)
{
	PopDrop *drop = &self->drop;

	if (drop->stage == POP_DROP_LISTING && drop->asked_list)
		end_listing(self);
	if (drop->stage == POP_DROP_CHECKING && pop_look_is_over(&drop->look))
		end_checking(self);
	if (drop->stage == POP_DROP_NAMING && pop_look_is_over(&drop->look))
		end_naming(self);
	return FALSE;
}

static void
drop_reply(PopBackend *self, PopTask *task, PopCommand *command, const PopReply *reply)
{
	PopDrop *drop = &self->drop;

	if (command->step == POP_STEP_LOOK)
		pop_look_reply(self, task, &drop->look, command, reply);
	if (command->step == POP_STEP_LOOK || reply->status == POP_REPLY_OK)
		return;
	if (command->step == STEP_UIDL)
		drop->no_uidl = TRUE;
	else
		drop->no_list = TRUE;
	/* Counts when the other one is refused too. */
	g_clear_error(&drop->error);
	drop->error = pop_refusal(self, reply, command->verb, MAILFS_ERROR_PROTOCOL, TRUE);
}

static void
drop_line(PopBackend *self, PopTask *task, PopCommand *command, const char *text)
{
	if (self->drop.stage == POP_DROP_FAILED)
		return;
	if (command->step == STEP_UIDL)
		take_uidl(self, text);
	else
		take_size(self, text);
}

static void
drop_data(PopBackend *self, PopTask *task, PopCommand *command, const guint8 *data, gsize len)
{
	pop_look_data(self, task, &self->drop.look, command, data, len);
}

static void
drop_end(PopBackend *self, PopTask *task, PopCommand *command)
{
	if (command->step == POP_STEP_LOOK)
		pop_look_end(self, task, &self->drop.look, command);
}

static const PopTaskOps drop_ops = {
	.next = drop_next,
	.reply = drop_reply,
	.line = drop_line,
	.data = drop_data,
	.end = drop_end,
	.is_over = drop_is_over,
};

/* For the others
 * -------------------------------------------------------------------------------------------------
 */

/* All of @uids have been found, but those that are gone. */
static gboolean
are_found(const PopBackend *self, const UidSet *uids)
{
	g_autoptr(UidSet) found = uidset_intersect(self->drop.taken, uids);

	return uidset_count(found) == uidset_count(uids);
}

gboolean
pop_drop_is_ready(PopBackend *self, PopTask *task)
{
	PopDrop *drop = &self->drop;
	const Request *request = task->request;

	switch (drop->stage) {
	case POP_DROP_UNKNOWN:
		self->drop_task = pop_task_new(self, NULL, &drop_ops, NULL);
		drop->stage = POP_DROP_LISTING;
		drop->listed_at = g_get_monotonic_time();
		return FALSE;
	case POP_DROP_FAILED:
		pop_task_fail(task, g_error_copy(drop->error));
		return FALSE;
	case POP_DROP_LISTING:
	case POP_DROP_CHECKING:
		return FALSE;
	case POP_DROP_MAPPED:
	case POP_DROP_NAMING:
	case POP_DROP_KNOWN:
		break;
	}
	if (request->kind == REQUEST_SYNC)
		return drop->stage != POP_DROP_NAMING;
	if (request->uidvalidity != drop->uidvalidity) {
		pop_task_fail(task, g_error_new(MAILFS_ERROR, MAILFS_ERROR_STALE,
						"the messages have been numbered anew"));
		return FALSE;
	}
	if (drop->stage == POP_DROP_KNOWN || are_found(self, request->uids))
		return TRUE;
	/* It may be among those that have another name now. */
	if (drop->stage == POP_DROP_MAPPED)
		pop_drop_name(self, NULL, G_MAXUINT32);
	return FALSE;
}
