/*
 * What runs in the guest of the agent's tests, beside the agent.
 *   agent-load load MIB NODE [tell]   memory on NODE that is written and checked until SIGTERM; tell: it rests
 *                                     more, and says after each round what it has found; SIGUSR1: one write is lost
 *   agent-load twin NAME              a process with a region of pages of every kind, see below
 *   agent-load direct PID NODE [all]  move_pages(2) on the region of twin PID; prints each status
 *   agent-load ask PID                where the pages of its region are
 *   agent-load migrate PID FROM TO    migrate_pages(2); prints its error
 *   agent-load hot                    a process that uses some small pages of each of a few blocks
 *   agent-load blocks PID             in how many of the guest's blocks these lie, by their frame numbers
 *   agent-load victim                 a page of memory, and its frame; on SIGUSR1 it is read
 *   agent-load as UID PROGRAM ARG..   runs a program as a user without rights
 * Static, libc alone: it goes into an initrd.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE   4096ul
#define HUGE   (2ul << 20)
#define REGION 0x100000000000ul /* of a twin: small pages, and a huge one 4 MiB further on */
#define SMALL  64
#define PAGES  (SMALL + HUGE / PAGE)
#define UNSET  (-4096)

static volatile sig_atomic_t ended;

static volatile sig_atomic_t asked;

static void on_term(int number)
{
	(void)number;
	ended = 1;
}

static void on_usr1(int number)
{
	(void)number;
	asked = 1;
}

static void die(const char *what)
{
	printf("agent-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void set_policy(int node)
{
	unsigned long mask = node >= 0 ? 1ul << node : 0;

	/* MPOL_BIND, MPOL_DEFAULT */
	if (syscall(SYS_set_mempolicy, node >= 0 ? 2 : 0, node >= 0 ? &mask : NULL,
		    node >= 0 ? 65ul : 0ul))
		die("set_mempolicy");
}

static char *map(unsigned long at, size_t bytes, int flags)
{
	char *memory = mmap((void *)at, bytes, PROT_READ | PROT_WRITE,
			    flags | MAP_ANONYMOUS | (at ? MAP_FIXED_NOREPLACE : 0), -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

/* ---- load ------------------------------------------------------------------------------------ */

/* Every page holds its number and how often it has been written, in each of 512 words. */
static uint64_t word_of(size_t page, uint64_t round, size_t i)
{
	return (page * 0x9e3779b97f4a7c15ull) ^ (round << 32) ^ i;
}

static void write_page(char *memory, size_t page, uint64_t round)
{
	uint64_t *word = (uint64_t *)(memory + page * PAGE);

	for (size_t i = 0; i < PAGE / 8; i++)
		word[i] = word_of(page, round, i);
}

static size_t check_page(const char *memory, size_t page, uint64_t round)
{
	const uint64_t *word = (const uint64_t *)(memory + page * PAGE);
	size_t bad = 0;

	for (size_t i = 0; i < PAGE / 8; i++)
		bad += word[i] != word_of(page, round, i);
	return bad;
}

/* The next write, unless it is to be lost, so that a test sees that this is seen. */
static void write_next(char *memory, size_t page, uint64_t round)
{
	if (asked)
		asked = 0;
	else
		write_page(memory, page, round);
}

static int run_load(size_t mib, int node, bool tell)
{
	size_t pages = mib << 8, bad = 0;
	/* others move it meanwhile */
	const struct timespec rest = {.tv_nsec = tell ? 150000000 : 20000000};
	uint64_t round = 0;
	char *memory;

	signal(SIGTERM, on_term);
	signal(SIGUSR1, on_usr1);
	memory = map(0, pages * PAGE, MAP_PRIVATE);
	set_policy(node);
	for (size_t page = 0; page < pages; page++)
		write_page(memory, page, round);
	set_policy(-1);
	printf("LOAD-READY pid=%d mib=%zu node=%d\n", getpid(), mib, node);
	while (!ended) {
		for (size_t page = 0; page < pages; page++) {
			bad += check_page(memory, page, round);
			write_next(memory, page, round + 1);
			if (page % 1024 == 0)
				nanosleep(&rest, NULL);
		}
		round++;
		if (tell)
			printf("LOAD-ROUND %llu bad=%zu\n", (unsigned long long)round, bad);
	}
	for (size_t page = 0; page < pages; page++)
		bad += check_page(memory, page, round);
	printf("LOAD-VERDICT: %s mib=%zu rounds=%llu bad=%zu\n", bad ? "FAIL" : "PASS", mib,
	       (unsigned long long)round, bad);
	return bad != 0;
}

/* ---- twin ------------------------------------------------------------------------------------ */

static void touch(unsigned long first, unsigned long count)
{
	for (unsigned long page = first; page < first + count; page++)
		*(volatile char *)(REGION + page * PAGE) = (char)page;
}

/* The other half of what is shared: a child that has it mapped, and sleeps. */
static void fork_child(void)
{
	int done[2];
	char byte = 0;

	if (pipe(done))
		die("pipe");
	if (!fork()) {
		touch(24, 4);
		if (write(done[1], &byte, 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	if (read(done[0], &byte, 1) != 1)
		die("child");
}

/* All small pages in 4K, whatever the guest thinks of huge ones. */
static void make_small(void)
{
	map(REGION, 24 * PAGE, MAP_PRIVATE);
	map(REGION + 24 * PAGE, 4 * PAGE, MAP_SHARED);
	map(REGION + 28 * PAGE, 28 * PAGE, MAP_PRIVATE);
	madvise((void *)REGION, 56 * PAGE, MADV_NOHUGEPAGE);
	set_policy(0);
	touch(24, 8); /* 24: shared memory; 28: shared by fork */
	fork_child();
	touch(0, 16); /* 0: of its own; 16: never touched */
	for (unsigned long page = 20; page < 24; page++)
		(void)*(volatile char *)(REGION + page * PAGE); /* 20: the zero page */
	set_policy(1);
	touch(32, 8); /* 32: there already */
	set_policy(0);
	touch(40, 8); /* 40: locked */
	if (mlock((void *)(REGION + 40 * PAGE), 8 * PAGE))
		die("mlock");
	munmap((void *)(REGION + 48 * PAGE), 8 * PAGE); /* 48: nobody's */
}

static void make_file(void)
{
	int fd = memfd_create("twin", 0);

	if (fd < 0 || ftruncate(fd, 8 * PAGE) ||
	    mmap((void *)(REGION + 56 * PAGE), 8 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED)
		die("memfd");
	touch(56, 8); /* 56: of a file */
}

static bool make_huge(void)
{
	char *huge = map(REGION + 2 * HUGE, HUGE, MAP_PRIVATE);

	madvise(huge, HUGE, MADV_HUGEPAGE);
	memset(huge, 7, HUGE);
	for (int i = 0; i < 20; i++)
		if (!madvise(huge, HUGE, 25 /* MADV_COLLAPSE */))
			return true;
	return false;
}

static int run_twin(const char *name)
{
	bool huge;

	signal(SIGTERM, on_term);
	make_small();
	make_file();
	huge = make_huge();
	set_policy(-1);
	printf("TWIN %s pid=%d huge=%s\n", name, getpid(), huge ? "yes" : "no");
	while (!ended)
		pause();
	return 0;
}

static void *address(size_t i)
{
	return (void *)(i < SMALL ? REGION + i * PAGE : REGION + 2 * HUGE + (i - SMALL) * PAGE);
}

static int run_direct(int pid, const int *node, int all)
{
	static void *pages[PAGES];
	static int nodes[PAGES], status[PAGES];
	long rc;

	for (size_t i = 0; i < PAGES; i++) {
		pages[i] = address(i);
		nodes[i] = node ? *node : 0;
		status[i] = UNSET;
	}
	rc = syscall(SYS_move_pages, pid, PAGES, pages, node ? nodes : NULL, status,
		     all ? 4 /* MPOL_MF_MOVE_ALL */ : 2 /* MPOL_MF_MOVE */);
	printf("DIRECT pid=%d node=%d all=%d rc=%ld error=%s status=", pid, node ? *node : -1, all,
	       rc, rc < 0 ? strerrorname_np(errno) : "0");
	for (size_t i = 0; i < PAGES; i++)
		printf("%s%d", i ? "," : "", status[i]);
	putchar('\n');
	return 0;
}

static int run_migrate(int pid, int from, int to)
{
	unsigned long old_nodes = 1ul << from, new_nodes = 1ul << to;
	long rc = syscall(SYS_migrate_pages, pid, 65ul, &old_nodes, &new_nodes);

	printf("DIRECT pid=%d rc=%ld error=%s\n", pid, rc, rc < 0 ? strerrorname_np(errno) : "0");
	return 0;
}

/* ---- hot: small pages all over a few blocks -------------------------------------------------- */

#define HOT	   0x110000000000ul
#define HOT_BLOCKS 4ul
#define HOT_PAGES  128ul /* of each, every fourth */
#define BETWEEN	   63ul	 /* pages of somebody else's between two of them */

static char *hot_page(size_t i)
{
	return (char *)(HOT + i / HOT_PAGES * HUGE + i % HOT_PAGES * 4 * PAGE);
}

/* So that no block of the guest holds more than a few of them. */
static void scatter(void)
{
	size_t others = HOT_BLOCKS * HOT_PAGES * BETWEEN;
	char *other = map(0, others * PAGE, MAP_PRIVATE);

	/* Not by advice: what is to be huge later on would be khugepaged's at once. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	map(HOT, HOT_BLOCKS * HUGE, MAP_PRIVATE);
	madvise(other, others * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < HOT_BLOCKS * HOT_PAGES; i++) {
		write_page(hot_page(i), 0, i);
		for (size_t n = 0; n < BETWEEN; n++)
			other[(i * BETWEEN + n) * PAGE] = 1;
	}
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}

static int run_hot(void)
{
	size_t bad = 0;
	uint64_t round = 0;

	signal(SIGTERM, on_term);
	scatter();
	printf("HOT-READY pid=%d\n", getpid());
	for (; !ended; round++)
		for (size_t i = 0; i < HOT_BLOCKS * HOT_PAGES; i++)
			(*(volatile uint64_t *)hot_page(i))++;
	for (size_t i = 0; i < HOT_BLOCKS * HOT_PAGES; i++) {
		*(uint64_t *)hot_page(i) -= round;
		bad += check_page(hot_page(i), 0, i);
	}
	printf("HOT-VERDICT: %s rounds=%llu bad=%zu\n", bad ? "FAIL" : "PASS",
	       (unsigned long long)round, bad);
	return bad != 0;
}

static int run_blocks(const char *pid)
{
	static uint64_t seen[HOT_BLOCKS * HOT_PAGES];
	size_t distinct = 0, there = 0, n;
	char path[64];
	int pagemap;

	snprintf(path, sizeof(path), "/proc/%s/pagemap", pid);
	pagemap = open(path, O_RDONLY);
	if (pagemap < 0)
		die(path);
	for (size_t i = 0; i < HOT_BLOCKS * HOT_PAGES; i++) {
		uint64_t entry;

		if (pread(pagemap, &entry, 8, (off_t)((uintptr_t)hot_page(i) / PAGE * 8)) != 8)
			die(path);
		if (!(entry >> 63))
			continue;
		there++;
		entry = (entry & ((1ull << 55) - 1)) / (HUGE / PAGE);
		for (n = 0; n < distinct && seen[n] != entry; n++)
			;
		if (n == distinct)
			seen[distinct++] = entry;
	}
	printf("BLOCKS pid=%s pages=%zu blocks=%zu\n", pid, there, distinct);
	return 0;
}

/* ---- victim: of memory that breaks ----------------------------------------------------------- */

static char *page_to_read;

/* The kernel tells who has read it: BUS_MCEERR_AR, and where. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	char text[64];
	int length = snprintf(text, sizeof(text), "VICTIM SIGBUS code=%d here=%d\n", info->si_code,
			      ((uintptr_t)info->si_addr & ~(PAGE - 1)) == (uintptr_t)page_to_read);

	(void)number;
	(void)context;
	if (write(STDOUT_FILENO, text, (size_t)length) < 0)
		_exit(1);
	_exit(0);
}

static int run_victim(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	signal(SIGUSR1, on_usr1);
	sigaction(SIGBUS, &action, NULL);
	page_to_read = map(0, PAGE, MAP_PRIVATE);
	if (mlock(page_to_read, PAGE))
		die("mlock");
	write_page(page_to_read, 0, 1);
	if (pread(pagemap, &entry, 8, (off_t)((uintptr_t)page_to_read / PAGE * 8)) != 8)
		die("pagemap");
	printf("VICTIM-READY pid=%d gpa=%llu\n", getpid(),
	       (unsigned long long)((entry & ((1ull << 55) - 1)) * PAGE));
	while (!asked)
		usleep(10000);
	printf("VICTIM READ bad=%zu\n", check_page(page_to_read, 0, 1));
	return 1;
}

static int run_as(const char *uid, char **command)
{
	unsigned int id = (unsigned int)strtoul(uid, NULL, 10);

	if (setgid(id) || setuid(id))
		die("setuid");
	execvp(command[0], command);
	die(command[0]);
	return 1;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 8192);
	if (argc >= 4 && !strcmp(argv[1], "load"))
		return run_load((size_t)atoi(argv[2]), atoi(argv[3]), argc > 4);
	if (argc == 3 && !strcmp(argv[1], "twin"))
		return run_twin(argv[2]);
	if (argc >= 4 && !strcmp(argv[1], "direct")) {
		int node = atoi(argv[3]);

		return run_direct(atoi(argv[2]), &node, argc > 4);
	}
	if (argc == 3 && !strcmp(argv[1], "ask"))
		return run_direct(atoi(argv[2]), NULL, 0);
	if (argc == 5 && !strcmp(argv[1], "migrate"))
		return run_migrate(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
	if (argc == 2 && !strcmp(argv[1], "hot"))
		return run_hot();
	if (argc == 3 && !strcmp(argv[1], "blocks"))
		return run_blocks(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "victim"))
		return run_victim();
	if (argc > 3 && !strcmp(argv[1], "as"))
		return run_as(argv[2], argv + 3);
	fprintf(
	    stderr,
	    "usage: agent-load load MIB NODE [tell] | twin NAME | direct PID NODE [all] | "
	    "ask PID | migrate PID FROM TO | hot | blocks PID | victim | as UID PROGRAM ARG..\n");
	return 2;
}
