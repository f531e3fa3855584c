/* gmig-bench's domain of libvirt from known texts and figures: what virsh and /proc say, its cells,
 * and its rows in every report. No libvirt, no guest. */
#include "../../cli/plot.h"
#include "../bench/csv.h"
#include "../bench/domain.h"
#include "../bench/options.h"
#include "../bench/qemu.h"
#include "../bench/report.h"
#include "../bench/report_html.h"
#include "../bench/virsh.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 1e-9)
#define MIB	   (1ull << 20)

static FILE *text_file(const char *text)
{
	return fmemopen((char *)text, strlen(text), "r");
}

/* ---- What virsh says ------------------------------------------------------------------------- */

static const char dominfo[] = "Id:             1\n"
			      "Name:           web 1\n"
			      "UUID:           6695eb01-f6a4-8304-79aa-97f2502e193f\n"
			      "OS Type:        hvm\n"
			      "State:          running\n"
			      "CPU(s):         2\n"
			      "CPU time:       17.8s\n"
			      "Max memory:     524288 KiB\n"
			      "Used memory:    262144 KiB\n";

START_TEST(info_is_read_line_by_line)
{
	struct virsh_info info;
	struct gmig_error err;
	char other[sizeof(dominfo)];

	ck_assert_int_eq(virsh_parse_info(dominfo, &info, &err), 0);
	ck_assert_str_eq(info.name, "web 1");
	ck_assert_str_eq(info.uuid, "6695eb01-f6a4-8304-79aa-97f2502e193f");
	ck_assert_uint_eq(info.vcpus, 2);
	ck_assert_uint_eq(info.mem_bytes, 512 * MIB);
	ck_assert(info.running);
	memcpy(other, dominfo, sizeof(other));
	memcpy(strstr(other, "running"), "paused ", 7);
	ck_assert_int_eq(virsh_parse_info(other, &info, &err), 0);
	ck_assert(!info.running);
	memcpy(strstr(other, "KiB"), "PiB", 3);
	ck_assert_int_eq(virsh_parse_info(other, &info, &err), -EPROTO);
	ck_assert_int_eq(virsh_parse_info("Name: x\n", &info, &err), -EPROTO);
	ck_assert_int_eq(virsh_parse_info("", &info, &err), -EPROTO);
}
END_TEST

START_TEST(numatune_is_read_with_and_without_a_nodeset)
{
	struct virsh_numatune numatune;
	struct gmig_error err;

	ck_assert_int_eq(
	    virsh_parse_numatune("numa_mode      : restrictive\nnuma_nodeset   : 0-1,3\n\n",
				 &numatune, &err),
	    0);
	ck_assert_str_eq(numatune.mode, "restrictive");
	ck_assert_str_eq(numatune.nodeset, "0-1,3");
	ck_assert_int_eq(
	    virsh_parse_numatune("numa_mode      : strict\nnuma_nodeset   : \n", &numatune, &err),
	    0);
	ck_assert_str_eq(numatune.mode, "strict");
	ck_assert_str_eq(numatune.nodeset, "");
	ck_assert_int_eq(virsh_parse_numatune("numa_mode: strict", &numatune, &err), -EPROTO);
}
END_TEST

START_TEST(errors_of_virsh_become_one_line)
{
	char text[64];

	virsh_plain_error("error: failed to connect\nerror: No such file\n\n", text, sizeof(text));
	ck_assert_str_eq(text, "failed to connect: No such file");
	virsh_plain_error("", text, sizeof(text));
	ck_assert_str_eq(text, "");
	virsh_plain_error("error: failed to connect\nerror: No such file\n", text, 12);
	ck_assert_str_eq(text, "failed to c");
}
END_TEST

/* A virsh of our own in a directory that is all of $PATH. */
static void with_virsh(const char *script, char *directory)
{
	char path[80];
	FILE *file;

	strcpy(directory, "/tmp/gmig-virsh.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	setenv("PATH", directory, 1);
	if (!script)
		return;
	snprintf(path, sizeof(path), "%s/virsh", directory);
	file = fopen(path, "w");
	fprintf(file, "#!/bin/sh\n%s\n", script);
	fclose(file);
	ck_assert_int_eq(chmod(path, 0700), 0);
}

static void without_virsh(const char *directory)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/virsh", directory);
	unlink(path);
	rmdir(directory);
}

START_TEST(virsh_is_asked_in_plain_words_of_the_system_daemon)
{
	const char *const words[] = {"numatune", "--domain", "a b", NULL};
	char directory[64], text[256];
	struct gmig_error err;

	with_virsh("echo \"$LC_ALL|$1|$2|$3|$4|$5|$6|$#\"; read x && echo stdin; true", directory);
	ck_assert_int_eq(virsh_run(words, text, sizeof(text), &err), 0);
	ck_assert_str_eq(text, "C|-q|-c|qemu:///system|numatune|--domain|a b|6\n");
	without_virsh(directory);
}
END_TEST

START_TEST(virsh_that_fails_or_is_missing_is_an_error_with_its_words)
{
	const char *const words[] = {"dominfo", NULL};
	char directory[64], text[256] = "untouched";
	struct gmig_error err;

	with_virsh("echo out; echo 'error: no such thing' >&2; exit 1", directory);
	ck_assert_int_eq(virsh_run(words, text, sizeof(text), &err), -EIO);
	ck_assert_str_eq(err.text, "virsh dominfo: no such thing");
	ck_assert_str_eq(text, "untouched");
	without_virsh(directory);
	with_virsh("kill -9 $$", directory);
	ck_assert_int_eq(virsh_run(words, text, sizeof(text), &err), -EIO);
	without_virsh(directory);
	with_virsh(NULL, directory);
	ck_assert_int_eq(virsh_run(words, text, sizeof(text), &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "libvirt-clients"));
	without_virsh(directory);
}
END_TEST

/* ---- What /proc says ------------------------------------------------------------------------- */

#define OTHERS                                                                                     \
	"55d0c0000000-55d0c1000000 r-xp 00000000 08:01 11 /usr/bin/qemu-system-x86_64\n"           \
	"55d0c8000000-55d0e8000000 rw-p 00000000 00:00 0 [heap]\n"                                 \
	"7f0000000000-7f0060000000 rwxp 00000000 00:00 0 \n"                                       \
	"7f0080000000-7f00a0000000 ---p 00000000 00:00 0 \n"                                       \
	"7f0100000000-7f0120000000 rw-s 00000000 00:01 5 /memfd:pc.ram (deleted)\n"                \
	"7ffe00000000-7ffe20000000 rw-p 00000000 00:00 0 [stack]\n"

START_TEST(maps_largest_plain_mapping_is_the_guest)
{
	static const char text[] = "7f1000000000-7f1020000000 rw-p 00000000 00:00 0 \n" OTHERS
				   "7f2000000000-7f2000800000 rw-p 00000000 00:00 0 \n";
	struct kernel_memory memory = {.pid = 7};
	struct gmig_error err;
	FILE *maps = text_file(text);

	ck_assert_int_eq(qemu_parse_maps(maps, 512 * MIB, &memory, &err), 0);
	fclose(maps);
	ck_assert_int_eq(memory.pid, 7);
	ck_assert_uint_eq(memory.ranges, 1);
	ck_assert_uint_eq(memory.range[0].start, 0x7f1000000000);
	ck_assert_uint_eq(memory.range[0].end, 0x7f1020000000);
}
END_TEST

START_TEST(maps_memory_of_several_guest_nodes_is_put_together)
{
	static const char text[] = "7f1000000000-7f1010000000 rw-p 00000000 00:00 0 \n" OTHERS
				   "7f2000000000-7f2000800000 rw-p 00000000 00:00 0 \n"
				   "7f3000000000-7f3018000000 rw-p 00000000 00:00 0 [anon:ram]\n";
	struct kernel_memory memory;
	struct gmig_error err;
	FILE *maps = text_file(text);

	ck_assert_int_eq(qemu_parse_maps(maps, 640 * MIB, &memory, &err), 0);
	fclose(maps);
	ck_assert_uint_eq(memory.ranges, 2);
	ck_assert_uint_eq(memory.range[0].start, 0x7f3000000000);
	ck_assert_uint_eq(memory.range[1].start, 0x7f1000000000);
}
END_TEST

START_TEST(maps_without_enough_plain_memory_are_refused)
{
	static const char *const texts[] = {
	    OTHERS,
	    OTHERS "7f1000000000-7f101f000000 rw-p 00000000 00:00 0 \n", /* 496 MiB */
	    "7f1000000000-7f1020000000 rw-p 00000000 00:05 9 /dev/hugepages/x\n",
	    "no maps at all\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct kernel_memory memory;
		struct gmig_error err;
		FILE *maps = text_file(texts[i]);

		ck_assert_int_eq(qemu_parse_maps(maps, 512 * MIB, &memory, &err), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, "memoryBacking"));
		fclose(maps);
	}
}
END_TEST

START_TEST(maps_of_many_pieces_keep_the_largest)
{
	char *text = NULL;
	size_t bytes;
	FILE *maps = open_memstream(&text, &bytes);
	struct kernel_memory memory;
	struct gmig_error err;

	/* 32, 33, .. 71 MiB: the 16 largest have 16 * 63.5 MiB. */
	for (uint64_t i = 0; i < 40; i++)
		fprintf(maps, "%llx-%llx rw-p 00000000 00:00 0 \n",
			(unsigned long long)((i + 1) << 32),
			(unsigned long long)(((i + 1) << 32) + (32 + i) * MIB));
	fclose(maps);
	maps = text_file(text);
	ck_assert_int_eq(qemu_parse_maps(maps, 500 * MIB, &memory, &err), 0);
	ck_assert_uint_eq(memory.ranges, 8); /* 71 + 70 + .. + 64 = 540 */
	ck_assert_uint_eq(memory.range[0].end - memory.range[0].start, 71 * MIB);
	ck_assert_uint_eq(memory.range[7].end - memory.range[7].start, 64 * MIB);
	rewind(maps);
	ck_assert_int_eq(qemu_parse_maps(maps, 1017 * MIB, &memory, &err), -EINVAL);
	fclose(maps);
	free(text);
}
END_TEST

START_TEST(qemu_of_a_domain_that_does_not_run_is_not_found)
{
	struct gmig_error err;
	int pidfd = -1;
	pid_t pid;

	ck_assert_int_eq(qemu_open("no domain of this name", "x", &pid, &pidfd, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "no domain of this name.pid"));
	ck_assert_int_eq(pidfd, -1);
}
END_TEST

START_TEST(smaps_huge_pages_count_where_the_memory_is)
{
	static const char text[] =
	    "7f1000000000-7f1020000000 rw-p 00000000 00:00 0 \n"
	    "Size:             524288 kB\nAnonHugePages:     4096 kB\n"
	    "7f1020000000-7f1020200000 rw-p 00000000 00:00 0 \nAnonHugePages:     2048 kB\n"
	    "7f2000000000-7f2010000000 rw-p 00000000 00:00 0 \nAnonHugePages:     6144 kB\n";
	const struct kernel_memory memory = {
	    .range = {{0x7f1000200000, 0x7f1020000000}, {0x7f2000000000, 0x7f2001000000}},
	    .ranges = 2};
	FILE *smaps = text_file(text);
	struct process_maps maps;

	ck_assert_int_eq(process_maps_parse(smaps, &maps), 0);
	kernel_clip(&maps, &memory);
	ck_assert_uint_eq(maps.count, 2);
	ck_assert_uint_eq(maps.mapping[0].start, 0x7f1000200000);
	ck_assert_uint_eq(maps.mapping[1].end, 0x7f2001000000);
	NEAR((double)(maps.mapping[0].huge_bytes + maps.mapping[1].huge_bytes), 10240 * 1024.0);
	process_maps_free(&maps);
	fclose(smaps);
}
END_TEST

START_TEST(place_of_own_memory_is_where_it_was_touched)
{
	char *at = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kernel_memory memory = {.pid = getpid(), .ranges = 1};
	struct kernel_place zero, far;

	ck_assert_ptr_ne(at, MAP_FAILED);
	madvise(at, 8 * MIB, MADV_NOHUGEPAGE);
	memset(at, 1, 3 * MIB);
	memory.range[0] = (struct kernel_range){(uintptr_t)at, (uintptr_t)at + 8 * MIB};
	ck_assert_int_eq(kernel_place(&memory, 0, &zero), 0);
	ck_assert_int_eq(kernel_place(&memory, 63, &far), 0);
	NEAR(zero.on_bytes + zero.elsewhere_bytes, 3 * MIB);
	NEAR(far.on_bytes, 0);
	NEAR(far.elsewhere_bytes, 3 * MIB);
	NEAR(zero.huge_bytes, 0);
	munmap(at, 8 * MIB);
}
END_TEST

/* ---- Cells and samples ----------------------------------------------------------------------- */

static const struct domain_facts facts = {
    .name = "g", .page = "2M", .mem_bytes = 512 * MIB, .vcpus = 2};

START_TEST(cells_of_a_domain_are_one_a_mover)
{
	const struct cell_axes all = {0},
			       some = {.mover = {"uffd", "migratepages", cell_mover_virsh},
				       .movers = 3},
			       none = {.mover = {"uffd"}, .movers = 1};
	struct cell cells[8] = {{.mover = "uffd"}};
	char name[96];

	ck_assert_uint_eq(domain_add_cells(&facts, &all, cells, 1, 8), 4);
	ck_assert_str_eq(cells[1].mover, "virsh");
	ck_assert_str_eq(cells[2].mover, "move_pages");
	ck_assert_str_eq(cells[3].mover, "migratepages");
	ck_assert_str_eq(cells[1].load, "own");
	ck_assert_str_eq(cells[1].domain, "g");
	ck_assert_uint_eq(cells[1].vcpus, 2);
	cell_name(&cells[1], name, sizeof(name));
	ck_assert_str_eq(name, "domain by virsh, 2M 512M");
	ck_assert_uint_eq(domain_add_cells(&facts, &some, cells, 1, 8), 3);
	ck_assert_str_eq(cells[1].mover, "migratepages");
	ck_assert_str_eq(cells[2].mover, "virsh");
	ck_assert_uint_eq(domain_add_cells(&facts, &none, cells, 1, 8), 1);
	ck_assert_uint_eq(domain_add_cells(&facts, &all, cells, 1, 2), 2);
}
END_TEST

START_TEST(virsh_alone_leaves_no_cell_of_a_guest)
{
	const struct cell_axes virsh = {.mover = {cell_mover_virsh}, .movers = 1},
			       both = {.mover = {cell_mover_virsh, "uffd"}, .movers = 2};
	struct cell cells[BENCH_MAX_CELLS];
	size_t count = cell_target_preset(64 * MIB, cells, BENCH_MAX_CELLS);

	ck_assert_uint_eq(cell_choose_movers(&both, cells, count, BENCH_MAX_CELLS), count);
	ck_assert_uint_eq(cell_choose_movers(&virsh, cells, count, BENCH_MAX_CELLS), 0);
}
END_TEST

START_TEST(move_is_judged_by_what_left)
{
	const struct kernel_place before = {
	    .on_bytes = 10e6, .elsewhere_bytes = 400e6, .huge_bytes = 10 * 2 * MIB};
	struct kernel_place after = {
	    .on_bytes = 450e6, .elsewhere_bytes = 100e6, .huge_bytes = 7 * 2 * MIB};
	struct kernel_move move = {.seconds = 0.5};

	kernel_move_judge(&before, &after, &move);
	NEAR(move.moved_bytes, 300e6); /* 140 MB of what is there now is new */
	NEAR(move.moved_ratio, 0.75);
	NEAR(move.thp_split, 3);
	after.elsewhere_bytes = 500e6;
	after.huge_bytes = 20 * 2 * MIB;
	kernel_move_judge(&before, &after, &move);
	NEAR(move.moved_bytes, 0);
	NEAR(move.thp_split, 0);
	kernel_move_judge(&(struct kernel_place){.on_bytes = 1}, &after, &move);
	ck_assert(isnan(move.moved_ratio)); /* there was nothing to move */
}
END_TEST

/* Beside a memcpy of 12 GB/s. */
static void fill(struct sample *sample, const struct kernel_move *move)
{
	sample_clear(sample);
	sample->value[METRIC_MEMCPY_BYTES_PER_SECOND] = 12e9;
	domain_fill_sample(move, sample);
}

START_TEST(sample_of_a_partial_move_has_its_rate_and_share)
{
	const struct kernel_move
	    some = {.seconds = 0.5, .cpu_seconds = 0.3, .moved_bytes = 3e9, .moved_ratio = 0.75},
	    none = {.seconds = 0.5, .cpu_seconds = NAN, .moved_ratio = 0, .thp_split = 1};
	struct sample sample;

	fill(&sample, &some);
	NEAR(sample.value[METRIC_BYTES_PER_SECOND], 6e9);
	NEAR(sample.value[METRIC_MEMCPY_RATIO], 0.5);
	NEAR(sample.value[METRIC_MOVED_RATIO], 0.75);
	NEAR(sample.value[METRIC_CPU_SECONDS_PER_GB], 0.1);
	ck_assert(isnan(sample.value[METRIC_GUEST_DURING]));
	fill(&sample, &none);
	NEAR(sample.value[METRIC_BYTES_PER_SECOND], 0);
	NEAR(sample.value[METRIC_MOVED_RATIO], 0);
	NEAR(sample.value[METRIC_THP_SPLIT], 1);
	ck_assert(isnan(sample.value[METRIC_CPU_SECONDS_PER_GB]));
}
END_TEST

START_TEST(domain_option_wants_a_name)
{
	const char *good[] = {"quick", "--domain", "g", NULL},
		   *bad[] = {"quick", "--domain", "../g", NULL},
		   *empty[] = {"quick", "--domain", "", NULL};
	struct bench_options options;
	struct gmig_error err;

	ck_assert_int_eq(bench_options_parse(3, (char **)good, &options, &err), 0);
	ck_assert_str_eq(options.domain_name, "g");
	ck_assert_ptr_null(options.domain);
	ck_assert_int_eq(bench_options_parse(3, (char **)bad, &options, &err), -EINVAL);
	ck_assert_int_eq(bench_options_parse(3, (char **)empty, &options, &err), -EINVAL);
}
END_TEST

/* ---- Reports --------------------------------------------------------------------------------- */

static struct cell_result results[4];
static struct cell_result *pointers[] = {&results[0], &results[1], &results[2], &results[3]};
static struct runner_report report;

static void add_move(struct cell_result *result, const struct kernel_move *move)
{
	struct sample *sample = &result->sample[result->count++];

	sample_clear(sample);
	sample->value[METRIC_MEMCPY_BYTES_PER_SECOND] = 10e9;
	domain_fill_sample(move, sample);
}

/* gmig's own, and a domain that virsh moves wholly, move_pages mostly, and migratepages not at all.
 */
static void set_report(void)
{
	const struct kernel_move
	    own = {.seconds = 0.05, .cpu_seconds = 0.05, .moved_bytes = 512e6, .moved_ratio = 1},
	    whole = {.seconds = 0.4, .cpu_seconds = NAN, .moved_bytes = 400e6, .moved_ratio = 1},
	    most = {.seconds = 0.2,
		    .cpu_seconds = 0.2,
		    .moved_bytes = 399e6,
		    .moved_ratio = 0.9975},
	    none = {.seconds = 0.01, .cpu_seconds = 0.01, .moved_ratio = 0};
	const struct kernel_move *const moves[] = {&own, &whole, &most, &none};
	const struct cell_axes all = {0};
	struct cell cells[4] = {{.mover = "uffd",
				 .mode = "readable",
				 .page = "2M",
				 .frames = "recycled",
				 .load = "write",
				 .threads = 1,
				 .vcpus = 1,
				 .jobs = 1,
				 .mem_bytes = 256 * MIB}};

	ck_assert_uint_eq(domain_add_cells(&facts, &all, cells, 1, 4), 4);
	memset(results, 0, sizeof(results));
	report =
	    (struct runner_report){.results = pointers,
				   .count = 4,
				   .memcpy = {.one_thread = 10e9, .best = 10e9, .best_threads = 1}};
	for (unsigned int i = 0; i < 4; i++) {
		results[i].cell = cells[i];
		results[i].syscalls_per_mib = NAN;
		for (unsigned int rep = 0; rep < 3; rep++)
			add_move(&results[i], rep == 1 ? moves[i] : i == 2 ? &whole : moves[i]);
	}
}

static char *table_of(void)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	report_table(out, &report);
	fclose(out);
	return text;
}

/* The line that has both words; its end is cut off. */
static const char *line_with(char *text, const char *first, const char *second)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strstr(line, first) && strstr(line, second))
			return line;
	ck_abort_msg("no line with '%s' and '%s'", first, second);
	return NULL;
}

START_TEST(share_says_all_and_nothing_only_of_these)
{
	const struct {
		double ratio;
		const char *text;
	} cases[] = {{1, "100%"},  {0, "0%"},	   {0.999, ">99%"}, {0.004, "<1%"},
		     {0.5, "50%"}, {0.991, "99%"}, {NAN, "-"}};
	char text[16];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		report_share(cases[i].ratio, text, sizeof(text));
		ck_assert_str_eq(text, cases[i].text);
	}
}
END_TEST

START_TEST(table_has_dashes_where_a_domain_is_not_measured)
{
	char *text, *copy;
	const char *line;

	set_report();
	text = table_of();
	ck_assert_ptr_null(strstr(text, "nan"));
	ck_assert_ptr_null(strstr(text, "inf"));
	ck_assert_ptr_nonnull(strstr(text, "the libvirt domain 'g' of 512 MiB with 2 vCPUs"));
	copy = strdup(text);
	line = line_with(copy, "virsh ", "own");
	ck_assert_ptr_nonnull(strstr(line, " 1.00 "));
	ck_assert_ptr_nonnull(strstr(line, " 100%  512M"));
	ck_assert_ptr_nonnull(strstr(
	    line,
	    "        -        -        -        -        -        -        -         -     -"));
	free(copy);
	copy = strdup(text);
	/* The worst of three repetitions. */
	ck_assert_ptr_nonnull(strstr(line_with(copy, "move_pages ", "own"), ">99%"));
	free(copy);
	copy = strdup(text);
	ck_assert_ptr_nonnull(
	    strstr(line_with(copy, "migratepages ", "own"), "   0%  NOTHING MOVED"));
	free(copy);
	ck_assert_ptr_nonnull(strstr(line_with(text, "readable ", "write"), " 100%  256M"));
	free(text);
}
END_TEST

START_TEST(table_columns_stand_below_each_other)
{
	static const char *const movers[] = {"readable ", "virsh ", "move_pages ", "migratepages "};

	set_report();
	for (size_t i = 0; i < sizeof(movers) / sizeof(movers[0]); i++) {
		char *text = table_of(), *copy = strdup(text);
		const char *line = line_with(copy, movers[i], "2M ");

		ck_assert_int_eq(strncmp(line + strlen("batch  frames   mode         load    "),
					 i ? "1/2/1" : "1/1/1", 5),
				 0);
		free(copy);
		free(text);
	}
}
END_TEST

START_TEST(json_and_csv_hold_no_nan)
{
	json_t *host = json_object(), *object, *cells;
	char *csv = NULL, *json;
	size_t bytes;
	FILE *out = open_memstream(&csv, &bytes);

	set_report();
	object = report_json(&report, host, NULL, 0);
	cells = json_object_get(object, "cells");
	ck_assert_ptr_null(json_object_get(json_array_get(cells, 0), "domain"));
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(cells, 1), "domain")),
			 "g");
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(cells, 1), "mover")),
			 "virsh");
	ck_assert(json_is_null(json_object_get(json_array_get(cells, 1), "cpu_seconds_per_gb")));
	ck_assert(json_is_null(
	    json_object_get(json_object_get(json_array_get(cells, 1), "gap_ns"), "max")));
	ck_assert_int_eq(
	    json_integer_value(json_object_get(json_array_get(cells, 1), "moved_ratio")), 1);
	NEAR(json_number_value(json_object_get(json_array_get(cells, 2), "moved_ratio")), 0.9975);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(json_array_get(cells, 3), "bytes_per_second")), 0);
	json = json_dumps(object, 0);
	ck_assert_ptr_nonnull(json);
	ck_assert_ptr_null(strstr(json, "nan"));
	csv_samples(out, &report);
	fclose(out);
	ck_assert_ptr_null(strstr(csv, "nan"));
	ck_assert_ptr_nonnull(strstr(csv, ",moved_ratio,"));
	ck_assert_ptr_nonnull(
	    strstr(csv, "virsh,2M,kernel,virsh,own,1,2,1,0,536870912,1,1000000000,"));
	free(json);
	free(csv);
	json_decref(object);
	json_decref(host);
}
END_TEST

START_TEST(html_names_who_left_memory_behind)
{
	json_t *host = json_object();
	struct html_input input = {.title = "x", .command = "x", .report = &report, .host = host};
	struct gmig_error err = {0};
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	int rc;

	set_report();
	rc = report_html(out, &input, &err);
	fclose(out);
	if (plot_check("the test", NULL)) {
		ck_assert_int_lt(rc, 0);
	} else {
		ck_assert_msg(!rc, "%s", err.text);
		ck_assert_ptr_nonnull(strstr(
		    text, "Slowest: domain by migratepages, 2M 512M, 0.00 GB/s, 0.00 times memcpy; "
			  "it moved 0% of the memory."));
		ck_assert_ptr_null(strstr(text, "times as fast as")); /* as nothing */
		ck_assert_ptr_nonnull(strstr(text, "x memcpy, moved >99%<"));
		ck_assert_ptr_nonnull(strstr(text, "<td>&gt;99%</td>"));
		ck_assert_ptr_nonnull(strstr(text, "the libvirt domain &#39;g&#39;"));
		ck_assert_ptr_null(strstr(text, ">nan"));
	}
	free(text);
	json_decref(host);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_domain");
	TCase *tcase = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, info_is_read_line_by_line);
	tcase_add_test(tcase, numatune_is_read_with_and_without_a_nodeset);
	tcase_add_test(tcase, errors_of_virsh_become_one_line);
	tcase_add_test(tcase, virsh_is_asked_in_plain_words_of_the_system_daemon);
	tcase_add_test(tcase, virsh_that_fails_or_is_missing_is_an_error_with_its_words);
	tcase_add_test(tcase, maps_largest_plain_mapping_is_the_guest);
	tcase_add_test(tcase, maps_memory_of_several_guest_nodes_is_put_together);
	tcase_add_test(tcase, maps_without_enough_plain_memory_are_refused);
	tcase_add_test(tcase, maps_of_many_pieces_keep_the_largest);
	tcase_add_test(tcase, qemu_of_a_domain_that_does_not_run_is_not_found);
	tcase_add_test(tcase, smaps_huge_pages_count_where_the_memory_is);
	tcase_add_test(tcase, place_of_own_memory_is_where_it_was_touched);
	tcase_add_test(tcase, cells_of_a_domain_are_one_a_mover);
	tcase_add_test(tcase, virsh_alone_leaves_no_cell_of_a_guest);
	tcase_add_test(tcase, move_is_judged_by_what_left);
	tcase_add_test(tcase, sample_of_a_partial_move_has_its_rate_and_share);
	tcase_add_test(tcase, domain_option_wants_a_name);
	tcase_add_test(tcase, share_says_all_and_nothing_only_of_these);
	tcase_add_test(tcase, table_has_dashes_where_a_domain_is_not_measured);
	tcase_add_test(tcase, table_columns_stand_below_each_other);
	tcase_add_test(tcase, json_and_csv_hold_no_nan);
	tcase_add_test(tcase, html_names_who_left_memory_behind);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
