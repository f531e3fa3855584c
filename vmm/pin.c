#include "pin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORDS (GMIG_MAX_CPUS / 64)

bool vmm_cpus_has(const struct vmm_cpus *cpus, unsigned int cpu)
{
	return cpu < GMIG_MAX_CPUS && (cpus->word[cpu / 64] >> (cpu % 64) & 1);
}

unsigned int vmm_cpus_count(const struct vmm_cpus *cpus)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < WORDS; i++)
		count += (unsigned int)__builtin_popcountll(cpus->word[i]);
	return count;
}

bool vmm_cpus_equal(const struct vmm_cpus *a, const struct vmm_cpus *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool vmm_cpus_and(struct vmm_cpus *into, const struct vmm_cpus *other)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < WORDS; i++)
		any |= into->word[i] &= other->word[i];
	return any;
}

void vmm_cpus_or(struct vmm_cpus *into, const struct vmm_cpus *other)
{
	for (unsigned int i = 0; i < WORDS; i++)
		into->word[i] |= other->word[i];
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* Decimal digits at *text, which moves behind them. */
static int parse_number(const char **text, unsigned int *cpu)
{
	unsigned int value = 0;

	if (**text < '0' || **text > '9')
		return -EINVAL;
	for (; **text >= '0' && **text <= '9'; ++*text) {
		value = 10 * value + (unsigned int)(**text - '0');
		if (value >= GMIG_MAX_CPUS)
			return -ERANGE;
	}
	*cpu = value;
	return 0;
}

/* "3" or "3-5" at *text, which moves behind it. */
static int parse_range(const char **text, struct vmm_cpus *cpus)
{
	unsigned int first = 0, last;
	int ret = parse_number(text, &first);

	last = first;
	if (!ret && **text == '-') {
		++*text;
		ret = parse_number(text, &last);
	}
	if (ret)
		return ret;
	if (last < first)
		return -EINVAL;
	for (unsigned int cpu = first; cpu <= last; cpu++)
		cpus->word[cpu / 64] |= 1ull << (cpu % 64);
	return 0;
}

int vmm_cpus_parse(const char *text, struct vmm_cpus *cpus, struct gmig_error *err)
{
	const char *at = text;
	int ret;

	memset(cpus, 0, sizeof(*cpus));
	for (;;) {
		ret = parse_range(&at, cpus);
		if (!ret && !*at)
			return 0;
		if (ret || *at++ != ',')
			break;
	}
	if (ret == -ERANGE)
		return gmig_fail(err, -ERANGE, "CPUs are numbered 0 to %u: '%.64s'",
				 GMIG_MAX_CPUS - 1, text);
	return gmig_fail(err, -EINVAL, "CPUs are a list, as in 0,2-3: '%.64s'", text);
}

const char *vmm_cpus_print(const struct vmm_cpus *cpus, char *text, size_t bytes)
{
	size_t used = 0;

	*text = '\0';
	for (unsigned int cpu = 0; cpu < GMIG_MAX_CPUS; cpu++) {
		unsigned int last = cpu;
		char item[16];
		int length;

		if (!vmm_cpus_has(cpus, cpu))
			continue;
		while (vmm_cpus_has(cpus, last + 1))
			last++;
		length = last > cpu ? snprintf(item, sizeof(item), "%u-%u", cpu, last)
				    : snprintf(item, sizeof(item), "%u", cpu);
		/* Room for a comma, this, and ",..." after it. */
		if (used + (size_t)length + 6 > bytes) {
			snprintf(text + used, bytes - used, "%s", used ? ",..." : "...");
			break;
		}
		used += (size_t)snprintf(text + used, bytes - used, "%s%s", used ? "," : "", item);
		cpu = last;
	}
	return text;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

void vmm_cpus_of_nodes(const struct gmig_topology *topology, const struct gmig_node_set *nodes,
		       struct vmm_cpus *cpus)
{
	struct vmm_cpus one;

	memset(cpus, 0, sizeof(*cpus));
	gmig_node_set_each (node, nodes) {
		gmig_topology_cpus(topology, node, one.word, WORDS);
		vmm_cpus_or(cpus, &one);
	}
}

struct gmig_node_set vmm_cpus_nodes(const struct gmig_topology *topology,
				    const struct vmm_cpus *cpus)
{
	const struct gmig_node_set *online = gmig_topology_online(topology);
	struct gmig_node_set nodes = {{0}};
	struct vmm_cpus one;

	gmig_node_set_each (node, online) {
		gmig_topology_cpus(topology, node, one.word, WORDS);
		if (vmm_cpus_and(&one, cpus))
			gmig_node_set_add(&nodes, node);
	}
	return nodes;
}

bool vmm_pin_choose(const struct gmig_topology *topology, unsigned int node,
		    const struct vmm_cpus *mine, struct vmm_cpus *wanted)
{
	struct gmig_node_set left = *gmig_topology_online(topology);

	while (!gmig_node_set_empty(&left)) {
		unsigned int nearest = gmig_topology_nearest(topology, node, &left);

		gmig_topology_cpus(topology, nearest, wanted->word, WORDS);
		if (vmm_cpus_and(wanted, mine))
			return true;
		gmig_node_set_remove(&left, nearest);
	}
	return false;
}
