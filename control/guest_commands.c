/* The commands over libgmig, see guest.h. */
#include "closed_nodes.h"
#include "guest_heat.h"
#include "guest_held.h"
#include "guest_pages.h"
#include "guest_policy.h"
#include "guest_repair.h"
#include "guest_retire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_MAX 2048 /* records in one answer, some 400 KB */

/* ---- Queries --------------------------------------------------------------------------------- */

static int query_status(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err)
{
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = answer(
		    json_pack("{s:s, s:s}", "name", held.guest.name, "version", GMIG_VERSION),
		    result, err);
	if (!ret)
		held.ops->describe(&held.guest, GUEST_STATUS, *result);
	return ret;
}

static int query_numa(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = answer(guest_report_numa(&held.guest), result, err);
	if (!ret)
		held.ops->describe(&held.guest, GUEST_NUMA, *result);
	return ret;
}

/* Compare what the engine believes with the kernel. Plain memory is asked about each time. */
static int refresh(const struct guest *guest, struct gmig_error *err)
{
	struct gmig_check check;

	if (guest->process)
		return 0; /* the kernel is asked each time, or the server says how old its answer is */
	return gmig_why_off(guest->gmig) ? 0 : gmig_check(guest->gmig, &check, err);
}

static int query_residency(void *opaque, const json_t *arguments, json_t **result,
			   struct gmig_error *err)
{
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret && json_is_true(json_object_get(arguments, "fresh")))
		ret = refresh(&held.guest, err);
	if (!ret)
		ret = answer(guest_report_residency(&held.guest), result, err);
	if (!ret)
		held.ops->describe(&held.guest, GUEST_RESIDENCY, *result);
	return ret;
}

static int query_jobs(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	return ret ? ret : answer(guest_report_jobs(&held.guest), result, err);
}

static int query_histograms(void *opaque, const json_t *arguments, json_t **result,
			    struct gmig_error *err)
{
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret && held.guest.process)
		ret = gmig_fail(err, -EOPNOTSUPP,
				"the kernel moves the memory of this guest, and does not tell how "
				"long it was out of reach");
	return ret ? ret : answer(guest_report_histograms(held.guest.gmig), result, err);
}

static int check_invariants(void *opaque, const json_t *arguments, json_t **result,
			    struct gmig_error *err)
{
	struct gmig_check check = {0};
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret && held.guest.process)
		return held.ops->check
			   ? held.ops->check(&held.guest, result, err)
			   : gmig_fail(err, -EOPNOTSUPP, "of this guest there is nothing to check");
	if (!ret)
		ret = gmig_check(held.guest.gmig, &check, err);
	return ret ? ret : answer(guest_report_check(&check), result, err);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static int migrate_pages(void *opaque, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	struct gmig_job_spec spec = {0};
	struct gmig_job *job = NULL;
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = guest_read_spec(&held.guest, arguments, &spec, err);
	if (!ret)
		ret = closed_nodes_check(spec.to, spec.to_count, "to", err);
	if (!ret)
		ret = held.ops->start_job(&held.guest, &spec, &job, err);
	return ret ? ret : guest_answer_with_job(&held.guest, job, result, err);
}

static int find_job(const struct guest *guest, const json_t *arguments, struct gmig_job **job,
		    struct gmig_error *err)
{
	const char *text = json_string_value(json_object_get(arguments, "id"));
	char *end;
	unsigned long long id;

	errno = 0;
	id = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno)
		return gmig_fail(err, -EINVAL, "id: '%s' is not the id of a job", text);
	*job = guest_job_find(guest, id);
	return *job ? 0 : gmig_fail(err, -ESRCH, "there is no job %llu", id);
}

/* Of a guest whose addresses this server cannot tell from its host's, no page can be named. */
static int check_pages(const struct held_guest *held, struct gmig_error *err)
{
	if (held->ops->start_move)
		return 0;
	return gmig_fail(err, -EOPNOTSUPP,
			 "where the pages of guest %.60s lie in its program is not known here: by "
			 "that program's own addresses, gmig move pid:N moves them",
			 held->guest.name);
}

/* No page goes to a node that an operator has closed. */
static int check_targets(const struct gmig_move *move, struct gmig_error *err)
{
	struct gmig_node_set set = {{0}};
	uint16_t nodes[GMIG_MAX_NODES];
	unsigned int count = 0;

	for (size_t i = 0; i < move->count; i++)
		gmig_node_set_add(&set, (unsigned int)move->ranges[i].node);
	gmig_node_set_each (node, &set)
		nodes[count++] = (uint16_t)node;
	return closed_nodes_check(nodes, count, "pages", err);
}

/* vCPUs stay where they are: a list of pages is no place for a guest. */
static int start_move(const struct held_guest *held, const json_t *arguments,
		      const struct gmig_move *move, json_t **result, struct gmig_error *err)
{
	struct gmig_job_spec limits = {0};
	struct gmig_job *job = NULL;
	int ret = guest_read_spec(&held->guest, arguments, &limits, err);

	limits.user = GUEST_VCPUS_KEEP;
	if (!ret)
		ret = check_targets(move, err);
	if (!ret)
		ret = held->ops->start_move(&held->guest, move, &limits, &job, err);
	return ret ? ret : guest_answer_with_job(&held->guest, job, result, err);
}

static int move_pages(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	bool move_all = json_is_true(json_object_get(arguments, "move-all"));
	struct gmig_move move = {.flags = move_all ? GMIG_MOVE_ALL : GMIG_MOVE};
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = check_pages(&held, err);
	if (!ret)
		ret = guest_pages_gather(held.guest.name, arguments, &move, result, err);
	if (ret)
		return ret > 0 ? 0 : ret;
	ret = start_move(&held, arguments, &move, result, err);
	free((void *)move.ranges);
	return ret;
}

static int query_pages(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	struct gmig_job *job = NULL;
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = check_pages(&held, err);
	if (!ret && json_object_get(arguments, "id"))
		ret = find_job(&held.guest, arguments, &job, err);
	if (!ret)
		ret = guest_pages_query(&held.guest, job, arguments, result, err);
	gmig_job_put(job);
	return ret;
}

/* pause, resume, cancel: one shape. */
static int change_job(void *opaque, const json_t *arguments, int (*change)(struct gmig_job *),
		      json_t **result, struct gmig_error *err)
{
	struct gmig_job_info info;
	struct gmig_job *job = NULL;
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = find_job(&held.guest, arguments, &job, err);
	if (ret)
		return ret;
	ret = change(job);
	if (!ret)
		return guest_answer_with_job(&held.guest, job, result, err);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	return gmig_fail(err, ret, "job %llu is %s", (unsigned long long)info.id,
			 gmig_job_state_name(info.state));
}

static int retry(const struct held_guest *held, struct gmig_job *old,
		 const struct gmig_job_spec *spec, struct gmig_job **job, struct gmig_error *err)
{
	struct gmig_job_info info;

	gmig_job_info(old, &info);
	if (!strcmp(info.plan, "nodes"))
		return held->ops->start_job(&held->guest, spec, job, err);
	if (!held->ops->retry)
		return gmig_fail(err, -EOPNOTSUPP, "jobs by lists and policies are gmig-vmm's");
	return held->ops->retry(&held->guest, old, spec, job, err);
}

static int job_retry(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	struct gmig_job *old = NULL, *job = NULL;
	struct gmig_job_spec spec = {0};
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = find_job(&held.guest, arguments, &old, err);
	if (!ret)
		ret = gmig_job_rest(old, &spec, err);
	if (!ret)
		ret = guest_read_anew(&held.guest, arguments, &spec, err);
	if (!ret)
		ret = closed_nodes_check(spec.to, spec.to_count, "to", err);
	if (!ret)
		ret = retry(&held, old, &spec, &job, err);
	gmig_job_put(old);
	return ret ? ret : guest_answer_with_job(&held.guest, job, result, err);
}

static int job_pause(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	return change_job(opaque, arguments, gmig_job_pause, result, err);
}

static int job_resume(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	return change_job(opaque, arguments, gmig_job_resume, result, err);
}

static int job_cancel(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	return change_job(opaque, arguments, gmig_job_cancel, result, err);
}

static int job_set_rate(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err)
{
	struct gmig_job *job = NULL;
	HELD_GUEST held = {0};
	uint64_t rate = 0;
	int ret = guest_read_integer(arguments, "rate", INT64_MAX, &rate, err);

	if (!ret)
		ret = hold(opaque, arguments, &held, err);
	if (!ret)
		ret = find_job(&held.guest, arguments, &job, err);
	if (ret)
		return ret;
	ret = gmig_job_set_rate(job, rate);
	if (!ret)
		return guest_answer_with_job(&held.guest, job, result, err);
	gmig_job_put(job);
	return gmig_fail(err, ret, "the job has ended");
}

static int query_job_trace(void *opaque, const json_t *arguments, json_t **result,
			   struct gmig_error *err)
{
	struct gmig_trace_record *records;
	struct gmig_job *job = NULL;
	struct gmig_job_info info;
	HELD_GUEST held = {0};
	uint64_t first = 0;
	json_t *trace = NULL;
	size_t total;
	int ret = guest_read_integer(arguments, "first", INT64_MAX, &first, err);

	if (!ret)
		ret = hold(opaque, arguments, &held, err);
	if (!ret)
		ret = find_job(&held.guest, arguments, &job, err);
	if (ret)
		return ret;
	records = calloc(TRACE_MAX, sizeof(*records));
	total = records ? gmig_job_trace(job, first, records, TRACE_MAX) : 0;
	gmig_job_info(job, &info);
	gmig_job_put(job);
	if (records)
		trace = guest_report_trace(records, first, total, TRACE_MAX);
	if (trace)
		json_object_set_new(trace, "dropped", json_integer((json_int_t)info.trace_dropped));
	free(records);
	return answer(trace, result, err);
}

/* ---- Table ----------------------------------------------------------------------------------- */

/* Which guest: a server of one refuses another one's name, a server of several needs it. */
#define GUEST .name = "guest", .type = CONTROL_STRING

static const struct control_argument guest_arguments[] = {{GUEST}, {0}};
static const struct control_argument migrate_arguments[] = {
    {GUEST},
    {"from", CONTROL_ARRAY, true},
    {"to", CONTROL_ARRAY, true},
    {"vnode", CONTROL_INTEGER, false},
    {"mode", CONTROL_STRING, false},
    {"lazy", CONTROL_STRING, false}, /* of mode lazy, like the next one */
    {"lazy-to", CONTROL_STRING, false},
    {"deadline", CONTROL_INTEGER, false}, /* in ns */
    {"mover", CONTROL_STRING, false},
    {"move-all", CONTROL_BOOL, false},
    {"rate", CONTROL_INTEGER, false},
    {"max-bytes", CONTROL_INTEGER, false},
    {"max-stall", CONTROL_INTEGER, false},
    {"max-slowdown", CONTROL_INTEGER, false}, /* in millionths */
    {"order", CONTROL_STRING, false},
    {"order-seed", CONTROL_INTEGER, false},
    {"threads", CONTROL_INTEGER, false},
    {"batch", CONTROL_INTEGER, false}, /* of small pages, as is the next one */
    {"hold-vcpus", CONTROL_BOOL, false},
    {"frames", CONTROL_STRING, false},
    {"huge", CONTROL_STRING, false},
    {"swapped", CONTROL_STRING, false},
    {"trace", CONTROL_BOOL, false},
    {"vcpus", CONTROL_STRING, false},
    {0},
};
static const struct control_argument move_arguments[] = {
    {GUEST},
    {"pages", CONTROL_ARRAY, true},
    {"list", CONTROL_STRING, false},
    {"more", CONTROL_BOOL, false},
    {"move-all", CONTROL_BOOL, false},
    {"mode", CONTROL_STRING, false},
    {"mover", CONTROL_STRING, false},
    {"rate", CONTROL_INTEGER, false},
    {"max-slowdown", CONTROL_INTEGER, false},
    {"order", CONTROL_STRING, false},
    {"order-seed", CONTROL_INTEGER, false},
    {"threads", CONTROL_INTEGER, false},
    {"huge", CONTROL_STRING, false},
    {"swapped", CONTROL_STRING, false},
    {"trace", CONTROL_BOOL, false},
    {0},
};
static const struct control_argument pages_arguments[] = {
    {GUEST}, {"pages", CONTROL_ARRAY, true}, {"id", CONTROL_STRING, false}, {0}};
static const struct control_argument residency_arguments[] = {
    {GUEST}, {"fresh", CONTROL_BOOL, false}, {0}};
static const struct control_argument job_arguments[] = {{GUEST}, {"id", CONTROL_STRING, true}, {0}};
static const struct control_argument retry_arguments[] = {
    {GUEST},
    {"id", CONTROL_STRING, true},
    {"mode", CONTROL_STRING, false},
    {"lazy", CONTROL_STRING, false},
    {"deadline", CONTROL_INTEGER, false},
    {"mover", CONTROL_STRING, false},
    {"rate", CONTROL_INTEGER, false},
    {"max-stall", CONTROL_INTEGER, false},
    {"max-slowdown", CONTROL_INTEGER, false}, /* in millionths */
    {"order", CONTROL_STRING, false},
    {"order-seed", CONTROL_INTEGER, false},
    {"threads", CONTROL_INTEGER, false},
    {"batch", CONTROL_INTEGER, false},
    {"frames", CONTROL_STRING, false},
    {"huge", CONTROL_STRING, false},
    {"swapped", CONTROL_STRING, false},
    {"trace", CONTROL_BOOL, false},
    {0},
};
static const struct control_argument trace_arguments[] = {
    {GUEST}, {"id", CONTROL_STRING, true}, {"first", CONTROL_INTEGER, false}, {0}};
static const struct control_argument rate_arguments[] = {
    {GUEST}, {"id", CONTROL_STRING, true}, {"rate", CONTROL_INTEGER, true}, {0}};

const struct control_command guest_commands[] = {
    {"query-status", guest_arguments, query_status},
    {"query-numa", guest_arguments, query_numa},
    {"query-residency", residency_arguments, query_residency},
    {"query-jobs", guest_arguments, query_jobs},
    {"query-histograms", guest_arguments, query_histograms},
    {"query-job-trace", trace_arguments, query_job_trace},
    {"check-invariants", guest_arguments, check_invariants},
    {"repair-table", guest_repair_arguments, guest_repair_table},
    {"retire-page", guest_retire_arguments, guest_retire_page},
    {"sample-memory", guest_sample_arguments, guest_sample_memory},
    {"report-heat", guest_report_arguments, guest_report_heat},
    {"query-heat", guest_heat_arguments, guest_query_heat},
    {"migrate-pages", migrate_arguments, migrate_pages},
    {"move-pages", move_arguments, move_pages},
    {"query-pages", pages_arguments, query_pages},
    {"bind-memory", guest_bind_arguments, guest_bind_memory},
    {"fix-memory", guest_fix_arguments, guest_fix_memory},
    {"query-maps", guest_maps_arguments, guest_query_maps},
    {"job-pause", job_arguments, job_pause},
    {"job-resume", job_arguments, job_resume},
    {"job-cancel", job_arguments, job_cancel},
    {"job-retry", retry_arguments, job_retry},
    {"job-set-rate", rate_arguments, job_set_rate},
    {0},
};
