/*
 * A guest's huge page that mover kernel is to move a part of: the kernel moves all of it. The memory is real; a host of two
 * nodes that knows where the one huge page lies is made up.
 */
#include "../../migrate/core/topology.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/region.h"
#include "../../migrate/movers/mover.h"
#include "host_tree.h"
#include "suite.h"

#include <errno.h>
#include <sys/mman.h>

#define BYTES GMIG_BLOCK_BYTES

static struct gmig_sys sys;
static atomic_uintptr_t ram; /* the guest's memory; the engine's threads ask, too */
static atomic_int huge_page_node;

static int prefer_any(void *memory, size_t bytes, int node)
{
	(void)node;
	return gmig_sys_real.prefer_node(memory, bytes, 0);
}

static bool is_ram(const void *address)
{
	uintptr_t first = atomic_load(&ram);

	return first && (uintptr_t)address - first < BYTES;
}

static int query(size_t count, void **pages, int *status)
{
	int ret = gmig_sys_real.query_nodes(count, pages, status);

	for (size_t i = 0; i < count && !ret; i++)
		if (status[i] >= 0 && is_ram(pages[i]))
			status[i] = atomic_load(&huge_page_node);
	return ret;
}

static long move(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		 int flags)
{
	(void)pid, (void)flags;
	for (unsigned long i = 0; nodes && i < count; i++)
		if (is_ram(pages[i]))
			atomic_store(&huge_page_node, nodes[i]);
	return count ? query(count, pages, status) : 0;
}

static bool small_pages;

static struct gmig *start(struct gmig_topology **topology)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0-1", "10 20"},
						 {1, 4096, 2048, "2-3", "20 10"}};
	const struct gmig_region_spec spec = {.bytes = BYTES};
	struct gmig_options options = {
	    .unsafe_kernel = true, .sys = &sys, .small_pages = small_pages};
	struct gmig_error err;
	struct gmig *made;
	void *hva;

	sys = gmig_sys_real;
	sys.prefer_node = prefer_any;
	sys.query_nodes = query;
	sys.move_pages = move;
	tree_create();
	tree_nodes("0-1", nodes, 2);
	tree_cpuset("0-1");
	ck_assert_msg(!topology_create_at(tree_root, 0, topology, &err), "%s", err.text);
	options.topology = *topology;
	ck_assert_msg(!gmig_create(&options, &made, &err), "%s", err.text);
	ck_assert_msg(!gmig_region_add(made, &spec, &hva, &err), "%s", err.text);
	atomic_store(&ram, (uintptr_t)hva);
	*(volatile uint8_t *)hva = 1;
	return made;
}

START_TEST(what_moved_along_with_a_part_of_a_huge_page_is_in_the_books)
{
	struct gmig_bind_spec spec = {.gpa = 5 * GMIG_PAGE_BYTES,
				      .bytes = GMIG_PAGE_BYTES,
				      .flags = GMIG_BIND_MOVE,
				      .policy = {.mode = GMIG_POLICY_BIND, .nodes = {{2}}},
				      .job = {.mover = "kernel"}};
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_topology *topology;
	struct gmig *guest = start(&topology);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *started;

	if (huge_or_skip(guest)) {
		ck_assert_msg(!gmig_bind(guest, &spec, &started, &err), "%s", err.text);
		gmig_job_wait(started);
		gmig_job_info(started, &info);
		gmig_job_put(started);
		ck_assert_uint_eq(info.moved_bytes, GMIG_PAGE_BYTES);
		ck_assert_int_eq(atomic_load(&huge_page_node), 1);
		ck_assert_int_eq(gmig_residency(guest, 0, bytes), 0);
		ck_assert_uint_eq(bytes[0], 0);
		ck_assert_uint_eq(bytes[1], BYTES);
		ck_assert_uint_eq(info.thp_split, 0);
	}
	gmig_destroy(guest);
	gmig_topology_put(topology);
	tree_remove();
}
END_TEST

/* ---- One ticket ----------------------------------------------------------------------------------- */

static atomic_int
    said[GMIG_BLOCK_PAGES]; /* by the next move_pages(2) instead of the node; 0: it goes */
static atomic_int lies[GMIG_BLOCK_PAGES]; /* where */
static atomic_int asks_fail;
static atomic_bool splits, scan_fails;

static unsigned int page_of(const void *address)
{
	return (unsigned int)(((uintptr_t)address - atomic_load(&ram)) / GMIG_PAGE_BYTES);
}

static int query_pages(size_t count, void **pages, int *status)
{
	int ret = count > 1 ? atomic_load(&asks_fail) : 0;

	for (size_t i = 0; i < count && !ret; i++)
		status[i] = is_ram(pages[i]) ? atomic_load(&lies[page_of(pages[i])]) : 0;
	return ret;
}

/* A huge page goes by its first. */
static long move_each(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		      int flags)
{
	(void)pid, (void)flags;
	if (!nodes)
		return query_pages(count, pages, status);
	for (unsigned long i = 0; i < count; i++) {
		unsigned int page = page_of(pages[i]), first = count == 1 ? 0 : page;
		unsigned int end = count == 1 ? GMIG_BLOCK_PAGES : page + 1;

		status[i] = atomic_load(&said[page]) ? atomic_load(&said[page]) : nodes[i];
		for (unsigned int k = first; k < end; k++)
			atomic_store(&lies[k], atomic_load(&said[k]) == -EBUSY ? 0
					       : atomic_load(&said[k]) ? atomic_load(&said[k])
								       : nodes[i]);
	}
	if (atomic_load(&splits)) {
		mprotect((void *)atomic_load(&ram), GMIG_PAGE_BYTES, PROT_READ); // NOLINT
		mprotect((void *)atomic_load(&ram), GMIG_PAGE_BYTES,
			 PROT_READ | PROT_WRITE); // NOLINT
	}
	return 0;
}

static int ioctl_or_not(int fd, unsigned long request, void *arg)
{
	return request == PAGEMAP_SCAN && atomic_load(&scan_fails)
		   ? -ENOMEM
		   : gmig_sys_real.ioctl(fd, request, arg);
}

static struct gmig *gmig;
static struct gmig_topology *host;
static struct mover_job job;
static struct mover_worker worker;
static struct mover_ticket ticket;

static void begin(bool huge)
{
	struct gmig_error err;

	small_pages = !huge;
	gmig = start(&host);
	memset((void *)atomic_load(&ram), 1, BYTES); // NOLINT
	engine_settle_faults(gmig, 0);
	sys.query_nodes = query_pages;
	sys.move_pages = move_each;
	sys.ioctl = ioctl_or_not;
	job = (struct mover_job){.memory = &gmig->memory,
				 .topology = host,
				 .spec = {.from_count = 1, .to = {1}, .to_count = 1},
				 .id = 4711};
	ck_assert_int_eq(mover_kernel.begin(&job, &err), 0);
	worker = (struct mover_worker){.job = &job};
	ck_assert_int_eq(mover_kernel.worker_begin(&worker), 0);
	ticket = (struct mover_ticket){.to = 1, .huge = huge && gmig->thp};
	bits_fill(&ticket.pages);
}

static void move_ticket(void)
{
	struct mover_ticket *tickets[] = {&ticket};
	struct bits refused;

	ck_assert_int_eq(mover_kernel.prepare(&worker, &ticket), 0);
	ticket.claim = (struct claim){.gmig = gmig,
				      .region = engine_region_of_gfn(gmig, 0),
				      .huge = ticket.huge,
				      .to = 1,
				      .owner = job.id,
				      .memory = mover_kernel.memory,
				      .pages = ticket.pages};
	claim_take(&ticket.claim, &refused);
	ck_assert(bits_empty(&refused));
	mover_kernel.move(&worker, tickets, 1);
}

static void end(void)
{
	const struct claim_result result = {ticket.moved, ticket.gone, ticket.broken, &job.stall};

	claim_settle(&ticket.claim, &result);
	mover_kernel.finish(&worker, &ticket);
	mover_kernel.worker_end(&worker);
	mover_kernel.end(&job);
	gmig_destroy(gmig);
	gmig_topology_put(host);
	tree_remove();
}

static void check_page(unsigned int page, bool moved, bool gone, int error)
{
	ck_assert_msg(bits_get(&ticket.moved, page) == moved, "moved %u", page);
	ck_assert_msg(bits_get(&ticket.gone, page) == gone, "gone %u", page);
	ck_assert_msg(ticket.error[page] == error, "%u: %d", page, ticket.error[page]);
}

/* What the kernel finds nowhere is gone only if there is nothing: it may be in swap, or the zero page. */
START_TEST(page_of_a_guest_that_lies_nowhere_is_gone_or_looked_for_again)
{
	begin(false);
	madvise((void *)(atomic_load(&ram) + 3 * GMIG_PAGE_BYTES), GMIG_PAGE_BYTES, // NOLINT
		MADV_DONTNEED);
	atomic_store(&said[3], -ENOENT);
	atomic_store(&said[4], -ENOENT);
	atomic_store(&said[5], -EFAULT);
	atomic_store(&said[6], -EBUSY);
	atomic_store(&said[7], 2);
	atomic_store(&scan_fails, _i);
	move_ticket();
	atomic_store(&scan_fails, false);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (i < 3 || i > 7)
			check_page(i, true, false, 0);
	check_page(3, false, !_i, _i ? -EAGAIN : 0);
	check_page(4, false, false, -EAGAIN);
	check_page(5, false, false, -EAGAIN);
	check_page(6, false, false, -EBUSY);
	check_page(7, false, false, -EAGAIN);
	ck_assert_uint_eq(atomic_load(&job.thp_split), 0);
	end();
}
END_TEST

enum { GOES, STAYS, SPLITS, CANNOT_BE_ASKED, IN_PART, CASES };

START_TEST(huge_page_of_a_guest_is_looked_at_page_by_page)
{
	begin(true);
	if (!huge_or_skip(gmig)) {
		move_ticket();
		end();
		return;
	}
	if (_i == STAYS)
		for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
			atomic_store(&said[i], -EBUSY);
	atomic_store(&splits, _i == SPLITS || _i == IN_PART);
	atomic_store(&asks_fail, _i == CANNOT_BE_ASKED ? -EPERM : 0);
	if (_i == IN_PART)
		for (unsigned int i = 100; i < GMIG_BLOCK_PAGES; i++)
			atomic_store(&said[i], -EBUSY);
	move_ticket();
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++) {
		bool moved = _i == GOES || _i == SPLITS || (_i == IN_PART && i < 100);

		check_page(i, moved, false, moved ? 0 : _i == CANNOT_BE_ASKED ? -EPERM : -EBUSY);
	}
	ck_assert_int_eq(ticket.split, _i == SPLITS || _i == IN_PART);
	ck_assert_uint_eq(atomic_load(&job.thp_split), _i == SPLITS || _i == IN_PART);
	end();
}
END_TEST

/* As of small ones: what is nowhere is gone only where there is nothing, and what is there is looked for again. */
START_TEST(page_of_a_huge_page_that_lies_nowhere_is_gone_or_looked_for_again)
{
	void *third;

	begin(true);
	if (!huge_or_skip(gmig)) {
		move_ticket();
		end();
		return;
	}
	third = (void *)(atomic_load(&ram) + 3 * GMIG_PAGE_BYTES); // NOLINT
	madvise(third, GMIG_PAGE_BYTES, MADV_DONTNEED);
	atomic_store(&said[3], -ENOENT);
	atomic_store(&said[4], -ENOENT);
	atomic_store(&said[5], -EFAULT);
	move_ticket();
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (i < 3 || i > 5)
			check_page(i, true, false, 0);
	check_page(3, false, true, 0);
	check_page(4, false, false, -EAGAIN);
	check_page(5, false, false, -EAGAIN);
	ck_assert(ticket.split);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernel_guest");
	TCase *tcase = tcase_create("kernel_guest");
	struct gmig_features features;

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	tcase_add_test(tcase, what_moved_along_with_a_part_of_a_huge_page_is_in_the_books);
	tcase_add_loop_test(tcase, page_of_a_guest_that_lies_nowhere_is_gone_or_looked_for_again, 0,
			    2);
	tcase_add_loop_test(tcase, huge_page_of_a_guest_is_looked_at_page_by_page, 0, CASES);
	tcase_add_test(tcase, page_of_a_huge_page_that_lies_nowhere_is_gone_or_looked_for_again);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
