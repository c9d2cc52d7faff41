/* SPDX-License-Identifier: MIT */
#include "fs/follow.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CPU_FIELD 39 /* of /proc/<thread>/stat, proc(5) */

FollowAdvice
follow_note(Follow *follow, guint32 client)
{
	if (client == 0)
		return FOLLOW_STAY;
	if (client != follow->client)
		follow->streak = 0;
	follow->client = client;
	follow->streak++;
	if (++follow->since < FOLLOW_EVERY)
		return FOLLOW_STAY;
	follow->since = 0;
	return follow->streak >= FOLLOW_EVERY ? FOLLOW_CLIENT : FOLLOW_RELEASE;
}

int
follow_parse_cpu(const char *stat)
{
	/* The name of the program, in parentheses, may hold anything. */
	const char *field = strrchr(stat, ')');
	char *end;
	long cpu;

	for (guint i = 2; field != NULL && i < CPU_FIELD; i++) {
		field = strchr(field, ' ');
		field = field != NULL ? field + 1 : NULL;
	}
	if (field == NULL || !g_ascii_isdigit(*field))
		return FOLLOW_NOBODY;
	cpu = strtol(field, &end, 10);
	return (*end == ' ' || *end == '\n') && cpu < CPU_SETSIZE ? (int)cpu : FOLLOW_NOBODY;
}

static int
cpu_of(Follower *follower, guint32 thread)
{
	char path[32], stat[1024];
	ssize_t n;

	if (thread != follower->thread) {
		g_snprintf(path, sizeof path, "/proc/%u/stat", thread);
		util_close_fd(&follower->stat);
		follower->stat = open(path, O_RDONLY | O_CLOEXEC);
		follower->thread = thread;
	}
	n = follower->stat >= 0 ? pread(follower->stat, stat, sizeof stat - 1, 0) : -1;
	if (n <= 0) {
		follower->thread = 0;
		return FOLLOW_NOBODY;
	}
	stat[n] = '\0';
	return follow_parse_cpu(stat);
}

static void
go_to_client(Follower *follower, guint32 client, const cpu_set_t *allowed)
{
	int now = cpu_of(follower, client);
	cpu_set_t set;

	if (now < 0 || !CPU_ISSET(now, allowed))
		return;
	g_atomic_int_set(&follower->beside, (gint)client);
	if (now == follower->cpu)
		return;
	CPU_ZERO(&set);
	CPU_SET(now, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0)
		return;
	if (follower->cpu != FOLLOW_NOBODY)
		g_atomic_int_inc(&follower->moves);
	g_atomic_int_set(&follower->cpu, now);
}

void
follower_stay(Follower *follower, const cpu_set_t *allowed)
{
	if (follower->cpu != FOLLOW_NOBODY)
		sched_setaffinity(0, sizeof *allowed, allowed);
	g_atomic_int_set(&follower->cpu, FOLLOW_NOBODY);
	g_atomic_int_set(&follower->beside, 0);
}

void
follower_note(Follower *follower, guint32 client, const cpu_set_t *allowed)
{
	switch (follow_note(&follower->state, client)) {
	case FOLLOW_CLIENT:
		go_to_client(follower, client, allowed);
		break;
	case FOLLOW_RELEASE:
		follower_stay(follower, allowed);
		break;
	case FOLLOW_STAY:
		break;
	}
}

void
follower_clear(Follower *follower)
{
	util_close_fd(&follower->stat);
	follower->thread = 0;
}
