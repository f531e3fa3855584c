#include "status.h"

#include "status_runs.h"
#include "status_table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS	  4096 /* reasons lie above -ERRORS, as the kernel's do */
#define WORD_BITS 64
#define NODES	  ((int)GMIG_MAX_NODES)

_Static_assert(2 * GMIG_MAX_NODES <= INT16_MAX, "nodes, and nodes by others, fit a result");
_Static_assert(ERRORS < -STATUS_OUTSIDE, "reasons are none of the other values");

struct status {
	pthread_mutex_t lock; /* innermost; guards everything below */
	struct status_table table;
	bool ended;
	struct status_runs *runs; /* ended; NULL: nothing was kept */
	struct status_sum sum;
	uint64_t pages_by_error[ERRORS];	/* index -result */
	uint64_t has_error[ERRORS / WORD_BITS]; /* bit -result: not 0 */
};

static void *alloc_zeroed(size_t bytes)
{
	return calloc(1, bytes);
}

int status_create_with(void *(*alloc)(size_t bytes), struct status **out)
{
	struct status *status = alloc(sizeof(*status));

	if (!status)
		return -ENOMEM;
	status->table.alloc = alloc;
	pthread_mutex_init(&status->lock, NULL);
	*out = status;
	return 0;
}

int status_create(struct status **out)
{
	return status_create_with(alloc_zeroed, out);
}

void status_destroy(struct status *status)
{
	if (!status)
		return;
	status_table_free(&status->table);
	free(status->runs);
	pthread_mutex_destroy(&status->lock);
	free(status);
}

int status_add_range(struct status *status, uint64_t gfn, uint64_t pages)
{
	int ret = -EINVAL;

	pthread_mutex_lock(&status->lock);
	if (!status->ended)
		ret = status_table_add(&status->table, gfn, pages, STATUS_NOT_TRIED);
	pthread_mutex_unlock(&status->lock);
	return ret;
}

int status_prepare(struct status *status, uint64_t block_gfn)
{
	struct status_place place;
	int ret = -EFAULT;

	pthread_mutex_lock(&status->lock);
	if (status_table_find(&status->table, block_gfn / GMIG_BLOCK_PAGES, &place))
		ret = status_table_prepare(&status->table, &place);
	pthread_mutex_unlock(&status->lock);
	return ret;
}

void status_finish(struct status *status, uint64_t block_gfn)
{
	struct status_place place;

	pthread_mutex_lock(&status->lock);
	if (status_table_find(&status->table, block_gfn / GMIG_BLOCK_PAGES, &place))
		status_table_finish(&place);
	pthread_mutex_unlock(&status->lock);
}

/* ---- Sums ---------------------------------------------------------------------------------- */

static void account_reason(struct status *status, unsigned int error, uint64_t pages)
{
	uint64_t bit = 1ull << error % WORD_BITS, *word = &status->has_error[error / WORD_BITS];

	status->sum.remaining += pages;
	status->pages_by_error[error] += pages;
	*word = status->pages_by_error[error] ? *word | bit : *word & ~bit;
}

/* pages < 0: that many fewer. */
static void account(struct status *status, int result, int64_t pages)
{
	if (result >= NODES)
		status->sum.by_others += (uint64_t)pages;
	else if (result >= 0)
		status->sum.moved += (uint64_t)pages;
	else if (result == -ENOENT)
		status->sum.gone += (uint64_t)pages;
	else if (result > -ERRORS)
		account_reason(status, (unsigned int)-result, (uint64_t)pages);
	else if (result == STATUS_WANTED)
		status->sum.not_tried += (uint64_t)pages;
}

/* The results in a detail, run by run. */
static void account_detail(struct status *status, const int16_t *detail, unsigned int pages,
			   int sign)
{
	for (unsigned int first = 0, next; first < pages; first = next) {
		next = first + 1;
		while (next < pages && detail[next] == detail[first])
			next++;
		account(status, detail[first], (int64_t)sign * (next - first));
	}
}

/* ---- Setting: callers hold lock ------------------------------------------------------------ */

static void set_block(struct status *status, struct status_group *group, unsigned int i,
		      int16_t result)
{
	if (group->result[i] == STATUS_MIXED)
		account_detail(status, status_detail(group, i), GMIG_BLOCK_PAGES, -1);
	else
		account(status, group->result[i], -(int64_t)GMIG_BLOCK_PAGES);
	group->result[i] = result;
	account(status, result, GMIG_BLOCK_PAGES);
}

static void set_slot(struct status *status, const struct status_place *place, int16_t result)
{
	struct status_slot *slot = place->slot;
	int64_t pages = (int64_t)place->blocks * GMIG_BLOCK_PAGES;

	if (slot->group) {
		for (unsigned int i = 0; i < place->blocks; i++)
			set_block(status, slot->group, i, result);
		status_group_free(slot->group);
		slot->group = NULL;
	} else {
		account(status, slot->result, -pages);
		account(status, result, pages);
	}
	slot->result = result;
}

static int set_part(struct status *status, struct status_group *group, unsigned int i,
		    unsigned int first, unsigned int pages, int16_t result)
{
	int16_t *detail;
	int ret;

	if (group->result[i] == result)
		return 0;
	ret = status_detail_need(&status->table, group, i);
	if (ret)
		return ret;
	detail = status_detail(group, i);
	for (unsigned int page = 0; group->result[i] != STATUS_MIXED && page < GMIG_BLOCK_PAGES;
	     page++)
		detail[page] = group->result[i];
	group->result[i] = STATUS_MIXED;
	account_detail(status, detail + first, pages, -1);
	for (unsigned int page = first; page < first + pages; page++)
		detail[page] = result;
	account(status, result, pages);
	return 0;
}

/* Of the pages, those that lie in the first one's slot or block; *done: how many. */
static int set_piece(struct status *status, uint64_t gfn, uint64_t pages, int16_t result,
		     uint64_t *done)
{
	unsigned int first = (unsigned int)(gfn % GMIG_BLOCK_PAGES);
	struct status_place place;
	struct status_slot *slot;
	int ret;

	status_table_find(&status->table, gfn / GMIG_BLOCK_PAGES, &place);
	slot = place.slot;
	*done = (uint64_t)place.blocks * GMIG_BLOCK_PAGES;
	if (!place.i && !first && pages >= *done && !(slot->group && slot->group->prepared)) {
		set_slot(status, &place, result);
		return 0;
	}
	*done = pages < GMIG_BLOCK_PAGES - first ? pages : GMIG_BLOCK_PAGES - first;
	if (!slot->group && slot->result == result)
		return 0;
	ret = status_group_need(&status->table, slot);
	if (!ret && *done == GMIG_BLOCK_PAGES)
		set_block(status, slot->group, place.i, result);
	else if (!ret)
		ret = set_part(status, slot->group, place.i, first, (unsigned int)*done, result);
	status_table_pack(&place);
	return ret;
}

static bool is_settable(int result)
{
	return (result > -ERRORS && result < 2 * NODES) || result == STATUS_NOT_TRIED ||
	       result == STATUS_WANTED;
}

int status_set(struct status *status, uint64_t gfn, uint64_t pages, int result)
{
	uint64_t done;
	int ret = 0;

	if (!pages || !is_settable(result))
		return -EINVAL;
	pthread_mutex_lock(&status->lock);
	if (status->ended)
		ret = -EINVAL;
	else if (!status_table_covers(&status->table, gfn, pages))
		ret = -EFAULT;
	for (; !ret && pages; gfn += done, pages -= done)
		ret = set_piece(status, gfn, pages, (int16_t)result, &done);
	pthread_mutex_unlock(&status->lock);
	return ret;
}

/* ---- Asking -------------------------------------------------------------------------------- */

/* As it is stored, and in *pages how many pages from there on surely have it. Caller holds lock. */
static int16_t look_up(const struct status *status, uint64_t gfn, uint64_t *pages)
{
	unsigned int page = (unsigned int)(gfn % GMIG_BLOCK_PAGES);
	const struct status_group *group;
	struct status_place place;
	int16_t result;

	*pages = 1;
	if (status->ended)
		return status->runs ? status_runs_get(status->runs, gfn, pages) : STATUS_NOT_KEPT;
	if (!status_table_find(&status->table, gfn / GMIG_BLOCK_PAGES, &place))
		return STATUS_OUTSIDE;
	group = place.slot->group;
	result = group ? group->result[place.i] : place.slot->result;
	if (group && result == STATUS_MIXED) /* never a whole slot */
		return status_detail(group, place.i)[page];
	*pages = GMIG_BLOCK_PAGES - page;
	return result;
}

void status_get(struct status *status, uint64_t gfn, size_t pages, int *result)
{
	uint64_t same;
	int value;

	pthread_mutex_lock(&status->lock);
	for (size_t i = 0; i < pages;) {
		value = look_up(status, gfn + i, &same);
		if (value == STATUS_OUTSIDE)
			value = -EFAULT;
		else if (value >= NODES)
			value -= NODES;
		for (; same && i < pages; same--)
			result[i++] = value;
	}
	pthread_mutex_unlock(&status->lock);
}

bool status_block_is(struct status *status, uint64_t block_gfn, int result)
{
	uint64_t same;
	bool is;

	pthread_mutex_lock(&status->lock);
	is = look_up(status, block_gfn, &same) == result && same >= GMIG_BLOCK_PAGES;
	pthread_mutex_unlock(&status->lock);
	return is;
}

void status_sum(struct status *status, struct status_sum *sum)
{
	pthread_mutex_lock(&status->lock);
	*sum = status->sum;
	pthread_mutex_unlock(&status->lock);
}

uint64_t status_forgotten(struct status *status)
{
	uint64_t pages = 0;

	pthread_mutex_lock(&status->lock);
	if (status->ended)
		pages = status->sum.remaining - (status->runs ? status->runs->reasons : 0);
	pthread_mutex_unlock(&status->lock);
	return pages;
}

/* Into a list of the largest, in order. */
static unsigned int keep_largest(struct gmig_remaining *list, unsigned int count, unsigned int max,
				 struct gmig_remaining one)
{
	unsigned int i = count;

	while (i && list[i - 1].pages < one.pages)
		i--;
	if (i >= max)
		return count;
	if (count < max)
		count++;
	memmove(&list[i + 1], &list[i], (count - 1 - i) * sizeof(*list));
	list[i] = one;
	return count;
}

unsigned int status_count_remaining(struct status *status, struct gmig_remaining *remaining,
				    unsigned int max)
{
	unsigned int count = 0;

	pthread_mutex_lock(&status->lock);
	for (int word = 0; word < ERRORS / WORD_BITS; word++) {
		for (uint64_t bits = status->has_error[word]; bits; bits &= bits - 1) {
			int error = word * WORD_BITS + __builtin_ctzll(bits);
			struct gmig_remaining one = {error, status->pages_by_error[error]};

			count = keep_largest(remaining, count, max, one);
		}
	}
	pthread_mutex_unlock(&status->lock);
	return count;
}

bool status_block_wants_retry(struct status *status, uint64_t gfn)
{
	uint64_t end = gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES + GMIG_BLOCK_PAGES, same;
	bool wants = false;

	pthread_mutex_lock(&status->lock);
	for (gfn = end - GMIG_BLOCK_PAGES; gfn < end && !wants; gfn += same) {
		int result = look_up(status, gfn, &same);

		wants = result == -EAGAIN || result == -EBUSY;
		if (result == STATUS_OUTSIDE)
			break;
	}
	pthread_mutex_unlock(&status->lock);
	return wants;
}

/* Nobody writes any more: the lock is only needed where what readers look at changes. */
void status_end(struct status *status)
{
	struct status_runs *runs;
	struct status_table table;

	if (status->ended)
		return;
	runs = status_runs_build(&status->table, STATUS_ENDED_BYTES);
	pthread_mutex_lock(&status->lock);
	table = status->table;
	status->table = (struct status_table){.alloc = table.alloc};
	status->runs = runs;
	status->ended = true;
	pthread_mutex_unlock(&status->lock);
	status_table_free(&table);
}
