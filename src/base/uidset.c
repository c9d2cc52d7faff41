/* SPDX-License-Identifier: MIT */
#include "base/uidset.h"

#include <string.h>

typedef struct {
	guint32 first;
	guint32 last;
} Range;

/* Sorted, and with at least one UID missing between neighbours: touching ranges are one. */
struct UidSet {
	GArray *ranges;
};

static Range *
range_at(const UidSet *set, guint i)
{
	return &g_array_index(set->ranges, Range, i);
}

UidSet *
uidset_new(void)
{
	UidSet *set = g_new(UidSet, 1);

	set->ranges = g_array_new(FALSE, FALSE, sizeof(Range));
	return set;
}

UidSet *
uidset_copy(const UidSet *set)
{
	UidSet *copy = g_new(UidSet, 1);

	copy->ranges = g_array_copy(set->ranges);
	return copy;
}

void
uidset_free(UidSet *set)
{
	if (set == NULL)
		return;
	g_array_unref(set->ranges);
	g_free(set);
}

/* The first range that ends at @uid or later; the number of ranges if none does. */
static guint
find(const UidSet *set, guint32 uid)
{
	guint low = 0;
	guint high = set->ranges->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;

		if (range_at(set, middle)->last < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Puts the arguments in order and leaves 0 out. FALSE: nothing is left. */
static gboolean
normalise(guint32 *first, guint32 *last)
{
	guint32 low = MIN(*first, *last);

	*last = MAX(*first, *last);
	*first = MAX(low, 1);
	return *last != 0;
}

/* @range begins at or after the beginning of the last range. */
static void
append(UidSet *set, Range range)
{
	Range *tail = set->ranges->len > 0 ? range_at(set, set->ranges->len - 1) : NULL;

	if (tail != NULL && range.first <= (guint64)tail->last + 1)
		tail->last = MAX(tail->last, range.last);
	else
		g_array_append_val(set->ranges, range);
}

void
uidset_add(UidSet *set, guint32 first, guint32 last)
{
	Range range;
	guint begin;
	guint end;

	if (!normalise(&first, &last))
		return;
	range = (Range){first, last};
	if (set->ranges->len == 0 || first >= range_at(set, set->ranges->len - 1)->first) {
		append(set, range);
		return;
	}
	/* begin..end: the ranges that overlap or touch the new one; they become one. */
	begin = find(set, first - 1);
	for (end = begin; end < set->ranges->len; end++) {
		const Range *other = range_at(set, end);

		if (other->first > (guint64)last + 1)
			break;
		range.first = MIN(range.first, other->first);
		range.last = MAX(range.last, other->last);
	}
	if (begin == end) {
		g_array_insert_val(set->ranges, begin, range);
		return;
	}
	*range_at(set, begin) = range;
	if (end - begin > 1)
		g_array_remove_range(set->ranges, begin + 1, end - begin - 1);
}

void
uidset_remove(UidSet *set, guint32 first, guint32 last)
{
	guint begin;
	guint end;

	if (!normalise(&first, &last))
		return;
	begin = find(set, first);
	if (begin == set->ranges->len)
		return;
	if (range_at(set, begin)->first < first) {
		Range *cut = range_at(set, begin);
		Range rest = {last + 1, cut->last}; /* only used when last < cut->last: no wrap */

		cut->last = first - 1;
		begin++;
		if (rest.last > last) {
			g_array_insert_val(set->ranges, begin, rest);
			return;
		}
	}
	for (end = begin; end < set->ranges->len && range_at(set, end)->last <= last;)
		end++;
	if (end < set->ranges->len && range_at(set, end)->first <= last)
		range_at(set, end)->first = last + 1;
	if (end > begin)
		g_array_remove_range(set->ranges, begin, end - begin);
}

void
uidset_add_all(UidSet *set, const UidSet *other)
{
	for (guint i = 0; i < other->ranges->len; i++)
		uidset_add(set, range_at(other, i)->first, range_at(other, i)->last);
}

UidSet *
uidset_intersect(const UidSet *set, const UidSet *other)
{
	UidSet *common = uidset_new();
	guint i = 0;
	guint k = 0;

	while (i < set->ranges->len && k < other->ranges->len) {
		const Range *left = range_at(set, i);
		const Range *right = range_at(other, k);
		Range both = {MAX(left->first, right->first), MIN(left->last, right->last)};

		if (both.first <= both.last)
			append(common, both);
		if (left->last < right->last)
			i++;
		else
			k++;
	}
	return common;
}

/* In one go: range by range it would be quadratic. */
void
uidset_remove_all(UidSet *set, const UidSet *other)
{
	g_autoptr(UidSet) gaps = uidset_new();
	g_autoptr(UidSet) rest = NULL;
	GArray *ranges;
	guint64 next = 1;

	for (guint i = 0; i < other->ranges->len; i++) {
		const Range *range = range_at(other, i);

		if (range->first > next)
			append(gaps, (Range){(guint32)next, range->first - 1});
		next = (guint64)range->last + 1;
	}
	if (next <= G_MAXUINT32)
		append(gaps, (Range){(guint32)next, G_MAXUINT32});
	rest = uidset_intersect(set, gaps);
	ranges = set->ranges;
	set->ranges = rest->ranges;
	rest->ranges = ranges;
}

gboolean
uidset_is_within(const UidSet *set, const UidSet *whole)
{
	for (guint i = 0; i < set->ranges->len; i++) {
		const Range *range = range_at(set, i);
		guint there = find(whole, range->first);

		if (there == whole->ranges->len || range_at(whole, there)->first > range->first ||
		    range_at(whole, there)->last < range->last)
			return FALSE;
	}
	return TRUE;
}

gboolean
uidset_contains(const UidSet *set, guint32 uid)
{
	guint i = find(set, uid);

	return i < set->ranges->len && range_at(set, i)->first <= uid;
}

gboolean
uidset_is_empty(const UidSet *set)
{
	return set->ranges->len == 0;
}

guint64
uidset_count(const UidSet *set)
{
	guint64 count = 0;

	for (guint i = 0; i < set->ranges->len; i++)
		count += (guint64)range_at(set, i)->last - range_at(set, i)->first + 1;
	return count;
}

guint
uidset_n_ranges(const UidSet *set)
{
	return set->ranges->len;
}

void
uidset_range(const UidSet *set, guint i, guint32 *first_out, guint32 *last_out)
{
	g_return_if_fail(i < set->ranges->len);
	*first_out = range_at(set, i)->first;
	*last_out = range_at(set, i)->last;
}

/* Reads 1*DIGIT in 1..2^32-1 at **p and moves *p past it. */
static gboolean
parse_number(const char **p, const char *end, guint32 *out)
{
	guint64 value = 0;
	const char *start = *p;

	for (; *p < end && g_ascii_isdigit(**p); (*p)++) {
		value = value * 10 + (guint64)(**p - '0');
		if (value > G_MAXUINT32)
			return FALSE;
	}
	*out = (guint32)value;
	return *p > start && value > 0;
}

static int
compare_ranges(gconstpointer a, gconstpointer b)
{
	guint32 left = ((const Range *)a)->first;
	guint32 right = ((const Range *)b)->first;

	return left < right ? -1 : left > right;
}

UidSet *
uidset_parse(const char *text, gsize len, guint max_ranges)
{
	g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(Range));
	g_autoptr(UidSet) set = uidset_new();
	const char *p = text;
	const char *end = text + len;
	gboolean sorted = TRUE;
	guint32 previous = 0;

	for (;; p++) {
		guint32 first;
		guint32 last;
		Range range;

		if (ranges->len == max_ranges || !parse_number(&p, end, &first))
			return NULL;
		last = first;
		if (p < end && *p == ':') {
			p++;
			if (!parse_number(&p, end, &last))
				return NULL;
		}
		range = (Range){MIN(first, last), MAX(first, last)};
		g_array_append_val(ranges, range);
		sorted = sorted && range.first >= previous;
		previous = range.first;
		if (p == end)
			break;
		if (*p != ',')
			return NULL;
	}
	/* Sorted once: adding them one by one would be quadratic for a hostile order. */
	if (!sorted)
		g_array_sort(ranges, compare_ranges);
	for (guint i = 0; i < ranges->len; i++)
		append(set, g_array_index(ranges, Range, i));
	return g_steal_pointer(&set);
}

char *
uidset_format(const UidSet *set, guint *next, gsize max_bytes)
{
	GString *out = g_string_new(NULL);
	guint i = *next;

	for (; i < set->ranges->len; i++) {
		const Range *range = range_at(set, i);
		gsize before = out->len;

		if (before > 0)
			g_string_append_c(out, ',');
		g_string_append_printf(out, "%" G_GUINT32_FORMAT, range->first);
		if (range->last != range->first)
			g_string_append_printf(out, ":%" G_GUINT32_FORMAT, range->last);
		if (before > 0 && out->len > max_bytes) {
			g_string_truncate(out, before);
			break;
		}
	}
	*next = i;
	return g_string_free(out, FALSE);
}
