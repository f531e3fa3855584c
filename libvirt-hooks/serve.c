#include "serve.h"
#include "../control/closed_nodes.h"
#include "../control/guest.h"
#include "../control/text.h"
#include "../migrate/core/log_limit.h"
#include "../migrate/core/sys.h"
#include "looker.h"
#include "serve_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_AGE_NS   1000000000ull /* no newer look is made for those who do not ask for one */
#define LOOK_WAIT_MS  1000
#define FRESH_WAIT_MS 10000

struct serve {
	struct serve_options options;
	struct control_server *server;
	struct guest_server guests;
	struct looker *looker;
	struct log_limit told_nodes; /* lines about closed nodes */
};

/* The domain of one command. */
struct held {
	struct serve *serve;
	struct domain *domain;
	bool fresh;
};

/* ---- For the commands over libgmig ----------------------------------------------------------- */

static void describe_job(const struct guest *guest, const struct gmig_job_info *info, json_t *job)
{
	const struct held *held = guest->opaque;

	serve_report_pins(job, held->domain, info);
	keeping_describe_job(held->serve->options.keeping, domain_uuid(held->domain), info->id,
			     job);
}

static int get_guest(void *opaque, const json_t *arguments, struct guest *guest,
		     struct gmig_error *err)
{
	const char *name = json_string_value(json_object_get(arguments, "guest"));
	struct serve *serve = opaque;
	struct held *held;
	int ret;

	if (!name)
		return gmig_fail(
		    err, -EINVAL,
		    "argument 'guest' is missing: which domain? query-guests lists them");
	held = calloc(1, sizeof(*held));
	if (!held)
		return gmig_fail(err, -ENOMEM, "out of memory");
	held->serve = serve;
	held->fresh = json_is_true(json_object_get(arguments, "fresh"));
	ret = domains_find(serve->options.domains, name, &held->domain, err);
	if (!ret && gmig_topology_create(0, &guest->topology, err)) {
		domain_put(held->domain);
		ret = err ? err->code : -EIO;
	}
	if (ret) {
		free(held);
		return ret;
	}
	guest->name = domain_name(held->domain);
	guest->process = domain_process(held->domain);
	guest->vnode_count = 1;
	guest->vnode_bytes[0] = domain_memory_bytes(held->domain);
	guest->describe_job = describe_job;
	guest->opaque = held;
	return 0;
}

static void put_guest(struct guest *guest)
{
	struct held *held = guest->opaque;

	gmig_topology_put(guest->topology);
	domain_put(held->domain);
	free(held);
}

static int look(const struct held *held, bool fresh, struct domain_look *look,
		struct gmig_error *err)
{
	return looker_ask(held->serve->looker, held->domain, fresh ? 0 : LOOK_AGE_NS,
			  fresh ? FRESH_WAIT_MS : LOOK_WAIT_MS, look, err);
}

static void describe_residency(const struct guest *guest, json_t *object)
{
	const struct held *held = guest->opaque;
	struct domain_look *now = malloc(sizeof(*now));
	struct gmig_error err = {0};
	int ret =
	    now ? look(held, held->fresh, now, &err) : gmig_fail(&err, -ENOMEM, "out of memory");

	/* Memory without all of its vCPUs would be half an answer, of which a plan is made. */
	if (serve_report_threads(object, domain_pid(held->domain), ret ? NULL : &err) || ret)
		json_object_set_new(object, "unknown", control_text_json(err.text));
	else
		serve_report_look(object, guest->topology, now);
	serve_report_cpusets(object, held->domain);
	keeping_describe(held->serve->options.keeping, domain_uuid(held->domain), object);
	free(now);
}

static void describe(const struct guest *guest, enum guest_view view, json_t *object)
{
	const struct held *held = guest->opaque;
	struct domains *domains = held->serve->options.domains;

	if (view == GUEST_NUMA) {
		json_object_set_new(object, "fake_nodes", json_integer(0));
		json_object_set_new(object, "vnodes", serve_report_vnodes(held->domain));
		return;
	}
	serve_report_identity(object, held->domain, domains_uri(domains));
	if (view == GUEST_RESIDENCY)
		describe_residency(guest, object);
}

static int start_job(const struct guest *guest, const struct gmig_job_spec *spec,
		     struct gmig_job **job, struct gmig_error *err)
{
	const struct held *held = guest->opaque;

	return domain_start_job(held->domain, spec, job, err);
}

static int check(const struct guest *guest, json_t **result, struct gmig_error *err)
{
	const struct held *held = guest->opaque;
	struct domain_look *now = malloc(sizeof(*now));
	int ret = now ? look(held, true, now, err) : gmig_fail(err, -ENOMEM, "out of memory");

	if (!ret)
		ret = serve_report_check(held->domain, now, result, err);
	free(now);
	return ret;
}

static const struct guest_ops ops = {.get = get_guest,
				     .put = put_guest,
				     .describe = describe,
				     .start_job = start_job,
				     .check = check};

/* ---- query-guests ---------------------------------------------------------------------------- */

struct listing {
	json_t *list;
	const char *uri;
};

static void add_guest(void *opaque, const struct domains_entry *entry)
{
	const struct listing *listing = opaque;
	json_t *guest =
	    json_pack("{s:o, s:s}", "name", control_text_json(entry->name), "uuid", entry->uuid);

	if (entry->domain) {
		serve_report_identity(guest, entry->domain, listing->uri);
		json_object_set_new(guest, "vnodes", json_integer(1));
		json_object_set_new(guest, "bytes",
				    json_integer((json_int_t)domain_memory_bytes(entry->domain)));
	} else {
		json_object_set_new(guest, "state", json_string("not found"));
		json_object_set_new(guest, "why", control_text_json(entry->why));
	}
	json_array_append_new(listing->list, guest);
}

static int query_guests(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err)
{
	struct serve *serve = opaque;
	struct listing listing = {json_array(), domains_uri(serve->options.domains)};
	bool connected =
	    serve->options.is_connected && serve->options.is_connected(serve->options.opaque);

	(void)arguments;
	domains_each(serve->options.domains, add_guest, &listing);
	*result = json_pack("{s:s, s:b, s:o}", "uri", listing.uri, "connected", (int)connected,
			    "guests", listing.list);
	return *result ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}

/* ---- pin-vcpus, query-pins ------------------------------------------------------------------- */

#define MOST_VCPUS 16384

/* The domain of such a command; to be put. */
static int find_domain(const struct serve *serve, const json_t *arguments, struct domain **domain,
		       struct gmig_error *err)
{
	return domains_find(serve->options.domains,
			    json_string_value(json_object_get(arguments, "guest")), domain, err);
}

static int read_vcpus(const json_t *list, uint16_t *vcpus, struct gmig_error *err)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		json_int_t vcpu = json_integer_value(item);

		if (!json_is_integer(item) || vcpu < 0 || vcpu >= MOST_VCPUS)
			return gmig_fail(err, -EINVAL, "vcpus: item %zu is no number of a vCPU", i);
		vcpus[i] = (uint16_t)vcpu;
	}
	return 0;
}

static int pin_vcpus(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	const json_t *list = json_object_get(arguments, "vcpus");
	size_t count = json_array_size(list);
	struct domain *domain = NULL;
	uint64_t node = 0, order = 0;
	uint16_t *vcpus;
	int ret = guest_read_integer(arguments, "node", GMIG_MAX_NODES - 1, &node, err);

	if (!ret && (!count || count > MOST_VCPUS))
		ret = gmig_fail(err, -EINVAL, "vcpus: 1 to %d numbers are needed", MOST_VCPUS);
	if (ret)
		return ret;
	vcpus = calloc(count, sizeof(*vcpus));
	ret = vcpus ? read_vcpus(list, vcpus, err) : gmig_fail(err, -ENOMEM, "out of memory");
	if (!ret)
		ret = find_domain(opaque, arguments, &domain, err);
	if (!ret)
		ret = domain_order_pins(domain, vcpus, count, (unsigned int)node, &order, err);
	domain_put(domain);
	free(vcpus);
	if (ret)
		return ret;
	*result = json_pack("{s:I, s:s}", "order", (json_int_t)order, "state",
			    domain_pins_state_name(DOMAIN_PINS_PENDING));
	return *result ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}

static int query_pins(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	struct domain *domain = NULL;
	struct domain_pins pins;
	uint64_t order = 0;
	int ret = guest_read_integer(arguments, "order", INT64_MAX, &order, err);

	if (!ret)
		ret = find_domain(opaque, arguments, &domain, err);
	if (!ret)
		ret = domain_order_state(domain, order, &pins, err);
	domain_put(domain);
	if (ret)
		return ret;
	*result = serve_report_order(&pins);
	return *result ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}

static const struct control_argument pin_arguments[] = {{"guest", CONTROL_STRING, true},
							{"vcpus", CONTROL_ARRAY, true},
							{"node", CONTROL_INTEGER, true},
							{0}};
static const struct control_argument order_arguments[] = {
    {"guest", CONTROL_STRING, true}, {"order", CONTROL_INTEGER, true}, {0}};

/* ---- close-nodes ----------------------------------------------------------------------------- */

static int read_nodes(const json_t *arguments, const char *name, struct gmig_node_set *nodes,
		      struct gmig_error *err)
{
	const json_t *list = json_object_get(arguments, name), *item;
	size_t i;

	*nodes = (struct gmig_node_set){{0}};
	json_array_foreach (list, i, item) {
		json_int_t node = json_integer_value(item);

		if (!json_is_integer(item) || node < 0 || node >= (json_int_t)GMIG_MAX_NODES)
			return gmig_fail(err, -EINVAL, "%s: item %zu is no number of a node", name,
					 i);
		gmig_node_set_add(nodes, (unsigned int)node);
	}
	return 0;
}

/* What can be closed is a node that this host can have; a node that it had may be opened. */
static int check_nodes(const struct gmig_node_set *nodes, struct gmig_error *err)
{
	struct gmig_topology *topology;
	int ret = gmig_topology_create(0, &topology, err);

	if (ret)
		return ret;
	gmig_node_set_each (node, nodes)
		if (!ret && !gmig_node_set_has(gmig_topology_possible(topology), node))
			ret = gmig_fail(err, -ENODEV, "this host cannot have a node %u", node);
	gmig_topology_put(topology);
	return ret;
}

/* Cut where it is long: a list may have its nodes one by one. */
static const char *list_of(const struct gmig_node_set *nodes, char *text, size_t bytes)
{
	gmig_node_set_print(nodes, text, bytes);
	return *text ? text : "none";
}

/* An operator who finds a node closed wants to know who did that; a peer that does so without end fills no log. */
static void tell_closed(struct serve *serve, const struct gmig_node_set *closed_now,
			const struct gmig_node_set *opened_now, const struct gmig_node_set *closed)
{
	char line[512], these[128], those[128], all[128];
	unsigned long held = 0;
	pid_t pid;
	uid_t uid;

	if (!serve->options.log ||
	    !log_limit_pass(&serve->told_nodes, gmig_sys_real.now_ns(), &held))
		return;
	control_peer(&pid, &uid);
	snprintf(
	    line, sizeof(line),
	    "nodes are closed or opened: close=%s open=%s closed=%s uid=%u pid=%d not_told=%lu",
	    list_of(closed_now, these, sizeof(these)), list_of(opened_now, those, sizeof(those)),
	    list_of(closed, all, sizeof(all)), uid, (int)pid, held);
	serve->options.log(serve->options.opaque, GMIG_LOG_INFO, line);
}

/* Our own list, root's: so those who may use our socket, and not write there, close nodes for what they move by us. */
static int close_nodes(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	struct gmig_node_set close_these, open_these, closed;
	struct serve *serve = opaque;
	char list[8192]; /* all 1,024 nodes one by one are 5 KiB */
	int ret = read_nodes(arguments, "close", &close_these, err);

	if (!ret)
		ret = read_nodes(arguments, "open", &open_these, err);
	if (!ret)
		ret = check_nodes(&close_these, err);
	if (!ret)
		ret = closed_nodes_change(&close_these, &open_these, &closed, err);
	if (ret)
		return ret;
	tell_closed(serve, &close_these, &open_these, &closed);
	keeping_wake(serve->options.keeping);
	*result =
	    json_pack("{s:s}", "closed_nodes", gmig_node_set_print(&closed, list, sizeof(list)));
	return *result ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}

static const struct control_argument close_arguments[] = {
    {"close", CONTROL_ARRAY, false}, {"open", CONTROL_ARRAY, false}, {0}};

static const struct control_command commands[] = {{"query-guests", NULL, query_guests},
						  {"pin-vcpus", pin_arguments, pin_vcpus},
						  {"query-pins", order_arguments, query_pins},
						  {"close-nodes", close_arguments, close_nodes},
						  {0}};

/* ---- Life ------------------------------------------------------------------------------------ */

int serve_create(const struct serve_options *options, struct serve **out, struct gmig_error *err)
{
	struct serve *serve = calloc(1, sizeof(*serve));
	struct control_server_options control = {.path = options->path,
						 .name = "gmigd",
						 .commands = commands,
						 .opaque = serve,
						 .has_group = options->has_group,
						 .group = options->group};
	int ret;

	if (!serve)
		return gmig_fail(err, -ENOMEM, "out of memory");
	serve->options = *options;
	serve->guests = (struct guest_server){&ops, serve};
	control.more = (struct control_table){guest_commands, &serve->guests};
	ret = looker_create(&serve->looker, err);
	if (!ret)
		ret = control_server_create(&control, &serve->server, err);
	if (ret) {
		looker_destroy(serve->looker);
		free(serve);
		return ret;
	}
	*out = serve;
	return 0;
}

void serve_destroy(struct serve *serve)
{
	if (!serve)
		return;
	control_server_destroy(serve->server);
	looker_destroy(serve->looker);
	free(serve);
}

void serve_job_event(struct serve *serve, struct domain *domain, const struct gmig_job_info *info)
{
	json_t *data;
	const char *name = guest_job_event(domain_job_states(domain), info, &data);

	if (data) {
		json_object_set_new(data, "guest", control_text_json(domain_name(domain)));
		serve_report_pins(json_object_get(data, "job"), domain, info);
	}
	if (serve)
		control_server_event(serve->server, name, data);
	else
		json_decref(data);
}
