/* What migrate-pages was asked for, as libgmig takes it. */
#include "../migrate/core/nodeset.h"
#include "guest.h"

#include <errno.h>
#include <string.h>

/* Memory may lie on a node that is not allowed any more; the cpuset of another program is looked at when its job starts. */
static int read_choice(const struct guest *guest, const char *name, const char *text,
		       uint16_t *nodes, struct gmig_error *err)
{
	struct gmig_topology *topology = NULL;
	struct gmig_error why = {0};
	struct nodeset_choice choice;
	int ret;

	if (gmig_topology_refresh(guest->topology, &topology, NULL))
		topology = gmig_topology_get(guest->topology);
	choice.all = *gmig_topology_nodes(topology);
	choice.allowed = choice.all;
	if (guest->gmig)
		gmig_node_set_and(&choice.allowed, gmig_topology_allowed(topology));
	if (strcmp(name, "from") != 0)
		choice.all = choice.allowed;
	gmig_topology_put(topology);
	ret = nodeset_choose(text, &choice, nodes, GMIG_MAX_NODES, &why);
	return ret < 0 ? gmig_fail(err, ret, "%s: %s", name, why.text) : ret;
}

int guest_read_nodes(const struct guest *guest, const json_t *arguments, const char *name,
		     uint16_t *nodes, unsigned int *count, struct gmig_error *err)
{
	const json_t *list = json_object_get(arguments, name), *item = json_array_get(list, 0);
	size_t i;

	/* A plain list is of numbers: "0" would be a second way to say 0. */
	if (json_array_size(list) == 1 && json_is_string(item) &&
	    nodeset_is_choice(json_string_value(item))) {
		int ret = read_choice(guest, name, json_string_value(item), nodes, err);

		*count = ret < 0 ? 0 : (unsigned int)ret;
		return ret < 0 ? ret : 0;
	}
	if (json_array_size(list) > GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "%s: more than %u nodes", name, GMIG_MAX_NODES);
	json_array_foreach (list, i, item) {
		json_int_t node = json_integer_value(item);

		if (!json_is_integer(item))
			return gmig_fail(err, -EINVAL, "%s: item %zu is not a number", name, i);
		if (node < 0 || node >= (json_int_t)GMIG_MAX_NODES)
			return gmig_fail(err, -EINVAL, "%s: node %lld is not within 0 to %u", name,
					 (long long)node, GMIG_MAX_NODES - 1);
		nodes[i] = (uint16_t)node;
	}
	*count = (unsigned int)json_array_size(list);
	return 0;
}

/* The index of one of libgmig's words; the first one when the argument is missing. */
static int read_word(const json_t *arguments, const char *name, const char *const *names,
		     unsigned int *index, struct gmig_error *err)
{
	const char *word = json_string_value(json_object_get(arguments, name));
	int found = word ? gmig_name_index(name, names, word, err) : 0;

	if (found < 0)
		return found;
	*index = (unsigned int)found;
	return 0;
}

int guest_check_name(const json_t *arguments, const char *name, struct gmig_error *err)
{
	const char *asked = json_string_value(json_object_get(arguments, "guest"));

	if (!asked || !strcmp(asked, name))
		return 0;
	return gmig_fail(err, -ESRCH, "there is no guest '%.64s' here, only '%.64s'", asked, name);
}

int guest_read_integer(const json_t *arguments, const char *name, uint64_t max, uint64_t *value,
		       struct gmig_error *err)
{
	const json_t *item = json_object_get(arguments, name);
	json_int_t number = json_integer_value(item);

	if (item && (number < 0 || (uint64_t)number > max))
		return gmig_fail(err, -EINVAL, "%s: %lld is not within 0 to %llu", name,
				 (long long)number, (unsigned long long)max);
	*value = (uint64_t)number;
	return 0;
}

int guest_read_step(const json_t *arguments, uint64_t *step, struct gmig_error *err)
{
	int ret = guest_read_integer(arguments, "step", INT64_MAX, step, err);

	if (!ret && *step % GMIG_BLOCK_BYTES)
		ret = gmig_fail(err, -EINVAL, "step: %llu is no multiple of 2 MiB",
				(unsigned long long)*step);
	return ret;
}

static int read_vnodes(const struct guest *guest, const json_t *arguments, uint64_t *vnodes,
		       struct gmig_error *err)
{
	uint64_t vnode = 0;
	int ret = guest_read_integer(arguments, "vnode", GMIG_MAX_VNODES - 1, &vnode, err);

	if (ret || !json_object_get(arguments, "vnode"))
		return ret;
	if (vnode >= guest->vnode_count)
		return gmig_fail(err, -EINVAL, "vnode: there is no vnode %u", (unsigned int)vnode);
	*vnodes = 1ull << vnode;
	return 0;
}

const char *const *guest_vcpus_names(void)
{
	static const char *const names[] = {"auto", "all", "keep", NULL};

	return names;
}

static int read_words(const json_t *arguments, struct gmig_job_spec *spec, struct gmig_error *err)
{
	unsigned int mode = 0, frames = 0, huge = 0, swapped = 0, mover = 0, order = 0, lazy = 0,
		     lazy_to = 0;
	int ret = read_word(arguments, "mode", gmig_mode_names(), &mode, err);

	if (!ret)
		ret = read_word(arguments, "frames", gmig_frames_names(), &frames, err);
	if (!ret)
		ret = read_word(arguments, "huge", gmig_huge_names(), &huge, err);
	if (!ret)
		ret = read_word(arguments, "swapped", gmig_swapped_names(), &swapped, err);
	if (!ret)
		ret = read_word(arguments, "mover", gmig_mover_names(), &mover, err);
	if (!ret)
		ret = read_word(arguments, "order", gmig_order_names(), &order, err);
	if (!ret)
		ret = read_word(arguments, "lazy", gmig_lazy_names(), &lazy, err);
	if (!ret)
		ret = read_word(arguments, "lazy-to", gmig_lazy_to_names(), &lazy_to, err);
	if (!ret)
		ret = read_word(arguments, "vcpus", guest_vcpus_names(), &spec->user, err);
	spec->mode = (enum gmig_mode)mode;
	spec->frames = (enum gmig_frames)frames;
	spec->huge = (enum gmig_huge)huge;
	spec->swapped = (enum gmig_swapped)swapped;
	spec->order = (enum gmig_order)order;
	spec->lazy = (enum gmig_lazy)lazy;
	spec->lazy_to = (enum gmig_lazy_to)lazy_to;
	/* Memory comes to the vCPUs. */
	if (spec->lazy_to == GMIG_LAZY_TO_TOUCHER)
		spec->user = GUEST_VCPUS_KEEP;
	spec->mover = json_object_get(arguments, "mover") ? gmig_mover_names()[mover] : NULL;
	return ret;
}

static int read_limits(const json_t *arguments, struct gmig_job_spec *spec, struct gmig_error *err)
{
	uint64_t threads = 0, batch = 0, slowdown = 0;
	int ret =
	    guest_read_integer(arguments, "rate", INT64_MAX, &spec->rate_bytes_per_second, err);

	if (!ret)
		ret = guest_read_integer(arguments, "max-bytes", INT64_MAX, &spec->max_bytes, err);
	if (!ret)
		ret =
		    guest_read_integer(arguments, "max-stall", INT64_MAX, &spec->max_stall_ns, err);
	if (!ret)
		ret = guest_read_integer(arguments, "deadline", INT64_MAX, &spec->deadline_ns, err);
	if (!ret)
		ret = guest_read_integer(arguments, "max-slowdown", 1000000, &slowdown, err);
	if (!ret)
		ret =
		    guest_read_integer(arguments, "order-seed", INT64_MAX, &spec->order_seed, err);
	if (!ret)
		ret = guest_read_integer(arguments, "threads", GMIG_MAX_WORKERS, &threads, err);
	if (!ret)
		ret = guest_read_integer(arguments, "batch", GMIG_BLOCK_PAGES, &batch, err);
	spec->max_slowdown_ppm = (uint32_t)slowdown;
	spec->threads = (unsigned int)threads;
	spec->batch_pages = (unsigned int)batch;
	return ret;
}

/* Of a process the kernel moves what is mapped: there is nothing to choose. */
static int check_process_spec(const json_t *arguments, struct gmig_error *err)
{
	static const char *const of_engine[] = {"vnode",      "mode",	 "frames",  "batch",
						"hold-vcpus", "huge",	 "swapped", "lazy",
						"lazy-to",    "deadline"};

	for (size_t i = 0; i < sizeof(of_engine) / sizeof(of_engine[0]); i++)
		if (json_object_get(arguments, of_engine[i]))
			return gmig_fail(
			    err, -EINVAL,
			    "%s: is for guests of gmig-vmm; the kernel moves this one's "
			    "memory",
			    of_engine[i]);
	return 0;
}

/* As the kernel asks it of its caller, and who that is, is the peer: its server may have more rights. */
static int check_right(const struct gmig_job_spec *spec, struct gmig_error *err)
{
	if (!spec->move_all || control_peer_is_privileged())
		return 0;
	return gmig_fail(err, -EPERM, "move-all: the caller needs CAP_SYS_NICE");
}

int guest_read_how(const json_t *arguments, struct gmig_job_spec *spec, struct gmig_error *err)
{
	int ret = read_words(arguments, spec, err);

	spec->move_all = json_is_true(json_object_get(arguments, "move-all"));
	spec->hold_vcpus = json_is_true(json_object_get(arguments, "hold-vcpus"));
	spec->trace = json_is_true(json_object_get(arguments, "trace"));
	if (!ret)
		ret = check_right(spec, err);
	return ret ? ret : read_limits(arguments, spec, err);
}

int guest_read_spec(const struct guest *guest, const json_t *arguments, struct gmig_job_spec *spec,
		    struct gmig_error *err)
{
	int ret = guest_read_how(arguments, spec, err);

	if (!ret)
		ret =
		    guest_read_nodes(guest, arguments, "from", spec->from, &spec->from_count, err);
	if (!ret)
		ret = guest_read_nodes(guest, arguments, "to", spec->to, &spec->to_count, err);
	if (!ret)
		ret = read_vnodes(guest, arguments, &spec->vnodes, err);
	if (!ret && guest->process)
		ret = check_process_spec(arguments, err);
	return ret;
}

int guest_read_anew(const struct guest *guest, const json_t *arguments, struct gmig_job_spec *spec,
		    struct gmig_error *err)
{
	struct gmig_job_spec given = {0};
	int ret = check_right(spec, err);

	if (!ret)
		ret = guest_read_how(arguments, &given, err);
	if (!ret && guest->process)
		ret = check_process_spec(arguments, err);
	if (ret)
		return ret;
#define ANEW(name, member)                                                                         \
	if (json_object_get(arguments, name))                                                      \
	spec->member = given.member
	ANEW("mode", mode);
	ANEW("mover", mover);
	ANEW("rate", rate_bytes_per_second);
	ANEW("max-stall", max_stall_ns);
	ANEW("max-slowdown", max_slowdown_ppm);
	ANEW("order", order);
	ANEW("order", order_seed);
	ANEW("threads", threads);
	ANEW("batch", batch_pages);
	ANEW("frames", frames);
	ANEW("huge", huge);
	ANEW("swapped", swapped);
	ANEW("trace", trace);
	ANEW("lazy", lazy);
	ANEW("deadline", deadline_ns);
#undef ANEW
	/* What was said of mode lazy says nothing of another one. */
	if (json_object_get(arguments, "mode") && spec->mode != GMIG_MODE_LAZY) {
		spec->lazy = given.lazy;
		spec->deadline_ns = given.deadline_ns;
	}
	return 0;
}
