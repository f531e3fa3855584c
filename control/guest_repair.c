/*
 * A repair of a large guest takes minutes, and commands run on the thread that serves all clients. So an answer comes after a
 * slice, and the client asks for the next one: one that has gone has cancelled it.
 */
#include "guest_repair.h"

#include "../migrate/gmig_repair.h"
#include "guest_held.h"

#include <stdlib.h>

#define SLICE_NS 20000000

const struct control_argument guest_repair_arguments[] = {
    {"guest", CONTROL_STRING, false}, {"id", CONTROL_STRING, false}, {0}};

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* {"node": N, ..} */
static json_t *by_difference(const uint64_t *pages)
{
	json_t *object = json_object();
	const char *name;

	for (unsigned int i = 0; (name = gmig_difference_name((enum gmig_difference)i)); i++)
		json_object_set_new(object, name, integer(pages[i]));
	return object;
}

static json_t *report_repair(uint64_t id, const struct gmig_repair *repair)
{
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
	    {"total_pages", repair->total_pages},
	    {"visited_pages", repair->visited_pages},
	    {"compared_pages", repair->compared_pages},
	    {"touched_pages", repair->touched_pages},
	    {"busy_pages", repair->busy_pages},
	    {"unknown_pages", repair->unknown_pages},
	    {"device_blocks", repair->device_blocks},
	    {"woken_threads", repair->woken_threads},
	    {"book_pages", repair->book_pages},
	    {"slot_pages", repair->slot_pages},
	    {"slots_corrected", repair->slots_corrected},
	    {"slots_left", repair->slots_left},
	    {"longest_hold_ns", repair->longest_hold_ns},
	    {"longest_hold_cpu_ns", repair->longest_hold_cpu_ns},
	};
	json_t *report = guest_report_check(&repair->check);
	char text[24];

	if (!report)
		return NULL;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
	json_object_set_new(report, "id", json_string(text));
	json_object_set_new(report, "done", json_boolean(repair->done));
	json_object_set_new(report, "ok", json_boolean(repair->ok));
	json_object_set_new(report, "differed", by_difference(repair->differed));
	json_object_set_new(report, "corrected", by_difference(repair->corrected));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_object_set_new(report, numbers[i].name, integer(numbers[i].value));
	json_object_set_new(report, "hold_ns", guest_report_percentiles(&repair->hold));
	return report;
}

static int read_id(const json_t *arguments, uint64_t *id, struct gmig_error *err)
{
	const char *text = json_string_value(json_object_get(arguments, "id"));
	char *end;

	*id = 0;
	if (!text)
		return 0;
	errno = 0;
	*id = strtoull(text, &end, 10);
	if (*text < '1' || *text > '9' || *end || errno)
		return gmig_fail(err, -EINVAL, "id: '%.32s' is no number of a repair", text);
	return 0;
}

int guest_repair_table(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	struct gmig_repair repair;
	HELD_GUEST held = {0};
	uint64_t id = 0;
	int ret = hold(opaque, arguments, &held, err);

	if (!ret && held.guest.process)
		ret = gmig_fail(err, -EOPNOTSUPP,
				"of the memory of '%.64s' no table is kept that could be wrong: "
				"the kernel is asked each time",
				held.guest.name);
	if (!ret)
		ret = read_id(arguments, &id, err);
	if (!ret)
		ret = gmig_repair(held.guest.gmig, &id, SLICE_NS, &repair, err);
	return ret ? ret : answer(report_repair(id, &repair), result, err);
}
