/*
 * The same calls to the running kernel's mbind(2) and set_mempolicy_home_node(2) and to gmig_bind() and gmig_set_home_node(): each
 * mode with each flag, set of nodes and range, with and without CAP_SYS_NICE. Both have to answer what the manual pages say
 * (by_the_manual(), in the order in which Linux's mm/mempolicy.c looks), gmig but for the differences below, which
 * docs/conformance.md repeats. What the kernel here does not know, or forbids, is compared with the manual's table only, and
 * counted. libgmig is asked about the host's nodes and about four fake ones, the kernel about the host's.
 */
#include "../../migrate/gmig_policy.h"
#include "rig.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE	   GMIG_PAGE_BYTES
#define PAGES	   GMIG_BLOCK_PAGES
#define WORDS	   (GMIG_MAX_NODES / 64 + 1)
#define MODES	   8u
#define UNKNOWN	   99u
#define BALANCING  4u /* MPOL_F_NUMA_BALANCING, which gmig has not */
#define WEIGHTED   6  /* MPOL_WEIGHTED_INTERLEAVE, since Linux 6.9 */
#define MOVE_FLAGS (GMIG_BIND_MOVE | GMIG_BIND_MOVE_ALL)

/* ---- What is asked ------------------------------------------------------------------------------ */

/* gmig's policy flags as the kernel's. */
static const struct {
	unsigned int ours, theirs;
} policy_flags[] = {
    {0, 0},
    {GMIG_POLICY_STATIC_NODES, 1u << 15},
    {GMIG_POLICY_RELATIVE_NODES, 1u << 14},
    {GMIG_POLICY_STATIC_NODES | GMIG_POLICY_RELATIVE_NODES, 3u << 14},
    {BALANCING, 1u << 13},
    {8, 1u << 12},
};

static const unsigned int bind_flags[] = {
    0, GMIG_BIND_STRICT, GMIG_BIND_MOVE, GMIG_BIND_MOVE | GMIG_BIND_STRICT, GMIG_BIND_MOVE_ALL,
    8 /* MPOL_MF_LAZY */};

enum nodes { EMPTY, FIRST, OTHER, ABSENT, FIRST_ABSENT, FIRST_OTHER, TOO_BIG, NODES };

/* Within memory of PAGES pages, behind which a hole of as many begins. */
static const struct range {
	uint64_t at, bytes;
	bool hole;
} ranges[] = {
    {PAGE, 2 * PAGE, false},
    {PAGE, 1, false},
    {PAGE + 1, PAGE, false},		  /* no multiple of a page */
    {PAGE, 0, false},			  /* nothing */
    {PAGE + 1, 0, false},		  /* nothing, and no multiple */
    {(PAGES - 1) * PAGE, 2 * PAGE, true}, /* the second page is in the hole */
    {(PAGES + 3) * PAGE, 2 * PAGE, true}, /* both are */
    {PAGE, UINT64_MAX - PAGE + 1, false}, /* ends beyond the last address */
    {PAGE, UINT64_MAX, false},		  /* its length in whole pages is 2^64 */
};
enum { PARTLY = 5, OUTSIDE = 6, ROUNDED = 8 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CALLS	     (MODES * COUNT(policy_flags) * NODES * COUNT(bind_flags) * COUNT(ranges))

struct call {
	unsigned int mode, policy, flags, range;
	enum nodes nodes;
};

static struct call call_of(unsigned int number)
{
	struct call call = {.range = number % COUNT(ranges)};

	number /= COUNT(ranges);
	call.flags = bind_flags[number % COUNT(bind_flags)];
	number /= COUNT(bind_flags);
	call.nodes = (enum nodes)(number % NODES);
	number /= NODES;
	call.policy = number % COUNT(policy_flags);
	call.mode = number / COUNT(policy_flags);
	if (call.mode > GMIG_POLICY_WEIGHTED_INTERLEAVE)
		call.mode = UNKNOWN;
	return call;
}

static const char *name_of(const struct call *call)
{
	static char text[160];
	static const char *const nodes[] = {
	    "none", "first", "other", "absent", "first and absent", "first and other", "1024"};

	snprintf(text, sizeof(text),
		 "%s, policy flags 0x%x, nodes %s, flags %u, 0x%" PRIx64 "+0x%" PRIx64,
		 call->mode == UNKNOWN ? "unknown mode" : gmig_policy_mode_names()[call->mode],
		 policy_flags[call->policy].ours, nodes[call->nodes], call->flags,
		 ranges[call->range].at, ranges[call->range].bytes);
	return text;
}

/* ---- Of whom ------------------------------------------------------------------------------------ */

static unsigned int node[GMIG_MAX_NODES]; /* with memory and allowed */
static unsigned int node_count, absent;
static bool may_move_all;

static void look_at(struct gmig_topology *topology)
{
	struct gmig_node_set mems = *gmig_topology_nodes(topology);

	gmig_node_set_and(&mems, gmig_topology_allowed(topology));
	node_count = absent = 0;
	gmig_node_set_each (n, &mems)
		node[node_count++] = n;
	while (gmig_node_set_has(gmig_topology_online(topology), absent))
		absent++;
}

/* Whether this thread has CAP_SYS_NICE; it is taken from it for `without`. */
static void look_at_rights(bool without)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	ck_assert_int_eq(syscall(SYS_capget, &head, data), 0);
	if (without)
		data[0].effective &= ~(1u << CAP_SYS_NICE);
	ck_assert_int_eq(syscall(SYS_capset, &head, data), 0);
	may_move_all = data[0].effective & 1u << CAP_SYS_NICE;
}

static unsigned int has_first(enum nodes nodes)
{
	return nodes == FIRST || nodes == FIRST_ABSENT || nodes == FIRST_OTHER;
}

static struct gmig_node_set set_of(enum nodes nodes)
{
	struct gmig_node_set set = {{0}};

	if (has_first(nodes))
		gmig_node_set_add(&set, node[0]);
	if (nodes == OTHER || nodes == FIRST_OTHER)
		gmig_node_set_add(&set, node[1]);
	if (nodes == ABSENT || nodes == FIRST_ABSENT)
		gmig_node_set_add(&set, absent);
	return set;
}

/* Does this host have what the call is about? */
static bool can_ask(enum nodes nodes)
{
	return node_count > 1 || (nodes != OTHER && nodes != FIRST_OTHER);
}

/* ---- What the manual pages say ------------------------------------------------------------------ */

static bool is_local(const struct call *call)
{
	return call->mode == GMIG_POLICY_LOCAL ||
	       (call->mode == GMIG_POLICY_PREFERRED && call->nodes == EMPTY);
}

/* The nodes that can be used of those that were named; RELATIVE ones are counted off, from 0 again behind the last. */
static struct gmig_node_set usable(const struct call *call)
{
	struct gmig_node_set named = set_of(call->nodes), set = {{0}};

	gmig_node_set_each (n, &named) {
		if (policy_flags[call->policy].ours == GMIG_POLICY_RELATIVE_NODES)
			gmig_node_set_add(&set, node[n % node_count]);
		else if (n != absent)
			gmig_node_set_add(&set, n);
	}
	return set;
}

static int check_policy(const struct call *call)
{
	bool flags = policy_flags[call->policy].ours != 0;
	struct gmig_node_set set = usable(call);

	if (call->mode == GMIG_POLICY_DEFAULT)
		return call->nodes == EMPTY ? 0 : -EINVAL;
	if (call->mode == GMIG_POLICY_LOCAL)
		return call->nodes == EMPTY && !flags ? 0 : -EINVAL;
	if (call->nodes == EMPTY)
		return call->mode == GMIG_POLICY_PREFERRED && !flags ? 0 : -EINVAL;
	return gmig_node_set_empty(&set) ? -EINVAL : 0;
}

static int check_memory(const struct call *call)
{
	struct gmig_node_set set = set_of(call->nodes);

	if (call->range == OUTSIDE ||
	    (ranges[call->range].hole && call->mode != GMIG_POLICY_DEFAULT))
		return -EFAULT;
	if (call->flags == GMIG_BIND_STRICT && call->mode != GMIG_POLICY_DEFAULT &&
	    !gmig_node_set_has(&set, node[0]))
		return -EIO;
	return 0;
}

static int by_the_manual(const struct call *call)
{
	const struct range *range = &ranges[call->range];
	unsigned int flags = policy_flags[call->policy].ours;

	if (call->mode == UNKNOWN || flags == 3 || flags > BALANCING || call->nodes == TOO_BIG)
		return -EINVAL;
	if (flags == BALANCING && call->mode != GMIG_POLICY_BIND)
		return -EINVAL;
	if (call->flags & ~(MOVE_FLAGS | GMIG_BIND_STRICT))
		return -EINVAL;
	if (call->flags & GMIG_BIND_MOVE_ALL && !may_move_all)
		return -EPERM;
	if (range->at % PAGE)
		return -EINVAL;
	if (!range->bytes || call->range == ROUNDED)
		return 0;
	if (range->at + range->bytes < range->at)
		return -EINVAL;
	return check_policy(call) ? -EINVAL : check_memory(call);
}

/* ---- Where gmig differs ------------------------------------------------------------------------- */

static int of_too_big(const struct call *call, int manual)
{
	return call->nodes == TOO_BIG ? -ERANGE : manual;
}

static int of_balancing(const struct call *call, int manual)
{
	return policy_flags[call->policy].ours == BALANCING ? -EINVAL : manual;
}

static int of_rounded(const struct call *call, int manual)
{
	return call->range == ROUNDED && !manual ? -EINVAL : manual;
}

static int of_local(const struct call *call, int manual)
{
	return is_local(call) && manual == -EIO ? 0 : manual;
}

static bool asks_strict(const struct call *call, int manual)
{
	return call->flags == GMIG_BIND_STRICT && call->mode != GMIG_POLICY_DEFAULT &&
	       !is_local(call) && ranges[call->range].bytes && (!manual || manual == -EIO);
}

static int of_relative(const struct call *call, int manual)
{
	struct gmig_node_set set = usable(call);

	if (!asks_strict(call, manual) ||
	    policy_flags[call->policy].ours != GMIG_POLICY_RELATIVE_NODES)
		return manual;
	return gmig_node_set_has(&set, node[0]) ? 0 : -EIO;
}

static int of_places(const struct call *call, int manual)
{
	struct gmig_node_set set = usable(call);

	return asks_strict(call, manual) &&
		       (call->mode == GMIG_POLICY_INTERLEAVE ||
			call->mode == GMIG_POLICY_WEIGHTED_INTERLEAVE) &&
		       gmig_node_set_count(&set) > 1
		   ? -EIO
		   : manual;
}

static const struct difference {
	const char *what;
	int (*ours)(const struct call *call, int manual); /* manual: here is no difference */
} differences[] = {
    /* Nothing balances a guest's memory by hints: there is nothing that the flag could turn on. */
    {"MPOL_F_NUMA_BALANCING", of_balancing},
    /* Linux takes it for no length at all, and does nothing of what was asked, without an error. */
    {"a length of 2^64 in whole pages", of_rounded},
    /* LOCAL has no set of nodes that a page could be in. A guest's page has its vnode's node. */
    {"STRICT with LOCAL", of_local},
    /* Linux looks whether the page is on a node of the number that was given, not on the one that is meant. */
    {"STRICT with RELATIVE_NODES", of_relative},
    /* A page follows on its own place only, so that interleaving is exact. */
    {"STRICT with interleaving", of_places},
    /* A number that no set of nodes can hold is refused where the text is read, by an error of its own. */
    {"a node number from 1024 on", of_too_big},
};
static unsigned int seen[COUNT(differences)];

static int expected_of_gmig(const struct call *call)
{
	int expected = by_the_manual(call);

	for (unsigned int i = 0; i < COUNT(differences); i++) {
		int before = expected;

		expected = differences[i].ours(call, before);
		seen[i] += expected != before;
	}
	return expected;
}

/* ---- The kernel --------------------------------------------------------------------------------- */

static const int kernel_mode[MODES] = {
    MPOL_DEFAULT,    MPOL_LOCAL, MPOL_BIND, MPOL_PREFERRED, 5 /* PREFERRED_MANY, 5.15 */,
    MPOL_INTERLEAVE, WEIGHTED,	 77};
static uint8_t *memory;

static int kernel_bind(const struct range *range, unsigned int mode,
		       const struct gmig_node_set *set, bool too_big, unsigned int flags)
{
	unsigned long mask[WORDS] = {0};

	memcpy(mask, set->word, sizeof(set->word));
	if (too_big)
		mask[WORDS - 1] = 1;
	return syscall(SYS_mbind, memory + range->at, range->bytes, mode, mask, WORDS * 64 + 1,
		       flags)
		   ? -errno
		   : 0;
}

static int ask_kernel(const struct call *call)
{
	struct gmig_node_set set = set_of(call->nodes);
	unsigned int mode = call->mode == UNKNOWN ? MODES - 1 : call->mode;

	return kernel_bind(&ranges[call->range],
			   (unsigned int)kernel_mode[mode] | policy_flags[call->policy].theirs,
			   &set, call->nodes == TOO_BIG, call->flags);
}

/* The policy is gone, and its pages are on the first node. */
static void reset_kernel(void)
{
	static const struct range all = {0, PAGES * PAGE, false};
	struct gmig_node_set first = set_of(FIRST), none = set_of(EMPTY);

	if (node_count > 1)
		kernel_bind(&all, MPOL_BIND, &first, false, MPOL_MF_MOVE);
	ck_assert_int_eq(kernel_bind(&all, MPOL_DEFAULT, &none, false, 0), 0);
}

static void map_memory(void)
{
	memory = mmap(NULL, 2 * PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	ck_assert_int_eq(madvise(memory, 2 * PAGES * PAGE, MADV_NOHUGEPAGE), 0);
	memset(memory, 1, PAGES * PAGE);
	munmap(memory + PAGES * PAGE, PAGES * PAGE);
}

/* Bit n: gmig's mode n. A container's filter may forbid all of them. */
static unsigned int modes_of_kernel(void)
{
	unsigned int modes = 1u << GMIG_POLICY_DEFAULT | 1u << GMIG_POLICY_LOCAL;
	struct gmig_node_set first = set_of(FIRST), none = set_of(EMPTY);

	if (kernel_bind(&ranges[0], MPOL_DEFAULT, &none, false, 0))
		return 0;
	for (unsigned int mode = GMIG_POLICY_BIND; mode < MODES - 1; mode++)
		if (kernel_bind(&ranges[0], (unsigned int)kernel_mode[mode], &first, false, 0) !=
		    -EINVAL)
			modes |= 1u << mode;
	return modes | 1u << (MODES - 1);
}

START_TEST(kernel_answers_as_the_manual_says)
{
	unsigned int asked = 0, unknown = 0, no_node = 0, modes;
	struct gmig_topology *topology;

	ck_assert_int_eq(gmig_topology_create(0, &topology, NULL), 0);
	look_at(topology);
	gmig_topology_put(topology);
	look_at_rights(_i);
	map_memory();
	modes = modes_of_kernel();
	for (unsigned int i = 0; i < CALLS; i++) {
		struct call call = call_of(i);
		int answer;

		if (!can_ask(call.nodes) && ++no_node)
			continue;
		if (!(modes >> (call.mode == UNKNOWN ? MODES - 1 : call.mode) & 1) && ++unknown)
			continue;
		/* Older kernels take it with BIND only, as the manual page says; newer ones here, too. */
		if (policy_flags[call.policy].ours == BALANCING &&
		    call.mode == GMIG_POLICY_PREFERRED_MANY && ++unknown)
			continue;
		answer = ask_kernel(&call);
		asked++;
		ck_assert_msg(answer == by_the_manual(&call), "%s: %d, by the manual %d",
			      name_of(&call), answer, by_the_manual(&call));
		if (!answer)
			reset_kernel();
	}
	printf("mbind: the kernel was asked %u calls%s, by the manual only: %u that it does not "
	       "know or "
	       "forbids, %u for want of a second node\n",
	       asked, may_move_all ? "" : " without CAP_SYS_NICE", unknown, no_node);
}
END_TEST

/* ---- gmig --------------------------------------------------------------------------------------- */

static struct rig rig;

static void create(bool real)
{
	struct rig_options options = {.bytes = PAGES * PAGE,
				      .nodes = 4,
				      .real = real,
				      .untouched = true,
				      .small_pages = true};

	rig_create(&rig, &options);
	look_at(rig.topology);
	for (uint64_t page = 0; page < rig.pages; page++)
		rig_write_page(&rig, page);
	rig_settle(&rig);
}

static int bind_ours(const struct gmig_bind_spec *spec)
{
	struct gmig_job_info info;
	struct gmig_error err = {0};
	struct gmig_job *job;
	int ret = gmig_bind(rig.gmig, spec, &job, &err);

	ck_assert_int_eq(ret, err.code);
	if (!job)
		return ret;
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	return info.error.code;
}

static int ask_gmig(const struct call *call)
{
	struct gmig_bind_spec spec = {.gpa = ranges[call->range].at,
				      .bytes = ranges[call->range].bytes,
				      .flags = call->flags,
				      .policy = {.mode = (enum gmig_policy_mode)call->mode,
						 .flags = policy_flags[call->policy].ours,
						 .nodes = set_of(call->nodes)}};

	if (call->nodes == TOO_BIG)
		return gmig_node_set_parse("1024", &spec.policy.nodes, NULL);
	return bind_ours(&spec);
}

static void reset_gmig(void)
{
	struct gmig_bind_spec spec = {.bytes = PAGES * PAGE,
				      .policy = {.mode = GMIG_POLICY_DEFAULT}};
	uint64_t bytes[GMIG_MAX_NODES];

	gmig_residency(rig.gmig, 0, bytes);
	spec.flags = bytes[node[0]] == PAGES * PAGE ? 0 : GMIG_BIND_MOVE | GMIG_BIND_STRICT;
	ck_assert_int_eq(bind_ours(&spec), 0);
}

/* On the host's nodes, and on fake ones without CAP_SYS_NICE. */
START_TEST(gmig_answers_as_the_manual_says_but_for_the_differences)
{
	unsigned int asked = 0, no_node = 0;
	bool real = _i == 0;

	create(real);
	look_at_rights(!real);
	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < CALLS; i++) {
		struct call call = call_of(i);
		int answer, expected;

		if (!can_ask(call.nodes) && ++no_node)
			continue;
		expected = expected_of_gmig(&call);
		answer = ask_gmig(&call);
		asked++;
		ck_assert_msg(answer == expected, "%s: %d, not %d", name_of(&call), answer,
			      expected);
		if (!answer)
			reset_gmig();
	}
	printf(
	    "mbind: gmig was asked %u calls on %u %s nodes%s, not %u for want of a second node\n",
	    asked, node_count, real ? "real" : "fake", may_move_all ? "" : " without CAP_SYS_NICE",
	    no_node);
	for (unsigned int i = 0; !real && i < COUNT(differences); i++)
		ck_assert_msg(seen[i] > 0, "%s: no such call", differences[i].what);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- Home node ---------------------------------------------------------------------------------- */

/* What has a policy before: nothing, BIND, PREFERRED_MANY, INTERLEAVE, PREFERRED; and BIND, then INTERLEAVE. */
static const unsigned int before[][2] = {
    {GMIG_POLICY_DEFAULT, GMIG_POLICY_DEFAULT},
    {GMIG_POLICY_BIND, GMIG_POLICY_BIND},
    {GMIG_POLICY_BIND, GMIG_POLICY_DEFAULT},
    {GMIG_POLICY_PREFERRED_MANY, GMIG_POLICY_PREFERRED_MANY},
    {GMIG_POLICY_INTERLEAVE, GMIG_POLICY_INTERLEAVE},
    {GMIG_POLICY_PREFERRED, GMIG_POLICY_BIND},
    {GMIG_POLICY_BIND, GMIG_POLICY_INTERLEAVE},
};
static const struct range halves[] = {{PAGE, PAGE, false}, {2 * PAGE, PAGE, false}};

enum { HOME_FIRST, HOME_ABSENT, HOME_TOO_BIG, HOMES };

static unsigned int home_of(unsigned int home)
{
	return home == HOME_FIRST ? node[0] : home == HOME_ABSENT ? absent : 1024;
}

static bool takes_home(unsigned int mode)
{
	return mode == GMIG_POLICY_BIND || mode == GMIG_POLICY_PREFERRED_MANY;
}

static int home_by_the_manual(const unsigned int modes[2], const struct range *range,
			      unsigned int home)
{
	int ret = -ENOENT;

	if (range->at % PAGE || home != HOME_FIRST)
		return -EINVAL;
	if (!range->bytes || range == &ranges[ROUNDED])
		return 0;
	if (range->at + range->bytes < range->at)
		return -EINVAL;
	for (unsigned int i = 0; i < 2; i++)
		if (halves[i].at < range->at + range->bytes && range->at < halves[i].at + PAGE &&
		    modes[i] != GMIG_POLICY_DEFAULT) {
			if (!takes_home(modes[i]))
				return -EOPNOTSUPP;
			ret = 0;
		}
	return ret;
}

START_TEST(home_node_is_refused_as_the_kernel_refuses_it)
{
	const unsigned int *modes = before[_i];
	unsigned int asked = 0, known, forms = 0;
	struct gmig_node_set first;

	create(true);
	first = set_of(FIRST);
	map_memory();
	known = modes_of_kernel();
	reset_kernel();
	for (unsigned int i = 0; i < 2; i++) {
		struct gmig_bind_spec spec = {
		    .gpa = halves[i].at,
		    .bytes = PAGE,
		    .policy = {.mode = (enum gmig_policy_mode)modes[i],
			       .nodes = set_of(modes[i] == GMIG_POLICY_DEFAULT ? EMPTY : FIRST)}};

		ck_assert_int_eq(bind_ours(&spec), 0);
		known = known >> modes[i] & 1 ? known : 0;
		if (known && modes[i] != GMIG_POLICY_DEFAULT)
			ck_assert_int_eq(kernel_bind(&halves[i],
						     (unsigned int)kernel_mode[modes[i]], &first,
						     false, 0),
					 0);
	}
	for (unsigned int i = 0; i < COUNT(ranges) * HOMES; i++) {
		const struct range *range = &ranges[i / HOMES];
		unsigned int home = home_of(i % HOMES);
		int manual = home_by_the_manual(modes, range, i % HOMES);
		int ours = gmig_set_home_node(rig.gmig, range->at, range->bytes, home, NULL);
		long kernel = 0;

		forms++;
		/* The one difference: as above. */
		ck_assert_int_eq(ours, range == &ranges[ROUNDED] && !manual ? -EINVAL : manual);
		kernel = known ? syscall(SYS_set_mempolicy_home_node, memory + range->at,
					 range->bytes, (unsigned long)home, 0ul)
			       : -1;
		if (!known || (kernel && (errno == ENOSYS || errno == EPERM)))
			continue;
		asked++;
		ck_assert_msg((kernel ? -errno : 0) == manual,
			      "home %u, 0x%" PRIx64 "+0x%" PRIx64 ": %d, not %d", home, range->at,
			      range->bytes, kernel ? -errno : 0, manual);
	}
	printf("mbind: the kernel was asked for %u of %u home nodes\n", asked, forms);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mbind");
	TCase *tcase = tcase_create("errors");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, kernel_answers_as_the_manual_says, 0, 2);
	tcase_add_loop_test(tcase, gmig_answers_as_the_manual_says_but_for_the_differences, 0, 2);
	tcase_add_loop_test(tcase, home_node_is_refused_as_the_kernel_refuses_it, 0,
			    (int)COUNT(before));
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
