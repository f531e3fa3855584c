#include "job_pages.h"

#include "job_info.h"

#include <errno.h>

#define CHUNK 512u /* pages that are asked for at a time, under job.lock */

int job_query_pages(struct memory *memory, size_t count, const uint64_t *gpas, int *status)
{
	uint64_t gfns[CHUNK];
	int ret = 0;

	for (size_t first = 0; first < count && !ret; first += CHUNK) {
		size_t n = count - first < CHUNK ? count - first : CHUNK;

		for (size_t i = 0; i < n; i++)
			gfns[i] = gpas[first + i] / GMIG_PAGE_BYTES;
		ret = memory->ops->query(memory, n, gfns, status + first);
	}
	return ret;
}

/* Pages whose results are no reasons to stay: where they are, all in one question. */
static int ask(struct gmig_job *job, size_t count, const uint64_t *gpas, int *status)
{
	uint64_t gfns[CHUNK];
	uint16_t index[CHUNK];
	int now[CHUNK], ret;
	size_t asked = 0;

	for (size_t i = 0; i < count; i++) {
		if (status_is_reason(status[i]) && status[i] != -EFAULT)
			continue;
		index[asked] = (uint16_t)i;
		gfns[asked++] = gpas[i] / GMIG_PAGE_BYTES;
	}
	ret = asked ? job->memory->ops->query(job->memory, asked, gfns, now) : 0;
	for (size_t i = 0; i < asked && !ret; i++)
		status[index[i]] =
		    job_was_cut_off(job, gfns[i], status[index[i]], now[i]) ? -ECANCELED : now[i];
	return ret;
}

int job_pages(struct gmig_job *job, size_t count, const uint64_t *gpas, int *status)
{
	int ret = 0;

	for (size_t first = 0; first < count && !ret; first += CHUNK) {
		size_t n = count - first < CHUNK ? count - first : CHUNK;

		for (size_t i = first; i < first + n; i++)
			status_get(job->status, gpas[i] / GMIG_PAGE_BYTES, 1, &status[i]);
		pthread_mutex_lock(&job->lock);
		ret = job->memory ? ask(job, n, gpas + first, status + first) : -ESRCH;
		pthread_mutex_unlock(&job->lock);
	}
	return ret;
}
