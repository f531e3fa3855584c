/*
 * Repairs of a guest on a host of which the test says what it shows: where memory is, what is in swap, how long an answer takes.
 * Static, for one test program.
 */
#ifndef TEST_REPAIR_RIG_H
#define TEST_REPAIR_RIG_H

#include "../../migrate/gmig_dma.h"
#include "../../migrate/memory/audit_block.h"
#include "../../migrate/memory/books.h"
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/ledger.h"
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>

#define BYTES (8ull << 20)
#define PAGES (BYTES / GMIG_PAGE_BYTES)
#define FAR   1000000000000ull /* ns: all in one call */

static struct rig rig;
static struct gmig_sys sys;

/* ---- A host of which the test says what it shows -------------------------------------------------- */

static atomic_int real_node;	/* of all memory */
static atomic_bool all_swapped; /* of block 1 */
static atomic_bool query_fails, scan_fails;
static atomic_uint most_asked;	  /* in one question */
static atomic_ullong extra_ns;	  /* that the clock is ahead */
static atomic_ullong ns_per_page; /* that a question takes */
static void (*_Atomic when_sleeping)(void);

static atomic_bool by_hand; /* no other time passes */

static _Thread_local unsigned int clock_calls; /* until `when_asked` */
static void (*when_asked)(void);

static inline uint64_t clock_ahead(void)
{
	if (clock_calls && !--clock_calls)
		when_asked();
	return (atomic_load(&by_hand) ? 0 : gmig_sys_real.now_ns()) + atomic_load(&extra_ns);
}

static inline void sleep_ahead(uint64_t ns)
{
	void (*call)(void) = atomic_load(&when_sleeping);

	atomic_fetch_add(&extra_ns, ns);
	if (call)
		call();
}

static inline int query_told(size_t count, void **pages, int *status)
{
	(void)pages;
	if (count > atomic_load(&most_asked))
		atomic_store(&most_asked, (unsigned int)count);
	atomic_fetch_add(&extra_ns, count * atomic_load(&ns_per_page));
	if (atomic_load(&query_fails))
		return -EPERM;
	for (size_t i = 0; i < count; i++)
		status[i] = atomic_load(&real_node);
	return 0;
}

static inline int scan_told(int fd, unsigned long request, void *arg)
{
	struct pm_scan_arg *scan = arg;
	uint64_t start = request == PAGEMAP_SCAN ? scan->start : 0;
	int found;

	if (request == PAGEMAP_SCAN && atomic_load(&scan_fails))
		return -EPERM;
	found = gmig_sys_real.ioctl(fd, request, arg);
	if (request != PAGEMAP_SCAN || !atomic_load(&all_swapped) ||
	    start - (uintptr_t)rig_page(&rig, GMIG_BLOCK_PAGES) >= GMIG_BLOCK_BYTES)
		return found;
	for (int i = 0; i < found; i++) {
		struct page_region *region = (struct page_region *)(uintptr_t)scan->vec + i;

		region->categories |= PAGE_IS_SWAPPED;
		region->categories &= ~(uint64_t)PAGE_IS_HUGE;
	}
	return found;
}

static inline void start_with(struct rig_options options)
{
	atomic_store(&by_hand, false);
	atomic_store(&real_node, 0);
	atomic_store(&all_swapped, false);
	atomic_store(&query_fails, false);
	atomic_store(&scan_fails, false);
	atomic_store(&ns_per_page, 0);
	atomic_store(&when_sleeping, NULL);
	sys = gmig_sys_real;
	sys.now_ns = clock_ahead;
	sys.sleep_ns = sleep_ahead;
	sys.query_nodes = query_told;
	sys.ioctl = scan_told;
	options.bytes = BYTES;
	options.sys = &sys;
	rig_create(&rig, &options);
}

static inline void start(bool small, bool real)
{
	start_with((struct rig_options){.small_pages = small, .real = real});
}

static inline void start_kind(enum gmig_region_kind kind)
{
	start_with((struct rig_options){.kind = kind, .untouched = true});
}

static inline void repair_all(struct gmig_repair *result)
{
	struct gmig_error err = {0};
	uint64_t id = 0;

	do {
		ck_assert_msg(!gmig_repair(rig.gmig, &id, FAR, result, &err), "%s", err.text);
	} while (!result->done);
	ck_assert_uint_eq(result->visited_pages, result->total_pages);
}

/* Nothing is wrong, and the guest has what it wrote. */
static inline void end(bool content)
{
	struct gmig_repair result;

	repair_all(&result);
	ck_assert(result.ok);
	for (unsigned int i = 0; i < AUDIT_DIFFERENCES; i++)
		ck_assert_msg(!result.differed[i], "%s still differs",
			      gmig_difference_name((enum gmig_difference)i));
	ck_assert_uint_eq(result.book_pages, 0);
	ck_assert_uint_eq(result.slots_corrected, 0);
	ck_assert_uint_eq(result.slot_pages, 0);
	if (content)
		ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

/* Behind the engine's back, but under its lock. */
static inline void change(uint64_t gfn, bool huge, enum shadow_event event)
{
	struct stripe *stripe = engine_stripe(rig.gmig, gfn);
	const struct books_event books = {
	    .region = &rig.gmig->regions[0],
	    .change = {.gfn = gfn, .order = huge ? 9 : 0, .event = event, .node = 1},
	    .memory = BOOKS_KERNEL};

	pthread_mutex_lock(&stripe->lock);
	ck_assert_int_eq(books_change(rig.gmig, &books, NULL), 0);
	pthread_mutex_unlock(&stripe->lock);
}

static inline void only(const struct gmig_repair *result, enum gmig_difference kind, uint64_t pages)
{
	for (unsigned int i = 0; i < AUDIT_DIFFERENCES; i++) {
		uint64_t expected = i == kind ? pages : 0;

		ck_assert_msg(result->differed[i] == expected && result->corrected[i] == expected,
			      "%s: %llu differed, %llu corrected",
			      gmig_difference_name((enum gmig_difference)i),
			      (unsigned long long)result->differed[i],
			      (unsigned long long)result->corrected[i]);
	}
}

static inline void spoil_books(unsigned int which)
{
	struct ledger *ledger = rig.gmig->ledger;
	struct ledger_map map = {.from = GMIG_NO_NODE,
				 .to = 1,
				 .to_from = LEDGER_OUTSIDE,
				 .pages = 5,
				 .position = UINT64_MAX};

	if (which == 0)
		ledger_map(ledger, &map);
	if (which == 1)
		ledger_post(ledger, 0, LEDGER_OUTSIDE, LEDGER_POOL, 5);
	if (which == 2)
		ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_OUTSIDE, 5);
	if (which == 3)
		ledger_post(ledger, 1, LEDGER_OUTSIDE, LEDGER_SWAPPED, 5);
	if (which == 4)
		ledger_split(ledger, UINT64_MAX, 5);
}

#endif
