/*
 * Pools of frames by themselves, without an engine: wrong nodes, short memory and broken pages by hooks. Static, for one test program.
 */
#ifndef TEST_POOLS_RIG_H
#define TEST_POOLS_RIG_H

#include "../../migrate/core/copy.h"
#include "../../migrate/core/room.h"
#include "../../migrate/core/uffd.h"
#include "../../migrate/memory/frame.h"
#include "../../migrate/memory/ledger.h"
#include "rig.h"
#include "uffd_poison.h"

#include <errno.h>
#include <sys/mman.h>

#define WATERMARK (4 * GMIG_BLOCK_BYTES)
#define EXTRA	  (64 * GMIG_BLOCK_BYTES)

static struct gmig_sys sys;
static struct gmig_topology *topology;
static struct frames *frames;
static struct ledger *ledger;
static struct policy *policy;
static int pagemap;
static atomic_int wrong_node, refuse_release, move_error, moves, queries, no_huge;
static atomic_int huge_asked, huge_split, no_cold, no_register, tables_stay;
static void *_Atomic poison_at; /* just before the kernel fills it */
static atomic_ullong available;

/* From now on a touch of this page raises SIGBUS. */
static inline void poison_page(void *page)
{
	struct uffdio_poison poison = {.range = {(uintptr_t)page, GMIG_PAGE_BYTES}};

	ck_assert_int_eq(madvise(page, GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
	ck_assert_int_eq(sys.ioctl(frame_uffd(frames), UFFDIO_POISON, &poison), 0);
}

static inline int query_maybe_wrong(size_t count, void **pages, int *status)
{
	(void)pages;
	atomic_fetch_add(&queries, 1);
	for (size_t i = 0; i < count; i++)
		status[i] = atomic_load(&wrong_node);
	return 0;
}

static inline long move_maybe(pid_t pid, unsigned long count, void **pages, const int *nodes,
			      int *status, int flags)
{
	int error = atomic_load(&move_error);

	(void)pid;
	(void)pages;
	(void)flags;
	if (!nodes)
		return query_maybe_wrong(count, pages, status);
	atomic_fetch_add(&moves, 1);
	for (unsigned long i = 0; i < count; i++)
		status[i] = error ? error : nodes[i];
	return error ? (long)count : 0;
}

/* Counts huge pages that were split and lost none of their pages to the zero page. */
static inline int split_huge(void *memory, size_t bytes)
{
	struct uffd_scan before, after;
	int ret = uffd_scan(&sys, pagemap, memory, &before);

	if (!ret)
		ret = gmig_sys_real.advise(memory, bytes, MADV_COLD);
	if (!ret)
		ret = uffd_scan(&sys, pagemap, memory, &after);
	if (!ret)
		atomic_fetch_add(&huge_split,
				 before.huge && !after.huge && bits_empty(&after.zero));
	return ret;
}

static inline int advise_maybe_refused(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_DONTNEED && atomic_load(&refuse_release))
		return -EAGAIN;
	atomic_fetch_add(&huge_asked, advice == MADV_HUGEPAGE && bytes == GMIG_BLOCK_BYTES);
	if (advice == MADV_DONTNEED && bytes == GMIG_BLOCK_BYTES && atomic_load(&tables_stay)) {
		madvise(memory, GMIG_PAGE_BYTES, MADV_NOHUGEPAGE);
		madvise(memory, GMIG_PAGE_BYTES, MADV_POPULATE_WRITE); /* so there is one */
		madvise(memory, bytes - GMIG_PAGE_BYTES, advice);
		return madvise((char *)memory + bytes - GMIG_PAGE_BYTES, GMIG_PAGE_BYTES, advice);
	}
	if (advice == MADV_COLD)
		return atomic_load(&no_cold) ? -EINVAL : split_huge(memory, bytes);
	if (advice == MADV_POPULATE_WRITE && atomic_load(&poison_at))
		poison_page(atomic_load(&poison_at));
	if (advice == MADV_POPULATE_WRITE && atomic_load(&no_huge)) {
		void *block = (void *)((uintptr_t)memory & ~(GMIG_BLOCK_BYTES - 1));
		int ret;

		madvise(block, GMIG_BLOCK_BYTES, MADV_NOHUGEPAGE);
		ret = gmig_sys_real.advise(memory, bytes, advice);
		madvise(block, GMIG_BLOCK_BYTES, MADV_HUGEPAGE);
		return ret;
	}
	return gmig_sys_real.advise(memory, bytes, advice);
}

static inline int ioctl_maybe_refused(int fd, unsigned long request, void *arg)
{
	if (request == UFFDIO_REGISTER && atomic_load(&no_register))
		return -ENOMEM;
	return gmig_sys_real.ioctl(fd, request, arg);
}

static inline void room(struct room *room)
{
	*room = (struct room){.bytes = atomic_load(&available), .total_bytes = 1ull << 30};
}

/* nodes: fake ones; 0 = the host's own, of which only node 0 is used */
static inline void start(unsigned int nodes)
{
	struct gmig_error err = {0};

	copy_guard();
	sys = gmig_sys_real;
	sys.query_nodes = query_maybe_wrong;
	sys.advise = advise_maybe_refused;
	sys.ioctl = ioctl_maybe_refused;
	sys.room = room;
	sys.move_pages = move_maybe;
	atomic_store(&available, UINT64_MAX);
	pagemap = sys.pagemap();
	ck_assert_int_eq(gmig_topology_create(nodes, &topology, &err), 0);
	ck_assert_int_eq(ledger_create(&ledger), 0);
	struct policy_config budget = {&sys, ledger, EXTRA};

	ck_assert_int_eq(policy_create(&budget, &policy), 0);
	struct frame_config config = {&sys, ledger, policy, topology, pagemap, WATERMARK};

	ck_assert_msg(frame_create(&config, &frames, &err) == 0, "%s", err.text);
}

static inline void stop(void)
{
	struct frame_audit audit;

	frame_audit(frames, FRAME_LOOK, &audit);
	ck_assert_uint_eq(audit.wrong_slots, 0);
	ck_assert_uint_eq(audit.written_slots, 0);
	ck_assert_uint_eq(audit.filled_pages, 0);
	ck_assert_uint_eq(audit.busy_slots, 0);
	ck_assert_uint_eq(audit.differing_node, GMIG_NO_NODE);
	ck_assert_uint_eq(audit.flying_node, GMIG_NO_NODE);
	for (unsigned int i = 0; i < GMIG_MAX_NODES; i++) {
		ck_assert_int_eq(ledger_pages(ledger, i, LEDGER_FLIGHT), 0);
		ck_assert_int_eq(ledger_pages(ledger, i, LEDGER_OUTSIDE),
				 -ledger_pages(ledger, i, LEDGER_POOL) -
				     ledger_pages(ledger, i, LEDGER_QUARANTINE));
	}
	frame_destroy(frames);
	policy_destroy(policy);
	ledger_destroy(ledger);
	gmig_topology_put(topology);
	sys.close(pagemap);
}

#endif
