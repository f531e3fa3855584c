#include "flush.h"
#include "clocks.h"
#include "stats.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define ROUNDS	   301
#define PAGE_BYTES 4096

struct reader {
	atomic_char *page;
	int cpu;
	atomic_uint reads;
	atomic_bool stop;
};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *read_on(void *arg)
{
	struct reader *reader = arg;

	pin(reader->cpu);
	while (!atomic_load_explicit(&reader->stop, memory_order_relaxed)) {
		(void)atomic_load_explicit(reader->page, memory_order_relaxed);
		atomic_fetch_add_explicit(&reader->reads, 1, memory_order_relaxed);
	}
	return NULL;
}

/* reader: wait before each call until it has just read; NULL: there is none. */
static double median_of_calls(atomic_char *page, struct reader *reader)
{
	struct stats_summary summary;
	double ns[ROUNDS];
	uint64_t begin;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int seen = reader ? atomic_load(&reader->reads) : 0;

		while (reader && atomic_load_explicit(&reader->reads, memory_order_relaxed) == seen)
			;
		atomic_store(page, 1); /* dirty: what must be flushed is no read-only entry */
		begin = now_ns();
		mprotect((void *)page, PAGE_BYTES, PROT_READ);
		ns[i] = (double)(now_ns() - begin);
		mprotect((void *)page, PAGE_BYTES, PROT_READ | PROT_WRITE);
	}
	stats_summarize(ns, ROUNDS, &summary);
	return summary.median;
}

double flush_measure(void)
{
	/* A page between two that are never mapped: no mapping is merged with it and split again. */
	char *at = mmap(NULL, 3 * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct reader reader = {.page = (atomic_char *)at + PAGE_BYTES};
	double alone, beside = NAN;
	pthread_t thread;
	cpu_set_t mine;
	int cpu = 0;

	if (at == MAP_FAILED || sched_getaffinity(0, sizeof(mine), &mine) || CPU_COUNT(&mine) < 2)
		return NAN;
	while (!CPU_ISSET(cpu, &mine))
		cpu++;
	for (reader.cpu = cpu + 1; !CPU_ISSET(reader.cpu, &mine);)
		reader.cpu++;
	mprotect(at + PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_WRITE);
	pin(cpu);
	alone = median_of_calls(reader.page, NULL);
	if (!pthread_create(&thread, NULL, read_on, &reader)) {
		beside = median_of_calls(reader.page, &reader);
		atomic_store(&reader.stop, true);
		pthread_join(thread, NULL);
	}
	sched_setaffinity(0, sizeof(mine), &mine);
	munmap(at, 3 * PAGE_BYTES);
	return beside > alone ? beside - alone : NAN;
}
