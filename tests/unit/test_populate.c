/* Memory for all of a guest before it runs: all of it, where it belongs, or a text that names the node. */
#include "../../migrate/core/uffd.h"
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>

#define BLOCKS 16
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)

static struct gmig_sys sys;
static struct rig rig;
static atomic_int populates_left; /* then there is no memory; < 0: always */
static atomic_int asked, stop_at;

static int advise(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE && atomic_load(&populates_left) >= 0 &&
	    atomic_fetch_sub(&populates_left, 1) <= 0) {
		atomic_store(&populates_left, 0);
		return -ENOMEM;
	}
	return gmig_sys_real.advise(memory, bytes, advice);
}

static void create(bool small, uint64_t extra)
{
	struct rig_options options = {.bytes = BYTES,
				      .small_pages = small,
				      .untouched = true,
				      .extra_bytes_max = extra,
				      .sys = &sys};

	sys = gmig_sys_real;
	sys.advise = advise;
	atomic_store(&populates_left, -1);
	rig_create(&rig, &options);
}

static int populate(unsigned int threads, struct gmig_error *err)
{
	const struct gmig_populate how = {.threads = threads};

	return gmig_populate(rig.gmig, &how, err);
}

static uint64_t resident(void)
{
	uint64_t bytes[GMIG_MAX_NODES];

	ck_assert_int_eq(gmig_residency(rig.gmig, 0, bytes), 0);
	ck_assert_uint_eq(bytes[1], 0);
	return bytes[0];
}

static void finish(void)
{
	struct gmig_stats stats;

	rig_assert_clean(&rig);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.pool_bytes[0], 0); /* the guest has it, and nothing beside it */
	rig_destroy(&rig);
}

/* Every page is there without a fault, reads as zeros, and moves like any other. */
START_TEST(populated_guest_has_all_of_its_memory_before_a_touch)
{
	static const unsigned int threads[] = {0, 1, 4, GMIG_MAX_WORKERS};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err = {0};
	struct gmig_stats stats;

	create(_i & 1, 0);
	ck_assert_msg(!populate(threads[_i / 2], &err), "%s", err.text);
	ck_assert_uint_eq(resident(), BYTES);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(*rig_page(&rig, page), 0);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.faults, 0);
	ck_assert_uint_eq(rig.gmig->thp ? stats.page_bytes_2m : stats.page_bytes_4k, BYTES);
	ck_assert_msg(!populate(2, &err), "%s", err.text); /* nothing is left to do */
	rig_assert_clean(&rig);
	rig_move(&rig, &spec, &info);
	rig_assert_moved_all(&info, BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(more_threads_than_frames_may_be_had_fill_all)
{
	struct gmig_error err = {0};

	create(_i, 2 * GMIG_BLOCK_BYTES);
	ck_assert_msg(!populate(GMIG_MAX_WORKERS, &err), "%s", err.text);
	ck_assert_uint_eq(resident(), BYTES);
	finish();
}
END_TEST

START_TEST(block_that_has_holes_is_completed)
{
	struct gmig_error err = {0};
	struct gmig_check check;

	create(_i, 0);
	for (uint64_t page = 0; page < GMIG_BLOCK_PAGES; page++)
		rig_write_page(&rig, page);
	ck_assert_int_eq(madvise((void *)rig_page(&rig, 100), 3 * GMIG_PAGE_BYTES, MADV_DONTNEED),
			 0);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, &err), 0);
	ck_assert_uint_eq(resident(), GMIG_BLOCK_BYTES - 3 * GMIG_PAGE_BYTES);
	ck_assert_msg(!populate(2, &err), "%s", err.text);
	ck_assert_uint_eq(resident(), BYTES);
	for (uint64_t page = 0; page < GMIG_BLOCK_PAGES; page++)
		if (page < 100 || page > 102)
			ck_assert_uint_eq(rig_check_page(&rig, page), 0);
		else
			ck_assert_uint_eq(*rig_page(&rig, page), 0);
	finish();
}
END_TEST

START_TEST(node_without_memory_is_named_and_what_was_made_stays)
{
	struct gmig_error err = {0};

	create(_i & 1, 0);
	atomic_store(&populates_left, 9);
	ck_assert_int_eq(populate(_i & 2 ? 4 : 1, &err), -ENOMEM);
	ck_assert_msg(strstr(err.text, "vnode 0: no memory on host node 0 after ") &&
			  strstr(err.text, " of 32 MiB of the guest's memory"),
		      "%s", err.text);
	ck_assert_uint_gt(resident(), 0);
	ck_assert_uint_lt(resident(), BYTES);
	atomic_store(&populates_left, -1);
	ck_assert_msg(!populate(1, &err), "%s", err.text);
	ck_assert_uint_eq(resident(), BYTES);
	finish();
}
END_TEST

static bool stop(void *opaque)
{
	(void)opaque;
	return atomic_fetch_add(&asked, 1) >= atomic_load(&stop_at);
}

START_TEST(populating_ends_between_blocks_when_told_to)
{
	const struct gmig_populate how = {.threads = 1, .stop = stop};
	struct gmig_error err = {0};
	char text[64];

	create(false, 0);
	atomic_store(&asked, 0);
	atomic_store(&stop_at, 3);
	ck_assert_int_eq(gmig_populate(rig.gmig, &how, &err), -EINTR);
	ck_assert_uint_eq(resident(), 3 * GMIG_BLOCK_BYTES);
	ck_assert_int_eq(populate(GMIG_MAX_WORKERS + 1, &err), -EINVAL);
	snprintf(text, sizeof(text), "%u threads are more than %u", GMIG_MAX_WORKERS + 1u,
		 (unsigned int)GMIG_MAX_WORKERS);
	ck_assert_str_eq(err.text, text);
	finish();
}
END_TEST

/* The kernel takes memory of another node when this one is full. */
static int query_elsewhere(size_t count, void **pages, int *status)
{
	(void)pages;
	for (size_t i = 0; i < count; i++)
		status[i] = i == 300;
	return 0;
}

START_TEST(plain_memory_is_filled_and_asked_where_it_lies)
{
	struct gmig_options options = {.plain = true, .sys = &sys};
	const struct gmig_region_spec spec = {.bytes = BYTES};
	const struct gmig_populate how = {.threads = 2};
	unsigned char there[BYTES / GMIG_PAGE_BYTES];
	struct gmig_error err = {0};
	struct gmig *gmig;
	void *memory;

	sys = gmig_sys_real;
	if (_i)
		sys.query_nodes = query_elsewhere;
	ck_assert_int_eq(gmig_topology_create(0, &options.topology, &err), 0);
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	ck_assert_msg(!gmig_region_add(gmig, &spec, &memory, &err), "%s", err.text);
	ck_assert_int_eq(gmig_populate(gmig, &how, &err), _i ? -ENOMEM : 0);
	ck_assert_int_eq(mincore(memory, BYTES, there), 0);
	for (size_t i = 0; !_i && i < sizeof(there); i++)
		ck_assert(there[i] & 1);
	if (_i)
		ck_assert_ptr_nonnull(strstr(err.text, "vnode 0: no memory on host node 0 after"));
	gmig_destroy(gmig);
	gmig_topology_put(options.topology);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("populate");
	TCase *tcase = tcase_create("populate");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, populated_guest_has_all_of_its_memory_before_a_touch, 0, 8);
	tcase_add_loop_test(tcase, more_threads_than_frames_may_be_had_fill_all, 0, 2);
	tcase_add_loop_test(tcase, block_that_has_holes_is_completed, 0, 2);
	tcase_add_loop_test(tcase, node_without_memory_is_named_and_what_was_made_stays, 0, 4);
	tcase_add_test(tcase, populating_ends_between_blocks_when_told_to);
	tcase_add_loop_test(tcase, plain_memory_is_filled_and_asked_where_it_lies, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
