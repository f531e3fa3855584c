/* The guests that there are, and their order. What their answers mean is in top_guest.c. */
#include "top_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int top_model_init(struct top_model *model, const char *root)
{
	*model = (struct top_model){.root = root};
	return top_model_refresh(model);
}

void top_model_free(struct top_model *model)
{
	while (model->count)
		top_model_remove(model, model->guests[model->count - 1]);
	free(model->guests);
	free(model->nodes);
	top_host_free(&model->host);
	*model = (struct top_model){.root = ""};
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static void add_set(const struct top_guest *guest, struct gmig_node_set *set)
{
	const json_t *vnodes = json_object_get(guest->residency, "vnodes");
	const char *key;
	json_t *vnode, *bytes;
	size_t i;

	json_array_foreach (vnodes, i, vnode)
		json_object_foreach (json_object_get(vnode, "resident"), key, bytes)
			gmig_node_set_add(set, (unsigned int)strtoul(key, NULL, 10));
}

int top_model_refresh(struct top_model *model)
{
	struct gmig_node_set set = {{0}};
	unsigned int *nodes;
	int rc = top_host_read(model->root, &model->host);

	/* What is known of the nodes is late then, not wrong. */
	if (rc && !model->host.count)
		return rc;
	for (size_t i = 0; i < model->host.count; i++)
		gmig_node_set_add(&set, model->host.nodes[i].id);
	model->fake_nodes = 0;
	for (size_t i = 0; i < model->count; i++) {
		json_int_t fake =
		    json_integer_value(json_object_get(model->guests[i]->residency, "fake_nodes"));

		add_set(model->guests[i], &set);
		if (fake > (json_int_t)model->fake_nodes && fake <= GMIG_MAX_NODES)
			model->fake_nodes = (unsigned int)fake;
	}
	nodes = calloc(gmig_node_set_count(&set) + 1, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	free(model->nodes);
	model->nodes = nodes;
	model->node_count = 0;
	gmig_node_set_each (node, &set)
		model->nodes[model->node_count++] = node;
	return 0;
}

/* ---- Guests ---------------------------------------------------------------------------------- */

struct top_guest *top_model_add(struct top_model *model, const char *key, const char *name)
{
	struct top_guest **more =
	    reallocarray(model->guests, model->count + 1, sizeof(struct top_guest *));
	struct top_guest *guest = more ? calloc(1, sizeof(*guest)) : NULL;

	if (more)
		model->guests = more;
	if (!guest)
		return NULL;
	snprintf(guest->key, sizeof(guest->key), "%s", key);
	snprintf(guest->name, sizeof(guest->name), "%s", name);
	top_guest_renew(model, guest, 0);
	model->guests[model->count++] = guest;
	return guest;
}

static void drop_answers(struct top_guest *guest)
{
	json_decref(guest->residency);
	json_decref(guest->heat_parts);
	json_decref(guest->sampling);
	json_decref(guest->maps);
	guest->residency = guest->heat_parts = guest->sampling = guest->maps = NULL;
	guest->answered = false;
	guest->job = (struct top_job){.percent = TOP_UNKNOWN, .bytes_per_second = TOP_UNKNOWN};
	guest->vcpu_percent = guest->local_percent = TOP_UNKNOWN;
	guest->score_now = guest->score_possible = TOP_UNKNOWN;
	guest->stall_p99_ns = TOP_UNKNOWN;
	guest->home = (struct gmig_node_set){{0}};
	guest->on_count = 0;
	guest->bytes = guest->resident_bytes = guest->untouched_bytes = guest->swapped_bytes = 0;
	guest->huge_bytes = guest->small_bytes = guest->pool_page_bytes = guest->locked_bytes = 0;
	memset(guest->heat, '.', TOP_HEAT);
	guest->why[0] = '\0';
	guest->past_ns = guest->past_moved_ns = 0;
}

void top_guest_renew(struct top_model *model, struct top_guest *guest, pid_t pid)
{
	drop_answers(guest);
	guest->serial = ++model->serials;
	guest->pid = pid;
	top_process_start(model->root, pid, &guest->start_ticks);
	guest->state[0] = '\0';
	guest->past_job[0] = '\0';
}

void top_guest_silent(struct top_guest *guest, const char *state)
{
	drop_answers(guest);
	snprintf(guest->state, sizeof(guest->state), "%s", state);
	snprintf(guest->why, sizeof(guest->why), "%s", state);
}

void top_model_remove(struct top_model *model, struct top_guest *guest)
{
	for (size_t i = 0; i < model->count; i++) {
		if (model->guests[i] != guest)
			continue;
		memmove(model->guests + i, model->guests + i + 1,
			(--model->count - i) * sizeof(struct top_guest *));
		drop_answers(guest);
		free(guest->on);
		free(guest);
		return;
	}
}

struct top_guest *top_model_find(const struct top_model *model, uint64_t serial)
{
	for (size_t i = 0; i < model->count; i++)
		if (model->guests[i]->serial == serial)
			return model->guests[i];
	return NULL;
}

/* ---- Order ----------------------------------------------------------------------------------- */

static const char *const keys[] = {"name", "vcpu", "memory", "local", "move", "stall", NULL};

const char *const *top_keys(void)
{
	return keys;
}

/* The most first, but for locality: the guest that is worst off is wanted. Unknown: below all. */
static double weight(const struct top_guest *guest, enum top_key key)
{
	switch (key) {
	case TOP_BY_VCPU:
		return guest->vcpu_percent;
	case TOP_BY_MEMORY:
		return guest->answered ? (double)guest->bytes : TOP_UNKNOWN;
	case TOP_BY_LOCAL:
		return guest->local_percent < 0 ? TOP_UNKNOWN : 100 - guest->local_percent;
	case TOP_BY_RATE:
		return guest->job.bytes_per_second;
	case TOP_BY_STALL:
		return (double)guest->stall_p99_ns;
	default:
		return 0;
	}
}

static int compare(const void *a, const void *b, void *opaque)
{
	const struct top_guest *x = *(struct top_guest *const *)a,
			       *y = *(struct top_guest *const *)b;
	enum top_key key = *(enum top_key *)opaque;
	double wx = weight(x, key), wy = weight(y, key);
	int order = wx > wy ? -1 : wx < wy;

	if (!order)
		order = strcmp(x->name, y->name);
	return order ? order : strcmp(x->key, y->key);
}

void top_model_sort(struct top_model *model, enum top_key key)
{
	if (model->count)
		qsort_r(model->guests, model->count, sizeof(struct top_guest *), compare, &key);
}
