#include "qemu_memory.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_BYTES                                                                                \
	(1ull << 20) /* no guest memory is smaller, and most of QEMU's own mappings are */
#define BASE_KIB    4
#define SLACK_BYTES (64ull << 20)

/* ---- Which mappings -------------------------------------------------------------------------- */

/* Programs and their data (a locale archive of 200 MiB) lie below /usr; memory-backend-file elsewhere. */
static bool may_be_ram(const struct process_mapping *mapping)
{
	return mapping->kind != PROCESS_DEVICE && mapping->end - mapping->start >= LEAST_BYTES &&
	       mapping->name[0] != '[' && strncmp(mapping->name, "/usr/", 5) != 0;
}

static int by_likelihood(const void *a, const void *b)
{
	const struct process_mapping *one = a, *other = b;
	uint64_t ours = one->end - one->start, theirs = other->end - other->start;

	/* Stacks and arenas of a QEMU with many threads are not taken for a small guest's memory. */
	if (one->unforked != other->unforked)
		return one->unforked ? -1 : 1;
	if (ours != theirs)
		return ours > theirs ? -1 : 1;
	return one->start < other->start ? -1 : one->start > other->start;
}

static int by_address(const void *a, const void *b)
{
	const struct process_mapping *one = a, *other = b;

	return one->start < other->start ? -1 : one->start > other->start;
}

int qemu_ram_choose(const struct process_maps *maps, uint64_t domain_bytes, struct qemu_ram *ram)
{
	size_t candidates = 0;

	*ram = (struct qemu_ram){.domain_bytes = domain_bytes};
	ram->mapping = calloc(maps->count + 1, sizeof(*ram->mapping));
	if (!ram->mapping)
		return -ENOMEM;
	for (size_t i = 0; i < maps->count; i++)
		if (may_be_ram(&maps->mapping[i]))
			ram->mapping[candidates++] = maps->mapping[i];
	qsort(ram->mapping, candidates, sizeof(*ram->mapping), by_likelihood);
	while (ram->count < candidates && ram->bytes < domain_bytes) {
		const struct process_mapping *next = &ram->mapping[ram->count++];

		ram->bytes += next->end - next->start;
	}
	qsort(ram->mapping, ram->count, sizeof(*ram->mapping), by_address);
	ram->fits = ram->bytes >= domain_bytes &&
		    ram->bytes - domain_bytes <= domain_bytes / 16 + SLACK_BYTES;
	return 0;
}

void qemu_ram_free(struct qemu_ram *ram)
{
	free(ram->mapping);
	memset(ram, 0, sizeof(*ram));
}

/* ---- Where they lie -------------------------------------------------------------------------- */

static const struct process_mapping *find_ram(const struct qemu_ram *ram, uint64_t address)
{
	size_t low = 0, high = ram->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct process_mapping *mapping = &ram->mapping[middle];

		if (address < mapping->start)
			high = middle;
		else if (address >= mapping->end)
			low = middle + 1;
		else
			return mapping;
	}
	return NULL;
}

/* "N0=123" of a line; pages are of the size that the line's end has. False: another word. */
static bool take_node(const char *word, uint64_t page_bytes, uint64_t bytes[GMIG_MAX_NODES])
{
	unsigned long node;
	char *end;

	if (word[0] != 'N' || !isdigit((unsigned char)word[1]))
		return false;
	node = strtoul(word + 1, &end, 10);
	if (*end != '=' || node >= GMIG_MAX_NODES)
		return false;
	bytes[node] += strtoull(end + 1, NULL, 10) * page_bytes;
	return true;
}

/* "START POLICY [file=PATH] [anon=N] .. [N0=N] .. [kernelpagesize_kB=N]"; blanks in a path are escaped. */
static int take_line(char *line, const struct qemu_ram *ram, struct qemu_usage *usage)
{
	const char *size = strstr(line, " kernelpagesize_kB=");
	uint64_t kib = size ? strtoull(size + strlen(" kernelpagesize_kB="), NULL, 10) : 4;
	char *save = NULL, *end;
	uint64_t address, *bytes;
	bool is_ram;

	errno = 0;
	address = strtoull(line, &end, 16);
	if (end == line || *end != ' ' || errno || !kib || kib > 16ull << 20)
		return -EIO;
	is_ram = find_ram(ram, address);
	bytes = is_ram ? usage->ram_bytes : usage->other_bytes;
	for (char *word = strtok_r(end, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		take_node(word, kib << 10, bytes);
		if (is_ram && kib > BASE_KIB)
			take_node(word, kib << 10, usage->hugetlb_ram_bytes);
	}
	return 0;
}

/* What smaps says of guest memory. */
static void count_mapping(struct qemu_usage *usage, const struct process_mapping *mapping)
{
	uint64_t size = mapping->end - mapping->start;
	uint64_t there = mapping->resident_bytes + mapping->swapped_bytes;

	if (mapping->kind == PROCESS_HUGETLB) {
		usage->hugetlb_bytes += mapping->resident_bytes;
		if (mapping->page_bytes > usage->hugetlb_page_bytes)
			usage->hugetlb_page_bytes = mapping->page_bytes;
	} else {
		usage->huge_bytes += mapping->huge_bytes;
		usage->small_bytes += mapping->resident_bytes > mapping->huge_bytes
					  ? mapping->resident_bytes - mapping->huge_bytes
					  : 0;
	}
	usage->swapped_bytes += mapping->swapped_bytes;
	usage->untouched_bytes += size > there ? size - there : 0;
	usage->shared_bytes += mapping->shared_bytes;
	usage->locked_bytes += mapping->locked ? mapping->resident_bytes : 0;
}

int qemu_usage_parse(FILE *numa_maps, const struct qemu_ram *ram, struct qemu_usage *usage)
{
	size_t line_bytes = 0;
	char *line = NULL;
	int ret = 0;

	memset(usage, 0, sizeof(*usage));
	for (size_t i = 0; i < ram->count; i++)
		count_mapping(usage, &ram->mapping[i]);
	errno = 0;
	while (!ret && getline(&line, &line_bytes, numa_maps) > 0)
		ret = take_line(line, ram, usage);
	/* Not ferror(): a line for which there is no memory is no error of the stream. */
	if (!ret && !feof(numa_maps))
		ret = errno ? -errno : -EIO;
	free(line);
	return ret;
}

uint64_t qemu_usage_on(const struct qemu_usage *usage, unsigned int node)
{
	return usage->ram_bytes[node] + usage->other_bytes[node];
}

static int read_usage(const struct process *process, const struct qemu_ram *ram,
		      struct qemu_usage *usage)
{
	int fd = process->sys->open_proc(process->entry, "numa_maps"), ret;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (!file) {
		if (fd >= 0)
			process->sys->close(fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	ret = qemu_usage_parse(file, ram, usage);
	fclose(file);
	return ret;
}

int qemu_memory_read(struct process *process, uint64_t domain_bytes, struct qemu_ram *ram,
		     struct qemu_usage *usage, struct gmig_error *err)
{
	struct qemu_usage *found; /* half of it would be taken for a guest with little memory */
	struct process_maps maps;
	int ret = process_maps_read(process, &maps, err);

	memset(ram, 0, sizeof(*ram));
	if (ret)
		return ret;
	found = malloc(sizeof(*found));
	ret = found ? qemu_ram_choose(&maps, domain_bytes, ram) : -ENOMEM;
	process_maps_free(&maps);
	if (!ret)
		ret = read_usage(process, ram, found);
	/* A process that ends meanwhile reads as one without memory. */
	if (process_check(process, err))
		ret = -ESRCH;
	else if (ret)
		gmig_fail(err, ret, "where the memory of process %d lies cannot be read: %s",
			  (int)process->pid, strerror(-ret));
	if (ret)
		qemu_ram_free(ram);
	else
		*usage = *found;
	free(found);
	return ret;
}
