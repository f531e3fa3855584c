#include "options.h"
#include "../../control/size.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Lists of what to vary, by their place in parse_axis(); values; files and flags, by theirs in parse_option(). */
enum { AXES = 9, OPT_MEM = AXES, OPT_REPS, OPT_VMM, OPT_FAKE, OPT_DOMAIN };
enum { OPT_PATHS = 20, OPT_FLAGS = 30, OPT_PLACEMENT = 40, OPT_FLEET = 44 };

static const struct option long_options[] = {
    {"page", required_argument, NULL, 0},
    {"frames", required_argument, NULL, 1},
    {"load", required_argument, NULL, 2},
    {"mode", required_argument, NULL, 3},
    {"mover", required_argument, NULL, 4},
    {"threads", required_argument, NULL, 5},
    {"vcpus", required_argument, NULL, 6},
    {"jobs", required_argument, NULL, 7},
    {"batch", required_argument, NULL, 8},
    {"mem", required_argument, NULL, OPT_MEM},
    {"reps", required_argument, NULL, OPT_REPS},
    {"gmig-vmm", required_argument, NULL, OPT_VMM},
    {"fake-nodes", required_argument, NULL, OPT_FAKE},
    {"domain", required_argument, NULL, OPT_DOMAIN},
    {"hosts", required_argument, NULL, OPT_PLACEMENT},
    {"guests", required_argument, NULL, OPT_PLACEMENT + 1},
    {"steps", required_argument, NULL, OPT_PLACEMENT + 2},
    {"seed", required_argument, NULL, OPT_PLACEMENT + 3},
    {"fleet", required_argument, NULL, OPT_FLEET},
    {"csv", required_argument, NULL, OPT_PATHS},
    {"trace", required_argument, NULL, OPT_PATHS + 1},
    {"html", required_argument, NULL, OPT_PATHS + 2},
    {"json", no_argument, NULL, OPT_FLAGS},
    {"check", no_argument, NULL, OPT_FLAGS + 1},
    {"kernel-rate", no_argument, NULL, OPT_FLAGS + 2},
    {"help", no_argument, NULL, OPT_FLAGS + 3},
    {"no-pin", no_argument, NULL, OPT_FLAGS + 4},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: gmig-bench quick|move|paper|full|steady|memory|budget|heat|first|scale|placement "
    "[OPTION..]\n"
    "\n"
    "  quick    ten ways to move a guest's memory, in under a minute\n"
    "  move     move a probe guest's memory back and forth, next to memcpy in the same run\n"
    "  paper    one migration against four at once: what was said in 2006, and now\n"
    "  full     every way, and guests from 256M to 8G: many minutes\n"
    "  steady   what gmig costs a guest that nobody moves: against plain anonymous memory\n"
    "  memory   how much extra memory a migration takes, over time\n"
    "  budget   whether stall and slowdown budgets are held on a guest that writes or reads, and "
    "what they "
    "cost\n"
    "  heat     what sampling costs a guest, and what order hot-first is worth\n"
    "  first    how long from a job's start to the first memory that has moved, up to 1 TiB; no "
    "guest runs\n"
    "  scale    the shadow tables of guests of terabytes, without their memory; no guest runs\n"
    "  placement  rules of placement beside each other, on hosts over simulated time; no guest "
    "runs\n"
    "\n"
    "Lists are separated by commas; move measures their product. Without any, the cells of the "
    "targets.\n"
    "  --page 2M,4K            --frames fresh,recycled    --mode auto,readable,block\n"
    "  --load idle,write,random,read,half                 --threads N,..  copy workers\n"
    "  --vcpus N,..            --jobs N,..  at once on one guest\n"
    "  --batch N,..  small pages exchanged at a time, up to 512; of move_pages: addresses in a "
    "call\n"
    "  --mover uffd,move_pages,migratepages,virsh   gmig's; the kernel's own, on plain memory, and "
    "libvirt's, of\n"
    "                    a domain (all but gmig's with --fake-nodes 0)\n"
    "\n"
    "  --mem SIZE,..     guest memory: 512M, 2G (1G; quick 256M); only move takes several\n"
    "  --reps N          repetitions (move 9, quick 5, paper and full 7, steady 20 pairs, memory "
    "6)\n"
    "  --fake-nodes N    pretend N nodes on a host with one (2); 0: the host's own nodes 0 and 1, "
    "and the\n"
    "                    kernel's own movers beside gmig's in quick and move\n"
    "  --domain NAME     quick and move: beside the guests, move this running domain of "
    "qemu:///system, which must\n"
    "                    be `restrictive`, between nodes 0 and 1: by virsh numatune --live, and by "
    "the kernel's\n"
    "                    movers (with --fake-nodes 0)\n"
    "  --no-pin          leave the vCPU threads to the scheduler\n"
    "  --gmig-vmm PATH   (beside gmig-bench, else in $PATH)\n"
    "  --json            one JSON object on stdout\n"
    "  --csv FILE        every repetition's figures, as comma-separated values\n"
    "  --trace FILE      one more migration of the first cell, a line for each block\n"
    "  --html FILE       a report with plots, in one file (needs gnuplot)\n"
    "  --kernel-rate     also Linux's own migration, forced by asking for 1 GiB pages: root, and "
    "most of the\n"
    "                    free memory for a minute\n"
    "  --hosts N --guests N --steps N --seed N   placement: hosts (100), guests on each (4 to 40), "
    "steps of five\n"
    "                    minutes (48), and the first host's seed (1)\n"
    "  --fleet FILE      placement: each host begins as this file says\n"
    "  --check           judge the targets; exit 1 naming each shortfall\n"
    "  --help\n"
    "\n"
    "Exit status: 0 done, 1 failed or a target missed, 2 usage, 77 this machine cannot (reason on "
    "stderr).\n";

const char *bench_options_help(void)
{
	return help;
}

int bench_parse_mem(const char *text, uint64_t *bytes)
{
	uint64_t value;

	if (control_size_parse(text, 1u << 20, &value) || !value || value % (2u << 20))
		return -EINVAL;
	*bytes = value;
	return 0;
}

static int parse_count(const char *option, const char *text, unsigned int min, unsigned int max,
		       unsigned int *value, struct gmig_error *err)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || number < (long)min || number > (long)max)
		return gmig_fail(err, -EINVAL, "--%s: '%s' is not a number from %u to %u", option,
				 text, min, max);
	*value = (unsigned int)number;
	return 0;
}

/* One list option: names for a table of names, else numbers up to max, else sizes. */
struct list {
	const char *option;
	const char **names;
	unsigned int *numbers;
	unsigned int *count, room, max;
	uint64_t *bytes;
};

static int add_item(const struct list *list, const char *item, struct gmig_error *err)
{
	if (*list->count == list->room)
		return gmig_fail(err, -EINVAL, "--%s: at most %u values", list->option, list->room);
	if (list->numbers) {
		int rc = parse_count(list->option, item, 1, list->max, &list->numbers[*list->count],
				     err);

		if (rc)
			return rc;
	} else if (list->bytes) {
		if (bench_parse_mem(item, &list->bytes[*list->count]))
			return gmig_fail(
			    err, -EINVAL,
			    "--mem: '%s' is not a size like 512M or 2G, a multiple of 2M", item);
	} else {
		const char *name = cell_axis_name(list->option, item);

		if (!name)
			return gmig_fail(err, -EINVAL, "--%s: '%s' is none of those there are",
					 list->option, item);
		list->names[*list->count] = name;
	}
	(*list->count)++;
	return 0;
}

static int parse_list(const struct list *list, const char *text, struct gmig_error *err)
{
	char item[32];

	*list->count = 0;
	for (;;) {
		size_t length = strcspn(text, ",");
		int rc;

		if (!length || length >= sizeof(item))
			return gmig_fail(err, -EINVAL, "--%s: a list of values separated by commas",
					 list->option);
		snprintf(item, sizeof(item), "%.*s", (int)length, text);
		rc = add_item(list, item, err);
		if (rc || !text[length])
			return rc;
		text += length + 1;
	}
}

static int parse_axis(struct cell_axes *axes, int option, const char *text, struct gmig_error *err)
{
	const struct list lists[AXES] = {
	    {"page", axes->page, NULL, &axes->pages, 4, 0, NULL},
	    {"frames", axes->frames, NULL, &axes->frame_kinds, 4, 0, NULL},
	    {"load", axes->load, NULL, &axes->loads, 8, 0, NULL},
	    {"mode", axes->mode, NULL, &axes->modes, 4, 0, NULL},
	    {"mover", axes->mover, NULL, &axes->movers, 4, 0, NULL},
	    {"threads", NULL, axes->threads, &axes->thread_counts, 8, 16, NULL},
	    {"vcpus", NULL, axes->vcpus, &axes->vcpu_counts, 8, 8, NULL},
	    {"jobs", NULL, axes->jobs, &axes->job_counts, 8, 8, NULL},
	    {"batch", NULL, axes->batch, &axes->batches, 8, 512, NULL},
	};

	return parse_list(&lists[option], text, err);
}

/* gmig-vmm beside our own binary, else whatever $PATH has. */
static void find_vmm(char *path, size_t bytes)
{
	ssize_t length = readlink("/proc/self/exe", path, bytes - 1);
	char *slash;

	if (length > 0) {
		path[length] = '\0';
		slash = strrchr(path, '/');
		if (slash && (size_t)(slash - path) + sizeof("/gmig-vmm") <= bytes) {
			strcpy(slash, "/gmig-vmm");
			if (!access(path, X_OK))
				return;
		}
	}
	snprintf(path, bytes, "gmig-vmm");
}

static int parse_mems(struct bench_options *options, const char *text, struct gmig_error *err)
{
	struct cell_axes *axes = &options->axes;
	const struct list list = {"mem", .count = &axes->mems, .room = 8, .bytes = axes->mem_bytes};
	int rc = parse_list(&list, text, err);

	if (rc)
		return rc;
	options->mem_bytes = axes->mem_bytes[0];
	options->mem_given = true;
	options->axes_given |= axes->mems > 1;
	return 0;
}

static int parse_placement(int option, struct bench_options *options, struct gmig_error *err)
{
	static const char *const names[] = {"hosts", "guests", "steps", "seed"};
	unsigned int *const values[] = {&options->hosts, &options->guests, &options->steps,
					&options->seed};
	int place = option - OPT_PLACEMENT;

	options->placement_given = true;
	if (option == OPT_FLEET) {
		options->fleet_path = optarg;
		return 0;
	}
	return parse_count(names[place], optarg, 1, 1000000, values[place], err);
}

static int parse_option(int option, struct bench_options *options, struct gmig_error *err)
{
	bool *const flags[] = {&options->json, &options->check, &options->kernel_rate,
			       &options->help, &options->pin};
	const char **const paths[] = {&options->csv_path, &options->trace_path,
				      &options->html_path};

	if (option >= OPT_PLACEMENT)
		return parse_placement(option, options, err);
	if (option >= OPT_FLAGS &&
	    (size_t)(option - OPT_FLAGS) < sizeof(flags) / sizeof(flags[0])) {
		*flags[option - OPT_FLAGS] = flags[option - OPT_FLAGS] != &options->pin;
		return 0;
	}
	switch (option) {
	case OPT_MEM:
		return parse_mems(options, optarg, err);
	case OPT_REPS:
		return parse_count("reps", optarg, 1, BENCH_MAX_REPS, &options->reps, err);
	case OPT_FAKE:
		if (!strcmp(optarg, "1"))
			return gmig_fail(err, -EINVAL,
					 "--fake-nodes: a migration needs at least 2 nodes");
		return parse_count("fake-nodes", optarg, 0, 64, &options->fake_nodes, err);
	case OPT_VMM:
		snprintf(options->vmm_path, sizeof(options->vmm_path), "%s", optarg);
		return 0;
	case OPT_DOMAIN:
		if (!*optarg || strchr(optarg, '/'))
			return gmig_fail(err, -EINVAL, "--domain: '%s' is no name of a domain",
					 optarg);
		options->domain_name = optarg;
		return 0;
	default:
		*paths[option - OPT_PATHS] = optarg;
		return 0;
	}
}

int bench_options_parse(int argc, char **argv, struct bench_options *options,
			struct gmig_error *err)
{
	int option, rc = 0;

	memset(options, 0, sizeof(*options));
	options->mem_bytes = 1ull << 30;
	options->fake_nodes = 2;
	options->pin = true;
	options->hosts = 100;
	options->steps = 48;
	options->seed = 1;
	find_vmm(options->vmm_path, sizeof(options->vmm_path));
	optind = 0; /* GNU: scan anew, tests call this more than once */
	opterr = 0;
	while (!rc && (option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (option == ':')
			return gmig_fail(err, -EINVAL, "%s needs a value", argv[optind - 1]);
		if (option == '?')
			return gmig_fail(err, -EINVAL, "%s is no option of gmig-bench",
					 argv[optind - 1]);
		if (option < AXES) {
			options->axes_given = true;
			rc = parse_axis(&options->axes, option, optarg, err);
		} else {
			rc = parse_option(option, options, err);
		}
	}
	if (!rc && optind < argc)
		return gmig_fail(err, -EINVAL, "'%s' is one argument too many", argv[optind]);
	return rc;
}
