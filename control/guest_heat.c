/* How much memory is used. An answer has so many parts of a GiB that it fits a line; a client asks on from where it ended. */
#include "guest_heat.h"

#include "../migrate/gmig_heat.h"
#include "guest_held.h"

#include <stdlib.h>

#define PARTS	   1024	 /* in one answer, some 300 KB at most */
#define MAX_SHARES 65536 /* in one report */

const struct control_argument guest_sample_arguments[] = {
    {"guest", CONTROL_STRING, false},
    {"on", CONTROL_BOOL, true},
    {"rate", CONTROL_INTEGER, false},	      /* blocks a second */
    {"max-slowdown", CONTROL_INTEGER, false}, /* in millionths */
    {0},
};
const struct control_argument guest_report_arguments[] = {
    {"guest", CONTROL_STRING, false},
    {"blocks", CONTROL_ARRAY, true}, /* [gpa, bytes, millionths] */
    {0},
};
const struct control_argument guest_heat_arguments[] = {{"guest", CONTROL_STRING, false},
							{"gpa", CONTROL_INTEGER, false},
							{"step", CONTROL_INTEGER, false},
							{0}};

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *report_sampling(struct gmig *gmig)
{
	struct gmig_sampling_info info;

	gmig_sampling_info(gmig, &info);
	return json_pack(
	    "{s:b, s:b, s:o, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:f, s:f}}", "on",
	    (int)info.on, "held", (int)info.held, "rate", integer(info.how.blocks_per_second),
	    "max_slowdown", info.how.max_slowdown_ppm / 1e6, "on_seconds", (double)info.on_ns / 1e9,
	    "touched", integer(info.touched), "touched_by_vcpu", integer(info.touched_by_vcpu),
	    "untouched", integer(info.untouched), "given_up", integer(info.given_up), "waiting",
	    integer(info.waiting), "rounds", integer(info.rounds), "slept_ns",
	    integer(info.slept_ns), "held_ns", integer(info.held_ns), "slowdown", "share",
	    info.slowdown_ppm / 1e6, "worst_second", info.slowdown_worst_ppm / 1e6);
}

static json_t *report_part(const struct gmig_heat *part)
{
	json_t *by = json_object(), *report;

	for (unsigned int i = 0; i < GMIG_HEAT_NODES && part->by[i].bytes; i++) {
		char node[24];

		snprintf(node, sizeof(node), "%llu", (unsigned long long)part->by[i].node);
		json_object_set_new(by, node, integer(part->by[i].bytes));
	}
	report = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "gpa", integer(part->gpa),
			   "bytes", integer(part->bytes), "hot", integer(part->hot_bytes), "warm",
			   integer(part->warm_bytes), "cold", integer(part->cold_bytes), "unknown",
			   integer(part->unknown_bytes), "reported", integer(part->reported_bytes),
			   "touched_from", by);
	if (part->newest_age_ns)
		json_object_set_new(report, "newest_age_ns", integer(part->newest_age_ns));
	return report;
}

/* Sampling needs the engine. */
static int check_guest(const struct guest *guest, struct gmig_error *err)
{
	if (!guest->process)
		return 0;
	return gmig_fail(err, -EOPNOTSUPP,
			 "nobody samples the memory of '%.64s': that is for guests of gmig-vmm",
			 guest->name);
}

int guest_sample_memory(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err)
{
	bool on = json_is_true(json_object_get(arguments, "on"));
	uint64_t rate = 0, slowdown = 0;
	struct gmig_sampling how = {0};
	HELD_GUEST held = {0};
	int ret = guest_read_integer(arguments, "rate", GMIG_SAMPLING_RATE_MAX, &rate, err);

	if (!ret)
		ret = guest_read_integer(arguments, "max-slowdown", 1000000, &slowdown, err);
	if (!ret && !on && (rate || slowdown))
		ret = gmig_fail(err, -EINVAL, "on: a rate and a slowdown are for sampling");
	if (!ret)
		ret = hold(opaque, arguments, &held, err);
	if (!ret)
		ret = check_guest(&held.guest, err);
	if (ret)
		return ret;
	how.blocks_per_second = (uint32_t)rate;
	how.max_slowdown_ppm = (uint32_t)slowdown;
	if (on)
		ret = gmig_sampling_start(held.guest.gmig, &how, err);
	else
		gmig_sampling_stop(held.guest.gmig);
	return ret ? ret : answer(report_sampling(held.guest.gmig), result, err);
}

static int read_share(const json_t *json, struct gmig_heat_share *share, struct gmig_error *err)
{
	json_int_t number[3] = {0};

	for (size_t i = 0; i < 3; i++) {
		const json_t *one = json_array_get(json, i);

		number[i] = json_integer_value(one);
		if (json_array_size(json) != 3 || !json_is_integer(one) || number[i] < 0)
			return gmig_fail(err, -EINVAL,
					 "a block's heat is [gpa, bytes, millionths of the looks "
					 "at it that found it used]");
	}
	share->gpa = (uint64_t)number[0];
	share->bytes = (uint64_t)number[1];
	share->share_ppm = number[2] > UINT32_MAX ? UINT32_MAX : (uint32_t)number[2];
	return 0;
}

/* free(*shares). */
static int read_shares(const json_t *list, struct gmig_heat_share **shares, struct gmig_error *err)
{
	size_t count = json_array_size(list);
	int ret = 0;

	if (count > MAX_SHARES)
		return gmig_fail(err, -E2BIG, "the heat of %zu parts: at most %d at a time", count,
				 MAX_SHARES);
	*shares = calloc(count + 1, sizeof(**shares));
	if (!*shares)
		return gmig_fail(err, -ENOMEM, "no memory for a report");
	for (size_t i = 0; !ret && i < count; i++)
		ret = read_share(json_array_get(list, i), &(*shares)[i], err);
	return ret;
}

int guest_report_heat(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	const json_t *list = json_object_get(arguments, "blocks");
	struct gmig_heat_share *shares = NULL;
	struct gmig_heat_noted noted;
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = check_guest(&held.guest, err);
	if (!ret)
		ret = read_shares(list, &shares, err);
	if (!ret)
		ret = gmig_heat_report(held.guest.gmig, shares, json_array_size(list), &noted, err);
	free(shares);
	if (ret)
		return ret;
	return answer(json_pack("{s:o, s:o, s:o}", "noted", integer(noted.noted_bytes), "outside",
				integer(noted.outside_bytes), "moved", integer(noted.moved_bytes)),
		      result, err);
}

int guest_query_heat(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	struct gmig_heat *parts = NULL;
	HELD_GUEST held = {0};
	json_t *report, *heat;
	uint64_t gpa = 0, step = 0;
	size_t count = 0;
	int ret = guest_read_integer(arguments, "gpa", INT64_MAX, &gpa, err);

	if (!ret)
		ret = guest_read_step(arguments, &step, err);
	if (!ret)
		ret = hold(opaque, arguments, &held, err);
	if (!ret)
		ret = check_guest(&held.guest, err);
	if (!ret)
		parts = calloc(PARTS, sizeof(*parts));
	if (!ret && !parts)
		ret = gmig_fail(err, -ENOMEM, "no memory for the answer");
	if (ret)
		return ret;
	count = gmig_heat_parts(held.guest.gmig, gpa, step ? step : UINT64_MAX, parts, PARTS);
	heat = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(heat, report_part(&parts[i]));
	report =
	    json_pack("{s:o, s:o}", "sampling", report_sampling(held.guest.gmig), "heat", heat);
	if (count == PARTS)
		json_object_set_new(report, "next",
				    integer(parts[count - 1].gpa + parts[count - 1].bytes));
	free(parts);
	return answer(report, result, err);
}
