/* gmig show: where a guest's memory lies, where its threads run, its jobs, and how long it was delayed. */
#include "../migrate/gmig_nodes.h"
#include "cli.h"
#include "commands.h"
#include "heat.h"
#include "maps.h"
#include "memory_map.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

/* Which host nodes the map names. */
static void add_nodes_of(const json_t *map, struct gmig_node_set *nodes)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)map, key, value)
		gmig_node_set_add(nodes, (unsigned int)strtoul(key, NULL, 10));
}

static struct gmig_node_set nodes_of_guest(const json_t *guest)
{
	const json_t *vnodes = json_object_get(guest, "vnodes");
	struct gmig_node_set nodes = {{0}};
	size_t i;
	json_t *vnode;

	add_nodes_of(json_object_get(guest, "pool"), &nodes);
	add_nodes_of(json_object_get(guest, "qemu"), &nodes);
	add_nodes_of(json_object_get(guest, "quarantine"), &nodes);
	json_array_foreach (vnodes, i, vnode)
		add_nodes_of(json_object_get(vnode, "resident"), &nodes);
	return nodes;
}

static uint64_t bytes_on(const json_t *map, unsigned int node)
{
	char key[16];

	snprintf(key, sizeof(key), "%u", node);
	return cli_number(map, key);
}

/* A row of bytes by node; the sum of it. */
static uint64_t node_cells(FILE *rows, const json_t *map, const struct gmig_node_set *nodes)
{
	char size[UNITS_TEXT];
	uint64_t sum = 0;

	gmig_node_set_each (node, nodes) {
		fprintf(rows, "\t%s", units_size(bytes_on(map, node), size));
		sum += bytes_on(map, node);
	}
	return sum;
}

/* Is any of the guest's memory swapped out? A column for it is there only then. */
static bool any_swapped(const json_t *vnodes)
{
	uint64_t swapped = 0;
	size_t i;
	json_t *vnode;

	json_array_foreach (vnodes, i, vnode)
		swapped += cli_number(vnode, "swapped_bytes");
	return swapped;
}

static void vnode_row(FILE *rows, const json_t *vnode, const struct gmig_node_set *nodes,
		      bool swapped)
{
	uint64_t bytes = cli_number(vnode, "bytes");
	uint64_t sum = cli_number(vnode, "swapped_bytes");
	char size[UNITS_TEXT];

	fprintf(rows, "vnode %llu\t%s", (unsigned long long)cli_number(vnode, "id"),
		units_size(bytes, size));
	sum += node_cells(rows, json_object_get(vnode, "resident"), nodes);
	if (swapped)
		fprintf(rows, "\t%s", units_size(cli_number(vnode, "swapped_bytes"), size));
	fprintf(rows, "\t%s\n", units_size(bytes > sum ? bytes - sum : 0, size));
}

static void frames_row(FILE *rows, const json_t *guest, const char *name,
		       const struct gmig_node_set *nodes)
{
	fprintf(rows, "%s\t", name);
	node_cells(rows, json_object_get(guest, name), nodes);
	fputs("\n", rows);
}

static void residency_rows(FILE *rows, const json_t *guest)
{
	const json_t *vnodes = json_object_get(guest, "vnodes");
	struct gmig_node_set nodes = nodes_of_guest(guest);
	bool swapped = any_swapped(vnodes);
	size_t i;
	json_t *vnode;

	fputs("memory\t>size", rows);
	gmig_node_set_each (node, &nodes)
		fprintf(rows, "\t>node %u", node);
	fprintf(rows, "%s\t>untouched\n", swapped ? "\t>swapped" : "");
	json_array_foreach (vnodes, i, vnode)
		vnode_row(rows, vnode, &nodes, swapped);
	/* Of a domain: what QEMU itself has. */
	if (json_object_get(guest, "qemu"))
		frames_row(rows, guest, "qemu", &nodes);
	if (json_object_get(guest, "pool"))
		frames_row(rows, guest, "pool", &nodes);
	if (json_object_size(json_object_get(guest, "quarantine")))
		frames_row(rows, guest, "quarantine", &nodes);
}

static void times_rows(FILE *rows, const json_t *guest)
{
	const json_t *probe = json_object_get(guest, "probe");

	cli_times_table(rows, guest);
	if (probe)
		cli_percentiles_row(rows, "gap in the guest", json_object_get(probe, "gap_ns"));
}

static void threads_rows(FILE *rows, const json_t *cpus)
{
	cli_threads_table(rows, json_object_get(cpus, "vcpus"), json_object_get(cpus, "threads"));
}

/* Memory that there is not, and bad frames: in quarantine they are in the table. */
static void print_bad(const json_t *guest)
{
	char size[UNITS_TEXT];

	if (cli_number(guest, "starved_pages"))
		printf(
		    "the guest waits for memory at %llu pages: the host, its cgroup or the pool of "
		    "huge pages has none for them\n",
		    (unsigned long long)cli_number(guest, "starved_pages"));
	if (cli_number(guest, "offlined_bytes"))
		printf("the kernel has taken %s of bad memory out of use for it\n",
		       units_size(cli_number(guest, "offlined_bytes"), size));
	if (cli_number(guest, "broken_bytes"))
		printf("%s of its memory cannot be read any more, and ends it when it is\n",
		       units_size(cli_number(guest, "broken_bytes"), size));
}

/* How old the picture is, and whether others seem to have moved memory since then. */
static void print_age(const json_t *guest)
{
	const json_t *age = json_object_get(guest, "age_seconds");
	const json_t *sample = json_object_get(guest, "sample");
	char text[UNITS_TEXT];

	if (json_is_number(age))
		printf("compared with the kernel %s ago\n",
		       units_ns((uint64_t)(json_number_value(age) * 1e9), text));
	if (json_object_get(guest, "unknown"))
		printf("where its memory lies is not known: %s\n", cli_text(guest, "unknown"));
	if (cli_number(guest, "slots_emptied"))
		printf("others, as a debugger, filled slots of the pools %llu times; emptied\n",
		       (unsigned long long)cli_number(guest, "slots_emptied"));
	if (cli_number(sample, "corrected_pages"))
		printf("others move its memory: %llu of %llu sampled pages had been moved; "
		       "--fresh compares all\n",
		       (unsigned long long)cli_number(sample, "corrected_pages"),
		       (unsigned long long)cli_number(sample, "checked_pages"));
}

/* The VMM's text is what a refused migration says, too: it begins with "migration is off". */
static void print_migration(const json_t *guest)
{
	const char *text = cli_text(guest, "migration");
	bool whole = !strncmp(text, "migration is off", strlen("migration is off"));

	if (json_object_get(guest, "migration") && strcmp(text, "on") != 0)
		printf("%s%s\n", whole ? "" : "migration is off: ", text);
}

/* What only the engine of gmig-vmm knows. */
static void print_faults(const json_t *guest)
{
	if (json_object_get(guest, "faults"))
		printf(", %llu faults served, %llu threads wait now",
		       (unsigned long long)cli_number(guest, "faults"),
		       (unsigned long long)cli_number(guest, "sleepers"));
	putchar('\n');
}

/* Nothing where no device goes straight to the guest's memory. */
static void print_dma(const json_t *dma)
{
	if (cli_number(dma, "transfers") || cli_number(dma, "refused"))
		printf(
		    "devices are at %llu blocks now, for which jobs postponed a block %llu times\n",
		    (unsigned long long)cli_number(dma, "busy_blocks"),
		    (unsigned long long)cli_number(dma, "postponed"));
}

/* What gmigd is to keep, and whether it does. */
static void print_placement(const json_t *placement)
{
	if (json_object_get(placement, "wrong"))
		printf("note: its placement policy is wrong, it is not moved by itself: %s\n",
		       cli_text(placement, "wrong"));
	else
		printf("placement %s (%s)%s%s\n",
		       json_object_get(placement, "policy") ? cli_text(placement, "policy")
							    : "unknown",
		       cli_text(placement, "state"), *cli_text(placement, "reason") ? ": " : "",
		       cli_text(placement, "reason"));
}

/* What gmigd knows of a domain's memory and its cpusets. */
static void print_domain(const json_t *guest)
{
	const json_t *cpuset = json_object_get(guest, "cpuset");
	char found[UNITS_TEXT];

	if (cpuset)
		printf("its cpusets allow memory on nodes %s%s\n", cli_text(cpuset, "nodes"),
		       json_is_true(json_object_get(cpuset, "widened")) ? ", widened for a move"
									: "");
	if (json_is_false(json_object_get(guest, "fits")))
		printf("not sure: %s of QEMU's mappings are taken for guest memory\n",
		       units_size(cli_number(guest, "mapped_bytes"), found));
	if (json_object_get(guest, "note"))
		printf("note: %s\n", cli_text(guest, "note"));
	if (json_object_get(guest, "placement"))
		print_placement(json_object_get(guest, "placement"));
}

/* Pages of hugetlbfs, of one size. */
static void print_hugetlb(const json_t *pages)
{
	char size[UNITS_TEXT];
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)pages, key, value)
		if (!strncmp(key, "hugetlb-", 8))
			printf(", %s in pages of %s of hugetlbfs",
			       units_size(cli_number(pages, key), size), key + 8);
}

/* How its disks are served; a disk through the host's cache has no more to say. */
static void print_disks(const json_t *disks)
{
	size_t i;
	json_t *disk;

	json_array_foreach (disks, i, disk) {
		printf("disk %s: cache=%s%s", cli_text(disk, "path"), cli_text(disk, "cache"),
		       json_is_true(json_object_get(disk, "readonly")) ? ", readonly" : "");
		if (json_object_get(disk, "straight"))
			printf(
			    ", aio=%s, %llu transfers straight to guest memory, %llu by a buffer",
			    cli_text(disk, "aio"), (unsigned long long)cli_number(disk, "straight"),
			    (unsigned long long)cli_number(disk, "bounced"));
		putchar('\n');
	}
}

/* Regions have it all or none: the right to look at what only a peer has touched. */
static void print_unseen(const json_t *regions)
{
	const char *error = NULL;
	json_t *region;
	size_t i;

	json_array_foreach (regions, i, region)
		if (json_object_get(json_object_get(region, "file"), "unseen"))
			error = cli_text(json_object_get(region, "file"), "unseen");
	if (!error)
		return;
	printf("huge pages that only another process has touched are neither seen nor moved: %s\n",
	       !strcmp(error, "EPERM") || !strcmp(error, "EACCES")
		   ? "no right to a userfaultfd; see `gmig doctor`, and start the guest anew"
	       : !strcmp(error, "EINVAL") ? "this kernel has no minor faults of hugetlb pages; "
					    "use Linux 5.18 or later"
					  : error);
}

/* Nothing for a guest that has all of its memory. */
static void print_balloon(const json_t *balloon)
{
	uint64_t actual = cli_number(balloon, "actual"), target = cli_number(balloon, "target");
	char has[UNITS_TEXT], most[UNITS_TEXT], told[UNITS_TEXT];

	if (!balloon || (actual == target && actual == cli_number(balloon, "maximum")))
		return;
	printf("its balloon leaves it %s of %s", units_size(actual, has),
	       units_size(cli_number(balloon, "maximum"), most));
	if (actual != target)
		printf(", and is to leave it %s%s", units_size(target, told),
		       json_is_true(json_object_get(balloon, "driver"))
			   ? ""
			   : ", but no driver answers");
	putchar('\n');
}

static void print_head(const json_t *guest)
{
	const json_t *pages = json_object_get(guest, "page_bytes");
	char huge[UNITS_TEXT], small[UNITS_TEXT];

	printf("%s, pid %llu, %s\n", cli_text(guest, "name"),
	       (unsigned long long)cli_number(guest, "pid"), cli_text(guest, "state"));
	if (json_object_get(guest, "stop_reason"))
		printf("stopped because of %s; `gmig cont` goes on\n",
		       cli_text(guest, "stop_reason"));
	if (cli_number(guest, "fake_nodes"))
		printf("%llu fake nodes: the placement is pretended\n",
		       (unsigned long long)cli_number(guest, "fake_nodes"));
	print_migration(guest);
	printf("%s in huge pages, %s in 4K pages", units_size(cli_number(pages, "2M"), huge),
	       units_size(cli_number(pages, "4K"), small));
	print_hugetlb(pages);
	print_faults(guest);
	print_unseen(json_object_get(guest, "regions"));
	print_bad(guest);
	print_dma(json_object_get(guest, "dma"));
	print_disks(json_object_get(guest, "disks"));
	print_balloon(json_object_get(guest, "balloon"));
	print_domain(guest);
}

static void print_guest(const struct cli_args *args, const json_t *guest)
{
	const json_t *jobs = json_object_get(guest, "jobs"),
		     *probe = json_object_get(guest, "probe");

	(void)args;
	print_head(guest);
	print_age(guest);
	putchar('\n');
	cli_print_rows(residency_rows, guest);
	putchar('\n');
	if (json_object_get(guest, "cpus")) {
		cli_print_rows(threads_rows, json_object_get(guest, "cpus"));
		if (json_object_get(guest, "stall_ns"))
			putchar('\n');
	}
	if (json_object_get(guest, "stall_ns"))
		cli_print_rows(times_rows, guest);
	if (probe)
		printf("\nprobe guest: %llu sweeps, %llu errors\n",
		       (unsigned long long)cli_number(probe, "sweeps"),
		       (unsigned long long)cli_number(probe, "errors"));
	if (!json_array_size(jobs))
		return;
	putchar('\n');
	cli_print_rows(cli_job_table, jobs);
	cli_job_reasons(stdout, jobs);
}

static bool fresh;

static int ask_guest(const struct cli_args *args, json_t *arguments)
{
	(void)args;
	/* Only when asked for: an older VMM refuses arguments that it does not know. */
	if (fresh)
		json_object_set_new(arguments, "fresh", json_true());
	return -1;
}

/* Which are questions of their own, and what goes with which. -1, or the exit status of a usage error. */
static int check_question(bool maps, bool heat, const char *map, const char *gpa)
{
	if (map && (maps || heat || fresh))
		return cli_usage("show", "--map draws all of it: without --%s",
				 maps	? "maps"
				 : heat ? "heat"
					: "fresh");
	if (maps && heat)
		return cli_usage("show", "--maps or --heat: which one?");
	if (fresh && (maps || heat))
		return cli_usage("show", "--fresh is not for --%s", maps ? "maps" : "heat");
	if (gpa && !maps)
		return cli_usage("show", "--gpa is for --maps");
	return -1;
}

static bool has_option(int argc, char **argv, const char *option)
{
	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], option, strlen(option)))
			return true;
	return false;
}

int cmd_show(int argc, char **argv)
{
	const char *gpa = NULL, *map = NULL;
	bool maps = false, heat = false;
	const struct cli_option options[] = {
	    {.name = "fresh",
	     .help = "compare with the kernel first: others may have moved pages",
	     .flag = &fresh},
	    {.name = "maps",
	     .help = "the memory run by run: policy, pages by node, huge and small, misplaced",
	     .flag = &maps},
	    {.name = "heat",
	     .help = "how much each GiB is used, as far as it was sampled (gmig sample)",
	     .flag = &heat},
	    {.name = "map",
	     .placeholder = "PATH",
	     .help = "draw where every block lies, and its heat, into a .svg or .png; -: SVG",
	     .text = &map},
	    {.name = "gpa",
	     .placeholder = "ADDRESS",
	     .help = "with --maps: only from this guest-physical address on, to the run's end",
	     .text = &gpa},
	    {0},
	};
	struct cli_query query = {
	    .command = "query-residency",
	    .args = {CLI_DOMAIN, .options = options, .json_help = "print everything as JSON"},
	    .ask = ask_guest,
	    .print = print_guest,
	    .is_long = &fresh,
	};

	fresh = false;
	/* A word of its own decides before the query is built: these are other questions. */
	if (has_option(argc, argv, "--map") || has_option(argc, argv, "--gpa") ||
	    has_option(argc, argv, "--heat")) {
		int status = cli_parse(argc, argv, &query.args);

		if (status < 0)
			status = check_question(maps, heat, map, gpa);
		if (status >= 0)
			return status;
		if (map && query.args.json)
			return cli_usage("show", "--map draws; --maps --json tells it");
		if (map)
			return cli_show_map(query.args.words[0], map);
		return heat ? cli_show_heat(query.args.words[0], query.args.json)
			    : cli_show_maps(query.args.words[0], gpa, query.args.json);
	}
	return cli_run_query(argc, argv, &query);
}
