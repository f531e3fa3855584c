#include "maps.h"
#include "../control/text.h"
#include "process.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Joining what came in parts ------------------------------------------------------------------- */

static const char *const sums[] = {"bytes",	"huge",	  "small",     "swapped",
				   "untouched", "moving", "misplaced", "fixed"};
static const char *const same[] = {"vnode",    "policy", "nodes",    "static",
				   "relative", "local",	 "home_node"};

/* Is it the same run that goes on: an answer ends where it has looked at enough? */
static bool goes_on(const json_t *last, const json_t *run)
{
	bool alike =
	    last && cli_number(last, "gpa") + cli_number(last, "bytes") == cli_number(run, "gpa");

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]) && alike; i++) {
		json_t *a = json_object_get(last, same[i]), *b = json_object_get(run, same[i]);

		alike = (!a && !b) || (a && b && json_equal(a, b));
	}
	return alike;
}

static void add_to(json_t *last, const json_t *run)
{
	json_t *pages = json_object_get(last, "pages"), *value;
	const char *key;

	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		json_object_set_new(last, sums[i],
				    json_integer((json_int_t)(cli_number(last, sums[i]) +
							      cli_number(run, sums[i]))));
	json_object_foreach (json_object_get(run, "pages"), key, value)
		json_object_set_new(
		    pages, key,
		    json_integer((json_int_t)(cli_number(pages, key) +
					      cli_number(json_object_get(run, "pages"), key))));
}

static void take(json_t *maps, const json_t *answer)
{
	json_t *runs = json_object_get(answer, "maps"), *run;
	size_t i;

	json_array_foreach (runs, i, run) {
		json_t *last = json_array_get(maps, json_array_size(maps) - 1);

		if (json_array_size(maps) && goes_on(last, run))
			add_to(last, run);
		else
			json_array_append(maps, run);
	}
}

/* ---- Asking ---------------------------------------------------------------------------------------- */

/* From *gpa on, answer by answer, as long as there are more; one: of one run. */
static int gather(struct control_client *client, uint64_t gpa, bool one, json_t *maps,
		  struct gmig_error *err)
{
	bool more = true;
	int rc = 0;

	while (more && !rc) {
		CLI_JSON answer = NULL;
		uint64_t next;

		rc = control_call(client, "query-maps", json_pack("{s:I}", "gpa", (json_int_t)gpa),
				  &answer, err);
		if (rc)
			break;
		take(maps, answer);
		next = cli_number(answer, "next");
		more = json_object_get(answer, "next") && next > gpa &&
		       !(one && json_array_size(maps) > 1);
		gpa = next;
	}
	while (one && json_array_size(maps) > 1)
		json_array_remove(maps, json_array_size(maps) - 1);
	return rc;
}

/* ---- Printing -------------------------------------------------------------------------------------- */

static void print_policy(const json_t *run)
{
	const json_t *nodes = json_object_get(run, "nodes"), *node;
	size_t i;

	fputs(cli_text(run, "policy"), stdout);
	if (json_is_true(json_object_get(run, "static")))
		fputs("=static", stdout);
	if (json_is_true(json_object_get(run, "relative")))
		fputs("=relative", stdout);
	json_array_foreach (nodes, i, node)
		printf("%c%lld", i ? ',' : ':', (long long)json_integer_value(node));
	if (json_object_get(run, "home_node"))
		printf(" home=%llu", (unsigned long long)cli_number(run, "home_node"));
}

static void print_run(const json_t *run)
{
	static const char *const counts[] = {"huge",   "small",	    "swapped", "untouched",
					     "moving", "misplaced", "fixed"};
	const char *key;
	json_t *value;

	printf("%09llx+%llx vnode=%llu ", (unsigned long long)cli_number(run, "gpa"),
	       (unsigned long long)cli_number(run, "bytes"),
	       (unsigned long long)cli_number(run, "vnode"));
	print_policy(run);
	json_object_foreach (json_object_get(run, "pages"), key, value)
		printf(" N%s=%lld", key, (long long)json_integer_value(value));
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (cli_number(run, counts[i]))
			printf(" %s=%llu", counts[i],
			       (unsigned long long)cli_number(run, counts[i]));
	putchar('\n');
}

int cli_show_maps(const char *vm, const char *gpa_text, bool json)
{
	CLI_JSON maps = json_array();
	CLI_CLIENT client = NULL;
	struct gmig_error err = {0};
	uint64_t gpa = 0;
	json_t *run;
	size_t i;

	if (gpa_text && units_parse_address(gpa_text, &gpa, &err))
		return cli_usage("show", "--gpa: %s", err.text);
	if (gpa > INT64_MAX)
		return cli_usage("show", "--gpa: '%s' is too big", gpa_text);
	if (cli_is_process(vm)) {
		gmig_error_set(&err, -EOPNOTSUPP,
			       "show --maps is for guests of gmig-vmm: of a process the kernel "
			       "tells it, in /proc/%.16s/numa_maps; gmig move %.32s --query tells "
			       "single pages",
			       vm + 4, vm);
		return cli_fail(json, &err);
	}
	if (cli_connect(vm, &client, &err) || gather(client, gpa, gpa_text != NULL, maps, &err))
		return cli_fail(json, &err);
	run = json_array_get(maps, 0);
	if (gpa_text && (!run || cli_number(run, "gpa") > gpa)) {
		gmig_error_set(&err, -EFAULT, "%s has no memory at %s", vm, gpa_text);
		return cli_fail(json, &err);
	}
	if (json)
		return cli_print_json(maps);
	CLI_JSON safe = control_json_safe(maps);

	json_array_foreach (safe, i, run)
		print_run(run);
	return CLI_OK;
}
