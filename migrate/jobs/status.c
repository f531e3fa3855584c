/*
 * A range keeps one 16-bit word a block. MIXED in it says that the block's 512 results are spelled
 * out in a `detail`, found through a directory with one pointer a GiB of guest, so that nobody pays
 * for details he does not have.
 */
#include "status.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS	  4096 /* results lie above -ERRORS, as the kernel's do */
#define MIXED	  INT16_MIN
#define DIRECTORY 512 /* blocks */

struct directory {
	int16_t *detail[DIRECTORY];
};

struct range {
	uint64_t first_block, blocks;
	int16_t *result; /* one a block */
	struct directory **directories;
	struct range *next;
};

struct status {
	pthread_mutex_t lock; /* innermost; guards everything below */
	struct range *ranges;
	uint64_t pages_by_error[ERRORS]; /* index -result */
};

int status_create(struct status **out)
{
	struct status *status = calloc(1, sizeof(*status));

	if (!status)
		return -ENOMEM;
	pthread_mutex_init(&status->lock, NULL);
	*out = status;
	return 0;
}

static void range_free(struct range *range)
{
	uint64_t count = (range->blocks + DIRECTORY - 1) / DIRECTORY;

	for (uint64_t i = 0; range->directories && i < count; i++) {
		for (unsigned int j = 0; range->directories[i] && j < DIRECTORY; j++)
			free(range->directories[i]->detail[j]);
		free(range->directories[i]);
	}
	free(range->directories);
	free(range->result);
	free(range);
}

void status_destroy(struct status *status)
{
	struct range *next;

	if (!status)
		return;
	for (struct range *range = status->ranges; range; range = next) {
		next = range->next;
		range_free(range);
	}
	pthread_mutex_destroy(&status->lock);
	free(status);
}

static void account(struct status *status, int result, int64_t pages)
{
	if (result < 0)
		status->pages_by_error[-result] += (uint64_t)pages;
}

int status_add_range(struct status *status, uint64_t gfn, uint64_t pages)
{
	struct range *range, **at;
	uint64_t first = gfn / GMIG_BLOCK_PAGES, blocks = pages / GMIG_BLOCK_PAGES;

	if (gfn % GMIG_BLOCK_PAGES || pages % GMIG_BLOCK_PAGES || !pages || gfn + pages < gfn)
		return -EINVAL;
	range = calloc(1, sizeof(*range));
	if (!range)
		return -ENOMEM;
	range->first_block = first;
	range->blocks = blocks;
	range->result = malloc(blocks * sizeof(*range->result));
	range->directories =
	    calloc((blocks + DIRECTORY - 1) / DIRECTORY, sizeof(struct directory *));
	if (!range->result || !range->directories) {
		range_free(range);
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < blocks; i++)
		range->result[i] = STATUS_NOT_TRIED;

	pthread_mutex_lock(&status->lock);
	for (at = &status->ranges; *at; at = &(*at)->next) {
		if (first < (*at)->first_block + (*at)->blocks &&
		    (*at)->first_block < first + blocks) {
			pthread_mutex_unlock(&status->lock);
			range_free(range);
			return -EEXIST;
		}
	}
	*at = range;
	account(status, STATUS_NOT_TRIED, (int64_t)pages);
	pthread_mutex_unlock(&status->lock);
	return 0;
}

static struct range *find(struct status *status, uint64_t block)
{
	struct range *range = status->ranges;

	while (range && block - range->first_block >= range->blocks)
		range = range->next;
	return range;
}

static int16_t **detail_of(struct range *range, uint64_t block)
{
	uint64_t i = block - range->first_block;
	struct directory *directory = range->directories[i / DIRECTORY];

	return directory ? &directory->detail[i % DIRECTORY] : NULL;
}

static int16_t *result_of(struct range *range, uint64_t block)
{
	return &range->result[block - range->first_block];
}

/* Spell the block's results out. NULL without memory, and nothing is changed then. */
static int16_t *spell_out(struct range *range, uint64_t block)
{
	int16_t *result = result_of(range, block), *detail;
	uint64_t i = block - range->first_block;
	struct directory **directory = &range->directories[i / DIRECTORY];

	if (*result == MIXED)
		return *detail_of(range, block);
	if (!*directory)
		*directory = calloc(1, sizeof(**directory));
	if (!*directory)
		return NULL;
	detail = malloc(GMIG_BLOCK_PAGES * sizeof(*detail));
	if (!detail)
		return NULL;
	for (unsigned int page = 0; page < GMIG_BLOCK_PAGES; page++)
		detail[page] = *result;
	(*directory)->detail[i % DIRECTORY] = detail;
	*result = MIXED;
	return detail;
}

/* Back to one word when all 512 results agree. */
static void pack(struct range *range, uint64_t block)
{
	int16_t **detail = detail_of(range, block), first = (*detail)[0];

	/* Results mostly come in rising order: the last page tells early that it is not time yet.
	 */
	for (unsigned int page = GMIG_BLOCK_PAGES - 1; page > 0; page--) {
		if ((*detail)[page] != first)
			return;
	}
	free(*detail);
	*detail = NULL;
	*result_of(range, block) = first;
}

static void set_whole(struct status *status, struct range *range, uint64_t block, int result)
{
	int16_t *old = result_of(range, block), **detail;

	if (*old == MIXED) {
		detail = detail_of(range, block);
		for (unsigned int page = 0; page < GMIG_BLOCK_PAGES; page++)
			account(status, (*detail)[page], -1);
		free(*detail);
		*detail = NULL;
	} else {
		account(status, *old, -(int64_t)GMIG_BLOCK_PAGES);
	}
	*old = (int16_t)result;
	account(status, result, GMIG_BLOCK_PAGES);
}

static int set_part(struct status *status, struct range *range, uint64_t gfn, unsigned int pages,
		    int result)
{
	uint64_t block = gfn / GMIG_BLOCK_PAGES;
	int16_t *detail;

	if (*result_of(range, block) == result)
		return 0;
	detail = spell_out(range, block);
	if (!detail)
		return -ENOMEM;
	detail += gfn % GMIG_BLOCK_PAGES;
	for (unsigned int page = 0; page < pages; page++) {
		account(status, detail[page], -1);
		detail[page] = (int16_t)result;
	}
	account(status, result, pages);
	pack(range, block);
	return 0;
}

int status_set(struct status *status, uint64_t gfn, unsigned int pages, int result)
{
	struct range *range;
	int ret = 0;

	if (!pages || pages > GMIG_BLOCK_PAGES - gfn % GMIG_BLOCK_PAGES || result <= -ERRORS ||
	    result >= (int)GMIG_MAX_NODES)
		return -EINVAL;
	pthread_mutex_lock(&status->lock);
	range = find(status, gfn / GMIG_BLOCK_PAGES);
	if (!range)
		ret = -EFAULT;
	else if (pages == GMIG_BLOCK_PAGES)
		set_whole(status, range, gfn / GMIG_BLOCK_PAGES, result);
	else
		ret = set_part(status, range, gfn, pages, result);
	pthread_mutex_unlock(&status->lock);
	return ret;
}

void status_get(struct status *status, uint64_t gfn, size_t pages, int *result)
{
	struct range *range;
	uint64_t block;
	int16_t word;

	pthread_mutex_lock(&status->lock);
	for (size_t i = 0; i < pages; i++, gfn++) {
		block = gfn / GMIG_BLOCK_PAGES;
		range = find(status, block);
		word = range ? *result_of(range, block) : -EFAULT;
		if (word == MIXED)
			word = (*detail_of(range, block))[gfn % GMIG_BLOCK_PAGES];
		result[i] = word;
	}
	pthread_mutex_unlock(&status->lock);
}

static int by_pages(const void *a, const void *b)
{
	const struct gmig_remaining *left = a, *right = b;

	if (left->pages != right->pages)
		return left->pages < right->pages ? 1 : -1;
	return left->error - right->error;
}

unsigned int status_count_remaining(struct status *status, struct gmig_remaining *left,
				    unsigned int max)
{
	struct gmig_remaining all[GMIG_MAX_REMAINING * 4];
	unsigned int kinds = 0;

	pthread_mutex_lock(&status->lock);
	for (int error = 1; error < -STATUS_NOT_TRIED && kinds < GMIG_MAX_REMAINING * 4; error++) {
		if (status->pages_by_error[error])
			all[kinds++] =
			    (struct gmig_remaining){error, status->pages_by_error[error]};
	}
	pthread_mutex_unlock(&status->lock);
	qsort(all, kinds, sizeof(all[0]), by_pages);
	if (kinds > max)
		kinds = max;
	memcpy(left, all, kinds * sizeof(all[0]));
	return kinds;
}

static bool wants_retry(int result)
{
	return result == -EAGAIN || result == -EBUSY;
}

bool status_block_wants_retry(struct status *status, uint64_t gfn)
{
	uint64_t block = gfn / GMIG_BLOCK_PAGES;
	struct range *range;
	int16_t *detail;
	bool wants = false;

	pthread_mutex_lock(&status->lock);
	range = find(status, block);
	if (range && *result_of(range, block) == MIXED) {
		detail = *detail_of(range, block);
		for (unsigned int page = 0; page < GMIG_BLOCK_PAGES && !wants; page++)
			wants = wants_retry(detail[page]);
	} else if (range) {
		wants = wants_retry(*result_of(range, block));
	}
	pthread_mutex_unlock(&status->lock);
	return wants;
}
