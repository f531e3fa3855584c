/*
 * libFuzzer target for policies of ranges (gmig_policy.h): an engine on four fake nodes is told to bind, touch, give back, migrate
 * and move in any order, and each page is compared with a model of mbind's semantics: an array that has for each page its
 * policy, its node and what was written to it. The first byte chooses small or huge pages; each step takes 8 bytes.
 *
 * Checked besides crashes: what each call answers; where pages appear at a first touch; that MOVE leaves every page of the range
 * where its policy has it, and all others where they were; that a migration takes policies along; that STRICT says EIO when a
 * page is elsewhere, and only then; content; what gmig_map_at() counts; gmig_check().
 */
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE   GMIG_PAGE_BYTES
#define BLOCK  ((unsigned int)GMIG_BLOCK_PAGES)
#define PAGES  (2 * BLOCK)
#define NODES  4u
#define ABSENT 7u /* a node that there is not */
#define STEP   8u
#define STEPS  24u
#define NONE   GMIG_NO_NODE

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rule {
	struct gmig_policy asked;
	unsigned int count;
	unsigned int node[NODES], weight[NODES]; /* in the order of their places */
};

static struct {
	struct rule rule[PAGES];
	unsigned int node[PAGES]; /* NONE: no memory */
	bool huge[PAGES];
	uint64_t stamp[PAGES]; /* what was written; 0: nothing */
	unsigned int local;
} model;

static struct gmig_topology *topology;
static struct gmig *gmig;
static uint8_t *ram;
static uint64_t stamps;
static bool fatal;

static void must(bool holds, const char *what, unsigned int page)
{
	if (holds)
		return;
	fprintf(stderr, "page %u: %s\n", page, what);
	abort();
}

/* ---- The model: which node a policy means ------------------------------------------------------- */

static bool is_interleaving(enum gmig_policy_mode mode)
{
	return mode == GMIG_POLICY_INTERLEAVE || mode == GMIG_POLICY_WEIGHTED_INTERLEAVE;
}

/* As distances are on fake nodes: the node itself, else the lowest, by the topology's own table. */
static unsigned int nearest(const struct rule *rule, unsigned int from)
{
	unsigned int best = rule->node[0];

	for (unsigned int i = 1; i < rule->count; i++) {
		unsigned int a = gmig_topology_distance(topology, from, rule->node[i]);
		unsigned int b = gmig_topology_distance(topology, from, best);

		if (a < b || (a == b && rule->node[i] < best))
			best = rule->node[i];
	}
	return best;
}

static unsigned int interleaved(const struct rule *rule, unsigned int number)
{
	unsigned int sum = 0, at = 0;

	for (unsigned int i = 0; i < rule->count; i++)
		sum += rule->weight[i];
	number %= sum;
	while (number >= rule->weight[at])
		number -= rule->weight[at++];
	return rule->node[at];
}

static unsigned int node_of(const struct rule *rule, unsigned int page, bool huge)
{
	if (!rule->count)
		return model.local;
	if (is_interleaving(rule->asked.mode))
		return interleaved(rule, huge ? page / BLOCK : page);
	if (rule->asked.mode == GMIG_POLICY_PREFERRED)
		return rule->node[0];
	return nearest(rule, rule->asked.has_home_node ? rule->asked.home_node : model.local);
}

static bool follows(const struct rule *rule, unsigned int page, bool huge)
{
	if (!rule->count || is_interleaving(rule->asked.mode))
		return model.node[page] == node_of(rule, page, huge);
	for (unsigned int i = 0; i < rule->count; i++)
		if (rule->node[i] == model.node[page])
			return true;
	return false;
}

static bool same_rule(unsigned int a, unsigned int b)
{
	return !memcmp(&model.rule[a], &model.rule[b], sizeof(model.rule[a]));
}

/* Is the page part of a huge one all of which is in the range, and has one policy? */
static bool counts_as_huge(unsigned int page, unsigned int first, unsigned int end)
{
	unsigned int block = page / BLOCK * BLOCK;

	if (!model.huge[page] || block < first || block + BLOCK > end)
		return false;
	for (unsigned int i = 1; i < BLOCK; i++)
		if (!same_rule(block, block + i))
			return false;
	return true;
}

/* ---- The engine, compared with it --------------------------------------------------------------- */

/* Node and size of a page as the engine has them. */
static unsigned int look(unsigned int page, bool *huge)
{
	struct shadow_entry entry;

	must(!shadow_lookup(gmig->shadow, page, &entry), "no entry", page);
	*huge = entry.order && entry.state != SHADOW_NONE;
	return entry.state == SHADOW_NONE ? NONE : entry.node;
}

/*
 * All pages are where `expected` has them. Zeroes that nobody wrote may be given back when a huge page is split; `appear`: pages
 * may come, each where its policy has it.
 */
static void compare(const unsigned int expected[PAGES], bool appear)
{
	engine_settle_faults(gmig, 0);
	for (unsigned int page = 0; page < PAGES; page++) {
		bool huge;
		unsigned int node = look(page, &huge);

		model.huge[page] = huge;
		if (node == NONE)
			must(!model.stamp[page], "what was written is gone", page);
		else if (expected[page] != NONE)
			must(node == expected[page], "is on the wrong node", page);
		else
			must(appear && node == node_of(&model.rule[page], page, huge),
			     "appears where it should not", page);
		model.node[page] = node;
		if (node != NONE)
			must(*(volatile uint64_t *)(ram + page * PAGE) == model.stamp[page],
			     "has another content", page);
	}
}

static void compare_maps(void)
{
	struct gmig_map map;
	unsigned int page = 0;

	while (page < PAGES) {
		uint64_t misplaced = 0, untouched = 0, on[NODES] = {0};
		unsigned int end;

		must(!gmig_map_at(gmig, page * PAGE, &map) && map.gpa == page * PAGE, "no map",
		     page);
		end = page + (unsigned int)(map.bytes / PAGE);
		for (unsigned int i = page; i < end; i++) {
			must(map.policy.mode == model.rule[i].asked.mode, "has another policy", i);
			untouched += model.node[i] == NONE;
			if (model.node[i] == NONE)
				continue;
			on[model.node[i]]++;
			misplaced += !follows(&model.rule[i], i, counts_as_huge(i, 0, PAGES));
		}
		must(map.misplaced_pages == misplaced, "misplaced pages are miscounted", page);
		must(map.untouched_pages == untouched, "untouched pages are miscounted", page);
		for (unsigned int n = 0; n < NODES; n++)
			must(map.pages[n] == on[n], "pages of a node are miscounted", page);
		page = end;
	}
}

static void finish(struct gmig_job *job, const struct gmig_error *wanted)
{
	struct gmig_job_info info;

	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	if (info.error.code != wanted->code)
		fprintf(stderr, "%s\n", info.error.text);
	must(info.error.code == wanted->code, "a job ends with another error", 0);
	must(!info.remaining_bytes, "a job leaves pages", 0);
}

/* ---- Steps -------------------------------------------------------------------------------------- */

struct step {
	uint8_t verb, mode, flags, nodes, home, weight;
	unsigned int first, end;
};

static struct gmig_node_set set_of(uint8_t mask)
{
	struct gmig_node_set set = {{mask & 0xf}};

	if (mask & 0x10)
		gmig_node_set_add(&set, ABSENT);
	return set;
}

static struct gmig_bind_spec spec_of(const struct step *step)
{
	struct gmig_bind_spec spec = {
	    .gpa = step->first * PAGE,
	    .bytes = (step->end - step->first) * PAGE,
	    .flags = step->flags & (GMIG_BIND_STRICT | GMIG_BIND_MOVE),
	    .policy = {.mode = (enum gmig_policy_mode)(step->mode % 7),
		       .flags = step->nodes >> 6,
		       .nodes = set_of(step->nodes),
		       .has_home_node = step->home & 0x80,
		       .home_node = step->home & 0x80 ? step->home & 3 : 0}};

	for (unsigned int n = 0; n < NODES; n++)
		spec.policy.weight[n] = step->weight >> 2 * n & 3;
	return spec;
}

static int refusal(const struct gmig_policy *asked, const struct rule *rule)
{
	bool empty = gmig_node_set_empty(&asked->nodes), local = asked->mode == GMIG_POLICY_LOCAL;

	if (asked->flags == 3 || (local && asked->flags))
		return -EINVAL;
	if (asked->mode == GMIG_POLICY_DEFAULT || local) {
		if (!empty)
			return -EINVAL;
	} else if (empty) {
		if (asked->mode != GMIG_POLICY_PREFERRED || asked->flags)
			return -EINVAL;
	} else if (!rule->count) {
		return -EINVAL;
	}
	return asked->has_home_node && asked->mode != GMIG_POLICY_BIND &&
		       asked->mode != GMIG_POLICY_PREFERRED_MANY
		   ? -EOPNOTSUPP
		   : 0;
}

static struct rule rule_of(const struct gmig_policy *asked)
{
	bool relative = asked->flags & GMIG_POLICY_RELATIVE_NODES, has[NODES] = {false};
	struct rule rule;

	/* Compared as bytes. */
	memset(&rule, 0, sizeof(rule));
	if (asked->mode != GMIG_POLICY_DEFAULT)
		memcpy(&rule.asked, asked, sizeof(*asked));
	/* get_mempolicy(2) says so, too. */
	if (asked->mode == GMIG_POLICY_PREFERRED && gmig_node_set_empty(&asked->nodes))
		rule.asked.mode = GMIG_POLICY_LOCAL;
	gmig_node_set_each (n, &asked->nodes)
		if (relative || n < NODES)
			has[n % NODES] = true;
	for (unsigned int n = 0; n < NODES; n++) {
		bool weighted = asked->mode == GMIG_POLICY_WEIGHTED_INTERLEAVE && asked->weight[n];

		if (!has[n])
			continue;
		rule.weight[rule.count] = weighted ? asked->weight[n] : 1;
		rule.node[rule.count++] = n;
	}
	return rule;
}

static bool strict_holds(const struct step *step, const struct rule *rule)
{
	for (unsigned int page = step->first; page < step->end; page++) {
		unsigned int block = page / BLOCK * BLOCK;
		bool huge = model.huge[page] && block >= step->first && block + BLOCK <= step->end;

		if (model.node[page] != NONE && !follows(rule, page, huge))
			return false;
	}
	return true;
}

/* After MOVE: what follows may stay anywhere that its policy allows, all else is where it has it. */
static void compare_moved(const struct step *step)
{
	unsigned int expected[PAGES];

	memcpy(expected, model.node, sizeof(expected));
	for (unsigned int page = step->first; page < step->end; page++) {
		unsigned int block = page / BLOCK * BLOCK;
		bool huge = model.huge[page] && block >= step->first && block + BLOCK <= step->end;

		if (model.node[page] != NONE && !follows(&model.rule[page], page, huge))
			expected[page] = node_of(&model.rule[page], page, huge);
	}
	compare(expected, false);
}

static void run_bind(const struct step *step)
{
	static const struct gmig_error none;
	struct gmig_bind_spec spec = spec_of(step);
	struct rule rule = rule_of(&spec.policy);
	int wanted = refusal(&spec.policy, &rule);
	struct gmig_error err = {0};
	struct gmig_job *job;
	int ret;

	if (!wanted && spec.flags == GMIG_BIND_STRICT && spec.policy.mode != GMIG_POLICY_DEFAULT &&
	    !strict_holds(step, &rule))
		wanted = -EIO;
	ret = gmig_bind(gmig, &spec, &job, &err);
	if (ret != wanted)
		fprintf(stderr, "bind: %d (%s), not %d\n", ret, err.text, wanted);
	must(ret == wanted && err.code == ret, "bind answers otherwise", step->first);
	if (ret)
		return;
	for (unsigned int page = step->first; page < step->end; page++)
		model.rule[page] = rule;
	if (!job)
		return;
	finish(job, &none);
	compare_moved(step);
}

static void run_touch(const struct step *step)
{
	for (unsigned int page = step->first; page < step->end && page < step->first + 4; page++)
		*(volatile uint64_t *)(ram + page * PAGE) = model.stamp[page] = ++stamps;
	compare(model.node, true);
}

static void run_discard(const struct step *step)
{
	struct gmig_error err = {0};
	struct gmig_check check;
	unsigned int expected[PAGES];

	must(!madvise(ram + step->first * PAGE, (step->end - step->first) * PAGE, MADV_DONTNEED),
	     "madvise", step->first);
	memcpy(expected, model.node, sizeof(expected));
	for (unsigned int page = step->first; page < step->end; page++) {
		model.stamp[page] = 0;
		expected[page] = NONE;
	}
	must(!gmig_check(gmig, &check, &err), "check", 0);
	compare(expected, false);
}

static unsigned int list_of(uint8_t mask, uint16_t list[GMIG_MAX_NODES])
{
	unsigned int count = 0;

	for (unsigned int n = 0; n < NODES; n++)
		if (mask >> n & 1)
			list[count++] = (uint16_t)n;
	return count;
}

static void follow(struct rule *rule, const unsigned int to[NODES])
{
	if (rule->asked.flags & GMIG_POLICY_STATIC_NODES)
		return;
	for (unsigned int i = 0; i < rule->count; i++)
		rule->node[i] = to[rule->node[i]];
}

static void run_migrate(const struct step *step)
{
	static const struct gmig_error none;
	struct gmig_job_spec spec = {.mode = (enum gmig_mode)(step->mode % 2)};
	unsigned int to[NODES] = {0, 1, 2, 3}, expected[PAGES];
	struct gmig_error err = {0};
	struct gmig_job *job;
	int ret;

	spec.from_count = list_of(step->nodes & 0xf, spec.from);
	spec.to_count = list_of(step->nodes >> 4, spec.to);
	if (!spec.from_count || !spec.to_count)
		return;
	for (unsigned int i = 0; i < spec.from_count; i++) {
		unsigned int from = spec.from[i];

		if (spec.from_count == spec.to_count || !(step->nodes >> 4 >> from & 1))
			to[from] = spec.to[i % spec.to_count];
	}
	ret = gmig_job_start(gmig, &spec, &job, &err);
	if (ret)
		fprintf(stderr, "migrate: %s\n", err.text);
	must(!ret, "a migration is refused", 0);
	finish(job, &none);
	for (unsigned int page = 0; page < PAGES; page++) {
		expected[page] = model.node[page] == NONE ? NONE : to[model.node[page]];
		follow(&model.rule[page], to);
	}
	model.local = to[model.local];
	compare(expected, false);
}

static void run_move(const struct step *step)
{
	static const struct gmig_error none;
	struct gmig_move_range range = {step->first * PAGE, (step->end - step->first) * PAGE,
					step->nodes % NODES};
	struct gmig_move move = {.ranges = &range, .count = 1};
	unsigned int expected[PAGES];
	struct gmig_error err = {0};
	struct gmig_job *job;

	must(!gmig_move_start(gmig, &move, NULL, &job, &err), "a move is refused", step->first);
	finish(job, &none);
	memcpy(expected, model.node, sizeof(expected));
	for (unsigned int page = step->first; page < step->end; page++)
		if (expected[page] != NONE)
			expected[page] = step->nodes % NODES;
	compare(expected, false);
}

static void run_home(const struct step *step)
{
	int wanted = -ENOENT, ret;

	for (unsigned int page = step->first; page < step->end && wanted != -EOPNOTSUPP; page++) {
		enum gmig_policy_mode mode = model.rule[page].asked.mode;

		if (mode == GMIG_POLICY_BIND || mode == GMIG_POLICY_PREFERRED_MANY)
			wanted = 0;
		else if (mode != GMIG_POLICY_DEFAULT)
			wanted = -EOPNOTSUPP;
	}
	ret = gmig_set_home_node(gmig, step->first * PAGE, (step->end - step->first) * PAGE,
				 step->home & 3, NULL);
	must(ret == wanted, "a home node answers otherwise", step->first);
	for (unsigned int page = step->first; !ret && page < step->end; page++)
		if (model.rule[page].asked.mode != GMIG_POLICY_DEFAULT) {
			model.rule[page].asked.has_home_node = true;
			model.rule[page].asked.home_node = step->home & 3;
		}
}

static void run_check(const struct step *step)
{
	struct gmig_error err = {0};
	struct gmig_check check;

	(void)step;
	compare_maps();
	must(!gmig_check(gmig, &check, &err), "check", 0);
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		must(!check.breach[i], check.detail[i], i + 1);
	compare(model.node, false);
}

static void (*const verbs[])(const struct step *) = {run_bind,	run_touch,   run_bind,
						     run_touch, run_discard, run_migrate,
						     run_move,	run_home,    run_check};

/* Ends at blocks are as likely as any. */
static struct step step_of(const uint8_t *data)
{
	struct step step = {.verb = data[0],
			    .mode = data[1],
			    .nodes = data[2],
			    .flags = data[3],
			    .home = data[6],
			    .weight = data[7]};

	step.first = data[4] & 1 ? data[4] / 2 * 8 : data[4] / 2 % 2 * BLOCK;
	step.end =
	    step.first + (data[5] & 1 ? 1 + data[5] / 2 * 8u : (1 + data[5] / 2 % 2) * BLOCK);
	if (step.end > PAGES)
		step.end = PAGES;
	return step;
}

/* ---- Runs --------------------------------------------------------------------------------------- */

static void on_fatal(void *opaque, const struct gmig_error *err)
{
	(void)opaque;
	fprintf(stderr, "%s\n", err->text);
	fatal = true;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct gmig_features features;

	(void)argc;
	(void)argv;
	if (gmig_probe_features(&features)) {
		fprintf(stderr, "skipped: %s\n", features.why);
		exit(77);
	}
	return 0;
}

static void begin(bool small)
{
	struct gmig_options options = {
	    .small_pages = small, .unsafe_kernel = true, .fatal = on_fatal};
	struct gmig_region_spec region = {.bytes = PAGES * PAGE};
	void *memory;

	must(!gmig_topology_create(NODES, &topology, NULL), "no topology", 0);
	options.topology = topology;
	must(!gmig_create(&options, &gmig, NULL), "no engine", 0);
	must(!gmig_region_add(gmig, &region, &memory, NULL), "no region", 0);
	ram = memory;
	memset(&model, 0, sizeof(model));
	for (unsigned int page = 0; page < PAGES; page++)
		model.node[page] = NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 + STEP)
		return 0;
	begin(data[0] & 1);
	for (size_t at = 1, steps = 0; at + STEP <= size && steps < STEPS; at += STEP, steps++) {
		struct step step = step_of(data + at);

		verbs[step.verb % (sizeof(verbs) / sizeof(verbs[0]))](&step);
		must(!fatal, "a fatal error", 0);
	}
	run_check(NULL);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	return 0;
}
