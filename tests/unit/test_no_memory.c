/*
 * Each allocation of a call fails in turn: the call says -ENOMEM each time, or does without; nothing has changed and nothing is
 * lost, and the next attempt serves. Linked with --wrap, so that the engine's allocations come here.
 */
#include "../../migrate/gmig_heat.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/gmig_repair.h"
#include "../../migrate/gmig_retire.h"
#include "../../migrate/memory/bindings.h"
#include "../../migrate/memory/ledger.h"
#include "../../migrate/memory/policy.h"
#include "../../migrate/memory/process_memory.h"
#include "fake_process.h"
#include "no_memory.h"
#include "open_files.h"
#include "rig.h"

#include "../../migrate/core/topology.h"

#include <errno.h>
#include <string.h>

#define BYTES (4 * GMIG_BLOCK_BYTES)

static struct gmig_error err;
static long turn = -1; /* the allocation that fails */

/* The part of an attempt that may find no memory: Check allocates, too. */
#define FAILING(statement)                                                                         \
	do {                                                                                       \
		no_memory_in = turn;                                                               \
		statement;                                                                         \
		turn = no_memory_in;                                                               \
		no_memory_in = -1;                                                                 \
	} while (0)

/*
 * Until all allocations of `attempt` have been had; it undoes what it did. Returns how many of them are needed: the others it does
 * without. told: it has a text, too.
 */
static unsigned int needed(int (*attempt)(void), bool told)
{
	unsigned int refused = 0;

	for (long n = 0;; n++) {
		unsigned int files = open_files();
		bool reached;
		int ret;

		memset(&err, 0, sizeof(err));
		turn = n;
		ret = attempt();
		reached = turn < 0;
		turn = -1;
		ck_assert_uint_eq(open_files(), files);
		if (!reached) {
			ck_assert_msg(!ret, "%d: %s", ret, err.text);
			return refused;
		}
		ck_assert_msg(!ret || ret == -ENOMEM, "allocation %ld: %d %s", n, ret, err.text);
		refused += ret != 0;
		if (ret && told)
			ck_assert_msg(err.code == -ENOMEM && strstr(err.text, "memory"),
				      "allocation %ld: %d '%s'", n, err.code, err.text);
	}
}

/* ---- Policies ---------------------------------------------------------------------------------- */

static struct gmig_node_set mems;
static struct gmig_policy asked;
static struct mempolicy *policy;
static struct mempolicy_map *map;

static unsigned int next_node(void *arg, unsigned int node)
{
	(void)arg;
	return node < 4 ? (node + 1) % 4 : GMIG_NO_NODE;
}

static int try_create(void)
{
	struct mempolicy *out = NULL;
	int ret;

	FAILING(ret = mempolicy_create(&asked, &mems, &out));
	ck_assert(!ret == (out != NULL));
	mempolicy_put(out);
	return ret;
}

static int try_map(void)
{
	struct mempolicy_map *out = NULL;
	int ret;

	FAILING(ret = mempolicy_map_create(next_node, NULL, &out));
	ck_assert(!ret == (out != NULL));
	mempolicy_map_put(out);
	return ret;
}

static int try_begin(void)
{
	struct mempolicy *out = NULL;
	int ret;

	FAILING(ret = mempolicy_begin(policy, 9, map, &out));
	if (ret)
		return ret;
	ck_assert_uint_eq(out->list[0].node, 1);
	mempolicy_put(out);
	return 0;
}

static int try_end(void)
{
	struct mempolicy *out = NULL;
	int ret;

	FAILING(ret = mempolicy_end(policy, 7, false, &out));
	ck_assert_uint_eq(policy->list[0].node, 1);
	if (ret)
		return ret;
	ck_assert_uint_eq(out->list[0].node, 0);
	mempolicy_put(out);
	return 0;
}

static int try_rebind(void)
{
	struct mempolicy *out = NULL;
	struct gmig_node_set now;
	int ret;

	gmig_node_set_parse("4-7", &now, NULL);
	FAILING(ret = mempolicy_rebind(policy, &now, &out));
	if (ret)
		return ret;
	ck_assert_uint_eq(out->list[0].node, 5);
	mempolicy_put(out);
	return 0;
}

START_TEST(policy_is_as_it_was_when_there_is_no_memory_for_another)
{
	struct mempolicy *first;

	gmig_node_set_parse("0-3", &mems, NULL);
	asked = (struct gmig_policy){.mode = GMIG_POLICY_INTERLEAVE};
	gmig_node_set_parse("0,2", &asked.nodes, NULL);
	ck_assert_uint_eq(needed(try_create, false), 1);
	ck_assert_uint_eq(needed(try_map, false), 1);
	ck_assert_int_eq(mempolicy_map_create(next_node, NULL, &map), 0);
	ck_assert_int_eq(mempolicy_create(&asked, &mems, &first), 0);
	ck_assert_int_eq(mempolicy_begin(first, 7, map, &policy), 0);
	mempolicy_put(first);
	ck_assert_uint_eq(needed(try_begin, false), 2);
	ck_assert_uint_eq(needed(try_end, false), 5);
	ck_assert_uint_eq(needed(try_rebind, false), 3);
	mempolicy_put(policy);
	mempolicy_map_put(map);
}
END_TEST

/* ---- Tables and books -------------------------------------------------------------------------- */

static struct shadow *shadow;
static struct ledger *ledger;

static int try_shadow(void)
{
	struct shadow *out = NULL;
	int ret;

	FAILING(ret = shadow_create(NULL, &out));
	ck_assert(!ret == (out != NULL));
	shadow_destroy(out);
	return ret;
}

/* Of more tables than the first chunk has. */
static int try_reserve(void)
{
	struct shadow *out;
	int ret;

	ck_assert_int_eq(shadow_create(NULL, &out), 0);
	FAILING(ret = shadow_reserve(out, 512, 1u << 23));
	shadow_destroy(out);
	return ret;
}

static int try_collapse(void)
{
	struct shadow_entry entry;
	int ret;

	shadow_split(shadow, 512);
	FAILING(ret = shadow_collapse(shadow, 512));
	ck_assert_int_eq(shadow_lookup(shadow, 512, &entry), 0);
	ck_assert_uint_eq(entry.order, ret ? 0 : 9);
	return ret;
}

static int try_ledger(void)
{
	struct ledger *out = NULL;
	int ret;

	FAILING(ret = ledger_create(&out));
	ck_assert(!ret == (out != NULL));
	ledger_destroy(out);
	return ret;
}

static int try_vnode(void)
{
	static unsigned int vnode;
	int ret;

	FAILING(ret = ledger_add_vnode(ledger, vnode));
	vnode += !ret;
	return ret;
}

static int try_count(void)
{
	struct ledger_count *count = NULL;
	int ret;

	FAILING(ret = ledger_count_begin(ledger, &count));
	ck_assert(!ret == (count != NULL));
	ledger_count_end(count);
	return ret;
}

static int try_budget(void)
{
	const struct policy_config config = {.sys = &gmig_sys_real, .ledger = ledger};
	struct policy *out = NULL;
	int ret;

	FAILING(ret = policy_create(&config, &out));
	ck_assert(!ret == (out != NULL));
	policy_destroy(out);
	return ret;
}

START_TEST(table_and_books_that_cannot_be_made_are_none)
{
	ck_assert_uint_eq(needed(try_shadow, false), 2);
	ck_assert_uint_ge(needed(try_reserve, false), 1);
	ck_assert_int_eq(shadow_create(NULL, &shadow), 0);
	ck_assert_int_eq(shadow_reserve(shadow, 512, 512), 0);
	ck_assert_uint_eq(needed(try_collapse, false), 1);
	shadow_destroy(shadow);
	ck_assert_uint_eq(needed(try_ledger, false), 1);
	ck_assert_int_eq(ledger_create(&ledger), 0);
	ck_assert_uint_eq(needed(try_vnode, false), 1);
	ck_assert_uint_eq(needed(try_count, false), 1);
	ck_assert_uint_eq(needed(try_budget, false), 1);
	ledger_destroy(ledger);
}
END_TEST

/* ---- An engine --------------------------------------------------------------------------------- */

static struct gmig_topology *topology;
static bool plain;

static int try_engine(void)
{
	const struct gmig_options options = {
	    .topology = topology, .plain = plain, .unsafe_kernel = true};
	struct gmig *out = NULL;
	int ret;

	FAILING(ret = gmig_create(&options, &out, &err));
	ck_assert(!ret == (out != NULL));
	gmig_destroy(out);
	return ret;
}

START_TEST(engine_that_cannot_be_made_is_none)
{
	plain = _i;
	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	ck_assert_uint_ge(needed(try_engine, true), plain ? 5 : 7);
	gmig_topology_put(topology);
}
END_TEST

static struct rig rig;

static int try_region(void)
{
	static unsigned int count = 1;
	const struct gmig_region_spec spec = {
	    .vnode = count, .gpa = count * BYTES, .bytes = GMIG_BLOCK_BYTES};
	void *ram;
	int ret;

	/* A vnode's descriptor stays, whatever becomes of the region. */
	if (rig.gmig->vnodes[count].uffd < 0)
		rig.gmig->vnodes[count].uffd = rig.gmig->vnodes[0].uffd;
	FAILING(ret = gmig_region_add(rig.gmig, &spec, &ram, &err));
	rig.gmig->vnodes[count].uffd = -1;
	ck_assert_uint_eq(atomic_load(&rig.gmig->region_count), count + !ret);
	count += !ret;
	return ret;
}

static int try_thread(void)
{
	static int tid = 1;
	int ret = 0;

	/* Up to the first that finds no room. */
	do {
		FAILING(ret = gmig_name_vcpu_thread(rig.gmig, 0, tid));
		tid += !ret;
	} while (!ret && tid % 64);
	return ret;
}

static int try_repair(void)
{
	struct gmig_repair result;
	uint64_t id = 0;
	int ret;

	FAILING(ret = gmig_repair(rig.gmig, &id, UINT64_MAX, &result, &err));
	ck_assert(ret || (result.done && result.ok));
	return ret;
}

static int try_bind(void)
{
	struct gmig_bind_spec spec = {.bytes = GMIG_PAGE_BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND}};
	struct mempolicy *now;
	struct gmig_job *job;
	int ret;

	gmig_node_set_add(&spec.policy.nodes, 1);
	FAILING(ret = gmig_bind(rig.gmig, &spec, &job, &err));
	now = bindings_get(rig.gmig->bindings, 0);
	ck_assert(!ret == (now != NULL));
	mempolicy_put(now);
	spec.policy = (struct gmig_policy){.mode = GMIG_POLICY_DEFAULT};
	ck_assert_int_eq(gmig_bind(rig.gmig, &spec, &job, NULL), 0);
	return ret;
}

static int try_home(void)
{
	static unsigned int home, other = 1;
	struct mempolicy *now;
	int ret;

	FAILING(ret = gmig_set_home_node(rig.gmig, GMIG_BLOCK_BYTES, GMIG_PAGE_BYTES, other, &err));
	if (!ret) {
		home = other;
		other = !other;
	}
	now = bindings_get(rig.gmig->bindings, GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(now->asked.home_node, home);
	mempolicy_put(now);
	return ret;
}

static int try_retire(void)
{
	const struct gmig_retire_spec spec = {.gpa = 4096, .keep = true};
	struct gmig_retired retired;
	int ret;

	FAILING(ret = gmig_retire(rig.gmig, &spec, &retired, &err));
	return ret;
}

static int try_report(void)
{
	const struct gmig_heat_share part = {0, GMIG_BLOCK_BYTES, 0, 0};
	int ret;

	FAILING(ret = gmig_heat_report(rig.gmig, &part, 1, NULL, &err));
	return ret;
}

static int try_check(void)
{
	struct gmig_check check;
	int ret;

	FAILING(ret = gmig_check(rig.gmig, &check, &err));
	ck_assert_uint_eq(check.mapped_bytes, ret ? 0 : BYTES);
	return ret;
}

static int try_fix(void)
{
	int ret;

	FAILING(ret = gmig_fix_memory(rig.gmig, 0, GMIG_BLOCK_BYTES, true, &err));
	ck_assert(rig.gmig->memory.ops->is_fixed(&rig.gmig->memory, 0) == !ret);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 0, GMIG_BLOCK_BYTES, false, NULL), 0);
	return ret;
}

static int try_ranges_of_a_guest(void)
{
	const struct gmig_job_spec spec = rig_spec(0, 1);
	struct memory_range *ranges;
	size_t count;
	int ret;

	FAILING(ret = rig.gmig->memory.ops->ranges(&rig.gmig->memory, &spec, &ranges, &count));
	ck_assert(!ret == (ranges != NULL));
	ck_assert_uint_eq(count, !ret);
	free(ranges);
	return ret;
}

static int try_sampling(void)
{
	const struct gmig_sampling how = {.blocks_per_second = 1};
	struct gmig_sampling_info info;
	int ret;

	FAILING(ret = gmig_sampling_start(rig.gmig, &how, &err));
	ck_assert_int_eq(err.code, ret);
	gmig_sampling_info(rig.gmig, &info);
	ck_assert(info.on == !ret);
	gmig_sampling_stop(rig.gmig);
	return ret;
}

static unsigned int from_0_to_1(void *arg, unsigned int node)
{
	(void)arg;
	return node ? GMIG_NO_NODE : 1;
}

/* Both change or neither: where the region's new memory goes, and the policies of its ranges. */
static int try_follow(void)
{
	const struct gmig_job_spec spec = rig_spec(0, 1);
	const struct memory_follow follow = {.owner = 1000, .spec = &spec, .target = from_0_to_1};
	struct memory *memory = &rig.gmig->memory;
	struct mempolicy *now;
	int ret;

	FAILING(ret = memory->ops->follow(memory, &follow, &err));
	now = bindings_get(rig.gmig->bindings, 2 * GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(now->list[0].node, !ret);
	mempolicy_put(now);
	ck_assert_uint_eq(atomic_load(&rig.gmig->regions[0].preferred_node), !ret);
	if (!ret)
		memory->ops->follow_end(memory, &follow, false);
	return ret;
}

static int end_job(int ret, struct gmig_job *job)
{
	if (!ret) {
		gmig_job_wait(job);
		gmig_job_put(job);
	}
	return ret;
}

static int try_job(void)
{
	const struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job *job;
	int ret;

	FAILING(ret = gmig_job_start(rig.gmig, &spec, &job, &err));
	return end_job(ret, job);
}

static int try_move(void)
{
	const struct gmig_move_range range = {0, 4096, 1};
	const struct gmig_move move = {.ranges = &range, .count = 1};
	struct gmig_job *job;
	int ret;

	FAILING(ret = gmig_move_start(rig.gmig, &move, NULL, &job, &err));
	return end_job(ret, job);
}

static struct gmig_job *ended;

static int try_retry(void)
{
	const struct gmig_job_spec fast = {.threads = 1};
	struct gmig_job *job;
	int ret;

	FAILING(ret = gmig_job_retry(ended, &fast, &job, &err));
	return end_job(ret, job);
}

/* Of memory on node 0: of a job whose pages are there already nothing would remain, unless it is cancelled before it has looked. */
static struct gmig_job *cancelled(int (*starts)(struct gmig_job **job))
{
	const struct gmig_job_spec back = rig_spec(1, 0);
	struct gmig_job_info info;
	struct gmig_job *job;

	rig_move(&rig, &back, &info);
	ck_assert_msg(!starts(&job), "%s", err.text);
	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	return job;
}

static int start_list(struct gmig_job **job)
{
	const struct gmig_move_range range = {0, BYTES, 1};
	const struct gmig_move move = {.ranges = &range, .count = 1};
	const struct gmig_job_spec slow = {.rate_bytes_per_second = 1};

	return gmig_move_start(rig.gmig, &move, &slow, job, &err);
}

static int start_policy(struct gmig_job **job)
{
	struct gmig_bind_spec spec = {.bytes = BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND},
				      .flags = GMIG_BIND_MOVE,
				      .job = {.rate_bytes_per_second = 1}};

	gmig_node_set_add(&spec.policy.nodes, 1);
	return gmig_bind(rig.gmig, &spec, job, &err);
}

START_TEST(call_that_finds_no_memory_leaves_the_engine_as_it_was)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = true};
	struct gmig_bind_spec home = {.gpa = GMIG_BLOCK_BYTES,
				      .bytes = GMIG_PAGE_BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND}};
	struct gmig_bind_spec on_0 = {.gpa = 2 * GMIG_BLOCK_BYTES,
				      .bytes = GMIG_PAGE_BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND}};
	struct gmig_job *job;

	rig_create(&rig, &options);
	ck_assert_uint_ge(needed(try_thread, false), 2);
	ck_assert_uint_eq(needed(try_repair, true), 2);
	ck_assert_uint_ge(needed(try_bind, true), 2);
	gmig_node_set_add(&home.policy.nodes, 1);
	ck_assert_int_eq(gmig_bind(rig.gmig, &home, &job, NULL), 0);
	ck_assert_uint_ge(needed(try_home, true), 1);
	ck_assert_uint_ge(needed(try_retire, true), 1);
	ck_assert_uint_ge(needed(try_report, true), 1);
	ck_assert_uint_eq(needed(try_check, true), 1);
	ck_assert_uint_ge(needed(try_fix, true), 2);
	ck_assert_uint_eq(needed(try_ranges_of_a_guest, false), 1);
	ck_assert_uint_eq(needed(try_sampling, false), 3);
	gmig_node_set_add(&on_0.policy.nodes, 0);
	ck_assert_int_eq(gmig_bind(rig.gmig, &on_0, &job, NULL), 0);
	ck_assert_uint_ge(needed(try_follow, true), 4);
	ck_assert_uint_ge(needed(try_move, true), 2);
	ended = cancelled(start_list);
	ck_assert_uint_ge(needed(try_retry, true), 2);
	gmig_job_put(ended);
	ended = cancelled(start_policy);
	ck_assert_uint_ge(needed(try_retry, true), 2);
	gmig_job_put(ended);
	ck_assert_uint_ge(needed(try_job, true), 1);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(region_that_cannot_be_described_is_not_added)
{
	const struct gmig_options options = {.plain = true};
	struct gmig_options with = options;

	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	with.topology = topology;
	memset(&rig, 0, sizeof(rig));
	ck_assert_int_eq(gmig_create(&with, &rig.gmig, &err), 0);
	rig.gmig->vnodes[0].uffd = -1;
	ck_assert_int_eq(gmig_region_add(rig.gmig,
					 &(struct gmig_region_spec){.bytes = GMIG_BLOCK_BYTES},
					 (void *[]){NULL}, &err),
			 0);
	ck_assert_uint_ge(needed(try_region, true), 1);
	gmig_destroy(rig.gmig);
	gmig_topology_put(topology);
}
END_TEST

/* ---- Another process --------------------------------------------------------------------------- */

static struct gmig_process *process;
static struct process_maps maps;

/* The fake of it allocates, too. */
static int open_anyway(pid_t pid, const char *name)
{
	long then = no_memory_in;
	int fd;

	no_memory_in = -1;
	fd = fake_open_proc(pid, name);
	no_memory_in = then;
	return fd;
}

static int try_open(void)
{
	struct process *out = NULL;
	int ret;

	FAILING(ret = process_open(&fake_sys, FAKE_PID, &out, &err));
	ck_assert(!ret == (out != NULL));
	process_close(out);
	return ret;
}

static int try_open_memory(void)
{
	const struct gmig_process_options options = {
	    .pid = FAKE_PID, .sys = &fake_sys, .topology = topology};
	struct gmig_process *out = NULL;
	int ret;

	FAILING(ret = gmig_process_open(&options, &out, &err));
	ck_assert(!ret == (out != NULL));
	gmig_process_close(out);
	return ret;
}

static int try_maps(void)
{
	int ret;

	FAILING(ret = process_maps_read(process->process, &maps, &err));
	ck_assert_uint_eq(maps.count, ret ? 0 : 1);
	process_maps_free(&maps);
	return ret;
}

static int try_locate(void)
{
	int ret;

	ck_assert_int_eq(process_maps_read(process->process, &maps, &err), 0);
	FAILING(ret = process_maps_locate(process->process, &maps));
	ck_assert(!ret == (maps.node != NULL));
	process_maps_free(&maps);
	return ret;
}

static int try_usage(void)
{
	static struct process_usage usage;
	int ret;

	ck_assert_int_eq(process_maps_read(process->process, &maps, &err), 0);
	FAILING(ret = process_usage_read(process->process, &maps, &usage, &err));
	ck_assert_uint_eq(process_usage_on(&usage, 0), ret ? 0 : FAKE_PAGES * 4096);
	process_maps_free(&maps);
	return ret;
}

static int try_ranges(void)
{
	const struct gmig_job_spec spec = {.from_count = 1, .to = {1}, .to_count = 1};
	struct memory_range *ranges;
	size_t count;
	int ret;

	FAILING(ret = process->memory.ops->ranges(&process->memory, &spec, &ranges, &count));
	ck_assert(!ret == (ranges != NULL));
	ck_assert_uint_eq(count, ret ? 0 : 1);
	free(ranges);
	return ret;
}

static int visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	(void)arg, (void)gfn, (void)entry;
	return 0;
}

static int try_walk(void)
{
	int ret;

	FAILING(
	    ret = process->memory.ops->walk(&process->memory, FAKE_START / 4096, 512, visit, NULL));
	return ret;
}

START_TEST(process_that_there_is_no_memory_for_stays_unknown)
{
	const struct gmig_process_options options = {.pid = FAKE_PID, .sys = &fake_sys};
	struct gmig_process_options with = options;

	fake_process_setup_on_four_nodes();
	fake_sys.open_proc = open_anyway;
	ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, &err), 0);
	ck_assert_uint_eq(needed(try_open, true), 1);
	ck_assert_uint_eq(needed(try_open_memory, true), 2);
	with.topology = topology;
	ck_assert_int_eq(gmig_process_open(&with, &process, &err), 0);
	/* Its pagemap stays open, from the first look on. */
	ck_assert_int_eq(try_maps(), 0);
	ck_assert_uint_eq(needed(try_maps, true), 1);
	ck_assert_uint_eq(needed(try_locate, false), 1);
	ck_assert_uint_eq(needed(try_usage, true), 1);
	ck_assert_uint_eq(needed(try_ranges, false), 2); /* and it does without nodes of mappings */
	ck_assert_uint_eq(needed(try_walk, false), 1);
	gmig_process_close(process);
	gmig_topology_put(topology);
	fake_process_teardown();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("no_memory");
	TCase *tcase = tcase_create("no_memory");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, policy_is_as_it_was_when_there_is_no_memory_for_another);
	tcase_add_test(tcase, table_and_books_that_cannot_be_made_are_none);
	tcase_add_loop_test(tcase, engine_that_cannot_be_made_is_none, 0, 2);
	tcase_add_test(tcase, region_that_cannot_be_described_is_not_added);
	tcase_add_test(tcase, call_that_finds_no_memory_leaves_the_engine_as_it_was);
	tcase_add_test(tcase, process_that_there_is_no_memory_for_stays_unknown);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
