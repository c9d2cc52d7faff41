/* SPDX-License-Identifier: MIT */
#include "fs/view.h"

#include <string.h>

static void
stat_common(const ViewHouse *house, guint64 ino, mode_t mode, gint64 time, struct stat *out)
{
	memset(out, 0, sizeof *out);
	out->st_ino = ino;
	out->st_mode = mode;
	out->st_nlink = 1;
	out->st_uid = house->uid;
	out->st_gid = house->gid;
	out->st_blksize = 4096;
	out->st_mtim.tv_sec = out->st_ctim.tv_sec = out->st_atim.tv_sec = time;
}

void
view_stat_file(const ViewHouse *house, guint64 ino, guint64 size, gint64 time, struct stat *out)
{
	stat_common(house, ino, house->file_mode, time, out);
	out->st_size = size;
	out->st_blocks = (size + 511) / 512;
}

void
view_stat_directory(const ViewHouse *house, guint64 ino, gint64 time, guint children,
		    struct stat *out)
{
	stat_common(house, ino, house->directory_mode & ~(mode_t)0222, time, out);
	out->st_nlink = 2 + children;
}

void
view_stat_link(const ViewHouse *house, guint64 ino, guint64 length, struct stat *out)
{
	stat_common(house, ino, S_IFLNK | 0777, house->started, out);
	out->st_size = length;
}

TreeAnswer
view_error(MailfsError code, const char *format, ...)
{
	TreeAnswer answer = {.result = TREE_ERROR};
	va_list args;

	va_start(args, format);
	answer.error = g_error_new_valist(MAILFS_ERROR, code, format, args);
	va_end(args);
	return answer;
}

static gboolean
wait_for_mailbox(gpointer wait_for, MailboxWake wake, gpointer user)
{
	return mailbox_wait(wait_for, wake, user);
}

TreeAnswer
view_later(Mailbox *mailbox)
{
	return (TreeAnswer){.result = TREE_LATER, .wait = wait_for_mailbox, .wait_for = mailbox};
}

TreeAnswer
view_unlisted(Mailbox *mailbox)
{
	TreeAnswer answer = {.result = TREE_ERROR, .error = mailbox_error(mailbox)};

	if (answer.error == NULL)
		answer.error = g_error_new(MAILFS_ERROR, MAILFS_ERROR_TIMEOUT,
					   "%s: the server has not listed it yet",
					   mailbox_file_name(mailbox));
	return answer;
}

TreeAnswer
view_open(const ViewHouse *house, Mailbox *mailbox, gboolean patient, MailboxView *view_out)
{
	mailbox_refresh(mailbox, mailbox_max_age(mailbox, account_dir_time(house->account)));
	mailbox_view(mailbox, view_out);
	if (view_out->syncing && view_out->listed && !view_out->late && patient)
		return view_later(mailbox);
	if (!view_out->listed && !view_out->syncing)
		return view_unlisted(mailbox);
	return (TreeAnswer){.result = TREE_OK};
}

TreeAnswer
view_refresh(const ViewHouse *house, Mailbox *mailbox, gboolean patient)
{
	MailboxView view;

	mailbox_refresh(mailbox, mailbox_max_age(mailbox, account_dir_time(house->account)));
	mailbox_view(mailbox, &view);
	if (view.syncing && patient && (!view.listed || !view.late))
		return view_later(mailbox);
	return view.listed ? (TreeAnswer){.result = TREE_OK} : view_unlisted(mailbox);
}
