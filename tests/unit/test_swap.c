/* Guest memory that the host has put into swap. Needs swap: the lab makes some. */
#include "../../migrate/core/uffd.h"
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>

#define BYTES (16ull << 20)

static struct rig rig;

static bool host_has_swap(void)
{
	unsigned long long total = 0;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "SwapFree: %llu", &total) == 1)
			break;
	if (file)
		fclose(file);
	return total > 128 * 1024;
}

static uint64_t kernel_swapped_bytes(void)
{
	struct uffd_scan scan;
	uint64_t pages = 0;

	for (uint64_t at = 0; at < BYTES; at += GMIG_BLOCK_BYTES)
		if (!uffd_scan(rig.gmig->sys, rig.gmig->pagemap, (char *)rig.ram + at, &scan))
			pages += bits_count(&scan.swapped);
	return pages * GMIG_PAGE_BYTES;
}

static uint64_t swapped_bytes(void)
{
	uint64_t bytes;

	ck_assert_int_eq(gmig_swapped(rig.gmig, 0, &bytes), 0);
	return bytes;
}

static uint64_t resident_bytes(void)
{
	uint64_t bytes[GMIG_MAX_NODES];

	ck_assert_int_eq(gmig_residency(rig.gmig, 0, bytes), 0);
	return bytes[0] + bytes[1];
}

/* Half of the memory; what the kernel did not take is none of the test's business. */
static uint64_t swap_out(void)
{
	ck_assert_int_eq(madvise((void *)rig.ram, BYTES / 2, MADV_PAGEOUT), 0);
	return kernel_swapped_bytes();
}

static void start(bool small)
{
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = small});
}

static void end(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

START_TEST(swapped_page_is_on_no_node_and_has_a_column)
{
	struct gmig_check check;
	uint64_t out;

	start(_i);
	out = swap_out();
	ck_assert_uint_gt(out, 0);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	ck_assert_uint_eq(swapped_bytes(), out);
	ck_assert_uint_eq(resident_bytes(), BYTES - out);
	ck_assert_uint_eq(rig_check_all(&rig), 0); /* reads it all in */
	rig_assert_clean(&rig);
	ck_assert_uint_eq(swapped_bytes(), kernel_swapped_bytes());
	ck_assert_uint_eq(resident_bytes() + swapped_bytes(), BYTES);
	end();
}
END_TEST

START_TEST(job_brings_swapped_pages_in_and_its_blocks_are_huge_again)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_stats stats;

	start(false);
	ck_assert_uint_gt(swap_out(), 0);
	spec.mode = _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	ck_assert_uint_eq(kernel_swapped_bytes(), 0);
	gmig_stats(rig.gmig, &stats);
	/* Also those that were in swap: a stale bit of userfaultfd would stop the kernel. */
	ck_assert_uint_eq(stats.page_bytes_2m, BYTES);
	end();
}
END_TEST

START_TEST(job_told_to_skip_leaves_swapped_pages_with_a_reason)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	uint64_t out;

	start(_i);
	out = swap_out();
	spec.swapped = GMIG_SWAPPED_SKIP;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.remaining_bytes, out);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, ENODATA);
	ck_assert_uint_eq(info.moved_bytes, BYTES - out);
	ck_assert_uint_eq(kernel_swapped_bytes(), out);
	ck_assert_uint_eq(swapped_bytes(), out);
	end();
}
END_TEST

START_TEST(memory_moves_under_writers_while_the_host_swaps)
{
	struct gmig_job_info info;

	start(_i);
	rig_start(&rig, 2);
	for (unsigned int i = 0; i < 6; i++) {
		struct gmig_job_spec spec = rig_spec(i % 2, (i + 1) % 2);

		swap_out();
		rig_move(&rig, &spec, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		ck_assert_uint_eq(info.moved_bytes + info.remaining_bytes + info.gone_bytes +
				      info.by_others_bytes,
				  info.total_bytes);
	}
	ck_assert_uint_eq(rig_stop(&rig), 0);
	end();
}
END_TEST

/* Of all our mappings of shared files: smaps(5), which counts what tmpfs has in swap. */
static uint64_t smaps_swapped_bytes(void)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	unsigned long long kib, sum = 0;
	bool ours = false;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (strchr(line, '-') && strtoull(line, NULL, 16) >= 4096)
			ours = strstr(line, "/memfd:gmig-guest");
		if (ours && sscanf(line, "Swap: %llu", &kib) == 1)
			sum += kib;
	}
	if (maps)
		fclose(maps);
	return sum << 10;
}

/* tmpfs leaves nothing of it in page tables. */
START_TEST(shared_memory_in_swap_is_on_no_node_and_comes_back)
{
	struct gmig_check check;
	uint64_t out;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .kind = GMIG_REGION_MEMFD});
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	ck_assert_int_eq(madvise((void *)rig.ram, BYTES / 2, MADV_PAGEOUT), 0);
	ck_assert_uint_gt(smaps_swapped_bytes(), 0);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	/* What has been written to a slow device and not yet freed is in core: to look maps it again. */
	out = smaps_swapped_bytes();
	ck_assert_uint_eq(swapped_bytes(), out);
	ck_assert_uint_eq(resident_bytes(), BYTES - out);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	ck_assert_uint_eq(swapped_bytes(), smaps_swapped_bytes());
	ck_assert_uint_eq(resident_bytes() + swapped_bytes(), BYTES);
	end();
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase;

	if (!host_has_swap()) {
		printf("skipped: this host has no 128 MiB of free swap\n");
		return 77;
	}
	suite = suite_create("swap");
	tcase = tcase_create("swap");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, swapped_page_is_on_no_node_and_has_a_column, 0, 2);
	tcase_add_loop_test(tcase, job_brings_swapped_pages_in_and_its_blocks_are_huge_again, 0, 2);
	tcase_add_loop_test(tcase, job_told_to_skip_leaves_swapped_pages_with_a_reason, 0, 2);
	tcase_add_loop_test(tcase, memory_moves_under_writers_while_the_host_swaps, 0, 2);
	tcase_add_test(tcase, shared_memory_in_swap_is_on_no_node_and_comes_back);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
