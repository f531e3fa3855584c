/*
 * A file in memory, call by call: which pages that only a peer has touched are mapped, which are in swap, and what is asked for
 * each. No memory is mapped: a table of system calls answers.
 */
#include "../../migrate/memory/region.h"
#include "suite.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  GMIG_PAGE_BYTES
#define HVA   ((uint8_t *)0x7f0000000000)
#define FIRST 2048ull /* the region's first page */
#define BLOCK (FIRST + 512)

static struct gmig_topology *topology;
static struct gmig *gmig;
static struct region region;
static struct gmig_error err;
static struct gmig_sys sys;
static struct uffd_scan scan;

/* ---- What the kernel says -------------------------------------------------------------------------- */

static struct bits mapped, in_core_pages, data_pages;
static unsigned int scans;
static int scan_error, in_core_error, continue_says, populate_error;
static char text[600];

static void note(const char *what, uint64_t first, uint64_t count)
{
	size_t used = strlen(text);

	snprintf(text + used, sizeof(text) - used, "%s%s %llu+%llu", used ? ", " : "", what,
		 (unsigned long long)first, (unsigned long long)count);
}

static int fake_scan(struct pm_scan_arg *arg)
{
	struct page_region *out = (struct page_region *)(uintptr_t)arg->vec;
	unsigned int first = 0, count;
	int found = 0;

	scans++;
	ck_assert_ptr_eq((void *)(uintptr_t)arg->start, HVA + 512 * PAGE);
	if (scan_error)
		return scan_error;
	while ((count = bits_run(&mapped, &first))) {
		ck_assert_uint_lt((unsigned int)found, arg->vec_len);
		out[found++] = (struct page_region){arg->start + first * PAGE,
						    arg->start + (first + count) * PAGE,
						    PAGE_IS_PRESENT | PAGE_IS_WRITTEN};
		first += count;
	}
	arg->walk_end = arg->end;
	return found;
}

static int ask(int fd, unsigned long request, void *argument)
{
	struct uffdio_continue *go_on = argument;

	(void)fd;
	if (request == PAGEMAP_SCAN)
		return fake_scan(argument);
	ck_assert_uint_eq(request, UFFDIO_CONTINUE);
	note("continue", go_on->range.start / PAGE, go_on->range.len / PAGE);
	go_on->mapped = continue_says ? continue_says : (int64_t)go_on->range.len;
	return continue_says;
}

static int tell_core(void *memory, size_t bytes, unsigned char *pages)
{
	ck_assert_ptr_eq(memory, HVA + 512 * PAGE);
	ck_assert_uint_eq(bytes, GMIG_BLOCK_BYTES);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		pages[i] = bits_get(&in_core_pages, i) | 2;
	return in_core_error;
}

static int map_them(void *memory, size_t bytes, int advice)
{
	uint64_t first = (uint64_t)((uint8_t *)memory - HVA) / PAGE - 512;

	if (advice == MADV_DONTNEED) {
		note("drop", (uintptr_t)memory / PAGE, bytes / PAGE);
		return 0;
	}
	ck_assert_int_eq(advice, MADV_POPULATE_READ);
	note("map", first, bytes / PAGE);
	if (populate_error)
		return populate_error;
	bits_set_range(&mapped, (unsigned int)first, (unsigned int)(bytes / PAGE));
	return 0;
}

/* Data of the block; and of the next one, where there is always some. */
static int64_t seek(int fd, uint64_t offset, int whence)
{
	unsigned int page = (unsigned int)(offset / PAGE) - 512;

	ck_assert_int_eq(fd, 77);
	ck_assert_int_eq(whence, SEEK_DATA);
	ck_assert_uint_lt(page, GMIG_BLOCK_PAGES);
	note("seek", page, 1);
	page = bits_next(&data_pages, page, true);
	return (int64_t)((512 + page) * PAGE);
}

static int64_t seek_nothing(int fd, uint64_t offset, int whence)
{
	(void)fd, (void)whence;
	note("seek", offset / PAGE - 512, 1);
	return -ENXIO;
}

/* Data at the file's begin, and nowhere else. */
static int64_t seek_first_page(int fd, uint64_t offset, int whence)
{
	(void)fd, (void)whence;
	return offset ? -ENXIO : 0;
}

static uint64_t hole_offset, hole_bytes;

static int punch(int fd, uint64_t offset, uint64_t bytes)
{
	ck_assert_int_eq(fd, 77);
	hole_offset = offset;
	hole_bytes = bytes;
	return -EPERM;
}

static void setup(void)
{
	struct gmig_options options = {.plain = true, .sys = &sys};

	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	sys = gmig_sys_real;
	sys.ioctl = ask;
	sys.in_core = tell_core;
	sys.advise = map_them;
	sys.seek = seek;
	sys.punch_hole = punch;
	options.topology = topology;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	region = (struct region){
	    .kind = &region_memfd, .gfn = FIRST, .pages = 2048, .hva = HVA, .fd = 77};
}

static void teardown(void)
{
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}

static int look(void)
{
	scans = 0;
	text[0] = '\0';
	memset(&scan, 0xff, sizeof(scan));
	return region_memfd.scan(gmig, &region, BLOCK, &scan);
}

/* ---- Pages of tmpfs ---------------------------------------------------------------------------------- */

START_TEST(block_that_is_mapped_is_asked_for_once)
{
	bits_fill(&mapped);
	ck_assert_int_eq(look(), 0);
	ck_assert_uint_eq(scans, 1);
	ck_assert_str_eq(text, "");
	ck_assert(bits_full(&scan.present) && bits_empty(&scan.swapped));
}
END_TEST

START_TEST(pages_in_core_that_are_not_mapped_are_mapped_run_by_run)
{
	bits_set_range(&mapped, 3, 2);
	bits_set_range(&in_core_pages, 0, 8);
	bits_set_range(&in_core_pages, 510, 2);
	ck_assert_int_eq(look(), 0);
	ck_assert_uint_eq(scans, 2);
	ck_assert_str_eq(text, "map 0+3, map 5+3, map 510+2, seek 8+1");
	ck_assert_uint_eq(bits_count(&scan.present), 10);
	ck_assert(bits_get(&scan.present, 4) && !bits_get(&scan.present, 8));
	ck_assert(bits_empty(&scan.swapped));
	/* Then all that is in core is mapped. */
	ck_assert_int_eq(look(), 0);
	ck_assert_uint_eq(scans, 1);
	ck_assert_str_eq(text, "seek 8+1");
	/* As if nothing were, where the kernel knows no such call. */
	bits_clear_all(&mapped);
	in_core_error = -ENOSYS;
	ck_assert_int_eq(look(), 0);
	ck_assert_str_eq(text, "seek 0+1");
	ck_assert(bits_empty(&scan.present));
}
END_TEST

static int64_t seek_refused(int fd, uint64_t offset, int whence)
{
	(void)fd, (void)offset, (void)whence;
	return -EINTR;
}

/* "Nothing is there" would be a guest without its memory. */
START_TEST(look_that_fails_for_want_of_memory_says_nothing_of_what_is_there)
{
	in_core_error = -EAGAIN;
	ck_assert_int_eq(look(), -EAGAIN);
	ck_assert_str_eq(text, "");
	in_core_error = 0;
	bits_set_range(&in_core_pages, 0, 8);
	bits_set_range(&in_core_pages, 510, 2);
	populate_error = -ENOMEM;
	ck_assert_int_eq(look(), -ENOMEM);
	ck_assert_str_eq(text, "map 0+8");
	populate_error = -EINVAL; /* a kernel before 5.14 */
	ck_assert_int_eq(look(), 0);
	ck_assert_str_eq(text, "map 0+8, map 510+2, seek 0+1");
	populate_error = 0;
	sys.seek = seek_refused;
	ck_assert_int_eq(look(), -EINTR);
}
END_TEST

START_TEST(data_that_is_neither_mapped_nor_in_core_is_in_swap)
{
	bits_set_range(&mapped, 0, 4);
	bits_set_range(&data_pages, 2, 4); /* of which two are mapped */
	bits_set(&data_pages, 100);
	ck_assert_int_eq(look(), 0);
	/* A page is asked for where nothing is known, and never where data ends. */
	ck_assert_str_eq(text, "seek 4+1, seek 5+1, seek 6+1, seek 101+1");
	ck_assert_uint_eq(bits_count(&scan.swapped), 3);
	ck_assert(bits_get(&scan.swapped, 4) && bits_get(&scan.swapped, 5) &&
		  bits_get(&scan.swapped, 100));
	ck_assert_uint_eq(bits_count(&scan.present), 7);
	/* Up to the last page. */
	bits_clear_all(&data_pages);
	bits_set(&data_pages, 511);
	ck_assert_int_eq(look(), 0);
	ck_assert_str_eq(text, "seek 4+1");
	ck_assert(bits_get(&scan.swapped, 511) && bits_get(&scan.present, 511));
	/* None behind it in the file. */
	sys.seek = seek_nothing;
	ck_assert_int_eq(look(), 0);
	ck_assert(bits_empty(&scan.swapped));
	ck_assert_uint_eq(bits_count(&scan.present), 4);
}
END_TEST

START_TEST(file_whose_first_page_is_data_is_told_from_one_without)
{
	struct region first = region;

	/* The block is the file's first: data may be at 0. */
	first.gfn = BLOCK;
	first.hva = HVA + 512 * PAGE;
	sys.seek = seek_nothing;
	ck_assert_int_eq(region_memfd.scan(gmig, &first, BLOCK, &scan), 0);
	ck_assert(bits_empty(&scan.swapped));
	sys.seek = seek_first_page;
	ck_assert_int_eq(region_memfd.scan(gmig, &first, BLOCK, &scan), 0);
	ck_assert_uint_eq(bits_count(&scan.swapped), 1);
	ck_assert(bits_get(&scan.swapped, 0) && bits_get(&scan.present, 0));
}
END_TEST

START_TEST(scan_that_fails_is_an_error_and_says_nothing_of_swap)
{
	bits_fill(&data_pages);
	scan_error = -EPERM;
	ck_assert_int_eq(look(), -EPERM);
	ck_assert_str_eq(text, "");
	ck_assert_uint_eq(scans, 1);
	/* On the second time, too. */
	bits_fill(&in_core_pages);
	ck_assert_int_eq(look(), -EPERM);
	ck_assert_uint_eq(scans, 2);
	ck_assert_str_eq(text, "map 0+512");
}
END_TEST

/* ---- Pages of hugetlbfs ------------------------------------------------------------------------------ */

START_TEST(huge_page_that_only_a_peer_has_touched_is_mapped)
{
	region.hugetlb = true;
	/* Without a window nobody knows. */
	ck_assert_int_eq(look(), 0);
	ck_assert_str_eq(text, "");
	ck_assert_uint_eq(scans, 1);
	region.window = (struct file_window){
	    .start = (uint8_t *)(uintptr_t)(1000 * PAGE), .bytes = 2048 * PAGE, .uffd = 9};
	ck_assert_int_eq(look(), 0);
	ck_assert_str_eq(text, "continue 1512+512, drop 1512+512, map 0+512");
	ck_assert_uint_eq(scans, 2);
	ck_assert(bits_full(&scan.present));
	/* What is mapped is not asked for. */
	ck_assert_int_eq(look(), 0);
	ck_assert_str_eq(text, "");
	/* Not there; there already for somebody else; and what nobody can say. */
	bits_clear_all(&mapped);
	continue_says = -EFAULT;
	ck_assert_int_eq(look(), 0);
	ck_assert_str_eq(text, "continue 1512+512");
	ck_assert_uint_eq(scans, 1);
	continue_says = -EEXIST;
	ck_assert_int_eq(look(), 0);
	ck_assert_uint_eq(scans, 2);
	bits_clear_all(&mapped);
	continue_says = -ENOMEM;
	ck_assert_int_eq(look(), -ENOMEM);
	ck_assert_uint_eq(scans, 1);
	ck_assert_str_eq(text, "continue 1512+512, drop 1512+512");
	continue_says = 0;
	populate_error = -ENOMEM;
	ck_assert_int_eq(look(), -ENOMEM);
	continue_says = -EFAULT;
	scan_error = -EPERM;
	ck_assert_int_eq(look(), -EPERM);
}
END_TEST

START_TEST(hole_is_punched_where_the_pages_are_in_the_file)
{
	ck_assert_int_eq(region_memfd.discard(gmig, &region, FIRST + 5, 7), -EPERM);
	ck_assert_uint_eq(hole_offset, 5 * PAGE);
	ck_assert_uint_eq(hole_bytes, 7 * PAGE);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    block_that_is_mapped_is_asked_for_once,
	    pages_in_core_that_are_not_mapped_are_mapped_run_by_run,
	    look_that_fails_for_want_of_memory_says_nothing_of_what_is_there,
	    data_that_is_neither_mapped_nor_in_core_is_in_swap,
	    file_whose_first_page_is_data_is_told_from_one_without,
	    scan_that_fails_is_an_error_and_says_nothing_of_swap,
	    huge_page_that_only_a_peer_has_touched_is_mapped,
	    hole_is_punched_where_the_pages_are_in_the_file,
	};

	return run_tests("memfd_calls", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
