/*
 * Tickets of mover swap, driven call by call over a kernel whose swap is made up (swap_kernel.h). What was asked of it is noted as
 * text: E evicts, R reads in, W writes zeros, J joins, p prefers the target and u what was preferred before, each with the first page
 * and how many; z sleeps, with milliseconds.
 */
#ifndef TEST_SWAP_RIG_H
#define TEST_SWAP_RIG_H

#include "../../migrate/core/topology.h"
#include "../../migrate/memory/region.h"
#include "../../migrate/movers/mover.h"
#include "host_tree.h"
#include "suite.h"
#include "swap_kernel.h"

#define BYTES  (SWAP_PAGES * GMIG_PAGE_BYTES)
#define ALWAYS 1000000
#define BLOCK  GMIG_BLOCK_PAGES

/* What calls take; where a page lies is asked when nobody waits any more. */
#define EVICT_NS 100
#define READ_NS	 7
#define ASK_NS	 5000

static struct gmig_topology *topology;
static struct gmig *gmig;
static struct mover_job job;
static struct mover_worker worker;
static struct mover_ticket ticket[2];
static atomic_int warnings;

/* ---- The kernel --------------------------------------------------------------------------------- */

static _Thread_local bool driven; /* this thread is the mover's */
static uint64_t clock_ns;
static char calls[40000];

/*
 * A call that touches that page fails, so many times: E evicts, R reads in, W writes zeros, J joins, p prefers the target and u what
 * was preferred before, Q asks where pages are, S what the page table has.
 */
static struct rule {
	char op;
	unsigned int page;
	int error;
	unsigned int times;
} rules[2];

static inline void note(char op, unsigned int first, unsigned int count)
{
	size_t at = strlen(calls);

	snprintf(calls + at, sizeof(calls) - at, "%s%c%u+%u", at ? " " : "", op, first, count);
}

static inline int error_of(char op, unsigned int first, unsigned int count)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (rules[i].op != op || !rules[i].times || rules[i].page - first >= count)
			continue;
		rules[i].times -= rules[i].times != ALWAYS;
		return rules[i].error;
	}
	return 0;
}

static void (*after_read)(void); /* once */

static inline int noted_advise(void *memory, size_t bytes, int advice)
{
	unsigned int first, count = (unsigned int)(bytes / GMIG_PAGE_BYTES);
	char op = advice == MADV_PAGEOUT	 ? 'E'
		  : advice == MADV_POPULATE_READ ? 'R'
		  : advice == MADV_COLLAPSE	 ? 'J'
						 : 'W';
	int error;

	if (!driven || !swap_is_ram(memory, &first))
		return swap_advise(memory, bytes, advice);
	note(op, first, count);
	clock_ns += op == 'E' ? EVICT_NS : READ_NS;
	error = error_of(op, first, count);
	if (!error)
		error = swap_advise(memory, bytes, advice);
	if (op == 'R' && after_read) {
		after_read();
		after_read = NULL;
	}
	return error;
}

static inline int noted_prefer(void *memory, size_t bytes, int node)
{
	unsigned int first, count = (unsigned int)(bytes / GMIG_PAGE_BYTES);
	int error;

	if (!driven || !swap_is_ram(memory, &first))
		return swap_prefer(memory, bytes, node);
	note(node == 1 ? 'p' : 'u', first, count);
	error = error_of(node == 1 ? 'p' : 'u', first, count);
	return error ? error : swap_prefer(memory, bytes, node);
}

static inline int noted_query(size_t count, void **pages, int *status)
{
	int error = driven ? error_of('Q', 0, 1) : 0;

	clock_ns += driven ? ASK_NS : 0;
	return error ? error : swap_query(count, pages, status);
}

static inline int noted_ioctl(int fd, unsigned long request, void *arg)
{
	int error = driven && request == PAGEMAP_SCAN ? error_of('S', 0, 1) : 0;

	return error ? error : swap_ioctl(fd, request, arg);
}

static inline int noted_in_core(void *memory, size_t bytes, unsigned char *pages)
{
	int error = driven ? error_of('C', 0, 1) : 0;

	return error ? error : swap_in_core(memory, bytes, pages);
}

static inline void noted_sleep(uint64_t ns)
{
	if (driven)
		note('z', (unsigned int)(ns / 1000000), 0);
}

static inline uint64_t noted_now(void)
{
	return driven ? clock_ns : gmig_sys_real.now_ns();
}

/* ---- Tickets ------------------------------------------------------------------------------------ */

static inline void count_warning(void *opaque, enum gmig_log_level level, const char *text)
{
	(void)opaque, (void)text;
	if (level <= GMIG_LOG_WARNING)
		atomic_fetch_add(&warnings, 1);
}

struct host {
	bool huge, fake, locked;
};

/* A guest on node 0, all of whose memory is there. */
static inline void start(struct host host)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0-1", "10 20"},
						 {1, 4096, 2048, "2-3", "20 10"}};
	const struct gmig_region_spec spec = {.bytes = BYTES};
	struct gmig_options options = {.unsafe_kernel = true,
				       .sys = &swap_sys,
				       .small_pages = !host.huge,
				       .lock_memory = host.locked,
				       .log = count_warning};
	struct gmig_error err;
	void *hva;

	swap_kernel_start(host.huge);
	swap_sys.advise = noted_advise;
	swap_sys.prefer_node = noted_prefer;
	swap_sys.query_nodes = noted_query;
	swap_sys.ioctl = noted_ioctl;
	swap_sys.in_core = noted_in_core;
	swap_sys.sleep_ns = noted_sleep;
	swap_sys.now_ns = noted_now;
	tree_create();
	tree_nodes("0-1", nodes, 2);
	tree_cpuset("0-1");
	ck_assert_msg(!topology_create_at(tree_root, host.fake ? 2 : 0, &topology, &err), "%s",
		      err.text);
	options.topology = topology;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
	memset(hva, 1, BYTES);
	engine_settle_faults(gmig, 0);
	pthread_mutex_lock(&swap_kernel.lock);
	swap_kernel.ram = hva;
	pthread_mutex_unlock(&swap_kernel.lock);
	job = (struct mover_job){.memory = &gmig->memory,
				 .topology = topology,
				 .spec = {.from = {0}, .to = {1}, .from_count = 1, .to_count = 1},
				 .id = 4711};
	ck_assert_int_eq(mover_swap.begin(&job, &err), 0);
	worker = (struct mover_worker){.job = &job};
	ck_assert_int_eq(mover_swap.worker_begin(&worker), 0);
	for (unsigned int i = 0; i < 2; i++) {
		ticket[i] = (struct mover_ticket){
		    .block_gfn = i * BLOCK, .to = 1, .huge = host.huge, .mode = GMIG_MODE_AUTO};
		bits_fill(&ticket[i].pages);
	}
}

static inline void claim(struct mover_ticket *it)
{
	struct bits refused;

	it->claim = (struct claim){.gmig = gmig,
				   .region = engine_region_of_gfn(gmig, it->block_gfn),
				   .block_gfn = it->block_gfn,
				   .huge = it->huge,
				   .from = it->from,
				   .to = it->to,
				   .owner = job.id,
				   .memory = mover_swap.memory,
				   .pages = it->pages};
	claim_take(&it->claim, &refused);
	ck_assert(bits_empty(&refused));
}

/* The first `count` tickets, as one round. */
static inline void run(unsigned int count)
{
	struct mover_ticket *tickets[] = {&ticket[0], &ticket[1]};

	for (unsigned int i = 0; i < count; i++)
		claim(&ticket[i]);
	clock_ns = 1;
	calls[0] = '\0';
	driven = true;
	mover_swap.move(&worker, tickets, count);
	driven = false;
}

static inline void settle(unsigned int count)
{
	memset(rules, 0, sizeof(rules));
	for (unsigned int i = 0; i < count; i++) {
		const struct claim_result result = {ticket[i].moved, ticket[i].gone,
						    ticket[i].broken, &job.stall};

		claim_settle(&ticket[i].claim, &result);
	}
}

static inline void end(unsigned int count)
{
	struct gmig_check check;
	struct gmig_error err;

	settle(count);
	mover_swap.worker_end(&worker);
	mover_swap.end(&job);
	ck_assert_ptr_null(job.state);
	ck_assert_ptr_null(worker.state);
	ck_assert_int_eq(gmig_check(gmig, &check, &err), 0);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	tree_remove();
}

static inline void check_calls(const char *expected)
{
	ck_assert_str_eq(calls, expected);
}

enum { MOVED = 1, GONE };

/* Of pages first..first+count of a ticket: where they are, or why they stayed. */
static inline void check_pages(unsigned int of, unsigned int first, unsigned int count, int result)
{
	const struct mover_ticket *it = &ticket[of];

	for (unsigned int i = first; i < first + count; i++) {
		ck_assert_msg(bits_get(&it->moved, i) == (result == MOVED), "moved %u", i);
		ck_assert_msg(bits_get(&it->gone, i) == (result == GONE), "gone %u", i);
		if (result <= 0)
			ck_assert_msg(it->error[i] == result, "page %u: %s", i,
				      gmig_errno_name(it->error[i]));
	}
}

static inline void only(unsigned int first, unsigned int count)
{
	bits_clear_all(&ticket[0].pages);
	bits_set_range(&ticket[0].pages, first, count);
}

#endif
