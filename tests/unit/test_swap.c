/* Guest memory that the host has put into swap. Needs swap: the lab makes some. */
#include "../../migrate/core/uffd.h"
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

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
	if (huge_or_skip(rig.gmig))
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

/* ---- Mover swap -------------------------------------------------------------------------------- */

static struct gmig_job_spec by_swap(unsigned int from, unsigned int to)
{
	struct gmig_job_spec spec = rig_spec(from, to);

	spec.mover = "swap";
	return spec;
}

/*
 * In compressed memory, which is written at once. On a disk a page keeps its frame until it is written, so that what somebody
 * writes to all the time stays where it is; and what is shared does, too.
 */
static bool swap_is_fast(void)
{
	FILE *file = fopen("/proc/swaps", "re");
	bool fast = false;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		fast |= strstr(line, "zram") != NULL;
	if (file)
		fclose(file);
	return fast;
}

/* Pages that this host has written to swap since it was started. */
static uint64_t pages_out(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/vmstat", "re");
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "pswpout %llu", &pages) == 1)
			break;
	if (file)
		fclose(file);
	return pages;
}

static void check_sums(const struct gmig_job_info *info)
{
	ck_assert_uint_eq(info->moved_bytes + info->remaining_bytes + info->gone_bytes +
			      info->by_others_bytes,
			  info->total_bytes);
}

START_TEST(mover_swap_brings_all_of_it_and_it_is_huge_again)
{
	struct gmig_job_spec spec = by_swap(0, 1);
	struct gmig_job_info info;
	uint64_t out = pages_out();
	struct gmig_stats stats;

	start(_i);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	ck_assert_uint_ge(pages_out() - out, BYTES / GMIG_PAGE_BYTES);
	ck_assert_uint_eq(kernel_swapped_bytes(), 0);
	gmig_stats(rig.gmig, &stats);
	if (!_i && huge_or_skip(rig.gmig)) {
		ck_assert_uint_eq(stats.page_bytes_2m, BYTES);
		ck_assert_uint_eq(info.thp_split, BYTES / GMIG_BLOCK_BYTES);
	}
	end();
}
END_TEST

START_TEST(mover_swap_moves_under_writers_and_loses_nothing)
{
	struct gmig_job_info info;

	start(_i & 1);
	rig_start(&rig, 2);
	for (unsigned int i = 0; i < 4; i++) {
		struct gmig_job_spec spec = by_swap(i % 2, (i + 1) % 2);

		spec.threads = 2;
		rig_move(&rig, &spec, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		check_sums(&info);
		ck_assert(info.moved_bytes || !swap_is_fast());
	}
	ck_assert_uint_eq(rig_stop(&rig), 0);
	end();
}
END_TEST

START_TEST(mover_swap_that_is_cancelled_leaves_nothing_in_swap)
{
	struct gmig_job_spec spec = by_swap(0, 1);
	struct gmig_job_info info;
	struct gmig_job *job;

	start(_i);
	spec.rate_bytes_per_second = 20ull << 20;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, NULL), 0);
	do {
		rig.gmig->sys->sleep_ns(1000000);
		gmig_job_info(job, &info);
	} while (!info.moved_bytes && info.state < GMIG_JOB_COMPLETED);
	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	check_sums(&info);
	ck_assert_uint_gt(info.remaining_bytes, 0);
	ck_assert_uint_eq(kernel_swapped_bytes(), 0);
	end();
}
END_TEST

/* What a pipe has of it without a copy has to stay where it is. */
START_TEST(page_that_somebody_holds_stays_and_keeps_its_content)
{
	struct gmig_job_spec spec = by_swap(0, 1);
	struct gmig_job_info info;
	struct iovec held;
	int ends[2];

	start(_i);
	held = (struct iovec){(void *)rig_page(&rig, 5), GMIG_PAGE_BYTES};
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(vmsplice(ends[1], &held, 1, 0), GMIG_PAGE_BYTES);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	check_sums(&info);
	ck_assert_uint_ge(info.remaining_bytes, GMIG_PAGE_BYTES);
	ck_assert_uint_ge(info.moved_bytes, BYTES - GMIG_BLOCK_BYTES);
	ck_assert_int_eq(info.remaining_count, 1);
	ck_assert(info.remaining[0].error == EAGAIN || info.remaining[0].error == EBUSY);
	close(ends[0]);
	close(ends[1]);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	end();
}
END_TEST

/* Another process, which maps the first block and has read page 3 of it: told by a byte, and ended by end of file. */
static pid_t start_peer(int fd, int *end)
{
	int ready[2], ends[2];
	char byte = 0;
	pid_t pid;

	ck_assert(!pipe(ready) && !pipe(ends));
	pid = fork();
	if (!pid) {
		const volatile char *peer =
		    mmap(NULL, GMIG_BLOCK_BYTES, PROT_READ, MAP_SHARED, fd, 0);

		close(ends[1]);
		byte = peer[3 * GMIG_PAGE_BYTES];
		_exit(write(ready[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 0);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	close(ends[0]);
	*end = ends[1];
	return pid;
}

START_TEST(mover_swap_moves_shared_memory_but_for_what_others_map)
{
	struct gmig_job_spec spec = by_swap(0, 1);
	struct gmig_region_file file;
	struct gmig_job_info info;
	int status, peer_end;
	pid_t peer;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .kind = GMIG_REGION_MEMFD});
	ck_assert_int_eq(gmig_region_file(rig.gmig, 0, &file), 0);
	peer = start_peer(file.fd, &peer_end);
	rig_assert_clean(&rig); /* the table learns of what was touched */
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	check_sums(&info);
	ck_assert_uint_ge(info.remaining_bytes, GMIG_PAGE_BYTES);
	ck_assert_int_eq(info.remaining[info.remaining_count - 1].error, EACCES);
	if (swap_is_fast()) {
		ck_assert_uint_ge(info.moved_bytes, BYTES - GMIG_BLOCK_BYTES);
		ck_assert_int_eq(info.remaining_count, 1);
	}
	ck_assert_uint_eq(smaps_swapped_bytes(), 0);
	close(peer_end);
	ck_assert_int_eq(waitpid(peer, &status, 0), peer);
	ck_assert_int_eq(status, 0);
	rig_move(&rig, &spec, &info);
	ck_assert(!info.remaining_bytes || !swap_is_fast());
	end();
}
END_TEST

START_TEST(pages_that_are_locked_stay_alone_and_nothing_is_left_in_swap)
{
	const uint64_t bytes = 10 * GMIG_PAGE_BYTES;
	struct gmig_job_spec spec = by_swap(0, 1);
	struct gmig_job_info info;
	rig_word *locked;

	start(_i);
	locked = rig_page(&rig, 100);
	if (!mlock((void *)locked, bytes)) {
		rig_move(&rig, &spec, &info);
		check_sums(&info);
		ck_assert_int_eq(info.remaining[0].error, EPERM);
		ck_assert_uint_eq(info.remaining[0].pages, 10);
		ck_assert_uint_eq(info.remaining_bytes, bytes);
		ck_assert_uint_eq(kernel_swapped_bytes(), 0);
		munlock((void *)locked, bytes);
	}
	end();
}
END_TEST

START_TEST(locked_guest_is_refused)
{
	struct gmig_job_spec spec = by_swap(0, 1);
	struct gmig_error err;
	struct gmig_job *job;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .lock_memory = true});
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "locked"));
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
	tcase_add_loop_test(tcase, mover_swap_brings_all_of_it_and_it_is_huge_again, 0, 2);
	tcase_add_loop_test(tcase, mover_swap_moves_under_writers_and_loses_nothing, 0, 2);
	tcase_add_loop_test(tcase, mover_swap_that_is_cancelled_leaves_nothing_in_swap, 0, 2);
	tcase_add_loop_test(tcase, page_that_somebody_holds_stays_and_keeps_its_content, 0, 2);
	tcase_add_test(tcase, mover_swap_moves_shared_memory_but_for_what_others_map);
	tcase_add_loop_test(tcase, pages_that_are_locked_stay_alone_and_nothing_is_left_in_swap, 0,
			    2);
	tcase_add_test(tcase, locked_guest_is_refused);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
