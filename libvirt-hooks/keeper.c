#include "keeper.h"

#include "../placement/history.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What is remembered of a domain. */
struct past {
	char *name;
	bool seen;
	struct gmig_node_set vcpu_nodes, allowed;
	enum policy_placement placement;
	uint64_t since_seconds; /* these have been so */
	uint64_t hand_jobs;	/* at that time */
	unsigned int failures;
	uint64_t retry_seconds;
	bool cancelled;
	char why[GMIG_ERROR_TEXT];
};

struct keeper {
	struct past *past;
	size_t count;
	struct placement_history *history;
};

int keeper_create(struct keeper **out, struct gmig_error *err)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	int ret = keeper ? placement_history_create(&keeper->history, err)
			 : gmig_fail(err, -ENOMEM, "out of memory");

	if (ret)
		free(keeper);
	else
		*out = keeper;
	return ret;
}

void keeper_destroy(struct keeper *keeper)
{
	if (!keeper)
		return;
	for (size_t i = 0; i < keeper->count; i++)
		free(keeper->past[i].name);
	free(keeper->past);
	placement_history_destroy(keeper->history);
	free(keeper);
}

const char *keeper_state_name(enum keeper_state state)
{
	static const char *const names[] = {
	    [KEEPER_OFF] = "off",	  [KEEPER_WRONG] = "wrong",   [KEEPER_KEPT] = "kept",
	    [KEEPER_UNKNOWN] = "unknown", [KEEPER_PINNED] = "pinned", [KEEPER_BUSY] = "busy",
	    [KEEPER_BY_HAND] = "by-hand", [KEEPER_HOLD] = "hold",     [KEEPER_FROZEN] = "frozen",
	    [KEEPER_RETRY] = "retry",	  [KEEPER_QUIET] = "quiet",   [KEEPER_CLOSED] = "closed",
	    [KEEPER_WAITS] = "waits",	  [KEEPER_STAYS] = "stays",   [KEEPER_MOVES] = "moves"};

	return names[state];
}

bool keeper_warning(const struct placement_policy *policy, char *text, size_t bytes)
{
	bool placement = policy->where[POLICY_KEY_PLACEMENT][0] &&
			 (policy->placement == POLICY_PACK || policy->placement == POLICY_SPREAD);

	*text = '\0';
	if (placement)
		snprintf(text, bytes,
			 "%s: placement = %s is not kept by this version: it is scored, and moved "
			 "only when gmig is told to",
			 policy->where[POLICY_KEY_PLACEMENT],
			 policy_placement_name(policy->placement));
	return placement;
}

/* ---- The past -------------------------------------------------------------------------------- */

static struct past *find_past(const struct keeper *keeper, const char *name)
{
	for (size_t i = 0; i < keeper->count; i++)
		if (!strcmp(keeper->past[i].name, name))
			return &keeper->past[i];
	return NULL;
}

static struct past *add_past(struct keeper *keeper, const char *name)
{
	struct past *bigger = realloc(keeper->past, (keeper->count + 1) * sizeof(*keeper->past));
	char *copy = strdup(name);

	if (bigger)
		keeper->past = bigger;
	if (!bigger || !copy) {
		free(copy);
		return NULL;
	}
	bigger[keeper->count] = (struct past){.name = copy};
	return &bigger[keeper->count++];
}

static bool same(const struct gmig_node_set *a, const struct gmig_node_set *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* As it is now. Another wish than before is one that nothing is known of yet. */
static int note_domain(struct keeper *keeper, const struct keeper_domain *domain, uint64_t now)
{
	struct past *past = find_past(keeper, domain->name);
	bool fresh = !past;

	if (fresh)
		past = add_past(keeper, domain->name);
	if (!past)
		return -ENOMEM;
	past->seen = true;
	if (!domain->policy || gmig_node_set_empty(&domain->vcpu_nodes))
		return 0;
	if (!fresh && same(&past->vcpu_nodes, &domain->vcpu_nodes) &&
	    same(&past->allowed, &domain->policy->nodes) &&
	    past->placement == domain->policy->placement)
		return 0;
	past->vcpu_nodes = domain->vcpu_nodes;
	past->allowed = domain->policy->nodes;
	past->placement = domain->policy->placement;
	past->since_seconds = now;
	past->hand_jobs = domain->hand_jobs;
	past->failures = 0;
	past->retry_seconds = 0;
	past->cancelled = false;
	return 0;
}

static int note_all(struct keeper *keeper, const struct keeper_picture *picture)
{
	size_t kept = 0;
	int ret = 0;

	for (size_t i = 0; !ret && i < picture->count; i++)
		ret = note_domain(keeper, &picture->domains[i], picture->now_seconds);
	for (size_t i = 0; i < keeper->count; i++) {
		struct past *past = &keeper->past[i];

		if (!past->seen) {
			free(past->name);
			continue;
		}
		past->seen = false;
		keeper->past[kept++] = *past;
	}
	keeper->count = kept;
	return ret;
}

/* ---- Where it belongs ------------------------------------------------------------------------ */

static struct gmig_node_set nodes_with_memory(const struct placement_host *host)
{
	struct gmig_node_set set = {{0}};

	for (size_t i = 0; i < host->node_count; i++)
		if (host->nodes[i].total_bytes)
			gmig_node_set_add(&set, host->nodes[i].id);
	return set;
}

/* Of `among`, those at the least distance from any of `from`. */
static struct gmig_node_set nearest(const struct placement_host *host,
				    const struct gmig_node_set *from,
				    const struct gmig_node_set *among)
{
	unsigned int least = PLACEMENT_UNREACHED;
	struct gmig_node_set set = {{0}};

	for (size_t c = 0; c < host->node_count; c++) {
		for (size_t k = 0; k < host->node_count; k++) {
			unsigned int distance = host->distance[c * host->node_count + k];

			if (!gmig_node_set_has(from, host->nodes[c].id) ||
			    !gmig_node_set_has(among, host->nodes[k].id) || distance > least)
				continue;
			if (distance < least)
				memset(&set, 0, sizeof(set));
			least = distance;
			if (distance < PLACEMENT_UNREACHED)
				gmig_node_set_add(&set, host->nodes[k].id);
		}
	}
	return set;
}

/* Closed ones among them; may be empty. */
static struct gmig_node_set target_nodes(const struct placement_host *host,
					 const struct keeper_domain *domain)
{
	struct gmig_node_set memory = nodes_with_memory(host), target = domain->vcpu_nodes;

	gmig_node_set_and(&target, &memory);
	if (gmig_node_set_empty(&target))
		target = nearest(host, &domain->vcpu_nodes, &memory);
	if (!gmig_node_set_empty(&domain->policy->nodes))
		gmig_node_set_and(&target, &domain->policy->nodes);
	return target;
}

static struct gmig_node_set open_of(const struct placement_host *host,
				    const struct gmig_node_set *nodes)
{
	struct gmig_node_set open = *nodes;

	for (size_t i = 0; i < host->node_count; i++)
		if (host->nodes[i].closed)
			gmig_node_set_remove(&open, host->nodes[i].id);
	return open;
}

static uint64_t bytes_outside(const struct keeper_domain *domain, const struct gmig_node_set *nodes)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < domain->ram_count; i++)
		if (!gmig_node_set_has(nodes, domain->ram[i].node))
			bytes += domain->ram[i].bytes;
	return bytes;
}

/* ---- May it move now? ------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static void
say(struct keeper_verdict *verdict, enum keeper_state state, const char *format, ...)
{
	va_list args;

	verdict->state = state;
	va_start(args, format);
	vsnprintf(verdict->reason, sizeof(verdict->reason), format, args);
	va_end(args);
}

static double gib(uint64_t bytes)
{
	return (double)bytes / (double)(1ull << 30);
}

/* What is not moved by itself in any case. */
static void judge_others(const struct keeper_domain *domain, struct keeper_verdict *verdict)
{
	const struct placement_policy *policy = domain->policy;
	const char *name = policy_placement_name(policy->placement);
	uint64_t outside = domain->ram ? bytes_outside(domain, &policy->nodes) : 0;
	char nodes[80];

	if (policy->placement == POLICY_NONE)
		say(verdict, KEEPER_OFF, "placement none: moved only when gmig is told to");
	else if (policy->placement == POLICY_FIXED && outside)
		say(verdict, KEEPER_OFF,
		    "%.2f GiB lie outside of its nodes %s: placement fixed is scored, and moved "
		    "only "
		    "when gmig is told to",
		    gib(outside), gmig_node_set_print(&policy->nodes, nodes, sizeof(nodes)));
	else if (policy->placement == POLICY_FIXED)
		say(verdict, domain->ram ? KEEPER_KEPT : KEEPER_UNKNOWN, "%s",
		    domain->ram ? "its memory is on its nodes"
				: "where its memory lies is not known yet");
	else
		say(verdict, KEEPER_OFF,
		    "placement %s is not kept by this version: moved only when gmig is told to",
		    name);
}

/* What has been. True: it may move. */
static bool judge_past(const struct keeper *keeper, const struct keeper_domain *domain,
		       const struct keeper_picture *picture, struct keeper_verdict *verdict)
{
	const struct past *past = find_past(keeper, domain->name);
	const struct history_guest *moves = history_find(keeper->history, domain->name);
	uint64_t now = picture->now_seconds, held = now - past->since_seconds;

	if (domain->job_runs) {
		say(verdict, KEEPER_BUSY, "a job moves its memory");
	} else if (past->cancelled || domain->hand_jobs != past->hand_jobs) {
		say(verdict, KEEPER_BY_HAND,
		    "%s: it stays until its vCPUs are pinned anew or its policy changes",
		    past->cancelled ? "its move was cancelled" : "it was moved by hand");
	} else if (held < KEEPER_HOLD_SECONDS) {
		verdict->wait_seconds = KEEPER_HOLD_SECONDS - held;
		say(verdict, KEEPER_HOLD,
		    "its vCPUs or its policy changed %llu s ago: memory follows after %d s",
		    (unsigned long long)held, KEEPER_HOLD_SECONDS);
	} else if (moves && moves->frozen_until_seconds > now) {
		verdict->wait_seconds = moves->frozen_until_seconds - now;
		say(verdict, KEEPER_FROZEN, "it moved back and forth, and stays for another %llu s",
		    (unsigned long long)verdict->wait_seconds);
	} else if (past->retry_seconds > now) {
		verdict->wait_seconds = past->retry_seconds - now;
		say(verdict, KEEPER_RETRY, "%.200s: tried again in %llu s", past->why,
		    (unsigned long long)verdict->wait_seconds);
	} else {
		return true;
	}
	return false;
}

/* *target: open nodes where its memory belongs. True: it may move, if the planner agrees. */
static bool judge(const struct keeper *keeper, const struct keeper_domain *domain,
		  const struct keeper_picture *picture, struct gmig_node_set *target,
		  struct keeper_verdict *verdict)
{
	struct gmig_node_set all;
	char nodes[80];

	if (!domain->policy) {
		say(verdict, KEEPER_WRONG,
		    "its policy is wrong or not known: it is not moved by itself");
		return false;
	}
	if (domain->policy->placement != POLICY_FOLLOW_VCPUS || domain->policy->protect) {
		judge_others(domain, verdict);
		return false;
	}
	if (gmig_node_set_empty(&domain->vcpu_nodes) || !domain->ram) {
		say(verdict, KEEPER_UNKNOWN, "%s is not known yet",
		    domain->ram ? "where its vCPUs may run" : "where its memory lies");
		return false;
	}
	all = target_nodes(picture->host, domain);
	*target = open_of(picture->host, &all);
	if (gmig_node_set_empty(&all))
		say(verdict, KEEPER_CLOSED,
		    "its policy allows none of the nodes near the CPUs that its vCPUs may use "
		    "(nodes "
		    "%s)",
		    gmig_node_set_print(&domain->vcpu_nodes, nodes, sizeof(nodes)));
	else if (!bytes_outside(domain, &all))
		say(verdict, KEEPER_KEPT, "its memory is where its vCPUs may run");
	else if (domain->pinned)
		say(verdict, KEEPER_PINNED, "a device has its memory pinned: it cannot move");
	else if (!judge_past(keeper, domain, picture, verdict))
		return false;
	else if (policy_is_quiet(domain->policy, &picture->local))
		say(verdict, KEEPER_QUIET, "quiet hours: memory follows its vCPUs after them");
	else if (gmig_node_set_empty(target))
		say(verdict, KEEPER_CLOSED, "nodes %s, where its memory belongs, are closed",
		    gmig_node_set_print(&all, nodes, sizeof(nodes)));
	else if (picture->why_not)
		say(verdict, KEEPER_WAITS, "%s", picture->why_not);
	else if (picture->moving)
		say(verdict, KEEPER_WAITS, "another domain's memory is being moved: one at a time");
	else
		return true;
	return false;
}

/* ---- The planner ----------------------------------------------------------------------------- */

static enum placement_goal goal_of(const struct keeper_domain *domain)
{
	static const enum placement_goal goals[] = {[POLICY_NONE] = PLACEMENT_NONE,
						    [POLICY_FIXED] = PLACEMENT_FIXED,
						    [POLICY_FOLLOW_VCPUS] = PLACEMENT_FOLLOW,
						    [POLICY_PACK] = PLACEMENT_PACK,
						    [POLICY_SPREAD] = PLACEMENT_SPREAD};

	return domain->policy ? goals[domain->policy->placement] : PLACEMENT_NONE;
}

/* For scores: as gmig plan would see them, if nobody minded a move. vCPUs are libvirt's to pin. */
static struct placement_guest *describe(const struct keeper_picture *picture)
{
	struct placement_guest *guests = calloc(picture->count + 1, sizeof(*guests));

	for (size_t i = 0; guests && i < picture->count; i++) {
		const struct keeper_domain *domain = &picture->domains[i];

		guests[i] = (struct placement_guest){.name = domain->name,
						     .managed = true,
						     .keep_vcpus = true,
						     .goal = goal_of(domain),
						     .ram = domain->ram,
						     .ram_count = domain->ram_count,
						     .vcpus = domain->vcpus,
						     .time = domain->time,
						     .time_count = domain->time_count};
		if (domain->policy) {
			guests[i].protect = domain->policy->protect;
			guests[i].allowed = domain->policy->nodes;
			guests[i].rate_bytes = domain->policy->rate_bytes;
		}
	}
	return guests;
}

static int score(struct keeper *keeper, const struct keeper_picture *picture,
		 const struct placement_guest *guests, struct keeper_answer *answer,
		 struct gmig_error *err)
{
	struct placement_options options;
	struct placement_plan *plan;
	int ret;

	placement_options_init(&options);
	options.now_seconds = picture->now_seconds;
	options.told = true;
	ret = placement_history_observe(keeper->history, picture->host, guests, picture->count,
					&options, err);
	if (!ret)
		ret = placement_plan(picture->host, guests, picture->count, &options, &plan, err);
	if (ret)
		return ret;
	answer->score = plan->score;
	for (size_t i = 0; i < picture->count; i++)
		answer->verdicts[i].score = plan->guests[i].score;
	placement_plan_destroy(plan);
	return 0;
}

/* ---- One move -------------------------------------------------------------------------------- */

static uint64_t bytes_on(const struct keeper_domain *domain, unsigned int node)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < domain->ram_count; i++)
		bytes += domain->ram[i].node == node ? domain->ram[i].bytes : 0;
	return bytes;
}

/* Of what the plan wants to be done, is this what the policy promises? Making room for others, or for itself, is not. */
static bool is_following(const struct placement_move *move, const struct gmig_node_set *target)
{
	return move->kind == PLACEMENT_MEMORY && !move->staging &&
	       !gmig_node_set_has(target, move->from) && gmig_node_set_has(target, move->to);
}

/* Moves that came before in the plan may be left out: is there room now? */
static bool has_room(const struct placement_host *host, const struct placement_move *move,
		     uint64_t bytes)
{
	for (size_t i = 0; i < host->node_count; i++) {
		const struct placement_node *node = &host->nodes[i];
		uint64_t reserved = move->page == PLACEMENT_4K ? node->reserved_bytes : 0;

		if (node->id == move->to)
			return node->free_bytes[move->page] >= reserved &&
			       node->free_bytes[move->page] - reserved >= bytes;
	}
	return false;
}

/* Whole nodes that go to the same one go in one job; the part of a node goes alone. */
static void gather_move(const struct keeper_picture *picture, const struct placement_plan *plan,
			size_t first, const struct gmig_node_set *target, struct keeper_move *move)
{
	const struct placement_move *one = &plan->moves[first];
	const struct keeper_domain *domain = &picture->domains[one->guest];
	bool whole = one->bytes == bytes_on(domain, one->from);

	move->domain = one->guest;
	move->from[0] = one->from;
	move->from_count = 1;
	move->to = one->to;
	move->bytes = one->bytes;
	move->max_bytes = whole ? 0 : one->bytes;
	move->rate_bytes = domain->policy->rate_bytes;
	move->max_stall_ns = domain->policy->stall_budget_ns;
	move->max_slowdown_ppm = domain->policy->slowdown_ppm;
	snprintf(move->reason, sizeof(move->reason), "%s", one->reason);
	for (size_t i = first + 1; whole && i < plan->move_count; i++) {
		const struct placement_move *next = &plan->moves[i];

		if (next->guest != one->guest || next->to != one->to ||
		    !is_following(next, target) || next->bytes != bytes_on(domain, next->from) ||
		    !has_room(picture->host, next, move->bytes + next->bytes))
			continue;
		move->from[move->from_count++] = next->from;
		move->bytes += next->bytes;
	}
}

/* The first of the plan that is ours to start. */
static void choose(const struct keeper_picture *picture, const struct placement_plan *plan,
		   const struct gmig_node_set *targets, const bool *may,
		   struct keeper_answer *answer)
{
	for (size_t i = 0; !answer->moves && i < plan->move_count; i++) {
		const struct placement_move *move = &plan->moves[i];

		if (!may[move->guest] || !is_following(move, &targets[move->guest]) ||
		    !has_room(picture->host, move, move->bytes))
			continue;
		gather_move(picture, plan, i, &targets[move->guest], &answer->move);
		answer->moves = true;
	}
	for (size_t i = 0; i < picture->count; i++) {
		if (!may[i])
			continue;
		if (answer->moves && answer->move.domain == i)
			say(&answer->verdicts[i], KEEPER_MOVES, "%s", answer->move.reason);
		else if (answer->moves)
			say(&answer->verdicts[i], KEEPER_WAITS,
			    "another domain's memory is being moved: one at a time");
		else
			say(&answer->verdicts[i], KEEPER_STAYS, "%s",
			    plan->guests[i].reason[0] ? plan->guests[i].reason
						      : "the nodes where it belongs have no room");
	}
}

/*
 * vCPUs that may run on many nodes count on those where memory may go: it is to get there also if it were as near elsewhere. A new
 * list, NULL: no memory.
 */
static struct placement_time *time_on(const struct placement_guest *guest,
				      const struct gmig_node_set *target, size_t *count)
{
	struct placement_time *time = calloc(guest->time_count + 1, sizeof(*time));
	size_t used = 0;

	for (size_t i = 0; time && i < guest->time_count; i++)
		if (gmig_node_set_has(target, guest->time[i].node))
			time[used++] = guest->time[i];
	/* CPUs of nodes without memory are near, and that is all. */
	if (time && !used) {
		memcpy(time, guest->time, guest->time_count * sizeof(*time));
		used = guest->time_count;
	}
	*count = used;
	return time;
}

/* Those that may move are the planner's to move; all others are only there. */
static int plan_moves(const struct keeper *keeper, const struct keeper_picture *picture,
		      struct placement_guest *guests, const struct gmig_node_set *targets,
		      const bool *may, struct keeper_answer *answer, struct gmig_error *err)
{
	struct placement_options options;
	struct placement_plan *plan;
	int ret = 0;

	placement_options_init(&options);
	options.now_seconds = picture->now_seconds;
	options.history = keeper->history;
	for (size_t i = 0; i < picture->count; i++) {
		guests[i].managed = may[i];
		if (!may[i])
			continue;
		guests[i].allowed = targets[i];
		guests[i].time = time_on(&guests[i], &targets[i], &guests[i].time_count);
		if (!guests[i].time)
			ret = -ENOMEM;
	}
	if (ret)
		gmig_fail(err, ret, "out of memory");
	else
		ret = placement_plan(picture->host, guests, picture->count, &options, &plan, err);
	if (!ret) {
		choose(picture, plan, targets, may, answer);
		placement_plan_destroy(plan);
	}
	for (size_t i = 0; i < picture->count; i++)
		if (guests[i].managed)
			free((void *)guests[i].time);
	return ret;
}

/* Without a plan nothing moves, and this is why. */
static void say_unplanned(const struct keeper_picture *picture, const bool *may,
			  struct keeper_answer *answer, const char *why)
{
	for (size_t i = 0; i < picture->count; i++)
		if (may[i])
			say(&answer->verdicts[i], KEEPER_STAYS, "no plan: %.200s", why);
}

int keeper_decide(struct keeper *keeper, const struct keeper_picture *picture,
		  struct keeper_answer *answer, struct gmig_error *err)
{
	struct gmig_node_set *targets = calloc(picture->count + 1, sizeof(*targets));
	struct placement_guest *guests = describe(picture);
	bool *may = calloc(picture->count + 1, sizeof(*may)), any = false;
	struct gmig_error why = {0, ""};
	int ret = targets && guests && may ? note_all(keeper, picture) : -ENOMEM;

	answer->moves = false;
	answer->score =
	    (struct placement_scores){PLACEMENT_NO_SCORE, PLACEMENT_NO_SCORE, PLACEMENT_NO_SCORE};
	for (size_t i = 0; i < picture->count; i++)
		answer->verdicts[i] = (struct keeper_verdict){
		    .state = KEEPER_UNKNOWN,
		    .score = {PLACEMENT_NO_SCORE, PLACEMENT_NO_SCORE, PLACEMENT_NO_SCORE}};
	if (ret)
		gmig_fail(&why, ret, "out of memory");
	for (size_t i = 0; !ret && i < picture->count; i++) {
		may[i] =
		    judge(keeper, &picture->domains[i], picture, &targets[i], &answer->verdicts[i]);
		any |= may[i];
	}
	if (!ret && picture->count)
		ret = score(keeper, picture, guests, answer, &why);
	if (!ret && any)
		ret = plan_moves(keeper, picture, guests, targets, may, answer, &why);
	if (ret && may)
		say_unplanned(picture, may, answer, why.text);
	if (ret && err)
		*err = why;
	free(targets);
	free(guests);
	free(may);
	return ret;
}

/* ---- What has become of it ------------------------------------------------------------------- */

/* All pages of one size: what is remembered of a reversal does not depend on it. */
static void remember_move(struct keeper *keeper, const char *name, const struct keeper_move *move,
			  uint64_t now)
{
	const struct placement_guest guest = {.name = name};
	struct placement_options options;

	placement_options_init(&options);
	options.now_seconds = now;
	for (unsigned int i = 0; i < move->from_count; i++) {
		const struct placement_move done = {.kind = PLACEMENT_MEMORY,
						    .vnode = PLACEMENT_NO_VNODE,
						    .from = move->from[i],
						    .to = move->to};

		/* Not noted: no freeze, and the hold time is left. */
		(void)placement_history_record(keeper->history, &guest, &done, &options, NULL);
	}
}

void keeper_ended(struct keeper *keeper, const char *name, const struct keeper_move *move,
		  enum keeper_end end, uint64_t moved_bytes, uint64_t remaining_bytes,
		  const char *why, uint64_t now_seconds)
{
	struct past *past = find_past(keeper, name);
	unsigned int doubles;

	if (!past)
		return; /* it has gone */
	if (moved_bytes)
		remember_move(keeper, name, move, now_seconds);
	past->cancelled |= end == KEEPER_CANCELLED;
	if (end == KEEPER_CANCELLED || end == KEEPER_YIELDED)
		return;
	if (end == KEEPER_COMPLETED && moved_bytes && !remaining_bytes) {
		past->failures = 0;
		return;
	}
	doubles = past->failures < KEEPER_RETRY_DOUBLES ? past->failures : KEEPER_RETRY_DOUBLES;
	past->failures++;
	past->retry_seconds = now_seconds + ((uint64_t)KEEPER_RETRY_SECONDS << doubles);
	snprintf(past->why, sizeof(past->why), "%s",
		 end == KEEPER_FAILED ? why
		 : moved_bytes	      ? "its last move left some memory behind"
				      : "its last move found nothing that it could move");
}
