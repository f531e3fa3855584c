/* Which domain moves where and when: pictures of a host with four nodes, and a clock that is a number. */
#include "../../libvirt-hooks/keeper.h"
#include "../../libvirt-hooks/keeping_inside.h"
#include "suite.h"

#include <string.h>

#define GIB   (1ull << 30)
#define NODES 4
#define START 1000

static struct placement_cpus cpus[NODES];
static struct placement_node nodes[NODES];
static uint8_t distance[NODES * NODES];
static struct placement_host host;

/* A domain of the picture, with one vCPU. */
struct made {
	struct placement_policy policy;
	struct placement_ram ram[NODES];
	struct placement_time time[NODES];
};

static struct made made[3];
static struct keeper_domain domains[3];
static struct keeper_picture picture;
static struct keeper_verdict verdicts[3];
static struct keeper_answer answer;
static struct keeper *keeper;
static struct gmig_error err;

static void set(size_t i, enum policy_key key, const char *value)
{
	ck_assert_msg(!policy_set(&made[i].policy, key, value, "test", &err), "%s", err.text);
}

/* Its vCPU may use the CPUs of these nodes. */
static void pin(size_t i, unsigned int mask)
{
	struct keeper_domain *domain = &domains[i];

	memset(&domain->vcpu_nodes, 0, sizeof(domain->vcpu_nodes));
	domain->time_count = 0;
	for (unsigned int node = 0; node < NODES; node++) {
		if (!(mask >> node & 1))
			continue;
		gmig_node_set_add(&domain->vcpu_nodes, node);
		made[i].time[domain->time_count++] =
		    (struct placement_time){.node = (uint16_t)node};
	}
	domain->vcpus = 1;
	domain->time = made[i].time;
}

static void lie(size_t i, unsigned int node, uint64_t bytes)
{
	made[i].ram[0] = (struct placement_ram){
	    .node = (uint16_t)node, .vnode = PLACEMENT_NO_VNODE, .bytes = bytes};
	domains[i].ram = made[i].ram;
	domains[i].ram_count = 1;
}

static void setup(void)
{
	static const char *const names[] = {"web1", "web2", "web3"};

	memset(made, 0, sizeof(made));
	memset(cpus, 0, sizeof(cpus));
	for (unsigned int i = 0; i < NODES; i++) {
		cpus[i].word[0] = 1ull << i;
		nodes[i] = (struct placement_node){
		    .id = i, .total_bytes = 64 * GIB, .free_bytes = {32 * GIB}, .cpus = &cpus[i]};
		for (unsigned int j = 0; j < NODES; j++)
			distance[i * NODES + j] = i == j ? 10 : 20;
	}
	host = (struct placement_host){nodes, NODES, distance};
	for (size_t i = 0; i < 3; i++) {
		domains[i] = (struct keeper_domain){.name = names[i], .policy = &made[i].policy};
		set(i, POLICY_KEY_PLACEMENT, "follow-vcpus");
		pin(i, 1);
		lie(i, 0, GIB);
	}
	/* A Monday, at ten. */
	picture = (struct keeper_picture){.host = &host,
					  .domains = domains,
					  .count = 1,
					  .now_seconds = START,
					  .local = {.tm_wday = 1, .tm_hour = 10}};
	answer.verdicts = verdicts;
	ck_assert_int_eq(keeper_create(&keeper, &err), 0);
}

static void teardown(void)
{
	keeper_destroy(keeper);
}

static enum keeper_state decide(uint64_t later)
{
	picture.now_seconds += later;
	ck_assert_msg(!keeper_decide(keeper, &picture, &answer, &err), "%s", err.text);
	return verdicts[0].state;
}

static void expect_reason(const char *text)
{
	ck_assert_msg(strstr(verdicts[0].reason, text) != NULL, "%s", verdicts[0].reason);
}

/* The move that was decided on has been carried out. */
static void carry_out(void)
{
	ck_assert(answer.moves);
	lie(answer.move.domain, answer.move.to, GIB);
	keeper_ended(keeper, domains[answer.move.domain].name, &answer.move, KEEPER_COMPLETED, GIB,
		     0, "", picture.now_seconds);
}

/* Re-pinned to one node, and the hold time is over. */
static enum keeper_state re_pin(unsigned int node)
{
	pin(0, 1u << node);
	decide(1);
	return decide(KEEPER_HOLD_SECONDS);
}

/* ---- Following ------------------------------------------------------------------------------- */

START_TEST(memory_follows_vcpus_that_were_pinned_anew)
{
	set(0, POLICY_KEY_RATE, "100M");
	set(0, POLICY_KEY_STALL_BUDGET, "5ms");
	set(0, POLICY_KEY_SLOWDOWN, "5%");
	ck_assert_int_eq(decide(0), KEEPER_KEPT);
	ck_assert(!answer.moves);
	pin(0, 4);
	ck_assert_int_eq(decide(1), KEEPER_HOLD);
	ck_assert(!answer.moves);
	ck_assert_uint_eq(verdicts[0].wait_seconds, KEEPER_HOLD_SECONDS);
	ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS - 1), KEEPER_HOLD);
	ck_assert_int_eq(decide(1), KEEPER_MOVES);
	ck_assert(answer.moves);
	ck_assert_uint_eq(answer.move.domain, 0);
	ck_assert_uint_eq(answer.move.from_count, 1);
	ck_assert_uint_eq(answer.move.from[0], 0);
	ck_assert_uint_eq(answer.move.to, 2);
	ck_assert_uint_eq(answer.move.bytes, GIB);
	ck_assert_uint_eq(answer.move.max_bytes, 0);
	ck_assert_uint_eq(answer.move.rate_bytes, 100 << 20);
	ck_assert_uint_eq(answer.move.max_stall_ns, 5000000);
	ck_assert_uint_eq(answer.move.max_slowdown_ppm, 50000);
	expect_reason("node 2");
	ck_assert_int_eq(verdicts[0].score.now, 0);
	ck_assert_int_eq(verdicts[0].score.possible, 10000);
	carry_out();
	ck_assert_int_eq(decide(1), KEEPER_KEPT);
	ck_assert_int_eq(verdicts[0].score.now, 10000);
}
END_TEST

START_TEST(pin_that_changes_again_within_the_hold_time_starts_nothing)
{
	decide(0);
	for (unsigned int i = 0; i < 8; i++) {
		pin(0, i % 2 ? 2 : 4);
		ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS - 1), KEEPER_HOLD);
	}
	/* And back to where its memory is. */
	pin(0, 1);
	ck_assert_int_eq(decide(1), KEEPER_KEPT);
	ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS), KEEPER_KEPT);
}
END_TEST

START_TEST(reversal_freezes_and_thaws)
{
	decide(0);
	ck_assert_int_eq(re_pin(1), KEEPER_MOVES);
	carry_out();
	ck_assert_int_eq(re_pin(0), KEEPER_MOVES);
	carry_out();
	ck_assert_int_eq(re_pin(1), KEEPER_FROZEN);
	expect_reason("back and forth");
	ck_assert(!answer.moves);
	ck_assert_int_eq(decide(verdicts[0].wait_seconds - 1), KEEPER_FROZEN);
	ck_assert_int_eq(decide(1), KEEPER_MOVES);
}
END_TEST

START_TEST(move_back_after_a_long_time_is_no_reversal)
{
	decide(0);
	ck_assert_int_eq(re_pin(1), KEEPER_MOVES);
	carry_out();
	decide(601);
	ck_assert_int_eq(re_pin(0), KEEPER_MOVES);
	carry_out();
	ck_assert_int_eq(re_pin(1), KEEPER_MOVES);
}
END_TEST

START_TEST(memory_on_any_node_of_the_vcpus_stays)
{
	pin(0, 3);
	ck_assert_int_eq(decide(0), KEEPER_KEPT);
	ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS), KEEPER_KEPT);
	lie(0, 3, GIB);
	ck_assert_int_eq(decide(1), KEEPER_MOVES);
	ck_assert_uint_lt(answer.move.to, 2);
}
END_TEST

START_TEST(memory_of_several_nodes_goes_in_one_job)
{
	for (unsigned int i = 0; i < 3; i++)
		made[0].ram[i] = (struct placement_ram){
		    .node = (uint16_t)i, .vnode = PLACEMENT_NO_VNODE, .bytes = (i + 1) * GIB};
	domains[0].ram_count = 3;
	pin(0, 8);
	decide(0);
	ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS), KEEPER_MOVES);
	ck_assert_uint_eq(answer.move.from_count, 3);
	ck_assert_uint_eq(answer.move.to, 3);
	ck_assert_uint_eq(answer.move.bytes, 6 * GIB);
	ck_assert_uint_eq(answer.move.max_bytes, 0);
}
END_TEST

START_TEST(memory_goes_where_there_is_room_and_only_so_much)
{
	nodes[2].free_bytes[0] = GIB / 2;
	nodes[2].reserved_bytes = 0;
	pin(0, 4);
	decide(0);
	ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS), KEEPER_MOVES);
	ck_assert_uint_le(answer.move.bytes, GIB / 2);
	ck_assert_uint_eq(answer.move.max_bytes, answer.move.bytes);
	nodes[2].free_bytes[0] = 0;
	ck_assert_int_eq(decide(1), KEEPER_STAYS);
	ck_assert(!answer.moves);
}
END_TEST

START_TEST(vcpus_on_a_node_without_memory_have_it_on_the_nearest)
{
	nodes[3].total_bytes = nodes[3].free_bytes[0] = 0;
	distance[3 * NODES + 2] = 12;
	pin(0, 8);
	decide(0);
	ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS), KEEPER_MOVES);
	ck_assert_uint_eq(answer.move.to, 2);
}
END_TEST

START_TEST(picture_that_makes_no_sense_moves_nothing)
{
	pin(0, 4);
	decide(0);
	nodes[1].id = 2; /* twice */
	picture.now_seconds += KEEPER_HOLD_SECONDS;
	ck_assert_int_lt(keeper_decide(keeper, &picture, &answer, &err), 0);
	ck_assert(!answer.moves);
	ck_assert_int_eq(verdicts[0].state, KEEPER_STAYS);
	expect_reason("twice");
}
END_TEST

/* ---- What keeps it from moving --------------------------------------------------------------- */

START_TEST(quiet_hours_are_waited_for)
{
	set(0, POLICY_KEY_QUIET_HOURS, "Mon-Fri 08:00-18:00");
	decide(0);
	ck_assert_int_eq(re_pin(2), KEEPER_QUIET);
	ck_assert(!answer.moves);
	picture.local.tm_hour = 17;
	picture.local.tm_min = 59;
	ck_assert_int_eq(decide(1), KEEPER_QUIET);
	picture.local.tm_hour = 18;
	picture.local.tm_min = 0;
	ck_assert_int_eq(decide(1), KEEPER_MOVES);
}
END_TEST

START_TEST(closed_node_gets_nothing)
{
	nodes[2].closed = true;
	decide(0);
	ck_assert_int_eq(re_pin(2), KEEPER_CLOSED);
	expect_reason("nodes 2, where its memory belongs, are closed");
	ck_assert(!answer.moves);
	/* Of two, the one that is open. */
	pin(0, 12);
	decide(0);
	ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS), KEEPER_MOVES);
	ck_assert_uint_eq(answer.move.to, 3);
	nodes[2].closed = false;
	ck_assert_int_eq(re_pin(2), KEEPER_MOVES);
}
END_TEST

START_TEST(node_that_the_policy_does_not_allow_gets_nothing)
{
	set(0, POLICY_KEY_NODES, "0-1");
	decide(0);
	ck_assert_int_eq(re_pin(2), KEEPER_CLOSED);
	expect_reason("allows none of the nodes");
	ck_assert_int_eq(re_pin(1), KEEPER_MOVES);
	ck_assert_uint_eq(answer.move.to, 1);
	/* A vCPU that may run everywhere: memory goes where it is allowed. */
	lie(0, 3, GIB);
	pin(0, 15);
	decide(0);
	ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS), KEEPER_MOVES);
	ck_assert_uint_lt(answer.move.to, 2);
}
END_TEST

START_TEST(job_of_the_domain_is_never_joined_and_what_it_did_stays)
{
	decide(0);
	pin(0, 4);
	domains[0].job_runs = true;
	decide(1);
	ck_assert_int_eq(decide(KEEPER_HOLD_SECONDS), KEEPER_BUSY);
	ck_assert(!answer.moves);
	/* It was moved to a third node by hand: it stays there until vCPUs are pinned anew. */
	domains[0].job_runs = false;
	domains[0].hand_jobs = 1;
	lie(0, 3, GIB);
	ck_assert_int_eq(decide(3600), KEEPER_BY_HAND);
	expect_reason("moved by hand");
	ck_assert_int_eq(re_pin(1), KEEPER_MOVES);
}
END_TEST

START_TEST(cancelled_move_is_not_tried_again)
{
	decide(0);
	ck_assert_int_eq(re_pin(2), KEEPER_MOVES);
	keeper_ended(keeper, "web1", &answer.move, KEEPER_CANCELLED, 0, GIB, "",
		     picture.now_seconds);
	ck_assert_int_eq(decide(86400), KEEPER_BY_HAND);
	ck_assert_int_eq(re_pin(1), KEEPER_MOVES);
	/* One that gave way is no word about it. */
	keeper_ended(keeper, "web1", &answer.move, KEEPER_YIELDED, 0, GIB, "", picture.now_seconds);
	ck_assert_int_eq(decide(1), KEEPER_MOVES);
}
END_TEST

START_TEST(failed_move_is_tried_again_later_and_later)
{
	uint64_t wait = KEEPER_RETRY_SECONDS;

	decide(0);
	ck_assert_int_eq(re_pin(2), KEEPER_MOVES);
	for (int i = 0; i < 10; i++) {
		keeper_ended(keeper, "web1", &answer.move, KEEPER_FAILED, 0, 0, "no such luck",
			     picture.now_seconds);
		ck_assert_int_eq(decide(wait - 1), KEEPER_RETRY);
		expect_reason("no such luck");
		ck_assert_int_eq(decide(1), KEEPER_MOVES);
		if (i < KEEPER_RETRY_DOUBLES)
			wait *= 2;
	}
	/* What moved nothing, or not all, has failed as well. */
	keeper_ended(keeper, "web1", &answer.move, KEEPER_COMPLETED, 0, 0, "", picture.now_seconds);
	ck_assert_int_eq(decide(1), KEEPER_RETRY);
	/* Nobody knows it. */
	keeper_ended(keeper, "gone", &answer.move, KEEPER_FAILED, 0, 0, "", picture.now_seconds);
}
END_TEST

START_TEST(one_domain_at_a_time_is_moved)
{
	picture.count = 3;
	for (size_t i = 0; i < 3; i++)
		pin(i, 2u << i);
	decide(0);
	decide(KEEPER_HOLD_SECONDS);
	ck_assert(answer.moves);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(verdicts[i].state,
				 i == answer.move.domain ? KEEPER_MOVES : KEEPER_WAITS);
	picture.moving = true;
	domains[answer.move.domain].job_runs = true;
	decide(1);
	ck_assert(!answer.moves);
	/* And none, where the host says so. */
	picture.moving = false;
	picture.why_not = "the list of closed nodes is unreadable";
	decide(1);
	ck_assert(!answer.moves);
}
END_TEST

START_TEST(other_policies_move_nothing_by_themselves)
{
	static const struct {
		const char *placement, *nodes, *reason;
	} cases[] = {{"none", "all", "placement none"},
		     {"fixed", "0", "1.00 GiB lie outside of its nodes 0"},
		     {"pack", "all", "pack is not kept by this version"},
		     {"spread", "all", "spread is not kept by this version"}};

	lie(0, 3, GIB);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set(0, POLICY_KEY_PLACEMENT, cases[i].placement);
		set(0, POLICY_KEY_NODES, cases[i].nodes);
		decide(0);
		ck_assert_int_eq(decide(86400), KEEPER_OFF);
		ck_assert(!answer.moves);
		expect_reason(cases[i].reason);
	}
	/* Fixed: its score is the part on its nodes. */
	set(0, POLICY_KEY_PLACEMENT, "fixed");
	set(0, POLICY_KEY_NODES, "0");
	decide(1);
	ck_assert_int_eq(verdicts[0].score.now, 0);
	set(0, POLICY_KEY_NODES, "3");
	ck_assert_int_eq(decide(1), KEEPER_KEPT);
	ck_assert_int_eq(verdicts[0].score.now, 10000);
}
END_TEST

START_TEST(protected_pinned_and_unknown_domains_stay)
{
	lie(0, 3, GIB);
	made[0].policy.protect = true; /* policy_validate() refuses it */
	decide(0);
	decide(KEEPER_HOLD_SECONDS);
	ck_assert(!answer.moves);
	made[0].policy.protect = false;
	domains[0].pinned = true;
	ck_assert_int_eq(decide(1), KEEPER_PINNED);
	domains[0].pinned = false;
	domains[0].policy = NULL;
	ck_assert_int_eq(decide(1), KEEPER_WRONG);
	domains[0].policy = &made[0].policy;
	domains[0].ram = NULL;
	domains[0].ram_count = 0;
	ck_assert_int_eq(decide(1), KEEPER_UNKNOWN);
	lie(0, 3, GIB);
	pin(0, 0);
	ck_assert_int_eq(decide(1), KEEPER_UNKNOWN);
	expect_reason("where its vCPUs may run");
	/* Known again as before, it needs no hold time. */
	pin(0, 1);
	ck_assert_int_eq(decide(1), KEEPER_MOVES);
}
END_TEST

START_TEST(domain_that_has_gone_is_forgotten)
{
	decide(0);
	ck_assert_int_eq(re_pin(2), KEEPER_MOVES);
	picture.count = 0;
	ck_assert_int_eq(keeper_decide(keeper, &picture, &answer, &err), 0);
	picture.count = 1;
	ck_assert_int_eq(decide(3600), KEEPER_HOLD);
}
END_TEST

START_TEST(what_is_not_done_is_warned_of_where_it_is_given)
{
	struct placement_policy policy;
	char text[GMIG_ERROR_TEXT];

	policy_init(&policy);
	ck_assert(!keeper_warning(&policy, text, sizeof(text)));
	policy_set(&policy, POLICY_KEY_PLACEMENT, "spread", "gmigd.conf:3 [default]", &err);
	ck_assert(keeper_warning(&policy, text, sizeof(text)));
	ck_assert_ptr_nonnull(
	    strstr(text, "gmigd.conf:3 [default]: placement = spread is not kept by this version"));
	policy_set(&policy, POLICY_KEY_PLACEMENT, "follow-vcpus", "x", &err);
	ck_assert(!keeper_warning(&policy, text, sizeof(text)));
}
END_TEST

/* However far it was when the other one took its pages: it has not failed, and nobody wanted it to stay. */
START_TEST(move_that_gave_way_is_no_failure)
{
	struct gmig_job_info info = {.state = GMIG_JOB_CANCELLED};

	ck_assert_int_eq(keeping_end_of(&info, true), KEEPER_YIELDED);
	ck_assert_int_eq(keeping_end_of(&info, false), KEEPER_CANCELLED);
	info.state = GMIG_JOB_COMPLETED;
	ck_assert_int_eq(keeping_end_of(&info, true), KEEPER_COMPLETED); /* before the other one */
	info.by_others_bytes = 4096;
	ck_assert_int_eq(keeping_end_of(&info, true), KEEPER_YIELDED);
	ck_assert_int_eq(keeping_end_of(&info, false), KEEPER_COMPLETED);
	info.state = GMIG_JOB_FAILED;
	ck_assert_int_eq(keeping_end_of(&info, true), KEEPER_FAILED);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    memory_follows_vcpus_that_were_pinned_anew,
	    move_that_gave_way_is_no_failure,
	    pin_that_changes_again_within_the_hold_time_starts_nothing,
	    reversal_freezes_and_thaws,
	    move_back_after_a_long_time_is_no_reversal,
	    memory_on_any_node_of_the_vcpus_stays,
	    memory_of_several_nodes_goes_in_one_job,
	    memory_goes_where_there_is_room_and_only_so_much,
	    vcpus_on_a_node_without_memory_have_it_on_the_nearest,
	    picture_that_makes_no_sense_moves_nothing,
	    quiet_hours_are_waited_for,
	    closed_node_gets_nothing,
	    node_that_the_policy_does_not_allow_gets_nothing,
	    job_of_the_domain_is_never_joined_and_what_it_did_stays,
	    cancelled_move_is_not_tried_again,
	    failed_move_is_tried_again_later_and_later,
	    one_domain_at_a_time_is_moved,
	    other_policies_move_nothing_by_themselves,
	    protected_pinned_and_unknown_domains_stay,
	    domain_that_has_gone_is_forgotten,
	    what_is_not_done_is_warned_of_where_it_is_given,
	};

	return run_tests("keeper", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
