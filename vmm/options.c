/* The command line: one table of options, then the checks that need more than one of them. */
#include "options.h"
#include "../control/size.h"
#include "../migrate/gmig_heat.h"
#include "options_parse.h"
#include "options_text.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum guest { ANY_GUEST, LINUX_GUEST, PROBE_GUEST };

struct option_entry {
	const char *name, *argument; /* argument NULL: takes none; "[=..": it may be left out */
	int (*set)(struct parse *parse, char *text, struct gmig_error *err);
	bool repeatable;
	enum guest guest;
	const char *help;
};

/* ---- Simple ones ----------------------------------------------------------------------------- */

static int set_name(struct parse *parse, char *text, struct gmig_error *err)
{
	size_t length = strlen(text);

	if (!length)
		return gmig_fail(err, -EINVAL, "--name: the name is empty");
	if (length >= sizeof(parse->options->name))
		return gmig_fail(err, -EINVAL, "--name: %zu characters are more than 64", length);
	if (*text == '.')
		return gmig_fail(err, -EINVAL, "--name: '%s' starts with a dot", text);
	for (const char *c = text; *c; c++)
		if (*c == '/' || (unsigned char)*c <= ' ' || *c == 0x7f)
			return gmig_fail(err, -EINVAL,
					 "--name: '%s' has a slash, a space or a control character",
					 text);
	memcpy(parse->options->name, text, length + 1);
	return 0;
}

static int set_mem(struct parse *parse, char *text, struct gmig_error *err)
{
	return options_memory("--mem", text, &parse->mem_bytes, err);
}

static int set_cpus(struct parse *parse, char *text, struct gmig_error *err)
{
	return options_number("--cpus", text, (const uint64_t[]){1, VMM_MAX_VCPUS}, &parse->cpus,
			      err);
}

static int set_fake_nodes(struct parse *parse, char *text, struct gmig_error *err)
{
	uint64_t value;
	int ret = options_number("--fake-nodes", text, (const uint64_t[]){1, GMIG_MAX_NODES},
				 &value, err);

	if (!ret)
		parse->options->fake_nodes = (unsigned int)value;
	return ret;
}

static int set_grace(struct parse *parse, char *text, struct gmig_error *err)
{
	const uint64_t second_ns = 1000000000;
	uint64_t ns;

	if (control_time_parse(text, second_ns, 3600 * second_ns, &ns))
		return gmig_fail(err, -EINVAL,
				 "--grace: '%s' is not a time from 0 to 3600s, as 90, 90s or 2min",
				 text);
	parse->options->grace_s = (unsigned int)((ns + second_ns - 1) / second_ns);
	return 0;
}

static int set_prealloc(struct parse *parse, char *text, struct gmig_error *err)
{
	uint64_t threads = 0;
	int ret = !text ? 0
			: options_number("--prealloc", text,
					 (const uint64_t[]){1, GMIG_MAX_WORKERS}, &threads, err);

	parse->options->prealloc = true;
	parse->options->prealloc_threads = (unsigned int)threads;
	return ret;
}

static int set_sample(struct parse *parse, char *text, struct gmig_error *err)
{
	uint64_t rate = 0;
	int ret = !text ? 0
			: options_number("--sample", text,
					 (const uint64_t[]){1, GMIG_SAMPLING_RATE_MAX}, &rate, err);

	parse->options->sample = true;
	parse->options->sample_rate = (unsigned int)rate;
	return ret;
}

static int set_memory(struct parse *parse, char *text, struct gmig_error *err)
{
	static const char *const kinds[] = {"uffd", "plain", "memfd", "hugetlb", NULL};
	char *comma = strchr(text, ',');
	int i;

	if (comma)
		*comma = '\0';
	i = gmig_name_index("--memory", kinds, text, err);
	if (i < 0)
		return i;
	if (comma && (i != 2 || strcmp(comma + 1, "huge=2M") != 0))
		return gmig_fail(err, -EINVAL,
				 "--memory: '%s' does not go with %s: there is memfd,huge=2M",
				 comma + 1, text);
	parse->options->plain = i == 1;
	parse->options->memfd = i == 2;
	parse->options->memfd_huge = comma;
	parse->options->hugetlb = i == 3;
	return 0;
}

static int set_sandbox(struct parse *parse, char *text, struct gmig_error *err)
{
	int i = gmig_name_index("--sandbox", (const char *const[]){"on", "off", NULL}, text, err);

	parse->options->no_sandbox = i == 1;
	return i < 0 ? i : 0;
}

static int set_page(struct parse *parse, char *text, struct gmig_error *err)
{
	int i = gmig_name_index("--page", (const char *const[]){"2M", "4K", "1G", NULL}, text, err);

	parse->options->small_pages = i == 1;
	parse->options->giant_pages = i == 2;
	return i < 0 ? i : 0;
}

static int set_extra(struct parse *parse, char *text, struct gmig_error *err)
{
	return options_memory("--extra", text, &parse->options->extra_bytes, err);
}

static int set_pool(struct parse *parse, char *text, struct gmig_error *err)
{
	return options_memory("--pool", text, &parse->options->pool_bytes, err);
}

const char *const *vmm_load_names(void)
{
	static const char *const names[] = {
	    [VMM_LOAD_WRITE] = "write", [VMM_LOAD_IDLE] = "idle", [VMM_LOAD_RANDOM] = "random",
	    [VMM_LOAD_READ] = "read",	[VMM_LOAD_HALF] = "half", [VMM_LOAD_HALF + 1] = NULL,
	};

	return names;
}

int vmm_load_parse(const char *what, const char *text, enum vmm_load *load, struct gmig_error *err)
{
	int i = gmig_name_index(what, vmm_load_names(), text, err);

	if (i < 0)
		return i;
	*load = (enum vmm_load)i;
	return 0;
}

static int set_load(struct parse *parse, char *text, struct gmig_error *err)
{
	return vmm_load_parse("--load", text, &parse->options->load, err);
}

static int set_touch(struct parse *parse, char *text, struct gmig_error *err)
{
	uint64_t value;
	int ret = options_number("--touch", text, (const uint64_t[]){1, 100}, &value, err);

	if (!ret)
		parse->options->probe_touch_percent = (unsigned int)value;
	return ret;
}

static int set_console(struct parse *parse, char *text, struct gmig_error *err)
{
	bool file = strncmp(text, "file:", 5) == 0 && text[5];
	char *comma = file ? strchr(text, ',') : NULL;

	if (comma && (strcmp(comma, ",append") != 0 || comma == text + 5))
		return gmig_fail(err, -EINVAL, "--console: '%s' is not file:PATH[,append]", text);
	if (comma)
		*comma = '\0';
	parse->options->console_append = comma;
	if (!file && strcmp(text, "stdio") != 0 && strcmp(text, "pty") != 0 &&
	    strcmp(text, "none") != 0)
		return gmig_fail(err, -EINVAL,
				 "--console: '%s' is none of stdio, pty, none, file:PATH[,append]",
				 text);
	parse->options->console = text;
	return 0;
}

#define FLAG_SETTER(name, field)                                                                   \
	static int set_##name(struct parse *parse, char *text, struct gmig_error *err)             \
	{                                                                                          \
		(void)text;                                                                        \
		(void)err;                                                                         \
		parse->options->field = true;                                                      \
		return 0;                                                                          \
	}
FLAG_SETTER(mlock, mlock)
FLAG_SETTER(unsafe_kernel, unsafe_kernel)
FLAG_SETTER(no_reboot, no_reboot)
FLAG_SETTER(no_pin, no_pin)
FLAG_SETTER(daemonize, daemonize)
FLAG_SETTER(dump_guest_core, dump_guest_core)
FLAG_SETTER(interrupts, probe_interrupts)
FLAG_SETTER(help, help)
FLAG_SETTER(version, version)

/* What is said without a text is a mistake, not a wish for nothing. */
#define PATH_SETTER(name, option)                                                                  \
	static int set_##name(struct parse *parse, char *text, struct gmig_error *err)             \
	{                                                                                          \
		if (!*text)                                                                        \
			return gmig_fail(err, -EINVAL, option ": the file name is empty");         \
		parse->options->name = text;                                                       \
		return 0;                                                                          \
	}
PATH_SETTER(kernel, "--kernel")
PATH_SETTER(initrd, "--initrd")

static int set_append(struct parse *parse, char *text, struct gmig_error *err)
{
	(void)err;
	parse->options->append = text;
	return 0;
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct option_entry entries[] = {
    {"name", "NAME", set_name, false, ANY_GUEST,
     "the VM's name; its socket is NAME.sock (required)"},
    {"mem", "SIZE", set_mem, false, ANY_GUEST,
     "guest memory, as 512M or 2G; a plain number is MiB [256M]"},
    {"cpus", "N", set_cpus, false, ANY_GUEST, "number of vCPUs, 1 to 64 [1]"},
    {"node", "id=I,mem=SIZE[,cpus=A-B][,host=H]", options_node, true, ANY_GUEST,
     "a vnode: its memory (0: only CPUs), its vCPUs, the host node of its first touches [0]"},
    {"dist", "A,B,D", options_dist, true, ANY_GUEST,
     "distance of vnode B from A, 11 to 254, or 255: unreachable [20]"},
    {"fake-nodes", "N", set_fake_nodes, false, ANY_GUEST, "pretend that the host has N nodes"},
    {"memory", "uffd|plain|memfd[,huge=2M]|hugetlb", set_memory, false, ANY_GUEST,
     "plain: ordinary memory, which gmig cannot move; memfd: a file that others may map; hugetlb: "
     "of the "
     "host's pool of huge pages [uffd]"},
    {"page", "2M|4K|1G", set_page, false, ANY_GUEST, "page size of guest memory on the host [2M]"},
    {"pool", "SIZE", set_pool, false, ANY_GUEST, "free frames to keep for each host node [16M]"},
    {"extra", "SIZE", set_extra, false, ANY_GUEST,
     "most memory that migrations may use beside the guest's own [two pools + 32M]"},
    {"prealloc", "[=THREADS]", set_prealloc, false, ANY_GUEST,
     "take all of the guest's memory at the start, or say which node has not enough"},
    {"mlock", NULL, set_mlock, false, ANY_GUEST, "keep the guest's memory from being swapped out"},
    {"sample", "[=BLOCKS]", set_sample, false, ANY_GUEST,
     "look which memory the guest uses much, so many blocks a second [128]"},
    {"unsafe-kernel", NULL, set_unsafe_kernel, false, ANY_GUEST,
     "migrate even if the host's kernel is known to damage moved memory"},
    {"no-pin", NULL, set_no_pin, false, ANY_GUEST,
     "let vCPUs run on any CPU, not only those of their host node"},
    {"sandbox", "on|off", set_sandbox, false, ANY_GUEST,
     "leave threads only the system calls and files that they need [on]"},
    {"daemonize", NULL, set_daemonize, false, ANY_GUEST,
     "return when the guest runs, and go on in the background"},
    {"dump-guest-core", NULL, set_dump_guest_core, false, ANY_GUEST,
     "write the guest's memory into core dumps, too"},
    {"no-reboot", NULL, set_no_reboot, false, ANY_GUEST, "end when the guest reboots"},
    {"grace", "TIME", set_grace, false, ANY_GUEST,
     "at SIGTERM wait so long for the guest to power down; 0: do not ask it [30]"},
    {"kernel", "FILE", set_kernel, false, ANY_GUEST,
     "boot this bzImage; without it the probe guest runs"},
    {"initrd", "FILE", set_initrd, false, LINUX_GUEST, "its initial RAM disk"},
    {"append", "TEXT", set_append, false, LINUX_GUEST, "its command line"},
    {"disk", "FILE[,readonly][,cache=writeback|none][,on-full=pause|error]", options_disk, true,
     LINUX_GUEST,
     "virtio disk, raw (up to 4); cache: of the host [writeback]; on-full: when the host has no "
     "room "
     "[pause]"},
    {"net", "tap=NAME", options_net, true, LINUX_GUEST,
     "virtio network interface on a tap (up to 2)"},
    {"port", "name=NAME,path=PATH", options_port, true, LINUX_GUEST,
     "virtio console port on a UNIX socket (up to 8)"},
    {"balloon", "[=deflate-on-oom,reporting]", options_balloon, false, LINUX_GUEST,
     "a virtio balloon, so that gmig balloon can shrink the guest; reporting: free pages go "
     "back by themselves"},
    {"console", "stdio|file:PATH[,append]|pty|none", set_console, false, LINUX_GUEST,
     "where the serial console goes [stdio]"},
    {"load", "write|idle|random|read|half", set_load, false, PROBE_GUEST,
     "what the probe guest does [write]"},
    {"interrupts", NULL, set_interrupts, false, PROBE_GUEST,
     "run the probe guest with interrupts on"},
    {"touch", "PERCENT", set_touch, false, PROBE_GUEST,
     "how much of its memory the probe guest uses [100]"},
    {"help", NULL, set_help, true, ANY_GUEST, "print this and exit"},
    {"version", NULL, set_version, true, ANY_GUEST, "print the version and exit"},
};

#define ENTRIES (sizeof(entries) / sizeof(entries[0]))
_Static_assert(ENTRIES <= 64, "one bit each in parse_words()");

/* Its argument may be left out. */
static bool may_lack(const struct option_entry *entry)
{
	return entry->argument && *entry->argument == '[';
}

const char *vmm_options_help(void)
{
	static char text[6144];
	size_t used;

	used = (size_t)snprintf(
	    text, sizeof(text),
	    "usage: gmig-vmm --name NAME [OPTION]...\n"
	    "Run a guest whose memory gmig can move between the host's NUMA nodes.\n\n");
	for (size_t i = 0; i < ENTRIES; i++) {
		char option[64];

		snprintf(option, sizeof(option), "--%s%s%s", entries[i].name,
			 entries[i].argument && !may_lack(&entries[i]) ? " " : "",
			 entries[i].argument ? entries[i].argument : "");
		used += (size_t)snprintf(
		    text + used, sizeof(text) - used, "  %-34s%s%s\n", option,
		    strlen(option) < 34 ? "" : "\n                                    ",
		    entries[i].help);
	}
	return text;
}

/* ---- Parsing --------------------------------------------------------------------------------- */

static int check_guest(const struct option_entry *entry, const struct vmm_options *options,
		       struct gmig_error *err)
{
	if (entry->guest == LINUX_GUEST && !options->kernel)
		return gmig_fail(err, -EINVAL, "--%s is for a Linux guest: --kernel is missing",
				 entry->name);
	if (entry->guest == PROBE_GUEST && options->kernel)
		return gmig_fail(err, -EINVAL,
				 "--%s is for the probe guest, not together with --kernel",
				 entry->name);
	return 0;
}

static int refuse_unknown(int option, char **argv, struct gmig_error *err)
{
	const char *word = argv[optind - 1];

	if (option == ':')
		return gmig_fail(err, -EINVAL, "%s needs an argument", word);
	if (optopt > 0 && optopt < 256)
		return gmig_fail(err, -EINVAL, "unknown option -%c", optopt);
	if (optopt >= 256)
		return gmig_fail(err, -EINVAL, "%s takes no argument", word);
	return gmig_fail(err, -EINVAL, "unknown option %s", word);
}

/* All text ends up in messages and JSON, except what is the guest's alone. */
static int check_text(const struct option_entry *entry, const char *text, struct gmig_error *err)
{
	char what[32];

	if (!text || entry->set == set_append)
		return 0;
	snprintf(what, sizeof(what), "--%s", entry->name);
	return options_plain_text(what, text, err);
}

static int parse_words(int argc, char **argv, struct parse *parse, struct gmig_error *err)
{
	struct option table[ENTRIES + 1] = {0};
	uint64_t seen = 0;
	int option, ret = 0;

	for (size_t i = 0; i < ENTRIES; i++)
		table[i] = (struct option){entries[i].name,
					   may_lack(&entries[i]) ? optional_argument
					   : entries[i].argument ? required_argument
								 : no_argument,
					   NULL, 256 + (int)i};
	optind = 0; /* glibc: start afresh */
	opterr = 0;
	while (!ret && (option = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		const struct option_entry *entry;

		if (option < 256)
			return refuse_unknown(option, argv, err);
		entry = &entries[option - 256];
		if (seen & 1ull << (option - 256) && !entry->repeatable)
			return gmig_fail(err, -EINVAL, "--%s is given twice", entry->name);
		seen |= 1ull << (option - 256);
		ret = check_text(entry, optarg, err);
		if (!ret)
			ret = entry->set(parse, optarg, err);
	}
	if (ret || parse->options->help || parse->options->version)
		return ret;
	if (optind < argc)
		return gmig_fail(err, -EINVAL, "stray word '%s'", argv[optind]);
	for (size_t i = 0; i < ENTRIES && !ret; i++)
		if (seen & 1ull << i)
			ret = check_guest(&entries[i], parse->options, err);
	return ret;
}

int vmm_options_parse(int argc, char **argv, struct vmm_options *options, struct gmig_error *err)
{
	struct parse parse = {.options = options};
	const char *unsafe = getenv("GMIG_UNSAFE_KERNEL");
	int ret;

	*options = (struct vmm_options){.probe_touch_percent = 100, .grace_s = 30};
	/* For tests, whose guests hold nothing of value: they need not know the host's kernel. */
	options->unsafe_kernel = unsafe && !strcmp(unsafe, "1");
	ret = parse_words(argc, argv, &parse, err);
	if (ret || options->help || options->version)
		return ret;
	if (options->daemonize && options->kernel &&
	    (!options->console || !strcmp(options->console, "stdio")))
		return gmig_fail(err, -EINVAL,
				 "--daemonize: a guest in the background has no console on stdio: "
				 "give --console pty, none or file:PATH");
	if (options->giant_pages && !options->hugetlb)
		return gmig_fail(err, -EINVAL, "--page 1G is for --memory hugetlb");
	if (options->hugetlb && options->small_pages)
		return gmig_fail(err, -EINVAL, "--page 4K and --memory hugetlb: which one?");
	if (options->memfd_huge && options->small_pages)
		return gmig_fail(err, -EINVAL, "--page 4K and --memory memfd,huge=2M: which one?");
	if (options->sample &&
	    (options->plain || options->memfd || options->memfd_huge || options->hugetlb))
		return gmig_fail(err, -EINVAL,
				 "--sample is for --memory uffd: of other memory no block can be "
				 "taken out");
	return options_join(&parse, err);
}
