#include "copier.h"
#include "clocks.h"
#include "stats.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_BYTES (2ull << 20)
#define PAGE_BYTES  4096u
#define MAX_THREADS 16

struct copier {
	uint64_t bytes;
	void *mapping[2]; /* one block longer than bytes, for the alignment */
	char *source, *target;
};

/* One thread's share; `ns` holds a time for each of its blocks. */
struct part {
	const char *source;
	char *target;
	size_t blocks;
	double *ns;
	uint64_t cpu_ns;
};

static int map_buffer(uint64_t bytes, void **mapping, char **start)
{
	void *at = mmap(NULL, bytes + BLOCK_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	*mapping = at;
	*start = (char *)(((uintptr_t)at + BLOCK_BYTES - 1) & ~(uintptr_t)(BLOCK_BYTES - 1));
	madvise(*start, bytes, MADV_HUGEPAGE);
	memset(*start, 0x5a, bytes);
	return 0;
}

int copier_warm_free_memory(uint64_t bytes, struct gmig_error *err)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return gmig_fail(err, -errno, "no memory to warm: %s", strerror(errno));
	madvise(at, bytes, MADV_HUGEPAGE);
	/* From the top down: the kernel zeroes a huge page faster when it is touched at its last page. */
	for (uint64_t left = bytes; left >= PAGE_BYTES; left -= PAGE_BYTES)
		*(volatile char *)(at + left - PAGE_BYTES) = 1;
	munmap(at, bytes);
	return 0;
}

int copier_create(uint64_t bytes, struct copier **out, struct gmig_error *err)
{
	struct copier *copier = calloc(1, sizeof(*copier));
	int rc;

	if (!copier)
		return gmig_fail(err, -ENOMEM, "no memory for the copier");
	copier->bytes = bytes;
	rc = map_buffer(bytes, &copier->mapping[0], &copier->source);
	if (!rc)
		rc = map_buffer(bytes, &copier->mapping[1], &copier->target);
	if (rc) {
		copier_destroy(copier);
		return gmig_fail(err, rc, "no memory for two copy buffers of %llu MiB",
				 (unsigned long long)(bytes >> 20));
	}
	*out = copier;
	return 0;
}

void copier_destroy(struct copier *copier)
{
	if (!copier)
		return;
	for (int i = 0; i < 2; i++)
		if (copier->mapping[i])
			munmap(copier->mapping[i], copier->bytes + BLOCK_BYTES);
	free(copier);
}

static void *copy_part(void *opaque)
{
	struct part *part = opaque;
	uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	for (size_t i = 0; i < part->blocks; i++) {
		uint64_t begin = clock_ns(CLOCK_MONOTONIC);

		memcpy(part->target + i * BLOCK_BYTES, part->source + i * BLOCK_BYTES, BLOCK_BYTES);
		part->ns[i] = (double)(clock_ns(CLOCK_MONOTONIC) - begin);
	}
	part->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	return NULL;
}

/* Threads 1.. run beside the caller, who is thread 0; their start is part of the time. Returns how long all took. */
static int run_parts(struct part *parts, unsigned int threads, uint64_t *ns)
{
	pthread_t thread[MAX_THREADS];
	unsigned int started = 1;
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	int rc = 0;

	while (!rc && started < threads) {
		rc = -pthread_create(&thread[started], NULL, copy_part, &parts[started]);
		started += !rc;
	}
	if (!rc)
		copy_part(&parts[0]);
	for (unsigned int i = 1; i < started; i++)
		pthread_join(thread[i], NULL);
	*ns = clock_ns(CLOCK_MONOTONIC) - begin;
	return rc;
}

int copier_measure(struct copier *copier, unsigned int threads, struct copier_result *result,
		   struct gmig_error *err)
{
	size_t blocks = copier->bytes / BLOCK_BYTES;
	double *ns = calloc(blocks, sizeof(*ns));
	struct part parts[MAX_THREADS] = {0};
	uint64_t cpu_ns = 0, all_ns = 0;
	size_t done = 0;
	char *swap;
	int rc;

	if (!ns || threads < 1 || threads > MAX_THREADS || blocks < threads) {
		free(ns);
		return gmig_fail(err, ns ? -EINVAL : -ENOMEM,
				 "cannot measure memcpy with %u threads", threads);
	}
	for (unsigned int i = 0; i < threads; i++) {
		size_t end = blocks * (i + 1) / threads;

		parts[i].source = copier->source + done * BLOCK_BYTES;
		parts[i].target = copier->target + done * BLOCK_BYTES;
		parts[i].ns = ns + done;
		parts[i].blocks = end - done;
		done = end;
	}
	rc = run_parts(parts, threads, &all_ns);
	if (!rc) {
		for (unsigned int i = 0; i < threads; i++)
			cpu_ns += parts[i].cpu_ns;
		stats_sort(ns, blocks);
		result->block_ns = stats_quantile(ns, blocks, 0.5);
		result->bytes_per_second = threads == 1
					       ? (double)BLOCK_BYTES * 1e9 / result->block_ns
					       : (double)copier->bytes * 1e9 / (double)all_ns;
		result->cpu_seconds_per_gb = (double)cpu_ns / (double)copier->bytes;
		/* Back and forth, as a ping-pong migration goes. */
		swap = copier->source;
		copier->source = copier->target;
		copier->target = swap;
	}
	free(ns);
	return rc ? gmig_fail(err, rc, "cannot start %u copy threads: %s", threads, strerror(-rc))
		  : 0;
}
