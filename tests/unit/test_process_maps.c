/* What smaps, numa_maps and PAGEMAP_SCAN say of another process's memory, word by word and bound by bound. */
#include "fake_process.h"
#include "no_line.h"
#include "suite.h"

#define MIB (1ull << 20)

static struct process *process;
static struct process_maps maps;
static struct process_usage usage;
static struct gmig_error err;

static void setup(void)
{
	fake_process_setup();
	memset(&maps, 0, sizeof(maps));
}

static void teardown(void)
{
	process_maps_free(&maps);
	process_close(process);
	fake_process_teardown();
}

static void parse(const char *text)
{
	FILE *file = fmemopen((char *)text, strlen(text), "r");

	process_maps_free(&maps);
	ck_assert_int_eq(process_maps_parse(file, &maps), 0);
	fclose(file);
}

/* The one mapping that `rest` is said of: 2 MiB. */
static const struct process_mapping *mapping_of(const char *rest)
{
	char text[1024];

	snprintf(text, sizeof(text), "1000000-1200000 rw-p 00000000 00:00 0 \n%s", rest);
	parse(text);
	ck_assert_uint_eq(maps.count, 1);
	return &maps.mapping[0];
}

/* ---- Heads ------------------------------------------------------------------------------------- */

static const struct {
	const char *path;
	enum process_kind kind;
	const char *name;
} paths[] = {
    {"/memfd:a", PROCESS_SHMEM, "shared memory"},
    {"/dev/zero", PROCESS_SHMEM, "shared memory"},
    {"/SYSV1", PROCESS_SHMEM, "shared memory"},
    {"/dev/shm/a", PROCESS_SHMEM, "shared memory"},
    {"[anon_shmem:a]", PROCESS_SHMEM, "shared memory"},
    {"/dev/hugepages-1G/a", PROCESS_FILE, "file"},
    {"/dev/mqueue/a", PROCESS_FILE, "file"},
    {"[vdso]", PROCESS_DEVICE, "device"},
    {"[vvar_vclock]", PROCESS_DEVICE, "device"},
    {"[vsyscall]", PROCESS_DEVICE, "device"},
    {"[uprobes]", PROCESS_DEVICE, "device"},
    {"anon_inode:[io_uring]", PROCESS_DEVICE, "device"},
    {"socket:[1]", PROCESS_DEVICE, "device"},
    {"/dev/kvm", PROCESS_DEVICE, "device"},
    {"[stack]", PROCESS_ANON, "anonymous"},
    {"/home/dev/zero", PROCESS_ANON, "anonymous"}, /* no inode: no file */
};

START_TEST(path_says_what_kind_of_memory_it_is)
{
	char text[256];

	snprintf(text, sizeof(text), "1000-2000 rw-p 00000000 00:00 0   %s\n", paths[_i].path);
	parse(text);
	ck_assert_int_eq(maps.mapping[0].kind, paths[_i].kind);
	ck_assert_str_eq(process_kind_name(maps.mapping[0].kind), paths[_i].name);
	ck_assert_str_eq(maps.mapping[0].name, paths[_i].path);
	if (paths[_i].kind == PROCESS_DEVICE)
		ck_assert_str_eq(process_mapping_fixed(&maps.mapping[0]),
				 "memory of a device or of the kernel itself: it has no pages that "
				 "could be moved");
	else
		ck_assert_ptr_null(process_mapping_fixed(&maps.mapping[0]));
}
END_TEST

START_TEST(kind_has_a_name)
{
	ck_assert_str_eq(process_kind_name(PROCESS_HUGETLB), "hugetlb");
	ck_assert_str_eq(process_kind_name(PROCESS_KINDS), "?");
}
END_TEST

START_TEST(inode_makes_it_a_file)
{
	parse("1000-2000 rw-p 0 00:00 1\n2000-3000 rw-p 0 00:00 0\n3000-4000 rw-p 0 00:00\n"
	      "4000-5000 rw-p\n5000-6000 rw-p 0 00:00 12 /b\n6000-7000 rw-p 0 00:00 0 /c\n");
	ck_assert_uint_eq(maps.count, 6);
	for (unsigned int i = 0; i < 6; i++) {
		ck_assert_int_eq(maps.mapping[i].kind,
				 i == 0 || i == 4 ? PROCESS_FILE : PROCESS_ANON);
		ck_assert_uint_eq(maps.mapping[i].start, 0x1000 * (i + 1));
		ck_assert_uint_eq(maps.mapping[i].end, 0x1000 * (i + 2));
		ck_assert_uint_eq(maps.mapping[i].page_bytes, 4096);
		ck_assert_str_eq(maps.mapping[i].name, i == 4 ? "/b" : i == 5 ? "/c" : "");
	}
}
END_TEST

START_TEST(name_is_cut_and_shows_no_control_characters)
{
	parse("1000-2000 rw-p 0 0:0 1 /345678901234567890123456789012345678901234567\n"
	      "2000-3000 rw-p 0 0:0 1 /3456789012345678901234567890123456789012345678\n"
	      "3000-4000 rw-p 0 0:0 1 /a\x1f \x7f~\n");
	ck_assert_str_eq(maps.mapping[0].name, "/345678901234567890123456789012345678901234567");
	ck_assert_uint_eq(strlen(maps.mapping[0].name), 46);
	ck_assert_str_eq(maps.mapping[1].name, "/3456789012345678901234567890123456789012345678");
	ck_assert_uint_eq(strlen(maps.mapping[1].name), 47);
	ck_assert_str_eq(maps.mapping[2].name, "/a? ?~");
}
END_TEST

START_TEST(line_without_a_range_is_no_mapping)
{
	static const char *const odd[] = {"1000-1000 rw-p 0 0:0 0\n",
					  "1001-1000 rw-p 0 0:0 0\n",
					  "1000+2000 rw-p 0 0:0 0\n",
					  "1000-2000-rw-p 0 0:0 0\n",
					  " 1000-2000 rw-p 0 0:0 0\n",
					  "-2000 rw-p 0 0:0 0\n",
					  "1000- rw-p 0 0:0 0\n",
					  "1000-2000\n",
					  "1000-10000000000000000 rw-p 0 0:0 0\n"};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		parse(odd[i]);
		ck_assert_msg(!maps.count, "%s", odd[i]);
	}
	parse("1000-1001 rw-p 0 0:0 0\n");
	ck_assert_uint_eq(maps.count, 1);
}
END_TEST

/* Lines behind a mapping of the kernel's say nothing of the one before it. */
START_TEST(upper_half_of_addresses_is_the_kernel_s)
{
	parse("7ffffffffffff000-8000000000000000 rw-p 0 0:0 0\nRss: 4 kB\n"
	      "8000000000000000-8000000000001000 rw-p 0 0:0 0\nRss: 4 kB\nSwap: 4 kB\n"
	      "7fffffffffffe000-8000000000000001 rw-p 0 0:0 0\nSwap: 4 kB\n");
	ck_assert_uint_eq(maps.count, 1);
	ck_assert_uint_eq(maps.mapping[0].end, 1ull << 63);
	ck_assert_uint_eq(maps.mapping[0].resident_bytes, 4096);
	ck_assert_uint_eq(maps.mapping[0].swapped_bytes, 0);
}
END_TEST

/* Of 256, and of 512, the room grows. */
START_TEST(mapping_is_kept_however_many_there_are)
{
	for (unsigned int count = 255; count <= 513; count += count == 257 ? 254 : 1) {
		char *text = malloc(count * 64), *at = text;
		FILE *located_file;

		for (unsigned int i = 0; i < count; i++)
			at += sprintf(at, "%x-%x rw-p 0 0:0 0\nRss: %u kB\n", 0x10000 + i * 0x1000,
				      0x11000 + i * 0x1000, i % 5);
		parse(text);
		free(text);
		ck_assert_uint_eq(maps.count, count);
		text = malloc(count * 64);
		at = text;
		for (unsigned int i = 0; i < count; i++)
			at += sprintf(at, "%x default N%u=1\n", 0x10000 + i * 0x1000, i % 3);
		located_file = fmemopen(text, strlen(text), "r");
		ck_assert_int_eq(process_maps_locate_parse(located_file, &maps), 0);
		fclose(located_file);
		free(text);
		for (unsigned int i = 0; i < count; i++) {
			ck_assert_int_eq(maps.node[i], (int)(i % 3));
			ck_assert_uint_eq(maps.mapping[i].start, 0x10000 + i * 0x1000);
			ck_assert_uint_eq(maps.mapping[i].resident_bytes, i % 5 * 1024);
		}
	}
}
END_TEST

START_TEST(mapping_is_found_by_each_of_its_addresses)
{
	parse("1000-3000 rw-p 0 0:0 0\n3000-4000 rw-p 0 0:0 0\n6000-7000 rw-p 0 0:0 0\n"
	      "9000-a000 rw-p 0 0:0 0\n");
	for (uint64_t at = 0; at < 0xc000; at += 0x800)
		ck_assert_uint_eq(process_mapping_at(&maps, at), at < 0x3000   ? 0
								 : at < 0x4000 ? 1
								 : at < 0x7000 ? 2
								 : at < 0xa000 ? 3
									       : 4);
	process_maps_free(&maps);
	ck_assert_uint_eq(process_mapping_at(&maps, 0), 0);
}
END_TEST

/* ---- Figures ----------------------------------------------------------------------------------- */

START_TEST(figure_is_added_to_its_sum)
{
	static const struct {
		const char *line;
		unsigned int resident, swapped, huge, shared;
	} lines[] = {
	    {"Rss: 8 kB", 8, 0, 0, 0},
	    {"Private_Hugetlb: 8 kB", 8, 0, 0, 0},
	    {"Shared_Hugetlb: 8 kB", 8, 0, 0, 8},
	    {"Swap: 8 kB", 0, 8, 0, 0},
	    {"AnonHugePages: 8 kB", 0, 0, 8, 0},
	    {"ShmemPmdMapped: 8 kB", 0, 0, 8, 0},
	    {"FilePmdMapped: 8 kB", 0, 0, 8, 0},
	    {"Shared_Clean: 8 kB", 0, 0, 0, 8},
	    {"Shared_Dirty: 8 kB", 0, 0, 0, 8},
	    {"Pss: 8 kB", 0, 0, 0, 0},
	    {"SwapPss: 8 kB", 0, 0, 0, 0},
	    {" Rss: 8 kB", 0, 0, 0, 0},
	    {"Rss: 2048 kB", 2048, 0, 0, 0},
	    {"Rss: 2049 kB", 2048, 0, 0, 0},
	    {"Rss: 2047 kB\nRss: 1 kB", 2048, 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const struct process_mapping *is = mapping_of(lines[i].line);

		ck_assert_uint_eq(is->resident_bytes, lines[i].resident * 1024);
		ck_assert_uint_eq(is->swapped_bytes, lines[i].swapped * 1024);
		ck_assert_uint_eq(is->huge_bytes, lines[i].huge * 1024);
		ck_assert_uint_eq(is->shared_bytes, lines[i].shared * 1024);
	}
}
END_TEST

START_TEST(page_size_is_a_power_of_two_from_4_kib_to_16_gib)
{
	static const struct {
		uint64_t kib, expected_kib;
	} sizes[] = {{0, 4},
		     {2, 4},
		     {3, 4},
		     {4, 4},
		     {6, 4},
		     {8, 8},
		     {2048, 2048},
		     {2047, 4},
		     {2049, 4},
		     {1 << 20, 1 << 20},
		     {1 << 24, 1 << 24},
		     {1 << 25, 4}};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char line[64];

		snprintf(line, sizeof(line), "KernelPageSize: %llu kB\n",
			 (unsigned long long)sizes[i].kib);
		ck_assert_uint_eq(mapping_of(line)->page_bytes, sizes[i].expected_kib * 1024);
	}
	ck_assert_uint_eq(mapping_of("MMUPageSize: 2048 kB\n")->page_bytes, 4096);
}
END_TEST

START_TEST(flag_is_one_word_of_its_line)
{
	static const struct {
		const char *line;
		enum process_kind kind;
		bool locked, unforked;
	} lines[] = {
	    {"VmFlags: rd wr mr mw", PROCESS_ANON, false, false},
	    {"VmFlags: lo\n", PROCESS_ANON, true, false},
	    {"VmFlags: dc", PROCESS_ANON, false, true},
	    {"VmFlags: rd lo wr dc \n", PROCESS_ANON, true, true},
	    {"VmFlags: io", PROCESS_DEVICE, false, false},
	    {"VmFlags: rd pf dc", PROCESS_DEVICE, false, true},
	    {"VmFlags: ht lo", PROCESS_HUGETLB, true, false},
	    {"VmFlags:", PROCESS_ANON, false, false},
	    {"VmFlag: lo", PROCESS_ANON, false, false},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const struct process_mapping *is = mapping_of(lines[i].line);

		ck_assert_msg(is->kind == lines[i].kind && is->locked == lines[i].locked &&
				  is->unforked == lines[i].unforked,
			      "%s", lines[i].line);
	}
}
END_TEST

/* ---- On which node ------------------------------------------------------------------------------- */

/* Mappings at 1000-3000, 3000-4000 and 8000-9000. */
static int locate(const char *text, int16_t node[3])
{
	FILE *file = fmemopen((char *)text, strlen(text), "r");
	int ret;

	parse("1000-3000 rw-p 0 0:0 0\n3000-4000 rw-p 0 0:0 0\n8000-9000 rw-p 0 0:0 0\n");
	ret = process_maps_locate_parse(file, &maps);
	fclose(file);
	if (!ret)
		memcpy(node, maps.node, 3 * sizeof(*node));
	return ret;
}

static const struct {
	const char *text;
	int node[3]; /* -1: mixed, -2: no page */
} located[] = {
    {"1000 default N0=1\n3000 default N1=2\n8000 default N2=3\n", {0, 1, 2}},
    {"1000 default anon=1 N0=1 N1=1\n3000 x N1=1 N0=1 N1=1\n", {-1, -1, -2}},
    {"1000 default N5=1\n2fff default N5=9\n3000 default N1=1\n", {5, 1, -2}},
    {"1000 default N5=1\n2fff default N0=9\n", {-1, -2, -2}},
    {"fff default N0=1\n4000 default N0=1\n7fff default N1=1\n9000 default N1=1\n", {-2, -2, -2}},
    {"1000 default N1023=1\n3000 default N1024=1\n8000 default N0=0\n", {1023, -2, -2}},
    {"1000 default N1:1\n3000 default M1=1\n8000 default N=1\n", {-2, -2, -2}},
    {"1000 default N0=0 N1=1\n3000 default N1=1 N0=0", {1, 1, -2}},
};

START_TEST(mapping_lies_on_a_node_when_all_of_its_lines_say_so)
{
	int16_t node[3];

	ck_assert_int_eq(locate(located[_i].text, node), 0);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_msg(located[_i].node[i] >= 0 ? node[i] == located[_i].node[i]
						       : node[i] < 0,
			      "%u: %d", i, node[i]);
	process_maps_forget(&maps);
	ck_assert_ptr_null(maps.node);
}
END_TEST

START_TEST(line_of_numa_maps_begins_with_an_address_and_a_blank)
{
	static const char *const odd[] = {"default N0=1\n", "1000=default N0=1\n", "1000",
					  "10000000000000000 default N0=1\n",
					  "1000 default N0=1\n\n3000 default N0=1\n"};
	int16_t node[3];

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		ck_assert_int_eq(locate(odd[i], node), -EIO);
		ck_assert_ptr_null(maps.node);
	}
	ck_assert_int_eq(locate("", node), 0);
	ck_assert(node[0] < 0 && node[1] < 0 && node[2] < 0);
}
END_TEST

/* What comes before it is not all. */
START_TEST(line_without_memory_is_not_the_end)
{
	static const char text[] =
	    "1000-3000 rw-p 00000000 00:00 0 \n3000-5000 rw-p 00000000 00:00 0 \n";
	FILE *file = fmemopen((char *)text, strlen(text), "r");
	int16_t node[3];

	no_line_in = 1;
	ck_assert_int_eq(process_maps_parse(file, &maps), -ENOMEM);
	ck_assert_uint_eq(maps.count, 0);
	fclose(file);
	no_line_in = -1;
	ck_assert_int_eq(locate("1000 default N0=1\n3000 default N1=1\n", node), 0);
	no_line_in = -1;
	process_maps_free(&maps);
	parse(text);
	file = fmemopen((char *)text, strlen(text), "r");
	no_line_in = 0;
	ck_assert_int_eq(process_maps_locate_parse(file, &maps), -ENOMEM);
	ck_assert_ptr_null(maps.node);
	fclose(file);
}
END_TEST

/* ---- A scan ------------------------------------------------------------------------------------ */

static struct page_region regions[4];
static int found;
static uint64_t walk_end; /* 0: it is not told */
static struct pm_scan_arg asked;

static int scan_table(int fd, unsigned long request, void *argument)
{
	struct pm_scan_arg *arg = argument;

	(void)fd;
	ck_assert_uint_eq(request, PAGEMAP_SCAN);
	ck_assert_uint_eq(arg->size, sizeof(*arg));
	asked = *arg;
	if (found > 0 && arg->vec)
		memcpy((void *)(uintptr_t)arg->vec, regions, (size_t)found * sizeof(regions[0]));
	arg->walk_end = walk_end;
	return arg->vec ? found : 0;
}

static void open_scanned(void)
{
	fake_sys.ioctl = scan_table;
	ck_assert_msg(!process_open(&fake_sys, FAKE_PID, &process, &err), "%s", err.text);
	ck_assert_msg(!process_maps_read(process, &maps, &err), "%s", err.text);
	ck_assert(process->can_scan);
}

START_TEST(scan_asks_for_what_is_there_16_mib_at_a_time)
{
	struct process_mapping mapping = {.start = 5 * MIB, .end = 100 * MIB, .page_bytes = 4096};
	struct process_run runs[PROCESS_RUNS];
	uint64_t at = 5 * MIB;

	open_scanned();
	found = 0;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 100 * MIB, runs), 0);
	ck_assert_uint_eq(asked.start, 5 * MIB);
	ck_assert_uint_eq(asked.end, 16 * MIB);
	ck_assert_uint_eq(asked.vec_len, PROCESS_RUNS);
	ck_assert_uint_eq(asked.category_anyof_mask, PAGE_IS_PRESENT | PAGE_IS_SWAPPED);
	ck_assert_uint_eq(asked.category_mask, 0);
	ck_assert_uint_eq(asked.category_inverted, 0);
	ck_assert_uint_eq(asked.return_mask,
			  PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO | PAGE_IS_HUGE);
	ck_assert_uint_eq(at, 16 * MIB);
	/* The kernel says how far it came; only what makes sense is believed. */
	walk_end = 20 * MIB;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 100 * MIB, runs), 0);
	ck_assert_uint_eq(at, 20 * MIB);
	ck_assert_int_eq(process_scan(process, &mapping, &at, 100 * MIB, runs), 0);
	ck_assert_uint_eq(at, 32 * MIB);
	walk_end = 49 * MIB;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 100 * MIB, runs), 0);
	ck_assert_uint_eq(at, 48 * MIB);
	/* The rest is less than that; all of it is just that. */
	walk_end = 0;
	at = 90 * MIB;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 100 * MIB, runs), 0);
	ck_assert_uint_eq(at, 100 * MIB);
	at = 81 * MIB;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 97 * MIB, runs), 0);
	ck_assert_uint_eq(at, 97 * MIB);
	/* Never a part of a page. */
	mapping.page_bytes = 1ull << 30;
	at = 1ull << 30;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 4ull << 30, runs), 0);
	ck_assert_uint_eq(asked.end, 2ull << 30);
	found = -EINVAL;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 4ull << 30, runs), -EINVAL);
	ck_assert_uint_eq(at, 2ull << 30);
}
END_TEST

START_TEST(run_is_what_the_kernel_calls_it)
{
	static const struct page_region shown[4] = {
	    {2 * MIB, 4 * MIB, PAGE_IS_PRESENT | PAGE_IS_HUGE},
	    {4 * MIB, 4 * MIB + 4096, PAGE_IS_PRESENT | PAGE_IS_HUGE},
	    {5 * MIB, 6 * MIB, PAGE_IS_PRESENT | PAGE_IS_PFNZERO},
	    {6 * MIB, 8 * MIB, PAGE_IS_SWAPPED | PAGE_IS_HUGE | PAGE_IS_PFNZERO},
	};
	struct process_mapping mapping = {.start = 0, .end = 8 * MIB, .page_bytes = 4096};
	struct process_run runs[PROCESS_RUNS];
	uint64_t at = 0;

	open_scanned();
	memcpy(regions, shown, sizeof(regions));
	found = 4;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 8 * MIB, runs), 4);
	for (unsigned int i = 0; i < 4; i++) {
		ck_assert_uint_eq(runs[i].start, shown[i].start);
		ck_assert_uint_eq(runs[i].end, shown[i].end);
		ck_assert_int_eq(runs[i].huge, i == 0);
		ck_assert_int_eq(runs[i].zero, i == 2);
		ck_assert_int_eq(runs[i].swapped, i == 3);
		ck_assert(!runs[i].guess);
	}
	ck_assert_uint_eq(process_unit_pages(&mapping, &runs[0]), 512);
	ck_assert_uint_eq(process_unit_pages(&mapping, &runs[1]), 1);
	/* A page of hugetlbfs is none of the transparent ones. */
	mapping.kind = PROCESS_HUGETLB;
	mapping.page_bytes = 4 * MIB;
	at = 0;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 8 * MIB, runs), 4);
	ck_assert(!runs[0].huge);
	ck_assert_uint_eq(process_unit_pages(&mapping, &runs[0]), 1024);
	/* Whole at both ends. */
	mapping.kind = PROCESS_ANON;
	regions[0] = (struct page_region){MIB, 4 * MIB, PAGE_IS_PRESENT | PAGE_IS_HUGE};
	regions[1] = (struct page_region){4 * MIB, 7 * MIB, PAGE_IS_PRESENT | PAGE_IS_HUGE};
	regions[2] = (struct page_region){0, 4 * MIB, PAGE_IS_PRESENT};
	at = 0;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 8 * MIB, runs), 4);
	ck_assert(!runs[0].huge && !runs[1].huge && !runs[2].huge);
}
END_TEST

START_TEST(without_a_scan_all_of_it_is_a_guess)
{
	struct process_mapping mapping = {.start = MIB, .end = 100 * MIB, .page_bytes = 4096};
	struct process_run runs[PROCESS_RUNS];
	uint64_t at = 3 * MIB;

	open_scanned();
	process->can_scan = false;
	ck_assert_int_eq(process_scan(process, &mapping, &at, 90 * MIB, runs), 1);
	ck_assert_uint_eq(at, 90 * MIB);
	ck_assert_uint_eq(runs[0].start, 3 * MIB);
	ck_assert_uint_eq(runs[0].end, 90 * MIB);
	ck_assert(runs[0].guess && !runs[0].huge && !runs[0].zero && !runs[0].swapped);
}
END_TEST

/* ---- What lies where ------------------------------------------------------------------------- */

static int statuses[4]; /* of the pages that are asked for, by their number modulo 4 */
static unsigned long pages_asked;
static long refusal;

static long ask_table(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		      int flags)
{
	(void)pid, (void)flags;
	ck_assert_ptr_null(nodes);
	if (!count)
		return 0;
	pages_asked += count;
	for (unsigned long i = 0; i < count; i++)
		status[i] = statuses[(uintptr_t)pages[i] / 4096 % 4];
	return refusal;
}

static void count(const char *smaps)
{
	fake_sys.move_pages = ask_table;
	fake_file("77/smaps", "%s", smaps);
	process_maps_free(&maps);
	process_close(process);
	pages_asked = 0;
	memset(&usage, 0xff, sizeof(usage));
	open_scanned();
	ck_assert_msg(!process_usage_read(process, &maps, &usage, &err), "%s", err.text);
}

START_TEST(usage_adds_what_smaps_says_of_all_mappings)
{
	found = 0;
	count("100000-140000 rw-p 0 0:0 0\nRss: 64 kB\nSwap: 32 kB\nShared_Clean: 8 kB\n"
	      "200000-240000 rw-p 0 0:0 0\nRss: 64 kB\nShared_Dirty: 4 kB\n"
	      "300000-340000 rw-p 0 0:0 0\nRss: 250 kB\nSwap: 250 kB\n"
	      "400000-440000 rw-p 0 0:0 1 /dev/x\nRss: 128 kB\nSwap: 4 kB\nShared_Dirty: 64 kB\n"
	      "500000-540000 rw-p 0 0:0 1 /dev/x\nRss: 1 kB\n");
	ck_assert(usage.huge_known);
	ck_assert_uint_eq(usage.swapped_bytes, 286 * 1024);
	ck_assert_uint_eq(usage.fixed_bytes, 129 * 1024);
	ck_assert_uint_eq(usage.shared_bytes, 12 * 1024);
	ck_assert_uint_eq(usage.untouched_bytes, (256 - 96 + 256 - 64) * 1024);
	ck_assert_uint_eq(usage.zero_bytes, 0);
	ck_assert_uint_eq(pages_asked, 0);
	ck_assert_uint_eq(process_usage_on(&usage, 0), 0);
}
END_TEST

START_TEST(usage_asks_for_each_page_that_is_there)
{
	found = 3;
	regions[0] = (struct page_region){0x100000, 0x108000, PAGE_IS_PRESENT};
	regions[1] = (struct page_region){0x108000, 0x10a000, PAGE_IS_PRESENT | PAGE_IS_PFNZERO};
	regions[2] = (struct page_region){0x10a000, 0x10b000, PAGE_IS_SWAPPED};
	statuses[0] = 0;
	statuses[1] = GMIG_MAX_NODES - 1;
	statuses[2] = GMIG_MAX_NODES;
	statuses[3] = -ENOENT;
	count("100000-140000 rw-p 0 0:0 0\nRss: 32 kB\nSwap: 4 kB\n");
	ck_assert_uint_eq(pages_asked, 8);
	ck_assert_uint_eq(usage.small_bytes[0], 2 * 4096);
	ck_assert_uint_eq(usage.small_bytes[GMIG_MAX_NODES - 1], 2 * 4096);
	ck_assert_uint_eq(usage.huge_bytes[0], 0);
	ck_assert_uint_eq(usage.zero_bytes, 2 * 4096);
	ck_assert_uint_eq(usage.untouched_bytes, (256 - 36 - 8) * 1024);
	/* More zero pages than what was never touched. */
	count("100000-140000 rw-p 0 0:0 0\nRss: 248 kB\nSwap: 4 kB\n");
	ck_assert_uint_eq(usage.zero_bytes, 2 * 4096);
	ck_assert_uint_eq(usage.untouched_bytes, 0);
}
END_TEST

START_TEST(usage_asks_once_for_a_huge_page_of_any_kind)
{
	found = 1;
	statuses[0] = 2;
	regions[0] = (struct page_region){0x1000000, 0x1400000, PAGE_IS_PRESENT | PAGE_IS_HUGE};
	count("1000000-1400000 rw-p 0 0:0 0\nRss: 4096 kB\n");
	ck_assert_uint_eq(pages_asked, 2);
	ck_assert_uint_eq(usage.huge_bytes[2], 4 * MIB);
	ck_assert_uint_eq(usage.small_bytes[2] + usage.hugetlb_bytes[2], 0);
	ck_assert_uint_eq(process_usage_on(&usage, 2), 4 * MIB);
	count("1000000-1400000 rw-p 0 0:0 0\nRss: 4096 kB\nKernelPageSize: 2048 kB\nVmFlags: ht\n");
	ck_assert_uint_eq(pages_asked, 2);
	ck_assert_uint_eq(usage.hugetlb_bytes[2], 4 * MIB);
	ck_assert_uint_eq(usage.small_bytes[2] + usage.huge_bytes[2], 0);
	ck_assert_uint_eq(process_usage_on(&usage, 2), 4 * MIB);
	ck_assert_uint_eq(process_usage_on(&usage, 3), 0);
	usage.small_bytes[2] = 1;
	usage.huge_bytes[2] = 2;
	ck_assert_uint_eq(process_usage_on(&usage, 2), 4 * MIB + 3);
}
END_TEST

/* Without a scan the kernel would be asked for each address. */
START_TEST(usage_of_what_has_no_page_asks_for_none)
{
	fake_no_scan = true;
	fake_sys.move_pages = ask_table;
	fake_file("77/smaps", "100000-140000 rw-p 0 0:0 0\nRss: 0 kB\n"
			      "200000-204000 rw-p 0 0:0 0\nRss: 4 kB\n");
	ck_assert_msg(!process_open(&fake_sys, FAKE_PID, &process, &err), "%s", err.text);
	ck_assert_msg(!process_maps_read(process, &maps, &err), "%s", err.text);
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), 0);
	ck_assert_uint_eq(pages_asked, 4);
	ck_assert(!usage.huge_known);
}
END_TEST

START_TEST(usage_that_the_kernel_does_not_tell_is_an_error)
{
	count("100000-140000 rw-p 0 0:0 0\nRss: 4 kB\n200000-240000 rw-p 0 0:0 0\nRss: 4 kB\n");
	found = -EIO;
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), -EIO);
	ck_assert_str_eq(err.text,
			 "where the memory of process 77 (worker (x) y) lies: Input/output error");
	found = 1;
	regions[0] = (struct page_region){0x100000, 0x108000, PAGE_IS_PRESENT};
	refusal = -EPERM;
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), -EPERM);
	ck_assert_int_eq(err.code, -EPERM);
	fake_process_ends();
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), -ESRCH);
	ck_assert_int_eq(err.code, -ESRCH);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("process_maps");
	TCase *tcase = tcase_create("process_maps");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, path_says_what_kind_of_memory_it_is, 0,
			    sizeof(paths) / sizeof(paths[0]));
	tcase_add_test(tcase, kind_has_a_name);
	tcase_add_test(tcase, inode_makes_it_a_file);
	tcase_add_test(tcase, name_is_cut_and_shows_no_control_characters);
	tcase_add_test(tcase, line_without_a_range_is_no_mapping);
	tcase_add_test(tcase, upper_half_of_addresses_is_the_kernel_s);
	tcase_add_test(tcase, mapping_is_kept_however_many_there_are);
	tcase_add_test(tcase, mapping_is_found_by_each_of_its_addresses);
	tcase_add_test(tcase, figure_is_added_to_its_sum);
	tcase_add_test(tcase, page_size_is_a_power_of_two_from_4_kib_to_16_gib);
	tcase_add_test(tcase, flag_is_one_word_of_its_line);
	tcase_add_loop_test(tcase, mapping_lies_on_a_node_when_all_of_its_lines_say_so, 0,
			    sizeof(located) / sizeof(located[0]));
	tcase_add_test(tcase, line_of_numa_maps_begins_with_an_address_and_a_blank);
	tcase_add_test(tcase, line_without_memory_is_not_the_end);
	tcase_add_test(tcase, scan_asks_for_what_is_there_16_mib_at_a_time);
	tcase_add_test(tcase, run_is_what_the_kernel_calls_it);
	tcase_add_test(tcase, without_a_scan_all_of_it_is_a_guess);
	tcase_add_test(tcase, usage_adds_what_smaps_says_of_all_mappings);
	tcase_add_test(tcase, usage_asks_for_each_page_that_is_there);
	tcase_add_test(tcase, usage_asks_once_for_a_huge_page_of_any_kind);
	tcase_add_test(tcase, usage_of_what_has_no_page_asks_for_none);
	tcase_add_test(tcase, usage_that_the_kernel_does_not_tell_is_an_error);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
