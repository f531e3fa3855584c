/* Which mappings are guest memory, and where they lie. */
#include "../../libvirt-hooks/qemu_memory.h"
#include "fake_qemu.h"
#include "no_line.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)

static struct process_maps maps;
static struct qemu_ram ram;
static struct qemu_usage usage;
static struct gmig_error err;

static void teardown(void)
{
	process_maps_free(&maps);
	qemu_ram_free(&ram);
}

static FILE *text_file(const char *text)
{
	FILE *file = fmemopen((void *)text, strlen(text), "r");

	ck_assert_ptr_nonnull(file);
	return file;
}

static void read_maps(const char *text)
{
	FILE *file = text_file(text);

	ck_assert_int_eq(process_maps_parse(file, &maps), 0);
	fclose(file);
}

static int count(const char *text)
{
	FILE *file = text_file(text);
	int ret = qemu_usage_parse(file, &ram, &usage);

	fclose(file);
	return ret;
}

/* 64 MiB of heap, 256 MiB and 128 MiB of guest memory, 16 MiB of video memory, a big file of the system, a device. */
#define SMAPS                                                                                      \
	"100000000-104000000 rw-p 00000000 00:00 0                          [heap]\n"              \
	"Rss:                2000 kB\nVmFlags: rd wr\n"                                            \
	"200000000-220000000 r--p 00000000 08:01 9 /usr/lib/locale/locale-archive\n"               \
	"Rss:                4 kB\nVmFlags: rd\n"                                                  \
	"300000000-310000000 rw-p 00000000 00:00 0 \n"                                             \
	"Rss:              262144 kB\nAnonHugePages:    131072 kB\nSwap: 0 kB\nVmFlags: rd wr "    \
	"lo\n"                                                                                     \
	"400000000-408000000 rw-s 00000000 00:0f 7 /dev/hugepages/libvirt/qemu/1-web1/x "          \
	"(deleted)\n"                                                                              \
	"KernelPageSize:     2048 kB\nShared_Hugetlb: 2048 kB\nPrivate_Hugetlb: 65536 "            \
	"kB\nVmFlags: rd wr ht\n"                                                                  \
	"500000000-501000000 rw-p 00000000 00:00 0 \n"                                             \
	"Rss:                16 kB\nVmFlags: rd wr\n"                                              \
	"600000000-700000000 rw-s 00000000 00:06 1 /dev/vfio/12\nVmFlags: rd wr io pf\n"

START_TEST(choice_takes_the_largest_that_may_be_memory)
{
	read_maps(SMAPS);
	ck_assert_int_eq(qemu_ram_choose(&maps, 384 * MIB, &ram), 0);
	ck_assert_uint_eq(ram.count, 2);
	ck_assert_uint_eq(ram.mapping[0].start, 0x300000000);
	ck_assert_uint_eq(ram.mapping[1].start, 0x400000000);
	ck_assert_uint_eq(ram.bytes, 384 * MIB);
	ck_assert(ram.fits);
}
END_TEST

START_TEST(choice_prefers_what_is_not_forked)
{
	read_maps("300000000-310000000 rw-p 00000000 00:00 0 \nRss: 4 kB\nVmFlags: rd wr mr\n"
		  "400000000-404000000 rw-p 00000000 00:00 0 \nRss: 4 kB\nVmFlags: rd wr dc hg\n"
		  "500000000-504000000 rw-p 00000000 00:00 0 \nRss: 4 kB\nVmFlags: rd wr dc\n");
	ck_assert_int_eq(qemu_ram_choose(&maps, 128 * MIB, &ram), 0);
	ck_assert_uint_eq(ram.count, 2);
	ck_assert_uint_eq(ram.mapping[0].start, 0x400000000);
	ck_assert(ram.fits);
}
END_TEST

START_TEST(choice_that_does_not_fit_is_said)
{
	read_maps(SMAPS);
	ck_assert_int_eq(qemu_ram_choose(&maps, 1024 * MIB, &ram), 0);
	ck_assert(!ram.fits);
	ck_assert_uint_eq(ram.bytes, 400 * MIB);
	qemu_ram_free(&ram);
	/* One mapping that is much too large. */
	ck_assert_int_eq(qemu_ram_choose(&maps, 32 * MIB, &ram), 0);
	ck_assert_uint_eq(ram.count, 1);
	ck_assert(!ram.fits);
	qemu_ram_free(&ram);
	process_maps_free(&maps);
	ck_assert_int_eq(qemu_ram_choose(&maps, 32 * MIB, &ram), 0);
	ck_assert_uint_eq(ram.count, 0);
	ck_assert(!ram.fits);
}
END_TEST

START_TEST(usage_counts_pages_by_node_and_size)
{
	read_maps(SMAPS);
	ck_assert_int_eq(qemu_ram_choose(&maps, 384 * MIB, &ram), 0);
	ck_assert_int_eq(
	    count("100000000 default heap anon=500 N0=500 kernelpagesize_kB=4\n"
		  /* The kernel has split one mapping since then. */
		  "300000000 bind:0 anon=100 dirty=100 N0=60 N1=40 kernelpagesize_kB=4\n"
		  "308000000 default anon=10 N3=10 kernelpagesize_kB=4\n"
		  "400000000 bind:1 file=/dev/hugepages/N0=5\\040x huge dirty=33 N1=33 "
		  "kernelpagesize_kB=2048\n"
		  "600000000 default file=/dev/vfio/12\n"),
	    0);
	ck_assert_uint_eq(usage.ram_bytes[0], 60 * 4096);
	ck_assert_uint_eq(usage.ram_bytes[1], 40 * 4096 + 33 * 2 * MIB);
	ck_assert_uint_eq(usage.ram_bytes[3], 10 * 4096);
	ck_assert_uint_eq(usage.other_bytes[0], 500 * 4096);
	ck_assert_uint_eq(qemu_usage_on(&usage, 0), 560 * 4096);
	ck_assert_uint_eq(usage.huge_bytes, 128 * MIB);
	ck_assert_uint_eq(usage.small_bytes, 128 * MIB);
	ck_assert_uint_eq(usage.hugetlb_bytes, 66 * MIB);
	ck_assert_uint_eq(usage.hugetlb_page_bytes, 2 * MIB);
	ck_assert_uint_eq(usage.untouched_bytes, 62 * MIB);
	ck_assert_uint_eq(usage.locked_bytes, 256 * MIB);
	ck_assert_uint_eq(usage.shared_bytes, 2 * MIB);
}
END_TEST

START_TEST(usage_of_nonsense_is_refused_or_ignored)
{
	ck_assert_int_eq(qemu_ram_choose(&maps, 384 * MIB, &ram), 0);
	ck_assert_int_eq(count("nonsense\n"), -EIO);
	ck_assert_int_eq(count("100 default N0=1 kernelpagesize_kB=0\n"), -EIO);
	ck_assert_int_eq(count("100 default N9999=1 Nx=3 N0 N0=2 kernelpagesize_kB=4\n"), 0);
	ck_assert_uint_eq(usage.other_bytes[0], 8192);
}
END_TEST

START_TEST(real_process_has_its_memory_found_and_counted)
{
	const struct fake_qemu fake = {
	    .name = "web1", .uuid = fake_qemu_uuid(0), .anon_mib = 48, .memfd_mib = 24};
	pid_t pid = fake_qemu_start(&fake);
	struct process *process;
	uint64_t sum = 0;

	ck_assert_msg(!process_open(NULL, pid, &process, &err), "%s", err.text);
	ck_assert_msg(!qemu_memory_read(process, 72 * MIB, &ram, &usage, &err), "%s", err.text);
	ck_assert_uint_eq(ram.bytes, 72 * MIB);
	ck_assert(ram.fits);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		sum += usage.ram_bytes[node];
	ck_assert_uint_eq(sum, 72 * MIB);
	ck_assert_uint_eq(usage.small_bytes + usage.huge_bytes, 72 * MIB);
	ck_assert_uint_eq(usage.untouched_bytes, 0);
	qemu_ram_free(&ram);
	fake_qemu_end(pid);
	ck_assert_int_eq(qemu_memory_read(process, 72 * MIB, &ram, &usage, &err), -ESRCH);
	process_close(process);
}
END_TEST

START_TEST(line_without_memory_is_not_the_end)
{
	ck_assert_int_eq(qemu_ram_choose(&maps, 384 * MIB, &ram), 0);
	no_line_in = 1;
	ck_assert_int_eq(
	    count("100 default N0=1 kernelpagesize_kB=4\n200 default N0=1 kernelpagesize_kB=4\n"),
	    -ENOMEM);
}
END_TEST

/* The last known one stays: with half of it a plan would be made for a guest that has little memory. */
START_TEST(usage_stays_as_it_was_if_a_read_fails_in_mid_file)
{
	const struct fake_qemu fake = {
	    .name = "web1", .uuid = fake_qemu_uuid(0), .anon_mib = 24, .memfd_mib = 24};
	const int plenty = 1000000;
	pid_t pid = fake_qemu_start(&fake);
	struct process *process;
	int lines;

	ck_assert_msg(!process_open(NULL, pid, &process, &err), "%s", err.text);
	no_line_in = plenty;
	ck_assert_msg(!qemu_memory_read(process, 48 * MIB, &ram, &usage, &err), "%s", err.text);
	lines = plenty - no_line_in;
	/* From the last line of numa_maps, and what says that there is none, back to the first ones of it. */
	for (int back = 1; back <= 10; back++) {
		qemu_ram_free(&ram);
		memset(&usage, 7, sizeof(usage));
		no_line_in = lines - back;
		ck_assert_int_eq(qemu_memory_read(process, 48 * MIB, &ram, &usage, &err), -ENOMEM);
		for (size_t i = 0; i < sizeof(usage); i++)
			ck_assert_int_eq(((const unsigned char *)&usage)[i], 7);
	}
	fake_qemu_end(pid);
	process_close(process);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
	    choice_takes_the_largest_that_may_be_memory,
	    choice_prefers_what_is_not_forked,
	    choice_that_does_not_fit_is_said,
	    usage_counts_pages_by_node_and_size,
	    usage_of_nonsense_is_refused_or_ignored,
	    line_without_memory_is_not_the_end,
	    usage_stays_as_it_was_if_a_read_fails_in_mid_file,
	    real_process_has_its_memory_found_and_counted,
	};

	if (fake_qemu_is(argc, argv))
		return fake_qemu_main(argc, argv);
	return run_tests("qemu_memory", NULL, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
