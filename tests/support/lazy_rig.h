/*
 * A guest of a few blocks, and a job in mode lazy that has them wait. Static, for one test program.
 */
#ifndef TEST_LAZY_RIG_H
#define TEST_LAZY_RIG_H

#include "rig.h"

#include <errno.h>
#include <sched.h>

#define BLOCKS 8u
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)

static struct rig rig;
static struct gmig_job *job;

/* Bit 0: small pages; bit 1: only writers move a block. */
#define FORMS 4
static inline bool is_small(int form)
{
	return form & 1;
}

static inline enum gmig_lazy lazy_of(int form)
{
	return form & 2 ? GMIG_LAZY_WRITE : GMIG_LAZY_ANY;
}

static inline struct gmig_job_spec lazy_spec(int form)
{
	struct gmig_job_spec spec = rig_spec(0, 1);

	spec.mode = GMIG_MODE_LAZY;
	spec.lazy = lazy_of(form);
	return spec;
}

static inline void start(const struct gmig_job_spec *spec)
{
	struct gmig_error err = {0};

	ck_assert_msg(gmig_job_start(rig.gmig, spec, &job, &err) == 0, "%s", err.text);
}

static inline struct gmig_job_info info_now(void)
{
	struct gmig_job_info info;

	gmig_job_info(job, &info);
	return info;
}

/* Whoever waits for the engine, and would for ever when it has given up. */
static inline void wait_on(void)
{
	ck_assert_int_eq(atomic_load(&rig.fatal), 0);
	sched_yield();
}

static inline void await_waiting(uint64_t blocks)
{
	while (info_now().lazy.waiting != blocks)
		wait_on();
}

static inline void await_moved(uint64_t bytes)
{
	while (info_now().moved_bytes < bytes)
		wait_on();
}

static inline void end_job(enum gmig_job_state state, struct gmig_job_info *info)
{
	gmig_job_wait(job);
	gmig_job_info(job, info);
	gmig_job_put(job);
	ck_assert_int_eq(info->state, state);
	ck_assert_uint_eq(info->lazy.waiting, 0);
}

static inline void begin(int form, unsigned int nodes)
{
	const struct rig_options options = {
	    .bytes = BYTES, .small_pages = is_small(form), .nodes = nodes};

	rig_create(&rig, &options);
}

static inline void finish(void)
{
	struct gmig_stats stats;

	ck_assert_uint_eq(rig_check_all(&rig), 0);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

/* All of a block lies there, and waits for nobody. */
static inline void assert_present(uint64_t block, unsigned int node)
{
	for (uint64_t i = 0; i < GMIG_BLOCK_PAGES; i++) {
		struct shadow_entry entry;

		ck_assert_int_eq(
		    shadow_lookup(rig.gmig->shadow, block * GMIG_BLOCK_PAGES + i, &entry), 0);
		ck_assert_int_eq(entry.state, SHADOW_PRESENT);
		ck_assert_uint_eq(entry.node, node);
	}
}

static inline void assert_all_present(unsigned int node)
{
	for (unsigned int block = 0; block < BLOCKS; block++)
		assert_present(block, node);
}

static inline enum shadow_state state_of(uint64_t block)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, block * GMIG_BLOCK_PAGES, &entry), 0);
	return entry.state;
}

/* One page in the middle of it. */
static inline void write_block(uint64_t block)
{
	uint64_t page = block * GMIG_BLOCK_PAGES + 200;

	rig.counter[page]++;
	rig_write_page(&rig, page);
}

static inline uint64_t read_block(uint64_t block)
{
	return rig_check_page(&rig, block * GMIG_BLOCK_PAGES + 200);
}

#endif
