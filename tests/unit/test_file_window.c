/*
 * What only a peer has touched of a file of hugetlb pages. Each case runs twice: on real ones, and on a file of tmpfs in their
 * place, whose minor faults are the same, for hosts whose pool is empty. Blocks are touched as a whole: there are no parts of
 * a hugetlb page.
 */
#include "../../migrate/gmig_move.h"
#include "../support/memfd_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

#define BLOCKS (BYTES / GMIG_BLOCK_BYTES)

enum { TMPFS, HUGETLB, BOTH };

/* ---- The file ---------------------------------------------------------------------------------- */

static int tmpfs_instead(const char *name, uint64_t bytes, uint64_t huge_bytes)
{
	(void)huge_bytes;
	return gmig_sys_real.memfd(name, bytes, 0);
}

static unsigned int pool(const char *of)
{
	char path[96];
	unsigned int count;
	FILE *pages;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s_hugepages", of);
	pages = fopen(path, "re");
	if (!pages || fscanf(pages, "%u", &count) != 1)
		count = 0;
	if (pages)
		fclose(pages);
	return count;
}

/* What can be taken without a claim. */
static unsigned int pool_left(void)
{
	return pool("free") - pool("resv");
}

static void calls_of(int what)
{
	two_nodes();
	if (what == TMPFS)
		sys.memfd = tmpfs_instead;
}

static void start_plain_or_not(bool plain)
{
	start_with(&(struct gmig_options){.sys = &sys, .plain = plain}, GMIG_REGION_MEMFD_HUGETLB);
}

static void start(int what)
{
	calls_of(what);
	start_plain_or_not(false);
}

static uint64_t file_bytes(void)
{
	struct stat status;

	ck_assert_int_eq(fstat(file.fd, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

static void punch(unsigned int block)
{
	ck_assert_int_eq(fallocate(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)(block * GMIG_BLOCK_BYTES), GMIG_BLOCK_BYTES),
			 0);
}

/* ---- The peer ---------------------------------------------------------------------------------- */

static void touch_block(uint8_t *shared, unsigned int block)
{
	memset(shared + block * GMIG_BLOCK_BYTES, 0x50 + (int)block, GMIG_BLOCK_BYTES);
}

static void touch_second(uint8_t *shared)
{
	touch_block(shared, 1);
}

static void touch_last(uint8_t *shared)
{
	touch_block(shared, BLOCKS - 1);
}

static void punch_second_touch_first(uint8_t *shared)
{
	punch(1);
	touch_block(shared, 0);
}

/* ---- Cases ------------------------------------------------------------------------------------- */

static void look_for_a_peer_s_pages(void)
{
	const uint64_t gpas[] = {GMIG_BLOCK_BYTES, 0, 2 * GMIG_BLOCK_BYTES - 1,
				 2 * GMIG_BLOCK_BYTES};
	int status[4];
	const struct gmig_pages pages = {.count = 4, .gpas = gpas, .status = status};

	peer(touch_second);
	ck_assert_int_eq(gmig_move_pages(gmig, &pages, &err), 0);
	ck_assert_int_eq(status[0], 0);
	ck_assert_int_eq(status[1], -ENOENT);
	ck_assert_int_eq(status[2], 0);
	ck_assert_int_eq(status[3], -ENOENT);
	peer(touch_last);
	ck_assert_uint_eq(on_node(0), 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(on_node(0), 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(file_bytes(), 2 * GMIG_BLOCK_BYTES);
	ck_assert_int_eq(ram[GMIG_BLOCK_BYTES], 0x51);
	ck_assert_int_eq(ram[BYTES - 1], 0x50 + (int)BLOCKS - 1);
}

START_TEST(page_that_only_a_peer_has_touched_is_counted_and_found)
{
	start(_i);
	look_for_a_peer_s_pages();
	assert_clean();
	end();
}
END_TEST

START_TEST(plain_memory_tells_what_only_a_peer_has_touched)
{
	calls_of(_i);
	start_plain_or_not(true);
	look_for_a_peer_s_pages();
	end();
}
END_TEST

START_TEST(what_nobody_has_touched_is_given_no_memory_by_looking)
{
	unsigned int before;

	start(_i);
	before = pool("free");
	ck_assert_uint_eq(on_node(0), 0);
	assert_clean();
	ck_assert_uint_eq(file_bytes(), 0);
	ck_assert_uint_eq(pool("free"), before);
	ck_assert_uint_ge(pool("resv"), _i == HUGETLB ? BLOCKS : 0);
	end();
}
END_TEST

START_TEST(window_takes_nothing_from_the_pool)
{
	unsigned int before = pool_left();

	start(_i);
	ck_assert_ptr_nonnull(gmig->regions[0].window.start);
	ck_assert_uint_eq(before - pool_left(), _i == HUGETLB ? BLOCKS : 0);
	end();
	ck_assert_uint_eq(pool_left(), before);
}
END_TEST

START_TEST(page_that_was_allocated_and_never_touched_is_counted)
{
	start(_i);
	ck_assert_int_eq(fallocate(file.fd, 0, GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES), 0);
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	end();
}
END_TEST

/* As many pages as before, and not the same ones: a count of the file's pages would not tell. */
START_TEST(page_that_a_peer_took_away_is_gone_and_its_new_one_is_found)
{
	start(_i);
	peer(touch_second);
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	peer(punch_second_touch_first);
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(file_bytes(), GMIG_BLOCK_BYTES);
	ck_assert_int_eq(ram[0], 0x50);
	assert_clean();
	end();
}
END_TEST

static int punched_before_it_is_mapped(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_READ)
		punch(1);
	return gmig_sys_real.advise(memory, bytes, advice);
}

/* The worst that can happen: it has memory again, and reads as zeros, as it should. */
START_TEST(hole_that_is_punched_while_it_is_looked_at_reads_as_zeros)
{
	start(_i);
	peer(touch_second);
	sys.advise = punched_before_it_is_mapped;
	on_node(0);
	sys.advise = gmig_sys_real.advise;
	ck_assert_int_eq(ram[GMIG_BLOCK_BYTES], 0);
	assert_clean();
	punch(1);
	ck_assert_uint_eq(on_node(0), 0);
	end();
}
END_TEST

/* Else the kernel would take it for a page that others have, too. */
START_TEST(nothing_stays_mapped_in_the_window)
{
	struct uffd_scan scan;

	start(_i);
	peer(touch_second);
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	ck_assert_int_eq(uffd_scan(gmig->sys, gmig->pagemap,
				   gmig->regions[0].window.start + GMIG_BLOCK_BYTES, &scan),
			 0);
	ck_assert(bits_empty(&scan.present));
	end();
}
END_TEST

START_TEST(job_moves_what_only_a_peer_has_touched)
{
	const struct gmig_job_spec spec = {.from = {0}, .from_count = 1, .to = {1}, .to_count = 1};
	struct gmig_job_info info;
	struct gmig_job *job;

	start(_i);
	memset((void *)ram, 1, GMIG_BLOCK_BYTES);
	peer(touch_second);
	ck_assert_msg(!gmig_job_start(gmig, &spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_msg(info.state == GMIG_JOB_COMPLETED, "%s", info.error.text);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	ck_assert_int_eq(atomic_load(&page_node[GMIG_BLOCK_PAGES]), 1);
	ck_assert_uint_eq(info.moved_bytes, 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(on_node(1), 2 * GMIG_BLOCK_BYTES);
	end();
}
END_TEST

/* ---- Two at a time ----------------------------------------------------------------------------- */

static atomic_uint unseen;

static void *look_again_and_again(void *opaque)
{
	const struct region *region = &gmig->regions[0];
	struct uffd_scan scan;

	(void)opaque;
	for (unsigned int i = 0; i < 50; i++) {
		madvise((void *)(ram + GMIG_BLOCK_BYTES), GMIG_BLOCK_BYTES, MADV_DONTNEED);
		if (file_window_has(gmig->sys, &region->window, GMIG_BLOCK_BYTES) != 1 ||
		    region->kind->scan(gmig, region, GMIG_BLOCK_PAGES, &scan))
			atomic_fetch_add(&unseen, 1);
	}
	return NULL;
}

START_TEST(two_who_look_at_a_page_both_see_it)
{
	pthread_t threads[2];

	start(_i);
	peer(touch_second);
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, look_again_and_again, NULL), 0);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(atomic_load(&unseen), 0);
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	end();
}
END_TEST

/* ---- Without ----------------------------------------------------------------------------------- */

static int failing_code;
static unsigned long failing; /* a request, if it is about minor faults */

static bool is_about_minor_faults(unsigned long request, const void *arg)
{
	const struct uffdio_register *range = arg;
	const struct uffdio_api *api = arg;

	return request == UFFDIO_API	    ? api->features & UFFD_FEATURE_MINOR_HUGETLBFS
	       : request == UFFDIO_REGISTER ? range->mode == UFFDIO_REGISTER_MODE_MINOR
					    : true;
}

static int ioctl_or_not(int fd, unsigned long request, void *arg)
{
	if (request == failing && is_about_minor_faults(request, arg))
		return failing_code;
	return gmig_sys_real.ioctl(fd, request, arg);
}

/* The table keeps what it knows of a page that cannot be asked about. */
START_TEST(page_that_cannot_be_asked_about_is_not_called_absent)
{
	start(_i);
	peer(touch_second);
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	sys.ioctl = ioctl_or_not;
	failing = UFFDIO_CONTINUE;
	failing_code = -ENOMEM;
	/* Out of our page tables, as a peer's page is. */
	ck_assert_int_eq(madvise((void *)(ram + GMIG_BLOCK_BYTES), GMIG_BLOCK_BYTES, MADV_DONTNEED),
			 0);
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	failing_code = -EFAULT; /* the file has none */
	ck_assert_uint_eq(on_node(0), 0);
	failing = 0;
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	assert_clean();
	end();
}
END_TEST

static int no_window(int fd, size_t bytes, void **out)
{
	(void)fd, (void)bytes, (void)out;
	return -ENOMEM;
}

/* As a kernel before Linux 5.18: of the window's pages, which are the file's, and of no others. */
static int no_dontneed(void *memory, size_t bytes, int advice)
{
	return advice == MADV_DONTNEED && bytes == BYTES
		   ? -EINVAL
		   : gmig_sys_real.advise(memory, bytes, advice);
}

static char said[256];

static void note(void *opaque, enum gmig_log_level level, const char *text)
{
	(void)opaque;
	if (level == GMIG_LOG_WARNING && strstr(text, "event=region"))
		snprintf(said, sizeof(said), "%s", text);
}

static const struct without {
	unsigned long request;
	int code;
	const char *says;
} withouts[] = {
    {UFFDIO_API, -EPERM, "EPERM"},
    {UFFDIO_API, -EINVAL, "EINVAL"},
    {UFFDIO_REGISTER, -EINVAL, "EINVAL"},
    {1, 0, "ENOMEM"}, /* of no call: no_window() */
    {2, 0, "EINVAL"}, /* no_dontneed() */
};

START_TEST(without_a_window_the_log_says_so_and_the_rest_works)
{
	const struct without *without = &withouts[_i];
	unsigned int before = open_files();
	struct gmig_region_file found;
	struct gmig_features features;

	calls_of(TMPFS);
	failing = without->request;
	failing_code = without->code;
	sys.ioctl = ioctl_or_not;
	if (without->request == 1)
		sys.map_window = no_window;
	if (without->request == 2)
		sys.advise = no_dontneed;
	*said = '\0';
	start_with(&(struct gmig_options){.sys = &sys, .log = note}, GMIG_REGION_MEMFD_HUGETLB);
	ck_assert_msg(strstr(said, without->says) && strstr(said, "not seen"), "%s", said);
	ck_assert_ptr_null(gmig->regions[0].window.start);
	ck_assert_int_eq(gmig_region_file(gmig, 0, &found), 0);
	ck_assert_str_eq(gmig_errno_name(found.unseen), without->says);
	gmig_probe_features_with(&sys, &features);
	if (without->request == UFFDIO_API)
		ck_assert_int_eq(features.minor_hugetlb, without->code == -EPERM
							     ? GMIG_FEATURE_NO_RIGHT
							     : GMIG_FEATURE_MISSING);
	peer(touch_second);
	ck_assert_uint_eq(on_node(0), 0);
	memset((void *)ram, 1, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(on_node(0), GMIG_BLOCK_BYTES);
	assert_clean();
	end();
	ck_assert_uint_eq(open_files(), before);
}
END_TEST

START_TEST(window_is_closed_with_the_guest)
{
	unsigned int before = open_files();

	start(_i);
	end();
	ck_assert_uint_eq(open_files(), before);
}
END_TEST

static const char *missing(void)
{
	static struct gmig_features features;
	struct file_window window;
	int fd, ret;

	if (gmig_probe_features(&features))
		return features.why;
	fd = gmig_sys_real.memfd("test", BYTES, 0);
	ret = fd < 0 ? fd : file_window_open(&gmig_sys_real, fd, BYTES, &window);
	if (!ret)
		file_window_close(&gmig_sys_real, &window);
	if (fd >= 0)
		close(fd);
	return ret ? "no userfaultfd for minor faults" : NULL;
}

int main(void)
{
	const char *why = missing();
	bool has_pool = pool_left() >= 2 * BLOCKS;
	const int kinds = has_pool ? BOTH : HUGETLB;
	TCase *tcase;
	Suite *suite;

	if (why) {
		printf("skipped: %s\n", why);
		return 77;
	}
	if (!has_pool)
		printf("skip file_window on hugetlb pages - the pool has fewer than %llu free ones "
		       "(vm.nr_hugepages)\n",
		       2 * BLOCKS);
	suite = suite_create("file_window");
	tcase = tcase_create("file_window");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, page_that_only_a_peer_has_touched_is_counted_and_found, 0,
			    kinds);
	tcase_add_loop_test(tcase, plain_memory_tells_what_only_a_peer_has_touched, 0, kinds);
	tcase_add_loop_test(tcase, what_nobody_has_touched_is_given_no_memory_by_looking, 0, kinds);
	tcase_add_loop_test(tcase, window_takes_nothing_from_the_pool, 0, kinds);
	tcase_add_loop_test(tcase, page_that_was_allocated_and_never_touched_is_counted, HUGETLB,
			    kinds);
	tcase_add_loop_test(tcase, page_that_a_peer_took_away_is_gone_and_its_new_one_is_found, 0,
			    kinds);
	tcase_add_loop_test(tcase, hole_that_is_punched_while_it_is_looked_at_reads_as_zeros, 0,
			    kinds);
	tcase_add_loop_test(tcase, nothing_stays_mapped_in_the_window, 0, kinds);
	tcase_add_loop_test(tcase, job_moves_what_only_a_peer_has_touched, 0, kinds);
	tcase_add_loop_test(tcase, two_who_look_at_a_page_both_see_it, 0, kinds);
	tcase_add_loop_test(tcase, page_that_cannot_be_asked_about_is_not_called_absent, 0, kinds);
	tcase_add_loop_test(tcase, without_a_window_the_log_says_so_and_the_rest_works, 0,
			    sizeof(withouts) / sizeof(withouts[0]));
	tcase_add_loop_test(tcase, window_is_closed_with_the_guest, 0, kinds);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
