/* /proc/PID/smaps, see process.h. */
#include "process.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USER_END (1ull << 63) /* from here on the kernel's: [vsyscall] */

static const char *const kind_names[PROCESS_KINDS] = {
    [PROCESS_ANON] = "anonymous", [PROCESS_SHMEM] = "shared memory", [PROCESS_HUGETLB] = "hugetlb",
    [PROCESS_FILE] = "file",	  [PROCESS_DEVICE] = "device",
};

const char *process_kind_name(enum process_kind kind)
{
	return kind < PROCESS_KINDS ? kind_names[kind] : "?";
}

const char *process_mapping_fixed(const struct process_mapping *mapping)
{
	if (mapping->kind == PROCESS_DEVICE)
		return "memory of a device or of the kernel itself: it has no pages that could be "
		       "moved";
	return NULL;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static bool take_hex(const char **text, uint64_t *value)
{
	char *end;

	if (!isxdigit((unsigned char)**text))
		return false;
	errno = 0;
	*value = strtoull(*text, &end, 16);
	*text = end;
	return errno == 0;
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* Of a mapping that is all zeros. The kernel escapes newlines in paths; what else a terminal would take as a command goes, too. */
static void take_name(struct process_mapping *mapping, const char *path)
{
	for (size_t i = 0; path[i] && path[i] != '\n' && i < sizeof(mapping->name) - 1; i++)
		mapping->name[i] = (unsigned char)path[i] >= ' ' && path[i] != 127 ? path[i] : '?';
}

static bool begins_with_any(const char *text, const char *const *list)
{
	while (*list && !begins(text, *list))
		list++;
	return *list != NULL;
}

/*
 * By the path; whether it is hugetlb or a device's, VmFlags tells later. Shared memory without a
 * path of its own lies in a tmpfs that only the kernel has mounted. What KVM, io_uring, perf and
 * sockets share with a process is memory of the kernel, which is on no LRU list.
 */
static enum process_kind kind_of_path(const char *path, bool has_inode)
{
	static const char *const shmem[] = {"/memfd:",	 "/dev/zero",	 "/SYSV",
					    "/dev/shm/", "[anon_shmem:", NULL};
	static const char *const file[] = {"/dev/hugepages", "/dev/mqueue/", NULL};
	static const char *const kernel[] = {"[vdso]",	    "[vvar",   "[vsyscall]", "[uprobes]",
					     "anon_inode:", "socket:", "/dev/",	     NULL};

	if (begins_with_any(path, shmem))
		return PROCESS_SHMEM;
	if (begins_with_any(path, file))
		return PROCESS_FILE;
	if (begins_with_any(path, kernel))
		return PROCESS_DEVICE;
	return has_inode ? PROCESS_FILE : PROCESS_ANON;
}

/* "START-END PERMS OFFSET MAJOR:MINOR INODE   PATH". */
static bool take_head(const char *line, struct process_mapping *mapping)
{
	const char *at = line;
	uint64_t start, end;
	bool has_inode;

	if (!take_hex(&at, &start) || *at++ != '-' || !take_hex(&at, &end) || *at != ' ' ||
	    end <= start)
		return false;
	memset(mapping, 0, sizeof(*mapping));
	mapping->start = start;
	mapping->end = end;
	mapping->page_bytes = GMIG_PAGE_BYTES;
	for (int field = 0; field < 3 && at; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return true; /* a mapping all the same */
	has_inode = strtoull(at + 1, NULL, 10) != 0;
	at = strchr(at + 1, ' ');
	if (at)
		at += strspn(at, " ");
	mapping->kind = kind_of_path(at ? at : "", has_inode);
	take_name(mapping, at ? at : "");
	return true;
}

static uint64_t kib_of(const char *value, const struct process_mapping *mapping)
{
	uint64_t kib = strtoull(value, NULL, 10), size = mapping->end - mapping->start;

	return kib > size / 1024 ? size : kib * 1024;
}

/* "VmFlags: rd wr mr": two letters each. */
static void take_flags(struct process_mapping *mapping, const char *flags)
{
	for (const char *at = flags; *at; at += strcspn(at, " \n")) {
		at += strspn(at, " \n");
		if (begins(at, "ht"))
			mapping->kind = PROCESS_HUGETLB;
		else if (begins(at, "io") || begins(at, "pf"))
			mapping->kind = PROCESS_DEVICE;
		else if (begins(at, "lo"))
			mapping->locked = true;
		else if (begins(at, "dc"))
			mapping->unforked = true;
	}
}

/* What is no power of two from 4K on is not believed. */
static void take_page_size(struct process_mapping *mapping, const char *value)
{
	uint64_t kib = strtoull(value, NULL, 10);

	if (kib >= 4 && kib <= 16ull << 20 && !(kib & (kib - 1)))
		mapping->page_bytes = kib * 1024;
}

static void take_line(struct process_mapping *mapping, const char *line)
{
	static const struct {
		const char *key;
		size_t offset;
	} sums[] = {
#define SUM(key, field) {key, offsetof(struct process_mapping, field)}
	    SUM("Rss:", resident_bytes),
	    SUM("Shared_Hugetlb:", resident_bytes),
	    SUM("Private_Hugetlb:", resident_bytes),
	    SUM("Swap:", swapped_bytes),
	    SUM("AnonHugePages:", huge_bytes),
	    SUM("ShmemPmdMapped:", huge_bytes),
	    SUM("FilePmdMapped:", huge_bytes),
	    SUM("Shared_Clean:", shared_bytes),
	    SUM("Shared_Dirty:", shared_bytes),
	    SUM("Shared_Hugetlb:", shared_bytes),
#undef SUM
	};

	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		if (begins(line, sums[i].key))
			*(uint64_t *)((char *)mapping + sums[i].offset) +=
			    kib_of(line + strlen(sums[i].key), mapping);
	if (begins(line, "KernelPageSize:"))
		take_page_size(mapping, line + strlen("KernelPageSize:"));
	else if (begins(line, "VmFlags:"))
		take_flags(mapping, line + strlen("VmFlags:"));
}

/* ---- The file -------------------------------------------------------------------------------- */

static int add(struct process_maps *maps, size_t *capacity, const struct process_mapping *mapping)
{
	if (maps->count == *capacity) {
		size_t more = *capacity ? 2 * *capacity : 256;
		void *bigger = realloc(maps->mapping, more * sizeof(*maps->mapping));

		if (!bigger)
			return -ENOMEM;
		maps->mapping = bigger;
		*capacity = more;
	}
	maps->mapping[maps->count++] = *mapping;
	return 0;
}

int process_maps_parse(FILE *file, struct process_maps *maps)
{
	struct process_mapping head;
	size_t capacity = 0, line_bytes = 0;
	char *line = NULL;
	bool ours = false; /* lines belong to the last mapping, and we keep it */
	int ret = 0;

	memset(maps, 0, sizeof(*maps));
	while (!ret && getline(&line, &line_bytes, file) > 0) {
		if (take_head(line, &head)) {
			ours = head.end <= USER_END;
			ret = ours ? add(maps, &capacity, &head) : 0;
		} else if (ours) {
			take_line(&maps->mapping[maps->count - 1], line);
		}
	}
	/* Not ferror(): a line for which there is no memory is no error of the stream. */
	if (!ret && !feof(file))
		ret = errno ? -errno : -EIO;
	free(line);
	if (ret)
		process_maps_free(maps);
	return ret;
}

void process_maps_free(struct process_maps *maps)
{
	free(maps->mapping);
	free(maps->node);
	memset(maps, 0, sizeof(*maps));
}

/* A pagemap file shows the program that ran when it was opened: after an execve(2) it is empty. */
static void reopen_pagemap(struct process *process)
{
	struct pm_scan_arg nothing = {.size = sizeof(nothing)};

	if (process->pagemap >= 0)
		process->sys->close(process->pagemap);
	process->pagemap = process->sys->open_proc(process->entry, "pagemap");
	process->can_scan = process->pagemap >= 0 &&
			    process->sys->ioctl(process->pagemap, PAGEMAP_SCAN, &nothing) == 0;
}

int process_maps_read(struct process *process, struct process_maps *maps, struct gmig_error *err)
{
	int fd, ret;
	FILE *file;

	memset(maps, 0, sizeof(*maps));
	ret = process_check(process, err);
	if (!ret)
		ret = process_find_entry(process, err);
	if (ret)
		return ret;
	reopen_pagemap(process);
	fd = process->sys->open_proc(process->entry, "smaps");
	if (fd < 0)
		return gmig_fail(err, fd == -ENOENT ? -ESRCH : fd,
				 "the mappings of process %d (%s) cannot be read: %s",
				 (int)process->pid, process->name, strerror(-fd));
	file = fdopen(fd, "r");
	if (!file) {
		process->sys->close(fd);
		return gmig_fail(err, -ENOMEM, "out of memory");
	}
	ret = process_maps_parse(file, maps);
	fclose(file);
	/* A process that ends meanwhile reads as one without mappings. */
	if (!ret)
		ret = process_check(process, err);
	else
		gmig_fail(err, ret, "the mappings of process %d (%s): %s", (int)process->pid,
			  process->name, strerror(-ret));
	if (ret)
		process_maps_free(maps);
	return ret;
}

size_t process_mapping_at(const struct process_maps *maps, uint64_t address)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (maps->mapping[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
