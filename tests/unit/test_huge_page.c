/*
 * Pages of hugetlbfs that take each other's place, and the window through which a file is looked at: call by call, over a kernel that
 * only answers.
 */
#include "../../migrate/core/on_node.h"
#include "../../migrate/memory/file_window.h"
#include "../../migrate/memory/huge_page.h"
#include "suite.h"

#include <errno.h>
#include <numaif.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define NEW    ((uint8_t *)(uintptr_t)0x40000000) /* where a new page is mapped */
#define REGION ((uint8_t *)(uintptr_t)0x80000000)
#define WINDOW ((uint8_t *)(uintptr_t)0xc0000000)
#define FIRST  4096 /* the region's first page */
#define FD     7

static struct gmig *gmig;
static struct gmig_sys sys;
static char said[16384], logged[512];
static size_t length;
static int node_of_page; /* < 0: -errno */
static int grows, in_core_fails;
static bool unmapped;
static struct thread_policy policy;

/* Calls whose word is this fail: first `after` of them do not, then `times` do. */
static struct rule {
	const char *word;
	unsigned int after, times;
	int error;
} rules[3];

static void refuse(const char *word, unsigned int after, unsigned int times, int error)
{
	unsigned int i = 0;

	while (rules[i].times)
		i++;
	ck_assert_uint_lt(i, 3);
	rules[i] = (struct rule){word, after, times, error};
}

__attribute__((format(printf, 2, 3))) static int ask(const char *word, const char *format, ...)
{
	va_list list;
	int error = 0;

	for (unsigned int i = 0; i < 3 && !error; i++)
		if (rules[i].times && strcmp(rules[i].word, word) == 0) {
			if (rules[i].after) {
				rules[i].after--;
			} else {
				rules[i].times--;
				error = rules[i].error;
			}
		}
	length += (size_t)snprintf(said + length, sizeof(said) - length, "%s", word);
	va_start(list, format);
	length += (size_t)vsnprintf(said + length, sizeof(said) - length, format, list);
	va_end(list);
	length += (size_t)snprintf(said + length, sizeof(said) - length, error ? "!\n" : "\n");
	ck_assert_uint_lt(length, sizeof(said));
	return error;
}

static void assert_said(const char *words)
{
	ck_assert_str_eq(said, words);
	length = 0;
	said[0] = '\0';
}

/* ---- The kernel --------------------------------------------------------------------------------- */

/* N: the new page, R: the region, W: the window; in blocks. */
static const char *place(const void *at)
{
	static char text[32];
	uint64_t address = (uintptr_t)at;
	char name = address >= (uintptr_t)WINDOW ? 'W' : address >= (uintptr_t)REGION ? 'R' : 'N';

	snprintf(text, sizeof(text), "%c%llu", name,
		 (unsigned long long)(address % 0x40000000 / GMIG_BLOCK_BYTES));
	return text;
}

static size_t blocks(size_t bytes)
{
	ck_assert_uint_eq(bytes % GMIG_BLOCK_BYTES, 0);
	return bytes / GMIG_BLOCK_BYTES;
}

static int map_huge(size_t bytes, uint64_t page_bytes, bool reserve, void *fixed, void **out)
{
	ck_assert_uint_eq(bytes, page_bytes);
	ck_assert_ptr_null(fixed);
	*out = NEW;
	return ask("map", " %zu%s", blocks(bytes), reserve ? " reserved" : "");
}

static int map_window(int fd, size_t bytes, void **out)
{
	*out = WINDOW;
	return ask("window", " %d %zu", fd, blocks(bytes));
}

static int unmap(void *memory, size_t bytes)
{
	return ask("unmap", " %s+%zu", place(memory), blocks(bytes));
}

static int protect(void *memory, size_t bytes, int protection)
{
	ck_assert_int_eq(protection, PROT_READ | PROT_WRITE);
	return ask("protect", " %s+%zu", place(memory), blocks(bytes));
}

static int advise(void *memory, size_t bytes, int advice)
{
	return ask(advice == MADV_POPULATE_WRITE ? "populate"
		   : advice == MADV_DONTDUMP	 ? "dontdump"
		   : advice == MADV_DONTFORK	 ? "dontfork"
		   : advice == MADV_DONTNEED	 ? "dontneed"
						 : "advice?",
		   " %s+%zu", place(memory), blocks(bytes));
}

static int remap(void *from, size_t bytes, void *to)
{
	ck_assert_ptr_eq(from, NEW);
	return ask("remap", " %s+%zu", place(to), blocks(bytes));
}

static int in_core(void *memory, size_t bytes, unsigned char *pages)
{
	(void)pages;
	ck_assert_uint_eq(bytes, GMIG_PAGE_BYTES);
	ask("in-core", " %s", place(memory));
	if (in_core_fails-- > 0)
		return -EAGAIN;
	return unmapped ? -ENOMEM : 0;
}

static void rest(uint64_t ns)
{
	ask("rest", " %llu", (unsigned long long)ns);
}

static int query_nodes(size_t count, void **pages, int *status)
{
	ck_assert_uint_eq(count, 1);
	*status = node_of_page;
	return ask("query", " %s", place(pages[0]));
}

static int huge_grows(uint64_t page_bytes)
{
	(void)page_bytes;
	return grows;
}

static int told_policy(struct thread_policy *of)
{
	*of = policy;
	return ask("policy", "%s", "");
}

static int take_policy(const struct thread_policy *to)
{
	int error = ask("set-policy", " %d %llx", to->mode, (unsigned long long)to->nodes.word[0]);

	if (!error)
		policy = *to;
	return error;
}

static int userfaultfd(void)
{
	return ask("userfaultfd", "%s", "") ?: FD;
}

static int close_noted(int fd)
{
	return ask("close", " %d", fd);
}

static int control(int fd, unsigned long request, void *arg)
{
	const struct uffdio_range *range = arg; /* each of them begins with it */

	ck_assert_int_eq(fd, FD);
	if (request == UFFDIO_API)
		return ask("api", " %llx",
			   (unsigned long long)((const struct uffdio_api *)arg)->features);
	if (request == UFFDIO_REGISTER)
		return ask("register", " %s+%zu %llu", place((void *)(uintptr_t)range->start),
			   blocks(range->len),
			   (unsigned long long)((const struct uffdio_register *)arg)->mode);
	if (request == UFFDIO_WAKE)
		return ask("wake", " %s+%zu", place((void *)(uintptr_t)range->start),
			   blocks(range->len));
	ck_assert_uint_eq(request, UFFDIO_CONTINUE);
	return ask("continue", " %s+%zu", place((void *)(uintptr_t)range->start),
		   blocks(range->len));
}

static void note(void *opaque, enum gmig_log_level level, const char *text)
{
	(void)opaque;
	ck_assert_int_eq(level, GMIG_LOG_ERROR);
	snprintf(logged, sizeof(logged), "%s", text);
}

static struct region *region;

static void setup(void)
{
	sys = gmig_sys_real;
	sys.map_huge = map_huge;
	sys.map_window = map_window;
	sys.unmap = unmap;
	sys.protect = protect;
	sys.advise = advise;
	sys.remap = remap;
	sys.in_core = in_core;
	sys.sleep_ns = rest;
	sys.query_nodes = query_nodes;
	sys.huge_grows = huge_grows;
	sys.thread_policy = told_policy;
	sys.set_thread_policy = take_policy;
	sys.userfaultfd = userfaultfd;
	sys.close = close_noted;
	sys.ioctl = control;
	gmig = calloc(1, sizeof(*gmig));
	ck_assert_ptr_nonnull(gmig);
	gmig->sys = &sys;
	gmig->options.log = note;
	gmig->vnodes[1].uffd = FD;
	region = &gmig->regions[0];
	region->vnode = 1;
	region->gfn = FIRST;
	region->hva = REGION;
	region->unit_pages = GMIG_BLOCK_PAGES;
	region->kind = &region_hugetlb;
	node_of_page = 1;
	policy.mode = MPOL_PREFERRED;
	gmig_node_set_add(&policy.nodes, 5);
}

static void teardown(void)
{
	free(gmig);
}

/* ---- A new page --------------------------------------------------------------------------------- */

#define MAPPED	  "map 1 reserved\nprotect N0+1\ndontdump N0+1\ndontfork N0+1\n"
#define BOUND	  "policy\nset-policy 2 2\n"
#define OLD_AGAIN "set-policy 1 20\n"

START_TEST(page_comes_from_its_node_alone_and_the_thread_s_policy_is_put_back)
{
	void *page = NULL;

	ck_assert_int_eq(huge_page_take(gmig, region, 1, &page), 0);
	ck_assert_ptr_eq(page, NEW);
	assert_said(MAPPED BOUND "populate N0+1\n" OLD_AGAIN "query N0\n");
	ck_assert_int_eq(policy.mode, MPOL_PREFERRED);
	huge_page_put(gmig, region, page);
	huge_page_put(gmig, region, NULL);
	assert_said("unmap N0+1\n");
}
END_TEST

START_TEST(memory_that_is_to_be_dumped_is)
{
	void *page;

	gmig->options.dump_memory = true;
	gmig->fake = true; /* asks nobody for a node */
	node_of_page = -ENOENT;
	ck_assert_int_eq(huge_page_take(gmig, region, 1, &page), 0);
	assert_said("map 1 reserved\nprotect N0+1\ndontfork N0+1\npopulate N0+1\n");
}
END_TEST

/* 0: the kernel may make pages; 1: it is larger than a block. */
START_TEST(page_that_is_promised_to_nobody_is_not_reserved)
{
	void *page;

	gmig->fake = true;
	grows = !_i;
	region->unit_pages = _i ? 2 * GMIG_BLOCK_PAGES : GMIG_BLOCK_PAGES;
	ck_assert_int_eq(huge_page_take(gmig, region, 1, &page), 0);
	assert_said(_i ? "map 2\nprotect N0+2\ndontdump N0+2\ndontfork N0+2\npopulate N0+2\n"
		       : "map 1\nprotect N0+1\ndontdump N0+1\ndontfork N0+1\npopulate N0+1\n");
	huge_page_put(gmig, region, page);
	assert_said(_i ? "unmap N0+2\n" : "unmap N0+1\n");
}
END_TEST

/* One that was not would be missing when the guest asks for what it was promised. */
START_TEST(page_is_not_taken_while_it_is_not_known_whether_the_kernel_makes_some)
{
	void *page;

	grows = -EMFILE;
	ck_assert_int_eq(huge_page_take(gmig, region, 1, &page), -EAGAIN);
	assert_said("");
}
END_TEST

static const struct {
	const char *word;
	int error, returned;
	const char *said;
} fails[] = {
    {"map", -ENOMEM, -ENOMEM, "map 1 reserved!\n"},
    {"protect", -ENOMEM, -ENOMEM, "map 1 reserved\nprotect N0+1!\ndontdump N0+1\nunmap N0+1\n"},
    {"dontfork", -EINVAL, -EINVAL,
     "map 1 reserved\nprotect N0+1\ndontdump N0+1\ndontfork N0+1!\nunmap N0+1\n"},
    {"policy", -EPERM, -EPERM, MAPPED "policy!\nunmap N0+1\n"},
    {"set-policy", -EINVAL, -ENOMEM, MAPPED "policy\nset-policy 2 2!\nunmap N0+1\n"},
    {"set-policy", -EPERM, -EPERM, MAPPED "policy\nset-policy 2 2!\nunmap N0+1\n"},
    {"populate", -EFAULT, -ENOMEM, MAPPED BOUND "populate N0+1!\n" OLD_AGAIN "unmap N0+1\n"},
    {"populate", -ENOMEM, -ENOMEM, MAPPED BOUND "populate N0+1!\n" OLD_AGAIN "unmap N0+1\n"},
    {"populate", -EINTR, -EINTR, MAPPED BOUND "populate N0+1!\n" OLD_AGAIN "unmap N0+1\n"},
    {"query", -EPERM, -ENOMEM, MAPPED BOUND "populate N0+1\n" OLD_AGAIN "query N0!\nunmap N0+1\n"},
};

START_TEST(page_that_cannot_be_had_leaves_nothing_behind)
{
	void *page;

	refuse(fails[_i].word, 0, 1, fails[_i].error);
	ck_assert_int_eq(huge_page_take(gmig, region, 1, &page), fails[_i].returned);
	assert_said(fails[_i].said);
	ck_assert_int_eq(policy.mode, MPOL_PREFERRED);
}
END_TEST

/* Of the node that it lies on instead, or of none. */
START_TEST(page_that_comes_from_elsewhere_is_given_back)
{
	void *page;

	node_of_page = _i ? -ENOENT : 0;
	ck_assert_int_eq(huge_page_take(gmig, region, 1, &page), -ENOMEM);
	assert_said(MAPPED BOUND "populate N0+1\n" OLD_AGAIN "query N0\nunmap N0+1\n");
}
END_TEST

START_TEST(kernel_that_is_busy_is_asked_ten_times)
{
	void *page;

	gmig->fake = true;
	refuse("populate", 0, 9, -EAGAIN);
	ck_assert_int_eq(huge_page_take(gmig, region, 1, &page), 0);
	ck_assert_uint_eq(rules[0].times, 0);
	refuse("populate", 0, 11, -EAGAIN);
	ck_assert_int_eq(huge_page_take(gmig, region, 1, &page), -EAGAIN);
	ck_assert_uint_eq(rules[0].times, 1);
}
END_TEST

/* ---- In its place ------------------------------------------------------------------------------- */

#define GUARDED "register R3+1 3\n"

/* gfn: in the region's fourth block. */
static int place_it(void)
{
	return huge_page_place(gmig, region, FIRST + 3 * GMIG_BLOCK_PAGES, NEW);
}

START_TEST(page_takes_its_place_is_guarded_and_wakes_who_sleeps)
{
	ck_assert_int_eq(place_it(), 0);
	assert_said("remap R3+1\n" GUARDED "wake R3+1\n");
	ck_assert_uint_eq(atomic_load(&gmig->own_maps), 1);
	region->unit_pages = 2 * GMIG_BLOCK_PAGES;
	ck_assert_int_eq(place_it(), 0);
	assert_said("remap R3+2\nregister R3+2 3\nwake R3+2\n");
	ck_assert_uint_eq(atomic_load(&gmig->own_maps), 2);
}
END_TEST

/* Nothing has changed: the old one is still there. */
START_TEST(place_that_is_as_it_was_is_not_tried_again)
{
	refuse("remap", 0, 1, -ENOMEM);
	ck_assert_int_eq(place_it(), -ENOMEM);
	assert_said("remap R3+1!\nin-core R3\n");
	ck_assert_uint_eq(atomic_load(&gmig->own_maps), 0);
}
END_TEST

/* The old one has gone: the guest needs the new one there. */
START_TEST(place_that_has_lost_its_page_is_tried_200_times)
{
	unmapped = true;
	refuse("remap", 0, 2, -ENOMEM);
	ck_assert_int_eq(place_it(), 0);
	assert_said("remap R3+1!\nin-core R3\nrest 1000000\nremap R3+1!\nin-core R3\nrest 1000000\n"
		    "remap R3+1\n" GUARDED "wake R3+1\n");
	refuse("remap", 0, 199, -ENOMEM);
	ck_assert_int_eq(place_it(), 0);
	ck_assert_uint_eq(atomic_load(&gmig->own_maps), 2);
	refuse("remap", 0, 201, -ENOMEM);
	ck_assert_int_eq(place_it(), -ENOTRECOVERABLE);
	ck_assert_uint_eq(rules[0].times, 1);
	ck_assert_uint_eq(atomic_load(&gmig->own_maps), 2);
}
END_TEST

/* mincore(2) takes a page for its answer: without one it does not say that the old one is there. */
START_TEST(place_that_cannot_be_looked_at_is_tried_again)
{
	unmapped = true;
	refuse("remap", 0, 1, -ENOMEM);
	in_core_fails = 1;
	ck_assert_int_eq(place_it(), 0);
	assert_said("remap R3+1!\nin-core R3\nrest 1000000\nremap R3+1\n" GUARDED "wake R3+1\n");
	refuse("remap", 0, 201, -ENOMEM);
	in_core_fails = 100;
	ck_assert_int_eq(place_it(), -ENOTRECOVERABLE);
	/* It was still there. */
	unmapped = false;
	refuse("remap", 0, 201, -ENOMEM);
	in_core_fails = 5;
	ck_assert_int_eq(place_it(), -ENOMEM);
}
END_TEST

START_TEST(page_that_cannot_be_guarded_is_told_of_and_serves)
{
	refuse("register", 0, 9, -ENOMEM);
	ck_assert_int_eq(place_it(), 0);
	ck_assert_str_eq(logged, "");
	refuse("register", 0, 11, -ENOMEM);
	ck_assert_int_eq(place_it(), 0);
	ck_assert_uint_eq(rules[0].times, 1);
	ck_assert_str_eq(logged,
			 "event=register gfn=0x1600 errno=ENOMEM text=\"the block cannot be "
			 "moved again\"");
	ck_assert_ptr_nonnull(strstr(said, "wake R3+1"));
}
END_TEST

/* ---- Room for mappings -------------------------------------------------------------------------- */

/* So many pages have been placed; each may have made two mappings more of one. */
static bool has_room(unsigned int placed, uint64_t limit)
{
	atomic_store(&gmig->own_maps, placed);
	return huge_page_has_room(gmig, limit);
}

START_TEST(mappings_are_bounded_by_the_pages_placed_or_by_the_pages_there_are)
{
	/* 1000 blocks, and 12 pages of two blocks; memory of another kind does not count. */
	region->pages = 1000 * GMIG_BLOCK_PAGES;
	gmig->regions[1] = (struct region){.kind = &region_giant,
					   .pages = 24 * GMIG_BLOCK_PAGES,
					   .unit_pages = 2 * GMIG_BLOCK_PAGES};
	gmig->regions[2] = (struct region){
	    .kind = &region_ram, .pages = 999 * GMIG_BLOCK_PAGES, .unit_pages = GMIG_BLOCK_PAGES};
	gmig->regions[3] = *region; /* not there yet */
	atomic_store(&gmig->region_count, 3);
	ck_assert(!has_room(0, 8192 + 3));
	ck_assert(has_room(0, 8192 + 4));
	ck_assert(!has_room(9, 8192 + 21));
	ck_assert(has_room(9, 8192 + 22));
	ck_assert(!has_room(504, 8192 + 1011));
	ck_assert(has_room(504, 8192 + 1012));
	ck_assert(!has_room(505, 8192 + 1012));
	ck_assert(!has_room(100000, 8192 + 1012));
	ck_assert(has_room(100000, 8192 + 1013));
}
END_TEST

/* ---- A window on a file -------------------------------------------------------------------------- */

#define OPENED                                                                                     \
	"window 33 8\ndontdump W0+8\ndontfork W0+8\ndontneed W0+8\nuserfaultfd\napi 280\n"         \
	"register W0+8 4\n"

static struct file_window window;

static int open_window(void)
{
	return file_window_open(&sys, 33, 8 * GMIG_BLOCK_BYTES, &window);
}

START_TEST(window_has_a_userfaultfd_of_its_own_and_is_closed_once)
{
	ck_assert_int_eq(open_window(), 0);
	assert_said(OPENED);
	ck_assert_ptr_eq(window.start, WINDOW);
	ck_assert_uint_eq(window.bytes, 8 * GMIG_BLOCK_BYTES);
	ck_assert_int_eq(window.uffd, FD);
	file_window_close(&sys, &window);
	assert_said("unmap W0+8\nclose 7\n");
	ck_assert_ptr_null(window.start);
	file_window_close(&sys, &window);
	ck_assert_int_eq(file_window_has(&sys, &window, 0), 0);
	assert_said("");
}
END_TEST

/* 0 is a descriptor, too. */
START_TEST(window_of_the_first_descriptor_is_closed)
{
	window = (struct file_window){WINDOW, GMIG_BLOCK_BYTES, 0};
	file_window_close(&sys, &window);
	assert_said("unmap W0+1\nclose 0\n");
}
END_TEST

static const struct {
	const char *word, *said;
} windowless[] = {
    {"window", "window 33 8!\n"},
    {"dontfork", "window 33 8\ndontdump W0+8\ndontfork W0+8!\nunmap W0+8\n"},
    {"dontneed", "window 33 8\ndontdump W0+8\ndontfork W0+8\ndontneed W0+8!\nunmap W0+8\n"},
    {"userfaultfd", "window 33 8\ndontdump W0+8\ndontfork W0+8\ndontneed W0+8\nuserfaultfd!\n"
		    "unmap W0+8\n"},
    {"api", "window 33 8\ndontdump W0+8\ndontfork W0+8\ndontneed W0+8\nuserfaultfd\napi 280!\n"
	    "close 7\nunmap W0+8\n"},
    {"register", "window 33 8\ndontdump W0+8\ndontfork W0+8\ndontneed W0+8\nuserfaultfd\napi 280\n"
		 "register W0+8 4!\nunmap W0+8\nclose 7\n"},
};

START_TEST(window_that_cannot_be_opened_leaves_nothing_behind)
{
	refuse(windowless[_i].word, 0, 1, -EPERM);
	ck_assert_int_eq(open_window(), -EPERM);
	assert_said(windowless[_i].said);
	ck_assert_ptr_null(window.start);
}
END_TEST

START_TEST(window_does_without_what_is_only_advice)
{
	refuse("dontdump", 0, 1, -EINVAL);
	ck_assert_int_eq(open_window(), 0);
}
END_TEST

static const struct {
	int says, means;
} answers[] = {{0, 1}, {-EEXIST, 1}, {-EFAULT, 0}, {-EPERM, -EPERM}, {-EIO, -EIO}};

/* What is found does not stay mapped; of a hole there is nothing to unmap. */
START_TEST(page_of_the_file_is_there_when_it_can_be_mapped)
{
	ck_assert_int_eq(open_window(), 0);
	assert_said(OPENED);
	refuse("continue", 0, 1, answers[_i].says);
	ck_assert_int_eq(file_window_has(&sys, &window, 5 * GMIG_BLOCK_BYTES), answers[_i].means);
	assert_said(answers[_i].says == 0	  ? "continue W5+1\ndontneed W5+1\n"
		    : answers[_i].says == -EFAULT ? "continue W5+1!\n"
						  : "continue W5+1!\ndontneed W5+1\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("huge_page");
	TCase *tcase = tcase_create("calls");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, page_comes_from_its_node_alone_and_the_thread_s_policy_is_put_back);
	tcase_add_test(tcase, memory_that_is_to_be_dumped_is);
	tcase_add_loop_test(tcase, page_that_is_promised_to_nobody_is_not_reserved, 0, 2);
	tcase_add_test(tcase,
		       page_is_not_taken_while_it_is_not_known_whether_the_kernel_makes_some);
	tcase_add_loop_test(tcase, page_that_cannot_be_had_leaves_nothing_behind, 0, 10);
	tcase_add_loop_test(tcase, page_that_comes_from_elsewhere_is_given_back, 0, 2);
	tcase_add_test(tcase, kernel_that_is_busy_is_asked_ten_times);
	tcase_add_test(tcase, page_takes_its_place_is_guarded_and_wakes_who_sleeps);
	tcase_add_test(tcase, place_that_is_as_it_was_is_not_tried_again);
	tcase_add_test(tcase, place_that_has_lost_its_page_is_tried_200_times);
	tcase_add_test(tcase, place_that_cannot_be_looked_at_is_tried_again);
	tcase_add_test(tcase, page_that_cannot_be_guarded_is_told_of_and_serves);
	tcase_add_test(tcase, mappings_are_bounded_by_the_pages_placed_or_by_the_pages_there_are);
	tcase_add_test(tcase, window_has_a_userfaultfd_of_its_own_and_is_closed_once);
	tcase_add_test(tcase, window_of_the_first_descriptor_is_closed);
	tcase_add_loop_test(tcase, window_that_cannot_be_opened_leaves_nothing_behind, 0, 6);
	tcase_add_test(tcase, window_does_without_what_is_only_advice);
	tcase_add_loop_test(tcase, page_of_the_file_is_there_when_it_can_be_mapped, 0, 5);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
