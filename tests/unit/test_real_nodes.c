/*
 * Linux and libgmig do the same work on real nodes, and every page has to lie where the other one's lies. Two children are made
 * alike; the kernel's calls move one, libgmig the other. Policies are compared between this program's memory, which has
 * mbind(2)'s, and a guest's. Needs two nodes with memory, four for all cases.
 */
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "rig.h"

#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	   GMIG_PAGE_BYTES
#define PAGES	   1024u /* of a child; the last 512 are a huge page, if there are some */
#define SMALL	   512u
#define SHARED	   200u /* pages that another process maps, too: the 8 from here on */
#define SHARED_END 208u
#define UNMAPPED   300u
#define READ_ONLY  310u /* only read: the zero page */
#define UNTOLD	   12345

static struct gmig_error err;
static struct gmig_topology *topology;
static unsigned int node[GMIG_MAX_NODES], node_count;
static uint8_t *place; /* the same in all children */
static void *pointers[PAGES];

static void setup(void)
{
	uint8_t *reserved = mmap(NULL, (PAGES + 12 * SMALL) * PAGE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert_ptr_ne(reserved, MAP_FAILED);
	place = (uint8_t *)(((uintptr_t)reserved + GMIG_BLOCK_BYTES - 1) & ~(GMIG_BLOCK_BYTES - 1));
	ck_assert_int_eq(gmig_topology_create(0, &topology, &err), 0);
	node_count = 0;
	gmig_node_set_each (n, gmig_topology_nodes(topology))
		node[node_count++] = n;
	for (unsigned int i = 0; i < PAGES; i++)
		pointers[i] = &place[i * PAGE];
}

static void teardown(void)
{
	gmig_topology_put(topology);
}

/* ---- Children that are alike -------------------------------------------------------------------- */

static void *map(uint8_t *at, size_t pages, int how)
{
	return mmap(at, pages * PAGE, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0);
}

static void fill_child(void)
{
	volatile uint8_t *byte = place;

	map(place, PAGES, MAP_PRIVATE);
	map(&place[SHARED * PAGE], SHARED_END - SHARED, MAP_SHARED);
	madvise(place, SMALL * PAGE, MADV_NOHUGEPAGE);
	madvise(&place[SMALL * PAGE], SMALL * PAGE, MADV_HUGEPAGE);
	for (unsigned int i = 0; i < PAGES; i++)
		if (i % 16 != 15 && i != READ_ONLY)
			byte[i * PAGE] = 1;
	(void)byte[READ_ONLY * PAGE];
	munmap(&place[UNMAPPED * PAGE], 4 * PAGE);
}

/* Whose pages lie on `nodes`, page by page in turn; its own child maps the shared ones. */
static pid_t child_on(const unsigned int *nodes, unsigned int count)
{
	int to[PAGES], status[PAGES], ready[2];
	char byte = 0;
	pid_t child;

	ck_assert_int_eq(pipe(ready), 0);
	child = fork();
	if (child) {
		ck_assert_int_eq(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		close(ready[1]);
		return child;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fill_child();
	for (unsigned int i = 0; i < PAGES; i++)
		to[i] = (int)nodes[i < SMALL ? i % count : 0];
	for (unsigned int i = 0; i < PAGES; i++)
		move_pages(0, 1, &pointers[i], &to[i], &status[i], MPOL_MF_MOVE);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Private pages of two processes would be shared, too. */
		munmap(place, SHARED * PAGE);
		munmap(&place[SHARED_END * PAGE], (PAGES - SHARED_END) * PAGE);
		for (unsigned int i = SHARED; i < SHARED_END; i++)
			byte |= (char)((volatile uint8_t *)place)[i * PAGE];
		_exit(write(ready[1], &byte, 1) != 1 || pause());
	}
	_exit(child < 0 || pause());
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void look(pid_t child, int *status)
{
	ck_assert_int_eq(move_pages(child, PAGES, pointers, NULL, status, 0), 0);
}

static unsigned int pages_on(const int *status, int which)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		count += status[i] == which;
	return count;
}

static struct gmig_process *process_of(pid_t child)
{
	const struct gmig_process_options options = {.pid = child, .topology = topology};
	struct gmig_process *process;

	ck_assert_msg(!gmig_process_open(&options, &process, &err), "%s", err.text);
	return process;
}

/* The two children are alike, hold something, and so does `of_ours`, if it is of the same pages. */
static void compare(pid_t theirs, pid_t ours, const int *of_theirs, const int *of_ours)
{
	int by_kernel[PAGES], by_us[PAGES];

	look(theirs, by_kernel);
	look(ours, by_us);
	for (unsigned int i = 0; i < PAGES; i++) {
		ck_assert_msg(by_kernel[i] == by_us[i], "page %u is on %d, by the kernel on %d", i,
			      by_us[i], by_kernel[i]);
		if (of_theirs)
			ck_assert_msg(of_theirs[i] == of_ours[i],
				      "page %u: status %d, the kernel's is %d", i, of_ours[i],
				      of_theirs[i]);
	}
}

/* ---- move_pages(2) --------------------------------------------------------------------------------- */

/* One page a call: the kernel stops behind a batch of which one page stays. Before 6.12 it says EFAULT for what is absent. */
static void kernel_moves(pid_t child, const int *to, int *status, int flags)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		int asked;

		status[i] = UNTOLD;
		ck_assert_int_ge(move_pages(child, 1, &pointers[i], &to[i], &status[i], flags), 0);
		ck_assert_int_eq(move_pages(child, 1, &pointers[i], NULL, &asked, 0), 0);
		if (asked < 0)
			status[i] = asked;
	}
}

/* LTP's move_pages03, and 05: what others map stays (0), or comes with them (1). */
START_TEST(pages_and_statuses_are_as_the_kernel_leaves_them)
{
	const int flags = _i ? MPOL_MF_MOVE_ALL : MPOL_MF_MOVE;
	pid_t theirs = child_on(node, node_count), ours = child_on(node, node_count);
	int by_kernel[PAGES], by_us[PAGES], to[PAGES];
	struct gmig_process *process = process_of(ours);
	uint64_t addresses[PAGES];
	struct gmig_pages pages = {.count = PAGES,
				   .gpas = addresses,
				   .nodes = to,
				   .status = by_us,
				   .flags = _i ? GMIG_MOVE_ALL : GMIG_MOVE};

	compare(theirs, ours, NULL, NULL);
	for (unsigned int i = 0; i < PAGES; i++) {
		addresses[i] = (uintptr_t)pointers[i];
		to[i] = (int)node[i < SMALL ? (i / 3) % node_count : node_count - 1];
	}
	kernel_moves(theirs, to, by_kernel, flags);
	ck_assert_msg(gmig_process_move_pages(process, &pages, &err) >= 0, "%s", err.text);
	compare(theirs, ours, by_kernel, by_us);
	ck_assert_uint_eq(pages_on(by_kernel, -EACCES) > 0, !_i);
	ck_assert_uint_ge(pages_on(by_kernel, (int)node[node_count - 1]), SMALL / node_count / 2);
	ck_assert_uint_gt(pages_on(by_kernel, -ENOENT), 0);
	ck_assert_uint_gt(pages_on(by_kernel, -EFAULT), 0);
	gmig_process_close(process);
	end(theirs);
	end(ours);
}
END_TEST

/* ---- migrate_pages(2) ------------------------------------------------------------------------------- */

/* Bit i is the i-th of the host's nodes. */
static const struct {
	unsigned int from, to, nodes;
} sets[] = {
    {1, 2, 2},	{2, 1, 2},  {3, 2, 2},	{3, 1, 2},  {3, 12, 4}, {3, 6, 4},
    {12, 3, 4}, {7, 14, 4}, {14, 7, 4}, {15, 6, 4}, {5, 10, 4}, {15, 1, 4},
};

static unsigned long mask_of(unsigned int bits, uint16_t *list, unsigned int *count)
{
	unsigned long mask = 0;

	*count = 0;
	for (unsigned int i = 0; i < node_count; i++)
		if (bits >> i & 1) {
			mask |= 1ul << node[i];
			list[(*count)++] = (uint16_t)node[i];
		}
	return mask;
}

START_TEST(sets_of_nodes_are_left_as_the_kernel_leaves_them)
{
	struct gmig_job_spec spec = {.threads = 1};
	unsigned long from = mask_of(sets[_i].from, spec.from, &spec.from_count),
		      to = mask_of(sets[_i].to, spec.to, &spec.to_count);
	struct gmig_process *process;
	struct gmig_job_info info;
	struct gmig_job *job;
	pid_t theirs, ours;

	if (node_count < sets[_i].nodes)
		return; /* main() has said so */
	theirs = child_on(node, node_count);
	ours = child_on(node, node_count);
	compare(theirs, ours, NULL, NULL);
	ck_assert_int_ge(migrate_pages(theirs, 8 * sizeof(from) + 1, &from, &to), 0);
	process = process_of(ours);
	ck_assert_msg(!gmig_process_job_start(process, &spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_ge(info.moved_bytes, SMALL / node_count / 2 * PAGE);
	gmig_job_put(job);
	compare(theirs, ours, NULL, NULL);
	gmig_process_close(process);
	end(theirs);
	end(ours);
}
END_TEST

/* ---- mbind(2) ---------------------------------------------------------------------------------------- */

static const struct {
	enum gmig_policy_mode mode;
	int linux_mode;
	unsigned int nodes; /* as in sets */
} policies[] = {
    {GMIG_POLICY_DEFAULT, MPOL_DEFAULT, 0},
    {GMIG_POLICY_LOCAL, 4 /* MPOL_LOCAL */, 0},
    {GMIG_POLICY_BIND, MPOL_BIND, 2},
    {GMIG_POLICY_BIND, MPOL_BIND, 6},
    {GMIG_POLICY_BIND, MPOL_BIND, 15},
    {GMIG_POLICY_PREFERRED, MPOL_PREFERRED, 2},
    {GMIG_POLICY_PREFERRED, MPOL_PREFERRED, 8},
    {GMIG_POLICY_PREFERRED_MANY, 5 /* MPOL_PREFERRED_MANY */, 2},
    {GMIG_POLICY_PREFERRED_MANY, 5, 12},
    {GMIG_POLICY_INTERLEAVE, MPOL_INTERLEAVE, 3},
    {GMIG_POLICY_INTERLEAVE, MPOL_INTERLEAVE, 14},
    {GMIG_POLICY_INTERLEAVE, MPOL_INTERLEAVE, 15},
};

/* Memory of this program whose page n has the number n for interleaving, too: Linux counts from address 0. */
static uint8_t *numbered(void)
{
	uintptr_t unit = 12 * PAGE; /* 1 to 4 nodes */
	uint8_t *at = (uint8_t *)(((uintptr_t)place + GMIG_BLOCK_BYTES + unit - 1) / unit * unit);

	ck_assert_ptr_ne(map(at, SMALL, MAP_PRIVATE), MAP_FAILED);
	madvise(at, SMALL * PAGE, MADV_NOHUGEPAGE);
	return at;
}

static void touch(uint8_t *at)
{
	for (unsigned int i = 0; i < SMALL; i++)
		at[i * PAGE] = 1;
}

static void where(const void *at, int *status)
{
	void *pages[SMALL];

	for (unsigned int i = 0; i < SMALL; i++)
		pages[i] = (uint8_t *)at + i * PAGE;
	ck_assert_int_eq(move_pages(0, SMALL, pages, NULL, status, 0), 0);
}

static void bind_guest(struct rig *rig, const struct gmig_bind_spec *spec)
{
	struct gmig_job_info info;
	struct gmig_job *job;

	ck_assert_msg(!gmig_bind(rig->gmig, spec, &job, &err), "%s", err.text);
	if (!job)
		return;
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	gmig_job_put(job);
}

/* First touches (even), and what is on the first node already and is moved (odd). */
START_TEST(policy_has_pages_where_mbind_has_them)
{
	const unsigned int i = (unsigned int)_i / 2;
	const bool moves = _i % 2;
	const struct rig_options options = {
	    .bytes = SMALL * PAGE, .real = true, .untouched = true, .small_pages = true};
	struct gmig_bind_spec spec = {.bytes = SMALL * PAGE,
				      .policy = {.mode = policies[i].mode},
				      .flags = moves ? GMIG_BIND_MOVE : 0};
	int by_kernel[SMALL], by_us[SMALL];
	uint8_t *at = numbered();
	unsigned long mask;
	struct rig rig;
	uint16_t list[GMIG_MAX_NODES];
	unsigned int count;

	mask = mask_of(policies[i].nodes, list, &count);
	/* LOCAL with MOVE differs, as docs/conformance.md says; where a set has the first node, nothing moves. */
	if (policies[i].nodes >> node_count || (moves && policies[i].mode == GMIG_POLICY_LOCAL) ||
	    (moves && policies[i].mode == GMIG_POLICY_INTERLEAVE && policies[i].nodes & 1))
		return;
	for (unsigned int n = 0; n < count; n++)
		gmig_node_set_add(&spec.policy.nodes, list[n]);
	/* Both are touched from the node that is the guest's. */
	ck_assert_int_eq(numa_run_on_node((int)node[0]), 0);
	rig_create(&rig, &options);
	if (moves) {
		touch(at);
		rig_write_page(&rig, 0);
		for (uint64_t page = 0; page < rig.pages; page++)
			rig_write_page(&rig, page);
		rig_settle(&rig);
	}
	ck_assert_msg(!mbind(at, SMALL * PAGE, policies[i].linux_mode, count ? &mask : NULL,
			     count ? 8 * sizeof(mask) + 1 : 0, moves ? MPOL_MF_MOVE : 0),
		      "mbind: %s", strerror(errno));
	bind_guest(&rig, &spec);
	if (!moves)
		touch(at);
	for (uint64_t page = 0; page < rig.pages && !moves; page++)
		rig_write_page(&rig, page);
	rig_settle(&rig);
	where(at, by_kernel);
	where(rig.ram, by_us);
	for (unsigned int page = 0; page < SMALL; page++)
		ck_assert_msg(by_kernel[page] == by_us[page],
			      "page %u is on %d, by the kernel on %d", page, by_us[page],
			      by_kernel[page]);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("real_nodes");
	TCase *tcase = tcase_create("real_nodes");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 300);
	tcase_add_loop_test(tcase, pages_and_statuses_are_as_the_kernel_leaves_them, 0, 2);
	tcase_add_loop_test(tcase, sets_of_nodes_are_left_as_the_kernel_leaves_them, 0,
			    (int)(sizeof(sets) / sizeof(*sets)));
	tcase_add_loop_test(tcase, policy_has_pages_where_mbind_has_them, 0,
			    2 * (int)(sizeof(policies) / sizeof(*policies)));
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	unsigned int nodes = 0;

	if (!gmig_topology_create(0, &topology, &err)) {
		gmig_node_set_each (n, gmig_topology_nodes(topology))
			nodes++;
		gmig_topology_put(topology);
	}
	if (nodes < 2) {
		printf("skipped: %u node%s with memory, needs 2\n", nodes, nodes == 1 ? "" : "s");
		return 77;
	}
	if (geteuid()) {
		puts("skipped: MPOL_MF_MOVE_ALL needs root");
		return 77;
	}
	if (nodes < 4)
		printf("skip real_nodes/cases of more nodes - %u nodes with memory, needs 4\n",
		       nodes);
	return rig_main(suite());
}
