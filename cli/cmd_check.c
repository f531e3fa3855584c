/* gmig check: do the invariants I1-I5 hold? With --repair: what differs from the kernel is told and corrected. */
#include "cli.h"
#include "commands.h"
#include "progress.h"
#include "units.h"

#include "../control/text.h"
#include "../migrate/gmig.h"

#include <errno.h>

static unsigned long long count_of(const json_t *object, const char *key)
{
	return (unsigned long long)cli_number(object, key);
}

static void print_breaches(const json_t *check)
{
	const json_t *breaches = json_object_get(check, "breaches");
	size_t i;
	json_t *breach;

	json_array_foreach (breaches, i, breach)
		printf("%s is broken: %s\n", cli_text(breach, "invariant"),
		       cli_text(breach, "detail"));
}

static void print_accounts(const json_t *check)
{
	char mapped[UNITS_TEXT], pool[UNITS_TEXT], flight[UNITS_TEXT], quarantine[UNITS_TEXT];

	printf("mapped %s, pool %s, in flight %s, quarantine %s\n",
	       units_size(cli_number(check, "mapped_bytes"), mapped),
	       units_size(cli_number(check, "pool_bytes"), pool),
	       units_size(cli_number(check, "in_flight_bytes"), flight),
	       units_size(cli_number(check, "quarantine_bytes"), quarantine));
}

static bool is_ok(const json_t *check)
{
	return json_is_true(json_object_get(check, "ok"));
}

static void print_check(const struct cli_args *args, const json_t *check)
{
	char mapped[UNITS_TEXT];

	(void)args;
	print_breaches(check);
	/* Another program's memory has no engine whose invariants could be broken. */
	if (json_is_true(json_object_get(check, "process"))) {
		printf("%s: %llu pages of 4K of guest memory found, in mappings of %s\n",
		       is_ok(check) ? "ok" : "NOT OK", count_of(check, "checked_pages"),
		       units_size(cli_number(check, "mapped_bytes"), mapped));
		return;
	}
	printf("%s: %llu pages of 4K compared with the kernel, %llu had been moved by others "
	       "(or filled, of free frames)\n",
	       is_ok(check) ? "ok, I1 to I5 hold" : "NOT OK", count_of(check, "checked_pages"),
	       count_of(check, "corrected_pages"));
	print_accounts(check);
}

static enum cli_exit status_of(const json_t *check)
{
	return is_ok(check) ? CLI_OK : CLI_FAILED;
}

/* ---- Repair -------------------------------------------------------------------------------------- */

static void print_differences(const json_t *repair)
{
	static const struct {
		const char *key, *text;
	} kinds[] = {
	    {"node", "lay on another node"},
	    {"absent", "were gone"},
	    {"present", "were there, and the table did not know"},
	    {"swap", "had gone to swap, or come back"},
	    {"size", "belonged to blocks that had been split or joined"},
	    {"protected", "had been left write-protected"},
	    {"held", "were held as if they moved, and nobody moved them"},
	};
	const json_t *differed = json_object_get(repair, "differed");
	const json_t *corrected = json_object_get(repair, "corrected");

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (count_of(differed, kinds[i].key))
			printf("%llu pages %s: %llu corrected\n", count_of(differed, kinds[i].key),
			       kinds[i].text, count_of(corrected, kinds[i].key));
}

/* One line for each number that is not 0. */
static void print_others(const json_t *repair)
{
	static const struct {
		const char *key, *before, *after;
	} lines[] = {
	    {"book_pages", "the books differed by ", " pages: corrected"},
	    {"slot_pages", "", " pages lay in free frames that were empty: given back"},
	    {"slots_corrected", "", " free frames were not as the books had them: corrected"},
	    {"woken_threads", "", " threads slept on pages that nobody moved: woken"},
	    {"slots_left", "left: ", " free frames whose pages the kernel does not take back"},
	    {"busy_pages", "left: ", " pages that a migration holds"},
	    {"unknown_pages", "left: ", " pages that the kernel could not be asked about"},
	    {"device_blocks", "left: ", " blocks to which a device transfers while they move"},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (count_of(repair, lines[i].key))
			printf("%s%llu%s\n", lines[i].before, count_of(repair, lines[i].key),
			       lines[i].after);
}

static void print_repair(const json_t *repair)
{
	char p99[UNITS_TEXT], longest[UNITS_TEXT], cpu[UNITS_TEXT];

	print_breaches(repair);
	print_differences(repair);
	print_others(repair);
	printf("%s: %llu pages of 4K compared with the kernel\n",
	       is_ok(repair) ? "ok, all that differed is corrected" : "NOT OK, something is left",
	       count_of(repair, "compared_pages"));
	print_accounts(repair);
	printf("locks were held for %s at a time (p99), %s at most, of CPU time %s\n",
	       units_ns(cli_number(json_object_get(repair, "hold_ns"), "p99"), p99),
	       units_ns(cli_number(repair, "longest_hold_ns"), longest),
	       units_ns(cli_number(repair, "longest_hold_cpu_ns"), cpu));
}

static void show_progress(const json_t *repair, int64_t began_ms)
{
	uint64_t visited = cli_number(repair, "visited_pages") * GMIG_PAGE_BYTES;
	int64_t ms = cli_now_ms() - began_ms;
	char hold[UNITS_TEXT], more[160];
	const struct cli_progress progress = {
	    .done_bytes = visited,
	    .shown_bytes = visited,
	    .total_bytes = cli_number(repair, "total_pages") * GMIG_PAGE_BYTES,
	    .bytes_per_second = ms > 0 ? (double)visited * 1000 / (double)ms : 0,
	    .verb = " compared",
	    .more = more};

	snprintf(more, sizeof(more), "held %s%s",
		 units_ns(cli_number(repair, "longest_hold_ns"), hold),
		 json_is_true(json_object_get(repair, "done")) ? ""
		 : count_of(repair, "busy_pages")	       ? "  pages that move are next"
							       : "");
	cli_progress_draw(&progress);
}

/* Slice by slice; who is interrupted has cancelled it. *repair: the last answer, a reference. */
static int run_repair(struct control_client *client, json_t **repair, struct gmig_error *err)
{
	int64_t began_ms = cli_now_ms(), moved_ms = began_ms;
	uint64_t visited = 0;
	int rc;

	do {
		json_t *arguments = json_object();

		if (*repair)
			json_object_set_new(arguments, "id", json_string(cli_text(*repair, "id")));
		json_decref(*repair);
		*repair = NULL;
		rc = control_call(client, "repair-table", arguments, repair, err);
		if (rc)
			break;
		show_progress(*repair, began_ms);
		if (cli_number(*repair, "visited_pages") > visited)
			moved_ms = cli_now_ms();
		visited = cli_number(*repair, "visited_pages");
		if (cli_now_ms() - moved_ms > cli_limits.answer_ms)
			rc = gmig_fail(err, -ETIMEDOUT,
				       "the repair makes no progress; what is "
				       "corrected stays so, and gmig show tells the jobs "
				       "that may be in its way");
	} while (!rc && !json_is_true(json_object_get(*repair, "done")));
	cli_progress_clear();
	return rc;
}

static int repair(const char *vm, bool json)
{
	CLI_CLIENT client = NULL;
	CLI_JSON answer = NULL;
	struct gmig_error err = {0};

	if (cli_connect(vm, &client, &err) || run_repair(client, &answer, &err))
		return cli_fail(json, &err);
	if (json) {
		cli_print_json(answer);
	} else {
		CLI_JSON safe = control_json_safe(answer);

		print_repair(safe);
	}
	return (int)status_of(answer);
}

int cmd_check(int argc, char **argv)
{
	static const bool is_long = true;
	bool repairs = false;
	const struct cli_option options[] = {
	    {.name = "repair",
	     .help = "correct all that differs from the kernel, step by step, and tell what it was",
	     .flag = &repairs},
	    {0}};
	struct cli_query query = {
	    .command = "check-invariants",
	    .args = {CLI_DOMAIN, .options = options, .json_help = "print the result as JSON"},
	    .print = print_check,
	    .status = status_of,
	    .is_long = &is_long};
	struct cli_args args = query.args;
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	return repairs ? repair(args.words[0], args.json) : cli_run_query(argc, argv, &query);
}
