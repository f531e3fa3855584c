/* gmig top --json: the rows and the nodes as one object. */
#include "../control/text.h"
#include "cli.h"
#include "top_model.h"

/* null: nobody has told, or it is no number of bytes that there could be. */
static json_t *whole(uint64_t number)
{
	return number > INT64_MAX ? json_null() : json_integer((json_int_t)number);
}

static json_t *real(double number)
{
	return number < 0 ? json_null() : json_real(number);
}

static json_t *score_json(const struct top_guest *guest)
{
	return json_pack("{s:o, s:o}", "now", real(guest->score_now), "possible",
			 real(guest->score_possible));
}

static json_t *node_json(const struct top_node *node)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "id", whole(node->id), "total_bytes",
			 whole(node->total_bytes), "free_bytes", whole(node->free_bytes),
			 "huge_bytes", whole(node->huge_bytes), "pool_bytes",
			 whole(node->pool_bytes), "pool_free_bytes", whole(node->pool_free_bytes));
}

static json_t *home_json(const struct top_guest *guest)
{
	json_t *home = json_array();

	gmig_node_set_each (node, &guest->home)
		json_array_append_new(home, json_integer(node));
	return home;
}

static json_t *resident_json(const struct top_model *model, const struct top_guest *guest)
{
	json_t *resident = json_object();

	for (size_t i = 0; i < guest->on_count; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%u", model->nodes[i]);
		json_object_set_new(resident, key, whole(guest->on[i]));
	}
	return resident;
}

static json_t *job_json(const struct top_job *job)
{
	if (!job->id[0])
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o}", "id", control_text_json(job->id), "state",
			 control_text_json(job->state), "percent", real(job->percent),
			 "bytes_per_second", real(job->bytes_per_second));
}

static void add_memory(const struct top_model *model, const struct top_guest *guest, json_t *object)
{
	json_object_set_new(object, "bytes", whole(guest->bytes));
	json_object_set_new(object, "resident", resident_json(model, guest));
	json_object_set_new(object, "untouched_bytes", whole(guest->untouched_bytes));
	json_object_set_new(object, "swapped_bytes", whole(guest->swapped_bytes));
	json_object_set_new(object, "huge_bytes", whole(guest->huge_bytes));
	json_object_set_new(object, "small_bytes", whole(guest->small_bytes));
	json_object_set_new(object, "hugetlb_bytes", whole(guest->pool_page_bytes));
	if (json_object_get(guest->residency, "locked_bytes"))
		json_object_set_new(object, "locked_bytes", whole(guest->locked_bytes));
}

static json_t *guest_json(const struct top_model *model, const struct top_guest *guest)
{
	json_t *object = json_pack("{s:o, s:i, s:o, s:o}", "name", control_text_json(guest->name),
				   "pid", (int)guest->pid, "state", control_text_json(guest->state),
				   "why", control_text_json(guest->why));

	if (!guest->answered)
		return object;
	json_object_set_new(object, "home", home_json(guest));
	json_object_set_new(object, "vcpu_percent", real(guest->vcpu_percent));
	add_memory(model, guest, object);
	json_object_set_new(object, "local_percent", real(guest->local_percent));
	json_object_set_new(object, "score", score_json(guest));
	json_object_set_new(object, "heat", json_string(guest->heat));
	json_object_set_new(object, "stall_p99_ns",
			    guest->stall_p99_ns < 0 ? json_null()
						    : json_integer(guest->stall_p99_ns));
	json_object_set_new(object, "job", job_json(&guest->job));
	return object;
}

json_t *top_model_json(const struct top_model *model, double seconds_since_epoch)
{
	json_t *nodes = json_array(), *guests = json_array();

	for (size_t i = 0; i < model->host.count; i++)
		json_array_append_new(nodes, node_json(&model->host.nodes[i]));
	for (size_t i = 0; i < model->count; i++)
		json_array_append_new(guests, guest_json(model, model->guests[i]));
	return json_pack("{s:f, s:o, s:o}", "time", seconds_since_epoch, "nodes", nodes, "guests",
			 guests);
}
