#include "heat.h"
#include "../control/text.h"
#include "process.h"
#include "units.h"

#include <errno.h>
#include <string.h>

/* From 0 on, answer by answer, as long as there are more; *sampling of the last one. */
static int gather(struct control_client *client, json_t *heat, json_t **sampling,
		  struct gmig_error *err)
{
	uint64_t gpa = 0, next;
	bool more = true;

	while (more) {
		CLI_JSON answer = NULL;
		int rc = control_call(client, "query-heat",
				      json_pack("{s:I}", "gpa", (json_int_t)gpa), &answer, err);

		if (rc)
			return rc;
		json_array_extend(heat, json_object_get(answer, "heat"));
		json_decref(*sampling);
		*sampling = json_incref(json_object_get(answer, "sampling"));
		next = cli_number(answer, "next");
		more = next > gpa;
		gpa = next;
	}
	return 0;
}

/* ---- For people -------------------------------------------------------------------------------- */

void cli_print_sampling(const json_t *sampling)
{
	const json_t *slowdown = json_object_get(sampling, "slowdown");
	char on[UNITS_TEXT];

	if (!json_is_true(json_object_get(sampling, "on"))) {
		puts("sampling is off");
		return;
	}
	printf("sampling for %s%s, up to %llu blocks a second: %llu were touched, %llu were not\n",
	       units_ns((uint64_t)(cli_real(sampling, "on_seconds") * 1e9), on),
	       json_is_true(json_object_get(sampling, "held")) ? " (held, as the guest is stopped)"
							       : "",
	       (unsigned long long)cli_number(sampling, "rate"),
	       (unsigned long long)cli_number(sampling, "touched"),
	       (unsigned long long)cli_number(sampling, "untouched"));
	printf("it has cost %.2g%% of the vCPUs' time, %.2g%% in the worst second; budget %.3g%%\n",
	       cli_real(slowdown, "share") * 100, cli_real(slowdown, "worst_second") * 100,
	       cli_real(sampling, "max_slowdown") * 100);
}

/* Whose word it is. */
static const char *source_of(const json_t *part)
{
	uint64_t known = cli_number(part, "bytes") - cli_number(part, "unknown");
	uint64_t reported = cli_number(part, "reported");

	if (!known)
		return "-";
	return !reported ? "sampling" : reported < known ? "both" : "agent";
}

/* Is nothing known of it? */
static bool is_unknown(const json_t *part)
{
	return cli_number(part, "unknown") == cli_number(part, "bytes");
}

static void part_row(FILE *rows, const json_t *part, uint64_t bytes, uint64_t unknown)
{
	const json_t *by = json_object_get(part, "touched_from");
	char text[UNITS_TEXT];
	const char *key;
	json_t *value;

	fprintf(rows, "%09llx\t%s", (unsigned long long)cli_number(part, "gpa"),
		units_size(bytes, text));
	fprintf(rows, "\t%s", units_size(cli_number(part, "hot"), text));
	fprintf(rows, "\t%s", units_size(cli_number(part, "warm"), text));
	fprintf(rows, "\t%s", units_size(cli_number(part, "cold"), text));
	fprintf(rows, "\t%s", units_size(unknown, text));
	fprintf(rows, "\t%s\t%s\t",
		json_object_get(part, "newest_age_ns")
		    ? units_ns(cli_number(part, "newest_age_ns"), text)
		    : "-",
		source_of(part));
	json_object_foreach ((json_t *)by, key, value)
		fprintf(rows, " N%s=%s", key, units_size(cli_number(by, key), text));
	fputs(json_object_size(by) ? "\n" : " -\n", rows);
}

/* Parts of which nothing is known, one behind the other, are one row. */
static void heat_rows(FILE *rows, const json_t *heat)
{
	size_t count = json_array_size(heat);

	fputs("from\t>size\t>hot\t>warm\t>cold\t>unknown\t>seen ago\tsource\t touched from\n",
	      rows);
	for (size_t i = 0, end; i < count; i = end) {
		const json_t *part = json_array_get(heat, i);
		uint64_t bytes = cli_number(part, "bytes"), next = cli_number(part, "gpa") + bytes;
		bool unknown = is_unknown(part);

		for (end = i + 1; unknown && end < count; end++) {
			const json_t *more = json_array_get(heat, end);

			if (!is_unknown(more) || cli_number(more, "gpa") != next)
				break;
			bytes += cli_number(more, "bytes");
			next += cli_number(more, "bytes");
		}
		part_row(rows, part, bytes, unknown ? bytes : cli_number(part, "unknown"));
	}
}

int cli_show_heat(const char *vm, bool json)
{
	CLI_JSON heat = json_array();
	CLI_JSON sampling = NULL;
	CLI_CLIENT client = NULL;
	struct gmig_error err = {0};

	if (cli_is_process(vm)) {
		gmig_error_set(
		    &err, -EOPNOTSUPP,
		    "show --heat is for guests of gmig-vmm: nobody samples the memory of "
		    "%.32s",
		    vm);
		return cli_fail(json, &err);
	}
	if (cli_connect(vm, &client, &err) || gather(client, heat, &sampling, &err))
		return cli_fail(json, &err);
	CLI_JSON all = json_pack("{s:O?, s:O}", "sampling", sampling, "heat", heat);

	if (json)
		return cli_print_json(all);
	CLI_JSON safe = control_json_safe(all);

	cli_print_sampling(json_object_get(safe, "sampling"));
	cli_print_rows(heat_rows, json_object_get(safe, "heat"));
	return CLI_OK;
}
