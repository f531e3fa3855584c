/*
 * What the kernel is asked for when a region is added: each call with what it is told, in order, and in which words a region is
 * refused. No memory is mapped: the table of system calls notes them, and answers as a case wants it.
 */
#include "../../migrate/core/room.h"
#include "../../migrate/core/topology.h"
#include "../../migrate/memory/region.h"
#include "host_tree.h"
#include "suite.h"

#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define MIB  (1ull << 20)
#define GIB  (1ull << 30)
#define BASE ((uint8_t *)0x7f0000001000) /* where mappings begin: no multiple of anything */

static struct gmig_topology *topology;
static struct gmig *gmig;
static struct gmig_error err;
static struct gmig_sys sys;

/* ---- System calls that are noted --------------------------------------------------------------- */

static char text[2000];	  /* the calls, separated by ", " */
static const char *fails; /* the call that fails, as it is noted */
static int error;	  /* and how */

__attribute__((format(printf, 1, 2))) static int note(const char *format, ...)
{
	size_t used = strlen(text);
	char call[200];
	va_list args;

	va_start(args, format);
	vsnprintf(call, sizeof(call), format, args);
	va_end(args);
	snprintf(text + used, sizeof(text) - used, "%s%s", used ? ", " : "", call);
	return fails && !strcmp(call, fails) ? error : 0;
}

/* "4K" behind BASE. */
static const char *at(const void *memory)
{
	static char name[2][32];
	static unsigned int next;
	char *into = name[next++ % 2];

	snprintf(into, sizeof(name[0]), "%lldK",
		 (long long)((const uint8_t *)memory - BASE) / 1024);
	return into;
}

static unsigned long long kib(uint64_t bytes)
{
	return bytes / 1024;
}

static int note_map(size_t bytes, int protection, void *fixed, void **out)
{
	int ret = note("map %lluK prot %d%s", kib(bytes), protection, fixed ? " fixed" : "");

	*out = BASE;
	return ret;
}

static int note_map_huge(size_t bytes, uint64_t page_bytes, bool reserve, void *fixed, void **out)
{
	*out = fixed;
	return note("map_huge %lluK of %lluK%s at %s", kib(bytes), kib(page_bytes),
		    reserve ? " reserved" : "", at(fixed));
}

static int note_unmap(void *memory, size_t bytes)
{
	return note("unmap %s+%lluK", at(memory), kib(bytes));
}

static int note_protect(void *memory, size_t bytes, int protection)
{
	return note("protect %s+%lluK %d", at(memory), kib(bytes), protection);
}

static int note_lock(void *memory, size_t bytes, bool on)
{
	return note("%s %s+%lluK", on ? "lock" : "unlock", at(memory), kib(bytes));
}

static int note_advise(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_COLD) /* is it locked? */
		return 0;
	return note("advise %s+%lluK %d", at(memory), kib(bytes), advice);
}

static int note_prefer(void *memory, size_t bytes, int node)
{
	return note("prefer %s+%lluK %d", at(memory), kib(bytes), node);
}

static int note_memfd(const char *name, uint64_t bytes, uint64_t huge_bytes)
{
	int ret = note("memfd %s %lluK of %lluK", name, kib(bytes), kib(huge_bytes));

	return ret ? ret : 1000;
}

static int note_map_file(int fd, size_t bytes, void *fixed)
{
	return note("map_file %d %lluK at %s", fd, kib(bytes), at(fixed));
}

static int note_map_window(int fd, size_t bytes, void **out)
{
	(void)out;
	(void)note("map_window %d %lluK", fd, kib(bytes));
	return -EPERM;
}

static int note_close(int fd)
{
	return note("close %d", fd);
}

static struct room room;

static void tell_room(uint64_t page_bytes, struct room *out)
{
	(void)note("huge_room %lluK", kib(page_bytes));
	*out = room;
}

/* ---- An engine that migrates nothing ------------------------------------------------------------ */

static void setup(void)
{
	text[0] = '\0';
	fails = NULL;
	room = (struct room){.bytes = UINT64_MAX, .limit = "/sys/fs/cgroup/vm"};
	sys = gmig_sys_real;
	sys.map = note_map;
	sys.map_huge = note_map_huge;
	sys.unmap = note_unmap;
	sys.protect = note_protect;
	sys.lock = note_lock;
	sys.advise = note_advise;
	sys.prefer_node = note_prefer;
	sys.memfd = note_memfd;
	sys.map_file = note_map_file;
	sys.map_window = note_map_window;
	sys.close = note_close;
	sys.huge_room = tell_room;
}

static void create_as(struct gmig_options options)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0", "10 20"},
						 {1, 4096, 2048, "1", "20 10"}};

	tree_create();
	tree_nodes("0-3", nodes, 2);
	tree_cpuset("0-1");
	ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, &err), 0);
	options.topology = topology;
	options.plain = true;
	options.sys = &sys;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
}

static void create(void)
{
	create_as((struct gmig_options){0});
}

static void teardown(void)
{
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	tree_remove();
	gmig = NULL;
}

static void *hva;

static int add(struct gmig_region_spec spec)
{
	text[0] = '\0';
	return gmig_region_add(gmig, &spec, &hva, &err);
}

/* It is refused so, and there is no region more than before. */
static void assert_refused(struct gmig_region_spec spec, int expected, const char *words)
{
	unsigned int count = atomic_load(&gmig->region_count);

	ck_assert_int_eq(add(spec), expected);
	ck_assert_int_eq(err.code, expected);
	ck_assert_str_eq(err.text, words);
	ck_assert_uint_eq(atomic_load(&gmig->region_count), count);
}

/* ---- What is asked for ------------------------------------------------------------------------- */

/* The memory is at the first multiple of 2 MiB behind at least one page. */
#define RAM_MAPPED "map 8192K prot 0, protect 2044K+4096K 3, "
#define UNMAPPED   ", unmap 0K+8192K"

static const struct {
	struct gmig_options options;
	const char *calls;
} rams[] = {
    {{0},
     RAM_MAPPED "advise 2044K+4096K 14, advise 2044K+4096K 13, advise 2044K+4096K 16, advise "
		"2044K+4096K 10, prefer 2044K+4096K 1"},
    {{.small_pages = true},
     RAM_MAPPED "advise 2044K+4096K 15, advise 2044K+4096K 13, advise 2044K+4096K 16, advise "
		"2044K+4096K 10, prefer 2044K+4096K 1"},
    {{.dump_memory = true},
     RAM_MAPPED "advise 2044K+4096K 14, advise 2044K+4096K 13, advise 2044K+4096K 10, prefer "
		"2044K+4096K 1"},
};

START_TEST(ram_is_mapped_between_guards_advised_and_bound)
{
	create_as(rams[_i].options);
	ck_assert_msg(!add((struct gmig_region_spec){.bytes = 4 * MIB, .host_node = 1}), "%s",
		      err.text);
	ck_assert_str_eq(text, rams[_i].calls);
	ck_assert_ptr_eq(hva, BASE + 2044 * 1024);
	ck_assert_uint_eq(gmig->regions[0].reserved_bytes, 8 * MIB);
	text[0] = '\0';
	region_unmap(gmig, &gmig->regions[0]);
	ck_assert_str_eq(text, "unmap 0K+8192K");
}
END_TEST

static const struct {
	const char *fails;
	int error;
	const char *words, *left; /* calls that undo it */
} ram_refused[] = {
    {"map 8192K prot 0", -ENOMEM, "cannot map 4 MiB of guest memory: ENOMEM", "map 8192K prot 0"},
    {"protect 2044K+4096K 3", -EACCES, "cannot map 4 MiB of guest memory: EACCES",
     "protect 2044K+4096K 3" UNMAPPED},
    {"advise 2044K+4096K 10", -EINVAL, "cannot keep guest memory out of fork: EINVAL",
     "advise 2044K+4096K 10" UNMAPPED},
    {"prefer 2044K+4096K 1", -ENOMEM, "mbind(2) to node 1: ENOMEM",
     "prefer 2044K+4096K 1" UNMAPPED},
    {"prefer 2044K+4096K 1", -EINVAL, NULL, NULL},
};

START_TEST(ram_that_cannot_be_had_says_why_and_is_unmapped)
{
	const struct gmig_region_spec spec = {.bytes = 4 * MIB, .host_node = 1};

	create();
	fails = ram_refused[_i].fails;
	error = ram_refused[_i].error;
	if (!ram_refused[_i].words) {
		assert_refused(spec, -EACCES,
			       "memory cannot be placed on node 1: this thread's cpuset leaves it "
			       "out (Mems_allowed in /proc/thread-self/status)");
		return;
	}
	assert_refused(spec, ram_refused[_i].error, ram_refused[_i].words);
	ck_assert_msg(
	    strlen(text) >= strlen(ram_refused[_i].left) &&
		!strcmp(text + strlen(text) - strlen(ram_refused[_i].left), ram_refused[_i].left),
	    "%s", text);
}
END_TEST

/* What a kernel without these does not know, and what a container forbids, is no reason where nothing migrates. */
START_TEST(refusal_that_does_not_matter_adds_the_region)
{
	static const struct {
		const char *fails;
		int error;
	} cases[] = {{"advise 2044K+4096K 14", -EINVAL},
		     {"advise 2044K+4096K 13", -EINVAL},
		     {"advise 2044K+4096K 16", -EINVAL},
		     {"prefer 2044K+4096K 0", -EPERM},
		     {"prefer 2044K+4096K 0", -ENOSYS}};

	create();
	fails = cases[_i].fails;
	error = cases[_i].error;
	ck_assert_msg(!add((struct gmig_region_spec){.bytes = 4 * MIB}), "%s", err.text);
	ck_assert_ptr_nonnull(strstr(text, fails));
}
END_TEST

#define FILE_MAPPED "map 8192K prot 0, protect 2044K+4096K 3, memfd gmig-guest 4096K of "
#define FILE_READY                                                                                 \
	"advise 2044K+4096K 14, advise 2044K+4096K 13, advise 2044K+4096K 16, advise "             \
	"2044K+4096K 10, prefer 2044K+4096K 0"

START_TEST(file_in_memory_is_mapped_over_the_reserved_addresses)
{
	struct gmig_region_file file;

	create();
	ck_assert_int_eq(
	    add((struct gmig_region_spec){
		.bytes = 4 * MIB, .kind = _i ? GMIG_REGION_MEMFD_HUGETLB : GMIG_REGION_MEMFD}),
	    0);
	ck_assert_str_eq(text, _i ? FILE_MAPPED "2048K, map_file 1000 4096K at 2044K, map_window "
						"1000 4096K, " FILE_READY
				  : FILE_MAPPED "0K, map_file 1000 4096K at 2044K, " FILE_READY);
	ck_assert_int_eq(gmig_region_file(gmig, 0, &file), 0);
	ck_assert_int_eq(file.fd, 1000);
	ck_assert_int_eq(file.hugetlb, _i);
	ck_assert_int_eq(file.unseen, _i ? -EPERM : 0);
	ck_assert_uint_eq(file.gpa, 0);
	ck_assert_uint_eq(file.bytes, 4 * MIB);
	ck_assert_int_eq(gmig_region_file(gmig, 1, &file), -ENOENT);
	text[0] = '\0';
	region_unmap(gmig, &gmig->regions[0]);
	ck_assert_str_eq(text, "unmap 0K+8192K, close 1000");
}
END_TEST

static const struct {
	const char *fails;
	int error, hugetlb;
	const char *words, *left;
} file_refused[] = {
    {"map 8192K prot 0", -ENOMEM, 0, "cannot map 4 MiB of guest memory: ENOMEM", "prot 0"},
    {"memfd gmig-guest 4096K of 0K", -EMFILE, 0, "cannot make a file in memory of 4 MiB: EMFILE",
     UNMAPPED},
    {"memfd gmig-guest 4096K of 2048K", -ENOSYS, 1,
     "cannot make a file in memory of 4 MiB of huge pages: ENOSYS", UNMAPPED},
    {"map_file 1000 4096K at 2044K", -ENOMEM, 1,
     "the host's pool of 2 MiB pages has too few free ones for 4 MiB: raise vm.nr_hugepages",
     UNMAPPED ", close 1000"},
    {"map_file 1000 4096K at 2044K", -ENOMEM, 0, "cannot map 4 MiB of shared guest memory: ENOMEM",
     UNMAPPED ", close 1000"},
    {"map_file 1000 4096K at 2044K", -EACCES, 1, "cannot map 4 MiB of shared guest memory: EACCES",
     UNMAPPED ", close 1000"},
    {"advise 2044K+4096K 10", -ENOMEM, 0, "cannot keep guest memory out of fork: ENOMEM",
     UNMAPPED ", close 1000"},
    {"prefer 2044K+4096K 0", -ENOMEM, 0, "mbind(2) to node 0: ENOMEM", UNMAPPED ", close 1000"},
};

START_TEST(file_that_cannot_be_had_says_why_and_is_closed)
{
	const char *left = file_refused[_i].left;

	create();
	fails = file_refused[_i].fails;
	error = file_refused[_i].error;
	assert_refused((struct gmig_region_spec){.bytes = 4 * MIB,
						 .kind = file_refused[_i].hugetlb
							     ? GMIG_REGION_MEMFD_HUGETLB
							     : GMIG_REGION_MEMFD},
		       error, file_refused[_i].words);
	ck_assert_msg(strlen(text) >= strlen(left) &&
			  !strcmp(text + strlen(text) - strlen(left), left),
		      "%s", text);
}
END_TEST

/* Guards of at least a page, and a block behind them that is only read. */
#define HUGE_MAPPED                                                                                \
	"huge_room 2048K, map 12288K prot 0, protect 8188K+2048K 1, map_huge 4096K of 2048K "      \
	"reserved at 2044K, protect 2044K+4096K 3, "

START_TEST(huge_pages_are_mapped_where_there_is_room_for_a_block_of_zeros)
{
	create();
	ck_assert_msg(!add((struct gmig_region_spec){
			  .bytes = 4 * MIB, .kind = GMIG_REGION_HUGETLB, .host_node = 1}),
		      "%s", err.text);
	ck_assert_str_eq(text, HUGE_MAPPED
			 "advise 2044K+4096K 14, advise 2044K+4096K 13, advise 2044K+4096K 16, "
			 "advise 2044K+4096K 10, prefer 2044K+4096K 1");
	ck_assert_ptr_eq(gmig->regions[0].zeros, BASE + 8188 * 1024);
	text[0] = '\0';
	region_unmap(gmig, &gmig->regions[0]);
	ck_assert_str_eq(text, "unmap 0K+12288K");
}
END_TEST

START_TEST(giant_pages_are_mapped_at_a_multiple_of_their_size)
{
	create();
	ck_assert_msg(
	    !add((struct gmig_region_spec){
		.gpa = GIB, .bytes = 2 * GIB, .kind = GMIG_REGION_HUGETLB_1G, .host_node = 1}),
	    "%s", err.text);
	ck_assert_str_eq(text, "huge_room 1048576K, map 3151872K prot 0, protect 3147772K+2048K 1, "
			       "map_huge 2097152K of 1048576K reserved at 1048572K, protect "
			       "1048572K+2097152K 3, advise 1048572K+2097152K 14, advise "
			       "1048572K+2097152K 13, advise 1048572K+2097152K 16, advise "
			       "1048572K+2097152K 10, prefer 1048572K+2097152K 1");
	/* Then all of them have to be. */
	assert_refused((struct gmig_region_spec){.gpa = 4 * GIB, .bytes = 2 * MIB}, -EINVAL,
		       "all of a guest's regions are of pages of 1 GiB, or none is");
	assert_refused((struct gmig_region_spec){.gpa = 4 * GIB,
						 .bytes = GIB + 2 * MIB,
						 .kind = GMIG_REGION_HUGETLB_1G},
		       -EINVAL,
		       "region at 0x100000000: address and size must be multiples of its pages, "
		       "which are 1024 MiB");
	assert_refused((struct gmig_region_spec){.gpa = 4 * GIB + 2 * MIB,
						 .bytes = GIB,
						 .kind = GMIG_REGION_HUGETLB_1G},
		       -EINVAL,
		       "region at 0x100200000: address and size must be multiples of its pages, "
		       "which are 1024 MiB");
}
END_TEST

static const struct {
	const char *fails;
	int error;
	const char *words, *left;
} huge_refused[] = {
    {"map 12288K prot 0", -ENOMEM, "cannot map 4 MiB of guest memory: ENOMEM", "prot 0"},
    {"protect 8188K+2048K 1", -ENOMEM, "cannot map 4 MiB of guest memory: ENOMEM",
     "unmap 0K+12288K"},
    {"map_huge 4096K of 2048K reserved at 2044K", -ENOMEM,
     "the host's pool of 2 MiB pages has too few free ones for 4 MiB: raise vm.nr_hugepages",
     "unmap 0K+12288K"},
    {"map_huge 4096K of 2048K reserved at 2044K", -EPERM,
     "cannot map 4 MiB of pages of 2 MiB: EPERM", "unmap 0K+12288K"},
    {"protect 2044K+4096K 3", -EACCES, "cannot map 4 MiB of pages of 2 MiB: EACCES",
     "unmap 0K+12288K"},
    {"advise 2044K+4096K 10", -EINVAL, "cannot keep guest memory out of fork: EINVAL",
     "unmap 0K+12288K"},
    {"prefer 2044K+4096K 0", -ENOMEM, "mbind(2) to node 0: ENOMEM", "unmap 0K+12288K"},
};

START_TEST(huge_pages_that_cannot_be_had_say_why_and_are_unmapped)
{
	const char *left = huge_refused[_i].left;

	create();
	fails = huge_refused[_i].fails;
	error = huge_refused[_i].error;
	assert_refused((struct gmig_region_spec){.bytes = 4 * MIB, .kind = GMIG_REGION_HUGETLB},
		       error, huge_refused[_i].words);
	ck_assert_msg(strlen(text) >= strlen(left) &&
			  !strcmp(text + strlen(text) - strlen(left), left),
		      "%s", text);
}
END_TEST

START_TEST(limit_of_a_cgroup_counts_what_other_regions_may_still_take)
{
	const struct gmig_region_spec first = {.bytes = 4 * MIB, .kind = GMIG_REGION_HUGETLB},
				      second = {.gpa = 8 * MIB,
						.bytes = 6 * MIB,
						.kind = GMIG_REGION_HUGETLB};

	create();
	ck_assert_int_eq(add((struct gmig_region_spec){.gpa = 64 * MIB, .bytes = 64 * MIB}), 0);
	room.bytes = 4 * MIB - 1;
	assert_refused(first, -ENOMEM,
		       "the hugetlb limit of cgroup /sys/fs/cgroup/vm leaves 3 MiB in pages of 2 "
		       "MiB, and this memory takes 4 MiB");
	ck_assert_str_eq(text, "huge_room 2048K");
	room.bytes = 4 * MIB;
	ck_assert_int_eq(add(first), 0);
	room.bytes = 10 * MIB - 1;
	assert_refused(second, -ENOMEM,
		       "the hugetlb limit of cgroup /sys/fs/cgroup/vm leaves 9 MiB in pages of 2 "
		       "MiB, and this memory takes 10 MiB");
	room.bytes = 10 * MIB;
	ck_assert_int_eq(add(second), 0);
}
END_TEST

/* Beyond a limit that is there it would sleep at a touch for good. */
START_TEST(limit_of_a_cgroup_that_cannot_be_looked_at_is_asked_for_again)
{
	const struct gmig_region_spec spec = {.bytes = 4 * MIB, .kind = GMIG_REGION_HUGETLB};

	create();
	room.unread = EMFILE;
	assert_refused(spec, -EAGAIN,
		       "the hugetlb limits of this cgroup could not be looked at (Too many open "
		       "files): try again");
	ck_assert_str_eq(text, "huge_room 2048K");
	room.unread = 0;
	ck_assert_int_eq(add(spec), 0);
}
END_TEST

/* ---- Locked in memory -------------------------------------------------------------------------- */

static void limit_locked(rlim_t bytes)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

#define TRIED "map 68K prot 0, lock 0K+68K, unmap 0K+68K"

START_TEST(more_than_the_limit_is_locked_before_the_region_is)
{
	limit_locked(64 << 10);
	create_as((struct gmig_options){.lock_memory = true});
	ck_assert_int_eq(add((struct gmig_region_spec){.bytes = 4 * MIB}), 0);
	ck_assert_ptr_nonnull(strstr(text, "prefer 2044K+4096K 0, " TRIED ", lock 2044K+4096K"));
}
END_TEST

static const struct {
	const char *fails;
	int error, expected;
	const char *words;
} lock_refused[] = {
    {"map 68K prot 0", -ENOMEM, -ENOMEM, "cannot map 0 MiB to see whether they may be locked"},
    {"lock 0K+68K", -ENOMEM, -EPERM,
     "memory may not be locked without limit: it takes CAP_IPC_LOCK, or `ulimit -l unlimited` "
     "(LimitMEMLOCK=infinity); now it is 64 KiB"},
    {"lock 2044K+4096K", -EAGAIN, -EAGAIN, "4 MiB of guest memory cannot be locked: EAGAIN"},
};

START_TEST(memory_that_cannot_be_locked_says_why)
{
	limit_locked(64 << 10);
	create_as((struct gmig_options){.lock_memory = true});
	fails = lock_refused[_i].fails;
	error = lock_refused[_i].error;
	assert_refused((struct gmig_region_spec){.bytes = 4 * MIB}, lock_refused[_i].expected,
		       lock_refused[_i].words);
	ck_assert_msg(!strcmp(text + strlen(text) - strlen("unmap 0K+8192K"), "unmap 0K+8192K"),
		      "%s", text);
	if (_i == 1)
		ck_assert_ptr_nonnull(strstr(text, TRIED ", unmap 0K+8192K"));
}
END_TEST

/* ---- What is no region ------------------------------------------------------------------------- */

START_TEST(address_and_size_are_multiples_of_2_mib)
{
	create();
	assert_refused((struct gmig_region_spec){.gpa = 4096, .bytes = 2 * MIB}, -EINVAL,
		       "region at 0x1000: address and size must be multiples of 2 MiB");
	assert_refused((struct gmig_region_spec){.bytes = 2 * MIB + 4096}, -EINVAL,
		       "region at 0x0: address and size must be multiples of 2 MiB");
	assert_refused((struct gmig_region_spec){.gpa = 2 * MIB}, -EINVAL,
		       "region at 0x200000: address and size must be multiples of 2 MiB");
	assert_refused(
	    (struct gmig_region_spec){.bytes = 2 * MIB, .kind = (enum gmig_region_kind)6}, -EINVAL,
	    "region kind 6 is not known");
	ck_assert_str_eq(text, "");
	ck_assert_int_eq(add((struct gmig_region_spec){.bytes = 2 * MIB, .reserved = {1}}), -E2BIG);
}
END_TEST

START_TEST(node_and_vnode_are_ones_that_there_are)
{
	create();
	assert_refused((struct gmig_region_spec){.bytes = 2 * MIB, .vnode = GMIG_MAX_VNODES},
		       -EINVAL, "vnode 64: at most 64 vnodes");
	ck_assert_int_eq(add((struct gmig_region_spec){
			     .bytes = 2 * MIB, .vnode = GMIG_MAX_VNODES - 1, .host_node = 1}),
			 0);
	ck_assert_uint_eq(gmig->regions[0].vnode, GMIG_MAX_VNODES - 1);
	ck_assert_uint_eq(gmig->regions[0].base_node, 1);
	ck_assert_uint_eq(atomic_load(&gmig->regions[0].preferred_node), 1);
	ck_assert_int_ne(add((struct gmig_region_spec){
			     .gpa = 2 * MIB, .bytes = 2 * MIB, .vnode = 3, .host_node = 2}),
			 0);
	ck_assert_ptr_nonnull(strstr(err.text, "host node 2 of vnode 3"));
	/* A look at the host is taken for each. */
	tree_cpuset("0");
	ck_assert_int_ne(
	    add((struct gmig_region_spec){.gpa = 2 * MIB, .bytes = 2 * MIB, .host_node = 1}), 0);
}
END_TEST

START_TEST(regions_may_touch_but_not_overlap)
{
	create();
	ck_assert_int_eq(add((struct gmig_region_spec){.gpa = 8 * MIB, .bytes = 4 * MIB}), 0);
	ck_assert_int_eq(add((struct gmig_region_spec){.gpa = 6 * MIB, .bytes = 2 * MIB}), 0);
	ck_assert_int_eq(add((struct gmig_region_spec){.gpa = 12 * MIB, .bytes = 2 * MIB}), 0);
	assert_refused((struct gmig_region_spec){.gpa = 10 * MIB, .bytes = 2 * MIB}, -EINVAL,
		       "region at 0xa00000 overlaps the one at 0x800000");
	assert_refused((struct gmig_region_spec){.gpa = 4 * MIB, .bytes = 4 * MIB}, -EINVAL,
		       "region at 0x400000 overlaps the one at 0x600000");
	assert_refused((struct gmig_region_spec){.gpa = 12 * MIB, .bytes = 4 * MIB}, -EINVAL,
		       "region at 0xc00000 overlaps the one at 0xc00000");
	ck_assert_uint_eq(atomic_load(&gmig->region_count), 3);
	for (unsigned int i = 3; i < ENGINE_REGIONS; i++)
		ck_assert_int_eq(
		    add((struct gmig_region_spec){.gpa = i * 16 * MIB, .bytes = 2 * MIB}), 0);
	assert_refused((struct gmig_region_spec){.gpa = 2 * MIB, .bytes = 2 * MIB}, -EINVAL,
		       "more than 128 regions");
}
END_TEST

START_TEST(each_file_is_told_with_where_it_is)
{
	struct gmig_region_file file;

	create();
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_int_eq(add((struct gmig_region_spec){.gpa = i * 16 * MIB,
							       .bytes = (i + 1) * 2 * MIB,
							       .kind = i % 2 ? GMIG_REGION_MEMFD
									     : GMIG_REGION_RAM}),
				 0);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_int_eq(gmig_region_file(gmig, i, &file), 0);
		ck_assert_uint_eq(file.gpa, (2 * i + 1) * 16 * MIB);
		ck_assert_uint_eq(file.bytes, (2 * i + 2) * 2 * MIB);
		ck_assert(!file.hugetlb);
	}
	ck_assert_int_eq(gmig_region_file(gmig, 2, &file), -ENOENT);
}
END_TEST

/* ---- Of an owner's ------------------------------------------------------------------------------- */

START_TEST(memory_of_an_owner_is_aligned_and_no_other_region_s)
{
	static const char unaligned[] = "the memory of a region of kind own must be mapped at a "
					"multiple of 2 MiB, and have operations",
			  other[] = "the memory of a region of kind own is that of another region, "
				    "or ends behind all addresses";
	const struct gmig_region_ops ops = {0};
	struct gmig_region_own own = {.ops = &ops, .memory = (void *)(64 * MIB)};
	struct gmig_region_spec spec = {.bytes = 4 * MIB, .kind = GMIG_REGION_OWN, .own = &own};

	create();
	spec.own = NULL;
	assert_refused(spec, -EINVAL, "a region of kind own needs its operations");
	spec.own = &own;
	spec.kind = GMIG_REGION_RAM;
	assert_refused(spec, -EINVAL, "only a region of kind own has operations of its own");
	spec.kind = GMIG_REGION_OWN;
	own.ops = NULL;
	assert_refused(spec, -EINVAL, unaligned);
	own = (struct gmig_region_own){.ops = &ops};
	assert_refused(spec, -EINVAL, unaligned);
	own.memory = (void *)(64 * MIB + 4096);
	assert_refused(spec, -EINVAL, unaligned);
	own.memory = (void *)(64 * MIB);
	own.reserved[0] = 1;
	ck_assert_int_eq(add(spec), -E2BIG);
	own.reserved[0] = 0;
	ck_assert_int_eq(add(spec), 0);
	ck_assert_ptr_eq(hva, (void *)(64 * MIB));
	/* Beside it, on either side, and over it. */
	spec.gpa = 16 * MIB;
	own.memory = (void *)(66 * MIB);
	assert_refused(spec, -EINVAL, other);
	own.memory = (void *)(62 * MIB);
	assert_refused(spec, -EINVAL, other);
	own.memory = (void *)(68 * MIB);
	ck_assert_int_eq(add(spec), 0);
	spec.gpa = 32 * MIB;
	own.memory = (void *)(60 * MIB);
	ck_assert_int_eq(add(spec), 0);
	/* It has to end before the addresses do. */
	spec.gpa = 48 * MIB;
	own.memory = (void *)(UINTPTR_MAX - 4 * MIB + 1);
	assert_refused(spec, -EINVAL, other);
	own.memory = (void *)(UINTPTR_MAX - 6 * MIB + 1);
	ck_assert_int_eq(add(spec), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("region_add");
	TCase *tcase = tcase_create("region_add");

#define LOOP(test, of) tcase_add_loop_test(tcase, test, 0, sizeof(of) / sizeof((of)[0]))
	tcase_add_checked_fixture(tcase, setup, teardown);
	LOOP(ram_is_mapped_between_guards_advised_and_bound, rams);
	LOOP(ram_that_cannot_be_had_says_why_and_is_unmapped, ram_refused);
	tcase_add_loop_test(tcase, refusal_that_does_not_matter_adds_the_region, 0, 5);
	tcase_add_loop_test(tcase, file_in_memory_is_mapped_over_the_reserved_addresses, 0, 2);
	LOOP(file_that_cannot_be_had_says_why_and_is_closed, file_refused);
	tcase_add_test(tcase, huge_pages_are_mapped_where_there_is_room_for_a_block_of_zeros);
	tcase_add_test(tcase, giant_pages_are_mapped_at_a_multiple_of_their_size);
	LOOP(huge_pages_that_cannot_be_had_say_why_and_are_unmapped, huge_refused);
	tcase_add_test(tcase, limit_of_a_cgroup_counts_what_other_regions_may_still_take);
	tcase_add_test(tcase, limit_of_a_cgroup_that_cannot_be_looked_at_is_asked_for_again);
	tcase_add_test(tcase, more_than_the_limit_is_locked_before_the_region_is);
	LOOP(memory_that_cannot_be_locked_says_why, lock_refused);
	tcase_add_test(tcase, address_and_size_are_multiples_of_2_mib);
	tcase_add_test(tcase, node_and_vnode_are_ones_that_there_are);
	tcase_add_test(tcase, regions_may_touch_but_not_overlap);
	tcase_add_test(tcase, each_file_is_told_with_where_it_is);
	tcase_add_test(tcase, memory_of_an_owner_is_aligned_and_no_other_region_s);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
