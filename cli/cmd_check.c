/* gmig check: do the invariants I1-I5 hold? */
#include "cli.h"
#include "commands.h"
#include "units.h"

static void print_check(const struct cli_args *args, const json_t *check)
{
	char mapped[UNITS_TEXT], pool[UNITS_TEXT], flight[UNITS_TEXT], quarantine[UNITS_TEXT];
	const json_t *breaches = json_object_get(check, "breaches");
	size_t i;
	json_t *breach;

	(void)args;
	json_array_foreach (breaches, i, breach)
		printf("%s is broken: %s\n", cli_text(breach, "invariant"),
		       cli_text(breach, "detail"));
	/* Another program's memory has no engine whose invariants could be broken. */
	if (json_is_true(json_object_get(check, "process"))) {
		printf("%s: %llu pages of 4K of guest memory found, in mappings of %s\n",
		       json_is_true(json_object_get(check, "ok")) ? "ok" : "NOT OK",
		       (unsigned long long)cli_number(check, "checked_pages"),
		       units_size(cli_number(check, "mapped_bytes"), mapped));
		return;
	}
	printf("%s: %llu pages of 4K compared with the kernel, %llu had been moved by others "
	       "(or filled, of free frames)\n",
	       json_is_true(json_object_get(check, "ok")) ? "ok, I1 to I5 hold" : "NOT OK",
	       (unsigned long long)cli_number(check, "checked_pages"),
	       (unsigned long long)cli_number(check, "corrected_pages"));
	printf("mapped %s, pool %s, in flight %s, quarantine %s\n",
	       units_size(cli_number(check, "mapped_bytes"), mapped),
	       units_size(cli_number(check, "pool_bytes"), pool),
	       units_size(cli_number(check, "in_flight_bytes"), flight),
	       units_size(cli_number(check, "quarantine_bytes"), quarantine));
}

static enum cli_exit status_of(const json_t *check)
{
	return json_is_true(json_object_get(check, "ok")) ? CLI_OK : CLI_FAILED;
}

int cmd_check(int argc, char **argv)
{
	static const bool is_long = true;
	struct cli_query query = {.command = "check-invariants",
				  .args = {CLI_VM, .json_help = "print the result as JSON"},
				  .print = print_check,
				  .status = status_of,
				  .is_long = &is_long};

	return cli_run_query(argc, argv, &query);
}
