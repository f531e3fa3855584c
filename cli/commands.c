/* The table of commands, and how one is found and run. */
#include "commands.h"
#include "cli.h"

#include <signal.h>
#include <string.h>

static const struct cli_command commands[] = {
    {"list", "[--json]", "list the guests that run here", cmd_list},
    {"show", "VM [--fresh] [--maps [--gpa ADDRESS] | --heat] [--json]",
     "show where a guest's memory lies, its jobs, and how long it was delayed", cmd_show},
    {"top", "[--once] [--sort KEY] [--delay TIME] [--no-color] [--json]",
     "show all guests at a glance: where memory and vCPUs are, what moves, and why not", cmd_top},
    {"migrate", "VM|pid:N|--all [--vnode V] --from A[,B] --to C[,D]|--retry JOB [OPTION]..",
     "move the memory of a guest, or of any process, between host nodes while it runs",
     cmd_migrate},
    {"follow", "VM [--rate SIZE] [--settle TIME] [--json]",
     "keep a guest's memory with its vCPUs and within its cpuset while others change these",
     cmd_follow},
    {"move", "VM|pid:N --gpa LIST|--file PATH [--to NODE] [--query] [OPTION]..",
     "move single pages, each to the host node that is named for it, or ask where they are",
     cmd_move},
    {"bind", "VM --range GPA+SIZE --policy POLICY [--nodes NODES] [OPTION]..",
     "say on which host nodes a range of a guest's memory is to lie, now and later", cmd_bind},
    {"balloon", "VM [SIZE|max] [--no-wait] [--timeout TIME] [--json]",
     "have a guest give memory back to the host until it has SIZE, or take it again", cmd_balloon},
    {"sample", "VM on|off [--rate N] [--max-slowdown SHARE] [--json]",
     "look which memory a guest uses much, for show --heat and migrate --order", cmd_sample},
    {"pin", "VM [--vcpu N] --node NODE|--cpus LIST|--any|--auto [--json]",
     "say on which CPUs of the host a guest's vCPUs run", cmd_pin},
    {"jobs", "VM [--json]", "list a guest's migrations, running and past", cmd_jobs},
    {"cancel", "VM JOB [--json]", "end a migration; what has moved stays moved", cmd_cancel},
    {"pause-job", "VM JOB [--json]", "pause a migration", cmd_pause_job},
    {"resume-job", "VM JOB [--json]", "resume a paused migration", cmd_resume_job},
    {"set-rate", "VM JOB RATE [--json]",
     "limit a running migration to RATE bytes a second, 0 for no limit", cmd_set_rate},
    {"wait", "VM [JOB] [--timeout TIME] [--json]",
     "wait until a migration has ended, or all that run", cmd_wait},
    {"plan", "[--guest NAMES] [--goal GOAL] [OPTION].. [--json]",
     "show how near guests' memory is to their CPUs, and what should move", cmd_plan},
    {"rebalance", "[--dry-run] [--yes] [--rate SIZE] [OPTION]..",
     "bring memory and vCPUs of all guests to where the plan has them", cmd_rebalance},
    {"drain", "--node NODES [--undo] [--dry-run] [--yes] [--rate SIZE] [--json]",
     "close host nodes and bring all guests' memory off them", cmd_drain},
    {"stop", "VM [--json]", "stop the guest's CPUs", cmd_stop},
    {"cont", "VM [--json]", "resume the guest's CPUs", cmd_cont},
    {"powerdown", "VM [--wait TIME] [--json]",
     "press the guest's power button, so that it shuts itself down", cmd_powerdown},
    {"quit", "VM [--json]", "end the guest at once", cmd_quit},
    {"check", "VM [--repair] [--json]",
     "verify that no memory is lost and that no thread waits forever, or correct what is wrong",
     cmd_check},
    {"retire", "VM --gpa ADDRESS [--keep] [--json]",
     "bring a page off a bad frame of the host's memory, which is not used again", cmd_retire},
    {"histogram", "VM [--json]",
     "draw how long blocks were out of reach and how long threads stalled", cmd_histogram},
    {"doctor", "[--json]", "tell whether migration works on this host, and what to do if not",
     cmd_doctor},
    {"agent", "VM VERB [OPTION]..",
     "ask the agent in a guest, or have it move processes between the guest's nodes", cmd_agent},
    {"help", "[COMMAND]", "tell about gmig or one command", cmd_help},
    {0},
};

/* Whoever starts us may have blocked the signals that end a job; a mask is inherited. */
static void hear_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int cli_main(int argc, char **argv)
{
	const struct cli_command *command;

	int status;

	hear_signals();
	cli_note_interrupt(false);
	cli_progress_reset();
	cli_commands = commands;
	if (argc < 2)
		return cli_usage("", "no command given");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		cli_print_commands(stdout);
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("gmig " GMIG_VERSION);
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--complete-tables"))
		return cli_print_completion_tables(argv[2]);
	command = cli_find_command(argv[1]);
	if (!command)
		return cli_usage("", "there is no command '%s'", argv[1]);
	status = command->run(argc - 1, argv + 1);
	/* Whatever became of what it was doing: it was not to go on. */
	return cli_was_interrupted() ? (int)CLI_INTERRUPTED : status;
}
