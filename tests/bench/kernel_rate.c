#include "kernel_rate.h"
#include "clocks.h"
#include "copier.h"
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIB	     (1ull << 30)
#define CHUNK_BYTES  (2 * GIB)
#define MAX_CHUNKS   64
#define GIANT_PAGES  2		    /* asked for at a time */
#define ENOUGH_BYTES (256ull << 20) /* a repetition that moved less says nothing */
#define SPARE_BYTES                                                                                \
	(7 * GIB / 2) /* left free: the giant pages, and what the machine needs besides */
#define MIN_FREE    (6 * GIB)
#define GIANT_SYSFS "/sys/kernel/mm/hugepages/hugepages-1048576kB/"

const char *const kernel_rate_page_names[KERNEL_RATE_PAGES] = {"2M", "4K"};

/* ---- What the kernel tells and is told ------------------------------------------------------- */

static int read_number(const char *path, unsigned long long *value)
{
	FILE *file = fopen(path, "re");
	int got = file ? fscanf(file, "%llu", value) : 0;

	if (file)
		fclose(file);
	return got == 1 ? 0 : -EIO;
}

static uint64_t vmstat(const char *name)
{
	FILE *file = fopen("/proc/vmstat", "re");
	unsigned long long value = 0;
	char key[64];

	while (file && fscanf(file, "%63s %llu", key, &value) == 2)
		if (!strcmp(key, name))
			break;
	if (file)
		fclose(file);
	return !strcmp(key, name) ? value : 0;
}

static int ask_for_giants(unsigned int count)
{
	int fd = open(GIANT_SYSFS "nr_hugepages", O_WRONLY | O_CLOEXEC);
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", count), rc = 0;

	if (fd < 0 || write(fd, text, (size_t)length) != length)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

int kernel_rate_check(struct gmig_error *err)
{
	unsigned long long there;

	if (geteuid())
		return gmig_fail(err, -EPERM,
				 "--kernel-rate needs root: it asks the kernel for 1 GiB pages");
	if (read_number(GIANT_SYSFS "nr_hugepages", &there))
		return gmig_fail(err, -EOPNOTSUPP,
				 "--kernel-rate: this machine has no 1 GiB pages");
	if (there)
		return gmig_fail(err, -EBUSY,
				 "--kernel-rate: somebody keeps %llu pages of 1 GiB already",
				 there);
	if (host_available_bytes() < MIN_FREE)
		return gmig_fail(err, -ENOMEM,
				 "--kernel-rate needs 6 GiB of free memory, there are %.1f",
				 (double)host_available_bytes() / (double)GIB);
	return 0;
}

/* ---- Memory that lies in the way ------------------------------------------------------------- */

static char *fill(uint64_t bytes, enum kernel_rate_page page)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return NULL;
	madvise(at, bytes, page == KERNEL_RATE_2M ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (uint64_t i = 0; i < bytes; i += 4096)
		at[i] = 1;
	return at;
}

struct filling {
	enum kernel_rate_page page;
	char *chunk[MAX_CHUNKS];
	unsigned int chunks;
};

/* Once over all of it first: a host that is a virtual machine has its memory then, too. */
static int fill_machine(struct filling *filling, struct gmig_error *err)
{
	uint64_t bytes = host_available_bytes() - SPARE_BYTES / 2;
	int rc = copier_warm_free_memory(bytes, err);

	if (rc)
		return rc;
	while (filling->chunks < MAX_CHUNKS && host_available_bytes() > SPARE_BYTES + CHUNK_BYTES) {
		filling->chunk[filling->chunks] = fill(CHUNK_BYTES, filling->page);
		if (!filling->chunk[filling->chunks])
			return gmig_fail(err, -ENOMEM, "no room for another 2 GiB");
		filling->chunks++;
	}
	if (!filling->chunks)
		return gmig_fail(err, -ENOMEM,
				 "--kernel-rate: too little memory is free to stand in the way");
	return 0;
}

static void give_back(struct filling *filling)
{
	while (filling->chunks)
		munmap(filling->chunk[--filling->chunks], CHUNK_BYTES);
}

/* ---- Measuring ------------------------------------------------------------------------------- */

/* Another chunk makes room each time, and what was moved together last time is taken. */
static int measure_once(struct filling *filling, unsigned int rep, struct kernel_rate *out,
			struct gmig_error *err)
{
	uint64_t moved = vmstat("pgmigrate_success"), failed = vmstat("pgmigrate_fail");
	char **chunk = &filling->chunk[rep % filling->chunks], *anew;
	double begin = now_seconds(), took;
	int rc = ask_for_giants(GIANT_PAGES), back;

	took = now_seconds() - begin;
	moved = (vmstat("pgmigrate_success") - moved) * 4096;
	failed = vmstat("pgmigrate_fail") - failed;
	back = ask_for_giants(0);
	rc = rc ? rc : back;
	if (rc)
		return gmig_fail(err, rc, "the number of 1 GiB pages cannot be set: %s",
				 strerror(-rc));
	if (moved >= ENOUGH_BYTES)
		out->bytes_per_second[out->count++] = (double)moved / took;
	out->moved_bytes += moved;
	out->failed_pages += failed;
	/* What was asked for is free now, and in one piece: filled first, so that the holes come elsewhere. */
	anew = fill(CHUNK_BYTES, filling->page);
	munmap(*chunk, CHUNK_BYTES);
	*chunk = anew ? anew : filling->chunk[--filling->chunks];
	return filling->chunks ? 0 : gmig_fail(err, -ENOMEM, "no room for another 2 GiB");
}

int kernel_rate_measure(enum kernel_rate_page page, struct kernel_rate *out, struct gmig_error *err)
{
	struct filling filling = {.page = page};
	sigset_t signals, before;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = kernel_rate_check(err);
	if (rc)
		return rc;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	rc = fill_machine(&filling, err);
	for (unsigned int rep = 0; !rc && rep < KERNEL_RATE_REPS; rep++) {
		sigprocmask(SIG_BLOCK, &signals, &before);
		rc = measure_once(&filling, rep, out, err);
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	give_back(&filling);
	return rc;
}

void kernel_rate_summary(const struct kernel_rate *rate, struct stats_summary *out)
{
	stats_summarize(rate->bytes_per_second, rate->count, out);
}
