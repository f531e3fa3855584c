/* query-cpus and pin-vcpu: where the threads of the machine run. */
#include "commands.h"

#include <errno.h>
#include <stdlib.h>

#define LIST_BYTES 256 /* a list of CPUs or nodes in an answer; a longer one ends in "..." */

/* ---- Telling --------------------------------------------------------------------------------- */

/* "node 1", "0-3", "any": what an operator asked for. */
static json_t *order_text(const struct placement_order *order)
{
	char text[LIST_BYTES];

	switch (order->wish) {
	case PLACEMENT_NODE:
		return json_sprintf("node %u", order->node);
	case PLACEMENT_CPUS:
		return json_string(vmm_cpus_print(&order->cpus, text, sizeof(text)));
	default:
		return json_string("any");
	}
}

/* Whose decision it is that the thread runs there. */
static const char *by(const struct placement_view *view, bool off)
{
	if (view->outside)
		return "outside";
	if (view->by == PLACEMENT_BY_OPERATOR)
		return "operator";
	return off || view->anywhere ? "scheduler" : "rule";
}

static json_t *thread_report(const struct placement_view *view, bool off)
{
	const struct placement_thread *thread = &view->thread;
	char cpus[LIST_BYTES], nodes[LIST_BYTES];
	json_t *object =
	    json_pack("{s:s, s:i, s:s, s:s, s:s}", "kind", placement_kind_name(thread->kind), "tid",
		      thread->tid, "cpus", vmm_cpus_print(&view->cpus, cpus, sizeof(cpus)), "nodes",
		      gmig_node_set_print(&view->nodes, nodes, sizeof(nodes)), "by", by(view, off));

	if (thread->kind == PLACEMENT_VCPU)
		json_object_set_new(object, "vcpu", json_integer(thread->id));
	if (thread->vnode != PLACEMENT_NO_VNODE)
		json_object_set_new(object, "vnode", json_integer(thread->vnode));
	if (view->by == PLACEMENT_BY_OPERATOR)
		json_object_set_new(object, "order", order_text(&thread->order));
	return object;
}

static json_t *homes_report(struct vmm *vmm)
{
	json_t *list = json_array();

	for (unsigned int vnode = 0; vnode < vmm->options.node_count; vnode++)
		json_array_append_new(list, json_integer(placement_home(&vmm->placement, vnode)));
	return list;
}

static int by_vcpu(const void *a, const void *b)
{
	const struct placement_view *one = a, *other = b;

	if (one->thread.kind != other->thread.kind)
		return one->thread.kind < other->thread.kind ? -1 : 1;
	return (one->thread.id > other->thread.id) - (one->thread.id < other->thread.id);
}

json_t *report_cpus(struct vmm *vmm)
{
	struct placement_view *views = calloc(PLACEMENT_MAX_THREADS, sizeof(*views));
	json_t *vcpus = json_array(), *threads = json_array();
	bool off = vmm->placement.off;
	unsigned int count = 0;

	if (views)
		count = placement_list(&vmm->placement, views, PLACEMENT_MAX_THREADS);
	/* vCPUs begin in any order. */
	if (count)
		qsort(views, count, sizeof(*views), by_vcpu);
	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(views[i].thread.kind == PLACEMENT_VCPU ? vcpus : threads,
				      thread_report(&views[i], off));
	free(views);
	return json_pack("{s:b, s:o, s:o, s:o}", "placed", !off, "homes", homes_report(vmm),
			 "vcpus", vcpus, "threads", threads);
}

int commands_query_cpus(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err)
{
	(void)arguments;
	*result = report_cpus(opaque);
	return *result ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}

/* ---- Ordering -------------------------------------------------------------------------------- */

const struct control_argument commands_pin_arguments[] = {
    {"vcpu", CONTROL_INTEGER, false}, {"node", CONTROL_INTEGER, false},
    {"cpus", CONTROL_STRING, false},  {"any", CONTROL_BOOL, false},
    {"auto", CONTROL_BOOL, false},    {0},
};

static int read_order(const json_t *arguments, struct placement_order *order,
		      struct gmig_error *err)
{
	const char *cpus = json_string_value(json_object_get(arguments, "cpus"));
	bool node_given = json_object_get(arguments, "node"),
	     any = json_is_true(json_object_get(arguments, "any")),
	     automatic = json_is_true(json_object_get(arguments, "auto"));
	uint64_t node = 0;
	int ret = guest_read_integer(arguments, "node", GMIG_MAX_NODES - 1, &node, err);

	if (!ret && node_given + (cpus != NULL) + any + automatic != 1)
		return gmig_fail(err, -EINVAL, "one of node, cpus, any and auto is needed");
	if (!ret && cpus)
		ret = vmm_cpus_parse(cpus, &order->cpus, err);
	order->node = (unsigned int)node;
	order->wish = node_given ? PLACEMENT_NODE
		      : cpus	 ? PLACEMENT_CPUS
		      : any	 ? PLACEMENT_ANY
				 : PLACEMENT_RULE;
	return ret;
}

/* CPUs may have come or gone, and with them nodes. */
static void look_again(struct vmm *vmm)
{
	struct gmig_topology *topology;

	gmig_refresh_topology(vmm->gmig, NULL); /* else the last look has to do */
	topology = gmig_get_topology(vmm->gmig);
	placement_look(&vmm->placement, topology);
	gmig_topology_put(topology);
}

int commands_pin_vcpu(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	struct placement_order order = {0};
	struct vmm_cpus refused = {{0}};
	struct vmm *vmm = opaque;
	char list[LIST_BYTES];
	uint64_t first = 0, last;
	int ret = guest_read_integer(arguments, "vcpu", VMM_MAX_VCPUS - 1, &first, err);

	last = json_object_get(arguments, "vcpu") ? first : vmm->options.cpus - 1;
	if (!ret)
		ret = read_order(arguments, &order, err);
	if (ret)
		return ret;
	look_again(vmm);
	for (uint64_t vcpu = first; vcpu <= last && !ret; vcpu++)
		ret = placement_pin(&vmm->placement, (unsigned int)vcpu, &order, &refused, err);
	if (ret)
		return ret;
	*result = report_cpus(vmm);
	if (*result && vmm_cpus_count(&refused))
		json_object_set_new(*result, "refused",
				    json_string(vmm_cpus_print(&refused, list, sizeof(list))));
	return *result ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}
