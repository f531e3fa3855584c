/* gmig retire: a page of a guest leaves a bad frame of the host's memory, which is not used again. */
#include "cli.h"
#include "commands.h"
#include "maps.h"
#include "units.h"

#include "../control/text.h"

#include <string.h>

static struct {
	const char *gpa;
	bool keep;
} asked;

static int ask(const struct cli_args *args, json_t *arguments)
{
	struct gmig_error err = {0};
	uint64_t gpa = 0;

	(void)args;
	if (!asked.gpa)
		return cli_usage("retire", "which page? --gpa 0x7000");
	if (units_parse_address(asked.gpa, &gpa, &err))
		return cli_usage("retire", "--gpa: %s", err.text);
	if (gpa > INT64_MAX)
		return cli_usage("retire", "--gpa: '%s' is too big", asked.gpa);
	json_object_set_new(arguments, "gpa", json_integer((json_int_t)gpa));
	cli_add_flag(arguments, "keep", asked.keep);
	return -1;
}

/* Why the kernel has not taken the frame. */
static const char *reason(const char *name)
{
	static const struct {
		const char *name, *text;
	} reasons[] = {
	    {"ECANCELED", "the kernel was not asked to take it"},
	    {"EPERM", "the kernel takes it for CAP_SYS_ADMIN only, of whoever asks and of the VMM"},
	    {"EINVAL", "the kernel cannot take it: it has no CONFIG_MEMORY_FAILURE"},
	    {"EOPNOTSUPP", "the kernel is not to take it: vm.enable_soft_offline"},
	    {"EBUSY", "the kernel could not take it now (EBUSY)"},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (!strcmp(reasons[i].name, name))
			return reasons[i].text;
	return name;
}

static void print_retired(const struct cli_args *args, const json_t *answer)
{
	(void)args;
	printf("page 0x%llx lies in another frame of node %llu%s\n",
	       (unsigned long long)cli_number(answer, "gpa"),
	       (unsigned long long)cli_number(answer, "node"),
	       json_is_true(json_object_get(answer, "huge")) ? ", with all of its huge page"
	       : json_is_true(json_object_get(answer, "thp_split"))
		   ? "; its huge page is small ones now: the node has no free huge page"
		   : "");
	if (json_is_true(json_object_get(answer, "offlined")))
		puts("the old one is out of use, until the host boots again");
	else
		printf("the old one is in quarantine until the guest ends: %s\n",
		       reason(cli_text(answer, "reason")));
}

int cmd_retire(int argc, char **argv)
{
	const struct cli_option options[] = {
	    {.name = "gpa",
	     .placeholder = "ADDRESS",
	     .help = "the page, by any guest-physical address in it: 0x7000, 1G",
	     .text = &asked.gpa},
	    {.name = "keep",
	     .help = "keep the frame in quarantine, and do not ask the kernel to take it",
	     .flag = &asked.keep},
	    {0},
	};
	struct cli_query query = {
	    .command = "retire-page",
	    .args = {CLI_VM, .options = options, .json_help = "print the result as JSON"},
	    .ask = ask,
	    .print = print_retired};

	asked.gpa = NULL;
	asked.keep = false;
	return cli_run_query(argc, argv, &query);
}
