/*
 * Regions that are files in memory: others map them, touch them first and punch holes, and the engine's books follow what the
 * kernel says.
 */
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../support/memfd_rig.h"

#include <fcntl.h>

static void start(void)
{
	start_with(&(struct gmig_options){0}, GMIG_REGION_MEMFD);
}

static void touch_quarter(uint8_t *shared)
{
	memset(shared + BYTES / 4, 0x5a, BYTES / 4);
}

static void punch_half(uint8_t *shared)
{
	(void)shared;
	if (fallocate(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BYTES / 2))
		_exit(3);
}

static void change_size(uint8_t *shared)
{
	(void)shared;
	if (!ftruncate(file.fd, BYTES / 2) || errno != EPERM)
		_exit(3);
	if (!ftruncate(file.fd, 2 * BYTES) || errno != EPERM)
		_exit(4);
	if (!fcntl(file.fd, F_ADD_SEALS, F_SEAL_WRITE) || errno != EPERM)
		_exit(5);
}

START_TEST(residency_counts_what_only_a_peer_has_touched)
{
	start_with(&(struct gmig_options){.plain = _i}, GMIG_REGION_MEMFD);
	ck_assert_uint_eq(on_node(0), 0);
	peer(touch_quarter);
	ck_assert_uint_eq(on_node(0), BYTES / 4);
	/* Nobody has made memory by looking. */
	ck_assert_uint_eq(on_node(0), BYTES / 4);
	ck_assert_int_eq(ram[BYTES / 4], 0x5a);
	ck_assert_int_eq(ram[BYTES / 2 - 1], 0x5a);
	ram[0] = 1;
	ck_assert_uint_eq(on_node(0), BYTES / 4 + GMIG_PAGE_BYTES);
	if (!_i)
		assert_clean();
	end();
}
END_TEST

START_TEST(first_touches_are_news_and_no_corrections)
{
	struct gmig_check check;

	start();
	peer(touch_quarter);
	ram[0] = 1;
	atomic_store(&page_node[0], 1); /* not where the region's memory goes */
	ck_assert_int_eq(gmig_check(gmig, &check, &err), 0);
	ck_assert_uint_eq(check.checked_pages, PAGES / 4 + 1);
	ck_assert_uint_eq(check.corrected_pages, 0);
	ck_assert_uint_eq(on_node(1), GMIG_PAGE_BYTES);
	peer(punch_half);
	ck_assert_int_eq(gmig_check(gmig, &check, &err), 0);
	ck_assert_uint_eq(check.corrected_pages, PAGES / 4 + 1);
	end();
}
END_TEST

START_TEST(hole_that_a_peer_punches_is_memory_no_more)
{
	start();
	memset((void *)ram, 0x77, BYTES);
	ck_assert_uint_eq(on_node(0), BYTES);
	peer(punch_half);
	ck_assert_uint_eq(on_node(0), BYTES / 2);
	assert_clean();
	ck_assert_int_eq(ram[0], 0);
	ck_assert_int_eq(ram[BYTES / 2], 0x77);
	end();
}
END_TEST

START_TEST(discard_gives_the_file_s_memory_back)
{
	const struct region *region;

	start();
	memset((void *)ram, 0x77, BYTES);
	region = &gmig->regions[0];
	ck_assert_int_eq(region->kind->discard(gmig, region, 512, 512), 0);
	ck_assert_uint_eq(on_node(0), BYTES - GMIG_BLOCK_BYTES);
	ck_assert_int_eq(ram[GMIG_BLOCK_BYTES - 1], 0x77);
	ck_assert_int_eq(ram[GMIG_BLOCK_BYTES], 0);
	end();
}
END_TEST

START_TEST(file_cannot_be_resized_or_sealed_by_a_peer)
{
	start();
	ck_assert_uint_eq(file.bytes, BYTES);
	ck_assert_uint_eq(file.gpa, 0);
	ck_assert_int_eq(gmig_region_file(gmig, 1, &file), -ENOENT);
	peer(change_size);
	end();
}
END_TEST

START_TEST(ram_has_no_file)
{
	start_with(&(struct gmig_options){0}, GMIG_REGION_RAM);
	ck_assert_int_eq(gmig_region_file(gmig, 0, &file), -ENOENT);
	end();
}
END_TEST

START_TEST(populate_fills_and_the_books_know)
{
	const struct gmig_populate how = {.threads = 2};

	start();
	ck_assert_msg(!gmig_populate(gmig, &how, &err), "%s", err.text);
	/* Without another look. */
	gmig->catch_up.rest_ns = UINT64_MAX;
	uint64_t bytes[GMIG_MAX_NODES];
	ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
	ck_assert_uint_eq(bytes[0], BYTES);
	end();
}
END_TEST

START_TEST(populate_says_when_the_node_gave_no_memory)
{
	const struct gmig_populate how = {0};

	start();
	for (size_t i = 0; i < PAGES; i++)
		atomic_store(&page_node[i], i < PAGES / 2 ? 0 : 1);
	ck_assert_int_eq(gmig_populate(gmig, &how, &err), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(err.text, "host node 0 after 4 of 8 MiB"));
	end();
}
END_TEST

/* The flags of the region's mapping: smaps(5). */
static bool has_flag(const char *flag)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	bool ours = false, has = false;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (strchr(line, '-') && strtoul(line, NULL, 16) >= 4096)
			ours = strtoul(line, NULL, 16) == (uintptr_t)ram;
		if (ours && !strncmp(line, "VmFlags:", 8)) {
			has = strstr(line, flag);
			ours = false;
		}
	}
	fclose(maps);
	return has;
}

START_TEST(core_dumps_leave_it_out_unless_told)
{
	start_with(&(struct gmig_options){.dump_memory = _i}, GMIG_REGION_MEMFD);
	ck_assert_int_eq(has_flag(" dd"), !_i);
	ck_assert(has_flag(" dc"));
	end();
}
END_TEST

/* ---- Adding one -------------------------------------------------------------------------------- */

static int fails, calls;

static bool is_nth(void)
{
	return ++calls == fails;
}

static int memfd_nth(const char *name, uint64_t bytes, uint64_t huge_bytes)
{
	return is_nth() ? -EMFILE : gmig_sys_real.memfd(name, bytes, huge_bytes);
}

static int map_file_nth(int fd, size_t bytes, void *fixed)
{
	return is_nth() ? -ENOMEM : gmig_sys_real.map_file(fd, bytes, fixed);
}

static int advise_nth(void *memory, size_t bytes, int advice)
{
	return advice == MADV_DONTFORK && is_nth() ? -ENOMEM
						   : gmig_sys_real.advise(memory, bytes, advice);
}

static int prefer_nth(void *memory, size_t bytes, int node)
{
	(void)node;
	return is_nth() ? -ENOMEM : gmig_sys_real.prefer_node(memory, bytes, 0);
}

START_TEST(region_that_could_not_be_added_leaves_nothing_and_can_be_added)
{
	static const char *const texts[] = {"EMFILE", "shared guest memory", "fork", "mbind"};
	const struct gmig_region_spec spec = {
	    .gpa = BYTES, .bytes = BYTES, .kind = GMIG_REGION_MEMFD};
	unsigned int before;
	void *hva;

	start();
	before = open_files();
	sys.memfd = memfd_nth;
	sys.map_file = map_file_nth;
	sys.advise = advise_nth;
	sys.prefer_node = prefer_nth;
	fails = _i + 1;
	ck_assert_int_lt(gmig_region_add(gmig, &spec, &hva, &err), 0);
	ck_assert_msg(strstr(err.text, texts[_i]), "%s", err.text);
	ck_assert_uint_eq(open_files(), before);
	ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
	((volatile uint8_t *)hva)[BYTES - 1] = 1;
	ck_assert_uint_eq(on_node(0), GMIG_PAGE_BYTES);
	end();
}
END_TEST

START_TEST(kind_that_nobody_knows_is_refused)
{
	const struct gmig_region_spec spec = {
	    .gpa = BYTES, .bytes = BYTES, .kind = (enum gmig_region_kind)9};
	void *hva;

	start();
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "kind 9"));
	end();
}
END_TEST

static unsigned int free_huge_pages(void)
{
	FILE *pool = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	unsigned int count = 0;

	if (!pool || fscanf(pool, "%u", &count) != 1)
		count = 0;
	if (pool)
		fclose(pool);
	return count;
}

/* With the pool that there is: where it is empty, the refusal is tested; else the memory. */
START_TEST(hugetlb_file_takes_whole_pages_of_the_pool_or_is_refused_in_words)
{
	const struct gmig_region_spec spec = {
	    .gpa = BYTES, .bytes = BYTES, .kind = GMIG_REGION_MEMFD_HUGETLB};
	struct gmig_stats stats;
	void *hva;
	int ret;

	start();
	ret = gmig_region_add(gmig, &spec, &hva, &err);
	if (free_huge_pages() < 2 * BYTES / GMIG_BLOCK_BYTES && ret) {
		ck_assert_int_ne(ret, -EPERM);
		ck_assert_msg(strstr(err.text, "2 MiB pages") || strstr(err.text, "huge pages"),
			      "%s", err.text);
		end();
		return;
	}
	ck_assert_msg(!ret, "%s", err.text);
	ck_assert_int_eq(gmig_region_file(gmig, 1, &file), 0);
	ck_assert(file.hugetlb);
	((volatile uint8_t *)hva)[GMIG_BLOCK_BYTES] = 1;
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	gmig_stats(gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, GMIG_BLOCK_BYTES);
	assert_clean();
	end();
}
END_TEST

/* ---- Jobs -------------------------------------------------------------------------------------- */

static struct gmig_job_spec spec_of(bool move_all)
{
	return (struct gmig_job_spec){
	    .from = {0}, .from_count = 1, .to = {1}, .to_count = 1, .move_all = move_all};
}

static struct gmig_job_info run(const struct gmig_job_spec *spec)
{
	struct gmig_job_info info;
	struct gmig_job *job;

	ck_assert_msg(!gmig_job_start(gmig, spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_msg(info.state == GMIG_JOB_COMPLETED, "%s", info.error.text);
	ck_assert_uint_eq(info.total_bytes, info.moved_bytes + info.remaining_bytes +
						info.gone_bytes + info.by_others_bytes);
	return info;
}

static int none_in_core(void *memory, size_t bytes, unsigned char *pages)
{
	(void)memory;
	memset(pages, 0, bytes / GMIG_PAGE_BYTES);
	return 0;
}

/* What the file has, and neither core nor page tables have: the lab's test_swap does it with swap. */
START_TEST(data_that_is_not_in_core_is_in_swap_and_a_job_reads_it_in)
{
	const struct gmig_job_spec spec = spec_of(false);
	struct gmig_job_info info;
	uint64_t swapped;

	start();
	sys.in_core = none_in_core;
	peer(touch_quarter);
	ck_assert_uint_eq(on_node(0), 0);
	ck_assert_int_eq(gmig_swapped(gmig, 0, &swapped), 0);
	ck_assert_uint_eq(swapped, BYTES / 4);
	assert_clean();
	for (size_t i = PAGES / 4; i < PAGES / 4 + 8; i++) /* read in on the target */
		atomic_store(&page_node[i], 1);
	info = run(&spec);
	ck_assert_uint_eq(info.moved_bytes, BYTES / 4);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(on_node(1), BYTES / 4);
	ck_assert_int_eq(gmig_swapped(gmig, 0, &swapped), 0);
	ck_assert_uint_eq(swapped, 0);
	ck_assert_int_eq(ram[BYTES / 4], 0x5a);
	end();
}
END_TEST

static atomic_ullong farthest;

static int64_t seek_and_note(int fd, uint64_t offset, int whence)
{
	int64_t found = gmig_sys_real.seek(fd, offset, whence);

	if (found > 0 && (uint64_t)found - offset > atomic_load(&farthest))
		atomic_store(&farthest, (uint64_t)found - offset);
	return found;
}

/* The kernel goes page by page through data, 50 ms a GiB, to find where it ends; and the block is locked meanwhile. */
START_TEST(block_with_a_hole_is_looked_at_alone)
{
	start();
	memset((void *)(ram + GMIG_PAGE_BYTES), 1, BYTES - GMIG_PAGE_BYTES);
	sys.seek = seek_and_note;
	ck_assert_uint_eq(on_node(0), BYTES - GMIG_PAGE_BYTES);
	ck_assert_uint_gt(atomic_load(&farthest), 0);
	ck_assert_uint_le(atomic_load(&farthest), GMIG_BLOCK_BYTES);
	end();
}
END_TEST

START_TEST(job_without_a_mover_takes_the_kernel_and_moves_what_a_peer_touched)
{
	const struct gmig_job_spec spec = spec_of(false);
	struct gmig_job_info info;

	start();
	ram[0] = 1;
	peer(touch_quarter);
	info = run(&spec);
	ck_assert_str_eq(info.spec.mover, "kernel");
	ck_assert_uint_eq(info.moved_bytes, BYTES / 4 + GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	ck_assert_uint_eq(on_node(1), BYTES / 4 + GMIG_PAGE_BYTES);
	ck_assert_uint_eq(atomic_load(&gmig->regions[0].preferred_node), 1);
	assert_clean();
	end();
}
END_TEST

START_TEST(job_leaves_shared_pages_with_eacces_and_moves_them_when_told)
{
	struct gmig_job_spec spec = spec_of(false);
	struct gmig_job_info info;

	start();
	may_move_shared = true;
	memset((void *)ram, 1, BYTES);
	for (size_t i = 0; i < PAGES; i += 2)
		page_shared[i] = true;
	info = run(&spec);
	ck_assert_uint_eq(info.moved_bytes, BYTES / 2);
	ck_assert_uint_eq(info.remaining_bytes, BYTES / 2);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, EACCES);
	ck_assert_uint_eq(info.bytes_on_source, BYTES / 2);
	spec.move_all = true;
	info = run(&spec);
	ck_assert_uint_eq(info.moved_bytes, BYTES / 2);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(on_node(1), BYTES);
	end();
}
END_TEST

START_TEST(bind_with_move_all_moves_what_others_map)
{
	const struct gmig_bind_spec spec = {.bytes = BYTES,
					    .flags = _i ? GMIG_BIND_MOVE_ALL : GMIG_BIND_MOVE};
	struct gmig_job_info info;
	struct gmig_job *job;

	start();
	may_move_shared = true;
	memset((void *)ram, 1, BYTES);
	for (size_t i = 0; i < PAGES; i++) {
		page_shared[i] = true;
		atomic_store(&page_node[i], 1);
	}
	ck_assert_msg(!gmig_bind(gmig, &spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_uint_eq(info.moved_bytes, _i ? BYTES : 0);
	ck_assert_uint_eq(info.remaining_bytes, _i ? 0 : BYTES);
	end();
}
END_TEST

START_TEST(page_that_only_a_peer_has_touched_is_where_it_is)
{
	const uint64_t gpas[] = {BYTES / 4, 0, BYTES / 2 - 1, BYTES / 2};
	int status[4];
	const struct gmig_pages pages = {.count = 4, .gpas = gpas, .status = status};

	start_with(&(struct gmig_options){.plain = _i}, GMIG_REGION_MEMFD);
	peer(touch_quarter);
	ck_assert_int_eq(gmig_move_pages(gmig, &pages, &err), 0);
	ck_assert_int_eq(status[0], 0);
	ck_assert_int_eq(status[1], -ENOENT);
	ck_assert_int_eq(status[2], 0);
	ck_assert_int_eq(status[3], -ENOENT);
	end();
}
END_TEST

static void punch_first_block(void)
{
	ck_assert_int_eq(
	    fallocate(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, GMIG_BLOCK_BYTES), 0);
	before_move = NULL;
}

START_TEST(job_counts_a_hole_punched_meanwhile_as_gone)
{
	const struct gmig_job_spec spec = spec_of(false);
	struct gmig_job_info info;

	start();
	memset((void *)ram, 1, BYTES);
	before_move = punch_first_block;
	info = run(&spec);
	ck_assert_uint_eq(info.gone_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.moved_bytes, BYTES - GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.passes, 1);
	ck_assert_uint_eq(on_node(1), BYTES - GMIG_BLOCK_BYTES);
	assert_clean();
	end();
}
END_TEST

static const struct refused_job {
	const char *mover;
	bool move_all;
	enum gmig_region_kind kind;
	enum gmig_mode mode;
	int code;
	const char *text;
} refused_jobs[] = {
    {"uffd", false, GMIG_REGION_MEMFD, GMIG_MODE_READABLE, -EINVAL, "use kernel"},
    {NULL, true, GMIG_REGION_MEMFD, GMIG_MODE_READABLE, -EPERM, "CAP_SYS_NICE"},
    {NULL, false, GMIG_REGION_MEMFD, GMIG_MODE_BLOCK, -EINVAL, "no mode block"},
};

START_TEST(job_that_cannot_be_is_refused_in_words)
{
	const struct refused_job *refused = &refused_jobs[_i];
	struct gmig_job_spec spec = spec_of(refused->move_all);
	struct gmig_job *job;

	start_with(&(struct gmig_options){0}, refused->kind);
	spec.mover = refused->mover;
	spec.mode = refused->mode;
	ck_assert_int_eq(gmig_job_start(gmig, &spec, &job, &err), refused->code);
	ck_assert_msg(strstr(err.text, refused->text), "%s", err.text);
	end();
}
END_TEST

START_TEST(policy_of_a_range_is_refused_in_words)
{
	struct gmig_bind_spec spec = {.bytes = BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND, .nodes = {{1}}}};
	struct gmig_job *job;

	start();
	ck_assert_int_eq(gmig_bind(gmig, &spec, &job, &err), -EOPNOTSUPP);
	ck_assert_msg(strstr(err.text, "memfd"), "%s", err.text);
	end();
}
END_TEST

START_TEST(job_on_fake_nodes_is_refused_and_residency_works)
{
	const struct gmig_job_spec spec = spec_of(false);
	struct gmig_topology *fake;
	struct gmig_job *job;

	ck_assert_int_eq(gmig_topology_create(2, &fake, &err), 0);
	start_with(&(struct gmig_options){.topology = fake}, GMIG_REGION_MEMFD);
	peer(touch_quarter);
	ck_assert_uint_eq(on_node(0), BYTES / 4);
	ck_assert_int_eq(gmig_job_start(gmig, &spec, &job, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "fake"));
	end();
}
END_TEST

/* ---- Time -------------------------------------------------------------------------------------- */

static atomic_ullong fake_ns;

/* Each look at the clock takes a millisecond. */
static uint64_t slow_clock(void)
{
	return atomic_fetch_add(&fake_ns, 1000000);
}

START_TEST(answers_on_a_slow_host_are_late_and_not_long)
{
	uint64_t bytes[GMIG_MAX_NODES], begin;
	unsigned int answers = 0;

	sys = gmig_sys_real;
	sys.now_ns = slow_clock;
	start_with(&(struct gmig_options){.sys = &sys}, GMIG_REGION_MEMFD);
	for (unsigned int i = 1; i < 16; i++) {
		const struct gmig_region_spec spec = {
		    .gpa = i * BYTES, .bytes = BYTES, .kind = GMIG_REGION_MEMFD};
		void *hva;

		ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), 0);
		((volatile uint8_t *)hva)[0] = 1;
	}
	do {
		begin = atomic_load(&fake_ns);
		ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
		ck_assert_uint_le(atomic_load(&fake_ns) - begin, 30000000);
		answers++;
	} while (bytes[0] < 15 * GMIG_PAGE_BYTES && answers < 10000);
	ck_assert_uint_eq(bytes[0], 15 * GMIG_PAGE_BYTES);
	ck_assert_uint_gt(answers, 2);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memfd");
	TCase *tcase = tcase_create("memfd");
	struct gmig_features features;

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, residency_counts_what_only_a_peer_has_touched, 0, 2);
	tcase_add_test(tcase, first_touches_are_news_and_no_corrections);
	tcase_add_test(tcase, data_that_is_not_in_core_is_in_swap_and_a_job_reads_it_in);
	tcase_add_test(tcase, block_with_a_hole_is_looked_at_alone);
	tcase_add_test(tcase, hole_that_a_peer_punches_is_memory_no_more);
	tcase_add_test(tcase, discard_gives_the_file_s_memory_back);
	tcase_add_test(tcase, file_cannot_be_resized_or_sealed_by_a_peer);
	tcase_add_test(tcase, ram_has_no_file);
	tcase_add_test(tcase, populate_fills_and_the_books_know);
	tcase_add_test(tcase, populate_says_when_the_node_gave_no_memory);
	tcase_add_loop_test(tcase, core_dumps_leave_it_out_unless_told, 0, 2);
	tcase_add_loop_test(tcase, region_that_could_not_be_added_leaves_nothing_and_can_be_added,
			    0, 4);
	tcase_add_test(tcase, kind_that_nobody_knows_is_refused);
	tcase_add_test(tcase, hugetlb_file_takes_whole_pages_of_the_pool_or_is_refused_in_words);
	tcase_add_test(tcase, job_without_a_mover_takes_the_kernel_and_moves_what_a_peer_touched);
	tcase_add_test(tcase, job_leaves_shared_pages_with_eacces_and_moves_them_when_told);
	tcase_add_loop_test(tcase, bind_with_move_all_moves_what_others_map, 0, 2);
	tcase_add_loop_test(tcase, page_that_only_a_peer_has_touched_is_where_it_is, 0, 2);
	tcase_add_test(tcase, job_counts_a_hole_punched_meanwhile_as_gone);
	tcase_add_loop_test(tcase, job_that_cannot_be_is_refused_in_words, 0,
			    sizeof(refused_jobs) / sizeof(refused_jobs[0]));
	tcase_add_test(tcase, policy_of_a_range_is_refused_in_words);
	tcase_add_test(tcase, job_on_fake_nodes_is_refused_and_residency_works);
	tcase_add_test(tcase, answers_on_a_slow_host_are_late_and_not_long);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
