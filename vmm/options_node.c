/* --node and --dist, and how vnodes, --mem and --cpus fit together. */
#include "cpu_topology.h"
#include "options_parse.h"
#include "options_text.h"
#include "probe.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_MEM_BYTES (256ull << 20)

struct node_parse {
	uint64_t id, host;
	struct vmm_node_option node;
};

static int node_id(void *into, const char *value, struct gmig_error *err)
{
	struct node_parse *it = into;
	int ret = options_number("--node id", value, (const uint64_t[]){0, GMIG_MAX_VNODES - 1},
				 &it->id, err);

	if (!ret && it->id >= VMM_MAX_VNODES)
		return gmig_fail(err, -EINVAL,
				 "--node: vnode %s, but a guest of gmig-vmm has at most %d vnodes",
				 value, VMM_MAX_VNODES);
	return ret;
}

static int node_mem(void *into, const char *value, struct gmig_error *err)
{
	struct node_parse *it = into;

	/* Only CPUs. */
	if (!strcmp(value, "0"))
		return 0;
	return options_memory("--node mem", value, &it->node.mem_bytes, err);
}

static int node_cpus(void *into, const char *value, struct gmig_error *err)
{
	struct node_parse *it = into;

	return options_cpu_range("--node cpus", value, &it->node.cpus, err);
}

static int node_host(void *into, const char *value, struct gmig_error *err)
{
	struct node_parse *it = into;

	it->node.host_given = true;
	return options_number("--node host", value, (const uint64_t[]){0, GMIG_MAX_NODES - 1},
			      &it->host, err);
}

int options_node(struct parse *parse, char *text, struct gmig_error *err)
{
	static const struct options_key keys[] = {{"id", true, false, node_id},
						  {"mem", true, false, node_mem},
						  {"cpus", false, true, node_cpus},
						  {"host", false, false, node_host},
						  {0}};
	struct vmm_options *options = parse->options;
	struct node_parse it = {0};
	int ret = options_list("--node", text, keys, &it, err);

	if (ret)
		return ret;
	if (parse->nodes_given & 1u << it.id)
		return gmig_fail(err, -EINVAL, "--node: vnode %u is given twice",
				 (unsigned int)it.id);
	it.node.host = (unsigned int)it.host;
	parse->nodes_given |= 1u << it.id;
	options->node[it.id] = it.node;
	options->node_count++;
	return 0;
}

int options_dist(struct parse *parse, char *text, struct gmig_error *err)
{
	static const struct {
		const char *what;
		uint64_t range[2];
	} parts[3] = {{"--dist vnode", {0, VMM_MAX_VNODES - 1}},
		      {"--dist vnode", {0, VMM_MAX_VNODES - 1}},
		      {"--dist distance", {10, 255}}};
	uint64_t value[3];
	char *item;
	int count = 0, ret;

	while ((item = strsep(&text, ","))) {
		if (count == 3)
			return gmig_fail(err, -EINVAL,
					 "--dist: more than the three numbers FROM,TO,DISTANCE");
		ret =
		    options_number(parts[count].what, item, parts[count].range, &value[count], err);
		if (ret)
			return ret;
		count++;
	}
	if (count < 3)
		return gmig_fail(err, -EINVAL,
				 "--dist: fewer than the three numbers FROM,TO,DISTANCE");
	if (value[0] == value[1] && value[2] != 10)
		return gmig_fail(err, -EINVAL, "--dist: vnode %u has distance 10 to itself, not %u",
				 (unsigned int)value[0], (unsigned int)value[2]);
	if (value[0] != value[1] && value[2] == 10)
		return gmig_fail(err, -EINVAL, "--dist: 10 is the distance of a vnode to itself");
	if (parse->distance[value[0]][value[1]])
		return gmig_fail(err, -EINVAL, "--dist: %u,%u is given twice",
				 (unsigned int)value[0], (unsigned int)value[1]);
	parse->distance[value[0]][value[1]] = (uint8_t)value[2];
	return 0;
}

/* ---- Putting it together --------------------------------------------------------------------- */

static int check_sums(const struct parse *parse, struct gmig_error *err)
{
	const struct vmm_options *options = parse->options;

	if (parse->mem_bytes && parse->mem_bytes != options->mem_bytes)
		return gmig_fail(err, -EINVAL,
				 "--mem: %llu MiB, but the vnodes have %llu MiB together",
				 (unsigned long long)parse->mem_bytes >> 20,
				 (unsigned long long)options->mem_bytes >> 20);
	if (parse->cpus && parse->cpus != options->cpus)
		return gmig_fail(err, -EINVAL, "--cpus: %u, but the vnodes have %u CPUs together",
				 (unsigned int)parse->cpus, options->cpus);
	return 0;
}

static int join_nodes(const struct parse *parse, struct gmig_error *err)
{
	struct vmm_options *options = parse->options;
	uint64_t cpus = 0;

	for (unsigned int i = 0; i < options->node_count; i++) {
		if (!(parse->nodes_given & 1u << i))
			return gmig_fail(
			    err, -EINVAL,
			    "--node: %u vnodes, but none has id %u: ids run from 0 without a gap",
			    options->node_count, i);
		if (cpus & options->node[i].cpus)
			return gmig_fail(err, -EINVAL, "--node: CPU %d is in two vnodes",
					 __builtin_ctzll(cpus & options->node[i].cpus));
		if (!options->node[i].cpus && !options->node[i].mem_bytes)
			return gmig_fail(err, -EINVAL,
					 "--node: vnode %u has neither memory nor CPUs: a guest "
					 "would not see it",
					 i);
		cpus |= options->node[i].cpus;
		options->mem_bytes += options->node[i].mem_bytes;
	}
	if (!options->mem_bytes)
		return gmig_fail(err, -EINVAL, "--node: no vnode has memory");
	if (!cpus)
		return gmig_fail(err, -EINVAL, "--node: no vnode has a CPU");
	options->cpus = (unsigned int)__builtin_popcountll(cpus);
	if (cpus & (cpus + 1))
		return gmig_fail(err, -EINVAL,
				 "--node: CPU %d is in no vnode: CPUs run from 0 without a gap",
				 __builtin_ctzll(~cpus));
	return check_sums(parse, err);
}

static int check_apic_ids(const struct vmm_options *options, struct gmig_error *err)
{
	struct cpu_place place[VMM_MAX_VCPUS];
	uint64_t cpus_of_node[VMM_MAX_VNODES];

	for (unsigned int i = 0; i < options->node_count; i++)
		cpus_of_node[i] = options->node[i].cpus;
	if (!cpu_topology_make(options->cpus, cpus_of_node, options->node_count, place))
		return 0;
	return gmig_fail(err, -EINVAL,
			 "--node: %u vnodes, one of them with so many CPUs: the APIC ids would be "
			 "over %u; spread the CPUs more evenly",
			 options->node_count, CPU_MAX_APIC_ID);
}

static int join_distances(const struct parse *parse, struct gmig_error *err)
{
	struct vmm_options *options = parse->options;

	for (unsigned int a = 0; a < VMM_MAX_VNODES; a++)
		for (unsigned int b = 0; b < VMM_MAX_VNODES; b++) {
			uint8_t told =
			    parse->distance[a][b] ? parse->distance[a][b] : parse->distance[b][a];

			if (told && (a >= options->node_count || b >= options->node_count))
				return gmig_fail(err, -EINVAL, "--dist: there is no vnode %u",
						 a > b ? a : b);
			options->distance[a][b] = told ? told : a == b ? 10 : 20;
		}
	return 0;
}

int options_join(const struct parse *parse, struct gmig_error *err)
{
	struct vmm_options *options = parse->options;
	int ret;

	if (!*options->name)
		return gmig_fail(err, -EINVAL, "--name is missing");
	if (parse->nodes_given) {
		ret = join_nodes(parse, err);
		if (ret)
			return ret;
	} else {
		options->mem_bytes = parse->mem_bytes ? parse->mem_bytes : DEFAULT_MEM_BYTES;
		options->cpus = parse->cpus ? (unsigned int)parse->cpus : 1;
		options->node_count = 1;
		options->node[0].mem_bytes = options->mem_bytes;
		options->node[0].cpus = UINT64_MAX >> (64 - options->cpus);
	}
	ret = check_apic_ids(options, err);
	if (!ret)
		ret = join_distances(parse, err);
	if (!ret && !options->kernel)
		ret = probe_check(options, err);
	return ret;
}
