/* What all of the engine calls: which region and which stripe a page is of, who is woken, and what is told of faults. */
#include "../../migrate/memory/engine.h"
#include "suite.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK GMIG_BLOCK_PAGES

static struct gmig gmig;
static struct gmig_sys sys;
static uint8_t memory[3][2 * GMIG_PAGE_BYTES]; /* the regions' own, of which nothing is read */

static uint64_t clock_ns;

static uint64_t now_told(void)
{
	return clock_ns;
}

static void setup(void)
{
	memset(&gmig, 0, sizeof(gmig));
	sys = gmig_sys_real;
	sys.now_ns = now_told;
	clock_ns = 1000000;
	gmig.sys = &sys;
	gmig.stripe_pages = BLOCK;
	for (unsigned int i = 0; i < ENGINE_STRIPES; i++)
		pthread_mutex_init(&gmig.stripes[i].lock, NULL);
	broken_pages_init(&gmig.broken);
}

static void teardown(void)
{
	broken_pages_destroy(&gmig.broken);
}

/* Three, not in the order of their pages: 1024..1026, 512..514, 2048..2050. */
static void add_regions(void)
{
	static const uint64_t first[] = {1024, 512, 2048};

	for (unsigned int i = 0; i < 3; i++)
		gmig.regions[i] =
		    (struct region){.vnode = i, .gfn = first[i], .pages = 2, .hva = memory[i]};
	atomic_store(&gmig.region_count, 3);
}

/* ---- Regions ------------------------------------------------------------------------------------- */

/* Their number; -1: none. */
static int of_gfn(uint64_t gfn)
{
	const struct region *region = engine_region_of_gfn(&gmig, gfn);

	return region ? (int)(region - gmig.regions) : -1;
}

static int from(uint64_t gfn)
{
	const struct region *region = engine_region_from(&gmig, gfn);

	return region ? (int)(region - gmig.regions) : -1;
}

static int of_hva(uintptr_t hva)
{
	const struct region *region = engine_region_of_hva(&gmig, hva);

	return region ? (int)(region - gmig.regions) : -1;
}

START_TEST(page_is_of_the_region_that_has_it)
{
	ck_assert_int_eq(of_gfn(1024), -1);
	ck_assert_int_eq(from(0), -1);
	ck_assert_int_eq(of_hva((uintptr_t)memory[0]), -1);
	add_regions();
	ck_assert_int_eq(of_gfn(0), -1);
	ck_assert_int_eq(of_gfn(511), -1);
	ck_assert_int_eq(of_gfn(512), 1);
	ck_assert_int_eq(of_gfn(513), 1);
	ck_assert_int_eq(of_gfn(514), -1);
	ck_assert_int_eq(of_gfn(1023), -1);
	ck_assert_int_eq(of_gfn(1024), 0);
	ck_assert_int_eq(of_gfn(1025), 0);
	ck_assert_int_eq(of_gfn(1026), -1);
	ck_assert_int_eq(of_gfn(2049), 2);
	ck_assert_int_eq(of_gfn(2050), -1);
	ck_assert_int_eq(of_gfn(UINT64_MAX), -1);
}
END_TEST

START_TEST(region_from_a_page_is_the_one_that_has_it_or_the_next)
{
	add_regions();
	ck_assert_int_eq(from(0), 1);
	ck_assert_int_eq(from(513), 1);
	ck_assert_int_eq(from(514), 0);
	ck_assert_int_eq(from(1025), 0);
	ck_assert_int_eq(from(1026), 2);
	ck_assert_int_eq(from(2049), 2);
	ck_assert_int_eq(from(2050), -1);
}
END_TEST

START_TEST(address_is_of_the_region_that_has_it)
{
	add_regions();
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(of_hva((uintptr_t)memory[i]), i);
		ck_assert_int_eq(of_hva((uintptr_t)memory[i] + 2 * GMIG_PAGE_BYTES - 1), i);
	}
	ck_assert_int_eq(of_hva((uintptr_t)memory[0] - 1), -1);
	ck_assert_int_eq(of_hva((uintptr_t)memory[2] + 2 * GMIG_PAGE_BYTES), -1);
	gmig.regions[0].pages = 1;
	ck_assert_int_eq(of_hva((uintptr_t)memory[0] + GMIG_PAGE_BYTES - 1), 0);
	ck_assert_int_eq(of_hva((uintptr_t)memory[0] + GMIG_PAGE_BYTES), -1);
	ck_assert_int_eq(of_hva((uintptr_t)memory[1]), 1);
}
END_TEST

START_TEST(pages_of_a_block_share_a_stripe_and_blocks_go_round)
{
	for (uint64_t block = 0; block < ENGINE_STRIPES; block++) {
		struct stripe *stripe = &gmig.stripes[block];

		ck_assert_ptr_eq(engine_stripe(&gmig, block * BLOCK), stripe);
		ck_assert_ptr_eq(engine_stripe(&gmig, block * BLOCK + BLOCK - 1), stripe);
		ck_assert_ptr_eq(engine_stripe(&gmig, (block + ENGINE_STRIPES) * BLOCK), stripe);
	}
	gmig.stripe_pages = 4 * BLOCK; /* of larger pages */
	ck_assert_ptr_eq(engine_stripe(&gmig, 4 * BLOCK - 1), &gmig.stripes[0]);
	ck_assert_ptr_eq(engine_stripe(&gmig, 4 * BLOCK), &gmig.stripes[1]);
}
END_TEST

/* ---- Sleepers ------------------------------------------------------------------------------------ */

static struct stripe *stripe; /* of the test */

static void sleep_on(uint64_t gfn, uint64_t waited_ns, bool writer)
{
	struct sleeper *sleeper = calloc(1, sizeof(*sleeper));

	sleeper->next = stripe->sleepers;
	sleeper->gfn = gfn;
	sleeper->since_ns = clock_ns - waited_ns;
	sleeper->writer = writer;
	stripe->sleepers = sleeper;
	atomic_fetch_add(&gmig.sleepers, 1);
}

static uint64_t recorded(const struct hist *hist)
{
	struct gmig_percentiles times;

	hist_summary(hist, &times);
	return times.count;
}

START_TEST(sleepers_on_these_pages_leave_the_list_and_the_others_stay)
{
	static struct hist also;
	struct bits pages = {{0}};
	struct slept slept;

	stripe = &gmig.stripes[1];
	sleep_on(BLOCK + 9, 1, true);
	sleep_on(BLOCK + 10, 400, true); /* the first, the middle and the last of the list go */
	sleep_on(BLOCK + 20, 1, false);
	sleep_on(2 * BLOCK + 11, 1, true);
	sleep_on(BLOCK + 11, 1000, false);
	sleep_on(BLOCK - 1, 1, true);
	sleep_on(BLOCK + 19, 60, true);
	bits_set_range(&pages, 10, 10);
	hist_reset(&also);
	slept = engine_sleepers_woken(&gmig, stripe, BLOCK, &pages, &also);
	ck_assert_uint_eq(slept.threads, 3);
	ck_assert_uint_eq(slept.writers, 2);
	ck_assert_uint_eq(slept.ns, 1460);
	ck_assert_uint_eq(slept.longest_ns, 1000);
	ck_assert_uint_eq(recorded(&also), 3);
	ck_assert_uint_eq(recorded(&gmig.stall), 3);
	ck_assert_uint_eq(gmig.stall.max_ns, 1000);
	ck_assert_uint_eq(atomic_load(&gmig.sleepers), 4);
	ck_assert_uint_eq(stripe->sleepers->gfn, BLOCK - 1);
	ck_assert_uint_eq(stripe->sleepers->next->gfn, 2 * BLOCK + 11);
	ck_assert_uint_eq(stripe->sleepers->next->next->gfn, BLOCK + 20);
	ck_assert_uint_eq(stripe->sleepers->next->next->next->gfn, BLOCK + 9);
	ck_assert_ptr_null(stripe->sleepers->next->next->next->next);
	/* Nobody but the engine wants to know. */
	bits_fill(&pages);
	slept = engine_sleepers_woken(&gmig, stripe, BLOCK, &pages, NULL);
	ck_assert_uint_eq(slept.threads, 2);
	ck_assert_uint_eq(slept.writers, 1);
	ck_assert_uint_eq(recorded(&gmig.stall), 5);
	ck_assert_uint_eq(recorded(&also), 3);
	slept = engine_sleepers_woken(&gmig, stripe, 2 * BLOCK, &pages, NULL);
	ck_assert_uint_eq(slept.threads, 1);
	slept = engine_sleepers_woken(&gmig, stripe, 0, &pages, NULL);
	ck_assert_uint_eq(slept.threads, 1);
	ck_assert_ptr_null(stripe->sleepers);
	slept = engine_sleepers_woken(&gmig, stripe, 0, &pages, NULL);
	ck_assert(!slept.threads && !slept.ns && !slept.writers && !slept.longest_ns);
	ck_assert_uint_eq(atomic_load(&gmig.sleepers), 0);
}
END_TEST

static unsigned int wakes;
static int woken_fd;
static struct uffdio_range woken;

static int ioctl_noted(int fd, unsigned long request, void *arg)
{
	ck_assert_uint_eq(request, UFFDIO_WAKE);
	wakes++;
	woken_fd = fd;
	woken = *(const struct uffdio_range *)arg;
	return 0;
}

START_TEST(block_is_woken_by_the_userfaultfd_of_its_vnode)
{
	sys.ioctl = ioctl_noted;
	add_regions();
	gmig.regions[2].pages = 2 * BLOCK;
	gmig.vnodes[0].uffd = 70;
	gmig.vnodes[1].uffd = -1;
	gmig.vnodes[2].uffd = 0;
	wakes = 0;
	engine_wake(&gmig, &gmig.regions[1], 512); /* which has none */
	ck_assert_uint_eq(wakes, 0);
	engine_wake(&gmig, &gmig.regions[2], 2048 + BLOCK);
	ck_assert_uint_eq(wakes, 1);
	ck_assert_int_eq(woken_fd, 0);
	ck_assert_uint_eq(woken.start, (uintptr_t)memory[2] + GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(woken.len, GMIG_BLOCK_BYTES);
	engine_wake(&gmig, &gmig.regions[0], 1024);
	ck_assert_uint_eq(wakes, 2);
	ck_assert_int_eq(woken_fd, 70);
	ck_assert_uint_eq(woken.start, (uintptr_t)memory[0]);
}
END_TEST

/* ---- Faults that are being served ---------------------------------------------------------------- */

static unsigned int sleeps, serves; /* the vnode whose thread ends with its message, by and by */

static void sleep_told(uint64_t ns)
{
	ck_assert_uint_eq(ns, 20000);
	if (++sleeps % 3 == 0) {
		/* It is through, and serves the next one already: that is no reason to wait. */
		atomic_fetch_add(&gmig.vnodes[serves].serving, 2);
		serves++;
	}
}

START_TEST(settled_is_what_is_served_now_and_of_these_vnodes)
{
	sys.sleep_ns = sleep_told;
	sleeps = serves = 0;
	engine_settle_faults(&gmig, 0);
	ck_assert_uint_eq(sleeps, 0);
	atomic_store(&gmig.vnodes[0].serving, 7);
	atomic_store(&gmig.vnodes[1].serving, 9);
	atomic_store(&gmig.vnodes[2].serving, 4); /* idle */
	engine_settle_faults(&gmig, 4 | 1ull << (GMIG_MAX_VNODES - 1));
	ck_assert_uint_eq(sleeps, 0);
	engine_settle_faults(&gmig, 1);
	ck_assert_uint_eq(sleeps, 3);
	ck_assert_uint_eq(atomic_load(&gmig.vnodes[0].serving), 9);
	engine_settle_faults(&gmig, 2 | 4);
	ck_assert_uint_eq(sleeps, 6);
	/* All of them, the last one as well. */
	sleeps = 0;
	serves = GMIG_MAX_VNODES - 1;
	atomic_store(&gmig.vnodes[0].serving, 2);
	atomic_store(&gmig.vnodes[1].serving, 2);
	atomic_store(&gmig.vnodes[serves].serving, 1);
	engine_settle_faults(&gmig, 0);
	ck_assert_uint_eq(sleeps, 3);
}
END_TEST

/* ---- What is told -------------------------------------------------------------------------------- */

static struct {
	unsigned int lines, fatals, broke;
	enum gmig_log_level level;
	char line[600];
	struct gmig_error err;
	uint64_t gpa;
} told;

static void log_told(void *opaque, enum gmig_log_level level, const char *line)
{
	ck_assert_ptr_eq(opaque, &told);
	told.lines++;
	told.level = level;
	snprintf(told.line, sizeof(told.line), "%s", line);
}

static void fatal_told(void *opaque, const struct gmig_error *err)
{
	ck_assert_ptr_eq(opaque, &told);
	told.fatals++;
	told.err = *err;
}

static void broke_told(void *opaque, uint64_t gpa)
{
	ck_assert_ptr_eq(opaque, &told);
	told.broke++;
	told.gpa = gpa;
}

static void tell(void)
{
	memset(&told, 0, sizeof(told));
	gmig.options.opaque = &told;
	gmig.options.log = log_told;
	gmig.options.fatal = fatal_told;
	gmig.options.memory_broke = broke_told;
}

START_TEST(line_goes_to_the_owner_with_its_level)
{
	char text[700];

	tell();
	engine_log(&gmig, GMIG_LOG_INFO, "event=%s n=%d", "test", 7);
	ck_assert_str_eq(told.line, "event=test n=7");
	ck_assert_int_eq(told.level, GMIG_LOG_INFO);
	engine_log(&gmig, GMIG_LOG_ERROR, "x");
	ck_assert_int_eq(told.level, GMIG_LOG_ERROR);
	/* A line that is too long ends early. */
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	engine_log(&gmig, GMIG_LOG_INFO, "%s", text);
	ck_assert_uint_eq(strlen(told.line), 511);
	ck_assert_uint_eq(told.lines, 3);
}
END_TEST

/* What a line without an owner writes to stderr. */
static const char *written(enum gmig_log_level level, const char *line)
{
	static char text[128];
	int pipes[2], saved = dup(STDERR_FILENO);
	ssize_t bytes;

	ck_assert_int_eq(pipe(pipes), 0);
	fflush(stderr);
	dup2(pipes[1], STDERR_FILENO);
	engine_log(&gmig, level, "%s", line);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(pipes[1]);
	bytes = read(pipes[0], text, sizeof(text) - 1);
	close(pipes[0]);
	text[bytes > 0 ? bytes : 0] = '\0';
	return text;
}

START_TEST(errors_and_warnings_that_nobody_asks_for_go_to_stderr)
{
	ck_assert_str_eq(written(GMIG_LOG_ERROR, "it broke"), "error it broke\n");
	ck_assert_str_eq(written(GMIG_LOG_WARNING, "it bends"), "warning it bends\n");
	ck_assert_str_eq(written(GMIG_LOG_INFO, "it works"), "");
}
END_TEST

START_TEST(failure_is_logged_each_time_and_told_once)
{
	tell();
	engine_fatal(&gmig, -ENOSPC, "block 0x%x is closed", 7u);
	ck_assert_str_eq(told.line, "event=fatal errno=ENOSPC text=\"block 0x7 is closed\"");
	ck_assert_int_eq(told.level, GMIG_LOG_ERROR);
	ck_assert_uint_eq(told.fatals, 1);
	ck_assert_int_eq(told.err.code, -ENOSPC);
	ck_assert_str_eq(told.err.text, "block 0x7 is closed");
	ck_assert(atomic_load(&gmig.memory.fatal));
	engine_fatal(&gmig, -EIO, "another one");
	ck_assert_uint_eq(told.lines, 2);
	ck_assert_str_eq(told.line, "event=fatal errno=EIO text=\"another one\"");
	ck_assert_uint_eq(told.fatals, 1);
	ck_assert_int_eq(told.err.code, -ENOSPC);
	/* Nobody to tell. */
	atomic_store(&gmig.memory.fatal, false);
	gmig.options.fatal = NULL;
	engine_fatal(&gmig, -EIO, "one more");
	ck_assert(atomic_load(&gmig.memory.fatal));
	ck_assert_uint_eq(told.lines, 3);
}
END_TEST

START_TEST(page_that_broke_is_counted_and_told_once)
{
	tell();
	ck_assert(engine_memory_broke(&gmig, 0x1234));
	ck_assert_str_eq(told.line, "event=memory-broken gfn=0x1234");
	ck_assert_int_eq(told.level, GMIG_LOG_ERROR);
	ck_assert_uint_eq(told.gpa, 0x1234000);
	ck_assert(!engine_memory_broke(&gmig, 0x1234));
	ck_assert_uint_eq(told.lines, 1);
	ck_assert_uint_eq(told.broke, 1);
	ck_assert_uint_eq(atomic_load(&gmig.broken_ever), 1);
	gmig.options.memory_broke = NULL;
	ck_assert(engine_memory_broke(&gmig, 0x1235));
	ck_assert_uint_eq(atomic_load(&gmig.broken_ever), 2);
	ck_assert_uint_eq(told.lines, 2);
	ck_assert_uint_eq(told.broke, 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    page_is_of_the_region_that_has_it,
	    region_from_a_page_is_the_one_that_has_it_or_the_next,
	    address_is_of_the_region_that_has_it,
	    pages_of_a_block_share_a_stripe_and_blocks_go_round,
	    sleepers_on_these_pages_leave_the_list_and_the_others_stay,
	    block_is_woken_by_the_userfaultfd_of_its_vnode,
	    settled_is_what_is_served_now_and_of_these_vnodes,
	    line_goes_to_the_owner_with_its_level,
	    errors_and_warnings_that_nobody_asks_for_go_to_stderr,
	    failure_is_logged_each_time_and_told_once,
	    page_that_broke_is_counted_and_told_once,
	};

	return run_tests("engine_parts", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
