#include "pin_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Sets of CPUs ---------------------------------------------------------------------------- */

static bool has(const struct pin_cpus *cpus, unsigned int cpu)
{
	return cpus->word[cpu / 64] >> (cpu % 64) & 1;
}

static void add(struct pin_cpus *cpus, unsigned int cpu)
{
	cpus->word[cpu / 64] |= 1ull << (cpu % 64);
}

static void add_all(struct pin_cpus *cpus, const struct pin_cpus *more)
{
	for (unsigned int i = 0; i < PIN_CPU_WORDS; i++)
		cpus->word[i] |= more->word[i];
}

static void keep_only(struct pin_cpus *cpus, const struct pin_cpus *only)
{
	for (unsigned int i = 0; i < PIN_CPU_WORDS; i++)
		cpus->word[i] &= only->word[i];
}

static void take_out(struct pin_cpus *cpus, const struct pin_cpus *less)
{
	for (unsigned int i = 0; i < PIN_CPU_WORDS; i++)
		cpus->word[i] &= ~less->word[i];
}

bool pin_cpus_same(const struct pin_cpus *a, const struct pin_cpus *b)
{
	return !memcmp(a, b, sizeof(*a));
}

unsigned int pin_cpus_count(const struct pin_cpus *cpus)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < PIN_CPU_WORDS; i++)
		count += (unsigned int)__builtin_popcountll(cpus->word[i]);
	return count;
}

/* How many of the set are below cpu. */
static unsigned int rank_of(const struct pin_cpus *cpus, unsigned int cpu)
{
	unsigned int rank = 0;

	for (unsigned int i = 0; i < cpu / 64; i++)
		rank += (unsigned int)__builtin_popcountll(cpus->word[i]);
	return rank + (unsigned int)__builtin_popcountll(cpus->word[cpu / 64] &
							 ((1ull << (cpu % 64)) - 1));
}

/* The rank-th of the set; PIN_CPUS: it has fewer. */
static unsigned int at_rank(const struct pin_cpus *cpus, unsigned int rank)
{
	for (unsigned int i = 0; i < PIN_CPU_WORDS; i++) {
		unsigned int here = (unsigned int)__builtin_popcountll(cpus->word[i]);
		uint64_t word = cpus->word[i];

		if (rank >= here) {
			rank -= here;
			continue;
		}
		for (; rank; rank--)
			word &= word - 1;
		return 64 * i + (unsigned int)__builtin_ctzll(word);
	}
	return PIN_CPUS;
}

char *pin_cpus_print(const struct pin_cpus *cpus, char *text)
{
	size_t used = 0;

	*text = '\0';
	for (unsigned int cpu = 0; cpu < PIN_CPUS; cpu++) {
		unsigned int last = cpu;

		if (!has(cpus, cpu))
			continue;
		while (last + 1 < PIN_CPUS && has(cpus, last + 1))
			last++;
		used += (size_t)snprintf(text + used, PIN_CPU_TEXT - used, "%s%u", used ? "," : "",
					 cpu);
		if (last > cpu)
			used += (size_t)snprintf(text + used, PIN_CPU_TEXT - used, "-%u", last);
		cpu = last;
	}
	return text;
}

/* ---- Sets of pins ---------------------------------------------------------------------------- */

static const char *const kind_names[] = {
    [PIN_VCPU] = "vcpu", [PIN_EMULATOR] = "emulator", [PIN_IOTHREAD] = "iothread"};

const char *pin_kind_name(enum pin_kind kind)
{
	return kind < PIN_KINDS ? kind_names[kind] : NULL;
}

struct pin_set *pin_set_create(size_t count)
{
	struct pin_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	set->pin = calloc(count + 1, sizeof(*set->pin));
	set->count = count;
	if (set->pin)
		return set;
	free(set);
	return NULL;
}

void pin_set_free(struct pin_set *set)
{
	if (!set)
		return;
	free(set->pin);
	free(set);
}

struct pin *pin_set_find(const struct pin_set *set, enum pin_kind kind, unsigned int id)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->pin[i].kind == kind && set->pin[i].id == id)
			return &set->pin[i];
	return NULL;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static struct pin_cpus cpus_of(const struct gmig_topology *topology, unsigned int node)
{
	struct pin_cpus cpus = {{0}};

	gmig_topology_cpus(topology, node, cpus.word, PIN_CPU_WORDS);
	return cpus;
}

int pin_check_node(const struct gmig_topology *topology, unsigned int node, struct gmig_error *err)
{
	const struct pin_cpus cpus = cpus_of(topology, node);

	if (pin_cpus_count(&cpus))
		return 0;
	return gmig_fail(err, -ENODEV,
			 "vcpus: node %u has no CPUs that are online; move the memory alone, or to "
			 "a node with CPUs",
			 node);
}

/* ---- One node's threads come to another ------------------------------------------------------ */

/* What happens to CPUs of the nodes that are left for `to`. */
struct target {
	unsigned int node;
	struct pin_cpus to;	/* its CPUs */
	struct pin_cpus source; /* of all nodes that are left for it */
	struct pin_cpus used;	/* of `source`, by threads that may use some of a node only */
	struct pin_cpus free;	/* of `to`, to which no thread that stays is pinned */
	unsigned int sources;
	enum { SAME_RANK, COUNTED_OUT, ALL } how;
};

/* Does it use some of the node's CPUs, not all? A pin to one CPU is one, also on a node that has no other. */
static bool is_partial(const struct pin_cpus *cpus, const struct pin_cpus *node)
{
	struct pin_cpus here = *cpus;
	unsigned int count;

	keep_only(&here, node);
	count = pin_cpus_count(&here);
	return count && (count < pin_cpus_count(node) || pin_cpus_count(cpus) == 1);
}

static void gather_target(struct target *target, const struct pin_set *set,
			  const struct gmig_topology *topology, const struct pin_pair *pairs,
			  size_t count)
{
	bool is_left = false;

	target->to = target->free = cpus_of(topology, target->node);
	for (size_t i = 0; i < count; i++) {
		const struct pin_cpus source = cpus_of(topology, pairs[i].from);

		is_left |= pairs[i].from == target->node;
		if (pairs[i].to != target->node)
			continue;
		target->sources++;
		add_all(&target->source, &source);
		for (size_t j = 0; j < set->count; j++)
			if (is_partial(&set->pin[j].before, &source)) {
				struct pin_cpus used = set->pin[j].before;

				keep_only(&used, &source);
				add_all(&target->used, &used);
			}
	}
	for (size_t j = 0; j < set->count && !is_left; j++)
		if (is_partial(&set->pin[j].before, &target->to))
			take_out(&target->free, &set->pin[j].before);
}

static void choose_how(struct target *target)
{
	bool same = target->sources == 1;

	for (unsigned int cpu = 0; cpu < PIN_CPUS && same; cpu++) {
		unsigned int wanted;

		if (!has(&target->used, cpu))
			continue;
		wanted = at_rank(&target->to, rank_of(&target->source, cpu));
		same = wanted < PIN_CPUS && has(&target->free, wanted);
	}
	if (same)
		target->how = SAME_RANK;
	else
		target->how = pin_cpus_count(&target->used) <= pin_cpus_count(&target->free)
				  ? COUNTED_OUT
				  : ALL;
}

/* The CPUs of one source that the thread has become these. */
static void add_mapped(struct pin *pin, const struct target *target, const struct pin_cpus *source)
{
	struct pin_cpus here = pin->before;

	if (target->how == ALL || !is_partial(&pin->before, source)) {
		add_all(&pin->after, &target->to);
		return;
	}
	keep_only(&here, source);
	for (unsigned int cpu = 0; cpu < PIN_CPUS; cpu++) {
		if (!has(&here, cpu))
			continue;
		if (target->how == SAME_RANK)
			add(&pin->after, at_rank(&target->to, rank_of(&target->source, cpu)));
		else
			add(&pin->after, at_rank(&target->free, rank_of(&target->used, cpu)));
	}
}

static struct pin_cpus all_cpus(const struct gmig_topology *topology)
{
	struct pin_cpus all = {{0}};

	gmig_node_set_each (node, gmig_topology_online(topology)) {
		const struct pin_cpus cpus = cpus_of(topology, node);

		add_all(&all, &cpus);
	}
	return all;
}

/* Those that use a node that is left: without its CPUs for now, and without those that are offline. */
static void leave_sources(struct pin *pin, const struct pin_cpus *left,
			  const struct pin_cpus *online)
{
	struct pin_cpus here = pin->before;

	pin->after = pin->before;
	keep_only(&here, left);
	if (!pin_cpus_count(&here))
		return;
	keep_only(&pin->after, online);
	take_out(&pin->after, left);
}

static void map_pair(struct pin_set *set, const struct gmig_topology *topology,
		     const struct target *target, const struct pin_pair *pair)
{
	const struct pin_cpus source = cpus_of(topology, pair->from);

	for (size_t i = 0; i < set->count; i++) {
		struct pin_cpus here = set->pin[i].before;

		keep_only(&here, &source);
		if (pin_cpus_count(&here))
			add_mapped(&set->pin[i], target, &source);
	}
}

int pin_plan(struct pin_set *set, const struct gmig_topology *topology,
	     const struct pin_pair *pairs, size_t pair_count, struct gmig_error *err)
{
	struct target *target = malloc(sizeof(*target));
	struct pin_cpus left = {{0}}, online = all_cpus(topology);
	int changed = 0, ret = target ? 0 : gmig_fail(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < pair_count && !ret; i++) {
		const struct pin_cpus source = cpus_of(topology, pairs[i].from);

		ret = pin_check_node(topology, pairs[i].to, err);
		add_all(&left, &source);
	}
	for (size_t i = 0; i < set->count && !ret; i++)
		leave_sources(&set->pin[i], &left, &online);
	for (size_t i = 0; i < pair_count && !ret; i++) {
		*target = (struct target){.node = pairs[i].to};
		gather_target(target, set, topology, pairs, pair_count);
		choose_how(target);
		map_pair(set, topology, target, &pairs[i]);
	}
	free(target);
	for (size_t i = 0; i < set->count && !ret; i++)
		changed += !pin_cpus_same(&set->pin[i].before, &set->pin[i].after);
	return ret ? ret : changed;
}
