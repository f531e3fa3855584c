/*
 * Memory that only its owner can move: of a device with a bank on each of two nodes, here two files. Each page is mapped from one of
 * them; to move it is to copy it to the other bank and to map that in its place. Jobs move it as they do any memory. On a host with
 * two nodes each file is on one of them, and the kernel is asked in the end.
 * usage: device; exit status 77: it cannot work here.
 * gcc -o device device.c $(pkg-config --cflags --libs gmig)
 */
#define _GNU_SOURCE
#include <gmig/gmig_region.h>

#include <errno.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BYTES (8ull << 20)
#define PAGES (BYTES / GMIG_PAGE_BYTES)

static int bank[2];		  /* files of BYTES */
static unsigned char home[PAGES]; /* the bank of each page */
static char *memory;
static pthread_mutex_t writing =
    PTHREAD_MUTEX_INITIALIZER; /* keeps writers off while a page moves */

static int map(uint64_t offset, size_t bytes, unsigned int node)
{
	return mmap(memory + offset, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		    bank[node], (off_t)offset) == MAP_FAILED
		   ? -errno
		   : 0;
}

static int query(void *opaque, uint64_t offset, size_t pages, int *status)
{
	(void)opaque;
	for (size_t i = 0; i < pages; i++)
		status[i] = home[offset / GMIG_PAGE_BYTES + i];
	return 0;
}

static int migrate(void *opaque, uint64_t offset, size_t pages, unsigned int to, int *status)
{
	size_t bytes = pages * GMIG_PAGE_BYTES;
	int ret = 0;

	(void)opaque;
	pthread_mutex_lock(&writing);
	if (to > 1 || pwrite(bank[to], memory + offset, bytes, (off_t)offset) != (ssize_t)bytes)
		ret = -EIO;
	else
		ret = map(offset, bytes, to);
	for (size_t i = 0; i < pages && !ret; i++)
		status[i] = home[offset / GMIG_PAGE_BYTES + i] = (unsigned char)to;
	pthread_mutex_unlock(&writing);
	return ret;
}

/* A file whose pages come from one node, where there is such a node. */
static bool make_bank(unsigned int node, bool *on_node)
{
	unsigned long nodes = 1ul << node;
	void *all;

	bank[node] = memfd_create("bank", MFD_CLOEXEC);
	if (bank[node] < 0 || ftruncate(bank[node], BYTES))
		return false;
	all = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, bank[node], 0);
	if (all == MAP_FAILED)
		return false;
	*on_node = !syscall(SYS_mbind, all, BYTES, MPOL_BIND, &nodes, sizeof(nodes) * 8 + 1, 0);
	munmap(all, BYTES); /* the policy stays with the file */
	return true;
}

/* Pages that the kernel says are on a node. */
static unsigned long pages_on(int node)
{
	unsigned long count = 0;

	for (unsigned int i = 0; i < PAGES; i++) {
		void *page = memory + i * GMIG_PAGE_BYTES;
		int status = -1;

		if (!syscall(SYS_move_pages, 0, 1, &page, NULL, &status, 0) && status == node)
			count++;
	}
	return count;
}

int main(void)
{
	const struct gmig_region_ops ops = {.query = query, .migrate = migrate};
	struct gmig_region_own own = {.ops = &ops};
	struct gmig_region_spec region = {.bytes = BYTES, .kind = GMIG_REGION_OWN, .own = &own};
	struct gmig_job_spec spec = {.from = {0}, .from_count = 1, .to = {1}, .to_count = 1};
	struct gmig_options options = {0};
	struct gmig_job_info info = {0};
	struct gmig_error err = {0};
	struct gmig *gmig = NULL;
	struct gmig_job *job;
	bool on_node[2];
	void *at;

	/* Room for an address that is a multiple of 2 MiB. */
	at = mmap(NULL, BYTES + GMIG_BLOCK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	own.memory = memory =
	    (char *)(((uintptr_t)at + GMIG_BLOCK_BYTES - 1) & ~(GMIG_BLOCK_BYTES - 1));
	for (unsigned int i = 0; i < 2; i++)
		if (!make_bank(i, &on_node[i]))
			return 1;
	if (at == MAP_FAILED || map(0, BYTES, 0))
		return 1;
	for (unsigned int i = 0; i < PAGES; i++)
		*(uint64_t *)(memory + i * GMIG_PAGE_BYTES) = i;
	if (!gmig_topology_create(2, &options.topology, &err) &&
	    !gmig_create(&options, &gmig, &err) && !gmig_region_add(gmig, &region, &at, &err) &&
	    !gmig_job_start(gmig, &spec, &job, &err)) {
		for (uint64_t n = 0; info.state < GMIG_JOB_COMPLETED; n++) {
			pthread_mutex_lock(&writing);
			((uint64_t *)(memory + n % PAGES * GMIG_PAGE_BYTES))[1]++;
			pthread_mutex_unlock(&writing);
			gmig_job_info(job, &info);
		}
		gmig_job_put(job);
	}
	if (err.code)
		fprintf(stderr, "%s\n", err.text);
	gmig_destroy(gmig);
	gmig_topology_put(options.topology);
	for (unsigned int i = 0; i < PAGES && !err.code; i++)
		if (*(uint64_t *)(memory + i * GMIG_PAGE_BYTES) != i || home[i] != 1)
			return 1;
	printf("%llu of %llu MiB went to bank 1\n", (unsigned long long)info.moved_bytes >> 20,
	       BYTES >> 20);
	if (on_node[0] && on_node[1] && !err.code) {
		printf("%lu of %llu pages are on node 1, says the kernel\n", pages_on(1), PAGES);
		if (pages_on(1) != PAGES)
			return 1;
	}
	return err.code ? 77 : info.moved_bytes != BYTES;
}
